/* report.h - what came of the cases: a table, a last line, and records for --json. */
#ifndef AG_CONFORMANCE_REPORT_H
#define AG_CONFORMANCE_REPORT_H
#include "complaint.h"

#include <stdint.h>

typedef enum { PASSED, FAILED, SKIPPED } outcome; /* skipped: the op is not in the library, and nothing else */

typedef struct report_row {
    char *name;
    int64_t count[3]; /* by outcome */
    double worst;     /* the largest error, 1 being the tolerance */
} report_row;

typedef struct report {
    FILE *json; /* NULL: no records are wanted */
    report_row *rows;
    int64_t n_rows, max_rows, n_records;
    int64_t n_unreadable; /* files with which nothing could be done */
} report;

/* path may be NULL. */
bool report_begin(report *r, const char *json_path, complaint *why);
/* The row of that name, made where there is none. */
report_row *report_row_of(report *r, const char *name);
/* One case; why says what is wrong with it where it failed, and is printed. */
void report_case(report *r, report_row *row, const char *name, outcome what, double worst, const complaint *why);
/* A file that cannot be read: printed on stderr. */
void report_unreadable(report *r, const char *path, const complaint *why);
void report_table(const report *r);
/* Prints the last line and lets go of everything. Returns the exit status: 0 where nothing failed, 1 where something
 * did, 2 where a file could not be read or written. */
int report_end(report *r);

#endif

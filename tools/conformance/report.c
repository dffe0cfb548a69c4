/* report.c - see report.h. */
#include "report.h"

#include "json.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool report_begin(report *r, const char *json_path, complaint *why)
{
    *r = (report){ 0 };
    if (!json_path) return true;
    r->json = fopen(json_path, "we");
    if (!r->json) return complain(why, "%s: %s", json_path, strerror(errno));
    fputs("[", r->json);
    return true;
}

report_row *report_row_of(report *r, const char *name)
{
    for (int64_t i = r->n_rows; i--;)
        if (strcmp(r->rows[i].name, name) == 0) return &r->rows[i];
    if (r->n_rows == r->max_rows) {
        int64_t max = r->max_rows ? 2 * r->max_rows : 64;
        report_row *rows = realloc(r->rows, (size_t)max * sizeof *rows);
        if (!rows) return NULL;
        r->rows = rows;
        r->max_rows = max;
    }
    char *copy = strdup(name);
    if (!copy) return NULL;
    r->rows[r->n_rows] = (report_row){ .name = copy };
    return &r->rows[r->n_rows++];
}

static void write_record(report *r, const char *row, const char *name, outcome what, double worst, const complaint *why)
{
    static const char *const words[] = { "passed", "failed", "skipped" };
    fprintf(r->json, "%s\n{\"op\":", r->n_records++ ? "," : "");
    json_write_text(r->json, row);
    fputs(",\"case\":", r->json);
    json_write_text(r->json, name);
    fprintf(r->json, ",\"outcome\":\"%s\"", words[what]);
    if (what != SKIPPED && isfinite(worst)) fprintf(r->json, ",\"worst\":%.6g", worst);
    if (what == FAILED) {
        fputs(",\"why\":", r->json);
        json_write_text(r->json, why->text);
    }
    fputs("}", r->json);
}

void report_case(report *r, report_row *row, const char *name, outcome what, double worst, const complaint *why)
{
    if (!row) {
        complaint memory = { "out of memory" };
        report_unreadable(r, name, &memory);
        return;
    }
    row->count[what]++;
    if (what != SKIPPED && worst > row->worst) row->worst = worst;
    if (what == FAILED) printf("%s %s: %s\n", row->name, name, why->text);
    if (r->json) write_record(r, row->name, name, what, worst, why);
}

void report_unreadable(report *r, const char *path, const complaint *why)
{
    r->n_unreadable++;
    fprintf(stderr, "ag-conformance: %s: %s\n", path, why->text);
}

void report_table(const report *r)
{
    printf("%-52s %8s %8s %8s %8s  %s\n", "", "cases", "passed", "failed", "skipped", "worst error (1: the tolerance)");
    for (int64_t i = 0; i < r->n_rows; i++) {
        const report_row *row = &r->rows[i];
        const int64_t *n = row->count;
        printf("%-52s %8" PRId64 " %8" PRId64 " %8" PRId64 " %8" PRId64, row->name, n[PASSED] + n[FAILED] + n[SKIPPED],
               n[PASSED], n[FAILED], n[SKIPPED]);
        if (n[PASSED] + n[FAILED]) printf("  %.3g", row->worst);
        printf("\n");
    }
}

int report_end(report *r)
{
    int64_t n[3] = { 0 };
    for (int64_t i = 0; i < r->n_rows; i++) {
        for (int what = 0; what < 3; what++) n[what] += r->rows[i].count[what];
        free(r->rows[i].name);
    }
    free(r->rows);
    bool written = true;
    if (r->json) {
        fputs("\n]\n", r->json);
        written = !ferror(r->json);
        if (fclose(r->json)) written = false;
    }
    if (!written) fprintf(stderr, "ag-conformance: the records could not be written\n");
    if (r->n_unreadable) printf("%" PRId64 " files could not be read\n", r->n_unreadable);
    printf("%" PRId64 " passed, %" PRId64 " failed, %" PRId64 " skipped\n", n[PASSED], n[FAILED], n[SKIPPED]);
    return r->n_unreadable || !written ? 2 : n[FAILED] ? 1 : 0;
}

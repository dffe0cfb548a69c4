/* files.h - what lies in a folder, and whole files. */
#ifndef AG_CONFORMANCE_FILES_H
#define AG_CONFORMANCE_FILES_H
#include "complaint.h"

#include <stddef.h>

/* The file's n bytes and a 0 behind them, to be freed; NULL with a complaint. */
char *read_file(const char *path, size_t *n, complaint *why);

/* The names of a folder's files that end in `ending`, without it, in order; names[n] is NULL. NULL with a complaint. */
char **files_ending_in(const char *folder, const char *ending, complaint *why);
void free_names(char **names);

/* A file's lines, without empty ones and those that begin with #; none of the file "none". */
typedef struct text_lines {
    char **at; /* at[n] is NULL */
    char *text;
} text_lines;
bool read_lines(text_lines *lines, const char *path, complaint *why);
void free_lines(text_lines *lines);

#endif

/* files.h - what mnist_cnn writes besides its checkpoint, and how it ends when it cannot. */
#ifndef MNIST_FILES_H
#define MNIST_FILES_H
#include <stdio.h>

/* "mnist_cnn: ..." on stderr, and the program ends with status 1. */
__attribute__((noreturn, format(printf, 1, 2))) void fail(const char *format, ...);

/* Where a standard stream is closed, /dev/null takes its place, lest a file be opened there. */
void open_standard_streams(void);

/* Ends the program where there is no such folder. */
void check_folder(const char *path);
/* Ends the program where no file can be made at `path`, or the one that is there cannot be replaced: before hours of
 * training, not after. NULL is fine. */
void check_place(const char *path);

/* A file to write lines to; NULL for NULL. */
FILE *open_log(const char *path);
/* Ends the program if not everything has been written. */
void close_log(FILE *log, const char *path);
void close_stdout(void);

#endif

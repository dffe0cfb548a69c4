/* progress.h - a clock, Ctrl-C, and a progress bar. */
#ifndef MNIST_PROGRESS_H
#define MNIST_PROGRESS_H
#include <stdbool.h>
#include <stdint.h>

/* Seconds from some moment on. */
double timer(void);

/* From now on Ctrl-C (or SIGTERM) only asks the program to stop; a second one ends it at once. */
void catch_interrupts(void);
/* The signal that asked, 0 if none did. */
int interrupted(void);

/* On a terminal, a bar on the last line that says how far `done` of `total` is; elsewhere nothing. */
void progress_show(const char *what, int64_t done, int64_t total);
/* Takes it away, so that a line can be printed. */
void progress_clear(void);

#endif

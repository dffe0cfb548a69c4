/* progress.c - a clock, Ctrl-C, and a progress bar. */
#include "progress.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

double timer(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static volatile sig_atomic_t asked_to_stop;

static void ask_to_stop(int signal_number) { asked_to_stop = signal_number; }

void catch_interrupts(void)
{
    struct sigaction action = { .sa_handler = ask_to_stop, .sa_flags = SA_RESTART | (int)SA_RESETHAND };
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int interrupted(void) { return asked_to_stop; }

enum { BAR = 40 };
static bool shown;

void progress_show(const char *what, int64_t done, int64_t total)
{
    static double last;
    double now = timer();
    if (!isatty(STDOUT_FILENO) || total <= 0 || (now - last < 0.1 && done < total)) return;
    last = now;
    int filled = (int)(BAR * done / total);
    printf("\r%s [%.*s%*s] %3d %%", what, filled, "========================================", BAR - filled, "",
           (int)(100 * done / total));
    fflush(stdout);
    shown = true;
}

void progress_clear(void)
{
    if (shown) fputs("\r\033[K", stdout);
    shown = false;
}

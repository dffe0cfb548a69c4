/* error.c - the calling thread's error: setting it, reading it, and the handler that is told. The state it lives in is
 * made by memory.c. */
#include "tensor/fail.h"
#include "tensor/thread.h"

#include <locale.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the handler: one for the process ---- */
static pthread_mutex_t handler_lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    ag_error_handler *function;
    void *user;
} handler;

/* A forked child gets the lock open (memory.c says more). */
static void before_fork(void) { pthread_mutex_lock(&handler_lock); }
static void after_fork(void) { pthread_mutex_unlock(&handler_lock); }
__attribute__((constructor(101))) static void watch_forks(void) { pthread_atfork(before_fork, after_fork, after_fork); }

void ag_set_error_handler(ag_error_handler *function, void *user)
{
    pthread_mutex_lock(&handler_lock);
    handler.function = function;
    handler.user = user;
    pthread_mutex_unlock(&handler_lock);
}

void ag_error_print(ag_error_kind kind, const char *sentence, void *user)
{
    (void)kind, (void)user;
    fprintf(stderr, "argent: %s\n", sentence);
}

static void tell_handler(ag_thread *t)
{
    t->handler_due = t->handler_held > 0;
    if (t->handler_due) return;
    pthread_mutex_lock(&handler_lock);
    ag_error_handler *function = handler.function;
    void *user = handler.user;
    pthread_mutex_unlock(&handler_lock);
    if (function) function(t->kind, t->error, user);
}

void ag__handler_hold(void)
{
    ag_thread *t = ag__thread();
    if (!t->stateless) t->handler_held++; /* that state is not one thread's alone, and its error stands already */
}

void ag__handler_release(void)
{
    ag_thread *t = ag__thread();
    if (t->handler_held) t->handler_held--;
    if (t->handler_due) tell_handler(t);
}

/* ---- setting and reading ---- */
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;
static locale_t c_locale;
static void c_locale_make(void) { c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); }

int ag__format_list(char *text, size_t room, const char *format, va_list args)
{
    pthread_once(&c_locale_once, c_locale_make);
    locale_t before = c_locale ? uselocale(c_locale) : (locale_t)0;
    int n = vsnprintf(text, room, format, args);
    if (before) uselocale(before);
    return n;
}
int ag__format(char *text, size_t room, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = ag__format_list(text, room, format, args);
    va_end(args);
    return n;
}

void *ag__fail(ag_error_kind kind, const char *format, ...)
{
    ag_thread *t = ag__thread();
    if (t->failed) return NULL; /* the first error stands */
    va_list args;
    va_start(args, format);
    ag__format_list(t->error, sizeof t->error, format, args);
    va_end(args);
    t->kind = kind;
    t->failed = true;
    tell_handler(t);
    return NULL;
}

void ag__fail_more(const char *format, ...)
{
    ag_thread *t = ag__thread();
    if (!t->failed || t->stateless) return;
    size_t length = strlen(t->error);
    va_list args;
    va_start(args, format);
    ag__format_list(t->error + length, sizeof t->error - length, format, args);
    va_end(args);
}

void *ag__fail_memory(const char *what, size_t bytes)
{
    return ag__fail(AG_ENOMEM, "out of memory: %s (%zu bytes)", what, bytes);
}

const char *ag_error(void)
{
    ag_thread *t = ag__thread();
    return t->failed ? t->error : NULL;
}
ag_error_kind ag_error_code(void)
{
    ag_thread *t = ag__thread();
    return t->failed ? t->kind : AG_OK;
}
void ag_clear_error(void)
{
    ag_thread *t = ag__thread();
    if (t->stateless)
        ag__thread_pointer = NULL; /* perhaps there is room for its state the next time */
    else
        t->failed = t->handler_due = t->explained = false;
}

/* complaint.h - the first thing that is wrong with a case, as a sentence. */
#ifndef AG_CONFORMANCE_COMPLAINT_H
#define AG_CONFORMANCE_COMPLAINT_H
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

typedef struct complaint {
    char text[480]; /* empty: nothing is wrong */
} complaint;

/* Keeps the sentence unless one is kept already. Returns false, for `return complain(...)`. */
__attribute__((format(printf, 2, 3))) static inline bool complain(complaint *c, const char *format, ...)
{
    if (*c->text) return false;
    va_list args;
    va_start(args, format);
    vsnprintf(c->text, sizeof c->text, format, args);
    va_end(args);
    return false;
}

#endif

/* hook_log.c - see hook_log.h. */
#include "hook_log.h"

#include <stdarg.h>
#include <stdio.h>

char hook_log[4000];
static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *format, ...)
{
    size_t n = strlen(hook_log);
    va_list args;
    va_start(args, format);
    vsnprintf(hook_log + n, sizeof hook_log - n, format, args);
    va_end(args);
    strcat(hook_log, " ");
}
static void note_values(Variable *x)
{
    if (!x) note("-");
    for (int64_t i = 0; x && i < ag_numel(x); i++) note("%g", support_at(x, i));
}
void free_tag(void *user) { ((Tag *)user)->freed++; }
static Variable *times(const Tag *tag, Variable *x) { return tag->by ? ag_mul(x, ag_scalar(tag->by)) : NULL; }

Variable *log_pre(Module *m, Variable *x, void *user)
{
    note("%s:%s", ((Tag *)user)->name, m->type);
    note_values(x);
    return times(user, x);
}
Variable *log_post(Module *m, Variable *x, Variable *y, void *user)
{
    note("%s:%s", ((Tag *)user)->name, m->type);
    note_values(x);
    note_values(y);
    return y ? times(user, y) : NULL;
}
Variable *log_back_pre(Module *m, Variable *g, void *user) { return log_pre(m, g, user); }
Variable *log_back(Module *m, Variable *grad_input, Variable *grad_output, void *user)
{
    note("%s:%s", ((Tag *)user)->name, m->type);
    note_values(grad_input);
    note_values(grad_output);
    return grad_input ? times(user, grad_input) : NULL;
}

static void begin(void)
{
    support_begin();
    hook_log[0] = 0;
}

Variable *one(void) { return LEAF(AG_SHAPE(1), 1); }

int hook_log_main(const char *name, const TTest *const *tests, size_t n)
{
    return support_main_with(name, tests, n, begin, support_end);
}

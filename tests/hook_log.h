/* hook_log.h - hooks of Modules that write down what they see, and a suite of tests that read it. */
#ifndef AG_TESTS_HOOK_LOG_H
#define AG_TESTS_HOOK_LOG_H
#include "support.h"

/* What has happened, a word each; the check empties it. */
extern char hook_log[4000];
#define LOGGED(expected)                      \
    do {                                      \
        ck_assert_str_eq(hook_log, expected); \
        hook_log[0] = 0;                      \
    } while (0)

/* A hook's user: its name, what it multiplies by (0: it only looks), and how often it was freed. */
typedef struct {
    const char *name;
    double by;
    int freed;
} Tag;
void free_tag(void *user);

/* Each writes its name, the module's type and the numbers that it sees. */
Variable *log_pre(Module *m, Variable *x, void *user);
Variable *log_post(Module *m, Variable *x, Variable *y, void *user);
Variable *log_back_pre(Module *m, Variable *g, void *user);
Variable *log_back(Module *m, Variable *grad_input, Variable *grad_output, void *user);

Variable *one(void); /* a leaf */

/* Each test with an empty log. */
int hook_log_main(const char *name, const TTest *const *tests, size_t n);
#define HOOK_LOG_MAIN(name, ...)                                   \
    int main(void)                                                 \
    {                                                              \
        const TTest *all[] = { __VA_ARGS__ };                      \
        return hook_log_main(name, all, sizeof all / sizeof *all); \
    }
#endif

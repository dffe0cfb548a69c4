/* programs.c - a file of programs, each run and what came of it compared; see programs.h. */
#include "programs.h"

#include "program_run.h"
#include "report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- categories of errors ---- */

/* What PyTorch's sentences say, ours too; the recorder has the same list. */
static const char *const categories[][2] = {
    { "modified by an inplace operation", "saved_modified" },
    { "second time", "freed" },
    { "a leaf Variable that requires", "leaf" },
    { "a view of a leaf", "leaf_view" },
    { "no_grad mode", "no_grad_view" },
    { "multiple views", "multi_view" },
    { "being modified inplace", "multi_view" },
    { "has been modified inplace", "multi_view" },
    { "Can't detach views", "detach_view" },
    { "refers to a single memory", "overlap" },
    { "refer to a single memory", "overlap" },
    { "does not require grad", "no_grad_fn" },
    { "doesn't require grad", "hook" },
    { "retain_grad", "hook" },
    { "match the broadcast", "shape" },
    { "size", "shape" },
    { "only change requires_grad", "requires_grad_nonleaf" },
};
static const char *category_of(const char *sentence)
{
    for (size_t k = 0; k < sizeof categories / sizeof *categories; k++)
        if (strstr(sentence, categories[k][0])) return categories[k][1];
    return "other";
}

/* ---- what changed between PyTorch 1.13 and today ---- */

static bool has_instruction(const json *at, const char *op)
{
    for (const json *m = json_first(json_get(at, "code")); m; m = m->next) {
        const char *name = json_text(json_get(m, "op"));
        if (name && strcmp(name, op) == 0) return true;
    }
    return false;
}

/* Where a program does not agree as today's PyTorch has it, it may be one of 1.13's: torch.autograd.grad did not call
 * the hooks of leaves, retain_grad was a hook among the others, a mean over a dimension kept its input, and what was
 * saved could be detached in place. Then it is run again, as_before. */
static bool may_be_as_before(const json *at)
{
    return has_instruction(at, "hook") || has_instruction(at, "mean") || has_instruction(at, "detach_");
}
static bool is_refused_only_today(const program *p)
{
    return p->as_before && ag_error() && strstr(ag_error(), "has been detached in-place");
}
/* The library came further than 1.13. */
static bool was_refused_for_a_mean(const program *p, int where, const char *category)
{
    return p->as_before && has_instruction(p->at, "mean") &&
           (!strcmp(category, "freed") || !strcmp(category, "saved_modified")) &&
           (p->ended == NOWHERE || (where == AT_BACKWARD && p->ended == AT_BACKWARD2));
}

/* ---- what came of it ---- */

static bool check_shape(program *p, int k, const json *shape)
{
    ag_shape_list have = ag_shape(p->reg[k]);
    int64_t i = 0, size;
    bool same = json_is(shape, JSON_ARRAY) && shape->n == have.n;
    for (const json *m = json_first(shape); same && m; m = m->next) same = json_whole(m, &size) && size == have.at[i++];
    return same || complain(p->why, "register %d has another shape", k);
}
static bool check_flag(program *p, int k, const char *what, bool have, const json *want)
{
    return (json_is(want, JSON_BOOL) && want->is_true == have) ||
           complain(p->why, "register %d: %s is %s", k, what, have ? "true" : "false");
}

/* [shape, requires_grad, is_leaf, version, is_view, values]; one that PyTorch could not look at is not compared */
static bool check_registers(program *p)
{
    int k = 0;
    for (const json *m = json_first(json_get(p->at, "regs")); m; m = m->next, k++) {
        if (k == p->n) return complain(p->why, "it has more registers than were made");
        if (json_get(m, "error")) continue;
        const ag_variable *x = p->reg[k];
        int64_t version = -1;
        json_whole(json_at(m, 3), &version);
        if (!check_shape(p, k, json_at(m, 0)) ||
            !check_flag(p, k, "requires_grad", ag_requires_grad(x), json_at(m, 1)) ||
            !check_flag(p, k, "is_leaf", ag_is_leaf(x), json_at(m, 2)) ||
            !check_flag(p, k, "is_view", ag_is_view(x), json_at(m, 4)))
            return false;
        if (version != ag_version(x))
            return complain(p->why, "register %d has version %lld", k, (long long)ag_version(x));
        if (!check_numbers(p, "register", k, x, json_at(m, 5))) return false;
    }
    return k == p->n || complain(p->why, "it has fewer registers than were made");
}

/* Where PyTorch refused, and with what. */
static bool check_failure(program *p, const json *fail)
{
    const char *name = json_text(json_get(fail, "step")), *category = json_text(json_get(fail, "cat"));
    const json *code = json_get(p->at, "code");
    int64_t step;
    int where = NOWHERE;
    if (json_whole(json_get(fail, "step"), &step) && code) where = (int)code->n - 1; /* the last that was recorded */
    if (name && strcmp(name, "backward") == 0) where = AT_BACKWARD;
    if (name && strcmp(name, "backward2") == 0) where = AT_BACKWARD2;
    if (name && strcmp(name, "grad2") == 0) where = AT_GRAD2;
    if (!category || where == NOWHERE) return complain(p->why, "it does not say where it failed");
    if (was_refused_for_a_mean(p, where, category) || is_refused_only_today(p)) return true;
    if (p->ended == NOWHERE) return complain(p->why, "it is not refused: %s", category);
    const char *sentence = ag_error() ? ag_error() : "no error", *ours = category_of(sentence);
    if (p->ended == where && strcmp(ours, category) == 0) return true;
    return complain(p->why, "it ends at %d with %s (%s) and not at %d with %s", p->ended, ours, sentence, where,
                    category);
}

static bool run_program(program *p)
{
    const json *fail = json_get(p->at, "fail");
    bool stepped = json_is(json_get(fail, "step"), JSON_NUMBER); /* PyTorch did not come to the end of the code */
    bool ok = run_code(p) && (stepped || (check_registers(p) && run_mode(p)));
    if (*p->why->text) return false;
    if (fail) return check_failure(p, fail);
    return ok || is_refused_only_today(p) ||
           complain(p->why, "it ends at %d: %s", p->ended, ag_error() ? ag_error() : "?");
}

/* ---- the file ---- */

typedef struct runner {
    report report;
    int64_t n_left_out, n_as_before;
} runner;

/* PyTorch's own faults, and where its versions differ: a hook on what is changed in place afterwards. */
static bool is_left_out(const json *at)
{
    const char *category = json_text(json_get(json_get(at, "fail"), "cat"));
    return json_get(at, "hook_inplace") || (category && strcmp(category, "torch_bug") == 0);
}

/* Its row in the table: how it ends. */
static const char *kind_of(const json *at)
{
    const char *category = json_text(json_get(json_get(at, "fail"), "cat")), *mode = json_text(json_get(at, "mode"));
    return category ? category : mode ? mode : "?";
}

static outcome run_once(const json *at, bool as_before, double *worst, complaint *why)
{
    program *p = calloc(1, sizeof *p);
    if (!p) return complain(why, "out of memory"), FAILED;
    AG_SCOPE;
    *p = (program){ .at = at, .why = why, .ended = NOWHERE, .as_before = as_before };
    bool ok = run_program(p);
    bool lacks_op = ag_error_code() == AG_ENOTSUP && strncmp(ag_error(), "there is no op", 14) == 0;
    ag_clear_error();
    *worst = p->worst;
    for (int k = 0; k < p->n; k++) ag_release(p->kept[k]);
    free(p);
    return ok ? PASSED : lacks_op ? SKIPPED : FAILED;
}

static void run_one(runner *r, const json *at)
{
    complaint why = { 0 }, ignored = { 0 };
    char name[32];
    int64_t id = -1;
    double worst, worst_before;
    json_whole(json_get(at, "id"), &id);
    snprintf(name, sizeof name, "%lld", (long long)id);
    outcome what = run_once(at, false, &worst, &why);
    if (what == FAILED && may_be_as_before(at) && run_once(at, true, &worst_before, &ignored) == PASSED) {
        r->n_as_before++;
        what = PASSED;
        worst = worst_before;
    }
    report_case(&r->report, report_row_of(&r->report, kind_of(at)), name, what, worst, &why);
}

static void run_line(runner *r, char *line, size_t n, const char *place)
{
    complaint why = { 0 };
    json_pool pool = { 0 };
    const json *at = json_parse(&pool, line, n, &why);
    int64_t alive = ag_leaks(NULL);
    if (at && !json_is(at, JSON_OBJECT)) complain(&why, "it is not a program");
    if (!*why.text && is_left_out(at))
        r->n_left_out++;
    else if (!*why.text)
        run_one(r, at);
    if (ag_leaks(NULL) != alive) complain(&why, "it left Variables behind");
    if (*why.text) report_unreadable(&r->report, place, &why);
    json_free(&pool);
}

int run_programs(const char *path, const char *json_path)
{
    runner r = { 0 };
    complaint why = { 0 };
    FILE *file = report_begin(&r.report, json_path, &why) ? fopen(path, "re") : NULL;
    char *line = NULL, place[4096];
    size_t room = 0;
    ssize_t n;
    if (!file) {
        complain(&why, "%s", strerror(errno));
        report_unreadable(&r.report, path, &why);
    }
    for (int64_t number = 1; file && (n = getline(&line, &room, file)) > 0; number++) {
        snprintf(place, sizeof place, "%s: line %lld", path, (long long)number);
        if (*line != '\n') run_line(&r, line, (size_t)n, place);
    }
    if (file) fclose(file);
    free(line);
    report_table(&r.report);
    if (r.n_left_out) printf("%lld programs were left out: PyTorch's own faults\n", (long long)r.n_left_out);
    if (r.n_as_before) printf("%lld programs agree as PyTorch 1.13 had it\n", (long long)r.n_as_before);
    return report_end(&r.report);
}

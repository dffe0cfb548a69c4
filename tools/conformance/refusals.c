/* refusals.c - each call must be an error with a sentence, which leaves nothing changed and nothing behind. */
#include "refusals.h"

#include "differs.h"
#include "values.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_OUTPUTS = 1024 };

static bool is_unchanged(const ag_variable *x, const ag_variable *before)
{
    return ag_version(x) == 0 && !ag_grad_fn(x) && !ag_grad(x) &&
           ag_equal(ag_detach((ag_variable *)x), (ag_variable *)before);
}

/* Makes the call; `sentence` is what the library says to it. */
static bool is_refused(const char *name, const json *at, char *sentence, size_t room, complaint *why)
{
    static call_values v;
    static ag_variable *out[MAX_OUTPUTS], *before[MAX_TENSORS];
    const tensor_source nowhere = { 0 };
    complaint unmade = { 0 };
    AG_SCOPE;
    bool made = make_call(&v, &nowhere, json_get(at, "call"), json_get(at, "kwargs"), &unmade);
    if (!made) snprintf(sentence, room, "its arguments cannot be made: %s", unmade.text);
    for (int i = 0; made && i < v.n_inputs; i++) before[i] = ag_clone(ag_detach(v.input[i].x));
    int n = made ? ag_call(name, v.n, v.positional, v.n_named, v.named, out, MAX_OUTPUTS) : 0;
    /* what a kernel finds is said by the next call that waits, when other elements may have been changed */
    const bool late = n && device_of_cases.type != AG_DEVICE_CPU && !ag_cuda_synchronize(device_of_cases);
    if (late) n = 0;
    if (made && ag_error()) snprintf(sentence, room, "%s", ag_error());
    if (n) complain(why, "it is not refused");
    if (!n && !*sentence) complain(why, "it is refused without a sentence");
    ag_clear_error();
    for (int i = 0; made && !late && i < v.n_inputs; i++)
        if (!is_unchanged(v.input[i].x, before[i])) complain(why, "argument %d was changed", i);
    free_call(&v);
    return !*why->text;
}

/* PyTorch's error; NULL where there was none. The key bears the version that recorded it, today's none. */
static const json *error_of(const json *at)
{
    const json *older = json_get(at, "torch_1_13"), *error = older ? older : json_get(at, "torch");
    return json_is(error, JSON_OBJECT) ? error : NULL;
}

typedef struct runner {
    const options *o;
    report report;
    text_lines differs;
    int64_t n_differ;
} runner;

static void run_refusal(runner *r, const char *op, const char *name, const json *at)
{
    char called[256], sentence[1024] = "";
    bool swapped;
    complaint why = { 0 };
    report_row *row = report_row_of(&r->report, op);
    int64_t alive = ag_leaks(NULL);
    if (!name_in_library(op, called, sizeof called, &swapped) || swapped)
        return report_case(&r->report, row, name, SKIPPED, 0, &why);
    bool ok = is_refused(called, at, sentence, sizeof sentence, &why);
    if (ag_leaks(NULL) != alive) ok = complain(&why, "it left Variables behind");
    const char *theirs = json_text(json_get(error_of(at), "text"));
    printf("%s %s\n    PyTorch: %s\n    ours:    %s\n", op, name, theirs ? theirs : "?", ok ? sentence : why.text);
    report_case(&r->report, row, name, ok ? PASSED : FAILED, 0, &why);
}

static void run_all(runner *r, const json *calls, complaint *why)
{
    if (!json_is(calls, JSON_ARRAY)) complain(why, "it is not a list of calls");
    for (const json *at = json_first(calls); at; at = at->next) {
        const char *op = json_text(json_get(at, "op"));
        int64_t number;
        char name[32];
        if (!op || !json_whole(json_get(at, "k"), &number)) {
            complain(why, "a call has no op or no number");
            continue;
        }
        snprintf(name, sizeof name, "refused_%lld", (long long)number);
        if (r->o->op && strcmp(op, r->o->op)) continue;
        if (!error_of(at) || differs_today(&r->differs, op, name))
            r->n_differ++; /* it was not refused, or is not today */
        else
            run_refusal(r, op, name, at);
    }
}

int run_refusals(const options *o, const char *path)
{
    runner r = { .o = o };
    complaint why = { 0 };
    json_pool pool = { 0 };
    size_t n;
    bool ok = report_begin(&r.report, o->json, &why) && read_lines(&r.differs, o->differs, &why);
    char *text = ok ? read_file(path, &n, &why) : NULL;
    const json *calls = text ? json_parse(&pool, text, n, &why) : NULL;
    if (calls) run_all(&r, calls, &why);
    if (*why.text) report_unreadable(&r.report, path, &why);
    json_free(&pool);
    free(text);
    free_lines(&r.differs);
    report_table(&r.report);
    if (r.n_differ) printf("%lld calls are not refused by today's PyTorch\n", (long long)r.n_differ);
    return report_end(&r.report);
}

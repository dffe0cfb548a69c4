/* test_hostile_calls.c - every op, called as no one should: each value of each recorded call is replaced by what does
 * not belong there, one at a time. Such a call may work or be refused, never more than that: a refusal has a sentence,
 * changes nothing and leaves nothing; nothing is read or written where it must not be (the sanitizers look on). */
#include "autograd/op.h"
#include "op_rows.h"

#include <argent/call.h>

#include <stdio.h>
#include <sys/resource.h>

enum { MOST_MEMORY = 2048 /* MB: what a call may ask for */ };

/* A sanitizer stands in for the limit that main sets. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1:max_allocation_size_mb=2048"; }

static const int64_t wrong_int[] = { INT64_MIN, INT64_MIN + 1, -(1LL << 31), -2,       -1, 0, 1,
                                     9,         1LL << 31,     1LL << 62,    INT64_MAX };
static const double wrong_float[] = { NAN, INFINITY, -INFINITY, -1, 0, 2, 1e308, -1e308 };
static const char *const wrong_text[] = { "", "nonsense", "mean", "%s%n" };
static const op_tensor wrong_tensor[] = {
    { .dtype = AG_FLOAT64, .kind = 'u', .low = -2, .high = 2 },
    { .dtype = AG_FLOAT64, .kind = 'u', .ndim = 1 },
    { .dtype = AG_FLOAT64, .kind = 'u', .ndim = 2, .size = { 3, 0 }, .stride = { 1, 1 } },
    { .dtype = AG_FLOAT32, .kind = 'u', .ndim = 1, .size = { 1 }, .stride = { 1 } },
    { .dtype = AG_FLOAT64, .kind = 'u', .ndim = 2, .size = { 2, 3 }, .stride = { 0, 0 } },
    { .dtype = AG_INT64, .kind = 'k', .low = -9, .high = 9, .ndim = 1, .size = { 4 }, .stride = { 1 } },
    { .dtype = AG_INT64, .kind = 'k', .low = -9, .high = 9, .ndim = 2, .size = { 4, 3 }, .stride = { 3, 1 } },
    { .dtype = AG_INT32, .kind = 'k', .low = 0, .high = 9, .ndim = 3, .size = { 2, 1, 2 }, .stride = { 2, 2, 1 } },
    { .dtype = AG_BOOL, .ndim = 4, .size = { 1, 2, 3, 2 }, .stride = { 12, 6, 2, 1 } },
    { .dtype = AG_UINT8, .kind = 'k', .low = 0, .high = 255, .ndim = 1, .size = { 7 }, .stride = { 1 } },
    { .dtype = AG_FLOAT32, .kind = 's', .ndim = 4, .size = { 2, 3, 5, 5 }, .stride = { 75, 25, 5, 1 } },
    { .dtype = AG_FLOAT64,
      .kind = 's',
      .ndim = 8,
      .size = { 1, 2, 1, 2, 1, 1, 2, 1 },
      .stride = { 8, 4, 4, 2, 2, 2, 1, 1 } },
};
#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

/* What a Variable looked like before the call. */
typedef struct witness {
    int64_t version, n;
    double sum;
} witness;

static witness look_at(Variable *x)
{
    witness w = { .version = ag_version(x), .n = ag_numel(x) };
    for (int64_t i = 0; i < w.n; i++) {
        double v = support_at(x, i);
        w.sum += isfinite(v) ? v * (double)(i + 1) : 0;
    }
    return w;
}

static void call_once(const op_case *c, int null_at, const char *suffix, const char *what)
{
    AG_SCOPE;
    op_call call;
    op_call_make(&call, c, true);
    for (int k = 0; k < call.n_positional; k++)
        if (k == null_at && call.positional[k].kind == AG_VALUE_TENSOR) call.positional[k].tensor = NULL;
    witness before[OP_TENSORS];
    for (int i = 0; i < call.n_tensors; i++) before[i] = look_at(call.tensor[i]);
    Variable *out[OP_RESULTS];
    int n = op_call_by_name(&call, suffix, out);
    const char *error = ag_error();
    bool empty = n == 0 && !error && ag_op_find(c->op)->n_out == AG_MANY;
    ck_assert_msg(empty || (n > 0) == (error == NULL), "%s%s with %s: %d results and %s", c->text, suffix, what, n,
                  error ? error : "no error");
    if (n == 0 && !empty) {
        ck_assert_msg(*error && ag_error_code(), "%s%s with %s: no sentence", c->text, suffix, what);
        ag_clear_error();
        for (int i = 0; i < call.n_tensors; i++) {
            witness after = look_at(call.tensor[i]);
            ck_assert_msg(after.version == before[i].version && after.n == before[i].n && after.sum == before[i].sum,
                          "%s%s with %s was refused (%s), but Variable %d has changed", c->text, suffix, what, error,
                          i);
        }
    }
    for (int k = 0; k < n; k++)
        if (ag_requires_grad(out[k]) && ag_grad_fn(out[k]) && ag_numel(out[k]) < 1 << 20)
            ag_backward(ag_sum(out[k]), .retain_graph = true);
    ag_clear_error();
}

/* In place, too, where there is such a form. */
static void call_both(const op_case *c, int null_at, const char *what)
{
    int64_t before = ag_leaks(NULL);
    call_once(c, null_at, "", what);
    if (ag_op_has_inplace(ag_op_find(c->op))) call_once(c, null_at, "_", what);
    if (ag_leaks(NULL) != before) ag_leaks(stderr);
    ck_assert_msg(ag_leaks(NULL) == before, "%s with %s: %lld Variables are left", c->text, what,
                  (long long)(ag_leaks(NULL) - before));
}

static void with_wrong_tensors(op_case *c, int i)
{
    const op_tensor right = c->tensor[i];
    char what[64];
    for (int k = 0; k < COUNT(wrong_tensor); k++) {
        snprintf(what, sizeof what, "Variable %d of the %d. wrong kind", i, k);
        c->tensor[i] = wrong_tensor[k];
        call_both(c, -1, what);
    }
    for (int d = 0; d < AG_N_DTYPES; d++) {
        snprintf(what, sizeof what, "Variable %d of type %s", i, ag_dtype_name((ag_dtype)d));
        c->tensor[i] = right;
        c->tensor[i].dtype = (ag_dtype)d;
        call_both(c, -1, what);
    }
    c->tensor[i] = right;
}

static void with_wrong_values(op_case *c, int k)
{
    const op_value right = c->value[k];
    op_value *v = &c->value[k];
    char what[64];
    snprintf(what, sizeof what, "a wrong value %d", k);
    switch (right.kind) {
    case AG_VALUE_TENSOR:
        call_both(c, k, "NULL");
        break;
    case AG_VALUE_TENSORS:
        for (v->n_tensors = 0; v->n_tensors < right.n_tensors; v->n_tensors++) call_both(c, -1, what);
        break;
    case AG_VALUE_INT:
        for (int i = 0; i < COUNT(wrong_int); i++) {
            v->i = wrong_int[i];
            call_both(c, -1, what);
        }
        break;
    case AG_VALUE_FLOAT:
        for (int i = 0; i < COUNT(wrong_float); i++) {
            v->f = wrong_float[i];
            call_both(c, -1, what);
        }
        break;
    case AG_VALUE_INTS:
        for (int i = 0; i < COUNT(wrong_int); i++)
            for (int d = 0; d < right.n_ints; d++) {
                *v = right;
                v->ints[d] = wrong_int[i];
                call_both(c, -1, what);
            }
        for (*v = right, v->n_ints = 0; v->n_ints <= 8; v->n_ints++) call_both(c, -1, what);
        break;
    case AG_VALUE_STR:
        for (int i = 0; i < COUNT(wrong_text); i++) {
            snprintf(v->text, sizeof v->text, "%s", wrong_text[i]);
            call_both(c, -1, what);
        }
        break;
    case AG_VALUE_DTYPE:
        for (int d = -1; d <= AG_N_DTYPES; d++) {
            v->i = d;
            call_both(c, -1, what);
        }
        break;
    default:
        break;
    }
    *v = right;
    /* a value of another kind, and one whose name nothing has */
    *v = (op_value){ .kind = right.kind == AG_VALUE_FLOAT ? AG_VALUE_STR : AG_VALUE_FLOAT, .f = 0.5 };
    memcpy(v->name, right.name, sizeof v->name);
    call_both(c, -1, "a value of another kind");
    *v = right;
    if (right.name[0]) {
        snprintf(v->name, sizeof v->name, "nobody");
        call_both(c, -1, "a name that nothing has");
        *v = right;
    }
}

START_TEST(an_op_called_with_what_does_not_belong_there_works_or_says_why_not)
{
    int n;
    const op_case *cases = op_rows_group(_i, &n);
    for (int k = 0; k < n; k++) {
        /* the float64 cases in their plain layout: the others differ in what is replaced here */
        bool plain = !cases[k].special && cases[k].n_tensors > 0;
        for (int i = 0; i < cases[k].n_tensors; i++) {
            const op_tensor *x = &cases[k].tensor[i];
            int64_t step = 1;
            for (int d = x->ndim; d--; step *= x->size[d]) plain &= x->stride[d] == step || x->size[d] <= 1;
            plain &= x->dtype == AG_FLOAT64 || x->dtype == AG_INT64 || x->dtype == AG_BOOL;
        }
        if (!plain && cases[k].n_tensors > 0) continue;
        op_case c = cases[k];
        for (int i = 0; i < c.n_tensors; i++) with_wrong_tensors(&c, i);
        for (int i = 0; i < c.n_values; i++) with_wrong_values(&c, i);
    }
}
END_TEST

int main(void)
{
    const struct rlimit memory = { (rlim_t)MOST_MEMORY << 20, (rlim_t)MOST_MEMORY << 20 };
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
    setrlimit(RLIMIT_AS, &memory);
#else
    (void)memory;
#endif
    Suite *suite = suite_create("hostile calls");
    TCase *tcase = tcase_create("each op");
    tcase_add_checked_fixture(tcase, support_begin, support_end);
    tcase_set_timeout(tcase, 0);
    tcase_add_loop_test(tcase, an_op_called_with_what_does_not_belong_there_works_or_says_why_not, 0, op_rows_groups());
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

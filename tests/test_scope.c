/* test_scope.c - who lets go of what, and when. */
#include "support.h"

#include <pthread.h>
#include <setjmp.h>

static int64_t alive(void) { return ag_leaks(NULL); }
static Variable *three(void) { return ag_full(AG_SHAPE(3), 3, .dtype = AG_FLOAT64); }

START_TEST(what_a_block_makes_dies_with_it_however_it_is_left)
{
    int64_t before = alive();
    for (int i = 0; i < 4; i++) {
        AG_SCOPE;
        three();
        if (i == 1) continue;
        three();
        if (i == 2) break;
    }
    ck_assert_int_eq(alive(), before);
}
END_TEST

static Variable *returns_early(bool early)
{
    AG_SCOPE;
    Variable *a = three();
    if (early) return ag_keep(a);
    return ag_keep(ag_mul(a, a));
}
START_TEST(keep_moves_a_variable_one_scope_out)
{
    int64_t before = alive();
    {
        AG_SCOPE;
        VALUES(returns_early(true), 3, 3, 3);
        VALUES(returns_early(false), 9, 9, 9);
        ck_assert_int_eq(alive(), before + 2);
        {
            AG_SCOPE;
            Variable *x;
            {
                AG_SCOPE;
                {
                    AG_SCOPE;
                    x = ag_keep(three());
                }
                ag_keep(x);
            }
            VALUES(x, 3, 3, 3);
            ck_assert_int_eq(alive(), before + 3);
        }
        ck_assert_int_eq(alive(), before + 2);
    }
    ck_assert_int_eq(alive(), before);
}
END_TEST

static void *keeps_at_its_root(void *user)
{
    Variable *x = three();
    bool *refused = user;
    *refused = !ag_keep(x) && ag_error_code() == AG_EINVAL && strstr(ag_error(), "keep: no scope is open");
    ag_clear_error();
    *refused = *refused && ag_keep(AG_NONE) == AG_NONE && support_at(x, 0) == 3;
    return NULL;
}
START_TEST(keep_wants_a_variable_and_a_scope)
{
    int64_t before = alive();
    bool refused = false;
    pthread_t thread;
    REFUSED(ag_keep(NULL), "keep: input is NULL");
    ck_assert_int_eq(pthread_create(&thread, NULL, keeps_at_its_root, &refused), 0);
    pthread_join(thread, NULL);
    ck_assert(refused);
    ck_assert_int_eq(alive(), before);
}
END_TEST

START_TEST(what_a_goto_leaves_dies_too)
{
    int64_t before = alive();
    int rounds = 0;
again : {
    AG_SCOPE;
    three();
    AG_SCOPE;
    three();
    if (++rounds < 3) goto again;
}
    ck_assert_int_eq(alive(), before);
}
END_TEST

START_TEST(nested_calls_leave_only_what_the_graph_needs)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y;
    int64_t before = alive();
    {
        AG_SCOPE;
        y = ag_keep(ag_sum(ag_neg(ag_add(ag_neg(x), x)))); /* no step keeps an operand */
    }
    ck_assert_int_eq(alive(), before + 1);
    OK(ag_backward(y));
    VALUES(ag_grad(x), 0, 0);
}
END_TEST

START_TEST(let_goes_of_the_old_value_at_once)
{
    Variable *x = three();
    int64_t before = alive();
    for (int i = 0; i < 100; i++) ag_let(&x, ag_neg(x));
    ck_assert_int_eq(alive(), before);
    VALUES(x, 3, 3, 3);
    ag_let(&x, x);
    VALUES(x, 3, 3, 3);
}
END_TEST

START_TEST(retain_outlives_every_scope_until_release)
{
    int64_t before = alive();
    Variable *x;
    {
        AG_SCOPE;
        x = ag_retain(three());
    }
    VALUES(x, 3, 3, 3);
    ag_release(x);
    ck_assert_int_eq(alive(), before);
    ag_release(NULL);
    ag_release(AG_NONE);
    ck_assert_ptr_null(ag_retain(NULL));
}
END_TEST

START_TEST(what_is_held_by_nobody_is_not_released_or_retained)
{
    int64_t before = alive();
    Variable *x, *in_graph, *y;
    {
        AG_SCOPE;
        x = three();
        in_graph = LEAF(AG_SHAPE(1), 2);
        y = ag_keep(ag_exp(in_graph)); /* its graph needs the leaf, which has no owner left */
    }
    if (support_memory_is_kept()) { /* else it is malloc's again, and a memory checker says so */
        REFUSED((ag_release(x), ag_error() == NULL), "release: nobody holds the Variable any more");
        REFUSED(ag_retain(x), "retain: the Variable has died: its scope has ended");
    }
    REFUSED((ag_release(in_graph), ag_error() == NULL), "it was released more often than retained");
    OK(ag_retain(in_graph)); /* this one is still there */
    OK(ag_backward(y));
    VALUES(ag_grad(in_graph), exp(2));
    ag_release(in_graph);
    ck_assert_int_eq(alive(), before + 2);
    REFUSED((ag_scope_end(NULL), ag_error() == NULL), "scope_end: the scope is NULL");
    REFUSED(ag_let(NULL, y), "let: the address of the Variable is NULL");
}
END_TEST

START_TEST(saved_tensors_go_as_soon_as_backward_has_used_them)
{
    Variable *x = ag_requires_grad_(ag_zeros(AG_SHAPE(1000))), *y;
    {
        AG_SCOPE;
        y = ag_keep(ag_sum(ag_exp(ag_exp(x))));
    }
    int64_t before = alive();
    OK(ag_backward(y));
    ck_assert_int_eq(alive(), before - 2 + 1); /* two results go, x.grad comes */
}
END_TEST

START_TEST(scopes_opened_by_hand_nest_and_an_outer_end_closes_the_inner_ones)
{
    int64_t before = alive();
    ag_scope outer = ag_scope_begin();
    three();
    ag_scope inner = ag_scope_begin();
    three();
    ag_scope_end(&outer);
    ck_assert_int_eq(alive(), before);
    ag_scope_end(&inner); /* nothing left to close */
    VALUES(three(), 3, 3, 3);
}
END_TEST

static jmp_buf jump;
static void jumps(void)
{
    AG_SCOPE;
    AG_NO_GRAD;
    three();
    longjmp(jump, 1);
}
START_TEST(a_jump_out_of_scopes_is_made_good_by_the_scope_round_it)
{
    int64_t before = alive();
    ag_scope scope = ag_scope_begin();
    if (!setjmp(jump)) jumps();
    ag_scope_end(&scope);
    ck_assert_int_eq(alive(), before);
    ck_assert(ag_is_grad_enabled());
}
END_TEST

static void *makes_and_ends(void *user)
{
    for (int i = 0; i < 100; i++) three();
    *(Variable **)user = ag_retain(three());
    return NULL;
}
START_TEST(a_thread_that_ends_lets_go_of_its_root_scope)
{
    int64_t before = alive();
    Variable *x;
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, makes_and_ends, &x), 0);
    pthread_join(thread, NULL);
    ck_assert_int_eq(alive(), before + 1);
    VALUES(x, 3, 3, 3);
    ag_release(x);
}
END_TEST

START_TEST(leaks_lists_what_is_alive_by_shape_and_op)
{
    Variable *x = three();
    OK(ag_exp(x));
    char *text = NULL;
    size_t length;
    FILE *file = open_memstream(&text, &length);
    ck_assert_ptr_nonnull(file);
    int64_t n = ag_leaks(file);
    fclose(file);
    ck_assert_int_eq(n, alive());
    ck_assert_ptr_nonnull(strstr(text, "[3] float64 cpu, made by exp"));
    ck_assert_ptr_nonnull(strstr(text, "[3] float64 cpu, made by full"));
    free(text);
}
END_TEST

/* The line of the report on the only Variable of one dimension that has this size. */
static char *line_of(int size)
{
    char *text = NULL, start[32];
    size_t length;
    FILE *file = open_memstream(&text, &length);
    ck_assert_ptr_nonnull(file);
    ag_leaks(file);
    fclose(file);
    snprintf(start, sizeof start, "[%d] ", size);
    for (char *line = text; *line; line += strcspn(line, "\n") + 1)
        if (!strncmp(line, start, strlen(start))) {
            memmove(text, line, strcspn(line, "\n"));
            text[strcspn(line, "\n")] = 0;
            return text;
        }
    ck_abort_msg("nothing of size %d in %s", size, text);
}
START_TEST(leaks_says_who_asked_for_each)
{
    const int line = __LINE__ + 1;
    OK(ag_zeros(AG_SHAPE(101)));
    char *report = line_of(101), wanted[64];
    ck_assert_msg(strstr(report, "[101] float32 cpu, made by zeros") == report, "%s", report);
    ck_assert_msg(strstr(report, ", 1 references"), "%s", report);
    /* the place as well as it is known: by debug information, by the name of an exported function, as an address */
    snprintf(wanted, sizeof wanted, " at test_scope.c:%d (", line);
    ck_assert_msg(strstr(report, wanted) || strstr(report, " at 0x") || strstr(report, " in "), "%s", report);
    ck_assert_msg(!strstr(report, "test_scope.c") || strstr(report, wanted), "%s", report);
    free(report);
}
END_TEST

static void count_call(void *data, void *user)
{
    (void)data;
    ++*(int *)user;
}
START_TEST(a_variable_from_the_users_memory_calls_its_deleter_once)
{
    static int calls;
    static double numbers[4] = { 1, 2, 3, 4 };
    {
        AG_SCOPE;
        Variable *x = ag_from_blob(numbers, AG_SHAPE(2, 2), AG_SCALAR_SHAPE, AG_FLOAT64, count_call, &calls);
        Variable *t = ag_transpose(x, 0, 1);
        ck_assert_ptr_eq(ag_data(x), numbers);
        VALUES(t, 1, 3, 2, 4);
        OK(ag_mul_(x, x));
    }
    ck_assert_int_eq(calls, 1);
    ck_assert_double_eq(numbers[3], 16);
    REFUSED(ag_from_blob(numbers, AG_SHAPE(-2), AG_SCALAR_SHAPE, AG_FLOAT64, count_call, &calls), "");
    ck_assert_int_eq(calls, 2);
}
END_TEST

SUPPORT_MAIN("scope", what_a_block_makes_dies_with_it_however_it_is_left, keep_moves_a_variable_one_scope_out,
             keep_wants_a_variable_and_a_scope, what_a_goto_leaves_dies_too,
             nested_calls_leave_only_what_the_graph_needs, let_goes_of_the_old_value_at_once,
             retain_outlives_every_scope_until_release, what_is_held_by_nobody_is_not_released_or_retained,
             saved_tensors_go_as_soon_as_backward_has_used_them,
             scopes_opened_by_hand_nest_and_an_outer_end_closes_the_inner_ones,
             a_jump_out_of_scopes_is_made_good_by_the_scope_round_it, a_thread_that_ends_lets_go_of_its_root_scope,
             leaks_lists_what_is_alive_by_shape_and_op, leaks_says_who_asked_for_each,
             a_variable_from_the_users_memory_calls_its_deleter_once)

/* test_autograd.c - the Variable's contract: what a PyTorch user counts on, a sentence each. */
#include "support.h"

#include <pthread.h>

/* ---- requires_grad, leaves, .grad ---- */

START_TEST(a_result_requires_a_gradient_if_and_only_if_an_input_does)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *c = ag_tensor(((double[]){ 3, 4 }), AG_SHAPE(2));
    ck_assert(ag_requires_grad(ag_mul(x, c)));
    ck_assert(ag_requires_grad(ag_mul(c, x)));
    ck_assert(!ag_requires_grad(ag_mul(c, c)));
    ck_assert(!ag_requires_grad(ag_gt(x, c)));
    ck_assert(!ag_requires_grad(ag_max_dim(x, 0).indices));
}
END_TEST

START_TEST(requires_grad_can_be_set_on_leaves_of_a_floating_type_only)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, x);
    REFUSED(ag_requires_grad_(y, false), "you can only change requires_grad flags of leaf variables");
    ck_assert(ag_requires_grad(y));
    REFUSED(ag_requires_grad_(ag_tensor(((int64_t[]){ 1 }), AG_SHAPE(1))),
            "only Tensors of floating point dtype can require gradients");
    OK(ag_requires_grad_(x, false));
    ck_assert(!ag_requires_grad(x));
    REFUSED(ag_requires_grad_(ag_scalar(2.0)), "shared");
}
END_TEST

START_TEST(leaves_are_what_the_user_made_and_what_wants_no_gradient)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *c = ag_tensor(((double[]){ 3, 4 }), AG_SHAPE(2));
    ck_assert(ag_is_leaf(x));
    ck_assert(ag_is_leaf(ag_mul(c, c)));
    ck_assert(!ag_is_leaf(ag_mul(x, c)));
    ck_assert_ptr_null(ag_grad_fn(x));
    ck_assert_str_eq(ag_node_name(ag_grad_fn(ag_mul(x, c))), "MulBackward0");
    ck_assert_int_eq(ag_output_nr(ag_mul(x, c)), 0);
}
END_TEST

START_TEST(a_nodes_next_functions_lead_back_to_the_leaves)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *c = ag_tensor(((double[]){ 3, 4 }), AG_SHAPE(2)), *y = ag_exp(ag_mul(c, x));
    ag_next next;
    ck_assert(ag_next_function(ag_grad_fn(y), 0, &next));
    ck_assert_str_eq(next.name, "MulBackward0");
    Node *mul = next.node;
    ck_assert(ag_next_function(mul, 0, &next));
    ck_assert(!next.node && !next.leaf && !next.name);
    ck_assert(ag_next_function(mul, 1, &next));
    ck_assert_ptr_eq(next.leaf, x);
    ck_assert_str_eq(next.name, "AccumulateGrad");
    ck_assert(!ag_next_function(mul, 2, &next));
}
END_TEST

START_TEST(grad_is_null_before_the_first_backward_and_then_adds_up)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2);
    ck_assert_ptr_null(ag_grad(x));
    for (int k = 1; k <= 3; k++) {
        Variable *y = ag_mul(x, x);
        OK(ag_backward(ag_sum(y)));
        VALUES(ag_grad(x), 2.0 * k, 4.0 * k);
        ck_assert_ptr_null(ag_grad(y));
    }
    ck_assert(!ag_requires_grad(ag_grad(x)));
    OK(ag_set_grad(x, AG_NONE));
    ck_assert_ptr_null(ag_grad(x));
    REFUSED(ag_set_grad(x, ag_zeros(AG_SHAPE(3), .dtype = AG_FLOAT64)), "different shape");
    REFUSED(ag_set_grad(x, x), "own grad");
}
END_TEST

START_TEST(a_gradient_that_is_also_someone_elses_is_copied)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *g = ag_tensor(((double[]){ 5, 6 }), AG_SHAPE(2));
    OK(ag_backward(ag_add(x, x), .gradient = g));
    VALUES(ag_grad(x), 10, 12);
    OK(ag_set_grad(x, AG_NONE));
    OK(ag_backward(x, .gradient = g));
    ck_assert_ptr_ne(ag_grad(x), g);
    ck_assert(!ag_shares_storage(ag_grad(x), g));
    OK(ag_backward(x, .gradient = g));
    VALUES(ag_grad(x), 10, 12);
    VALUES(g, 5, 6);
}
END_TEST

START_TEST(a_gradient_lies_as_its_leaf_does)
{
    Variable *x = ag_requires_grad_(
        ag_zeros(AG_SHAPE(3, 2, 2, 2), .dtype = AG_FLOAT64, .memory_format = AG_BATCH_LAST));
    OK(ag_backward(ag_sum(x)));
    ck_assert_mem_eq(ag_stride(ag_grad(x)).at, ag_stride(x).at, 4 * sizeof(int64_t));
}
END_TEST

START_TEST(retain_grad_keeps_the_gradient_of_an_inner_variable)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, x);
    ck_assert(!ag_retains_grad(y));
    OK(ag_retain_grad(y));
    OK(ag_retain_grad(y));
    ck_assert(ag_retains_grad(y));
    OK(ag_backward(ag_sum(ag_mul(y, y)), .retain_graph = true));
    VALUES(ag_grad(y), 2, 8);
    OK(ag_backward(ag_sum(y)));
    VALUES(ag_grad(y), 3, 9);
    REFUSED(ag_retain_grad(ag_detach(x)), "can't retain_grad on Tensor that has requires_grad=False");
    {
        AG_SCOPE;
        OK(ag_retain_grad(ag_mul(x, x))); /* dies before its node: nothing is left pointing to it */
    }
    Variable *loss;
    {
        AG_SCOPE;
        Variable *inner = ag_mul(x, x);
        OK(ag_retain_grad(inner));
        loss = ag_keep(ag_sum(inner));
    }
    OK(ag_backward(loss));
}
END_TEST

/* ---- backward ---- */

START_TEST(backward_of_more_than_one_number_needs_a_gradient_of_its_shape)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, x);
    REFUSED(ag_backward(y), "grad can be implicitly created only for scalar outputs");
    REFUSED(ag_backward(y, .gradient = ag_ones(AG_SHAPE(3), .dtype = AG_FLOAT64)),
            "Mismatch in shape: grad_output[0] has a shape of torch.Size([3]) and output[0] has a shape of "
            "torch.Size([2]).");
    ck_assert_ptr_null(ag_grad(x));
    OK(ag_backward(y, .gradient = ag_tensor(((double[]){ 1, 10 }), AG_SHAPE(2))));
    VALUES(ag_grad(x), 2, 40);
}
END_TEST

START_TEST(backward_of_what_wants_no_gradient_is_refused)
{
    REFUSED(ag_backward(ag_zeros(AG_SHAPE(1))),
            "element 0 of tensors does not require grad and does not have a grad_fn");
    REFUSED(ag_backward(NULL), "NULL");
}
END_TEST

START_TEST(a_second_backward_needs_retain_graph)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_sum(ag_mul(x, x));
    OK(ag_backward(y, .retain_graph = true));
    OK(ag_backward(y));
    VALUES(ag_grad(x), 4, 8);
    REFUSED(ag_backward(y), "Trying to backward through the graph a second time");
    VALUES(ag_grad(x), 4, 8);
    Variable *z = ag_sum(ag_add(x, x)); /* nothing is saved, so nothing is missing, as in PyTorch */
    OK(ag_backward(z));
    OK(ag_backward(z));
}
END_TEST

START_TEST(create_graph_gives_gradients_of_any_order)
{
    Variable *x = LEAF(AG_SHAPE(1), 3), *y = ag_mul(ag_mul(x, x), ag_mul(x, x)), *g[1]; /* x^4 */
    const double expected[] = { 108, 108, 72, 24 };
    for (int order = 0; order < 4; order++) {
        OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x), g, .create_graph = true));
        y = g[0];
        VALUES(y, expected[order]);
        ck_assert(ag_requires_grad(y) || order == 3);
    }
    ck_assert_ptr_null(ag_grad(x));
}
END_TEST

START_TEST(backward_with_create_graph_leaves_no_cycle_behind)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2);
    OK(ag_backward(ag_sum(ag_mul(x, ag_mul(x, x))), .create_graph = true));
    VALUES(ag_grad(x), 3, 12);
    ck_assert(ag_requires_grad(ag_grad(x)));
    OK(ag_backward(ag_sum(ag_grad(x))));
    VALUES(ag_grad(x), 9, 24); /* 3 x^2 + 6 x: added to the first, as in PyTorch */
} /* support_end finds everything gone although x.grad's graph holds x */
END_TEST

START_TEST(autograd_grad_leaves_grad_alone_and_sums_over_outputs)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *w = LEAF(AG_SHAPE(2), 3, 4), *g[2];
    Variable *a = ag_mul(x, w), *b = ag_mul(x, x);
    OK(ag_autograd_grad(AG_LIST(ag_sum(a), ag_sum(b)), AG_LIST(x, w), g));
    VALUES(g[0], 5, 8);
    VALUES(g[1], 1, 2);
    ck_assert_ptr_null(ag_grad(x));
    ck_assert_ptr_null(ag_grad(w));
}
END_TEST

START_TEST(autograd_grad_takes_inner_variables_and_the_root_itself)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, x), *z = ag_mul(y, y), *s = ag_sum(z), *g[4];
    OK(ag_autograd_grad(AG_LIST(s), AG_LIST(y, x, s, y), g));
    VALUES(g[0], 2, 8);
    VALUES(g[1], 4, 32);
    VALUES(g[2], 1);
    VALUES(g[3], 2, 8);
}
END_TEST

START_TEST(autograd_grad_walks_only_to_its_inputs)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *w = LEAF(AG_SHAPE(2), 3, 4), *g[1];
    Variable *y = ag_mul(w, w), *sum_y = ag_sum(y);
    OK(ag_backward(sum_y)); /* y's graph is used up */
    Variable *z = ag_add(ag_mul(x, x), y);
    OK(ag_autograd_grad(AG_LIST(ag_sum(z)), AG_LIST(x), g));
    VALUES(g[0], 2, 4);
}
END_TEST

START_TEST(autograd_grad_says_which_input_is_unused)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *w = LEAF(AG_SHAPE(2), 3, 4), *y = ag_sum(ag_mul(x, x)), *g[2];
    REFUSED(ag_autograd_grad(AG_LIST(y), AG_LIST(x, w), g, .retain_graph = true),
            "One of the differentiated Tensors appears to not have been used in the graph. Set allow_unused=True");
    ck_assert(!g[0] && !g[1]);
    OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x, w), g, .retain_graph = true, .allow_unused = true));
    VALUES(g[0], 2, 4);
    ck_assert_ptr_null(g[1]);
    OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x, w), g, .materialize_grads = true));
    VALUES(g[1], 0, 0);
    REFUSED(ag_autograd_grad(AG_LIST(y), AG_LIST(ag_detach(x)), g),
            "One of the differentiated Tensors does not require grad");
}
END_TEST

START_TEST(gradients_from_several_readers_add_up_in_any_order_of_their_making)
{
    Variable *x = LEAF(AG_SHAPE(1), 2), *a = ag_mul(x, x), *b = ag_exp(x), *c = ag_mul(a, b),
             *d = ag_add(c, ag_mul(a, x));
    OK(ag_backward(d)); /* x^2 e^x + x^3 */
    VALUES(ag_grad(x), 8 * exp(2) + 12);
}
END_TEST

/* ---- grad mode ---- */

START_TEST(no_grad_records_nothing_and_factories_are_exempt)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2);
    {
        AG_NO_GRAD;
        ck_assert(!ag_is_grad_enabled());
        ck_assert(!ag_requires_grad(ag_mul(x, x)));
        ck_assert(ag_requires_grad(ag_zeros(AG_SHAPE(2), .requires_grad = true)));
        {
            AG_ENABLE_GRAD;
            ck_assert(ag_requires_grad(ag_mul(x, x)));
        }
        ck_assert(!ag_is_grad_enabled());
    }
    ck_assert(ag_is_grad_enabled());
    ag_set_grad_enabled(false);
    ck_assert(!ag_requires_grad(ag_mul(x, x)));
    ag_set_grad_enabled(true);
}
END_TEST

static void *asks_for_grad_mode(void *user)
{
    *(bool *)user = ag_is_grad_enabled();
    return NULL;
}
START_TEST(grad_mode_is_each_threads_own)
{
    AG_NO_GRAD;
    bool enabled = false;
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, asks_for_grad_mode, &enabled), 0);
    pthread_join(thread, NULL);
    ck_assert(enabled);
}
END_TEST

/* ---- detach, versions, in-place ---- */

START_TEST(detach_shares_numbers_and_version_and_never_wants_a_gradient)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_mul(x, x), *d = ag_detach(y);
    ck_assert(ag_shares_storage(y, d));
    ck_assert(!ag_requires_grad(d));
    ck_assert(ag_is_leaf(d));
    OK(ag_add_(d, d));
    VALUES(y, 2, 8);
    ck_assert_int_eq(ag_version(y), 1);
    ck_assert_int_eq(ag_version(d), 1);
    Variable *z = ag_exp(x);
    OK(ag_detach_(z));
    ck_assert(!ag_requires_grad(z) && ag_is_leaf(z));
}
END_TEST

START_TEST(a_saved_variable_that_was_changed_in_place_is_noticed)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *a = ag_mul(x, x), *y = ag_exp(a), *b = ag_mul(a, a);
    OK(ag_add_(y, a)); /* exp keeps its result */
    REFUSED(ag_backward(ag_sum(y)), "one of the variables needed for gradient computation has been modified by an "
                                    "inplace operation: [float64 [2]], "
                                    "which is output 0 of ExpBackward0, is at version 1; expected version 0 instead.");
    OK(ag_zero_(ag_detach(a)));
    REFUSED(ag_backward(ag_sum(b)), "output 0 of MulBackward0, is at version 1; expected version 0");
}
END_TEST

START_TEST(a_change_in_place_of_what_no_backward_reads_is_no_error)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *a = ag_mul(x, x), *b = ag_add(a, x);
    OK(ag_mul_(b, x));
    OK(ag_backward(ag_sum(b))); /* (x^2 + x) x */
    VALUES(ag_grad(x), 5, 16);
}
END_TEST

START_TEST(a_leaf_that_wants_a_gradient_cannot_be_changed_in_place)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2);
    REFUSED(ag_add_(x, x), "a leaf Variable that requires grad is being used in an in-place operation.");
    VALUES(x, 1, 2);
    ck_assert_int_eq(ag_version(x), 0);
    AG_NO_GRAD;
    OK(ag_add_(x, x));
    VALUES(x, 2, 4);
    ck_assert(ag_is_leaf(x) && ag_requires_grad(x));
    ck_assert_int_eq(ag_version(x), 1);
}
END_TEST

START_TEST(a_change_in_place_of_an_inner_variable_becomes_its_history)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *w = LEAF(AG_SHAPE(2), 3, 4), *y = ag_mul(x, x);
    OK(ag_mul_(y, w));
    ck_assert_str_eq(ag_node_name(ag_grad_fn(y)), "MulBackward0");
    OK(ag_backward(ag_sum(y)));
    VALUES(ag_grad(x), 6, 16);
    VALUES(ag_grad(w), 1, 4);
    Variable *c = ag_zeros(AG_SHAPE(2), .dtype = AG_FLOAT64);
    OK(ag_add_(c, x)); /* a leaf that wanted none now does, and is no leaf */
    ck_assert(ag_requires_grad(c) && !ag_is_leaf(c));
}
END_TEST

START_TEST(an_op_in_place_that_needs_the_old_numbers_keeps_them)
{
    Variable *x = LEAF(AG_SHAPE(2), 2, 3), *w = LEAF(AG_SHAPE(2), 5, 7), *y = ag_mul(x, x), *g[1];
    OK(ag_mul_(y, w)); /* w's gradient reads y as it was */
    OK(ag_autograd_grad(AG_LIST(ag_sum(y)), AG_LIST(w), g, .create_graph = true));
    VALUES(g[0], 4, 9);
    OK(ag_backward(ag_sum(g[0]))); /* d w.grad / d x = 2 x */
    VALUES(ag_grad(x), 4, 6);
}
END_TEST

START_TEST(a_view_shares_storage_and_version)
{
    Variable *x = ag_tensor(((double[]){ 1, 2, 3, 4 }), AG_SHAPE(4)), *v = ag_view(x, AG_SHAPE(2, 2)),
             *r = ag_select(v, 0, 1);
    ck_assert(ag_is_view(v) && ag_is_view(r) && !ag_is_view(x));
    ck_assert(ag_shares_storage(x, r));
    OK(ag_zero_(r));
    VALUES(x, 1, 2, 0, 0);
    ck_assert_int_eq(ag_version(x), 1);
    ck_assert_int_eq(ag_version(v), 1);
    ck_assert_int_eq(ag_storage_offset(r), 2);
}
END_TEST

START_TEST(no_change_through_a_view_ends_in_a_wrong_gradient)
{
    Variable *x = LEAF(AG_SHAPE(4), 1, 2, 3, 4), *y = ag_mul(x, x), *v = ag_view(y, AG_SHAPE(2, 2));
    REFUSED(ag_mul_(v, v), "view");
    REFUSED(ag_zero_(ag_view(x, AG_SHAPE(2, 2))),
            "a view of a leaf Variable that requires grad is being used in an in-place operation.");
    OK(ag_mul_(y, x)); /* the base changes: the view made before it is out of date */
    REFUSED(ag_exp(v), "view");
    OK(ag_backward(ag_sum(ag_view(y, AG_SHAPE(2, 2)))));
    VALUES(ag_grad(x), 3, 12, 27, 48);
}
END_TEST

START_TEST(an_op_without_a_derivative_says_so)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2);
    ck_assert(!ag_requires_grad(ag_argmax(x)));
    ck_assert(!ag_requires_grad(ag_eq(x, x)));
}
END_TEST

/* ---- errors stand ---- */

START_TEST(while_an_error_stands_nothing_changes_and_the_first_sentence_stays)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *c = ag_zeros(AG_SHAPE(2)), *y = ag_sum(ag_mul(x, x));
    Variable *bad = ag_add(ag_zeros(AG_SHAPE(2)), ag_zeros(AG_SHAPE(3)));
    ck_assert_ptr_null(bad);
    ck_assert_int_eq(ag_error_code(), AG_EINVAL);
    char first[1024];
    strcpy(first, ag_error());
    ck_assert_ptr_null(ag_exp(bad));
    ck_assert_ptr_null(ag_add_(c, c));
    ck_assert(!ag_backward(y));
    ck_assert_str_eq(ag_error(), first);
    ag_clear_error();
    ck_assert_int_eq(ag_version(c), 0);
    ck_assert_ptr_null(ag_grad(x));
    OK(ag_backward(y));
    REFUSED(ag_exp(NULL), "exp: input is NULL");
}
END_TEST

/* ---- broadcasting and types, undone by the engine ---- */

START_TEST(a_broadcast_inputs_gradient_is_summed_to_its_shape_and_cast_to_its_type)
{
    Variable *row = LEAF(AG_SHAPE(3), 1, 2, 3), *column = LEAF(AG_SHAPE(2, 1), 10, 20),
             *number = LEAF(AG_SCALAR_SHAPE, 2);
    OK(ag_backward(ag_sum(ag_mul(ag_mul(row, column), number))));
    VALUES(ag_grad(row), 60, 60, 60);
    VALUES(ag_grad(column), 12, 12);
    SHAPE(ag_grad(column), 2, 1);
    VALUES(ag_grad(number), 180);
    Variable *single = ag_requires_grad_(ag_ones(AG_SHAPE(3)));
    OK(ag_backward(ag_sum(ag_mul(single, row))));
    ck_assert_int_eq(ag_dtype_of(ag_grad(single)), AG_FLOAT32);
}
END_TEST

/* ---- size ---- */

typedef struct deep {
    int64_t n;
    bool ok;
} deep;

static void *goes_deep(void *user)
{
    deep *d = user;
    ag_scope scope = ag_scope_begin();
    Variable *x = ag_requires_grad_(ag_ones(AG_SHAPE(1))), *y = x;
    for (int64_t i = 0; i < d->n; i++) ag_let(&y, ag_neg(y));
    d->ok = ag_backward(y) && support_at(ag_grad(x), 0) == (d->n % 2 ? -1 : 1);
    Variable *g[1];
    y = x;
    for (int64_t i = 0; i < d->n / 10; i++) ag_let(&y, ag_neg(y));
    d->ok = d->ok && ag_autograd_grad(AG_LIST(y), AG_LIST(x), g, .create_graph = true);
    ag_scope_end(&scope);
    return NULL;
}

START_TEST(a_million_nodes_in_depth_need_no_deep_stack)
{
    deep d = { 1000000, false };
    pthread_t thread;
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 256 << 10);
    ck_assert_int_eq(pthread_create(&thread, &small, goes_deep, &d), 0);
    pthread_join(thread, NULL);
    ck_assert(d.ok);
}
END_TEST

START_TEST(a_million_nodes_in_width_are_walked_and_freed)
{
    enum { WIDTH = 1 << 20 };
    Variable *x = LEAF(AG_SHAPE(1), 1), *sum = ag_neg(x);
    {
        AG_SCOPE;
        Variable **level = malloc(WIDTH * sizeof *level);
        ck_assert_ptr_nonnull(level);
        for (int64_t i = 0; i < WIDTH; i++) level[i] = ag_neg(x);
        for (int64_t n = WIDTH; n > 1; n /= 2) /* a tree of additions */
            for (int64_t i = 0; i < n / 2; i++) level[i] = ag_add(level[2 * i], level[2 * i + 1]);
        sum = ag_keep(level[0]);
        free(level);
    }
    OK(ag_backward(sum));
    VALUES(ag_grad(x), -WIDTH);
}
END_TEST

/* ---- threads ---- */

static void *builds_its_own_graph(void *user)
{
    Variable *w = user;
    for (int i = 0; i < 200; i++) {
        AG_SCOPE;
        Variable *x = ag_full(AG_SHAPE(3), i, .dtype = AG_FLOAT64);
        if (!ag_backward(ag_sum(ag_mul(ag_mul(x, w), w)))) return "failed";
    }
    return NULL;
}

START_TEST(threads_build_graphs_at_once_and_share_a_leaf)
{
    enum { THREADS = 4 };
    Variable *w = LEAF(AG_SHAPE(3), 1, 2, 3);
    pthread_t thread[THREADS];
    for (int i = 0; i < THREADS; i++) ck_assert_int_eq(pthread_create(&thread[i], NULL, builds_its_own_graph, w), 0);
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(thread[i], &failed);
        ck_assert_ptr_null(failed);
    }
    double sum = THREADS * 199.0 * 200; /* 2 w times the sum of i over 200 rounds */
    VALUES(ag_grad(w), sum, 2 * sum, 3 * sum);
}
END_TEST

static void *goes_back(void *user) { return ag_backward(user) ? NULL : "failed"; }
START_TEST(a_graph_can_be_walked_by_another_thread)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y = ag_retain(ag_sum(ag_mul(x, x)));
    pthread_t thread;
    void *failed;
    ck_assert_int_eq(pthread_create(&thread, NULL, goes_back, y), 0);
    pthread_join(thread, &failed);
    ck_assert_ptr_null(failed);
    VALUES(ag_grad(x), 2, 4);
    ag_release(y);
}
END_TEST

/* ---- gradcheck ---- */

static int cubes(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    return y[0] = ag_mul(x[0], ag_mul(x[0], x[1])), 1;
}
/* x^2 with the gradient cut out of one factor: backward finds x, not 2x */
static int half_the_gradient(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    return y[0] = ag_mul(x[0], ag_detach(x[0])), 1;
}
static int fails(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    return y[0] = ag_view(x[0], AG_SHAPE(7)), 1;
}

START_TEST(gradcheck_passes_what_is_right)
{
    Variable *x = LEAF(AG_SHAPE(2, 2), 1, -2, 3, 0.5), *w = LEAF(AG_SHAPE(2), 0.3, -1);
    ag_gradcheck_result result;
    OK(ag_gradcheck(cubes, AG_LIST(x, w), .result = &result));
    ck_assert(result.passed);
    OK(ag_gradgradcheck(cubes, AG_LIST(x, w), .result = &result));
    OK(ag_gradgradcheck(cubes, AG_LIST(x, w), .gen_non_contig_grad_outputs = true));
    ck_assert_ptr_null(ag_grad(x));
}
END_TEST

START_TEST(gradcheck_names_the_element_that_is_wrong)
{
    Variable *x = LEAF(AG_SHAPE(2), 3, 5);
    ag_gradcheck_result result;
    ck_assert(!ag_gradcheck(half_the_gradient, AG_LIST(x), .result = &result));
    ck_assert_ptr_null(ag_error()); /* a verdict, not an error */
    ck_assert(!result.passed);
    ck_assert_int_eq(result.input, 0);
    ck_assert_int_eq(result.output, 0);
    ck_assert_int_eq(result.element, 0);
    ck_assert_double_eq_tol(result.analytic, 3, 1e-9);
    ck_assert_double_eq_tol(result.numeric, 6, 1e-6);
    ck_assert_ptr_nonnull(strstr(result.message, "Jacobian mismatch for output 0 with respect to input 0"));
    ck_assert(!ag_gradgradcheck(half_the_gradient, AG_LIST(x), .result = &result));
}
END_TEST

START_TEST(gradcheck_says_when_it_cannot_check)
{
    Variable *x = LEAF(AG_SHAPE(2), 3, 5), *c = ag_zeros(AG_SHAPE(2), .dtype = AG_FLOAT64);
    REFUSED(ag_gradcheck(cubes, AG_LIST(c, c)), "at least one input tensor to require gradient");
    REFUSED(ag_gradcheck(fails, AG_LIST(x)), "shape '[7]' is invalid");
    Variable *wide = ag_requires_grad_(ag_detach(ag_expand(ag_zeros(AG_SHAPE(1), .dtype = AG_FLOAT64), AG_SHAPE(3))));
    REFUSED(ag_gradcheck(cubes, AG_LIST(wide, wide)), "stride 0");
}
END_TEST

SUPPORT_MAIN(
    "autograd", a_result_requires_a_gradient_if_and_only_if_an_input_does,
    requires_grad_can_be_set_on_leaves_of_a_floating_type_only,
    leaves_are_what_the_user_made_and_what_wants_no_gradient, a_nodes_next_functions_lead_back_to_the_leaves,
    grad_is_null_before_the_first_backward_and_then_adds_up, a_gradient_that_is_also_someone_elses_is_copied,
    a_gradient_lies_as_its_leaf_does, retain_grad_keeps_the_gradient_of_an_inner_variable,
    backward_of_more_than_one_number_needs_a_gradient_of_its_shape, backward_of_what_wants_no_gradient_is_refused,
    a_second_backward_needs_retain_graph, create_graph_gives_gradients_of_any_order,
    backward_with_create_graph_leaves_no_cycle_behind, autograd_grad_leaves_grad_alone_and_sums_over_outputs,
    autograd_grad_takes_inner_variables_and_the_root_itself, autograd_grad_walks_only_to_its_inputs,
    autograd_grad_says_which_input_is_unused, gradients_from_several_readers_add_up_in_any_order_of_their_making,
    no_grad_records_nothing_and_factories_are_exempt, grad_mode_is_each_threads_own,
    detach_shares_numbers_and_version_and_never_wants_a_gradient, a_saved_variable_that_was_changed_in_place_is_noticed,
    a_change_in_place_of_what_no_backward_reads_is_no_error, a_leaf_that_wants_a_gradient_cannot_be_changed_in_place,
    a_change_in_place_of_an_inner_variable_becomes_its_history, an_op_in_place_that_needs_the_old_numbers_keeps_them,
    a_view_shares_storage_and_version, no_change_through_a_view_ends_in_a_wrong_gradient,
    an_op_without_a_derivative_says_so, while_an_error_stands_nothing_changes_and_the_first_sentence_stays,
    a_broadcast_inputs_gradient_is_summed_to_its_shape_and_cast_to_its_type,
    a_million_nodes_in_depth_need_no_deep_stack, a_million_nodes_in_width_are_walked_and_freed,
    threads_build_graphs_at_once_and_share_a_leaf, a_graph_can_be_walked_by_another_thread,
    gradcheck_passes_what_is_right, gradcheck_names_the_element_that_is_wrong, gradcheck_says_when_it_cannot_check)

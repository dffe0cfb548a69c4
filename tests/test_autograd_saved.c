/* test_autograd_saved.c - what PyTorch's test_autograd.py asserts of saved-tensor hooks, checkpoints and anomaly mode
 * (docs/test-autograd.md). */
#include "support.h"

#include <stdio.h>
#include <unistd.h>

/* ---- saved-tensor hooks ---- */

typedef struct store {
    int packed, unpacked, freed;
    char folder[64];
    bool fails_to_unpack;
} store;
static store s;
static void begin(void)
{
    support_begin();
    memset(&s, 0, sizeof s);
}

/* To a file each, and back. */
static void *pack_to_file(Variable *x, void *user)
{
    store *files = user;
    char *path = malloc(128);
    if (!path) return NULL;
    snprintf(path, 128, "%s/%d.safetensors", files->folder, files->packed++);
    ag_state_dict *dict = ag_state_dict_new();
    bool done = ag_state_dict_set(dict, "x", x) && ag_save(dict, path);
    ag_state_dict_free(dict);
    return done ? path : (free(path), NULL);
}
static Variable *unpack_from_file(void *packed, void *user)
{
    ((store *)user)->unpacked++;
    ag_state_dict *dict = ag_load(packed);
    Variable *x = dict ? ag_clone(ag_state_dict_get(dict, "x")) : NULL;
    ag_state_dict_free(dict);
    return x;
}
static void remove_file(void *packed, void *user)
{
    ((store *)user)->freed++;
    ck_assert_int_eq(unlink(packed), 0);
    free(packed);
}

START_TEST(what_is_saved_may_lie_on_the_disk_until_backward_wants_it)
{
    strcpy(s.folder, "/tmp/argent-saved-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(s.folder));
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *y;
    {
        AG_SAVED_TENSORS_HOOKS(pack_to_file, unpack_from_file, .user = &s, .free_packed = remove_file);
        y = ag_sum(ag_mul(ag_exp(x), x));
    }
    ck_assert_int_eq(s.packed, 3);
    OK(ag_backward(y, .retain_graph = true));
    OK(ag_backward(y));
    VALUES(ag_grad(x), 4 * exp(1), 6 * exp(2));
    ck_assert(s.unpacked == 6 && s.freed == 3);
    ck_assert_int_eq(rmdir(s.folder), 0); /* the files have gone with the graph */
}
END_TEST

static void *pack(Variable *x, void *user)
{
    ((store *)user)->packed++;
    return ag_retain(ag_clone(x));
}
static Variable *unpack(void *packed, void *user)
{
    store *of = user;
    of->unpacked++;
    return of->fails_to_unpack ? ag_mm(packed, packed) : packed;
}
static void let_go(void *packed, void *user)
{
    ((store *)user)->freed++;
    ag_release(packed);
}
#define PACKED_IN(of) AG_SAVED_TENSORS_HOOKS(pack, unpack, .user = &(of), .free_packed = let_go)

static bool cubes(ag_context *ctx, ag_list in, Variable **out)
{
    Variable *square = ag_square(in.at[0]);
    return (out[0] = ag_mul(square, in.at[0])) && ag_save_for_backward(ctx, AG_LIST(in.at[0], square));
}
static bool cubes_backward(ag_context *ctx, Variable *const *g, Variable **grad)
{
    ag_list saved = ag_saved_tensors(ctx);
    return saved.n == 2 && (grad[0] = ag_mul(g[0], ag_mul(saved.at[1], ag_scalar(3))));
}
START_TEST(what_a_custom_function_saves_goes_through_the_hooks_also_what_is_neither_input_nor_output)
{
    static const ag_function cube = { .name = "Cube", .forward = cubes, .backward = cubes_backward };
    Variable *x = LEAF(AG_SHAPE(2), 2, 3), *y;
    {
        PACKED_IN(s);
        y = ag_sum(ag_function_apply(&cube, AG_LIST(x)));
    }
    ck_assert_int_eq(s.packed, 2);
    OK(ag_backward(y));
    VALUES(ag_grad(x), 12, 27);
    ck_assert(s.unpacked == 2 && s.freed == 2);
}
END_TEST

START_TEST(an_error_in_an_unpack_hook_is_backwards_error)
{
    Variable *x = LEAF(AG_SHAPE(2), 2, 3), *y;
    {
        PACKED_IN(s);
        y = ag_sum(ag_exp(x));
    }
    s.fails_to_unpack = true;
    REFUSED(ag_backward(y), "mm");
    s.fails_to_unpack = false;
    OK(ag_backward(y));
    VALUES(ag_grad(x), exp(2), exp(3));
}
END_TEST

START_TEST(hooks_on_what_is_saved_count_where_forward_ran_not_where_backward_does)
{
    Variable *x = LEAF(AG_SHAPE(1), 2), *inside, *outside = ag_exp(x);
    {
        PACKED_IN(s);
        inside = ag_exp(x);
        OK(ag_backward(outside)); /* saved before */
    }
    ck_assert(s.packed == 1 && s.unpacked == 0);
    OK(ag_backward(inside));
    ck_assert(s.packed == 1 && s.unpacked == 1);
    VALUES(ag_grad(x), 2 * exp(2));
}
END_TEST

START_TEST(what_save_on_cpu_keeps_is_nobody_elses_to_change)
{
    Variable *x = LEAF(AG_SHAPE(2), 1, 2), *c = ag_tensor(((double[]){ 5, 6 }), AG_SHAPE(2)), *y;
    {
        AG_SAVE_ON_CPU;
        y = ag_sum(ag_mul(x, c));
    }
    OK(ag_zero_(c)); /* noticed where it is not packed */
    OK(ag_backward(y));
    VALUES(ag_grad(x), 5, 6);
}
END_TEST

START_TEST(forbidding_hooks_ends_with_its_block_and_an_inner_sentence_counts)
{
    {
        AG_DISABLE_SAVED_TENSORS_HOOKS("outer sentence");
        {
            AG_DISABLE_SAVED_TENSORS_HOOKS("inner sentence");
            PACKED_IN(s);
            REFUSED(0, "inner sentence");
        }
        PACKED_IN(s);
        REFUSED(0, "outer sentence");
    }
    PACKED_IN(s);
    OK(ag_exp(LEAF(AG_SHAPE(1), 1)));
    ck_assert_int_eq(s.packed, 1);
}
END_TEST

/* ---- checkpoints ---- */

typedef struct part {
    int runs;
    Variable *weight;
} part;
static int weighs(Variable *const *x, int n, Variable **y, void *user)
{
    part *p = user;
    (void)n;
    p->runs++;
    return y[0] = ag_exp(ag_mul(x[0], p->weight)), 1;
}
static int detaches(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    return y[0] = ag_mul(ag_detach(x[0]), ag_scalar(2)), y[1] = ag_mul(ag_square(ag_detach(ag_exp(x[0]))), x[0]), 2;
}
static int changes_in_place(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    y[0] = ag_clone(x[0]);
    ag_mul_(ag_select(y[0], 0, 0), ag_sin(ag_select(x[0], 0, 1)));
    return ag_exp_(y[0]), 1;
}

START_TEST(a_parameter_that_a_checkpoint_reads_gets_its_gradient_whether_or_not_the_input_wants_one)
{
    for (int wants = 0; wants < 2; wants++) {
        part p = { .weight = LEAF(AG_SHAPE(1), 0.5) };
        Variable *x = ag_requires_grad_(ag_tensor(((double[]){ 2 }), AG_SHAPE(1)), wants);
        Variable *y = ag_checkpoint(weighs, AG_LIST(x), .user = &p);
        OK(ag_backward(ag_mul(y, p.weight))); /* read outside, too */
        VALUES(ag_grad(p.weight), exp(1) * 2 * 0.5 + exp(1));
        if (wants) VALUES(ag_grad(x), exp(1) * 0.25);
        ck_assert_int_eq(p.runs, 2);
    }
    part p = { .weight = LEAF(AG_SHAPE(1), 0.5) };
    Variable *y = ag_checkpoint(weighs, AG_LIST(ag_ones(AG_SHAPE(1))), .user = &p, .use_reentrant = true);
    ck_assert(!ag_requires_grad(y)); /* the reentrant one asks its inputs alone */
}
END_TEST

START_TEST(a_checkpoint_may_detach_and_change_in_place_inside)
{
    Variable *x = LEAF(AG_SHAPE(2), 0.5, 1.5), *expected[1], *g[1], *y[1];
    List two = ag_checkpoint_list(detaches, AG_LIST(x));
    ck_assert(two.n == 2 && !ag_requires_grad(two.at[0]) && ag_requires_grad(two.at[1]));
    OK(ag_autograd_grad(AG_LIST(ag_sum(two.at[1])), AG_LIST(x), g));
    VALUES(g[0], exp(1), exp(3));
    ck_assert_int_eq(changes_in_place((Variable *const[]){ x }, 1, y, NULL), 1);
    OK(ag_autograd_grad(AG_LIST(ag_sum(y[0])), AG_LIST(x), expected));
    OK(ag_autograd_grad(AG_LIST(ag_sum(ag_checkpoint(changes_in_place, AG_LIST(x)))), AG_LIST(x), g));
    CLOSE(g[0], expected[0], 1e-15);
}
END_TEST

START_TEST(a_chain_of_checkpoints_gives_the_gradients_of_the_chain)
{
    part p = { .weight = LEAF(AG_SHAPE(1), 0.3) };
    Variable *x = LEAF(AG_SHAPE(1), 0.2), *plain = x, *kept = x, *expected[2], *g[2], *y[1];
    for (int i = 0; i < 4; i++) {
        weighs((Variable *const[]){ plain }, 1, y, &p);
        plain = y[0];
        kept = ag_checkpoint(weighs, AG_LIST(kept), .user = &p);
    }
    OK(ag_autograd_grad(AG_LIST(plain), AG_LIST(x, p.weight), expected));
    p.runs = 0;
    OK(ag_autograd_grad(AG_LIST(kept), AG_LIST(x, p.weight), g));
    ck_assert_int_eq(p.runs, 4);
    CLOSE(g[0], expected[0], 1e-14);
    CLOSE(g[1], expected[1], 1e-14);
}
END_TEST

START_TEST(a_checkpoint_and_save_on_cpu_go_together)
{
    part p = { .weight = LEAF(AG_SHAPE(1), 0.5) };
    Variable *x = LEAF(AG_SHAPE(1), 2), *y;
    {
        AG_SAVE_ON_CPU;
        y = ag_checkpoint(weighs, AG_LIST(ag_square(x)), .user = &p);
    }
    OK(ag_backward(ag_mul(y, y)));
    VALUES(ag_grad(x), 2 * exp(4) * 0.5 * 4);
    VALUES(ag_grad(p.weight), 2 * exp(4) * 4);
}
END_TEST

/* ---- anomaly mode ---- */

START_TEST(anomaly_mode_finds_a_nan_in_a_derivative_of_the_second_order)
{
    Variable *x = LEAF(AG_SHAPE(1), 0), *g[1];
    AG_DETECT_ANOMALY;
    Variable *y = ag_pow(ag_abs(x), ag_scalar(1.5)); /* 1.5 sqrt(0) sign(0), whose derivative is inf * 0 */
    OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x), g, .create_graph = true));
    REFUSED(ag_backward(ag_mul(g[0], ag_scalar(0))), "returned nan values in its 0th output.");
}
END_TEST

static Variable *nan_instead(Variable *g, void *user)
{
    (void)user;
    return ag_full_like(g, NAN);
}
START_TEST(anomaly_mode_looks_at_what_nodes_give_and_not_at_what_they_are_given)
{
    Variable *x = LEAF(AG_SHAPE(1), 2);
    AG_DETECT_ANOMALY;
    REFUSED(ag_backward(ag_mul(ag_exp(x), ag_scalar(2)), .gradient = ag_full(AG_SHAPE(1), NAN, .dtype = AG_FLOAT64)),
            "Function 'MulBackward0' returned nan values in its 0th output.");
    Variable *y = ag_exp(x);
    OK(ag_register_hook(y, nan_instead));
    REFUSED(ag_backward(ag_mul(y, ag_scalar(2))), "Function 'ExpBackward0' returned nan values in its 0th output.");
    OK(ag_backward(ag_exp(x), .gradient = ag_full(AG_SHAPE(1), INFINITY, .dtype = AG_FLOAT64))); /* inf is none */
}
END_TEST

START_TEST(anomaly_mode_ends_with_its_block_and_nests)
{
    {
        AG_DETECT_ANOMALY;
        ck_assert(ag_is_anomaly_enabled() && ag_is_anomaly_check_nan_enabled());
        {
            AG_DETECT_ANOMALY;
            ag_set_detect_anomaly(true, .check_nan = false);
        }
        ck_assert(ag_is_anomaly_enabled() && ag_is_anomaly_check_nan_enabled());
        ag_set_detect_anomaly(false);
    }
    ck_assert(!ag_is_anomaly_enabled());
}
END_TEST

int main(void)
{
    const TTest *all[] = { what_is_saved_may_lie_on_the_disk_until_backward_wants_it,
                           what_a_custom_function_saves_goes_through_the_hooks_also_what_is_neither_input_nor_output,
                           an_error_in_an_unpack_hook_is_backwards_error,
                           hooks_on_what_is_saved_count_where_forward_ran_not_where_backward_does,
                           what_save_on_cpu_keeps_is_nobody_elses_to_change,
                           forbidding_hooks_ends_with_its_block_and_an_inner_sentence_counts,
                           a_parameter_that_a_checkpoint_reads_gets_its_gradient_whether_or_not_the_input_wants_one,
                           a_checkpoint_may_detach_and_change_in_place_inside,
                           a_chain_of_checkpoints_gives_the_gradients_of_the_chain,
                           a_checkpoint_and_save_on_cpu_go_together,
                           anomaly_mode_finds_a_nan_in_a_derivative_of_the_second_order,
                           anomaly_mode_looks_at_what_nodes_give_and_not_at_what_they_are_given,
                           anomaly_mode_ends_with_its_block_and_nests };
    return support_main_with("autograd_saved", all, sizeof all / sizeof *all, begin, support_end);
}

/* test_contract_modules.c - the Variable's contract, a sentence of docs/contract.md each: Modules, their hooks, modes
 * and initialisation. */
#include "support.h"

#define FLOATS(...) ag_tensor(((double[]){ __VA_ARGS__ }), AG_SHAPE(sizeof((double[]){ __VA_ARGS__ }) / sizeof(double)))

/* Two layers in a Sequential, a scale, a running mean. */
typedef struct {
    Module base;
    Module *layer1, *drop;
    Variable *scale, *mean;
} Net;
static Variable *net_forward(Module *self, Variable *x)
{
    Net *net = (Net *)self;
    return ag_mul(ag_forward(net->drop, ag_forward(net->layer1, x)), net->scale);
}
static int net_extra(const Module *self, char *text, size_t room)
{
    (void)self;
    return snprintf(text, room, "scaled=True");
}
static Net *net_new(void)
{
    Net *net = AG_MODULE_NEW(Net, net_forward);
    if (net) net->base.extra_repr = net_extra;
    AG_CHILD(net, layer1, ag_nn_sequential(ag_nn_linear(2, 3), ag_nn_relu()));
    AG_CHILD(net, drop, ag_nn_dropout(0.5));
    AG_PARAMETER(net, scale, ag_ones(AG_SHAPE(3)));
    AG_BUFFER(net, mean, ag_zeros(AG_SHAPE(3)));
    return AG_MODULE_DONE(net);
}

/* ---- Module ---- */

static const char *names(Net *net, ag_named_kind kind)
{
    static char text[256];
    text[0] = 0;
    for (ag_named at = { 0 }; ag_module_named(AG_MODULE(net), kind, &at);) strcat(strcat(text, at.name), " ");
    return text;
}
START_TEST(a_module_has_parameters_buffers_and_children_by_name) /* row 49 */
{
    Net *net = net_new();
    ck_assert_int_eq(ag_parameters(net).n, 3);
    ck_assert_str_eq(names(net, AG_NAMED_PARAMETERS), "scale layer1.0.weight layer1.0.bias ");
    ck_assert_str_eq(names(net, AG_NAMED_BUFFERS), "mean ");
    ck_assert_str_eq(names(net, AG_NAMED_CHILDREN), "layer1 drop ");
    ck_assert_str_eq(names(net, AG_NAMED_MODULES), " layer1 layer1.0 layer1.1 drop ");
    for (ag_named p = { 0 }; ag_named_parameters(net, &p);)
        ck_assert(ag_requires_grad(p.variable) && ag_is_leaf(p.variable));
    ck_assert(!ag_requires_grad(net->mean));
    ag_module_free(net);
}
END_TEST

START_TEST(state_dict_names_are_dotted_paths) /* row 49: layer1.0.weight */
{
    Net *net = net_new();
    ag_state_dict *dict = ag_nn_state_dict(net);
    static const char *const expected[] = { "scale", "mean", "layer1.0.weight", "layer1.0.bias" };
    int n = 0;
    for (ag_state_item s = { 0 }; ag_state_dict_next(dict, &s); n++) ck_assert_str_eq(s.name, expected[n]);
    ck_assert_int_eq(n, 4);
    ck_assert(ag_shares_storage(ag_state_dict_get(dict, "scale"), net->scale));
    ag_state_dict_free(dict);
    ag_module_free(net);
}
END_TEST

START_TEST(a_strict_load_is_an_error_that_lists_missing_and_unexpected_keys) /* row 49 */
{
    Net *net = net_new();
    ag_state_dict *dict = ag_state_dict_new();
    OK(ag_state_dict_set(dict, "scale", ag_full(AG_SHAPE(3), 5)));
    OK(ag_state_dict_set(dict, "layer1.0.weight", ag_full(AG_SHAPE(3, 2), 6)));
    OK(ag_state_dict_set(dict, "mean", ag_zeros(AG_SHAPE(3))));
    OK(ag_state_dict_set(dict, "other", ag_zeros(AG_SHAPE(1))));
    ck_assert(!ag_nn_load_state_dict(net, dict));
    ck_assert_str_eq(ag_error(), "Error(s) in loading state_dict for Net:\n\tMissing key(s) in state_dict: "
                                 "\"layer1.0.bias\". \n\tUnexpected key(s) in state_dict: \"other\". ");
    ag_clear_error();
    VALUES(net->scale, 1, 1, 1);
    OK(ag_nn_load_state_dict(net, dict, .strict = false));
    VALUES(net->scale, 5, 5, 5);
    ag_named missing = { 0 };
    ck_assert(ag_nn_missing_keys(net, dict, &missing));
    ck_assert_str_eq(missing.name, "layer1.0.bias");
    ck_assert(!ag_nn_missing_keys(net, dict, &missing));
    ag_state_item unexpected = { 0 };
    ck_assert(ag_nn_unexpected_keys(net, dict, &unexpected));
    ck_assert_str_eq(unexpected.name, "other");
    ag_state_dict_free(dict);
    ag_module_free(net);
}
END_TEST

static bool counts(Module *m, void *user)
{
    (void)m;
    return ++*(int *)user;
}
START_TEST(apply_zero_grad_and_to_reach_the_whole_tree) /* row 49: .cuda waits for CUDA */
{
    Net *net = net_new();
    int n = 0;
    OK(ag_module_apply(net, counts, &n));
    ck_assert_int_eq(n, 5);
    OK(ag_module_double(net));
    Variable *scale = net->scale;
    for (ag_named p = { 0 }; ag_module_named(AG_MODULE(net), AG_NAMED_STATE, &p);)
        ck_assert_int_eq(ag_dtype_of(p.variable), AG_FLOAT64);
    ck_assert_ptr_eq(net->scale, scale); /* the same Variable, as an optimizer holds it */
    OK(ag_backward(ag_sum(ag_forward(net, ag_ones(AG_SHAPE(1, 2), .dtype = AG_FLOAT64)))));
    for (ag_named p = { 0 }; ag_named_parameters(net, &p);) ck_assert_ptr_nonnull(ag_grad(p.variable));
    OK(ag_zero_grad(net));
    for (ag_named p = { 0 }; ag_named_parameters(net, &p);) ck_assert_ptr_null(ag_grad(p.variable));
    if (!ag_cuda_is_available()) REFUSED(ag_module_cuda(net), "cuda");
    ag_module_free(net);
}
END_TEST

START_TEST(a_module_prints_as_a_tree_with_extra_repr) /* row 49 */
{
    Net *net = net_new();
    char text[512];
    ag_nn_repr(net, text, sizeof text);
    ck_assert_str_eq(text, "Net(\n"
                           "  scaled=True\n"
                           "  (layer1): Sequential(\n"
                           "    (0): Linear(in_features=2, out_features=3, bias=True)\n"
                           "    (1): ReLU()\n"
                           "  )\n"
                           "  (drop): Dropout(p=0.5, inplace=False)\n"
                           ")");
    ag_module_free(net);
}
END_TEST

/* ---- train, eval ---- */

START_TEST(train_and_eval_are_orthogonal_to_grad_mode_and_affect_dropout) /* row 15: there is no BatchNorm yet */
{
    Net *net = net_new();
    Variable *x = ag_ones(AG_SHAPE(100, 2));
    ck_assert(net->base.training && net->drop->training);
    OK(ag_eval(net));
    ck_assert(!net->base.training && !net->drop->training && !net->layer1->training);
    Variable *y = ag_forward(net, x);
    ck_assert(ag_requires_grad(y)); /* eval mode records */
    ck_assert(ag_equal(y, ag_forward(net, x)));
    OK(ag_train(net));
    AG_NO_GRAD;
    y = ag_forward(net, x); /* no_grad mode drops all the same */
    ck_assert(!ag_requires_grad(y) && !ag_equal(y, ag_forward(net, x)));
    ag_module_free(net);
}
END_TEST

/* ---- hooks ---- */

typedef struct log_book {
    char order[32];
} log_book;
typedef struct tag {
    log_book *log;
    char mark;
    double factor;
} tag;
static void note(tag *t) { t->log->order[strlen(t->log->order)] = t->mark; }
static Variable *on_input(Module *m, Variable *input, void *user)
{
    tag *t = user;
    (void)m;
    note(t);
    return t->factor ? ag_mul(input, ag_scalar(t->factor)) : NULL;
}
static Variable *on_output(Module *m, Variable *input, Variable *output, void *user)
{
    (void)input;
    return on_input(m, output, user);
}
static Variable *on_grads(Module *m, Variable *grad_input, Variable *grad_output, void *user)
{
    ck_assert_ptr_nonnull(grad_output);
    return on_input(m, grad_input, user);
}

START_TEST(module_hooks_replace_input_output_and_gradients) /* row 29 */
{
    log_book log = { "" };
    tag pre = { &log, 'i', 2 }, post = { &log, 'o', 10 }, back_pre = { &log, 'g', 3 }, back = { &log, 'x', 5 };
    Module *tanh = ag_nn_identity();
    OK(ag_module_register_forward_pre_hook(tanh, on_input, &pre));
    OK(ag_module_register_forward_hook(tanh, on_output, &post));
    OK(ag_module_register_full_backward_pre_hook(tanh, on_input, &back_pre));
    ag_hook handle = ag_module_register_full_backward_hook(tanh, on_grads, &back);
    OK(handle);
    Variable *x = LEAF(AG_SHAPE(1), 1), *y = ag_forward(tanh, x);
    VALUES(y, 20);
    ck_assert_str_eq(log.order, "io");
    OK(ag_backward(y));
    ck_assert_str_eq(log.order, "iogx");
    VALUES(ag_grad(x), 10 * 3 * 5 * 2);
    OK(ag_hook_remove(handle));
    OK(ag_backward(ag_forward(tanh, x)));
    ck_assert_str_eq(log.order, "iogxiog");
    ag_module_free(tanh);
}
END_TEST

START_TEST(global_module_hooks_run_before_a_modules_own) /* row 29 */
{
    log_book log = { "" };
    tag own[] = { { &log, 'i', 0 }, { &log, 'o', 0 }, { &log, 'g', 0 }, { &log, 'x', 0 } };
    tag all[] = { { &log, 'I', 0 }, { &log, 'O', 0 }, { &log, 'G', 0 }, { &log, 'X', 0 } };
    Module *m = ag_nn_tanh();
    OK(ag_module_register_forward_pre_hook(m, on_input, &own[0]));
    OK(ag_module_register_forward_hook(m, on_output, &own[1]));
    OK(ag_module_register_full_backward_pre_hook(m, on_input, &own[2]));
    OK(ag_module_register_full_backward_hook(m, on_grads, &own[3]));
    ag_hook global[] = { ag_nn_register_module_forward_pre_hook(on_input, &all[0]),
                         ag_nn_register_module_forward_hook(on_output, &all[1]),
                         ag_nn_register_module_full_backward_pre_hook(on_input, &all[2]),
                         ag_nn_register_module_full_backward_hook(on_grads, &all[3]) };
    OK(ag_backward(ag_forward(m, LEAF(AG_SHAPE(1), 1))));
    ck_assert_str_eq(log.order, "IiOoGgXx");
    for (int i = 0; i < 4; i++) OK(ag_hook_remove(global[i]));
    ag_module_free(m);
}
END_TEST

/* ---- initialisation ---- */

START_TEST(linear_is_initialised_by_kaiming_uniform_with_a_of_sqrt_5) /* row 50 */
{
    enum { IN = 16, OUT = 200 };
    Module *layer = ag_nn_linear(IN, OUT);
    Variable *w = ag_get_parameter(layer, "weight"), *b = ag_get_parameter(layer, "bias");
    ag_manual_seed(0);
    Variable *same = ag_nn_init_kaiming_uniform_(ag_empty(AG_SHAPE(OUT, IN)), .a = sqrt(5));
    ck_assert(ag_equal(w, same)); /* weight before bias */
    Variable *bias = ag_nn_init_uniform_(ag_empty(AG_SHAPE(OUT)), -0.25, 0.25);
    ck_assert(ag_equal(b, bias));
    for (int k = 0; k < 2; k++) { /* U(-1/sqrt(fan_in), 1/sqrt(fan_in)) */
        Variable *x = ag_detach(k ? b : w);
        ck_assert_double_le(ag_item(ag_max(ag_abs(x))), 0.25);
        ck_assert_double_ge(ag_item(ag_max(x)), 0.24);
        ck_assert_double_le(ag_item(ag_min(x)), -0.24);
        ck_assert_double_le(fabs(ag_item(ag_mean(x))), 0.03);
    }
    ag_module_free(layer);
}
END_TEST

SUPPORT_MAIN("contract_modules", a_module_has_parameters_buffers_and_children_by_name,
             state_dict_names_are_dotted_paths, a_strict_load_is_an_error_that_lists_missing_and_unexpected_keys,
             apply_zero_grad_and_to_reach_the_whole_tree, a_module_prints_as_a_tree_with_extra_repr,
             train_and_eval_are_orthogonal_to_grad_mode_and_affect_dropout,
             module_hooks_replace_input_output_and_gradients, global_module_hooks_run_before_a_modules_own,
             linear_is_initialised_by_kaiming_uniform_with_a_of_sqrt_5)

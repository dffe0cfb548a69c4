/* test_containers.c - Sequential, ModuleList, ModuleDict: what goes in, comes out and is refused, what they print. */
#include "interpose.h"
#include "support.h"

#include <stdio.h>

/* The types of what is in a container, each with its name before it. */
static const char *items_of(Module *m)
{
    static char text[500];
    text[0] = 0;
    for (ag_named at = { 0 }; ag_nn_items(m, &at);)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s:%s ", at.name, at.module->type);
    return text;
}
#define ITEMS(m, expected) ck_assert_str_eq(items_of(m), expected)

static const char *repr_of(Module *m)
{
    static char text[2000];
    OK(ag_nn_repr(m, text, sizeof text) < sizeof text);
    return text;
}

START_TEST(a_list_is_indexed_from_both_ends)
{
    Module *list = ag_nn_module_list(ag_nn_relu(), ag_nn_tanh(), ag_nn_sigmoid()), *none = ag_nn_module_list();
    ITEMS(list, "0:ReLU 1:Tanh 2:Sigmoid ");
    ck_assert_int_eq(ag_nn_len(list), 3);
    ck_assert_str_eq(ag_nn_at(list, 0)->type, "ReLU");
    ck_assert_ptr_eq(ag_nn_at(list, -1), ag_get_submodule(list, "2"));
    ck_assert_ptr_eq(ag_nn_at(list, -3), ag_nn_at(list, 0));
    REFUSED(ag_nn_at(list, 3), "ModuleList: index 3 is out of range");
    REFUSED(ag_nn_at(list, -4), "ModuleList: index -4 is out of range");
    REFUSED(ag_nn_at(none, 0), "ModuleList: index 0 is out of range");
    ck_assert_int_eq(ag_nn_len(none), 0);
    ITEMS(none, "");
    REFUSED(ag_forward(list, ag_ones(AG_SHAPE(1))), "ModuleList: it has no forward of one input");
    ag_module_free(list);
    ag_module_free(none);
}
END_TEST

START_TEST(a_list_grows_at_its_end_and_in_between)
{
    for (int sequential = 0; sequential < 2; sequential++) {
        Module *list = sequential ? ag_nn_sequential(ag_nn_relu()) : ag_nn_module_list(ag_nn_relu());
        OK(ag_module_add_buffer(list, "scale", ag_ones(AG_SHAPE(1)))); /* is not counted */
        OK(ag_nn_append(list, ag_nn_tanh()));
        OK(ag_nn_insert(list, 0, ag_nn_sigmoid()));
        ITEMS(list, "0:Sigmoid 1:ReLU 2:Tanh ");
        OK(ag_nn_insert(list, -1, ag_nn_identity()));
        OK(ag_nn_insert(list, 4, ag_nn_flatten()));
        ITEMS(list, "0:Sigmoid 1:ReLU 2:Identity 3:Tanh 4:Flatten ");
        OK(ag_nn_extend(list, ag_nn_relu(), ag_nn_relu()));
        ck_assert_int_eq(ag_nn_len(list), 7);
        ck_assert_ptr_eq(ag_get_submodule(list, "6"), ag_nn_at(list, -1));
        REFUSED(ag_nn_insert(list, 8, ag_nn_relu()), "Index out of range: 8");
        REFUSED(ag_nn_insert(list, -8, ag_nn_relu()), "Index out of range: -8");
        REFUSED(ag_nn_insert(list, 0, ag_nn_linear(-1, 1)), "Linear: in_features");
        Module *twice = ag_nn_relu();
        REFUSED(ag_nn_extend(list, twice, ag_nn_linear(-1, 1), twice, ag_nn_relu()), "Linear: in_features");
        twice = ag_nn_relu();
        REFUSED(ag_nn_extend(list, ag_nn_linear(-1, 1), twice, twice), "Linear: in_features");
        ITEMS(list, "0:Sigmoid 1:ReLU 2:Identity 3:Tanh 4:Flatten 5:ReLU 6:ReLU ");
        ag_module_free(list);
    }
}
END_TEST

START_TEST(what_is_popped_is_the_callers_and_those_behind_it_move_up)
{
    Module *list = ag_nn_module_list(ag_nn_linear(1, 2), ag_nn_linear(2, 3), ag_nn_linear(3, 4)), *first, *last;
    first = ag_nn_at(list, 0);
    ck_assert_ptr_eq(ag_nn_pop(list, 0), first);
    ITEMS(list, "0:Linear 1:Linear ");
    SHAPE(ag_get_parameter(list, "0.weight"), 3, 2);
    SHAPE(ag_get_parameter(list, "1.weight"), 4, 3);
    last = ag_nn_pop(list, -1);
    SHAPE(ag_get_parameter(last, "weight"), 4, 3);
    ck_assert_int_eq(ag_parameters(list).n, 2);
    REFUSED(ag_nn_pop(list, 1), "ModuleList: index 1 is out of range");
    OK(ag_nn_append(list, first)); /* the caller's, so it can go in again */
    SHAPE(ag_get_parameter(list, "1.weight"), 2, 1);
    ag_module_free(last);

    Module *other = ag_nn_sequential(first);
    ck_assert_ptr_eq(ag_nn_pop(list, 1), first);
    ag_module_free(first); /* is still a part elsewhere: stays */
    ck_assert_ptr_eq(ag_nn_at(other, 0), first);
    OK(ag_nn_clear(list));
    ck_assert_int_eq(ag_nn_len(list), 0);
    ck_assert_int_eq(ag_parameters(list).n, 0);
    ag_module_free(list);
    ag_module_free(other);
}
END_TEST

START_TEST(a_dictionary_is_read_by_name_in_the_order_given)
{
    Module *dict = ag_nn_module_dict({ "conv", ag_nn_conv2d(1, 2, 3) }, { "act", ag_nn_relu() });
    Module *conv = ag_get_submodule(dict, "conv"), *none = ag_nn_module_dict();
    ITEMS(dict, "conv:Conv2d act:ReLU ");
    ck_assert_ptr_eq(ag_get_parameter(dict, "conv.weight"), ag_get_parameter(conv, "weight"));
    OK(ag_nn_update(dict, { "act", ag_nn_tanh() }, { "last", conv }));
    ITEMS(dict, "conv:Conv2d act:Tanh last:Conv2d ");
    int64_t n = 0;
    for (ag_named p = { 0 }; ag_named_parameters(dict, &p);) n++;
    ck_assert_int_eq(n, 2); /* each once */
    ck_assert_ptr_eq(ag_nn_pop_name(dict, "conv"), conv);
    ITEMS(dict, "act:Tanh last:Conv2d ");
    REFUSED(ag_nn_pop_name(dict, "conv"), "ModuleDict has no module named 'conv'");
    REFUSED(ag_get_submodule(dict, "conv"), "ModuleDict has no submodule named 'conv'");
    REFUSED(ag_nn_update(dict, { "new", ag_nn_relu() }, { "a.b", ag_nn_relu() }, { "late", ag_nn_relu() }),
            "ModuleDict: module name can't contain \".\", got: a.b");
    ITEMS(dict, "act:Tanh last:Conv2d new:ReLU ");
    REFUSED(ag_nn_module_dict({ "a", ag_nn_relu() }, { "", ag_nn_relu() }), "module name can't be empty string");
    ck_assert_int_eq(ag_nn_len(dict), 3);
    OK(ag_nn_clear(dict));
    ITEMS(dict, "");
    ck_assert_int_eq(ag_nn_len(none), 0);
    ag_module_free(dict);
    ag_module_free(none);
}
END_TEST

START_TEST(a_container_refuses_what_is_another_ones)
{
    Module *list = ag_nn_module_list(), *dict = ag_nn_module_dict(), *layer = ag_nn_relu();
    REFUSED(ag_nn_append(dict, ag_nn_relu()), "append: ModuleDict is not a Sequential or a ModuleList");
    REFUSED(ag_nn_insert(layer, 0, ag_nn_relu()), "insert: ReLU is not a Sequential or a ModuleList");
    REFUSED(ag_nn_extend(dict, ag_nn_relu()), "extend: ModuleDict is not a Sequential or a ModuleList");
    REFUSED(ag_nn_at(dict, 0), "at: ModuleDict is not");
    REFUSED(ag_nn_pop(dict, 0), "pop: ModuleDict is not");
    REFUSED(ag_nn_pop_name(list, "0"), "pop_name: ModuleList is not a ModuleDict");
    REFUSED(ag_nn_update(list, { "0", ag_nn_relu() }), "update: ModuleList is not a ModuleDict");
    REFUSED(ag_nn_len(layer), "len: ReLU is not a container");
    REFUSED(ag_nn_clear(layer), "clear: ReLU is not a container");
    ag_named at = { 0 };
    REFUSED(ag_nn_items(layer, &at), "items: ReLU is not a container");
    REFUSED(ag_nn_items(list, NULL), "items: the place is NULL");
    REFUSED(ag_nn_at((Module *)NULL, 0), "at: the module is NULL");
    REFUSED(ag_nn_append(list, list), "ModuleList: 0 would be a part of itself");
    ag_module_free(list);
    ag_module_free(dict);
    ag_module_free(layer);
}
END_TEST

START_TEST(while_an_error_stands_nothing_goes_in_or_out)
{
    Module *list = ag_nn_module_list(ag_nn_relu()), *dict = ag_nn_module_dict({ "a", ag_nn_relu() });
    Module *twice = ag_nn_tanh();
    ag_add(NULL, NULL);
    ck_assert(!ag_nn_append(list, ag_nn_relu()) && !ag_nn_pop(list, 0) && !ag_nn_clear(list));
    ck_assert(!ag_nn_pop_name(dict, "a") && !ag_nn_update(dict, { "b", ag_nn_relu() }));
    ck_assert(!ag_nn_sequential(twice, twice));
    ag_clear_error();
    ITEMS(list, "0:ReLU ");
    ITEMS(dict, "a:ReLU ");
    ag_module_free(list);
    ag_module_free(dict);
}
END_TEST

START_TEST(containers_print_as_in_pytorch)
{
    Module *pair = ag_nn_module_list(ag_nn_tanh(), ag_nn_tanh());
    Module *list = ag_nn_module_list(ag_nn_linear(1, 1), ag_nn_linear(1, 1), ag_nn_relu(), ag_nn_linear(1, 1),
                                     ag_nn_sequential(ag_nn_relu()), ag_nn_sequential(ag_nn_relu()), pair,
                                     ag_nn_module_list(ag_nn_tanh(), ag_nn_tanh()), ag_nn_module_list());
    Module *net = ag_nn_sequential(
        list, ag_nn_module_dict({ "a", ag_nn_relu() }, { "b", ag_nn_module_list(ag_nn_relu()) }), ag_nn_module_dict());
    ck_assert_str_eq(repr_of(net), "Sequential(\n"
                                   "  (0): ModuleList(\n"
                                   "    (0-1): 2 x Linear(in_features=1, out_features=1, bias=True)\n"
                                   "    (2): ReLU()\n"
                                   "    (3): Linear(in_features=1, out_features=1, bias=True)\n"
                                   "    (4-5): 2 x Sequential(\n"
                                   "      (0): ReLU()\n"
                                   "    )\n"
                                   "    (6-7): 2 x ModuleList(\n"
                                   "      (0-1): 2 x Tanh()\n"
                                   "    )\n"
                                   "    (8): ModuleList()\n"
                                   "  )\n"
                                   "  (1): ModuleDict(\n"
                                   "    (a): ReLU()\n"
                                   "    (b): ModuleList(\n"
                                   "      (0): ReLU()\n"
                                   "    )\n"
                                   "  )\n"
                                   "  (2): ModuleDict()\n"
                                   ")");
    ag_module_free(net);
}
END_TEST

/* A module of one's own that runs what it has in its list. */
typedef struct {
    Module base;
    Module *layers;
} Tower;
static Variable *tower_forward(Module *self, Variable *x)
{
    for (ag_named at = { 0 }; ag_nn_items(((Tower *)self)->layers, &at);) x = ag_forward(at.module, x);
    return x;
}

START_TEST(a_forward_of_ones_own_runs_a_list)
{
    Tower *net = AG_MODULE_NEW(Tower, tower_forward);
    AG_CHILD(net, layers, ag_nn_module_list());
    for (int i = 0; i < 3; i++) OK(ag_nn_append(net->layers, ag_nn_linear(2, 2)));
    OK(AG_MODULE_DONE(net));
    OK(ag_backward(ag_sum(ag_forward(net, ag_ones(AG_SHAPE(1, 2))))));
    for (ag_named p = { 0 }; ag_named_parameters(net, &p);) ck_assert_ptr_nonnull(ag_grad(p.variable));
    ck_assert_ptr_nonnull(ag_get_parameter(net, "layers.2.bias"));
    ag_module_free(net);
}
END_TEST

/* ---- a ReLU writes over what nobody else can see ---- */

static Variable *held;     /* what a module keeps for itself */
static const float *there; /* where the numbers lie that it gives */
static Variable *give(Variable *x)
{
    there = x ? ag_data(x) : NULL;
    return x;
}
static Variable *fresh(Module *self, Variable *x)
{
    (void)self;
    return give(ag_neg(x));
}
static Variable *kept(Module *self, Variable *x) { return held = ag_retain(fresh(self, x)); }
static Variable *looked_at(Module *self, Variable *x)
{
    x = fresh(self, x);
    held = ag_retain(ag_detach(x));
    return x;
}
static Variable *a_part(Module *self, Variable *x)
{
    (void)self;
    return give(ag_slice(x, 0, 0, 3));
}
static Variable *itself(Module *self, Variable *x)
{
    (void)self;
    return give(x);
}
static Variable *a_buffer(Module *self, Variable *x)
{
    (void)x;
    return give(ag_get_buffer(self, "numbers"));
}
static Variable *borrowed(Module *self, Variable *x)
{
    static float numbers[3] = { -1, 2, -3 };
    (void)self, (void)x;
    return give(ag_from_blob(numbers, AG_SHAPE(3), AG_SHAPE(1), AG_FLOAT32, NULL, NULL));
}

START_TEST(a_relu_of_a_sequential_writes_over_what_nobody_else_sees)
{
    static const struct {
        ag_forward_function *before;
        bool record, over;
        float first; /* what it gives begins with; 0: it has died */
    } cases[] = {
        { fresh, false, true, 0 },   { fresh, true, false, 0 },       { kept, false, false, -1 },
        { kept, true, false, -1 },   { looked_at, false, false, -1 }, { a_part, false, false, 1 },
        { itself, false, false, 1 }, { a_buffer, false, false, -1 },  { borrowed, false, false, -1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AG_SCOPE;
        Module *first = ag_module_new(sizeof *first, "First", cases[i].before), *net;
        Variable *x = ag_tensor(((float[]){ 1, -2, 3 }), AG_SHAPE(3), .requires_grad = cases[i].record);
        OK(ag_module_add_buffer(first, "numbers", ag_tensor(((float[]){ -1, 2, -3 }), AG_SHAPE(3))));
        OK(net = ag_nn_sequential(first, ag_nn_relu()));
        Variable *y = ag_forward(net, x);
        OK(y);
        const float *got = ag_data(y), *gave = there;
        ck_assert_msg((got == gave) == cases[i].over, "case %d: %d", (int)i, got == gave);
        if (cases[i].first != 0) ck_assert_msg(*gave == cases[i].first, "case %d: %g", (int)i, (double)*gave);
        for (int k = 0; k < 3; k++) ck_assert_msg(got[k] >= 0, "case %d: %g", (int)i, (double)got[k]);
        ag_release(held);
        held = NULL;
        ag_module_free(net);
    }
}
END_TEST

/* What they are alone: shapes of every way that a convolution goes. */
START_TEST(a_convolution_and_the_relu_behind_it_are_one_kernel_and_two_nodes)
{
    static const struct {
        int64_t batch, in, out, side, kernel, stride, padding, groups;
        bool batch_last;
    } cases[] = {
        { 3, 2, 5, 9, 3, 1, 1, 1, false },   { 16, 3, 11, 8, 5, 1, 2, 1, true }, { 2, 16, 24, 20, 3, 1, 1, 1, false },
        { 4, 6, 6, 9, 3, 1, 1, 6, false },   { 2, 8, 12, 6, 1, 1, 0, 1, false }, { 2, 8, 12, 6, 1, 1, 2, 1, true },
        { 1, 40, 9, 12, 3, 2, 1, 1, false }, { 2, 3, 4, 5, 2, 1, 7, 1, false },  { 0, 2, 3, 4, 3, 1, 0, 1, false },
        { 2, 4, 3, 6, 1, 2, 0, 1, false },
    };
    for (int k = 0; k < 2 * (int)(sizeof cases / sizeof *cases); k++) {
        AG_SCOPE;
        const __typeof__(cases[0]) *c = &cases[k / 2];
        const ag_dtype dtype = k % 2 ? AG_FLOAT64 : AG_FLOAT32;
        Module *conv = ag_nn_conv2d(c->in, c->out, c->kernel, .stride = c->stride, .padding = c->padding,
                                    .groups = c->groups, .bias = k % 3 > 0, .dtype = dtype);
        Module *net = ag_nn_sequential(conv, ag_nn_relu(.inplace = k % 4 > 1));
        OK(net);
        Variable *x = support_draw(AG_SHAPE(c->batch, c->in, c->side, c->side), dtype, 1), *y[2], *grads[2][2];
        if (c->batch > 0) OK(ag_fill_(ag_select(ag_select(ag_select(x, 0, 0), 0, 0), 0, 0), NAN));
        x = ag_requires_grad_(c->batch_last ? ag_contiguous(x, .memory_format = AG_BATCH_LAST) : x);
        Variable *w = ag_get_parameter(conv, "weight");
        y[0] = ag_forward(net, x);
        y[1] = ag_relu(ag_forward(conv, x));
        for (int i = 0; i < 2; i++) {
            OK(y[i]);
            ag_next next;
            ck_assert_str_eq(ag_node_name(ag_grad_fn(y[i])), "ReluBackward0");
            OK(ag_next_function(ag_grad_fn(y[i]), 0, &next));
            ck_assert_str_eq(next.name, "ConvolutionBackward0");
            OK(ag_autograd_grad(AG_LIST(ag_sum(ag_square(y[i]))), AG_LIST(x, w), grads[i]));
        }
        ck_assert_msg(ag_item(ag_all(ag_isclose(y[0], y[1], .rtol = 0, .atol = 0, .equal_nan = true))), "case %d", k);
        for (int i = 0; i < 2; i++)
            ck_assert_msg(
                ag_item(ag_all(ag_isclose(grads[0][i], grads[1][i], .rtol = 0, .atol = 0, .equal_nan = true))),
                "case %d", k);
        ag_module_free(net);
    }
}
END_TEST

START_TEST(without_memory_a_container_is_as_it_was)
{
    for (int64_t at = 1, undisturbed = 0; !undisturbed; at++) {
        Module *list = ag_nn_module_list(ag_nn_relu()), *dict = ag_nn_module_dict({ "a", ag_nn_relu() });
        Module *one = ag_nn_relu(), *two = ag_nn_tanh();
        interpose_start(at, false);
        bool extended = ag_nn_extend(list, one, two, one), updated = extended && ag_nn_update(dict, { "b", two });
        undisturbed = interpose_stop() < at;
        ck_assert(undisturbed ? extended && updated : extended + updated == 2 || ag_error_code() == AG_ENOMEM);
        ag_clear_error();
        ITEMS(list, extended ? "0:ReLU 1:ReLU 2:Tanh 3:ReLU " : "0:ReLU ");
        ITEMS(dict, updated ? "a:ReLU b:Tanh " : "a:ReLU ");
        ag_module_free(list);
        ag_module_free(dict);
    }
}
END_TEST

SUPPORT_MAIN("containers", a_list_is_indexed_from_both_ends, a_list_grows_at_its_end_and_in_between,
             what_is_popped_is_the_callers_and_those_behind_it_move_up, a_dictionary_is_read_by_name_in_the_order_given,
             a_container_refuses_what_is_another_ones, while_an_error_stands_nothing_goes_in_or_out,
             containers_print_as_in_pytorch, a_forward_of_ones_own_runs_a_list,
             a_relu_of_a_sequential_writes_over_what_nobody_else_sees,
             a_convolution_and_the_relu_behind_it_are_one_kernel_and_two_nodes, without_memory_a_container_is_as_it_was)

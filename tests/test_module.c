/* test_module.c - Module: names and their order, parts that are shared, replaced or missing, deep trees, what is done
 * to a whole tree, printing of one's own modules. */
#include "interpose.h"
#include "support.h"

#include <stdio.h>

/* A module of one's own with parts of every kind. */
typedef struct {
    Module base;
    Module *first, *second, *third;
    Variable *scale, *offset, *mean;
    int freed; /* in the last module that goes */
} Net;

static Variable *net_forward(Module *self, Variable *x)
{
    Net *net = (Net *)self;
    if (net->first) x = ag_forward(net->first, x);
    return net->scale ? ag_mul(x, net->scale) : x;
}

static Net *net_new(void)
{
    Net *net = AG_MODULE_NEW(Net, net_forward);
    AG_BUFFER(net, mean, ag_zeros(AG_SHAPE(2)));
    AG_CHILD(net, first, ag_nn_sequential(ag_nn_linear(2, 3), ag_nn_relu(), ag_nn_linear(3, 2, .bias = false)));
    AG_PARAMETER(net, scale, ag_ones(AG_SHAPE(2)));
    AG_PARAMETER(net, offset, AG_NONE);
    AG_CHILD(net, second, ag_nn_dropout(0.5));
    return AG_MODULE_DONE(net);
}

/* The names of one kind, each with a blank behind it. */
static const char *names_of(Module *m, ag_named_kind kind)
{
    static char text[2000];
    text[0] = 0;
    for (ag_named p = { 0 }; ag_module_named(m, kind, &p);) strcat(strcat(text, p.name), " ");
    return text;
}
#define NAMES(m, kind, expected) ck_assert_str_eq(names_of(AG_MODULE(m), AG_NAMED_##kind), expected)

START_TEST(names_and_their_order_are_pytorchs)
{
    Net *net = net_new();
    NAMES(net, PARAMETERS, "scale first.0.weight first.0.bias first.2.weight ");
    NAMES(net, BUFFERS, "mean ");
    NAMES(net, STATE, "scale mean first.0.weight first.0.bias first.2.weight ");
    NAMES(net, CHILDREN, "first second ");
    NAMES(net, MODULES, " first first.0 first.1 first.2 second ");
    List list = ag_parameters(net);
    ck_assert_int_eq(list.n, 4);
    ck_assert_ptr_eq(list.at[0], net->scale);
    ck_assert_ptr_eq(list.at[1], ag_get_parameter(net, "first.0.weight"));
    ck_assert_int_eq(ag_num_parameters(net), 2 + 6 + 3 + 6);
    ck_assert_ptr_eq(net->offset, AG_NONE);
    ck_assert(ag_requires_grad(net->scale) && !ag_requires_grad(net->mean));

    ag_named p = { 0 };
    ck_assert(ag_named_parameters(net, &p) && p.module == AG_MODULE(net));
    ck_assert(ag_named_parameters(net, &p) && p.module == ag_get_submodule(net, "first.0"));
    ag_named c = { 0 };
    ck_assert(ag_named_children(net, &c) && c.module == net->first);
    ag_module_free(net);
}
END_TEST

START_TEST(an_empty_module_has_nothing)
{
    Module *m = ag_nn_sequential();
    NAMES(m, PARAMETERS, "");
    NAMES(m, MODULES, " ");
    ck_assert_int_eq(ag_parameters(m).n, 0);
    ck_assert_int_eq(ag_num_parameters(m), 0);
    OK(ag_zero_grad(m) && ag_train(m) && ag_eval(m) && ag_module_double(m) && ag_module_requires_grad_(m));
    ag_module_free(m);
    ag_module_free((Module *)NULL);
}
END_TEST

START_TEST(what_is_shared_is_listed_once_but_saved_under_every_name)
{
    Module *shared = ag_nn_linear(2, 2), *inner = ag_nn_sequential(shared),
           *net = ag_nn_sequential(shared, inner, shared);
    NAMES(net, PARAMETERS, "0.weight 0.bias ");
    NAMES(net, MODULES, " 0 1 ");
    NAMES(net, CHILDREN, "0 1 ");
    NAMES(net, STATE, "0.weight 0.bias 1.0.weight 1.0.bias 2.weight 2.bias ");
    ck_assert_int_eq(ag_num_parameters(net), 6);
    ck_assert_ptr_eq(ag_get_submodule(net, "1.0"), shared);
    ck_assert_ptr_eq(ag_get_parameter(net, "2.bias"), ag_get_parameter(net, "0.bias"));

    /* the same Variable in two layers */
    Module *other = ag_nn_linear(2, 2);
    OK(ag_nn_append(net, other));
    OK(ag_module_add_parameter(other, "weight", ag_get_parameter(shared, "weight")));
    NAMES(net, PARAMETERS, "0.weight 0.bias 3.bias ");

    /* both of its gradients add up */
    OK(ag_backward(ag_sum(ag_forward(net, ag_ones(AG_SHAPE(1, 2))))));
    ck_assert_ptr_nonnull(ag_grad(ag_get_parameter(net, "3.weight")));
    ag_module_free(shared); /* is part of others: stays */
    NAMES(net, MODULES, " 0 1 3 ");
    ag_module_free(net);
}
END_TEST

/* ---- parts that change ---- */

START_TEST(a_part_given_again_takes_the_old_ones_place)
{
    Net *net = net_new();
    List before = ag_parameters(net);
    Variable *scale = before.at[0];
    ag_retain(scale);
    AG_CHILD(net, first, ag_nn_linear(2, 2));
    AG_PARAMETER(net, scale, ag_zeros(AG_SHAPE(1)));
    NAMES(net, PARAMETERS, "scale first.weight first.bias ");
    NAMES(net, CHILDREN, "first second ");
    ck_assert_ptr_eq(ag_get_parameter(net, "scale"), net->scale);
    ck_assert(net->scale != scale);
    VALUES(scale, 1, 1); /* held here */
    ag_release(scale);

    AG_PARAMETER(net, offset, ag_ones(AG_SHAPE(1))); /* was left out; keeps its place */
    NAMES(net, PARAMETERS, "scale offset first.weight first.bias ");
    AG_PARAMETER(net, scale, AG_NONE);
    NAMES(net, PARAMETERS, "offset first.weight first.bias ");

    /* as another kind of part it comes last */
    AG_BUFFER(net, scale, ag_ones(AG_SHAPE(1)));
    AG_BUFFER(net, offset, ag_ones(AG_SHAPE(1)));
    NAMES(net, BUFFERS, "mean scale offset ");
    AG_PARAMETER(net, mean, ag_ones(AG_SHAPE(2)));
    NAMES(net, PARAMETERS, "mean first.weight first.bias ");
    NAMES(net, STATE, "mean scale offset first.weight first.bias ");

    AG_CHILD(net, third, net->first); /* in two places, then in one */
    AG_CHILD(net, first, ag_nn_relu());
    NAMES(net, MODULES, " first second third ");
    NAMES(net, PARAMETERS, "mean third.weight third.bias ");
    AG_CHILD(net, third, net->third);
    NAMES(net, MODULES, " first second third ");
    ag_module_free(net);
}
END_TEST

START_TEST(a_part_that_is_refused_changes_nothing)
{
    Net *net = net_new();
    Module *first = net->first;
    Variable *scale = net->scale, *computed = ag_mul(scale, scale), *whole = ag_arange(2),
             *plain = ag_ones(AG_SHAPE(1));
    REFUSED((AG_CHILD(net, first, ag_nn_linear(-1, 1)), false), "Linear: in_features");
    REFUSED((AG_CHILD(net, first, (Module *)NULL), false), "Net: child first is NULL");
    REFUSED((AG_PARAMETER(net, scale, NULL), false), "Net: parameter scale is NULL");
    REFUSED((AG_BUFFER(net, mean, NULL), false), "Net: buffer mean is NULL");
    REFUSED((AG_PARAMETER(net, scale, computed), false),
            "Net: Cannot assign non-leaf Tensor to parameter 'scale'. Model parameters must be created explicitly. To "
            "express 'scale' as a function of another Tensor, compute the value in the forward() method.");
    REFUSED((AG_PARAMETER(net, scale, whole), false), "Only Tensors of floating point dtype can require gradients");
    REFUSED((AG_PARAMETER(net, scale, ag_scalar(1.5)), false), "parameter scale is a number from ag_scalar");
    REFUSED((AG_BUFFER(net, mean, ag_scalar(2)), false), "buffer mean is a number from ag_scalar");
    REFUSED(ag_module_add_parameter(AG_MODULE(net), "", plain), "parameter name can't be empty string \"\"");
    REFUSED(ag_module_add_buffer(AG_MODULE(net), NULL, plain), "buffer name can't be empty string \"\"");
    REFUSED(ag_module_add_parameter(AG_MODULE(net), "a.b", plain), "parameter name can't contain \".\", got: a.b");
    REFUSED(ag_module_add_child(AG_MODULE(net), "a.b", ag_nn_relu()), "module name can't contain \".\", got: a.b");
    REFUSED(ag_module_add_child(NULL, "a", ag_nn_relu()), "add_child: the module is NULL");
    REFUSED(ag_module_add_parameter(NULL, "a", plain), "add_parameter: the module is NULL");
    REFUSED(ag_module_add_buffer(NULL, "a", plain), "add_buffer: the module is NULL");
    ck_assert(!ag_requires_grad(plain));
    ag_add(NULL, plain); /* while an error stands nothing is taken */
    ck_assert(!ag_module_add_parameter(AG_MODULE(net), "late", plain) && !ag_requires_grad(plain));
    AG_CHILD(net, third, ag_nn_relu());
    ck_assert_ptr_null(net->third);
    ag_clear_error();
    ck_assert(net->first == first && net->scale == scale);
    NAMES(net, STATE, "scale mean first.0.weight first.0.bias first.2.weight ");
    NAMES(net, CHILDREN, "first second ");
    OK(ag_forward(net, ag_ones(AG_SHAPE(1, 2))));
    ag_module_free(net);
}
END_TEST

START_TEST(a_module_cannot_be_a_part_of_itself)
{
    Module *a = ag_nn_sequential(), *b = ag_nn_sequential(a), *c = ag_nn_sequential(b);
    REFUSED(ag_nn_append(a, a), "Sequential: 0 would be a part of itself");
    REFUSED(ag_nn_append(a, c), "Sequential: 0 would be a part of itself");
    NAMES(c, MODULES, " 0 0.0 ");
    ag_module_free(c);
}
END_TEST

/* ---- a constructor that fails half-way ---- */

static int freed;
static void count_freed(Module *self) { freed += ((Net *)self)->freed; }

/* Part `fails` cannot be made. */
static Net *broken(int fails)
{
    Net *net = AG_MODULE_NEW(Net, net_forward);
    if (net) net->base.free = count_freed;
    if (net) net->freed = 1;
    AG_CHILD(net, first, ag_nn_linear(fails == 0 ? -1 : 2, 3));
    AG_PARAMETER(net, scale, ag_ones(AG_SHAPE(fails == 1 ? -1 : 2)));
    AG_BUFFER(net, mean, ag_zeros(AG_SHAPE(fails == 2 ? -1 : 2)));
    AG_CHILD(net, second, ag_nn_sequential(ag_nn_relu(), ag_nn_sequential(ag_nn_dropout(fails == 3 ? 7 : 0))));
    return AG_MODULE_DONE(net);
}

START_TEST(a_constructor_that_fails_half_way_gives_null_and_frees_the_rest)
{
    const char *sentences[] = { "Linear: in_features", "", "", "Dropout: dropout probability" };
    for (int fails = 0; fails < 4; fails++) {
        freed = 0;
        REFUSED(broken(fails), sentences[fails]);
        ck_assert_int_eq(freed, 1);
    }
    freed = 0;
    Net *net = broken(4);
    OK(net);
    Module *around = ag_nn_sequential(&net->base, ag_nn_relu());
    ck_assert_int_eq(freed, 0);
    ag_module_free(around);
    ck_assert_int_eq(freed, 1);
}
END_TEST

START_TEST(when_memory_is_out_a_model_is_not_there_and_nothing_leaks)
{
    if (getenv("AG_TEST_VALGRIND")) return; /* which has a malloc of its own */
    int failures = 0;
    for (int onwards = 0; onwards < 2; onwards++)
        for (int64_t at = 1;; at++) {
            AG_SCOPE;
            ag_empty_cache();
            interpose_start(at, onwards);
            Net *net = net_new();
            bool listed = net && ag_parameters(net).n == 4 && ag_module_double(net);
            bool undisturbed = interpose_stop() < at;
            if (!listed) {
                ck_assert_int_eq(ag_error_code(), AG_ENOMEM);
                failures++;
            }
            ag_clear_error();
            if (net) {
                ag_dtype dtype = ag_dtype_of(ag_parameters(net).at[0]);
                for (ag_named s = { 0 }; ag_module_named(AG_MODULE(net), AG_NAMED_STATE, &s);)
                    ck_assert_int_eq(ag_dtype_of(s.variable), dtype); /* all of them changed or none */
            }
            ag_module_free(net);
            if (undisturbed) break;
        }
    ck_assert_int_gt(failures, 20);
}
END_TEST

/* ---- deep trees ---- */

static Module *nested(int depth, Module *innermost)
{
    for (int i = 0; i < depth && innermost; i++) innermost = ag_nn_sequential(innermost);
    return innermost;
}

static bool count_modules(Module *m, void *user)
{
    ++*(int *)user;
    return m != NULL;
}

START_TEST(trees_are_as_deep_as_pytorchs_and_deeper_ones_are_refused)
{
    Module *net = nested(900, ag_nn_linear(2, 2));
    OK(net);
    int count = 0;
    OK(ag_module_apply(net, count_modules, &count));
    ck_assert_int_eq(count, 901);
    ag_named p = { 0 };
    OK(ag_named_parameters(net, &p));
    ck_assert_uint_eq(strlen(p.name), 2 * 900 + strlen("weight"));
    ck_assert_ptr_eq(ag_get_parameter(net, p.name), p.variable);
    OK(ag_backward(ag_sum(ag_forward(net, ag_ones(AG_SHAPE(1, 2))))));
    ck_assert_uint_gt(ag_nn_repr(net, NULL, 0), 900 * 900);
    OK(ag_eval(net));
    ag_module_free(net);

    REFUSED(nested(2000, ag_nn_relu()), "modules are nested too deep");
    Module *deep = ag_nn_sequential(), *last = deep; /* from the outside in */
    for (int i = 0; i < 1100; i++) {
        Module *next = ag_nn_sequential();
        OK(ag_nn_append(last, next));
        last = next;
    }
    REFUSED(ag_eval(deep), "modules are nested more than 1000 deep");
    REFUSED(ag_module_apply(deep, count_modules, &count), "modules are nested more than 1000 deep");
    REFUSED(ag_nn_repr(deep, NULL, 0), "modules are nested more than 1000 deep");
    ag_module_free(deep);
}
END_TEST

/* ---- the whole tree ---- */

START_TEST(train_and_eval_reach_every_module)
{
    Net *net = net_new();
    for (ag_named m = { 0 }; ag_named_modules(net, &m);) ck_assert(m.module->training);
    OK(ag_eval(net));
    for (ag_named m = { 0 }; ag_named_modules(net, &m);) ck_assert(!m.module->training);
    OK(ag_train(net->first));
    for (ag_named m = { 0 }; ag_named_modules(net, &m);)
        ck_assert(m.module->training == (strncmp(m.name, "first", 5) == 0));
    OK(ag_train(net, false));
    ck_assert(!net->first->training);
    OK(ag_train(net, true));
    ck_assert(net->first->training);
    ag_module_free(net);
}
END_TEST

static char applied[200];
static bool note_type(Module *m, void *user)
{
    strcat(strcat(applied, m->type), " ");
    return user == NULL || strcmp(m->type, user) != 0;
}
START_TEST(apply_goes_from_the_children_to_their_parent_and_stops_at_false)
{
    Net *net = net_new();
    OK(ag_module_apply(net, note_type, NULL));
    ck_assert_str_eq(applied, "Linear ReLU Linear Sequential Dropout Net ");
    applied[0] = 0;
    char last[] = "ReLU";
    ck_assert(!ag_module_apply(net, note_type, last) && !ag_error());
    ck_assert_str_eq(applied, "Linear ReLU ");
    ag_module_free(net);

    /* a child is met once a parent, as in PyTorch */
    applied[0] = 0;
    Module *shared = ag_nn_tanh(), *twice = ag_nn_sequential(shared, shared), *all = ag_nn_sequential(twice, shared);
    OK(ag_module_apply(all, note_type, NULL));
    ck_assert_str_eq(applied, "Tanh Sequential Tanh Sequential ");
    REFUSED(ag_module_apply(all, NULL, NULL), "apply: the function is NULL");
    ag_module_free(all);
}
END_TEST

START_TEST(zero_grad_drops_gradients_or_fills_them)
{
    Net *net = net_new();
    Variable *x = ag_ones(AG_SHAPE(1, 2)), *frozen = ag_get_parameter(net, "first.0.bias");
    OK(ag_requires_grad_(frozen, false));
    OK(ag_backward(ag_sum(ag_forward(net, x)), .create_graph = true));
    Variable *grad = ag_grad(net->scale);
    ck_assert_ptr_nonnull(ag_grad_fn(grad));
    OK(ag_zero_grad(net, .set_to_none = false));
    VALUES(ag_grad(net->scale), 0, 0);
    ck_assert(!ag_requires_grad(ag_grad(net->scale)));
    ck_assert_ptr_null(ag_grad(frozen));
    OK(ag_zero_grad(net, false));
    OK(ag_zero_grad(net));
    for (ag_named p = { 0 }; ag_named_parameters(net, &p);) ck_assert_ptr_null(ag_grad(p.variable));

    /* gradients add up until then */
    for (int i = 0; i < 2; i++) OK(ag_backward(ag_sum(ag_mul(net->scale, ag_scalar(3)))));
    VALUES(ag_grad(net->scale), 6, 6);
    ag_module_free(net);
}
END_TEST

START_TEST(requires_grad_of_all_parameters)
{
    Net *net = net_new();
    OK(ag_module_requires_grad_(net, false));
    for (ag_named p = { 0 }; ag_named_parameters(net, &p);) ck_assert(!ag_requires_grad(p.variable));
    ck_assert(!ag_requires_grad(ag_forward(net, ag_ones(AG_SHAPE(1, 2)))));
    OK(ag_module_requires_grad_(net));
    for (ag_named p = { 0 }; ag_named_parameters(net, &p);) ck_assert(ag_requires_grad(p.variable));
    ck_assert(!ag_requires_grad(net->mean));
    ag_module_free(net);
}
END_TEST

START_TEST(to_changes_types_but_keeps_the_variables)
{
    Net *net = net_new();
    AG_BUFFER(net, offset, ag_arange(3));
    Variable *scale = net->scale, *mean = net->mean, *x = ag_ones(AG_SHAPE(1, 2));
    Optimizer *sgd = ag_optim_sgd(ag_parameters(net), .lr = 1);
    Variable *loss = ag_sum(ag_forward(net, x));
    OK(ag_backward(loss, .retain_graph = true));
    Variable *grad = ag_grad(scale), *before = ag_clone(grad);
    OK(ag_module_double(net));
    ck_assert(net->scale == scale && net->mean == mean && ag_parameters(net).at[0] == scale);
    ck_assert_ptr_eq(ag_grad(scale), grad);
    for (ag_named s = { 0 }; ag_module_named(AG_MODULE(net), AG_NAMED_STATE, &s);)
        ck_assert_int_eq(ag_dtype_of(s.variable), strcmp(s.name, "offset") ? AG_FLOAT64 : AG_INT64);
    CLOSE(grad, ag_double(before), 0);
    ck_assert(ag_is_leaf(scale) && ag_requires_grad(scale));
    REFUSED(ag_backward(loss), "modified by an inplace operation");

    OK(ag_optim_step(sgd)); /* which holds the same Variables */
    CLOSE(scale, ag_sub(ag_ones_like(scale), ag_double(before)), 0);
    OK(ag_forward(net, ag_double(x)));
    int64_t version = ag_version(scale);
    OK(ag_module_double(net) && ag_module_cpu(net) && ag_module_to(net, AG_CPU)); /* nothing to do */
    ck_assert_int_eq(ag_version(scale), version);
    OK(ag_module_float(net));
    ck_assert_int_eq(ag_dtype_of(scale), AG_FLOAT32);
    ag_optim_free(sgd);

    REFUSED(ag_module_to(net, .dtype = AG_INT64), "only floating point types are accepted, but got dtype=int64");
    if (!ag_cuda_is_available()) REFUSED(ag_module_cuda(net), "cuda:0 is not available");
    ck_assert(strcmp(ag_device_name(ag_device_of(scale)), "cpu") == 0);
    AG_BUFFER(net, offset, ag_mul(net->scale, net->scale));
    REFUSED(ag_module_double(net), "was computed by a recorded op; detach() it first");
    ck_assert_int_eq(ag_dtype_of(scale), AG_FLOAT32);
    ag_module_free(net);
}
END_TEST

/* ---- by name ---- */

START_TEST(parts_are_found_by_their_dotted_names)
{
    Net *net = net_new();
    ck_assert_ptr_eq(ag_get_submodule(net, ""), AG_MODULE(net));
    ck_assert_ptr_eq(ag_get_submodule(net, "first"), net->first);
    ck_assert_str_eq(ag_get_submodule(net, "first.2")->type, "Linear");
    ck_assert_ptr_eq(ag_get_parameter(net, "scale"), net->scale);
    SHAPE(ag_get_parameter(net, "first.2.weight"), 2, 3);
    ck_assert_ptr_eq(ag_get_buffer(net, "mean"), net->mean);
    REFUSED(ag_get_submodule(net, "first.3"), "Net has no submodule named 'first.3'");
    REFUSED(ag_get_submodule(net, "scale"), "Net has no submodule named 'scale'");
    REFUSED(ag_get_submodule(net, "fir"), "Net has no submodule named 'fir'");
    REFUSED(ag_get_parameter(net, "offset"), "Net has no parameter named 'offset'");
    REFUSED(ag_get_parameter(net, "mean"), "Net has no parameter named 'mean'");
    REFUSED(ag_get_buffer(net, "scale"), "Net has no buffer named 'scale'");
    REFUSED(ag_get_parameter(net, NULL), "Net has no parameter named ''");
    ag_module_free(net);
}
END_TEST

START_TEST(null_for_a_module_is_an_error_everywhere)
{
    Module *none = NULL;
    ag_named p = { 0 };
    REFUSED(ag_forward(none, ag_ones(AG_SHAPE(1))), "forward: the module is NULL");
    REFUSED(ag_parameters(none).n, "parameters: the module is NULL");
    REFUSED(ag_num_parameters(none), "parameters: the module is NULL");
    REFUSED(ag_named_parameters(none, &p), "named: the module is NULL");
    REFUSED(ag_get_submodule(none, "a"), "submodule: the module is NULL");
    REFUSED(ag_get_parameter(none, "a"), "parameter: the module is NULL");
    REFUSED(ag_train(none), "train: the module is NULL");
    REFUSED(ag_eval(none), "eval: the module is NULL");
    REFUSED(ag_module_apply(none, note_type, NULL), "apply: the module is NULL");
    REFUSED(ag_zero_grad(none), "zero_grad: the module is NULL");
    REFUSED(ag_module_double(none), "to: the module is NULL");
    REFUSED(ag_module_requires_grad_(none), "requires_grad_: the module is NULL");
    REFUSED(ag_nn_print(none, stdout), "print: the module is NULL");
    REFUSED(ag_nn_repr(none, NULL, 0), "repr: the module is NULL");
    REFUSED(ag_nn_state_dict(none), "state_dict: the module is NULL");
    REFUSED(ag_module_new(8, "Small", NULL), "module_new: Small has 8 bytes, but it must begin with a Module");
    Module *some = ag_nn_relu();
    REFUSED(ag_named_parameters(some, NULL), "named: the place is NULL");
    REFUSED(ag_nn_print(some, NULL), "print: the file is NULL");
    some->forward = NULL;
    REFUSED(ag_forward(some, ag_ones(AG_SHAPE(1))), "ReLU: it has no forward of one input");
    ag_module_free(some);
}
END_TEST

/* ---- running ---- */

static Variable *wasteful_forward(Module *self, Variable *x)
{
    (void)self;
    for (int i = 0; i < 10; i++) x = ag_add(x, ag_scalar(1));
    return x;
}
static Variable *itself_forward(Module *self, Variable *x) { return (void)x, ((Net *)self)->scale; }

START_TEST(what_forward_makes_goes_when_it_returns)
{
    Net *net = AG_MODULE_NEW(Net, wasteful_forward);
    Variable *x = ag_ones(AG_SHAPE(3));
    int64_t before = ag_leaks(NULL);
    Variable *y = ag_forward(net, x);
    VALUES(y, 11, 11, 11);
    ck_assert_int_eq(ag_leaks(NULL), before + 1); /* y */
    net->base.forward = itself_forward;
    AG_PARAMETER(net, scale, ag_ones(AG_SHAPE(1)));
    ck_assert_ptr_eq(ag_forward(net, x), net->scale);
    ag_module_free(net);
}
END_TEST

/* ---- printing ---- */

static int repr_lines(const Module *self, char *text, size_t room)
{
    return snprintf(text, room, "size=%d\n\nand more", ((const Net *)self)->freed);
}
static int repr_long(const Module *self, char *text, size_t room)
{
    return snprintf(text, room, "%s%*d", self->type, 1000, 7);
}

START_TEST(modules_of_ones_own_print_their_extra_repr)
{
    Net *net = AG_MODULE_NEW(Net, NULL), *inner = AG_MODULE_NEW(Net, NULL);
    char text[3000];
    ck_assert_uint_eq(ag_nn_repr(net, text, sizeof text), 5);
    ck_assert_str_eq(text, "Net()");
    net->base.extra_repr = inner->base.extra_repr = repr_lines;
    inner->freed = 3;
    /* PyTorch indents blank lines in the outermost module only */
    OK(ag_nn_repr(net, text, sizeof text));
    ck_assert_str_eq(text, "Net(\n  size=0\n  \n  and more\n)");
    AG_CHILD(net, first, &inner->base);
    AG_CHILD(net, second, ag_nn_relu());
    static const char wants[] = "Net(\n  size=0\n  \n  and more\n  (first): Net(\n    size=3\n\n    and more\n  )\n"
                                "  (second): ReLU()\n)";
    ck_assert_uint_eq(ag_nn_repr(net, text, sizeof text), strlen(wants));
    ck_assert_str_eq(text, wants);
    ck_assert_uint_eq(ag_nn_repr(net, text, 10), strlen(wants)); /* as snprintf */
    ck_assert_str_eq(text, "Net(\n  si");

    FILE *file = tmpfile();
    OK(ag_nn_print(net, file));
    rewind(file);
    size_t n = fread(text, 1, sizeof text - 1, file);
    text[n] = 0;
    fclose(file);
    ck_assert_uint_eq(n, strlen(wants) + 1);
    ck_assert_mem_eq(text, wants, strlen(wants));
    ck_assert_int_eq(text[n - 1], '\n');
    file = fopen("/dev/full", "w");
    setvbuf(file, NULL, _IONBF, 0);
    REFUSED(ag_nn_print(net, file), "print: the file does not take what is written");
    fclose(file);

    net->base.extra_repr = NULL;
    inner->base.extra_repr = repr_long;
    ck_assert_uint_eq(ag_nn_repr(inner, text, sizeof text), strlen("Net(Net)") + 1000);
    ck_assert_str_eq(text + strlen("Net(Net") + 999, "7)");
    ag_module_free(net);
}
END_TEST

SUPPORT_MAIN("module", names_and_their_order_are_pytorchs, an_empty_module_has_nothing,
             what_is_shared_is_listed_once_but_saved_under_every_name, a_part_given_again_takes_the_old_ones_place,
             a_part_that_is_refused_changes_nothing, a_module_cannot_be_a_part_of_itself,
             a_constructor_that_fails_half_way_gives_null_and_frees_the_rest,
             when_memory_is_out_a_model_is_not_there_and_nothing_leaks,
             trees_are_as_deep_as_pytorchs_and_deeper_ones_are_refused, train_and_eval_reach_every_module,
             apply_goes_from_the_children_to_their_parent_and_stops_at_false, zero_grad_drops_gradients_or_fills_them,
             requires_grad_of_all_parameters, to_changes_types_but_keeps_the_variables,
             parts_are_found_by_their_dotted_names, null_for_a_module_is_an_error_everywhere,
             what_forward_makes_goes_when_it_returns, modules_of_ones_own_print_their_extra_repr)

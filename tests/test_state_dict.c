/* test_state_dict.c - the dictionary, and a module's state taken out and put in: all of it or nothing, with PyTorch's
 * sentences for what does not fit. */
#include "interpose.h"
#include "support.h"

#include <stdio.h>

/* ---- the dictionary ---- */

START_TEST(a_dictionary_keeps_the_order_in_which_names_came)
{
    StateDict *dict = ag_state_dict_new();
    ck_assert_int_eq(ag_state_dict_size(dict), 0);
    ck_assert_ptr_null(ag_state_dict_get(dict, "b"));
    Variable *x = ag_ones(AG_SHAPE(2)), *y = ag_zeros(AG_SHAPE(3));
    OK(ag_state_dict_set(dict, "b", x) && ag_state_dict_set(dict, "a", y) && ag_state_dict_set(dict, "", x));
    OK(ag_state_dict_set(dict, "b", y)); /* takes the old one's place */
    ck_assert_int_eq(ag_state_dict_size(dict), 3);
    const char *names[] = { "b", "a", "" };
    Variable *variables[] = { y, y, x };
    int n = 0;
    for (ag_state_item s = { 0 }; ag_state_dict_next(dict, &s); n++) {
        ck_assert_str_eq(s.name, names[n]);
        ck_assert_ptr_eq(s.variable, variables[n]);
        ck_assert_ptr_eq(ag_state_dict_get(dict, s.name), s.variable);
    }
    ck_assert_int_eq(n, 3);
    ag_state_dict_free(dict);
    ag_state_dict_free(NULL);
}
END_TEST

START_TEST(a_dictionary_holds_its_variables)
{
    StateDict *dict = ag_state_dict_new();
    {
        AG_SCOPE;
        OK(ag_state_dict_set(dict, "x", ag_full(AG_SHAPE(2), 3)));
    }
    VALUES(ag_state_dict_get(dict, "x"), 3, 3);
    ag_state_dict_free(dict);
}
END_TEST

START_TEST(texts_go_beside_the_variables)
{
    StateDict *dict = ag_state_dict_new();
    ck_assert_ptr_null(ag_state_dict_text(dict, "epoch"));
    OK(ag_state_dict_set_text(dict, "epoch", "3") && ag_state_dict_set_text(dict, "format", "pt"));
    OK(ag_state_dict_set_text(dict, "epoch", "4"));
    ck_assert_str_eq(ag_state_dict_text(dict, "epoch"), "4");
    ck_assert_str_eq(ag_state_dict_text(dict, "format"), "pt");
    ck_assert_int_eq(ag_state_dict_size(dict), 0);
    ag_state_dict_free(dict);
}
END_TEST

START_TEST(many_names_are_found)
{
    enum { MANY = 5000 };
    StateDict *dict = ag_state_dict_new();
    Variable *x = ag_ones(AG_SHAPE(1));
    char name[32];
    for (int i = 0; i < 2 * MANY; i++) { /* each twice */
        snprintf(name, sizeof name, "layer.%d.weight", i % MANY * 7919 % MANY);
        OK(ag_state_dict_set(dict, name, x));
    }
    ck_assert_int_eq(ag_state_dict_size(dict), MANY);
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "layer.%d.weight", i);
        ck_assert_ptr_eq(ag_state_dict_get(dict, name), x);
        snprintf(name, sizeof name, "layer.%d.bias", i);
        ck_assert_ptr_null(ag_state_dict_get(dict, name));
    }
    ag_state_dict_free(dict);
}
END_TEST

START_TEST(what_a_dictionary_does_not_take)
{
    StateDict *dict = ag_state_dict_new();
    Variable *x = ag_ones(AG_SHAPE(1));
    REFUSED(ag_state_dict_set(NULL, "a", x), "state_dict_set: the dictionary is NULL");
    REFUSED(ag_state_dict_set(dict, NULL, x), "state_dict_set: the name is NULL");
    REFUSED(ag_state_dict_set(dict, "a", NULL), "state_dict_set: the Variable is NULL");
    REFUSED(ag_state_dict_set(dict, "a", AG_NONE), "state_dict_set: the Variable is NULL");
    REFUSED(ag_state_dict_set(dict, "\xc3(", x), "state_dict_set: the name is not UTF-8");
    REFUSED(ag_state_dict_set(dict, "\xed\xa0\x80", x), "the name is not UTF-8"); /* half a surrogate pair */
    REFUSED(ag_state_dict_set_text(dict, "a", NULL), "state_dict_set_text: an argument is NULL");
    REFUSED(ag_state_dict_set_text(dict, "a", "\xff"), "state_dict_set_text: the text is not UTF-8");
    REFUSED(ag_state_dict_set_text(dict, "\x80", "a"), "state_dict_set_text: the text is not UTF-8");
    ck_assert_int_eq(ag_state_dict_size(dict), 0);
    ck_assert_int_eq(ag_state_dict_size(NULL), 0);
    ck_assert_ptr_null(ag_state_dict_get(NULL, "a"));
    ck_assert_ptr_null(ag_state_dict_get(dict, NULL));
    ck_assert_ptr_null(ag_state_dict_text(NULL, "a"));
    ag_state_dict_free(dict);
}
END_TEST

/* ---- a module's state ---- */

static Module *net_new(ag_dtype dtype)
{
    Module *net = ag_nn_sequential(ag_nn_linear(2, 3, .dtype = dtype), ag_nn_sequential(ag_nn_relu()),
                                   ag_nn_linear(3, 2, .bias = false, .dtype = dtype));
    OK(ag_module_add_buffer(net, "mean", ag_arange(2)));
    return net;
}

START_TEST(a_state_dict_shares_the_modules_memory)
{
    Module *net = net_new(AG_FLOAT32);
    StateDict *dict = ag_nn_state_dict(net);
    const char *names[] = { "mean", "0.weight", "0.bias", "2.weight" };
    int n = 0;
    for (ag_state_item s = { 0 }; ag_state_dict_next(dict, &s); n++) {
        ck_assert_str_eq(s.name, names[n]);
        ck_assert(!ag_requires_grad(s.variable));
    }
    ck_assert_int_eq(n, 4);
    OK(ag_fill_(ag_state_dict_get(dict, "0.bias"), 7));
    VALUES(ag_get_parameter(net, "0.bias"), 7, 7, 7);
    ag_module_free(net);
    VALUES(ag_state_dict_get(dict, "0.bias"), 7, 7, 7); /* outlives it */
    ag_state_dict_free(dict);
}
END_TEST

static bool same_state(Module *a, Module *b)
{
    StateDict *x = ag_nn_state_dict(a), *y = ag_nn_state_dict(b);
    bool same = x && y && ag_state_dict_size(x) == ag_state_dict_size(y);
    for (ag_state_item s = { 0 }; same && ag_state_dict_next(x, &s);) {
        Variable *other = ag_state_dict_get(y, s.name);
        same = other && ag_equal(ag_double(s.variable), ag_double(other));
    }
    ag_state_dict_free(x);
    ag_state_dict_free(y);
    return same;
}

START_TEST(loading_copies_and_converts_and_leaves_the_variables_in_place)
{
    Module *from = net_new(AG_FLOAT32), *to = net_new(AG_FLOAT64);
    ck_assert(!same_state(from, to));
    StateDict *dict = ag_nn_state_dict(from);
    OK(ag_state_dict_set(dict, "mean", ag_tensor(((float[]){ 3, 4 }), AG_SHAPE(2))));
    OK(ag_state_dict_set(dict, "0.weight", ag_t(ag_contiguous(ag_t(ag_state_dict_get(dict, "0.weight"))))));
    Variable *weight = ag_get_parameter(to, "0.weight");
    OK(ag_nn_load_state_dict(to, dict));
    ck_assert_ptr_eq(ag_get_parameter(to, "0.weight"), weight);
    ck_assert(ag_is_leaf(weight) && ag_requires_grad(weight) && ag_dtype_of(weight) == AG_FLOAT64);
    ck_assert_int_eq(ag_version(weight), 2); /* drawn, loaded */
    ck_assert(ag_equal(weight, ag_double(ag_get_parameter(from, "0.weight"))));
    VALUES(ag_get_buffer(to, "mean"), 3, 4);
    ck_assert_int_eq(ag_dtype_of(ag_get_buffer(to, "mean")), AG_INT64);

    OK(ag_nn_load_state_dict(from, dict)); /* its own memory */
    ag_state_dict_free(dict);
    ck_assert(same_state(from, to));
    ag_module_free(from);
    ag_module_free(to);
}
END_TEST

/* A dictionary made from words: "name:2,3 name:4". */
static StateDict *dict_of(const char *words)
{
    StateDict *dict = ag_state_dict_new();
    while (*words) {
        char name[32];
        int64_t size[8], n = 0;
        int length = (int)strcspn(words, ":");
        snprintf(name, sizeof name, "%.*s", length, words);
        char *next = (char *)(uintptr_t)words + length;
        while (*next && *next != ' ') size[n++] = strtol(next + 1, &next, 10);
        words = next + (*next == ' ');
        OK(ag_state_dict_set(dict, name, ag_ones(ag_sizes_of(n, size))));
    }
    return dict;
}

static const struct {
    const char *words;
    bool strict;
    const char *sentence; /* PyTorch's; NULL: it is loaded */
} loads[] = {
    { "mean:2 0.weight:3,2 0.bias:3 2.weight:2,3", true, NULL },
    { "2.weight:2,3 0.bias:3 0.weight:3,2 mean:2", true, NULL },
    { "mean:2 0.weight:3,2 2.weight:2,3", true,
      "Error(s) in loading state_dict for Sequential:\n\tMissing key(s) in state_dict: \"0.bias\". " },
    { "mean:2 0.weight:3,2 0.bias:3 2.weight:2,3 2.bias:2 1.x:1", true,
      "Error(s) in loading state_dict for Sequential:\n\tUnexpected key(s) in state_dict: \"1.x\", \"2.bias\". " },
    { "0.weight:3,2 z.y.x:1 0.weight.q:1 1:1 1.0:1 1.0.a:1 mean.x:2 2.b:1 mean2:1 0.bias:1", true,
      "Error(s) in loading state_dict for Sequential:\n\tMissing key(s) in state_dict: \"mean\", \"2.weight\". "
      "\n\tUnexpected key(s) in state_dict: \"z.y.x\", \"1\", \"mean.x\", \"mean2\", \"0.weight.q\", \"1.0\", "
      "\"1.0.a\", "
      "\"2.b\". \n\tsize mismatch for 0.bias: copying a param with shape torch.Size([1]) from checkpoint, the shape in "
      "current model is torch.Size([3])." },
    { "0.bias:4 3.weight:2 mean:2", true,
      "Error(s) in loading state_dict for Sequential:\n\tMissing key(s) in state_dict: \"0.weight\", \"2.weight\". "
      "\n\tUnexpected key(s) in state_dict: \"3.weight\". \n\tsize mismatch for 0.bias: copying a param with shape "
      "torch.Size([4]) from checkpoint, the shape in current model is torch.Size([3])." },
    { "0.bias:3 3.weight:2", false, NULL },
    { "", false, NULL },
    { "0.bias:1,3 0.weight:2,3", false,
      "Error(s) in loading state_dict for Sequential:\n\tsize mismatch for 0.weight: copying a param with shape "
      "torch.Size([2, 3]) from checkpoint, the shape in current model is torch.Size([3, 2]).\n\tsize mismatch for "
      "0.bias: copying a param with shape torch.Size([1, 3]) from checkpoint, the shape in current model is "
      "torch.Size([3])." },
};

START_TEST(what_does_not_fit_is_listed_and_nothing_is_loaded)
{
    for (size_t i = 0; i < sizeof loads / sizeof *loads; i++) {
        Module *net = net_new(AG_FLOAT32);
        StateDict *dict = dict_of(loads[i].words);
        for (ag_named s = { 0 }; ag_module_named(net, AG_NAMED_STATE, &s);) OK(ag_zero_(ag_detach(s.variable)));
        if (loads[i].sentence) {
            ck_assert(!ag_nn_load_state_dict(net, dict, .strict = loads[i].strict));
            ck_assert_str_eq(ag_error(), loads[i].sentence);
            ag_clear_error();
        } else {
            OK(loads[i].strict ? ag_nn_load_state_dict(net, dict) : ag_nn_load_state_dict(net, dict, false));
        }
        for (ag_named s = { 0 }; ag_module_named(net, AG_NAMED_STATE, &s);) {
            bool loaded = !loads[i].sentence && ag_state_dict_get(dict, s.name);
            ck_assert(ag_item(ag_min(s.variable)) == loaded && ag_item(ag_max(s.variable)) == loaded);
        }
        ag_state_dict_free(dict);
        ag_module_free(net);
    }
}
END_TEST

START_TEST(what_a_load_passes_over_can_be_asked_for)
{
    Module *net = net_new(AG_FLOAT32);
    StateDict *dict = dict_of("0.weight:3,2 z.y.x:1 0.weight.q:1 1:1 1.0:1 1.0.a:1 mean.x:2 2.b:1 mean2:1");
    char missing[200] = "", unexpected[200] = "";
    OK(ag_nn_load_state_dict(net, dict, .strict = false));
    for (ag_named k = { 0 }; ag_nn_missing_keys(net, dict, &k);) strcat(strcat(missing, k.name), " ");
    for (ag_state_item k = { 0 }; ag_nn_unexpected_keys(net, dict, &k);) {
        strcat(strcat(unexpected, k.name), " ");
        ck_assert_ptr_eq(k.variable, ag_state_dict_get(dict, k.name));
    }
    ck_assert_str_eq(missing, "mean 0.bias 2.weight ");
    ck_assert_str_eq(unexpected, "z.y.x 1 mean.x mean2 0.weight.q 1.0 1.0.a 2.b "); /* module by module */
    ag_state_dict_free(dict);

    dict = ag_nn_state_dict(net);
    ck_assert(!ag_nn_missing_keys(net, dict, &(ag_named){ 0 }));
    ck_assert(!ag_nn_unexpected_keys(net, dict, &(ag_state_item){ 0 }));
    REFUSED(ag_nn_unexpected_keys(net, dict, NULL), "unexpected_keys: the place is NULL");
    REFUSED(ag_nn_missing_keys((Module *)NULL, dict, &(ag_named){ 0 }), "the module is NULL");
    REFUSED(ag_nn_unexpected_keys((Module *)NULL, dict, &(ag_state_item){ 0 }), "the module is NULL");
    ag_state_dict_free(dict);
    ag_module_free(net);
}
END_TEST

START_TEST(a_buffer_that_is_not_saved_is_neither_in_the_state_nor_loaded)
{
    Module *net = ag_nn_sequential(ag_nn_identity()), *inner = ag_nn_at(net, 0);
    OK(ag_module_add_buffer(inner, "mean", ag_zeros(AG_SHAPE(2))));
    OK(ag_module_add_buffer(inner, "cache", ag_zeros(AG_SHAPE(2)), .persistent = false));
    char names[100] = "";
    for (ag_named b = { 0 }; ag_named_buffers(net, &b);) strcat(strcat(names, b.name), " ");
    ck_assert_str_eq(names, "0.mean 0.cache ");
    VALUES(ag_get_buffer(net, "0.cache"), 0, 0);
    StateDict *dict = ag_nn_state_dict(net);
    ck_assert_int_eq(ag_state_dict_size(dict), 1);
    ck_assert_ptr_nonnull(ag_state_dict_get(dict, "0.mean"));
    OK(ag_state_dict_set(dict, "0.cache", ag_ones(AG_SHAPE(2))));
    REFUSED(ag_nn_load_state_dict(net, dict), "Unexpected key(s) in state_dict: \"0.cache\". ");
    OK(ag_nn_load_state_dict(net, dict, false));
    VALUES(ag_get_buffer(net, "0.cache"), 0, 0);
    OK(ag_module_double(net)); /* but it is the module's in all else */
    ck_assert_int_eq(ag_dtype_of(ag_get_buffer(net, "0.cache")), AG_FLOAT64);
    OK(ag_module_add_buffer(inner, "cache", ag_zeros(AG_SHAPE(2)))); /* given again, as one that is saved */
    OK(ag_nn_load_state_dict(net, dict));
    VALUES(ag_get_buffer(net, "0.cache"), 1, 1);
    ag_state_dict_free(dict);
    ag_module_free(net);
}
END_TEST

START_TEST(a_number_saved_with_one_dimension_is_loaded_into_none)
{
    Module *net = ag_nn_identity();
    OK(ag_module_add_parameter(net, "s", ag_zeros(AG_SCALAR_SHAPE)));
    StateDict *one = dict_of("s:1"), *two = dict_of("s:2");
    OK(ag_nn_load_state_dict(net, one));
    VALUES(ag_get_parameter(net, "s"), 1);
    REFUSED(ag_nn_load_state_dict(net, two),
            "size mismatch for s: copying a param with shape torch.Size([2]) from checkpoint, the shape in current "
            "model is torch.Size([]).");
    ag_state_dict_free(one);
    ag_state_dict_free(two);
    ag_module_free(net);
}
END_TEST

START_TEST(what_is_shared_is_loaded_under_each_of_its_names)
{
    Module *shared = ag_nn_linear(1, 1, .bias = false), *net = ag_nn_sequential(shared, shared);
    StateDict *first = dict_of("0.weight:1,1"), *both = dict_of("0.weight:1,1 1.weight:1,1");
    REFUSED(ag_nn_load_state_dict(net, first), "Missing key(s) in state_dict: \"1.weight\". ");
    OK(ag_fill_(ag_state_dict_get(both, "1.weight"), 7)); /* the last one wins */
    OK(ag_nn_load_state_dict(net, both));
    VALUES(ag_get_parameter(net, "0.weight"), 7);
    ag_state_dict_free(first);
    ag_state_dict_free(both);
    ag_module_free(net);
}
END_TEST

START_TEST(a_long_list_of_what_is_missing_is_cut_off)
{
    Module *net = ag_nn_sequential();
    for (int i = 0; i < 200; i++) OK(ag_nn_append(net, ag_nn_linear(1, 1)));
    StateDict *dict = ag_state_dict_new();
    REFUSED(ag_nn_load_state_dict(net, dict), "Missing key(s) in state_dict: \"0.weight\", \"0.bias\", ");
    ag_state_dict_free(dict);
    ag_module_free(net);
}
END_TEST

START_TEST(memory_that_overlaps_is_refused_before_anything_is_copied)
{
    Module *net = ag_nn_sequential(ag_nn_linear(2, 2), ag_nn_linear(2, 2));
    Variable *whole = ag_ones(AG_SHAPE(5)), *part = ag_detach(ag_slice(whole, 0, 0, 2));
    OK(ag_module_add_parameter(ag_get_submodule(net, "1"), "bias", part));
    StateDict *dict = ag_nn_state_dict(net);
    OK(ag_state_dict_set(dict, "0.bias", ag_full(AG_SHAPE(2), 9)));
    OK(ag_state_dict_set(dict, "1.bias", ag_slice(whole, 0, 1, 3)));
    REFUSED(ag_nn_load_state_dict(net, dict), "1.bias: elements of it lie in one place");
    ck_assert(ag_item(ag_max(ag_get_parameter(net, "0.bias"))) < 9);
    ag_state_dict_free(dict);
    ag_module_free(net);
}
END_TEST

START_TEST(while_an_error_stands_nothing_is_loaded)
{
    Module *net = ag_nn_linear(2, 2), *none = NULL;
    StateDict *dict = ag_nn_state_dict(net);
    OK(ag_state_dict_set(dict, "bias", ag_full(AG_SHAPE(2), 9)));
    ag_add(NULL, NULL);
    ck_assert(!ag_nn_load_state_dict(net, dict));
    ck_assert_ptr_null(ag_nn_state_dict(net));
    ag_clear_error();
    ck_assert(ag_item(ag_max(ag_get_parameter(net, "bias"))) < 9);
    REFUSED(ag_nn_load_state_dict(net, NULL), "load_state_dict: the dictionary is NULL");
    REFUSED(ag_nn_load_state_dict(none, dict), "load_state_dict: the module is NULL");
    ag_state_dict_free(dict);
    ag_module_free(net);
}
END_TEST

START_TEST(when_memory_is_out_all_is_loaded_or_nothing)
{
    if (getenv("AG_TEST_VALGRIND")) return; /* which has a malloc of its own */
    Module *net = net_new(AG_FLOAT64);
    StateDict *dict = dict_of("mean:2 0.weight:3,2 0.bias:3 2.weight:2,3");
    int failures = 0;
    for (int onwards = 0; onwards < 2; onwards++)
        for (int64_t at = 1;; at++) {
            AG_SCOPE;
            for (ag_named s = { 0 }; ag_module_named(net, AG_NAMED_STATE, &s);) OK(ag_zero_(ag_detach(s.variable)));
            ag_empty_cache();
            interpose_start(at, onwards);
            bool loaded = ag_nn_load_state_dict(net, dict);
            bool undisturbed = interpose_stop() < at;
            if (!loaded) ck_assert_int_eq(ag_error_code(), AG_ENOMEM);
            failures += !loaded;
            ag_clear_error();
            for (ag_named s = { 0 }; ag_module_named(net, AG_NAMED_STATE, &s);)
                ck_assert(ag_item(ag_min(s.variable)) == loaded && ag_item(ag_max(s.variable)) == loaded);
            if (undisturbed) break;
        }
    ck_assert_int_gt(failures, 5);
    ag_state_dict_free(dict);
    ag_module_free(net);
}
END_TEST

SUPPORT_MAIN("state_dict", a_dictionary_keeps_the_order_in_which_names_came, a_dictionary_holds_its_variables,
             texts_go_beside_the_variables, many_names_are_found, what_a_dictionary_does_not_take,
             a_state_dict_shares_the_modules_memory, loading_copies_and_converts_and_leaves_the_variables_in_place,
             what_does_not_fit_is_listed_and_nothing_is_loaded, what_a_load_passes_over_can_be_asked_for,
             a_buffer_that_is_not_saved_is_neither_in_the_state_nor_loaded,
             a_number_saved_with_one_dimension_is_loaded_into_none, what_is_shared_is_loaded_under_each_of_its_names,
             a_long_list_of_what_is_missing_is_cut_off, memory_that_overlaps_is_refused_before_anything_is_copied,
             while_an_error_stands_nothing_is_loaded, when_memory_is_out_all_is_loaded_or_nothing)

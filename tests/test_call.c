/* test_call.c - ops by name: which op a name means, how values bind to its arguments, what is said when they do not,
 * and schemas. */
#include "support.h"

#include <argent/call.h>

/* ag_call with one result. */
static Variable *call(const char *name, int n, const ag_value *positional, int n_named, const ag_named_value *named)
{
    Variable *out = NULL;
    return ag_call(name, n, positional, n_named, named, &out, 1) == 1 ? out : NULL;
}
/* How many values, and the values. */
#define VALUES_OF(...) (int)(sizeof((ag_value[]){ __VA_ARGS__ }) / sizeof(ag_value)), ((ag_value[]){ __VA_ARGS__ })
/* Values by position only. */
#define POSITIONAL(name, ...) call(name, VALUES_OF(__VA_ARGS__), 0, NULL)
/* One named value after the positional ones in brackets. */
#define NAMED(name, positional, key, value) \
    call(name, VALUES_OF positional, 1, (ag_named_value[]){ { key, ag_of(value) } })

static Variable *matrix(void) { return ag_tensor(((double[]){ 1, 5, 2, 4, 3, 6 }), AG_SHAPE(2, 3)); }

/* ---- names ---- */

START_TEST(an_op_answers_to_pytorchs_names_with_and_without_their_prefix)
{
    Variable *x = matrix();
    static const char *const names[] = {
        "relu", "torch.relu", "nn.functional.relu", "torch.nn.functional.relu", "Tensor.relu", "torch.Tensor.relu"
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        VALUES(POSITIONAL(names[i], ag_of(x)), 1, 5, 2, 4, 3, 6);
        ck_assert_ptr_eq(ag_op_find(names[i]), ag_op_find("relu"));
    }
    ck_assert_str_eq(ag_op_name(ag_op_find("torch.sum")), "sum");
}
END_TEST

START_TEST(a_name_that_nothing_has_is_said_to_have_no_op)
{
    static const char *const names[] = { "reluu", "", "_", "torch.", "relu__", "nn.functional.", "sum.dim.x", "exp " };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        ck_assert_ptr_null(ag_op_find(names[i]));
        REFUSED(POSITIONAL(names[i], ag_of(matrix())), "there is no op");
    }
    ck_assert_ptr_null(ag_op_find(NULL));
    ck_assert_ptr_null(ag_error());
    Variable *out;
    REFUSED(ag_call(NULL, 0, NULL, 0, NULL, &out, 1), "the name is NULL");
    REFUSED(ag_call("relu", 0, NULL, 0, NULL, NULL, 1), "out is NULL");
    ck_assert_ptr_null(ag_op_name(NULL));
    ck_assert(!ag_op_has_inplace(NULL));
}
END_TEST

START_TEST(an_ending_underscore_is_the_in_place_form)
{
    Variable *x = matrix();
    ck_assert_ptr_eq(POSITIONAL("mul_", ag_of(x), ag_of(2)), x);
    VALUES(x, 2, 10, 4, 8, 6, 12);
    ck_assert_int_eq(ag_version(x), 1);
    ck_assert_ptr_eq(NAMED("torch.Tensor.add_", (ag_of(x), ag_of(1)), "alpha", -2), x);
    VALUES(x, 0, 8, 2, 6, 4, 10);
    ck_assert_ptr_eq(POSITIONAL("zero_", ag_of(x)), x);
    VALUES(x, 0, 0, 0, 0, 0, 0);
    ck_assert(ag_op_has_inplace(ag_op_find("mul")));
    ck_assert(!ag_op_has_inplace(ag_op_find("matmul")) && !ag_op_has_inplace(ag_op_find("sum")));
    REFUSED(POSITIONAL("sum_", ag_of(x)), "there is no op 'sum_'");
}
END_TEST

START_TEST(an_overload_is_chosen_by_its_arguments_or_its_whole_name)
{
    Variable *x = matrix(), *out[2];
    const ag_named_value named[] = { { "keepdim", ag_of((bool)true) }, { "dim", ag_of(0) } };
    VALUES(POSITIONAL("max", ag_of(x)), 6);
    ck_assert_int_eq(ag_call("max", VALUES_OF(ag_of(x), ag_of(1)), 0, NULL, out, 2), 2);
    VALUES(out[0], 5, 6);
    VALUES(out[1], 1, 2);
    ck_assert_int_eq(ag_call("torch.min", VALUES_OF(ag_of(x)), 2, named, out, 2), 2);
    SHAPE(out[0], 1, 3);
    VALUES(out[0], 1, 3, 2);
    ck_assert_int_eq(ag_call("max.dim", VALUES_OF(ag_of(x), ag_of(0)), 0, NULL, out, 2), 2);
    VALUES(out[0], 4, 5, 6);
    ck_assert_int_eq(ag_call("max_dim", VALUES_OF(ag_of(x), ag_of(0)), 0, NULL, out, 2), 2);
    REFUSED(ag_call("max_dim", VALUES_OF(ag_of(x), ag_of(0)), 0, NULL, out, 1),
            "it has 2 results, and there is room for 1");
    REFUSED(POSITIONAL("max", ag_of(x), ag_of(1), ag_of(2), ag_of(3)),
            "max() takes 1 positional argument but 4 were given");
}
END_TEST

/* ---- binding ---- */

START_TEST(values_bind_in_order_then_by_name_the_rest_by_default)
{
    Variable *x = matrix(), *one = ag_ones(AG_SHAPE(2, 3), .dtype = AG_FLOAT64);
    const ag_named_value exchanged[] = { { "other", ag_of(one) }, { "input", ag_of(x) } };
    const ag_named_value both[] = { { "dim", ag_of(AG_SHAPE(0, -1)) }, { "keepdim", ag_of((bool)true) } };
    VALUES(POSITIONAL("add", ag_of(x), ag_of(one)), 2, 6, 3, 5, 4, 7);
    VALUES(POSITIONAL("add", ag_of(x), ag_of(one), ag_of(2)), 3, 7, 4, 6, 5, 8);
    VALUES(NAMED("add", (ag_of(x), ag_of(one)), "alpha", 2.0), 3, 7, 4, 6, 5, 8);
    VALUES(call("add", 0, NULL, 2, exchanged), 2, 6, 3, 5, 4, 7);
    VALUES(NAMED("sum", (ag_of(x)), "dim", 1), 8, 13);
    VALUES(call("sum", VALUES_OF(ag_of(x)), 2, both), 21);
    VALUES(POSITIONAL("clamp", ag_of(x), ag_of_none(), ag_of(3)), 1, 3, 2, 3, 3, 3);
    VALUES(POSITIONAL("clamp", ag_of(x), ag_of(2.5)), 2.5, 5, 2.5, 4, 3, 6);
}
END_TEST

START_TEST(the_names_that_methods_and_old_spellings_give_arguments_are_taken_too)
{
    Variable *x = matrix();
    const ag_named_value old[] = { { "self", ag_of(x) }, { "axis", ag_of(0) }, { "keepdims", ag_of((bool)true) } };
    VALUES(call("sum", 0, NULL, 3, old), 5, 8, 8);
    SHAPE(NAMED("reshape", (ag_of(x)), "size", AG_SHAPE(6)), 6);
}
END_TEST

START_TEST(a_number_stands_for_a_variable_and_does_not_promote)
{
    Variable *x = ag_tensor(((float[]){ 1, 2 }), AG_SHAPE(2)), *n = ag_tensor(((int64_t[]){ 1, 2 }), AG_SHAPE(2));
    ck_assert_int_eq(ag_dtype_of(POSITIONAL("mul", ag_of(x), ag_of(2.5))), AG_FLOAT32);
    ck_assert_int_eq(ag_dtype_of(POSITIONAL("mul", ag_of(n), ag_of(2))), AG_INT64);
    ck_assert_int_eq(ag_dtype_of(POSITIONAL("mul", ag_of(n), ag_of(2.5))), AG_FLOAT32);
    VALUES(POSITIONAL("sub", ag_of(3), ag_of(n)), 2, 1);
    VALUES(POSITIONAL("add", ag_of(n), ag_of((bool)true)), 2, 3);
}
END_TEST

START_TEST(a_number_stands_only_where_pytorch_takes_one)
{
    Variable *x = matrix();
    REFUSED(POSITIONAL("maximum", ag_of(x), ag_of(2)),
            "maximum(): argument 'other' (position 2) must be Tensor, not int");
    REFUSED(POSITIONAL("eq", ag_of(2), ag_of(x)), "eq(): argument 'input' (position 1) must be Tensor, not int");
    REFUSED(POSITIONAL("mm", ag_of(x), ag_of(0.5)), "mm(): argument 'mat2' (position 2) must be Tensor, not float");
    REFUSED(POSITIONAL("cat", ag_of(ag_sizes_of(0, NULL))), "expected a non-empty list of Tensors");
}
END_TEST

START_TEST(a_step_of_another_op_is_not_to_be_called)
{
    int64_t sizes[] = { 4, 3 };
    REFUSED(POSITIONAL("_select_backward", ag_of(matrix()), ag_of(ag_sizes_of(2, sizes)), ag_of(0), ag_of(9)),
            "there is no op '_select_backward'");
    for (int i = 0; ag_op_at(i); i++) {
        const char *name = ag_op_name(ag_op_at(i));
        if (name[0] == '_') REFUSED(POSITIONAL(name, ag_of(matrix())), "there is no op '_");
    }
}
END_TEST

START_TEST(a_variable_without_dimensions_stands_for_a_number)
{
    Variable *x = matrix(), *half = ag_tensor(((float[]){ 0.5f }), AG_SCALAR_SHAPE);
    VALUES(POSITIONAL("select", ag_of(x), ag_of(0), ag_of(ag_scalar(1))), 4, 3, 6);
    VALUES(POSITIONAL("fill_", ag_of(x), ag_of(half)), 0.5, 0.5, 0.5, 0.5, 0.5, 0.5);
    REFUSED(POSITIONAL("select", ag_of(x), ag_of(0), ag_of(ag_scalar(1.5))),
            "argument 'index' (position 3) must be int, not Tensor");
    REFUSED(POSITIONAL("select", ag_of(x), ag_of(0), ag_of(x)), "must be int, not Tensor");
    REFUSED(POSITIONAL("fill_", ag_of(x), ag_of(ag_ones(AG_SHAPE(1)))), "fill_ only supports 0-dimension value tensor");
    REFUSED(POSITIONAL("hardshrink", ag_of(x), ag_of(ag_ones(AG_SHAPE(1)))), "must be float, not Tensor");
}
END_TEST

START_TEST(sizes_come_as_a_tuple_or_one_by_one)
{
    Variable *x = matrix();
    SHAPE(POSITIONAL("view", ag_of(x), ag_of(AG_SHAPE(3, 2))), 3, 2);
    SHAPE(POSITIONAL("view", ag_of(x), ag_of(3), ag_of(2)), 3, 2);
    SHAPE(POSITIONAL("view", ag_of(x), ag_of(-1)), 6);
    SHAPE(POSITIONAL("permute", ag_of(x), ag_of(1), ag_of(0)), 3, 2);
    SHAPE(POSITIONAL("zeros", ag_of(2), ag_of(3), ag_of(4)), 2, 3, 4);
    ck_assert_int_eq(ag_dim(POSITIONAL("zeros", ag_of(AG_SCALAR_SHAPE))), 0);
}
END_TEST

START_TEST(types_and_devices_bind_by_what_they_are)
{
    const ag_named_value named[] = { { "dtype", ag_of_dtype(AG_INT64) }, { "device", ag_of(AG_CPU) } };
    Variable *x = call("zeros", VALUES_OF(ag_of(AG_SHAPE(2))), 2, named);
    ck_assert_int_eq(ag_dtype_of(x), AG_INT64);
    ck_assert_ptr_nonnull(NAMED("zeros", (ag_of(AG_SHAPE(2))), "device", "cpu"));
    REFUSED(NAMED("zeros", (ag_of(AG_SHAPE(2))), "device", "abacus"), "abacus");
    REFUSED(NAMED("zeros", (ag_of(AG_SHAPE(2))), "dtype", 3), "zeros(): argument 'dtype' must be torch.dtype, not int");
    Generator *generator = ag_generator_new();
    Variable *drawn = NAMED("rand", (ag_of(AG_SHAPE(2))), "generator", generator);
    ag_manual_seed(ag_generator_initial_seed(generator));
    CLOSE(drawn, ag_rand(AG_SHAPE(2)), 0);
    ag_generator_free(generator);
    REFUSED(NAMED("rand", (ag_of(AG_SHAPE(2))), "generator", 7),
            "rand(): argument 'generator' must be Generator, not int");
}
END_TEST

START_TEST(none_stands_for_a_default_of_none_only)
{
    Variable *x = matrix();
    VALUES(POSITIONAL("sum", ag_of(x), ag_of_none()), 21);
    REFUSED(POSITIONAL("mul", ag_of(x), ag_of_none()),
            "mul(): argument 'other' (position 2) must be Tensor, not NoneType");
}
END_TEST

/* ---- what is said ---- */

START_TEST(a_call_that_does_not_bind_is_answered_as_python_answers)
{
    Variable *x = matrix();
    REFUSED(POSITIONAL("mul", ag_of(x)), "mul() missing 1 required positional argument: 'other'");
    REFUSED(call("mul", 0, NULL, 0, NULL), "mul() missing 2 required positional arguments: 'input' and 'other'");
    REFUSED(call("where", 0, NULL, 0, NULL),
            "where() missing 3 required positional arguments: 'condition', 'input', and 'other'");
    REFUSED(POSITIONAL("relu", ag_of(x), ag_of(x)), "relu() takes 1 positional argument but 2 were given");
    REFUSED(POSITIONAL("mul", ag_of(x), ag_of(x), ag_of(x)), "mul() takes 2 positional arguments but 3 were given");
    REFUSED(POSITIONAL("add", ag_of(x), ag_of(x), ag_of(1), ag_of(x)),
            "add() takes from 2 to 3 positional arguments but 4 were given");
    REFUSED(NAMED("sum", (ag_of(x)), "dmi", 0), "sum() got an unexpected keyword argument 'dmi'");
    REFUSED(NAMED("sum", (ag_of(x), ag_of(0)), "dim", 0), "sum() got multiple values for argument 'dim'");
    REFUSED(NAMED("sum", (ag_of(x), ag_of(0)), "axis", 0), "sum() got multiple values for argument 'dim'");
    REFUSED(POSITIONAL("mul", ag_of("x"), ag_of(x)), "mul(): argument 'input' (position 1) must be Tensor, not str");
    REFUSED(POSITIONAL("sum", ag_of(x), ag_of("all")),
            "sum(): argument 'dim' (position 2) must be tuple of ints, not str");
    REFUSED(NAMED("add", (ag_of(x), ag_of(x)), "alpha", "two"), "add(): argument 'alpha' must be float, not str");
    REFUSED(POSITIONAL("cat", ag_of(x)), "cat(): argument 'tensors' (position 1) must be tuple of Tensors, not Tensor");
    REFUSED(POSITIONAL("view", ag_of(x), ag_of(2), ag_of(1.5)),
            "view(): argument 'size' failed to unpack the object at pos 2 with error \"type must be tuple of ints,but "
            "got float\"");
    REFUSED(POSITIONAL("transpose", ag_of(x), ag_of(0.5), ag_of(1)),
            "transpose(): argument 'dim0' (position 2) must be int, not float");
}
END_TEST

START_TEST(values_that_are_not_there_are_refused)
{
    Variable *x = matrix(), *out;
    const ag_named_value nameless = { NULL, ag_of(1) };
    ag_value strange = ag_of(1);
    memset(&strange.kind, 0x7f, sizeof strange.kind);
    REFUSED(ag_call("relu", 1, NULL, 0, NULL, &out, 1), "relu: positional values are given, but not there");
    REFUSED(ag_call("relu", -1, NULL, 0, NULL, &out, 1), "relu: positional values are given, but not there");
    REFUSED(ag_call("relu", 0, NULL, 1, NULL, &out, 1), "relu: named values are given, but not there");
    REFUSED(call("relu", VALUES_OF(ag_of(x)), 1, &nameless), "relu(): the name of an argument is NULL");
    REFUSED(POSITIONAL("relu", strange), "relu(): argument 'input' is no value");
    REFUSED(POSITIONAL("cat", ag_of(ag_list_from(2, NULL))), "cat(): argument 'tensors' is no value");
    REFUSED(POSITIONAL("view", ag_of(x), ag_of(ag_sizes_of(-1, NULL))), "view(): argument 'size' is no value");
    REFUSED(NAMED("zeros", (ag_of(AG_SHAPE(2))), "device", (const char *)NULL), "argument 'device' is no value");
    REFUSED(ag_call("relu", 1, (ag_value[]){ ag_of(x) }, 0, NULL, &out, -1),
            "it has 1 results, and there is room for -1");
}
END_TEST

START_TEST(a_call_that_binds_and_fails_leaves_the_ops_own_sentence)
{
    Variable *x = matrix();
    REFUSED(POSITIONAL("view", ag_of(x), ag_of(4), ag_of(-1)), "shape '[4, -1]' is invalid for input of size 6");
    REFUSED(POSITIONAL("add", ag_of(x), ag_of(ag_zeros(AG_SHAPE(4), .dtype = AG_FLOAT64))),
            "The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 1");
    REFUSED(POSITIONAL("relu", ag_of((Variable *)NULL)), "input is NULL");
    VALUES(x, 1, 5, 2, 4, 3, 6);
}
END_TEST

START_TEST(a_call_by_name_is_recorded_like_any_other)
{
    Variable *x = ag_requires_grad_(matrix());
    Variable *y = POSITIONAL("sum", ag_of(POSITIONAL("mul", ag_of(x), ag_of(x))));
    ck_assert_str_eq(ag_node_name(ag_grad_fn(y)), "SumBackward0");
    OK(ag_backward(y));
    VALUES(ag_grad(x), 2, 10, 4, 8, 6, 12);
}
END_TEST

/* ---- schemas ---- */

START_TEST(a_schema_says_what_an_op_takes_and_gives)
{
    static const struct {
        const char *op, *schema;
    } rows[] = {
        { "relu", "relu(Tensor input) -> Tensor" },
        { "mul", "mul(Tensor input, Tensor other) -> Tensor" },
        { "add", "add(Tensor input, Tensor other, float alpha=1) -> Tensor" },
        { "clamp", "clamp(Tensor input, float? min=None, float? max=None) -> Tensor" },
        { "sum", "sum(Tensor input, int[]? dim=None, bool keepdim=False, dtype? dtype=None) -> Tensor" },
        { "max_dim", "max_dim(Tensor input, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)" },
        { "view", "view(Tensor input, int[] size) -> Tensor" },
        { "cat", "cat(Tensor[] tensors, int dim=0) -> Tensor" },
        { "where", "where(Tensor condition, Tensor input, Tensor other) -> Tensor" },
        { "threshold", "threshold(Tensor input, float threshold, float value) -> Tensor" },
        { "softplus", "softplus(Tensor input, float beta=1, float threshold=20) -> Tensor" },
        { "select", "select(Tensor input, int dim, int index) -> Tensor" },
        { "clone", "clone(Tensor input, MemoryFormat memory_format=preserve_format) -> Tensor" },
        { "copy_", "copy_(Tensor input, Tensor src, bool non_blocking=False) -> Tensor" },
    };
    char text[256];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t n = ag_op_schema(ag_op_find(rows[i].op), text, sizeof text);
        ck_assert_str_eq(text, rows[i].schema);
        ck_assert_uint_eq(n, strlen(text));
    }
}
END_TEST

START_TEST(no_schema_shows_how_a_default_is_written_in_c)
{
    char text[512];
    for (int i = 0; ag_op_at(i); i++) {
        ag_op_schema(ag_op_at(i), text, sizeof text);
        ck_assert_msg(!strstr(text, "AG_") && !strstr(text, "NULL") && !strchr(text, '{'), "%s", text);
    }
}
END_TEST

START_TEST(a_schema_fits_into_any_room)
{
    const ag_op *op = ag_op_find("add");
    char whole[128], part[128];
    size_t n = ag_op_schema(op, whole, sizeof whole);
    for (size_t room = 0; room <= n + 1; room++) {
        memset(part, 'x', sizeof part);
        ck_assert_uint_eq(ag_op_schema(op, part, room), n);
        if (room) {
            ck_assert_uint_eq(strlen(part), room - 1);
            ck_assert_int_eq(strncmp(part, whole, room - 1), 0);
        }
        ck_assert_int_eq(part[room], 'x');
    }
    ck_assert_uint_eq(ag_op_schema(op, NULL, 0), n);
    ck_assert_uint_eq(ag_op_schema(NULL, part, sizeof part), 0);
    ck_assert_str_eq(part, "");
}
END_TEST

START_TEST(the_records_stand_in_order_of_their_names_and_are_found_by_them)
{
    int n = 0;
    for (; ag_op_at(n); n++) {
        const char *name = ag_op_name(ag_op_at(n));
        ck_assert_msg(!n || strcmp(ag_op_name(ag_op_at(n - 1)), name) < 0, "%s is not after the record before it",
                      name);
        ck_assert_ptr_eq(ag_op_find(name), ag_op_at(n));
    }
    ck_assert_ptr_null(ag_op_at(-1));
    ck_assert_ptr_null(ag_op_at(n + 1));
}
END_TEST

SUPPORT_MAIN("call", an_op_answers_to_pytorchs_names_with_and_without_their_prefix,
             a_name_that_nothing_has_is_said_to_have_no_op, an_ending_underscore_is_the_in_place_form,
             an_overload_is_chosen_by_its_arguments_or_its_whole_name,
             values_bind_in_order_then_by_name_the_rest_by_default,
             the_names_that_methods_and_old_spellings_give_arguments_are_taken_too,
             a_number_stands_for_a_variable_and_does_not_promote, a_variable_without_dimensions_stands_for_a_number,
             a_number_stands_only_where_pytorch_takes_one, a_step_of_another_op_is_not_to_be_called,
             sizes_come_as_a_tuple_or_one_by_one, types_and_devices_bind_by_what_they_are,
             none_stands_for_a_default_of_none_only, a_call_that_does_not_bind_is_answered_as_python_answers,
             values_that_are_not_there_are_refused, a_call_that_binds_and_fails_leaves_the_ops_own_sentence,
             a_call_by_name_is_recorded_like_any_other, a_schema_says_what_an_op_takes_and_gives,
             no_schema_shows_how_a_default_is_written_in_c, a_schema_fits_into_any_room,
             the_records_stand_in_order_of_their_names_and_are_found_by_them)

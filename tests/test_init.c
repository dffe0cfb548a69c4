/* test_init.c - nn.init: what PyTorch draws (nn_runs.h), outside any graph; what is refused. */
#include "nn_runs.h"

static Variable *fill(const char *words, Variable *x)
{
    char name[32], mode[32], nonlinearity[32];
    const char *at = words;
    nn_word(&at, name);
    nn_text(words, "mode", "fan_in", mode);
    nn_text(words, "nonlinearity", "leaky_relu", nonlinearity);
    double a = nn_number(words, "a", 0), gain = nn_number(words, "gain", 1);
#define IS(called) (strcmp(name, called) == 0)
    if (strcmp(words, "uniform_") == 0) return ag_nn_init_uniform_(x);
    if (IS("uniform_")) return ag_nn_init_uniform_(x, a, nn_number(words, "b", 1));
    if (strcmp(words, "normal_") == 0) return ag_nn_init_normal_(x);
    if (IS("normal_")) return ag_nn_init_normal_(x, nn_number(words, "mean", 0), .std = nn_number(words, "std", 1));
    if (IS("xavier_uniform_")) return ag_nn_init_xavier_uniform_(x, gain);
    if (IS("xavier_normal_")) return ag_nn_init_xavier_normal_(x, .gain = gain);
    if (IS("kaiming_uniform_")) return ag_nn_init_kaiming_uniform_(x, a, mode, nonlinearity);
    if (IS("kaiming_normal_")) return ag_nn_init_kaiming_normal_(x, a, .mode = mode, .nonlinearity = nonlinearity);
    ck_abort_msg("there is no initialiser %s", words);
}

/* To the bit but for float64 normals, which are libm's to the last bits. */
START_TEST(initialisers_draw_pytorchs_numbers)
{
    nn_record r = nn_records("init");
    while (nn_next(&r)) {
        AG_SCOPE;
        char *text;
        int64_t size[8];
        ag_manual_seed(strtoull(r.of, &text, 10));
        const char *at = text + 1;
        ag_dtype dtype = nn_dtype(&at);
        Variable *x = ag_requires_grad_(ag_empty(nn_shape(&at, size), .dtype = dtype));
        ck_assert(fill(at, x) == x && ag_is_leaf(x) && ag_requires_grad(x));
        ck_assert_int_eq(ag_version(x), 1);
        bool exact = dtype == AG_FLOAT32 || !strstr(at, "normal");
        ck_assert(nn_line(&r));
        const char *numbers = r.line;
        nn_same(x, &numbers, exact ? 0 : 1e-15, r.of);
        nn_same(ag_rand(AG_SHAPE(1), .dtype = AG_FLOAT64), &numbers, 0, r.of);
    }
    ck_assert_int_gt(r.n, 40);
}
END_TEST

START_TEST(gains_are_pytorchs)
{
    nn_record r = nn_records("gain");
    while (nn_next(&r)) {
        char name[32];
        const char *at = r.of;
        nn_word(&at, name);
        double gain = *at ? ag_nn_init_calculate_gain(name, atof(at)) : ag_nn_init_calculate_gain(name);
        ck_assert(nn_line(&r));
        ck_assert_msg(gain == atof(r.line), "%s is %.17g, not %s", r.of, gain, r.line);
    }
}
END_TEST

START_TEST(constants)
{
    Variable *x = ag_requires_grad_(ag_randn(AG_SHAPE(2, 3)));
    ck_assert_ptr_eq(ag_nn_init_constant_(x, 0.25), x);
    VALUES(x, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25);
    VALUES(ag_nn_init_ones_(x), 1, 1, 1, 1, 1, 1);
    VALUES(ag_nn_init_zeros_(ag_select(ag_detach(x), 0, 1)), 0, 0, 0);
    VALUES(x, 1, 1, 1, 0, 0, 0);
    ck_assert(ag_is_leaf(x));
    VALUES(ag_nn_init_constant_(ag_arange(3), 7), 7, 7, 7);
}
END_TEST

START_TEST(a_generator_of_ones_own_is_drawn_from)
{
    Generator *own = ag_generator_new();
    ag_generator_manual_seed(own, 5);
    Variable *x = ag_nn_init_kaiming_normal_(ag_empty(AG_SHAPE(3, 4)), .generator = own);
    double next = ag_item(ag_rand(AG_SCALAR_SHAPE));
    ag_manual_seed(5);
    ck_assert(ag_equal(ag_nn_init_kaiming_normal_(ag_empty(AG_SHAPE(3, 4))), x));
    ag_manual_seed(0);
    ck_assert(ag_item(ag_rand(AG_SCALAR_SHAPE)) == next);
    ag_generator_free(own);
}
END_TEST

START_TEST(nothing_is_drawn_for_no_elements)
{
    OK(ag_nn_init_kaiming_uniform_(ag_empty(AG_SHAPE(0, 3))));
    OK(ag_nn_init_kaiming_normal_(ag_empty(AG_SHAPE(3, 0)), .mode = "fan_in"));
    OK(ag_nn_init_xavier_uniform_(ag_empty(AG_SHAPE(0, 0))));
    double next = ag_item(ag_rand(AG_SCALAR_SHAPE));
    ag_manual_seed(0);
    ck_assert(ag_item(ag_rand(AG_SCALAR_SHAPE)) == next);
}
END_TEST

START_TEST(what_cannot_be_initialised_is_refused)
{
    Variable *x = ag_ones(AG_SHAPE(2, 3)), *vector = ag_ones(AG_SHAPE(3)), *whole = ag_arange(3);
    static const char fan[] = "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions";
    REFUSED(ag_nn_init_xavier_uniform_(vector), fan);
    REFUSED(ag_nn_init_xavier_normal_(vector), fan);
    REFUSED(ag_nn_init_kaiming_uniform_(vector), fan);
    REFUSED(ag_nn_init_kaiming_normal_(ag_ones(AG_SCALAR_SHAPE)), fan);
    REFUSED(ag_nn_init_kaiming_uniform_(x, .mode = "fan"),
            "Mode fan not supported, please use one of ['fan_in', 'fan_out']");
    REFUSED(ag_nn_init_kaiming_uniform_(x, .mode = NULL), "Mode NULL not supported");
    REFUSED(ag_nn_init_kaiming_normal_(x, .nonlinearity = "gelu"), "Unsupported nonlinearity gelu");
    REFUSED(!isnan(ag_nn_init_calculate_gain("gelu")), "Unsupported nonlinearity gelu");
    REFUSED(ag_nn_init_uniform_(x, 1, 0), "uniform_ expects to return a [from, to) range");
    REFUSED(ag_nn_init_normal_(x, .std = -1), "normal expects std >= 0.0");
    REFUSED(ag_nn_init_uniform_(whole), "not implemented for 'Long'");
    REFUSED(ag_nn_init_constant_(whole, NAN), "without overflow");
    REFUSED(ag_nn_init_uniform_(NULL), "NULL");
    REFUSED(ag_nn_init_xavier_normal_(NULL), "x is NULL");
    REFUSED(ag_nn_init_zeros_(ag_scalar(2)), "ag_scalar");
    REFUSED(ag_nn_init_uniform_(ag_expand(vector, AG_SHAPE(2, 3))), "single memory location");
    VALUES(x, 1, 1, 1, 1, 1, 1);
    VALUES(whole, 0, 1, 2);
}
END_TEST

SUPPORT_MAIN("init", initialisers_draw_pytorchs_numbers, gains_are_pytorchs, constants,
             a_generator_of_ones_own_is_drawn_from, nothing_is_drawn_for_no_elements,
             what_cannot_be_initialised_is_refused)

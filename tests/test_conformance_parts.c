/* The parts of ag-conformance: its reader of JSON, and its comparisons. What the tool does with files is in
 * tests/conformance.py. */
#include "../tools/conformance/compare.h"
#include "../tools/conformance/json.h"
#include "support.h"

/* ---- JSON ---- */

/* Reads a copy of the text; NULL with *why. */
static const json *read_text(json_pool *pool, const char *text, char *room, complaint *why)
{
    strcpy(room, text);
    return json_parse(pool, room, strlen(room), why);
}

START_TEST(json_is_read_as_it_is_written)
{
    char room[400];
    json_pool pool = { 0 };
    complaint why = { 0 };
    const json *x = read_text(&pool,
                              " {\"a\" : [1, -2.5e1,true , false,null,\"\\u00e9\\ud83d\\ude00\\n\\\"\"],\n"
                              "\"b\":{}, \"\":[], \"n\":9223372036854775808, \"m\":-9223372036854775808} ",
                              room, &why);
    int64_t whole;
    ck_assert_msg(x != NULL, "%s", why.text);
    ck_assert_int_eq(x->n, 5);
    const json *a = json_get(x, "a");
    ck_assert(json_whole(json_at(a, 0), &whole) && whole == 1);
    ck_assert(!json_whole(json_at(a, 1), &whole) && json_at(a, 1)->number == -25);
    ck_assert(json_at(a, 2)->is_true && !json_at(a, 3)->is_true && json_is(json_at(a, 4), JSON_NULL));
    ck_assert_str_eq(json_text(json_at(a, 5)), "\xc3\xa9\xf0\x9f\x98\x80\n\"");
    ck_assert(json_is(json_get(x, "b"), JSON_OBJECT) && json_get(x, "")->n == 0);
    ck_assert(!json_whole(json_get(x, "n"), &whole) && json_get(x, "n")->number == 9223372036854775808.0);
    ck_assert(json_whole(json_get(x, "m"), &whole) && whole == INT64_MIN);
    json_free(&pool);
}
END_TEST

START_TEST(what_is_not_there_is_nothing)
{
    int64_t whole;
    json number = { .kind = JSON_NUMBER };
    ck_assert(!json_get(NULL, "a") && !json_at(NULL, 0) && !json_text(NULL) && !json_whole(NULL, &whole));
    ck_assert(!json_first(NULL) && !json_get(&number, "a") && !json_at(&number, 0) && !json_text(&number));
}
END_TEST

static const struct {
    const char *text, *why;
} wrong[] = {
    { "", "a value expected at byte 0" },
    { "nul", "a value expected" },
    { "[1,]", "a value expected at byte 3" },
    { "[1 2]", "']' expected" },
    { "{\"a\" 1}", "':' expected" },
    { "{\"a\":1", "'}' expected" },
    { "{a:1}", "a string expected" },
    { "{\"a\":1,\"b\":2,\"a\":3}", "a name given twice" },
    { "{\"a\":1,}", "a string expected" },
    { "01", "a number that begins with 0" },
    { "1.", "digits expected" },
    { "1e", "digits expected" },
    { ".5", "a value expected" },
    { "+1", "a value expected" },
    { "-", "a value expected" },
    { "NaN", "a value expected" },
    { "\"\\x\"", "an escape that means no character" },
    { "\"\\u0000\"", "an escape that means no character" },
    { "\"\\ud800\"", "an escape that means no character" },
    { "\"\\udc00\"", "an escape that means no character" },
    { "\"\\ud800\\u0041\"", "an escape that means no character" },
    { "\"\\u12\"", "an escape that means no character" },
    { "\"a\nb\"", "a control character in a string" },
    { "\"a", "a string that does not end" },
    { "\"a\\", "an escape that means no character" },
    { "\"\xff\"", "it is not UTF-8" },
    { "1 1", "something after its end" },
};
START_TEST(what_is_not_json_is_refused_with_the_byte)
{
    char room[64];
    json_pool pool = { 0 };
    complaint why = { 0 };
    ck_assert(!read_text(&pool, wrong[_i].text, room, &why));
    ck_assert_msg(strstr(why.text, wrong[_i].why), "%s: %s", wrong[_i].text, why.text);
    json_free(&pool);
}
END_TEST

START_TEST(depth_has_a_limit)
{
    for (int more = 0; more < 2; more++) {
        char room[2 * JSON_MAX_DEPTH + 8];
        int n = JSON_MAX_DEPTH + more;
        json_pool pool = { 0 };
        complaint why = { 0 };
        memset(room, '[', (size_t)n);
        memset(room + n, ']', (size_t)n);
        room[2 * n] = 0;
        ck_assert((json_parse(&pool, room, 2 * (size_t)n, &why) != NULL) == !more);
        json_free(&pool);
    }
}
END_TEST

START_TEST(text_is_written_so_that_it_can_be_read)
{
    const char *text = "a\"b\\c\nd\x01 \xc3\xa9";
    char *written = NULL;
    size_t n;
    FILE *file = open_memstream(&written, &n);
    json_write_text(file, text);
    fclose(file);
    json_pool pool = { 0 };
    complaint why = { 0 };
    ck_assert_str_eq(json_text(json_parse(&pool, written, n, &why)), text);
    json_free(&pool);
    free(written);
}
END_TEST

/* ---- comparisons ---- */

/* Two results of two elements: the first element is 1, of the second there are ours and PyTorch's. */
static const struct {
    const char *op;
    derivative_order order;
    double ours, theirs;
    bool agree;
} pairs[] = {
    { "exp", VALUE, 0x1p-10, 0x1p-10 + 0x1p-60, true }, /* 4 ULP */
    { "exp", VALUE, 0x1p-10, 0x1p-10 + 0x1.4p-60, false },
    { "exp", VALUE, 0.0, -0.0, true },
    { "exp", VALUE, NAN, NAN, true },
    { "exp", VALUE, NAN, 0, false },
    { "exp", VALUE, INFINITY, -INFINITY, false },
    { "exp", VALUE, INFINITY, 1e308, false },
    { "exp", GRADIENT, 0, 0.9e-14, true },
    { "exp", GRADIENT, 0, 1.1e-14, false },
    { "exp", SECOND_GRADIENT, 0, 0.9e-13, true },
    { "exp", SECOND_GRADIENT, 0, 1.1e-13, false },
    { "add", VALUE, 0, 0.9e-15, true }, /* its terms may cancel */
    { "add", VALUE, 0, 1.1e-15, false },
    { "sum", VALUE, 0, 0.9e-12, true },
    { "sum", VALUE, 0, 1.1e-12, false },
    { "sum", GRADIENT, 0, 0.9e-11, true },
    { "sum", GRADIENT, 0, 1.1e-11, false },
    { "view", VALUE, 0.5, 0.5, true },
    { "view", VALUE, 0.5, 0x1.0000000000001p-1, false },
    { "view", VALUE, 0.0, -0.0, false },
    { "view", VALUE, NAN, -NAN, true },
};
START_TEST(float64_is_held_to_its_op_s_tolerance)
{
    complaint why = { 0 };
    comparison c = { .label = "out_0",
                     .got = ag_tensor(((double[]){ 1, pairs[_i].ours }), AG_SHAPE(2)),
                     .want = ag_tensor(((double[]){ 1, pairs[_i].theirs }), AG_SHAPE(2)),
                     .numbers = class_of_op(pairs[_i].op),
                     .order = pairs[_i].order };
    ck_assert_msg(compare(&c, &why) == pairs[_i].agree, "%s %g %g: %s", pairs[_i].op, pairs[_i].ours, pairs[_i].theirs,
                  why.text);
    ck_assert((c.ratio <= 1) == pairs[_i].agree);
    ck_assert(pairs[_i].agree == !*why.text);
}
END_TEST

/* float32: ours, PyTorch's, and what is true */
static const struct {
    float ours, theirs;
    double ref;
    bool agree;
} singles[] = {
    { 0, 0, 0, true },
    { 4e-7f, 0, 0, true },
    { 5e-7f, 0, 0, false },
    { 1e-6f, 6e-7f, 0, true }, /* up to twice PyTorch's own error */
    { 1.3e-6f, 6e-7f, 0, false },
    { 0, 1e-2f, 0, false }, /* nobody believes that this is PyTorch's */
    { 1e-2f, 1e-2f, 0, true },
};
START_TEST(float32_is_measured_by_pytorch_s_own_error)
{
    complaint why = { 0 };
    comparison c = { .label = "out_0",
                     .got = ag_tensor(((float[]){ 1, singles[_i].ours }), AG_SHAPE(2)),
                     .want = ag_tensor(((float[]){ 1, singles[_i].theirs }), AG_SHAPE(2)),
                     .ref = ag_tensor(((double[]){ 1, singles[_i].ref }), AG_SHAPE(2)),
                     .numbers = REDUCTION };
    ck_assert_msg(compare(&c, &why) == singles[_i].agree, "row %d: %s", _i, why.text);
}
END_TEST

START_TEST(shape_and_type_are_compared_first)
{
    complaint shape = { 0 }, dtype = { 0 };
    Variable *x = ag_zeros(AG_SHAPE(2, 3));
    comparison c = { .label = "out_0", .got = x, .want = ag_zeros(AG_SHAPE(3, 2)) };
    ck_assert(!compare(&c, &shape));
    ck_assert_str_eq(shape.text, "out_0: it is [2, 3] float32 cpu and not [3, 2] float32 cpu");
    c.want = ag_zeros(AG_SHAPE(2, 3), .dtype = AG_INT64);
    ck_assert(!compare(&c, &dtype));
    ck_assert_str_eq(dtype.text, "out_0: it is float32 and not int64");
}
END_TEST

START_TEST(integers_and_truth_values_are_the_same_or_not)
{
    complaint why = { 0 };
    comparison c = { .label = "out_0",
                     .got = ag_tensor(((int64_t[]){ 1, INT64_MAX }), AG_SHAPE(2)),
                     .want = ag_tensor(((int64_t[]){ 1, INT64_MAX - 1 }), AG_SHAPE(2)),
                     .numbers = COMPOSITION };
    ck_assert(!compare(&c, &why));
    c.want = c.got;
    ck_assert(compare(&c, &why));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("conformance_parts");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, support_begin, support_end);
    tcase_add_test(tc, json_is_read_as_it_is_written);
    tcase_add_test(tc, what_is_not_there_is_nothing);
    tcase_add_loop_test(tc, what_is_not_json_is_refused_with_the_byte, 0, sizeof wrong / sizeof *wrong);
    tcase_add_test(tc, depth_has_a_limit);
    tcase_add_test(tc, text_is_written_so_that_it_can_be_read);
    tcase_add_loop_test(tc, float64_is_held_to_its_op_s_tolerance, 0, sizeof pairs / sizeof *pairs);
    tcase_add_loop_test(tc, float32_is_measured_by_pytorch_s_own_error, 0, sizeof singles / sizeof *singles);
    tcase_add_test(tc, shape_and_type_are_compared_first);
    tcase_add_test(tc, integers_and_truth_values_are_the_same_or_not);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

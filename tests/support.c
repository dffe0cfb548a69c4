/* support.c - see support.h. */
#include "support.h"

static ag_scope scope;

void support_begin(void)
{
    ag_clear_error();
    ag_manual_seed(0);
    support_drawn = 1;
    scope = ag_scope_begin();
}

void support_end(void)
{
    const char *error = ag_error();
    if (error) ck_abort_msg("an error stands at the end: %s", error);
    ag_scope_end(&scope);
    int64_t alive = ag_leaks(NULL);
    if (alive) ag_leaks(stderr);
    ck_assert_msg(alive == 0, "%lld Variables are still alive", (long long)alive);
}

void support_ok(int ok, const char *expression, const char *file, int line)
{
    const char *error = ag_error();
    if (!ok || error) ck_abort_msg("%s:%d: %s: %s", file, line, expression, error ? error : "false, without an error");
}

void support_refused(int ok, const char *part, const char *expression, const char *file, int line)
{
    const char *error = ag_error();
    ck_assert_msg(!ok, "%s:%d: %s should have been refused", file, line, expression);
    ck_assert_msg(error != NULL, "%s:%d: %s was refused without a sentence", file, line, expression);
    ck_assert_msg(strstr(error, part) != NULL, "%s:%d: %s: the sentence is \"%s\", which does not say \"%s\"", file,
                  line, expression, error, part);
    ag_clear_error();
}

double support_at(Variable *x, int64_t i)
{
    const char *at = ag_data(x);
    Shape shape = ag_shape(x), stride = ag_stride(x);
    int64_t offset = 0;
    for (int64_t d = shape.n; d--; i /= shape.at[d]) offset += i % shape.at[d] * stride.at[d];
    switch (ag_dtype_of(x)) {
    case AG_FLOAT32:
        return ((const float *)(const void *)at)[offset];
    case AG_FLOAT64:
        return ((const double *)(const void *)at)[offset];
    case AG_INT64:
        return (double)((const int64_t *)(const void *)at)[offset];
    case AG_INT32:
        return ((const int32_t *)(const void *)at)[offset];
    default:
        return ((const uint8_t *)at)[offset];
    }
}

static int same_number(double a, double b, double tolerance)
{
    if (isnan(a) || isnan(b)) return isnan(a) && isnan(b);
    if (isinf(a) || isinf(b)) return a == b;
    return fabs(a - b) <= tolerance * fmax(1, fabs(b));
}

void support_values(Variable *x, int64_t n, const double *expected, const char *text, const char *file, int line)
{
    support_ok(x != NULL, text, file, line);
    ck_assert_msg(ag_numel(x) == n, "%s:%d: %s has %lld elements, not %lld", file, line, text, (long long)ag_numel(x),
                  (long long)n);
    double tolerance = ag_dtype_of(x) == AG_FLOAT32 ? 1e-6 : 1e-12;
    for (int64_t i = 0; i < n; i++)
        ck_assert_msg(same_number(support_at(x, i), expected[i], tolerance),
                      "%s:%d: %s: element %lld is %.17g, not %.17g", file, line, text, (long long)i, support_at(x, i),
                      expected[i]);
}

void support_shape(Variable *x, Shape expected, const char *text, const char *file, int line)
{
    support_ok(x != NULL, text, file, line);
    Shape shape = ag_shape(x);
    int same = shape.n == expected.n;
    for (int64_t d = 0; same && d < shape.n; d++) same = shape.at[d] == expected.at[d];
    ck_assert_msg(same, "%s:%d: %s has another shape (its first size is %lld of %lld dimensions)", file, line, text,
                  shape.n ? (long long)shape.at[0] : 0, (long long)shape.n);
}

void support_close(Variable *a, Variable *b, double tolerance, const char *text, const char *file, int line)
{
    support_ok(a && b, text, file, line);
    support_shape(a, ag_shape(b), text, file, line);
    ck_assert_msg(ag_dtype_of(a) == ag_dtype_of(b), "%s:%d: %s: the types differ", file, line, text);
    for (int64_t i = 0; i < ag_numel(a); i++)
        ck_assert_msg(same_number(support_at(a, i), support_at(b, i), tolerance),
                      "%s:%d: %s: element %lld is %.17g, not %.17g", file, line, text, (long long)i, support_at(a, i),
                      support_at(b, i));
}

Variable *support_random(Shape shape, double from, double to)
{
    Variable *x = ag_empty(shape, .dtype = AG_FLOAT64);
    static uint64_t state = 88172645463325252u; /* xorshift: the library's own generator stays as it is */
    double *at = ag_data_mutable(x);
    for (int64_t i = 0; i < ag_numel(x); i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        at[i] = from + (to - from) * (double)(state >> 11) * 0x1p-53;
    }
    return x;
}

uint64_t support_drawn = 1;
Variable *support_draw(Shape shape, ag_dtype dtype, double scale)
{
    int64_t n = 1;
    for (int64_t d = 0; d < shape.n; d++) n *= shape.at[d];
    double *values = malloc((size_t)(n + 1) * sizeof *values);
    for (int64_t i = 0; i < n; i++) {
        support_drawn = support_drawn * 6364136223846793005 + 1442695040888963407;
        values[i] = ((double)(support_drawn >> 40) / 8388608 - 1) * scale;
    }
    Variable *x = ag_to(ag_tensor_from(values, shape, AG_FLOAT64), .dtype = dtype);
    free(values);
    return x;
}

int support_main(const char *name, const TTest *const *tests, size_t n)
{
    return support_main_with(name, tests, n, support_begin, support_end);
}

int support_main_with(const char *name, const TTest *const *tests, size_t n, void (*begin)(void), void (*end)(void))
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    tcase_add_checked_fixture(tcase, begin, end);
    tcase_set_timeout(tcase, 0); /* the machine's speed is no test; meson bounds the whole */
    for (size_t i = 0; i < n; i++) tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

bool support_memory_is_kept(void)
{
#if defined __SANITIZE_ADDRESS__
    return false;
#elif defined __has_feature
#if __has_feature(address_sanitizer)
    return false;
#endif
#endif
    return getenv("AG_NO_MEMORY_CACHING") == NULL;
}

/* support.h - what suites on Variables share: a house that is clean before and after each test, comparisons that say
 * what differs, and the sentence of a refused call. */
#ifndef AG_TESTS_SUPPORT_H
#define AG_TESTS_SUPPORT_H
#include <argent/argent.h>

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Around each test (tcase_add_checked_fixture): no error stands, the seed is 0, one scope is open; afterwards nothing
 * is alive. */
void support_begin(void);
void support_end(void);

/* Fails the test with the standing error's sentence if there is one, or if the expression is false or NULL. */
#define OK(expression) support_ok((expression) ? 1 : 0, #expression, __FILE__, __LINE__)
void support_ok(int ok, const char *expression, const char *file, int line);

/* The expression fails, with a sentence that contains `part`; the error is then cleared. */
#define REFUSED(expression, part) support_refused((expression) ? 1 : 0, part, #expression, __FILE__, __LINE__)
void support_refused(int ok, const char *part, const char *expression, const char *file, int line);

/* x has these elements in row-major order, each within 1e-12 relative (float32: 1e-6) or 1e-12 absolute. */
#define VALUES(x, ...)                                                                                                \
    support_values((x), (int64_t)(sizeof((double[]){ __VA_ARGS__ }) / sizeof(double)), (double[]){ __VA_ARGS__ }, #x, \
                   __FILE__, __LINE__)
void support_values(Variable *x, int64_t n, const double *expected, const char *text, const char *file, int line);

#define SHAPE(x, ...) support_shape((x), AG_SHAPE(__VA_ARGS__), #x, __FILE__, __LINE__)
void support_shape(Variable *x, Shape expected, const char *text, const char *file, int line);

/* a and b have the same shape and type, and elements within tolerance * max(1, |b|). */
#define CLOSE(a, b, tolerance) support_close((a), (b), (tolerance), #a " ~ " #b, __FILE__, __LINE__)
void support_close(Variable *a, Variable *b, double tolerance, const char *text, const char *file, int line);

/* Element i in row-major order. */
double support_at(Variable *x, int64_t i);
/* A float64 leaf that wants a gradient, from these numbers. */
#define LEAF(shape, ...) ag_requires_grad_(ag_tensor(((double[]){ __VA_ARGS__ }), (shape)))
/* float64, drawn from [from, to). */
Variable *support_random(Shape shape, double from, double to);

/* Numbers of [-scale, scale) from the recurrence of tools/draw.py, which stands at support_drawn (at first 1). */
extern uint64_t support_drawn;
Variable *support_draw(Shape shape, ag_dtype dtype, double scale);

/* Whether the library keeps freed memory for reuse, as it does unless a memory checker wants to see every block. */
bool support_memory_is_kept(void);

/* A suite of one test case whose tests run between support_begin and support_end. */
int support_main(const char *name, const TTest *const *tests, size_t n);
/* Between these two, which call support_begin and support_end. */
int support_main_with(const char *name, const TTest *const *tests, size_t n, void (*begin)(void), void (*end)(void));
#define SUPPORT_MAIN(name, ...)                                   \
    int main(void)                                                \
    {                                                             \
        const TTest *all[] = { __VA_ARGS__ };                     \
        return support_main(name, all, sizeof all / sizeof *all); \
    }

#endif

/* compare.h - whether two Variables hold the same numbers. Both return false with an error standing if they cannot be
 * compared. */
#ifndef ARGENT_COMPARE_H
#define ARGENT_COMPARE_H
#include <argent/variable.h>

AG_BEGIN_DECLS

/* The same shape and the same numbers; NaN equals nothing. Types may differ. */
AG_API bool ag_equal(const ag_variable *input, const ag_variable *other);

/* |input - other| <= atol + rtol |other| everywhere, after broadcasting; infinities must agree, and NaN is close to NaN
 * only with .equal_nan = true. One type. */
#define AG_ARGS_allclose(must, may) \
    must(Tensor, input) must(Tensor, other) may(Float, rtol, 1e-05) may(Float, atol, 1e-08) may(Bool, equal_nan, false)
#define ag_allclose(...) AG_CALL(allclose, __VA_ARGS__)
AG_DECLARE_AS(allclose, bool)

/* The same for each element: bool. No gradient. */
#define AG_ARGS_isclose(must, may) AG_ARGS_allclose(must, may)
#define ag_isclose(...)            AG_CALL(isclose, __VA_ARGS__)
AG_DECLARE(isclose)

AG_END_DECLS
#endif

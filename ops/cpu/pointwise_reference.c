/* pointwise_reference.c - the rows as plain loops of the C language and libm: the oracle of the tests. */
#include "ops/cpu/pointwise_reference.h"
#include "ops/cpu/erfinv.h"
#include "tensor/past_caches.h"

#include <math.h>

#include "ops/cpu/uncontracted.h"

#define real    float
#define SUFFIX  _f32
#define F(name) name##f
#include "ops/cpu/pointwise_plain.h"
#define real    double
#define SUFFIX  _f64
#define F(name) name
#include "ops/cpu/pointwise_plain.h"

// clang-format off
#define VALUE(op, integers, LIST, expression)    { op##_value_f32, op##_value_f64 },
#define VALUE_IS                                 VALUE
#define DERIVATIVE(op, part, LIST, expression)   { op##_##part##_f32, op##_##part##_f64 },
// clang-format on
const ag__pointwise_loops ag__pointwise_reference = { {
#include "ops/pointwise.def"
                                                      },
                                                      .store_past = ag__store_past };

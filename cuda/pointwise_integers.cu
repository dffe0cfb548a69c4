/* pointwise_integers.cu - the rows' values on int64, int32, uint8 and bool, as ops/cpu/pointwise_integer_kernel.c: what
 * adds and multiplies (ring) in unsigned types, what compares (ordered) in signed ones. */
#include "cuda/elements.cuh"

#define AG_ON_DEVICE __device__
#include "ops/cpu/whole.h"

/* The rows ask whether x < 0 of unsigned types, too. */
#ifdef CUDA_HOST_SHIM
#pragma GCC diagnostic ignored "-Wtype-limits"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wbool-compare"
#endif
#else
#pragma nv_diag_suppress 186
#endif

namespace
{
// clang-format off
#define NO_INTEGER(...)
#define INTEGER_to_float        NO_INTEGER
#define INTEGER_only_float      NO_INTEGER

/* ---- what adds and multiplies ---- */
#define ORDERED 0
#define INTEGER_ring            INTEGER
#define INTEGER_ring_bool       INTEGER
#define INTEGER_ring_long       INTEGER
#define INTEGER_ordered         NO_INTEGER
#define INTEGER_ordered_bool    NO_INTEGER
#define INTEGER_ordered_long    NO_INTEGER
#define INTEGER_IS_ordered_bool NO_INTEGER
#define real    uint64_t
#define element uint64_t
#define FROM(p) (p)
#define SUFFIX  _ring64
#define DTYPE   AG_INT64
#include "cuda/pointwise_whole.cuh"
#define real    uint32_t
#define element uint32_t
#define FROM(p) (p)
#define SUFFIX  _ring32
#define DTYPE   AG_INT32
#include "cuda/pointwise_whole.cuh"
#define real    uint8_t
#define element uint8_t
#define FROM(p) (p)
#define SUFFIX  _ring8
#define DTYPE   AG_UINT8
#include "cuda/pointwise_whole.cuh"
#define real    uint32_t
#define element uint8_t
#define FROM(p) ((p) != 0) /* whatever byte a user's memory holds */
#define SUFFIX  _ring1
#define DTYPE   AG_BOOL
#include "cuda/pointwise_whole.cuh"
#undef INTEGER_ring
#undef INTEGER_ring_bool
#undef INTEGER_ring_long
#undef INTEGER_ordered
#undef INTEGER_ordered_bool
#undef INTEGER_ordered_long
#undef INTEGER_IS_ordered_bool

/* ---- what compares ---- */
#undef ORDERED
#define ORDERED 1
#define INTEGER_ring            NO_INTEGER
#define INTEGER_ring_bool       NO_INTEGER
#define INTEGER_ring_long       NO_INTEGER
#define INTEGER_ordered         INTEGER
#define INTEGER_ordered_bool    INTEGER
#define INTEGER_ordered_long    INTEGER
#define INTEGER_IS_ordered_bool INTEGER_IS
#define real    int64_t
#define element int64_t
#define FROM(p) (p)
#define modular uint64_t
#define SUFFIX  _int64
#define DTYPE   AG_INT64
#include "cuda/pointwise_whole.cuh"
#undef modular
#define real    int32_t
#define element int32_t
#define FROM(p) (p)
#define modular uint32_t
#define SUFFIX  _int32
#define DTYPE   AG_INT32
#include "cuda/pointwise_whole.cuh"
#undef modular
#define real    uint8_t
#define element uint8_t
#define FROM(p) (p)
#define modular uint8_t
#define SUFFIX  _uint8
#define DTYPE   AG_UINT8
#include "cuda/pointwise_whole.cuh"
#define real    uint8_t
#define element uint8_t
#define FROM(p) ((p) != 0) /* whatever byte a user's memory holds */
#define SUFFIX  _bool
#define DTYPE   AG_BOOL
#include "cuda/pointwise_whole.cuh"

#define RING(op)             { launch<op##_value_ring64>, launch<op##_value_ring32>, launch<op##_value_ring8>, launch<op##_value_ring1> },
#define COMPARED(op)         { launch<op##_value_int64>, launch<op##_value_int32>, launch<op##_value_uint8>, launch<op##_value_bool> },
#define ROWS_to_float(op)     { nullptr },
#define ROWS_only_float(op)   { nullptr },
#define ROWS_ring(op)         RING(op)
#define ROWS_ring_bool(op)    RING(op)
#define ROWS_ring_long(op)    RING(op)
#define ROWS_ordered(op)      COMPARED(op)
#define ROWS_ordered_bool(op) COMPARED(op)
#define ROWS_ordered_long(op) COMPARED(op)
#define VALUE(op, integers, LIST, expression)  ROWS_##integers(op)
#define VALUE_IS                               VALUE
#define DERIVATIVE(op, part, LIST, expression) { nullptr },
ag_cuda_launcher *const rows[AG_N_EXPRESSIONS][AG_N_DTYPES - AG_INT64] = {
#include "ops/pointwise.def"
};
// clang-format on
} // namespace

extern "C" ag_cuda_launcher *ag__cuda_row_integer(int expression, int dtype)
{
    return rows[expression][dtype - AG_INT64];
}

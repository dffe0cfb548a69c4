/* pointwise_integer_kernel.c - the rows' values on int64, int32, uint8 and bool, for one instruction set. Integers wrap
 * round: what adds and multiplies (ring) is computed in unsigned types; what compares (ordered), in signed ones. In
 * bool, a + b is "or" and a * b is "and". */
#include "ops/cpu/isa.h"
#include "ops/cpu/pointwise_kernel.h"
#include "ops/cpu/whole.h"

/* The rows ask whether x < 0 of unsigned types, too. */
#pragma GCC diagnostic ignored "-Wtype-limits"

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
#include "ops/cpu/pointwise_integers.h"
#define real    uint32_t
#define element uint32_t
#define FROM(p) (p)
#define SUFFIX  _ring32
#include "ops/cpu/pointwise_integers.h"
#define real    uint8_t
#define element uint8_t
#define FROM(p) (p)
#define SUFFIX  _ring8
#include "ops/cpu/pointwise_integers.h"
#define real    uint32_t
#define element uint8_t
#define FROM(p) ((p) != 0) /* whatever byte a user's memory holds */
#define SUFFIX  _ring1
#include "ops/cpu/pointwise_integers.h"
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
#include "ops/cpu/pointwise_integers.h"
#undef modular
#define real    int32_t
#define element int32_t
#define FROM(p) (p)
#define modular uint32_t
#define SUFFIX  _int32
#include "ops/cpu/pointwise_integers.h"
#undef modular
#define real    uint8_t
#define element uint8_t
#define FROM(p) (p)
#define modular uint8_t
#define SUFFIX  _uint8
#include "ops/cpu/pointwise_integers.h"
#define real    uint8_t
#define element uint8_t
#define FROM(p) ((p) != 0) /* whatever byte a user's memory holds */
#define SUFFIX  _bool
#include "ops/cpu/pointwise_integers.h"

#define RING(op)             { op##_value_ring64, op##_value_ring32, op##_value_ring8, op##_value_ring1 },
#define COMPARED(op)         { op##_value_int64, op##_value_int32, op##_value_uint8, op##_value_bool },
#define LOOPS_to_float(op)     { NULL },
#define LOOPS_only_float(op)   { NULL },
#define LOOPS_ring(op)         RING(op)
#define LOOPS_ring_bool(op)    RING(op)
#define LOOPS_ring_long(op)    RING(op)
#define LOOPS_ordered(op)      COMPARED(op)
#define LOOPS_ordered_bool(op) COMPARED(op)
#define LOOPS_ordered_long(op) COMPARED(op)
#define VALUE(op, integers, LIST, expression)  LOOPS_##integers(op)
#define VALUE_IS                               VALUE
#define DERIVATIVE(op, part, LIST, expression) { NULL },
// clang-format on
AG_ISA_TABLE(ag__integer_loops, ag__pointwise_integer) = { {
#include "ops/pointwise.def"
} };

/* pointwise_integer_kinds.h - reads the file INTEGER_ROWS, which makes functions of the rows that know integers, once
 * for each integer type, and then the rows themselves as the lines of a table: LOOP(name) for each of the four types,
 * LOOP_NONE where there is nothing. Integers wrap round: what adds and multiplies (ring) is computed in unsigned types;
 * what compares (ordered), in signed ones. In bool, a + b is "or" and a * b is "and".
 *
 * INTEGER_ROWS finds real = the type to compute in, element = that of the arrays, DTYPE, FROM(p) = an element as a
 * number, SUFFIX, and INTEGER_<column> and INTEGER_IS_<column> = INTEGER and INTEGER_IS for the rows that are meant;
 * where ORDERED is 1, also modular = the unsigned type of that width. It undefines real and SUFFIX with the words
 * (ops/cpu/pointwise_words_off.h). */
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
#include INTEGER_ROWS
#undef element
#undef FROM
#undef DTYPE
#define real    uint32_t
#define element uint32_t
#define FROM(p) (p)
#define SUFFIX  _ring32
#define DTYPE   AG_INT32
#include INTEGER_ROWS
#undef element
#undef FROM
#undef DTYPE
#define real    uint8_t
#define element uint8_t
#define FROM(p) (p)
#define SUFFIX  _ring8
#define DTYPE   AG_UINT8
#include INTEGER_ROWS
#undef element
#undef FROM
#undef DTYPE
#define real    uint32_t
#define element uint8_t
#define FROM(p) ((p) != 0) /* whatever byte a user's memory holds */
#define SUFFIX  _ring1
#define DTYPE   AG_BOOL
#include INTEGER_ROWS
#undef element
#undef FROM
#undef DTYPE
#undef ORDERED
#undef INTEGER_ring
#undef INTEGER_ring_bool
#undef INTEGER_ring_long
#undef INTEGER_ordered
#undef INTEGER_ordered_bool
#undef INTEGER_ordered_long
#undef INTEGER_IS_ordered_bool

/* ---- what compares ---- */
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
#include INTEGER_ROWS
#undef element
#undef FROM
#undef DTYPE
#undef modular
#define real    int32_t
#define element int32_t
#define FROM(p) (p)
#define modular uint32_t
#define SUFFIX  _int32
#define DTYPE   AG_INT32
#include INTEGER_ROWS
#undef element
#undef FROM
#undef DTYPE
#undef modular
#define real    uint8_t
#define element uint8_t
#define FROM(p) (p)
#define modular uint8_t
#define SUFFIX  _uint8
#define DTYPE   AG_UINT8
#include INTEGER_ROWS
#undef element
#undef FROM
#undef DTYPE
#undef modular
#define real    uint8_t
#define element uint8_t
#define FROM(p) ((p) != 0) /* whatever byte a user's memory holds */
#define modular uint8_t
#define SUFFIX  _bool
#define DTYPE   AG_BOOL
#include INTEGER_ROWS
#undef element
#undef FROM
#undef DTYPE
#undef modular

/* ---- the table's lines ---- */
#define RING(op)               { LOOP(op##_value_ring64), LOOP(op##_value_ring32), LOOP(op##_value_ring8), LOOP(op##_value_ring1) },
#define COMPARED(op)           { LOOP(op##_value_int64), LOOP(op##_value_int32), LOOP(op##_value_uint8), LOOP(op##_value_bool) },
#define LOOPS_to_float(op)     { LOOP_NONE },
#define LOOPS_only_float(op)   { LOOP_NONE },
#define LOOPS_ring(op)         RING(op)
#define LOOPS_ring_bool(op)    RING(op)
#define LOOPS_ring_long(op)    RING(op)
#define LOOPS_ordered(op)      COMPARED(op)
#define LOOPS_ordered_bool(op) COMPARED(op)
#define LOOPS_ordered_long(op) COMPARED(op)
#define VALUE(op, integers, LIST, expression)  LOOPS_##integers(op)
#define VALUE_IS                               VALUE
#define DERIVATIVE(op, part, LIST, expression) { LOOP_NONE },

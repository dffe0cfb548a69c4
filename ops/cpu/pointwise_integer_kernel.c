/* pointwise_integer_kernel.c - the rows' values on int64, int32, uint8 and bool, for one instruction set. */
#include "ops/cpu/isa.h"
#include "ops/cpu/pointwise_kernel.h"
#include "ops/cpu/whole.h"

/* The rows ask whether x < 0 of unsigned types, too. */
#pragma GCC diagnostic ignored "-Wtype-limits"

#define INTEGER_ROWS "ops/cpu/pointwise_integers.h"
#define LOOP(name)   name
#define LOOP_NONE    NULL
#include "ops/cpu/pointwise_integer_kinds.h"

AG_ISA_TABLE(ag__integer_loops, ag__pointwise_integer) = { {
#include "ops/pointwise.def"
} };

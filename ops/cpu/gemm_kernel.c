/* gemm_kernel.c - the inner loops of the matrix product (gemm_template.h), for float and double. */
#include "ops/cpu/gemm.h"
#include "ops/cpu/isa.h"
#include "ops/cpu/vector.h"

/* A tile of C is ROWS rows of two registers: as many as leave room for two registers of B and one element of A. */
enum { ROWS = AG_VECTOR_BYTES == 64 ? 12 : AG_VECTOR_BYTES == 32 ? 6 : 4 };

#define real       float
#define REAL(name) AG_PASTE(name, _f32)
#include "ops/cpu/gemm_template.h"
#undef real
#undef REAL

#define real       double
#define REAL(name) AG_PASTE(name, _f64)
#include "ops/cpu/gemm_template.h"

/* conv2d_flat_kernel.c - the inner loops of conv2d_flat.c, for float and double. */
#include "ops/cpu/conv2d_flat.h"
#include "ops/cpu/isa.h"
#include "ops/cpu/vector.h"

#include <math.h>

/* CHANNELS x VECTORS sums, a register for each vector and one for a weight; more vectors for one or two channels. */
#if AG_VECTOR_BYTES == 64
enum { CHANNELS = 8, VECTORS = 3, FEW_VECTORS = 5, ONE_VECTORS = 5 };
#elif AG_VECTOR_BYTES == 32
enum { CHANNELS = 4, VECTORS = 3, FEW_VECTORS = 3, ONE_VECTORS = 5 };
#else
enum { CHANNELS = 3, VECTORS = 3, FEW_VECTORS = 3, ONE_VECTORS = 5 };
#endif

enum { MOST_VECTORS = 5 };

#define real       float
#define REAL(name) AG_PASTE(name, _f32)
#include "ops/cpu/conv2d_flat_template.h"
#undef real
#undef REAL

#define real       double
#define REAL(name) AG_PASTE(name, _f64)
#include "ops/cpu/conv2d_flat_template.h"

/* conv2d_depthwise_kernel.c - the inner loops of conv2d_depthwise.c, for float and double. */
#include "ops/cpu/conv2d_depthwise.h"
#include "ops/cpu/isa.h"
#include "ops/cpu/vector.h"

#include <math.h>

enum {
    VECTORS = 4,    /* at once of one row */
    ROWS = 4,       /* at once of a kernel whose size is known */
    MOST_FIXED = 9, /* positions of such a kernel */
};

static inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

#define real       float
#define REAL(name) AG_PASTE(name, _f32)
#define ALL_TILES  1
#include "ops/cpu/conv2d_depthwise_template.h"
#undef real
#undef REAL
#undef ALL_TILES

#define real       double
#define REAL(name) AG_PASTE(name, _f64)
#define ALL_TILES  0
#include "ops/cpu/conv2d_depthwise_template.h"

/* conv2d_kernel.c - the inner loops of convolution (conv2d_template.h, conv2d_weight_template.h), for float and double.
 */
#include "ops/cpu/conv2d.h"
#include "ops/cpu/isa.h"
#include "ops/cpu/vector.h"
#include "tensor/past_caches.h"

#include <math.h>

enum { ENOUGH_SUMS = 8 }; /* registers that hide how long a multiply-add takes */

#define real       float
#define REAL(name) AG_PASTE(name, _f32)
#define ALL_TILES  1
#include "ops/cpu/conv2d_template.h"
#include "ops/cpu/conv2d_weight_template.h"
#undef real
#undef REAL
#undef ALL_TILES

#define real       double
#define REAL(name) AG_PASTE(name, _f64)
#define ALL_TILES  0
#include "ops/cpu/conv2d_template.h"
#include "ops/cpu/conv2d_weight_template.h"

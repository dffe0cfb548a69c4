/* conv2d_kernel.c - the inner loops of convolution (conv2d_template.h, conv2d_weight_template.h), for float and double.
 */
#include "ops/cpu/conv2d.h"
#include "ops/cpu/isa.h"
#include "ops/cpu/vector.h"

/* How much fits into the registers: CHANNELS x PIXELS sums with a register for each channel's weight and one for a
 * pixel, and more pixels where there are only one or two channels; WEIGHT_CHANNELS x WEIGHT_TAPS sums of a weight
 * gradient likewise. */
#if AG_VECTOR_BYTES == 64
enum { CHANNELS = 6, PIXELS = 4, FEW_PIXELS = 8, WEIGHT_CHANNELS = 5, WEIGHT_TAPS = 5 };
#elif AG_VECTOR_BYTES == 32
enum { CHANNELS = 3, PIXELS = 4, FEW_PIXELS = 6, WEIGHT_CHANNELS = 3, WEIGHT_TAPS = 4 };
#else
enum { CHANNELS = 3, PIXELS = 3, FEW_PIXELS = 5, WEIGHT_CHANNELS = 3, WEIGHT_TAPS = 3 };
#endif
enum { FEW = 2 };         /* channels */
enum { ENOUGH_SUMS = 8 }; /* registers that hide how long a multiply-add takes */

#define real       float
#define REAL(name) AG_PASTE(name, _f32)
#include "ops/cpu/conv2d_template.h"
#include "ops/cpu/conv2d_weight_template.h"
#undef real
#undef REAL

#define real       double
#define REAL(name) AG_PASTE(name, _f64)
#include "ops/cpu/conv2d_template.h"
#include "ops/cpu/conv2d_weight_template.h"

/* conv2d_kernel.c - the inner loops of convolution (conv2d_template.h, conv2d_weight_template.h), for float and double.
 */
#include "ops/cpu/conv2d.h"
#include "ops/cpu/isa.h"
#include "ops/cpu/vector.h"

#include <math.h>

/* How much fits into the registers: a sum for each channel and pixel, as many pixels as AG_PIXEL_SIZES says for each
 * number of channels, with a register for each of the fewer, weights or pixels, and one for the others;
 * WEIGHT_CHANNELS x WEIGHT_TAPS sums of a weight gradient likewise, by windows also 6 x 4 and 8 x 3 where there are 32
 * registers. Many channels of few pixels load least of what lies far apart, a channel's pixels; weights lie together.
 */
// clang-format off
#if AG_VECTOR_BYTES == 64
#define AG_PIXEL_SIZES(F) F(1, 8) F(2, 8) F(3, 8) F(4, 6) F(5, 5) F(6, 4) F(7, 3) F(8, 3) F(9, 2) F(10, 2)
enum { CHANNELS = 10, MOST_PIXELS = 8, WEIGHT_CHANNELS = 5, WEIGHT_TAPS = 5, WINDOW_CHANNELS = 8 };
#define WINDOW_TILES { { 5, 5 }, { 6, 4 }, { 8, 3 } }
#elif AG_VECTOR_BYTES == 32
#define AG_PIXEL_SIZES(F) F(1, 6) F(2, 6) F(3, 4)
enum { CHANNELS = 3, MOST_PIXELS = 6, WEIGHT_CHANNELS = 3, WEIGHT_TAPS = 4, WINDOW_CHANNELS = 3 };
#define WINDOW_TILES { { 3, 4 } }
#else
#define AG_PIXEL_SIZES(F) F(1, 5) F(2, 5) F(3, 3)
enum { CHANNELS = 3, MOST_PIXELS = 5, WEIGHT_CHANNELS = 3, WEIGHT_TAPS = 3, WINDOW_CHANNELS = 3 };
#define WINDOW_TILES { { 3, 3 } }
#endif
// clang-format on
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

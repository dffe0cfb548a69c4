/* ramp.h - numbers at equal distances, as arange and linspace make them: from one end, and from `turn` on from the
 * other. CUDA reads it, too. */
#ifndef AG_RAMP_H
#define AG_RAMP_H
#include <stdint.h>

/* What is computed in; the result is then converted to the tensor's type. */
enum { AG_RAMP_F32, AG_RAMP_F64, AG_RAMP_INTEGER };

/* y[i] = start + step i for i < turn, else end - step (n - 1 - i); of integers first + by i, which wraps. */
typedef struct ag__ramp {
    int kind;
    double start, step, end;
    int64_t first, by, turn, n;
} ag__ramp;

#endif

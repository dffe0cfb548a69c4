/* reduce_kernel.c - folding rows and columns of floating types; see reduce.h. What is included is read once for each
 * type. */
#include "ops/cpu/isa.h"
#include "ops/cpu/reduce_tables.h"
#include "ops/cpu/vector.h"
#include "tensor/past_caches.h"

#include <string.h>

#define real    float
#define REAL(x) x##_f32
#include "ops/cpu/reduce_real.h"
#undef real
#undef REAL

#define real    double
#define REAL(x) x##_f64
#include "ops/cpu/reduce_real.h"
#undef real
#undef REAL

#define EACH_TYPE(ENTRY, fold)                                           \
    {                                                                    \
        [AG_FLOAT32] = ENTRY(fold, f32), [AG_FLOAT64] = ENTRY(fold, f64) \
    }

AG_ISA_TABLE(ag__reduce_kernels, ag__reduce) = { .folder = { [AG_FOLD_SUM] = EACH_TYPE(TOTALS, sum),
                                                             [AG_FOLD_PROD] = EACH_TYPE(TOTALS, prod),
                                                             [AG_FOLD_MAX] = EACH_TYPE(EXTREMES, max),
                                                             [AG_FOLD_MIN] = EACH_TYPE(EXTREMES, min) } };

/* reduce_whole_kernel.c - folding rows and columns of integers; see reduce.h. What is included is read once for each
 * type. */
#include "ops/cpu/isa.h"
#include "ops/cpu/reduce_tables.h"

#include <string.h>

#define whole    int64_t
#define WHOLE(x) x##_i64
#include "ops/cpu/reduce_whole.h"
#undef whole
#undef WHOLE

#define whole    int32_t
#define WHOLE(x) x##_i32
#include "ops/cpu/reduce_whole.h"
#undef whole
#undef WHOLE

#define whole    uint8_t
#define WHOLE(x) x##_u8
#include "ops/cpu/reduce_whole.h"
#undef whole
#undef WHOLE

/* A bool is a byte of 0 or 1. */
#define EACH_TYPE(ENTRY, fold)                                                                                  \
    {                                                                                                           \
        [AG_INT64 - 2] = ENTRY(fold, i64), [AG_INT32 - 2] = ENTRY(fold, i32), [AG_UINT8 - 2] = ENTRY(fold, u8), \
                    [AG_BOOL - 2] = ENTRY(fold, u8)                                                             \
    }

AG_ISA_TABLE(ag__reduce_whole_kernels, ag__reduce_whole) = { .folder = { [AG_FOLD_SUM] = EACH_TYPE(TOTALS, sum),
                                                                         [AG_FOLD_PROD] = EACH_TYPE(TOTALS, prod),
                                                                         [AG_FOLD_MAX] = EACH_TYPE(EXTREMES, max),
                                                                         [AG_FOLD_MIN] = EACH_TYPE(EXTREMES, min) } };

/* reduce_kernel.c - folding rows and columns; see reduce.h. Each file included here is read once for each type. */
#include "ops/cpu/isa.h"
#include "ops/cpu/reduce.h"
#include "ops/cpu/vector.h"

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

#define TOTALS(fold, type)                                                                                  \
    {                                                                                                       \
        .row = fold##_row_##type, .short_rows = fold##_short_rows_##type, .columns = fold##_columns_##type, \
        .combine = fold##_combine_##type                                                                    \
    }
#define EXTREMES(fold, type)                                                                                \
    {                                                                                                       \
        .row = fold##_row_##type, .short_rows = fold##_short_rows_##type, .columns = fold##_columns_##type, \
        .combine = fold##_combine_##type, .find = find_##type, .arg_row = fold##_arg_row_##type,            \
        .arg_short_rows = fold##_arg_short_rows_##type, .beats = fold##_beats_##type,                       \
        .arg_columns = fold##_arg_columns_##type                                                            \
    }
/* A bool is a byte of 0 or 1. */
#define EACH_TYPE(ENTRY, fold)                                                                           \
    {                                                                                                    \
        [AG_FLOAT32] = ENTRY(fold, f32), [AG_FLOAT64] = ENTRY(fold, f64), [AG_INT64] = ENTRY(fold, i64), \
        [AG_INT32] = ENTRY(fold, i32), [AG_UINT8] = ENTRY(fold, u8), [AG_BOOL] = ENTRY(fold, u8)         \
    }

AG_ISA_TABLE(ag__reduce_kernels, ag__reduce) = { .folder = { [AG_FOLD_SUM] = EACH_TYPE(TOTALS, sum),
                                                             [AG_FOLD_PROD] = EACH_TYPE(TOTALS, prod),
                                                             [AG_FOLD_MAX] = EACH_TYPE(EXTREMES, max),
                                                             [AG_FOLD_MIN] = EACH_TYPE(EXTREMES, min) } };

/* reduce_tables.h - one fold of one type as the kernel sources name its functions. */
#ifndef AG_REDUCE_TABLES_H
#define AG_REDUCE_TABLES_H
#include "ops/cpu/reduce.h"

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

#endif

/* convert_rows.h - the inner loops of copying: a row of elements to another type, a block of elements transposed. */
#ifndef AG_CONVERT_ROWS_H
#define AG_CONVERT_ROWS_H
#include <argent/dtype.h>

/* count elements, so many bytes apart; a step of 0 on the right repeats one. The rows do not overlap. */
typedef void ag__row_converter(char *to, int64_t to_step, const char *from, int64_t from_step, int64_t count);
extern ag__row_converter *const ag__convert_rows[AG_N_DTYPES][AG_N_DTYPES]; /* [to][from] */

typedef struct ag__convert_row {
    ag__row_converter *row;
    int64_t item; /* bytes of an element written */
} ag__convert_row;

/* to[i][j] = from[j][i] for i < p, j < q: rows of `to` are to_step bytes apart, rows of `from` from_step; elements of
 * 1, 4 or 8 bytes. Meanwhile the block at `next` is asked for, p by q elements like this one; it need not exist. */
void ag__transpose(char *to, int64_t to_step, const char *from, int64_t from_step, int64_t p, int64_t q, int64_t item,
                   const char *next);

#endif

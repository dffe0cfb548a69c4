/* convert_rows.c - the inner loops of copying; see convert_rows.h.
 *
 * AG_CONVERT_ROW is expanded once for each pair of types. Which way a value goes from one type to the other stands in
 * the TO_ macros: plain C, but for fractional numbers to integers, where C leaves to the machine what PyTorch defines
 * (convert.h).
 */
#include "tensor/convert_rows.h"

#include "tensor/convert.h"
#include "tensor/past_caches.h"

#include <string.h>

/* ---- a row from one type to another ---- */

#define TO_float32(x) ((float)(x))
#define TO_float64(x) ((double)(x))
#define TO_int64(x)   _Generic((x), float : ag__to_int64, double : ag__to_int64, default : keep_int64)(x)
#define TO_int32(x)   _Generic((x), float : ag__to_int32, double : ag__to_int32, default : keep_int32)(x)
#define TO_uint8(x)   _Generic((x), float : ag__to_uint8, double : ag__to_uint8, default : keep_uint8)(x)
#define TO_boolean(x) ((x) != 0)
static inline int64_t keep_int64(int64_t x) { return x; }
static inline int32_t keep_int32(int64_t x) { return (int32_t)x; }
static inline uint8_t keep_uint8(int64_t x) { return (uint8_t)x; }

/* A bool read is 0 or 1 whatever byte a user's memory holds. */
#define FROM_float32(x) (x)
#define FROM_float64(x) (x)
#define FROM_int64(x)   (x)
#define FROM_int32(x)   (x)
#define FROM_uint8(x)   (x)
#define FROM_boolean(x) ((uint8_t)((x) != 0))

typedef float type_float32;
typedef double type_float64;
typedef int64_t type_int64;
typedef int32_t type_int32;
typedef uint8_t type_uint8;
typedef uint8_t type_boolean;

#define AG_CONVERT_ROW(from_name, to_name)                                                              \
    static void from_name##_to_##to_name(char *restrict to, int64_t to_step, const char *restrict from, \
                                         int64_t from_step, int64_t count)                              \
    {                                                                                                   \
        type_##to_name *restrict y = (type_##to_name *)to;                                              \
        const type_##from_name *restrict x = (const type_##from_name *)from;                            \
        if (to_step == sizeof *y && from_step == sizeof *x)                                             \
            for (int64_t i = 0; i < count; i++) y[i] = TO_##to_name(FROM_##from_name(x[i]));            \
        else if (to_step == sizeof *y && from_step == 0)                                                \
            for (int64_t i = 0; i < count; i++) y[i] = TO_##to_name(FROM_##from_name(*x));              \
        else                                                                                            \
            for (int64_t i = 0; i < count; i++)                                                         \
                *(type_##to_name *)(to + i * to_step) = TO_##to_name(                                   \
                    FROM_##from_name(*(const type_##from_name *)(from + i * from_step)));               \
    }
#define AG_CONVERT_TO(to_name)       \
    AG_CONVERT_ROW(float32, to_name) \
    AG_CONVERT_ROW(float64, to_name) \
    AG_CONVERT_ROW(int64, to_name)   \
    AG_CONVERT_ROW(int32, to_name)   \
    AG_CONVERT_ROW(uint8, to_name)   \
    AG_CONVERT_ROW(boolean, to_name)
AG_CONVERT_TO(float32)
AG_CONVERT_TO(float64)
AG_CONVERT_TO(int64)
AG_CONVERT_TO(int32)
AG_CONVERT_TO(uint8)
AG_CONVERT_TO(boolean)

#define ROWS_TO(to_name)                                                                                           \
    {                                                                                                              \
        [AG_FLOAT32] = float32_to_##to_name, [AG_FLOAT64] = float64_to_##to_name, [AG_INT64] = int64_to_##to_name, \
        [AG_INT32] = int32_to_##to_name, [AG_UINT8] = uint8_to_##to_name, [AG_BOOL] = boolean_to_##to_name         \
    }
ag__row_converter *const ag__convert_rows[AG_N_DTYPES][AG_N_DTYPES] = {
    [AG_FLOAT32] = ROWS_TO(float32), [AG_FLOAT64] = ROWS_TO(float64), [AG_INT64] = ROWS_TO(int64),
    [AG_INT32] = ROWS_TO(int32),     [AG_UINT8] = ROWS_TO(uint8),     [AG_BOOL] = ROWS_TO(boolean),
};

/* ---- a block transposed ---- */

/* Where rows of `to` are the further apart, the block goes in squares of 8 by 8: even where those are a power of two
 * apart, so that the cache has one and the same small set of places for all of them, the 8 lines stay until they are
 * full. Else rows of `from` are read along. Inside, registers turn small squares over, `small` elements a side; what is
 * left over at the edges goes one by one. */
enum { SQUARE = 8 };
typedef void small_square(char *to, int64_t to_step, const char *from, int64_t from_step);

typedef uint32_t four_words __attribute__((vector_size(16)));

static four_words load_words(const char *from)
{
    four_words x;
    memcpy(&x, from, sizeof x);
    return x;
}

static void store_words(char *to, four_words x) { memcpy(to, &x, sizeof x); }

static void square_of_4_bytes(char *to, int64_t to_step, const char *from, int64_t from_step)
{
    four_words a = load_words(from), b = load_words(from + from_step);
    four_words c = load_words(from + 2 * from_step), d = load_words(from + 3 * from_step);
    four_words ac = __builtin_shufflevector(a, c, 0, 4, 1, 5), bd = __builtin_shufflevector(b, d, 0, 4, 1, 5);
    store_words(to, __builtin_shufflevector(ac, bd, 0, 4, 1, 5));
    store_words(to + to_step, __builtin_shufflevector(ac, bd, 2, 6, 3, 7));
    ac = __builtin_shufflevector(a, c, 2, 6, 3, 7);
    bd = __builtin_shufflevector(b, d, 2, 6, 3, 7);
    store_words(to + 2 * to_step, __builtin_shufflevector(ac, bd, 0, 4, 1, 5));
    store_words(to + 3 * to_step, __builtin_shufflevector(ac, bd, 2, 6, 3, 7));
}

typedef uint64_t two_words __attribute__((vector_size(16)));

static void square_of_8_bytes(char *to, int64_t to_step, const char *from, int64_t from_step)
{
    two_words a, b;
    memcpy(&a, from, sizeof a);
    memcpy(&b, from + from_step, sizeof b);
    two_words first = __builtin_shufflevector(a, b, 0, 2), second = __builtin_shufflevector(a, b, 1, 3);
    memcpy(to, &first, sizeof first);
    memcpy(to + to_step, &second, sizeof second);
}

/* Eight rows of eight bytes; the first byte is the lowest of its row. Off-diagonal quarters change places, then
 * quarters of quarters. */
static void square_of_1_byte(char *to, int64_t to_step, const char *from, int64_t from_step)
{
    static const uint64_t low_half[3] = { 0x00000000ffffffff, 0x0000ffff0000ffff, 0x00ff00ff00ff00ff };
    uint64_t row[8];
    for (int i = 0; i < 8; i++) memcpy(&row[i], from + i * from_step, 8);
    for (int level = 0, distance = 4; level < 3; level++, distance /= 2)
        for (int i = 0; i < 8; i++) {
            if (i & distance) continue;
            uint64_t swapped = (row[i] >> 8 * distance ^ row[i + distance]) & low_half[level];
            row[i] ^= swapped << 8 * distance;
            row[i + distance] ^= swapped;
        }
    for (int i = 0; i < 8; i++) memcpy(to + i * to_step, &row[i], 8);
}

static void one_by_one(char *to, int64_t to_step, const char *from, int64_t from_step, int64_t p, int64_t q,
                       int64_t item)
{
    for (int64_t j = 0; j < q; j++)
        for (int64_t i = 0; i < p; i++) {
            char *y = to + i * to_step + j * item;
            const char *x = from + j * from_step + i * item;
            if (item == 8)
                memcpy(y, x, 8);
            else if (item == 4)
                memcpy(y, x, 4);
            else
                *y = *x;
        }
}

static inline __attribute__((always_inline)) void transpose(char *to, int64_t to_step, const char *from,
                                                            int64_t from_step, int64_t p, int64_t q, int64_t item,
                                                            int64_t small, small_square *turn)
{
    int64_t whole_p = p / small * small, whole_q = q / small * small;
    const int64_t along = from_step > to_step ? whole_p : SQUARE;
    for (int64_t i0 = 0; i0 < whole_p; i0 += along)
        for (int64_t j = 0; j < whole_q; j += small)
            for (int64_t i = i0; i < whole_p && i < i0 + along; i += small)
                turn(to + i * to_step + j * item, to_step, from + j * from_step + i * item, from_step);
    one_by_one(to + whole_q * item, to_step, from + whole_q * from_step, from_step, p, q - whole_q, item);
    one_by_one(to + whole_p * to_step, to_step, from + whole_p * item, from_step, p - whole_p, whole_q, item);
}

static void transpose_lines(char *to, int64_t to_step, const char *from, int64_t from_step, int64_t p, int64_t q,
                            int64_t item)
{
    if (item == 4)
        transpose(to, to_step, from, from_step, p, q, 4, 4, square_of_4_bytes);
    else if (item == 8)
        transpose(to, to_step, from, from_step, p, q, 8, 2, square_of_8_bytes);
    else
        transpose(to, to_step, from, from_step, p, q, 1, 8, square_of_1_byte);
}

void ag__transpose(char *to, int64_t to_step, const char *from, int64_t from_step, int64_t p, int64_t q, int64_t item,
                   const char *next)
{
    const int64_t some = AG_LINE / item; /* rows of `from`, which fill a line of `to` */
    for (int64_t j = 0; j < q; j += some) {
        const int64_t n = q - j < some ? q - j : some;
        for (int64_t i = j; i < j + n; i++) ag__ask_for_later((uintptr_t)next + (uintptr_t)(i * from_step), p * item);
        transpose_lines(to + j * item, to_step, from + j * from_step, from_step, p, n, item);
    }
}

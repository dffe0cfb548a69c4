/* sort.h - numbers 0 to n - 1 in the order of their keys, equal keys in the order of the numbers: a radix sort of four
 * bits a pass. Plain C and C++. */
#ifndef AG_CUDA_SORT_H
#define AG_CUDA_SORT_H
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { AG_CUDA_DIGIT = 4, AG_CUDA_DIGITS = 1 << AG_CUDA_DIGIT, AG_CUDA_SORT_TILE = 2048 };

/* The numbers are sorted by the lowest `bits` bits of key[0]; there is as much room in key[1], number[0] and number[1].
 * counts: AG_CUDA_DIGITS for each tile. */
typedef struct ag_cuda_sort {
    uint64_t *key[2];
    uint32_t *number[2];
    uint32_t *counts;
    int64_t n; /* at least 1 */
    int32_t bits;
} ag_cuda_sort;
/* Where the result is: 0 or 1. */
static inline int ag__cuda_sorted_in(const ag_cuda_sort *s)
{
    return (s->bits + AG_CUDA_DIGIT - 1) / AG_CUDA_DIGIT % 2;
}
static inline int64_t ag__cuda_sort_tiles(int64_t n) { return (n + AG_CUDA_SORT_TILE - 1) / AG_CUDA_SORT_TILE; }

/* A cudaError_t. */
int ag__cuda_sort_launch(const ag_cuda_sort *s, void *stream);

#ifdef __cplusplus
}
#endif
#endif

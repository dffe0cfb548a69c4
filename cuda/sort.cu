/* sort.cu - see sort.h. A pass counts the digits of each tile, adds the counts up so that each tile knows where its
 * numbers with a digit begin, and places them. Few numbers, one tile, are sorted by one block in one launch. Nothing
 * depends on who comes first. */
#include "cuda/launch.h"
#include "cuda/sort.h"

namespace
{
enum { THREADS = 256, ITEMS = AG_CUDA_SORT_TILE / THREADS, DIGITS = AG_CUDA_DIGITS, LANES = 32 };

/* The sum of x over the threads before this one, and over all; by all threads of the block. */
__device__ uint32_t sum_before(uint32_t x, uint32_t *all)
{
    SHARED(uint32_t, sums, [THREADS / LANES]);
    const unsigned lane = threadIdx.x % LANES, warp = threadIdx.x / LANES;
    uint32_t through = x, before = 0;
    for (unsigned d = 1; d < LANES; d *= 2) {
        const uint32_t other = __shfl_up_sync(~0u, through, d);
        if (lane >= d) through += other;
    }
    __syncthreads(); /* sums of the last call have been read */
    if (lane == LANES - 1) sums[warp] = through;
    __syncthreads();
    *all = 0;
    for (unsigned w = 0; w < THREADS / LANES; w++) {
        if (w < warp) before += sums[w];
        *all += sums[w];
    }
    return before + through - x;
}

__device__ inline unsigned digit_of(uint64_t key, int shift) { return (unsigned)(key >> shift) % DIGITS; }

/* A pass over one tile; base: where the tile's numbers with each digit go, NULL: this is the only tile. */
__device__ void place_tile(const ag_cuda_sort &s, int from, int shift, int64_t tile, const uint32_t *base)
{
    SHARED(uint16_t, counts, [DIGITS][THREADS]);
    SHARED(uint16_t, begin, [DIGITS]);
    const int64_t first = tile * AG_CUDA_SORT_TILE + (int64_t)threadIdx.x * ITEMS;
    uint64_t key[ITEMS];
    for (int d = 0; d < DIGITS; d++) counts[d][threadIdx.x] = 0;
    for (int k = 0; k < ITEMS; k++) {
        if (first + k >= s.n) break;
        key[k] = s.key[from][first + k];
        counts[digit_of(key[k], shift)][threadIdx.x]++;
    }
    __syncthreads();
    /* all counts in a row, digit by digit: this thread's share of them */
    uint16_t *share = &counts[threadIdx.x / (THREADS / DIGITS)][threadIdx.x % (THREADS / DIGITS) * DIGITS];
    uint32_t sum = 0, all;
    for (int k = 0; k < DIGITS; k++) sum += share[k];
    sum = sum_before(sum, &all);
    for (int k = 0; k < DIGITS; k++) {
        const uint16_t count = share[k];
        share[k] = (uint16_t)sum;
        sum += count;
    }
    __syncthreads();
    if (threadIdx.x < DIGITS) begin[threadIdx.x] = counts[threadIdx.x][0];
    __syncthreads();
    for (int k = 0; k < ITEMS; k++) {
        if (first + k >= s.n) break;
        const unsigned d = digit_of(key[k], shift);
        uint32_t to = counts[d][threadIdx.x]++;
        if (base) to += base[d * gridDim.x] - begin[d];
        s.key[1 - from][to] = key[k];
        s.number[1 - from][to] = shift ? s.number[from][first + k] : (uint32_t)(first + k);
    }
    __syncthreads();
}

__global__ void sort_tile(const ag_cuda_sort s)
{
    for (int shift = 0, from = 0; shift < s.bits; shift += AG_CUDA_DIGIT, from = 1 - from)
        place_tile(s, from, shift, 0, nullptr);
}

__global__ void count_digits(const ag_cuda_sort s, int from, int shift)
{
    SHARED(uint32_t, counts, [DIGITS]);
    if (threadIdx.x < DIGITS) counts[threadIdx.x] = 0;
    __syncthreads();
    for (int k = 0; k < ITEMS; k++) {
        const int64_t i = (int64_t)blockIdx.x * AG_CUDA_SORT_TILE + k * THREADS + threadIdx.x;
        if (i < s.n) atomicAdd(&counts[digit_of(s.key[from][i], shift)], 1u);
    }
    __syncthreads();
    if (threadIdx.x < DIGITS) s.counts[threadIdx.x * gridDim.x + blockIdx.x] = counts[threadIdx.x];
}

/* Each count becomes the sum of those before it. One block. */
__global__ void sum_counts(uint32_t *counts, int64_t n)
{
    uint32_t before = 0, all;
    for (int64_t first = 0; first < n; first += (int64_t)THREADS * ITEMS) {
        const int64_t mine = first + (int64_t)threadIdx.x * ITEMS;
        uint32_t count[ITEMS], sum = 0;
        for (int k = 0; k < ITEMS; k++) {
            count[k] = mine + k < n ? counts[mine + k] : 0;
            sum += count[k];
        }
        sum = before + sum_before(sum, &all);
        for (int k = 0; k < ITEMS; k++) {
            if (mine + k < n) counts[mine + k] = sum;
            sum += count[k];
        }
        before += all;
    }
}

__global__ void place_digits(const ag_cuda_sort s, int from, int shift)
{
    place_tile(s, from, shift, blockIdx.x, s.counts + blockIdx.x);
}
} // namespace

extern "C" int ag__cuda_sort_launch(const ag_cuda_sort *s, void *stream)
{
    const unsigned tiles = (unsigned)ag__cuda_sort_tiles(s->n);
    const cudaStream_t on = (cudaStream_t)stream;
    cudaError_t e = cudaSuccess;
    if (tiles == 1) return LAUNCH(sort_tile, 1, THREADS, 0, on, *s);
    for (int shift = 0, from = 0; shift < s->bits && e == cudaSuccess; shift += AG_CUDA_DIGIT, from = 1 - from) {
        e = LAUNCH(count_digits, tiles, THREADS, 0, on, *s, from, shift);
        if (e == cudaSuccess) e = LAUNCH(sum_counts, 1, THREADS, 0, on, s->counts, (int64_t)tiles * DIGITS);
        if (e == cudaSuccess) e = LAUNCH(place_digits, tiles, THREADS, 0, on, *s, from, shift);
    }
    return e;
}

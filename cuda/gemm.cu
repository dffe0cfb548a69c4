/* gemm.cu - products of matrices whose operands may lie in any strides. A block makes a tile of C; of a C that is small
 * beside k, one element. Floats are summed as on the CPU: in slices of AG_GEMM_SLICE terms with fused multiply-adds,
 * the slices one after another, so that rounding errors do not grow with k as those of one long sum do. */
#include "cuda/gemm.h"
#include "cuda/launch.h"

namespace
{
enum { TILE = 64, DEPTH = 16, THREADS = 256, SIDE = 16, EACH = TILE / SIDE /* elements of a thread, each way */ };
static_assert(AG_GEMM_SLICE % DEPTH == 0, "a slice ends where a tile does");

__device__ inline float multiply_add(float a, float b, float c) { return fmaf(a, b, c); }
__device__ inline double multiply_add(double a, double b, double c) { return fma(a, b, c); }
__device__ inline uint32_t multiply_add(uint32_t a, uint32_t b, uint32_t c) { return a * b + c; }
__device__ inline uint64_t multiply_add(uint64_t a, uint64_t b, uint64_t c) { return a * b + c; }

/* Whole factors wrap as the elements do. */
template <class A> __device__ inline A factor(double x) { return (A)0.5 > 0 ? (A)x : (A)(int64_t)x; }

/* C[item, i, j] = alpha total + beta D. */
template <class T, class A>
__device__ inline void store(const ag__gemm_args &g, int64_t item, int64_t i, int64_t j, A total)
{
    A value = factor<A>(g.alpha) * total;
    if (g.beta != 0) {
        const A d = (A)((const T *)g.d)[item * g.d_batch + i * g.d_row + j * g.d_col];
        value = multiply_add(factor<A>(g.beta), d, value);
    }
    ((T *)g.c)[item * g.c_batch + i * g.c_row + j * g.c_col] = (T)value;
}

/* tile[p][i] = from[(first + i) * across + (depth + p) * along], 0 beyond the ends. Neighbouring threads read
 * neighbours in memory, whichever way it lies. */
template <class T, class A>
__device__ inline void load_tile(A tile[DEPTH][TILE + 4], const T *from, int64_t first, int64_t ends, int64_t across,
                                 int64_t depth, int64_t k, int64_t along)
{
    for (int e = (int)threadIdx.x; e < TILE * DEPTH; e += THREADS) {
        const int p = along == 1 ? e % DEPTH : e / TILE, i = along == 1 ? e / DEPTH : e % TILE;
        const bool inside = first + i < ends && depth + p < k;
        tile[p][i] = inside ? (A)from[(first + i) * across + (depth + p) * along] : (A)0;
    }
}

template <class T, class A> __global__ void __launch_bounds__(THREADS) tiles(const ag__gemm_args g)
{
    SHARED(A, a, [DEPTH][TILE + 4]);
    SHARED(A, b, [DEPTH][TILE + 4]);
    const int x = (int)threadIdx.x % SIDE, y = (int)threadIdx.x / SIDE;
    const int64_t across = (g.n + TILE - 1) / TILE;
    const int64_t i0 = blockIdx.x / across * TILE, j0 = blockIdx.x % across * TILE, item = blockIdx.y;
    const T *const from_a = (const T *)g.a + item * g.a_batch, *const from_b = (const T *)g.b + item * g.b_batch;
    A total[EACH][EACH] = {}, slice[EACH][EACH] = {};
    for (int64_t p0 = 0; p0 < g.k; p0 += DEPTH) {
        load_tile<T, A>(a, from_a, i0, g.m, g.a_row, p0, g.k, g.a_col);
        load_tile<T, A>(b, from_b, j0, g.n, g.b_col, p0, g.k, g.b_row);
        __syncthreads();
        const int depth = g.k - p0 < DEPTH ? (int)(g.k - p0) : DEPTH;
        for (int p = 0; p < depth; p++)
            for (int i = 0; i < EACH; i++)
                for (int j = 0; j < EACH; j++)
                    slice[i][j] = multiply_add(a[p][y * EACH + i], b[p][x + j * SIDE], slice[i][j]);
        __syncthreads(); /* the tiles are written again */
        if ((p0 + DEPTH) % AG_GEMM_SLICE != 0 && p0 + DEPTH < g.k) continue;
        for (int i = 0; i < EACH; i++)
            for (int j = 0; j < EACH; j++) {
                total[i][j] += slice[i][j];
                slice[i][j] = 0;
            }
    }
    for (int i = 0; i < EACH; i++)
        for (int j = 0; j < EACH; j++) {
            const int64_t row = i0 + y * EACH + i, column = j0 + x + j * SIDE;
            if (row < g.m && column < g.n) store<T, A>(g, item, row, column, total[i][j]);
        }
}

/* One element of C: the threads take every 256th term, then their sums are added by a tree. */
template <class T, class A> __global__ void __launch_bounds__(THREADS) elements(const ag__gemm_args g)
{
    SHARED(A, part, [THREADS]);
    const int64_t i = blockIdx.x / g.n, j = blockIdx.x % g.n, item = blockIdx.y;
    const T *const a = (const T *)g.a + item * g.a_batch + i * g.a_row;
    const T *const b = (const T *)g.b + item * g.b_batch + j * g.b_col;
    A sum = 0;
    for (int64_t p = threadIdx.x; p < g.k; p += THREADS) sum = multiply_add((A)a[p * g.a_col], (A)b[p * g.b_row], sum);
    part[threadIdx.x] = sum;
    __syncthreads();
    for (unsigned half = THREADS / 2; half; half /= 2) {
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) store<T, A>(g, item, i, j, part[0]);
}

template <class T, class A> int launch(const ag__gemm_args *g, void *stream)
{
    constexpr auto by_tiles = tiles<T, A>, by_elements = elements<T, A>;
    const int64_t n_tiles = (g->m + TILE - 1) / TILE * ((g->n + TILE - 1) / TILE);
    const int64_t batch = g->batch > 1 ? g->batch : 1;
    /* vectors, and what would leave most of the device idle */
    const bool few = g->m * g->n <= INT32_MAX && g->k >= THREADS / 2 &&
                     (g->m == 1 || g->n == 1 || (n_tiles * batch < 16 && g->k >= 64 * TILE));
    int e = 0;
    if (n_tiles > INT32_MAX) return (int)cudaErrorInvalidConfiguration;
    for (int64_t first = 0; first < batch && e == 0; first += MOST_BLOCKS_Y) {
        ag__gemm_args some = *g;
        some.a = (const T *)g->a + first * g->a_batch;
        some.b = (const T *)g->b + first * g->b_batch;
        if (g->beta != 0) some.d = (const T *)g->d + first * g->d_batch;
        some.c = (T *)g->c + first * g->c_batch;
        const unsigned items = (unsigned)(batch - first < MOST_BLOCKS_Y ? batch - first : (int64_t)MOST_BLOCKS_Y);
        e = few ? LAUNCH(by_elements, dim3((unsigned)(g->m * g->n), items), THREADS, 0, (cudaStream_t)stream, some)
                : LAUNCH(by_tiles, dim3((unsigned)n_tiles, items), THREADS, 0, (cudaStream_t)stream, some);
    }
    return e;
}
} // namespace

extern "C" int ag__cuda_multiply(const ag__gemm_args *g, void *stream)
{
    switch (g->dtype) {
    case AG_FLOAT32:
        return launch<float, float>(g, stream);
    case AG_FLOAT64:
        return launch<double, double>(g, stream);
    case AG_INT64:
        return launch<uint64_t, uint64_t>(g, stream);
    case AG_INT32:
        return launch<uint32_t, uint32_t>(g, stream);
    default:
        return launch<uint8_t, uint32_t>(g, stream);
    }
}

/* step.cu - optimisers: all parameters in one launch. The parameters are cut into chunks, a block each; which parameter
 * a block's chunk belongs to is found in the table, which comes with the launch. Operations and roundings are those of
 * the CPU (optim/step_template.h), elements go through 16 bytes at a time. */
#include "cuda/launch.h"
#include "cuda/step.h"

namespace
{
enum { THREADS = 256, CHUNK = AG_STEP_CHUNK, FEW = 40 };

struct row {
    char *param, *grad, *state[3];
    float *count;
    int64_t numel;
    int32_t chunk; /* of the row's first block */
    int32_t first;
};
template <int N> struct table {
    int32_t n;
    row at[N];
};

template <class T> struct alignas(16) pack {
    enum { N = 16 / sizeof(T) };
    T at[N];
};

__device__ inline float fused(float a, float b, float c) { return fmaf(a, b, c); }
__device__ inline double fused(double a, double b, double c) { return fma(a, b, c); }
__device__ inline float root(float x) { return sqrtf(x); }
__device__ inline double root(double x) { return sqrt(x); }

/* Elements from i on of those before `end`; zero beyond. */
template <class T> __device__ inline pack<T> get(const char *from, int64_t i, int64_t end, bool aligned)
{
    pack<T> x = {};
    if (aligned && i + pack<T>::N <= end) return *(const pack<T> *)(from + i * sizeof(T));
    for (int k = 0; k < pack<T>::N; k++)
        if (i + k < end) x.at[k] = ((const T *)from)[i + k];
    return x;
}
template <class T> __device__ inline void put(char *to, int64_t i, int64_t end, bool aligned, const pack<T> &x)
{
    if (aligned && i + pack<T>::N <= end) {
        *(pack<T> *)(to + i * sizeof(T)) = x;
        return;
    }
    for (int k = 0; k < pack<T>::N; k++)
        if (i + k < end) ((T *)to)[i + k] = x.at[k];
}

/* The row that the block's chunk belongs to. */
template <int N> __device__ inline int row_of(const table<N> &t)
{
    int low = 0, high = t.n - 1;
    while (low < high) {
        const int middle = (low + high + 1) / 2;
        if (t.at[middle].chunk <= (int32_t)blockIdx.x)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

struct span {
    int64_t begin, end; /* elements of the chunk that this thread begins with, and where the chunk ends */
    bool aligned;
};
__device__ inline span span_of(const row &r, int per_thread)
{
    span s;
    s.begin = (int64_t)((int32_t)blockIdx.x - r.chunk) * CHUNK;
    s.end = s.begin + CHUNK < r.numel ? s.begin + CHUNK : r.numel;
    s.begin += (int64_t)threadIdx.x * per_thread;
    s.aligned = (((uintptr_t)r.param | (uintptr_t)r.grad | (uintptr_t)r.state[0] | (uintptr_t)r.state[1] |
                  (uintptr_t)r.state[2]) &
                 15) == 0;
    return s;
}

/* ---- SGD ---- */

template <class T, int N>
__global__ void __launch_bounds__(THREADS) sgd(const table<N> t, const ag__sgd_step s, const double *numbers)
{
    const row r = t.at[row_of(t)];
    const span c = span_of(r, pack<T>::N);
    const T lr = (T)-numbers[0], decay = (T)s.weight_decay, momentum = (T)s.momentum, share = (T)(1 - s.dampening);
    const bool decays = s.weight_decay != 0, has_buffer = s.momentum != 0;
    for (int64_t i = c.begin; i < c.end; i += THREADS * pack<T>::N) {
        pack<T> p = get<T>(r.param, i, c.end, c.aligned), g = get<T>(r.grad, i, c.end, c.aligned), b = {};
        if (has_buffer && !r.first) b = get<T>(r.state[0], i, c.end, c.aligned);
        for (int k = 0; k < pack<T>::N; k++) {
            T x = s.maximize ? -g.at[k] : g.at[k];
            if (decays) x = fused(decay, p.at[k], x);
            if (has_buffer) {
                b.at[k] = r.first ? x : fused(share, x, b.at[k] * momentum);
                x = s.nesterov ? fused(momentum, b.at[k], x) : b.at[k];
            }
            p.at[k] = fused(lr, x, p.at[k]);
        }
        if (has_buffer) put<T>(r.state[0], i, c.end, c.aligned, b);
        put<T>(r.param, i, c.end, c.aligned, p);
    }
}

/* ---- Adam ---- */

/* a + weight * (b - a): from the end that is nearer. */
template <class T> __device__ inline T lerp_to(T a, T b, T weight)
{
    return weight < (T)0.5 ? fused(weight, b - a, a) : fused(-(b - a), 1 - weight, b);
}

/* After the last block has read its count, the counts are raised. */
template <int N> __device__ inline void raise_counts(const table<N> &t, double *numbers)
{
    SHARED(unsigned, ticket, [1]);
    if (threadIdx.x == 0) {
        __threadfence();
        ticket[0] = atomicAdd((unsigned *)&numbers[1], 1u);
    }
    __syncthreads();
    if (ticket[0] != gridDim.x - 1) return;
    for (int i = (int)threadIdx.x; i < t.n; i += THREADS) *t.at[i].count = t.at[i].first ? 1 : *t.at[i].count + 1;
    if (threadIdx.x == 0) *(unsigned *)&numbers[1] = 0;
}

template <class T, int N>
__global__ void __launch_bounds__(THREADS) adam(const table<N> t, const ag__adam_step s, double *numbers)
{
    SHARED(double, corrected, [2]);
    const row r = t.at[row_of(t)];
    const span c = span_of(r, pack<T>::N);
    if (threadIdx.x == 0) {
        const double steps = r.first ? 1 : (double)(*r.count + 1);
        corrected[0] = numbers[0] / (1 - pow(s.beta1, steps));
        corrected[1] = pow(1 - pow(s.beta2, steps), 0.5);
    }
    __syncthreads();
    const T size = (T)-corrected[0], correction = (T)corrected[1], eps = (T)s.eps, decay = (T)s.weight_decay;
    const T weight = (T)(1 - s.beta1), beta2 = (T)s.beta2, share = (T)(1 - s.beta2);
    const bool decays = s.weight_decay != 0;
    for (int64_t i = c.begin; i < c.end; i += THREADS * pack<T>::N) {
        pack<T> p = get<T>(r.param, i, c.end, c.aligned), g = get<T>(r.grad, i, c.end, c.aligned), m = {}, v = {},
                w = {};
        if (!r.first) {
            m = get<T>(r.state[0], i, c.end, c.aligned);
            v = get<T>(r.state[1], i, c.end, c.aligned);
            if (s.amsgrad) w = get<T>(r.state[2], i, c.end, c.aligned);
        }
        for (int k = 0; k < pack<T>::N; k++) {
            T x = s.maximize ? -g.at[k] : g.at[k];
            if (decays) x = fused(decay, p.at[k], x);
            m.at[k] = lerp_to(m.at[k], x, weight);
            T square = v.at[k] = fused(share * x, x, v.at[k] * beta2);
            if (s.amsgrad) square = w.at[k] = w.at[k] > square || w.at[k] != w.at[k] ? w.at[k] : square; /* NaN wins */
            p.at[k] += size * m.at[k] / (root(square) / correction + eps);
        }
        put<T>(r.state[0], i, c.end, c.aligned, m);
        put<T>(r.state[1], i, c.end, c.aligned, v);
        if (s.amsgrad) put<T>(r.state[2], i, c.end, c.aligned, w);
        put<T>(r.param, i, c.end, c.aligned, p);
    }
    raise_counts(t, numbers);
}

/* ---- gradients to zero ---- */

/* Counted in floats: zero has the same bits in each type. */
template <int N> __global__ void __launch_bounds__(THREADS) clear(const table<N> t)
{
    const row r = t.at[row_of(t)];
    const span c = span_of(r, pack<float>::N);
    for (int64_t i = c.begin; i < c.end; i += THREADS * pack<float>::N)
        put<float>(r.grad, i, c.end, c.aligned, pack<float>{});
}

/* ---- gradients' norm ---- */

template <class T, int N> __global__ void __launch_bounds__(THREADS) squares(const table<N> t, double *numbers)
{
    SHARED(double, part, [THREADS]);
    const row r = t.at[row_of(t)];
    const span c = span_of(r, pack<T>::N);
    double sum = 0;
    for (int64_t i = c.begin; i < c.end; i += THREADS * pack<T>::N) {
        const pack<T> g = get<T>(r.grad, i, c.end, c.aligned);
        for (int k = 0; k < pack<T>::N; k++) sum = fused((double)g.at[k], (double)g.at[k], sum);
    }
    part[threadIdx.x] = sum;
    __syncthreads();
    for (unsigned half = THREADS / 2; half; half /= 2) {
        if (threadIdx.x < half) part[threadIdx.x] += part[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) numbers[blockIdx.x] = part[0];
}

template <class T, int N> __global__ void __launch_bounds__(THREADS) scale(const table<N> t, const double *numbers)
{
    const row r = t.at[row_of(t)];
    const span c = span_of(r, pack<T>::N);
    const T factor = *(const T *)numbers;
    for (int64_t i = c.begin; i < c.end; i += THREADS * pack<T>::N) {
        pack<T> g = get<T>(r.grad, i, c.end, c.aligned);
        for (int k = 0; k < pack<T>::N; k++) g.at[k] *= factor;
        put<T>(r.grad, i, c.end, c.aligned, g);
    }
}

/* ---- launching ---- */

template <class T, int N> int launch(const ag__step_table *t, cudaStream_t stream)
{
    constexpr auto by_sgd = sgd<T, N>;
    constexpr auto by_adam = adam<T, N>;
    constexpr auto by_squares = squares<T, N>;
    constexpr auto by_scale = scale<T, N>;
    constexpr auto by_clear = clear<N>;
    table<N> rows = {};
    int64_t chunks = 0;
    rows.n = (int32_t)t->n;
    for (int i = 0; i < rows.n; i++) {
        const ag__step_row *from = &t->row[i];
        const int64_t numel = t->kind == AG_STEP_CLEAR && t->is_double ? 2 * from->numel : from->numel;
        rows.at[i] = { from->param, from->grad, { from->state[0], from->state[1], from->state[2] },
                       from->count, numel,      (int32_t)chunks,
                       from->first };
        chunks += (numel + CHUNK - 1) / CHUNK;
    }
    if (chunks > INT32_MAX) return (int)cudaErrorInvalidConfiguration;
    const unsigned blocks = chunks ? (unsigned)chunks : 1; /* the counts are raised all the same */
    switch (t->kind) {
    case AG_STEP_SGD:
        return LAUNCH(by_sgd, blocks, THREADS, 0, stream, rows, t->sgd, t->numbers);
    case AG_STEP_ADAM:
        return LAUNCH(by_adam, blocks, THREADS, 0, stream, rows, t->adam, t->numbers);
    case AG_STEP_SQUARES:
        return LAUNCH(by_squares, blocks, THREADS, 0, stream, rows, t->numbers);
    case AG_STEP_SCALE:
        return LAUNCH(by_scale, blocks, THREADS, 0, stream, rows, t->numbers);
    default:
        return LAUNCH(by_clear, blocks, THREADS, 0, stream, rows);
    }
}
} // namespace

extern "C" int ag__cuda_step_rows(const ag__step_table *t, void *stream)
{
    cudaStream_t s = (cudaStream_t)stream;
    if (t->is_double && t->kind != AG_STEP_CLEAR)
        return t->n <= FEW ? launch<double, FEW>(t, s) : launch<double, AG_CUDA_STEPS>(t, s);
    return t->n <= FEW ? launch<float, FEW>(t, s) : launch<float, AG_CUDA_STEPS>(t, s);
}

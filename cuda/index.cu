/* index.cu - see index.c. */
#include "cuda/elements.cuh"
#include "cuda/index.h"
#include "cuda/raise.cuh"

namespace
{
enum { THREADS = 256 };

/* The number that stands there, from 0 on; -1 and a note where there is no such place. */
__device__ inline int64_t number_at(const ag_cuda_number &n, const char *at)
{
    const int64_t given = n.wide ? *(const int64_t *)at : *(const int32_t *)at;
    const int64_t i = n.from_end && given < 0 ? given + n.size : given;
    if (i >= 0 && i < n.size) return i;
    note(n.report, given);
    return -1;
}

/* ---- each element for itself ---- */

template <class T> __global__ void read_by_number(const ag_cuda_pick p)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < p.elements.numel; i += step) {
        int64_t at[AG_CUDA_SLOTS];
        places(p.elements, i, at);
        const int64_t number = number_at(p.number, p.elements.data[2] + at[2]);
        const char *from = p.elements.data[1] + at[1] + number * p.step;
        *(T *)(p.elements.data[0] + at[0]) = number < 0 ? T() : *(const T *)from;
    }
}

template <class T> __global__ void fill_by_number(const ag_cuda_pick p)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;
    T value;
    memcpy(&value, &p.value, sizeof value);
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < p.elements.numel; i += step) {
        int64_t at[AG_CUDA_SLOTS];
        places(p.elements, i, at);
        const int64_t number = number_at(p.number, p.elements.data[2] + at[2]);
        if (number >= 0) STORE_SAME((T *)(p.elements.data[0] + at[0] + number * p.step), value);
    }
}

template <class T> int launch_read(const ag_cuda_pick *p, void *stream)
{
    constexpr auto kernel = read_by_number<T>;
    return LAUNCH(kernel, blocks_of(p->elements.numel, THREADS), THREADS, 0, (cudaStream_t)stream, *p);
}
template <class T> int launch_fill(const ag_cuda_pick *p, void *stream)
{
    constexpr auto kernel = fill_by_number<T>;
    return LAUNCH(kernel, blocks_of(p->elements.numel, THREADS), THREADS, 0, (cudaStream_t)stream, *p);
}
/* ---- slices ---- */

/* The target that entry i names; target.numel where there is none. */
__device__ inline int64_t target_of(const ag_cuda_write &w, int64_t i)
{
    int64_t index[AG_CUDA_DIMS], target = 0;
    const int64_t number = number_at(w.number, w.index + ag__cuda_place(&w.entry, w.entry.ndim, i, index));
    if (number < 0) return w.target.numel;
    for (int d = 0; d < w.entry.ndim; d++) target += index[d] * w.target_step[d];
    return target + number * w.number_step;
}
/* Whose element k of all slices is. */
__device__ inline int64_t entry_of(const ag_cuda_write &w, int64_t k)
{
    const int64_t n = w.inner.numel;
    return k <= UINT32_MAX && n <= UINT32_MAX ? (uint32_t)k / (uint32_t)n : k / n;
}
/* Of element e of a slice. */
__device__ inline void inner_places(const ag_cuda_write &w, int64_t e, int64_t *to, int64_t *from)
{
    int64_t index[AG_CUDA_DIMS];
    *to = ag__cuda_place(&w.inner, w.inner.ndim, e, index);
    *from = 0;
    for (int d = 0; d < w.inner.ndim; d++) *from += index[d] * w.inner_source[d];
}

__global__ void find_last(const ag_cuda_write w)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < w.entry.numel; i += step) {
        const int64_t target = target_of(w, i);
        if (target < w.target.numel) atomicMax(&w.last[target], (unsigned)i + 1);
    }
}

template <class T> __global__ void write_last(const ag_cuda_write w)
{
    const int64_t step = (int64_t)gridDim.x * THREADS, n = w.entry.numel * w.inner.numel;
    for (int64_t k = (int64_t)blockIdx.x * THREADS + threadIdx.x; k < n; k += step) {
        const int64_t i = entry_of(w, k), target = target_of(w, i);
        int64_t to, from;
        if (target >= w.target.numel || w.last[target] != (unsigned)i + 1) continue;
        inner_places(w, k - i * w.inner.numel, &to, &from);
        to += ag__cuda_place(&w.target, w.target.ndim, target, nullptr);
        from += ag__cuda_place(&w.source, w.source.ndim, i, nullptr);
        *(T *)(w.whole + to) = *(const T *)(w.part + from);
    }
}
template <class T> int launch_write_last(const ag_cuda_write *w, void *stream)
{
    constexpr auto kernel = write_last<T>;
    return LAUNCH(kernel, blocks_of(w->entry.numel * w->inner.numel, THREADS), THREADS, 0, (cudaStream_t)stream, *w);
}

/* ---- sums ---- */

__global__ void name_targets(const ag_cuda_write w)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < w.entry.numel; i += step)
        w.key[i] = (uint64_t)target_of(w, i);
}

/* total + alpha x, as the CPU adds (ops/scatter.c) */
template <int D> struct adding { /* integers wrap */
    typedef typename type_of<D>::T T;
    static __device__ T of(T total, T x, double alpha)
    {
        return (T)((uint64_t)total + (uint64_t)(int64_t)alpha * (uint64_t)x);
    }
};
template <> struct adding<AG_FLOAT32> {
    static __device__ float of(float total, float x, double alpha) { return total + (float)alpha * x; }
};
template <> struct adding<AG_FLOAT64> {
    static __device__ double of(double total, double x, double alpha) { return total + alpha * x; }
};
template <> struct adding<AG_BOOL> {
    static __device__ uint8_t of(uint8_t total, uint8_t x, double alpha) { return total || (alpha != 0 && x); }
};

/* Of each sorted entry the first one of its target, by halving. */
__global__ void find_first(const ag_cuda_write w)
{
    const int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < w.entry.numel; i += step) {
        int64_t below = -1, at = i; /* the first one is beyond the one, and not beyond the other */
        while (at - below > 1) {
            const int64_t middle = below + (at - below) / 2;
            if (w.key[middle] == w.key[i])
                at = middle;
            else
                below = middle;
        }
        w.first[i] = (uint32_t)at;
    }
}

/* sum and the sorted entries [i, end), in their order, as far as they name the target; from: the element in a slice. A
 * few are read ahead, so that reading does not wait for adding. */
template <int D, class T>
__device__ inline T add_entries(const ag_cuda_write &w, T sum, int64_t i, int64_t end, uint64_t target, int64_t from)
{
    enum { AHEAD = 8 };
    for (bool more = true; more; i += AHEAD) {
        T x[AHEAD];
        bool is[AHEAD];
        for (int a = 0; a < AHEAD; a++) {
            is[a] = i + a < end && w.key[i + a] == target;
            x[a] = 0;
            if (is[a])
                x[a] = *(const T *)(w.part + from + ag__cuda_place(&w.source, w.source.ndim, w.sorted[i + a], nullptr));
        }
        for (int a = 0; a < AHEAD; a++)
            if (is[a]) sum = adding<D>::of(sum, x[a], w.alpha);
        more = is[AHEAD - 1];
    }
    return sum;
}

__device__ inline bool has_parts(const ag_cuda_write &w, int64_t first)
{
    const int64_t beyond = first + AG_CUDA_ADD_PART;
    return w.first && beyond < w.entry.numel && w.key[beyond] == w.key[first];
}
/* Of the part that begins with entry i. */
template <class T> __device__ inline T *part_at(const ag_cuda_write &w, int64_t i, bool is_first, int64_t e)
{
    return (T *)w.parts + (2 * (i / AG_CUDA_ADD_PART) + is_first) * w.inner.numel + e;
}

/* The first of the sorted entries that name a target adds up all of them; where these are many, the first one of each
 * part its own. */
template <int D> __global__ void add_sorted(const ag_cuda_write w)
{
    typedef typename type_of<D>::T T;
    const int64_t step = (int64_t)gridDim.x * THREADS, n = w.entry.numel, total = n * w.inner.numel;
    for (int64_t k = (int64_t)blockIdx.x * THREADS + threadIdx.x; k < total; k += step) {
        const int64_t i = entry_of(w, k), e = k - i * w.inner.numel;
        int64_t to, from;
        const uint64_t target = w.key[i];
        if (target >= (uint64_t)w.target.numel) continue;
        const int64_t first = w.first ? w.first[i] : i;
        if (w.first ? (i - first) % AG_CUDA_ADD_PART != 0 : i > 0 && w.key[i - 1] == target) continue;
        inner_places(w, e, &to, &from);
        if (has_parts(w, first)) {
            *part_at<T>(w, i, i == first, e) = add_entries<D>(w, (T)0, i, min(i + AG_CUDA_ADD_PART, n), target, from);
        } else {
            T *at = (T *)(w.whole + to + ag__cuda_place(&w.target, w.target.ndim, (int64_t)target, nullptr));
            *at = add_entries<D>(w, *at, i, n, target, from);
        }
    }
}
/* The parts of targets that have several. Such a one is longer than a part, so of every so many entries it is at most
 * the last one's target that begins there and has some. */
template <int D> __global__ void add_parts(const ag_cuda_write w)
{
    typedef typename type_of<D>::T T;
    const int64_t step = (int64_t)gridDim.x * THREADS, n = w.entry.numel;
    const int64_t total = (n + AG_CUDA_ADD_PART - 1) / AG_CUDA_ADD_PART * w.inner.numel;
    for (int64_t k = (int64_t)blockIdx.x * THREADS + threadIdx.x; k < total; k += step) {
        const int64_t begin = entry_of(w, k) * AG_CUDA_ADD_PART, e = k - entry_of(w, k) * w.inner.numel;
        const int64_t first = w.first[min(begin + AG_CUDA_ADD_PART, n) - 1];
        const uint64_t target = w.key[first];
        if (first < begin || target >= (uint64_t)w.target.numel || !has_parts(w, first)) continue;
        int64_t to, from;
        inner_places(w, e, &to, &from);
        T *at = (T *)(w.whole + to + ag__cuda_place(&w.target, w.target.ndim, (int64_t)target, nullptr)), sum = *at;
        for (int64_t i = first; i < n && w.key[i] == target; i += AG_CUDA_ADD_PART)
            sum = adding<D>::of(sum, *part_at<T>(w, i, i == first, e), 1);
        *at = sum;
    }
}
template <int D> int launch_add(const ag_cuda_write *w, void *stream)
{
    constexpr auto sorted = add_sorted<D>, parts = add_parts<D>;
    const int64_t n = w->entry.numel;
    const int e = LAUNCH(sorted, blocks_of(n * w->inner.numel, THREADS), THREADS, 0, (cudaStream_t)stream, *w);
    if (e || !w->first) return e;
    const unsigned blocks = blocks_of(ag__cuda_parts(n) / 2 * w->inner.numel, THREADS);
    return LAUNCH(parts, blocks, THREADS, 0, (cudaStream_t)stream, *w);
}
} // namespace

extern "C" int ag__cuda_read_by_number(const ag_cuda_pick *p, void *stream)
{
    return p->itemsize == 16  ? launch_read<uint4>(p, stream)
           : p->itemsize == 8 ? launch_read<uint64_t>(p, stream)
           : p->itemsize == 4 ? launch_read<uint32_t>(p, stream)
                              : launch_read<uint8_t>(p, stream);
}
extern "C" int ag__cuda_fill_by_number(const ag_cuda_pick *p, void *stream)
{
    return p->itemsize == 8   ? launch_fill<uint64_t>(p, stream)
           : p->itemsize == 4 ? launch_fill<uint32_t>(p, stream)
                              : launch_fill<uint8_t>(p, stream);
}
extern "C" int ag__cuda_find_last(const ag_cuda_write *w, void *stream)
{
    return LAUNCH(find_last, blocks_of(w->entry.numel, THREADS), THREADS, 0, (cudaStream_t)stream, *w);
}
extern "C" int ag__cuda_write_last(const ag_cuda_write *w, int itemsize, void *stream)
{
    return itemsize == 8   ? launch_write_last<uint64_t>(w, stream)
           : itemsize == 4 ? launch_write_last<uint32_t>(w, stream)
                           : launch_write_last<uint8_t>(w, stream);
}
extern "C" int ag__cuda_name_targets(const ag_cuda_write *w, void *stream)
{
    return LAUNCH(name_targets, blocks_of(w->entry.numel, THREADS), THREADS, 0, (cudaStream_t)stream, *w);
}
extern "C" int ag__cuda_find_first(const ag_cuda_write *w, void *stream)
{
    return LAUNCH(find_first, blocks_of(w->entry.numel, THREADS), THREADS, 0, (cudaStream_t)stream, *w);
}
extern "C" int ag__cuda_add_sorted(const ag_cuda_write *w, int dtype, void *stream)
{
    switch (dtype) {
    case AG_FLOAT32:
        return launch_add<AG_FLOAT32>(w, stream);
    case AG_FLOAT64:
        return launch_add<AG_FLOAT64>(w, stream);
    case AG_INT64:
        return launch_add<AG_INT64>(w, stream);
    case AG_INT32:
        return launch_add<AG_INT32>(w, stream);
    case AG_BOOL:
        return launch_add<AG_BOOL>(w, stream);
    default:
        return launch_add<AG_UINT8>(w, stream);
    }
}

// Host stand-in for <cuda_runtime.h>: lets the .cu kernels compile as C++17 with g++ or clang++ and run on the CPU.
// docs/cuda.md has the rules.
#ifndef CUDA_HOST_RUNTIME_H
#define CUDA_HOST_RUNTIME_H
#include "cuda/host/cuda_runtime_api.h"
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tuple>
#include <type_traits>
#include <utility>

// ---- qualifiers -----------------------------------------------------------
#define __global__
#define __device__
#define __host__
#define __constant__    static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
// A raw __shared__ variable is a plain static (one block runs at a time). It is
// not re-poisoned in templates under g++; use SHARED() from gpu_compat.h.
#ifndef CUDA_HOST_STRICT_SHARED
#define __shared__ static __attribute__((section("hs_shared")))
extern "C" char __start_hs_shared[] __attribute__((weak, visibility("hidden")));
extern "C" char __stop_hs_shared[] __attribute__((weak, visibility("hidden")));
#endif

// ---- vector types ---------------------------------------------------------
#define HS_VEC(T, n, al2, al4)                                            \
    struct alignas(al2) n##2 { T x, y; };                                 \
    struct n##3 { T x, y, z; };                                           \
    struct alignas(al4) n##4 { T x, y, z, w; };                           \
    static inline n##2 make_##n##2(T x, T y) { return { x, y }; }         \
    static inline n##3 make_##n##3(T x, T y, T z) { return { x, y, z }; } \
    static inline n##4 make_##n##4(T x, T y, T z, T w) { return { x, y, z, w }; }
HS_VEC(float, float, 8, 16)
HS_VEC(int, int, 8, 16)
HS_VEC(unsigned, uint, 8, 16)
HS_VEC(double, double, 16, 16)
HS_VEC(unsigned char, uchar, 2, 4)
HS_VEC(short, short, 4, 8)
HS_VEC(long long, longlong, 16, 16)
#undef HS_VEC
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

struct hs_launch {
    const char *name, *file;
    int line;
    const void *fn;
    dim3 grid, block;
    size_t smem;
};
struct hs_shkey {
    uint64_t serial;
    void *p;
};

// ---- built-in variables (one CUDA thread runs at any moment) --------------
#pragma GCC visibility push(hidden)
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
static constexpr int warpSize = 32;

// ---- runtime entry points (cuda_host.cc) ----------------------------------
enum hs_op {
    HS_SYNC,
    HS_IDX,
    HS_UP,
    HS_DOWN,
    HS_XOR,
    HS_BALLOT,
    HS_ANY,
    HS_ALL,
    HS_RADD,
    HS_RMIN,
    HS_RMAX,
    HS_RAND,
    HS_ROR,
    HS_RXOR
};
extern uint64_t hs_serial; // number of the running block
cudaError_t hs_launch_kernel(const hs_launch *l, cudaStream_t s, void (*run)(void *), void (*drop)(void *), void *arg);
void hs_check_arg(const hs_launch *l, int i, const void *p);
void hs_allow_ptr(const void *p, size_t n);
void *hs_dyn_shared(void);
void hs_shared_alloc(hs_shkey *k, size_t n, size_t al, const char *what);
int hs_block_barrier(int kind, int pred, const char *file, int line);
void hs_warp_op(int op, unsigned mask, void *val, int n, int param, int width, const char *file, int line);
[[noreturn]] void hs_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void hs_add_section(char *lo, char *hi);
#pragma GCC visibility pop
#ifndef CUDA_HOST_STRICT_SHARED
namespace
{
struct hs_sec {
    hs_sec() { hs_add_section(__start_hs_shared, __stop_hs_shared); }
} hs_sec_;
} // namespace
#endif

// ---- kernel launch --------------------------------------------------------
template <class... P> struct hs_call {
    void (*k)(P...);
    std::tuple<std::remove_const_t<P>...> a;
    template <size_t... I> void go(std::index_sequence<I...>) { k(std::get<I>(a)...); }
    static void run(void *p) { static_cast<hs_call *>(p)->go(std::index_sequence_for<P...>{}); }
    static void drop(void *p) { delete static_cast<hs_call *>(p); }
};
template <class T> static inline void hs_check1(const hs_launch *l, int i, const T &v)
{
    if constexpr (std::is_pointer_v<T>) hs_check_arg(l, i, (const void *)v);
}
// Every kernel that is launched somewhere is known from the start, so that one that never runs can be found.
struct hs_kernel_entry {
    const char *name;
    uint64_t launches;
    hs_kernel_entry *next;
};
void hs_kernel_known(hs_kernel_entry *k) __attribute__((visibility("hidden")));
void hs_kernel_launched(hs_kernel_entry *k) __attribute__((visibility("hidden")));
template <auto K> struct hs_kernel {
    static const char *text() { return __PRETTY_FUNCTION__; }
    struct known : hs_kernel_entry {
        known() : hs_kernel_entry{ text(), 0, nullptr } { hs_kernel_known(this); }
    };
    static inline known entry;
};
template <auto K, class... P, class... A>
cudaError_t hs_launch_as(void (*k)(P...), const char *name, const char *file, int line, dim3 g, dim3 b, size_t smem,
                         cudaStream_t s, A... a)
{
    static_assert(sizeof...(P) == sizeof...(A), "kernel launched with the wrong number of arguments");
    hs_launch l = { name, file, line, (const void *)k, g, b, smem };
    hs_kernel_launched(&hs_kernel<K>::entry);
    auto *c = new hs_call<P...>{ k, { static_cast<P>(a)... } };
    int i = 0;
    std::apply([&](const auto &...v) { (hs_check1(&l, i++, v), ...); }, c->a);
    return hs_launch_kernel(&l, s, hs_call<P...>::run, hs_call<P...>::drop, c);
}
template <auto K, class... A>
cudaError_t hs_launch_(const char *name, const char *file, int line, dim3 g, dim3 b, size_t smem, cudaStream_t s,
                       A... a)
{
    return hs_launch_as<K>(K, name, file, line, g, b, smem, s, a...);
}
template <class F> cudaError_t cudaFuncSetAttribute(F *f, cudaFuncAttribute a, int v)
{
    cudaError_t hs_func_attr(const void *, int, int);
    return hs_func_attr((const void *)f, (int)a, v);
}
template <class T>
cudaError_t cudaMemcpyToSymbol(T &sym, const void *src, size_t n, size_t off = 0,
                               cudaMemcpyKind = cudaMemcpyHostToDevice)
{
    memcpy((char *)&sym + off, src, n);
    return cudaSuccess;
}
template <class T> cudaError_t cudaGetSymbolAddress(void **p, T &sym)
{
    hs_allow_ptr(&sym, sizeof sym);
    *p = (void *)&sym;
    return cudaSuccess;
}
template <class T> cudaError_t cudaMalloc(T **p, size_t n) { return cudaMalloc((void **)p, n); }
template <class T> cudaError_t cudaMallocHost(T **p, size_t n) { return cudaMallocHost((void **)p, n); }

// ---- synchronisation ------------------------------------------------------
#define HS_AT const char *f = __builtin_FILE(), int l = __builtin_LINE()
static inline void __syncthreads(HS_AT) { hs_block_barrier(0, 0, f, l); }
static inline int __syncthreads_count(int p, HS_AT) { return hs_block_barrier(1, p, f, l); }
static inline int __syncthreads_and(int p, HS_AT) { return hs_block_barrier(2, p, f, l); }
static inline int __syncthreads_or(int p, HS_AT) { return hs_block_barrier(3, p, f, l); }
static inline void __syncwarp(unsigned m = 0xffffffffu, HS_AT) { hs_warp_op(HS_SYNC, m, 0, 0, 0, 32, f, l); }
#define HS_SHFL(name, op, T2)                                                         \
    template <class T> static inline T name(unsigned m, T v, T2 x, int w = 32, HS_AT) \
    {                                                                                 \
        static_assert(sizeof(T) <= 8, "shuffle of a type wider than 8 bytes");        \
        hs_warp_op(op, m, &v, sizeof v, (int)x, w, f, l);                             \
        return v;                                                                     \
    }
HS_SHFL(__shfl_sync, HS_IDX, int)
HS_SHFL(__shfl_up_sync, HS_UP, unsigned)
HS_SHFL(__shfl_down_sync, HS_DOWN, unsigned)
HS_SHFL(__shfl_xor_sync, HS_XOR, int)
#undef HS_SHFL
static inline unsigned __ballot_sync(unsigned m, int p, HS_AT)
{
    unsigned v = !!p;
    hs_warp_op(HS_BALLOT, m, &v, 4, 0, 32, f, l);
    return v;
}
static inline int __any_sync(unsigned m, int p, HS_AT)
{
    unsigned v = !!p;
    hs_warp_op(HS_ANY, m, &v, 4, 0, 32, f, l);
    return (int)v;
}
static inline int __all_sync(unsigned m, int p, HS_AT)
{
    unsigned v = !!p;
    hs_warp_op(HS_ALL, m, &v, 4, 0, 32, f, l);
    return (int)v;
}
#define HS_RED(name, op)                                       \
    static inline unsigned name(unsigned m, unsigned v, HS_AT) \
    {                                                          \
        hs_warp_op(op, m, &v, 4, 0, 32, f, l);                 \
        return v;                                              \
    }
HS_RED(__reduce_add_sync, HS_RADD)
HS_RED(__reduce_min_sync, HS_RMIN)
HS_RED(__reduce_max_sync, HS_RMAX)
HS_RED(__reduce_and_sync, HS_RAND)
HS_RED(__reduce_or_sync, HS_ROR)
HS_RED(__reduce_xor_sync, HS_RXOR)
#undef HS_RED
#undef HS_AT
static inline void __threadfence() {}
static inline void __threadfence_block() {}
static inline void __threadfence_system() {}
// __activemask() is left out on purpose: it has no meaning without divergence.

// ---- atomics (acq_rel, so that the last-block pattern is clean under TSan) --
#define HS_RMW(name, fn)                                                                        \
    static inline int name(int *p, int v) { return fn(p, v, __ATOMIC_ACQ_REL); }                \
    static inline unsigned name(unsigned *p, unsigned v) { return fn(p, v, __ATOMIC_ACQ_REL); } \
    static inline unsigned long long name(unsigned long long *p, unsigned long long v)          \
    {                                                                                           \
        return fn(p, v, __ATOMIC_ACQ_REL);                                                      \
    }
HS_RMW(atomicAdd, __atomic_fetch_add)
HS_RMW(atomicAnd, __atomic_fetch_and)
HS_RMW(atomicOr, __atomic_fetch_or)
HS_RMW(atomicXor, __atomic_fetch_xor)
HS_RMW(atomicExch, __atomic_exchange_n)
#undef HS_RMW
static inline int atomicSub(int *p, int v) { return __atomic_fetch_sub(p, v, __ATOMIC_ACQ_REL); }
template <class T, class I, class F> static inline T hs_cas(T *p, F f)
{
    I o = __atomic_load_n((I *)p, __ATOMIC_RELAXED), n;
    T a, b;
    do {
        memcpy(&a, &o, sizeof a);
        b = f(a);
        memcpy(&n, &b, sizeof n);
    } while (!__atomic_compare_exchange_n((I *)p, &o, n, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    return a;
}
static inline float atomicAdd(float *p, float v)
{
    return hs_cas<float, uint32_t>(p, [=](float a) { return a + v; });
}
static inline double atomicAdd(double *p, double v)
{
    return hs_cas<double, uint64_t>(p, [=](double a) { return a + v; });
}
static inline float atomicExch(float *p, float v)
{
    return hs_cas<float, uint32_t>(p, [=](float) { return v; });
}
static inline int atomicMax(int *p, int v)
{
    return hs_cas<int, uint32_t>(p, [=](int a) { return a > v ? a : v; });
}
static inline int atomicMin(int *p, int v)
{
    return hs_cas<int, uint32_t>(p, [=](int a) { return a < v ? a : v; });
}
static inline unsigned atomicMax(unsigned *p, unsigned v)
{
    return hs_cas<unsigned, uint32_t>(p, [=](unsigned a) { return a > v ? a : v; });
}
static inline unsigned atomicInc(unsigned *p, unsigned v)
{
    return hs_cas<unsigned, uint32_t>(p, [=](unsigned a) { return a >= v ? 0u : a + 1; });
}
static inline int atomicCAS(int *p, int c, int v)
{
    __atomic_compare_exchange_n(p, &c, v, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    return c;
}
static inline unsigned atomicCAS(unsigned *p, unsigned c, unsigned v)
{
    __atomic_compare_exchange_n(p, &c, v, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    return c;
}
static inline unsigned long long atomicCAS(unsigned long long *p, unsigned long long c, unsigned long long v)
{
    __atomic_compare_exchange_n(p, &c, v, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    return c;
}

// ---- math (names that libm may also declare are macros) -------------------
#define __expf    hs_expf
#define __exp10f  hs_exp10f
#define __logf    hs_logf
#define __log2f   hs_log2f
#define __powf    hs_powf
#define __sinf    hs_sinf
#define __cosf    hs_cosf
#define rsqrtf    hs_rsqrtf
#define rsqrt     hs_rsqrt
#define normcdff  hs_normcdff
#define sincospif hs_sincospif
static inline float hs_rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline double hs_rsqrt(double x) { return 1.0 / sqrt(x); }
static inline float hs_expf(float x) { return expf(x); }
static inline float hs_exp10f(float x) { return powf(10.0f, x); }
static inline float hs_logf(float x) { return logf(x); }
static inline float hs_log2f(float x) { return log2f(x); }
static inline float hs_powf(float x, float y) { return powf(x, y); }
static inline float hs_sinf(float x) { return sinf(x); }
static inline float hs_cosf(float x) { return cosf(x); }
static inline float __fdividef(float x, float y) { return x / y; }
static inline float __frcp_rn(float x) { return 1.0f / x; }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline float __fadd_rn(float x, float y) { return x + y; }
static inline float __fmul_rn(float x, float y) { return x * y; }
static inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
static inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f; }
static inline float hs_normcdff(float x) { return 0.5f * erfcf(-x * 0.70710678f); }
static inline void hs_sincospif(float x, float *s, float *c)
{
    *s = sinf(x * 3.14159265358979f);
    *c = cosf(x * 3.14159265358979f);
}
static inline int __float2int_rn(float x) { return (int)lrintf(x); }
static inline int __float2int_rz(float x) { return (int)x; }
static inline float __int2float_rn(int x) { return (float)x; }
static inline float __uint2float_rn(unsigned x) { return (float)x; }
static inline unsigned __float_as_uint(float x)
{
    unsigned u;
    memcpy(&u, &x, 4);
    return u;
}
static inline int __float_as_int(float x)
{
    int u;
    memcpy(&u, &x, 4);
    return u;
}
static inline float __uint_as_float(unsigned x)
{
    float f;
    memcpy(&f, &x, 4);
    return f;
}
static inline float __int_as_float(int x)
{
    float f;
    memcpy(&f, &x, 4);
    return f;
}
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)(((uint64_t)a * b) >> 32); }
static inline int __mulhi(int a, int b) { return (int)(((int64_t)a * b) >> 32); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline unsigned __brev(unsigned x)
{
    unsigned r = 0;
    for (int i = 0; i < 32; i++) r |= ((x >> i) & 1u) << (31 - i);
    return r;
}
template <class T> static inline T __ldg(const T *p) { return *p; }
template <class T> static inline T __ldcs(const T *p) { return *p; }
template <class T> static inline void __stcs(T *p, T v) { *p = v; }
#define HS_MM(T)                                            \
    static inline T min(T a, T b) { return a < b ? a : b; } \
    static inline T max(T a, T b) { return a > b ? a : b; }
HS_MM(int)
HS_MM(unsigned)
HS_MM(long)
HS_MM(unsigned long)
HS_MM(long long)
HS_MM(unsigned long long)
#undef HS_MM
static inline float min(float a, float b) { return fminf(a, b); }
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline double min(double a, double b) { return fmin(a, b); }
static inline double max(double a, double b) { return fmax(a, b); }
static inline void __trap() { hs_fail("__trap()"); }
#endif

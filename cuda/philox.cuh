/* philox.cuh - Philox4x32-10 as curand has it, and its ways from words to numbers, bit for bit where the hardware's
 * functions are the same. A thread is a sequence of its own. */
#ifndef AG_CUDA_PHILOX_CUH
#define AG_CUDA_PHILOX_CUH
#include "cuda/launch.h"
#include "cuda/philox.h"

namespace
{

/* The begin of a launch: seed and offset, wherever they are. */
__device__ inline void philox_begin(const ag_cuda_philox &p, uint64_t *seed, uint64_t *offset)
{
    *seed = p.state ? p.state[0] : p.seed;
    *offset = p.state ? p.state[1] + p.offset : p.offset;
}

/* Four words: call number `call` of that sequence. */
__device__ inline uint4 philox_words(uint64_t seed, uint64_t sequence, uint64_t call)
{
    uint32_t x = (uint32_t)call, y = (uint32_t)(call >> 32), z = (uint32_t)sequence, w = (uint32_t)(sequence >> 32);
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        const uint64_t left = (uint64_t)0xD2511F53u * x, right = (uint64_t)0xCD9E8D57u * z;
        x = (uint32_t)(right >> 32) ^ y ^ key0;
        y = (uint32_t)right;
        z = (uint32_t)(left >> 32) ^ w ^ key1;
        w = (uint32_t)left;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return make_uint4(x, y, z, w);
}

/* ---- uniform in (0, 1] ---- */

__device__ inline float uniform_of(uint32_t x) { return fmaf((float)x, 0x1p-32f, 0x1p-33f); }
__device__ inline double uniform_of(uint32_t x, uint32_t y)
{
    return fma((double)((uint64_t)x ^ (uint64_t)y << 21), 0x1p-53, 0x1p-54);
}

/* ---- normal: two of two, by Box and Muller ---- */

__device__ inline float2 normals_of(uint32_t x, uint32_t y)
{
    const float TURN = 0x1p-32f * 6.2831855f;
    const float angle = fmaf((float)y, TURN, TURN / 2), radius = sqrtf(-2.0f * logf(uniform_of(x)));
    float sine, cosine;
#ifdef CUDA_HOST_SHIM
    sine = sinf(angle);
    cosine = cosf(angle);
#else
    __sincosf(angle, &sine, &cosine);
#endif
    return make_float2(sine * radius, cosine * radius);
}
__device__ inline double2 normals_of(uint4 x)
{
    const double angle = fma((double)((uint64_t)x.z ^ (uint64_t)x.w << 21), 0x1p-52, 0x1p-53);
    const double radius = sqrt(-2.0 * log(uniform_of(x.x, x.y)));
    double sine, cosine;
#ifdef CUDA_HOST_SHIM
    sine = sin(M_PI * angle);
    cosine = cos(M_PI * angle);
#else
    sincospi(angle, &sine, &cosine);
#endif
    return make_double2(sine * radius, cosine * radius);
}

} // namespace
#endif

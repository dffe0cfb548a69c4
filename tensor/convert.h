/* convert.h - from a fractional number to an integer as PyTorch does it on x86, on every machine and at any
 * optimisation: what does not fit, NaN included, becomes the smallest number; uint8 is the low byte of the int64. (A
 * plain C cast of these is undefined.) */
#ifndef AG_CONVERT_H
#define AG_CONVERT_H
#include <stdint.h>
#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#if defined(__x86_64__)
static inline int64_t ag__to_int64(double x) { return _mm_cvttsd_si64(_mm_set_sd(x)); }
static inline int32_t ag__to_int32(double x) { return _mm_cvttsd_si32(_mm_set_sd(x)); }
#else
static inline int64_t ag__to_int64(double x) { return x >= -0x1p63 && x < 0x1p63 ? (int64_t)x : INT64_MIN; }
static inline int32_t ag__to_int32(double x) { return x > -0x1.00000002p31 && x < 0x1p31 ? (int32_t)x : INT32_MIN; }
#endif
static inline uint8_t ag__to_uint8(double x) { return (uint8_t)ag__to_int64(x); }

#endif

/* past_caches.h - large results go past the caches: they would push out what is still wanted and be gone themselves
 * before anybody reads them, and memory that is overwritten through the caches is read first. What is read in turn is
 * asked for ahead of time.
 *
 * A loop that has PIECE bytes of its result in a buffer passes them on by ag__store_past. When a task is done, and
 * before another thread may look, ag__stores_past_are_done. */
#ifndef AG_PAST_CACHES_H
#define AG_PAST_CACHES_H
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { AG_PIECE = 1024, AG_LINE = 64 };

/* Whether a result of so many bytes there is worth it. */
static inline bool ag__goes_past_caches(const void *to, int64_t bytes)
{
    enum { LARGE = 8 << 20 };
#if defined(__x86_64__)
    return bytes >= LARGE && (uintptr_t)to % AG_LINE == 0;
#else
    return (void)to, (void)bytes, false;
#endif
}

/* `to` begins a line; lines are written whole, what is left over as usual. In registers as wide as the including source
 * may use. */
static inline void ag__store_past(char *to, const char *from, int64_t bytes)
{
    int64_t i = 0;
#if defined(__AVX512F__)
    for (; i + AG_LINE <= bytes; i += AG_LINE) _mm512_stream_si512((void *)(to + i), _mm512_loadu_si512(from + i));
#elif defined(__x86_64__)
    for (; i + AG_LINE <= bytes; i += AG_LINE)
        for (int k = 0; k < AG_LINE; k += 16)
            _mm_stream_si128((__m128i *)(to + i + k), _mm_loadu_si128((const __m128i *)(from + i + k)));
#endif
    memcpy(to + i, from + i, (size_t)(bytes - i));
}
static inline void ag__stores_past_are_done(void)
{
#if defined(__x86_64__)
    _mm_sfence();
#endif
}

/* Have these bytes brought into the first-level cache, or into the second: in the first, lines a power of two apart
 * push each other out. They need not exist. Always inline: a function that does nothing else is called by nobody, says
 * gcc.
 */
static inline __attribute__((always_inline)) void ag__ask_for(uintptr_t at, int64_t bytes)
{
    for (int64_t i = 0; i < bytes; i += AG_LINE) __builtin_prefetch((const void *)(at + (uintptr_t)i));
}
static inline __attribute__((always_inline)) void ag__ask_for_later(uintptr_t at, int64_t bytes)
{
    for (int64_t i = 0; i < bytes; i += AG_LINE) __builtin_prefetch((const void *)(at + (uintptr_t)i), 0, 2);
}

#endif

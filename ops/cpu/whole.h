/* whole.h - the options of the rows where these are read on integers. */
#ifndef AG_WHOLE_H
#define AG_WHOLE_H
#include <stddef.h>
#include <stdint.h>

#ifndef AG_ON_DEVICE /* CUDA reads it, too, where it says what kind of function this is */
#define AG_ON_DEVICE
#endif

/* An option as an integer of so many bits, which the op has checked to fit; infinite is as far as it goes. */
AG_ON_DEVICE static inline int64_t whole(double p, size_t bits, bool is_signed)
{
    const int64_t most = (int64_t)((uint64_t)-1 >> (64 - bits + is_signed)), least = is_signed ? -most - 1 : 0;
    return p == __builtin_inf() ? most : p == -__builtin_inf() ? least : p > -0x1p63 && p < 0x1p63 ? (int64_t)p : least;
}

#endif

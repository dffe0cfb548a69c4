/* pointwise_integer_words.h - the words of the rows for one integer. Read once a type, with real, REAL(name) and
 * modular = the unsigned type of that width. C and CUDA both read it: AG_WORD says what kind of function it is. */
AG_WORD real REAL(abs)(real a) { return a < 0 ? (real)(0 - (modular)a) : a; }
AG_WORD real REAL(sign)(real a) { return (real)((a > 0) - (a < 0)); }
AG_WORD real REAL(floor)(real a) { return a; }
AG_WORD real REAL(ceil)(real a) { return a; }
AG_WORD real REAL(round)(real a) { return a; }
AG_WORD real REAL(trunc)(real a) { return a; }
AG_WORD real REAL(maximum)(real a, real b) { return a > b ? a : b; }
AG_WORD real REAL(minimum)(real a, real b) { return a < b ? a : b; }
/* 1 / a^-b rounded towards zero where b is negative */
AG_WORD real REAL(pow)(real a, real b)
{
    if (b < 0) return (real)(a == 1 ? 1 : a != (real)-1 ? 0 : b % 2 ? -1 : 1);
    uint64_t power = 1, base = (uint64_t)a;
    for (uint64_t n = (uint64_t)b; n; n >>= 1, base *= base)
        if (n & 1) power *= base;
    return (real)power;
}

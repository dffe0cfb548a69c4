/* pointwise_scalar.h - the words of the rows for one number. Read once a type, with real, REAL(name) and F(name) =
 * libm's function of that type. C and CUDA both read it: AG_WORD says what kind of function it is. */
AG_WORD real REAL(abs)(real a) { return F(fabs)(a); }
AG_WORD real REAL(sign)(real a) { return (real)((a > 0) - (a < 0)); }
AG_WORD real REAL(square)(real a) { return a * a; }
AG_WORD real REAL(sqrt)(real a) { return F(sqrt)(a); }
AG_WORD real REAL(exp)(real a) { return F(exp)(a); }
AG_WORD real REAL(expm1)(real a) { return F(expm1)(a); }
AG_WORD real REAL(log)(real a) { return F(log)(a); }
AG_WORD real REAL(log1p)(real a) { return F(log1p)(a); }
AG_WORD real REAL(log2)(real a) { return F(log2)(a); }
AG_WORD real REAL(log10)(real a) { return F(log10)(a); }
AG_WORD real REAL(sin)(real a) { return F(sin)(a); }
AG_WORD real REAL(cos)(real a) { return F(cos)(a); }
AG_WORD real REAL(tan)(real a) { return F(tan)(a); }
AG_WORD real REAL(asin)(real a) { return F(asin)(a); }
AG_WORD real REAL(acos)(real a) { return F(acos)(a); }
AG_WORD real REAL(atan)(real a) { return F(atan)(a); }
AG_WORD real REAL(sinh)(real a) { return F(sinh)(a); }
AG_WORD real REAL(cosh)(real a) { return F(cosh)(a); }
AG_WORD real REAL(tanh)(real a) { return F(tanh)(a); }
AG_WORD real REAL(erf)(real a) { return F(erf)(a); }
AG_WORD real REAL(erfc)(real a) { return F(erfc)(a); }
AG_WORD real REAL(erfinv)(real a) { return F(ag__erfinv)(a); }
AG_WORD real REAL(exp2)(real a) { return F(exp2)(a); }
AG_WORD real REAL(asinh)(real a) { return F(asinh)(a); }
AG_WORD real REAL(acosh)(real a) { return F(acosh)(a); }
AG_WORD real REAL(atanh)(real a) { return F(atanh)(a); }
AG_WORD real REAL(sigmoid)(real a) { return 1 / (1 + F(exp)(-a)); }
AG_WORD real REAL(floor)(real a) { return F(floor)(a); }
AG_WORD real REAL(ceil)(real a) { return F(ceil)(a); }
AG_WORD real REAL(round)(real a) { return F(rint)(a); } /* halves to even */
AG_WORD real REAL(trunc)(real a) { return F(trunc)(a); }
AG_WORD real REAL(pow)(real a, real b) { return F(pow)(a, b); }
AG_WORD real REAL(atan2)(real a, real b) { return F(atan2)(a, b); }
AG_WORD real REAL(hypot)(real a, real b) { return F(hypot)(a, b); }
/* NaN wins */
AG_WORD real REAL(maximum)(real a, real b) { return a != a ? a : a > b ? a : b; }
AG_WORD real REAL(minimum)(real a, real b) { return a != a ? a : a < b ? a : b; }

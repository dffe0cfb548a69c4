/* uncontracted.h - included after all other headers: from here on a * b + c is two operations, each rounded, also where
 * the machine has an instruction for both. The same expression then has the same bits on every instruction set. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#else
#pragma GCC optimize("fp-contract=off")
#endif

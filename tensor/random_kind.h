/* random_kind.h - the distributions that devices draw. Plain C and C++. */
#ifndef AG_RANDOM_KIND_H
#define AG_RANDOM_KIND_H

typedef enum {
    AG_RANDOM_UNIFORM,     /* [a, b) */
    AG_RANDOM_NORMAL,      /* mean a, standard deviation b */
    AG_RANDOM_EXPONENTIAL, /* rate a */
    AG_RANDOM_TOSS,        /* b with probability a, else 0 */
    AG_RANDOM_TOSS_EACH,   /* 1 with the probability that stands in p, else 0 */
    AG_RANDOM_INTEGERS,    /* base + a draw % range; a range of 0 is all 2^64 */
    AG_RANDOM_PERMUTATION  /* of 0 ... n - 1 */
} ag__random_kind;

#endif

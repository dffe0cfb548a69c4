/* fold.h - what elements are folded into. Plain C and C++. */
#ifndef AG_CPU_FOLD_H
#define AG_CPU_FOLD_H

typedef enum {
    AG_FOLD_SUM,
    AG_FOLD_PROD,
    AG_FOLD_MAX,
    AG_FOLD_MIN,
    AG_N_FOLDS,
    /* in one step on devices only (ops/folding.h) */
    AG_FOLD_MEAN = AG_N_FOLDS,
    AG_FOLD_ANY,
    AG_FOLD_ALL,
    AG_FOLD_VARIANCE,
    AG_FOLD_NORM,
    AG_FOLD_LOG_SUM_EXP
} ag__fold;

#endif

/* step_table.h - what an optimiser's step is, as kernels get it: its numbers, and for a device all parameters that are
 * stepped at once. Plain C and C++. */
#ifndef AG_STEP_TABLE_H
#define AG_STEP_TABLE_H
#include <stdbool.h>
#include <stdint.h>

typedef struct ag__sgd_step {
    double lr, momentum, dampening, weight_decay;
    bool nesterov, maximize;
    bool first; /* the buffer has no content yet */
} ag__sgd_step;

typedef struct ag__adam_step {
    double beta1, beta2, eps, weight_decay;
    double step_size;        /* lr / (1 - beta1^t) */
    double correction2_sqrt; /* sqrt(1 - beta2^t) */
    bool amsgrad, maximize;
} ag__adam_step;

/* ---- on a device ---- */

/* What is done to gradients alone is a step, too: they become zero; their squares are summed, each chunk's to a number
 * of its own; they become themselves times one number of their type. */
typedef enum { AG_STEP_SGD, AG_STEP_ADAM, AG_STEP_CLEAR, AG_STEP_SQUARES, AG_STEP_SCALE } ag__step_kind;
enum { AG_STEP_CHUNK = 4096 }; /* elements, of one parameter */

/* One parameter: all of it lies alike, without gaps. */
typedef struct ag__step_row {
    char *param, *grad, *state[3]; /* the states in the order of the CPU's operands; NULL: not needed */
    float *count;                  /* Adam: the number of steps so far, in device memory; raised by one */
    int64_t numel;
    bool first; /* its state has no content yet */
} ag__step_row;

/* What changes between steps is in device memory, so that a graph in which the step was captured can be played again:
 * the counts, and numbers[0], the learning rate. numbers[1] is the kernel's own, 0 at first. What would be computed of
 * them on the host (lr, step_size, correction2_sqrt, first) is not set below. */
typedef struct ag__step_table {
    ag__step_kind kind;
    bool is_double;
    int64_t n;
    const ag__step_row *row;
    double *numbers;
    ag__sgd_step sgd;
    ag__adam_step adam;
} ag__step_table;

#endif

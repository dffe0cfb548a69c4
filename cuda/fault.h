/* fault.h - what a kernel finds wrong with the numbers it reads, an index beyond the end say. The op has long returned
 * by then: the kernel leaves that element out and makes a note, which whoever waits for the device next gets as an
 * error. Plain C and C++; raise.cuh is how a kernel does it. */
#ifndef AG_CUDA_FAULT_H
#define AG_CUDA_FAULT_H
#include <stdint.h>

enum {
    AG_CUDA_BAD_INDEX,
    AG_CUDA_BAD_TAKE,
    AG_CUDA_ZERO_DIVISION,
    AG_CUDA_BAD_PROBABILITY, /* of bernoulli */
    AG_CUDA_BAD_TARGET,
    AG_CUDA_BAD_PREDICTION /* of binary_cross_entropy */
};

enum { AG_CUDA_NOTED = 2 }; /* raised, when the whole note is there */

/* The first note since the last wait, in memory of the host's that the device writes. */
typedef struct ag_cuda_fault {
    int32_t raised, kind;
    uintptr_t op; /* const char * */
    int64_t index, size;
    int32_t dim;
} ag_cuda_fault;

/* As a kernel gets it: where the note goes, and what is known before. */
typedef struct ag_cuda_report {
    ag_cuda_fault *fault;
    uintptr_t op;
    int64_t size; /* of the dimension that is indexed */
    int32_t dim, kind;
} ag_cuda_report;

#endif

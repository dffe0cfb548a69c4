/* step.c - an optimiser's step of all its parameters on a device: as few launches as their table needs. */
#include "cuda/step.h"
#include "cuda/runtime.h"

static int64_t chunks_of(const ag__step_table *t)
{
    int64_t n = 0;
    for (int64_t i = 0; i < t->n; i++) n += (t->row[i].numel + AG_STEP_CHUNK - 1) / AG_STEP_CHUNK;
    return n;
}

bool ag__cuda_step(const char *op, ag_device device, const ag__step_table *t)
{
    cudaStream_t stream;
    if (t->n == 0) return true;
    if (!ag__cuda_use(op, device, &stream)) return false;
    double *numbers = t->numbers;
    for (int64_t first = 0; first < t->n; first += AG_CUDA_STEPS) {
        ag__step_table some = *t;
        some.row += first;
        some.numbers = numbers;
        some.n = t->n - first < AG_CUDA_STEPS ? t->n - first : AG_CUDA_STEPS;
        if (!ag__cuda_launched(op, (cudaError_t)ag__cuda_step_rows(&some, stream), stream)) return false;
        if (t->kind == AG_STEP_SQUARES) numbers += chunks_of(&some);
    }
    return true;
}

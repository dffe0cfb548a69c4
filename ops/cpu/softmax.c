/* softmax.c - softmax shared out: by rows where n is the innermost dimension, else by blocks of columns. */
#include "ops/cpu/softmax.h"
#include "ops/cpu/isa.h"
#include "tensor/parallel.h"
#include "tensor/past_caches.h"

AG_ISA_TABLES(ag__softmax_kernels, ag__softmax_f32)
AG_ISA_TABLES(ag__softmax_kernels, ag__softmax_f64)

enum { BLOCK = 64 /* columns: registers full of them, whatever the instruction set */, CHUNK = 8192 /* elements */ };

typedef struct {
    const ag__softmax_kernels *kernels;
    int64_t size; /* of an element */
    bool is_log, past_caches;
    int64_t n, inner, blocks;
    const char *x, *dy; /* backward: x is the output, dy its gradient */
    char *y;
} softmax_job;

static void forward(void *user, int64_t begin, int64_t end)
{
    const softmax_job *j = user;
    if (j->inner == 1) {
        const int64_t at = begin * j->n * j->size;
        j->kernels->rows(j->is_log, end - begin, j->n, j->x + at, j->y + at, j->past_caches);
        return;
    }
    for (int64_t i = begin; i < end; i++) {
        const int64_t column = i % j->blocks * BLOCK, at = (i / j->blocks * j->n * j->inner + column) * j->size;
        const int64_t columns = j->inner - column < BLOCK ? j->inner - column : BLOCK;
        j->kernels->columns(j->is_log, j->n, j->inner, columns, j->x + at, j->y + at);
    }
}

static void backward(void *user, int64_t begin, int64_t end)
{
    const softmax_job *j = user;
    if (j->inner == 1) {
        const int64_t at = begin * j->n * j->size;
        j->kernels->rows_backward(j->is_log, end - begin, j->n, j->dy + at, j->x + at, j->y + at);
        return;
    }
    for (int64_t i = begin; i < end; i++) {
        const int64_t column = i % j->blocks * BLOCK, at = (i / j->blocks * j->n * j->inner + column) * j->size;
        const int64_t columns = j->inner - column < BLOCK ? j->inner - column : BLOCK;
        j->kernels->columns_backward(j->is_log, j->n, j->inner, columns, j->dy + at, j->x + at, j->y + at);
    }
}

static void share(softmax_job *j, ag_dtype dtype, int64_t outer, void (*body)(void *user, int64_t begin, int64_t end))
{
    if (outer * j->n * j->inner == 0) return;
    j->kernels = dtype == AG_FLOAT32 ? AG_ISA_PICK(ag__softmax_f32) : AG_ISA_PICK(ag__softmax_f64);
    j->size = dtype == AG_FLOAT32 ? (int64_t)sizeof(float) : (int64_t)sizeof(double);
    j->past_caches = j->x != j->y && ag__goes_past_caches(j->y, outer * j->n * j->inner * j->size);
    j->blocks = (j->inner - 1) / BLOCK + 1;
    const int64_t an_item = j->n * (j->inner < BLOCK ? j->inner : BLOCK);
    ag__parallel_for(outer * j->blocks, 1 + CHUNK / an_item, body, j);
}

void ag__softmax(ag_dtype dtype, bool is_log, int64_t outer, int64_t n, int64_t inner, const void *x, void *y)
{
    softmax_job j = { .is_log = is_log, .n = n, .inner = inner, .x = x, .y = y };
    share(&j, dtype, outer, forward);
}

void ag__softmax_backward(ag_dtype dtype, bool is_log, int64_t outer, int64_t n, int64_t inner, const void *dy,
                          const void *y, void *dx)
{
    softmax_job j = { .is_log = is_log, .n = n, .inner = inner, .x = y, .dy = dy, .y = dx };
    share(&j, dtype, outer, backward);
}

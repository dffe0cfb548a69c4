/* reduce_rows.c - see reduce_rows.h. */
#include "ops/reduce_rows.h"
#include "ops/reduce_shape.h"
#include "tensor/parallel.h"

/* x seen with the dimensions in mask last. */
static ag_tensor with_last(const ag_tensor *x, uint32_t mask)
{
    ag_tensor seen = *x;
    int n = 0;
    for (int reduced = 0; reduced < 2; reduced++)
        for (int d = 0; d < x->ndim; d++) {
            if ((mask >> d & 1) != (uint32_t)reduced) continue;
            seen.size[n] = x->size[d];
            seen.stride[n++] = x->stride[d];
        }
    seen.contiguous = ag__is_contiguous(seen.ndim, seen.size, seen.stride);
    return seen;
}

enum { GRAIN = 1 << 15 /* elements a task */ };

typedef struct job {
    ag__row_to_number *number_of;
    const void *user;
    const char *x;
    char *y;
    int64_t n, item;
    ag_dtype dtype;
} job;
static void reduce_part(void *user, int64_t begin, int64_t end)
{
    const job *j = user;
    for (int64_t i = begin; i < end; i++)
        ag__store(j->y + i * j->item, j->dtype, j->number_of(j->x + i * j->n * j->item, j->n, j->user));
}

bool ag__reduce_rows(Thread *t, const ag_tensor *y, const ag_tensor *x, uint32_t mask, ag__row_to_number *f32,
                     ag__row_to_number *f64, const void *user)
{
    ag_tensor rows = with_last(x, mask);
    int64_t n = 1;
    for (int d = 0; d < x->ndim; d++)
        if (mask >> d & 1) n *= x->size[d];
    if (!rows.contiguous || rows.dtype != y->dtype) {
        ag_variable *copy = ag__new(t, rows.ndim, rows.size, (ag_dtype)y->dtype, AG_CPU);
        if (!copy) return false;
        ag__copy_elements(&copy->tensor, &rows);
        rows = copy->tensor;
    }
    job j = { .number_of = y->dtype == AG_FLOAT32 ? f32 : f64,
              .user = user,
              .x = rows.data,
              .y = y->data,
              .n = n,
              .item = (int64_t)ag__itemsize(&rows),
              .dtype = (ag_dtype)y->dtype };
    if (y->numel == 1)
        reduce_part(&j, 0, 1); /* which may share out its row */
    else
        ag__parallel_for(y->numel, GRAIN / (n + 1) + 1, reduce_part, &j);
    return true;
}

bool ag__reduced_output(ag_run *r, const char *op, ag_dims dim, bool keepdim)
{
    const ag_tensor *x = &r->in[0]->tensor;
    uint32_t mask;
    int64_t size[AG_MAX_DIMS];
    if (!ag__dims_mask(op, dim, x->ndim, &mask)) return false;
    int ndim = ag__reduced_size(x, mask, keepdim, size);
    return ag__output(r, 0, ndim, size, (ag_dtype)x->dtype) != NULL;
}

int64_t ag__reduced_count(ag_shape_list sizes, ag_dims dim)
{
    uint32_t mask;
    int64_t n = 1;
    if (!ag__dims_mask("sum", dim, (int)sizes.n, &mask)) return 0;
    for (int64_t d = 0; d < sizes.n; d++)
        if (mask >> d & 1) n *= sizes.at[d];
    return n;
}

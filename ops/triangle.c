/* triangle.c - see triangle.h. */
#include "autograd/op.h"
#include "ops/check.h"

#include <argent/triangle.h>

#include <string.h>

static bool triangle_shape(ag_run *r)
{
    const ag_tensor *x = &r->in[0]->tensor;
    if (x->ndim < 2)
        return ag__fail_call(r->op, r->args, "%s: input tensor must have at least 2 dimensions", r->op->name);
    return ag__output(r, 0, x->ndim, x->size, (ag_dtype)x->dtype) != NULL;
}

/* Zeros from column `begin` to before `end` of a row. */
static void clear(char *row, int64_t begin, int64_t end, int64_t step, size_t item)
{
    if (step == (int64_t)item && begin < end)
        memset(row + begin * step, 0, (size_t)((end - begin) * step));
    else
        for (int64_t j = begin; j < end; j++) memset(row + j * step, 0, item);
}
static bool triangle_cpu(ag_run *r, int64_t diagonal, bool lower)
{
    const ag_tensor *y = &r->out[0]->tensor;
    if (!r->inplace) ag__copy_elements(y, &r->in[0]->tensor);
    if (y->numel == 0) return true;
    const size_t item = ag__itemsize(y);
    const int last = y->ndim - 1;
    const int64_t columns = y->size[last], rows = y->size[last - 1], step = y->stride[last] * (int64_t)item;
    if (diagonal > columns) diagonal = columns;
    if (diagonal < -rows) diagonal = -rows;
    int64_t index[AG_MAX_DIMS] = { 0 };
    for (int64_t n = y->numel / columns; n > 0; n--) {
        char *row = y->data;
        int64_t cut = index[last - 1] + diagonal + lower; /* the first column on the right side */
        if (cut < 0) cut = 0;
        if (cut > columns) cut = columns;
        for (int d = 0; d < last; d++) row += index[d] * y->stride[d] * (int64_t)item;
        clear(row, lower ? cut : 0, lower ? columns : cut, step, item);
        for (int d = last - 1; d >= 0 && ++index[d] == y->size[d]; d--) index[d] = 0;
    }
    return true;
}

static bool tril_cpu(ag_run *r) { return triangle_cpu(r, ((const struct ag_tril_args *)r->args)->diagonal, true); }
static void tril_backward(ag_gradients *b)
{
    b->grad[0] = ag_tril(b->g[0], ((const struct ag_tril_args *)b->args)->diagonal);
}
AG_OP(tril, .node = "TrilBackward0", .inplace = true, .repeats = true, .shape = triangle_shape, .kernel = { tril_cpu },
      .backward = tril_backward)
AG_INPLACE(tril)

static bool triu_cpu(ag_run *r) { return triangle_cpu(r, ((const struct ag_triu_args *)r->args)->diagonal, false); }
static void triu_backward(ag_gradients *b)
{
    b->grad[0] = ag_triu(b->g[0], ((const struct ag_triu_args *)b->args)->diagonal);
}
AG_OP(triu, .node = "TriuBackward0", .inplace = true, .repeats = true, .shape = triangle_shape, .kernel = { triu_cpu },
      .backward = triu_backward)
AG_INPLACE(triu)

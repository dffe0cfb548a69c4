/* check.c - see check.h. */
#include "ops/check.h"
#include "tensor/fail.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void *ag__fail_call(const ag_op *op, const void *args, const char *format, ...)
{
    char text[AG_ERROR_BYTES], one[AG_TEXT];
    va_list list;
    va_start(list, format);
    int n = ag__format_list(text, sizeof text, format, list);
    va_end(list);
    size_t used = n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n : sizeof text - 1;
    const char *before = " (";
    for (int i = 0; i < op->n_args; i++) {
        if (op->args[i].kind != AG_KIND_Tensor) continue;
        const ag_variable *x = *(ag_variable *const *)(const void *)((const char *)args + op->args[i].offset);
        if (!x || x == AG_NONE) continue;
        n = snprintf(text + used, sizeof text - used, "%s%s: %s", before, op->args[i].name,
                     ag__tensor_text(&x->tensor, one, sizeof one));
        if (n < 0 || (size_t)n >= sizeof text - used) break;
        used += (size_t)n;
        before = ", ";
    }
    const char *name = op->of ? op->of : op->name[0] == '_' ? op->name + 1 : op->name;
    return ag__fail(AG_EINVAL, "%s: %s%s", name, text, *before == ',' ? ")" : "");
}

bool ag__check_ndim(const ag_op *op, const void *args, int64_t n)
{
    if (n >= 0 && n <= AG_MAX_DIMS) return true;
    return ag__fail_call(op, args, "a Variable has at most %d dimensions, not %" PRId64, AG_MAX_DIMS, n);
}

bool ag__check_reduction(const ag_op *op, const void *args, const char *text, ag_reduction *reduction)
{
    static const char *const name[] = { [AG_REDUCE_NONE] = "none", [AG_REDUCE_MEAN] = "mean", [AG_REDUCE_SUM] = "sum" };
    for (int i = 0; text && i < 3; i++)
        if (!strcmp(text, name[i])) {
            *reduction = (ag_reduction)i;
            return true;
        }
    return ag__fail_call(op, args, "%s is not a valid value for reduction, which is \"mean\", \"sum\" or \"none\"",
                         text ? text : "NULL");
}

bool ag__check_expands(const ag_op *op, const void *args, const ag_tensor *x, int ndim, const int64_t *size)
{
    char target[AG_TEXT], is[AG_TEXT];
    if (x->ndim > ndim)
        return ag__fail_call(op, args,
                             "expand: the number of sizes provided (%d) must be greater or equal to the number of "
                             "dimensions in the tensor (%d). Target sizes: %s. Tensor sizes: %s",
                             ndim, x->ndim, ag__shape_text(ndim, size, target, sizeof target),
                             ag__shape_text(x->ndim, x->size, is, sizeof is));
    for (int d = x->ndim - 1, to = ndim - 1; d >= 0; d--, to--)
        if (x->size[d] != size[to] && x->size[d] != 1)
            return ag__fail_call(op, args,
                                 "The expanded size of the tensor (%" PRId64 ") must match the existing size (%" PRId64
                                 ") at non-singleton dimension %d.  Target sizes: %s.  Tensor sizes: %s",
                                 size[to], x->size[d], to, ag__shape_text(ndim, size, target, sizeof target),
                                 ag__shape_text(x->ndim, x->size, is, sizeof is));
    return true;
}

const ag_tensor *ag__plain(Thread *t, const ag_variable *x, int ndim, const int64_t *size, ag_dtype dtype)
{
    bool same = x->tensor.ndim == ndim && x->tensor.dtype == dtype && x->tensor.contiguous;
    for (int d = 0; same && d < ndim; d++) same = x->tensor.size[d] == size[d];
    if (same) return &x->tensor;
    ag_variable *copy = ag__new(t, ndim, size, dtype, ag__device(x));
    if (!copy) return NULL;
    return ag__copy_tensor(&copy->tensor, &x->tensor) ? &copy->tensor : NULL;
}

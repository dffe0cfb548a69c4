/* binary.c - see binary.h. */
#include "ops/binary.h"
#include "ops/check.h"
#include "ops/overlap.h"
#include "tensor/device_table.h"

#include <stdio.h>

ag_dtype ag__binary_type(const ag_run *r)
{
    return ag__result_type(2, (const ag_tensor *const[]){ &r->in[0]->tensor, &r->in[1]->tensor });
}

bool ag__binary_result(ag_run *r, const char *name, ag_dtype dtype)
{
    const ag_tensor *in[] = { &r->in[0]->tensor, &r->in[1]->tensor };
    int ndim;
    int64_t size[AG_MAX_DIMS];
    if (!r->inplace) return (r->out[0] = ag__pointwise_result(r->t, name, 2, in, dtype, r->device)) != NULL;
    if (!ag__broadcast(name, 2, in, &ndim, size)) return false;
    if (!ag__can_cast(dtype, (ag_dtype)in[0]->dtype))
        return ag__fail(AG_EINVAL, "%s_: result type %s can't be cast to the desired output type %s", name,
                        ag__scalar_type(dtype), ag__scalar_type((ag_dtype)in[0]->dtype));
    char changed[64];
    snprintf(changed, sizeof changed, "%s_", name);
    if (ag__needs_order(in[0], in[1])) return ag__fail_part_overlap(changed);
    return ag__output(r, 0, ndim, size, (ag_dtype)in[0]->dtype) != NULL;
}

bool ag__combine_on_device(const char *op, ag_device device, const ag__pair *p)
{
    const ag_device_functions *functions = ag__device_functions(device);
    return functions && functions->combine(op, p);
}
bool ag__binary_on_device(ag_run *r, ag_dtype dtype, int operation)
{
    const ag__pair pair = { .operation = operation,
                            .dtype = dtype,
                            .out = &r->out[0]->tensor,
                            .a = &r->in[0]->tensor,
                            .b = &r->in[1]->tensor };
    return ag__combine_on_device(r->op->of ? r->op->of : r->op->name, r->device, &pair);
}

bool ag__binary_rows(ag_run *r, ag_dtype dtype, ag_row *row, void *user)
{
    const ag_tensor *y = &r->out[0]->tensor;
    const ag_tensor *a = ag__plain(r->t, r->in[0], y->ndim, y->size, dtype);
    const ag_tensor *b = a ? ag__plain(r->t, r->in[1], y->ndim, y->size, dtype) : NULL;
    if (!b) return false;
    ag_variable *wide = NULL; /* where y's type is another, which is possible in place */
    if ((ag_dtype)y->dtype != dtype && !(wide = ag__new(r->t, y->ndim, y->size, dtype, AG_CPU))) return false;
    const ag_tensor *to = wide ? &wide->tensor : y;
    if (y->numel == 0) return true;
    ag_walk w;
    ag__walk(&w, 3, (const ag_tensor *const[]){ to, a, b });
    ag__walk_rows(&w, 1 << 14, row, user);
    if (wide) ag__copy_elements(y, to);
    return true;
}

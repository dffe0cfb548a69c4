/* elements.c - copying, filling and computing the elements of tensors of any strides and types on one device: the
 * descriptions of the launches. */
#include "cuda/elements.h"
#include "cuda/runtime.h"
#include "ops/pointwise_rows.h"

#include <string.h>

void ag__cuda_describe(ag_cuda_elements *e, int n, const ag_tensor *const *operand, const int *slot,
                       const ag_dtype *wanted)
{
    ag_walk w;
    ag__cuda_host->walk(&w, n, operand);
    e->numel = w.numel;
    e->ndim = w.ndim;
    e->flat = w.ndim <= 1;
    for (int d = 0; d < w.ndim; d++) e->size[d] = w.size[d];
    for (int k = 0; k < n; k++) {
        int s = slot[k];
        e->reads |= (uint8_t)(1u << s);
        e->data[s] = w.data[k];
        e->dtype[s] = operand[k]->dtype;
        e->flat = e->flat && operand[k]->dtype == wanted[k];
        for (int d = 0; d < w.ndim; d++) e->stride[s][d] = w.stride[k][d];
    }
}

void ag__cuda_set_value(ag_cuda_elements *e, int slot, const ag_tensor *x, ag_dtype wanted)
{
    char *at = (char *)&e->value[slot];
    if (wanted <= AG_FLOAT64)
        ag__cuda_host->store(at, wanted, ag__cuda_host->load(x->data, (ag_dtype)x->dtype));
    else
        ag__cuda_host->store_int64(at, wanted, ag__cuda_host->load_int64(x->data, (ag_dtype)x->dtype));
    e->reads |= (uint8_t)(1u << slot);
    e->constant |= (uint8_t)(1u << slot);
}

/* ---- the rows' expressions ---- */

static ag_cuda_launcher *launcher_of(int expression, ag_dtype dtype)
{
    switch (dtype) {
    case AG_FLOAT32:
        return ag__cuda_row_f32(expression);
    case AG_FLOAT64:
        return ag__cuda_row_f64(expression);
    default:
        return ag__cuda_row_integer(expression, dtype);
    }
}

bool ag__cuda_evaluate(const char *op, const struct ag__evaluation *e)
{
    const ag_device device = ag__tensor_device(e->out);
    const ag_tensor *operand[AG_CUDA_SLOTS] = { e->out };
    ag_dtype wanted[AG_CUDA_SLOTS] = { e->is_test ? AG_BOOL : e->dtype };
    int slot[AG_CUDA_SLOTS] = { 0 }, n = 1;
    ag_cuda_elements elements = { 0 };
    ag_cuda_options options;
    cudaStream_t stream;
    if (e->out->numel == 0) return true;
    for (unsigned reads = e->reads; reads; reads &= reads - 1) {
        int k = __builtin_ctz(reads);
        ag_dtype type = k == IN_M ? AG_BOOL : e->dtype;
        if (ag__cuda_is_number(e->operand[k])) {
            ag__cuda_set_value(&elements, 1 + k, e->operand[k], type);
            continue;
        }
        ag_device its = ag__tensor_device(e->operand[k]);
        if (its.type != device.type || its.index != device.index)
            return ag__cuda_host->fail(AG_EDEVICE, "%s: an operand is on another device", op);
        operand[n] = e->operand[k];
        wanted[n] = type;
        slot[n++] = 1 + k;
    }
    ag__cuda_describe(&elements, n, operand, slot, wanted);
    memcpy(options.at, e->options, sizeof options.at);
    ag_cuda_launcher *launch = launcher_of(e->expression, e->dtype);
    if (!launch) return ag__cuda_host->fail(AG_ENOTSUP, "%s: there is no kernel for cuda", op);
    return ag__cuda_use(op, device, &stream) &&
           ag__cuda_launched(op, (cudaError_t)launch(&elements, &options, stream), stream);
}

/* ---- copies ---- */

/* They lie alike, without gaps: one copy of bytes. */
static bool is_block(const ag_cuda_elements *e, int64_t item)
{
    const int from = 1 + IN_A;
    return e->dtype[0] == e->dtype[from] && e->flat &&
           (e->ndim == 0 || (e->stride[0][0] == item && e->stride[from][0] == item));
}

static bool launch_copy(const char *op, const ag_tensor *to, const ag_cuda_elements *e)
{
    cudaStream_t stream;
    return ag__cuda_use(op, ag__tensor_device(to), &stream) &&
           ag__cuda_launched(op, (cudaError_t)ag__cuda_copy_to(to->dtype, e, stream), stream);
}

bool ag__cuda_copy_elements(const ag_tensor *to, const ag_tensor *from)
{
    ag_cuda_elements e = { 0 };
    const int64_t item = (int64_t)ag__itemsize(to);
    if (to->numel == 0) return true;
    ag__cuda_describe(&e, 2, (const ag_tensor *const[]){ to, from }, (const int[]){ 0, 1 + IN_A },
                      (const ag_dtype[]){ (ag_dtype)to->dtype, (ag_dtype)to->dtype });
    if (!is_block(&e, item)) return launch_copy("copy", to, &e);
    cudaStream_t stream;
    return ag__cuda_use("copy", ag__tensor_device(to), &stream) &&
           (to->data == from->data ||
            ag__cuda_ok("copy", cudaMemcpyAsync(to->data, from->data, (size_t)(to->numel * item),
                                                cudaMemcpyDeviceToDevice, stream)));
}

bool ag__cuda_fill_elements(const ag_tensor *to, const char value[8])
{
    ag_cuda_elements e = { 0 };
    if (to->numel == 0) return true;
    ag__cuda_describe(&e, 1, &to, (const int[]){ 0 }, (const ag_dtype[]){ (ag_dtype)to->dtype });
    memcpy(&e.value[1 + IN_A], value, ag__itemsize(to));
    e.dtype[1 + IN_A] = to->dtype;
    e.reads |= 1u << (1 + IN_A);
    e.constant |= 1u << (1 + IN_A);
    return launch_copy("fill", to, &e);
}

/* pool.c - max pooling and its gradient on a device: the descriptions of the launches. */
#include "cuda/pool.h"
#include "cuda/runtime.h"
#include "ops/pool_back.h"

#include <argent/pool.h>

#include <string.h>

enum { N, C, H, W };

/* Strides with four dimensions, of which `fastest`, one of N and C, comes first; W: none does. */
static ag_cuda_planes planes_of(const ag_tensor *x, int fastest)
{
    const int missing = 4 - x->ndim;
    int64_t s[4] = { 0 };
    memcpy(s + missing, x->stride, (size_t)x->ndim * sizeof *s);
    return (
        ag_cuda_planes){ .plane = { fastest == W ? 0 : s[fastest], fastest == C ? 0 : s[C], fastest == N ? 0 : s[N] },
                         .row = s[H],
                         .column = s[W] };
}

/* In memory, which dimension of (N,C,H,W) goes fastest. */
static int fastest_of(const ag_tensor *x)
{
    if (x->ndim != 4 || x->stride[W] == 1) return W;
    return x->stride[N] == 1 && x->size[N] > 1 ? N : x->stride[C] == 1 && x->size[C] > 1 ? C : W;
}

/* x (N,C,H,W), y and indices (N,C,OH,OW), or without N. */
static bool describe(const ag_run *r, ag_sizes kernel, ag_sizes stride, ag_sizes padding, ag_sizes dilation,
                     const ag_tensor *x, const ag_tensor *y, const ag_tensor *indices, ag_cuda_pool *p)
{
    const int missing = 4 - x->ndim, fastest = fastest_of(y);
    const int64_t images = missing ? 1 : x->size[N], channels = x->size[C - missing];
    int64_t k[2], s[2], edge[2], gap[2];
    ag__size_sides(kernel, 2, k);
    ag__size_sides(stride ? stride : kernel, 2, s);
    ag__size_sides(padding, 2, edge);
    ag__size_sides(dilation, 2, gap);
    for (int d = 0; d < 2; d++) {
        const int64_t size = x->size[H - missing + d], out = y->size[H - missing + d];
        if (k[d] == 1) gap[d] = 1;
        if (out == 1) s[d] = 1; /* steps that nobody takes, however wide */
        if (!ag__cuda_fits(r, size + 2 * edge[d]) || !ag__cuda_fits(r, (k[d] - 1) * gap[d]) || !ag__cuda_fits(r, s[d]))
            return false;
        p->size[d] = (int32_t)size;
        p->out_size[d] = (int32_t)out;
        p->kernel[d] = (int32_t)k[d];
        p->stride[d] = (int32_t)s[d];
        p->padding[d] = (int32_t)edge[d];
        p->dilation[d] = (int32_t)gap[d];
        p->by_size[d] = ag__cuda_divisor(size);
        p->by_out_size[d] = ag__cuda_divisor(out);
        p->by_stride[d] = ag__cuda_divisor(s[d]);
    }
    if (!ag__cuda_fits(r, images) || !ag__cuda_fits(r, channels) ||
        !ag__cuda_fits(r, (int64_t)p->size[0] * p->size[1]) ||
        !ag__cuda_fits(r, (int64_t)p->out_size[0] * p->out_size[1]))
        return false;
    p->x = x->data;
    p->y = y->data;
    p->indices = (int64_t *)(void *)indices->data;
    p->at_x = planes_of(x, fastest);
    p->at_y = planes_of(y, fastest);
    p->at_indices = planes_of(indices, fastest);
    p->planes[0] = (int32_t)(fastest == N ? images : fastest == C ? channels : 1);
    p->planes[1] = (int32_t)(fastest == C ? 1 : channels);
    p->planes[2] = (int32_t)(fastest == N ? 1 : images);
    return true;
}

/* Rows of x are read by pairs of elements, which begin where such a pair may. */
static bool has_pairs(const ag_cuda_pool *p, int64_t item)
{
    const ag_cuda_planes *x = &p->at_x;
    return x->column == 1 && p->stride[1] == 2 && (uintptr_t)p->x % (uintptr_t)(2 * item) == 0 &&
           ((x->row | x->plane[0] | x->plane[1] | x->plane[2]) & 1) == 0;
}

typedef int launcher(int dtype, const ag_cuda_pool *p, void *stream);

/* One launch, or several of fewer planes where their elements could not be counted. */
static int launch(launcher *l, int dtype, int64_t item, ag_cuda_pool p, cudaStream_t stream)
{
    int64_t most = (int64_t)p.size[0] * p.size[1], out = (int64_t)p.out_size[0] * p.out_size[1];
    int widest = 0;
    if (out > most) most = out;
    for (int k = 0; k < 3; k++) {
        most *= p.planes[k];
        if (p.planes[k] > p.planes[widest]) widest = k;
    }
    if (most < INT32_MAX) {
        for (int k = 0; k < 2; k++) p.by_plane[k] = ag__cuda_divisor(p.planes[k]);
        return l(dtype, &p, stream);
    }
    ag_cuda_pool rest = p;
    const int64_t half = p.planes[widest] / 2;
    p.planes[widest] = (int32_t)half;
    rest.planes[widest] -= (int32_t)half;
    rest.x += half * p.at_x.plane[widest] * item;
    rest.y += half * p.at_y.plane[widest] * item;
    rest.indices += half * p.at_indices.plane[widest];
    const int e = launch(l, dtype, item, p, stream);
    return e == cudaSuccess ? launch(l, dtype, item, rest, stream) : e;
}

bool ag__cuda_max_pool2d_with_indices(ag_run *r)
{
    const struct ag_max_pool2d_with_indices_args *a = r->args;
    const ag_tensor *x = &r->in[0]->tensor, *y = &r->out[0]->tensor;
    const int64_t item = (int64_t)ag__itemsize(x);
    ag_cuda_pool p = { 0 };
    cudaStream_t stream;
    if (y->numel == 0) return true;
    if (!describe(r, a->kernel_size, a->stride, a->padding, a->dilation, x, y, &r->out[1]->tensor, &p) ||
        !ag__cuda_use(r->op->name, r->device, &stream))
        return false;
    p.pairs = has_pairs(&p, item);
    return ag__cuda_launched(r->op->name, (cudaError_t)launch(ag__cuda_max_pool, x->dtype, item, p, stream), stream);
}

bool ag__cuda__max_pool2d_backward(ag_run *r)
{
    const struct ag__max_pool2d_backward_args *a = r->args;
    const ag_tensor *x = &r->out[0]->tensor, *y = &r->in[0]->tensor;
    const int64_t item = (int64_t)ag__itemsize(x);
    ag_cuda_pool p = { 0 };
    cudaStream_t stream;
    if (x->numel == 0) return true;
    if (!describe(r, a->kernel_size, a->stride, a->padding, a->dilation, x, y, &r->in[1]->tensor, &p) ||
        !ag__cuda_use(r->op->name, r->device, &stream))
        return false;
    return ag__cuda_launched(r->op->name, (cudaError_t)launch(ag__cuda_max_pool_back, x->dtype, item, p, stream),
                             stream);
}

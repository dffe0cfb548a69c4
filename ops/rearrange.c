/* rearrange.c - see rearrange.h. */
#include "autograd/op.h"
#include "ops/check.h"
#include "ops/fresh.h"
#include "ops/scatter.h"

#include <argent/factory.h>
#include <argent/rearrange.h>
#include <argent/reduce.h>
#include <argent/view.h>

#include <inttypes.h>
#include <string.h>

/* A row from anywhere, in steps of any sign. data: to, from. Two cases are known to the compiler: from the other end,
 * and the rest. */
#define COPY_ROW(bits)                                                                                          \
    static void copy_row_##bits(void *user, char *const *data, const int64_t *stride, int64_t count)            \
    {                                                                                                           \
        (void)user;                                                                                             \
        enum { ITEM = bits / 8 };                                                                               \
        uint##bits##_t *restrict to = (void *)data[0];                                                          \
        const uint##bits##_t *restrict from = (const void *)data[1];                                            \
        if (stride[0] == ITEM && stride[1] == ITEM)                                                             \
            memcpy(to, from, (size_t)count *ITEM);                                                              \
        else if (stride[0] == ITEM && stride[1] == -ITEM)                                                       \
            for (int64_t i = 0; i < count; i++) to[i] = from[-i];                                               \
        else                                                                                                    \
            for (int64_t i = 0; i < count; i++) memcpy(data[0] + i * stride[0], data[1] + i * stride[1], ITEM); \
    }
COPY_ROW(8)
COPY_ROW(32)
COPY_ROW(64)
static void copy_from(const ag_tensor *to, const ag_tensor *from)
{
    size_t item = ag__itemsize(to);
    ag_walk w;
    ag__walk(&w, 2, (const ag_tensor *const[]){ to, from });
    ag__walk_rows(&w, 1 << 15, item == 8 ? copy_row_64 : item == 4 ? copy_row_32 : copy_row_8, NULL);
}

/* ---- flip ---- */

#define AG_ARGS_flip(must, may) must(Tensor, input) must(Shape, dims)
static bool flip_shape(ag_run *r);
static bool flip_anywhere(ag_run *r);
static void flip_backward(ag_gradients *b);
AG_OP_PLAIN(flip, .node = "FlipBackward0", .shape = flip_shape, .kernel = { flip_anywhere, flip_anywhere },
            .backward = flip_backward)

static bool flip_shape(ag_run *r)
{
    const struct ag_flip_args *a = r->args;
    const ag_tensor *x = &a->input->tensor;
    uint32_t seen = 0;
    for (int64_t k = 0; k < a->dims.n; k++) {
        int d = ag__wrap_dim("flip", a->dims.at[k], x->ndim);
        if (d < 0) return false;
        if (seen >> d & 1) return ag__fail_call(r->op, a, "dim %d appears multiple times in the list of dims", d);
        seen |= 1u << d;
    }
    int64_t stride[AG_MAX_DIMS];
    return ag__fresh_strides(r->op, a, x, AG_PRESERVE_FORMAT, stride) &&
           ag__output_strided(r, 0, x->ndim, x->size, stride, (ag_dtype)x->dtype) != NULL;
}
static bool flip_anywhere(ag_run *r)
{
    const struct ag_flip_args *a = r->args;
    ag_tensor from = a->input->tensor; /* seen from its other end: strides below zero */
    for (int64_t k = 0; k < a->dims.n && from.ndim && from.numel; k++) {
        int d = ag__from_start(a->dims.at[k], from.ndim);
        from.data += (from.size[d] - 1) * from.stride[d] * (int64_t)ag__itemsize(&from);
        from.stride[d] = -from.stride[d];
        from.contiguous = false;
    }
    if (r->device.type != AG_DEVICE_CPU) return ag__copy_tensor(&r->out[0]->tensor, &from);
    copy_from(&r->out[0]->tensor, &from);
    return true;
}
static void flip_backward(ag_gradients *b)
{
    const struct ag_flip_args *a = b->args;
    b->grad[0] = ag_flip(b->g[0], a->dims);
}

#define AG_ARGS_fliplr(must, may) must(Tensor, input)
static bool fliplr_compose(const void *args, ag_variable **out);
AG_OP_PLAIN(fliplr, .compose = fliplr_compose)
static bool fliplr_compose(const void *args, ag_variable **out)
{
    const struct ag_fliplr_args *a = args;
    if (a->input->tensor.ndim < 2) return ag__fail_call(ag__op_fliplr(), a, "Input must be >= 2-d.");
    return (out[0] = ag_flip(a->input, AG_SHAPE(1))) != NULL;
}

#define AG_ARGS_flipud(must, may) must(Tensor, input)
static bool flipud_compose(const void *args, ag_variable **out);
AG_OP_PLAIN(flipud, .compose = flipud_compose)
static bool flipud_compose(const void *args, ag_variable **out)
{
    const struct ag_flipud_args *a = args;
    if (a->input->tensor.ndim < 1) return ag__fail_call(ag__op_flipud(), a, "Input must be >= 1-d.");
    return (out[0] = ag_flip(a->input, AG_SHAPE(0))) != NULL;
}

/* ---- repeat ---- */

#define AG_ARGS_repeat(must, may) must(Tensor, input) must(Shape, repeats)
static bool repeat_shape(ag_run *r);
static bool repeat_anywhere(ag_run *r);
static void repeat_backward(ag_gradients *b);
AG_OP_PLAIN(repeat, .node = "RepeatBackward0", .shape = repeat_shape, .kernel = { repeat_anywhere, repeat_anywhere },
            .backward = repeat_backward)

static bool repeat_shape(ag_run *r)
{
    const struct ag_repeat_args *a = r->args;
    const ag_tensor *x = &a->input->tensor;
    int64_t size[AG_MAX_DIMS];
    int ndim = (int)a->repeats.n, new = ndim - x->ndim;
    if (a->repeats.n < x->ndim)
        return ag__fail_call(r->op, a,
                             "Number of dimensions of repeat dims can not be smaller than number of dimensions of "
                             "tensor");
    if (!ag__check_ndim(r->op, a, a->repeats.n)) return false;
    for (int d = 0; d < ndim; d++)
        if (__builtin_mul_overflow(a->repeats.at[d], d < new ? 1 : x->size[d - new], &size[d]))
            return ag__fail_call(r->op, a, "repeated %" PRId64 " times, dimension %d is too large", a->repeats.at[d],
                                 d);
    return ag__output(r, 0, ndim, size, (ag_dtype)x->dtype) != NULL;
}

/* y's last dimension is x's, one copy after another; rows of y count through its other dimensions, rows of x go round
 * and round. */
static bool repeat_cpu(ag_run *r)
{
    const struct ag_repeat_args *a = r->args;
    const ag_tensor *y = &r->out[0]->tensor;
    const ag_tensor *x = ag__plain(r->t, a->input, a->input->tensor.ndim, a->input->tensor.size, (ag_dtype)y->dtype);
    if (!x) return false;
    int last = y->ndim - 1, new = y->ndim - x->ndim;
    int64_t width = x->ndim ? x->size[x->ndim - 1] : 1, row = last < 0 ? 1 : y->size[last], index[AG_MAX_DIMS] = { 0 };
    size_t item = ag__itemsize(y);
    for (int64_t at = 0; at < y->numel; at += row) {
        int64_t from = 0;
        for (int d = new; d < last; d++) from = from * x->size[d - new] + index[d] % x->size[d - new];
        for (int64_t k = 0; k < row; k += width)
            memcpy(y->data + (size_t)(at + k) * item, x->data + (size_t)(from * width) * item, (size_t)width * item);
        for (int d = last - 1; d >= 0 && ++index[d] == y->size[d]; d--) index[d] = 0;
    }
    return true;
}

/* A dimension of a copy: so many steps, through the result and through what is repeated. */
typedef struct step {
    int64_t count, to, from;
} step;
/* Through n of them: one copy, where a tensor has so many dimensions. */
static bool copy_steps(ag_tensor to, ag_tensor from, int n, const step *steps)
{
    const int64_t item = (int64_t)ag__itemsize(&to);
    if (n > AG_MAX_DIMS) {
        for (int64_t i = 0; i < steps->count; i++) {
            if (!copy_steps(to, from, n - 1, steps + 1)) return false;
            to.data += steps->to * item;
            from.data += steps->from * item;
        }
        return true;
    }
    to.ndim = from.ndim = (uint8_t)n;
    for (int d = 0; d < n; d++) {
        to.size[d] = from.size[d] = steps[d].count;
        to.stride[d] = steps[d].to;
        from.stride[d] = steps[d].from;
    }
    to.numel = from.numel = ag__numel_of(n, to.size);
    to.contiguous = ag__is_contiguous(n, to.size, to.stride);
    from.contiguous = ag__is_contiguous(n, from.size, from.stride);
    return ag__copy_tensor(&to, &from);
}
/* Each dimension of the result is two: the copies, which begin at the same element, and what is copied. */
static bool repeat_by_steps(const ag_tensor *y, const ag_tensor *x, const int64_t *times)
{
    step steps[2 * AG_MAX_DIMS];
    int n = 0, new = y->ndim - x->ndim;
    for (int d = 0; d < y->ndim; d++) {
        const int64_t size = d < new ? 1 : x->size[d - new];
        if (times[d] > 1) steps[n++] = (step){ times[d], size * y->stride[d], 0 };
        if (size > 1) steps[n++] = (step){ size, y->stride[d], x->stride[d - new] };
    }
    return y->numel == 0 || copy_steps(*y, *x, n, steps);
}
static bool repeat_anywhere(ag_run *r)
{
    const struct ag_repeat_args *a = r->args;
    if (r->device.type == AG_DEVICE_CPU) return repeat_cpu(r);
    return repeat_by_steps(&r->out[0]->tensor, &a->input->tensor, a->repeats.at);
}
/* One dimension after another: (outer, times, inner), added up over `times`. */
static void repeat_backward(ag_gradients *b)
{
    const struct ag_repeat_args *a = b->args;
    ag_shape_list shape = ag__in_shape(b, 0);
    int64_t new = a->repeats.n - shape.n, outer = 1;
    ag_variable *g = b->g[0];
    if (g->tensor.numel == 0) {
        b->grad[0] = ag_zeros(shape, .dtype = ag_dtype_of(g), .device = ag__device(g));
        return;
    }
    for (int64_t d = 0; d < a->repeats.n; d++) {
        int64_t times = a->repeats.at[d], size = d < new ? 1 : shape.at[d - new];
        if (times != 1) g = ag_sum(ag_reshape(g, AG_SHAPE(outer, times, -1)), .dim = 1);
        outer *= size;
    }
    b->grad[0] = ag_reshape(g, shape);
}

#define AG_ARGS_tile(must, may) must(Tensor, input) must(Shape, dims)
static bool tile_compose(const void *args, ag_variable **out);
AG_OP_PLAIN(tile, .compose = tile_compose)
static bool tile_compose(const void *args, ag_variable **out)
{
    const struct ag_tile_args *a = args;
    int64_t times[AG_MAX_DIMS], n = a->dims.n;
    int ndim = a->input->tensor.ndim, missing = n < ndim ? ndim - (int)n : 0;
    if (!ag__check_ndim(ag__op_tile(), a, n)) return false;
    for (int d = 0; d < missing; d++) times[d] = 1;
    for (int64_t d = 0; d < n; d++) times[missing + d] = a->dims.at[d];
    return (out[0] = ag_repeat(a->input, ag_sizes_of(missing + n, times))) != NULL;
}

/* ---- roll ---- */

static bool roll_shape(ag_run *r)
{
    const struct ag_roll_args *a = r->args;
    const ag_tensor *x = &a->input->tensor;
    int64_t stride[AG_MAX_DIMS];
    if (a->shifts.n == 1 && a->dims.n == 1 && x->numel == 0) /* a copy, whatever the dimension */
        return ag__fresh_strides(r->op, a, x, AG_PRESERVE_FORMAT, stride) &&
               ag__output_strided(r, 0, x->ndim, x->size, stride, (ag_dtype)x->dtype) != NULL;
    if (a->shifts.n == 0) return ag__fail_call(r->op, a, "`shifts` required");
    if (a->shifts.n != a->dims.n && !(a->dims.n == 0 && a->shifts.n == 1))
        return ag__fail_call(r->op, a, "shifts and dimensions must align. shifts: %" PRId64 ", dims:%" PRId64,
                             a->shifts.n, a->dims.n);
    for (int64_t k = 0; k < a->dims.n; k++) {
        if (x->ndim == 0)
            return ag__fail_call(r->op, a, "Dimension specified as %" PRId64 " but tensor has no dimensions",
                                 a->dims.at[k]);
        if (ag__wrap_dim("roll", a->dims.at[k], x->ndim) < 0) return false;
    }
    return ag__output(r, 0, x->ndim, x->size, (ag_dtype)x->dtype) != NULL;
}

/* Cut where what is beyond the end comes round again; each part is copied to where it goes. */
static bool copy_rolled(ag_tensor to, ag_tensor from, const int64_t *shift, int d)
{
    if (to.numel == 0) return true;
    if (d == to.ndim) return ag__copy_tensor(&to, &from);
    if (shift[d] == 0) return copy_rolled(to, from, shift, d + 1);
    const int64_t n = to.size[d], begin[2] = { 0, n - shift[d] }, size[2] = { n - shift[d], shift[d] };
    for (int part = 0; part < 2; part++) {
        ag_tensor into = to, out_of = from;
        int64_t item = (int64_t)ag__itemsize(&to);
        into.data += (part ? 0 : shift[d]) * to.stride[d] * item;
        out_of.data += begin[part] * from.stride[d] * item;
        into.size[d] = out_of.size[d] = size[part];
        into.numel = out_of.numel = ag__numel_of(to.ndim, into.size);
        into.contiguous = ag__is_contiguous(to.ndim, into.size, into.stride);
        out_of.contiguous = ag__is_contiguous(to.ndim, out_of.size, out_of.stride);
        if (!copy_rolled(into, out_of, shift, d + 1)) return false;
    }
    return true;
}
static bool roll_anywhere(ag_run *r)
{
    const struct ag_roll_args *a = r->args;
    ag_tensor to = r->out[0]->tensor, from = a->input->tensor;
    int64_t shift[AG_MAX_DIMS] = { 0 };
    if (to.numel == 0) return true;
    if (a->dims.n == 0) { /* all elements in a row */
        const ag_tensor *plain = ag__plain(r->t, a->input, from.ndim, from.size, (ag_dtype)from.dtype);
        if (!plain) return false;
        from = *plain;
        to.ndim = from.ndim = 1;
        to.size[0] = from.size[0] = to.numel;
        to.stride[0] = from.stride[0] = 1;
    }
    for (int64_t k = 0; k < a->shifts.n; k++) {
        int64_t d = a->dims.n == 0 ? 0 : ag__from_start(a->dims.at[k], to.ndim), n = to.size[d];
        shift[d] = (shift[d] + (a->shifts.at[k] % n + n) % n) % n;
    }
    return copy_rolled(to, from, shift, 0);
}
static void roll_backward(ag_gradients *b)
{
    const struct ag_roll_args *a = b->args;
    int64_t few[AG_MAX_DIMS], *back = few;
    if (a->shifts.n > AG_MAX_DIMS && !(back = ag__scratch((size_t)a->shifts.n * sizeof *back))) return;
    for (int64_t k = 0; k < a->shifts.n; k++) back[k] = (int64_t)(0 - (uint64_t)a->shifts.at[k]);
    b->grad[0] = ag_roll(b->g[0], ag_sizes_of(a->shifts.n, back), a->dims);
    if (back != few) ag__scratch_free(back);
}
AG_OP(roll, .node = "RollBackward0", .shape = roll_shape, .kernel = { roll_anywhere, roll_anywhere },
      .backward = roll_backward)

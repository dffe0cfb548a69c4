/* view_order.c - views of all elements in another order of the dimensions, or without some of size 1; and the forms
 * that change the Variable itself. See view.h. */
#include "autograd/op.h"
#include "ops/check.h"

#include <argent/view.h>

#include <inttypes.h>

/* ---- the order of the dimensions ---- */

#define AG_ARGS_transpose(must, may) must(Tensor, input) must(Int, dim0) must(Int, dim1)
static bool transpose_shape(ag_run *r);
static void transpose_backward(ag_gradients *b);
AG_OP_PLAIN(transpose, .node = "TransposeBackward0", .shape = transpose_shape, .backward = transpose_backward)

/* x with dimensions p and q exchanged. */
static bool exchange(ag_run *r, const ag_tensor *x, int p, int q)
{
    int64_t size[AG_MAX_DIMS], stride[AG_MAX_DIMS];
    for (int d = 0; d < x->ndim; d++) {
        int from = d == p ? q : d == q ? p : d;
        size[d] = x->size[from];
        stride[d] = x->stride[from];
    }
    return ag__output_view(r, x->ndim, size, stride, 0);
}
static bool transpose_shape(ag_run *r)
{
    const struct ag_transpose_args *a = r->args;
    const ag_tensor *x = &a->input->tensor;
    int p = ag__wrap_dim("transpose", a->dim0, x->ndim), q = p < 0 ? -1 : ag__wrap_dim("transpose", a->dim1, x->ndim);
    return q >= 0 && exchange(r, x, p, q);
}
static void transpose_backward(ag_gradients *b)
{
    const struct ag_transpose_args *a = b->args;
    b->grad[0] = ag_transpose(b->g[0], a->dim0, a->dim1);
}

#define AG_ARGS_t(must, may) must(Tensor, input)
static bool t_shape(ag_run *r)
{
    const ag_variable *input = r->in[0];
    if (input->tensor.ndim > 2)
        return ag__fail_call(r->op, r->args, "t() expects a tensor with <= 2 dimensions, but self is %dD",
                             input->tensor.ndim);
    return exchange(r, &input->tensor, 0, input->tensor.ndim == 2 ? 1 : 0);
}
static void t_backward(ag_gradients *b) { b->grad[0] = ag_t(b->g[0]); }
AG_OP_PLAIN(t, .node = "TBackward0", .shape = t_shape, .backward = t_backward)

#define AG_ARGS_permute(must, may) must(Tensor, input) must(Shape, dims)
static bool permute_shape(ag_run *r);
static void permute_backward(ag_gradients *b);
AG_OP_PLAIN(permute, .node = "PermuteBackward0", .shape = permute_shape, .backward = permute_backward)
static bool permute_shape(ag_run *r)
{
    const struct ag_permute_args *a = r->args;
    const ag_tensor *x = &a->input->tensor;
    if (a->dims.n != x->ndim)
        return ag__fail_call(
            r->op, a,
            "number of dimensions in the tensor input does not match the length of the desired ordering of dimensions "
            "i.e. input.dim() = %d is not equal to len(dims) = %" PRId64,
            x->ndim, a->dims.n);
    int64_t size[AG_MAX_DIMS], stride[AG_MAX_DIMS];
    unsigned seen = 0;
    for (int k = 0; k < x->ndim; k++) {
        int d = ag__wrap_dim("permute", a->dims.at[k], x->ndim);
        if (d < 0) return false;
        if (seen >> d & 1) return ag__fail_call(r->op, a, "permute(): duplicate dims are not allowed.");
        seen |= 1u << d;
        size[k] = x->size[d];
        stride[k] = x->stride[d];
    }
    return ag__output_view(r, x->ndim, size, stride, 0);
}
static void permute_backward(ag_gradients *b)
{
    const struct ag_permute_args *a = b->args;
    int64_t back[AG_MAX_DIMS];
    int ndim = (int)a->dims.n;
    for (int k = 0; k < ndim; k++) back[a->dims.at[k] < 0 ? a->dims.at[k] + ndim : a->dims.at[k]] = k;
    b->grad[0] = ag_permute(b->g[0], ag_sizes_of(ndim, back));
}

#define AG_ARGS_movedim(must, may) must(Tensor, input) must(Int, source) must(Int, destination)
static bool movedim_compose(const void *args, ag_variable **out);
AG_OP_PLAIN(movedim, .compose = movedim_compose)
static bool movedim_compose(const void *args, ag_variable **out)
{
    const struct ag_movedim_args *a = args;
    int ndim = a->input->tensor.ndim, from = ag__wrap_dim("movedim", a->source, ndim);
    int to = from < 0 ? -1 : ag__wrap_dim("movedim", a->destination, ndim);
    if (to < 0) return false;
    int64_t dims[AG_MAX_DIMS];
    for (int k = 0, d = 0; k < ndim; k++) {
        if (k == to) {
            dims[k] = from;
        } else {
            if (d == from) d++;
            dims[k] = d++;
        }
    }
    return (out[0] = ag_permute(a->input, ag_sizes_of(ndim, dims))) != NULL;
}

/* The overload that moves several, by name. */
#define AG_ARGS__movedim_intlist(must, may) must(Tensor, input) must(Shape, source) must(Shape, destination)
AG_STRUCT(_movedim_intlist, AG_ARGS__movedim_intlist)
static bool movedim_intlist_compose(const void *args, ag_variable **out);
AG_RECORD(_movedim_intlist, AG_ARGS__movedim_intlist, .of = "movedim", .torch = "movedim.intlist",
          .compose = movedim_intlist_compose)

/* Wraps the dimensions of a list, of which none may come twice. */
static bool wrap_each(const struct ag__movedim_intlist_args *a, const char *name, ag_shape_list list, int *out)
{
    const int ndim = a->input->tensor.ndim;
    char text[AG_TEXT];
    unsigned seen = 0;
    for (int64_t k = 0; k < list.n; k++) {
        int d = out[k] = ag__wrap_dim("movedim", list.at[k], ndim);
        if (d < 0) return false;
        if (seen >> d & 1)
            return ag__fail_call(ag__op__movedim_intlist(), a, "movedim: repeated dim in `%s` (%s)", name,
                                 ag__shape_text((int)list.n, list.at, text, sizeof text));
        seen |= 1u << d;
    }
    return true;
}
static bool movedim_intlist_compose(const void *args, ag_variable **out)
{
    const struct ag__movedim_intlist_args *a = args;
    const int ndim = a->input->tensor.ndim;
    int from[AG_MAX_DIMS + 1], to[AG_MAX_DIMS + 1], most = (ndim ? ndim : 1) + 1; /* so many repeat one */
    int64_t dims[AG_MAX_DIMS], n = a->source.n;
    if (n != a->destination.n)
        return ag__fail_call(ag__op__movedim_intlist(), a,
                             "movedim: Invalid source or destination dims: source (%" PRId64
                             " dims) should contain the same number of dims as destination (%" PRId64 " dims)",
                             n, a->destination.n);
    if (n > most) n = most;
    if (!wrap_each(a, "source", ag_sizes_of(n, a->source.at), from) ||
        !wrap_each(a, "destination", ag_sizes_of(n, a->destination.at), to))
        return false;
    unsigned moved = 0;
    for (int d = 0; d < ndim; d++) dims[d] = -1;
    for (int64_t k = 0; k < n && ndim; k++) {
        dims[to[k]] = from[k];
        moved |= 1u << from[k];
    }
    for (int k = 0, d = 0; k < ndim; k++) { /* the others keep their order */
        if (dims[k] >= 0) continue;
        while (moved >> d & 1) d++;
        dims[k] = d++;
    }
    return (out[0] = ag_permute(a->input, ag_sizes_of(ndim, dims))) != NULL;
}

/* ---- dimensions of size 1 ---- */

static void reshape_backward(ag_gradients *b) { b->grad[0] = ag_reshape(b->g[0], ag__in_shape(b, 0)); }

/* One record for each of PyTorch's overloads, whose nodes bear different names. */
#define AG_ARGS__squeeze_all(must, may)  must(Tensor, input)
#define AG_ARGS__squeeze_dim(must, may)  must(Tensor, input) must(Dims, dim)
#define AG_ARGS__squeeze_dims(must, may) must(Tensor, input) must(Dims, dim)
AG_STRUCT(_squeeze_all, AG_ARGS__squeeze_all)
AG_STRUCT(_squeeze_dim, AG_ARGS__squeeze_dim)
AG_STRUCT(_squeeze_dims, AG_ARGS__squeeze_dims)

static bool squeeze(ag_run *r, const ag_tensor *x, uint32_t mask)
{
    int64_t size[AG_MAX_DIMS], stride[AG_MAX_DIMS];
    int n = 0;
    for (int d = 0; d < x->ndim; d++) {
        if (x->size[d] == 1 && mask >> d & 1) continue;
        size[n] = x->size[d];
        stride[n++] = x->stride[d];
    }
    return ag__output_view(r, n, size, stride, 0);
}
static bool squeeze_all_shape(ag_run *r) { return squeeze(r, &r->in[0]->tensor, ~0u); }
static bool squeeze_dim_shape(ag_run *r)
{
    const struct ag__squeeze_dim_args *a = r->args;
    uint32_t mask;
    return ag__dims_mask("squeeze", a->dim, a->input->tensor.ndim, &mask) && squeeze(r, &a->input->tensor, mask);
}
static bool squeeze_dims_shape(ag_run *r)
{
    const struct ag__squeeze_dims_args *a = r->args;
    uint32_t mask;
    return ag__dims_mask("squeeze", a->dim, a->input->tensor.ndim, &mask) && squeeze(r, &a->input->tensor, mask);
}
AG_RECORD(_squeeze_all, AG_ARGS__squeeze_all, .node = "SqueezeBackward0", .shape = squeeze_all_shape,
          .backward = reshape_backward)
AG_RECORD(_squeeze_dim, AG_ARGS__squeeze_dim, .node = "SqueezeBackward1", .shape = squeeze_dim_shape,
          .backward = reshape_backward)
AG_RECORD(_squeeze_dims, AG_ARGS__squeeze_dims, .node = "SqueezeBackward2", .shape = squeeze_dims_shape,
          .backward = reshape_backward)

static bool squeeze_compose(const void *args, ag_variable **out);
AG_OP(squeeze, .compose = squeeze_compose)
static bool squeeze_compose(const void *args, ag_variable **out)
{
    const struct ag_squeeze_args *a = args;
    int64_t dims[AG_MAX_DIMS];
    int n = ag__dims_of(a->dim, dims);
    const struct ag__squeeze_all_args all = { .input = a->input };
    const struct ag__squeeze_dim_args one = { .input = a->input, .dim = a->dim };
    const struct ag__squeeze_dims_args several = { .input = a->input, .dim = a->dim };
    const void *caller = __builtin_return_address(0);
    if (n < 0) return ag__apply(ag__op__squeeze_all(), &all, out, caller);
    return n == 1 ? ag__apply(ag__op__squeeze_dim(), &one, out, caller)
                  : ag__apply(ag__op__squeeze_dims(), &several, out, caller);
}

#define AG_ARGS_unsqueeze(must, may) must(Tensor, input) must(Int, dim)
static bool unsqueeze_shape(ag_run *r);
AG_OP_PLAIN(unsqueeze, .node = "UnsqueezeBackward0", .shape = unsqueeze_shape, .backward = reshape_backward)
static bool unsqueeze_shape(ag_run *r)
{
    const struct ag_unsqueeze_args *a = r->args;
    if (!ag__check_ndim(r->op, a, a->input->tensor.ndim + 1)) return false;
    const ag_tensor *x = &a->input->tensor;
    int dim = ag__wrap_dim("unsqueeze", a->dim, x->ndim + 1);
    if (dim < 0) return false;
    int64_t size[AG_MAX_DIMS], stride[AG_MAX_DIMS];
    for (int d = 0, from = 0; d <= x->ndim; d++) {
        size[d] = d == dim ? 1 : x->size[from];
        stride[d] = d != dim ? x->stride[from] : dim < x->ndim ? x->size[dim] * x->stride[dim] : 1;
        if (d != dim) from++;
    }
    return ag__output_view(r, x->ndim + 1, size, stride, 0);
}

/* ---- in place: the Variable itself gets the view's sizes and strides. One record for each of PyTorch's nodes. ---- */

AG_STRUCT(_t_inplace, AG_ARGS_t)
AG_STRUCT(_transpose_inplace, AG_ARGS_transpose)
AG_STRUCT(_unsqueeze_inplace, AG_ARGS_unsqueeze)
AG_STRUCT(_squeeze_inplace_all, AG_ARGS__squeeze_all)
AG_STRUCT(_squeeze_inplace_dim, AG_ARGS__squeeze_dim)
AG_STRUCT(_squeeze_inplace_dims, AG_ARGS__squeeze_dims)
AG_RECORD(_t_inplace, AG_ARGS_t, .of = "t_", .repeats = true, .node = "TBackward1", .shape = t_shape,
          .backward = t_backward)
AG_RECORD(_transpose_inplace, AG_ARGS_transpose, .of = "transpose_", .repeats = true, .node = "TransposeBackward1",
          .shape = transpose_shape, .backward = transpose_backward)
AG_RECORD(_unsqueeze_inplace, AG_ARGS_unsqueeze, .of = "unsqueeze_", .repeats = true, .node = "UnsqueezeBackward1",
          .shape = unsqueeze_shape, .backward = reshape_backward)
AG_RECORD(_squeeze_inplace_all, AG_ARGS__squeeze_all, .of = "squeeze_", .repeats = true, .node = "SqueezeBackward3",
          .shape = squeeze_all_shape, .backward = reshape_backward)
AG_RECORD(_squeeze_inplace_dim, AG_ARGS__squeeze_dim, .of = "squeeze_", .repeats = true, .node = "SqueezeBackward4",
          .shape = squeeze_dim_shape, .backward = reshape_backward)
AG_RECORD(_squeeze_inplace_dims, AG_ARGS__squeeze_dims, .of = "squeeze_", .repeats = true, .node = "SqueezeBackward5",
          .shape = squeeze_dims_shape, .backward = reshape_backward)

/* args: those of the op whose step it is. */
static bool become(const ag_op *step, const void *args, ag_variable *x, ag_variable **out)
{
    Thread *t = ag__thread();
    ag_variable *view;
    if (!ag__check_inplace(t, step, x, ag__wants(t, x)) || !ag__apply(step, args, &view, NULL)) return false;
    ag__become(t, x, view);
    return (out[0] = x) != NULL;
}

#define AG_ARGS_t_(must, may) AG_ARGS_t(must, may)
static bool t__compose(const void *args, ag_variable **out);
AG_OP_PLAIN(t_, .compose = t__compose)
static bool t__compose(const void *args, ag_variable **out)
{
    const struct ag_t__args *a = args;
    const struct ag_t_args view = { .input = a->input };
    return become(ag__op__t_inplace(), &view, a->input, out);
}

#define AG_ARGS_transpose_(must, may) AG_ARGS_transpose(must, may)
static bool transpose__compose(const void *args, ag_variable **out);
AG_OP_PLAIN(transpose_, .compose = transpose__compose)
static bool transpose__compose(const void *args, ag_variable **out)
{
    const struct ag_transpose__args *a = args;
    const struct ag_transpose_args view = { .input = a->input, .dim0 = a->dim0, .dim1 = a->dim1 };
    return become(ag__op__transpose_inplace(), &view, a->input, out);
}

#define AG_ARGS_unsqueeze_(must, may) AG_ARGS_unsqueeze(must, may)
static bool unsqueeze__compose(const void *args, ag_variable **out);
AG_OP_PLAIN(unsqueeze_, .compose = unsqueeze__compose)
static bool unsqueeze__compose(const void *args, ag_variable **out)
{
    const struct ag_unsqueeze__args *a = args;
    const struct ag_unsqueeze_args view = { .input = a->input, .dim = a->dim };
    return become(ag__op__unsqueeze_inplace(), &view, a->input, out);
}

static bool squeeze__compose(const void *args, ag_variable **out)
{
    const struct ag_squeeze__args *a = args;
    int64_t dims[AG_MAX_DIMS];
    int n = ag__dims_of(a->dim, dims);
    const struct ag__squeeze_all_args all = { .input = a->input };
    const struct ag__squeeze_dim_args one = { .input = a->input, .dim = a->dim };
    const struct ag__squeeze_dims_args several = { .input = a->input, .dim = a->dim };
    if (n < 0) return become(ag__op__squeeze_inplace_all(), &all, a->input, out);
    return n == 1 ? become(ag__op__squeeze_inplace_dim(), &one, a->input, out)
                  : become(ag__op__squeeze_inplace_dims(), &several, a->input, out);
}
AG_OP(squeeze_, .compose = squeeze__compose)

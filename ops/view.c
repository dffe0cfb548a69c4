/* view.c - views of all elements: other shapes and other orders of the dimensions. See view.h; views of a part are in
 * view_part.c. */
#include "autograd/op.h"
#include "ops/check.h"

#include <argent/copy.h>
#include <argent/view.h>

#include <inttypes.h>
#include <string.h>

static bool check_ndim(const ag_op *op, const void *args, int64_t n)
{
    if (n >= 0 && n <= AG_MAX_DIMS) return true;
    return ag__fail_call(op, args, "a Variable has at most %d dimensions, not %" PRId64, AG_MAX_DIMS, n);
}

/* ---- view, reshape and their kin ---- */

#define AG_ARGS_view(must, may) must(Tensor, input) must(Shape, size)
static bool view_shape(ag_run *r);
static void view_backward(ag_gradients *b) { b->grad[0] = ag_reshape(b->g[0], ag__in_shape(b, 0)); }
AG_OP_PLAIN(view, .node = "ViewBackward0", .shape = view_shape, .backward = view_backward)

static bool view_shape(ag_run *r)
{
    const struct ag_view_args *a = r->args;
    int64_t size[AG_MAX_DIMS], stride[AG_MAX_DIMS];
    if (!check_ndim(r->op, a, a->size.n)) return false;
    if (!ag__infer_size("view", a->size, a->input->tensor.numel, size)) return false;
    if (!ag__view_strides(&a->input->tensor, (int)a->size.n, size, stride))
        return ag__fail_call(
            r->op, a,
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two "
            "contiguous subspaces). Use .reshape(...) instead.");
    return ag__output_view(r, (int)a->size.n, size, stride, 0);
}

/* A view of what nobody else has: shares the memory without being a view to autograd, as PyTorch's. */
#define AG_ARGS__unsafe_view(must, may) must(Tensor, input) must(Shape, size)
AG_STRUCT(_unsafe_view, AG_ARGS__unsafe_view)
static bool unsafe_view_shape(ag_run *r)
{
    const struct ag__unsafe_view_args *a = r->args;
    int64_t stride[AG_MAX_DIMS];
    ag__contiguous_strides((int)a->size.n, a->size.at, stride);
    r->out[0] = ag__view_of(r->t, a->input, (int)a->size.n, a->size.at, stride, 0);
    return r->out[0] != NULL;
}
static bool nothing_to_do(ag_run *r) { return r->out[0] != NULL; }
AG_RECORD(_unsafe_view, AG_ARGS__unsafe_view, .node = "UnsafeViewBackward0", .shape = unsafe_view_shape,
          .kernel = { nothing_to_do }, .backward = view_backward)

/* What reshape calls a view of something that is not contiguous. */
#define AG_ARGS__reshape_alias(must, may) must(Tensor, input) must(Shape, size)
AG_STRUCT(_reshape_alias, AG_ARGS__reshape_alias)
static bool reshape_alias_shape(ag_run *r)
{
    const struct ag__reshape_alias_args *a = r->args;
    int64_t stride[AG_MAX_DIMS];
    return ag__view_strides(&a->input->tensor, (int)a->size.n, a->size.at, stride) &&
           ag__output_view(r, (int)a->size.n, a->size.at, stride, 0);
}
AG_RECORD(_reshape_alias, AG_ARGS__reshape_alias, .node = "ReshapeAliasBackward0", .shape = reshape_alias_shape,
          .backward = view_backward)

/* input under these sizes, all known. */
static ag_variable *view_or_copy(ag_variable *input, int ndim, const int64_t *size)
{
    const void *caller = __builtin_return_address(0);
    int64_t stride[AG_MAX_DIMS];
    ag_shape_list sizes = ag_sizes_of(ndim, size);
    if (input->tensor.contiguous) return ag_view(input, sizes);
    if (ag__view_strides(&input->tensor, ndim, size, stride)) {
        const struct ag__reshape_alias_args args = { .input = input, .size = sizes };
        return ag__apply1(ag__op__reshape_alias(), &args, caller);
    }
    const struct ag__unsafe_view_args args = { .input = ag_clone(input, .memory_format = AG_CONTIGUOUS_FORMAT),
                                               .size = sizes };
    return args.input ? ag__apply1(ag__op__unsafe_view(), &args, caller) : NULL;
}

#define AG_ARGS_reshape(must, may) must(Tensor, input) must(Shape, shape)
static bool reshape_compose(const void *args, ag_variable **out);
AG_OP_PLAIN(reshape, .compose = reshape_compose)
static bool reshape_compose(const void *args, ag_variable **out)
{
    const struct ag_reshape_args *a = args;
    int64_t size[AG_MAX_DIMS];
    if (!check_ndim(ag__op_reshape(), a, a->shape.n)) return false;
    if (!ag__infer_size("reshape", a->shape, a->input->tensor.numel, size)) return false;
    return (out[0] = view_or_copy(a->input, (int)a->shape.n, size)) != NULL;
}

#define AG_ARGS_view_as(must, may) must(Tensor, input) must(Tensor, other)
static bool view_as_compose(const void *args, ag_variable **out);
AG_OP_PLAIN(view_as, .compose = view_as_compose)
static bool view_as_compose(const void *args, ag_variable **out)
{
    const struct ag_view_as_args *a = args;
    return (out[0] = ag_view(a->input, ag_shape(a->other))) != NULL;
}

#define AG_ARGS_reshape_as(must, may) must(Tensor, input) must(Tensor, other)
static bool reshape_as_compose(const void *args, ag_variable **out);
AG_OP_PLAIN(reshape_as, .compose = reshape_as_compose)
static bool reshape_as_compose(const void *args, ag_variable **out)
{
    const struct ag_reshape_as_args *a = args;
    return (out[0] = ag_reshape(a->input, ag_shape(a->other))) != NULL;
}

static bool flatten_compose(const void *args, ag_variable **out);
AG_OP(flatten, .compose = flatten_compose)
static bool flatten_compose(const void *args, ag_variable **out)
{
    const struct ag_flatten_args *a = args;
    const ag_tensor *x = &a->input->tensor;
    int first = ag__wrap_dim("flatten", a->start_dim, x->ndim),
        last = first < 0 ? -1 : ag__wrap_dim("flatten", a->end_dim, x->ndim);
    if (last < 0) return false;
    if (first > last)
        return ag__fail_call(ag__op_flatten(), a, "flatten() has invalid args: start_dim cannot come after end_dim");
    int64_t size[AG_MAX_DIMS], one = 1;
    if (x->ndim == 0) return (out[0] = view_or_copy(a->input, 1, &one)) != NULL;
    if (first == last) return (out[0] = a->input) != NULL;
    int n = 0;
    for (int d = 0; d < x->ndim; d++) {
        if (d <= first || d > last)
            size[n++] = x->size[d];
        else
            size[n - 1] *= x->size[d];
    }
    return (out[0] = view_or_copy(a->input, n, size)) != NULL;
}

#define AG_ARGS_unflatten(must, may) must(Tensor, input) must(Int, dim) must(Shape, sizes)
static bool unflatten_compose(const void *args, ag_variable **out);
AG_OP_PLAIN(unflatten, .compose = unflatten_compose)
static bool unflatten_compose(const void *args, ag_variable **out)
{
    const struct ag_unflatten_args *a = args;
    const ag_op *op = ag__op_unflatten();
    const ag_tensor *x = &a->input->tensor;
    int dim = ag__wrap_dim("unflatten", a->dim, x->ndim);
    if (dim < 0) return false;
    if (a->sizes.n < 1) return ag__fail_call(op, a, "sizes must be non-empty");
    if (x->ndim == 0) return ag__fail_call(op, a, "input must have at least one dimension");
    if (!check_ndim(op, a, x->ndim - 1 + a->sizes.n)) return false;
    int64_t size[AG_MAX_DIMS], rest = x->size[dim];
    int inferred = -1, parts = (int)a->sizes.n;
    int64_t known = 1;
    for (int k = 0; k < parts; k++) {
        if (a->sizes.at[k] == -1 && inferred < 0)
            inferred = k;
        else
            known *= a->sizes.at[k];
    }
    bool fits = known >= 0 && (inferred < 0 ? known == rest : known > 0 && rest % known == 0);
    if (!fits) {
        char text[AG_TEXT];
        return ag__fail_call(
            op, a, "Provided sizes %s don't multiply up to the size of dim %d (%" PRId64 ") in the input tensor",
            ag__shape_text(parts, a->sizes.at, text, sizeof text), dim, rest);
    }
    memcpy(size, x->size, (size_t)dim * sizeof *size);
    for (int k = 0; k < parts; k++) size[dim + k] = k == inferred ? rest / known : a->sizes.at[k];
    memcpy(size + dim + parts, x->size + dim + 1, (size_t)(x->ndim - dim - 1) * sizeof *size);
    return (out[0] = ag_view(a->input, ag_sizes_of(x->ndim - 1 + parts, size))) != NULL;
}

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
          .backward = view_backward)
AG_RECORD(_squeeze_dim, AG_ARGS__squeeze_dim, .node = "SqueezeBackward1", .shape = squeeze_dim_shape,
          .backward = view_backward)
AG_RECORD(_squeeze_dims, AG_ARGS__squeeze_dims, .node = "SqueezeBackward2", .shape = squeeze_dims_shape,
          .backward = view_backward)

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
AG_OP_PLAIN(unsqueeze, .node = "UnsqueezeBackward0", .shape = unsqueeze_shape, .backward = view_backward)
static bool unsqueeze_shape(ag_run *r)
{
    const struct ag_unsqueeze_args *a = r->args;
    if (!check_ndim(r->op, a, a->input->tensor.ndim + 1)) return false;
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

/* ---- repeating ---- */

#define AG_ARGS_expand(must, may) must(Tensor, input) must(Shape, size)
static bool expand_shape(ag_run *r);
static void expand_backward(ag_gradients *b) { b->grad[0] = b->g[0]; } /* the engine sums it down */
AG_OP_PLAIN(expand, .node = "ExpandBackward0", .shape = expand_shape, .backward = expand_backward)
static bool expand_shape(ag_run *r)
{
    const struct ag_expand_args *a = r->args;
    char target[AG_TEXT], is[AG_TEXT];
    if (!check_ndim(r->op, a, a->size.n)) return false;
    const ag_tensor *x = &a->input->tensor;
    int ndim = (int)a->size.n;
    if (ndim < x->ndim)
        return ag__fail_call(
            r->op, a,
            "the number of sizes provided (%d) must be greater or equal to the number of dimensions in the tensor (%d)",
            ndim, x->ndim);
    int64_t size[AG_MAX_DIMS], stride[AG_MAX_DIMS];
    for (int d = ndim - 1, from = x->ndim - 1; d >= 0; d--, from--) {
        int64_t has = from >= 0 ? x->size[from] : 1, wants = a->size.at[d];
        if (wants == -1) {
            if (from < 0)
                return ag__fail_call(
                    r->op, a,
                    "The expanded size of the tensor (-1) isn't allowed in a leading, non-existing dimension %d", d);
            wants = has;
        }
        size[d] = wants;
        stride[d] = from >= 0 ? x->stride[from] : d + 1 < ndim ? size[d + 1] * stride[d + 1] : 1;
        if (has == wants) continue;
        if (has != 1 || wants < 0)
            return ag__fail_call(r->op, a,
                                 "The expanded size of the tensor (%" PRId64 ") must match the existing size (%" PRId64
                                 ") at non-singleton dimension %d.  Target sizes: %s.  Tensor sizes: %s",
                                 wants, has, d, ag__shape_text(ndim, a->size.at, target, sizeof target),
                                 ag__shape_text(x->ndim, x->size, is, sizeof is));
        stride[d] = 0;
    }
    if (ag__numel_of(ndim, size) < 0)
        return ag__fail_call(r->op, a, "%s has more elements than can be counted",
                             ag__shape_text(ndim, size, target, sizeof target));
    return ag__output_view(r, ndim, size, stride, 0);
}

#define AG_ARGS_expand_as(must, may) must(Tensor, input) must(Tensor, other)
static bool expand_as_compose(const void *args, ag_variable **out);
AG_OP_PLAIN(expand_as, .compose = expand_as_compose)
static bool expand_as_compose(const void *args, ag_variable **out)
{
    const struct ag_expand_as_args *a = args;
    return (out[0] = ag_expand(a->input, ag_shape(a->other))) != NULL;
}

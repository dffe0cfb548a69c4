/* view.c - views of all elements under other shapes. See view.h; other orders of the dimensions are in view_order.c,
 * views of a part in view_part.c. */
#include "autograd/op.h"
#include "ops/check.h"

#include <argent/copy.h>
#include <argent/view.h>

#include <inttypes.h>
#include <string.h>

/* ---- view, reshape and their kin ---- */

#define AG_ARGS_view(must, may) must(Tensor, input) must(Shape, size)
static bool view_shape(ag_run *r);
static void view_backward(ag_gradients *b) { b->grad[0] = ag_reshape(b->g[0], ag__in_shape(b, 0)); }
AG_OP_PLAIN(view, .node = "ViewBackward0", .shape = view_shape, .backward = view_backward)

static bool view_shape(ag_run *r)
{
    const struct ag_view_args *a = r->args;
    int64_t size[AG_MAX_DIMS], stride[AG_MAX_DIMS];
    if (!ag__check_ndim(r->op, a, a->size.n)) return false;
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
          .kernel = { nothing_to_do, nothing_to_do }, .backward = view_backward)

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
    if (!ag__check_ndim(ag__op_reshape(), a, a->shape.n)) return false;
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
    if (!ag__check_ndim(op, a, x->ndim - 1 + a->sizes.n)) return false;
    int64_t size[AG_MAX_DIMS], rest = x->size[dim];
    int inferred = -1, parts = (int)a->sizes.n;
    int64_t known = 1;
    for (int k = 0; k < parts; k++) {
        if (a->sizes.at[k] == -1 && inferred < 0)
            inferred = k;
        else if (__builtin_mul_overflow(known, a->sizes.at[k], &known))
            known = -1;
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

/* ---- repeating ---- */

#define AG_ARGS_expand(must, may) must(Tensor, input) must(Shape, size)
static bool expand_shape(ag_run *r);
static void expand_backward(ag_gradients *b) { b->grad[0] = b->g[0]; } /* the engine sums it down */
AG_OP_PLAIN(expand, .node = "ExpandBackward0", .shape = expand_shape, .backward = expand_backward)
static bool expand_shape(ag_run *r)
{
    const struct ag_expand_args *a = r->args;
    char target[AG_TEXT], is[AG_TEXT];
    if (!ag__check_ndim(r->op, a, a->size.n)) return false;
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

#define AG_ARGS_broadcast_to(must, may) must(Tensor, input) must(Shape, size)
static bool broadcast_to_compose(const void *args, ag_variable **out);
AG_OP_PLAIN(broadcast_to, .compose = broadcast_to_compose)
static bool broadcast_to_compose(const void *args, ag_variable **out)
{
    const struct ag_broadcast_to_args *a = args;
    return (out[0] = ag_expand(a->input, a->size)) != NULL;
}

#define AG_ARGS_expand_as(must, may) must(Tensor, input) must(Tensor, other)
static bool expand_as_compose(const void *args, ag_variable **out);
AG_OP_PLAIN(expand_as, .compose = expand_as_compose)
static bool expand_as_compose(const void *args, ag_variable **out)
{
    const struct ag_expand_as_args *a = args;
    return (out[0] = ag_expand(a->input, ag_shape(a->other))) != NULL;
}

/* view.h - the same elements under another shape: views, which share their input's memory and cost no copy.
 *
 * A change in place of one is a change of the other. Dimensions may count from the end (-1 is the last one). Gradients
 * of any order. Errors: AG_EINVAL with PyTorch's sentences.
 */
#ifndef ARGENT_VIEW_H
#define ARGENT_VIEW_H
#include <argent/variable.h>

AG_BEGIN_DECLS

/* The elements of `input` in row-major order under the shape `size`; one -1 stands for what is left. An error where the
 * strides do not allow a view (view), or a copy then (reshape). A batch-last (N,C,H,W) flattens to (N, C*H*W) as a
 * view. */
AG_API ag_variable *ag_view(ag_variable *input, ag_shape_list size);
AG_API ag_variable *ag_reshape(ag_variable *input, ag_shape_list shape);
AG_API ag_variable *ag_view_as(ag_variable *input, ag_variable *other);
AG_API ag_variable *ag_reshape_as(ag_variable *input, ag_variable *other);

/* Dimensions start_dim to end_dim become one; a 0-dim Variable becomes (1). A view where possible. */
#define AG_ARGS_flatten(must, may) must(Tensor, input) may(Int, start_dim, 0) may(Int, end_dim, -1)
#define ag_flatten(...)            AG_CALL(flatten, __VA_ARGS__)
AG_DECLARE(flatten)

/* Dimension dim becomes several; one -1 stands for what is left. */
AG_API ag_variable *ag_unflatten(ag_variable *input, int64_t dim, ag_shape_list sizes);

/* Two dimensions change places. */
AG_API ag_variable *ag_transpose(ag_variable *input, int64_t dim0, int64_t dim1);
/* The transpose of a matrix; what has fewer dimensions stays as it is. */
AG_API ag_variable *ag_t(ag_variable *input);
/* y's dimension i is input's dimension dims[i]: ag_permute(x, AG_SHAPE(0, 2, 1)) swaps the last two of three. */
AG_API ag_variable *ag_permute(ag_variable *input, ag_shape_list dims);
/* Dimension `source` goes to `destination`, the others keep their order. */
AG_API ag_variable *ag_movedim(ag_variable *input, int64_t source, int64_t destination);

/* Without the dimensions of size 1: all of them, or those named that have size 1. */
#define AG_ARGS_squeeze(must, may) must(Tensor, input) may(Dims, dim, AG_ALL)
#define ag_squeeze(...)            AG_CALL(squeeze, __VA_ARGS__)
AG_DECLARE(squeeze)
/* With a dimension of size 1 before dimension dim. */
AG_API ag_variable *ag_unsqueeze(ag_variable *input, int64_t dim);

/* The same of input itself: it keeps its memory and gets other sizes and strides. Returns input. */
AG_API ag_variable *ag_t_(ag_variable *input);
AG_API ag_variable *ag_transpose_(ag_variable *input, int64_t dim0, int64_t dim1);
AG_API ag_variable *ag_unsqueeze_(ag_variable *input, int64_t dim);
#define AG_ARGS_squeeze_(must, may) AG_ARGS_squeeze(must, may)
#define ag_squeeze_(...)            AG_CALL(squeeze_, __VA_ARGS__)
AG_DECLARE(squeeze_)

/* Dimensions of size 1 repeat up to `size` (stride 0), new ones come in front; -1 keeps a dimension as it is. */
AG_API ag_variable *ag_expand(ag_variable *input, ag_shape_list size);
AG_API ag_variable *ag_broadcast_to(ag_variable *input, ag_shape_list size);
AG_API ag_variable *ag_expand_as(ag_variable *input, ag_variable *other);

/* input[..., start : start + length, ...] */
AG_API ag_variable *ag_narrow(ag_variable *input, int64_t dim, int64_t start, int64_t length);
/* input[..., index, ...]: one dimension less; index may count from the end. */
AG_API ag_variable *ag_select(ag_variable *input, int64_t dim, int64_t index);
/* input[..., start : end : step, ...] as Python slices: both may count from the end, and are cut to what there is;
 * step > 0. */
#define AG_ARGS_slice(must, may) \
    must(Tensor, input) may(Int, dim, 0) may(Int, start, 0) may(Int, end, INT64_MAX) may(Int, step, 1)
#define ag_slice(...) AG_CALL(slice, __VA_ARGS__)
AG_DECLARE(slice)
/* The elements whose indices in dim1 and dim2 differ by offset (index2 = index1 + offset), as a last dimension. */
#define AG_ARGS_diagonal(must, may) must(Tensor, input) may(Int, offset, 0) may(Int, dim1, 0) may(Int, dim2, 1)
#define ag_diagonal(...)            AG_CALL(diagonal, __VA_ARGS__)
AG_DECLARE(diagonal)

/* All parts along dim, side by side: a list of views, which may be changed in place only where no gradient is wanted.
 * Parts of split_size, the last one of what is left; parts of these sizes, which add up to input's; so many parts of
 * one size, the last ones smaller or left out; every slice, without its dimension.
 *
 *     List parts = ag_chunk(x, 2, .dim = 1);        parts.n, parts.at[0], ... */
#define AG_ARGS_split(must, may)            must(Tensor, input) must(Int, split_size) may(Int, dim, 0)
#define AG_ARGS_split_with_sizes(must, may) must(Tensor, input) must(Shape, split_sizes) may(Int, dim, 0)
#define AG_ARGS_chunk(must, may)            must(Tensor, input) must(Int, chunks) may(Int, dim, 0)
#define AG_ARGS_unbind(must, may)           must(Tensor, input) may(Int, dim, 0)
#define ag_split(...)                       AG_CALL(split, __VA_ARGS__)
#define ag_split_with_sizes(...)            AG_CALL(split_with_sizes, __VA_ARGS__)
#define ag_chunk(...)                       AG_CALL(chunk, __VA_ARGS__)
#define ag_unbind(...)                      AG_CALL(unbind, __VA_ARGS__)
AG_DECLARE_AS(split, ag_list)
AG_DECLARE_AS(split_with_sizes, ag_list)
AG_DECLARE_AS(chunk, ag_list)
AG_DECLARE_AS(unbind, ag_list)

/* Any geometry over input's storage: element (i0, i1, ...) is storage[storage_offset + i0 stride[0] + i1 stride[1] +
 * ...], in elements. storage_offset -1: input's own. */
#define AG_ARGS_as_strided(must, may) \
    must(Tensor, input) must(Shape, size) must(Shape, stride) may(Int, storage_offset, -1)
#define ag_as_strided(...) AG_CALL(as_strided, __VA_ARGS__)
AG_DECLARE(as_strided)

AG_END_DECLS
#endif

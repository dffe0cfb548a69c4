/* view_part.h - the gradients of views that show a part: zeros with the gradient laid where the part was. Ops like
 * others, whose own gradients are the views, so that any order works. `sizes` are those of the Variable that was
 * viewed. */
#ifndef AG_VIEW_PART_H
#define AG_VIEW_PART_H
#include <argent/variable.h>

ag_variable *ag__select_backward(ag_variable *grad, ag_shape_list sizes, int64_t dim, int64_t index);
ag_variable *ag__slice_backward(ag_variable *grad, ag_shape_list sizes, int64_t dim, int64_t start, int64_t end,
                                int64_t step);
ag_variable *ag__diagonal_backward(ag_variable *grad, ag_shape_list sizes, int64_t offset, int64_t dim1, int64_t dim2);

/* Adds the elements of grad into zeroed memory by one geometry (in_stride, in_offset) and reads `size` elements by
 * another (stride, offset). share 1: what several elements of the result read is divided among them; 2: what several
 * elements of grad were added to is divided by their number. */
ag_variable *ag__as_strided_backward(ag_variable *grad, ag_shape_list in_stride, int64_t in_offset, ag_shape_list size,
                                     ag_shape_list stride, int64_t offset, int64_t share);

#endif

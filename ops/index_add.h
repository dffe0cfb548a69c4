/* index_add.h - the gradients of picking: zeros of `sizes` to which grad is added where it was picked from. */
#ifndef AG_INDEX_ADD_H
#define AG_INDEX_ADD_H
#include <argent/variable.h>

ag_variable *ag__gather_backward(ag_variable *grad, ag_shape_list sizes, int64_t dim, ag_variable *index);
ag_variable *ag__index_select_backward(ag_variable *grad, ag_shape_list sizes, int64_t dim, ag_variable *index);
ag_variable *ag__take_backward(ag_variable *grad, ag_shape_list sizes, ag_variable *index);

#endif

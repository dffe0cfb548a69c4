/* pool_back.h - the op that is max pooling's gradient: grad_output goes where indices say. Which windows there are is
 * for kernels that ask of each element what comes to it. */
#ifndef AG_POOL_BACK_H
#define AG_POOL_BACK_H
#include <argent/args.h>

#define AG_ARGS__max_pool2d_backward(must, may)                                                                        \
    must(Tensor, grad_output) must(Tensor, indices) must(Shape, input_size) must(Size, kernel_size) must(Size, stride) \
        must(Size, padding) must(Size, dilation)
AG_STRUCT(_max_pool2d_backward, AG_ARGS__max_pool2d_backward)

#endif

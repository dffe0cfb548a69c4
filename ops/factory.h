/* factory.h - Variables made from nothing but a shape: zeros, ones, a number everywhere, ranges, the identity.
 *
 * All take by name .dtype (default: float32, or what ag_set_default_dtype says), .device (default: the CPU),
 * .requires_grad, and, where a shape is given, .memory_format. What they make is a leaf; .requires_grad is kept inside
 * AG_NO_GRAD, too, as in PyTorch.
 *
 *     ag_zeros(AG_SHAPE(2, 3))      ag_full(AG_SHAPE(2), 0.5, .dtype = AG_FLOAT64, .requires_grad = true)
 *     ag_ones_like(x)
 *
 * Errors: AG_EINVAL (a negative size; .requires_grad of a type that is not floating), AG_ENOMEM, AG_EDEVICE.
 */
#ifndef ARGENT_FACTORY_H
#define ARGENT_FACTORY_H
#include <argent/variable.h>

#include <math.h>

AG_BEGIN_DECLS

#define AG_MAY_MAKE_(may) \
    may(Dtype, dtype, AG_DTYPE_DEFAULT) may(Device, device, AG_ANY_DEVICE) may(Bool, requires_grad, false)

/* Elements are whatever the memory held. */
#define AG_ARGS_empty(must, may) must(Shape, size) AG_MAY_MAKE_(may) may(Format, memory_format, AG_CONTIGUOUS_FORMAT)
#define ag_empty(...)            AG_CALL(empty, __VA_ARGS__)
AG_DECLARE(empty)

#define AG_ARGS_zeros(must, may) AG_ARGS_empty(must, may)
#define ag_zeros(...)            AG_CALL(zeros, __VA_ARGS__)
AG_DECLARE(zeros)

#define AG_ARGS_ones(must, may) AG_ARGS_empty(must, may)
#define ag_ones(...)            AG_CALL(ones, __VA_ARGS__)
AG_DECLARE(ones)

/* fill_value everywhere, any double or int64_t as it is. The type is the default one unless given: a C number does not
 * say whether it was meant as an integer. */
#define AG_ARGS_full(must, may) \
    must(Shape, size) must(Number, fill_value) AG_MAY_MAKE_(may) may(Format, memory_format, AG_CONTIGUOUS_FORMAT)
#define ag_full(...) AG_CALL(full, __VA_ARGS__)
AG_DECLARE(full)

/* The same with input's type and device, unless given. */
#define AG_ARGS_new_zeros(must, may) must(Tensor, input) must(Shape, size) AG_MAY_MAKE_(may)
#define AG_ARGS_new_ones(must, may)  AG_ARGS_new_zeros(must, may)
#define AG_ARGS_new_full(must, may)  must(Tensor, input) must(Shape, size) must(Number, fill_value) AG_MAY_MAKE_(may)
#define ag_new_zeros(...)            AG_CALL(new_zeros, __VA_ARGS__)
#define ag_new_ones(...)             AG_CALL(new_ones, __VA_ARGS__)
#define ag_new_full(...)             AG_CALL(new_full, __VA_ARGS__)
AG_DECLARE(new_zeros)
AG_DECLARE(new_ones)
AG_DECLARE(new_full)

/* The same with the shape, type, device and layout of `input`, unless given. */
#define AG_ARGS_empty_like(must, may) \
    must(Tensor, input) AG_MAY_MAKE_(may) may(Format, memory_format, AG_PRESERVE_FORMAT)
#define ag_empty_like(...) AG_CALL(empty_like, __VA_ARGS__)
AG_DECLARE(empty_like)

#define AG_ARGS_zeros_like(must, may) AG_ARGS_empty_like(must, may)
#define ag_zeros_like(...)            AG_CALL(zeros_like, __VA_ARGS__)
AG_DECLARE(zeros_like)

#define AG_ARGS_ones_like(must, may) AG_ARGS_empty_like(must, may)
#define ag_ones_like(...)            AG_CALL(ones_like, __VA_ARGS__)
AG_DECLARE(ones_like)

#define AG_ARGS_full_like(must, may) \
    must(Tensor, input) must(Number, fill_value) AG_MAY_MAKE_(may) may(Format, memory_format, AG_PRESERVE_FORMAT)
#define ag_full_like(...) AG_CALL(full_like, __VA_ARGS__)
AG_DECLARE(full_like)

/* start, start + step, ... up to but without end: ag_arange(5) is 0 1 2 3 4, ag_arange(1, 5) 1 2 3 4, ag_arange(1, 5,
 * 2) 1 3. As in PyTorch a first number on its own is the end. Without a .dtype, whole numbers make an int64 and others
 * the default type. */
#define AG_ARGS_arange(must, may) must(Number, start) may(Number, end, NAN) may(Number, step, 1) AG_MAY_MAKE_(may)
#define ag_arange(...)            AG_CALL(arange, __VA_ARGS__)
AG_DECLARE(arange)

/* `steps` numbers evenly from start to end, both included. */
#define AG_ARGS_linspace(must, may) must(Float, start) must(Float, end) must(Int, steps) AG_MAY_MAKE_(may)
#define ag_linspace(...)            AG_CALL(linspace, __VA_ARGS__)
AG_DECLARE(linspace)

/* 1 on the diagonal, 0 elsewhere: (n,m), or (n,n) where m is left out (-1). */
#define AG_ARGS_eye(must, may) must(Int, n) may(Int, m, -1) AG_MAY_MAKE_(may)
#define ag_eye(...)            AG_CALL(eye, __VA_ARGS__)
AG_DECLARE(eye)

AG_END_DECLS
#endif

/* copy.h - copies, in and out of place, with conversion of type, device and layout; and writing one number everywhere.
 *
 * Errors: AG_EINVAL with PyTorch's sentences, AG_ENOMEM, AG_EDEVICE. Gradients flow through all of them, of any order.
 */
#ifndef ARGENT_COPY_H
#define ARGENT_COPY_H
#include <argent/variable.h>

AG_BEGIN_DECLS

/* A copy; its layout is input's (AG_PRESERVE_FORMAT), row-major or batch-last. */
#define AG_ARGS_clone(must, may) must(Tensor, input) may(Format, memory_format, AG_PRESERVE_FORMAT)
#define ag_clone(...)            AG_CALL(clone, __VA_ARGS__)
AG_DECLARE(clone)

/* input itself if its elements lie in that order already, else a copy that does. */
#define AG_ARGS_contiguous(must, may) must(Tensor, input) may(Format, memory_format, AG_CONTIGUOUS_FORMAT)
#define ag_contiguous(...)            AG_CALL(contiguous, __VA_ARGS__)
AG_DECLARE(contiguous)

/* input's elements become src's, which broadcasts and is converted to input's type and device. non_blocking: as below,
 * where the one on the CPU is pinned. Returns input. */
#define AG_ARGS_copy_(must, may) must(Tensor, input) must(Tensor, src) may(Bool, non_blocking, false)
#define ag_copy_(...)            AG_CALL(copy_, __VA_ARGS__)
AG_DECLARE(copy_)

/* input as asked for, by a copy if anything differs; else input itself (a copy, too, with .copy = true).
 *
 *     ag_to(x, AG_CUDA)      ag_to(x, .dtype = AG_FLOAT64)      ag_to(x, .memory_format = AG_BATCH_LAST)
 *
 * A type or a layout goes by its name. non_blocking: a copy from pinned memory to a device goes on while the program
 * does; its numbers must not change before the device has got them. One from a device to the CPU comes to pinned
 * memory; it must not be read before the device's stream has been waited for. Everything else is done on return. */
#define AG_ARGS_to(must, may)                                                                  \
    must(Tensor, input) may(Device, device, AG_ANY_DEVICE) may(Dtype, dtype, AG_DTYPE_DEFAULT) \
        may(Bool, non_blocking, false) may(Bool, copy, false) may(Format, memory_format, AG_PRESERVE_FORMAT)
#define ag_to(...) AG_CALL(to, __VA_ARGS__)
AG_DECLARE(to)
/* ag_to(x, .dtype = ...): float32, float64, int64, int32. */
#define AG_ARGS_float(must, may)  must(Tensor, input) may(Format, memory_format, AG_PRESERVE_FORMAT)
#define AG_ARGS_double(must, may) AG_ARGS_float(must, may)
#define AG_ARGS_long(must, may)   AG_ARGS_float(must, may)
#define AG_ARGS_int(must, may)    AG_ARGS_float(must, may)
#define ag_float(...)             AG_CALL(float, __VA_ARGS__)
#define ag_double(...)            AG_CALL(double, __VA_ARGS__)
#define ag_long(...)              AG_CALL(long, __VA_ARGS__)
#define ag_int(...)               AG_CALL(int, __VA_ARGS__)
AG_DECLARE(float)
AG_DECLARE(double)
AG_DECLARE(long)
AG_DECLARE(int)
/* x.cuda(), x.cpu(): input itself where it is there already. AG_EDEVICE where there is no such device. */
#define ag_cuda(input) ag_to(input, AG_CUDA)
#define ag_cpu(input)  ag_to(input, AG_CPU)

/* Every element of input becomes value, or zero. Returns input. */
AG_API ag_variable *ag_fill_(ag_variable *input, ag_number value);
AG_API ag_variable *ag_zero_(ag_variable *input);
/* The same with the only element of a 0-dim Variable, which gets its gradient (x.fill_(value)). */
AG_API ag_variable *ag_fill_tensor_(ag_variable *input, ag_variable *value);

/* input with `value` where mask (bool, broadcasts) is true. ag_masked_fill_ changes input, to which the mask must
 * broadcast. */
AG_API ag_variable *ag_masked_fill(ag_variable *input, ag_variable *mask, ag_number value);
AG_API ag_variable *ag_masked_fill_(ag_variable *input, ag_variable *mask, ag_number value);

AG_END_DECLS
#endif

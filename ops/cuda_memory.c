/* cuda_memory.c - see cuda_memory.h. */
#include "ops/cuda_pinned.h"
#include "tensor/cuda_table.h"
#include "tensor/device_table.h"
#include "tensor/pinned.h"

#include <argent/cuda_memory.h>

ag_variable *ag_record_stream(ag_variable *input, ag_cuda_stream stream)
{
    if (!input || input == AG_NONE) return ag__fail(AG_EINVAL, "record_stream: input is %s", input ? "None" : "NULL");
    const ag_device device = ag__device(input);
    if (device.type == AG_DEVICE_CPU) return input;
    if (stream.id < 0 || stream.id >= AG_CUDA_STREAMS)
        return ag__fail(AG_EINVAL, "record_stream: there is no stream %d", (int)stream.id);
    if (stream.device.type != device.type || stream.device.index != device.index)
        return ag__fail(AG_EDEVICE, "record_stream: input is on %s, the stream on %s", ag_device_name(device),
                        ag_device_name(stream.device));
    ag__cuda_functions()->cuda->record_stream(input->tensor.storage->data, stream);
    return input;
}

bool ag__pin_fresh(Thread *t, ag_variable *x)
{
    ag_storage *storage = ag__storage_new_pinned(t, x->tensor.numel * (int64_t)ag__itemsize(&x->tensor));
    if (!storage) return false;
    ag__storage_drop(t, x->tensor.storage);
    x->tensor.storage = storage;
    x->tensor.data = storage->data;
    return true;
}

ag_variable *ag_pin_memory(ag_variable *input)
{
    Thread *t = ag__thread();
    if (!input || input == AG_NONE) return ag__fail(AG_EINVAL, "pin_memory: input is %s", input ? "None" : "NULL");
    const ag_tensor *x = &input->tensor;
    if (ag__device(input).type != AG_DEVICE_CPU)
        return ag__fail(AG_EINVAL, "pin_memory: only CPU tensors can be pinned, not one on %s",
                        ag_device_name(ag__device(input)));
    if (ag__pinned_block(x->storage)) return input;
    const bool dense = ag__is_dense(x->ndim, x->size, x->stride);
    ag_variable *y = ag__new_strided(t, x->ndim, x->size, dense ? x->stride : NULL, (ag_dtype)x->dtype, AG_CPU);
    if (!y || !ag__pin_fresh(t, y)) return NULL;
    ag__copy_elements(&y->tensor, x);
    y->made_by = "pin_memory";
    y->caller = __builtin_return_address(0);
    return y;
}

bool ag_is_pinned(const ag_variable *input)
{
    return input && input != AG_NONE && ag__device(input).type == AG_DEVICE_CPU &&
           ag__pinned_block(input->tensor.storage) != NULL;
}

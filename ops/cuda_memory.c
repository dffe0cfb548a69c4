/* cuda_memory.c - see cuda_memory.h. */
#include "autograd/node.h"
#include "tensor/cuda_table.h"
#include "tensor/device_table.h"

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

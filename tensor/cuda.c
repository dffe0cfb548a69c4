/* cuda.c - the public functions on CUDA devices: device.h. */
#include "tensor/device_table.h"

int ag_cuda_device_count(void)
{
    const ag_device_functions *functions = ag__cuda_functions();
    return functions ? functions->count() : 0;
}

bool ag_cuda_is_available(void) { return ag_cuda_device_count() > 0; }

bool ag_cuda_synchronize(ag_device device)
{
    const ag_device_functions *functions = ag__device_functions(device);
    return functions && functions->synchronize(device);
}

/* All zero where there is no such device. */
static ag_device_memory memory_of(ag_device device)
{
    ag_device_memory memory = { 0 };
    if (device.type == AG_DEVICE_CUDA && device.index >= 0 && device.index < ag_cuda_device_count())
        ag__cuda_functions()->memory(device, &memory);
    return memory;
}
int64_t ag_cuda_memory_allocated(ag_device device) { return memory_of(device).allocated; }
int64_t ag_cuda_memory_reserved(ag_device device) { return memory_of(device).reserved; }
int64_t ag_cuda_max_memory_allocated(ag_device device) { return memory_of(device).max_allocated; }
int64_t ag_cuda_max_memory_reserved(ag_device device) { return memory_of(device).max_reserved; }

void ag_cuda_reset_peak_memory_stats(ag_device device)
{
    if (device.type == AG_DEVICE_CUDA && device.index >= 0 && device.index < ag_cuda_device_count())
        ag__cuda_functions()->reset_peak(device);
}

void ag_cuda_empty_cache(void)
{
    const ag_device_functions *functions = ag__cuda_functions();
    if (functions) functions->empty_cache();
}

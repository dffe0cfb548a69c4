/* cuda_services.c - what the library gives its CUDA plug-in, which refers to no symbol of it. */
#include "ops/check.h"
#include "tensor/cuda_plugin.h"
#include "tensor/random_order.h"

#include <string.h>

static int random_order(const ag_tensor *x, const ag_tensor *beside, int64_t size[AG_MAX_DIMS],
                        int64_t stride[2][AG_MAX_DIMS])
{
    ag_random_order order;
    ag__random_order(&order, x, beside);
    memcpy(size, order.size, sizeof order.size);
    memcpy(stride, order.stride, sizeof order.stride);
    return order.ndim;
}

static ag_thread *current_thread(void) { return ag__thread(); }

const ag_cuda_host ag__cuda_services = {
    .abi = AG_CUDA_ABI,
    .thread = current_thread,
    .fail = ag__fail,
    .fail_call = ag__fail_call,
    .fail_memory = ag__fail_memory,
    .walk = ag__walk,
    .load = ag__load,
    .load_int64 = ag__load_int64,
    .store = ag__store,
    .store_int64 = ag__store_int64,
    .new_variable = ag__new,
    .plain = ag__plain,
    .philox = ag__generator_philox,
    .random_order = random_order,
};

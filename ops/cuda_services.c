/* cuda_services.c - what the library gives its CUDA plug-in, which refers to no symbol of it. */
#include "ops/check.h"
#include "tensor/cuda_plugin.h"

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
};

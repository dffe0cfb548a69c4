/* plugin.c - a plug-in of another build; or one that can do nothing, and does not say why (PRETENDED_PLUGIN=silent). */
#include "tensor/cuda_plugin.h"

#include <stdlib.h>

ag_cuda_entry ag_cuda_plugin;
__attribute__((visibility("default"))) const ag_device_functions *ag_cuda_plugin(const ag_cuda_host *host, int *abi,
                                                                                 const char **reason)
{
    (void)host, (void)reason;
    *abi = AG_CUDA_ABI + (getenv("PRETENDED_PLUGIN") ? 0 : 1);
    return NULL;
}

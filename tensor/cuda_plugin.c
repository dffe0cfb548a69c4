/* cuda_plugin.c - finding and loading the CUDA plug-in at the first use of CUDA.
 *
 * Without a driver nothing is loaded but the question for it: a machine without a GPU pays a failed dlopen, once, and
 * only if its program asks for CUDA. The reason is kept for whoever asks for a device.
 */
#include "tensor/cuda_plugin.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#ifndef AG_LIBDIR
#define AG_LIBDIR "/usr/local/lib"
#endif
#define FILE_NAME "libargent-cuda.so"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const ag_device_functions *functions; /* set once */
static char reason[512] = "the CUDA plug-in is not loaded";

/* The plug-in is beside the library (or the program that the static library is part of), else where it is installed,
 * else where the linker looks. */
static void *open_plugin(void)
{
    char path[4096];
    Dl_info here;
    void *plugin = NULL;
    if (dladdr(&once, &here) && here.dli_fname && strchr(here.dli_fname, '/')) {
        int folder = (int)(strrchr(here.dli_fname, '/') - here.dli_fname);
        ag__format(path, sizeof path, "%.*s/" FILE_NAME, folder, here.dli_fname);
        plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    if (!plugin) plugin = dlopen(AG_LIBDIR "/" FILE_NAME, RTLD_NOW | RTLD_LOCAL);
    if (!plugin) plugin = dlopen(FILE_NAME, RTLD_NOW | RTLD_LOCAL);
    if (!plugin) ag__format(reason, sizeof reason, "the CUDA plug-in " FILE_NAME " is missing (%.300s)", dlerror());
    return plugin;
}

static void load(void)
{
    const char *named = getenv("AG_CUDA_PLUGIN"), *why = NULL;
    void *plugin;
    int abi = 0;
    if (named && *named) { /* it may be one that needs no driver */
        plugin = dlopen(named, RTLD_NOW | RTLD_LOCAL);
        if (!plugin) ag__format(reason, sizeof reason, "the CUDA plug-in cannot be loaded (%.300s)", dlerror());
    } else {
        void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
        if (!driver) {
            ag__format(reason, sizeof reason, "there is no NVIDIA driver (libcuda.so.1 cannot be loaded)");
            return;
        }
        plugin = open_plugin();
    }
    if (!plugin) return;
    void *symbol = dlsym(plugin, AG_CUDA_ENTRY);
    ag_cuda_entry *entry;
    memcpy(&entry, &symbol, sizeof entry);
    if (!entry) {
        ag__format(reason, sizeof reason, "%.200s is no CUDA plug-in of Argent", named ? named : FILE_NAME);
        return;
    }
    const ag_device_functions *all = entry(&ag__cuda_services, &abi, &why);
    if (abi != AG_CUDA_ABI)
        ag__format(reason, sizeof reason,
                   "the CUDA plug-in belongs to another build (version %d, this library's is %d)", abi, AG_CUDA_ABI);
    else if (!all)
        ag__format(reason, sizeof reason, "%.400s", why ? why : "the CUDA plug-in gives no reason");
    else
        functions = all;
}

const ag_device_functions *ag__cuda_functions(void)
{
    pthread_once(&once, load);
    return functions;
}

const char *ag__cuda_reason(void) { return ag__cuda_functions() ? NULL : reason; }

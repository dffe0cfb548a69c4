/* cublas.c - cuBLAS is opened, and its handles are kept: cublas_handle.h. */
#include "cuda/cublas_handle.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ag_cublas functions;
static bool is_there;
static pthread_once_t opened = PTHREAD_ONCE_INIT;

/* ---- the library ---- */

#ifdef CUDA_HOST_SHIM
static void *library;
static void *symbol_of(const char *name) { return hs_cublas_symbol(name); }
static bool open_library(const char *wanted) { return !wanted || strcmp(wanted, "host") == 0; }
#else
static void *library;
static void *symbol_of(const char *name) { return dlsym(library, name); }
static bool open_library(const char *wanted)
{
    /* by the names under which the linker finds it, then where a toolkit is usually installed */
    static const char *const folder[] = { "", "/usr/local/cuda/lib64/" };
    if (wanted) return (library = dlopen(wanted, RTLD_NOW | RTLD_LOCAL));
    for (int i = 0; i < 2; i++)
        for (int major = CUDART_VERSION / 1000; major >= 12; major--) {
            char file[64];
            snprintf(file, sizeof file, "%slibcublas.so.%d", folder[i], major);
            if ((library = dlopen(file, RTLD_NOW | RTLD_LOCAL))) return true;
        }
    return false;
}
#endif

/* A library that lacks one of the functions is not used at all. */
static void open_once(void)
{
    static const struct {
        const char *symbol;
        size_t at;
    } entry[] = {
#define ENTRY(name, symbol, arguments) { #symbol, offsetof(ag_cublas, name) },
        AG_CUBLAS_FUNCTIONS(ENTRY)
#undef ENTRY
    };
    const char *wanted = getenv("AG_CUBLAS");
    if (wanted && !*wanted) wanted = NULL;
    if ((wanted && strcmp(wanted, "0") == 0) || !open_library(wanted)) return;
    for (size_t i = 0; i < sizeof entry / sizeof *entry; i++) {
        void *at = symbol_of(entry[i].symbol);
        if (!at) {
            if (library) dlclose(library);
            return;
        }
        memcpy((char *)&functions + entry[i].at, &at, sizeof at);
    }
    is_there = true;
}

const ag_cublas *ag__cublas(void)
{
    pthread_once(&opened, open_once);
    return is_there ? &functions : NULL;
}

bool ag__cublas_ok(const char *op, int status)
{
    static const char *const name[] = {
        [0] = "SUCCESS",           [1] = "NOT_INITIALIZED", [3] = "ALLOC_FAILED",
        [7] = "INVALID_VALUE",     [8] = "ARCH_MISMATCH",   [11] = "MAPPING_ERROR",
        [13] = "EXECUTION_FAILED", [14] = "INTERNAL_ERROR", [15] = "NOT_SUPPORTED",
    };
    const int n = (int)(sizeof name / sizeof *name);
    if (status == CUBLAS_STATUS_SUCCESS) return true;
    return ag__cuda_host->fail(status == CUBLAS_STATUS_ALLOC_FAILED ? AG_ENOMEM : AG_EDEVICE,
                               "%s: cuBLAS error %d (CUBLAS_STATUS_%s)", op, status,
                               status > 0 && status < n && name[status] ? name[status] : "UNKNOWN");
}

/* ---- handles ---- */

static ag_cublas_handle *handles;
static pthread_mutex_t listing = PTHREAD_MUTEX_INITIALIZER;

/* As much as PyTorch gives it: 32 MB where there are Hopper's or newer devices, else 8 MB. */
static int64_t workspace_bytes(ag_device device)
{
    int major = 0;
    if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device.index) != cudaSuccess) major = 0;
    return (int64_t)(major >= 9 ? 32 : 8) << 20;
}

static void handle_free(ag_cublas_handle *h)
{
    if (h->handle) functions.destroy(h->handle);
    ag__cuda_free(h->device, h->workspace, h->workspace_bytes);
    pthread_mutex_destroy(&h->busy);
    free(h);
}

static ag_cublas_handle *handle_new(const char *op, ag_device device, cudaStream_t stream)
{
    ag_cublas_handle *h = calloc(1, sizeof *h);
    if (!h) return ag__cuda_host->fail_memory(op, sizeof *h);
    h->device = device;
    h->stream = stream;
    h->workspace_bytes = workspace_bytes(device);
    pthread_mutex_init(&h->busy, NULL);
    h->workspace = ag__cuda_alloc(device, h->workspace_bytes);
    /* the stream first: to set it takes the workspace away */
    if (h->workspace && ag__cublas_ok(op, functions.create(&h->handle)) &&
        ag__cublas_ok(op, functions.set_stream(h->handle, stream)) &&
        ag__cublas_ok(op, functions.set_workspace(h->handle, h->workspace, (size_t)h->workspace_bytes)))
        return h;
    handle_free(h);
    return NULL;
}

ag_cublas_handle *ag__cublas_take(const char *op, ag_device device, cudaStream_t stream)
{
    pthread_mutex_lock(&listing);
    ag_cublas_handle *h = handles;
    while (h && (h->stream != stream || h->device.index != device.index)) h = h->next;
    if (!h && (h = handle_new(op, device, stream))) {
        h->next = handles;
        handles = h;
    }
    pthread_mutex_unlock(&listing);
    if (h) pthread_mutex_lock(&h->busy);
    return h;
}

void ag__cublas_give(ag_cublas_handle *h) { pthread_mutex_unlock(&h->busy); }

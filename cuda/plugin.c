/* plugin.c - the plug-in's entry, its table, and what is said when CUDA refuses. */
#include "cuda/runtime.h"
#include "tensor/thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const ag_cuda_host *ag__cuda_host;

static int n_devices;
static bool launch_blocking;
static const char *last_op; /* whose kernel was launched last, for the sentence of a fault */

/* ---- errors ---- */

bool ag__cuda_ok(const char *op, cudaError_t e)
{
    if (e == cudaSuccess) return true;
    cudaGetLastError(); /* it has been heard of */
    return ag__cuda_host->fail(AG_EDEVICE, "%s: CUDA error: %s (%s)", op, cudaGetErrorString(e), cudaGetErrorName(e));
}

/* The outcome of a call that waited for the device in use: what it says may be a kernel's doing. */
bool ag__cuda_waited(const char *op, cudaError_t e)
{
    int device = 0;
    if (e == cudaSuccess) return cudaGetDevice(&device) != cudaSuccess || ag__cuda_no_fault(device);
    cudaGetLastError();
    const char *last = __atomic_load_n(&last_op, __ATOMIC_RELAXED);
    return ag__cuda_host->fail(
        AG_EDEVICE,
        "%s: CUDA error: %s (%s), found when waiting for the device; the last kernel launched was "
        "%s's. Kernels run later than they are launched: AG_CUDA_LAUNCH_BLOCKING=1 in the "
        "environment shows which one it is",
        op, cudaGetErrorString(e), cudaGetErrorName(e), last ? last : "nobody");
}

bool ag__cuda_wait(const char *op, cudaStream_t stream)
{
    return ag__cuda_may_wait(op) && ag__cuda_waited(op, cudaStreamSynchronize(stream));
}

bool ag__cuda_launched(const char *op, cudaError_t e, cudaStream_t stream)
{
    __atomic_store_n(&last_op, op, __ATOMIC_RELAXED);
    if (!ag__cuda_ok(op, e)) return false;
    if (!launch_blocking || ag__cuda_is_captured()) return true; /* a captured launch runs when it is replayed */
    int device = 0;
    return ag__cuda_ok(op, cudaStreamSynchronize(stream)) && ag__cuda_ok(op, cudaGetDevice(&device)) &&
           ag__cuda_no_fault(device);
}

/* ---- the table ---- */

static int count(void) { return n_devices; }

/* ---- the entry ---- */

#define KERNEL(op) { #op, ag__cuda_##op },
static const ag_device_kernel kernels[] = {
#include "cuda/kernels.def"
};

static const ag_device_functions functions = {
    .name = "cuda",
    .count = count,
    .alloc = ag__cuda_alloc,
    .free = ag__cuda_free,
    .copy = ag__cuda_copy,
    .synchronize = ag__cuda_synchronize,
    .copy_elements = ag__cuda_copy_elements,
    .fill_elements = ag__cuda_fill_elements,
    .evaluate = ag__cuda_evaluate,
    .combine = ag__cuda_combine,
    .ramp = ag__cuda_ramp,
    .index = ag__cuda_index,
    .fold_elements = ag__cuda_fold_elements,
    .gemm = ag__cuda_gemm,
    .gather_pixels = ag__cuda_gather_pixels,
    .step = ag__cuda_step,
    .random = ag__cuda_random,
    .dropout = ag__cuda_dropout_place,
    .memory = ag__cuda_memory,
    .reset_peak = ag__cuda_reset_peak,
    .empty_cache = ag__cuda_empty_cache,
    .cuda = &ag__cuda_more,
    .kernel = kernels,
    .n_kernels = sizeof kernels / sizeof *kernels,
};

/* Any error of the first question means that there is no device; which one says why. */
static const char *why_not(cudaError_t e)
{
    static char text[160];
    int driver = 0;
    if (e == cudaErrorNoDevice) return "there is a driver, but no CUDA device that the process may use";
    if (e == cudaErrorInsufficientDriver && cudaDriverGetVersion(&driver) == cudaSuccess && driver > 0) {
        snprintf(text, sizeof text, "the NVIDIA driver is too old: it is for CUDA %d.%d, this plug-in for %d.%d",
                 driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
        return text;
    }
    if (e == cudaErrorInsufficientDriver) return "there is no NVIDIA driver that works";
    snprintf(text, sizeof text, "CUDA cannot be started: %s", cudaGetErrorString(e));
    return text;
}

ag_cuda_entry ag_cuda_plugin;
__attribute__((visibility("default"))) const ag_device_functions *ag_cuda_plugin(const ag_cuda_host *host, int *abi,
                                                                                 const char **reason)
{
    *abi = AG_CUDA_ABI;
    if (host->abi != AG_CUDA_ABI) return NULL;
    ag__cuda_host = host;
    cudaError_t e = cudaGetDeviceCount(&n_devices); /* what it leaves alone where it fails */
    if (e != cudaSuccess || n_devices < 1) {
        cudaGetLastError();
        n_devices = 0;
        *reason = why_not(e == cudaSuccess ? cudaErrorNoDevice : e);
        return NULL;
    }
    if (n_devices > AG_CUDA_DEVICES) n_devices = AG_CUDA_DEVICES;
    const char *blocking = getenv("AG_CUDA_LAUNCH_BLOCKING");
    launch_blocking = blocking && *blocking && strcmp(blocking, "0") != 0;
    return &functions;
}

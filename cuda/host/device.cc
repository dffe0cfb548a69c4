// device.cc - the pretended devices, and errors.
#include "cuda/host/internal.h"

namespace hs
{
pthread_mutex_t big = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
thread_local int current_device;
static thread_local cudaError_t last_err;
static cudaError_t fault; // of a kernel: reported by whatever waits next
static uint64_t waits;

cudaError_t err(cudaError_t e)
{
    if (e) last_err = e;
    return e;
}
cudaError_t waited()
{
    cudaError_t e = fault;
    fault = cudaSuccess;
    waits++;
    return err(e);
}
} // namespace hs

using namespace hs;
extern "C" {
void cuda_host_fault(cudaError_t e) { fault = e; }
uint64_t cuda_host_waits(void)
{
    lock g;
    return waits;
}

cudaError_t cudaGetDeviceCount(int *n)
{
    lock g;
    *n = opt.devices;
    return *n ? cudaSuccess : err(cudaErrorNoDevice);
}
cudaError_t cudaSetDevice(int d)
{
    lock g;
    if (d < 0 || d >= opt.devices) return err(cudaErrorInvalidDevice);
    current_device = d;
    return cudaSuccess;
}
cudaError_t cudaGetDevice(int *d)
{
    *d = current_device;
    return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int *v)
{
    *v = CUDART_VERSION;
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int *v)
{
    *v = CUDART_VERSION;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *p, int)
{
    lock g;
    memset(p, 0, sizeof *p);
    strcpy(p->name, "host emulation");
    p->totalGlobalMem = opt.memory;
    p->sharedMemPerBlock = 48 << 10;
    p->sharedMemPerBlockOptin = 227 << 10;
    p->major = 9;
    p->minor = 0;
    p->multiProcessorCount = 4;
    p->warpSize = 32;
    p->maxThreadsPerBlock = 1024;
    return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int *v, enum cudaDeviceAttr a, int)
{
    *v = a == cudaDevAttrMaxThreadsPerBlock            ? 1024
         : a == cudaDevAttrWarpSize                    ? 32
         : a == cudaDevAttrMultiProcessorCount         ? 4
         : a == cudaDevAttrMaxThreadsPerMultiProcessor ? 2048
         : a == cudaDevAttrComputeCapabilityMajor      ? 8
                                                       : 227 << 10;
    return cudaSuccess;
}
cudaError_t cudaGetLastError(void)
{
    cudaError_t e = last_err;
    last_err = cudaSuccess;
    return e;
}
cudaError_t cudaPeekAtLastError(void) { return last_err; }
const char *cudaGetErrorName(cudaError_t e)
{
    switch (e) {
    case cudaSuccess:
        return "cudaSuccess";
    case cudaErrorInvalidValue:
        return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
        return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
        return "cudaErrorInvalidConfiguration";
    case cudaErrorNoDevice:
        return "cudaErrorNoDevice";
    case cudaErrorInsufficientDriver:
        return "cudaErrorInsufficientDriver";
    case cudaErrorInvalidDevice:
        return "cudaErrorInvalidDevice";
    case cudaErrorNotReady:
        return "cudaErrorNotReady";
    case cudaErrorStreamCaptureUnsupported:
        return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
        return "cudaErrorStreamCaptureInvalidated";
    case cudaErrorStreamCaptureMerge:
        return "cudaErrorStreamCaptureMerge";
    case cudaErrorStreamCaptureUnjoined:
        return "cudaErrorStreamCaptureUnjoined";
    case cudaErrorStreamCaptureIsolation:
        return "cudaErrorStreamCaptureIsolation";
    case cudaErrorCapturedEvent:
        return "cudaErrorCapturedEvent";
    case cudaErrorLaunchFailure:
        return "cudaErrorLaunchFailure";
    default:
        return "cudaErrorUnknown";
    }
}
const char *cudaGetErrorString(cudaError_t e) { return cudaGetErrorName(e); }
}

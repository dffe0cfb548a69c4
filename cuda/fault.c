/* fault.c - see fault.h. */
#include "cuda/fault.h"
#include "cuda/runtime.h"

#include <inttypes.h>
#include <pthread.h>
#include <string.h>

enum { MOST_DEVICES = 64 };
static ag_cuda_fault *faults[MOST_DEVICES]; /* made when a kernel first may need it */
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

static bool make_fault(const char *op, int device)
{
    void *made = NULL;
    pthread_mutex_lock(&making);
    cudaError_t e = faults[device] ? cudaSuccess : cudaHostAlloc(&made, sizeof **faults, cudaHostAllocDefault);
    if (e == cudaSuccess && made) {
        memset(made, 0, sizeof **faults);
        __atomic_store_n(&faults[device], (ag_cuda_fault *)made, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&making);
    return ag__cuda_ok(op, e);
}

bool ag__cuda_may_fail(const ag_run *r, int kind, int dim, int64_t size, ag_cuda_report *report)
{
    const char *op = r->op->of ? r->op->of : r->op->name;
    return ag__cuda_may_fail_in(op, r->device, kind, dim, size, report);
}
bool ag__cuda_may_fail_in(const char *op, ag_device device, int kind, int dim, int64_t size, ag_cuda_report *report)
{
    cudaStream_t stream; /* memory is made on the device that is in use */
    if (!ag__cuda_use(op, device, &stream)) return false;
    if (!__atomic_load_n(&faults[device.index], __ATOMIC_ACQUIRE) && !make_fault(op, device.index)) return false;
    *report =
        (ag_cuda_report){ .fault = faults[device.index], .op = (uintptr_t)op, .kind = kind, .dim = dim, .size = size };
    return true;
}

static const char late[] = ", found when waiting for the device";

bool ag__cuda_no_fault(int device)
{
    ag_cuda_fault *fault = __atomic_load_n(&faults[device], __ATOMIC_ACQUIRE);
    if (!fault || __atomic_load_n(&fault->raised, __ATOMIC_ACQUIRE) != AG_CUDA_NOTED) return true;
    const ag_cuda_fault f = *fault;
    const char *op = (const char *)f.op;
    __atomic_store_n(&fault->raised, 0, __ATOMIC_RELEASE);
    switch (f.kind) {
    case AG_CUDA_BAD_INDEX:
        return ag__cuda_host->fail(AG_EINVAL,
                                   "%s: index %" PRId64 " is out of bounds for dimension %d with size %" PRId64 "%s",
                                   op, f.index, (int)f.dim, f.size, late);
    case AG_CUDA_BAD_TAKE:
        return ag__cuda_host->fail(
            AG_EINVAL, "%s: out of range: tried to access index %" PRId64 " on a tensor of %" PRId64 " elements%s", op,
            f.index, f.size, late);
    case AG_CUDA_BAD_TARGET:
        return ag__cuda_host->fail(AG_EINVAL, "%s: Target %" PRId64 " is out of bounds%s", op, f.index, late);
    case AG_CUDA_BAD_PREDICTION:
        return ag__cuda_host->fail(AG_EINVAL, "%s: all elements of input should be between 0 and 1%s", op, late);
    case AG_CUDA_ZERO_DIVISION:
        return ag__cuda_host->fail(AG_EINVAL, "%s: ZeroDivisionError%s", op, late);
    default:
        return ag__cuda_host->fail(
            AG_EINVAL,
            "%s: Expected p_in >= 0 && p_in <= 1 to be true, but got false: bernoulli was given a number "
            "that is no probability%s",
            op, late);
    }
}

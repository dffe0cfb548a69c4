/* transfer.c - copying and filling tensors wherever they are: on the CPU, on a device, or from one to the other.
 *
 * Bytes go between host and device as they lie where both tensors lie alike; otherwise through a row-major copy on the
 * side that has to be rearranged. Types are converted on the host. From one device to another they go straight,
 * converted where they were.
 */
#include "tensor/cuda_table.h"
#include "tensor/device_table.h"
#include "tensor/pinned.h"
#include "tensor/tensor.h"

#include <string.h>

static bool is_host(const ag_tensor *x) { return ag__tensor_device(x).type == AG_DEVICE_CPU; }

/* A tensor without a Variable: x's sizes, row-major, of a type of its own, in memory that is let go by drop(). */
static bool make(ag_tensor *x, const ag_tensor *like, ag_dtype dtype, ag_device device)
{
    *x = *like;
    x->dtype = (uint8_t)dtype;
    x->contiguous = true;
    ag__contiguous_strides(x->ndim, x->size, x->stride);
    x->storage = ag__storage_new(ag__thread(), x->numel * (int64_t)ag__itemsize(x), device);
    if (!x->storage) return false;
    x->data = x->storage->data;
    return true;
}
static void drop(const ag_tensor *x) { ag__storage_drop(ag__thread(), x->storage); }

/* The same bytes in the same order are the same elements. */
static bool lie_alike(const ag_tensor *a, const ag_tensor *b)
{
    if (a->dtype != b->dtype || !ag__same_sizes(a, b)) return false;
    if (a->contiguous && b->contiguous) return true;
    for (int d = 0; d < a->ndim; d++)
        if (a->size[d] > 1 && a->stride[d] != b->stride[d]) return false;
    return ag__is_dense(a->ndim, a->size, a->stride);
}
/* non_blocking: pinned memory is not waited for. */
static bool copy_bytes(const ag_tensor *to, const ag_tensor *from, bool non_blocking)
{
    const bool home = is_host(to);
    const ag_device device = ag__tensor_device(home ? from : to);
    const ag_device_functions *functions = ag__device_functions(device);
    void *pinned = non_blocking ? ag__pinned_block((home ? to : from)->storage) : NULL;
    return functions && functions->copy(device, to->data, from->data, to->numel * (int64_t)ag__itemsize(to),
                                        home ? AG_COPY_TO_HOST : AG_COPY_TO_DEVICE, pinned);
}

/* From the host: row-major and of to's type first, then, where `to` lies otherwise, rearranged there. */
static bool to_device(const ag_tensor *to, const ag_tensor *from, bool non_blocking)
{
    ag_tensor here, there;
    if (lie_alike(to, from)) return copy_bytes(to, from, non_blocking);
    if (!make(&here, to, (ag_dtype)to->dtype, AG_CPU)) return false;
    ag__copy_elements(&here, from);
    bool ok;
    if (to->contiguous) {
        ok = copy_bytes(to, &here, false);
    } else {
        ok = make(&there, to, (ag_dtype)to->dtype, ag__tensor_device(to));
        if (ok) {
            ok = copy_bytes(&there, &here, false) && ag__copy_tensor(to, &there);
            drop(&there);
        }
    }
    drop(&here);
    return ok;
}

/* From a device: row-major there, its bytes here, then in to's type and order. */
static bool to_host(const ag_tensor *to, const ag_tensor *from, bool non_blocking)
{
    ag_tensor here, there = *from;
    if (lie_alike(to, from)) return copy_bytes(to, from, non_blocking);
    if (!from->contiguous) {
        if (!make(&there, from, (ag_dtype)from->dtype, ag__tensor_device(from))) return false;
        if (!ag__copy_tensor(&there, from)) {
            drop(&there);
            return false;
        }
    }
    bool ok = make(&here, from, (ag_dtype)from->dtype, AG_CPU);
    if (ok) {
        ok = copy_bytes(&here, &there, false);
        if (ok) ag__copy_elements(to, &here);
        drop(&here);
    }
    if (!from->contiguous) drop(&there);
    return ok;
}

/* Straight where they lie alike; else row-major and of to's type first, and spread out there. */
static bool between_devices(const ag_tensor *to, const ag_tensor *from)
{
    const ag_device there = ag__tensor_device(to), here = ag__tensor_device(from);
    const ag_device_functions *functions = ag__device_functions(there);
    ag_tensor sent = *from, come = *to;
    const bool as_it_is = lie_alike(to, from), packed = as_it_is || (from->contiguous && from->dtype == to->dtype);
    const bool placed = as_it_is || (to->contiguous && ag__same_sizes(to, from));
    bool ok = packed || make(&sent, from, (ag_dtype)to->dtype, here);
    if (!functions || !ok) return false;
    ok = (packed || ag__copy_tensor(&sent, from)) && (placed || make(&come, from, (ag_dtype)to->dtype, there));
    if (ok) {
        const int64_t bytes = from->numel * (int64_t)ag__itemsize(to);
        ok = functions->cuda->copy_peer(there, come.data, here, sent.data, bytes);
        if (!placed) {
            ok = ok && ag__copy_tensor(to, &come);
            drop(&come);
        }
    }
    if (!packed) drop(&sent);
    return ok;
}

bool ag__copy_tensor(const ag_tensor *to, const ag_tensor *from) { return ag__transfer(to, from, false); }

bool ag__transfer(const ag_tensor *to, const ag_tensor *from, bool non_blocking)
{
    ag_device a = ag__tensor_device(to), b = ag__tensor_device(from);
    if (a.type == AG_DEVICE_CPU && b.type == AG_DEVICE_CPU) {
        ag__copy_elements(to, from);
        return true;
    }
    if (to->numel == 0) return true;
    if (a.type == AG_DEVICE_CPU) return to_host(to, from, non_blocking);
    if (b.type == AG_DEVICE_CPU) return to_device(to, from, non_blocking);
    if (a.index != b.index) return between_devices(to, from);
    const ag_device_functions *functions = ag__device_functions(a);
    return functions && functions->copy_elements(to, from);
}

bool ag__fill_tensor(const ag_tensor *to, ag_number value)
{
    if (is_host(to)) {
        ag__fill_elements(to, value);
        return true;
    }
    char element[8] = { 0 };
    const ag_device_functions *functions = ag__device_functions(ag__tensor_device(to));
    if (!functions) return false;
    ag__store_number(element, (ag_dtype)to->dtype, value);
    return to->numel == 0 || functions->fill_elements(to, element);
}

bool ag__read_element(const ag_tensor *x, char element[8])
{
    size_t item = ag__itemsize(x);
    if (is_host(x)) {
        memcpy(element, x->data, item);
        return true;
    }
    ag_device device = ag__tensor_device(x);
    const ag_device_functions *functions = ag__device_functions(device);
    return functions && functions->copy(device, element, x->data, (int64_t)item, AG_COPY_TO_HOST, NULL);
}

const ag_tensor *ag__on_host(const ag_tensor *x, ag_tensor *copy)
{
    if (is_host(x)) return x;
    if (!make(copy, x, (ag_dtype)x->dtype, AG_CPU)) return NULL;
    if (ag__copy_tensor(copy, x)) return copy;
    drop(copy);
    return NULL;
}
void ag__off_host(const ag_tensor *x, const ag_tensor *here)
{
    if (here != x) drop(here);
}

/* device_kernel.c - an op's kernel on a device whose kernels come with a plug-in: looked up by name once, afterwards by
 * the address of its record, without a lock. */
#include "autograd/op.h"
#include "tensor/device_table.h"

#include <pthread.h>
#include <string.h>

typedef bool kernel(ag_run *r);

enum { N_SLOTS = 1024 }; /* well over the number of ops; a full table would only be slow */
static struct {
    const ag_op *op; /* set last, never changed */
    kernel *run;
} slots[N_SLOTS];
static pthread_mutex_t filling = PTHREAD_MUTEX_INITIALIZER;

static kernel *by_name(const ag_device_functions *functions, const char *op)
{
    for (int i = 0; i < functions->n_kernels; i++)
        if (strcmp(functions->kernel[i].op, op) == 0) return functions->kernel[i].run;
    return NULL;
}

static kernel *remember(const ag_op *op, kernel *run, size_t slot)
{
    pthread_mutex_lock(&filling);
    int tries = 0;
    while (slots[slot].op && slots[slot].op != op && tries++ < N_SLOTS) slot = (slot + 1) % N_SLOTS;
    if (!slots[slot].op) {
        slots[slot].run = run;
        __atomic_store_n(&slots[slot].op, op, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&filling);
    return run;
}

kernel *ag__device_kernel(const ag_op *op, ag_device device)
{
    if (device.type == AG_DEVICE_CPU) return NULL; /* its kernels are in the records; what is kept is of others */
    const size_t first = ((uintptr_t)op >> 5) % N_SLOTS;
    const ag_op *here;
    for (size_t slot = first; (here = __atomic_load_n(&slots[slot].op, __ATOMIC_ACQUIRE));
         slot = (slot + 1) % N_SLOTS) {
        if (here == op) return slots[slot].run;
        if ((slot + 1) % N_SLOTS == first) break;
    }
    const ag_device_functions *functions = ag__device_functions(device);
    return functions ? remember(op, by_name(functions, op->name), first) : NULL;
}

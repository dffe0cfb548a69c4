/* pinned.c - storages in host memory that devices read and write themselves; see pinned.h. */
#include "tensor/pinned.h"

#include "tensor/cuda_plugin.h"
#include "tensor/cuda_table.h"

static void pinned_free(void *data, void *user)
{
    (void)data;
    ag__cuda_functions()->cuda->pinned_free(user);
}

ag_storage *ag__storage_new_pinned(ag_thread *t, int64_t bytes)
{
    const ag_device_functions *functions = ag__cuda_functions();
    if (!functions)
        return ag__fail(AG_EDEVICE, "pin_memory: there is no device to pin memory for: %s", ag__cuda_reason());
    void *data, *block = functions->cuda->pinned_new(bytes ? bytes : 1, &data);
    return block ? ag__storage_external(t, data, bytes, AG_CPU, pinned_free, block) : NULL;
}

void *ag__pinned_block(const ag_storage *s) { return s->external && s->deleter == pinned_free ? s->user : NULL; }

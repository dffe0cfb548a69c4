/* storage.c - making and freeing storages; see storage.h. */
#include "tensor/storage.h"

#include "tensor/device_table.h"

ag_storage *ag__storage_new(ag_thread *t, int64_t bytes, ag_device device)
{
    if (device.type == AG_DEVICE_CPU) return ag__storage_new_host(t, bytes);
    ag_storage *s = ag__storage_new_host(t, 0);
    if (!s) return NULL;
    const ag_device_functions *functions = ag__device_functions(device);
    s->bytes = bytes;
    s->device = device;
    s->data = functions ? functions->alloc(device, bytes) : NULL;
    if (s->data || (functions && !bytes)) return s;
    ag__block_put(t, s, s->size_class);
    return NULL;
}

ag_storage *ag__storage_external(ag_thread *t, void *data, int64_t bytes, ag_device device, ag_deleter *deleter,
                                 void *user)
{
    ag_storage *s = ag__block_get(t, 0);
    if (!s) {
        if (deleter) deleter(data, user);
        return NULL;
    }
    s->refs = 1;
    s->version = 0;
    s->bytes = bytes;
    s->size_class = 0;
    s->device = device;
    s->external = true;
    s->data = data;
    s->deleter = deleter;
    s->user = user;
    return s;
}

void ag__storage_free_elements(ag_storage *s)
{
    if (s->external) {
        if (s->deleter) s->deleter(s->data, s->user);
    } else {
        ag__device_functions(s->device)->free(s->device, s->data, s->bytes);
    }
}

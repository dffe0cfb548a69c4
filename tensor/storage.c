/* storage.c - making and freeing storages; see storage.h. */
#include "tensor/storage.h"

#include "tensor/device_table.h"

enum { HEADER_BYTES = 64 }; /* so that elements begin on a cache line */
_Static_assert(sizeof(ag_storage) <= HEADER_BYTES, "the header fits before the elements");

ag_storage *ag__storage_new(ag_thread *t, int64_t bytes, ag_device device)
{
    bool host = device.type == AG_DEVICE_CPU;
    int size_class = host ? ag__size_class(HEADER_BYTES + (size_t)bytes) : 0;
    ag_storage *s = ag__block_get(t, size_class);
    if (!s) return NULL;
    s->refs = 1;
    s->version = 0;
    s->bytes = bytes;
    s->size_class = (uint16_t)size_class;
    s->device = device;
    s->external = false;
    s->data = (char *)s + HEADER_BYTES;
    if (!host) {
        const ag_device_functions *functions = ag__device_functions(device);
        s->data = functions ? functions->alloc(device, bytes) : NULL;
        if (!functions || (!s->data && bytes)) {
            ag__block_put(t, s, size_class);
            return NULL;
        }
    }
    return s;
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

void ag__storage_free(ag_thread *t, ag_storage *s)
{
    if (s->external) {
        if (s->deleter) s->deleter(s->data, s->user);
    } else if (s->device.type != AG_DEVICE_CPU) {
        ag__device_functions(s->device)->free(s->device, s->data, s->bytes);
    }
    ag__block_put(t, s, s->size_class);
}

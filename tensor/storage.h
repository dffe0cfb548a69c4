/* storage.h - a piece of memory that Variables share: counted, on one device, with the version that in-place changes
 * raise. */
#ifndef AG_STORAGE_H
#define AG_STORAGE_H
#include "tensor/allocator.h"

#include <argent/device.h>

typedef void ag_deleter(void *data, void *user);

typedef struct ag_storage {
    int32_t refs;
    uint32_t version; /* raised by every in-place change; views share it */
    char *data;
    int64_t bytes;
    uint16_t size_class; /* of the block that this header begins; on the host the elements follow, 64 bytes on */
    ag_device device;
    bool external; /* the memory is the user's: deleter(data, user) when the last view goes */
    ag_deleter *deleter;
    void *user;
} ag_storage;

enum { AG_STORAGE_HEADER = 64 }; /* so that elements begin on a cache line */
_Static_assert(sizeof(ag_storage) <= AG_STORAGE_HEADER, "the header fits before the elements");

/* In host memory. Elements are not initialised. NULL with AG_ENOMEM standing. */
static inline ag_storage *ag__storage_new_host(ag_thread *t, int64_t bytes)
{
    int size_class = ag__size_class(AG_STORAGE_HEADER + (size_t)bytes);
    ag_storage *s = ag__block_get(t, size_class);
    if (!s) return NULL;
    s->refs = 1;
    s->version = 0;
    s->bytes = bytes;
    s->size_class = (uint16_t)size_class;
    s->device = AG_CPU;
    s->external = false;
    s->data = (char *)s + AG_STORAGE_HEADER;
    return s;
}
/* The same on any device; AG_EDEVICE for one that is not there. */
ag_storage *ag__storage_new(ag_thread *t, int64_t bytes, ag_device device);
/* Takes over `data`; deleter may be NULL: the memory is then borrowed. */
ag_storage *ag__storage_external(ag_thread *t, void *data, int64_t bytes, ag_device device, ag_deleter *deleter,
                                 void *user);
/* Lets go of the elements, where they are not in the block itself. */
void ag__storage_free_elements(ag_storage *s);

static inline void ag__storage_drop(ag_thread *t, ag_storage *s)
{
    if (!ag__count_down(&s->refs)) return;
    if (s->external || s->device.type != AG_DEVICE_CPU) ag__storage_free_elements(s);
    ag__block_put(t, s, s->size_class);
}

#endif

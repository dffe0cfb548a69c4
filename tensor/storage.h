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

/* Elements are not initialised. NULL with an error standing: AG_ENOMEM, or AG_EDEVICE for a device that is not
 * there. */
ag_storage *ag__storage_new(ag_thread *t, int64_t bytes, ag_device device);
/* Takes over `data`; deleter may be NULL: the memory is then borrowed. */
ag_storage *ag__storage_external(ag_thread *t, void *data, int64_t bytes, ag_device device, ag_deleter *deleter,
                                 void *user);
void ag__storage_free(ag_thread *t, ag_storage *s); /* the last reference is gone */

static inline void ag__storage_drop(ag_thread *t, ag_storage *s)
{
    if (ag__count_down(&s->refs)) ag__storage_free(t, s);
}

#endif

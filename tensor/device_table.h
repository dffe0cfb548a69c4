/* device_table.h - what the tensor floor asks of a device: one table of functions each. The CPU's is built in; CUDA's
 * comes with its plug-in when that has been loaded. */
#ifndef AG_DEVICE_TABLE_H
#define AG_DEVICE_TABLE_H
#include <argent/device.h>

typedef enum { AG_COPY_TO_DEVICE, AG_COPY_TO_HOST, AG_COPY_ON_DEVICE } ag_copy_direction;

typedef struct ag_device_functions {
    const char *name;
    int (*count)(void);                              /* how many devices there are */
    void *(*alloc)(ag_device device, int64_t bytes); /* NULL with AG_ENOMEM or AG_EDEVICE standing */
    void (*free)(ag_device device, void *data, int64_t bytes);
    /* Bytes between host and device, or on the device, in the order of its stream. */
    bool (*copy)(ag_device device, void *to, const void *from, int64_t bytes, ag_copy_direction direction);
    bool (*synchronize)(ag_device device);
} ag_device_functions;

/* NULL with AG_EDEVICE and the reason where the device is not there. */
const ag_device_functions *ag__device_functions(ag_device device);

#endif

/* device.h - where numbers live: the CPU, or a CUDA device by its index. */
#ifndef ARGENT_DEVICE_H
#define ARGENT_DEVICE_H
#include <argent/export.h>

AG_BEGIN_DECLS

typedef enum { AG_DEVICE_DEFAULT = -1, AG_DEVICE_CPU = 0, AG_DEVICE_CUDA = 1 } ag_device_type;
#define AG_N_DEVICES 2

typedef struct ag_device {
    int16_t type; /* ag_device_type */
    int16_t index;
} ag_device;

#ifdef __cplusplus
#define AG_DEVICE(type, index) (ag_device{ (int16_t)(type), (int16_t)(index) })
#else
#define AG_DEVICE(type, index) ((ag_device){ (type), (index) })
#endif
#define AG_CPU        AG_DEVICE(AG_DEVICE_CPU, 0)
#define AG_CUDA       AG_DEVICE(AG_DEVICE_CUDA, 0)
#define AG_ANY_DEVICE AG_DEVICE(AG_DEVICE_DEFAULT, 0) /* as an option: the usual one for the call at hand */

/* "cpu", "cuda", "cuda:1" to a device; false with an error for anything else. */
AG_API bool ag_device_parse(const char *text, ag_device *device);
/* "cpu" or "cuda:0", as PyTorch prints it; the text is static. */
AG_API const char *ag_device_name(ag_device device);
/* Whether a CUDA device can be used: the plug-in, a driver and a device are there. Never an error. */
AG_API bool ag_cuda_is_available(void);

AG_END_DECLS
#endif

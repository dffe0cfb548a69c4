/* device.h - where numbers live: the CPU, or a CUDA device by its index. */
#ifndef ARGENT_DEVICE_H
#define ARGENT_DEVICE_H
#include <argent/export.h>

#include <stdint.h>

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

/* ---- CUDA ---- */

/* Whether a CUDA device can be used: the plug-in, a driver and a device are there. Never an error. */
AG_API bool ag_cuda_is_available(void);
/* How many there are; 0 without CUDA. */
AG_API int ag_cuda_device_count(void);
/* Waits until all that was asked of the device has been done. Nothing else waits, but reading a number. What a kernel
 * did wrong since the last time is reported here: false, AG_EDEVICE. */
AG_API bool ag_cuda_synchronize(ag_device device);
/* Bytes of the device's memory: those of living Variables; those that the library holds, spare ones included; and the
 * most of each so far. 0 without CUDA. */
AG_API int64_t ag_cuda_memory_allocated(ag_device device);
AG_API int64_t ag_cuda_memory_reserved(ag_device device);
AG_API int64_t ag_cuda_max_memory_allocated(ag_device device);
AG_API int64_t ag_cuda_max_memory_reserved(ag_device device);
/* "The most so far" begins anew. */
AG_API void ag_cuda_reset_peak_memory_stats(ag_device device);
/* Gives spare memory of all devices back to the driver. */
AG_API void ag_cuda_empty_cache(void);

AG_END_DECLS
#endif

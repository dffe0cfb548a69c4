/* device.c - the names of devices, what each can do, and the CPU's own functions. */
#include "tensor/cuda_plugin.h"

#include <string.h>

/* ---- names ---- */

enum { N_INDICES = 100 }; /* cuda:0 to cuda:99, so that a name is a literal */
// clang-format off
#define TEN(tens) "cuda:" tens "0", "cuda:" tens "1", "cuda:" tens "2", "cuda:" tens "3", "cuda:" tens "4", \
                  "cuda:" tens "5", "cuda:" tens "6", "cuda:" tens "7", "cuda:" tens "8", "cuda:" tens "9"
static const char *const cuda_names[N_INDICES] = {
    TEN(""), TEN("1"), TEN("2"), TEN("3"), TEN("4"), TEN("5"), TEN("6"), TEN("7"), TEN("8"), TEN("9")
};
// clang-format on

const char *ag_device_name(ag_device device)
{
    if (device.type == AG_DEVICE_CPU) return "cpu";
    if (device.type == AG_DEVICE_CUDA && device.index >= 0 && device.index < N_INDICES) return cuda_names[device.index];
    return device.type == AG_DEVICE_DEFAULT ? "default" : "unknown device";
}

bool ag_device_parse(const char *text, ag_device *device)
{
    if (!text || !device) return ag__fail(AG_EINVAL, "device_parse: %s is NULL", text ? "device" : "text");
    if (strcmp(text, "cpu") == 0) {
        *device = AG_CPU;
        return true;
    }
    if (strcmp(text, "cuda") == 0) {
        *device = AG_CUDA;
        return true;
    }
    for (int index = 0; index < N_INDICES; index++)
        if (strcmp(text, cuda_names[index]) == 0) {
            *device = AG_DEVICE(AG_DEVICE_CUDA, (int16_t)index);
            return true;
        }
    return ag__fail(AG_EINVAL,
                    "device_parse: '%.64s' is not a device; expected 'cpu', 'cuda' or 'cuda:N' with N from 0 to %d",
                    text, N_INDICES - 1);
}

/* ---- the CPU ---- */

static int cpu_count(void) { return 1; }

static void *cpu_alloc(ag_device device, int64_t bytes)
{
    (void)device;
    return ag__scratch((size_t)bytes);
}

static void cpu_free(ag_device device, void *data, int64_t bytes)
{
    (void)device, (void)bytes;
    ag__scratch_free(data);
}

static bool cpu_copy(ag_device device, void *to, const void *from, int64_t bytes, ag_copy_direction direction,
                     void *pinned)
{
    (void)device, (void)direction, (void)pinned; /* all of it is host memory */
    if (bytes > 0) memcpy(to, from, (size_t)bytes);
    return true;
}

static bool cpu_synchronize(ag_device device)
{
    (void)device;
    return true;
}

static const ag_device_functions cpu = {
    .name = "cpu",
    .count = cpu_count,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .copy = cpu_copy,
    .synchronize = cpu_synchronize,
};

/* ---- the table ---- */

const ag_device_functions *ag__device_functions(ag_device device)
{
    if (device.type < 0 || device.type >= AG_N_DEVICES)
        return ag__fail(AG_EINVAL, "device: there is no device type %d", device.type);
    const ag_device_functions *functions = device.type == AG_DEVICE_CPU ? &cpu : ag__cuda_functions();
    if (!functions)
        return ag__fail(AG_EDEVICE, "device: %s is not available: %s; use the CPU, or ask ag_cuda_is_available() first",
                        ag_device_name(device), ag__cuda_reason());
    int count = functions->count();
    if (device.index < 0 || device.index >= count)
        return ag__fail(AG_EDEVICE, "device: %s has no device %d: there are %d", functions->name, device.index, count);
    return functions;
}

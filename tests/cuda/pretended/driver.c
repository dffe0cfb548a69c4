/* driver.c - a libcuda.so.1 that drives nothing, for the CUDA run time in the plug-in to meet. PRETENDED_DRIVER in the
 * environment says what is wrong with it:
 *
 *     old        it is for CUDA 11.4
 *     none       it finds no device
 *     broken     it cannot be started
 */
#include <stdlib.h>
#include <string.h>

enum { NOT_INITIALIZED = 3, NO_DEVICE = 100, NOT_FOUND = 500, UNKNOWN = 999 };

/* Those of cuda.h that are asked for by name. */
typedef void entry(void);
int cuDriverGetVersion(int *version);
int cuInit(unsigned flags);
int cuDeviceGetCount(int *count);
int cuGetExportTable(const void **table, const void *id);
int cuGetProcAddress(const char *name, entry **function, int version, unsigned long long flags);
int cuGetProcAddress_v2(const char *name, entry **function, int version, unsigned long long flags, int *status);

static int is(const char *what)
{
    const char *wrong = getenv("PRETENDED_DRIVER");
    return wrong && strcmp(wrong, what) == 0;
}

int cuDriverGetVersion(int *version)
{
    *version = is("old") ? 11040 : 99000;
    return 0;
}
int cuInit(unsigned flags) { return flags || is("none") ? NO_DEVICE : is("broken") ? UNKNOWN : 0; }
int cuDeviceGetCount(int *count)
{
    *count = 0;
    return 0;
}

/* Whatever else it has, nobody should get there. */
static int any_other(void) { return NOT_INITIALIZED; }

int cuGetExportTable(const void **table, const void *id)
{
    (void)id;
    *table = NULL;
    return NOT_FOUND;
}

static entry *entry_of(const char *name, int version);

int cuGetProcAddress(const char *name, entry **function, int version, unsigned long long flags)
{
    (void)flags;
    *function = entry_of(name, version);
    return 0;
}
int cuGetProcAddress_v2(const char *name, entry **function, int version, unsigned long long flags, int *status)
{
    if (status) *status = 0;
    return cuGetProcAddress(name, function, version, flags);
}

static entry *entry_of(const char *name, int version)
{
    if (strcmp(name, "cuGetProcAddress") == 0)
        return version >= 12000 ? (entry *)cuGetProcAddress_v2 : (entry *)cuGetProcAddress;
    if (strcmp(name, "cuDriverGetVersion") == 0) return (entry *)cuDriverGetVersion;
    if (strcmp(name, "cuInit") == 0) return (entry *)cuInit;
    if (strcmp(name, "cuDeviceGetCount") == 0) return (entry *)cuDeviceGetCount;
    if (strcmp(name, "cuGetExportTable") == 0) return (entry *)cuGetExportTable;
    return (entry *)any_other;
}

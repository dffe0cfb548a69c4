/* test_cuda_driver.c - drivers and plug-ins that cannot be used: the sentences that say why. A driver that is loaded
 * already is the one that is found by its name. Each test is a process of its own, so the plug-in is loaded anew. */
#include "support.h"

#include <dlfcn.h>
#include <stdio.h>

static void pretend(const char *wrong)
{
    setenv("PRETENDED_DRIVER", wrong, 1);
    ck_assert_msg(dlopen(getenv("AG_TEST_DRIVER"), RTLD_NOW), "%s", dlerror());
}

static void not_there(const char *plugin, const char *reason)
{
    char sentence[512];
    if (plugin)
        setenv("AG_CUDA_PLUGIN", plugin, 1);
    else
        unsetenv("AG_CUDA_PLUGIN");
    snprintf(sentence, sizeof sentence, "device: cuda:0 is not available: %s", reason);
    ck_assert(!ag_cuda_is_available());
    ck_assert_int_eq(ag_cuda_device_count(), 0);
    REFUSED(ag_zeros(AG_SHAPE(2), .device = AG_CUDA), sentence);
    Variable *x = ag_ones(AG_SHAPE(2));
    ck_assert_ptr_null(ag_to(x, AG_CUDA));
    ck_assert_int_eq(ag_error_code(), AG_EDEVICE);
    REFUSED(NULL, reason);
    VALUES(ag_add(x, x), 2, 2);
}

/* The plug-in for GPUs, with the CUDA run time in it. */
static const struct {
    const char *wrong, *reason;
} drivers[] = {
    { "old", "the NVIDIA driver is too old: it is for CUDA 11.4, this plug-in for 1" },
    { "none", "there is a driver, but no CUDA device that the process may use" },
    { "broken", "CUDA cannot be started: unknown error" },
};
static void with_driver(int i)
{
    const char *plugin = getenv("AG_TEST_PLUGIN");
    if (!plugin) return; /* there is no nvcc */
    pretend(drivers[i].wrong);
    not_there(plugin, drivers[i].reason);
}
START_TEST(a_driver_that_is_too_old) { with_driver(0); }
END_TEST
START_TEST(a_driver_without_a_device) { with_driver(1); }
END_TEST
START_TEST(a_driver_that_cannot_be_started) { with_driver(2); }
END_TEST

/* Meson has the linker look where the plug-in was built. */
START_TEST(a_plugin_that_is_found_or_missing)
{
    bool is_found = dlopen("libargent-cuda.so", RTLD_LAZY);
    pretend("none");
    not_there(NULL, is_found ? drivers[1].reason : "the CUDA plug-in libargent-cuda.so is missing (");
}
END_TEST

START_TEST(a_plugin_of_another_build)
{
    not_there(getenv("AG_TEST_OTHER_PLUGIN"), "the CUDA plug-in belongs to another build (version ");
}
END_TEST

START_TEST(a_plugin_that_gives_no_reason)
{
    setenv("PRETENDED_PLUGIN", "silent", 1);
    not_there(getenv("AG_TEST_OTHER_PLUGIN"), "the CUDA plug-in gives no reason");
}
END_TEST

SUPPORT_MAIN("cuda/driver", a_driver_that_is_too_old, a_driver_without_a_device, a_driver_that_cannot_be_started,
             a_plugin_that_is_found_or_missing, a_plugin_of_another_build, a_plugin_that_gives_no_reason)

/* backends.c - see backends.h. */
#include "tensor/fail.h"

#include <argent/backends.h>

#include <string.h>

static const char *const names[] = { "highest", "high", "medium" };
enum { N_NAMES = sizeof names / sizeof *names };
static int precision;
static bool any_order;

bool ag_set_float32_matmul_precision(const char *name)
{
    for (int i = 0; name && i < N_NAMES; i++)
        if (strcmp(name, names[i]) == 0) {
            __atomic_store_n(&precision, i, __ATOMIC_RELAXED);
            return true;
        }
    return ag__fail(AG_EINVAL,
                    "set_float32_matmul_precision: the precision is \"highest\", \"high\" or \"medium\", not \"%s\"",
                    name ? name : "NULL");
}

const char *ag_get_float32_matmul_precision(void) { return names[__atomic_load_n(&precision, __ATOMIC_RELAXED)]; }

void ag_cuda_set_allow_tf32(bool allow) { __atomic_store_n(&precision, allow, __ATOMIC_RELAXED); }
bool ag_cuda_allow_tf32(void) { return __atomic_load_n(&precision, __ATOMIC_RELAXED) != 0; }

void ag_use_deterministic_algorithms(bool use) { __atomic_store_n(&any_order, !use, __ATOMIC_RELAXED); }
bool ag_are_deterministic_algorithms_enabled(void) { return !__atomic_load_n(&any_order, __ATOMIC_RELAXED); }

/* cuda_cases.c - see cuda_cases.h. */
#include "tests/cuda/cuda_cases.h"

#include <dlfcn.h>

void cuda_same_at(Variable *x, Variable *y, double tolerance, const char *text, const char *file, int line)
{
    support_ok(x && y, text, file, line);
    int64_t n = ag_numel(x);
    bool same = n == ag_numel(y) && ag_dim(x) == ag_dim(y) && ag_dtype_of(x) == ag_dtype_of(y);
    for (int d = 0; same && d < ag_dim(x); d++) same = ag_size(x, d) == ag_size(y, d);
    if (!same) ck_abort_msg("%s:%d: %s differ in shape or type", file, line, text);
    double *a = calloc((size_t)n + 1, sizeof *a), *b = calloc((size_t)n + 1, sizeof *b);
    support_ok(ag_copy_to(x, a, AG_FLOAT64) && ag_copy_to(y, b, AG_FLOAT64), text, file, line);
    for (int64_t i = 0; i < n; i++)
        if (!(isnan(a[i]) && isnan(b[i])) && a[i] != b[i] && !(fabs(a[i] - b[i]) <= tolerance * fmax(1, fabs(b[i]))))
            ck_abort_msg("%s:%d: %s: element %lld is %.17g, wanted %.17g", file, line, text, (long long)i, a[i], b[i]);
    free(a);
    free(b);
}

void *cuda_emulation(const char *function)
{
    const char *plugin = getenv("AG_CUDA_PLUGIN");
    void *library = plugin ? dlopen(plugin, RTLD_NOW | RTLD_LOCAL) : NULL;
    void *found = library ? dlsym(library, function) : NULL;
    if (library) dlclose(library);
    return found;
}

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

/* value, first and second gradient: those that there are */
static int differentiate(Variable *(*f)(Variable *), Variable *x, Variable *out[3], const char *text, const char *file,
                         int line)
{
    Variable *p = ag_requires_grad_(ag_clone(x)), *y = f(p), *first, *second;
    support_ok(y != NULL, text, file, line);
    out[0] = ag_to(ag_detach(y), AG_CPU);
    if (!ag_requires_grad(y)) return 1;
    Variable *by = ag_add(ag_mul(ag_detach(y), ag_scalar(0.25)), ag_scalar(1));
    support_ok(ag_autograd_grad(AG_LIST(y), AG_LIST(p), &first, .grad_outputs = AG_LIST(by), .create_graph = true),
               text, file, line);
    out[1] = ag_to(ag_detach(first), AG_CPU);
    Variable *plain;
    y = f(p);
    support_ok(ag_autograd_grad(AG_LIST(y), AG_LIST(p), &plain, .grad_outputs = AG_LIST(by)), text, file, line);
    cuda_same_at(ag_to(plain, AG_CPU), out[1], 1e-10, text, file, line);
    if (!ag_requires_grad(first)) return 2;
    Variable *loss = ag_sum(ag_mul(first, first));
    if (!ag_autograd_grad(AG_LIST(loss), AG_LIST(p), &second, .allow_unused = true)) support_ok(0, text, file, line);
    if (!second) return 2;
    out[2] = ag_to(second, AG_CPU);
    return 3;
}

void cuda_same_function_at(Variable *(*f)(Variable *), Variable *x, double tolerance, const char *text,
                           const char *file, int line)
{
    AG_SCOPE;
    Variable *here[3], *there[3];
    if (ag_dtype_of(x) != AG_FLOAT64) {
        Variable *y = f(x), *z = f(ag_to(x, AG_CUDA));
        support_ok(y && z, text, file, line);
        cuda_same_at(ag_to(z, AG_CPU), y, tolerance, text, file, line);
        return;
    }
    int n = differentiate(f, x, here, text, file, line);
    if (differentiate(f, ag_to(x, AG_CUDA), there, text, file, line) != n)
        ck_abort_msg("%s:%d: %s has other gradients there", file, line, text);
    for (int i = 0; i < n; i++) cuda_same_at(there[i], here[i], i ? 10 * tolerance : tolerance, text, file, line);
}

void *cuda_emulation(const char *function)
{
    const char *plugin = getenv("AG_CUDA_PLUGIN");
    void *library = plugin ? dlopen(plugin, RTLD_NOW | RTLD_LOCAL) : NULL;
    void *found = library ? dlsym(library, function) : NULL;
    if (library) dlclose(library);
    return found;
}

uint64_t cuda_waits(void)
{
    void *symbol = ag_cuda_is_available() ? cuda_emulation("cuda_host_waits") : NULL; /* it stays loaded */
    uint64_t (*waits)(void);
    if (!symbol) return 0;
    memcpy(&waits, &symbol, sizeof waits);
    return waits();
}

static void add_launches(const char *name, uint64_t launches, void *user)
{
    (void)name;
    *(int *)user += (int)launches;
}
int cuda_launches(void)
{
    void *symbol = ag_cuda_is_available() ? cuda_emulation("cuda_host_kernels") : NULL; /* it stays loaded */
    void (*kernels)(void (*)(const char *, uint64_t, void *), void *);
    int n = 0;
    if (!symbol) return -1;
    memcpy(&kernels, &symbol, sizeof kernels);
    kernels(add_launches, &n);
    return n;
}

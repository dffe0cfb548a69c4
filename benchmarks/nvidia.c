/* nvidia.c - see nvidia.h. Names and numbers are those of cuda.h and cublas_v2.h. */
#include "nvidia.h"

#include "bench.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long device_memory; /* CUdeviceptr */

static struct {
    int (*cuInit)(unsigned flags);
    int (*cuDeviceGet)(int *device, int number);
    int (*cuDevicePrimaryCtxRetain)(void **context, int device);
    int (*cuCtxSetCurrent)(void *context);
    int (*cuModuleLoadData)(void **module, const void *image);
    int (*cuModuleGetFunction)(void **function, void *module, const char *name);
    int (*cuLaunchKernel)(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                          unsigned block_y, unsigned block_z, unsigned shared, void *stream, void **arguments,
                          void **extra);
    int (*cuMemAlloc_v2)(device_memory *memory, size_t bytes);
    int (*cuMemFree_v2)(device_memory memory);
    int (*cuMemcpyHtoD_v2)(device_memory to, const void *from, size_t bytes);
    int (*cuMemcpyDtoH_v2)(void *to, device_memory from, size_t bytes);
    void *nothing; /* the kernel */
} driver;

enum { OP_N, OP_T, TF32_TENSOR_OP_MATH = 3 };
static struct {
    int (*cublasCreate_v2)(void **handle);
    int (*cublasDestroy_v2)(void *handle);
    int (*cublasSetStream_v2)(void *handle, void *stream);
    int (*cublasSetMathMode)(void *handle, int mode);
    int (*cublasSgemm_v2)(void *handle, int op_a, int op_b, int m, int n, int k, const float *alpha, device_memory a,
                          int lda, device_memory b, int ldb, const float *beta, device_memory c, int ldc);
    int (*cublasDgemm_v2)(void *handle, int op_a, int op_b, int m, int n, int k, const double *alpha, device_memory a,
                          int lda, device_memory b, int ldb, const double *beta, device_memory c, int ldc);
} cublas;

static bool find(void *library, const char *name, void *function)
{
    void *symbol = library ? dlsym(library, name) : NULL;
    if (symbol) memcpy(function, &symbol, sizeof symbol);
    return symbol;
}
#define FIND(library, table, name) find(library, #name, &table.name)

static const char nothing[] = ".version 6.5\n"
                              ".target sm_75\n"
                              ".address_size 64\n"
                              ".visible .entry nothing(.param .u64 to, .param .u64 from, .param .u64 n)\n"
                              "{\n"
                              "    ret;\n"
                              "}\n";

static bool open_driver(void)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW), *context, *module;
    int device;
    return FIND(library, driver, cuInit) && FIND(library, driver, cuDeviceGet) &&
           FIND(library, driver, cuDevicePrimaryCtxRetain) && FIND(library, driver, cuCtxSetCurrent) &&
           FIND(library, driver, cuModuleLoadData) && FIND(library, driver, cuModuleGetFunction) &&
           FIND(library, driver, cuLaunchKernel) && FIND(library, driver, cuMemAlloc_v2) &&
           FIND(library, driver, cuMemFree_v2) && FIND(library, driver, cuMemcpyHtoD_v2) &&
           FIND(library, driver, cuMemcpyDtoH_v2) && !driver.cuInit(0) &&
           !driver.cuDeviceGet(&device, bench_device().index) && !driver.cuDevicePrimaryCtxRetain(&context, device) &&
           !driver.cuCtxSetCurrent(context) && !driver.cuModuleLoadData(&module, nothing) &&
           !driver.cuModuleGetFunction(&driver.nothing, module, "nothing");
}

static bool emulated(void)
{
    const char *plugin = getenv("AG_CUDA_PLUGIN");
    return plugin && strstr(plugin, "libargent-cuda-host");
}

bool nvidia_driver(void)
{
    static int answer = -1;
    if (answer < 0) answer = bench_on_cuda() && !emulated() && open_driver();
    return answer;
}

static bool open_cublas(void)
{
    static const char *const names[] = { "libcublas.so.13", "libcublas.so.12", "/usr/local/cuda/lib64/libcublas.so.13",
                                         "/usr/local/cuda/lib64/libcublas.so.12" };
    const char *named = getenv("AG_CUBLAS"); /* the one that Argent uses */
    void *library = named && *named ? dlopen(named, RTLD_NOW) : NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names && !library; i++) library = dlopen(names[i], RTLD_NOW);
    return FIND(library, cublas, cublasCreate_v2) && FIND(library, cublas, cublasDestroy_v2) &&
           FIND(library, cublas, cublasSetStream_v2) && FIND(library, cublas, cublasSetMathMode) &&
           FIND(library, cublas, cublasSgemm_v2) && FIND(library, cublas, cublasDgemm_v2);
}

bool nvidia_cublas(void)
{
    static int answer = -1;
    if (answer < 0) answer = nvidia_driver() && open_cublas();
    return answer;
}

static void *stream(void) { return ag_cuda_stream_handle(ag_cuda_current_stream(bench_device())); }

bool nvidia_launch(void)
{
    unsigned long long number[3] = { 0 };
    void *arguments[] = { &number[0], &number[1], &number[2] };
    return !driver.cuLaunchKernel(driver.nothing, 1, 1, 1, 128, 1, 1, 0, stream(), arguments, NULL);
}

/* ---- a product ---- */

struct nvidia_product {
    void *handle;
    ag_dtype dtype;
    int rows, columns, inner;
    bool turned[2]; /* a, b */
    int ld[2];
    device_memory memory[3]; /* a, b, c */
};

/* What x lies in, row by row, goes to the device. */
static bool bring(nvidia_product *p, int which, const Variable *x)
{
    Variable *plain = ag_to(ag_detach((Variable *)x), AG_CPU);
    p->turned[which] = ag_stride(x).at[0] == 1 && ag_size(x, 0) > 1;
    if (plain && p->turned[which]) plain = ag_t(plain);
    if (plain) plain = ag_contiguous(plain);
    if (!plain) return false;
    const size_t bytes = (size_t)ag_numel(plain) * (p->dtype == AG_FLOAT64 ? 8 : 4);
    p->ld[which] = (int)ag_size(plain, 1);
    return !driver.cuMemAlloc_v2(&p->memory[which], bytes) &&
           !driver.cuMemcpyHtoD_v2(p->memory[which], ag_data(plain), bytes);
}

nvidia_product *nvidia_product_new(const Variable *a, const Variable *b)
{
    nvidia_product *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    AG_SCOPE;
    p->dtype = ag_dtype_of(a);
    p->rows = (int)ag_size(a, 0);
    p->columns = (int)ag_size(b, 1);
    p->inner = (int)ag_size(a, 1);
    const size_t bytes = (size_t)p->rows * (size_t)p->columns * (p->dtype == AG_FLOAT64 ? 8 : 4);
    if (bring(p, 0, a) && bring(p, 1, b) && !driver.cuMemAlloc_v2(&p->memory[2], bytes) &&
        !cublas.cublasCreate_v2(&p->handle) && !cublas.cublasSetStream_v2(p->handle, stream()) &&
        (!ag_cuda_allow_tf32() || !cublas.cublasSetMathMode(p->handle, TF32_TENSOR_OP_MATH)))
        return p;
    nvidia_product_free(p);
    return NULL;
}

void nvidia_product_free(nvidia_product *p)
{
    if (!p) return;
    if (p->handle) cublas.cublasDestroy_v2(p->handle);
    for (int i = 0; i < 3; i++)
        if (p->memory[i]) driver.cuMemFree_v2(p->memory[i]);
    free(p);
}

/* cuBLAS has its matrices column by column: what lies in C row by row is C^T = B^T A^T there. */
bool nvidia_product_run(nvidia_product *p)
{
    const int op_b = p->turned[1] ? OP_T : OP_N, op_a = p->turned[0] ? OP_T : OP_N;
    if (p->dtype == AG_FLOAT64)
        return !cublas.cublasDgemm_v2(p->handle, op_b, op_a, p->columns, p->rows, p->inner, &(double){ 1 },
                                      p->memory[1], p->ld[1], p->memory[0], p->ld[0], &(double){ 0 }, p->memory[2],
                                      p->columns);
    return !cublas.cublasSgemm_v2(p->handle, op_b, op_a, p->columns, p->rows, p->inner, &(float){ 1 }, p->memory[1],
                                  p->ld[1], p->memory[0], p->ld[0], &(float){ 0 }, p->memory[2], p->columns);
}

Variable *nvidia_product_result(nvidia_product *p)
{
    Variable *c = ag_empty(AG_SHAPE(p->rows, p->columns), .dtype = p->dtype);
    if (!c || !ag_cuda_synchronize(bench_device())) return NULL;
    const size_t bytes = (size_t)ag_numel(c) * (p->dtype == AG_FLOAT64 ? 8 : 4);
    return driver.cuMemcpyDtoH_v2(ag_data_mutable(c), p->memory[2], bytes) ? NULL : c;
}

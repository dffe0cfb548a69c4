/* random_order.c - see random_order.h. */
#include "tensor/random_order.h"

/* Does dimension a belong outside dimension b, though it stands inside? 1: yes, -1: no, 0: nothing decides. The first
 * operand decides, and where it cannot, the second one. A stride of 0 says nothing; of equal strides the smaller size
 * goes inside. */
static int compare(const ag_tensor *const operand[2], int a, int b)
{
    for (int k = 0; k < 2 && operand[k]; k++) {
        const ag_tensor *x = operand[k];
        if (x->stride[a] == 0 || x->stride[b] == 0) continue;
        if (x->stride[a] != x->stride[b]) return x->stride[a] > x->stride[b] ? 1 : -1;
        if (x->size[a] > x->size[b]) return 1;
    }
    return 0;
}

/* dim[] becomes the dimensions from the fastest to the slowest: PyTorch's insertion sort, which passes over what does
 * not decide. */
static void sort_dimensions(int *dim, const ag_tensor *x, const ag_tensor *beside)
{
    const ag_tensor *const operand[2] = { x, beside };
    for (int i = 0; i < x->ndim; i++) dim[i] = x->ndim - 1 - i;
    if (x->contiguous && (!beside || beside->contiguous)) return;
    for (int i = 1; i < x->ndim; i++) {
        int moving = i;
        for (int k = i - 1; k >= 0; k--) {
            int outside = compare(operand, dim[k], dim[moving]);
            if (outside < 0) break;
            if (outside == 0) continue;
            int d = dim[k];
            dim[k] = dim[moving];
            dim[moving] = d;
            moving = k;
        }
    }
}

void ag__random_order(ag_random_order *order, const ag_tensor *x, const ag_tensor *beside)
{
    int dim[AG_MAX_DIMS];
    sort_dimensions(dim, x, beside);
    order->ndim = 0;
    order->offset[0] = order->offset[1] = 0;
    for (int i = 0; i < x->ndim; i++) {
        int64_t size = x->size[dim[i]], stride = x->stride[dim[i]], other = beside ? beside->stride[dim[i]] : 0;
        if (size == 1) continue;
        int last = order->ndim - 1;
        if (last >= 0 && stride == order->size[last] * order->stride[0][last] &&
            other == order->size[last] * order->stride[1][last]) {
            order->size[last] *= size; /* it goes on where the faster dimension ends: one longer row */
            continue;
        }
        last = order->ndim++;
        order->size[last] = size;
        order->stride[0][last] = stride;
        order->stride[1][last] = other;
        order->at[last] = 0;
    }
}

ag_random_run ag__random_order_next(ag_random_order *order, int64_t limit)
{
    ag_random_run run = { .count = 1, .offset = { order->offset[0], order->offset[1] } };
    if (order->ndim == 0) return run; /* a single element */
    int64_t left = order->size[0] - order->at[0];
    run.count = left < limit ? left : limit;
    for (int k = 0; k < 2; k++) {
        run.step[k] = order->stride[k][0];
        order->offset[k] += run.count * run.step[k];
    }
    order->at[0] += run.count;
    for (int d = 0; d < order->ndim && order->at[d] == order->size[d]; d++) { /* carry into slower dimensions */
        order->at[d] = 0;
        for (int k = 0; k < 2; k++) order->offset[k] -= order->size[d] * order->stride[k][d];
        if (d + 1 == order->ndim) break;
        order->at[d + 1]++;
        for (int k = 0; k < 2; k++) order->offset[k] += order->stride[k][d + 1];
    }
    return run;
}

/* What x86 makes of a double that does not fit: the smallest integer. */
static int32_t to_int32(double v) { return v > -2147483649.0 && v < 2147483648.0 ? (int32_t)v : INT32_MIN; }
static int64_t to_int64(double v) { return v >= -0x1p63 && v < 0x1p63 ? (int64_t)v : INT64_MIN; }

/* clang-format off */
static void store_floats(char *to, ag_dtype dtype, int64_t step, const float *v, int64_t n) /* 0 and 1 only, unless to floats */
{
    switch (dtype) {
    case AG_FLOAT32: for (int64_t i = 0; i < n; i++) ((float *)to)[i * step] = v[i]; break;
    case AG_FLOAT64: for (int64_t i = 0; i < n; i++) ((double *)to)[i * step] = v[i]; break;
    case AG_INT64: for (int64_t i = 0; i < n; i++) ((int64_t *)to)[i * step] = v[i] != 0; break;
    case AG_INT32: for (int64_t i = 0; i < n; i++) ((int32_t *)to)[i * step] = v[i] != 0; break;
    default: for (int64_t i = 0; i < n; i++) ((uint8_t *)to)[i * step] = v[i] != 0; break;
    }
}

static void store_doubles(char *to, ag_dtype dtype, int64_t step, const double *v, int64_t n)
{
    switch (dtype) {
    case AG_FLOAT32: for (int64_t i = 0; i < n; i++) ((float *)to)[i * step] = (float)v[i]; break;
    case AG_FLOAT64: for (int64_t i = 0; i < n; i++) ((double *)to)[i * step] = v[i]; break;
    case AG_INT64: for (int64_t i = 0; i < n; i++) ((int64_t *)to)[i * step] = to_int64(v[i]); break;
    case AG_INT32: for (int64_t i = 0; i < n; i++) ((int32_t *)to)[i * step] = to_int32(v[i]); break;
    case AG_UINT8: for (int64_t i = 0; i < n; i++) ((uint8_t *)to)[i * step] = (uint8_t)to_int32(v[i]); break;
    default: for (int64_t i = 0; i < n; i++) ((uint8_t *)to)[i * step] = v[i] != 0; break;
    }
}

static void store_integers(char *to, ag_dtype dtype, int64_t step, const int64_t *v, int64_t n)
{
    switch (dtype) {
    case AG_FLOAT32: for (int64_t i = 0; i < n; i++) ((float *)to)[i * step] = (float)v[i]; break;
    case AG_FLOAT64: for (int64_t i = 0; i < n; i++) ((double *)to)[i * step] = (double)v[i]; break;
    case AG_INT64: for (int64_t i = 0; i < n; i++) ((int64_t *)to)[i * step] = v[i]; break;
    case AG_INT32: for (int64_t i = 0; i < n; i++) ((int32_t *)to)[i * step] = (int32_t)v[i]; break;
    case AG_UINT8: for (int64_t i = 0; i < n; i++) ((uint8_t *)to)[i * step] = (uint8_t)v[i]; break;
    default: for (int64_t i = 0; i < n; i++) ((uint8_t *)to)[i * step] = v[i] != 0; break;
    }
}
/* clang-format on */

void ag__random_store_run(const ag_tensor *x, const ag_random_run *run, ag_dtype type, const void *values)
{
    char *to = x->data + run->offset[0] * (int64_t)ag__itemsize(x);
    if (type == AG_FLOAT32)
        store_floats(to, x->dtype, run->step[0], values, run->count);
    else if (type == AG_FLOAT64)
        store_doubles(to, x->dtype, run->step[0], values, run->count);
    else
        store_integers(to, x->dtype, run->step[0], values, run->count);
}

void ag__random_store(ag_random_order *order, const ag_tensor *x, ag_dtype type, const void *values, int64_t n)
{
    size_t size = type == AG_FLOAT32 ? sizeof(float) : sizeof(double);
    for (int64_t done = 0; done < n;) {
        ag_random_run run = ag__random_order_next(order, n - done);
        ag__random_store_run(x, &run, type, (const char *)values + (size_t)done * size);
        done += run.count;
    }
}

/* kernels.c - random tensors for the kernel tests, and the suite's main. */
#include "kernels.h"

#include <float.h>

const int thread_counts[4] = { 1, 2, 3, 16 };

static const double guard_value = 77;

double get(const void *p, int64_t i, ag_dtype dtype)
{
    switch (dtype) {
    case AG_FLOAT32:
        return (double)((const float *)p)[i];
    case AG_FLOAT64:
        return ((const double *)p)[i];
    case AG_INT64:
        return (double)((const int64_t *)p)[i];
    case AG_INT32:
        return ((const int32_t *)p)[i];
    default:
        return ((const uint8_t *)p)[i];
    }
}

void set(void *p, int64_t i, ag_dtype dtype, double value)
{
    switch (dtype) {
    case AG_FLOAT32:
        ((float *)p)[i] = (float)value;
        break;
    case AG_FLOAT64:
        ((double *)p)[i] = value;
        break;
    case AG_INT64:
        ((int64_t *)p)[i] = (int64_t)value;
        break;
    case AG_INT32:
        ((int32_t *)p)[i] = (int32_t)value;
        break;
    default:
        ((uint8_t *)p)[i] = (uint8_t)value;
        break;
    }
}

int rounds(int usual) { return getenv("AG_TEST_LONG") ? 10 * usual : usual; }

double epsilon(ag_dtype dtype) { return dtype == AG_FLOAT32 ? (double)FLT_EPSILON : DBL_EPSILON; }

array array_new(ag_dtype dtype, int ndim, const int64_t *size, const int *order, const int *gap)
{
    array a = { .dtype = dtype, .ndim = ndim };
    int64_t places = 1;
    for (int i = ndim - 1; i >= 0; i--) {
        int d = order[i];
        a.size[d] = size[d];
        a.stride[d] = places * gap[d];
        places = a.stride[d] * (size[d] > 0 ? size[d] : 1);
    }
    a.n_places = places;
    static int n_arrays; /* every second one begins a line of memory */
    const size_t bytes = (size_t)places * ag_dtype_size(dtype);
    a.data = n_arrays++ % 2 ? aligned_alloc(64, (bytes + 63) / 64 * 64) : malloc(bytes);
    ck_assert_ptr_nonnull(a.data);
    array_guard(&a);
    return a;
}

void array_guard(array *a)
{
    for (int64_t i = 0; i < a->n_places; i++) set(a->data, i, a->dtype, guard_value);
}

void array_fill(array *a, rng *r, double low, double high)
{
    int64_t index[5] = { 0 };
    for (int i = 0; i < a->ndim; i++)
        if (a->size[i] == 0) return;
    do {
        double value = low + (high - low) * (rng_unit(r) + 1) / 2;
        set(a->data, array_place(a, index), a->dtype,
            a->dtype == AG_FLOAT32 || a->dtype == AG_FLOAT64 ? value : floor(value));
    } while (next_index(a->ndim, a->size, index));
}

array array_random(rng *r, ag_dtype dtype, int ndim, const int64_t *size)
{
    int order[5], gap[5];
    int kind = (int)rng_between(r, 0, 2); /* contiguous; first dimension last (batch-last); anything */
    for (int i = 0; i < ndim; i++) {
        order[i] = kind == 1 ? (i + 1) % ndim : i;
        gap[i] = kind == 2 ? (int)rng_between(r, 1, 2) : 1;
    }
    for (int i = ndim - 1; kind == 2 && i > 0; i--) {
        int j = (int)rng_between(r, 0, i), t = order[i];
        order[i] = order[j];
        order[j] = t;
    }
    array a = array_new(dtype, ndim, size, order, gap);
    array_fill(&a, r, dtype == AG_UINT8 ? 0 : -1 - 9 * (dtype != AG_FLOAT32 && dtype != AG_FLOAT64),
               dtype == AG_FLOAT32 || dtype == AG_FLOAT64 ? 1 : 10);
    return a;
}

void array_free(array *a) { free(a->data); }

int64_t array_place(const array *a, const int64_t *index)
{
    int64_t place = 0;
    for (int i = 0; i < a->ndim; i++) place += index[i] * a->stride[i];
    return place;
}

double array_get(const array *a, const int64_t *index) { return get(a->data, array_place(a, index), a->dtype); }

bool next_index(int ndim, const int64_t *size, int64_t *index)
{
    for (int i = ndim - 1; i >= 0; i--) {
        if (++index[i] < size[i]) return true;
        index[i] = 0;
    }
    return false;
}

bool array_guards_stand(const array *a)
{
    char *reached = calloc((size_t)a->n_places, 1);
    ck_assert_ptr_nonnull(reached);
    int64_t index[5] = { 0 };
    bool any = true, stand = true;
    for (int i = 0; i < a->ndim; i++) any = any && a->size[i] > 0;
    while (any) {
        reached[array_place(a, index)] = 1;
        any = next_index(a->ndim, a->size, index);
    }
    for (int64_t i = 0; i < a->n_places; i++) stand = stand && (reached[i] || get(a->data, i, a->dtype) == guard_value);
    free(reached);
    return stand;
}

int main(int n_arguments, char **arguments)
{
    /* a test asks what the environment made of the library */
    if (n_arguments == 2 && strcmp(arguments[1], "threads") == 0) return printf("%d\n", ag_get_num_threads()) < 0;
    if (n_arguments == 2 && strcmp(arguments[1], "capability") == 0) return puts(ag_cpu_capability()) < 0;

    Suite *suite = suite_create("kernels");
    TCase *cases[] = { parallel_tests(), gemm_tests(), conv2d_tests(), conv2d_order_tests(),
                       moments_tests(),  pool_tests(), softmax_tests() };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tcase_set_timeout(cases[i], 300);
        suite_add_tcase(suite, cases[i]);
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

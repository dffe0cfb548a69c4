/* kernels.h - what the files of test_kernels share: random problems, and a run on every instruction set. */
#ifndef KERNELS_H
#define KERNELS_H
#include "ops/cpu/isa.h"
#include "tensor/fail.h"
#include "tensor/parallel.h"
#include <argent/dtype.h>

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A stream of random numbers, the same in every run. */
typedef struct {
    uint64_t state;
} rng;
static inline uint64_t rng_next(rng *r)
{
    uint64_t z = r->state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}
static inline int64_t rng_between(rng *r, int64_t low, int64_t high)
{
    return low + (int64_t)(rng_next(r) % (uint64_t)(high - low + 1));
}
static inline double rng_unit(rng *r) { return (double)(rng_next(r) >> 11) * 0x1p-52 - 1; } /* [-1, 1) */

/* Elements by number, whatever their type. */
double get(const void *p, int64_t i, ag_dtype dtype);
void set(void *p, int64_t i, ag_dtype dtype, double value);
double epsilon(ag_dtype dtype); /* of float32, float64 */

/* How many random problems: ten times the usual number in the long set. */
int rounds(int usual);

/* A tensor of up to 5 dimensions with room between its elements: dimension order[0] has the largest stride, each stride
 * is gap[i] times what it needs to be. Elements in between hold a guard value. */
typedef struct {
    ag_dtype dtype;
    int ndim;
    int64_t size[5], stride[5];
    int64_t n_places;
    void *data;
} array;
array array_new(ag_dtype dtype, int ndim, const int64_t *size, const int *order, const int *gap);
array array_random(rng *r, ag_dtype dtype, int ndim, const int64_t *size); /* order and gaps by chance, values too */
void array_fill(array *a, rng *r, double low, double high);
void array_free(array *a);
double array_get(const array *a, const int64_t *index);
int64_t array_place(const array *a, const int64_t *index);
/* A step through all indices of size, last fastest; false after the last. Start with zeros. */
bool next_index(int ndim, const int64_t *size, int64_t *index);
/* Every place that no index reaches still holds the guard. */
bool array_guards_stand(const array *a);
void array_guard(array *a); /* all places */

/* For each instruction set this machine has. */
#define EACH_ISA(isa)                         \
    for (int isa = 0; isa < AG_N_ISAS; isa++) \
        if (ag__set_cpu_capability((ag__isa)isa))

/* Bytes that a computation left behind, compared with those of the same on other numbers of threads. */
extern const int thread_counts[4]; /* 1, 2, 3, 16 */

TCase *parallel_tests(void);
TCase *gemm_tests(void);
TCase *conv2d_tests(void);
TCase *conv2d_order_tests(void);
TCase *moments_tests(void);
TCase *pool_tests(void);
TCase *softmax_tests(void);

#endif

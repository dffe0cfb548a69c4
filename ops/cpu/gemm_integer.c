/* gemm_integer.c - the product of integer matrices: plain loops, sums that wrap. */
#include "ops/cpu/gemm.h"
#include "tensor/parallel.h"

#include <string.h>

/* Sums are right modulo 2^64, so their low bytes are right for every narrower type. */
static uint64_t element(const void *p, int64_t i, ag_dtype dtype)
{
    switch (dtype) {
    case AG_INT64:
        return ((const uint64_t *)p)[i];
    case AG_INT32:
        return ((const uint32_t *)p)[i];
    default:
        return ((const uint8_t *)p)[i];
    }
}

static void set_element(void *p, int64_t i, ag_dtype dtype, uint64_t value)
{
    switch (dtype) {
    case AG_INT64:
        ((uint64_t *)p)[i] = value;
        break;
    case AG_INT32:
        ((uint32_t *)p)[i] = (uint32_t)value;
        break;
    default:
        ((uint8_t *)p)[i] = (uint8_t)value;
        break;
    }
}

/* One row of A by all of B: `rows` counts the rows of all products of the batch. */
static void some_rows(void *user, int64_t begin, int64_t end)
{
    const ag__gemm_args *g = user;
    const uint64_t alpha = (uint64_t)(int64_t)g->alpha, beta = (uint64_t)(int64_t)g->beta;
    for (int64_t r = begin; r < end; r++) {
        const int64_t item = r / g->m, i = r % g->m;
        const int64_t a0 = item * g->a_batch + i * g->a_row, c0 = item * g->c_batch + i * g->c_row;
        const int64_t d0 = item * g->d_batch + i * g->d_row;
        for (int64_t j = 0; j < g->n; j++) {
            const int64_t b0 = item * g->b_batch + j * g->b_col;
            uint64_t sum = 0;
            for (int64_t p = 0; p < g->k; p++)
                sum += element(g->a, a0 + p * g->a_col, g->dtype) * element(g->b, b0 + p * g->b_row, g->dtype);
            sum *= alpha;
            if (beta != 0) sum += beta * element(g->d, d0 + j * g->d_col, g->dtype);
            set_element(g->c, c0 + j * g->c_col, g->dtype, sum);
        }
    }
}

void ag__gemm_integer(const ag__gemm_args *args)
{
    ag__gemm_args g = *args;
    const int64_t rows = g.m * (g.batch > 1 ? g.batch : 1);
    const double row_work = (double)g.n * (double)(g.k + 1);
    ag__parallel_for(rows, row_work > 16384 ? 1 : 1 + (int64_t)(16384 / row_work), some_rows, &g);
}

/* test_cuda_index.c - reading and writing by number, joining and rearranging on a device, against the CPU: every type,
 * several layouts, indices that repeat, what has no elements or no dimensions; and gradients. */
#include "tests/cuda/cuda_cases.h"

#include <argent/index.h>
#include <argent/join.h>
#include <argent/rearrange.h>

typedef struct index_case {
    const char *name;
    Variable *(*run)(Variable *x, Variable *y, Variable *index, int k);
} index_case;

static Variable *drawn(Shape shape, ag_dtype dtype)
{
    return ag_to(support_draw(shape, AG_FLOAT64, 9), .dtype = dtype);
}
/* Indices below n, of which many are the same. */
static Variable *indices(Shape shape, int64_t n, ag_dtype dtype)
{
    Variable *x = ag_add(ag_mul(support_draw(shape, AG_FLOAT64, 0.5), ag_scalar((double)n)), ag_scalar((double)n / 2));
    return ag_to(ag_clamp(x, .min = 0, .max = (double)n - 1), .dtype = dtype);
}
static Variable *there(Variable *x) { return ag_to(x, AG_CUDA, .copy = true); }

/* x lies in four ways: as it is, and so that the same numbers lie otherwise. */
enum { N_LAYOUTS = 4 };
static Variable *laid(Variable *x, int way)
{
    const int last = ag_dim(x) - 1;
    if (way == 1 && last > 0) return ag_transpose(ag_contiguous(ag_transpose(x, 0, last)), 0, last);
    if (way == 2 && last >= 0) return ag_select(ag_stack(AG_LIST(x, x), .dim = last + 1), last + 1, 1);
    if (way == 3 && last > 0) return ag_contiguous(x, .memory_format = AG_BATCH_LAST);
    return x;
}

/* ---- reading ---- */

static void read_in_all_ways(ag_dtype dtype, ag_dtype index_type)
{
    Variable *x = drawn(AG_SHAPE(5, 6, 7), dtype);
    for (int way = 0; way < N_LAYOUTS; way++) {
        Variable *here = laid(x, way), *over = laid(there(x), way);
        for (int dim = -1; dim < 3; dim++) {
            Variable *row = indices(AG_SHAPE(9), 5, index_type);
            Variable *each = laid(indices(AG_SHAPE(4, 6, 3), 5, index_type), way);
            Variable *other = laid(there(each), way);
            cuda_same(ag_to(ag_index_select(over, dim, there(row)), AG_CPU), ag_index_select(here, dim, row), 0);
            cuda_same(ag_to(ag_gather(over, dim, other), AG_CPU), ag_gather(here, dim, each), 0);
        }
        Variable *any = ag_sub(indices(AG_SHAPE(3, 4), 420, AG_INT64), ag_scalar(210));
        cuda_same(ag_to(ag_take(over, there(any)), AG_CPU), ag_take(here, any), 0);
    }
}
/* Rows of a multiple of 16 bytes, which go at once, and such that begin elsewhere. */
static void read_rows(ag_dtype dtype)
{
    Variable *x = drawn(AG_SHAPE(5, 3, 32), dtype), *row = indices(AG_SHAPE(9), 3, AG_INT64);
    for (int from = 0; from < 17; from += 16) {
        Variable *here = ag_slice(x, .dim = 2, .start = from, .end = from + 16);
        Variable *over = ag_slice(there(x), .dim = 2, .start = from, .end = from + 16);
        cuda_same(ag_to(ag_index_select(over, 1, there(row)), AG_CPU), ag_index_select(here, 1, row), 0);
        over = ag_slice(there(x), .dim = 2, .start = from + 1, .end = from + 14);
        here = ag_slice(x, .dim = 2, .start = from + 1, .end = from + 14);
        cuda_same(ag_to(ag_index_select(over, 0, there(row)), AG_CPU), ag_index_select(here, 0, row), 0);
    }
}
START_TEST(numbers_are_read_by_number)
{
    for (int d = 0; d < AG_N_DTYPES; d++) read_rows((ag_dtype)d);
    for (int d = 0; d < AG_N_DTYPES; d++) read_in_all_ways((ag_dtype)d, d % 2 ? AG_INT64 : AG_INT32);
    Variable *x = ag_full(AG_SHAPE(), 3), *zero = ag_zeros(AG_SHAPE(1), .dtype = AG_INT64),
             *none = ag_slice(zero, 0, 0, 0);
    cuda_same(ag_to(ag_index_select(there(x), 0, there(zero)), AG_CPU), x, 0);
    cuda_same(ag_to(ag_gather(there(x), 0, there(zero)), AG_CPU), ag_gather(x, 0, zero), 0);
    Variable *y = drawn(AG_SHAPE(3, 2), AG_FLOAT32);
    cuda_same(ag_to(ag_index_select(there(y), 0, there(none)), AG_CPU), ag_index_select(y, 0, none), 0);
    cuda_same(ag_to(ag_take(there(y), there(none)), AG_CPU), ag_take(y, none), 0);
}
END_TEST

/* ---- writing ---- */

static Variable *do_index_add(Variable *x, Variable *y, Variable *i, int k)
{
    return ag_index_add(x, k, i, y, .alpha = 2);
}
static Variable *do_index_copy(Variable *x, Variable *y, Variable *i, int k) { return ag_index_copy(x, k, i, y); }
static Variable *do_index_fill(Variable *x, Variable *y, Variable *i, int k)
{
    (void)y;
    return ag_index_fill(x, k, i, 1);
}
static Variable *do_scatter(Variable *x, Variable *y, Variable *i, int k) { return ag_scatter(x, k, i, y); }
static Variable *do_scatter_add(Variable *x, Variable *y, Variable *i, int k) { return ag_scatter_add(x, k, i, y); }
static Variable *do_scatter_value(Variable *x, Variable *y, Variable *i, int k)
{
    (void)y;
    return ag_scatter_value(x, k, i, 1);
}
static const index_case slices[] = { { "index_add", do_index_add },
                                     { "index_copy", do_index_copy },
                                     { "index_fill", do_index_fill } },
                        elements[] = { { "scatter", do_scatter },
                                       { "scatter_add", do_scatter_add },
                                       { "scatter_value", do_scatter_value } };

static void write_in_all_ways(ag_dtype dtype)
{
    Variable *x = drawn(AG_SHAPE(5, 6, 7), dtype);
    for (int way = 0; way < N_LAYOUTS; way++) {
        Variable *here = laid(x, way), *over = laid(there(x), way);
        for (int dim = 0; dim < 3; dim++) {
            AG_SCOPE;
            int64_t size[3] = { 5, 6, 7 }, n = size[dim];
            size[dim] = 11;
            Variable *y = drawn(ag_sizes_of(3, size), dtype), *row = indices(AG_SHAPE(11), n, AG_INT64);
            Variable *each = indices(ag_sizes_of(3, size), n, way % 2 ? AG_INT64 : AG_INT32);
            Variable *repeated = ag_expand(ag_unsqueeze(ag_select(each, (dim + 1) % 3, 0), (dim + 1) % 3),
                                           ag_sizes_of(3, size));
            Variable *few = ag_slice(each, .dim = (dim + 1) % 3, .start = 0, .end = 2), *y_there = laid(there(y), way);
            Variable *of[] = { each, repeated, few };
            y = laid(y, way);
            for (int k = 0; k < 3; k++) {
                cuda_same(ag_to(slices[k].run(over, y_there, there(row), dim), AG_CPU),
                          slices[k].run(here, y, row, dim), 0);
                for (int i = 0; i < 3; i++)
                    cuda_same(ag_to(elements[k].run(
                                        over, y_there,
                                        i == 1 ? ag_expand_as(there(ag_narrow(repeated, (dim + 1) % 3, 0, 1)), repeated)
                                               : there(of[i]),
                                        dim),
                                    AG_CPU),
                              elements[k].run(here, y, of[i], dim), 0);
            }
        }
    }
}
START_TEST(numbers_are_written_by_number)
{
    for (int d = 0; d < AG_N_DTYPES; d++) write_in_all_ways((ag_dtype)d);
}
END_TEST

START_TEST(in_place_only_what_is_named_changes)
{
    Variable *x = drawn(AG_SHAPE(8, 6), AG_FLOAT32), *y = there(x), *at = indices(AG_SHAPE(3), 6, AG_INT64);
    Variable *source = drawn(AG_SHAPE(4, 3), AG_FLOAT32);
    x = ag_clone(x);
    Variable *const each[] = { x, y };
    for (int i = 0; i < 2; i++) {
        Variable *part = ag_slice(each[i], .dim = 0, .start = 0, .end = 8, .step = 2);
        Variable *index = i ? there(at) : at, *from = i ? there(source) : source;
        OK(ag_index_add_(part, 1, index, from));
        OK(ag_index_copy_(ag_slice(each[i], .dim = 0, .start = 4, .end = 8), 1, index, from));
        OK(ag_index_fill_(part, 1, ag_slice(index, 0, 0, 1), -1));
        OK(ag_scatter_(part, 1, ag_expand(index, AG_SHAPE(4, 3)), from));
        OK(ag_scatter_add_(part, 1, ag_expand(index, AG_SHAPE(4, 3)), from));
        OK(ag_scatter_value_(part, 1, ag_expand(index, AG_SHAPE(2, 3)), 7));
    }
    cuda_same(ag_to(y, AG_CPU), x, 0);
    Variable *z = ag_zeros(AG_SHAPE()), *one = ag_zeros(AG_SHAPE(1), .dtype = AG_INT64), *two = ag_full(AG_SHAPE(), 2);
    cuda_same(ag_to(ag_index_add(there(z), 0, there(one), there(two)), AG_CPU), ag_index_add(z, 0, one, two), 0);
    cuda_same(ag_to(ag_index_copy(there(z), 0, there(one), there(two)), AG_CPU), ag_index_copy(z, 0, one, two), 0);
    cuda_same(ag_to(ag_index_fill(there(z), 0, there(one), 5), AG_CPU), ag_index_fill(z, 0, one, 5), 0);
    Variable *minus = ag_full(AG_SHAPE(2), -2, .dtype = AG_INT64);
    cuda_same(ag_to(ag_index_fill(there(x), 1, there(minus), 5), AG_CPU), ag_index_fill(x, 1, minus, 5), 0);
}
END_TEST

/* More entries than one tile of the sort takes: many places, whose sums are the CPU's to the bit and whose numbers have
 * whole digits or not; then more tiles than a block adds the counts of at a time. */
START_TEST(sums_are_in_the_cpus_order)
{
    static const int64_t places[] = { 10, 4000, 5000, 20000 }, entries[] = { 7000, 7000, 7000, 270000 };
    for (int k = 0; k < 4; k++) {
        Variable *x = drawn(AG_SHAPE(places[k]), AG_FLOAT32);
        Variable *y = support_draw(AG_SHAPE(entries[k]), AG_FLOAT32, 1);
        Variable *at = ag_remainder(ag_arange(entries[k]), ag_scalar_int64(places[k]));
        cuda_same(ag_to(ag_index_add(there(x), 0, there(at), there(y)), AG_CPU), ag_index_add(x, 0, at, y), 0);
        cuda_same(ag_to(ag_scatter_add(there(x), 0, there(at), there(y)), AG_CPU), ag_scatter_add(x, 0, at, y), 0);
        cuda_same(ag_to(ag_scatter(there(x), 0, there(at), there(y)), AG_CPU), ag_scatter(x, 0, at, y), 0);
    }
}
END_TEST

/* Place p is named n[p] times, in turn with the others while there are any left. */
static Variable *named(int places, const int64_t *n, int64_t total)
{
    int64_t *at = calloc((size_t)total, sizeof *at), left[8], k = 0;
    for (int p = 0; p < places; p++) left[p] = n[p];
    while (k < total)
        for (int p = 0; p < places; p++)
            if (left[p]-- > 0) at[k++] = p;
    Variable *index = ag_tensor_from(at, AG_SHAPE(total), AG_INT64);
    free(at);
    return index;
}
/* Sums of more than 1024: of parts of so many, each in the indices' order, in their order. */
START_TEST(long_sums_are_made_in_parts)
{
    enum { PART = 1024, PLACES = 7 };
    static const int64_t n[][PLACES] = { { 1024, 1025, 1, 0, 3000, 2048, 2049 },
                                         { 5000 },
                                         { 3, 1100, 1100, 1100, 1100 } };
    for (int c = 0; c < 3; c++)
        for (int inner = 1; inner < 4; inner += 2) {
            AG_SCOPE;
            int64_t total = 0;
            for (int p = 0; p < PLACES; p++) total += n[c][p];
            Variable *at = named(PLACES, n[c], total), *x = support_draw(AG_SHAPE(PLACES, inner), AG_FLOAT32, 1);
            Variable *y = support_draw(AG_SHAPE(total, inner), AG_FLOAT32, 1);
            Variable *sums = ag_to(ag_index_add(there(x), 0, there(at), there(y)), AG_CPU);
            const float *from = ag_data(y), *to = ag_data(x), *got = ag_data(sums);
            const int64_t *index = ag_data(at);
            for (int e = 0; e < PLACES * inner; e++) {
                float sum = to[e], part = 0;
                int64_t k = 0;
                if (n[c][e / inner] <= PART) part = sum, sum = 0;
                for (int64_t i = 0; i < total; i++) {
                    if (index[i] != e / inner) continue;
                    part += from[i * inner + e % inner];
                    if (++k % PART == 0) sum += part, part = 0;
                }
                ck_assert_msg(got[e] == sum + part, "place %d of case %d is %.9g, not %.9g", e, c, (double)got[e],
                              (double)(sum + part));
            }
            for (int d = AG_FLOAT64; d < AG_N_DTYPES; d++) {
                Variable *w = ag_to(ag_mul(x, ag_scalar(100)), .dtype = (ag_dtype)d);
                Variable *z = ag_to(ag_mul(y, ag_scalar(100)), .dtype = (ag_dtype)d);
                cuda_same(ag_to(ag_index_add(there(w), 0, there(at), there(z)), AG_CPU), ag_index_add(w, 0, at, z),
                          d == AG_FLOAT64 ? 1e-12 : 0);
            }
        }
}
END_TEST

/* ---- joining and rearranging ---- */

static void rearrange_in_all_ways(ag_dtype dtype)
{
    Variable *x = drawn(AG_SHAPE(2, 3, 4, 5), dtype), *z = drawn(AG_SHAPE(2, 3, 1, 5), AG_FLOAT32);
    for (int way = 0; way < N_LAYOUTS; way++) {
        Variable *a = laid(x, way), *b = laid(there(x), way), *none = ag_zeros(AG_SHAPE(0));
        cuda_same(ag_to(ag_cat(AG_LIST(b, there(z), there(none), b), .dim = 2), AG_CPU),
                  ag_cat(AG_LIST(a, z, none, a), .dim = 2), 0);
        cuda_same(ag_to(ag_stack(AG_LIST(b, there(x)), .dim = -2), AG_CPU), ag_stack(AG_LIST(a, x), .dim = -2), 0);
        cuda_same(ag_to(ag_flip(b, AG_SHAPE(0, 3)), AG_CPU), ag_flip(a, AG_SHAPE(0, 3)), 0);
        cuda_same(ag_to(ag_flip(b, AG_SHAPE(1)), AG_CPU), ag_flip(a, AG_SHAPE(1)), 0);
        cuda_same(ag_to(ag_roll(b, AG_SHAPE(1, -2), .dims = AG_SHAPE(1, 3)), AG_CPU),
                  ag_roll(a, AG_SHAPE(1, -2), .dims = AG_SHAPE(1, 3)), 0);
        cuda_same(ag_to(ag_roll(b, AG_SHAPE(7)), AG_CPU), ag_roll(a, AG_SHAPE(7)), 0);
        cuda_same(ag_to(ag_repeat(b, AG_SHAPE(2, 1, 3, 1, 2)), AG_CPU), ag_repeat(a, AG_SHAPE(2, 1, 3, 1, 2)), 0);
        cuda_same(ag_to(ag_repeat(b, AG_SHAPE(2, 1, 2, 2, 2, 2, 2, 2)), AG_CPU),
                  ag_repeat(a, AG_SHAPE(2, 1, 2, 2, 2, 2, 2, 2)), 0);
        cuda_same(ag_to(ag_tile(b, AG_SHAPE(3)), AG_CPU), ag_tile(a, AG_SHAPE(3)), 0);
        cuda_same(ag_to(ag_constant_pad_nd(b, AG_SHAPE(1, 2, -1, 3), 7), AG_CPU),
                  ag_constant_pad_nd(a, AG_SHAPE(1, 2, -1, 3), 7), 0);
        cuda_same(ag_to(ag_constant_pad_nd(b, AG_SHAPE(-1, -1)), AG_CPU), ag_constant_pad_nd(a, AG_SHAPE(-1, -1)), 0);
        Variable *mask = ag_gt(ag_select(x, 1, 0), ag_scalar(0)), *m = ag_unsqueeze(mask, 1);
        cuda_same(ag_to(ag_masked_fill(b, there(m), 3), AG_CPU), ag_masked_fill(a, m, 3), 0);
    }
    Variable *y = there(x), *mask = ag_gt(x, ag_scalar(0));
    OK(ag_masked_fill_(ag_transpose(y, 0, 3), there(ag_transpose(mask, 0, 3)), 2));
    cuda_same(ag_to(y, AG_CPU), ag_masked_fill(x, mask, 2), 0);
    Variable *none = ag_zeros(AG_SHAPE(0, 3), .dtype = dtype), *one = drawn(AG_SHAPE(), dtype);
    cuda_same(ag_to(ag_flip(there(none), AG_SHAPE(0)), AG_CPU), none, 0);
    cuda_same(ag_to(ag_repeat(there(none), AG_SHAPE(2, 2)), AG_CPU), ag_repeat(none, AG_SHAPE(2, 2)), 0);
    cuda_same(ag_to(ag_repeat(there(one), AG_SHAPE(2, 2)), AG_CPU), ag_repeat(one, AG_SHAPE(2, 2)), 0);
    cuda_same(ag_to(ag_constant_pad_nd(there(none), AG_SHAPE(1, 1, 1, 0), 2), AG_CPU),
              ag_constant_pad_nd(none, AG_SHAPE(1, 1, 1, 0), 2), 0);
}
START_TEST(parts_are_put_together)
{
    for (int d = 0; d < AG_N_DTYPES; d++) rearrange_in_all_ways((ag_dtype)d);
}
END_TEST

/* ---- gradients: what each function of x (5, 6) and y (4, 6) gives, of first and second order ---- */

static Variable *rows_of; /* (4): indices of rows, on the device that it is asked for */
static Variable *g_index_select(Variable *x, Variable *y)
{
    return ag_mul(ag_index_select(x, 0, ag_to(rows_of, ag_device_of(x))), y);
}
static Variable *at_of(Variable *x)
{
    return ag_expand(ag_unsqueeze(ag_to(rows_of, ag_device_of(x)), 1), AG_SHAPE(4, 6));
}
static Variable *g_gather(Variable *x, Variable *y) { return ag_mul(ag_gather(x, 0, at_of(x)), y); }
static Variable *g_take(Variable *x, Variable *y) { return ag_mul(ag_take(x, at_of(x)), y); }
static Variable *g_index_add(Variable *x, Variable *y)
{
    return ag_index_add(x, 0, ag_to(rows_of, ag_device_of(x)), ag_mul(y, y), .alpha = 3);
}
static Variable *g_index_copy(Variable *x, Variable *y)
{
    return ag_index_copy(x, 0, ag_to(rows_of, ag_device_of(x)), y);
}
static Variable *g_index_fill(Variable *x, Variable *y)
{
    return ag_add(ag_index_fill(x, 0, ag_to(rows_of, ag_device_of(x)), 2), ag_sum(y));
}
static Variable *g_scatter(Variable *x, Variable *y) { return ag_scatter(x, 0, at_of(x), y); }
static Variable *g_scatter_part(Variable *x, Variable *y)
{
    return ag_scatter(x, 0, ag_slice(at_of(x), .dim = 1, .start = 0, .end = 4), y);
}
static Variable *g_scatter_add(Variable *x, Variable *y) { return ag_scatter_add(x, 0, at_of(x), y); }
static Variable *g_cat(Variable *x, Variable *y) { return ag_cat(AG_LIST(x, ag_mul(y, y), x)); }
static Variable *g_stack(Variable *x, Variable *y) { return ag_stack(AG_LIST(ag_slice(x, 0, 0, 4), y), .dim = 1); }
static Variable *g_pad(Variable *x, Variable *y) { return ag_mul(ag_constant_pad_nd(x, AG_SHAPE(0, 0, 2, -3)), y); }
static Variable *g_flip(Variable *x, Variable *y) { return ag_mul(ag_slice(ag_flip(x, AG_SHAPE(0, 1)), 0, 0, 4), y); }
static Variable *g_roll(Variable *x, Variable *y)
{
    return ag_mul(ag_slice(ag_roll(x, AG_SHAPE(2), .dims = AG_SHAPE(0)), 0, 1, 5), y);
}
static Variable *g_repeat(Variable *x, Variable *y)
{
    return ag_mul(ag_repeat(ag_slice(x, 0, 0, 2), AG_SHAPE(3, 2, 1)), y);
}
static Variable *g_views(Variable *x, Variable *y)
{
    Variable *d = ag_mul(ag_select(x, 1, 2), ag_diagonal(x, .offset = 1));
    return ag_mul(ag_slice(y, .dim = 1, .start = 1, .end = 6), d);
}
static Variable *g_as_strided(Variable *x, Variable *y)
{
    return ag_mul(ag_as_strided(x, AG_SHAPE(4, 6), AG_SHAPE(2, 3), 1), ag_as_strided(y, AG_SHAPE(6), AG_SHAPE(1)));
}
static Variable *g_into_a_view(Variable *x, Variable *y)
{
    Variable *z = ag_mul(x, ag_scalar(2));
    OK(ag_mul_(ag_slice(z, .dim = 0, .start = 1, .end = 5), y));
    OK(ag_copy_(ag_select(z, 1, 0), ag_select(x, 1, 1)));
    return z;
}
static Variable *g_masked_fill(Variable *x, Variable *y)
{
    return ag_mul(ag_masked_fill(ag_slice(x, 0, 0, 4), ag_gt(y, ag_scalar(0)), 2), y);
}
static Variable *g_remainder(Variable *x, Variable *y)
{
    return ag_add(ag_remainder(ag_slice(x, 0, 0, 4), y), ag_fmod(y, ag_slice(x, 0, 0, 4)));
}

static Variable *(*const functions[])(Variable *x, Variable *y) = {
    g_index_select, g_gather,      g_take,       g_index_add,   g_index_copy,  g_index_fill, g_scatter,
    g_scatter_part, g_scatter_add, g_cat,        g_stack,       g_pad,         g_flip,       g_roll,
    g_repeat,       g_views,       g_as_strided, g_into_a_view, g_masked_fill, g_remainder,
};

/* The value, the gradients of both leaves, and those of a function of the gradients. */
static void differentiate(Variable *(*f)(Variable *, Variable *), Variable *a, Variable *b, ag_device device,
                          Variable *result[5])
{
    Variable *x = ag_requires_grad_(ag_to(a, device, .copy = true)), *first[2], *second[2];
    Variable *y = ag_requires_grad_(ag_to(b, device, .copy = true)), *z = f(x, y),
             *loss = ag_sum(ag_mul(ag_mul(z, z), z));
    OK(ag_autograd_grad(AG_LIST(loss), AG_LIST(x, y), first, .create_graph = true, .allow_unused = true));
    loss = ag_add(ag_sum(ag_mul(first[0], first[0])), ag_sum(ag_mul(first[1], first[1])));
    OK(ag_autograd_grad(AG_LIST(loss), AG_LIST(x, y), second, .allow_unused = true));
    result[0] = ag_to(z, AG_CPU);
    for (int i = 0; i < 2; i++) {
        result[1 + i] = ag_to(first[i], AG_CPU);
        result[3 + i] = ag_to(second[i], AG_CPU);
    }
}
START_TEST(gradients_are_those_of_the_cpu)
{
    Variable *a = support_draw(AG_SHAPE(5, 6), AG_FLOAT64, 1), *b = support_draw(AG_SHAPE(4, 6), AG_FLOAT64, 1);
    rows_of = ag_tensor(((int64_t[]){ 3, 0, 3, 1 }), AG_SHAPE(4));
    for (int k = 0; k < (int)(sizeof functions / sizeof *functions); k++) {
        AG_SCOPE;
        Variable *here[5], *over[5];
        differentiate(functions[k], a, b, AG_CPU, here);
        differentiate(functions[k], a, b, AG_CUDA, over);
        for (int i = 0; i < 5; i++) cuda_same(over[i], here[i], 1e-12);
    }
}
END_TEST

/* ---- what is refused ---- */

START_TEST(indices_that_are_not_there_are_found_when_waiting)
{
    Variable *x = there(drawn(AG_SHAPE(4, 5), AG_FLOAT32)), *at = there(ag_full(AG_SHAPE(3), 7, .dtype = AG_INT64));
    Variable *each = ag_expand(at, AG_SHAPE(2, 3)), *y = there(drawn(AG_SHAPE(3, 5), AG_FLOAT32));
    OK(ag_cuda_synchronize(AG_CUDA));
    OK(ag_index_select(ag_zeros(AG_SHAPE(4, 8), .device = AG_CUDA), 0, at)); /* rows at once */
    REFUSED(ag_cuda_synchronize(AG_CUDA), "index_select: index 7 is out of bounds for dimension 0 with size 4");
    OK(ag_index_select(x, 1, at));
    REFUSED(ag_cuda_synchronize(AG_CUDA), "index_select: index 7 is out of bounds for dimension 1 with size 5");
    OK(ag_cuda_synchronize(AG_CUDA)); /* said once */
    OK(ag_gather(x, 0, each));
    REFUSED(ag_cuda_synchronize(AG_CUDA), "gather: index 7 is out of bounds for dimension 0 with size 4");
    OK(ag_take(x, ag_add(at, ag_scalar(13))));
    REFUSED(ag_cuda_synchronize(AG_CUDA), "take: out of range: tried to access index 20 on a tensor of 20 elements");
    OK(ag_index_add(x, 0, at, y));
    REFUSED(ag_cuda_synchronize(AG_CUDA), "index_add: index 7 is out of bounds for dimension 0 with size 4");
    OK(ag_scatter_value(x, 0, ag_neg(each), 1));
    REFUSED(ag_cuda_synchronize(AG_CUDA), "scatter: index -7 is out of bounds for dimension 0 with size 4");
    Variable *before = ag_to(x, AG_CPU);
    OK(ag_scatter_(x, 0, each, y));
    double number[20];
    REFUSED(ag_copy_to(x, number, AG_FLOAT64), "scatter: index 7 is out of bounds for dimension 0 with size 4");
    cuda_same(ag_to(x, AG_CPU), before, 0);
    REFUSED(ag_index_select(x, 2, at), "Dimension out of range (expected to be in range of [-2, 1], but got 2)");
    REFUSED(ag_gather(x, 0, ag_to(each, AG_CPU)), "found at least two devices, cuda:0 and cpu");
    REFUSED(ag_cat(AG_LIST(x, y), .dim = 1), "Sizes of tensors must match except in dimension 1");
}
END_TEST

SUPPORT_MAIN("cuda/index", numbers_are_read_by_number, numbers_are_written_by_number,
             in_place_only_what_is_named_changes, sums_are_in_the_cpus_order, long_sums_are_made_in_parts,
             parts_are_put_together, gradients_are_those_of_the_cpu, indices_that_are_not_there_are_found_when_waiting)

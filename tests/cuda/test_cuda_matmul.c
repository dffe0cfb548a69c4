/* test_cuda_matmul.c - products of matrices on a device are those of the CPU: of each type, of operands that lie in any
 * way, with their gradients. The suite runs with cuBLAS, for which the emulation has a stand-in that checks what it is
 * called with, and without (AG_CUBLAS=0). */
#include "tests/cuda/cuda_cases.h"

static double tolerance_of(ag_dtype dtype) { return dtype == AG_FLOAT32 ? 2e-6 : dtype == AG_FLOAT64 ? 1e-14 : 0; }

/* ---- how operands lie ---- */

/* A view of shape (m, n): what the layouts have in common is their numbers' range. */
enum { PLAIN, TRANSPOSED, COLUMNS, TRANSPOSED_COLUMNS, EVERY_SECOND, SELECTED, EXPANDED, N_LAYOUTS };
typedef struct pair {
    Variable *here, *there;
} pair;

static Variable *view_of(Variable *x, int layout, int64_t m, int64_t n)
{
    switch (layout) {
    case TRANSPOSED:
        return ag_t(x);
    case COLUMNS:
        return ag_slice(x, .dim = 1, .start = 1, .end = n + 1);
    case TRANSPOSED_COLUMNS:
        return ag_t(ag_slice(x, .dim = 1, .start = 2, .end = m + 2));
    case EVERY_SECOND:
        return ag_slice(x, .dim = 1, .start = 0, .end = 2 * n, .step = 2);
    case SELECTED:
        return ag_select(x, 2, 1);
    case EXPANDED:
        return ag_expand(x, AG_SHAPE(m, n));
    default:
        return x;
    }
}
static Variable *numbers(Shape shape, ag_dtype dtype)
{
    return ag_to(support_draw(shape, AG_FLOAT64, dtype <= AG_FLOAT64 ? 1 : 9), .dtype = dtype);
}
static pair both(Variable *x) { return (pair){ ag_to(x, .copy = true), ag_to(x, AG_CUDA, .copy = true) }; }
static pair matrix(int layout, int64_t m, int64_t n, ag_dtype dtype)
{
    static const struct {
        int transposed, extra, times;
    } of[N_LAYOUTS] = { [TRANSPOSED] = { 1, 0, 1 },
                        [COLUMNS] = { 0, 3, 1 },
                        [TRANSPOSED_COLUMNS] = { 1, 3, 1 },
                        [EVERY_SECOND] = { 0, 0, 2 } };
    int64_t rows = of[layout].transposed ? n : m, columns = of[layout].transposed ? m : n;
    if (of[layout].times) columns = columns * of[layout].times + of[layout].extra;
    Shape shape = layout == SELECTED   ? AG_SHAPE(m, n, 3)
                  : layout == EXPANDED ? AG_SHAPE(1, n)
                                       : AG_SHAPE(rows, columns);
    pair base = both(numbers(shape, dtype));
    return (pair){ view_of(base.here, layout, m, n), view_of(base.there, layout, m, n) };
}

static const struct {
    int64_t m, n, k;
} shapes[] = { { 3, 5, 4 },   { 1, 1, 1 },   { 1, 6, 5 },    { 7, 1, 3 },   { 4, 3, 1 },   { 5, 1, 1 },
               { 1, 1, 40 },  { 70, 67, 9 }, { 5, 66, 210 }, { 1, 9, 300 }, { 9, 1, 300 }, { 2, 3, 5000 },
               { 66, 64, 3 }, { 3, 4, 0 },   { 0, 4, 3 },    { 2, 0, 3 } };
enum { N_SHAPES = sizeof shapes / sizeof *shapes };

/* ---- values ---- */

START_TEST(products_of_matrices_that_lie_in_any_way)
{
    static const ag_dtype dtypes[] = { AG_FLOAT32, AG_FLOAT64, AG_INT64, AG_INT32, AG_UINT8 };
    for (int d = 0; d < 5; d++)
        for (int s = 0; s < N_SHAPES; s++)
            for (int l = 0; l < N_LAYOUTS * N_LAYOUTS; l++) {
                AG_SCOPE;
                const int64_t work = shapes[s].m * shapes[s].n * shapes[s].k;
                if (work > 2000 && l % 5) continue; /* each layout once at least, on either side */
                pair a = matrix(l / N_LAYOUTS, shapes[s].m, shapes[s].k, dtypes[d]);
                pair b = matrix(l % N_LAYOUTS, shapes[s].k, shapes[s].n, dtypes[d]);
                double tolerance = tolerance_of(dtypes[d]) * sqrt((double)shapes[s].k + 1);
                cuda_same(ag_to(ag_mm(a.there, b.there), AG_CPU), ag_mm(a.here, b.here), tolerance);
            }
}
END_TEST

/* beta input + alpha product, where input is a matrix, a row, a column, one number; and 0 times NaN is 0. */
START_TEST(products_are_added_to_what_is_there)
{
    static const double factors[][2] = { { 1, 1 }, { 0, 2 }, { -2, 0.5 }, { 1, 3 }, { 2, 0 } };
    for (int d = 0; d < AG_BOOL; d++)
        for (int s = 0; s < N_SHAPES; s++)
            for (int f = 0; f < 5; f++)
                for (int l = 0; l < 5; l++) {
                    AG_SCOPE;
                    ag_dtype dtype = (ag_dtype)d;
                    const int64_t m = shapes[s].m, n = shapes[s].n, k = shapes[s].k;
                    pair a = matrix((f + l) % N_LAYOUTS, m, k, dtype), b = matrix(l % 2, k, n, dtype);
                    pair c = l < 3 ? matrix(l * 2, m, n, dtype)
                                   : both(numbers(l == 3 ? AG_SHAPE(n) : AG_SHAPE(m, 1), dtype));
                    if (f == 1 && d <= AG_FLOAT64) c = both(ag_full(AG_SHAPE(m, n), NAN, .dtype = dtype));
                    const double beta = factors[f][0], alpha = factors[f][1];
                    double tolerance = 3 * tolerance_of(dtype) * sqrt((double)k + 1);
                    cuda_same(ag_to(ag_addmm(c.there, a.there, b.there, .beta = beta, .alpha = alpha), AG_CPU),
                              ag_addmm(c.here, a.here, b.here, .beta = beta, .alpha = alpha), tolerance);
                    if (l >= 3) continue;
                    OK(ag_addmm_(c.there, a.there, b.there, .beta = beta, .alpha = alpha));
                    OK(ag_addmm_(c.here, a.here, b.here, .beta = beta, .alpha = alpha));
                    cuda_same(ag_to(c.there, AG_CPU), c.here, tolerance);
                }
}
END_TEST

static pair batches(int layout, int64_t b, int64_t m, int64_t n, ag_dtype dtype)
{
    pair x = both(numbers(layout == 0   ? AG_SHAPE(b, m, n)
                          : layout == 1 ? AG_SHAPE(b, n, m)
                          : layout == 2 ? AG_SHAPE(m, b, n)
                          : layout == 3 ? AG_SHAPE(n, m, b)
                                        : AG_SHAPE(1, m, n),
                          dtype));
    Variable **each[] = { &x.here, &x.there };
    for (int i = 0; i < 2; i++)
        *each[i] = layout == 1   ? ag_transpose(*each[i], 1, 2)
                   : layout == 2 ? ag_transpose(*each[i], 0, 1)
                   : layout == 3 ? ag_transpose(*each[i], 0, 2)
                   : layout == 4 ? ag_expand(*each[i], AG_SHAPE(b, m, n))
                                 : *each[i];
    return x;
}
START_TEST(products_of_batches)
{
    static const int64_t sizes[][4] = { { 3, 4, 5, 6 },  { 1, 2, 3, 4 },  { 2, 1, 7, 130 }, { 2, 3, 1, 1 },
                                        { 4, 1, 1, 3 },  { 2, 3, 2, 0 },  { 0, 3, 2, 2 },   { 2, 66, 3, 20 },
                                        { 12, 2, 3, 4 }, { 7, 1, 7, 130 } };
    for (int d = 0; d < AG_BOOL; d++)
        for (int s = 0; s < (int)(sizeof sizes / sizeof *sizes); s++)
            for (int l = 0; l < 25; l++) {
                AG_SCOPE;
                ag_dtype dtype = (ag_dtype)d;
                const int64_t b = sizes[s][0], m = sizes[s][1], n = sizes[s][2], k = sizes[s][3];
                pair x = batches(l / 5, b, m, k, dtype), y = batches(l % 5, b, k, n, dtype);
                pair z = l % 3 ? batches(l % 4, b, m, n, dtype) : both(numbers(AG_SHAPE(n), dtype));
                double t = 2 * tolerance_of(dtype) * sqrt((double)k + 1);
                cuda_same(ag_to(ag_bmm(x.there, y.there), AG_CPU), ag_bmm(x.here, y.here), t);
                cuda_same(ag_to(ag_baddbmm(z.there, x.there, y.there, .beta = 3, .alpha = 2), AG_CPU),
                          ag_baddbmm(z.here, x.here, y.here, .beta = 3, .alpha = 2), 4 * t);
                cuda_same(ag_to(ag_addbmm(ag_select(batches(0, 1, m, n, dtype).there, 0, 0), x.there, y.there,
                                          .beta = 0, .alpha = 2),
                                AG_CPU),
                          ag_addbmm(numbers(AG_SHAPE(m, n), dtype), x.here, y.here, .beta = 0, .alpha = 2), 4 * t);
                if (l % 3 == 0) continue;
                OK(ag_baddbmm_(z.there, x.there, y.there, .beta = 1));
                OK(ag_baddbmm_(z.here, x.here, y.here, .beta = 1));
                cuda_same(ag_to(z.there, AG_CPU), z.here, 4 * t);
            }
}
END_TEST

/* A vector of n numbers, 1, 2 or no step apart. */
static pair vector(int layout, int64_t n, ag_dtype dtype)
{
    pair x = both(numbers(layout == 2 ? AG_SHAPE(1) : AG_SHAPE(layout == 1 ? 2 * n : n), dtype));
    if (layout == 2) return (pair){ ag_expand(x.here, AG_SHAPE(n)), ag_expand(x.there, AG_SHAPE(n)) };
    if (layout == 0) return x;
    return (pair){ ag_slice(x.here, .start = 0, .end = 2 * n, .step = 2),
                   ag_slice(x.there, .start = 0, .end = 2 * n, .step = 2) };
}
START_TEST(products_with_vectors)
{
    static const int64_t sizes[][2] = { { 4, 5 }, { 1, 1 }, { 1, 300 }, { 3, 1 }, { 70, 30 }, { 3, 0 }, { 0, 3 } };
    for (int d = 0; d < AG_BOOL; d++)
        for (int s = 0; s < (int)(sizeof sizes / sizeof *sizes); s++)
            for (int l = 0; l < 3 * N_LAYOUTS; l++) {
                AG_SCOPE;
                ag_dtype dtype = (ag_dtype)d;
                const int64_t m = sizes[s][0], k = sizes[s][1];
                pair a = matrix(l / 3, m, k, dtype), x = vector(l % 3, k, dtype), y = vector(l / 3 % 3, k, dtype);
                pair c = vector(l / 3 % 2, m, dtype);
                double t = 2 * tolerance_of(dtype) * sqrt((double)k + 1);
                cuda_same(ag_to(ag_mv(a.there, x.there), AG_CPU), ag_mv(a.here, x.here), t);
                cuda_same(ag_to(ag_dot(x.there, y.there), AG_CPU), ag_dot(x.here, y.here), t);
                cuda_same(ag_to(ag_addmv(c.there, a.there, x.there, .beta = 2, .alpha = 3), AG_CPU),
                          ag_addmv(c.here, a.here, x.here, .beta = 2, .alpha = 3), 3 * t);
                cuda_same(ag_to(ag_addr(ag_to(ag_ones(AG_SHAPE(1)), AG_CUDA), x.there, c.there, .alpha = 2), AG_CPU),
                          ag_addr(ag_ones(AG_SHAPE(1)), x.here, c.here, .alpha = 2), t);
                OK(ag_addmv_(c.there, a.there, x.there, .alpha = 2));
                OK(ag_addmv_(c.here, a.here, x.here, .alpha = 2));
                cuda_same(ag_to(c.there, AG_CPU), c.here, 3 * t);
            }
    Variable *flag = ag_ones(AG_SHAPE(3), .dtype = AG_BOOL), *there = ag_to(flag, AG_CUDA);
    cuda_same(ag_to(ag_addr(ag_to(ag_zeros(AG_SHAPE(3, 3), .dtype = AG_BOOL), AG_CUDA), there, there), AG_CPU),
              ag_addr(ag_zeros(AG_SHAPE(3, 3), .dtype = AG_BOOL), flag, flag), 0);
}
END_TEST

/* Of several sizes, so that cublasLt's way is found anew, found again, and sometimes not known. */
START_TEST(linear_adds_its_bias)
{
    static const int64_t sizes[][3] = { { 4, 5, 6 }, { 4, 5, 11 }, { 1, 5, 6 }, { 4, 1, 6 },  { 4, 5, 1 },
                                        { 4, 5, 6 }, { 8, 3, 2 },  { 3, 4, 0 }, { 70, 9, 13 } };
    for (int d = 0; d < AG_BOOL; d++)
        for (int s = 0; s < (int)(sizeof sizes / sizeof *sizes); s++)
            for (int l = 0; l < N_LAYOUTS * 3; l++) {
                AG_SCOPE;
                ag_dtype dtype = (ag_dtype)d;
                const int64_t m = sizes[s][0], n = sizes[s][1], k = sizes[s][2];
                pair x = matrix(l / 3, m, k, dtype), w = matrix(l % 2, n, k, dtype), b = vector(l % 3, n, dtype);
                double t = 2 * tolerance_of(dtype) * sqrt((double)k + 1);
                cuda_same(ag_to(ag_linear(x.there, w.there, b.there), AG_CPU), ag_linear(x.here, w.here, b.here), t);
                cuda_same(ag_to(ag_linear(x.there, w.there), AG_CPU), ag_linear(x.here, w.here), t);
            }
    pair x = both(numbers(AG_SHAPE(2, 3, 4), AG_FLOAT64)), w = both(numbers(AG_SHAPE(5, 4), AG_FLOAT64));
    pair row = both(numbers(AG_SHAPE(3, 5), AG_FLOAT64)), v = both(numbers(AG_SHAPE(4), AG_FLOAT64));
    Variable *t_here = ag_transpose(x.here, 0, 1), *t_there = ag_transpose(x.there, 0, 1);
    cuda_same(ag_to(ag_linear(x.there, w.there, row.there), AG_CPU), ag_linear(x.here, w.here, row.here), 1e-14);
    cuda_same(ag_to(ag_linear(t_there, w.there), AG_CPU), ag_linear(t_here, w.here), 1e-14);
    cuda_same(ag_to(ag_linear(x.there, v.there), AG_CPU), ag_linear(x.here, v.here), 1e-14);
    cuda_same(ag_to(ag_matmul(ag_unsqueeze(x.there, 1), ag_t(w.there)), AG_CPU),
              ag_matmul(ag_unsqueeze(x.here, 1), ag_t(w.here)), 1e-14);
    cuda_same(ag_to(ag_matmul(ag_expand(x.there, AG_SHAPE(3, 2, 3, 4)), ag_transpose(x.there, 1, 2)), AG_CPU),
              ag_matmul(ag_expand(x.here, AG_SHAPE(3, 2, 3, 4)), ag_transpose(x.here, 1, 2)), 1e-14);
}
END_TEST

/* What cuBLAS can take costs no kernel of the plug-in's own. */
START_TEST(operands_that_lie_well_are_not_copied)
{
    const char *library = getenv("AG_CUBLAS");
    int before = cuda_launches();
    if (before < 0 || (library && strcmp(library, "0") == 0)) return;
    for (int l = 0; l < N_LAYOUTS * N_LAYOUTS; l++) {
        const bool good = l / N_LAYOUTS < EVERY_SECOND && l % N_LAYOUTS < EVERY_SECOND;
        pair a = matrix(l / N_LAYOUTS, 3, 5, AG_FLOAT32), b = matrix(l % N_LAYOUTS, 5, 4, AG_FLOAT32);
        before = cuda_launches();
        OK(ag_mm(a.there, b.there));
        ck_assert_int_eq(cuda_launches() > before, !good);
    }
    for (int l = 0; l < 5; l++) {
        pair a = batches(l, 3, 2, 5, AG_FLOAT32), b = batches(l, 3, 5, 4, AG_FLOAT32);
        before = cuda_launches();
        OK(ag_bmm(a.there, b.there));
        ck_assert_int_eq(cuda_launches() > before, l == 3); /* batch-last: no stride of the matrices is 1 */
    }
    for (int k = 10; k < 12; k++) { /* the stand-in has no way to add a bias after 11 terms */
        pair x = matrix(PLAIN, 3, k, AG_FLOAT32), w = matrix(PLAIN, 4, k, AG_FLOAT32), b = vector(0, 4, AG_FLOAT32);
        before = cuda_launches();
        OK(ag_linear(x.there, w.there, b.there));
        ck_assert_int_eq(cuda_launches() - before, k == 11);
    }
}
END_TEST

START_TEST(infinite_and_undefined_factors_show)
{
    for (int d = 0; d <= AG_FLOAT64; d++) {
        Variable *a = numbers(AG_SHAPE(4, 6), (ag_dtype)d), *b = numbers(AG_SHAPE(6, 3), (ag_dtype)d);
        OK(ag_fill_(ag_select(ag_select(a, 0, 1), 0, 2), NAN));
        OK(ag_fill_(ag_select(ag_select(a, 0, 2), 0, 3), INFINITY));
        OK(ag_zero_(ag_select(ag_select(b, 0, 3), 0, 0)));
        Variable *y = ag_to(ag_mm(ag_to(a, AG_CUDA), ag_to(b, AG_CUDA)), AG_CPU);
        cuda_same(y, ag_mm(a, b), 1e-6);
        ck_assert(isnan(support_at(y, 3)) && isnan(support_at(y, 6)) && isinf(support_at(y, 7)));
    }
}
END_TEST

/* ---- gradients ---- */

typedef Variable *function(Variable *const *in);
static Variable *f_mm(Variable *const *in) { return ag_mm(in[0], in[1]); }
static Variable *f_mm_t(Variable *const *in) { return ag_mm(ag_t(in[1]), ag_t(in[0])); }
static Variable *f_addmm(Variable *const *in) { return ag_addmm(in[2], in[0], in[1], .beta = 0.5, .alpha = 2); }
static Variable *f_bmm(Variable *const *in) { return ag_bmm(in[0], in[1]); }
static Variable *f_baddbmm(Variable *const *in) { return ag_baddbmm(in[2], in[0], in[1], .beta = 2, .alpha = 3); }
static Variable *f_addbmm(Variable *const *in) { return ag_addbmm(in[2], in[0], in[1], .beta = 2, .alpha = 3); }
static Variable *f_mv(Variable *const *in) { return ag_mv(in[0], in[1]); }
static Variable *f_addmv(Variable *const *in) { return ag_addmv(in[2], in[0], in[1], .beta = 2, .alpha = 3); }
static Variable *f_dot(Variable *const *in) { return ag_dot(in[0], in[1]); }
static Variable *f_addr(Variable *const *in) { return ag_addr(in[2], in[0], in[1], .beta = 2, .alpha = 3); }
static Variable *f_linear(Variable *const *in) { return ag_linear(in[0], in[1], in[2]); }
static Variable *f_matmul(Variable *const *in) { return ag_matmul(in[0], in[1]); }
static Variable *f_in_place(Variable *const *in)
{
    Variable *y = ag_mul(in[2], in[2]);
    return ag_addmm_(y, in[0], in[1]);
}

#define SIZES(...)                                                                   \
    {                                                                                \
        (int)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), { __VA_ARGS__ } \
    }
static const struct {
    const char *name;
    function *f;
    int n_in;
    struct {
        int n;
        int64_t at[4];
    } in[3];
} functions[] = {
    { "mm", f_mm, 2, { SIZES(3, 4), SIZES(4, 5) } },
    { "mm of transposed", f_mm_t, 2, { SIZES(3, 4), SIZES(4, 3) } },
    { "addmm", f_addmm, 3, { SIZES(3, 4), SIZES(4, 5), SIZES(5) } },
    { "addmm_", f_in_place, 3, { SIZES(3, 4), SIZES(4, 5), SIZES(3, 5) } },
    { "bmm", f_bmm, 2, { SIZES(2, 3, 4), SIZES(2, 4, 5) } },
    { "baddbmm", f_baddbmm, 3, { SIZES(2, 3, 4), SIZES(2, 4, 5), SIZES(3, 1) } },
    { "addbmm", f_addbmm, 3, { SIZES(2, 3, 4), SIZES(2, 4, 5), SIZES(3, 5) } },
    { "mv", f_mv, 2, { SIZES(3, 4), SIZES(4) } },
    { "addmv", f_addmv, 3, { SIZES(3, 4), SIZES(4), SIZES(1) } },
    { "dot", f_dot, 2, { SIZES(6), SIZES(6) } },
    { "addr", f_addr, 3, { SIZES(3), SIZES(4), SIZES(3, 4) } },
    { "linear", f_linear, 3, { SIZES(5, 4), SIZES(3, 4), SIZES(3) } },
    { "linear in 3-D", f_linear, 3, { SIZES(2, 5, 4), SIZES(3, 4), SIZES(3) } },
    { "matmul", f_matmul, 2, { SIZES(5, 1, 2, 3), SIZES(2, 3, 4) } },
};

/* Of f(x) . w: the gradients, then those of their squares' sum. */
static void gradients(int row, ag_device device, Variable *const *x, Variable **first, Variable **second)
{
    const int n = functions[row].n_in;
    Variable *in[3], *sum = NULL;
    for (int i = 0; i < n; i++) in[i] = ag_requires_grad_(ag_to(x[i], device, .copy = true));
    Variable *y = functions[row].f(in);
    OK(y);
    y = ag_sum(ag_mul(ag_sin(y), y));
    OK(ag_autograd_grad(AG_LIST(y), ag_list_from(n, in), first, .create_graph = true));
    for (int i = 0; i < n; i++) {
        Variable *square = ag_sum(ag_mul(first[i], first[i]));
        sum = sum ? ag_add(sum, square) : square;
    }
    OK(ag_autograd_grad(AG_LIST(sum), ag_list_from(n, in), second));
    for (int i = 0; i < n; i++) {
        ck_assert_int_eq(ag_device_of(second[i]).type, device.type);
        first[i] = ag_to(ag_detach(first[i]), AG_CPU);
        second[i] = ag_to(second[i], AG_CPU);
    }
}
START_TEST(gradients_of_both_orders_are_those_of_the_cpu)
{
    for (int row = 0; row < (int)(sizeof functions / sizeof *functions); row++) {
        AG_SCOPE;
        Variable *x[3], *first[2][3], *second[2][3];
        for (int i = 0; i < functions[row].n_in; i++)
            x[i] = support_draw(ag_sizes_of(functions[row].in[i].n, functions[row].in[i].at), AG_FLOAT64, 1);
        gradients(row, AG_CPU, x, first[0], second[0]);
        gradients(row, AG_CUDA, x, first[1], second[1]);
        for (int i = 0; i < functions[row].n_in; i++) {
            cuda_same_at(first[1][i], first[0][i], 1e-12, functions[row].name, __FILE__, __LINE__);
            cuda_same_at(second[1][i], second[0][i], 1e-11, functions[row].name, __FILE__, __LINE__);
        }
    }
}
END_TEST

/* ---- switches and refusals ---- */

START_TEST(tf32_is_a_choice)
{
    ck_assert_str_eq(ag_get_float32_matmul_precision(), "highest");
    ck_assert(!ag_cuda_allow_tf32());
    Variable *x = ag_full(AG_SHAPE(2, 2), 1 + 0x1p-12, .device = AG_CUDA), *one = ag_eye(2, .device = AG_CUDA);
    ck_assert_double_eq(support_at(ag_to(ag_mm(x, one), AG_CPU), 0), 1 + 0x1p-12);
    OK(ag_set_float32_matmul_precision("high"));
    ck_assert(ag_cuda_allow_tf32());
    const char *library = getenv("AG_CUBLAS");
    if (cuda_emulation("cuda_host_fault")) { /* whose stand-in rounds to it */
        const double rounded = library && strcmp(library, "0") == 0 ? 1 + 0x1p-12 : 1;
        ck_assert_double_eq(support_at(ag_to(ag_mm(x, one), AG_CPU), 0), rounded);
    }
    Variable *y = ag_ones(AG_SHAPE(2, 2), .dtype = AG_FLOAT64, .device = AG_CUDA);
    OK(ag_mul_(y, ag_scalar(1 + 0x1p-40)));
    ck_assert_double_eq(support_at(ag_to(ag_mm(y, ag_to(one, .dtype = AG_FLOAT64)), AG_CPU), 0), 1 + 0x1p-40);
    REFUSED(ag_set_float32_matmul_precision("low"), "not \"low\"");
    ck_assert_str_eq(ag_get_float32_matmul_precision(), "high");
    ag_cuda_set_allow_tf32(false);
    ck_assert_str_eq(ag_get_float32_matmul_precision(), "highest");
    ck_assert(ag_are_deterministic_algorithms_enabled());
    ag_use_deterministic_algorithms(false);
    ck_assert(!ag_are_deterministic_algorithms_enabled());
    ag_use_deterministic_algorithms(true);
}
END_TEST

START_TEST(what_does_not_fit_is_refused_as_on_the_cpu)
{
    Variable *x = ag_ones(AG_SHAPE(2, 3), .device = AG_CUDA), *v = ag_ones(AG_SHAPE(4), .device = AG_CUDA);
    REFUSED(ag_mm(x, x), "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)");
    REFUSED(ag_mm(x, ag_t(ag_to(x, .dtype = AG_FLOAT64))), "all must have the same dtype");
    REFUSED(ag_mm(x, ag_ones(AG_SHAPE(3, 2))), "found at least two devices, cuda:0 and cpu");
    REFUSED(ag_mv(x, v), "size mismatch");
    REFUSED(ag_dot(v, ag_ones(AG_SHAPE(3), .device = AG_CUDA)), "inconsistent tensor size");
    REFUSED(ag_linear(x, ag_ones(AG_SHAPE(5, 4), .device = AG_CUDA)), "input has 3 features but weight wants 4");
    REFUSED(ag_addmm_(ag_expand(v, AG_SHAPE(2, 4)), x, ag_ones(AG_SHAPE(3, 4), .device = AG_CUDA)),
            "single memory location");
    OK(ag_mm(x, ag_t(x)));
}
END_TEST

START_TEST(each_device_has_its_own)
{
    if (ag_cuda_device_count() < 2) return;
    Variable *x = support_draw(AG_SHAPE(3, 3), AG_FLOAT32, 1), *there = ag_to(x, AG_DEVICE(AG_DEVICE_CUDA, 1));
    cuda_same(ag_to(ag_mm(there, ag_t(there)), AG_CPU), ag_mm(x, ag_t(x)), 1e-6);
    cuda_same(ag_to(ag_mm(ag_to(x, AG_CUDA), ag_to(x, AG_CUDA)), AG_CPU), ag_mm(x, x), 1e-6);
    cuda_same(ag_to(ag_linear(there, there, ag_select(there, 0, 0)), AG_CPU), ag_linear(x, x, ag_select(x, 0, 0)),
              1e-6);
}
END_TEST

SUPPORT_MAIN("cuda/matmul", products_of_matrices_that_lie_in_any_way, products_are_added_to_what_is_there,
             products_of_batches, products_with_vectors, linear_adds_its_bias, operands_that_lie_well_are_not_copied,
             infinite_and_undefined_factors_show, gradients_of_both_orders_are_those_of_the_cpu, tf32_is_a_choice,
             what_does_not_fit_is_refused_as_on_the_cpu, each_device_has_its_own)

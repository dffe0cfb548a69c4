/* test_cuda_random.c - random numbers on a device: against a plain Philox and PyTorch's known numbers, the state of the
 * generator, and dropout, whose mask is drawn again for its gradient. */
#include "tests/cuda/cuda_cases.h"

#include <argent/dropout.h>
#include <argent/generator.h>
#include <argent/random.h>

enum { BLOCK = 256 };

/* Word `word` of that call of that sequence, from the paper. */
static uint32_t philox(uint64_t seed, uint64_t sequence, uint64_t call, int word)
{
    uint32_t c[4] = { (uint32_t)call, (uint32_t)(call >> 32), (uint32_t)sequence, (uint32_t)(sequence >> 32) };
    uint32_t k[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = UINT64_C(0xD2511F53) * c[0], p1 = UINT64_C(0xCD9E8D57) * c[2];
        uint32_t next[4] = { (uint32_t)(p1 >> 32) ^ c[1] ^ k[0], (uint32_t)p1, (uint32_t)(p0 >> 32) ^ c[3] ^ k[1],
                             (uint32_t)p0 };
        memcpy(c, next, sizeof c);
        k[0] += 0x9E3779B9;
        k[1] += 0xBB67AE85;
    }
    return c[word];
}
static double uniform(uint32_t word) { return (double)(fmaf((float)word, 0x1p-32f, 0x1p-33f)); }

static ag_generator *generator(void) { return ag_cuda_default_generator(AG_CUDA); }
static uint64_t offset_now(void)
{
    unsigned char state[AG_CUDA_RNG_STATE_BYTES];
    uint64_t offset;
    OK(ag_generator_get_state(generator(), state));
    memcpy(&offset, state + 8, 8);
    return offset;
}
static void set_offset(uint64_t offset)
{
    unsigned char state[AG_CUDA_RNG_STATE_BYTES];
    OK(ag_generator_get_state(generator(), state));
    memcpy(state + 8, &offset, 8);
    OK(ag_generator_set_state(generator(), state, sizeof state));
}

/* The emulation has 4 multiprocessors of 2048 threads: as many blocks as can run at once. */
enum { MOST_THREADS = 4 * 2048 };
static int64_t threads_for(int64_t n)
{
    int64_t threads = (n + BLOCK - 1) / BLOCK * BLOCK;
    return threads < MOST_THREADS ? threads : MOST_THREADS;
}

/* ---- numbers ---- */

START_TEST(numbers_are_pytorchs)
{
    ag_manual_seed(0); /* torch.rand(8, device='cuda'), torch.randn(8, device='cuda') */
    static const double wanted[] = { 0.3990, 0.5167, 0.0249, 0.9401, 0.9459, 0.7967, 0.4150, 0.8203 },
                        normal[] = { -0.9247, -0.4253, -2.6438, 0.1452, -0.1209, -0.5797, -0.6229, -0.3284 };
    Variable *x = ag_to(ag_rand(AG_SHAPE(8), .device = AG_CUDA), AG_CPU);
    ag_manual_seed(0);
    Variable *y = ag_to(ag_randn(AG_SHAPE(8), .device = AG_CUDA), AG_CPU);
    for (int i = 0; i < 8; i++) {
        ck_assert(fabs(support_at(x, i) - wanted[i]) < 6e-5);
        ck_assert(fabs(support_at(y, i) - normal[i]) < 6e-5);
    }
    ag_manual_seed(0); /* the known answer of Random123: 6627e8d5 e169c58d bc57ac4c 9b00dbd8 */
    Variable *whole = ag_empty(AG_SHAPE(2 * BLOCK), .dtype = AG_INT64, .device = AG_CUDA);
    OK(ag_random_(whole, 0, INT64_MAX));
    ck_assert_int_eq(ag_item_int64(ag_select(whole, 0, 0)), 0x6627e8d5e169c58d);
}
END_TEST

static void check_uniform(int64_t n, ag_dtype dtype)
{
    const uint64_t seed = 0x123456789abcdef0, begin = offset_now() / 4;
    const int64_t threads = threads_for(n);
    Variable *x = ag_to(ag_uniform_(ag_empty(AG_SHAPE(n), .dtype = dtype, .device = AG_CUDA), -1, 3), AG_CPU);
    const int each = dtype == AG_FLOAT64 ? 2 : 4;
    for (int64_t i = 0; i < n; i++) {
        uint64_t sequence = (uint64_t)(i % threads), call = begin + (uint64_t)(i / threads / each);
        int k = (int)(i / threads % each);
        double u = uniform(philox(seed, sequence, call, k));
        if (each == 2)
            u = fma((double)((uint64_t)philox(seed, sequence, call, 2 * k) ^
                             (uint64_t)philox(seed, sequence, call, 2 * k + 1) << 21),
                    0x1p-53, 0x1p-54);
        double wanted = each == 2 ? fma(u, 4, -1) : (double)fmaf((float)u, 4, -1);
        ck_assert_msg(support_at(x, i) == (wanted == 3 ? -1 : wanted), "element %lld", (long long)i);
    }
    ck_assert_uint_eq(offset_now() - 4 * begin, (uint64_t)((n - 1) / (threads * each) + 1) * 4);
}
START_TEST(uniform_numbers_lie_where_pytorch_puts_them)
{
    ag_manual_seed(0x123456789abcdef0);
    static const int64_t n[] = { 1, 255, 1000, MOST_THREADS + 5, 5 * MOST_THREADS + 77 };
    for (int k = 0; k < (cuda_emulation("cuda_host_kernels") ? 5 : 3); k++) {
        check_uniform(n[k], AG_FLOAT32);
        check_uniform(n[k], AG_FLOAT64);
    }
    set_offset(4 * (UINT64_C(5) << 32 | 0xffffffff)); /* a call's number has 64 bits */
    check_uniform(1000, AG_FLOAT32);
    check_uniform(1000, AG_FLOAT64);
}
END_TEST

/* Two of two words (float32) or of four (float64), by Box and Muller: sine first. */
static void check_normal(int64_t n, ag_dtype dtype)
{
    const uint64_t seed = 0x123456789abcdef0, begin = offset_now() / 4;
    const int64_t threads = threads_for(n);
    Variable *x = ag_to(ag_normal_(ag_empty(AG_SHAPE(n), .dtype = dtype, .device = AG_CUDA), 2, 3), AG_CPU);
    const int each = dtype == AG_FLOAT64 ? 2 : 4;
    for (int64_t i = 0; i < n; i++) {
        uint64_t sequence = (uint64_t)(i % threads), call = begin + (uint64_t)(i / threads / each), word[4];
        int k = (int)(i / threads % each), pair = k / 2 * 2;
        for (int w = 0; w < 4; w++) word[w] = philox(seed, sequence, call, w);
        double u = uniform((uint32_t)word[pair]), turns = ((double)word[pair + 1] + 0.5) * 0x1p-32;
        if (each == 2) {
            u = fma((double)(word[0] ^ word[1] << 21), 0x1p-53, 0x1p-54);
            turns = fma((double)(word[2] ^ word[3] << 21), 0x1p-53, 0x1p-54);
        }
        double angle = 2 * M_PI * turns, wanted = 2 + 3 * sqrt(-2 * log(u)) * (k % 2 ? cos(angle) : sin(angle));
        ck_assert_msg(fabs(support_at(x, i) - wanted) < (each == 2 ? 1e-12 : 6e-5), "element %lld is %g, not %g",
                      (long long)i, support_at(x, i), wanted);
    }
}
START_TEST(normal_numbers_lie_where_pytorch_puts_them)
{
    ag_manual_seed(0x123456789abcdef0);
    static const int64_t n[] = { 1, 1000, 5 * MOST_THREADS + 77 };
    for (int k = 0; k < (cuda_emulation("cuda_host_kernels") ? 3 : 2); k++) {
        check_normal(n[k], AG_FLOAT32);
        check_normal(n[k], AG_FLOAT64);
    }
}
END_TEST

/* The word of this seed that becomes an angle is 0, so that half a step is all of it. A GPU's own sine errs by more. */
START_TEST(the_angle_of_a_normal_number_is_moved_by_half_a_step)
{
    enum { SEED = 293046734 };
    if (!cuda_emulation("cuda_host_kernels")) return;
    ck_assert_uint_eq(philox(SEED, 0, 0, 1), 0);
    ag_manual_seed(SEED);
    const double x = ag_item(ag_randn(AG_SHAPE(1), .device = AG_CUDA));
    const double wanted = sqrt(-2 * log(uniform(philox(SEED, 0, 0, 0)))) * sin(M_PI * 0x1p-32);
    ck_assert_msg(fabs(x - wanted) < 1e-6 * wanted, "%g, not %g", x, wanted);
}
END_TEST

START_TEST(they_go_along_the_memory)
{
    ag_manual_seed(3);
    Variable *x = ag_uniform_(ag_empty(AG_SHAPE(4, 6), .device = AG_CUDA), 0, 1);
    ag_manual_seed(3);
    Variable *y = ag_empty(AG_SHAPE(4, 6), .device = AG_CUDA), *turned = ag_uniform_(ag_transpose(y, 0, 1), 0, 1);
    cuda_same(ag_to(y, AG_CPU), ag_to(x, AG_CPU), 0);
    OK(turned);
    ag_manual_seed(3);
    Variable *wide = ag_zeros(AG_SHAPE(4, 12), .device = AG_CUDA), *part = ag_slice(wide, .dim = 1, .step = 2);
    OK(ag_uniform_(part, 0, 1));
    cuda_same(ag_to(part, AG_CPU), ag_to(x, AG_CPU), 0);
    cuda_same(ag_to(ag_slice(wide, .dim = 1, .start = 1, .step = 2), AG_CPU), ag_zeros(AG_SHAPE(4, 6)), 0);
}
END_TEST

/* Mean and variance of many, for each distribution. */
static void check_moments(Variable *x, double mean, double variance)
{
    Variable *y = ag_to(x, AG_CPU, .dtype = AG_FLOAT64);
    const double n = (double)ag_numel(y), m = ag_item(ag_mean(y)),
                 v = ag_item(ag_mean(ag_square(ag_sub(y, ag_scalar(m)))));
    ck_assert_msg(fabs(m - mean) < 6 * sqrt(variance / n), "mean %g, wanted %g", m, mean);
    ck_assert_msg(fabs(v - variance) < 0.2 * variance, "variance %g, wanted %g", v, variance);
}
START_TEST(distributions_have_their_moments)
{
    ag_manual_seed(11);
    const Shape shape = AG_SHAPE(9000);
    for (int d = AG_FLOAT32; d <= AG_FLOAT64; d++) {
        Variable *x = ag_empty(shape, .dtype = (ag_dtype)d, .device = AG_CUDA);
        check_moments(ag_normal_(x, 2, 3), 2, 9);
        check_moments(ag_exponential_(x, 4), 0.25, 1.0 / 16);
        check_moments(ag_uniform_(x, 1, 3), 2, 1.0 / 3);
        check_moments(ag_randn(shape, .dtype = (ag_dtype)d, .device = AG_CUDA), 0, 1);
        check_moments(ag_randn_like(x), 0, 1);
        check_moments(ag_rand_like(x), 0.5, 1.0 / 12);
        Variable *p = ag_full(shape, 0.3, .dtype = (ag_dtype)d, .device = AG_CUDA);
        check_moments(ag_bernoulli(p), 0.3, 0.21);
    }
    for (int d = 0; d < AG_N_DTYPES; d++) {
        Variable *x = ag_empty(shape, .dtype = (ag_dtype)d, .device = AG_CUDA);
        check_moments(ag_bernoulli_(x, 0.25), 0.25, 0.1875);
        check_moments(ag_random_(x, 0, 2), 0.5, 0.25);
        if (d == AG_BOOL) continue;
        check_moments(ag_random_(x, 3, 13), 7.5, 8.25);
    }
    check_moments(ag_randint(-5, 6, shape, .device = AG_CUDA), 0, 10);
    check_moments(ag_randint(0, INT64_C(1) << 40, shape, .dtype = AG_FLOAT64, .device = AG_CUDA), 0x1p39, 0x1p80 / 12);
}
END_TEST

START_TEST(each_its_own_probability)
{
    ag_manual_seed(5);
    Variable *p = ag_to(ag_transpose(support_random(AG_SHAPE(7, 9), 0, 1), 0, 1), AG_CUDA), *x = ag_bernoulli(p);
    Variable *same = ag_to(p, AG_CPU), *tossed = ag_to(x, AG_CPU);
    for (int i = 0; i < 63; i++) { /* the result is row-major, and its memory counts */
        double wanted = uniform(philox(5, (uint64_t)(i / 4), 0, i % 4)) <= support_at(same, i);
        ck_assert_msg(support_at(tossed, i) == wanted, "element %d", i);
    }
    OK(ag_bernoulli(ag_full(AG_SHAPE(3), 1.5, .device = AG_CUDA)));
    REFUSED(ag_cuda_synchronize(AG_CUDA), "Expected p_in >= 0 && p_in <= 1 to be true");
}
END_TEST

START_TEST(permutations_have_each_number_once)
{
    static const int64_t n[] = { 0, 1, 2, 100, 5000 };
    for (int k = 0; k < 5; k++) {
        ag_manual_seed(7);
        Variable *x = ag_to(ag_randperm(n[k], .device = AG_CUDA), AG_CPU);
        ag_manual_seed(7);
        Variable *again = ag_to(ag_randperm(n[k], .dtype = AG_FLOAT32, .device = AG_CUDA), AG_CPU);
        cuda_same(ag_to(again, .dtype = AG_INT64), x, 0);
        char *seen = calloc((size_t)n[k] + 1, 1);
        int64_t in_place = 0;
        for (int64_t i = 0; i < n[k]; i++) {
            int64_t at = (int64_t)support_at(x, i);
            ck_assert(at >= 0 && at < n[k] && !seen[at]);
            seen[at] = 1;
            in_place += at == i;
        }
        free(seen);
        if (n[k] > 99) ck_assert_int_lt(in_place, 10);
    }
}
END_TEST

/* ---- the generator ---- */

START_TEST(states_are_saved_and_restored)
{
    unsigned char state[AG_CUDA_RNG_STATE_BYTES], saved[AG_CUDA_RNG_STATE_BYTES];
    ag_manual_seed(42);
    ck_assert_uint_eq(ag_generator_initial_seed(generator()), 42);
    OK(ag_rand(AG_SHAPE(10), .device = AG_CUDA));
    OK(ag_generator_get_state(generator(), state));
    static const unsigned char wanted[] = { 42, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0 };
    ck_assert_mem_eq(state, wanted, sizeof wanted);
    Variable *x = ag_to(ag_randn(AG_SHAPE(10), .device = AG_CUDA), AG_CPU);
    {
        AG_FORK_RNG;
        OK(ag_generator_set_state(generator(), state, sizeof state));
        cuda_same(ag_to(ag_randn(AG_SHAPE(10), .device = AG_CUDA), AG_CPU), x, 0);
        ag_manual_seed(1);
    }
    OK(ag_generator_get_state(generator(), saved));
    ck_assert_int_eq(saved[0], 42);
    ck_assert_int_eq(saved[8], 8);
    REFUSED(ag_generator_set_state(generator(), state, 15), "RNG state is wrong size");
    state[8] = 3;
    REFUSED(ag_generator_set_state(generator(), state, 16), "offset must be a multiple of 4");
    REFUSED(ag_cuda_default_generator(AG_CPU), "cpu has no CUDA generator");
}
END_TEST

START_TEST(a_generator_of_ones_own)
{
    ag_generator *g = ag_generator_new_on(AG_CUDA), *host = ag_generator_new();
    ck_assert_int_eq(ag_generator_device(g).type, AG_DEVICE_CUDA);
    ck_assert_int_eq(ag_generator_device(host).type, AG_DEVICE_CPU);
    ck_assert_uint_eq(ag_generator_initial_seed(g), 67280421310721u);
    ag_generator_manual_seed(g, 9);
    ag_manual_seed(9);
    Variable *x = ag_rand(AG_SHAPE(20), .device = AG_CUDA);
    uint64_t offset = offset_now();
    cuda_same(ag_to(ag_rand(AG_SHAPE(20), .device = AG_CUDA, .generator = g), AG_CPU), ag_to(x, AG_CPU), 0);
    ck_assert_uint_eq(offset_now(), offset);
    REFUSED(ag_rand(AG_SHAPE(2), .generator = g), "Expected a 'cpu' device type for generator but found 'cuda'");
    REFUSED(ag_rand(AG_SHAPE(2), .device = AG_CUDA, .generator = host),
            "Expected a 'cuda' device type for generator but found 'cpu'");
    REFUSED(ag_randperm(4, .generator = g), "Expected a 'cpu' device type for generator but found 'cuda'");
    if (ag_cuda_device_count() > 1)
        REFUSED(ag_rand(AG_SHAPE(2), .device = AG_DEVICE(AG_DEVICE_CUDA, 1), .generator = g),
                "Expected a 'cuda:1' device type for generator but found 'cuda:0'");
    REFUSED(ag_generator_new_on(AG_ANY_DEVICE), "there is no device -1:0");
    ag_generator_free(g);
    ag_generator_free(host);
}
END_TEST

/* ---- dropout ---- */

/* PyTorch's mask: `side` neighbours a thread; of pairs the halves of a call one after the other. */
static double kept(uint64_t seed, uint64_t begin, int64_t i, int64_t n, double keep)
{
    const int side = n % 4 == 0 ? 4 : n % 2 == 0 ? 2 : 1;
    const int64_t threads = threads_for(n);
    uint64_t sequence, call;
    int word;
    if (side == 1) {
        sequence = (uint64_t)(i % threads);
        call = (uint64_t)(i / threads / 4);
        word = (int)(i / threads % 4);
    } else {
        int64_t round = i / side / threads;
        sequence = (uint64_t)(i / side % threads);
        call = (uint64_t)(side == 4 ? round : round / 2);
        word = (int)(i % side) + (side == 2 && round % 2 ? 2 : 0);
    }
    return uniform(philox(seed, sequence, begin + call, word)) < (double)(float)keep;
}
static void check_dropout(int64_t n, ag_dtype dtype)
{
    ag_manual_seed(77);
    Variable *x = ag_requires_grad_(ag_full(AG_SHAPE(n), 3, .dtype = dtype, .device = AG_CUDA));
    for (uint64_t begin = 0, pass = 0; pass < 2; pass++, begin = offset_now() / 4) {
        Variable *y = ag_dropout(x, 0.3), *g;
        OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x), &g, .grad_outputs = AG_LIST(ag_ones_like(y))));
        y = ag_to(y, AG_CPU);
        g = ag_to(g, AG_CPU);
        const double scale = dtype == AG_FLOAT64 ? 1 / 0.7 : (double)(float)(1.0 / (double)0.7f);
        for (int64_t i = 0; i < n; i++) {
            double mask = kept(77, begin, i, n, 0.7);
            double one = dtype == AG_FLOAT64 ? mask * scale : (double)((float)mask * (float)scale);
            double three = dtype == AG_FLOAT64 ? 3 * mask * scale : (double)(3 * (float)mask * (float)scale);
            ck_assert_msg(support_at(y, i) == three, "element %lld", (long long)i);
            ck_assert_msg(support_at(g, i) == one, "gradient %lld", (long long)i);
        }
    }
}
START_TEST(the_mask_is_drawn_again_for_the_gradient)
{
    static const int64_t n[] = {
        996, 1000, 1002, 1001, 4 * MOST_THREADS + 2, 5 * MOST_THREADS, 4 * MOST_THREADS + 3, 1
    };
    for (int k = 0; k < (cuda_emulation("cuda_host_kernels") ? 8 : 4); k++) {
        AG_SCOPE;
        check_dropout(n[k], k % 2 ? AG_FLOAT32 : AG_FLOAT64);
    }
}
END_TEST

START_TEST(however_x_and_its_gradient_lie)
{
    ag_manual_seed(2);
    Variable *x = ag_requires_grad_(
        ag_transpose(ag_rand(AG_SHAPE(6, 8), .dtype = AG_FLOAT64, .device = AG_CUDA), 0, 1));
    Variable *y = ag_dropout(x, 0.5), *g, *second,
             *one = ag_ones(AG_SHAPE(8, 6), .dtype = AG_FLOAT64, .device = AG_CUDA);
    OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x), &g, .grad_outputs = AG_LIST(one), .retain_graph = true));
    cuda_same(ag_to(ag_mul(g, x), AG_CPU), ag_to(y, AG_CPU), 0);
    OK(ag_autograd_grad(AG_LIST(ag_mul(y, y)), AG_LIST(x), &g, .grad_outputs = AG_LIST(one), .create_graph = true));
    OK(ag_autograd_grad(AG_LIST(g), AG_LIST(x), &second, .grad_outputs = AG_LIST(one)));
    cuda_same(ag_to(ag_div(ag_mul(second, x), ag_scalar(1)), AG_CPU), ag_to(g, AG_CPU), 1e-15);
    ag_manual_seed(2);
    OK(ag_rand(AG_SHAPE(6, 8), .dtype = AG_FLOAT64, .device = AG_CUDA));
    Variable *z = ag_mul(x, ag_scalar(1));
    OK(ag_dropout(z, 0.5, .inplace = true));
    cuda_same(ag_to(z, AG_CPU), ag_to(y, AG_CPU), 0);
    cuda_same(ag_to(ag_dropout(x, 1), AG_CPU), ag_zeros(AG_SHAPE(8, 6), .dtype = AG_FLOAT64), 0);
    ck_assert(ag_dropout(x, 0) == x && ag_dropout(x, 0.5, .training = false) == x);
    REFUSED(ag_dropout(x, 1.5), "dropout probability has to be between 0 and 1, but got 1.5");
    REFUSED(ag_dropout(ag_ones(AG_SHAPE(2), .dtype = AG_INT64, .device = AG_CUDA), 0.5), "can't be cast to Long");
}
END_TEST

START_TEST(whole_channels_are_dropped)
{
    ag_manual_seed(4);
    Variable *x = ag_ones(AG_SHAPE(3, 5, 2, 2), .device = AG_CUDA), *y = ag_to(ag_dropout2d(x, 0.5), AG_CPU);
    for (int i = 0; i < 15; i++) {
        double wanted = uniform(philox(4, (uint64_t)i, 0, 0)) < 0.5 ? 2 : 0;
        for (int k = 0; k < 4; k++) ck_assert(support_at(y, 4 * i + k) == wanted);
    }
}
END_TEST

SUPPORT_MAIN("cuda/random", numbers_are_pytorchs, uniform_numbers_lie_where_pytorch_puts_them,
             normal_numbers_lie_where_pytorch_puts_them, the_angle_of_a_normal_number_is_moved_by_half_a_step,
             they_go_along_the_memory, distributions_have_their_moments, each_its_own_probability,
             permutations_have_each_number_once, states_are_saved_and_restored, a_generator_of_ones_own,
             the_mask_is_drawn_again_for_the_gradient, however_x_and_its_gradient_lie, whole_channels_are_dropped)

/* test_generator.c - random numbers are PyTorch's, to the bit, on any instruction set and with any number of threads.
 */
#include "rng_replay.h"

#include "tensor/generator_internal.h"
#include "tensor/random_fill.h"
#include "tensor/random_kernels.h"

#include <argent/error.h>

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void tear_down(void) { ag_clear_error(); }

static ag_tensor row(void *data, ag_dtype dtype, int64_t n)
{
    return (ag_tensor){
        .data = data, .numel = n, .dtype = (uint8_t)dtype, .ndim = 1, .contiguous = true, .size = { n }, .stride = { 1 }
    };
}

static void assert_refused(bool outcome, const char *sentence)
{
    ck_assert(!outcome);
    ck_assert_ptr_nonnull(ag_error());
    ck_assert_str_eq(ag_error(), sentence);
    ck_assert_int_eq(ag_error_code(), AG_EINVAL);
    ag_clear_error();
}

/* ---- recorded ---- */

START_TEST(recorded_calls_give_pytorchs_numbers_states_and_sentences)
{
    ck_assert_int_gt(rng_replay(AG_TEST_DATA "/rng_calls.txt"), 2000);
}
END_TEST

/* ---- instruction sets ---- */

/* Words for the kernels: every low half with every fourth high bit pattern would take too long; the corners and a
 * random lot do. */
static uint32_t *many_words(int64_t n)
{
    uint32_t *words = malloc((size_t)n * sizeof *words);
    ag_generator *g = ag_generator_new();
    ag__generator_words(g, words, n);
    ag_generator_free(g);
    static const uint32_t corner[] = { 0,         1,          0xffffffu,   0xfffffeu, 0x800000u,
                                       0x7fffffu, UINT32_MAX, 0x80000000u, 0x1fffffu, 0x200000u };
    enum { CORNERS = sizeof corner / sizeof *corner };
    for (int i = 0; i < CORNERS; i++)
        for (int k = 0; k < CORNERS; k++)
            words[2 * (CORNERS * i + k)] = corner[i], words[2 * (CORNERS * i + k) + 1] = corner[k];
    return words;
}

static void assert_same_kernels(const ag_random_kernels *a, const ag_random_kernels *b, int64_t n)
{
    uint32_t *words = many_words(2 * n);
    size_t floats = (size_t)n * sizeof(float), doubles = (size_t)n * sizeof(double);
    void *x = malloc(doubles), *y = malloc(doubles);

    uint32_t twisted[2][AG_MT_WORDS];
    memcpy(twisted[0], words, sizeof twisted[0]);
    memcpy(twisted[1], words, sizeof twisted[1]);
    a->twist(twisted[0]);
    b->twist(twisted[1]);
    ck_assert_mem_eq(twisted[0], twisted[1], sizeof twisted[0]);
    a->temper(x, words, n);
    b->temper(y, words, n);
    ck_assert_mem_eq(x, y, floats);

    static const double range[][2] = { { 0, 1 }, { -0.1, 0.3 }, { 2, 7.5 }, { 1e8, 1e8 + 8 }, { 5, 5 } };
    for (size_t r = 0; r < sizeof range / sizeof *range; r++) {
        a->uniform_float(x, words, n, (float)range[r][0], (float)range[r][1]);
        b->uniform_float(y, words, n, (float)range[r][0], (float)range[r][1]);
        ck_assert_mem_eq(x, y, floats);
        a->uniform_double(x, words, n, range[r][0], range[r][1]);
        b->uniform_double(y, words, n, range[r][0], range[r][1]);
        ck_assert_mem_eq(x, y, doubles);
    }
    static const int64_t threshold[] = {
        0, 1, INT64_C(1) << 52, INT64_C(3002399751580331), (INT64_C(1) << 53) - 1, INT64_C(1) << 53
    };
    for (size_t t = 0; t < sizeof threshold / sizeof *threshold; t++) {
        a->choose_float(x, words, n, threshold[t], 1.25f);
        b->choose_float(y, words, n, threshold[t], 1.25f);
        ck_assert_mem_eq(x, y, floats);
        a->choose_double(x, words, n, threshold[t], 1.25);
        b->choose_double(y, words, n, threshold[t], 1.25);
        ck_assert_mem_eq(x, y, doubles);
    }
    a->uniform_float(x, words, n, 0, 1);
    memcpy(y, x, floats);
    a->normal_float(x, n / 16, 0.5f, 1.5f);
    b->normal_float(y, n / 16, 0.5f, 1.5f);
    ck_assert_mem_eq(x, y, floats);
    free(words);
    free(x);
    free(y);
}

START_TEST(every_instruction_set_gives_the_same_bits)
{
    int64_t n = getenv("AG_TEST_LONG") ? 1 << 24 : getenv("AG_TEST_VALGRIND") ? 1 << 12 : 1 << 18;
    const ag_random_kernels *last = NULL;
    for (int i = 0; ag__random_kernels_at(i); i++) {
        last = ag__random_kernels_at(i);
        assert_same_kernels(ag__random_kernels_at(0), last, n);
    }
    ck_assert_str_eq(last->name, "baseline");
}
END_TEST

START_TEST(the_environment_chooses_the_instruction_set)
{
    const char *wanted = getenv("AG_CPU_CAPABILITY");
    bool plain = wanted && strcmp(wanted, "baseline") == 0;
    ck_assert_str_eq(ag__random_kernels()->name, plain ? "baseline" : ag__random_kernels_at(0)->name);
}
END_TEST

/* The recorded calls once more by this program, run anew with the variable set. */
START_TEST(and_with_each_the_recorded_calls_give_pytorchs_numbers)
{
    if (getenv("AG_TEST_VALGRIND")) return; /* the program that runs is valgrind */
    static const char *const capability[] = { "baseline", "avx2", "avx512", "sse9" };
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        setenv("AG_CPU_CAPABILITY", capability[_i], 1);
        setenv("CK_RUN_CASE", "recorded", 1);
        execl("/proc/self/exe", "test_generator", (char *)NULL);
        _exit(EXIT_FAILURE);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "AG_CPU_CAPABILITY=%s: status %d", capability[_i],
                  status);
}
END_TEST

/* ---- seeds ---- */

START_TEST(a_new_generator_starts_from_pytorchs_seed)
{
    ag_generator *g = ag_generator_new();
    ck_assert_uint_eq(ag_generator_initial_seed(g), 67280421310721u);
    ag_generator *same = ag_generator_new();
    ck_assert_ptr_eq(ag_generator_manual_seed(same, 67280421310721u), same);
    for (int i = 0; i < 2000; i++) ck_assert_int_eq(ag__random_int64(g), ag__random_int64(same));
    ag_generator_free(same);
    ag_generator_free(g);
}
END_TEST

START_TEST(the_low_half_of_a_seed_decides_and_all_of_it_is_remembered)
{
    ag_manual_seed(5);
    int64_t first = ag__random_int64(NULL);
    ck_assert_ptr_eq(ag_manual_seed(((uint64_t)7 << 32) + 5), ag_default_generator());
    ck_assert_int_eq(ag__random_int64(ag_default_generator()), first);
    ck_assert_uint_eq(ag_initial_seed(), ((uint64_t)7 << 32) + 5);
    ag_manual_seed((uint64_t)-1);
    ck_assert_uint_eq(ag_initial_seed(), UINT64_MAX);
}
END_TEST

START_TEST(unforeseen_seeds_differ_and_are_remembered)
{
    uint64_t a = ag_seed();
    ck_assert_uint_eq(ag_initial_seed(), a);
    ck_assert_uint_ne(ag_seed(), a);
    ag_generator *g = ag_generator_new();
    uint64_t b = ag_generator_seed(g);
    ck_assert_uint_eq(ag_generator_initial_seed(g), b);
    ck_assert_uint_ne(a, b);
    ag_generator_free(g);
}
END_TEST

START_TEST(a_generator_of_its_own_leaves_the_default_one_alone)
{
    float a[40], b[40];
    ag_tensor x = row(a, AG_FLOAT32, 40), y = row(b, AG_FLOAT32, 40);
    ag_generator *g = ag_generator_new();
    ag_generator_manual_seed(g, 3);
    ag_manual_seed(3);
    ck_assert(ag__random_normal(g, &x, 0, 1));
    ck_assert(ag__random_normal(NULL, &y, 0, 1));
    ck_assert_mem_eq(a, b, sizeof a);
    ag_generator_free(g);
    ag_generator_free(NULL);
    ag_generator_free(ag_default_generator());
    ck_assert(ag__random_normal(NULL, &y, 0, 1));
}
END_TEST

/* ---- states ---- */

START_TEST(a_restored_state_continues_in_the_middle_of_a_pair_and_of_a_round)
{
    double before[3], after[3];
    ag_tensor x = row(before, AG_FLOAT64, 3), y = row(after, AG_FLOAT64, 3);
    unsigned char state[AG_RNG_STATE_BYTES], again[AG_RNG_STATE_BYTES];
    ag_manual_seed(11);
    for (int round = 0; round < 400; round++) {
        ck_assert(ag__random_normal(NULL, &x, 0, 1)); /* three: every other time one is left over */
        ck_assert(ag_get_rng_state(state));
        ck_assert(ag__random_normal(NULL, &x, 0, 1));
        ck_assert(ag_set_rng_state(state, sizeof state));
        ck_assert(ag_get_rng_state(again));
        ck_assert_mem_eq(state, again, sizeof state);
        ck_assert(ag__random_normal(NULL, &y, 0, 1));
        ck_assert_mem_eq(before, after, sizeof before);
    }
}
END_TEST

static const struct {
    int at, bytes;
    uint64_t value;
    bool accepted;
} changed_states[] = {
    { 8, 4, 0, false },          /* left */
    { 8, 4, UINT32_MAX, false }, /* -1 */
    { 8, 4, 625, false },
    { 8, 4, 1, true },
    { 12, 4, 0, false }, /* seeded */
    { 12, 4, 256, true },
    { 16, 8, 625, false },              /* next */
    { 16, 8, 624, false },              /* would be read beyond the end */
    { 16, 8, UINT64_C(1) << 32, true }, /* PyTorch looks at the low half */
    { 24, 8, (UINT64_C(1) << 40) + 5, true },
    { 5052, 1, 1, true },
};

START_TEST(states_that_no_generator_wrote_are_refused_and_change_nothing)
{
    unsigned char good[AG_RNG_STATE_BYTES], changed[AG_RNG_STATE_BYTES], now[AG_RNG_STATE_BYTES];
    ag_manual_seed(1);
    ag__random_int64(NULL);
    ck_assert(ag_get_rng_state(good));
    memcpy(changed, good, sizeof good);
    for (int k = 0; k < changed_states[_i].bytes; k++)
        changed[changed_states[_i].at + k] = (unsigned char)(changed_states[_i].value >> 8 * k);
    bool accepted = ag_set_rng_state(changed, sizeof changed);
    if (changed_states[_i].accepted) {
        ck_assert_msg(accepted, "%s", ag_error());
        for (int k = 0; k < 2000; k++) ag__random_int64(NULL);
        return;
    }
    assert_refused(accepted, "Invalid mt19937 state");
    ck_assert(ag_get_rng_state(now));
    ck_assert_mem_eq(good, now, sizeof good);
}
END_TEST

START_TEST(wrong_arguments_give_sentences)
{
    unsigned char state[AG_RNG_STATE_BYTES] = { 0 };
    assert_refused(ag_set_rng_state(state, 5),
                   "Expected a CPUGeneratorImplState of size 5056 but found the input RNG state size to be 5");
    assert_refused(ag_set_rng_state(NULL, sizeof state), "ag_generator_set_state: the state is NULL");
    assert_refused(ag_get_rng_state(NULL), "ag_generator_get_state: there is no place for the state (it is NULL)");
    assert_refused(ag_generator_get_state(NULL, state),
                   "ag_generator_get_state: the generator is NULL (ag_default_generator() is the default one)");
    assert_refused(ag_generator_set_state(NULL, state, sizeof state),
                   "ag_generator_set_state: the generator is NULL (ag_default_generator() is the default one)");
    assert_refused(ag_generator_manual_seed(NULL, 1),
                   "ag_generator_manual_seed: the generator is NULL (ag_default_generator() is the default one)");
    assert_refused(ag_generator_seed(NULL),
                   "ag_generator_manual_seed: the generator is NULL (ag_default_generator() is the default one)");
    assert_refused(ag_generator_initial_seed(NULL),
                   "ag_generator_initial_seed: the generator is NULL (ag_default_generator() is the default one)");
}
END_TEST

START_TEST(refusals_leave_the_tensor_and_the_generator_alone)
{
    float data[4] = { 0.5f, 1.5f, 0.5f, 0.5f };
    ag_tensor x = row(data, AG_FLOAT32, 4), wrong = row(data, AG_INT32, 4), p = x;
    float kept[4];
    memcpy(kept, data, sizeof kept);
    unsigned char before[AG_RNG_STATE_BYTES], after[AG_RNG_STATE_BYTES];
    ag_manual_seed(0);
    ag_get_rng_state(before);
    assert_refused(
        ag__random_bernoulli_tensor(NULL, &x, &p),
        "Expected p_in >= 0 && p_in <= 1 to be true, but got false: bernoulli was given the probability 1.5");
    assert_refused(ag__random_bernoulli_tensor(NULL, &x, &wrong),
                   "\"bernoulli_tensor_cpu_p_\" not implemented for 'Int'");
    assert_refused(ag__random_dropout_mask(NULL, &x, 1.5),
                   "dropout probability has to be between 0 and 1, but got 1.5");
    assert_refused(ag__random_dropout_mask(NULL, &wrong, 0.5), "\"dropout\" not implemented for 'Int'");
    assert_refused(ag__randperm_check(-1, AG_INT64), "Trying to create tensor with negative dimension -1: [-1]");
    assert_refused(ag__randperm_check(257, AG_UINT8), "value cannot be converted to type uint8_t without overflow");
    assert_refused(ag__randperm_check(((int64_t)1 << 31) + 1, AG_INT32),
                   "value cannot be converted to type int without overflow");
    assert_refused(ag__randperm_check((1 << 24) + 2, AG_FLOAT32), "n cannot be greater than 2^24+1 for Float type.");
    assert_refused(ag__randperm_check(5, AG_BOOL), "\"randperm\" not implemented for 'Bool'");
    ag_get_rng_state(after);
    ck_assert_mem_eq(before, after, sizeof before);
    ck_assert_mem_eq(data, kept, sizeof kept);
}
END_TEST

/* ---- threads ---- */

enum { THREADS = 4, FILLS = 200, WIDTH = 40 };
static float filled[THREADS * FILLS][WIDTH];

static void *fill_some(void *first)
{
    float(*mine)[WIDTH] = first;
    for (int i = 0; i < FILLS; i++) {
        ag_tensor x = row(mine[i], AG_FLOAT32, WIDTH);
        ag__random_normal(NULL, &x, 0, 1);
    }
    return NULL;
}

static int by_content(const void *a, const void *b) { return memcmp(a, b, sizeof filled[0]); }

START_TEST(threads_that_share_a_generator_take_whole_fills_in_turn)
{
    ag_manual_seed(2);
    pthread_t thread[THREADS];
    for (int t = 0; t < THREADS; t++)
        ck_assert_int_eq(pthread_create(&thread[t], NULL, fill_some, filled[t * FILLS]), 0);
    for (int t = 0; t < THREADS; t++) pthread_join(thread[t], NULL);

    float(*alone)[WIDTH] = malloc(sizeof filled);
    ag_manual_seed(2);
    for (int t = 0; t < THREADS; t++) fill_some(alone[t * FILLS]);
    qsort(filled, THREADS * FILLS, sizeof filled[0], by_content);
    qsort(alone, THREADS * FILLS, sizeof filled[0], by_content);
    ck_assert_mem_eq(filled, alone, sizeof filled);
    free(alone);
}
END_TEST

static atomic_bool stop;
static void *draw_until_stopped(void *unused)
{
    while (!stop) fill_some(filled);
    return unused;
}

START_TEST(a_forked_child_can_draw_while_another_thread_was_drawing)
{
    pthread_t thread;
    stop = false;
    ag_manual_seed(3);
    ck_assert_int_eq(pthread_create(&thread, NULL, draw_until_stopped, NULL), 0);
    for (int i = 0; i < 50; i++) {
        pid_t child = fork();
        ck_assert_int_ge(child, 0);
        if (child == 0) {
            alarm(20); /* a lock that nobody opens would end here */
            ag__random_int64(NULL);
            _exit(0);
        }
        int status;
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    stop = true;
    pthread_join(thread, NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("generator");
    TCase *recorded = tcase_create("recorded"), *cases = tcase_create("generator");
    tcase_set_timeout(recorded, 300);
    tcase_add_test(recorded, recorded_calls_give_pytorchs_numbers_states_and_sentences);
    tcase_add_test(recorded, the_environment_chooses_the_instruction_set);
    suite_add_tcase(suite, recorded);
    tcase_add_checked_fixture(cases, NULL, tear_down);
    tcase_set_timeout(cases, 300);
    tcase_add_test(cases, every_instruction_set_gives_the_same_bits);
    tcase_add_loop_test(cases, and_with_each_the_recorded_calls_give_pytorchs_numbers, 0, 4);
    tcase_add_test(cases, a_new_generator_starts_from_pytorchs_seed);
    tcase_add_test(cases, the_low_half_of_a_seed_decides_and_all_of_it_is_remembered);
    tcase_add_test(cases, unforeseen_seeds_differ_and_are_remembered);
    tcase_add_test(cases, a_generator_of_its_own_leaves_the_default_one_alone);
    tcase_add_test(cases, a_restored_state_continues_in_the_middle_of_a_pair_and_of_a_round);
    tcase_add_loop_test(cases, states_that_no_generator_wrote_are_refused_and_change_nothing, 0,
                        sizeof changed_states / sizeof *changed_states);
    tcase_add_test(cases, wrong_arguments_give_sentences);
    tcase_add_test(cases, refusals_leave_the_tensor_and_the_generator_alone);
    tcase_add_test(cases, threads_that_share_a_generator_take_whole_fills_in_turn);
    tcase_add_test(cases, a_forked_child_can_draw_while_another_thread_was_drawing);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* test_memory.c - where Variables lie, what is held and given back, and that a training that has warmed up asks
 * the system for nothing. */
#include "interpose.h"
#include "small_cnn.h"
#include "support.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MEGABYTE = 1 << 20 };

/* ---- alignment ---- */

static void check_aligned(Variable *x, const char *what)
{
    OK(x);
    ck_assert_msg((uintptr_t)ag_data(x) % 64 == 0, "%s of %lld elements of %s lies at %p", what, (long long)ag_numel(x),
                  ag_dtype_name(ag_dtype_of(x)), ag_data(x));
}

START_TEST(every_variables_elements_begin_on_a_cache_line)
{
    for (int dtype = 0; dtype < AG_N_DTYPES; dtype++)
        for (int64_t n = 1; n < 3000000; n = n < 70 ? n + 1 : n * 3 + 1) {
            AG_SCOPE;
            Variable *x = ag_zeros(AG_SHAPE(n), .dtype = (ag_dtype)dtype);
            check_aligned(x, "zeros");
            check_aligned(ag_clone(x), "a copy");
            check_aligned(ag_eq(x, x), "a comparison");
            check_aligned(ag_sum(x), "a sum");
            check_aligned(ag_to(x, .dtype = AG_FLOAT64, .copy = true), "a conversion");
        }
    check_aligned(ag_scalar(2.5), "a number");
    check_aligned(ag_tensor(((float[]){ 1, 2, 3 }), AG_SHAPE(3)), "a copy of the caller's");
    Variable *x = ag_requires_grad_(ag_ones(AG_SHAPE(7)));
    OK(ag_backward(ag_sum(ag_mul(x, x))));
    check_aligned(ag_grad(x), "a gradient");
}
END_TEST

START_TEST(a_variable_without_elements_takes_part_like_any_other)
{
    Variable *x = ag_zeros(AG_SHAPE(3, 0, 2), .requires_grad = true);
    ck_assert_ptr_null(ag_data(x));
    OK(ag_backward(ag_sum(ag_mul(x, x))));
    SHAPE(ag_grad(x), 3, 0, 2);
}
END_TEST

/* ---- what is held ---- */

START_TEST(memory_allocated_is_what_variables_hold_and_returns_to_its_start)
{
    int64_t start = ag_memory_allocated();
    for (int round = 0; round < 3; round++) {
        AG_SCOPE;
        Variable *x = ag_empty(AG_SHAPE(1000, 1000));
        int64_t one = ag_memory_allocated() - start;
        ck_assert_msg(one >= 4000000 && one < 8100000, "4,000,000 bytes of elements count as %lld", (long long)one);
        ag_transpose(x, 0, 1); /* a view holds no elements */
        ck_assert_int_lt(ag_memory_allocated() - start - one, 1024);
        ck_assert_int_ge(ag_memory_reserved(), ag_memory_allocated());
    }
    ck_assert_int_eq(ag_memory_allocated(), start);
}
END_TEST

START_TEST(a_graph_holds_what_backward_needs_until_backward)
{
    Variable *x = ag_requires_grad_(ag_ones(AG_SHAPE(256, 1024))); /* 1 MB */
    int64_t start = ag_memory_allocated();
    Variable *y;
    {
        AG_SCOPE;
        y = x;
        for (int i = 0; i < 4; i++) y = ag_exp(y);
        y = ag_keep(ag_sum(y));
    }
    ck_assert_int_ge(ag_memory_allocated() - start, 4 * MEGABYTE);
    OK(ag_backward(y));
    ck_assert_int_lt(ag_memory_allocated() - start, 3 * MEGABYTE); /* x.grad */
    OK(ag_set_grad(x, AG_NONE));
    ck_assert_int_lt(ag_memory_allocated() - start, 16384);
}
END_TEST

START_TEST(empty_cache_gives_spare_memory_back_to_the_system)
{
    {
        AG_SCOPE;
        for (int i = 0; i < 4; i++) OK(ag_empty(AG_SHAPE(16, MEGABYTE), .dtype = AG_UINT8));
    }
    int64_t before = ag_memory_reserved();
    ag_empty_cache();
    int64_t after = ag_memory_reserved();
    ck_assert_int_lt(after, 16 * MEGABYTE);
    bool caching = !interpose_address_sanitizer() && !getenv("AG_NO_MEMORY_CACHING");
    if (caching) ck_assert_int_ge(before - after, 64 * MEGABYTE);
    ag_empty_cache();
    ck_assert_int_eq(ag_memory_reserved(), after);
}
END_TEST

START_TEST(memory_that_was_freed_is_used_again)
{
    int64_t reserved = 0;
    for (int round = 0; round < 200; round++) {
        AG_SCOPE;
        for (int64_t n = 1; n < 100000; n = n * 2 + 1) OK(ag_zeros(AG_SHAPE(n)));
        if (round == 1) reserved = ag_memory_reserved();
        if (round > 1) ck_assert_int_eq(ag_memory_reserved(), reserved);
    }
}
END_TEST

static Variable *megabytes(int64_t n) { return ag_empty(AG_SHAPE(n, MEGABYTE), .dtype = AG_UINT8); }

START_TEST(a_large_request_borrows_a_larger_block_that_is_free)
{
    /* blocks are of 64, 24, 16, 12, 128 and 28 MB */
    if (interpose_address_sanitizer() || getenv("AG_NO_MEMORY_CACHING")) return;
    {
        AG_SCOPE;
        OK(megabytes(1)); /* what small blocks a Variable needs are there */
    }
    ag_empty_cache();
    int64_t allocated = ag_memory_allocated(), start = ag_memory_reserved();
    for (int round = 0; round < 20; round++) { /* more than may be borrowed at a time: each is given back */
        AG_SCOPE;
        const void *data;
        {
            AG_SCOPE;
            data = ag_data(megabytes(60));
        }
        Variable *borrowed = megabytes(22);
        OK(borrowed);
        ck_assert_ptr_eq(ag_data(borrowed), data);
        ck_assert_int_lt(ag_memory_allocated() - allocated, 32 * MEGABYTE); /* as much as was asked for */
        ck_assert_int_eq(ag_memory_reserved() - start, (round ? 80 : 64) * MEGABYTE);
        OK(megabytes(15)); /* nothing is free */
        ck_assert_int_eq(ag_memory_reserved() - start, 80 * MEGABYTE);
    }
    ck_assert_int_eq(ag_memory_allocated(), allocated);
    {
        AG_SCOPE;
        OK(megabytes(11)); /* too small to borrow */
        ck_assert_int_gt(ag_memory_reserved() - start, 80 * MEGABYTE);
    }
    ag_empty_cache();
    ck_assert_int_eq(ag_memory_reserved(), start);
    {
        AG_SCOPE;
        OK(megabytes(120));
    }
    {
        AG_SCOPE;
        OK(megabytes(27)); /* less than a quarter of what is free: 28 of 128 */
        ck_assert_int_eq(ag_memory_reserved() - start, (128 + 28) * MEGABYTE);
    }
    ag_empty_cache();
    ck_assert_int_eq(ag_memory_reserved(), start);
}
END_TEST

/* ---- a steady training asks the system for nothing ---- */

/* Pages that the process has touched for the first time. */
static int64_t page_faults(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) ? -1 : usage.ru_minflt; /* an assertion would take memory */
}

static void check_steady(small_cnn_options options, int threads)
{
    /* under AddressSanitizer the library keeps nothing, so that the sanitizer sees each block */
    if (interpose_address_sanitizer()) return;
    if (getenv("AG_NO_MEMORY_CACHING")) return;
    int before = ag_get_num_threads();
    OK(ag_set_num_threads(threads));
    options.samples = 5 * options.batch_size + 4;
    options.dropout = 0.25;
    options.dtype = AG_FLOAT32;
    small_training s;
    OK(small_training_begin(&s, options));
    s.pause = options.num_workers ? 2000 : 0; /* once, every batch that may be there at once is */
    for (int epoch = 0; epoch < 4; epoch++) OK(small_training_epoch(&s));
    s.pause = 0;
    int64_t allocated = ag_memory_allocated();
    OK(page_faults() >= 0);
    interpose_start(0, false);
    int64_t faults = page_faults();
    for (int epoch = 0; epoch < 3; epoch++) small_training_epoch(&s);
    faults = page_faults() - faults;
    int64_t calls = interpose_stop();
    OK(s.steps == 7 * 6);
    ck_assert_msg(calls == 0,
                  "18 steps of a training that has warmed up asked the system %lld times for memory (%d threads, "
                  "momentum %g)",
                  (long long)calls, threads, options.momentum);
    ck_assert_int_eq(ag_memory_allocated(), allocated);
    /* other threads' stacks may yet grow, and a sanitizer has memory of its own */
    if (threads == 1 && !options.num_workers && !interpose_sanitized())
        ck_assert_msg(faults == 0, "18 steps of a training that has warmed up touched %lld new pages",
                      (long long)faults);
    small_training_end(&s);
    OK(ag_set_num_threads(before));
}

/* SGD without and with momentum, and Adam; by one thread and, the images large enough to be shared out, by two. */
static void check_steady_each(int64_t num_workers, ag_memory_format format)
{
    static const double momentum[] = { 0, 0.9, -1 };
    for (int threads = 1; threads <= 2; threads++)
        for (size_t i = 0; i < sizeof momentum / sizeof *momentum; i++)
            check_steady((small_cnn_options){ .side = threads == 1 ? 16 : 28,
                                              .batch_size = threads == 1 ? 8 : 32,
                                              .num_workers = num_workers,
                                              .momentum = momentum[i],
                                              .memory_format = format },
                         threads);
}

START_TEST(a_steady_training_never_asks_the_system_for_memory) { check_steady_each(0, AG_CONTIGUOUS_FORMAT); }
END_TEST
START_TEST(nor_does_one_whose_images_are_batch_last) { check_steady_each(0, AG_BATCH_LAST); }
END_TEST
START_TEST(nor_does_one_whose_batches_are_made_by_threads) { check_steady_each(2, AG_CONTIGUOUS_FORMAT); }
END_TEST

START_TEST(the_count_of_calls_to_the_system_can_tell)
{
    interpose_start(0, false);
    void *volatile p = malloc(100);
    p = realloc(p, 200);
    free(p);
    p = calloc(1, 100);
    free(p);
    p = aligned_alloc(64, 128);
    free(p);
    ck_assert_int_eq(interpose_stop(), 4);
    interpose_start(2, false);
    p = malloc(100);
    void *volatile q = malloc(100), *volatile r = malloc(100);
    interpose_stop();
    ck_assert(p && !q && r);
    free(p);
    free(r);
    interpose_start(2, true);
    p = malloc(100), q = calloc(1, 100), r = aligned_alloc(64, 64);
    interpose_stop();
    ck_assert(p && !q && !r);
    free(p);
    p = malloc(100); /* none fails any more */
    ck_assert(p);
    free(p);
    interpose_start(0, false);
    {
        AG_SCOPE;
        ag_empty(AG_SHAPE(77, MEGABYTE), .dtype = AG_UINT8);
    }
    ck_assert_int_ge(interpose_stop(), 1); /* the library's calls are among them */
}
END_TEST

/* ---- a full memory ---- */

START_TEST(what_is_kept_goes_back_before_memory_is_said_to_be_out)
{
    if (interpose_address_sanitizer() || getenv("AG_NO_MEMORY_CACHING")) return;
    AG_SCOPE;
    {
        AG_SCOPE;
        OK(ag_empty(AG_SHAPE(16, MEGABYTE), .dtype = AG_UINT8)); /* will be kept */
    }
    int64_t reserved = ag_memory_reserved();
    interpose_start(1, false);
    Variable *x = ag_ones(AG_SHAPE(1));
    for (int i = 0; i < 3000; i++) x = ag_view(x, AG_SHAPE(1)); /* Variables alone: another slab is needed */
    int64_t calls = interpose_stop();
    OK(x);
    ck_assert_int_ge(calls, 2);
    ck_assert_int_lt(ag_memory_reserved(), reserved - 8 * MEGABYTE);
}
END_TEST

START_TEST(more_than_there_can_be_is_an_error)
{
    ck_assert_ptr_null(ag_empty(AG_SHAPE((int64_t)1 << 50)));
    ck_assert_int_eq(ag_error_code(), AG_ENOMEM);
    ck_assert_msg(strstr(ag_error(), "out of memory: ") && !strstr(ag_error(), "18446744073709551615"), "%s",
                  ag_error());
    ag_clear_error();
    ck_assert_ptr_null(ag_empty(AG_SHAPE((int64_t)1 << 31, (int64_t)1 << 31)));
    ck_assert_int_eq(ag_error_code(), AG_EINVAL);
    ag_clear_error();
}
END_TEST

static void check_printed(Variable *x)
{
    static char buffer[1 << 16], expected[1 << 16], got[1 << 16];
    FILE *file = tmpfile();
    ck_assert_ptr_nonnull(file);
    setvbuf(file, buffer, _IOFBF, sizeof buffer);
    interpose_start(1, true);
    size_t length = ag_repr(x, expected, sizeof expected);
    bool printed = ag_print(x, file);
    int64_t calls = interpose_stop();
    OK(printed);
    ck_assert_int_eq(calls, 0);
    ck_assert_uint_lt(length, sizeof expected - 1);
    strcpy(expected + length, "\n");
    rewind(file);
    got[fread(got, 1, sizeof got - 1, file)] = 0;
    ck_assert_str_eq(got, expected);
    fclose(file);
}

START_TEST(printing_takes_no_memory)
{
    check_printed(AG_NONE);
    check_printed(ag_scalar(true));
    check_printed(ag_randn(AG_SHAPE(3, 4), .requires_grad = true));
    check_printed(ag_exp(ag_randn(AG_SHAPE(2, 300, 7), .requires_grad = true)));
    check_printed(ag_full(AG_SHAPE(40), -1.7976931348623157e308, .dtype = AG_FLOAT64));
    for (int64_t n = 0; n < 300; n += 7) /* all lengths round those of the pieces in which it goes out */
        check_printed(ag_arange(n, .dtype = AG_INT64));
}
END_TEST

START_TEST(nor_does_an_error_sentence)
{
    Variable *a = ag_zeros(AG_SHAPE(2, 3)), *b = ag_zeros(AG_SHAPE(2, 4));
    interpose_start(1, true);
    Variable *sum = ag_add(a, b);
    const char *sentence = ag_error();
    int64_t calls = interpose_stop();
    ck_assert_int_eq(calls, 0);
    ck_assert_ptr_null(sum);
    ck_assert_ptr_nonnull(sentence);
    ck_assert_ptr_nonnull(strstr(sentence, "[2, 3]"));
    ag_clear_error();
}
END_TEST

START_TEST(what_cannot_be_printed_is_an_error)
{
    Variable *x = ag_zeros(AG_SHAPE(2));
    ck_assert(!ag_print(NULL, stderr));
    ck_assert_str_eq(ag_error(), "print: input is NULL");
    ag_clear_error();
    ck_assert(!ag_print(x, NULL));
    ck_assert_str_eq(ag_error(), "print: the file is NULL");
    ag_clear_error();
    FILE *file = fopen("/dev/null", "r");
    ck_assert_ptr_nonnull(file);
    ck_assert(!ag_print(x, file));
    ck_assert_int_eq(ag_error_code(), AG_EIO);
    ag_clear_error();
    fclose(file);
    ck_assert_uint_eq(ag_repr(x, NULL, 100), strlen("tensor([0., 0.])"));
    char text[8];
    ck_assert_uint_eq(ag_repr(NULL, text, sizeof text), 4);
    ck_assert_str_eq(text, "NULL");
    ck_assert_uint_eq(ag_repr(AG_NONE, text, 3), 4);
    ck_assert_str_eq(text, "No");
}
END_TEST

/* ---- threads ---- */

enum { PLACES = 64, MADE = 40000 };
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    Variable *place[PLACES];
    int64_t made, taken;
    bool failed;
} queue = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void *make_variables(void *user)
{
    (void)user;
    for (int64_t i = 0; i < MADE; i++) {
        AG_SCOPE;
        int64_t n = i % 1000 == 999 ? 400000 : 1 + i * 37 % 3000;
        Variable *x = ag_retain(ag_full(AG_SHAPE(n), (double)i));
        pthread_mutex_lock(&queue.lock);
        while (queue.made - queue.taken == PLACES) pthread_cond_wait(&queue.changed, &queue.lock);
        if (!x) queue.failed = true;
        queue.place[queue.made++ % PLACES] = x;
        pthread_cond_broadcast(&queue.changed);
        pthread_mutex_unlock(&queue.lock);
    }
    return NULL;
}

START_TEST(what_one_thread_makes_and_another_frees_flows_back)
{
    int64_t start = ag_memory_allocated(), early = 0;
    pthread_t maker;
    ck_assert_int_eq(pthread_create(&maker, NULL, make_variables, NULL), 0);
    for (int64_t i = 0; i < MADE; i++) {
        pthread_mutex_lock(&queue.lock);
        while (queue.made == queue.taken) pthread_cond_wait(&queue.changed, &queue.lock);
        Variable *x = queue.place[queue.taken++ % PLACES];
        pthread_cond_broadcast(&queue.changed);
        pthread_mutex_unlock(&queue.lock);
        if (x && ((const float *)ag_data(x))[ag_numel(x) - 1] != (float)i) queue.failed = true;
        ag_release(x);
        if (i == MADE / 10) early = ag_memory_reserved();
    }
    pthread_join(maker, NULL);
    ck_assert(!queue.failed);
    ck_assert_msg(ag_memory_reserved() <= early + 8 * MEGABYTE, "the memory grew from %lld to %lld bytes",
                  (long long)early, (long long)ag_memory_reserved());
    ck_assert_int_eq(ag_memory_allocated(), start);
}
END_TEST

static void *work_and_end(void *user)
{
    AG_SCOPE;
    for (int i = 0; i < 100; i++)
        if (!ag_add(ag_zeros(AG_SHAPE(50 + i)), ag_scalar(i))) *(bool *)user = true;
    return NULL;
}

START_TEST(a_thread_that_ends_leaves_its_memory_to_the_others)
{
    int64_t start = ag_memory_allocated(), early = 0;
    bool failed = false;
    for (int i = 0; i < 200; i++) {
        pthread_t thread;
        ck_assert_int_eq(pthread_create(&thread, NULL, work_and_end, &failed), 0);
        pthread_join(thread, NULL);
        if (i == 20) early = ag_memory_reserved();
    }
    ck_assert(!failed);
    ck_assert_int_eq(ag_memory_allocated(), start);
    ck_assert_int_le(ag_memory_reserved(), early);
}
END_TEST

/* ---- forks ---- */

static struct {
    Variable *shared; /* a leaf */
    bool stop, failed;
} busy;

static bool differentiate(int64_t n)
{
    AG_SCOPE;
    Variable *x = ag_mul(busy.shared, ag_full(AG_SHAPE(n, 1), 0.5));
    return ag_backward(ag_sum(ag_mul(x, x)));
}

/* Takes all the locks there are, again and again. */
static void *work_until_stopped(void *unused)
{
    for (int64_t n = 1; !__atomic_load_n(&busy.stop, __ATOMIC_RELAXED); n = n % 3000 + 7) {
        bool ok = differentiate(n);
        for (int i = 0; i < 100; i++) {
            AG_SCOPE;
            ok = ag_empty(AG_SHAPE(50000)) && ok; /* too large for the thread's own store */
        }
        ok = ok && !ag_zeros(AG_SHAPE(-1)) && ag_error_code() == AG_EINVAL;
        ag_clear_error();
        if (!ok) __atomic_store_n(&busy.failed, true, __ATOMIC_RELAXED);
    }
    return unused;
}

START_TEST(a_program_that_forks_while_its_threads_work_goes_on_in_child_and_parent)
{
    /* A sanitizer's own locks are not opened in the child of a process with threads. */
    if (interpose_sanitized()) return;
    busy.shared = ag_ones(AG_SHAPE(5), .requires_grad = true);
    pthread_t thread[2];
    for (int i = 0; i < 2; i++) ck_assert_int_eq(pthread_create(&thread[i], NULL, work_until_stopped, NULL), 0);
    for (int i = 0; i < 100; i++) {
        pid_t child = fork();
        ck_assert_int_ge(child, 0);
        if (child == 0) {
            alarm(60); /* a lock that nobody opens would end here */
            bool ok = ag_set_num_threads(2);
            for (int64_t n = 1; n < 100000; n *= 10) ok = differentiate(n) && ok;
            ag_empty_cache();
            ok = ok && ag_memory_allocated() > 0 && !ag_zeros(AG_SHAPE(-1)) && ag_error_code() == AG_EINVAL;
            _exit(ok ? 0 : 1);
        }
        int status;
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child %d ended with status %d", i, status);
    }
    __atomic_store_n(&busy.stop, true, __ATOMIC_RELAXED);
    for (int i = 0; i < 2; i++) pthread_join(thread[i], NULL);
    ck_assert(!busy.failed);
    OK(differentiate(100000));
}
END_TEST

/* ---- the environment ---- */

/* The library reads the variable once, so this program is run anew; main hands over to check_caching. */
START_TEST(caching_is_off_where_the_environment_says_1)
{
    if (getenv("AG_TEST_VALGRIND")) return; /* the program that runs is valgrind */
    static const struct {
        const char *value;
        bool off, usual;
    } rows[] = {
        { "1", .off = true },   { "0", .off = false },   { "", .usual = true },
        { "2", .usual = true }, { "10", .usual = true }, { "no", .usual = true },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        bool off = rows[i].usual ? interpose_address_sanitizer() : rows[i].off;
        pid_t child = fork();
        ck_assert_int_ge(child, 0);
        if (child == 0) {
            setenv("AG_NO_MEMORY_CACHING", rows[i].value, 1);
            execl("/proc/self/exe", "test_memory", off ? "off" : "on", (char *)NULL);
            _exit(3);
        }
        int status;
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "AG_NO_MEMORY_CACHING=%s: status %d",
                      rows[i].value, status);
    }
}
END_TEST

/* Whether a block that was let go is kept for the next one. */
static int check_caching(bool off)
{
    {
        AG_SCOPE;
        ag_zeros(AG_SHAPE(1000, 1000));
    }
    bool kept = ag_memory_reserved() - ag_memory_allocated() >= 4000000;
    return ag_error() || kept == off ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    const TTest *all[] = {
        every_variables_elements_begin_on_a_cache_line,
        a_variable_without_elements_takes_part_like_any_other,
        memory_allocated_is_what_variables_hold_and_returns_to_its_start,
        a_graph_holds_what_backward_needs_until_backward,
        empty_cache_gives_spare_memory_back_to_the_system,
        memory_that_was_freed_is_used_again,
        a_large_request_borrows_a_larger_block_that_is_free,
        a_steady_training_never_asks_the_system_for_memory,
        nor_does_one_whose_images_are_batch_last,
        nor_does_one_whose_batches_are_made_by_threads,
        the_count_of_calls_to_the_system_can_tell,
        what_is_kept_goes_back_before_memory_is_said_to_be_out,
        more_than_there_can_be_is_an_error,
        printing_takes_no_memory,
        nor_does_an_error_sentence,
        what_cannot_be_printed_is_an_error,
        what_one_thread_makes_and_another_frees_flows_back,
        a_thread_that_ends_leaves_its_memory_to_the_others,
        a_program_that_forks_while_its_threads_work_goes_on_in_child_and_parent,
        caching_is_off_where_the_environment_says_1,
    };
    if (argc == 2) return check_caching(!strcmp(argv[1], "off"));
    return support_main("memory", all, sizeof all / sizeof *all);
}

/* test_parallel.c - the thread pool, and the choice of an instruction set. */
#include "kernels.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TSAN
#endif
#if __has_feature(address_sanitizer)
#define ASAN
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define TSAN
#endif
#if defined(__SANITIZE_ADDRESS__)
#define ASAN
#endif

typedef struct {
    int64_t n, grain;
    int *visits; /* of each index */
    int wrong;   /* chunks that are not where they should be */
} loop;

static void visit(void *user, int64_t begin, int64_t end)
{
    loop *l = user;
    if (begin % l->grain != 0 || begin >= end || (end != begin + l->grain && end != l->n))
        __atomic_add_fetch(&l->wrong, 1, __ATOMIC_RELAXED);
    for (int64_t i = begin; i < end; i++) l->visits[i]++;
}

static bool every_index_once(int64_t n, int64_t grain)
{
    loop l = { n, grain, calloc((size_t)n + 1, sizeof(int)), 0 };
    ck_assert_ptr_nonnull(l.visits);
    ag__parallel_for(n, grain, visit, &l);
    bool right = l.wrong == 0;
    for (int64_t i = 0; i < n; i++) right = right && l.visits[i] == 1;
    free(l.visits);
    return right;
}

START_TEST(every_index_is_visited_once_in_chunks_of_the_grain)
{
    for (int t = 0; t < 4; t++) {
        ck_assert(ag_set_num_threads(thread_counts[t]));
        ck_assert_int_eq(ag_get_num_threads(), thread_counts[t]);
        for (int64_t n = 0; n < 40; n++)
            for (int64_t grain = 1; grain < 12; grain++) ck_assert(every_index_once(n, grain));
        ck_assert(every_index_once(100000, 7));
    }
}
END_TEST

static void visit_nested(void *user, int64_t begin, int64_t end)
{
    int *wrong = user;
    for (int64_t i = begin; i < end; i++)
        if (!every_index_once(50 + i, 3)) __atomic_add_fetch(wrong, 1, __ATOMIC_RELAXED);
}

static void *many_loops(void *user)
{
    for (int i = 0; i < 300; i++)
        if (!every_index_once(20 + i, 1 + i % 5)) __atomic_add_fetch((int *)user, 1, __ATOMIC_RELAXED);
    return NULL;
}

START_TEST(loops_within_loops_and_from_several_threads_at_once_are_complete)
{
    int wrong = 0;
    ck_assert(ag_set_num_threads(4));
    ag__parallel_for(60, 1, visit_nested, &wrong);
    pthread_t threads[5];
    for (int i = 0; i < 5; i++) ck_assert_int_eq(pthread_create(&threads[i], NULL, many_loops, &wrong), 0);
    many_loops(&wrong);
    for (int i = 0; i < 5; i++) pthread_join(threads[i], NULL);
    ck_assert_int_eq(wrong, 0);
}
END_TEST

/* Which threads took part, while each chunk waits until there were two or some time has gone by. */
typedef struct {
    pthread_t first;
    int started, others;
} meeting;

static void wait_for_another(void *user, int64_t begin, int64_t end)
{
    meeting *m = user;
    (void)begin, (void)end;
    __atomic_add_fetch(&m->started, 1, __ATOMIC_SEQ_CST);
    if (!pthread_equal(pthread_self(), m->first)) __atomic_add_fetch(&m->others, 1, __ATOMIC_SEQ_CST);
    const struct timespec a_while = { 0, 1000000 };
    for (int i = 0; i < 5000 && __atomic_load_n(&m->started, __ATOMIC_SEQ_CST) < 2; i++) nanosleep(&a_while, NULL);
}

START_TEST(other_threads_take_part_also_after_a_rest)
{
    ck_assert(ag_set_num_threads(2));
    for (int i = 0; i < 3; i++) {
        meeting m = { .first = pthread_self() };
        ag__parallel_for(2, 1, wait_for_another, &m);
        ck_assert_int_eq(m.others, 1);
        const struct timespec rest = { 0, 30000000 }; /* the worker has gone to sleep */
        nanosleep(&rest, NULL);
    }
}
END_TEST

/* One chunk waits for all others, or some time. */
typedef struct {
    int64_t waiting, n;
    int64_t done;
} errand;

static void wait_for_the_others(void *user, int64_t begin, int64_t end)
{
    errand *e = user;
    const struct timespec a_while = { 0, 1000000 };
    bool alone = begin == e->waiting;
    for (int i = 0; i < 5000 && alone; i++) {
        alone = __atomic_load_n(&e->done, __ATOMIC_SEQ_CST) < e->n - 1;
        if (alone) nanosleep(&a_while, NULL);
    }
    __atomic_add_fetch(&e->done, alone ? -e->n : end - begin, __ATOMIC_SEQ_CST);
}

START_TEST(what_a_thread_does_not_get_to_is_done_by_others)
{
    for (int threads = 2; threads <= 3; threads++) {
        ck_assert(ag_set_num_threads(threads));
        for (int64_t waiting = 0; waiting < 12; waiting++) {
            errand e = { .waiting = waiting, .n = 12 };
            ag__parallel_for(e.n, 1, wait_for_the_others, &e);
            ck_assert_int_eq(e.done, e.n);
        }
    }
}
END_TEST

START_TEST(a_number_of_threads_below_one_is_refused)
{
    const int before = ag_get_num_threads();
    ck_assert(!ag_set_num_threads(0));
    ck_assert_str_eq(ag_error(), "set_num_threads: expected a positive number of threads, got 0");
    ck_assert_int_eq(ag_error_code(), AG_EINVAL);
    ag_clear_error();
    ck_assert_int_eq(ag_get_num_threads(), before);
    ck_assert(ag_set_num_threads(100000));
    ck_assert_int_eq(ag_get_num_threads(), 256);
    ck_assert(ag_set_num_threads(before));
}
END_TEST

#ifndef TSAN /* which does not allow threads in the child of a process with threads */
START_TEST(a_forked_child_has_threads_of_its_own)
{
    ck_assert(ag_set_num_threads(3));
    ck_assert(every_index_once(1000, 3));
    const pid_t child = fork();
    if (child == 0) {
        meeting m = { .first = pthread_self() };
        ag__parallel_for(2, 1, wait_for_another, &m);
        const bool right = m.others == 1 && every_index_once(1000, 3);
        exit(right ? 0 : 1); /* runs the destructors: a worker of the parent must not be waited for */
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    ck_assert(every_index_once(1000, 3));
}
END_TEST
#endif

#if !defined(TSAN) && !defined(ASAN)
START_TEST(without_memory_for_threads_loops_run_in_the_caller)
{
    if (getenv("AG_TEST_VALGRIND")) return; /* has its own idea of the address space */
    const pid_t child = fork();
    if (child == 0) {
        ag_set_num_threads(4);
        char *visits = malloc(1 << 20); /* what the loops need, before memory is out */
        free(visits);
        const struct rlimit none = { 1 << 20, 1 << 20 };
        setrlimit(RLIMIT_AS, &none);
        _exit(every_index_once(1000, 3) && !ag_error() ? 0 : 1);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}
END_TEST
#endif

/* What the test program, run anew with a variable set, says about itself (main in kernels.c). */
static void ask(const char *variable, const char *value, const char *question, char answer[64])
{
    char program[4096], command[4200];
    const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    ck_assert_int_gt(length, 0);
    program[length] = '\0';
    snprintf(command, sizeof command, "%s=%s %s %s", variable, value, program, question);
    FILE *pipe = popen(command, "r");
    ck_assert_ptr_nonnull(pipe);
    ck_assert_ptr_nonnull(fgets(answer, 64, pipe));
    answer[strcspn(answer, "\n")] = '\0';
    ck_assert_int_eq(pclose(pipe), 0);
}

START_TEST(the_environment_chooses_threads_and_instruction_set)
{
    if (getenv("AG_TEST_VALGRIND")) return; /* the program that runs is valgrind */
    char answer[64], usual[64];
    ask("AG_NUM_THREADS", "7", "threads", answer);
    ck_assert_str_eq(answer, "7");
    ask("AG_NUM_THREADS", "many", "threads", usual);
    ck_assert_int_ge(atoi(usual), 1);
    ask("AG_NUM_THREADS", "0", "threads", answer);
    ck_assert_str_eq(answer, usual);

    ask("AG_CPU_CAPABILITY", "sse9", "capability", usual);
    bool known = false;
    for (int isa = 0; isa < AG_N_ISAS; isa++) {
        /* one that the machine has is used, for one that it has not the best that it has */
        ask("AG_CPU_CAPABILITY", ag__isa_name((ag__isa)isa), "capability", answer);
        ck_assert_str_eq(answer, ag__set_cpu_capability((ag__isa)isa) ? ag__isa_name((ag__isa)isa) : usual);
        known = known || strcmp(usual, ag__isa_name((ag__isa)isa)) == 0;
    }
    ck_assert(known);
}
END_TEST

TCase *parallel_tests(void)
{
    TCase *tests = tcase_create("threads");
    tcase_add_test(tests, every_index_is_visited_once_in_chunks_of_the_grain);
    tcase_add_test(tests, loops_within_loops_and_from_several_threads_at_once_are_complete);
    tcase_add_test(tests, other_threads_take_part_also_after_a_rest);
    tcase_add_test(tests, what_a_thread_does_not_get_to_is_done_by_others);
    tcase_add_test(tests, a_number_of_threads_below_one_is_refused);
#ifndef TSAN
    tcase_add_test(tests, a_forked_child_has_threads_of_its_own);
#endif
#if !defined(TSAN) && !defined(ASAN)
    tcase_add_test(tests, without_memory_for_threads_loops_run_in_the_caller);
#endif
    tcase_add_test(tests, the_environment_chooses_threads_and_instruction_set);
    return tests;
}

/* test_profiler.c - what is recorded of ops, backward nodes and ranges, in one thread and in several; the table and the
 * trace that are made of it. */
#include "interpose.h"
#include "support.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static ag_profiler_average average_of(const char *key)
{
    for (ag_profiler_average a = { 0 }; ag_profiler_key_averages(&a);)
        if (strcmp(a.key, key) == 0) return a;
    return (ag_profiler_average){ 0 };
}
static const char *keys(void)
{
    static char text[2000];
    text[0] = 0;
    for (ag_profiler_average a = { 0 }; ag_profiler_key_averages(&a);) {
        size_t n = strlen(text);
        snprintf(text + n, sizeof text - n, "%s:%lld ", a.key, (long long)a.count);
    }
    return text;
}

static Variable *leaf(int64_t n) { return ag_requires_grad_(ag_ones(AG_SHAPE(n), .dtype = AG_FLOAT64)); }

START_TEST(ops_and_backward_nodes_are_counted_while_it_is_on)
{
    Variable *x = leaf(3);
    ag_mul(x, x);
    {
        AG_PROFILE;
        ck_assert(ag_profiler_is_on());
        Variable *y = ag_sum(ag_mul(ag_exp(x), x));
        ag_add_(ag_zeros(AG_SHAPE(3)), ag_scalar(1));
        OK(ag_backward(y));
    }
    ck_assert(!ag_profiler_is_on());
    ag_mul(x, x);
    ck_assert_int_eq(average_of("mul").count >= 1, 1);
    ck_assert_int_eq(average_of("exp").count, 1);
    ck_assert_int_eq(average_of("add_").count, 1);
    ck_assert_int_eq(average_of("MulBackward0").count, 1);
    ck_assert_int_eq(average_of("ExpBackward0").count, 1);
    ck_assert_int_eq(average_of("SumBackward0").count, 1);
    ck_assert_int_eq(average_of("AccumulateGrad").count, 2);
    ck_assert_int_eq(average_of("sum").count, 1);
    ck_assert(strstr(keys(), "exp:1 mul:") == keys()); /* in the order in which they began */
}
END_TEST

static void wait_ns(int64_t ns)
{
    struct timespec from, now;
    clock_gettime(CLOCK_MONOTONIC, &from);
    do clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - from.tv_sec) * 1000000000 + now.tv_nsec - from.tv_nsec < ns);
}

START_TEST(what_runs_inside_is_not_an_events_own_time)
{
    OK(ag_profiler_begin());
    {
        AG_RECORD_FUNCTION("outer");
        wait_ns(2000000);
        for (int i = 0; i < 2; i++) {
            AG_RECORD_FUNCTION("inner");
            wait_ns(3000000);
            AG_RECORD_FUNCTION("innermost");
            wait_ns(1000000);
        }
    }
    OK(ag_profiler_end());
    ag_profiler_average outer = average_of("outer"), inner = average_of("inner"), innermost = average_of("innermost");
    ck_assert(outer.count == 1 && inner.count == 2 && innermost.count == 2);
    ck_assert_int_ge(innermost.self_cpu_time_total, 2000000);
    ck_assert_int_eq(innermost.self_cpu_time_total, innermost.cpu_time_total);
    ck_assert_int_eq(inner.self_cpu_time_total, inner.cpu_time_total - innermost.cpu_time_total);
    ck_assert_int_eq(outer.self_cpu_time_total, outer.cpu_time_total - inner.cpu_time_total);
    ck_assert_int_ge(outer.self_cpu_time_total, 2000000);
    ck_assert_int_ge(inner.self_cpu_time_total, 6000000);
}
END_TEST

START_TEST(an_op_made_of_others_has_them_inside)
{
    Variable *x = leaf(4), *target = ag_zeros(AG_SHAPE(4), .dtype = AG_FLOAT64);
    OK(ag_profiler_begin());
    OK(ag_mse_loss(x, target));
    OK(ag_profiler_end());
    int64_t self = 0;
    for (ag_profiler_average a = { 0 }; ag_profiler_key_averages(&a);) {
        ck_assert_int_ge(a.self_cpu_time_total, 0);
        self += a.self_cpu_time_total;
    }
    ck_assert(strncmp(keys(), "mse_loss:1 ", 11) == 0);
    ck_assert_int_eq(self, average_of("mse_loss").cpu_time_total);
}
END_TEST

START_TEST(bytes_are_those_taken_less_those_given_back)
{
    Variable *x = leaf(1000);
    OK(ag_profiler_begin());
    {
        AG_RECORD_FUNCTION("block");
        AG_SCOPE;
        ag_exp(x);
    }
    OK(ag_profiler_end());
    ck_assert_int_ge(average_of("exp").cpu_memory_usage, 8000);
    ck_assert_int_le(average_of("exp").cpu_memory_usage, 12000);
    ck_assert_int_eq(average_of("block").cpu_memory_usage, 0);
    ck_assert_int_eq(average_of("block").self_cpu_memory_usage, -average_of("exp").cpu_memory_usage);
}
END_TEST

/* ---- the table ---- */

/* noinline: gcc takes what it returns for the variable that points there */
static __attribute__((noinline)) char *table_of(const char *sort_by, int64_t row_limit, bool by_shapes)
{
    char *text = NULL;
    size_t length;
    FILE *file = open_memstream(&text, &length);
    OK(ag_profiler_table(file, sort_by, row_limit, by_shapes));
    fclose(file);
    return text;
}
static int lines_of(const char *text)
{
    int n = 0;
    for (; *text; text++) n += *text == '\n';
    return n;
}

START_TEST(the_table_has_pytorchs_form)
{
    Variable *x = leaf(2);
    ag_exp(x); /* the first call takes its time */
    OK(ag_profiler_begin());
    for (int i = 0; i < 3; i++) ag_exp(x);
    {
        AG_RECORD_FUNCTION("a range whose name is much longer than the column of names can ever be");
        ag_mul(x, x);
        wait_ns(5000000);
    }
    OK(ag_profiler_end());
    char *text = table_of("count", -1, false);
    const char *name = "-------------------------------------------------------  ", *column = "------------  ";
    char line[400];
    strcpy(line, name);
    for (int i = 0; i < 8; i++) strcat(line, column);
    strcat(line, "\n");
    ck_assert_msg(strncmp(text, line, strlen(line)) == 0, "%s", text);
    ck_assert_ptr_nonnull(strstr(text,
                                 "                                                   Name    Self CPU %      Self CPU  "
                                 " CPU total %     CPU total  CPU time avg       CPU Mem  Self CPU Mem    # of "
                                 "Calls  \n"));
    ck_assert_ptr_nonnull(strstr(text, "\na range whose name is much longer than the column of...  "));
    ck_assert_ptr_nonnull(strstr(text, "\nSelf CPU time total: "));
    ck_assert_int_eq(lines_of(text), 3 + 3 + 2);
    const char *exp_row = strstr(text, " exp  "), *mul_row = strstr(text, " mul  ");
    ck_assert(exp_row && mul_row && exp_row < mul_row); /* three calls, then one */
    ck_assert_ptr_nonnull(strstr(exp_row, "             3  \n"));
    free(text);
    text = table_of("cpu_time_total", 1, false);
    ck_assert_int_eq(lines_of(text), 3 + 1 + 2);
    ck_assert_ptr_nonnull(strstr(text, "\na range whose"));
    ck_assert_ptr_nonnull(strstr(text, "ms  "));
    free(text);
    static const char *const sorts[] = {
        "count", "cpu_time", "cpu_time_total", "self_cpu_time_total", "cpu_memory_usage", "self_cpu_memory_usage"
    };
    for (size_t i = 0; i < sizeof sorts / sizeof *sorts; i++) free(table_of(sorts[i], 10, false));
}
END_TEST

START_TEST(shapes_make_rows_of_their_own)
{
    Variable *x = leaf(2), *y = leaf(3), *w = ag_ones(AG_SHAPE(3, 2), .dtype = AG_FLOAT64);
    OK(ag_profiler_begin(.record_shapes = true));
    ag_exp(x);
    ag_exp(y);
    ag_exp(y);
    ag_matmul(w, x);
    ag_cat(AG_LIST(x, y));
    OK(ag_backward(ag_sum(ag_exp(y))));
    OK(ag_profiler_end());
    ck_assert_int_eq(average_of("exp").count, 4);
    char *text = table_of(NULL, -1, true);
    ck_assert_ptr_nonnull(strstr(text, "Input Shapes  \n"));
    ck_assert_ptr_nonnull(strstr(text, " [[2]]  \n"));
    ck_assert_ptr_nonnull(strstr(text, "             3       "));
    ck_assert_ptr_nonnull(strstr(text, " [[3, 2], [2]]  \n"));
    ck_assert_ptr_nonnull(strstr(text, " [[2], [3]]  \n"));
    int rows = lines_of(text);
    free(text);
    text = table_of(NULL, -1, false);
    ck_assert_int_lt(lines_of(text), rows);
    free(text);
}
END_TEST

/* ---- the trace ---- */

/* A reader of JSON that only says whether it is some: past the value at *at. */
static bool skip_value(const char **at);
static void skip_space(const char **at) { *at += strspn(*at, " \t\r\n"); }
static bool skip_string(const char **at)
{
    if (*(*at)++ != '"') return false;
    for (; **at != '"'; ++*at) {
        if ((unsigned char)**at < 0x20) return false;
        if (**at == '\\') {
            ++*at;
            if (!**at || !strchr("\"\\/bfnrtu", **at)) return false;
        }
    }
    return ++*at;
}
static bool skip_list(const char **at, char end, bool named)
{
    ++*at;
    skip_space(at);
    if (**at == end) return ++*at;
    for (;;) {
        skip_space(at);
        if (named) {
            if (!skip_string(at)) return false;
            skip_space(at);
            if (*(*at)++ != ':') return false;
        }
        if (!skip_value(at)) return false;
        skip_space(at);
        char next = *(*at)++;
        if (next == end) return true;
        if (next != ',') return false;
    }
}
static bool skip_value(const char **at)
{
    skip_space(at);
    if (**at == '{') return skip_list(at, '}', true);
    if (**at == '[') return skip_list(at, ']', false);
    if (**at == '"') return skip_string(at);
    char *end;
    strtod(*at, &end);
    bool some = end != *at;
    *at = end;
    return some;
}

static char *trace_of(void)
{
    char path[] = "/tmp/argent-trace-XXXXXX";
    close(mkstemp(path));
    OK(ag_profiler_export_chrome_trace(path));
    FILE *file = fopen(path, "r");
    char *text = calloc(1, 1 << 20);
    ck_assert_int_gt(fread(text, 1, (1 << 20) - 1, file), 0);
    fclose(file);
    unlink(path);
    const char *at = text;
    ck_assert_msg(skip_value(&at), "no JSON behind: %.100s", at);
    skip_space(&at);
    ck_assert_int_eq(*at, 0);
    return text;
}

START_TEST(the_trace_is_json_with_every_event)
{
    Variable *x = leaf(2);
    OK(ag_profiler_begin(.record_shapes = true));
    {
        AG_RECORD_FUNCTION("a \"name\"\\\n\x01 \xc3\xa9 \xff");
        OK(ag_backward(ag_sum(ag_mul(x, x))));
    }
    OK(ag_profiler_end());
    char *text = trace_of();
    int64_t events = 0, n = 0;
    for (const char *at = text; (at = strstr(at, "\"ph\": \"X\"")); at++) events++;
    for (ag_profiler_average a = { 0 }; ag_profiler_key_averages(&a);) n += a.count;
    ck_assert_int_eq(events, n);
    ck_assert_ptr_nonnull(strstr(text, "\"name\": \"mul\", \"cat\": \"cpu_op\", \"pid\": "));
    ck_assert_ptr_nonnull(strstr(text, "\"Input Dims\": [[2], [2]]"));
    ck_assert_ptr_nonnull(strstr(text, "\"name\": \"MulBackward0\", \"cat\": \"backward\""));
    ck_assert_ptr_nonnull(
        strstr(text, "\"a \\u0022name\\u0022\\u005c\\u000a\\u0001 \xc3\xa9 ?\", \"cat\": \"user_annotation\""));
    free(text);
    REFUSED(ag_profiler_export_chrome_trace("/nowhere/at/all.json"), "/nowhere/at/all.json");
    REFUSED(ag_profiler_export_chrome_trace(NULL), "export_chrome_trace: the path is NULL");
}
END_TEST

/* ---- threads ---- */

enum { N_THREADS = 4, N_CALLS = 50 };
static void *work(void *user)
{
    if (user) pthread_setname_np(pthread_self(), user);
    AG_SCOPE;
    AG_RECORD_FUNCTION("thread");
    Variable *x = leaf(8);
    for (int i = 0; i < N_CALLS; i++) {
        AG_SCOPE;
        OK(ag_backward(ag_sum(ag_exp(x))));
    }
    return NULL;
}
START_TEST(each_thread_records_its_own_events)
{
    pthread_t threads[N_THREADS];
    OK(ag_profiler_begin());
    for (int i = 0; i < N_THREADS; i++) pthread_create(&threads[i], NULL, work, i ? NULL : "a \"worker\"");
    work(NULL);
    for (int i = 0; i < N_THREADS; i++) pthread_join(threads[i], NULL);
    OK(ag_profiler_end());
    ck_assert_int_eq(average_of("thread").count, N_THREADS + 1);
    ck_assert_int_eq(average_of("exp").count, (N_THREADS + 1) * N_CALLS);
    ck_assert_int_eq(average_of("ExpBackward0").count, (N_THREADS + 1) * N_CALLS);
    char *text = trace_of();
    int64_t ids[2 * N_THREADS], n = 0;
    for (const char *at = text; (at = strstr(at, "\"thread\", \"cat\"")); at++) {
        ids[n] = strtol(strstr(at, "\"tid\": ") + 7, NULL, 10);
        for (int64_t i = 0; i < n; i++) ck_assert_int_ne(ids[i], ids[n]);
        n++;
    }
    ck_assert_int_eq(n, N_THREADS + 1);
    ck_assert_ptr_nonnull(strstr(text, "\"args\": {\"name\": \"a \\u0022worker\\u0022\"}"));
    free(text);
}
END_TEST

static bool stop;
static void *work_on(void *user)
{
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) work(user);
    return NULL;
}
START_TEST(it_may_begin_and_end_while_others_work)
{
    pthread_t threads[N_THREADS];
    stop = false;
    for (int i = 0; i < N_THREADS; i++) pthread_create(&threads[i], NULL, work_on, NULL);
    for (int i = 0; i < 20; i++) {
        OK(ag_profiler_begin(.record_shapes = i % 2));
        work(NULL);
        OK(ag_profiler_end());
        ck_assert_int_ge(average_of("exp").count, N_CALLS);
        for (ag_profiler_average a = { 0 }; ag_profiler_key_averages(&a);) ck_assert_int_ge(a.cpu_time_total, 0);
    }
    __atomic_store_n(&stop, true, __ATOMIC_RELAXED);
    for (int i = 0; i < N_THREADS; i++) pthread_join(threads[i], NULL);
}
END_TEST

/* ---- sessions ---- */

START_TEST(a_session_begins_anew_and_events_across_its_ends_are_cut)
{
    Variable *x = leaf(2);
    {
        AG_RECORD_FUNCTION("before");
        OK(ag_profiler_begin());
        REFUSED(ag_profiler_begin(), "Profiler is already enabled");
        REFUSED(ag_profiler_table(stdout), "Profiler didn't finish running");
        REFUSED(ag_profiler_key_averages(&(ag_profiler_average){ 0 }), "Profiler didn't finish running");
        REFUSED(ag_profiler_export_chrome_trace("/tmp/argent-no-trace"), "Profiler didn't finish running");
        ck_assert(access("/tmp/argent-no-trace", F_OK) != 0);
    }
    {
        AG_RECORD_FUNCTION("across");
        ag_exp(x);
        OK(ag_profiler_end());
        ck_assert_str_eq(keys(), "across:1 exp:1 ");
        ck_assert_int_gt(average_of("across").cpu_time_total, average_of("exp").cpu_time_total);
        OK(ag_profiler_begin());
        ag_exp(x);
    } /* the end of a range of another session */
    ag_exp(x);
    OK(ag_profiler_end());
    ck_assert_str_eq(keys(), "exp:2 ");
    ck_assert_int_gt(average_of("exp").cpu_time_total, 0);
    REFUSED(ag_profiler_end(), "Can't disable profiler when it's not running");
    ag_profiler_clear();
    ck_assert_str_eq(keys(), "");
    char *text = table_of(NULL, 10, false);
    ck_assert_ptr_nonnull(strstr(text, "Self CPU time total: 0.000us"));
    free(text);
    free(trace_of());
    {
        AG_PROFILE;
        AG_PROFILE; /* is on already */
        REFUSED(false, "Profiler is already enabled");
        ck_assert(ag_profiler_is_on());
    }
    ck_assert(!ag_profiler_is_on());
    REFUSED(ag_profiler_table(NULL), "profiler_table: the file is NULL");
    REFUSED(ag_profiler_table(stdout, "zzz"), "profiler_table: there is no sort key 'zzz'");
    REFUSED(ag_profiler_key_averages(NULL), "the place is NULL");
}
END_TEST

START_TEST(a_forked_child_has_a_profiler_of_its_own)
{
    Variable *x = leaf(2);
    OK(ag_profiler_begin());
    ag_exp(x);
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        ag_exp(x);
        bool ok = ag_profiler_end() && average_of("exp").count == 2;
        _exit(ok ? 0 : 1);
    }
    int status = 1;
    waitpid(child, &status, 0);
    ck_assert_int_eq(status, 0);
    OK(ag_profiler_end());
    ck_assert_int_eq(average_of("exp").count, 1);
}
END_TEST

START_TEST(an_op_that_fails_is_an_event_too)
{
    OK(ag_profiler_begin(.record_shapes = true));
    REFUSED(ag_matmul(ag_ones(AG_SHAPE(2, 3)), ag_ones(AG_SHAPE(2, 3))), "cannot be multiplied");
    REFUSED(ag_exp(NULL), "exp: input is NULL");
    ag_exp(leaf(2));
    OK(ag_profiler_end());
    ck_assert_int_eq(average_of("matmul").count, 1);
    ck_assert_int_eq(average_of("exp").count, 2);
}
END_TEST

START_TEST(without_memory_ops_run_and_events_are_lost)
{
    Variable *x = leaf(2);
    ag_exp(x);
    for (int64_t at = 1, undisturbed = 0; !undisturbed; at++) {
        AG_SCOPE;
        bool began = ag_profiler_begin();
        interpose_start(at, false);
        Variable *y = ag_exp(x);
        bool ended = ag_profiler_end();
        ag_profiler_average a = { 0 };
        bool has = ended && ag_profiler_key_averages(&a);
        undisturbed = interpose_stop() < at;
        ck_assert(began && (y || !support_memory_is_kept()));
        ck_assert(undisturbed ? y && ended && has : ag_error_code() == AG_ENOMEM);
        ag_clear_error();
    }
}
END_TEST

SUPPORT_MAIN("profiler", ops_and_backward_nodes_are_counted_while_it_is_on, what_runs_inside_is_not_an_events_own_time,
             an_op_made_of_others_has_them_inside, bytes_are_those_taken_less_those_given_back,
             the_table_has_pytorchs_form, shapes_make_rows_of_their_own, the_trace_is_json_with_every_event,
             each_thread_records_its_own_events, it_may_begin_and_end_while_others_work,
             a_session_begins_anew_and_events_across_its_ends_are_cut, a_forked_child_has_a_profiler_of_its_own,
             an_op_that_fails_is_an_event_too, without_memory_ops_run_and_events_are_lost)

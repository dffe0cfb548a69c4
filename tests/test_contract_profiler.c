/* test_contract_profiler.c - the Variable's contract, a sentence of docs/contract.md each: the profiler. */
#include "support.h"

#include <stdio.h>
#include <unistd.h>

static Variable *a_step(void)
{
    Variable *x = LEAF(AG_SHAPE(2, 2), 1, 2, 3, 4), *y = ag_mm(x, x);
    OK(ag_backward(ag_sum(ag_mul(y, x))));
    return ag_grad(x);
}
static ag_profiler_average average_of(const char *key)
{
    for (ag_profiler_average a = { 0 }; ag_profiler_key_averages(&a);)
        if (strcmp(a.key, key) == 0) return a;
    ck_abort_msg("there is no %s among the averages", key);
    return (ag_profiler_average){ 0 };
}

START_TEST(the_profiler_counts_each_op_and_its_time_forward_and_backward) /* row 39 */
{
    {
        AG_PROFILE;
        AG_RECORD_FUNCTION("two steps");
        a_step();
        a_step();
    }
    a_step(); /* not any more */
    static const struct {
        const char *key;
        int64_t count;
    } rows[] = { { "sum", 2 }, { "MulBackward0", 2 }, { "MmBackward0", 2 }, { "SumBackward0", 2 }, { "two steps", 1 } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ag_profiler_average a = average_of(rows[i].key);
        ck_assert_int_eq(a.count, rows[i].count);
        ck_assert(a.cpu_time_total > 0 && a.self_cpu_time_total >= 0 && a.self_cpu_time_total <= a.cpu_time_total);
    }
    ck_assert_int_gt(average_of("two steps").cpu_time_total, average_of("MmBackward0").cpu_time_total);
    ag_profiler_clear();
}
END_TEST

START_TEST(the_averages_make_a_table_that_is_sorted_by_any_column) /* row 39 */
{
    static const char *const keys[] = {
        "count", "cpu_time", "cpu_time_total", "self_cpu_time_total", "cpu_memory_usage", "self_cpu_memory_usage"
    };
    {
        AG_PROFILE;
        a_step();
    }
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        char *text = NULL;
        size_t size = 0;
        FILE *file = open_memstream(&text, &size);
        OK(ag_profiler_table(file, .sort_by = keys[i]));
        fclose(file);
        ck_assert(strstr(text, "Self CPU") && strstr(text, "# of Calls") && strstr(text, "MmBackward0"));
        free(text);
    }
    REFUSED(ag_profiler_table(stdout, .sort_by = "beauty"), "beauty");
    ag_profiler_clear();
}
END_TEST

START_TEST(events_are_exported_as_a_chrome_trace) /* row 39 */
{
    char path[] = "/tmp/argent-trace-XXXXXX", text[1 << 16];
    int descriptor = mkstemp(path);
    ck_assert_int_ge(descriptor, 0);
    close(descriptor);
    {
        AG_PROFILE;
        a_step();
    }
    OK(ag_profiler_export_chrome_trace(path));
    FILE *file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = 0;
    ck_assert(strstr(text, "\"traceEvents\"") && strstr(text, "\"ph\"") && strstr(text, "MmBackward0"));
    ck_assert_int_eq(unlink(path), 0);
    ag_profiler_clear();
}
END_TEST

START_TEST(the_profiler_is_on_once_at_a_time) /* row 39 */
{
    AG_PROFILE;
    ck_assert(ag_profiler_is_on());
    REFUSED(ag_profiler_begin(), "Profiler is already enabled");
    OK(ag_profiler_end());
    ck_assert(!ag_profiler_is_on());
    REFUSED(ag_profiler_end(), "rofiler");
    OK(ag_profiler_begin());
    ag_profiler_clear();
}
END_TEST

SUPPORT_MAIN("contract_profiler", the_profiler_counts_each_op_and_its_time_forward_and_backward,
             the_averages_make_a_table_that_is_sorted_by_any_column, events_are_exported_as_a_chrome_trace,
             the_profiler_is_on_once_at_a_time)

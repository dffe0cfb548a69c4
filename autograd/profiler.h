/* profiler.h - where the time goes.
 *
 *     {
 *         AG_PROFILE;                                        for the rest of the block, in all threads
 *         AG_RECORD_FUNCTION("step");                        a name for the rest of the block
 *         ag_backward(ag_cross_entropy(ag_forward(net, x), y));
 *     }
 *     ag_profiler_table(stdout, .sort_by = "self_cpu_time_total", .row_limit = 10);
 *     ag_profiler_export_chrome_trace("step.json");          for chrome://tracing or ui.perfetto.dev
 *
 * Every op that runs is an event, and so are the nodes of a backward and the named ranges: when it began and ended, in
 * which thread, how many bytes of Variables were taken more than given back meanwhile. What runs inside an event counts
 * for its time too, but not for its own ("self"). While the profiler is off it costs one test an op.
 */
#ifndef ARGENT_PROFILER_H
#define ARGENT_PROFILER_H
#include <argent/args.h>
#include <argent/error.h>

#include <stdio.h>

AG_BEGIN_DECLS

/* ---- recording ---- */

/* Forgets what was recorded before and begins, in all threads of the process. record_shapes: the sizes of each op's
 * Variables, too. Errors: AG_EINVAL, it is on already. */
#define AG_ARGS_profiler_begin(must, may) may(Bool, record_shapes, false)
#define ag_profiler_begin(...)            AG_CALL(profiler_begin, __VA_ARGS__)
AG_DECLARE_AS(profiler_begin, bool)
/* Ends it: what was recorded can be read until the next begin, in any thread. Events that are under way end here.
 * Errors: AG_EINVAL, it is not on; AG_ENOMEM, there was no room for some events (the others can be read). */
AG_API bool ag_profiler_end(void);
AG_API bool ag_profiler_is_on(void);
/* Lets go of what was recorded. */
AG_API void ag_profiler_clear(void);

/* Both for the rest of the enclosing block. */
#define AG_PROFILE                                                                    \
    __attribute__((cleanup(ag_profile_scope_end), unused)) bool AG_PASTE(ag_profile_, \
                                                                         __COUNTER__) = ag_profiler_begin(false)
AG_API void ag_profile_scope_end(bool *begun);

/* A range with a name among the events, for the rest of the enclosing block; name is copied. */
#define AG_RECORD_FUNCTION(name)                                                          \
    __attribute__((cleanup(ag_record_function_end), unused)) ag_record_function AG_PASTE( \
        ag_range_, __COUNTER__) = ag_record_function_begin(name)
typedef struct ag_record_function {
    int64_t event;
} ag_record_function;
AG_API ag_record_function ag_record_function_begin(const char *name);
AG_API void ag_record_function_end(ag_record_function *range);

/* ---- reading ---- */

/* All events of one name (and, for a table by shapes, of the same ones) together. Times in nanoseconds. */
typedef struct ag_profiler_average {
    const char *key;          /* "mul", "mul_" in place, "MulBackward0", "AccumulateGrad", a range's name */
    const char *input_shapes; /* of a table by shapes: "[[2, 3], [3]]"; NULL */
    int64_t count;
    int64_t cpu_time_total, self_cpu_time_total;
    int64_t cpu_memory_usage, self_cpu_memory_usage; /* bytes taken less those given back */
    int64_t next;
} ag_profiler_average;
/* One after the other, in the order in which they first began; key is valid until the next begin:
 *
 *     for (ag_profiler_average a = { 0 }; ag_profiler_key_averages(&a);) printf("%s %lld\n", a.key, (long
 * long)a.count);
 */
AG_API bool ag_profiler_key_averages(ag_profiler_average *at);

/* key_averages().table(sort_by, row_limit), in PyTorch's form. sort_by: "count", "cpu_time" (of one call),
 * "cpu_time_total", "self_cpu_time_total", "cpu_memory_usage" or "self_cpu_memory_usage", the greatest first; left out:
 * as they began. row_limit: -1: all. group_by_input_shape: a row for each combination of shapes (record_shapes).
 * Errors: AG_EINVAL, AG_EIO, AG_ENOMEM. */
#define AG_ARGS_profiler_table(must, may) \
    must(File, file) may(Str, sort_by, NULL) may(Int, row_limit, 100) may(Bool, group_by_input_shape, false)
#define ag_profiler_table(...) AG_CALL(profiler_table, __VA_ARGS__)
AG_DECLARE_AS(profiler_table, bool)

/* All events in Chrome's trace format, by thread. The file appears whole or not at all. Errors: AG_EIO, AG_ENOMEM. */
AG_API bool ag_profiler_export_chrome_trace(const char *path);

AG_END_DECLS
#endif

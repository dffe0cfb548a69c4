/* test_cuda_memory.c - device memory: what is kept, counted, given back and runs out; faults of kernels; and why CUDA
 * is not there. Each test is a process of its own, so the plug-in is loaded anew. */
#include "tests/cuda/cuda_cases.h"

#define MB ((int64_t)1 << 20)

START_TEST(freed_memory_is_kept_and_used_again)
{
    ck_assert_int_eq(ag_cuda_memory_allocated(AG_CUDA), 0);
    int64_t reserved = 0;
    for (int step = 0; step < 5; step++) {
        AG_SCOPE;
        Variable *x = ag_zeros(AG_SHAPE(1000), .device = AG_CUDA), *y = ag_add(x, x);
        OK(y);
        ck_assert_int_eq(ag_cuda_memory_allocated(AG_CUDA), 2 * 4096);
        if (!step) reserved = ag_cuda_memory_reserved(AG_CUDA);
        ck_assert_int_eq(ag_cuda_memory_reserved(AG_CUDA), reserved);
    }
    ck_assert_int_eq(reserved, 2 * MB);
    ck_assert_int_eq(ag_cuda_memory_allocated(AG_CUDA), 0);
    ck_assert_int_eq(ag_cuda_max_memory_allocated(AG_CUDA), 2 * 4096);
    ag_cuda_reset_peak_memory_stats(AG_CUDA);
    ck_assert_int_eq(ag_cuda_max_memory_allocated(AG_CUDA), 0);
    ag_cuda_empty_cache();
    ck_assert_int_eq(ag_cuda_memory_reserved(AG_CUDA), 0);
    ck_assert_int_eq(ag_cuda_max_memory_reserved(AG_CUDA), 2 * MB);
}
END_TEST

START_TEST(segments_are_those_of_pytorch)
{
    static const struct {
        int64_t bytes, allocated, reserved;
    } rows[] = { { 1, 512, 2 * MB },
                 { 513, 1024, 2 * MB },
                 { MB, MB, 2 * MB },
                 { MB + 1, MB + 512, 20 * MB },
                 { 10 * MB, 10 * MB, 10 * MB },
                 { 11 * MB, 11 * MB, 12 * MB } };
    for (int i = 0; i < (int)(sizeof rows / sizeof *rows); i++) {
        AG_SCOPE;
        ag_cuda_empty_cache();
        OK(ag_empty(AG_SHAPE(rows[i].bytes), .dtype = AG_UINT8, .device = AG_CUDA));
        ck_assert_int_eq(ag_cuda_memory_reserved(AG_CUDA), rows[i].reserved);
        /* what is left of a large segment stays with the block, if it is a megabyte at most */
        int64_t allocated = rows[i].bytes == 11 * MB ? 12 * MB : rows[i].allocated;
        ck_assert_int_eq(ag_cuda_memory_allocated(AG_CUDA), allocated);
    }
}
END_TEST

/* Blocks of many sizes, freed in another order: no two share a byte, and all becomes one again. */
START_TEST(blocks_do_not_share_memory)
{
    enum { N = 64 };
    Variable *kept[N] = { NULL };
    uint64_t state = 1;
    for (int step = 0; step < 1000; step++) {
        AG_SCOPE;
        state = state * 6364136223846793005 + 1442695040888963407;
        int i = (int)(state >> 40) % N;
        if (kept[i]) {
            ck_assert_int_eq(ag_item_int64(ag_select(kept[i], 0, 0)), i);
            ck_assert_int_eq(ag_item_int64(ag_select(kept[i], 0, ag_size(kept[i], 0) - 1)), i);
            ag_release(kept[i]);
            kept[i] = NULL;
        } else {
            int64_t n = 1 + (int64_t)(state >> 33) % (step % 17 ? 1000 : 150000);
            kept[i] = ag_retain(ag_full(AG_SHAPE(n), i, .dtype = AG_INT64, .device = AG_CUDA));
            OK(kept[i]);
        }
    }
    for (int i = 0; i < N; i++)
        if (kept[i]) ag_release(kept[i]);
    ck_assert_int_eq(ag_cuda_memory_allocated(AG_CUDA), 0);
    ag_cuda_empty_cache();
    ck_assert_int_eq(ag_cuda_memory_reserved(AG_CUDA), 0);
}
END_TEST

START_TEST(out_of_memory_is_an_error_and_leaves_all_usable)
{
    if (!cuda_emulation("cuda_host_fault")) return;
    setenv("CUDA_HOST_MEMORY_MB", "64", 1);
    {
        AG_SCOPE; /* 40 MB that are kept in pieces go back before memory is out */
        OK(ag_zeros(AG_SHAPE(20 * MB), .dtype = AG_UINT8, .device = AG_CUDA));
        OK(ag_zeros(AG_SHAPE(20 * MB), .dtype = AG_UINT8, .device = AG_CUDA));
    }
    OK(ag_zeros(AG_SHAPE(50 * MB), .dtype = AG_UINT8, .device = AG_CUDA));
    ck_assert_int_eq(ag_cuda_memory_reserved(AG_CUDA), 50 * MB);
    ck_assert_ptr_null(ag_zeros(AG_SHAPE(30 * MB), .dtype = AG_UINT8, .device = AG_CUDA));
    ck_assert_int_eq(ag_error_code(), AG_ENOMEM);
    REFUSED(NULL, "CUDA out of memory: cuda:0 has no 31457280 bytes left");
    Variable *x = ag_ones(AG_SHAPE(4), .device = AG_CUDA);
    ck_assert_double_eq(ag_item(ag_select(ag_add(x, x), 0, 3)), 2);
}
END_TEST

static void fault(int e)
{
    void *symbol = cuda_emulation("cuda_host_fault");
    void (*set)(int);
    memcpy(&set, &symbol, sizeof set);
    set(e);
}

START_TEST(a_fault_is_reported_by_whoever_waits)
{
    Variable *x = ag_ones(AG_SHAPE(4), .device = AG_CUDA);
    OK(x);
    if (!cuda_emulation("cuda_host_fault")) return;
    fault(719);
    Variable *y = ag_mul(x, x);
    OK(y); /* nobody has waited */
    REFUSED(ag_cuda_synchronize(AG_CUDA), "the last kernel launched was mul's");
    fault(719);
    ck_assert(isnan(ag_item(ag_select(y, 0, 0))));
    REFUSED(NULL, "cudaErrorLaunchFailure");
    OK(ag_cuda_synchronize(AG_CUDA));
}
END_TEST

START_TEST(launches_that_block_name_the_op)
{
    if (!cuda_emulation("cuda_host_fault")) return;
    setenv("AG_CUDA_LAUNCH_BLOCKING", "1", 1);
    Variable *x = ag_ones(AG_SHAPE(4), .device = AG_CUDA);
    OK(x);
    fault(719);
    REFUSED(ag_exp(x), "exp: CUDA error: cudaErrorLaunchFailure");
}
END_TEST

/* A captured launch has nothing to wait for; what is replayed is waited for. */
START_TEST(launches_that_block_can_be_captured)
{
    setenv("AG_CUDA_LAUNCH_BLOCKING", "1", 1);
    Variable *x = ag_full(AG_SHAPE(4), 3, .device = AG_CUDA), *y;
    ag_cuda_graph *g = ag_cuda_graph_new(AG_CUDA);
    ag_cuda_stream side = ag_cuda_stream_new(AG_CUDA, 0);
    OK(ag_cuda_stream_wait_stream(side, ag_cuda_current_stream(AG_CUDA)));
    {
        AG_CUDA_STREAM(side);
        OK(ag_cuda_graph_capture_begin(g, NULL));
        y = ag_mul(x, x);
        OK(y);
        OK(ag_cuda_graph_capture_end(g));
        OK(ag_cuda_graph_replay(g));
    }
    VALUES(ag_to(y, AG_CPU), 9, 9, 9, 9);
    ag_cuda_graph_free(g);
}
END_TEST

/* ---- why CUDA is not there ---- */

static void not_there(const char *plugin, const char *reason)
{
    if (plugin)
        setenv("AG_CUDA_PLUGIN", plugin, 1);
    else
        unsetenv("AG_CUDA_PLUGIN");
    bool is_there = ag_cuda_is_available();
    if (is_there && !plugin) return; /* a GPU */
    ck_assert(!is_there);
    ck_assert_int_eq(ag_cuda_device_count(), 0);
    ck_assert_int_eq(ag_cuda_memory_allocated(AG_CUDA), 0);
    ag_cuda_empty_cache();
    Variable *x = ag_ones(AG_SHAPE(2));
    ck_assert_ptr_null(ag_to(x, AG_CUDA));
    ck_assert_int_eq(ag_error_code(), AG_EDEVICE);
    REFUSED(NULL, reason);
    REFUSED(ag_cuda_synchronize(AG_CUDA), "cuda:0 is not available");
    VALUES(x, 1, 1);
}
START_TEST(without_a_plugin) { not_there("/nowhere/libargent-cuda.so", "the CUDA plug-in cannot be loaded"); }
END_TEST
START_TEST(with_something_else) { not_there("libm.so.6", "libm.so.6 is no CUDA plug-in of Argent"); }
END_TEST
START_TEST(without_a_driver) { not_there(NULL, "cuda:0 is not available: there is"); }
END_TEST
START_TEST(without_a_device)
{
    if (!cuda_emulation("cuda_host_fault")) return;
    setenv("CUDA_HOST_DEVICES", "0", 1);
    not_there(getenv("AG_CUDA_PLUGIN"), "there is a driver, but no CUDA device that the process may use");
}
END_TEST

int main(void)
{
    setenv("CK_FORK", "yes", 1); /* under valgrind, too: the plug-in reads the environment once */
    const TTest *all[] = { freed_memory_is_kept_and_used_again,
                           segments_are_those_of_pytorch,
                           blocks_do_not_share_memory,
                           out_of_memory_is_an_error_and_leaves_all_usable,
                           a_fault_is_reported_by_whoever_waits,
                           launches_that_block_name_the_op,
                           launches_that_block_can_be_captured,
                           without_a_plugin,
                           with_something_else,
                           without_a_driver,
                           without_a_device };
    return support_main("cuda/memory", all, sizeof all / sizeof *all);
}

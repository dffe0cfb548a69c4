/* test_cuda_streams.c - streams, events, memory that several streams use, and walks back over several streams. On the
 * emulation with CUDA_HOST_DEFER=1 a stream runs only when somebody waits for it, so that a wait that is missing
 * shows. */
#include "tests/cuda/cuda_cases.h"

#include "autograd/node.h"

#define CUDA1 AG_DEVICE(AG_DEVICE_CUDA, 1)

/* Work waits until somebody asks for it. */
static bool is_deferred(void)
{
    const char *defer = getenv("CUDA_HOST_DEFER");
    return cuda_emulation("cuda_host_fault") && defer && atoi(defer);
}

static ag_cuda_stream current(void) { return ag_cuda_current_stream(AG_CUDA); }

/* ---- which stream ---- */

START_TEST(each_thread_has_a_current_stream_per_device)
{
    ag_cuda_stream a = ag_cuda_stream_new(AG_CUDA, 0), b = ag_cuda_stream_new(AG_CUDA, -1);
    ck_assert_int_gt(a.id, 0);
    ck_assert_int_gt(b.id, 0);
    ck_assert_int_ne(a.id, b.id);
    ck_assert_int_eq(current().id, 0);
    ck_assert_int_eq(ag_cuda_default_stream(AG_CUDA).id, 0);
    {
        AG_CUDA_STREAM(a);
        ck_assert_int_eq(current().id, a.id);
        {
            AG_CUDA_STREAM(b);
            ck_assert_int_eq(current().id, b.id);
        }
        ck_assert_int_eq(current().id, a.id);
        if (ag_cuda_device_count() > 1) ck_assert_int_eq(ag_cuda_current_stream(CUDA1).id, 0);
    }
    ck_assert_int_eq(current().id, 0);
    OK(ag_cuda_set_stream(b));
    ck_assert_int_eq(current().id, b.id);
    OK(ag_cuda_set_stream(ag_cuda_default_stream(AG_CUDA)));
    ck_assert_ptr_nonnull(ag_cuda_stream_handle(a));
    ck_assert_ptr_ne(ag_cuda_stream_handle(a), ag_cuda_stream_handle(b));
}
END_TEST

START_TEST(a_device_has_32_streams_of_each_priority)
{
    ag_cuda_stream first = ag_cuda_stream_new(AG_CUDA, 0), next;
    for (int i = 1; i < 32; i++) {
        next = ag_cuda_stream_new(AG_CUDA, 0);
        ck_assert_int_ne(next.id, first.id);
    }
    next = ag_cuda_stream_new(AG_CUDA, 0);
    ck_assert_int_eq(next.id, first.id);
    OK(ag_cuda_stream_synchronize(next));
}
END_TEST

START_TEST(what_is_no_stream_is_refused)
{
    ag_cuda_stream bad = ag_cuda_stream_new(AG_CUDA, 1);
    ck_assert_int_lt(bad.id, 0);
    REFUSED(NULL, "cuda_stream_new: priority must be 0 or -1, but got 1");
    REFUSED(ag_cuda_set_stream(bad), "cuda_set_stream: there is no stream -1");
    {
        AG_CUDA_STREAM(bad);
        REFUSED(NULL, "there is no stream -1");
    }
    ck_assert_int_eq(current().id, 0);
    REFUSED(ag_cuda_stream_new(AG_CPU, 0).id >= 0, "cpu is no CUDA device");
    REFUSED(ag_cuda_current_stream(AG_DEVICE(AG_DEVICE_CUDA, 50)).id >= 0, "cuda has no device 50");
    REFUSED(ag_cuda_stream_synchronize(bad), "there is no stream -1");
    REFUSED(ag_cuda_stream_query(bad), "there is no stream -1");
    REFUSED(ag_cuda_stream_handle(bad), "there is no stream -1");
    REFUSED(ag_cuda_stream_wait_stream(current(), bad), "there is no stream -1");
    Variable *x = ag_ones(AG_SHAPE(3), .device = AG_CUDA);
    REFUSED(ag_record_stream(x, bad), "record_stream: there is no stream -1");
    REFUSED(ag_record_stream(NULL, current()), "record_stream: input is NULL");
    if (ag_cuda_device_count() > 1)
        REFUSED(ag_record_stream(x, ag_cuda_default_stream(CUDA1)), "input is on cuda:0, the stream on cuda:1");
    OK(ag_record_stream(ag_ones(AG_SHAPE(2)), bad));
}
END_TEST

/* ---- order ---- */

START_TEST(a_stream_goes_on_where_another_stands)
{
    ag_cuda_stream side = ag_cuda_stream_new(AG_CUDA, 0);
    Variable *x = ag_to(ag_full(AG_SHAPE(300), 3), AG_CUDA), *y, *z;
    x = ag_add(x, x);
    OK(ag_cuda_stream_wait_stream(side, current()));
    {
        AG_CUDA_STREAM(side);
        y = ag_mul(x, x);
        cuda_same(ag_to(y, AG_CPU), ag_full(AG_SHAPE(300), 36), 0);
        z = ag_add(y, y);
    }
    OK(ag_cuda_stream_wait_stream(current(), side));
    cuda_same(ag_to(ag_add(z, y), AG_CPU), ag_full(AG_SHAPE(300), 108), 0);
    OK(ag_cuda_synchronize(AG_CUDA));
    OK(ag_cuda_stream_query(side));
}
END_TEST

/* It is the emulation that is tested here. */
START_TEST(a_wait_that_is_missing_shows)
{
    if (!is_deferred()) return;
    Variable *x = ag_to(ag_full(AG_SHAPE(300), 3), AG_CUDA), *y;
    ag_cuda_stream side = ag_cuda_stream_new(AG_CUDA, 0);
    AG_CUDA_STREAM(side);
    y = ag_mul(x, x);
    OK(ag_cuda_stream_synchronize(side));
    OK(ag_cuda_synchronize(AG_CUDA));
    setenv("CUDA_HOST_UNWRITTEN", "0", 1);
    ck_assert_double_ne(ag_item(ag_sum(ag_eq(y, ag_scalar(9)))), 300);
}
END_TEST

START_TEST(events_mark_a_place)
{
    ag_cuda_stream side = ag_cuda_stream_new(AG_CUDA, 0);
    ag_cuda_event *a = ag_cuda_event_new(true), *b = ag_cuda_event_new(true), *plain = ag_cuda_event_new(false);
    OK(ag_cuda_event_query(a)); /* never recorded */
    OK(ag_cuda_event_synchronize(a));
    OK(ag_cuda_event_wait(a, side));
    REFUSED(!isnan(ag_cuda_event_elapsed_time(a, b)), "Both events must be recorded");
    Variable *x = ag_to(ag_full(AG_SHAPE(300), 3), AG_CUDA), *y;
    OK(ag_cuda_event_record(a, current()));
    x = ag_add(x, x);
    OK(ag_cuda_event_record(b, current()));
    OK(ag_cuda_event_record(plain, current()));
    if (is_deferred()) ck_assert(!ag_cuda_event_query(b));
    ck_assert_ptr_null(ag_error());
    OK(ag_cuda_event_wait(plain, side));
    {
        AG_CUDA_STREAM(side);
        y = ag_mul(x, x);
        cuda_same(ag_to(y, AG_CPU), ag_full(AG_SHAPE(300), 36), 0);
    }
    OK(ag_cuda_event_query(b));
    OK(ag_cuda_event_synchronize(b));
    ck_assert_double_ge(ag_cuda_event_elapsed_time(a, b), 0);
    REFUSED(!isnan(ag_cuda_event_elapsed_time(a, plain)), "enable_timing=True");
    if (ag_cuda_device_count() > 1)
        REFUSED(ag_cuda_event_record(a, ag_cuda_default_stream(CUDA1)), "Event device cuda:0 does not match");
    REFUSED(ag_cuda_event_record(NULL, side), "the event is NULL");
    ag_cuda_event_free(a);
    ag_cuda_event_free(b);
    ag_cuda_event_free(plain);
    ag_cuda_event_free(NULL);
}
END_TEST

/* ---- memory ---- */

static char *address_of(const Variable *x) { return x->tensor.data; }

START_TEST(freed_memory_stays_with_its_stream)
{
    const char *cache = getenv("AG_CUDA_NO_CACHE");
    if (cache && atoi(cache)) return;
    ag_cuda_stream side = ag_cuda_stream_new(AG_CUDA, 0);
    char *first;
    {
        AG_SCOPE;
        AG_CUDA_STREAM(side);
        first = address_of(ag_empty(AG_SHAPE(1000), .device = AG_CUDA));
    }
    {
        AG_SCOPE;
        ck_assert_ptr_ne(address_of(ag_empty(AG_SHAPE(1000), .device = AG_CUDA)), first);
        AG_CUDA_STREAM(side);
        ck_assert_ptr_eq(address_of(ag_empty(AG_SHAPE(1000), .device = AG_CUDA)), first);
    }
    ck_assert_int_eq(ag_cuda_memory_allocated(AG_CUDA), 0);
    ck_assert_int_eq(ag_cuda_memory_reserved(AG_CUDA), 2 * 2 << 20);
    ag_cuda_empty_cache();
    ck_assert_int_eq(ag_cuda_memory_reserved(AG_CUDA), 0);
}
END_TEST

/* Read on a side stream that runs last, after its memory has been let go and others want some. */
START_TEST(recorded_memory_waits_for_the_stream)
{
    ag_cuda_stream side = ag_cuda_stream_new(AG_CUDA, 0);
    Variable *y = NULL;
    char *first = NULL;
    {
        AG_SCOPE;
        Variable *x = ag_full(AG_SHAPE(1000), 3, .device = AG_CUDA);
        first = address_of(x);
        OK(ag_cuda_stream_wait_stream(side, current()));
        AG_CUDA_STREAM(side);
        y = ag_retain(ag_mul(x, x));
        OK(ag_record_stream(x, side));
    }
    {
        AG_SCOPE;
        Variable *z = ag_full(AG_SHAPE(1000), 5, .device = AG_CUDA);
        if (is_deferred()) ck_assert_ptr_ne(address_of(z), first);
        OK(ag_cuda_stream_synchronize(current()));
        OK(ag_cuda_stream_wait_stream(current(), side));
        cuda_same(ag_to(y, AG_CPU), ag_full(AG_SHAPE(1000), 9), 0);
    }
    ag_release(y);
    OK(ag_cuda_synchronize(AG_CUDA));
    AG_SCOPE;
    bool again = false; /* by now it is anybody's */
    for (int i = 0; i < 3; i++) again |= address_of(ag_empty(AG_SHAPE(1000), .device = AG_CUDA)) == first;
    const char *cache = getenv("AG_CUDA_NO_CACHE");
    if (!cache || !atoi(cache)) ck_assert(again);
    ag_cuda_empty_cache();
}
END_TEST

/* ---- backward ---- */

typedef struct branches {
    Variable *p, *q, *loss;
} branches;

/* exp(p q) on one stream, tanh(q) p on another, their sum's mean on the current one. */
static branches fork_and_join(ag_device device, Variable *p, Variable *q, const ag_cuda_stream *stream)
{
    branches f = { ag_requires_grad_(ag_to(p, device, .copy = true)), ag_requires_grad_(ag_to(q, device, .copy = true)),
                   NULL };
    Variable *a, *b, *pq = ag_mul(f.p, f.q);
    if (stream) {
        for (int i = 0; i < 2; i++) OK(ag_cuda_stream_wait_stream(stream[i], current()));
        {
            AG_CUDA_STREAM(stream[0]);
            a = ag_exp(pq);
        }
        {
            AG_CUDA_STREAM(stream[1]);
            b = ag_mul(ag_tanh(f.q), f.p);
        }
        for (int i = 0; i < 2; i++) OK(ag_cuda_stream_wait_stream(current(), stream[i]));
    } else {
        a = ag_exp(pq);
        b = ag_mul(ag_tanh(f.q), f.p);
    }
    f.loss = ag_mean(ag_mul(ag_add(a, b), a));
    return f;
}

START_TEST(a_node_goes_back_on_its_stream)
{
    Variable *p = support_draw(AG_SHAPE(40), AG_FLOAT64, 1), *q = support_draw(AG_SHAPE(40), AG_FLOAT64, 1);
    ag_cuda_stream stream[2] = { ag_cuda_stream_new(AG_CUDA, 0), ag_cuda_stream_new(AG_CUDA, 0) };
    ag_cuda_stream other = ag_cuda_stream_new(AG_CUDA, 0);
    branches here = fork_and_join(AG_CPU, p, q, NULL);
    OK(ag_backward(here.loss, .retain_graph = true));
    OK(ag_backward(here.loss));
    for (int round = 0; round < 3; round++) {
        AG_SCOPE;
        branches there = fork_and_join(AG_CUDA, p, q, stream);
        OK(ag_backward(there.loss, .retain_graph = true));
        if (round == 2) OK(ag_cuda_stream_wait_stream(other, current()));
        AG_CUDA_STREAM(round == 2 ? other : current());
        OK(ag_backward(there.loss));
        cuda_same(ag_to(ag_grad(there.p), AG_CPU), ag_grad(here.p), 1e-13);
        cuda_same(ag_to(ag_grad(there.q), AG_CPU), ag_grad(here.q), 1e-13);
    }
    ck_assert_int_eq(current().id, 0);
}
END_TEST

START_TEST(gradients_that_are_asked_for_come_to_the_current_stream)
{
    Variable *p = support_draw(AG_SHAPE(40), AG_FLOAT64, 1), *q = support_draw(AG_SHAPE(40), AG_FLOAT64, 1);
    ag_cuda_stream stream[2] = { ag_cuda_stream_new(AG_CUDA, 0), ag_cuda_stream_new(AG_CUDA, 0) };
    Variable *grad[2][2], *second[2][2];
    for (int i = 0; i < 2; i++) {
        branches f = fork_and_join(i ? AG_CUDA : AG_CPU, p, q, i ? stream : NULL);
        OK(ag_autograd_grad(AG_LIST(f.loss), AG_LIST(f.p, f.q), grad[i], .create_graph = true));
        Variable *sum = ag_add(ag_sum(ag_mul(grad[i][0], grad[i][0])), ag_sum(grad[i][1]));
        OK(ag_autograd_grad(AG_LIST(sum), AG_LIST(f.p, f.q), second[i]));
    }
    for (int k = 0; k < 2; k++) {
        cuda_same(ag_to(ag_detach(grad[1][k]), AG_CPU), ag_detach(grad[0][k]), 1e-13);
        cuda_same(ag_to(second[1][k], AG_CPU), second[0][k], 1e-12);
    }
}
END_TEST

/* They are made on that stream, which the current one then waits for. */
START_TEST(gradients_of_what_a_stream_made_are_there_at_the_end)
{
    ag_cuda_stream side = ag_cuda_stream_new(AG_CUDA, 0);
    Variable *x = ag_requires_grad_(ag_full(AG_SHAPE(5), 3, .device = AG_CUDA)), *y, *z, *grad;
    OK(ag_cuda_stream_wait_stream(side, current()));
    {
        AG_CUDA_STREAM(side);
        y = ag_mul(x, x);
        z = ag_sum(ag_mul(y, y));
    }
    OK(ag_cuda_stream_wait_stream(current(), side));
    OK(ag_autograd_grad(AG_LIST(z), AG_LIST(y), &grad, .retain_graph = true));
    cuda_same(ag_to(grad, AG_CPU), ag_full(AG_SHAPE(5), 18), 0);
    OK(ag_retain_grad(y));
    OK(ag_backward(z));
    cuda_same(ag_to(ag_grad(y), AG_CPU), ag_full(AG_SHAPE(5), 18), 0);
}
END_TEST

static Variable *twice(Variable *grad, void *user)
{
    *(int *)user = current().id;
    return ag_mul(grad, ag_scalar(2));
}
/* A hook on what a node makes runs on the node's stream, one on a leaf on the walk's. */
START_TEST(hooks_run_on_the_stream_of_what_they_see)
{
    ag_cuda_stream side = ag_cuda_stream_new(AG_CUDA, 0);
    int at_node = -1, at_leaf = -1;
    Variable *x = ag_requires_grad_(ag_full(AG_SHAPE(5), 3, .device = AG_CUDA)), *y;
    ag_register_hook(x, twice, .user = &at_leaf);
    OK(ag_cuda_stream_wait_stream(side, current()));
    {
        AG_CUDA_STREAM(side);
        y = ag_mul(x, x);
        ag_register_hook(y, twice, .user = &at_node);
    }
    OK(ag_cuda_stream_wait_stream(current(), side));
    OK(ag_backward(ag_sum(y)));
    ck_assert_int_eq(at_node, side.id);
    ck_assert_int_eq(at_leaf, 0);
    cuda_same(ag_to(ag_grad(x), AG_CPU), ag_full(AG_SHAPE(5), 24), 0);
}
END_TEST

SUPPORT_MAIN("cuda/streams", each_thread_has_a_current_stream_per_device, a_device_has_32_streams_of_each_priority,
             what_is_no_stream_is_refused, a_stream_goes_on_where_another_stands, a_wait_that_is_missing_shows,
             events_mark_a_place, freed_memory_stays_with_its_stream, recorded_memory_waits_for_the_stream,
             a_node_goes_back_on_its_stream, gradients_that_are_asked_for_come_to_the_current_stream,
             gradients_of_what_a_stream_made_are_there_at_the_end, hooks_run_on_the_stream_of_what_they_see)

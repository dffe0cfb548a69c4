/* test_cuda_graph.c - what is captured and replayed: numbers, memory, what cannot be captured, and whole training
 * steps. */
#include "tests/cuda/cuda_cases.h"

#include "autograd/node.h"

#include <pthread.h>

static ag_cuda_stream current(void) { return ag_cuda_current_stream(AG_CUDA); }

/* A stream beside the current one, which has waited for it. */
static ag_cuda_stream beside(void)
{
    ag_cuda_stream side = ag_cuda_stream_new(AG_CUDA, 0);
    OK(ag_cuda_stream_wait_stream(side, current()));
    return side;
}

/* ---- replays ---- */

START_TEST(a_replay_computes_with_the_numbers_of_now)
{
    Variable *x = ag_full(AG_SHAPE(300), 3, .device = AG_CUDA), *count = ag_zeros(AG_SHAPE(), .device = AG_CUDA), *y;
    ag_cuda_graph *g = ag_cuda_graph_new(AG_CUDA);
    OK(g);
    ag_cuda_stream side = beside();
    {
        AG_CUDA_STREAM(side);
        ck_assert(!ag_cuda_is_current_stream_capturing());
        OK(ag_cuda_graph_capture_begin(g, NULL));
        ck_assert(ag_cuda_is_current_stream_capturing());
        y = ag_add(ag_mul(x, ag_scalar(2)), ag_scalar(1));
        OK(ag_add_(count, ag_scalar(1)));
        OK(ag_cuda_graph_capture_end(g));
        ck_assert(!ag_cuda_is_current_stream_capturing());
    }
    OK(ag_cuda_stream_wait_stream(current(), side));
    ck_assert_double_eq(ag_item(count), 0); /* nothing has been computed */
    for (int i = 1; i < 4; i++) {
        OK(ag_fill_(x, i));
        OK(ag_cuda_graph_replay(g));
        Variable *z = ag_add(y, ag_scalar(0.5));
        cuda_same(ag_to(z, AG_CPU), ag_full(AG_SHAPE(300), 2 * i + 1.5), 0);
        ck_assert_double_eq(ag_item(count), i);
    }
    ag_cuda_graph_free(g);
    ag_cuda_graph_free(NULL);
}
END_TEST

/* A replay draws what the same calls would draw now, and the generator goes on as if they had been made; a gradient's
 * mask is its forward's. */
START_TEST(each_replay_draws_anew)
{
    Variable *x = ag_requires_grad_(ag_ones(AG_SHAPE(700), .device = AG_CUDA)), *y, *u, *grad;
    ag_cuda_graph *g = ag_cuda_graph_new(AG_CUDA);
    ag_cuda_stream side = beside();
    {
        AG_CUDA_STREAM(side);
        OK(ag_cuda_graph_capture_begin(g, NULL));
        u = ag_rand(AG_SHAPE(300), .device = AG_CUDA);
        y = ag_dropout(x, .p = 0.4);
        OK(ag_autograd_grad(AG_LIST(y), AG_LIST(x), &grad, .grad_outputs = AG_LIST(ag_ones_like(y))));
        OK(ag_cuda_graph_capture_end(g));
    }
    OK(ag_cuda_stream_wait_stream(current(), side));
    for (int round = 0; round < 2; round++) {
        ag_manual_seed(5);
        Variable *wanted[3][2], *got[3][2];
        for (int i = 0; i < 3; i++) {
            wanted[i][0] = ag_to(ag_rand(AG_SHAPE(300), .device = AG_CUDA), AG_CPU);
            wanted[i][1] = ag_to(ag_detach(ag_dropout(x, .p = 0.4)), AG_CPU);
        }
        Variable *after = ag_to(ag_rand(AG_SHAPE(3), .device = AG_CUDA), AG_CPU);
        ag_manual_seed(5);
        for (int i = 0; i < 3; i++) {
            OK(ag_cuda_graph_replay(g));
            got[i][0] = ag_to(u, AG_CPU, .copy = true);
            got[i][1] = ag_to(ag_detach(y), AG_CPU, .copy = true);
            cuda_same(got[i][0], wanted[i][0], 0);
            cuda_same(got[i][1], wanted[i][1], 0);
            cuda_same(ag_to(grad, AG_CPU), wanted[i][1], 0); /* of ones */
        }
        ck_assert(!ag_equal(got[0][0], got[1][0]));
        ck_assert(!ag_equal(got[0][1], got[1][1]));
        cuda_same(ag_to(ag_rand(AG_SHAPE(3), .device = AG_CUDA), AG_CPU), after, 0);
    }
    ag_cuda_graph_free(g);
}
END_TEST

/* What the graph uses for itself is nobody else's, also when the Variables are gone. */
START_TEST(a_graph_keeps_its_memory_and_gives_it_back)
{
    ag_cuda_graph *g = ag_cuda_graph_new(AG_CUDA), *h = ag_cuda_graph_new(AG_CUDA);
    Variable *x = ag_full(AG_SHAPE(1000), 2, .device = AG_CUDA), *y = ag_zeros(AG_SHAPE(1000), .device = AG_CUDA);
    Variable *z = NULL;
    ag_cuda_stream side = beside();
    int64_t before = ag_cuda_memory_reserved(AG_CUDA), allocated = ag_cuda_memory_allocated(AG_CUDA);
    {
        AG_CUDA_STREAM(side);
        OK(ag_cuda_graph_capture_begin(g, NULL));
        {
            AG_SCOPE;
            OK(ag_copy_(y, ag_add(ag_mul(ag_exp(x), x), x)));
            z = ag_retain(ag_add(y, y));
        }
        OK(ag_cuda_graph_capture_end(g));
        REFUSED(ag_cuda_graph_capture_begin(h, h), "the graph whose memory is shared has none");
        OK(ag_cuda_graph_capture_begin(h, g));
        {
            AG_SCOPE;
            OK(ag_copy_(y, ag_mul(z, z)));
        }
        OK(ag_cuda_graph_capture_end(h));
    }
    OK(ag_cuda_stream_wait_stream(current(), side));
    ck_assert_int_gt(ag_cuda_memory_reserved(AG_CUDA), before);
    Variable *wanted = ag_add(ag_mul(ag_exp(ag_to(x, AG_CPU)), ag_to(x, AG_CPU)), ag_to(x, AG_CPU));
    for (int round = 0; round < 3; round++) {
        AG_SCOPE;
        Variable *others[20];
        {
            AG_CUDA_STREAM(side); /* whose memory the graph's would be, were it not its own */
            for (int i = 0; i < 20; i++) OK(others[i] = ag_full(AG_SHAPE(1000), -7, .device = AG_CUDA));
        }
        OK(ag_cuda_stream_wait_stream(current(), side));
        ag_cuda_empty_cache();
        OK(ag_cuda_graph_replay(g));
        cuda_same(ag_to(y, AG_CPU), wanted, 1e-6);
        for (int i = 0; i < 20; i++) cuda_same(ag_to(others[i], AG_CPU), ag_full(AG_SHAPE(1000), -7), 0);
        OK(ag_cuda_graph_replay(h));
        cuda_same(ag_to(y, AG_CPU), ag_mul(ag_mul(wanted, ag_scalar(4)), wanted), 1e-5);
    }
    ag_cuda_graph_free(g);
    OK(ag_cuda_graph_replay(h)); /* it has the memory, too */
    ag_cuda_graph_reset(h);
    REFUSED(ag_cuda_graph_replay(h), "without a preceding successful capture");
    ag_cuda_graph_free(h);
    cuda_same(ag_to(z, AG_CPU), ag_mul(wanted, ag_scalar(2)), 1e-6);
    ag_release(z);
    ag_cuda_empty_cache();
    ck_assert_int_eq(ag_cuda_memory_allocated(AG_CUDA), allocated);
    ck_assert_int_le(ag_cuda_memory_reserved(AG_CUDA), before);
}
END_TEST

START_TEST(other_streams_take_part)
{
    ag_cuda_graph *g = ag_cuda_graph_new(AG_CUDA);
    Variable *x = ag_full(AG_SHAPE(200), 2, .device = AG_CUDA), *y, *a, *b;
    ag_cuda_stream side = beside(), other = ag_cuda_stream_new(AG_CUDA, 0);
    {
        AG_CUDA_STREAM(side);
        for (int joined = 0; joined < 2; joined++) {
            OK(ag_cuda_graph_capture_begin(g, NULL));
            a = ag_mul(x, x);
            OK(ag_cuda_stream_wait_stream(other, side));
            {
                AG_CUDA_STREAM(other);
                b = ag_add(a, x);
            }
            y = ag_exp(a);
            if (joined) OK(ag_cuda_stream_wait_stream(side, other));
            if (joined) y = ag_sub(b, y);
            if (joined) OK(ag_cuda_graph_capture_end(g));
            if (!joined) REFUSED(ag_cuda_graph_capture_end(g), "cuda_graph_capture_end: CUDA error");
        }
    }
    OK(ag_cuda_stream_wait_stream(current(), side));
    for (int i = 0; i < 3; i++) {
        OK(ag_fill_(x, i));
        OK(ag_cuda_graph_replay(g));
        cuda_same(ag_to(y, AG_CPU), ag_full(AG_SHAPE(200), i * i + i - exp(i * i)), 1e-6);
    }
    ag_cuda_graph_free(g);
}
END_TEST

static void *work_beside(void *user)
{
    AG_SCOPE;
    Variable *x = ag_to(ag_full(AG_SHAPE(100), 3), AG_CUDA);
    *(double *)user = ag_item(ag_sum(ag_mul(x, x)));
    return NULL;
}
START_TEST(other_threads_go_on)
{
    ag_cuda_graph *g = ag_cuda_graph_new(AG_CUDA);
    Variable *x = ag_full(AG_SHAPE(100), 2, .device = AG_CUDA), *y;
    ag_cuda_stream side = beside();
    pthread_t thread;
    double sum = 0;
    {
        AG_CUDA_STREAM(side);
        OK(ag_cuda_graph_capture_begin(g, NULL));
        y = ag_mul(x, x);
        ck_assert_int_eq(pthread_create(&thread, NULL, work_beside, &sum), 0);
        pthread_join(thread, NULL);
        y = ag_add(y, x);
        OK(ag_cuda_graph_capture_end(g));
    }
    OK(ag_cuda_stream_wait_stream(current(), side));
    ck_assert_double_eq(sum, 900);
    OK(ag_cuda_graph_replay(g));
    cuda_same(ag_to(y, AG_CPU), ag_full(AG_SHAPE(100), 6), 0);
    ag_cuda_graph_free(g);
}
END_TEST

START_TEST(pinned_memory_is_read_and_written_at_each_replay)
{
    ag_cuda_graph *g = ag_cuda_graph_new(AG_CUDA);
    Variable *in = ag_pin_memory(ag_full(AG_SHAPE(100), 2)), *out;
    ag_cuda_stream side = beside();
    {
        AG_CUDA_STREAM(side);
        OK(ag_cuda_graph_capture_begin(g, NULL));
        Variable *x = ag_to(in, AG_CUDA, .non_blocking = true);
        out = ag_to(ag_mul(x, x), AG_CPU, .non_blocking = true);
        OK(ag_cuda_graph_capture_end(g));
    }
    OK(ag_cuda_stream_wait_stream(current(), side));
    for (int i = 3; i < 6; i++) {
        OK(ag_fill_(in, i));
        OK(ag_cuda_graph_replay(g));
        OK(ag_cuda_synchronize(AG_CUDA));
        cuda_same(out, ag_full(AG_SHAPE(100), i * i), 0);
    }
    ag_cuda_graph_free(g);
}
END_TEST

/* Memory that another stream uses, freed while a graph is captured, waits until afterwards. */
START_TEST(memory_may_be_freed_during_a_capture)
{
    ag_cuda_graph *g = ag_cuda_graph_new(AG_CUDA);
    Variable *count = ag_zeros(AG_SHAPE(), .device = AG_CUDA);
    int64_t before = ag_cuda_memory_allocated(AG_CUDA);
    ag_cuda_stream side = beside(), reader = ag_cuda_stream_new(AG_CUDA, 0);
    {
        AG_SCOPE;
        Variable *x = ag_full(AG_SHAPE(1000), 2, .device = AG_CUDA);
        OK(ag_cuda_stream_wait_stream(reader, current()));
        {
            AG_CUDA_STREAM(reader);
            OK(ag_mul(x, x));
            OK(ag_record_stream(x, reader));
        }
        OK(ag_cuda_set_stream(side));
        OK(ag_cuda_graph_capture_begin(g, NULL));
    }
    OK(ag_add_(count, ag_scalar(1)));
    OK(ag_cuda_graph_capture_end(g));
    OK(ag_cuda_graph_replay(g));
    ck_assert_double_eq(ag_item(count), 1);
    OK(ag_cuda_set_stream(ag_cuda_default_stream(AG_CUDA)));
    ag_cuda_graph_free(g);
    ck_assert_int_eq(ag_cuda_memory_allocated(AG_CUDA), before);
    ag_cuda_empty_cache();
    ck_assert_int_le(ag_cuda_memory_reserved(AG_CUDA), 2 << 20);
}
END_TEST

/* ---- what is refused ---- */

START_TEST(what_cannot_be_captured_is_said)
{
    ag_cuda_graph *g = ag_cuda_graph_new(AG_CUDA), *h = ag_cuda_graph_new(AG_CUDA);
    ag_cuda_event *event = ag_cuda_event_new(false);
    Variable *x = ag_full(AG_SHAPE(10), 2, .device = AG_CUDA), *p = ag_pin_memory(ag_zeros(AG_SHAPE(10)));
    ag_cuda_stream side = beside();
    OK(ag_cuda_event_record(event, current()));
    REFUSED(ag_cuda_graph_new(AG_CPU), "cpu is no CUDA device");
    REFUSED(ag_cuda_graph_capture_begin(g, NULL), "CUDA graphs must be captured on a non-default stream.");
    REFUSED(ag_cuda_graph_capture_begin(NULL, NULL), "the graph is NULL");
    REFUSED(ag_cuda_graph_capture_end(g), "no capture is under way");
    REFUSED(ag_cuda_graph_replay(g), "without a preceding successful capture");
    AG_CUDA_STREAM(side);
    for (int i = 0; i < 2; i++) {
        const char *captured = "a CUDA graph is being captured";
        OK(ag_cuda_graph_capture_begin(g, NULL));
        REFUSED(ag_cuda_graph_capture_begin(g, NULL), "this graph is being captured already");
        REFUSED(ag_cuda_graph_capture_begin(h, NULL), "this thread is capturing another graph");
        REFUSED(!isnan(ag_item(ag_sum(x))), captured);
        REFUSED(ag_to(x, AG_CPU), captured);
        REFUSED(ag_to(p, AG_CUDA), captured);
        REFUSED(ag_copy_(x, ag_ones(AG_SHAPE(10)), .non_blocking = true), captured);
        REFUSED(ag_cuda_synchronize(AG_CUDA), captured);
        REFUSED(ag_cuda_stream_synchronize(ag_cuda_default_stream(AG_CUDA)), captured);
        REFUSED(ag_cuda_stream_query(side), captured);
        REFUSED(ag_cuda_event_query(event), captured);
        REFUSED(ag_cuda_event_synchronize(event), captured);
        if (ag_cuda_device_count() > 1) REFUSED(ag_to(x, AG_DEVICE(AG_DEVICE_CUDA, 1)), captured);
        ag_clear_error();
        OK(ag_mul_(x, ag_scalar(3)));
        if (i == 0) { /* an error that stands ends the capture without a graph */
            ck_assert_ptr_null(ag_add(x, ag_ones(AG_SHAPE(7), .device = AG_CUDA)));
            ck_assert(!ag_cuda_graph_capture_end(g));
            ag_clear_error();
            ck_assert(!ag_cuda_is_current_stream_capturing());
            REFUSED(ag_cuda_graph_replay(g), "without a preceding successful capture");
        } else {
            OK(ag_cuda_graph_capture_end(g));
        }
    }
    REFUSED(ag_cuda_graph_capture_begin(g, NULL), "already owns a captured graph");
    OK(ag_cuda_graph_replay(g));
    cuda_same(ag_to(x, AG_CPU), ag_full(AG_SHAPE(10), 6), 0);
    OK(ag_cuda_graph_capture_begin(h, NULL));
    ag_cuda_graph_free(h); /* gives up the capture */
    ck_assert(!ag_cuda_is_current_stream_capturing());
    OK(ag_cuda_event_synchronize(event));
    ag_cuda_event_free(event);
    ag_cuda_graph_free(g);
}
END_TEST

/* ---- training steps ---- */

typedef struct training {
    Variable *p, *velocity, *steps; /* velocity: of SGD; steps: how many there were, on the device */
    int calls;
    bool fails;
} training;

static training begin_training(Variable *p, ag_device device)
{
    return (training){ .p = ag_requires_grad_(ag_to(p, device, .copy = true)),
                       .steps = ag_zeros(AG_SHAPE(), .device = device) };
}
static void end_training(training *t) { ag_release(t->velocity); }

/* One step of SGD with momentum; the state is made in the first one, as optimizers do. */
static Variable *step(List batch, void *user)
{
    training *t = user;
    t->calls++;
    if (t->fails) return ag_add(t->p, ag_ones(AG_SHAPE(999), .device = ag_device_of(t->p)));
    ag_set_grad(t->p, AG_NONE);
    Variable *loss = ag_mean(ag_square(ag_sub(ag_tanh(ag_mul(batch.at[0], t->p)), batch.at[1])));
    if (!ag_backward(loss)) return NULL;
    AG_NO_GRAD;
    if (!t->velocity) t->velocity = ag_retain(ag_zeros_like(t->p));
    return ag_add_(t->steps, ag_scalar(1)) && ag_mul_(t->velocity, ag_scalar(0.9)) &&
                   ag_add_(t->velocity, ag_grad(t->p)) && ag_sub_(t->p, ag_mul(t->velocity, ag_scalar(0.1)))
               ? loss
               : NULL;
}

/* Batches of 8 rows, the last one of a pass of 3, as on the CPU; inputs from the host, pinned or not, or there. */
static void train(int where)
{
    enum { STEPS = 14 };
    Variable *p = support_draw(AG_SHAPE(5), AG_FLOAT64, 1);
    training here = begin_training(p, AG_CPU), there = begin_training(p, AG_CUDA);
    ag_cuda_graphed *graphed = ag_cuda_graphed_new(AG_CUDA, step, &there, 3);
    OK(graphed);
    int64_t replays = 0;
    for (int i = 0; i < STEPS; i++) {
        AG_SCOPE;
        const int64_t rows = i % 5 == 4 ? 3 : 8;
        Variable *x = support_draw(AG_SHAPE(rows, 5), AG_FLOAT64, 1),
                 *y = support_draw(AG_SHAPE(rows, 5), AG_FLOAT64, 1);
        Variable *loss = step(AG_LIST(x, y), &here), *same;
        OK(loss);
        if (where == 1) x = ag_pin_memory(x), y = ag_pin_memory(y);
        if (where == 2) x = ag_to(x, AG_CUDA), y = ag_to(y, AG_CUDA);
        same = ag_cuda_graphed_call(graphed, AG_LIST(x, y));
        OK(same);
        replays += rows == 8 && i >= 3;
        ck_assert_int_eq(ag_cuda_graphed_replays(graphed), replays);
        if (i % 3 == 0) cuda_same(ag_to(same, AG_CPU), ag_detach(loss), 1e-12);
        if (i % 4 == 0) cuda_same(ag_to(ag_detach(there.p), AG_CPU), ag_detach(here.p), 1e-12);
    }
    ck_assert_int_eq(there.calls, 3 + 1 + (STEPS - 3) - (int)replays);
    ck_assert_double_eq(ag_item(there.steps), STEPS);
    cuda_same(ag_to(ag_detach(there.p), AG_CPU), ag_detach(here.p), 1e-12);
    ag_cuda_graphed_free(graphed);
    OK(ag_grad(there.p));
    end_training(&here);
    end_training(&there);
}
START_TEST(steps_are_those_of_the_cpu)
{
    for (int where = 0; where < 3; where++) train(where);
    ag_cuda_empty_cache();
}
END_TEST

START_TEST(a_step_that_fails_leaves_all_usable)
{
    Variable *p = support_draw(AG_SHAPE(5), AG_FLOAT64, 1), *x = ag_ones(AG_SHAPE(2, 5), .dtype = AG_FLOAT64);
    training t = begin_training(p, AG_CUDA);
    REFUSED(ag_cuda_graphed_new(AG_CUDA, NULL, NULL, 3), "step is NULL");
    REFUSED(ag_cuda_graphed_new(AG_CUDA, step, NULL, 0), "warmup must be at least 1, but got 0");
    REFUSED(ag_cuda_graphed_new(AG_CPU, step, NULL, 1), "cpu is no CUDA device");
    ag_cuda_graphed *g = ag_cuda_graphed_new(AG_CUDA, step, &t, 1);
    t.fails = true;
    REFUSED(ag_cuda_graphed_call(g, AG_LIST(x, x)), "The size of tensor");
    REFUSED(ag_cuda_graphed_call(g, AG_LIST(x, x)), "The size of tensor"); /* now while it captures */
    ck_assert(!ag_cuda_is_current_stream_capturing());
    t.fails = false;
    REFUSED(ag_cuda_graphed_call(g, AG_LIST(x, NULL)), "input 1 is NULL");
    REFUSED(ag_cuda_graphed_call(NULL, AG_LIST(x, x)), "graphed is NULL");
    t.velocity = ag_retain(ag_zeros_like(t.p));
    OK(ag_cuda_graphed_call(g, AG_LIST(x, x)));
    OK(ag_cuda_graphed_call(g, AG_LIST(x, x)));
    ck_assert_int_eq(ag_cuda_graphed_replays(g), 2);
    ck_assert_double_eq(ag_item(t.steps), 2);
    ag_cuda_graphed_free(g);
    ag_cuda_graphed_free(NULL);
    end_training(&t);
}
END_TEST

SUPPORT_MAIN("cuda/graph", a_replay_computes_with_the_numbers_of_now, each_replay_draws_anew,
             a_graph_keeps_its_memory_and_gives_it_back, other_streams_take_part, other_threads_go_on,
             pinned_memory_is_read_and_written_at_each_replay, memory_may_be_freed_during_a_capture,
             what_cannot_be_captured_is_said, steps_are_those_of_the_cpu, a_step_that_fails_leaves_all_usable)

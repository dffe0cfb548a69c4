/* test_cuda_optim.c - optimisers of parameters on a device: their steps are the CPU's, their state goes and comes. */
#include "tests/cuda/cuda_cases.h"
#include "tests/optim_runs.h"

#include <stdio.h>
#include <unistd.h>

static const char *const kinds[] = { "sgd lr=0.1",
                                     "sgd lr=0.1 momentum=0.9",
                                     "sgd lr=0.1 momentum=0.9 nesterov=1 weight_decay=0.01",
                                     "sgd lr=0.1 momentum=0.9 dampening=0.25 maximize=1",
                                     "adam",
                                     "adam lr=0.01 weight_decay=0.1 maximize=1",
                                     "adam lr=0.01 beta1=0.5 beta2=0.75 eps=0.01 amsgrad=1",
                                     "adam lr=0.01 beta1=0.25 amsgrad=1" };
enum { KINDS = sizeof kinds / sizeof *kinds };

/* The CPU's loops fuse as the kernels do only where the machine can; and its powers are another library's than a
 * GPU's. */
static double tolerance_of(ag_dtype dtype) { return dtype == AG_FLOAT32 ? 2.4e-7 : 1e-15; }

/* n parameters of 1 to n numbers, and a large one, here and there. */
enum { MOST = 700 };
typedef struct run {
    int n;
    Variable *here[MOST], *there[MOST];
    Optimizer *o[2];
} run;
static int64_t numel_of(int i, int n) { return i == n - 1 && n <= 60 ? 9001 : i % 13 + (i != 5); }
static void begin(run *r, const char *words, int n, ag_dtype dtype)
{
    r->n = n;
    for (int i = 0; i < n; i++) {
        r->here[i] = ag_requires_grad_(support_draw(AG_SHAPE(numel_of(i, n)), dtype, 1));
        r->there[i] = ag_requires_grad_(ag_to(ag_detach(r->here[i]), AG_CUDA, .copy = true));
    }
    OK(r->o[0] = runs_optimizer(words, ag_list_from(n, r->here)));
    OK(r->o[1] = runs_optimizer(words, ag_list_from(n, r->there)));
}
/* A gradient for each but one, another each time. */
static void set_gradients(run *r, int step)
{
    AG_SCOPE;
    for (int i = 0; i < r->n; i++) {
        Variable *g = support_draw(ag_shape(r->here[i]), ag_dtype_of(r->here[i]), ldexp(1, -(step % 4)));
        const bool none = i == step % r->n && r->n > 1;
        OK(ag_set_grad(r->here[i], none ? AG_NONE : g));
        OK(ag_set_grad(r->there[i], none ? AG_NONE : ag_to(g, AG_CUDA, .copy = true)));
    }
}
static void steps(run *r, int from, int to)
{
    for (int step = from; step <= to; step++) {
        set_gradients(r, step);
        OK(ag_optim_step(r->o[0]));
        OK(ag_optim_step(r->o[1]));
    }
}
static void same(const run *r, const char *words)
{
    for (int i = 0; i < r->n; i++)
        cuda_same_at(ag_to(ag_detach(r->there[i]), AG_CPU), ag_detach(r->here[i]),
                     tolerance_of(ag_dtype_of(r->here[i])), words, __FILE__, __LINE__);
}
static void end(run *r)
{
    ag_optim_free(r->o[0]);
    ag_optim_free(r->o[1]);
}

START_TEST(twenty_steps_are_those_of_the_cpu)
{
    for (int d = 0; d <= AG_FLOAT64; d++)
        for (int k = 0; k < KINDS; k++) {
            AG_SCOPE;
            run r;
            begin(&r, kinds[k], 7, (ag_dtype)d);
            steps(&r, 1, 20);
            same(&r, kinds[k]);
            end(&r);
        }
}
END_TEST

/* More parameters than a launch has room for, and than the small table has. */
START_TEST(many_parameters_take_more_than_one_launch)
{
    for (int d = 0; d <= AG_FLOAT64; d++)
        for (int k = 0; k < KINDS; k += 3) {
            AG_SCOPE;
            run r;
            begin(&r, kinds[k], k ? 60 : MOST, (ag_dtype)d);
            steps(&r, 1, 3);
            same(&r, kinds[k]);
            end(&r);
        }
    AG_SCOPE;
    run r;
    begin(&r, "adam", MOST, AG_FLOAT32);
    steps(&r, 1, 3);
    same(&r, "adam");
    end(&r);
}
END_TEST

START_TEST(the_learning_rate_can_be_changed)
{
    for (int k = 0; k < KINDS; k += 4) {
        AG_SCOPE;
        run r;
        begin(&r, kinds[k], 3, AG_FLOAT64);
        for (int i = 0; i < 4; i++) {
            for (int j = 0; j < 2; j++) OK(ag_optim_set_lr(r.o[j], 0.5 / (i + 1)));
            steps(&r, 2 * i + 1, 2 * i + 2);
        }
        same(&r, kinds[k]);
        end(&r);
    }
}
END_TEST

/* Parameters that lie by columns, with gaps, not at 16 bytes; gradients that lie otherwise; and both types, here and
 * there, in one optimiser. */
START_TEST(parameters_may_lie_in_any_way)
{
    for (int k = 0; k < KINDS; k++) {
        AG_SCOPE;
        Variable *p[2][5];
        Optimizer *o[2];
        for (int j = 0; j < 2; j++) {
            const ag_device device = j ? AG_CUDA : AG_CPU;
            support_drawn = 5;
            Variable *x = ag_to(support_draw(AG_SHAPE(6, 8), AG_FLOAT64, 1), device, .copy = true);
            p[j][0] = ag_detach(ag_t(x));
            x = ag_to(support_draw(AG_SHAPE(6, 8), AG_FLOAT32, 1), device, .copy = true);
            p[j][1] = ag_detach(ag_slice(x, .dim = 1, .start = 1, .end = 4));
            x = ag_to(support_draw(AG_SHAPE(11), AG_FLOAT32, 1), device, .copy = true);
            p[j][2] = ag_detach(ag_slice(x, .start = 1, .end = 11));
            p[j][3] = ag_to(support_draw(AG_SHAPE(3, 4), AG_FLOAT64, 1), device, .copy = true);
            p[j][4] = support_draw(AG_SHAPE(2), AG_FLOAT64, 1);
            for (int i = 0; i < 5; i++) OK(ag_requires_grad_(p[j][i]));
            OK(o[j] = runs_optimizer(kinds[k], ag_list_from(5, p[j])));
            for (int step = 0; step < 4; step++) {
                for (int i = 0; i < 5; i++) {
                    Variable *g = support_draw(ag_shape(p[j][i]), ag_dtype_of(p[j][i]), 1);
                    g = ag_to(g, ag_device_of(p[j][i]), .copy = true);
                    if (i == 3) g = ag_t(ag_contiguous(ag_t(g)));
                    OK(ag_set_grad(p[j][i], i == 2 && step == 0 ? ag_expand(ag_select(g, 0, 1), AG_SHAPE(10)) : g));
                }
                OK(ag_optim_step(o[j]));
            }
        }
        for (int i = 0; i < 5; i++)
            cuda_same_at(ag_to(ag_detach(p[1][i]), AG_CPU), ag_detach(p[0][i]), tolerance_of(ag_dtype_of(p[0][i])),
                         kinds[k], __FILE__, __LINE__);
        for (int j = 0; j < 2; j++) ag_optim_free(o[j]);
    }
}
END_TEST

START_TEST(gradients_become_zero_together)
{
    run r;
    begin(&r, "sgd lr=1", 60, AG_FLOAT32);
    set_gradients(&r, 1);
    OK(ag_set_grad(r.there[2], ag_requires_grad_(ag_full(AG_SHAPE(numel_of(2, 60)), 3, .device = AG_CUDA))));
    OK(ag_optim_zero_grad(r.o[1], .set_to_none = false));
    for (int i = 0; i < r.n; i++) {
        Variable *g = ag_grad(r.there[i]);
        ck_assert((g == NULL || g == AG_NONE) == (i == 1));
        if (i != 1) cuda_same(ag_to(g, AG_CPU), ag_zeros(AG_SHAPE(numel_of(i, 60))), 0);
    }
    OK(ag_optim_step(r.o[1]));
    same(&r, "steps of zero");
    OK(ag_optim_zero_grad(r.o[1]));
    ck_assert(!ag_grad(r.there[0]) || ag_grad(r.there[0]) == AG_NONE);
    end(&r);
    AG_SCOPE;
    for (int n = 3; n <= 60; n += 57) { /* few parameters, and more than go into the smaller table */
        begin(&r, "sgd lr=1", n, AG_FLOAT64);
        set_gradients(&r, 2);
        OK(ag_optim_zero_grad(r.o[1], .set_to_none = false));
        for (int i = 0; i < r.n; i++) {
            Variable *g = ag_grad(r.there[i]);
            if (i == 2) continue; /* has none */
            cuda_same(ag_to(g, AG_CPU), ag_zeros(ag_shape(r.here[i]), .dtype = AG_FLOAT64), 0);
        }
        end(&r);
    }
}
END_TEST

START_TEST(a_step_is_one_launch)
{
    if (cuda_launches() < 0) return;
    for (int k = 0; k < KINDS; k++) {
        AG_SCOPE;
        run r;
        begin(&r, kinds[k], 60, AG_FLOAT32);
        steps(&r, 1, 2);
        int before = cuda_launches();
        OK(ag_optim_step(r.o[1]));
        ck_assert_int_eq(cuda_launches() - before, 1);
        OK(ag_nn_utils_clip_grad_norm_(ag_list_from(r.n, r.there), 1));
        ck_assert_int_eq(cuda_launches() - before, 1 + 8);
        OK(ag_optim_zero_grad(r.o[1], .set_to_none = false));
        ck_assert_int_eq(cuda_launches() - before, 1 + 8 + 1);
        OK(ag_optim_zero_grad(r.o[1]));
        ck_assert_int_eq(cuda_launches() - before, 1 + 8 + 1);
        end(&r);
    }
}
END_TEST

/* ---- state ---- */

static int n_on_the_device(const StateDict *dict)
{
    int n = 0;
    for (ag_state_item s = { 0 }; ag_state_dict_next(dict, &s);) n += ag_device_of(s.variable).type == AG_DEVICE_CUDA;
    return n;
}
/* Saved there and loaded here, or the other way round, or there again. */
START_TEST(a_run_goes_on_from_its_state)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/argent-test-cuda-optim-%ld.safetensors", (long)getpid());
    for (int k = 1; k < KINDS; k++)
        for (int way = 0; way < 4; way++) {
            AG_SCOPE;
            run r;
            begin(&r, kinds[k], 4, AG_FLOAT64);
            steps(&r, 1, 3);
            const bool from_device = way & 1, to_device = way & 2;
            StateDict *dict = ag_optim_state_dict(r.o[from_device]);
            OK(dict);
            const bool is_sgd = kinds[k][0] == 's', is_amsgrad = strstr(kinds[k], "amsgrad") != NULL;
            ck_assert_int_eq(n_on_the_device(dict), from_device ? 4 * (is_sgd ? 1 : is_amsgrad ? 4 : 3) : 0);
            if (way == 3) {
                OK(ag_save(dict, path));
                ag_state_dict_free(dict);
                OK(dict = ag_load(path));
                unlink(path);
            }
            Optimizer *fresh = is_sgd ? ag_optim_sgd(ag_list_from(r.n, to_device ? r.there : r.here), .lr = 7)
                                      : ag_optim_adam(ag_list_from(r.n, to_device ? r.there : r.here), .lr = 7);
            OK(ag_optim_load_state_dict(fresh, dict));
            ag_state_dict_free(dict);
            ag_optim_free(r.o[to_device]);
            r.o[to_device] = fresh;
            steps(&r, 4, 6);
            same(&r, kinds[k]);
            OK(ag_optim_load_state_dict(r.o[to_device], dict = ag_optim_state_dict(r.o[!to_device])));
            ag_state_dict_free(dict);
            steps(&r, 7, 8);
            same(&r, kinds[k]);
            end(&r);
        }
}
END_TEST

START_TEST(what_does_not_fit_is_refused)
{
    run r;
    begin(&r, "adam", 2, AG_FLOAT32);
    set_gradients(&r, 5);
    OK(ag_optim_step(r.o[1]));
    Variable *p = r.there[0], *wanted = ag_to(ag_detach(p), AG_CPU);
    static double one = 1;
    Variable *number = ag_tensor(&one, AG_SHAPE());
    StateDict *dict = ag_optim_state_dict(r.o[1]);
    OK(ag_state_dict_set(dict, "state.0.step", ag_to(ag_mul(number, ag_scalar(0.5)), AG_CUDA)));
    REFUSED(ag_optim_load_state_dict(r.o[1], dict), "'state.0.step' is 0.5, it must be a number of steps");
    ag_state_dict_free(dict);
    cuda_same(ag_to(ag_detach(p), AG_CPU), wanted, 0);
    REFUSED(ag_optim_set_lr(r.o[1], -1), "Invalid learning rate");
    end(&r);
}
END_TEST

/* ---- clipping ---- */

START_TEST(gradients_are_clipped_as_on_the_cpu)
{
    static const int counts[] = { 1, 7, 60, MOST };
    for (int d = 0; d <= AG_FLOAT64; d++)
        for (int c = 0; c < 4; c++)
            for (int small = 0; small < 2; small++) {
                AG_SCOPE;
                run r;
                begin(&r, "sgd lr=1", counts[c], (ag_dtype)d);
                set_gradients(&r, 1);
                const double most = small ? 0.25 : 1e9, tolerance = d == AG_FLOAT32 ? 1e-6 : 1e-14;
                Variable *n = ag_nn_utils_clip_grad_norm_(ag_list_from(r.n, r.there), most);
                Variable *wanted = ag_nn_utils_clip_grad_norm_(ag_list_from(r.n, r.here), most);
                cuda_same(ag_to(n, AG_CPU), wanted, tolerance);
                for (int i = 0; i < r.n; i++) {
                    Variable *g = ag_grad(r.there[i]);
                    if (g && g != AG_NONE) cuda_same(ag_to(g, AG_CPU), ag_grad(r.here[i]), tolerance);
                }
                end(&r);
            }
    Variable *p = ag_requires_grad_(ag_ones(AG_SHAPE(3), .device = AG_CUDA));
    OK(ag_set_grad(p, ag_full(AG_SHAPE(3), NAN, .device = AG_CUDA)));
    REFUSED(ag_nn_utils_clip_grad_norm_(AG_LIST(p), 1, .error_if_nonfinite = true), "is non-finite");
    ck_assert(isnan(ag_item(ag_nn_utils_clip_grad_norm_(AG_LIST(p), 1))));
    Variable *empty = ag_requires_grad_(ag_ones(AG_SHAPE(0), .device = AG_CUDA));
    OK(ag_set_grad(empty, ag_ones(AG_SHAPE(0), .device = AG_CUDA)));
    ck_assert_double_eq(ag_item(ag_nn_utils_clip_grad_norm_(AG_LIST(empty), 1)), 0);
}
END_TEST

/* ---- a training ---- */

static double train(ag_device device, double *clipped)
{
    ag_manual_seed(3);
    Module *net = ag_nn_sequential(ag_nn_linear(6, 9), ag_nn_relu(), ag_nn_linear(9, 2));
    OK(ag_module_to(net, device));
    Optimizer *adam = ag_optim_adam(ag_parameters(net), .lr = 0.01);
    support_drawn = 9;
    double last = 0;
    for (int step = 0; step < 10; step++) {
        AG_SCOPE;
        Variable *x = ag_to(support_draw(AG_SHAPE(5, 6), AG_FLOAT32, 1), device);
        ag_optim_zero_grad(adam);
        Variable *y = ag_forward(net, x), *loss = ag_mean(ag_square(ag_sub(y, ag_sum(x, .dim = 1, .keepdim = true))));
        OK(ag_backward(loss));
        OK(ag_optim_step(adam));
        last = ag_item(loss);
        *clipped = ag_item(ag_sum(ag_square(ag_grad(ag_parameters(net).at[0]))));
    }
    ag_optim_free(adam);
    ag_module_free(net);
    return last;
}
START_TEST(a_network_of_two_layers_learns_the_same)
{
    double there, here, loss = train(AG_CUDA, &there), wanted = train(AG_CPU, &here);
    ck_assert_double_eq_tol(loss, wanted, 1e-5);
    ck_assert_double_eq_tol(there, here, 1e-4);
}
END_TEST

SUPPORT_MAIN("cuda/optim", twenty_steps_are_those_of_the_cpu, many_parameters_take_more_than_one_launch,
             the_learning_rate_can_be_changed, parameters_may_lie_in_any_way, gradients_become_zero_together,
             a_step_is_one_launch, a_run_goes_on_from_its_state, what_does_not_fit_is_refused,
             gradients_are_clipped_as_on_the_cpu, a_network_of_two_layers_learns_the_same)

/* count.c - the tape and small ops, for benchmarks/instructions.py to count the instructions of.
 *
 * Each case is warmed up and run REPEAT times between two calls of count_mark, at which callgrind is told to write down
 * what it has counted so far. Prints first what the counts belong to, then a case a line, in order.
 */
#include <argent/argent.h>

#include <stdio.h>
#include <stdlib.h>
#if defined(__GLIBC__)
#include <gnu/libc-version.h>
#endif

enum { REPEAT = 100, WARM = 20 };

void count_mark(void);
__attribute__((noinline)) void count_mark(void) { __asm__ volatile("" ::: "memory"); }

static Variable *x4, *y4, *x256, *m8, *images, *kernel, *logits, *labels, *weight, *bias;
static Module *net;
static Optimizer *optimizer;

static Variable *leaf(ag_shape_list shape) { return ag_retain(ag_requires_grad_(ag_rand(shape))); }

static void set_up(void)
{
    AG_SCOPE;
    x4 = ag_retain(ag_rand(AG_SHAPE(4)));
    y4 = leaf(AG_SHAPE(4));
    x256 = ag_retain(ag_rand(AG_SHAPE(256)));
    m8 = ag_retain(ag_rand(AG_SHAPE(8, 8)));
    images = ag_retain(ag_rand(AG_SHAPE(2, 1, 8, 8)));
    kernel = leaf(AG_SHAPE(3, 1, 3, 3));
    logits = leaf(AG_SHAPE(4, 10));
    labels = ag_retain(ag_randint(0, 10, AG_SHAPE(4)));
    weight = leaf(AG_SHAPE(8, 8));
    bias = leaf(AG_SHAPE(8));
    net = ag_nn_sequential(ag_nn_linear(8, 8), ag_nn_relu(), ag_nn_linear(8, 10));
    optimizer = ag_optim_sgd(ag_parameters(net), .lr = 0.01);
}

static void put_away(void)
{
    Variable *all[] = { x4, y4, x256, m8, images, kernel, logits, labels, weight, bias };
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++) ag_release(all[i]);
    ag_optim_free(optimizer);
    ag_module_free(net);
}

static bool mul_plain(void) { return ag_mul(x4, x4); }
static bool mul_record(void) { return ag_mul(y4, x4); }
static bool chain_backward(void)
{
    Variable *z = y4;
    for (int i = 0; i < 10; i++) z = ag_mul(z, x4);
    return ag_set_grad(y4, AG_NONE) && ag_backward(z, .gradient = x4);
}
static bool add_plain(void) { return ag_add(x4, x4); }
static bool mul_256(void) { return ag_mul(x256, x256); }
static bool exp_256(void) { return ag_exp(x256); }
static bool relu_inplace(void) { return ag_relu_(x256); }
static bool mul_broadcast(void) { return ag_mul(m8, ag_select(m8, 0, 3)); }
static bool mul_number(void) { return ag_mul(x4, ag_scalar(2.0)); }
static bool sum_all(void) { return ag_sum(x256); }
static bool sum_rows(void) { return ag_sum(m8, 1); }
static bool view(void) { return ag_view(m8, AG_SHAPE(64)); }
static bool matmul(void) { return ag_mm(m8, m8); }
static bool linear_backward(void) { return ag_backward(ag_sum(ag_linear(m8, weight, bias))); }
static bool conv_backward(void) { return ag_backward(ag_sum(ag_conv2d(images, kernel))); }
static bool cross_entropy_backward(void) { return ag_backward(ag_cross_entropy(logits, labels)); }
static bool by_name(void)
{
    Variable *z;
    return ag_call("mul", 2, (ag_value[]){ ag_of(x4), ag_of(x4) }, 0, NULL, &z, 1);
}
static bool training_step(void)
{
    ag_optim_zero_grad(optimizer);
    Variable *loss = ag_cross_entropy(ag_forward(net, m8), ag_randint(0, 10, AG_SHAPE(8)));
    return ag_backward(loss) && ag_optim_step(optimizer);
}

static const struct {
    const char *name;
    bool (*run)(void);
} cases[] = {
    { "mul 4", mul_plain },
    { "mul 4, recorded and freed", mul_record },
    { "chain of 10 mul 4, backward, freed", chain_backward },
    { "add 4", add_plain },
    { "mul 256", mul_256 },
    { "exp 256", exp_256 },
    { "relu_ 256", relu_inplace },
    { "select, mul 8x8 by a row", mul_broadcast },
    { "mul 4 by a number", mul_number },
    { "sum 256", sum_all },
    { "sum 8x8 rows", sum_rows },
    { "view", view },
    { "mm 8x8", matmul },
    { "linear 8x8, sum, backward", linear_backward },
    { "conv2d 2x1x8x8, sum, backward", conv_backward },
    { "cross_entropy 4x10, backward", cross_entropy_backward },
    { "mul 4 by its name", by_name },
    { "training step of two layers", training_step },
};

static bool run(bool (*once)(void), int times)
{
    bool right = true;
    for (int i = 0; i < times; i++) {
        AG_SCOPE;
        right &= once();
    }
    return right;
}

int main(void)
{
    ag_set_error_handler(ag_error_print, NULL);
    ag_manual_seed(1);
    ag_set_num_threads(1);
#if defined(__clang__)
    printf("compiler clang %s\n", __clang_version__);
#else
    printf("compiler gcc %s\n", __VERSION__);
#endif
#if defined(__GLIBC__)
    printf("libc glibc %s\n", gnu_get_libc_version());
#else
    printf("libc unknown\n");
#endif
    printf("capability %s\n", ag_cpu_capability());
    printf("repeat %d\n", REPEAT);
    set_up();
    bool right = true;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        right &= run(cases[i].run, WARM);
        printf("case %s\n", cases[i].name);
        fflush(stdout);
        count_mark();
        right &= run(cases[i].run, REPEAT);
        count_mark();
    }
    put_away();
    return right ? 0 : 1;
}

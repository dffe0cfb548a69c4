/* bench_model.c - steps of whole networks: the MNIST CNN, a perceptron, a small residual network; and inference. */
#include "bench.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the networks ---- */

/* Residual: x -> relu(second(first(x)) + shortcut(x)); the shortcut is x itself where it is NULL. */
typedef struct {
    Module base;
    Module *first, *second, *shortcut;
} Residual;

static Variable *residual_forward(Module *self, Variable *x)
{
    Residual *r = (Residual *)self;
    Variable *y = ag_forward(r->second, ag_forward(r->first, x));
    return ag_relu(ag_add(y, r->shortcut ? ag_forward(r->shortcut, x) : x));
}

static Module *residual(int64_t in, int64_t out, int64_t stride)
{
    Residual *r = AG_MODULE_NEW(Residual, residual_forward);
    if (!r) return NULL;
    AG_CHILD(r, first, ag_nn_sequential(ag_nn_conv2d(in, out, 3, .stride = stride, .padding = 1), ag_nn_relu()));
    AG_CHILD(r, second, ag_nn_conv2d(out, out, 3, .padding = 1));
    if (in != out || stride != 1) AG_CHILD(r, shortcut, ag_nn_conv2d(in, out, 1, .stride = stride));
    Residual *done = AG_MODULE_DONE(r);
    return done ? &done->base : NULL;
}

static Module *mnist_cnn(void) /* (N,1,28,28) -> (N,10) */
{
    return ag_nn_sequential(ag_nn_conv2d(1, 10, 5), ag_nn_relu(), ag_nn_conv2d(10, 20, 5), ag_nn_relu(),
                            ag_nn_max_pool2d(2), ag_nn_dropout2d(.p = 0.25), ag_nn_flatten(), ag_nn_linear(2000, 100),
                            ag_nn_relu(), ag_nn_linear(100, 10), ag_nn_relu());
}

static Module *perceptron(void) /* (N,784) -> (N,10) */
{
    return ag_nn_sequential(ag_nn_linear(784, 512), ag_nn_relu(), ag_nn_linear(512, 256), ag_nn_relu(),
                            ag_nn_linear(256, 10));
}

static Module *resnet(void) /* (N,3,32,32) -> (N,10) */
{
    return ag_nn_sequential(ag_nn_conv2d(3, 16, 3, .padding = 1), ag_nn_relu(), residual(16, 16, 1),
                            residual(16, 32, 2), residual(32, 64, 2), ag_nn_max_pool2d(8), ag_nn_flatten(),
                            ag_nn_linear(64, 10));
}

/* ---- the cases ---- */

typedef struct {
    const char *name;
    Module *(*make)(void);
    int shape[4], dims;                /* of the images, without the batch */
    double forward_flops, first_flops; /* an image: forward, and its first layer, whose input wants no gradient */
} network;

#define CONV(c, o, k, out) (2.0 * (c) * (o) * (k) * (k) * (out) * (out))
static const network networks[] = {
    { "mnist_cnn",
      mnist_cnn,
      { 1, 28, 28 },
      3,
      CONV(1, 10, 5, 24) + CONV(10, 20, 5, 20) + 2.0 * 2000 * 100 + 2.0 * 100 * 10,
      CONV(1, 10, 5, 24) },
    { "mlp", perceptron, { 784 }, 1, 2.0 * (784 * 512 + 512 * 256 + 256 * 10), 2.0 * 784 * 512 },
    { "resnet",
      resnet,
      { 3, 32, 32 },
      3,
      CONV(3, 16, 3, 32) + 2 * CONV(16, 16, 3, 32) + CONV(16, 32, 3, 16) + CONV(32, 32, 3, 16) + CONV(16, 32, 1, 16) +
          CONV(32, 64, 3, 8) + CONV(64, 64, 3, 8) + CONV(32, 64, 1, 8) + 2.0 * 64 * 10,
      CONV(3, 16, 3, 32) },
};

enum { BATCH, TRAINS, BATCH_LAST, CAPTURED }; /* what case.number holds; case.pointer is the network */

typedef struct {
    Module *net, *loss;
    Optimizer *optimizer;
    ag_cuda_graphed *graphed; /* where the step is captured; otherwise NULL */
    Dataset *dataset;         /* of an epoch; otherwise NULL, like what follows */
    Transform *transform;
    DataLoader *loader;
} training;

static Variable *step(training *t, Variable *images, Variable *labels)
{
    ag_optim_zero_grad(t->optimizer);
    Variable *loss = ag_criterion(t->loss, ag_forward(t->net, images), labels);
    return ag_backward(loss) && ag_optim_step(t->optimizer) ? loss : NULL;
}
static Variable *captured_step(List batch, void *t) { return step(t, batch.at[0], batch.at[1]); }
static Variable *train(training *t, Variable *images, Variable *labels)
{
    return t->graphed ? ag_cuda_graphed_call(t->graphed, AG_LIST(images, labels)) : step(t, images, labels);
}

/* in[0] images (N,...), in[1] labels (N) */
static bool set_up(bench_state *s)
{
    const network *n = s->c->pointer;
    int64_t batch = s->c->number[BATCH];
    training *t = calloc(1, sizeof *t);
    if (!t) return false;
    s->more = t;
    t->net = n->make();
    t->loss = ag_nn_cross_entropy_loss();
    if (!t->net || !t->loss) return false;
    ag_module_to(t->net, bench_device());
    t->optimizer = ag_optim_sgd(ag_parameters(t->net), .lr = 0.01);
    if (!t->optimizer) return false;
    if (!s->c->number[TRAINS]) ag_eval(t->net);
    if (s->c->number[CAPTURED] && !(t->graphed = ag_cuda_graphed_new(bench_device(), captured_step, t, 3)))
        return false;
    if (n->dims == 1)
        bench_numbers(s, AG_SHAPE(batch, n->shape[0]), AG_FLOAT32, -1, 1);
    else
        bench_images(s, AG_SHAPE(batch, n->shape[0], n->shape[1], n->shape[2]), s->c->number[BATCH_LAST]);
    return s->n_in == 1 && bench_hold(s, ag_randint(0, 10, AG_SHAPE(batch)));
}

static Variable *run(bench_state *s)
{
    training *t = s->more;
    if (!s->c->number[TRAINS]) {
        AG_NO_GRAD;
        return ag_forward(t->net, s->in[0]);
    }
    return train(t, s->in[0], s->in[1]);
}

/* What the network makes of the images in that type, without dropout, the loss gone backward through it. */
static Variable *outputs_of(bench_state *s, Module *net, ag_dtype dtype)
{
    training *t = s->more;
    ag_module_to(net, .dtype = dtype);
    ag_eval(net);
    Variable *outputs = ag_forward(net, ag_to(s->in[0], .dtype = dtype));
    return outputs && ag_backward(ag_criterion(t->loss, outputs, s->in[1])) ? outputs : NULL;
}

static bool alike(bench_state *s, const Variable *a, const Variable *b, double magnitude)
{
    enum { SAMPLES = 200 };
    if (!a || !b) return bench_wrong(s, "there is no gradient");
    for (int64_t i = 0; i < SAMPLES; i++) {
        int64_t at = bench_sample(i, SAMPLES, ag_numel(a)), index[4];
        if (!bench_near(s, at, bench_element(a, at, index), bench_element(b, at, index), magnitude,
                        ag_cuda_allow_tf32() ? 1e-2 : 2e-5))
            return false;
    }
    return true;
}

/* The same network once more in float32 and once in float64, from the same weights: outputs and gradients agree. */
static bool check(bench_state *s, Variable *result)
{
    const network *n = s->c->pointer;
    (void)result;
    ag_manual_seed(2);
    Module *a = n->make();
    ag_manual_seed(2);
    Module *b = n->make();
    Variable *x = a && b ? outputs_of(s, a, AG_FLOAT32) : NULL, *y = x ? outputs_of(s, b, AG_FLOAT64) : NULL;
    bool right = y || bench_wrong(s, "%s", ag_error() ? ag_error() : "no outputs");
    right = right && alike(s, x, y, 1);
    if (right) {
        ag_list p = ag_parameters(a), q = ag_parameters(b);
        for (int64_t i = 0; i < p.n && right; i++) right = alike(s, ag_grad(p.at[i]), ag_grad(q.at[i]), 0.1);
    }
    ag_module_free(a);
    ag_module_free(b);
    return right;
}

static void put_away(bench_state *s)
{
    training *t = s->more;
    if (!t) return;
    ag_cuda_graphed_free(t->graphed);
    ag_data_loader_free(t->loader);
    ag_dataset_free(t->dataset);
    ag_transform_free(t->transform);
    ag_optim_free(t->optimizer);
    ag_module_free(t->loss);
    ag_module_free(t->net);
    free(t);
}

/* ---- an epoch over MNIST, as examples/mnist_cnn.c trains it ---- */

static bool has_mnist(void)
{
    static const char *const endings[] = { "", ".gz" };
    FILE *file = NULL;
    for (int i = 0; i < 2 && !file; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/MNIST/raw/train-images-idx3-ubyte%s", bench_data(), endings[i]);
        file = fopen(path, "rb");
    }
    return file && !fclose(file);
}
static bool can_capture(void) { return bench_on_cuda(); }
static bool can_capture_epoch(void) { return bench_on_cuda() && has_mnist(); }

static bool set_up_epoch(bench_state *s)
{
    if (!set_up(s)) return false;
    training *t = s->more;
    t->transform = ag_transforms_compose(ag_transforms_to_tensor(), ag_transforms_normalize(0.5, 0.5));
    t->dataset = ag_datasets_mnist(.root = bench_data(), .train = true, .transform = t->transform);
    if (!t->dataset) return false;
    t->loader = ag_data_loader(t->dataset, .batch_size = s->c->number[BATCH], .shuffle = true,
                               .memory_format = bench_on_cuda() ? AG_CONTIGUOUS_FORMAT : AG_BATCH_LAST,
                               .device = bench_device());
    return t->loader;
}

static Variable *run_epoch(bench_state *s)
{
    training *t = s->more;
    for (ag_batch batch; ag_data_next(t->loader, &batch);) {
        AG_SCOPE;
        if (!train(t, batch.inputs, batch.targets)) return NULL;
    }
    return s->in[0];
}

static void add(const network *n, int batch, bool trains, bool batch_last, bool captured)
{
    bench_case c = { .number = { batch, trains, batch_last, captured },
                     .pointer = (void *)n,
                     .dtype = AG_FLOAT32,
                     .flops = batch * (trains ? 3 * n->forward_flops - n->first_flops : n->forward_flops),
                     .set_up = set_up,
                     .run = run,
                     .check = check,
                     .put_away = put_away };
    if (captured) c.there = can_capture;
    snprintf(c.name, sizeof c.name, "%s n%d %s%s%s", n->name, batch, trains ? "training step" : "inference",
             batch_last ? ", batch-last" : "", captured ? ", captured" : "");
    snprintf(c.parameters, sizeof c.parameters,
             "\"op\": \"%s\", \"family\": \"model\", \"n\": %d, \"trains\": %s, \"layout\": \"%s\"%s", n->name, batch,
             trains ? "true" : "false", batch_last ? "batch-last" : "contiguous",
             captured ? ", \"captured\": true" : "");
    bench_add(&c);
}

static void add_epoch(bool captured)
{
    const network *n = &networks[0];
    bench_case c = { .name = "mnist epoch",
                     .parameters = "\"op\": \"mnist_epoch\", \"family\": \"epoch\"",
                     .number = { 64, true, false, captured },
                     .pointer = (void *)n,
                     .dtype = AG_FLOAT32,
                     .flops = 60000 * (3 * n->forward_flops - n->first_flops),
                     .whole = true,
                     .there = has_mnist,
                     .set_up = set_up_epoch,
                     .run = run_epoch,
                     .check = check,
                     .put_away = put_away };
    if (captured) {
        c.there = can_capture_epoch;
        strcpy(c.name, "mnist epoch, captured");
        strcpy(c.parameters, "\"op\": \"mnist_epoch\", \"family\": \"epoch\", \"captured\": true");
    }
    bench_add(&c);
}

static void add_cases(void)
{
    for (int batch_last = 0; batch_last < 2; batch_last++) {
        add(&networks[0], 64, true, batch_last, false);
        add(&networks[0], 37, true, batch_last, false);
        add(&networks[0], 10000, false, batch_last, false);
        add(&networks[2], 32, true, batch_last, false);
        add(&networks[2], 32, false, batch_last, false);
    }
    add(&networks[1], 64, true, false, false);
    add(&networks[1], 64, false, false, false);
    add(&networks[0], 64, true, false, true);
    add(&networks[1], 64, true, false, true);
    add(&networks[2], 32, true, false, true);
    add_epoch(false);
    add_epoch(true);
}

int main(int argc, char **argv) { return bench_main(argc, argv, add_cases); }

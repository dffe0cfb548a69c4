/* mnist_cnn.c - a convolutional network for MNIST: the notebook "PyTorch: Implementing a CNN for MNIST", in C.
 *
 *     build/examples/mnist_cnn --data data            trains for 25 epochs; --help lists the options
 *
 * The network, the numbers it starts from and the order of the minibatches are PyTorch's for the same seed. What is not
 * the notebook's subject stands in examples/mnist/: the command line, the progress bar, saving and loading.
 */
#include "mnist/checkpoint.h"
#include "mnist/files.h"
#include "mnist/options.h"
#include "mnist/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* With a ReLU on the logits some seeds cut a class off for good; this one learns all ten. */
enum { DEFAULT_SEED = 1, CLASSES = 10 };

/* 1. Define the network as a struct that begins with a Module. */
typedef struct {
    Module base;
    Module *conv1, *conv2, *maxpool, *drop, *fc3, *fc4;
} Cnn;

static Variable *cnn_forward(Module *self, Variable *x) /* (N,1,28,28) -> (N,10) */
{
    Cnn *net = (Cnn *)self;
    x = ag_forward(net->conv1, x); /* (N,10,24,24) */
    /* ag_let: x is the next one, and the one before goes now: of 10,000 test images it is 230 MB. */
    ag_let(&x, ag_forward(net->conv2, x)); /* (N,20,20,20) */
    x = ag_forward(net->maxpool, x);       /* (N,20,10,10) */
    x = ag_forward(net->drop, x);
    /* All feature maps side by side, to pass into the fully connected layers. */
    x = ag_view(x, AG_SHAPE(-1, 20 * 10 * 10));
    x = ag_forward(net->fc3, x); /* (N,100) */
    x = ag_forward(net->fc4, x); /* (N,10) */
    return x;
}

/* clang-format off */
static Cnn *cnn(int64_t num_input_channels, double dropout)
{
    Cnn *net = AG_MODULE_NEW(Cnn, cnn_forward);
    AG_CHILD(net, conv1, ag_nn_sequential(
        ag_nn_conv2d(.in_channels = num_input_channels, .out_channels = 10, .kernel_size = 5, .stride = 1, .padding = 0),
        ag_nn_relu()));
    AG_CHILD(net, conv2, ag_nn_sequential(
        ag_nn_conv2d(.in_channels = 10, .out_channels = 20, .kernel_size = 5, .stride = 1, .padding = 0),
        ag_nn_relu()));
    AG_CHILD(net, maxpool, ag_nn_max_pool2d(AG_SIZE(2, 2)));
    AG_CHILD(net, drop, ag_nn_dropout2d(.p = dropout, .inplace = false)); /* a bit of regularization */
    AG_CHILD(net, fc3, ag_nn_sequential(
        ag_nn_linear(.in_features = 20 * 10 * 10, .out_features = 100),
        ag_nn_relu()));
    AG_CHILD(net, fc4, ag_nn_sequential(
        ag_nn_linear(100, CLASSES),
        ag_nn_relu()));
    return AG_MODULE_DONE(net);
}
/* clang-format on */

static void print_network(Cnn *the_net)
{
    ag_nn_print(the_net, stdout);
    for (ag_named p = { 0 }; ag_named_parameters(the_net, &p);) {
        printf("torch.Size([");
        for (int d = 0; d < ag_dim(p.variable); d++) printf("%s%" PRId64, d ? ", " : "", ag_size(p.variable, d));
        printf("])\n");
    }
    printf("number of network parameters: %" PRId64 "\n", ag_num_parameters(the_net));
}

/* Says which classes no image was taken for. */
static void print_missing_classes(const int64_t predictions[CLASSES], bool trained)
{
    bool any = false;
    for (int c = 0; c < CLASSES; c++) {
        if (predictions[c]) continue;
        printf(any ? ", %d" : "Never predicted: class %d", c);
        any = true;
    }
    if (any && trained)
        printf(
            ". The ReLU on the logits may have cut it off: where a logit is 0 for every image, no gradient comes back. "
            "Try another --seed");
    if (any) printf(".\n");
}

/* Everything a training consists of. */
typedef struct {
    Options options;
    Cnn *the_net;
    Module *loss_function;
    Optimizer *optimizer;
    DataLoader *train_loader, *test_loader;
    ag_cuda_graphed *graphed; /* training_step as a CUDA graph; NULL without --graph */
    Place place;              /* where it stands */
    FILE *log;
} Training;

static void evaluate(Training *t)
{
    AG_NO_GRAD;
    ag_eval(t->the_net);
    int64_t correct = 0, total = 0, predictions[CLASSES] = { 0 };
    for (Batch batch; ag_data_next(t->test_loader, &batch);) {
        AG_SCOPE;
        Variable *images = ag_to(batch.inputs, t->options.device, .dtype = t->options.dtype);
        Variable *outputs = ag_forward(t->the_net, images);
        Variable *predicted = ag_to(ag_max_dim(outputs, 1).indices, AG_CPU);
        total += ag_size(batch.targets, 0);
        correct += ag_item_int64(ag_sum(ag_eq(predicted, ag_to(batch.targets, AG_CPU))));
        const int64_t *classes = ag_data(predicted);
        for (int64_t i = 0; i < ag_numel(predicted); i++) predictions[classes[i]]++;
    }
    ag_train(t->the_net);
    printf("Accuracy of the network on the %" PRId64 " test images: %.2f %%\n", total,
           100.0 * (double)correct / (double)total);
    print_missing_classes(predictions, t->place.step > 0);
}

/* After a step: a line in the log, a line every 300 minibatches, the progress bar. */
static void report_step(Training *t, const Batch *batch, Variable *loss)
{
    if (t->log)
        fprintf(t->log, "%" PRId64 " %.*g\n", t->place.step, t->options.dtype == AG_FLOAT64 ? 17 : 9, ag_item(loss));
    if (t->options.quiet) return;
    if (batch->index % 300 == 0) {
        progress_clear();
        printf("At epoch %" PRId64 ", minibatch %" PRId64 ". Loss: %.4f.\n", t->place.epoch, batch->index,
               ag_item(loss));
    }
    progress_show("training", batch->index + 1, ag_data_loader_size(t->train_loader));
}
static void finish_step(Training *t, const Batch *batch, Variable *loss)
{
    report_step(t, batch, loss);
    t->place.batch++;
    t->place.step++;
}

/* The loop's step, for a CUDA graph: captured at its fourth call, replayed from then on. */
static Variable *training_step(List batch, void *training)
{
    Training *t = training;
    ag_optim_zero_grad(t->optimizer);
    Variable *loss = ag_criterion(t->loss_function, ag_forward(t->the_net, batch.at[0]), batch.at[1]);
    ag_backward(loss);
    ag_optim_step(t->optimizer);
    return loss;
}

/* The rest of epoch place.epoch, or as much of it as there is time for until Ctrl-C. */
static void train_epoch(Training *t)
{
    double start = timer();
    if (t->place.batch == 0) ag_get_rng_state(t->place.epoch_state);
    for (Batch batch; !interrupted() && ag_data_next(t->train_loader, &batch);) {
        AG_SCOPE; /* what a step makes dies with it */

        Variable *the_batch = ag_to(batch.inputs, t->options.device, .dtype = t->options.dtype);
        Variable *labels = ag_to(batch.targets, t->options.device);

        if (t->graphed) { /* all of this in one launch */
            finish_step(t, &batch, ag_cuda_graphed_call(t->graphed, AG_LIST(the_batch, labels)));
            continue;
        }

        ag_optim_zero_grad(t->optimizer);

        Variable *output = ag_forward(t->the_net, the_batch);

        Variable *loss = ag_criterion(t->loss_function, output, labels);

        ag_backward(loss);

        ag_optim_step(t->optimizer);

        finish_step(t, &batch, loss);
    }
    double end = timer();
    progress_clear();
    if (t->place.batch < ag_data_loader_size(t->train_loader)) {
        printf("Stopped in epoch %" PRId64 ", after %" PRId64 " minibatches.\n", t->place.epoch, t->place.batch);
        return;
    }
    printf("Epoch %" PRId64 " finished! It took: %.4f seconds\n", t->place.epoch, end - start);
    t->place.batch = 0;
    t->place.epoch++;
    if (t->options.evaluate) evaluate(t);
}

/* What the library could not do ends this program, with the sentence that says why. */
static void give_up(ag_error_kind kind, const char *sentence, void *user)
{
    (void)kind, (void)user;
    fail("%s", sentence);
}

/* The first n items of a dataset. */
static Dataset *first(Dataset *dataset, int64_t n)
{
    int64_t *indices = malloc((size_t)n * sizeof *indices);
    if (!indices) fail("out of memory: the list of training images");
    for (int64_t i = 0; i < n; i++) indices[i] = i;
    Dataset *subset = ag_data_subset(dataset, ag_sizes_of(n, indices));
    free(indices);
    return subset;
}

int main(int argc, char **argv)
{
    Training t = { .options = { .epochs = 25,
                                .batch_size = 64,
                                .limit = INT64_MAX,
                                .lr = 0.01,
                                .dropout = 0.25,
                                .seed = DEFAULT_SEED,
                                .device = AG_CPU,
                                .dtype = AG_FLOAT32,
                                .evaluate = true,
                                .graph = true,
                                .data = "./data" } };
    open_standard_streams();
    t.options = options_parse(argc, argv, t.options);
    setvbuf(stdout, NULL, _IOLBF, 0);
    ag_set_error_handler(give_up, NULL);
    if (t.options.given.data) check_folder(t.options.data);
    check_place(t.options.save);
    StateDict *saved = t.options.load ? checkpoint_read(t.options.load, &t.options) : NULL;
    if (t.options.threads) ag_set_num_threads(t.options.threads);
    ag_manual_seed(t.options.seed);

    /* Normalize the pixel values to [-1,1] with mean 0. This is really important! */
    Transform *transform = ag_transforms_compose(ag_transforms_to_tensor(), ag_transforms_normalize(0.5, 0.5));

    Dataset *training_data = ag_datasets_mnist(.root = t.options.data, .train = true, .transform = transform,
                                               .download = true);
    Dataset *testing_data = ag_datasets_mnist(.root = t.options.data, .train = false, .transform = transform,
                                              .download = true);

    int64_t n = ag_dataset_size(training_data);
    if (t.options.limit > n) t.options.limit = n;
    Dataset *used_data = first(training_data, t.options.limit);
    /* Few channels: on the CPU convolution is fastest where the images of a batch are the innermost dimension. */
    const bool on_cpu = t.options.device.type == AG_DEVICE_CPU;
    t.train_loader = ag_data_loader(used_data, .batch_size = t.options.batch_size, .shuffle = true,
                                    .memory_format = on_cpu ? AG_BATCH_LAST : AG_CONTIGUOUS_FORMAT,
                                    .device = t.options.device);
    t.test_loader = ag_data_loader(testing_data, .batch_size = ag_dataset_size(testing_data), .shuffle = false,
                                   .device = t.options.device);

    t.the_net = cnn(1, t.options.dropout);                               /* MNIST digits are grayscale. */
    ag_module_to(t.the_net, t.options.device, .dtype = t.options.dtype); /* made in float32, as PyTorch makes them */
    if (!t.options.quiet) print_network(t.the_net);

    t.loss_function = ag_nn_cross_entropy_loss();
    t.optimizer = ag_optim_sgd(ag_parameters(t.the_net), .lr = t.options.lr);

    if (saved) checkpoint_restore(saved, &t.options, &t.the_net->base, t.optimizer, t.train_loader, &t.place);
    if (saved && t.options.given.lr) ag_optim_set_lr(t.optimizer, t.options.lr);
    if (t.options.graph) {
        t.graphed = ag_cuda_graphed_new(t.options.device, training_step, &t, 3);
        if (!t.options.quiet) printf("Training steps are captured as a CUDA graph (--no-graph: op by op).\n");
    }
    t.log = open_log(t.options.log);
    catch_interrupts();

    if (t.place.epoch >= t.options.epochs) {
        if (t.place.epoch > 0 && t.options.epochs > 0)
            printf("%s has %" PRId64 " epochs behind it: --epochs %" PRId64 " leaves none to train.\n", t.options.load,
                   t.place.epoch, t.options.epochs);
        if (t.options.evaluate) evaluate(&t);
        if (t.options.save) checkpoint_save(t.options.save, &t.options, &t.the_net->base, t.optimizer, &t.place);
    }
    while (t.place.epoch < t.options.epochs && !interrupted()) {
        train_epoch(&t);
        if (t.options.save) checkpoint_save(t.options.save, &t.options, &t.the_net->base, t.optimizer, &t.place);
    }

    close_log(t.log, t.options.log);
    ag_cuda_graphed_free(t.graphed);
    ag_optim_free(t.optimizer);
    ag_module_free(t.loss_function);
    ag_module_free(t.the_net);
    ag_data_loader_free(t.test_loader);
    ag_data_loader_free(t.train_loader);
    ag_dataset_free(used_data);
    ag_dataset_free(testing_data);
    ag_dataset_free(training_data);
    ag_transform_free(transform);
    close_stdout();
    return interrupted() ? 128 + interrupted() : 0;
}

/* small_cnn.c - see small_cnn.h. */
#include "small_cnn.h"

#include <unistd.h>

Module *small_cnn(int64_t side, double dropout, ag_dtype dtype)
{
    int64_t last = ((side - 4) / 2 - 2) / 2; /* after 5x5, 2x2, 3x3, 2x2 */
    return ag_nn_sequential(ag_nn_conv2d(1, 4, 5, .dtype = dtype), ag_nn_relu(), ag_nn_max_pool2d(2),
                            ag_nn_dropout2d(dropout), ag_nn_conv2d(4, 6, 3, .dtype = dtype), ag_nn_relu(),
                            ag_nn_max_pool2d(2), ag_nn_flatten(), ag_nn_linear(6 * last * last, 10, .dtype = dtype));
}

bool small_training_begin(small_training *s, small_cnn_options o)
{
    AG_SCOPE;
    *s = (small_training){ 0 };
    ag_manual_seed(0);
    Variable *images = ag_randn(AG_SHAPE(o.samples, 1, o.side, o.side), .dtype = o.dtype);
    Variable *labels = ag_randint(0, 10, AG_SHAPE(o.samples));
    s->data = ag_data_tensor_dataset(AG_LIST(images, labels));
    s->loader = ag_data_loader(s->data, .batch_size = o.batch_size, .shuffle = true, .num_workers = o.num_workers,
                               .memory_format = o.memory_format);
    s->net = small_cnn(o.side, o.dropout, o.dtype);
    s->criterion = ag_nn_cross_entropy_loss();
    if (s->net && o.momentum < 0)
        s->optimizer = ag_optim_adam(ag_parameters(s->net));
    else if (s->net)
        s->optimizer = ag_optim_sgd(ag_parameters(s->net), .lr = 0.01, .momentum = o.momentum);
    return s->data && s->loader && s->net && s->criterion && s->optimizer && !ag_error();
}

bool small_training_epoch(small_training *s)
{
    for (Batch batch; ag_data_next(s->loader, &batch);) {
        AG_SCOPE;
        Variable *loss = ag_criterion(s->criterion, ag_forward(s->net, batch.inputs), batch.targets);
        ag_optim_zero_grad(s->optimizer);
        ag_backward(loss);
        ag_optim_step(s->optimizer);
        if (ag_error()) break;
        s->loss = ag_item(loss);
        s->steps++;
        if (s->pause) usleep(s->pause);
    }
    return ag_error() == NULL;
}

void small_training_end(small_training *s)
{
    ag_optim_free(s->optimizer);
    ag_module_free(s->criterion);
    ag_module_free(s->net);
    ag_data_loader_free(s->loader);
    ag_dataset_free(s->data);
    *s = (small_training){ 0 };
}

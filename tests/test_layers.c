/* test_layers.c - layers and losses: printed, drawn, run and differentiated as PyTorch does (nn_runs.h); their options,
 * by position and by name; what is refused. */
#include "nn_runs.h"

START_TEST(a_network_prints_to_the_letter_as_in_pytorch)
{
    nn_record r = nn_records("print");
    while (nn_next(&r)) {
        static char wants[NN_LINE], is[NN_LINE];
        wants[0] = 0;
        while (nn_line(&r)) strcat(strcat(wants, *wants ? "\n" : ""), r.line);
        Module *m = nn_tree(r.of);
        OK(m);
        size_t length = ag_nn_repr(m, is, sizeof is);
        ck_assert_msg(strcmp(is, wants) == 0, "%s prints\n%s\nnot\n%s", r.of, is, wants);
        ck_assert_uint_eq(length, strlen(wants));
        ag_module_free(m);
    }
    ck_assert_int_gt(r.n, 600);
}
END_TEST

/* FNV-1a over the elements as doubles. */
static void hash_text(Variable *x, char text[32])
{
    uint64_t hash = 14695981039346656037u;
    for (int64_t i = 0; i < ag_numel(x); i++) {
        double value = support_at(x, i);
        unsigned char bytes[8];
        memcpy(bytes, &value, 8);
        for (int k = 0; k < 8; k++) hash = (hash ^ bytes[k]) * 1099511628211u;
    }
    snprintf(text, 32, "%016llx", (unsigned long long)hash);
}

START_TEST(what_a_layer_is_made_with_is_pytorchs_to_the_bit)
{
    nn_record r = nn_records("drawn");
    while (nn_next(&r)) {
        AG_SCOPE;
        char *text;
        ag_manual_seed(strtoull(r.of, &text, 10));
        Module *m = nn_tree(text + 1);
        OK(m);
        ag_named p = { 0 };
        while (nn_line(&r)) {
            char hash[32], *wants = strchr(r.line, ' ') + 1;
            wants[-1] = 0;
            bool is_parameter = ag_named_parameters(m, &p);
            ck_assert_msg(is_parameter == (strcmp(r.line, "next") != 0), "%s: another number of parameters", r.of);
            if (is_parameter) ck_assert_str_eq(p.name, r.line);
            Variable *x = is_parameter ? p.variable : ag_rand(AG_SHAPE(1), .dtype = AG_FLOAT64);
            hash_text(x, hash);
            ck_assert_msg(strcmp(hash, wants) == 0, "%s: %s has other bits (its first is %.17g)", r.of, r.line,
                          ag_numel(x) ? support_at(x, 0) : 0);
            ck_assert(!is_parameter || (ag_requires_grad(x) && ag_is_leaf(x)));
        }
        ag_module_free(m);
    }
    ck_assert_int_gt(r.n, 30);
}
END_TEST

/* ---- run ---- */

static double tolerance_of(ag_dtype dtype) { return dtype == AG_FLOAT64 ? 1e-13 : 2e-6; }

/* sum(y * weights), differentiated */
static void backward(Variable *y) { OK(ag_backward(ag_sum(ag_mul(y, support_draw(ag_shape(y), ag_dtype_of(y), 1))))); }

static void check_line(nn_record *r, const char *name, Variable *x)
{
    char of[2 * NN_LINE];
    ck_assert_msg(nn_line(r), "%s: %s is not recorded", r->of, name);
    size_t n = strlen(name);
    ck_assert_msg(strncmp(r->line, name, n) == 0 && r->line[n] == ' ', "%s: %s is there, not %s", r->of, r->line, name);
    const char *at = r->line + n;
    snprintf(of, sizeof of, "%s: %s", r->of, name);
    OK(x);
    nn_same(x, &at, tolerance_of(ag_dtype_of(x)), of);
    ck_assert_msg(at[strspn(at, " ")] == 0, "%s has fewer elements", of);
}

START_TEST(outputs_and_gradients_are_pytorchs)
{
    nn_record r = nn_records("run");
    while (nn_next(&r)) {
        AG_SCOPE;
        const char *at = r.of;
        int64_t size[8];
        ag_dtype dtype = nn_dtype(&at);
        Shape shape = nn_shape(&at, size);
        Module *m = nn_tree(at);
        OK(ag_module_to(m, .dtype = dtype));
        for (ag_named p = { 0 }; ag_named_parameters(m, &p);) {
            AG_NO_GRAD;
            OK(ag_copy_(p.variable, support_draw(ag_shape(p.variable), dtype, 1)));
        }
        Variable *x = ag_requires_grad_(support_draw(shape, dtype, 2));
        ag_manual_seed(3);
        Variable *y = ag_forward(m, x);
        check_line(&r, "y", y);
        backward(y);
        check_line(&r, "x", ag_grad(x));
        for (ag_named p = { 0 }; ag_named_parameters(m, &p);) check_line(&r, p.name, ag_grad(p.variable));
        ag_module_free(m);
    }
    ck_assert_int_gt(r.n, 50);
}
END_TEST

/* A target of that kind for x; see tools/record-nn.py. */
static Variable *target_of(const char *kind, Variable *x, int64_t classes, int64_t ignored)
{
    Shape shape = ag_shape(x);
    if (strcmp(kind, "same") == 0) return support_draw(shape, ag_dtype_of(x), 3);
    if (strcmp(kind, "prob") == 0) return ag_add(support_draw(shape, ag_dtype_of(x), 1), ag_scalar(1));
    int64_t size[8], n = 0;
    for (int64_t d = 0; d < shape.n; d++)
        if (shape.n > 1 && d != 1) size[n++] = shape.at[d];
    Variable *y = support_draw(ag_sizes_of(n, size), AG_FLOAT64, 1);
    y = ag_long(ag_mul(ag_add(y, ag_scalar(1)), ag_scalar((double)classes / 2)));
    if (strcmp(kind, "index1") == 0) ag_fill_(ag_select(y, 0, 1), (double)ignored);
    return y;
}

START_TEST(losses_and_their_gradients_are_pytorchs)
{
    nn_record r = nn_records("loss");
    while (nn_next(&r)) {
        AG_SCOPE;
        const char *at = r.of;
        int64_t size[8];
        char kind[32];
        ag_dtype dtype = nn_dtype(&at);
        Shape shape = nn_shape(&at, size);
        nn_word(&at, kind);
        int64_t classes = shape.at[shape.n > 1];
        Variable *x = ag_requires_grad_(support_draw(shape, dtype, 3)), *weight = AG_NONE;
        if (nn_number(at, "weight", 0) != 0) weight = ag_add(support_draw(AG_SHAPE(classes), dtype, 1), ag_scalar(1.5));
        Module *m = nn_loss(at, weight);
        Variable *y = target_of(kind, x, classes, (int64_t)nn_number(at, "ignore_index", -100));
        Variable *value = ag_criterion(m, x, y);
        check_line(&r, "y", value);
        backward(value);
        check_line(&r, "x", ag_grad(x));
        ag_module_free(m);
    }
    ck_assert_int_gt(r.n, 30);
}
END_TEST

/* ---- options ---- */

START_TEST(pytorchs_refusals_have_pytorchs_words)
{
    nn_record r = nn_records("refused");
    while (nn_next(&r)) {
        char *sentence = strstr(r.of, " : ");
        *sentence = 0;
        REFUSED(nn_tree(r.of), sentence + 3);
    }
}
END_TEST

START_TEST(options_that_cannot_be_are_refused_with_a_sentence)
{
    REFUSED(ag_nn_linear(-1, 2), "Linear: in_features and out_features must not be negative, but are -1 and 2");
    REFUSED(ag_nn_linear(2, 2, .dtype = AG_INT64), "Only Tensors of floating point dtype can require gradients");
    REFUSED(ag_nn_linear(2, 2, .dtype = (ag_dtype)77), "");
    REFUSED(ag_nn_linear(1ll << 40, 1ll << 40), "");
    REFUSED(ag_nn_conv2d(-1, 2, 3), "Conv2d: in_channels and out_channels must not be negative, but are -1 and 2");
    REFUSED(ag_nn_conv2d(1, 2), "Conv2d: kernel_size must be at least 1, but got 0");
    REFUSED(ag_nn_conv2d(1, 2, AG_SIZE(3, 0)), "Conv2d: kernel_size must be at least 1, but got 0");
    REFUSED(ag_nn_conv2d(1, 2, AG_SIZE(3, 3, 3)), "Conv2d: kernel_size must be a number or AG_SIZE(height, width)");
    REFUSED(ag_nn_conv2d(1, 2, 3, .stride = 0), "Conv2d: stride must be at least 1, but got 0");
    REFUSED(ag_nn_conv2d(1, 2, 3, .padding = AG_SIZE(1, -1)), "Conv2d: padding must be at least 0, but got -1");
    REFUSED(ag_nn_conv2d(1, 2, 3, .padding = AG_PADDING_SAME, .stride = 2),
            "Conv2d: padding='same' is not supported for strided convolutions");
    REFUSED(ag_nn_conv2d(1, 2, 3, .dilation = 0), "Conv2d: dilation must be at least 1, but got 0");
    REFUSED(ag_nn_max_pool2d(), "MaxPool2d: kernel_size must be at least 1, but got 0");
    REFUSED(ag_nn_max_pool2d(2, .stride = -1), "MaxPool2d: stride must be at least 1, but got -1");
    REFUSED(ag_nn_max_pool2d(2, .padding = -1), "MaxPool2d: padding must be at least 0, but got -1");
    REFUSED(ag_nn_dropout(NAN), "Dropout: dropout probability has to be between 0 and 1, but got nan");
    REFUSED(ag_nn_mse_loss("most"), "MSELoss: most is not a valid value for reduction");
    REFUSED(ag_nn_nll_loss(.reduction = NULL), "NLLLoss: NULL is not a valid value for reduction");
    REFUSED(ag_nn_cross_entropy_loss(.weight = NULL), "CrossEntropyLoss: buffer weight is NULL");
    REFUSED(ag_nn_cross_entropy_loss(.label_smoothing = 1.5), "label_smoothing must be between 0.0 and 1.0. Got: 1.5");
    if (!ag_cuda_is_available()) REFUSED(ag_nn_linear(2, 2, .device = AG_CUDA), "cuda:0 is not available");
}
END_TEST

START_TEST(arguments_go_by_position_and_by_name)
{
    struct {
        Module *position, *name;
    } both[] = {
        { ag_nn_linear(2, 3, false), ag_nn_linear(.out_features = 3, .in_features = 2, .bias = false) },
        { ag_nn_conv2d(2, 4, AG_SIZE(3, 2), 2, 1, 3, 2, false),
          ag_nn_conv2d(.in_channels = 2, .out_channels = 4, .kernel_size = AG_SIZE(3, 2), .stride = 2, .padding = 1,
                       .dilation = 3, .groups = 2, .bias = false) },
        { ag_nn_max_pool2d(3, 2, 1, 2, true),
          ag_nn_max_pool2d(.kernel_size = 3, .stride = 2, .padding = 1, .dilation = 2, .ceil_mode = true) },
        { ag_nn_dropout(0.25, true), ag_nn_dropout(.p = 0.25, .inplace = true) },
        { ag_nn_dropout2d(0.25, true), ag_nn_dropout2d(.inplace = true, .p = 0.25) },
        { ag_nn_relu(true), ag_nn_relu(.inplace = true) },
        { ag_nn_flatten(2, 3), ag_nn_flatten(.start_dim = 2, .end_dim = 3) },
        { ag_nn_softmax(1), ag_nn_softmax(.dim = 1) },
        { ag_nn_log_softmax(-1), ag_nn_log_softmax(.dim = -1) },
    };
    for (size_t i = 0; i < sizeof both / sizeof *both; i++) {
        char one[200], other[200];
        OK(ag_nn_repr(both[i].position, one, sizeof one) && ag_nn_repr(both[i].name, other, sizeof other));
        ck_assert_str_eq(one, other);
        ag_module_free(both[i].position);
        ag_module_free(both[i].name);
    }
}
END_TEST

START_TEST(an_input_of_another_shape_is_refused_with_the_ops_sentence)
{
    Module *net = ag_nn_sequential(ag_nn_conv2d(1, 2, 3), ag_nn_relu(), ag_nn_flatten(), ag_nn_linear(8, 2));
    OK(ag_forward(net, ag_ones(AG_SHAPE(3, 1, 4, 4))));
    REFUSED(ag_forward(net, ag_ones(AG_SHAPE(3, 2, 4, 4))), "conv2d");
    REFUSED(ag_forward(net, ag_ones(AG_SHAPE(3, 1, 5, 4))), "linear");
    REFUSED(ag_forward(net, ag_ones(AG_SHAPE(3, 1, 4, 4), .dtype = AG_FLOAT64)), "conv2d");
    REFUSED(ag_forward(net, NULL), "Sequential: forward's input is NULL");
    ag_module_free(net);
}
END_TEST

/* ---- parts that are exchanged ---- */

START_TEST(parameters_of_a_layer_can_be_shared_replaced_and_left_out)
{
    Module *encoder = ag_nn_linear(2, 3), *decoder = ag_nn_linear(2, 3);
    Module *net = ag_nn_sequential(encoder, decoder);
    Variable *shared = ag_get_parameter(encoder, "weight"), *x = ag_ones(AG_SHAPE(1, 2));
    OK(ag_module_add_parameter(decoder, "weight", shared));
    ck_assert_ptr_eq(ag_get_parameter(decoder, "weight"), shared);
    ck_assert_int_eq(ag_parameters(net).n, 3);
    ck_assert_int_eq(ag_num_parameters(net), 2 * 3 + 3 + 3);

    OK(ag_module_add_parameter(encoder, "bias", AG_NONE));
    OK(ag_module_add_parameter(decoder, "bias", AG_NONE));
    ck_assert(ag_equal(ag_forward(encoder, x), ag_forward(decoder, x)));
    char text[100];
    ag_nn_repr(decoder, text, sizeof text);
    ck_assert_str_eq(text, "Linear(in_features=2, out_features=3, bias=False)");

    OK(ag_module_add_parameter(decoder, "weight", ag_full(AG_SHAPE(3, 2), 2)));
    OK(ag_module_add_parameter(decoder, "bias", ag_ones(AG_SHAPE(3))));
    VALUES(ag_forward(decoder, x), 5, 5, 5);
    OK(ag_module_add_parameter(decoder, "weight", AG_NONE));
    REFUSED(ag_forward(decoder, x), "weight");
    ag_module_free(net);

    Module *conv = ag_nn_conv2d(1, 1, 1), *loss = ag_nn_cross_entropy_loss();
    OK(ag_module_add_parameter(conv, "bias", AG_NONE));
    OK(ag_module_add_parameter(conv, "weight", ag_full(AG_SHAPE(1, 1, 1, 1), 3)));
    VALUES(ag_forward(conv, ag_ones(AG_SHAPE(1, 1, 1, 1))), 3);
    ag_nn_repr(conv, text, sizeof text);
    ck_assert_str_eq(text, "Conv2d(1, 1, kernel_size=(1, 1), stride=(1, 1), bias=False)");
    OK(ag_module_add_buffer(loss, "weight", ag_zeros(AG_SHAPE(2))));
    ck_assert(isnan(ag_item(ag_criterion(loss, ag_ones(AG_SHAPE(1, 2)), ag_zeros(AG_SHAPE(1), .dtype = AG_INT64)))));
    ag_module_free(conv);
    ag_module_free(loss);

    Module *same = ag_nn_conv2d(1, 1, 2, .padding = AG_PADDING_SAME);
    ag_nn_repr(same, text, sizeof text);
    ck_assert_str_eq(text, "Conv2d(1, 1, kernel_size=(2, 2), stride=(1, 1), padding=same)");
    SHAPE(ag_forward(same, ag_ones(AG_SHAPE(1, 1, 4, 5))), 1, 1, 4, 5);
    ag_module_free(same);
}
END_TEST

START_TEST(a_sequential_grows_by_append)
{
    Module *net = ag_nn_sequential();
    Variable *x = ag_ones(AG_SHAPE(2, 3));
    ck_assert_ptr_eq(ag_forward(net, x), x);
    OK(ag_nn_append(net, ag_nn_flatten(0)));
    OK(ag_module_add_buffer(net, "scale", x)); /* is not counted */
    OK(ag_nn_append(net, ag_nn_softmax(0)));
    ck_assert_str_eq(ag_get_submodule(net, "1")->type, "Softmax");
    SHAPE(ag_forward(net, x), 6);
    REFUSED(ag_nn_append(net, ag_nn_linear(-1, 1)), "Linear: in_features");
    REFUSED(ag_nn_append(ag_get_submodule(net, "0"), ag_nn_relu()), "append: Flatten is not a Sequential");
    REFUSED(ag_nn_append((Module *)NULL, ag_nn_relu()), "append: the module is NULL");
    SHAPE(ag_forward(net, x), 6);
    REFUSED(ag_nn_sequential(ag_nn_relu(), ag_nn_linear(-1, 1), ag_nn_relu()), "Linear: in_features");
    ag_module_free(net);
}
END_TEST

START_TEST(dropout_looks_at_the_mode_and_draws_only_what_it_must)
{
    Module *net = ag_nn_sequential(ag_nn_dropout(0.5), ag_nn_dropout2d(0.5)), *none = ag_nn_dropout(0);
    Variable *x = ag_ones(AG_SHAPE(2, 3, 4, 4));
    OK(ag_eval(net));
    ck_assert_ptr_eq(ag_forward(net, x), x);
    ag_forward(none, x);
    double next = ag_item(ag_rand(AG_SCALAR_SHAPE));
    ag_manual_seed(0);
    ck_assert(ag_item(ag_rand(AG_SCALAR_SHAPE)) == next);
    OK(ag_train(net));
    ck_assert(!ag_equal(ag_forward(net, x), x));
    ag_module_free(net);
    ag_module_free(none);
}
END_TEST

START_TEST(a_loss_has_two_inputs_and_a_layer_one)
{
    Module *loss = ag_nn_mse_loss(), *layer = ag_nn_relu();
    Variable *x = ag_ones(AG_SHAPE(2));
    REFUSED(ag_forward(loss, x), "MSELoss: it has no forward of one input; a loss is called as ag_criterion");
    REFUSED(ag_criterion(layer, x, x), "ReLU: it is not a loss");
    REFUSED(ag_criterion(loss, x, NULL), "MSELoss: the target is NULL");
    REFUSED(ag_criterion(loss, NULL, x), "MSELoss: the input is NULL");
    REFUSED(ag_criterion((Module *)NULL, x, x), "criterion: the module is NULL");
    VALUES(ag_criterion(loss, x, ag_zeros(AG_SHAPE(2))), 1);
    ag_module_free(loss);
    ag_module_free(layer);
}
END_TEST

SUPPORT_MAIN("layers", a_network_prints_to_the_letter_as_in_pytorch, what_a_layer_is_made_with_is_pytorchs_to_the_bit,
             outputs_and_gradients_are_pytorchs, losses_and_their_gradients_are_pytorchs,
             pytorchs_refusals_have_pytorchs_words, options_that_cannot_be_are_refused_with_a_sentence,
             arguments_go_by_position_and_by_name, an_input_of_another_shape_is_refused_with_the_ops_sentence,
             parameters_of_a_layer_can_be_shared_replaced_and_left_out, a_sequential_grows_by_append,
             dropout_looks_at_the_mode_and_draws_only_what_it_must, a_loss_has_two_inputs_and_a_layer_one)

/* gradcheck.c - Jacobians twice: by backward, a row an output element; by central differences, a column an input
 * element. */
#include <argent/gradcheck.h>

#include "autograd/node.h"
#include "tensor/random_fill.h"

#include <argent/factory.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct checker {
    ag_gradcheck_function *function;
    void *user;
    ag_list inputs;
    double eps, atol, rtol, nondet_tol;
    ag_gradcheck_result *result;
} checker;

static const ag_gradcheck_result nothing_found = {
    .input = -1, .output = -1, .element = -1, .output_element = -1, .analytic = NAN, .numeric = NAN
};

/* The verdict is no, for this reason. */
static bool found(const checker *c, int input, int output, const char *message)
{
    if (!c->result) return false;
    c->result->input = input;
    c->result->output = output;
    snprintf(c->result->message, sizeof c->result->message, "%s", message);
    return false;
}
/* The check could not be made: an error stands, or this one. */
static bool cannot(const checker *c, const char *message)
{
    ag__fail(AG_EINVAL, "gradcheck: %s", message);
    return found(c, -1, -1, ag_error());
}

/* The outputs, held by the scope; how many, -1 on failure. */
static int call(const checker *c, ag_variable **outputs)
{
    int n = c->function(c->inputs.at, (int)c->inputs.n, outputs, c->user);
    if (n < 0 || ag_error()) return cannot(c, "the function failed without an error"), -1;
    if (n > AG_GRADCHECK_OUTPUTS) return cannot(c, "the function has more outputs than AG_GRADCHECK_OUTPUTS"), -1;
    for (int k = 0; k < n; k++)
        if (!outputs[k]) return cannot(c, "an output is NULL"), -1;
    return n;
}

static bool is_checked(const ag_variable *x) { return x->requires_grad && ag__is_floating((ag_dtype)x->tensor.dtype); }

/* Where element i in row-major order lies. */
static char *element(const ag_variable *x, int64_t i)
{
    int64_t offset = 0;
    for (int d = x->tensor.ndim; d--; i /= x->tensor.size[d]) offset += i % x->tensor.size[d] * x->tensor.stride[d];
    return x->tensor.data + offset * (int64_t)ag__itemsize(&x->tensor);
}
static double get(const ag_variable *x, int64_t i) { return ag__load(element(x, i), (ag_dtype)x->tensor.dtype); }
static void set(ag_variable *x, int64_t i, double value) { ag__store(element(x, i), (ag_dtype)x->tensor.dtype, value); }

/* d every output element / d element j of x by central differences, into column[]: output o's elements are start[o] to
 * start[o + 1]. */
static bool numeric_column(const checker *c, ag_variable *x, int64_t j, int n_outputs, const int64_t *start,
                           double *column)
{
    double at = get(x, j);
    bool ok = true;
    for (int side = 0; side < 2 && ok; side++) {
        AG_SCOPE;
        ag_variable *y[AG_GRADCHECK_OUTPUTS];
        set(x, j, side ? at + c->eps : at - c->eps);
        ok = call(c, y) == n_outputs;
        for (int o = 0; o < n_outputs && ok; o++) {
            if (y[o]->tensor.numel != start[o + 1] - start[o]) {
                ok = cannot(c, "an output changes its shape from call to call");
                break;
            }
            for (int64_t k = start[o]; k < start[o + 1]; k++) {
                double value = get(y[o], k - start[o]);
                column[k] = side ? (value - column[k]) / (2 * c->eps) : value;
            }
        }
        set(x, j, at); /* only now: an output may be a view of x */
    }
    return ok;
}

/* Row k of the Jacobian of output y, for every checked input: d y[k] / d inputs[i], NULL where there is none. grads
 * belong to the scope. */
static bool analytic_row(const checker *c, ag_variable *y, double factor, int64_t k, int n, ag_variable *const *checked,
                         ag_variable **grads)
{
    if (!y->requires_grad) {
        for (int i = 0; i < n; i++) grads[i] = NULL;
        return true;
    }
    ag_variable *one = ag_zeros(ag_shape(y), .dtype = (ag_dtype)y->tensor.dtype, .device = ag__device(y));
    if (!one) return cannot(c, "out of memory");
    set(one, k, factor);
    bool ok = ag_autograd_grad(AG_LIST(y), ag_list_from(n, checked), grads, .grad_outputs = AG_LIST(one),
                               .retain_graph = true, .allow_unused = true);
    return ok || cannot(c, "backward failed");
}

/* The whole comparison, with the outputs y of one call. numeric: start[n_outputs] numbers an input element. */
static bool compare(const checker *c, int n_outputs, ag_variable *const *y, const int64_t *start, int n,
                    ag_variable *const *checked, const int *number_of, const int64_t *first, const double *numeric)
{
    ag_variable *stack_grads[2][16], **grads = stack_grads[0], **again = stack_grads[1];
    if (n > 16) return cannot(c, "more than 16 inputs that require a gradient");
    int64_t rows = start[n_outputs];
    for (int o = 0; o < n_outputs; o++)
        for (int64_t k = start[o]; k < start[o + 1]; k++) {
            AG_SCOPE;
            if (!analytic_row(c, y[o], 1, k - start[o], n, checked, grads)) return false;
            if (!analytic_row(c, y[o], 1, k - start[o], n, checked, again)) return false;
            for (int i = 0; i < n; i++) {
                if (grads[i] && !ag__same_sizes(&grads[i]->tensor, &checked[i]->tensor))
                    return found(c, number_of[i], o, "the gradient has another shape than the input");
                for (int64_t j = 0; j < checked[i]->tensor.numel; j++) {
                    double a = grads[i] ? get(grads[i], j) : 0, b = numeric[(first[i] + j) * rows + k];
                    double second = again[i] ? get(again[i], j) : 0;
                    if (!(fabs(a - second) <= c->nondet_tol) && !(isnan(a) && isnan(second)))
                        return found(
                            c, number_of[i], o,
                            "Backward is not reentrant, i.e., running backward with same input and grad_output "
                            "multiple times "
                            "gives different values, although analytical gradient matches numerical gradient.");
                    if (fabs(a - b) <= c->atol + c->rtol * fabs(b)) continue;
                    char text[400];
                    snprintf(text, sizeof text,
                             "Jacobian mismatch for output %d with respect to input %d: d output[%lld] / d input[%lld] "
                             "is %.10g by backward and %.10g by "
                             "finite differences (eps %g, atol %g, rtol %g)",
                             o, number_of[i], (long long)(k - start[o]), (long long)j, a, b, c->eps, c->atol, c->rtol);
                    if (c->result) {
                        c->result->element = j;
                        c->result->output_element = k - start[o];
                        c->result->analytic = a;
                        c->result->numeric = b;
                    }
                    return found(c, number_of[i], o, text);
                }
            }
        }
    return true;
}

/* A gradient of zeros comes out as zeros. */
static bool check_zeros(const checker *c, int n_outputs, ag_variable *const *y, int n, ag_variable *const *checked,
                        const int *number_of)
{
    ag_variable *grads[16];
    for (int o = 0; o < n_outputs; o++) {
        AG_SCOPE;
        if (!y[o]->tensor.numel) continue;
        if (!analytic_row(c, y[o], 0, 0, n, checked, grads)) return false;
        for (int i = 0; i < n; i++)
            for (int64_t j = 0; grads[i] && j < checked[i]->tensor.numel; j++)
                if (get(grads[i], j) != 0) return found(c, number_of[i], o, "backward not multiplied by grad_output");
    }
    return true;
}

static bool check(checker *c, bool check_undefined_grad)
{
    if (c->result) *c->result = nothing_found;
    if (!c->function) return cannot(c, "the function is NULL");
    if (ag_error()) return cannot(c, "an error stands");
    ag_variable *checked[16];
    int number_of[16], n = 0;
    int64_t first[17] = { 0 }, columns = 0;
    for (int i = 0; i < c->inputs.n; i++) {
        ag_variable *x = c->inputs.at[i];
        if (!x || x == AG_NONE) return cannot(c, "an input is NULL");
        if (!is_checked(x)) continue;
        if (ag__device(x).type != AG_DEVICE_CPU) return cannot(c, "inputs must be on the CPU");
        if (ag__overlaps_itself(&x->tensor))
            return cannot(c, "an input has a dimension with stride 0. gradcheck only supports inputs that are "
                             "non-overlapping to be able to compute the "
                             "numerical gradients correctly. You should call .contiguous on the input before passing "
                             "it to gradcheck.");
        if (n == 16) return cannot(c, "more than 16 inputs that require a gradient");
        checked[n] = x;
        number_of[n++] = i;
        columns += x->tensor.numel;
        first[n] = columns;
    }
    if (!n)
        return cannot(
            c, "expects at least one input tensor to require gradient, but none of the them have requires_grad=True.");

    AG_SCOPE;
    AG_ENABLE_GRAD;
    ag_variable *y[AG_GRADCHECK_OUTPUTS];
    int n_outputs = call(c, y);
    if (n_outputs < 0) return false;
    int64_t start[AG_GRADCHECK_OUTPUTS + 1] = { 0 };
    for (int o = 0; o < n_outputs; o++) {
        if (!ag__is_floating((ag_dtype)y[o]->tensor.dtype)) return cannot(c, "an output is not of a floating type");
        start[o + 1] = start[o] + y[o]->tensor.numel;
    }
    double *numeric = ag__scratch((size_t)(columns * start[n_outputs]) * sizeof(double));
    if (!numeric) return cannot(c, "out of memory");
    bool ok = true;
    for (int i = 0; i < n && ok; i++)
        for (int64_t j = 0; j < checked[i]->tensor.numel && ok; j++)
            ok = numeric_column(c, checked[i], j, n_outputs, start, numeric + (first[i] + j) * start[n_outputs]);
    ok = ok && compare(c, n_outputs, y, start, n, checked, number_of, first, numeric);
    ok = ok && (!check_undefined_grad || check_zeros(c, n_outputs, y, n, checked, number_of));
    ag__scratch_free(numeric);
    if (c->result) c->result->passed = ok;
    return ok;
}

bool ag_gradcheck_call(const struct ag_gradcheck_args *a)
{
    checker c = { a->function, a->user, a->inputs, a->eps, a->atol, a->rtol, a->nondet_tol, a->result };
    return check(&c, a->check_undefined_grad);
}

/* ---- the second order: the function that maps (inputs, grad_outputs) to the inputs' gradients ---- */

typedef struct second_order {
    ag_gradcheck_function *function;
    void *user;
    int n_inputs;
} second_order;

/* x: the inputs, then a factor for each output that requires a gradient. */
static int gradients(ag_variable *const *x, int n, ag_variable **out, void *user)
{
    const second_order *s = user;
    ag_variable *y[AG_GRADCHECK_OUTPUTS], *wanted[16], *grads[16], *differentiable[AG_GRADCHECK_OUTPUTS];
    int n_y = s->function(x, s->n_inputs, y, s->user), n_wanted = 0, n_differentiable = 0, n_out = 0;
    if (n_y < 0 || n_y > AG_GRADCHECK_OUTPUTS) return -1;
    for (int o = 0; o < n_y; o++) {
        if (!y[o]) return -1;
        if (y[o]->requires_grad) differentiable[n_differentiable++] = y[o];
    }
    if (n_differentiable != n - s->n_inputs)
        return ag__fail(AG_EINVAL, "gradgradcheck: the function's outputs change from call to call"), -1;
    for (int i = 0; i < s->n_inputs; i++)
        if (is_checked(x[i])) wanted[n_wanted++] = x[i];
    if (!ag_autograd_grad(ag_list_from(n_differentiable, differentiable), ag_list_from(n_wanted, wanted), grads,
                          .grad_outputs = ag_list_from(n_differentiable, x + s->n_inputs), .create_graph = true,
                          .allow_unused = true))
        return -1;
    for (int i = 0; i < n_wanted; i++)
        if (grads[i] && n_out < AG_GRADCHECK_OUTPUTS) out[n_out++] = grads[i];
    return n_out;
}

/* A factor for each element of y, drawn from [-1, 1). */
static ag_variable *draw_like(ag_generator *generator, const ag_variable *y, bool with_gaps)
{
    Thread *t = ag__thread();
    int64_t size[AG_MAX_DIMS], stride[AG_MAX_DIMS];
    int ndim = y->tensor.ndim;
    memcpy(size, y->tensor.size, sizeof size);
    ag_variable *g;
    if (with_gaps && ndim) { /* every other element of the last dimension of something twice as long */
        size[ndim - 1] *= 2;
        ag_variable *wide = ag__new(t, ndim, size, (ag_dtype)y->tensor.dtype, ag__device(y));
        if (!wide) return NULL;
        size[ndim - 1] /= 2;
        memcpy(stride, wide->tensor.stride, sizeof stride);
        stride[ndim - 1] = 2;
        g = ag__view_of(t, wide, ndim, size, stride, 0);
    } else {
        g = ag__new(t, ndim, size, (ag_dtype)y->tensor.dtype, ag__device(y));
    }
    if (!g || !ag__random_uniform(generator, &g->tensor, -1, 1)) return NULL;
    return ag_requires_grad_on(g);
}

bool ag_gradgradcheck_call(const struct ag_gradgradcheck_args *a)
{
    checker first = { .function = a->function, .user = a->user, .inputs = a->inputs, .result = a->result };
    second_order s = { a->function, a->user, (int)a->inputs.n };
    if (a->result) *a->result = nothing_found;
    if (!a->function) return cannot(&first, "the function is NULL");
    if (ag_error()) return cannot(&first, "an error stands");
    for (int64_t i = 0; i < a->inputs.n; i++)
        if (!a->inputs.at[i] || a->inputs.at[i] == AG_NONE) return cannot(&first, "an input is NULL");
    AG_SCOPE;
    AG_ENABLE_GRAD;
    ag_variable *all[16 + AG_GRADCHECK_OUTPUTS];
    if (a->inputs.n > 16) return cannot(&first, "more than 16 inputs");
    int n = (int)a->inputs.n;
    memcpy(all, a->inputs.at, (size_t)n * sizeof *all);
    if (a->grad_outputs.n) {
        if (a->grad_outputs.n > AG_GRADCHECK_OUTPUTS)
            return cannot(&first, "more grad_outputs than AG_GRADCHECK_OUTPUTS");
        for (int64_t k = 0; k < a->grad_outputs.n; k++) all[n++] = a->grad_outputs.at[k];
    } else {
        ag_variable *y[AG_GRADCHECK_OUTPUTS];
        int n_y = call(&first, y);
        if (n_y < 0) return false;
        ag_generator *generator = ag_generator_new();
        if (!generator) return cannot(&first, "out of memory");
        bool ok = true;
        for (int o = 0; o < n_y && ok; o++)
            if (y[o]->requires_grad)
                ok = (all[n++] = draw_like(generator, y[o], a->gen_non_contig_grad_outputs)) != NULL;
        ag_generator_free(generator);
        if (!ok) return cannot(&first, "out of memory");
    }
    checker c = { gradients, &s, ag_list_from(n, all), a->eps, a->atol, a->rtol, a->nondet_tol, a->result };
    return check(&c, true);
}

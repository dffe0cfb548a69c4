/* gradcheck.c - Jacobians twice: by backward, a row an output element; by central differences, a column an input
 * element. In fast mode one random combination of rows and columns instead of all of them. The function is computed
 * where its inputs are; numbers are compared on the host. */
#include "autograd/gradcheck_check.h"
#include "tensor/fail.h"
#include "tensor/random_fill.h"

#include <argent/factory.h>

#include <math.h>
#include <string.h>

static const ag_gradcheck_result nothing_found = {
    .input = -1, .output = -1, .element = -1, .output_element = -1, .analytic = NAN, .numeric = NAN
};

/* ---- the verdict ---- */

static int number_of_output(const ag_checker *c, int o)
{
    int place = c->place_of[o];
    return c->output_number ? c->output_number[place] : place;
}

/* The verdict is no, for this reason. i and o: a checked input and output, or -1. */
static bool found(const ag_checker *c, int i, int o, const char *format, ...) __attribute__((format(printf, 4, 5)));
static bool found(const ag_checker *c, int i, int o, const char *format, ...)
{
    ag_gradcheck_result *r = c->result;
    if (!r) return false;
    r->input = i < 0 ? -1 : c->number_of[i];
    r->output = o < 0 ? -1 : number_of_output(c, o);
    va_list args;
    va_start(args, format);
    ag__format_list(r->message, sizeof r->message, format, args);
    va_end(args);
    return false;
}

static bool found_mismatch(const ag_checker *c, int i, int o, int64_t element, int64_t output_element, double analytic,
                           double numeric)
{
    if (c->result) {
        c->result->element = element;
        c->result->output_element = output_element;
        c->result->analytic = analytic;
        c->result->numeric = numeric;
    }
    return found(c, i, o,
                 "Jacobian mismatch for output %d with respect to input %d, d output[%lld] / d input[%lld]: numerical: "
                 "%.10g, analytical: %.10g (eps=%g, atol=%g, rtol=%g)",
                 number_of_output(c, o), c->number_of[i], (long long)output_element, (long long)element, numeric,
                 analytic, c->eps, c->atol, c->rtol);
}

bool ag__gradcheck_cannot(const ag_checker *c, const char *message)
{
    ag__fail(AG_EINVAL, "%s: %s", c->name, message);
    return found(c, -1, -1, "%s", ag_error());
}

/* A failure of what is not in double precision comes with PyTorch's warning. */
static void add_warning(const ag_checker *c)
{
    for (int i = 0; c->result && i < c->n; i++) {
        if (c->checked[i]->tensor.dtype == AG_FLOAT64) continue;
        size_t used = strlen(c->result->message);
        ag__format(c->result->message + used, sizeof c->result->message - used,
                   "%sInput #%d requires gradient and is not a double precision floating point or complex. This check "
                   "will likely fail if all the inputs are not of double precision floating point or complex.",
                   used ? " " : "", c->number_of[i]);
        return;
    }
}

/* torch.isclose */
static bool is_close(double a, double b, double atol, double rtol)
{
    return a == b || (isfinite(b) && fabs(a - b) <= atol + rtol * fabs(b));
}

/* ---- numbers, wherever they lie ---- */

/* Element i in row-major order. */
static ag_tensor element_of(const ag_variable *x, int64_t i)
{
    ag_tensor element = x->tensor;
    int64_t offset = 0;
    for (int d = x->tensor.ndim; d--; i /= x->tensor.size[d]) offset += i % x->tensor.size[d] * x->tensor.stride[d];
    element.data += offset * (int64_t)ag__itemsize(&x->tensor);
    element.ndim = 0;
    element.numel = 1;
    element.contiguous = true;
    return element;
}
static bool read_one(const ag_checker *c, const ag_variable *x, int64_t i, double *value)
{
    const ag_tensor element = element_of(x, i);
    char bytes[8];
    if (!ag__read_element(&element, bytes)) return ag__gradcheck_cannot(c, "an input cannot be read");
    *value = ag__load(bytes, (ag_dtype)x->tensor.dtype);
    return true;
}
/* All of x, row-major. */
static bool read_all(const ag_checker *c, const ag_variable *x, double *to)
{
    return ag_copy_to(x, to, AG_FLOAT64) || ag__gradcheck_cannot(c, "numbers cannot be read");
}

static bool write(const ag_checker *c, const ag_tensor *to, const double *from)
{
    ag_storage host = { .device = AG_CPU };
    ag_tensor x = *to; /* row-major in the host's memory */
    x.data = (char *)(uintptr_t)from;
    x.dtype = AG_FLOAT64;
    x.contiguous = true;
    ag__contiguous_strides(x.ndim, x.size, x.stride);
    x.storage = &host;
    return !to->numel || ag__copy_tensor(to, &x) || ag__gradcheck_cannot(c, "numbers cannot be changed");
}
static bool write_one(const ag_checker *c, const ag_variable *x, int64_t i, double value)
{
    const ag_tensor element = element_of(x, i);
    return write(c, &element, &value);
}

/* For n numbers; ag__scratch_free lets it go. */
static double *make_room(const ag_checker *c, int64_t n)
{
    double *at = ag__scratch((size_t)(n + 1) * sizeof *at);
    if (!at) ag__gradcheck_cannot(c, "out of memory");
    return at;
}

/* ---- the function ---- */

int ag__gradcheck_outputs(const ag_checker *c, ag_variable **outputs)
{
    int n = c->function(c->inputs.at, (int)c->inputs.n, outputs, c->user);
    if (n < 0 || ag_error()) return ag__gradcheck_cannot(c, "the function failed without an error"), -1;
    if (n > AG_GRADCHECK_OUTPUTS)
        return ag__gradcheck_cannot(c, "the function has more outputs than AG_GRADCHECK_OUTPUTS"), -1;
    for (int k = 0; k < n; k++)
        if (!outputs[k] || outputs[k] == AG_NONE) return ag__gradcheck_cannot(c, "an output is NULL"), -1;
    return n;
}

/* Adds factor times the checked outputs of one more call to values[]. */
static bool add_values(const ag_checker *c, double factor, double *values)
{
    AG_SCOPE;
    ag_variable *y[AG_GRADCHECK_OUTPUTS];
    int n = ag__gradcheck_outputs(c, y);
    if (n < 0) return false;
    if (n != c->n_all) return ag__gradcheck_cannot(c, "the function's outputs change from call to call");
    for (int o = 0; o < c->n_outputs; o++) {
        const ag_variable *v = y[c->place_of[o]];
        if (!ag__same_sizes(&v->tensor, &c->y[o]->tensor))
            return ag__gradcheck_cannot(c, "an output changes its shape from call to call");
        double *now = make_room(c, v->tensor.numel);
        const bool ok = now && read_all(c, v, now);
        for (int64_t k = 0; ok && k < v->tensor.numel; k++) values[c->start[o] + k] += factor * now[k];
        ag__scratch_free(now);
        if (!ok) return false;
    }
    return true;
}

/* The gradients of the checked inputs for this factor of output o, held by the scope; NULL where there is none. */
static bool backward(const ag_checker *c, int o, ag_variable *factor, ag_variable **grads)
{
    bool ok = ag_autograd_grad(AG_LIST(c->y[o]), ag_list_from(c->n, c->checked), grads, .grad_outputs = AG_LIST(factor),
                               .retain_graph = true, .allow_unused = true);
    return ok || ag__gradcheck_cannot(c, "backward failed");
}
/* The gradient of input i, zeros where there is none. */
static bool read_gradient(const ag_checker *c, int i, ag_variable *const *grads, double *to)
{
    if (grads[i]) return read_all(c, grads[i], to);
    for (int64_t j = 0; j < c->checked[i]->tensor.numel; j++) to[j] = 0;
    return true;
}
static ag_variable *zeros_for(const ag_checker *c, int o)
{
    const ag_variable *y = c->y[o];
    ag_variable *zeros = ag_zeros(ag_shape(y), .dtype = (ag_dtype)y->tensor.dtype, .device = ag__device(y));
    if (!zeros) ag__gradcheck_cannot(c, "out of memory");
    return zeros;
}

/* ---- element by element ---- */

/* d every output element / d element j of input i, into column[] */
static bool numeric_column(const ag_checker *c, int i, int64_t j, double *column)
{
    ag_variable *x = c->checked[i];
    int64_t rows = c->start[c->n_outputs];
    double at = 0;
    if (!read_one(c, x, j, &at)) return false;
    for (int64_t k = 0; k < rows; k++) column[k] = 0;
    bool ok = write_one(c, x, j, at + c->eps) && add_values(c, 1, column);
    ok = ok && write_one(c, x, j, at - c->eps) && add_values(c, -1, column);
    ok = write_one(c, x, j, at) && ok;
    for (int64_t k = 0; k < rows; k++) column[k] /= 2 * c->eps;
    return ok;
}

/* d element k of output o / d every input element, twice by backward. */
static bool analytic_rows(const ag_checker *c, int o, int64_t k, double *row, double *again)
{
    AG_SCOPE;
    ag_variable *one = zeros_for(c, o), *grads[AG_GRADCHECK_INPUTS];
    bool ok = one && write_one(c, one, k, 1);
    for (int pass = 0; pass < 2 && ok; pass++) {
        ok = backward(c, o, one, grads);
        for (int i = 0; i < c->n && ok; i++) ok = read_gradient(c, i, grads, (pass ? again : row) + c->first[i]);
    }
    return ok;
}

/* The Jacobians agree. numeric: start[n_outputs] numbers an input element; work: room for two rows. */
static bool compare(const ag_checker *c, const double *numeric, double *work)
{
    int64_t rows = c->start[c->n_outputs];
    double *row = work, *again = work + c->first[c->n];
    int other_input = -1, other_output = -1; /* where a second backward gave something else */
    for (int o = 0; o < c->n_outputs; o++)
        for (int64_t k = c->start[o]; k < c->start[o + 1]; k++) {
            if (!analytic_rows(c, o, k - c->start[o], row, again)) return false;
            for (int i = 0; i < c->n; i++)
                for (int64_t at = c->first[i]; at < c->first[i + 1]; at++) {
                    double a = row[at], b = again[at], n = numeric[at * rows + k];
                    if (!is_close(a, n, c->atol, c->rtol))
                        return found_mismatch(c, i, o, at - c->first[i], k - c->start[o], a, n);
                    if (!(fabs(a - b) <= c->nondet_tol) && a != b && other_input < 0) other_input = i, other_output = o;
                }
        }
    if (other_input < 0) return true;
    return found(c, other_input, other_output,
                 "Backward is not reentrant, i.e., running backward with same input and grad_output multiple times "
                 "gives different values, although analytical gradient matches numerical gradient. The tolerance for "
                 "nondeterminism was %g.",
                 c->nondet_tol);
}

static bool check_elements(const ag_checker *c)
{
    int64_t rows = c->start[c->n_outputs], columns = c->first[c->n];
    double *numeric = make_room(c, columns * rows + 2 * columns);
    bool ok = numeric != NULL;
    for (int i = 0; i < c->n && ok; i++)
        for (int64_t j = 0; j < c->checked[i]->tensor.numel && ok; j++)
            ok = numeric_column(c, i, j, numeric + (c->first[i] + j) * rows);
    ok = ok && compare(c, numeric, numeric + columns * rows);
    ag__scratch_free(numeric);
    return ok;
}

/* No output wants a gradient: then none may change with the inputs. */
static bool check_constant(const ag_checker *c)
{
    int64_t rows = c->start[c->n_outputs];
    double *column = make_room(c, rows);
    bool ok = column != NULL;
    for (int i = 0; i < c->n && ok; i++)
        for (int64_t j = 0; j < c->checked[i]->tensor.numel && ok; j++) {
            ok = numeric_column(c, i, j, column);
            for (int o = 0; o < c->n_outputs && ok; o++)
                for (int64_t k = c->start[o]; k < c->start[o + 1] && ok; k++)
                    if (column[k] != 0) {
                        found_mismatch(c, i, o, j, k - c->start[o], 0, column[k]);
                        ok = found(c, i, o, "Numerical gradient for function expected to be zero");
                    }
        }
    ag__scratch_free(column);
    return ok;
}

/* ---- fast mode: v^T J u for random v and u of length 1 ---- */

/* n numbers, positive, whose squares add up to 1. */
static bool draw_direction(const ag_checker *c, ag_generator *generator, int64_t n, double *to)
{
    AG_SCOPE;
    ag_variable *x = ag_empty(AG_SHAPE(n), .dtype = AG_FLOAT64);
    if (!x || !ag__random_uniform(generator, &x->tensor, 0, 1)) return ag__gradcheck_cannot(c, "out of memory");
    if (!read_all(c, x, to)) return false;
    double squares = 0;
    for (int64_t j = 0; j < n; j++) squares += to[j] * to[j];
    for (int64_t j = 0; j < n; j++) to[j] /= sqrt(squares);
    return true;
}
static double sum_of(int64_t n, const double *at)
{
    double sum = 0;
    for (int64_t k = 0; k < n; k++) sum += at[k];
    return sum;
}

/* Input i becomes was + by * u; work: room for it. */
static bool move(const ag_checker *c, int i, const double *was, double by, const double *u, double *work)
{
    const ag_tensor *x = &c->checked[i]->tensor;
    for (int64_t j = 0; j < x->numel; j++) work[j] = was[j] + by * u[j];
    return write(c, x, work);
}

/* The combinations agree; otherwise *element_by_element, which says where they do not. work: room for every column
 * three times and every row twice. */
static bool compare_combined(const ag_checker *c, ag_generator *generator, double *work, bool *element_by_element)
{
    int64_t columns = c->first[c->n], rows = c->start[c->n_outputs];
    double *u = work, *was = u + columns, *now = was + columns, *v = now + columns, *change = v + rows;
    ag_variable *grads[AG_GRADCHECK_INPUTS];
    for (int i = 0; i < c->n; i++)
        if (!draw_direction(c, generator, c->first[i + 1] - c->first[i], u + c->first[i])) return false;
    for (int o = 0; o < c->n_outputs; o++)
        if (!draw_direction(c, generator, c->start[o + 1] - c->start[o], v + c->start[o])) return false;
    for (int i = 0; i < c->n; i++) {
        const double *direction = u + c->first[i];
        int64_t n = c->first[i + 1] - c->first[i];
        if (!read_all(c, c->checked[i], was)) return false;
        for (int64_t k = 0; k < rows; k++) change[k] = 0;
        bool ok = move(c, i, was, c->eps, direction, now) && add_values(c, 1, change);
        ok = ok && move(c, i, was, -c->eps, direction, now) && add_values(c, -1, change);
        ok = write(c, &c->checked[i]->tensor, was) && ok;
        if (!ok) return false;
        for (int o = 0; o < c->n_outputs; o++) {
            AG_SCOPE;
            ag_variable *factor = zeros_for(c, o);
            double numeric = 0, analytic = 0, *weight = v + c->start[o];
            int64_t m = c->start[o + 1] - c->start[o];
            if (!factor || !write(c, &factor->tensor, weight) || !backward(c, o, factor, grads)) return false;
            if (!read_gradient(c, i, grads, now)) return false;
            for (int64_t k = 0; k < m; k++) numeric += weight[k] * change[c->start[o] + k] / (2 * c->eps);
            for (int64_t j = 0; j < n; j++) analytic += direction[j] * now[j];
            double atol = c->atol * sum_of(n, direction) * sum_of(m, weight); /* atol at each element, so combined */
            *element_by_element = *element_by_element || !is_close(analytic, numeric, atol, c->rtol);
        }
    }
    return true;
}

static bool check_combined(const ag_checker *c)
{
    ag_generator *generator = ag_generator_new(); /* the default one stays as it is */
    double *work = make_room(c, 3 * c->first[c->n] + 2 * c->start[c->n_outputs]);
    bool element_by_element = false, ok = work && (generator || ag__gradcheck_cannot(c, "out of memory"));
    ok = ok && compare_combined(c, generator, work, &element_by_element);
    ag__scratch_free(work);
    ag_generator_free(generator);
    if (!ok || !element_by_element) return ok;
    return check_elements(c) &&
           found(c, -1, -1,
                 "Fast gradcheck failed but element-wise differences are small. This means that the test might've "
                 "passed in slow_mode!");
}

/* ---- zeros and nothing ---- */

/* Gradients of zeros for all outputs but one (-1: for all) come out as zeros, or as nothing. */
static bool gives_zeros(const ag_checker *c, int left_out, const char *otherwise)
{
    AG_SCOPE;
    ag_variable *grads[AG_GRADCHECK_INPUTS], *roots[AG_GRADCHECK_OUTPUTS], *zeros[AG_GRADCHECK_OUTPUTS];
    int n = 0;
    for (int o = 0; o < c->n_outputs; o++) {
        if (o == left_out || !c->y[o]->tensor.numel) continue;
        roots[n] = c->y[o];
        if (!(zeros[n++] = zeros_for(c, o))) return false;
    }
    if (!n) return true;
    if (!ag_autograd_grad(ag_list_from(n, roots), ag_list_from(c->n, c->checked), grads,
                          .grad_outputs = ag_list_from(n, zeros), .retain_graph = true, .allow_unused = true))
        return ag__gradcheck_cannot(c, "backward failed");
    bool ok = true;
    for (int i = 0; i < c->n && ok; i++) {
        double *g = make_room(c, c->checked[i]->tensor.numel);
        ok = g && read_gradient(c, i, grads, g);
        for (int64_t j = 0; ok && j < c->checked[i]->tensor.numel; j++)
            if (g[j] != 0) ok = found(c, i, left_out, "%s", otherwise);
        ag__scratch_free(g);
    }
    return ok;
}
static bool check_multiplied(const ag_checker *c)
{
    return gives_zeros(c, -1, "backward not multiplied by grad_output");
}
static bool check_undefined(const ag_checker *c)
{
    bool ok = true;
    for (int o = 0; o < c->n_outputs && c->n_outputs > 1 && ok; o++)
        ok = gives_zeros(c, o,
                         "Expected backward function to handle undefined output grads. Please look at \"Notes about "
                         "undefined output gradients\" in \"tools/autograd/derivatives.yaml\"");
    return ok;
}

/* ---- the whole ---- */

static bool choose_inputs(ag_checker *c)
{
    if (!c->function) return ag__gradcheck_cannot(c, "the function is NULL");
    if (ag_error()) return ag__gradcheck_cannot(c, "an error stands");
    for (int i = 0; i < c->inputs.n; i++) {
        ag_variable *x = c->inputs.at[i];
        char text[AG_ERROR_BYTES];
        if (!x || x == AG_NONE) return ag__gradcheck_cannot(c, "an input is NULL");
        if (!ag__requires_grad(x)) continue;
        if (ag__overlaps_itself(&x->tensor)) {
            ag__format(text, sizeof text,
                       "The %dth input has a dimension with stride 0. gradcheck only supports inputs that are "
                       "non-overlapping to be able to compute the numerical gradients correctly. You should call "
                       ".contiguous on the input before passing it to gradcheck.",
                       i);
            return ag__gradcheck_cannot(c, text);
        }
        if (c->n == AG_GRADCHECK_INPUTS) return ag__gradcheck_cannot(c, "more than 64 inputs that require a gradient");
        c->checked[c->n] = x;
        c->number_of[c->n] = i;
        c->first[c->n + 1] = c->first[c->n] + x->tensor.numel;
        c->n++;
    }
    return c->n || ag__gradcheck_cannot(c, "gradcheck expects at least one input tensor to require gradient, but none "
                                           "of the them have requires_grad=True.");
}

/* Those that want a gradient; where none does, *constant, and all that could. */
static bool choose_outputs(ag_checker *c, bool *constant)
{
    ag_variable *y[AG_GRADCHECK_OUTPUTS];
    c->n_all = ag__gradcheck_outputs(c, y);
    if (c->n_all < 0) return false;
    *constant = true;
    for (int o = 0; o < c->n_all; o++) *constant = *constant && !ag__requires_grad(y[o]);
    for (int o = 0; o < c->n_all; o++) {
        if (!(*constant ? ag__is_floating((ag_dtype)y[o]->tensor.dtype) : ag__requires_grad(y[o]))) continue;
        c->y[c->n_outputs] = y[o];
        c->place_of[c->n_outputs] = o;
        c->start[c->n_outputs + 1] = c->start[c->n_outputs] + y[o]->tensor.numel;
        c->n_outputs++;
    }
    return true;
}

bool ag__gradcheck(ag_checker *c)
{
    bool constant;
    if (c->result) *c->result = nothing_found;
    AG_SCOPE;
    AG_ENABLE_GRAD;
    if (!choose_inputs(c) || !choose_outputs(c, &constant)) return false;
    bool ok = constant ? check_constant(c) : c->fast_mode ? check_combined(c) : check_elements(c);
    ok = ok && (constant || check_multiplied(c));
    ok = ok && (constant || !c->check_undefined_grad || check_undefined(c));
    if (!ok && !ag_error()) add_warning(c);
    if (c->result) c->result->passed = ok;
    return ok;
}

bool ag_gradcheck_call(const struct ag_gradcheck_args *a)
{
    ag_checker c = { .name = "gradcheck",
                     .function = a->function,
                     .user = a->user,
                     .inputs = a->inputs,
                     .eps = a->eps,
                     .atol = a->atol,
                     .rtol = a->rtol,
                     .nondet_tol = a->nondet_tol,
                     .check_undefined_grad = a->check_undefined_grad,
                     .fast_mode = a->fast_mode,
                     .result = a->result };
    return ag__gradcheck(&c);
}

/* gradients.c - a user's program: functions of its own, their gradients checked, a Hessian times a vector. Prints
 * "fine". */
#include <argent/argent.h>

typedef struct {
    double delta;
} Huber;

/* mean of the Huber loss of x - y */
static int huber(Variable *const *inputs, int n, Variable **outputs, void *user)
{
    const Huber *h = user;
    Variable *d = ag_sub(inputs[0], inputs[1]), *size = ag_abs(d);
    Variable *quadratic = ag_mul(ag_scalar(0.5), ag_square(d));
    Variable *linear = ag_mul(ag_scalar(h->delta), ag_sub(size, ag_scalar(0.5 * h->delta)));
    outputs[0] = ag_mean(ag_where(ag_le(size, ag_scalar(h->delta)), quadratic, linear));
    return n == 2;
}

/* softmax(q k^T / 2) v */
static int attention(Variable *const *inputs, int n, Variable **outputs, void *user)
{
    (void)user;
    Variable *scores = ag_div(ag_matmul(inputs[0], ag_transpose(inputs[1], 0, 1)), ag_scalar(2));
    outputs[0] = ag_matmul(ag_softmax(scores, 1), inputs[2]);
    return n == 3;
}

static Variable *draw(int64_t rows, int64_t columns)
{
    return ag_randn(AG_SHAPE(rows, columns), .dtype = AG_FLOAT64, .requires_grad = true);
}

static int fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, ag_error() ? ag_error() : "no error");
    return 1;
}

int main(void)
{
    AG_SCOPE;
    ag_manual_seed(3);
    Huber h = { 0.7 };
    ag_gradcheck_result found;
    if (!ag_gradcheck(huber, AG_LIST(draw(4, 5), draw(4, 5)), .user = &h, .result = &found)) return fail("huber");
    Variable *q = draw(3, 4), *k = draw(6, 4), *v = draw(6, 2);
    if (!ag_gradcheck(attention, AG_LIST(q, k, v))) return fail("attention");
    if (!ag_gradgradcheck(attention, AG_LIST(q, k, v))) return fail("attention, second order");

    /* d/dx (gradient of sum x^3, times v) = 6 x v */
    Variable *x = ag_tensor(((double[]){ 1, 2, 3 }), AG_SHAPE(3), .requires_grad = true), *gradient, *product;
    Variable *along = ag_tensor(((double[]){ 1, 0, -1 }), AG_SHAPE(3));
    ag_autograd_grad(AG_LIST(ag_sum(ag_pow(x, ag_scalar(3)))), AG_LIST(x), &gradient, .create_graph = true);
    ag_autograd_grad(AG_LIST(ag_sum(ag_mul(gradient, along))), AG_LIST(x), &product);
    if (!ag_allclose(product, ag_tensor(((double[]){ 6, 0, -18 }), AG_SHAPE(3)))) return fail("Hessian times vector");
    puts("fine");
    return 0;
}

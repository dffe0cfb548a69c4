/* autograd.c - the code of docs/autograd.md. */
#include <argent/argent.h>

static int f(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n, (void)user;
    y[0] = ag_mul(ag_tanh(x[0]), x[1]);
    return 1; /* how many outputs there are */
}

static bool check_a_gradient(Variable *a, Variable *b)
{
    ag_gradcheck_result found;
    if (!ag_gradcheck(f, AG_LIST(a, b), .result = &found)) puts(found.message);
    return found.passed;
}

static Variable *penalty(Variable *x, Variable *y)
{
    Variable *g;
    ag_autograd_grad(AG_LIST(y), AG_LIST(x), &g, .create_graph = true);
    return ag_mean(ag_square(g)); /* can be differentiated again */
}

int main(void)
{
    AG_SCOPE;
    Variable *a = ag_randn(AG_SHAPE(2, 3), .dtype = AG_FLOAT64, .requires_grad = true);
    Variable *b = ag_randn(AG_SHAPE(3), .dtype = AG_FLOAT64, .requires_grad = true);
    if (!check_a_gradient(a, b)) return 1;
    ag_backward(penalty(a, ag_sum(ag_mul(a, ag_mul(a, b)))));
    return ag_error() || !ag_grad(b);
}

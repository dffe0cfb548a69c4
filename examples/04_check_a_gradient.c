/* 04_check_a_gradient.c - is a gradient right? Backward against finite differences, as torch.autograd.gradcheck does
 * it. */
#include <argent/argent.h>

/* f(x, w) = tanh(x w) */
static int layer(Variable *const *inputs, int n, Variable **outputs, void *user)
{
    (void)n, (void)user;
    outputs[0] = ag_tanh(ag_mm(inputs[0], inputs[1]));
    return 1;
}

/* x^2, but one factor has been cut off from its history: backward gives half of the derivative. */
static int half_forgotten(Variable *const *inputs, int n, Variable **outputs, void *user)
{
    (void)n, (void)user;
    outputs[0] = ag_mul(inputs[0], ag_detach(inputs[0]));
    return 1;
}

int main(void)
{
    AG_SCOPE;
    ag_manual_seed(0);

    /* float64: in float32 differences are too coarse to tell. */
    Variable *x = ag_randn(AG_SHAPE(3, 4), .dtype = AG_FLOAT64, .requires_grad = true);
    Variable *w = ag_randn(AG_SHAPE(4, 2), .dtype = AG_FLOAT64, .requires_grad = true);
    printf("layer: %s\n", ag_gradcheck(layer, AG_LIST(x, w)) ? "right" : "wrong");
    printf("its gradient's gradient: %s\n", ag_gradgradcheck(layer, AG_LIST(x, w)) ? "right" : "wrong");

    ag_gradcheck_result found;
    Variable *three = ag_full(AG_SHAPE(1), 3, .dtype = AG_FLOAT64, .requires_grad = true);
    if (!ag_gradcheck(half_forgotten, AG_LIST(three), .result = &found))
        printf("half_forgotten: input %d, element %lld: backward says %.4f, differences %.4f\n", found.input,
               (long long)found.element, found.analytic, found.numeric);
    ag_clear_error();
    return 0;
}

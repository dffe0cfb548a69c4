/* 02_first_gradient.c - what autograd is for: derivatives of what was calculated. */
#include <argent/argent.h>

int main(void)
{
    AG_SCOPE;

    /* A leaf that wants a gradient. Whatever is made from it remembers how. */
    Variable *x = ag_tensor(((double[]){ 1, 2, 3 }), AG_SHAPE(3), .requires_grad = true);
    Variable *y = ag_sum(ag_mul(x, ag_mul(x, x))); /* the sum of x^3 */
    ag_print(y, stdout);
    printf("made by %s\n", ag_node_name(ag_grad_fn(y)));

    /* backward adds dy/dx = 3 x^2 into x's gradient. */
    ag_backward(y);
    ag_print(ag_grad(x), stdout);

    /* A second time it adds up: zero it, or drop it by AG_NONE, before each step of a training. */
    ag_backward(ag_sum(ag_mul(x, x)));
    ag_print(ag_grad(x), stdout);
    ag_set_grad(x, AG_NONE);

    /* Gradients of gradients: record the walk itself. d(sum of x^4)/dx = 4 x^3, and the sum of that has 12 x^2. */
    Variable *square = ag_mul(x, x), *first, *second;
    ag_autograd_grad(AG_LIST(ag_sum(ag_mul(square, square))), AG_LIST(x), &first, .create_graph = true);
    ag_autograd_grad(AG_LIST(ag_sum(first)), AG_LIST(x), &second);
    ag_print(first, stdout);
    ag_print(second, stdout);

    /* Without a graph, where none is needed. */
    {
        AG_NO_GRAD;
        printf("wants a gradient: %s\n", ag_requires_grad(ag_mul(x, x)) ? "yes" : "no");
    }

    /* One test at the end: the first error stands, and nothing is changed after it. */
    if (ag_error()) fprintf(stderr, "%s\n", ag_error());
    return ag_error() != NULL;
}

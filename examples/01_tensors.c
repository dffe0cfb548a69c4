/* 01_tensors.c - numbers in shapes: making them, calculating with them, looking at them. */
#include <argent/argent.h>

int main(void)
{
    /* What functions make belongs to the innermost scope; it goes when the block is left. Nothing is freed by hand. */
    AG_SCOPE;

    /* From numbers of one's own: the type is the array's. */
    Variable *a = ag_tensor(((float[]){ 1, 2, 3, 4, 5, 6 }), AG_SHAPE(2, 3));
    ag_print(a, stdout);

    /* Calls nest. A number becomes a Variable by ag_scalar; a row is added to each row (broadcasting). */
    Variable *row = ag_tensor(((float[]){ 10, 20, 30 }), AG_SHAPE(3));
    ag_print(ag_add(ag_mul(a, ag_scalar(2)), row), stdout);

    /* Options go by name. */
    ag_print(ag_sum(a, .dim = 1, .keepdim = true), stdout);
    ag_print(ag_full(AG_SHAPE(2, 2), 0.5, .dtype = AG_FLOAT64), stdout);

    /* A view is another look at the same memory: changing one changes the other. */
    Variable *column = ag_select(a, 1, 0);
    ag_fill_(column, -1);
    ag_print(a, stdout);
    ag_print(ag_t(a), stdout);

    /* Attributes are functions. */
    printf("%d dimensions, %lld elements, the last of them %g\n", ag_dim(a), (long long)ag_numel(a),
           ag_item(ag_select(ag_select(a, 0, 1), 0, 2)));

    /* The same seed gives PyTorch's numbers. */
    ag_manual_seed(0);
    ag_print(ag_rand(AG_SHAPE(2, 2)), stdout);

    /* A wrong call gives NULL and leaves a sentence, which stands until it is cleared. */
    if (!ag_add(a, ag_ones(AG_SHAPE(4)))) printf("%s\n", ag_error());
    ag_clear_error();
    return 0;
}

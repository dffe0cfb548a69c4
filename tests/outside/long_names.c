/* long_names.c - without the short names: a program may use them for things of its own. Prints "fine". */
#define AG_NO_SHORT_NAMES
#include <argent/argent.h>

typedef struct {
    int Variable, Module, Optimizer, Shape, List;
} Dataset;
enum Generator { Node, DataLoader, Batch, Transform };

int main(void)
{
    Dataset mine = { 1, 2, 3, 4, 5 };
    enum Generator which = Batch;
    AG_SCOPE;
    ag_variable *x = ag_ones(AG_SHAPE(2, 2), .requires_grad = true);
    ag_backward(ag_sum(ag_mul(x, ag_scalar(mine.Variable + 1))));
    if (ag_error() || ag_item(ag_select(ag_select(ag_grad(x), 0, 0), 0, 0)) != 2 || which != Batch) return 1;
    puts("fine");
    return 0;
}

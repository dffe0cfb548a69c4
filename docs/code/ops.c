/* ops.c - the code of docs/ops.md. */
#include <argent/argent.h>

static Variable *calls(Variable *x, Variable *w, Variable *b)
{
    Variable *y = ag_conv2d(x, w);                    /* the rest by PyTorch's default */
    y = ag_conv2d(x, w, b, 2);                        /* in PyTorch's order */
    y = ag_conv2d(x, w, .stride = 2, .bias = b);      /* by name */
    y = ag_conv2d(x, w, b, .padding = AG_SIZE(1, 2)); /* a size: one number, or one a side */
    return ag_sum(y, .dim = AG_DIMS(0, 2, 3), .keepdim = true);
}

static bool call_by_name(Variable *x, Variable *w)
{
    Variable *y;
    ag_value positional[] = { ag_of(x), ag_of(w) };
    ag_named_value named[] = { { "stride", ag_of(2) } };
    return ag_call("nn.functional.conv2d", 2, positional, 1, named, &y, 1) == 1;
}

static void list_ops(void)
{
    char schema[512];
    for (int i = 0; ag_op_at(i); i++) {
        ag_op_schema(ag_op_at(i), schema, sizeof schema);
        puts(schema); /* conv2d(Tensor input, Tensor weight, Tensor? bias=None, int[2] stride=1, ...) -> Tensor */
    }
}

int main(void)
{
    AG_SCOPE;
    Variable *x = ag_randn(AG_SHAPE(2, 3, 8, 8)), *w = ag_randn(AG_SHAPE(4, 3, 3, 3)), *b = ag_zeros(AG_SHAPE(4));
    list_ops();
    return !calls(x, w, b) || !call_by_name(x, w);
}

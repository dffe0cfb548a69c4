/* 07_call_by_name.c - ops by their names, with values that come from elsewhere: how a file or a script drives the
 * library. */
#include <argent/argent.h>

int main(void)
{
    AG_SCOPE;

    /* Every op says what it takes, as PyTorch writes it down. */
    static const char *const names[] = { "relu", "sum", "linear" };
    char schema[512];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const ag_op *op = ag_op_find(names[i]);
        if (op) ag_op_schema(op, schema, sizeof schema);
        printf("%s\n", op ? schema : "?");
    }

    /* Values bind as Python binds them: in order, then by name, the rest by default. */
    Variable *x = ag_tensor(((float[]){ -1, 2, -3, 4 }), AG_SHAPE(2, 2)), *y;
    ag_call("relu", 1, (ag_value[]){ ag_of(x) }, 0, NULL, &y, 1);
    ag_print(y, stdout);
    ag_call("sum", 1, (ag_value[]){ ag_of(x) }, 2,
            (ag_named_value[]){ { "dim", ag_of(1) }, { "keepdim", ag_of((bool)true) } }, &y, 1);
    ag_print(y, stdout);

    /* An overload is chosen by what is given: max(x) has one result, max(x, dim) two. */
    Variable *both[2];
    int n = ag_call("max", 2, (ag_value[]){ ag_of(x), ag_of(1) }, 0, NULL, both, 2);
    for (int i = 0; i < n; i++) ag_print(both[i], stdout);

    /* An ending _ is the form that changes its first argument. */
    ag_call("add_", 2, (ag_value[]){ ag_of(x), ag_of(10) }, 0, NULL, &y, 1);
    ag_print(x, stdout);

    if (!ag_call("relux", 1, (ag_value[]){ ag_of(x) }, 0, NULL, &y, 1)) printf("%s\n", ag_error());
    ag_clear_error();
    return 0;
}

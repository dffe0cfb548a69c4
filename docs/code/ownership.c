/* ownership.c - the code of docs/ownership.md. */
#include <argent/argent.h>

typedef struct {
    Variable *mean; /* held beyond any scope */
} Statistics;

static Variable *normalized(Variable *x)
{
    AG_SCOPE; /* opened for the rest of this block, closed however the block is left */
    Variable *centred = ag_sub(x, ag_mean(x));
    Variable *scale = ag_sqrt(ag_mean(ag_square(centred)));
    return ag_keep(ag_div(centred, scale)); /* handed one scope out; the others go here */
}

static Variable *power(Variable *x, int n)
{
    Variable *y = ag_ones_like(x);
    for (int i = 0; i < n; i++) ag_let(&y, ag_mul(y, x)); /* the old y goes now, not when the scope ends */
    return y;
}

static void remember(Statistics *s, Variable *x)
{
    ag_release(s->mean); /* NULL is fine */
    s->mean = ag_retain(ag_mean(x));
}

int main(void)
{
    Statistics s = { NULL };
    {
        AG_SCOPE;
        Variable *x = ag_arange(6, .dtype = AG_FLOAT32);
        remember(&s, power(normalized(x), 2));
    }
    bool right = !ag_error() && ag_item(s.mean) > 0.999 && ag_item(s.mean) < 1.001;
    ag_release(s.mean);
    return !right || ag_leaks(NULL) != 0;
}

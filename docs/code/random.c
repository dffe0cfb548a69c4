/* random.c - the code of docs/random.md. */
#include <argent/argent.h>

static bool stop_and_resume(void)
{
    unsigned char state[AG_RNG_STATE_BYTES]; /* the bytes of torch.get_rng_state() */
    ag_get_rng_state(state);
    Variable *first = ag_randn(AG_SHAPE(5));
    ag_set_rng_state(state, sizeof state);
    return ag_equal(first, ag_randn(AG_SHAPE(5)));
}

static Variable *draw(void)
{
    ag_manual_seed(0);
    Variable *noise = ag_randn(AG_SHAPE(2, 3));         /* torch.manual_seed(0); torch.randn(2, 3) */
    Module *layer = ag_nn_linear(3, 4);                 /* the weights of torch.nn.Linear(3, 4) */
    Variable *y = ag_dropout(ag_forward(layer, noise)); /* the mask of F.dropout */
    ag_module_free(layer);
    return y;
}

static Variable *draw_apart(void)
{
    Generator *own = ag_generator_new();
    ag_generator_manual_seed(own, 7);
    Variable *order = ag_randperm(10, .generator = own); /* leaves the default generator alone */
    ag_generator_free(own);
    return order;
}

int main(void)
{
    AG_SCOPE;
    return !stop_and_resume() || !draw() || !draw_apart();
}

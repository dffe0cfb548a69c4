/* checkpoint_call.h - one call of a checkpointed function, as both ways of checkpointing have it. */
#ifndef AG_CHECKPOINT_CALL_H
#define AG_CHECKPOINT_CALL_H
#include "autograd/node.h"

#include <argent/checkpoint.h>

typedef struct ag__checkpoint {
    ag_gradcheck_function *function;
    void *user;
    ag_free_user *free_user;
    ag_variable **in; /* retained */
    int64_t n_in;
    unsigned char *rng; /* the generator's state before the first run; NULL: not kept */
    bool checks;
} ag__checkpoint;

ag__checkpoint *ag__checkpoint_new(const struct ag_checkpoint_args *a); /* takes user over; NULL with an error */
void ag__checkpoint_free(ag__checkpoint *c);
/* How many outputs there are; -1 with an error. */
int ag__checkpoint_run(const ag__checkpoint *c, ag_variable *const *in, ag_variable **out);
/* With grad mode on and the generator as it was. */
int ag__checkpoint_run_again(const ag__checkpoint *c, ag_variable *const *in, ag_variable **out);
/* The reentrant way (checkpoint_reentrant.c); owns c from now on. */
int ag__checkpoint_reentrant(ag__checkpoint *c, ag_variable **out);

#endif

/* grad_mode.c - whether the calling thread records what it computes. */
#include "autograd/node.h"

bool ag_is_grad_enabled(void) { return !ag__thread()->grad_off; }
void ag_set_grad_enabled(bool on) { ag__thread()->grad_off = !on; }

ag_mode ag_grad_mode_begin(bool on)
{
    Thread *t = ag__thread();
    ag_mode mode = { t->grad_off };
    t->grad_off = !on;
    return mode;
}
void ag_grad_mode_end(ag_mode *mode) { ag__thread()->grad_off = mode->was_off; }

bool ag_is_inference_mode_enabled(void) { return ag__thread()->inference; }
ag_inference ag_inference_mode_begin(bool on)
{
    Thread *t = ag__thread();
    ag_inference before = { t->grad_off, t->inference };
    t->inference = t->grad_off = on;
    return before;
}
void ag_inference_mode_end(ag_inference *before)
{
    Thread *t = ag__thread();
    t->grad_off = before->was_off;
    t->inference = before->was_inference;
}

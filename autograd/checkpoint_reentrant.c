/* checkpoint_reentrant.c - checkpointing by one node whose backward runs the function again and walks back itself. */
#include "autograd/checkpoint_call.h"
#include "autograd/pass.h"

#include <argent/function.h>

#include <stdlib.h>

/* The function that is applied has as many outputs as the first run said. */
typedef struct reentrant {
    ag_function function;
    ag__checkpoint *call;
    ag_variable *out[AG_GRADCHECK_OUTPUTS];
    int n_out;
} reentrant;

static void reentrant_free(void *user)
{
    reentrant *r = user;
    ag__checkpoint_free(r->call);
    free(r);
}

static bool forward(ag_context *ctx, ag_list inputs, ag_variable **outputs)
{
    const reentrant *r = ag_context_user(ctx);
    for (int k = 0; k < r->n_out; k++) outputs[k] = r->out[k];
    return ag_save_for_backward(ctx, inputs);
}

/* All walks under way take gradients to all leaves. */
static bool check_walks(void)
{
    for (const ag_pass *w = ag__thread()->walk; w; w = w->outer)
        if (w->n_inputs)
            return ag__fail(AG_EGRAPH,
                            "When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or "
                            "passing an `inputs` parameter to .backward(). To resolve this error, you can "
                            "either set use_reentrant=False, or call .backward() without passing the "
                            "`inputs` argument.");
    return true;
}

/* The inputs again, cut off from their graph. */
static bool detach_inputs(ag_list saved, ag_variable **in)
{
    for (int64_t i = 0; i < saved.n; i++) {
        ag_variable *x = saved.at[i];
        in[i] = x == AG_NONE ? x : ag_detach(x);
        if (!in[i]) return false;
        if (x != AG_NONE && ag_requires_grad(x) && !ag_requires_grad_(in[i])) return false;
    }
    return true;
}

static bool backward(ag_context *ctx, ag_variable *const *g, ag_variable **grad)
{
    const reentrant *r = ag_context_user(ctx);
    ag_variable *out[AG_GRADCHECK_OUTPUTS], *root[AG_GRADCHECK_OUTPUTS], *factor[AG_GRADCHECK_OUTPUTS];
    ag_list saved = ag_saved_tensors(ctx);
    int n_roots = 0;
    if (!check_walks() || (!saved.n && ag_error())) return false;
    ag_variable **in = ag__scratch((size_t)(saved.n + 1) * sizeof *in);
    bool ok = in && detach_inputs(saved, in);
    int n = ok ? ag__checkpoint_run_again(r->call, in, out) : -1;
    for (int k = 0; k < n && k < r->n_out; k++) {
        if (!ag_requires_grad(out[k])) continue;
        root[n_roots] = out[k];
        factor[n_roots++] = g[k];
    }
    ok = n > 0;
    if (ok && !n_roots)
        ok = ag__fail(AG_EGRAPH, "none of output has requires_grad=True, this checkpoint() is not necessary");
    ok = ok && ag_autograd_backward(ag_list_from(n_roots, root), ag_list_from(n_roots, factor));
    for (int64_t i = 0; i < saved.n && ok; i++)
        if (in[i] != AG_NONE) grad[i] = ag_grad(in[i]);
    ag__scratch_free(in);
    return ok;
}

int ag__checkpoint_reentrant(ag__checkpoint *c, ag_variable **out)
{
    ag_mode mode = ag_grad_mode_begin(false);
    reentrant *r = calloc(1, sizeof *r);
    int n = r ? ag__checkpoint_run(c, c->in, out) : -1;
    ag_grad_mode_end(&mode);
    if (!r || n < 0) {
        if (!r) ag__fail_memory("a checkpoint", sizeof *r);
        ag__checkpoint_free(c);
        free(r);
        return -1;
    }
    r->function =
        (ag_function){ .name = "CheckpointFunction", .forward = forward, .backward = backward, .n_outputs = n };
    r->call = c;
    r->n_out = n;
    for (int k = 0; k < n; k++) r->out[k] = out[k];
    ag_list result = ag_function_apply_list(&r->function, ag_list_from(c->n_in, c->in), r, reentrant_free);
    for (int64_t k = 0; k < result.n; k++) out[k] = result.at[k];
    return result.n ? (int)result.n : -1;
}

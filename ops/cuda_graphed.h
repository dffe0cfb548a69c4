/* cuda_graphed.h - a training step that is captured as a CUDA graph and replayed: warm-up, memory, inputs that stay in
 * place, and the plain way for what does not fit.
 *
 *     static Variable *step(List batch, void *user)
 *     {
 *         struct training *t = user;
 *         ag_optim_zero_grad(t->optimizer);
 *         Variable *loss = ag_cross_entropy(ag_call_module(t->net, batch.at[0]), batch.at[1]);
 *         return ag_backward(loss) && ag_optim_step(t->optimizer) ? loss : NULL;
 *     }
 *     ...
 *     ag_cuda_graphed *graphed = ag_cuda_graphed_new(AG_CUDA, step, &t, 3);
 *     for (Batch batch; ag_data_next(loader, &batch);) {
 *         AG_SCOPE;
 *         loss = ag_cuda_graphed_call(graphed, AG_LIST(batch.inputs, batch.targets));
 *     }
 *     ag_cuda_graphed_free(graphed);
 */
#ifndef ARGENT_CUDA_GRAPHED_H
#define ARGENT_CUDA_GRAPHED_H
#include <argent/cuda_graph.h>
#include <argent/variable.h>

AG_BEGIN_DECLS

/* inputs: what ag_cuda_graphed_call was given, on the device. Returns what the caller gets; NULL: it failed. What may
 * be captured: cuda_graph.h. */
typedef ag_variable *ag_cuda_step(ag_list inputs, void *user);

typedef struct ag_cuda_graphed ag_cuda_graphed;

/* The first `warmup` calls, at least 1, run step as it is, so that what is made once is there: state of an optimizer,
 * gradients that are kept. The next one captures it. NULL with an error. */
AG_API ag_cuda_graphed *ag_cuda_graphed_new(ag_device device, ag_cuda_step *step, void *user, int warmup);
/* NULL is fine. The step's gradients live on. */
AG_API void ag_cuda_graphed_free(ag_cuda_graphed *graphed);
/* Runs step with these inputs, which may be on the CPU (pinned: without a wait). From the capture on, inputs of the
 * same shapes and types are copied to where the graph reads them, and it is replayed; others, such as a last short
 * batch, run step as it is. Returns what step returned, without history: from a replay it is the same Variable each
 * time, with new numbers. NULL with an error. */
AG_API ag_variable *ag_cuda_graphed_call(ag_cuda_graphed *graphed, ag_list inputs);
/* How many calls were replays. */
AG_API int64_t ag_cuda_graphed_replays(const ag_cuda_graphed *graphed);

AG_END_DECLS
#endif

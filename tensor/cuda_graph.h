/* cuda_graph.h - what was asked of a device, captured once and replayed as a whole: torch.cuda.CUDAGraph. A replay
 * costs the program one call, however many kernels it runs.
 *
 *     ag_cuda_graph *g = ag_cuda_graph_new(AG_CUDA);
 *     ag_cuda_stream side = ag_cuda_stream_new(AG_CUDA, 0);
 *     ag_cuda_stream_wait_stream(side, ag_cuda_current_stream(AG_CUDA));
 *     {
 *         AG_CUDA_STREAM(side);
 *         step(x, y);                                 what is made only once has been made: state of an optimizer, ...
 *         ag_cuda_graph_capture_begin(g, NULL);
 *         loss = step(x, y);                          nothing is computed
 *         ag_cuda_graph_capture_end(g);
 *     }
 *     ag_cuda_stream_wait_stream(ag_cuda_current_stream(AG_CUDA), side);
 *     for (...) {
 *         ag_copy_(x, next);                          the graph reads and writes where it did when it was captured
 *         ag_cuda_graph_replay(g);                    loss has the new number
 *     }
 *
 * What is made during the capture lives in memory of the graph's, at each replay the same. What was made before must
 * stay where it is as long as the graph is replayed. Numbers of the host (ag_scalar, options, a learning rate that is
 * no Variable) are captured as they were. While it captures, a thread cannot read numbers, copy from memory that is not
 * pinned, or wait: those calls refuse, AG_ENOTSUP. Other threads go on as usual, on other streams.
 *
 * ops/cuda_graphed.h does all this for a training step.
 */
#ifndef ARGENT_CUDA_GRAPH_H
#define ARGENT_CUDA_GRAPH_H
#include <argent/cuda.h>

AG_BEGIN_DECLS

typedef struct ag_cuda_graph ag_cuda_graph;

/* NULL with AG_ENOMEM, or AG_EDEVICE where there is no such device. */
AG_API ag_cuda_graph *ag_cuda_graph_new(ag_device device);
/* NULL is fine. */
AG_API void ag_cuda_graph_free(ag_cuda_graph *graph);

/* From here to the end, what the thread asks of its current stream, which must not be the default one, becomes the
 * graph. Other streams take part when they wait for it, and must be waited for before the end.
 * pool: another graph whose memory this one shares, NULL: none. Then both must be replayed in the order of their
 * capture, and never at once. */
AG_API bool ag_cuda_graph_capture_begin(ag_cuda_graph *graph, ag_cuda_graph *pool);
/* false where something went wrong since the beginning, too: then there is no graph. */
AG_API bool ag_cuda_graph_capture_end(ag_cuda_graph *graph);
/* In the order of the current stream. */
AG_API bool ag_cuda_graph_replay(ag_cuda_graph *graph);
/* Gives up the graph, or its capture, and its memory as far as no Variable holds it; it can capture anew. NULL is fine.
 */
AG_API void ag_cuda_graph_reset(ag_cuda_graph *graph);

/* Whether the calling thread captures. */
AG_API bool ag_cuda_is_current_stream_capturing(void);

AG_END_DECLS
#endif

/* backends.h - switches that say how exactly devices compute: PyTorch's, for the whole program.
 *
 * They are looked at when an op is called. On the CPU float32 is always computed in full.
 */
#ifndef ARGENT_BACKENDS_H
#define ARGENT_BACKENDS_H
#include <argent/export.h>

AG_BEGIN_DECLS

/* How exactly CUDA multiplies matrices of float32, as torch.set_float32_matmul_precision: "highest", the default, is
 * float32 throughout; "high" and "medium" let tensor cores round the factors to TF32, 10 bits of mantissa, which is
 * many times as fast. false with an error for another name. */
AG_API bool ag_set_float32_matmul_precision(const char *precision);
AG_API const char *ag_get_float32_matmul_precision(void);
/* The same switch by its other name, torch.backends.cuda.matmul.allow_tf32: true is "high", false "highest". */
AG_API void ag_cuda_set_allow_tf32(bool allow);
AG_API bool ag_cuda_allow_tf32(void);

/* torch.use_deterministic_algorithms, but on from the start. What it promises in PyTorch, that an op whose inputs are
 * the same gives the same bits on the same machine, or fails where that cannot be had, holds here whatever this says:
 * every op has one way, which adds in an order that the shapes decide, and none fails for it. So the switch is only
 * remembered, for programs that set it and ask. What else PyTorch's does is not done: ag_empty's memory is not filled.
 * (cuBLAS may choose another algorithm, and so other bits, for a matrix that begins at another alignment of 16 bytes.)
 */
AG_API void ag_use_deterministic_algorithms(bool use);
AG_API bool ag_are_deterministic_algorithms_enabled(void);

AG_END_DECLS
#endif

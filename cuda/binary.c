/* binary.c - bits, division that rounds, closeness and binary_cross_entropy on a device. */
#include "cuda/binary.h"
#include "cuda/runtime.h"
#include "ops/binary.h"

#include <string.h>

bool ag__cuda_combine(const char *op, const struct ag__pair *p)
{
    const bool close = p->operation == AG_IS_CLOSE; /* of integers as of their float64 */
    const ag_dtype dtype = close && p->dtype != AG_FLOAT32 ? AG_FLOAT64 : p->dtype, result = close ? AG_BOOL : dtype;
    const ag_tensor *in[] = { p->a, p->b }, *operand[3] = { p->out };
    ag_dtype wanted[3] = { result };
    int slot[3] = { 0 }, n = 1;
    ag_cuda_pair pair = { .operation = p->operation };
    cudaStream_t stream;
    if (p->out->numel == 0) return true;
    for (int k = 0; k < 2; k++) {
        if (ag__cuda_is_number(in[k])) {
            ag__cuda_set_value(&pair.elements, 1 + IN_A + k, in[k], dtype);
            continue;
        }
        operand[n] = in[k];
        wanted[n] = dtype;
        slot[n++] = 1 + IN_A + k;
    }
    ag__cuda_describe(&pair.elements, n, operand, slot, wanted);
    memcpy(pair.option, p->option, sizeof pair.option);
    const ag_device device = ag__tensor_device(p->out);
    const int fault = p->operation == AG_CROSS_ENTROPY_OF_TWO ? AG_CUDA_BAD_PREDICTION : AG_CUDA_ZERO_DIVISION;
    return ag__cuda_may_fail_in(op, device, fault, 0, 0, &pair.report) && ag__cuda_use(op, device, &stream) &&
           ag__cuda_launched(op, (cudaError_t)ag__cuda_combine_in(dtype, &pair, stream), stream);
}

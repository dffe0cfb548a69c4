/* pointwise_integers.cu - the rows' values on int64, int32, uint8 and bool. */
#include "cuda/elements.cuh"

#define AG_ON_DEVICE __device__
#include "ops/cpu/whole.h"

/* The rows ask whether x < 0 of unsigned types, too. */
#ifdef CUDA_HOST_SHIM
#pragma GCC diagnostic ignored "-Wtype-limits"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wbool-compare"
#endif
#else
#pragma nv_diag_suppress 186
#endif

namespace
{
#define INTEGER_ROWS "cuda/pointwise_whole.cuh"
#define LOOP(name)   launch<name>
#define LOOP_NONE    nullptr
#include "ops/cpu/pointwise_integer_kinds.h"

ag_cuda_launcher *const rows[AG_N_EXPRESSIONS][AG_N_DTYPES - AG_INT64] = {
#include "ops/pointwise.def"
};
} // namespace

extern "C" ag_cuda_launcher *ag__cuda_row_integer(int expression, int dtype)
{
    return rows[expression][dtype - AG_INT64];
}

/* pointwise_f32.cu - the rows in float32. */
#define real    float
#define SUFFIX  _f32
#define DTYPE   AG_FLOAT32
#define F(name) name##f
#include "cuda/pointwise_real.cuh"

extern "C" ag_cuda_launcher *ag__cuda_row_f32(int expression) { return rows[expression]; }

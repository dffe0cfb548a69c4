/* pointwise_f64.cu - the rows in float64. */
#define real    double
#define SUFFIX  _f64
#define DTYPE   AG_FLOAT64
#define F(name) name
#include "cuda/pointwise_real.cuh"

extern "C" ag_cuda_launcher *ag__cuda_row_f64(int expression) { return rows[expression]; }

/* exponentials.cuh - a sum of exponentials in one walk over the numbers (team.cuh). */
#ifndef AG_CUDA_EXPONENTIALS_CUH
#define AG_CUDA_EXPONENTIALS_CUH
#include "cuda/launch.h"

#include <math.h>

namespace
{
__device__ inline double exp_as(float, double x) { return expf((float)x); }
__device__ inline double exp_as(double, double x) { return exp(x); }

/* sum: of exp(x - most) over the numbers so far, `most` being the greatest of them. A NaN is in the sum only. */
struct exponentials {
    double most, sum;
};
/* Of numbers of type Real. */
template <class Real> struct sum_exponentials {
    typedef exponentials Total;
    static __device__ Total none() { return Total{ -(double)INFINITY, 0 }; }
    static __device__ Total combine(const Total &a, const Total &b)
    {
        const bool rises = b.most > a.most;
        const double by = a.most == b.most ? 1 : exp_as(Real(), -fabs(a.most - b.most));
        return rises ? Total{ b.most, a.sum * by + b.sum } : Total{ a.most, a.sum + b.sum * by };
    }
    static __device__ void add(Total &total, Real x)
    {
        const double by = total.most == x ? 1 : exp_as(Real(), -fabs(total.most - (double)x));
        total.sum = x > total.most ? total.sum * by + 1 : total.sum + by;
        if (x > total.most) total.most = x;
    }
};
} // namespace
#endif

/* copy.cu - elements from tensor to tensor, with conversion; and one number everywhere. */
#include "cuda/elements.cuh"

namespace
{
template <int D> struct same {
    enum { in = D, out = D };
    typedef typename type_of<D>::T T;
    static __device__ T of(T a, T, T, bool, T, T, const double *) { return a; }
};
} // namespace

extern "C" int ag__cuda_copy_to(int to, const ag_cuda_elements *e, void *stream)
{
    static const ag_cuda_options none = {};
    switch (to) {
    case AG_FLOAT32:
        return launch<same<AG_FLOAT32>>(e, &none, stream);
    case AG_FLOAT64:
        return launch<same<AG_FLOAT64>>(e, &none, stream);
    case AG_INT64:
        return launch<same<AG_INT64>>(e, &none, stream);
    case AG_INT32:
        return launch<same<AG_INT32>>(e, &none, stream);
    case AG_BOOL:
        return launch<same<AG_BOOL>>(e, &none, stream);
    default:
        return launch<same<AG_UINT8>>(e, &none, stream);
    }
}

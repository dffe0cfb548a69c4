/* conv_integers.cu - convolution of integers, as the formula says: a thread an output. They wrap, so sums are of an
 * unsigned type. */
#include "cuda/conv.h"
#include "cuda/launch.h"

#include <argent/dtype.h>

namespace
{
enum { THREADS = 256 };

template <class T, class Sum> __global__ void conv_integers(const ag_cuda_conv c, int64_t numel)
{
    const int64_t grid = (int64_t)gridDim.x * THREADS;
    for (int64_t e = (int64_t)blockIdx.x * THREADS + threadIdx.x; e < numel; e += grid) {
        const int j = (int)(e % c.out_size[1]), i = (int)(e / c.out_size[1] % c.out_size[0]);
        const int64_t plane = e / c.out_size[1] / c.out_size[0];
        const int channel = (int)(plane % ((int64_t)c.groups * c.out)), group = channel / c.out, o = channel % c.out;
        const int64_t n = plane / ((int64_t)c.groups * c.out);
        const T *const x = (const T *)c.x + n * c.x_stride[0] + group * c.x_group;
        const T *const w = (const T *)c.w + group * c.w_group + o * c.w_stride[0];
        Sum sum = c.bias ? (Sum)((const T *)c.bias)[channel * c.bias_stride] : 0;
        for (int a = 0; a < c.kernel[0]; a++) {
            const int h = i * c.stride[0] - c.padding[0] + a * c.dilation[0];
            if (h < 0 || h >= c.size[0]) continue;
            for (int b = 0; b < c.kernel[1]; b++) {
                const int v = j * c.stride[1] - c.padding[1] + b * c.dilation[1];
                if (v < 0 || v >= c.size[1]) continue;
                const T *const from = x + h * c.x_stride[2] + v * c.x_stride[3];
                const T *const by = w + a * c.w_stride[2] + b * c.w_stride[3];
                for (int k = 0; k < c.in; k++) sum += (Sum)from[k * c.x_stride[1]] * (Sum)by[k * c.w_stride[1]];
            }
        }
        T *const y = (T *)c.y + n * c.y_stride[0] + group * c.y_group + o * c.y_stride[1];
        y[i * c.y_stride[2] + j * c.y_stride[3]] = (T)sum;
    }
}

template <class T, class Sum> int launch(const ag_cuda_conv *c, void *stream)
{
    const int64_t numel = (int64_t)c->batch * c->groups * c->out * c->out_size[0] * c->out_size[1];
    constexpr auto kernel = conv_integers<T, Sum>;
    return LAUNCH(kernel, blocks_of(numel, THREADS), THREADS, 0, (cudaStream_t)stream, *c, numel);
}
} // namespace

extern "C" int ag__cuda_conv_integers(int dtype, const ag_cuda_conv *c, void *stream)
{
    return dtype == AG_INT64   ? launch<int64_t, uint64_t>(c, stream)
           : dtype == AG_INT32 ? launch<int32_t, uint32_t>(c, stream)
                               : launch<uint8_t, uint32_t>(c, stream);
}

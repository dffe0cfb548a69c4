/* random.c - random numbers on a device, PyTorch's there: how many threads a launch has decides who gets which number,
 * and this depends on the number of multiprocessors where a tensor has more elements than the device has threads. */
#include "cuda/random.h"
#include "cuda/runtime.h"
#include "cuda/sort.h"
#include "ops/dropout_device.h"

#include <string.h>

enum { MOST_DEVICES = 64 };

/* ---- where a launch draws ---- */

static struct {
    const uint64_t *state;
    uint64_t drawn;
} capture[MOST_DEVICES];

void ag__cuda_philox_capture(ag_device device, const uint64_t *state)
{
    capture[device.index].state = state;
    capture[device.index].drawn = 0;
}
uint64_t ag__cuda_philox_captured(ag_device device) { return capture[device.index].drawn; }

bool ag__cuda_philox_of(ag_device device, ag_generator *generator, uint64_t words, ag_cuda_philox *philox)
{
    *philox = (ag_cuda_philox){ .state = generator ? NULL : capture[device.index].state };
    if (!philox->state) return ag__cuda_host->philox(generator, device, words, &philox->seed, &philox->offset);
    philox->offset = capture[device.index].drawn;
    capture[device.index].drawn += (words + 3) / 4 * 4;
    return true;
}

/* The blocks of a launch for n elements: a thread each, as long as all of them run at once. */
static bool blocks_for(const char *op, ag_device device, int64_t n, unsigned *blocks)
{
    static unsigned most[MOST_DEVICES]; /* 0: not yet asked for */
    const int64_t wanted = (n + AG_CUDA_RANDOM_THREADS - 1) / AG_CUDA_RANDOM_THREADS;
    unsigned all = __atomic_load_n(&most[device.index], __ATOMIC_RELAXED);
    if (!all) {
        int processors, threads;
        if (!ag__cuda_ok(op, cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device.index)) ||
            !ag__cuda_ok(op, cudaDeviceGetAttribute(&threads, cudaDevAttrMaxThreadsPerMultiProcessor, device.index)))
            return false;
        all = (unsigned)(processors * (threads / AG_CUDA_RANDOM_THREADS));
        __atomic_store_n(&most[device.index], all, __ATOMIC_RELAXED);
    }
    *blocks = wanted < all ? (unsigned)wanted : all;
    return true;
}
/* Words that each thread takes, `each` elements to a call of four. */
static uint64_t words_for(int64_t n, unsigned blocks, int each)
{
    return ((uint64_t)(n - 1) / ((uint64_t)blocks * AG_CUDA_RANDOM_THREADS * (unsigned)each) + 1) * 4;
}

/* ---- into a tensor ---- */

static const char *const name[] = {
    [AG_RANDOM_UNIFORM] = "uniform_",     [AG_RANDOM_NORMAL] = "normal_",      [AG_RANDOM_EXPONENTIAL] = "exponential_",
    [AG_RANDOM_TOSS] = "bernoulli_",      [AG_RANDOM_TOSS_EACH] = "bernoulli", [AG_RANDOM_INTEGERS] = "random_",
    [AG_RANDOM_PERMUTATION] = "randperm",
};

static void describe_order(ag_cuda_random *r, const ag_tensor *x, const ag_tensor *p)
{
    int64_t size[AG_MAX_DIMS], stride[2][AG_MAX_DIMS];
    const int n = ag__cuda_host->random_order(x, p, size, stride);
    r->shape.numel = x->numel;
    r->shape.ndim = n;
    for (int d = 0; d < n; d++) {
        r->shape.size[d] = size[n - 1 - d];
        r->shape.stride[d] = stride[0][n - 1 - d] * (int64_t)ag__itemsize(x);
        if (p) r->p_stride[d] = stride[1][n - 1 - d] * (int64_t)ag__itemsize(p);
    }
}

static bool draw(ag_generator *generator, const ag_tensor *x, const ag__random *how)
{
    const char *op = name[how->kind];
    const ag_device device = ag__tensor_device(x);
    const bool integers = how->kind == AG_RANDOM_INTEGERS;
    const int source = integers                 ? (how->wide ? AG_CUDA_PAIRS : AG_CUDA_WORDS)
                       : x->dtype == AG_FLOAT64 ? AG_CUDA_DOUBLES
                                                : AG_CUDA_SINGLES;
    ag_cuda_random r = { .x = x->data,
                         .kind = how->kind,
                         .dtype = x->dtype,
                         .a = how->a,
                         .b = how->b,
                         .base = how->base,
                         .range = how->range };
    unsigned blocks;
    cudaStream_t stream;
    describe_order(&r, x, NULL);
    return ag__cuda_use(op, device, &stream) && blocks_for(op, device, x->numel, &blocks) &&
           ag__cuda_philox_of(device, generator,
                              words_for(x->numel, blocks, source == AG_CUDA_PAIRS || source == AG_CUDA_DOUBLES ? 2 : 4),
                              &r.philox) &&
           ag__cuda_launched(op, (cudaError_t)ag__cuda_draw(&r, source, blocks, stream), stream);
}

/* Each four neighbours share a call, whatever the launch. */
static bool toss_each(ag_generator *generator, const ag_tensor *x, const ag__random *how)
{
    const char *op = name[how->kind];
    const ag_device device = ag__tensor_device(x);
    ag_cuda_random r = {
        .x = x->data, .kind = how->kind, .dtype = x->dtype, .p = how->p->data, .p_wide = how->p->dtype == AG_FLOAT64
    };
    cudaStream_t stream;
    describe_order(&r, x, how->p);
    return ag__cuda_may_fail_in(op, device, AG_CUDA_BAD_PROBABILITY, 0, 0, &r.report) &&
           ag__cuda_use(op, device, &stream) && ag__cuda_philox_of(device, generator, 10, &r.philox) &&
           ag__cuda_launched(op, (cudaError_t)ag__cuda_toss_each(&r, stream), stream);
}

/* Memory for a launch: what is let go is used again after it only. */
typedef struct room {
    void *data;
    int64_t bytes;
} room;
static bool take(ag_device device, int64_t bytes, room *r)
{
    r->bytes = bytes;
    return (r->data = ag__cuda_alloc(device, bytes)) != NULL;
}

/* Random keys, sorted: whose they are is the permutation. They are so long that two are hardly ever the same. */
static bool sort_keys(ag_generator *generator, const ag_tensor *x, ag_cuda_sort *s, const ag_tensor *like)
{
    const char *op = name[AG_RANDOM_PERMUTATION];
    const ag_device device = ag__tensor_device(x);
    ag_tensor keys = *like, numbers = *like;
    cudaStream_t stream;
    keys.data = (char *)s->key[0];
    keys.dtype = AG_INT64;
    s->bits = 20;
    for (int64_t n = s->n - 1; n > 0 && s->bits < 64; n /= 2) s->bits += 2;
    if (!draw(generator, &keys, &(ag__random){ .kind = AG_RANDOM_INTEGERS, .wide = true }) ||
        !ag__cuda_use(op, device, &stream) ||
        !ag__cuda_launched(op, (cudaError_t)ag__cuda_sort_launch(s, stream), stream))
        return false;
    numbers.data = (char *)s->number[ag__cuda_sorted_in(s)];
    numbers.dtype = AG_INT32;
    return ag__cuda_copy_elements(x, &numbers);
}
static bool permute(ag_generator *generator, const ag_tensor *x)
{
    const ag_device device = ag__tensor_device(x);
    const int64_t n = x->numel;
    if (n > INT32_MAX) return ag__cuda_host->fail(AG_ENOTSUP, "randperm: %lld is too many on a device", (long long)n);
    room rooms[5] = { { NULL, 0 } };
    const int64_t bytes[5] = { 8 * n, 8 * n, 4 * n, 4 * n, 4 * AG_CUDA_DIGITS * ag__cuda_sort_tiles(n) };
    bool ok = true;
    for (int k = 0; k < 5 && ok; k++) ok = take(device, bytes[k], &rooms[k]);
    if (ok) {
        ag_cuda_sort s = { .key = { rooms[0].data, rooms[1].data },
                           .number = { rooms[2].data, rooms[3].data },
                           .counts = rooms[4].data,
                           .n = n };
        const ag_tensor like = {
            .storage = x->storage, .numel = n, .ndim = 1, .contiguous = true, .size = { n }, .stride = { 1 }
        };
        ok = sort_keys(generator, x, &s, &like);
    }
    for (int k = 0; k < 5; k++)
        if (rooms[k].data) ag__cuda_free(device, rooms[k].data, rooms[k].bytes);
    return ok;
}

bool ag__cuda_random(ag_generator *generator, const ag_tensor *x, const struct ag__random *how)
{
    if (x->numel == 0) return true;
    if (how->kind == AG_RANDOM_PERMUTATION) return permute(generator, x);
    return how->kind == AG_RANDOM_TOSS_EACH ? toss_each(generator, x, how) : draw(generator, x, how);
}

/* ---- dropout ---- */

bool ag__cuda_dropout_place(ag_device device, int64_t n, uint64_t place[3])
{
    ag_cuda_philox philox;
    unsigned blocks;
    if (!blocks_for("dropout", device, n, &blocks) ||
        !ag__cuda_philox_of(device, NULL, words_for(n, blocks, 4), &philox))
        return false;
    place[0] = philox.seed;
    place[1] = philox.offset;
    place[2] = (uint64_t)(uintptr_t)philox.state;
    return true;
}

/* Elements are counted by their places in the first result, which has no gaps, so that a gradient meets the same mask
 * however it lies. */
bool ag__cuda__native_dropout(ag_run *r)
{
    const struct ag__native_dropout_args *a = r->args;
    const ag_tensor *y = &r->out[0]->tensor, *x = &r->in[0]->tensor;
    ag_tensor counted = *y; /* bytes that nobody looks at */
    ag_cuda_dropout d = { .philox = { (uint64_t)a->seed, (uint64_t)a->offset, (const uint64_t *)(uintptr_t)a->state },
                          .keep = 1 - a->p,
                          .side_by_side = y->numel % 4 == 0   ? 4
                                          : y->numel % 2 == 0 ? 2
                                                              : 1,
                          .dtype = y->dtype };
    unsigned blocks;
    cudaStream_t stream;
    if (y->numel == 0) return true;
    memcpy(counted.stride, a->stride.at, y->ndim * sizeof *counted.stride);
    counted.dtype = AG_UINT8;
    counted.contiguous = false;
    ag__cuda_describe(&d.elements, 3, (const ag_tensor *const[]){ &counted, y, x }, (const int[]){ 2, 0, 1 },
                      (const ag_dtype[]){ AG_UINT8, (ag_dtype)y->dtype, (ag_dtype)y->dtype });
    const ag_cuda_elements *e = &d.elements;
    const int64_t item = (int64_t)ag__itemsize(y);
    d.whole = d.side_by_side == 4 && e->ndim == 1 && e->stride[0][0] == item && e->stride[1][0] == item &&
              ((uintptr_t)e->data[0] | (uintptr_t)e->data[1]) % 16 == 0;
    return ag__cuda_use("dropout", r->device, &stream) && blocks_for("dropout", r->device, y->numel, &blocks) &&
           ag__cuda_launched("dropout", (cudaError_t)ag__cuda_drop(&d, blocks, stream), stream);
}

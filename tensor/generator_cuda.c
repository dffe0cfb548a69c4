/* generator_cuda.c - generators of CUDA devices: see random_device.h. They live in the library, whether there is a
 * device or not, so that a seed set before CUDA is first used counts. */
#include "tensor/device_table.h"
#include "tensor/fail.h"
#include "tensor/generator_internal.h"
#include "tensor/random_device.h"

static ag_generator default_generators[AG_CUDA_GENERATORS];
static pthread_once_t default_once = PTHREAD_ONCE_INIT;

/* A child must not find a lock that another thread held. */
static void in_child(void)
{
    for (int i = 0; i < AG_CUDA_GENERATORS; i++) pthread_mutex_init(&default_generators[i].lock, NULL);
}
static void start_default(void)
{
    for (int i = 0; i < AG_CUDA_GENERATORS; i++) {
        ag_generator *g = &default_generators[i];
        pthread_mutex_init(&g->lock, NULL); /* a plain one takes no memory */
        g->device = AG_DEVICE(AG_DEVICE_CUDA, (int16_t)i);
        g->seed = ag__unforeseen_seed();
    }
    pthread_atfork(NULL, NULL, in_child);
}

ag_generator *ag_cuda_default_generator(ag_device device)
{
    if (device.type != AG_DEVICE_CUDA || device.index < 0 || device.index >= AG_CUDA_GENERATORS)
        return ag__fail(AG_EINVAL, "ag_cuda_default_generator: %s has no CUDA generator", ag_device_name(device));
    pthread_once(&default_once, start_default);
    return &default_generators[device.index];
}

bool ag__is_cuda_default_generator(const ag_generator *generator)
{
    return generator >= default_generators && generator < default_generators + AG_CUDA_GENERATORS;
}

void ag__cuda_generators_seed(uint64_t seed)
{
    for (int i = 0; i < AG_CUDA_GENERATORS; i++)
        ag_generator_manual_seed(ag_cuda_default_generator(AG_DEVICE(AG_DEVICE_CUDA, (int16_t)i)), seed);
}

/* PyTorch's sentence. */
static bool refuse_generator(const ag_generator *g, ag_device wanted)
{
    const bool same = g->device.type == wanted.type;
    return ag__fail(AG_EINVAL, "Expected a '%s' device type for generator but found '%s'",
                    same                            ? ag_device_name(wanted)
                    : wanted.type == AG_DEVICE_CUDA ? "cuda"
                                                    : "cpu",
                    same                               ? ag_device_name(g->device)
                    : g->device.type == AG_DEVICE_CUDA ? "cuda"
                                                       : "cpu");
}

bool ag__generator_philox(ag_generator *generator, ag_device device, uint64_t words, uint64_t *seed, uint64_t *offset)
{
    ag_generator *g = generator ? generator : ag_cuda_default_generator(device);
    if (!g) return false;
    if (g->device.type != device.type || g->device.index != device.index) return refuse_generator(g, device);
    pthread_mutex_lock(&g->lock);
    *seed = g->seed;
    *offset = g->offset;
    g->offset += (words + 3) / 4 * 4;
    pthread_mutex_unlock(&g->lock);
    return true;
}

bool ag__random_elsewhere(ag_generator *generator, const ag_tensor *x, const ag__random *how, bool *done)
{
    *done = false;
    if (!x->storage || ag__tensor_device(x).type == AG_DEVICE_CPU)
        return generator && generator->device.type != AG_DEVICE_CPU && !refuse_generator(generator, AG_CPU);
    const ag_device_functions *functions = ag__device_functions(ag__tensor_device(x));
    *done = functions && functions->random(generator, x, how);
    return true;
}

/* generator.c - the twister, its seeding, its lock and its state. */
#include "tensor/generator_internal.h"

#include "tensor/fail.h"
#include "tensor/random_device.h"
#include "tensor/random_kernels.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/random.h>
#endif

/* ---- words ---- */

static void seed_words(ag_generator *g, uint64_t seed)
{
    g->seed = seed;
    g->word[0] = (uint32_t)seed;
    for (uint32_t k = 1; k < AG_MT_WORDS; k++) g->word[k] = 1812433253u * (g->word[k - 1] ^ (g->word[k - 1] >> 30)) + k;
    g->next = 0;
    g->left = 1;
    g->has_double = g->has_float = false;
    g->next_double = 0;
    g->next_float = 0;
}

static void set_seed(ag_generator *g, uint64_t seed)
{
    if (g->device.type == AG_DEVICE_CPU) {
        seed_words(g, seed);
        return;
    }
    g->seed = seed;
    g->offset = 0;
}

void ag__generator_words(ag_generator *g, uint32_t *words, int64_t n)
{
    const ag_random_kernels *kernels = ag__random_kernels();
    while (n > 0) {
        if (g->left <= 1) {
            kernels->twist(g->word);
            g->left = AG_MT_WORDS + 1;
            g->next = 0;
        }
        int64_t some = n < g->left - 1 ? n : g->left - 1;
        kernels->temper(words, g->word + g->next, some);
        g->next += (uint32_t)some;
        g->left -= (int32_t)some;
        words += some;
        n -= some;
    }
}

uint32_t ag__generator_word(ag_generator *g)
{
    uint32_t word;
    ag__generator_words(g, &word, 1);
    return word;
}

uint64_t ag__generator_word64(ag_generator *g)
{
    uint32_t pair[2];
    ag__generator_words(g, pair, 2);
    return (uint64_t)pair[0] << 32 | pair[1];
}

int64_t ag__random_int64(ag_generator *generator)
{
    if (generator && generator->device.type != AG_DEVICE_CPU) {
        ag__fail(AG_EINVAL, "Expected a 'cpu' device type for generator but found 'cuda'");
        return 0;
    }
    ag_generator *g = ag__generator_lock(generator);
    uint64_t value = ag__generator_word64(g);
    ag__generator_unlock(g);
    return (int64_t)(value & INT64_MAX);
}

/* ---- seeds that cannot be foreseen ---- */

static bool read_urandom(void *bytes, size_t n)
{
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    ssize_t got = read(fd, bytes, n);
    close(fd);
    return got == (ssize_t)n;
}

uint64_t ag__unforeseen_seed(void)
{
    uint64_t seed;
#ifdef __linux__
    if (getrandom(&seed, sizeof seed, 0) == (ssize_t)sizeof seed) return seed;
#endif
    if (read_urandom(&seed, sizeof seed)) return seed;
    struct timespec now; /* a jail without /dev: time, process and address space still differ */
    clock_gettime(CLOCK_REALTIME, &now);
    seed = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    return (seed ^ (uint64_t)getpid() << 48 ^ (uint64_t)(uintptr_t)&now) * 0x9e3779b97f4a7c15u;
}

/* ---- the default generator ---- */

static ag_generator default_generator = { .lock = PTHREAD_MUTEX_INITIALIZER };
static pthread_once_t default_once = PTHREAD_ONCE_INIT;

/* A thread that forks while another one draws would leave its child a lock that nobody opens. */
static void before_fork(void) { pthread_mutex_lock(&default_generator.lock); }
static void after_fork(void) { pthread_mutex_unlock(&default_generator.lock); }

static void start_default(void)
{
    seed_words(&default_generator, ag__unforeseen_seed());
    pthread_atfork(before_fork, after_fork, after_fork);
}

ag_generator *ag_default_generator(void)
{
    pthread_once(&default_once, start_default);
    return &default_generator;
}

ag_generator *ag__generator_lock(ag_generator *generator)
{
    ag_generator *g = generator ? generator : ag_default_generator();
    pthread_mutex_lock(&g->lock);
    return g;
}

void ag__generator_unlock(ag_generator *generator) { pthread_mutex_unlock(&generator->lock); }

ag_generator *ag_manual_seed(uint64_t seed)
{
    ag__cuda_generators_seed(seed);
    return ag_generator_manual_seed(ag_default_generator(), seed);
}
uint64_t ag_seed(void)
{
    uint64_t seed = ag_generator_seed(ag_default_generator());
    ag__cuda_generators_seed(seed);
    return seed;
}
uint64_t ag_initial_seed(void) { return ag_generator_initial_seed(ag_default_generator()); }
bool ag_get_rng_state(unsigned char state[AG_RNG_STATE_BYTES])
{
    return ag_generator_get_state(ag_default_generator(), state);
}
bool ag_set_rng_state(const void *state, size_t size)
{
    return ag_generator_set_state(ag_default_generator(), state, size);
}

ag_forked_rng ag_fork_rng_begin(void)
{
    ag_forked_rng before;
    ag_get_rng_state(before.state);
    for (int16_t i = 0; i < AG_CUDA_GENERATORS; i++)
        ag_generator_get_state(ag_cuda_default_generator(AG_DEVICE(AG_DEVICE_CUDA, i)), before.cuda_state[i]);
    return before;
}
void ag_fork_rng_end(ag_forked_rng *before)
{
    if (!before) return;
    ag_set_rng_state(before->state, sizeof before->state);
    for (int16_t i = 0; i < AG_CUDA_GENERATORS; i++)
        ag_generator_set_state(ag_cuda_default_generator(AG_DEVICE(AG_DEVICE_CUDA, i)), before->cuda_state[i],
                               AG_CUDA_RNG_STATE_BYTES);
}

/* ---- any generator ---- */

ag_generator *ag_generator_new(void) { return ag_generator_new_on(AG_CPU); }

ag_generator *ag_generator_new_on(ag_device device)
{
    if ((device.type != AG_DEVICE_CPU && device.type != AG_DEVICE_CUDA) || device.index < 0)
        return ag__fail(AG_EINVAL, "ag_generator_new_on: there is no device %d:%d", device.type, device.index);
    ag_generator *g = calloc(1, sizeof *g);
    if (!g) return ag__fail_memory("generator", sizeof *g);
    g->device = device;
    if (pthread_mutex_init(&g->lock, NULL) != 0) {
        free(g);
        return ag__fail(AG_ENOMEM, "generator: out of memory for its lock");
    }
    set_seed(g, 67280421310721u);
    return g;
}

void ag_generator_free(ag_generator *g)
{
    if (!g || g == &default_generator || ag__is_cuda_default_generator(g)) return;
    pthread_mutex_destroy(&g->lock);
    free(g);
}

/* A public call without a generator: an earlier failure, or itself one. */
static void *no_generator(const char *function)
{
    return ag__fail(AG_EINVAL, "%s: the generator is NULL (ag_default_generator() is the default one)", function);
}

ag_generator *ag_generator_manual_seed(ag_generator *generator, uint64_t seed)
{
    if (!generator) return no_generator("ag_generator_manual_seed");
    ag_generator *g = ag__generator_lock(generator);
    set_seed(g, seed);
    ag__generator_unlock(g);
    return g;
}

uint64_t ag_generator_seed(ag_generator *generator)
{
    uint64_t seed = ag__unforeseen_seed();
    if (!ag_generator_manual_seed(generator, seed)) return 0;
    return seed;
}

ag_device ag_generator_device(const ag_generator *generator)
{
    if (generator) return generator->device;
    no_generator("ag_generator_device");
    return AG_CPU;
}

uint64_t ag_generator_initial_seed(ag_generator *generator)
{
    if (!generator) {
        no_generator("ag_generator_initial_seed");
        return 0;
    }
    ag_generator *g = ag__generator_lock(generator);
    uint64_t seed = g->seed;
    ag__generator_unlock(g);
    return seed;
}

/* ---- the state, as PyTorch lays it out ----
 * Little endian; a word of the twister takes 8 bytes; what is not named here is zero. */
enum {
    AT_SEED = 0,          /* u64 */
    AT_LEFT = 8,          /* i32 */
    AT_SEEDED = 12,       /* i32, 1 */
    AT_NEXT = 16,         /* u64 */
    AT_WORDS = 24,        /* u64 [624] */
    AT_DOUBLE = 5024,     /* f64, the kept normal */
    AT_HAS_DOUBLE = 5040, /* i32 */
    AT_FLOAT = 5048,      /* f32 */
    AT_HAS_FLOAT = 5052,  /* u8 */
};

static void put(unsigned char *at, uint64_t value, int bytes)
{
    for (int k = 0; k < bytes; k++) at[k] = (unsigned char)(value >> 8 * k);
}

static uint64_t take(const unsigned char *at, int bytes)
{
    uint64_t value = 0;
    for (int k = 0; k < bytes; k++) value |= (uint64_t)at[k] << 8 * k;
    return value;
}

/* Of a device's: the seed, then the offset, both u64. */
static bool get_cuda_state(ag_generator *generator, unsigned char *state)
{
    ag_generator *g = ag__generator_lock(generator);
    put(state, g->seed, 8);
    put(state + 8, g->offset, 8);
    ag__generator_unlock(g);
    return true;
}
static bool set_cuda_state(ag_generator *generator, const unsigned char *state, size_t size)
{
    if (size != AG_CUDA_RNG_STATE_BYTES) return ag__fail(AG_EINVAL, "RNG state is wrong size");
    if (take(state + 8, 8) % 4) return ag__fail(AG_EINVAL, "offset must be a multiple of 4");
    ag_generator *g = ag__generator_lock(generator);
    g->seed = take(state, 8);
    g->offset = take(state + 8, 8);
    ag__generator_unlock(g);
    return true;
}

bool ag_generator_get_state(ag_generator *generator, unsigned char *state)
{
    if (!generator) return no_generator("ag_generator_get_state");
    if (!state) return ag__fail(AG_EINVAL, "ag_generator_get_state: there is no place for the state (it is NULL)");
    if (generator->device.type != AG_DEVICE_CPU) return get_cuda_state(generator, state);
    memset(state, 0, AG_RNG_STATE_BYTES);
    ag_generator *g = ag__generator_lock(generator);
    put(state + AT_SEED, g->seed, 8);
    put(state + AT_LEFT, (uint32_t)g->left, 4);
    put(state + AT_SEEDED, 1, 4);
    put(state + AT_NEXT, g->next, 8);
    for (int k = 0; k < AG_MT_WORDS; k++) put(state + AT_WORDS + 8 * k, g->word[k], 8);
    uint64_t bits;
    if (g->has_double) {
        memcpy(&bits, &g->next_double, 8);
        put(state + AT_DOUBLE, bits, 8);
        put(state + AT_HAS_DOUBLE, 1, 4);
    }
    uint32_t float_bits;
    if (g->has_float) {
        memcpy(&float_bits, &g->next_float, 4);
        put(state + AT_FLOAT, float_bits, 4);
        put(state + AT_HAS_FLOAT, 1, 1);
    }
    ag__generator_unlock(g);
    return true;
}

bool ag_generator_set_state(ag_generator *generator, const void *state, size_t size)
{
    if (!generator) return no_generator("ag_generator_set_state");
    if (!state) return ag__fail(AG_EINVAL, "ag_generator_set_state: the state is NULL");
    if (generator->device.type != AG_DEVICE_CPU) return set_cuda_state(generator, state, size);
    if (size != AG_RNG_STATE_BYTES)
        return ag__fail(AG_EINVAL,
                        "Expected a CPUGeneratorImplState of size %d but found the input RNG state size to be %zu",
                        AG_RNG_STATE_BYTES, size);
    const unsigned char *from = state;
    int32_t left = (int32_t)(uint32_t)take(from + AT_LEFT, 4);
    uint32_t next = (uint32_t)take(from + AT_NEXT, 8); /* PyTorch looks at the low half only */
    bool valid = take(from + AT_SEEDED, 4) != 0 && left > 0 && left <= AG_MT_WORDS && next <= AG_MT_WORDS;
    /* and what PyTorch would read beyond its array for */
    if (!valid || next + (uint32_t)left - 1 > AG_MT_WORDS) return ag__fail(AG_EINVAL, "Invalid mt19937 state");

    ag_generator *g = ag__generator_lock(generator);
    g->seed = take(from + AT_SEED, 8);
    g->left = left;
    g->next = next;
    for (int k = 0; k < AG_MT_WORDS; k++) g->word[k] = (uint32_t)take(from + AT_WORDS + 8 * k, 8);
    g->has_double = take(from + AT_HAS_DOUBLE, 4) != 0;
    uint64_t bits = g->has_double ? take(from + AT_DOUBLE, 8) : 0;
    memcpy(&g->next_double, &bits, 8);
    g->has_float = from[AT_HAS_FLOAT] != 0;
    uint32_t float_bits = g->has_float ? (uint32_t)take(from + AT_FLOAT, 4) : 0;
    memcpy(&g->next_float, &float_bits, 4);
    ag__generator_unlock(g);
    return true;
}

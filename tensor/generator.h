/* generator.h - where random numbers come from: PyTorch's CPU generator, number for number.
 *
 *     ag_manual_seed(0);                       torch.manual_seed(0)
 *     Variable *w = ag_rand(AG_SHAPE(2, 3));   the same six numbers
 *
 * A generator is a Mersenne Twister (MT19937) with PyTorch's ways round it. Equal seeds give equal numbers whatever the
 * machine, its instruction set or the number of threads. Whoever draws takes the generator's lock for the whole call,
 * so several threads may share one (which of them gets which numbers is then a matter of chance).
 *
 * Everything that draws takes an optional generator; left out, it is the default one, which starts from a seed of the
 * system's choice.
 */
#ifndef ARGENT_GENERATOR_H
#define ARGENT_GENERATOR_H
#include <argent/device.h>
#include <argent/export.h>

AG_BEGIN_DECLS

typedef struct ag_generator ag_generator;
#ifndef AG_NO_SHORT_NAMES
typedef ag_generator Generator;
#endif

/* ---- the default generator ---- */

/* torch.manual_seed. A negative Python seed s means s + 2^64, which is what a cast does: ag_manual_seed((uint64_t)-1).
 * Only the low 32 bits decide the numbers, as in PyTorch. Returns the default generator. */
AG_API ag_generator *ag_manual_seed(uint64_t seed);
/* torch.seed: a seed that cannot be foreseen; returns it. */
AG_API uint64_t ag_seed(void);
/* torch.initial_seed: the seed that was last set, all 64 bits of it. */
AG_API uint64_t ag_initial_seed(void);
/* torch.default_generator. It is never freed. */
AG_API ag_generator *ag_default_generator(void);

/* ---- a generator of one's own ---- */

/* torch.Generator(): seeded with 67280421310721. NULL when memory is out. */
AG_API ag_generator *ag_generator_new(void);
/* NULL and the default generator are left alone. */
AG_API void ag_generator_free(ag_generator *generator);
AG_API ag_generator *ag_generator_manual_seed(ag_generator *generator, uint64_t seed);
AG_API uint64_t ag_generator_seed(ag_generator *generator);
AG_API uint64_t ag_generator_initial_seed(ag_generator *generator);

/* ---- CUDA ----
 * What is drawn on a device comes from that device's generator, PyTorch's there: Philox, whose state is the seed and
 * how far it has been drawn. ag_manual_seed and ag_seed set all of them, too. Everything above takes one of these as
 * well. */

/* torch.cuda.default_generators[i], of the first 16 devices. It is there before CUDA is used, and never freed. */
AG_API ag_generator *ag_cuda_default_generator(ag_device device);
/* torch.Generator(device). */
AG_API ag_generator *ag_generator_new_on(ag_device device);
/* Where it draws. */
AG_API ag_device ag_generator_device(const ag_generator *generator);

/* ---- the state, to stop and resume ---- */

/* The bytes of torch.get_rng_state(), little endian on every machine: a state saved by either side can be restored by
 * the other. */
#define AG_RNG_STATE_BYTES 5056
/* Those of torch.cuda.get_rng_state(): the seed and the offset. */
#define AG_CUDA_RNG_STATE_BYTES 16

AG_API bool ag_get_rng_state(unsigned char state[AG_RNG_STATE_BYTES]);
/* size must be AG_RNG_STATE_BYTES; a state that no generator could have written is refused and changes nothing. */
AG_API bool ag_set_rng_state(const void *state, size_t size);
/* The same of any generator: AG_RNG_STATE_BYTES, of a CUDA generator AG_CUDA_RNG_STATE_BYTES. */
AG_API bool ag_generator_get_state(ag_generator *generator, unsigned char *state);
AG_API bool ag_generator_set_state(ag_generator *generator, const void *state, size_t size);

/* From here to the end of the enclosing block, however it is left; then the default generator is again as it was.
 * So are those of CUDA devices. Source: torch.random.fork_rng. */
#define AG_FORK_RNG                                                                          \
    __attribute__((cleanup(ag_fork_rng_end), unused)) ag_forked_rng AG_PASTE(ag_forked_rng_, \
                                                                             __COUNTER__) = ag_fork_rng_begin()
typedef struct ag_forked_rng {
    unsigned char state[AG_RNG_STATE_BYTES], cuda_state[16][AG_CUDA_RNG_STATE_BYTES];
} ag_forked_rng;
AG_API ag_forked_rng ag_fork_rng_begin(void);
AG_API void ag_fork_rng_end(ag_forked_rng *before);

AG_END_DECLS
#endif

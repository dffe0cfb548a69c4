/* random_device.h - random numbers on devices: PyTorch's generator there, Philox4x32-10, whose whole state is a seed
 * and how far it has been drawn; and what a device is asked to draw. */
#ifndef AG_RANDOM_DEVICE_H
#define AG_RANDOM_DEVICE_H
#include "tensor/random_kind.h"
#include "tensor/tensor.h"

#include <argent/generator.h>

typedef struct ag__random {
    ag__random_kind kind;
    double a, b;
    uint64_t base, range;
    bool wide; /* a draw is two words */
    const ag_tensor *p;
} ag__random;

/* Whether the host has nothing to draw: x is on a device, and *done is whether that could do it; or the generator is a
 * device's, and an error stands. */
bool ag__random_elsewhere(ag_generator *generator, const ag_tensor *x, const ag__random *how, bool *done);

/* The seed and where the next draws begin, of a device's generator (NULL: its default one), which moves on by that many
 * words for each thread, rounded up to whole calls of four. false with PyTorch's sentence where it is another device's.
 */
bool ag__generator_philox(ag_generator *generator, ag_device device, uint64_t words, uint64_t *seed, uint64_t *offset);

enum { AG_CUDA_GENERATORS = 16 };
/* All default generators of CUDA devices get this seed. */
void ag__cuda_generators_seed(uint64_t seed);
bool ag__is_cuda_default_generator(const ag_generator *generator);
uint64_t ag__unforeseen_seed(void); /* generator.c */

#endif

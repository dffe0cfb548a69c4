/* generator_internal.h - a generator from inside: raw 32-bit words, which the distributions (random_fill.h) turn into
 * numbers. */
#ifndef AG_GENERATOR_INTERNAL_H
#define AG_GENERATOR_INTERNAL_H
#include <argent/generator.h>

#include <pthread.h>

enum { AG_MT_WORDS = 624 };

struct ag_generator {
    pthread_mutex_t lock;
    ag_device device; /* the CPU, or whose generator it is: then the seed and the offset are all there is of it */
    uint64_t seed, offset;
    uint32_t word[AG_MT_WORDS]; /* of the twister, not yet tempered */
    uint32_t next;              /* index of the word that comes next */
    int32_t left;               /* one more than the words left before all are made anew */
    bool has_double; /* the sine half of a pair of normals, kept for the next one that draws a single value */
    double next_double;
    bool has_float; /* part of PyTorch's state; nothing on the CPU uses it */
    float next_float;
};

/* The generator, locked; NULL stands for the default one. */
ag_generator *ag__generator_lock(ag_generator *generator);
void ag__generator_unlock(ag_generator *generator);

/* With the lock held: the next n words. */
void ag__generator_words(ag_generator *generator, uint32_t *words, int64_t n);
uint32_t ag__generator_word(ag_generator *generator);
/* Two words, the first one is the high half. */
uint64_t ag__generator_word64(ag_generator *generator);

/* torch.empty((), dtype=torch.int64).random_(generator=g).item(): two words, as a number below 2^63. A DataLoader draws
 * one for each pass over its data, and its sampler one more. Takes the lock. */
int64_t ag__random_int64(ag_generator *generator);

#endif

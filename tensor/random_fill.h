/* random_fill.h - the distributions: each fills a tensor in host memory with what PyTorch 2.13 would put there, bit for
 * bit, and takes as many words from the generator.
 *
 * A NULL generator is the default one; it is locked for the whole call. Wrong arguments give PyTorch's sentence, false,
 * no draw and an untouched tensor. Unless said otherwise every type is served that PyTorch serves.
 */
#ifndef AG_RANDOM_FILL_H
#define AG_RANDOM_FILL_H
#include "tensor/tensor.h"

#include <argent/generator.h>

/* ---- continuous (random_fill.c) ---- */

bool ag__random_uniform(ag_generator *generator, const ag_tensor *x, double from, double to);
bool ag__random_normal(ag_generator *generator, const ag_tensor *x, double mean, double std);
bool ag__random_log_normal(ag_generator *generator, const ag_tensor *x, double mean, double std);
bool ag__random_exponential(ag_generator *generator, const ag_tensor *x, double lambda);
bool ag__random_cauchy(ag_generator *generator, const ag_tensor *x, double median, double sigma);
/* How many tosses until the first success: whole numbers, in any type but bool. */
bool ag__random_geometric(ag_generator *generator, const ag_tensor *x, double p);

/* ---- discrete (random_discrete.c) ---- */

/* x.random_(from, to), torch.randint: [from, to) */
bool ag__random_integers(ag_generator *generator, const ag_tensor *x, int64_t from, int64_t to);
/* x.random_(from, None): from there to the largest number of the type */
bool ag__random_integers_from(ag_generator *generator, const ag_tensor *x, int64_t from);
/* x.random_(): from 0 to the largest number of the type */
void ag__random_integers_all(ag_generator *generator, const ag_tensor *x);

/* x.bernoulli_(p): 1 with probability p, else 0 */
bool ag__random_bernoulli(ag_generator *generator, const ag_tensor *x, double p);
/* x.bernoulli_(p) with a probability for each element: p has x's sizes (strides of 0 where it repeats), float32 or
 * float64 */
bool ag__random_bernoulli_tensor(ag_generator *generator, const ag_tensor *x, const ag_tensor *p);
/* Dropout's mask, float32 or float64: x.bernoulli_(1 - p).div_(1 - p). PyTorch draws none for p = 0, p = 1 and no
 * elements: then the caller leaves this out. */
bool ag__random_dropout_mask(ag_generator *generator, const ag_tensor *x, double p);

/* Can 0 ... n-1 be permuted in this type? To be asked before memory is taken. */
bool ag__randperm_check(int64_t n, ag_dtype dtype);
/* x (one dimension) becomes a permutation of 0 ... n-1. */
bool ag__random_randperm(ag_generator *generator, const ag_tensor *x);

/* ---- for the files that define distributions ---- */

enum { AG_RANDOM_BLOCK = 512 }; /* values drawn at a time, at most */

/* Draws the next n <= AG_RANDOM_BLOCK values of a distribution described by `how`. */
typedef void ag_draw(ag_generator *generator, const void *how, void *values, int64_t n);
/* Fills x with values of a type (float32, float64 or int64) in PyTorch's order, under the generator's lock. */
void ag__random_fill(ag_generator *generator, const ag_tensor *x, ag_dtype type, ag_draw *draw, const void *how);
/* false with "op" not implemented for 'Type', PyTorch's sentence. */
bool ag__random_refuse_dtype(const char *op, ag_dtype dtype);
bool ag__random_is_float(const ag_tensor *x);

#endif

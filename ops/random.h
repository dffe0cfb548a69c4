/* random.h - Variables of random numbers: PyTorch's, bit for bit, for the same seed.
 *
 *     ag_manual_seed(0);
 *     Variable *w = ag_rand(AG_SHAPE(2, 3));
 *
 * All take .generator by name; left out, it is the default one. Factories take .dtype, .device, .requires_grad and
 * .memory_format as those in factory.h. Ops whose name ends in _ fill their argument and return it; whatever made it
 * before has gradient zero.
 * Errors: AG_EINVAL (a range that is empty, a probability beyond 0..1, a type the distribution does not come in),
 * AG_ENOMEM.
 */
#ifndef ARGENT_RANDOM_H
#define ARGENT_RANDOM_H
#include <argent/factory.h>
#include <argent/generator.h>

AG_BEGIN_DECLS

#define AG_MAY_DRAW_(may) may(Generator, generator, NULL)

/* ---- new ones ---- */

/* uniform on [0, 1); float32, float64 */
#define AG_ARGS_rand(must, may) AG_ARGS_empty(must, may) AG_MAY_DRAW_(may)
#define ag_rand(...)            AG_CALL(rand, __VA_ARGS__)
AG_DECLARE(rand)
#define AG_ARGS_rand_like(must, may) AG_ARGS_empty_like(must, may) AG_MAY_DRAW_(may)
#define ag_rand_like(...)            AG_CALL(rand_like, __VA_ARGS__)
AG_DECLARE(rand_like)

/* normal with mean 0 and standard deviation 1; float32, float64 */
#define AG_ARGS_randn(must, may) AG_ARGS_empty(must, may) AG_MAY_DRAW_(may)
#define ag_randn(...)            AG_CALL(randn, __VA_ARGS__)
AG_DECLARE(randn)
#define AG_ARGS_randn_like(must, may) AG_ARGS_empty_like(must, may) AG_MAY_DRAW_(may)
#define ag_randn_like(...)            AG_CALL(randn_like, __VA_ARGS__)
AG_DECLARE(randn_like)

/* whole numbers from low up to but without high, int64 unless .dtype says otherwise: ag_randint(0, 10, AG_SHAPE(3)) */
#define AG_ARGS_randint(must, may) must(Int, low) must(Int, high) must(Shape, size) AG_MAY_MAKE_(may) AG_MAY_DRAW_(may)
#define ag_randint(...)            AG_CALL(randint, __VA_ARGS__)
AG_DECLARE(randint)

/* 0 ... n - 1 in random order, int64 unless .dtype says otherwise */
#define AG_ARGS_randperm(must, may) must(Int, n) AG_MAY_MAKE_(may) AG_MAY_DRAW_(may)
#define ag_randperm(...)            AG_CALL(randperm, __VA_ARGS__)
AG_DECLARE(randperm)

/* 1 with probability input, element by element, else 0; of input's type */
#define AG_ARGS_bernoulli(must, may) must(Tensor, input) AG_MAY_DRAW_(may)
#define ag_bernoulli(...)            AG_CALL(bernoulli, __VA_ARGS__)
AG_DECLARE(bernoulli)

/* ---- in place ---- */

/* uniform on [from, to) */
#define AG_ARGS_uniform_(must, may) must(Tensor, input) may(Float, from, 0) may(Float, to, 1) AG_MAY_DRAW_(may)
#define ag_uniform_(...)            AG_CALL(uniform_, __VA_ARGS__)
AG_DECLARE(uniform_)
/* normal with this mean and standard deviation */
#define AG_ARGS_normal_(must, may) must(Tensor, input) may(Float, mean, 0) may(Float, std, 1) AG_MAY_DRAW_(may)
#define ag_normal_(...)            AG_CALL(normal_, __VA_ARGS__)
AG_DECLARE(normal_)
/* 1 with probability p, else 0; any type */
#define AG_ARGS_bernoulli_(must, may) must(Tensor, input) may(Float, p, 0.5) AG_MAY_DRAW_(may)
#define ag_bernoulli_(...)            AG_CALL(bernoulli_, __VA_ARGS__)
AG_DECLARE(bernoulli_)
/* whole numbers from `from` up to but without `to`; any type */
#define AG_ARGS_random_(must, may) must(Tensor, input) must(Int, from) must(Int, to) AG_MAY_DRAW_(may)
#define ag_random_(...)            AG_CALL(random_, __VA_ARGS__)
AG_DECLARE(random_)
/* density lambd exp(-lambd x) */
#define AG_ARGS_exponential_(must, may) must(Tensor, input) may(Float, lambd, 1) AG_MAY_DRAW_(may)
#define ag_exponential_(...)            AG_CALL(exponential_, __VA_ARGS__)
AG_DECLARE(exponential_)

AG_END_DECLS
#endif

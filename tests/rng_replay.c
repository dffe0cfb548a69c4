/* rng_replay.c - see rng_replay.h, and tools/record-rng.py for the format. */
#include "rng_replay.h"

#include "tensor/generator_internal.h"
#include "tensor/random_fill.h"

#include <argent/error.h>

#include <check.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* One line: the tensor to fill, in memory of exactly its size, and the arguments both as numbers and as integers. */
typedef struct {
    ag_tensor x;
    size_t bytes;
    double number[2];
    int64_t integer[2];
} Call;

static int line_number;

static ag_dtype dtype_named(const char *name)
{
    for (int d = 0; d < AG_N_DTYPES; d++)
        if (strcmp(name, ag_dtype_name((ag_dtype)d)) == 0) return (ag_dtype)d;
    ck_abort_msg("line %d: no type is called %s", line_number, name);
}

/* ---- the calls, by name ---- */

/* The probabilities that the recording used: 0, 0.1, ... 1, 0, ... */
static bool bernoulli_tensor(const Call *c, ag_dtype dtype)
{
    ag_tensor p = c->x;
    p.dtype = dtype;
    p.data = malloc((size_t)p.numel * sizeof(double));
    for (int64_t i = 0; i < p.numel; i++) {
        if (dtype == AG_FLOAT32)
            ((float *)p.data)[i] = (float)(i % 11) / 10;
        else
            ((double *)p.data)[i] = (double)(i % 11) / 10;
    }
    bool done = ag__random_bernoulli_tensor(NULL, &c->x, &p);
    free(p.data);
    return done;
}

/* clang-format off */
static bool uniform(const Call *c) { return ag__random_uniform(NULL, &c->x, c->number[0], c->number[1]); }
static bool normal(const Call *c) { return ag__random_normal(NULL, &c->x, c->number[0], c->number[1]); }
static bool log_normal(const Call *c) { return ag__random_log_normal(NULL, &c->x, c->number[0], c->number[1]); }
static bool exponential(const Call *c) { return ag__random_exponential(NULL, &c->x, c->number[0]); }
static bool cauchy(const Call *c) { return ag__random_cauchy(NULL, &c->x, c->number[0], c->number[1]); }
static bool geometric(const Call *c) { return ag__random_geometric(NULL, &c->x, c->number[0]); }
static bool integers(const Call *c) { return ag__random_integers(NULL, &c->x, c->integer[0], c->integer[1]); }
static bool integers_from(const Call *c) { return ag__random_integers_from(NULL, &c->x, c->integer[0]); }
static bool integers_all(const Call *c) { ag__random_integers_all(NULL, &c->x); return true; }
static bool bernoulli(const Call *c) { return ag__random_bernoulli(NULL, &c->x, c->number[0]); }
static bool bernoulli_float(const Call *c) { return bernoulli_tensor(c, AG_FLOAT32); }
static bool bernoulli_double(const Call *c) { return bernoulli_tensor(c, AG_FLOAT64); }
static bool dropout_mask(const Call *c) { return ag__random_dropout_mask(NULL, &c->x, c->number[0]); }
static bool randperm(const Call *c) { return ag__random_randperm(NULL, &c->x); }
/* clang-format on */

static const struct {
    const char *name;
    bool (*draw)(const Call *call);
} calls[] = {
    { "uniform", uniform },
    { "normal", normal },
    { "log_normal", log_normal },
    { "exponential", exponential },
    { "cauchy", cauchy },
    { "geometric", geometric },
    { "integers", integers },
    { "integers_from", integers_from },
    { "integers_all", integers_all },
    { "bernoulli", bernoulli },
    { "bernoulli_tensor_float32", bernoulli_float },
    { "bernoulli_tensor_float64", bernoulli_double },
    { "dropout_mask", dropout_mask },
    { "randperm", randperm },
};

static bool draw(const char *name, const Call *call)
{
    for (size_t k = 0; k < sizeof calls / sizeof *calls; k++)
        if (strcmp(name, calls[k].name) == 0) return calls[k].draw(call);
    ck_abort_msg("line %d: unknown call %s", line_number, name);
}

/* ---- comparing ---- */

static int64_t rank_of(double v) /* neighbouring doubles have neighbouring ranks */
{
    int64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits < 0 ? INT64_MIN - bits : bits;
}

/* Equal but for the last bits of log, sin, ... of another C library than the recording's. */
static bool close_to(double got, double want, ag_dtype dtype)
{
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got);
    if (dtype != AG_FLOAT32) return llabs(rank_of(got) - rank_of(want)) <= 4;
    return got == want || (float)got == nextafterf((float)want, (float)got);
}

static uint32_t checksum(const void *bytes, size_t n)
{
    return (uint32_t)crc32(0, n ? bytes : (const void *)"", (uInt)n);
}

static void compare_memory(const Call *call, char *outcome)
{
    char *rest, *word = strtok_r(outcome, " \n", &rest);
    ck_assert_ptr_nonnull(word);
    if (strcmp(word, "crc") == 0) {
        uint32_t want = (uint32_t)strtoul(strtok_r(NULL, " \n", &rest), NULL, 16);
        ck_assert_msg(checksum(call->x.data, call->bytes) == want, "line %d: other numbers than PyTorch's",
                      line_number);
        return;
    }
    size_t size = ag__itemsize(&call->x);
    for (size_t at = 0; at < call->bytes; at += size) {
        word = strtok_r(NULL, " \n", &rest);
        ck_assert_msg(word != NULL, "line %d: too few values recorded", line_number);
        double got = ag__load(call->x.data + at, (ag_dtype)call->x.dtype), want = strtod(word, NULL);
        ck_assert_msg(close_to(got, want, (ag_dtype)call->x.dtype), "line %d: element %zu is %a, PyTorch's is %s",
                      line_number, at / size, got, word);
    }
    ck_assert_msg(strtok_r(NULL, " \n", &rest) == NULL, "line %d: too many values recorded", line_number);
}

static void compare_state(const char *outcome)
{
    unsigned char state[AG_RNG_STATE_BYTES];
    ck_assert(ag_get_rng_state(state));
    double kept;
    memcpy(&kept, state + 5024, sizeof kept);
    memset(state + 5024, 0, sizeof kept);
    unsigned want;
    char number[64];
    ck_assert_int_eq(sscanf(outcome, "%x %63s", &want, number), 2);
    ck_assert_msg(checksum(state, sizeof state) == want, "line %d: another state than PyTorch's", line_number);
    ck_assert_msg(close_to(kept, strtod(number, NULL), AG_FLOAT64), "line %d: the kept normal is %a, PyTorch's is %s",
                  line_number, kept, number);
}

/* ---- lines ---- */

static void read_call(Call *c, char **rest)
{
    *c = (Call){ .x = { .numel = 1 } };
    ag_tensor *x = &c->x;
    x->dtype = (uint8_t)dtype_named(strtok_r(NULL, " \n", rest));
    char *word;
    for (int k = 0; (word = strtok_r(NULL, " \n", rest)) && strcmp(word, "|") != 0; k++) {
        c->number[k] = strtod(word, NULL);
        c->integer[k] = strtoll(word, NULL, 10);
    }
    while ((word = strtok_r(NULL, " \n", rest)) && strcmp(word, "@") != 0) {
        x->size[x->ndim] = strtoll(word, NULL, 10);
        x->numel *= x->size[x->ndim++];
    }
    ag__contiguous_strides(x->ndim, x->size, x->stride);
    for (int d = 0; (word = strtok_r(NULL, " \n", rest)); d++) x->stride[d] = strtoll(word, NULL, 10);
    x->contiguous = ag__is_contiguous(x->ndim, x->size, x->stride);

    int64_t elements = x->numel ? 1 : 0;
    for (int d = 0; d < x->ndim && x->numel; d++) elements += (x->size[d] - 1) * x->stride[d];
    c->bytes = (size_t)elements * ag__itemsize(x);
    x->data = calloc(c->bytes ? c->bytes : 1, 1);
    ck_assert_ptr_nonnull(x->data);
}

static void replay_call(const char *name, char **rest, char *outcome)
{
    Call call;
    read_call(&call, rest);
    bool drawn = draw(name, &call);
    ck_assert_msg(drawn, "line %d: %s", line_number, ag_error());
    compare_memory(&call, outcome);
    free(call.x.data);
}

static void replay_refusal(char **rest, char *sentence)
{
    Call call;
    const char *name = strtok_r(NULL, " \n", rest);
    read_call(&call, rest);
    ck_assert_msg(!draw(name, &call), "line %d: PyTorch refuses this", line_number);
    sentence[strcspn(sentence, "\n")] = 0;
    ck_assert_str_eq(ag_error(), sentence);
    ag_clear_error();
    free(call.x.data);
}

/* The order of a shuffled pass over n items: randperm from this generator. */
static void compare_order(ag_generator *generator, int64_t n, const char *outcome)
{
    int64_t *order = malloc((size_t)n * sizeof *order);
    ag_tensor x = { .data = (char *)order,
                    .numel = n,
                    .dtype = AG_INT64,
                    .ndim = 1,
                    .contiguous = true,
                    .size = { n },
                    .stride = { 1 } };
    ck_assert(ag__random_randperm(generator, &x));
    uint32_t got = checksum(order, (size_t)n * sizeof *order);
    if (outcome) ck_assert_msg(got == strtoul(outcome, NULL, 16), "line %d: another order than PyTorch's", line_number);
    free(order);
}

/* A DataLoader that shuffles: a seed for its workers, one for its sampler, and a permutation from a generator of the
 * sampler's own. */
static void replay_epoch(char **rest, const char *outcome)
{
    int64_t n = strtoll(strtok_r(NULL, " \n", rest), NULL, 10);
    ag__random_int64(NULL);
    ag_generator *own = ag_generator_new();
    ag_generator_manual_seed(own, (uint64_t)ag__random_int64(NULL));
    compare_order(own, n, outcome);
    ag_generator_free(own);
}

/* With a generator given: workers' seed and permutation from it, and at the end of a pass one more permutation that
 * nobody sees. */
static void replay_epoch_of(char **rest, const char *outcome)
{
    ag_generator *given = ag_generator_new();
    ag_generator_manual_seed(given, strtoull(strtok_r(NULL, " \n", rest), NULL, 10));
    int64_t n = strtoll(strtok_r(NULL, " \n", rest), NULL, 10);
    for (int pass = 0; pass < 2; pass++) {
        ag__random_int64(given);
        compare_order(given, n, pass == 1 ? outcome : NULL);
        compare_order(given, n, NULL);
    }
    ag_generator_free(given);
}

int rng_replay(const char *path)
{
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "%s cannot be read", path);
    char *line = NULL;
    size_t room = 0;
    int compared = 0;
    for (line_number = 1; getline(&line, &room, file) > 0; line_number++) {
        if (line[0] == '#') continue;
        char *colon = strstr(line, " : "), *outcome = colon ? colon + 3 : NULL, *rest;
        if (colon) *colon = 0;
        const char *word = strtok_r(line, " \n", &rest);
        if (outcome) compared++;
        if (strcmp(word, "seed") == 0)
            ag_manual_seed(strtoull(rest, NULL, 10));
        else if (strcmp(word, "state") == 0)
            compare_state(outcome);
        else if (strcmp(word, "refused") == 0)
            replay_refusal(&rest, outcome);
        else if (strcmp(word, "epoch") == 0)
            replay_epoch(&rest, outcome);
        else if (strcmp(word, "epoch_of") == 0)
            replay_epoch_of(&rest, outcome);
        else if (strcmp(word, "pass") == 0)
            ag__random_int64(NULL);
        else
            replay_call(word, &rest, outcome);
    }
    free(line);
    fclose(file);
    return compared;
}

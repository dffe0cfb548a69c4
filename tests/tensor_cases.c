/* tensor_cases.c - see tensor_cases.h. */
#include "tensor_cases.h"

#include <stdlib.h>
#include <string.h>

cases cases_open(const char *file, const char *kind)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", AG_TEST_DATA, file);
    cases c = { .file = fopen(path, "r"), .kind = kind };
    ck_assert_msg(c.file != NULL, "%s cannot be read", path);
    return c;
}

bool cases_next(cases *c)
{
    while (fgets(c->line, sizeof c->line, c->file)) {
        c->at = c->line;
        if (strcmp(cases_word(c), c->kind) != 0) continue;
        c->n++;
        return true;
    }
    fclose(c->file);
    ck_assert_msg(c->n > 0, "no recorded case of kind '%s'", c->kind);
    return false;
}

const char *cases_word(cases *c)
{
    while (*c->at == ' ') c->at++;
    char *word = c->at;
    c->at += strcspn(c->at, " \n");
    if (*c->at) *c->at++ = 0;
    return word;
}

int64_t cases_int(cases *c)
{
    const char *word = cases_word(c);
    ck_assert_msg(*word != 0, "case %d of kind '%s' is short", c->n, c->kind);
    return strtoll(word, NULL, 10);
}

ag_dtype cases_dtype(cases *c)
{
    const char *word = cases_word(c);
    for (int dtype = 0; dtype < AG_N_DTYPES; dtype++)
        if (strcmp(word, ag_dtype_name((ag_dtype)dtype)) == 0) return (ag_dtype)dtype;
    ck_abort_msg("case %d of kind '%s': '%s' is not a type", c->n, c->kind, word);
}

ag_tensor cases_layout(cases *c)
{
    int64_t size[AG_MAX_DIMS], stride[AG_MAX_DIMS];
    int ndim = (int)cases_int(c);
    ck_assert_int_le(ndim, AG_MAX_DIMS);
    for (int d = 0; d < ndim; d++) size[d] = cases_int(c);
    for (int d = 0; d < ndim; d++) stride[d] = cases_int(c);
    return tensor_on(NULL, AG_FLOAT32, ndim, size, stride);
}

ag_tensor tensor_on(void *data, ag_dtype dtype, int ndim, const int64_t *size, const int64_t *stride)
{
    static ag_storage on_cpu;
    ag_tensor x = { .data = data, .storage = &on_cpu, .dtype = (uint8_t)dtype, .ndim = (uint8_t)ndim };
    for (int d = 0; d < ndim; d++) x.size[d] = size[d];
    if (stride)
        for (int d = 0; d < ndim; d++) x.stride[d] = stride[d];
    else
        ag__contiguous_strides(ndim, x.size, x.stride);
    x.numel = ag__numel_of(ndim, x.size);
    x.contiguous = ag__is_contiguous(ndim, x.size, x.stride);
    return x;
}

char *tensor_at(const ag_tensor *x, int64_t i)
{
    int64_t place = 0;
    for (int d = x->ndim - 1; d >= 0; d--) {
        place += i % x->size[d] * x->stride[d];
        i /= x->size[d];
    }
    return x->data + place * (int64_t)ag__itemsize(x);
}

void error_is(const char *sentence)
{
    ck_assert_ptr_nonnull(ag_error());
    ck_assert_str_eq(ag_error(), sentence);
    ag_clear_error();
}

int run_suite(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

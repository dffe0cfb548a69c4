/* compare.c - see compare.h. */
#include "compare.h"

#include "autograd/op.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- classes ---- */

/* A row is elementwise; everything else is held to the tolerance of a reduction (matmul, conv, norm and loss are held
 * to the same), but for these. */
static const struct {
    number_class numbers;
    const char *ops; /* each followed by a blank */
} classes[] = {
    /* They only move numbers. */
    { SAME_BITS, "as_strided broadcast_to cat chunk clone contiguous copy_ diagonal double expand expand_as eye "
                 "fill_ flatten flip fliplr flipud float full full_like gather index_copy index_fill index_select "
                 "int long masked_fill movedim narrow ones ones_like permute repeat reshape reshape_as roll "
                 "scatter scatter_value select slice split split_with_sizes squeeze squeeze_ stack t t_ tile to "
                 "transpose transpose_ tril triu unbind unflatten unsqueeze unsqueeze_ view view_as where zero_ "
                 "zeros zeros_like " },
    /* Rows whose formula is a sum of terms of either sign: where these cancel, the last bits of the terms are all that
     * is left. PyTorch's elu and its kin have exp(x) - 1. */
    { CANCELLING, "add addcdiv addcmul celu elu lerp logaddexp logaddexp2 logit rsub selu sub tanhshrink " },
};

static bool has_word(const char *words, const char *word)
{
    size_t n = strlen(word);
    for (const char *at = words; (at = strstr(at, word)); at += n)
        if ((at == words || at[-1] == ' ') && at[n] == ' ') return true;
    return false;
}

number_class class_of_op(const char *name)
{
    const ag_op *op = ag_op_find(name);
    if (!op) return REDUCTION;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (has_word(classes[i].ops, op->name)) return classes[i].numbers;
    return op->row ? ELEMENTWISE : REDUCTION;
}

/* ---- numbers ---- */

typedef struct numbers {
    int64_t n;
    double *got, *want, *ref; /* ref may be NULL */
} numbers;

static double *in_double(const ag_variable *x, complaint *why)
{
    double *at = malloc((size_t)ag_numel(x) * sizeof *at + 1);
    if (at && ag_copy_to(x, at, AG_FLOAT64)) return at;
    complain(why, "%s", at ? ag_error() : "out of memory");
    free(at);
    return NULL;
}

/* The first element whose bits differ; -1 where none does. One NaN is as good as another. */
static int64_t other_bits(const ag_variable *got, const ag_variable *want, complaint *why)
{
    const ag_dtype dtype = ag_dtype_of(got);
    const size_t size = ag_dtype_size(dtype), bytes = (size_t)ag_numel(got) * size;
    char *a = malloc(2 * bytes + 1), *b = a + bytes;
    if (!a || !ag_copy_to(got, a, dtype) || !ag_copy_to(want, b, dtype)) {
        complain(why, "%s", a ? ag_error() : "out of memory");
        free(a);
        return 0;
    }
    int64_t i = 0, n = ag_numel(got);
    for (; i < n; i++) {
        const char *x = a + (size_t)i * size, *y = b + (size_t)i * size;
        if (memcmp(x, y, size) == 0) continue;
        if (!ag_dtype_is_floating_point(dtype)) break;
        double p = dtype == AG_FLOAT32 ? (double)*(const float *)(const void *)x : *(const double *)(const void *)x;
        double q = dtype == AG_FLOAT32 ? (double)*(const float *)(const void *)y : *(const double *)(const void *)y;
        if (!isnan(p) || !isnan(q)) break;
    }
    free(a);
    return i < n ? i : -1;
}

static bool same_bits(comparison *c, complaint *why)
{
    int64_t i = other_bits(c->got, c->want, why);
    c->ratio = i < 0 ? 0 : INFINITY;
    return i < 0 || complain(why, "%s: element %lld has other bits than the recorded one", c->label, (long long)i);
}

/* NaN and infinities in the same places; -1, or the first place where not. */
static int64_t other_kind(const numbers *x)
{
    for (int64_t i = 0; i < x->n; i++) {
        if (isfinite(x->got[i]) && isfinite(x->want[i])) continue;
        if (isnan(x->got[i]) && isnan(x->want[i])) continue;
        if (x->got[i] != x->want[i]) return i;
    }
    return -1;
}

/* How many doubles lie between a and b. */
static double ulps(double a, double b)
{
    int64_t i, j;
    memcpy(&i, &a, sizeof i);
    memcpy(&j, &b, sizeof j);
    if (i < 0) i = INT64_MIN - i;
    if (j < 0) j = INT64_MIN - j;
    return (double)(i > j ? (uint64_t)i - (uint64_t)j : (uint64_t)j - (uint64_t)i);
}

typedef struct distance {
    double error, scale; /* of the largest difference, and the largest magnitude to measure it by */
    int64_t at;
} distance;
/* Of a from b, over the places where all of x is finite. */
static distance distance_of(const numbers *x, const double *a, const double *b)
{
    distance d = { 0, 0, 0 };
    double largest = 0;
    for (int64_t i = 0; i < x->n; i++) {
        if (!isfinite(x->want[i]) || !isfinite(b[i])) continue;
        double error = fabs(a[i] - b[i]);
        if (error > d.error) d.error = error, d.at = i;
        d.scale = fmax(d.scale, fabs(b[i]));
        largest = fmax(largest, fabs(a[i]));
    }
    if (d.scale == 0) d.scale = largest;
    return d;
}

static double ratio_of(double error, double allowed)
{
    return error == 0 ? 0 : allowed == 0 ? INFINITY : error / allowed;
}

static double tolerance(const comparison *c)
{
    static const double of[][3] = {
        [SAME_BITS] = { 0, 1e-14, 1e-13 },   /* a gradient of moved numbers is a sum of some */
        [ELEMENTWISE] = { 0, 1e-14, 1e-13 }, /* values: see in_ulps */
        [CANCELLING] = { 1e-15, 1e-14, 1e-13 }, [REDUCTION] = { 1e-12, 1e-11, 1e-11 },
        [COMPOSITION] = { 1e-8, 1e-7, 1e-7 },
    };
    return of[c->numbers][c->order];
}

/* The largest difference in units of 4 ULP, and where it is. */
static double in_ulps(const numbers *x, int64_t *at)
{
    double largest = 0;
    for (int64_t i = 0; i < x->n; i++) {
        double u = isfinite(x->want[i]) ? ulps(x->got[i], x->want[i]) / 4 : 0;
        if (u > largest) largest = u, *at = i;
    }
    return largest;
}

static bool compare_float64(comparison *c, const numbers *x, complaint *why)
{
    distance d = distance_of(x, x->got, x->want);
    d.scale = fmax(d.scale, c->floor);
    c->ratio = ratio_of(d.error, tolerance(c) * d.scale);
    if (c->order == VALUE && (c->numbers == ELEMENTWISE || (c->numbers == CANCELLING && c->ratio > 1)))
        c->ratio = in_ulps(x, &d.at);
    return c->ratio <= 1 ||
           complain(why, "%s: element %lld is %.17g and not %.17g: %.3g of the largest, %.3g times the tolerance",
                    c->label, (long long)d.at, x->got[d.at], x->want[d.at], d.scale ? d.error / d.scale : 0, c->ratio);
}

/* PyTorch's own error in the same case is the measure of what may be asked. That it is one has to be believed of the
 * recorded numbers: where ours are far closer to the reference, these are not what PyTorch computed. */
static bool compare_float32(comparison *c, const numbers *x, complaint *why)
{
    const double least = 4 * 1.19e-7;
    const double believed = c->order == VALUE && c->numbers <= CANCELLING ? 1e-5 : 1e-3;
    distance ours = distance_of(x, x->got, x->ref ? x->ref : x->want);
    distance theirs = x->ref ? distance_of(x, x->want, x->ref) : (distance){ 0, 0, 0 };
    c->ratio = ratio_of(ours.error, fmax(2 * theirs.error, least * ours.scale));
    if (c->ratio > 1)
        return complain(why, "%s: element %lld is %.9g, PyTorch's %.9g: error %.3g of the largest, PyTorch's %.3g",
                        c->label, (long long)ours.at, x->got[ours.at], x->want[ours.at], ours.error / ours.scale,
                        theirs.error / ours.scale);
    if (theirs.error <= fmax(16 * ours.error, believed * ours.scale)) return true;
    c->ratio = INFINITY;
    return complain(why, "%s: element %lld, %.9g, is far from its reference, %.9g, and ours, %.9g, is not", c->label,
                    (long long)theirs.at, x->want[theirs.at], x->ref[theirs.at], x->got[theirs.at]);
}

static bool compare_numbers(comparison *c, const numbers *x, complaint *why)
{
    int64_t i = other_kind(x);
    c->ratio = INFINITY;
    if (i >= 0)
        return complain(why, "%s: element %lld is %g and not %g", c->label, (long long)i, x->got[i], x->want[i]);
    return ag_dtype_of(c->got) == AG_FLOAT32 ? compare_float32(c, x, why) : compare_float64(c, x, why);
}

static bool same_shape(const ag_variable *a, const ag_variable *b)
{
    ag_shape_list x = ag_shape(a), y = ag_shape(b);
    return x.n == y.n && (x.n == 0 || memcmp(x.at, y.at, (size_t)x.n * sizeof *x.at) == 0);
}

bool compare(comparison *c, complaint *why)
{
    c->ratio = INFINITY;
    if (ag_dtype_of(c->got) != ag_dtype_of(c->want))
        return complain(why, "%s: it is %s and not %s", c->label, ag_dtype_name(ag_dtype_of(c->got)),
                        ag_dtype_name(ag_dtype_of(c->want)));
    if (!same_shape(c->got, c->want)) {
        char a[AG_TEXT], b[AG_TEXT];
        return complain(why, "%s: it is %s and not %s", c->label, ag__tensor_text(&c->got->tensor, a, sizeof a),
                        ag__tensor_text(&c->want->tensor, b, sizeof b));
    }
    if (!ag_is_floating_point(c->got) || (c->numbers == SAME_BITS && c->order == VALUE)) return same_bits(c, why);
    if (c->ref && !same_shape(c->ref, c->want)) return complain(why, "%s: its reference has another shape", c->label);
    numbers x = { ag_numel(c->got), in_double(c->got, why), in_double(c->want, why),
                  c->ref ? in_double(c->ref, why) : NULL };
    bool ok = x.got && x.want && (x.ref || !c->ref) && compare_numbers(c, &x, why);
    free(x.got);
    free(x.want);
    free(x.ref);
    return ok;
}

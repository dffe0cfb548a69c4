/* walk.c - going over several tensors of one shape in step.
 *
 * Two things make this fast. Dimensions that lie in memory as one, in every operand, become one, so that nearly
 * everything is a single long row; and the dimension with operand 0's smallest stride comes last, so that the inner
 * loop runs through memory in order whatever the order in which the user sees the dimensions.
 */
#include "tensor/parallel.h"
#include "tensor/tensor.h"

/* ---- the walk ---- */

/* Row-major operands of operand 0's size, and single numbers repeated: one row. */
static bool walk_as_one(ag_walk *w, int n, const ag_tensor *const *operand)
{
    int64_t numel = operand[0]->numel;
    for (int k = 0; k < n; k++)
        if (!operand[k]->contiguous || (operand[k]->numel != numel && (operand[k]->numel != 1 || k == 0))) return false;
    for (int k = 0; k < n; k++) w->stride[k][0] = operand[k]->numel == 1 ? 0 : (int64_t)ag__itemsize(operand[k]);
    w->size[0] = numel;
    w->ndim = numel != 1;
    return true;
}

/* Whether dimension p belongs outside q: the first operand that does not repeat along either decides. */
static bool belongs_outside(int n, int64_t (*step)[AG_MAX_DIMS], int p, int q)
{
    for (int k = 0; k < n; k++) {
        int64_t a = step[k][p], b = step[k][q];
        if (a != b && a != 0 && b != 0) return a > b;
    }
    return false;
}

/* Whether dimension `outer` goes on where `inner`, of so many elements, ends. */
static bool is_one_with(int n, int64_t (*step)[AG_MAX_DIMS], int outer, int inner, int64_t count)
{
    for (int k = 0; k < n; k++)
        if (step[k][outer] != step[k][inner] * count) return false;
    return true;
}

void ag__walk(ag_walk *w, int n, const ag_tensor *const *operand)
{
    const ag_tensor *shape = operand[0];
    w->n = n;
    w->numel = shape->numel;
    for (int k = 0; k < n; k++) w->data[k] = operand[k]->data;
    if (walk_as_one(w, n, operand)) return;

    int64_t step[AG_MAX_OPERANDS][AG_MAX_DIMS]; /* bytes */
    for (int k = 0; k < n; k++) {
        int64_t item = (int64_t)ag__itemsize(operand[k]);
        ag__broadcast_strides(operand[k], shape->ndim, shape->size, step[k]);
        for (int d = 0; d < shape->ndim; d++) step[k][d] *= item;
    }

    int order[AG_MAX_DIMS], dims = 0; /* the innermost first, without those of size 1 */
    for (int d = shape->ndim - 1; d >= 0; d--) {
        if (shape->size[d] == 1) continue;
        int at = dims++;
        for (; at > 0 && belongs_outside(n, step, order[at - 1], d); at--) order[at] = order[at - 1];
        order[at] = d;
    }

    int first[AG_MAX_DIMS]; /* the dimension that each merged one begins with */
    int64_t count[AG_MAX_DIMS];
    int merged = 0;
    for (int i = 0; i < dims; i++) {
        if (merged > 0 && is_one_with(n, step, order[i], first[merged - 1], count[merged - 1])) {
            count[merged - 1] *= shape->size[order[i]];
        } else {
            first[merged] = order[i];
            count[merged++] = shape->size[order[i]];
        }
    }
    w->ndim = merged;
    for (int i = 0; i < merged; i++) {
        int d = merged - 1 - i;
        w->size[d] = count[i];
        for (int k = 0; k < n; k++) w->stride[k][d] = step[k][first[i]];
    }
}

/* ---- rows ---- */

typedef struct rows {
    const ag_walk *w;
    ag_row *row;
    void *user;
    int64_t unit; /* elements in one of what the thread pool counts */
} rows;

/* Units begin to end: rows, of which the first and the last may be parts. */
static void walk_part(void *user, int64_t begin, int64_t end)
{
    const rows *r = user;
    const ag_walk *w = r->w;
    int n = w->n, last = w->ndim - 1;
    char *data[AG_MAX_OPERANDS];
    int64_t stride[AG_MAX_OPERANDS], index[AG_MAX_DIMS];
    begin *= r->unit;
    end *= r->unit;

    for (int k = 0; k < n; k++) {
        data[k] = w->data[k];
        stride[k] = last < 0 ? 0 : w->stride[k][last];
    }
    int64_t outside = begin;
    for (int d = last; d >= 0 && outside > 0; d--) {
        int64_t i = outside % w->size[d];
        outside /= w->size[d];
        for (int k = 0; k < n; k++) data[k] += i * w->stride[k][d];
    }
    outside = last < 0 ? 0 : begin / w->size[last];
    for (int d = last - 1; d >= 0; d--) {
        index[d] = outside % w->size[d];
        outside /= w->size[d];
    }

    int64_t length = last < 0 ? 1 : w->size[last], skipped = begin % length;
    for (int64_t at = begin; at < end;) {
        int64_t count = length - skipped;
        if (count > end - at) count = end - at;
        r->row(r->user, data, stride, count);
        at += count;
        if (at >= end) return;
        for (int k = 0; k < n; k++) data[k] -= skipped * stride[k];
        skipped = 0;
        for (int d = last - 1; d >= 0; d--) {
            for (int k = 0; k < n; k++) data[k] += w->stride[k][d];
            if (++index[d] < w->size[d]) break;
            index[d] = 0;
            for (int k = 0; k < n; k++) data[k] -= w->size[d] * w->stride[k][d];
        }
    }
}

/* The split depends on the shape and the grain alone: whole rows where several make a task, else parts of rows. */
void ag__walk_rows(const ag_walk *w, int64_t grain, ag_row *row, void *user)
{
    if (w->numel == 0) return;
    rows r = { w, row, user, 1 };
    if (grain < 1) grain = 1;
    if (w->numel <= grain) {
        walk_part(&r, 0, w->numel);
        return;
    }
    int64_t length = w->size[w->ndim - 1]; /* more than one element, so there is a dimension */
    if (length <= grain) r.unit = length;
    ag__parallel_for(w->numel / r.unit, grain / r.unit, walk_part, &r);
}

/* index.c - reading and writing by number on a device: the descriptions of the launches. Where several entries name one
 * place, the last one stays (each place notes the largest of their numbers), and sums are taken in the entries' order:
 * these are sorted by the places they name, and each place adds up its own; where they are many, in parts of a fixed
 * length, which are then added up. */
#include "cuda/index.h"
#include "cuda/runtime.h"
#include "ops/index_device.h"

#include <string.h>

static const char *name_of(const ag_run *r) { return r->op->of ? r->op->of : r->op->name; }

static bool describe_number(const ag_run *r, const ag__indexing *how, ag_cuda_number *number)
{
    number->size = how->whole.size[how->dim];
    number->wide = how->index.dtype == AG_INT64;
    number->from_end = how->from_end;
    return ag__cuda_may_fail(r, how->is_take ? AG_CUDA_BAD_TAKE : AG_CUDA_BAD_INDEX, how->dim, number->size,
                             &number->report);
}

/* ---- each element for itself ---- */

/* Rows that are read as they lie are read 16 bytes at a time, if all of them begin where that can be done. */
static void widen(ag_cuda_pick *p)
{
    enum { WIDE = 16 };
    ag_cuda_elements *e = &p->elements;
    const int last = e->ndim - 1;
    uint64_t all = (uint64_t)p->step | (uintptr_t)e->data[0] | (uintptr_t)e->data[1];
    if (last < 0 || e->stride[0][last] != p->itemsize || e->stride[1][last] != p->itemsize || e->stride[2][last])
        return;
    for (int d = 0; d < last; d++) all |= (uint64_t)e->stride[0][d] | (uint64_t)e->stride[1][d];
    if ((all | (uint64_t)(e->size[last] * p->itemsize)) % WIDE) return;
    e->size[last] = e->size[last] * p->itemsize / WIDE;
    e->numel = e->numel * p->itemsize / WIDE;
    e->stride[0][last] = e->stride[1][last] = WIDE;
    p->itemsize = WIDE;
}

static bool pick(ag_run *r, const ag__indexing *how)
{
    const bool reads = how->kind == AG_INDEX_READ;
    ag_tensor whole = how->whole; /* under index's sizes, without the dimension */
    ag_cuda_pick p = { .step = whole.stride[how->dim] * (int64_t)ag__itemsize(&whole),
                       .itemsize = (int)ag__itemsize(&whole) };
    cudaStream_t stream;
    memcpy(whole.size, how->index.size, sizeof whole.size);
    whole.stride[how->dim] = 0;
    whole.numel = how->index.numel;
    whole.contiguous = false;
    memcpy(&p.value, how->value, sizeof p.value);
    if (!describe_number(r, how, &p.number) || !ag__cuda_use(name_of(r), r->device, &stream)) return false;
    if (reads)
        ag__cuda_describe(&p.elements, 3, (const ag_tensor *const[]){ &how->part, &whole, &how->index },
                          (const int[]){ 0, 1, 2 }, (const ag_dtype[]){ whole.dtype, whole.dtype, how->index.dtype });
    else
        ag__cuda_describe(&p.elements, 2, (const ag_tensor *const[]){ &whole, &how->index }, (const int[]){ 0, 2 },
                          (const ag_dtype[]){ whole.dtype, how->index.dtype });
    if (reads) widen(&p);
    return ag__cuda_launched(
        name_of(r), (cudaError_t)(reads ? ag__cuda_read_by_number : ag__cuda_fill_by_number)(&p, stream), stream);
}

/* ---- slices ---- */

static void add_dimension(ag_cuda_shape *s, int64_t size, int64_t stride)
{
    s->size[s->ndim] = size;
    s->stride[s->ndim++] = stride;
    s->numel *= size;
}

/* Splits the dimensions into those of the entries and those of a slice; targets are numbered in their order. */
static void describe_write(const ag__indexing *how, ag_cuda_write *w)
{
    const ag_tensor *whole = &how->whole, *part = &how->part, *index = &how->index;
    const int64_t item = (int64_t)ag__itemsize(whole), index_item = (int64_t)ag__itemsize(index);
    int from[AG_CUDA_DIMS]; /* which dimension of the index each one of the entries is */
    int64_t targets = 1;
    *w = (ag_cuda_write){ .index = index->data, .part = part->data, .whole = whole->data, .alpha = how->alpha };
    w->entry.numel = w->source.numel = w->target.numel = w->inner.numel = 1;
    for (int d = 0; d < index->ndim; d++) {
        const int64_t size = index->size[d];
        if (d == how->dim || (index->stride[d] != 0 && size > 1)) {
            from[w->entry.ndim] = d;
            add_dimension(&w->entry, size, index->stride[d] * index_item);
            add_dimension(&w->source, size, part->stride[d] * item);
            add_dimension(&w->target, d == how->dim ? whole->size[d] : size, whole->stride[d] * item);
        } else if (size > 1) {
            w->inner_source[w->inner.ndim] = part->stride[d] * item;
            add_dimension(&w->inner, size, whole->stride[d] * item);
        }
    }
    for (int k = w->target.ndim - 1; k >= 0; k--) {
        *(from[k] == how->dim ? &w->number_step : &w->target_step[k]) = targets;
        targets *= w->target.size[k];
    }
}

/* Room for n elements; NULL with an error. */
static void *room(ag_run *r, int64_t n, ag_dtype dtype)
{
    ag_variable *v = ag__cuda_host->new_variable(r->t, 1, &n, dtype, r->device);
    return v ? v->tensor.data : NULL;
}

static bool write_last(ag_run *r, const ag__indexing *how, ag_cuda_write *w, cudaStream_t stream)
{
    const int64_t targets = w->target.numel;
    if (!(w->last = room(r, targets, AG_INT32))) return false;
    if (!ag__cuda_ok(name_of(r), cudaMemsetAsync(w->last, 0, (size_t)targets * sizeof *w->last, stream))) return false;
    return ag__cuda_launched(name_of(r), (cudaError_t)ag__cuda_find_last(w, stream), stream) &&
           ag__cuda_launched(name_of(r), (cudaError_t)ag__cuda_write_last(w, (int)ag__itemsize(&how->whole), stream),
                             stream);
}

static bool add_sorted(ag_run *r, const ag__indexing *how, ag_cuda_write *w, cudaStream_t stream)
{
    const int64_t n = w->entry.numel;
    ag_cuda_sort s = { .n = n };
    for (int k = 0; k < 2; k++)
        if (!(s.key[k] = room(r, n, AG_INT64)) || !(s.number[k] = room(r, n, AG_INT32))) return false;
    if (!(s.counts = room(r, ag__cuda_sort_tiles(n) * AG_CUDA_DIGITS, AG_INT32))) return false;
    while (w->target.numel >> s.bits) s.bits++; /* the keys go up to numel itself */
    w->key = s.key[0];
    if (!ag__cuda_launched(name_of(r), (cudaError_t)ag__cuda_name_targets(w, stream), stream) ||
        !ag__cuda_launched(name_of(r), (cudaError_t)ag__cuda_sort_launch(&s, stream), stream))
        return false;
    w->key = s.key[ag__cuda_sorted_in(&s)];
    w->sorted = s.number[ag__cuda_sorted_in(&s)];
    if (n > AG_CUDA_ADD_PART) {
        if (!(w->first = room(r, n, AG_INT32)) ||
            !(w->parts = room(r, ag__cuda_parts(n) * w->inner.numel, (ag_dtype)how->whole.dtype)) ||
            !ag__cuda_launched(name_of(r), (cudaError_t)ag__cuda_find_first(w, stream), stream))
            return false;
    }
    return ag__cuda_launched(name_of(r), (cudaError_t)ag__cuda_add_sorted(w, how->whole.dtype, stream), stream);
}

bool ag__cuda_index(ag_run *r, const struct ag__indexing *how)
{
    ag_cuda_write w;
    cudaStream_t stream;
    if (how->index.numel == 0) return true;
    if (how->kind == AG_INDEX_READ || how->kind == AG_INDEX_FILL) return pick(r, how);
    describe_write(how, &w);
    if (w.entry.numel >= UINT32_MAX)
        return ag__cuda_host->fail(AG_ENOTSUP, "%s: more than 2^32 - 2 indices are too many on a device", name_of(r));
    if (!describe_number(r, how, &w.number) || !ag__cuda_use(name_of(r), r->device, &stream)) return false;
    return how->kind == AG_INDEX_WRITE ? write_last(r, how, &w, stream) : add_sorted(r, how, &w, stream);
}

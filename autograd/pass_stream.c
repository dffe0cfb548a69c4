/* pass_stream.c - walks where CUDA streams of the user's choice are in play, as PyTorch has it: a node's backward runs
 * on the stream that was current when it was recorded; a gradient that goes to a node of another stream is waited for
 * there; .grad changes on the stream that was current when the walk began, which in the end waits for all others. */
#include "autograd/pass.h"
#include "tensor/cuda_table.h"
#include "tensor/device_table.h"

#include <string.h>

static bool is_cuda(ag_device device) { return device.type == AG_DEVICE_CUDA; }
static const ag_cuda_functions *cuda(void) { return ag__cuda_functions()->cuda; }

void ag__pass_streams_begin(ag_pass *w, ag_pass_streams *s)
{
    memset(s->used, 0, sizeof s->used);
    memcpy(s->ambient, w->t->cuda_stream, sizeof s->ambient);
    w->streams = s;
}

static void make_current(ag_pass *w, ag_device device, uint8_t stream)
{
    w->t->cuda_stream[device.index] = stream;
    w->streams->used[device.index][stream / 64] |= (uint64_t)1 << stream % 64;
}

void ag__node_stream_enter(ag_pass *w, const ag_node *n, ag_variable *const *g)
{
    for (uint32_t k = 0; k < n->n_out; k++)
        if (g[k] && is_cuda(ag__device(g[k]))) {
            make_current(w, ag__device(g[k]), n->stream);
            return;
        }
}
void ag__node_stream_leave(ag_pass *w) { memcpy(w->t->cuda_stream, w->streams->ambient, sizeof w->streams->ambient); }

/* `stream` waits for the current one, and uses x's memory. */
static bool hand_over(ag_pass *w, const ag_variable *x, uint8_t stream)
{
    const ag_device device = ag__device(x);
    const ag_cuda_stream to = { device, stream }, from = { device, w->t->cuda_stream[device.index] };
    if (!cuda()->stream_wait(to, from)) return false;
    cuda()->record_stream(x->tensor.storage->data, to);
    return true;
}

bool ag__pass_give_across(ag_pass *w, uintptr_t to, uint32_t output_nr, ag_variable *g)
{
    const bool is_leaf = to & 1;
    const ag_variable *leaf = is_leaf ? (const ag_variable *)(to & ~(uintptr_t)1) : NULL;
    const ag_variable *there = g ? g : leaf;
    if (!there || !is_cuda(ag__device(there))) return ag__pass_give_here(w, to, output_nr, g);
    const ag_device device = ag__device(there);
    const uint8_t now = w->t->cuda_stream[device.index];
    const uint8_t then = is_leaf ? w->streams->ambient[device.index] : ((const ag_node *)to)->stream;
    if (g && now != then && !hand_over(w, g, then)) return false;
    make_current(w, device, then);
    bool ok = ag__pass_give_here(w, to, output_nr, g);
    make_current(w, device, now);
    return ok;
}

bool ag__pass_streams_end(ag_pass *w)
{
    const ag_pass_streams *s = w->streams;
    bool ok = true;
    ag__node_stream_leave(w);
    for (int d = 0; d < AG_CUDA_DEVICES && ok; d++)
        for (int id = 0; id < AG_CUDA_STREAMS && ok; id++) {
            if (!(s->used[d][id / 64] >> id % 64 & 1) || id == s->ambient[d]) continue;
            const ag_device device = AG_DEVICE(AG_DEVICE_CUDA, (int16_t)d);
            ok = cuda()->stream_wait((ag_cuda_stream){ device, s->ambient[d] }, (ag_cuda_stream){ device, id });
        }
    for (int64_t i = 0; w->grads && i < w->n_inputs; i++) {
        const ag_variable *g = w->grads[i];
        if (!g || !is_cuda(ag__device(g))) continue;
        const ag_cuda_stream mine = { ag__device(g), s->ambient[ag__device(g).index] };
        cuda()->record_stream(g->tensor.storage->data, mine);
    }
    return ok;
}

// warp.cc - operations of a warp: shuffles, votes, __syncwarp.
#include "cuda/host/internal.h"

namespace hs
{
unsigned lane_bits(unsigned w)
{
    unsigned k = B.n - w * 32;
    return k >= 32 ? 0xffffffffu : (1u << k) - 1;
}
void warp_finish(unsigned w, int gi)
{ // all lanes of the group are here
    warp *W = &B.w[w];
    unsigned m = W->g[gi].here, base = w * 32, ball = 0, acc = 0;
    uint64_t in[32];
    W->g[gi] = W->g[--W->ng];
    count.warpops++;
    int op = B.t[base + (unsigned)__builtin_ctz(m)].op;
    bool first = true;
    for (unsigned i = 0; i < 32; i++)
        if (m >> i & 1) {
            in[i] = B.t[base + i].val;
            unsigned v = (unsigned)in[i];
            if (op == HS_SYNC) continue;
            if (op >= HS_BALLOT && op <= HS_ALL) ball |= v << i;
            if (op >= HS_RADD)
                acc = first           ? v
                      : op == HS_RADD ? acc + v
                      : op == HS_RMIN ? (v < acc ? v : acc)
                      : op == HS_RMAX ? (v > acc ? v : acc)
                      : op == HS_RAND ? acc & v
                      : op == HS_ROR  ? acc | v
                                      : acc ^ v;
            first = false;
        }
    for (unsigned i = 0; i < 32; i++)
        if (m >> i & 1) {
            thr *t = &B.t[base + i];
            unsigned wd = (unsigned)t->width, seg = i & ~(wd - 1), s = i;
            switch (op) {
            case HS_SYNC:
                break;
            case HS_IDX:
                s = seg + ((unsigned)t->param & (wd - 1));
                break;
            case HS_UP:
                if (i >= seg + (unsigned)t->param) s = i - (unsigned)t->param;
                break;
            case HS_DOWN:
                if (i + (unsigned)t->param < seg + wd) s = i + (unsigned)t->param;
                break;
            case HS_XOR:
                s = i ^ (unsigned)t->param;
                if (s >= seg + wd) s = i;
                break;
            case HS_BALLOT:
                t->val = ball;
                continue;
            case HS_ANY:
                t->val = ball != 0;
                continue;
            case HS_ALL:
                t->val = ball == m;
                continue;
            default:
                t->val = acc;
                continue;
            }
            if (op == HS_SYNC) continue;
            if (!(m >> s & 1)) {
                set_current(base + i);
                hs_fail("shuffle at %s:%d reads lane %u, which takes no part (mask %08x, lanes here %08x)", t->file,
                        t->line, s, t->mask, m);
            }
            t->val = in[s];
        }
    for (unsigned k = 0; k < 32; k++) {
        unsigned i = opt.order == REV ? 31 - k : k;
        if ((m >> i & 1) && B.t[base + i].st == WAIT_WARP) make_ready(base + i);
    }
}

} // namespace hs

using namespace hs;
static void val_copy(void *d, const void *s, int n)
{ // no libc call: TSan would see it
    if (n == 4)
        memcpy(d, s, 4);
    else if (n == 8)
        memcpy(d, s, 8);
    else if (n == 2)
        memcpy(d, s, 2);
    else if (n)
        memcpy(d, s, 1);
}
void hs_warp_op(int op, unsigned mask, void *val, int n, int param, int width, const char *file, int line)
{
    unsigned w = B.cur / 32, lane = B.cur % 32;
    warp *W = &B.w[w];
    thr *t = &B.t[B.cur];
    t->op = op;
    t->mask = mask;
    t->param = param;
    t->width = width;
    t->file = file;
    t->line = line;
    t->n = n;
    t->val = 0;
    val_copy(&t->val, val, n);
    if (!(mask >> lane & 1))
        hs_fail("warp operation at %s:%d: lane %u is not in its own mask %08x", file, line, lane, mask);
    if (width < 1 || width > 32 || (width & (width - 1))) hs_fail("shuffle at %s:%d: bad width %d", file, line, width);
    unsigned gone = mask & lane_bits(w) & ~W->live;
    if (gone && opt.strict)
        hs_fail("warp operation at %s:%d: mask %08x names exited lanes %08x", file, line, mask, gone);
    int gi = -1;
    for (int i = 0; i < W->ng; i++)
        if (W->g[i].mask & mask) {
            thr *o = &B.t[w * 32 + (unsigned)__builtin_ctz(W->g[i].here)];
            if (W->g[i].mask != mask || o->op != op || o->line != line || strcmp(o->file, file))
                hs_fail("divergent warp operation: lane %u is at %s:%d (mask %08x), lane %u waits at %s:%d (mask %08x)",
                        lane, file, line, mask, (unsigned)__builtin_ctz(W->g[i].here), o->file, o->line, o->mask);
            gi = i;
        }
    if (gi < 0) {
        gi = W->ng++;
        W->g[gi] = { mask, 0 };
    }
    W->g[gi].here |= 1u << lane;
    static uint64_t wgen[32];
    bool ts = TSAN && op == HS_SYNC; // shuffles order no memory, __syncwarp does
    uint64_t g = wgen[w];
    if (ts) __tsan_release(&sync_blk[2 + 2 * w + (g & 1)]);
    if (W->g[gi].here == (mask & W->live)) {
        if (ts) wgen[w]++;
        warp_finish(w, gi);
    } else
        block_current(WAIT_WARP);
    if (ts) __tsan_acquire(&sync_blk[2 + 2 * w + (g & 1)]);
    val_copy(val, &t->val, n);
}

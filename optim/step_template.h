/* step_template.h - the steps for one floating type: `real`, REAL(name), SQRT (step_kernel.c).
 *
 * A row goes through registers, a partial one at its end like the others, so that an element's bits do not depend on
 * where it lies. Rows whose elements lie apart, or repeat (an expanded gradient), are gathered lane by lane. Nothing is
 * assumed about operands that share memory: an element is read before it is written. */
#define vec   REAL(vec)
#define mask  REAL(mask)
#define LANES REAL(LANES)
#define fused REAL(fused)

/* n numbers `stride` bytes apart; zero in the other lanes. */
AG_INLINE vec REAL(get)(const char *p, int64_t stride, int64_t n)
{
    if (n == LANES && stride == (int64_t)sizeof(real)) return REAL(load)((const real *)(const void *)p);
    vec v = { 0 };
    for (int64_t k = 0; k < n; k++) v[k] = *(const real *)(const void *)(p + k * stride);
    return v;
}
AG_INLINE void REAL(put)(char *p, int64_t stride, int64_t n, vec v)
{
    if (n == LANES && stride == (int64_t)sizeof(real))
        REAL(store)((real *)(void *)p, v);
    else
        for (int64_t k = 0; k < n; k++) *(real *)(void *)(p + k * stride) = v[k];
}
#define GET(k)    REAL(get)(at[k] + i * step[k], step[k], n)
#define PUT(k, v) REAL(put)(at[k] + i * step[k], step[k], n, v)

AG_INLINE vec REAL(root)(vec v)
{
    for (int k = 0; k < LANES; k++) v[k] = SQRT(v[k]);
    return v;
}
/* NaN wins. */
AG_INLINE vec REAL(greater)(vec a, vec b)
{
    mask c = (a > b) | (a != a);
    return (vec)(((mask)a & c) | ((mask)b & ~c));
}
/* a + weight * (b - a): from the end that is nearer. */
AG_INLINE vec REAL(lerp)(vec a, vec b, real weight)
{
    bool is_near = weight < (real)0.5;
    return is_near ? fused(REAL(splat)(weight), b - a, a) : fused(-(b - a), REAL(splat)(1 - weight), b);
}

static void REAL(sgd)(void *user, char *const *data, const int64_t *stride, int64_t count)
{
    const ag__sgd_step s = *(const ag__sgd_step *)user;
    const bool decays = s.weight_decay != 0, has_buffer = s.momentum != 0;
    const vec lr = REAL(splat)((real)-s.lr), decay = REAL(splat)((real)s.weight_decay),
              momentum = REAL(splat)((real)s.momentum), share = REAL(splat)((real)(1 - s.dampening));
    char *const at[3] = { data[0], data[1], has_buffer ? data[2] : NULL };
    const int64_t step[3] = { stride[0], stride[1], has_buffer ? stride[2] : 0 };
    for (int64_t i = 0; i < count; i += LANES) {
        const int64_t n = count - i < LANES ? count - i : LANES;
        vec p = GET(0), g = GET(1);
        if (s.maximize) g = -g;
        if (decays) g = fused(decay, p, g);
        if (has_buffer) {
            vec b = g;
            if (!s.first) {
                b = GET(2);
                b = fused(share, g, b * momentum);
            }
            PUT(2, b);
            g = s.nesterov ? fused(momentum, b, g) : b;
        }
        PUT(0, fused(lr, g, p));
    }
}

static void REAL(adam)(void *user, char *const *data, const int64_t *stride, int64_t count)
{
    const ag__adam_step s = *(const ag__adam_step *)user;
    const bool decays = s.weight_decay != 0;
    const real weight = (real)(1 - s.beta1);
    const vec decay = REAL(splat)((real)s.weight_decay), beta2 = REAL(splat)((real)s.beta2),
              share = REAL(splat)((real)(1 - s.beta2)), size = REAL(splat)((real)-s.step_size),
              correction = REAL(splat)((real)s.correction2_sqrt), eps = REAL(splat)((real)s.eps);
    char *const at[5] = { data[0], data[1], data[2], data[3], s.amsgrad ? data[4] : NULL };
    const int64_t step[5] = { stride[0], stride[1], stride[2], stride[3], s.amsgrad ? stride[4] : 0 };
    for (int64_t i = 0; i < count; i += LANES) {
        const int64_t n = count - i < LANES ? count - i : LANES;
        vec p = GET(0), g = GET(1);
        if (s.maximize) g = -g;
        if (decays) g = fused(decay, p, g);
        vec m = REAL(lerp)(GET(2), g, weight), v = GET(3);
        v = fused(share * g, g, v * beta2);
        PUT(2, m);
        PUT(3, v);
        if (s.amsgrad) {
            v = REAL(greater)(GET(4), v);
            PUT(4, v);
        }
        PUT(0, p + size * m / (REAL(root)(v) / correction + eps));
    }
}

AG_ISA_TABLE(ag__step_kernels, REAL(ag__step)) = { .sgd = REAL(sgd), .adam = REAL(adam) };

#undef GET
#undef PUT
#undef vec
#undef mask
#undef LANES
#undef fused

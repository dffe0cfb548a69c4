/* pool_template.h - read once for each type by pool_kernel.c, with real, LOWEST and REAL(name), and POOL_FLOATING for
 * float and double.
 *
 * Registers hold neighbouring output columns of one plane, or the same pixel of neighbouring images or channels where
 * those are innermost. */

/* One window, one element after the other. */
static inline void REAL(one_window)(const ag__pool2d_job *job, const real *plane, int64_t oh, int64_t ow, real *value,
                                    int64_t *index)
{
    const ag__pool2d_shape *s = &job->s;
    const window down = window_at(s, 0, oh), across = window_at(s, 1, ow);
    real most = LOWEST;
    int64_t place = down.at * s->size[1] + across.at;
    for (int64_t i = 0; i < down.n; i++) {
        for (int64_t j = 0; j < across.n; j++) {
            const int64_t row = down.at + i * s->dilation[0], column = across.at + j * s->dilation[1];
            const real v = plane[row * job->in.stride[2] + column * job->in.stride[3]];
#ifdef POOL_FLOATING
            if (v > most || v != v) {
#else
            if (v > most) {
#endif
                most = v;
                place = row * s->size[1] + column;
            }
        }
    }
    *value = most;
    *index = place;
}

#ifdef POOL_FLOATING
#define vec   REAL(vec)
#define mask  REAL(mask)
#define LANES REAL(LANES)
typedef __typeof__(((mask){ 0 })[0]) REAL(place); /* an integer as wide as real */
#define place_t REAL(place)
#define windows REAL(windows)
#define largest REAL(largest)
enum { REAL(UNROLLED) = sizeof(real) == sizeof(float) }; /* windows of 2 by 2 and 3 by 3; double is worth less code */
#define UNROLLED REAL(UNROLLED)

/* One of a window's elements for each lane: `step` elements from lane to lane, or side by side and only `count` of
 * them. */
AG_INLINE vec REAL(element)(const real *p, int64_t step, bool few, int64_t count)
{
    if (few) return REAL(load_first)(p, (int)count, 0);
    if (step == 1) return REAL(load)(p);
    if (step == 2) /* nothing beyond the last one is touched */
        return REAL(AG_EVERY_SECOND)(REAL(load)(p), REAL(load)(p + LANES - 1));
    vec v = { 0 };
    AG_UNROLL
    for (int i = 0; i < LANES; i++) v[i] = p[i * step];
    return v;
}

/* A window for each lane: the first one's first element, elements from a row and a column of the window to the next;
 * their places in the plane, counted from that of the lane's first element. */
typedef struct {
    int64_t rows, columns;
    const real *at;
    int64_t row, column, step;
    int64_t place_row, place_column;
} windows;
typedef struct {
    vec value;
    mask place;
} largest;

/* Where there is NaN. */
static __attribute__((noinline)) largest REAL(largest_or_nan)(const windows *w, bool few, int64_t count)
{
    largest most = { REAL(splat)(LOWEST), { 0 } };
    for (int64_t i = 0; i < w->rows; i++) {
        for (int64_t j = 0; j < w->columns; j++) {
            const vec v = REAL(element)(w->at + i * w->row + j * w->column, w->step, few, count);
            const mask larger = (v > most.value) | (v != v),
                       place = (mask){ 0 } + (place_t)(i * w->place_row + j * w->place_column);
            most.value = REAL(select)(larger, v, most.value);
            most.place = (place & larger) | (most.place & ~larger);
        }
    }
    return most;
}

/* Among numbers the largest does not wait for a comparison. */
AG_INLINE void REAL(meet)(vec v, int64_t place, largest *most, vec *sum)
{
    const mask larger = v > most->value, here = (mask){ 0 } + (place_t)place;
    most->place = (here & larger) | (most->place & ~larger);
    most->value = REAL(max)(v, most->value);
    *sum += v;
}

/* A NaN shows in the sum of all. side, a constant: so many rows and columns, unless it is 0. */
AG_INLINE largest REAL(largest_of)(const int side, const windows *w, bool few, int64_t count)
{
    largest most = { REAL(splat)(LOWEST), { 0 } };
    vec sum = { 0 };
    AG_UNROLL
    for (int i = 0; i < side; i++) {
        AG_UNROLL
        for (int j = 0; j < side; j++) REAL(meet)
        (REAL(element)(w->at + i * w->row + j * w->column, w->step, few, count), i * w->place_row + j * w->place_column,
         &most, &sum);
    }
    for (int64_t i = 0; i < w->rows && side == 0; i++)
        for (int64_t j = 0; j < w->columns; j++) REAL(meet)
    (REAL(element)(w->at + i * w->row + j * w->column, w->step, few, count), i * w->place_row + j * w->place_column,
     &most, &sum);
    return REAL(any)(sum != sum) ? REAL(largest_or_nan)(w, few, count) : most;
}

/* The first n lanes; all of them if there is room. */
AG_INLINE void REAL(write)(vec most, mask index, int64_t n, int64_t room, real *value, int64_t *indices)
{
    if (room >= LANES) {
        REAL(store)(value, most);
        for (int i = 0; indices && i < LANES; i++) indices[i] = index[i];
    } else {
        REAL(store_first)(value, most, (int)n);
        for (int i = 0; indices && i < n; i++) indices[i] = index[i];
    }
}

/* Output columns [begin, end) of a row whose windows lie inside the input's columns. Lanes beyond the end read further
 * elements of the same tensor: `last` is where those end. Results of such lanes may be written where rows to come will
 * write: `room` elements from the row's first one on belong to this plane. Returns the first column that was not done.
 */
AG_INLINE int64_t REAL(inside_of)(const int side, int64_t rows, int64_t columns, int64_t step,
                                  const ag__pool2d_job *job, const real *plane, const real *last, window down,
                                  int64_t begin, int64_t end, int64_t room, real *value, int64_t *indices)
{
    const ag__pool2d_shape *s = &job->s;
    const int64_t wide = s->size[1];
    mask lanes;
    AG_UNROLL
    for (int i = 0; i < LANES; i++) lanes[i] = i;
    while (begin < end) {
        const int64_t column = begin * step - s->padding[1];
        const real *corner = plane + down.at * wide + column;
        const real *furthest = corner + (rows - 1) * s->dilation[0] * wide + (columns - 1) * s->dilation[1] +
                               (LANES - 1) * step;
        if (furthest >= last) return begin;
        const int64_t row = s->dilation[0] * wide;
        const windows w = { rows, columns, corner, row, s->dilation[1], step, row, s->dilation[1] };
        const largest most = REAL(largest_of)(side, &w, false, LANES);
        const mask place = most.place + lanes * (place_t)step + (place_t)(down.at * wide + column);
        const int64_t n = smaller(LANES, end - begin);
        REAL(write)(most.value, place, n, room - begin, value + begin, indices ? indices + begin : NULL);
        begin += n;
    }
    return begin;
}

static int64_t REAL(inside)(const ag__pool2d_job *job, const real *plane, const real *last, window down, int64_t begin,
                            int64_t end, int64_t room, real *value, int64_t *indices)
{
    const int64_t columns = job->s.kernel[1], step = job->s.stride[1];
    if (UNROLLED && down.n == 2 && columns == 2 && step == 2)
        return REAL(inside_of)(2, 2, 2, 2, job, plane, last, down, begin, end, room, value, indices);
    if (UNROLLED && down.n == 3 && columns == 3 && step == 2)
        return REAL(inside_of)(3, 3, 3, 2, job, plane, last, down, begin, end, room, value, indices);
    return REAL(inside_of)(0, down.n, columns, step, job, plane, last, down, begin, end, room, value, indices);
}
#endif

static void REAL(forward_planes)(const ag__pool2d_job *job, int64_t begin, int64_t end)
{
    const ag__pool2d_shape *s = &job->s;
#ifdef POOL_FLOATING
    /* columns of the output whose windows lie inside the input's columns */
    const int64_t span = (s->kernel[1] - 1) * s->dilation[1],
                  in_first = (s->padding[1] + s->stride[1] - 1) / s->stride[1];
    const int64_t room = s->size[1] - 1 - span + s->padding[1];
    const int64_t in_last = room < 0 ? 0 : smaller(room / s->stride[1] + 1, s->out_size[1]);
    const bool fast = job->in_elements && job->out.stride[3] == 1 &&
                      (!job->indices.data || job->indices.stride[3] == 1) && s->size[0] * s->size[1] < INT_MAX &&
                      in_first < in_last;
    const bool dense = job->out.stride[2] == s->out_size[1] &&
                       (!job->indices.data || job->indices.stride[2] == s->out_size[1]);
#endif
    for (int64_t p = begin; p < end; p++) {
        const int64_t n = p / s->channels, c = p % s->channels;
        const real *plane = (const real *)job->in.data + n * job->in.stride[0] + c * job->in.stride[1];
        for (int64_t oh = 0; oh < s->out_size[0]; oh++) {
            real *value = (real *)job->out.data + n * job->out.stride[0] + c * job->out.stride[1] +
                          oh * job->out.stride[2];
            int64_t *indices = job->indices.data;
            if (indices)
                indices += n * job->indices.stride[0] + c * job->indices.stride[1] + oh * job->indices.stride[2];
            int64_t done_first = -1, done_last = 0;
#ifdef POOL_FLOATING
            if (fast) {
                done_first = in_first;
                done_last = REAL(inside)(job, plane, (const real *)job->in.data + job->in_elements, window_at(s, 0, oh),
                                         in_first, in_last, dense ? (s->out_size[0] - oh) * s->out_size[1] : in_last,
                                         value, indices);
            }
#endif
            for (int64_t ow = 0; ow < s->out_size[1]; ow++) {
                if (ow == done_first) ow = done_last;
                if (ow == s->out_size[1]) break;
                int64_t index;
                REAL(one_window)(job, plane, oh, ow, value + ow * job->out.stride[3], &index);
                if (indices) indices[ow * job->indices.stride[3]] = index;
            }
        }
    }
}

#ifdef POOL_FLOATING

/* The next windows down there will meet these rows; from one of the windows in this row to the next. */
AG_INLINE void REAL(ask_for_rows)(const ag__pool2d_job *job, const real *at)
{
    for (int64_t i = 0; i < job->s.stride[0]; i++)
        for (int64_t j = 0; j < job->s.stride[1]; j++)
            __builtin_prefetch(at + i * job->in.stride[2] + j * job->in.stride[3]);
}

/* The same pixel of neighbouring images (lanes: 0) or channels (lanes: 1) lies side by side in all three tensors.
 * few: they are less than a register full; if pixels lie side by side, too, whole registers are written as long as what
 * is beyond belongs to pixels of the row to come. Items: (number in the other of those dimensions) * OH + output row.
 */
AG_INLINE void REAL(forward_lanes)(const ag__pool2d_job *job, int lanes, bool few, int64_t begin, int64_t end)
{
    const ag__pool2d_shape *s = &job->s;
    const int other = 1 - lanes;
    const int64_t count = lanes ? s->channels : s->batch, lanes_used = few ? count : LANES;
    const bool dense = job->out.stride[3] == count && (!job->indices.data || job->indices.stride[3] == count);
    const int64_t row = s->dilation[0] * job->in.stride[2], column = s->dilation[1] * job->in.stride[3],
                  row_places = s->dilation[0] * s->size[1];
    for (int64_t item = begin; item < end; item++) {
        const int64_t c = item / s->out_size[0], oh = item % s->out_size[0];
        const real *plane = (const real *)job->in.data + c * job->in.stride[other];
        const window down = window_at(s, 0, oh);
        for (int64_t ow = 0; ow < s->out_size[1]; ow++) {
            const window across = window_at(s, 1, ow);
            real *value = (real *)job->out.data + c * job->out.stride[other] + oh * job->out.stride[2] +
                          ow * job->out.stride[3];
            int64_t *indices = job->indices.data;
            if (indices)
                indices += c * job->indices.stride[other] + oh * job->indices.stride[2] + ow * job->indices.stride[3];
            const int64_t place = down.at * s->size[1] + across.at,
                          room = few && dense ? (s->out_size[1] - ow) * count : lanes_used;
            const real *at = plane + down.at * job->in.stride[2] + across.at * job->in.stride[3];
            for (int64_t n = 0; n < count; n += LANES) {
                if (n > count - LANES && !few) n = count - LANES; /* the last register overlaps the one before it */
                const windows w = { down.n, across.n, at + n, row, column, 1, row_places, s->dilation[1] };
                if (job->far) REAL(ask_for_rows)(job, at + n + down.n * w.row);
                const largest most = UNROLLED && w.rows == 3 && w.columns == 3   ? REAL(largest_of)(3, &w, few, count)
                                     : UNROLLED && w.rows == 2 && w.columns == 2 ? REAL(largest_of)(2, &w, few, count)
                                                                                 : REAL(largest_of)(0, &w, few, count);
                REAL(write)
                (most.value, most.place + (place_t)place, lanes_used, room, value + n, indices ? indices + n : NULL);
            }
        }
    }
}
static __attribute__((noinline)) void REAL(forward_many)(const ag__pool2d_job *job, int lanes, int64_t begin,
                                                         int64_t end)
{
    REAL(forward_lanes)(job, lanes, false, begin, end);
}
static __attribute__((noinline)) void REAL(forward_few)(const ag__pool2d_job *job, int lanes, int64_t begin,
                                                        int64_t end)
{
    REAL(forward_lanes)(job, lanes, true, begin, end);
}
static void REAL(forward_batch_last)(const ag__pool2d_job *job, int64_t begin, int64_t end)
{
    (job->s.batch < LANES ? REAL(forward_few) : REAL(forward_many))(job, 0, begin, end);
}
static void REAL(forward_channels_last)(const ag__pool2d_job *job, int64_t begin, int64_t end)
{
    (job->s.channels < LANES ? REAL(forward_few) : REAL(forward_many))(job, 1, begin, end);
}

static void REAL(backward_planes)(const ag__pool2d_job *job, int64_t begin, int64_t end)
{
    const ag__pool2d_shape *s = &job->s;
    const int64_t pixels = s->size[0] * s->size[1];
    const bool dense = job->out.stride[3] == 1 && job->out.stride[2] == s->size[1];
    for (int64_t p = begin; p < end; p++) {
        const int64_t n = p / s->channels, c = p % s->channels;
        real *plane = (real *)job->out.data + n * job->out.stride[0] + c * job->out.stride[1];
        const real *gradient = (const real *)job->gradient.data + n * job->gradient.stride[0] +
                               c * job->gradient.stride[1];
        const int64_t *indices = (const int64_t *)job->old_indices.data + n * job->old_indices.stride[0] +
                                 c * job->old_indices.stride[1];
        if (dense) memset(plane, 0, (size_t)pixels * sizeof(real));
        for (int64_t i = 0; !dense && i < pixels; i++)
            plane[i / s->size[1] * job->out.stride[2] + i % s->size[1] * job->out.stride[3]] = 0;
        for (int64_t oh = 0; oh < s->out_size[0]; oh++) {
            for (int64_t ow = 0; ow < s->out_size[1]; ow++) {
                const int64_t i = indices[oh * job->old_indices.stride[2] + ow * job->old_indices.stride[3]];
                const real g = gradient[oh * job->gradient.stride[2] + ow * job->gradient.stride[3]];
                if (i < 0 || i >= pixels) continue;
                if (dense)
                    plane[i] += g;
                else
                    plane[i / s->size[1] * job->out.stride[2] + i % s->size[1] * job->out.stride[3]] += g;
            }
        }
    }
}

typedef int64_t REAL(indices) __attribute__((vector_size(LANES * sizeof(int64_t)), aligned(8), may_alias));

AG_INLINE void REAL(pass_one_back)(const ag__pool2d_job *job, int64_t index, real g, real *plane)
{
    const int64_t wide = job->s.size[1], *stride = job->out.stride;
    if (index < 0 || index >= job->s.size[0] * wide) return;
    if (stride[2] == wide * stride[3])
        plane[index * stride[3]] += g;
    else
        plane[index / wide * stride[2] + index % wide * stride[3]] += g;
}

/* What is for the pixel of this number. Returns those lanes. alone: nothing else is for that pixel. */
AG_INLINE mask REAL(pass_to)(bool alone, real *to, mask index, int64_t place, vec g)
{
    const mask here = index == (mask){ 0 } + (place_t)place;
    const vec before = alone ? (vec){ 0 } : REAL(load)(to);
    REAL(store)(to, before + REAL(select)(here, g, (vec){ 0 }));
    return here;
}

/* The gradients of a register full of windows, whose first pixel is at `to` and has number `place`: each goes to one of
 * a window's pixels, the others get nothing. side as in largest_of. Returns the lanes whose index is none of them. */
AG_INLINE mask REAL(pass_back)(const int side, bool alone, int64_t rows, int64_t columns, const ag__pool2d_job *job,
                               real *to, int64_t place, const int64_t *indices, const real *gradient)
{
    const int64_t down = job->s.dilation[0], across = job->s.dilation[1];
    const mask index = __builtin_convertvector(*(const REAL(indices) *)indices, mask);
    const vec g = REAL(load)(gradient);
    mask other = (mask){ 0 } - 1;
    AG_UNROLL
    for (int i = 0; i < side * side; i++) {
        const int64_t y = i / side * down, x = i % side * across;
        other &= ~REAL(pass_to)(alone, to + y * job->out.stride[2] + x * job->out.stride[3], index,
                                place + y * job->s.size[1] + x, g);
    }
    for (int64_t i = 0; i < rows && side == 0; i++)
        for (int64_t j = 0; j < columns; j++)
            other &= ~REAL(pass_to)(alone, to + i * down * job->out.stride[2] + j * across * job->out.stride[3], index,
                                    place + i * down * job->s.size[1] + j * across, g);
    return other;
}

/* Window (oh, ow) of `full` neighbours, whole registers. */
AG_INLINE void REAL(pass_registers_back)(const ag__pool2d_job *job, int64_t oh, int64_t ow, int64_t full,
                                         const int64_t *index, const real *g, real *plane)
{
    const ag__pool2d_shape *s = &job->s;
    const window down = window_at(s, 0, oh), across = window_at(s, 1, ow);
    const int64_t place = down.at * s->size[1] + across.at;
    real *to = plane + down.at * job->out.stride[2] + across.at * job->out.stride[3];
    for (int64_t n = 0; n < full; n += LANES) {
        const mask apart = UNROLLED && down.n == 2 && across.n == 2
                               ? REAL(pass_back)(2, false, 2, 2, job, to + n, place, index + n, g + n)
                               : REAL(pass_back)(0, false, down.n, across.n, job, to + n, place, index + n, g + n);
        if (!REAL(any)(apart)) continue;
        for (int i = 0; i < LANES; i++)
            if (apart[i]) REAL(pass_one_back)(job, index[n + i], g[n + i], plane + n + i);
    }
}

/* Windows of 2 by 2 that share no pixel and leave none out, of `count` neighbours, whole registers: each pixel is
 * written once. False if one names a pixel outside of it. */
static __attribute__((noinline)) bool REAL(halves_back)(const ag__pool2d_job *job, int64_t count,
                                                        const int64_t *indices, const real *gradient, real *plane)
{
    for (int64_t oh = 0; oh < job->s.out_size[0]; oh++) {
        for (int64_t ow = 0; ow < job->s.out_size[1]; ow++) {
            const int64_t *index = indices + oh * job->old_indices.stride[2] + ow * job->old_indices.stride[3];
            const real *g = gradient + oh * job->gradient.stride[2] + ow * job->gradient.stride[3];
            real *to = plane + 2 * oh * job->out.stride[2] + 2 * ow * job->out.stride[3];
            for (int64_t n = 0; n < count; n += LANES)
                if (REAL(any)(
                        REAL(pass_back)(2, true, 2, 2, job, to + n, 2 * (oh * job->s.size[1] + ow), index + n, g + n)))
                    return false;
        }
    }
    return true;
}

static bool REAL(is_halved)(const ag__pool2d_shape *s)
{
    bool halved = s->size[0] * s->size[1] < INT_MAX;
    for (int i = 0; i < 2; i++)
        halved = halved && s->kernel[i] == 2 && s->stride[i] == 2 && s->padding[i] == 0 && s->dilation[i] == 1 &&
                 s->size[i] == 2 * s->out_size[i];
    return halved;
}

/* The layouts of forward_lanes. Items: numbers in the other dimension. */
static __attribute__((noinline)) void REAL(backward_lanes)(const ag__pool2d_job *job, int lanes, int64_t begin,
                                                           int64_t end)
{
    const ag__pool2d_shape *s = &job->s;
    const int other = 1 - lanes;
    const int64_t count = lanes ? s->channels : s->batch;
    const int64_t pixels = s->size[0] * s->size[1], *stride = job->out.stride;
    const int64_t full = pixels < INT_MAX ? count / LANES * LANES : 0; /* in whole registers */
    const bool halved = full == count && REAL(is_halved)(s);
    for (int64_t c = begin; c < end; c++) {
        real *plane = (real *)job->out.data + c * stride[other];
        const real *gradient = (const real *)job->gradient.data + c * job->gradient.stride[other];
        const int64_t *indices = (const int64_t *)job->old_indices.data + c * job->old_indices.stride[other];
        if (halved && REAL(halves_back)(job, count, indices, gradient, plane)) continue;
        for (int64_t i = 0; i < pixels; i++)
            memset(plane + i / s->size[1] * stride[2] + i % s->size[1] * stride[3], 0, (size_t)count * sizeof(real));
        for (int64_t o = 0; o < s->out_size[0] * s->out_size[1]; o++) {
            const int64_t oh = o / s->out_size[1], ow = o % s->out_size[1];
            const int64_t *index = indices + oh * job->old_indices.stride[2] + ow * job->old_indices.stride[3];
            const real *g = gradient + oh * job->gradient.stride[2] + ow * job->gradient.stride[3];
            if (full > 0) REAL(pass_registers_back)(job, oh, ow, full, index, g, plane);
            for (int64_t n = full; n < count; n++) REAL(pass_one_back)(job, index[n], g[n], plane + n);
        }
    }
}
static void REAL(backward_batch_last)(const ag__pool2d_job *job, int64_t begin, int64_t end)
{
    REAL(backward_lanes)(job, 0, begin, end);
}
static void REAL(backward_channels_last)(const ag__pool2d_job *job, int64_t begin, int64_t end)
{
    REAL(backward_lanes)(job, 1, begin, end);
}

#undef vec
#undef mask
#undef LANES
#undef place_t
#undef windows
#undef largest
#undef UNROLLED
#endif

AG_ISA_TABLE(ag__pool2d_kernels, REAL(ag__pool2d)) = {
    .forward_planes = REAL(forward_planes),
#ifdef POOL_FLOATING
    .forward_batch_last = REAL(forward_batch_last),
    .forward_channels_last = REAL(forward_channels_last),
    .backward_planes = REAL(backward_planes),
    .backward_batch_last = REAL(backward_batch_last),
    .backward_channels_last = REAL(backward_channels_last),
#endif
};

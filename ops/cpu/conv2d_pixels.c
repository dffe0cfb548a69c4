/* conv2d_pixels.c - the pixels of a convolution's block, from its strips.
 *
 * Pixels of a row go through the kernel side by side. Where the padding is wide for the row, as in the input gradient
 * of a large kernel, those at its edges would go through kernel columns that most of them do not meet. They are taken
 * with the pixels below them instead, which meet the same columns: in rows that meet all kernel rows nothing is then
 * multiplied by padding. Each pixel's sum has the same terms in the same order either way.
 */
#include "ops/cpu/conv2d_pixels.h"
#include "tensor/past_caches.h"

typedef ag__convolution convolution;

enum {
    SEGMENT = AG_CONV_SEGMENT,
    ENOUGH = 4, /* channels, for a single pixel: their sums hide some of what a multiply-add takes */
    MOST_TALL = 5,
    MOST_SUMS = 25, /* channels of pixels made at once */
    REGISTER_BYTES = 64,
    BLOCK = 16, /* in channels whose sum begins at 0 */
};

static const char *at(const void *p, int64_t elements, size_t size)
{
    return (const char *)p + elements * (int64_t)size;
}

/* What is made at a time: some output channels, for one group of lanes. */
typedef struct {
    int64_t lane_group, first_channel; /* the channel among all of the output */
    const char *in;                    /* input channel 0 of the convolution's group, at row 0 and column 0, lane 0 */
    int64_t in_channel, in_row, in_column;
    const char *packed;
    int channels;
    const ag__conv_lane *out; /* the planes of output channel 0 */
} task;

/* Leave out what lies outside of [begin, end). */
static void trim(ag__conv_taps *taps, int64_t begin, int64_t end)
{
    while (taps->n > 0 && taps->in < begin) {
        taps->in += taps->in_every;
        taps->first += taps->every;
        taps->n--;
    }
    while (taps->n > 0 && taps->in + (taps->n - 1) * taps->in_every >= end) taps->n--;
}

/* Pixels, as `run` says but for what they sum up: these kernel rows and columns, whose input the first pixel meets. */
static void sum_up(const convolution *c, const task *t, ag__conv_taps down, ag__conv_taps across, ag__conv_run run)
{
    const ag__conv_axis *rows = &c->lanes.axis[0], *columns = &c->lanes.axis[1];
    run.channels = t->channels;
    run.in = t->in;
    run.weights = t->packed;
    run.bias = c->bias ? t->packed : NULL;
    if (down.n == 0 || across.n == 0) { /* the bias alone; the pointers would lead nowhere */
        run.clip = false;
        run.relu = c->relu;
        c->kernels->run(&run);
        return;
    }
    const int64_t a_tap = c->in_channels * t->channels;
    run.loops[0] = (ag__conv_loop){ down.n, down.in_every * t->in_row, down.every * columns->kernel * a_tap };
    run.loops[1] = (ag__conv_loop){ across.n, across.in_every * t->in_column, across.every * a_tap };
    run.along = 1;
    run.column = across.in;
    run.column_pixel = columns->step;
    run.column_turn = across.in_every;
    run.width = columns->in;
    int64_t in = down.in * t->in_row + across.in * t->in_column,
            weights = t->channels + (down.first * columns->kernel + across.first) * a_tap;
    for (int i = 0; i < 2 && c->turned; i++) { /* the weight's own order: from the last turn to the first */
        ag__conv_loop *loop = &run.loops[i];
        in += (loop->n - 1) * loop->in;
        weights += (loop->n - 1) * loop->weights;
        *loop = (ag__conv_loop){ loop->n, -loop->in, -loop->weights };
    }
    if (c->turned) {
        run.column += (across.n - 1) * across.in_every;
        run.column_turn = -across.in_every;
    }
    const int64_t block = rows->kernel * columns->kernel == 1 ? c->in_channels : BLOCK;
    for (int64_t first = 0; first < c->in_channels; first += block) {
        const int64_t n = ag__min(block, c->in_channels - first);
        ag__conv_run some = run;
        some.in = at(t->in, in + first * t->in_channel, c->size);
        some.weights = at(t->packed, weights + first * t->channels, c->size);
        some.loops[2] = (ag__conv_loop){ n, t->in_channel, t->channels };
        if (n == 1) { /* the innermost loop should be a long one */
            some.loops[2] = some.loops[1];
            some.loops[1] = (ag__conv_loop){ .n = 1 };
            some.along = 2;
        }
        some.more = first > 0;
        some.relu = c->relu && first + n == c->in_channels;
        some.bias = first == 0 ? run.bias : NULL;
        c->kernels->run(&some);
    }
}

/* Where a task's pixels go: channel, row and column 0, and elements to the next. */
typedef struct {
    char *at;
    int64_t channel, row, column;
} target;

/* Output pixels [x0, x1) of row y. */
static void make_pixels(const convolution *c, const task *t, int64_t y, int64_t x0, int64_t x1, const target *to)
{
    const ag__conv_axis *columns = &c->lanes.axis[1];
    ag__conv_taps down = ag__conv_taps_of(&c->lanes.axis[0], y);
    trim(&down, c->in_rows[0], c->in_rows[1]);
    for (int64_t x = x0; x < x1 && x < x0 + columns->up; x++)
        sum_up(c, t, down, ag__conv_taps_of(columns, x),
               (ag__conv_run){
                   .n = ag__ceil_div(x1 - x, columns->up),
                   .in_pixel = columns->step * t->in_column,
                   .out_pixel = columns->up * to->column,
                   .out_channel = to->channel,
                   .out = to->at + (y * to->row + x * to->column) * (int64_t)c->size,
                   .clip = c->lanes.bands[1] == 1 && !c->exact,
               });
}

/* Output pixels of column x in rows [y0, y1): one, or some that meet all kernel rows. */
static void make_column(const convolution *c, const task *t, int64_t y0, int64_t y1, int64_t x, const target *to)
{
    ag__conv_taps down = ag__conv_taps_of(&c->lanes.axis[0], y0), across = ag__conv_taps_of(&c->lanes.axis[1], x);
    trim(&down, c->in_rows[0], c->in_rows[1]);
    trim(&across, 0, c->lanes.axis[1].in);
    sum_up(c, t, down, across,
           (ag__conv_run){
               .n = y1 - y0,
               .in_pixel = c->lanes.axis[0].step * t->in_row,
               .out_pixel = to->row,
               .out_channel = to->channel,
               .out = to->at + (y0 * to->row + x * to->column) * (int64_t)c->size,
           });
}

static bool meets_all_kernel_rows(const convolution *c, int64_t y)
{
    const ag__conv_taps down = ag__conv_taps_of(&c->lanes.axis[0], y);
    return down.in >= c->in_rows[0] && down.in + (down.n - 1) * down.in_every < c->in_rows[1];
}

/* At most `tall` rows. */
static void make_rectangle(const convolution *c, const task *t, int64_t y0, int64_t y1, int64_t x0, int64_t x1,
                           const target *to)
{
    const int64_t left = ag__min(x1, c->edge[0]), right = ag__max(x0, c->edge[1]);
    for (int64_t y = y0, n; y < y1; y += n) {
        n = 1;
        const bool all = meets_all_kernel_rows(c, y);
        while (all && y + n < y1 && meets_all_kernel_rows(c, y + n)) n++;
        const bool apart = left > x0 || right < x1, columns = apart && (c->exact || n > 1);
        for (int64_t x = x0; x < left && columns; x++) make_column(c, t, y, y + n, x, to);
        for (int64_t x = right; x < x1 && columns; x++) make_column(c, t, y, y + n, x, to);
        for (int64_t i = 0; i < n; i++)
            make_pixels(c, t, y + i, columns ? ag__max(x0, left) : x0, columns ? ag__min(x1, right) : x1, to);
    }
}

/* The output's rows lie one after another in memory. */
static bool one_run(const convolution *c)
{
    return c->lanes.bands[1] == 1 && c->out.stride[3] == 1 && c->out.stride[2] == c->lanes.band[1];
}

/* Pixels [x0, x1) of rows [y0, y1), at most `tall` of them. */
static void make_segment(const convolution *c, const task *t, int64_t y0, int64_t y1, int64_t x0, int64_t x1)
{
    const int64_t lanes = c->lanes.lanes, *stride = c->out.stride;
    if (c->direct_out) {
        const int64_t place = t->lane_group * lanes + t->first_channel * stride[1];
        make_rectangle(c, t, y0, y1, x0, x1,
                       &(target){ (char *)c->out.data + place * (int64_t)c->size, stride[1], stride[2], stride[3] });
        return;
    }
    _Alignas(64) char buffer[MOST_SUMS * SEGMENT * REGISTER_BYTES]; /* [channel][row][pixel][lane] */
    const int64_t wide = x1 - x0, row = wide * lanes, channel = (y1 - y0) * row;
    make_rectangle(c, t, y0, y1, x0, x1,
                   &(target){ buffer - (y0 * row + x0 * lanes) * (int64_t)c->size, channel, row, lanes });
    const bool side_by_side = ag__conv_side_by_side(&c->lanes, t->lane_group, stride);
    const int64_t together = one_run(c) && wide == c->lanes.band[1] ? y1 - y0 : 1; /* rows */
    for (int64_t y = y0; y < y1; y += together) {
        const int64_t place = t->first_channel * stride[1] + y * stride[2] + x0 * stride[3];
        ag__conv_lane out[AG_CONV_LANES];
        for (int i = 0; i < lanes; i++) {
            const ag__conv_lane *lane = &t->out[i];
            const int64_t rows = ag__min(together, lane->rows[1] - y), columns = lane->columns[1] - x0;
            out[i] = (ag__conv_lane){ .at = lane->at };
            out[i].columns[1] = rows > 0 && columns > 0 ? (rows - 1) * wide + ag__min(wide, columns) : 0;
            if (out[i].columns[1] > 0) out[i].at = at(lane->at, place, c->size);
        }
        c->kernels->unpack(at(buffer, (y - y0) * row, c->size), t->channels, channel, together * wide, out,
                           side_by_side, stride[1], stride[3], c->past_caches);
    }
}

/* Tasks: for each group of lanes, a few rows, a few pieces of the output channels of one group of the convolution.
 * Within a task all pieces use a piece of the input before the next one. */
void ag__conv_make_rows(void *user, int64_t begin, int64_t end)
{
    const convolution *c = user;
    const int64_t piece_tasks = ag__ceil_div(c->pieces, c->pieces_a_task),
                  row_tasks = ag__ceil_div(c->rows[1] - c->rows[0], c->rows_a_task);
    const int64_t wide = c->lanes.band[1], segments = ag__ceil_div(wide, c->segment);
    const ag__conv2d_in out = { c->out.data,
                                { c->out.stride[0], c->out.stride[1], c->out.stride[2], c->out.stride[3] } };
    for (int64_t i = begin; i < end; i++) {
        const int64_t piece0 = i % piece_tasks * c->pieces_a_task, group = i / piece_tasks % c->groups;
        const int64_t rest = i / piece_tasks / c->groups;
        /* neighbouring groups of lanes lie in the same pages if the batch is last, neighbouring rows if it is not */
        const int64_t block_group = c->out.stride[0] == 1 ? rest % c->n_groups : rest / row_tasks;
        const int64_t y0 = c->rows[0] +
                           (c->out.stride[0] == 1 ? rest / c->n_groups : rest % row_tasks) * c->rows_a_task;
        task t = { .lane_group = c->first_group + block_group };
        if (c->direct_in) {
            t.in = at(c->in.data, t.lane_group * c->lanes.lanes + group * c->in_channels * c->in.stride[1], c->size);
            t.in_channel = c->in.stride[1];
            t.in_row = c->in.stride[2];
            t.in_column = c->in.stride[3];
        } else {
            t.in_channel = c->plane;
            t.in_column = c->lanes.lanes;
            t.in_row = (c->in_columns[1] - c->in_columns[0]) * t.in_column;
            t.in = at(c->strips,
                      (block_group * c->groups + group) * c->in_channels * c->plane - c->in_rows[0] * t.in_row -
                          c->in_columns[0] * t.in_column,
                      c->size);
        }
        ag__conv_lane lanes[AG_CONV_LANES];
        t.out = lanes;
        if (!c->direct_out)
            ag__conv_out_lanes(&c->lanes, t.lane_group, &out, c->size, (int64_t[]){ 0, c->lanes.band[0] },
                               (int64_t[]){ 0, wide }, lanes);
        const int64_t y1 = ag__min(y0 + c->rows_a_task, c->rows[1]);
        for (int64_t y = y0; y < y1; y += c->tall) {
            for (int64_t s = 0; s < segments; s++) {
                for (int64_t piece = piece0; piece < ag__min(piece0 + c->pieces_a_task, c->pieces); piece++) {
                    const int64_t first = ag__piece(c->out_channels, c->pieces, piece);
                    t.first_channel = group * c->out_channels + first;
                    t.packed = ag__conv_packed_piece(c, group, first);
                    t.channels = (int)(ag__piece(c->out_channels, c->pieces, piece + 1) - first);
                    make_segment(c, &t, y, ag__min(y + c->tall, y1), ag__piece(wide, segments, s),
                                 ag__piece(wide, segments, s + 1));
                }
            }
        }
    }
    if (c->past_caches) ag__stores_past_are_done();
}

/* Turns of the loop over kernel columns for all pieces of [x0, x1) of a row (`run` cuts them like this). */
static int64_t turns_along(const convolution *c, int64_t x0, int64_t x1, int64_t pixels)
{
    int64_t turns = 0, pieces = ag__ceil_div(x1 - x0, pixels);
    for (int64_t x = x0; x < x1; pieces--) {
        const int64_t n = (x1 - x + pieces - 1) / pieces;
        const ag__conv_taps left = ag__conv_taps_of(&c->lanes.axis[1], x),
                            right = ag__conv_taps_of(&c->lanes.axis[1], x + n - 1);
        for (int64_t k = 0; k < left.n; k++)
            turns += right.in + k * right.in_every >= 0 && left.in + k * left.in_every < c->lanes.axis[1].in;
        x += n;
    }
    return turns;
}

/* As many rows as fill blocks of registers best when the lanes are turned back into rows. */
static int64_t rows_to_turn(const convolution *c, int64_t channels)
{
    const int64_t wide = c->lanes.band[1], lanes = c->lanes.lanes;
    const int64_t most = ag__min(ag__min(MOST_TALL, c->lanes.band[0]), MOST_SUMS * SEGMENT / (channels * wide));
    int64_t best = 1;
    for (int64_t rows = 2; rows <= most && wide <= SEGMENT; rows++)
        if (ag__ceil_div(rows * wide, lanes) * best < ag__ceil_div(best * wide, lanes) * rows) best = rows;
    return best;
}

/* Edges are worth while where the padding is wide for the row. */
void ag__conv_choose_edges(convolution *c)
{
    const ag__conv_axis *columns = &c->lanes.axis[1];
    const int64_t wide = c->lanes.band[1], channels = ag__ceil_div(c->out_channels, c->pieces),
                  tall = ag__min(MOST_TALL, c->kernels->pixels[channels]);
    c->tall = one_run(c) ? rows_to_turn(c, channels) : 1;
    c->edge[0] = 0;
    c->edge[1] = wide;
    if (columns->up > 1 || c->lanes.axis[0].up > 1 || c->lanes.bands[1] > 1 || wide > SEGMENT) return;
    int64_t edge[2] = { 0, wide }, turns = 0;
    for (int64_t x = 0; x < wide; x++) {
        const ag__conv_taps taps = ag__conv_taps_of(columns, x);
        if (taps.in < 0) edge[0] = x + 1;
        if (taps.in + (taps.n - 1) * taps.in_every >= columns->in) edge[1] = ag__min(edge[1], x);
    }
    if ((edge[0] == 0 && edge[1] == wide) || edge[0] >= edge[1]) return;
    edge[1] -= (edge[1] - edge[0]) % tall; /* what is left of whole pieces */
    for (int64_t x = 0; x < wide; x++) {
        ag__conv_taps taps = ag__conv_taps_of(columns, x);
        trim(&taps, 0, columns->in);
        if (x < edge[0] || x >= edge[1]) turns += taps.n;
    }
    const int64_t peeled = turns_along(c, edge[0], edge[1], tall) + ag__ceil_div(turns, tall);
    const bool direct = ag__conv_is_direct(&c->lanes, c->in.stride);
    if (peeled * 20 > turns_along(c, 0, wide, tall) * (direct ? 20 : 19)) return;
    c->exact = direct && channels >= ENOUGH;
    c->tall = tall;
    c->edge[0] = edge[0];
    c->edge[1] = edge[1];
}

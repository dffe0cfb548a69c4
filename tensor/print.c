/* print.c - a tensor as PyTorch prints it, with its default options: 4 digits, 80 columns, and of more than 1000
 * elements the first and last 3 along each dimension.
 *
 * As in torch/_tensor_str.py, the elements that will be shown are looked at first, to choose between 1.2346, 1.
 * and 1.2346e+05 and to find the width that all of them get. The text goes out piece by piece, into a buffer that may
 * be too small or through a small one into a file; nothing is allocated, so that a program whose memory is full can
 * still look at what it has.
 */
#include "tensor/print.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PRECISION = 4, THRESHOLD = 1000, EDGE = 3, LINE = 80, INDENT = 7 /* "tensor(" */, ELEMENT = 64, PIECE = 512 };

typedef struct printing {
    const ag_tensor *x;
    ag_device device; /* of the tensor that x may be a copy of */
    bool summarize;   /* leave out the middle of dimensions longer than 2 EDGE */

    bool floating, whole, scientific; /* how elements look; `whole`: every one is an integer */
    double least, most;               /* the smallest and largest that is neither 0 nor infinite, by absolute value */
    int width;

    char *text;
    size_t room, length; /* length counts what did not fit, too */
    size_t line;         /* characters in the last line so far */

    FILE *file; /* where the text goes whenever the buffer is full; NULL: nowhere */
    bool failed;
} printing;

/* ---- text ---- */

static void put_away(printing *p)
{
    p->failed = p->failed || fwrite(p->text, 1, p->length, p->file) != p->length;
    p->length = 0;
}

static void put(printing *p, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p->file && p->length + 1 >= p->room) put_away(p);
        if (p->length + 1 < p->room) p->text[p->length] = s[i];
        p->length++;
        p->line = s[i] == '\n' ? 0 : p->line + 1;
    }
}

static void put_text(printing *p, const char *s) { put(p, s, strlen(s)); }

static void put_many(printing *p, char c, int n)
{
    for (int i = 0; i < n; i++) put(p, &c, 1);
}

/* ---- one element ---- */

/* The user's locale may put something else, even of several bytes, in place of the point. */
static void restore_point(char *number)
{
    char *mark = number + (*number == '-');
    while (isdigit((unsigned char)*mark)) mark++;
    char *fraction = mark;
    while (*fraction && !isdigit((unsigned char)*fraction)) fraction++;
    if (fraction == mark) return;
    *mark = '.';
    memmove(mark + 1, fraction, strlen(fraction) + 1);
}

/* Without padding. */
static int format(const printing *p, const char *at, char out[ELEMENT])
{
    ag_dtype dtype = (ag_dtype)p->x->dtype;
    if (dtype == AG_BOOL) return snprintf(out, ELEMENT, "%s", ag__load_int64(at, dtype) ? "True" : "False");
    if (!p->floating) return snprintf(out, ELEMENT, "%lld", (long long)ag__load_int64(at, dtype));
    double value = ag__load(at, dtype);
    if (isnan(value)) return snprintf(out, ELEMENT, "nan");
    if (isinf(value)) return snprintf(out, ELEMENT, value < 0 ? "-inf" : "inf");
    if (p->scientific)
        snprintf(out, ELEMENT, "%.*e", PRECISION, value);
    else if (p->whole)
        snprintf(out, ELEMENT, "%.0f", value);
    else
        snprintf(out, ELEMENT, "%.*f", PRECISION, value);
    if (p->scientific || !p->whole)
        restore_point(out);
    else
        strcat(out, ".");
    return (int)strlen(out);
}

static void put_element(printing *p, const char *at)
{
    char element[ELEMENT];
    int length = format(p, at, element);
    put_many(p, ' ', p->width - length);
    put(p, element, (size_t)length);
}

/* ---- which elements are shown, and how ---- */

static bool leaves_out(const printing *p, int dim) { return p->summarize && p->x->size[dim] > 2 * EDGE; }

/* The index that follows i among those shown. */
static int64_t next_shown(const printing *p, int dim, int64_t i)
{
    return i + 1 == EDGE && leaves_out(p, dim) ? p->x->size[dim] - EDGE : i + 1;
}

static const char *step(const printing *p, int dim, const char *at, int64_t i)
{
    return at + i * p->x->stride[dim] * (int64_t)ag__itemsize(p->x);
}

static void each_shown(printing *p, int dim, const char *at, void (*look)(printing *p, const char *at))
{
    if (dim == p->x->ndim) {
        look(p, at);
        return;
    }
    for (int64_t i = 0; i < p->x->size[dim]; i = next_shown(p, dim, i))
        each_shown(p, dim + 1, step(p, dim, at, i), look);
}

static bool counts(double value) { return isfinite(value) && value != 0; }

static void look_at_range(printing *p, const char *at)
{
    double value = ag__load(at, (ag_dtype)p->x->dtype);
    if (!counts(value)) return;
    if (fabs(value) < p->least) p->least = fabs(value);
    if (fabs(value) > p->most) p->most = fabs(value);
    p->whole = p->whole && value == ceil(value);
}

/* What is 0, infinite or NaN has no say in the width. */
static void look_at_width(printing *p, const char *at)
{
    char element[ELEMENT];
    if (p->floating && !counts(ag__load(at, (ag_dtype)p->x->dtype))) return;
    int length = format(p, at, element);
    if (length > p->width) p->width = length;
}

static void choose_format(printing *p)
{
    p->width = 1;
    p->whole = true;
    p->least = INFINITY;
    if (p->floating) each_shown(p, 0, p->x->data, look_at_range);
    p->scientific = p->most > 0 && (p->most / p->least > 1000 || p->most > 1e8 || p->least < 1e-4);
    each_shown(p, 0, p->x->data, look_at_width);
}

/* ---- the brackets ---- */

/* The last dimension: as many elements a line as fit. */
static void put_row(printing *p, int dim, const char *at)
{
    int indent = INDENT + dim, a_line = (LINE - indent) / (p->width + 2), n = 0;
    if (a_line < 1) a_line = 1;
    put_text(p, "[");
    for (int64_t i = 0; i < p->x->size[dim]; i = next_shown(p, dim, i)) {
        bool gap = i == p->x->size[dim] - EDGE && leaves_out(p, dim);
        for (int k = gap ? 0 : 1; k < 2; k++, n++) {
            if (n > 0 && n % a_line == 0) {
                put_text(p, ",\n");
                put_many(p, ' ', indent + 1);
            } else if (n > 0) {
                put_text(p, ", ");
            }
            if (k == 0)
                put_text(p, " ...");
            else
                put_element(p, step(p, dim, at, i));
        }
    }
    put_text(p, "]");
}

static void put_between(printing *p, int dim)
{
    put_text(p, ",");
    put_many(p, '\n', p->x->ndim - dim - 1);
    put_many(p, ' ', INDENT + dim + 1);
}

static void put_elements(printing *p, int dim, const char *at)
{
    if (p->x->ndim == 0) {
        put_element(p, at);
        return;
    }
    if (dim == p->x->ndim - 1) {
        put_row(p, dim, at);
        return;
    }
    put_text(p, "[");
    for (int64_t i = 0; i < p->x->size[dim]; i = next_shown(p, dim, i)) {
        if (i > 0) put_between(p, dim);
        if (i == p->x->size[dim] - EDGE && leaves_out(p, dim)) {
            put_text(p, "...");
            put_between(p, dim);
        }
        put_elements(p, dim + 1, step(p, dim, at, i));
    }
    put_text(p, "]");
}

/* ---- what follows them ---- */

static void put_suffix(printing *p, const char *suffix, size_t *line)
{
    size_t length = strlen(suffix);
    if (*line + length + 2 > LINE) {
        put_text(p, ",\n");
        put_many(p, ' ', INDENT);
        *line = INDENT + length;
    } else {
        put_text(p, ", ");
        *line += length + 2;
    }
    put(p, suffix, length);
}

static void put_suffixes(printing *p, const char *suffix)
{
    const ag_tensor *x = p->x;
    ag_dtype dtype = (ag_dtype)x->dtype;
    bool empty = x->numel == 0, usual = dtype == ag_get_default_dtype();
    size_t line = p->line + 2; /* PyTorch counts two more */
    char text[AG_TEXT];
    if (p->device.type != AG_DEVICE_CPU) {
        snprintf(text, sizeof text, "device='%s'", ag_device_name(p->device));
        put_suffix(p, text, &line);
    }
    if (empty && x->ndim != 1) {
        char sizes[AG_TEXT];
        ag__shape_text(x->ndim, x->size, sizes, sizeof sizes);
        snprintf(text, sizeof text, "size=(%.*s)", (int)strlen(sizes) - 2, sizes + 1);
        put_suffix(p, text, &line);
    }
    if (!usual && (empty || (dtype != AG_INT64 && dtype != AG_BOOL))) {
        snprintf(text, sizeof text, "dtype=torch.%s", ag_dtype_name(dtype));
        put_suffix(p, text, &line);
    }
    if (suffix) put_suffix(p, suffix, &line);
}

static void put_tensor(printing *p, const char *suffix)
{
    const ag_tensor *x = p->x;
    p->summarize = x->numel > THRESHOLD;
    p->floating = ag_dtype_is_floating_point((ag_dtype)x->dtype);
    put_text(p, "tensor(");
    if (x->numel == 0) {
        put_text(p, "[]");
    } else {
        choose_format(p);
        put_elements(p, 0, x->data);
    }
    put_suffixes(p, suffix);
    put_text(p, ")");
}

size_t ag__tensor_print(char *text, size_t room, const ag_tensor *x, const char *suffix)
{
    ag_tensor copy;
    const ag_tensor *here = ag__on_host(x, &copy);
    printing p = { .x = here, .device = ag__tensor_device(x), .text = text, .room = room };
    if (here) {
        put_tensor(&p, suffix);
        ag__off_host(x, here);
    }
    if (room > 0) text[p.length < room ? p.length : room - 1] = 0;
    return p.length;
}

bool ag__tensor_print_file(FILE *file, const ag_tensor *x, const char *suffix)
{
    char piece[PIECE];
    ag_tensor copy;
    const ag_tensor *here = ag__on_host(x, &copy);
    if (!here) return false;
    printing p = { .x = here, .device = ag__tensor_device(x), .text = piece, .room = sizeof piece, .file = file };
    put_tensor(&p, suffix);
    put_away(&p);
    ag__off_host(x, here);
    return !p.failed;
}

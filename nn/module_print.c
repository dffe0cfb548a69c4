/* module_print.c - a network as print(net) shows it in PyTorch.
 *
 *     Cnn(
 *       (conv1): Sequential(
 *         (0): Conv2d(1, 10, kernel_size=(5, 5), stride=(1, 1))
 *         (1): ReLU()
 *       )
 *     )
 *
 * A module's lines are those of its extra_repr and one for each child; a single extra_repr line without children
 * stands between the brackets. Nested lines are indented by two blanks a level.
 */
#include "nn/module_parts.h"
#include "tensor/fail.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { INDENT = 2 };

/* Where the text goes: memory, as snprintf fills it, or a file. */
typedef struct sink {
    char *text;
    size_t room, length;
    FILE *file;
    int indent;
    bool failed;
} sink;

static void put_bytes(sink *s, const char *bytes, size_t n)
{
    if (s->file)
        s->failed |= fwrite(bytes, 1, n, s->file) != n;
    else
        for (size_t i = 0; i < n && s->length + i + 1 < s->room; i++) s->text[s->length + i] = bytes[i];
    s->length += n;
}
static void put(sink *s, const char *text) { put_bytes(s, text, strlen(text)); }
/* Each line of a text on a line of its own. Blank ones are not indented but in the outermost module (PyTorch's way). */
static void put_lines(sink *s, const char *text)
{
    for (;; text++) {
        size_t length = strcspn(text, "\n");
        put(s, "\n");
        if (s->indent == INDENT || strspn(text, " \t") < length) {
            for (int i = 0; i < s->indent; i++) put(s, " ");
            put_bytes(s, text, length);
        }
        text += length;
        if (!*text) return;
    }
}

/* What extra_repr writes, in `few` if there is room; else the caller frees it. NULL with an error. */
static char *extra_text(const ag_module *m, char *few, size_t room)
{
    few[0] = 0;
    int length = m->extra_repr ? m->extra_repr(m, few, room) : 0;
    if (length < (int)room) return few;
    char *text = calloc(1, (size_t)length + 1);
    if (!text) return ag__fail_memory("print", (size_t)length + 1);
    m->extra_repr(m, text, (size_t)length + 1);
    return text;
}

/* Whether two modules print alike; children by their names and lines. */
static bool alike(sink *s, const ag_module *a, const ag_module *b, int depth)
{
    if (a == b) return true;
    if (strcmp(ag__module_type(a), ag__module_type(b)) || depth > AG_MODULE_DEPTH) return false;
    char few[2][256], *extra_a = extra_text(a, few[0], sizeof few[0]), *extra_b = extra_text(b, few[1], sizeof few[1]);
    s->failed |= !extra_a || !extra_b;
    bool same = extra_a && extra_b && strcmp(extra_a, extra_b) == 0;
    if (extra_a != few[0]) free(extra_a);
    if (extra_b != few[1]) free(extra_b);
    int64_t i = ag__next_child(a, 0), k = ag__next_child(b, 0);
    while (same && i < a->parts->n && k < b->parts->n) {
        const ag_part *p = &a->parts->at[i], *q = &b->parts->at[k];
        same = strcmp(p->name, q->name) == 0 && alike(s, p->child, q->child, depth + 1);
        i = ag__next_child(a, i + 1);
        k = ag__next_child(b, k + 1);
    }
    return same && i == a->parts->n && k == b->parts->n;
}

/* How many children of m from part i on print alike, one behind the other: a ModuleList shows them on one line. */
static int64_t count_alike(sink *s, const ag_module *m, int64_t i, int depth)
{
    int64_t n = 1;
    if (m->parts->container != AG_MODULE_LIST) return n;
    for (int64_t k = i; (k = ag__next_child(m, k + 1)) < m->parts->n; n++)
        if (!alike(s, m->parts->at[i].child, m->parts->at[k].child, depth)) break;
    return n;
}

static void print_children(sink *s, const ag_module *m, int depth);

/* Every line but the first is indented. */
static void print(sink *s, const ag_module *m, int depth)
{
    if (depth > AG_MODULE_DEPTH) {
        ag__fail(AG_EINVAL, "print: modules are nested more than %d deep", AG_MODULE_DEPTH);
        s->failed = true;
        return;
    }
    char few[256], *extra = extra_text(m, few, sizeof few);
    if (!extra) {
        s->failed = true;
        return;
    }
    bool children = ag__next_child(m, 0) < m->parts->n;
    put(s, ag__module_type(m));
    put(s, "(");
    if (!children && !strchr(extra, '\n')) {
        put(s, extra);
        put(s, ")");
    } else {
        s->indent += INDENT;
        if (*extra) put_lines(s, extra);
        print_children(s, m, depth + 1);
        s->indent -= INDENT;
        put_lines(s, ")");
    }
    if (extra != few) free(extra);
}

static void print_children(sink *s, const ag_module *m, int depth)
{
    for (int64_t i = ag__next_child(m, 0); i < m->parts->n; i = ag__next_child(m, i + 1)) {
        const ag_module *child = m->parts->at[i].child;
        const int64_t n = count_alike(s, m, i, depth);
        put_lines(s, "(");
        put(s, m->parts->at[i].name);
        for (int64_t k = 1; k < n; k++) i = ag__next_child(m, i + 1);
        if (n > 1) {
            char times[32];
            snprintf(times, sizeof times, "): %" PRId64 " x ", n);
            put(s, "-");
            put(s, m->parts->at[i].name);
            put(s, times);
        } else {
            put(s, "): ");
        }
        print(s, child, depth);
    }
}

size_t ag_module_repr(ag_module *m, char *text, size_t room)
{
    if (!ag__module_given("repr", m)) return 0;
    sink s = { .text = text, .room = room };
    print(&s, m, 0);
    if (room) text[s.length < room ? s.length : room - 1] = 0;
    return s.failed ? 0 : s.length;
}

bool ag_module_print(ag_module *m, FILE *file)
{
    if (!ag__module_given("print", m)) return false;
    if (!file) return ag__fail(AG_EINVAL, "print: the file is NULL");
    sink s = { .file = file };
    print(&s, m, 0);
    put_bytes(&s, "\n", 1);
    return !s.failed || ag__fail(AG_EIO, "print: the file does not take what is written");
}

/* The shortest digits that read back as the same number, placed as Python places them; whatever the locale's
 * decimal point. */
const char *ag__number_text(double value, char *text)
{
    char digits[32], scientific[40], *to = text;
    if (isnan(value)) return strcpy(text, "nan");
    if (isinf(value)) return strcpy(text, value < 0 ? "-inf" : "inf");
    if (signbit(value)) *to++ = '-';
    value = fabs(value);
    int precision = 0;
    do snprintf(scientific, sizeof scientific, "%.*e", precision, value);
    while (++precision < 17 && strtod(scientific, NULL) != value);
    int n = 0;
    const char *at = scientific;
    for (; *at != 'e'; at++)
        if (isdigit((unsigned char)*at)) digits[n++] = *at;
    digits[n] = 0;
    int exponent = atoi(at + 1);
    if (exponent < -4 || exponent >= 16) { /* 1.5e-05 */
        *to++ = digits[0];
        if (n > 1) to += sprintf(to, ".%s", digits + 1);
        sprintf(to, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
    } else if (exponent < 0) { /* 0.00015 */
        sprintf(to, "0.%.*s%s", -exponent - 1, "0000", digits);
    } else { /* 150.0, 1.5 */
        for (int i = 0; i <= exponent; i++) *to++ = i < n ? digits[i] : '0';
        sprintf(to, ".%s", n > exponent + 1 ? digits + exponent + 1 : "0");
    }
    return text;
}

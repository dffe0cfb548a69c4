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
    bool children = false;
    for (int64_t i = 0; i < m->parts->n; i++) children |= m->parts->at[i].kind == AG_PART_CHILD;
    put(s, ag__module_type(m));
    put(s, "(");
    if (!children && !strchr(extra, '\n')) {
        put(s, extra);
        put(s, ")");
    } else {
        s->indent += INDENT;
        if (*extra) put_lines(s, extra);
        for (int64_t i = 0; i < m->parts->n; i++) {
            const ag_part *p = &m->parts->at[i];
            if (p->kind != AG_PART_CHILD) continue;
            put_lines(s, "(");
            put(s, p->name);
            put(s, "): ");
            print(s, p->child, depth + 1);
        }
        s->indent -= INDENT;
        put_lines(s, ")");
    }
    if (extra != few) free(extra);
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

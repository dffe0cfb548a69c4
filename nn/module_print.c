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
/* A text, every line after its first indented. */
static void put(sink *s, const char *text)
{
    for (;;) {
        size_t line = strcspn(text, "\n");
        put_bytes(s, text, line);
        text += line;
        if (!*text) return;
        put_bytes(s, text++, 1);
        for (int i = 0; i < s->indent; i++) put_bytes(s, " ", 1);
    }
}

static void print(sink *s, const ag_module *m, int depth)
{
    if (depth > AG_MODULE_DEPTH) {
        ag__fail(AG_EINVAL, "print: modules are nested more than %d deep", AG_MODULE_DEPTH);
        s->failed = true;
        return;
    }
    char few[512] = "", *extra = few;
    int length = m->extra_repr ? m->extra_repr(m, few, sizeof few) : 0;
    if (length >= (int)sizeof few) {
        extra = calloc(1, (size_t)length + 1);
        if (!extra) {
            ag__fail_memory("print", (size_t)length + 1);
            s->failed = true;
            return;
        }
        m->extra_repr(m, extra, (size_t)length + 1);
    }
    bool children = false;
    for (int64_t i = 0; i < m->parts->n; i++) children |= m->parts->at[i].kind == AG_PART_CHILD;
    put(s, ag__module_type(m));
    put(s, "(");
    bool one_line = !children && !strchr(extra, '\n');
    if (one_line)
        put(s, extra);
    else {
        s->indent += 2;
        if (*extra) {
            put(s, "\n");
            put(s, extra);
        }
        for (int64_t i = 0; i < m->parts->n; i++) {
            const ag_part *p = &m->parts->at[i];
            if (p->kind != AG_PART_CHILD) continue;
            put(s, "\n(");
            put(s, p->name);
            put(s, "): ");
            print(s, p->child, depth + 1);
        }
        s->indent -= 2;
        put(s, "\n");
    }
    put(s, ")");
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

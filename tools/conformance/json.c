/* json.c - see json.h. */
#include "json.h"

#include "nn/safetensors_header.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 512 };
typedef struct json_block {
    struct json_block *next;
    int used;
    json at[BLOCK];
} json_block;

typedef struct reader {
    json_pool *pool;
    complaint *why;
    char *start, *at, *end;
} reader;

static bool value(reader *r, json *x, int depth);

static bool wrong(reader *r, const char *what)
{
    return complain(r->why, "it is not JSON as expected: %s at byte %td", what, r->at - r->start);
}

static json *new_value(reader *r)
{
    json_block *b = r->pool->blocks;
    if (!b || b->used == BLOCK) {
        b = malloc(sizeof *b);
        if (!b) return complain(r->why, "out of memory"), NULL;
        b->next = r->pool->blocks;
        b->used = 0;
        r->pool->blocks = b;
    }
    json *x = &b->at[b->used++];
    *x = (json){ 0 };
    return x;
}

void json_free(json_pool *pool)
{
    for (json_block *b = pool->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    pool->blocks = NULL;
}

static void skip_blanks(reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')) r->at++;
}
static bool accept(reader *r, char c)
{
    skip_blanks(r);
    if (r->at == r->end || *r->at != c) return false;
    r->at++;
    return true;
}

/* ---- strings ---- */

/* Four hexadecimal digits; -1 where they are not. */
static int32_t hex4(reader *r)
{
    int32_t result = 0;
    if (r->end - r->at < 4) return -1;
    for (int i = 0; i < 4; i++, r->at++) {
        static const char digits[] = "0123456789abcdef0123456789ABCDEF";
        const char *digit = *r->at ? strchr(digits, *r->at) : NULL;
        if (!digit) return -1;
        result = result << 4 | ((digit - digits) & 15);
    }
    return result;
}
/* What stands after a backslash; the character it means, 0 where it means none. */
static uint32_t escape(reader *r)
{
    static const char from[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
    if (r->at == r->end) return 0;
    char c = *r->at++;
    const char *known = c ? strchr(from, c) : NULL;
    if (known) return (uint32_t)means[known - from];
    int32_t high = c == 'u' ? hex4(r) : -1;
    if (high <= 0 || (high >= 0xdc00 && high <= 0xdfff)) return 0;
    if (high < 0xd800 || high > 0xdbff) return (uint32_t)high;
    if (r->end - r->at < 6 || r->at[0] != '\\' || r->at[1] != 'u') return 0;
    r->at += 2;
    int32_t low = hex4(r);
    return low >= 0xdc00 && low <= 0xdfff ? 0x10000u + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00) : 0;
}
static char *write_utf8(char *to, uint32_t c)
{
    if (c < 0x80) return *to++ = (char)c, to;
    int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = { 0, 0xc0, 0xe0, 0xf0 };
    *to++ = (char)(lead[more] | c >> 6 * more);
    while (more--) *to++ = (char)(0x80 | (c >> 6 * more & 63));
    return to;
}
/* A string, unescaped in place and ended by a 0 (an escape is never shorter than what it means). */
static const char *string(reader *r)
{
    if (!accept(r, '"')) return wrong(r, "a string expected"), NULL;
    char *text = r->at, *to = text;
    while (r->at < r->end && *r->at != '"') {
        if ((unsigned char)*r->at < 0x20) return wrong(r, "a control character in a string"), NULL;
        if (*r->at != '\\') {
            *to++ = *r->at++;
            continue;
        }
        r->at++;
        uint32_t c = escape(r);
        if (!c) return wrong(r, "an escape that means no character"), NULL;
        to = write_utf8(to, c);
    }
    if (r->at == r->end) return wrong(r, "a string that does not end"), NULL;
    r->at++;
    *to = 0;
    return text;
}

/* ---- numbers ---- */

static bool digits(reader *r)
{
    char *from = r->at;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9') r->at++;
    return r->at > from;
}
static bool number(reader *r, json *x)
{
    char *from = r->at;
    x->kind = JSON_NUMBER;
    x->is_whole = true;
    if (*r->at == '-') r->at++;
    char *first = r->at;
    if (!digits(r)) return wrong(r, "a value expected");
    if (*first == '0' && r->at - first > 1) return wrong(r, "a number that begins with 0");
    if (r->at < r->end && *r->at == '.') {
        r->at++;
        x->is_whole = false;
        if (!digits(r)) return wrong(r, "digits expected");
    }
    if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
        r->at++;
        x->is_whole = false;
        if (r->at < r->end && (*r->at == '+' || *r->at == '-')) r->at++;
        if (!digits(r)) return wrong(r, "digits expected");
    }
    x->number = strtod(from, NULL);
    if (!x->is_whole) return true;
    errno = 0;
    x->whole = strtoll(from, NULL, 10);
    x->is_whole = errno == 0;
    return true;
}

/* ---- arrays and objects ---- */

static int by_text(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

static bool has_double_name(reader *r, const json *object)
{
    if (object->n < 2) return false;
    const char **names = malloc((size_t)object->n * sizeof *names);
    if (!names) return !complain(r->why, "out of memory");
    int64_t n = 0, i = 1;
    for (const json *m = object->first; m; m = m->next) names[n++] = m->name;
    qsort(names, (size_t)n, sizeof *names, by_text);
    while (i < n && strcmp(names[i - 1], names[i])) i++;
    free(names);
    return i < n && !wrong(r, "a name given twice");
}

static bool members(reader *r, json *x, char close, int depth)
{
    r->at++;
    x->kind = close == '}' ? JSON_OBJECT : JSON_ARRAY;
    if (depth == JSON_MAX_DEPTH) return wrong(r, "too many levels");
    if (accept(r, close)) return true;
    json **link = &x->first;
    do {
        const char *name = NULL;
        if (close == '}') {
            if (!(name = string(r))) return false;
            if (!accept(r, ':')) return wrong(r, "':' expected");
        }
        json *m = new_value(r);
        if (!m || !value(r, m, depth + 1)) return false;
        m->name = name;
        *link = m;
        link = &m->next;
        x->n++;
    } while (accept(r, ','));
    if (!accept(r, close)) return wrong(r, close == '}' ? "'}' expected" : "']' expected");
    return close != '}' || !has_double_name(r, x);
}

static bool word(reader *r, const char *text)
{
    size_t n = strlen(text);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, text, n)) return wrong(r, "a value expected");
    r->at += n;
    return true;
}

static bool value(reader *r, json *x, int depth)
{
    skip_blanks(r);
    if (r->at == r->end) return wrong(r, "a value expected");
    switch (*r->at) {
    case '{':
        return members(r, x, '}', depth);
    case '[':
        return members(r, x, ']', depth);
    case '"':
        x->kind = JSON_TEXT;
        return (x->text = string(r)) != NULL;
    case 't':
        x->is_true = true; /* fall through */
    case 'f':
        x->kind = JSON_BOOL;
        return word(r, x->is_true ? "true" : "false");
    case 'n':
        return word(r, "null");
    default:
        return number(r, x);
    }
}

const json *json_parse(json_pool *pool, char *text, size_t n, complaint *why)
{
    reader r = { pool, why, text, text, text + n };
    if (!ag__utf8_valid(text, n)) return complain(why, "it is not UTF-8"), NULL;
    json *x = new_value(&r);
    if (!x || !value(&r, x, 0)) return NULL;
    skip_blanks(&r);
    return r.at == r.end ? x : (wrong(&r, "something after its end"), NULL);
}

/* ---- looking ---- */

const json *json_get(const json *object, const char *name)
{
    if (!json_is(object, JSON_OBJECT)) return NULL;
    for (const json *m = object->first; m; m = m->next)
        if (strcmp(m->name, name) == 0) return m;
    return NULL;
}
const json *json_at(const json *array, int64_t i)
{
    const json *m = json_is(array, JSON_ARRAY) ? array->first : NULL;
    while (m && i-- > 0) m = m->next;
    return m;
}
const char *json_text(const json *x) { return json_is(x, JSON_TEXT) ? x->text : NULL; }
bool json_whole(const json *x, int64_t *value_)
{
    if (!json_is(x, JSON_NUMBER) || !x->is_whole) return false;
    *value_ = x->whole;
    return true;
}
bool json_is(const json *x, json_kind kind) { return x && x->kind == kind; }

/* ---- writing ---- */

void json_write_text(FILE *file, const char *text)
{
    fputc('"', file);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\') fputc('\\', file);
        if (*p < 0x20)
            fprintf(file, "\\u%04x", *p);
        else
            fputc(*p, file);
    }
    fputc('"', file);
}

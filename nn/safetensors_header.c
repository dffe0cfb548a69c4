/* safetensors_header.c - reading the header of a safetensors file, believing nothing.
 *
 * The header is JSON of one fixed form, two objects deep:
 *
 *     {"__metadata__":{"key":"value",...},"name":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},...}
 *
 * so what stands here is a reader of that form, not of JSON: it has no recursion, no numbers but whole ones that fit
 * int64, no values of a kind that the form has no place for, and it can therefore refuse, with the byte where it
 * happens, what a general reader would let through: a name given twice, a field that is missing or unknown, text that
 * is not UTF-8, half a surrogate pair, a NUL in a name. Strings are unescaped where they stand. Then the shapes are
 * multiplied out and the places compared: the tensors must fill the data exactly. Nothing is allocated for a tensor
 * before all of this has passed.
 */
#include "nn/safetensors_header.h"

#include "tensor/allocator.h"
#include "tensor/fail.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
    const char *file;
    char *start, *at, *end;
} reader;

static bool wrong(const reader *r, const char *what)
{
    return ag__fail(AG_EIO, "%s: the header is not that of a safetensors file: %s at byte %" PRIdPTR, r->file, what,
                    r->at - r->start);
}

/* ---- UTF-8 ---- */

/* The length of the character at p, 0 where it is not well-formed (too long a form, a surrogate, beyond U+10FFFF,
 * cut off). */
static int utf8_length(const unsigned char *p, const unsigned char *end)
{
    unsigned char a = p[0];
    if (a < 0x80) return 1;
    int n = a >= 0xc2 && a <= 0xdf ? 2 : a >= 0xe0 && a <= 0xef ? 3 : a >= 0xf0 && a <= 0xf4 ? 4 : 0;
    if (n == 0 || end - p < n) return 0;
    for (int i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    bool too_long = (a == 0xe0 && p[1] < 0xa0) || (a == 0xf0 && p[1] < 0x90);
    bool surrogate = a == 0xed && p[1] > 0x9f, beyond = a == 0xf4 && p[1] > 0x8f;
    return too_long || surrogate || beyond ? 0 : n;
}
bool ag__utf8_valid(const char *text, size_t n)
{
    const unsigned char *p = (const unsigned char *)text, *end = p + n;
    while (p < end) {
        int length = utf8_length(p, end);
        if (!length) return false;
        p += length;
    }
    return true;
}
static char *utf8_write(char *to, uint32_t c)
{
    if (c < 0x80)
        *to++ = (char)c;
    else if (c < 0x800) {
        *to++ = (char)(0xc0 | c >> 6);
        *to++ = (char)(0x80 | (c & 63));
    } else if (c < 0x10000) {
        *to++ = (char)(0xe0 | c >> 12);
        *to++ = (char)(0x80 | (c >> 6 & 63));
        *to++ = (char)(0x80 | (c & 63));
    } else {
        *to++ = (char)(0xf0 | c >> 18);
        *to++ = (char)(0x80 | (c >> 12 & 63));
        *to++ = (char)(0x80 | (c >> 6 & 63));
        *to++ = (char)(0x80 | (c & 63));
    }
    return to;
}

/* ---- the pieces of JSON that there are ---- */

static void skip_blanks(reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r')) r->at++;
}
/* The next character, blanks aside, is this one: consumed. */
static bool accept(reader *r, char c)
{
    skip_blanks(r);
    if (r->at == r->end || *r->at != c) return false;
    r->at++;
    return true;
}
static bool expect(reader *r, char c)
{
    if (accept(r, c)) return true;
    char what[] = "'?' expected";
    what[1] = c;
    return wrong(r, what);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}
/* Four hexadecimal digits; -1 where they are not. */
static int32_t hex4(reader *r)
{
    int32_t value = 0;
    if (r->end - r->at < 4) return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(*r->at++);
        if (digit < 0) return -1;
        value = value << 4 | digit;
    }
    return value;
}
/* What stands after a backslash; the character it means, 0 where it means none. */
static uint32_t escape(reader *r)
{
    static const char from[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
    if (r->at == r->end) return 0;
    char c = *r->at++;
    const char *known = c ? strchr(from, c) : NULL;
    if (known) return (uint32_t)means[known - from];
    if (c != 'u') return 0;
    int32_t high = hex4(r);
    if (high <= 0 || (high >= 0xdc00 && high <= 0xdfff)) return 0;
    if (high < 0xd800 || high > 0xdbff) return (uint32_t)high;
    if (r->end - r->at < 6 || r->at[0] != '\\' || r->at[1] != 'u') return 0;
    r->at += 2;
    int32_t low = hex4(r);
    if (low < 0xdc00 || low > 0xdfff) return 0;
    return 0x10000 + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00);
}
/* A string, unescaped in place and ended by a 0 (an escape is never shorter than what it means); NULL with an error. */
static char *string(reader *r)
{
    if (!expect(r, '"')) return NULL;
    char *text = r->at, *to = text;
    while (r->at < r->end && *r->at != '"') {
        if ((unsigned char)*r->at < 0x20) return wrong(r, "a control character in a string"), NULL;
        if (*r->at == '\\') {
            r->at++;
            uint32_t c = escape(r);
            if (!c) return wrong(r, "an escape that means no character"), NULL;
            to = utf8_write(to, c);
            continue;
        }
        int n = utf8_length((unsigned char *)r->at, (unsigned char *)r->end);
        if (!n) return wrong(r, "text that is not UTF-8"), NULL;
        memmove(to, r->at, (size_t)n);
        r->at += n;
        to += n;
    }
    if (r->at == r->end) return wrong(r, "a string that does not end"), NULL;
    r->at++;
    *to = 0; /* at most where the closing quote stood */
    return text;
}
/* A whole number from 0 to the greatest int64. */
static bool number(reader *r, int64_t *value)
{
    skip_blanks(r);
    const char *first = r->at;
    *value = 0;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++)
        if (__builtin_mul_overflow(*value, 10, value) || __builtin_add_overflow(*value, *r->at - '0', value))
            return wrong(r, "a number that is too large");
    if (r->at == first) return wrong(r, "a whole number expected");
    if (*first == '0' && r->at - first > 1) return wrong(r, "a number that begins with 0");
    return true;
}
/* [n, n, ...], of which the first `max` are kept; how many there are, -1 with an error. */
static int numbers(reader *r, int64_t *value, int max)
{
    int n = 0;
    int64_t next;
    if (!expect(r, '[')) return -1;
    if (accept(r, ']')) return 0;
    do {
        if (!number(r, &next)) return -1;
        if (n < max) value[n] = next;
        n++;
    } while (accept(r, ','));
    return expect(r, ']') ? n : -1;
}

/* ---- what the header says ---- */

static const struct {
    const char *name;
    ag_dtype dtype;
} dtypes[] = {
    { "F32", AG_FLOAT32 }, { "F64", AG_FLOAT64 }, { "I64", AG_INT64 },
    { "I32", AG_INT32 },   { "U8", AG_UINT8 },    { "BOOL", AG_BOOL },
};
enum { N_DTYPES = sizeof dtypes / sizeof *dtypes };

const char *ag__safetensors_dtype(ag_dtype dtype)
{
    for (int i = 0; i < N_DTYPES; i++)
        if (dtypes[i].dtype == dtype) return dtypes[i].name;
    return NULL;
}

static bool dtype_of(reader *r, const char *tensor, const char *name, ag_dtype *dtype)
{
    static const char *const others[] = { "F16", "BF16",    "I8",      "I16",     "U16", "U32",     "U64",
                                          "C64", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F4",  "F6_E2M3", "F6_E3M2" };
    for (int i = 0; i < N_DTYPES; i++) {
        if (strcmp(name, dtypes[i].name)) continue;
        *dtype = dtypes[i].dtype;
        return true;
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(name, others[i]) == 0)
            return ag__fail(AG_ENOTSUP,
                            "%s: tensor '%s' is %s; float32, float64, int64, int32, uint8 and bool are supported",
                            r->file, tensor, name);
    return wrong(r, "a dtype that does not exist");
}

/* {"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}, its fields in any order */
static bool tensor_info(reader *r, ag_stored_tensor *x)
{
    enum { DTYPE = 1, SHAPE = 2, OFFSETS = 4 };
    int have = 0;
    if (!expect(r, '{')) return false;
    if (!accept(r, '}')) {
        do {
            const char *field = string(r);
            if (!field || !expect(r, ':')) return false;
            int which = 0;
            if (strcmp(field, "dtype") == 0) which = DTYPE;
            if (strcmp(field, "shape") == 0) which = SHAPE;
            if (strcmp(field, "data_offsets") == 0) which = OFFSETS;
            if (!which) return wrong(r, "an unknown field of a tensor");
            if (have & which) return wrong(r, "a field given twice");
            have |= which;
            if (which == DTYPE) {
                const char *name = string(r);
                if (!name || !dtype_of(r, x->name, name, &x->dtype)) return false;
            } else if (which == SHAPE) {
                x->ndim = numbers(r, x->size, AG_MAX_DIMS);
                if (x->ndim < 0) return false;
                if (x->ndim > AG_MAX_DIMS)
                    return ag__fail(AG_ENOTSUP, "%s: tensor '%s' has %d dimensions; up to %d are supported", r->file,
                                    x->name, x->ndim, AG_MAX_DIMS);
            } else {
                int64_t place[2];
                int n = numbers(r, place, 2);
                if (n < 0) return false;
                if (n != 2) return wrong(r, "data_offsets that are not two numbers");
                x->begin = place[0];
                x->end = place[1];
            }
        } while (accept(r, ','));
        if (!expect(r, '}')) return false;
    }
    return have == (DTYPE | SHAPE | OFFSETS) || wrong(r, "a tensor without dtype, shape or data_offsets");
}

static bool metadata(reader *r, ag_safetensors_header *h)
{
    if (!expect(r, '{')) return false;
    if (accept(r, '}')) return true;
    do {
        ag_stored_text text;
        text.key = string(r);
        if (!text.key || !expect(r, ':')) return false;
        text.value = string(r);
        if (!text.value || !ag__grow((void **)&h->text, &h->max_texts, h->n_texts + 1, sizeof *h->text)) return false;
        h->text[h->n_texts++] = text;
    } while (accept(r, ','));
    return expect(r, '}');
}

static bool members(reader *r, ag_safetensors_header *h)
{
    bool have_metadata = false;
    if (!expect(r, '{')) return false;
    if (accept(r, '}')) return true;
    do {
        char *name = string(r);
        if (!name || !expect(r, ':')) return false;
        if (strcmp(name, "__metadata__") == 0) {
            if (have_metadata) return wrong(r, "__metadata__ given twice");
            have_metadata = true;
            if (!metadata(r, h)) return false;
        } else {
            ag_stored_tensor x = { .name = name };
            if (!tensor_info(r, &x) || !ag__grow((void **)&h->tensor, &h->max_tensors, h->n_tensors + 1, sizeof x))
                return false;
            h->tensor[h->n_tensors++] = x;
        }
    } while (accept(r, ','));
    return expect(r, '}');
}

/* ---- whether it can be true ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const ag_stored_tensor *)a)->name, ((const ag_stored_tensor *)b)->name);
}
static int by_key(const void *a, const void *b)
{
    return strcmp(((const ag_stored_text *)a)->key, ((const ag_stored_text *)b)->key);
}
static int by_place(const void *a, const void *b)
{
    const ag_stored_tensor *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->end != y->end) return x->end < y->end ? -1 : 1;
    return strcmp(x->name, y->name);
}

static bool no_duplicates(const reader *r, ag_safetensors_header *h)
{
    if (h->n_texts) qsort(h->text, (size_t)h->n_texts, sizeof *h->text, by_key);
    for (int64_t i = 1; i < h->n_texts; i++)
        if (by_key(&h->text[i - 1], &h->text[i]) == 0)
            return ag__fail(AG_EIO, "%s: metadata key '%s' is given twice", r->file, h->text[i].key);
    if (h->n_tensors) qsort(h->tensor, (size_t)h->n_tensors, sizeof *h->tensor, by_name);
    for (int64_t i = 1; i < h->n_tensors; i++)
        if (by_name(&h->tensor[i - 1], &h->tensor[i]) == 0)
            return ag__fail(AG_EIO, "%s: tensor '%s' is given twice", r->file, h->tensor[i].name);
    return true;
}

static bool fills_the_file(const reader *r, ag_safetensors_header *h, int64_t data_bytes)
{
    int64_t at = 0;
    if (h->n_tensors) qsort(h->tensor, (size_t)h->n_tensors, sizeof *h->tensor, by_place);
    for (int64_t i = 0; i < h->n_tensors; i++) {
        const ag_stored_tensor *x = &h->tensor[i];
        int64_t numel = ag__numel_of(x->ndim, x->size), bytes;
        char text[AG_TEXT];
        if (numel < 0 || __builtin_mul_overflow(numel, (int64_t)ag_dtype_size(x->dtype), &bytes))
            return ag__fail(AG_EIO, "%s: tensor '%s' of shape %s is too large", r->file, x->name,
                            ag__shape_text(x->ndim, x->size, text, sizeof text));
        if (x->begin != at)
            return ag__fail(AG_EIO,
                            "%s: tensor '%s' begins at byte %" PRId64
                            " of the data, where the one before it ends at %" PRId64,
                            r->file, x->name, x->begin, at);
        if (x->end < x->begin || x->end - x->begin != bytes)
            return ag__fail(AG_EIO,
                            "%s: tensor '%s' of shape %s, %s, takes %" PRId64
                            " bytes, but the header gives it bytes %" PRId64 " to %" PRId64,
                            r->file, x->name, ag__shape_text(x->ndim, x->size, text, sizeof text),
                            ag_dtype_name(x->dtype), bytes, x->begin, x->end);
        at = x->end;
    }
    if (at != data_bytes)
        return ag__fail(AG_EIO, "%s: the header speaks of %" PRId64 " bytes of data, but there are %" PRId64, r->file,
                        at, data_bytes);
    return true;
}

bool ag__safetensors_parse(const char *file, char *json, size_t n, int64_t data_bytes, ag_safetensors_header *header)
{
    reader r = { file, json, json, json + n };
    *header = (ag_safetensors_header){ 0 };
    bool ok = members(&r, header);
    skip_blanks(&r);
    if (ok && r.at != r.end) ok = wrong(&r, "something after its end");
    ok = ok && no_duplicates(&r, header) && fills_the_file(&r, header, data_bytes);
    if (!ok) ag__safetensors_header_free(header);
    return ok;
}

void ag__safetensors_header_free(ag_safetensors_header *header)
{
    free(header->tensor);
    free(header->text);
    *header = (ag_safetensors_header){ 0 };
}

/* ---- writing ---- */

/* One character as it stands in a string; its length. */
static int json_character(char c, char piece[8])
{
    static const char special[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
    const char *known = strchr(special, c);
    if (known) return snprintf(piece, 8, "\\%c", letter[known - special]);
    if ((unsigned char)c < 0x20) return snprintf(piece, 8, "\\u%04x", c);
    piece[0] = c;
    return 1;
}
size_t ag__json_quote(char *to, const char *text)
{
    size_t n = 1;
    char piece[8];
    if (to) to[0] = '"';
    for (; *text; text++) {
        int length = json_character(*text, piece);
        if (to) memcpy(to + n, piece, (size_t)length);
        n += (size_t)length;
    }
    if (to) to[n] = '"';
    return n + 1;
}

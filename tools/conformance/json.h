/* json.h - a strict reader of JSON texts, for files that nobody vouches for.
 *
 * What RFC 8259 allows and nothing else, and of that not everything: a name given twice in an object, a NUL in a
 * string, text that is not UTF-8 and more than JSON_MAX_DEPTH levels are refused, with the byte where it happens.
 */
#ifndef AG_CONFORMANCE_JSON_H
#define AG_CONFORMANCE_JSON_H
#include "complaint.h"

#include <stddef.h>
#include <stdint.h>

enum { JSON_MAX_DEPTH = 64 };

typedef enum { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_TEXT, JSON_ARRAY, JSON_OBJECT } json_kind;
typedef struct json {
    json_kind kind;
    bool is_whole; /* of a number: written without a point or an exponent, and fits `whole` */
    bool is_true;
    int64_t n; /* of an array or object: how many members */
    int64_t whole;
    double number;
    const char *text;
    const char *name; /* of an object's member */
    struct json *first, *next;
} json;

/* A text's values, all in one place; { 0 } is an empty one. */
typedef struct json_pool {
    struct json_block *blocks;
} json_pool;

/* Reads the n bytes at text, which becomes part of the result (strings are unescaped where they stand); text[n] must
 * be 0. NULL with a complaint. */
const json *json_parse(json_pool *pool, char *text, size_t n, complaint *why);
void json_free(json_pool *pool);

/* Of NULL, or of a value of another kind: NULL or false. */
const json *json_get(const json *object, const char *name);
const json *json_at(const json *array, int64_t i);
const char *json_text(const json *x);
bool json_whole(const json *x, int64_t *value);
bool json_is(const json *x, json_kind kind);
static inline const json *json_first(const json *x) { return x ? x->first : NULL; }

/* Writes text as a JSON string, with its quotes. */
void json_write_text(FILE *file, const char *text);

#endif

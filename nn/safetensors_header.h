/* safetensors_header.h - the first part of a safetensors file: the names, types, shapes and places of its tensors.
 *
 * A file is: the length n of the header (8 bytes, little endian), the header (n bytes of JSON), the tensors' bytes
 * one after the other.
 */
#ifndef AG_SAFETENSORS_HEADER_H
#define AG_SAFETENSORS_HEADER_H
#include "tensor/tensor.h"

enum { AG_SAFETENSORS_MAX_HEADER = 100000000 }; /* bytes; the reference's limit */

typedef struct ag_stored_tensor {
    char *name; /* unescaped, in the parsed text */
    ag_dtype dtype;
    int ndim;
    int64_t size[AG_MAX_DIMS];
    int64_t begin, end; /* bytes, counted from the end of the header */
} ag_stored_tensor;
typedef struct ag_stored_text {
    char *key, *value;
} ag_stored_text;

typedef struct ag_safetensors_header {
    ag_stored_tensor *tensor; /* in the order of their bytes */
    int64_t n_tensors, max_tensors;
    ag_stored_text *text; /* of __metadata__ */
    int64_t n_texts, max_texts;
} ag_safetensors_header;

/* Reads the header's n bytes (json[n] must be writable: names are unescaped in place) and checks that its tensors
 * fill the data_bytes that follow it without a gap or an overlap. false with a sentence that begins with `file`. */
bool ag__safetensors_parse(const char *file, char *json, size_t n, int64_t data_bytes, ag_safetensors_header *header);
void ag__safetensors_header_free(ag_safetensors_header *header);

/* "F32"; NULL for none. */
const char *ag__safetensors_dtype(ag_dtype dtype);
/* JSON for a string, with its quotes, as the reference writes it. Returns the length; to may be NULL to learn it. */
size_t ag__json_quote(char *to, const char *text);
/* Whether the text is UTF-8, which is what names must be. */
bool ag__utf8_valid(const char *text, size_t n);

#endif

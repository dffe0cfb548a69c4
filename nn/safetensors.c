/* safetensors.c - state dicts in files; the header's JSON is read and checked in safetensors_header.c.
 *
 * Tensors are written widest type first, so that each begins at a multiple of its element's size, as the reference
 * writer has it.
 */
#include "autograd/node.h"
#include "nn/safetensors_header.h"
#include "nn/state_dict_internal.h"
#include "tensor/new_file.h"

#include <argent/factory.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "the file's numbers are little endian, and copied as they are");

static bool fail_io(const char *what, const char *path)
{
    return ag__fail(AG_EIO, "%s: %s: %s", path, what, strerror(errno));
}

/* ---- writing ---- */

/* Text that grows; with to NULL only its length is counted. */
typedef struct json {
    char *to;
    size_t n;
} json;
static void put(json *j, const char *text)
{
    size_t n = strlen(text);
    if (j->to) memcpy(j->to + j->n, text, n);
    j->n += n;
}
static void put_number(json *j, int64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, number);
    put(j, text);
}
static void put_quoted(json *j, const char *text) { j->n += ag__json_quote(j->to ? j->to + j->n : NULL, text); }

static int64_t bytes_of(const ag_variable *x) { return x->tensor.numel * (int64_t)ag__itemsize(&x->tensor); }

/* The next Variable in the file's order: by size of element, 8, 4, 1, and then as they came. */
typedef struct in_order {
    size_t itemsize;
    ag_state_item item;
} in_order;
static bool next_in_order(const ag_state_dict *d, in_order *o)
{
    for (; o->itemsize; o->itemsize = o->itemsize == 8 ? 4 : o->itemsize == 4 ? 1 : 0, o->item = (ag_state_item){ 0 })
        while (ag_state_dict_next(d, &o->item))
            if (ag__itemsize(&o->item.variable->tensor) == o->itemsize) return true;
    return false;
}

static size_t write_header(const ag_state_dict *d, char *to)
{
    json j = { to, 0 };
    const char *key, *text;
    int64_t begin = 0;
    put(&j, "{");
    for (int64_t i = 0; ag__state_dict_note(d, i, &key, &text); i++) {
        put(&j, i ? "," : "\"__metadata__\":{");
        put_quoted(&j, key);
        put(&j, ":");
        put_quoted(&j, text);
    }
    if (j.n > 1) put(&j, "}");
    for (in_order o = { .itemsize = 8 }; next_in_order(d, &o);) {
        const ag_tensor *x = &o.item.variable->tensor;
        if (j.n > 1) put(&j, ",");
        put_quoted(&j, o.item.name);
        put(&j, ":{\"dtype\":\"");
        put(&j, ag__safetensors_dtype((ag_dtype)x->dtype));
        put(&j, "\",\"shape\":[");
        for (int k = 0; k < x->ndim; k++) {
            if (k) put(&j, ",");
            put_number(&j, x->size[k]);
        }
        put(&j, "],\"data_offsets\":[");
        put_number(&j, begin);
        put(&j, ",");
        put_number(&j, begin += bytes_of(o.item.variable));
        put(&j, "]}");
    }
    put(&j, "}");
    while (j.n % 8) put(&j, " "); /* the data begin at a multiple of 8 */
    return j.n;
}

static bool can_be_written(const ag_state_dict *d)
{
    if (ag_state_dict_get(d, "__metadata__"))
        return ag__fail(AG_EINVAL, "save: the name __metadata__ stands for a file's texts, so no Variable can have it");
    size_t n = write_header(d, NULL);
    return n <= AG_SAFETENSORS_MAX_HEADER ||
           ag__fail(AG_EINVAL, "save: the names and texts would take %zu bytes, but readers accept up to %d", n,
                    AG_SAFETENSORS_MAX_HEADER);
}

static bool write_tensor(ag__new_file *file, const ag_variable *x)
{
    size_t n = (size_t)bytes_of(x);
    if (x->tensor.contiguous && ag__device(x).type == AG_DEVICE_CPU) return ag__new_file_write(file, x->tensor.data, n);
    void *plain = ag__scratch(n);
    bool ok = plain && ag_copy_to(x, plain, (ag_dtype)x->tensor.dtype) && ag__new_file_write(file, plain, n);
    ag__scratch_free(plain);
    return ok;
}

static bool write_dict(ag__new_file *file, const ag_state_dict *d)
{
    size_t n = write_header(d, NULL);
    char *head = ag__scratch(8 + n);
    if (!head) return false;
    for (int i = 0; i < 8; i++) head[i] = (char)(n >> 8 * i);
    write_header(d, head + 8);
    bool ok = ag__new_file_write(file, head, 8 + n);
    ag__scratch_free(head);
    for (in_order o = { .itemsize = 8 }; ok && next_in_order(d, &o);) ok = write_tensor(file, o.item.variable);
    return ok;
}

bool ag_save(const ag_state_dict *d, const char *path)
{
    if (!d || !path) return ag__fail(AG_EINVAL, "save: %s is NULL", d ? "the path" : "the dictionary");
    if (!ag__may_change(ag__thread())) return false;
    ag__new_file file;
    if (!can_be_written(d) || !ag__new_file_open(&file, path)) return false;
    return ag__new_file_close(&file, write_dict(&file, d));
}

/* ---- reading ---- */

static bool read_all(int fd, void *data, size_t n, const char *path)
{
    for (char *at = data; n;) {
        ssize_t done = read(fd, at, n < INT_MAX ? n : INT_MAX);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return fail_io("it cannot be read", path);
        if (done == 0) return ag__fail(AG_EIO, "%s: it became shorter while it was read", path);
        at += done;
        n -= (size_t)done;
    }
    return true;
}

static bool read_tensor(int fd, ag_state_dict *d, const ag_stored_tensor *s, const char *path)
{
    AG_SCOPE;
    ag_variable *x = ag_empty(ag_sizes_of(s->ndim, s->size), .dtype = s->dtype);
    if (!x || !read_all(fd, x->tensor.data, (size_t)(s->end - s->begin), path)) return false;
    if (s->dtype == AG_BOOL)
        for (int64_t i = 0; i < x->tensor.numel; i++) x->tensor.data[i] = x->tensor.data[i] != 0;
    return ag_state_dict_set(d, s->name, x);
}

static ag_state_dict *read_dict(int fd, const ag_safetensors_header *h, const char *path)
{
    ag_state_dict *d = ag_state_dict_new();
    bool ok = d != NULL;
    for (int64_t i = 0; ok && i < h->n_texts; i++) ok = ag_state_dict_set_text(d, h->text[i].key, h->text[i].value);
    for (int64_t i = 0; ok && i < h->n_tensors; i++) ok = read_tensor(fd, d, &h->tensor[i], path);
    if (ok) return d;
    ag_state_dict_free(d);
    return NULL;
}

static ag_state_dict *read_file(int fd, const char *path)
{
    struct stat info;
    unsigned char length[8];
    if (fstat(fd, &info)) return fail_io("it cannot be looked at", path), NULL;
    if (!S_ISREG(info.st_mode)) return ag__fail(AG_EIO, "%s: it is not a file", path);
    int64_t size = (int64_t)info.st_size;
    if (size < 8) return ag__fail(AG_EIO, "%s: %" PRId64 " bytes are too few for a safetensors file", path, size);
    if (!read_all(fd, length, 8, path)) return NULL;
    uint64_t n = 0;
    for (int i = 8; i--;) n = n << 8 | length[i];
    if (n > AG_SAFETENSORS_MAX_HEADER || n > (uint64_t)size - 8)
        return ag__fail(AG_EIO, "%s: the header would take %" PRIu64 " bytes of a file of %" PRId64, path, n, size);
    char *text = ag__scratch((size_t)n + 1);
    if (!text) return NULL;
    ag_state_dict *d = NULL;
    ag_safetensors_header header;
    if (read_all(fd, text, (size_t)n, path) &&
        ag__safetensors_parse(path, text, (size_t)n, size - 8 - (int64_t)n, &header)) {
        d = read_dict(fd, &header, path);
        ag__safetensors_header_free(&header);
    }
    ag__scratch_free(text);
    return d;
}

ag_state_dict *ag_load(const char *path)
{
    if (!path) return ag__fail(AG_EINVAL, "load: the path is NULL");
    ag__handler_hold(); /* until the file is closed and what was made of it is gone */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* a pipe is refused, not waited for */
    ag_state_dict *d = NULL;
    if (fd < 0) {
        fail_io("it cannot be opened", path);
    } else {
        d = read_file(fd, path);
        close(fd);
    }
    ag__handler_release();
    return d;
}

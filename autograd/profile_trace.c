/* profile_trace.c - what was recorded, as Chrome's trace viewer and Perfetto read it: complete events ("ph": "X") by
 * thread, in microseconds since the beginning. */
#include "autograd/profile.h"
#include "tensor/allocator.h"
#include "tensor/fail.h"
#include "tensor/new_file.h"

#include <argent/profiler.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file that is written a piece at a time. */
typedef struct trace {
    ag__new_file file;
    bool ok;
    size_t n;
    char text[1 << 15];
} trace;

static void flush(trace *t)
{
    t->ok = t->ok && ag__new_file_write(&t->file, t->text, t->n);
    t->n = 0;
}
static void put_byte(trace *t, char byte)
{
    if (t->n == sizeof t->text) flush(t);
    t->text[t->n++] = byte;
}
static void put(trace *t, const char *text)
{
    for (; *text; text++) put_byte(t, *text);
}

/* How many bytes of UTF-8 begin here; 0: none that are well-formed enough for a reader. */
static int utf8_length(const unsigned char *p)
{
    int n = *p < 0x80 ? 1 : *p < 0xc2 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : *p < 0xf5 ? 4 : 0;
    for (int i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    return n;
}
/* "text" as JSON has it; bytes that are no UTF-8 become question marks. */
static void put_string(trace *t, const char *text)
{
    put_byte(t, '"');
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        char escape[8];
        int n = utf8_length(p);
        if (*p < 0x20 || *p == '"' || *p == '\\') {
            snprintf(escape, sizeof escape, "\\u%04x", *p);
            put(t, escape);
        } else if (!n) {
            put_byte(t, '?');
        } else {
            for (int i = 0; i < n; i++) put_byte(t, (char)p[i]);
        }
        p += n ? n : 1;
    }
    put_byte(t, '"');
}

static void put_event(trace *t, const ag_recorder *r, const ag_event *e, int64_t began)
{
    static const char *const category[] = {
        [AG_EVENT_OP] = "cpu_op", [AG_EVENT_NODE] = "backward", [AG_EVENT_RANGE] = "user_annotation"
    };
    char numbers[256];
    const int64_t begin = e->begin - began, length = e->end - e->begin;
    put(t, ",\n{\"ph\": \"X\", \"name\": ");
    put_string(t, e->name);
    snprintf(numbers, sizeof numbers,
             ", \"cat\": \"%s\", \"pid\": %d, \"tid\": %d, \"ts\": %" PRId64 ".%03d, \"dur\": %" PRId64
             ".%03d, \"args\": {\"Bytes\": %" PRId64,
             category[e->kind], (int)getpid(), r->thread_id, begin / 1000, (int)(begin % 1000), length / 1000,
             (int)(length % 1000), e->bytes);
    put(t, numbers);
    if (e->shapes) {
        put(t, ", \"Input Dims\": ");
        put(t, e->shapes); /* written as JSON */
    }
    put(t, "}}");
}

/* What the viewer calls a process or a thread. */
static void put_name(trace *t, const char *what, int thread_id, const char *name)
{
    char numbers[96];
    snprintf(numbers, sizeof numbers, "{\"ph\": \"M\", \"name\": \"%s\", \"pid\": %d, \"tid\": %d, ", what,
             (int)getpid(), thread_id);
    put(t, numbers);
    put(t, "\"args\": {\"name\": ");
    put_string(t, name);
    put(t, "}}");
}

static void put_all(trace *t, const ag_recorder *recorders, int64_t began)
{
    put(t, "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n");
    put_name(t, "process_name", 0, program_invocation_short_name);
    for (const ag_recorder *r = recorders; t->ok && r; r = r->next) {
        put(t, ",\n");
        put_name(t, "thread_name", r->thread_id, r->thread_name);
        for (int64_t i = 0; i < r->n && t->ok; i++) put_event(t, r, &r->events[i], began);
    }
    put(t, "\n]}\n");
    flush(t);
}

bool ag_profiler_export_chrome_trace(const char *path)
{
    if (!path) return ag__fail(AG_EINVAL, "export_chrome_trace: the path is NULL");
    trace *t = malloc(sizeof *t);
    if (!t) return ag__fail_memory("a trace", sizeof *t);
    t->n = 0;
    t->ok = true;
    bool ok = ag__new_file_open(&t->file, path);
    if (ok) {
        const ag_recorder *recorders;
        int64_t began;
        t->ok = ag__profile_read(&recorders, &began);
        put_all(t, recorders, began);
        ag__profile_read_end();
        ok = ag__new_file_close(&t->file, t->ok);
    }
    free(t);
    return ok;
}

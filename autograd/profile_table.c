/* profile_table.c - what was recorded, summed up by name: PyTorch's key_averages() and its table. */
#include "autograd/profile.h"
#include "tensor/allocator.h"
#include "tensor/fail.h"

#include <argent/profiler.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- sums ---- */

typedef struct averages {
    ag_profiler_average *at;
    int64_t n, max;
    int64_t *slots; /* 1 + the place in at, 0 where it is free; at most half full */
    int64_t n_slots;
    bool by_shapes;
} averages;

static averages by_name; /* made when first asked for, under the profiler's lock */

static void averages_free(averages *a)
{
    free(a->at);
    free(a->slots);
    *a = (averages){ .at = NULL };
}
void ag__averages_clear(void) { averages_free(&by_name); }

static int64_t *slot_of(const averages *a, const char *key, const char *shapes)
{
    uint64_t k = ag__hash_text(14695981039346656037u, key);
    if (shapes) k = ag__hash_text(k, shapes);
    for (;; k++) {
        int64_t *slot = &a->slots[k & (uint64_t)(a->n_slots - 1)];
        const ag_profiler_average *there = *slot ? &a->at[*slot - 1] : NULL;
        if (!there || (strcmp(there->key, key) == 0 && (!shapes || strcmp(there->input_shapes, shapes) == 0)))
            return slot;
    }
}
static bool grow(averages *a)
{
    if (!ag__grow((void **)&a->at, &a->max, a->n + 1, sizeof *a->at)) return false;
    if (2 * (a->n + 1) <= a->n_slots) return true;
    const int64_t n = a->n_slots ? 2 * a->n_slots : 128;
    int64_t *slots = calloc((size_t)n, sizeof *slots);
    if (!slots) return ag__fail_memory("the profiler's table", (size_t)n * sizeof *slots);
    free(a->slots);
    a->slots = slots;
    a->n_slots = n;
    for (int64_t i = 0; i < a->n; i++) *slot_of(a, a->at[i].key, a->at[i].input_shapes) = i + 1;
    return true;
}
/* The line that an event belongs to; NULL with an error. */
static ag_profiler_average *line_of(averages *a, const ag_event *e)
{
    const char *shapes = !a->by_shapes ? NULL : e->shapes ? e->shapes : "[]";
    if (!grow(a)) return NULL;
    int64_t *slot = slot_of(a, e->name, shapes);
    if (!*slot) {
        a->at[a->n++] = (ag_profiler_average){ .key = e->name, .input_shapes = shapes };
        *slot = a->n;
    }
    return &a->at[*slot - 1];
}

/* What ran inside an event is taken from its own time. */
static bool sum_up(averages *a, const ag_recorder *recorders)
{
    for (const ag_recorder *r = recorders; r; r = r->next)
        for (int64_t i = 0; i < r->n; i++) {
            const ag_event *e = &r->events[i], *outer = e->parent < 0 ? NULL : &r->events[e->parent];
            ag_profiler_average *line = line_of(a, e);
            if (!line) return false;
            line->count++;
            line->cpu_time_total += e->end - e->begin;
            line->self_cpu_time_total += e->end - e->begin;
            line->cpu_memory_usage += e->bytes;
            line->self_cpu_memory_usage += e->bytes;
            line = outer ? line_of(a, outer) : NULL; /* which there is */
            if (!line) continue;
            line->self_cpu_time_total -= e->end - e->begin;
            line->self_cpu_memory_usage -= e->bytes;
        }
    return true;
}

bool ag_profiler_key_averages(ag_profiler_average *at)
{
    if (!at) return ag__fail(AG_EINVAL, "profiler_key_averages: the place is NULL");
    const ag_recorder *recorders;
    int64_t began;
    bool ok = ag__profile_read(&recorders, &began) && (by_name.n || sum_up(&by_name, recorders));
    if (!ok) averages_free(&by_name);
    ok = ok && at->next < by_name.n;
    if (ok) {
        int64_t next = at->next + 1;
        *at = by_name.at[at->next];
        at->next = next;
    }
    ag__profile_read_end();
    return ok;
}

/* ---- order ---- */

static double cpu_time(const ag_profiler_average *a) { return (double)a->cpu_time_total / (double)a->count; }
static double cpu_time_total(const ag_profiler_average *a) { return (double)a->cpu_time_total; }
static double self_cpu_time_total(const ag_profiler_average *a) { return (double)a->self_cpu_time_total; }
static double cpu_memory_usage(const ag_profiler_average *a) { return (double)a->cpu_memory_usage; }
static double self_cpu_memory_usage(const ag_profiler_average *a) { return (double)a->self_cpu_memory_usage; }
static double count(const ag_profiler_average *a) { return (double)a->count; }

typedef double sort_value(const ag_profiler_average *a);
static sort_value *sort_value_of(const char *name)
{
    static const struct {
        const char *name;
        sort_value *value;
    } keys[] = { { "count", count },
                 { "cpu_time", cpu_time },
                 { "cpu_time_total", cpu_time_total },
                 { "self_cpu_time_total", self_cpu_time_total },
                 { "cpu_memory_usage", cpu_memory_usage },
                 { "self_cpu_memory_usage", self_cpu_memory_usage } };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(keys[i].name, name) == 0) return keys[i].value;
    return ag__fail(AG_EINVAL,
                    "profiler_table: there is no sort key '%s'; there are count, cpu_time, cpu_time_total, "
                    "self_cpu_time_total, cpu_memory_usage and self_cpu_memory_usage",
                    name);
}

typedef struct place {
    double value;
    int64_t i;
} place;
static int compare(const void *a, const void *b)
{
    const place *p = a, *q = b;
    if (p->value != q->value) return p->value < q->value ? 1 : -1;
    return p->i < q->i ? -1 : p->i > q->i;
}

/* ---- the table ---- */

enum { COLUMN = 12, NAME_MAX = 55, SHAPES_MAX = 80, CELL = 32 };

typedef struct table {
    FILE *file;
    int name_width, shapes_width; /* shapes: 0: no such column */
    int64_t total;                /* of all own times */
} table;

static const char *time_text(int64_t ns, char *text)
{
    const double us = (double)ns / 1e3;
    const char *format = us >= 1e6 ? "%.3fs" : us >= 1e3 ? "%.3fms" : "%.3fus";
    ag__format(text, CELL, format, us >= 1e6 ? us / 1e6 : us >= 1e3 ? us / 1e3 : us);
    return text;
}
static const char *share_text(int64_t ns, int64_t total, char *text)
{
    if (total)
        ag__format(text, CELL, "%.2f%%", (double)ns * 100 / (double)total);
    else
        strcpy(text, "NaN");
    return text;
}
static const char *memory_text(int64_t bytes, char *text)
{
    static const char *const unit[] = { "B", "KB", "MB", "GB" };
    double value = (double)bytes;
    int k = 0;
    for (; k < 3 && (value >= 1024 || value <= -1024); k++) value /= 1024;
    ag__format(text, CELL, k ? "%.2f %s" : "%.0f %s", value, unit[k]);
    return text;
}

/* A text at the right of a column; one that is too long ends in dots. */
static void put_cell(const table *t, const char *text, int width)
{
    const int length = (int)strlen(text);
    if (length > width)
        fprintf(t->file, "%.*s...  ", width - 3, text);
    else
        fprintf(t->file, "%*s  ", width, text);
}
enum { N_COLUMNS = 8 };
static void put_row(const table *t, const char *name, const char *const cells[N_COLUMNS], const char *shapes)
{
    put_cell(t, name, t->name_width);
    for (int i = 0; i < N_COLUMNS; i++) put_cell(t, cells[i], COLUMN);
    if (t->shapes_width) put_cell(t, shapes, t->shapes_width);
    fputc('\n', t->file);
}
static void put_dashes(const table *t, int width)
{
    for (int i = 0; i < width; i++) fputc('-', t->file);
    fputs("  ", t->file);
}
static void put_line(const table *t)
{
    put_dashes(t, t->name_width);
    for (int i = 0; i < N_COLUMNS; i++) put_dashes(t, COLUMN);
    if (t->shapes_width) put_dashes(t, t->shapes_width);
    fputc('\n', t->file);
}
static void put_average(const table *t, const ag_profiler_average *a)
{
    char text[N_COLUMNS][CELL];
    snprintf(text[7], CELL, "%" PRId64, a->count);
    const char *const cells[N_COLUMNS] = {
        share_text(a->self_cpu_time_total, t->total, text[0]), time_text(a->self_cpu_time_total, text[1]),
        share_text(a->cpu_time_total, t->total, text[2]),      time_text(a->cpu_time_total, text[3]),
        time_text(a->cpu_time_total / a->count, text[4]),      memory_text(a->cpu_memory_usage, text[5]),
        memory_text(a->self_cpu_memory_usage, text[6]),        text[7]
    };
    put_row(t, a->key, cells, a->input_shapes);
}

static int width_of(int64_t longest, int max) { return longest + 4 < max ? (int)longest + 4 : max; }
static void measure(table *t, const averages *a)
{
    int64_t name = 0, shapes = 0;
    for (int64_t i = 0; i < a->n; i++) {
        const int64_t of_name = (int64_t)strlen(a->at[i].key);
        const int64_t of_shapes = a->by_shapes ? (int64_t)strlen(a->at[i].input_shapes) : 0;
        if (of_name > name) name = of_name;
        if (of_shapes > shapes) shapes = of_shapes;
        t->total += a->at[i].self_cpu_time_total;
    }
    t->name_width = width_of(name, NAME_MAX);
    if (a->by_shapes) t->shapes_width = width_of(shapes < COLUMN ? COLUMN : shapes, SHAPES_MAX);
}

/* order: room for a->n of them. */
static void print(FILE *file, const averages *a, sort_value *value, int64_t row_limit, place *order)
{
    static const char *const head[N_COLUMNS] = { "Self CPU %",   "Self CPU", "CPU total %",  "CPU total",
                                                 "CPU time avg", "CPU Mem",  "Self CPU Mem", "# of Calls" };
    table t = { .file = file };
    char text[CELL];
    measure(&t, a);
    for (int64_t i = 0; i < a->n; i++) order[i] = (place){ value ? value(&a->at[i]) : 0, i };
    qsort(order, (size_t)a->n, sizeof *order, compare);
    put_line(&t);
    put_row(&t, "Name", head, "Input Shapes");
    put_line(&t);
    for (int64_t i = 0; i < a->n && (row_limit < 0 || i < row_limit); i++) put_average(&t, &a->at[order[i].i]);
    put_line(&t);
    fprintf(file, "Self CPU time total: %s\n", time_text(t.total, text));
}

bool ag_profiler_table_call(const struct ag_profiler_table_args *args)
{
    if (!args->file) return ag__fail(AG_EINVAL, "profiler_table: the file is NULL");
    sort_value *value = args->sort_by ? sort_value_of(args->sort_by) : NULL;
    if (args->sort_by && !value) return false;
    averages a = { .by_shapes = args->group_by_input_shape };
    const ag_recorder *recorders;
    int64_t began;
    bool ok = ag__profile_read(&recorders, &began) && sum_up(&a, recorders);
    const size_t bytes = (size_t)(a.n + 1) * sizeof(place);
    place *order = ok ? malloc(bytes) : NULL;
    if (order)
        print(args->file, &a, value, args->row_limit, order);
    else if (ok)
        ok = ag__fail_memory("the profiler's table", bytes);
    free(order);
    averages_free(&a);
    ag__profile_read_end();
    return ok && (!ferror(args->file) || ag__fail(AG_EIO, "profiler_table: the file does not take what is written"));
}

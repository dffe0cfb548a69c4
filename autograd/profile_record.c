/* profile_record.c - recording events; see profile.h. */
#include "autograd/profile.h"
#include "tensor/allocator.h"
#include "tensor/fail.h"

#include <argent/profiler.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* One session at a time. */
static pthread_mutex_t control = PTHREAD_MUTEX_INITIALIZER; /* round begin and end */
static struct {
    pthread_mutex_t lock;
    bool on, record_shapes;
    int64_t session; /* the number of the last one */
    int64_t began;
    int64_t lost; /* events for which there was no room */
    ag_recorder *recorders;
} profiler = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* A forked child has one thread; the locks that others held are free. */
static void before_fork(void) { pthread_mutex_lock(&profiler.lock); }
static void after_fork(void) { pthread_mutex_unlock(&profiler.lock); }
static void after_fork_in_child(void)
{
    for (ag_recorder *r = profiler.recorders; r; r = r->next) r->lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    control = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_unlock(&profiler.lock);
}
__attribute__((constructor)) static void watch_forks(void)
{
    pthread_atfork(before_fork, after_fork, after_fork_in_child);
}

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * (int64_t)1000000000 + t.tv_nsec;
}

uint64_t ag__hash_text(uint64_t hash, const char *text)
{
    for (; *text; text++) hash = (hash ^ (unsigned char)*text) * 1099511628211u; /* FNV-1a */
    return hash;
}

/* ---- recorders ---- */

static void recorder_unref(ag_recorder *r)
{
    if (!r || __atomic_sub_fetch(&r->refs, 1, __ATOMIC_ACQ_REL)) return;
    for (int64_t i = 0; i < r->max_texts; i++) free(r->texts[i]);
    free(r->texts);
    free(r->events);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* Ends the events under way from `number` on, which is one of them (-1: all): those inside it are such that an error
 * handler has jumped out of. */
static void end_events(ag_recorder *r, int64_t number)
{
    const int64_t end = now(), allocated = r->thread ? ag__thread_allocated(r->thread) : 0;
    while (r->open >= 0) {
        const int64_t inner = r->open;
        r->events[inner].end = end;
        r->events[inner].bytes += allocated;
        r->open = r->events[inner].parent;
        if (inner == number) break;
    }
}

void ag__recorder_leave(Thread *t)
{
    ag_recorder *r = t->recorder;
    if (!r) return;
    pthread_mutex_lock(&r->lock);
    end_events(r, -1);
    r->thread = NULL;
    pthread_mutex_unlock(&r->lock);
    recorder_unref(r);
    t->recorder = NULL;
}

static ag_recorder *recorder_new(Thread *t)
{
    ag_recorder *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    pthread_mutex_init(&r->lock, NULL);
    r->refs = 2;
    r->open = -1;
    r->thread_id = (int)syscall(SYS_gettid);
    r->thread = t;
    pthread_getname_np(pthread_self(), r->thread_name, sizeof r->thread_name);
    ag__recorder_leave(t);
    return t->recorder = r;
}

/* The thread's recorder in the session that is on; NULL if none is, or there is no room. */
static ag_recorder *recorder_of(Thread *t)
{
    if (t->recorder && t->recorder->session == __atomic_load_n(&profiler.session, __ATOMIC_ACQUIRE)) return t->recorder;
    ag_recorder *r = recorder_new(t);
    pthread_mutex_lock(&profiler.lock);
    bool on = r && profiler.on;
    if (on) {
        ag_recorder **end = &profiler.recorders;
        while (*end) end = &(*end)->next;
        *end = r;
        r->session = profiler.session;
    } else if (profiler.on) {
        profiler.lost++;
    }
    pthread_mutex_unlock(&profiler.lock);
    if (r && !on) {
        r->refs--; /* nobody else has it */
        ag__recorder_leave(t);
    }
    return on ? r : NULL;
}

/* ---- texts ---- */

static char **text_slot(const ag_recorder *r, const char *text)
{
    uint64_t mask = (uint64_t)r->max_texts - 1, k = ag__hash_text(14695981039346656037u, text) & mask;
    while (r->texts[k] && strcmp(r->texts[k], text)) k = (k + 1) & mask;
    return &r->texts[k];
}
static bool grow_texts(ag_recorder *r)
{
    if (2 * (r->n_texts + 1) <= r->max_texts) return true;
    ag_recorder larger = { .max_texts = r->max_texts ? 2 * r->max_texts : 64 };
    larger.texts = calloc((size_t)larger.max_texts, sizeof *larger.texts);
    if (!larger.texts) return false;
    for (int64_t i = 0; i < r->max_texts; i++)
        if (r->texts[i]) *text_slot(&larger, r->texts[i]) = r->texts[i];
    free(r->texts);
    r->texts = larger.texts;
    r->max_texts = larger.max_texts;
    return true;
}
/* The recorder's copy of a text, NULL if there is no room. */
static const char *keep_text(ag_recorder *r, const char *text)
{
    if (!grow_texts(r)) return NULL;
    char **slot = text_slot(r, text);
    if (!*slot && (*slot = strdup(text))) r->n_texts++;
    return *slot;
}

/* ---- events ---- */

/* Like ag__grow, but without an error. */
static bool grow_events(ag_recorder *r)
{
    if (r->n < r->max) return true;
    int64_t max = r->max ? 2 * r->max : 256;
    ag_event *larger = realloc(r->events, (size_t)max * sizeof *larger);
    if (!larger) return false;
    r->events = larger;
    r->max = max;
    return true;
}

/* A handle says which session it is of, so that an end that comes too late is not taken for another event's. */
enum { NUMBER_BITS = 40 };

int64_t ag__event_begin(Thread *t, ag_event_kind kind, const char *name, const char *shapes)
{
    ag_recorder *r = recorder_of(t);
    if (!r) return 0;
    int64_t number = -1; /* no room */
    pthread_mutex_lock(&r->lock);
    bool closed = r->closed;
    const char *kept = closed ? NULL : keep_text(r, name), *kept_shapes = kept && shapes ? keep_text(r, shapes) : NULL;
    if (kept && (kept_shapes || !shapes) && grow_events(r)) {
        number = r->n++;
        r->events[number] = (ag_event){ .name = kept,
                                        .shapes = kept_shapes,
                                        .parent = r->open,
                                        .kind = kind,
                                        .bytes = -ag__thread_allocated(t),
                                        .begin = now() };
        r->open = number;
    }
    pthread_mutex_unlock(&r->lock);
    if (number < 0 && !closed) __atomic_add_fetch(&profiler.lost, 1, __ATOMIC_RELAXED);
    return number < 0 ? 0 : r->session << NUMBER_BITS | (number + 1);
}

void ag__event_end(Thread *t, int64_t event)
{
    ag_recorder *r = t->recorder;
    const int64_t number = (event & (((int64_t)1 << NUMBER_BITS) - 1)) - 1;
    if (!r || r->session != event >> NUMBER_BITS) return;
    pthread_mutex_lock(&r->lock);
    if (!r->events[number].end) end_events(r, number);
    pthread_mutex_unlock(&r->lock);
}

static bool shapes_recorded(void) { return __atomic_load_n(&profiler.record_shapes, __ATOMIC_RELAXED); }
/* ", [2, 3]" behind what is there, if there is room for it and the last bracket. */
static size_t add_shape(char *text, size_t n, size_t room, int ndim, const int64_t *size)
{
    size_t at = n;
    if (n > 1) at += (size_t)snprintf(text + at, room - at, ", ");
    at += (size_t)snprintf(text + at, room - at, "[");
    for (int d = 0; d < ndim && at < room; d++)
        at += (size_t)snprintf(text + at, room - at, d ? ", %" PRId64 : "%" PRId64, size[d]);
    if (at + 3 > room) return n;
    text[at++] = ']';
    return at;
}
static size_t add_variable(char *text, size_t n, size_t room, const ag_variable *x)
{
    bool none = !x || x == AG_NONE;
    return add_shape(text, n, room, none ? 0 : x->tensor.ndim, none ? NULL : x->tensor.size);
}
static const char *end_shapes(char *text, size_t n)
{
    text[n] = ']';
    text[n + 1] = 0;
    return text;
}

int64_t ag__event_begin_op(Thread *t, const ag_op *op, const void *args, bool inplace)
{
    enum { ROOM = 512 };
    char shapes[ROOM] = "[", name[128];
    size_t n = 1;
    for (int i = 0; shapes_recorded() && i < op->n_args; i++) {
        const void *field = (const char *)args + op->args[i].offset;
        if (op->args[i].kind == AG_KIND_Tensor) n = add_variable(shapes, n, ROOM, *(ag_variable *const *)field);
        if (op->args[i].kind != AG_KIND_Tensors) continue;
        const ag_list *list = field;
        for (int64_t k = 0; k < list->n; k++) n = add_variable(shapes, n, ROOM, list->at[k]);
    }
    snprintf(name, sizeof name, inplace ? "%s_" : "%s", op->name);
    return ag__event_begin(t, AG_EVENT_OP, name, shapes_recorded() ? end_shapes(shapes, n) : NULL);
}

int64_t ag__event_begin_node(Thread *t, const ag_node *node)
{
    enum { ROOM = 256 };
    char shapes[ROOM] = "[";
    if (shapes_recorded()) end_shapes(shapes, add_shape(shapes, 1, ROOM, node->out_ndim, node->out_size));
    return ag__event_begin(t, AG_EVENT_NODE, ag_node_name(node), shapes_recorded() ? shapes : NULL);
}

ag_record_function ag_record_function_begin(const char *name)
{
    Thread *t = ag__thread();
    return (ag_record_function){ ag__profiling(t) && name ? ag__event_begin(t, AG_EVENT_RANGE, name, NULL) : 0 };
}
void ag_record_function_end(ag_record_function *range)
{
    if (range && range->event) ag__event_end(ag__thread(), range->event);
}

/* ---- sessions ---- */

static void clear(void)
{
    for (ag_recorder *r = profiler.recorders, *next; r; r = next) {
        next = r->next;
        recorder_unref(r);
    }
    profiler.recorders = NULL;
    profiler.lost = 0;
    ag__averages_clear();
}
__attribute__((destructor)) static void at_exit(void) { ag_profiler_clear(); }

bool ag_profiler_begin_call(const struct ag_profiler_begin_args *a)
{
    if (!ag__may_change(ag__thread())) return false;
    pthread_mutex_lock(&control);
    pthread_mutex_lock(&profiler.lock);
    bool was_on = profiler.on;
    if (!was_on) {
        clear();
        __atomic_add_fetch(&profiler.session, 1, __ATOMIC_RELEASE);
        __atomic_store_n(&profiler.record_shapes, a->record_shapes, __ATOMIC_RELAXED);
        profiler.on = true;
        profiler.began = now();
    }
    pthread_mutex_unlock(&profiler.lock);
    if (!was_on) ag__threads_profile(true);
    pthread_mutex_unlock(&control);
    return !was_on || ag__fail(AG_EINVAL, "Profiler is already enabled");
}

bool ag_profiler_end(void)
{
    pthread_mutex_lock(&control);
    pthread_mutex_lock(&profiler.lock);
    bool was_on = profiler.on;
    profiler.on = false;
    for (ag_recorder *r = profiler.recorders; r && was_on; r = r->next) {
        pthread_mutex_lock(&r->lock);
        end_events(r, -1);
        r->closed = true;
        pthread_mutex_unlock(&r->lock);
    }
    int64_t lost = __atomic_load_n(&profiler.lost, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&profiler.lock);
    if (was_on) ag__threads_profile(false);
    pthread_mutex_unlock(&control);
    if (!was_on) return ag__fail(AG_EINVAL, "Can't disable profiler when it's not running");
    return !lost || ag__fail(AG_ENOMEM, "out of memory: the profiler had no room for %" PRId64 " events", lost);
}
bool ag_profiler_is_on(void)
{
    pthread_mutex_lock(&profiler.lock);
    bool on = profiler.on;
    pthread_mutex_unlock(&profiler.lock);
    return on;
}
void ag_profiler_clear(void)
{
    pthread_mutex_lock(&profiler.lock);
    if (!profiler.on) clear();
    pthread_mutex_unlock(&profiler.lock);
}
void ag_profile_scope_end(bool *begun)
{
    if (*begun) ag_profiler_end();
}

bool ag__profile_read(const ag_recorder **recorders, int64_t *began)
{
    ag__handler_hold();
    pthread_mutex_lock(&profiler.lock);
    *recorders = profiler.recorders;
    *began = profiler.began;
    return !profiler.on || ag__fail(AG_EINVAL, "Profiler didn't finish running");
}
void ag__profile_read_end(void)
{
    pthread_mutex_unlock(&profiler.lock);
    ag__handler_release();
}

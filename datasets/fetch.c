/* fetch.c - what lies at a URL, by libcurl, which is loaded when it is wanted. See fetch.h. */
#include "datasets/fetch.h"

#include "tensor/fail.h"

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *const usual_names[] = { "libcurl.so.4", "libcurl-gnutls.so.4", "libcurl.so", NULL };
const char *const *ag__libcurl_names = usual_names;

/* Of <curl/curl.h>, where these numbers are fixed for good. */
typedef void CURL;
enum {
    GLOBAL_DEFAULT = 3,
    OPT_LOW_SPEED_LIMIT = 19,
    OPT_LOW_SPEED_TIME = 20,
    OPT_FAILONERROR = 45,
    OPT_FOLLOWLOCATION = 52,
    OPT_MAXREDIRS = 68,
    OPT_CONNECTTIMEOUT = 78,
    OPT_NOSIGNAL = 99,
    OPT_WRITEDATA = 10001,
    OPT_URL = 10002,
    OPT_ERRORBUFFER = 10010,
    OPT_USERAGENT = 10018,
    OPT_WRITEFUNCTION = 20011
};

static struct {
    int (*global_init)(long flags);
    CURL *(*easy_init)(void);
    int (*easy_setopt)(CURL *, int option, ...);
    int (*easy_perform)(CURL *);
    void (*easy_cleanup)(CURL *);
    const char *(*easy_strerror)(int);
} curl;

static pthread_mutex_t curl_lock = PTHREAD_MUTEX_INITIALIZER;

static bool find_functions(void *library)
{
    static const struct {
        const char *name;
        void *function; /* where the pointer goes */
    } wanted[] = {
        { "curl_global_init", &curl.global_init },   { "curl_easy_init", &curl.easy_init },
        { "curl_easy_setopt", &curl.easy_setopt },   { "curl_easy_perform", &curl.easy_perform },
        { "curl_easy_cleanup", &curl.easy_cleanup }, { "curl_easy_strerror", &curl.easy_strerror },
    };
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        void *function = dlsym(library, wanted[i].name);
        if (!function) return false;
        memcpy(wanted[i].function, &function, sizeof function);
    }
    return true;
}

/* The library stays: it keeps threads and memory of its own. */
static bool load(void)
{
    for (const char *const *name = ag__libcurl_names; *name; name++) {
        void *library = dlopen(*name, RTLD_NOW | RTLD_LOCAL);
        if (!library) continue;
        if (find_functions(library) && curl.global_init(GLOBAL_DEFAULT) == 0) return true;
        dlclose(library);
    }
    return false;
}

bool ag__fetch_possible(void)
{
    static const char *const *loaded; /* from which names */
    pthread_mutex_lock(&curl_lock);
    if (loaded != ag__libcurl_names) loaded = load() ? ag__libcurl_names : NULL;
    bool there = loaded != NULL;
    pthread_mutex_unlock(&curl_lock);
    return there || ag__fail(AG_ENOTSUP, "downloading takes libcurl (libcurl.so.4), which is not there; "
                                         "on Debian and Ubuntu: apt-get install libcurl4");
}

typedef struct {
    ag__fetch_sink *sink;
    void *user;
} Receiver;

static size_t receive(char *bytes, size_t size, size_t n, void *user)
{
    const Receiver *r = user;
    return r->sink(r->user, (const unsigned char *)bytes, size * n) ? size * n : 0;
}

/* A connection that breaks raises SIGPIPE, which is not to reach the program. */
static int perform_without_sigpipe(CURL *handle)
{
    sigset_t broken_pipe, before, pending;
    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &broken_pipe, &before);
    int code = curl.easy_perform(handle);
    if (!sigismember(&pending, SIGPIPE)) sigtimedwait(&broken_pipe, NULL, &(struct timespec){ 0, 0 });
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

bool ag__fetch(const char *url, ag__fetch_sink *sink, void *user, char reason[AG_FETCH_REASON])
{
    _Static_assert(AG_FETCH_REASON >= 256, "CURL_ERROR_SIZE");
    Receiver receiver = { sink, user };
    CURL *handle = curl.easy_init();
    reason[0] = 0;
    if (!handle) {
        strcpy(reason, "libcurl does not start");
        return false;
    }
    curl.easy_setopt(handle, OPT_URL, url);
    curl.easy_setopt(handle, OPT_WRITEFUNCTION, receive);
    curl.easy_setopt(handle, OPT_WRITEDATA, (void *)&receiver);
    curl.easy_setopt(handle, OPT_ERRORBUFFER, reason);
    curl.easy_setopt(handle, OPT_USERAGENT, "argent");
    curl.easy_setopt(handle, OPT_FAILONERROR, 1L);
    curl.easy_setopt(handle, OPT_FOLLOWLOCATION, 1L);
    curl.easy_setopt(handle, OPT_MAXREDIRS, 10L);
    curl.easy_setopt(handle, OPT_NOSIGNAL, 1L);
    curl.easy_setopt(handle, OPT_CONNECTTIMEOUT, 10L);
    curl.easy_setopt(handle, OPT_LOW_SPEED_LIMIT, 1000L); /* bytes a second */
    curl.easy_setopt(handle, OPT_LOW_SPEED_TIME, 20L);
    int code = perform_without_sigpipe(handle);
    curl.easy_cleanup(handle);
    if (code && !reason[0]) snprintf(reason, AG_FETCH_REASON, "%s", curl.easy_strerror(code));
    return code == 0;
}

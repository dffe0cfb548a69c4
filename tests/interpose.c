/* interpose.c - see interpose.h. */
#include "interpose.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined __has_feature
#define FEATURE(name) __has_feature(name)
#else
#define FEATURE(name) 0
#endif
#if defined __SANITIZE_ADDRESS__ || FEATURE(address_sanitizer)
#define ADDRESS_SANITIZED 1
#else
#define ADDRESS_SANITIZED 0
#endif
#if ADDRESS_SANITIZED || defined __SANITIZE_THREAD__ || FEATURE(thread_sanitizer)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static int64_t calls, fails_at;
static bool fails_onwards;

void interpose_start(int64_t fail_at, bool onwards)
{
    __atomic_store_n(&calls, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&fails_onwards, onwards, __ATOMIC_SEQ_CST);
    __atomic_store_n(&fails_at, fail_at, __ATOMIC_SEQ_CST);
}
int64_t interpose_stop(void)
{
    __atomic_store_n(&fails_at, 0, __ATOMIC_SEQ_CST);
    return __atomic_load_n(&calls, __ATOMIC_SEQ_CST);
}
bool interpose_sanitized(void) { return SANITIZED; }
bool interpose_address_sanitizer(void) { return ADDRESS_SANITIZED; }

/* Counts one; true where it is to fail. */
static bool refused(void)
{
    int64_t n = __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED), at = __atomic_load_n(&fails_at, __ATOMIC_RELAXED);
    if (!at || n < at || (n > at && !__atomic_load_n(&fails_onwards, __ATOMIC_RELAXED))) return false;
    errno = ENOMEM;
    return true;
}

/* The linker sends the library's calls to __wrap_malloc (tests/meson.build), or the C library's own malloc stands
 * behind the name __libc_malloc. */
#if SANITIZED
#define OURS(name) __wrap_##name
#define REAL(name) __real_##name
#else
#define OURS(name) name
#define REAL(name) __libc_##name
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);
void __libc_free(void *p);
#endif

#if SANITIZED
void *OURS(malloc)(size_t bytes);
void *OURS(calloc)(size_t n, size_t bytes);
void *OURS(realloc)(void *old, size_t bytes);
void *OURS(aligned_alloc)(size_t alignment, size_t bytes);
int OURS(posix_memalign)(void **out, size_t alignment, size_t bytes);
void *OURS(mmap)(void *at, size_t bytes, int protection, int flags, int file, off_t offset);
char *OURS(strdup)(const char *text);
void *REAL(malloc)(size_t bytes);
void *REAL(calloc)(size_t n, size_t bytes);
void *REAL(realloc)(void *old, size_t bytes);
void *REAL(aligned_alloc)(size_t alignment, size_t bytes);
void *REAL(mmap)(void *at, size_t bytes, int protection, int flags, int file, off_t offset);
char *REAL(strdup)(const char *text);

static void *aligned(size_t alignment, size_t bytes) { return REAL(aligned_alloc)(alignment, bytes); }
static void *map(void *at, size_t bytes, int protection, int flags, int file, off_t offset)
{
    return REAL(mmap)(at, bytes, protection, flags, file, offset);
}
char *OURS(strdup)(const char *text) { return refused() ? NULL : REAL(strdup)(text); }
#else
static void *aligned(size_t alignment, size_t bytes) { return __libc_memalign(alignment, bytes); }
static void *map(void *at, size_t bytes, int protection, int flags, int file, off_t offset)
{
    return (void *)syscall(SYS_mmap, at, bytes, protection, flags, file, offset);
}
void free(void *p) { __libc_free(p); } /* of the same house as what it frees, whoever looks on */
#endif

void *OURS(malloc)(size_t bytes) { return refused() ? NULL : REAL(malloc)(bytes); }
void *OURS(calloc)(size_t n, size_t bytes) { return refused() ? NULL : REAL(calloc)(n, bytes); }
void *OURS(realloc)(void *old, size_t bytes) { return refused() ? NULL : REAL(realloc)(old, bytes); }
void *OURS(aligned_alloc)(size_t alignment, size_t bytes) { return refused() ? NULL : aligned(alignment, bytes); }
int OURS(posix_memalign)(void **out, size_t alignment, size_t bytes)
{
    void *block = refused() ? NULL : aligned(alignment, bytes);
    if (!block) return ENOMEM;
    *out = block;
    return 0;
}
void *OURS(mmap)(void *at, size_t bytes, int protection, int flags, int file, off_t offset)
{
    return refused() ? MAP_FAILED : map(at, bytes, protection, flags, file, offset);
}

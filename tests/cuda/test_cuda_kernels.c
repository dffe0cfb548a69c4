/* test_cuda_kernels.c - the last of the suites on the emulation: every kernel that the plug-in's sources launch has
 * been launched by one of them. They note it in the file that CUDA_HOST_LAUNCHED names, which is removed here. */
#include "tests/cuda/cuda_cases.h"

#include <stdio.h>
#include <unistd.h>

enum { MOST = 1 << 16 };
static char *launched[MOST], text[4096];
static size_t n_launched;

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* false: there is no such file, since no other suite has run. */
static bool read_launched(const char *path)
{
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file) return false;
    while (n_launched < MOST && fgets(text, sizeof text, file)) {
        text[strcspn(text, "\n")] = '\0';
        const char *const line = text;
        if (n_launched && bsearch(&line, launched, n_launched, sizeof *launched, by_name)) continue;
        launched[n_launched++] = strdup(text);
        qsort(launched, n_launched, sizeof *launched, by_name);
    }
    fclose(file);
    return true;
}

static int n_known, n_never;
static void look(const char *name, uint64_t launches, void *user)
{
    (void)launches, (void)user;
    n_known++;
    if (bsearch(&name, launched, n_launched, sizeof *launched, by_name)) return;
    n_never++;
    fprintf(stderr, "never launched: %s\n", name);
}

int main(void)
{
    const char *path = getenv("CUDA_HOST_LAUNCHED");
    void *symbol = ag_cuda_is_available() ? cuda_emulation("cuda_host_kernels") : NULL; /* the first call loads it */
    void (*kernels)(void (*)(const char *, uint64_t, void *), void *);
    if (!symbol || !read_launched(path)) {
        puts("passed over: no other suite has run on the emulation");
        return 77;
    }
    unlink(path);
    memcpy(&kernels, &symbol, sizeof kernels);
    unsetenv("CUDA_HOST_LAUNCHED");
    kernels(look, NULL);
    printf("%d kernels, %d never launched\n", n_known, n_never);
    return n_never != 0;
}

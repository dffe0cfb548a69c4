/* files.c - what mnist_cnn writes besides its checkpoint, and how it ends when it cannot. */
#include "files.h"

#include "progress.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    progress_clear();
    fflush(stdout);
    fputs("mnist_cnn: ", stderr);
    vfprintf(stderr, format, args);
    fputs("\n", stderr);
    va_end(args);
    exit(1);
}

static void cannot_write(const char *path) { fail("cannot write %s: %s", path, strerror(errno)); }

void open_standard_streams(void)
{
    int fd;
    do fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) close(fd);
}

void check_folder(const char *path)
{
    struct stat there;
    if (stat(path, &there) == 0 && !S_ISDIR(there.st_mode))
        errno = ENOTDIR;
    else if (access(path, R_OK | X_OK) == 0)
        return;
    fail("cannot read %s: %s", path, strerror(errno));
}

void check_place(const char *path)
{
    struct stat there;
    if (!path) return;
    if (stat(path, &there) == 0) {
        if (!S_ISREG(there.st_mode)) fail("cannot write %s: it is not a file", path);
        if (access(path, W_OK)) cannot_write(path);
    } else if (errno != ENOENT) {
        cannot_write(path);
    }
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    if (!folder || access(folder, W_OK | X_OK)) cannot_write(path);
    free(folder);
}

FILE *open_log(const char *path)
{
    FILE *log = path ? fopen(path, "w") : NULL;
    if (path && !log) cannot_write(path);
    if (log) setvbuf(log, NULL, _IOLBF, 0); /* who follows the log sees each step */
    return log;
}

void close_log(FILE *log, const char *path)
{
    if (!log) return;
    bool incomplete = ferror(log);
    if (fclose(log)) incomplete = true;
    if (incomplete) fail("not all of the log could be written to %s", path);
}

void close_stdout(void)
{
    if (fflush(stdout) || ferror(stdout)) fail("not everything could be written to the standard output");
}

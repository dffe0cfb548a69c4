/* new_file.c - a file that appears under its name whole, or not at all. See new_file.h. */
#include "tensor/new_file.h"

#include "tensor/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool fail_io(const char *what, const char *path)
{
    return ag__fail(AG_EIO, "%s: %s: %s", path, what, strerror(errno));
}

/* ---- its place ---- */

static int directory_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (int)(slash - path + 1) : 0;
}

/* As open() would have it: through symbolic links to where they lead, also where nothing is there yet. */
static bool follow_links(char path[PATH_MAX], const char *from)
{
    char link[PATH_MAX];
    if (strlen(from) >= PATH_MAX) return ag__fail(AG_EIO, "%.200s...: the path is too long", from);
    strcpy(path, from);
    for (int hops = 0; hops < 40; hops++) {
        ssize_t n = readlink(path, link, sizeof link);
        if (n < 0) return true;
        int kept = n && link[0] == '/' ? 0 : directory_length(path);
        if (kept + n >= PATH_MAX) break;
        memcpy(path + kept, link, (size_t)n);
        path[kept + n] = 0;
    }
    errno = ELOOP;
    return fail_io("it cannot be followed", from);
}

/* Only a file is replaced, and only one that could be written to: not a device, nor what was made read-only. */
static bool find_place(ag__new_file *f, const char *path)
{
    if (!follow_links(f->path, path)) return false;
    struct stat there;
    f->exists = stat(f->path, &there) == 0;
    if (!f->exists) return errno == ENOENT || fail_io("it cannot be looked at", path);
    if (!S_ISREG(there.st_mode)) return ag__fail(AG_EIO, "%s: it is not a file", path);
    f->mode = there.st_mode & 0777;
    return faccessat(AT_FDCWD, f->path, W_OK, AT_EACCESS) == 0 || fail_io("it cannot be written", path);
}

/* ---- beside it ---- */

/* Makes the file beside it; -1 with errno. Its mode is that of the file it replaces, or what the umask leaves. */
static int open_beside(ag__new_file *f)
{
    static unsigned files;
    const mode_t mode = f->exists ? f->mode : 0666;
    int fd = -1;
    for (int attempt = 0; fd < 0 && attempt < 100; attempt++) {
        unsigned number = __atomic_add_fetch(&files, 1, __ATOMIC_RELAXED);
        int n = snprintf(f->temporary, sizeof f->temporary, "%.*s.argent-%ld-%u", directory_length(f->path), f->path,
                         (long)getpid(), number);
        if (n >= (int)sizeof f->temporary) return errno = ENAMETOOLONG, -1;
        fd = open(f->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (fd < 0 && errno != EEXIST) return -1; /* EEXIST: a process of that number left it behind */
    }
    if (fd >= 0 && f->exists) fchmod(fd, mode); /* without the umask; where there are no modes, none is needed */
    return fd;
}

bool ag__new_file_open(ag__new_file *file, const char *path)
{
    file->name = path;
    if (!find_place(file, path)) return false;
    ag__handler_hold();
    file->fd = open_beside(file);
    if (file->fd >= 0) return true;
    fail_io("it cannot be made", path);
    ag__handler_release();
    return false;
}

bool ag__new_file_write(ag__new_file *file, const void *data, size_t n)
{
    for (const char *at = data; n;) {
        ssize_t done = write(file->fd, at, n < INT_MAX ? n : INT_MAX);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) return fail_io("it cannot be written", file->name);
        at += done;
        n -= (size_t)done;
    }
    return true;
}

/* ---- into it ---- */

/* The name stands for the new file only once its directory is on the disk, too. */
static void flush_directory(const char *path)
{
    char directory[PATH_MAX];
    int n = directory_length(path);
    snprintf(directory, sizeof directory, "%.*s", n ? n : 1, n ? path : ".");
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    fsync(fd); /* some file systems cannot: the rename itself has succeeded */
    close(fd);
}

bool ag__new_file_close(ag__new_file *file, bool complete)
{
    bool ok = complete && (fsync(file->fd) == 0 || fail_io("it cannot be flushed to the disk", file->name));
    if (close(file->fd) && ok) ok = fail_io("it cannot be closed", file->name);
    if (ok && rename(file->temporary, file->path)) ok = fail_io("it cannot be put in its place", file->name);
    if (ok)
        flush_directory(file->path);
    else
        unlink(file->temporary);
    ag__handler_release();
    return ok;
}

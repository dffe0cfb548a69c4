/* new_file.h - a file that appears under its name whole, or not at all.
 *
 * It is written under a temporary name beside its place, flushed to the disk, and renamed. Symbolic links are followed
 * to where they lead. Only a file is replaced, and only one that could be written to; the new one has its mode. From
 * open to close the error handler is held, so that nothing is left behind when it ends the program:
 *
 *     ag__new_file file;
 *     if (!ag__new_file_open(&file, path)) return false;
 *     return ag__new_file_close(&file, ag__new_file_write(&file, data, n));
 */
#ifndef AG_NEW_FILE_H
#define AG_NEW_FILE_H
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct ag__new_file {
    const char *name; /* the caller's, for sentences */
    int fd;
    bool exists;
    mode_t mode; /* of the file that is there */
    char path[PATH_MAX], temporary[PATH_MAX];
} ag__new_file;

/* Each is false with an error (AG_EIO, with the path and the system's reason); if open fails there is nothing to close.
 * `path` must outlive the file. */
bool ag__new_file_open(ag__new_file *file, const char *path);
bool ag__new_file_write(ag__new_file *file, const void *data, size_t n);
/* Puts it into its place if `complete`, and takes it away otherwise; whether it is there. */
bool ag__new_file_close(ag__new_file *file, bool complete);

#endif

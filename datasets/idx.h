/* idx.h - the file format of MNIST: a magic number, the sizes, the elements.
 *
 *     byte 0, 1     0
 *     byte 2        type of an element: 0x08 is an unsigned byte, the only one MNIST and its kin use
 *     byte 3        number of dimensions
 *     4 bytes each  the sizes, big-endian
 *     the rest      the elements, the last dimension fastest
 *
 * A file may be compressed by gzip; it is known by its content, not by its name. Everything the header says is checked
 * against the file before anyone allocates anything: a raw file must have exactly that many bytes, a compressed one
 * must be long enough to hold them (deflate shrinks at most 1032 times) and is never unpacked beyond them. Every
 * function leaves a sentence that names the file in the thread's error.
 */
#ifndef AG_IDX_H
#define AG_IDX_H
#include "tensor/tensor.h"

#include <zlib.h>

typedef struct ag__idx {
    int ndim;
    int64_t size[AG_MAX_DIMS];
    int64_t numel; /* so many bytes follow the header */

    const char *path;   /* the caller's, for sentences */
    int fd;             /* -1 when closed */
    int64_t file_bytes; /* the whole file, as it is stored */
    bool gzip;
    bool ended; /* the last gzip member is complete */
    z_stream inflater;
    unsigned char buffer[16384]; /* compressed bytes that wait for the inflater */
} ag__idx;

/* Opens the file and checks its header; on false there is nothing to close. `path` must outlive the reader. */
bool ag__idx_open(ag__idx *file, const char *path);
/* Reads all elements into bytes[numel], and checks that nothing follows them. */
bool ag__idx_read(ag__idx *file, uint8_t *bytes);
void ag__idx_close(ag__idx *file);

#endif

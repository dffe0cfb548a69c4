/* idx.c - reading IDX files, raw or compressed by gzip. See idx.h. */
#include "datasets/idx.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { UNSIGNED_BYTE = 0x08, DEFLATE_MAX_RATIO = 1032 };

static bool fail_errno(const ag__idx *file, const char *what, int error)
{
    char text[128];
    ag__fail(error == ENOMEM ? AG_ENOMEM : AG_EIO, "idx: %s %s: %s", what, file->path,
             strerror_r(error, text, sizeof text));
    return false;
}

static bool fail_truncated(const ag__idx *file)
{
    ag__fail(AG_EIO, "idx: %s is truncated", file->path);
    return false;
}

/* Up to `count` stored bytes; fewer only at the end of the file. -1 with the error set. */
static int64_t read_stored(ag__idx *file, unsigned char *to, int64_t count)
{
    const int64_t most = INT64_C(1) << 30;
    int64_t done = 0;
    while (done < count) {
        int64_t part = count - done < most ? count - done : most;
        ssize_t got = read(file->fd, to + done, (size_t)part);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            fail_errno(file, "cannot read", errno);
            return -1;
        }
        if (got == 0) break;
        done += got;
    }
    return done;
}

/* Room for the compressed bytes that come next. False at the end of the file (*failed unset) or on an error. */
static bool refill(ag__idx *file, bool *failed)
{
    int64_t got = read_stored(file, file->buffer, sizeof file->buffer);
    *failed = got < 0;
    file->inflater.next_in = file->buffer;
    file->inflater.avail_in = got > 0 ? (uInt)got : 0;
    return got > 0;
}

/* As read_stored, of what the compressed file holds. Members that stand behind each other are read as one. */
static int64_t read_gzip(ag__idx *file, unsigned char *to, int64_t count)
{
    const int64_t most = INT64_C(1) << 30;
    z_stream *z = &file->inflater;
    int64_t done = 0;
    bool failed;
    while (done < count) {
        if (z->avail_in == 0 && !refill(file, &failed)) {
            if (!failed && file->ended) return done;
            if (!failed) fail_truncated(file);
            return -1;
        }
        if (file->ended) {
            if (z->next_in[0] != 0x1f) {
                ag__fail(AG_EIO, "idx: %s goes on after the end of its compressed data", file->path);
                return -1;
            }
            inflateReset(z);
            file->ended = false;
        }
        uInt room = (uInt)(count - done < most ? count - done : most);
        z->next_out = to + done;
        z->avail_out = room;
        int status = inflate(z, Z_NO_FLUSH);
        done += room - z->avail_out;
        if (status == Z_STREAM_END) {
            file->ended = true;
        } else if (status == Z_MEM_ERROR) {
            ag__fail(AG_ENOMEM, "out of memory: unpacking %s", file->path);
            return -1;
        } else if (status != Z_OK && status != Z_BUF_ERROR) {
            ag__fail(AG_EIO, "idx: %s is damaged: %s", file->path, z->msg ? z->msg : "it does not unpack");
            return -1;
        }
    }
    return done;
}

static int64_t read_some(ag__idx *file, unsigned char *to, int64_t count)
{
    return file->gzip ? read_gzip(file, to, count) : read_stored(file, to, count);
}

static bool read_exactly(ag__idx *file, unsigned char *to, int64_t count)
{
    int64_t got = read_some(file, to, count);
    if (got >= 0 && got < count) fail_truncated(file);
    return got == count;
}

/* Opens the file, measures it and looks whether it is compressed. */
static bool open_stored(ag__idx *file)
{
    struct stat facts;
    unsigned char magic[2];
    file->fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file->fd < 0) return fail_errno(file, "cannot open", errno);
    if (fstat(file->fd, &facts) < 0) return fail_errno(file, "cannot examine", errno);
    if (!S_ISREG(facts.st_mode)) {
        ag__fail(AG_EIO, "idx: %s is not a regular file", file->path);
        return false;
    }
    file->file_bytes = facts.st_size;
    int64_t got = read_stored(file, magic, 2);
    if (got < 0) return false;
    if (lseek(file->fd, 0, SEEK_SET) < 0) return fail_errno(file, "cannot read", errno);
    if (got < 2 || magic[0] != 0x1f || magic[1] != 0x8b) return true;

    const int gzip_only = 16;
    int status = inflateInit2(&file->inflater, MAX_WBITS + gzip_only);
    if (status == Z_MEM_ERROR) {
        ag__fail(AG_ENOMEM, "out of memory: unpacking %s", file->path);
    } else if (status != Z_OK) {
        ag__fail(AG_ENOTSUP, "idx: %s is compressed, and zlib does not start: %s", file->path, zError(status));
    }
    file->gzip = status == Z_OK;
    return file->gzip;
}

/* The magic number and the sizes, checked against the length of the file. */
static bool read_header(ag__idx *file)
{
    unsigned char magic[4], sizes[4 * AG_MAX_DIMS];
    if (!read_exactly(file, magic, 4)) return false;
    if (magic[0] != 0 || magic[1] != 0) {
        ag__fail(AG_EIO, "idx: %s is not an IDX file: it begins with %02x %02x %02x %02x", file->path, magic[0],
                 magic[1], magic[2], magic[3]);
        return false;
    }
    if (magic[2] != UNSIGNED_BYTE) {
        ag__fail(AG_EIO, "idx: %s has elements of type 0x%02x, only 0x08 (unsigned byte) can be read", file->path,
                 magic[2]);
        return false;
    }
    file->ndim = magic[3];
    if (file->ndim < 1 || file->ndim > AG_MAX_DIMS) {
        ag__fail(AG_EIO, "idx: %s has %d dimensions, it must be 1 to %d", file->path, file->ndim, AG_MAX_DIMS);
        return false;
    }
    if (!read_exactly(file, sizes, 4 * file->ndim)) return false;
    for (int d = 0; d < file->ndim; d++) {
        const unsigned char *s = sizes + 4 * d;
        file->size[d] = (int64_t)s[0] << 24 | (int64_t)s[1] << 16 | (int64_t)s[2] << 8 | (int64_t)s[3];
    }
    file->numel = ag__numel_of(file->ndim, file->size);
    int64_t header = 4 + 4 * file->ndim;
    bool fits;
    if (file->gzip) {
        fits = file->numel >= 0 && file->numel / DEFLATE_MAX_RATIO <= file->file_bytes;
    } else {
        fits = file->numel == file->file_bytes - header;
    }
    if (!fits) {
        char shape[AG_TEXT];
        ag__shape_text(file->ndim, file->size, shape, sizeof shape);
        if (file->gzip || file->numel < 0) {
            ag__fail(AG_EIO, "idx: %s says it holds %s elements, too many for a file of %" PRId64 " bytes", file->path,
                     shape, file->file_bytes);
        } else {
            ag__fail(AG_EIO, "idx: %s says it holds %s elements, which makes %" PRId64 " bytes, but it has %" PRId64,
                     file->path, shape, header + file->numel, file->file_bytes);
        }
    }
    return fits;
}

bool ag__idx_open(ag__idx *file, const char *path)
{
    memset(file, 0, offsetof(ag__idx, buffer));
    file->fd = -1;
    file->path = path;
    if (!path) {
        ag__fail(AG_EINVAL, "idx: the path is NULL");
        return false;
    }
    if (open_stored(file) && read_header(file)) return true;
    ag__idx_close(file);
    return false;
}

bool ag__idx_read(ag__idx *file, uint8_t *bytes)
{
    unsigned char more;
    if (!read_exactly(file, bytes, file->numel)) return false;
    int64_t got = read_some(file, &more, 1);
    if (got > 0) {
        char shape[AG_TEXT];
        ag__fail(AG_EIO, "idx: %s goes on after the %s elements that it says it holds", file->path,
                 ag__shape_text(file->ndim, file->size, shape, sizeof shape));
    }
    return got == 0;
}

void ag__idx_close(ag__idx *file)
{
    if (file->gzip) inflateEnd(&file->inflater);
    if (file->fd >= 0) close(file->fd);
    file->gzip = false;
    file->fd = -1;
}

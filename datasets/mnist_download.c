/* mnist_download.c - MNIST from the web. See mnist_download.h.
 *
 * The bytes that come are unpacked, counted, summed and written as they come; a mirror whose file is not what it should
 * be is passed over like one that cannot be reached. Only what goes wrong on this side ends the search.
 */
#include "datasets/mnist_download.h"

#include "datasets/fetch.h"
#include "datasets/md5.h"
#include "tensor/fail.h"
#include "tensor/new_file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

static const char *const mirrors[] = {
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
    "http://yann.lecun.com/exdb/mnist",
    NULL,
};
static const ag__mnist_source the_web = {
    .mirrors = mirrors,
    .files = {
        { "train-images-idx3-ubyte", 47040016, "6bbc9ace898e44ae57da46a324031adb" },
        { "train-labels-idx1-ubyte", 60008, "a25bea736e30d166cdddb491f175f624" },
        { "t10k-images-idx3-ubyte", 7840016, "2646ac647ad5339dbf082846283269ea" },
        { "t10k-labels-idx1-ubyte", 10008, "27ae3e4e09519cfbb04c329615203637" },
    },
};
const ag__mnist_source *ag__mnist_download_source = &the_web;

/* ---- one file from one mirror ---- */

typedef struct {
    ag__new_file file;
    z_stream inflater;
    bool ended; /* the compressed data are complete */
    int64_t bytes, most;
    ag__md5 md5;
    const char *objection; /* why no more is wanted */
    unsigned char room[65536];
} Unpacking;

static bool object(Unpacking *u, const char *objection)
{
    u->objection = objection;
    return false;
}

static bool unpack(void *user, const unsigned char *bytes, size_t n)
{
    Unpacking *u = user;
    z_stream *z = &u->inflater;
    z->next_in = (unsigned char *)(uintptr_t)bytes;
    z->avail_in = (uInt)n; /* libcurl hands over 16 kB at most */
    do {
        if (u->ended) return z->avail_in == 0 || object(u, "it goes on after the end of its compressed data");
        z->next_out = u->room;
        z->avail_out = sizeof u->room;
        int status = inflate(z, Z_NO_FLUSH);
        if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) return object(u, "it does not unpack");
        u->ended = status == Z_STREAM_END;
        size_t got = sizeof u->room - z->avail_out;
        if ((u->bytes += (int64_t)got) > u->most) return object(u, "it is too long");
        ag__md5_add(&u->md5, u->room, got);
        if (!ag__new_file_write(&u->file, u->room, got)) return object(u, "it cannot be written");
    } while (z->avail_in || z->avail_out == 0);
    return true;
}

/* false with an error, or without one and the reason in words */
static bool from_mirror(Unpacking *u, const char *url, const char *path, const ag__mnist_file *wanted,
                        char reason[AG_FETCH_REASON])
{
    char digest[33];
    const int gzip_only = 16;
    memset(&u->inflater, 0, sizeof u->inflater);
    if (inflateInit2(&u->inflater, MAX_WBITS + gzip_only) != Z_OK)
        return ag__fail(AG_ENOMEM, "out of memory: unpacking %s", wanted->name);
    u->ended = false;
    u->bytes = 0;
    u->most = wanted->bytes;
    u->objection = NULL;
    ag__md5_begin(&u->md5);
    bool ok = ag__new_file_open(&u->file, path);
    if (ok) {
        ok = ag__fetch(url, unpack, u, reason);
        ag__md5_end(&u->md5, digest);
        if (ok && !u->ended) ok = object(u, "it ends too early");
        if (ok && strcmp(digest, wanted->md5) != 0) ok = object(u, "its checksum is wrong");
        if (u->objection) strcpy(reason, u->objection);
        ok = ag__new_file_close(&u->file, ok);
    }
    inflateEnd(&u->inflater);
    return ok;
}

/* ---- from the first that has it ---- */

static bool download_file(Unpacking *u, const char *folder, const ag__mnist_file *wanted)
{
    char path[PATH_MAX], url[512], reason[AG_FETCH_REASON], reasons[768] = "";
    size_t length = 0;
    if (snprintf(path, sizeof path, "%s/%s", folder, wanted->name) >= (int)sizeof path)
        return ag__fail(AG_EIO, "mnist: the path %.60s... is too long", folder);
    for (const char *const *mirror = ag__mnist_download_source->mirrors; *mirror; mirror++) {
        snprintf(url, sizeof url, "%s/%s.gz", *mirror, wanted->name);
        if (from_mirror(u, url, path, wanted, reason)) return true;
        if (ag_error()) return false;
        if (length < sizeof reasons)
            length += (size_t)snprintf(reasons + length, sizeof reasons - length, "%s%s: %s", length ? "; " : "",
                                       *mirror, reason);
    }
    return ag__fail(AG_EIO, "mnist: %s could not be downloaded (%s); tools/fetch-mnist %s tries more", wanted->name,
                    reasons, folder);
}

/* ---- the folder ---- */

/* Makes the folder and those above it that are missing; *made is the length of the first one's path, 0 if all were
 * there. */
static bool make_folders(char *path, size_t *made)
{
    *made = 0;
    for (size_t n = 1, length = strlen(path); n <= length; n++) {
        if (n < length && path[n] != '/') continue;
        char next = path[n];
        path[n] = 0;
        bool there = mkdir(path, 0777) == 0;
        if (there && *made == 0) *made = n;
        if (!there && (errno == EEXIST || errno == EISDIR || access(path, F_OK) == 0)) there = true;
        if (!there) return ag__fail(AG_EIO, "mnist: the folder %s cannot be made: %s", path, strerror(errno));
        path[n] = next;
    }
    return true;
}

/* As they were, if nothing has come. */
static void remove_folders(char *path, size_t made)
{
    for (size_t n = strlen(path); made && n >= made; n--) {
        if (path[n] && path[n] != '/') continue;
        path[n] = 0;
        rmdir(path);
    }
}

bool ag__mnist_download(const char *root, bool (*there)(void *user, const char *name), void *user)
{
    if (!ag__fetch_possible()) return false;
    char folder[PATH_MAX];
    size_t made;
    if (snprintf(folder, sizeof folder, "%s/MNIST/raw", root) >= (int)sizeof folder)
        return ag__fail(AG_EIO, "mnist: the path %.60s... is too long", root);
    Unpacking *u = malloc(sizeof *u);
    if (!u) return ag__fail_memory("downloading MNIST", sizeof *u);
    ag__handler_hold();
    bool ok = make_folders(folder, &made);
    for (int i = 0; ok && i < 4; i++) {
        const ag__mnist_file *file = &ag__mnist_download_source->files[i];
        if (!there(user, file->name)) ok = download_file(u, folder, file);
    }
    free(u);
    if (!ok) remove_folders(folder, made);
    ag__handler_release();
    return ok;
}

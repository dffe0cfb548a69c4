/* mnist_download.h - MNIST from the web: torchvision's mirrors and checksums. */
#ifndef AG_MNIST_DOWNLOAD_H
#define AG_MNIST_DOWNLOAD_H
#include <stdbool.h>
#include <stdint.h>

typedef struct ag__mnist_file {
    const char *name;
    int64_t bytes; /* unpacked */
    const char *md5;
} ag__mnist_file;

typedef struct ag__mnist_source {
    const char *const *mirrors; /* URLs of folders with NAME.gz, NULL at the end */
    ag__mnist_file files[4];
} ag__mnist_source;

/* Where download looks; tests put another in its place. */
extern const ag__mnist_source *ag__mnist_download_source;

/* Puts those of the four files for which there(user, name) is false into root/MNIST/raw, unpacked. Each appears whole,
 * with the right checksum, or not at all. false with an error; what had come by then stays. */
bool ag__mnist_download(const char *root, bool (*there)(void *user, const char *name), void *user);

#endif

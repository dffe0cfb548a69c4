/* md5.h - MD5 (RFC 1321): no safeguard against malice, but what MNIST's checksums are. */
#ifndef AG_MD5_H
#define AG_MD5_H
#include <stddef.h>
#include <stdint.h>

typedef struct ag__md5 {
    uint32_t state[4];
    uint64_t bytes;            /* in all */
    unsigned char waiting[64]; /* the last bytes % 64 of them */
} ag__md5;

void ag__md5_begin(ag__md5 *md5);
void ag__md5_add(ag__md5 *md5, const void *data, size_t n);
/* 32 lower-case hexadecimal digits and a 0 */
void ag__md5_end(ag__md5 *md5, char digest[33]);

#endif

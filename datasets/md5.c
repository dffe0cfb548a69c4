/* md5.c - MD5, as RFC 1321 describes it. */
#include "datasets/md5.h"

#include <string.h>

/* The integer part of 2^32 |sin(i + 1)|, and by how far step i rotates. */
/* clang-format off */
static const uint32_t sines[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};
static const unsigned char turns[4][4] = { { 7, 12, 17, 22 }, { 5, 9, 14, 20 }, { 4, 11, 16, 23 }, { 6, 10, 15, 21 } };
/* clang-format on */

static uint32_t rotate(uint32_t x, int n) { return x << n | x >> (32 - n); }

static void add_block(uint32_t state[4], const unsigned char block[64])
{
    uint32_t word[16], a = state[0], b = state[1], c = state[2], d = state[3];
    for (int i = 0; i < 16; i++)
        word[i] = (uint32_t)block[4 * i] | (uint32_t)block[4 * i + 1] << 8 | (uint32_t)block[4 * i + 2] << 16 |
                  (uint32_t)block[4 * i + 3] << 24;
    for (int i = 0; i < 64; i++) {
        uint32_t mixed;
        int k;
        if (i < 16) {
            mixed = (b & c) | (~b & d);
            k = i;
        } else if (i < 32) {
            mixed = (b & d) | (c & ~d);
            k = (5 * i + 1) % 16;
        } else if (i < 48) {
            mixed = b ^ c ^ d;
            k = (3 * i + 5) % 16;
        } else {
            mixed = c ^ (b | ~d);
            k = 7 * i % 16;
        }
        uint32_t turned = b + rotate(a + mixed + sines[i] + word[k], turns[i / 16][i % 4]);
        a = d;
        d = c;
        c = b;
        b = turned;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
}

void ag__md5_begin(ag__md5 *md5) { *md5 = (ag__md5){ .state = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476 } }; }

void ag__md5_add(ag__md5 *md5, const void *data, size_t n)
{
    const unsigned char *at = data;
    while (n) {
        size_t waiting = md5->bytes % 64, part = 64 - waiting < n ? 64 - waiting : n;
        memcpy(md5->waiting + waiting, at, part);
        md5->bytes += part;
        at += part;
        n -= part;
        if (md5->bytes % 64 == 0) add_block(md5->state, md5->waiting);
    }
}

void ag__md5_end(ag__md5 *md5, char digest[33])
{
    static const char digits[] = "0123456789abcdef";
    const uint64_t bits = md5->bytes * 8;
    unsigned char tail[72] = { 0x80 };
    size_t padding = 1 + (119 - md5->bytes % 64) % 64; /* up to 8 bytes before the end of a block */
    for (int i = 0; i < 8; i++) tail[padding + (size_t)i] = (unsigned char)(bits >> 8 * i);
    ag__md5_add(md5, tail, padding + 8);
    for (int i = 0; i < 16; i++) {
        uint32_t byte = md5->state[i / 4] >> i % 4 * 8 & 0xff;
        digest[2 * i] = digits[byte >> 4];
        digest[2 * i + 1] = digits[byte & 15];
    }
    digest[32] = 0;
}

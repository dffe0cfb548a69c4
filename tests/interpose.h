/* interpose.h - every allocation of the program, counted, and made to fail at will: malloc, calloc, realloc,
 * aligned_alloc, posix_memalign and mmap themselves are replaced (under a sanitizer, which has replaced them already,
 * those that the library and the test call). */
#ifndef AG_TESTS_INTERPOSE_H
#define AG_TESTS_INTERPOSE_H
#include <stdbool.h>
#include <stdint.h>

/* From now on allocations are counted, from 1, in all threads; the one with number fail_at fails (0: none does),
 * and with `onwards` all after it. */
void interpose_start(int64_t fail_at, bool onwards);
/* How many there were since; none fails any more. */
int64_t interpose_stop(void);
/* Whether memory comes from a sanitizer. */
bool interpose_sanitized(void);
bool interpose_address_sanitizer(void);

#endif

/* fail.h - setting the thread's error, for the library's own code. */
#ifndef AG_FAIL_H
#define AG_FAIL_H
#include <argent/error.h>

#include <stdarg.h>
#include <stddef.h>

/* snprintf in the C locale, whatever the program's is: numbers in messages do not depend on it. */
int ag__format(char *text, size_t room, const char *format, ...) __attribute__((format(printf, 3, 4)));
int ag__format_list(char *text, size_t room, const char *format, va_list args) __attribute__((format(printf, 3, 0)));

/* Let this sentence stand, unless one stands already; NULL, which is also false:
 *     if (n < 0) return ag__fail(AG_EINVAL, "arange: n is %lld, it must not be negative", (long long)n);
 * Formatted by ag__format_list. */
void *ag__fail(ag_error_kind kind, const char *format, ...) __attribute__((format(printf, 2, 3), cold));
void *ag__fail_memory(const char *what, size_t bytes); /* "out of memory: what (bytes bytes)" */

/* Further words to the sentence that stands; while the handler is held, for it has heard the rest otherwise. */
void ag__fail_more(const char *format, ...) __attribute__((format(printf, 1, 2), cold));

/* Between these two an error of this thread stands without the handler's being called, as a handler may leave by
 * longjmp or exit: so it is while a file is half-written. The last release lets it know. They nest. */
void ag__handler_hold(void);
void ag__handler_release(void);

#endif

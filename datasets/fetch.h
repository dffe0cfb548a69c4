/* fetch.h - what lies at a URL, by libcurl. The library is looked for when it is wanted: nothing else needs it, and a
 * program without it builds and runs. */
#ifndef AG_FETCH_H
#define AG_FETCH_H
#include <stdbool.h>
#include <stddef.h>

enum { AG_FETCH_REASON = 256 };

/* Gets the bytes in their order, part by part; false: no more are wanted. */
typedef bool ag__fetch_sink(void *user, const unsigned char *bytes, size_t n);

/* Whether libcurl is there; if not, an error (AG_ENOTSUP) that says how it can be. */
bool ag__fetch_possible(void);
/* Hands what lies at the URL to the sink. false with the reason in words, and without an error: there may be another
 * place to look. */
bool ag__fetch(const char *url, ag__fetch_sink *sink, void *user, char reason[AG_FETCH_REASON]);

/* The names it has, NULL at the end; tests put others in their place. */
extern const char *const *ag__libcurl_names;

#endif

/* differs.h - what today's PyTorch answers otherwise than the version that recorded it;
 * tests/conformance/differs-2.13.txt says how the list is written. */
#ifndef AG_CONFORMANCE_DIFFERS_H
#define AG_CONFORMANCE_DIFFERS_H
#include "files.h"

/* Whether the list has a line for this name ("f64_000/gg_0") of this entry. */
bool differs_today(const text_lines *list, const char *entry, const char *name);

#endif

/* refusals.h - calls that PyTorch refuses, made to the library; see docs/conformance.md. */
#ifndef AG_CONFORMANCE_REFUSALS_H
#define AG_CONFORMANCE_REFUSALS_H

#include "opinfo.h"

/* All calls of the file, or those of one op. Returns the exit status. */
int run_refusals(const options *o, const char *path);

#endif

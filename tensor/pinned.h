/* pinned.h - host memory that CUDA devices read and write themselves ("pinned": it stays where it is), so that copies
 * can go on while the program does. */
#ifndef AG_PINNED_H
#define AG_PINNED_H
#include "tensor/storage.h"

/* Let go of while copies are under way, it is not used again before they are done. */
ag_storage *ag__storage_new_pinned(ag_thread *t, int64_t bytes);
/* What the plug-in knows it by; NULL: it is not pinned. */
void *ag__pinned_block(const ag_storage *s);

#endif

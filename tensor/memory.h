/* memory.h - the caching allocator: freed memory is kept by size and handed out again, so that a steady training step
 * never calls malloc. Everything that holds elements is aligned to 64 bytes. With AG_NO_MEMORY_CACHING=1 in the
 * environment (and under AddressSanitizer, unless it is 0) every block comes from and goes back to malloc, so that
 * memory checkers see each one. */
#ifndef ARGENT_MEMORY_H
#define ARGENT_MEMORY_H
#include <argent/export.h>

AG_BEGIN_DECLS

/* Bytes that Variables, graphs and workspaces hold right now, whole process. */
AG_API int64_t ag_memory_allocated(void);
/* Bytes taken from the system: those, and what is kept to be handed out again. */
AG_API int64_t ag_memory_reserved(void);
/* Give what is kept back to the system; small blocks stay, since they share slabs with living ones. */
AG_API void ag_empty_cache(void);

AG_END_DECLS
#endif

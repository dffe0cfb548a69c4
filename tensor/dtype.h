/* dtype.h - the types of elements, and which type comes out when several go in. */
#ifndef ARGENT_DTYPE_H
#define ARGENT_DTYPE_H
#include <argent/export.h>

AG_BEGIN_DECLS

typedef enum {
    AG_DTYPE_DEFAULT = -1, /* as an option: the usual one for the call at hand */
    AG_FLOAT32 = 0,
    AG_FLOAT64,
    AG_INT64,
    AG_INT32,
    AG_UINT8,
    AG_BOOL, /* one byte, 0 or 1 */
} ag_dtype;
#define AG_N_DTYPES 6

AG_API const char *ag_dtype_name(ag_dtype dtype); /* "float32", as PyTorch names it */
AG_API size_t ag_dtype_size(ag_dtype dtype);      /* bytes an element */
AG_API bool ag_dtype_is_floating_point(ag_dtype dtype);

/* The type of factories that are not told one, and of integers that meet a fractional number: float32 unless set
 * (float32, float64). */
AG_API ag_dtype ag_get_default_dtype(void);
AG_API bool ag_set_default_dtype(ag_dtype dtype);

/* torch.promote_types: the smallest type both fit. float > integral > bool; uint8 with int32 is int32. */
AG_API ag_dtype ag_promote_types(ag_dtype a, ag_dtype b);

AG_END_DECLS
#endif

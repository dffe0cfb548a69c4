/* dtype.c - the types of elements: names, promotion, single elements read and written. */
#include "tensor/convert.h"
#include "tensor/tensor.h"

#include <string.h>

static const char *const names[AG_N_DTYPES] = { "float32", "float64", "int64", "int32", "uint8", "bool" };
static const uint8_t sizes[AG_N_DTYPES] = { 4, 8, 8, 4, 1, 1 };
static ag_dtype default_dtype = AG_FLOAT32; /* read and written atomically: for the whole process */

static bool is_dtype(ag_dtype dtype) { return (unsigned)dtype < AG_N_DTYPES; }
static bool is_floating(ag_dtype dtype) { return dtype == AG_FLOAT32 || dtype == AG_FLOAT64; }

const char *ag_dtype_name(ag_dtype dtype)
{
    if (dtype == AG_DTYPE_DEFAULT) return "default";
    return is_dtype(dtype) ? names[dtype] : "unknown";
}

const char *ag__scalar_type(ag_dtype dtype)
{
    static const char *const name[AG_N_DTYPES] = { "Float", "Double", "Long", "Int", "Byte", "Bool" };
    return name[dtype];
}
const char *ag__c_type(ag_dtype dtype)
{
    static const char *const name[AG_N_DTYPES] = { "float", "double", "long int", "int", "unsigned char", "bool" };
    return name[dtype];
}

size_t ag_dtype_size(ag_dtype dtype) { return is_dtype(dtype) ? sizes[dtype] : 0; }

bool ag_dtype_is_floating_point(ag_dtype dtype) { return is_floating(dtype); }

ag_dtype ag_get_default_dtype(void) { return __atomic_load_n(&default_dtype, __ATOMIC_RELAXED); }

bool ag_set_default_dtype(ag_dtype dtype)
{
    if (!is_floating(dtype))
        return ag__fail(AG_EINVAL,
                        "set_default_dtype: only floating-point types are supported as the default type, not %s",
                        ag_dtype_name(dtype));
    __atomic_store_n(&default_dtype, dtype, __ATOMIC_RELAXED);
    return true;
}

/* ---- promotion ---- */

/* bool < uint8 < int32 < int64 < float32 < float64, and every pair promotes to the larger one: the types stand in that
 * order, from the end, but for the two floating ones. */
static ag_dtype promote(ag_dtype a, ag_dtype b)
{
    if (a <= AG_FLOAT64 && b <= AG_FLOAT64) return a > b ? a : b;
    return a < b ? a : b;
}

ag_dtype ag_promote_types(ag_dtype a, ag_dtype b)
{
    if (!is_dtype(a) || !is_dtype(b)) {
        ag__fail(AG_EINVAL, "promote_types: %d is not a dtype", (int)(is_dtype(a) ? b : a));
        return AG_DTYPE_DEFAULT;
    }
    return promote(a, b);
}

/* AG_DTYPE_DEFAULT stands for "none yet". */
static ag_dtype promote_or(ag_dtype have, ag_dtype next)
{
    return have == AG_DTYPE_DEFAULT ? next : promote(have, next);
}

/* `lower` widens `higher` only into another category: bool -> integer -> floating. */
static ag_dtype combine(ag_dtype higher, ag_dtype lower)
{
    if (higher == AG_DTYPE_DEFAULT || lower == AG_DTYPE_DEFAULT) return higher == AG_DTYPE_DEFAULT ? lower : higher;
    if (is_floating(higher)) return higher;
    return higher == AG_BOOL || is_floating(lower) ? promote(higher, lower) : higher;
}

ag_dtype ag__result_type(int n, const ag_tensor *const *in)
{
    bool one_type = true;
    for (int k = 0; k < n; k++) one_type &= in[k]->dtype == in[0]->dtype && !in[k]->wrapped;
    if (one_type && n > 0) return (ag_dtype)in[0]->dtype;

    ag_dtype dims = AG_DTYPE_DEFAULT, zero_dim = AG_DTYPE_DEFAULT, number = AG_DTYPE_DEFAULT;
    for (int k = 0; k < n; k++) {
        ag_dtype dtype = (ag_dtype)in[k]->dtype;
        if (in[k]->ndim > 0)
            dims = promote_or(dims, dtype);
        else if (!in[k]->wrapped)
            zero_dim = promote_or(zero_dim, dtype);
        else
            number = promote_or(number, is_floating(dtype) ? ag_get_default_dtype() : dtype);
    }
    return combine(dims, combine(zero_dim, number));
}

bool ag__can_cast(ag_dtype from, ag_dtype to)
{
    if (is_floating(to)) return true;
    return !is_floating(from) && (to != AG_BOOL || from == AG_BOOL);
}

/* ---- single elements ---- */

/* Anything but 0 in a bool is true: a user's memory may hold what it likes. */
double ag__load(const char *at, ag_dtype dtype)
{
    switch (dtype) {
    case AG_FLOAT32:
        return *(const float *)at;
    case AG_FLOAT64:
        return *(const double *)at;
    case AG_INT64:
        return (double)*(const int64_t *)at;
    case AG_INT32:
        return *(const int32_t *)at;
    case AG_UINT8:
        return *(const uint8_t *)at;
    default:
        return *(const uint8_t *)at != 0;
    }
}

int64_t ag__load_int64(const char *at, ag_dtype dtype)
{
    switch (dtype) {
    case AG_FLOAT32:
    case AG_FLOAT64:
        return ag__to_int64(ag__load(at, dtype));
    case AG_INT64:
        return *(const int64_t *)at;
    case AG_INT32:
        return *(const int32_t *)at;
    case AG_UINT8:
        return *(const uint8_t *)at;
    default:
        return *(const uint8_t *)at != 0;
    }
}

void ag__store(char *at, ag_dtype dtype, double value)
{
    switch (dtype) {
    case AG_FLOAT32:
        *(float *)at = (float)value;
        break;
    case AG_FLOAT64:
        *(double *)at = value;
        break;
    case AG_INT64:
        *(int64_t *)at = ag__to_int64(value);
        break;
    case AG_INT32:
        *(int32_t *)at = ag__to_int32(value);
        break;
    case AG_UINT8:
        *(uint8_t *)at = ag__to_uint8(value);
        break;
    default:
        *(uint8_t *)at = value != 0;
        break;
    }
}

void ag__store_int64(char *at, ag_dtype dtype, int64_t value)
{
    switch (dtype) {
    case AG_FLOAT32:
        *(float *)at = (float)value;
        break;
    case AG_FLOAT64:
        *(double *)at = (double)value;
        break;
    case AG_INT64:
        *(int64_t *)at = value;
        break;
    case AG_INT32:
        *(int32_t *)at = (int32_t)value;
        break; /* wraps */
    case AG_UINT8:
        *(uint8_t *)at = (uint8_t)value;
        break;
    default:
        *(uint8_t *)at = value != 0;
        break;
    }
}

void ag__store_number(char *at, ag_dtype dtype, ag_number value)
{
    if (dtype == AG_FLOAT32)
        *(float *)at = (float)value;
    else if (dtype == AG_INT64 && value >= -0x1p63L && value < 0x1p63L)
        *(int64_t *)at = (int64_t)value;
    else
        ag__store(at, dtype, (double)value);
}

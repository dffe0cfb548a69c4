/* args.h - an op's arguments, declared once, in PyTorch's order.
 *
 *     #define AG_ARGS_conv2d(must, may) \
 *         must(Tensor, input) must(Tensor, weight) may(Tensor, bias, AG_NONE) may(Size, stride, 1) ...
 *     AG_DECLARE(conv2d)                              struct ag_conv2d_args, and ag_conv2d_call(), which takes one
 *     #define ag_conv2d(...) AG_CALL(conv2d, __VA_ARGS__)
 *
 * From the list come the struct, the defaults, the schema that the call by name reads, and a call that reads as
 * Python's does: positional from the left, then by name, the rest by PyTorch's default, zero and false values like any
 * other.
 *
 *     ag_conv2d(x, w)     ag_conv2d(x, w, b, 2)     ag_conv2d(x, w, .stride = 2, .bias = b)
 *
 * A misspelt name is a compile error that suggests the right one. In C++ (17 and later) a call is all positional, or
 * all by name in the order declared (by name: C++20; g++ and clang++ take it earlier as an extension).
 */
#ifndef ARGENT_ARGS_H
#define ARGENT_ARGS_H
#include <argent/device.h>
#include <argent/dtype.h>
#include <argent/export.h>

AG_BEGIN_DECLS

/* ---- the kinds of argument ---- */

typedef struct ag_variable ag_variable;
typedef struct ag_generator ag_generator;

/* Left out on purpose: the default of an optional Variable. (Not NULL: NULL is what a failed call gave.) */
extern AG_API struct ag_variable ag_none_;
#define AG_NONE (&ag_none_)

typedef struct ag_shape_list { /* sizes, or dimensions in order; borrowed for the call */
    int64_t n;
    const int64_t *at;
} ag_shape_list;
typedef struct ag_list { /* Variables; borrowed for the call */
    int64_t n;
    ag_variable *const *at;
} ag_list;
/* A number that becomes an element: wide enough to hold any double and any int64_t as it is. */
typedef long double ag_number __attribute__((aligned(8)));
typedef int64_t ag_sizes; /* a number for every side, or AG_SIZE(5, 3): up to three in one number, 20 bits each */
typedef int64_t ag_dims;  /* one dimension, AG_ALL, or AG_DIMS(0, -1): up to eight in one number, 6 bits each */

/* How the elements lie in memory. */
typedef enum {
    AG_PRESERVE_FORMAT = 0,
    AG_CONTIGUOUS_FORMAT, /* the last dimension's elements side by side */
    AG_BATCH_LAST,        /* the first dimension's elements side by side: (N,C,H,W) with C,H,W,N strides */
    AG_CHANNELS_LAST      /* the second's, of four: (N,C,H,W) with N,H,W,C strides, as torch.channels_last */
} ag_memory_format;

#ifndef AG_NO_SHORT_NAMES
typedef ag_variable Variable;
typedef ag_shape_list Shape;
typedef ag_list List;
typedef ag_generator Generator;
#endif

#define AG_TYPE_Tensor    ag_variable *
#define AG_TYPE_Tensors   ag_list
#define AG_TYPE_Int       int64_t
#define AG_TYPE_Float     double
#define AG_TYPE_Number    ag_number
#define AG_TYPE_Bool      bool
#define AG_TYPE_Str       const char *
#define AG_TYPE_Size      ag_sizes
#define AG_TYPE_Dims      ag_dims
#define AG_TYPE_Shape     ag_shape_list
#define AG_TYPE_Dtype     ag_dtype
#define AG_TYPE_Device    ag_device
#define AG_TYPE_Format    ag_memory_format
#define AG_TYPE_Generator ag_generator *
#define AG_TYPE_User      void * /* handed to a function of the user's */
#define AG_TYPE_File      FILE *

/* A side beyond 20 bits becomes AG_SIDE_INVALID, which every op refuses. */
#define AG_SIDE_INVALID (-524288)
#define AG_SIDE_(s)     ((int64_t)((s) < -524287 || (s) > 524287 ? AG_SIDE_INVALID : (s)) & 0xfffff)

#define AG_PICK4_(a, b, c, d, pick, ...) pick

#define AG_SIZE(...)       AG_PICK4_(__VA_ARGS__, 0, AG_SIZE3_, AG_SIZE2_, AG_SIZE1_, 0)(__VA_ARGS__)
#define AG_SIZE1_(w)       ((int64_t)1 << 60 | AG_SIDE_(w))
#define AG_SIZE2_(h, w)    ((int64_t)2 << 60 | AG_SIDE_(h) << 20 | AG_SIDE_(w))
#define AG_SIZE3_(d, h, w) ((int64_t)3 << 60 | AG_SIDE_(d) << 40 | AG_SIDE_(h) << 20 | AG_SIDE_(w))

/* A convolution's padding that keeps the height and width: "same". */
#define AG_PADDING_SAME (-INT64_MAX)

/* A dimension beyond -31..31 becomes 31 or -32, which no Variable has. */
#define AG_DIM_(k, d) ((int64_t)(((int64_t)(d) > 31 ? 31 : (int64_t)(d) < -32 ? -32 : (int)(d)) & 63) << 6 * (k))
#define AG_DIMS_(n)   ((int64_t)1 << 62 | (int64_t)(n) << 56)
#define AG_ALL        ((int64_t)1 << 62) /* no dimension named: all of them */

/* clang-format off */
#define AG_PICK8_(a, b, c, d, e, f, g, h, pick, ...) pick
#define AG_DIMS(...)                                                                                                 \
    AG_PICK8_(__VA_ARGS__, AG_DIMS8__, AG_DIMS7__, AG_DIMS6__, AG_DIMS5__, AG_DIMS4__, AG_DIMS3__, AG_DIMS2__,       \
              AG_DIMS1__, 0)(__VA_ARGS__)
#define AG_DIMS1__(a)                      (AG_DIMS_(1) | AG_DIM_(0, a))
#define AG_DIMS2__(a, b)                   (AG_DIMS_(2) | AG_DIM_(0, a) | AG_DIM_(1, b))
#define AG_DIMS3__(a, b, c)                (AG_DIMS_(3) | AG_DIM_(0, a) | AG_DIM_(1, b) | AG_DIM_(2, c))
#define AG_DIMS4__(a, b, c, d)             (AG_DIMS_(4) | AG_DIM_(0, a) | AG_DIM_(1, b) | AG_DIM_(2, c) | AG_DIM_(3, d))
#define AG_DIMS5__(a, b, c, d, e)          (AG_DIMS_(5) | AG_DIM_(0, a) | AG_DIM_(1, b) | AG_DIM_(2, c) | \
                                            AG_DIM_(3, d) | AG_DIM_(4, e))
#define AG_DIMS6__(a, b, c, d, e, f)       (AG_DIMS_(6) | AG_DIM_(0, a) | AG_DIM_(1, b) | AG_DIM_(2, c) | \
                                            AG_DIM_(3, d) | AG_DIM_(4, e) | AG_DIM_(5, f))
#define AG_DIMS7__(a, b, c, d, e, f, g)    (AG_DIMS6__(a, b, c, d, e, f) + ((int64_t)1 << 56) + AG_DIM_(6, g))
#define AG_DIMS8__(a, b, c, d, e, f, g, h) (AG_DIMS7__(a, b, c, d, e, f, g) + ((int64_t)1 << 56) + AG_DIM_(7, h))
/* clang-format on */

#ifdef __cplusplus
AG_END_DECLS
#include <initializer_list>
inline ag_shape_list ag_shape_of(std::initializer_list<int64_t> l)
{
    return ag_shape_list{ (int64_t)l.size(), l.begin() };
}
inline ag_list ag_list_of(std::initializer_list<ag_variable *> l) { return ag_list{ (int64_t)l.size(), l.begin() }; }
template <class T> const T *ag_address(const T &temporary) { return &temporary; }
#define AG_SHAPE(...)   ag_shape_of({ __VA_ARGS__ })
#define AG_LIST(...)    ag_list_of({ __VA_ARGS__ })
#define AG_SCALAR_SHAPE (ag_shape_list{ 0, nullptr })
AG_BEGIN_DECLS
#else
/* AG_SHAPE(64, 1, 28, 28): sizes. AG_LIST(a, b): Variables. Both live as long as the enclosing block. */
#define AG_SHAPE(...)   ((ag_shape_list){ AG_COUNT_OF(int64_t, __VA_ARGS__), (const int64_t[]){ __VA_ARGS__ } })
#define AG_LIST(...)    ((ag_list){ AG_COUNT_OF(ag_variable *, __VA_ARGS__), (ag_variable *const[]){ __VA_ARGS__ } })
#define AG_SCALAR_SHAPE ((ag_shape_list){ 0, NULL }) /* no dimensions: one number */

#define AG_COUNT_OF(type, ...) ((int64_t)(sizeof((type[]){ __VA_ARGS__ }) / sizeof(type)))
#endif
/* The same from an array. */
static inline ag_shape_list ag_sizes_of(int64_t n, const int64_t *sizes)
{
    ag_shape_list shape = { n, sizes };
    return shape;
}
static inline ag_list ag_list_from(int64_t n, ag_variable *const *variables)
{
    ag_list list = { n, variables };
    return list;
}

/* ---- the list, read ---- */
#define AG_NOTHING(type, name)
#define AG_FIELD(type, name)          AG_TYPE_##type name;
#define AG_FIELD_MAY(type, name, ...) AG_TYPE_##type name;
#define AG_FIELD_IS(type, name, ...)  AG_TYPE_##type name = __VA_ARGS__; /* C++ keeps the defaults in the struct */
#define AG_DEFAULT(type, name, ...)   .name = __VA_ARGS__,               /* C keeps them in the call */

/* clang-format off */
#ifdef __cplusplus
#define AG_STRUCT(op, LIST)                                                                                          \
    struct ag_##op##_args {                                                                                          \
        LIST(AG_FIELD, AG_FIELD_IS)                                                                                  \
    };
#define AG_CALL(op, ...) ag_##op##_call(ag_address(ag_##op##_args{ __VA_ARGS__ }))
#define AG_CALL_INPLACE(op, ...) ag_##op##__call(ag_address(ag_##op##_args{ __VA_ARGS__ }))
#else
#if defined __clang__
#define AG_OVERRIDING _Pragma("clang diagnostic push") _Pragma("clang diagnostic ignored \"-Winitializer-overrides\"")
#define AG_OVERRIDDEN _Pragma("clang diagnostic pop")
#else
#define AG_OVERRIDING                                                                                                \
    _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic ignored \"-Woverride-init\"")                             \
    _Pragma("GCC diagnostic ignored \"-Woverride-init-side-effects\"")
#define AG_OVERRIDDEN _Pragma("GCC diagnostic pop")
#endif
/* begin_ takes no room; initialising it after the defaults sends what follows back to the first field. */
#define AG_STRUCT(op, LIST)                                                                                          \
    struct ag_##op##_args {                                                                                          \
        __extension__ char begin_[0];                                                                                \
        LIST(AG_FIELD, AG_FIELD_MAY)                                                                                 \
    };
#define AG_CALL(op, ...) AG_CALL_(op, ag_##op##_call, AG_PASTE(ag_args_, __COUNTER__), __VA_ARGS__)
#define AG_CALL_INPLACE(op, ...) AG_CALL_(op, ag_##op##__call, AG_PASTE(ag_args_, __COUNTER__), __VA_ARGS__)
#define AG_CALL_(op, function, args, ...)                                                                            \
    __extension__({                                                                                                  \
        AG_OVERRIDING                                                                                                \
        struct ag_##op##_args args = { AG_ARGS_##op(AG_NOTHING, AG_DEFAULT) .begin_ = {}, __VA_ARGS__ };             \
        AG_OVERRIDDEN                                                                                                \
        function(&args);                                                                                             \
    })
#endif
/* struct ag_<op>_args, and the function that takes one; the in-place form, ag_<op>_, takes the same one. */
#define AG_DECLARE(op) AG_DECLARE_AS(op, ag_variable *)
#define AG_DECLARE_AS(op, result)                                                                                    \
    AG_STRUCT(op, AG_ARGS_##op)                                                                                      \
    AG_API result ag_##op##_call(const struct ag_##op##_args *args);
#define AG_DECLARE_INPLACE(op) AG_API ag_variable *ag_##op##__call(const struct ag_##op##_args *args);
/* clang-format on */

AG_END_DECLS
#endif

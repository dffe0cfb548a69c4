/* op.h - how an op is declared, and what the engine does with the declaration.
 *
 * An op is one constant record beside its code. From its argument list (args.h) come the typed call, the call by name
 * and the schema; from the rest the engine makes the node, keeps what backward needs, checks versions, broadcasts
 * gradients back and accumulates them. A record has one of three bodies:
 *
 *   kernel ops      shape() checks the arguments and makes the outputs, kernel[device]() fills them, backward() says
 *                   the gradients in terms of other ops (so that they can themselves be differentiated).
 *   composite ops   compose() calls other ops; no node of its own.
 *   pointwise rows  shape, kernels and gradients come from the row (ops/pointwise.def).
 *
 * A whole op, its list in the public header with ag_mm's comment:
 *
 *     #define AG_ARGS_mm(must, may) must(Tensor, input) must(Tensor, mat2)
 *
 *     static bool mm_shape(ag_run *r)
 *     {
 *         const struct ag_mm_args *a = r->args;
 *         ...
 *         return ag__output(r, 0, 2, size, dtype) != NULL;
 *     }
 *     static bool mm_anywhere(ag_run *r) { ... fill r->out[0], on the CPU or a device ... }
 *     static void mm_backward(ag_gradients *b)
 *     {
 *         const struct ag_mm_args *a = b->args;            the arguments as they were; what was not kept is NULL
 *         if (b->wanted[0]) b->grad[0] = ag_mm(b->g[0], ag_t(a->mat2));
 *         if (b->wanted[1]) b->grad[1] = ag_mm(ag_t(a->input), b->g[0]);
 *     }
 *     AG_OP_PLAIN(mm, .node = "MmBackward0", .shape = mm_shape, .kernel = { mm_anywhere, mm_anywhere },
 *                 .backward = mm_backward, .keeps = { AG_KEEP_IN(1), AG_KEEP_IN(0) })
 */
#ifndef AG_OP_H
#define AG_OP_H
#include "autograd/node.h"

#include <argent/call.h>

enum { AG_MAX_OUTPUTS = 4, AG_MAX_KEEPS = 5, AG_MANY = 0 };

/* One argument of an op's list. */
typedef enum {
    AG_KIND_Tensor,
    AG_KIND_Tensors,
    AG_KIND_Int,
    AG_KIND_Float,
    AG_KIND_Number,
    AG_KIND_Bool,
    AG_KIND_Str,
    AG_KIND_Size,
    AG_KIND_Dims,
    AG_KIND_Shape,
    AG_KIND_Dtype,
    AG_KIND_Device,
    AG_KIND_Format,
    AG_KIND_Generator
} ag_kind;
typedef struct ag_arg {
    const char *name;
    const char *fallback; /* the default as text, NULL where there is none */
    uint16_t offset;
    uint8_t kind; /* ag_kind */
} ag_arg;

/* One call of a kernel op. Inputs are the Tensor and Tensors arguments in order, lists spread out; AG_NONE and an
 * absent one are NULL. */
typedef struct ag_run {
    Thread *t;
    const ag_op *op;
    const void *args; /* struct ag_<op>_args */
    int n_in;
    ag_variable **in;
    /* n_out of them, made by shape() (where their number is the call's, after ag__outputs); for an in-place op out[0]
     * is in[0] */
    int n_out;
    ag_variable **out;
    ag_variable *array; /* holds `out` of an op with AG_MANY outputs */
    bool wants_grad;    /* a node will be recorded: hidden outputs are needed */
    bool is_view;       /* set by shape(): out[0] shares in[0]'s storage */
    bool inplace;       /* the op's in-place form: ag__output(r, 0, ...) checks in[0] instead of making a Variable */
    ag_device device;   /* of the inputs (or of the factory's argument) */
} ag_run;

/* One call of a backward. */
typedef struct ag_gradients {
    Thread *t;
    const ag_op *op;
    const void *args; /* as the forward call's; a Variable that was not kept is NULL */
    int n_in;
    ag_variable *const *in;  /* the inputs that were kept, flattened; NULL where not */
    ag_variable *const *out; /* the outputs that were kept, hidden ones included; NULL where not */
    ag_variable *const *g;   /* each output's gradient; NULL: none came (the only output's is never NULL) */
    const bool *wanted;      /* an input's gradient is wanted */
    ag_variable **grad;      /* to be set: an input's gradient in output shape or the input's; NULL: zero */
    const ag_edge *edge;     /* the inputs' sizes and types, by ag__in_shape */
    const int64_t *out_size; /* of output 0 */
    int out_ndim;
    bool create_graph;
    bool last_look; /* nobody looks at g after this; where it is private, too, a gradient may be written over it */
    ag_node *node;
} ag_gradients;
/* The sizes input i had. */
static inline ag_shape_list ag__in_shape(const ag_gradients *b, int i)
{
    const ag_edge *e = &b->edge[i];
    return e->size ? ag_sizes_of(e->ndim, e->size) : ag_sizes_of(b->out_ndim, b->out_size);
}

/* What the gradient of an input reads: inputs by number (0 to 7; AG_KEEP_ALL_IN: of a list), outputs by number
 * (0 to 3). */
#define AG_KEEP_IN(i)  (1u << (i))
#define AG_KEEP_OUT(i) (256u << (i))
#define AG_KEEP_ALL_IN 255u

struct ag_op {
    const char *name;  /* "max_dim": ag_max_dim. "_softmax_grad": a step of others, not to be called by that name */
    const char *torch; /* "max.dim": PyTorch's name with its overload, by which it is called, too; NULL: name only */
    const char *of;    /* "softmax": the op it is a step of, in whose name its errors speak; NULL: its own */
    const char *node;  /* "MaxBackward0": grad_fn's name; NULL: no derivative */
    const ag_arg *args;
    const void *defaults; /* a struct ag_<op>_args */
    uint16_t n_args, args_size;
    uint8_t n_out;              /* results; AG_MANY: a list, as long as shape() says */
    uint8_t n_hidden;           /* further outputs that only backward reads, with their history */
    uint8_t non_differentiable; /* bit k: output k, hidden ones included, never wants a gradient (indices) */
    uint8_t numbers;            /* bit i: called by name, a plain number may stand for argument i, a Variable */
    bool inplace;               /* op_ is there, too: compose_inplace, or the kernel may find out[0] to be in[0] */
    bool repeats;               /* in place, elements of input 0 may share memory (fill_, or none changes: t_) */
    bool inplace_only;          /* the name ends in _: changes input 0 and returns it; shape() only checks */
    bool moves;                 /* inputs may be on several devices (copy_) */
    bool borrows;               /* among the arguments are lists or texts that are the caller's: a node copies them */
    const char *const *out_names;
    bool (*shape)(ag_run *r);
    bool (*kernel[AG_N_DEVICES])(ag_run *r);
    bool (*compose)(const void *args, ag_variable **out);
    bool (*compose_inplace)(const void *args, ag_variable **out); /* of op_: changes input 0, which is the result */
    void (*backward)(ag_gradients *b);
    void (*unsave)(Thread *t, ag_node *n); /* what the op keeps beside `saved` is let go, if there is any; n->freed */
    void (*bury)(Thread *t, ag_node *n);   /* the node dies */
    uint32_t keeps[AG_MAX_KEEPS];          /* for each input's gradient; of a list op, keeps[0] for all its elements */
    const struct ag_pointwise *row;        /* of a pointwise row */
};

/* Output k may want a gradient. */
static inline bool ag__is_differentiable(const ag_op *op, uint32_t k)
{
    return k >= 8 || !(op->non_differentiable >> k & 1);
}

/* ---- calling (apply.c) ---- */

/* Runs the op: out[0..n_out) are its results, held by the scope. false with an error; then nothing was made or
 * changed. */
bool ag__apply(const ag_op *op, const void *args, ag_variable **out, const void *caller);
/* The kernel that a device's plug-in has for the op, which has none in its record; NULL: there is none
 * (device_kernel.c). */
bool (*ag__device_kernel(const ag_op *op, ag_device device))(ag_run *r);
/* The same for its in-place form: input 0 is changed and is the result. */
bool ag__apply_inplace(const ag_op *op, const void *args, ag_variable **out, const void *caller);
/* Of an op with AG_MANY outputs: they and the list's array are the scope's. On failure an empty list. */
ag_list ag__apply_list(const ag_op *op, const void *args, const void *caller);
static inline ag_variable *ag__apply1(const ag_op *op, const void *args, const void *caller)
{
    ag_variable *out[AG_MAX_OUTPUTS];
    return ag__apply(op, args, out, caller) ? out[0] : NULL;
}
static inline ag_variable *ag__apply1_inplace(const ag_op *op, const void *args, const void *caller)
{
    ag_variable *out[AG_MAX_OUTPUTS];
    return ag__apply_inplace(op, args, out, caller) ? out[0] : NULL;
}

/* In shape(): makes output k, contiguous, on r->device; NULL with an error. */
ag_variable *ag__output(ag_run *r, int k, int ndim, const int64_t *size, ag_dtype dtype);
ag_variable *ag__output_strided(ag_run *r, int k, int ndim, const int64_t *size, const int64_t *stride, ag_dtype dtype);
/* In shape(): output 0 is a view of input 0. */
bool ag__output_view(ag_run *r, int ndim, const int64_t *size, const int64_t *stride, int64_t offset);
/* The same; what is made cannot be changed in place with the change recorded: by custom functions. */
bool ag__output_view_of_function(ag_run *r, int ndim, const int64_t *size, const int64_t *stride, int64_t offset);
/* In shape() of an op with AG_MANY outputs: how many there are; then each of them, a view of input 0. */
bool ag__outputs(ag_run *r, int64_t n);
bool ag__output_view_of_many(ag_run *r, int k, int ndim, const int64_t *size, const int64_t *stride, int64_t offset);

/* The usual sentences. An input that must be there: NULL, or AG_NONE. */
bool ag__check_input(const ag_op *op, const char *argument, const ag_variable *x);

/* ---- recording (record.c) ---- */

/* Whether x's gradient is wanted in the current mode. */
static inline bool ag__wants(const Thread *t, const ag_variable *x)
{
    return x && !t->grad_off && !t->inference && ag__requires_grad(x);
}
/* A node for out[0..n_out) = op(in[0..n_in)), keeping `keeps` (a bit mask as in ag_op's). args may be NULL. */
bool ag__record(Thread *t, const ag_op *op, int n_in, ag_variable *const *in, int n_out, ag_variable *const *out,
                uint32_t keeps, const void *args, const void *caller);
/* The same in two steps, for an op in place: what can fail comes before its numbers change. The first keeps the inputs
 * as they are before, the second the outputs as they are afterwards and makes them the node's. */
ag_node *ag__record_begin(Thread *t, const ag_op *op, int n_in, ag_variable *const *in, int n_out,
                          ag_variable *const *out, uint32_t keeps, const void *args, const void *caller);
/* false with an error of a pack hook (saved_hooks.h): out is recorded all the same. */
bool ag__record_end(Thread *t, ag_node *node, ag_variable *const *out);
void ag__record_drop(Thread *t, ag_node *node);
/* x as it is now, for an in-place op whose backward reads what it overwrites: a copy of its numbers, with its history.
 * Stands in for x among the inputs of ag__record. */
ag_variable *ag__snapshot(Thread *t, ag_variable *x);
/* For an in-place op, before it runs: whether it may (leaf, view, overlapping elements). wants_grad: of any input.
 * Afterwards the op raises the storage's version, and ag__record_end with x among its outputs gives x its new
 * history. */
bool ag__check_inplace(Thread *t, const ag_op *op, ag_variable *x, bool wants_grad);
/* x gets the sizes, strides and node of a view of all its elements that an op has just made. */
void ag__become(Thread *t, ag_variable *x, ag_variable *view);

/* After a change of a view: the node that makes it one of the view's base, for ag__record_end(t, node, &view->base). */
ag_node *ag__slices_begin(Thread *t, ag_variable *view, ag_node *change);
/* After ag__record_end of that: the view has its history from its base. */
void ag__view_changed(Thread *t, ag_variable *view);
#define AG_ARGS__copy_slices(must, may)                                                                   \
    must(Tensor, input) must(Tensor, src) must(Shape, in_stride) must(Int, in_offset) must(Shape, stride) \
        must(Int, offset)
AG_STRUCT(_copy_slices, AG_ARGS__copy_slices)
const ag_op *ag__op__copy_slices(void); /* ops/view_strided.c */

/* The op behind as_strided, which knows the layout of what it looks into. */
#define AG_ARGS__as_strided(must, may)                                                                         \
    must(Tensor, input) must(Shape, size) must(Shape, stride) must(Int, storage_offset) must(Shape, in_stride) \
        must(Int, in_offset)
AG_STRUCT(_as_strided, AG_ARGS__as_strided)
const ag_op *ag__op__as_strided(void); /* ops/view_strided.c */

/* ---- rows (ops/pointwise.c) ---- */
bool ag__pointwise_apply(const ag_op *op, const void *args, bool inplace, ag_variable **out, const void *caller);
/* sum += x, both of one size and type on one device, any strides; no history. For accumulation. */
bool ag__add_into(Thread *t, ag_variable *sum, const ag_variable *x);

/* ---- declaring ---- */
#define AG_ARG_MUST(type, name_) { .name = #name_, .offset = offsetof(Args, name_), .kind = AG_KIND_##type },
#define AG_ARG_MAY(type, name_, ...) \
    { .name = #name_, .offset = offsetof(Args, name_), .kind = AG_KIND_##type, .fallback = #__VA_ARGS__ },
#define AG_TAIL_(nothing, ...)        __VA_ARGS__
#define AG_TAIL(...)                  AG_TAIL_(__VA_ARGS__)
#define AG_PARAM_MUST(type, name)     , AG_TYPE_##type name
#define AG_PARAM_MAY(type, name, ...) , AG_TYPE_##type name
#define AG_SET_MUST(type, name_)      .name_ = name_,
#define AG_SET_MAY(type, name_, ...)  .name_ = name_,

#define AG_BORROWS(type, ...) || AG_KIND_##type == AG_KIND_Shape || AG_KIND_##type == AG_KIND_Str

/* clang-format off */
/* The record ag__op_<op>. Its args and defaults stand in a function, where a typedef gives the struct one name for
 * every op. */
#define AG_RECORD(op_, LIST, ...)                                                                                    \
    const ag_op *ag__op_##op_(void);                                                                                 \
    const ag_op *ag__op_##op_(void)                                                                                  \
    {                                                                                                                \
        typedef struct ag_##op_##_args Args;                                                                         \
        static const ag_arg args[] = { LIST(AG_ARG_MUST, AG_ARG_MAY) };                                              \
        __extension__ static const Args defaults = { LIST(AG_NOTHING, AG_DEFAULT) .begin_ = {} };                    \
        static const ag_op op = { .name = #op_, .args = args, .n_args = sizeof args / sizeof *args,                  \
                                  .args_size = sizeof(Args), .defaults = &defaults, .n_out = 1,                      \
                                  .borrows = false LIST(AG_BORROWS, AG_BORROWS), __VA_ARGS__ };                      \
        return &op;                                                                                                  \
    }
/* An op with options: its public form is the macro ag_<op>(...), which calls this. */
#define AG_OP(op_, ...)                                                                                              \
    AG_OVERRIDING AG_RECORD(op_, AG_ARGS_##op_, __VA_ARGS__) AG_OVERRIDDEN                                           \
    ag_variable *ag_##op_##_call(const struct ag_##op_##_args *args)                                                 \
    { return ag__apply1(ag__op_##op_(), args, __builtin_return_address(0)); }
/* The same for an op whose result is a list. */
#define AG_OP_LIST(op_, ...)                                                                                         \
    AG_OVERRIDING AG_RECORD(op_, AG_ARGS_##op_, .n_out = AG_MANY, __VA_ARGS__) AG_OVERRIDDEN                         \
    ag_list ag_##op_##_call(const struct ag_##op_##_args *args)                                                      \
    { return ag__apply_list(ag__op_##op_(), args, __builtin_return_address(0)); }
/* An op without options: a plain function of its arguments. Its struct exists only here. */
#define AG_OP_PLAIN(op_, ...)                                                                                        \
    AG_STRUCT(op_, AG_ARGS_##op_)                                                                                    \
    AG_OVERRIDING AG_RECORD(op_, AG_ARGS_##op_, __VA_ARGS__) AG_OVERRIDDEN                                           \
    ag_variable *ag_##op_(AG_TAIL(AG_ARGS_##op_(AG_PARAM_MUST, AG_PARAM_MAY)))                                       \
    {                                                                                                                \
        const struct ag_##op_##_args args = { AG_ARGS_##op_(AG_SET_MUST, AG_SET_MAY) };                              \
        return ag__apply1(ag__op_##op_(), &args, __builtin_return_address(0));                                       \
    }
/* The in-place form of an op above: ag_<op>_ changes and returns its first argument. */
#define AG_INPLACE(op_)                                                                                              \
    ag_variable *ag_##op_##__call(const struct ag_##op_##_args *args)                                                \
    { return ag__apply1_inplace(ag__op_##op_(), args, __builtin_return_address(0)); }
#define AG_INPLACE_PLAIN(op_)                                                                                        \
    ag_variable *ag_##op_##_(AG_TAIL(AG_ARGS_##op_(AG_PARAM_MUST, AG_PARAM_MAY)))                                    \
    {                                                                                                                \
        const struct ag_##op_##_args args = { AG_ARGS_##op_(AG_SET_MUST, AG_SET_MAY) };                              \
        return ag__apply1_inplace(ag__op_##op_(), &args, __builtin_return_address(0));                               \
    }
/* clang-format on */

#endif

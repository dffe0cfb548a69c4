/* function_context.h - one call of a user's function, as function.c makes it and function_backward.c reads it. */
#ifndef AG_FUNCTION_CONTEXT_H
#define AG_FUNCTION_CONTEXT_H
#include "autograd/op.h"

#include <argent/function.h>

/* One Variable of save_for_backward. */
typedef struct kept {
    ag_variable *saved; /* an output: its twin; or what a hook packed (saved.h) */
    uint32_t version;
    int output; /* -1: no output */
} kept;

typedef struct output_shape {
    ag_dtype dtype;
    ag_device device;
    bool differentiable;
    int ndim;
    int64_t size[AG_MAX_DIMS];
} output_shape;

enum { AG_FUNCTION_NAME = 120 };

struct ag_context {
    ag_op op; /* first: a node's op leads to its context */
    const ag_function *function;
    ag_node *node; /* once it is recorded; the node owns the context */
    void *user;
    ag_free_user *free_user;
    char name[AG_FUNCTION_NAME]; /* the node's */
    int n_in, n_out;
    bool in_forward, has_saved, keeps_null;
    bool holds;                   /* a reference to each of kept */
    bool *needs;                  /* n_in */
    output_shape *out;            /* n_out */
    ag_variable **dirty, **plain; /* as forward marked them; n_dirty, n_plain */
    int64_t n_dirty, max_dirty, n_plain, max_plain;
    kept *kept;
    int64_t n_kept;
};
static inline ag_context *ag__context_of(const ag_op *op) { return (ag_context *)(void *)(uintptr_t)op; }

void ag__function_backward(ag_gradients *b);

#endif

/* module.h - torch.nn.Module in C.
 *
 * A model is a struct whose first member is `Module base`; its parts are fields, each named once:
 *
 *     typedef struct { Module base; Module *hidden, *out; } Mlp;
 *
 *     static Variable *mlp_forward(Module *self, Variable *x)          (N,784) -> (N,10)
 *     {
 *         Mlp *net = (Mlp *)self;
 *         return ag_forward(net->out, ag_relu(ag_forward(net->hidden, x)));
 *     }
 *     static Mlp *mlp(void)
 *     {
 *         Mlp *net = AG_MODULE_NEW(Mlp, mlp_forward);
 *         AG_CHILD(net, hidden, ag_nn_linear(784, 100));
 *         AG_CHILD(net, out, ag_nn_linear(100, 10, .bias = false));
 *         return AG_MODULE_DONE(net);
 *     }
 *
 * Whatever takes a module takes an Mlp * as well. A module owns its parts: ag_module_free(net) frees the whole tree.
 * If a part could not be made, AG_MODULE_DONE frees what there is and gives NULL, and the error says which part
 * it was.
 */
#ifndef ARGENT_MODULE_H
#define ARGENT_MODULE_H
#include <argent/autograd.h>
#include <argent/scope.h>

AG_BEGIN_DECLS

typedef struct ag_module ag_module;
#ifndef AG_NO_SHORT_NAMES
typedef ag_module Module;
#endif

typedef ag_variable *ag_forward_function(ag_module *self, ag_variable *x);
typedef ag_variable *ag_criterion_function(ag_module *self, ag_variable *input, ag_variable *target);
/* extra_repr(): what stands between the brackets when the module is printed; as snprintf (writes at most room bytes,
 * returns the length). */
typedef int ag_repr_function(const ag_module *self, char *text, size_t room);

struct ag_module {
    union {
        /* only its address is used: a Module and a struct that begins with one look alike to the macros */
        char base[1];
        const char *type; /* the class name, for printing and for sentences */
    };
    ag_forward_function *forward;     /* of one input */
    ag_criterion_function *criterion; /* of an input and a target: a loss */
    ag_repr_function *extra_repr;     /* NULL: nothing between the brackets */
    void (*free)(ag_module *self);    /* NULL, or lets go of what your struct holds besides its parts */
    struct ag_module_parts *parts;    /* children, parameters, buffers */
    bool training;                    /* ag_train, ag_eval */
};

/* ---- making one ---- */

/* A zeroed Type, its class name "Type"; NULL when memory is out (the macros below take that). The struct is not
 * constructed in the sense of C++: it holds plain data. */
#define AG_MODULE_NEW(Type, forward) \
    ((Type *)ag_module_new(sizeof(Type) + 0 * sizeof(char[offsetof(Type, base) == 0 ? 1 : -1]), #Type, forward))
/* m->field = part, which becomes m's under the name "field". A child is taken over, also where it is refused; one
 * module may stand in several places. A parameter is held, and from now on wants a gradient; AG_NONE is a parameter
 * that is not there (a missing bias). A buffer is held: state that is no parameter; AG_BUFFER(m, field, x, false) is
 * one that is not saved, no part of the state dict (persistent=False). Given again, a name gets the new part and lets
 * go of the old one. */
#define AG_CHILD(m, field, module) \
    AG_PART_(m, field, module, ag_module_add_child, AG_MODULE, AG_PASTE(ag_part_, __COUNTER__))
#define AG_PARAMETER(m, field, x) \
    AG_PART_(m, field, x, ag_module_add_parameter, AG_ITSELF_, AG_PASTE(ag_part_, __COUNTER__))
#define AG_BUFFER(m, field, ...) \
    AG_PICK_MODULE_(__VA_ARGS__, AG_BUFFER2_, AG_BUFFER1_, 0)(m, field, AG_PASTE(ag_part_, __COUNTER__), __VA_ARGS__)
/* m, checked. */
#define AG_MODULE_DONE(m) (ag_module_done(AG_MODULE(m)) ? (m) : NULL)

#define AG_ITSELF_(x)                    (x)
#define AG_PICK_MODULE_(a, b, pick, ...) pick
#define AG_PART_(m, field_, part, add, as, name_)                       \
    __extension__({                                                     \
        __typeof__((m)->field_) name_ = (part);                         \
        if (add(AG_MODULE(m), #field_, as(name_))) (m)->field_ = name_; \
    })
#define AG_BUFFER1_(m, field, name, x) AG_BUFFER2_(m, field, name, x, true)
#define AG_BUFFER2_(m, field_, name_, x, persistent)                                             \
    __extension__({                                                                              \
        __typeof__((m)->field_) name_ = (x);                                                     \
        if (ag_module_add_buffer(AG_MODULE(m), #field_, name_, persistent)) (m)->field_ = name_; \
    })
/* A module, or a struct that begins with one, as a Module *; anything else does not compile. */
#define AG_MODULE(m) ((ag_module *)(true ? (void *)(m) : (void *)&(m)->base))

AG_API void *ag_module_new(size_t size, const char *type, ag_forward_function *forward);
AG_API bool ag_module_done(ag_module *m);
/* Parts under names that are made at run time, and parts of ready-made modules; no field is set. false with an error.
 * Two layers share a parameter by
 *
 *     ag_module_add_parameter(net->decoder, "weight", ag_get_parameter(net->encoder, "weight")); */
AG_API bool ag_module_add_child(ag_module *m, const char *name, ag_module *child);
AG_API bool ag_module_add_parameter(ag_module *m, const char *name, ag_variable *x);
#define AG_TYPE_Module ag_module *
#define AG_ARGS_module_add_buffer(must, may) \
    must(Module, module) must(Str, name) must(Tensor, buffer) may(Bool, persistent, true)
#define ag_module_add_buffer(...) AG_CALL(module_add_buffer, __VA_ARGS__)
AG_DECLARE_AS(module_add_buffer, bool)

/* Frees m and all its parts. NULL is fine; a module that is part of another one stays until that goes. */
#define ag_module_free(m) ag_module_free_(AG_MODULE(m))
AG_API void ag_module_free_(ag_module *m);

/* ---- running ---- */

/* m(x), in a scope of its own: what forward makes and does not return goes as soon as nothing needs it. */
#define ag_forward(m, x) ag_module_forward(AG_MODULE(m), x)
AG_API ag_variable *ag_module_forward(ag_module *m, ag_variable *x);
/* criterion(input, target), of a module that is a loss: ag_nn_cross_entropy_loss(), or one of yours that sets
 * base.criterion. */
#define ag_criterion(m, input, target) ag_module_criterion(AG_MODULE(m), input, target)
AG_API ag_variable *ag_module_criterion(ag_module *m, ag_variable *input, ag_variable *target);

/* ag_train(m), ag_train(m, false), ag_eval(m): sets .training of m and of all below it (dropout looks at it).
 * false: with an error. */
#define ag_train(...)       AG_PICK_MODULE_(__VA_ARGS__, ag_train2_, ag_train1_, 0)(__VA_ARGS__)
#define ag_train1_(m)       ag_module_train(AG_MODULE(m), true)
#define ag_train2_(m, mode) ag_module_train(AG_MODULE(m), mode)
#define ag_eval(m)          ag_module_train(AG_MODULE(m), false)
AG_API bool ag_module_train(ag_module *m, bool mode);

/* ---- what is in it ---- */

/* All parameters of m and below, each once however often it is used. The list is valid as long as m and what is in it.
 * Empty, with an error, on failure. */
#define ag_parameters(m) ag_module_parameters(AG_MODULE(m))
AG_API ag_list ag_module_parameters(ag_module *m);
/* How many numbers all of them have: sum(p.numel() for p in m.parameters()). */
#define ag_num_parameters(m) ag_module_num_parameters(AG_MODULE(m))
AG_API int64_t ag_module_num_parameters(ag_module *m);

/* One after the other, with their dotted names, in PyTorch's order:
 *
 *     for (ag_named p = { 0 }; ag_named_parameters(net, &p);) printf("%s\n", p.name);             conv1.0.weight ...
 *
 * (in C++ `ag_named p = {}`); false after the last one. The names are valid as long as m. Modules: m itself comes
 * first, its name is "". */
typedef struct ag_named {
    const char *name;
    ag_variable *variable; /* of parameters and buffers */
    ag_module *module;     /* of modules and children; of a parameter or buffer: the module it belongs to */
    int64_t next;
} ag_named;
typedef enum {
    AG_NAMED_PARAMETERS,
    AG_NAMED_BUFFERS,
    AG_NAMED_MODULES,
    AG_NAMED_CHILDREN,
    AG_NAMED_STATE
} ag_named_kind;
#define ag_named_parameters(m, at) ag_module_named(AG_MODULE(m), AG_NAMED_PARAMETERS, at)
#define ag_named_buffers(m, at)    ag_module_named(AG_MODULE(m), AG_NAMED_BUFFERS, at)
#define ag_named_modules(m, at)    ag_module_named(AG_MODULE(m), AG_NAMED_MODULES, at)
#define ag_named_children(m, at)   ag_module_named(AG_MODULE(m), AG_NAMED_CHILDREN, at)
AG_API bool ag_module_named(ag_module *m, ag_named_kind kind, ag_named *at);

/* By its dotted name; NULL with an error if there is none. Borrowed from m. */
#define ag_get_submodule(m, name) ag_module_get_submodule(AG_MODULE(m), name)
#define ag_get_parameter(m, name) ag_module_get_parameter(AG_MODULE(m), name)
#define ag_get_buffer(m, name)    ag_module_get_buffer(AG_MODULE(m), name)
AG_API ag_module *ag_module_get_submodule(ag_module *m, const char *name);
AG_API ag_variable *ag_module_get_parameter(ag_module *m, const char *name);
AG_API ag_variable *ag_module_get_buffer(ag_module *m, const char *name);
/* The name of a parameter in a module, for ag_graph_write_dot(loss, file, ag_module_leaf_name, net); NULL if it is not
 * there. */
AG_API const char *ag_module_leaf_name(const ag_variable *leaf, void *module);

/* ---- for the whole tree ---- */

/* m.apply(fn): fn(module, user) for every module, children before their parent; stops at the first false,
 * and returns it. */
typedef bool ag_module_function(ag_module *m, void *user);
#define ag_module_apply(m, function, user) ag_module_apply_(AG_MODULE(m), function, user)
AG_API bool ag_module_apply_(ag_module *m, ag_module_function *function, void *user);

/* m.zero_grad(): ag_zero_grad(m), or ag_zero_grad(m, .set_to_none = false) to fill the gradients with zeros instead
 * of dropping them. */
#define AG_ARGS_module_zero_grad(must, may) must(Module, module) may(Bool, set_to_none, true)
#define ag_zero_grad(...)                   AG_PICK_MODULE_(__VA_ARGS__, ag_zero_grad2_, ag_zero_grad1_, 0)(__VA_ARGS__)
#define ag_zero_grad1_(m)                   AG_CALL(module_zero_grad, AG_MODULE(m))
#define ag_zero_grad2_(m, set_to_none)      AG_CALL(module_zero_grad, AG_MODULE(m), set_to_none)
AG_DECLARE_AS(module_zero_grad, bool)

/* m.to(device), m.to(dtype): ag_module_to(net, AG_CUDA), ag_module_to(net, .dtype = AG_FLOAT64). Parameters and
 * buffers stay the same Variables, so that an optimiser goes on holding them; only floating ones change their type.
 * Either all of them change or none. */
#define AG_ARGS_module_to(must, may) \
    must(Module, module) may(Device, device, AG_ANY_DEVICE) may(Dtype, dtype, AG_DTYPE_DEFAULT)
#define ag_module_to(m, ...) AG_CALL(module_to, AG_MODULE(m), __VA_ARGS__)
AG_DECLARE_AS(module_to, bool)
#define ag_module_double(m) ag_module_to(m, AG_ANY_DEVICE, AG_FLOAT64)
#define ag_module_float(m)  ag_module_to(m, AG_ANY_DEVICE, AG_FLOAT32)

/* ag_module_cuda(net), ag_module_cpu(net): m.cuda(), m.cpu(). AG_EDEVICE where there is no such device. */
#define ag_module_cuda(m) ag_module_to(m, AG_CUDA)
#define ag_module_cpu(m)  ag_module_to(m, AG_CPU)

/* m.requires_grad_(), m.requires_grad_(false): of all parameters. */
#define ag_module_requires_grad_(...) \
    AG_PICK_MODULE_(__VA_ARGS__, ag_module_requires_grad2_, ag_module_requires_grad1_, 0)(__VA_ARGS__)
#define ag_module_requires_grad1_(m)     ag_module_requires_grad_set(AG_MODULE(m), true)
#define ag_module_requires_grad2_(m, on) ag_module_requires_grad_set(AG_MODULE(m), on)
AG_API bool ag_module_requires_grad_set(ag_module *m, bool on);

/* ---- printing ---- */

/* What print(net) prints in PyTorch; with a newline. */
#define ag_nn_print(m, file) ag_module_print(AG_MODULE(m), file)
AG_API bool ag_module_print(ag_module *m, FILE *file);
/* The same into memory, without the newline: as snprintf. */
#define ag_nn_repr(m, text, room) ag_module_repr(AG_MODULE(m), text, room)
AG_API size_t ag_module_repr(ag_module *m, char *text, size_t room);

AG_END_DECLS
#endif

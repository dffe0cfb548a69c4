/* module_parts.h - the inside of a module: its parts in the order they were given, and the names of everything
 * below it. */
#ifndef AG_MODULE_PARTS_H
#define AG_MODULE_PARTS_H
#include "autograd/node.h"

#include <argent/module.h>

/* Modules nested deeper than this are refused, so that walking them costs a bounded stack (Python's own bound, too). */
enum { AG_MODULE_DEPTH = 1000 };

typedef enum { AG_PART_CHILD, AG_PART_PARAMETER, AG_PART_BUFFER } ag_part_kind;
typedef enum { AG_NO_CONTAINER, AG_SEQUENTIAL, AG_MODULE_LIST, AG_MODULE_DICT } ag_container;

typedef struct ag_part {
    char *name; /* owned */
    ag_part_kind kind;
    bool passing; /* a buffer that is not saved: no part of the state dict */
    union {
        ag_module *child;
        ag_variable *variable;
    };
} ag_part;

typedef struct ag_name_table ag_name_table; /* module_names.c */

/* How a graph finds a module that may die before it: module is NULL then. */
typedef struct ag_module_link {
    int32_t refs;
    ag_module *module;
} ag_module_link;

struct ag_module_parts {
    ag_part *at;
    int64_t n, max;
    int32_t owners; /* how many modules it is a part of */
    ag_container container;
    ag_forward_function *forward_over; /* as forward, with the result in x itself; NULL where there is no such way */
    ag_forward_function *forward_relu; /* forward and relu at once, where takes_relu says yes; NULL, likewise */
    bool (*takes_relu)(const ag_variable *x);
    bool is_relu;
    bool is_own;               /* one of the library's: an error in backward names whoever called it */
    bool failed;               /* a part could not be added: AG_MODULE_DONE tells */
    ag_module *link;           /* in the list of those being freed */
    struct ag__hook *hooks[2]; /* module_hooks.c */
    ag_module_link *link_here; /* NULL: nobody has asked */
    ag_name_table *names;      /* as last asked for; older ones behind it */
};

/* A Module of the library's own. */
void *ag__module_new_own(size_t size, const char *type, ag_forward_function *forward);

/* Runs m's forward_over, for an x that nobody else sees and m without hooks. */
ag_variable *ag__module_forward_over(ag_module *m, ag_variable *x);

/* Runs m's forward_relu, for m without hooks. */
ag_variable *ag__module_forward_relu(ag_module *m, ag_variable *x);

/* m's own parameter or buffer of that name; AG_NONE if there is none. */
ag_variable *ag__module_variable(const ag_module *m, const char *name);

/* The first part from number `part` on that is a child; the number of parts, where there is none. */
static inline int64_t ag__next_child(const ag_module *m, int64_t part)
{
    while (part < m->parts->n && m->parts->at[part].kind != AG_PART_CHILD) part++;
    return part;
}
/* m's child of the name that is `length` bytes long; NULL if there is none. */
ag_module *ag__module_child(const ag_module *m, const char *name, size_t length);
/* Takes part i, a child, out of m: the child, which is the caller's unless it is a part elsewhere, too. */
ag_module *ag__module_take_child(ag_module *m, int64_t i);

static inline const char *ag__module_type(const ag_module *m) { return m->type ? m->type : "Module"; }

/* Raised whenever any module gets or loses a part: tables of names made before are out of date. */
void ag__module_changed(void);
void ag__name_tables_free(ag_name_table *names);

/* One line of a table of names. */
typedef struct ag_name_entry {
    size_t name; /* offset in text */
    ag_variable *variable;
    ag_module *module;
} ag_name_entry;
typedef struct ag_name_list {
    ag_name_entry *at;
    int64_t n, max;
} ag_name_list;
struct ag_name_table {
    uint64_t made; /* which change of modules it knows of */
    char *text;    /* all names, each ended by a 0 */
    int64_t n_text, max_text;
    ag_name_list list[AG_NAMED_STATE + 1];
    ag_variable **parameters; /* list[AG_NAMED_PARAMETERS] once more, as an ag_list wants them */
    ag_name_table *older;
};
/* The names of everything in m and below, up to date; NULL with an error. Valid as long as m. */
const ag_name_table *ag__module_names(ag_module *m);
/* NULL, with an error unless one stands, where m is NULL. */
bool ag__module_given(const char *function, const ag_module *m);

/* ---- hooks (module_hooks.c) ---- */
bool ag__module_has_hooks(const ag_module *m);
/* m(x), or m(x, target) of a loss, with all hooks. */
ag_variable *ag__module_call_hooked(ag_module *m, ag_variable *x, ag_variable *target);
void ag__module_link_unref(ag_module_link *link);

/* A leaf's gradient dropped, or filled with zeros. */
bool ag__zero_grad(ag_thread *t, ag_variable *x, bool set_to_none);

/* A number as Python's repr() writes it: 0.25, 1e-05, 3.0. text has room for 32 bytes. Returns text. */
const char *ag__number_text(double value, char *text);

#endif

/* dot.c - a graph in Graphviz's language. Nodes and leaves stand in one list in the order in which they are found, and
 * are numbered by it; a table finds their numbers. Each is written when its turn in the list comes, with what it leads
 * to. */
#include "autograd/node.h"
#include "autograd/op.h"
#include "tensor/allocator.h"
#include "tensor/fail.h"

#include <argent/graph.h>

#include <inttypes.h>
#include <stdlib.h>

/* One box: a node, or a leaf. */
typedef struct box {
    const ag_node *node;
    const ag_variable *leaf;
} box;

typedef struct picture {
    FILE *file;
    ag_leaf_name *leaf_name;
    void *user;
    box *boxes;
    int64_t n, max;
    int64_t *slots;  /* by the address: 1 + the number, 0 where it is free; at most half full */
    int64_t n_slots; /* a power of two */
} picture;

static int64_t *slot_of(const picture *p, const void *address)
{
    uint64_t mask = (uint64_t)p->n_slots - 1, k = (uintptr_t)address * 0x9e3779b97f4a7c15u >> 20 & mask;
    for (;; k = (k + 1) & mask) {
        int64_t *slot = &p->slots[k];
        const box *b = *slot ? &p->boxes[*slot - 1] : NULL;
        if (!b || (b->node ? (const void *)b->node : b->leaf) == address) return slot;
    }
}
static bool grow(picture *p)
{
    if (!ag__grow((void **)&p->boxes, &p->max, p->n + 1, sizeof *p->boxes)) return false;
    if (2 * (p->n + 1) <= p->n_slots) return true;
    const int64_t n_slots = p->n_slots ? 2 * p->n_slots : 64;
    int64_t *slots = calloc((size_t)n_slots, sizeof *slots);
    if (!slots) return ag__fail_memory("a picture of a graph", (size_t)n_slots * sizeof *slots);
    free(p->slots);
    p->slots = slots;
    p->n_slots = n_slots;
    for (int64_t i = 0; i < p->n; i++)
        *slot_of(p, p->boxes[i].node ? (const void *)p->boxes[i].node : p->boxes[i].leaf) = i + 1;
    return true;
}
/* The number of what an edge leads to; -1 with an error. */
static int64_t number_of(picture *p, const ag_node *node, const ag_variable *leaf)
{
    if (!grow(p)) return -1;
    int64_t *slot = slot_of(p, node ? (const void *)node : leaf);
    if (!*slot) {
        p->boxes[p->n++] = (box){ node, leaf };
        *slot = p->n;
    }
    return *slot - 1;
}

/* In a quoted string. */
static void put_text(FILE *file, const char *text)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') fputc('\\', file);
        fputc(*text, file);
    }
}
static void put_shape(FILE *file, const ag_variable *x)
{
    fputc('(', file);
    for (int d = 0; d < x->tensor.ndim; d++) fprintf(file, d ? ", %" PRId64 : "%" PRId64, x->tensor.size[d]);
    fputc(')', file);
}

static void put_leaf(const picture *p, int64_t i)
{
    const ag_variable *leaf = p->boxes[i].leaf;
    const char *name = p->leaf_name ? p->leaf_name(leaf, p->user) : NULL;
    fprintf(p->file, "    n%" PRId64 " [label=\"AccumulateGrad\\n", i);
    if (name) {
        put_text(p->file, name);
        fputc(' ', p->file);
    }
    put_shape(p->file, leaf);
    fprintf(p->file, "\", fillcolor=lightblue];\n");
}

/* Whether a gradient can come to more than one of its outputs. */
static bool has_several_outputs(const ag_node *node)
{
    int n = 0;
    for (uint32_t k = 0; k < node->n_out - node->op->n_hidden && n < 2; k++) n += ag__is_differentiable(node->op, k);
    return n > 1;
}
static void put_arrow(FILE *file, const char *from, int64_t to, const ag_node *node, int output_nr)
{
    fprintf(file, "    %s -> n%" PRId64, from, to);
    if (node && has_several_outputs(node)) fprintf(file, " [label=\"%d\"]", output_nr);
    fprintf(file, ";\n");
}

static bool put_node(picture *p, int64_t i)
{
    const ag_node *node = p->boxes[i].node;
    char from[32];
    snprintf(from, sizeof from, "n%" PRId64, i);
    fprintf(p->file, "    %s [label=\"%s\"];\n", from, ag_node_name(node));
    ag_next next;
    for (int k = 0; ag_next_function(node, k, &next); k++) {
        if (!next.node && !next.leaf) continue;
        int64_t to = number_of(p, next.node, next.leaf);
        if (to < 0) return false;
        put_arrow(p->file, from, to, next.node, next.output_nr);
    }
    return true;
}

static bool draw(picture *p, const ag_variable *root, const ag_node *node)
{
    fprintf(p->file, "digraph {\n    node [shape=box, style=filled, fillcolor=white, fontname=monospace];\n"
                     "    root [label=\"");
    put_shape(p->file, root);
    fprintf(p->file, "\", fillcolor=palegreen];\n");
    bool ok = true;
    if (node || ag__requires_grad(root)) {
        ok = number_of(p, node, node ? NULL : root) == 0;
        if (ok) put_arrow(p->file, "root", 0, node, ag_output_nr(root));
    }
    for (int64_t i = 0; i < p->n && ok; i++) {
        if (p->boxes[i].node)
            ok = put_node(p, i);
        else
            put_leaf(p, i);
    }
    fprintf(p->file, "}\n");
    return ok;
}

bool ag_graph_write_dot_call(const struct ag_graph_write_dot_args *a)
{
    ag_variable *root = a->root;
    if (!root || root == AG_NONE) return ag__fail(AG_EINVAL, "graph_write_dot: root is %s", root ? "None" : "NULL");
    if (!a->file) return ag__fail(AG_EINVAL, "graph_write_dot: the file is NULL");
    picture p = { .file = a->file, .leaf_name = a->leaf_name, .user = a->user };
    if (!ag__view_refresh(ag__thread(), root)) return false;
    bool ok = draw(&p, root, root->grad_fn);
    free(p.boxes);
    free(p.slots);
    return ok && (!ferror(a->file) || ag__fail(AG_EIO, "graph_write_dot: the file does not take what is written"));
}

/* reduce_plan.h - a reduction cut into rows or columns: what folding (reduce.c) and looking for an element
 * (reduce_search.c) have in common. */
#ifndef AG_REDUCE_PLAN_H
#define AG_REDUCE_PLAN_H
#include "ops/cpu/reduce.h"

enum {
    AG_REDUCE_BLOCK = 1024, /* elements gathered into a row */
    AG_REDUCE_TILE = 128,   /* columns folded together */
    AG_REDUCE_SHORT = 32,   /* rows shorter than this are gathered */
    AG_REDUCE_WIDEST = 8    /* bytes of a total */
};

typedef struct ag__reduce_dims {
    int n;
    int64_t size[AG_MAX_DIMS], step[AG_MAX_DIMS]; /* bytes in x */
    int64_t out[AG_MAX_DIMS];                     /* of kept dimensions: totals in the result */
} ag__reduce_dims;

typedef struct ag__reduce_plan {
    const ag__folder *folder;
    size_t item, wide; /* bytes of an element, of a total */
    const char *x;
    ag__reduce_dims kept, gone;
    int64_t n_kept, n_gone;      /* outputs; elements each */
    int64_t columns, column_out; /* the fastest kept dimension, taken out of `kept`: its size and step in the result; 0
                                    columns: rows */
    int64_t tiles, pieces, piece;
    bool far;        /* more elements than a cache holds: rows are asked for ahead of time */
    bool each_row;   /* each output is one row, */
    bool short_rows; /* a short one, and neighbours' totals lie side by side */
    char *out;       /* pieces of n_kept totals */
} ag__reduce_plan;

/* A place among one output's elements. */
typedef struct ag__reduce_spot {
    const char *x, *first; /* there; at the beginning of all */
    int64_t at, index[AG_MAX_DIMS];
} ag__reduce_spot;

const ag__folder *ag__reduce_folder(ag__fold fold, ag_dtype dtype);
/* p->item, p->wide, p->folder and p->out are there; the second cuts few outputs of many elements into pieces, so that
 * several threads have something to do. */
void ag__reduce_make_plan(ag__reduce_plan *p, const ag_tensor *x, uint32_t mask);
void ag__reduce_cut(ag__reduce_plan *p);
/* Elements a task, of n. */
int64_t ag__reduce_grain(int64_t n);
/* Where output number `unit` of the kept dimensions has its first element, and where it goes. */
const char *ag__reduce_place(const ag__reduce_plan *p, int64_t unit, int64_t *out);
ag__reduce_spot ag__reduce_spot_at(const ag__reduce_plan *p, const char *x, int64_t at);
/* The next n elements of up to `end` that lie in one row, at most so many, or are laid in one of at most
 * AG_REDUCE_BLOCK; s moves on. */
const char *ag__reduce_next_row(const ag__reduce_plan *p, ag__reduce_spot *s, int64_t end, int64_t most, char *buffer,
                                int64_t *n);

#endif

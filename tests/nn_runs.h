/* nn_runs.h - what PyTorch's modules did: tests/data/nn_runs.txt, read, and its modules made. tools/record-nn.py writes
 * the file and describes its lines. */
#ifndef AG_TESTS_NN_RUNS_H
#define AG_TESTS_NN_RUNS_H
#include "support.h"

#include <stdio.h>

enum { NN_LINE = 8192 };

/* The recordings of one kind ("print", "drawn", ...), one after the other. */
typedef struct nn_record {
    const char *kind;
    FILE *file;
    char of[NN_LINE];   /* the recording's first line, without its kind */
    char line[NN_LINE]; /* the line that was read last, without its indentation */
    bool has_line;      /* it is still to be given out */
    int n;              /* recordings so far */
} nn_record;
nn_record nn_records(const char *kind);
bool nn_next(nn_record *r); /* the next recording */
bool nn_line(nn_record *r); /* the next line of it */

/* ---- words: "linear in_features=3 bias=0" ---- */

double nn_number(const char *words, const char *key, double otherwise);
void nn_text(const char *words, const char *key, const char *otherwise, char text[32]);

/* What stands at *at ("f64", "2,3" or "-", "index"), which goes on behind it. */
ag_dtype nn_dtype(const char **at);
Shape nn_shape(const char **at, int64_t size[8]);
void nn_word(const char **at, char word[32]);

/* The module that a text describes, a layer or a list of them in brackets; a loss, with these weights of the classes.
 */
Module *nn_tree(const char *text);
Module *nn_loss(const char *words, Variable *weight);

/* x has the elements that stand at *at, each within tolerance * max(1, |element|); goes on behind them. */
void nn_same(Variable *x, const char **at, double tolerance, const char *of);

#endif

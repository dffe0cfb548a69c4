/* nn_runs.c - see nn_runs.h. */
#include "nn_runs.h"

/* ---- lines ---- */

nn_record nn_records(const char *kind)
{
    nn_record r = { .kind = kind, .file = fopen(AG_TEST_DATA "/nn_runs.txt", "r") };
    ck_assert_msg(r.file != NULL, "there is no " AG_TEST_DATA "/nn_runs.txt");
    return r;
}

static bool read_line(nn_record *r)
{
    if (r->has_line) return true;
    if (!fgets(r->line, NN_LINE, r->file)) return false;
    size_t n = strcspn(r->line, "\n");
    ck_assert_msg(r->line[n] == '\n', "a line of nn_runs.txt is too long");
    r->line[n] = 0;
    return r->has_line = true;
}

bool nn_next(nn_record *r)
{
    size_t n = strlen(r->kind);
    for (; read_line(r); r->has_line = false) {
        if (strncmp(r->line, r->kind, n) || r->line[n] != ' ') continue;
        strcpy(r->of, r->line + n + 1);
        r->has_line = false;
        r->n++;
        support_drawn = 1;
        return true;
    }
    fclose(r->file);
    ck_assert_msg(r->n > 0, "nothing of %s is recorded", r->kind);
    return false;
}

bool nn_line(nn_record *r)
{
    if (!read_line(r) || r->line[0] != ' ') return false;
    r->has_line = false;
    memmove(r->line, r->line + 1, strlen(r->line));
    return true;
}

/* ---- words ---- */

static const char *find(const char *words, const char *key)
{
    char text[32];
    snprintf(text, sizeof text, " %s=", key);
    const char *at = strstr(words, text);
    return at ? at + strlen(text) : NULL;
}
double nn_number(const char *words, const char *key, double otherwise)
{
    const char *at = find(words, key);
    return at ? strtod(at, NULL) : otherwise;
}
void nn_text(const char *words, const char *key, const char *otherwise, char text[32])
{
    const char *at = find(words, key);
    snprintf(text, 32, "%.*s", at ? (int)strcspn(at, " ") : 31, at ? at : otherwise);
}
static int64_t size_of(const char *words, const char *key, int64_t otherwise)
{
    long height, width;
    const char *at = find(words, key);
    int n = at ? sscanf(at, "%ld,%ld", &height, &width) : 0;
    return n == 0 ? otherwise : n == 1 ? height : AG_SIZE(height, width);
}

void nn_word(const char **at, char word[32])
{
    int n = (int)strcspn(*at, " ");
    snprintf(word, 32, "%.*s", n, *at);
    *at += n + ((*at)[n] == ' ');
}
ag_dtype nn_dtype(const char **at)
{
    char word[32];
    nn_word(at, word);
    return strcmp(word, "f64") == 0 ? AG_FLOAT64 : AG_FLOAT32;
}
Shape nn_shape(const char **at, int64_t size[8])
{
    char word[32], *next = word;
    int64_t n = 0;
    nn_word(at, word);
    while (*next && *next != '-') {
        size[n++] = strtol(next, &next, 10);
        next += *next == ',';
    }
    return ag_sizes_of(n, size);
}

/* ---- modules ---- */

static Module *layer(const char *words)
{
#define IS(name) \
    (strncmp(words, name, sizeof name - 1) == 0 && (!words[sizeof name - 1] || words[sizeof name - 1] == ' '))
#define INT(key, otherwise)  (int64_t) nn_number(words, #key, otherwise)
#define FLAG(key, otherwise) nn_number(words, #key, otherwise) != 0
#define SIZE(key, otherwise) size_of(words, #key, otherwise)
    char dtype[32];
    nn_text(words, "dtype", "", dtype);
    ag_dtype type = strcmp(dtype, "f64") ? AG_DTYPE_DEFAULT : AG_FLOAT64;
    if (IS("linear"))
        return ag_nn_linear(INT(in_features, 0), INT(out_features, 0), .bias = FLAG(bias, 1), .dtype = type);
    if (IS("conv2d"))
        return ag_nn_conv2d(INT(in_channels, 0), INT(out_channels, 0), SIZE(kernel_size, 0), .stride = SIZE(stride, 1),
                            .padding = SIZE(padding, 0), .dilation = SIZE(dilation, 1), .groups = INT(groups, 1),
                            .bias = FLAG(bias, 1), .dtype = type);
    if (IS("max_pool2d"))
        return ag_nn_max_pool2d(SIZE(kernel_size, 0), SIZE(stride, 0), SIZE(padding, 0), SIZE(dilation, 1),
                                .ceil_mode = FLAG(ceil_mode, 0));
    if (strcmp(words, "dropout") == 0) return ag_nn_dropout();
    if (IS("dropout")) return ag_nn_dropout(nn_number(words, "p", 0.5), .inplace = FLAG(inplace, 0));
    if (IS("dropout2d")) return ag_nn_dropout2d(.p = nn_number(words, "p", 0.5), .inplace = FLAG(inplace, 0));
    if (IS("relu")) return ag_nn_relu(.inplace = FLAG(inplace, 0));
    if (IS("flatten")) return ag_nn_flatten(INT(start_dim, 1), INT(end_dim, -1));
    if (IS("sigmoid")) return ag_nn_sigmoid();
    if (IS("tanh")) return ag_nn_tanh();
    if (IS("identity")) return ag_nn_identity();
    if (IS("softmax")) return ag_nn_softmax(.dim = INT(dim, 0));
    if (IS("log_softmax")) return ag_nn_log_softmax(INT(dim, 0));
    return nn_loss(words, AG_NONE);
}

Module *nn_loss(const char *words, Variable *weight)
{
    char reduction[32];
    nn_text(words, "reduction", "mean", reduction);
    if (IS("cross_entropy_loss"))
        return ag_nn_cross_entropy_loss(weight, INT(ignore_index, -100), reduction,
                                        nn_number(words, "label_smoothing", 0));
    if (IS("nll_loss")) return ag_nn_nll_loss(weight, INT(ignore_index, -100), reduction);
    if (IS("mse_loss")) return ag_nn_mse_loss(.reduction = reduction);
    ck_abort_msg("there is no module %s", words);
}

static Module *read_tree(const char **at)
{
    if (**at != '[') {
        char words[256];
        int n = (int)strcspn(*at, "|]");
        snprintf(words, sizeof words, "%.*s", n, *at);
        *at += n;
        return layer(words);
    }
    Module *list = ag_nn_sequential();
    for (++*at; **at != ']'; *at += **at == '|') OK(ag_nn_append(list, read_tree(at)));
    ++*at;
    return list;
}
Module *nn_tree(const char *text) { return read_tree(&text); }

/* ---- numbers ---- */

void nn_same(Variable *x, const char **at, double tolerance, const char *of)
{
    OK(x);
    for (int64_t i = 0; i < ag_numel(x); i++) {
        char *end;
        bool is_float = ag_dtype_of(x) == AG_FLOAT32;
        double wants = is_float ? (double)strtof(*at, &end) : strtod(*at, &end), is = support_at(x, i);
        ck_assert_msg(end != *at, "%s: too few numbers are recorded", of);
        *at = end;
        ck_assert_msg(is == wants || (isnan(is) && isnan(wants)) ||
                          fabs(is - wants) <= tolerance * fmax(1, fabs(wants)),
                      "%s: element %lld is %.17g, not %.17g", of, (long long)i, is, wants);
    }
}

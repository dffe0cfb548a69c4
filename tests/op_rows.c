/* op_rows.c - see op_rows.h. */
#include "op_rows.h"

#include <argent/call.h>

#include <ctype.h>
#include <stdio.h>

/* ---- reading ---- */

static _Noreturn void wrong(const char *line)
{
    fprintf(stderr, "op_answers.txt: cannot read \"%.200s\"; write it again by tools/record-op-rows.py\n", line);
    exit(EXIT_FAILURE);
}

static void *must(void *p)
{
    if (!p) wrong("(out of memory)");
    return p;
}

static ag_dtype read_dtype(const char **at)
{
    static const char *const names[] = { "f32", "f64", "i64", "i32", "u8", "bool" };
    for (int d = 0; d < AG_N_DTYPES; d++)
        if (!strncmp(*at, names[d], strlen(names[d]))) {
            *at += strlen(names[d]);
            return (ag_dtype)d;
        }
    wrong(*at);
    return AG_FLOAT32;
}

/* "2,3": how many numbers there are */
static int read_ints(const char **at, int64_t *out)
{
    int n = 0;
    while (isdigit((unsigned char)**at) || **at == '-') {
        char *end;
        out[n++] = strtoll(*at, &end, 10);
        *at = *end == ',' ? end + 1 : end;
        if (n == 8) break;
    }
    return n;
}

/* "f64[2,3]/1,2@1~-2:2" */
static op_tensor read_tensor(const char **at)
{
    op_tensor x = { .dtype = read_dtype(at), .kind = 'u' };
    if (*(*at)++ != '[') wrong(*at);
    x.ndim = read_ints(at, x.size);
    if (*(*at)++ != ']') wrong(*at);
    int64_t step = 1;
    for (int d = x.ndim; d--;) {
        x.stride[d] = step;
        step *= x.size[d] > 1 ? x.size[d] : 1;
    }
    if (**at == '/') {
        ++*at;
        x.any_strides = **at == '*';
        if (x.any_strides)
            ++*at;
        else if (read_ints(at, x.stride) != x.ndim)
            wrong(*at);
    }
    char *end;
    if (**at == '@') x.offset = strtoll(*at + 1, &end, 10), *at = end;
    if (**at == 's') x.kind = *(*at)++;
    if (**at == '~' || **at == 'k') {
        if (**at == 'k') x.kind = 'k';
        x.low = strtod(*at + 1, &end);
        if (*end != ':') wrong(*at);
        x.high = strtod(end + 1, &end);
        *at = end;
    }
    x.constant = **at == '!';
    if (x.constant) ++*at;
    return x;
}

/* One value of a call: "f64[2]~-2:2", "dim=i1", "(1,2)", "{f64[2];f64[3]}", "'mean", "N", "b1", "df64" */
static void read_value(const char **at, op_case *c)
{
    if (c->n_values == OP_VALUES) wrong(*at);
    op_value *v = &c->value[c->n_values++];
    size_t name = strcspn(*at, "= ");
    if ((*at)[name] == '=' && name < sizeof v->name) {
        memcpy(v->name, *at, name);
        *at += name + 1;
    }
    char *end;
    v->first = c->n_tensors;
    switch (**at) {
    case 'N':
        v->kind = AG_VALUE_NONE, ++*at;
        return;
    case '\'':
        v->kind = AG_VALUE_STR;
        for (++*at; **at && **at != ' '; ++*at)
            if (strlen(v->text) + 1 < sizeof v->text) v->text[strlen(v->text)] = **at;
        return;
    case '(':
        ++*at;
        v->kind = AG_VALUE_INTS, v->n_ints = read_ints(at, v->ints);
        if (*(*at)++ != ')') wrong(*at);
        return;
    case '{':
        v->kind = AG_VALUE_TENSORS;
        while (*(*at)++ != '}') {
            if (c->n_tensors == OP_TENSORS) wrong(*at);
            c->tensor[c->n_tensors++] = read_tensor(at);
            v->n_tensors++;
        }
        return;
    case 'd':
        ++*at, v->kind = AG_VALUE_DTYPE, v->i = read_dtype(at);
        return;
    }
    if (strchr("fibu", **at) && strcspn(*at, "[ ") < strcspn(*at, " ")) {
        if (c->n_tensors == OP_TENSORS) wrong(*at);
        v->kind = AG_VALUE_TENSOR, v->n_tensors = 1;
        c->tensor[c->n_tensors++] = read_tensor(at);
        return;
    }
    switch (*(*at)++) {
    case 'i':
        v->kind = AG_VALUE_INT, v->i = strtoll(*at, &end, 10);
        break;
    case 'f':
        v->kind = AG_VALUE_FLOAT, v->f = strtod(*at, &end);
        break;
    case 'b':
        v->kind = AG_VALUE_BOOL, v->i = strtoll(*at, &end, 10);
        break;
    default:
        wrong(*at - 1);
    }
    *at = end;
}

/* The elements after ": ", or after a ditto mark those of `before`. */
static void read_elements(const char *at, int64_t *n, const double **element, const double *before, int64_t n_before)
{
    at = strchr(at, ':');
    if (!at) wrong("an element list");
    if (at[1] && at[2] == '"') {
        *n = n_before;
        *element = before;
        return;
    }
    int64_t room = 1;
    for (const char *c = at; *c; c++) room += *c == ' ';
    double *out = must(malloc((size_t)room * sizeof *out));
    char *end = NULL;
    for (*n = 0, at++;; at = end) {
        double value = strtod(at, &end);
        if (end == at) break;
        out[(*n)++] = value;
    }
    *element = out;
}

static void read_result(const char *at, op_case *c, op_result *latest)
{
    if (c->n_results == OP_RESULTS) wrong(at);
    op_result *r = &c->result[c->n_results], *before = &latest[c->n_results++];
    const char *line = at;
    at += 2;
    r->tensor = read_tensor(&at);
    char memory[8], mark[4] = "";
    if (sscanf(at, " %7s %39s %3s", memory, r->node, mark) < 2) wrong(line);
    r->memory = memory[0];
    r->owner = atoi(memory + 1);
    r->any = mark[0] == '?';
    read_elements(strstr(at, " :") ? strstr(at, " :") : "", &r->n, &r->element, before->element, before->n);
    *before = *r;
}

static void read_gradient(const char *at, op_case *c, op_gradient *latest)
{
    int i = atoi(at + 1);
    if (i >= OP_TENSORS) wrong(at);
    op_gradient *g = &c->gradient[i];
    c->n_gradients = i + 1;
    if (strstr(at, "none")) {
        g->none = true;
        return;
    }
    read_elements(at, &g->n, &g->element, latest[i].element, latest[i].n);
    latest[i] = *g;
}

static void read_refusal(const char *at, op_case *c)
{
    c->refused = true;
    if (at[1]) c->sentence = must(strdup(at + 2));
}

static op_rows cases;
static int *group_start, n_groups;

static bool is_wanted(const char *op)
{
    const char *only = getenv("AG_TEST_OP");
    return !only || strcmp(op, only) == 0;
}

static void read_call(const char *line)
{
    if ((cases.n & (cases.n - 1)) == 0) /* room for twice as many: a memory checker copies each time */
        cases.at = must(realloc(cases.at, (size_t)(cases.n ? 2 * cases.n : 1) * sizeof *cases.at));
    op_case *c = &cases.at[cases.n++];
    memset(c, 0, sizeof *c);
    c->text = must(strdup(line));
    const char *at = line;
    if (*at == '~') c->special = true, at++;
    if (*at == '^') c->rough = true, at++;
    size_t n = strcspn(at, " ");
    if (n >= sizeof c->op) wrong(line);
    memcpy(c->op, at, n);
    for (at += n; *at == ' ';) {
        at++;
        read_value(&at, c);
    }
    if (*at) wrong(at);
    if (!is_wanted(c->op) || (cases.n > 1 && !strcmp(c[-1].op, c->op))) return;
    group_start = must(realloc(group_start, (size_t)(n_groups + 1) * sizeof *group_start));
    group_start[n_groups++] = cases.n - 1;
}

static void read_covered(const char *line)
{
    cases.covered = must(realloc(cases.covered, (size_t)(cases.n_covered + 1) * sizeof *cases.covered));
    op_covered *covered = &cases.covered[cases.n_covered++];
    if (sscanf(line, "covered %39s %39[^:]", covered->op, covered->by) != 2) wrong(line);
}

const op_rows *op_rows_all(void)
{
    if (cases.n) return &cases;
    FILE *file = fopen(AG_TEST_DATA "/op_answers.txt", "r");
    if (!file) wrong("(there is no file)");
    char *line = NULL;
    size_t room = 0;
    /* the last elements written out, for ditto marks */
    op_result results[OP_RESULTS] = { 0 };
    op_gradient gradients[OP_TENSORS] = { 0 };
    for (ssize_t n; (n = getline(&line, &room, file)) > 0;) {
        if (line[n - 1] == '\n') line[n - 1] = 0;
        op_case *c = cases.n ? &cases.at[cases.n - 1] : NULL;
        if (line[0] == '#') continue;
        if (!strncmp(line, "covered ", 8))
            read_covered(line);
        else if (line[0] == '=')
            read_result(line, c, results);
        else if (line[0] == '!')
            read_refusal(line, c);
        else if (line[0] == 'g' && isdigit((unsigned char)line[1]))
            read_gradient(line, c, gradients);
        else
            read_call(line);
    }
    free(line);
    fclose(file);
    return &cases;
}

int op_rows_groups(void)
{
    op_rows_all();
    return n_groups;
}

const op_case *op_rows_group(int i, int *n)
{
    const op_case *first = &cases.at[group_start[i]];
    *n = 0;
    while (first + *n < cases.at + cases.n && !strcmp(first[*n].op, first->op)) ++*n;
    return first;
}

/* ---- elements ---- */

static double draw(uint32_t *state, double low, double high)
{
    *state = *state * 1664525u + 1013904223u;
    return low + (high - low) * (*state >> 20) / 4096;
}

/* Element i in row-major order of the seed-th Variable. */
static double element(const op_tensor *x, uint32_t *state, int seed, int64_t i)
{
    static const double special[] = {
        NAN, INFINITY, -INFINITY, 0, -0.0, 1, -1, 0.5, -0.5, 2.5, -2.5, 3, 6, -3, 100, -100,
    };
    bool floating = ag_dtype_is_floating_point(x->dtype);
    if (x->dtype == AG_BOOL) return fmod(floor(draw(state, 0, 4)), 2);
    if (x->kind == 's' && floating) return special[(seed - 1 + i) % (int64_t)(sizeof special / sizeof *special)];
    double value = draw(state, x->low, x->high);
    return floating && x->kind == 'u' ? value : floor(value);
}

static void store(void *memory, int64_t place, ag_dtype dtype, double value)
{
    if (dtype == AG_FLOAT32) ((float *)memory)[place] = (float)value;
    if (dtype == AG_FLOAT64) ((double *)memory)[place] = value;
    if (dtype == AG_INT64) ((int64_t *)memory)[place] = (int64_t)value;
    if (dtype == AG_INT32) ((int32_t *)memory)[place] = (int32_t)value;
    if (dtype == AG_UINT8 || dtype == AG_BOOL) ((uint8_t *)memory)[place] = (uint8_t)(int64_t)value;
}

bool op_tensor_repeats(const op_tensor *x)
{
    for (int d = 0; d < x->ndim; d++)
        if (!x->stride[d] && x->size[d] > 1) return true;
    return false;
}

static void give_back(void *data, void *memory)
{
    (void)data;
    free(memory);
}

/* The Variable lies in memory of its own, exactly as large as it needs, so that a memory checker sees a step too
 * far. */
static Variable *make(const op_tensor *x, int seed, ag_device device)
{
    int64_t n = 1, reach = x->offset + 1;
    for (int d = 0; d < x->ndim; d++) n *= x->size[d], reach += (x->size[d] - 1) * x->stride[d];
    if (!n) reach = 0;
    size_t itemsize = ag_dtype_size(x->dtype);
    char *memory = calloc(1, (size_t)reach * itemsize + 1);
    if (!memory) return NULL;
    uint32_t state = (uint32_t)seed * 2654435761u;
    for (int64_t i = 0; i < n; i++) {
        int64_t place = x->offset, rest = i;
        for (int d = x->ndim; d--; rest /= x->size[d]) place += rest % x->size[d] * x->stride[d];
        store(memory, place, x->dtype, element(x, &state, seed, i));
    }
    Shape size = ag_sizes_of(x->ndim, x->size), stride = ag_sizes_of(x->ndim, x->stride);
    if (device.type == AG_DEVICE_CPU) {
        char *first = n ? memory + (size_t)x->offset * itemsize : memory;
        return ag_from_blob(first, size, stride, x->dtype, give_back, memory);
    }
    Variable *all = ag_to(ag_tensor_from(memory, AG_SHAPE(reach), x->dtype), device);
    free(memory);
    return ag_detach(ag_as_strided(all, size, stride, .storage_offset = n ? x->offset : 0));
}

Variable *op_call_weights(Variable *result, int index)
{
    Variable *weights = ag_empty(ag_shape(result), .dtype = ag_dtype_of(result));
    uint32_t state = (uint32_t)(77 + index) * 2654435761u;
    void *memory = ag_numel(result) ? ag_data_mutable(weights) : NULL;
    for (int64_t i = 0; memory && i < ag_numel(result); i++) store(memory, i, ag_dtype_of(result), draw(&state, -1, 1));
    return ag_to(weights, ag_device_of(result));
}

/* ---- calls ---- */

static ag_value as_value(op_call *call, const op_value *v)
{
    ag_value out = { .kind = v->kind };
    if (v->kind == AG_VALUE_TENSOR) out.tensor = call->tensor[v->first];
    if (v->kind == AG_VALUE_TENSORS) out.tensors = ag_list_from(v->n_tensors, &call->tensor[v->first]);
    if (v->kind == AG_VALUE_INT) out.i = v->i;
    if (v->kind == AG_VALUE_FLOAT) out.f = v->f;
    if (v->kind == AG_VALUE_BOOL) out.b = v->i != 0;
    if (v->kind == AG_VALUE_STR) out.s = v->text;
    if (v->kind == AG_VALUE_INTS) out.ints = ag_sizes_of(v->n_ints, v->ints);
    if (v->kind == AG_VALUE_DTYPE) out.dtype = (ag_dtype)v->i;
    return out;
}

static void fill_call(op_call *call, const op_case *c)
{
    bool inplace = c->op[strlen(c->op) - 1] == '_' && call->n_tensors;
    if (inplace && ag_requires_grad(call->tensor[0])) call->tensor[0] = ag_clone(call->tensor[0]);
    for (int i = 0; i < c->n_values; i++) {
        const op_value *v = &c->value[i];
        if (!v->name[0])
            call->positional[call->n_positional++] = as_value(call, v);
        else
            call->named[call->n_named++] = (ag_named_value){ v->name, as_value(call, v) };
    }
}

static bool try_on(op_call *call, const op_case *c, ag_device device, bool requires_grad)
{
    *call = (op_call){ .of = c, .n_tensors = c->n_tensors };
    for (int i = 0; i < c->n_tensors; i++) {
        Variable *x = call->leaf[i] = call->tensor[i] = make(&c->tensor[i], i + 1, device);
        bool wants = requires_grad && c->tensor[i].dtype == AG_FLOAT64 && !c->tensor[i].constant;
        if (!x || (wants && !ag_requires_grad_(x))) return false;
    }
    fill_call(call, c);
    return true;
}

bool op_call_try(op_call *call, const op_case *c, bool requires_grad) { return try_on(call, c, AG_CPU, requires_grad); }
void op_call_make(op_call *call, const op_case *c, bool requires_grad) { OK(op_call_try(call, c, requires_grad)); }
void op_call_make_on(op_call *call, const op_case *c, ag_device device, bool requires_grad)
{
    OK(try_on(call, c, device, requires_grad));
}

void op_call_with(op_call *call, const op_case *c, Variable *const *inputs)
{
    const ag_device device = ag_device_of(inputs[0]);
    *call = (op_call){ .of = c, .n_tensors = c->n_tensors };
    for (int i = 0; i < c->n_tensors; i++) {
        const op_tensor *x = &c->tensor[i];
        bool given = x->dtype == AG_FLOAT64 && !x->constant;
        call->leaf[i] = call->tensor[i] = given ? *inputs++ : make(x, i + 1, device);
    }
    fill_call(call, c);
}

int op_call_by_name(const op_call *call, const char *suffix, Variable **out)
{
    char name[48];
    snprintf(name, sizeof name, "%s%s", call->of->op, suffix);
    ag_manual_seed(0);
    return ag_call(name, call->n_positional, call->positional, call->n_named, call->named, out, OP_RESULTS);
}

const ag_value *op_call_value(const op_call *call, int position, const char *name)
{
    if (position < call->n_positional) return &call->positional[position];
    for (int i = 0; i < call->n_named; i++)
        if (!strcmp(call->named[i].name, name)) return &call->named[i].value;
    return NULL;
}

/* values.c - see values.h. */
#include "values.h"

#include "tensor/tensor.h"

#include <stdlib.h>
#include <string.h>

ag_device device_of_cases = { AG_DEVICE_CPU, 0 };

bool dtype_of_name(const char *name, ag_dtype *dtype)
{
    for (int d = 0; d < AG_N_DTYPES; d++) {
        if (!name || strcmp(name, ag_dtype_name((ag_dtype)d))) continue;
        *dtype = (ag_dtype)d;
        return true;
    }
    return false;
}

int shape_of(const json *list, int64_t *size, complaint *why)
{
    if (!json_is(list, JSON_ARRAY) || list->n > AG_MAX_DIMS)
        return complain(why, "a shape is not a list of up to %d numbers", AG_MAX_DIMS), -1;
    int n = 0;
    for (const json *m = list->first; m; m = m->next)
        if (!json_whole(m, &size[n++])) return complain(why, "a shape has something else than whole numbers"), -1;
    return n;
}

ag_variable *stored_tensor(const tensor_source *from, const char *id, complaint *why)
{
    char name[256];
    if (!id) return complain(why, "a tensor has no name"), NULL;
    snprintf(name, sizeof name, "%s/%s", from->prefix, id);
    ag_variable *x = ag_state_dict_get(from->tensors, name);
    if (!x) complain(why, "the file has no tensor '%s'", name);
    return x;
}

/* ---- Variables ---- */

static void copy_element(char *to, const char *at, ag_dtype dtype) { memcpy(to, at, ag_dtype_size(dtype)); }

/* A Variable with the numbers of `from`, laid out by these strides from this offset on. */
static ag_variable *lay_out(const ag_variable *from, int ndim, const int64_t *size, const int64_t *stride,
                            int64_t offset, complaint *why)
{
    enum { MOST = 1 << 26 };
    int64_t last = offset;
    for (int d = 0; d < ndim; d++) {
        if (stride[d] < 0 || stride[d] > MOST || size[d] > MOST) offset = -1;
        if (offset >= 0 && size[d] > 1) last += (size[d] - 1) * stride[d];
    }
    if (offset < 0 || offset > MOST || last > MOST) return complain(why, "strides or an offset are out of range"), NULL;
    const ag_dtype dtype = ag_dtype_of(from);
    const char *at = ag_data(from);
    ag_variable *all = ag_zeros(AG_SHAPE(last + 1), .dtype = dtype);
    char *data = ag_data_mutable(all);
    int64_t index[AG_MAX_DIMS] = { 0 };
    for (int64_t i = 0, place = offset; data && i < ag_numel(from); i++) {
        copy_element(data + place * (int64_t)ag_dtype_size(dtype), at + i * (int64_t)ag_dtype_size(dtype), dtype);
        for (int d = ndim - 1; d >= 0; d--) {
            place += stride[d];
            if (++index[d] < size[d]) break;
            place -= stride[d] * size[d];
            index[d] = 0;
        }
    }
    all = ag_to(all, device_of_cases);
    return ag_detach(ag_as_strided(all, ag_sizes_of(ndim, size), ag_sizes_of(ndim, stride), offset));
}

static double number_in_case(const json *x)
{
    const char *text = json_text(x);
    return text ? strtod(text, NULL) : json_is(x, JSON_BOOL) ? x->is_true : x ? x->number : 0;
}

/* A Variable whose numbers stand in the case as "data", or are all 1. */
static ag_variable *made_tensor(const json *node, int ndim, const int64_t *size, ag_dtype dtype, complaint *why)
{
    enum { MOST = 1 << 26 };
    if (ag__numel_of(ndim, size) < 0 || ag__numel_of(ndim, size) > MOST)
        return complain(why, "a shape is out of range"), NULL;
    ag_variable *x = ag_ones(ag_sizes_of(ndim, size), .dtype = dtype);
    const json *data = json_get(node, "data");
    if (!data || !x) return x;
    if (data->n != ag_numel(x)) return complain(why, "a shape and its numbers do not agree"), NULL;
    char *at = ag_data_mutable(x);
    for (const json *m = data->first; m && at; m = m->next, at += ag_dtype_size(dtype)) {
        if (m->is_whole)
            ag__store_int64(at, dtype, m->whole);
        else
            ag__store(at, dtype, number_in_case(m));
    }
    return x;
}

static ag_variable *plain_tensor(const tensor_source *from, const json *node, complaint *why)
{
    int64_t size[AG_MAX_DIMS];
    ag_dtype dtype;
    const char *name = json_text(json_get(node, "dtype"));
    if (!dtype_of_name(name, &dtype))
        return complain(why, "there are no Variables of dtype %s", name ? name : "?"), NULL;
    int ndim = shape_of(json_get(node, "shape"), size, why);
    if (ndim < 0) return NULL;
    if (!from->tensors) return made_tensor(node, ndim, size, dtype, why);
    ag_variable *x = stored_tensor(from, json_text(json_get(node, "id")), why);
    if (!x) return NULL;
    ag_shape_list stored = ag_shape(x);
    if (ag_dtype_of(x) != dtype || stored.n != ndim || memcmp(stored.at, size, sizeof *size * (size_t)ndim))
        return complain(why, "the shape or dtype of '%s' is not that of its numbers", json_text(json_get(node, "id"))),
               NULL;
    return x;
}

static ag_variable *new_tensor(const tensor_source *from, const json *node, complaint *why)
{
    int64_t stride[AG_MAX_DIMS], offset = 0;
    ag_variable *x = plain_tensor(from, node, why);
    if (!x) return NULL;
    if (from->in_float64 && ag_dtype_of(x) == AG_FLOAT32) x = ag_to(x, .dtype = AG_FLOAT64);
    const json *strides = json_get(node, "strides");
    if (strides) {
        int n = shape_of(strides, stride, why);
        ag_shape_list size = ag_shape(x);
        if (n < 0 || n != size.n || !json_whole(json_get(node, "offset"), &offset))
            return complain(why, "strides and offset are not those of a shape"), NULL;
        x = lay_out(x, n, size.at, stride, offset, why);
    } else {
        x = ag_clone(ag_to(x, device_of_cases), .memory_format = AG_CONTIGUOUS_FORMAT);
    }
    const json *wants_grad = json_get(node, "requires_grad");
    if (x && wants_grad && wants_grad->is_true) ag_requires_grad_(x);
    if (ag_error()) complain(why, "%s", ag_error());
    return x;
}

ag_variable *find_input(const call_values *v, const char *id)
{
    for (int i = 0; id && i < v->n_inputs; i++)
        if (v->input[i].id && strcmp(v->input[i].id, id) == 0) return v->input[i].x;
    return NULL;
}

static ag_variable *tensor(call_values *v, const tensor_source *from, const json *node, complaint *why)
{
    const char *id = json_text(json_get(node, "id"));
    ag_variable *x = find_input(v, id);
    if (x) return x;
    if (v->n_inputs == MAX_TENSORS) return complain(why, "there are too many tensors"), NULL;
    x = new_tensor(from, node, why);
    if (x) v->input[v->n_inputs++] = (call_input){ id, x };
    return x;
}

/* ---- other values ---- */

/* Memory that lives as long as v; its first word links it to the others. */
static void *list_memory(call_values *v, size_t bytes, complaint *why)
{
    void **block = malloc(sizeof *block * 2 + bytes);
    if (!block) return complain(why, "out of memory"), NULL;
    *block = v->lists;
    v->lists = block;
    return block + 2;
}

static bool list_of_tensors(call_values *v, const tensor_source *from, const json *list, ag_value *out, complaint *why)
{
    ag_variable **at = list_memory(v, (size_t)list->n * sizeof *at, why);
    int64_t n = 0;
    for (const json *m = list->first; at && m; m = m->next)
        if (!(at[n++] = tensor(v, from, m, why))) return false;
    *out = ag_of(ag_list_from(n, at));
    return at != NULL;
}
static bool list_of_ints(call_values *v, const json *list, ag_value *out, complaint *why)
{
    int64_t *at = list_memory(v, (size_t)list->n * sizeof *at, why), n = 0;
    for (const json *m = list->first; at && m; m = m->next)
        if (!json_whole(json_get(m, "v"), &at[n++]))
            return complain(why, "a list has values that ag_call has no form for");
    *out = ag_of(ag_sizes_of(n, at));
    return at != NULL;
}

static bool is_tensor(const json *node)
{
    const char *type = json_text(json_get(node, "t"));
    return type && strcmp(type, "tensor") == 0;
}

static bool float_of(const json *node, ag_value *out)
{
    const char *hex = json_text(json_get(node, "hex"));
    const json *v = json_get(node, "v");
    if (!hex && !v) return false;
    *out = ag_of(hex ? strtod(hex, NULL) : number_in_case(v));
    return true;
}
/* torch.contiguous_format, cpu */
static bool other_of(const char *text, ag_value *out)
{
    if (!text) return false;
    if (!strncmp(text, "torch.", 6)) text += 6;
    if (!strcmp(text, "preserve_format")) return *out = ag_of((int)AG_PRESERVE_FORMAT), true;
    if (!strcmp(text, "contiguous_format")) return *out = ag_of((int)AG_CONTIGUOUS_FORMAT), true;
    if (!strcmp(text, "channels_last")) return *out = ag_of((int)AG_CHANNELS_LAST), true;
    return *out = ag_of(text), strncmp(text, "cpu", 3) == 0;
}
static bool dtype_value(const tensor_source *from, const char *name, ag_value *out)
{
    ag_dtype dtype;
    if (!dtype_of_name(name, &dtype)) return false;
    *out = ag_of_dtype(from->in_float64 && dtype == AG_FLOAT32 ? AG_FLOAT64 : dtype);
    return true;
}

static bool value_of(call_values *v, const tensor_source *from, const json *node, ag_value *out, complaint *why)
{
    const char *type = json_text(json_get(node, "t"));
    const json *content = json_get(node, "v");
    const char *text = json_text(content);
    if (!type) return complain(why, "an argument has no type");
    if (is_tensor(node)) {
        ag_variable *x = tensor(v, from, node, why);
        *out = ag_of(x);
        return x != NULL;
    }
    if (!strcmp(type, "list") || !strcmp(type, "tuple")) {
        if (!json_is(content, JSON_ARRAY)) return complain(why, "a list has no members");
        return is_tensor(content->first) ? list_of_tensors(v, from, content, out, why)
                                         : list_of_ints(v, content, out, why);
    }
    bool ok = false;
    int64_t whole;
    if (!strcmp(type, "none")) ok = true, *out = ag_of_none();
    if (!strcmp(type, "int") && json_whole(content, &whole)) ok = true, *out = ag_of(whole);
    if (!strcmp(type, "bool") && json_is(content, JSON_BOOL)) ok = true, *out = ag_of(content->is_true);
    if (!strcmp(type, "str") && text) ok = true, *out = ag_of(text);
    if (!strcmp(type, "float")) ok = float_of(node, out);
    if (!strcmp(type, "dtype")) ok = dtype_value(from, text, out);
    if (!strcmp(type, "other")) ok = other_of(text, out);
    return ok || complain(why, "ag_call has no form for an argument of type %s%s%s", type, text ? ": " : "",
                          text ? text : "");
}

bool make_call(call_values *v, const tensor_source *from, const json *call, const json *kwargs, complaint *why)
{
    v->n = v->n_named = v->n_inputs = 0;
    v->lists = NULL;
    if (!json_is(call, JSON_ARRAY) || !json_is(kwargs, JSON_OBJECT)) return complain(why, "it has no arguments");
    if (call->n > MAX_VALUES || kwargs->n > MAX_VALUES) return complain(why, "there are too many arguments");
    for (const json *m = call->first; m; m = m->next)
        if (!value_of(v, from, m, &v->positional[v->n++], why)) return false;
    for (const json *m = kwargs->first; m; m = m->next) {
        v->named[v->n_named].name = m->name;
        if (!value_of(v, from, m, &v->named[v->n_named++].value, why)) return false;
    }
    return true;
}

void free_call(call_values *v)
{
    for (void **block = v->lists, **next; block; block = next) {
        next = *block;
        free(block);
    }
    v->lists = NULL;
}

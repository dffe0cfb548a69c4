/* optim_device.c - the parameters on devices: stepped all at once, in one launch for each device and type
 * (tensor/step_table.h). Nothing waits for the device.
 *
 * The kernels go through memory, so a parameter, its gradient and its states must lie alike and without gaps, as they
 * do unless somebody changed that; what does not has a stand-in for the step, and is written back.
 */
#include "nn/module_parts.h"
#include "optim/optim_internal.h"
#include "tensor/allocator.h"
#include "tensor/device_table.h"
#include "tensor/fail.h"

#include <stdlib.h>
#include <string.h>

enum { PARAM, GRAD, STATE, OPERANDS = STATE + 3 };

/* A parameter that is stepped. */
typedef struct item {
    const ag_variable *param;
    ag__step_row row;
    ag_variable *operand[OPERANDS], *stand_in[OPERANDS]; /* NULL: there is none */
    bool taken;
} item;

static bool is_on_device(const ag_variable *x) { return ag__device(x).type != AG_DEVICE_CPU; }

/* ---- numbers in device memory ---- */

static bool write_lr(const ag_optimizer *o, const ag_variable *numbers)
{
    ag_tensor first = numbers->tensor;
    first.ndim = 0;
    first.numel = 1;
    return ag__fill_tensor(&first, o->option[0]);
}
bool ag__optim_lr_changed(const ag_optimizer *o)
{
    for (int i = 0; i < o->n_numbers; i++)
        if (o->numbers[i] && !write_lr(o, o->numbers[i])) return false;
    return true;
}

/* The learning rate and a word for the kernels, on that device; NULL with an error. */
static double *numbers_on(Thread *t, ag_optimizer *o, ag_device device)
{
    if (device.index >= o->n_numbers) {
        const size_t bytes = (size_t)(device.index + 1) * sizeof *o->numbers;
        ag_variable **more = realloc(o->numbers, bytes);
        if (!more) return ag__fail_memory("optim_step", bytes);
        memset(more + o->n_numbers, 0, (size_t)(device.index + 1 - o->n_numbers) * sizeof *more);
        o->numbers = more;
        o->n_numbers = device.index + 1;
    }
    ag_variable **at = &o->numbers[device.index];
    if (!*at) {
        ag_variable *x = ag__new(t, 1, (const int64_t[]){ 2 }, AG_FLOAT64, device);
        if (!x || !ag__fill_tensor(&x->tensor, 0) || !write_lr(o, x)) return NULL;
        *at = ag_retain(x);
    }
    return (double *)(void *)(*at)->tensor.data;
}

/* ---- the table ---- */

static bool lie_alike(const ag_tensor *a, const ag_tensor *b)
{
    for (int d = 0; d < a->ndim; d++)
        if (a->size[d] > 1 && a->stride[d] != b->stride[d]) return false;
    return true;
}

/* A copy of x that lies as `like`, or, where that is NULL, without gaps. */
static ag_variable *stand_in_for(Thread *t, const ag_tensor *x, const ag_tensor *like, bool with_numbers)
{
    int64_t stride[AG_MAX_DIMS];
    if (like)
        memcpy(stride, like->stride, sizeof stride);
    else
        ag__result_strides(x->ndim, x->size, 1, &x, stride);
    ag_variable *y = ag__new_strided(t, x->ndim, x->size, stride, (ag_dtype)x->dtype, ag__tensor_device(x));
    return y && (!with_numbers || ag__copy_tensor(&y->tensor, x)) ? y : NULL;
}

/* Operand k of the item lies as operand 0 afterwards, which lies without gaps. */
static char *laid_out(Thread *t, item *it, int k)
{
    if (!it->operand[k]) return NULL;
    const ag_tensor *x = &it->operand[k]->tensor, *like = NULL;
    bool good = k == PARAM && ag__is_dense(x->ndim, x->size, x->stride);
    if (k != PARAM) {
        like = it->stand_in[PARAM] ? &it->stand_in[PARAM]->tensor : &it->param->tensor;
        good = lie_alike(x, like);
    }
    if (good) return x->data;
    it->stand_in[k] = stand_in_for(t, x, like, k < STATE || !it->row.first);
    return it->stand_in[k] ? it->stand_in[k]->tensor.data : NULL;
}

static bool describe(Thread *t, ag_optimizer *o, int64_t i, item *it)
{
    const ag_optim_kind *kind = o->kind;
    ag_variable *p = o->param[i], **state = ag__optim_state(o, i);
    int n = STATE;
    *it = (item){ .param = p, .row = { .numel = p->tensor.numel, .first = o->fresh[i] } };
    it->operand[PARAM] = p;
    it->operand[GRAD] = p->grad;
    for (int k = 0; k < kind->n_states; k++) {
        if (!kind->needs(o->option, k)) continue;
        if (kind->is_count[k])
            it->row.count = (float *)(void *)state[k]->tensor.data;
        else
            it->operand[n++] = state[k];
        state[k]->tensor.storage->version++;
    }
    char *at[OPERANDS];
    for (int k = 0; k < OPERANDS; k++) {
        at[k] = laid_out(t, it, k);
        if (!at[k] && it->operand[k] && it->row.numel > 0) return false;
    }
    it->row.param = at[PARAM];
    it->row.grad = at[GRAD];
    memcpy(it->row.state, &at[STATE], sizeof it->row.state);
    return true;
}

/* Back from the stand-ins. */
static bool write_back(const item *it)
{
    for (int k = 0; k < OPERANDS; k++)
        if (k != GRAD && it->stand_in[k] && !ag__copy_tensor(&it->operand[k]->tensor, &it->stand_in[k]->tensor))
            return false;
    it->param->tensor.storage->version++;
    return true;
}

/* The items of one device and type after another, in one launch each; `row` has room for all. */
static bool launch(const char *function, Thread *t, ag_optimizer *o, ag__step_table *table, item *items, int64_t n,
                   ag__step_row *row)
{
    table->row = row;
    for (int64_t i = 0; i < n; i++) {
        if (items[i].taken) continue;
        const ag_tensor *x = &items[i].param->tensor;
        const ag_device device = ag__tensor_device(x);
        const ag_device_functions *functions = ag__device_functions(device);
        if (!functions || (table->kind != AG_STEP_CLEAR && !(table->numbers = numbers_on(t, o, device)))) return false;
        table->is_double = x->dtype == AG_FLOAT64;
        table->n = 0;
        for (int64_t j = i; j < n; j++) {
            const ag_tensor *y = &items[j].param->tensor;
            if (items[j].taken || y->dtype != x->dtype || ag__tensor_device(y).index != device.index) continue;
            items[j].taken = true;
            row[table->n++] = items[j].row;
        }
        if (!functions->step(function, device, table)) return false;
    }
    return true;
}

/* ---- a step ---- */

static int64_t n_on_devices(const ag_optimizer *o)
{
    int64_t n = 0;
    for (int64_t i = 0; i < o->n; i++) n += o->param[i]->grad && is_on_device(o->param[i]);
    return n;
}

bool ag__optim_step_on_devices(Thread *t, ag_optimizer *o)
{
    static const char function[] = "optim_step";
    const int64_t room = n_on_devices(o);
    if (room == 0) return true;
    item *items = ag__scratch((size_t)room * (sizeof *items + sizeof(ag__step_row)));
    if (!items) return false;
    int64_t n = 0;
    bool ok = true;
    for (int64_t i = 0; i < o->n && ok; i++)
        if (o->param[i]->grad && is_on_device(o->param[i])) ok = describe(t, o, i, &items[n++]);
    for (int64_t i = 0; i < n && ok; i++) ok = numbers_on(t, o, ag__device(items[i].param)) != NULL;
    ag__step_table table = { .n = 0 };
    o->kind->describe(o->option, &table);
    ok = ok && launch(function, t, o, &table, items, n, (ag__step_row *)(void *)(items + room));
    for (int64_t i = 0; i < n && ok; i++) ok = write_back(&items[i]);
    ag__scratch_free(items);
    return ok;
}

/* ---- gradients to zero ---- */

bool ag__optim_clears_at_once(const ag_variable *p)
{
    const ag_variable *g = p->grad;
    if (!g || !is_on_device(g) || g->grad_fn || g->requires_grad || g->base || g->inference) return false;
    return ag__is_floating((ag_dtype)g->tensor.dtype) && ag__is_dense(g->tensor.ndim, g->tensor.size, g->tensor.stride);
}

bool ag__optim_clear_on_devices(Thread *t, ag_optimizer *o)
{
    const int64_t room = n_on_devices(o);
    if (room == 0) return true;
    item *items = ag__scratch((size_t)room * (sizeof *items + sizeof(ag__step_row)));
    if (!items) return false;
    int64_t n = 0;
    for (int64_t i = 0; i < o->n; i++) {
        const ag_variable *p = o->param[i];
        if (!is_on_device(p) || !ag__optim_clears_at_once(p)) continue;
        items[n++] = (item){ .param = p->grad,
                             .row = { .grad = p->grad->tensor.data, .numel = p->grad->tensor.numel } };
        p->grad->tensor.storage->version++;
    }
    ag__step_table table = { .kind = AG_STEP_CLEAR };
    const bool ok = launch("optim_zero_grad", t, o, &table, items, n, (ag__step_row *)(void *)(items + room));
    ag__scratch_free(items);
    return ok;
}

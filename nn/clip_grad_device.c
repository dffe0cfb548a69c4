/* clip_grad_device.c - clip_grad_norm_ where all gradients are on one device: however many there are, their squares are
 * summed in one launch and they are scaled in another (tensor/step_table.h). */
#include "nn/clip_grad_device.h"
#include "tensor/allocator.h"
#include "tensor/device_table.h"
#include "tensor/step_table.h"

static const char here[] = "clip_grad_norm_";

/* The first gradient in the list; NULL: there is none. */
static const ag_tensor *first_of(ag_list parameters)
{
    for (int64_t i = 0; i < parameters.n; i++)
        if (parameters.at[i]->grad) return &parameters.at[i]->grad->tensor;
    return NULL;
}

bool ag__clips_on_device(ag_list parameters, double norm_type)
{
    const ag_tensor *first = first_of(parameters);
    if (norm_type != 2 || !first || ag__tensor_device(first).type == AG_DEVICE_CPU) return false;
    for (int64_t i = 0; i < parameters.n; i++) {
        const ag_variable *g = parameters.at[i]->grad;
        if (!g) continue;
        const ag_tensor *x = &g->tensor;
        const ag_device device = ag__tensor_device(x), its = ag__tensor_device(first);
        if (device.type != its.type || device.index != its.index || x->dtype != first->dtype) return false;
        if (!ag__is_floating((ag_dtype)x->dtype) || !ag__is_dense(x->ndim, x->size, x->stride)) return false;
        if (g->grad_fn || g->requires_grad || g->base || g->inference) return false;
    }
    return true;
}

/* The rows of all gradients, and how many chunks they make. */
static int64_t describe(ag_list parameters, ag__step_row *row, int64_t *chunks)
{
    int64_t n = 0;
    *chunks = 0;
    for (int64_t i = 0; i < parameters.n; i++) {
        const ag_variable *g = parameters.at[i]->grad;
        if (!g || g->tensor.numel == 0) continue;
        row[n++] = (ag__step_row){ .grad = g->tensor.data, .numel = g->tensor.numel };
        *chunks += (g->tensor.numel + AG_STEP_CHUNK - 1) / AG_STEP_CHUNK;
    }
    return n;
}

static bool run(ag_list parameters, ag__step_kind kind, const ag_tensor *numbers, const ag__step_row *row, int64_t n)
{
    const ag_tensor *first = first_of(parameters);
    const ag_device device = ag__tensor_device(first);
    const ag_device_functions *functions = ag__device_functions(device);
    const ag__step_table table = { .kind = kind,
                                   .is_double = first->dtype == AG_FLOAT64,
                                   .n = n,
                                   .row = row,
                                   .numbers = (double *)(void *)numbers->data };
    return functions && functions->step(here, device, &table);
}

ag_variable *ag__squares_on_device(Thread *t, ag_list parameters)
{
    const ag_tensor *first = first_of(parameters);
    ag__step_row *row = ag__scratch((size_t)parameters.n * sizeof *row);
    if (!row) return NULL;
    int64_t chunks, n = describe(parameters, row, &chunks);
    ag_variable *parts = ag__new(t, 1, &chunks, AG_FLOAT64, ag__tensor_device(first));
    const bool ok = parts && run(parameters, AG_STEP_SQUARES, &parts->tensor, row, n);
    ag__scratch_free(row);
    return ok ? parts : NULL;
}

bool ag__scale_on_device(ag_list parameters, const ag_variable *factor)
{
    ag__step_row *row = ag__scratch((size_t)parameters.n * sizeof *row);
    if (!row) return false;
    int64_t chunks, n = describe(parameters, row, &chunks);
    const bool ok = run(parameters, AG_STEP_SCALE, &factor->tensor, row, n);
    ag__scratch_free(row);
    for (int64_t i = 0; i < parameters.n && ok; i++)
        if (parameters.at[i]->grad) parameters.at[i]->grad->tensor.storage->version++;
    return ok;
}

/* reduce_count.c - reductions that are sums of what others make of their input: nansum, nanmean, count_nonzero. See
 * reduce.h. */
#include "autograd/op.h"
#include "ops/check.h"

#include <argent/copy.h>
#include <argent/pointwise.h>
#include <argent/reduce.h>

static bool nansum_compose(const void *args, ag_variable **out);
AG_OP(nansum, .compose = nansum_compose)
static bool nansum_compose(const void *args, ag_variable **out)
{
    const struct ag_nansum_args *a = args;
    ag_variable *x = a->input;
    if (ag_is_floating_point(x)) x = ag_masked_fill(x, ag_isnan(x), 0);
    return (out[0] = ag_sum(x, .dim = a->dim, .keepdim = a->keepdim, .dtype = a->dtype)) != NULL;
}

static bool nanmean_compose(const void *args, ag_variable **out);
AG_OP(nanmean, .compose = nanmean_compose)
static bool nanmean_compose(const void *args, ag_variable **out)
{
    const struct ag_nanmean_args *a = args;
    if (!ag_is_floating_point(a->input))
        return ag__fail_call(ag__op_nanmean(), a, "expected input to have floating point or complex dtype but got %s",
                             ag__scalar_type(ag_dtype_of(a->input)));
    ag_variable *sum = ag_nansum(a->input, .dim = a->dim, .keepdim = a->keepdim, .dtype = a->dtype);
    ag_variable *counted = ag_logical_not(ag_isnan(a->input));
    return (out[0] = ag_div(sum, ag_sum(counted, .dim = a->dim, .keepdim = a->keepdim))) != NULL;
}

static bool count_nonzero_compose(const void *args, ag_variable **out);
AG_OP(count_nonzero, .compose = count_nonzero_compose)
static bool count_nonzero_compose(const void *args, ag_variable **out)
{
    const struct ag_count_nonzero_args *a = args;
    return (out[0] = ag_sum(ag_ne(a->input, ag_scalar(0)), .dim = a->dim)) != NULL;
}

/* test_pointwise.c - the rows' derivatives: against finite differences to the second order, computed at once and as
 * graphs of ops, over shapes that meet in every way; what they keep; that they stay finite. */
#include "pointwise_cases.h"

#include <argent/gradcheck.h>

START_TEST(every_row_has_a_case_here)
{
    for (int k = 0; k < ag__n_row_records; k++) {
        const char *name = ag__row_records[k]()->name;
        bool found = false;
        for (int i = 0; i < n_pointwise_cases; i++) found = found || !strcmp(pointwise_cases[i].op, name);
        ck_assert_msg(found, "%s has no case in tests/pointwise_cases.c", name);
    }
}
END_TEST

/* ---- finite differences ---- */

/* A case in a layout: its leaves go in with the mask, if there is one, before them. */
typedef struct setting {
    const pointwise_case *c;
    const pointwise_layout *layout;
    Variable *leaf[3], *mask;
    int n;
    bool inplace;
} setting;

static setting make_setting(const pointwise_case *c, const pointwise_layout *layout)
{
    setting s = { .c = c, .layout = layout, .n = case_numbers(c) };
    for (int i = 0; i < s.n; i++) s.leaf[i] = ag_requires_grad_(case_random(c, layout->shape[i]));
    if (case_op(c)->row->has_mask) s.mask = ag_gt(support_random(layout->mask, -1, 1), ag_scalar(0.0));
    return s;
}
static Variable *compute(const setting *s, Variable *const *leaf)
{
    Variable *in[4];
    int n = 0;
    if (s->mask) in[n++] = s->mask;
    for (int i = 0; i < s->n; i++) in[n++] = s->layout->transposed && i == 0 ? ag_t(leaf[0]) : leaf[i];
    if (!s->inplace) return case_call(s->c, in);
    in[0] = ag_clone(in[0]);
    return case_call_inplace(s->c, in);
}
static int checked(Variable *const *x, int n, Variable **y, void *user)
{
    (void)n;
    y[0] = compute(user, x);
    return y[0] ? 1 : -1;
}

static void check_gradients(setting *s)
{
    ag_gradcheck_result found = { 0 };
    List leaves = { s->n, s->leaf };
    bool ok = ag_gradcheck(checked, leaves, .user = s, .atol = 1e-7, .rtol = 1e-6, .result = &found);
    ck_assert_msg(ok, "%s, %s%s: %s %s", s->c->op, s->layout->name, s->inplace ? ", in place" : "", found.message,
                  ag_error() ? ag_error() : "");
    Variable *y = compute(s, s->leaf);
    ck_assert_msg(y && ag_node_name(ag_grad_fn(y)), "%s", s->c->op);
    /* some have gradients that are constant */
    ok = ag_gradgradcheck(checked, leaves, .user = s, .atol = 1e-6, .rtol = 1e-5, .result = &found);
    ck_assert_msg(ok, "second order of %s, %s%s: %s %s", s->c->op, s->layout->name, s->inplace ? ", in place" : "",
                  found.message, ag_error() ? ag_error() : "");
}

START_TEST(gradients_agree_with_finite_differences_to_the_second_order)
{
    for (int i = 0; i < n_pointwise_cases; i++)
        for (int k = 0; k < n_pointwise_layouts && pointwise_cases[i].saves[0]; k++) {
            AG_SCOPE;
            setting s = make_setting(&pointwise_cases[i], &pointwise_layouts[k]);
            check_gradients(&s);
        }
}
END_TEST

START_TEST(gradients_of_in_place_forms_agree_with_finite_differences)
{
    for (int i = 0; i < n_pointwise_cases; i++)
        for (int k = 0; k < n_pointwise_layouts; k++) {
            AG_SCOPE;
            const pointwise_layout *layout = &pointwise_layouts[k];
            if (!pointwise_cases[i].saves[0] || !case_op(&pointwise_cases[i])->inplace) continue;
            if (layout->shape[0].n != layout->out.n || strstr(layout->name, "both")) continue;
            setting s = make_setting(&pointwise_cases[i], layout);
            s.inplace = true;
            check_gradients(&s);
        }
}
END_TEST

/* ---- at once and as a graph ---- */

START_TEST(a_gradient_has_the_same_numbers_as_a_graph)
{
    for (int i = 0; i < n_pointwise_cases; i++)
        for (int k = 0; k < n_pointwise_layouts && pointwise_cases[i].saves[0]; k++) {
            AG_SCOPE;
            setting s = make_setting(&pointwise_cases[i], &pointwise_layouts[k]);
            Variable *fused[3], *graph[3], *y = compute(&s, s.leaf), *g = case_random(s.c, ag_shape(y));
            OK(y);
            List leaves = { s.n, s.leaf };
            OK(ag_autograd_grad(AG_LIST(y), leaves, fused, .grad_outputs = AG_LIST(g), .retain_graph = true));
            OK(ag_autograd_grad(AG_LIST(y), leaves, graph, .grad_outputs = AG_LIST(g), .create_graph = true));
            for (int j = 0; j < s.n; j++) CLOSE(graph[j], fused[j], 1e-14);
        }
}
END_TEST

START_TEST(a_value_has_the_same_numbers_as_a_graph_and_in_every_layout)
{
    for (int i = 0; i < n_pointwise_cases; i++)
        for (int k = 0; k < n_pointwise_layouts; k++) {
            AG_SCOPE;
            AG_NO_GRAD;
            const pointwise_case *c = &pointwise_cases[i];
            setting s = make_setting(c, &pointwise_layouts[k]);
            const ag_op *op = case_op(c);
            Variable *y = compute(&s, s.leaf), *operand[AG_N_OPERANDS] = { [IN_M] = s.mask }, *plain[4];
            OK(y);
            for (int j = 0; j < s.n; j++) operand[j] = s.layout->transposed && j == 0 ? ag_t(s.leaf[0]) : s.leaf[j];
            double options[AG_ROW_MAX_OPTIONS] = { 0 };
            for (int j = 0; j < op->row->n_options; j++) {
                options[j] = ((const double *)(const void *)((ag_variable *const *)op->defaults + op->row->n_in))[j];
                for (int o = 0; o < case_options(c); o++)
                    if (!strcmp(c->options[o].name, op->args[op->row->n_in + j].name))
                        options[j] = c->options[o].value.f;
            }
            CLOSE(ag__formula_graph(op->row->value, operand, options), y, 1e-15);
            int n = 0;
            if (s.mask) plain[n++] = ag_clone(ag_expand(s.mask, ag_shape(y)));
            for (int j = 0; j < s.n; j++) plain[n++] = ag_contiguous(ag_expand(operand[j], ag_shape(y)));
            ck_assert_msg(ag_equal(case_call(c, plain), y), "%s, %s", c->op, s.layout->name);
            if (ag_dtype_of(y) != AG_FLOAT64) continue;
            for (int j = 0; j < s.n; j++) plain[j + (s.mask != NULL)] = ag_to(operand[j], .dtype = AG_FLOAT32);
            CLOSE(ag_to(case_call(c, plain), .dtype = AG_FLOAT64), y, 3e-6);
        }
}
END_TEST

/* ---- what is kept ---- */

static unsigned operands_of(const char *letters)
{
    static const char all[] = "abcmyg";
    unsigned mask = 0;
    for (; *letters; letters++) mask |= 1u << (strchr(all, *letters) - all);
    return mask;
}
START_TEST(backward_keeps_what_pytorch_keeps)
{
    for (int i = 0; i < n_pointwise_cases; i++) {
        const pointwise_case *c = &pointwise_cases[i];
        const ag_pointwise *row = case_op(c)->row;
        for (int d = 0; d < row->n_derivatives; d++) {
            unsigned reads = ag__formula_of(row->value + 1 + d).reads & ~(1u << IN_G);
            ck_assert_msg(reads == operands_of(c->saves[d]), "the gradient of %s's input %d, %s, does not keep \"%s\"",
                          c->op, d, ag__formula_text(row->value + 1 + d), c->saves[d]);
        }
    }
}
END_TEST

START_TEST(an_operand_is_kept_only_if_a_gradient_that_is_wanted_reads_it)
{
    Variable *x = LEAF(AG_SHAPE(2), 2, 3), *w = ag_tensor(((double[]){ 5, 7 }), AG_SHAPE(2));
    Variable *y = ag_mul(x, w), *z = ag_div(w, ag_exp(x));
    OK(ag_fill_(ag_detach(x), 1)); /* neither reads x */
    OK(ag_backward(ag_sum(y)));
    VALUES(ag_grad(x), 5, 7);
    y = ag_mul(x, w);
    OK(ag_fill_(w, 1));
    REFUSED(ag_backward(ag_sum(y)), "modified by an inplace operation: [torch.DoubleTensor [2]]");
    REFUSED(ag_backward(ag_sum(z)), "DivBackward0");
    Variable *e = ag_exp(x);
    OK(ag_add_(e, ag_scalar(1.0)));
    REFUSED(ag_backward(ag_sum(e)), "output 0 of Exp, is at version 1");
    Variable *r = ag_relu(ag_mul(x, ag_scalar(2.0)));
    OK(ag_add(r, r));
    OK(ag_backward(ag_sum(r)));
}
END_TEST

/* ---- far from zero ---- */

START_TEST(derivatives_stay_finite_far_from_zero_to_the_third_order)
{
    static const double far[] = { -1e4, -1e3, -100, -20, 20, 100, 1e3, 1e4 };
    for (int i = 0; i < n_pointwise_cases; i++) {
        const pointwise_case *c = &pointwise_cases[i];
        for (size_t f = 0; !c->unbounded && f < sizeof far / sizeof *far; f++) {
            AG_SCOPE;
            Variable *x = ag_full(AG_SHAPE(1), far[f], .dtype = AG_FLOAT64, .requires_grad = true),
                     *g = case_call(c, &x);
            for (int order = 1; order <= 3 && ag_requires_grad(g); order++) {
                Variable *d;
                OK(ag_autograd_grad(AG_LIST(ag_sum(g)), AG_LIST(x), &d, .create_graph = true, .allow_unused = true));
                if (!d) break;
                ck_assert_msg(isfinite(support_at(d, 0)), "%s at %g: the derivative of order %d is %g", c->op, far[f],
                              order, support_at(d, 0));
                g = d;
            }
        }
    }
}
END_TEST

START_TEST(pow_is_differentiable_at_zero)
{
    Variable *a = LEAF(AG_SHAPE(4), 0, 0, 0, 2), *b = LEAF(AG_SHAPE(4), 0, 1, 2, 0), *d[2], *dd[2];
    Variable *y = ag_pow(a, b);
    VALUES(y, 1, 0, 0, 1);
    OK(ag_autograd_grad(AG_LIST(ag_sum(y)), AG_LIST(a, b), d, .create_graph = true));
    VALUES(d[0], 0, 1, 0, 0);
    VALUES(d[1], 0, 0, 0, log(2));
    OK(ag_autograd_grad(AG_LIST(ag_sum(d[0])), AG_LIST(a), dd, .create_graph = true));
    VALUES(dd[0], 0, 0, 2, 0);
    OK(ag_autograd_grad(AG_LIST(ag_sum(d[1])), AG_LIST(b), dd));
    VALUES(dd[0], 0, 0, 0, log(2) * log(2));
}
END_TEST

START_TEST(pow_of_a_number_keeps_its_input_and_multiplies)
{
    static const double exponents[] = { 0, 1, 2, 3, -1, -2, 0.5, -0.5, 2.5, 4, 1.5, 1.0 / 3 };
    for (size_t k = 0; k < sizeof exponents / sizeof *exponents; k++) {
        AG_SCOPE;
        Variable *x = ag_requires_grad_(support_random(AG_SHAPE(5), 0.3, 2)),
                 *n = ag_full(AG_SCALAR_SHAPE, exponents[k], .dtype = AG_FLOAT64);
        Variable *y = ag_pow(x, ag_scalar(exponents[k])), *z = ag_pow(x, n), *d[3], *e[3];
        ck_assert_str_eq(ag_node_name(ag_grad_fn(y)), "PowBackward0");
        ck_assert_str_eq(ag_node_name(ag_grad_fn(z)), "PowBackward1");
        CLOSE(y, z, 1e-15);
        for (int order = 0; order < 3 && ag_requires_grad(y); order++) {
            OK(ag_autograd_grad(AG_LIST(ag_sum(y)), AG_LIST(x), &d[order], .create_graph = true, .allow_unused = true));
            OK(ag_autograd_grad(AG_LIST(ag_sum(z)), AG_LIST(x), &e[order], .create_graph = true, .allow_unused = true));
            if (!d[order]) break;
            CLOSE(d[order], e[order], 1e-13);
            y = d[order];
            z = e[order];
        }
    }
}
END_TEST

SUPPORT_MAIN("pointwise", every_row_has_a_case_here, gradients_agree_with_finite_differences_to_the_second_order,
             gradients_of_in_place_forms_agree_with_finite_differences, a_gradient_has_the_same_numbers_as_a_graph,
             a_value_has_the_same_numbers_as_a_graph_and_in_every_layout, backward_keeps_what_pytorch_keeps,
             an_operand_is_kept_only_if_a_gradient_that_is_wanted_reads_it,
             derivatives_stay_finite_far_from_zero_to_the_third_order, pow_is_differentiable_at_zero,
             pow_of_a_number_keeps_its_input_and_multiplies)

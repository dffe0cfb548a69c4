/* pointwise.c - the rows of pointwise.def, read as records and as public functions. */
#include "ops/pointwise_rows.h"

/* The arguments of ops whose public function is a plain one: their structs exist only here. */
// clang-format off
#define PLAIN(op, LIST)                                       AG_STRUCT(op, LIST)
#define HIDDEN_ROW(op, node, integers, inplace, shape, LIST)  AG_STRUCT(op, LIST)
#include "ops/pointwise.def"

/* ---- the records ---- */
#define N_IN_1              1
#define N_IN_2              2
#define N_IN_3              3
#define N_IN_compare        2
#define N_IN_test           1
#define N_IN_where          3
#define N_DERIVATIVES_1     1
#define N_DERIVATIVES_2     2
#define N_DERIVATIVES_3     3
#define N_DERIVATIVES_where 2
#define N_DERIVATIVES_compare 0
#define N_DERIVATIVES_test  0
#define IS_TEST_1           false
#define IS_TEST_2           false
#define IS_TEST_3           false
#define IS_TEST_where       false
#define IS_TEST_compare     true
#define IS_TEST_test        true
#define HAS_MASK_1          false
#define HAS_MASK_2          false
#define HAS_MASK_3          false
#define HAS_MASK_compare    false
#define HAS_MASK_test       false
#define HAS_MASK_where      true
#define NODE_1(name_)       .node = #name_, .backward = ag__pointwise_backward
#define NODE_2              NODE_1
#define NODE_3              NODE_1
#define NODE_where          NODE_1
#define NODE_compare(name_) .node = NULL
#define NODE_test           NODE_compare
#define HAS_inplace         true
#define HAS_fresh           false
#define AG_OPTION(name)     +1

/* The Variables for which a plain number may stand in a call by name: bit i, input i. */
#define NUMBERS_1           0
#define NUMBERS_2           0
#define NUMBERS_3           0
#define NUMBERS_compare     2
#define NUMBERS_test        0
#define NUMBERS_where       6
#define NUMBERS_OF_add      0, 3
#define NUMBERS_OF_sub      0, 3
#define NUMBERS_OF_mul      0, 3
#define NUMBERS_OF_div      0, 3
#define NUMBERS_OF_pow      0, 3
#define NUMBERS_OF_lerp     0, 4
#define NUMBERS_OF_rsub     0, 2
#define NUMBERS_OF_xlogy    0, 3
#define NUMBERS_OF_logical_and 0, 0
#define NUMBERS_OF_logical_or  0, 0
#define NUMBERS_OF_logical_xor 0, 0

/* What a row without a public form calls itself in errors and reports. */
#define NAME_OF_pow_number    0, "pow"
#define NAME_OF_pow_base      0, "pow"
#define NAME_OF_lerp_number   0, "lerp"
#define NAME_OF_clamp_between 0, "clamp"
#define NAME_OF_clamp_above   0, "clamp"
#define NAME_OF_clamp_below   0, "clamp"
#define NAME_OF_gelu_exact    0, "gelu"
#define NAME_OF_gelu_tanh     0, "gelu"
#define NAME_OF_soft_shrink   0, "softshrink"
#define NAME_OF_prelu_kernel  0, "prelu"
#define NAME_OF_smooth_l1     0, "smooth_l1_loss"
#define NAME_OF_huber         0, "huber_loss"
#define NAME_OF_cross_entropy_of_two 0, "binary_cross_entropy"
#define NAME_OF_cross_entropy_slope 0, "binary_cross_entropy"
#define NAME_OF_round_scaled  0, "round"

/* Variables first, then the options, and nothing else: apply takes the struct for two arrays. */
#define ROW(op_, node_, integers_, inplace_, shape_, LIST)                                                           \
    static const ag_pointwise op_##_row = {                                                                          \
        .value = AG_EXPRESSION_##op_##_value, .n_in = N_IN_##shape_, .n_derivatives = N_DERIVATIVES_##shape_,        \
        .n_options = 0 LIST(AG_ONLY_OPTIONS, AG_ONLY_OPTIONS_MAY), .integers = AG_INTEGERS_##integers_,              \
        .is_test = IS_TEST_##shape_, .has_mask = HAS_MASK_##shape_ };                                                \
    _Static_assert((0 LIST(AG_ONLY_OPTIONS, AG_ONLY_OPTIONS_MAY)) <= AG_ROW_MAX_OPTIONS, "too many options: " #op_);  \
    _Static_assert(sizeof(struct ag_##op_##_args) == N_IN_##shape_ * sizeof(ag_variable *) +                         \
                   sizeof(double) * (size_t)(0 LIST(AG_ONLY_OPTIONS, AG_ONLY_OPTIONS_MAY)), "arguments of " #op_);   \
    AG_OVERRIDING                                                                                                    \
    AG_RECORD(op_, LIST, .row = &op_##_row, .inplace = HAS_##inplace_, NODE_##shape_(node_),                         \
              .numbers = AG_ROW_PICK_(NUMBERS_OF_##op_, NUMBERS_##shape_, 0),                                        \
              .name = AG_ROW_PICK_(NAME_OF_##op_, #op_, 0))                                                          \
    AG_OVERRIDDEN
#define HIDDEN_ROW ROW
#include "ops/pointwise.def"

#define ROW(op, node, integers, inplace, shape, LIST) ag__op_##op,
ag__row_record *const ag__row_records[] = {
#include "ops/pointwise.def"
};
const int ag__n_row_records = (int)(sizeof ag__row_records / sizeof *ag__row_records);

/* ---- the public functions ---- */
#define APPLY(op, args, inplace)                                                                                     \
    ag_variable *out;                                                                                                \
    return ag__pointwise_apply(ag__op_##op(), args, inplace, &out, __builtin_return_address(0)) ? out : NULL;
#define FUNCTION(op, name, LIST, inplace)                                                                            \
    ag_variable *(name)(AG_TAIL(LIST(AG_PARAM_MUST, AG_PARAM_MAY))) /* ag_div is a macro, too */                     \
    {                                                                                                                \
        const struct ag_##op##_args args = { LIST(AG_SET_MUST, AG_SET_MAY) };                                        \
        APPLY(op, &args, inplace)                                                                                    \
    }
#define PLAIN(op, LIST)           FUNCTION(op, ag_##op, LIST, false)
#define PLAIN_inplace(op, LIST)   FUNCTION(op, ag_##op##_, LIST, true)
#define OPTIONS(op, LIST)         ag_variable *ag_##op##_call(const struct ag_##op##_args *args)  { APPLY(op, args, false) }
#define OPTIONS_inplace(op, LIST) ag_variable *ag_##op##__call(const struct ag_##op##_args *args) { APPLY(op, args, true) }
#include "ops/pointwise.def"
// clang-format on

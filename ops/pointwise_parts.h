// clang-format off
/* pointwise_parts.h - from a row of pointwise.def to its parts. A reading of the rows defines the parts it wants and
 * includes pointwise.def; the other parts mean nothing, and afterwards none is defined any more:
 *
 *     VALUE(op, integers, LIST, expression)             the value; VALUE_IS: of a comparison, whose result is bool
 *     DERIVATIVE(op, part, LIST, expression)            dA, dB or dC
 *     ROW(op, node, integers, inplace, shape, LIST)     the op; shape is one of 1 2 3 compare test where
 *     HIDDEN_ROW(...)                                   the same of one without a public function
 *     PLAIN(op, LIST)  OPTIONS(op, LIST)                the public function: of Variables only, or with options
 *     PLAIN_inplace, OPTIONS_inplace                    its in-place form;
 *     PLAIN_fresh, OPTIONS_fresh                        that there is none
 *
 * LIST is the op's argument list (args.h). In a row's list the Variables come first, and every option is a Float.
 *
 * This is the one place where a macro holds the shape of code: everything the rows become is a function of three lines.
 */
#ifndef AG_POINTWISE_PARTS_H
#define AG_POINTWISE_PARTS_H

#define AG_ROW_INPUT(must, may)        must(Tensor, input)
#define AG_ROW_INPUT_OTHER(must, may)  must(Tensor, input) must(Tensor, other)
#define AG_ROW_LERP(must, may)         must(Tensor, input) must(Tensor, end) must(Tensor, weight)
#define AG_ROW_POW(must, may)          must(Tensor, input) must(Tensor, exponent)
#define AG_ROW_WHERE(must, may)        must(Tensor, condition) must(Tensor, input) must(Tensor, other)

/* the list of a row without options: that of its shape, but for the ops whose arguments have names of their own */
#define AG_ROW_LIST(op, usual)         AG_ROW_PICK_(AG_ROW_OWN_##op, usual, 0)
#define AG_ROW_PICK_(...)              AG_ROW_PICK2_(__VA_ARGS__)
#define AG_ROW_PICK2_(a, pick, ...)    pick
#define AG_ROW_OWN_pow                 0, AG_ROW_POW

#define UNARY_(op, node, integers, inplace, LIST, v, dx)                                                             \
    VALUE(op, integers, LIST, v) DERIVATIVE(op, dA, LIST, dx) ROW(op, node, integers, inplace, 1, LIST)
#define UNARY(op, node, integers, inplace, v, dx)                                                                    \
    UNARY_(op, node, integers, inplace, AG_ROW_INPUT, v, dx) PLAIN(op, AG_ROW_INPUT) PLAIN_##inplace(op, AG_ROW_INPUT)
#define UNARY_WITH(op, node, integers, inplace, v, dx)                                                               \
    UNARY_(op, node, integers, inplace, AG_ARGS_##op, v, dx) OPTIONS(op, AG_ARGS_##op) OPTIONS_##inplace(op, AG_ARGS_##op)
#define UNARY_HIDDEN(op, node, integers, inplace, v, dx)                                                             \
    VALUE(op, integers, AG_ARGS_##op, v) DERIVATIVE(op, dA, AG_ARGS_##op, dx) HIDDEN_ROW(op, node, integers, inplace, 1, AG_ARGS_##op)
#define BINARY_(op, node, integers, inplace, LIST, v, da, db)                                                        \
    VALUE(op, integers, LIST, v) DERIVATIVE(op, dA, LIST, da) DERIVATIVE(op, dB, LIST, db) ROW(op, node, integers, inplace, 2, LIST)
#define BINARY(op, node, integers, inplace, v, da, db)                                                               \
    BINARY_(op, node, integers, inplace, AG_ROW_LIST(op, AG_ROW_INPUT_OTHER), v, da, db)                             \
    PLAIN(op, AG_ROW_LIST(op, AG_ROW_INPUT_OTHER)) PLAIN_##inplace(op, AG_ROW_LIST(op, AG_ROW_INPUT_OTHER))
#define BINARY_HIDDEN(op, node, integers, inplace, v, da, db)                                                        \
    VALUE(op, integers, AG_ARGS_##op, v) DERIVATIVE(op, dA, AG_ARGS_##op, da) DERIVATIVE(op, dB, AG_ARGS_##op, db)   \
    HIDDEN_ROW(op, node, integers, inplace, 2, AG_ARGS_##op)
#define TERNARY_HIDDEN(op, node, integers, inplace, v, da, db, dc)                                                   \
    VALUE(op, integers, AG_ARGS_##op, v) DERIVATIVE(op, dA, AG_ARGS_##op, da) DERIVATIVE(op, dB, AG_ARGS_##op, db)   \
    DERIVATIVE(op, dC, AG_ARGS_##op, dc) HIDDEN_ROW(op, node, integers, inplace, 3, AG_ARGS_##op)
#define BINARY_WITH(op, node, integers, inplace, v, da, db)                                                          \
    BINARY_(op, node, integers, inplace, AG_ARGS_##op, v, da, db) OPTIONS(op, AG_ARGS_##op) OPTIONS_##inplace(op, AG_ARGS_##op)
#define TERNARY_(op, node, integers, inplace, LIST, v, da, db, dc)                                                   \
    VALUE(op, integers, LIST, v) DERIVATIVE(op, dA, LIST, da) DERIVATIVE(op, dB, LIST, db) DERIVATIVE(op, dC, LIST, dc) \
    ROW(op, node, integers, inplace, 3, LIST)
#define TERNARY(op, node, integers, inplace, v, da, db, dc)                                                          \
    TERNARY_(op, node, integers, inplace, AG_ROW_LERP, v, da, db, dc) PLAIN(op, AG_ROW_LERP) PLAIN_##inplace(op, AG_ROW_LERP)
#define TERNARY_WITH(op, node, integers, inplace, v, da, db, dc)                                                     \
    TERNARY_(op, node, integers, inplace, AG_ARGS_##op, v, da, db, dc) OPTIONS(op, AG_ARGS_##op) OPTIONS_##inplace(op, AG_ARGS_##op)
#define COMPARE(op, integers, v)                                                                                     \
    VALUE_IS(op, integers, AG_ROW_INPUT_OTHER, v) ROW(op, , integers, inplace, compare, AG_ROW_INPUT_OTHER)          \
    PLAIN(op, AG_ROW_INPUT_OTHER) PLAIN_inplace(op, AG_ROW_INPUT_OTHER)
#define TEST(op, integers, v)                                                                                        \
    VALUE_IS(op, integers, AG_ROW_INPUT, v) ROW(op, , integers, inplace, test, AG_ROW_INPUT)                         \
    PLAIN(op, AG_ROW_INPUT) PLAIN_inplace(op, AG_ROW_INPUT)
#define TEST_FRESH(op, integers, v)                                                                                  \
    VALUE_IS(op, integers, AG_ROW_INPUT, v) ROW(op, , integers, fresh, test, AG_ROW_INPUT)                           \
    PLAIN(op, AG_ROW_INPUT) PLAIN_fresh(op, AG_ROW_INPUT)
#define WHERE(op, node, integers, inplace, v, da, db)                                                                \
    VALUE(op, integers, AG_ROW_WHERE, v) DERIVATIVE(op, dA, AG_ROW_WHERE, da) DERIVATIVE(op, dB, AG_ROW_WHERE, db)   \
    ROW(op, node, integers, inplace, where, AG_ROW_WHERE) PLAIN(op, AG_ROW_WHERE) PLAIN_##inplace(op, AG_ROW_WHERE)
// clang-format on

/* What a list's Variables and options are to a reading that wants only the one or the other:
 * LIST(AG_ONLY_OPTIONS, AG_ONLY_OPTIONS_MAY) gives AG_OPTION(name) for each option. */
#define AG_ONLY_OPTIONS(type, name)          AG_ONLY_OPTIONS_##type(name)
#define AG_ONLY_OPTIONS_MAY(type, name, ...) AG_ONLY_OPTIONS_##type(name)
#define AG_ONLY_OPTIONS_Tensor(name)
#define AG_ONLY_OPTIONS_Float(name) AG_OPTION(name)

#endif

/* The parts that the reading at hand does not want. */
#define AG_NO_PART(...)
#ifndef VALUE
#define VALUE AG_NO_PART
#endif
#ifndef VALUE_IS
#define VALUE_IS AG_NO_PART
#endif
#ifndef DERIVATIVE
#define DERIVATIVE AG_NO_PART
#endif
#ifndef ROW
#define ROW AG_NO_PART
#endif
#ifndef HIDDEN_ROW
#define HIDDEN_ROW AG_NO_PART
#endif
#ifndef PLAIN
#define PLAIN AG_NO_PART
#endif
#ifndef PLAIN_inplace
#define PLAIN_inplace AG_NO_PART
#endif
#ifndef PLAIN_fresh
#define PLAIN_fresh AG_NO_PART
#endif
#ifndef OPTIONS
#define OPTIONS AG_NO_PART
#endif
#ifndef OPTIONS_inplace
#define OPTIONS_inplace AG_NO_PART
#endif
#ifndef OPTIONS_fresh
#define OPTIONS_fresh AG_NO_PART
#endif

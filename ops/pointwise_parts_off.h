/* pointwise_parts_off.h - after a reading of the rows: no part is defined (pointwise_parts.h). */
#undef VALUE
#undef VALUE_IS
#undef DERIVATIVE
#undef ROW
#undef HIDDEN_ROW
#undef PLAIN
#undef PLAIN_inplace
#undef PLAIN_fresh
#undef OPTIONS
#undef OPTIONS_inplace
#undef OPTIONS_fresh
#undef AG_OPTION

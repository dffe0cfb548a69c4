/* state_dict_internal.h - what the file format asks of a state dict. */
#ifndef AG_STATE_DICT_INTERNAL_H
#define AG_STATE_DICT_INTERNAL_H
#include <argent/state_dict.h>

/* The i-th text in the order they came; false past the last. */
bool ag__state_dict_note(const ag_state_dict *dict, int64_t i, const char **key, const char **text);

#endif

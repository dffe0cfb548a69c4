/* op_cases.h - replays what PyTorch did (tests/data/op_cases.txt, made by tools/record-ops.py): each op is called by
 * its name with the same arguments, and must give the same elements, type, shape, strides and grad_fn, the same
 * gradients to the second order, or be refused with the same words. */
#ifndef AG_TESTS_OP_CASES_H
#define AG_TESTS_OP_CASES_H

/* Replays the cases of one group; there is at least one. AG_OP_CASES in the environment names another file. */
void replay(const char *group);

#endif

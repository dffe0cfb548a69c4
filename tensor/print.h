/* print.h - a tensor as PyTorch prints it. Internal; the public functions are in variable.h. */
#ifndef AG_PRINT_H
#define AG_PRINT_H
#include "tensor/tensor.h"

#include <stdio.h>

/* As snprintf: writes at most room bytes with the final zero, returns the length it would have. `suffix` follows the
 * dtype inside the closing parenthesis: "grad_fn=<MulBackward0>" or "requires_grad=True", NULL for none. The elements
 * lie in host memory. */
size_t ag__tensor_print(char *text, size_t room, const ag_tensor *x, const char *suffix);
/* The same text into a file, without memory for the whole of it; false if the file does not take it. */
bool ag__tensor_print_file(FILE *file, const ag_tensor *x, const char *suffix);

#endif

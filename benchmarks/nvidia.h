/* nvidia.h - a CUDA device without Argent, to compare with: launches by the driver, products by cuBLAS. Both libraries
 * are opened when they are asked for; nothing of theirs is needed to build this. */
#ifndef ARGENT_NVIDIA_H
#define ARGENT_NVIDIA_H
#include <argent/argent.h>

/* Whether the cases run on a device whose driver can be called: not on the CPU, nor in the emulation. */
bool nvidia_driver(void);
bool nvidia_cublas(void);

/* A launch of a kernel that does nothing, in the current stream. Something has run on the device before. */
bool nvidia_launch(void);

/* C = A B of matrices that lie row by row, or are the transpose of what does, in memory of its own. */
typedef struct nvidia_product nvidia_product;
/* NULL where it fails; a and b are on the device. */
nvidia_product *nvidia_product_new(const Variable *a, const Variable *b);
void nvidia_product_free(nvidia_product *p);
bool nvidia_product_run(nvidia_product *p);
/* C, on the CPU; the scope's. */
Variable *nvidia_product_result(nvidia_product *p);

#endif

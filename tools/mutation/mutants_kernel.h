/* mutants_kernel.h - what tools/mutate puts into the scratch copy of a kernel: see mutants.h. */
#ifndef AG_MUTANTS_KERNEL_H
#define AG_MUTANTS_KERNEL_H

_Bool ag__mutant_is(int n);

#endif

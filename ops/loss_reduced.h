/* loss_reduced.h - what all losses end with. */
#ifndef AG_LOSS_REDUCED_H
#define AG_LOSS_REDUCED_H
#include "ops/check.h"

/* One loss an element: as it is, or their mean or sum. */
ag_variable *ag__reduced(ag_variable *loss, ag_reduction reduction);

#endif

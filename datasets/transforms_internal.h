/* transforms_internal.h - what a chain of transforms does to a pixel, where one number decides it. */
#ifndef AG_TRANSFORMS_INTERNAL_H
#define AG_TRANSFORMS_INTERNAL_H
#include <argent/transforms.h>

/* A hold on the transform: ag_transform_free lets go of it. */
ag_transform *ag__transform_hold(ag_transform *transform);

/* For grey images (H,W) of uint8: what each of the 256 values becomes, in float32 and in float64. */
typedef struct ag__pixel_table {
    float float32[256];
    double float64[256];
} ag__pixel_table;
/* true if the transform is ToTensor, with or without Normalize after it, and so all there is to it is this table. */
bool ag__transform_table(const ag_transform *transform, ag__pixel_table *table);

#endif

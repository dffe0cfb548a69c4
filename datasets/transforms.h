/* transforms.h - what happens to an image on its way from a dataset into a batch, as in torchvision.transforms.
 *
 *     Transform *transform = ag_transforms_compose(ag_transforms_to_tensor(), ag_transforms_normalize(0.5, 0.5));
 *     Dataset *training_data = ag_datasets_mnist(.root = "./data", .train = true, .transform = transform);
 *     ag_transform_free(transform);
 *
 * A dataset takes a hold of its own, so one transform may serve several. Composing takes the parts over: only the whole
 * is to be freed.
 */
#ifndef ARGENT_TRANSFORMS_H
#define ARGENT_TRANSFORMS_H
#include <argent/variable.h>

AG_BEGIN_DECLS

typedef struct ag_transform ag_transform;
#ifndef AG_NO_SHORT_NAMES
typedef ag_transform Transform;
#endif
#define AG_TYPE_Transform ag_transform *

/* Left out on purpose: no transform. (Not NULL: NULL is what a failed call gave.) */
extern AG_API struct ag_transform ag_no_transform_;
#define AG_NO_TRANSFORM (&ag_no_transform_)

/* One of yours: from one item to another; NULL is an error. A loader with workers calls it from several threads at
 * once. user: handed to it, and to free (which may be NULL) when the transform goes, or at once if it cannot be made.
 */
typedef ag_variable *ag_transform_function(ag_variable *x, void *user);
AG_API ag_transform *ag_transform_new(ag_transform_function *function, void *user, void (*free)(void *user));
/* NULL is fine. */
AG_API void ag_transform_free(ag_transform *transform);
/* transform(x) */
AG_API ag_variable *ag_transform_apply(ag_transform *transform, ag_variable *x);

/* One after the other. NULL, all parts freed, if one of them is NULL. */
#define ag_transforms_compose(...) AG_TRANSFORMS_COMPOSE_(__VA_ARGS__)
AG_API ag_transform *ag_transforms_compose_of(ag_transform *const *parts); /* ended by AG_NO_TRANSFORM */

/* (H,W) or (H,W,C) of uint8, 0 to 255, -> (C,H,W) of the default type, 0 to 1. Other types only change their shape. */
AG_API ag_transform *ag_transforms_to_tensor(void);

/* (x - mean) / std, of a (C,H,W) of a floating type: a number for all channels, or AG_CHANNELS(0.485, 0.456, 0.406)
 * each. */
#define ag_transforms_normalize(mean, std) ag_transforms_normalize_channels(ag_channels_of(mean), ag_channels_of(std))
typedef struct ag_channels {
    int64_t n;        /* at most 16 */
    const double *at; /* borrowed for the call */
    double number;
} ag_channels;
AG_API ag_transform *ag_transforms_normalize_channels(ag_channels mean, ag_channels std);
static inline ag_channels ag_channels_of_number(double number)
{
    ag_channels c = { 0, NULL, number };
    return c;
}
static inline ag_channels ag_channels_of_channels(ag_channels c) { return c; }

AG_END_DECLS

#ifdef __cplusplus
inline ag_channels ag_channels_of(double number) { return ag_channels_of_number(number); }
inline ag_channels ag_channels_of(ag_channels c) { return c; }
inline ag_channels ag_channels_list(std::initializer_list<double> l)
{
    return ag_channels{ (int64_t)l.size(), l.begin(), 0 };
}
inline ag_transform *ag_transforms_compose_list(std::initializer_list<ag_transform *> l)
{
    return ag_transforms_compose_of(l.begin());
}
#define AG_CHANNELS(...)            ag_channels_list({ __VA_ARGS__ })
#define AG_TRANSFORMS_COMPOSE_(...) ag_transforms_compose_list({ __VA_ARGS__, AG_NO_TRANSFORM })
#else
#define AG_CHANNELS(...) \
    ((ag_channels){ sizeof((double[]){ __VA_ARGS__ }) / sizeof(double), (const double[]){ __VA_ARGS__ }, 0 })
#define ag_channels_of(c)           _Generic((c), ag_channels : ag_channels_of_channels, default : ag_channels_of_number)(c)
#define AG_TRANSFORMS_COMPOSE_(...) ag_transforms_compose_of((ag_transform *const[]){ __VA_ARGS__, AG_NO_TRANSFORM })
#endif
#endif

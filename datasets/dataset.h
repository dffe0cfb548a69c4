/* dataset.h - items by number: what torch.utils.data.Dataset is, as two functions and a pointer of yours.
 *
 *     static int64_t size(void *user) { return 100; }
 *     static int get(int64_t index, Variable **out, void *user)                  x, x * x
 *     {
 *         out[0] = ag_full(AG_SHAPE(1), (double)index);
 *         out[1] = ag_full(AG_SHAPE(1), (double)(index * index));
 *         return 2;
 *     }
 *     Dataset *squares = ag_dataset_new(size, get, NULL, NULL);
 *
 * A loader (loader.h) makes batches of it. Ready-made ones: MNIST (mnist.h), and those below.
 */
#ifndef ARGENT_DATASET_H
#define ARGENT_DATASET_H
#include <argent/variable.h>

AG_BEGIN_DECLS

typedef struct ag_dataset ag_dataset;
#ifndef AG_NO_SHORT_NAMES
typedef ag_dataset Dataset;
#endif

enum { AG_ITEM_PARTS = 8 }; /* an item has at most so many parts: usually two, an input and a target */

/* len(dataset). Asked once a pass over the data. A negative number is an error. */
typedef int64_t ag_dataset_size_function(void *user);
/* dataset[index]: puts the parts of an item into out, of a shape and type that is the same for all items, and returns
 * how many they are; 0, or a part that is NULL, is an error. What it makes is let go when it has been copied into a
 * batch. A loader with workers calls it from several threads at once. */
typedef int ag_dataset_get_function(int64_t index, ag_variable **out, void *user);

/* user: handed to both, and to free (which may be NULL) when the dataset goes, or at once if it cannot be made. */
AG_API ag_dataset *ag_dataset_new(ag_dataset_size_function *size, ag_dataset_get_function *get, void *user,
                                  void (*free)(void *user));
/* NULL is fine. Loaders and subsets of it must have gone before. */
AG_API void ag_dataset_free(ag_dataset *dataset);

/* len(dataset); -1 with an error. */
AG_API int64_t ag_dataset_size(ag_dataset *dataset);
/* dataset[index]; how many parts it has, 0 with an error. They belong to the innermost scope. */
AG_API int ag_dataset_get(ag_dataset *dataset, int64_t index, ag_variable *out[AG_ITEM_PARTS]);

/* TensorDataset(*tensors): item i is the i-th slice of each along its first dimension, which all have in common. The
 * Variables are kept, not copied; batches are without history.
 *
 *     ag_data_tensor_dataset(AG_LIST(x, y)) */
AG_API ag_dataset *ag_data_tensor_dataset(ag_list tensors);

/* Subset(dataset, indices): item i is dataset[indices[i]]. The indices are copied; the dataset must stay. */
AG_API ag_dataset *ag_data_subset(ag_dataset *dataset, ag_shape_list indices);

AG_END_DECLS
#endif

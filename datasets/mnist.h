/* mnist.h - torchvision.datasets.MNIST: 28 by 28 images of handwritten digits, 60,000 to learn from and 10,000 to test
 * with. Fashion-MNIST and KMNIST come in the same files. */
#ifndef ARGENT_MNIST_H
#define ARGENT_MNIST_H
#include <argent/dataset.h>
#include <argent/transforms.h>

AG_BEGIN_DECLS

/* Item i: the image, (28,28) uint8 unless the transform makes something else of it, and the digit, a 0-dim int64.
 *
 *     ag_datasets_mnist("./data", .train = false, .transform = transform)
 *
 * The two files are looked for in root/MNIST/raw (torchvision's place), in root/raw and in root, as
 * train-images-idx3-ubyte or with .gz; they are read at once and checked. Where one is missing, .download = true puts
 * all four that are missing into root/MNIST/raw: by libcurl, which is looked for only then, from torchvision's mirrors,
 * unpacked, and only with the right checksum. When they are there nothing is asked of the network. Errors: AG_EIO with
 * the places that were tried, AG_ENOTSUP without libcurl, AG_ENOMEM. A transform that is ToTensor, with or without
 * Normalize after it, is applied to whole batches by a table. */
#define AG_ARGS_datasets_mnist(must, may) \
    must(Str, root) may(Bool, train, true) may(Transform, transform, AG_NO_TRANSFORM) may(Bool, download, false)
#define ag_datasets_mnist(...) AG_CALL(datasets_mnist, __VA_ARGS__)
AG_DECLARE_AS(datasets_mnist, ag_dataset *)

AG_END_DECLS
#endif

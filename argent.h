/* argent.h - everything: #include <argent/argent.h>.
 *
 * From torch to ag: a dot becomes an underscore, a method takes its object first, CamelCase becomes snake_case,
 * nn.functional is dropped: torch.relu(x), F.relu(x) and x.relu() are ag_relu(x); nn.Conv2d(...) is ag_nn_conv2d(...);
 * optim.SGD is ag_optim_sgd; x.add_(y) is ag_add_(x, y); `with torch.no_grad():` is AG_NO_GRAD; in a block.
 * Attributes are functions: x.shape is ag_shape(x).
 *
 * The short names Variable, Module, Optimizer, Shape, List, Node, Generator, Dataset, DataLoader, Batch are typedefs;
 * define AG_NO_SHORT_NAMES before including to go without.
 */
#ifndef ARGENT_ARGENT_H
#define ARGENT_ARGENT_H

/* The tensor floor: types, devices, errors, memory, random numbers, threads. */
#include <argent/args.h>
#include <argent/backends.h>
#include <argent/capability.h>
#include <argent/cuda.h>
#include <argent/cuda_graph.h>
#include <argent/device.h>
#include <argent/dtype.h>
#include <argent/error.h>
#include <argent/generator.h>
#include <argent/memory.h>
#include <argent/num_threads.h>

/* Variables and their gradients. */
#include <argent/autograd.h>
#include <argent/call.h>
#include <argent/checkpoint.h>
#include <argent/function.h>
#include <argent/functional.h>
#include <argent/gradcheck.h>
#include <argent/graph.h>
#include <argent/hook.h>
#include <argent/profiler.h>
#include <argent/saved_hooks.h>
#include <argent/scope.h>
#include <argent/variable.h>

/* Operations. */
#include <argent/bitwise.h>
#include <argent/compare.h>
#include <argent/conv.h>
#include <argent/copy.h>
#include <argent/cuda_graphed.h>
#include <argent/cuda_memory.h>
#include <argent/dropout.h>
#include <argent/factory.h>
#include <argent/index.h>
#include <argent/join.h>
#include <argent/loss.h>
#include <argent/matmul.h>
#include <argent/pointwise.h>
#include <argent/pool.h>
#include <argent/random.h>
#include <argent/rearrange.h>
#include <argent/reduce.h>
#include <argent/scan.h>
#include <argent/softmax.h>
#include <argent/triangle.h>
#include <argent/variance.h>
#include <argent/view.h>

/* Modules, and what trains and keeps them. */
#include <argent/clip_grad.h>
#include <argent/containers.h>
#include <argent/criterion.h>
#include <argent/init.h>
#include <argent/layers.h>
#include <argent/module.h>
#include <argent/module_hooks.h>
#include <argent/optim.h>
#include <argent/state_dict.h>

/* Data. */
#include <argent/dataset.h>
#include <argent/loader.h>
#include <argent/mnist.h>
#include <argent/transforms.h>

#endif

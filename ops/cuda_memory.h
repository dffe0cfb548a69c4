/* cuda_memory.h - Variables' memory between streams, and between the host and CUDA devices. */
#ifndef ARGENT_CUDA_MEMORY_H
#define ARGENT_CUDA_MEMORY_H
#include <argent/cuda.h>
#include <argent/variable.h>

AG_BEGIN_DECLS

/* input's memory, made on another stream, is used on this one, too: when the last Variable lets go of it, nobody gets
 * it before this stream is past that point. Without it the memory may be another Variable's while the stream still
 * reads it. Gradients are looked after by backward itself. On the CPU it does nothing. Returns input. */
AG_API ag_variable *ag_record_stream(ag_variable *input, ag_cuda_stream stream);

/* input, on the CPU, in pinned memory: where a device reads and writes while the program goes on (ag_to and ag_copy_
 * with .non_blocking = true). input itself where it is pinned, else a copy without history. Pinned memory is scarce:
 * for what is copied all the time. AG_EDEVICE without CUDA. */
AG_API ag_variable *ag_pin_memory(ag_variable *input);
AG_API bool ag_is_pinned(const ag_variable *input);

AG_END_DECLS
#endif

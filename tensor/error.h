/* error.h - what went wrong, as a sentence.
 *
 * A function that fails returns NULL, false or NaN and leaves a sentence in the calling thread's error. The first error
 * stands until ag_clear_error(): a NULL that flows into the next call adds nothing to it, and while an error stands
 * whatever changes state (in-place ops, ag_backward, ag_optim_step, saving) refuses. So one test at the end of a step
 * is enough:
 *
 *     ag_backward(loss);
 *     ag_optim_step(sgd);
 *     if (ag_error()) return fail(ag_error());
 */
#ifndef ARGENT_ERROR_H
#define ARGENT_ERROR_H
#include <argent/export.h>

AG_BEGIN_DECLS

typedef enum {
    AG_OK = 0,
    AG_EINVAL,  /* a wrong argument: a shape, a type, a value */
    AG_ENOMEM,  /* memory is out, on the host or on a device */
    AG_EIO,     /* a file: missing, truncated, malformed, not writable */
    AG_EDEVICE, /* a device: none there, driver too old, a kernel failed */
    AG_EGRAPH,  /* the graph: freed, changed in place, no gradient wanted */
    AG_ENOTSUP  /* right in itself, but not supported */
} ag_error_kind;

/* The standing error's sentence, NULL if none stands. It stays valid until the error is cleared. */
AG_API const char *ag_error(void);
/* The standing error's kind, AG_OK if none stands. */
AG_API ag_error_kind ag_error_code(void);
/* Forget the standing error of this thread. */
AG_API void ag_clear_error(void);

/* Called once an error, in the thread where it stands, as soon as it does; an error in a loader's worker stands in the
 * thread that asks for the batch, and one in a file that is being written only when its remains are gone. NULL (the
 * default): nothing is called. For the whole process. */
typedef void ag_error_handler(ag_error_kind kind, const char *sentence, void *user);
AG_API void ag_set_error_handler(ag_error_handler *handler, void *user);
/* A ready-made handler: prints "argent: <sentence>" on stderr. */
AG_API void ag_error_print(ag_error_kind kind, const char *sentence, void *user);

AG_END_DECLS
#endif

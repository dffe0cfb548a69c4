/* export.h - what every public header begins with: visibility, C linkage, small preprocessor tools. */
#ifndef ARGENT_EXPORT_H
#define ARGENT_EXPORT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AG_VERSION_MAJOR 0
#define AG_VERSION_MINOR 1
#define AG_VERSION_PATCH 0

#define AG_API __attribute__((visibility("default")))

#ifdef __cplusplus
#define AG_BEGIN_DECLS extern "C" {
#define AG_END_DECLS   }
#else
#define AG_BEGIN_DECLS
#define AG_END_DECLS
#endif

#define AG_PASTE_(a, b) a##b
#define AG_PASTE(a, b)  AG_PASTE_(a, b)

#endif

/* save_folder.h - a folder of its own for each test of a suite on files. */
#ifndef AG_TESTS_SAVE_FOLDER_H
#define AG_TESTS_SAVE_FOLDER_H
#include "support.h"

#include <stdio.h>

/* A file by Python's safetensors (tools/record-safetensors.py), and a name in it. */
#define REFERENCE AG_TEST_DATA "/reference.safetensors" /* by tools/record-safetensors.py */
#define QUOTE     "quote \" \\ / \t\n\x01\x7f \xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80"

extern char save_folder[32], save_path[64]; /* the folder, a file in it */

int save_files(void); /* how many there are in the folder */
/* The bytes of a file, into memory of the caller's; how many. */
size_t save_contents(const char *path, unsigned char *bytes, size_t room);
/* These bytes become the file at save_path. */
void save_put(const void *bytes, size_t n);

/* From here on the test is not the superuser (false where that cannot be), and again what it was. */
bool save_as_nobody(void);
void save_as_before(void);

/* A suite whose tests run in a clean house (support.h), each with a folder, which is empty at first. */
int save_main(const char *name, const TTest *const *tests, size_t n);
#define SAVE_MAIN(name, ...)                                   \
    int main(void)                                             \
    {                                                          \
        const TTest *all[] = { __VA_ARGS__ };                  \
        return save_main(name, all, sizeof all / sizeof *all); \
    }

#endif

/* where.h - an address in a program as a person would say it. */
#ifndef AG_WHERE_H
#define AG_WHERE_H
#include <stdio.h>

/* " at train.c:31 (main)", or " in main", or " at 0x55..." on the file. With libdw, file and line come from debug
 * information. */
void ag__print_address(FILE *file, const void *address);

#endif

/* differs.c - see differs.h. */
#include "differs.h"

#include <fnmatch.h>
#include <string.h>

bool differs_today(const text_lines *list, const char *entry, const char *name)
{
    char its_entry[256], pattern[256];
    for (char **line = list->at; *line; line++)
        if (sscanf(*line, "%255s %255s", its_entry, pattern) == 2 && strcmp(its_entry, entry) == 0 &&
            fnmatch(pattern, name, 0) == 0)
            return true;
    return false;
}

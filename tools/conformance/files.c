/* files.c - see files.h. */
#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { LARGEST_FILE = 1 << 30 };

static bool read_open_file(FILE *file, char **text, size_t *n, complaint *why)
{
    struct stat info;
    if (fstat(fileno(file), &info)) return complain(why, "%s", strerror(errno));
    if (!S_ISREG(info.st_mode)) return complain(why, "it is not a file");
    if (info.st_size > LARGEST_FILE) return complain(why, "it is larger than a gibibyte");
    *n = (size_t)info.st_size;
    *text = malloc(*n + 1);
    if (!*text) return complain(why, "out of memory");
    if (fread(*text, 1, *n, file) != *n) return complain(why, "it cannot be read: %s", strerror(errno));
    (*text)[*n] = 0;
    return true;
}

char *read_file(const char *path, size_t *n, complaint *why)
{
    char *text = NULL;
    FILE *file = fopen(path, "rbe");
    if (!file) return complain(why, "it cannot be opened: %s", strerror(errno)), NULL;
    bool ok = read_open_file(file, &text, n, why);
    fclose(file);
    if (ok) return text;
    free(text);
    return NULL;
}

static bool ends_in(const char *name, const char *ending)
{
    size_t n = strlen(name), m = strlen(ending);
    return n > m && strcmp(name + n - m, ending) == 0;
}

char **files_ending_in(const char *folder, const char *ending, complaint *why)
{
    struct dirent **entry;
    int n = scandir(folder, &entry, NULL, alphasort), kept = 0;
    if (n < 0) return complain(why, "%s: %s", folder, strerror(errno)), NULL;
    char **names = calloc((size_t)n + 1, sizeof *names);
    for (int i = 0; i < n; i++) {
        if (names && ends_in(entry[i]->d_name, ending)) {
            char *name = strndup(entry[i]->d_name, strlen(entry[i]->d_name) - strlen(ending));
            if (name) names[kept++] = name;
        }
        free(entry[i]);
    }
    free(entry);
    if (!names) complain(why, "out of memory");
    return names;
}

void free_names(char **names)
{
    for (char **name = names; name && *name; name++) free(*name);
    free(names);
}

bool read_lines(text_lines *lines, const char *path, complaint *why)
{
    size_t n, most = 1;
    *lines = (text_lines){ .text = strcmp(path, "none") ? read_file(path, &n, why) : strdup("") };
    if (!lines->text) return false;
    for (const char *p = lines->text; *p; p++) most += *p == '\n';
    lines->at = calloc(most + 1, sizeof *lines->at);
    if (!lines->at) return complain(why, "out of memory");
    char **to = lines->at, *rest = lines->text, *line;
    while ((line = strsep(&rest, "\n")))
        if (*line && *line != '#') *to++ = line;
    return true;
}
void free_lines(text_lines *lines)
{
    free(lines->at);
    free(lines->text);
}

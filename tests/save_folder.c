/* save_folder.c - see save_folder.h. */
#include "save_folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOBODY = 65534 };

char save_folder[32], save_path[64];

static void set_up(void)
{
    support_begin();
    strcpy(save_folder, "/tmp/argent-save-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(save_folder));
    snprintf(save_path, sizeof save_path, "%s/file", save_folder);
}

static int files(bool away)
{
    DIR *directory = opendir(save_folder);
    ck_assert_ptr_nonnull(directory);
    int n = 0;
    for (struct dirent *e; (e = readdir(directory));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if (away) ck_assert_int_eq(unlinkat(dirfd(directory), e->d_name, 0), 0);
        n++;
    }
    closedir(directory);
    return n;
}
int save_files(void) { return files(false); }

static void tear_down(void)
{
    save_as_before();
    chmod(save_folder, 0700);
    files(true);
    ck_assert_int_eq(rmdir(save_folder), 0);
    support_end();
}

size_t save_contents(const char *path, unsigned char *bytes, size_t room)
{
    FILE *f = fopen(path, "rb");
    ck_assert_msg(f != NULL, "%s: %s", path, strerror(errno));
    size_t n = fread(bytes, 1, room, f);
    ck_assert_msg(n < room, "%s is too long", path);
    fclose(f);
    return n;
}
void save_put(const void *bytes, size_t n)
{
    FILE *f = fopen(save_path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, n, f), n);
    ck_assert_int_eq(fclose(f), 0);
}

bool save_as_nobody(void)
{
    return geteuid() != 0 || (chown(save_folder, NOBODY, NOBODY) == 0 && seteuid(NOBODY) == 0);
}
void save_as_before(void)
{
    if (geteuid() != getuid()) ck_assert_int_eq(seteuid(getuid()), 0);
}

int save_main(const char *name, const TTest *const *tests, size_t n)
{
    return support_main_with(name, tests, n, set_up, tear_down);
}

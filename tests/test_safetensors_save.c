/* test_safetensors_save.c - files that are written: byte for byte what Python's safetensors writes; there and back; put
 * in place whole, with the right mode, or not at all. */
#include "interpose.h"
#include "save_folder.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

START_TEST(what_is_written_are_the_bytes_that_python_writes)
{
    unsigned char wants[2048], is[2048];
    StateDict *dict = ag_load(REFERENCE);
    OK(ag_save(dict, save_path));
    size_t n = save_contents(REFERENCE, wants, sizeof wants);
    ck_assert_uint_eq(save_contents(save_path, is, sizeof is), n);
    ck_assert_mem_eq(is, wants, n);
    ag_state_dict_free(dict);
}
END_TEST

START_TEST(every_type_shape_and_layout_comes_back)
{
    StateDict *dict = ag_state_dict_new();
    const ag_dtype types[] = { AG_BOOL, AG_UINT8, AG_INT32, AG_INT64, AG_FLOAT32, AG_FLOAT64 };
    char name[64];
    for (int i = 0; i < 6; i++) {
        Variable *x = ag_to(ag_arange(24), .dtype = types[i]), *views[] = {
            x,
            ag_select(x, 0, 1),
            ag_view(x, AG_SHAPE(2, 3, 4)),
            ag_permute(ag_view(x, AG_SHAPE(2, 3, 4)), AG_SHAPE(2, 0, 1)),
            ag_slice(x, 0, 1, 24, 5),
            ag_expand(ag_slice(x, 0, 0, 1), AG_SHAPE(3)),
            ag_slice(x, 0, 4, 4),
            ag_view(x, AG_SHAPE(1, 2, 1, 3, 1, 2, 2, 1)),
            ag_to(ag_view(x, AG_SHAPE(2, 3, 4)), .memory_format = AG_BATCH_LAST),
        };
        for (size_t k = 0; k < sizeof views / sizeof *views; k++) {
            snprintf(name, sizeof name, "%s %zu", ag_dtype_name(types[i]), k);
            OK(ag_state_dict_set(dict, name, views[k]));
        }
    }
    OK(ag_state_dict_set(dict, "parameter", ag_randn(AG_SHAPE(3), .requires_grad = true)));
    OK(ag_state_dict_set_text(dict, "quote", QUOTE) && ag_state_dict_set_text(dict, "", ""));
    OK(ag_save(dict, save_path));
    StateDict *back = ag_load(save_path);
    OK(back);
    ck_assert_int_eq(ag_state_dict_size(back), ag_state_dict_size(dict));
    for (ag_state_item s = { 0 }; ag_state_dict_next(dict, &s);) {
        Variable *x = ag_state_dict_get(back, s.name);
        ck_assert_msg(x && ag_dtype_of(x) == ag_dtype_of(s.variable) && ag_equal(x, s.variable) &&
                          ag_is_contiguous(x) && !ag_requires_grad(x),
                      "%s is not the same", s.name);
        support_shape(x, ag_shape(s.variable), s.name, __FILE__, __LINE__);
    }
    ck_assert_str_eq(ag_state_dict_text(back, "quote"), QUOTE);
    ck_assert_str_eq(ag_state_dict_text(back, ""), "");
    ag_state_dict_free(back);
    ag_state_dict_free(dict);

    dict = ag_state_dict_new(); /* nothing at all */
    OK(ag_save(dict, save_path));
    back = ag_load(save_path);
    ck_assert(back && ag_state_dict_size(back) == 0);
    ag_state_dict_free(back);
    ag_state_dict_free(dict);
}
END_TEST

START_TEST(a_module_comes_back)
{
    Module *net = ag_nn_sequential(ag_nn_linear(3, 2), ag_nn_tanh()), *other = ag_nn_sequential(ag_nn_linear(3, 2)),
           *wide = ag_nn_linear(3, 2);
    OK(ag_nn_save(net, save_path));
    OK(ag_nn_load(other, save_path));
    ck_assert(ag_equal(ag_get_parameter(net, "0.weight"), ag_get_parameter(other, "0.weight")));
    REFUSED(ag_nn_load(wide, save_path), "Missing key(s) in state_dict: \"weight\", \"bias\"");
    OK(ag_nn_load(wide, save_path, .strict = false));
    REFUSED(ag_nn_load(net, NULL), "load: the path is NULL");
    REFUSED(ag_nn_load((Module *)NULL, save_path), "load: the module is NULL");
    REFUSED(ag_nn_save((Module *)NULL, save_path), "state_dict: the module is NULL");
    ag_module_free(wide);
    ag_module_free(other);
    ag_module_free(net);
}
END_TEST

/* ---- into place ---- */

static StateDict *small_dict(double value)
{
    StateDict *dict = ag_state_dict_new();
    OK(ag_state_dict_set(dict, "x", ag_full(AG_SHAPE(300), value)));
    return dict;
}
/* What small_dict(value) saved is there. */
static bool has(const char *of, double value)
{
    StateDict *dict = ag_load(of);
    bool same = dict && ag_item(ag_min(ag_state_dict_get(dict, "x"))) == value;
    ag_state_dict_free(dict);
    ag_clear_error();
    return same;
}
static mode_t mode_of(const char *of)
{
    struct stat info;
    ck_assert_int_eq(lstat(of, &info), 0);
    return S_ISLNK(info.st_mode) ? 0 : info.st_mode & 07777;
}

START_TEST(a_new_file_has_the_mode_that_the_umask_leaves_and_a_replaced_one_keeps_its_own)
{
    StateDict *dict = small_dict(1);
    static const mode_t masks[] = { 022, 027, 077, 0 };
    for (int i = 0; i < 4; i++) {
        umask(masks[i]);
        OK(ag_save(dict, save_path));
        ck_assert_int_eq(mode_of(save_path), 0666 & ~masks[i]);
        ck_assert_int_eq(save_files(), 1);
        unlink(save_path);
    }
    OK(ag_save(dict, save_path));
    static const mode_t modes[] = { 0600, 0640, 0664, 0666 };
    umask(022);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(chmod(save_path, modes[i]), 0);
        OK(ag_save(dict, save_path));
        ck_assert_int_eq(mode_of(save_path), modes[i]);
    }
    ag_state_dict_free(dict);
}
END_TEST

START_TEST(links_are_followed_to_the_file)
{
    StateDict *one = small_dict(1), *two = small_dict(2);
    char link[64], there[64];
    snprintf(link, sizeof link, "%s/link", save_folder);
    snprintf(there, sizeof there, "%s/there", save_folder);
    ck_assert_int_eq(symlink("there", link), 0);
    OK(ag_save(one, link)); /* where there is nothing yet */
    ck_assert(mode_of(link) == 0 && mode_of(there) != 0 && has(there, 1));
    OK(ag_save(two, link));
    ck_assert(mode_of(link) == 0 && has(there, 2));
    ck_assert_int_eq(symlink(link, save_path), 0); /* a link to the link, by its whole name */
    OK(ag_save(one, save_path));
    ck_assert(mode_of(save_path) == 0 && mode_of(link) == 0 && has(there, 1));
    ck_assert_int_eq(save_files(), 3);
    ck_assert_int_eq(unlink(there), 0);
    ck_assert_int_eq(symlink("file", there), 0); /* round and round */
    REFUSED(ag_save(one, save_path), "it cannot be followed: Too many levels of symbolic links");
    ag_state_dict_free(one);
    ag_state_dict_free(two);
}
END_TEST

START_TEST(places_where_nothing_can_be_saved)
{
    StateDict *dict = small_dict(1);
    char inside[96], long_path[5000];
    memset(long_path, 'x', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = 0;
    snprintf(inside, sizeof inside, "%s/none/file", save_folder);
    REFUSED(ag_save(NULL, save_path), "save: the dictionary is NULL");
    REFUSED(ag_save(dict, NULL), "save: the path is NULL");
    REFUSED(ag_save(dict, inside), "it cannot be made: No such file or directory");
    REFUSED(ag_save(dict, save_folder), "it is not a file");
    REFUSED(ag_save(dict, "/dev/full"), "/dev/full: it is not a file");
    REFUSED(ag_save(dict, ""), "");
    REFUSED(ag_save(dict, long_path), "the path is too long");
    snprintf(inside, sizeof inside, "%s/file/file", save_folder);
    save_put("", 0);
    REFUSED(ag_save(dict, inside), "Not a directory");
    ck_assert_int_eq(save_files(), 1);

    /* a name as long as a name can be */
    snprintf(long_path, sizeof long_path, "%s/%0255d", save_folder, 1);
    OK(ag_save(dict, long_path));
    ck_assert(has(long_path, 1));
    ck_assert_int_eq(chdir(save_folder), 0);
    OK(ag_save(dict, "plain"));
    ck_assert(has("plain", 1));
    ck_assert_int_eq(chdir("/"), 0);

    ck_assert_int_eq(chmod(save_path, 0444), 0);
    if (save_as_nobody()) {
        REFUSED(ag_save(dict, save_path), "it cannot be written: Permission denied");
        ck_assert_int_eq(chmod(save_folder, 0500), 0);
        REFUSED(ag_save(dict, inside), "");
        snprintf(inside, sizeof inside, "%s/other", save_folder);
        REFUSED(ag_save(dict, inside), "it cannot be made: Permission denied");
    }
    save_as_before();
    ag_state_dict_free(dict);
}
END_TEST

START_TEST(a_save_that_fails_half_way_leaves_the_old_file_and_nothing_else)
{
    StateDict *one = small_dict(1), *two = small_dict(2);
    OK(ag_save(one, save_path));
    struct rlimit before, few;
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    for (rlim_t bytes = 0; bytes < 1200; bytes += 300) {
        few = (struct rlimit){ bytes, before.rlim_max };
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &few), 0);
        bool saved = ag_save(two, save_path);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
        ck_assert_int_eq(ag_error_code(), AG_EIO);
        REFUSED(saved, "it cannot be written: File too large");
        ck_assert(has(save_path, 1));
        ck_assert_int_eq(save_files(), 1);
    }
    OK(ag_save(two, save_path));
    ck_assert(has(save_path, 2));
    ag_add(NULL, NULL); /* while an error stands nothing is written */
    ck_assert(!ag_save(one, save_path));
    ag_clear_error();
    ck_assert(has(save_path, 2));
    ag_state_dict_free(one);
    ag_state_dict_free(two);
}
END_TEST

static jmp_buf out_of_the_handler;
static int files_then; /* when the handler ran */

static void leave(ag_error_kind kind, const char *sentence, void *user)
{
    (void)kind, (void)sentence, (void)user;
    files_then = save_files();
    longjmp(out_of_the_handler, 1);
}

static int open_files(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++) n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

START_TEST(the_handler_hears_of_it_when_the_remains_are_gone)
{
    StateDict *dict = small_dict(1);
    struct rlimit before, few;
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    few = (struct rlimit){ 300, before.rlim_max };
    for (int round = 0; round < 3; round++) { /* it hears of each */
        files_then = -1;
        ag_set_error_handler(leave, NULL);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &few), 0);
        if (!setjmp(out_of_the_handler)) ag_save(dict, save_path);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
        ag_set_error_handler(NULL, NULL);
        ck_assert_int_eq(files_then, 0);
        REFUSED(ag_error() == NULL, "it cannot be written: File too large");
    }
    OK(ag_save(dict, save_path));
    ag_state_dict_free(dict);

    ck_assert_int_eq(truncate(save_path, 400), 0); /* what is read is closed again, too */
    int before_it = open_files();
    ag_set_error_handler(leave, NULL);
    if (!setjmp(out_of_the_handler)) ag_load(save_path);
    ag_set_error_handler(NULL, NULL);
    REFUSED(ag_error() == NULL, "");
    ck_assert_int_eq(open_files(), before_it);
}
END_TEST

START_TEST(names_that_a_file_cannot_have)
{
    StateDict *dict = small_dict(1);
    OK(ag_state_dict_set(dict, "__metadata__", ag_ones(AG_SHAPE(1))));
    REFUSED(ag_save(dict, save_path), "save: the name __metadata__ stands for a file's texts");
    ag_state_dict_free(dict);

    enum { LONG = 100000000 };
    char *text = malloc(LONG + 1);
    memset(text, 'x', LONG);
    text[LONG] = 0;
    dict = small_dict(1);
    OK(ag_state_dict_set_text(dict, "long", text));
    free(text);
    REFUSED(ag_save(dict, save_path), "bytes, but readers accept up to 100000000");
    ck_assert_int_eq(save_files(), 0);
    ag_state_dict_free(dict);
}
END_TEST

/* ---- memory ---- */

START_TEST(when_memory_is_out_nothing_is_loaded_and_the_old_file_stays)
{
    if (getenv("AG_TEST_VALGRIND")) return; /* which has a malloc of its own */
    StateDict *one = small_dict(1), *two = small_dict(2);
    OK(ag_state_dict_set(two, "strided", ag_t(ag_ones(AG_SHAPE(200, 300)))));
    OK(ag_state_dict_set_text(two, "key", "text"));
    OK(ag_save(one, save_path));
    int failures[2] = { 0 };
    for (int64_t at = 1;; at++) {
        ag_empty_cache();
        interpose_start(at, true);
        bool saved = ag_save(two, save_path);
        interpose_stop();
        if (saved) break;
        failures[0]++;
        ck_assert_int_eq(ag_error_code(), AG_ENOMEM);
        ag_clear_error();
        ck_assert(has(save_path, 1));
        ck_assert_int_eq(save_files(), 1);
    }
    for (int onwards = 0; onwards < 2; onwards++)
        for (int64_t at = 1;; at++) {
            AG_SCOPE;
            ag_empty_cache();
            interpose_start(at, onwards);
            StateDict *back = ag_load(save_path);
            bool undisturbed = interpose_stop() < at;
            if (!back) ck_assert_int_eq(ag_error_code(), AG_ENOMEM);
            failures[1] += !back;
            ag_clear_error();
            ag_state_dict_free(back);
            if (undisturbed) break;
        }
    ck_assert_int_gt(failures[0], 0);
    ck_assert_int_gt(failures[1], 8);
    ag_state_dict_free(one);
    ag_state_dict_free(two);
}
END_TEST

SAVE_MAIN("safetensors, saving", what_is_written_are_the_bytes_that_python_writes,
          every_type_shape_and_layout_comes_back, a_module_comes_back,
          a_new_file_has_the_mode_that_the_umask_leaves_and_a_replaced_one_keeps_its_own,
          links_are_followed_to_the_file, places_where_nothing_can_be_saved,
          a_save_that_fails_half_way_leaves_the_old_file_and_nothing_else,
          the_handler_hears_of_it_when_the_remains_are_gone, names_that_a_file_cannot_have,
          when_memory_is_out_nothing_is_loaded_and_the_old_file_stays)

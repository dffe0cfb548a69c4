/* test_idx.c - IDX files, right and wrong ones, all made here. A wrong one gives a sentence and nothing else. */
#include "datasets/idx.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST = 4096 };

typedef struct {
    unsigned char bytes[MOST];
    size_t length;
} Contents;

static char folder[] = "/tmp/argent-idx-XXXXXX";
static char path[sizeof folder + 8];

static void set_up(void)
{
    strcpy(folder, "/tmp/argent-idx-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
}

static void tear_down(void)
{
    ag_clear_error();
    unlink(path);
    ck_assert_int_eq(rmdir(folder), 0);
}

static void put(const Contents *c)
{
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(c->bytes, 1, c->length, f), c->length);
    ck_assert_int_eq(fclose(f), 0);
}

static void append(Contents *c, const void *bytes, size_t n)
{
    ck_assert_uint_le(c->length + n, MOST);
    memcpy(c->bytes + c->length, bytes, n);
    c->length += n;
}

/* Header for uint8 elements of shape size[ndim], no elements. */
static Contents header(int ndim, const uint32_t *size)
{
    Contents c = { .length = 0 };
    append(&c, (unsigned char[]){ 0, 0, 8, (unsigned char)ndim }, 4);
    for (int d = 0; d < ndim; d++)
        append(&c, (unsigned char[]){ size[d] >> 24, size[d] >> 16 & 255, size[d] >> 8 & 255, size[d] & 255 }, 4);
    return c;
}

/* A right file of shape (3, 2, 4): element i is 10 i. */
static Contents right(void)
{
    Contents c = header(3, (uint32_t[]){ 3, 2, 4 });
    for (int i = 0; i < 24; i++) append(&c, (unsigned char[]){ (unsigned char)(10 * i) }, 1);
    return c;
}

static Contents packed(const Contents *c)
{
    Contents gz = { .length = 0 };
    z_stream z = {
        .next_in = (unsigned char *)c->bytes, .avail_in = (uInt)c->length, .next_out = gz.bytes, .avail_out = MOST
    };
    ck_assert_int_eq(deflateInit2(&z, 9, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    gz.length = z.total_out;
    deflateEnd(&z);
    return gz;
}

/* Reads the file as a user of the reader does: header, memory, elements. */
static bool read_file(ag__idx *file, uint8_t **bytes)
{
    *bytes = NULL;
    if (!ag__idx_open(file, path)) return false;
    *bytes = malloc((size_t)file->numel + 1);
    ck_assert_ptr_nonnull(*bytes);
    bool ok = ag__idx_read(file, *bytes);
    ag__idx_close(file);
    return ok;
}

static void check_right(const Contents *c, const char *what)
{
    ag__idx file;
    uint8_t *bytes;
    put(c);
    ck_assert_msg(read_file(&file, &bytes), "%s: %s", what, ag_error());
    ck_assert_int_eq(file.ndim, 3);
    ck_assert_int_eq(file.size[0], 3);
    ck_assert_int_eq(file.size[1], 2);
    ck_assert_int_eq(file.size[2], 4);
    for (int i = 0; i < 24; i++) ck_assert_int_eq(bytes[i], (10 * i) % 256);
    free(bytes);
}

/* The file is refused, by an error of kind AG_EIO that names the file and contains `sentence`. */
static void check_wrong(const Contents *c, const char *sentence)
{
    ag__idx file;
    uint8_t *bytes;
    put(c);
    ck_assert_msg(!read_file(&file, &bytes), "accepted, instead of: %s", sentence);
    free(bytes);
    ck_assert_ptr_nonnull(ag_error());
    ck_assert_int_eq(ag_error_code(), AG_EIO);
    ck_assert_msg(strstr(ag_error(), path) != NULL, "the sentence does not name the file: %s", ag_error());
    ck_assert_msg(strstr(ag_error(), sentence) != NULL, "got \"%s\", not \"%s\"", ag_error(), sentence);
    ag_clear_error();
}

START_TEST(a_raw_file_is_read)
{
    Contents c = right();
    check_right(&c, "raw");
}
END_TEST

START_TEST(a_gzip_file_is_read_whatever_its_name)
{
    Contents c = right(), gz = packed(&c);
    check_right(&gz, "gzip");
}
END_TEST

START_TEST(gzip_members_behind_each_other_are_one_file)
{
    Contents c = right(), half = c, rest = { .length = 0 };
    half.length = 21;
    append(&rest, c.bytes + 21, c.length - 21);
    Contents gz = packed(&half), more = packed(&rest);
    append(&gz, more.bytes, more.length);
    check_right(&gz, "two members");
}
END_TEST

START_TEST(a_size_of_zero_is_a_file_without_elements)
{
    Contents c = header(2, (uint32_t[]){ 0, 28 });
    for (int gzip = 0; gzip < 2; gzip++) {
        ag__idx file;
        uint8_t *bytes;
        if (gzip) c = packed(&c);
        put(&c);
        ck_assert(read_file(&file, &bytes));
        ck_assert_int_eq(file.numel, 0);
        ck_assert_int_eq(file.size[1], 28);
        free(bytes);
    }
}
END_TEST

START_TEST(a_large_gzip_file_passes_through_the_small_buffer)
{
    const uint32_t size[] = { 300, 1000 };
    Contents head = header(2, size);
    gzFile gz = gzopen(path, "wb1");
    ck_assert_ptr_nonnull(gz);
    gzwrite(gz, head.bytes, (unsigned)head.length);
    uint32_t random = 1;
    for (int i = 0; i < 300000; i++) gzputc(gz, (random = random * 1664525 + 1013904223) >> 24);
    ck_assert_int_eq(gzclose(gz), Z_OK);

    ag__idx file;
    uint8_t *bytes;
    ck_assert(read_file(&file, &bytes));
    random = 1;
    for (int i = 0; i < 300000; i++) {
        random = random * 1664525 + 1013904223;
        ck_assert_int_eq(bytes[i], random >> 24);
    }
    free(bytes);
}
END_TEST

START_TEST(a_missing_file_is_an_error)
{
    ag__idx file;
    ck_assert(!ag__idx_open(&file, path));
    ck_assert_int_eq(ag_error_code(), AG_EIO);
    ck_assert_ptr_nonnull(strstr(ag_error(), "No such file or directory"));
    ck_assert_ptr_nonnull(strstr(ag_error(), path));
}
END_TEST

START_TEST(a_null_path_is_an_error)
{
    ag__idx file;
    ck_assert(!ag__idx_open(&file, NULL));
    ck_assert_int_eq(ag_error_code(), AG_EINVAL);
}
END_TEST

START_TEST(a_directory_or_a_pipe_is_refused_without_waiting)
{
    ag__idx file;
    ck_assert(!ag__idx_open(&file, folder));
    ck_assert_ptr_nonnull(strstr(ag_error(), "not a regular file"));
    ag_clear_error();
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    ck_assert(!ag__idx_open(&file, path));
    ck_assert_ptr_nonnull(strstr(ag_error(), "not a regular file"));
}
END_TEST

START_TEST(every_truncation_of_a_raw_file_is_refused)
{
    Contents c = right(), part = c;
    for (part.length = 0; part.length < 16; part.length++) check_wrong(&part, "is truncated");
    for (; part.length < c.length; part.length++)
        check_wrong(&part, "says it holds [3, 2, 4] elements, which makes 40 bytes, but it has");
}
END_TEST

START_TEST(every_truncation_of_a_gzip_file_is_refused)
{
    Contents c = right(), gz = packed(&c), part = gz;
    for (part.length = 0; part.length < gz.length; part.length++)
        check_wrong(&part, part.length == 1 ? "is truncated" : "");
}
END_TEST

START_TEST(every_changed_byte_of_a_gzip_file_is_refused_or_harmless)
{
    Contents c = right(), gz = packed(&c);
    int refused = 0;
    for (size_t i = 0; i < gz.length; i++) {
        for (int bit = 0; bit < 8; bit++) {
            Contents changed = gz;
            ag__idx file;
            uint8_t *bytes;
            changed.bytes[i] ^= 1 << bit;
            put(&changed);
            if (read_file(&file, &bytes)) {
                /* the time and the system in a gzip header, the padding before its trailer, another spelling of the
                 * same */
                ck_assert_int_eq(file.numel, 24);
                for (int k = 0; k < 24; k++) ck_assert_int_eq(bytes[k], (10 * k) % 256);
            } else {
                ck_assert_ptr_nonnull(ag_error());
                ag_clear_error();
                refused++;
            }
            free(bytes);
        }
    }
    ck_assert_int_gt(refused, 4 * (int)gz.length);
}
END_TEST

START_TEST(bytes_after_the_elements_are_refused)
{
    Contents c = right();
    append(&c, "x", 1);
    check_wrong(&c, "which makes 40 bytes, but it has 41");
    Contents gz = packed(&c);
    check_wrong(&gz, "goes on after the [3, 2, 4] elements");
}
END_TEST

START_TEST(bytes_after_the_gzip_data_are_refused)
{
    Contents c = right(), gz = packed(&c);
    append(&gz, "rubbish", 7);
    check_wrong(&gz, "goes on after the end of its compressed data");
}
END_TEST

START_TEST(a_wrong_magic_number_is_refused)
{
    const struct {
        unsigned char magic[4];
        const char *sentence;
    } rows[] = {
        { { 'P', 'K', 3, 4 }, "is not an IDX file: it begins with 50 4b 03 04" },
        { { 0, 1, 8, 3 }, "is not an IDX file" },
        { { 0, 0, 13, 3 }, "elements of type 0x0d" },
        { { 0, 0, 0, 3 }, "elements of type 0x00" },
        { { 0, 0, 8, 0 }, "has 0 dimensions" },
        { { 0, 0, 8, 9 }, "has 9 dimensions" },
        { { 0, 0, 8, 255 }, "has 255 dimensions" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Contents c = right();
        memcpy(c.bytes, rows[i].magic, 4);
        check_wrong(&c, rows[i].sentence);
        c = packed(&c);
        check_wrong(&c, rows[i].sentence);
    }
}
END_TEST

START_TEST(sizes_that_the_file_cannot_hold_are_refused_before_anything_is_allocated)
{
    const struct {
        int ndim;
        uint32_t size[AG_MAX_DIMS];
    } rows[] = {
        { 1, { 0xffffffff } },
        { 3, { 60000, 28, 28 } },
        { 2, { 0x80000000, 0x80000000 } },
        { 4, { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff } },
        { 8, { 65536, 65536, 65536, 65536, 65536, 65536, 65536, 65536 } },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        Contents c = header(rows[i].ndim, rows[i].size);
        append(&c, "0123456789", 10);
        ag__idx file;
        for (int gzip = 0; gzip < 2; gzip++) {
            if (gzip) c = packed(&c);
            put(&c);
            ck_assert_msg(!ag__idx_open(&file, path), "row %zu", i);
            ck_assert_ptr_nonnull(strstr(ag_error(), "says it holds ["));
            ag_clear_error();
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("IDX files");
    TCase *tests = tcase_create("read");
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, a_raw_file_is_read);
    tcase_add_test(tests, a_gzip_file_is_read_whatever_its_name);
    tcase_add_test(tests, gzip_members_behind_each_other_are_one_file);
    tcase_add_test(tests, a_size_of_zero_is_a_file_without_elements);
    tcase_add_test(tests, a_large_gzip_file_passes_through_the_small_buffer);
    tcase_add_test(tests, a_missing_file_is_an_error);
    tcase_add_test(tests, a_null_path_is_an_error);
    tcase_add_test(tests, a_directory_or_a_pipe_is_refused_without_waiting);
    tcase_add_test(tests, every_truncation_of_a_raw_file_is_refused);
    tcase_add_test(tests, every_truncation_of_a_gzip_file_is_refused);
    tcase_add_test(tests, every_changed_byte_of_a_gzip_file_is_refused_or_harmless);
    tcase_add_test(tests, bytes_after_the_elements_are_refused);
    tcase_add_test(tests, bytes_after_the_gzip_data_are_refused);
    tcase_add_test(tests, a_wrong_magic_number_is_refused);
    tcase_add_test(tests, sizes_that_the_file_cannot_hold_are_refused_before_anything_is_allocated);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

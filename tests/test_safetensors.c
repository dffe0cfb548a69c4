/* test_safetensors.c - state dicts in files: what Python's safetensors writes is read, and written byte for byte; every
 * kind of malformed file is refused with a sentence, before anything is made for it; a save that fails leaves the old
 * file as it was.
 *
 * Byte strings with the verdict of the reference reader are gone through where there is a file of them:
 * safetensors_verdicts.jsonl.xz in $AG_CONFORMANCE, or in ../shared/conformance beside the source tree. */
#include "interpose.h"
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[32], path[64];

static void set_up(void)
{
    support_begin();
    strcpy(folder, "/tmp/argent-save-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
}

/* How many files there are; their names are removed, with `away`. */
static int files(bool away)
{
    DIR *directory = opendir(folder);
    ck_assert_ptr_nonnull(directory);
    int n = 0;
    for (struct dirent *e; (e = readdir(directory));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        n++;
        if (away && unlinkat(dirfd(directory), e->d_name, 0)) unlinkat(dirfd(directory), e->d_name, AT_REMOVEDIR);
    }
    closedir(directory);
    return n;
}

static void tear_down(void)
{
    chmod(folder, 0700);
    files(true);
    ck_assert_int_eq(rmdir(folder), 0);
    support_end();
}

/* The bytes of a file, into memory of the caller's; how many. */
static size_t contents(const char *of, unsigned char *bytes, size_t room)
{
    FILE *f = fopen(of, "rb");
    ck_assert_msg(f != NULL, "%s: %s", of, strerror(errno));
    size_t n = fread(bytes, 1, room, f);
    ck_assert_msg(n < room, "%s is too long", of);
    fclose(f);
    return n;
}
static void put(const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(bytes, 1, n, f), n);
    ck_assert_int_eq(fclose(f), 0);
}

/* A file of this header and so many bytes of data, all zero. */
static void put_header(const char *header, size_t n, size_t data)
{
    unsigned char *bytes = calloc(1, 8 + n + data);
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(n >> 8 * i);
    memcpy(bytes + 8, header, n);
    put(bytes, 8 + n + data);
    free(bytes);
}

/* ---- the reference ---- */

#define REFERENCE AG_TEST_DATA "/reference.safetensors" /* by tools/record-safetensors.py */
#define QUOTE     "quote \" \\ / \t\n\x01\x7f \xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80"

START_TEST(what_python_writes_is_read)
{
    StateDict *dict = ag_load(REFERENCE);
    OK(dict);
    ck_assert_int_eq(ag_state_dict_size(dict), 8);
    ck_assert_str_eq(ag_state_dict_text(dict, "format"), "np \xc3\xa9");
    Variable *whole = ag_state_dict_get(dict, "whole");
    SHAPE(whole, 2, 3);
    ck_assert_int_eq(ag_dtype_of(whole), AG_INT64);
    VALUES(whole, 1, -2, 3, 4, 5, 0x1p62);
    VALUES(ag_state_dict_get(dict, "layer.0.weight"), 0.5, -0.25, 1e300);
    SHAPE(ag_state_dict_get(dict, "layer.0.weight"), 3, 1);
    SHAPE(ag_state_dict_get(dict, "none"), 2, 0, 3);
    ck_assert_int_eq(ag_dim(ag_state_dict_get(dict, "number")), 0);
    VALUES(ag_state_dict_get(dict, "number"), NAN);
    VALUES(ag_state_dict_get(dict, QUOTE), 1.5, -0.0, INFINITY);
    ck_assert_int_eq(ag_dtype_of(ag_state_dict_get(dict, QUOTE)), AG_FLOAT32);
    VALUES(ag_state_dict_get(dict, "small"), -0x1p31, 7);
    VALUES(ag_state_dict_get(dict, "bytes"), 0, 1, 255);
    VALUES(ag_state_dict_get(dict, "flags"), 1, 0);
    ck_assert_int_eq(ag_dtype_of(ag_state_dict_get(dict, "flags")), AG_BOOL);
    ag_state_dict_free(dict);
}
END_TEST

START_TEST(what_is_written_are_the_bytes_that_python_writes)
{
    unsigned char wants[2048], is[2048];
    StateDict *dict = ag_load(REFERENCE);
    OK(ag_save(dict, path));
    size_t n = contents(REFERENCE, wants, sizeof wants);
    ck_assert_uint_eq(contents(path, is, sizeof is), n);
    ck_assert_mem_eq(is, wants, n);
    ag_state_dict_free(dict);
}
END_TEST

/* ---- there and back ---- */

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
    OK(ag_save(dict, path));
    StateDict *back = ag_load(path);
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
    OK(ag_save(dict, path));
    back = ag_load(path);
    ck_assert(back && ag_state_dict_size(back) == 0);
    ag_state_dict_free(back);
    ag_state_dict_free(dict);
}
END_TEST

START_TEST(a_module_comes_back)
{
    Module *net = ag_nn_sequential(ag_nn_linear(3, 2), ag_nn_tanh()), *other = ag_nn_sequential(ag_nn_linear(3, 2)),
           *wide = ag_nn_linear(3, 2);
    OK(ag_nn_save(net, path));
    OK(ag_nn_load(other, path));
    ck_assert(ag_equal(ag_get_parameter(net, "0.weight"), ag_get_parameter(other, "0.weight")));
    REFUSED(ag_nn_load(wide, path), "Missing key(s) in state_dict: \"weight\", \"bias\"");
    OK(ag_nn_load(wide, path, .strict = false));
    REFUSED(ag_nn_load(net, NULL), "load: the path is NULL");
    REFUSED(ag_nn_load((Module *)NULL, path), "load: the module is NULL");
    REFUSED(ag_nn_save((Module *)NULL, path), "state_dict: the module is NULL");
    ag_module_free(wide);
    ag_module_free(other);
    ag_module_free(net);
}
END_TEST

/* ---- malformed files ---- */

#define TENSOR(name, dtype, shape, offsets) \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define ONE(dtype, shape, offsets) "{" TENSOR("x", dtype, shape, offsets) "}"
#define NOT_A_HEADER               "the header is not that of a safetensors file: "

static const struct {
    const char *header;
    size_t data;
    const char *sentence; /* NULL: it is right */
} headers[] = {
    { "{}", 0, NULL },
    { " { } ", 0, NULL },
    { "\t{\r\n\"x\" : { \"shape\" : [ 2 , 1 ] , \"data_offsets\" : [ 0 , 8 ] , \"dtype\" : \"F32\" } } \n", 8, NULL },
    { "{\"__metadata__\":{},\"\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", 1, NULL },
    { "{" TENSOR("b", "U8", "[0]", "[0,0]") "," TENSOR("a", "U8", "[0,9]", "[0,0]") "}", 0, NULL },
    { "{" TENSOR("b", "U8", "[1]", "[4,5]") "," TENSOR("a", "I32", "[]", "[0,4]") "}", 5, NULL },
    { ONE("\\u00463\\u0032", "[1]", "[0,4]"), 4, NULL },

    /* JSON that is none */
    { "", 0, NOT_A_HEADER "'{' expected at byte 0" },
    { "   ", 0, NOT_A_HEADER "'{' expected at byte 3" },
    { "[]", 0, NOT_A_HEADER "'{' expected at byte 0" },
    { "{", 0, NOT_A_HEADER "'\"' expected at byte 1" },
    { "{}x", 0, NOT_A_HEADER "something after its end at byte 2" },
    { "{}{}", 0, NOT_A_HEADER "something after its end at byte 2" },
    { "{,}", 0, NOT_A_HEADER "'\"' expected" },
    { "{" TENSOR("x", "U8", "[0]", "[0,0]") ",}", 0, NOT_A_HEADER "'\"' expected" },
    { "{" TENSOR("x", "U8", "[0]", "[0,0]") " " TENSOR("y", "U8", "[0]", "[0,0]") "}", 0, NOT_A_HEADER "'}' expected" },
    { "{\"x\"}", 0, NOT_A_HEADER "':' expected at byte 4" },
    { "{\"x\":}", 0, NOT_A_HEADER "'{' expected" },
    { "{\"x\":null}", 0, NOT_A_HEADER "'{' expected" },
    { "{\"x\":[1]}", 0, NOT_A_HEADER "'{' expected" },
    { "{\"x", 0, NOT_A_HEADER "a string that does not end" },
    { "{\"x\\", 0, NOT_A_HEADER "an escape that means no character" },
    { "{'x':{}}", 0, NOT_A_HEADER "'\"' expected" },
    { "{\"a\nb\":{}}", 0, NOT_A_HEADER "a control character in a string" },
    { "{\"\\x\":{}}", 0, NOT_A_HEADER "an escape that means no character" },
    { "{\"\\u12\":{}}", 0, NOT_A_HEADER "an escape that means no character" },
    { "{\"\\u00zz\":{}}", 0, NOT_A_HEADER "an escape that means no character" },
    { "{\"\\u0000\":{}}", 0, NOT_A_HEADER "an escape that means no character" },
    { "{\"\\ud83d\":{}}", 0, NOT_A_HEADER "an escape that means no character" },
    { "{\"\\ud83d\\u0041\":{}}", 0, NOT_A_HEADER "an escape that means no character" },
    { "{\"\\ude00\":{}}", 0, NOT_A_HEADER "an escape that means no character" },
    { "{\"\xff\":{}}", 0, NOT_A_HEADER "text that is not UTF-8" },
    { "{\"\xc0\xaf\":{}}", 0, NOT_A_HEADER "text that is not UTF-8" },
    { "{\"\xed\xa0\x80\":{}}", 0, NOT_A_HEADER "text that is not UTF-8" },
    { "{\"\xf4\x90\x80\x80\":{}}", 0, NOT_A_HEADER "text that is not UTF-8" },
    { "{\"\xe4\xb8", 0, NOT_A_HEADER "text that is not UTF-8" },

    /* fields */
    { "{\"x\":{}}", 0, NOT_A_HEADER "a tensor without dtype, shape or data_offsets" },
    { "{\"x\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, NOT_A_HEADER "a tensor without dtype, shape or data_offsets" },
    { "{\"x\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, NOT_A_HEADER "a tensor without" },
    { "{\"x\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, NOT_A_HEADER "a tensor without" },
    { "{\"x\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
      NOT_A_HEADER "a field given twice" },
    { "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"strides\":[1]}}", 4,
      NOT_A_HEADER "an unknown field of a tensor" },
    { ONE("F33", "[1]", "[0,4]"), 4, NOT_A_HEADER "a dtype that does not exist" },
    { ONE("f32", "[1]", "[0,4]"), 4, NOT_A_HEADER "a dtype that does not exist" },
    { ONE("", "[1]", "[0,4]"), 4, NOT_A_HEADER "a dtype that does not exist" },
    { "{\"x\":{\"dtype\":32,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, NOT_A_HEADER "'\"' expected" },
    { ONE("BF16", "[2]", "[0,4]"), 4, "tensor 'x' is BF16; float32, float64, int64, int32, uint8 and bool are" },
    { ONE("F8_E4M3", "[4]", "[0,4]"), 4, "tensor 'x' is F8_E4M3" },
    { ONE("F32", "1", "[0,4]"), 4, NOT_A_HEADER "'[' expected" },
    { ONE("F32", "[1 2]", "[0,4]"), 4, NOT_A_HEADER "']' expected" },
    { ONE("F32", "[1", "[0,4]"), 4, NOT_A_HEADER "a whole number expected" },
    { ONE("F32", "[1,]", "[0,4]"), 4, NOT_A_HEADER "a whole number expected" },
    { ONE("F32", "[-1]", "[0,4]"), 4, NOT_A_HEADER "a whole number expected" },
    { ONE("F32", "[+1]", "[0,4]"), 4, NOT_A_HEADER "a whole number expected" },
    { ONE("F32", "[1.0]", "[0,4]"), 4, NOT_A_HEADER "']' expected" },
    { ONE("F32", "[1e0]", "[0,4]"), 4, NOT_A_HEADER "']' expected" },
    { ONE("F32", "[01]", "[0,4]"), 4, NOT_A_HEADER "a number that begins with 0" },
    { ONE("F32", "[\"1\"]", "[0,4]"), 4, NOT_A_HEADER "a whole number expected" },
    { ONE("F32", "[null]", "[0,4]"), 4, NOT_A_HEADER "a whole number expected" },
    { ONE("F32", "[9223372036854775808]", "[0,4]"), 4, NOT_A_HEADER "a number that is too large" },
    { ONE("F32", "[99999999999999999999999]", "[0,4]"), 4, NOT_A_HEADER "a number that is too large" },
    { ONE("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, "tensor 'x' has 9 dimensions; up to 8 are supported" },
    { ONE("F32", "[1]", "[0]"), 4, NOT_A_HEADER "data_offsets that are not two numbers" },
    { ONE("F32", "[1]", "[]"), 4, NOT_A_HEADER "data_offsets that are not two numbers" },
    { ONE("F32", "[1]", "[0,4,4]"), 4, NOT_A_HEADER "data_offsets that are not two numbers" },
    { ONE("F32", "[1]", "[-4,4]"), 4, NOT_A_HEADER "a whole number expected" },

    /* names given twice */
    { "{" TENSOR("x", "U8", "[1]", "[0,1]") "," TENSOR("x", "U8", "[1]", "[1,2]") "}", 2, "tensor 'x' is given twice" },
    { "{" TENSOR("x", "U8", "[1]", "[0,1]") "," TENSOR("\\u0078", "U8", "[1]", "[1,2]") "}", 2, "is given twice" },
    { "{\"__metadata__\":{},\"__metadata__\":{}}", 0, NOT_A_HEADER "__metadata__ given twice" },
    { "{\"__metadata__\":{\"a\":\"1\",\"b\":\"2\",\"a\":\"3\"}}", 0, "metadata key 'a' is given twice" },
    { "{\"__metadata__\":[]}", 0, NOT_A_HEADER "'{' expected" },
    { "{\"__metadata__\":{\"a\":1}}", 0, NOT_A_HEADER "'\"' expected" },
    { "{\"__metadata__\":{\"a\":null}}", 0, NOT_A_HEADER "'\"' expected" },
    { "{\"__metadata__\":{\"a\":{}}}", 0, NOT_A_HEADER "'\"' expected" },

    /* places and sizes that lie */
    { ONE("F32", "[2]", "[0,4]"), 4,
      "tensor 'x' of shape [2], float32, takes 8 bytes, but the header gives it bytes 0 to 4" },
    { ONE("F32", "[1]", "[0,8]"), 8, "takes 4 bytes, but the header gives it bytes 0 to 8" },
    { ONE("F32", "[1]", "[4,0]"), 4, "begins at byte 4 of the data, where the one before it ends at 0" },
    { ONE("F32", "[0]", "[4,0]"), 4, "begins at byte 4 of the data" },
    { ONE("F32", "[1]", "[4,8]"), 8, "begins at byte 4 of the data, where the one before it ends at 0" },
    { ONE("F32", "[1]", "[0,4]"), 0, "the header speaks of 4 bytes of data, but there are 0" },
    { ONE("F32", "[1]", "[0,4]"), 3, "the header speaks of 4 bytes of data, but there are 3" },
    { ONE("F32", "[1]", "[0,4]"), 5, "the header speaks of 4 bytes of data, but there are 5" },
    { "{}", 1, "the header speaks of 0 bytes of data, but there are 1" },
    { "{" TENSOR("x", "F32", "[2]", "[0,8]") "," TENSOR("y", "F32", "[2]", "[4,12]") "}", 12,
      "tensor 'y' begins at byte 4 of the data, where the one before it ends at 8" },
    { "{" TENSOR("x", "F32", "[1]", "[0,4]") "," TENSOR("y", "F32", "[1]", "[8,12]") "}", 12,
      "tensor 'y' begins at byte 8 of the data, where the one before it ends at 4" },
    { "{" TENSOR("x", "F32", "[1]", "[0,4]") "," TENSOR("y", "F32", "[1]", "[0,4]") "}", 4,
      "tensor 'y' begins at byte 0 of the data, where the one before it ends at 4" },
    { ONE("F32", "[4611686018427387904,4]", "[0,4]"), 4, "tensor 'x' of shape [4611686018427387904, 4] is too large" },
    { ONE("F32", "[2305843009213693952,2]", "[0,0]"), 0, "is too large" },
    { ONE("F64", "[1152921504606846976]", "[0,0]"), 0, "is too large" },
    { ONE("F64", "[1099511627776,1099511627776,0]", "[0,0]"), 0,
      "" }, /* nothing, but of sizes that no Variable can have */
    { ONE("F32", "[1099511627776]", "[0,4398046511104]"), 8, "the header speaks of 4398046511104 bytes of data" },
    { ONE("U8", "[9223372036854775807]", "[0,9223372036854775807]"), 8, "" },
};

START_TEST(a_header_that_is_wrong_is_refused_with_a_sentence)
{
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        put_header(headers[i].header, strlen(headers[i].header), headers[i].data);
        StateDict *dict = ag_load(path);
        const char *wants = headers[i].sentence, *error = ag_error();
        ck_assert_msg(wants ? !dict && error && strstr(error, wants) : dict && !error, "%s: %s", headers[i].header,
                      error ? error : "it is taken");
        ag_state_dict_free(dict);
        ag_clear_error();
    }
    put_header("{\"x\0y\":{}}", 10, 0);
    REFUSED(ag_load(path), NOT_A_HEADER "a control character in a string");
    put_header("{\"x\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}\0", 54, 0);
    REFUSED(ag_load(path), NOT_A_HEADER "something after its end");
}
END_TEST

/* Every beginning of a right file is too short, and no byte of it may bring the reader down. */
START_TEST(a_file_that_is_cut_off_or_damaged)
{
    unsigned char bytes[2048];
    size_t n = contents(REFERENCE, bytes, sizeof bytes);
    for (size_t length = 0; length < n; length++) {
        put(bytes, length);
        REFUSED(ag_load(path), length < 8 ? "bytes are too few for a safetensors file" : path);
    }
    for (size_t i = 0; i < n; i++) {
        AG_SCOPE;
        unsigned char was = bytes[i];
        bytes[i] ^= (unsigned char)(1 << i % 8);
        put(bytes, n);
        StateDict *dict = ag_load(path);
        ck_assert((dict == NULL) == (ag_error() != NULL));
        ag_state_dict_free(dict);
        ag_clear_error();
        bytes[i] = was;
    }
    bytes[n] = 0;
    put(bytes, n + 1);
    REFUSED(ag_load(path), "the header speaks of 101 bytes of data, but there are 102");
}
END_TEST

START_TEST(a_header_length_that_cannot_be)
{
    static const struct {
        uint64_t length, file;
        const char *sentence;
    } rows[] = {
        { 3, 10, "the header would take 3 bytes of a file of 10" },
        { UINT64_MAX, 10, "the header would take 18446744073709551615 bytes of a file of 10" },
        { (uint64_t)1 << 63, 10, "the header would take 9223372036854775808 bytes" },
        { UINT64_MAX - 7, 10, "the header would take 18446744073709551608 bytes" },
        { 100000001, 200000000, "the header would take 100000001 bytes" },
        { 0, 8, NOT_A_HEADER "'{' expected at byte 0" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        put(&rows[i].length, 8);
        ck_assert_int_eq(truncate(path, (off_t)rows[i].file), 0); /* longer: without taking room */
        REFUSED(ag_load(path), rows[i].sentence);
    }
}
END_TEST

START_TEST(nothing_is_made_before_the_whole_file_has_been_checked)
{
    if (getenv("AG_TEST_VALGRIND")) return; /* which has a malloc of its own */
    enum { LARGE = 4 << 20 };
    static const char *const both[] = {
        "{" TENSOR("y", "F32", "[9]", "[4194304,4194308]") "," TENSOR("x", "U8", "[4194304]", "[0,4194304]") "}",
        "{" TENSOR("y", "F32", "[9]", "[0,4]") "," TENSOR("x", "U8", "[4194304]", "[4,4194308]") "}",
    };
    int64_t allocations[2];
    for (int i = 0; i < 2; i++) { /* the lie comes after the large one, or before it */
        put_header(both[i], strlen(both[i]), LARGE + 4);
        ag_empty_cache();
        interpose_start(0, false);
        StateDict *dict = ag_load(path);
        allocations[i] = interpose_stop();
        REFUSED(dict, "tensor 'y' of shape [9], float32, takes 36 bytes");
    }
    ck_assert_int_eq(allocations[0], allocations[1]);
}
END_TEST

/* ---- what is no file ---- */

/* As somebody who is not the superuser, where that can be. */
static bool as_nobody(void) { return geteuid() != 0 || (chown(folder, 65534, 65534) == 0 && seteuid(65534) == 0); }

START_TEST(what_is_not_a_file_cannot_be_loaded)
{
    char long_path[5000];
    memset(long_path, 'x', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = 0;
    REFUSED(ag_load(NULL), "load: the path is NULL");
    REFUSED(ag_load(path), "it cannot be opened: No such file or directory");
    REFUSED(ag_load(""), "it cannot be opened: No such file or directory");
    REFUSED(ag_load(long_path), "");
    REFUSED(ag_load(folder), "it is not a file");
    REFUSED(ag_load("/dev/null"), "it is not a file");
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    REFUSED(ag_load(path), "it is not a file"); /* and it is not waited for */
    ck_assert_int_eq(unlink(path), 0);
    put("", 0);
    REFUSED(ag_load(path), "0 bytes are too few for a safetensors file");
    ck_assert_int_eq(chmod(path, 0), 0);
    if (as_nobody()) REFUSED(ag_load(path), "it cannot be opened: Permission denied");
    if (geteuid() == 65534) ck_assert_int_eq(seteuid(0), 0);
    ck_assert_int_eq(ag_error_code(), AG_OK);
}
END_TEST

/* ---- saving ---- */

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
        OK(ag_save(dict, path));
        ck_assert_int_eq(mode_of(path), 0666 & ~masks[i]);
        ck_assert_int_eq(files(false), 1);
        unlink(path);
    }
    OK(ag_save(dict, path));
    static const mode_t modes[] = { 0600, 0640, 0664, 0666 };
    umask(022);
    for (int i = 0; i < 4; i++) {
        ck_assert_int_eq(chmod(path, modes[i]), 0);
        OK(ag_save(dict, path));
        ck_assert_int_eq(mode_of(path), modes[i]);
    }
    ag_state_dict_free(dict);
}
END_TEST

START_TEST(links_are_followed_to_the_file)
{
    StateDict *one = small_dict(1), *two = small_dict(2);
    char link[64], there[64];
    snprintf(link, sizeof link, "%s/link", folder);
    snprintf(there, sizeof there, "%s/there", folder);
    ck_assert_int_eq(symlink("there", link), 0);
    OK(ag_save(one, link)); /* where there is nothing yet */
    ck_assert(mode_of(link) == 0 && mode_of(there) != 0 && has(there, 1));
    OK(ag_save(two, link));
    ck_assert(mode_of(link) == 0 && has(there, 2));
    ck_assert_int_eq(symlink(link, path), 0); /* a link to the link, by its whole name */
    OK(ag_save(one, path));
    ck_assert(mode_of(path) == 0 && mode_of(link) == 0 && has(there, 1));
    ck_assert_int_eq(files(false), 3);
    ck_assert_int_eq(unlink(there), 0);
    ck_assert_int_eq(symlink("file", there), 0); /* round and round */
    REFUSED(ag_save(one, path), "it cannot be followed: Too many levels of symbolic links");
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
    snprintf(inside, sizeof inside, "%s/none/file", folder);
    REFUSED(ag_save(NULL, path), "save: the dictionary is NULL");
    REFUSED(ag_save(dict, NULL), "save: the path is NULL");
    REFUSED(ag_save(dict, inside), "it cannot be made: No such file or directory");
    REFUSED(ag_save(dict, folder), "it is not a file");
    REFUSED(ag_save(dict, "/dev/full"), "/dev/full: it is not a file");
    REFUSED(ag_save(dict, ""), "");
    REFUSED(ag_save(dict, long_path), "the path is too long");
    snprintf(inside, sizeof inside, "%s/file/file", folder);
    put("", 0);
    REFUSED(ag_save(dict, inside), "Not a directory");
    ck_assert_int_eq(files(false), 1);

    /* a name as long as a name can be */
    snprintf(long_path, sizeof long_path, "%s/%0255d", folder, 1);
    OK(ag_save(dict, long_path));
    ck_assert(has(long_path, 1));
    ck_assert_int_eq(chdir(folder), 0);
    OK(ag_save(dict, "plain"));
    ck_assert(has("plain", 1));
    ck_assert_int_eq(chdir("/"), 0);

    ck_assert_int_eq(chmod(path, 0444), 0);
    if (as_nobody()) {
        REFUSED(ag_save(dict, path), "it cannot be written: Permission denied");
        ck_assert_int_eq(chmod(folder, 0500), 0);
        REFUSED(ag_save(dict, inside), "");
        snprintf(inside, sizeof inside, "%s/other", folder);
        REFUSED(ag_save(dict, inside), "it cannot be made: Permission denied");
    }
    if (geteuid() == 65534) ck_assert_int_eq(seteuid(0), 0);
    ag_state_dict_free(dict);
}
END_TEST

START_TEST(a_save_that_fails_half_way_leaves_the_old_file_and_nothing_else)
{
    StateDict *one = small_dict(1), *two = small_dict(2);
    OK(ag_save(one, path));
    struct rlimit before, few;
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    for (rlim_t bytes = 0; bytes < 1200; bytes += 300) {
        few = (struct rlimit){ bytes, before.rlim_max };
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &few), 0);
        bool saved = ag_save(two, path);
        ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
        ck_assert_int_eq(ag_error_code(), AG_EIO);
        REFUSED(saved, "it cannot be written: File too large");
        ck_assert(has(path, 1));
        ck_assert_int_eq(files(false), 1);
    }
    OK(ag_save(two, path));
    ck_assert(has(path, 2));
    ag_add(NULL, NULL); /* while an error stands nothing is written */
    ck_assert(!ag_save(one, path));
    ag_clear_error();
    ck_assert(has(path, 2));
    ag_state_dict_free(one);
    ag_state_dict_free(two);
}
END_TEST

START_TEST(names_that_a_file_cannot_have)
{
    StateDict *dict = small_dict(1);
    OK(ag_state_dict_set(dict, "__metadata__", ag_ones(AG_SHAPE(1))));
    REFUSED(ag_save(dict, path), "save: the name __metadata__ stands for a file's texts");
    ag_state_dict_free(dict);

    enum { LONG = 100000000 };
    char *text = malloc(LONG + 1);
    memset(text, 'x', LONG);
    text[LONG] = 0;
    dict = small_dict(1);
    OK(ag_state_dict_set_text(dict, "long", text));
    free(text);
    REFUSED(ag_save(dict, path), "bytes, but readers accept up to 100000000");
    ck_assert_int_eq(files(false), 0);
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
    OK(ag_save(one, path));
    int failures[2] = { 0 };
    for (int64_t at = 1;; at++) {
        ag_empty_cache();
        interpose_start(at, true);
        bool saved = ag_save(two, path);
        interpose_stop();
        if (saved) break;
        failures[0]++;
        ck_assert_int_eq(ag_error_code(), AG_ENOMEM);
        ag_clear_error();
        ck_assert(has(path, 1));
        ck_assert_int_eq(files(false), 1);
    }
    for (int onwards = 0; onwards < 2; onwards++)
        for (int64_t at = 1;; at++) {
            AG_SCOPE;
            ag_empty_cache();
            interpose_start(at, onwards);
            StateDict *back = ag_load(path);
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

/* ---- the reference reader's verdicts ---- */

/* The file of verdicts, unpacked; NULL, with a sentence on stderr, where there is none. */
static FILE *verdicts(void)
{
    static const char name[] = "safetensors_verdicts.jsonl.xz", beside[] = AG_TEST_DATA "/../../../shared/conformance";
    const char *where = getenv("AG_CONFORMANCE");
    char text[500];
    snprintf(text, sizeof text, "%s/%s", where ? where : beside, name);
    if (access(text, R_OK)) {
        fprintf(stderr, "there is no %s: passed over\n", text);
        return NULL;
    }
    if (system("xz --version >/dev/null 2>&1") != 0) {
        fprintf(stderr, "there is no xz to unpack %s: passed over\n", text);
        return NULL;
    }
    snprintf(text, sizeof text, "xz -dc '%s/%s'", where ? where : beside, name);
    return popen(text, "r");
}

/* "a:F32:[2, 2]:16" for x, as far as it is written; false where the reader has its own words for a name. */
static bool describes(const char *words, const char *name, Variable *x)
{
    static const char *const type[] = { [AG_FLOAT32] = "F32", [AG_FLOAT64] = "F64", [AG_INT64] = "I64",
                                        [AG_INT32] = "I32",   [AG_UINT8] = "U8",    [AG_BOOL] = "BOOL" };
    char shape[200] = "[", text[600];
    Shape s = ag_shape(x);
    for (int64_t d = 0; d < s.n; d++)
        snprintf(shape + strlen(shape), sizeof shape - strlen(shape), d ? ", %lld" : "%lld", (long long)s.at[d]);
    snprintf(text, sizeof text, "\"%s:%s:%s]:%lld\"", name, type[ag_dtype_of(x)], shape,
             (long long)(ag_numel(x) * (int64_t)ag_dtype_size(ag_dtype_of(x))));
    return strstr(words, text) != NULL;
}

static int hex(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

START_TEST(the_reader_is_nowhere_laxer_than_the_reference)
{
    FILE *file = verdicts();
    if (!file) return;
    char *line = NULL, *laxer = NULL;
    size_t room = 0;
    int n = 0, accepted = 0, stricter = 0, unsupported = 0, compared = 0;
    while (getline(&line, &room, file) > 0) {
        AG_SCOPE;
        char *bytes = strstr(line, "\"hex\": \"") + 8, *at = bytes, *verdict = strstr(line, "\"verdict\": \"") + 12;
        size_t length = 0;
        for (; *at != '"'; at += 2) bytes[length++] = (char)(hex(at[0]) << 4 | hex(at[1]));
        put(bytes, length);
        bool right = strncmp(verdict, "OK", 2) == 0;
        StateDict *dict = ag_load(path);
        ck_assert((dict == NULL) == (ag_error() != NULL));
        n++;
        accepted += right;
        if (dict && !right && !laxer) laxer = strdup(line);
        if (!dict && right) {
            stricter++;
            unsupported += ag_error_code() == AG_ENOTSUP;
            if (getenv("AG_TEST_LONG")) fprintf(stderr, "stricter: %s\n", ag_error());
        }
        for (ag_state_item s = { 0 }; dict && right && ag_state_dict_next(dict, &s);) {
            bool plain = s.name[strspn(s.name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._")] ==
                         0;
            if (!plain) continue;
            compared++;
            ck_assert_msg(describes(verdict, s.name, s.variable), "%s: %s is another", line, s.name);
        }
        ag_clear_error();
        ag_state_dict_free(dict);
    }
    ck_assert_int_eq(pclose(file), 0);
    ck_assert_msg(!laxer, "the reference refuses what was read here: %s", laxer);
    ck_assert_int_ge(n, 19000);
    ck_assert_int_gt(accepted - stricter, 300);
    ck_assert_int_gt(compared, 300);
    fprintf(stderr,
            "%d byte strings, %d right; stricter %d times, %d of them for a type or shape that is not supported\n", n,
            accepted, stricter, unsupported);
    free(line);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("safetensors");
    TCase *tcase = tcase_create("safetensors");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_set_timeout(tcase, 0);
    const TTest *tests[] = { what_python_writes_is_read,
                             what_is_written_are_the_bytes_that_python_writes,
                             every_type_shape_and_layout_comes_back,
                             a_module_comes_back,
                             a_header_that_is_wrong_is_refused_with_a_sentence,
                             a_file_that_is_cut_off_or_damaged,
                             a_header_length_that_cannot_be,
                             nothing_is_made_before_the_whole_file_has_been_checked,
                             what_is_not_a_file_cannot_be_loaded,
                             a_new_file_has_the_mode_that_the_umask_leaves_and_a_replaced_one_keeps_its_own,
                             links_are_followed_to_the_file,
                             places_where_nothing_can_be_saved,
                             a_save_that_fails_half_way_leaves_the_old_file_and_nothing_else,
                             names_that_a_file_cannot_have,
                             when_memory_is_out_nothing_is_loaded_and_the_old_file_stays,
                             the_reader_is_nowhere_laxer_than_the_reference };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* test_safetensors_load.c - files that are read: what Python's safetensors writes; and every kind of malformed file,
 * which is refused with a sentence before anything is made for it.
 *
 * Byte strings with the verdict of the reference reader are gone through where there is a file of them:
 * safetensors_verdicts.jsonl.xz in $AG_CONFORMANCE, or in ../shared/conformance beside the source tree. */
#include "interpose.h"
#include "save_folder.h"

#include <sys/stat.h>
#include <unistd.h>

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

/* A file of this header and so many bytes of data, all zero. */
static void put_header(const char *header, size_t n, size_t data)
{
    unsigned char *bytes = calloc(1, 8 + n + data);
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(n >> 8 * i);
    memcpy(bytes + 8, header, n);
    save_put(bytes, 8 + n + data);
    free(bytes);
}

START_TEST(a_header_that_is_wrong_is_refused_with_a_sentence)
{
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        put_header(headers[i].header, strlen(headers[i].header), headers[i].data);
        StateDict *dict = ag_load(save_path);
        const char *wants = headers[i].sentence, *error = ag_error();
        ck_assert_msg(wants ? !dict && error && strstr(error, wants) : dict && !error, "%s: %s", headers[i].header,
                      error ? error : "it is taken");
        ag_state_dict_free(dict);
        ag_clear_error();
    }
    put_header("{\"x\0y\":{}}", 10, 0);
    REFUSED(ag_load(save_path), NOT_A_HEADER "a control character in a string");
    put_header("{\"x\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}\0", 54, 0);
    REFUSED(ag_load(save_path), NOT_A_HEADER "something after its end");
}
END_TEST

/* Every beginning of a right file is too short, and no byte of it may bring the reader down. */
START_TEST(a_file_that_is_cut_off_or_damaged)
{
    unsigned char bytes[2048];
    size_t n = save_contents(REFERENCE, bytes, sizeof bytes);
    for (size_t length = 0; length < n; length++) {
        save_put(bytes, length);
        REFUSED(ag_load(save_path), length < 8 ? "bytes are too few for a safetensors file" : save_path);
    }
    for (size_t i = 0; i < n; i++) {
        AG_SCOPE;
        unsigned char was = bytes[i];
        bytes[i] ^= (unsigned char)(1 << i % 8);
        save_put(bytes, n);
        StateDict *dict = ag_load(save_path);
        ck_assert((dict == NULL) == (ag_error() != NULL));
        ag_state_dict_free(dict);
        ag_clear_error();
        bytes[i] = was;
    }
    bytes[n] = 0;
    save_put(bytes, n + 1);
    REFUSED(ag_load(save_path), "the header speaks of 101 bytes of data, but there are 102");
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
        save_put(&rows[i].length, 8);
        ck_assert_int_eq(truncate(save_path, (off_t)rows[i].file), 0); /* longer: without taking room */
        REFUSED(ag_load(save_path), rows[i].sentence);
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
        StateDict *dict = ag_load(save_path);
        allocations[i] = interpose_stop();
        REFUSED(dict, "tensor 'y' of shape [9], float32, takes 36 bytes");
    }
    ck_assert_int_eq(allocations[0], allocations[1]);
}
END_TEST

/* ---- what is no file ---- */

START_TEST(what_is_not_a_file_cannot_be_loaded)
{
    char long_path[5000];
    memset(long_path, 'x', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = 0;
    REFUSED(ag_load(NULL), "load: the path is NULL");
    REFUSED(ag_load(save_path), "it cannot be opened: No such file or directory");
    REFUSED(ag_load(""), "it cannot be opened: No such file or directory");
    REFUSED(ag_load(long_path), "");
    REFUSED(ag_load(save_folder), "it is not a file");
    REFUSED(ag_load("/dev/null"), "it is not a file");
    ck_assert_int_eq(mkfifo(save_path, 0600), 0);
    REFUSED(ag_load(save_path), "it is not a file"); /* and it is not waited for */
    ck_assert_int_eq(unlink(save_path), 0);
    save_put("", 0);
    REFUSED(ag_load(save_path), "0 bytes are too few for a safetensors file");
    ck_assert_int_eq(chmod(save_path, 0), 0);
    if (save_as_nobody()) REFUSED(ag_load(save_path), "it cannot be opened: Permission denied");
    save_as_before();
    ck_assert_int_eq(ag_error_code(), AG_OK);
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
        save_put(bytes, length);
        bool right = strncmp(verdict, "OK", 2) == 0;
        StateDict *dict = ag_load(save_path);
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

SAVE_MAIN("safetensors, loading", what_python_writes_is_read, a_header_that_is_wrong_is_refused_with_a_sentence,
          a_file_that_is_cut_off_or_damaged, a_header_length_that_cannot_be,
          nothing_is_made_before_the_whole_file_has_been_checked, what_is_not_a_file_cannot_be_loaded,
          the_reader_is_nowhere_laxer_than_the_reference)

/* test_mnist_download.c - MD5 by its own examples, and MNIST from mirrors that are folders here. */
#include "support.h"

#include "datasets/fetch.h"
#include "datasets/md5.h"
#include "datasets/mnist_download.h"

#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

/* ---- MD5 ---- */

static const char *md5_of(const void *data, size_t n, size_t part)
{
    static char digest[33];
    ag__md5 md5;
    ag__md5_begin(&md5);
    for (size_t at = 0; at < n; at += part) ag__md5_add(&md5, (const char *)data + at, part < n - at ? part : n - at);
    ag__md5_end(&md5, digest);
    return digest;
}

START_TEST(md5_is_that_of_rfc_1321)
{
    static const char *const of[][2] = {
        { "", "d41d8cd98f00b204e9800998ecf8427e" },
        { "a", "0cc175b9c0f1b6a831c399e269772661" },
        { "abc", "900150983cd24fb0d6963f7d28e17f72" },
        { "message digest", "f96b697d7cb7938d525a2f31aaf161d0" },
        { "abcdefghijklmnopqrstuvwxyz", "c3fcd3d76192e4007dfb496cca67e13b" },
        { "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", "d174ab98d277d9f5a5611c2c9f419d9f" },
        { "12345678901234567890123456789012345678901234567890123456789012345678901234567890",
          "57edf4a22be3c955ac49da2e2107b67a" },
    };
    for (size_t i = 0; i < sizeof of / sizeof *of; i++)
        for (size_t part = 1; part < 90; part++) ck_assert_str_eq(md5_of(of[i][0], strlen(of[i][0]), part), of[i][1]);
}
END_TEST

/* Lengths around the ends of blocks, by md5sum: (head -c N /dev/zero | tr '\0' x). */
START_TEST(md5_pads_to_whole_blocks)
{
    static const struct {
        size_t n;
        const char *md5;
    } of[] = { { 55, "04364420e25c512fd958a70738aa8f72" },  { 56, "668a72d5ba17f08e62dabcafad6db14b" },
               { 57, "693037871c4a9d3d8685018905cb530a" },  { 63, "7dc2ca208106a2f703567bdff99d8981" },
               { 64, "c1bb4f81d892b2d57947682aeb252456" },  { 65, "1bc932052302d074bdec39795fe00cf6" },
               { 119, "ab347a5f68c8a443cfcddc633f12c24f" }, { 120, "fb98667f98096de92620b64f46e1c5b5" },
               { 128, "d69cb61a6ee87200676eb0d4b90edbcb" } };
    char text[200];
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) ck_assert_str_eq(md5_of(text, of[i].n, 64), of[i].md5);
}
END_TEST

/* ---- a web of folders ---- */

enum { N = 150, SIDE = 5, PIXELS = SIDE * SIDE, MOST = 16 + N * PIXELS };

static char folder[64], root[96], good[128], bad[128], urls[2][160];
static const char *mirrors[3];
static ag__mnist_source source;
static char digests[4][33];
static const char *const names[4] = { "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
                                      "t10k-labels-idx1-ubyte" };

/* The content of file k; how long it is. */
static size_t content(int k, uint8_t *bytes)
{
    int n = k < 2 ? N : 20, ndim = k % 2 ? 1 : 3, each = k % 2 ? 1 : PIXELS;
    uint32_t size[3] = { (uint32_t)n, SIDE, SIDE };
    size_t length = 0;
    for (int b = 0; b < 4; b++) bytes[length++] = (uint8_t[]){ 0, 0, 8, (uint8_t)ndim }[b];
    for (int d = 0; d < ndim; d++)
        for (int b = 0; b < 4; b++) bytes[length++] = (uint8_t)(size[d] >> (24 - 8 * b));
    for (int i = 0; i < n * each; i++) bytes[length++] = (uint8_t)(k % 2 ? i % 10 : i * 7);
    return length;
}

static void put(const char *place, int k, const void *bytes, size_t n)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s.gz", place, names[k]);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, n, file), n);
    ck_assert_int_eq(fclose(file), 0);
}

/* bytes, compressed by gzip; how many */
static size_t pack(const uint8_t *bytes, size_t n, uint8_t *packed, size_t room)
{
    z_stream z = {
        .next_in = (uint8_t *)(uintptr_t)bytes, .avail_in = (uInt)n, .next_out = packed, .avail_out = (uInt)room
    };
    ck_assert_int_eq(deflateInit2(&z, 6, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return z.total_out;
}

static void put_good(const char *place, int k)
{
    uint8_t bytes[MOST], packed[2 * MOST];
    size_t n = content(k, bytes);
    put(place, k, packed, pack(bytes, n, packed, sizeof packed));
}

static void set_up(void)
{
    support_begin();
    strcpy(folder, "/tmp/argent-web-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(root, sizeof root, "%s/root", folder);
    snprintf(good, sizeof good, "%s/good", folder);
    snprintf(bad, sizeof bad, "%s/bad", folder);
    ck_assert(mkdir(good, 0700) == 0 && mkdir(bad, 0700) == 0);
    snprintf(urls[0], sizeof urls[0], "file://%s", bad);
    snprintf(urls[1], sizeof urls[1], "file://%s", good);
    mirrors[0] = urls[0];
    mirrors[1] = urls[1];
    source.mirrors = mirrors;
    for (int k = 0; k < 4; k++) {
        uint8_t bytes[MOST];
        size_t n = content(k, bytes);
        strcpy(digests[k], md5_of(bytes, n, n));
        source.files[k] = (ag__mnist_file){ names[k], (int64_t)n, digests[k] };
        put_good(good, k);
    }
    ag__mnist_download_source = &source;
}

static void tear_down(void)
{
    char command[128];
    ag_set_error_handler(NULL, NULL);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
    support_end();
}

static bool exists(const char *path) { return access(path, F_OK) == 0; }

/* How many files there are below a folder. */
static int count(const char *place)
{
    char command[160];
    int n = -1;
    snprintf(command, sizeof command, "find %s -type f | wc -l", place);
    FILE *p = popen(command, "r");
    ck_assert(p && fscanf(p, "%d", &n) == 1);
    pclose(p);
    return n;
}

static bool no_libcurl(void)
{
    if (ag__fetch_possible()) return false;
    ag_clear_error();
    fprintf(stderr, "libcurl is not there: passed over\n");
    return true;
}

START_TEST(missing_files_come_from_the_first_mirror_that_has_them)
{
    if (no_libcurl()) return;
    Dataset *training = ag_datasets_mnist(root, .download = true);
    OK(training);
    ck_assert_int_eq(ag_dataset_size(training), N);
    ck_assert_int_eq(count(root), 4); /* nothing temporary, and the other set as well */
    for (int k = 0; k < 4; k++) {
        char path[256];
        uint8_t bytes[MOST], came[MOST + 1];
        snprintf(path, sizeof path, "%s/MNIST/raw/%s", root, names[k]);
        FILE *file = fopen(path, "rb");
        ck_assert_ptr_nonnull(file);
        size_t n = fread(came, 1, sizeof came, file);
        fclose(file);
        ck_assert_uint_eq(n, content(k, bytes));
        ck_assert_mem_eq(came, bytes, n);
    }
    ag_dataset_free(training);
}
END_TEST

START_TEST(what_is_there_is_not_asked_for_again)
{
    if (no_libcurl()) return;
    Dataset *first = ag_datasets_mnist(root, .download = true);
    OK(first);
    mirrors[0] = NULL;
    Dataset *second = ag_datasets_mnist(root, .train = false, .download = true);
    OK(second);
    ag_dataset_free(second);
    ag_dataset_free(first);
    /* one that is missing is fetched, the others are left as they are */
    char path[256];
    snprintf(path, sizeof path, "%s/MNIST/raw/%s", root, names[3]);
    ck_assert_int_eq(unlink(path), 0);
    mirrors[0] = urls[1];
    for (int k = 0; k < 3; k++) put(good, k, "", 0);
    second = ag_datasets_mnist(root, .train = false, .download = true);
    OK(second);
    ag_dataset_free(second);
}
END_TEST

START_TEST(nothing_is_downloaded_unasked)
{
    REFUSED(ag_datasets_mnist(root), "is not there (tried ");
    ck_assert(!exists(root));
}
END_TEST

/* ---- what mirrors do ---- */

typedef void Spoil(void);
static void spoil_nothing_there(void) {}
static void spoil_a_page(void) { put(bad, 0, "<html>not found</html>", 22); }
static void spoil_empty(void) { put(bad, 0, "", 0); }
static void spoil_other_content(void)
{
    uint8_t bytes[MOST], packed[2 * MOST];
    size_t n = content(0, bytes);
    bytes[n - 1] ^= 1;
    put(bad, 0, packed, pack(bytes, n, packed, sizeof packed));
}
static void spoil_shorter(void)
{
    uint8_t bytes[MOST], packed[2 * MOST];
    size_t n = content(0, bytes);
    put(bad, 0, packed, pack(bytes, n, packed, sizeof packed) / 2);
}
static void spoil_longer(void) /* much longer than any file it may be */
{
    static uint8_t bytes[1 << 22], packed[1 << 22];
    content(0, bytes);
    put(bad, 0, packed, pack(bytes, sizeof bytes, packed, sizeof packed));
}
static void spoil_behind(void)
{
    uint8_t bytes[MOST], packed[2 * MOST + 1];
    size_t n = content(0, bytes);
    n = pack(bytes, n, packed, 2 * MOST);
    packed[n] = 0;
    put(bad, 0, packed, n + 1);
}

static const struct {
    Spoil *spoil;
    const char *reason;
} spoils[] = {
    { spoil_nothing_there, "file" /* libcurl's words */ },
    { spoil_a_page, "it does not unpack" },
    { spoil_empty, "it ends too early" },
    { spoil_other_content, "its checksum is wrong" },
    { spoil_shorter, "it ends too early" },
    { spoil_longer, "it is too long" },
    { spoil_behind, "it goes on after the end of its compressed data" },
};

START_TEST(a_mirror_whose_file_is_wrong_is_passed_over)
{
    if (no_libcurl()) return;
    for (size_t i = 0; i < sizeof spoils / sizeof *spoils; i++) {
        char command[128];
        spoils[i].spoil();
        Dataset *training = ag_datasets_mnist(root, .download = true);
        OK(training);
        ck_assert_int_eq(count(root), 4);
        ag_dataset_free(training);
        snprintf(command, sizeof command, "rm -rf %s", root);
        ck_assert_int_eq(system(command), 0);
    }
}
END_TEST

START_TEST(where_no_mirror_has_it_the_sentence_says_what_each_had)
{
    if (no_libcurl()) return;
    mirrors[1] = NULL;
    for (size_t i = 0; i < sizeof spoils / sizeof *spoils; i++) {
        spoils[i].spoil();
        ck_assert(!ag_datasets_mnist(root, .download = true));
        ck_assert_int_eq(ag_error_code(), AG_EIO);
        ck_assert_ptr_nonnull(
            strstr(ag_error(), "mnist: train-images-idx3-ubyte could not be downloaded (file:///tmp/"));
        ck_assert_ptr_nonnull(strstr(ag_error(), "; tools/fetch-mnist "));
        REFUSED(ag_error() == NULL, spoils[i].reason);
        ck_assert(!exists(root)); /* nothing is left behind */
    }
}
END_TEST

/* ---- what goes wrong on this side ---- */

static jmp_buf out_of_the_handler;
static bool something_left;

static void leave(ag_error_kind kind, const char *sentence, void *user)
{
    (void)kind, (void)sentence, (void)user;
    something_left = exists(root);
    longjmp(out_of_the_handler, 1);
}

START_TEST(the_handler_hears_of_it_when_the_remains_are_gone)
{
    if (no_libcurl()) return;
    mirrors[1] = NULL;
    spoil_shorter();
    something_left = true;
    ag_set_error_handler(leave, NULL);
    if (!setjmp(out_of_the_handler)) ag_datasets_mnist(root, .download = true);
    ck_assert(!something_left);
    REFUSED(ag_error() == NULL, "it ends too early");
}
END_TEST

START_TEST(the_folder_and_those_above_it_are_made_and_removed_if_nothing_came)
{
    if (no_libcurl()) return;
    char below[160];
    snprintf(below, sizeof below, "%s/../root//a/b/", root);
    mirrors[0] = NULL;
    REFUSED(ag_datasets_mnist(below, .download = true), "could not be downloaded");
    ck_assert(!exists(root));
    mirrors[0] = urls[1];
    ck_assert_int_eq(mkdir(root, 0700), 0);
    Dataset *training = ag_datasets_mnist(below, .download = true);
    OK(training);
    ck_assert_int_eq(count(root), 4);
    ag_dataset_free(training);

    ck_assert_int_eq(chdir(bad), 0);
    training = ag_datasets_mnist("", .download = true); /* here, as in Python */
    OK(training);
    ck_assert_int_eq(count("MNIST"), 4);
    ag_dataset_free(training);
    ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

START_TEST(a_folder_that_cannot_be_made_gives_a_sentence)
{
    if (no_libcurl()) return;
    char below[160];
    FILE *file = fopen(root, "w");
    ck_assert(file && fclose(file) == 0);
    REFUSED(ag_datasets_mnist(root, .download = true), "root/MNIST cannot be made: Not a directory");
    snprintf(below, sizeof below, "%s/file/below", root);
    REFUSED(ag_datasets_mnist(below, .download = true), "cannot be made: Not a directory");
}
END_TEST

START_TEST(a_full_disk_ends_the_search)
{
    if (no_libcurl()) return;
    struct rlimit before, few;
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    few = (struct rlimit){ 300, before.rlim_max };
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &few), 0);
    Dataset *training = ag_datasets_mnist(root, .download = true);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    ck_assert_int_eq(ag_error_code(), AG_EIO);
    REFUSED(training, "MNIST/raw/train-images-idx3-ubyte: it cannot be written: File too large");
    ck_assert(!exists(root));
}
END_TEST

START_TEST(without_libcurl_the_sentence_says_what_is_missing)
{
    static const char *const none[] = { "libnothing-of-the-kind.so.4", NULL };
    const char *const *usual = ag__libcurl_names;
    ag__libcurl_names = none;
    ck_assert(!ag_datasets_mnist(root, .download = true));
    ag__libcurl_names = usual;
    ck_assert_int_eq(ag_error_code(), AG_ENOTSUP);
    REFUSED(ag_error() == NULL, "downloading takes libcurl (libcurl.so.4), which is not there");
    ck_assert(!exists(root));
}
END_TEST

int main(void)
{
    const TTest *all[] = {
        md5_is_that_of_rfc_1321,
        md5_pads_to_whole_blocks,
        missing_files_come_from_the_first_mirror_that_has_them,
        what_is_there_is_not_asked_for_again,
        nothing_is_downloaded_unasked,
        a_mirror_whose_file_is_wrong_is_passed_over,
        where_no_mirror_has_it_the_sentence_says_what_each_had,
        the_handler_hears_of_it_when_the_remains_are_gone,
        the_folder_and_those_above_it_are_made_and_removed_if_nothing_came,
        a_folder_that_cannot_be_made_gives_a_sentence,
        a_full_disk_ends_the_search,
        without_libcurl_the_sentence_says_what_is_missing,
    };
    return support_main_with("mnist, downloading", all, sizeof all / sizeof *all, set_up, tear_down);
}

/* test_tensor_print.c - tensors as print() prints them in PyTorch, from recorded cases (tools/record-print.py). */
#include "tensor_cases.h"

#include "tensor/print.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* What the locale puts in place of the decimal point. The library's calls of snprintf come here, so that every locale
 * can be had on every machine. */
static const char *point = ".";

int snprintf(char *text, size_t room, const char *form, ...)
{
    va_list list;
    va_start(list, form);
    int length = vsnprintf(text, room, form, list);
    va_end(list);
    if (strncmp(form, "%.*", 3) != 0 || strcmp(point, ".") == 0) return length;
    char *at = strchr(text, '.'), rest[64];
    if (!at) return length;
    strcpy(rest, at + 1);
    strcpy(stpcpy(at, point), rest);
    return (int)strlen(text);
}

/* ---- recorded cases ---- */

typedef struct print_case {
    ag_tensor x;
    char memory[1 << 19], suffix[64], expected[1 << 16];
} print_case;
static print_case c;

static const char *word(void) { return strtok(NULL, " \n"); }
static int64_t number(void) { return strtoll(word(), NULL, 10); }

static void put_number(int64_t i, ag_dtype dtype, const char *text)
{
    char *at = c.memory + (size_t)i * ag_dtype_size(dtype);
    ck_assert(at + 8 < c.memory + sizeof c.memory);
    if (ag_dtype_is_floating_point(dtype))
        ag__store(at, dtype, strtod(text, NULL));
    else
        ag__store_int64(at, dtype, strtoll(text, NULL, 10));
}

static void read_tensor(char *line)
{
    int64_t size[AG_MAX_DIMS], stride[AG_MAX_DIMS];
    ck_assert_str_eq(strtok(line, " "), "tensor");
    const char *name = word();
    int dtype = 0;
    while (strcmp(ag_dtype_name((ag_dtype)dtype), name) != 0) ck_assert_int_lt(++dtype, AG_N_DTYPES);
    int ndim = (int)number();
    for (int d = 0; d < ndim; d++) size[d] = number();
    for (int d = 0; d < ndim; d++) stride[d] = number();
    int64_t offset = number();
    bool linear = strcmp(word(), "linear") == 0;
    int64_t n = number();
    double first = linear ? strtod(word(), NULL) : 0, step = linear ? strtod(word(), NULL) : 0;
    for (int64_t i = 0; i < n; i++) {
        if (linear)
            ag__store(c.memory + (size_t)i * ag_dtype_size((ag_dtype)dtype), (ag_dtype)dtype, first + step * (double)i);
        else
            put_number(i, (ag_dtype)dtype, word());
    }
    c.x = tensor_on(c.memory + (size_t)offset * ag_dtype_size((ag_dtype)dtype), (ag_dtype)dtype, ndim, size, stride);
}

/* Into c; false after the last. */
static bool next_case(FILE *file)
{
    static char *line;
    static size_t room;
    if (getline(&line, &room, file) < 0) {
        free(line);
        line = NULL;
        return false;
    }
    read_tensor(line);
    ck_assert(getline(&line, &room, file) > 0);
    ck_assert_int_eq(strncmp(line, "suffix ", 7), 0);
    strcpy(c.suffix, line + 7);
    c.suffix[strcspn(c.suffix, "\n")] = 0;
    size_t length = 0;
    while (getline(&line, &room, file) > 0 && strcmp(line, "end\n") != 0) {
        ck_assert_uint_lt(length + strlen(line), sizeof c.expected);
        strcpy(c.expected + length, line);
        length += strlen(line);
    }
    c.expected[length - 1] = 0;
    return true;
}

static int print_all(void)
{
    FILE *file = fopen(AG_TEST_DATA "/print_cases.txt", "r");
    ck_assert_ptr_nonnull(file);
    int n = 0;
    for (; next_case(file); n++) {
        static char text[sizeof c.expected];
        size_t length = ag__tensor_print(text, sizeof text, &c.x, *c.suffix ? c.suffix : NULL);
        ck_assert_msg(strcmp(text, c.expected) == 0, "case %d\n%s\nexpected\n%s", n + 1, text, c.expected);
        ck_assert_uint_eq(length, strlen(text));
    }
    fclose(file);
    return n;
}

START_TEST(a_tensor_prints_to_the_letter_as_in_pytorch) { ck_assert_int_gt(print_all(), 150); }
END_TEST

START_TEST(the_locale_has_no_say)
{
    static const char *const points[] = { ",", "\xd9\xab" }; /* German, Arabic */
    point = points[_i];
    ck_assert_int_gt(print_all(), 150);
    point = ".";
}
END_TEST

/* ---- the buffer ---- */

START_TEST(a_short_buffer_gets_the_beginning_and_the_length_is_told)
{
    float data[] = { 1, 2.5f, -3 };
    ag_tensor x = tensor_on(data, AG_FLOAT32, 1, (int64_t[]){ 3 }, NULL);
    const char *whole = "tensor([ 1.0000,  2.5000, -3.0000])";
    for (size_t room = 0; room < 40; room++) {
        char text[48];
        memset(text, '#', sizeof text);
        ck_assert_uint_eq(ag__tensor_print(text, room, &x, NULL), strlen(whole));
        size_t fits = room == 0 ? 0 : strlen(whole) < room ? strlen(whole) : room - 1;
        ck_assert_int_eq(strncmp(text, whole, fits), 0);
        if (room > 0) ck_assert_int_eq(text[fits], 0);
        for (size_t i = room ? fits + 1 : 0; i < sizeof text; i++) ck_assert_int_eq(text[i], '#');
    }
    ck_assert_uint_eq(ag__tensor_print(NULL, 0, &x, NULL), strlen(whole));
}
END_TEST

START_TEST(the_default_type_goes_without_saying)
{
    double data = 0.5;
    char text[64];
    ag_tensor x = tensor_on(&data, AG_FLOAT64, 0, NULL, NULL);
    ag__tensor_print(text, sizeof text, &x, NULL);
    ck_assert_str_eq(text, "tensor(0.5000, dtype=torch.float64)");
    ck_assert(ag_set_default_dtype(AG_FLOAT64));
    ag__tensor_print(text, sizeof text, &x, NULL);
    ck_assert_str_eq(text, "tensor(0.5000)");
    ck_assert(ag_set_default_dtype(AG_FLOAT32));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor/print");
    TCase *t = tcase_create("print");
    tcase_set_timeout(t, 120);
    tcase_add_test(t, a_tensor_prints_to_the_letter_as_in_pytorch);
    tcase_add_loop_test(t, the_locale_has_no_say, 0, 2);
    tcase_add_test(t, a_short_buffer_gets_the_beginning_and_the_length_is_told);
    tcase_add_test(t, the_default_type_goes_without_saying);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}

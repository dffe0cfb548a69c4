/* test_tensor_device.c - the names of devices and the table of what each can do. */
#include "tensor_cases.h"

#include "tensor/device_table.h"

#include <string.h>

START_TEST(a_name_becomes_a_device_and_back)
{
    static const struct {
        const char *text, *name;
        ag_device_type type;
        int index;
    } rows[] = {
        { "cpu", "cpu", AG_DEVICE_CPU, 0 },           { "cuda", "cuda:0", AG_DEVICE_CUDA, 0 },
        { "cuda:0", "cuda:0", AG_DEVICE_CUDA, 0 },    { "cuda:1", "cuda:1", AG_DEVICE_CUDA, 1 },
        { "cuda:10", "cuda:10", AG_DEVICE_CUDA, 10 }, { "cuda:99", "cuda:99", AG_DEVICE_CUDA, 99 },
    };
    ag_device device;
    ck_assert(ag_device_parse(rows[_i].text, &device));
    ck_assert_int_eq(device.type, rows[_i].type);
    ck_assert_int_eq(device.index, rows[_i].index);
    ck_assert_str_eq(ag_device_name(device), rows[_i].name);
}
END_TEST

START_TEST(anything_else_is_refused_with_a_sentence)
{
    static const char *const texts[] = { "",        "gpu",      "CPU",     "cpu:0", "cuda:", "cuda:-1",
                                         "cuda:01", "cuda:100", "cuda:1 ", "cuda1", " cuda" };
    char sentence[256];
    ag_device device = AG_DEVICE(AG_DEVICE_CUDA, 7);
    snprintf(sentence, sizeof sentence,
             "device_parse: '%s' is not a device; expected 'cpu', 'cuda' or 'cuda:N' with N from 0 to 99", texts[_i]);
    ck_assert(!ag_device_parse(texts[_i], &device));
    ck_assert_int_eq(ag_error_code(), AG_EINVAL);
    error_is(sentence);
    ck_assert_int_eq(device.index, 7); /* as it was */
}
END_TEST

START_TEST(null_is_refused_with_a_sentence)
{
    ag_device device;
    ck_assert(!ag_device_parse(NULL, &device));
    error_is("device_parse: text is NULL");
    ck_assert(!ag_device_parse("cpu", NULL));
    error_is("device_parse: device is NULL");
}
END_TEST

START_TEST(a_device_that_is_not_one_still_has_a_text)
{
    ck_assert_str_eq(ag_device_name(AG_ANY_DEVICE), "default");
    ck_assert_str_eq(ag_device_name(AG_DEVICE(5, 0)), "unknown device");
    ck_assert_str_eq(ag_device_name(AG_DEVICE(AG_DEVICE_CUDA, -1)), "unknown device");
    ck_assert_str_eq(ag_device_name(AG_DEVICE(AG_DEVICE_CUDA, 100)), "unknown device");
}
END_TEST

START_TEST(the_cpu_can_do_all_that_the_table_asks)
{
    const ag_device_functions *cpu = ag__device_functions(AG_CPU);
    ck_assert_ptr_nonnull(cpu);
    ck_assert_str_eq(cpu->name, "cpu");
    ck_assert_int_eq(cpu->count(), 1);
    char *p = cpu->alloc(AG_CPU, 1000);
    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq((uintptr_t)p % 64, 0);
    char text[8] = "";
    ck_assert(cpu->copy(AG_CPU, p + 990, "argent", 7, AG_COPY_TO_DEVICE, NULL));
    ck_assert(cpu->copy(AG_CPU, text, p + 990, 7, AG_COPY_TO_HOST, NULL));
    ck_assert_str_eq(text, "argent");
    ck_assert(cpu->copy(AG_CPU, NULL, NULL, 0, AG_COPY_ON_DEVICE, NULL));
    ck_assert(cpu->synchronize(AG_CPU));
    cpu->free(AG_CPU, p, 1000);
}
END_TEST

START_TEST(a_device_that_is_not_there_gives_the_reason)
{
    ck_assert_ptr_null(ag__device_functions(AG_DEVICE(AG_DEVICE_CPU, 1)));
    ck_assert_int_eq(ag_error_code(), AG_EDEVICE);
    error_is("device: cpu has no device 1: there are 1");
    ck_assert_ptr_null(ag__device_functions(AG_DEVICE(2, 0)));
    ck_assert_int_eq(ag_error_code(), AG_EINVAL);
    error_is("device: there is no device type 2");
    if (!ag_cuda_is_available()) {
        ck_assert_ptr_null(ag_error());
        ck_assert_ptr_null(ag__device_functions(AG_CUDA));
        ck_assert_int_eq(ag_error_code(), AG_EDEVICE);
        ck_assert_ptr_nonnull(strstr(ag_error(), "cuda:0 is not available"));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("tensor/device");
    TCase *t = tcase_create("device");
    tcase_add_loop_test(t, a_name_becomes_a_device_and_back, 0, 6);
    tcase_add_loop_test(t, anything_else_is_refused_with_a_sentence, 0, 11);
    tcase_add_test(t, null_is_refused_with_a_sentence);
    tcase_add_test(t, a_device_that_is_not_one_still_has_a_text);
    tcase_add_test(t, the_cpu_can_do_all_that_the_table_asks);
    tcase_add_test(t, a_device_that_is_not_there_gives_the_reason);
    suite_add_tcase(suite, t);
    return run_suite(suite);
}

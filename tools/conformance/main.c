/* main.c - ag-conformance: the library held against recorded results of PyTorch; see docs/conformance.md. */
#include "opinfo.h"
#include "programs.h"
#include "refusals.h"
#include "values.h"

#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: ag-conformance DIR... [--op NAME] [--dtype f32|f64] [--json FILE] [--list-unsupported] [--dump DIR]\n"
    "                             [--required FILE] [--differs FILE] [--device DEVICE] [--not-there FILE]\n"
    "       ag-conformance --programs FILE.jsonl [--device DEVICE] [--json FILE]\n"
    "       ag-conformance --errors FILE.json [--op NAME] [--device DEVICE] [--json FILE]\n";

static int fail_usage(const char *what, const char *argument)
{
    fprintf(stderr, "ag-conformance: %s %s\n%s", what, argument, usage);
    return 2;
}

typedef struct arguments {
    options o;
    const char *programs, *errors, *device;
    int n_folders; /* at the front of argv */
} arguments;

/* false with a message. */
static bool read_arguments(arguments *a, int argc, char **argv)
{
    const struct {
        const char *name;
        const char **value;
    } valued[] = { { "--op", &a->o.op },       { "--dtype", &a->o.dtype },         { "--json", &a->o.json },
                   { "--dump", &a->o.dump },   { "--required", &a->o.required },   { "--differs", &a->o.differs },
                   { "--device", &a->device }, { "--not-there", &a->o.not_there }, { "--programs", &a->programs },
                   { "--errors", &a->errors } };
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-') {
            argv[a->n_folders++] = argv[i];
            continue;
        }
        if (strcmp(argv[i], "--list-unsupported") == 0) {
            a->o.list_unsupported = true;
            continue;
        }
        size_t k = 0;
        while (k < sizeof valued / sizeof *valued && strcmp(argv[i], valued[k].name)) k++;
        if (k == sizeof valued / sizeof *valued) return fail_usage("there is no option", argv[i]), false;
        if (i + 1 == argc) return fail_usage("a value is missing after", argv[i]), false;
        *valued[k].value = argv[++i];
    }
    return true;
}

int main(int argc, char **argv)
{
    arguments a = { .o = { .required = AG_CONFORMANCE_LISTS "/required.txt",
                           .differs = AG_CONFORMANCE_LISTS "/differs-2.13.txt" } };
    if (argc == 2 && strcmp(argv[1], "--help") == 0) return fputs(usage, stdout), 0;
    if (!read_arguments(&a, argc, argv)) return 2;
    if ((a.n_folders > 0) + (a.programs != NULL) + (a.errors != NULL) != 1)
        return fail_usage("name folders, or a file of programs,", "or one of refused calls");
    if (a.device &&
        (!ag_device_parse(a.device, &device_of_cases) || !ag_zeros(AG_SCALAR_SHAPE, .device = device_of_cases)))
        return fprintf(stderr, "ag-conformance: %s\n", ag_error()), 2;
    if (!a.o.not_there && device_of_cases.type != AG_DEVICE_CPU)
        a.o.not_there = AG_CONFORMANCE_LISTS "/not-on-cuda.txt";
    if (a.programs) return run_programs(a.programs, a.o.json);
    if (a.errors) return run_refusals(&a.o, a.errors);
    return run_opinfo(&a.o, a.n_folders, argv);
}

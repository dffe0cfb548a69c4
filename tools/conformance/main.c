/* main.c - ag-conformance: the library held against recorded results of PyTorch; see docs/conformance.md. */
#include "opinfo.h"
#include "programs.h"

#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: ag-conformance DIR... [--op NAME] [--dtype f32|f64] [--json FILE] [--list-unsupported] [--dump DIR]\n"
    "                             [--required FILE] [--differs FILE]\n"
    "       ag-conformance --programs FILE.jsonl [--json FILE]\n";

static int fail_usage(const char *what, const char *argument)
{
    fprintf(stderr, "ag-conformance: %s %s\n%s", what, argument, usage);
    return 2;
}

int main(int argc, char **argv)
{
    const char *programs = NULL;
    options o = { .required = AG_CONFORMANCE_LISTS "/required.txt",
                  .differs = AG_CONFORMANCE_LISTS "/differs-2.13.txt" };
    const struct {
        const char *name;
        const char **value;
    } valued[] = { { "--op", &o.op },          { "--dtype", &o.dtype },       { "--json", &o.json },
                   { "--dump", &o.dump },      { "--required", &o.required }, { "--differs", &o.differs },
                   { "--programs", &programs } };
    int n = 0;
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] != '-') {
            argv[n++] = argv[i];
            continue;
        }
        if (strcmp(argv[i], "--list-unsupported") == 0) {
            o.list_unsupported = true;
            continue;
        }
        if (strcmp(argv[i], "--help") == 0) return fputs(usage, stdout), 0;
        size_t k = 0;
        while (k < sizeof valued / sizeof *valued && strcmp(argv[i], valued[k].name)) k++;
        if (k == sizeof valued / sizeof *valued) return fail_usage("there is no option", argv[i]);
        if (i + 1 == argc) return fail_usage("a value is missing after", argv[i]);
        *valued[k].value = argv[++i];
    }
    if (programs && !n) return run_programs(programs, o.json);
    if (!n || programs) return fail_usage("one or more folders or one file of programs", "must be named");
    return run_opinfo(&o, n, argv);
}

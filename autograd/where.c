/* where.c - from a return address to file and line; see where.h. */
#include "autograd/where.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef AG_HAVE_LIBDW
#include <elfutils/libdwfl.h>
#include <unistd.h>

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Reads this process's modules afresh: reports are rare, and libraries come and go. */
static bool print_line(FILE *file, const void *address)
{
    static char *debug_path;
    static const Dwfl_Callbacks callbacks = { .find_elf = dwfl_linux_proc_find_elf,
                                              .find_debuginfo = dwfl_standard_find_debuginfo,
                                              .debuginfo_path = &debug_path };
    Dwfl *dwfl = dwfl_begin(&callbacks);
    if (!dwfl) return false;
    bool found = false;
    if (dwfl_linux_proc_report(dwfl, getpid()) == 0 && dwfl_report_end(dwfl, NULL, NULL) == 0) {
        Dwarf_Addr at = (Dwarf_Addr)(uintptr_t)address - 1; /* inside the call, not after it */
        Dwfl_Module *module = dwfl_addrmodule(dwfl, at);
        Dwfl_Line *line = module ? dwfl_module_getsrc(module, at) : NULL;
        const char *name = module ? dwfl_module_addrname(module, at) : NULL;
        int number = 0;
        const char *source = line ? dwfl_lineinfo(line, NULL, &number, NULL, NULL, NULL) : NULL;
        found = source != NULL;
        if (found) fprintf(file, " at %s:%d", last_part(source), number);
        if (found && name) fprintf(file, " (%s)", name);
    }
    dwfl_end(dwfl);
    return found;
}
#else
static bool print_line(FILE *file, const void *address)
{
    (void)file, (void)address;
    return false;
}
#endif

void ag__print_address(FILE *file, const void *address)
{
    if (print_line(file, address)) return;
    Dl_info info;
    if (dladdr(address, &info) && info.dli_sname)
        fprintf(file, " in %s", info.dli_sname);
    else
        fprintf(file, " at %p", address);
}

/* opinfo.c - the files of a folder, their cases one after the other; see opinfo.h. */
#include "opinfo.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct runner {
    const options *o;
    report report;
    text_lines required, differs, not_there;
    int64_t n_differ;
} runner;

static bool is_required(const runner *r, const char *entry)
{
    for (char **name = r->required.at; *name; name++)
        if (strcmp(*name, entry) == 0) return true;
    return false;
}

/* "rand_like why": the lines of not_there. */
static bool is_not_there(const runner *r, const char *entry)
{
    const size_t n = strlen(entry);
    for (char **line = r->not_there.at; line && *line; line++)
        if (strncmp(*line, entry, n) == 0 && ((*line)[n] == ' ' || (*line)[n] == 0)) return true;
    return false;
}

/* ---- a case ---- */

/* "add" chooses "add", "div" also "div+floor_rounding". */
static bool is_chosen(const options *o, const char *entry)
{
    size_t n = o->op ? strlen(o->op) : 0;
    return !o->op || (strncmp(entry, o->op, n) == 0 && (entry[n] == 0 || entry[n] == '+'));
}
static bool has_chosen_dtype(const options *o, const json *at)
{
    const char *dtype = json_text(json_get(at, "dtype"));
    return !o->dtype || (dtype && strcmp(dtype, o->dtype) == 0);
}

static void run_one(runner *r, report_row *row, op_case *c)
{
    complaint why = { 0 };
    AG_SCOPE;
    bool ok = run_case(c, &why);
    ag_clear_error();
    r->n_differ += c->n_differ;
    report_case(&r->report, row, c->name, ok ? PASSED : FAILED, c->worst, &why);
}

/* A case's op and name, which lead into file names and tables. */
static bool describe(op_case *c, const json *at, complaint *why)
{
    *c = (op_case){ .at = at, .op = json_text(json_get(at, "op")), .name = json_text(json_get(at, "case")) };
    return (c->op && c->name && *c->op && *c->name) || complain(why, "a case has no op or no name");
}

/* ---- a file ---- */

static void skip_file(runner *r, const char *entry, const json *cases)
{
    complaint why = { "the op is not in the library, but it is required" };
    const bool failed = is_required(r, entry) && !is_not_there(r, entry);
    report_row *row = report_row_of(&r->report, entry);
    for (const json *at = cases->first; at; at = at->next)
        if (has_chosen_dtype(r->o, at))
            report_case(&r->report, row, json_text(json_get(at, "case")), failed ? FAILED : SKIPPED, 0, &why);
}

static bool write_dump(runner *r, const char *entry, ag_state_dict *dump, complaint *why)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.safetensors", r->o->dump, entry);
    bool ok = ag_save(dump, path) || complain(why, "%s", ag_error());
    ag_clear_error();
    return ok;
}

static bool run_cases(runner *r, const char *entry, const json *cases, const ag_state_dict *tensors, complaint *why)
{
    ag_state_dict *dump = r->o->dump ? ag_state_dict_new() : NULL;
    report_row *row = report_row_of(&r->report, entry);
    op_case c;
    for (const json *at = cases->first; at; at = at->next) {
        if (!has_chosen_dtype(r->o, at) || !describe(&c, at, why)) continue;
        c.tensors = tensors;
        c.differs = &r->differs;
        c.entry = entry;
        c.dump = dump;
        run_one(r, row, &c);
    }
    bool ok = !dump || write_dump(r, entry, dump, why);
    ag_state_dict_free(dump);
    return ok;
}

/* Every case has an op, the same one, and a name of its own. */
static bool check_cases(const json *cases, complaint *why)
{
    op_case c, first, other;
    if (!json_is(cases, JSON_ARRAY) || !cases->n) return complain(why, "it is not a list of cases");
    if (!describe(&first, cases->first, why)) return false;
    for (const json *at = cases->first; at; at = at->next) {
        if (!describe(&c, at, why)) return false;
        if (strcmp(c.op, first.op)) return complain(why, "it has cases of '%s' and of '%s'", first.op, c.op);
        for (const json *before = cases->first; before != at; before = before->next)
            if (describe(&other, before, why) && strcmp(other.name, c.name) == 0)
                return complain(why, "it has two cases '%s'", c.name);
    }
    return true;
}

static bool run_read_file(runner *r, const char *entry, const char *path, const json *cases, complaint *why)
{
    char name[256];
    bool swapped;
    if (!check_cases(cases, why)) return false;
    if (is_not_there(r, entry) ||
        !name_in_library(json_text(json_get(cases->first, "op")), name, sizeof name, &swapped))
        return skip_file(r, entry, cases), true;
    ag_state_dict *tensors = ag_load(path);
    if (!tensors) return complain(why, "%s", ag_error());
    bool ok = run_cases(r, entry, cases, tensors, why);
    ag_state_dict_free(tensors);
    return ok;
}

static void run_file(runner *r, const char *folder, const char *entry)
{
    char path[4096];
    complaint why = { 0 };
    json_pool pool = { 0 };
    size_t n;
    snprintf(path, sizeof path, "%s/%s.json", folder, entry);
    char *text = read_file(path, &n, &why);
    const json *cases = text ? json_parse(&pool, text, n, &why) : NULL;
    int64_t alive = ag_leaks(NULL);
    if (cases) {
        char tensors[4096];
        snprintf(tensors, sizeof tensors, "%s/%s.safetensors", folder, entry);
        run_read_file(r, entry, tensors, cases, &why);
    }
    ag_clear_error();
    if (ag_leaks(NULL) != alive)
        complain(&why, "its cases left %lld Variables behind", (long long)(ag_leaks(NULL) - alive));
    if (*why.text) report_unreadable(&r->report, path, &why);
    json_free(&pool);
    free(text);
}

static void run_folder(runner *r, const char *folder)
{
    complaint why = { 0 };
    char **names = files_ending_in(folder, ".json", &why);
    int64_t found = 0;
    for (char **name = names; name && *name; name++) {
        if (strcmp(*name, "index") == 0) continue; /* the recorder's own */
        found++;
        if (is_chosen(r->o, *name)) run_file(r, folder, *name);
    }
    if (names && !found) complain(&why, "there are no cases in this folder");
    if (*why.text) report_unreadable(&r->report, folder, &why);
    free_names(names);
}

static void list_unsupported(const report *r)
{
    for (int64_t i = 0; i < r->n_rows; i++)
        if (r->rows[i].count[SKIPPED]) printf("not in the library: %s\n", r->rows[i].name);
}

/* What is needed before the first case; false with a sentence printed. */
static bool prepare(runner *r)
{
    const options *o = r->o;
    complaint why = { 0 };
    const char *what = o->json;
    bool ok = report_begin(&r->report, o->json, &why);
    if (ok) ok = read_lines(&r->required, what = o->required, &why);
    if (ok) ok = read_lines(&r->differs, what = o->differs, &why);
    if (ok && o->not_there) ok = read_lines(&r->not_there, what = o->not_there, &why);
    if (ok && o->dump && mkdir(what = o->dump, 0777) && errno != EEXIST) ok = complain(&why, "%s", strerror(errno));
    if (!ok) report_unreadable(&r->report, what, &why);
    return ok;
}

int run_opinfo(const options *o, int n_folders, char *const *folders)
{
    runner r = { .o = o };
    bool ok = prepare(&r);
    for (int i = 0; ok && i < n_folders; i++) run_folder(&r, folders[i]);
    report_table(&r.report);
    if (o->list_unsupported) list_unsupported(&r.report);
    if (r.n_differ) printf("%lld results were not compared: see %s\n", (long long)r.n_differ, o->differs);
    free_lines(&r.required);
    free_lines(&r.differs);
    free_lines(&r.not_there);
    return report_end(&r.report);
}

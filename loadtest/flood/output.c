/* SPDX-License-Identifier: MIT */
/* Reports into files.
 * Owns: the open file.
 * Fails with a told reason and VERB_FAILED. */
#include "flood/output.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "ctl/talk.h"
#include "verb.h"

void output_init(struct output *o, const char *path)
{
    *o = (struct output){.path = path, .is_stdout = path && strcmp(path, "-") == 0};
}

int output_check(const char *path)
{
    char folder[4096];
    struct stat stat_of;
    if (path && stat(path, &stat_of) == 0 && S_ISDIR(stat_of.st_mode)) {
        talk_error("cannot write %s: it is a folder", path);
        talk_next("name a file, as %s/day.json", path);
        return VERB_USAGE;
    }
    if (path == NULL || strcmp(path, "-") == 0 || access(path, W_OK) == 0) {
        return 0;
    }
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + 1 : 1,
             slash ? path : ".");
    if (errno == ENOENT && access(folder, W_OK) == 0) {
        return 0;
    }
    talk_error("cannot write %s: %s", path, strerror(errno));
    talk_next("name a file in a folder that exists and may be written");
    return VERB_USAGE;
}

FILE *output_open(const struct output *o)
{
    CHECK(o->path != NULL);
    FILE *out = o->is_stdout ? stdout : fopen(o->path, "w");
    if (out == NULL) {
        talk_error("cannot write %s: %s", o->path, strerror(errno));
    }
    return out;
}

int output_close(const struct output *o, FILE *out)
{
    bool is_bad = ferror(out) || fflush(out) != 0;
    is_bad |= !o->is_stdout && fclose(out) != 0;
    if (is_bad) {
        talk_error("cannot write %s: %s", o->path, strerror(errno));
    }
    return is_bad ? VERB_FAILED : 0;
}

int output_words(int argc, char **argv, char **ret_args, size_t max)
{
    static const char *const bare[] = {"--json", "--csv", "--hgrm"};
    static char dash[] = "-";
    size_t count = 0;
    for (int i = 0; i < argc && count + 1 < max; i++) {
        bool is_bare = false;
        ret_args[count++] = argv[i];
        for (size_t k = 0; k < ARRAY_COUNT(bare); k++) {
            is_bare |= strcmp(argv[i], bare[k]) == 0;
        }
        if (is_bare && (i + 1 == argc || (argv[i + 1][0] == '-' && argv[i + 1][1] != 0))) {
            ret_args[count++] = dash;
        }
    }
    return (int)count;
}

int output_write(const char *path, const char *kind, struct report *const *runs, size_t count)
{
    struct output o;
    output_init(&o, path);
    FILE *out = output_open(&o);
    if (out == NULL) {
        return VERB_FAILED;
    }
    if (strcmp(kind, "page") == 0) {
        report_html(out, (const struct report *const *)runs, count);
    } else if (strcmp(kind, "csv") == 0) {
        report_csv(out, runs[0]);
    } else if (strcmp(kind, "hgrm") == 0) {
        report_hgrm(out, runs[0]);
    } else {
        report_json(out, runs[0], 0);
        fputc('\n', out);
    }
    return output_close(&o, out);
}

/* SPDX-License-Identifier: MIT */
/* One INI file: libinih reads the grammar, this file watches its lines.
 *   open -> whole file in memory -> line by line to libinih -> its handler -> config_put()
 * Owns the bytes while it reads.
 * Why a reader of our own: libinih tells no line numbers to its handler, cuts a line that is too
 * long in two and reads on, ends at a NUL, ignores what stands behind "]", and names only the first
 * bad line.  So each line is looked at before libinih gets it (an empty one instead of a bad one),
 * and a line that should have led to a call of the handler and did not is a mistake.
 * Fails: what is wrong in the file is told with its line; every mistake up to CONFIG_MISTAKES_MAX.
 * Invariants: a mistake never ends the reading of what follows; a key under a heading that nobody
 * knows is not told again. */
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/utf8.h"
#include "config/inside.h"

struct inifile {
    struct config_inside *in;
    struct config_report *report;
    const char *path;                 /* kept: places point at it */
    const char *folder;               /* of the path */
    const char *at, *end;             /* what was not read yet */
    unsigned line;                    /* the one libinih has */
    bool awaits_handler;              /* that line must make libinih call the handler */
    bool is_indented;                 /* that line goes on with the value above */
    const struct config_group *group; /* of the heading; NULL: none, or nobody knows it */
    bool has_heading;
    size_t item;
    const struct config_key *key;     /* of the last line with one */
    char *value;                      /* what that has so far: a list goes on */
};

static struct config_place inifile_place(const struct inifile *f)
{
    return (struct config_place){CONFIG_FROM_FILE, f->path, f->line};
}

/* [name] or [name item], between the brackets. */
static void inifile_heading(struct inifile *f, char *name)
{
    struct config_place place = inifile_place(f);
    f->has_heading = true;
    f->group = NULL;
    f->key = NULL;
    size_t len = strlen(name);
    while (len > 0 && strchr(" \t", name[len - 1])) {
        name[--len] = '\0';
    }
    name += strspn(name, " \t");
    char *item = strpbrk(name, " \t");
    if (item) {
        *item++ = '\0';
        item += strspn(item, " \t");
    }
    const struct config_group *group = config_group_find(name);
    if (!group) {
        config_unknown_section(name, &place, f->report);
    } else if (!item && group->stride) {
        config_mistake(f->report, &place, "[%s] needs a name, as [%s munich]", name, name);
    } else if (item && !group->stride) {
        config_mistake(f->report, &place, "[%s] takes no name: there is only one", name);
    } else if (item) {
        int n = config_item(f->in, group, item, &place, f->report);
        f->item = n < 0 ? 0 : (size_t)n;
        f->group = n < 0 ? NULL : group;
    } else {
        f->item = 0;
        f->group = group;
    }
}

/* Is the line text?  Else it is told. */
static bool inifile_is_text(struct inifile *f, const char *line, size_t len)
{
    struct config_place place = inifile_place(f);
    if (len > CONFIG_LINE_MAX) {
        config_mistake(f->report, &place, "the line has %zu bytes, at most %d are read", len,
                       CONFIG_LINE_MAX);
        return false;
    }
    const uint8_t *at = (const uint8_t *)line;
    for (size_t i = 0; i < len;) {
        size_t n = utf8_char(at + i, len - i);
        if (n == 0) {
            config_mistake(f->report, &place, "byte %zu is no UTF-8: save the file as UTF-8",
                           i + 1);
            return false;
        }
        if ((at[i] < 0x20 && at[i] != '\t') || at[i] == 0x7f) {
            config_mistake(f->report, &place, "byte %zu is a control character (0x%02x)", i + 1,
                           at[i]);
            return false;
        }
        i += n;
    }
    return true;
}

/* What the line is, from its first character. */
static void inifile_look(struct inifile *f, const char *line, size_t len)
{
    char name[CONFIG_NAME_MAX];
    struct config_place place = inifile_place(f);
    size_t blank = 0;
    while (blank < len && strchr(" \t", line[blank])) {
        blank++;
    }
    const char *start = line + blank;
    f->is_indented = blank > 0;
    if (blank == len || *start == ';' || *start == '#') {
        return;
    }
    if (*start != '[' || (f->is_indented && f->key)) {
        f->awaits_handler = true;
        return;
    }
    const char *close = memchr(start, ']', len - blank);
    if (!close) {
        config_mistake(f->report, &place, "a section is written [name]: the ] is missing");
        f->group = NULL;
        f->has_heading = true;
        return;
    }
    const char *behind = close + 1;
    while (behind < line + len && strchr(" \t", *behind)) {
        behind++;
    }
    if (behind < line + len && *behind != ';' && *behind != '#') {
        config_mistake(f->report, &place, "nothing may stand behind [...]: give it its own line");
    }
    size_t name_len = (size_t)(close - start) - 1;
    if (name_len >= sizeof(name)) {
        config_mistake(f->report, &place, "the section's name is too long");
        f->group = NULL;
        return;
    }
    memcpy(name, start + 1, name_len);
    name[name_len] = '\0';
    inifile_heading(f, name);
}

/* The line before had to be a key and was none. */
static void inifile_settle(struct inifile *f)
{
    if (f->awaits_handler) {
        struct config_place place = inifile_place(f);
        config_mistake(f->report, &place, "neither [section] nor key = value");
    }
    f->awaits_handler = false;
}

/* fgets() for libinih. */
static char *inifile_line(char *out, int size, void *stream)
{
    struct inifile *f = stream;
    inifile_settle(f);
    if (f->at == f->end || f->report->count >= CONFIG_MISTAKES_MAX) {
        return NULL;
    }
    const char *end = memchr(f->at, '\n', (size_t)(f->end - f->at));
    const char *next = end ? end + 1 : f->end;
    size_t len = (size_t)((end ? end : f->end) - f->at);
    len -= len > 0 && f->at[len - 1] == '\r' ? 1 : 0;
    f->line++;
    out[0] = '\0';
    if (inifile_is_text(f, f->at, len)) {
        CHECK(len < (size_t)size);
        memcpy(out, f->at, len);
        out[len] = '\0';
        inifile_look(f, f->at, len);
    }
    f->at = next;
    return out;
}

/* A line that goes on with a list. */
static bool inifile_more(struct inifile *f, const char *value)
{
    size_t had = strlen(f->value), len = 0;
    while (value[len] && !(value[len] == ';' && (len == 0 || strchr(" \t", value[len - 1])))) {
        len++; /* a comment behind it: libinih takes one off first lines only */
    }
    char *all = realloc(f->value, had + len + 2);
    if (!all) {
        return false;
    }
    all[had] = ',';
    memcpy(all + had + 1, value, len);
    all[had + 1 + len] = '\0';
    f->value = all;
    return true;
}

static bool inifile_begin(struct inifile *f, const char *name, const char *value)
{
    struct config_place place = inifile_place(f);
    f->key = config_key_find(f->group, name);
    if (!f->key) {
        config_unknown_key(f->group, name, &place, f->report);
        return false;
    }
    const struct config_place *before = &f->in->places[f->key - config_keys][f->item];
    if (before->from == CONFIG_FROM_FILE && before->where == f->path) {
        config_mistake(f->report, &place, "%s.%s stands here a second time: first in line %u",
                       f->key->section, name, before->line);
        f->key = NULL;
        return false;
    }
    free(f->value);
    f->value = strdup(value);
    return f->value != NULL;
}

static int inifile_handle(void *user, const char *section, const char *name, const char *value)
{
    struct inifile *f = user;
    struct config_place place = inifile_place(f);
    f->awaits_handler = false;
    if (!f->group) {
        if (!f->has_heading) {
            config_mistake(f->report, &place, "'%.60s' stands above the first [section]", name);
        }
        return 1;
    }
    /* libinih calls again with the same name for an indented line. */
    bool goes_on = f->is_indented && f->key && strcmp(f->key->name, name) == 0;
    if (goes_on && f->key->type != CONFIG_LIST) {
        config_mistake(f->report, &place, "an indented line goes on with the value above, and %s "
                       "is no list: take the blanks away", name);
        return 1;
    }
    if (goes_on ? inifile_more(f, value) : inifile_begin(f, name, value)) {
        struct config_input input = {f->key, f->item, f->value, f->folder, place};
        if (goes_on) {
            input.place.line = f->in->places[f->key - config_keys][f->item].line;
        }
        config_put(f->in, &input, f->report);
    }
    return 1;
}

/* The whole file.  0; CONFIG_E_WRONG: told. */
static int inifile_slurp(struct config_inside *in, const char *path, struct config_report *report,
                         char **ret_bytes, size_t *ret_len)
{
    struct stat st;
    const char *kept = config_keep(in, path, strlen(path));
    struct config_place place = {CONFIG_FROM_FILE, kept ? kept : "?", 0};
    char *bytes = NULL;
    size_t len = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        config_mistake(report, &place, "cannot be read: %s", strerror(errno));
        return CONFIG_E_WRONG;
    }
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        config_mistake(report, &place, "is a folder, not a file");
        goto fail;
    }
    bytes = malloc(CONFIG_FILE_BYTES_MAX + 1);
    for (ssize_t n = 1; bytes && n != 0 && len <= CONFIG_FILE_BYTES_MAX; len += (size_t)n) {
        n = read(fd, bytes + len, CONFIG_FILE_BYTES_MAX + 1 - len);
        if (n < 0) {
            config_mistake(report, &place, "cannot be read: %s", strerror(errno));
            goto fail;
        }
    }
    if (!bytes || len > CONFIG_FILE_BYTES_MAX) {
        config_mistake(report, &place, bytes ? "has more than %d bytes"
                                             : "out of memory for %d bytes", CONFIG_FILE_BYTES_MAX);
        goto fail;
    }
    close(fd);
    *ret_bytes = bytes;
    *ret_len = len;
    return 0;
fail:
    close(fd);
    free(bytes);
    return CONFIG_E_WRONG;
}

int config_read_file(struct config_inside *in, const char *path, struct config_report *report)
{
    char *bytes;
    size_t len;
    if (inifile_slurp(in, path, report, &bytes, &len)) {
        return 0; /* told */
    }
    const char *slash = strrchr(path, '/');
    struct inifile f = {.in = in, .report = report, .path = config_keep(in, path, strlen(path)),
                        .folder = slash ? config_keep(in, path, (size_t)(slash - path)) : NULL,
                        .at = bytes, .end = bytes + len};
    int r = f.path ? 0 : err_origin(-ENOMEM);
    if (len >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) {
        f.at += 3; /* as some editors begin a file */
    }
    /* libinih as Debian builds it: settings at run time. */
    ini_use_stack = false;
    ini_max_line = ini_initial_alloc = CONFIG_LINE_MAX + 3;
    if (r == 0 && ini_parse_stream(inifile_line, &f, inifile_handle, &f) == -2) {
        r = err_origin(-ENOMEM);
    }
    inifile_settle(&f);
    free(f.value);
    free(bytes);
    return r;
}

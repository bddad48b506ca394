/* SPDX-License-Identifier: MIT */
/* Words about the table: effective values, explanations, the default file, the manual page.
 *   config_groups[] x config_keys[] -> text on a FILE
 * Owns nothing.  Fails only as the FILE does; whoever opened it looks at that.
 * Invariants: what config_show() and config_default() print is a configuration file that reads back
 * as the same values; a secret's value is its path, and one that names no file is not printed. */
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/guess.h"
#include "config/inside.h"

#define WORDS_COLUMNS 78

/* `text` in lines of WORDS_COLUMNS, each behind `before`. */
static void words_wrap(FILE *out, const char *before, const char *text)
{
    size_t column = 0;
    for (const char *at = text + strspn(text, " "); *at;) {
        size_t len = strcspn(at, " ");
        if (column && column + 1 + len > WORDS_COLUMNS) {
            fputc('\n', out);
            column = 0;
        }
        if (!column) {
            fputs(before, out);
            column = strlen(before);
        } else {
            fputc(' ', out);
            column++;
        }
        fwrite(at, 1, len, out);
        column += len;
        at += len;
        at += strspn(at, " ");
    }
    fputc('\n', out);
}

static const char *words_who(const struct config_group *group)
{
    return group->who == CONFIG_ALL       ? "gateway and shard"
           : group->who == CONFIG_GATEWAY ? "gateway"
                                          : "shard";
}

static const char *words_when(const struct config_key *key)
{
    return key->reloads ? "SIGHUP applies it" : "needs a restart";
}

static const char *words_item(struct config_inside *in, const struct config_group *group,
                              size_t item)
{
    return *(const char **)(void *)((char *)&in->open + group->offset + item * group->stride);
}

static void words_show_key(struct config_inside *in, const struct config_key *key, size_t item,
                           bool origin, FILE *out)
{
    const void *field = config_field(in, key, item);
    const struct config_place *place = &in->places[key - config_keys][item];
    if (origin && place->from == CONFIG_FROM_FILE) {
        fprintf(out, "# %s:%u\n", place->where, place->line);
    } else if (origin) {
        fprintf(out, "# %s\n", place->from == CONFIG_FROM_DEFAULT ? "default" : place->where);
    }
    const char *path = key->type == CONFIG_SECRET ? *(const char *const *)field : "";
    fprintf(out, "%s = ", key->name);
    if (*path && access(path, F_OK) < 0) {
        fputs("(names no file: not shown)", out);
    } else {
        config_value_print(key, field, out);
    }
    fputc('\n', out);
}

void config_show(const struct config *config, bool origin, FILE *out)
{
    struct config_inside *in = (struct config_inside *)(void *)(uintptr_t)config;
    const char *blank = "";
    for (size_t g = 0; g < CONFIG_GROUPS_COUNT; g++) {
        const struct config_group *group = &config_groups[g];
        size_t items = group->stride ? in->items_count[g] : 1;
        for (size_t item = 0; item < items; item++) {
            fprintf(out, "%s[%s%s%s]\n", blank, group->name, group->stride ? " " : "",
                    group->stride ? words_item(in, group, item) : "");
            blank = "\n";
            for (size_t i = 0; i < CONFIG_KEYS_COUNT; i++) {
                if (strcmp(config_keys[i].section, group->name) == 0) {
                    words_show_key(in, &config_keys[i], item, origin, out);
                }
            }
        }
    }
}

static void words_explain_key(const struct config_group *group, const struct config_key *key,
                              FILE *out)
{
    char rule[160];
    config_value_rule(key, rule, sizeof(rule));
    fprintf(out, "%s.%s%s\n", key->section, group->stride ? "NAME." : "", key->name);
    words_wrap(out, "    ", key->help);
    fprintf(out, "    value: %s\n", rule);
    fprintf(out, "    default: %s\n", key->fallback[0] ? key->fallback : "(empty)");
    fprintf(out, "    read by: %s; %s\n", words_who(group), words_when(key));
}

static void words_explain_group(const struct config_group *group, FILE *out)
{
    fprintf(out, "[%s%s]\n", group->name, group->stride ? " NAME" : "");
    words_wrap(out, "    ", group->help);
    for (size_t i = 0; i < CONFIG_KEYS_COUNT; i++) {
        if (strcmp(config_keys[i].section, group->name) == 0) {
            words_explain_key(group, &config_keys[i], out);
        }
    }
}

/* The nearest of every section and every section.key. */
static const char *words_guess(const char *name)
{
    static char best[CONFIG_NAME_MAX];
    struct guess g;
    const char *found = NULL;
    guess_init(&g, name);
    for (size_t i = 0; i < CONFIG_GROUPS_COUNT; i++) {
        guess_offer(&g, config_groups[i].name);
    }
    found = g.best;
    for (size_t i = 0; i < CONFIG_KEYS_COUNT; i++) {
        char full[CONFIG_NAME_MAX];
        snprintf(full, sizeof(full), "%s.%s", config_keys[i].section, config_keys[i].name);
        g.best = NULL;
        guess_offer(&g, full);
        if (!g.best) { /* the key alone, as people remember it */
            guess_offer(&g, config_keys[i].name);
        }
        if (g.best) {
            memcpy(best, full, sizeof(best));
            found = best;
        }
    }
    return found;
}

bool config_explain(const char *name, FILE *out, const char **ret_guess)
{
    char parts[CONFIG_NAME_MAX];
    const char *section, *item, *key_name;
    if (!name) {
        for (size_t g = 0; g < CONFIG_GROUPS_COUNT; g++) {
            fputs(g ? "\n" : "", out);
            words_explain_group(&config_groups[g], out);
        }
        return true;
    }
    const struct config_group *group = config_group_find(name);
    if (group) {
        words_explain_group(group, out);
        return true;
    }
    if (config_name_split(name, parts, &section, &item, &key_name)) {
        group = config_group_find(section);
        const struct config_key *key = group ? config_key_find(group, key_name) : NULL;
        if (key) {
            words_explain_key(group, key, out);
            return true;
        }
    }
    *ret_guess = words_guess(name);
    return false;
}

void config_default(FILE *out)
{
    fputs("# fairslot.conf: every key at its default.  Take the # away to change one, or better:\n"
          "# leave this file alone and write drop-ins, fairslot.conf.d/10-name.conf, which are\n"
          "# read behind it in the order of their names.  Check before you reload or restart:\n"
          "#   fairslot config check fairslot.conf\n", out);
    for (size_t g = 0; g < CONFIG_GROUPS_COUNT; g++) {
        const struct config_group *group = &config_groups[g];
        fputc('\n', out);
        words_wrap(out, "# ", group->help);
        fprintf(out, group->stride ? "#[%s munich]\n" : "[%s]\n", group->name);
        for (size_t i = 0; i < CONFIG_KEYS_COUNT; i++) {
            char rule[160];
            const struct config_key *key = &config_keys[i];
            if (strcmp(key->section, group->name) == 0) {
                config_value_rule(key, rule, sizeof(rule));
                fputc('\n', out);
                words_wrap(out, "# ", key->help);
                fprintf(out, "# (%s; %s)\n", rule, words_when(key));
                fprintf(out, "#%s =%s%s\n", key->name, key->fallback[0] ? " " : "", key->fallback);
            }
        }
    }
}

/* Text for mdoc: short lines, a new one after a sentence, as its style wants; nothing that roff
 * would read. */
static void words_mdoc(FILE *out, const char *text)
{
    size_t column = 0;
    for (const char *at = text; *at;) {
        size_t len = strcspn(at, " ");
        bool sentence = at > text + 2 && at[-1] == ' ' && at[-2] == ' ';
        if (column && (sentence || column + 1 + len > WORDS_COLUMNS)) {
            fputc('\n', out);
            column = 0;
        } else if (column) {
            fputc(' ', out);
            column++;
        }
        if (column == 0 && (*at == '.' || *at == '\'')) {
            fputs("\\&", out);
        }
        for (size_t i = 0; i < len; i++) {
            fputs(at[i] == '\\' ? "\\e" : (char[]){at[i], '\0'}, out);
        }
        column += len;
        at += len;
        at += strspn(at, " ");
    }
    fputc('\n', out);
}

static void words_manual_key(const struct config_key *key, FILE *out)
{
    char rule[160];
    config_value_rule(key, rule, sizeof(rule));
    fprintf(out, ".It Ic %s\n", key->name);
    words_mdoc(out, key->help);
    fputs("Value:\n", out);
    words_mdoc(out, rule);
    if (key->fallback[0]) {
        fprintf(out, ".Pp\nDefault:\n.Ql %s\n", key->fallback);
    } else {
        fputs(".Pp\nDefault: empty\n", out);
    }
    fprintf(out, "(%s).\n", words_when(key));
}

void config_manual(FILE *out)
{
    fputs(".\\\" Made from the table of keys by: fairslot config manual\n"
          ".Dd November 25, 2026\n.Dt FAIRSLOT.CONF 5\n.Os\n.Sh NAME\n"
          ".Nm fairslot.conf\n.Nd configuration of the slot reservation engine\n"
          ".Sh DESCRIPTION\nThe program\n.Nm fairslot\nreads an INI file, then every file named\n"
          ".Pa FILE.d/*.conf\nin the order of their names, then\n.Fl -set Ar section.key=value\n"
          "words, then options of the command line; the last one wins.\n.Pp\n"
          "A line is a heading in brackets, a key with its value, or a comment behind\n.Ql #\nor\n"
          ".Ql \\&; .\nAn empty value means the default.\n"
          "A list may go on in indented lines.\n"
          "Paths are relative to the file that they stand in;\n.Ql %d/\n"
          "is the folder in\n.Ev CREDENTIALS_DIRECTORY .\n"
          "Secrets are always paths of files, never values.\n"
          "An unknown key, a key given twice in one file or a value out of range is\nan error.\n",
          out);
    for (size_t g = 0; g < CONFIG_GROUPS_COUNT; g++) {
        const struct config_group *group = &config_groups[g];
        fprintf(out, ".Ss Section %s%s\n", group->name, group->stride ? " NAME" : "");
        words_mdoc(out, group->help);
        fprintf(out, "Read by: %s.\n.Bl -tag -width Ds\n", words_who(group));
        for (size_t i = 0; i < CONFIG_KEYS_COUNT; i++) {
            if (strcmp(config_keys[i].section, group->name) == 0) {
                words_manual_key(&config_keys[i], out);
            }
        }
        fputs(".El\n", out);
    }
    fputs(".Sh EXIT STATUS\n.Ic fairslot config check FILE\n"
          "exits 0 when all is right and 2 when something is wrong.\n"
          ".Sh EXAMPLES\n.Bd -literal -offset indent\n[gateway]\nlisten = 127.0.0.1:17700\n\n"
          "[auth]\ntenant_key = %d/tenant.key\n\n[issuer munich]\n"
          "url = https://sso.example.org/realms/public\naudience = fairslot\n"
          "jwks_file = munich.jwks\n.Ed\n", out);
}

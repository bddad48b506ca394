/* SPDX-License-Identifier: MIT */
/* Configuration: defaults, then a file, its drop-ins, --set words and flags; the last one wins.
 * keys.h is the table that everything here comes from.  Not for several threads at once: load on
 * one thread, read a loaded struct anywhere. */
#ifndef FAIRSLOT_CONFIG_CONFIG_H
#define FAIRSLOT_CONFIG_CONFIG_H

#include <stdio.h>

#include "base/types.h"
#include "config/keys.h"

struct config_list {
    const char *const *at;
    size_t count;
};

#define CONFIG_FIELD_TEXT     const char *
#define CONFIG_FIELD_WORD     const char *
#define CONFIG_FIELD_FILE     const char *
#define CONFIG_FIELD_SECRET   const char *
#define CONFIG_FIELD_FOLDER   const char *
#define CONFIG_FIELD_ADDRESS  const char *
#define CONFIG_FIELD_URL      const char *
#define CONFIG_FIELD_COUNT    int64_t
#define CONFIG_FIELD_DURATION int64_t
#define CONFIG_FIELD_SIZE     int64_t
#define CONFIG_FIELD_BOOL     bool
#define CONFIG_FIELD_LIST     struct config_list

#define CONFIG_ITEM_MEMBER(section, key, type, ...) CONFIG_FIELD_##type key;
struct config_issuer {
    const char *name; /* NAME of [issuer NAME] */
    CONFIG_ISSUER_KEYS(CONFIG_ITEM_MEMBER)
};
struct config_role {
    const char *name;
    CONFIG_ROLE_KEYS(CONFIG_ITEM_MEMBER)
};

/* Everything, valid until config_free(): config->gateway_listen, config->issuers[0].url. */
struct config {
#define CONFIG_MEMBER(section, key, type, ...) CONFIG_FIELD_##type section##_##key;
    CONFIG_KEYS(CONFIG_MEMBER)
#define CONFIG_MANY_MEMBER(section, plural, most, who, help) \
    struct config_##section plural[most];                    \
    size_t plural##_count;
    CONFIG_MANY(CONFIG_MANY_MEMBER)
};

/* Who reads a section: what files must be there depends on it. */
enum config_who { CONFIG_GATEWAY = 1, CONFIG_SHARD = 2, CONFIG_ALL = 3 };

/* Where mistakes go: one line each, as "FILE:LINE: what", without its end. */
struct config_report {
    void (*tell)(void *user, const char *line);
    void *user;
    size_t count; /* mistakes so far */
};

/* An option of the command line that stands for a key. */
struct config_flag {
    const char *option; /* "--listen": how mistakes name it */
    const char *name;   /* "gateway.listen" */
    const char *value;  /* NULL: not given */
};

/* Where it comes from; all borrowed until config_load() returns. */
struct config_source {
    const char *file;         /* NULL: none.  Its drop-ins are FILE.d/ *.conf in name order */
    const char *const *sets;  /* "section.key=value", in order; "issuer.munich.url=..." */
    size_t sets_count;
    const struct config_flag *flags; /* over everything else */
    size_t flags_count;
    enum config_who who;      /* whose files must be there and readable */
};

/* 0; CONFIG_E_WRONG: `report` was told everything that is wrong, nothing is returned; or < 0. */
enum { CONFIG_E_WRONG = 1 };
int config_load(const struct config_source *source, struct config_report *report,
                struct config **ret_config);
/* Takes NULL. */
void config_free(struct config *config);

/* Would part of it be a comment if it were written into a file? */
bool config_has_comment(const char *text);
/* Where the value of "section.key" or "issuer.NAME.key" came from: "FILE:LINE", "--set", "command
 * line", "default"; `out` has `size` bytes; returns it. */
const char *config_origin(const struct config *config, const char *name, char *out, size_t size);

/* Calls `changed` with each "section.key" that differs, and whether a reload applies it. */
void config_compare(const struct config *from, const struct config *to,
                    void (*changed)(void *user, const char *name, bool reloads), void *user);

/* -- words about the table --------------------------------------------------------------------- */
/* Effective values as a file that reads back; `origin`: where each came from, as comments. */
void config_show(const struct config *config, bool origin, FILE *out);
/* One key ("gateway.listen", "issuer.url"), one section, or all (NULL).  False: unknown;
 * *ret_guess is then the nearest name, or NULL. */
bool config_explain(const char *name, FILE *out, const char **ret_guess);
/* A file with every key, commented out, at its default. */
void config_default(FILE *out);
/* fairslot.conf(5) in mdoc(7). */
void config_manual(FILE *out);

#endif

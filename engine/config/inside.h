/* SPDX-License-Identifier: MIT */
/* Configuration from inside: the table as data, and what the files of this room share. */
#ifndef FAIRSLOT_CONFIG_INSIDE_H
#define FAIRSLOT_CONFIG_INSIDE_H

#include "base/arena.h"
#include "base/limits.h"
#include "config/config.h"

#define CONFIG_ITEMS_MAX 16  /* of one section that may stand several times */
#define CONFIG_NAME_MAX  160 /* bytes of "section.item.key" with its end */
#define CONFIG_ITEM_MAX  40  /* bytes of an item's name */
#define CONFIG_WHY_MAX   320 /* bytes of why a value is wrong */

enum config_type {
    CONFIG_TEXT, CONFIG_WORD, CONFIG_FILE, CONFIG_SECRET, CONFIG_FOLDER, CONFIG_ADDRESS, CONFIG_URL,
    CONFIG_COUNT, CONFIG_DURATION, CONFIG_SIZE, CONFIG_BOOL, CONFIG_LIST,
};

/* One section. */
struct config_group {
    const char *name;
    const char *help;
    size_t offset;       /* of its items in struct config; of a single section 0 */
    size_t count_offset; /* of how many there are */
    size_t stride;       /* of an item; 0: the section stands once */
    size_t items_max;
    unsigned who;        /* enum config_who */
};

/* One row of keys.h. */
struct config_key {
    const char *section;
    const char *name;
    const char *fallback; /* the default, as it would be written */
    const char *words;    /* of a WORD or a LIST, by blanks; NULL: any */
    const char *help;
    int64_t min, max;
    size_t offset;        /* in struct config, or in an item */
    enum config_type type;
    bool reloads;
};

extern const struct config_group config_groups[];
extern const struct config_key config_keys[];
#define CONFIG_ONE(...) +1
enum { CONFIG_KEYS_COUNT = 0 CONFIG_KEYS(CONFIG_ONE) CONFIG_ISSUER_KEYS(CONFIG_ONE)
                           CONFIG_ROLE_KEYS(CONFIG_ONE) };
enum { CONFIG_GROUPS_COUNT = 0 CONFIG_SECTIONS(CONFIG_ONE) CONFIG_MANY(CONFIG_ONE) };

enum config_from { CONFIG_FROM_DEFAULT, CONFIG_FROM_FILE, CONFIG_FROM_SET, CONFIG_FROM_FLAG };

struct config_place {
    enum config_from from;
    const char *where; /* file, or option; in the arena */
    unsigned line;     /* of a file */
};

/* A loaded configuration with where it is from.  `open` comes first: callers have only that. */
struct config_inside {
    struct config open;
    struct arena arena; /* every text of it */
    struct config_place places[CONFIG_KEYS_COUNT][CONFIG_ITEMS_MAX]; /* [0] of single sections */
    struct config_place item_places[CONFIG_GROUPS_COUNT][CONFIG_ITEMS_MAX]; /* first heading */
    size_t items_count[CONFIG_GROUPS_COUNT];
};

/* One value on its way in. */
struct config_input {
    const struct config_key *key;
    size_t item;            /* which of the section's */
    const char *text;       /* as written */
    const char *folder;     /* relative paths start here; NULL: as they are */
    struct config_place place;
};

/* -- table.c */
const struct config_group *config_group_find(const char *name);
/* A key of a section; NULL: none. */
const struct config_key *config_key_find(const struct config_group *group, const char *name);
/* Splits "section.key" or "section.item.key" ("section item.key", too): the parts in `parts`, which
 * has CONFIG_NAME_MAX bytes; ret_item is NULL without one.  False: it has no such form. */
bool config_name_split(const char *name, char *parts, const char **ret_section,
                       const char **ret_item, const char **ret_key);
/* "a-z, 0-9 and -, at most CONFIG_ITEM_MAX - 1". */
bool config_item_valid(const char *name);

/* -- typed.c: values by their type */
/* Where a value stands. */
void *config_field(struct config_inside *in, const struct config_key *key, size_t item);
/* Reads `input->text` into its field.  False: `why` (CONFIG_WHY_MAX) says what is wrong. */
bool config_value_read(struct config_inside *in, const struct config_input *input, char *why);
/* The value as it would be written, to `out`. */
void config_value_print(const struct config_key *key, const void *field, FILE *out);
/* "a time from 100ms to 1m": what may be written. */
void config_value_rule(const struct config_key *key, char *out, size_t size);
bool config_value_same(const struct config_key *key, const void *a, const void *b);

/* -- config.c */
/* `what` about a place, to whoever listens. */
void config_mistake(struct config_report *report, const struct config_place *place,
                    const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Text of it that lasts as long as the configuration; NULL: no room. */
const char *config_keep(struct config_inside *in, const char *text, size_t len);
/* The item of that name, made with every default when it is new.  -1: told. */
int config_item(struct config_inside *in, const struct config_group *group, const char *name,
                const struct config_place *place, struct config_report *report);
/* An empty value is the default.  What is wrong is told. */
void config_put(struct config_inside *in, const struct config_input *input,
                struct config_report *report);
void config_unknown_key(const struct config_group *group, const char *name,
                        const struct config_place *place, struct config_report *report);
void config_unknown_section(const char *name, const struct config_place *place,
                            struct config_report *report);

/* -- inifile.c: one file.  0 or < 0; mistakes are told. */
int config_read_file(struct config_inside *in, const char *path, struct config_report *report);

#endif

/* SPDX-License-Identifier: MIT */
/* keys.h as data: what the parser, the printers and the manual walk over.
 *   CONFIG_SECTIONS, CONFIG_MANY -> config_groups[]    CONFIG_*_KEYS -> config_keys[]
 * Owns the two tables.  A section that may stand several times has a stride, and its keys' offsets
 * count from an item; single ones count from struct config.  Lookups walk: a hundred rows. */
#include <string.h>

#include "base/check.h"
#include "config/inside.h"

#define GATEWAY CONFIG_GATEWAY
#define SHARD   CONFIG_SHARD

#define RANGE(a, b) NULL, (a), (b)
#define WORDS(list) list, 0, INT64_MAX
#define ANY         NULL, 0, INT64_MAX
#define RELOAD      true
#define RESTART     false

const struct config_group config_groups[] = {
#define TABLE_SINGLE(section, who, help) {#section, help, 0, 0, 0, 1, who},
    CONFIG_SECTIONS(TABLE_SINGLE)
#define TABLE_MANY(section, plural, most, who, help)                                              \
    {#section, help, offsetof(struct config, plural), offsetof(struct config, plural##_count),    \
     sizeof(struct config_##section), most, who},
    CONFIG_MANY(TABLE_MANY)
};

/* `limit` has become its three fields when a row gets here. */
#define TABLE_ROW(object, member, section, key, type, fallback, words, low, high, when, help)     \
    {#section, #key, fallback, words, help, low, high, offsetof(object, member), CONFIG_##type,   \
     when},
#define TABLE_ONE(section, key, type, fallback, limit, when, help)                                \
    TABLE_ROW(struct config, section##_##key, section, key, type, fallback, limit, when, help)
#define TABLE_ITEM(section, key, type, fallback, limit, when, help)                               \
    TABLE_ROW(struct config_##section, key, section, key, type, fallback, limit, when, help)

const struct config_key config_keys[] = {
    CONFIG_KEYS(TABLE_ONE)
    CONFIG_ISSUER_KEYS(TABLE_ITEM)
    CONFIG_ROLE_KEYS(TABLE_ITEM)
};
_Static_assert(ARRAY_COUNT(config_keys) == CONFIG_KEYS_COUNT, "every row counts");
_Static_assert(ARRAY_COUNT(config_groups) == CONFIG_GROUPS_COUNT, "every section counts");

#define TABLE_FITS(section, plural, most, who, help)                                              \
    _Static_assert(most <= CONFIG_ITEMS_MAX, "places has room for " #plural);
CONFIG_MANY(TABLE_FITS)

const struct config_group *config_group_find(const char *name)
{
    for (size_t i = 0; i < CONFIG_GROUPS_COUNT; i++) {
        if (strcmp(config_groups[i].name, name) == 0) {
            return &config_groups[i];
        }
    }
    return NULL;
}

const struct config_key *config_key_find(const struct config_group *group, const char *name)
{
    for (size_t i = 0; i < CONFIG_KEYS_COUNT; i++) {
        if (strcmp(config_keys[i].section, group->name) == 0 &&
            strcmp(config_keys[i].name, name) == 0) {
            return &config_keys[i];
        }
    }
    return NULL;
}

bool config_name_split(const char *name, char *parts, const char **ret_section,
                       const char **ret_item, const char **ret_key)
{
    size_t len = strlen(name);
    if (len == 0 || len >= CONFIG_NAME_MAX) {
        return false;
    }
    memcpy(parts, name, len + 1);
    char *key = strrchr(parts, '.');
    if (!key || key == parts || key[1] == '\0') {
        return false;
    }
    *key = '\0';
    char *item = strpbrk(parts, ". ");
    if (item) {
        *item++ = '\0';
        item += strspn(item, " ");
    }
    *ret_section = parts;
    *ret_item = item;
    *ret_key = key + 1;
    return true;
}

bool config_item_valid(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return len > 0 && len < CONFIG_ITEM_MAX && name[len] == '\0';
}

/* SPDX-License-Identifier: MIT */
/* Resource names from what people type.  Owns nothing; the server judges what is a valid id. */
#include "ctl/names.h"

#include <stdio.h>
#include <string.h>

void names_pool(const char *typed, char *out)
{
    bool whole = strncmp(typed, "pools/", 6) == 0;
    snprintf(out, NAMES_MAX, "%s%s", whole ? "" : "pools/", typed);
}

bool names_child(const char *typed, const char *pool, const char *collection, char *out)
{
    if (strchr(typed, '/')) {
        snprintf(out, NAMES_MAX, "%s", typed);
        return true;
    }
    if (!pool) {
        return false;
    }
    char parent[NAMES_MAX];
    names_pool(pool, parent);
    int n = snprintf(out, NAMES_MAX, "%s/%s/%s", parent, collection, typed);
    return n > 0;
}

bool names_parent(const char *name, char *out)
{
    const char *id = strncmp(name, "pools/", 6) == 0 ? name + 6 : NULL;
    const char *slash = id ? strchr(id, '/') : NULL;
    if (!slash || slash == id) {
        return false;
    }
    snprintf(out, NAMES_MAX, "%.*s", (int)(slash - name), name);
    return true;
}

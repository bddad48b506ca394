/* SPDX-License-Identifier: MIT */
/* Damage, told once: scrubber, copier and store may all meet it.
 * Owns: the text.  The first finder's word stays, so that a reader's pointer stays good.
 * Fails: never. */
#include "store/damage.h"

#include <stdio.h>
#include <string.h>

#include "base/metrics.h"

#define WHERE_SHOWN 60 /* bytes of the name; its end says most */

void damage_init(struct damage *d, void (*told)(void *user), void *user)
{
    *d = (struct damage){.told = told, .user = user};
    pthread_mutex_init(&d->mutex, NULL);
}

void damage_fini(struct damage *d)
{
    pthread_mutex_destroy(&d->mutex);
}

void damage_note(struct damage *d, const char *where, const char *what, bool is_log)
{
    size_t len = strlen(where);
    pthread_mutex_lock(&d->mutex);
    bool is_first = d->text[0] == 0;
    if (is_first) {
        d->is_log = is_log;
        snprintf(d->text, sizeof d->text,
                 "%s%s: %s; %s; a node alone: move the directory aside and restore a backup",
                 len > WHERE_SHOWN ? "..." : "", len > WHERE_SHOWN ? where + len - WHERE_SHOWN
                                                                   : where, what,
                 is_log ? "start it again; where that refuses, remove it and add a new number"
                        : "peers give theirs");
    }
    pthread_mutex_unlock(&d->mutex);
    METRIC_ADD(shard_damage_found_total, 1);
    if (is_first && d->told) {
        d->told(d->user);
    }
}

void damage_forget(struct damage *d)
{
    pthread_mutex_lock(&d->mutex);
    d->text[0] = 0;
    pthread_mutex_unlock(&d->mutex);
}

bool damage_spares_log(struct damage *d)
{
    pthread_mutex_lock(&d->mutex);
    bool spares = d->text[0] && !d->is_log;
    pthread_mutex_unlock(&d->mutex);
    return spares;
}

const char *damage_text(struct damage *d)
{
    pthread_mutex_lock(&d->mutex);
    const char *text = d->text[0] ? d->text : NULL;
    pthread_mutex_unlock(&d->mutex);
    return text;
}

/* SPDX-License-Identifier: MIT */
/* Damage, told once: scrubber, copier and store may all meet it.
 * Owns: the text.  The first finder's word stays, so that a reader's pointer stays good.
 * Fails: never. */
#include "store/damage.h"

#include <stdio.h>
#include <string.h>

#include "base/metrics.h"

#define WHERE_SHOWN 100 /* bytes of the name; its end says most */

void damage_init(struct damage *d, void (*told)(void *user), void *user)
{
    *d = (struct damage){.told = told, .user = user};
    pthread_mutex_init(&d->mutex, NULL);
}

void damage_fini(struct damage *d)
{
    pthread_mutex_destroy(&d->mutex);
}

void damage_note(struct damage *d, const char *where, const char *what)
{
    size_t len = strlen(where);
    pthread_mutex_lock(&d->mutex);
    bool is_first = d->text[0] == 0;
    if (is_first) {
        snprintf(d->text, sizeof d->text,
                 "%s%s: %s; move the directory aside and let a peer's state in, or restore a "
                 "backup",
                 len > WHERE_SHOWN ? "..." : "", len > WHERE_SHOWN ? where + len - WHERE_SHOWN
                                                                   : where, what);
    }
    pthread_mutex_unlock(&d->mutex);
    METRIC_ADD(shard_damage_found_total, 1);
    if (is_first && d->told) {
        d->told(d->user);
    }
}

const char *damage_text(struct damage *d)
{
    pthread_mutex_lock(&d->mutex);
    const char *text = d->text[0] ? d->text : NULL;
    pthread_mutex_unlock(&d->mutex);
    return text;
}

/* SPDX-License-Identifier: MIT */
/* SIGHUP, step by step.
 *
 *   options->hangup (configuration) -> issuers changed? -> worker: auth_new, with their keys
 *                                                          -> swap -> each loop is woken and turns
 *   -> keys of those believed are read again -> exempt networks, certificates, ticket keys
 *   -> operators who are connected are judged again by the roles of now
 *
 * Owns: the set of issuers that a worker is reading, until it is the front's.
 * Happy path: issuers that are new are read beside those believed; tokens are judged by the old
 * ones until the new keys are here, so nobody waits and nobody is refused meanwhile.  Remembered
 * tokens go with the old set: each is verified once more, by the new rules.
 * Fails: what cannot be read is logged, the old holds, and the next SIGHUP tries again.
 * Invariant: while a worker reads, the configuration does not change: a SIGHUP that comes then is
 * carried out when it is done, one for however many. */
#include "gateway/reload.h"

#include "base/log.h"
#include "gateway/auth.h"
#include "gateway/front.h"
#include "gateway/inside.h"
#include "gateway/secure.h"

/* The front believes them from now on; each loop as soon as it wakes. */
static void reload_swap(struct front *front, struct auth *fresh)
{
    pthread_mutex_lock(&front->auth_lock);
    struct auth *old = atomic_exchange(&front->auth, fresh);
    pthread_mutex_unlock(&front->auth_lock);
    auth_show(fresh);
    auth_drop(old);
}

int reload_start(struct front *front, char *ret_text)
{
    struct auth *fresh = NULL;
    int r = token_desk_keys(front, &fresh, ret_text);
    if (r == 0) {
        front->reload.edition = front->options->issuers_edition;
        reload_swap(front, fresh);
    }
    return r;
}

/* On a worker. */
static void reload_read(uv_work_t *work)
{
    struct gateway *g = work->data;
    struct reload *reload = &g->front->reload;
    reload->verdict = token_desk_keys(g->front, &reload->fresh, reload->text);
}

static void reload_done(uv_work_t *work, int status)
{
    struct gateway *g = work->data;
    struct front *front = g->front;
    struct reload *reload = &front->reload;
    reload->is_busy = false;
    if (reload->verdict) {
        log_event(LOG_ISSUERS_WRONG, NULL, "gateway: the issuers stay as they were: %s",
                  reload->verdict > 0 ? reload->text : "out of memory");
    } else {
        reload->edition = reload->edition_fresh;
        reload_swap(front, reload->fresh);
        log_event(LOG_ISSUERS_READ, NULL, "gateway: issuers believed from now on: %zu",
                  auth_issuers_count(reload->fresh));
        for (unsigned i = 0; i < front->loops_count; i++) {
            if (!front->loops[i]->has_left && g->phase != GATEWAY_CLOSING) {
                post_wake(&front->loops[i]->post);
            }
        }
    }
    reload->fresh = NULL;
    if (reload->again) {
        reload->again = false;
        reload_begin(g);
    }
}

void reload_begin(struct gateway *g)
{
    struct front *front = g->front;
    struct reload *reload = &front->reload;
    if (g->phase == GATEWAY_CLOSING) {
        return;
    }
    if (reload->is_busy) {
        reload->again = true;
        return;
    }
    if (g->options->hangup) {
        g->options->hangup(g->options->user);
    }
    if (g->options->issuers_edition != reload->edition) {
        reload->edition_fresh = g->options->issuers_edition;
        reload->work.data = g;
        reload->is_busy = uv_queue_work(&g->loop, &reload->work, reload_read, reload_done) == 0;
    } else if (g->auth) {
        auth_refresh(g->auth);
    }
    front_reload(front);
    secure_judge_again(g);
}

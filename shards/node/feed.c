/* SPDX-License-Identifier: MIT */
/* News for gateways.  REQ/REP cannot push, so each gateway parks a call.
 *
 *   rounds -> note -> ring of the newest FEED_KEPT -> turn -> parked calls whose `after` is behind
 *
 * Owns: the ring, the parked calls, the arena of the answer that is being made.
 * News say "look again", not what happened: what a caller may see is decided where he asks.  So
 * nothing is lost when some are: a gateway that fell behind, or that knew another process (epoch),
 * is told that it missed some, and everybody looks.
 * Bounded: FEED_PARKED_MAX calls wait; one more is answered at once, empty or not.
 * Not of the state and not in the log: after a restart there are no news, and a new epoch.
 * Fails: < 0 out of memory at the start; a reply that cannot be packed is empty, which a gateway
 * takes for "missed". */
#include "node/feed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"

#define FEED_ARENA_MAX (1024 * 1024)

struct parked {
    struct intake_batch *batch;
    int64_t until_us;
};

struct feed {
    struct intake *intake;
    uint64_t epoch;
    uint64_t count; /* news since the start: the number of the next one */
    struct parked parked[FEED_PARKED_MAX];
    size_t parked_count;
    struct arena arena;
    struct ledger_touch kept[FEED_KEPT]; /* news n at n % FEED_KEPT */
};

int feed_new(struct intake *intake, struct feed **ret_feed)
{
    struct feed *f = calloc(1, sizeof *f);
    if (f == NULL) {
        return err_origin(-ENOMEM);
    }
    f->intake = intake;
    arena_init(&f->arena, FEED_ARENA_MAX);
    while (f->epoch == 0) {
        clock_random(&f->epoch, sizeof f->epoch);
    }
    *ret_feed = f;
    return 0;
}

void feed_free(struct feed *f)
{
    if (f) {
        CHECK(f->parked_count == 0);
        arena_fini(&f->arena);
        free(f);
    }
}

void feed_note(struct feed *f, const struct ledger_touch *touches, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        f->kept[f->count++ % FEED_KEPT] = touches[i];
    }
}

/* -- one answer -------------------------------------------------------------------------------- */

static bool is_nobody(const struct identity *identity)
{
    static const struct identity nobody;
    return memcmp(identity, &nobody, sizeof nobody) == 0;
}

/* What came from *after on, as far as one answer goes. */
static void feed_gather(struct feed *f, uint64_t after, struct feed_news *news)
{
    struct identity *identities = arena_alloc(&f->arena, FEED_NEWS_MAX * sizeof *identities);
    uint64_t *releases = arena_alloc(&f->arena, FEED_NEWS_MAX * sizeof *releases);
    size_t identities_count = 0, releases_count = 0;
    if (identities == NULL || releases == NULL) {
        news->missed = true;
        return;
    }
    for (; after < f->count && identities_count < FEED_NEWS_MAX && releases_count < FEED_NEWS_MAX;
         after++) {
        const struct ledger_touch *t = &f->kept[after % FEED_KEPT];
        if (!is_nobody(&t->identity)) {
            identities[identities_count++] = t->identity;
        } else if (t->release) {
            releases[releases_count++] = t->release;
        } else {
            news->missed = true;
        }
    }
    news->next = after;
    news->identities = (struct span){identities->bytes, identities_count * sizeof *identities};
    news->releases = releases;
    news->releases_count = releases_count;
}

static bool feed_knows(const struct feed *f, const struct batch_view *call)
{
    return call->feed_epoch == f->epoch && call->feed_after <= f->count &&
           f->count - call->feed_after <= FEED_KEPT;
}

static void feed_answer(struct feed *f, struct intake_batch *b)
{
    struct feed_news news = {.epoch = f->epoch, .next = f->count};
    struct reply_view reply = {.feed = &news, .map_epoch = b->view.map_epoch};
    struct span bytes;
    arena_reset(&f->arena);
    if (feed_knows(f, &b->view)) {
        feed_gather(f, b->view.feed_after, &news);
    } else {
        news.missed = true;
    }
    if (codec_reply_pack(&reply, &f->arena, &bytes) < 0) {
        bytes = (struct span){0};
    }
    intake_reply(f->intake, b, bytes);
}

/* -- parking ----------------------------------------------------------------------------------- */

static bool feed_has_news(const struct feed *f, const struct batch_view *call)
{
    return !feed_knows(f, call) || call->feed_after < f->count;
}

static void feed_park(struct feed *f, struct intake_batch *b, int64_t now_us)
{
    if (feed_has_news(f, &b->view) || f->parked_count == FEED_PARKED_MAX) {
        feed_answer(f, b);
        return;
    }
    f->parked[f->parked_count++] = (struct parked){b, now_us + FEED_PARK_US};
}

void feed_turn(struct feed *f, int64_t now_us)
{
    struct list came, *node;
    size_t kept = 0;
    for (size_t i = 0; i < f->parked_count; i++) {
        struct parked *p = &f->parked[i];
        if (feed_has_news(f, &p->batch->view) || now_us >= p->until_us) {
            feed_answer(f, p->batch);
        } else {
            f->parked[kept++] = *p;
        }
    }
    f->parked_count = kept;
    list_init(&came);
    intake_take_feeds(f->intake, &came);
    while ((node = list_pull(&came)) != NULL) {
        feed_park(f, CONTAINER_OF(node, struct intake_batch, node), now_us);
    }
}

void feed_end(struct feed *f)
{
    while (f->parked_count > 0) {
        feed_answer(f, f->parked[--f->parked_count].batch);
    }
}

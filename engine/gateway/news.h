/* SPDX-License-Identifier: MIT */
/* The shard's news, for the loops: who should look at a ticket again.  One thread parks one call at
 * the shard while somebody follows, and hands what comes to every loop. */
#ifndef FAIRSLOT_GATEWAY_NEWS_H
#define FAIRSLOT_GATEWAY_NEWS_H

#include <uv.h>

#include "base/limits.h"
#include "base/types.h"

struct news;
struct leads;

/* What a loop takes at once. */
struct news_take {
    bool missed; /* everybody looks */
    size_t identities_count;
    size_t releases_count;
    struct identity identities[FEED_NEWS_MAX];
    uint64_t releases[FEED_NEWS_MAX]; /* codec_release_hash() */
};

/* `leads` is borrowed.  0 or < 0. */
int news_new(struct leads *leads, struct news **ret_feed);
/* No loop is in it any more.  Takes NULL. */
void news_free(struct news *f);

/* `async` is sent when there is something to take.  The loop's thread, both. */
void news_join_loop(struct news *f, unsigned loop, uv_async_t *async);
void news_leave_loop(struct news *f, unsigned loop);
/* Somebody of this process follows from now on, or one less does.  Any thread. */
void news_begin(struct news *f);
void news_end(struct news *f);
/* What came for this loop since it took last; false: nothing. */
bool news_take(struct news *f, unsigned loop, struct news_take *ret_take);
/* The line is up: what changes is told.  Any thread. */
bool news_is_live(struct news *f);

#endif

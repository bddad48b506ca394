/* SPDX-License-Identifier: MIT */
/* News for gateways: whose ticket may look different now.  A gateway parks one call; it is answered
 * when there is something it does not know, or after FEED_PARK_US.  Writer thread only. */
#ifndef FAIRSLOT_NODE_FEED_H
#define FAIRSLOT_NODE_FEED_H

#include "ledger/ledger.h"
#include "node/intake.h"

#define FEED_PARK_US (5 * SECOND_US)

struct feed;

/* `intake` is borrowed: calls come from it and are answered through it.  0 or < 0. */
int feed_new(struct intake *intake, struct feed **ret_feed);
/* No call is parked any more (feed_end()).  Takes NULL. */
void feed_free(struct feed *f);

/* What a round changed; after it is durable, before feed_turn(). */
void feed_note(struct feed *f, const struct ledger_touch *touches, size_t count);
/* Takes the calls that came; answers those for whom there are news, or that waited long enough. */
void feed_turn(struct feed *f, int64_t now_us);
/* Answers every call with what there is: nothing will come any more. */
void feed_end(struct feed *f);

#endif

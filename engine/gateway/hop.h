/* SPDX-License-Identifier: MIT */
/* The hop to the shard: batches out by credit, answers back.  The first loop's thread, except that
 * rpc's callback arrives on nng's threads and ends in hop.c's inbox. */
#ifndef FAIRSLOT_GATEWAY_HOP_H
#define FAIRSLOT_GATEWAY_HOP_H

#include <stdbool.h>

struct errand;
struct front;
struct hop;

/* On the first loop.  Dials in the background.  0 or < 0. */
int hop_open(struct front *front);
/* Every errand is home by now.  No callback runs afterwards; its handle closes with the loop's
 * next turn, then hop_free().  Takes a front without a hop. */
void hop_close(struct front *front);
void hop_free(struct front *front);
/* Takes the answers that came, before its turn of the loop. */
void hop_collect(struct front *front);
/* Sends what waits, as far as contexts and credit go.  Once per turn of the loop. */
void hop_pump(struct front *front);
/* An errand in ERRAND_SENT leaves its batch: its answer will meet nobody. */
void hop_forget(struct front *front, struct errand *e);
/* The shard was not there for longer than calls may wait for it. */
bool hop_is_gone(const struct front *front);
/* Its deadline: looks whether the shard is back, or away for too long. */
void hop_tick(struct front *front);

#endif

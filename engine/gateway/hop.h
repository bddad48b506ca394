/* SPDX-License-Identifier: MIT */
/* The hop to the shard: batches out by credit, answers back by number.  Loop thread, except that
 * rpc's callback arrives on nng's threads and ends in hop.c's inbox. */
#ifndef FAIRSLOT_GATEWAY_HOP_H
#define FAIRSLOT_GATEWAY_HOP_H

#include <stdbool.h>

struct call;
struct gateway;
struct hop;

/* Dials in the background.  0 or < 0. */
int hop_open(struct gateway *g);
/* Every call has ended by now.  No callback runs afterwards; its handle closes with the loop's
 * next turn, then hop_free().  Takes a gateway without a hop. */
void hop_close(struct gateway *g);
void hop_free(struct gateway *g);
/* Sends what waits, as far as contexts and credit go.  Once per turn of the loop. */
void hop_pump(struct gateway *g);
/* The shard was not there for longer than calls may wait for it. */
bool hop_is_gone(const struct gateway *g);
/* Its deadline: looks whether the shard is back, or away for too long. */
void hop_tick(struct gateway *g);

#endif

/* SPDX-License-Identifier: MIT */
/* The thread that owns a shard: store, replica, ledger, and every round.
 * writer_start() and writer_stop() by the thread that owns the node; all else happens inside. */
#ifndef FAIRSLOT_NODE_WRITER_H
#define FAIRSLOT_NODE_WRITER_H

#include "node/intake.h"
#include "node/node.h"

struct writer;

/* Starts the thread, which opens the store and replays the log, and waits until it has.  options
 * and intake are borrowed until writer_stop().  0, NODE_E_STORE, _VERSION, _KEY or _PEERS with
 * `ret_text` (256 bytes), or < 0. */
int writer_start(const struct node_options *options, struct intake *intake,
                 struct writer **ret_writer, char *ret_text);
/* Where gateways reach us, for those who ask another replica.  Once it is known; copies. */
void writer_set_door(struct writer *w, const char *url);
/* Another replica shall lead: returns when it does, when there is none, or after a second.  Takes
 * NULL. */
void writer_hand_over(struct writer *w);
/* After intake_stop(): the rounds under way are answered, the state is flushed, the thread ends.
 * Takes NULL. */
void writer_stop(struct writer *w);

#endif

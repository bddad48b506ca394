/* SPDX-License-Identifier: MIT */
/* The thread that reads everything, again and again: so that damage is found before it is needed.
 * Calls are the writer thread's. */
#ifndef FAIRSLOT_STORE_SCRUB_H
#define FAIRSLOT_STORE_SCRUB_H

#include "store/damage.h"
#include "store/logenv.h"
#include "store/stateenv.h"

struct scrub;

struct scrub_options {
    const char *dir;       /* borrowed until scrub_stop(), as all else here */
    struct logenv *log;
    struct stateenv *state;
    struct damage *damage; /* to be told */
    int64_t interval_us;   /* from one beginning to the next; < 0: never */
    uint64_t bytes_per_s;  /* at most */
};

/* 0 or < 0.  Nothing is read before the first interval is over: opening has just read it all. */
int scrub_start(const struct scrub_options *options, struct scrub **ret_scrub);
/* Waits for the part under way.  Takes NULL. */
void scrub_stop(struct scrub *s);
/* Between the two nobody reads the state: `state` takes its place. */
void scrub_pause(struct scrub *s);
void scrub_go_on(struct scrub *s, struct stateenv *state);

#endif

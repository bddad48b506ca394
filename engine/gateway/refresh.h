/* SPDX-License-Identifier: MIT */
/* Keeps every issuer's keys fresh, on a thread of its own: files when they change, URLs on a
 * schedule, and at once when a token names a kid that nobody has seen (rarely: see refetch).
 * Fills a keyring; never touched by a loop but for the short functions below, which any thread may
 * call. */
#ifndef FAIRSLOT_GATEWAY_REFRESH_H
#define FAIRSLOT_GATEWAY_REFRESH_H

#include "gateway/keyring.h"

struct refresh;

enum { REFRESH_E_KEYS = 1 };

/* Reads the files of issuers that have one, starts the thread, and waits for the first answers of
 * the others, but not longer than REFRESH_START_MS: an issuer that is down does not hold up the
 * start.  0 with `ret_text` "" or a warning; REFRESH_E_KEYS with the reason (a file cannot be
 * used); or < 0.  `ring` is borrowed. */
int refresh_new(struct keyring *ring, struct refresh **ret_refresh, char *ret_text);
/* Ends the thread.  Takes NULL. */
void refresh_free(struct refresh *r);
/* Looks at everything now: SIGHUP. */
void refresh_now(struct refresh *r);

enum refresh_answer {
    REFRESH_NO,    /* these are the keys: looking again changes nothing */
    REFRESH_BUSY,  /* they are being read: ask again when refresh_is_busy() ends */
    REFRESH_LATER, /* looked for a kid a moment ago; *ret_wait_ms until it is allowed again */
};

/* A token of this issuer names a kid that is not there. */
enum refresh_answer refresh_ask(struct refresh *r, size_t number, uint32_t *ret_wait_ms);
bool refresh_is_busy(struct refresh *r, size_t number);
/* Milliseconds until the issuer is asked again, at least 1. */
uint32_t refresh_wait_ms(struct refresh *r, size_t number);

/* One issuer's state, for metrics. */
struct refresh_state {
    const char *name;     /* of the issuer, as long as the keyring lives */
    uint64_t read_count;  /* answers that were a good key set */
    uint64_t failed_count;
    uint32_t keys_count;  /* in use; 0: its tokens cannot be verified */
    int64_t age_us;       /* since its keys were last confirmed; -1: never */
    bool is_stale;        /* the last look failed: the alarm */
};

void refresh_state(struct refresh *r, size_t number, struct refresh_state *ret_state);

#endif

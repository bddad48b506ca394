/* SPDX-License-Identifier: MIT */
/* The thread that writes frozen overlays to the state environment.  Calls are the writer thread's,
 * one flush at a time. */
#ifndef FAIRSLOT_STORE_FLUSHER_H
#define FAIRSLOT_STORE_FLUSHER_H

#include "store/overlay.h"
#include "store/record.h"
#include "store/stateenv.h"

struct flusher;

struct flusher_options {
    struct stateenv *state;       /* borrowed until flusher_stop() */
    uint64_t slice_pages;         /* leaves that one commit may touch at least, about */
    void (*flushed)(void *user); /* on the flusher thread after each flush, failed too, and after
                                    each slice of it; or NULL */
    void *user;                  /* its argument */
};

struct flusher_result {
    int code;          /* 0, or < 0: nothing of it is durable */
    int64_t took_us;   /* from begin to durable */
    uint64_t records;  /* entries of the overlay */
};

/* 0 or < 0. */
int flusher_start(const struct flusher_options *options, struct flusher **ret_flusher);
/* Waits for the flush under way and ends the thread; its result is lost.  Takes NULL. */
void flusher_stop(struct flusher *f);
/* Hands `overlay` over: nobody may change it until the flush was polled or waited for.  It need not
 * be durable before `spread_us` have passed; its slices are spread over that time. */
void flusher_push(struct flusher *f, const struct overlay *overlay,
                  const struct record_state_meta *meta, int64_t spread_us);
/* The flush under way gets a normal share of the processor from now on, and rests no more. */
void flusher_hurry(struct flusher *f);
/* Records of the flush under way that are in a slice already. */
uint64_t flusher_done(const struct flusher *f);
/* Are there slices that the snapshot does not show?  Then renew it and say so with the number that
 * came out, so that the next slices can have the pages that these have left. */
bool flusher_sliced(const struct flusher *f, uint64_t *ret_slices);
void flusher_followed(struct flusher *f, uint64_t slices);
/* True once for each flush, when it has finished. */
bool flusher_poll(struct flusher *f, struct flusher_result *ret_result);
/* Blocks until the flush under way, which was not polled yet, has a slice or its end to tell, at
 * times for nothing: so call it in a loop around the two above. */
void flusher_wait(struct flusher *f);

#endif

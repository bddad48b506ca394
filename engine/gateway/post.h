/* SPDX-License-Identifier: MIT */
/* Post between loops: notes are gathered in a turn of the loop, handed over in one batch under one
 * lock, and read unlocked.  A process with one loop never posts.
 *
 * Each loop owns one struct post.  post_put() and post_flush(): its own thread.  post_take(): in
 * its own thread, after its async woke it.  Order between two loops is kept. */
#ifndef FAIRSLOT_GATEWAY_POST_H
#define FAIRSLOT_GATEWAY_POST_H

#include <uv.h>

#include "base/limits.h"
#include "base/list.h"

enum post_kind {
    POST_ERRAND, /* to the first loop: a call's work; back: the same with its answer */
    POST_CANCEL, /* to the first loop: nobody waits for it any more */
    POST_EXPIRE, /* to the first loop: its time is over, what shall the client hear? */
    POST_DRAIN,  /* to every loop: stop */
    POST_LEAVE,  /* to the first loop: this loop's last note; back: the last one, too */
};

/* First in what travels. */
struct post_note {
    struct list link;
    enum post_kind kind;
};

struct post {
    uv_async_t async;            /* wakes this loop */
    uv_mutex_t mutex;            /* over `inbox` */
    struct list inbox;           /* notes for this loop */
    struct list out[LOOPS_MAX];  /* notes of this turn, by the loop they go to */
    bool is_open;                /* post_open() was called */
};

/* 0 or < 0.  `on_post` runs in the loop's thread with async->data == user. */
int post_open(struct post *post, uv_loop_t *loop, uv_async_cb on_post, void *user);
/* No other loop posts here any more.  Its handle closes with the loop's next turn. */
void post_close(struct post *post);
/* After the loop ended.  Every note was taken, see post_take().  Takes a zeroed post. */
void post_fini(struct post *post);

/* For the loop number `to`, at the end of this turn. */
void post_put(struct post *from, unsigned to, struct post_note *note);
/* Hands over to the post of loop number `to` what was put for it, and wakes it; nothing put:
 * nothing happens. */
void post_flush(struct post *from, unsigned to, struct post *other);
/* Wakes its loop, notes or none.  Any thread, until the loop is closed. */
void post_wake(struct post *post);
/* Everything that came, to the end of `ret_notes`. */
void post_take(struct post *post, struct list *ret_notes);

#endif

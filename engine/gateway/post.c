/* SPDX-License-Identifier: MIT */
/* Post between loops (after h2o's multithread.c).
 * Owns: the lock and the wake-up of each loop.  Does not own the notes: whoever takes one out of
 * its inbox does.
 *
 *   put: out[to] --flush: one lock, splice, one uv_async_send--> inbox --take: splice--> unlocked
 *
 * Happy path: a hundred calls read in one turn of a loop are one lock and one wake-up.
 * Fails: only while opening.  Nothing is allocated, so nothing can be lost for want of memory.
 * Invariants: two notes from one loop to another arrive in order; a note is on one list at a time.
 * Not a lock-free queue: the lock is held for a splice, once a turn. */
#include "gateway/post.h"

#include "base/check.h"
#include "base/err.h"

int post_open(struct post *post, uv_loop_t *loop, uv_async_cb on_post, void *user)
{
    CHECK(!post->is_open);
    int r = uv_mutex_init(&post->mutex);
    if (r < 0) {
        return err_origin(r);
    }
    r = uv_async_init(loop, &post->async, on_post);
    if (r < 0) {
        uv_mutex_destroy(&post->mutex);
        return err_origin(r);
    }
    post->async.data = user;
    list_init(&post->inbox);
    for (unsigned i = 0; i < LOOPS_MAX; i++) {
        list_init(&post->out[i]);
    }
    post->is_open = true;
    return 0;
}

void post_close(struct post *post)
{
    if (post->is_open && !uv_is_closing((uv_handle_t *)&post->async)) {
        uv_close((uv_handle_t *)&post->async, NULL);
    }
}

void post_fini(struct post *post)
{
    if (!post->is_open) {
        return;
    }
    CHECK(list_empty(&post->inbox));
    uv_mutex_destroy(&post->mutex);
    post->is_open = false;
}

void post_put(struct post *from, unsigned to, struct post_note *note)
{
    CHECK(to < LOOPS_MAX);
    list_push(&from->out[to], &note->link);
}

void post_flush(struct post *from, unsigned to, struct post *other)
{
    if (list_empty(&from->out[to])) {
        return;
    }
    uv_mutex_lock(&other->mutex);
    list_splice(&other->inbox, &from->out[to]);
    uv_mutex_unlock(&other->mutex);
    uv_async_send(&other->async);
}

void post_wake(struct post *post)
{
    uv_async_send(&post->async);
}

void post_take(struct post *post, struct list *ret_notes)
{
    uv_mutex_lock(&post->mutex);
    list_splice(ret_notes, &post->inbox);
    uv_mutex_unlock(&post->mutex);
}

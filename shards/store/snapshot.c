/* SPDX-License-Identifier: MIT */
/* Copies of the state for other replicas.
 *
 *   want(index):  a copy that is late enough? -> ready
 *                 one of before our start?    -> is it still whole? -> ready
 *                 one under way?              -> wait
 *                 a free slot, or one that nobody reads -> a new one is begun
 *
 * Owns: SNAPSHOT_COPIES_MAX slots, each with a directory copy.N and a descriptor while it is ready.
 * A copy outlives its process: who has half of it goes on when we start again.
 * Slots are few because a copy is as big as the state: two, so that who is being served is not cut
 * off by one who needs a later one.
 * Fails: verdicts of snapshot.h; a code that the worker met is told once and the slot is free.
 * Roads not taken: bytes straight from a read transaction (it would live as long as the slowest
 * reader and pin every page that flushes free: 293 MB grew to 1.7 GB in 20 s when tried). */
#include "store/snapshot_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "store/record.h"
#include "store/slip.h"

/* What that directory holds; false: nothing that could be gone on with. */
static bool is_kept(const struct snapshots *n, const char *path, struct snapshot_about *ret_about)
{
    uint8_t bytes[SLIP_MAX];
    size_t len = 0;
    return slip_read(path, "about", bytes, &len) == 0 &&
           snapshot_about_unpack((struct span){bytes, len}, ret_about) &&
           ret_about->format == RECORD_FORMAT &&
           memcmp(ret_about->cluster_id, n->options.cluster_id, 16) == 0;
}

/* Copies of before our start: the newest that fit are kept, the others go. */
static int keep_copies(struct snapshots *n)
{
    uint64_t numbers[SNAPSHOT_COPIES_MAX];
    size_t count = 0;
    int r = folder_keep_newest(n->options.dir, "copy", numbers, SNAPSHOT_COPIES_MAX, &count);
    for (size_t i = 0; i < count && r == 0; i++) {
        char path[FOLDER_PATH_MAX];
        struct snapshot_copy c = {.state = SNAPSHOT_COPY_KEPT, .number = numbers[i], .fd = -1,
                                  .used_us = clock_mono_us()};
        r = snapshot_copy_path(n, c.number, path);
        if (r == 0 && is_kept(n, path, &c.about)) {
            n->copies[i] = c;
        } else if (r == 0) {
            r = folder_remove_env(path);
        }
        n->next_number = c.number >= n->next_number ? c.number + 1 : n->next_number;
    }
    return err_trace(r);
}

int snapshot_open(const struct snapshot_options *options, struct snapshots **ret_snapshots)
{
    struct snapshots *n = calloc(1, sizeof *n);
    if (!n) {
        return err_origin(-ENOMEM);
    }
    n->options = *options;
    n->durable = stateenv_meta(options->state)->applied_index;
    n->next_number = 1;
    n->in.fd = -1;
    pthread_mutex_init(&n->mutex, NULL);
    pthread_cond_init(&n->changed, NULL);
    int r = keep_copies(n);
    if (r) {
        snapshot_close(n);
        return err_trace(r);
    }
    *ret_snapshots = n;
    return 0;
}

void snapshot_close(struct snapshots *n)
{
    if (!n) {
        return;
    }
    pthread_mutex_lock(&n->mutex);
    n->stop = true;
    pthread_cond_broadcast(&n->changed);
    bool is_running = n->is_running;
    pthread_mutex_unlock(&n->mutex);
    if (is_running) {
        pthread_join(n->thread, NULL);
    }
    for (size_t i = 0; i < SNAPSHOT_COPIES_MAX; i++) {
        if (n->copies[i].state == SNAPSHOT_COPY_READY) {
            close(n->copies[i].fd);
        }
    }
    if (n->in.fd >= 0) {
        close(n->in.fd);
    }
    pthread_cond_destroy(&n->changed);
    pthread_mutex_destroy(&n->mutex);
    free(n);
}

/* -- the slots --------------------------------------------------------------------------------- */

static void drop(struct snapshot_copy *c)
{
    if (c->fd >= 0) {
        close(c->fd);
    }
    c->fd = -1;
    c->state = SNAPSHOT_COPY_DROPPED;
}

static bool is_idle(const struct snapshot_copy *c, int64_t now_us)
{
    bool is_there = c->state == SNAPSHOT_COPY_READY || c->state == SNAPSHOT_COPY_KEPT;
    return is_there && now_us - c->used_us >= SNAPSHOT_IDLE_S * SECOND_US;
}

void snapshot_turn(struct snapshots *n, uint64_t durable, int64_t now_us)
{
    pthread_mutex_lock(&n->mutex);
    n->durable = durable;
    for (size_t i = 0; i < SNAPSHOT_COPIES_MAX; i++) {
        if (is_idle(&n->copies[i], now_us)) {
            drop(&n->copies[i]);
            (void)snapshot_work(n); /* without a worker: the next one that begins, or a start */
        }
    }
    pthread_mutex_unlock(&n->mutex);
}

static struct snapshot_copy *find_late(struct snapshots *n, enum snapshot_copy_state state,
                                       uint64_t index)
{
    struct snapshot_copy *best = NULL;
    for (size_t i = 0; i < SNAPSHOT_COPIES_MAX; i++) {
        struct snapshot_copy *c = &n->copies[i];
        if (c->state == state && c->about.index >= index &&
            (!best || c->about.index > best->about.index)) {
            best = c;
        }
    }
    return best;
}

static struct snapshot_copy *find_state(struct snapshots *n, enum snapshot_copy_state state)
{
    for (size_t i = 0; i < SNAPSHOT_COPIES_MAX; i++) {
        if (n->copies[i].state == state) {
            return &n->copies[i];
        }
    }
    return NULL;
}

static int begin(struct snapshots *n, uint64_t index)
{
    struct snapshot_copy *c = find_state(n, SNAPSHOT_COPY_NONE);
    if (n->durable < index) {
        return SNAPSHOT_E_BEHIND;
    }
    if (!c && (c = find_state(n, SNAPSHOT_COPY_KEPT)) != NULL) {
        drop(c); /* it is too early for whoever asks */
        int r = snapshot_work(n);
        return r < 0 ? err_trace(r) : SNAPSHOT_E_WAIT;
    }
    if (!c) {
        return find_state(n, SNAPSHOT_COPY_DROPPED) ? SNAPSHOT_E_WAIT : SNAPSHOT_E_BUSY;
    }
    *c = (struct snapshot_copy){.state = SNAPSHOT_COPY_WANTED, .number = n->next_number++,
                                .fd = -1};
    int r = snapshot_work(n);
    if (r < 0) {
        c->state = SNAPSHOT_COPY_NONE;
        return err_trace(r);
    }
    return SNAPSHOT_E_WAIT;
}

static int want(struct snapshots *n, uint64_t index, struct snapshot_about *ret_about)
{
    struct snapshot_copy *c = find_late(n, SNAPSHOT_COPY_READY, index);
    if (c) {
        c->used_us = clock_mono_us();
        *ret_about = c->about;
        return 0;
    }
    c = find_late(n, SNAPSHOT_COPY_KEPT, index);
    if (c) {
        c->state = SNAPSHOT_COPY_PROVED;
        int r = snapshot_work(n);
        return r < 0 ? err_trace(r) : SNAPSHOT_E_WAIT;
    }
    if (find_state(n, SNAPSHOT_COPY_WANTED) || find_state(n, SNAPSHOT_COPY_PROVED)) {
        return SNAPSHOT_E_WAIT;
    }
    c = find_state(n, SNAPSHOT_COPY_FAILED);
    if (c) {
        c->state = SNAPSHOT_COPY_NONE;
        return err_trace(c->code);
    }
    return begin(n, index);
}

int snapshot_want(struct snapshots *n, uint64_t index, struct snapshot_about *ret_about)
{
    pthread_mutex_lock(&n->mutex);
    int r = want(n, index, ret_about);
    pthread_mutex_unlock(&n->mutex);
    return r;
}

static struct snapshot_copy *find_id(struct snapshots *n, uint64_t id)
{
    for (size_t i = 0; i < SNAPSHOT_COPIES_MAX; i++) {
        struct snapshot_copy *c = &n->copies[i];
        if (c->state == SNAPSHOT_COPY_READY && c->about.id == id) {
            return c;
        }
    }
    return NULL;
}

static int read_at(struct snapshot_copy *c, uint64_t offset, uint8_t *to, size_t *len)
{
    if (offset > c->about.size) {
        offset = c->about.size;
    }
    uint64_t left = c->about.size - offset;
    size_t want_len = *len < left ? *len : (size_t)left, done = 0;
    while (done < want_len) {
        ssize_t n = pread(c->fd, to + done, want_len - done, (off_t)(offset + done));
        if (n <= 0) {
            return err_origin(n < 0 ? -errno : -EIO);
        }
        done += (size_t)n;
    }
    *len = done;
    return 0;
}

int snapshot_read(struct snapshots *n, uint64_t id, uint64_t offset, uint8_t *to, size_t *len)
{
    CHECK(*len <= SNAPSHOT_CHUNK_MAX);
    pthread_mutex_lock(&n->mutex);
    struct snapshot_copy *c = find_id(n, id);
    int r = c ? read_at(c, offset, to, len) : SNAPSHOT_E_UNKNOWN;
    if (c) {
        c->used_us = clock_mono_us();
    }
    pthread_mutex_unlock(&n->mutex);
    return r;
}

void snapshot_release(struct snapshots *n, uint64_t id)
{
    pthread_mutex_lock(&n->mutex);
    struct snapshot_copy *c = find_id(n, id);
    if (c) {
        drop(c);
        pthread_cond_broadcast(&n->changed);
    }
    pthread_mutex_unlock(&n->mutex);
}

/* -- another state ----------------------------------------------------------------------------- */

void snapshot_swap(struct snapshots *n)
{
    pthread_mutex_lock(&n->mutex);
    while (n->is_copying || find_state(n, SNAPSHOT_COPY_WANTED)) {
        pthread_cond_wait(&n->changed, &n->mutex);
    }
    pthread_mutex_unlock(&n->mutex);
}

void snapshot_swap_end(struct snapshots *n, struct stateenv *state, const char *garbage)
{
    pthread_mutex_lock(&n->mutex);
    n->options.state = state;
    n->durable = stateenv_meta(state)->applied_index;
    if (folder_join(n->garbage, garbage, "") < 0 || snapshot_work(n) < 0) {
        n->garbage[0] = 0; /* it goes at the next start */
    }
    pthread_mutex_unlock(&n->mutex);
}

/* SPDX-License-Identifier: MIT */
/* The thread behind snapshots: copies are made, what came in is checked, old directories go.
 *
 *   WANTED copy  -> room? -> LMDB's compact copy -> every record read -> digest -> READY or FAILED
 *   PROVED copy  -> digest -> READY or DROPPED
 *   CHECKING     -> fsync -> digest -> opened, every record read       -> CHECKED or FAILED
 *   DROPPED copy, replaced state -> removed
 *
 * Owns: the thread, which starts with the first work.  There is no queue: the states are the work.
 * A copy is one long read transaction, but in one go: what flushes free meanwhile comes back after.
 * It is verified here as well, the one place where the tally of a whole live state is recomputed:
 * what is wrong in it is wrong in our own files.
 * Fails: a code in the slot, for whoever asks next. */
#include "store/snapshot_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "store/room.h"
#include "store/slip.h"

#define READ_BYTES (1024 * 1024)

/* XXH3-128 and the length of a file.  0 or < 0. */
static int file_digest(int fd, uint64_t *ret_size, uint8_t ret_digest[SNAPSHOT_DIGEST_SIZE])
{
    uint8_t *buffer = malloc(READ_BYTES);
    XXH3_state_t *state = XXH3_createState();
    uint64_t size = 0;
    ssize_t n = -1;
    int r = buffer && state ? 0 : err_origin(-ENOMEM);
    if (r == 0) {
        XXH3_128bits_reset(state);
        while ((n = pread(fd, buffer, READ_BYTES, (off_t)size)) > 0) {
            XXH3_128bits_update(state, buffer, (size_t)n);
            size += (uint64_t)n;
        }
        r = n < 0 ? err_origin(-errno) : 0;
    }
    if (r == 0) {
        XXH128_hash_t hash = XXH3_128bits_digest(state);
        struct scribe w = scribe_of(ret_digest, SNAPSHOT_DIGEST_SIZE);
        scribe_u64(&w, hash.high64);
        scribe_u64(&w, hash.low64);
        *ret_size = size;
    }
    XXH3_freeState(state);
    free(buffer);
    return r;
}

static int open_data(const char *path, int flags, int *ret_fd)
{
    char file[FOLDER_PATH_MAX];
    int r = folder_join(file, path, "/data.mdb");
    if (r < 0) {
        return err_trace(r);
    }
    int fd = open(file, flags | O_CLOEXEC);
    if (fd < 0) {
        return err_origin(-errno);
    }
    *ret_fd = fd;
    return 0;
}

/* Opens the environment, reads all of it, and takes back what it has of an unfinished flush, which
 * only a copy of ours can have.  0, SNAPSHOT_E_FORMAT, SNAPSHOT_E_DAMAGED, < 0. */
static int read_whole(const struct snapshots *n, const char *path,
                      struct record_state_meta *ret_meta)
{
    struct stateenv *state;
    uint32_t format;
    int r = stateenv_open(path, n->options.map_bytes, &state, &format);
    if (r == 0) {
        r = stateenv_verify(state);
        r = r ? r : stateenv_undo(state, 0);
        *ret_meta = *stateenv_meta(state);
        stateenv_close(state);
    }
    return r == STATEENV_E_FORMAT ? SNAPSHOT_E_FORMAT
           : r == STATEENV_E_DAMAGED ? SNAPSHOT_E_DAMAGED : err_trace(r);
}

/* -- making ------------------------------------------------------------------------------------ */

static int make_files(const struct snapshots *n, const char *path)
{
    uint64_t bytes, free_bytes;
    int r = stateenv_copy_bytes(n->options.state, &bytes);
    r = r ? r : room_disk_free(n->options.dir, &free_bytes);
    if (r < 0) {
        return err_trace(r);
    }
    if (free_bytes < bytes + n->options.disk_reserve_bytes) {
        return SNAPSHOT_E_ROOM;
    }
    r = stateenv_copy(n->options.state, path);
    return r == -ENOSPC || r == -EDQUOT ? SNAPSHOT_E_ROOM : err_trace(r);
}

static int make_about(const struct snapshots *n, const char *path, struct snapshot_copy *c)
{
    struct record_state_meta meta = {0};
    int r = read_whole(n, path, &meta);
    if (r > 0) {
        damage_note(n->options.damage, n->options.dir, "a copy of state/ has wrong records",
                    false);
        return SNAPSHOT_E_DAMAGED;
    }
    r = r ? r : open_data(path, O_RDONLY, &c->fd);
    if (r < 0) {
        return err_trace(r);
    }
    c->about = (struct snapshot_about){.format = RECORD_FORMAT, .index = meta.applied_index,
                                       .term = meta.applied_term, .time_us = meta.applied_time_us,
                                       .effects = meta.effects};
    memcpy(c->about.cluster_id, meta.cluster_id, sizeof meta.cluster_id);
    while (c->about.id == 0) {
        clock_random(&c->about.id, sizeof c->about.id);
    }
    return err_trace(file_digest(c->fd, &c->about.size, c->about.digest));
}

/* Beside it: so that another process can go on with it. */
static int write_about(const char *path, const struct snapshot_about *about)
{
    uint8_t bytes[SNAPSHOT_ABOUT_SIZE];
    snapshot_about_pack(about, bytes);
    int r = slip_write(path, "about", (struct span){bytes, sizeof bytes});
    return r == -ENOSPC || r == -EDQUOT ? SNAPSHOT_E_ROOM : err_trace(r);
}

/* `c` is a copy of the slot, so that it is worked on without the mutex. */
static int make_copy(const struct snapshots *n, struct snapshot_copy *c)
{
    char path[FOLDER_PATH_MAX];
    int r = snapshot_copy_path(n, c->number, path);
    r = r ? r : make_files(n, path);
    r = r ? r : make_about(n, path, c);
    r = r ? r : write_about(path, &c->about);
    if (r != 0) {
        if (c->fd >= 0) {
            close(c->fd);
            c->fd = -1;
        }
        (void)folder_remove_env(path); /* what stays goes at the next start */
    }
    return err_trace(r);
}

static void do_copy(struct snapshots *n, struct snapshot_copy *slot)
{
    struct snapshot_copy c = *slot;
    n->is_copying = true;
    pthread_mutex_unlock(&n->mutex);
    c.code = make_copy(n, &c);
    pthread_mutex_lock(&n->mutex);
    n->is_copying = false;
    c.used_us = clock_mono_us();
    c.state = c.code == 0 ? SNAPSHOT_COPY_READY : SNAPSHOT_COPY_FAILED;
    *slot = c;
}

/* Is it what its maker wrote?  Nothing was synced, and the power may have gone since. */
static bool is_whole(const struct snapshots *n, struct snapshot_copy *c)
{
    char path[FOLDER_PATH_MAX];
    uint8_t digest[SNAPSHOT_DIGEST_SIZE];
    uint64_t size = 0;
    return snapshot_copy_path(n, c->number, path) == 0 && open_data(path, O_RDONLY, &c->fd) == 0 &&
           file_digest(c->fd, &size, digest) == 0 && size == c->about.size &&
           memcmp(digest, c->about.digest, sizeof digest) == 0;
}

static void do_prove(struct snapshots *n, struct snapshot_copy *slot)
{
    struct snapshot_copy c = *slot;
    pthread_mutex_unlock(&n->mutex);
    bool is_good = is_whole(n, &c);
    if (!is_good && c.fd >= 0) {
        close(c.fd);
        c.fd = -1;
    }
    pthread_mutex_lock(&n->mutex);
    c.used_us = clock_mono_us();
    c.state = is_good ? SNAPSHOT_COPY_READY : SNAPSHOT_COPY_DROPPED;
    *slot = c;
}

/* -- checking ---------------------------------------------------------------------------------- */

static bool same_state(const struct snapshot_about *a, const struct record_state_meta *m)
{
    return a->index == m->applied_index && a->term == m->applied_term &&
           a->time_us == m->applied_time_us && a->effects == m->effects &&
           memcmp(a->cluster_id, m->cluster_id, sizeof a->cluster_id) == 0;
}

static int check_in(const struct snapshots *n, const struct snapshot_in *in)
{
    char path[FOLDER_PATH_MAX];
    uint8_t digest[SNAPSHOT_DIGEST_SIZE];
    struct record_state_meta meta = {0};
    uint64_t size = 0;
    int r = snapshot_in_path(n, path);
    if (r == 0 && fsync(in->fd) < 0) {
        r = err_origin(-errno);
    }
    r = r ? r : file_digest(in->fd, &size, digest);
    if (r == 0 && (size != in->about.size || memcmp(digest, in->about.digest, sizeof digest))) {
        r = SNAPSHOT_E_DAMAGED;
    }
    r = r ? r : read_whole(n, path, &meta);
    if (r == 0 && !same_state(&in->about, &meta)) {
        r = SNAPSHOT_E_DAMAGED;
    }
    r = r ? r : folder_sync(path);
    if (r > 0) {
        int removed = folder_remove_env(path);
        r = removed ? removed : r;
    }
    return err_trace(r);
}

static void do_check(struct snapshots *n)
{
    struct snapshot_in in = n->in;
    pthread_mutex_unlock(&n->mutex);
    in.code = check_in(n, &in);
    pthread_mutex_lock(&n->mutex);
    if (in.code != 0) {
        close(in.fd);
        in.fd = -1;
    }
    in.state = in.code == 0 ? SNAPSHOT_IN_CHECKED : SNAPSHOT_IN_FAILED;
    n->in = in;
}

/* -- the thread -------------------------------------------------------------------------------- */

static void do_remove(struct snapshots *n, const char *path)
{
    pthread_mutex_unlock(&n->mutex);
    (void)folder_remove_env(path); /* what stays goes at the next start */
    pthread_mutex_lock(&n->mutex);
}

/* One thing, if there is any; gives the mutex up meanwhile. */
static bool work_one(struct snapshots *n)
{
    char path[FOLDER_PATH_MAX];
    for (size_t i = 0; i < SNAPSHOT_COPIES_MAX; i++) {
        struct snapshot_copy *c = &n->copies[i];
        if (c->state == SNAPSHOT_COPY_WANTED) {
            do_copy(n, c);
            return true;
        }
        if (c->state == SNAPSHOT_COPY_PROVED) {
            do_prove(n, c);
            return true;
        }
        if (c->state == SNAPSHOT_COPY_DROPPED) {
            CHECK(snapshot_copy_path(n, c->number, path) == 0); /* it was made by that name */
            do_remove(n, path);
            c->state = SNAPSHOT_COPY_NONE;
            return true;
        }
    }
    if (n->in.state == SNAPSHOT_IN_CHECKING) {
        do_check(n);
        return true;
    }
    if (n->garbage[0]) {
        memcpy(path, n->garbage, sizeof path);
        do_remove(n, path);
        n->garbage[0] = 0;
        return true;
    }
    return false;
}

static void *run(void *arg)
{
    struct snapshots *n = arg;
    pthread_setname_np(pthread_self(), "snapshots");
    pthread_mutex_lock(&n->mutex);
    while (!n->stop) {
        if (!work_one(n)) {
            pthread_cond_wait(&n->changed, &n->mutex);
            continue;
        }
        pthread_cond_broadcast(&n->changed); /* snapshot_swap() may wait */
        if (n->options.woken) {
            pthread_mutex_unlock(&n->mutex);
            n->options.woken(n->options.user);
            pthread_mutex_lock(&n->mutex);
        }
    }
    pthread_mutex_unlock(&n->mutex);
    return NULL;
}

int snapshot_work(struct snapshots *n)
{
    pthread_cond_broadcast(&n->changed);
    if (n->is_running) {
        return 0;
    }
    sigset_t all, before;
    sigfillset(&all); /* signals belong to the threads that expect them */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&n->thread, NULL, run, n);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    n->is_running = rc == 0;
    return rc ? err_origin(-rc) : 0;
}

int snapshot_copy_path(const struct snapshots *n, uint64_t number, char ret_path[FOLDER_PATH_MAX])
{
    char name[40];
    snprintf(name, sizeof name, "/copy.%llu", (unsigned long long)number);
    return err_trace(folder_join(ret_path, n->options.dir, name));
}

int snapshot_in_path(const struct snapshots *n, char ret_path[FOLDER_PATH_MAX])
{
    return err_trace(folder_join(ret_path, n->options.dir, "/incoming"));
}

/* SPDX-License-Identifier: MIT */
/* A state that comes in from another replica: the directory "incoming".
 *
 *   about       what it will be, written first          data.mdb   the chunks, in order
 *
 * Owns: that directory.  It outlives a restart: the file's length says where to go on, and when the
 * power went meanwhile some of those bytes may be none of ours, which the digest finds.
 * The happy path ends in snapshot_take(): the members beside the data, the directory renamed to the
 * state's next name, all durable; it is the state only when the log environment names it.
 * Fails: verdicts of snapshot.h; a full disk is one of them, for here nothing has been promised. */
#include "store/snapshot_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "store/room.h"
#include "store/slip.h"

void snapshot_about_pack(const struct snapshot_about *a, uint8_t out[SNAPSHOT_ABOUT_SIZE])
{
    struct scribe w = scribe_of(out, SNAPSHOT_ABOUT_SIZE);
    scribe_u64(&w, a->id);
    scribe_u64(&w, a->size);
    scribe_bytes(&w, a->digest, sizeof a->digest);
    scribe_bytes(&w, a->cluster_id, sizeof a->cluster_id);
    scribe_u32(&w, a->format);
    scribe_u64(&w, a->index);
    scribe_u64(&w, a->term);
    scribe_u64(&w, (uint64_t)a->time_us);
    scribe_u64(&w, a->effects);
    CHECK(!w.bad);
    CHECK(scribe_len(&w) == SNAPSHOT_ABOUT_SIZE);
}

bool snapshot_about_unpack(struct span bytes, struct snapshot_about *ret_about)
{
    struct snapshot_about *a = ret_about;
    struct reader in = reader_of(bytes.ptr, bytes.len);
    a->id = reader_u64(&in);
    a->size = reader_u64(&in);
    reader_bytes(&in, a->digest, sizeof a->digest);
    reader_bytes(&in, a->cluster_id, sizeof a->cluster_id);
    a->format = reader_u32(&in);
    a->index = reader_u64(&in);
    a->term = reader_u64(&in);
    a->time_us = (int64_t)reader_u64(&in);
    a->effects = reader_u64(&in);
    return !in.bad && reader_left(&in) == 0;
}

static bool same_about(const struct snapshot_about *a, const struct snapshot_about *b)
{
    uint8_t bytes[2][SNAPSHOT_ABOUT_SIZE];
    snapshot_about_pack(a, bytes[0]);
    snapshot_about_pack(b, bytes[1]);
    return memcmp(bytes[0], bytes[1], SNAPSHOT_ABOUT_SIZE) == 0;
}

static void let_go(struct snapshot_in *in)
{
    if (in->fd >= 0) {
        close(in->fd);
    }
    *in = (struct snapshot_in){.fd = -1};
}

static int open_file(const char *path, int flags, int *ret_fd)
{
    char file[FOLDER_PATH_MAX];
    int r = folder_join(file, path, "/data.mdb");
    if (r < 0) {
        return err_trace(r);
    }
    int fd = open(file, O_RDWR | O_CLOEXEC | flags, 0600);
    if (fd < 0) {
        return err_origin(-errno);
    }
    *ret_fd = fd;
    return 0;
}

/* What lies there is a part of the same one: its length.  0, SNAPSHOT_E_UNKNOWN, < 0. */
static int go_on(struct snapshots *n, const char *path, const struct snapshot_about *about)
{
    uint8_t there[SLIP_MAX], want[SNAPSHOT_ABOUT_SIZE];
    size_t len = 0;
    struct stat st;
    int fd;
    snapshot_about_pack(about, want);
    int r = slip_read(path, "about", there, &len);
    if (r < 0) {
        return err_trace(r);
    }
    if (r > 0 || len != SNAPSHOT_ABOUT_SIZE || memcmp(there, want, SNAPSHOT_ABOUT_SIZE) != 0) {
        return SNAPSHOT_E_UNKNOWN;
    }
    r = open_file(path, O_CREAT, &fd);
    if (r < 0) {
        return err_trace(r);
    }
    if (fstat(fd, &st) < 0 || (uint64_t)st.st_size > about->size) {
        close(fd);
        return SNAPSHOT_E_UNKNOWN;
    }
    n->in = (struct snapshot_in){.state = SNAPSHOT_IN_OPEN, .about = *about, .fd = fd,
                                 .offset = (uint64_t)st.st_size};
    return 0;
}

static int begin(struct snapshots *n, const char *path, const struct snapshot_about *about)
{
    uint8_t bytes[SNAPSHOT_ABOUT_SIZE];
    uint64_t free_bytes;
    int fd;
    int r = folder_remove_env(path);
    r = r ? r : room_disk_free(n->options.dir, &free_bytes);
    if (r < 0) {
        return err_trace(r);
    }
    if (free_bytes < about->size + n->options.disk_reserve_bytes) {
        return SNAPSHOT_E_ROOM;
    }
    snapshot_about_pack(about, bytes);
    r = folder_make(path);
    r = r ? r : open_file(path, O_CREAT | O_TRUNC, &fd);
    if (r < 0) {
        return err_trace(r);
    }
    n->in = (struct snapshot_in){.state = SNAPSHOT_IN_OPEN, .about = *about, .fd = fd};
    return err_trace(slip_write(path, "about", (struct span){bytes, sizeof bytes}));
}

static int receive(struct snapshots *n, const struct snapshot_about *about, uint64_t *ret_offset)
{
    char path[FOLDER_PATH_MAX];
    struct snapshot_in *in = &n->in;
    if (memcmp(about->cluster_id, n->options.cluster_id, sizeof about->cluster_id) != 0) {
        return SNAPSHOT_E_CLUSTER;
    }
    if (about->format != RECORD_FORMAT) {
        return SNAPSHOT_E_FORMAT;
    }
    if (in->state == SNAPSHOT_IN_CHECKING) {
        return SNAPSHOT_E_WAIT;
    }
    int r = 0;
    bool is_open = in->state == SNAPSHOT_IN_OPEN || in->state == SNAPSHOT_IN_CHECKED;
    if (!is_open || !same_about(about, &in->about)) {
        let_go(in);
        r = snapshot_in_path(n, path);
        r = r ? r : go_on(n, path, about);
        r = r == SNAPSHOT_E_UNKNOWN ? begin(n, path, about) : r;
    }
    if (r == 0) {
        *ret_offset = in->offset;
    }
    return err_trace(r);
}

int snapshot_receive(struct snapshots *n, const struct snapshot_about *about, uint64_t *ret_offset)
{
    pthread_mutex_lock(&n->mutex);
    int r = receive(n, about, ret_offset);
    pthread_mutex_unlock(&n->mutex);
    return r;
}

static int append(struct snapshot_in *in, uint64_t offset, struct span bytes)
{
    if (in->state != SNAPSHOT_IN_OPEN) {
        return SNAPSHOT_E_UNKNOWN;
    }
    if (offset != in->offset || bytes.len > in->about.size - in->offset) {
        return SNAPSHOT_E_OFFSET;
    }
    size_t done = 0;
    while (done < bytes.len) {
        ssize_t n = pwrite(in->fd, bytes.ptr + done, bytes.len - done, (off_t)(offset + done));
        if (n < 0 && (errno == ENOSPC || errno == EDQUOT)) {
            return SNAPSHOT_E_ROOM; /* what was written is written again from in->offset on */
        }
        if (n < 0) {
            return err_origin(-errno);
        }
        done += (size_t)n;
    }
    in->offset += done;
    return 0;
}

int snapshot_chunk(struct snapshots *n, uint64_t offset, struct span bytes)
{
    pthread_mutex_lock(&n->mutex);
    int r = append(&n->in, offset, bytes);
    pthread_mutex_unlock(&n->mutex);
    return r;
}

static int check(struct snapshots *n)
{
    struct snapshot_in *in = &n->in;
    switch (in->state) {
    case SNAPSHOT_IN_OPEN:
        if (in->offset < in->about.size) {
            return SNAPSHOT_E_OFFSET;
        }
        in->state = SNAPSHOT_IN_CHECKING;
        int r = snapshot_work(n);
        return r < 0 ? err_trace(r) : SNAPSHOT_E_WAIT;
    case SNAPSHOT_IN_CHECKING:
        return SNAPSHOT_E_WAIT;
    case SNAPSHOT_IN_CHECKED:
        return 0;
    case SNAPSHOT_IN_FAILED:
        in->state = SNAPSHOT_IN_NONE;
        return err_trace(in->code);
    default:
        return SNAPSHOT_E_UNKNOWN;
    }
}

int snapshot_check(struct snapshots *n)
{
    pthread_mutex_lock(&n->mutex);
    int r = check(n);
    pthread_mutex_unlock(&n->mutex);
    return r;
}

void snapshot_forget(struct snapshots *n)
{
    char path[FOLDER_PATH_MAX];
    pthread_mutex_lock(&n->mutex);
    while (n->in.state == SNAPSHOT_IN_CHECKING) {
        pthread_cond_wait(&n->changed, &n->mutex);
    }
    let_go(&n->in);
    if (snapshot_in_path(n, path) == 0) {
        (void)folder_remove_env(path); /* what stays is thrown away by the next one that begins */
    }
    pthread_mutex_unlock(&n->mutex);
}

static int move_to(struct snapshots *n, const char *path, struct span members)
{
    char from[FOLDER_PATH_MAX];
    int r = snapshot_in_path(n, from);
    r = r ? r : slip_write(from, "members", members);
    r = r ? r : folder_remove_env(path); /* of a try that ended before its commit */
    if (r == 0 && rename(from, path) < 0) {
        r = err_origin(-errno);
    }
    return r ? err_trace(r) : err_trace(folder_sync_parent(path));
}

int snapshot_take(struct snapshots *n, const char *path, uint64_t base, struct span members)
{
    int r = SNAPSHOT_E_UNKNOWN;
    pthread_mutex_lock(&n->mutex);
    if (n->in.state == SNAPSHOT_IN_CHECKED && n->in.about.index >= base) {
        r = move_to(n, path, members);
        let_go(&n->in);
    }
    pthread_mutex_unlock(&n->mutex);
    return err_trace(r);
}

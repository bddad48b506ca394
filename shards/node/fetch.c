/* SPDX-License-Identifier: MIT */
/* A state from another replica, in chunks.
 * Owns: what is being fetched, who asked for what, one chunk's buffer.  Files are the store's.
 *
 *   wants: WANT --> ABOUT --> READ --> CHUNK --> ... --> checked (on a thread of the store's)
 *          --> FETCH_E_READY --> fetch_install()
 *   has:   WANT --> a copy is made (a thread of the store's) --> ABOUT; READ --> CHUNK
 *
 * READS_AHEAD READs are under way at a time, so that one side reads while the other writes: the
 * stream's other messages wait for so many chunks at most, and a slow disk sets the pace.  What is
 * lost on the way is asked for again after RETRY_US; who does not answer RETRIES_MAX times is left
 * for the next member: any replica's state will do that has the index.  After a break the store
 * says from where to go on.
 * Fails: a wrong digest or record throws the copy away and begins anew, and is logged. */
#include "node/fetch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/log.h"

#define RETRY_US    (2 * SECOND_US)
#define RETRIES_MAX 5
#define READS_AHEAD 3

enum fetch_state { FETCH_IDLE, FETCH_ASKING, FETCH_READING, FETCH_CHECKING };

struct fetch {
    struct fetch_options options;
    enum fetch_state state;
    struct replica_want want;
    bool is_repair;          /* the log has all; our own state is damaged */
    uint64_t from;           /* who is asked */
    unsigned retries;
    int64_t again_us;        /* when to ask again */
    struct snapshot_about about;
    uint64_t offset;         /* bytes here */
    uint64_t asked;          /* bytes here and asked for */
    uint64_t asked_by, asked_index; /* a copy is being made for them; 0: none */
    uint8_t chunk[FETCH_BODY_MAX];
};

int fetch_new(const struct fetch_options *options, struct fetch **ret_fetch)
{
    struct fetch *f = calloc(1, sizeof *f);
    if (f == NULL) {
        return err_origin(-ENOMEM);
    }
    f->options = *options;
    *ret_fetch = f;
    return 0;
}

void fetch_free(struct fetch *f)
{
    free(f);
}

static struct snapshots *copies(struct fetch *f)
{
    return store_snapshots(f->options.store);
}

static void send(struct fetch *f, uint64_t to, enum fetch_kind kind, const struct scribe *w)
{
    CHECK(!w->bad);
    f->options.send(f->options.user, to, (uint8_t)kind, (struct span){w->start, scribe_len(w)});
}

/* -- who has the state ------------------------------------------------------------------------- */

static void send_about(struct fetch *f, uint64_t to, const struct snapshot_about *a)
{
    uint8_t bytes[SNAPSHOT_ABOUT_SIZE];
    snapshot_about_pack(a, bytes);
    f->options.send(f->options.user, to, FETCH_ABOUT, (struct span){bytes, sizeof bytes});
}

/* A copy for whoever asked last; the others ask again. */
static int give(struct fetch *f)
{
    struct snapshot_about about;
    int r = snapshot_want(copies(f), f->asked_index, &about);
    if (r == SNAPSHOT_E_WAIT) {
        return 0;
    }
    if (r == 0) {
        send_about(f, f->asked_by, &about);
    }
    if (r == SNAPSHOT_E_BEHIND) {
        store_want_durable(f->options.store, f->asked_index);
    }
    f->asked_by = 0; /* no room, behind, busy: it asks again, or somebody else */
    return r < 0 ? err_trace(r) : 0;
}

static int hear_want(struct fetch *f, uint64_t from, struct reader *in)
{
    uint64_t index = reader_u64(in);
    if (in->bad) {
        return FETCH_E_MESSAGE;
    }
    if (f->state != FETCH_IDLE) {
        return 0; /* we have none ourselves */
    }
    f->asked_by = from;
    f->asked_index = index;
    return err_trace(give(f));
}

static int hear_read(struct fetch *f, uint64_t from, struct reader *in)
{
    uint64_t id = reader_u64(in), offset = reader_u64(in);
    if (in->bad) {
        return FETCH_E_MESSAGE;
    }
    struct scribe w = scribe_of(f->chunk, sizeof f->chunk);
    scribe_u64(&w, id);
    scribe_u64(&w, offset);
    size_t len = SNAPSHOT_CHUNK_MAX;
    int r = snapshot_read(copies(f), id, offset, w.at, &len);
    if (r) {
        struct scribe gone = scribe_of(f->chunk, 8);
        scribe_u64(&gone, id);
        send(f, from, FETCH_GONE, &gone);
        return r < 0 ? err_trace(r) : 0;
    }
    w.at += len;
    send(f, from, FETCH_CHUNK, &w);
    return 0;
}

/* -- who wants it ------------------------------------------------------------------------------ */

static void ask_chunks(struct fetch *f)
{
    while (f->asked < f->about.size && f->asked < f->offset + READS_AHEAD * SNAPSHOT_CHUNK_MAX) {
        uint8_t bytes[16];
        struct scribe w = scribe_of(bytes, sizeof bytes);
        scribe_u64(&w, f->about.id);
        scribe_u64(&w, f->asked);
        send(f, f->from, FETCH_READ, &w);
        f->asked += SNAPSHOT_CHUNK_MAX;
    }
}

/* Anew: nothing is under way, or it is lost. */
static void ask(struct fetch *f, int64_t now_us)
{
    f->again_us = now_us + RETRY_US;
    if (f->state == FETCH_READING) {
        f->asked = f->offset;
        ask_chunks(f);
    } else {
        uint8_t bytes[8];
        struct scribe w = scribe_of(bytes, sizeof bytes);
        scribe_u64(&w, f->want.index);
        send(f, f->from, FETCH_WANT, &w);
    }
}

static void begin(struct fetch *f, uint64_t from, int64_t now_us)
{
    f->state = FETCH_ASKING;
    f->from = from;
    f->retries = 0;
    ask(f, now_us);
}

/* The next one after `from`, ourselves left out; `from` where there is nobody else. */
static uint64_t next_member(const struct fetch *f, const struct replica_member *members,
                            size_t count)
{
    size_t at = 0;
    while (at < count && members[at].id != f->from) {
        at++;
    }
    for (size_t i = 1; i <= count; i++) {
        const struct replica_member *m = &members[(at + i) % count];
        if (m->id != f->from && m->id != replica_id(f->options.replica)) {
            return m->id;
        }
    }
    return f->from;
}

static void go_on(struct fetch *f, int64_t now_us)
{
    f->state = f->offset < f->about.size ? FETCH_READING : FETCH_CHECKING;
    f->retries = 0;
    f->again_us = now_us + RETRY_US;
    ask_chunks(f);
}

static int hear_about(struct fetch *f, struct reader *in, int64_t now_us)
{
    struct snapshot_about a;
    if (!snapshot_about_unpack((struct span){in->at, reader_left(in)}, &a)) {
        return FETCH_E_MESSAGE;
    }
    if (f->state != FETCH_ASKING || a.index < f->want.index) {
        return 0;
    }
    int r = snapshot_receive(copies(f), &a, &f->offset);
    if (r > 0) {
        log_event(LOG_SNAPSHOT_FAILED, LOG_FIELDS(LOG_NUMBER("node", f->from)),
                  "shard: node %llu's state of %llu bytes cannot be taken: %s",
                  (unsigned long long)f->from, (unsigned long long)a.size,
                  r == SNAPSHOT_E_ROOM      ? "there is no room on the disk"
                  : r == SNAPSHOT_E_CLUSTER ? "it is of another cluster"
                  : r == SNAPSHOT_E_FORMAT  ? "it has another data format"
                                            : "an older one is being checked");
        return 0; /* asked again */
    }
    if (r == 0) {
        f->about = a;
        f->asked = f->offset;
        go_on(f, now_us);
    }
    return err_fold(r);
}

static int hear_chunk(struct fetch *f, struct reader *in, int64_t now_us)
{
    uint64_t id = reader_u64(in), offset = reader_u64(in);
    struct span bytes = {in->at, reader_left(in)};
    if (in->bad || bytes.len > SNAPSHOT_CHUNK_MAX) {
        return FETCH_E_MESSAGE;
    }
    if (f->state != FETCH_READING || id != f->about.id || offset != f->offset || bytes.len == 0) {
        return 0; /* asked twice, came twice */
    }
    int r = snapshot_chunk(copies(f), offset, bytes);
    if (r > 0) {
        begin(f, f->from, now_us);
        return 0;
    }
    if (r == 0) {
        f->offset += bytes.len;
        go_on(f, now_us);
    }
    return err_fold(r);
}

static int hear_gone(struct fetch *f, struct reader *in, int64_t now_us)
{
    uint64_t id = reader_u64(in);
    if (in->bad) {
        return FETCH_E_MESSAGE;
    }
    if (f->state == FETCH_READING && id == f->about.id) {
        begin(f, f->from, now_us);
    }
    return 0;
}

int fetch_hear(struct fetch *f, uint64_t from, uint8_t kind, struct span body, int64_t now_us)
{
    struct reader in = reader_of(body.ptr, body.len);
    if (kind == FETCH_WANT) {
        return hear_want(f, from, &in);
    }
    if (kind == FETCH_READ) {
        return hear_read(f, from, &in);
    }
    if (from != f->from) {
        return 0; /* somebody asked before */
    }
    return kind == FETCH_ABOUT ? hear_about(f, &in, now_us)
           : kind == FETCH_CHUNK ? hear_chunk(f, &in, now_us) : hear_gone(f, &in, now_us);
}

static int check(struct fetch *f, int64_t now_us)
{
    int r = snapshot_check(copies(f));
    if (r == SNAPSHOT_E_WAIT) {
        return 0;
    }
    if (r > 0) {
        log_event(LOG_SNAPSHOT_FAILED, LOG_FIELDS(LOG_NUMBER("node", f->from)),
                  "shard: node %llu's state did not check; it is fetched anew",
                  (unsigned long long)f->from);
        begin(f, f->from, now_us);
        return 0;
    }
    return r ? err_trace(r) : FETCH_E_READY;
}

/* What Raft misses; else what the store misses, from whoever has it: the leader, say. */
static bool wants(const struct fetch *f, struct replica_want *ret_want, bool *ret_is_repair)
{
    *ret_is_repair = false;
    if (replica_wants(f->options.replica, ret_want)) {
        return true;
    }
    *ret_want = (struct replica_want){.from = replica_leader(f->options.replica)};
    *ret_is_repair = store_wants_state(f->options.store, &ret_want->index);
    return *ret_is_repair;
}

static void begin_first(struct fetch *f, const struct replica_member *members, size_t count,
                        int64_t now_us)
{
    bool is_us = f->want.from == 0 || f->want.from == replica_id(f->options.replica);
    log_event(LOG_SNAPSHOT_WANTED,
              LOG_FIELDS(LOG_NUMBER("node", f->want.from), LOG_NUMBER("index", f->want.index)),
              "shard: %s: fetching a state at entry %llu or later",
              f->is_repair ? "our own is damaged" : "too far behind",
              (unsigned long long)f->want.index);
    f->from = f->want.from;
    begin(f, is_us ? next_member(f, members, count) : f->want.from, now_us);
}

int fetch_turn(struct fetch *f, const struct replica_member *members, size_t count, int64_t now_us)
{
    struct replica_want want;
    bool is_repair;
    if (f->asked_by) {
        int r = give(f);
        if (r) {
            return err_trace(r);
        }
    }
    if (!wants(f, &want, &is_repair) || (is_repair && count == 0)) { /* nobody to ask yet */
        f->state = FETCH_IDLE;
        return 0;
    }
    if (f->state == FETCH_IDLE || f->is_repair != is_repair) {
        f->want = want;
        f->is_repair = is_repair;
        begin_first(f, members, count, now_us);
    }
    if (f->state == FETCH_CHECKING) {
        return check(f, now_us);
    }
    if (now_us >= f->again_us) {
        if (++f->retries > RETRIES_MAX) {
            begin(f, next_member(f, members, count), now_us);
        } else {
            ask(f, now_us);
        }
    }
    return 0;
}

/* The replica's part: its log begins behind the state. */
static int install(struct fetch *f)
{
    struct store_place place = {.base = f->want.index, .base_term = f->want.term};
    int r = replica_want_members(f->options.replica, &place.members_index, &place.members);
    r = r ? r : store_install(f->options.store, &place);
    return r ? r : err_trace(replica_installed(f->options.replica));
}

int fetch_install(struct fetch *f)
{
    int r = f->is_repair ? store_repair(f->options.store) : install(f);
    f->state = FETCH_IDLE;
    if (r == 0) {
        log_event(LOG_SNAPSHOT_INSTALLED,
                  LOG_FIELDS(LOG_NUMBER("node", f->from), LOG_NUMBER("index", f->about.index),
                             LOG_NUMBER("bytes", f->about.size)),
                  "shard: node %llu's state at entry %llu is installed",
                  (unsigned long long)f->from, (unsigned long long)f->about.index);
    }
    return err_fold(r);
}

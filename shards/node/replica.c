/* SPDX-License-Identifier: MIT */
/* Raft in rounds: cowsql/raft 0.22.1 through raft_step() with no I/O of its own.
 * Owns: the core, the outbox, the newest committed members.  The log is the caller's.
 *
 *   event -> guards, before -> raft_step -> term, vote, entries into the log (not yet durable)
 *         -> guards, after -> messages made at once, kept back
 *   round -> log.commit (fsync) -> messages may be pulled -> RAFT_PERSISTED_ENTRIES -> committed
 *
 * Why kept back: an answer that speaks of a term, a vote or an entry is a promise to remember it.
 * A leader's entries are none: it counts itself only when they are durable here (replica_early).
 * Entries go into the core only as terms; their bytes live in the log alone.
 * Fails: < 0, the process must end: the disk, memory, or a log that contradicts a committed entry.
 * Invariants: nothing at or below replica_committed() is truncated; committed never goes back,
 * though the core's own index may (reordered messages). */
#include "node/replica_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

#define ROUND_PASSES 8 /* commits in one round: a commit may ripen a change, that a next one */
#define TOLD_MS   5000 /* by then a peer has said what it needs, or was not heard */

int replica_error(int rv)
{
    switch (rv) {
    case 0:
        return 0;
    case RAFT_NOTLEADER:
        return REPLICA_E_NOT_LEADER;
    case RAFT_CANTCHANGE:
        return REPLICA_E_BUSY;
    case RAFT_NOMEM:
        return err_origin(-ENOMEM);
    default:
        return err_origin(-EBADMSG); /* a committed entry is contradicted: never go on */
    }
}

/* -- what a step asks for ---------------------------------------------------------------------- */

int replica_note_change(struct replica *r, uint64_t index, const void *bytes, size_t len)
{
    if (r->changes_count == r->changes_cap) {
        size_t cap = r->changes_cap ? r->changes_cap * 2 : 8;
        struct replica_pending *changes = realloc(r->changes, cap * sizeof *changes);
        if (changes == NULL) {
            return err_origin(-ENOMEM);
        }
        r->changes = changes;
        r->changes_cap = cap;
    }
    uint8_t *copy = malloc(len);
    if (copy == NULL) {
        return err_origin(-ENOMEM);
    }
    memcpy(copy, bytes, len);
    r->changes[r->changes_count++] = (struct replica_pending){index, copy, len};
    return 0;
}

void replica_drop_changes(struct replica *r, uint64_t index)
{
    while (r->changes_count > 0 && r->changes[r->changes_count - 1].index >= index) {
        free(r->changes[--r->changes_count].bytes);
    }
}

static int take_vote(struct replica *r)
{
    uint64_t term = raft_current_term(&r->raft), vote = raft_voted_for(&r->raft);
#ifdef PLANT_FORGET_VOTE /* never defined but by tests/sim, as every PLANT_ here */
    vote = 0;
#endif
#ifdef PLANT_FORGET_TERM
    uint64_t known;
    r->log.vote(r->log.user, &known, &vote);
    term = known;
#endif
    r->is_dirty = r->is_vote_dirty = true;
    return err_fold(r->log.set_vote(r->log.user, term, vote));
}

static int truncate_from(struct replica *r, uint64_t index)
{
    CHECK(index > replica_committed(r));
    replica_drop_changes(r, index);
    if (r->durable >= index) {
        r->durable = index - 1;
    }
    if (r->barrier_index >= index) {
        r->barrier_index = 0;
    }
    return err_fold(r->log.truncate(r->log.user, index));
}

static int take_entries(struct replica *r, const struct raft_update *u)
{
    uint64_t index = u->entries.index;
    int s = 0;
    r->is_dirty = true;
    if (index <= r->log.last(r->log.user)) {
        s = truncate_from(r, index);
    }
    for (unsigned i = 0; i < u->entries.n && s == 0; i++) {
        const struct raft_entry *e = &u->entries.batch[i];
        CHECK(r->log.last(r->log.user) + 1 == index + i);
        s = err_fold(r->log.append(r->log.user, replica_word(e->type, e->term),
                                   (struct span){e->buf.base, e->buf.len}));
        if (s == 0 && e->type == RAFT_CHANGE) {
            s = replica_note_change(r, index + i, e->buf.base, e->buf.len);
        }
        if (e->type == RAFT_BARRIER && e->term == raft_current_term(&r->raft)) {
            r->barrier_index = index + i;
            r->wants_barrier = false;
        }
    }
    raft_free(u->entries.batch[0].batch);
    return s;
}

static void take_state(struct replica *r)
{
    bool leads = raft_state(&r->raft) == RAFT_LEADER;
    if (leads && (!r->is_leading || r->leading_term != raft_current_term(&r->raft))) {
        r->leading_term = raft_current_term(&r->raft);
        r->barrier_index = 0;
        r->wants_barrier = true;
    }
    r->is_leading = leads;
    r->wants_barrier = r->wants_barrier && leads;
}

#ifdef PLANT_OLD_TERM_COMMIT
static uint64_t counted(struct replica *r)
{
    uint64_t best = 0;
    for (unsigned i = 0; i < r->raft.configuration.n; i++) {
        uint64_t index = replica_match(r, r->raft.configuration.servers[i].id);
        unsigned has = 0, voters = 0;
        for (unsigned j = 0; j < r->raft.configuration.n; j++) {
            const struct raft_server *s = &r->raft.configuration.servers[j];
            voters += s->role == RAFT_VOTER;
            has += s->role == RAFT_VOTER && replica_match(r, s->id) >= index;
        }
        best = has * 2 > voters && index > best ? index : best;
    }
    return best;
}
#endif

static void take_committed(struct replica *r)
{
#ifdef PLANT_OLD_TERM_COMMIT
    if (r->is_leading && counted(r) > r->committed) {
        r->committed = counted(r);
    }
#endif
#ifdef PLANT_COMMIT_BACK
    r->committed = raft_commit_index(&r->raft);
#else
#ifdef PLANT_COMMIT_AHEAD
    r->committed = r->is_leading ? r->log.last(r->log.user) : r->committed;
#endif
    if (!r->is_wanting && raft_commit_index(&r->raft) > r->committed) {
        r->committed = raft_commit_index(&r->raft);
    }
#endif
}

static int take_messages(struct replica *r, const struct replica_seen *seen,
                         const struct raft_update *u)
{
    int s = 0;
    for (unsigned i = 0; i < u->messages.n && s == 0; i++) {
        struct raft_message *m = &u->messages.batch[i];
        if (replica_guards_after(r, seen, m)) {
            s = take_vote(r);
        }
        /* To 0: an acknowledgement for a leader that G7 has forgotten meanwhile. */
        s = s || m->server_id == 0 ? s : replica_wire_send(r, m);
    }
    return err_trace(s);
}

static void take_snapshot(struct replica *r, uint64_t from, const struct raft_update *u)
{
    raft_free(u->snapshot.chunk.base);
    r->is_wanting = true;
    r->want_metadata = u->snapshot.metadata;
    r->want = (struct replica_want){from, u->snapshot.metadata.index, u->snapshot.metadata.term};
}

static int take_all(struct replica *r, const struct replica_seen *seen, uint64_t from,
                    const struct raft_update *u)
{
    int s = 0;
    take_state(r); /* first: an entry of a new term must find it */
    if (u->flags & (RAFT_UPDATE_SNAPSHOT)) {
        take_snapshot(r, from, u);
    }
    if ((u->flags & (RAFT_UPDATE_CURRENT_TERM)) || (u->flags & (RAFT_UPDATE_VOTED_FOR))) {
        s = take_vote(r);
    }
    if (s == 0 && (u->flags & (RAFT_UPDATE_ENTRIES))) {
        s = take_entries(r, u);
    }
    if (s == 0 && (u->flags & (RAFT_UPDATE_MESSAGES))) {
        s = take_messages(r, seen, u);
    }
    take_committed(r); /* last: the entries that it covers may just have replaced others */
#ifdef PLANT_SEND_EARLY
    r->outs_ready = r->outs_count;
#endif
    return err_trace(s);
}

static int step_seen(struct replica *r, struct raft_event *event, const struct replica_seen *seen)
{
    struct raft_update update = {0};
    uint64_t from = event->type == RAFT_RECEIVE ? event->receive.message->server_id : 0;
    event->time = (raft_time)r->now_ms;
    int rv = raft_step(&r->raft, event, &update);
    if (rv) {
        return replica_error(rv);
    }
    return err_trace(take_all(r, seen, from, &update));
}

int replica_step(struct replica *r, struct raft_event *event)
{
    struct replica_seen seen = {0};
    return step_seen(r, event, &seen);
}

int replica_submit(struct replica *r, enum raft_entry_type type, struct span entry,
                   uint64_t *ret_index)
{
    if (raft_state(&r->raft) != RAFT_LEADER || raft_transferee(&r->raft) != 0) {
        return REPLICA_E_NOT_LEADER;
    }
    uint8_t *bytes = raft_malloc(entry.len);
    if (bytes == NULL) {
        return err_origin(-ENOMEM);
    }
    memcpy(bytes, entry.ptr, entry.len);
    struct raft_entry e = {.term = raft_current_term(&r->raft), .type = type,
                           .buf = {bytes, entry.len}, .batch = bytes};
    struct raft_event event = {.type = RAFT_SUBMIT, .submit = {.entries = &e, .n = 1}};
    uint64_t index = raft_last_index(&r->raft) + 1;
    int s = replica_step(r, &event);
    if (s > 0) {
        raft_free(bytes);
    }
    if (s == 0) {
        *ret_index = index;
    }
    return s;
}

/* -- events from outside ----------------------------------------------------------------------- */

int replica_tick(struct replica *r, int64_t now_ms)
{
    r->now_ms = now_ms > r->now_ms ? now_ms : r->now_ms;
    if (r->now_ms < (int64_t)raft_timeout(&r->raft) || r->fired_ms == r->now_ms) {
        return 0; /* once an instant: the core's timer may stay in the past */
    }
    r->fired_ms = r->now_ms;
    struct raft_event event = {.type = RAFT_TIMEOUT};
    return err_fold(replica_step(r, &event));
}

void replica_doubt(struct replica *r, int64_t now_ms, uint32_t wait_ms)
{
    r->now_ms = now_ms > r->now_ms ? now_ms : r->now_ms;
    int64_t due_ms = r->now_ms - (int64_t)r->raft.election_timer_start + wait_ms;
    if (raft_state(&r->raft) != RAFT_FOLLOWER || raft_role(&r->raft) != RAFT_VOTER ||
        r->is_wanting || due_ms < 0 ||
        r->raft.follower_state.current_leader.id == 0) {
        return;
    }
    r->raft.follower_state.current_leader.id = 0;
    unsigned *timeout = &r->raft.follower_state.randomized_election_timeout;
    if (due_ms < *timeout) {
        r->undoubted_ms = r->undoubted_ms ? r->undoubted_ms : *timeout;
        *timeout = (unsigned)due_ms;
    }
}

/* It speaks after all. */
void replica_undoubt(struct replica *r)
{
#ifndef PLANT_KEEP_DOUBT /* never defined but by tests/sim */
    if (r->undoubted_ms && raft_state(&r->raft) == RAFT_FOLLOWER) {
        r->raft.follower_state.randomized_election_timeout = r->undoubted_ms;
    }
    r->undoubted_ms = 0;
#endif
}

int64_t replica_next_ms(const struct replica *r)
{
    int64_t next_ms = (int64_t)raft_timeout(&r->raft);
    return next_ms > r->now_ms ? next_ms : r->now_ms + 1;
}

int replica_receive(struct replica *r, uint64_t from, struct span bytes)
{
    struct raft_message message;
    int s = replica_wire_read(r, from, bytes, &message);
    if (s) {
        return s > 0 ? s : err_trace(s);
    }
    if (!replica_guards_wanted(r, &message)) {
        return 0; /* it owns nothing */
    }
    void *entries = message.type == RAFT_APPEND_ENTRIES ? message.append_entries.entries : NULL;
    struct replica_seen seen;
    replica_guards_before(r, &message, &seen);
    struct raft_event event = {.type = RAFT_RECEIVE, .receive = {.message = &message}};
    s = step_seen(r, &event, &seen);
    free(entries);
    return err_fold(s);
}

int replica_propose(struct replica *r, struct span entry, uint64_t *ret_index)
{
    CHECK(entry.len > 0);
    return replica_submit(r, RAFT_COMMAND, entry, ret_index);
}

/* -- a round ----------------------------------------------------------------------------------- */

static int round_barrier(struct replica *r)
{
#ifndef PLANT_NO_G3
    static const uint8_t nothing[8];
    uint64_t index;
    if (r->wants_barrier && !r->is_wanting && raft_transferee(&r->raft) == 0) {
        r->wants_barrier = false;
        return err_fold(replica_submit(r, RAFT_BARRIER, (struct span){nothing, 8}, &index));
    }
#endif
    return 0;
}

static int round_persisted(struct replica *r)
{
    if (r->is_wanting || r->durable <= r->raft.last_stored ||
        raft_state(&r->raft) == RAFT_CANDIDATE) {
        return 0;
    }
    CHECK(r->durable <= raft_last_index(&r->raft));
    struct raft_event event = {.type = RAFT_PERSISTED_ENTRIES,
                               .persisted_entries = {.index = r->durable}};
    return err_fold(replica_step(r, &event));
}

/* The log has forgotten its oldest entries: the core must not ask for them, but for a snapshot.
 * Its snapshot is told to be at the oldest entry kept, though the state is later: so it moves with
 * each trim and never back (back, the core mistakes a peer's match and sends it nothing more). */
static int round_trimmed(struct replica *r)
{
    uint64_t index = r->log.first(r->log.user), durable, term;
    r->log.durable(r->log.user, &durable, &term);
    if (r->is_wanting || index <= r->trail_first || index > durable ||
        index > replica_committed(r)) {
        return 0;
    }
    uint64_t word;
    struct span entry;
    int s = r->log.read(r->log.user, index, &word, &entry);
    if (s) {
        return err_fold(s);
    }
    struct raft_event event = {.type = RAFT_SNAPSHOT,
                               .snapshot = {.metadata = {.index = index,
                                                         .term = replica_word_term(word),
                                                         .configuration_index = r->members_index},
                                            .trailing = 1}};
    struct raft_buffer buffer = {r->members_bytes, r->members_len};
    int rv = raft_configuration_decode(&buffer, &event.snapshot.metadata.configuration);
    if (rv) {
        return err_fold(replica_error(rv));
    }
    r->base_index = index;
    r->base_term = replica_word_term(word);
    r->trail_first = index;
    return err_fold(replica_step(r, &event));
}

int replica_keep(struct replica *r, uint64_t index, const void *bytes, size_t len)
{
    uint8_t *copy = malloc(len);
    if (copy == NULL) {
        return err_origin(-ENOMEM);
    }
    memcpy(copy, bytes, len);
    free(r->members_bytes);
    r->members_bytes = copy;
    r->members_len = len;
    r->members_index = index;
    return err_fold(r->log.keep_members(r->log.user, index, (struct span){copy, len}));
}

/* Every committed change is told to the core once, else it takes no further one. */
static int round_changes(struct replica *r)
{
    while (r->changes_count > 0 && r->changes[0].index <= replica_committed(r)) {
        struct replica_pending change = r->changes[0];
        struct raft_event event = {.type = RAFT_CONFIGURATION,
                                   .configuration = {.index = change.index}};
        struct raft_buffer buffer = {change.bytes, change.len};
        int rv = raft_configuration_decode(&buffer, &event.configuration.conf);
        int s = rv ? replica_error(rv)
                   : replica_keep(r, change.index, change.bytes, change.len);
        memmove(r->changes, r->changes + 1, --r->changes_count * sizeof *r->changes);
        free(change.bytes);
        s = s ? s : replica_step(r, &event);
        if (s) {
            return err_fold(s);
        }
    }
    return 0;
}

static int round_commit(struct replica *r)
{
#ifdef PLANT_PERSISTED_EARLY
    r->durable = r->is_wanting ? r->durable : r->log.last(r->log.user);
    int early = round_persisted(r);
    r->outs_ready = r->outs_count;
    if (early || r->now_ms % 4) {
        return early; /* and the disk is late */
    }
#endif
#ifdef PLANT_NO_FSYNC
    int s = 0;
#else
    int s = r->log.commit(r->log.user);
#endif
    if (s) {
        return err_fold(s);
    }
    r->is_dirty = r->is_vote_dirty = false;
    r->outs_ready = r->outs_count;
    if (!r->is_wanting) {
        r->durable = r->log.last(r->log.user);
    }
    return 0;
}

int replica_round(struct replica *r)
{
    for (int pass = 0; pass < ROUND_PASSES; pass++) {
        int s = round_barrier(r);
        s = s ? s : round_commit(r);
        s = s ? s : round_trimmed(r);
        s = s ? s : round_persisted(r);
        s = s ? s : round_changes(r);
        if (s) {
            return err_trace(s);
        }
        if (!r->is_dirty) {
            r->outs_ready = r->outs_count; /* they speak of what is durable */
            if (!r->wants_barrier || raft_transferee(&r->raft) != 0) {
                return 0;
            }
        }
#if defined(PLANT_NO_G3) || defined(PLANT_PERSISTED_EARLY)
        return 0;
#endif
    }
    return 0;
}

bool replica_pull(struct replica *r, uint64_t *ret_to, struct span *ret_message)
{
    if (r->outs_pulled < r->outs_ready) {
        const struct replica_out *o = &r->outs[r->outs_pulled++];
        *ret_to = o->to;
        *ret_message = (struct span){r->out_bytes + o->at, o->len};
        return true;
    }
    if (r->outs_pulled == r->outs_count) {
        r->outs_count = r->outs_ready = r->outs_pulled = 0;
        r->out_len = 0;
    }
    return false;
}

/* -- snapshots --------------------------------------------------------------------------------- */

bool replica_wants(const struct replica *r, struct replica_want *ret_want)
{
    if (r->is_wanting) {
        *ret_want = r->want;
    }
    return r->is_wanting;
}

uint64_t replica_told(const struct replica *r)
{
    bool is_late = r->told_ms > 0 && r->now_ms - r->told_ms < TOLD_MS;
    return is_late ? r->told_index : 0;
}

int replica_want_members(struct replica *r, uint64_t *ret_index, struct span *ret_members)
{
    CHECK(r->is_wanting);
    struct raft_buffer buffer;
    int rv = raft_configuration_encode(&r->want_metadata.configuration, &buffer);
    if (rv) {
        return err_fold(replica_error(rv));
    }
    raft_free(r->want_members);
    r->want_members = buffer.base;
    *ret_index = r->want_metadata.configuration_index;
    *ret_members = (struct span){buffer.base, buffer.len};
    return 0;
}

int replica_installed(struct replica *r)
{
    CHECK(r->is_wanting);
    CHECK(r->log.last(r->log.user) == r->want.index);
    CHECK(r->log.first(r->log.user) == r->want.index + 1);
    struct raft_event event = {.type = RAFT_PERSISTED_SNAPSHOT,
                               .persisted_snapshot = {.metadata = r->want_metadata, .last = true}};
    struct raft_buffer buffer;
    int rv = raft_configuration_encode(&r->want_metadata.configuration, &buffer);
    if (rv) {
        return err_fold(replica_error(rv));
    }
    int s = replica_keep(r, r->want_metadata.configuration_index, buffer.base, buffer.len);
    raft_free(buffer.base);
    r->is_wanting = false;
    replica_drop_changes(r, 0);
    r->base_index = r->durable = r->want.index;
    r->base_term = r->want.term;
    r->trail_first = r->want.index + 1;
    return s ? err_trace(s) : err_fold(replica_step(r, &event));
}

/* -- what it knows ----------------------------------------------------------------------------- */

uint64_t replica_id(const struct replica *r)
{
    return r->id;
}

bool replica_is_leader(const struct replica *r)
{
    return r != NULL && r->is_leading;
}

bool replica_is_ready(const struct replica *r)
{
    return r->is_leading && r->barrier_index > 0 && replica_committed(r) >= r->barrier_index;
}

uint64_t replica_leader(const struct replica *r)
{
    raft_id id;
    const char *address;
    raft_leader((struct raft *)(uintptr_t)&r->raft, &id, &address);
    return id;
}

uint64_t replica_term(const struct replica *r)
{
    return raft_current_term(&r->raft);
}

uint64_t replica_committed(const struct replica *r)
{
#ifdef PLANT_APPLY_UNSTORED
    return r->committed;
#endif
    return r->committed < r->durable ? r->committed : r->durable;
}

int replica_read(struct replica *r, uint64_t index, uint64_t *ret_term, struct span *ret_entry)
{
    CHECK(index <= replica_committed(r));
    uint64_t word;
    int s = r->log.read(r->log.user, index, &word, ret_entry);
    if (s) {
        return s > 0 ? REPLICA_E_DAMAGED : err_trace(s);
    }
    *ret_term = replica_word_term(word);
    if (replica_word_type(word) != RAFT_COMMAND) {
        *ret_entry = (struct span){0};
    }
    return 0;
}

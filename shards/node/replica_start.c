/* SPDX-License-Identifier: MIT */
/* From a log to a running core.
 * Owns: making and freeing a replica.
 *
 *   new log, first members given   entry 1 is the change that names them, the same on all; term 1
 *   log from its beginning         the core reads terms and changes from it
 *   log that forgot its beginning  behind an index that is durable in the state, with the members
 *   log of before there was Raft   all commands of term 1 by one voter: entry 1 is committed, and
 *                                  the first members are those of options
 *
 * G2: a voter alone leads at once and without a new term, so a new term is made durable first.
 * Fails: REPLICA_E_STATE when neither log nor file says who the members are or where the log
 * stands; REPLICA_E_DAMAGED for an entry that cannot be read; < 0 disk and memory.
 * Invariant: what the core is told to be committed here was durable in this replica's own state, or
 * is entry 1. */
#include "node/replica_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

#define ELECTION_MS  300
#define HEARTBEAT_MS 50
#define INFLIGHT     256  /* entries on their way to a peer */
#define INSTALL_MS   3000 /* until a peer that wants a state is told again; the core's own: 30 s */

int replica_new(const struct replica_options *options, struct replica **ret_replica)
{
    CHECK(options->id > 0);
    CHECK(options->members_count <= REPLICA_MEMBERS_MAX);
    struct replica *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return err_origin(-ENOMEM);
    }
    r->log = options->log;
    r->id = options->id;
    r->now_ms = options->now_ms;
    r->fired_ms = -1;
    r->leader_ms = options->now_ms;
    r->first_members_count = options->members_count;
    if (options->members_count > 0) {
        memcpy(r->first_members, options->members,
               options->members_count * sizeof *options->members);
    }
    if (raft_init(&r->raft, NULL, NULL, options->id, "?") != 0) {
        free(r);
        return err_origin(-ENOMEM);
    }
    r->raft.tracer = NULL; /* its own formats a line for every step */
    raft_seed(&r->raft, options->seed);
    raft_set_election_timeout(&r->raft, options->election_ms ? options->election_ms : ELECTION_MS);
    raft_set_heartbeat_timeout(&r->raft,
                               options->heartbeat_ms ? options->heartbeat_ms : HEARTBEAT_MS);
    raft_set_install_snapshot_timeout(&r->raft, INSTALL_MS);
    raft_set_pre_vote(&r->raft, true);
    raft_set_max_inflight_entries(&r->raft, INFLIGHT);
    *ret_replica = r;
    return 0;
}

void replica_free(struct replica *r)
{
    if (r == NULL) {
        return;
    }
    if (r->is_wanting) {
        raft_configuration_close(&r->want_metadata.configuration);
    }
    raft_free(r->want_members);
    raft_close(&r->raft, NULL);
    replica_drop_changes(r, 0);
    free(r->changes);
    free(r->members_bytes);
    free(r->outs);
    free(r->out_bytes);
    free(r);
}

static int encode_first(struct replica *r, struct raft_buffer *ret_buffer)
{
    struct raft_configuration c;
    raft_configuration_init(&c);
    int rv = 0;
    for (size_t i = 0; i < r->first_members_count && rv == 0; i++) {
        const struct replica_member *m = &r->first_members[i];
        rv = raft_configuration_add(&c, m->id, m->address,
                                    m->role == REPLICA_VOTER ? RAFT_VOTER : RAFT_STANDBY);
    }
    rv = rv ? rv : raft_configuration_encode(&c, ret_buffer);
    raft_configuration_close(&c);
    return rv ? err_fold(replica_error(rv)) : 0;
}

static int bootstrap(struct replica *r)
{
    struct raft_buffer buffer;
    int s = encode_first(r, &buffer);
    if (s) {
        return err_trace(s);
    }
    s = r->log.append(r->log.user, replica_word(RAFT_CHANGE, 1),
                      (struct span){buffer.base, buffer.len});
    s = s ? s : r->log.set_vote(r->log.user, 1, 0);
    s = s ? s : r->log.commit(r->log.user);
    raft_free(buffer.base);
    return err_fold(s);
}

/* What the event needs, read from the log. */
struct start {
    uint64_t first, last, term, vote;
    bool is_whole;           /* the log begins with the change that names the first members */
    struct raft_entry *entries;
    struct raft_snapshot_metadata metadata;
    struct raft_configuration newest; /* of metadata or the last change; borrowed or owned below */
};

static int read_entries(struct replica *r, struct start *s)
{
    size_t count = (size_t)(s->last + 1 - s->first);
    s->entries = calloc(count + 1, sizeof *s->entries);
    if (s->entries == NULL) {
        return err_origin(-ENOMEM);
    }
    for (size_t i = 0; i < count; i++) {
        struct raft_entry *e = &s->entries[i];
        uint64_t word;
        struct span bytes;
        int v = r->log.read(r->log.user, s->first + i, &word, &bytes);
        if (v) {
            return v > 0 ? REPLICA_E_DAMAGED : err_trace(v);
        }
        e->term = replica_word_term(word);
        e->type = replica_word_type(word);
        s->term = e->term > s->term ? e->term : s->term;
        if (e->type == RAFT_CHANGE) {
            e->buf.base = malloc(bytes.len);
            if (e->buf.base == NULL) {
                return err_origin(-ENOMEM);
            }
            memcpy(e->buf.base, bytes.ptr, bytes.len);
            e->buf.len = bytes.len;
        }
    }
    s->is_whole = count > 0 && s->first == 1 && s->entries[0].type == RAFT_CHANGE;
    return 0;
}

static void start_fini(struct start *s)
{
    for (uint64_t i = 0; s->entries && i < s->last + 1 - s->first; i++) {
        free(s->entries[i].buf.base);
    }
    free(s->entries);
    raft_configuration_close(&s->newest);
}

/* The members that stand behind the log's beginning: kept, or those of before there was Raft. */
static int read_members(struct replica *r, const struct start *s)
{
    struct span bytes;
    uint64_t index;
    int v = r->log.members(r->log.user, &index, &bytes);
    if (v) {
        return v > 0 ? REPLICA_E_DAMAGED : err_trace(v);
    }
    if (bytes.len > 0) {
        return err_trace(replica_keep(r, index, bytes.ptr, bytes.len));
    }
    struct raft_buffer buffer;
    if (s->is_whole) {
        return err_trace(replica_keep(r, 1, s->entries[0].buf.base, s->entries[0].buf.len));
    }
    if (r->first_members_count != 1 || r->first_members[0].id != r->id) {
        return REPLICA_E_STATE;
    }
    v = encode_first(r, &buffer);
    if (v) {
        return err_trace(v);
    }
    v = replica_keep(r, 1, buffer.base, buffer.len);
    raft_free(buffer.base);
    return err_trace(v);
}

/* Where the log stands: an index that is durable in the state.  Without one, a log that begins
 * with a command is one voter's of before there was Raft, and what it has is committed. */
static int read_base(struct replica *r, struct start *s)
{
    uint64_t index, term;
    r->log.durable(r->log.user, &index, &term);
    if (s->is_whole && index == 0) {
        return 0; /* the core takes entry 1 for committed by itself */
    }
    if (index + 1 < s->first || index > s->last || index == 0) {
        if (s->first != 1 || s->last == 0) {
            return REPLICA_E_STATE;
        }
        index = 1;
    }
    if (index >= s->first) {
        index = s->first; /* as after each trim: see round_trimmed() */
        term = s->entries[index - s->first].term;
    }
    struct raft_buffer buffer = {r->members_bytes, r->members_len};
    s->metadata.index = r->base_index = index;
    s->metadata.term = r->base_term = term;
    s->metadata.configuration_index = r->members_index;
    int rv = raft_configuration_decode(&buffer, &s->metadata.configuration);
    return rv ? err_fold(replica_error(rv)) : 0;
}

static int find_newest(struct replica *r, struct start *s)
{
    struct raft_buffer buffer = {r->members_bytes, r->members_len};
    int v = 0;
    for (uint64_t i = 0; i < s->last + 1 - s->first && v == 0; i++) {
        if (s->entries[i].type == RAFT_CHANGE) {
            buffer = s->entries[i].buf;
            if (s->first + i > (s->metadata.index ? r->members_index : 1)) {
                v = replica_note_change(r, s->first + i, buffer.base, buffer.len);
            }
        }
    }
    int rv = raft_configuration_decode(&buffer, &s->newest);
    return v ? v : rv ? err_fold(replica_error(rv)) : 0;
}

static int step_start(struct replica *r, struct start *s)
{
    if (replica_guards_alone(r->id, &s->newest)) {
        s->term++;
        s->vote = 0;
        int v = r->log.set_vote(r->log.user, s->term, 0);
        v = v ? v : r->log.commit(r->log.user);
        if (v) {
            return err_fold(v);
        }
    }
    struct raft_event event = {
        .type = RAFT_START,
        .start = {.term = s->term, .voted_for = s->vote,
                  .metadata = s->metadata.index ? &s->metadata : NULL, .start_index = s->first,
                  .entries = s->entries, .n_entries = (unsigned)(s->last + 1 - s->first)}};
    r->durable = s->last;
    r->trail_first = s->first;
    return err_fold(replica_step(r, &event));
}

static int start_old(struct replica *r, struct start *s)
{
    int v = read_entries(r, s);
    v = v ? v : read_members(r, s);
    v = v ? v : read_base(r, s);
    v = v ? v : find_newest(r, s);
    return v ? v : err_trace(step_start(r, s));
}

int replica_start(struct replica *r)
{
    struct start s = {0};
    raft_configuration_init(&s.newest);
    r->log.vote(r->log.user, &s.term, &s.vote);
    bool is_new = r->log.last(r->log.user) == 0;
    if (is_new && r->first_members_count > 0) {
        int v = bootstrap(r);
        if (v) {
            return err_trace(v);
        }
        s.term = s.term ? s.term : 1;
    }
    s.first = r->log.first(r->log.user);
    s.last = r->log.last(r->log.user);
    int v;
    if (s.last == 0) {
        r->trail_first = 1; /* joins: what it is comes from a leader */
        struct raft_event event = {.type = RAFT_START, .start = {.term = s.term,
                                                                 .voted_for = s.vote,
                                                                 .start_index = 1}};
        v = err_fold(replica_step(r, &event));
    } else {
        v = start_old(r, &s);
    }
    start_fini(&s);
    return v ? v : err_trace(replica_round(r));
}

/* SPDX-License-Identifier: MIT */
/* Messages between replicas: bytes, checked when they come.
 * Owns: the outbox of a replica, one buffer that is emptied when all of it was pulled.
 *
 *   version u8, kind u8, to u64, term u64, what the kind has, XXH3-64 of all before
 *
 * Entries are read from the log when the message is made: a later step may truncate them.
 * Fails: REPLICA_E_MESSAGE for anything that the core would take for granted (it has no asserts);
 * < 0 out of memory.  A full outbox drops the message: Raft sends it again.
 * Invariant: what replica_wire_read() lets through breaks no precondition of the core. */
#include "node/replica_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"

#define WIRE_VERSION 1
#define WIRE_HEAD    (1 + 1 + 8 + 8)
#define WIRE_SUM     8
#define ENTRY_HEAD   (1 + 8 + 4)
#define OUTBOX_MAX   (256u * 1024 * 1024)

/* -- out --------------------------------------------------------------------------------------- */

static int grow(struct replica *r, size_t need)
{
    if (r->outs_count == r->outs_cap) {
        size_t cap = r->outs_cap ? r->outs_cap * 2 : 64;
        struct replica_out *outs = realloc(r->outs, cap * sizeof *outs);
        if (outs == NULL) {
            return err_origin(-ENOMEM);
        }
        r->outs = outs;
        r->outs_cap = cap;
    }
    if (r->out_len + need > r->out_cap) {
        size_t cap = r->out_cap ? r->out_cap : 4096;
        while (cap < r->out_len + need) {
            cap *= 2;
        }
        uint8_t *bytes = realloc(r->out_bytes, cap);
        if (bytes == NULL) {
            return err_origin(-ENOMEM);
        }
        r->out_bytes = bytes;
        r->out_cap = cap;
    }
    return 0;
}

static int put(struct replica *r, uint64_t to, bool is_early, struct scribe *w)
{
    CHECK(!w->bad);
#ifdef PLANT_EARLY_PROMISE /* never defined but by tests/sim */
    is_early = true;
#endif
    size_t len = scribe_len(w);
    struct scribe sum = scribe_of(r->out_bytes + r->out_len + len, WIRE_SUM);
    scribe_u64(&sum, XXH3_64bits(r->out_bytes + r->out_len, len));
    r->outs[r->outs_count++] = (struct replica_out){to, r->out_len, len + WIRE_SUM, is_early};
    r->out_len += len + WIRE_SUM;
    return 0;
}

static struct scribe head(struct replica *r, const struct raft_message *m, uint64_t term,
                          size_t room)
{
    struct scribe w = scribe_of(r->out_bytes + r->out_len, room);
    scribe_u8(&w, WIRE_VERSION);
    scribe_u8(&w, (uint8_t)m->type);
    scribe_u64(&w, m->server_id);
    scribe_u64(&w, term);
    return w;
}

static int send_piece(struct replica *r, const struct raft_message *m, uint64_t prev, uint64_t end)
{
    const struct raft_append_entries *a = &m->append_entries;
    uint64_t prev_term = a->prev_log_term, word;
    struct span entry;
    size_t room = WIRE_HEAD + 3 * 8 + 4;
    for (uint64_t i = prev + 1; i <= end; i++) {
        if (r->log.read(r->log.user, i, &word, &entry) != 0) {
            return 0; /* trimmed or damaged: not sent; the round sees to a snapshot */
        }
        room += ENTRY_HEAD + entry.len;
    }
    if (prev != a->prev_log_index) {
        if (r->log.read(r->log.user, prev, &word, &entry) != 0) {
            return 0;
        }
        prev_term = replica_word_term(word);
    }
    if (r->out_len + room > OUTBOX_MAX) {
        return 0;
    }
    int s = grow(r, room + WIRE_SUM);
    if (s) {
        return err_trace(s);
    }
    struct scribe w = head(r, m, a->term, room);
    scribe_u64(&w, prev);
    scribe_u64(&w, prev_term);
    scribe_u64(&w, a->leader_commit);
    scribe_u32(&w, (uint32_t)(end - prev));
    for (uint64_t i = prev + 1; i <= end; i++) {
        s = r->log.read(r->log.user, i, &word, &entry);
        CHECK(s == 0);
        scribe_u8(&w, (uint8_t)replica_word_type(word));
        scribe_u64(&w, replica_word_term(word));
        scribe_u32(&w, (uint32_t)entry.len);
        scribe_bytes(&w, entry.ptr, entry.len);
    }
    return put(r, m->server_id, !r->is_vote_dirty, &w);
}

static int send_entries(struct replica *r, const struct raft_message *m)
{
    const struct raft_append_entries *a = &m->append_entries;
    uint64_t prev = a->prev_log_index;
    uint64_t last = prev + a->n_entries;
    if (last == prev) {
        return err_trace(send_piece(r, m, prev, prev));
    }
    while (prev < last) {
        uint64_t end = replica_guards_split(r, prev + 1, last);
        if (end == prev) {
            return 0;
        }
        int s = send_piece(r, m, prev, end);
        if (s) {
            return err_trace(s);
        }
        prev = end;
    }
    return 0;
}

/* The core says at which entry our log begins.  We say the newest one that is committed: another
 * replica, which may lead when the state has arrived, has cut its log elsewhere, but never behind
 * that one; and less of the log is left to send. */
static void tell(struct replica *r, const struct raft_message *m, uint64_t *ret_index,
                 uint64_t *ret_term)
{
    uint64_t index = replica_committed(r), word, before = replica_told(r);
    struct span entry;
    *ret_index = m->install_snapshot.last_index;
    *ret_term = m->install_snapshot.last_term;
    if (index > *ret_index && r->log.read(r->log.user, index, &word, &entry) == 0) {
        *ret_index = index;
        *ret_term = replica_word_term(word);
    }
    r->told_index = before > 0 && before < *ret_index ? before : *ret_index;
    r->told_ms = r->now_ms;
}

static int send_short(struct replica *r, const struct raft_message *m)
{
    size_t room = WIRE_HEAD + 64 + r->members_len;
    int s = grow(r, room + WIRE_SUM);
    if (s) {
        return err_trace(s);
    }
    struct scribe w;
    uint64_t index, term;
    switch (m->type) {
    case RAFT_APPEND_ENTRIES_RESULT:
        w = head(r, m, m->append_entries_result.term, room);
        scribe_u64(&w, m->append_entries_result.rejected);
        scribe_u64(&w, m->append_entries_result.last_log_index);
        scribe_u16(&w, m->append_entries_result.features);
        break;
    case RAFT_REQUEST_VOTE:
        w = head(r, m, m->request_vote.term, room);
        scribe_u64(&w, m->request_vote.last_log_index);
        scribe_u64(&w, m->request_vote.last_log_term);
        scribe_u8(&w, (uint8_t)(m->request_vote.disrupt_leader | m->request_vote.pre_vote << 1));
        break;
    case RAFT_REQUEST_VOTE_RESULT:
        w = head(r, m, m->request_vote_result.term, room);
        scribe_u8(&w, (uint8_t)(m->request_vote_result.vote_granted |
                                m->request_vote_result.pre_vote << 1));
        scribe_u16(&w, m->request_vote_result.features);
        break;
    case RAFT_INSTALL_SNAPSHOT:
        w = head(r, m, m->install_snapshot.term, room);
        tell(r, m, &index, &term);
        scribe_u64(&w, index);
        scribe_u64(&w, term);
        scribe_u64(&w, r->members_index);
        scribe_bytes(&w, r->members_bytes, r->members_len);
        break;
    default:
        CHECK(m->type == RAFT_TIMEOUT_NOW);
        w = head(r, m, m->timeout_now.term, room);
        scribe_u64(&w, m->timeout_now.last_log_index);
        scribe_u64(&w, m->timeout_now.last_log_term);
    }
    return put(r, m->server_id, false, &w);
}

int replica_wire_send(struct replica *r, const struct raft_message *m)
{
    return err_trace(m->type == RAFT_APPEND_ENTRIES ? send_entries(r, m) : send_short(r, m));
}

void replica_early(struct replica *r)
{
    while (r->outs_ready < r->outs_count && r->outs[r->outs_ready].is_early) {
        r->outs_ready++;
    }
}

/* -- in ---------------------------------------------------------------------------------------- */

/* The core believes the count and the strings of its own encoding: look first. */
static bool decodes(struct span bytes, struct raft_configuration *ret_configuration)
{
    struct raft_buffer buffer = {(void *)(uintptr_t)bytes.ptr, bytes.len};
    raft_configuration_init(ret_configuration);
    struct reader look = reader_of(bytes.ptr, bytes.len);
    uint64_t count = 0;
    bool good = reader_u8(&look) == 1;
    for (unsigned i = 0; i < 8; i++) {
        count |= (uint64_t)reader_u8(&look) << (8 * i); /* little-endian */
    }
    good = good && count > 0 && count <= REPLICA_MEMBERS_MAX;
    for (uint64_t i = 0; i < count && good; i++) {
        const uint8_t *id;
        const uint8_t *end = NULL;
        good = reader_take(&look, 8, &id);
        end = good ? memchr(look.at, 0, reader_left(&look)) : NULL;
        good = end != NULL && end - look.at < REPLICA_ADDRESS_MAX;
        look.at = good ? end + 1 : look.at;
        good = good && reader_u8(&look) <= RAFT_SPARE;
    }
    if (!good || look.bad) {
        return false;
    }
    return raft_configuration_decode(&buffer, ret_configuration) == 0;
}

__attribute__((unused)) /* without G4 */
static bool change_good(struct span bytes)
{
    struct raft_configuration c;
    if (!decodes(bytes, &c)) {
        return false;
    }
    raft_configuration_close(&c);
    return true;
}

static int read_entries(struct reader *in, struct raft_append_entries *a)
{
    a->entries = calloc(a->n_entries, sizeof *a->entries);
    uint8_t *batch = raft_malloc(reader_left(in) + 8);
    if (a->entries == NULL || batch == NULL) {
        free(a->entries);
        raft_free(batch);
        a->entries = NULL;
        a->n_entries = 0;
        return err_origin(-ENOMEM);
    }
    uint64_t term = a->prev_log_term;
    uint8_t *at = batch;
    bool good = true;
    for (unsigned i = 0; i < a->n_entries && good; i++) {
        struct raft_entry *e = &a->entries[i];
        e->type = reader_u8(in);
        e->term = reader_u64(in);
        size_t len = reader_u32(in);
        const uint8_t *bytes = NULL;
        good = reader_take(in, len, &bytes) && e->type >= RAFT_COMMAND && e->type <= RAFT_CHANGE &&
               e->term >= term && e->term > 0 && e->term <= a->term;
        if (good) {
            memcpy(at, bytes, len);
            e->buf = (struct raft_buffer){at, len};
            e->batch = batch;
            at += len;
            term = e->term;
        }
#ifndef PLANT_NO_G4
        good = good && (e->type != RAFT_CHANGE ||
                        (i == 0 && change_good((struct span){bytes, len})));
#endif
    }
    if (!good) {
        raft_free(batch);
        free(a->entries);
        a->entries = NULL;
        return REPLICA_E_MESSAGE;
    }
    return 0;
}

static int read_append(struct replica *r, struct reader *in, struct raft_append_entries *a)
{
    a->version = 0;
    a->prev_log_index = reader_u64(in);
    a->prev_log_term = reader_u64(in);
    a->leader_commit = reader_u64(in);
    a->n_entries = reader_u32(in);
    bool leads = raft_state(&r->raft) == RAFT_LEADER && a->term == raft_current_term(&r->raft);
    if (in->bad || leads || a->term == 0 || (a->prev_log_index == 0) != (a->prev_log_term == 0) ||
        a->prev_log_term > a->term || a->n_entries > REPLICA_ENTRIES_MAX) {
        return REPLICA_E_MESSAGE;
    }
    return a->n_entries > 0 ? err_trace(read_entries(in, a)) : 0;
}

static int read_install(struct replica *r, struct reader *in, struct raft_install_snapshot *s)
{
    s->version = 0;
    s->last_index = reader_u64(in);
    s->last_term = reader_u64(in);
    s->conf_index = reader_u64(in);
    struct span conf = {in->at, reader_left(in)};
    bool leads = raft_state(&r->raft) == RAFT_LEADER && s->term == raft_current_term(&r->raft);
    if (in->bad || leads || s->last_index == 0 || s->last_term == 0 ||
        s->last_term > s->term || s->conf_index == 0 || !decodes(conf, &s->conf)) {
        return REPLICA_E_MESSAGE;
    }
    if (r->is_wanting) { /* one at a time: the core would leak the second */
        raft_configuration_close(&s->conf);
        return REPLICA_E_BUSY;
    }
    s->data.base = raft_malloc(8);
    if (s->data.base == NULL) {
        raft_configuration_close(&s->conf);
        return err_origin(-ENOMEM);
    }
    memset(s->data.base, 0, 8);
    s->data.len = 8;
    in->at = in->end;
    return 0;
}

static void read_result(struct reader *in, struct raft_append_entries_result *a)
{
    a->version = 2;
    a->rejected = reader_u64(in);
    a->last_log_index = reader_u64(in);
    a->features = reader_u16(in);
}

static int read_vote(struct reader *in, uint64_t from, struct raft_request_vote *v)
{
    v->version = 2;
    v->candidate_id = from;
    v->last_log_index = reader_u64(in);
    v->last_log_term = reader_u64(in);
    uint8_t flags = reader_u8(in);
    v->disrupt_leader = flags & 1;
    v->pre_vote = flags >> 1 & 1;
    return v->term == 0 || flags > 3 ? REPLICA_E_MESSAGE : 0;
}

static void read_vote_result(struct reader *in, struct raft_request_vote_result *v)
{
    v->version = 2;
    uint8_t flags = reader_u8(in);
    v->vote_granted = flags & 1;
    v->pre_vote = flags >> 1 & 1;
    v->features = reader_u16(in);
}

static int read_body(struct replica *r, uint64_t term, struct reader *in, struct raft_message *m)
{
    switch (m->type) {
    case RAFT_APPEND_ENTRIES:
        m->append_entries.term = term;
        return err_trace(read_append(r, in, &m->append_entries));
    case RAFT_APPEND_ENTRIES_RESULT:
        m->append_entries_result.term = term;
        read_result(in, &m->append_entries_result);
        return 0;
    case RAFT_REQUEST_VOTE:
        m->request_vote.term = term;
        return read_vote(in, m->server_id, &m->request_vote);
    case RAFT_REQUEST_VOTE_RESULT:
        m->request_vote_result.term = term;
        read_vote_result(in, &m->request_vote_result);
        return 0;
    case RAFT_INSTALL_SNAPSHOT:
        m->install_snapshot.term = term;
        return err_trace(read_install(r, in, &m->install_snapshot));
    case RAFT_TIMEOUT_NOW:
        m->timeout_now.version = 0;
        m->timeout_now.term = term;
        m->timeout_now.last_log_index = reader_u64(in);
        m->timeout_now.last_log_term = reader_u64(in);
        return 0;
    default:
        return REPLICA_E_MESSAGE;
    }
}

static const char *address_of(struct replica *r, uint64_t id)
{
    for (unsigned i = 0; i < r->raft.configuration.n; i++) {
        if (r->raft.configuration.servers[i].id == id) {
            return r->raft.configuration.servers[i].address;
        }
    }
    return "?"; /* a leader that a newcomer does not know yet; answers go by id */
}

int replica_wire_read(struct replica *r, uint64_t from, struct span bytes,
                      struct raft_message *ret_message)
{
    if (from == 0 || from == r->id || bytes.len < WIRE_HEAD + WIRE_SUM ||
        bytes.len > REPLICA_MESSAGE_MAX) {
        return REPLICA_E_MESSAGE;
    }
    struct reader end = reader_of(bytes.ptr + bytes.len - WIRE_SUM, WIRE_SUM);
    struct reader in = reader_of(bytes.ptr, bytes.len - WIRE_SUM);
#ifdef PLANT_NO_SUM
    bool whole = reader_u64(&end) != 0;
#else
    bool whole = reader_u64(&end) == XXH3_64bits(bytes.ptr, bytes.len - WIRE_SUM);
#endif
    *ret_message = (struct raft_message){.server_id = from, .server_address = address_of(r, from)};
    uint8_t version = reader_u8(&in);
    ret_message->type = reader_u8(&in);
    uint64_t to = reader_u64(&in);
    uint64_t term = reader_u64(&in);
    if (!whole || version != WIRE_VERSION || to != r->id || term >> REPLICA_KIND_SHIFT != 0) {
        return REPLICA_E_MESSAGE;
    }
    int s = read_body(r, term, &in, ret_message);
    if (s == 0 && (in.bad || in.at != in.end)) {
        replica_wire_drop(ret_message);
        s = REPLICA_E_MESSAGE;
    }
    return err_trace(s);
}

void replica_wire_drop(struct raft_message *m)
{
    if (m->type == RAFT_APPEND_ENTRIES && m->append_entries.entries) {
        raft_free(m->append_entries.entries[0].batch);
        free(m->append_entries.entries);
    } else if (m->type == RAFT_INSTALL_SNAPSHOT) {
        raft_configuration_close(&m->install_snapshot.conf);
        raft_free(m->install_snapshot.data.base);
    }
}

/* SPDX-License-Identifier: MIT */
/* A replica among its peers.
 * Owns: the streams (rpc/peers.h), what was heard of each peer, the badge, the hashes compared.
 *
 *   hear:  disk checked -> Raft's into replica_receive() | status | hash | refusal -> tick
 *   speak: members that changed -> streams; replica_pull() -> streams; once a second our status
 *
 * Disks: a peer's first disk is noted durably before its first message is looked at.  Another one
 * under its id is not heard and is told so; who is told that stops (badge.h says why).
 * Clocks: each message carries its sender's wall clock.  A leader's log time follows the majority's
 * clock, so that one bad clock, its own too, opens no release.
 * Hashes: every PEERING_HASH_EVERY entries all replicas tell what their state amounts to.  A
 * replica that a majority of voters contradicts stops; where no majority agrees, it is logged.
 * Fails: messages that break the protocol are counted and dropped; < 0 from replica and disk. */
#include "node/peering.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "ledger/ledger.h"
#include "node/logtime.h"

#define STATUS_US   SECOND_US
#define CLOCK_US    (10 * SECOND_US) /* a clock heard longer ago does not count */
#define REACHED_US  SECOND_US
#define GONE_US     (SECOND_US / 10) /* two heartbeats, as they are by default */
#define OTHER_DISK_US (3 * SECOND_US)
#define STRANGER_US (10 * SECOND_US) /* no member that we know of, heard so lately: answered */
#define NEEDS_US    (30 * SECOND_US) /* since it spoke: what it needs of the log counts so long */
#define HASHES_KEPT 8                /* newest of each replica */
#define HEAR_MAX    256              /* messages taken at once: then the disk has its turn */
#define ALONE_US    (10 * SECOND_US) /* nobody was heard for so long: somebody should look */
#define ALONE_AGAIN_US MINUTE_US

enum kind {
    KIND_RAFT = 1,
    KIND_STATUS = 2,
    KIND_HASH = 3,    /* index u64, effects u64 */
    KIND_REFUSED = 4, /* disk u64: the one that is not heard */
};

struct hash {
    uint64_t index, effects;
};

struct peer {
    struct peering_view view;
    int64_t wall_us;     /* its clock ... */
    int64_t wall_at_us;  /* ... at our monotonic instant */
    char address[PEERS_ADDRESS_MAX]; /* where it says it is reached */
    struct hash hashes[HASHES_KEPT];
    int64_t status_us;   /* when its status came: only members are told */
    int64_t refused_us;  /* when it was last told that its disk is another one */
};

struct peering {
    struct peering_options options;
    struct badge own;
    struct peers *peers;
    struct fetch *fetch;
    struct peer heard[REPLICA_MEMBERS_MAX + 4]; /* members, and some who are none any more */
    size_t heard_count;
    struct hash hashes[HASHES_KEPT];
    struct replica_member members[REPLICA_MEMBERS_MAX];
    size_t members_count;
    struct peers_member spoken[PEERS_MAX]; /* whom peers_set() was told of last */
    size_t spoken_count;
    int64_t status_at_us;
    bool fetching;      /* as of the last turn */
    int64_t alone_us;   /* since when nobody was heard; 0: not looked yet */
    int64_t told_us;    /* when that was logged; 0: not since somebody was heard */
};

static void peering_send(void *user, uint64_t to, uint8_t kind, struct span body)
{
    struct peering *p = user;
    peers_send(p->peers, to, kind, body);
}

int peering_open(const struct peering_options *options, struct peering **ret_peering,
                 char *ret_text)
{
    struct peering *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return err_origin(-ENOMEM);
    }
    p->options = *options;
    p->own = *options->own;
    struct peers_options peers = {.listen_url = options->listen_url, .address = options->address,
                                  .id = p->own.id, .disk = p->own.disk,
                                  .arrived = options->arrived, .user = options->user};
    memcpy(peers.cluster_id, options->cluster_id, sizeof peers.cluster_id);
    int r = peers_open(&peers, &p->peers);
    if (r == PEERS_E_ADDRESS) {
        snprintf(ret_text, 256, "%s: cannot listen there for peers: no tcp://HOST:PORT of this "
                 "machine, or in use", options->listen_url);
        r = PEERING_E_ADDRESS;
    }
    const struct fetch_options fetch = {.store = options->store, .replica = options->replica,
                                        .send = peering_send, .user = p};
    r = r ? r : fetch_new(&fetch, &p->fetch);
    if (r) {
        peering_close(p);
        return err_trace(r);
    }
    *ret_peering = p;
    return 0;
}

void peering_close(struct peering *p)
{
    if (p) {
        peers_close(p->peers);
        fetch_free(p->fetch);
        free(p);
    }
}

/* -- who was heard ----------------------------------------------------------------------------- */

static struct peer *peer_find(const struct peering *p, uint64_t id)
{
    for (size_t i = 0; i < p->heard_count; i++) {
        if (p->heard[i].view.id == id) {
            return (struct peer *)(uintptr_t)&p->heard[i];
        }
    }
    return NULL;
}

static struct peer *peer_of(struct peering *p, uint64_t id)
{
    struct peer *peer = peer_find(p, id);
    if (peer) {
        return peer;
    }
    if (p->heard_count == ARRAY_COUNT(p->heard)) { /* the one heard longest ago is forgotten */
        size_t oldest = 0;
        for (size_t i = 1; i < p->heard_count; i++) {
            oldest = p->heard[i].view.heard_us < p->heard[oldest].view.heard_us ? i : oldest;
        }
        p->heard[oldest] = p->heard[--p->heard_count];
    }
    peer = &p->heard[p->heard_count++];
    *peer = (struct peer){.view = {.id = id}};
    return peer;
}

/* Its first disk is its only one.  *ret_heard: its message may be looked at. */
static int peering_meet(struct peering *p, struct peer *peer, const struct peers_message *m,
                        bool *ret_heard)
{
    enum badge_view view;
    int r = badge_meet(&p->own, p->options.dir, m->from, m->disk, &view);
    *ret_heard = r == 0 && view != BADGE_OTHER;
    if (r || *ret_heard) {
        return err_trace(r);
    }
    METRIC_ADD(shard_peer_refused_total, 1);
    peer->view.is_other_disk = true;
    if (m->arrival_us - peer->refused_us > STATUS_US) {
        peer->refused_us = m->arrival_us;
        log_event(LOG_PEER_DISK, LOG_FIELDS(LOG_NUMBER("node", m->from)),
                  "node %llu came with another disk: lost, or two nodes have that id; remove it "
                  "and add it as a new node with an empty directory",
                  (unsigned long long)m->from);
        uint8_t bytes[8];
        struct scribe w = scribe_of(bytes, sizeof bytes);
        scribe_u64(&w, m->disk);
        peers_send(p->peers, m->from, KIND_REFUSED, (struct span){bytes, sizeof bytes});
    }
    return 0;
}

/* -- hashes ------------------------------------------------------------------------------------ */

static struct hash *hash_at(struct hash hashes[HASHES_KEPT], uint64_t index)
{
    return &hashes[index / PEERING_HASH_EVERY % HASHES_KEPT];
}

static bool is_voter(const struct peering *p, uint64_t id)
{
    for (size_t i = 0; i < p->members_count; i++) {
        if (p->members[i].id == id) {
            return p->members[i].role == REPLICA_VOTER;
        }
    }
    return false;
}

static size_t voters(const struct peering *p)
{
    size_t count = 0;
    for (size_t i = 0; i < p->members_count; i++) {
        count += p->members[i].role == REPLICA_VOTER;
    }
    return count;
}

/* How many voters have that state at that index, our own left out. */
static size_t hash_votes(struct peering *p, uint64_t index, uint64_t effects)
{
    size_t count = 0;
    for (size_t i = 0; i < p->heard_count; i++) {
        const struct hash *h = hash_at(p->heard[i].hashes, index);
        count += h->index == index && h->effects == effects && is_voter(p, p->heard[i].view.id);
    }
    return count;
}

static int hash_compare(struct peering *p, uint64_t index)
{
    const struct hash *own = hash_at(p->hashes, index);
    if (own->index != index) {
        return 0; /* not there yet, or long ago */
    }
    for (size_t i = 0; i < p->heard_count; i++) {
        struct peer *peer = &p->heard[i];
        const struct hash *h = hash_at(peer->hashes, index);
        if (h->index != index || h->effects == own->effects) {
            peer->view.has_same = peer->view.has_same || h->index == index;
            continue;
        }
        if (!peer->view.differs) {
            log_event(LOG_STATE_DIFFERS,
                      LOG_FIELDS(LOG_NUMBER("node", peer->view.id), LOG_NUMBER("index", index)),
                      "node %llu has another state than this one at entry %llu",
                      (unsigned long long)peer->view.id, (unsigned long long)index);
        }
        peer->view.differs = true;
        if (hash_votes(p, index, h->effects) > voters(p) / 2) {
            return PEERING_E_DIFFERS;
        }
    }
    return 0;
}

static int hear_hash(struct peering *p, struct peer *peer, struct span body)
{
    struct reader in = reader_of(body.ptr, body.len);
    uint64_t index = reader_u64(&in), effects = reader_u64(&in);
    if (in.bad || in.at != in.end || index % PEERING_HASH_EVERY != 0) {
        return REPLICA_E_MESSAGE;
    }
    *hash_at(peer->hashes, index) = (struct hash){index, effects};
    return hash_compare(p, index) ? PEERING_E_DIFFERS : 0;
}

int peering_applied(struct peering *p, uint64_t index, uint64_t effects)
{
    if (index % PEERING_HASH_EVERY != 0) {
        return 0;
    }
    uint8_t bytes[16];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    scribe_u64(&w, index);
    scribe_u64(&w, effects);
    *hash_at(p->hashes, index) = (struct hash){index, effects};
    for (size_t i = 0; i < p->members_count; i++) {
        if (p->members[i].id != p->own.id) {
            peers_send(p->peers, p->members[i].id, KIND_HASH, (struct span){bytes, sizeof bytes});
        }
    }
    return hash_compare(p, index);
}

/* -- statuses ---------------------------------------------------------------------------------- */

static int hear_status(struct peer *peer, struct span body)
{
    struct peering_status s;
    if (!peering_status_unpack(body, &s)) {
        return REPLICA_E_MESSAGE;
    }
    peer->view.status = s;
    return 0;
}

bool peering_status_is_due(const struct peering *p, int64_t now_us)
{
    return now_us >= p->status_at_us;
}

void peering_say_status(struct peering *p, const struct peering_status *s, int64_t now_us)
{
    p->status_at_us = now_us + STATUS_US;
    uint8_t bytes[PEERING_STATUS_MAX];
    struct span body = {bytes, peering_status_pack(s, bytes)};
    for (size_t i = 0; i < p->members_count; i++) {
        if (p->members[i].id != p->own.id) {
            peers_send(p->peers, p->members[i].id, KIND_STATUS, body);
        }
    }
}

/* -- hearing ----------------------------------------------------------------------------------- */

static int hear_refused(struct peering *p, struct span body)
{
    struct reader in = reader_of(body.ptr, body.len);
    uint64_t disk = reader_u64(&in);
    if (in.bad) {
        return REPLICA_E_MESSAGE;
    }
    return disk == p->own.disk ? PEERING_E_DISK : 0;
}

static int hear_one(struct peering *p, struct peer *peer, const struct peers_message *m)
{
    int r = REPLICA_E_MESSAGE;
    switch (m->kind) {
    case KIND_RAFT:
        r = replica_receive(p->options.replica, m->from, m->body);
        r = r == REPLICA_E_BUSY ? 0 : r;
        break;
    case KIND_STATUS:
        r = hear_status(peer, m->body);
        peer->status_us = r ? peer->status_us : m->arrival_us;
        break;
    case KIND_HASH:
        r = hear_hash(p, peer, m->body);
        if (r == PEERING_E_DIFFERS) {
            return r;
        }
        break;
    case KIND_REFUSED:
        r = hear_refused(p, m->body);
        if (r == PEERING_E_DISK) {
            return r;
        }
        break;
    default:
        if (fetch_has_kind(m->kind)) {
            r = fetch_hear(p->fetch, m->from, m->kind, m->body, clock_mono_us());
        }
        break;
    }
    if (r > 0) {
        METRIC_ADD(shard_peer_refused_total, 1);
        log_event(LOG_PEER_MESSAGE, LOG_FIELDS(LOG_NUMBER("node", m->from)),
                  "node %llu sent what is no message (kind %u, %zu bytes)",
                  (unsigned long long)m->from, m->kind, m->body.len);
        r = 0;
    }
    return err_trace(r);
}

static int hear(struct peering *p, const struct peers_message *m)
{
    bool is_heard = false;
    struct peer *peer = peer_of(p, m->from);
    int r = peering_meet(p, peer, m, &is_heard);
    if (r || !is_heard) {
        return err_trace(r);
    }
    peer->view.heard_us = m->arrival_us;
    peer->wall_us = m->wall_us;
    peer->wall_at_us = m->arrival_us;
    memcpy(peer->address, m->address, sizeof peer->address);
    return hear_one(p, peer, m);
}

/* Whom the others do not count is not told: another authority's certificate, another cluster; or
 * removed, which is answered but gets nobody's status.  So it says itself that it is alone. */
static void tell_alone(struct peering *p, int64_t now_us)
{
    int64_t heard_us = p->alone_us ? p->alone_us : now_us;
    for (size_t i = 0; i < p->heard_count; i++) {
        if (p->heard[i].status_us > heard_us) {
            heard_us = p->heard[i].status_us;
            p->told_us = 0;
        }
    }
    p->alone_us = heard_us;
    if (p->members_count < 2 || now_us - heard_us < ALONE_US ||
        (p->told_us && now_us - p->told_us < ALONE_AGAIN_US)) {
        return;
    }
    p->told_us = now_us;
    log_event(LOG_PEERS_SILENT, LOG_FIELDS(LOG_NUMBER("peers", p->members_count - 1)),
              "none of %zu other nodes was heard to count it a member for %lld s: see whether they "
              "run, the network, the certificates ([inside]), that all have the same --peer list, "
              "no other node its number, and that it is a member still (fairslot node list)",
              p->members_count - 1, (long long)((now_us - heard_us) / SECOND_US));
}

int peering_hear(struct peering *p, int64_t now_us)
{
    struct peers_message *m;
    for (int i = 0; i < HEAR_MAX && (m = peers_take(p->peers)) != NULL; i++) {
        int r = hear(p, m);
        peers_done(m);
        if (r) {
            return r > 0 ? r : err_trace(r);
        }
    }
    tell_alone(p, now_us);
    struct replica_want want;
    bool was_fetching = p->fetching;
    int r = replica_tick(p->options.replica, now_us / 1000);
    p->fetching = replica_wants(p->options.replica, &want);
    if (p->fetching && !was_fetching) {
        p->status_at_us = 0; /* all must know what we shall need of their logs */
    }
    r = r ? r : fetch_turn(p->fetch, p->members, p->members_count, now_us);
    return r == FETCH_E_READY ? PEERING_E_STATE : err_fold(r);
}

int peering_install(struct peering *p)
{
    return err_trace(fetch_install(p->fetch));
}

/* -- speaking ---------------------------------------------------------------------------------- */

/* Members; and whoever speaks to us and is none that we know of: its own address.  A node that was
 * away while others came and went knows their names from the log only, which the new leader has to
 * bring; and one with another disk is told so by him alone. */
static size_t speak_to(const struct peering *p, const struct replica_member *members, size_t count,
                       int64_t now_us, struct peers_member to[PEERS_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        to[n].id = members[i].id;
        memcpy(to[n++].address, members[i].address, sizeof to[0].address);
    }
    for (size_t i = 0; i < p->heard_count && n < PEERS_MAX; i++) {
        const struct peer *peer = &p->heard[i];
        bool is_stranger = peer->address[0] && now_us - peer->view.heard_us <= STRANGER_US;
        for (size_t k = 0; k < count && is_stranger; k++) {
            is_stranger = members[k].id != peer->view.id;
        }
        if (is_stranger) {
            to[n].id = peer->view.id;
            memcpy(to[n++].address, peer->address, sizeof to[0].address);
        }
    }
    return n;
}

static void speak_members(struct peering *p)
{
    struct replica_member now[REPLICA_MEMBERS_MAX];
    struct peers_member to[PEERS_MAX]; /* in every round: no more is touched than there are */
    size_t count = replica_members(p->options.replica, now);
    size_t n = speak_to(p, now, count, clock_mono_us(), to);
    if (n != p->spoken_count || memcmp(to, p->spoken, n * sizeof to[0]) != 0) {
        peers_set(p->peers, to, n);
        memcpy(p->spoken, to, n * sizeof to[0]);
        p->spoken_count = n;
    }
    if (count != p->members_count || memcmp(now, p->members, count * sizeof now[0]) != 0) {
        memcpy(p->members, now, count * sizeof now[0]);
        p->members_count = count;
        p->status_at_us = 0;
    }
}

void peering_speak(struct peering *p)
{
    uint64_t to;
    struct span message;
    speak_members(p);
    while (replica_pull(p->options.replica, &to, &message)) {
        if (message.len <= PEERS_BODY_MAX) {
            peers_send(p->peers, to, KIND_RAFT, message);
        }
    }
}

int64_t peering_next_us(const struct peering *p)
{
    int64_t tick_us = replica_next_ms(p->options.replica) * 1000;
    return tick_us < p->status_at_us ? tick_us : p->status_at_us;
}

/* -- what is known ----------------------------------------------------------------------------- */

int64_t peering_wall_us(const struct peering *p, int64_t now_us, int64_t own_wall_us)
{
    int64_t clocks[REPLICA_MEMBERS_MAX + 1] = {own_wall_us};
    size_t count = 1;
    for (size_t i = 0; i < p->heard_count && count < ARRAY_COUNT(clocks); i++) {
        const struct peer *peer = &p->heard[i];
        if (is_voter(p, peer->view.id) && peer->wall_at_us > 0 &&
            now_us - peer->wall_at_us < CLOCK_US) {
            clocks[count++] = peer->wall_us + (now_us - peer->wall_at_us);
        }
    }
    return logtime_majority(clocks, count, voters(p));
}

bool peering_reaches(const struct peering *p, uint64_t id)
{
    const struct peer *peer = peer_find(p, id);
    return peer && clock_mono_us() - peer->view.heard_us < REACHED_US &&
           peers_connected(p->peers, id);
}

bool peering_is_gone(const struct peering *p, uint64_t id, int64_t now_us)
{
    const struct peer *peer = peer_find(p, id);
    return peer && now_us - peer->view.heard_us >= GONE_US && !peers_connected(p->peers, id);
}

uint8_t peering_room(const struct peering *p, uint64_t id)
{
    const struct peer *peer = peer_find(p, id);
    bool is_fit = peer && peer->view.status.program[0] && !peer->view.status.repairs;
    return is_fit ? peer->view.status.room : STORE_ROOM_NONE;
}

bool peering_has_older(const struct peering *p)
{
    bool has_older = false;
    for (size_t i = 0; i < p->members_count && !has_older; i++) {
        const struct peer *peer = peer_find(p, p->members[i].id);
        has_older = peer && peer->view.status.rules && peer->view.status.rules < LEDGER_VERSION;
    }
    return has_older;
}

uint32_t peering_rules(const struct peering *p)
{
    uint32_t lowest = LEDGER_VERSION;
    for (size_t i = 0; i < p->members_count; i++) {
        const struct peer *peer = peer_find(p, p->members[i].id);
        uint32_t known = peer ? peer->view.status.rules : 0;
        if (p->members[i].id != p->own.id && known < lowest) {
            lowest = known;
        }
    }
    return p->members_count > 0 ? lowest : 0;
}

uint64_t peering_needs(const struct peering *p, int64_t now_us)
{
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < p->members_count; i++) {
        const struct peer *peer = peer_find(p, p->members[i].id);
        uint64_t needs = peer && now_us - peer->view.heard_us < NEEDS_US ? peer->view.status.needs
                                                                         : 0;
        first = needs > 0 && needs < first ? needs : first;
    }
    return first;
}

const char *peering_door(const struct peering *p, uint64_t id)
{
    const struct peer *peer = peer_find(p, id);
    return peer ? peer->view.status.door : "";
}

/* Told as long as it goes on, and until the right one is heard again. */
static bool is_other_disk(const struct peer *peer, int64_t now_us)
{
    return peer->view.is_other_disk && (peer->view.heard_us < peer->refused_us ||
                                        now_us - peer->refused_us < OTHER_DISK_US);
}

size_t peering_views(struct peering *p, struct peering_view out[REPLICA_MEMBERS_MAX])
{
    size_t count = 0;
    int64_t now_us = clock_mono_us(), wall_us = clock_wall_us();
    for (size_t i = 0; i < p->members_count; i++) {
        uint64_t id = p->members[i].id;
        const struct peer *peer = peer_find(p, id);
        if (id == p->own.id) {
            continue;
        }
        out[count] = peer ? peer->view : (struct peering_view){.id = id};
        out[count].is_other_disk = peer && is_other_disk(peer, now_us);
        out[count].is_connected = peers_connected(p->peers, id);
        out[count].is_twice = peers_is_twice(p->peers, id);
        if (peer && peer->wall_at_us > 0) {
            out[count].ahead_us = peer->wall_us + (now_us - peer->wall_at_us) - wall_us;
        }
        count++;
    }
    return count;
}

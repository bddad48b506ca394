/* SPDX-License-Identifier: MIT */
/* A replica among others: when it leads, and what it tells those who ask while it does not.
 * Owns nothing; works on the writer.
 *
 *   follows --wins, and all that was committed before is applied--> leads --another one wins-->
 *   follows: what was proposed and not yet committed has no verdict here, so its callers are turned
 *   away; their request ids find out whether it was decided
 *
 * It leads only behind an entry of its own term (G3's barrier): its ledger has all that was ever
 * acknowledged, and log time has seen every entry before.
 * Log time goes on from the last entry by the monotonic clock, slewed by the clock that a majority
 * has passed.  After a gap without a leader no hold expires for EXPIRY_PAUSE_US: whoever could not
 * reach us to confirm must have had a chance (since rules 8; before, a hold that was due could not
 * be confirmed although it was there).
 * Fails: only where the replica does. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "node/writer_inside.h"
#include "proto/codec.h"

#define GAP_US          SECOND_US       /* without an entry: longer is a gap */
#define EXPIRY_PAUSE_US (3 * SECOND_US)
#define REPLY_ARENA_MAX (64 * 1024)
#define YIELD_US        (5 * SECOND_US)
#define CATCH_UP_US     MINUTE_US       /* others keep the log for us so long after an install */
#define DOUBT_APART_MS  100             /* between two who ask for votes, their leader gone */
#define LOG_KEPT        20000           /* entries, for whoever lags behind a leader to be */

int64_t writer_wall_us(const struct writer *w, int64_t now_us)
{
    int64_t own_us = clock_wall_us();
#ifdef PLANT_OWN_CLOCK /* never defined but by tests/sim */
    return own_us;
#endif
    return w->peering ? peering_wall_us(w->peering, now_us, own_us) : own_us;
}

void writer_follow(struct writer *w)
{
    if (w->peering) {
        logtime_follow(&w->time, store_applied_time_us(w->store), clock_mono_us());
    }
}

/* By the clock that log time has just been set by: a barrier of Raft's own has no time. */
void writer_spare(struct writer *w, int64_t now_us)
{
    int64_t last_us = store_applied_time_us(w->store);
    bool is_gap = last_us > 0 && w->time.log_us - last_us > GAP_US;
    w->expire_after_us = is_gap ? now_us + EXPIRY_PAUSE_US : 0;
}

/* -- turned away ------------------------------------------------------------------------------- */

static void turn_away(struct writer *w, struct intake_batch *b, const char *leader)
{
    struct arena scratch; /* not the batch's: the reply must outlive it */
    struct reply_view reply = {.map_epoch = b->view.map_epoch, .is_turned_away = true,
                               .cluster = b->cluster,
                               .leader = {(const uint8_t *)leader, strlen(leader)}};
    struct span bytes;
    arena_init(&scratch, REPLY_ARENA_MAX);
    if (codec_reply_pack(&reply, &scratch, &bytes) < 0) {
        bytes = (struct span){0}; /* out of memory: the gateway's deadlines answer */
    }
    intake_reply(w->intake, b, bytes);
    arena_fini(&scratch);
}

void writer_turn_away(struct writer *w, struct list *batches)
{
    struct list *node;
    uint64_t leader = w->peering ? replica_leader(w->replica) : 0;
    const char *door = leader && leader != w->own.id ? peering_door(w->peering, leader) : "";
    while ((node = list_pull(batches)) != NULL) {
        turn_away(w, CONTAINER_OF(node, struct intake_batch, node), door);
    }
}

int writer_refuse(struct writer *w)
{
    struct list batches;
    list_init(&batches);
    intake_take_feeds(w->intake, &batches);
    writer_turn_away(w, &batches);
    while (intake_take(w->intake, &batches, ROUND_ITEMS_MAX, ROUND_BYTES) > 0) {
    }
    uint64_t wanted;
    bool is_alone = replica_leader(w->replica) == 0;
#ifdef PLANT_FOLLOWER_READS /* never defined but by tests/sim */
    is_alone = true;
#endif
    if (is_alone && !store_wants_state(w->store, &wanted)) {
        return err_trace(writer_snapshots(w, &batches));
    }
    writer_turn_away(w, &batches);
    return 0;
}

/* -- leading ----------------------------------------------------------------------------------- */

static void begin(struct writer *w)
{
    int64_t now_us = clock_mono_us();
    logtime_init(&w->time, logtime_advance(&w->time, writer_wall_us(w, now_us), now_us),
                 writer_wall_us(w, now_us), now_us);
    w->leads = true;
    w->led_term = replica_term(w->replica);
    w->proposed = store_applied_index(w->store);
    w->own_index = 0;
    writer_spare(w, now_us);
    log_event(LOG_SHARD_LEADS,
              LOG_FIELDS(LOG_NUMBER("term", w->led_term), LOG_NUMBER("index", w->proposed)),
              "shard: node %llu leads from entry %llu on", (unsigned long long)w->own.id,
              (unsigned long long)w->proposed);
}

static void end(struct writer *w)
{
    METRIC_ADD(shard_leaders_lost_total, 1);
    w->leads = false;
    log_event(LOG_SHARD_FOLLOWS,
              LOG_FIELDS(LOG_NUMBER("term", replica_term(w->replica)),
                         LOG_NUMBER("leader", replica_leader(w->replica))),
              "shard: node %llu leads no more; %zu rounds have no verdict here",
              (unsigned long long)w->own.id, w->rounds_count);
    writer_release_none(w);
    while (w->rounds_count > 0) {
        struct round *round = w->rounds[w->rounds_first];
        METRIC_ADD(shard_rounds_unknown_total, 1);
        writer_turn_away(w, &round->batches);
        round_reset(round);
        w->rounds_first = (w->rounds_first + 1) % ROUNDS_PENDING;
        w->rounds_count--;
    }
    feed_end(w->feed);
}

static void say_status(struct writer *w, int64_t now_us)
{
    struct store_stats stats;
    const char *program = w->options->program ? w->options->program : "";
    struct peering_status own = {.applied = store_applied_index(w->store),
                                 .durable = store_applied_durable(w->store),
                                 .log_time_us = store_applied_time_us(w->store),
                                 .rules = LEDGER_VERSION,
                                 .signs = signer_mark(w->signer),
                                 .room = (uint8_t)store_room(w->store)};
    uint64_t wanted;
    struct replica_want want;
    own.repairs = store_wants_state(w->store, &wanted);
    if (replica_wants(w->replica, &want)) {
        own.needs = want.index;
    } else if (w->installed_us > 0 && now_us - w->installed_us < CATCH_UP_US) {
        own.needs = store_log_last(w->store);
    }
    store_stats(w->store, &stats);
    own.disk_free_bytes = stats.disk_free_bytes;
    snprintf(own.program, sizeof own.program, "%s", program);
    pthread_mutex_lock(&w->lock);
    memcpy(own.door, w->door, sizeof own.door);
    pthread_mutex_unlock(&w->lock);
    peering_say_status(w->peering, &own, now_us);
}

/* The voter that has most of the log, among those who are reached and have so much room; 0:
 * nobody. */
static uint64_t successor(struct writer *w, enum store_room room)
{
    struct replica_member members[REPLICA_MEMBERS_MAX];
    size_t count = replica_members(w->replica, members);
    uint64_t best = 0, best_match = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t id = members[i].id, match = replica_match(w->replica, id);
        if (id != w->own.id && members[i].role == REPLICA_VOTER && match >= best_match &&
            peering_reaches(w->peering, id) && peering_room(w->peering, id) <= room) {
            best = id;
            best_match = match;
        }
    }
    return best;
}

/* A leader whose disk is full would refuse for all, one without a state cannot answer: somebody who
 * can shall lead. */
static void yield(struct writer *w, int64_t now_us)
{
    uint64_t wanted;
    bool is_lost = store_wants_state(w->store, &wanted);
    bool is_unfit = is_lost ? replica_is_ready(w->replica)
                            : w->leads && store_room(w->store) == STORE_ROOM_NONE;
    if (now_us < w->yield_at_us || !is_unfit) {
        return;
    }
    w->yield_at_us = now_us + YIELD_US;
    uint64_t to = successor(w, STORE_ROOM_OK);
    if (to && replica_transfer(w->replica, to) == 0) {
        log_event(LOG_SHARD_YIELDS, LOG_FIELDS(LOG_NUMBER("node", to)),
                  "shard: no %s here: node %llu shall lead", is_lost ? "state" : "room",
                  (unsigned long long)to);
    }
}

/* Hands leadership over, once; whoever waits for it hears when it is over. */
static void leave(struct writer *w)
{
    pthread_mutex_lock(&w->lock);
    bool is_due = w->is_leaving && !w->has_left;
    pthread_mutex_unlock(&w->lock);
    if (!is_due) {
        return;
    }
    w->leaves = true;
    bool has_left = !w->leads && !replica_is_leader(w->replica);
    if (!has_left && w->leaving_to == 0 && w->rounds_count == 0) {
        w->leaving_to = successor(w, STORE_ROOM_NONE);
        has_left = w->leaving_to == 0 || replica_transfer(w->replica, w->leaving_to) != 0;
    }
    if (has_left) {
        pthread_mutex_lock(&w->lock);
        w->has_left = true;
        pthread_cond_signal(&w->wake);
        pthread_mutex_unlock(&w->lock);
    }
}

/* It may take rounds again.  One that lost its state while it led still has entries of this term
 * under way, which hold later log times than the state that it got: those come first. */
static bool may_begin(const struct writer *w)
{
    uint64_t wanted, applied = store_applied_index(w->store);
    bool is_behind = w->led_term == replica_term(w->replica) && applied < w->proposed;
#ifdef PLANT_LEAD_BEHIND /* never defined but by tests/sim */
    is_behind = false;
#endif
    return !w->leads && !is_behind && replica_is_ready(w->replica) &&
           !store_wants_state(w->store, &wanted) && applied >= replica_committed(w->replica);
}

void writer_speak(struct writer *w)
{
    if (w->peering == NULL) {
        return;
    }
    int64_t now_us = clock_mono_us();
    peering_speak(w->peering);
    if (peering_status_is_due(w->peering, now_us)) {
        say_status(w, now_us);
    }
    bool is_same = replica_is_leader(w->replica) && replica_term(w->replica) == w->led_term;
    if (w->leads && !is_same) {
        end(w);
    }
    if (may_begin(w)) {
        begin(w);
    }
    leave(w);
    yield(w, now_us);
    METRIC_SET(shard_leader, w->leads);
    METRIC_SET(shard_term, replica_term(w->replica));
    METRIC_SET(shard_committed_index, replica_committed(w->replica));
}

static void close_book(struct writer *w)
{
    CHECK(w->rounds_count == 0);
    ledger_free(w->ledger);
    w->ledger = NULL;
    replay_fini(&w->replay);
}

static int open_book(struct writer *w)
{
    int r = ledger_new(store_book(w->store), &w->ledger);
    replay_init(&w->replay, w->store, w->replica, w->ledger);
    return r;
}

int writer_lose(struct writer *w)
{
    const char *text = store_damaged(w->store);
    log_event(LOG_SHARD_DAMAGED, NULL, "shard: %s", text);
    w->why = text;
    if (w->peering == NULL) {
        return err_origin(-EBADMSG);
    }
    if (w->leads) {
        end(w);
    }
    close_book(w);
    int r = store_lose_state(w->store);
    if (r) {
        return r > 0 ? err_origin(-EBADMSG) : err_trace(r);
    }
    w->why = NULL;
    return err_fold(open_book(w));
}

/* Another replica's state instead of ours: the ledger reads it from the beginning. */
static int install(struct writer *w)
{
    close_book(w);
    int r = peering_install(w->peering);
    r = r ? r : open_book(w);
    if (r == LEDGER_E_VERSION) {
        w->why = "the state that it got was written by newer rules; use the newer program";
    }
    if (r == 0) {
        w->installed_us = clock_mono_us();
        writer_follow(w);
    }
    return err_fold(r);
}

/* What of the log others may still need: a leader knows, a follower may come to lead. */
static void keep_log(struct writer *w)
{
    struct replica_member members[REPLICA_MEMBERS_MAX];
    uint64_t committed = replica_committed(w->replica);
    uint64_t from = committed > LOG_KEPT ? committed - LOG_KEPT : 1;
    size_t count = w->leads ? replica_members(w->replica, members) : 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t match = replica_match(w->replica, members[i].id);
        if (members[i].id != w->own.id && match < from) {
            from = match + 1;
        }
    }
    store_log_floor(w->store, from);
    uint64_t needs = peering_needs(w->peering, clock_mono_us());
    uint64_t told = replica_told(w->replica);
    store_log_hold(w->store, told > 0 && told < needs ? told : needs);
}

/* A leader whose process ended is known to be gone as soon as its connections are; its silence is
 * believed after 300 to 600 ms only, for it may be a slow disk's.  The others see it, too: they ask
 * one after another, in the order of their numbers, so that votes are not split. */
static void doubt_leader(struct writer *w, int64_t now_us)
{
    struct replica_member members[REPLICA_MEMBERS_MAX];
    uint64_t leader = replica_leader(w->replica);
    if (w->leads || leader == 0 || !peering_is_gone(w->peering, leader, now_us)) {
        return;
    }
    uint32_t before = 0;
    size_t count = replica_members(w->replica, members);
    for (size_t i = 0; i < count; i++) {
        before += members[i].id < w->own.id && members[i].id != leader &&
                  members[i].role == REPLICA_VOTER;
    }
    replica_doubt(w->replica, now_us / 1000, before * DOUBT_APART_MS);
}

int writer_hear(struct writer *w)
{
    if (w->peering == NULL) {
        return 0;
    }
    keep_log(w);
    doubt_leader(w, clock_mono_us()); /* before a vote is asked for: it may be ours to give */
    int r = peering_hear(w->peering, clock_mono_us());
    if (r == PEERING_E_STATE) {
        return err_trace(install(w));
    }
    if (r == PEERING_E_DISK) {
        w->why = "the other nodes know this id with another disk: it was lost, or another node has "
                 "the id; remove it from the cluster and add a new id with an empty directory";
    } else if (r == PEERING_E_DIFFERS) {
        w->why = "most replicas have another state than this one; remove this node and add it as a "
                 "new one with an empty directory";
    }
    return r > 0 ? err_origin(-ENOTRECOVERABLE) : err_trace(r);
}

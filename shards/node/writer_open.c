/* SPDX-License-Identifier: MIT */
/* The writer's thread: opening what it owns, replaying, its end.
 * Owns: the thread.  Everything else is opened, used and closed on it (LMDB wants it so).
 * happy path: key, store, badge, replica, ledger, replay; then rounds (writer.c); then all closed.
 * Fails while opening: a verdict of node.h with its text.  Later: the trail is printed, nothing is
 * answered any more, and options.fatal (or _exit) ends the process. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "node/writer_inside.h"

#define PROBE_MS     500       /* is our own address somebody else's?  Each of two steps */
#define HAND_OVER_US SECOND_US /* for another replica to lead before this one stops */

static void writer_flushed(void *user)
{
    struct writer *w = user;
    intake_wake(w->intake);
}

/* The same members make the same cluster: nobody has to hand an id around. */
static void writer_name_cluster(const struct node_options *o, uint8_t ret_id[16])
{
    XXH3_state_t *state = XXH3_createState();
    XXH3_128bits_reset(state);
    for (size_t i = 0; i < o->members_count; i++) {
        XXH3_128bits_update(state, &o->members[i].id, sizeof o->members[i].id);
        XXH3_128bits_update(state, o->members[i].address, strlen(o->members[i].address) + 1);
    }
    XXH128_canonical_t id;
    XXH128_canonicalFromHash(&id, XXH3_128bits_digest(state));
    XXH3_freeState(state);
    memcpy(ret_id, id.digest, sizeof id.digest);
}

static int writer_open_badge(struct writer *w)
{
    static const uint8_t none[16];
    const struct node_options *o = w->options;
    struct badge wanted = {.id = o->id ? o->id : 1, .is_alone = o->id == 0, .joins = o->joins};
    memcpy(wanted.cluster_id, o->cluster_id, sizeof wanted.cluster_id);
    if (o->members_count > 0 && memcmp(o->cluster_id, none, sizeof none) == 0) {
        writer_name_cluster(o, wanted.cluster_id);
    }
    int r = badge_open(o->data_dir, &wanted, &w->own, w->text);
    return r > 0 ? NODE_E_STORE : err_trace(r);
}

static int writer_open_store(struct writer *w)
{
    struct store_options options = {
        .dir = w->options->data_dir,
        .log_map_bytes = w->options->log_map_bytes,
        .state_map_bytes = w->options->state_map_bytes,
        .overlay_max_bytes = w->options->overlay_max_bytes,
        .warm_bytes = w->options->warm_bytes,
        .log_keep_entries = w->options->log_keep_entries,
        .disk_reserve_bytes = w->options->disk_reserve_bytes,
        .repairs = !w->own.is_alone,
        .disk = w->own.is_alone ? 0 : w->own.disk,
        .was_used = w->own.peers_count > 0, /* whoever has heard others may have promised */
        .scrub_interval_us = w->options->scrub_interval_us,
        .flushed = writer_flushed,
        .damaged = writer_flushed,
        .user = w,
    };
    memcpy(options.cluster_id,
           w->own.is_alone ? w->options->cluster_id : w->own.cluster_id,
           sizeof options.cluster_id);
    uint64_t index;
    int r = store_open(&options, &w->store, w->text);
    if (r == 0 && store_wants_state(w->store, &index)) {
        /* Behind the semicolon stands what to do where there is no peer. */
        log_event(LOG_SHARD_DAMAGED, NULL, "shard: %.*s: a peer's state is fetched",
                  (int)strcspn(w->text, ";"), w->text);
    } else if (r == 0 && store_log_repaired(w->store)) {
        log_event(LOG_LOG_REPAIRED, NULL, "shard: %s", w->text);
    }
    if (r == 0) {
        uint8_t id[16];
        store_cluster_id(w->store, id);
        intake_belong(w->intake, bytes_load64(id));
    }
    return r > 0 ? NODE_E_STORE : err_trace(r);
}

static int writer_open_replica(struct writer *w)
{
    const struct node_options *o = w->options;
    struct replica_member members[REPLICA_MEMBERS_MAX] = {0};
    CHECK(o->members_count <= REPLICA_MEMBERS_MAX);
    for (size_t i = 0; i < o->members_count; i++) {
        members[i].id = o->members[i].id;
        members[i].role = REPLICA_VOTER;
        snprintf(members[i].address, sizeof members[i].address, "%s", o->members[i].address);
    }
    struct replica_store_options options = {.store = w->store, .dir = o->data_dir, .own = &w->own,
                                            .members = members,
                                            .election_ms = o->election_ms,
                                            .members_count = w->own.joins ? 0 : o->members_count};
    int r = replica_store_open(&options, &w->log, &w->replica, w->text);
    return r == REPLICA_E_STATE ? NODE_E_STORE : err_trace(r);
}

/* Where we listen elsewhere than at our address, nothing but asking tells that somebody else has
 * it: the others would not hear us, and could not tell us either. */
static bool writer_is_taken(struct writer *w, const struct peering_options *o)
{
    if (o->address == NULL || strcmp(o->address, o->listen_url) == 0 ||
        !peers_probe(o->address, PROBE_MS)) {
        return false;
    }
    snprintf(w->text, 256, "another node answers at %.100s, this node's own address: two have "
             "number %llu or that address; correct --id, --peer or shard.peers_address",
             o->address, (unsigned long long)w->own.id);
    return true;
}

/* A folder of another cluster: its members stand in its log, and nobody of ours would hear it.  A
 * list that names other nodes may be newer than the folder; one that has a node elsewhere cannot
 * be, since no address ever changes. */
static int writer_check_cluster(struct writer *w)
{
    const struct node_options *o = w->options;
    struct replica_member members[REPLICA_MEMBERS_MAX];
    uint8_t wanted[16];
    char hex[33];
    size_t count = replica_members(w->replica, members);
    memcpy(wanted, o->cluster_id, sizeof wanted);
    if (o->members_count > 0) {
        writer_name_cluster(o, wanted);
    }
    if (w->own.is_alone || memcmp(wanted, w->own.cluster_id, sizeof wanted) == 0) {
        return 0;
    }
    for (size_t i = 0; i < sizeof wanted; i++) {
        snprintf(hex + 2 * i, 3, "%02x", w->own.cluster_id[i]);
    }
    for (size_t i = 0; i < o->members_count; i++) {
        for (size_t k = 0; k < count; k++) {
            if (o->members[i].id == members[k].id &&
                strcmp(o->members[i].address, members[k].address) != 0) {
                snprintf(w->text, 256, "this directory belongs to cluster %s, where node %llu is "
                         "at %.80s: use the --peer list it was made with, or another directory",
                         hex, (unsigned long long)members[k].id, members[k].address);
                return NODE_E_STORE;
            }
        }
    }
    if (o->joins) {
        snprintf(w->text, 256, "%.120s belongs to cluster %s: --join that one, or use another "
                 "directory", o->data_dir, hex);
        return NODE_E_STORE;
    }
    return 0;
}

static int writer_open_peering(struct writer *w)
{
    const struct node_options *o = w->options;
    const char *own = NULL;
    w->leads = w->own.is_alone;
    if (w->own.is_alone) {
        return 0;
    }
    for (size_t i = 0; i < o->members_count; i++) {
        own = o->members[i].id == o->id ? o->members[i].address : own;
    }
    struct peering_options options = {.dir = o->data_dir,
                                      .listen_url = o->peers_url ? o->peers_url : own,
                                      .address = o->address ? o->address : own,
                                      .own = &w->own, .replica = w->replica, .store = w->store,
                                      .arrived = writer_flushed, .user = w};
    CHECK(options.listen_url != NULL);
    if (writer_is_taken(w, &options)) {
        return NODE_E_PEERS;
    }
    memcpy(options.cluster_id, w->own.cluster_id, sizeof options.cluster_id);
    int r = peering_open(&options, &w->peering, w->text);
    return r > 0 ? NODE_E_PEERS : err_trace(r);
}

static int writer_replay(struct writer *w)
{
    uint64_t damaged = 0;
    uint64_t first = store_applied_index(w->store) + 1;
    uint64_t last = replica_committed(w->replica);
    int64_t start_us = clock_mono_us();
    replay_init(&w->replay, w->store, w->replica, w->ledger);
    /* The state may be ahead of what is known to be committed: one of several voters learns that
     * from its leader.  One that does not belong to its log was refused by the store. */
    uint64_t wanted;
    int r = store_wants_state(w->store, &wanted) ? 0 : replay_run(&w->replay, &damaged);
    if (store_wants_state(w->store, &wanted)) {
        return 0;
    }
    if (r > 0) {
        snprintf(w->text, 256, "%s: log entry %llu is missing or damaged; restore from a backup",
                 w->options->data_dir, (unsigned long long)damaged);
        return NODE_E_STORE;
    }
    if (r == 0 && last >= first) {
        log_event(LOG_SHARD_REPLAYED, LOG_FIELDS(LOG_NUMBER("index", last)),
                  "shard: replayed %llu entries in %lld ms", (unsigned long long)(last + 1 - first),
                  (long long)(clock_mono_us() - start_us) / 1000);
    }
    return err_trace(r);
}

int writer_open(struct writer *w)
{
    list_init(&w->held);
    int r = signer_open(w->options->signing_key, &w->signer, w->text);
    r = r == SIGNER_E_KEY ? NODE_E_KEY : err_fold(r);
    r = r ? r : writer_open_badge(w);
    r = r ? r : writer_open_store(w);
    r = r ? r : writer_open_replica(w);
    r = r ? r : writer_check_cluster(w);
    if (r) {
        return err_trace(r);
    }
    r = ledger_new(store_book(w->store), &w->ledger);
    if (r == LEDGER_E_VERSION) {
        snprintf(w->text, 256, "%s: written by newer rules than this program's (version %d); "
                 "use the newer program", w->options->data_dir, LEDGER_VERSION);
        return NODE_E_VERSION;
    }
    r = r ? err_fold(r) : writer_replay(w);
    r = r ? r : err_fold(answers_new(w->signer, &w->answers));
    const struct node_options *o = w->options;
    r = r ? r : err_fold(budget_new(o->scarce_reads, o->scarce_burst, &w->budget));
    r = r ? r : err_fold(poll_new(o->ticket_burst, &w->poll));
    r = r ? r : err_fold(feed_new(w->intake, &w->feed));
    for (size_t i = 0; i < ROUNDS_PENDING && r == 0; i++) {
        r = err_fold(round_new(&w->rounds[i]));
    }
    r = r ? r : writer_open_peering(w);
    if (r) {
        return err_trace(r);
    }
    int64_t now_us = clock_mono_us();
    w->proposed = replica_committed(w->replica);
    /* Among others it is a majority's clock that may move log time, once there is a leader. */
    int64_t applied_us = store_applied_time_us(w->store);
    logtime_init(&w->time, applied_us, w->peering ? applied_us : clock_wall_us(), now_us);
    if (w->own.is_alone) {
        writer_spare(w, now_us);
    }
    credit_init(&w->credit, now_us);
    return 0;
}

void writer_close(struct writer *w)
{
    peering_close(w->peering);
    for (size_t i = 0; i < ROUNDS_PENDING; i++) {
        round_free(w->rounds[i]);
    }
    answers_free(w->answers);
    budget_free(w->budget);
    poll_free(w->poll);
    signer_close(w->signer);
    feed_free(w->feed);
    replay_fini(&w->replay);
    ledger_free(w->ledger);
    replica_free(w->replica);
    replica_store_free(w->log);
    store_close(w->store);
}

/* Nothing may be answered any more, and nothing on the disk is touched again: store and ledger stay
 * as they are until the process ends. */
static void writer_fail(struct writer *w, int r)
{
    log_event(LOG_SHARD_ENDS, NULL, "shard: cannot go on: %s%s", w->why ? w->why : strerror(-r),
              w->why ? "" : "; ending, the log will be replayed");
    err_print(stderr);
    intake_die(w->intake);
    if (w->options->fatal == NULL) {
        _exit(1);
    }
    w->options->fatal(w->options->user);
}

static void writer_started(struct writer *w, int status)
{
    pthread_mutex_lock(&w->lock);
    w->is_started = true;
    w->status = status;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

static void *writer_main(void *arg)
{
    struct writer *w = arg;
    int r = writer_open(w);
    if (r) {
        if (r < 0) {
            err_print(stderr); /* this thread's trail: the caller cannot see it */
        }
        writer_close(w);
        writer_started(w, r);
        return NULL;
    }
    writer_started(w, 0);
    r = writer_run(w);
    if (r) {
        writer_fail(w, r);
    } else {
        writer_close(w);
    }
    return NULL;
}

int writer_start(const struct node_options *options, struct intake *intake,
                 struct writer **ret_writer, char *ret_text)
{
    struct writer *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return err_origin(-ENOMEM);
    }
    w->options = options;
    w->intake = intake;
    w->text = ret_text;
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->wake, &attr);
    pthread_condattr_destroy(&attr);
    int r = pthread_create(&w->thread, NULL, writer_main, w);
    if (r) {
        free(w);
        return err_origin(-r);
    }
    pthread_mutex_lock(&w->lock);
    while (!w->is_started) {
        pthread_cond_wait(&w->wake, &w->lock);
    }
    r = w->status;
    pthread_mutex_unlock(&w->lock);
    if (r) {
        writer_stop(w);
        return r < 0 ? err_origin(r) : r;
    }
    *ret_writer = w;
    return 0;
}

void writer_stop(struct writer *w)
{
    if (w == NULL) {
        return;
    }
    pthread_join(w->thread, NULL);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->wake);
    free(w);
}

void writer_set_door(struct writer *w, const char *url)
{
    pthread_mutex_lock(&w->lock);
    snprintf(w->door, sizeof w->door, "%s", url);
    pthread_mutex_unlock(&w->lock);
}

void writer_hand_over(struct writer *w)
{
    if (w == NULL || w->peering == NULL) {
        return;
    }
    int64_t until_us = clock_mono_us() + HAND_OVER_US;
    struct timespec until = {until_us / SECOND_US, until_us % SECOND_US * 1000};
    int r = 0;
    pthread_mutex_lock(&w->lock);
    w->is_leaving = true;
    pthread_mutex_unlock(&w->lock);
    intake_wake(w->intake);
    pthread_mutex_lock(&w->lock);
    while (!w->has_left && r == 0) {
        r = pthread_cond_timedwait(&w->wake, &w->lock, &until);
    }
    pthread_mutex_unlock(&w->lock);
}

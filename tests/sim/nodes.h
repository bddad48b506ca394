/* SPDX-License-Identifier: MIT */
/* Nodes of the world and what is checked of each: shared by sim.c (seeds), directed.c (scenarios)
 * and city.c (the whole city).  What applies is the writer in the city, apply.h in the others. */
#ifndef FAIRSLOT_TESTS_SIM_NODES_H
#define FAIRSLOT_TESTS_SIM_NODES_H

#include "tests/sim/world.h"

static struct replica_member member_of(size_t i)
{
    struct replica_member m = {.id = i + 1, .role = REPLICA_VOTER};
    snprintf(m.address, sizeof m.address, "n%zu", i + 1);
    return m;
}

/* By its own clock: at a rate of its own in the city, w.now_ms else. */
static int64_t node_now_ms(const struct node *n)
{
    return w.now_ms + w.now_ms * n->drift_ppm / 1000000;
}

/* The replica of a node, from its disk.  0 or not. */
static int node_boot(struct node *n)
{
    struct replica_member members[NODES_MAX];
    for (size_t i = 0; i < w.first_count; i++) {
        members[i] = member_of(i);
    }
    struct replica_options options = {
        .id = n->id, .members = members,
        .members_count = n->id <= w.first_count ? w.first_count : 0,
        .election_ms = 150, .heartbeat_ms = 30, .seed = (uint32_t)prng_next(&w.prng) | 1,
        .now_ms = node_now_ms(n),
        .log = {n, log_first, log_last, log_append, log_truncate, log_set_vote, log_vote,
                log_commit, log_read, log_durable, log_keep, log_members}};
    int r = replica_new(&options, &n->replica);
    return r ? r : replica_start(n->replica);
}

static void node_begin(struct node *n)
{
    n->applied = n->durable;
    n->applied_term = n->durable_term;
    n->state = n->durable_state;
    n->seen = 0;
    n->led_term = 0;
    n->want_ms = 0;
    n->is_up = true;
    if (w.hooks ? w.hooks->start(n) : node_boot(n)) {
        violate("a node did not start");
        n->is_up = false;
    }
}

/* A granted vote (kind 4, flag 1, no pre-vote): only one candidate a term gets ours. */
static void see_vote(uint64_t from, uint64_t to, struct span bytes)
{
    struct reader in = reader_of(bytes.ptr, bytes.len);
    reader_u8(&in);
    uint8_t kind = reader_u8(&in);
    reader_u64(&in);
    uint64_t term = reader_u64(&in);
    uint8_t flags = reader_u8(&in);
    if (kind == 4 && flags == 1 && term < TERMS_MAX) {
        uint64_t *vote = &w.votes[term][from];
        if (*vote && *vote != to) {
            violate("one node gave two votes in one term");
        }
        *vote = to;
    }
}

static void see_leader(struct node *n)
{
    uint64_t term = replica_term(n->replica);
    if (!replica_is_leader(n->replica) || n->led_term == term || term >= TERMS_MAX) {
        return;
    }
    n->led_term = term;
    if (w.leaders[term]) { /* by another, or by itself in an earlier life */
        violate("election safety: a term was led twice");
    }
    w.leaders[term] = n->id;
    for (uint64_t i = n->live.base + 1; i <= w.truths_count; i++) {
        bool has = i <= log_last(n) && n->live.recs[i - 1].hash == w.truths[i - 1].hash;
        if (!has && w.truths[i - 1].term < term) {
            violate("leader completeness: a new leader lacks a committed entry");
        }
    }
}

/* What was committed stays so. */
static void see_committed(struct node *n)
{
    uint64_t committed = replica_committed(n->replica);
    if (committed < n->seen) {
        violate("the commit index went back");
    }
    n->seen = committed;
}

/* The entry at the next index is applied: it is durable here, and the same everywhere. */
static void see_applied(struct node *n, uint64_t index, uint64_t term)
{
    uint64_t hash = n->live.recs[index - 1].hash;
    if (index > n->clean) {
        violate("applied before it was durable here");
    }
    if (index > w.truths_count) {
        if (w.truths_count == w.truths_cap) {
            w.truths_cap = w.truths_cap ? w.truths_cap * 2 : 1024;
            w.truths = realloc(w.truths, w.truths_cap * sizeof *w.truths);
        }
        w.truths[w.truths_count++] = (struct truth){hash, replica_term(n->replica),
                                                    mix64(n->state, hash)};
    } else if (w.truths[index - 1].hash != hash) {
        violate("state machine safety: two entries applied at one index");
    }
    n->state = mix64(n->state, hash);
    n->applied = index;
    n->applied_term = term;
    if (w.truths[index - 1].state != n->state) {
        violate("states differ at one index");
    }
}

/* What is applied is durable from now on. */
static void node_flush(struct node *n)
{
    n->durable = n->applied;
    n->durable_term = n->applied_term;
    n->durable_state = n->state;
}

/* Whoever has a state at that index or later: who told us, or anybody; NULL: nobody. */
static struct node *node_source(uint64_t first, uint64_t index)
{
    struct node *from = &w.nodes[first - 1];
    for (size_t i = 0; i < w.nodes_count && (!from->is_up || from->applied < index); i++) {
        from = &w.nodes[i];
    }
    return from->is_up && from->applied >= index ? from : NULL;
}

/* The state of another one, durable. */
static void node_copy(struct node *n, const struct node *from)
{
    n->applied = n->durable = from->applied;
    n->applied_term = n->durable_term = from->applied_term;
    n->state = n->durable_state = from->state;
}

/* One commit: the log begins behind what is wanted. */
static void node_rebase(struct node *n, const struct replica_want *want)
{
    n->live.base = want->index;
    n->live.base_term = want->term;
    n->live.count = 0;
    log_room(&n->live, want->index + 1);
    log_copy(&n->disk, &n->live, 0);
    n->clean = want->index;
}

/* Nothing is known of any other seed. */
static void world_begin(uint64_t seed)
{
    memset(&w.nodes, 0, sizeof w.nodes);
    w.seed = seed;
    prng_init(&w.prng, seed);
    w.now_ms = 1000;
    w.steps = w.order = w.number = 0;
    w.heap_count = w.truths_count = 0;
    w.trace = seed;
    w.is_healed = w.had_members = false;
    w.violation = NULL;
    memset(w.link_ms, 0, sizeof w.link_ms);
    memset(w.is_cut, 0, sizeof w.is_cut);
    memset(w.leaders, 0, sizeof w.leaders);
    memset(w.votes, 0, sizeof w.votes);
    memset(w.table, 0, w.table_used * sizeof w.table[0]);
    w.table_used = 0;
    for (size_t i = 0; i < NODES_MAX; i++) {
        w.nodes[i].id = i + 1;
    }
}

static void world_end(void)
{
    for (size_t i = 0; i < w.nodes_count; i++) {
        replica_free(w.nodes[i].replica);
        free(w.nodes[i].live.recs);
        free(w.nodes[i].disk.recs);
    }
    while (w.heap_count > 0) {
        free(w.heap[--w.heap_count].bytes);
    }
    while (w.pool_count > 0) {
        free(w.pool[--w.pool_count]);
    }
}

#endif

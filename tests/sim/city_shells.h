/* SPDX-License-Identifier: MIT */
/* What the shells of a shard do in the city: store, peers, rpc, badge, fetch, clocks.
 * Everything above them is what is shipped: the writer with all that it calls (writer*.c, round.c,
 * answers.c, intake.c, peering.c, cluster*.c, replica*.c ...), linked as it is.  These functions
 * have the names of their headers, so the linker takes them instead of LMDB, nng and the kernel.
 *
 * `here` is the node that has the floor.  Before each thing that could be seen from outside its
 * fuse burns: at its end the node is dead, and nothing of it is seen any more; the writer runs on
 * to the end of its step as a process would that has not noticed. */
#ifndef FAIRSLOT_TESTS_SIM_CITY_SHELLS_H
#define FAIRSLOT_TESTS_SIM_CITY_SHELLS_H

#include <stdarg.h>

#include "tests/sim/city_audit.h"

#define KIND_RAFT   1 /* as peering.c has them */
#define KIND_STATUS 2
#define RULES_AT    25 /* in a status: version u8, three u64 */

static struct shard *floor_of(void)
{
    return shard_of(here);
}

static bool effect(void)
{
    struct shard *s = floor_of();
    if (s->fuse > 0 && --s->fuse == 0) {
        s->is_dead = true;
    }
    return !s->is_dead;
}

/* -- clocks ------------------------------------------------------------------------------------ */

int64_t clock_mono_us(void)
{
    return node_now_ms(here) * 1000;
}

int64_t clock_wall_us(void)
{
    return EPOCH_US + w.now_ms * 1000 + floor_of()->skew_us;
}

void clock_random(void *out, size_t n)
{
    uint8_t *bytes = out;
    for (size_t i = 0; i < n; i++) {
        bytes[i] = (uint8_t)prng_next(&w.prng);
    }
}

void log_event(enum log_event event, const struct log_field *fields, const char *format, ...)
{
    (void)event;
    (void)fields;
    if (c.is_loud) {
        va_list args;
        va_start(args, format);
        printf("# %lld ms, node %llu: ", (long long)w.now_ms, (unsigned long long)here->id);
        vprintf(format, args);
        printf("\n");
        va_end(args);
    }
}

/* -- store ------------------------------------------------------------------------------------- */

int store_open(const struct store_options *options, struct store **ret_store, char *ret_text)
{
    (void)options;
    (void)ret_text;
    *ret_store = (struct store *)here;
    return 0;
}

void store_close(struct store *s)
{
    (void)s;
}

static struct node *node_of(const struct store *s)
{
    return (struct node *)(uintptr_t)s;
}

uint64_t store_log_last(const struct store *s)
{
    return log_last(node_of(s));
}

const struct book *store_book(struct store *s)
{
    return &shard_of(node_of(s))->book.book;
}

void store_applied(struct store *store, uint64_t index, uint64_t term, int64_t log_time_us)
{
    struct node *n = node_of(store);
    struct shard *s = shard_of(n);
    if (index != n->applied + 1) {
        violate("entries were applied out of order");
        return;
    }
    see_committed(n);
    if (index > n->seen) {
        violate("applied what is not committed");
        return;
    }
    n->is_ahead = false;
    see_applied(n, index, term);
    see_effects(s, index, log_time_us);
    s->applied_us = c.log_us[index - 1];
}

uint64_t store_applied_index(const struct store *s)
{
    return node_of(s)->applied;
}

int64_t store_applied_time_us(const struct store *s)
{
    return shard_of(node_of(s))->applied_us;
}

uint64_t store_applied_effects(const struct store *s)
{
    return shard_of(node_of(s))->book.effects;
}

uint64_t store_applied_durable(const struct store *s)
{
    return node_of(s)->durable;
}

int store_flush(struct store *s)
{
    book_flushed(&shard_of(node_of(s))->book);
    node_flush(node_of(s));
    return 0;
}

int store_turn(struct store *s)
{
    return effect() && chance(store_overlay_full(s) ? 300 : 20) ? store_flush(s) : 0;
}

bool store_overlay_full(const struct store *s)
{
    const struct node *n = node_of(s);
    return c.mix.overlay && n->applied - n->durable > c.mix.overlay;
}

int64_t store_turn_in_us(const struct store *s)
{
    const struct node *n = node_of(s);
    return n->applied > n->durable ? SECOND_US / 20 : INT64_MAX;
}

enum store_room store_room(struct store *s)
{
    return shard_of(node_of(s))->room;
}

bool store_log_repaired(const struct store *s)
{
    (void)s;
    return false;
}

void store_stats(struct store *s, struct store_stats *ret_stats)
{
    (void)s;
    *ret_stats = (struct store_stats){.disk_free_bytes = 1u << 30};
}

void store_cluster_id(const struct store *s, uint8_t ret_id[16])
{
    (void)s;
    memset(ret_id, 0, 16);
}

void store_log_floor(struct store *s, uint64_t index)
{
    node_of(s)->floor = index;
}

void store_log_hold(struct store *s, uint64_t index)
{
    node_of(s)->hold = index == UINT64_MAX ? 0 : index;
}

const char *store_damaged(struct store *s)
{
    return shard_of(node_of(s))->is_damaged ? "a bit has flipped" : NULL;
}

bool store_wants_state(const struct store *s, uint64_t *ret_index)
{
    const struct node *n = node_of(s);
    *ret_index = n->live.base > 0 ? n->live.base : 1;
    return shard_of(n)->is_lost;
}

/* An empty state stands in for the damaged one. */
int store_lose_state(struct store *store)
{
    struct node *n = node_of(store);
    struct shard *s = shard_of(n);
    bool is_strict = s->book.m.is_strict;
    if (s->is_lost) {
        return STORE_E_DAMAGED;
    }
    book_fini(&s->book);
    book_init(&s->book, is_strict);
    n->applied = n->durable = n->applied_term = n->durable_term = 0;
    n->state = n->durable_state = 0;
    s->applied_us = 0;
    s->is_damaged = n->is_ahead = false;
    s->is_lost = true;
    return 0;
}

/* -- a state from another one ------------------------------------------------------------------ */

int fetch_new(const struct fetch_options *options, struct fetch **ret_fetch)
{
    *ret_fetch = (struct fetch *)(void *)options->store;
    return 0;
}

void fetch_free(struct fetch *f)
{
    (void)f;
}

int fetch_hear(struct fetch *f, uint64_t from, uint8_t kind, struct span body, int64_t now_us)
{
    (void)f;
    (void)from;
    (void)kind;
    (void)body;
    (void)now_us;
    return FETCH_E_MESSAGE;
}

/* Comes over in one go, now and then. */
int fetch_turn(struct fetch *f, const struct replica_member *members, size_t count, int64_t now_us)
{
    struct node *n = (struct node *)(void *)f;
    struct shard *s = shard_of(n);
    struct replica_want want = {.from = n->id};
    (void)members;
    (void)now_us;
    bool is_wanted = replica_wants(n->replica, &want) ||
                     (count > 0 && store_wants_state((struct store *)n, &want.index));
    if (!is_wanted || !(w.is_healed || chance(100))) {
        return 0;
    }
    s->source = node_source(want.from, want.index);
    return s->source && s->source != n && effect() ? FETCH_E_READY : 0;
}

/* As the store sees it when it opens: the entry where its state stands is not in its log. */
static bool is_ahead(const struct node *n)
{
    return n->applied > n->live.base + n->live.count ||
           (n->applied > n->live.base &&
            term_of(n->live.recs[n->applied - 1].word) != term_of(n->applied_term));
}

static void take_state(struct node *n, const struct node *from)
{
    struct shard *s = shard_of(n);
    book_copy(&s->book, &shard_of(from)->book);
#ifdef PLANT_SNAPSHOT_FORGETS /* never defined but by tests, as every PLANT_ here */
    uint8_t bytes[BOOK_KEY_MAX] = {0};
    struct span key, value, start = {bytes, 1};
    while (s->book.m.book.next(&s->book.m, start, true, &key, &value) == 0) {
        memcpy(bytes, key.ptr, key.len);
        start = (struct span){bytes, key.len};
        if (key.len > 16 && bytes[16] == 'R') {
            s->book.m.book.del(&s->book.m, start);
            break;
        }
    }
#endif
    node_copy(n, from);
    s->applied_us = c.log_us[from->applied - 1];
    s->is_lost = false;
}

int fetch_install(struct fetch *f)
{
    struct node *n = (struct node *)(void *)f;
    struct replica_want want;
    bool is_wanted = replica_wants(n->replica, &want);
    if (!effect()) {
        return -EIO;
    }
    if (!is_wanted || n->applied < shard_of(n)->source->applied) {
        take_state(n, shard_of(n)->source);
    }
    if (is_wanted) {
        node_rebase(n, &want);
    }
    n->is_ahead = is_ahead(n);
    return is_wanted ? replica_installed(n->replica) : 0;
}

/* -- who it is, and its replica ---------------------------------------------------------------- */

int badge_open(const char *dir, const struct badge *wanted, struct badge *ret_badge,
               char *ret_text)
{
    (void)dir;
    (void)ret_text;
    *ret_badge = *wanted;
    ret_badge->disk = wanted->id * 1000 + 1;
    return 0;
}

int badge_meet(struct badge *own, const char *dir, uint64_t id, uint64_t disk,
               enum badge_view *ret_view)
{
    (void)own;
    (void)dir;
    *ret_view = disk == id * 1000 + 1 ? BADGE_KNOWN : BADGE_OTHER;
    return 0;
}

int replica_store_open(const struct replica_store_options *options,
                       struct replica_store **ret_store, struct replica **ret_replica,
                       char *ret_text)
{
    (void)options;
    (void)ret_text;
    *ret_store = NULL;
    int r = node_boot(here);
    *ret_replica = here->replica;
    return r;
}

void replica_store_free(struct replica_store *s)
{
    (void)s;
}

/* -- peers ------------------------------------------------------------------------------------- */

int peers_open(const struct peers_options *options, struct peers **ret_peers)
{
    (void)options;
    *ret_peers = (struct peers *)(void *)here;
    return 0;
}

void peers_close(struct peers *p)
{
    (void)p;
}

void peers_set(struct peers *p, const struct peers_member *members, size_t count)
{
    (void)p;
    (void)members;
    (void)count;
}

bool peers_connected(struct peers *p, uint64_t id)
{
    struct node *n = (struct node *)(void *)p;
    return id <= w.nodes_count && w.nodes[id - 1].is_up && !w.is_cut[n->id][id];
}

bool peers_is_twice(struct peers *p, uint64_t id)
{
    (void)p;
    (void)id;
    return false;
}

bool peers_probe(const char *url, int wait_ms)
{
    (void)url;
    (void)wait_ms;
    return false;
}

/* One ordered stream a peer: kind u8, the sender's wall clock, the body. */
bool peers_send(struct peers *p, uint64_t to, uint8_t kind, struct span body)
{
    struct node *n = (struct node *)(void *)p;
    int64_t wall_us = clock_wall_us();
    if (!effect()) {
        return true;
    }
    w.trace = mix64(mix64(w.trace, (uint64_t)w.now_ms << 8 | n->id << 4 | to),
                    XXH3_64bits(body.ptr, body.len) + kind);
    if (kind == KIND_RAFT) {
        see_vote(n->id, to, body);
    }
    if (to > w.nodes_count || w.is_cut[n->id][to] || is_lost()) {
        return false;
    }
    int64_t at_ms = w.now_ms + delay();
    at_ms = at_ms < w.link_ms[n->id][to] ? w.link_ms[n->id][to] : at_ms;
    w.link_ms[n->id][to] = at_ms;
    uint8_t *bytes = malloc(body.len + 9);
    bytes[0] = kind;
    memcpy(bytes + 1, &wall_us, 8);
    memcpy(bytes + 9, body.ptr, body.len);
    if (kind == KIND_STATUS) { /* what an older program would say */
        struct scribe out = scribe_of(bytes + 9 + RULES_AT, 4);
        scribe_u32(&out, shard_of(n)->rules);
    }
    heap_push((struct message){at_ms, w.order++, n->id, to, bytes, body.len + 9, TO_REPLICA});
    return true;
}

/* What came over the network, until the writer takes it. */
static void peers_put(struct node *n, struct message *m)
{
    struct peers_message *x = calloc(1, sizeof *x);
    x->from = m->from;
    x->disk = m->from * 1000 + 1;
    x->kind = m->bytes[0];
    memcpy(&x->wall_us, m->bytes + 1, 8);
    x->arrival_us = node_now_ms(n) * 1000;
    x->message = m->bytes;
    x->body = (struct span){m->bytes + 9, m->len - 9};
    m->bytes = NULL;
    list_push(&shard_of(n)->inbox, &x->node);
}

struct peers_message *peers_take(struct peers *p)
{
    struct list *l = list_pull(&shard_of((struct node *)(void *)p)->inbox);
    return l ? CONTAINER_OF(l, struct peers_message, node) : NULL;
}

void peers_done(struct peers_message *m)
{
    if (m) {
        free(m->message);
        free(m);
    }
}

/* -- gateways ---------------------------------------------------------------------------------- */

struct span rpc_batch_bytes(const struct rpc_batch *batch)
{
    return batch->message;
}

static void batch_end(struct rpc_batch *b)
{
    list_remove(&b->link);
    shard_of(b->node)->batches_count--;
    free(b->bytes);
    free(b);
}

static struct told told_of(const struct rpc_batch *b, const struct answer *a)
{
    struct told t = {.reason = a->reason, .at = a->call};
    for (uint32_t i = 0; i < b->count; i++) {
        if (b->who[i].call == a->call) {
            t.person = b->who[i].person;
            t.op = b->who[i].op;
            t.verdict = answer_hash(a->reason, a->message);
        }
    }
    return t;
}

static void reply_send(struct rpc_batch *b, const struct reply_view *reply)
{
    static uint8_t bytes[sizeof(struct reply_head) + BATCH * sizeof(struct told)];
    struct reply_head head = {.batch = b->batch, .count = (uint32_t)reply->answers_count,
                              .is_turned_away = reply->is_turned_away, .credit = reply->credit};
    if (reply->leader.len == 2) {
        head.leader = (uint64_t)(reply->leader.ptr[1] - '0');
    }
    memcpy(bytes, &head, sizeof head);
    for (size_t i = 0; i < reply->answers_count; i++) {
        struct told t = told_of(b, &reply->answers[i]);
        see_answer(b->node, &t);
        memcpy(bytes + sizeof head + i * sizeof t, &t, sizeof t);
    }
    if (!c.gates[b->gate].is_cut[1][b->node->id]) {
        send_unsure(REPLY, b->node->id, b->gate, bytes,
                    sizeof head + reply->answers_count * sizeof(struct told));
    }
}

void rpc_batch_reply(struct rpc_batch *b, struct span bytes)
{
    struct reply_view reply;
    if (effect() && bytes.len > 0) {
        arena_reset(&c.entries);
        if (codec_reply_unpack(bytes, &c.entries, &reply) != 0) {
            violate("a reply cannot be read");
        } else {
            reply_send(b, &reply);
        }
    }
    batch_end(b);
}

static void batch_put(struct node *n, struct message *m)
{
    struct shard *s = shard_of(n);
    if (s->batches_count == HOUSE_BATCHES) {
        return; /* it waits in its socket, longer than its gateway does */
    }
    struct rpc_batch *b = calloc(1, sizeof *b);
    b->node = n;
    b->gate = m->from;
    memcpy(&b->batch, m->bytes, 4);
    memcpy(&b->count, m->bytes + 4, 4);
    b->bytes = m->bytes;
    b->who = (struct who *)(void *)(m->bytes + 8);
    size_t head = 8 + b->count * sizeof(struct who);
    b->message = (struct span){m->bytes + head, m->len - head};
    m->bytes = NULL;
    list_push(&s->batches, &b->link);
    s->batches_count++;
    house_push(s->house, b);
}

#endif

/* SPDX-License-Identifier: MIT */
/* The whole city in one thread, from one seed: people who retry, gateways with the fair queue,
 * replicas with the real core, log time and ledger, disks and a network that fail.
 *
 *   city --seed N [--storm MS]     one run: its trace hash, or the first violation (exit 1)
 *   city --seeds FROM COUNT        many; prints the command that replays the first violation
 *   city --three FROM COUNT        the same with three replicas in each: how fast it is
 *
 * Owns: the city (city.h) in the world of nodes.h.  Swarm: each seed draws what can go wrong.
 * Storm, then all is healed: everybody must be answered and all replicas be equal within a bound.
 * Checked at each step: what nodes.h checks of Raft; the model and the answers of city_audit.h; the
 * same effects at one index on all replicas; log time that never goes back; the fair queue's order.
 * Fails: a violation prints itself and the seed. */
#include "tests/sim/city_people.h"

#define STORM_MS 12000
#define HEAL_MS  20000

/* -- the network between replicas -------------------------------------------------------------- */

static void node_send(struct node *n)
{
    uint64_t to;
    struct span bytes;
    while (replica_pull(n->replica, &to, &bytes)) {
        w.trace = mix64(mix64(w.trace, (uint64_t)w.now_ms << 8 | n->id << 4 | to),
                        XXH3_64bits(bytes.ptr, bytes.len));
        see_vote(n->id, to, bytes);
        if (to > w.nodes_count || w.is_cut[n->id][to] || is_lost()) {
            continue;
        }
        int64_t at_ms = w.now_ms + delay();
        if (at_ms < w.link_ms[n->id][to]) {
            at_ms = w.link_ms[n->id][to]; /* one ordered stream a peer */
        }
        w.link_ms[n->id][to] = at_ms;
        post(TO_REPLICA, n->id, to, at_ms - w.now_ms, bytes);
    }
}

static void take_batch(struct node *n, const struct message *m)
{
    struct shard *s = shard_of(n);
    uint32_t batch, at = 0;
    memcpy(&batch, m->bytes, 4);
    for (size_t i = 4; i < m->len && s->inbox_count < INBOX; at++) {
        struct inbox_call *call = malloc(sizeof *call);
        size_t head = offsetof(struct call, bytes);
        memcpy(&call->call, m->bytes + i, head);
        memcpy(call->call.bytes, m->bytes + i + head, call->call.len);
        i += head + call->call.len;
        call->gate = (uint32_t)m->from;
        call->batch = batch;
        call->at = at;
        s->inbox[s->inbox_count++] = call;
    }
}

/* -- events ------------------------------------------------------------------------------------ */

static bool node_gets(struct node *n, struct message *m)
{
    struct shard *s = shard_of(n);
    if (!n->is_up || (m->kind == TO_REPLICA && w.is_cut[m->from][m->to])) {
        return false;
    }
    if (s->stall_ms > w.now_ms) { /* it stands still: what comes waits */
        m->at_ms = s->stall_ms;
        heap_push(*m);
        m->bytes = NULL;
        return false;
    }
    if (replica_tick(n->replica, node_now_ms(n)) < 0) {
        violate("a tick ended a node");
        return false;
    }
    if (m->kind == BATCH_OUT) {
        take_batch(n, m);
    } else {
        if (!w.is_healed && chance(2)) {
            m->bytes[prng_below(&w.prng, m->len)] ^= (uint8_t)(1u << prng_below(&w.prng, 8));
            c.lost++;
        }
        if (replica_receive(n->replica, m->from, (struct span){m->bytes, m->len}) < 0) {
            violate("a message ended a node");
            return false;
        }
    }
    return true;
}

static void deliver(void)
{
    struct message m = heap_pull();
    w.trace = mix64(w.trace, (uint64_t)m.kind << 48 | m.from << 24 | m.to << 16 | m.len);
    switch (m.kind) {
    case TO_REPLICA:
    case BATCH_OUT:
        if (node_gets(&w.nodes[m.to - 1], &m)) {
            shard_after(&w.nodes[m.to - 1]);
        }
        break;
    case ASK:
        gate_ask(m.to, &m);
        break;
    case REPLY:
        gate_reply(m.to, &m);
        break;
    case ANSWER:
        person_hear(m.to, &m);
        break;
    case WAKE:
        person_wake(m.to);
        break;
    default:
        gate_timer(m.from, m.to);
    }
    w.steps += m.kind != TO_REPLICA && m.kind != BATCH_OUT;
    free(m.bytes);
}

/* -- what goes wrong --------------------------------------------------------------------------- */

static void nemesis_links(void)
{
    if (chance(w.mix.cut)) {
        w.faults++;
        uint64_t a = 1 + prng_below(&w.prng, w.nodes_count);
        uint64_t b = 1 + prng_below(&w.prng, w.nodes_count);
        bool both = chance(500), all = chance(300);
        for (uint64_t i = 1; i <= w.nodes_count; i++) {
            if (all || i == b) {
                w.is_cut[a][i] = true;
                w.is_cut[i][a] = w.is_cut[i][a] || both;
            }
        }
    }
    if (chance(c.mix.gate_cut)) {
        w.faults++;
        c.gates[prng_below(&w.prng, GATEWAYS)].is_cut[prng_below(&w.prng, 2)]
            [1 + prng_below(&w.prng, w.nodes_count)] = true;
    }
    if (chance(w.mix.cut + c.mix.gate_cut + 20)) {
        memset(w.is_cut, 0, sizeof w.is_cut);
        for (size_t i = 0; i < GATEWAYS; i++) {
            memset(c.gates[i].is_cut, 0, sizeof c.gates[i].is_cut);
        }
    }
}

static void nemesis_nodes(void)
{
    struct node *n = &w.nodes[prng_below(&w.prng, w.nodes_count)];
    struct shard *s = shard_of(n);
    if (n->is_up && chance(c.mix.pause)) { /* SIGSTOP */
        w.faults++;
        s->stall_ms = w.now_ms + 50 + (int64_t)prng_below(&w.prng, 2000);
    }
    if (chance(c.mix.full)) {
        w.faults++;
        s->is_full = !s->is_full;
    }
    if (chance(c.mix.skew)) {
        w.faults++;
        s->skew_us = ((int64_t)prng_below(&w.prng, 7200) - 3600) * SECOND_US;
    }
    if (n->is_up && replica_is_leader(n->replica) && s->stall_ms <= w.now_ms &&
        chance(w.mix.transfer)) {
        replica_transfer(n->replica, 1 + prng_below(&w.prng, w.nodes_count));
        shard_after(n);
    }
}

static void nemesis(void)
{
    for (size_t i = 0; i < w.nodes_count; i++) {
        struct node *n = &w.nodes[i];
        if (!n->is_up && w.now_ms >= n->back_ms) {
            node_start(n);
            if (n->is_up) {
                node_send(n);
                shard_after(n);
            }
        }
    }
    if (!w.is_healed) {
        nemesis_links();
        nemesis_nodes();
    }
}

static int64_t true_ms(const struct node *n, int64_t local_ms)
{
    int64_t ms = local_ms - local_ms * n->drift_ppm / 1000000;
    return ms > w.now_ms ? ms : w.now_ms + (node_now_ms(n) < local_ms);
}

static void step(int64_t *nemesis_ms)
{
    int64_t next_ms = *nemesis_ms;
    struct node *timer = NULL;
    for (size_t i = 0; i < w.nodes_count; i++) {
        struct node *n = &w.nodes[i];
        if (!n->is_up) {
            continue;
        }
        int64_t at_ms = true_ms(n, replica_next_ms(n->replica));
        int64_t stall_ms = shard_of(n)->stall_ms;
        at_ms = at_ms > stall_ms ? at_ms : stall_ms;
        if (at_ms < next_ms) {
            next_ms = at_ms;
            timer = n;
        }
    }
    if (w.heap_count > 0 && w.heap[0].at_ms <= next_ms) {
        w.now_ms = w.heap[0].at_ms > w.now_ms ? w.heap[0].at_ms : w.now_ms;
        deliver();
        return;
    }
    w.now_ms = next_ms > w.now_ms ? next_ms : w.now_ms;
    if (timer) {
        if (replica_tick(timer->replica, node_now_ms(timer))) {
            violate("a tick ended a node");
            return;
        }
        shard_after(timer);
    } else {
        nemesis();
        *nemesis_ms = w.now_ms + 10;
    }
}

/* -- the end of the storm ---------------------------------------------------------------------- */

static bool all_quiet(void)
{
    for (size_t i = 0; i < PEOPLE; i++) {
        if (c.people[i].is_waiting) {
            return false;
        }
    }
    for (size_t i = 0; i < c.items_count; i++) {
        if (c.items[i].state == LIVE) {
            return false; /* it must expire */
        }
    }
    for (size_t i = 0; i < w.nodes_count; i++) {
        if (!w.nodes[i].is_up || w.nodes[i].applied != w.truths_count) {
            return false;
        }
    }
    return w.truths_count > 0;
}

static void compare_all(void)
{
    for (size_t i = 1; i < w.nodes_count; i++) {
        if (membook_hash(&c.shards[i].book.m) != membook_hash(&c.shards[0].book.m)) {
            violate("replicas differ at the end");
        }
    }
    if (c.created) {
        model_compare(&c.shards[0], false);
    }
}

static void heal(int64_t *nemesis_ms)
{
    w.is_healed = c.is_closing = true;
    memset(w.is_cut, 0, sizeof w.is_cut);
    for (size_t i = 0; i < GATEWAYS; i++) {
        memset(c.gates[i].is_cut, 0, sizeof c.gates[i].is_cut);
    }
    for (size_t i = 0; i < w.nodes_count; i++) {
        c.shards[i].is_full = false;
        c.shards[i].stall_ms = 0;
    }
    for (int64_t end_ms = w.now_ms + HEAL_MS; w.now_ms < end_ms && !w.violation;) {
        step(nemesis_ms);
        if (all_quiet()) {
            compare_all();
            return;
        }
    }
    violate("liveness: healed, but not all was answered and equal in time");
}

/* -- a run ------------------------------------------------------------------------------------- */

static bool is_three; /* else a few seeds have five */

static void mix_draw(void)
{
    unsigned bad = chance(100) ? 0 : 1; /* some seeds have no fault at all */
    w.mix = (struct mix){
        .loss = chance(500) * bad * (unsigned)prng_below(&w.prng, 120),
        .delay_ms = 1 + (unsigned)prng_below(&w.prng, bad ? 50 : 3),
        .crash = chance(700) * bad * (unsigned)prng_below(&w.prng, 6),
        .cut = chance(600) * bad * (unsigned)prng_below(&w.prng, 30),
        .trail = 1 + (unsigned)prng_below(&w.prng, 40),
        .transfer = chance(300) * bad * (unsigned)prng_below(&w.prng, 20),
        .keep = (unsigned)prng_below(&w.prng, 1000), .is_ordered = true};
    c.mix.pause = chance(400) * bad * (unsigned)prng_below(&w.prng, 15);
    c.mix.disk_fail = chance(400) * bad * (unsigned)prng_below(&w.prng, 4);
    c.mix.full = chance(200) * bad * 20;
    c.mix.slow = chance(400) * bad * (unsigned)prng_below(&w.prng, 50);
    c.mix.skew = chance(300) * bad * 20;
    c.mix.is_skewed = c.mix.skew > 0;
    c.mix.gate_cut = chance(400) * bad * (unsigned)prng_below(&w.prng, 30);
    c.mix.dup = chance(500) * bad * (unsigned)prng_below(&w.prng, 100);
    c.mix.think_ms = 20 + (unsigned)prng_below(&w.prng, 400);
    c.mix.has_release = chance(400);
}

static void city_init(void)
{
    struct fairq_options queue = {.weights = {8, 4, 2, 1}, .waiting_per_identity = 4,
                                  .identities_max = PEOPLE, .tenants_max = 1};
    bool is_strict = chance(60);
    for (size_t i = 0; i < w.nodes_count; i++) {
        book_init(&c.shards[i].book, is_strict);
        arena_init(&c.shards[i].arena, 1 << 20);
        w.nodes[i].drift_ppm = chance(300) ? (int)prng_below(&w.prng, 20000) - 10000 : 0;
    }
    for (size_t i = 0; i < GATEWAYS; i++) {
        CHECK(fairq_new(&queue, &c.gates[i].queue) == 0);
        c.gates[i].leader = 1;
    }
    for (uint64_t i = 0; i < PEOPLE; i++) {
        post(WAKE, i, i, 300 + (int64_t)prng_below(&w.prng, 300), (struct span){0});
    }
    c.people[1].is_flooding = chance(300);
}

static void world_init(uint64_t seed)
{
    memset(&w.nodes, 0, sizeof w.nodes);
    struct arena arenas[] = {c.verdicts, c.entries, c.packing};
    struct city old = {.effects = c.effects, .effects_cap = c.effects_cap, .log_us = c.log_us,
                       .items = c.items, .items_cap = c.items_cap, .acks = c.acks,
                       .answered = c.answered, .retries = c.retries, .lost = c.lost};
    memset(&c, 0, sizeof c);
    c.effects = old.effects;
    c.effects_cap = old.effects_cap;
    c.log_us = old.log_us;
    c.items = old.items;
    c.items_cap = old.items_cap;
    c.acks = old.acks;
    c.answered = old.answered;
    c.retries = old.retries;
    c.lost = old.lost;
    c.verdicts = arenas[0];
    c.entries = arenas[1];
    c.packing = arenas[2];
    w.hooks = &city_hooks;
    w.seed = seed;
    prng_init(&w.prng, seed);
    w.nodes_count = w.first_count = chance(700) || is_three ? 3 : 5;
    mix_draw();
    w.now_ms = 1000;
    w.steps = w.order = w.number = 0;
    w.heap_count = w.truths_count = 0;
    w.trace = seed;
    w.is_healed = false;
    w.violation = NULL;
    memset(w.link_ms, 0, sizeof w.link_ms);
    memset(w.is_cut, 0, sizeof w.is_cut);
    memset(w.leaders, 0, sizeof w.leaders);
    memset(w.votes, 0, sizeof w.votes);
    memset(w.table, 0, w.table_used * sizeof w.table[0]);
    w.table_used = 0;
    city_init();
    for (size_t i = 0; i < w.nodes_count; i++) {
        w.nodes[i].id = i + 1;
        node_start(&w.nodes[i]);
    }
}

static void world_fini(void)
{
    for (size_t i = 0; i < w.nodes_count; i++) {
        struct shard *s = &c.shards[i];
        shard_forget(s);
        ledger_free(s->ledger);
        book_fini(&s->book);
        arena_fini(&s->arena);
        replica_free(w.nodes[i].replica);
        free(w.nodes[i].live.recs);
        free(w.nodes[i].disk.recs);
    }
    for (size_t i = 0; i < GATEWAYS; i++) {
        fairq_free(c.gates[i].queue);
    }
    for (size_t i = 0; i < PEOPLE; i++) {
        free(c.requests[i].seen);
    }
    while (w.heap_count > 0) {
        free(w.heap[--w.heap_count].bytes);
    }
    while (w.pool_count > 0) {
        free((void *)(uintptr_t)w.pool[--w.pool_count]);
    }
}

static bool run(uint64_t seed, int64_t storm_ms)
{
    world_init(seed);
    int64_t nemesis_ms = w.now_ms, end_ms = w.now_ms + storm_ms;
    while (w.now_ms < end_ms && !w.violation) {
        step(&nemesis_ms);
    }
    if (!w.violation) {
        heal(&nemesis_ms);
    }
    w.trace = mix64(w.trace, membook_hash(&c.shards[0].book.m));
    bool good = w.violation == NULL;
    if (!good) {
        err_print(stderr);
        printf("seed %llu: %s (step %llu, %lld ms)\n", (unsigned long long)seed, w.violation,
               (unsigned long long)w.steps, (long long)w.now_ms);
    }
    world_fini();
    return good;
}

static int run_many(const char *name, uint64_t from, uint64_t count)
{
    uint64_t steps = 0, entries = 0, sum = 0, virtual_ms = 0;
    clock_t began = clock();
    for (uint64_t seed = from; seed < from + count; seed++) {
        if (!run(seed, STORM_MS)) {
            printf("replay: %s --seed %llu\n", name, (unsigned long long)seed);
            return 1;
        }
        steps += w.steps;
        entries += w.truths_count;
        virtual_ms += (uint64_t)w.now_ms - 1000;
        sum = mix64(sum, w.trace);
    }
    double seconds = (double)(clock() - began) / CLOCKS_PER_SEC;
    printf("seeds %llu trace %016llx steps %llu faults %llu lost %llu entries %llu answers %llu "
           "retries %llu virtual %llu s violations 0, %.2f s of CPU\n", (unsigned long long)count,
           (unsigned long long)sum, (unsigned long long)steps, (unsigned long long)w.faults,
           (unsigned long long)c.lost,
           (unsigned long long)entries, (unsigned long long)c.acks,
           (unsigned long long)c.retries, (unsigned long long)virtual_ms / 1000, seconds);
    return 0;
}

int main(int argc, char **argv)
{
    arena_init(&c.verdicts, 1 << 20);
    arena_init(&c.entries, 1 << 20);
    arena_init(&c.packing, 1 << 20);
    if (argc >= 3 && strcmp(argv[1], "--seed") == 0) {
        uint64_t seed = strtoull(argv[2], NULL, 10);
        bool good = run(seed, argc == 5 ? strtoll(argv[4], NULL, 10) : STORM_MS);
        printf("seed %llu trace %016llx steps %llu entries %zu\n", (unsigned long long)seed,
               (unsigned long long)w.trace, (unsigned long long)w.steps, w.truths_count);
        return good ? 0 : 1;
    }
    is_three = argc == 4 && strcmp(argv[1], "--three") == 0;
    if (argc == 4 && (is_three || strcmp(argv[1], "--seeds") == 0)) {
        return run_many(argv[0], strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
    }
    fprintf(stderr, "usage: %s --seed N [--storm MS] | --seeds FROM COUNT | --three FROM COUNT\n",
            argv[0]);
    return 2;
}

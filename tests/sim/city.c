/* SPDX-License-Identifier: MIT */
/* The whole city in one thread, from one seed: people who retry, gateways with the fair queue, and
 * the shipped writer of a shard with all that it calls, over disks, clocks and a network that fail.
 *
 *   city --seed N [--storm MS]     one run: its trace hash, or the first violation (exit 1)
 *   city --loud N                  the same with the log lines of all nodes
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

/* -- events ------------------------------------------------------------------------------------ */

static void node_gets(struct node *n, struct message *m)
{
    struct shard *s = shard_of(n);
    if (!n->is_up || (m->kind == TO_REPLICA && w.is_cut[m->from][m->to])) {
        return;
    }
    if (s->stall_ms > w.now_ms) { /* it stands still: what comes waits */
        m->at_ms = s->stall_ms;
        heap_push(*m);
        m->bytes = NULL;
        return;
    }
    here = n;
    if (m->kind == BATCH_OUT) {
        batch_put(n, m);
    } else {
        if (!w.is_healed && m->bytes[0] == KIND_RAFT && chance(2)) {
            size_t at = 9 + prng_below(&w.prng, m->len - 9);
            m->bytes[at] ^= (uint8_t)(1u << prng_below(&w.prng, 8));
            c.lost++;
        }
        peers_put(n, m);
    }
    shard_after(n);
}

static void deliver(void)
{
    struct message m = heap_pull();
    w.trace = mix64(w.trace, (uint64_t)m.kind << 48 | m.from << 24 | m.to << 16 | m.len);
    switch (m.kind) {
    case TO_REPLICA:
    case BATCH_OUT:
        node_gets(&w.nodes[m.to - 1], &m);
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

/* One state at a time is damaged, else there may be none to take instead. */
static bool anybody_lost(void)
{
    for (size_t i = 0; i < w.nodes_count; i++) {
        if (c.shards[i].is_damaged || c.shards[i].is_lost) {
            return true;
        }
    }
    return false;
}

/* A newer program, one node after the other. */
static void upgrade(struct node *n)
{
    struct shard *s = shard_of(n);
    if (s->rules < LEDGER_VERSION && (w.is_healed || chance(400))) {
        s->rules = w.is_healed ? LEDGER_VERSION : s->rules + 1;
    }
}

static void nemesis_upgrade(void)
{
    size_t up = 0;
    for (size_t i = 0; i < w.nodes_count; i++) {
        up += w.nodes[i].is_up;
    }
    struct node *n = &w.nodes[prng_below(&w.prng, w.nodes_count)];
    if (up == w.nodes_count && shard_of(n)->rules < LEDGER_VERSION &&
        chance(w.is_healed ? 50 : 10)) {
        shard_crash(n);
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
        static const enum store_room rooms[] = {STORE_ROOM_OK, STORE_ROOM_OK, STORE_ROOM_RESERVE,
                                                STORE_ROOM_NONE};
        w.faults++;
        s->room = rooms[prng_below(&w.prng, 4)];
    }
    if (n->is_up && chance(c.mix.flip) && !anybody_lost()) {
        w.faults++;
        s->is_damaged = true;
    }
    if (chance(c.mix.skew)) {
        w.faults++;
        s = c.mix.is_skewed ? s : &c.shards[0];
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
            upgrade(n);
            node_begin(n);
            if (n->is_up) {
                shard_after(n);
            }
        }
    }
    nemesis_upgrade();
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

static int64_t timer_ms(struct node *n)
{
    const struct shard *s = shard_of(n);
    int64_t at_ms = true_ms(n, s->next_ms);
    return at_ms > s->stall_ms ? at_ms : s->stall_ms;
}

static void step(int64_t *nemesis_ms)
{
    static const struct doing doing = {timer_ms, shard_after, deliver, nemesis};
    world_step(&doing, nemesis_ms);
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
        if (!w.nodes[i].is_up || w.nodes[i].applied != w.truths_count || c.shards[i].is_lost) {
            return false;
        }
    }
    return w.truths_count > 0 && c.rules == LEDGER_VERSION;
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
        see_draw(&c.shards[0]);
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
        c.shards[i].room = STORE_ROOM_OK;
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
        .lag = (unsigned)prng_below(&w.prng, 200),
        .transfer = chance(300) * bad * (unsigned)prng_below(&w.prng, 20),
        .keep = (unsigned)prng_below(&w.prng, 1000), .is_ordered = true};
    c.mix.pause = chance(400) * bad * (unsigned)prng_below(&w.prng, 15);
    c.mix.disk_fail = chance(400) * bad * (unsigned)prng_below(&w.prng, 4);
    c.mix.full = chance(200) * bad * 20;
    c.mix.slow = chance(400) * bad * (unsigned)prng_below(&w.prng, 50);
    c.mix.skew = chance(300) * bad * 20;
    c.mix.is_skewed = c.mix.skew > 0 && chance(500);
    c.mix.gate_cut = chance(400) * bad * (unsigned)prng_below(&w.prng, 30);
    c.mix.dup = chance(500) * bad * (unsigned)prng_below(&w.prng, 100);
    c.mix.think_ms = 20 + (unsigned)prng_below(&w.prng, 400);
    c.mix.has_release = chance(400);
    c.mix.has_upgrade = chance(500);
    c.mix.flip = chance(200) * bad * 10;
    c.mix.overlay = chance(200) * bad * (4 + (unsigned)prng_below(&w.prng, 40));
}

static void city_init(void)
{
    struct fairq_options queue = {.weights = {8, 4, 2, 1}, .waiting_per_identity = 4,
                                  .identities_max = PEOPLE, .tenants_max = 1};
    bool is_strict = chance(60);
    for (size_t i = 0; i < w.nodes_count; i++) {
        book_init(&c.shards[i].book, is_strict);
        list_init(&c.shards[i].inbox);
        list_init(&c.shards[i].batches);
        c.shards[i].rules = LEDGER_VERSION;
        if (c.mix.has_upgrade) {
            c.shards[i].rules = LEDGER_VERSION_FIRST +
                (uint32_t)prng_below(&w.prng, LEDGER_VERSION + 1 - LEDGER_VERSION_FIRST);
        }
        w.nodes[i].drift_ppm = chance(300) ? (int)prng_below(&w.prng, 20000) - 10000 : 0;
    }
    for (size_t i = 0; i < GATEWAYS; i++) {
        CHECK(fairq_new(&queue, &c.gates[i].queue) == 0);
        c.gates[i].leader = 1;
        c.gates[i].credit = CREDIT_START;
        arena_init(&c.gates[i].arena, 1 << 20);
    }
    for (uint64_t i = 0; i < PEOPLE; i++) {
        post(WAKE, i, i, 300 + (int64_t)prng_below(&w.prng, 300), (struct span){0});
    }
    c.people[1].is_flooding = chance(300);
}

static void world_init(uint64_t seed)
{
    struct arena arenas[] = {c.verdicts, c.entries, c.packing};
    struct city old = {.effects = c.effects, .effects_cap = c.effects_cap, .log_us = c.log_us,
                       .items = c.items, .items_cap = c.items_cap, .acks = c.acks,
                       .answered = c.answered, .retries = c.retries, .lost = c.lost,
                       .is_loud = c.is_loud, .ranks = c.ranks};
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
    c.is_loud = old.is_loud;
    c.ranks = old.ranks;
    c.verdicts = arenas[0];
    c.entries = arenas[1];
    c.packing = arenas[2];
    w.hooks = &city_hooks;
    world_begin(seed);
    w.nodes_count = w.first_count = chance(700) || is_three ? 3 : 5;
    mix_draw();
    city_init();
    for (size_t i = 0; i < w.nodes_count; i++) {
        node_begin(&w.nodes[i]);
    }
}

static void world_fini(void)
{
    for (size_t i = 0; i < w.nodes_count; i++) {
        shard_end(&w.nodes[i]);
        book_fini(&c.shards[i].book);
    }
    for (size_t i = 0; i < GATEWAYS; i++) {
        fairq_free(c.gates[i].queue);
        arena_fini(&c.gates[i].arena);
    }
    for (size_t i = 0; i < PEOPLE; i++) {
        free(c.requests[i].seen);
    }
    world_end();
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
           "retries %llu ranks %llu virtual %llu s violations 0, %.2f s of CPU\n",
           (unsigned long long)count,
           (unsigned long long)sum, (unsigned long long)steps, (unsigned long long)w.faults,
           (unsigned long long)c.lost,
           (unsigned long long)entries, (unsigned long long)c.acks,
           (unsigned long long)c.retries, (unsigned long long)c.ranks,
           (unsigned long long)virtual_ms / 1000, seconds);
    return 0;
}

int main(int argc, char **argv)
{
    arena_init(&c.verdicts, 1 << 20);
    arena_init(&c.entries, 1 << 20);
    arena_init(&c.packing, 1 << 20);
    c.is_loud = argc >= 3 && strcmp(argv[1], "--loud") == 0;
    if (argc >= 3 && (c.is_loud || strcmp(argv[1], "--seed") == 0)) {
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

/* SPDX-License-Identifier: MIT */
/* Replicas in one thread: virtual time, a network and disks that fail, all from one seed.
 *
 *   sim --seed N [--steps N]       one run: its trace hash, or the first violation (exit 1)
 *   sim --seeds FROM COUNT         many; prints the command that replays the first violation
 *
 * Owns: the nodes (shards/node/replica*.c over a log in memory), messages under way, the truth:
 * what anybody ever applied.  A log in memory has two copies, what was written and what is
 * durable; a crash loses the difference, or keeps it, as a write in flight may be.
 * Swarm: each seed draws its own mix of loss, delay, reordering, partitions (one way), crashes,
 * trimming, membership changes, transfers.  After the storm all is healed and an entry must be
 * applied everywhere within a bound.
 * Checked at every step: one leader a term; same index and term, same entry and same entry before;
 * a new leader has all that was committed before its term; nobody applies another entry at an
 * index, or goes back; nothing applied is truncated; a vote is never given twice in a term.
 * Fails: a violation prints itself and the seed. */
#include "tests/sim/apply.h"
#include "tests/sim/step.h"

#define KIND_APPEND 1 /* on the wire */

/* -- nodes ------------------------------------------------------------------------------------- */

static void node_crash(struct node *n)
{
    w.faults++;
    if (chance(w.mix.keep)) {
        log_commit(n); /* the write in flight got there */
    }
    replica_free(n->replica);
    n->replica = NULL;
    n->is_up = false;
    log_copy(&n->live, &n->disk, 0);
    n->clean = log_last(n);
    n->back_ms = w.now_ms + 1 + (int64_t)prng_below(&w.prng, 600);
}

/* Before its round, `is_early`: entries only, and of a term that its disk knows. */
static void see_early(const struct node *n, struct span bytes)
{
    struct reader in = reader_of(bytes.ptr + 1, bytes.len - 1);
    uint8_t kind = reader_u8(&in);
    reader_u64(&in);
    if (kind != KIND_APPEND || reader_u64(&in) > n->disk.term) {
        violate("a promise left before the round that makes it durable");
    }
}

static void node_send(struct node *n, bool is_early)
{
    uint64_t to;
    struct span bytes;
    while (replica_pull(n->replica, &to, &bytes)) {
        if (is_early) {
            see_early(n, bytes);
        }
        w.trace = mix64(mix64(w.trace, (uint64_t)w.now_ms << 8 | n->id << 4 | to),
                        hash_bytes(1, bytes.ptr, bytes.len));
        see_vote(n->id, to, bytes);
        if (to > w.nodes_count || w.is_cut[n->id][to] || (!w.is_healed && chance(w.mix.loss))) {
            continue;
        }
        unsigned copies = !w.is_healed && !w.mix.is_ordered && chance(20) ? 2 : 1;
        while (copies-- > 0) {
            int64_t at_ms = w.now_ms + 1 +
                (int64_t)prng_below(&w.prng, w.is_healed ? 3 : w.mix.delay_ms);
            if ((w.mix.is_ordered || w.is_healed) && at_ms < w.link_ms[n->id][to]) {
                at_ms = w.link_ms[n->id][to];
            }
            w.link_ms[n->id][to] = at_ms;
            uint8_t *copy = malloc(bytes.len);
            memcpy(copy, bytes.ptr, bytes.len);
            heap_push((struct message){at_ms, w.order++, n->id, to, copy, bytes.len});
        }
    }
}

/* After each event of a node: perhaps a crash before the round, the round, what it lets go. */
static void node_after(struct node *n)
{
    w.steps++;
    if (chance(w.mix.early)) {
        uint64_t trace = w.trace;
        node_send(n, false); /* what was durable has left: nothing may come out before the round */
        if (w.trace != trace) {
            violate("a message left before the round that makes it durable");
        }
        node_apply(n);
        if (!w.is_healed && chance(200)) {
            node_crash(n);
            return;
        }
    }
    if (!w.is_healed && chance(w.mix.crash)) {
        node_crash(n);
        return;
    }
    node_install(n);
    if (n->is_up) {
        replica_early(n->replica);
        node_send(n, true);
        if (!w.is_healed && chance(w.mix.crash)) { /* the others have what it has not */
            node_crash(n);
            return;
        }
    }
    if (!n->is_up || replica_round(n->replica)) {
        violate("a round failed");
        return;
    }
    see_leader(n);
    node_apply(n);
    node_send(n, false);
}

/* -- the storm --------------------------------------------------------------------------------- */

static struct node *leader(void)
{
    struct node *found = NULL;
    for (size_t i = 0; i < w.nodes_count; i++) {
        struct node *n = &w.nodes[i];
        if (n->is_up && replica_is_leader(n->replica) &&
            (!found || replica_term(n->replica) > replica_term(found->replica))) {
            found = n;
        }
    }
    return found;
}

static void propose(struct node *n)
{
    uint8_t bytes[24];
    struct scribe out = scribe_of(bytes, sizeof bytes);
    scribe_u64(&out, ++w.number);
    scribe_u64(&out, n->id);
    uint64_t index;
    if (replica_propose(n->replica, (struct span){bytes, 16}, &index) < 0) {
        violate("a proposal failed");
    }
}

static void change_members(struct node *n)
{
    size_t i = prng_below(&w.prng, w.nodes_count);
    struct replica_member m = member_of(i);
    m.role = REPLICA_LEARNER;
    switch (prng_below(&w.prng, 4)) {
    case 0:
        replica_add(n->replica, &m);
        break;
    case 1:
    case 2:
        replica_promote(n->replica, m.id);
        break;
    default:
        replica_remove(n->replica, m.id);
    }
}

static void nemesis(void)
{
    for (size_t i = 0; i < w.nodes_count; i++) {
        if (!w.nodes[i].is_up && w.now_ms >= w.nodes[i].back_ms) {
            node_begin(&w.nodes[i]);
            if (w.nodes[i].is_up) {
                node_send(&w.nodes[i], false); /* its start had a round */
                node_after(&w.nodes[i]);
            }
        }
    }
    if (chance(w.mix.cut)) {
        w.faults++;
        uint64_t a = 1 + prng_below(&w.prng, w.nodes_count);
        uint64_t b = 1 + prng_below(&w.prng, w.nodes_count);
        bool both = chance(500), all = chance(300);
        for (uint64_t c = 1; c <= w.nodes_count; c++) {
            if (all || c == b) {
                w.is_cut[a][c] = true;
                w.is_cut[c][a] = w.is_cut[c][a] || both;
            }
        }
    }
    if (chance(w.mix.cut + 20)) {
        memset(w.is_cut, 0, sizeof w.is_cut);
    }
    for (size_t i = 0; i < w.nodes_count; i++) {
        struct node *n = &w.nodes[i];
        if (n->is_up && replica_is_leader(n->replica)) {
            bool acts = false;
            if (chance(w.mix.propose)) {
                propose(n);
                acts = true;
            }
            if (chance(w.mix.members)) {
                change_members(n);
                acts = true;
            }
            if (chance(w.mix.transfer)) {
                replica_transfer(n->replica, 1 + prng_below(&w.prng, w.nodes_count));
                acts = true;
            }
            if (acts) {
                node_after(n);
            }
        } else if (n->is_up && chance(w.mix.doubt)) { /* rightly or not, it must harm nobody */
            replica_doubt(n->replica, w.now_ms, (uint32_t)prng_below(&w.prng, 300));
        }
    }
}

static void deliver(void)
{
    struct message m = heap_pull();
    struct node *n = &w.nodes[m.to - 1];
    if (n->is_up && !w.is_cut[m.from][m.to]) {
        if (!w.is_healed && chance(2)) {
            m.bytes[prng_below(&w.prng, m.len)] ^= (uint8_t)(1u << prng_below(&w.prng, 8));
            w.faults++;
        }
        if (replica_tick(n->replica, w.now_ms) < 0 ||
            replica_receive(n->replica, m.from, (struct span){m.bytes, m.len}) < 0) {
            violate("a message ended a node");
        } else {
            node_after(n);
        }
    }
    free(m.bytes);
}

static int64_t timer_ms(struct node *n)
{
    return replica_next_ms(n->replica);
}

static void timer(struct node *n)
{
    if (replica_tick(n->replica, w.now_ms)) {
        violate("a tick ended a node");
        return;
    }
    node_after(n);
}

static void step(int64_t *nemesis_ms)
{
    static const struct doing doing = {timer_ms, timer, deliver, nemesis};
    world_step(&doing, nemesis_ms);
}

/* All is well again: a new entry must be applied by every voter within 20 s of virtual time. */
static void heal(int64_t *nemesis_ms)
{
    w.is_healed = true;
    memset(w.is_cut, 0, sizeof w.is_cut);
    w.mix.crash = w.mix.cut = w.mix.members = w.mix.transfer = w.mix.early = w.mix.doubt = 0;
    w.mix.propose = 1000;
    uint64_t dead = 0; /* a minority stays away: the others must do without */
    if (w.first_count >= 3 && !w.had_members && chance(300)) {
        dead = 1 + prng_below(&w.prng, w.first_count);
        if (w.nodes[dead - 1].is_up) {
            node_crash(&w.nodes[dead - 1]);
        }
        w.nodes[dead - 1].back_ms = INT64_MAX;
    }
    int64_t end_ms = w.now_ms + 20000;
    uint64_t goal = w.truths_count + 3;
    while (w.now_ms < end_ms && !w.violation) {
        step(nemesis_ms);
        struct node *l = leader();
        if (l == NULL || l->applied < goal) {
            continue;
        }
        struct replica_member members[REPLICA_MEMBERS_MAX];
        size_t count = replica_members(l->replica, members), behind = 0;
        for (size_t i = 0; i < count; i++) {
            behind += members[i].id != dead && w.nodes[members[i].id - 1].applied < goal;
        }
        if (behind == 0) {
            return;
        }
    }
    if (!w.mix.is_ordered) {
        w.excused++; /* one ordered stream a peer is the contract: without, only safety is held */
        return;
    }
    violate("liveness: healed, but no entry came through everywhere");
}

static void world_init(uint64_t seed)
{
    world_begin(seed);
    w.first_count = chance(100) ? 1 : chance(600) ? 3 : 5;
    w.nodes_count = w.first_count + 2;
    w.mix = (struct mix){
        .loss = chance(500) ? (unsigned)prng_below(&w.prng, 150) : 0,
        .delay_ms = 1 + (unsigned)prng_below(&w.prng, 60),
        .crash = chance(700) ? (unsigned)prng_below(&w.prng, 8) : 0,
        .cut = chance(700) ? (unsigned)prng_below(&w.prng, 40) : 0,
        .propose = 100 + (unsigned)prng_below(&w.prng, 900),
        .trail = 1 + (unsigned)prng_below(&w.prng, 40),
        .members = chance(500) ? (unsigned)prng_below(&w.prng, 60) : 0,
        .doubt = chance(500) ? (unsigned)prng_below(&w.prng, 40) : 0,
        .transfer = chance(300) ? (unsigned)prng_below(&w.prng, 20) : 0,
        .early = chance(500) ? 20 : 0, .keep = (unsigned)prng_below(&w.prng, 1000),
        .is_ordered = chance(700)};
    w.had_members = w.mix.members > 0;
    for (size_t i = 0; i < w.nodes_count; i++) {
        node_begin(&w.nodes[i]);
    }
}

static void show_nodes(void)
{
    for (size_t i = 0; i < w.nodes_count; i++) {
        const struct node *n = &w.nodes[i];
        printf("#   node %llu: %s%s, log %llu..%llu, applied %llu, durable %llu",
               (unsigned long long)n->id, n->is_up ? "up" : "down",
               n->is_up && replica_is_leader(n->replica) ? ", leads" : "",
               (unsigned long long)n->live.base + 1,
               (unsigned long long)(n->live.base + n->live.count), (unsigned long long)n->applied,
               (unsigned long long)n->durable);
        if (n->is_up) {
            struct replica_member members[REPLICA_MEMBERS_MAX];
            struct replica_want want;
            size_t count = replica_members(n->replica, members);
            printf(", term %llu, leader %llu%s, members",
                   (unsigned long long)replica_term(n->replica),
                   (unsigned long long)replica_leader(n->replica),
                   replica_wants(n->replica, &want) ? ", wants a state" : "");
            for (size_t k = 0; k < count; k++) {
                printf(" %llu%s", (unsigned long long)members[k].id,
                       members[k].role == REPLICA_VOTER ? "" : "(learner)");
            }
        }
        printf("\n");
    }
}

static bool run(uint64_t seed, uint64_t steps)
{
    world_init(seed);
    int64_t nemesis_ms = w.now_ms;
    while (w.steps < steps && !w.violation && w.now_ms < 100000) {
        step(&nemesis_ms);
    }
    if (!w.violation) {
        heal(&nemesis_ms);
    }
    bool good = w.violation == NULL;
    if (!good) {
        err_print(stderr);
        show_nodes();
        printf("seed %llu: %s (step %llu, %lld ms)\n", (unsigned long long)seed, w.violation,
               (unsigned long long)w.steps, (long long)w.now_ms);
    }
    world_end();
    return good;
}

int main(int argc, char **argv)
{
    uint64_t steps = 1500;
    if (argc >= 3 && strcmp(argv[1], "--seed") == 0) {
        uint64_t seed = strtoull(argv[2], NULL, 10);
        steps = argc == 5 ? strtoull(argv[4], NULL, 10) : steps;
        bool good = run(seed, steps);
        printf("seed %llu trace %016llx steps %llu entries %zu\n", (unsigned long long)seed,
               (unsigned long long)w.trace, (unsigned long long)w.steps, w.truths_count);
        return good ? 0 : 1;
    }
    if (argc == 4 && strcmp(argv[1], "--seeds") == 0) {
        uint64_t from = strtoull(argv[2], NULL, 10), count = strtoull(argv[3], NULL, 10);
        uint64_t total = 0, entries = 0, sum = 0;
        clock_t began = clock();
        for (uint64_t seed = from; seed < from + count; seed++) {
            if (!run(seed, steps)) {
                printf("replay: %s --seed %llu\n", argv[0], (unsigned long long)seed);
                return 1;
            }
            total += w.steps;
            entries += w.truths_count;
            sum = mix64(sum, w.trace);
        }
        double seconds = (double)(clock() - began) / CLOCKS_PER_SEC;
        printf("seeds %llu trace %016llx steps %llu faults %llu entries %llu violations 0, "
               "excused %llu, %.1f s of CPU\n", (unsigned long long)count, (unsigned long long)sum,
               (unsigned long long)total, (unsigned long long)w.faults,
               (unsigned long long)entries, (unsigned long long)w.excused, seconds);
        return 0;
    }
    fprintf(stderr, "usage: %s --seed N [--steps N] | --seeds FROM COUNT\n", argv[0]);
    return 2;
}

/* SPDX-License-Identifier: MIT */
/* Scenarios that random seeds do not find: Figure 8, and what each guard of the replica is for.
 *
 *   directed            all of them, TAP
 *   directed NUMBER     one
 *
 * Owns: the world of nodes.h, with messages in a plain list: a scenario says which kinds pass
 * between two nodes, holds a stream back, lets one node be elected by whom it names, crashes and
 * starts nodes.  Time is virtual, a millisecond a step.  The checks of nodes.h stand in each.
 * happy path: begin, elect, connect, flow, expect.
 * Fails: a scenario is "not ok" with the first thing that was wrong. */
#include "tests/sim/apply.h"

enum kind { APPEND = 1, RESULT, ASK, VOTE, INSTALL, NOW, PRE_ASK, PRE_VOTE };

#define BIT(kind) (1u << (kind))
#define ALL       0x1feu
#define ASKS      (BIT(ASK) | BIT(PRE_ASK))
#define VOTES     (BIT(VOTE) | BIT(PRE_VOTE))
#define NODE(id)  (&w.nodes[(id) - 1])

static unsigned open_to[NODES_MAX + 1][NODES_MAX + 1]; /* kinds that pass */
static bool is_held[NODES_MAX + 1][NODES_MAX + 1];     /* what passed waits */
static uint64_t limit_index;                           /* appends that reach further are lost */
static const char *unmet;

static void expect(bool good, const char *what)
{
    if (!good && unmet == NULL) {
        unmet = what;
    }
}

/* -- messages ---------------------------------------------------------------------------------- */

static enum kind kind_of(const uint8_t *bytes)
{
    bool pre = (bytes[1] == ASK && bytes[34] >> 1) || (bytes[1] == VOTE && bytes[18] >> 1);
    return (enum kind)(pre ? bytes[1] + 4 : bytes[1]);
}

/* The first message of a kind on its way, or -1. */
static int letter(uint64_t from, uint64_t to, enum kind kind)
{
    for (size_t i = 0; i < w.heap_count; i++) {
        const struct message *m = &w.heap[i];
        if (m->from == from && m->to == to && kind_of(m->bytes) == kind) {
            return (int)i;
        }
    }
    return -1;
}

static bool passes(uint64_t from, uint64_t to, struct span bytes)
{
    enum kind kind = kind_of(bytes.ptr);
    if (to == 0 || to > w.nodes_count || !(open_to[from][to] & BIT(kind))) {
        return false;
    }
    struct reader in = reader_of(bytes.ptr + 18, bytes.len - 18);
    uint64_t prev = reader_u64(&in);
    reader_u64(&in);
    reader_u64(&in);
    bool refused = prev > log_last(NODE(to)) && letter(from, to, APPEND) < 0;
    bool fits = refused || prev + reader_u32(&in) <= limit_index;
    return kind != APPEND || limit_index == 0 || fits; /* what is refused may come */
}

static void post(struct node *n)
{
    uint64_t to;
    struct span bytes;
    while (replica_pull(n->replica, &to, &bytes)) {
        see_vote(n->id, to, bytes);
        if (!passes(n->id, to, bytes)) {
            continue;
        }
        if (w.heap_count == w.heap_cap) {
            w.heap_cap = w.heap_cap ? w.heap_cap * 2 : 256;
            w.heap = realloc(w.heap, w.heap_cap * sizeof *w.heap);
        }
        uint8_t *copy = malloc(bytes.len);
        memcpy(copy, bytes.ptr, bytes.len);
        w.heap[w.heap_count++] =
            (struct message){w.now_ms + 1, w.order++, n->id, to, copy, bytes.len};
    }
}

static void after(struct node *n)
{
    if (n->is_up) {
        node_install(n);
    }
    if (n->is_up) {
        replica_early(n->replica);
        post(n);
    }
    if (!n->is_up || replica_round(n->replica)) {
        violate("a round failed");
        return;
    }
    see_leader(n);
    node_apply(n);
    post(n);
}

static struct message take(size_t i)
{
    struct message m = w.heap[i];
    memmove(w.heap + i, w.heap + i + 1, (--w.heap_count - i) * sizeof m);
    return m;
}

/* The node has it, but no round yet. */
static void receive(struct message m)
{
    struct node *n = NODE(m.to);
    if (n->is_up && (replica_tick(n->replica, w.now_ms) < 0 ||
                     replica_receive(n->replica, m.from, (struct span){m.bytes, m.len}) < 0)) {
        violate("a message ended a node");
    }
    free(m.bytes);
}

static void flow(int64_t ms)
{
    for (int64_t end_ms = w.now_ms + ms; w.now_ms < end_ms && !w.violation;) {
        w.now_ms++;
        for (size_t i = 0; i < w.heap_count && !w.violation;) {
            const struct message *m = &w.heap[i];
            if (m->at_ms > w.now_ms || is_held[m->from][m->to]) {
                i++;
                continue;
            }
            uint64_t to = m->to;
            receive(take(i));
            if (NODE(to)->is_up) {
                after(NODE(to));
            }
        }
        for (size_t i = 0; i < w.nodes_count && !w.violation; i++) {
            struct node *n = &w.nodes[i];
            if (n->is_up && replica_next_ms(n->replica) <= w.now_ms) {
                if (replica_tick(n->replica, w.now_ms)) {
                    violate("a tick ended a node");
                    return;
                }
                after(n);
            }
        }
    }
}

/* -- what a scenario does ---------------------------------------------------------------------- */

static void cut_all(void)
{
    memset(open_to, 0, sizeof open_to);
}

static void join(uint64_t a, uint64_t b)
{
    open_to[a][b] = open_to[b][a] = ALL;
}

static void join_all(void)
{
    for (uint64_t a = 1; a <= w.nodes_count; a++) {
        for (uint64_t b = 1; b < a; b++) {
            join(a, b);
        }
    }
}

static void part(uint64_t a)
{
    for (uint64_t b = 1; b <= w.nodes_count; b++) {
        open_to[a][b] = open_to[b][a] = 0;
    }
}

/* `id` becomes leader of a new term by these voters (bits by id); nothing else passes, but appends
 * up to limit_index. */
static void elect(uint64_t id, unsigned voters)
{
    uint64_t term = replica_term(NODE(id)->replica);
    cut_all();
    for (uint64_t v = 1; v <= w.nodes_count; v++) {
        if (voters >> v & 1) {
            open_to[id][v] = limit_index ? ASKS | BIT(APPEND) : ASKS;
            open_to[v][id] = limit_index ? VOTES | BIT(RESULT) : VOTES;
        }
    }
    for (int i = 0; i < 5000 && !w.violation; i++) {
        flow(1);
        if (replica_is_leader(NODE(id)->replica) && replica_term(NODE(id)->replica) > term) {
            return;
        }
    }
    expect(false, "nobody was elected");
}

static void crash(uint64_t id, bool keeps)
{
    struct node *n = NODE(id);
    if (keeps) {
        log_commit(n);
    }
    replica_free(n->replica);
    n->replica = NULL;
    n->is_up = false;
    log_copy(&n->live, &n->disk, 0);
    n->clean = log_last(n);
}

static void start(uint64_t id)
{
    node_begin(NODE(id));
    if (NODE(id)->is_up) {
        after(NODE(id));
    }
}

/* The index where it stands, if it is ever committed. */
static uint64_t propose(uint64_t id, size_t bytes)
{
    static uint8_t entry[REPLICA_MESSAGE_BYTES + 64];
    uint64_t index = 0;
    struct scribe out = scribe_of(entry, sizeof entry);
    scribe_u64(&out, ++w.number);
    expect(replica_propose(NODE(id)->replica, (struct span){entry, bytes}, &index) == 0,
           "a leader took no entry");
    after(NODE(id));
    return index;
}

static uint64_t leader_id(void)
{
    uint64_t found = 0, term = 0;
    for (uint64_t id = 1; id <= w.nodes_count; id++) {
        struct node *n = NODE(id);
        if (n->is_up && replica_is_leader(n->replica) && replica_term(n->replica) > term) {
            found = id;
            term = replica_term(n->replica);
        }
    }
    return found;
}

static bool members_same(uint64_t a, uint64_t b)
{
    struct replica_member x[REPLICA_MEMBERS_MAX], y[REPLICA_MEMBERS_MAX];
    size_t count = replica_members(NODE(a)->replica, x);
    bool same = count == replica_members(NODE(b)->replica, y);
    for (size_t i = 0; i < count && same; i++) {
        same = x[i].id == y[i].id && x[i].role == y[i].role;
    }
    return same;
}

/* All is well again: a leader, and its new entry everywhere that its members are. */
static void heal(int64_t bound_ms)
{
    memset(is_held, 0, sizeof is_held);
    limit_index = 0;
    join_all();
    for (uint64_t id = 1; id <= w.nodes_count; id++) {
        if (!NODE(id)->is_up) {
            start(id);
        }
    }
    uint64_t goal = 0;
    for (int64_t end_ms = w.now_ms + bound_ms; w.now_ms < end_ms && !w.violation;) {
        flow(10);
        uint64_t id = leader_id();
        if (id && goal <= w.truths_count && w.now_ms + bound_ms / 2 < end_ms) {
            goal = propose(id, 16);
        }
        struct replica_member members[REPLICA_MEMBERS_MAX];
        size_t count = id ? replica_members(NODE(id)->replica, members) : 0, behind = count == 0;
        for (size_t i = 0; i < count; i++) {
            behind += NODE(members[i].id)->applied < goal ||
                      (goal > 0 && !members_same(id, members[i].id));
        }
        if (goal > 0 && behind == 0) {
            return;
        }
    }
    expect(false, "healed, but no entry came through everywhere");
}

static void begin(size_t nodes, size_t first)
{
    world_begin(1);
    w.first_count = first;
    w.nodes_count = nodes;
    w.mix = (struct mix){.trail = 1u << 20};
    w.is_healed = true; /* states are fetched at once */
    unmet = NULL;
    limit_index = 0;
    cut_all();
    memset(is_held, 0, sizeof is_held);
    for (size_t i = 0; i < nodes; i++) {
        node_begin(&w.nodes[i]);
    }
}

/* Node 1 leads, and all have what it has committed. */
static void settle(void)
{
    elect(1, ALL);
    join_all();
    flow(200);
    expect(w.truths_count > 0, "nothing was committed");
}

#include "tests/sim/scenarios.h"

int main(int argc, char **argv)
{
    int only = argc > 1 ? atoi(argv[1]) : 0, failed = 0;
    int count = (int)(sizeof scenarios / sizeof scenarios[0]);
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (int i = 0; i < count; i++) {
        if (only && only != i + 1) {
            continue;
        }
        scenarios[i].run();
        const char *wrong = w.violation ? w.violation : unmet;
        printf("%s %d - %s\n", wrong ? "not ok" : "ok", only ? 1 : i + 1, scenarios[i].name);
        if (wrong) {
            printf("# %s (%lld ms)\n", wrong, (long long)w.now_ms);
            err_print(stdout);
            failed = 1;
        }
        world_end();
    }
    printf("1..%d\n", only ? 1 : count);
    return failed;
}

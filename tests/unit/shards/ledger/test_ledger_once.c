/* SPDX-License-Identifier: MIT */
/* Exactly once against a model that is a table: (identity, operator or not, request id) -> command,
 * answer, time.  Few ids, so each is used again all the time: with the same body, with
 * another one, by the other role, in another class, a microsecond before its day is over and when
 * it is.  In between all that touches what is remembered: sweeps, expiries, restarts, erasures,
 * newer rules, days without requests, a person who asks for too much.
 *   known, same body   -> the first answer, and nothing is written
 *   known, other body  -> REQUEST_ID_REUSED, and nothing is written
 *   not known          -> decided now: written, what is made has a new number; and nobody ever has
 *                         more than the pool allows, or a slot that somebody else has */
#include "base/prng.h"
#include "ledger/ledger_parts.h"
#include "tests/unit/shards/ledger/ledger_kit.h"

#define PEOPLE 4
#define IDS    180 /* of a role: more than an account and its sheaves remember */
#define POOLS  4
#define SLOTS  600
#define SLOTS_ALL 5000 /* with those that operators make */
#define ITEMS  4096
#define STEPS  6000

static const char *const pools[POOLS] = {
    "city", "a-village-whose-name-is-as-long-as-a-name-of-a-pool-may-be-and-", "cars", "draw"};
static const char *const classes[POOLS] = {"passport", "passport", "cars", "draw"};
static const uint32_t live_max[POOLS] = {3, 2, 2, 1};

/* A command and all that it points to; so it is bound again wherever it is copied to. */
struct wish {
    struct command c;
    struct slot_key slots[3];
    struct new_slot made;
    struct pool_view pool;
    struct release_policy policy;
    struct release_words words;
    struct ticket_wish ticket;
    char text[40];
};

static struct once {
    bool is_known;
    int64_t at_us;
    int reason;
    uint64_t answer;
    struct wish wish;
} table[PEOPLE][2][IDS];

struct item {
    bool is_there, is_kept;
    unsigned person, pool;
    int64_t expire_us;
    uint64_t id[2];
};
static struct item items[ITEMS];
static size_t items_count;
static int owners[POOLS][SLOTS_ALL]; /* an item's index + 1 */
static struct {
    int64_t day;
    uint32_t count;
} asked[PEOPLE][POOLS]; /* by class: that of its first pool */

static struct kit k;
static struct prng prng;
static size_t again_count, reused_count, anew_count, limited_count, erased_count, edges_count;
static size_t sheaves_most, records_most;
static uint64_t nonce;

static uint64_t below(uint64_t n)
{
    return prng_below(&prng, n);
}

static unsigned class_of(unsigned pool)
{
    return pool == 1 ? 0 : pool;
}

static void bind(struct wish *w)
{
    struct command *c = &w->c;
    bool names = c->slots_count > 0;
    c->slots = names ? w->slots : NULL;
    c->new_slots = c->new_slots_count ? &w->made : NULL;
    c->new_pool = c->kind == COMMAND_CREATE_POOL || c->kind == COMMAND_UPDATE_POOL ? &w->pool
                                                                                   : NULL;
    w->words.policy = c->kind == COMMAND_CREATE_RELEASE ? &w->policy : NULL;
    w->words.wishes = w->words.wishes_count ? &w->ticket : NULL;
    c->release = w->words.id.len ? &w->words : NULL;
    if (c->kind == COMMAND_ERASE) {
        c->note = span_of(w->text);
    }
    if (c->kind == COMMAND_CREATE_POOL) {
        c->pool = w->pool.id = span_of(w->text);
    }
}

/* -- what is asked ----------------------------------------------------------------------------- */

static void name_slot(struct wish *w, size_t count)
{
    unsigned first = (unsigned)below(below(2) ? SLOTS : 40);
    for (size_t i = 0; i < count; i++) {
        w->slots[i] = kit_slot((first + (unsigned)i) % SLOTS);
    }
    w->c.slots_count = count;
}

/* A change of something of that person's, rarely of somebody else's. */
static bool pick_item(struct wish *w, unsigned person)
{
    for (int tries = 0; tries < 30 && items_count > 0; tries++) {
        size_t back = items_count < 40 ? items_count : 40;
        const struct item *i = &items[items_count - 1 - below(back)];
        if (i->person == person || below(20) == 0) {
            w->c.owner = i->id[0];
            w->c.number = i->id[1];
            w->c.pool = span_of(pools[i->pool]);
            return true;
        }
    }
    return false;
}

static void invent_ticket(struct wish *w)
{
    w->c.kind = below(3) ? COMMAND_CREATE_TICKET : COMMAND_DELETE_TICKET;
    w->c.pool = span_of("draw");
    w->words.id = span_of(below(10) ? "r" : "none");
    if (w->c.kind == COMMAND_CREATE_TICKET) {
        w->words.slot_count = 1;
        w->words.wishes_count = 1;
        w->ticket = (struct ticket_wish){.kind = WISH_SLOT};
        w->ticket.slot = kit_slot((unsigned)below(SLOTS + 1));
    }
}

static void invent_client(struct wish *w, unsigned person)
{
    static const enum command_kind changes[] = {
        COMMAND_CONFIRM_HOLD, COMMAND_CONFIRM_HOLD, COMMAND_DROP_HOLD, COMMAND_CANCEL_RESERVATION,
        COMMAND_RESCHEDULE, COMMAND_RECONFIRM};
    uint64_t what = below(100);
    if (what < 12) {
        invent_ticket(w);
        return;
    }
    if (what < 60 && pick_item(w, person)) {
        w->c.kind = changes[below(ARRAY_COUNT(changes))];
    } else {
        w->c.kind = COMMAND_CREATE_HOLD;
        w->c.pool = span_of(below(50) ? pools[below(POOLS)] : "nowhere");
    }
    if (w->c.kind == COMMAND_CREATE_HOLD || w->c.kind == COMMAND_RESCHEDULE) {
        name_slot(w, 1);
    }
    if (w->c.slots_count > 0 && below(2)) { /* neighbours, of any desk */
        w->c.slots_count = 0;
        w->c.select_us = w->slots[0].start_us;
        w->c.select_count = 1 + (uint32_t)below(4);
    }
}

static void invent_release(struct wish *w)
{
    static const uint8_t secret[RELEASE_SECRET] = {1, 2, 3};
    w->c.kind = COMMAND_CREATE_RELEASE;
    w->c.pool = span_of("draw");
    w->policy = (struct release_policy){.serving = RELEASE_BY_PREFERENCE,
                                        .entry_open_us = KIT_NOW,
                                        .entry_close_us = KIT_START - DAY_US,
                                        .entry_grace_us = 10 * SECOND_US,
                                        .turn_us = 90 * SECOND_US,
                                        .slots_from_us = KIT_START,
                                        .slots_to_us = KIT_START + 30 * DAY_US};
    w->words = (struct release_words){.id = span_of("r"), .secret = {secret, sizeof secret}};
}

static void invent_operator(struct wish *w)
{
    static const enum command_kind kinds[] = {
        COMMAND_CREATE_SLOTS, COMMAND_CREATE_SLOTS, COMMAND_BLOCK_SLOTS, COMMAND_UNBLOCK_SLOTS,
        COMMAND_RESTOCK, COMMAND_RESTOCK, COMMAND_CREATE_POOL, COMMAND_UPDATE_POOL};
    w->c.roles = below(30) ? ROLE_OPERATOR : 0;
    w->c.kind = kinds[below(ARRAY_COUNT(kinds))];
    w->c.pool = span_of(pools[below(3)]);
    if (w->c.kind == COMMAND_CREATE_SLOTS) {
        struct slot_key key = kit_slot(SLOTS - 20 + (unsigned)below(4000));
        w->made = (struct new_slot){key.start_us, 600 * SECOND_US, key.slug, span_of("Desk")};
        w->c.new_slots_count = 1;
    } else if (w->c.kind == COMMAND_CREATE_POOL) {
        snprintf(w->text, sizeof w->text, "p%u", (unsigned)below(60));
        w->pool = kit_policy("", "other");
    } else if (w->c.kind == COMMAND_UPDATE_POOL) {
        w->pool.hold_ttl_us = (int64_t)(200 + below(600)) * SECOND_US;
        w->c.pool_mask = POOL_FIELD_HOLD_TTL;
    } else if (w->c.kind != COMMAND_RESTOCK) {
        name_slot(w, 3);
    }
    if (below(40) == 0) {
        invent_release(w);
    }
}

static void invent_erasure(struct wish *w)
{
    struct identity who = kit_person((unsigned)below(PEOPLE));
    w->c.kind = COMMAND_ERASE;
    w->c.roles = ROLE_OPERATOR;
    for (int i = 0; i < 16; i++) {
        snprintf(w->text + 2 * i, 3, "%02x", who.bytes[i]);
    }
}

static void invent(struct wish *w, unsigned person, unsigned role, unsigned id)
{
    memset(w, 0, sizeof *w);
    w->c = (struct command){.identity = kit_person(person), .assurance = ASSURANCE_HIGH};
    if (role == 0) {
        invent_client(w, person);
    } else if (below(60) == 0) {
        invent_erasure(w);
    } else {
        invent_operator(w);
    }
    w->c.request_id = kit_request(1 + id);
    w->c.body_hash = ++nonce * 7919;
    bind(w);
}

/* -- what comes of it -------------------------------------------------------------------------- */

static bool is_remembered(int reason)
{
    static const enum reason not[] = {
        REASON_RATE_LIMITED, REASON_COOL_DOWN, REASON_RECONFIRM_EARLY, REASON_RELEASE_NOT_OPEN,
        REASON_RESTOCK_RUNNING, REASON_ERASE_RUNNING, REASON_POOL_UNKNOWN, REASON_ROLE_MISSING,
        REASON_FIELD_INVALID, REASON_METHOD_PLANNED};
    bool is = true;
    for (size_t i = 0; i < ARRAY_COUNT(not); i++) {
        is = is && reason != (int)not[i];
    }
    return is;
}

static void settle(void)
{
    while (kit_expire(&k) > 0) {
    }
    for (size_t i = 0; i < items_count; i++) {
        items[i].is_there = items[i].is_there &&
                            (items[i].is_kept || items[i].expire_us > k.now_us);
    }
}

static bool counts(const struct item *i)
{
    return i->is_there && (i->is_kept || i->expire_us > k.now_us);
}

static void owns(size_t index, const struct slot_view *slots, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int64_t nth = (slots[i].key.start_us - KIT_START) / (600 * SECOND_US);
        size_t slot = 2 * (size_t)nth + span_equal(slots[i].key.slug, span_of("b"));
        OK(slot < SLOTS_ALL);
        int *owner = &owners[items[index].pool][slot % SLOTS_ALL];
        OK(*owner == 0 || *owner == (int)index + 1 || !counts(&items[*owner - 1]));
        *owner = (int)index + 1;
    }
}

static unsigned pool_of(const struct wish *w)
{
    unsigned pool = 0;
    while (pool < POOLS && !span_equal(w->c.pool, span_of(pools[pool]))) {
        pool++;
    }
    return pool;
}

static void held(const struct wish *w, unsigned person)
{
    const struct hold_view *hold = &k.v.holds[0];
    unsigned live = 0, pool = pool_of(w);
    CHECK(items_count < ITEMS);
    items[items_count] = (struct item){true, false, person, pool, hold->expire_us,
                                       {hold->owner, hold->number}};
    for (size_t i = 0; i < items_count; i++) {
        OK(items[i].id[1] != hold->number);
    }
    owns(items_count++, hold->slots, hold->slots_count);
    for (size_t i = 0; i < items_count; i++) {
        live += items[i].person == person && counts(&items[i]) &&
                class_of(items[i].pool) == class_of(pool);
    }
    OK(live <= live_max[pool]);
}

static void changed(const struct wish *w, unsigned person)
{
    size_t at = 0;
    while (at < items_count && items[at].id[1] != w->c.number) {
        at++;
    }
    OK(at < items_count);
    struct item *i = &items[at];
    OK(i->person == person && i->is_there);
    if (w->c.kind == COMMAND_DROP_HOLD || w->c.kind == COMMAND_CANCEL_RESERVATION) {
        i->is_there = false;
        return;
    }
    OK(i->is_kept == (w->c.kind != COMMAND_CONFIRM_HOLD));
    i->is_kept = true;
    for (int slot = 0; slot < SLOTS_ALL; slot++) { /* a move leaves them */
        int *owner = &owners[i->pool][slot];
        *owner = *owner == (int)at + 1 ? 0 : *owner;
    }
    owns(at, k.v.reservations[0].slots, k.v.reservations[0].slots_count);
}

static void erased(const struct wish *w)
{
    unsigned person = 0;
    while (person < PEOPLE) {
        struct identity who = kit_person(person);
        char hex[3];
        snprintf(hex, sizeof hex, "%02x", who.bytes[0]);
        if (memcmp(hex, w->text, 2) == 0) {
            break;
        }
        person++;
    }
    CHECK(person < PEOPLE);
    memset(table[person], 0, sizeof table[person]);
    memset(asked[person], 0, sizeof asked[person]);
    for (size_t i = 0; i < items_count; i++) {
        items[i].is_there = items[i].is_there && items[i].person != person;
    }
    erased_count++;
}

static int apply(const struct wish *w)
{
    k.m.puts = 0;
    return kit_apply(&k, &w->c);
}

/* What is done by steps: until it is done. */
static int apply_whole(const struct wish *w)
{
    int r = apply(w);
    while (r == REASON_RESTOCK_RUNNING || r == REASON_ERASE_RUNNING) {
        settle();
        r = apply(w);
        k.m.puts += r == REASON_OK; /* by a step: this is the answer to be remembered */
    }
    return r;
}

/* Decided now. */
static void decide(struct once *o, const struct wish *w, unsigned person, unsigned role)
{
    unsigned pool = pool_of(w);
    uint64_t log_index = k.log_index;
    bool is_client = role == 0 && pool < POOLS;
    int64_t day = k.now_us / DAY_US;
    if (is_client && asked[person][class_of(pool)].day != day) {
        asked[person][class_of(pool)].day = day;
        asked[person][class_of(pool)].count = 0;
    }
    uint32_t *count = &asked[person][class_of(pool % POOLS)].count;
    bool is_over = is_client && *count >= REQUESTS_PER_IDENTITY_DAY;
    int reason = apply_whole(w);
    OK(reason >= 0 && reason != REASON_REQUEST_ID_REUSED);
    if (role == 0) {
        EQ(reason == REASON_RATE_LIMITED, is_over);
    }
    limited_count += is_over;
    if (reason < 0 || !is_remembered(reason)) {
        return; /* what was known is over, and stays so */
    }
    anew_count++;
    OK(k.m.puts > 0);
    uint64_t answer = kit_digest(&k);
    if (reason == REASON_OK && w->c.kind == COMMAND_CREATE_HOLD) {
        OK(k.v.holds[0].number >> LEDGER_ITEM_BITS == log_index + 1);
        held(w, person);
    } else if (reason == REASON_OK && role == 0 && w->c.release == NULL) {
        changed(w, person);
    } else if (reason == REASON_OK && w->c.kind == COMMAND_ERASE) {
        erased(w);
    }
    *count += is_client;
    *o = (struct once){true, k.now_us, reason, answer, *w};
    bind(&o->wish);
}

static void recall(const struct once *o, const struct wish *w)
{
    bool is_same = w->c.kind == o->wish.c.kind && w->c.body_hash == o->wish.c.body_hash;
    int expected = is_same ? o->reason : REASON_REQUEST_ID_REUSED;
    bool is_hashed = again_count % 256 == 0 && k.m.count < 10000;
    uint64_t before = is_hashed ? membook_hash(&k.m) : 0;
    int reason = apply(w);
    if (reason != expected || (is_same && kit_digest(&k) != o->answer)) {
        printf("# %s of %lld us ago: %s, not %s\n", is_same ? "the same" : "another",
               (long long)(k.now_us - o->at_us),
               reason < 0 ? "damaged" : reason_name((enum reason)reason),
               reason_name((enum reason)expected));
        OK(false);
    }
    EQ(k.m.puts, 0);
    OK(!is_hashed || membook_hash(&k.m) == before);
    again_count += is_same;
    reused_count += !is_same;
}

/* A pool that is not there comes before the id, and so does a missing role. */
static bool is_judged_before(const struct wish *w, unsigned role)
{
    return role == 1 ? !(w->c.roles & ROLE_OPERATOR) : pool_of(w) == POOLS;
}

static void ask(unsigned person, unsigned role, unsigned id)
{
    static struct wish w;
    struct once *o = &table[person][role][id];
    bool is_known = o->is_known && k.now_us < o->at_us + DAY_US;
    if (o->is_known && below(4)) {
        w = o->wish;
        bind(&w);
    } else {
        invent(&w, person, role, id);
    }
    if (is_known && !is_judged_before(&w, role)) {
        recall(o, &w);
    } else {
        decide(o, &w, person, role);
    }
}

/* -- time and all that happens beside ---------------------------------------------------------- */

/* To the last moment of what somebody remembers, or the first one after, if that is soon; and it is
 * asked for, maybe behind a sweep. */
static void to_an_edge(void)
{
    unsigned person = below(2) ? 0 : (unsigned)below(PEOPLE), role = below(4) == 0;
    int64_t over_us = (int64_t)below(2);
    int64_t soon_us = k.now_us + (below(200) ? 300 * SECOND_US : DAY_US);
    struct command sweep = {.kind = COMMAND_SWEEP};
    unsigned id = 0;
    while (id < IDS && !(table[person][role][id].is_known &&
                         table[person][role][id].at_us + DAY_US > k.now_us &&
                         table[person][role][id].at_us + DAY_US <= soon_us)) {
        id++;
    }
    if (id == IDS) {
        return;
    }
    k.now_us = table[person][role][id].at_us + DAY_US - 1 + over_us;
    for (uint64_t i = below(4); i > 0; i--) {
        EQ(kit_apply(&k, &sweep), REASON_OK);
    }
    edges_count++;
    ask(person, role, id);
}

static void pass(void)
{
    uint64_t what = below(2000);
    k.now_us += what < 800    ? 0
                : what < 1600 ? (int64_t)below(20 * SECOND_US)
                : what < 1650 ? (int64_t)below(1500 * SECOND_US)
                : what < 1651 ? (int64_t)below(30 * HOUR_US)
                              : 0;
    if (what >= 1651) {
        to_an_edge();
    }
}

/* More of one person's day than is allowed. */
static void flood(void)
{
    unsigned person = 0;
    struct command c = kit_command(&k, COMMAND_CREATE_HOLD, "city", person);
    struct slot_key nowhere = kit_slot(9 * SLOTS);
    c.slots = &nowhere;
    c.slots_count = 1;
    k.m.is_strict = false;
    k.now_us += 2 * DAY_US - k.now_us % DAY_US; /* nothing is known of before */
    asked[person][0].day = k.now_us / DAY_US;
    asked[person][0].count = REQUESTS_PER_IDENTITY_DAY;
    for (int i = 0; i < REQUESTS_PER_IDENTITY_DAY; i++) {
        c.request_id = kit_request(UINT64_C(1) << 40 | ++nonce);
        if (kit_apply(&k, &c) != REASON_SLOT_UNKNOWN) {
            OK(false);
        }
    }
    k.m.is_strict = true;
    for (int i = 0; i < 100; i++) {
        ask(person, 0, (unsigned)below(IDS));
    }
}

static void beside(void)
{
    uint64_t what = below(1000);
    struct command sweep = {.kind = COMMAND_SWEEP};
    if (what < 40) {
        settle();
    } else if (what < 60) {
        EQ(kit_reopen(&k), 0);
    } else if (what < 120) {
        EQ(kit_apply(&k, &sweep), REASON_OK);
        bool is_small = k.m.count < 10000;
        size_t sheaves = is_small ? kit_count(&k, 'G') : 0;
        size_t records = is_small ? kit_count(&k, 'R') : 0;
        sheaves_most = sheaves > sheaves_most ? sheaves : sheaves_most;
        records_most = records > records_most ? records : records_most;
    }
}

static void furnish(uint32_t rules)
{
    kit_rules = rules;
    kit_init(&k);
    memset(table, 0, sizeof table);
    memset(owners, 0, sizeof owners);
    memset(asked, 0, sizeof asked);
    items_count = 0;
    for (unsigned i = 0; i < POOLS; i++) {
        struct pool_view p = kit_policy(pools[i], classes[i]);
        p.max_live = live_max[i];
        p.scarce = i == 3;
        p.max_changes = 5;
        EQ(kit_pool_of(&k, &p), REASON_OK);
        EQ(kit_slots(&k, pools[i], 0, SLOTS), REASON_OK);
    }
    static struct wish w;
    memset(&w, 0, sizeof w);
    invent_release(&w);
    w.c.identity = kit_person(9999);
    w.c.roles = ROLE_OPERATOR;
    w.c.request_id = kit_request(UINT64_C(1) << 41);
    bind(&w);
    EQ(kit_apply(&k, &w.c), REASON_OK);
    settle();
}

static void live(uint64_t seed, uint32_t rules)
{
    struct command raise = {.kind = COMMAND_RAISE, .version = LEDGER_VERSION};
    prng_init(&prng, seed);
    furnish(rules);
    for (int i = 0; i < STEPS && !tap_broken && k.now_us < KIT_START - 2 * DAY_US; i++) {
        unsigned person = (unsigned)below(4) ? 0 : (unsigned)below(PEOPLE); /* one is busy */
        ask(person, below(4) == 0, (unsigned)below(IDS));
        beside();
        pass();
        if (i == STEPS / 2) {
            EQ(kit_apply(&k, &raise), REASON_OK);
        }
        if (i == STEPS - 500 && seed == 5) {
            flood();
        }
    }
    if (tap_broken) {
        printf("# seed %llu, rules %u, log index %llu\n", (unsigned long long)seed, rules,
               (unsigned long long)k.log_index);
    }
    kit_fini(&k);
}

static void test_against_a_table(void)
{
    static const uint32_t rules[] = {7, 3, 7, 5, 7, 6, 7, 7};
    for (uint64_t seed = 1; seed <= 16 && !tap_broken; seed++) {
        live(seed, rules[seed % ARRAY_COUNT(rules)]);
    }
    printf("# %zu decided, %zu asked again, %zu with another body, %zu over a day's limit, "
           "%zu at the end of a day, %zu erased\n",
           anew_count, again_count, reused_count, limited_count, edges_count, erased_count);
    printf("# at most %zu sheaves and %zu records of their own\n", sheaves_most, records_most);
    OK(anew_count > 10000);
    OK(again_count > 10000);
    OK(reused_count > 3000);
    OK(limited_count > 10);
    OK(edges_count > 300);
    OK(erased_count > 50);
    OK(sheaves_most > LEDGER_SHEAVES_MAX);
}

int main(void)
{
    TAP_RUN(test_against_a_table);
    return tap_done();
}

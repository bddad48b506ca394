/* SPDX-License-Identifier: MIT */
/* Verdicts remembered inside an account: whatever happens to the items that they tell of, to how
 * many there are, and to the rules, every request of the last day gets its first answer again, and
 * the book does not change by it.  And what is damaged is refused. */
#include "base/prng.h"
#include "ledger/ledger_memory.h"
#include "tests/unit/shards/ledger/ledger_kit.h"

#define PEOPLE 4
#define STEPS  6000
#define SLOTS  3000
#define LONG   "a-pool-whose-name-is-as-long-as-a-name-of-a-pool-may-be-and-more" /* cut at 63 */

static char names[3][64];

/* What was asked, and the answer that it got. */
struct asked {
    struct command c;
    struct slot_key slot;
    int64_t at_us;
    int reason;
    uint64_t answer;
};
static struct asked asked[STEPS];
static size_t asked_count, again_count, beside_most;

struct owned {
    unsigned person, pool;
    uint64_t id[2];
};
static struct owned owned[STEPS];
static size_t owned_count;

static void furnish(struct kit *k)
{
    static const char *const ids[3] = {"city", "cars", LONG};
    kit_init(k);
    for (unsigned i = 0; i < 3; i++) {
        snprintf(names[i], sizeof names[i], "%s", ids[i]);
        struct pool_view p = kit_policy(names[i], i == 1 ? "cars" : "passport");
        p.max_live = i == 1 ? 2 : 12;
        p.max_slots = 4;
        p.max_changes = 5;
        p.reconfirm_by_us = i == 2 ? HOUR_US : 0;
        EQ(kit_pool_of(k, &p), REASON_OK);
        EQ(kit_slots(k, names[i], 0, SLOTS), REASON_OK);
    }
    asked_count = owned_count = again_count = beside_most = 0;
}

static void invent(struct kit *k, struct prng *p, struct asked *a)
{
    static const enum command_kind kinds[] = {
        COMMAND_CREATE_HOLD, COMMAND_CREATE_HOLD, COMMAND_CREATE_HOLD, COMMAND_CONFIRM_HOLD,
        COMMAND_CONFIRM_HOLD, COMMAND_DROP_HOLD, COMMAND_CANCEL_RESERVATION, COMMAND_RESCHEDULE,
        COMMAND_RESCHEDULE, COMMAND_RECONFIRM};
    enum command_kind kind = kinds[prng_below(p, ARRAY_COUNT(kinds))];
    const struct owned *o = NULL;
    if (kind != COMMAND_CREATE_HOLD && owned_count > 0) {
        size_t back = owned_count < 24 ? owned_count : 24;
        o = &owned[owned_count - 1 - prng_below(p, back)];
    }
    kind = o ? kind : COMMAND_CREATE_HOLD;
    unsigned pool = o ? o->pool : (unsigned)prng_below(p, 3);
    a->c = kit_command(k, kind, names[pool], o ? o->person : 1 + (unsigned)prng_below(p, PEOPLE));
    a->slot = kit_slot((unsigned)prng_below(p, SLOTS));
    if (o) {
        a->c.owner = o->id[0];
        a->c.number = o->id[1];
    }
    if (kind == COMMAND_RESCHEDULE || (kind == COMMAND_CREATE_HOLD && prng_below(p, 2))) {
        a->c.select_us = a->slot.start_us;
        a->c.select_count = 1 + (uint32_t)prng_below(p, 3);
    } else if (kind == COMMAND_CREATE_HOLD) {
        a->c.slots = &a->slot;
        a->c.slots_count = 1;
    }
}

static bool is_remembered(int reason)
{
    return reason != REASON_RATE_LIMITED && reason != REASON_COOL_DOWN &&
           reason != REASON_RECONFIRM_EARLY;
}

static void ask(struct kit *k, struct prng *p)
{
    struct asked *a = &asked[asked_count++];
    invent(k, p, a);
    a->at_us = k->now_us;
    a->reason = kit_apply(k, &a->c);
    OK(a->reason >= 0);
    a->answer = a->reason < 0 ? 0 : kit_digest(k);
    if (a->c.kind == COMMAND_CREATE_HOLD && a->reason == REASON_OK) {
        struct owned *o = &owned[owned_count++];
        *o = (struct owned){.person = a->c.identity.bytes[0],
                            .id = {k->v.holds[0].owner, k->v.holds[0].number}};
        while (!span_equal(a->c.pool, span_of(names[o->pool]))) {
            o->pool++;
        }
    }
}

/* One of the last ones: the same answer while it is young, and nothing is written. */
static void ask_again(struct kit *k, struct prng *p)
{
    size_t back = asked_count < 60 ? asked_count : 60;
    const struct asked *a = &asked[asked_count - 1 - prng_below(p, back)];
    if (a->reason < 0 || !is_remembered(a->reason) || k->now_us >= a->at_us + DAY_US) {
        return;
    }
    bool is_hashed = again_count++ % 64 == 0; /* it takes its time */
    uint64_t before = is_hashed ? membook_hash(&k->m) : 0;
    int reason = kit_apply(k, &a->c);
    if (reason != a->reason || (reason >= 0 && kit_digest(k) != a->answer)) {
        printf("# after %zu: %s, not %s\n", asked_count,
               reason < 0 ? "damaged" : reason_name((enum reason)reason),
               reason_name((enum reason)a->reason));
        OK(false);
    }
    OK(!is_hashed || membook_hash(&k->m) == before);
}

static void live(struct kit *k, uint64_t seed, uint32_t raised_to)
{
    struct prng p;
    prng_init(&p, seed);
    while (asked_count < STEPS / 4 * (raised_to ? 4u : 2u)) {
        uint64_t what = prng_below(&p, 1000);
        k->now_us += what < 5 ? (int64_t)prng_below(&p, 9) * HOUR_US
                              : (int64_t)prng_below(&p, 90) * SECOND_US;
        if (what < 100) {
            kit_expire(k);
        } else if (what < 110) {
            EQ(kit_reopen(k), 0);
        } else if (what < 120) {
            struct command sweep = {.kind = COMMAND_SWEEP};
            EQ(kit_apply(k, &sweep), REASON_OK);
            size_t beside = kit_count(k, 'R') + kit_count(k, 'G');
            beside_most = beside > beside_most ? beside : beside_most;
        } else {
            ask(k, &p);
        }
        for (int i = 0; i < 3 && asked_count > 0; i++) {
            ask_again(k, &p);
        }
    }
    if (raised_to) {
        return;
    }
    struct command raise = {.kind = COMMAND_RAISE, .version = LEDGER_VERSION};
    EQ(kit_apply(k, &raise), REASON_OK);
    live(k, seed + 1, LEDGER_VERSION);
}

/* By the rules of before, raised half way, and by the newest from the beginning. */
static void test_every_answer_again(void)
{
    size_t again = 0, beside = 0, moved = 0;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct kit k;
        furnish(&k);
        live(&k, seed * 100, kit_rules);
        for (size_t i = 0; i < asked_count; i++) {
            moved += asked[i].c.kind == COMMAND_RESCHEDULE && asked[i].reason == REASON_OK;
        }
        again += again_count;
        beside = beside_most > beside ? beside_most : beside;
        kit_fini(&k);
    }
    printf("# %zu asked again, %zu moved, at most %zu verdicts beside\n", again, moved, beside);
    OK(again > 30000);
    OK(moved > 100);
    OK(beside > 50);
}

static struct command refused(struct kit *k)
{
    static struct slot_key unknown;
    struct command c = kit_command(k, COMMAND_CREATE_HOLD, "city", 1);
    unknown = kit_slot(5000);
    c.slots = &unknown;
    c.slots_count = 1;
    return c;
}

#define IN_SHEAVES (LEDGER_SHEAVES_MAX * LEDGER_MEMORIES_MAX)
#define BUSY       (IN_SHEAVES + LEDGER_MEMORIES_MAX + 20)

/* A new request is looked for nowhere but in the account.  Each ninth ties the eight before into a
 * sheaf; when the account has as many as it can have, each costs a record of its own, and from then
 * on for a day such records are asked for too. */
static void test_where_it_is_looked_for(void)
{
    struct kit k;
    kit_rules = LEDGER_VERSION;
    furnish(&k);
    size_t operators = kit_count(&k, 'R');
    for (size_t i = 0; i < BUSY; i++) {
        struct command c = refused(&k);
        k.m.gets = k.m.puts = 0;
        EQ(kit_apply(&k, &c), REASON_SLOT_UNKNOWN);
        size_t sheaves = i / LEDGER_MEMORIES_MAX, own = 0;
        if (sheaves > LEDGER_SHEAVES_MAX) {
            sheaves = LEDGER_SHEAVES_MAX;
            own = i + 1 - IN_SHEAVES - LEDGER_MEMORIES_MAX;
        }
        bool ties = i > 0 && i <= IN_SHEAVES && i % LEDGER_MEMORIES_MAX == 0;
        EQ(kit_count(&k, 'G'), sheaves);
        EQ(kit_count(&k, 'R'), operators + own);
        EQ(k.m.gets, 2 + (own > 1)); /* account, slot */
        EQ(k.m.puts, i == 0 ? 2 : 1 + ties + (own > 0));
    }
    k.now_us += DAY_US + SECOND_US; /* they are over: so is looking for them */
    struct command c = refused(&k);
    k.m.gets = 0;
    EQ(kit_apply(&k, &c), REASON_SLOT_UNKNOWN);
    EQ(k.m.gets, 2);
    struct slot_key slot = kit_slot(2000);
    c = kit_command(&k, COMMAND_CREATE_HOLD, "city", 1);
    c.slots = &slot;
    c.slots_count = 1;
    k.m.gets = 0;
    EQ(kit_apply(&k, &c), REASON_OK);
    EQ(k.m.gets, 2); /* its slot is read once */
    kit_fini(&k);
}

/* Every request of a busy person again, each with its own answer, wherever it lies; a reused id is
 * found out there; after a day they are new, and the sweep takes all records, none before. */
static void test_a_busy_person(void)
{
    static struct command all[BUSY];
    static uint64_t numbers[BUSY];
    static struct slot_key slots[BUSY];
    struct command sweep = {.kind = COMMAND_SWEEP};
    struct kit k;
    kit_rules = LEDGER_VERSION;
    furnish(&k);
    k.now_us += 700000; /* sheaves end at whole seconds */
    int64_t begin_us = k.now_us;
    for (size_t i = 0; i < BUSY; i++) {
        slots[i] = kit_slot(1000 + (unsigned)i);
        all[i] = kit_command(&k, COMMAND_CREATE_HOLD, "city", 1);
        all[i].slots = &slots[i];
        all[i].slots_count = 1;
        EQ(kit_apply(&k, &all[i]), REASON_OK);
        numbers[i] = k.v.holds[0].number;
        uint64_t id[2] = {k.v.holds[0].owner, k.v.holds[0].number};
        struct command drop = kit_command(&k, COMMAND_DROP_HOLD, "city", 1);
        drop.owner = id[0];
        drop.number = id[1];
        EQ(kit_apply(&k, &drop), REASON_OK);
        k.now_us += SECOND_US;
    }
    EQ(kit_count(&k, 'G'), LEDGER_SHEAVES_MAX);
    for (size_t over = 0; over < BUSY; over += 7) { /* so many are */
        k.now_us = begin_us + DAY_US + (int64_t)over * SECOND_US - 1;
        for (int i = 0; i < 3; i++) {
            EQ(kit_apply(&k, &sweep), REASON_OK);
        }
        for (size_t i = over; i < BUSY; i++) {
            EQ(kit_apply(&k, &all[i]), REASON_OK);
            OK(k.v.holds[0].number == numbers[i]);
            struct command reused = all[i];
            reused.body_hash++;
            EQ(kit_apply(&k, &reused), REASON_REQUEST_ID_REUSED);
            reused.pool = span_of("cars");
            EQ(kit_apply(&k, &reused), REASON_REQUEST_ID_REUSED);
        }
    }
    k.now_us = begin_us + DAY_US + BUSY * SECOND_US;
    for (int i = 0; i < 30; i++) {
        EQ(kit_apply(&k, &sweep), REASON_OK);
    }
    EQ(kit_count(&k, 'G'), 0);
    EQ(kit_count(&k, 'R'), 0);
    for (size_t i = 0; i < 3; i++) { /* decided anew: a slot that came back waits for a restock */
        EQ(kit_apply(&k, &all[i]), REASON_SLOT_TAKEN);
    }
    kit_fini(&k);
}

/* A person with one sheaf, and the first request in it. */
static struct command with_sheaf(struct kit *k, struct ledger_key *ret_account,
                                 struct ledger_key *ret_sheaf)
{
    struct identity who = kit_person(1);
    struct routing_key at = ledger_identity_key(span_of("passport"), &who);
    kit_rules = LEDGER_VERSION;
    furnish(k);
    struct command first = refused(k);
    EQ(kit_apply(k, &first), REASON_SLOT_UNKNOWN);
    for (int i = 0; i < LEDGER_MEMORIES_MAX; i++) {
        struct command c = refused(k);
        EQ(kit_apply(k, &c), REASON_SLOT_UNKNOWN);
    }
    *ret_account = ledger_key_account(at, &who);
    *ret_sheaf = ledger_key_sheaf(at, &who, 0);
    EQ(kit_count(k, 'G'), 1);
    return first;
}

static bool is_decided_anew(struct kit *k, const struct command *c)
{
    k->m.puts = 0;
    EQ(kit_apply(k, c), REASON_SLOT_UNKNOWN);
    return k->m.puts > 0;
}

/* An id that is used again after its day has two verdicts, the older one in a sheaf that others
 * keep alive: the newer one counts, wherever it goes. */
static void test_an_id_of_the_day_before(void)
{
    struct kit k;
    kit_rules = LEDGER_VERSION;
    furnish(&k);
    struct command first = refused(&k);
    OK(is_decided_anew(&k, &first));
    k.now_us += 10 * HOUR_US;
    for (int i = 0; i < LEDGER_MEMORIES_MAX; i++) {
        struct command c = refused(&k);
        OK(is_decided_anew(&k, &c));
    }
    EQ(kit_count(&k, 'G'), 1);
    OK(!is_decided_anew(&k, &first));
    k.now_us += 15 * HOUR_US;
    OK(is_decided_anew(&k, &first));
    for (int i = 0; i < 2 * LEDGER_MEMORIES_MAX; i++) {
        OK(!is_decided_anew(&k, &first));
        struct command c = refused(&k);
        OK(is_decided_anew(&k, &c));
    }
    OK(kit_count(&k, 'G') > 2);
    kit_fini(&k);
}

/* Another request whose mark is that of one in a sheaf is looked for there, and is new. */
static void test_the_same_mark(void)
{
    struct kit k;
    struct ledger_key account, sheaf;
    with_sheaf(&k, &account, &sheaf);
    size_t in_vain = 0;
    static struct ledger_account a;
    struct span value, body;
    struct ledger_key_parts parts;
    struct command c = refused(&k);
    struct ledger_step s = {.l = k.l, .c = &c, .now_us = k.now_us, .arena = &k.arena};
    OK(ledger_key_parse(ledger_key_span(&account), &parts));
    EQ(k.m.book.get(&k.m, ledger_key_span(&account), &value), 0);
    EQ(ledger_read_account(value, &a), 0);
    k.m.gets = 0;
    for (unsigned i = 0; i < 200000; i++) {
        c.request_id = kit_request(1000000 + i);
        EQ(ledger_sheaf_find(&s, parts.at, &a, &body), LEDGER_NONE);
    }
    in_vain = k.m.gets;
    printf("# %zu of 200,000 looked for in vain, 24 expected\n", in_vain);
    OK(in_vain > 4 && in_vain < 80);
    kit_fini(&k);
}

/* The account's record with `len` bytes. */
static void put_account(struct kit *k, const struct ledger_key *key, const uint8_t *bytes,
                        size_t len)
{
    EQ(k->m.book.put(&k->m, ledger_key_span(key), (struct span){bytes, len}), 0);
}

/* Person 1 holds a slot: the same request once more. */
static struct command held_again(struct kit *k)
{
    uint64_t id[2];
    kit_held(k, "city", 1, 0, id);
    struct command hold = kit_command(k, COMMAND_CREATE_HOLD, "city", 1);
    hold.request_id = kit_request(k->next_request - 1);
    hold.body_hash = (k->next_request - 1) * 7919;
    return hold;
}

/* An entry that is cut, one too many, a stand of an item that is not there: damage, never an
 * answer. */
static void test_damage(void)
{
    struct kit k;
    uint8_t bytes[BOOK_VALUE_MAX], other[BOOK_VALUE_MAX];
    struct span value;
    kit_rules = LEDGER_VERSION;
    furnish(&k);
    struct command hold = held_again(&k);
    struct identity who = kit_person(1);
    struct ledger_key key =
        ledger_key_account(ledger_identity_key(span_of("passport"), &who), &who);
    EQ(k.m.book.get(&k.m, ledger_key_span(&key), &value), 0);
    size_t len = value.len;
    printf("# an account with one hold: %zu bytes\n", len);
    memcpy(bytes, value.ptr, len);
    EQ(kit_apply(&k, &hold), REASON_OK);
    for (size_t cut = 1; cut < len; cut++) {
        put_account(&k, &key, bytes, len - cut);
        OK(kit_apply(&k, &hold) < 0);
    }
    bytes[len] = 0;
    put_account(&k, &key, bytes, len + 1);
    OK(kit_apply(&k, &hold) < 0);
    struct ledger_account account;
    EQ(ledger_read_account((struct span){bytes, len}, &account), 0);
    account.items_count = 0;
    struct scribe w = scribe_of(other, sizeof other);
    ledger_record_account(&w, &account);
    put_account(&k, &key, other, scribe_len(&w));
    OK(kit_apply(&k, &hold) < 0);
    put_account(&k, &key, bytes, len);
    EQ(kit_apply(&k, &hold), REASON_OK);
    kit_fini(&k);
}

/* Rules before 6, while an erasure has taken the account and not yet what lies beside it: the same
 * id in another class is found out still, as their programs did. */
static void test_beside_an_account_that_went(void)
{
    struct kit k;
    struct identity who = kit_person(1);
    struct slot_key first = kit_slot(0), other = kit_slot(1);
    struct ledger_key key =
        ledger_key_account(ledger_identity_key(span_of("passport"), &who), &who);
    furnish(&k);
    struct command c = kit_command(&k, COMMAND_CREATE_HOLD, "city", 1);
    c.slots = &first;
    c.slots_count = 1;
    EQ(kit_apply(&k, &c), REASON_OK);
    for (int i = 0; i < (kit_rules < 6 ? 1 : LEDGER_MEMORIES_MAX); i++) { /* it goes beside */
        struct command next = refused(&k);
        EQ(kit_apply(&k, &next), REASON_SLOT_UNKNOWN);
    }
    EQ(k.m.book.del(&k.m, ledger_key_span(&key)), 0);
    c.pool = span_of("cars");
    c.slots = &other;
    EQ(kit_apply(&k, &c), kit_rules < 6 ? REASON_REQUEST_ID_REUSED : REASON_OK);
    kit_fini(&k);
}

/* A sheaf or the list of them, cut, longer, with nonsense in it, or not there though the account
 * knows it: damage, never an answer. */
static void test_a_spoiled_sheaf(void)
{
    struct kit k;
    struct ledger_key account, sheaf;
    struct span value;
    uint8_t bytes[BOOK_VALUE_MAX], list[BOOK_VALUE_MAX];
    struct command first = with_sheaf(&k, &account, &sheaf);
    EQ(k.m.book.get(&k.m, ledger_key_span(&account), &value), 0);
    size_t list_len = value.len;
    memcpy(list, value.ptr, list_len);
    EQ(k.m.book.get(&k.m, ledger_key_span(&sheaf), &value), 0);
    size_t len = value.len;
    memcpy(bytes, value.ptr, len);
    printf("# a sheaf of refusals: %zu bytes, its account: %zu\n", len, list_len);
    bytes[len] = 0;
    for (size_t n = 0; n < len + 2; n += n == len - 1 ? 2 : 1) { /* all but the whole one */
        put_account(&k, &sheaf, bytes, n);
        OK(kit_apply(&k, &first) < 0);
    }
    EQ(k.m.book.del(&k.m, ledger_key_span(&sheaf)), 0);
    OK(kit_apply(&k, &first) < 0);
    put_account(&k, &sheaf, bytes, len);
    for (size_t cut = 1; cut < list_len; cut++) {
        put_account(&k, &account, list, list_len - cut);
        OK(kit_apply(&k, &first) < 0);
    }
    kit_fini(&k);
}

/* A stand says nothing without its item, which may have changed: none may lie in a sheaf. */
static void test_a_stand_in_a_sheaf(void)
{
    struct kit k;
    struct span value;
    static struct ledger_account a;
    uint8_t bytes[BOOK_VALUE_MAX], record[LEDGER_SHEAF_BYTES];
    struct identity who = kit_person(1);
    struct routing_key at = ledger_identity_key(span_of("passport"), &who);
    struct ledger_key key = ledger_key_account(at, &who), beside = ledger_key_sheaf(at, &who, 0);
    struct ledger_step s = {.arena = &k.arena};
    struct ledger_sheaf sheaf = {.count = 0};
    kit_rules = LEDGER_VERSION;
    furnish(&k);
    struct command hold = held_again(&k);
    EQ(kit_apply(&k, &hold), REASON_OK);
    EQ(k.m.book.get(&k.m, ledger_key_span(&key), &value), 0);
    EQ(ledger_read_account(value, &a), 0);
    EQ(a.memories_count, 1);
    struct ledger_memory m = {.log_time_us = k.now_us};
    ledger_sheaf_add(&sheaf, hold.request_id.bytes, &m);
    ledger_sheaf_head(record, &sheaf);
    memcpy(record + LEDGER_SHEAF_HEAD, a.memories.ptr, a.memories.len);
    size_t len = LEDGER_SHEAF_HEAD + a.memories.len;
    a.memories = (struct span){0};
    a.memories_count = 0;
    EQ(ledger_sheaf_note(&s, &a, &sheaf), 0);
    struct scribe w = scribe_of(bytes, sizeof bytes);
    ledger_record_account(&w, &a);
    put_account(&k, &key, bytes, scribe_len(&w));
    put_account(&k, &beside, record, len);
    OK(kit_apply(&k, &hold) < 0);
    kit_fini(&k);
}

/* -- the largest account that there can be ----------------------------------------------------- */

#define LARGE_POOL "a-pool-whose-name-is-as-long-as-a-name-of-a-pool-may-be-and-mor"
#define LARGE_DESK "a-desk-of-twenty-four-by"
#define LARGE_NAME "A desk whose name is as long as a name of a desk may be, and mor"

static struct command large_hold(struct kit *k, unsigned nth)
{
    struct command c = kit_command(k, COMMAND_CREATE_HOLD, LARGE_POOL, 1);
    c.select_us = KIT_START + 15 * HOUR_US + (int64_t)nth * SLOTS_PER_HOLD * 600 * SECOND_US;
    c.select_count = SLOTS_PER_HOLD;
    return c;
}

static void furnish_large(struct kit *k)
{
    static struct new_slot made[LIVE_PER_IDENTITY_MAX * SLOTS_PER_HOLD];
    kit_init(k);
    struct pool_view p = kit_policy(LARGE_POOL, "passport");
    p.max_live = LIVE_PER_IDENTITY_MAX;
    EQ(kit_pool_of(k, &p), REASON_OK);
    struct command c = kit_command(k, COMMAND_CREATE_SLOTS, LARGE_POOL, 9999);
    for (size_t i = 0; i < ARRAY_COUNT(made); i++) {
        int64_t start_us = KIT_START + 15 * HOUR_US + (int64_t)i * 600 * SECOND_US;
        made[i] = (struct new_slot){start_us, 600 * SECOND_US, span_of(LARGE_DESK),
                                    span_of(LARGE_NAME)};
    }
    c.roles = ROLE_OPERATOR;
    c.new_slots = made;
    c.new_slots_count = ARRAY_COUNT(made);
    EQ(kit_apply(k, &c), REASON_OK);
}

/* Holds as long as they can be, as many as there may be; all that is remembered tells of the one
 * that leaves the account when the others expire, so it is all written out there and then. */
static void test_the_largest_account(void)
{
    static struct command all[LEDGER_MEMORIES_MAX];
    static uint64_t answers[LEDGER_MEMORIES_MAX];
    uint64_t id[2] = {0, 0};
    struct kit k;
    furnish_large(&k);
    for (unsigned i = 1; i < LIVE_PER_IDENTITY_MAX; i++) {
        struct command c = large_hold(&k, i);
        EQ(kit_apply(&k, &c), REASON_OK);
    }
    for (size_t i = 0; i < LEDGER_MEMORIES_MAX; i++) {
        enum command_kind kind = i == 1                         ? COMMAND_CONFIRM_HOLD
                                 : i + 1 < LEDGER_MEMORIES_MAX ? COMMAND_RECONFIRM
                                                               : COMMAND_CANCEL_RESERVATION;
        all[i] = i == 0 ? large_hold(&k, 0) : kit_command(&k, kind, LARGE_POOL, 1);
        all[i].owner = id[0];
        all[i].number = id[1];
        EQ(kit_apply(&k, &all[i]), REASON_OK);
        answers[i] = kit_digest(&k);
        if (k.v.result == RESULT_HOLD) {
            id[0] = k.v.holds[0].owner;
            id[1] = k.v.holds[0].number;
        }
    }
    k.now_us += HOUR_US;
    EQ(kit_expire(&k), LIVE_PER_IDENTITY_MAX - 1);
    EQ(kit_reopen(&k), 0);
    for (size_t i = 0; i < LEDGER_MEMORIES_MAX; i++) {
        k.m.puts = 0;
        EQ(kit_apply(&k, &all[i]), REASON_OK);
        OK(kit_digest(&k) == answers[i]);
        EQ(k.m.puts, 0);
    }
    kit_fini(&k);
}

int main(void)
{
    KIT_RUN(test_beside_an_account_that_went);
    KIT_RUN(test_every_answer_again);
    TAP_RUN(test_where_it_is_looked_for);
    TAP_RUN(test_a_busy_person);
    TAP_RUN(test_an_id_of_the_day_before);
    TAP_RUN(test_the_same_mark);
    TAP_RUN(test_a_spoiled_sheaf);
    TAP_RUN(test_a_stand_in_a_sheaf);
    TAP_RUN(test_damage);
    kit_rules = 6;
    TAP_RUN(test_the_largest_account);
    kit_rules = LEDGER_VERSION;
    TAP_RUN(test_the_largest_account);
    return tap_done();
}

/* SPDX-License-Identifier: MIT */
/* The same log gives the same bytes: applied twice, out of its packed entries, with restarts in
 * the middle, by a ledger built at -O2 and one built at -O0 (this file is linked with both, and
 * both must come to one hash).  A change of a record format or of a rule changes the hash: then
 * LEDGER_VERSION must be thought about before the number is renewed.
 * A state of older rules keeps the bytes that the program of those rules gave it (its own hash, as
 * that program's test had it), and is read and raised by this one. */
#include "base/prng.h"
#include "tests/unit/shards/ledger/ledger_kit.h"

#define COMMANDS  20000
#define PER_ENTRY 7
#define BOOK_HASH_1 UINT64_C(0x5c2f4ae6abaea4ed) /* rules of version 1: never changes again */
#define BOOK_HASH_2 UINT64_C(0xae5971715a23125e) /* nor do these */
#define BOOK_HASH_5 UINT64_C(0x88dd4a26a88ff78d)
#define BOOK_HASH_6 UINT64_C(0x3999941766de5751)
#define BOOK_HASH_7 UINT64_C(0x782034ffdf8366f3)

static struct arena log_arena;
static struct span entries[COMMANDS / PER_ENTRY + 300];
static size_t entries_count;
static size_t commands_count;
static uint64_t hashes[COMMANDS / PER_ENTRY + 300];

struct known {
    unsigned person, pool;
    uint64_t id[2];
};
static struct known known[COMMANDS];
static size_t known_count;

static const char *const pools[4] = {"city", "city-2", "village", "cars"};
static struct slot_key keys[PER_ENTRY], block[PER_ENTRY][6];
static struct pool_view policies[PER_ENTRY];
static struct new_slot made[64];

static struct command invent(struct prng *p, uint64_t n, size_t item)
{
    struct command c = {.assurance = ASSURANCE_HIGH, .request_id = kit_request(n),
                        .body_hash = n * 31};
    uint64_t what = prng_below(p, 100);
    unsigned pool = (unsigned)prng_below(p, 4), person = (unsigned)prng_below(p, 300);
    c.kind = what < 50 ? COMMAND_CREATE_HOLD : what < 80 ? COMMAND_CONFIRM_HOLD
             : what < 88 ? COMMAND_DROP_HOLD : what < 94 ? COMMAND_CANCEL_RESERVATION
             : what < 99 ? COMMAND_EXPIRE_HOLD : COMMAND_SWEEP;
    if (what == 49) { /* a request that was sent before */
        c.request_id = kit_request(n - prng_below(p, 50) % (n + 1));
    }
    if (c.kind == COMMAND_CREATE_HOLD) {
        keys[item] = kit_slot((unsigned)prng_below(p, 3000));
        c.slots = &keys[item];
        c.slots_count = 1;
    } else if (c.kind != COMMAND_SWEEP && known_count > 0) {
        size_t back = known_count > 200 ? 200 : known_count;
        const struct known *k = &known[known_count - 1 - prng_below(p, back)];
        pool = k->pool;
        person = k->person;
        c.owner = k->id[0];
        c.number = k->id[1];
        c.version = c.kind == COMMAND_EXPIRE_HOLD;
    }
    c.pool = c.kind == COMMAND_SWEEP ? (struct span){0} : span_of(pools[pool]);
    if (c.kind == COMMAND_EXPIRE_HOLD || c.kind == COMMAND_SWEEP) {
        c.request_id = (struct request_id){{0}};
    } else {
        c.identity = kit_person(person);
    }
    return c;
}

/* What came with version 2, for half of the commands. */
static struct command invent_newer(struct prng *p, uint64_t n, size_t item)
{
    static const enum command_kind kinds[] = {
        COMMAND_CREATE_HOLD, COMMAND_CREATE_HOLD, COMMAND_CREATE_HOLD, COMMAND_RESCHEDULE,
        COMMAND_RESCHEDULE, COMMAND_RECONFIRM, COMMAND_LAPSE, COMMAND_BLOCK_SLOTS,
        COMMAND_UNBLOCK_SLOTS, COMMAND_RESTOCK, COMMAND_RESTOCK_STEP, COMMAND_UPDATE_POOL};
    struct command c = invent(p, n, item);
    if (prng_below(p, 2) || c.kind == COMMAND_SWEEP || c.kind == COMMAND_EXPIRE_HOLD) {
        return c;
    }
    c.kind = kinds[prng_below(p, sizeof kinds / sizeof kinds[0])];
    c.slots_count = 0;
    c.number += c.number == 0; /* whatever it was before */
    bool is_choice = c.kind == COMMAND_CREATE_HOLD || c.kind == COMMAND_RESCHEDULE;
    if (is_choice) {
        c.select_us = kit_slot((unsigned)prng_below(p, 3000)).start_us;
        c.select_count = 1 + (uint32_t)prng_below(p, 4);
    } else if (c.kind == COMMAND_LAPSE) {
        c.version = 2 + prng_below(p, 2);
    } else if (c.kind == COMMAND_UPDATE_POOL) {
        policies[item] = kit_policy("city", "passport");
        policies[item].id = c.pool;
        policies[item].cool_down_us = (int64_t)prng_below(p, 60) * SECOND_US;
        policies[item].reconfirm_by_us = (int64_t)prng_below(p, 30) * DAY_US;
        c.new_pool = &policies[item];
        c.pool_mask = POOL_FIELD_COOL_DOWN | POOL_FIELD_RECONFIRM_BY;
    } else if (c.kind == COMMAND_BLOCK_SLOTS || c.kind == COMMAND_UNBLOCK_SLOTS) {
        unsigned first = (unsigned)prng_below(p, 2990);
        for (unsigned i = 0; i < 6; i++) {
            block[item][i] = kit_slot(first + i);
        }
        c.slots = block[item];
        c.slots_count = 6;
    }
    c.roles = ROLE_OPERATOR;
    if (c.kind == COMMAND_LAPSE || c.kind == COMMAND_RESTOCK_STEP) {
        c.identity = (struct identity){{0}};
        c.request_id = (struct request_id){{0}};
    }
    return c;
}

/* Packs one entry, and applies it as it will be applied again: out of its bytes. */
static void play(struct kit *k, size_t entry)
{
    struct command *commands;
    struct arena arena;
    int64_t now_us;
    size_t count;
    arena_init(&arena, 1 << 20);
    EQ(codec_entry_unpack(entries[entry], &arena, &now_us, &commands, &count), 0);
    for (size_t i = 0; i < count; i++) {
        arena_reset(&k->arena);
        EQ(ledger_apply(k->l, &commands[i], entry + 1, (uint32_t)i, now_us, &k->arena, &k->v), 0);
        if (commands[i].kind == COMMAND_CREATE_HOLD && k->v.reason == REASON_OK) {
            struct known *n = &known[known_count++ % COMMANDS];
            *n = (struct known){.id = {k->v.holds[0].owner, k->v.holds[0].number}};
            n->person = commands[i].identity.bytes[0] | commands[i].identity.bytes[1] << 8;
            while (!span_equal(commands[i].pool, span_of(pools[n->pool]))) {
                n->pool++;
            }
        }
    }
    arena_fini(&arena);
}

static void add_entry(int64_t now_us, const struct command *commands, size_t count)
{
    struct span packed[64];
    commands_count += count;
    for (size_t i = 0; i < count; i++) {
        EQ(codec_command_pack(&commands[i], &log_arena, &packed[i]), 0);
    }
    EQ(codec_entry_pack(now_us, packed, count, &log_arena, &entries[entries_count++]), 0);
}

/* Pools and slots, as the first entries of the log. */
static void furnish(struct kit *k, int64_t now_us)
{
    for (unsigned i = 0; i < 4; i++) {
        struct pool_view p = kit_policy(pools[i], i < 3 ? "passport" : "cars");
        p.hold_ttl_us = 60 * SECOND_US;
        struct command c = kit_command(k, COMMAND_CREATE_POOL, pools[i], 9999);
        c.roles = ROLE_OPERATOR;
        c.new_pool = &p;
        add_entry(now_us, &c, 1);
        play(k, entries_count - 1);
        for (unsigned from = 0; from < 3000; from += 60) {
            for (unsigned j = 0; j < 60; j++) {
                struct slot_key key = kit_slot(from + j);
                made[j] = (struct new_slot){key.start_us, 600 * SECOND_US, key.slug, span_of("D")};
            }
            c = kit_command(k, COMMAND_CREATE_SLOTS, pools[i], 9999);
            c.roles = ROLE_OPERATOR;
            c.new_slots = made;
            c.new_slots_count = 60;
            add_entry(now_us, &c, 1);
            play(k, entries_count - 1);
        }
    }
}

static void record(struct kit *k, uint32_t rules)
{
    struct prng p;
    int64_t now_us = KIT_NOW;
    uint64_t n = 100000;
    entries_count = commands_count = known_count = 0;
    prng_init(&p, 42);
    furnish(k, now_us);
    while (commands_count < COMMANDS) {
        struct command commands[PER_ENTRY];
        for (size_t i = 0; i < PER_ENTRY; i++) {
            commands[i] = rules < 2 ? invent(&p, n++, i) : invent_newer(&p, n++, i);
        }
        now_us += (int64_t)prng_below(&p, 100) * SECOND_US; /* a day and a half in all */
        add_entry(now_us, commands, PER_ENTRY);
        play(k, entries_count - 1);
        hashes[entries_count - 1] = entries_count % 100 == 0 ? membook_hash(&k->m) : 0;
    }
}

static void replay(struct kit *k, size_t reopen_every)
{
    for (size_t i = 0; i < entries_count; i++) {
        play(k, i);
        if (hashes[i]) {
            OK(membook_hash(&k->m) == hashes[i]);
        }
        if (reopen_every && i % reopen_every == reopen_every - 1) {
            EQ(kit_reopen(k), 0);
        }
    }
}

/* A ledger on a state that begins with those rules. */
static void begin(struct kit *k, uint32_t rules)
{
    static const uint8_t key[17] = {[16] = 'M'};
    uint8_t first[5] = {rules < 2 ? 1 : 2, 0, 0, 0, (uint8_t)rules}; /* format, version */
    kit_init(k);
    EQ(k->m.book.put(&k->m, (struct span){key, 17}, (struct span){first, 5}), 0);
    EQ(kit_reopen(k), 0);
}

static void same_bytes(uint32_t rules, uint64_t expected)
{
    struct kit first, again, restarted;
    arena_init(&log_arena, 64 << 20);
    begin(&first, rules);
    begin(&again, rules);
    begin(&restarted, rules);
    again.m.is_strict = false;
    record(&first, rules);
    uint64_t hash = membook_hash(&first.m);
    replay(&again, 0);
    replay(&restarted, 13);
    OK(membook_hash(&again.m) == hash);
    OK(membook_hash(&restarted.m) == hash);
    EQ(first.m.count, again.m.count);
    printf("# rules %u: %zu commands, %zu records, %zu bytes, hash %#018llx\n", rules,
           commands_count, first.m.count, first.m.bytes, (unsigned long long)hash);
    OK(known_count > 3000);
    OK(hash == expected);
    kit_fini(&first);
    kit_fini(&again);
    kit_fini(&restarted);
    arena_fini(&log_arena);
}

static void test_same_log_same_bytes(void)
{
    same_bytes(7, BOOK_HASH_7);
}

static void test_rules_of_before(void)
{
    same_bytes(1, BOOK_HASH_1);
    same_bytes(2, BOOK_HASH_2);
    same_bytes(5, BOOK_HASH_5);
    same_bytes(6, BOOK_HASH_6);
}

/* A state as the program of version 1 left it: newer wishes are told to wait, the shard raises it,
 * and every reservation in it is as good as a new one. */
static void test_raise(void)
{
    struct kit k;
    arena_init(&log_arena, 64 << 20);
    begin(&k, 1);
    record(&k, 1);
    OK(membook_hash(&k.m) == BOOK_HASH_1);
    EQ(kit_reopen(&k), 0);
    k.log_index = entries_count;
    k.now_us = KIT_NOW + 2 * DAY_US;
    struct command selector = kit_command(&k, COMMAND_CREATE_HOLD, "cars", 5000);
    selector.select_us = kit_slot(2900).start_us;
    selector.select_count = 2;
    EQ(kit_apply(&k, &selector), REASON_METHOD_PLANNED);
    struct command restock = kit_command(&k, COMMAND_RESTOCK, "cars", 9999);
    restock.roles = ROLE_OPERATOR;
    EQ(kit_apply(&k, &restock), REASON_METHOD_PLANNED);
    OK(ledger_next_expiry_us(k.l) > 0); /* nobody said that all replicas know newer ones */
    ledger_rules(k.l, LEDGER_VERSION + 1);
    EQ(ledger_next_expiry_us(k.l), 0);
    struct command due[4];
    struct arena arena;
    arena_init(&arena, 1 << 20);
    OK(ledger_due(k.l, k.now_us, &arena, due, 4) >= 1);
    EQ(due[0].kind, COMMAND_RAISE);
    EQ(due[0].version, LEDGER_VERSION); /* no further than this program's */
    EQ(kit_apply(&k, &due[0]), REASON_OK);
    arena_fini(&arena);
    EQ(kit_reopen(&k), 0);
    OK(ledger_next_expiry_us(k.l) > 0);
    int r;
    while ((r = kit_apply(&k, &restock)) == REASON_RESTOCK_RUNNING) {
        struct command step = {.kind = COMMAND_RESTOCK_STEP, .pool = span_of("cars")};
        EQ(kit_apply(&k, &step), REASON_OK);
    }
    EQ(r, REASON_OK);
    OK(k.v.changed_count > 100);
    size_t moved = 0, reservations = 0;
    for (size_t i = 0; i < known_count; i++) { /* every one that is left moves to a later time */
        const char *pool = pools[known[i].pool];
        if (kit_change(&k, COMMAND_GET_RESERVATION, pool, known[i].person, known[i].id) ||
            k.v.reservations[0].state != RESERVATION_CONFIRMED) {
            continue;
        }
        reservations++;
        EQ(k.v.reservations[0].changes_left, POOL_MAX_CHANGES);
        EQ(k.v.reservations[0].slots_count, 1);
        struct command move = kit_command(&k, COMMAND_RESCHEDULE, pool, known[i].person);
        move.owner = known[i].id[0];
        move.number = known[i].id[1];
        move.select_us = k.v.reservations[0].slots[0].key.start_us + 1200 * SECOND_US;
        r = kit_apply(&k, &move);
        moved += r == REASON_OK;
        OK(r == REASON_OK || r == REASON_SLOT_TAKEN || r == REASON_SLOT_UNKNOWN);
    }
    printf("# %zu reservations of version 1, %zu moved\n", reservations, moved);
    OK(moved > 10);
    kit_fini(&k);
    arena_fini(&log_arena);
}

int main(void)
{
    TAP_RUN(test_same_log_same_bytes);
    TAP_RUN(test_rules_of_before);
    TAP_RUN(test_raise);
    return tap_done();
}

/* SPDX-License-Identifier: MIT */
/* The same log gives the same bytes: applied twice, out of its packed entries, with restarts in
 * the middle, by a ledger built at -O2 and one built at -O0 (this file is linked with both, and
 * both must come to BOOK_HASH).  A change of a record format or of a rule changes the hash: then
 * LEDGER_VERSION must be thought about before the number is renewed. */
#include "base/prng.h"
#include "tests/unit/shards/ledger/ledger_kit.h"

#define COMMANDS  20000
#define PER_ENTRY 7
#define BOOK_HASH UINT64_C(0x5c2f4ae6abaea4ed)

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
static struct slot_key keys[PER_ENTRY];
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

static void record(struct kit *k)
{
    struct prng p;
    int64_t now_us = KIT_NOW;
    uint64_t n = 100000;
    prng_init(&p, 42);
    furnish(k, now_us);
    while (commands_count < COMMANDS) {
        struct command commands[PER_ENTRY];
        for (size_t i = 0; i < PER_ENTRY; i++) {
            commands[i] = invent(&p, n++, i);
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

static void test_same_log_same_bytes(void)
{
    struct kit first, again, restarted;
    arena_init(&log_arena, 64 << 20);
    kit_init(&first);
    kit_init(&again);
    kit_init(&restarted);
    again.m.is_strict = false;
    record(&first);
    uint64_t hash = membook_hash(&first.m);
    replay(&again, 0);
    replay(&restarted, 13);
    OK(membook_hash(&again.m) == hash);
    OK(membook_hash(&restarted.m) == hash);
    EQ(first.m.count, again.m.count);
    printf("# %zu commands, %zu records, %zu bytes, hash %#018llx\n",
           commands_count, first.m.count, first.m.bytes, (unsigned long long)hash);
    OK(known_count > 3000);
    OK(hash == BOOK_HASH);
    kit_fini(&first);
    kit_fini(&again);
    kit_fini(&restarted);
    arena_fini(&log_arena);
}

int main(void)
{
    TAP_RUN(test_same_log_same_bytes);
    return tap_done();
}

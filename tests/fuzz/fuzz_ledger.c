/* SPDX-License-Identifier: MIT */
/* Any commands in any order.  Each is either one of a small world (few pools, slots, people and
 * request ids, so that they meet) or packed bytes as a log would hold them.  The ledger must answer
 * every one, two ledgers alike to the last byte, and a ledger opened anew from the book must go on
 * as the first would. */
#include "tests/fuzz/fuzz.h"
#include "tests/unit/shards/ledger/ledger_kit.h"

#define LEDGER_COMMANDS 60

static const char *const ledger_pools[] = {"city", "village", "cars", "-", "unknown"};

static void ledger_fields(struct fuzz_cut *in, struct command *c)
{
    static struct slot_key slots[SLOTS_PER_HOLD];
    static struct new_slot made[8];
    static struct pool_view policy;
    c->slots = slots;
    c->slots_count = 1; /* what the codec lets through */
    c->new_slots = made;
    c->new_slots_count = 1 + fuzz_byte(in) % ARRAY_COUNT(made);
    unsigned first = fuzz_byte(in) % 16u;
    for (unsigned i = 0; i < ARRAY_COUNT(made); i++) {
        slots[i] = kit_slot(first + i);
        made[i] = (struct new_slot){slots[i].start_us, 600 * SECOND_US, slots[i].slug,
                                    span_of("Desk")};
    }
    policy = kit_policy(ledger_pools[fuzz_byte(in) % 3u], fuzz_byte(in) & 1 ? "one" : "two");
    policy.scarce = fuzz_byte(in) % 4u == 0;
    policy.hold_ttl_us = (1 + fuzz_byte(in)) * SECOND_US;
    c->new_pool = &policy;
}

/* One of a small world. */
static struct command ledger_small(struct fuzz_cut *in, const uint64_t last[2])
{
    static const enum command_kind kinds[] = {
        COMMAND_CREATE_POOL, COMMAND_CREATE_SLOTS, COMMAND_CREATE_HOLD, COMMAND_CREATE_HOLD,
        COMMAND_CONFIRM_HOLD, COMMAND_DROP_HOLD, COMMAND_CANCEL_RESERVATION, COMMAND_EXPIRE_HOLD,
        COMMAND_SWEEP, COMMAND_LIST_POOLS, COMMAND_GET_POOL, COMMAND_LIST_SLOTS, COMMAND_GET_HOLD,
        COMMAND_GET_RESERVATION, COMMAND_LIST_RESERVATIONS,
    };
    uint8_t what = fuzz_byte(in);
    struct command c = {.kind = kinds[what % ARRAY_COUNT(kinds)],
                        .identity = kit_person(1 + fuzz_byte(in) % 4u),
                        .assurance = (enum assurance)(fuzz_byte(in) % 4u),
                        .roles = fuzz_byte(in) % 4u ? ROLE_OPERATOR : 0,
                        .pool = span_of(ledger_pools[fuzz_byte(in) % 5u]),
                        .page_size = 1 + fuzz_byte(in),
                        .to_us = KIT_START + DAY_US,
                        .version = fuzz_byte(in) % 4u};
    uint8_t request = fuzz_byte(in);
    c.request_id = kit_request(1 + request % 16u);
    c.body_hash = request / 16u;
    c.owner = last[0];
    c.number = last[1] + (what > 128 ? fuzz_byte(in) % 3u : 0);
    c.validate_only = request == 255;
    c.free_only = request & 1;
    ledger_fields(in, &c);
    if (c.kind == COMMAND_CREATE_POOL) {
        c.pool = c.new_pool->id;
    }
    return c;
}

/* The next command; false: no more, or bytes that are none. */
static bool ledger_next(struct fuzz_cut *in, struct arena *arena, const uint64_t last[2],
                        struct command *ret_command)
{
    if (fuzz_byte(in) % 8u) {
        *ret_command = ledger_small(in, last);
        return true;
    }
    struct span packed = fuzz_bytes(in, fuzz_byte(in));
    return codec_command_unpack(packed, arena, ret_command) == 0;
}

static void ledger_remember(const struct kit *k, uint64_t last[2])
{
    if (k->v.result == RESULT_HOLD) {
        last[0] = k->v.holds[0].owner;
        last[1] = k->v.holds[0].number;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct kit a, b;
    struct fuzz_cut in = fuzz_cut_of(data, size);
    struct arena arena;
    uint64_t last[2] = {0};
    kit_init(&a);
    kit_init(&b);
    arena_init(&arena, 4 << 20);
    for (int i = 0; i < LEDGER_COMMANDS && in.left > 0; i++) {
        struct command c;
        if (!ledger_next(&in, &arena, last, &c)) {
            continue;
        }
        a.now_us = b.now_us += fuzz_byte(&in) * SECOND_US;
        if (fuzz_byte(&in) % 16u == 0) {
            CHECK(kit_reopen(&b) == 0);
        }
        int r = kit_apply(&a, &c);
        CHECK(r >= 0);
        CHECK(kit_apply(&b, &c) == r);
        ledger_remember(&a, last);
        struct span answer;
        CHECK(r != 0 || codec_answer(&a.v, &a.arena, &answer) == 0);
        arena_reset(&arena);
    }
    kit_expire(&a);
    kit_expire(&b);
    CHECK(membook_hash(&a.m) == membook_hash(&b.m));
    arena_fini(&arena);
    kit_fini(&b);
    kit_fini(&a);
    return 0;
}

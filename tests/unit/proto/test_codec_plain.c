/* SPDX-License-Identifier: MIT */
/* The short way into a command takes nothing that the general way would not take, and reads the
 * same from it: on what we pack ourselves, on every single twist of it, and on random damage. */
#include "base/check.h"
#include "base/prng.h"
#include "proto/codec_parts.h"
#include "tests/unit/proto/codec_kit.h"

static struct arena arena;
static struct slot_key slot;
static uint8_t texts[64];

static uint64_t any_width(struct prng *p)
{
    return prng_next(p) >> prng_below(p, 64);
}

static struct command command_of(struct prng *p)
{
    static const enum command_kind kinds[] = {
        COMMAND_CREATE_HOLD, COMMAND_CONFIRM_HOLD, COMMAND_DROP_HOLD, COMMAND_CANCEL_RESERVATION,
        COMMAND_EXPIRE_HOLD, COMMAND_RESCHEDULE, COMMAND_GET_HOLD, COMMAND_RECONFIRM};
    struct command c = {.kind = kinds[prng_below(p, ARRAY_COUNT(kinds))],
                        .assurance = (enum assurance)prng_below(p, 4),
                        .roles = (uint32_t)any_width(p),
                        .client = prng_below(p, 2) ? prng_next(p) : 0,
                        .is_client = prng_below(p, 2) == 0,
                        .body_hash = prng_next(p),
                        .pool = {texts, 1 + prng_below(p, 40)},
                        .owner = prng_below(p, 2) ? prng_next(p) : 0,
                        .number = any_width(p),
                        .version = any_width(p)};
    for (size_t i = 0; i < sizeof c.identity.bytes; i++) {
        c.identity.bytes[i] = (uint8_t)prng_next(p);
        c.request_id.bytes[i] = (uint8_t)prng_next(p);
    }
    bool has_slot = c.kind == COMMAND_CREATE_HOLD || c.kind == COMMAND_RESCHEDULE;
    if (has_slot && prng_below(p, 2)) {
        slot = (struct slot_key){(int64_t)(prng_next(p) >> 33) * SECOND_US,
                                 {texts, 1 + prng_below(p, 20)}};
        c.slots = &slot;
        c.slots_count = 1;
    } else if (has_slot) {
        c.select_us = (int64_t)(prng_next(p) >> 33) * SECOND_US;
        c.select_count = 1 + (uint32_t)prng_below(p, 8);
    }
    if (prng_below(p, 2)) {
        c.etag = span_of("\"v12\"");
    }
    return c;
}

static bool same_slots(const struct command *a, const struct command *b)
{
    return a->slots_count == b->slots_count &&
           (a->slots_count == 0 || (a->slots[0].start_us == b->slots[0].start_us &&
                                    span_equal(a->slots[0].slug, b->slots[0].slug)));
}

/* Every field that there is. */
static bool same(const struct command *a, const struct command *b)
{
    bool same_who = memcmp(&a->identity, &b->identity, 16) == 0 &&
                    memcmp(&a->request_id, &b->request_id, 16) == 0 && a->roles == b->roles &&
                    a->assurance == b->assurance && a->client == b->client &&
                    a->is_client == b->is_client;
    bool same_item = a->owner == b->owner && a->number == b->number && a->version == b->version;
    bool same_text = span_equal(a->pool, b->pool) && span_equal(a->etag, b->etag) &&
                     span_equal(a->note, b->note) && span_equal(a->page_token, b->page_token) &&
                     span_equal(a->random, b->random);
    bool same_select = a->select_us == b->select_us && a->select_count == b->select_count;
    bool same_rest = a->from_us == b->from_us && a->to_us == b->to_us &&
                     a->free_only == b->free_only && a->page_size == b->page_size &&
                     a->validate_only == b->validate_only && a->pool_mask == b->pool_mask;
    bool same_made = !a->new_pool && !b->new_pool && !a->release && !b->release &&
                     a->new_slots_count == 0 && b->new_slots_count == 0;
    return a->kind == b->kind && a->body_hash == b->body_hash && same_who && same_item &&
           same_text && same_select && same_rest && same_made && same_slots(a, b);
}

/* Whether the short way took it; then the general way took the same. */
static bool agree(struct span bytes)
{
    struct command a, b;
    arena_reset(&arena);
    if (!codec_command_unpack_plain(bytes, &arena, &a)) {
        return false;
    }
    int r = codec_command_unpack_any(bytes, &arena, &b);
    if (r != 0 || !same(&a, &b)) {
        OK(!"the two ways agree");
    }
    return true;
}

static size_t packed_of(const struct command *c, uint8_t *out)
{
    struct span packed = {0};
    arena_reset(&arena);
    EQ(codec_command_pack(c, &arena, &packed), 0);
    memcpy(out, packed.ptr, packed.len);
    return packed.len;
}

/* It is there to be used: what is packed here goes the short way. */
static void test_our_own(void)
{
    struct prng p;
    size_t declined = 0;
    uint8_t bytes[1024];
    prng_init(&p, 11);
    for (int i = 0; i < 20000; i++) {
        struct command c = command_of(&p), d;
        struct span packed = {bytes, packed_of(&c, bytes)};
        if (!agree(packed)) {
            declined++;
            EQ(codec_command_unpack(packed, &arena, &d), 0);
            OK(c.number >> 63 || c.version >> 63); /* its only reason */
        }
    }
    OK(declined < 1000);
}

static void test_damage(void)
{
    struct prng p;
    size_t taken = 0;
    uint8_t bytes[1024];
    prng_init(&p, 12);
    for (int i = 0; i < 200000; i++) {
        struct command c = command_of(&p);
        size_t n = packed_of(&c, bytes);
        for (uint64_t k = 1 + prng_below(&p, 3); k-- > 0;) {
            bytes[prng_below(&p, n)] = (uint8_t)any_width(&p);
        }
        size_t cut = prng_below(&p, 4) ? n : prng_below(&p, n);
        taken += agree((struct span){bytes, cut});
    }
    OK(taken > 1000);
    printf("# %zu of 200000 damaged commands taken\n", taken);
}

/* The same fields, said otherwise: left to the general way. */
static void test_twists(void)
{
    static const struct { const char *bytes; size_t len; } tails[] = {
        {"\x08\x03", 2},             /* the kind again, after the others */
        {"\xd0\x01\x01\xd0\x01\x00", 6}, /* twice the same */
        {"\xd0\x01\x81\x00", 4},     /* a longer form */
        {"\xd0\x01\x02", 3},         /* a bool that is neither */
        {"\xd1\x01\x01\0\0\0\0\0\0\0", 10}, /* another wire type */
        {"\xd8\x01\x01", 3},         /* random, as a number */
        {"\xf8\x7f\x01", 3},         /* unknown */
        {"\xd0\x01", 2},             /* cut off */
    };
    struct prng p;
    uint8_t bytes[1024];
    prng_init(&p, 13);
    struct command c = command_of(&p);
    c.is_client = false;
    size_t n = packed_of(&c, bytes);
    OK(agree((struct span){bytes, n}));
    for (size_t i = 0; i < ARRAY_COUNT(tails); i++) {
        memcpy(bytes + n, tails[i].bytes, tails[i].len);
        OK(!agree((struct span){bytes, n + tails[i].len}));
    }
    memcpy(bytes + n, "\xd0\x01\x01", 3);
    OK(agree((struct span){bytes, n + 3}));
    OK(!agree((struct span){bytes, 0})); /* no kind */
    for (size_t i = 0; i < n; i++) {
        agree((struct span){bytes, i});
    }
}

int main(void)
{
    memset(texts, 'a', sizeof texts);
    arena_init(&arena, CALL_ARENA_MAX);
    TAP_RUN(test_our_own);
    TAP_RUN(test_damage);
    TAP_RUN(test_twists);
    arena_fini(&arena);
    return kit_done();
}

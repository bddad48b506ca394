/* SPDX-License-Identifier: MIT */
/* What the ledger's tests share: a ledger over a strict book in memory, and one-line commands.
 * Every command gets a log index of its own; time stands still unless a test moves it. */
#ifndef FAIRSLOT_TESTS_LEDGER_KIT_H
#define FAIRSLOT_TESTS_LEDGER_KIT_H

#include "base/bytes.h"
#include "ledger/ledger.h"
#include "proto/codec.h"
#include "tests/lib/membook.h"
#include "tests/lib/tap.h"

#define KIT_START (INT64_C(1796115600) * SECOND_US) /* 2026-12-01T09:00Z */
#define KIT_NOW   (KIT_START - 30 * DAY_US)

/* Of the rules that a kit begins with; 0: those of a new state. */
static uint32_t kit_rules;

/* The test by the rules of a new state, then by the newest. */
#define KIT_RUN(f)                  \
    do {                            \
        kit_rules = 0;              \
        TAP_RUN(f);                 \
        kit_rules = LEDGER_VERSION; \
        TAP_RUN(f);                 \
        kit_rules = 0;              \
    } while (0)

struct kit {
    struct membook m;
    struct ledger *l;
    struct arena arena;
    uint64_t log_index;
    int64_t now_us;
    uint64_t next_request;
    bool restarts; /* after every command */
    uint64_t restarts_count;
    struct verdict v; /* of the last command */
};

static inline void kit_init(struct kit *k)
{
    memset(k, 0, sizeof *k);
    membook_init(&k->m);
    k->m.is_strict = true;
    arena_init(&k->arena, 4 << 20);
    k->now_us = KIT_NOW;
    if (ledger_new(&k->m.book, &k->l) != 0) {
        abort();
    }
    struct command raise = {.kind = COMMAND_RAISE, .version = kit_rules};
    if (kit_rules && ledger_apply(k->l, &raise, ++k->log_index, 0, k->now_us, &k->arena, &k->v)) {
        abort();
    }
}

static inline void kit_fini(struct kit *k)
{
    ledger_free(k->l);
    membook_fini(&k->m);
    arena_fini(&k->arena);
}

/* The ledger again, from what the book says. */
static inline int kit_reopen(struct kit *k)
{
    ledger_free(k->l);
    k->l = NULL;
    return ledger_new(&k->m.book, &k->l);
}

/* The verdict's reason, or < 0. */
static inline int kit_apply(struct kit *k, const struct command *c)
{
    arena_reset(&k->arena);
    int r = ledger_apply(k->l, c, ++k->log_index, 0, k->now_us, &k->arena, &k->v);
    if (k->m.is_strict && k->m.fail_in == 0) {
        k->m.book.del(&k->m, span_of("no such key")); /* what the book lent is gone now */
    }
    if (k->restarts) {
        EQ(kit_reopen(k), 0);
        k->restarts_count++;
    }
    return r ? r : (int)k->v.reason;
}

static inline struct identity kit_person(unsigned n)
{
    struct identity i = {{0}};
    i.bytes[0] = (uint8_t)n;
    i.bytes[1] = (uint8_t)(n >> 8);
    i.bytes[2] = (uint8_t)(n >> 16);
    i.bytes[15] = 1;
    return i;
}

static inline struct request_id kit_request(uint64_t n)
{
    struct request_id r = {{0}};
    memcpy(r.bytes, &n, sizeof n);
    return r;
}

/* A command by person n with a fresh request id and a body hash that differs with it. */
static inline struct command kit_command(struct kit *k, enum command_kind kind, const char *pool,
                                         unsigned person)
{
    struct command c = {.kind = kind, .identity = kit_person(person),
                        .assurance = ASSURANCE_HIGH, .pool = span_of(pool)};
    if (!command_is_read(kind)) {
        c.request_id = kit_request(++k->next_request);
        c.body_hash = k->next_request * 7919;
    }
    return c;
}

static inline struct pool_view kit_policy(const char *id, const char *service_class)
{
    return (struct pool_view){.id = span_of(id), .service_class = span_of(service_class),
                              .time_zone = span_of("UTC"), .hold_ttl_us = 600 * SECOND_US,
                              .max_live = 2, .min_assurance = ASSURANCE_LOW,
                              .max_slots = POOL_MAX_SLOTS, .max_changes = POOL_MAX_CHANGES,
                              .appeal_us = POOL_APPEAL_US, .return_policy = RETURN_NEXT,
                              .return_wait_us = POOL_RETURN_WAIT_US};
}

static inline int kit_pool_of(struct kit *k, const struct pool_view *policy)
{
    struct command c = kit_command(k, COMMAND_CREATE_POOL, "", 9999);
    c.pool = policy->id;
    c.roles = ROLE_OPERATOR;
    c.new_pool = policy;
    return kit_apply(k, &c);
}

static inline int kit_pool(struct kit *k, const char *id, const char *service_class)
{
    struct pool_view policy = kit_policy(id, service_class);
    return kit_pool_of(k, &policy);
}

/* The i-th slot of every pool: ten minutes each, desks a and b by turns. */
static inline struct slot_key kit_slot(unsigned i)
{
    return (struct slot_key){KIT_START + (int64_t)(i / 2) * 600 * SECOND_US,
                             span_of(i % 2 ? "b" : "a")};
}

static inline int kit_slots(struct kit *k, const char *pool, unsigned from, unsigned count)
{
    static struct new_slot made[4000];
    struct command c = kit_command(k, COMMAND_CREATE_SLOTS, pool, 9999);
    for (unsigned i = 0; i < count; i++) {
        struct slot_key key = kit_slot(from + i);
        made[i] = (struct new_slot){key.start_us, 600 * SECOND_US, key.slug, span_of("Desk")};
    }
    c.roles = ROLE_OPERATOR;
    c.new_slots = made;
    c.new_slots_count = count;
    return kit_apply(k, &c);
}

static inline int kit_hold(struct kit *k, const char *pool, unsigned person, unsigned slot)
{
    struct slot_key key = kit_slot(slot);
    struct command c = kit_command(k, COMMAND_CREATE_HOLD, pool, person);
    c.slots = &key;
    c.slots_count = 1;
    return kit_apply(k, &c);
}

/* Confirm, drop, cancel, or a read, of what has that number. */
static inline int kit_change(struct kit *k, enum command_kind kind, const char *pool,
                             unsigned person, const uint64_t id[2])
{
    struct command c = kit_command(k, kind, pool, person);
    c.owner = id[0];
    c.number = id[1];
    return kit_apply(k, &c);
}

/* A hold that must succeed; its id. */
static inline void kit_held(struct kit *k, const char *pool, unsigned person, unsigned slot,
                            uint64_t ret_id[2])
{
    ret_id[0] = ret_id[1] = 0;
    EQ(kit_hold(k, pool, person, slot), REASON_OK);
    if (k->v.result == RESULT_HOLD) {
        ret_id[0] = k->v.holds[0].owner;
        ret_id[1] = k->v.holds[0].number;
    }
}

/* Everything due is expired by command; how many. */
static inline size_t kit_expire(struct kit *k)
{
    struct command due[64];
    struct arena arena;
    arena_init(&arena, 1 << 20);
    size_t n = ledger_due(k->l, k->now_us, &arena, due, 64);
    for (size_t i = 0; i < n; i++) {
        EQ(kit_apply(k, &due[i]), REASON_OK);
    }
    arena_fini(&arena);
    return n;
}

/* Records with that tag. */
static inline size_t kit_count(const struct kit *k, char tag)
{
    size_t n = 0;
    for (size_t i = 0; i < k->m.count; i++) {
        struct span key, value;
        membook_at(&k->m, i, &key, &value);
        n += key.ptr[16] == (uint8_t)tag;
    }
    return n;
}

/* The state of a slot, by the public list. */
static inline struct slot_view kit_look(struct kit *k, const char *pool, unsigned slot)
{
    struct slot_key key = kit_slot(slot);
    struct command c = kit_command(k, COMMAND_LIST_SLOTS, pool, 1);
    c.from_us = key.start_us;
    c.to_us = key.start_us + 1;
    c.page_size = 10;
    EQ(kit_apply(k, &c), REASON_OK);
    for (size_t i = 0; i < k->v.slots_count; i++) {
        if (span_equal(k->v.slots[i].key.slug, key.slug)) {
            return k->v.slots[i];
        }
    }
    return (struct slot_view){0};
}

/* An operator asks for person n to be erased; `hex` is borrowed. */
static inline struct command kit_erasure(struct kit *k, unsigned person, char hex[33])
{
    struct identity who = kit_person(person);
    for (int i = 0; i < 16; i++) {
        snprintf(hex + 2 * i, 3, "%02x", who.bytes[i]);
    }
    struct command c = kit_command(k, COMMAND_ERASE, "", 9999);
    c.roles = ROLE_OPERATOR;
    c.note = span_of(hex);
    return c;
}

/* How often person n's identity stands in the book, in keys or values. */
static inline size_t kit_records_of(struct kit *k, unsigned person)
{
    struct identity who = kit_person(person);
    size_t found = 0;
    for (size_t i = 0; i < k->m.count; i++) {
        struct span both[2];
        membook_at(&k->m, i, &both[0], &both[1]);
        for (int j = 0; j < 2; j++) {
            for (size_t at = 0; at + 16 <= both[j].len; at++) {
                found += memcmp(both[j].ptr + at, who.bytes, 16) == 0;
            }
        }
    }
    return found;
}

/* The packed answer of the last verdict, copied into `out`. */
static inline size_t kit_answer(struct kit *k, uint8_t *out, size_t max)
{
    struct span bytes = {0};
    if (codec_answer(&k->v, &k->arena, &bytes) != 0 || bytes.len > max) {
        abort();
    }
    for (size_t i = 0; i < bytes.len; i++) { /* an answer may be nothing at all */
        out[i] = bytes.ptr[i];
    }
    return bytes.len;
}

static inline uint64_t kit_mix(uint64_t h, const void *ptr, size_t len)
{
    const uint8_t *p = ptr;
    for (size_t i = 0; i < len; i++) {
        h = (h ^ p[i]) * UINT64_C(0x100000001b3);
    }
    return h;
}

/* Everything that the last verdict says, but its reason. */
static inline uint64_t kit_digest(struct kit *k)
{
    static uint8_t bytes[65536];
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    if (k->v.reason == REASON_OK) {
        h = kit_mix(h, bytes, kit_answer(k, bytes, sizeof bytes));
    }
    for (size_t i = 0; i < k->v.meta_count; i++) {
        h = kit_mix(h, k->v.meta[i].key, strlen(k->v.meta[i].key));
        h = kit_mix(h, k->v.meta[i].value.ptr, k->v.meta[i].value.len);
    }
    return h;
}

static inline const char *kit_meta(const struct kit *k, const char *key)
{
    static char text[512];
    for (size_t i = 0; i < k->v.meta_count; i++) {
        if (strcmp(k->v.meta[i].key, key) == 0) {
            memcpy(text, k->v.meta[i].value.ptr, k->v.meta[i].value.len);
            text[k->v.meta[i].value.len] = 0;
            return text;
        }
    }
    return "";
}

#endif

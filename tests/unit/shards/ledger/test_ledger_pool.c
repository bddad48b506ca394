/* SPDX-License-Identifier: MIT */
/* Pools and slots: made once, all or nothing; listed in order, page by page. */
#include "base/prng.h"
#include "tests/unit/shards/ledger/ledger_kit.h"

static void test_create_pool(void)
{
    struct kit k;
    kit_init(&k);
    struct pool_view p = kit_policy("city", "passport");
    p.display_name = span_of("City hall");
    p.office = span_of("Office");
    p.service = span_of("Passport");
    p.scarce = true;
    p.min_assurance = ASSURANCE_SUBSTANTIAL;
    EQ(kit_pool_of(&k, &p), REASON_OK);
    EQ(k.v.result, RESULT_POOL);
    EQ(k.v.pools[0].version, 1);
    EQ(kit_pool_of(&k, &p), REASON_POOL_EXISTS);
    struct command c = kit_command(&k, COMMAND_GET_POOL, "city", 1);
    EQ(kit_apply(&k, &c), REASON_OK);
    const struct pool_view *v = &k.v.pools[0];
    OK(span_equal(v->id, p.id) && span_equal(v->display_name, p.display_name));
    OK(span_equal(v->office, p.office) && span_equal(v->service, p.service));
    OK(span_equal(v->service_class, p.service_class) && span_equal(v->time_zone, p.time_zone));
    OK(v->scarce && v->min_assurance == ASSURANCE_SUBSTANTIAL && v->max_live == 2);
    EQ(v->hold_ttl_us, 600 * SECOND_US);
    c = kit_command(&k, COMMAND_GET_POOL, "village", 1);
    EQ(kit_apply(&k, &c), REASON_POOL_UNKNOWN);
    c = kit_command(&k, COMMAND_CREATE_POOL, "x", 1); /* no role */
    c.new_pool = &p;
    EQ(kit_apply(&k, &c), REASON_ROLE_MISSING);
    kit_fini(&k);
}

static void test_list_pools(void)
{
    struct kit k;
    char id[300][POOL_ID_MAX + 1];
    struct prng prng;
    prng_init(&prng, 4);
    kit_init(&k);
    for (int i = 0; i < 300; i++) {
        /* Short and long ones, many with one beginning: order must not depend on eight bytes. */
        snprintf(id[i], sizeof id[i], i % 3 ? "registry-%llx" : "%llx",
                 (unsigned long long)prng_next(&prng) >> (i % 50));
        EQ(kit_pool(&k, id[i], "c"), REASON_OK);
    }
    char before[POOL_ID_MAX + 1] = "", token[PAGE_TOKEN_MAX + 1] = "";
    size_t seen = 0, pages = 0;
    do {
        struct command c = kit_command(&k, COMMAND_LIST_POOLS, "", 1);
        c.page_size = 7;
        c.page_token = span_of(token);
        EQ(kit_apply(&k, &c), REASON_OK);
        for (size_t i = 0; i < k.v.pools_count; i++) {
            char now[POOL_ID_MAX + 1] = "";
            memcpy(now, k.v.pools[i].id.ptr, k.v.pools[i].id.len);
            OK(strcmp(before, now) < 0);
            strcpy(before, now);
            seen++;
        }
        OK(k.v.next_page_token.len <= PAGE_TOKEN_MAX);
        memcpy(token, k.v.next_page_token.ptr ? k.v.next_page_token.ptr : (const uint8_t *)"",
               k.v.next_page_token.len);
        token[k.v.next_page_token.len] = 0;
    } while (token[0] && ++pages < 100);
    EQ(seen, 300);
    EQ(pages, 42);
    kit_fini(&k);
}

static void test_create_slots(void)
{
    struct kit k;
    kit_init(&k);
    EQ(kit_slots(&k, "city", 0, 1), REASON_POOL_UNKNOWN);
    EQ(kit_pool(&k, "city", "c"), REASON_OK);
    EQ(kit_slots(&k, "city", 10, 4), REASON_OK);
    EQ(k.v.changed_count, 4);
    EQ(k.v.log_index, k.log_index);
    size_t count = k.m.count;
    EQ(kit_slots(&k, "city", 0, 12), REASON_SLOT_EXISTS); /* ten new ones, two old */
    EQS(kit_meta(&k, "slot"), "s20261201t0950-a");
    EQ(k.m.count, count + 1); /* the remembered verdict, nothing else */
    struct new_slot one = {KIT_START, SECOND_US, span_of("x"), span_of("X")};
    struct command c = kit_command(&k, COMMAND_CREATE_SLOTS, "city", 9999);
    c.roles = ROLE_OPERATOR;
    c.new_slots = &one;
    c.new_slots_count = 1;
    c.validate_only = true;
    uint64_t hash = membook_hash(&k.m);
    EQ(kit_apply(&k, &c), REASON_OK);
    EQ(k.v.changed_count, 1);
    EQ(k.v.log_index, 0);
    OK(membook_hash(&k.m) == hash); /* checked, nothing written */
    one = (struct new_slot){kit_slot(10).start_us, SECOND_US, span_of("a"), span_of("A")};
    EQ(kit_apply(&k, &c), REASON_SLOT_EXISTS);
    OK(membook_hash(&k.m) == hash);
    c.roles = 0;
    EQ(kit_apply(&k, &c), REASON_ROLE_MISSING);
    one.start_us = 0; /* history may be imported */
    c.roles = ROLE_OPERATOR;
    c.validate_only = false;
    EQ(kit_apply(&k, &c), REASON_OK);
    kit_fini(&k);
}

/* The whole list in pages of `size`; the number of slots seen, in order. */
static size_t walk(struct kit *k, struct command c, uint32_t size, size_t *ret_pages)
{
    char token[PAGE_TOKEN_MAX + 1] = "";
    int64_t before = -1;
    size_t seen = 0;
    *ret_pages = 0;
    do {
        c.page_size = size;
        c.page_token = span_of(token);
        EQ(kit_apply(k, &c), REASON_OK);
        for (size_t i = 0; i < k->v.slots_count; i++) {
            const struct slot_view *s = &k->v.slots[i];
            int64_t now = s->key.start_us * 2 + (s->key.slug.ptr[0] == 'b');
            OK(now > before);
            OK(s->key.start_us >= c.from_us && s->key.start_us < c.to_us);
            OK(!c.free_only || s->state == SLOT_FREE);
            before = now;
            seen++;
        }
        memcpy(token, k->v.next_page_token.ptr ? k->v.next_page_token.ptr : (const uint8_t *)"",
               k->v.next_page_token.len);
        token[k->v.next_page_token.len] = 0;
    } while (token[0] && ++*ret_pages < 1000);
    return seen;
}

static void test_list_slots(void)
{
    struct kit k;
    size_t pages;
    uint64_t id[2];
    kit_init(&k);
    EQ(kit_pool(&k, "city", "c"), REASON_OK);
    EQ(kit_pool(&k, "city-2", "c"), REASON_OK);
    EQ(kit_slots(&k, "city", 0, 100), REASON_OK);
    EQ(kit_slots(&k, "city-2", 0, 10), REASON_OK);
    struct command c = kit_command(&k, COMMAND_LIST_SLOTS, "city", 1);
    c.to_us = INT64_MAX;
    EQ(walk(&k, c, 1000, &pages), 100);
    EQ(walk(&k, c, 7, &pages), 100);
    EQ(pages, 14);
    EQ(walk(&k, c, 100, &pages), 100);
    EQ(pages, 0); /* exactly full: no empty page behind */
    for (unsigned i = 0; i < 40; i++) {
        kit_held(&k, "city", 100 + i, 2 * i, id);
    }
    c.free_only = true;
    EQ(walk(&k, c, 9, &pages), 60);
    int64_t then_us = k.now_us;
    k.now_us = kit_slot(90).start_us; /* nobody can book what has started: five are ahead */
    EQ(walk(&k, c, 2, &pages), 8);
    c.from_us = kit_slot(94).start_us;
    EQ(walk(&k, c, 50, &pages), 6);
    c.from_us = 0;
    c.free_only = false;
    EQ(walk(&k, c, 50, &pages), 100); /* but all can be looked at */
    k.now_us = then_us;
    c.from_us = kit_slot(10).start_us;
    c.to_us = kit_slot(20).start_us; /* half open: ten slots */
    EQ(walk(&k, c, 3, &pages), 10);
    c.from_us++; /* not on a second: the next ones */
    EQ(walk(&k, c, 3, &pages), 8);
    c.to_us = c.from_us;
    EQ(walk(&k, c, 3, &pages), 0);
    EQ(k.v.as_of_us, k.now_us);
    OK(span_equal(k.v.pool, span_of("city")));
    c = kit_command(&k, COMMAND_LIST_SLOTS, "nowhere", 1);
    c.page_size = 1;
    EQ(kit_apply(&k, &c), REASON_POOL_UNKNOWN);
    kit_fini(&k);
}

/* A walk over a pool that has nothing free is cut, and goes on by its token. */
static void test_scan_is_bounded(void)
{
    struct kit k;
    size_t pages;
    kit_init(&k);
    struct pool_view p = kit_policy("city", "c");
    EQ(kit_pool_of(&k, &p), REASON_OK);
    EQ(kit_slots(&k, "city", 0, 4000), REASON_OK);
    EQ(kit_slots(&k, "city", 4000, 4000), REASON_OK);
    EQ(kit_slots(&k, "city", 8000, 10), REASON_OK);
    for (unsigned i = 0; i < 8000; i++) {
        if (kit_hold(&k, "city", 10 + i, i) != REASON_OK) {
            OK(false);
        }
    }
    struct command c = kit_command(&k, COMMAND_LIST_SLOTS, "city", 1);
    c.to_us = INT64_MAX;
    c.free_only = true;
    k.m.nexts = 0;
    c.page_size = 1;
    EQ(kit_apply(&k, &c), REASON_OK);
    EQ(k.v.slots_count, 0);
    OK(k.v.next_page_token.len > 0);
    OK(k.m.nexts <= 4 * PAGE_SIZE_MAX + 1);
    EQ(walk(&k, c, 50, &pages), 10);
    EQ(pages, 2);
    kit_fini(&k);
}

static int list_with(struct kit *k, const char *pool, const char *token, bool free_only)
{
    struct command c = kit_command(k, COMMAND_LIST_SLOTS, pool, 1);
    c.to_us = INT64_MAX;
    c.free_only = free_only;
    c.page_size = 2;
    c.page_token = span_of(token);
    return kit_apply(k, &c);
}

static void test_page_tokens(void)
{
    struct kit k;
    char token[PAGE_TOKEN_MAX + 1] = "";
    kit_init(&k);
    EQ(kit_pool(&k, "city", "c"), REASON_OK);
    EQ(kit_pool(&k, "village", "c"), REASON_OK);
    EQ(kit_slots(&k, "city", 0, 10), REASON_OK);
    EQ(list_with(&k, "city", "", false), REASON_OK);
    memcpy(token, k.v.next_page_token.ptr, k.v.next_page_token.len);
    EQ(list_with(&k, "city", token, false), REASON_OK);
    EQ(list_with(&k, "village", token, false), REASON_PAGE_TOKEN_INVALID);
    EQ(list_with(&k, "city", token, true), REASON_PAGE_TOKEN_INVALID);
    struct command c = kit_command(&k, COMMAND_LIST_POOLS, "", 1);
    c.page_size = 2;
    c.page_token = span_of(token);
    EQ(kit_apply(&k, &c), REASON_PAGE_TOKEN_INVALID);
    for (size_t i = 0; i < strlen(token); i++) {
        char changed[PAGE_TOKEN_MAX + 1];
        strcpy(changed, token);
        changed[i] ^= 1;
        EQ(list_with(&k, "city", changed, false), REASON_PAGE_TOKEN_INVALID);
    }
    static const char *bad[] = {".", "00000000.", "00000000", "00000000.s20261201t0900-a", "x",
                                "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        EQ(list_with(&k, "city", bad[i], false), REASON_PAGE_TOKEN_INVALID);
        c.page_token = span_of(bad[i]);
        EQ(kit_apply(&k, &c), REASON_PAGE_TOKEN_INVALID);
    }
    kit_fini(&k);
}

/* One's own reservations: of a pool, of all classes, page by page; nobody else's. */
static void test_list_reservations(void)
{
    struct kit k;
    uint64_t id[2];
    char pool[16], token[PAGE_TOKEN_MAX + 1] = "";
    kit_init(&k);
    for (int i = 0; i < 12; i++) { /* four classes of three pools */
        char service_class[16];
        snprintf(pool, sizeof pool, "p-%d", i);
        snprintf(service_class, sizeof service_class, "c.%d", i % 4);
        struct pool_view p = kit_policy(pool, service_class);
        p.max_live = 16;
        EQ(kit_pool_of(&k, &p), REASON_OK);
        EQ(kit_slots(&k, pool, 0, 8), REASON_OK);
        for (unsigned person = 1; person <= 2; person++) {
            kit_held(&k, pool, person, person, id);
            EQ(kit_change(&k, COMMAND_CONFIRM_HOLD, pool, person, id), REASON_OK);
            kit_held(&k, pool, person, 4 + person, id); /* only a hold: not listed */
        }
    }
    struct command c = kit_command(&k, COMMAND_LIST_RESERVATIONS, "-", 1);
    c.page_size = 100;
    EQ(kit_apply(&k, &c), REASON_OK);
    EQ(k.v.reservations_count, 12);
    EQ(k.v.next_page_token.len, 0);
    size_t seen = 0, pages = 0;
    do {
        c.page_size = 5;
        c.page_token = span_of(token);
        EQ(kit_apply(&k, &c), REASON_OK);
        for (size_t i = 0; i < k.v.reservations_count; i++, seen++) {
            /* Class by class, in each by number: pools 0 4 8, 1 5 9, ... */
            snprintf(pool, sizeof pool, "p-%d", (int)(seen % 3 * 4 + seen / 3));
            OK(span_equal(k.v.reservations[i].pool, span_of(pool)));
        }
        memcpy(token, k.v.next_page_token.ptr ? k.v.next_page_token.ptr : (const uint8_t *)"",
               k.v.next_page_token.len);
        token[k.v.next_page_token.len] = 0;
    } while (token[0] && ++pages < 10);
    EQ(seen, 12);
    EQ(pages, 2);
    c.page_token = (struct span){0};
    c.pool = span_of("p-5");
    EQ(kit_apply(&k, &c), REASON_OK);
    EQ(k.v.reservations_count, 1);
    c.identity = kit_person(3);
    EQ(kit_apply(&k, &c), REASON_OK);
    EQ(k.v.reservations_count, 0);
    c.pool = span_of("-");
    EQ(kit_apply(&k, &c), REASON_OK);
    EQ(k.v.reservations_count, 0);
    c.pool = span_of("nowhere");
    EQ(kit_apply(&k, &c), REASON_POOL_UNKNOWN);
    c.pool = span_of("-");
    c.page_token = span_of("00000000.c.1.0000000000000001");
    EQ(kit_apply(&k, &c), REASON_PAGE_TOKEN_INVALID);
    kit_fini(&k);
}

/* More pools than the cache has room for: what is evicted is read again, rightly. */
static void test_pool_cache(void)
{
    struct kit k;
    char pool[16];
    kit_init(&k);
    for (int i = 0; i < 700; i++) {
        snprintf(pool, sizeof pool, "p-%d", i);
        struct pool_view p = kit_policy(pool, "c");
        p.hold_ttl_us = (1 + i) * SECOND_US;
        EQ(kit_pool_of(&k, &p), REASON_OK);
        EQ(kit_slots(&k, pool, 0, 2), REASON_OK);
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 700; i++) {
            snprintf(pool, sizeof pool, "p-%d", i);
            EQ(kit_hold(&k, pool, 1000 * (unsigned)(round + 1) + (unsigned)i, (unsigned)round),
               REASON_OK);
            EQ(k.v.holds[0].expire_us - k.now_us, (1 + i) * SECOND_US);
        }
    }
    kit_fini(&k);
}

/* Found by its name's end lately, and then another one of the same end: each keeps its own; a
 * policy that has changed counts at once, and a name that does not exist is not found beside
 * them. */
static void test_pool_lately(void)
{
    static const char *names[] = {"a-17", "b-17", "c-17"};
    struct kit k;
    kit_init(&k);
    for (size_t i = 0; i < 3; i++) {
        struct pool_view p = kit_policy(names[i], names[i]);
        p.hold_ttl_us = (int64_t)(10 + i) * SECOND_US;
        EQ(kit_pool_of(&k, &p), REASON_OK);
        EQ(kit_slots(&k, names[i], 0, 9), REASON_OK);
    }
    for (unsigned i = 0; i < 9; i++) {
        EQ(kit_hold(&k, names[i % 3], 100 + i, i / 3), REASON_OK);
        EQ(k.v.holds[0].expire_us - k.now_us, (10 + i % 3) * SECOND_US);
        EQ(kit_hold(&k, "d-17", 100 + i, 0), REASON_POOL_UNKNOWN);
    }
    struct pool_view p = kit_policy(names[2], names[2]);
    struct command c = kit_command(&k, COMMAND_UPDATE_POOL, names[2], 9999);
    c.roles = ROLE_OPERATOR;
    p.hold_ttl_us = 77 * SECOND_US;
    c.new_pool = &p;
    c.pool_mask = POOL_FIELD_HOLD_TTL;
    EQ(kit_apply(&k, &c), REASON_OK);
    EQ(kit_hold(&k, names[2], 300, 5), REASON_OK);
    EQ(k.v.holds[0].expire_us - k.now_us, 77 * SECOND_US);
    kit_fini(&k);
}

int main(void)
{
    TAP_RUN(test_create_pool);
    TAP_RUN(test_list_pools);
    TAP_RUN(test_create_slots);
    TAP_RUN(test_list_slots);
    TAP_RUN(test_scan_is_bounded);
    TAP_RUN(test_page_tokens);
    TAP_RUN(test_list_reservations);
    TAP_RUN(test_pool_cache);
    TAP_RUN(test_pool_lately);
    return tap_done();
}

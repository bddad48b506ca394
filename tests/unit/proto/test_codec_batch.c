/* SPDX-License-Identifier: MIT */
/* Commands, batches, replies, log entries: out and in again unchanged; damage is a verdict. */
#include "base/prng.h"
#include "shard/v1/shard.pb-c.h"
#include "tests/unit/proto/codec_kit.h"

static struct arena arena;

static bool same_bytes(const void *a, const void *b, size_t n)
{
    return memcmp(a, b, n) == 0;
}

static const struct slot_key one_slot = {1796115600 * SECOND_US, {(const uint8_t *)"c3", 2}};
static const struct new_slot two_new[2] = {
    {SECOND_US, 600 * SECOND_US, {(const uint8_t *)"a", 1}, {(const uint8_t *)"A", 1}},
    {2 * SECOND_US, DAY_US, {(const uint8_t *)"1", 1}, {NULL, 0}},
};
static const struct pool_view one_pool = {
    .id = {(const uint8_t *)"p-1", 3}, .service_class = {(const uint8_t *)"cls", 3},
    .time_zone = {(const uint8_t *)"UTC", 3}, .office = {(const uint8_t *)"Amt", 3},
    .min_assurance = ASSURANCE_HIGH, .hold_ttl_us = 90 * SECOND_US, .max_live = 3, .scarce = true,
    .max_slots = 2, .max_changes = 0, .cool_down_us = 60 * SECOND_US,
    .reconfirm_open_us = 2 * DAY_US, .reconfirm_by_us = DAY_US,
};

static struct slot_key many_slots[257]; /* in order */

static struct command command_of(enum command_kind kind)
{
    struct command c = {.kind = kind, .pool = span_of("p-1"), .assurance = ASSURANCE_LOW};
    memset(c.identity.bytes, 7, 16);
    if (command_is_own(kind)) {
        c.identity = (struct identity){0};
        c.assurance = ASSURANCE_NONE;
    } else if (!command_is_read(kind)) {
        memset(c.request_id.bytes, 9, 16);
        c.body_hash = 0x1122334455667788;
    }
    if (kind == COMMAND_CREATE_POOL) {
        c.new_pool = &one_pool;
        c.roles = ROLE_OPERATOR;
    } else if (kind == COMMAND_CREATE_SLOTS) {
        c.new_slots = two_new;
        c.new_slots_count = 2;
        c.validate_only = true;
    } else if (kind == COMMAND_CREATE_HOLD) {
        c.slots = &one_slot;
        c.slots_count = 1;
    } else if (kind == COMMAND_RESCHEDULE) {
        c.select_us = 1796115600 * SECOND_US;
        c.select_count = 8;
        c.owner = 5;
        c.etag = span_of("\"v3\"");
    } else if (kind == COMMAND_UPDATE_POOL) {
        c.new_pool = &one_pool;
        c.pool_mask = POOL_FIELDS_ALL;
    } else if (kind == COMMAND_BLOCK_SLOTS || kind == COMMAND_UNBLOCK_SLOTS) {
        c.slots = many_slots;
        c.slots_count = 6;
        c.note = span_of("water in the cellar");
    } else if (kind == COMMAND_LIST_SLOTS || kind == COMMAND_LIST_POOLS ||
               kind == COMMAND_LIST_RESERVATIONS) {
        c.page_size = 1000;
        c.page_token = span_of("token");
        c.from_us = kind == COMMAND_LIST_SLOTS ? 5 : 0;
        c.to_us = INT64_MAX;
        c.free_only = true;
    } else {
        c.owner = UINT64_MAX;
        c.number = 77;
        c.version = 3;
        c.etag = span_of("\"v3\"");
    }
    return c;
}

static const enum command_kind kinds[] = {
    COMMAND_CREATE_POOL, COMMAND_CREATE_SLOTS, COMMAND_CREATE_HOLD, COMMAND_CONFIRM_HOLD,
    COMMAND_DROP_HOLD, COMMAND_CANCEL_RESERVATION, COMMAND_EXPIRE_HOLD, COMMAND_SWEEP,
    COMMAND_LIST_POOLS, COMMAND_GET_POOL, COMMAND_LIST_SLOTS, COMMAND_GET_HOLD,
    COMMAND_GET_RESERVATION, COMMAND_LIST_RESERVATIONS, COMMAND_RESCHEDULE, COMMAND_RECONFIRM,
    COMMAND_UPDATE_POOL, COMMAND_BLOCK_SLOTS, COMMAND_UNBLOCK_SLOTS, COMMAND_RESTOCK,
    COMMAND_RESTOCK_STEP, COMMAND_LAPSE, COMMAND_RAISE, COMMAND_ERASE_STEP,
};
#define KINDS (sizeof kinds / sizeof kinds[0])

static void same_command(const struct command *a, const struct command *b)
{
    EQ(a->kind, b->kind);
    OK(same_bytes(&a->identity, &b->identity, 16));
    OK(same_bytes(&a->request_id, &b->request_id, 16));
    EQ(a->assurance, b->assurance);
    EQ(a->roles, b->roles);
    OK(a->body_hash == b->body_hash && a->owner == b->owner && a->number == b->number);
    OK(a->version == b->version && a->from_us == b->from_us && a->to_us == b->to_us);
    OK(span_equal(a->pool, b->pool) && span_equal(a->etag, b->etag));
    OK(span_equal(a->page_token, b->page_token));
    EQ(a->page_size, b->page_size);
    EQ(a->free_only, b->free_only);
    EQ(a->validate_only, b->validate_only);
    OK(a->select_us == b->select_us && a->select_count == b->select_count);
    OK(a->pool_mask == b->pool_mask && span_equal(a->note, b->note));
    EQ(a->slots_count, b->slots_count);
    for (size_t i = 0; i < a->slots_count; i++) {
        EQ(a->slots[i].start_us, b->slots[i].start_us);
        OK(span_equal(a->slots[i].slug, b->slots[i].slug));
    }
    EQ(a->new_slots_count, b->new_slots_count);
    for (size_t i = 0; i < a->new_slots_count; i++) {
        EQ(a->new_slots[i].start_us, b->new_slots[i].start_us);
        EQ(a->new_slots[i].duration_us, b->new_slots[i].duration_us);
        OK(span_equal(a->new_slots[i].slug, b->new_slots[i].slug));
        OK(span_equal(a->new_slots[i].desk, b->new_slots[i].desk));
    }
    EQ(a->new_pool != NULL, b->new_pool != NULL);
    if (a->new_pool && b->new_pool) {
        const struct pool_view *p = a->new_pool, *q = b->new_pool;
        OK(span_equal(p->id, q->id) && span_equal(p->service_class, q->service_class));
        OK(span_equal(p->time_zone, q->time_zone) && span_equal(p->office, q->office));
        OK(p->min_assurance == q->min_assurance && p->hold_ttl_us == q->hold_ttl_us);
        OK(p->max_live == q->max_live && p->scarce == q->scarce);
        OK(p->max_slots == q->max_slots && p->max_changes == q->max_changes);
        OK(p->cool_down_us == q->cool_down_us && p->reconfirm_by_us == q->reconfirm_by_us);
        OK(p->reconfirm_open_us == q->reconfirm_open_us);
    }
}

static void test_every_kind_round_trips(void)
{
    for (size_t i = 0; i < KINDS; i++) {
        struct command c = command_of(kinds[i]), d;
        struct span packed, again;
        arena_reset(&arena);
        EQ(codec_command_pack(&c, &arena, &packed), 0);
        EQ(codec_command_unpack(packed, &arena, &d), 0);
        same_command(&c, &d);
        EQ(codec_command_pack(&d, &arena, &again), 0);
        OK(span_equal(packed, again));
    }
}

/* Slots of a block come in the book's order, each once; a selector only where there is no slot. */
static void test_slots_and_selectors(void)
{
    struct command c = command_of(COMMAND_BLOCK_SLOTS), d;
    struct span packed;
#define UNPACKED(want)                                  \
    do {                                                \
        arena_reset(&arena);                            \
        EQ(codec_command_pack(&c, &arena, &packed), 0); \
        EQ(codec_command_unpack(packed, &arena, &d), want); \
    } while (0)
    c.slots_count = 256;
    UNPACKED(0);
    c.slots_count = 257;
    UNPACKED(REASON_MESSAGE_MALFORMED);
    struct slot_key two[2] = {many_slots[1], many_slots[0]};
    c.slots = two;
    c.slots_count = 2;
    UNPACKED(REASON_MESSAGE_MALFORMED);
    two[1] = two[0];
    UNPACKED(REASON_MESSAGE_MALFORMED);
    c = command_of(COMMAND_RESCHEDULE);
    c.select_count = 9;
    UNPACKED(REASON_MESSAGE_MALFORMED);
    c.select_count = 0; /* as many as it has */
    UNPACKED(0);
    c.select_us++;
    UNPACKED(REASON_MESSAGE_MALFORMED);
    c = command_of(COMMAND_CREATE_HOLD);
    c.select_count = 1;
    UNPACKED(REASON_MESSAGE_MALFORMED); /* both */
    c.slots_count = 0;
    UNPACKED(0);
    c.select_us = -SECOND_US;
    UNPACKED(REASON_MESSAGE_MALFORMED);
    c = command_of(COMMAND_UPDATE_POOL);
    c.pool_mask = 0;
    UNPACKED(REASON_MESSAGE_MALFORMED);
    c.pool_mask = POOL_FIELDS_ALL + 1;
    UNPACKED(REASON_MESSAGE_MALFORMED);
    c = command_of(COMMAND_RESTOCK);
    c.note = span_of("a\tb");
    UNPACKED(REASON_MESSAGE_MALFORMED);
}

/* -- commands that no gateway of ours makes ---------------------------------------------------- */

static int unpack_of(const Shard__V1__Command *m)
{
    struct command c;
    arena_reset(&arena);
    return codec_command_unpack(kit_pack(m), &arena, &c);
}

static void test_foreign_commands(void)
{
    static uint8_t bytes[17];
    static char text[256];
    memset(text, 'a', sizeof text - 1);
    Shard__V1__SlotKey key = SHARD__V1__SLOT_KEY__INIT, *keys[9];
    Shard__V1__Command good = SHARD__V1__COMMAND__INIT, m;
    key.desk = (char *)"a";
    for (int i = 0; i < 9; i++) {
        keys[i] = &key;
    }
    good.kind = COMMAND_CREATE_HOLD;
    good.pool = (char *)"p";
    good.identity = (ProtobufCBinaryData){16, bytes};
    good.request_id = (ProtobufCBinaryData){16, bytes};
    good.slots = keys;
    good.n_slots = 1;
    EQ(unpack_of(&good), 0);
#define FOREIGN(change)                             \
    do {                                            \
        m = good;                                   \
        change;                                     \
        EQ(unpack_of(&m), REASON_MESSAGE_MALFORMED); \
    } while (0)
    FOREIGN(m.kind = 0);
    FOREIGN(m.kind = 99);
    FOREIGN(m.kind = 106);
    FOREIGN(m.kind = UINT32_MAX);
    FOREIGN(m.pool = (char *)"");
    FOREIGN(m.pool = (char *)"-");
    FOREIGN(m.pool = text);
    FOREIGN(m.identity.len = 15);
    FOREIGN(m.identity.len = 17);
    FOREIGN(m.identity.len = 0);
    FOREIGN(m.request_id.len = 0);
    FOREIGN(m.request_id.len = 15);
    FOREIGN(m.assurance = 4);
    FOREIGN(m.n_slots = 0);
    FOREIGN(m.n_slots = 2);
    FOREIGN(m.n_slots = 9);
    FOREIGN(m.etag = text);
    FOREIGN(m.page_token = text);
    FOREIGN(m.page_size = 1);
    FOREIGN(key.start_us = -1; m.kind = COMMAND_CREATE_HOLD);
    FOREIGN(key.start_us = 1; m.kind = COMMAND_CREATE_HOLD);
    FOREIGN(key.start_us = INT64_MAX; m.kind = COMMAND_CREATE_HOLD);
    key.start_us = 0;
    FOREIGN(key.desk = text; m.kind = COMMAND_CREATE_HOLD);
    FOREIGN(key.desk = (char *)""; m.kind = COMMAND_CREATE_HOLD);
    key.desk = (char *)"a";
    FOREIGN(m.kind = COMMAND_CREATE_POOL; m.n_slots = 0);
    FOREIGN(m.kind = COMMAND_CREATE_SLOTS; m.n_slots = 0);
    FOREIGN(m.kind = COMMAND_LIST_SLOTS; m.n_slots = 0; m.request_id.len = 0; m.page_size = 1001);
    Fairslot__V1__Pool pool = FAIRSLOT__V1__POOL__INIT;
    FOREIGN(m.new_pool = &pool);
    FOREIGN(m.kind = COMMAND_CREATE_POOL; m.n_slots = 0; m.new_pool = &pool;
            pool.max_live_per_identity = 17);
    EQ(unpack_of(&good), 0);
}

/* -- batches ----------------------------------------------------------------------------------- */

static void test_batch(void)
{
    struct command c = command_of(COMMAND_CREATE_HOLD), d = command_of(COMMAND_GET_POOL);
    struct batch_call calls[2] = {{.call = 1, .deadline_ms = 900}, {.call = 0xffffffff}};
    struct span bytes;
    struct batch_view batch;
    arena_reset(&arena);
    EQ(codec_command_pack(&c, &arena, &calls[0].command), 0);
    EQ(codec_command_pack(&d, &arena, &calls[1].command), 0);
    const struct batch_head head = {4, UINT64_MAX, 9, 77};
    EQ(codec_batch_pack(&head, calls, 2, &arena, &bytes), 0);
    EQ(codec_batch_unpack(bytes, &arena, &batch), 0);
    EQ(batch.map_epoch, 4);
    OK(batch.gateway == UINT64_MAX);
    EQ(batch.waiting_identities, 9);
    EQ(batch.cluster, 77);
    EQ(batch.items_count, 2);
    EQ(batch.items[0].deadline_ms, 900);
    EQ(batch.items[1].call, 0xffffffff);
    OK(span_equal(batch.commands[0], calls[0].command));
    same_command(&batch.items[0].command, &c);
    same_command(&batch.items[1].command, &d);
    EQ(codec_batch_pack(&(struct batch_head){0}, NULL, 0, &arena, &bytes), 0);
    EQ(codec_batch_unpack(bytes, &arena, &batch), 0);
    EQ(batch.items_count, 0);
}

static void test_batch_too_long(void)
{
    static uint8_t bytes[2 * (BATCH_ITEMS_MAX + 1)];
    struct batch_view batch;
    for (size_t i = 0; i < sizeof bytes; i += 2) {
        bytes[i] = 4 << 3 | 2;
    }
    arena_reset(&arena);
    EQ(codec_batch_unpack((struct span){bytes, sizeof bytes}, &arena, &batch),
       REASON_MESSAGE_MALFORMED);
    EQ(codec_batch_unpack((struct span){(const uint8_t *)"\x22\x05", 2}, &arena, &batch),
       REASON_MESSAGE_MALFORMED);
    /* An item without a command is no command. */
    EQ(codec_batch_unpack((struct span){(const uint8_t *)"\x22\x00", 2}, &arena, &batch),
       REASON_MESSAGE_MALFORMED);
    struct arena tiny;
    arena_init(&tiny, 64);
    EQ(codec_batch_unpack((struct span){bytes, 200}, &tiny, &batch), REASON_MESSAGE_MALFORMED);
    arena_fini(&tiny);
}

/* Expiry and sweep are the shard's own: no gateway may put them into the log. */
static void test_batch_with_inner_kinds(void)
{
    static const enum command_kind inner[] = {COMMAND_EXPIRE_HOLD, COMMAND_SWEEP};
    for (int i = 0; i < 2; i++) {
        struct command c = command_of(inner[i]);
        struct batch_call call = {.call = 1};
        struct batch_view batch;
        struct span bytes;
        arena_reset(&arena);
        EQ(codec_command_pack(&c, &arena, &call.command), 0);
        EQ(codec_batch_pack(&(struct batch_head){1, 2, 3, 0}, &call, 1, &arena, &bytes), 0);
        EQ(codec_batch_unpack(bytes, &arena, &batch), REASON_MESSAGE_MALFORMED);
    }
}

static void test_news(void)
{
    struct identity people[2] = {{{1}}, {{2}}};
    uint64_t releases[] = {7, 8, 9};
    struct feed_news news = {5, 6, true, {people[0].bytes, sizeof people}, releases, 3};
    struct reply_view reply = {.feed = &news}, got;
    struct batch_view batch;
    struct span bytes;
    arena_reset(&arena);
    EQ(codec_feed_pack(1, 2, 3, &arena, &bytes), 0);
    EQ(codec_batch_unpack(bytes, &arena, &batch), 0);
    OK(batch.is_feed && batch.items_count == 0);
    EQ(batch.gateway, 1);
    EQ(batch.feed_epoch, 2);
    EQ(batch.feed_after, 3);
    EQ(codec_reply_pack(&reply, &arena, &bytes), 0);
    EQ(codec_reply_unpack(bytes, &arena, &got), 0);
    OK(got.feed && got.feed->missed);
    EQ(got.feed->epoch, 5);
    EQ(got.feed->next, 6);
    OK(span_equal(got.feed->identities, news.identities));
    EQ(got.feed->releases_count, 3);
    EQ(got.feed->releases[2], 9);
    news.identities.len--; /* half an identity */
    EQ(codec_reply_pack(&reply, &arena, &bytes), 0);
    EQ(codec_reply_unpack(bytes, &arena, &got), REASON_MESSAGE_MALFORMED);
    static uint64_t many[FEED_NEWS_MAX + 1];
    news = (struct feed_news){.releases = many, .releases_count = FEED_NEWS_MAX + 1};
    EQ(codec_reply_pack(&reply, &arena, &bytes), 0);
    EQ(codec_reply_unpack(bytes, &arena, &got), REASON_MESSAGE_MALFORMED);
}

static void test_reply(void)
{
    struct answer answers[3] = {
        {.call = 1, .message = span_of("bytes")},
        {.call = 2, .reason = REASON_SLOT_TAKEN, .retry_ms = 5, .field = span_of("slot"),
         .meta = {{"next_free", span_of("a,b")}, {"slot", span_of("x")}}, .meta_count = 2},
        {.call = 3, .reason = REASON_INTERNAL},
    };
    struct reply_view reply = {8, 64, answers, 3}, got;
    struct span bytes;
    arena_reset(&arena);
    EQ(codec_reply_pack(&reply, &arena, &bytes), 0);
    EQ(codec_reply_unpack(bytes, &arena, &got), 0);
    EQ(got.map_epoch, 8);
    EQ(got.credit, 64);
    EQ(got.answers_count, 3);
    EQ(got.answers[1].reason, REASON_SLOT_TAKEN);
    EQ(got.answers[1].retry_ms, 5);
    OK(span_equal(got.answers[1].field, span_of("slot")));
    EQ(got.answers[1].meta_count, 2);
    EQS(got.answers[1].meta[0].key, "next_free");
    OK(span_equal(got.answers[1].meta[1].value, span_of("x")));
    OK(span_equal(got.answers[0].message, span_of("bytes")));
    OK(!got.is_turned_away && got.leader.len == 0);
    reply.is_turned_away = true;
    reply.leader = span_of("tcp://127.0.0.1:17701");
    EQ(codec_reply_pack(&reply, &arena, &bytes), 0);
    EQ(codec_reply_unpack(bytes, &arena, &got), 0);
    OK(got.is_turned_away && span_equal(got.leader, reply.leader));
    /* A reason from the future is answered as ours. */
    answers[0].reason = (enum reason)(REASON_COUNT + 5);
    EQ(codec_reply_pack(&reply, &arena, &bytes), 0);
    EQ(codec_reply_unpack(bytes, &arena, &got), 0);
    EQ(got.answers[0].reason, REASON_INTERNAL);
    EQ(codec_reply_unpack((struct span){(const uint8_t *)"\x1a\x09", 2}, &arena, &got),
       REASON_MESSAGE_MALFORMED);
}

static struct span entry_of_all(void)
{
    struct span packed[KINDS], bytes = {0};
    arena_reset(&arena);
    for (size_t i = 0; i < KINDS; i++) {
        struct command c = command_of(kinds[i]);
        EQ(codec_command_pack(&c, &arena, &packed[i]), 0);
    }
    EQ(codec_entry_pack(-5, packed, KINDS, &arena, &bytes), 0);
    return bytes;
}

static void test_entry(void)
{
    struct span bytes = entry_of_all();
    struct command *commands;
    int64_t log_time_us;
    size_t count;
    EQ(codec_entry_unpack(bytes, &arena, &log_time_us, &commands, &count), 0);
    EQ(log_time_us, -5);
    EQ(count, KINDS);
    for (size_t i = 0; i < count; i++) {
        struct command c = command_of(kinds[i]);
        same_command(&commands[i], &c);
    }
    struct arena tiny;
    arena_init(&tiny, 1024);
    OK(codec_entry_unpack(bytes, &tiny, &log_time_us, &commands, &count) < 0);
    arena_fini(&tiny);
}

/* Damage anywhere in an entry: never a crash, and what is taken keeps the bounds. */
static void test_entry_damage(void)
{
    struct span whole = entry_of_all();
    static uint8_t copy[4096];
    struct arena work;
    struct prng p;
    struct command *commands;
    int64_t log_time_us;
    size_t count, taken = 0;
    arena_init(&work, CALL_ARENA_MAX);
    prng_init(&p, 3);
    OK(whole.len < sizeof copy);
    for (int i = 0; i < 50000; i++) {
        memcpy(copy, whole.ptr, whole.len);
        for (uint64_t k = prng_below(&p, 4); k-- > 0;) {
            copy[prng_below(&p, whole.len)] = (uint8_t)prng_next(&p);
        }
        size_t n = i % 2 ? whole.len : prng_below(&p, whole.len);
        arena_reset(&work);
        int r = codec_entry_unpack((struct span){copy, n}, &work, &log_time_us, &commands, &count);
        OK(r == 0 || r == REASON_MESSAGE_MALFORMED);
        for (size_t j = 0; r == 0 && j < count; j++) {
            OK(commands[j].pool.len <= POOL_ID_MAX && commands[j].slots_count <= SLOTS_PER_HOLD);
            taken++;
        }
    }
    printf("# %zu commands taken from damaged entries\n", taken);
    arena_fini(&work);
}

int main(void)
{
    for (int i = 0; i < 257; i++) {
        many_slots[i] = (struct slot_key){(1796115600 + i / 2 * 60) * SECOND_US,
                                          span_of(i % 2 ? "b" : "a")};
    }
    arena_init(&arena, CALL_ARENA_MAX);
    TAP_RUN(test_every_kind_round_trips);
    TAP_RUN(test_slots_and_selectors);
    TAP_RUN(test_foreign_commands);
    TAP_RUN(test_batch);
    TAP_RUN(test_batch_too_long);
    TAP_RUN(test_batch_with_inner_kinds);
    TAP_RUN(test_news);
    TAP_RUN(test_reply);
    TAP_RUN(test_entry);
    TAP_RUN(test_entry_damage);
    arena_fini(&arena);
    return kit_done();
}

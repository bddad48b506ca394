/* SPDX-License-Identifier: MIT */
/* What is written without protobuf-c is what protobuf-c writes, byte for byte, over random values
 * with the smallest and largest among them; what is read without it is what the general way reads,
 * on what we write ourselves and on random damage of it. */
#include <xxhash.h>

#include "base/check.h"
#include "base/prng.h"
#include "fairslot/v1/services.pb-c.h"
#include "proto/codec_parts.h"
#include "tests/unit/proto/codec_kit.h"

#define ROUNDS 20000

static struct arena arena, model; /* what is tested; what protobuf-c needs */
static struct prng p;
static uint8_t texts[80];

/* -- values ------------------------------------------------------------------------------------ */

static uint64_t any_u64(void)
{
    static const uint64_t edges[] = {0, 1, 127, 128, UINT32_MAX, INT64_MAX, UINT64_MAX};
    return prng_below(&p, 3) ? prng_next(&p) >> prng_below(&p, 64)
                             : edges[prng_below(&p, ARRAY_COUNT(edges))];
}

static int64_t any_i64(void)
{
    return (int64_t)any_u64();
}

static struct span any_text(size_t max)
{
    size_t len = prng_below(&p, 3) ? prng_below(&p, max + 1) : prng_below(&p, 2) * max;
    return (struct span){len ? texts + prng_below(&p, sizeof texts - len) : NULL, len};
}

static struct slot_view any_slot(void)
{
    int64_t second = (int64_t)prng_below(&p, (uint64_t)CODEC_SECOND_MAX + 1);
    second = prng_below(&p, 4) ? second / 60 * 60 : second;
    return (struct slot_view){{(prng_below(&p, 9) ? second : 0) * SECOND_US,
                               any_text(SLOT_DESK_MAX)},
                              any_i64(), any_text(64), (enum slot_state)prng_below(&p, 6),
                              any_u64()};
}

/* -- protobuf-c's way -------------------------------------------------------------------------- */

static struct span model_pack(const ProtobufCMessage *m)
{
    struct span out = {0};
    EQ(codec_pack(m, &model, &out), 0);
    return out;
}

static char *model_etag(uint64_t version)
{
    char *out = arena_alloc(&model, ETAG_MAX);
    codec_etag(version, out);
    return out;
}

static Fairslot__V1__Slot **model_slots(struct span pool, const struct slot_view *v, size_t count)
{
    Fairslot__V1__Slot **all = arena_alloc(&model, count * sizeof *all);
    for (size_t i = 0; i < count; i++) {
        Fairslot__V1__Slot *m = all[i] = arena_alloc(&model, sizeof *m);
        fairslot__v1__slot__init(m);
        m->name = codec_name_slot(&model, pool, &v[i].key);
        m->state = (Fairslot__V1__Slot__State)v[i].state;
        m->start_time = codec_timestamp(&model, v[i].key.start_us);
        m->duration = codec_duration(&model, v[i].duration_us);
        m->desk = codec_text(&model, v[i].desk);
        m->version = v[i].version;
    }
    return all;
}

static struct span model_hold(const struct hold_view *v)
{
    Fairslot__V1__Hold m = FAIRSLOT__V1__HOLD__INIT;
    m.name = codec_name_owned(&model, v->pool, 'h', v->owner, v->number);
    m.state = (Fairslot__V1__Hold__State)v->state;
    m.n_slots = v->slots_count;
    m.slots = model_slots(v->pool, v->slots, v->slots_count);
    m.expire_time = codec_timestamp(&model, v->expire_us);
    m.log_index = v->log_index;
    m.etag = model_etag(v->version);
    if (v->state == HOLD_CONFIRMED) {
        m.reservation = codec_name_owned(&model, v->pool, 'r', v->owner, v->number);
    }
    return model_pack(&m.base);
}

/* The code is the direct way's own: taken from what it wrote. */
static Fairslot__V1__Reservation *model_reservation(const struct reservation_view *v, char *code)
{
    Fairslot__V1__Reservation *m = arena_alloc(&model, sizeof *m);
    fairslot__v1__reservation__init(m);
    m->name = codec_name_owned(&model, v->pool, 'r', v->owner, v->number);
    m->state = (Fairslot__V1__Reservation__State)v->state;
    m->n_slots = v->slots_count;
    m->slots = model_slots(v->pool, v->slots, v->slots_count);
    m->create_time = codec_timestamp(&model, v->create_us);
    m->display_code = code;
    m->changes_left = v->changes_left;
    m->reconfirm_by_time = v->reconfirm_us ? codec_timestamp(&model, v->reconfirm_us) : NULL;
    m->log_index = v->log_index;
    m->etag = model_etag(v->version);
    return m;
}

/* -- answers ----------------------------------------------------------------------------------- */

static struct slot_view slots[SLOTS_PER_HOLD];

static size_t any_slots(void)
{
    for (size_t i = 0; i < SLOTS_PER_HOLD; i++) {
        slots[i] = any_slot();
    }
    return prng_below(&p, SLOTS_PER_HOLD + 1);
}

static struct span answer_of(const struct verdict *v)
{
    struct span out = {0};
    arena_reset(&arena);
    arena_reset(&model);
    EQ(codec_answer(v, &arena, &out), 0);
    return out;
}

static void test_holds(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        struct hold_view h = {.pool = any_text(POOL_ID_MAX), .owner = any_u64(),
                              .number = any_u64(), .state = (enum hold_state)prng_below(&p, 5),
                              .slots = slots, .slots_count = any_slots(), .expire_us = any_i64(),
                              .version = any_u64(), .log_index = any_u64()};
        struct verdict v = {.result = RESULT_HOLD, .holds = &h};
        struct span is = answer_of(&v);
        OK(span_equal(is, model_hold(&h)));
    }
}

static struct reservation_view any_reservation(void)
{
    return (struct reservation_view){
        .pool = any_text(POOL_ID_MAX), .owner = any_u64(), .number = any_u64(),
        .state = (enum reservation_state)prng_below(&p, 7), .slots = slots,
        .slots_count = any_slots(), .create_us = any_i64(), .changes_left = (int32_t)any_i64(),
        .reconfirm_us = any_i64(), .version = any_u64(), .log_index = any_u64()};
}

static void test_reservations(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        struct reservation_view r = any_reservation();
        struct verdict v = {.result = RESULT_RESERVATION, .reservations = &r};
        struct span is = answer_of(&v);
        Fairslot__V1__Reservation *m =
            fairslot__v1__reservation__unpack(NULL, is.len, is.ptr);
        EQ(strlen(m->display_code), 6);
        OK(span_equal(is, model_pack(&model_reservation(&r, m->display_code)->base)));
        fairslot__v1__reservation__free_unpacked(m, NULL);
    }
}

static void test_pages(void)
{
    struct reservation_view r[3];
    for (int i = 0; i < ROUNDS / 10; i++) {
        struct verdict v = {.result = RESULT_SLOTS, .pool = any_text(POOL_ID_MAX), .slots = slots,
                            .slots_count = any_slots(), .next_page_token = any_text(70),
                            .as_of_us = any_i64(), .as_of_index = any_u64()};
        struct span is = answer_of(&v);
        Fairslot__V1__ListSlotsResponse s = FAIRSLOT__V1__LIST_SLOTS_RESPONSE__INIT;
        s.n_slots = v.slots_count;
        s.slots = model_slots(v.pool, slots, v.slots_count);
        s.next_page_token = codec_text(&model, v.next_page_token);
        s.as_of_time = codec_timestamp(&model, v.as_of_us);
        s.as_of_index = (int64_t)v.as_of_index;
        OK(span_equal(is, model_pack(&s.base)));

        size_t count = prng_below(&p, 4);
        for (size_t k = 0; k < count; k++) {
            r[k] = any_reservation();
        }
        v = (struct verdict){.result = RESULT_RESERVATIONS, .reservations = r,
                             .reservations_count = count, .next_page_token = any_text(70)};
        is = answer_of(&v);
        Fairslot__V1__ListReservationsResponse *got =
            fairslot__v1__list_reservations_response__unpack(NULL, is.len, is.ptr);
        Fairslot__V1__ListReservationsResponse l = FAIRSLOT__V1__LIST_RESERVATIONS_RESPONSE__INIT;
        Fairslot__V1__Reservation *all[3];
        EQ(got->n_reservations, count);
        for (size_t k = 0; k < count; k++) {
            all[k] = model_reservation(&r[k], got->reservations[k]->display_code);
        }
        l.n_reservations = count;
        l.reservations = all;
        l.next_page_token = codec_text(&model, v.next_page_token);
        OK(span_equal(is, model_pack(&l.base)));
        fairslot__v1__list_reservations_response__free_unpacked(got, NULL);
    }
}

/* -- batches, replies, entries ----------------------------------------------------------------- */

#define SOME 5

static ProtobufCBinaryData data_of(struct span s)
{
    return (ProtobufCBinaryData){s.len, (uint8_t *)s.ptr};
}

static struct span any_batch(void)
{
    struct batch_call calls[SOME];
    Shard__V1__Request items[SOME], *pointers[SOME];
    Shard__V1__Batch m = SHARD__V1__BATCH__INIT;
    struct span is = {0};
    m.n_requests = prng_below(&p, SOME + 1);
    m.requests = pointers;
    m.map_epoch = any_u64();
    m.gateway = any_u64();
    m.waiting_identities = (uint32_t)any_u64();
    m.cluster = any_u64();
    for (size_t i = 0; i < m.n_requests; i++) {
        calls[i] = (struct batch_call){(uint32_t)any_u64(), (uint32_t)any_u64(), any_text(80),
                                       any_text(25)};
        shard__v1__request__init(pointers[i] = &items[i]);
        items[i].call = calls[i].call;
        items[i].deadline_ms = calls[i].deadline_ms;
        items[i].command = data_of(calls[i].command);
        items[i].trace = data_of(calls[i].trace);
    }
    arena_reset(&arena);
    arena_reset(&model);
    const struct batch_head head = {m.map_epoch, m.gateway, m.waiting_identities, m.cluster};
    EQ(codec_batch_pack(&head, calls, m.n_requests, &arena, &is), 0);
    OK(span_equal(is, model_pack(&m.base)));
    return is;
}

static struct answer any_answer(void)
{
    static const char *const keys[] = {"", "slot", "next_free"};
    struct answer a = {(uint32_t)any_u64(), (enum reason)prng_below(&p, REASON_COUNT),
                       (uint32_t)any_u64(), any_text(20)};
    a.message = any_text(80);
    a.meta_count = prng_below(&p, VERDICT_META_MAX + 1);
    for (size_t i = 0; i < a.meta_count; i++) {
        a.meta[i] = (struct verdict_meta){keys[prng_below(&p, 8) ? 1 + i % 2 : 0], any_text(30)};
    }
    return a;
}

static Shard__V1__Answer *model_answer(const struct answer *a)
{
    Shard__V1__Answer *m = arena_alloc(&model, sizeof *m);
    Shard__V1__Meta *metas = arena_alloc(&model, a->meta_count * sizeof *metas);
    shard__v1__answer__init(m);
    m->call = a->call;
    m->reason = a->reason;
    m->retry_ms = a->retry_ms;
    m->field = codec_text(&model, a->field);
    m->message = data_of(a->message);
    m->n_metadata = a->meta_count;
    m->metadata = arena_alloc(&model, a->meta_count * sizeof *m->metadata);
    for (size_t i = 0; i < a->meta_count; i++) {
        shard__v1__meta__init(m->metadata[i] = &metas[i]);
        metas[i].key = (char *)a->meta[i].key;
        metas[i].value = codec_text(&model, a->meta[i].value);
    }
    return m;
}

static struct span any_reply(bool with_feed)
{
    struct answer answers[SOME];
    Shard__V1__Answer *pointers[SOME];
    uint64_t releases[SOME] = {any_u64(), any_u64(), any_u64()};
    struct feed_news news = {any_u64(), any_u64(), prng_below(&p, 2), {texts, 32}, releases,
                             prng_below(&p, SOME + 1)};
    struct reply_view v = {any_u64(), (uint32_t)any_u64(), answers, prng_below(&p, SOME + 1),
                           (uint32_t)any_u64(), with_feed ? &news : NULL, prng_below(&p, 2),
                           any_text(40), any_u64()};
    Shard__V1__BatchReply m = SHARD__V1__BATCH_REPLY__INIT;
    Shard__V1__FeedNews feed = SHARD__V1__FEED_NEWS__INIT;
    struct span is = {0};
    arena_reset(&arena);
    arena_reset(&model);
    for (size_t i = 0; i < v.answers_count; i++) {
        answers[i] = any_answer();
        pointers[i] = model_answer(&answers[i]);
    }
    m.map_epoch = v.map_epoch;
    m.credit = v.credit;
    m.n_answers = v.answers_count;
    m.answers = pointers;
    m.pause_us = v.pause_us;
    m.turned_away = v.is_turned_away;
    m.leader = codec_text(&model, v.leader);
    m.cluster = v.cluster;
    feed.epoch = news.epoch;
    feed.next = news.next;
    feed.missed = news.missed;
    feed.identities = data_of(news.identities);
    feed.releases = releases;
    feed.n_releases = news.releases_count;
    m.feed = with_feed ? &feed : NULL;
    EQ(codec_reply_pack(&v, &arena, &is), 0);
    OK(span_equal(is, model_pack(&m.base)));
    return is;
}

static struct span any_entry(void)
{
    struct span commands[SOME], is = {0};
    ProtobufCBinaryData all[SOME];
    Shard__V1__Entry m = SHARD__V1__ENTRY__INIT;
    m.log_time_us = any_i64();
    m.n_commands = prng_below(&p, SOME + 1);
    m.commands = all;
    for (size_t i = 0; i < m.n_commands; i++) {
        commands[i] = any_text(80);
        all[i] = data_of(commands[i]);
    }
    arena_reset(&arena);
    arena_reset(&model);
    EQ(codec_entry_pack(m.log_time_us, commands, m.n_commands, &arena, &is), 0);
    OK(span_equal(is, model_pack(&m.base)));
    return is;
}

static bool same_batches(const struct batch_view *a, const struct batch_view *b)
{
    bool same = a->map_epoch == b->map_epoch && a->gateway == b->gateway && !b->is_feed &&
                a->waiting_identities == b->waiting_identities &&
                a->items_count == b->items_count;
    for (size_t i = 0; same && i < a->items_count; i++) {
        const struct batch_item *x = &a->items[i], *y = &b->items[i];
        same = x->call == y->call && x->deadline_ms == y->deadline_ms &&
               span_equal(x->trace, y->trace) && span_equal(a->commands[i], b->commands[i]);
    }
    return same;
}

static bool same_answers(const struct answer *a, const struct answer *b)
{
    bool same = a->call == b->call && a->reason == b->reason && a->retry_ms == b->retry_ms &&
                span_equal(a->field, b->field) && span_equal(a->message, b->message) &&
                a->meta_count == b->meta_count;
    for (size_t i = 0; same && i < a->meta_count; i++) {
        same = strcmp(a->meta[i].key, b->meta[i].key) == 0 &&
               span_equal(a->meta[i].value, b->meta[i].value);
    }
    return same;
}

static bool same_replies(const struct reply_view *a, const struct reply_view *b)
{
    bool same = a->map_epoch == b->map_epoch && a->credit == b->credit &&
                a->pause_us == b->pause_us && !b->feed &&
                a->is_turned_away == b->is_turned_away && span_equal(a->leader, b->leader) &&
                a->answers_count == b->answers_count;
    for (size_t i = 0; same && i < a->answers_count; i++) {
        same = same_answers(&a->answers[i], &b->answers[i]);
    }
    return same;
}

static bool same_entries(const struct codec_entry *a, const struct codec_entry *b)
{
    bool same = a->log_time_us == b->log_time_us && a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++) {
        same = span_equal(a->commands[i], b->commands[i]);
    }
    return same;
}

/* Whether the short way took it; then the general way took the same. */
static bool agree(int which, struct span bytes)
{
    static struct batch_view b[2];
    static struct reply_view r[2];
    static struct codec_entry e[2];
    arena_reset(&arena);
    bool is_taken = which == 0   ? codec_batch_read_plain(bytes, &arena, &b[0])
                    : which == 1 ? codec_reply_read_plain(bytes, &arena, &r[0])
                                 : codec_entry_read_plain(bytes, &arena, &e[0]);
    if (!is_taken) {
        return false;
    }
    int verdict = which == 0   ? codec_batch_read_any(bytes, &arena, &b[1])
                  : which == 1 ? codec_reply_read_any(bytes, &arena, &r[1])
                               : codec_entry_read_any(bytes, &arena, &e[1]);
    bool same = which == 0   ? same_batches(&b[0], &b[1])
                : which == 1 ? same_replies(&r[0], &r[1])
                             : same_entries(&e[0], &e[1]);
    if (verdict != 0 || !same) {
        OK(!"the two ways agree");
    }
    return true;
}

static struct span any_message(int which)
{
    return which == 0 ? any_batch() : which == 1 ? any_reply(prng_below(&p, 9) == 0) : any_entry();
}

static void test_envelopes(void)
{
    static uint8_t copy[2048];
    for (int which = 0; which < 3; which++) {
        size_t whole = 0, damaged = 0;
        for (int i = 0; i < 2 * ROUNDS; i++) {
            struct span is = any_message(which);
            CHECK(is.len <= sizeof copy);
            memcpy(copy, is.ptr, is.len); /* the arena is used again */
            whole += agree(which, (struct span){copy, is.len});
            for (uint64_t k = 1 + prng_below(&p, 3); is.len > 0 && k-- > 0;) {
                copy[prng_below(&p, is.len)] = (uint8_t)(prng_next(&p) >> prng_below(&p, 64));
            }
            size_t cut = prng_below(&p, 4) ? is.len : prng_below(&p, is.len + 1);
            damaged += agree(which, (struct span){copy, cut});
        }
        OK(whole > ROUNDS / 4 && damaged > 1000); /* it is there to be used */
        printf("# %d: %zu of %d whole, %zu damaged taken\n", which, whole, 2 * ROUNDS, damaged);
    }
}

/* -- commands ---------------------------------------------------------------------------------- */

static struct slot_key keys[3];
static struct new_slot made[3];
static const struct pool_view pool = {.id = {(const uint8_t *)"p", 1}, .max_live = 3,
                                      .time_zone = {(const uint8_t *)"UTC", 3}};
static const struct release_words words = {.id = {(const uint8_t *)"r", 1}, .slot_count = 2};

/* Every field but the kind; no kind needs them all, and the packer does not mind. */
static struct command any_command(void)
{
    static const enum command_kind kinds[] = {COMMAND_CREATE_HOLD, COMMAND_CONFIRM_HOLD,
                                              COMMAND_GET_HOLD, COMMAND_EXPIRE_HOLD};
    struct command c = {.kind = kinds[prng_below(&p, ARRAY_COUNT(kinds))],
                        .assurance = (enum assurance)prng_below(&p, 4),
                        .roles = (uint32_t)any_u64(),
                        .client = any_u64(), .is_client = prng_below(&p, 2),
                        .body_hash = any_u64(), .pool = any_text(63), .owner = any_u64(),
                        .number = any_u64(), .version = any_u64(), .select_us = any_i64(),
                        .select_count = (uint32_t)any_u64(), .etag = any_text(32),
                        .pool_mask = (uint32_t)any_u64(), .note = any_text(70),
                        .random = any_text(32), .validate_only = prng_below(&p, 2),
                        .from_us = any_i64(), .to_us = any_i64(), .free_only = prng_below(&p, 2),
                        .page_size = (uint32_t)any_u64(), .page_token = any_text(70)};
    for (size_t i = 0; i < 3; i++) {
        keys[i] = (struct slot_key){any_i64(), any_text(24)};
        made[i] = (struct new_slot){any_i64(), any_i64(), any_text(24), any_text(64)};
    }
    c.slots = keys;
    c.slots_count = prng_below(&p, 4);
    c.new_slots = made;
    c.new_slots_count = prng_below(&p, 4);
    c.new_pool = prng_below(&p, 4) ? NULL : &pool;
    c.release = prng_below(&p, 4) ? NULL : &words;
    for (size_t i = 0; i < 16; i++) {
        c.identity.bytes[i] = (uint8_t)any_u64();
        c.request_id.bytes[i] = (uint8_t)any_u64();
    }
    c.identity = prng_below(&p, 4) ? c.identity : (struct identity){0};
    return c;
}

static void same_as(const Shard__V1__Command *m, const struct command *c)
{
    OK(m->kind == c->kind && m->assurance == c->assurance && m->roles == c->roles);
    OK(m->client == c->client && m->is_client == c->is_client && m->body_hash == c->body_hash);
    OK(m->owner == c->owner && m->number == c->number && m->version == c->version);
    OK(span_equal(span_of(m->pool), c->pool) && span_equal(span_of(m->etag), c->etag));
    OK(span_equal(span_of(m->note), c->note));
    OK(span_equal(span_of(m->page_token), c->page_token));
    OK(m->random.len == c->random.len && m->page_size == c->page_size);
    OK(m->select_us == c->select_us && m->select_count == c->select_count);
    OK(m->from_us == c->from_us && m->to_us == c->to_us && m->free_only == c->free_only);
    OK(m->validate_only == c->validate_only && m->pool_mask == c->pool_mask);
    OK(m->n_slots == c->slots_count && m->n_new_slots == c->new_slots_count);
    OK((m->new_pool != NULL) == (c->new_pool != NULL));
    OK((m->release != NULL) == (c->release != NULL));
    for (size_t i = 0; i < m->n_slots; i++) {
        OK(m->slots[i]->start_us == keys[i].start_us);
        OK(span_equal(span_of(m->slots[i]->desk), keys[i].slug));
    }
    for (size_t i = 0; i < m->n_new_slots; i++) {
        const Shard__V1__NewSlot *s = m->new_slots[i];
        OK(s->start_us == made[i].start_us && s->duration_us == made[i].duration_us);
        OK(span_equal(span_of(s->slug), made[i].slug));
        OK(span_equal(span_of(s->desk), made[i].desk));
    }
}

/* Read and written again by protobuf-c it is the same; without who asks, it has the body's hash. */
static void test_commands(void)
{
    for (int i = 0; i < ROUNDS; i++) {
        struct command c = any_command();
        struct span is = {0};
        uint64_t hash = 0;
        arena_reset(&arena);
        arena_reset(&model);
        EQ(codec_command_pack(&c, &arena, &is), 0);
        EQ(codec_command_hash(&c, &arena, &hash), 0);
        Shard__V1__Command *m = shard__v1__command__unpack(NULL, is.len, is.ptr);
        OK(m != NULL);
        same_as(m, &c);
        OK(span_equal(is, model_pack(&m->base)));
        struct Shard__V1__Command body = *m;
        body.identity = body.request_id = (ProtobufCBinaryData){0};
        body.assurance = body.roles = 0;
        body.body_hash = body.client = 0;
        body.is_client = false;
        struct span bytes = model_pack(&body.base);
        OK(hash == XXH3_64bits(bytes.ptr, bytes.len));
        shard__v1__command__free_unpacked(m, NULL);
    }
}

int main(void)
{
    memset(texts, 'a', sizeof texts);
    prng_init(&p, 26);
    arena_init(&arena, CALL_ARENA_MAX);
    arena_init(&model, CALL_ARENA_MAX);
    TAP_RUN(test_holds);
    TAP_RUN(test_reservations);
    TAP_RUN(test_pages);
    TAP_RUN(test_envelopes);
    TAP_RUN(test_commands);
    arena_fini(&arena);
    arena_fini(&model);
    return kit_done();
}

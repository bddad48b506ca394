/* SPDX-License-Identifier: MIT */
/* Does a node keep its word from batch to disk and back?  Real nng (inproc), real LMDB. */
#include "store/store.h"
#include "tests/unit/shards/node/house.h"

static void test_books_and_remembers(void)
{
    struct house h;
    uint64_t a[2], b[2], c[2];
    house_init(&h);
    EQ(house_open(&h, NULL), 0);
    EQ(house_pool(&h, "town", HOUR_US), REASON_OK);
    EQ(house_pool(&h, "town", HOUR_US), REASON_POOL_EXISTS);
    EQ(house_slots(&h, "town", 0, 100), REASON_OK);
    EQ(house_hold(&h, "town", 0, 1, a), REASON_OK);
    EQ(house_hold(&h, "town", 0, 2, b), REASON_SLOT_TAKEN);
    EQ(house_hold(&h, "town", 1, 2, b), REASON_OK);
    EQ(house_hold(&h, "town", 2, 3, c), REASON_OK);
    EQ(house_hold(&h, "none", 2, 3, c), REASON_POOL_UNKNOWN);
    EQ(house_on(&h, COMMAND_CONFIRM_HOLD, "town", 1, a), REASON_OK);
    EQ(house_on(&h, COMMAND_CONFIRM_HOLD, "town", 1, b), REASON_NOT_YOUR_RESERVATION);
    EQ(house_on(&h, COMMAND_DROP_HOLD, "town", 2, b), REASON_OK);
    OK(h.reply.credit > 0);
    EQ(h.reply.map_epoch, 3); /* the batch's own */
    for (int round = 0; round < 3; round++) {
        EQ(house_slot_state(&h, "town", 0), SLOT_TAKEN);
        EQ(house_slot_state(&h, "town", 1), SLOT_RETURNED);
        EQ(house_slot_state(&h, "town", 2), SLOT_HELD);
        EQ(house_slot_state(&h, "town", 3), SLOT_FREE);
        EQ(house_hold_state(&h, "town", 1, a), HOLD_CONFIRMED);
        EQ(house_hold_state(&h, "town", 2, b), HOLD_DROPPED);
        EQ(house_hold_state(&h, "town", 3, c), HOLD_LIVE);
        EQ(house_on(&h, COMMAND_GET_RESERVATION, "town", 1, a), REASON_OK);
        house_reopen(&h);
    }
    EQ(house_on(&h, COMMAND_CANCEL_RESERVATION, "town", 1, a), REASON_OK);
    EQ(house_slot_state(&h, "town", 0), SLOT_RETURNED);
    house_close(&h);
    house_fini(&h);
}

/* A batch's reads see its own writes, and its answers stand in its order. */
static void test_one_batch_of_everything(void)
{
    struct house h;
    house_init(&h);
    EQ(house_open(&h, NULL), 0);
    EQ(house_pool(&h, "town", HOUR_US), REASON_OK);
    EQ(house_slots(&h, "town", 0, 300), REASON_OK);
    struct command c[BATCH_ITEMS_MAX];
    struct slot_key keys[BATCH_ITEMS_MAX];
    for (size_t i = 0; i < BATCH_ITEMS_MAX; i++) {
        c[i] = house_command(i % 2 ? COMMAND_LIST_SLOTS : COMMAND_CREATE_HOLD, "town", i);
        keys[i] = (struct slot_key){.start_us = house_slot_us(i / 2), .slug = span_of("d1")};
        if (i % 2 == 0) {
            c[i].slots = &keys[i];
            c[i].slots_count = 1;
        } else {
            c[i].from_us = house_slot_us(i / 2);
            c[i].to_us = house_slot_us(i / 2 + 1);
            c[i].page_size = 10;
        }
    }
    struct answer *a = house_calls(&h, c, BATCH_ITEMS_MAX, 10000);
    OK(a != NULL);
    for (size_t i = 0; a && i < BATCH_ITEMS_MAX; i++) {
        EQ(a[i].reason, REASON_OK);
        if (i % 2) {
            Fairslot__V1__ListSlotsResponse *m = fairslot__v1__list_slots_response__unpack(
                NULL, a[i].message.len, a[i].message.ptr);
            OK(m && m->n_slots == 1 && (int)m->slots[0]->state == SLOT_HELD);
            fairslot__v1__list_slots_response__free_unpacked(m, NULL);
        }
    }
    house_close(&h);
    house_fini(&h);
}

/* The news after `after`, or NULL when no answer came. */
static const struct feed_news *house_news(struct house *h, uint64_t epoch, uint64_t after)
{
    struct span bytes;
    arena_reset(&h->arena);
    CHECK(codec_feed_pack(1, epoch, after, &h->arena, &bytes) == 0);
    return house_send(h, bytes) ? h->reply.feed : NULL;
}

/* A call for news is parked until a round changes something, and says who should look. */
static void test_news(void)
{
    struct house h;
    uint64_t a[2];
    house_init(&h);
    EQ(house_open(&h, NULL), 0);
    EQ(house_scarce_pool(&h, "town"), REASON_OK);
    EQ(house_slots(&h, "town", 0, 4), REASON_OK);
    const struct feed_news *news = house_news(&h, 0, 0);
    OK(news && news->missed && news->epoch != 0); /* it knew nothing */
    uint64_t epoch = news ? news->epoch : 0, next = news ? news->next : 0;
    int64_t began_us = clock_mono_us();
    news = house_news(&h, epoch, next); /* nothing happens: an empty answer after a while */
    OK(news && !news->missed && news->identities.len == 0 && news->next == next);
    OK(clock_mono_us() - began_us >= 4 * SECOND_US);
    EQ(house_hold(&h, "town", 0, 1, a), REASON_NOT_YOUR_TURN); /* remembered beside the person */
    news = house_news(&h, epoch, next);
    struct identity who = house_person(1);
    OK(news && !news->missed && news->next == next + 1);
    OK(news && news->identities.len == 16 && memcmp(news->identities.ptr, who.bytes, 16) == 0);
    house_reopen(&h);
    news = house_news(&h, epoch, next + 1); /* another process */
    OK(news && news->missed && news->epoch != epoch);
    house_close(&h);
    house_fini(&h);
}

static void test_same_request_same_answer(void)
{
    struct house h;
    house_init(&h);
    EQ(house_open(&h, NULL), 0);
    EQ(house_pool(&h, "town", HOUR_US), REASON_OK);
    EQ(house_slots(&h, "town", 0, 10), REASON_OK);
    struct slot_key key = {.start_us = house_slot_us(4), .slug = span_of("d1")};
    struct command first = house_command(COMMAND_CREATE_HOLD, "town", 1);
    first.slots = &key;
    first.slots_count = 1;
    uint64_t a[2], b[2];
    EQ(house_call(&h, &first), REASON_OK);
    OK(house_hold_id(&h.reply.answers[0], &a[0], &a[1]));
    struct command late = first;
    late.identity = house_person(2);
    late.request_id = house_request();
    EQ(house_call(&h, &late), REASON_SLOT_TAKEN);
    for (int round = 0; round < 2; round++) {
        EQ(house_call(&h, &first), REASON_OK);
        OK(house_hold_id(&h.reply.answers[0], &b[0], &b[1]));
        OK(a[0] == b[0] && a[1] == b[1]);
        EQ(house_call(&h, &late), REASON_SLOT_TAKEN);
        struct command other = first;
        other.body_hash++;
        EQ(house_call(&h, &other), REASON_REQUEST_ID_REUSED);
        house_reopen(&h);
    }
    EQ(house_on(&h, COMMAND_DROP_HOLD, "town", 1, a), REASON_OK);
    EQ(house_call(&h, &late), REASON_SLOT_TAKEN); /* the refusal, too, is remembered */
    house_close(&h);
    house_fini(&h);
}

static void test_holds_expire_by_time(void)
{
    struct house h;
    uint64_t a[2], b[2];
    house_init(&h);
    EQ(house_open(&h, NULL), 0);
    EQ(house_pool(&h, "quick", SECOND_US), REASON_OK);
    EQ(house_slots(&h, "quick", 0, 10), REASON_OK);
    EQ(house_hold(&h, "quick", 0, 1, a), REASON_OK);
    EQ(house_hold(&h, "quick", 1, 2, b), REASON_OK);
    EQ(house_on(&h, COMMAND_CONFIRM_HOLD, "quick", 2, b), REASON_OK);
    EQ(house_slot_state(&h, "quick", 0), SLOT_HELD);
    house_sleep_ms(700);
    EQ(house_slot_state(&h, "quick", 0), SLOT_HELD);
    house_sleep_ms(450); /* nobody asks meanwhile: the shard's own clock wakes it */
    EQ(house_slot_state(&h, "quick", 0), SLOT_RETURNED);
    EQ(house_slot_state(&h, "quick", 1), SLOT_TAKEN);
    EQ(house_hold_state(&h, "quick", 1, a), HOLD_EXPIRED);
    EQ(house_on(&h, COMMAND_CONFIRM_HOLD, "quick", 1, a), REASON_HOLD_EXPIRED);
    EQ(house_hold(&h, "quick", 5, 1, a), REASON_OK);
    EQ(house_hold(&h, "quick", 6, 2, b), REASON_OK);
    house_close(&h);
    house_sleep_ms(1100); /* due while nobody is there, so that nobody could confirm */
    EQ(house_open(&h, NULL), 0);
    house_sleep_ms(50);
    EQ(house_slot_state(&h, "quick", 5), SLOT_HELD);
    EQ(house_on(&h, COMMAND_CONFIRM_HOLD, "quick", 2, b), REASON_OK);
    house_sleep_ms(3000);
    EQ(house_slot_state(&h, "quick", 5), SLOT_RETURNED);
    EQ(house_slot_state(&h, "quick", 6), SLOT_TAKEN);
    EQ(house_on(&h, COMMAND_CONFIRM_HOLD, "quick", 1, a), REASON_HOLD_EXPIRED);
    house_close(&h);
    house_fini(&h);
}

static void test_many_expire_at_once(void)
{
    struct house h;
    house_init(&h);
    EQ(house_open(&h, NULL), 0);
    EQ(house_pool(&h, "quick", SECOND_US), REASON_OK);
    for (uint64_t first = 0; first < 1000; first += 500) {
        EQ(house_slots(&h, "quick", first, 500), REASON_OK);
    }
    struct command c[BATCH_ITEMS_MAX];
    struct slot_key keys[BATCH_ITEMS_MAX];
    for (uint64_t slot = 0; slot < 1000; slot += 250) {
        for (size_t i = 0; i < 250; i++) {
            keys[i] = (struct slot_key){.start_us = house_slot_us(slot + i),
                                        .slug = span_of("d1")};
            c[i] = house_command(COMMAND_CREATE_HOLD, "quick", slot + i);
            c[i].slots = &keys[i];
            c[i].slots_count = 1;
        }
        struct answer *a = house_calls(&h, c, 250, 10000);
        for (size_t i = 0; i < 250; i++) {
            EQ(a ? a[i].reason : REASON_INTERNAL, REASON_OK);
        }
    }
    house_sleep_ms(1300);
    EQ(house_slot_state(&h, "quick", 0), SLOT_RETURNED); /* more than one round's worth */
    EQ(house_slot_state(&h, "quick", 999), SLOT_RETURNED);
    house_close(&h);
    house_fini(&h);
}

/* -- refusals ---------------------------------------------------------------------------------- */

static void test_bad_batches(void)
{
    struct house h;
    house_init(&h);
    EQ(house_open(&h, NULL), 0);
    EQ(house_pool(&h, "town", HOUR_US), REASON_OK);
    EQ(house_slots(&h, "town", 0, 10), REASON_OK);
    arena_reset(&h.arena);
    OK(house_send(&h, span_of("this is no batch")));
    EQ(h.reply.answers_count, 0);
    OK(house_send(&h, (struct span){0})); /* an empty one asks for credit only */
    EQ(h.reply.answers_count, 0);
    OK(h.reply.credit > 0);
    static const enum command_kind own[] = {COMMAND_EXPIRE_HOLD, COMMAND_SWEEP};
    for (size_t i = 0; i < 2; i++) { /* only the shard itself may ask for these */
        struct command c = house_command(own[i], "town", 1);
        OK(house_calls(&h, &c, 1, 10000) == NULL);
        EQ(h.reply.answers_count, 0);
    }
    struct slot_key key = {.start_us = house_slot_us(1), .slug = span_of("d1")};
    struct command late = house_command(COMMAND_CREATE_HOLD, "town", 1);
    late.slots = &key;
    late.slots_count = 1;
    struct answer *a = house_calls(&h, &late, 1, 0); /* no time left when it was sent */
    EQ(a ? a->reason : REASON_INTERNAL, REASON_DEADLINE_EXCEEDED);
    EQ(house_slot_state(&h, "town", 1), SLOT_FREE);
    EQ(house_call(&h, &late), REASON_OK); /* not remembered: nothing was decided */
    house_close(&h);
    house_fini(&h);
}

/* 256 pages of 1,000 slots do not fit one reply: what fits is answered, the rest comes back. */
static void test_replies_have_a_limit(void)
{
    struct house h;
    house_init(&h);
    EQ(house_open(&h, NULL), 0);
    EQ(house_pool(&h, "town", HOUR_US), REASON_OK);
    EQ(house_slots(&h, "town", 0, 500), REASON_OK);
    EQ(house_slots(&h, "town", 500, 500), REASON_OK);
    struct command c[BATCH_ITEMS_MAX];
    struct slot_key key = {.start_us = house_slot_us(7), .slug = span_of("d1")};
    for (size_t i = 0; i < BATCH_ITEMS_MAX; i++) {
        c[i] = house_command(COMMAND_LIST_SLOTS, "town", 1);
        c[i].from_us = house_slot_us(0);
        c[i].to_us = house_slot_us(2000);
        c[i].page_size = 1000;
    }
    c[255] = house_command(COMMAND_CREATE_HOLD, "town", 1); /* writes always have room */
    c[255].slots = &key;
    c[255].slots_count = 1;
    struct answer *a = house_calls(&h, c, BATCH_ITEMS_MAX, 10000);
    OK(a != NULL);
    OK(h.bytes_len <= BATCH_BYTES_MAX);
    size_t answered = 0;
    for (size_t i = 0; a && i < 255; i++) {
        answered += a[i].reason == REASON_OK;
        OK(a[i].reason == REASON_OK ||
           (a[i].reason == REASON_STILL_QUEUED && a[i].retry_ms > 0));
    }
    OK(answered >= 3);
    EQ(a ? a[255].reason : REASON_INTERNAL, REASON_OK);
    house_close(&h);
    house_fini(&h);
}

static void test_reserve_on_the_disk(void)
{
    struct house h;
    uint64_t a[2], b[2], c[2], d[2];
    house_init(&h);
    EQ(house_open(&h, NULL), 0);
    EQ(house_pool(&h, "town", HOUR_US), REASON_OK);
    EQ(house_slots(&h, "town", 0, 10), REASON_OK);
    EQ(house_hold(&h, "town", 0, 1, a), REASON_OK);
    EQ(house_hold(&h, "town", 1, 2, b), REASON_OK);
    EQ(house_hold(&h, "town", 2, 3, c), REASON_OK);
    house_close(&h);

    struct node_options none = {.disk_reserve_bytes = UINT64_MAX / 2};
    EQ(house_open(&h, &none), 0); /* hardly anything left: reads only */
    EQ(house_hold(&h, "town", 3, 4, d), REASON_STORAGE_FULL);
    OK(h.reply.answers[0].retry_ms > 0);
    EQ(house_on(&h, COMMAND_CONFIRM_HOLD, "town", 1, a), REASON_STORAGE_FULL);
    EQ(house_hold_state(&h, "town", 1, a), HOLD_LIVE);
    house_close(&h);

    /* Less than the reserve, more than a quarter of it. */
    struct store_options probe = {.dir = h.dir};
    struct store *store;
    struct store_stats stats;
    EQ(store_open(&probe, &store, h.text), 0);
    store_stats(store, &stats);
    store_close(store);
    struct node_options reserve = {.disk_reserve_bytes = stats.disk_free_bytes * 2};
    EQ(house_open(&h, &reserve), 0);
    EQ(house_hold(&h, "town", 3, 4, d), REASON_STORAGE_FULL);
    EQ(house_on(&h, COMMAND_CONFIRM_HOLD, "town", 1, a), REASON_OK);
    EQ(house_on(&h, COMMAND_DROP_HOLD, "town", 2, b), REASON_OK);
    EQ(house_on(&h, COMMAND_CANCEL_RESERVATION, "town", 1, a), REASON_OK);
    house_close(&h);

    EQ(house_open(&h, NULL), 0); /* room again */
    EQ(house_hold(&h, "town", 3, 4, d), REASON_OK);
    EQ(house_slot_state(&h, "town", 0), SLOT_RETURNED);
    house_close(&h);
    house_fini(&h);
}

static void test_full_maps(void)
{
    struct house h;
    uint64_t a[2], b[2];
    house_init(&h);
    struct node_options tiny = {.log_map_bytes = 2 << 20, .state_map_bytes = 2 << 20};
    EQ(house_open(&h, &tiny), 0);
    EQ(house_pool(&h, "town", HOUR_US), REASON_OK);
    EQ(house_slots(&h, "town", 0, 10), REASON_OK);
    EQ(house_hold(&h, "town", 0, 1, a), REASON_OK);
    uint64_t made = 10;
    enum reason reason = REASON_OK;
    while (reason == REASON_OK && made < 100000) {
        reason = house_slots(&h, "town", made, 100);
        made += 100;
        house_sleep_ms(1);
    }
    EQ(reason, REASON_STORAGE_FULL);
    OK(made > 1000); /* not at once */
    EQ(house_on(&h, COMMAND_CONFIRM_HOLD, "town", 1, a), REASON_OK); /* what is kept for it */
    house_close(&h);
    EQ(house_open(&h, &tiny), 0);
    EQ(house_slot_state(&h, "town", 0), SLOT_TAKEN);
    EQ(house_slot_state(&h, "town", made - 101), SLOT_FREE); /* the last that was acknowledged */
    EQ(house_slot_state(&h, "town", made - 100), -1);        /* the refused ones */
    house_close(&h);
    struct node_options more = {.log_map_bytes = 16 << 20, .state_map_bytes = 64 << 20};
    EQ(house_open(&h, &more), 0); /* a larger map, and on it goes */
    EQ(house_slots(&h, "town", made, 100), REASON_OK);
    EQ(house_hold(&h, "town", 1, 2, b), REASON_OK);
    house_close(&h);
    house_fini(&h);
}

static void test_directories(void)
{
    struct house h, other;
    struct node *second = NULL;
    house_init(&h);
    struct node_options ours = {.cluster_id = {1, 2, 3}};
    struct node_options theirs = {.cluster_id = {9}};
    EQ(house_open(&h, &ours), 0);
    EQ(house_pool(&h, "town", HOUR_US), REASON_OK);
    struct node_options twice = {.data_dir = h.dir, .listen_url = "inproc://twice"};
    char text[256] = "";
    EQ(node_start(&twice, &second, text), NODE_E_STORE);
    OK(strstr(text, h.dir) != NULL);
    house_init(&other);
    struct node_options same_url = {.data_dir = other.dir, .listen_url = h.url};
    EQ(node_start(&same_url, &second, text), NODE_E_ADDRESS);
    OK(strstr(text, h.url) != NULL);
    same_url.listen_url = "http://127.0.0.1";
    EQ(node_start(&same_url, &second, text), NODE_E_ADDRESS);
    OK(second == NULL);
    house_fini(&other);
    house_close(&h);
    EQ(house_open(&h, &theirs), NODE_E_STORE);
    OK(strstr(h.text, h.dir) != NULL);
    EQ(house_open(&h, &ours), 0);
    EQ(house_pool(&h, "town", HOUR_US), REASON_POOL_EXISTS);
    house_close(&h);
    EQ(house_open(&h, NULL), 0); /* whichever it is */
    house_close(&h);
    node_stop(NULL);
    house_fini(&h);
}

int main(void)
{
    TAP_RUN(test_books_and_remembers);
    TAP_RUN(test_one_batch_of_everything);
    TAP_RUN(test_news);
    TAP_RUN(test_same_request_same_answer);
    TAP_RUN(test_holds_expire_by_time);
    TAP_RUN(test_many_expire_at_once);
    TAP_RUN(test_bad_batches);
    TAP_RUN(test_replies_have_a_limit);
    TAP_RUN(test_reserve_on_the_disk);
    TAP_RUN(test_full_maps);
    TAP_RUN(test_directories);
    return tap_done();
}

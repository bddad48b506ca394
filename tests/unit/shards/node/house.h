/* SPDX-License-Identifier: MIT */
/* A node and a gateway in one process, for tests: commands in, answers out, one batch at a time. */
#ifndef FAIRSLOT_TESTS_NODE_HOUSE_H
#define FAIRSLOT_TESTS_NODE_HOUSE_H

#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "fairslot/v1/resources.pb-c.h"
#include "fairslot/v1/services.pb-c.h"
#include "node/node.h"
#include "proto/codec.h"
#include "rpc/rpc.h"
#include "tests/lib/tap.h"

#define HOUSE_WAIT_US  (20 * SECOND_US)
#define HOUSE_START_US (INT64_C(4102444800) * SECOND_US) /* 2100-01-01: no slot has started */

struct house {
    char dir[64];
    char url[64];
    char text[256];
    struct node *node;
    struct rpc_client *client;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool is_done;
    int status;              /* of the last batch: 0 or RPC_E_GONE */
    uint8_t *bytes;          /* its reply, owned */
    size_t bytes_len;
    struct arena arena;      /* commands and answers, until the next house_call() */
    struct reply_view reply;
};

static inline void house_done(void *user, unsigned context, int status, struct span bytes)
{
    struct house *h = user;
    (void)context;
    pthread_mutex_lock(&h->lock);
    free(h->bytes);
    h->bytes = malloc(bytes.len + 1);
    if (bytes.len > 0) {
        memcpy(h->bytes, bytes.ptr, bytes.len);
    }
    h->bytes_len = bytes.len;
    h->status = status;
    h->is_done = true;
    pthread_cond_signal(&h->wake);
    pthread_mutex_unlock(&h->lock);
}

static inline void house_init(struct house *h)
{
    static int number;
    memset(h, 0, sizeof *h);
    const char *root = getenv("TMPDIR");
    snprintf(h->dir, sizeof h->dir, "%s/fairslot-node.%d.XXXXXX", root ? root : "/tmp",
             (int)getpid());
    CHECK(mkdtemp(h->dir) != NULL);
    snprintf(h->url, sizeof h->url, "inproc://house-%d-%d", (int)getpid(), ++number);
    pthread_mutex_init(&h->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&h->wake, &attr);
    pthread_condattr_destroy(&attr);
    arena_init(&h->arena, 64u << 20);
}

static inline int house_unlink(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

static inline void house_fini(struct house *h)
{
    nftw(h->dir, house_unlink, 16, FTW_DEPTH | FTW_PHYS);
    free(h->bytes);
    arena_fini(&h->arena);
}

/* node_start()'s result; options may be NULL. */
static inline int house_open(struct house *h, const struct node_options *options)
{
    struct node_options o = options ? *options : (struct node_options){0};
    o.data_dir = h->dir;
    o.listen_url = h->url;
    h->text[0] = '\0';
    int r = node_start(&o, &h->node, h->text);
    if (r) {
        h->node = NULL;
        return r;
    }
    CHECK(rpc_client_open(h->url, 1, house_done, h, &h->client) == 0);
    int64_t limit = clock_mono_us() + HOUSE_WAIT_US;
    struct timespec pause = {0, 1000000};
    while (!rpc_client_connected(h->client) && clock_mono_us() < limit) {
        nanosleep(&pause, NULL);
    }
    return 0;
}

static inline void house_close(struct house *h)
{
    rpc_client_close(h->client);
    node_stop(h->node);
    h->client = NULL;
    h->node = NULL;
}

static inline void house_reopen(struct house *h)
{
    house_close(h);
    EQ(house_open(h, NULL), 0);
}

/* Bytes as a batch; the reply is in h->reply.  False: gone, or no reply. */
static inline bool house_send(struct house *h, struct span bytes)
{
    h->is_done = false;
    CHECK(rpc_client_send(h->client, 0, bytes) == 0);
    int64_t limit = clock_mono_us() + HOUSE_WAIT_US;
    struct timespec t = {limit / SECOND_US, limit % SECOND_US * 1000};
    pthread_mutex_lock(&h->lock);
    while (!h->is_done && pthread_cond_timedwait(&h->wake, &h->lock, &t) == 0) {
    }
    bool ok = h->is_done && h->status == 0;
    pthread_mutex_unlock(&h->lock);
    return ok &&
           codec_reply_unpack((struct span){h->bytes, h->bytes_len}, &h->arena, &h->reply) == 0;
}

/* The answers, in order of the commands, or NULL. */
static inline struct answer *house_calls(struct house *h, const struct command *commands,
                                         size_t count, uint32_t deadline_ms)
{
    struct batch_call calls[BATCH_ITEMS_MAX];
    struct span bytes;
    arena_reset(&h->arena);
    for (size_t i = 0; i < count; i++) {
        calls[i] = (struct batch_call){.call = (uint32_t)i + 100, .deadline_ms = deadline_ms};
        CHECK(codec_command_pack(&commands[i], &h->arena, &calls[i].command) == 0);
    }
    CHECK(codec_batch_pack(&(struct batch_head){3, 1, 1, 0}, calls, count, &h->arena, &bytes) == 0);
    if (!house_send(h, bytes) || h->reply.answers_count != count) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        EQ(h->reply.answers[i].call, i + 100);
    }
    return h->reply.answers;
}

static inline enum reason house_call(struct house *h, const struct command *command)
{
    struct answer *a = house_calls(h, command, 1, 10000);
    return a ? a->reason : REASON_INTERNAL;
}

/* -- commands ---------------------------------------------------------------------------------- */

static inline struct identity house_person(uint64_t number)
{
    struct identity id = {{'p', 'e', 'r', 's', 'o', 'n'}};
    memcpy(id.bytes + 8, &number, 8);
    return id;
}

static inline struct request_id house_request(void)
{
    static uint64_t next;
    struct request_id id = {{1}};
    uint64_t salt = (uint64_t)getpid() << 32 | ++next;
    memcpy(id.bytes + 8, &salt, 8);
    return id;
}

static inline struct command house_command(enum command_kind kind, const char *pool, uint64_t who)
{
    return (struct command){.kind = kind, .identity = house_person(who),
                            .assurance = ASSURANCE_HIGH, .request_id = house_request(),
                            .body_hash = 17, .pool = span_of(pool)};
}

static inline enum reason house_make_pool(struct house *h, const char *id, int64_t ttl_us,
                                          bool scarce)
{
    struct pool_view pool = {.id = span_of(id), .display_name = span_of("Office"),
                             .service_class = span_of(id), .time_zone = span_of("UTC"),
                             .hold_ttl_us = ttl_us, .max_live = LIVE_PER_IDENTITY_MAX,
                             .scarce = scarce};
    struct command c = house_command(COMMAND_CREATE_POOL, id, 0);
    c.roles = ROLE_OPERATOR;
    c.new_pool = &pool;
    return house_call(h, &c);
}

static inline enum reason house_pool(struct house *h, const char *id, int64_t ttl_us)
{
    return house_make_pool(h, id, ttl_us, false);
}

static inline enum reason house_scarce_pool(struct house *h, const char *id)
{
    return house_make_pool(h, id, HOUR_US, true);
}

static inline int64_t house_slot_us(uint64_t slot)
{
    return HOUSE_START_US + (int64_t)slot * MINUTE_US;
}

static inline enum reason house_slots(struct house *h, const char *pool, uint64_t first,
                                      size_t count)
{
    static struct new_slot slots[500];
    CHECK(count <= 500);
    for (size_t i = 0; i < count; i++) {
        slots[i] = (struct new_slot){.start_us = house_slot_us(first + i),
                                     .duration_us = MINUTE_US,
                                     .slug = span_of("d1"),
                                     .desk = span_of("Desk 1")};
    }
    struct command c = house_command(COMMAND_CREATE_SLOTS, pool, 0);
    c.roles = ROLE_OPERATOR;
    c.new_slots = slots;
    c.new_slots_count = count;
    return house_call(h, &c);
}

/* The hold's id of an answer to CreateHold. */
static inline bool house_hold_id(const struct answer *a, uint64_t *ret_owner,
                                 uint64_t *ret_number)
{
    Fairslot__V1__Hold *m = fairslot__v1__hold__unpack(NULL, a->message.len, a->message.ptr);
    const char *id = m ? strrchr(m->name, '/') : NULL;
    bool ok = id && codec_owned_id_parse(span_of(id + 1), 'h', ret_owner, ret_number);
    if (m) {
        fairslot__v1__hold__free_unpacked(m, NULL);
    }
    return ok;
}

static inline enum reason house_hold(struct house *h, const char *pool, uint64_t slot,
                                     uint64_t who, uint64_t id[2])
{
    struct slot_key key = {.start_us = house_slot_us(slot), .slug = span_of("d1")};
    struct command c = house_command(COMMAND_CREATE_HOLD, pool, who);
    c.slots = &key;
    c.slots_count = 1;
    struct answer *a = house_calls(h, &c, 1, 10000);
    if (a && a->reason == REASON_OK) {
        OK(house_hold_id(a, &id[0], &id[1]));
    }
    return a ? a->reason : REASON_INTERNAL;
}

static inline enum reason house_on(struct house *h, enum command_kind kind, const char *pool,
                                   uint64_t who, const uint64_t id[2])
{
    struct command c = house_command(kind, pool, who);
    c.owner = id[0];
    c.number = id[1];
    return house_call(h, &c);
}

/* State of a hold as the person sees it; -1 when it cannot be seen. */
static inline int house_hold_state(struct house *h, const char *pool, uint64_t who,
                                   const uint64_t id[2])
{
    if (house_on(h, COMMAND_GET_HOLD, pool, who, id) != REASON_OK) {
        return -1;
    }
    struct span message = h->reply.answers[0].message;
    Fairslot__V1__Hold *m = fairslot__v1__hold__unpack(NULL, message.len, message.ptr);
    int state = m ? (int)m->state : -1;
    if (m) {
        fairslot__v1__hold__free_unpacked(m, NULL);
    }
    return state;
}

/* State of the first slot at or after `slot`. */
static inline int house_slot_state(struct house *h, const char *pool, uint64_t slot)
{
    struct command c = house_command(COMMAND_LIST_SLOTS, pool, 1);
    c.from_us = house_slot_us(slot);
    c.to_us = house_slot_us(slot + 1);
    c.page_size = 1;
    if (house_call(h, &c) != REASON_OK) {
        return -1;
    }
    struct span message = h->reply.answers[0].message;
    Fairslot__V1__ListSlotsResponse *m =
        fairslot__v1__list_slots_response__unpack(NULL, message.len, message.ptr);
    int state = m && m->n_slots == 1 ? (int)m->slots[0]->state : -1;
    if (m) {
        fairslot__v1__list_slots_response__free_unpacked(m, NULL);
    }
    return state;
}

static inline void house_sleep_ms(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

#endif

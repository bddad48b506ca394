/* SPDX-License-Identifier: MIT */
/* The shard alone: batches of CreateHold and ConfirmHold over nng, as a gateway would send them.
 * Owns: one rpc client, what is under way on each of its contexts.
 * closed loop: every context carries a batch of creates, then their confirms, then the next.
 * open loop (--rate): arrivals stand on a schedule whatever happened before; what is due goes out
 * with the next idle context, and latency counts from the scheduled instant.
 * Identity i always books in pool i % pools, so that identities stored before are met again.
 * nng's threads only note that a context is done and wake this one. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/prng.h"
#include "fairslot/v1/resources.pb-c.h"
#include "flood/bench.h"
#include "proto/codec.h"
#include "rpc/rpc.h"
#include "verb.h"

#define SLOTS_PER_COMMAND 500
#define ARENA_KEPT (1u << 20)  /* the answers of a batch, unpacked */
#define PENDING_MAX (1u << 20) /* holds that wait for their confirm, open loop */

struct item {
    int64_t due_us; /* scheduled arrival, or when it was sent */
    uint64_t slot;
    uint64_t identity;
    uint64_t owner, number; /* of the hold, once made */
    bool is_confirm;
};

struct context {
    struct item items[BATCH_ITEMS_MAX];
    size_t count;
    bool is_busy;
    uint8_t *reply; /* owned; copied on nng's thread */
    size_t reply_len;
    int status;
    bool is_done;
};

struct shard_bench {
    const struct bench_options *o;
    struct rpc_client *client;
    struct context contexts[BENCH_CONTEXTS_MAX];
    pthread_mutex_t lock; /* is_done, reply, status of every context */
    pthread_cond_t wake;
    struct arena arena;
    char (*pools)[64]; /* their ids: spelled once, not for every call */
    struct prng prng;
    uint64_t next_slot, end_slot;
    uint64_t done_count, failed_count, lost_count;
    int64_t stop_us;
    struct hist hist;
    struct item *pending; /* ring of held, not yet confirmed */
    size_t pending_head, pending_count;
    uint64_t arrivals;
};

static struct shard_bench b;

static void shard_done(void *user, unsigned context, int status, struct span bytes)
{
    (void)user;
    struct context *c = &b.contexts[context];
    pthread_mutex_lock(&b.lock);
    c->reply = malloc(bytes.len + 1);
    if (c->reply && bytes.len > 0) {
        memcpy(c->reply, bytes.ptr, bytes.len);
    }
    c->reply_len = bytes.len;
    c->status = status;
    c->is_done = true;
    pthread_cond_signal(&b.wake);
    pthread_mutex_unlock(&b.lock);
}

static struct identity shard_identity(uint64_t number)
{
    struct identity id;
    uint64_t x = number * 2 + 1;
    for (int i = 0; i < 2; i++) {
        uint64_t v = prng_splitmix(&x);
        memcpy(id.bytes + i * 8, &v, 8);
    }
    return id;
}

static void shard_request_id(struct request_id *id)
{
    for (int i = 0; i < 2; i++) {
        uint64_t v = prng_next(&b.prng);
        memcpy(id->bytes + i * 8, &v, 8);
    }
}

static int64_t shard_start_us(uint64_t slot)
{
    return (BENCH_START_S + (int64_t)(slot / b.o->pools) * 60) * SECOND_US;
}

static struct span shard_pack(const struct item *item)
{
    const char *pool = b.pools[item->slot % b.o->pools];
    struct slot_key key = {.start_us = shard_start_us(item->slot),
                           .slug = {(const uint8_t *)"d1", 2}};
    struct command c = {.kind = item->is_confirm ? COMMAND_CONFIRM_HOLD : COMMAND_CREATE_HOLD,
                        .identity = shard_identity(item->identity),
                        .assurance = ASSURANCE_HIGH,
                        .body_hash = item->slot * 2 + item->is_confirm,
                        .pool = span_of(pool),
                        .owner = item->owner,
                        .number = item->number};
    if (!item->is_confirm) {
        c.slots = &key;
        c.slots_count = 1;
    }
    shard_request_id(&c.request_id);
    struct span bytes = {0};
    CHECK(codec_command_pack(&c, &b.arena, &bytes) == 0);
    return bytes;
}

static int shard_send_calls(unsigned context, const struct batch_call *calls, size_t count)
{
    struct span bytes;
    int r = codec_batch_pack(&(struct batch_head){0, 1, 1, 0}, calls, count, &b.arena, &bytes);
    CHECK(r == 0);
    b.contexts[context].is_busy = true;
    return rpc_client_send(b.client, context, bytes);
}

static int shard_send(unsigned context)
{
    struct context *c = &b.contexts[context];
    struct batch_call calls[BATCH_ITEMS_MAX];
    arena_reset(&b.arena);
    for (size_t i = 0; i < c->count; i++) {
        calls[i] = (struct batch_call){(uint32_t)i, 60000, shard_pack(&c->items[i])};
    }
    return shard_send_calls(context, calls, c->count);
}

static void *shard_alloc(void *user, size_t n)
{
    (void)user;
    return arena_alloc(&b.arena, n);
}

static void shard_free(void *user, void *p)
{
    (void)user;
    (void)p; /* goes with the arena, when all answers of the reply are read */
}

/* The hold's id out of the packed public answer. */
static bool shard_read_hold(const struct answer *a, struct item *item)
{
    ProtobufCAllocator allocator = {shard_alloc, shard_free, NULL};
    Fairslot__V1__Hold *hold =
        fairslot__v1__hold__unpack(&allocator, a->message.len, a->message.ptr);
    const char *id = hold ? strrchr(hold->name, '/') : NULL;
    return id && codec_owned_id_parse(span_of(id + 1), 'h', &item->owner, &item->number);
}

static void shard_answer(struct context *c, const struct answer *a, int64_t now)
{
    if (a->call >= c->count || a->reason != REASON_OK) {
        if (b.failed_count++ < 3) {
            fprintf(stderr, "bench: refused: %s\n", reason_name(a->reason));
        }
        return;
    }
    struct item *item = &c->items[a->call];
    hist_record(&b.hist, (uint64_t)(now - item->due_us));
    b.done_count++;
    if (!item->is_confirm && !shard_read_hold(a, item)) {
        b.failed_count++;
        return;
    }
    if (!item->is_confirm && b.pending && b.pending_count < PENDING_MAX) {
        b.pending[(b.pending_head + b.pending_count++) % PENDING_MAX] = *item;
    }
}

static void shard_receive(struct context *c)
{
    struct reply_view reply;
    int64_t now = clock_mono_us();
    arena_reset(&b.arena);
    if (c->status != 0 ||
        codec_reply_unpack((struct span){c->reply, c->reply_len}, &b.arena, &reply) != 0) {
        b.lost_count += c->count;
    } else {
        for (size_t i = 0; i < reply.answers_count; i++) {
            shard_answer(c, &reply.answers[i], now);
        }
        if (reply.is_turned_away && b.lost_count == 0) {
            fprintf(stderr, "bench: turned away, another replica leads now; give its door\n");
        }
        b.lost_count += reply.is_turned_away ? c->count - reply.answers_count : 0;
    }
    free(c->reply);
    c->reply = NULL;
    c->is_done = c->is_busy = false;
}

/* Waits until some context is done or `until_us`; receives all that are. */
static void shard_wait(int64_t until_us)
{
    pthread_mutex_lock(&b.lock);
    bool any = false;
    while (!any) {
        for (unsigned i = 0; i < b.o->contexts; i++) {
            if (b.contexts[i].is_done) {
                any = true;
                pthread_mutex_unlock(&b.lock); /* done and busy: nng leaves it alone now */
                shard_receive(&b.contexts[i]);
                pthread_mutex_lock(&b.lock);
            }
        }
        struct timespec t = {until_us / SECOND_US, until_us % SECOND_US * 1000};
        if (!any && pthread_cond_timedwait(&b.wake, &b.lock, &t) != 0) {
            break;
        }
    }
    pthread_mutex_unlock(&b.lock);
}

static bool shard_busy(void)
{
    for (unsigned i = 0; i < b.o->contexts; i++) {
        if (b.contexts[i].is_busy) {
            return true;
        }
    }
    return false;
}

static bool shard_drain(void)
{
    int64_t limit = clock_mono_us() + 30 * SECOND_US;
    while (shard_busy() && clock_mono_us() < limit) {
        shard_wait(clock_mono_us() + 100000);
    }
    return !shard_busy();
}

/* -- closed loop ------------------------------------------------------------------------------- */

static bool shard_next_batch(struct context *c)
{
    if (c->count > 0 && !c->items[0].is_confirm && b.failed_count == 0 && b.lost_count == 0) {
        for (size_t i = 0; i < c->count; i++) {
            c->items[i].is_confirm = true;
            c->items[i].due_us = clock_mono_us();
        }
        return true;
    }
    c->count = 0;
    while (c->count < b.o->batch && b.next_slot < b.end_slot && clock_mono_us() < b.stop_us) {
        uint64_t slot = b.next_slot++;
        c->items[c->count++] = (struct item){
            .slot = slot, .identity = slot % b.o->identities, .due_us = clock_mono_us()};
    }
    return c->count > 0;
}

static int shard_closed(int64_t stop_us, uint64_t end_slot)
{
    b.stop_us = stop_us;
    b.end_slot = end_slot;
    for (unsigned i = 0; i < b.o->contexts; i++) {
        b.contexts[i].count = 0;
    }
    for (;;) {
        bool idle = true;
        for (unsigned i = 0; i < b.o->contexts; i++) {
            if (!b.contexts[i].is_busy && shard_next_batch(&b.contexts[i])) {
                int r = shard_send(i);
                if (r) {
                    return err_fold(r);
                }
            }
            idle = idle && !b.contexts[i].is_busy;
        }
        if (idle || b.failed_count > 100 || b.lost_count > 0) {
            return shard_drain() ? 0 : -ETIMEDOUT;
        }
        shard_wait(clock_mono_us() + 100000);
    }
}

/* -- open loop --------------------------------------------------------------------------------- */

static struct item shard_arrival(int64_t due_us)
{
    if (b.arrivals++ % 2 && b.pending_count > 0) {
        struct item item = b.pending[b.pending_head];
        b.pending_head = (b.pending_head + 1) % PENDING_MAX;
        b.pending_count--;
        item.is_confirm = true;
        item.due_us = due_us;
        return item;
    }
    uint64_t slot = b.next_slot++;
    uint64_t lap = prng_below(&b.prng, b.o->identities / b.o->pools);
    return (struct item){.due_us = due_us, .slot = slot,
                         .identity = lap * b.o->pools + slot % b.o->pools};
}

static int shard_open_loop(int64_t start_us)
{
    uint64_t arrived = 0;
    uint64_t total = b.o->rate * b.o->seconds;
    while (arrived < total && b.next_slot < b.end_slot && b.failed_count < 100) {
        int64_t now = clock_mono_us();
        for (unsigned i = 0; i < b.o->contexts; i++) {
            struct context *c = &b.contexts[i];
            if (c->is_busy) {
                continue;
            }
            c->count = 0;
            while (c->count < b.o->batch && arrived < total && b.next_slot < b.end_slot) {
                int64_t due = start_us + (int64_t)(arrived * 1000000 / b.o->rate);
                if (due > now) {
                    break;
                }
                c->items[c->count++] = shard_arrival(due);
                arrived++;
            }
            if (c->count > 0 && shard_send(i) != 0) {
                return -EIO;
            }
        }
        shard_wait(now + 500);
    }
    return shard_drain() ? 0 : -ETIMEDOUT;
}

/* -- setup ------------------------------------------------------------------------------------- */

static int shard_call(struct command *c)
{
    struct span bytes;
    c->roles = ROLE_OPERATOR;
    c->identity = shard_identity(UINT64_MAX / 2);
    c->assurance = ASSURANCE_HIGH;
    shard_request_id(&c->request_id);
    CHECK(codec_command_pack(c, &b.arena, &bytes) == 0);
    struct batch_call call = {UINT32_MAX, 60000, bytes}; /* no item of the context */
    b.contexts[0].count = 0;
    int r = shard_send_calls(0, &call, 1);
    if (r) {
        return err_fold(r);
    }
    pthread_mutex_lock(&b.lock);
    while (!b.contexts[0].is_done) {
        pthread_cond_wait(&b.wake, &b.lock);
    }
    pthread_mutex_unlock(&b.lock);
    struct context *x = &b.contexts[0];
    struct reply_view reply = {0};
    arena_reset(&b.arena);
    r = x->status ? -ECONNRESET
                  : codec_reply_unpack((struct span){x->reply, x->reply_len}, &b.arena, &reply);
    if (r == 0 && (reply.answers_count != 1 || reply.answers[0].reason != REASON_OK)) {
        fprintf(stderr, "bench: setup refused: %s\n",
                reply.answers_count ? reason_name(reply.answers[0].reason) : "no answer");
        r = -EPROTO;
    }
    free(x->reply);
    x->reply = NULL;
    x->is_done = x->is_busy = false;
    return r;
}

static int shard_setup_pool(uint64_t number, uint64_t slots)
{
    const char *id = b.pools[number];
    struct pool_view pool = {.id = span_of(id), .service_class = span_of(id),
                             .time_zone = span_of("UTC"), .hold_ttl_us = DAY_US,
                             .max_live = LIVE_PER_IDENTITY_MAX};
    struct command c = {.kind = COMMAND_CREATE_POOL, .pool = span_of(id), .new_pool = &pool};
    arena_reset(&b.arena);
    int r = shard_call(&c);
    static struct new_slot new_slots[SLOTS_PER_COMMAND];
    for (uint64_t first = 0; first < slots && r == 0; first += SLOTS_PER_COMMAND) {
        size_t count = slots - first < SLOTS_PER_COMMAND ? slots - first : SLOTS_PER_COMMAND;
        for (size_t i = 0; i < count; i++) {
            new_slots[i] = (struct new_slot){
                .start_us = (BENCH_START_S + (int64_t)(first + i) * 60) * SECOND_US,
                .duration_us = MINUTE_US, .slug = span_of("d1"), .desk = span_of("d1")};
        }
        struct command s = {.kind = COMMAND_CREATE_SLOTS, .pool = span_of(id),
                            .new_slots = new_slots, .new_slots_count = count,
                            .body_hash = first};
        arena_reset(&b.arena);
        r = shard_call(&s);
    }
    return r;
}

static int shard_open(const struct bench_options *o)
{
    b.o = o;
    prng_init(&b.prng, (uint64_t)clock_wall_us());
    hist_init(&b.hist);
    arena_init(&b.arena, 8u << 20);
    b.pools = calloc(o->pools, sizeof *b.pools);
    if (b.pools == NULL || arena_alloc(&b.arena, ARENA_KEPT) == NULL) {
        return err_origin(-ENOMEM);
    }
    arena_reset(&b.arena); /* that first block stays */
    for (uint64_t i = 0; i < o->pools; i++) {
        bench_pool_id(o, i, b.pools[i]);
    }
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&b.lock, NULL);
    pthread_cond_init(&b.wake, &attr);
    pthread_condattr_destroy(&attr);
    int r = rpc_client_open(o->target, (unsigned)o->contexts, shard_done, NULL, &b.client);
    int64_t limit = clock_mono_us() + 5 * SECOND_US;
    while (r == 0 && !rpc_client_connected(b.client) && clock_mono_us() < limit) {
        struct timespec t = {0, 10000000};
        nanosleep(&t, NULL);
    }
    return r == 0 && !rpc_client_connected(b.client) ? -ECONNREFUSED : r;
}

static void shard_report(const struct bench_options *o, int64_t start_us)
{
    int64_t took_us = clock_mono_us() - start_us;
    double seconds = (double)(took_us > 0 ? took_us : 1) / 1e6; /* lost at once: no time at all */
    printf("{\"bench\":\"shard\",\"identities\":%llu,\"pools\":%llu,\"batch\":%llu,\"rate\":%llu,"
           "\"mutations\":%llu,\"failed\":%llu,\"seconds\":%.2f,\"mutations_per_s\":%.0f,"
           "\"next_slot\":%llu,",
           (unsigned long long)o->identities, (unsigned long long)o->pools,
           (unsigned long long)o->batch, (unsigned long long)o->rate,
           (unsigned long long)b.done_count, (unsigned long long)(b.failed_count + b.lost_count),
           seconds, (double)b.done_count / seconds, (unsigned long long)b.next_slot);
    bench_print_hist(stdout, &b.hist);
    printf("}\n");
}

int bench_shard(const struct bench_options *o)
{
    int r = shard_open(o);
    uint64_t per_pool = (o->slots + o->pools - 1) / o->pools;
    for (uint64_t p = 0; p < o->pools && r == 0 && o->skip == 0; p++) {
        r = shard_setup_pool(p, per_pool);
    }
    b.next_slot = o->skip;
    fprintf(stderr, "measuring\n");
    int64_t start = clock_mono_us();
    uint64_t end = per_pool * o->pools;
    if (r == 0 && o->seconds == 0) {
        r = shard_closed(INT64_MAX, o->identities < end ? o->identities : end);
    } else if (r == 0 && o->rate == 0) {
        r = shard_closed(start + (int64_t)o->seconds * SECOND_US, end);
    } else if (r == 0) {
        b.pending = calloc(PENDING_MAX, sizeof *b.pending);
        b.end_slot = end;
        r = b.pending ? shard_open_loop(start) : -ENOMEM;
    }
    shard_report(o, start);
    rpc_client_close(b.client);
    free(b.pools);
    if (r < 0) {
        fprintf(stderr, "bench: %s\n", strerror(-r));
        err_print(stderr);
    }
    return r || b.failed_count || b.lost_count ? VERB_FAILED : VERB_OK;
}

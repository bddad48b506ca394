/* SPDX-License-Identifier: MIT */
/* The board's thread: one edition a second of each pool that is watched.
 *
 *   join -> wake -> for each pool that is due: LIST_SLOTS, page by page -> edition -> follow
 *        -> publish under the lock -> uv_async_send() to every loop -> sleep until the next is due
 *
 * Owns: seats, pools, the newest editions, one rpc client with one context, opened when the first
 * watcher comes.  A pool is due a second after its last edition was begun, however many watch it;
 * one that nobody watches any more is forgotten.
 * The list is asked in the name of an identity of the house, as any person would see it: of a
 * scarce pool free or not, and nothing that moves when somebody cancels.
 * Fails: an edition that could not be had leaves the old one standing, whose age the loops see; a
 * refusal of the shard (no such pool) is published as an edition with that reason.
 * Invariant: the shard is never waited for under the lock.
 * Not through the fair queue: it is one read a second and pool, in no person's name. */
#include "gateway/board.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/metrics.h"
#include "gateway/asking.h"
#include "gateway/edition.h"
#include "proto/codec.h"
#include "rpc/rpc.h"

#define BOARD_EVERY_US  SECOND_US
#define BOARD_WAIT_US   (2 * SECOND_US)  /* for one page */
#define BOARD_RETRY_US  (SECOND_US / 5)  /* after a page that did not come */
#define BOARD_PAGES_MAX (WATCH_SLOTS_MAX / PAGE_SIZE_MAX + 8) /* some may be short */
#define BOARD_ARENA_MAX (4 * BATCH_BYTES_MAX)

/* A watcher, as far as the board knows him. */
struct board_seat {
    bool is_taken;
    uint8_t pool;
    struct identity identity;
};

struct board_pool {
    unsigned watchers; /* 0: a free place */
    size_t id_len;
    uint8_t id[POOL_ID_MAX];
    int64_t due_us;    /* monotonic */
    struct edition *edition; /* held; NULL: none yet */
};

struct board {
    struct leads *leads;   /* borrowed */
    pthread_mutex_t lock; /* over everything down to the loops */
    pthread_cond_t wake;
    bool has_thread, is_stopping;
    struct board_seat seats[WATCHERS_MAX];
    struct board_pool pools[WATCH_POOLS_MAX];
    uv_async_t *loops[LOOPS_MAX];
    pthread_t thread;
    /* The thread's own: */
    struct asking asking;
    struct arena arena;
    uint64_t map_epoch, gateway_id;
};

/* One page, asked and answered. 0 with *ret_answer in the arena; RPC_E_GONE; < 0. */
static int board_ask(struct board *b, const struct command *command, struct answer *ret_answer)
{
    struct batch_call call = {.deadline_ms = BOARD_WAIT_US / 1000};
    struct reply_view reply;
    struct span batch, bytes;
    int r = codec_command_pack(command, &b->arena, &call.command);
    if (r == 0) {
        const struct batch_head head = {b->map_epoch, b->gateway_id, 0, leads_cluster(b->leads)};
        r = codec_batch_pack(&head, &call, 1, &b->arena, &batch);
    }
    if (r) {
        return err_fold(r);
    }
    r = asking_exchange(&b->asking, batch, BOARD_WAIT_US, &bytes);
    if (r || codec_reply_unpack(bytes, &b->arena, &reply) || reply.answers_count != 1) {
        asking_astray(&b->asking);
        return RPC_E_GONE;
    }
    b->map_epoch = reply.map_epoch;
    *ret_answer = reply.answers[0];
    return 0;
}

/* Reasons that mean "not now": the old edition stands. */
static bool board_is_passing(enum reason reason)
{
    return reason != REASON_POOL_UNKNOWN && reason != REASON_WATCH_TOO_LARGE;
}

/* Fills it. 0: whole, or with its reason; RPC_E_GONE: not now; < 0. */
static int board_fill(struct board *b, struct span pool, struct edition *e)
{
    uint8_t token[PAGE_TOKEN_MAX];
    struct command c = {.kind = COMMAND_LIST_SLOTS,
                        .pool = pool,
                        .from_us = clock_wall_us() / SECOND_US * SECOND_US,
                        .to_us = INT64_MAX,
                        .page_size = PAGE_SIZE_MAX};
    memset(c.identity.bytes, 0xff, sizeof c.identity.bytes);
    for (int pages = 0; pages < BOARD_PAGES_MAX; pages++) {
        struct answer answer = {0};
        struct span next;
        arena_reset(&b->arena);
        int r = board_ask(b, &c, &answer);
        if (r) {
            return r < 0 ? err_trace(r) : r;
        }
        if (answer.reason != REASON_OK) {
            e->reason = answer.reason;
            return board_is_passing(answer.reason) ? RPC_E_GONE : 0;
        }
        r = edition_page(e, answer.message, &next);
        if (r == EDITION_E_LARGE) {
            e->reason = REASON_WATCH_TOO_LARGE;
            return 0;
        }
        if (r || next.len > sizeof token) {
            return r < 0 ? err_trace(r) : RPC_E_GONE;
        }
        if (next.len == 0) {
            return 0;
        }
        memcpy(token, next.ptr, next.len);
        c.page_token = (struct span){token, next.len};
    }
    return RPC_E_GONE;
}

/* -- the thread -------------------------------------------------------------------------------- */

/* The pool that is due first; NULL: none is watched.  Forgets what nobody watches.  Locked. */
static struct board_pool *board_next(struct board *b)
{
    struct board_pool *first = NULL;
    int64_t watched = 0;
    for (size_t i = 0; i < WATCH_POOLS_MAX; i++) {
        struct board_pool *p = &b->pools[i];
        if (p->watchers == 0) {
            edition_drop(p->edition);
            *p = (struct board_pool){0};
            continue;
        }
        watched++;
        first = first == NULL || p->due_us < first->due_us ? p : first;
    }
    METRIC_SET(watch_pools, watched);
    return first;
}

/* A new edition for the pool, if it is still watched.  Under the lock. */
static void board_publish(struct board *b, struct board_pool *p, struct edition *e)
{
    struct edition *before = p->edition && p->edition->reason == REASON_OK ? p->edition : NULL;
    if (edition_follow(e, before)) {
        p->due_us = clock_mono_us() + BOARD_RETRY_US; /* out of memory: the old one stands */
        return;
    }
    edition_hold(e);
    edition_drop(p->edition);
    p->edition = e;
    for (size_t i = 0; i < LOOPS_MAX; i++) {
        if (b->loops[i]) {
            uv_async_send(b->loops[i]);
        }
    }
}

/* Makes one edition; called and left under the lock, which is open while the shard is asked. */
static void board_make(struct board *b, struct board_pool *p)
{
    uint8_t id[POOL_ID_MAX];
    struct span pool = {id, p->id_len};
    struct edition *e = edition_new();
    memcpy(id, p->id, p->id_len);
    int64_t begun_us = clock_mono_us();
    p->due_us = begun_us + BOARD_EVERY_US;
    pthread_mutex_unlock(&b->lock);
    int r = e ? asking_open(&b->asking, b->leads) : err_origin(-ENOMEM);
    r = r ? r : board_fill(b, pool, e);
    METRIC_ADD1(watch_snapshots_total, outcome, r ? 1 : 0, 1);
    METRIC_TIME(watch_snapshot_seconds, clock_mono_us() - begun_us);
    pthread_mutex_lock(&b->lock);
    /* Its place may be another pool's by now. */
    bool is_same = p->watchers > 0 && span_equal((struct span){p->id, p->id_len}, pool);
    if (r == 0 && is_same) {
        e->made_us = clock_mono_us();
        board_publish(b, p, e);
    } else if (is_same) {
        p->due_us = begun_us + BOARD_RETRY_US;
    }
    edition_drop(e);
}

static void *board_main(void *arg)
{
    struct board *b = arg;
    pthread_mutex_lock(&b->lock);
    while (!b->is_stopping) {
        struct board_pool *p = board_next(b);
        int64_t now_us = clock_mono_us();
        if (p && p->due_us <= now_us) {
            board_make(b, p);
        } else {
            struct timespec until = asking_until(p ? p->due_us : now_us + HOUR_US);
            pthread_cond_timedwait(&b->wake, &b->lock, &until);
        }
    }
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

/* -- seats ------------------------------------------------------------------------------------- */

/* The pool's place, or a free one for it, or NULL. */
static struct board_pool *board_place(struct board *b, struct span pool)
{
    struct board_pool *free_one = NULL;
    for (size_t i = 0; i < WATCH_POOLS_MAX; i++) {
        struct board_pool *p = &b->pools[i];
        if (p->id_len && span_equal((struct span){p->id, p->id_len}, pool)) {
            return p;
        }
        if (free_one == NULL && p->watchers == 0) {
            free_one = p;
        }
    }
    if (free_one) {
        edition_drop(free_one->edition);
        *free_one = (struct board_pool){.id_len = pool.len};
        memcpy(free_one->id, pool.ptr, pool.len);
    }
    return free_one;
}

/* A free seat; WATCHERS_MAX: none.  *ret_count: seats of the same identity. */
static unsigned board_seat(const struct board *b, const struct identity *identity,
                           unsigned *ret_count)
{
    unsigned seat = WATCHERS_MAX;
    *ret_count = 0;
    for (unsigned i = 0; i < WATCHERS_MAX; i++) {
        if (!b->seats[i].is_taken) {
            seat = seat == WATCHERS_MAX ? i : seat;
        } else if (memcmp(&b->seats[i].identity, identity, sizeof *identity) == 0) {
            *ret_count += 1;
        }
    }
    return seat;
}

/* Under the lock; the thread begins with the first watcher. */
static bool board_begin(struct board *b)
{
    if (!b->has_thread) {
        b->has_thread = pthread_create(&b->thread, NULL, board_main, b) == 0;
    }
    return b->has_thread;
}

enum reason board_join(struct board *b, const struct identity *identity, struct span pool,
                       unsigned *ret_seat, const char **ret_detail)
{
    CHECK(pool.len <= POOL_ID_MAX);
    unsigned count;
    const char *detail = NULL;
    struct board_pool *p = NULL;
    pthread_mutex_lock(&b->lock);
    unsigned seat = board_seat(b, identity, &count);
    if (count >= WATCHERS_PER_IDENTITY) {
        detail = "this identity watches on 8 streams already";
    } else if (seat == WATCHERS_MAX || !board_begin(b)) {
        detail = "as many watch as this gateway serves: use ListSlots";
    } else if ((p = board_place(b, pool)) == NULL) {
        detail = "as many pools are watched as this gateway serves: use ListSlots";
    } else {
        p->watchers++;
        b->seats[seat] = (struct board_seat){true, (uint8_t)(p - b->pools), *identity};
        pthread_cond_signal(&b->wake);
    }
    pthread_mutex_unlock(&b->lock);
    *ret_seat = seat;
    *ret_detail = detail;
    return detail ? REASON_RATE_LIMITED : REASON_OK;
}

void board_leave(struct board *b, unsigned seat)
{
    pthread_mutex_lock(&b->lock);
    CHECK(b->seats[seat].is_taken);
    struct board_pool *p = &b->pools[b->seats[seat].pool];
    CHECK(p->watchers > 0);
    p->watchers--;
    b->seats[seat].is_taken = false;
    pthread_mutex_unlock(&b->lock);
}

struct edition *board_look(struct board *b, unsigned seat)
{
    pthread_mutex_lock(&b->lock);
    CHECK(b->seats[seat].is_taken);
    struct edition *e = b->pools[b->seats[seat].pool].edition;
    if (e) {
        edition_hold(e);
    }
    pthread_mutex_unlock(&b->lock);
    return e;
}

void board_join_loop(struct board *b, unsigned loop, uv_async_t *async)
{
    CHECK(loop < LOOPS_MAX);
    pthread_mutex_lock(&b->lock);
    b->loops[loop] = async;
    pthread_mutex_unlock(&b->lock);
}

void board_leave_loop(struct board *b, unsigned loop)
{
    board_join_loop(b, loop, NULL);
}

/* -- beginning and end ------------------------------------------------------------------------- */

int board_new(struct leads *leads, struct board **ret_board)
{
    struct board *b = calloc(1, sizeof *b);
    if (b == NULL) {
        return err_origin(-ENOMEM);
    }
    b->leads = leads;
    int r = asking_init(&b->asking);
    if (r) {
        free(b);
        return err_trace(r);
    }
    pthread_mutex_init(&b->lock, NULL);
    asking_cond_init(&b->wake);
    arena_init(&b->arena, BOARD_ARENA_MAX);
    clock_random(&b->gateway_id, sizeof b->gateway_id);
    *ret_board = b;
    return 0;
}

void board_free(struct board *b)
{
    if (b == NULL) {
        return;
    }
    pthread_mutex_lock(&b->lock);
    b->is_stopping = true;
    pthread_cond_signal(&b->wake);
    pthread_mutex_unlock(&b->lock);
    asking_end(&b->asking);
    if (b->has_thread) {
        pthread_join(b->thread, NULL);
    }
    asking_fini(&b->asking);
    for (size_t i = 0; i < WATCH_POOLS_MAX; i++) {
        edition_drop(b->pools[i].edition);
    }
    pthread_cond_destroy(&b->wake);
    pthread_mutex_destroy(&b->lock);
    arena_fini(&b->arena);
    free(b);
}

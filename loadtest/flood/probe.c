/* SPDX-License-Identifier: MIT */
/* The audit's look past the gateway: LIST_SLOTS in batches of one, straight to each shard's door.
 *   open -> connected within 5 s -> page by page -> each slot against what the gateway said of it
 * Owns: one rpc client at a time.  Fails when a shard cannot be reached, is no leader, or answers
 * with anything but slots; then the audit is not done.
 * nng's thread only copies the reply and wakes this one. */
#include "flood/probe.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "ctl/talk.h"
#include "fairslot/v1/services.pb-c.h"
#include "proto/codec.h"
#include "rpc/rpc.h"
#include "verb.h"

#define PROBE_WAIT_US  (10 * SECOND_US)
#define PROBE_DIAL_US  (5 * SECOND_US)
#define PROBE_PAGES    100000 /* no pool has more */

struct probe {
    struct rpc_client *client;
    const char *url;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake;
    uint8_t *reply;       /* owned; NULL: none has come */
    size_t reply_len;
    int status;
    bool is_done;
    struct arena arena;   /* of one page */
};

static void probe_done(void *user, unsigned context, int status, struct span bytes)
{
    struct probe *p = user;
    (void)context;
    pthread_mutex_lock(&p->lock);
    p->reply = malloc(bytes.len + 1);
    p->status = p->reply ? status : RPC_E_GONE;
    p->reply_len = p->status ? 0 : bytes.len;
    if (p->reply_len) {
        memcpy(p->reply, bytes.ptr, bytes.len);
    }
    p->is_done = true;
    pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

/* One command there and its answer back; lives until the next. */
static int probe_ask(struct probe *p, const struct command *c, struct answer *ret_answer)
{
    struct span bytes = {0}, batch = {0};
    struct reply_view reply = {0};
    CHECK(codec_command_pack(c, &p->arena, &bytes) == 0);
    struct batch_call call = {.call = 1, .deadline_ms = 10000, .command = bytes};
    CHECK(codec_batch_pack(&(struct batch_head){0, 1, 1, 0}, &call, 1, &p->arena, &batch) == 0);
    free(p->reply);
    p->reply = NULL;
    p->is_done = false;
    int r = rpc_client_send(p->client, 0, batch);
    struct timespec until = {(clock_mono_us() + PROBE_WAIT_US) / SECOND_US, 0};
    pthread_mutex_lock(&p->lock);
    while (r == 0 && !p->is_done && r != ETIMEDOUT) {
        r = pthread_cond_timedwait(&p->wake, &p->lock, &until);
    }
    bool is_whole = p->is_done && p->status == 0 &&
                    codec_reply_unpack((struct span){p->reply, p->reply_len}, &p->arena,
                                       &reply) == 0;
    pthread_mutex_unlock(&p->lock);
    if (!is_whole || reply.is_turned_away || reply.answers_count != 1) {
        talk_error("the shard %s %s", p->url,
                   reply.is_turned_away ? "does not lead: another of its group answers for it"
                                        : "did not answer");
        return VERB_UNREACHABLE;
    }
    *ret_answer = reply.answers[0];
    return 0;
}

static void probe_slot(const struct plan *plan, const Fairslot__V1__Slot *slot,
                       const uint8_t *states, struct audit *audit)
{
    uint32_t index = stage_slot_index(plan, slot->name);
    audit->shard_slots++;
    audit->shard_taken += slot->state == FAIRSLOT__V1__SLOT__STATE__STATE_TAKEN;
    audit->shard_differs += index == UINT32_MAX || states[index] != (uint8_t)slot->state;
}

/* 0: it has no such pool, or all of it was seen. */
static int probe_pages(struct probe *p, const struct plan *plan, const uint8_t *states,
                       struct audit *audit)
{
    uint8_t token[PAGE_TOKEN_MAX];
    struct command c = {.kind = COMMAND_LIST_SLOTS, .pool = span_of(plan->pool + strlen("pools/")),
                        .to_us = INT64_MAX, .page_size = PAGE_SIZE_MAX};
    memset(c.identity.bytes, 0xff, sizeof c.identity.bytes);
    for (int pages = 0; pages < PROBE_PAGES; pages++) {
        struct answer answer;
        arena_reset(&p->arena);
        int r = probe_ask(p, &c, &answer);
        if (r || answer.reason == REASON_POOL_UNKNOWN) {
            return r;
        }
        Fairslot__V1__ListSlotsResponse *page =
            answer.reason == REASON_OK
                ? fairslot__v1__list_slots_response__unpack(NULL, answer.message.len,
                                                            answer.message.ptr) : NULL;
        if (page == NULL || strlen(page->next_page_token) > sizeof token) {
            talk_error("the shard %s lists no slots: %s", p->url, reason_name(answer.reason));
            return VERB_FAILED;
        }
        for (size_t i = 0; i < page->n_slots; i++) {
            probe_slot(plan, page->slots[i], states, audit);
        }
        size_t len = strlen(page->next_page_token);
        memcpy(token, page->next_page_token, len);
        c.page_token = (struct span){token, len};
        fairslot__v1__list_slots_response__free_unpacked(page, NULL);
        if (len == 0) {
            return 0;
        }
    }
    return VERB_FAILED;
}

static int probe_one(struct probe *p, const struct plan *plan, const uint8_t *states,
                     struct audit *audit)
{
    int64_t limit = clock_mono_us() + PROBE_DIAL_US;
    int r = rpc_client_open(p->url, 1, probe_done, p, &p->client);
    while (r == 0 && !rpc_client_connected(p->client) && clock_mono_us() < limit) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    if (r || !rpc_client_connected(p->client)) {
        talk_error("cannot connect to the shard %s", p->url);
        talk_next("--audit-shard takes what `fairslot shard --listen` has, as "
                  "tcp://127.0.0.1:17710");
        err_fold(r < 0 ? r : 0);
        return VERB_UNREACHABLE;
    }
    audit->shards_asked++;
    return probe_pages(p, plan, states, audit);
}

int probe_shards(const struct plan *plan, const uint8_t *states, struct audit *audit)
{
    int r = 0;
    for (uint32_t i = 0; i < plan->audit_shards_count && r == 0; i++) {
        struct probe p = {.url = plan->audit_shards[i]};
        pthread_condattr_t attr;
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_mutex_init(&p.lock, NULL);
        pthread_cond_init(&p.wake, &attr);
        pthread_condattr_destroy(&attr);
        arena_init(&p.arena, 8u << 20);
        r = probe_one(&p, plan, states, audit);
        rpc_client_close(p.client);
        free(p.reply);
        arena_fini(&p.arena);
        pthread_cond_destroy(&p.wake);
        pthread_mutex_destroy(&p.lock);
    }
    if (r == 0 && plan->audit_shards_count && audit->shard_slots != audit->slots) {
        audit->shard_differs += audit->shard_slots > audit->slots
                                    ? audit->shard_slots - audit->slots
                                    : audit->slots - audit->shard_slots;
    }
    return r;
}

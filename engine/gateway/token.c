/* SPDX-License-Identifier: MIT */
/* Tokens: from a header to an identity without holding up the loop.
 *
 *   header -> auth's cache: hit -> admit
 *                           no  -> a job for this very token? join it : a new job
 *   jobs wait in a fair queue by connection, fresh ones first -> VERIFY_RUNNING_MAX workers
 *   worker: auth_verify -> loop: auth_remember, then every call that waits for it -> admit
 *                       -> the issuer's keys are being read: parked until they are there
 *
 * Owns: the jobs, each with a copy of its token and the list of its calls.
 * Happy path: a cache hit, no copy.  A client that opens a thousand calls with a fresh token costs
 * one verification.
 * Junk: a signature check is what an attacker can make us compute, so he gets his share of them and
 * no more.  Address groups take turns, and connections within one; a connection that brought
 * SCORE_SUSPECT more bad tokens than good ones gets a turn in SUSPECT_WEIGHT of the others', its
 * waiting jobs move there with it, and when there are VERIFY_PENDING_MAX jobs its newest makes
 * room for a fresh one.  It is not shut out: one connection may carry many people.
 * Fails: too many jobs are refused with a retry time; a bad token refuses its calls by name.
 * Invariant: a call in CALL_AUTH is on its job's list; a job whose calls all left before a worker
 * took it is dropped, one that was begun finishes and is remembered. */
#include "gateway/token.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/limit.h"
#include "base/log.h"
#include "base/metrics.h"
#include "fair/fairq.h"
#include "gateway/admit.h"
#include "gateway/answer.h"
#include "gateway/conn.h"
#include "gateway/inside.h"
#include "wire/wire.h"

#define FRESH          FAIRQ_CONTROL /* the classes of the desk's own queue */
#define SUSPECT        FAIRQ_SEARCH
#define SUSPECT_WEIGHT 16
#define SCORE_SUSPECT  8             /* bad tokens more than good ones */
#define SCORE_MAX      64            /* ... are remembered: so many good ones make up for all */
#define PARKED_LOOK_MS 25            /* between two looks at an issuer whose keys are being read */

struct token_job {
    uv_work_t work;
    struct gateway *gateway;
    struct auth *auth;           /* held: the issuers of the moment when it came */
    struct fairq_entry entry;    /* in the desk's queue, while it waits for a worker */
    struct list bucket_link;     /* in one of the desk's buckets */
    struct list link;            /* in suspects or parked, or alone */
    struct list calls;           /* in CALL_AUTH */
    struct fairq_place owner;    /* whose turn it takes: the connection that came first */
    struct verified verified;    /* the worker's, until it is done */
    struct auth_trouble trouble; /* the same */
    int verdict;                 /* the same */
    size_t len;
    uint8_t token[];
};

static void desk_pump(struct gateway *g);

/* -- the desk ---------------------------------------------------------------------------------- */

int token_desk_init(struct gateway *g)
{
    struct token_desk *desk = &g->tokens;
    const struct fairq_options options = {
        .weights = {[FAIRQ_CONTROL] = SUSPECT_WEIGHT, 1, 1, [FAIRQ_SEARCH] = 1},
        .waiting_per_identity = VERIFY_PENDING_MAX,
        .identities_max = VERIFY_PENDING_MAX,
    };
    struct fairq_options keyed = options;
    clock_random(keyed.secret, sizeof keyed.secret);
    clock_random(desk->secret, sizeof desk->secret);
    for (size_t i = 0; i < TOKEN_BUCKETS; i++) {
        list_init(&desk->buckets[i]);
    }
    list_init(&desk->suspects);
    list_init(&desk->parked);
    return err_fold(fairq_new(&keyed, &desk->queue));
}

int token_desk_keys(const struct front *front, struct auth **ret_auth, char *ret_text)
{
    const struct gateway_options *o = front->options;
    const struct issuer_options only = {
        .name = "default", .jwks_file = o->jwks_path, .issuer = o->issuer, .audience = o->audience};
    struct auth_options options = {
        .issuers = o->issuers_count ? o->issuers : &only,
        .issuers_count = o->issuers_count ? o->issuers_count : 1,
        .is_shared = front->loops_count > 1,
    };
    memcpy(options.tenant_key, o->tenant_key, sizeof options.tenant_key);
    int verdict = auth_new(&options, ret_auth, ret_text);
    explicit_bzero(options.tenant_key, sizeof options.tenant_key);
    if (verdict == 0 && ret_text[0]) {
        log_event(LOG_KEYS_ODD, NULL, "gateway: %s", ret_text);
    }
    return verdict;
}

void token_desk_turn(struct gateway *g)
{
    struct front *front = g->front;
    if (atomic_load(&front->auth) == g->auth) {
        return; /* held, so another one cannot have its address */
    }
    pthread_mutex_lock(&front->auth_lock);
    struct auth *fresh = auth_hold(front->auth);
    pthread_mutex_unlock(&front->auth_lock);
    auth_drop(g->auth);
    g->auth = fresh;
}

void token_desk_open(struct gateway *g)
{
    uv_timer_init(&g->loop, &g->tokens.timer); /* cannot fail */
    g->tokens.timer.data = g;
}

static uint32_t token_bucket(const struct token_desk *desk, struct span token)
{
    uint64_t hash;
    _Static_assert(sizeof desk->secret == crypto_shorthash_KEYBYTES, "SipHash-2-4");
    crypto_shorthash((uint8_t *)&hash, token.ptr, token.len, desk->secret);
    return (uint32_t)(hash % TOKEN_BUCKETS);
}

/* One that was begun with other issuers than those of now does not count. */
static struct token_job *token_find(struct gateway *g, struct span token)
{
    struct token_desk *desk = &g->tokens;
    struct list *bucket = &desk->buckets[token_bucket(desk, token)];
    for (struct list *l = bucket->next; l != bucket; l = l->next) {
        struct token_job *job = CONTAINER_OF(l, struct token_job, bucket_link);
        if (job->auth == g->auth && job->len == token.len &&
            memcmp(job->token, token.ptr, token.len) == 0) {
            return job;
        }
    }
    return NULL;
}

static void job_free(struct token_job *job)
{
    struct token_desk *desk = &job->gateway->tokens;
    CHECK(list_empty(&job->calls));
    list_remove(&job->bucket_link);
    list_remove(&job->link);
    desk->jobs_count--;
    METRIC_ADD(token_verifications_pending, -1);
    explicit_bzero(job->token, job->len);
    auth_drop(job->auth);
    free(job);
}

static void job_refuse(struct token_job *job, const struct codec_refusal *refusal)
{
    while (!list_empty(&job->calls)) {
        answer_refuse(CONTAINER_OF(job->calls.next, struct call, link), refusal);
    }
    job_free(job);
}

/* -- whose turn -------------------------------------------------------------------------------- */

static bool conn_is_suspect(const struct conn *conn)
{
    return conn->token_score >= SCORE_SUSPECT && limit_is_on("token_turns");
}

/* Do all that wait for it come from suspects? */
static bool job_is_suspect(const struct token_job *job)
{
    for (struct list *l = job->calls.next; l != &job->calls; l = l->next) {
        if (!conn_is_suspect(CONTAINER_OF(l, struct call, link)->conn)) {
            return false;
        }
    }
    return true;
}

/* Each connection that waits for it is told once what its token was worth. */
static void job_score(const struct token_job *job, int points)
{
    const struct conn *before = NULL;
    for (struct list *l = job->calls.next; l != &job->calls; l = l->next) {
        struct conn *conn = CONTAINER_OF(l, struct call, link)->conn;
        int score = conn->token_score + (conn != before ? points : 0);
        conn->token_score = score < 0 ? 0 : score > SCORE_MAX ? SCORE_MAX : score;
        before = conn;
    }
}

static void job_wait(struct token_job *job, bool is_suspect)
{
    struct token_desk *desk = &job->gateway->tokens;
    job->entry = (struct fairq_entry){.class = is_suspect ? SUSPECT : FRESH};
    list_init(&job->entry.link);
    if (is_suspect) {
        list_push(&desk->suspects, &job->link);
    }
    int verdict = fairq_push(desk->queue, &job->owner, &job->entry);
    CHECK(verdict == 0); /* it has room for every job there may be */
}

/* The next that is worth a worker; NULL: none waits. */
static struct token_job *desk_next(struct token_desk *desk)
{
    struct fairq_entry *entry;
    while (fairq_pull(desk->queue, &entry, 1) == 1) {
        struct token_job *job = CONTAINER_OF(entry, struct token_job, entry);
        list_remove(&job->link);
        if (list_empty(&job->calls)) {
            job_free(job); /* nobody waits for it any more */
        } else if (entry->class == FRESH && job_is_suspect(job)) {
            job_wait(job, true); /* once a job at most: what it came with was junk meanwhile */
        } else {
            return job;
        }
    }
    return NULL;
}

/* Room for one more job; false: refused.  The newest of the suspects goes before a fresh one. */
static bool desk_make_room(struct token_desk *desk, const struct conn *conn)
{
    if (desk->jobs_count < VERIFY_PENDING_MAX) {
        return true;
    }
    if (conn_is_suspect(conn) || list_empty(&desk->suspects)) {
        return false;
    }
    const struct codec_refusal refusal = {.reason = REASON_RATE_LIMITED,
                                          .detail = "too many tokens are being verified"};
    struct token_job *job = CONTAINER_OF(desk->suspects.prev, struct token_job, link);
    fairq_remove(desk->queue, &job->entry);
    job_refuse(job, &refusal);
    return true;
}

/* -- a worker and what it found ---------------------------------------------------------------- */

/* On a worker. */
static void token_verify(uv_work_t *work)
{
    struct token_job *job = CONTAINER_OF(work, struct token_job, work);
    job->verdict = auth_verify(job->auth, (struct span){job->token, job->len},
                               clock_wall_us(), &job->verified, &job->trouble);
}

static void job_accept(struct token_job *job)
{
    int r = auth_remember(job->auth, (struct span){job->token, job->len}, &job->verified,
                          clock_wall_us());
    if (r < 0) {
        log_event(LOG_TOKEN_FAILED, NULL, "gateway: a token could not be remembered: %s",
                  uv_strerror(r));
    }
    job_score(job, -1);
    while (!list_empty(&job->calls)) {
        struct call *call = CONTAINER_OF(job->calls.next, struct call, link);
        call_move(call, CALL_OPEN);
        admit_verified(call, &job->verified);
    }
    job_free(job);
}

/* A refusal of auth's is a reason; an error of ours is INTERNAL. */
static enum reason token_reason(int verdict)
{
    return verdict > 0 ? (enum reason)verdict : REASON_INTERNAL;
}

static void job_reject(struct token_job *job)
{
    const struct codec_refusal refusal = {
        .reason = token_reason(job->verdict),
        .retry_ms = job->trouble.retry_ms,
        .detail = job->verdict == REASON_TOKEN_INVALID && job->trouble.retry_ms
                      ? "its issuer has no such key; they are read again by then" : NULL,
    };
    if (job->verdict < 0) {
        log_event(LOG_TOKEN_FAILED, NULL, "gateway: a token could not be verified: %s",
                  uv_strerror(job->verdict));
    }
    job_score(job, job->verdict == REASON_TOKEN_INVALID ? 1 : 0);
    job_refuse(job, &refusal);
}

static void desk_look_parked(uv_timer_t *timer)
{
    struct gateway *g = timer->data;
    struct token_desk *desk = &g->tokens;
    struct list *next;
    for (struct list *l = desk->parked.next; l != &desk->parked; l = next) {
        struct token_job *job = CONTAINER_OF(l, struct token_job, link);
        next = l->next;
        if (list_empty(&job->calls) || !auth_is_busy(job->auth, job->trouble.issuer)) {
            list_remove(&job->link);
            desk->parked_count--;
            job_wait(job, job_is_suspect(job));
        }
    }
    if (desk->parked_count == 0) {
        uv_timer_stop(timer);
    }
    desk_pump(g);
}

/* Its issuer's keys are being read, since it names one that nobody knows. */
static void job_park(struct token_job *job)
{
    struct token_desk *desk = &job->gateway->tokens;
    if (desk->parked_count >= VERIFY_PARKED_MAX || job->gateway->phase == GATEWAY_CLOSING) {
        job->verdict = REASON_KEYS_UNAVAILABLE;
        job_reject(job);
        return;
    }
    list_push(&desk->parked, &job->link);
    if (desk->parked_count++ == 0) {
        uv_timer_start(&desk->timer, desk_look_parked, PARKED_LOOK_MS, PARKED_LOOK_MS);
    }
}

static void token_verified(uv_work_t *work, int status)
{
    struct token_job *job = CONTAINER_OF(work, struct token_job, work);
    struct gateway *g = job->gateway;
    g->tokens.running_count--;
    METRIC_ADD1(token_verifications_total, verdict, job->verdict ? 1 : 0, 1);
    if (job->verdict == 0) {
        job_accept(job);
    } else if (job->verdict == AUTH_E_BUSY) {
        job_park(job);
    } else {
        job_reject(job);
    }
    desk_pump(g);
}

/* Keeps the workers busy, and no more than that: what they have not begun can still be ordered. */
static void desk_pump(struct gateway *g)
{
    struct token_desk *desk = &g->tokens;
    while (desk->running_count < VERIFY_RUNNING_MAX) {
        struct token_job *job = desk_next(desk);
        if (job == NULL) {
            return;
        }
        desk->running_count++;
        int r = uv_queue_work(&g->loop, &job->work, token_verify, token_verified);
        CHECK(r == 0); /* fails without a work function only */
    }
}

void token_desk_close(struct gateway *g)
{
    struct token_desk *desk = &g->tokens;
    if (desk->timer.data == NULL || uv_is_closing((uv_handle_t *)&desk->timer)) {
        return;
    }
    uv_close((uv_handle_t *)&desk->timer, NULL);
    struct list *l;
    while ((l = list_pull(&desk->parked))) { /* their calls have gone with their connections */
        job_free(CONTAINER_OF(l, struct token_job, link));
    }
    desk->parked_count = 0;
}

void token_desk_fini(struct gateway *g)
{
    struct token_job *job;
    while (g->tokens.queue && (job = desk_next(&g->tokens))) {
        job_free(job);
    }
    fairq_free(g->tokens.queue);
    auth_drop(g->auth);
}

/* -- a call ------------------------------------------------------------------------------------ */

/* The connection takes turns with the others of its address group, and the group with other groups:
 * many connections of one place are no way to more signatures. */
static struct fairq_place owner_of(const struct conn *conn)
{
    struct fairq_place place = {.is_grouped = conn->group.value != 0};
    memcpy(place.group.bytes, &conn->group.value, sizeof conn->group.value);
    if (limit_is_on("token_turns")) {
        memcpy(place.identity.bytes, &conn, sizeof conn); /* a name, not a reference */
    }
    return place;
}

/* A job for this token; NULL: too many, or no memory. */
static struct token_job *token_start(struct gateway *g, const struct conn *conn, struct span token)
{
    struct token_desk *desk = &g->tokens;
    if (!desk_make_room(desk, conn)) {
        return NULL;
    }
    struct token_job *job = malloc(sizeof *job + token.len);
    if (job == NULL) {
        return NULL;
    }
    *job = (struct token_job){.gateway = g, .auth = auth_hold(g->auth), .len = token.len};
    memcpy(job->token, token.ptr, token.len);
    job->owner = owner_of(conn);
    list_init(&job->calls);
    list_init(&job->link);
    list_push(&desk->buckets[token_bucket(desk, token)], &job->bucket_link);
    desk->jobs_count++;
    METRIC_ADD(token_verifications_pending, 1);
    job_wait(job, conn_is_suspect(conn));
    return job;
}

void token_ask(struct call *call)
{
    struct gateway *g = call_gateway(call);
    struct span header = wire_call_authorization(call->wire);
    struct verified verified;
    int verdict = auth_lookup(g->auth, header, clock_wall_us(), &verified);
    METRIC_ADD1(token_cache_lookups_total, cache, verdict ? 1 : 0, 1);
    if (verdict == 0) {
        admit_verified(call, &verified);
        return;
    }
    struct span token;
    if (verdict != AUTH_E_UNKNOWN || auth_bearer(header, &token) || token.len == 0) {
        answer_reason(call, verdict == AUTH_E_UNKNOWN ? REASON_TOKEN_INVALID
                                                      : token_reason(verdict), NULL);
        return;
    }
    struct token_job *job = token_find(g, token);
    if (job == NULL) {
        job = token_start(g, call->conn, token);
    }
    if (job == NULL) {
        answer_reason(call, REASON_RATE_LIMITED, "too many tokens are being verified");
        return;
    }
    call_move(call, CALL_AUTH);
    list_push(&job->calls, &call->link);
    desk_pump(g);
}

/* SPDX-License-Identifier: MIT */
/* Tokens: from a header to an identity without holding up the loop.
 *
 *   header -> auth's cache: hit -> admit
 *                           no  -> a job for this very token? join it : a new job -> worker
 *   worker: auth_verify -> loop: auth_remember, then every call that waits for it -> admit
 *
 * Owns: the jobs, each with a copy of its token and the list of its calls.
 * Happy path: a cache hit, no copy.  A client that opens a thousand calls with a fresh token costs
 * one verification.
 * Fails: more than VERIFY_PENDING_MAX tokens under verification are refused with a retry time
 * (signatures are what an attacker can make us compute); a bad token refuses its calls by name.
 * Invariant: a call in CALL_AUTH is on its job's list; a job whose calls all left still finishes
 * and is remembered.  Jobs are found by a walk: at most 256, told apart by length and last byte. */
#include "gateway/token.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/metrics.h"
#include "gateway/admit.h"
#include "gateway/answer.h"
#include "gateway/inside.h"
#include "wire/wire.h"

struct token_job {
    uv_work_t work;
    struct gateway *gateway;
    struct list link;         /* in the desk's jobs */
    struct list calls;        /* in CALL_AUTH */
    struct verified verified; /* the worker's, until it is done */
    int verdict;              /* the same */
    size_t len;
    uint8_t token[];
};

void token_desk_init(struct token_desk *desk)
{
    *desk = (struct token_desk){0};
    list_init(&desk->jobs);
}

int token_desk_keys(struct gateway *g, char *ret_text)
{
    const struct gateway_options *o = g->options;
    struct auth_options options = {
        .jwks_path = o->jwks_path,
        .issuer = o->issuer,
        .audience = o->audience,
        .role_claim = "roles",
        .is_shared = g->front->loops_count > 1,
    };
    memcpy(options.tenant_key, o->tenant_key, sizeof options.tenant_key);
    int verdict = auth_new(&options, &g->front->auth, ret_text);
    explicit_bzero(options.tenant_key, sizeof options.tenant_key);
    if (verdict == 0 && ret_text[0]) {
        log_warn("gateway: %s", ret_text);
    }
    return verdict;
}

/* A refusal of auth's is a reason; an error of ours is INTERNAL. */
static enum reason token_reason(int verdict)
{
    return verdict > 0 ? (enum reason)verdict : REASON_INTERNAL;
}

/* On a worker. */
static void token_verify(uv_work_t *work)
{
    struct token_job *job = CONTAINER_OF(work, struct token_job, work);
    job->verdict = auth_verify(job->gateway->auth, (struct span){job->token, job->len},
                               clock_wall_us(), &job->verified);
}

static void token_verified(uv_work_t *work, int status)
{
    struct token_job *job = CONTAINER_OF(work, struct token_job, work);
    struct gateway *g = job->gateway;
    list_remove(&job->link);
    g->tokens.jobs_count--;
    METRIC_ADD(token_verifications_pending, -1);
    METRIC_ADD1(token_verifications_total, verdict, job->verdict ? 1 : 0, 1);
    int r = job->verdict < 0 ? job->verdict : 0;
    if (job->verdict == 0) {
        r = auth_remember(g->auth, (struct span){job->token, job->len}, &job->verified,
                          clock_wall_us());
    }
    if (r < 0) {
        log_error("gateway: a token could not be handled: %s", uv_strerror(r));
    }
    while (!list_empty(&job->calls)) {
        struct call *call = CONTAINER_OF(job->calls.next, struct call, link);
        if (job->verdict == 0) {
            call_move(call, CALL_OPEN);
            admit_verified(call, &job->verified);
        } else {
            answer_reason(call, token_reason(job->verdict), NULL);
        }
    }
    explicit_bzero(job->token, job->len);
    free(job);
}

static struct token_job *token_find(struct gateway *g, struct span token)
{
    for (struct list *l = g->tokens.jobs.next; l != &g->tokens.jobs; l = l->next) {
        struct token_job *job = CONTAINER_OF(l, struct token_job, link);
        if (job->len == token.len && job->token[token.len - 1] == token.ptr[token.len - 1] &&
            memcmp(job->token, token.ptr, token.len) == 0) {
            return job;
        }
    }
    return NULL;
}

/* A job for this token; NULL: too many, or no memory. */
static struct token_job *token_start(struct gateway *g, struct span token)
{
    if (g->tokens.jobs_count >= VERIFY_PENDING_MAX) {
        return NULL;
    }
    struct token_job *job = malloc(sizeof *job + token.len);
    if (job == NULL) {
        return NULL;
    }
    *job = (struct token_job){.gateway = g, .len = token.len};
    memcpy(job->token, token.ptr, token.len);
    list_init(&job->calls);
    list_push(&g->tokens.jobs, &job->link);
    g->tokens.jobs_count++;
    METRIC_ADD(token_verifications_pending, 1);
    int r = uv_queue_work(&g->loop, &job->work, token_verify, token_verified);
    CHECK(r == 0); /* fails without a work function only */
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
        job = token_start(g, token);
    }
    if (job == NULL) {
        answer_reason(call, REASON_RATE_LIMITED, "too many tokens are being verified");
        return;
    }
    call_move(call, CALL_AUTH);
    list_push(&job->calls, &call->link);
}

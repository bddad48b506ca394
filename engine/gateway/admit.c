/* SPDX-License-Identifier: MIT */
/* Admission.  In this order, so that the cheapest refusal comes first and nothing is decoded for a
 * stranger: stopping? -> token, or the budget of those without -> role -> message -> fair queue.
 * Owns: nothing; the call owns its bytes.
 * Happy path: the token is in the cache; the message is decoded in the loop's scratch arena, joined
 * with the identity, packed once as the shard will log it, and that is all that leaves (errand.c).
 * While a token is being verified the raw message is kept, within HELD_BYTES_MAX for all calls.
 * Fails: each step refuses with its own reason.
 * Invariant: a call enters the queue once its message is packed, its token is good and its client
 * has finished sending, whichever comes last. */
#include "gateway/admit.h"

#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/clock.h"
#include "gateway/answer.h"
#include "gateway/conn.h"
#include "gateway/errand.h"
#include "gateway/face.h"
#include "gateway/inside.h"
#include "wire/wire.h"

/* The message waits for its token. */
static void admit_keep(struct call *call, struct span bytes)
{
    CHECK(call->bytes == NULL);
    struct gateway *g = call_gateway(call);
    if (g->held_bytes + bytes.len > HELD_BYTES_MAX / g->front->loops_count) {
        answer_reason(call, REASON_RATE_LIMITED, "too many tokens are being verified");
        return;
    }
    uint8_t *copy = guard_take(call, bytes.len) ? malloc(bytes.len + 1) : NULL; /* 0 is one, too */
    if (copy == NULL) {
        answer_reason(call, REASON_GATEWAY_FULL, NULL);
        return;
    }
    if (bytes.len) {
        memcpy(copy, bytes.ptr, bytes.len);
    }
    call->bytes = copy;
    call->bytes_len = (uint32_t)bytes.len;
    g->held_bytes += bytes.len;
}

/* A new release's secrets, drawn here because the ledger has no random device.  Behind the body's
 * hash: a retry draws others, and is answered by what the first one made. */
static void admit_draw(struct command *command, struct release_words *words,
                       uint8_t secret[RELEASE_SECRET])
{
    clock_random(secret, RELEASE_SECRET);
    *words = *command->release;
    words->secret = (struct span){secret, RELEASE_SECRET};
    command->release = words;
}

/* The message into the call's errand; refused: it has none. */
static void admit_decode(struct call *call, struct span message)
{
    struct gateway *g = call_gateway(call);
    if (!face_request(call, message, &message)) {
        return;
    }
    struct command command;
    struct codec_refusal refusal = {0};
    int verdict = codec_request(call->method, message, &g->scratch, &command, &refusal.field,
                                &refusal.detail);
    if (verdict) {
        refusal.reason = verdict > 0 ? (enum reason)verdict : REASON_INTERNAL;
        answer_refuse(call, &refusal);
        return;
    }
    if (command.kind == COMMAND_WATCH_SLOTS) {
        watch_begin(call, command.pool);
        return;
    }
    command.identity = call->identity;
    command.assurance = (enum assurance)call->assurance;
    command.roles = call->roles;
    command.client = call->client;
    command.is_client = call->is_client && command_is_read(command.kind);
    if (command.kind == COMMAND_WATCH_TICKET) {
        follow_begin(call, &command);
        return;
    }
    if (command.kind == COMMAND_WATCH_EVENTS) {
        events_begin(call, &command);
        return;
    }
    if (command.kind == COMMAND_EXPORT_RELEASE) {
        export_begin(call, &command);
        return;
    }
    uint8_t secret[RELEASE_SECRET];
    struct release_words words;
    if (command.kind == COMMAND_CREATE_RELEASE) {
        admit_draw(&command, &words, secret);
    }
    struct span packed;
    if (codec_command_pack(&command, &g->scratch, &packed)) {
        answer_reason(call, REASON_INTERNAL, NULL);
        return;
    }
    call->errand = guard_take(call, packed.len) ? errand_new(packed) : NULL;
    if (call->errand == NULL) {
        answer_reason(call, REASON_GATEWAY_FULL, NULL);
    }
}

/* No token, and none is needed: one budget and one place in the queue for all such callers. */
static void admit_anonymous(struct call *call)
{
    struct gateway *g = call_gateway(call);
    struct codec_refusal refusal = {
        .reason = REASON_RATE_LIMITED,
        .retry_ms = front_anonymous_wait_ms(g->front, uv_now(&g->loop)),
        .detail = "callers without a token share one budget: send a token, or come back",
    };
    if (refusal.retry_ms) {
        answer_refuse(call, &refusal);
        return;
    }
    call->is_anonymous = true;
    call->assurance = ASSURANCE_LOW;
    call->is_verified = true;
}

void admit_open(struct call *call)
{
    if (call_gateway(call)->phase != GATEWAY_OPEN) {
        answer_reason(call, REASON_SHUTTING_DOWN, NULL);
        return;
    }
    if (call->conn->peer) {
        admit_verified(call, call->conn->peer); /* its certificate says who it is, and no token */
        return;
    }
    bool is_silent = wire_call_authorization(call->wire).ptr == NULL;
    if (is_silent && call->method->anonymous && !call_gateway(call)->options->no_anonymous) {
        admit_anonymous(call);
    } else {
        token_ask(call);
    }
}

void admit_message(struct call *call, struct span message)
{
    if (!call->is_verified) {
        admit_keep(call, message);
        return;
    }
    admit_decode(call, message);
    arena_reset(&call_gateway(call)->scratch);
}

void admit_half_closed(struct call *call)
{
    if (call->errand) {
        errand_send(call);
    }
}

void admit_verified(struct call *call, const struct verified *verified)
{
    CHECK(call->state == CALL_OPEN);
    call->identity = verified->identity;
#ifdef PLANT_ADDRESS_PLACE /* never defined but by tests/e2e: the flood must catch it */
    for (size_t i = 0; i < sizeof call->conn->group.value; i++) {
        call->identity.bytes[i] ^= (uint8_t)(call->conn->group.value >> 8 * i);
    }
#endif
    call->assurance = (uint32_t)verified->assurance;
    call->roles = verified->roles;
    call->client = verified->client;
    call->is_client = verified->is_client || verified->roles != 0;
    call->is_verified = true;
    if (call->method->needs_role && (call->roles & ROLE_OPERATOR) == 0) {
        answer_reason(call, REASON_ROLE_MISSING, NULL);
        return;
    }
    if (call->bytes == NULL) {
        return; /* its message is still to come */
    }
    struct gateway *g = call_gateway(call);
    uint8_t *held = call->bytes;
    struct span message = {held, call->bytes_len};
    g->held_bytes -= call->bytes_len;
    call->bytes = NULL;
    call->bytes_len = 0;
    admit_decode(call, message);
    arena_reset(&g->scratch);
    free(held);
    if (call->errand && call->is_half_closed) {
        errand_send(call);
    }
}

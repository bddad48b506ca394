/* SPDX-License-Identifier: MIT */
/* Answers.  Every refusal of the gateway leaves through answer_finish(): one status, one text, one
 * packed google.rpc.Status with reason and retry time, so that no client has to guess.
 * Owns: nothing but the arena for one status.
 * Happy path: the packed public message goes to wire, which copies it; trailers follow.
 * Fails: an answer for which there is no room (the client does not read) is replaced by a refusal
 * that says so: the work may be done, and the same request_id brings the answer again.  Out of
 * memory ends the connection.
 * Invariant: a call is finished exactly once. */
#include "gateway/answer.h"

#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "gateway/call.h"
#include "gateway/conn.h"
#include "gateway/face.h"
#include "gateway/inside.h"
#include "gateway/tally.h"
#include "wire/wire.h"

#define ANSWER_TEXT_MAX 300 /* bytes of a refusal's text */

/* For people: the reason, and what would be right where we know. */
static void answer_text(const struct codec_refusal *refusal, char *ret_text)
{
    const char *detail = refusal->detail ? refusal->detail : "";
    const char *field = refusal->field && *detail ? refusal->field : "";
    snprintf(ret_text, ANSWER_TEXT_MAX, "%s%s%s%s%s", reason_text(refusal->reason),
             *detail ? ": " : "", field, *field ? " must be " : "", detail);
}

static int answer_finish(struct gateway *g, struct wire_call *wire,
                         const struct codec_refusal *refusal)
{
    char text[ANSWER_TEXT_MAX], rule[ANSWER_TEXT_MAX];
    struct codec_refusal said = *refusal;
    answer_text(refusal, text);
    said.detail = text;
    if (refusal->field && refusal->detail) {
        snprintf(rule, sizeof rule, "must be %s", refusal->detail);
        said.detail = rule; /* BadRequest names the field itself, and wants the rule alone */
    }
    struct span details = {0};
    arena_reset(&g->status);
    if (codec_status(&said, &g->status, &details) < 0) {
        details = (struct span){0}; /* the status alone still tells the class of the refusal */
    }
    return wire_call_finish(wire, reason_status(said.reason), span_of(text), details);
}

int answer_wire(struct gateway *g, struct wire_call *wire, enum reason reason, const char *detail)
{
    struct codec_refusal refusal = {.reason = reason, .detail = detail};
    tally_stranger(wire, reason);
    return answer_finish(g, wire, &refusal);
}

void answer_refuse(struct call *call, const struct codec_refusal *refusal)
{
    if (call->state == CALL_ANSWERED) {
        return;
    }
    CHECK(refusal->reason != REASON_OK);
    call_move(call, CALL_ANSWERED);
    tally_answer(call, refusal->reason);
    if (answer_finish(call_gateway(call), call->wire, refusal) < 0) {
        conn_fail(call->conn);
    }
    conn_dirty(call->conn);
}

void answer_reason(struct call *call, enum reason reason, const char *detail)
{
    struct codec_refusal refusal = {.reason = reason, .detail = detail};
    answer_refuse(call, &refusal);
}

/* 0, or WIRE_E_FULL, or < 0 */
static int answer_queue(struct call *call, struct span message)
{
    int r = face_answer(call, message, &message);
    if (r < 0) {
        return err_trace(r);
    }
    if (!conn_output_add(call->conn, message.len)) {
        return WIRE_E_FULL;
    }
    call->answer_bytes += (uint32_t)message.len;
    return wire_call_send(call->wire, message);
}

void answer_end(struct call *call)
{
    call_move(call, CALL_ANSWERED);
    tally_answer(call, REASON_OK);
    if (wire_call_finish(call->wire, 0, (struct span){0}, (struct span){0}) < 0) {
        conn_fail(call->conn);
    }
    conn_dirty(call->conn);
}

void answer_message(struct call *call, struct span message)
{
    if (call->state == CALL_ANSWERED) {
        return;
    }
    int verdict = answer_queue(call, message);
    if (verdict == 0) {
        answer_end(call);
    } else if (verdict > 0) {
        answer_reason(call, REASON_RATE_LIMITED, "read the answers of this connection first");
    } else {
        conn_fail(call->conn);
    }
}

void answer_part(struct call *call, struct span message)
{
    if (call->state == CALL_ANSWERED) {
        return;
    }
    /* Parts are counted by wire's own limit on the call; the connection's counter follows what
     * is queued now, so that a long stream does not add up. */
    size_t queued = wire_call_queued_bytes(call->wire);
    if (call->answer_bytes > queued) {
        conn_output_sub(call->conn, call->answer_bytes - queued);
        call->answer_bytes = (uint32_t)queued;
    }
    int verdict = answer_queue(call, message);
    if (verdict > 0) {
        answer_reason(call, REASON_RATE_LIMITED, "read the answers of this call first");
    } else if (verdict < 0) {
        conn_fail(call->conn);
    }
    conn_dirty(call->conn);
}

void answer_shard(struct call *call, const struct answer *answer)
{
    if (answer->reason == REASON_OK) {
        answer_message(call, answer->message);
        return;
    }
    char field[64];
    size_t n = answer->field.len < sizeof field - 1 ? answer->field.len : sizeof field - 1;
    if (n) {
        memcpy(field, answer->field.ptr, n);
    }
    field[n] = '\0';
    struct codec_refusal refusal = {
        .reason = answer->reason,
        .retry_ms = answer->retry_ms,
        .field = n ? field : NULL,
        .detail = n && answer->reason == REASON_FIELD_INVALID ? codec_field_rule(field) : NULL,
        .meta = answer->meta,
        .meta_count = answer->meta_count,
    };
    answer_refuse(call, &refusal);
}

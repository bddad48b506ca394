/* SPDX-License-Identifier: MIT */
/* A refusal, told to a person.
 *   status, text, packed google.rpc.Status -> struct refusal -> stderr and an exit code
 * Owns nothing: everything is copied into the caller's struct, cut where it is too long.
 * Hostile details (a server that is not ours) are bytes like any other: what does not unpack is
 * left out, and control characters are not sent to the terminal. */
#include "ctl/refusal.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "ctl/talk.h"
#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"

static const struct {
    const char *reason;
    const char *next;
} refusal_steps[] = {
    {"TOKEN_MISSING", "pass --token-file FILE (or set FAIRSLOT_TOKEN_FILE); the operator's is "
                      "DIR/operator.token"},
    {"TOKEN_EXPIRED", "get a new one: fairslot token --data DIR --subject NAME"},
    {"TOKEN_INVALID", "use a token of this server's issuer: fairslot token --data DIR "
                      "--subject NAME"},
    {"ISSUER_UNKNOWN", "use a token of this server's issuer"},
    {"ROLE_MISSING", "use the operator's token: --token-file DIR/operator.token"},
    {"ASSURANCE_TOO_LOW", "sign in with a stronger proof: fairslot token ... --assurance high"},
    {"NOT_YOUR_RESERVATION", "use the token of the person who made it"},
    {"IDENTITY_QUOTA", "cancel or drop one first: fairslot reservation list"},
    {"POOL_UNKNOWN", "see the pools there are: fairslot pool list"},
    {"POOL_EXISTS", "see what it looks like: fairslot pool show ID"},
    {"SLOT_UNKNOWN", "see the slots there are: fairslot slot list --pool ID"},
    {"SLOT_TAKEN", "choose a free one: fairslot slot list --pool ID --free"},
    {"SLOT_EXISTS", "see what is there: fairslot slot list --pool ID; nothing of this batch was "
                    "created"},
    {"SLOT_PAST", "choose a later one: fairslot slot list --pool ID --free"},
    {"HOLD_EXPIRED", "take the slot again if it is free: fairslot hold create SLOT"},
    {"HOLD_UNKNOWN", "take a slot first: fairslot hold create SLOT"},
    {"RESERVATION_UNKNOWN", "see your own: fairslot reservation list"},
    {"ETAG_MISMATCH", "read it again and send its new etag"},
    {"REQUEST_ID_REUSED", "leave --request-id out, a new one is made"},
    {"STORAGE_FULL", "free space on the shard's disk, then try again"},
    {"RELEASE_UNKNOWN", "see the releases there are: fairslot release list --pool ID"},
    {"RELEASE_EXISTS", "see what it looks like: fairslot release show NAME"},
    {"RELEASE_OVERLAPS", "choose other times, or end that one: fairslot release list --pool ID"},
    {"RELEASE_NOT_OPEN", "see when it opens: fairslot release show NAME"},
    {"RELEASE_SEALED", "see what came of your ticket: fairslot ticket show RELEASE"},
    {"RELEASE_ENDED", "see the releases there are: fairslot release list --pool ID"},
    {"RELEASE_STATE", "see its state: fairslot release show NAME"},
    {"RELEASE_EMPTY", "see what the pool has: fairslot slot list --pool ID; then fairslot slot "
                      "import"},
    {"RELEASES_FULL", "end one that is served: fairslot release close NAME"},
    {"NOT_SCARCE", "use --serving first-come, or a pool made with --scarce"},
    {"NOT_YOUR_TURN", "fairslot ticket create RELEASE; fairslot ticket watch RELEASE until it says "
                      "TURN; then add --ticket RELEASE"},
    {"TICKET_UNKNOWN", "file one: fairslot ticket create RELEASE"},
    {"TICKET_ENDED", "see what came of it: fairslot ticket show RELEASE"},
    {"PART_INVALID", "sign this release's manifest, root and count: fairslot cosign"},
    {"PART_TOO_LATE", "nothing: the release goes on without it, and says so"},
    {"SLOT_OFFERED", "end the release that offers it: fairslot release close NAME"},
    {"NO_LEADER", "see who is there: fairslot cluster problems; where that is not answered "
                  "either, start a shard, or look at the gateway's log and its --shard addresses"},
    {"CLUSTER_UNKNOWN", "see which one it is: fairslot cluster status"},
    {"SHARD_UNKNOWN", "this version has one: fairslot shard leader 1 --to NODE"},
    {"NODE_UNKNOWN", "see the nodes there are: fairslot node list"},
    {"NODE_EXISTS", "see the nodes there are: fairslot node list; take a new number and address"},
    {"NODE_REMOVED", "take a new number, and an empty directory for it: fairslot node add NUMBER "
                     "--peer URL"},
    {"RULES_UNSETTLED", "ask again; where it stays so a node is away, and its program not known: "
                        "fairslot node list"},
    {"NODE_LEADS", "hand over first: fairslot node drain NODE --watch"},
    {"NODE_NOT_READY", "see why: fairslot node list, fairslot cluster problems"},
    {"VOTER_NEEDED", "add one: start it with --join, then fairslot node add NODE --peer URL"},
    {"CHANGE_RUNNING", "see how far it is: fairslot cluster status --watch"},
    {"CHANGE_REFUSED", "start a cluster: fairslot cluster init --help"},
    {"FIELD_INVALID", "see what may stand there: the same words with --help"},
    {"METHOD_PLANNED", "use a newer server; of replicas all must be up and run it: fairslot node "
                       "list"},
    {"METHOD_UNKNOWN", "see what there is: fairslot call --list"},
    {"SERVICE_UNKNOWN", "see what there is: fairslot call --list"},
    {"LISTENER_WRONG", "call the other listener, by --target: operators' services have their own "
                       "where admin.listen is set"},
    {"HOLD_ENDED", "see what came of it: fairslot hold show NAME"},
    {"RESERVATION_ENDED", "see what came of it: fairslot reservation show NAME"},
    {"TOO_MANY_SLOTS", "take fewer: the pool's limit is in fairslot pool show ID"},
    {"CHANGES_USED_UP", "keep it, or give it up: fairslot reservation cancel NAME"},
    {"COOL_DOWN", "come back when the time has passed"},
    {"RECONFIRM_EARLY", "come back when the time has passed"},
    {"RATE_LIMITED", "ask more slowly"},
    {"QUEUE_FULL", "wait for the answers of the calls under way"},
    {"READ_BUDGET", "ask once a second, or watch: fairslot slot watch --pool ID"},
    {"WATCH_TOO_LARGE", "list them: fairslot slot list --pool ID"},
    {"RESTOCKS_FULL", "wait until another pool's restock has ended"},
    {"ERASURES_FULL", "wait until another erasure has ended"},
    {"EVENTS_GONE", "leave --page-token out, and look at the tickets"},
    {"PAGE_TOKEN_INVALID", "leave --page-token out: begin at the first page"},
    {"MESSAGE_TOO_LARGE", "send less at once"},
    {"HEADERS_TOO_LARGE", "send fewer and shorter headers"},
    {"MESSAGE_MALFORMED", "see the method's fields: fairslot call --describe METHOD"},
    {"COMPRESSION_UNSUPPORTED", "send it uncompressed"},
    {"HTTP_MALFORMED", "see docs/faces.md"},
    {"HTTP_METHOD_WRONG", "send a POST"},
    {"CONTENT_TYPE_UNSUPPORTED", "see docs/faces.md"},
    {"ORIGIN_NOT_ALLOWED", "its operator adds the page to cors.origins"},
    {"CANCELLED", "send the same request id again: it may have been done"},
    {"DEADLINE_EXCEEDED", "send the same request id again: it may have been done"},
    {"INTERNAL", "look into the server's log"},
};

static bool refusal_is(const Google__Protobuf__Any *any, const char *type)
{
    const char *slash = any->type_url ? strrchr(any->type_url, '/') : NULL;
    return slash && strcmp(slash + 1, type) == 0;
}

/* Copies at most `max` - 1 bytes, without control characters. */
static void refusal_copy(char *out, size_t max, struct span text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len && n + 1 < max; i++) {
        out[n++] = text.ptr[i] < 0x20 || text.ptr[i] == 0x7f ? ' ' : (char)text.ptr[i];
    }
    out[n] = '\0';
}

static void refusal_line(struct refusal *r, const char *name, const char *what)
{
    if (r->lines_count < REFUSAL_LINES_MAX) {
        char line[256];
        int n = snprintf(line, sizeof(line), "%s: %s", name, what);
        size_t len = n < 0 ? 0 : (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1;
        refusal_copy(r->lines[r->lines_count++], 256, (struct span){(uint8_t *)line, len});
    }
}

static void refusal_info(struct refusal *r, const ProtobufCBinaryData *value)
{
    Google__Rpc__ErrorInfo *info = google__rpc__error_info__unpack(NULL, value->len, value->data);
    if (!info) {
        return;
    }
    refusal_copy(r->reason, sizeof(r->reason),
                 (struct span){(uint8_t *)info->reason, strlen(info->reason)});
    for (size_t i = 0; i < info->n_metadata; i++) {
        refusal_line(r, info->metadata[i]->key, info->metadata[i]->value);
    }
    google__rpc__error_info__free_unpacked(info, NULL);
}

static void refusal_retry(struct refusal *r, const ProtobufCBinaryData *value)
{
    Google__Rpc__RetryInfo *info = google__rpc__retry_info__unpack(NULL, value->len, value->data);
    if (info && info->retry_delay && info->retry_delay->seconds >= 0 &&
        info->retry_delay->seconds < 86400) {
        r->retry_ms = info->retry_delay->seconds * 1000 + info->retry_delay->nanos / 1000000;
    }
    if (info) {
        google__rpc__retry_info__free_unpacked(info, NULL);
    }
}

static void refusal_fields(struct refusal *r, const ProtobufCBinaryData *value)
{
    Google__Rpc__BadRequest *bad = google__rpc__bad_request__unpack(NULL, value->len, value->data);
    if (!bad) {
        return;
    }
    for (size_t i = 0; i < bad->n_field_violations; i++) {
        refusal_line(r, bad->field_violations[i]->field, bad->field_violations[i]->description);
    }
    google__rpc__bad_request__free_unpacked(bad, NULL);
}

void refusal_read(struct refusal *r, int status, struct span text, struct span details)
{
    CHECK(status >= 0);
    *r = (struct refusal){.status = status};
    refusal_copy(r->text, sizeof(r->text), text);
    if (details.len == 0) {
        return;
    }
    Google__Rpc__Status *s = google__rpc__status__unpack(NULL, details.len, details.ptr);
    if (!s) {
        return;
    }
    for (size_t i = 0; i < s->n_details; i++) {
        const Google__Protobuf__Any *any = s->details[i];
        if (refusal_is(any, "google.rpc.ErrorInfo")) {
            refusal_info(r, &any->value);
        } else if (refusal_is(any, "google.rpc.RetryInfo")) {
            refusal_retry(r, &any->value);
        } else if (refusal_is(any, "google.rpc.BadRequest")) {
            refusal_fields(r, &any->value);
        }
    }
    google__rpc__status__free_unpacked(s, NULL);
}

enum verb_exit refusal_exit(int status)
{
    switch (status) {
    case 0:
        return VERB_OK;
    case 5: /* NOT_FOUND */
    case 6: /* ALREADY_EXISTS */
    case 9: /* FAILED_PRECONDITION */
    case 10: /* ABORTED */
        return VERB_PRECONDITION;
    case 4: /* DEADLINE_EXCEEDED */
    case 14: /* UNAVAILABLE */
        return VERB_UNREACHABLE;
    case 7: /* PERMISSION_DENIED */
    case 16: /* UNAUTHENTICATED */
        return VERB_DENIED;
    default:
        return VERB_FAILED;
    }
}

const char *refusal_next(const struct refusal *r)
{
    for (size_t i = 0; i < ARRAY_COUNT(refusal_steps); i++) {
        if (strcmp(refusal_steps[i].reason, r->reason) == 0) {
            return refusal_steps[i].next;
        }
    }
    if (r->status == 14 && !r->reason[0]) {
        return "is it running there? start one: fairslot serve --dev --data DIR, or set --target";
    }
    return refusal_exit(r->status) == VERB_UNREACHABLE ? "try again in a moment" : NULL;
}

enum verb_exit refusal_tell(const struct refusal *r)
{
    if (r->reason[0]) {
        talk_error("%s (%s)", r->text, r->reason);
    } else {
        talk_error("%s", r->text[0] ? r->text : "the server gave no reason");
    }
    for (size_t i = 0; i < r->lines_count; i++) {
        talk_say("  %s", r->lines[i]);
    }
    const char *next = refusal_next(r);
    if (r->retry_ms > 0) {
        talk_say("  come back in: %" PRId64 " s", (r->retry_ms + 999) / 1000);
    }
    if (next) {
        talk_next("%s", next);
    }
    return refusal_exit(r->status);
}

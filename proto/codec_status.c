/* SPDX-License-Identifier: MIT */
/* A refusal -> google.rpc.Status for grpc-status-details-bin (AIP-193): always an ErrorInfo that a
 * program can act on; RetryInfo where waiting helps; BadRequest where a field is meant;
 * QuotaFailure for the identity's own limit; PreconditionFailure for FAILED_PRECONDITION,
 * ResourceInfo for a thing that is unknown or there already.
 * Owns nothing; -ENOMEM over the arena's cap.
 * The text goes to people: what is wrong, and what would be right. */
#include <errno.h>

#include "base/check.h"
#include "base/err.h"
#include "google/protobuf/any.pb-c.h"
#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "proto/codec_parts.h"

#define DETAILS_MAX 4

/* A status being put together. */
struct codec_status_parts {
    struct arena *arena;
    Google__Protobuf__Any details[DETAILS_MAX];
    Google__Protobuf__Any *pointers[DETAILS_MAX];
    size_t count;
};

static int codec_status_add(struct codec_status_parts *p, const char *type_url,
                            const ProtobufCMessage *detail)
{
    CHECK(p->count < DETAILS_MAX);
    struct span packed;
    int r = codec_pack(detail, p->arena, &packed);
    if (r) {
        return err_trace(r);
    }
    Google__Protobuf__Any *any = &p->details[p->count];
    google__protobuf__any__init(any);
    any->type_url = (char *)type_url;
    any->value = (ProtobufCBinaryData){packed.len, (uint8_t *)packed.ptr};
    p->pointers[p->count++] = any;
    return 0;
}

static int codec_status_error_info(struct codec_status_parts *p,
                                   const struct codec_refusal *refusal)
{
    CHECK(refusal->meta_count <= VERDICT_META_MAX);
    Google__Rpc__ErrorInfo__MetadataEntry entries[VERDICT_META_MAX];
    Google__Rpc__ErrorInfo__MetadataEntry *pointers[VERDICT_META_MAX];
    for (size_t i = 0; i < refusal->meta_count; i++) {
        google__rpc__error_info__metadata_entry__init(&entries[i]);
        entries[i].key = (char *)refusal->meta[i].key;
        entries[i].value = codec_text(p->arena, refusal->meta[i].value);
        pointers[i] = &entries[i];
        if (entries[i].value == NULL) {
            return err_origin(-ENOMEM);
        }
    }
    Google__Rpc__ErrorInfo m = GOOGLE__RPC__ERROR_INFO__INIT;
    m.reason = (char *)reason_name(refusal->reason);
    m.domain = (char *)"fairslot";
    m.n_metadata = refusal->meta_count;
    m.metadata = pointers;
    return err_trace(codec_status_add(p, "type.googleapis.com/google.rpc.ErrorInfo", &m.base));
}

static int codec_status_retry(struct codec_status_parts *p, unsigned retry_ms)
{
    Google__Protobuf__Duration delay = GOOGLE__PROTOBUF__DURATION__INIT;
    Google__Rpc__RetryInfo m = GOOGLE__RPC__RETRY_INFO__INIT;
    delay.seconds = retry_ms / 1000;
    delay.nanos = (int32_t)(retry_ms % 1000) * 1000000;
    m.retry_delay = &delay;
    return err_trace(codec_status_add(p, "type.googleapis.com/google.rpc.RetryInfo", &m.base));
}

static int codec_status_field(struct codec_status_parts *p, const char *field, const char *detail)
{
    Google__Rpc__BadRequest__FieldViolation violation =
        GOOGLE__RPC__BAD_REQUEST__FIELD_VIOLATION__INIT;
    Google__Rpc__BadRequest__FieldViolation *violations[1] = {&violation};
    Google__Rpc__BadRequest m = GOOGLE__RPC__BAD_REQUEST__INIT;
    violation.field = (char *)field;
    violation.description = (char *)detail;
    m.n_field_violations = 1;
    m.field_violations = violations;
    return err_trace(codec_status_add(p, "type.googleapis.com/google.rpc.BadRequest", &m.base));
}

static int codec_status_quota(struct codec_status_parts *p, const char *detail)
{
    Google__Rpc__QuotaFailure__Violation violation = GOOGLE__RPC__QUOTA_FAILURE__VIOLATION__INIT;
    Google__Rpc__QuotaFailure__Violation *violations[1] = {&violation};
    Google__Rpc__QuotaFailure m = GOOGLE__RPC__QUOTA_FAILURE__INIT;
    violation.subject = (char *)"identity";
    violation.description = (char *)detail;
    m.n_violations = 1;
    m.violations = violations;
    return err_trace(codec_status_add(p, "type.googleapis.com/google.rpc.QuotaFailure", &m.base));
}

static int codec_status_precondition(struct codec_status_parts *p, enum reason reason,
                                     const char *detail)
{
    Google__Rpc__PreconditionFailure__Violation violation =
        GOOGLE__RPC__PRECONDITION_FAILURE__VIOLATION__INIT;
    Google__Rpc__PreconditionFailure__Violation *violations[1] = {&violation};
    Google__Rpc__PreconditionFailure m = GOOGLE__RPC__PRECONDITION_FAILURE__INIT;
    violation.type = (char *)reason_name(reason);
    violation.description = (char *)detail;
    m.n_violations = 1;
    m.violations = violations;
    return err_trace(
        codec_status_add(p, "type.googleapis.com/google.rpc.PreconditionFailure", &m.base));
}

/* NULL: the reason means no single thing. */
static const char *codec_status_resource(enum reason reason)
{
    switch (reason) {
    case REASON_POOL_UNKNOWN:
    case REASON_POOL_EXISTS:
        return "fairslot.v1.Pool";
    case REASON_SLOT_UNKNOWN:
    case REASON_SLOT_EXISTS:
        return "fairslot.v1.Slot";
    case REASON_HOLD_UNKNOWN:
        return "fairslot.v1.Hold";
    case REASON_RESERVATION_UNKNOWN:
        return "fairslot.v1.Reservation";
    case REASON_RELEASE_UNKNOWN:
    case REASON_RELEASE_EXISTS:
        return "fairslot.v1.Release";
    case REASON_TICKET_UNKNOWN:
        return "fairslot.v1.Ticket";
    case REASON_CLUSTER_UNKNOWN:
        return "fairslot.admin.v1.Cluster";
    case REASON_SHARD_UNKNOWN:
        return "fairslot.admin.v1.Shard";
    case REASON_NODE_UNKNOWN:
    case REASON_NODE_EXISTS:
        return "fairslot.admin.v1.Node";
    default:
        return NULL;
    }
}

/* Named where the verdict names it; else it is what the caller asked for. */
static int codec_status_resource_info(struct codec_status_parts *p, const char *type,
                                      const struct codec_refusal *refusal, const char *detail)
{
    Google__Rpc__ResourceInfo m = GOOGLE__RPC__RESOURCE_INFO__INIT;
    m.resource_type = (char *)type;
    m.description = (char *)detail;
    for (size_t i = 0; i < refusal->meta_count; i++) {
        if (strcmp(refusal->meta[i].key, "slot") == 0) {
            m.resource_name = codec_text(p->arena, refusal->meta[i].value);
        }
    }
    if (m.resource_name == NULL) {
        return err_origin(-ENOMEM);
    }
    return err_trace(codec_status_add(p, "type.googleapis.com/google.rpc.ResourceInfo", &m.base));
}

/* "field: detail", or the detail alone. */
static char *codec_status_text(struct arena *arena, const char *field, const char *detail)
{
    size_t field_len = field ? strlen(field) : 0, detail_len = strlen(detail);
    char *out = arena_alloc(arena, field_len + 2 + detail_len + 1);
    if (out == NULL) {
        return NULL;
    }
    char *at = out;
    if (field_len > 0) {
        memcpy(at, field, field_len);
        memcpy(at + field_len, ": ", 2);
        at += field_len + 2;
    }
    memcpy(at, detail, detail_len + 1);
    return out;
}

const char *codec_field_rule(const char *field)
{
    static const struct {
        const char *field, *rule;
    } rules[] = {
        {"release.entry_close_time", "in the future"},
        {"release.trustee_keys", "RSA keys of 2,048 to 4,096 bits with exponent 65537, as DER"},
        {"pool.return_policy", "another one: as many pools as allowed have a coin"},
        {"pool.reconfirm_by", "less than reconfirm_open"},
        {"pool.return_release", "set with RETURN_POLICY_NAMED"},
        {"identity", "32 hex digits (0-9, a-f)"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rules); i++) {
        if (strcmp(field, rules[i].field) == 0) {
            return rules[i].rule;
        }
    }
    return NULL;
}

int codec_status(const struct codec_refusal *refusal, struct arena *arena, struct span *ret_status)
{
    const char *detail = refusal->detail ? refusal->detail : reason_text(refusal->reason);
    unsigned retry_ms = refusal->retry_ms ? refusal->retry_ms : reason_retry_ms(refusal->reason);
    struct codec_status_parts p;
    p.arena = arena;
    p.count = 0;
    int r = codec_status_error_info(&p, refusal);
    if (r == 0 && retry_ms > 0) {
        r = codec_status_retry(&p, retry_ms);
    }
    if (r == 0 && refusal->field) {
        r = codec_status_field(&p, refusal->field, detail);
    }
    if (r == 0 && refusal->reason == REASON_IDENTITY_QUOTA) {
        r = codec_status_quota(&p, detail);
    }
    if (r == 0 && reason_status(refusal->reason) == 9) { /* FAILED_PRECONDITION */
        r = codec_status_precondition(&p, refusal->reason, detail);
    }
    const char *resource = codec_status_resource(refusal->reason);
    if (r == 0 && resource) {
        r = codec_status_resource_info(&p, resource, refusal, detail);
    }
    if (r) {
        return err_trace(r);
    }
    Google__Rpc__Status m = GOOGLE__RPC__STATUS__INIT;
    m.code = reason_status(refusal->reason);
    m.message = codec_status_text(arena, refusal->field, detail);
    m.n_details = p.count;
    m.details = p.pointers;
    return m.message ? err_trace(codec_pack(&m.base, arena, ret_status)) : err_origin(-ENOMEM);
}

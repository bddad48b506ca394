/* SPDX-License-Identifier: MIT */
/* Refusals as words and exit codes, also from servers that mean no good. */
#include "ctl/refusal.h"
#include "google/rpc/error_details.pb-c.h"
#include "google/rpc/status.pb-c.h"
#include "proto/reason.h"
#include "tests/lib/tap.h"

static uint8_t packed[4096], parts[3][1024];

static struct span text_of(const char *text)
{
    return (struct span){(const uint8_t *)text, strlen(text)};
}

/* A Status with ErrorInfo, RetryInfo and BadRequest, as our server sends it. */
static struct span details(const char *reason, const char *value, int32_t retry_nanos)
{
    static const char *const types[] = {"type.googleapis.com/google.rpc.ErrorInfo",
                                        "type.googleapis.com/google.rpc.RetryInfo",
                                        "type.googleapis.com/google.rpc.BadRequest"};
    Google__Rpc__ErrorInfo__MetadataEntry entry = GOOGLE__RPC__ERROR_INFO__METADATA_ENTRY__INIT;
    Google__Rpc__ErrorInfo__MetadataEntry *entries[] = {&entry};
    Google__Rpc__ErrorInfo info = GOOGLE__RPC__ERROR_INFO__INIT;
    Google__Protobuf__Duration delay = GOOGLE__PROTOBUF__DURATION__INIT;
    Google__Rpc__RetryInfo retry = GOOGLE__RPC__RETRY_INFO__INIT;
    Google__Rpc__BadRequest__FieldViolation field = GOOGLE__RPC__BAD_REQUEST__FIELD_VIOLATION__INIT;
    Google__Rpc__BadRequest__FieldViolation *fields[] = {&field};
    Google__Rpc__BadRequest bad = GOOGLE__RPC__BAD_REQUEST__INIT;
    Google__Protobuf__Any any[3], *all[3];
    Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
    entry.key = (char *)"max_live";
    entry.value = (char *)value;
    info.reason = (char *)reason;
    info.n_metadata = 1;
    info.metadata = entries;
    delay.seconds = 1;
    delay.nanos = retry_nanos;
    retry.retry_delay = &delay;
    field.field = (char *)"pool.hold_ttl";
    field.description = (char *)"1 s to 24 h";
    bad.n_field_violations = 1;
    bad.field_violations = fields;
    const ProtobufCMessage *messages[] = {&info.base, &retry.base, &bad.base};
    for (int i = 0; i < 3; i++) {
        google__protobuf__any__init(&any[i]);
        any[i].type_url = (char *)types[i];
        any[i].value.data = parts[i];
        any[i].value.len = protobuf_c_message_pack(messages[i], parts[i]);
        all[i] = &any[i];
    }
    status.n_details = 3;
    status.details = all;
    return (struct span){packed, protobuf_c_message_pack(&status.base, packed)};
}

static void test_read(void)
{
    struct refusal r;
    refusal_read(&r, 8, text_of("no more"), details("IDENTITY_QUOTA", "1", 500000000));
    EQ(r.status, 8);
    EQS(r.text, "no more");
    EQS(r.reason, "IDENTITY_QUOTA");
    EQ(r.retry_ms, 1500);
    EQ(r.lines_count, 2);
    EQS(r.lines[0], "max_live: 1");
    EQS(r.lines[1], "pool.hold_ttl: 1 s to 24 h");
    OK(strstr(refusal_next(&r), "reservation list") != NULL);
    EQ(refusal_tell(&r), VERB_FAILED);
}

static void test_bare(void)
{
    struct refusal r;
    refusal_read(&r, 14, text_of("gone"), (struct span){0});
    EQS(r.reason, "");
    EQ(r.retry_ms, 0);
    OK(strstr(refusal_next(&r), "serve") != NULL);
    EQ(refusal_tell(&r), VERB_UNREACHABLE);
    refusal_read(&r, 2, (struct span){0}, (struct span){0});
    OK(refusal_next(&r) == NULL);
    EQ(refusal_tell(&r), VERB_FAILED);
}

static void test_hostile(void)
{
    struct refusal r;
    char long_text[2000];
    memset(long_text, 'x', sizeof(long_text));
    long_text[3] = '\033';
    refusal_read(&r, 3, (struct span){(uint8_t *)long_text, sizeof(long_text)},
                 details("R\033[31m", "a\r\nb", 0));
    EQ(strlen(r.text), sizeof(r.text) - 1);
    OK(!strchr(r.text, '\033') && !strchr(r.reason, '\033'));
    EQS(r.lines[0], "max_live: a  b");
    /* Details cut off or changed anywhere: never more than left out. */
    struct span whole = details("SLOT_TAKEN", "1", 0);
    uint8_t copy[sizeof(packed)];
    for (size_t n = 0; n < whole.len; n++) {
        refusal_read(&r, 10, text_of("x"), (struct span){whole.ptr, n});
        EQ(refusal_exit(r.status), VERB_PRECONDITION);
        memcpy(copy, whole.ptr, whole.len);
        copy[n] ^= 0xff;
        refusal_read(&r, 10, text_of("x"), (struct span){copy, whole.len});
        OK(r.retry_ms >= 0);
    }
}

/* Whatever the server may answer, the person is told what to do. */
static void test_every_reason_has_a_next_step(void)
{
    for (int reason = REASON_OK + 1; reason < REASON_COUNT; reason++) {
        struct refusal r;
        refusal_read(&r, reason_status((enum reason)reason), text_of("x"),
                     details(reason_name((enum reason)reason), "1", 0));
        if (refusal_next(&r) == NULL) {
            printf("# %s has no next step\n", r.reason);
        }
        OK(refusal_next(&r) != NULL);
    }
}

static void test_exit_codes(void)
{
    static const int expected[] = {0, 1, 1, 1, 4, 3, 3, 5, 1, 3, 3, 1, 1, 1, 4, 1, 5};
    for (int status = 0; status < 17; status++) {
        EQ(refusal_exit(status), expected[status]);
    }
}

int main(void)
{
    TAP_RUN(test_read);
    TAP_RUN(test_bare);
    TAP_RUN(test_hostile);
    TAP_RUN(test_every_reason_has_a_next_step);
    TAP_RUN(test_exit_codes);
    return tap_done();
}

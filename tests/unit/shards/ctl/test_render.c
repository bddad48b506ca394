/* SPDX-License-Identifier: MIT */
/* Messages as JSON in the shape of proto3 JSON. */
#include "ctl/render.h"
#include "fairslot/v1/services.pb-c.h"
#include "tests/lib/tap.h"

static const char *dumped(const ProtobufCMessage *message)
{
    static char text[2048];
    json_t *value = render_json(message);
    size_t n = json_dumpb(value, text, sizeof(text) - 1, JSON_COMPACT);
    text[n < sizeof(text) ? n : 0] = '\0';
    json_decref(value);
    return text;
}

static void test_slot(void)
{
    Google__Protobuf__Timestamp start = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    Google__Protobuf__Duration length = GOOGLE__PROTOBUF__DURATION__INIT;
    Fairslot__V1__Slot slot = FAIRSLOT__V1__SLOT__INIT;
    EQS(dumped(&slot.base),
        "{\"name\":\"\",\"state\":\"STATE_UNSPECIFIED\",\"desk\":\"\",\"version\":\"0\"}");
    start.seconds = 1796112000;
    start.nanos = 250000000;
    length.seconds = 900;
    slot.name = (char *)"pools/p/slots/s";
    slot.state = FAIRSLOT__V1__SLOT__STATE__STATE_FREE;
    slot.start_time = &start;
    slot.duration = &length;
    slot.desk = (char *)"Schalter \"Ä\"";
    slot.version = UINT64_MAX;
    EQS(dumped(&slot.base),
        "{\"name\":\"pools/p/slots/s\",\"state\":\"STATE_FREE\","
        "\"startTime\":\"2026-12-01T08:00:00.250Z\",\"duration\":\"900s\","
        "\"desk\":\"Schalter \\\"Ä\\\"\",\"version\":\"18446744073709551615\"}");
    slot.state = (Fairslot__V1__Slot__State)77; /* of a newer server */
    OK(strstr(dumped(&slot.base), "\"state\":77") != NULL);
    start.nanos = -5; /* no such time; a reader must not fall over it */
    OK(strstr(dumped(&slot.base), "\"startTime\":\"2026-12-01T08:00:00Z\"") != NULL);
}

static void test_nested(void)
{
    Fairslot__V1__Slot slot = FAIRSLOT__V1__SLOT__INIT;
    Fairslot__V1__Slot *slots[] = {&slot, &slot};
    Fairslot__V1__Hold hold = FAIRSLOT__V1__HOLD__INIT;
    hold.n_slots = 2;
    hold.slots = slots;
    OK(strstr(dumped(&hold.base), "\"slots\":[{\"name\"") != NULL);
    OK(strstr(dumped(&hold.base), "\"expireTime\"") == NULL); /* unset: left out */
}

static void test_oneof_and_bytes(void)
{
    Fairslot__V1__CreateHoldRequest request = FAIRSLOT__V1__CREATE_HOLD_REQUEST__INIT;
    OK(strstr(dumped(&request.base), "\"slot\"") == NULL);
    request.want_case = FAIRSLOT__V1__CREATE_HOLD_REQUEST__WANT_SLOT;
    request.slot = (char *)"pools/p/slots/s";
    OK(strstr(dumped(&request.base), "\"slot\":\"pools/p/slots/s\"") != NULL);
    OK(strstr(dumped(&request.base), "selector") == NULL);
    static const char *const wanted[] = {"\"\"", "\"AA==\"", "\"AP8=\"", "\"AP+q\""};
    uint8_t bytes[] = {0x00, 0xff, 0xaa};
    Fairslot__V1__TicketProof proof = FAIRSLOT__V1__TICKET_PROOF__INIT;
    for (size_t n = 0; n < 4; n++) {
        char member[32];
        proof.leaf.data = bytes;
        proof.leaf.len = n;
        snprintf(member, sizeof(member), "\"leaf\":%s,", wanted[n]);
        OK(strstr(dumped(&proof.base), member) != NULL);
    }
    ProtobufCBinaryData path[] = {{1, bytes}, {2, bytes}};
    proof.n_path = 2;
    proof.path = path;
    OK(strstr(dumped(&proof.base), "\"path\":[\"AA==\",\"AP8=\"]") != NULL);
    Fairslot__V1__ReleaseReport report = FAIRSLOT__V1__RELEASE_REPORT__INIT;
    int64_t wins[] = {1, -2};
    report.n_wins_by_arrival_decile = 2;
    report.wins_by_arrival_decile = wins;
    OK(strstr(dumped(&report.base), "\"winsByArrivalDecile\":[\"1\",\"-2\"]") != NULL);
}

int main(void)
{
    TAP_RUN(test_slot);
    TAP_RUN(test_nested);
    TAP_RUN(test_oneof_and_bytes);
    return tap_done();
}

/* SPDX-License-Identifier: MIT */
/* The JSON mapping of values: what is taken, what is refused and why, what is written.
 * Random messages against protobuf-es: tests/e2e/test_json.py. */
#include "base/base64.h"
#include "tests/unit/proto/json_kit.h"

static void test_names_both_ways(void)
{
    NORMAL(POOL, "{\"display_name\":\"a\",\"serviceClass\":\"b\"}",
           "{\"displayName\":\"a\",\"serviceClass\":\"b\"}");
    NORMAL(POOL, "{\"displayname\":1,\"DisplayName\":2,\"display-name\":3,\"displayName_\":4}",
           "{}");
    char out[32];
    EQ(codec_json_name("manifest_sha256", out), 14);
    EQS(out, "manifestSha256");
    codec_json_name("wait_p50", out);
    EQS(out, "waitP50");
}

static void test_defaults_are_left_out(void)
{
    SAME(POOL, "{}");
    NORMAL(POOL, "{\"name\":\"\",\"maxLivePerIdentity\":0,\"scarce\":false,\"minAssurance\":0}",
           "{}");
    NORMAL(POOL, "{\"name\":null,\"holdTtl\":null,\"scarce\":null}", "{}");
    SAME(POOL, "{\"holdTtl\":\"0s\"}");
}

static void test_order_is_the_numbers(void)
{
    NORMAL(POOL, "{\"scarce\":true,\"office\":\"o\",\"name\":\"n\"}",
           "{\"name\":\"n\",\"office\":\"o\",\"scarce\":true}");
}

static void test_enums(void)
{
    SAME(POOL, "{\"minAssurance\":\"ASSURANCE_HIGH\"}");
    NORMAL(POOL, "{\"minAssurance\":3}", "{\"minAssurance\":\"ASSURANCE_HIGH\"}");
    SAME(POOL, "{\"minAssurance\":77}");
    SAME(POOL, "{\"minAssurance\":-1}");
    NORMAL(POOL, "{\"minAssurance\":\"ASSURANCE_HIGHEST\"}",
           "minAssurance: no such name in this enum");
    NORMAL(POOL, "{\"minAssurance\":2147483648}",
           "minAssurance: the name of a value in a string is wanted, or its number");
}

static void test_integers(void)
{
    static const char *whole[] = {"1", "1.0", "1e0", "10e-1", "\"1\"", "\"1.0\"", "\"1e0\""};
    char json[64];
    for (size_t i = 0; i < ARRAY_COUNT(whole); i++) {
        snprintf(json, sizeof json, "{\"maxLivePerIdentity\":%s}", whole[i]);
        NORMAL(POOL, json, "{\"maxLivePerIdentity\":1}");
        snprintf(json, sizeof json, "{\"version\":%s}", whole[i]);
        NORMAL(SLOT, json, "{\"version\":\"1\"}");
    }
    SAME(POOL, "{\"maxLivePerIdentity\":-2147483648}");
    SAME(SLOT, "{\"version\":\"18446744073709551615\"}");
    NORMAL(SLOT, "{\"version\":9223372036854775807}", "{\"version\":\"9223372036854775807\"}");
    NORMAL(SLOT, "{\"version\":9007199254740992.0}", "{\"version\":\"9007199254740992\"}");
}

static void test_integers_refused(void)
{
    static const char *bad[] = {
        "1.5",    "\"1.5\"", "2147483648", "-2147483649", "\"2147483648\"", "1e10",
        "\" 1\"", "\"1 \"",  "\"+1\"",     "\"01\"",      "\"0x1\"",        "\"\"",
        "\"-\"",  "\"1e\"",  "\"1.\"",     "\".5\"",      "true",           "[]",
        "{}",     "\"NaN\"", "\"1e999\""};
    char json[64];
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        snprintf(json, sizeof json, "{\"maxLivePerIdentity\":%s}", bad[i]);
        NORMAL(POOL, json, "maxLivePerIdentity: an integer of 32 bits is wanted");
    }
    static const char *bad64[] = {
        "-1", "\"-1\"", "\"18446744073709551616\"", "1e18", "\"99999999999999999999999\"", "0.5"};
    for (size_t i = 0; i < ARRAY_COUNT(bad64); i++) {
        snprintf(json, sizeof json, "{\"version\":%s}", bad64[i]);
        NORMAL(SLOT, json, "version: an integer of 0 to 2^64 - 1 is wanted");
    }
}

static void test_no_json(void)
{
    static const char *bad[] = {
        "",
        " ",
        "{",
        "{}x",
        "{} {}",
        "[]",
        "1",
        "\"a\"",
        "null",
        "{\"name\":}",
        "{name:\"a\"}",
        "{'name':'a'}",
        "{\"name\":\"a\",}",
        "{\"name\":NaN}",
        "{\"name\":\"\\ud800\"}",
        "{\"name\":\"\\udc00\\ud800\"}",
        "{\"name\":\"\xff\"}",
        "{\"name\":\"\xed\xa0\x80\"}",
        "{\"name\":\"\xc0\x80\"}",
        "{\"name\":\"\\u0000\"}",
        "{\"name\":\"a\nb\"}",
        "{\"na\\u0000me\":1}",
        "{\"x\":1e999}",
        "{\"x\":99999999999999999999}",
        "{\"name\":\"a\",\"name\":\"b\"}",
        "{\"x\":1,\"x\":1}",
        "\xef\xbb\xbf{}",
        "{\"x\":+1}",
        "{\"x\":01}",
        "/**/{}",
        "{\"x\":\"\\x\"}",
    };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        ProtobufCMessage *message;
        EQ(read_as(POOL, bad[i], &message), REASON_MESSAGE_MALFORMED);
        OK(strlen(detail) > 3);
    }
    EQS(again(POOL, ""), "an empty body is no JSON: send {}");
    EQS(again(POOL, "[]"), "an object is wanted, such as {}");
    EQS(again(POOL, "{\"name\":\"a\",\n\"name\":\"b\"}"),
        "a member is given twice (line 2, column 6)");
    EQS(again(POOL, "{\"x\":99999999999999999999}"),
        "a number is too large: write it in quotes (line 1, column 25)");
}

static void test_nesting_is_bounded(void)
{
    static char json[200000];
    size_t deep = sizeof json / 2 - 16;
    memset(json, '[', deep);
    memset(json + deep, ']', deep);
    memmove(json + 5, json, 2 * deep);
    memcpy(json, "{\"x\":", 5);
    json[5 + 2 * deep] = '}';
    json[6 + 2 * deep] = 0;
    ProtobufCMessage *message;
    EQ(read_as(POOL, json, &message), REASON_MESSAGE_MALFORMED);
    OK(strncmp(detail, "nested too deeply", 17) == 0);
}

static void test_given_twice_under_both_names(void)
{
    NORMAL(POOL, "{\"display_name\":\"a\",\"displayName\":\"b\"}", "displayName: given twice");
    NORMAL(POOL, "{\"display_name\":null,\"displayName\":\"b\"}", "displayName: given twice");
}

static void test_unknown_members(void)
{
    NORMAL(POOL, "{\"nmae\":{\"a\":[1,2,{\"b\":null}]},\"name\":\"n\"}", "{\"name\":\"n\"}");
    struct span message;
    const char *path = "/fairslot.admin.v1.PoolAdminService/CreatePool";
    struct span json = span_of("{\"poolId\":\"a\",\"pool\":{\"ofice\":\"b\"}}");
    EQ(codec_json_request(span_of(path), json, &kit_arena, &message, &detail), 0);
    EQ(codec_json_request_strict(span_of(path), json, &kit_arena, &message, &detail),
       REASON_MESSAGE_MALFORMED);
    EQS(detail, "pool.ofice: this message has no such member");
    json = span_of("{\"a\\u001b[1m\":1}");
    EQ(codec_json_request_strict(span_of(path), json, &kit_arena, &message, &detail),
       REASON_MESSAGE_MALFORMED);
    EQS(detail, "this message has no such member");
}

static void test_oneofs(void)
{
    const ProtobufCMessageDescriptor *type = &fairslot__v1__preference__descriptor;
    SAME(type, "{\"slot\":\"s\"}");
    SAME(type, "{\"slot\":\"\"}");
    SAME(type, "{\"any\":false}");
    SAME(type, "{\"slotClass\":{}}");
    NORMAL(type, "{\"slot\":null,\"any\":true}", "{\"any\":true}");
    NORMAL(type, "{\"slot\":\"s\",\"any\":true}",
           "any: another member of the same choice is set already");
    NORMAL(type, "{\"slotClass\":{\"fromTime\":\"x\"}}",
           "slotClass.fromTime: a time is wanted, such as \"2026-12-01T09:00:00Z\"");
}

static void test_an_empty_choice_stays_one(void)
{
    ProtobufCMessage *message;
    struct span packed;
    EQ(read_as(&fairslot__v1__preference__descriptor, "{\"slot\":\"\"}", &message), 0);
    EQ(codec_pack(message, &kit_arena, &packed), 0);
    EQ(packed.len, 2);
}

static void test_lists(void)
{
    const ProtobufCMessageDescriptor *type =
        &fairslot__admin__v1__batch_create_slots_request__descriptor;
    SAME(type, "{\"slots\":[{},{\"desk\":\"1\"}]}");
    NORMAL(type, "{\"slots\":[]}", "{}");
    NORMAL(type, "{\"slots\":null}", "{}");
    NORMAL(type, "{\"slots\":{}}", "slots: a list is wanted");
    NORMAL(type, "{\"slots\":[{},null]}", "slots[1]: null has no place in a list");
    NORMAL(type, "{\"slots\":[{},{},{\"desk\":7}]}", "slots[2].desk: a string is wanted");
    const ProtobufCMessageDescriptor *bytes = &fairslot__v1__ticket_proof__descriptor;
    SAME(bytes, "{\"path\":[\"AQI=\",\"\",\"////\"]}");
    SAME(&fairslot__v1__release_report__descriptor,
         "{\"winsByArrivalDecile\":[\"1\",\"0\",\"-3\"]}");
}

static void test_base64(void)
{
    const ProtobufCMessageDescriptor *type = &fairslot__v1__ticket_proof__descriptor;
    NORMAL(type, "{\"leaf\":\"-_-_\"}", "{\"leaf\":\"+/+/\"}");
    NORMAL(type, "{\"leaf\":\"AQI\"}", "{\"leaf\":\"AQI=\"}");
    NORMAL(type, "{\"leaf\":\"AQ\"}", "{\"leaf\":\"AQ==\"}");
    static const char *bad[] = {"A",    "AQ=",  "A===",  "AQI==",  "AQ==AQ==", "A!==",
                                "AR==", "AQJ=", "AQ= =", "AQI\\n", "====",     "="};
    char json[64];
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        snprintf(json, sizeof json, "{\"leaf\":\"%s\"}", bad[i]);
        NORMAL(type, json, "leaf: base64 in a string is wanted");
    }
    NORMAL(type, "{\"leaf\":1}", "leaf: base64 in a string is wanted");
}

static void test_base64_round_trip(void)
{
    struct prng p;
    prng_init(&p, 7);
    for (size_t n = 0; n < 200; n++) {
        uint8_t bytes[200], back[203];
        char text[300];
        for (size_t i = 0; i < n; i++) {
            bytes[i] = (uint8_t)prng_below(&p, 256);
        }
        for (int padded = 0; padded < 2; padded++) {
            size_t len = base64_len(n, padded), got;
            base64_encode((struct span){bytes, n}, padded, (uint8_t *)text);
            OK(codec_json_base64_parse((struct span){(uint8_t *)text, len}, back, &got));
            EQ(got, n);
            EQ(memcmp(back, bytes, n), 0);
        }
    }
}

static const char *timed(const char *text)
{
    static char json[128];
    snprintf(json, sizeof json, "{\"startTime\":\"%s\"}", text);
    const char *out = again(SLOT, json);
    if (out[0] == '{') {
        snprintf(json, sizeof json, "%.*s", (int)strlen(out) - 16, out + 14);
        return json;
    }
    return "refused";
}

static void test_times(void)
{
    static const char *same[] = {"1970-01-01T00:00:00Z",           "2026-12-01T09:00:00Z",
                                 "2024-02-29T23:59:59.500Z",       "0001-01-01T00:00:00Z",
                                 "9999-12-31T23:59:59.999999999Z", "2000-03-01T00:00:00.000001Z",
                                 "1969-12-31T23:59:59.999Z",       "1900-02-28T12:00:00Z"};
    for (size_t i = 0; i < ARRAY_COUNT(same); i++) {
        EQS(timed(same[i]), same[i]);
    }
    EQS(timed("2026-12-01T09:00:00.5Z"), "2026-12-01T09:00:00.500Z");
    EQS(timed("2026-12-01T09:00:00.1234Z"), "2026-12-01T09:00:00.123400Z");
    EQS(timed("2026-12-01T09:00:00+01:00"), "2026-12-01T08:00:00Z");
    EQS(timed("2026-12-01T00:00:00+14:00"), "2026-11-30T10:00:00Z");
    EQS(timed("2026-12-31T23:00:00-05:30"), "2027-01-01T04:30:00Z");
    EQS(timed("0001-01-01T01:00:00+01:00"), "0001-01-01T00:00:00Z");
}

static void test_times_refused(void)
{
    static const char *bad[] = {"",
                                "2026-12-01",
                                "2026-12-01T09:00Z",
                                "2026-12-01T09:00:00",
                                "2026-12-01 09:00:00Z",
                                "2026-12-01t09:00:00z",
                                "2026-13-01T09:00:00Z",
                                "2026-00-01T09:00:00Z",
                                "2026-02-29T09:00:00Z",
                                "2026-02-00T09:00:00Z",
                                "2026-12-01T24:00:00Z",
                                "2026-12-01T09:60:00Z",
                                "2026-12-01T09:00:60Z",
                                "2026-12-01T09:00:00.Z",
                                "2026-12-01T09:00:00.1234567890Z",
                                "2026-12-01T09:00:00+1:00",
                                "2026-12-01T09:00:00+0100",
                                "2026-12-01T09:00:00+24:00",
                                "2026-12-01T09:00:00+01:60",
                                "2026-12-01T09:00:00ZZ",
                                "0000-12-31T23:59:59Z",
                                "0001-01-01T00:00:00+00:01",
                                "9999-12-31T23:59:59-00:01",
                                "10000-01-01T00:00:00Z",
                                "-001-01-01T00:00:00Z",
                                " 2026-12-01T09:00:00Z",
                                "2026-12-01T09:00:00Z ",
                                "26-12-01T09:00:00Z",
                                "2026-12-1T09:00:00Z"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        EQS(timed(bad[i]), "refused");
    }
    EQS(again(SLOT, "{\"startTime\":1}"),
        "startTime: a time is wanted, such as \"2026-12-01T09:00:00Z\"");
    EQS(again(SLOT, "{\"startTime\":{\"seconds\":1}}"),
        "startTime: a time is wanted, such as \"2026-12-01T09:00:00Z\"");
}

static void test_durations(void)
{
    static const char *same[] = {"0s",        "1.500s",        "-1.500s",
                                 "-0.500s",   "315576000000s", "-315576000000s",
                                 "0.000001s", "0.000000001s",  "3600s"};
    char json[64];
    for (size_t i = 0; i < ARRAY_COUNT(same); i++) {
        snprintf(json, sizeof json, "{\"holdTtl\":\"%s\"}", same[i]);
        SAME(POOL, json);
    }
    NORMAL(POOL, "{\"holdTtl\":\"1.5s\"}", "{\"holdTtl\":\"1.500s\"}");
    static const char *bad[] = {"",
                                "1",
                                "s",
                                "1.s",
                                ".5s",
                                "1m",
                                "1s ",
                                " 1s",
                                "+1s",
                                "--1s",
                                "1.5",
                                "1e3s",
                                "315576000001s",
                                "315576000000.1s",
                                "1.0000000001s",
                                "-s",
                                "99999999999999999999999s"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        snprintf(json, sizeof json, "{\"holdTtl\":\"%s\"}", bad[i]);
        NORMAL(POOL, json, "holdTtl: a duration is wanted, such as \"1.5s\"");
    }
    NORMAL(POOL, "{\"holdTtl\":1}", "holdTtl: a duration is wanted, such as \"1.5s\"");
}

static void test_reals(void)
{
    const ProtobufCMessageDescriptor *type = &fairslot__v1__release_report__descriptor;
    SAME(type, "{\"jainIndex\":0.1}");
    NORMAL(type, "{\"jainIndex\":-0.0}", "{\"jainIndex\":-0}");
    SAME(type, "{\"jainIndex\":\"NaN\"}");
    SAME(type, "{\"jainIndex\":\"-Infinity\"}");
    SAME(type, "{\"jainIndex\":1.7976931348623157e+308}");
    SAME(type, "{\"jainIndex\":4.94065645841247e-324}");
    SAME(type, "{\"jainIndex\":0.30000000000000004}");
    NORMAL(type, "{\"jainIndex\":\"1.5\"}", "{\"jainIndex\":1.5}");
    NORMAL(type, "{\"jainIndex\":7}", "{\"jainIndex\":7}");
    NORMAL(type, "{\"jainIndex\":\"nan\"}", "jainIndex: a number is wanted");
    NORMAL(type, "{\"jainIndex\":\"1e999\"}", "jainIndex: a number is wanted");
    NORMAL(type, "{\"jainIndex\":true}", "jainIndex: a number is wanted");
}

static void test_texts_are_escaped(void)
{
    SAME(POOL, "{\"name\":\"\\\"\\\\\\b\\t\\n\\f\\r\\u0001\\u001f/\x7f\xc3\xa4\xf0\x9f\x98\x80\"}");
    NORMAL(POOL, "{\"name\":\"\\ud83d\\ude00\\/\\u00e4\"}",
           "{\"name\":\"\xf0\x9f\x98\x80/\xc3\xa4\"}");
}

int main(void)
{
    arena_init(&kit_arena, 4 * 1024 * 1024);
    TAP_RUN(test_names_both_ways);
    TAP_RUN(test_defaults_are_left_out);
    TAP_RUN(test_order_is_the_numbers);
    TAP_RUN(test_enums);
    TAP_RUN(test_integers);
    TAP_RUN(test_integers_refused);
    TAP_RUN(test_no_json);
    TAP_RUN(test_nesting_is_bounded);
    TAP_RUN(test_given_twice_under_both_names);
    TAP_RUN(test_unknown_members);
    TAP_RUN(test_oneofs);
    TAP_RUN(test_an_empty_choice_stays_one);
    TAP_RUN(test_lists);
    TAP_RUN(test_base64);
    TAP_RUN(test_base64_round_trip);
    TAP_RUN(test_times);
    TAP_RUN(test_times_refused);
    TAP_RUN(test_durations);
    TAP_RUN(test_reals);
    TAP_RUN(test_texts_are_escaped);
    return kit_done();
}

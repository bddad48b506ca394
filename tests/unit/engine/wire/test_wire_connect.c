/* SPDX-License-Identifier: MIT */
/* Do Connect's own words come out as its specification has them? */
#include "base/bytes.h"
#include "tests/lib/tap.h"
#include "wire/connect.h"
#include "wire/value.h"

static uint8_t out[WIRE_CONNECT_ERROR_MAX];

static const char *error_of(int status, const char *text, struct span details)
{
    static char said[WIRE_CONNECT_ERROR_MAX + 1];
    size_t n = wire_connect_error(status, span_of(text), details, out);
    memcpy(said, out, n);
    said[n] = '\0';
    return said;
}

static void test_codes(void)
{
    static const struct {
        const char *code;
        int http;
    } codes[] = {{"unknown", 200}, {"canceled", 499}, {"unknown", 500}, {"invalid_argument", 400},
                 {"deadline_exceeded", 504}, {"not_found", 404}, {"already_exists", 409},
                 {"permission_denied", 403}, {"resource_exhausted", 429},
                 {"failed_precondition", 400}, {"aborted", 409}, {"out_of_range", 400},
                 {"unimplemented", 501}, {"internal", 500}, {"unavailable", 503},
                 {"data_loss", 500}, {"unauthenticated", 401}};
    for (int i = 0; i < 17; i++) {
        EQS(wire_connect_code(i), codes[i].code);
        EQ(wire_connect_http(i), codes[i].http);
    }
}

static void test_error_text(void)
{
    struct span none = {0};
    EQS(error_of(8, "", none), "{\"code\":\"resource_exhausted\"}");
    EQS(error_of(3, "a\"b\\c\td\x7f", none),
        "{\"code\":\"invalid_argument\",\"message\":\"a\\\"b\\\\c\\u0009d\x7f\"}");
    /* whole characters pass; halves, overlong forms and surrogates do not */
    EQS(error_of(3, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", none),
        "{\"code\":\"invalid_argument\",\"message\":\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"}");
    EQS(error_of(3, "\xc3|\xc0\xaf|\xe0\x80\xaf|\xed\xa0\x80|\xf4\x90\x80\x80|\xff|\xf0\x9f", none),
        "{\"code\":\"invalid_argument\",\"message\":\"?|""??|???|""???|????|?|??\"}");
}

static void test_error_details(void)
{
    /* google.rpc.Status{code 5, message "m", details [Any, Any]} */
    static const uint8_t status[] =
        "\x08\x05\x12\x01m"
        "\x1a\x1d\x0a\x18t.example/a/google.rpc.X\x12\x01\xff"
        "\x1a\x03\x0a\x01y";
    EQS(error_of(5, "m", (struct span){status, sizeof(status) - 1}),
        "{\"code\":\"not_found\",\"message\":\"m\",\"details\":["
        "{\"type\":\"google.rpc.X\",\"value\":\"/w\"},{\"type\":\"y\",\"value\":\"\"}]}");
    /* Cut anywhere: the details are whole or left out, never half. */
    for (size_t n = 0; n < sizeof(status) - 1; n++) {
        const char *said = error_of(5, "m", (struct span){status, n});
        OK(strncmp(said, "{\"code\":\"not_found\",\"message\":\"m\"", 32) == 0);
        OK(said[strlen(said) - 1] == '}');
        EQ(strstr(said, "[") != NULL, strstr(said, "]") != NULL);
    }
}

static void test_largest_error(void)
{
    static char text[2 * WIRE_TEXT_MAX + 1];
    static uint8_t status[WIRE_DETAILS_MAX];
    memset(text, 1, sizeof(text) - 1);
    for (size_t i = 0; i + 4 <= sizeof(status); i += 4) { /* as many details as there can be */
        memcpy(status + i, "\x1a\x02\x0a\x00", 4);
    }
    const char *said = error_of(5, text, (struct span){status, sizeof(status)});
    OK(strlen(said) <= WIRE_CONNECT_ERROR_MAX);
    OK(said[strlen(said) - 1] == '}');
    OK(!strstr(said, "details")); /* more than fit */
}

static void test_timeout(void)
{
    static const struct {
        const char *value;
        int64_t us;
    } cases[] = {{"0", 0}, {"1", 1000}, {"250", 250000}, {"9999999999", INT64_C(9999999999000)},
                 {"", -1}, {"12345678901", -1}, {"-1", -1}, {"1.5", -1}, {"1 ", -1}, {"0x1", -1}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int64_t us = -1;
        EQ(wire_connect_timeout(span_of(cases[i].value), &us), cases[i].us >= 0);
        EQ(us, cases[i].us);
    }
}

static void test_query(void)
{
    struct wire_query q;
    wire_connect_query(
        span_of("message=a&encoding=proto&base64=1&connect=v1&message=b&base64=0"), &q);
    OK(q.has_message);
    OK(!q.is_base64);
    OK(span_equal(q.message, span_of("b")));
    OK(span_equal(q.encoding, span_of("proto")));
    OK(span_equal(q.connect, span_of("v1")));
    EQ(q.compression.len, 0);
    wire_connect_query(span_of("&&==&message&=x"), &q);
    OK(q.has_message);
    EQ(q.message.len, 0);
    wire_connect_query((struct span){0}, &q);
    OK(!q.has_message);
}

static void test_query_message(void)
{
    static const struct {
        const char *query, *message; /* NULL: refused */
    } cases[] = {{"message=a+b%20c%2Bd", "a b c+d"}, {"message=%zz%4", "%zz%4"},
                 {"base64=1&message=aGk", "hi"}, {"base64=1&message=aGk%3d", "hi"},
                 {"base64=1&message=Pz8-", "\?\?>"}, {"base64=1&message=Pz8+", "\?\?>"},
                 {"base64=1&message=Pz8%2B", "\?\?>"}, {"base64=1&message=a", NULL},
                 {"base64=1&message=a*Gk", NULL}, {"base64=1&message=", ""}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        struct wire_query q;
        size_t len = 0;
        wire_connect_query(span_of(cases[i].query), &q);
        bool is_good = wire_connect_message(&q, out, &len);
        EQ(is_good, cases[i].message != NULL);
        OK(!is_good || span_equal((struct span){out, len}, span_of(cases[i].message)));
    }
}

static void test_content_types(void)
{
    static const struct {
        const char *type;
        int protocol, encoding;
    } cases[] = {
        {"application/grpc", WIRE_GRPC, WIRE_PROTO},
        {"application/grpc+proto", WIRE_GRPC, WIRE_PROTO},
        {"application/grpc;x=y", WIRE_GRPC, WIRE_PROTO},
        {"Application/gRPC", WIRE_GRPC, WIRE_PROTO},
        {"application/grpc-web", WIRE_GRPC_WEB, WIRE_PROTO},
        {"application/grpc-web+proto", WIRE_GRPC_WEB, WIRE_PROTO},
        {"application/grpc-web-text", WIRE_GRPC_WEB_TEXT, WIRE_PROTO},
        {"application/grpc-web-text+proto", WIRE_GRPC_WEB_TEXT, WIRE_PROTO},
        {"application/proto", WIRE_CONNECT, WIRE_PROTO},
        {"application/json", WIRE_CONNECT, WIRE_JSON},
        {"application/json; charset=utf-8", WIRE_CONNECT, WIRE_JSON},
        {"application/connect+proto", WIRE_CONNECT_STREAM, WIRE_PROTO},
        {"application/connect+json", WIRE_CONNECT_STREAM, WIRE_JSON},
        {"application/grpc+json", -1, 0}, {"application/grpc-web+json", -1, 0},
        {"application/grpcx", -1, 0}, {"application/jsonx", -1, 0}, {"application/jso", -1, 0},
        {"", -1, 0}, {";", -1, 0}, {"text/plain", -1, 0}, {"application/connect", -1, 0}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        enum wire_protocol protocol = WIRE_GRPC;
        enum wire_encoding encoding = WIRE_PROTO;
        bool is_ours = wire_value_face(span_of(cases[i].type), &protocol, &encoding);
        EQ(is_ours, cases[i].protocol >= 0);
        EQ(is_ours ? (int)protocol : -1, cases[i].protocol);
        EQ(encoding, cases[i].encoding);
    }
}

int main(void)
{
    TAP_RUN(test_codes);
    TAP_RUN(test_error_text);
    TAP_RUN(test_error_details);
    TAP_RUN(test_largest_error);
    TAP_RUN(test_timeout);
    TAP_RUN(test_query);
    TAP_RUN(test_query_message);
    TAP_RUN(test_content_types);
    return tap_done();
}

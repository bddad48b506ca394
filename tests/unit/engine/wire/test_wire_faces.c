/* SPDX-License-Identifier: MIT */
/* Does every protocol say the same through either HTTP?  Each case is asked over HTTP/1.1 and over
 * HTTP/2, whole and byte by byte, and must get the same status, headers and body. */
#include "raw.h"
#include "talk.h"

#define CONNECT_PROTO "content-type", "application/proto"
#define CONNECT_JSON  "content-type", "application/json"
#define STREAM_PROTO  "content-type", "application/connect+proto"
#define WEB           "content-type", "application/grpc-web+proto"
#define TEXT          "content-type", "application/grpc-web-text"
#define HEADERS_MAX   8

/* What is asked. */
struct ask {
    const char *method, *path;
    const char *headers[HEADERS_MAX]; /* name, value, ...; NULL ends */
    const char *body;
    size_t body_len; /* 0: a string's */
};

/* What was told. */
struct told {
    char status[8];
    char headers[4096]; /* "name: value\n" each */
    uint8_t body[8192];
    size_t body_len;
};

static struct talk t;
static struct told told;
static struct raw w;
static struct raw_answer got;

static size_t ask_len(const struct ask *ask)
{
    return ask->body_len ? ask->body_len : ask->body ? strlen(ask->body) : 0;
}

/* -- over HTTP/1.1 ----------------------------------------------------------------------------- */

static void told_chunks(const char *at, const char *end)
{
    told.body_len = 0;
    for (;;) {
        size_t len = strtoul(at, NULL, 16);
        at = strstr(at, "\r\n") + 2;
        if (len == 0 || at + len > end) {
            return;
        }
        memcpy(told.body + told.body_len, at, len);
        told.body_len += len;
        at += len + 2;
    }
}

static void ask_h1(const struct ask *ask, size_t cut)
{
    static char head[4096];
    t.cut = cut;
    talk_new(&t);
    int n = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: x\r\n", ask->method, ask->path);
    for (size_t i = 0; ask->headers[i]; i += 2) {
        n += snprintf(head + n, sizeof(head) - (size_t)n, "%s: %s\r\n", ask->headers[i],
                      ask->headers[i + 1]);
    }
    if (strcmp(ask->method, "POST") == 0) {
        n += snprintf(head + n, sizeof(head) - (size_t)n, "content-length: %zu\r\n", ask_len(ask));
    }
    snprintf(head + n, sizeof(head) - (size_t)n, "\r\n");
    talk_say(&t, head);
    if (t.verdict == 0) {
        talk_say_bytes(&t, ask->body, ask_len(ask));
    }
    memset(&told, 0, sizeof(told));
    memcpy(told.status, t.said + 9, 3);
    char *at = strstr(t.said, "\r\n") + 2, *end = strstr(at, "\r\n\r\n");
    size_t len = 0;
    for (char *c = at; c < end + 2; c++) {
        told.headers[len] = *c;
        len += *c != '\r';
    }
    if (strstr(told.headers, "transfer-encoding: chunked\n")) {
        told_chunks(end + 4, t.said + t.said_len);
    } else {
        told.body_len = t.said_len - (size_t)(end + 4 - t.said);
        memcpy(told.body, end + 4, told.body_len);
    }
    talk_end(&t);
}

/* -- over HTTP/2 ------------------------------------------------------------------------------- */

static void ask_h2(const struct ask *ask, size_t cut)
{
    static struct raw_block block;
    static uint8_t buf[256 * 1024];
    nghttp2_hd_inflater *inflater;
    t.cut = 0;
    talk_new(&t);
    memset(&got, 0, sizeof(got));
    raw_hello(&w);
    block.len = 0;
    raw_header(&block, ":method", ask->method);
    raw_header(&block, ":scheme", "http");
    raw_header(&block, ":path", ask->path);
    raw_header(&block, ":authority", "x");
    for (size_t i = 0; ask->headers[i]; i += 2) {
        raw_header(&block, ask->headers[i], ask->headers[i + 1]);
    }
    bool has_body = strcmp(ask->method, "POST") == 0;
    raw_headers(&w, 1, &block, has_body ? 0 : NGHTTP2_FLAG_END_STREAM);
    if (has_body) {
        raw_data(&w, 1, ask->body, ask_len(ask), NGHTTP2_FLAG_END_STREAM);
    }
    for (size_t at = 0; at < w.len; at += cut ? cut : w.len) {
        size_t n = cut && cut < w.len - at ? cut : w.len - at;
        EQ(wire_server_receive(t.p.server, w.bytes + at, n), 0);
    }
    ssize_t n = wire_server_send(t.p.server, buf, sizeof(buf));
    OK(n > 0);
    nghttp2_hd_inflate_new(&inflater);
    raw_read(inflater, buf, n > 0 ? (size_t)n : 0, &got);
    nghttp2_hd_inflate_del(inflater);
    memset(&told, 0, sizeof(told));
    memcpy(told.status, got.headers + 9, 3);
    snprintf(told.headers, sizeof(told.headers), "%.4000s", got.headers + 13);
    told.body_len = got.data;
    memcpy(told.body, got.body, got.data);
    EQ(got.goaways, 0);
    talk_end(&t);
}

/* -- what must be told ------------------------------------------------------------------------- */

static bool told_header(const char *line)
{
    char whole[512];
    snprintf(whole, sizeof(whole), "\n%s\n", line);
    return strstr(told.headers, whole) || strncmp(told.headers, whole + 1, strlen(whole) - 1) == 0;
}

static bool told_name(const char *name)
{
    char whole[64];
    snprintf(whole, sizeof(whole), "\n%s: ", name);
    return strstr(told.headers, whole) || strncmp(told.headers, whole + 1, strlen(whole) - 1) == 0;
}

static bool told_body(const void *bytes, size_t n)
{
    return told.body_len == n && (n == 0 || memcmp(told.body, bytes, n) == 0);
}

static bool told_within(const char *text)
{
    return memmem(told.body, told.body_len, text, strlen(text)) != NULL;
}

/* Asks in every way, and looks each time. */
static void each(const struct ask *ask, void (*look)(void))
{
    for (size_t cut = 0; cut < 2; cut++) {
        ask_h1(ask, cut);
        look();
        ask_h2(ask, cut);
        look();
    }
}

#define EACH(look, ...) each(&(struct ask){__VA_ARGS__}, look)

/* -- Connect ----------------------------------------------------------------------------------- */

static void look_proto(void)
{
    EQS(told.status, "200");
    OK(told_header("content-type: application/proto"));
    OK(told_header("content-length: 3"));
    OK(told_header("cache-control: no-store"));
    OK(told_body("\0\1\2", 3));
    EQ(t.p.messages, 1);
    EQ(t.p.half_closed, 1);
}

static void look_json(void)
{
    EQS(told.status, "200");
    OK(told_header("content-type: application/json"));
    OK(told_body("{\"a\":1}", 7));
    EQ(t.p.messages, 1);
}

static void look_empty(void)
{
    EQS(told.status, "200");
    OK(told_header("content-length: 0"));
    OK(told_body("", 0));
    EQ(t.p.messages, 1);
}

static void test_connect_unary(void)
{
    EACH(look_proto, "POST", "/echo", {CONNECT_PROTO, "connect-protocol-version", "1"},
         "\0\1\2", 3);
    EACH(look_json, "POST", "/echo", {CONNECT_JSON}, "{\"a\":1}");
    EACH(look_json, "POST", "/echo", {"content-type", "Application/JSON ; charset=utf-8"},
         "{\"a\":1}");
    EACH(look_json, "POST", "/echo", {CONNECT_JSON, "content-encoding", "identity"}, "{\"a\":1}");
    EACH(look_empty, "POST", "/echo", {CONNECT_PROTO}, "");
}

static void look_error(void)
{
    EQS(told.status, "404");
    OK(told_header("content-type: application/json"));
    static const char json[] =
        "{\"code\":\"not_found\",\"message\":\" 100% kein Platz f\xc3\xbcr\\u000aSie \"}";
    OK(told_body(json, sizeof(json) - 1)); /* its details are no google.rpc.Status: left out */
}

static void look_early(void)
{
    EQS(told.status, "401");
    OK(told_body("{\"code\":\"unauthenticated\",\"message\":\"no\"}", 41));
    EQ(t.p.closed_finished, 1);
}

static void test_connect_error(void)
{
    EACH(look_error, "POST", "/error", {CONNECT_PROTO}, "");
    EACH(look_error, "POST", "/error", {CONNECT_JSON}, "{}");
    EACH(look_early, "POST", "/early", {CONNECT_JSON}, "{}");
}

static void look_stream(void)
{
    static const char end[] =
        "{\"error\":{\"code\":\"not_found\","
        "\"message\":\" 100% kein Platz f\xc3\xbcr\\u000aSie \"}}";
    EQS(told.status, "200");
    OK(told_header("content-type: application/connect+proto"));
    EQ(told.body_len, 5 + 2 + 5 + sizeof(end) - 1);
    OK(memcmp(told.body, "\0\0\0\0\2hi\2\0\0\0", 11) == 0);
    EQ(told.body[11], sizeof(end) - 1);
    OK(memcmp(told.body + 12, end, sizeof(end) - 1) == 0);
    EQ(t.p.messages, 1);
}

static void look_stream_empty(void)
{
    EQS(told.status, "200");
    OK(told_header("content-type: application/connect+json"));
    OK(told_body("\2\0\0\0\2{}", 7));
}

static void test_connect_stream(void)
{
    EACH(look_stream, "POST", "/half", {STREAM_PROTO}, "\0\0\0\0\2hi", 7);
    EACH(look_stream_empty, "POST", "/stream", {"content-type", "application/connect+json"},
         "\0\0\0\0\2{}", 7);
}

/* -- gRPC-Web ---------------------------------------------------------------------------------- */

static void look_web(void)
{
    EQS(told.status, "200");
    OK(told_header("content-type: application/grpc-web+proto"));
    OK(told_body("\0\0\0\0\2hi\x80\0\0\0\x10grpc-status: 0\r\n", 28));
    OK(!told_name("grpc-status"));
}

static void look_web_error(void)
{
    EQS(told.status, "200");
    OK(told_header("content-type: application/grpc-web+proto"));
    OK(told_header("grpc-status: 5"));
    OK(told_header("grpc-message: %20100%25 kein Platz f%C3%BCr%0ASie%20"));
    OK(told_header("grpc-status-details-bin: CAUSAP8BAg"));
    EQ(told.body_len, 0);
}

static void look_web_half(void)
{
    EQS(told.status, "200");
    OK(memcmp(told.body, "\0\0\0\0\2hi\x80\0\0\0", 11) == 0);
    EQ(told.body[11], told.body_len - 12);
    OK(told_within("grpc-status: 5\r\ngrpc-message: %20100%25 kein Platz f%C3%BCr%0ASie%20\r\n"
                   "grpc-status-details-bin: CAUSAP8BAg\r\n"));
}

static void test_web(void)
{
    EACH(look_web, "POST", "/echo", {WEB, "x-grpc-web", "1"}, "\0\0\0\0\2hi", 7);
    EACH(look_web, "POST", "/echo", {"content-type", "application/grpc-web"}, "\0\0\0\0\2hi", 7);
    EACH(look_web_error, "POST", "/error", {WEB}, "\0\0\0\0\0", 5);
    EACH(look_web_half, "POST", "/half", {WEB}, "\0\0\0\0\2hi", 7);
}

static void look_text(void)
{
    EQS(told.status, "200");
    OK(told_header("content-type: application/grpc-web-text+proto"));
    /* each frame on its own, with its padding: a browser gets whole frames as they come */
    OK(told_body("AAAAAAJoaQ==gAAAABBncnBjLXN0YXR1czogMA0K", 40));
    EQ(t.p.messages, 1);
    EQ(t.p.message_bytes, 2);
}

static void look_text_bad(void)
{
    EQS(told.status, "200");
    OK(told_header("grpc-status: 3"));
    EQ(t.p.refused, 1);
}

/* What is wrong behind a message that was answered stands in the end. */
static void look_text_late(void)
{
    OK(memcmp(told.body, "AAAAAAJoaQ==", 12) == 0);
    EQ(t.p.refused, 1);
}

static void test_web_text(void)
{
    EACH(look_text, "POST", "/echo", {TEXT}, "AAAAAAJoaQ==");
    EACH(look_text, "POST", "/echo", {TEXT}, "AAAAAAJoaQ"); /* no padding at the end */
    EACH(look_text, "POST", "/echo", {TEXT}, "AA==AAAAAmhp"); /* padding inside */
    EACH(look_text, "POST", "/echo", {TEXT}, "AAA=AAACaA==aQ==");
    EACH(look_text_bad, "POST", "/echo", {TEXT}, "AAAA!AJoaQ==");
    EACH(look_text_late, "POST", "/echo", {TEXT}, "AAAAAAJoaQ==A");
    EACH(look_text_bad, "POST", "/echo", {TEXT}, "A===");
    EACH(look_text_bad, "POST", "/echo", {TEXT}, "AAAAAAJo"); /* ends inside a message */
}

/* -- GET --------------------------------------------------------------------------------------- */

static void look_get(void)
{
    EQS(told.status, "200");
    OK(told_body("{\"a\":1}", 7));
    OK(told_header("content-type: application/json"));
    OK(told_header("cache-control: max-age=1, s-maxage=1"));
    OK(told_header("vary: Origin"));
    EQS(t.p.path, "/echo"); /* without the query */
    EQ(t.p.half_closed, 1);
}

static void look_get_proto(void)
{
    EQS(told.status, "200");
    OK(told_header("content-type: application/proto"));
    OK(told_body("\xff\xef\xbf", 3));
}

static void look_head(void)
{
    EQS(told.status, "200");
    OK(told_header("content-length: 7"));
    EQ(told.body_len, 0);
}

static void test_get(void)
{
    EACH(look_get, "GET", "/echo?connect=v1&encoding=json&message=%7B%22a%22%3a1%7D", {NULL});
    EACH(look_get, "GET", "/echo?message=eyJhIjoxfQ==&base64=1&encoding=json&compression=identity",
         {NULL});
    EACH(look_get, "GET", "/echo?message=eyJhIjoxfQ&base64=1&encoding=json&x=y&&=", {NULL});
    EACH(look_get, "GET", "/echo?message=eyJhIjoxfQ%3D%3D&base64=1&encoding=json", {NULL});
    EACH(look_get_proto, "GET", "/echo?message=_--_&base64=1&encoding=proto", {NULL});
    EACH(look_get_proto, "GET", "/echo?message=/%2B%2b/&base64=1&encoding=proto", {NULL});
    EACH(look_get_proto, "GET", "/echo?message=%FF%ef%bf&encoding=proto", {NULL});
    EACH(look_head, "HEAD", "/echo?encoding=json&message=%7B%22a%22%3a1%7D", {NULL});
}

/* -- refusals ---------------------------------------------------------------------------------- */

static const struct refusal {
    struct ask ask;
    const char *status, *code, *header; /* header: NULL, or one that must stand */
} refusals[] = {
    {{"GET", "/", {NULL}}, "404", "unimplemented", NULL},
    {{"POST", "/nothing", {CONNECT_JSON}, "{}"}, "404", "unimplemented", NULL},
    {{"POST", "/echo/", {CONNECT_JSON}, "{}"}, "404", "unimplemented", NULL},
    {{"DELETE", "/echo", {NULL}}, "405", "unimplemented", "allow: GET, POST, OPTIONS"},
    {{"GET", "/error?encoding=json&message=1", {NULL}}, "405", "unimplemented",
     "allow: POST, OPTIONS"},
    {{"GET", "/echo", {NULL}}, "400", "invalid_argument", NULL},
    {{"GET", "/echo?message=1", {NULL}}, "400", "invalid_argument", NULL},
    {{"GET", "/echo?encoding=json", {NULL}}, "400", "invalid_argument", NULL},
    {{"GET", "/echo?encoding=xml&message=1", {NULL}}, "415", "unimplemented", NULL},
    {{"GET", "/echo?encoding=json&message=!&base64=1", {NULL}}, "400", "invalid_argument", NULL},
    {{"GET", "/echo?encoding=json&message=1&connect=v2", {NULL}}, "400", "invalid_argument", NULL},
    {{"GET", "/echo?encoding=json&message=1&compression=gzip", {NULL}}, "501", "unimplemented",
     "accept-encoding: identity"},
    {{"POST", "/echo", {NULL}, "{}"}, "415", "unimplemented", NULL},
    {{"POST", "/echo", {"content-type", "text/plain"}, "{}"}, "415", "unimplemented",
     "accept-post: application/json, application/proto, application/grpc, application/grpc-web, "
     "application/grpc-web-text"},
    {{"POST", "/echo", {"content-type", "application/grpc-web+json"}, "{}"}, "415",
     "unimplemented", NULL},
    {{"POST", "/echo", {"content-type", "application/jsonp"}, "{}"}, "415", "unimplemented", NULL},
    {{"POST", "/echo", {STREAM_PROTO}, "\0\0\0\0\0", 5}, "415", "unimplemented", NULL},
    {{"POST", "/stream", {CONNECT_JSON}, "{}"}, "415", "unimplemented", NULL},
    {{"POST", "/echo", {CONNECT_JSON, "connect-protocol-version", "2"}, "{}"}, "400",
     "invalid_argument", NULL},
    {{"POST", "/echo", {CONNECT_JSON, "content-encoding", "gzip"}, "{}"}, "501", "unimplemented",
     "accept-encoding: identity"},
    {{"POST", "/echo", {CONNECT_JSON, "connect-timeout-ms", "1s"}, "{}"}, "400",
     "invalid_argument", NULL},
    {{"POST", "/echo", {CONNECT_JSON, "connect-timeout-ms", "12345678901"}, "{}"}, "400",
     "invalid_argument", NULL},
    {{"POST", "/echo", {CONNECT_JSON, "authorization", "a", "authorization", "b"}, "{}"}, "401",
     "unauthenticated", NULL},
};

static void test_refusals(void)
{
    for (size_t i = 0; i < 4 * ARRAY_COUNT(refusals); i++) {
        const struct refusal *r = &refusals[i / 4];
        (i % 2 ? ask_h1 : ask_h2)(&r->ask, i / 2 % 2);
        char code[64];
        snprintf(code, sizeof(code), "{\"code\":\"%s\",\"message\":\"", r->code);
        bool is_right = strcmp(told.status, r->status) == 0 && told_within(code) &&
                        told_header("content-type: application/json") &&
                        (r->header == NULL || told_header(r->header)) && t.p.refused == 1;
        if (!is_right) {
            printf("# %s %s -> %s %s\n", r->ask.method, r->ask.path, told.status, told.headers);
        }
        OK(is_right);
    }
}

static void look_stream_refused(void)
{
    EQS(told.status, "200");
    OK(memcmp(told.body, "\2", 1) == 0);
    OK(told_within("{\"error\":{\"code\":\"unimplemented\",\"message\":\""));
    EQ(t.p.refused, 1);
}

static void look_web_truncated(void)
{
    OK(told_header("grpc-status: 3"));
    EQ(t.p.refused, 1);
}

/* Streams say 200 and put the error where a stream's end stands. */
static void test_stream_refusals(void)
{
    EACH(look_stream_refused, "POST", "/stream", {STREAM_PROTO, "connect-content-encoding", "gzip"},
         "\0\0\0\0\0", 5);
    EACH(look_stream_refused, "POST", "/stream", {STREAM_PROTO}, "\1\0\0\0\0", 5);
    EACH(look_web_truncated, "POST", "/echo", {WEB}, "\0\0\0\0\3hi", 7);
}

/* gRPC has trailers, HTTP/1.1's are read by nobody. */
static void test_grpc_over_http1(void)
{
    static const struct ask ask = {"POST", "/echo", {"content-type", "application/grpc"}, "{}"};
    ask_h1(&ask, 0);
    EQS(told.status, "505");
    OK(told_within("gRPC needs HTTP/2"));
}

/* `curl -d '{}'` says that it sends a form; a page that does has not asked whether it may. */
static void look_form_of_a_page(void)
{
    EQS(told.status, "415");
    EQ(t.p.opened, 0);
}

static void test_a_form_that_is_json(void)
{
    static const char form[] = "application/x-www-form-urlencoded";
    EACH(look_json, "POST", "/echo", {"content-type", form}, "{\"a\":1}");
    EACH(look_json, "POST", "/echo", {"content-type", " Application/X-WWW-form-urlencoded"},
         "{\"a\":1}");
    EACH(look_form_of_a_page, "POST", "/echo", {"content-type", form, "origin", "null"}, "{}");
    EACH(look_form_of_a_page, "POST", "/echo",
         {"origin", "https://good.example", "content-type", form}, "{}");
    EACH(look_form_of_a_page, "POST", "/stream", {"content-type", form}, "{}");
    EACH(look_form_of_a_page, "POST", "/echo",
         {"content-type", "application/x-www-form-urlencoded; charset=utf-8"}, "{}");
}

/* -- pages of other origins -------------------------------------------------------------------- */

static void look_preflight(void)
{
    EQS(told.status, "204");
    OK(told_header("access-control-allow-origin: https://good.example"));
    OK(told_header("access-control-allow-methods: GET, POST, OPTIONS"));
    OK(told_header("access-control-max-age: 7200"));
    OK(strstr(told.headers, "access-control-allow-headers: Authorization, Content-Type, "
                            "Connect-Protocol-Version, "));
    OK(told_header("vary: Origin"));
    OK(!told_name("content-length"));
    EQ(told.body_len, 0);
    EQ(t.p.opened, 0);
}

static void look_preflight_any(void)
{
    EQS(told.status, "204");
    OK(told_header("access-control-allow-origin: *"));
}

static void look_preflight_bad(void)
{
    EQS(told.status, "403");
    OK(!told_name("access-control-allow-origin"));
    OK(!strstr(told.headers, "evil"));
    OK(told_header("vary: Origin"));
}

static void look_options(void)
{
    EQS(told.status, "204");
    OK(told_header("allow: GET, POST, OPTIONS"));
    OK(!told_name("access-control-allow-origin"));
}

static void look_origin(void)
{
    EQS(told.status, "200");
    OK(told_header("access-control-allow-origin: https://good.example"));
    OK(strstr(told.headers, "access-control-expose-headers: Grpc-Status, Grpc-Message, "
                            "Grpc-Status-Details-Bin"));
    OK(told_header("vary: Origin"));
}

static void look_origin_refused(void)
{
    EQS(told.status, "404"); /* and the page may read why */
    OK(told_header("access-control-allow-origin: https://good.example"));
}

static void look_origin_bad(void)
{
    EQS(told.status, "200");
    OK(!told_name("access-control-allow-origin"));
    OK(!told_name("access-control-expose-headers"));
    OK(told_header("vary: Origin"));
}

static void test_origins(void)
{
    static const char good[] = "https://good.example";
    EACH(look_preflight, "OPTIONS", "/echo",
         {"origin", good, "access-control-request-method", "POST"});
    EACH(look_preflight_any, "OPTIONS", "/echo",
         {"origin", "https://any.example", "access-control-request-method", "POST"});
    EACH(look_preflight_bad, "OPTIONS", "/echo",
         {"origin", "https://evil.example", "access-control-request-method", "POST"});
    EACH(look_preflight_bad, "OPTIONS", "/echo",
         {"origin", "https://good.example.evil", "access-control-request-method", "POST"});
    EACH(look_preflight_bad, "OPTIONS", "/echo",
         {"origin", "null", "access-control-request-method", "POST"});
    EACH(look_options, "OPTIONS", "/echo", {NULL});
    EACH(look_options, "OPTIONS", "*", {NULL});
    EACH(look_origin, "POST", "/echo", {CONNECT_JSON, "origin", good}, "{}");
    EACH(look_origin, "POST", "/echo", {WEB, "origin", good}, "\0\0\0\0\0", 5);
    EACH(look_origin, "GET", "/echo?encoding=json&message=1", {"origin", good});
    EACH(look_origin_refused, "POST", "/error", {CONNECT_JSON, "origin", good}, "{}");
    EACH(look_origin_bad, "POST", "/echo", {CONNECT_JSON, "origin", "https://evil.example"}, "{}");
}

int main(void)
{
    TAP_RUN(test_connect_unary);
    TAP_RUN(test_connect_error);
    TAP_RUN(test_connect_stream);
    TAP_RUN(test_web);
    TAP_RUN(test_web_text);
    TAP_RUN(test_get);
    TAP_RUN(test_refusals);
    TAP_RUN(test_stream_refusals);
    TAP_RUN(test_grpc_over_http1);
    TAP_RUN(test_a_form_that_is_json);
    TAP_RUN(test_origins);
    return tap_done();
}

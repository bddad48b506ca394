/* SPDX-License-Identifier: MIT */
/* One call of a client: request out, answer in, one verdict at the end.
 *
 *   headers + message -> nghttp2                       status, text, details
 *   HEADERS, DATA*, trailers <- nghttp2 -> on_message* -> on_finish (on_stream_close)
 *
 * Owns: the request objects of a connection, live and spare; the message until nghttp2 pulled it.
 * The verdict, first that applies: cancelled by the caller (1); what we found wrong with the answer
 * (compressed 13, over ANSWER_MAX 8); grpc-status; the HTTP status, by the specification's table;
 * the stream's error code, by the other one.
 * Fails: out of memory loses the connection; hostile answers become a status with a text.
 * Invariant: on_finish exactly once for each request that wire_client_call() returned. */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "base/limits.h"
#include "wire/client.h"
#include "wire/value.h"

#define NV_STATIC (NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE)

/* A header whose name and value are string literals. */
#define NV(name, value) \
    {(uint8_t *)(name), (uint8_t *)(value), sizeof(name) - 1, sizeof(value) - 1, NV_STATIC}

/* A header whose value nghttp2 copies. */
#define NV_COPIED(name, ptr, len) \
    {(uint8_t *)(name), (uint8_t *)(ptr), sizeof(name) - 1, len, NGHTTP2_NV_FLAG_NO_COPY_NAME}

enum {
    STATUS_CANCELLED = 1,
    STATUS_UNKNOWN = 2,
    STATUS_PERMISSION_DENIED = 7,
    STATUS_RESOURCE_EXHAUSTED = 8,
    STATUS_UNIMPLEMENTED = 12,
    STATUS_INTERNAL = 13,
    STATUS_UNAVAILABLE = 14,
    STATUS_UNAUTHENTICATED = 16,
    STATUS_MAX = 16,
};

/* -- life -------------------------------------------------------------------------------------- */

struct wire_request *wire_request_new(struct wire_client *c, void *user)
{
    struct list *link = list_pull(&c->spare);
    struct wire_request *request;
    if (link) {
        request = CONTAINER_OF(link, struct wire_request, link);
        CHECK(c->spare_count > 0);
        c->spare_count--;
    } else {
        request = c->mem.malloc(sizeof(*request), c->mem.mem_user_data);
        if (!request) {
            return NULL;
        }
    }
    memset(request, 0, offsetof(struct wire_request, outgoing.store)); /* the store comes later */
    request->client = c;
    request->user = user;
    request->status = WIRE_STATUS_NONE;
    list_push(&c->requests, &request->link);
    c->requests_count++;
    return request;
}

static void request_free_bytes(struct wire_request *request)
{
    struct wire_client *c = request->client;
    wire_frame_fini(&request->incoming, &c->mem);
    wire_queue_fini(&request->outgoing, &c->mem);
    if (request->text) {
        c->mem.free(request->text, c->mem.mem_user_data);
    }
    if (request->details) {
        c->mem.free(request->details, c->mem.mem_user_data);
    }
}

void wire_request_drop(struct wire_request *request)
{
    struct wire_client *c = request->client;
    CHECK(c->requests_count > 0);
    request_free_bytes(request);
    list_remove(&request->link);
    c->requests_count--;
    list_push(&c->spare, &request->link);
    c->spare_count++;
    wire_request_trim(c, WIRE_SPARE_CALLS);
}

void wire_request_trim(struct wire_client *c, uint32_t keep)
{
    while (c->spare_count > keep) {
        struct list *link = list_pull(&c->spare);
        c->spare_count--;
        c->mem.free(CONTAINER_OF(link, struct wire_request, link), c->mem.mem_user_data);
    }
}

void *wire_request_user(const struct wire_request *request)
{
    return request->user;
}

/* -- request out ------------------------------------------------------------------------------- */

static ssize_t request_read(nghttp2_session *session, int32_t stream_id, uint8_t *buf, size_t cap,
                            uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct wire_request *request = source->ptr;
    size_t n = wire_queue_pull(&request->outgoing, buf, cap, &request->client->mem);
    if (wire_queue_len(&request->outgoing) == 0) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)n;
}

int wire_request_submit(struct wire_request *request, const char *path, struct span authorization,
                        int64_t timeout_us)
{
    struct wire_client *c = request->client;
    char timeout[WIRE_TIMEOUT_MAX];
    nghttp2_nv headers[8] = {
        NV(":method", "POST"),
        NV(":scheme", "http"),
        NV_COPIED(":path", path, strlen(path)),
        NV(":authority", "localhost"),
        NV("content-type", "application/grpc"),
        NV("te", "trailers"),
    };
    size_t n = 6;
    if (timeout_us >= 0) {
        size_t len = wire_value_timeout_write(timeout_us, timeout);
        headers[n++] = (nghttp2_nv)NV_COPIED("grpc-timeout", timeout, len);
        headers[n - 1].flags |= NGHTTP2_NV_FLAG_NO_INDEX; /* another one for each call */
    }
    if (authorization.len > 0) {
        headers[n++] = (nghttp2_nv)NV_COPIED("authorization", authorization.ptr, authorization.len);
    }
    nghttp2_data_provider body = {.source.ptr = request, .read_callback = request_read};
    request->stream_id = nghttp2_submit_request(c->session, NULL, headers, n, &body, request);
    if (request->stream_id >= 0) {
        return 0;
    }
    if (request->stream_id == NGHTTP2_ERR_NOMEM) {
        int r = err_origin(-ENOMEM);
        wire_client_fail(c, r);
        return r;
    }
    return WIRE_E_CLOSE;
}

void wire_request_cancel(struct wire_request *request)
{
    struct wire_client *c = request->client;
    if (request->is_cancelled) {
        return;
    }
    request->is_cancelled = true;
    if (!c->is_dead &&
        nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, request->stream_id,
                                  NGHTTP2_CANCEL) == NGHTTP2_ERR_NOMEM) {
        wire_client_fail(c, err_origin(-ENOMEM));
    }
}

/* -- verdict ----------------------------------------------------------------------------------- */

/* gRPC's http-grpc-status-mapping.md. */
static int request_http_status(int http_status)
{
    switch (http_status) {
    case 400: return STATUS_INTERNAL;
    case 401: return STATUS_UNAUTHENTICATED;
    case 403: return STATUS_PERMISSION_DENIED;
    case 404: return STATUS_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504: return STATUS_UNAVAILABLE;
    default: return STATUS_UNKNOWN;
    }
}

/* PROTOCOL-HTTP2.md, "Errors". */
static int request_http2_status(uint32_t error_code)
{
    switch (error_code) {
    case NGHTTP2_REFUSED_STREAM: return STATUS_UNAVAILABLE;
    case NGHTTP2_CANCEL: return STATUS_CANCELLED;
    case NGHTTP2_ENHANCE_YOUR_CALM: return STATUS_RESOURCE_EXHAUSTED;
    case NGHTTP2_INADEQUATE_SECURITY: return STATUS_PERMISSION_DENIED;
    default: return STATUS_INTERNAL;
    }
}

/* The status of an answer without grpc-status, and why. */
static int request_status(const struct wire_request *request, uint32_t error_code,
                          struct span *ret_text)
{
    if (request->client->is_dead) {
        *ret_text = span_of("the connection ended");
        return STATUS_UNAVAILABLE;
    }
    if (request->http_status && (request->http_status != 200 || !request->is_grpc)) {
        *ret_text = span_of("the answer is HTTP's, not gRPC's");
        return request_http_status(request->http_status);
    }
    if (error_code == NGHTTP2_NO_ERROR && request->http_status) {
        *ret_text = span_of("the answer has no grpc-status");
        return STATUS_UNKNOWN;
    }
    *ret_text = span_of("the stream was reset");
    return request_http2_status(error_code);
}

void wire_request_end(struct wire_request *request, uint32_t error_code)
{
    struct wire_client *c = request->client;
    struct span text = {request->text, request->text_len};
    struct span details = {request->details, request->details_len};
    int status = request->status;
    if (request->is_cancelled) {
        status = STATUS_CANCELLED;
        text = span_of("cancelled by the caller");
        details = (struct span){0};
    } else if (request->is_over) {
        text = span_of(status == STATUS_INTERNAL ? "the answer is compressed"
                                                 : "the answer is larger than allowed");
        details = (struct span){0};
    } else if (status == WIRE_STATUS_NONE) {
        status = request_status(request, error_code, &text);
    }
    c->ops->on_finish(c->user, request, status, text, details);
    wire_request_drop(request);
}

/* -- answer in --------------------------------------------------------------------------------- */

static struct wire_request *request_of(nghttp2_session *session, int32_t stream_id)
{
    return nghttp2_session_get_stream_user_data(session, stream_id);
}

static int request_number(struct span value, int max)
{
    int n = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '9' || n > max) {
            return -1;
        }
        n = n * 10 + (value.ptr[i] - '0');
    }
    return value.len > 0 && n <= max ? n : -1;
}

static int request_text(struct wire_request *request, struct span value)
{
    nghttp2_mem *mem = &request->client->mem;
    if (request->text || value.len == 0) {
        return 0;
    }
    request->text = mem->malloc(value.len, mem->mem_user_data);
    if (!request->text) {
        return err_origin(-ENOMEM);
    }
    request->text_len = wire_value_percent_decode(value, request->text);
    return 0;
}

/* What cannot be decoded is left out: the status stands without it. */
static int request_details(struct wire_request *request, struct span value)
{
    nghttp2_mem *mem = &request->client->mem;
    if (request->details || value.len == 0) {
        return 0;
    }
    request->details = mem->malloc(value.len / 4 * 3 + 2, mem->mem_user_data);
    if (!request->details) {
        return err_origin(-ENOMEM);
    }
    wire_value_base64_decode(value, request->details, &request->details_len);
    return 0;
}

static bool request_is(struct span name, const char *what)
{
    return memcmp(name.ptr, what, name.len) == 0;
}

static int request_keep_header(struct wire_request *request, struct span name, struct span value)
{
    switch (name.len) {
    case 7:
        if (request_is(name, ":status")) {
            request->http_status = (int16_t)request_number(value, 999);
        }
        return 0;
    case 11:
        if (request_is(name, "grpc-status")) {
            int status = request_number(value, STATUS_MAX);
            request->status = (int8_t)(status < 0 ? STATUS_UNKNOWN : status);
        }
        return 0;
    case 12:
        if (request_is(name, "content-type")) {
            request->is_grpc = wire_value_is_grpc(value);
        } else if (request_is(name, "grpc-message")) {
            return err_trace(request_text(request, value));
        }
        return 0;
    case 23:
        if (request_is(name, "grpc-status-details-bin")) {
            return err_trace(request_details(request, value));
        }
        return 0;
    default:
        return 0;
    }
}

static int request_header(nghttp2_session *session, const nghttp2_frame *frame,
                          const uint8_t *name, size_t name_len, const uint8_t *value,
                          size_t value_len, uint8_t flags, void *user)
{
    struct wire_request *request = request_of(session, frame->hd.stream_id);
    if (!request || request->is_over) {
        return 0;
    }
    int r = request_keep_header(request, (struct span){name, name_len},
                                (struct span){value, value_len});
    return r < 0 ? wire_client_fail(request->client, r) : 0;
}

/* The answer cannot be used: that is the verdict, whatever still comes. */
static int request_give_up(struct wire_request *request, int status)
{
    struct wire_client *c = request->client;
    request->is_over = true;
    request->status = (int8_t)status;
    wire_frame_fini(&request->incoming, &c->mem);
    return nghttp2_submit_rst_stream(c->session, NGHTTP2_FLAG_NONE, request->stream_id,
                                     NGHTTP2_CANCEL) == NGHTTP2_ERR_NOMEM
               ? err_origin(-ENOMEM)
               : 0;
}

static int request_bytes(struct wire_request *request, struct span input)
{
    struct wire_client *c = request->client;
    struct span message;
    int r = WIRE_FRAME_MESSAGE;
    while (r == WIRE_FRAME_MESSAGE && !request->is_cancelled) {
        r = wire_frame_push(&request->incoming, &input, ANSWER_MAX, &c->mem, &message);
        if (r == WIRE_FRAME_MESSAGE) {
            c->ops->on_message(c->user, request, message);
        }
    }
    wire_frame_rest(&request->incoming, &c->mem);
    if (r == WIRE_FRAME_COMPRESSED) {
        return err_trace(request_give_up(request, STATUS_INTERNAL));
    }
    if (r == WIRE_FRAME_TOO_LARGE) {
        return err_trace(request_give_up(request, STATUS_RESOURCE_EXHAUSTED));
    }
    return r < 0 ? err_trace(r) : 0;
}

static int request_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id,
                              const uint8_t *data, size_t len, void *user)
{
    struct wire_request *request = request_of(session, stream_id);
    bool is_answer = request && request->is_grpc && request->http_status == 200;
    if (!is_answer || request->is_cancelled || request->is_over) {
        return 0;
    }
    int r = request_bytes(request, (struct span){data, len});
    return r < 0 ? wire_client_fail(request->client, r) : 0;
}

static int request_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct wire_client *c = user;
    c->is_ending |= frame->hd.type == NGHTTP2_GOAWAY;
    return 0;
}

static int request_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code,
                                void *user)
{
    struct wire_request *request = request_of(session, stream_id);
    if (request) {
        nghttp2_session_set_stream_user_data(session, stream_id, NULL);
        wire_request_end(request, error_code);
    }
    return 0;
}

void wire_request_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_header_callback(callbacks, request_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, request_data_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, request_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, request_stream_close);
}

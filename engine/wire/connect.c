/* SPDX-License-Identifier: MIT */
/* Connect's own words.  Owns nothing and keeps nothing: bytes in, bytes out.
 *
 * An error is JSON that is written here byte by byte: its parts are few, and the details stay the
 * packed messages that gRPC carries, so that a client sees the same through every face.  The walk
 * through the packed google.rpc.Status knows three field numbers and passes over the rest.
 * Fails: details that cannot be read, or do not fit, are left out: code and message stand alone.
 * Not here: JSON of messages (the gateway's codec knows their fields). */
#include "wire/connect.h"

#include <string.h>

#include "base/base64.h"
#include "base/bytes.h"
#include "base/check.h"
#include "wire/value.h"

static const struct {
    const char *code;
    uint16_t http;
} connect_statuses[] = {
    [0] = {"unknown", 200},           [1] = {"canceled", 499},
    [2] = {"unknown", 500},           [3] = {"invalid_argument", 400},
    [4] = {"deadline_exceeded", 504}, [5] = {"not_found", 404},
    [6] = {"already_exists", 409},    [7] = {"permission_denied", 403},
    [8] = {"resource_exhausted", 429}, [9] = {"failed_precondition", 400},
    [10] = {"aborted", 409},          [11] = {"out_of_range", 400},
    [12] = {"unimplemented", 501},    [13] = {"internal", 500},
    [14] = {"unavailable", 503},      [15] = {"data_loss", 500},
    [16] = {"unauthenticated", 401},
};

const char *wire_connect_code(int grpc_status)
{
    CHECK((size_t)grpc_status < ARRAY_COUNT(connect_statuses));
    return connect_statuses[grpc_status].code;
}

uint16_t wire_connect_http(int grpc_status)
{
    CHECK((size_t)grpc_status < ARRAY_COUNT(connect_statuses));
    return connect_statuses[grpc_status].http;
}

/* -- errors ------------------------------------------------------------------------------------ */

static void connect_put(struct scribe *w, const char *text)
{
    scribe_bytes(w, text, strlen(text));
}

/* Bytes of the UTF-8 character that begins at p; 0: none does. */
static size_t connect_character(const uint8_t *p, size_t n)
{
    size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3
                 : p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : 0;
    if (len == 0 || len > n) {
        return 0;
    }
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    /* Overlong forms, surrogates and what is beyond U+10FFFF. */
    bool is_wrong = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
                    (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f);
    return is_wrong ? 0 : len;
}

static void connect_put_text(struct scribe *w, struct span text)
{
    static const char hex[] = "0123456789abcdef";
    scribe_u8(w, '"');
    for (size_t i = 0; i < text.len;) {
        uint8_t c = text.ptr[i];
        size_t len = connect_character(text.ptr + i, text.len - i);
        if (len == 0) {
            scribe_u8(w, '?');
            len = 1;
        } else if (c < 0x20) {
            connect_put(w, "\\u00");
            scribe_u8(w, (uint8_t)hex[c >> 4]);
            scribe_u8(w, (uint8_t)hex[c & 15]);
        } else {
            if (c == '"' || c == '\\') {
                scribe_u8(w, '\\');
            }
            scribe_bytes(w, text.ptr + i, len);
        }
        i += len;
    }
    scribe_u8(w, '"');
}

static uint64_t connect_varint(struct reader *r)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = reader_u8(r);
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) {
            return value;
        }
    }
    r->bad = true;
    return 0;
}

/* The next length-delimited field; false: no more, or the reader is bad. */
static bool connect_field(struct reader *r, uint64_t *ret_number, struct span *ret_bytes)
{
    while (reader_left(r) > 0) {
        uint64_t tag = connect_varint(r);
        const uint8_t *p = NULL;
        switch (tag & 7) {
        case 0:
            connect_varint(r);
            break;
        case 1:
            reader_take(r, 8, &p);
            break;
        case 2: {
            size_t len = connect_varint(r);
            if (!reader_take(r, len, &p)) {
                return false;
            }
            *ret_number = tag >> 3;
            *ret_bytes = (struct span){p, len};
            return true;
        }
        case 5:
            reader_take(r, 4, &p);
            break;
        default:
            r->bad = true;
        }
    }
    return false;
}

/* One google.protobuf.Any: {"type":"google.rpc.ErrorInfo","value":"..."}; false: damaged. */
static bool connect_put_detail(struct scribe *w, struct span any)
{
    struct span type = {0}, value = {0}, bytes;
    struct reader r = reader_of(any.ptr, any.len);
    uint64_t number;
    while (connect_field(&r, &number, &bytes)) {
        if (number == 1) {
            type = bytes;
        } else if (number == 2) {
            value = bytes;
        }
    }
    const uint8_t *slash = type.len ? memrchr(type.ptr, '/', type.len) : NULL;
    if (slash) {
        type = (struct span){slash + 1, type.len - (size_t)(slash + 1 - type.ptr)};
    }
    connect_put(w, "{\"type\":");
    connect_put_text(w, type);
    connect_put(w, ",\"value\":\"");
    uint8_t *at = scribe_take(w, base64_len(value.len, true));
    if (at) {
        w->at = at + base64_encode(value, false, at);
    }
    connect_put(w, "\"}");
    return !r.bad;
}

static bool connect_put_details(struct scribe *w, struct span status)
{
    struct reader r = reader_of(status.ptr, status.len);
    uint64_t number;
    struct span bytes;
    size_t count = 0;
    bool is_whole = true;
    while (connect_field(&r, &number, &bytes)) {
        if (number == 3) {
            connect_put(w, count++ == 0 ? ",\"details\":[" : ",");
            is_whole &= connect_put_detail(w, bytes);
        }
    }
    if (count > 0) {
        connect_put(w, "]");
    }
    return is_whole && !r.bad && !w->bad;
}

size_t wire_connect_error(int grpc_status, struct span text, struct span details, uint8_t *out)
{
    struct scribe w = scribe_of(out, WIRE_CONNECT_ERROR_MAX - 1);
    connect_put(&w, "{\"code\":\"");
    connect_put(&w, wire_connect_code(grpc_status));
    connect_put(&w, "\"");
    if (text.len > 0) {
        connect_put(&w, ",\"message\":");
        connect_put_text(&w, wire_value_cut(text, WIRE_TEXT_MAX));
    }
    CHECK(!w.bad); /* the bound counts on it */
    struct scribe before = w;
    if (!connect_put_details(&w, details)) {
        w = before;
    }
    *w.at = '}';
    return scribe_len(&w) + 1;
}

/* -- requests ---------------------------------------------------------------------------------- */

bool wire_connect_timeout(struct span value, int64_t *ret_us)
{
    int64_t ms = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '9') {
            return false;
        }
        ms = i < 10 ? ms * 10 + (value.ptr[i] - '0') : ms;
    }
    if (value.len < 1 || value.len > 10) {
        return false;
    }
    *ret_us = ms * 1000;
    return true;
}

static struct span connect_cut(struct span *rest, uint8_t at)
{
    const uint8_t *p = rest->len ? memchr(rest->ptr, at, rest->len) : NULL;
    struct span first = {rest->ptr, p ? (size_t)(p - rest->ptr) : rest->len};
    size_t gone = p ? first.len + 1 : first.len;
    *rest = (struct span){rest->ptr + gone, rest->len - gone};
    return first;
}

void wire_connect_query(struct span query, struct wire_query *ret_query)
{
    *ret_query = (struct wire_query){0};
    while (query.len > 0) {
        struct span value = connect_cut(&query, '&');
        struct span name = connect_cut(&value, '=');
        if (span_equal(name, span_of("encoding"))) {
            ret_query->encoding = value;
        } else if (span_equal(name, span_of("message"))) {
            ret_query->message = value;
            ret_query->has_message = true;
        } else if (span_equal(name, span_of("compression"))) {
            ret_query->compression = value;
        } else if (span_equal(name, span_of("connect"))) {
            ret_query->connect = value;
        } else if (span_equal(name, span_of("base64"))) {
            ret_query->is_base64 = span_equal(value, span_of("1"));
        }
    }
}

bool wire_connect_message(const struct wire_query *query, uint8_t *out, size_t *ret_len)
{
    size_t len = query->message.len;
    for (size_t i = 0; i < len; i++) { /* as forms write a blank */
        out[i] = query->message.ptr[i] == '+' ? ' ' : query->message.ptr[i];
    }
    len = wire_value_percent_decode((struct span){out, len}, out);
    if (!query->is_base64) {
        *ret_len = len;
        return true;
    }
    for (size_t i = 0; i < len; i++) { /* URL-safe letters, or the usual ones */
        out[i] = out[i] == '-' || out[i] == ' ' ? '+' : out[i] == '_' ? '/' : out[i];
    }
    return wire_value_base64_decode((struct span){out, len}, out, ret_len);
}

/* SPDX-License-Identifier: MIT */
/* Header values of gRPC.  Owns nothing and keeps nothing: bytes in, bytes out.
 *
 * The three encodings meet where a refusal leaves the house: grpc-message is people's text
 * (UTF-8, percent-encoded), grpc-status-details-bin is a packed google.rpc.Status (base64).
 * They fail only on decoding, with false; encoding cannot fail, its buffer is sized by _max().
 * Not here: which header is wanted where (server.c and client.c know that). */
#include "wire/value.h"

#include <string.h>

#include "base/base64.h"
#include "base/bytes.h"
#include "base/check.h"

bool wire_value_is_grpc(struct span content_type)
{
    static const char plain[] = "application/grpc";
    static const char proto[] = "+proto";
    if (content_type.len < sizeof(plain) - 1 ||
        memcmp(content_type.ptr, plain, sizeof(plain) - 1) != 0) {
        return false;
    }
    const uint8_t *rest = content_type.ptr + sizeof(plain) - 1;
    size_t len = content_type.len - (sizeof(plain) - 1);
    if (len >= sizeof(proto) - 1 && memcmp(rest, proto, sizeof(proto) - 1) == 0) {
        rest += sizeof(proto) - 1;
        len -= sizeof(proto) - 1;
    }
    return len == 0 || rest[0] == ';' || rest[0] == ' ';
}

bool wire_value_same(struct span value, const char *lower)
{
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.ptr[i];
        if (lower[i] == '\0' || (c >= 'A' && c <= 'Z' ? c | 0x20 : c) != (uint8_t)lower[i]) {
            return false;
        }
    }
    return lower[value.len] == '\0';
}

bool wire_value_face(struct span content_type, enum wire_protocol *ret_protocol,
                     enum wire_encoding *ret_encoding)
{
    static const struct {
        const char *type;
        enum wire_protocol protocol;
        enum wire_encoding encoding;
    } faces[] = {
        {"application/json", WIRE_CONNECT, WIRE_JSON},
        {"application/proto", WIRE_CONNECT, WIRE_PROTO},
        {"application/connect+json", WIRE_CONNECT_STREAM, WIRE_JSON},
        {"application/connect+proto", WIRE_CONNECT_STREAM, WIRE_PROTO},
        {"application/grpc-web", WIRE_GRPC_WEB, WIRE_PROTO},
        {"application/grpc-web+proto", WIRE_GRPC_WEB, WIRE_PROTO},
        {"application/grpc-web-text", WIRE_GRPC_WEB_TEXT, WIRE_PROTO},
        {"application/grpc-web-text+proto", WIRE_GRPC_WEB_TEXT, WIRE_PROTO},
        {"application/grpc", WIRE_GRPC, WIRE_PROTO},
        {"application/grpc+proto", WIRE_GRPC, WIRE_PROTO},
    };
    *ret_encoding = WIRE_PROTO;
    if (wire_value_is_grpc(content_type)) { /* the usual, and only this way over HTTP/2 */
        *ret_protocol = WIRE_GRPC;
        return true;
    }
    const uint8_t *end = content_type.len ? memchr(content_type.ptr, ';', content_type.len) : NULL;
    struct span type = {content_type.ptr, end ? (size_t)(end - content_type.ptr)
                                              : content_type.len};
    type = wire_value_trim(type);
    for (size_t i = 0; i < ARRAY_COUNT(faces); i++) {
        if (wire_value_same(type, faces[i].type)) {
            *ret_protocol = faces[i].protocol;
            *ret_encoding = faces[i].encoding;
            return true;
        }
    }
    return false;
}

static bool value_is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

struct span wire_value_trim(struct span value)
{
    while (value.len > 0 && value_is_blank(value.ptr[0])) {
        value.ptr++;
        value.len--;
    }
    while (value.len > 0 && value_is_blank(value.ptr[value.len - 1])) {
        value.len--;
    }
    return value;
}

bool wire_value_timeout_parse(struct span value, int64_t *ret_us)
{
    if (value.len < 2 || value.len > 9) {
        return false;
    }
    int64_t n = 0;
    for (size_t i = 0; i + 1 < value.len; i++) {
        if (value.ptr[i] < '0' || value.ptr[i] > '9') {
            return false;
        }
        n = n * 10 + (value.ptr[i] - '0');
    }
    switch (value.ptr[value.len - 1]) {
    case 'H': *ret_us = n * HOUR_US; return true;
    case 'M': *ret_us = n * MINUTE_US; return true;
    case 'S': *ret_us = n * SECOND_US; return true;
    case 'm': *ret_us = n * 1000; return true;
    case 'u': *ret_us = n; return true;
    case 'n': *ret_us = (n + 999) / 1000; return true;
    default: return false;
    }
}

size_t wire_value_timeout_write(int64_t timeout_us, char *out)
{
    static const struct {
        int64_t us;
        char unit;
    } units[] = {{1, 'u'}, {1000, 'm'}, {SECOND_US, 'S'}, {MINUTE_US, 'M'}};
    CHECK(timeout_us >= 0);
    int64_t n = 99999999;
    char unit = 'H';
    for (size_t i = 0; i < ARRAY_COUNT(units) && unit == 'H'; i++) {
        if (timeout_us / units[i].us <= n) {
            n = timeout_us / units[i].us;
            unit = units[i].unit;
        }
    }
    char digits[8];
    size_t len = 0;
    do {
        digits[len++] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    for (size_t i = 0; i < len; i++) {
        out[i] = digits[len - 1 - i];
    }
    out[len] = unit;
    return len + 1;
}

size_t wire_value_percent_encode(struct span text, uint8_t *out)
{
    static const char hex[] = "0123456789ABCDEF";
    uint8_t *at = out;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.ptr[i];
        bool at_end = i == 0 || i + 1 == text.len;
        if (c < 0x20 || c > 0x7e || c == '%' || (c == ' ' && at_end)) {
            *at++ = '%';
            *at++ = (uint8_t)hex[c >> 4];
            *at++ = (uint8_t)hex[c & 15];
        } else {
            *at++ = c;
        }
    }
    return (size_t)(at - out);
}

static int value_hex(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t wire_value_percent_decode(struct span text, uint8_t *out)
{
    uint8_t *at = out;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '%' && text.len - i > 2) {
            int high = value_hex(text.ptr[i + 1]);
            int low = value_hex(text.ptr[i + 2]);
            if (high >= 0 && low >= 0) {
                *at++ = (uint8_t)(high << 4 | low);
                i += 2;
                continue;
            }
        }
        *at++ = text.ptr[i];
    }
    return (size_t)(at - out);
}

struct span wire_value_cut(struct span text, size_t max)
{
    if (text.len <= max) {
        return text;
    }
    size_t len = max;
    while (len > 0 && (text.ptr[len] & 0xc0) == 0x80) {
        len--;
    }
    return (struct span){text.ptr, len};
}

bool wire_value_base64_decode(struct span text, uint8_t *out, size_t *ret_len)
{
    while (text.len > 0 && text.len % 4 == 0 && text.ptr[text.len - 1] == '=') {
        text.len--;
        if (text.len > 0 && text.ptr[text.len - 1] == '=') {
            text.len--;
        }
    }
    bool is_exact; /* bits left over are let pass, as other implementations do */
    return base64_decode(text, BASE64_STANDARD, out, ret_len, &is_exact);
}

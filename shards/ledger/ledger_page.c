/* SPDX-License-Identifier: MIT */
/* Page tokens: where a list goes on.  Four bytes that bind the key to the list it came from (kind,
 * pool, filter, and for one's own lists the identity), then the key of the last thing that was
 * looked at, all in base64url: nothing to be read, kept or made up by a client.
 * Not a secret and no protection: a forged token shows nothing that its caller may not see.  It
 * only tells a client that mixes up its lists, instead of silently answering from the middle of
 * another one.
 * One key has one spelling: what is not exactly what ledger_page_write() makes is refused.
 * Owns nothing; fails by verdict, or by -ENOMEM. */
#include <errno.h>

#include "ledger/ledger_parts.h"

#define CHECK_BYTES 4
#define TOKEN_BYTES (PAGE_TOKEN_MAX / 4 * 3) /* check and key, at most */

static const char ledger_page_alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* -- base64url without padding ----------------------------------------------------------------- */

static size_t ledger_page_encode(const uint8_t *bytes, size_t len, uint8_t *out)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i < 3 ? len - i : 3;
        uint32_t v = (uint32_t)bytes[i] << 16 | (left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) |
                     (left > 2 ? bytes[i + 2] : 0);
        for (size_t j = 0; j <= left; j++) {
            out[n++] = (uint8_t)ledger_page_alphabet[v >> (18 - 6 * j) & 63];
        }
    }
    return n;
}

static int ledger_page_digit(uint8_t c)
{
    return c >= 'A' && c <= 'Z'   ? c - 'A'
           : c >= 'a' && c <= 'z' ? c - 'a' + 26
           : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '-'             ? 62
           : c == '_'             ? 63
                                  : -1;
}

/* False for anything that ledger_page_encode() does not make. */
static bool ledger_page_decode(struct span token, uint8_t *out, size_t *ret_len)
{
    uint32_t v = 0;
    size_t n = 0, bits = 0;
    if (token.len % 4 == 1 || token.len > PAGE_TOKEN_MAX) {
        return false;
    }
    for (size_t i = 0; i < token.len; i++) {
        int digit = ledger_page_digit(token.ptr[i]);
        if (digit < 0) {
            return false;
        }
        v = v << 6 | (uint32_t)digit;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[n++] = (uint8_t)(v >> bits);
            v &= (1u << bits) - 1;
        }
    }
    *ret_len = n;
    return v == 0; /* the bits that say nothing are zero */
}

/* -- tokens ------------------------------------------------------------------------------------ */

static uint32_t ledger_page_check(const struct ledger_step *s, struct span key)
{
    uint8_t bytes[512];
    const struct command *c = s->c;
    struct scribe w = scribe_of(bytes, sizeof bytes);
    scribe_u16(&w, (uint16_t)c->kind);
    scribe_span16(&w, c->pool);
    scribe_u64(&w, (uint64_t)c->from_us);
    scribe_u64(&w, (uint64_t)c->to_us);
    scribe_u8(&w, c->free_only);
    if (c->kind == COMMAND_LIST_RESERVATIONS) {
        scribe_bytes(&w, c->identity.bytes, sizeof c->identity.bytes);
    }
    if (c->kind == COMMAND_LIST_EVENTS) {
        scribe_u64(&w, c->client);
        scribe_bytes(&w, c->identity.bytes, c->is_client ? 0 : sizeof c->identity.bytes);
        scribe_span16(&w, c->release ? c->release->id : (struct span){0});
    }
    scribe_span16(&w, key);
    CHECK(!w.bad);
    return ledger_key_check((struct span){bytes, scribe_len(&w)});
}

int ledger_page_read(const struct ledger_step *s, struct span *ret_key)
{
    size_t len;
    if (s->c->page_token.len == 0) {
        return LEDGER_NONE;
    }
    uint8_t *bytes = arena_alloc(s->arena, TOKEN_BYTES);
    if (bytes == NULL) {
        return err_origin(-ENOMEM);
    }
    if (!ledger_page_decode(s->c->page_token, bytes, &len) || len <= CHECK_BYTES) {
        return REASON_PAGE_TOKEN_INVALID;
    }
    struct reader r = reader_of(bytes, len);
    uint32_t check = reader_u32(&r);
    struct span key = {bytes + CHECK_BYTES, len - CHECK_BYTES};
    if (check != ledger_page_check(s, key)) {
        return REASON_PAGE_TOKEN_INVALID;
    }
    *ret_key = key;
    return 0;
}

int ledger_page_write(struct ledger_step *s, struct span key)
{
    uint8_t bytes[TOKEN_BYTES];
    struct scribe w = scribe_of(bytes, sizeof bytes);
    scribe_u32(&w, ledger_page_check(s, key));
    scribe_bytes(&w, key.ptr, key.len);
    CHECK(!w.bad);
    uint8_t *out = arena_alloc(s->arena, PAGE_TOKEN_MAX);
    if (out == NULL) {
        return err_origin(-ENOMEM);
    }
    s->v->next_page_token = (struct span){out, ledger_page_encode(bytes, scribe_len(&w), out)};
    return 0;
}

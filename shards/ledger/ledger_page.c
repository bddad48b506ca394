/* SPDX-License-Identifier: MIT */
/* Page tokens: where a list goes on.  "CCCCCCCC.KEY": eight hex digits that bind the key to the
 * list it came from (kind, pool, filter, and for one's own lists the identity), then the key of the
 * last thing that was looked at.  Not a secret and no protection: a forged token shows nothing that
 * its caller may not see.  It only tells a client that mixes up its lists, instead of silently
 * answering from the middle of another one.
 * Owns nothing; fails by verdict, or by -ENOMEM. */
#include <errno.h>

#include "ledger/ledger_parts.h"

#define CHECK_DIGITS 8

static void ledger_page_digits(const struct ledger_step *s, struct span key,
                               char out[CHECK_DIGITS])
{
    static const char hex[] = "0123456789abcdef";
    uint8_t bytes[512];
    const struct command *c = s->c;
    struct writer w = writer_of(bytes, sizeof bytes);
    writer_u16(&w, (uint16_t)c->kind);
    writer_span16(&w, c->pool);
    writer_u64(&w, (uint64_t)c->from_us);
    writer_u64(&w, (uint64_t)c->to_us);
    writer_u8(&w, c->free_only);
    if (c->kind == COMMAND_LIST_RESERVATIONS) {
        writer_bytes(&w, c->identity.bytes, sizeof c->identity.bytes);
    }
    writer_span16(&w, key);
    CHECK(!w.bad);
    uint32_t check = ledger_key_check((struct span){bytes, writer_len(&w)});
    for (int i = 0; i < CHECK_DIGITS; i++) {
        out[i] = hex[check >> (28 - 4 * i) & 15];
    }
}

int ledger_page_read(const struct ledger_step *s, struct span *ret_key)
{
    struct span token = s->c->page_token;
    if (token.len == 0) {
        return LEDGER_NONE;
    }
    if (token.len <= CHECK_DIGITS + 1 || token.len > PAGE_TOKEN_MAX ||
        token.ptr[CHECK_DIGITS] != '.') {
        return REASON_PAGE_TOKEN_INVALID;
    }
    char digits[CHECK_DIGITS];
    struct span key = {token.ptr + CHECK_DIGITS + 1, token.len - CHECK_DIGITS - 1};
    ledger_page_digits(s, key, digits);
    if (memcmp(token.ptr, digits, CHECK_DIGITS) != 0) {
        return REASON_PAGE_TOKEN_INVALID;
    }
    *ret_key = key;
    return 0;
}

int ledger_page_write(struct ledger_step *s, struct span key)
{
    size_t len = CHECK_DIGITS + 1 + key.len;
    CHECK(len <= PAGE_TOKEN_MAX);
    uint8_t *out = arena_alloc(s->arena, len);
    if (out == NULL) {
        return err_origin(-ENOMEM);
    }
    ledger_page_digits(s, key, (char *)out);
    out[CHECK_DIGITS] = '.';
    memcpy(out + CHECK_DIGITS + 1, key.ptr, key.len);
    s->v->next_page_token = (struct span){out, len};
    return 0;
}

/* SPDX-License-Identifier: MIT */
/* Sheaves: verdicts that an account has no room for, up to eight tied into one record beside it.
 *
 *   in the account   of each sheaf, oldest first: until, count u8, a mark u16 of each request
 *   'G' record       format u8 | until u64 | count u8 | entries, as in the account but no STAND
 *
 *   account full -> all that it remembers into one sheaf -> its marks into the account
 *   a request    -> in the account? -> of a sheaf that has its mark: there?
 *
 * For: somebody who asks for more than eight things in a day, as a bot does all day long.  A record
 * of its own for each verdict was a new key of random bytes for each request, and each new request
 * was looked for there in vain: a sixth of what the mutation of a busy identity costs.
 * A mark is 16 bits of a request's id: of another's request one in 65,536 costs a look in vain.
 * Who chooses ids of one mark makes his own requests dearer, by LEDGER_SHEAVES_MAX looks at most.
 * `until` is a second of log time, the same in both places: when it is there the account forgets
 * the sheaf and the sweep may take the record; so while the account knows it, it is there.
 * Since rules 7.  Owns nothing.  Fails by memory, or -EBADMSG for bytes that nobody here made. */
#include <errno.h>

#include "ledger/ledger_memory.h"

/* One of the list in an account. */
struct sheaf_line {
    uint64_t until_s;
    size_t count;
    const uint8_t *marks; /* u16 each */
};

static uint16_t sheaf_mark(const uint8_t id[LEDGER_MEMORY_ID])
{
    uint64_t a = bytes_load64(id), b = bytes_load64(id + 8);
    return (uint16_t)((a ^ (b << 32 | b >> 32)) * UINT64_C(0x9e3779b97f4a7c15) >> 48);
}

/* The next of the list; false at its end and for nonsense, which makes the reader bad. */
static bool sheaf_line_next(struct reader *r, struct sheaf_line *ret_line)
{
    if (reader_left(r) == 0) {
        return false;
    }
    ret_line->until_s = reader_varint(r);
    ret_line->count = reader_u8(r);
    r->bad |= ret_line->until_s > LEDGER_SECOND_MAX || ret_line->count == 0 ||
              ret_line->count > LEDGER_MEMORIES_MAX;
    return reader_take(r, 2 * ret_line->count, &ret_line->marks);
}

static bool sheaf_line_is_over(const struct sheaf_line *line, int64_t now_us)
{
    return (int64_t)line->until_s * SECOND_US <= now_us;
}

static bool sheaf_line_has(const struct sheaf_line *line, uint16_t mark)
{
    bool has = false;
    for (size_t i = 0; i < line->count; i++) {
        has |= (line->marks[2 * i] << 8 | line->marks[2 * i + 1]) == mark;
    }
    return has;
}

int ledger_read_sheaves(struct reader *r, struct ledger_account *ret_account)
{
    struct sheaf_line line;
    ret_account->sheaf_next = reader_varint(r);
    size_t count = reader_u8(r);
    const uint8_t *start = r->at;
    if (r->bad || count == 0 || count > LEDGER_SHEAVES_MAX || count > ret_account->sheaf_next) {
        return err_origin(-EBADMSG);
    }
    for (size_t i = 0; i < count; i++) {
        if (!sheaf_line_next(r, &line)) {
            return err_origin(-EBADMSG);
        }
    }
    ret_account->sheaves = (struct span){start, (size_t)(r->at - start)};
    ret_account->sheaves_count = count;
    return 0;
}

void ledger_record_sheaves(struct scribe *w, const struct ledger_account *account)
{
    scribe_varint(w, account->sheaf_next);
    scribe_u8(w, (uint8_t)account->sheaves_count);
    scribe_bytes(w, account->sheaves.ptr, account->sheaves.len);
}

void ledger_sheaves_forget(struct ledger_account *account, int64_t now_us)
{
    struct reader r = reader_of(account->sheaves.ptr, account->sheaves.len);
    struct sheaf_line line;
    while (sheaf_line_next(&r, &line) && sheaf_line_is_over(&line, now_us)) {
        account->sheaves = (struct span){r.at, reader_left(&r)};
        account->sheaves_count--;
    }
}

/* -- the record -------------------------------------------------------------------------------- */

struct ledger_key ledger_key_sheaf(struct routing_key at, const struct identity *identity,
                                   uint64_t number)
{
    uint8_t both[24];
    memcpy(both, identity->bytes, 16);
    bytes_store64(both + 16, number);
    return ledger_key_make(at, 'G', (struct span){both, sizeof both});
}

/* The entries, and when all of them are over. */
static int sheaf_read(struct span value, struct span *ret_entries, int64_t *ret_until_us)
{
    struct reader r = reader_of(value.ptr, value.len);
    uint8_t format = reader_u8(&r);
    uint64_t until_s = reader_u64(&r);
    size_t count = reader_u8(&r);
    *ret_entries = (struct span){r.at, reader_left(&r)};
    if (r.bad || format != LEDGER_FORMAT_5 || until_s > LEDGER_SECOND_MAX || count == 0 ||
        count > LEDGER_MEMORIES_MAX || !ledger_memories_are_whole(*ret_entries, count)) {
        return err_origin(-EBADMSG);
    }
    *ret_until_us = (int64_t)until_s * SECOND_US;
    return 0;
}

int ledger_sheaf_is_over(struct span value, int64_t now_us, bool *ret_is_over)
{
    struct span entries;
    int64_t until_us = 0;
    int r = sheaf_read(value, &entries, &until_us);
    *ret_is_over = r == 0 && until_us <= now_us;
    return err_trace(r);
}

/* An id that was used again after its day has a newer verdict elsewhere: this one is nobody's. */
static bool sheaf_entry_is_over(struct span body, int64_t now_us)
{
    struct reader r = reader_of(body.ptr, body.len);
    struct ledger_memory m = {.log_time_us = (int64_t)reader_u64(&r)};
    return !r.bad && ledger_memory_is_over(&m, now_us);
}

static int sheaf_search(struct ledger_step *s, struct routing_key at, uint64_t number,
                        struct span *ret_body)
{
    struct ledger_key key = ledger_key_sheaf(at, &s->c->identity, number);
    struct span value, entries;
    const uint8_t *id;
    int64_t until_us;
    int r = ledger_get(s->l, &key, &value);
    if (r) {
        return r == LEDGER_NONE ? err_origin(-EBADMSG) : err_trace(r);
    }
    r = sheaf_read(value, &entries, &until_us);
    if (r) {
        return err_trace(r);
    }
    struct reader at_entry = reader_of(entries.ptr, entries.len);
    while (reader_left(&at_entry) > 0 && ledger_memory_next(&at_entry, &id, ret_body)) {
        if (memcmp(id, s->c->request_id.bytes, LEDGER_MEMORY_ID) == 0) {
            return sheaf_entry_is_over(*ret_body, s->now_us) ? LEDGER_NONE : 0;
        }
    }
    return LEDGER_NONE;
}

int ledger_sheaf_find(struct ledger_step *s, struct routing_key at,
                      const struct ledger_account *account, struct span *ret_body)
{
    struct reader r = reader_of(account->sheaves.ptr, account->sheaves.len);
    uint16_t mark = sheaf_mark(s->c->request_id.bytes);
    uint64_t number = account->sheaf_next - account->sheaves_count;
    struct sheaf_line line;
    for (; sheaf_line_next(&r, &line); number++) {
        if (sheaf_line_is_over(&line, s->now_us) || !sheaf_line_has(&line, mark)) {
            continue;
        }
        int status = sheaf_search(s, at, number, ret_body);
        if (status != LEDGER_NONE) {
            return err_trace(status);
        }
    }
    return LEDGER_NONE;
}

/* -- a new one --------------------------------------------------------------------------------- */

void ledger_sheaf_add(struct ledger_sheaf *sheaf, const uint8_t id[LEDGER_MEMORY_ID],
                      const struct ledger_memory *m)
{
    uint64_t until_s = (uint64_t)((m->log_time_us + DAY_US + SECOND_US - 1) / SECOND_US);
    CHECK(sheaf->count < ARRAY_COUNT(sheaf->marks));
    sheaf->marks[sheaf->count++] = sheaf_mark(id);
    sheaf->until_s = until_s > sheaf->until_s ? until_s : sheaf->until_s;
}

void ledger_sheaf_head(uint8_t head[LEDGER_SHEAF_HEAD], const struct ledger_sheaf *sheaf)
{
    head[0] = LEDGER_FORMAT_5;
    bytes_store64(head + 1, sheaf->until_s);
    head[9] = (uint8_t)sheaf->count;
}

int ledger_sheaf_note(struct ledger_step *s, struct ledger_account *account,
                      const struct ledger_sheaf *sheaf)
{
    size_t most = account->sheaves.len + 10 + 1 + sizeof sheaf->marks;
    uint8_t *bytes = arena_alloc(s->arena, most);
    CHECK(account->sheaves_count < LEDGER_SHEAVES_MAX);
    if (bytes == NULL) {
        return err_origin(-ENOMEM);
    }
    struct scribe w = scribe_of(bytes, most);
    scribe_bytes(&w, account->sheaves.ptr, account->sheaves.len);
    scribe_varint(&w, sheaf->until_s);
    scribe_u8(&w, (uint8_t)sheaf->count);
    for (size_t i = 0; i < sheaf->count; i++) {
        scribe_u16(&w, sheaf->marks[i]);
    }
    CHECK(!w.bad);
    account->sheaves = (struct span){bytes, scribe_len(&w)};
    account->sheaves_count++;
    account->sheaf_next++;
    return 0;
}

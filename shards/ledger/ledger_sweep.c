/* SPDX-License-Identifier: MIT */
/* The end of old records: remembered verdicts after 24 h of log time, ended holds and reservations
 * beside their account LEDGER_ENDED_US after their slot's end, events after EVENTS_KEPT_US.
 *
 *   cursor in the state -> at most SWEEP_RECORDS records looked at -> cursor moved on, or wrapped
 *
 * One command does little, so that it never delays a round; whoever proposes them decides how fast
 * the book is gone round.  Behind a pool's first slot come only slots, in the index only names of
 * classes: the cursor jumps over them.
 * What the sweep has not met yet counts as absent already (ledger_request.c, ledger_account.c), so
 * its pace shows nowhere but in the size of the book.  Owns the cursor record. */
#include <errno.h>

#include "ledger/ledger_event.h"
#include "ledger/ledger_memory.h"

#define SWEEP_RECORDS 256

static struct ledger_key ledger_sweep_key(void)
{
    return ledger_key_make((struct routing_key){0, 0}, 'W', (struct span){0});
}

static int ledger_sweep_load(struct ledger_step *s, struct ledger_key *ret_cursor)
{
    struct ledger_key key = ledger_sweep_key();
    struct span value;
    int r = ledger_get(s->l, &key, &value);
    if (r == LEDGER_NONE) {
        *ret_cursor = ledger_key_space(LEDGER_SPACE_POOLS);
        return 0;
    }
    if (r) {
        return err_trace(r);
    }
    if (value.len < 2 || value.len > 1 + BOOK_KEY_MAX || value.ptr[0] != LEDGER_FORMAT_1) {
        return err_origin(-EBADMSG);
    }
    ret_cursor->len = value.len - 1;
    memcpy(ret_cursor->bytes, value.ptr + 1, ret_cursor->len);
    return 0;
}

static int ledger_sweep_store(struct ledger_step *s, const struct ledger_key *cursor)
{
    uint8_t bytes[1 + BOOK_KEY_MAX];
    struct ledger_key key = ledger_sweep_key();
    struct scribe w = scribe_of(bytes, sizeof bytes);
    scribe_u8(&w, LEDGER_FORMAT_1);
    scribe_bytes(&w, cursor->bytes, cursor->len);
    return err_trace(ledger_put(s->l, &key, &w));
}

static int ledger_sweep_is_over(struct ledger_step *s, uint8_t tag, struct span value,
                                bool *ret_is_over)
{
    int r = 0;
    if (tag == 'R') {
        struct ledger_memory m = {0};
        r = ledger_read_memory(value, &m);
        *ret_is_over = m.log_time_us + DAY_US <= s->now_us;
#ifdef PLANT_SWEEP_EARLY
        *ret_is_over = true;
#endif
    } else if (tag == 'G') {
        r = ledger_sheaf_is_over(value, s->now_us, ret_is_over);
#ifdef PLANT_SWEEP_EARLY
        *ret_is_over = true;
#endif
    } else if (tag == 'E') {
        struct ledger_item item = {0};
        r = ledger_read_ended(value, &item);
        *ret_is_over = !ledger_item_is_known(&item, s->now_us);
    } else if (tag == 'V') {
        struct ledger_event e = {.number = 0};
        r = ledger_event_read(value, &e);
        *ret_is_over = e.time_us <= s->now_us - EVENTS_KEPT_US;
    } else if (tag == 'O') {
        r = ledger_event_origin_is_over(s, value, ret_is_over);
    }
    return err_trace(r);
}

/* Looks at the record behind the cursor. 0; LEDGER_NONE at the end; < 0. */
static int ledger_sweep_one(struct ledger_step *s, struct ledger_key *cursor)
{
    struct ledger_key_parts parts;
    struct span key, value;
    int r = ledger_next(s->l, ledger_key_span(cursor), true, &key, &value);
    if (r) {
        return r == LEDGER_NONE ? r : err_trace(r);
    }
    if (!ledger_key_parse(key, &parts)) {
        return err_origin(-EBADMSG);
    }
    if (parts.tag == 'S' || parts.tag == 'C') {
        *cursor = ledger_key_space(parts.at.space + 1);
        return 0;
    }
    cursor->len = key.len;
    memcpy(cursor->bytes, key.ptr, key.len);
    bool is_over = false;
    if (parts.at.space > LEDGER_SPACE_ORIGINS && parts.at.space < LEDGER_SPACE_POOLS) {
        *cursor = ledger_key_space(LEDGER_SPACE_POOLS); /* releases are not swept here */
        return 0;
    }
    r = ledger_sweep_is_over(s, parts.tag, value, &is_over);
    if (r == 0 && !is_over && parts.tag == 'V') { /* the client's others are younger */
        *cursor = ledger_event_key(parts.at.position, UINT64_MAX, UINT16_MAX);
        return 0;
    }
    return r || !is_over ? err_trace(r) : err_trace(ledger_del(s->l, cursor));
}

int ledger_sweep(struct ledger_step *s)
{
    struct ledger_key cursor;
    int r = ledger_sweep_load(s, &cursor);
    for (int i = 0; r == 0 && i < SWEEP_RECORDS; i++) {
        r = ledger_sweep_one(s, &cursor);
    }
    if (r == LEDGER_NONE) {
        cursor = ledger_key_space(LEDGER_SPACE_EVENTS);
        r = 0;
    }
    return r ? err_trace(r) : err_trace(ledger_sweep_store(s, &cursor));
}

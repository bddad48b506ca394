/* SPDX-License-Identifier: MIT */
/* Which nodes an operator has cordoned: part of the state, so that every leader knows.
 *   (0, 0) 'N' -> format, count, node numbers in ascending order
 * The ledger knows no members: whether the node is one is judged before the log.  A node is
 * cordoned when it is removed, and who is no member is not uncordoned: so a cordoned number of
 * nobody is one that was removed, and is never used again.
 * Owns that record.  Fails by refusal when NODE_MARKS_MAX are cordoned; damage is < 0. */
#include <errno.h>

#include "ledger/ledger_parts.h"

#define NODE_MARKS_MAX 64

struct node_marks {
    uint64_t at[NODE_MARKS_MAX];
    size_t count;
};

static struct ledger_key ledger_node_key(void)
{
    return ledger_key_make((struct routing_key){0, 0}, 'N', (struct span){0});
}

static int ledger_node_load(struct ledger *l, struct node_marks *ret_marks)
{
    struct ledger_key key = ledger_node_key();
    struct span value;
    int r = ledger_get(l, &key, &value);
    ret_marks->count = 0;
    if (r == LEDGER_NONE) {
        return 0;
    }
    if (r) {
        return err_trace(r);
    }
    struct reader reader = reader_of(value.ptr, value.len);
    uint8_t format = reader_u8(&reader);
    uint32_t count = reader_u32(&reader);
    if (reader.bad || format != LEDGER_FORMAT_1 || count > NODE_MARKS_MAX) {
        return err_origin(-EBADMSG);
    }
    for (; ret_marks->count < count; ret_marks->count++) {
        ret_marks->at[ret_marks->count] = reader_u64(&reader);
    }
    return reader.bad || reader_left(&reader) > 0 ? err_origin(-EBADMSG) : 0;
}

static int ledger_node_store(struct ledger *l, const struct node_marks *marks)
{
    uint8_t bytes[5 + 8 * NODE_MARKS_MAX];
    struct ledger_key key = ledger_node_key();
    struct scribe w = scribe_of(bytes, sizeof bytes);
    scribe_u8(&w, LEDGER_FORMAT_1);
    scribe_u32(&w, (uint32_t)marks->count);
    for (size_t i = 0; i < marks->count; i++) {
        scribe_u64(&w, marks->at[i]);
    }
    CHECK(!w.bad);
    return err_trace(ledger_put(l, &key, &w));
}

/* Where the node stands, or would. */
static size_t ledger_node_place(const struct node_marks *marks, uint64_t node)
{
    size_t at = 0;
    while (at < marks->count && marks->at[at] < node) {
        at++;
    }
    return at;
}

int ledger_node_mark(struct ledger_step *s)
{
    struct node_marks marks;
    bool wanted = s->c->version == NODE_MARK_CORDON;
    int r = ledger_node_load(s->l, &marks);
    if (r) {
        return err_trace(r);
    }
    if ((s->c->roles & ROLE_OPERATOR) == 0) {
        return ledger_refuse(s, REASON_ROLE_MISSING);
    }
    size_t at = ledger_node_place(&marks, s->c->number);
    bool is_there = at < marks.count && marks.at[at] == s->c->number;
    if (is_there == wanted) {
        return 0; /* it is so already */
    }
    if (wanted && marks.count == NODE_MARKS_MAX) {
        return ledger_refuse(s, REASON_NODE_NOT_READY);
    }
    if (wanted) {
        memmove(&marks.at[at + 1], &marks.at[at], (marks.count - at) * sizeof marks.at[0]);
        marks.at[at] = s->c->number;
        marks.count++;
    } else {
        marks.count--;
        memmove(&marks.at[at], &marks.at[at + 1], (marks.count - at) * sizeof marks.at[0]);
    }
    return err_trace(ledger_node_store(s->l, &marks));
}

int ledger_is_cordoned(struct ledger *l, uint64_t node, bool *ret_is)
{
    struct node_marks marks;
    int r = ledger_node_load(l, &marks);
    if (r == 0) {
        size_t at = ledger_node_place(&marks, node);
        *ret_is = at < marks.count && marks.at[at] == node;
    }
    return err_fold(r);
}

/* SPDX-License-Identifier: MIT */
/* The newest verdicts of an account, inside it: most people never ask for more in a day, so what
 * they did is remembered without a record, and a key to be looked for, of its own.
 *
 *   oldest | .. | newest      each: request id, length u16, and
 *                             log time u64 | body hash u64 | kind u8 | reason u16 | form u8 | rest
 *   form  STAND    rest: a number, and what of that item of this account changes with its states
 *         1, 2     rest: the snapshot, items in that format (as in a record of its own)
 *
 *   add: what is over goes -> the new one -> over COUNT or BYTES the older ones go beside, all of
 *        them in one record (ledger_sheaf.c); before rules 7, or when there are too many of those,
 *        the oldest each in a record of its own
 *
 * A STAND says nothing of an item's slots and texts; so before those change, or the item leaves the
 * account, its verdicts get their snapshots (ledger_memory_settle).  What lies in records of its
 * own is asked for until it is all over (beside_us), so a new request of most people is looked for
 * nowhere else.
 * Since rules 6; those before keep one verdict inside (ledger_scene.c).
 * Owns nothing.  Fails by memory, or -EBADMSG for bytes that nobody here made. */
#include <errno.h>

#include "ledger/ledger_memory.h"

#define MEMORY_STAND 0  /* a form; the others are formats of items */
#define MEMORY_HEAD  (LEDGER_MEMORY_ID + 2)

bool ledger_memories_are_whole(struct span entries, size_t count)
{
    struct reader r = reader_of(entries.ptr, entries.len);
    const uint8_t *id;
    struct span body;
    size_t n = 0;
    while (n <= count && reader_left(&r) > 0 && ledger_memory_next(&r, &id, &body)) {
        n++;
    }
    return !r.bad && r.at == r.end && n == count;
}

/* -- an item as it stood ----------------------------------------------------------------------- */

/* An instant by its distance from the verdict's, before or behind: few bytes. */
static void memory_write_time(struct scribe *w, int64_t us, int64_t at_us)
{
    uint64_t v = (uint64_t)us - (uint64_t)at_us;
    scribe_varint(w, v << 1 ^ (v >> 63 ? UINT64_MAX : 0));
}

static int64_t memory_read_time(struct reader *r, int64_t at_us)
{
    uint64_t v = reader_varint(r);
    return (int64_t)((uint64_t)at_us + (v >> 1 ^ (v & 1 ? UINT64_MAX : 0)));
}

static void memory_write_stand(struct scribe *w, const struct ledger_item *item, int64_t at_us)
{
    scribe_varint(w, item->number);
    scribe_u8(w, item->state);
    scribe_varint(w, item->version);
    scribe_u8(w, item->create_us != 0);
    if (item->create_us != 0) {
        memory_write_time(w, item->create_us, at_us);
    }
    memory_write_time(w, item->expire_us, at_us);
    scribe_varint(w, (uint64_t)(item->lapse_us / SECOND_US));
    scribe_u8(w, item->changes_left);
    scribe_varint(w, item->log_index);
    for (size_t i = 0; i < item->parts_count; i++) {
        scribe_varint(w, item->parts[i].version);
    }
}

static const struct ledger_item *memory_item(const struct ledger_account *account, uint64_t number)
{
    for (size_t i = account->items_count; i-- > 0;) { /* most often the newest */
        if (account->items[i].number == number) {
            return &account->items[i];
        }
    }
    return NULL;
}

/* The item's record as it was, into the arena. */
static int memory_read_stand(struct ledger_step *s, const struct ledger_account *account,
                             struct reader *r, struct ledger_memory *m)
{
    const struct ledger_item *now = memory_item(account, reader_varint(r));
    struct ledger_item item;
    if (r->bad || now == NULL) {
        return err_origin(-EBADMSG);
    }
    item = *now;
    item.state = (enum ledger_item_state)reader_u8(r);
    uint64_t version = reader_varint(r);
    uint8_t is_made = reader_u8(r);
    item.create_us = is_made ? memory_read_time(r, m->log_time_us) : 0;
    item.expire_us = memory_read_time(r, m->log_time_us);
    uint64_t lapse = reader_varint(r);
    item.changes_left = reader_u8(r);
    item.log_index = reader_varint(r);
    for (size_t i = 0; i < item.parts_count; i++) {
        item.parts[i].version = reader_varint(r);
    }
    if (r->bad || r->at != r->end || is_made > 1 || item.state < ITEM_LIVE ||
        item.state > ITEM_LAPSED || item.changes_left > POOL_CHANGES_MAX ||
        version > UINT32_MAX || lapse > LEDGER_SECOND_MAX) {
        return err_origin(-EBADMSG);
    }
    item.version = (uint32_t)version;
    item.lapse_us = (int64_t)lapse * SECOND_US;
    uint8_t *bytes = arena_alloc(s->arena, LEDGER_ITEM_BYTES);
    if (bytes == NULL) {
        return err_origin(-ENOMEM);
    }
    struct scribe w = scribe_of(bytes, LEDGER_ITEM_BYTES);
    m->format = ledger_item_format(&item);
    ledger_record_item(&w, &item, m->format);
    CHECK(!w.bad);
    m->snapshot = (struct span){bytes, scribe_len(&w)};
    return 0;
}

/* -- entries ----------------------------------------------------------------------------------- */

/* item: NULL when the snapshot is to be kept as it is. */
static void memory_write(struct scribe *w, const void *id, const struct ledger_memory *m,
                         const struct ledger_item *item)
{
    scribe_bytes(w, id, LEDGER_MEMORY_ID);
    uint8_t *len = scribe_take(w, 2);
    const uint8_t *body = w->at;
    scribe_u64(w, (uint64_t)m->log_time_us);
    scribe_u64(w, m->body_hash);
    scribe_u8(w, (uint8_t)m->kind);
    scribe_u16(w, (uint16_t)m->reason);
    if (item) {
        scribe_u8(w, MEMORY_STAND);
        memory_write_stand(w, item, m->log_time_us);
    } else {
        scribe_u8(w, m->format);
        scribe_bytes(w, m->snapshot.ptr, m->snapshot.len);
    }
    if (!w->bad) {
        len[0] = (uint8_t)((w->at - body) >> 8);
        len[1] = (uint8_t)(w->at - body);
    }
}

/* The head of a body; its form is at the reader then. */
static int memory_read_head(struct reader *r, struct ledger_memory *ret_memory)
{
    ret_memory->log_time_us = (int64_t)reader_u64(r);
    ret_memory->body_hash = reader_u64(r);
    ret_memory->kind = (enum command_kind)reader_u8(r);
    unsigned reason = reader_u16(r);
    ret_memory->reason = (enum reason)reason;
    return r->bad || reason >= REASON_COUNT ? err_origin(-EBADMSG) : 0;
}

/* The whole verdict; its snapshot borrows from the account or the arena.
 * *ret_number: of the item that it is a stand of, else 0. */
static int memory_read(struct ledger_step *s, const struct ledger_account *account,
                       struct span body, struct ledger_memory *ret_memory, uint64_t *ret_number)
{
    struct reader r = reader_of(body.ptr, body.len);
    int status = memory_read_head(&r, ret_memory);
    uint8_t form = reader_u8(&r);
    *ret_number = 0;
    if (status || r.bad || form > LEDGER_FORMAT) {
        return status ? err_trace(status) : err_origin(-EBADMSG);
    }
    if (form == MEMORY_STAND) {
        struct reader number = r;
        *ret_number = reader_varint(&number);
        return err_trace(memory_read_stand(s, account, &r, ret_memory));
    }
    ret_memory->format = form;
    ret_memory->snapshot = (struct span){r.at, reader_left(&r)};
    return 0;
}

/* The entry of the command's request, inside.  0 or LEDGER_NONE: they were whole when read. */
static int memory_search(const struct ledger_step *s, const struct ledger_account *account,
                         struct span *ret_body)
{
    struct reader r = reader_of(account->memories.ptr, account->memories.len);
    const uint8_t *id;
    while (reader_left(&r) > 0 && ledger_memory_next(&r, &id, ret_body)) {
        if (memcmp(id, s->c->request_id.bytes, LEDGER_MEMORY_ID) == 0) {
            return 0;
        }
    }
    return LEDGER_NONE;
}

int ledger_memory_find(struct ledger_step *s, struct routing_key at,
                       const struct ledger_account *account, struct ledger_memory *ret_memory)
{
    struct span body;
    uint64_t number;
    bool is_inside = memory_search(s, account, &body) == 0;
    int r = is_inside ? 0 : ledger_sheaf_find(s, at, account, &body);
    if (r) {
        return r == LEDGER_NONE ? r : err_trace(r);
    }
    r = memory_read(s, account, body, ret_memory, &number);
    if (r == 0 && !is_inside && number) {
        r = err_origin(-EBADMSG); /* the items of a sheaf's time are not here */
    }
    return r                                               ? err_trace(r)
           : ledger_memory_is_over(ret_memory, s->now_us) ? LEDGER_NONE
                                                           : 0;
}

int ledger_memory_settle(struct ledger_step *s, struct ledger_account *account, uint64_t number)
{
    struct reader r = reader_of(account->memories.ptr, account->memories.len);
    size_t most = account->memories.len + account->memories_count * LEDGER_ITEM_BYTES;
    const uint8_t *id;
    struct span body;
    if (account->memories_count == 0) {
        return 0;
    }
    uint8_t *bytes = arena_alloc(s->arena, most);
    if (bytes == NULL) {
        return err_origin(-ENOMEM);
    }
    struct scribe w = scribe_of(bytes, most);
    while (reader_left(&r) > 0 && ledger_memory_next(&r, &id, &body)) {
        struct ledger_memory m;
        uint64_t of;
        int status = memory_read(s, account, body, &m, &of);
        if (status) {
            return err_trace(status);
        }
        if (of == number) {
            memory_write(&w, id, &m, NULL);
        } else {
            scribe_bytes(&w, id, MEMORY_HEAD + body.len);
        }
    }
    if (r.bad) {
        return err_origin(-EBADMSG);
    }
    CHECK(!w.bad);
    account->memories = (struct span){bytes, scribe_len(&w)};
    return 0;
}

/* -- the newest one in, the oldest ones out ---------------------------------------------------- */

static void memory_set_beside(struct ledger_account *account, const struct ledger_memory *m)
{
    int64_t until_us = m->log_time_us + DAY_US;
    account->beside_us = until_us > account->beside_us ? until_us : account->beside_us;
}

/* The oldest one out of the account: over, or on the list of those that go beside it. */
static int memory_take(struct ledger_step *s, struct ledger_account *account,
                       struct ledger_besides *besides)
{
    struct reader r = reader_of(account->memories.ptr, account->memories.len);
    struct ledger_memory m;
    const uint8_t *id;
    struct span body;
    uint64_t number;
    if (!ledger_memory_next(&r, &id, &body)) {
        return err_origin(-EBADMSG);
    }
    int status = memory_read(s, account, body, &m, &number);
    if (status) {
        return err_trace(status);
    }
    account->memories = (struct span){r.at, reader_left(&r)};
    account->memories_count--;
    if (ledger_memory_is_over(&m, s->now_us)) {
        return 0;
    }
    CHECK(besides->count < ARRAY_COUNT(besides->verdicts));
    memcpy(besides->verdicts[besides->count].request.bytes, id, LEDGER_MEMORY_ID);
    besides->verdicts[besides->count++].memory = m;
    memory_set_beside(account, &m);
    return 0;
}

/* All that are in the account, into a sheaf. */
static int memory_gather(struct ledger_step *s, struct ledger_account *account,
                         struct ledger_besides *besides)
{
    struct reader r = reader_of(account->memories.ptr, account->memories.len);
    struct ledger_sheaf sheaf = {.count = 0};
    const uint8_t *id;
    struct span body;
    uint8_t *bytes = arena_alloc(s->arena, LEDGER_SHEAF_BYTES);
    if (bytes == NULL) {
        return err_origin(-ENOMEM);
    }
    struct scribe w = scribe_of(bytes, LEDGER_SHEAF_BYTES);
    uint8_t *head = scribe_take(&w, LEDGER_SHEAF_HEAD);
    while (reader_left(&r) > 0 && ledger_memory_next(&r, &id, &body)) {
        struct ledger_memory m;
        uint64_t number;
        int status = memory_read(s, account, body, &m, &number);
        if (status) {
            return err_trace(status);
        }
        memory_write(&w, id, &m, NULL);
        ledger_sheaf_add(&sheaf, id, &m);
    }
    CHECK(!w.bad && sheaf.count == account->memories_count);
    ledger_sheaf_head(head, &sheaf);
    besides->sheaf = (struct span){bytes, scribe_len(&w)};
    besides->sheaf_number = account->sheaf_next;
    account->memories = (struct span){0};
    account->memories_count = 0;
    return err_trace(ledger_sheaf_note(s, account, &sheaf));
}

/* Those in front that are over. */
static int memory_forget(struct ledger_account *account, int64_t now_us)
{
    while (account->memories_count > 0) {
        struct reader r = reader_of(account->memories.ptr, account->memories.len);
        const uint8_t *id;
        struct span body;
        struct ledger_memory m;
        if (!ledger_memory_next(&r, &id, &body)) {
            return err_origin(-EBADMSG);
        }
        struct reader head = reader_of(body.ptr, body.len);
        int status = memory_read_head(&head, &m);
        if (status || !ledger_memory_is_over(&m, now_us)) {
            return err_trace(status);
        }
        account->memories = (struct span){r.at, reader_left(&r)};
        account->memories_count--;
    }
    return 0;
}

/* Something must go before the newest one fits, and there is something. */
static bool memory_is_full(const struct ledger_account *account)
{
    size_t bytes = account->memories.len + account->sheaves.len + account->newest_len;
    return account->memories_count > 0 &&
           (account->memories_count + (account->newest_len > 0) > LEDGER_MEMORIES_MAX ||
            bytes > LEDGER_MEMORIES_BYTES);
}

/* Until what is left fits: all of it into a sheaf, or one by one. */
static int memory_make_room(struct ledger_step *s, struct ledger_account *account,
                            struct ledger_besides *besides)
{
    int r = 0;
    if (s->l->version >= 7 && account->sheaves_count < LEDGER_SHEAVES_MAX &&
        memory_is_full(account)) {
        r = memory_gather(s, account, besides);
    }
    while (r == 0 && memory_is_full(account)) {
        r = memory_take(s, account, besides);
    }
    return err_trace(r);
}

int ledger_memory_add(struct ledger_step *s, struct ledger_account *account, uint64_t number,
                      const struct ledger_memory *m, struct ledger_besides *ret_besides)
{
    struct scribe w = scribe_of(account->newest, sizeof account->newest);
    memory_write(&w, s->c->request_id.bytes, m, number ? memory_item(account, number) : NULL);
    ret_besides->count = 0;
    ret_besides->sheaf.len = 0;
    int r = memory_forget(account, s->now_us);
    ledger_sheaves_forget(account, s->now_us);
    account->newest_len = w.bad ? 0 : scribe_len(&w);
    if (w.bad) { /* too long */
        ret_besides->verdicts[0].request = s->c->request_id;
        ret_besides->verdicts[ret_besides->count++].memory = *m;
        memory_set_beside(account, m);
    }
    return r ? err_trace(r) : err_trace(memory_make_room(s, account, ret_besides));
}

int ledger_memory_record(struct ledger_step *s, struct ledger_account *account, struct scribe *w,
                         struct ledger_besides *ret_besides)
{
    ret_besides->count = 0;
    ret_besides->sheaf.len = 0;
    ledger_record_account(w, account);
    if (!w->bad || s->l->version < 6) {
        return 0;
    }
    *w = scribe_of(w->start, (size_t)(w->end - w->start));
    ledger_sheaves_forget(account, s->now_us);
    int r = memory_forget(account, s->now_us);
    r = r ? r : memory_make_room(s, account, ret_besides);
    ledger_record_account(w, account);
    return err_trace(r);
}

int ledger_memory_put(struct ledger_step *s, struct routing_key at,
                      const struct identity *identity, const struct ledger_besides *besides)
{
    int r = 0;
    for (size_t i = 0; i < besides->count && r == 0; i++) {
        uint8_t bytes[BOOK_VALUE_MAX];
        struct scribe w = scribe_of(bytes, sizeof bytes);
        struct ledger_key key = ledger_key_request(at, identity, &besides->verdicts[i].request);
        ledger_record_memory(&w, &besides->verdicts[i].memory);
        r = ledger_put(s->l, &key, &w);
    }
    if (r == 0 && besides->sheaf.len > 0) {
        uint8_t *bytes = (uint8_t *)besides->sheaf.ptr;
        struct scribe w = {.start = bytes, .at = bytes + besides->sheaf.len};
        struct ledger_key key = ledger_key_sheaf(at, identity, besides->sheaf_number);
        r = ledger_put(s->l, &key, &w);
    }
    return err_trace(r);
}

int ledger_memory_renew(struct ledger_step *s, struct ledger_account *account)
{
    if (account->has_memory) {
        size_t most = MEMORY_HEAD + LEDGER_MEMORY_HEAD + account->memory.snapshot.len;
        uint8_t *bytes = arena_alloc(s->arena, most);
        if (bytes == NULL) {
            return err_origin(-ENOMEM);
        }
        struct scribe w = scribe_of(bytes, most);
        memory_write(&w, account->memory_id.bytes, &account->memory, NULL);
        CHECK(!w.bad);
        account->memories = (struct span){bytes, scribe_len(&w)};
        account->memories_count = 1;
        account->has_memory = false;
    }
    account->beside_us = s->now_us + DAY_US; /* whatever lies there is older than now */
    return 0;
}

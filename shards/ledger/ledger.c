/* SPDX-License-Identifier: MIT */
/* What a slot is and who holds it: the one place where commands become effects.
 *
 *   command + log time -> ledger_apply() -> one function per kind -> effects on the book, verdict
 *
 * Pure: the same log gives the same book, byte for byte.  Memory holds only what can be derived
 * again: the live holds by expiry (one pass over the slots, at the start) and a cache of pools.
 * Owns: the expiry heap, the cache.  Borrows: the book.  malloc: in ledger_new(), and when the heap
 * doubles.
 *
 * Order of checks of a client's mutation (first one wins, so that replicas and tests agree):
 *   1 the pool exists                        POOL_UNKNOWN, not remembered: no class, no place
 *   2 the request id                         the same answer again, or REQUEST_ID_REUSED
 *   3 requests of the day                    RATE_LIMITED, not remembered
 *   4 what the kind asks for                 see ledger_hold.c
 * Whatever 4 decides, done or refused, is remembered for 24 h of log time, in the same step.
 *
 * Fails (< 0) by the book, by damage in it (-EBADMSG) and by the end of memory: the shard stops. */
#include <errno.h>
#include <stdlib.h>

#include "ledger/ledger_event.h"

#define RESTOCK_STEPS 4 /* in one round: each changes up to 256 slots */
#define ERASE_STEPS   2 /* in one round: each costs up to 256 records */

/* -- the book ---------------------------------------------------------------------------------- */

int ledger_get(struct ledger *l, const struct ledger_key *key, struct span *ret_value)
{
    int r = l->book->get(l->book->self, ledger_key_span(key), ret_value);
    return r > 0 ? LEDGER_NONE : err_trace(r);
}

void ledger_hint(struct ledger *l, const struct ledger_key *key)
{
    if (l->book->hint) {
        l->book->hint(l->book->self, ledger_key_span(key));
    }
}

int ledger_next(struct ledger *l, struct span from, bool exclusive, struct span *ret_key,
                struct span *ret_value)
{
    int r = l->book->next(l->book->self, from, exclusive, ret_key, ret_value);
    return r > 0 ? LEDGER_NONE : err_trace(r);
}

int ledger_put(struct ledger *l, const struct ledger_key *key, const struct scribe *w)
{
    if (w->bad) {
        return err_origin(-EMSGSIZE);
    }
    struct span value = {w->start, scribe_len(w)};
    return err_fold(l->book->put(l->book->self, ledger_key_span(key), value));
}

int ledger_del(struct ledger *l, const struct ledger_key *key)
{
    return err_fold(l->book->del(l->book->self, ledger_key_span(key)));
}

/* -- verdicts ---------------------------------------------------------------------------------- */

bool ledger_is_anonymous(const struct command *c)
{
    static const struct identity nobody;
    return memcmp(&c->identity, &nobody, sizeof nobody) == 0;
}

int ledger_refuse(struct ledger_step *s, enum reason reason)
{
    CHECK(reason != REASON_OK);
    s->v->reason = reason;
    return 0;
}

void ledger_meta(struct ledger_step *s, const char *key, struct span value)
{
    CHECK(s->v->meta_count < VERDICT_META_MAX);
    s->v->meta[s->v->meta_count++] = (struct verdict_meta){key, value};
}

int ledger_meta_count(struct ledger_step *s, const char *key, size_t count)
{
    char digits[20];
    size_t n = sizeof digits;
    do {
        digits[--n] = (char)('0' + count % 10);
        count /= 10;
    } while (count > 0);
    struct span text;
    int r = ledger_keep(s->arena, (struct span){(uint8_t *)digits + n, sizeof digits - n}, &text);
    if (r == 0) {
        ledger_meta(s, key, text);
    }
    return err_trace(r);
}

int ledger_keep(struct arena *arena, struct span bytes, struct span *ret_span)
{
    uint8_t *out = arena_alloc(arena, bytes.len);
    if (out == NULL) {
        return err_origin(-ENOMEM);
    }
    if (bytes.len > 0) {
        memcpy(out, bytes.ptr, bytes.len);
    }
    *ret_span = (struct span){out, bytes.len};
    return 0;
}

/* -- the rules' version ------------------------------------------------------------------------ */

static struct ledger_key ledger_version_key(void)
{
    return ledger_key_make((struct routing_key){0, 0}, 'M', (struct span){0});
}

static int ledger_read_version(struct ledger *l)
{
    struct ledger_key key = ledger_version_key();
    struct span value;
    int r = ledger_get(l, &key, &value);
    if (r == LEDGER_NONE) {
        l->is_new = true;
        l->version = LEDGER_VERSION_FIRST;
        return 0;
    }
    if (r < 0) {
        return err_trace(r);
    }
    struct reader reader = reader_of(value.ptr, value.len);
    uint8_t format = reader_u8(&reader);
    uint32_t version = reader_u32(&reader);
    if (reader.bad || reader_left(&reader) > 0) {
        return err_origin(-EBADMSG);
    }
    l->version = version;
    return format > LEDGER_FORMAT || version > LEDGER_VERSION ? LEDGER_E_VERSION : 0;
}

static int ledger_write_version(struct ledger *l, uint32_t version)
{
    uint8_t bytes[8];
    struct ledger_key key = ledger_version_key();
    struct scribe w = scribe_of(bytes, sizeof bytes);
    scribe_u8(&w, LEDGER_FORMAT);
    scribe_u32(&w, version);
    int r = ledger_put(l, &key, &w);
    if (r == 0) {
        l->is_new = false;
        l->version = version;
    }
    return err_trace(r);
}

/* The log says that every replica knows these rules; one that does not must not go on. */
static int ledger_raise(struct ledger_step *s)
{
    if (s->c->version > LEDGER_VERSION) {
        return err_origin(-ENOTSUP);
    }
    return s->c->version > s->l->version
               ? err_trace(ledger_write_version(s->l, (uint32_t)s->c->version))
               : 0;
}

bool ledger_knows(const struct ledger *l, const struct command *c)
{
    if (c->kind == COMMAND_MARK_NODE || c->kind == COMMAND_ERASE_STEP) {
        return l->version >= (c->kind == COMMAND_MARK_NODE ? 4 : 5);
    }
    if (l->version >= 3 || command_is_read(c->kind) || c->kind == COMMAND_RAISE) {
        return true;
    }
    if ((c->new_pool && ledger_pool_has_ends(c->new_pool)) || c->kind >= COMMAND_END_RELEASE) {
        return false;
    }
    if (l->version == 2) {
        return true;
    }
    return c->kind <= COMMAND_SWEEP && c->select_count == 0 &&
           (c->new_pool == NULL || ledger_pool_is_plain(c->new_pool));
}

/* -- the pass over the slots ------------------------------------------------------------------- */

static int ledger_load_slot(struct ledger *l, const struct ledger_key_parts *parts,
                            struct span value)
{
    struct ledger_slot slot;
    /* Most slots are not held: one look at the state saves decoding the rest. */
    if (value.len > 1 && value.ptr[0] == LEDGER_FORMAT_1 && value.ptr[1] != SLOT_HELD) {
        return 0;
    }
    int r = ledger_read_slot(value, &slot);
    if (r) {
        return err_trace(r);
    }
    bool is_held = slot.state == SLOT_HELD;
    if (slot.is_follower || (!is_held && slot.lapse_us == 0)) {
        return 0;
    }
    struct ledger_expiry_entry entry = {.expire_us = is_held ? slot.expire_us : slot.lapse_us,
                                        .space = parts->at.space,
                                        .owner = slot.owner,
                                        .number = slot.number,
                                        .version = slot.item_version,
                                        .is_reservation = !is_held};
    return err_trace(ledger_expiry_add(&l->expiry, &entry));
}

static int ledger_load_pool(struct ledger *l, uint64_t space, struct span value)
{
    struct pool_view pool;
    int r = ledger_read_pool(value, &pool);
    if (r == 0 && !ledger_coin_has_room(l, space) && pool.return_policy == RETURN_COIN) {
        r = err_origin(-EBADMSG);
    }
    if (r == 0) {
        ledger_coin_follow(l, space, pool.return_policy);
    }
    return err_trace(r);
}

static int ledger_load(struct ledger *l)
{
    struct ledger_key from = ledger_key_space(LEDGER_SPACE_POOLS);
    struct span key = ledger_key_span(&from), value;
    bool exclusive = false;
    for (;;) {
        struct ledger_key_parts parts;
        int r = ledger_next(l, key, exclusive, &key, &value);
        if (r) {
            return r == LEDGER_NONE ? 0 : err_trace(r);
        }
        if (!ledger_key_parse(key, &parts)) {
            return err_origin(-EBADMSG);
        }
        if (parts.at.space >= LEDGER_SPACE_CLASSES) {
            return 0;
        }
        if (parts.tag == 'S') {
            r = ledger_load_slot(l, &parts, value);
        } else if (parts.tag == 'J') {
            r = ledger_restock_load(l, parts.at.space);
        } else if (parts.tag == 'P') {
            r = ledger_load_pool(l, parts.at.space, value);
        }
        if (r) {
            return err_trace(r);
        }
        exclusive = true;
    }
}

int ledger_new(const struct book *book, struct ledger **ret_ledger)
{
    struct ledger *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return err_origin(-ENOMEM);
    }
    l->book = book;
    l->open = calloc(RELEASES_OPEN_MAX, sizeof *l->open);
    int r = l->open ? ledger_read_version(l) : err_origin(-ENOMEM);
    if (r == 0) {
        r = err_trace(ledger_load(l));
    }
    if (r == 0) {
        r = err_trace(ledger_open_load(l));
    }
    if (r == 0) {
        r = err_trace(ledger_erase_load(l));
    }
    if (r) {
        ledger_free(l);
        return r;
    }
    *ret_ledger = l;
    return 0;
}

void ledger_free(struct ledger *l)
{
    if (l) {
        ledger_open_fini(l);
        free(l->open);
        ledger_expiry_fini(&l->expiry);
        ledger_expiry_fini(&l->ends);
        free(l);
    }
}

/* -- commands ---------------------------------------------------------------------------------- */

static int ledger_dispatch_release(struct ledger_step *s)
{
    switch (s->c->kind) {
    case COMMAND_CREATE_RELEASE:
        return err_trace(ledger_release_create(s));
    case COMMAND_CHANGE_RELEASE:
        return err_trace(ledger_release_change(s));
    case COMMAND_ADD_PART:
        return err_trace(ledger_release_add_part(s));
    case COMMAND_STEP_RELEASE:
        return err_trace(ledger_release_step(s));
    case COMMAND_ERASE:
        return err_trace(ledger_erase(s));
    case COMMAND_ERASE_STEP:
        return err_trace(ledger_erase_step(s));
    case COMMAND_COIN:
        return err_trace(ledger_coin(s));
    case COMMAND_END_RELEASE:
        return err_trace(ledger_end_step(s));
    case COMMAND_CREATE_TICKET:
        return err_trace(ledger_ticket_create(s));
    case COMMAND_DELETE_TICKET:
        return err_trace(ledger_ticket_delete(s));
    case COMMAND_LIST_RELEASES:
        return err_trace(ledger_release_list(s));
    case COMMAND_GET_RELEASE:
        return err_trace(ledger_release_get(s));
    case COMMAND_GET_TICKET:
        return err_trace(ledger_ticket_get(s));
    case COMMAND_GET_PROOF:
        return err_trace(ledger_proof_get(s));
    case COMMAND_REVEAL_SEED:
        return err_trace(ledger_release_reveal(s));
    case COMMAND_GET_RESULT:
        return err_trace(ledger_result_get(s));
    case COMMAND_EXPORT_RELEASE:
        return err_trace(ledger_export(s));
    case COMMAND_GET_REPORT:
        return err_trace(ledger_report_get(s));
    case COMMAND_LIST_TICKETS:
        return err_trace(ledger_bundle_tickets(s));
    case COMMAND_LIST_OFFERED:
        return err_trace(ledger_bundle_slots(s));
    case COMMAND_LIST_EVENTS:
        return err_trace(ledger_event_list(s));
    default:
        return err_origin(-EINVAL); /* codec_command_unpack() lets no other kind through */
    }
}

static int ledger_dispatch(struct ledger_step *s)
{
    switch (s->c->kind) {
    case COMMAND_CREATE_POOL:
        return err_trace(ledger_pool_create(s));
    case COMMAND_CREATE_SLOTS:
        return err_trace(ledger_slots_create(s));
    case COMMAND_CREATE_HOLD:
        return err_trace(ledger_hold_create(s));
    case COMMAND_CONFIRM_HOLD:
    case COMMAND_DROP_HOLD:
    case COMMAND_CANCEL_RESERVATION:
        return err_trace(ledger_hold_change(s));
    case COMMAND_EXPIRE_HOLD:
    case COMMAND_LAPSE:
        return err_trace(ledger_hold_end(s));
    case COMMAND_RESCHEDULE:
        return err_trace(ledger_move_reschedule(s));
    case COMMAND_RECONFIRM:
        return err_trace(ledger_move_reconfirm(s));
    case COMMAND_UPDATE_POOL:
        return err_trace(ledger_pool_update(s));
    case COMMAND_BLOCK_SLOTS:
    case COMMAND_UNBLOCK_SLOTS:
        return err_trace(ledger_stock_block(s));
    case COMMAND_RESTOCK:
        return err_trace(ledger_restock_begin(s));
    case COMMAND_RESTOCK_STEP:
        return err_trace(ledger_restock_step(s));
    case COMMAND_RAISE:
        return err_trace(ledger_raise(s));
    case COMMAND_MARK_NODE:
        return err_trace(ledger_node_mark(s));
    case COMMAND_SWEEP:
        return err_trace(ledger_sweep(s));
    case COMMAND_LIST_POOLS:
        return err_trace(ledger_pool_list(s));
    case COMMAND_GET_POOL:
        return err_trace(ledger_pool_get(s));
    case COMMAND_LIST_SLOTS:
        return err_trace(ledger_slots_list(s));
    case COMMAND_GET_HOLD:
        return err_trace(ledger_read_hold(s));
    case COMMAND_GET_RESERVATION:
        return err_trace(ledger_read_reservation(s));
    case COMMAND_LIST_RESERVATIONS:
        return err_trace(ledger_read_reservations(s));
    default:
        return err_trace(ledger_dispatch_release(s));
    }
}

int ledger_apply(struct ledger *l, const struct command *command, uint64_t log_index, uint32_t item,
                 int64_t log_time_us, struct arena *arena, struct verdict *ret_verdict)
{
    CHECK(item < 1u << LEDGER_ITEM_BITS);
    CHECK(log_index < UINT64_C(1) << (64 - LEDGER_ITEM_BITS));
    struct verdict v = {.reason = REASON_OK, .as_of_us = log_time_us};
    struct ledger_step s = {.l = l,
                            .c = command,
                            .log_index = log_index,
                            .number = log_index << LEDGER_ITEM_BITS | item,
                            .now_us = log_time_us,
                            .arena = arena,
                            .v = &v};
    int r = 0;
#ifdef PLANT_NUMBER_REUSED
    s.number = log_index << LEDGER_ITEM_BITS;
#endif
    l->events_made = 0;
    if (l->is_new && !command_is_read(command->kind)) {
        r = ledger_write_version(l, LEDGER_VERSION_FIRST);
    }
    if (r == 0 && !ledger_knows(l, command)) {
        ledger_refuse(&s, REASON_METHOD_PLANNED);
    } else if (r == 0 && ledger_erase_bars(l, command)) {
        ledger_refuse(&s, REASON_ERASE_RUNNING);
    } else if (r == 0) {
        r = ledger_dispatch(&s);
    }
    if (r == 0) {
        *ret_verdict = v;
    }
    return err_fold(r);
}

/* -- who should look again --------------------------------------------------------------------- */

static void ledger_touch(struct ledger *l, struct ledger_touch touch)
{
    if (l->touches_count == LEDGER_TOUCH_MAX) {
        l->touches[0] = (struct ledger_touch){.release = 0}; /* everybody: the others do no harm */
        return;
    }
    l->touches[l->touches_count++] = touch;
}

void ledger_touch_identity(struct ledger *l, const struct identity *identity)
{
    ledger_touch(l, (struct ledger_touch){.identity = *identity});
}

void ledger_touch_release(struct ledger *l, uint64_t space)
{
    ledger_touch(l, (struct ledger_touch){.release = space & (LEDGER_SPACE_RELEASES - 1)});
}

size_t ledger_touched(struct ledger *l, const struct ledger_touch **ret_touches)
{
    size_t count = l->touches_count;
    l->touches_count = 0;
    *ret_touches = l->touches;
    return count;
}

/* -- what the shard says by itself ------------------------------------------------------------- */

void ledger_rules(struct ledger *l, uint32_t known)
{
    l->rules = known < LEDGER_VERSION ? known : LEDGER_VERSION;
#ifdef PLANT_RULES_EARLY /* never defined but by tests/sim */
    l->rules = LEDGER_VERSION;
#endif
}

bool ledger_is_newest(const struct ledger *l)
{
    return l->version >= LEDGER_VERSION;
}

static bool ledger_wants_raise(const struct ledger *l)
{
    return l->version < l->rules;
}

int64_t ledger_next_expiry_us(const struct ledger *l)
{
    if (ledger_wants_raise(l) || l->restocks_count > 0 || l->erasures_count > 0) {
        return 0;
    }
    int64_t expiry_us = l->expiry.count ? l->expiry.entries[0].expire_us : INT64_MAX;
    int64_t step_us = ledger_open_next_us(l);
    int64_t end_us = ledger_end_next_us(l);
    step_us = end_us < step_us ? end_us : step_us;
    return step_us < expiry_us ? step_us : expiry_us;
}

/* Newer rules, and a step of the first few restocks and erasures. */
static size_t ledger_due_works(const struct ledger *l, struct arena *arena, struct command *out,
                               size_t max)
{
    size_t made = 0;
    if (ledger_wants_raise(l) && made < max) {
        out[made++] = (struct command){.kind = COMMAND_RAISE, .version = l->rules};
    }
    for (size_t i = 0; i < l->restocks_count && i < RESTOCK_STEPS && made < max; i++) {
        struct span pool;
        if (ledger_pool_id(l, l->restocks[i], arena, &pool) != 0) {
            break;
        }
        out[made++] = (struct command){.kind = COMMAND_RESTOCK_STEP, .pool = pool};
    }
    for (size_t i = 0; i < l->erasures_count && i < ERASE_STEPS && made < max; i++) {
        out[made++] = (struct command){.kind = COMMAND_ERASE_STEP,
                                       .identity = l->erasures[i].identity};
    }
    return made;
}

size_t ledger_due(const struct ledger *l, int64_t log_time_us, struct arena *arena,
                  struct command *out, size_t max)
{
    const struct ledger_expiry_entry **due = arena_alloc(arena, max * sizeof(void *));
    if (due == NULL) {
        return 0;
    }
    size_t made = ledger_due_works(l, arena, out, max);
    made += ledger_open_due(l, log_time_us, out + made, max - made);
    made += ledger_end_due(l, log_time_us, arena, out + made, max - made);
    size_t count = ledger_expiry_due(&l->expiry, log_time_us, arena, due, max - made);
    for (size_t i = 0; i < count; i++) {
        struct span pool;
        /* A pool that cannot be read now is tried again: apply will meet the damage and stop. */
        if (ledger_pool_id(l, due[i]->space, arena, &pool) != 0) {
            break;
        }
        out[made++] = (struct command){.kind = due[i]->is_reservation ? COMMAND_LAPSE
                                                                      : COMMAND_EXPIRE_HOLD,
                                       .pool = pool,
                                       .owner = due[i]->owner,
                                       .number = due[i]->number,
                                       .version = due[i]->version};
    }
    return made;
}

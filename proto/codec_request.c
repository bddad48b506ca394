/* SPDX-License-Identifier: MIT */
/* A client's message -> a command.  Everything a client can say wrong is said here, with the field
 * and what would be right; behind this file nobody checks again.
 *
 *   bytes -> codec_unpack() -> one function per kind -> codec_command_hash() for mutations
 *
 * The body's hash covers the re-packed command, so that two encodings of the same wish are the
 * same body, and another wish under the same request_id is found out.
 * Owns nothing: the command's spans borrow from the arena.  Operators' requests are in
 * codec_request_admin.c.  Road not taken: a table of rules per field; the rules are too few. */
#include "base/check.h"
#include "base/err.h"
#include "fairslot/v1/services.pb-c.h"
#include "proto/codec_parts.h"

int codec_fault(struct codec_ask *ask, const char *field, const char *detail)
{
    ask->field = field;
    ask->detail = detail;
    return REASON_FIELD_INVALID;
}

static int codec_request_nibble(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

int codec_ask_request_id(struct codec_ask *ask, const char *text)
{
    static const char detail[] =
        "a UUID of 36 characters: make a new one for every wish, keep it for its retries";
    struct request_id id;
    size_t n = 0;
    const char *at = text;
    while (n < sizeof id.bytes) {
        if ((n == 4 || n == 6 || n == 8 || n == 10) && *at++ != '-') {
            return codec_fault(ask, "request_id", detail);
        }
        int high = codec_request_nibble(at[0]);
        int low = high < 0 ? -1 : codec_request_nibble(at[1]);
        if (low < 0) {
            return codec_fault(ask, "request_id", detail);
        }
        id.bytes[n++] = (uint8_t)(high << 4 | low);
        at += 2;
    }
    if (*at != 0) {
        return codec_fault(ask, "request_id", detail);
    }
    ask->command->request_id = id;
    return 0;
}

int codec_ask_pool(struct codec_ask *ask, const char *field, const char *text)
{
    if (!codec_name_pool(span_of(text), &ask->command->pool)) {
        return codec_fault(ask, field, "pools/POOL");
    }
    return 0;
}

/* "pools/P/holds/H" or "pools/P/reservations/R" in field "name". */
static int codec_request_owned(struct codec_ask *ask, char letter, const char *text)
{
    struct span id;
    struct command *c = ask->command;
    const char *part = letter == 'h' ? "/holds/" : "/reservations/";
    if (!codec_name_child(span_of(text), part, &c->pool, &id) ||
        !codec_owned_id_parse(id, letter, &c->owner, &c->number)) {
        return codec_fault(ask, "name", letter == 'h' ? "pools/POOL/holds/HOLD"
                                                      : "pools/POOL/reservations/RESERVATION");
    }
    return 0;
}

int codec_ask_etag(struct codec_ask *ask, const char *text)
{
    ask->command->etag = span_of(text);
    if (ask->command->etag.len > ETAG_MAX) {
        return codec_fault(ask, "etag", "the etag of an earlier answer, or empty");
    }
    return 0;
}

int codec_ask_page(struct codec_ask *ask, int32_t size, const char *token)
{
    ask->command->page_token = span_of(token);
    if (size < 0) {
        return codec_fault(ask, "page_size", "0 (50) to 1000");
    }
    if (ask->command->page_token.len > PAGE_TOKEN_MAX) {
        return REASON_PAGE_TOKEN_INVALID; /* as for every token that we did not make */
    }
    ask->command->page_size = size == 0              ? PAGE_SIZE
                              : size > PAGE_SIZE_MAX ? PAGE_SIZE_MAX
                                                     : (uint32_t)size;
    return 0;
}

int codec_ask_slot(struct codec_ask *ask, const char *field, const char *text,
                   struct slot_key *ret_key)
{
    struct span pool, id;
    if (!codec_name_child(span_of(text), "/slots/", &pool, &id) ||
        !codec_slot_id_parse(id, ret_key)) {
        return codec_fault(ask, field, "pools/POOL/slots/SLOT");
    }
    return span_equal(pool, ask->command->pool) ? 0
                                                : codec_fault(ask, field, "a slot of the pool");
}

static int codec_request_selector(struct codec_ask *ask, const Fairslot__V1__SlotSelector *m)
{
    struct command *c = ask->command;
    const Google__Protobuf__Timestamp *at = m->start_time;
    if (at == NULL || at->nanos != 0 || !codec_time_us(at->seconds, 0, &c->select_us)) {
        return codec_fault(ask, "selector.start_time", "whole seconds, 1970-01-01 to 9999-12-31");
    }
    if (m->slot_count < 0 || m->slot_count > SLOTS_PER_HOLD) {
        return codec_fault(ask, "selector.slot_count", "0 (the default) to 8");
    }
    bool is_kept = m->slot_count == 0 && c->kind == COMMAND_RESCHEDULE;
    c->select_count = m->slot_count == 0 && !is_kept ? 1 : (uint32_t)m->slot_count;
    return 0;
}

/* The slot wanted, by name or by time; NULL is what was not said. */
static int codec_request_want(struct codec_ask *ask, const char *slot,
                              const Fairslot__V1__SlotSelector *selector)
{
    if (selector) {
        return codec_request_selector(ask, selector);
    }
    if (slot == NULL) {
        return codec_fault(ask, "want", "a slot or a selector");
    }
    struct slot_key *key = arena_alloc(ask->arena, sizeof *key);
    if (key == NULL) {
        return REASON_MESSAGE_TOO_LARGE;
    }
    ask->command->slots = key;
    ask->command->slots_count = 1;
    return codec_ask_slot(ask, "slot", slot, key);
}

static int codec_request_create_hold(struct codec_ask *ask, struct span message)
{
    Fairslot__V1__CreateHoldRequest *m;
    int r = codec_unpack(&fairslot__v1__create_hold_request__descriptor, message, ask->arena, &m);
    if (r == 0) {
        r = codec_ask_pool(ask, "parent", m->parent);
    }
    if (r == 0) {
        int want = m->want_case;
        r = codec_request_want(
            ask, want == FAIRSLOT__V1__CREATE_HOLD_REQUEST__WANT_SLOT ? m->slot : NULL,
            want == FAIRSLOT__V1__CREATE_HOLD_REQUEST__WANT_SELECTOR ? m->selector : NULL);
    }
    if (r == 0 && m->ticket[0] != 0) {
        struct span pool = ask->command->pool;
        r = codec_ask_ticket(ask, "ticket", m->ticket);
        if (r == 0 && !span_equal(pool, ask->command->pool)) {
            r = codec_fault(ask, "ticket", "a ticket of a release of the pool");
        }
    }
    return r ? r : codec_ask_request_id(ask, m->request_id);
}

static int codec_request_confirm_hold(struct codec_ask *ask, struct span message)
{
    Fairslot__V1__ConfirmHoldRequest *m;
    int r = codec_unpack(&fairslot__v1__confirm_hold_request__descriptor, message, ask->arena, &m);
    if (r == 0) {
        r = codec_request_owned(ask, 'h', m->name);
    }
    if (r == 0) {
        r = codec_ask_etag(ask, m->etag);
    }
    return r ? r : codec_ask_request_id(ask, m->request_id);
}

static int codec_request_drop_hold(struct codec_ask *ask, struct span message)
{
    Fairslot__V1__DropHoldRequest *m;
    int r = codec_unpack(&fairslot__v1__drop_hold_request__descriptor, message, ask->arena, &m);
    if (r == 0) {
        r = codec_request_owned(ask, 'h', m->name);
    }
    return r ? r : codec_ask_request_id(ask, m->request_id);
}

static int codec_request_cancel(struct codec_ask *ask, struct span message)
{
    Fairslot__V1__CancelReservationRequest *m;
    int r = codec_unpack(&fairslot__v1__cancel_reservation_request__descriptor, message,
                         ask->arena, &m);
    if (r == 0) {
        r = codec_request_owned(ask, 'r', m->name);
    }
    if (r == 0) {
        r = codec_ask_etag(ask, m->etag);
    }
    return r ? r : codec_ask_request_id(ask, m->request_id);
}

static int codec_request_reschedule(struct codec_ask *ask, struct span message)
{
    Fairslot__V1__RescheduleReservationRequest *m;
    int r = codec_unpack(&fairslot__v1__reschedule_reservation_request__descriptor, message,
                         ask->arena, &m);
    if (r == 0) {
        r = codec_request_owned(ask, 'r', m->name);
    }
    if (r == 0) {
        int want = m->want_case;
        r = codec_request_want(
            ask, want == FAIRSLOT__V1__RESCHEDULE_RESERVATION_REQUEST__WANT_SLOT ? m->slot : NULL,
            want == FAIRSLOT__V1__RESCHEDULE_RESERVATION_REQUEST__WANT_SELECTOR ? m->selector
                                                                               : NULL);
    }
    if (r == 0) {
        r = codec_ask_etag(ask, m->etag);
    }
    return r ? r : codec_ask_request_id(ask, m->request_id);
}

static int codec_request_reconfirm(struct codec_ask *ask, struct span message)
{
    Fairslot__V1__ReconfirmReservationRequest *m;
    int r = codec_unpack(&fairslot__v1__reconfirm_reservation_request__descriptor, message,
                         ask->arena, &m);
    if (r == 0) {
        r = codec_request_owned(ask, 'r', m->name);
    }
    if (r == 0) {
        r = codec_ask_etag(ask, m->etag);
    }
    return r ? r : codec_ask_request_id(ask, m->request_id);
}

static int codec_request_get_hold(struct codec_ask *ask, struct span message)
{
    Fairslot__V1__GetHoldRequest *m;
    int r = codec_unpack(&fairslot__v1__get_hold_request__descriptor, message, ask->arena, &m);
    return r ? r : codec_request_owned(ask, 'h', m->name);
}

static int codec_request_get_reservation(struct codec_ask *ask, struct span message)
{
    Fairslot__V1__GetReservationRequest *m;
    int r =
        codec_unpack(&fairslot__v1__get_reservation_request__descriptor, message, ask->arena, &m);
    return r ? r : codec_request_owned(ask, 'r', m->name);
}

static int codec_request_list_reservations(struct codec_ask *ask, struct span message)
{
    Fairslot__V1__ListReservationsRequest *m;
    int r = codec_unpack(&fairslot__v1__list_reservations_request__descriptor, message, ask->arena,
                         &m);
    if (r) {
        return r;
    }
    if (strcmp(m->parent, "pools/-") == 0) {
        ask->command->pool = span_of(m->parent + 6);
    } else if (!codec_name_pool(span_of(m->parent), &ask->command->pool)) {
        return codec_fault(ask, "parent", "pools/POOL, or pools/- for all");
    }
    return codec_ask_page(ask, m->page_size, m->page_token);
}

static int codec_request_list_pools(struct codec_ask *ask, struct span message)
{
    Fairslot__V1__ListPoolsRequest *m;
    int r = codec_unpack(&fairslot__v1__list_pools_request__descriptor, message, ask->arena, &m);
    return r ? r : codec_ask_page(ask, m->page_size, m->page_token);
}

static int codec_request_get_pool(struct codec_ask *ask, struct span message)
{
    Fairslot__V1__GetPoolRequest *m;
    int r = codec_unpack(&fairslot__v1__get_pool_request__descriptor, message, ask->arena, &m);
    return r ? r : codec_ask_pool(ask, "name", m->name);
}

/* What is between two microseconds counts as the later one: no slot starts between them. */
static bool codec_request_bound(const Google__Protobuf__Timestamp *t, int64_t *ret_us)
{
    if (t && !codec_time_us(t->seconds, t->nanos, ret_us)) {
        return false;
    }
    *ret_us += t && t->nanos % 1000 != 0;
    return true;
}

static int codec_request_list_slots(struct codec_ask *ask, struct span message)
{
    Fairslot__V1__ListSlotsRequest *m;
    int r = codec_unpack(&fairslot__v1__list_slots_request__descriptor, message, ask->arena, &m);
    if (r == 0) {
        r = codec_ask_pool(ask, "parent", m->parent);
    }
    if (r) {
        return r;
    }
    struct command *c = ask->command;
    c->to_us = INT64_MAX;
    c->free_only = m->free_only;
    if (!codec_request_bound(m->start_time, &c->from_us)) {
        return codec_fault(ask, "start_time", "1970-01-01 to 9999-12-31");
    }
    if (!codec_request_bound(m->end_time, &c->to_us)) {
        return codec_fault(ask, "end_time", "1970-01-01 to 9999-12-31");
    }
    if (c->from_us > c->to_us) {
        return codec_fault(ask, "end_time", "not before start_time");
    }
    return codec_ask_page(ask, m->page_size, m->page_token);
}

static int codec_request_watch_slots(struct codec_ask *ask, struct span message)
{
    Fairslot__V1__WatchSlotsRequest *m;
    int r = codec_unpack(&fairslot__v1__watch_slots_request__descriptor, message, ask->arena, &m);
    return r ? r : codec_ask_pool(ask, "parent", m->parent);
}

static int codec_request_of_release(struct codec_ask *ask, struct span message)
{
    switch (ask->command->kind) {
    case COMMAND_CREATE_RELEASE:
        return codec_request_create_release(ask, message);
    case COMMAND_CHANGE_RELEASE:
        return codec_request_change_release(ask, (enum release_action)ask->method->action,
                                            message);
    case COMMAND_ADD_PART:
        return codec_request_add_part(ask, message);
    case COMMAND_CREATE_TICKET:
        return codec_request_create_ticket(ask, message);
    case COMMAND_DELETE_TICKET:
        return codec_request_delete_ticket(ask, message);
    case COMMAND_LIST_RELEASES:
        return codec_request_list_releases(ask, message);
    case COMMAND_GET_RELEASE:
        return codec_request_get_release(ask, message);
    case COMMAND_GET_TICKET:
    case COMMAND_WATCH_TICKET:
    case COMMAND_GET_PROOF:
        return codec_request_get_ticket(ask, message);
    case COMMAND_REVEAL_SEED:
        return codec_request_reveal_seed(ask, message);
    case COMMAND_GET_REPORT:
        return codec_request_get_report(ask, message);
    case COMMAND_GET_RESULT:
        return codec_request_get_result(ask, message);
    case COMMAND_EXPORT_RELEASE:
        return codec_request_export(ask, message);
    case COMMAND_LIST_TICKETS:
    case COMMAND_LIST_OFFERED:
        return codec_request_list_release(ask, message);
    case COMMAND_LIST_EVENTS:
    case COMMAND_WATCH_EVENTS:
        return codec_request_list_events(ask, message);
    default:
        return REASON_METHOD_PLANNED; /* the shard's own: no client says them */
    }
}

static int codec_request_of_kind(struct codec_ask *ask, struct span message)
{
    switch (ask->command->kind) {
    case COMMAND_CREATE_POOL:
        return codec_request_create_pool(ask, message);
    case COMMAND_CREATE_SLOTS:
        return codec_request_create_slots(ask, message);
    case COMMAND_CREATE_HOLD:
        return codec_request_create_hold(ask, message);
    case COMMAND_CONFIRM_HOLD:
        return codec_request_confirm_hold(ask, message);
    case COMMAND_DROP_HOLD:
        return codec_request_drop_hold(ask, message);
    case COMMAND_CANCEL_RESERVATION:
        return codec_request_cancel(ask, message);
    case COMMAND_RESCHEDULE:
        return codec_request_reschedule(ask, message);
    case COMMAND_RECONFIRM:
        return codec_request_reconfirm(ask, message);
    case COMMAND_UPDATE_POOL:
        return codec_request_update_pool(ask, message);
    case COMMAND_BLOCK_SLOTS:
    case COMMAND_UNBLOCK_SLOTS:
        return codec_request_block_slots(ask, message);
    case COMMAND_ERASE:
        return codec_request_erase(ask, message);
    case COMMAND_RESTOCK:
        return codec_request_restock(ask, message);
    case COMMAND_LIST_POOLS:
        return codec_request_list_pools(ask, message);
    case COMMAND_GET_POOL:
        return codec_request_get_pool(ask, message);
    case COMMAND_LIST_SLOTS:
        return codec_request_list_slots(ask, message);
    case COMMAND_GET_HOLD:
        return codec_request_get_hold(ask, message);
    case COMMAND_GET_RESERVATION:
        return codec_request_get_reservation(ask, message);
    case COMMAND_LIST_RESERVATIONS:
        return codec_request_list_reservations(ask, message);
    case COMMAND_WATCH_SLOTS:
        return codec_request_watch_slots(ask, message);
    default:
        return command_is_cluster(ask->command->kind) || ask->command->kind == COMMAND_MARK_NODE
                   ? codec_request_cluster(ask, message)
                   : codec_request_of_release(ask, message);
    }
}

int codec_request(const struct codec_method *method, struct span message, struct arena *arena,
                  struct command *ret_command, const char **ret_field, const char **ret_detail)
{
    CHECK(method != NULL);
    struct command command = {.kind = method->kind};
    struct codec_ask ask = {.arena = arena, .command = &command, .method = method};
    int r = codec_request_of_kind(&ask, message);
    if (r == REASON_FIELD_INVALID) {
        *ret_field = ask.field;
        *ret_detail = ask.detail;
    }
    if (r) {
        return r;
    }
    if (!command_is_read(command.kind) && codec_command_hash(&command, arena, &command.body_hash)) {
        return REASON_MESSAGE_TOO_LARGE; /* over the cap: the client's bytes were too much */
    }
    *ret_command = command;
    return 0;
}

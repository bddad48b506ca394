/* SPDX-License-Identifier: MIT */
/* fairslot hold create|show|confirm|drop, reservation list|show|cancel|reschedule|reconfirm: what
 * a person's client does, for trying out and for the support desk.
 * All but one send a name (and an etag, and a request id) and get one resource: they share
 * cmd_booking_parse() and cmd_booking_send().  Two may name a time instead of a slot. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "ctl/cmd.h"
#include "ctl/names.h"
#include "ctl/options.h"
#include "ctl/session.h"
#include "ctl/show.h"
#include "ctl/talk.h"
#include "fairslot/v1/services.pb-c.h"

/* What these verbs are told. */
struct cmd_booking {
    struct options_call call;
    char name[NAMES_MAX]; /* of the resource */
    const char *pool;     /* --pool, when the name is an id alone */
    const char *etag;     /* "" any */
    const char *request_id;
    char made_id[VALUE_UUID_MAX]; /* when none was given */
    const char *slot, *at, *count; /* of verbs that choose */
    const char *ticket;            /* --ticket: whose turn it is; NULL: none */
    Fairslot__V1__SlotSelector selector; /* of --at */
    Google__Protobuf__Timestamp start;   /* the selector points here */
};

/* --at and --count, read. 0 or OPTIONS_E_USAGE (told). */
static int cmd_booking_choice(const struct verb *verb, struct cmd_booking *b)
{
    int64_t us;
    long count = 0;
    if (!b->at) {
        return b->count ? (options_wrong(verb, "count", b->count, "is for --at TIME"),
                           OPTIONS_E_USAGE)
                        : 0;
    }
    if (!value_time(b->at, &us)) {
        options_wrong(verb, "at", b->at, "a time such as 2026-12-01T09:00:00+01:00");
        return OPTIONS_E_USAGE;
    }
    if (b->count && !value_count(b->count, 1, SLOTS_PER_HOLD, &count)) {
        options_wrong(verb, "count", b->count, "a whole number from 1 to 8");
        return OPTIONS_E_USAGE;
    }
    fairslot__v1__slot_selector__init(&b->selector);
    google__protobuf__timestamp__init(&b->start);
    b->start.seconds = us / SECOND_US;
    b->start.nanos = (int32_t)(us % SECOND_US) * 1000;
    b->selector.start_time = &b->start;
    b->selector.slot_count = (int32_t)count;
    return 0;
}

/* What the words must name, and what may be left out. */
struct cmd_booking_shape {
    const char *collection; /* "slots", "holds" or "reservations" */
    bool chooses;           /* takes --at and --count */
    bool takes_slot;        /* takes --slot; who chooses and does not takes --ticket */
};

/* The resource's name, of the word that was typed; of `hold create --at` the pool's. */
static bool cmd_booking_name(const struct options_words *words, const struct cmd_booking_shape *of,
                             struct cmd_booking *b)
{
    bool is_slot = strcmp(of->collection, "slots") == 0;
    if (is_slot && b->at) {
        const char *pool = words->count ? words->at[0] : b->pool;
        if (pool) {
            names_pool(pool, b->name);
            return true;
        }
        talk_error("no pool is named");
        talk_next("write the pool, or add --pool POOL");
        return false;
    }
    const char *typed = words->count ? words->at[0] : "";
    if (typed[0] && names_child(typed, b->pool, of->collection, b->name)) {
        return true;
    }
    talk_error("'%s' names no pool", typed);
    talk_next("write pools/POOL/%s/%s, or add --pool POOL", of->collection,
              typed[0] ? typed : "ID");
    return false;
}

static const struct cmd_booking_shape cmd_booking_slot = {"slots", true, false};
static const struct cmd_booking_shape cmd_booking_hold = {.collection = "holds"};
static const struct cmd_booking_shape cmd_booking_reservation = {.collection = "reservations"};
static const struct cmd_booking_shape cmd_booking_moved = {"reservations", true, true};

static int cmd_booking_parse(const struct verb *verb, int argc, char **argv,
                             const struct cmd_booking_shape *of, struct cmd_booking *b)
{
    struct options_words words;
    *b = (struct cmd_booking){.etag = ""};
    const struct options_spec specs[] = {
        {"pool", 0, &b->pool, NULL},
        {"etag", 0, &b->etag, NULL},
        {"request-id", 0, &b->request_id, NULL},
        OPTIONS_CALL(&b->call),
        {of->chooses ? "at" : NULL, 0, &b->at, NULL},
        {"count", 0, &b->count, NULL},
        {of->takes_slot ? "slot" : "ticket", 0, of->takes_slot ? &b->slot : &b->ticket, NULL},
        {NULL},
    };
    bool may_be_none = of->chooses && !of->takes_slot; /* the pool, by --pool */
    const struct options_rule rule = {specs, may_be_none ? 0 : 1, 1, "a NAME"};
    options_call_init(&b->call);
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return r;
    }
    if (options_call_check(verb, &b->call) != VERB_OK || cmd_booking_choice(verb, b) != 0 ||
        !cmd_booking_name(&words, of, b)) {
        return OPTIONS_E_USAGE;
    }
    if (b->request_id && !value_uuid_valid(b->request_id)) {
        options_wrong(verb, "request-id", b->request_id, "a UUID of 36 characters");
        return OPTIONS_E_USAGE;
    }
    if (!b->request_id) {
        session_request_id(b->made_id);
        b->request_id = b->made_id;
    }
    return 0;
}

/* One call; a hold or a reservation comes back and is shown. */
static int cmd_booking_send(const struct cmd_booking *b, const char *method,
                            const ProtobufCMessage *request, bool is_hold)
{
    char path[96];
    struct session *session;
    void *answer;
    int r = session_open(&b->call, &session);
    if (r != VERB_OK) {
        return r;
    }
    snprintf(path, sizeof(path), "/fairslot.v1.ReservationService/%s", method);
    const struct session_call call = {path, request,
                                      is_hold ? &fairslot__v1__hold__descriptor
                                              : &fairslot__v1__reservation__descriptor};
    r = session_call(session, &call, &answer);
    if (r == VERB_OK) {
        r = is_hold ? show_hold(&b->call, answer) : show_reservation(&b->call, answer);
        session_free(answer);
    }
    session_close(session);
    return r;
}

/* "R", "pools/P/releases/R" or a ticket's whole name -> the ticket's name.  A release stands for
 * one's own ticket in it.  false: it is no such name. */
static bool cmd_hold_ticket(const char *typed, const char *pool, char out[NAMES_MAX])
{
    char release[NAMES_MAX];
    if (!names_child(typed, pool, "releases", release)) {
        return false;
    }
    int n = snprintf(out, NAMES_MAX, "%s%s", release,
                     strstr(release, "/tickets/") ? "" : "/tickets/me");
    return n > 0 && n < NAMES_MAX;
}

int cmd_hold_create(const struct verb *verb, int argc, char **argv)
{
    struct cmd_booking b;
    char parent[NAMES_MAX], ticket[NAMES_MAX];
    int r = cmd_booking_parse(verb, argc, argv, &cmd_booking_slot, &b);
    if (r != 0) {
        return options_exit(r);
    }
    if (!b.at && !names_parent(b.name, parent)) {
        return options_wrong(verb, "pool", b.name, "a slot's name is pools/POOL/slots/SLOT");
    }
    Fairslot__V1__CreateHoldRequest request = FAIRSLOT__V1__CREATE_HOLD_REQUEST__INIT;
    request.parent = b.at ? b.name : parent;
    if (b.ticket) {
        if (!cmd_hold_ticket(b.ticket, request.parent, ticket)) {
            return options_wrong(verb, "ticket", b.ticket, "a release, or a ticket's name");
        }
        request.ticket = ticket;
    }
    if (b.at) {
        request.want_case = FAIRSLOT__V1__CREATE_HOLD_REQUEST__WANT_SELECTOR;
        request.selector = &b.selector;
    } else {
        request.want_case = FAIRSLOT__V1__CREATE_HOLD_REQUEST__WANT_SLOT;
        request.slot = b.name;
    }
    request.request_id = (char *)b.request_id;
    return cmd_booking_send(&b, "CreateHold", &request.base, true);
}

int cmd_hold_show(const struct verb *verb, int argc, char **argv)
{
    struct cmd_booking b;
    int r = cmd_booking_parse(verb, argc, argv, &cmd_booking_hold, &b);
    if (r != 0) {
        return options_exit(r);
    }
    Fairslot__V1__GetHoldRequest request = FAIRSLOT__V1__GET_HOLD_REQUEST__INIT;
    request.name = b.name;
    return cmd_booking_send(&b, "GetHold", &request.base, true);
}

int cmd_hold_confirm(const struct verb *verb, int argc, char **argv)
{
    struct cmd_booking b;
    int r = cmd_booking_parse(verb, argc, argv, &cmd_booking_hold, &b);
    if (r != 0) {
        return options_exit(r);
    }
    Fairslot__V1__ConfirmHoldRequest request = FAIRSLOT__V1__CONFIRM_HOLD_REQUEST__INIT;
    request.name = b.name;
    request.etag = (char *)b.etag;
    request.request_id = (char *)b.request_id;
    return cmd_booking_send(&b, "ConfirmHold", &request.base, false);
}

int cmd_hold_drop(const struct verb *verb, int argc, char **argv)
{
    struct cmd_booking b;
    int r = cmd_booking_parse(verb, argc, argv, &cmd_booking_hold, &b);
    if (r != 0) {
        return options_exit(r);
    }
    Fairslot__V1__DropHoldRequest request = FAIRSLOT__V1__DROP_HOLD_REQUEST__INIT;
    request.name = b.name;
    request.request_id = (char *)b.request_id;
    return cmd_booking_send(&b, "DropHold", &request.base, true);
}

int cmd_reservation_show(const struct verb *verb, int argc, char **argv)
{
    struct cmd_booking b;
    int r = cmd_booking_parse(verb, argc, argv, &cmd_booking_reservation, &b);
    if (r != 0) {
        return options_exit(r);
    }
    Fairslot__V1__GetReservationRequest request = FAIRSLOT__V1__GET_RESERVATION_REQUEST__INIT;
    request.name = b.name;
    return cmd_booking_send(&b, "GetReservation", &request.base, false);
}

int cmd_reservation_cancel(const struct verb *verb, int argc, char **argv)
{
    struct cmd_booking b;
    int r = cmd_booking_parse(verb, argc, argv, &cmd_booking_reservation, &b);
    if (r != 0) {
        return options_exit(r);
    }
    Fairslot__V1__CancelReservationRequest request = FAIRSLOT__V1__CANCEL_RESERVATION_REQUEST__INIT;
    request.name = b.name;
    request.etag = (char *)b.etag;
    request.request_id = (char *)b.request_id;
    return cmd_booking_send(&b, "CancelReservation", &request.base, false);
}

int cmd_reservation_reschedule(const struct verb *verb, int argc, char **argv)
{
    struct cmd_booking b;
    char pool[NAMES_MAX], slot[NAMES_MAX];
    int r = cmd_booking_parse(verb, argc, argv, &cmd_booking_moved, &b);
    if (r != 0) {
        return options_exit(r);
    }
    if (!b.slot == !b.at) {
        return options_wrong(verb, "at", b.at ? b.at : "TIME", "or --slot SLOT, one of the two");
    }
    Fairslot__V1__RescheduleReservationRequest request =
        FAIRSLOT__V1__RESCHEDULE_RESERVATION_REQUEST__INIT;
    if (b.slot) {
        bool has_pool = names_parent(b.name, pool);
        if (!has_pool || !names_child(b.slot, pool + strlen("pools/"), "slots", slot)) {
            return options_wrong(verb, "slot", b.slot, "a slot's name");
        }
        request.want_case = FAIRSLOT__V1__RESCHEDULE_RESERVATION_REQUEST__WANT_SLOT;
        request.slot = slot;
    } else {
        request.want_case = FAIRSLOT__V1__RESCHEDULE_RESERVATION_REQUEST__WANT_SELECTOR;
        request.selector = &b.selector;
    }
    request.name = b.name;
    request.etag = (char *)b.etag;
    request.request_id = (char *)b.request_id;
    return cmd_booking_send(&b, "RescheduleReservation", &request.base, false);
}

int cmd_reservation_reconfirm(const struct verb *verb, int argc, char **argv)
{
    struct cmd_booking b;
    int r = cmd_booking_parse(verb, argc, argv, &cmd_booking_reservation, &b);
    if (r != 0) {
        return options_exit(r);
    }
    Fairslot__V1__ReconfirmReservationRequest request =
        FAIRSLOT__V1__RECONFIRM_RESERVATION_REQUEST__INIT;
    request.name = b.name;
    request.etag = (char *)b.etag;
    request.request_id = (char *)b.request_id;
    return cmd_booking_send(&b, "ReconfirmReservation", &request.base, false);
}

static int cmd_reservation_pages(struct session *session, const char *parent, struct show *show)
{
    char token[PAGE_TOKEN_MAX + 1] = "";
    do {
        Fairslot__V1__ListReservationsResponse *page;
        Fairslot__V1__ListReservationsRequest request =
            FAIRSLOT__V1__LIST_RESERVATIONS_REQUEST__INIT;
        request.parent = (char *)parent;
        request.page_size = PAGE_SIZE_MAX;
        request.page_token = token;
        const struct session_call list = {"/fairslot.v1.ReservationService/ListReservations",
                                          &request.base,
                                          &fairslot__v1__list_reservations_response__descriptor};
        int r = session_call(session, &list, &page);
        if (r != VERB_OK) {
            return r;
        }
        for (size_t i = 0; i < page->n_reservations; i++) {
            show_reservation_add(show, page->reservations[i]);
        }
        snprintf(token, sizeof(token), "%s", page->next_page_token);
        session_free(page);
    } while (token[0]);
    return VERB_OK;
}

int cmd_reservation_list(const struct verb *verb, int argc, char **argv)
{
    char parent[NAMES_MAX];
    const char *pool = "-";
    struct options_call call;
    struct options_words words;
    struct session *session;
    struct show show;
    const struct options_spec specs[] = {{"pool", 0, &pool, NULL}, OPTIONS_CALL(&call), {NULL}};
    const struct options_rule rule = {specs, 0, 0, ""};
    options_call_init(&call);
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    names_pool(pool, parent);
    r = options_call_check(verb, &call);
    r = r == VERB_OK ? session_open(&call, &session) : r;
    if (r != VERB_OK) {
        return r;
    }
    show_reservations_begin(&show, &call);
    r = cmd_reservation_pages(session, parent, &show);
    if (r == VERB_OK) {
        r = show_end(&show);
    } else {
        show_drop(&show);
    }
    session_close(session);
    return r;
}

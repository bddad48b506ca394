/* SPDX-License-Identifier: MIT */
/* fairslot hold create|show|confirm|drop and reservation list|show|cancel: what a person's client
 * does, for trying out and for the support desk.
 * Five of the seven send a name (and an etag, and a request id) and get one resource: they share
 * cmd_booking_parse() and cmd_booking_send(). */
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
};

/* collection: "slots", "holds" or "reservations", as the word's kind. */
static int cmd_booking_parse(const struct verb *verb, int argc, char **argv, const char *collection,
                             struct cmd_booking *b)
{
    struct options_words words;
    *b = (struct cmd_booking){.etag = ""};
    const struct options_spec specs[] = {
        {"pool", 0, &b->pool, NULL},
        {"etag", 0, &b->etag, NULL},
        {"request-id", 0, &b->request_id, NULL},
        OPTIONS_CALL(&b->call),
        {NULL},
    };
    const struct options_rule rule = {specs, 1, 1, "a NAME"};
    options_call_init(&b->call);
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return r;
    }
    if (options_call_check(verb, &b->call) != VERB_OK) {
        return OPTIONS_E_USAGE;
    }
    if (!names_child(words.at[0], b->pool, collection, b->name)) {
        talk_error("'%s' names no pool", words.at[0]);
        talk_next("write pools/POOL/%s/%s, or add --pool POOL", collection, words.at[0]);
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

int cmd_hold_create(const struct verb *verb, int argc, char **argv)
{
    struct cmd_booking b;
    char parent[NAMES_MAX];
    int r = cmd_booking_parse(verb, argc, argv, "slots", &b);
    if (r != 0) {
        return options_exit(r);
    }
    if (!names_parent(b.name, parent)) {
        return options_wrong(verb, "pool", b.name, "a slot's name is pools/POOL/slots/SLOT");
    }
    Fairslot__V1__CreateHoldRequest request = FAIRSLOT__V1__CREATE_HOLD_REQUEST__INIT;
    request.parent = parent;
    request.want_case = FAIRSLOT__V1__CREATE_HOLD_REQUEST__WANT_SLOT;
    request.slot = b.name;
    request.request_id = (char *)b.request_id;
    return cmd_booking_send(&b, "CreateHold", &request.base, true);
}

int cmd_hold_show(const struct verb *verb, int argc, char **argv)
{
    struct cmd_booking b;
    int r = cmd_booking_parse(verb, argc, argv, "holds", &b);
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
    int r = cmd_booking_parse(verb, argc, argv, "holds", &b);
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
    int r = cmd_booking_parse(verb, argc, argv, "holds", &b);
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
    int r = cmd_booking_parse(verb, argc, argv, "reservations", &b);
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
    int r = cmd_booking_parse(verb, argc, argv, "reservations", &b);
    if (r != 0) {
        return options_exit(r);
    }
    Fairslot__V1__CancelReservationRequest request = FAIRSLOT__V1__CANCEL_RESERVATION_REQUEST__INIT;
    request.name = b.name;
    request.etag = (char *)b.etag;
    request.request_id = (char *)b.request_id;
    return cmd_booking_send(&b, "CancelReservation", &request.base, false);
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

/* SPDX-License-Identifier: MIT */
/* fairslot ticket watch: one's own ticket now, and with every change, a line each, until it can
 * change no more or it is stopped.
 *   options -> WatchTicket -> a line for every answer
 * JSON: every answer as the API has it, one a line.  Owns one session.  Fails by telling; a server
 * that stops ends the stream with a time to come back, and so does this with its code. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "ctl/cmd_release.h"
#include "ctl/value.h"

#define TICKET_WATCH_TIMEOUT_S (24 * 3600)

/* What is being watched. */
struct ticket_watch {
    bool is_json;
    long limit; /* answers; 0: no end */
    long heard; /* so far */
    int r;      /* of printing */
};

static void ticket_watch_line(const Fairslot__V1__Ticket *t)
{
    char act_by[VALUE_TIME_MAX] = "";
    const ProtobufCEnumValue *state = protobuf_c_enum_descriptor_get_value(
        &fairslot__v1__ticket__state__descriptor, (int)t->state);
    printf(t->rank ? "%-10s" : "%s", state ? state->name + strlen("STATE_") : "unknown");
    if (t->rank != 0) {
        printf(" rank %016" PRIx64 ", about %" PRId64 " before it", t->rank, t->ahead);
    }
    if (t->hold[0]) {
        printf(" %s", t->hold);
    }
    if (t->act_by_time) {
        value_rfc3339(t->act_by_time->seconds, 0, act_by);
        printf(" until %s", act_by);
    }
    printf("%s%s\n", t->outcome_reason[0] ? " " : "", t->outcome_reason);
}

static bool ticket_watch_hear(void *user, struct span message)
{
    struct ticket_watch *w = user;
    Fairslot__V1__Ticket *ticket = fairslot__v1__ticket__unpack(NULL, message.len, message.ptr);
    if (ticket == NULL) {
        w->r = VERB_FAILED;
        return false;
    }
    if (w->is_json) {
        w->r = render_print_line(render_json(&ticket->base));
    } else {
        ticket_watch_line(ticket);
        w->r = render_flush();
    }
    w->heard++;
    session_free(ticket);
    return w->r == VERB_OK && (w->limit == 0 || w->heard < w->limit);
}

static int ticket_watch_run(const struct options_call *call, const char *release,
                            struct ticket_watch *w)
{
    Fairslot__V1__WatchTicketRequest request = FAIRSLOT__V1__WATCH_TICKET_REQUEST__INIT;
    char name[NAMES_MAX + 16];
    uint8_t bytes[NAMES_MAX + 32];
    struct session *session;
    int r = session_open(call, &session);
    if (r != VERB_OK) {
        return r;
    }
    snprintf(name, sizeof name, "%s/tickets/me", release);
    request.name = name;
    const struct session_stream stream = {
        .path = "/fairslot.v1.TicketService/WatchTicket",
        .request = {bytes, fairslot__v1__watch_ticket_request__pack(&request, bytes)},
        .timeout_us = TICKET_WATCH_TIMEOUT_S * SECOND_US,
        .hear = ticket_watch_hear,
        .user = w,
    };
    r = session_stream(session, &stream);
    session_close(session);
    return r == VERB_OK ? w->r : r;
}

int cmd_ticket_watch(const struct verb *verb, int argc, char **argv)
{
    struct ticket_watch w = {.r = VERB_OK};
    struct options_call call;
    struct options_words words;
    const char *pool = NULL, *limit = NULL;
    char release[NAMES_MAX];
    const struct options_spec specs[] = {
        {"pool", 0, &pool, NULL}, {"limit", 0, &limit, NULL}, OPTIONS_CALL(&call), {NULL}};
    const struct options_rule rule = {specs, 1, 1, "a RELEASE"};
    options_call_init(&call);
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    if (limit && !value_count(limit, 1, 1000000000, &w.limit)) {
        return options_wrong(verb, "limit", limit, "a whole number from 1");
    }
    r = options_call_check(verb, &call);
    w.is_json = options_json(&call);
    r = r == VERB_OK ? cmd_release_name(words.at[0], pool, release) : r;
    return r == VERB_OK ? ticket_watch_run(&call, release, &w) : r;
}

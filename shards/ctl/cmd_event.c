/* SPDX-License-Identifier: MIT */
/* fairslot event list|watch: what became of releases and tickets, a line each.
 *
 *   list:  pages to their end; the last line on stderr says with what to go on later
 *   watch: the stream, until it is stopped or --limit events came
 *
 * JSON: every answer as the API has it, one a line, with its resume_token.  Owns one session.
 * Fails by telling; a server that stops ends the stream with a time to come back, and this with its
 * code: the token that was told last goes on without a gap. */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "ctl/cmd.h"
#include "ctl/names.h"
#include "ctl/options.h"
#include "ctl/render.h"
#include "ctl/session.h"
#include "ctl/talk.h"
#include "ctl/value.h"
#include "fairslot/v1/services.pb-c.h"

#define EVENT_TIMEOUT_S (24 * 3600)
#define EVENT_REQUEST   512 /* bytes, packed */

const char cmd_event_list_help[] =
    "usage: fairslot event list [--parent NAME] [options]\n"
    "What became of releases, and of the tickets that were filed through the token's client.\n"
    "  --parent NAME       pools/POOL, pools/POOL/releases/RELEASE (pools/-: all)\n"
    "  --page-token TOKEN  go on behind it (from the oldest event that is kept)\n"
    OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot event list --parent pools/passports -o json | jq -r '.events[]?.kind'\n";

const char cmd_event_watch_help[] =
    "usage: fairslot event watch [--parent NAME] [options]\n"
    "As event list, and then every new event, a line each, until it is stopped.\n"
    "  --parent NAME       pools/POOL, pools/POOL/releases/RELEASE (pools/-: all)\n"
    "  --page-token TOKEN  go on behind it (from the oldest event that is kept)\n"
    "  --limit N           end after N events (no end)\n"
    OPTIONS_CALL_HELP
    "example:\n"
    "  fairslot event watch --parent pools/passports\n";

struct cmd_event {
    char parent[NAMES_MAX];
    char token[PAGE_TOKEN_MAX + 1];
    bool is_json;
    long limit;  /* events; 0: no end */
    long events; /* so far */
    int r;       /* of printing */
};

static void event_line(const Fairslot__V1__Event *e)
{
    char at[VALUE_TIME_MAX] = "", act_by[VALUE_TIME_MAX] = "";
    value_rfc3339(e->event_time ? e->event_time->seconds : 0, 0, at);
    if (e->act_by_time) {
        value_rfc3339(e->act_by_time->seconds, 0, act_by);
    }
    printf("%s %-24s %s%s%s%s%s\n", at, e->kind, e->resource, act_by[0] ? " until " : "", act_by,
           e->reason[0] ? " " : "", e->reason);
}

/* VERB_OK, or why it could not be printed. */
static int event_print(struct cmd_event *w, const Fairslot__V1__ListEventsResponse *page)
{
    snprintf(w->token, sizeof w->token, "%s", page->resume_token);
    w->events += (long)page->n_events;
    if (w->is_json) {
        return render_print_line(render_json(&page->base));
    }
    for (size_t i = 0; i < page->n_events; i++) {
        event_line(page->events[i]);
    }
    return render_flush();
}

/* -- list -------------------------------------------------------------------------------------- */

static int event_pages(struct session *session, struct cmd_event *w)
{
    bool is_last = false;
    int r = VERB_OK;
    while (r == VERB_OK && !is_last) {
        Fairslot__V1__ListEventsResponse *page;
        Fairslot__V1__ListEventsRequest request = FAIRSLOT__V1__LIST_EVENTS_REQUEST__INIT;
        request.parent = w->parent;
        request.page_size = EVENTS_PAGE_MAX;
        request.page_token = w->token;
        const struct session_call list = {"/fairslot.v1.EventService/ListEvents", &request.base,
                                          &fairslot__v1__list_events_response__descriptor};
        r = session_call(session, &list, &page);
        if (r == VERB_OK) {
            is_last = page->next_page_token[0] == 0;
            r = event_print(w, page);
            session_free(page);
        }
    }
    if (r == VERB_OK && !w->is_json) {
        talk_next("to go on from here: --page-token %s", w->token);
    }
    return r;
}

/* -- watch ------------------------------------------------------------------------------------- */

static bool event_hear(void *user, struct span message)
{
    struct cmd_event *w = user;
    Fairslot__V1__ListEventsResponse *page =
        fairslot__v1__list_events_response__unpack(NULL, message.len, message.ptr);
    w->r = page ? event_print(w, page) : VERB_FAILED;
    session_free(page);
    return w->r == VERB_OK && (w->limit == 0 || w->events < w->limit);
}

static int event_stream(struct session *session, struct cmd_event *w)
{
    Fairslot__V1__ListEventsRequest request = FAIRSLOT__V1__LIST_EVENTS_REQUEST__INIT;
    uint8_t bytes[EVENT_REQUEST];
    request.parent = w->parent;
    request.page_token = w->token;
    const struct session_stream stream = {
        .path = "/fairslot.v1.EventService/WatchEvents",
        .request = {bytes, fairslot__v1__list_events_request__pack(&request, bytes)},
        .timeout_us = EVENT_TIMEOUT_S * SECOND_US,
        .hear = event_hear,
        .user = w,
    };
    int r = session_stream(session, &stream);
    return r == VERB_OK ? w->r : r;
}

/* -- both -------------------------------------------------------------------------------------- */

static int event_run(const struct verb *verb, int argc, char **argv, bool is_watch)
{
    struct cmd_event w = {.r = VERB_OK};
    struct options_call call;
    struct options_words words;
    struct session *session;
    const char *parent = "-", *token = "", *limit = NULL;
    const struct options_spec list[] = {
        {"parent", 0, &parent, NULL}, {"page-token", 0, &token, NULL}, OPTIONS_CALL(&call), {NULL}};
    const struct options_spec watch[] = {{"parent", 0, &parent, NULL},
                                         {"page-token", 0, &token, NULL},
                                         {"limit", 0, &limit, NULL},
                                         OPTIONS_CALL(&call),
                                         {NULL}};
    const struct options_rule rule = {is_watch ? watch : list, 0, 0, ""};
    options_call_init(&call);
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    if (limit && !value_count(limit, 1, 1000000000, &w.limit)) {
        return options_wrong(verb, "limit", limit, "a whole number from 1");
    }
    if (strlen(token) > PAGE_TOKEN_MAX) {
        return options_wrong(verb, "page-token", token, "one that was printed before");
    }
    snprintf(w.token, sizeof w.token, "%s", token);
    names_pool(parent, w.parent);
    r = options_call_check(verb, &call);
    w.is_json = options_json(&call);
    r = r == VERB_OK ? session_open(&call, &session) : r;
    if (r != VERB_OK) {
        return r;
    }
    r = is_watch ? event_stream(session, &w) : event_pages(session, &w);
    session_close(session);
    return r;
}

int cmd_event_list(const struct verb *verb, int argc, char **argv)
{
    return event_run(verb, argc, argv, false);
}

int cmd_event_watch(const struct verb *verb, int argc, char **argv)
{
    return event_run(verb, argc, argv, true);
}

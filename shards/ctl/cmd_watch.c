/* SPDX-License-Identifier: MIT */
/* fairslot slot watch: a pool's slots as they change, a line each, until it is stopped.
 *   options -> GetPool for its zone -> WatchSlots -> a line for every slot of every part
 * JSON: every answer as the API has it, one a line.  Owns one session.  Fails by telling; the
 * server ends the stream with a time to come back when it stops, and so does this with its code. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "ctl/cmd.h"
#include "ctl/names.h"
#include "ctl/options.h"
#include "ctl/render.h"
#include "ctl/session.h"
#include "ctl/show.h"
#include "fairslot/v1/services.pb-c.h"

#define WATCH_TIMEOUT_S (24 * 3600)

/* What is being watched. */
struct cmd_watch {
    bool is_json;
    long limit;    /* instants; 0: no end */
    long instants; /* that were complete */
    int r;         /* of printing */
};

static bool cmd_watch_hear(void *user, struct span message)
{
    struct cmd_watch *w = user;
    Fairslot__V1__WatchSlotsResponse *part =
        fairslot__v1__watch_slots_response__unpack(NULL, message.len, message.ptr);
    if (part == NULL) {
        w->r = VERB_FAILED;
        return false;
    }
    if (w->is_json) {
        w->r = render_print_line(render_json(&part->base));
    } else {
        for (size_t i = 0; i < part->n_changed; i++) {
            show_slot_line(part->changed[i]);
        }
        w->r = render_flush();
    }
    w->instants += part->complete;
    session_free(part);
    return w->r == VERB_OK && (w->limit == 0 || w->instants < w->limit);
}

static int cmd_watch_run(const struct options_call *call, char *parent, struct cmd_watch *w)
{
    struct session *session;
    Fairslot__V1__WatchSlotsRequest request = FAIRSLOT__V1__WATCH_SLOTS_REQUEST__INIT;
    uint8_t bytes[NAMES_MAX + 16];
    int r = session_open(call, &session);
    if (r != VERB_OK) {
        return r;
    }
    request.parent = parent;
    const struct session_stream stream = {
        .path = "/fairslot.v1.CatalogService/WatchSlots",
        .request = {bytes, fairslot__v1__watch_slots_request__pack(&request, bytes)},
        .timeout_us = WATCH_TIMEOUT_S * SECOND_US,
        .hear = cmd_watch_hear,
        .user = w,
    };
    r = session_stream(session, &stream);
    session_close(session);
    return r == VERB_OK ? w->r : r;
}

int cmd_slot_watch(const struct verb *verb, int argc, char **argv)
{
    struct cmd_watch w = {.r = VERB_OK};
    struct options_call call;
    struct options_words words;
    char parent[NAMES_MAX];
    const char *pool = NULL, *limit = NULL;
    const struct options_spec specs[] = {
        {"pool", 0, &pool, NULL}, {"limit", 0, &limit, NULL}, OPTIONS_CALL(&call), {NULL}};
    const struct options_rule rule = {specs, 0, 0, ""};
    options_call_init(&call);
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    if (!pool) {
        return options_wrong(verb, "pool", "ID", "is needed");
    }
    if (limit && !value_count(limit, 1, 1000000000, &w.limit)) {
        return options_wrong(verb, "limit", limit, "a whole number from 1");
    }
    r = options_call_check(verb, &call);
    w.is_json = options_json(&call);
    names_pool(pool, parent);
    return r == VERB_OK ? cmd_watch_run(&call, parent, &w) : r;
}

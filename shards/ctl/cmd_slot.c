/* SPDX-License-Identifier: MIT */
/* fairslot slot list: every page of a pool's slots.
 *   options -> GetPool for its zone -> ListSlots page by page -> one table or one JSON document
 * Owns one session and the list under way.  Fails by telling; half a list is never printed.
 * Times are shown in the pool's own zone, because that is how people at the counter read them. */
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

/* What `slot list` was told, checked. */
struct cmd_slot_list {
    char parent[NAMES_MAX]; /* pools/ID */
    char zone[64];          /* of the pool */
    int64_t from_us, to_us; /* 0: open */
    bool free_only;
    long page_size;         /* of each page */
    long limit;             /* slots in all */
};

static int cmd_slot_options(const struct verb *verb, struct cmd_slot_list *l, const char *from,
                            const char *to, const char *page_size)
{
    static const char right[] = "a date (2026-12-01, midnight UTC) or a time "
                                "(2026-12-01T09:00:00+01:00)";
    if (from && !value_time(from, &l->from_us)) {
        return options_wrong(verb, "from", from, right);
    }
    if (to && !value_time(to, &l->to_us)) {
        return options_wrong(verb, "to", to, right);
    }
    if (!value_count(page_size, 1, PAGE_SIZE_MAX, &l->page_size)) {
        return options_wrong(verb, "page-size", page_size, "a whole number from 1 to 1000");
    }
    return VERB_OK;
}

static int cmd_slot_zone(struct session *session, struct cmd_slot_list *l)
{
    Fairslot__V1__Pool *pool;
    Fairslot__V1__GetPoolRequest request = FAIRSLOT__V1__GET_POOL_REQUEST__INIT;
    request.name = l->parent;
    const struct session_call get = {"/fairslot.v1.CatalogService/GetPool", &request.base,
                                     &fairslot__v1__pool__descriptor};
    int r = session_call(session, &get, &pool);
    if (r == VERB_OK) {
        snprintf(l->zone, sizeof(l->zone), "%s", pool->time_zone);
        session_free(pool);
    }
    return r;
}

static int cmd_slot_pages(struct session *session, const struct cmd_slot_list *l,
                          struct show *show)
{
    char token[PAGE_TOKEN_MAX + 1] = "";
    Google__Protobuf__Timestamp from = GOOGLE__PROTOBUF__TIMESTAMP__INIT, to = from;
    from.seconds = l->from_us / SECOND_US;
    to.seconds = l->to_us / SECOND_US;
    do {
        Fairslot__V1__ListSlotsResponse *page;
        Fairslot__V1__ListSlotsRequest request = FAIRSLOT__V1__LIST_SLOTS_REQUEST__INIT;
        request.parent = (char *)l->parent;
        request.page_size = (int32_t)l->page_size;
        request.page_token = token;
        request.start_time = l->from_us ? &from : NULL;
        request.end_time = l->to_us ? &to : NULL;
        request.free_only = l->free_only;
        const struct session_call list = {"/fairslot.v1.CatalogService/ListSlots", &request.base,
                                          &fairslot__v1__list_slots_response__descriptor};
        int r = session_call(session, &list, &page);
        if (r != VERB_OK) {
            return r;
        }
        for (size_t i = 0; i < page->n_slots && show->count < (unsigned long)l->limit; i++) {
            show_slot_add(show, page->slots[i]);
        }
        snprintf(token, sizeof(token), "%s", page->next_page_token);
        session_free(page);
    } while (token[0] && show->count < (unsigned long)l->limit);
    return VERB_OK;
}

static int cmd_slot_run(const struct options_call *call, struct cmd_slot_list *l)
{
    struct session *session;
    struct show show;
    int r = session_open(call, &session);
    if (r != VERB_OK) {
        return r;
    }
    r = cmd_slot_zone(session, l);
    if (r == VERB_OK) {
        show_slots_begin(&show, call, l->zone);
        r = cmd_slot_pages(session, l, &show);
        if (r == VERB_OK) {
            r = show_end(&show);
        } else {
            show_drop(&show);
        }
    }
    session_close(session);
    return r;
}

int cmd_slot_list(const struct verb *verb, int argc, char **argv)
{
    struct cmd_slot_list l = {.limit = 1000000000};
    struct options_call call;
    struct options_words words;
    const char *pool = NULL, *from = NULL, *to = NULL, *page_size = "1000", *limit = NULL;
    const struct options_spec specs[] = {
        {"pool", 0, &pool, NULL},
        {"from", 0, &from, NULL},
        {"to", 0, &to, NULL},
        {"free", 0, NULL, &l.free_only},
        {"page-size", 0, &page_size, NULL},
        {"limit", 0, &limit, NULL},
        OPTIONS_CALL(&call),
        {NULL},
    };
    const struct options_rule rule = {specs, 0, 0, ""};
    options_call_init(&call);
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    if (!pool) {
        return options_wrong(verb, "pool", "ID", "is needed");
    }
    if (limit && !value_count(limit, 1, 1000000000, &l.limit)) {
        return options_wrong(verb, "limit", limit, "a whole number from 1");
    }
    names_pool(pool, l.parent);
    r = cmd_slot_options(verb, &l, from, to, page_size);
    r = r == VERB_OK ? options_call_check(verb, &call) : r;
    return r == VERB_OK ? cmd_slot_run(&call, &l) : r;
}

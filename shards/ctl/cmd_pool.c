/* SPDX-License-Identifier: MIT */
/* fairslot pool create|list|show.
 *   options -> session -> call(s) -> show
 * Owns nothing beyond one session; every failure was told by the time an exit code comes back.
 * The defaults are those of a pool that people without special needs can use (ctl.c tells them);
 * the server judges the values. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "ctl/cmd.h"
#include "ctl/names.h"
#include "ctl/options.h"
#include "ctl/policy.h"
#include "ctl/session.h"
#include "ctl/show.h"
#include "fairslot/admin/v1/pools.pb-c.h"
#include "fairslot/v1/services.pb-c.h"

/* What `pool create` was told. */
struct cmd_pool {
    const char *id;
    const char *display_name;
    const char *office;
    const char *service;
    const char *service_class;
    const char *time_zone;
    const char *min_assurance;
    const char *hold_ttl;
    const char *max_live;
    bool scarce;
    struct policy limits; /* the options that `pool update` has, too */
};

static int cmd_pool_fill(const struct verb *verb, const struct cmd_pool *p,
                         Fairslot__V1__Pool *pool)
{
    static const char *const assurances[] = {"", "low", "substantial", "high"};
    long live;
    for (int a = 1; a < 4; a++) {
        if (strcmp(p->min_assurance, assurances[a]) == 0) {
            pool->min_assurance = (Fairslot__V1__Assurance)a;
        }
    }
    if (!pool->min_assurance) {
        return options_wrong(verb, "min-assurance", p->min_assurance, "low, substantial or high");
    }
    if (!value_duration(p->hold_ttl, &pool->hold_ttl->seconds)) {
        return options_wrong(verb, "hold-ttl", p->hold_ttl, "a time such as 90s, 10m or 1h");
    }
    if (!value_count(p->max_live, 1, LIVE_PER_IDENTITY_MAX, &live)) {
        return options_wrong(verb, "max-live", p->max_live, "a whole number from 1 to 16");
    }
    pool->max_live_per_identity = (int32_t)live;
    pool->scarce = p->scarce;
    pool->display_name = (char *)(p->display_name ? p->display_name : p->id);
    pool->office = (char *)p->office;
    pool->service = (char *)p->service;
    pool->service_class = (char *)(p->service_class ? p->service_class : p->id);
    pool->time_zone = (char *)p->time_zone;
    return VERB_OK;
}

static int cmd_pool_send(const struct options_call *call, const char *id, Fairslot__V1__Pool *pool)
{
    char request_id[VALUE_UUID_MAX];
    struct session *session;
    Fairslot__V1__Pool *answer;
    Fairslot__Admin__V1__CreatePoolRequest request = FAIRSLOT__ADMIN__V1__CREATE_POOL_REQUEST__INIT;
    session_request_id(request_id);
    request.pool_id = (char *)id;
    request.pool = pool;
    request.request_id = request_id;
    int r = session_open(call, &session);
    if (r != VERB_OK) {
        return r;
    }
    const struct session_call create = {"/fairslot.admin.v1.PoolAdminService/CreatePool",
                                        &request.base, &fairslot__v1__pool__descriptor};
    r = session_call(session, &create, &answer);
    if (r == VERB_OK) {
        r = show_pool(call, answer);
        session_free(answer);
    }
    session_close(session);
    return r;
}

int cmd_pool_create(const struct verb *verb, int argc, char **argv)
{
    struct cmd_pool p = {.office = "", .service = "", .time_zone = "Europe/Berlin",
                         .min_assurance = "low", .hold_ttl = "10m", .max_live = "1"};
    struct options_call call;
    struct options_words words;
    const struct options_spec specs[] = {
        {"display-name", 0, &p.display_name, NULL},
        {"office", 0, &p.office, NULL},
        {"service", 0, &p.service, NULL},
        {"service-class", 0, &p.service_class, NULL},
        {"time-zone", 0, &p.time_zone, NULL},
        {"min-assurance", 0, &p.min_assurance, NULL},
        {"hold-ttl", 0, &p.hold_ttl, NULL},
        {"max-live", 0, &p.max_live, NULL},
        {"scarce", 0, NULL, &p.scarce},
        POLICY_LIMITS(&p.limits),
        OPTIONS_CALL(&call),
        {NULL},
    };
    const struct options_rule rule = {specs, 1, 1, "the new pool's ID"};
    options_call_init(&call);
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    Google__Protobuf__Duration ttl = GOOGLE__PROTOBUF__DURATION__INIT;
    Fairslot__V1__Pool pool = FAIRSLOT__V1__POOL__INIT;
    pool.hold_ttl = &ttl;
    p.id = words.at[0];
    r = options_call_check(verb, &call);
    if (r == VERB_OK) {
        r = cmd_pool_fill(verb, &p, &pool);
    }
    if (r == VERB_OK) {
        r = policy_fill(verb, &p.limits, &pool);
    }
    return r == VERB_OK ? cmd_pool_send(&call, p.id, &pool) : r;
}

static int cmd_pool_pages(struct session *session, struct show *show)
{
    char token[PAGE_TOKEN_MAX + 1] = "";
    do {
        Fairslot__V1__ListPoolsResponse *page;
        Fairslot__V1__ListPoolsRequest request = FAIRSLOT__V1__LIST_POOLS_REQUEST__INIT;
        request.page_size = PAGE_SIZE_MAX;
        request.page_token = token;
        const struct session_call list = {"/fairslot.v1.CatalogService/ListPools", &request.base,
                                          &fairslot__v1__list_pools_response__descriptor};
        int r = session_call(session, &list, &page);
        if (r != VERB_OK) {
            return r;
        }
        for (size_t i = 0; i < page->n_pools; i++) {
            show_pool_add(show, page->pools[i]);
        }
        snprintf(token, sizeof(token), "%s", page->next_page_token);
        session_free(page);
    } while (token[0]);
    return VERB_OK;
}

int cmd_pool_list(const struct verb *verb, int argc, char **argv)
{
    struct options_call call;
    struct options_words words;
    struct session *session;
    struct show show;
    const struct options_spec specs[] = {OPTIONS_CALL(&call), {NULL}};
    const struct options_rule rule = {specs, 0, 0, ""};
    options_call_init(&call);
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    r = options_call_check(verb, &call);
    r = r == VERB_OK ? session_open(&call, &session) : r;
    if (r != VERB_OK) {
        return r;
    }
    show_pools_begin(&show, &call);
    r = cmd_pool_pages(session, &show);
    if (r == VERB_OK) {
        r = show_end(&show);
    } else {
        show_drop(&show);
    }
    session_close(session);
    return r;
}

int cmd_pool_show(const struct verb *verb, int argc, char **argv)
{
    char name[NAMES_MAX];
    struct options_call call;
    struct options_words words;
    struct session *session;
    Fairslot__V1__Pool *pool;
    const struct options_spec specs[] = {OPTIONS_CALL(&call), {NULL}};
    const struct options_rule rule = {specs, 1, 1, "a pool's ID"};
    options_call_init(&call);
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    r = options_call_check(verb, &call);
    r = r == VERB_OK ? session_open(&call, &session) : r;
    if (r != VERB_OK) {
        return r;
    }
    names_pool(words.at[0], name);
    Fairslot__V1__GetPoolRequest request = FAIRSLOT__V1__GET_POOL_REQUEST__INIT;
    request.name = name;
    const struct session_call get = {"/fairslot.v1.CatalogService/GetPool", &request.base,
                                     &fairslot__v1__pool__descriptor};
    r = session_call(session, &get, &pool);
    if (r == VERB_OK) {
        r = show_pool(&call, pool);
        session_free(pool);
    }
    session_close(session);
    return r;
}

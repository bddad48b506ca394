/* SPDX-License-Identifier: MIT */
/* fairslot pool update|restock and slot block|unblock: what an operator changes of a pool that is
 * there.  options -> session -> one call -> the pool, or a count.
 * A restock of many slots goes on by itself; until it is done the server says "come back", and the
 * session does, for RESTOCK_PATIENCE_US.  Owns one session; fails by telling. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "ctl/cmd.h"
#include "ctl/names.h"
#include "ctl/options.h"
#include "ctl/policy.h"
#include "ctl/render.h"
#include "ctl/session.h"
#include "ctl/show.h"
#include "ctl/talk.h"
#include "fairslot/admin/v1/cluster.pb-c.h"
#include "fairslot/admin/v1/pools.pb-c.h"

#define STOCK_ADMIN         "/fairslot.admin.v1.PoolAdminService/"
#define RESTOCK_PATIENCE_US (600 * SECOND_US)

/* The request id that was typed, or a new one; NULL: it is none (told). */
static char *cmd_stock_request_id(const struct verb *verb, const char *typed, char *made)
{
    if (typed && !value_uuid_valid(typed)) {
        options_wrong(verb, "request-id", typed, "a UUID of 36 characters");
        return NULL;
    }
    if (!typed) {
        session_request_id(made);
    }
    return typed ? (char *)typed : made;
}

/* One call; its answer is given to the caller. An exit code. */
static int cmd_stock_call(const struct options_call *call, const struct session_call *ask,
                          int64_t patience_us, void *ret_answer)
{
    struct session *session;
    int r = session_open(call, &session);
    if (r != VERB_OK) {
        return r;
    }
    if (patience_us) {
        session_set_patience(session, patience_us);
    }
    r = session_call(session, ask, ret_answer);
    session_close(session);
    return r;
}

int cmd_pool_update(const struct verb *verb, int argc, char **argv)
{
    struct policy p = {0};
    struct options_call call;
    struct options_words words;
    char name[NAMES_MAX], made[VALUE_UUID_MAX];
    const char *etag = "", *request_id = NULL;
    const struct options_spec specs[] = {
        {"display-name", 0, &p.display_name, NULL},
        {"office", 0, &p.office, NULL},
        {"service", 0, &p.service, NULL},
        {"time-zone", 0, &p.time_zone, NULL},
        {"min-assurance", 0, &p.min_assurance, NULL},
        {"hold-ttl", 0, &p.hold_ttl, NULL},
        {"max-live", 0, &p.max_live, NULL},
        {"scarce", 0, &p.scarce, NULL},
        {"etag", 0, &etag, NULL},
        {"request-id", 0, &request_id, NULL},
        POLICY_LIMITS(&p),
        OPTIONS_CALL(&call),
        {NULL},
    };
    const struct options_rule rule = {specs, 1, 1, "a pool's ID"};
    Fairslot__V1__Pool pool = FAIRSLOT__V1__POOL__INIT, *answer;
    options_call_init(&call);
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    r = options_call_check(verb, &call);
    r = r == VERB_OK ? policy_fill(verb, &p, &pool) : r;
    char *id = r == VERB_OK ? cmd_stock_request_id(verb, request_id, made) : NULL;
    if (id == NULL || p.paths_count == 0) {
        return id ? options_wrong(verb, "office", "TEXT", "or another field is needed")
                  : VERB_USAGE;
    }
    names_pool(words.at[0], name);
    pool.name = name;
    pool.etag = (char *)etag;
    Fairslot__Admin__V1__UpdatePoolRequest request = FAIRSLOT__ADMIN__V1__UPDATE_POOL_REQUEST__INIT;
    request.pool = &pool;
    request.update_paths = p.paths;
    request.n_update_paths = p.paths_count;
    request.request_id = id;
    const struct session_call ask = {STOCK_ADMIN "UpdatePool", &request.base,
                                     &fairslot__v1__pool__descriptor};
    r = cmd_stock_call(&call, &ask, 0, &answer);
    if (r == VERB_OK) {
        r = show_pool(&call, answer);
        session_free(answer);
    }
    return r;
}

/* A count, for people or as the API has it. */
static int cmd_stock_counted(const struct options_call *call, const ProtobufCMessage *answer,
                             const char *what, int32_t count)
{
    char number[32];
    if (options_json(call)) {
        return render_print_json(render_json(answer));
    }
    printf("%s %s\n", talk_number((unsigned long long)count, number), what);
    return render_flush();
}

int cmd_pool_restock(const struct verb *verb, int argc, char **argv)
{
    struct options_call call;
    struct options_words words;
    char name[NAMES_MAX], made[VALUE_UUID_MAX];
    const char *reason = "", *request_id = NULL;
    const struct options_spec specs[] = {
        {"reason", 0, &reason, NULL},
        {"request-id", 0, &request_id, NULL},
        OPTIONS_CALL(&call),
        {NULL},
    };
    const struct options_rule rule = {specs, 1, 1, "a pool's ID"};
    Fairslot__Admin__V1__RestockPoolResponse *answer;
    options_call_init(&call);
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    r = options_call_check(verb, &call);
    char *id = r == VERB_OK ? cmd_stock_request_id(verb, request_id, made) : NULL;
    if (id == NULL) {
        return VERB_USAGE;
    }
    names_pool(words.at[0], name);
    Fairslot__Admin__V1__RestockPoolRequest request =
        FAIRSLOT__ADMIN__V1__RESTOCK_POOL_REQUEST__INIT;
    request.name = name;
    request.reason = (char *)reason;
    request.request_id = id;
    const struct session_call ask = {STOCK_ADMIN "RestockPool", &request.base,
                                     &fairslot__admin__v1__restock_pool_response__descriptor};
    r = cmd_stock_call(&call, &ask, RESTOCK_PATIENCE_US, &answer);
    if (r == VERB_OK) {
        r = cmd_stock_counted(&call, &answer->base, "slots are free again",
                              answer->restocked_count);
        session_free(answer);
    }
    return r;
}

int cmd_identity_erase(const struct verb *verb, int argc, char **argv)
{
    struct options_call call;
    struct options_words words;
    char made[VALUE_UUID_MAX];
    const char *request_id = NULL;
    const struct options_spec specs[] = {
        {"request-id", 0, &request_id, NULL}, OPTIONS_CALL(&call), {NULL}};
    const struct options_rule rule = {specs, 1, 1, "an identity, 32 hex digits"};
    Google__Longrunning__Operation *answer;
    options_call_init(&call);
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    r = options_call_check(verb, &call);
    char *id = r == VERB_OK ? cmd_stock_request_id(verb, request_id, made) : NULL;
    if (id == NULL) {
        return VERB_USAGE;
    }
    Fairslot__Admin__V1__EraseIdentityRequest request =
        FAIRSLOT__ADMIN__V1__ERASE_IDENTITY_REQUEST__INIT;
    request.identity = (char *)words.at[0];
    request.request_id = id;
    const struct session_call ask = {"/fairslot.admin.v1.MaintenanceService/EraseIdentity",
                                     &request.base,
                                     &google__longrunning__operation__descriptor};
    r = cmd_stock_call(&call, &ask, RESTOCK_PATIENCE_US, &answer);
    if (r == VERB_OK) {
        r = options_json(&call) ? render_print_json(render_json(&answer->base))
                                : (puts("the identity is erased"), render_flush());
        session_free(answer);
    }
    return r;
}

/* -- block, unblock ---------------------------------------------------------------------------- */

/* The names of the slots that were typed, all of one pool; false: told. */
static bool cmd_stock_names(const struct options_words *words, const char *pool,
                            char (*names)[NAMES_MAX], char **pointers, char *ret_parent)
{
    for (size_t i = 0; i < words->count; i++) {
        char parent[NAMES_MAX];
        if (!names_child(words->at[i], pool, "slots", names[i]) ||
            !names_parent(names[i], parent)) {
            talk_error("'%s' names no pool", words->at[i]);
            talk_next("write pools/POOL/slots/SLOT, or add --pool POOL");
            return false;
        }
        if (i == 0) {
            snprintf(ret_parent, NAMES_MAX, "%s", parent);
        }
        pointers[i] = names[i];
    }
    return true;
}

static int cmd_stock_block(const struct verb *verb, int argc, char **argv, const char *path,
                           const char *what)
{
    static char names[OPTIONS_WORDS_MAX][NAMES_MAX];
    static char *pointers[OPTIONS_WORDS_MAX];
    struct options_call call;
    struct options_words words;
    char parent[NAMES_MAX], made[VALUE_UUID_MAX];
    const char *pool = NULL, *reason = "", *request_id = NULL;
    const struct options_spec specs[] = {
        {"pool", 0, &pool, NULL},
        {"reason", 0, &reason, NULL},
        {"request-id", 0, &request_id, NULL},
        OPTIONS_CALL(&call),
        {NULL},
    };
    const struct options_rule rule = {specs, 1, OPTIONS_WORDS_MAX, "1 to 256 SLOTs"};
    Fairslot__Admin__V1__BlockSlotsResponse *answer;
    options_call_init(&call);
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    r = options_call_check(verb, &call);
    char *id = r == VERB_OK ? cmd_stock_request_id(verb, request_id, made) : NULL;
    if (id == NULL || !cmd_stock_names(&words, pool, names, pointers, parent)) {
        return VERB_USAGE;
    }
    Fairslot__Admin__V1__BlockSlotsRequest request = FAIRSLOT__ADMIN__V1__BLOCK_SLOTS_REQUEST__INIT;
    request.parent = parent;
    request.slots = pointers;
    request.n_slots = words.count;
    request.reason = (char *)reason;
    request.request_id = id;
    const struct session_call ask = {path, &request.base,
                                     &fairslot__admin__v1__block_slots_response__descriptor};
    r = cmd_stock_call(&call, &ask, 0, &answer);
    if (r == VERB_OK) {
        r = cmd_stock_counted(&call, &answer->base, what, answer->changed_count);
        session_free(answer);
    }
    return r;
}

int cmd_slot_block(const struct verb *verb, int argc, char **argv)
{
    return cmd_stock_block(verb, argc, argv, STOCK_ADMIN "BlockSlots", "slots blocked");
}

int cmd_slot_unblock(const struct verb *verb, int argc, char **argv)
{
    return cmd_stock_block(verb, argc, argv, STOCK_ADMIN "UnblockSlots", "slots unblocked");
}

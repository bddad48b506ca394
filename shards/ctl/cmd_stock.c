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

/* What every verb here takes. */
struct stock {
    struct options_call call;
    struct options_words words;
    const char *request_id; /* typed, or NULL; then the one to be used */
    char made[VALUE_UUID_MAX];
    int code;               /* of the exit, when there is nothing to be done */
};

/* Reads the words. False: told, the exit code is in `code`. */
static bool cmd_stock_take(const struct verb *verb, const struct options_rule *rule, int argc,
                           char **argv, struct stock *ret_stock)
{
    struct stock *k = ret_stock;
    options_call_init(&k->call);
    int r = options_parse(verb, rule, argc, argv, &k->words);
    if (r != 0) {
        k->code = options_exit(r);
        return false;
    }
    k->code = options_call_check(verb, &k->call);
    if (k->code == VERB_OK && k->request_id && !value_uuid_valid(k->request_id)) {
        k->code = options_wrong(verb, "request-id", k->request_id, "a UUID of 36 characters");
    }
    if (!k->request_id) {
        session_request_id(k->made);
        k->request_id = k->made;
    }
    return k->code == VERB_OK;
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
    struct stock k = {0};
    char name[NAMES_MAX];
    const char *etag = "";
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
        {"request-id", 0, &k.request_id, NULL},
        POLICY_LIMITS(&p),
        OPTIONS_CALL(&k.call),
        {NULL},
    };
    const struct options_rule rule = {specs, 1, 1, "a pool's ID"};
    Fairslot__V1__Pool pool = FAIRSLOT__V1__POOL__INIT, *answer;
    if (!cmd_stock_take(verb, &rule, argc, argv, &k)) {
        return k.code;
    }
    int r = policy_fill(verb, &p, &pool);
    if (r != VERB_OK || p.paths_count == 0) {
        return r ? r : options_wrong(verb, "office", "TEXT", "or another field is needed");
    }
    names_pool(k.words.at[0], name);
    pool.name = name;
    pool.etag = (char *)etag;
    Fairslot__Admin__V1__UpdatePoolRequest request = FAIRSLOT__ADMIN__V1__UPDATE_POOL_REQUEST__INIT;
    request.pool = &pool;
    request.update_paths = p.paths;
    request.n_update_paths = p.paths_count;
    request.request_id = (char *)k.request_id;
    const struct session_call ask = {STOCK_ADMIN "UpdatePool", &request.base,
                                     &fairslot__v1__pool__descriptor};
    r = cmd_stock_call(&k.call, &ask, 0, &answer);
    if (r == VERB_OK) {
        r = show_pool(&k.call, answer);
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
    struct stock k = {0};
    char name[NAMES_MAX];
    const char *reason = "";
    const struct options_spec specs[] = {
        {"reason", 0, &reason, NULL},
        {"request-id", 0, &k.request_id, NULL},
        OPTIONS_CALL(&k.call),
        {NULL},
    };
    const struct options_rule rule = {specs, 1, 1, "a pool's ID"};
    Fairslot__Admin__V1__RestockPoolResponse *answer;
    if (!cmd_stock_take(verb, &rule, argc, argv, &k)) {
        return k.code;
    }
    names_pool(k.words.at[0], name);
    Fairslot__Admin__V1__RestockPoolRequest request =
        FAIRSLOT__ADMIN__V1__RESTOCK_POOL_REQUEST__INIT;
    request.name = name;
    request.reason = (char *)reason;
    request.request_id = (char *)k.request_id;
    const struct session_call ask = {STOCK_ADMIN "RestockPool", &request.base,
                                     &fairslot__admin__v1__restock_pool_response__descriptor};
    int r = cmd_stock_call(&k.call, &ask, RESTOCK_PATIENCE_US, &answer);
    if (r == VERB_OK) {
        r = cmd_stock_counted(&k.call, &answer->base, "slots are free again",
                              answer->restocked_count);
        session_free(answer);
    }
    return r;
}

int cmd_identity_erase(const struct verb *verb, int argc, char **argv)
{
    struct stock k = {0};
    const struct options_spec specs[] = {
        {"request-id", 0, &k.request_id, NULL}, OPTIONS_CALL(&k.call), {NULL}};
    const struct options_rule rule = {specs, 1, 1, "an identity, 32 hex digits"};
    Google__Longrunning__Operation *answer;
    if (!cmd_stock_take(verb, &rule, argc, argv, &k)) {
        return k.code;
    }
    Fairslot__Admin__V1__EraseIdentityRequest request =
        FAIRSLOT__ADMIN__V1__ERASE_IDENTITY_REQUEST__INIT;
    request.identity = (char *)k.words.at[0];
    request.request_id = (char *)k.request_id;
    const struct session_call ask = {"/fairslot.admin.v1.MaintenanceService/EraseIdentity",
                                     &request.base,
                                     &google__longrunning__operation__descriptor};
    int r = cmd_stock_call(&k.call, &ask, RESTOCK_PATIENCE_US, &answer);
    if (r == VERB_OK) {
        r = options_json(&k.call) ? render_print_json(render_json(&answer->base))
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
    struct stock k = {0};
    char parent[NAMES_MAX];
    const char *pool = NULL, *reason = "";
    const struct options_spec specs[] = {
        {"pool", 0, &pool, NULL},
        {"reason", 0, &reason, NULL},
        {"request-id", 0, &k.request_id, NULL},
        OPTIONS_CALL(&k.call),
        {NULL},
    };
    const struct options_rule rule = {specs, 1, OPTIONS_WORDS_MAX, "1 to 256 SLOTs"};
    Fairslot__Admin__V1__BlockSlotsResponse *answer;
    if (!cmd_stock_take(verb, &rule, argc, argv, &k)) {
        return k.code;
    }
    if (!cmd_stock_names(&k.words, pool, names, pointers, parent)) {
        return VERB_USAGE;
    }
    Fairslot__Admin__V1__BlockSlotsRequest request = FAIRSLOT__ADMIN__V1__BLOCK_SLOTS_REQUEST__INIT;
    request.parent = parent;
    request.slots = pointers;
    request.n_slots = k.words.count;
    request.reason = (char *)reason;
    request.request_id = (char *)k.request_id;
    const struct session_call ask = {path, &request.base,
                                     &fairslot__admin__v1__block_slots_response__descriptor};
    int r = cmd_stock_call(&k.call, &ask, 0, &answer);
    if (r == VERB_OK) {
        r = cmd_stock_counted(&k.call, &answer->base, what, answer->changed_count);
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

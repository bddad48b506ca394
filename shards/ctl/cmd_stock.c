/* SPDX-License-Identifier: MIT */
/* fairslot pool update|restock and slot block|unblock: what an operator changes of a pool that is
 * there.  options -> session -> one call -> the pool, or a count.
 * A file of slots goes in slices of 256, which is what one command may touch: a slice is all or
 * nothing, and what is done already counts for nothing when the command is said again.
 * A restock of many slots goes on by itself; until it is done the server says "come back", and the
 * session does, for RESTOCK_PATIENCE_US.  Owns one session; fails by telling. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "ctl/cmd.h"
#include "ctl/keyfile.h"
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
#define STOCK_FILE_MAX      ((size_t)64 << 20)

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

/* Slots that go by one call. */
struct stock_slice {
    char names[OPTIONS_WORDS_MAX][NAMES_MAX];
    char *pointers[OPTIONS_WORDS_MAX];
    size_t count;
    char parent[NAMES_MAX]; /* of all of them; the pool */
};

/* One more, of the same pool as the others: the server tells one that is not.  false: told. */
static bool cmd_stock_name(struct stock_slice *slice, const char *word, const char *pool)
{
    char parent[NAMES_MAX], *name = slice->names[slice->count];
    if (!names_child(word, pool, "slots", name) || !names_parent(name, parent)) {
        talk_error("'%s' names no pool", word);
        talk_next("write pools/POOL/slots/SLOT, or add --pool POOL");
        return false;
    }
    if (slice->count == 0) {
        snprintf(slice->parent, sizeof slice->parent, "%s", parent);
    }
    slice->pointers[slice->count++] = name;
    return true;
}

/* What goes with each slice. */
struct stock_block {
    struct session *session;
    const char *path;       /* of the method */
    const char *reason;
    const char *request_id; /* NULL: a new one each time */
};

static int cmd_stock_send(const struct stock_block *b, struct stock_slice *slice,
                          Fairslot__Admin__V1__BlockSlotsResponse **ret_answer)
{
    char made[VALUE_UUID_MAX];
    Fairslot__Admin__V1__BlockSlotsRequest request = FAIRSLOT__ADMIN__V1__BLOCK_SLOTS_REQUEST__INIT;
    session_request_id(made);
    request.parent = slice->parent;
    request.slots = slice->pointers;
    request.n_slots = slice->count;
    request.reason = (char *)b->reason;
    request.request_id = b->request_id ? (char *)b->request_id : made;
    const struct session_call ask = {b->path, &request.base,
                                     &fairslot__admin__v1__block_slots_response__descriptor};
    slice->count = 0;
    return session_call(b->session, &ask, ret_answer);
}

/* The file's slots, a slice a call; *ret_changed is right also when one of them is refused. */
static int cmd_stock_send_lines(const struct stock_block *b, struct stock_slice *slice,
                                const char *pool, char *text, int32_t *ret_changed)
{
    size_t done = 0, count = 0;
    char *rest = text, *word;
    do {
        word = strtok_r(rest, " \t\r\n", &rest);
        if (word && !cmd_stock_name(slice, word, pool)) {
            return VERB_USAGE;
        }
        count += word != NULL;
        if (slice->count == OPTIONS_WORDS_MAX || (word == NULL && slice->count > 0)) {
            Fairslot__Admin__V1__BlockSlotsResponse *answer;
            int r = cmd_stock_send(b, slice, &answer);
            if (r != VERB_OK) {
                talk_say("%zu slots of the file were done before that; the same command goes on",
                         done);
                return r;
            }
            *ret_changed += answer->changed_count;
            session_free(answer);
            done = count;
            talk_progress(word == NULL, "%zu slots", done);
        }
    } while (word);
    return VERB_OK;
}

/* Any number of slots: each slice is all or nothing, and one that was done is done for good. */
static int cmd_stock_block_file(const struct options_call *call, struct stock_block *b,
                                struct stock_slice *slice, const char *pool, const char *file)
{
    Fairslot__Admin__V1__BlockSlotsResponse sum = FAIRSLOT__ADMIN__V1__BLOCK_SLOTS_RESPONSE__INIT;
    char *text;
    size_t len;
    int r = keyfile_read(file, STOCK_FILE_MAX, &text, &len);
    if (r != 0) {
        talk_error("%s: %s", file, r == KEYFILE_E_MISSING ? "no such file"
                                   : r == KEYFILE_E_LARGE ? "is longer than 64 MiB"
                                                          : "cannot be read");
        talk_next("a file of slots has their names, parted by white space");
        return VERB_PRECONDITION;
    }
    if (strlen(text) != len) {
        talk_error("%s: is no text", file);
        talk_next("a file of slots has their names, parted by white space");
        free(text);
        return VERB_PRECONDITION;
    }
    r = session_open(call, &b->session);
    if (r == VERB_OK) {
        r = cmd_stock_send_lines(b, slice, pool, text, &sum.changed_count);
    }
    session_close(b->session);
    free(text);
    if (r != VERB_OK) {
        return r;
    }
    const char *what = strstr(b->path, "/Unblock") ? "slots unblocked" : "slots blocked";
    return cmd_stock_counted(call, &sum.base, what, sum.changed_count);
}

static int cmd_stock_block_words(struct stock *k, struct stock_block *b, struct stock_slice *slice,
                                 const char *pool)
{
    Fairslot__Admin__V1__BlockSlotsResponse *answer;
    for (size_t i = 0; i < k->words.count; i++) {
        if (!cmd_stock_name(slice, k->words.at[i], pool)) {
            return VERB_USAGE;
        }
    }
    int r = session_open(&k->call, &b->session);
    if (r != VERB_OK) {
        return r;
    }
    b->request_id = k->request_id;
    r = cmd_stock_send(b, slice, &answer);
    session_close(b->session);
    if (r == VERB_OK) {
        const char *what = strstr(b->path, "/Unblock") ? "slots unblocked" : "slots blocked";
        r = cmd_stock_counted(&k->call, &answer->base, what, answer->changed_count);
        session_free(answer);
    }
    return r;
}

static int cmd_stock_block(const struct verb *verb, int argc, char **argv, const char *path)
{
    static struct stock_slice slice;
    struct stock k = {0};
    struct stock_block b = {.path = path, .reason = ""};
    const char *pool = NULL, *file = NULL;
    const struct options_spec specs[] = {
        {"pool", 0, &pool, NULL},
        {"file", 0, &file, NULL},
        {"reason", 0, &b.reason, NULL},
        {"request-id", 0, &k.request_id, NULL},
        OPTIONS_CALL(&k.call),
        {NULL},
    };
    const struct options_rule rule = {specs, 0, OPTIONS_WORDS_MAX, "1 to 256 SLOTs"};
    if (!cmd_stock_take(verb, &rule, argc, argv, &k)) {
        return k.code;
    }
    if ((k.words.count > 0) == (file != NULL)) {
        return options_wrong(verb, "file", file ? file : "FILE", "or 1 to 256 SLOTs are needed");
    }
    if (file && k.request_id != k.made) {
        return options_wrong(verb, "request-id", k.request_id,
                             "is of one call: with --file say the same command again");
    }
    return file ? cmd_stock_block_file(&k.call, &b, &slice, pool, file)
                : cmd_stock_block_words(&k, &b, &slice, pool);
}

int cmd_slot_block(const struct verb *verb, int argc, char **argv)
{
    return cmd_stock_block(verb, argc, argv, STOCK_ADMIN "BlockSlots");
}

int cmd_slot_unblock(const struct verb *verb, int argc, char **argv)
{
    return cmd_stock_block(verb, argc, argv, STOCK_ADMIN "UnblockSlots");
}

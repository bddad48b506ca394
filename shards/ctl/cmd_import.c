/* SPDX-License-Identifier: MIT */
/* fairslot slot import: a checked CSV file into the pools it names.
 *   whole file -> import_read -> every pool is asked for -> stock_compare takes out what is there
 *   -> all batches with validate_only -> all batches -> summary          any error ends it there
 * Owns the file's bytes, the import and one session.
 * Invariant: nothing is made before the server found every batch good.  What may still go wrong in
 * the second pass is the world's (a lost server, a second import at once); the same file again then
 * goes on where this one stopped, because what is there is taken out.  A batch's request id is the
 * hash of the batch, so a call that is repeated makes nothing twice. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/sha.h>

#include "base/check.h"
#include "base/limits.h"
#include "ctl/cmd.h"
#include "ctl/import.h"
#include "ctl/keyfile.h"
#include "ctl/names.h"
#include "ctl/options.h"
#include "ctl/refusal.h"
#include "ctl/render.h"
#include "ctl/session.h"
#include "ctl/stock.h"
#include "ctl/talk.h"
#include "fairslot/admin/v1/pools.pb-c.h"
#include "fairslot/v1/services.pb-c.h"

#define CMD_IMPORT_BATCH       500
#define CMD_IMPORT_BATCH_BYTES (48 * 1024) /* of slots: leaves room for the rest of the message */
#define CMD_IMPORT_MISSING_SHOWN 20
#define CMD_IMPORT_PATIENCE_US (60 * SECOND_US) /* a shard that restarts under an import */

/* One batch as protobuf-c wants it. */
struct cmd_import_batch {
    Fairslot__V1__Slot slots[CMD_IMPORT_BATCH];
    Google__Protobuf__Timestamp starts[CMD_IMPORT_BATCH];
    Google__Protobuf__Duration durations[CMD_IMPORT_BATCH];
    Fairslot__V1__Slot *at[CMD_IMPORT_BATCH];
    size_t count;
};

static struct cmd_import_batch cmd_import_batch; /* too large for the stack; one at a time */

static int cmd_import_errors(const char *file, const struct import *i)
{
    char number[32];
    size_t shown = i->errors_count < IMPORT_ERRORS_SHOWN ? i->errors_count : IMPORT_ERRORS_SHOWN;
    for (size_t e = 0; e < shown; e++) {
        talk_say("%s:%u: %s", file, i->errors[e].line, i->errors[e].text);
    }
    if (i->errors_count > shown) {
        talk_say("... and %s more", talk_number(i->errors_count - shown, number));
    }
    talk_error("%s has %s error%s: nothing was imported", file,
               talk_number(i->errors_count, number), i->errors_count == 1 ? "" : "s");
    talk_next("correct the file and import it again; --dry-run only checks");
    return VERB_FAILED;
}

/* Asks for every pool the file names. */
static int cmd_import_pools(struct session *session, const struct import *i, const char *file,
                            size_t *ret_pools)
{
    size_t missing = 0, pools = 0;
    const char *first = NULL;
    for (size_t begin = 0; begin < i->count; begin = import_pool_end(i, begin), pools++) {
        char name[NAMES_MAX];
        struct refusal refusal;
        Fairslot__V1__Pool *pool;
        Fairslot__V1__GetPoolRequest request = FAIRSLOT__V1__GET_POOL_REQUEST__INIT;
        names_pool(i->slots[begin].pool, name);
        request.name = name;
        const struct session_call get = {"/fairslot.v1.CatalogService/GetPool", &request.base,
                                         &fairslot__v1__pool__descriptor};
        int r = session_try(session, &get, &pool, &refusal);
        if (r == VERB_OK) {
            session_free(pool);
        } else if (strcmp(refusal.reason, "POOL_UNKNOWN") != 0) {
            return (int)refusal_tell(&refusal);
        } else if (missing++ < CMD_IMPORT_MISSING_SHOWN) {
            first = first ? first : i->slots[begin].pool;
            talk_say("%s:%u: there is no pool '%s'", file, i->slots[begin].line,
                     i->slots[begin].pool);
        }
    }
    *ret_pools = pools;
    if (missing == 0) {
        return VERB_OK;
    }
    talk_error("%zu of the %zu pools in %s do not exist: nothing was imported", missing, pools,
               file);
    talk_next("make them first: fairslot pool create %s", first);
    return VERB_PRECONDITION;
}

/* Fills the batch from slots[begin]; stops at `end`, at 500 slots or at 48 KiB. */
static size_t cmd_import_fill(const struct import *i, size_t begin, size_t end)
{
    struct cmd_import_batch *b = &cmd_import_batch;
    size_t bytes = 0, n = begin;
    b->count = 0;
    while (n < end && b->count < CMD_IMPORT_BATCH) {
        const struct import_slot *from = &i->slots[n];
        Fairslot__V1__Slot *slot = &b->slots[b->count];
        fairslot__v1__slot__init(slot);
        google__protobuf__timestamp__init(&b->starts[b->count]);
        google__protobuf__duration__init(&b->durations[b->count]);
        b->starts[b->count].seconds = from->start_s;
        b->durations[b->count].seconds = from->duration_s;
        slot->start_time = &b->starts[b->count];
        slot->duration = &b->durations[b->count];
        slot->desk = (char *)from->desk;
        bytes += fairslot__v1__slot__get_packed_size(slot) + 4;
        if (bytes > CMD_IMPORT_BATCH_BYTES && b->count > 0) {
            break;
        }
        b->at[b->count++] = slot;
        n++;
    }
    return n;
}

/* A UUID out of the batch itself. */
static int cmd_import_id(Fairslot__Admin__V1__BatchCreateSlotsRequest *request, char *out)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    request->request_id = (char *)"";
    size_t len = fairslot__admin__v1__batch_create_slots_request__get_packed_size(request);
    uint8_t *bytes = malloc(len + 1);
    if (!bytes) {
        talk_error("out of memory");
        return VERB_FAILED;
    }
    fairslot__admin__v1__batch_create_slots_request__pack(request, bytes);
    SHA256(bytes, len, digest);
    free(bytes);
    value_uuid(digest, 8, out);
    request->request_id = out;
    return VERB_OK;
}

static int cmd_import_send(struct session *session, const char *pool, bool validate)
{
    char name[NAMES_MAX], request_id[VALUE_UUID_MAX];
    Fairslot__Admin__V1__BatchCreateSlotsResponse *answer;
    Fairslot__Admin__V1__BatchCreateSlotsRequest request =
        FAIRSLOT__ADMIN__V1__BATCH_CREATE_SLOTS_REQUEST__INIT;
    names_pool(pool, name);
    request.parent = name;
    request.n_slots = cmd_import_batch.count;
    request.slots = cmd_import_batch.at;
    request.validate_only = validate;
    int r = cmd_import_id(&request, request_id);
    if (r != VERB_OK) {
        return r;
    }
    const struct session_call create = {
        "/fairslot.admin.v1.PoolAdminService/BatchCreateSlots", &request.base,
        &fairslot__admin__v1__batch_create_slots_response__descriptor};
    r = session_call(session, &create, &answer);
    if (r == VERB_OK) {
        session_free(answer);
    }
    return r;
}

/* One pass over all batches. */
static int cmd_import_pass(struct session *session, const struct import *i, bool validate)
{
    char done[32], all[32];
    for (size_t at = 0; at < i->count;) {
        const char *pool = i->slots[at].pool;
        size_t next = cmd_import_fill(i, at, import_pool_end(i, at));
        int r = cmd_import_send(session, pool, validate);
        if (r != VERB_OK) {
            talk_say("in pool '%s', lines %u to %u; %s of %s slots %s", pool, i->slots[at].line,
                     i->slots[next - 1].line, talk_number(validate ? 0 : at, done),
                     talk_number(i->count, all), validate ? "were imported" : "are in before");
            if (!validate && at > 0) {
                talk_next("import the same file again: what is in is not made twice");
            }
            return r;
        }
        at = next;
        talk_progress(at == i->count && !validate, "%s / %s slots%s", talk_number(at, done),
                      talk_number(i->count, all), validate ? " checked" : "");
    }
    return VERB_OK;
}

/* What an import came to. */
struct cmd_import_result {
    size_t pools; /* that the file names */
    size_t there; /* slots that were there already */
    bool dry_run;
};

static int cmd_import_summary(const struct options_call *call, const struct import *i,
                              const struct cmd_import_result *result)
{
    char number[32], there[32];
    if (options_json(call)) {
        return render_print_json(
            json_pack("{s:I, s:I, s:I, s:b}", result->dry_run ? "checkedCount" : "createdCount",
                      (json_int_t)i->count, "existingCount", (json_int_t)result->there, "poolCount",
                      (json_int_t)result->pools, "dryRun", result->dry_run));
    }
    printf("%s slot%s %s %zu pool%s", talk_number(i->count, number), i->count == 1 ? "" : "s",
           result->dry_run ? "can be imported into" : "imported into", result->pools,
           result->pools == 1 ? "" : "s");
    if (result->there > 0) {
        printf("; %s %s there already", talk_number(result->there, there),
               result->there == 1 ? "was" : "were");
    }
    putchar('\n');
    return render_flush();
}

static int cmd_import_run(const struct options_call *call, struct import *i, const char *file,
                          bool dry_run)
{
    struct session *session;
    struct cmd_import_result result = {.dry_run = dry_run};
    int r = session_open(call, &session);
    if (r != VERB_OK) {
        return r;
    }
    session_set_patience(session, CMD_IMPORT_PATIENCE_US);
    r = cmd_import_pools(session, i, file, &result.pools);
    if (r == VERB_OK) {
        r = stock_compare(session, i, file, &result.there);
    }
    if (r == VERB_OK) {
        r = cmd_import_pass(session, i, true);
    }
    if (r == VERB_OK && !dry_run) {
        r = cmd_import_pass(session, i, false);
    }
    if (r == VERB_OK) {
        r = cmd_import_summary(call, i, &result);
    }
    session_close(session);
    return r;
}

static int cmd_import_file(const struct options_call *call, const char *file, const char *pool,
                           bool dry_run)
{
    char *bytes;
    size_t len;
    struct import import;
    int r = keyfile_read(file, IMPORT_FILE_MAX, &bytes, &len);
    if (r != 0) {
        talk_error("cannot read %s: %s", file,
                   r == KEYFILE_E_MISSING ? "no such file"
                   : r == KEYFILE_E_LARGE ? "larger than 256 MiB" : strerror(-r));
        talk_next("the columns: pool,date,start,duration_minutes,desk,time_zone");
        return VERB_FAILED;
    }
    r = import_read(&import, (uint8_t *)bytes, len, pool);
    if (r < 0) {
        talk_error("out of memory");
        r = VERB_FAILED;
    } else if (import.errors_count > 0) {
        r = cmd_import_errors(file, &import);
    } else {
        r = cmd_import_run(call, &import, file, dry_run);
    }
    import_fini(&import);
    free(bytes);
    return r;
}

int cmd_slot_import(const struct verb *verb, int argc, char **argv)
{
    struct options_call call;
    struct options_words words;
    const char *pool = NULL;
    bool dry_run = false;
    const struct options_spec specs[] = {
        {"pool", 0, &pool, NULL},
        {"dry-run", 0, NULL, &dry_run},
        OPTIONS_CALL(&call),
        {NULL},
    };
    const struct options_rule rule = {specs, 1, 1, "a FILE.csv"};
    options_call_init(&call);
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    r = options_call_check(verb, &call);
    if (pool && strncmp(pool, "pools/", 6) == 0) {
        pool += 6;
    }
    return r == VERB_OK ? cmd_import_file(&call, words.at[0], pool, dry_run) : r;
}

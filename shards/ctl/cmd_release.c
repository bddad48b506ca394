/* SPDX-License-Identifier: MIT */
/* fairslot release create|list|show|open|close|cancel|pause|resume|drain|beacon: an operator's
 * releases.
 *   options -> session -> one call -> the release, as a table or JSON
 * The server judges times and texts; here only what cannot be said in a message is checked.
 * Owns nothing beyond one session; every failure was told by the time an exit code comes back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/check.h"
#include "base/limits.h"
#include "ctl/cmd_release.h"
#include "ctl/keyfile.h"
#include "ctl/talk.h"
#include "ctl/value.h"

/* -- what all of them share -------------------------------------------------------------------- */

int cmd_release_name(const char *typed, const char *pool, char out[NAMES_MAX])
{
    if (names_child(typed, pool, "releases", out)) {
        return VERB_OK;
    }
    talk_error("'%s' names no pool", typed);
    talk_next("write pools/POOL/releases/%s, or add --pool POOL", typed);
    return VERB_USAGE;
}

/* Sealed, and not ranked yet: whose parts of the seed are still to come. */
static void release_say_waits(const Fairslot__V1__Release *r)
{
    if (r->state != FAIRSLOT__V1__RELEASE__STATE__STATE_SEALED) {
        return;
    }
    for (size_t i = 0; i < r->n_trustee_parts; i++) {
        if (r->trustee_parts[i].len == 0) {
            printf("  waits for trustee %zu: fairslot cosign\n", i + 1);
        }
    }
    if (r->beacon[0] && r->beacon_value.len == 0) {
        printf("  waits for the beacon (%s): fairslot release beacon\n", r->beacon);
    }
}

static void release_say_hex(const char *label, const ProtobufCBinaryData *bytes)
{
    if (bytes->len > 0) {
        printf("  %-10s", label);
        for (size_t i = 0; i < bytes->len; i++) {
            printf("%02x", bytes->data[i]);
        }
        printf("\n");
    }
}

int cmd_release_say(const struct options_call *call, const Fairslot__V1__Release *r)
{
    char open[VALUE_TIME_MAX] = "", close[VALUE_TIME_MAX] = "";
    if (options_json(call)) {
        return render_print_json(render_json(&r->base));
    }
    const ProtobufCEnumValue *state = protobuf_c_enum_descriptor_get_value(
        &fairslot__v1__release__state__descriptor, (int)r->state);
    value_rfc3339(r->entry_open_time ? r->entry_open_time->seconds : 0, 0, open);
    value_rfc3339(r->entry_close_time ? r->entry_close_time->seconds : 0, 0, close);
    printf("%s\n  state     %s\n  slots     %lld\n  entry     %s to %s\n", r->name,
           state ? state->name + strlen("STATE_") : "unknown", (long long)r->slot_count, open,
           close);
    printf("  tickets   %lld\n  served    %lld\n", (long long)r->ticket_count,
           (long long)r->served_count);
    for (size_t i = 0; i < r->n_missing_parts; i++) {
        printf("  missing   %s: stands as empty\n", r->missing_parts[i]);
    }
    release_say_waits(r);
    release_say_hex("manifest", &r->manifest_sha256);
    release_say_hex("root", &r->ticket_root);
    release_say_hex("seed", &r->seed);
    return render_flush();
}

/* One call that answers with a release, which is shown. */
static int release_send(const struct options_call *call, const char *path,
                        const ProtobufCMessage *request)
{
    struct session *session;
    Fairslot__V1__Release *answer;
    int r = session_open(call, &session);
    if (r != VERB_OK) {
        return r;
    }
    const struct session_call c = {path, request, &fairslot__v1__release__descriptor};
    r = session_call(session, &c, &answer);
    if (r == VERB_OK) {
        r = cmd_release_say(call, answer);
        session_free(answer);
    }
    session_close(session);
    return r;
}

/* -- create ------------------------------------------------------------------------------------ */

#define RELEASE_PARTS_WAIT "10m"

/* What `release create` was told. */
struct release_told {
    const char *pool, *display_name, *serving, *open, *close, *window, *grace, *cohort, *turn;
    const char *accept, *end, *from, *to, *beacon, *wait, *request_id;
    bool dry_run;
    struct options_many trustees;
};

/* Times and lengths of the message, where the message's pointers go. */
struct release_times {
    Google__Protobuf__Timestamp open, close, end, from, to;
    Google__Protobuf__Duration grace, cohort, turn, accept, wait;
};

static int release_time(const struct verb *verb, const char *name, const char *text,
                        Google__Protobuf__Timestamp *t, Google__Protobuf__Timestamp **ret_field)
{
    int64_t us;
    google__protobuf__timestamp__init(t);
    if (text == NULL) {
        return VERB_OK;
    }
    if (strcmp(text, "now") == 0) {
        us = (int64_t)time(NULL) * 1000000;
    } else if (!value_time(text, &us)) {
        return options_wrong(verb, name, text, "a time such as 2026-12-01T09:00:00+01:00, or now");
    }
    t->seconds = us / 1000000;
    t->nanos = (int32_t)(us % 1000000 * 1000);
    *ret_field = t;
    return VERB_OK;
}

static int release_length(const struct verb *verb, const char *name, const char *text,
                          Google__Protobuf__Duration *d, Google__Protobuf__Duration **ret_field)
{
    google__protobuf__duration__init(d);
    if (text == NULL) {
        return VERB_OK;
    }
    if (strcmp(text, "0") != 0 && strcmp(text, "0s") != 0 && !value_duration(text, &d->seconds)) {
        return options_wrong(verb, name, text, "a time such as 90s, 10m or 1h");
    }
    *ret_field = d;
    return VERB_OK;
}

static int release_lengths(const struct verb *verb, const struct release_told *told,
                           struct release_times *t, Fairslot__V1__Release *m)
{
    const struct {
        const char *name, *text;
        Google__Protobuf__Duration *at, **field;
    } lengths[] = {{"grace", told->grace, &t->grace, &m->entry_grace},
                   {"cohort", told->cohort, &t->cohort, &m->cohort_length},
                   {"turn", told->turn, &t->turn, &m->turn_length},
                   {"accept", told->accept, &t->accept, &m->accept_length},
                   {"parts-wait", told->wait, &t->wait, &m->parts_wait}};
    int code = VERB_OK;
    for (size_t i = 0; i < ARRAY_COUNT(lengths) && code == VERB_OK; i++) {
        code = release_length(verb, lengths[i].name, lengths[i].text, lengths[i].at,
                              lengths[i].field);
    }
    return code;
}

static int release_fill(const struct verb *verb, const struct release_told *told,
                        struct release_times *t, Fairslot__V1__Release *m)
{
    static const char *const servings[] = {"", "preference", "turn", "first-come"};
    const struct {
        const char *name, *text;
        Google__Protobuf__Timestamp *at, **field;
    } times[] = {{"entry-open", told->open, &t->open, &m->entry_open_time},
                 {"entry-close", told->close, &t->close, &m->entry_close_time},
                 {"close", told->end, &t->end, &m->close_time},
                 {"slots-from", told->from, &t->from, &m->slots_start_time},
                 {"slots-to", told->to, &t->to, &m->slots_end_time}};
    int64_t window_s = 0;
    for (int i = 1; i < 4; i++) {
        if (strcmp(told->serving, servings[i]) == 0) {
            m->serving = (Fairslot__V1__Release__Serving)i;
        }
    }
    if (m->serving == 0) {
        return options_wrong(verb, "serving", told->serving, "preference, turn or first-come");
    }
    int code = release_lengths(verb, told, t, m);
    for (size_t i = 0; i < ARRAY_COUNT(times) && code == VERB_OK; i++) {
        code = release_time(verb, times[i].name, times[i].text, times[i].at, times[i].field);
    }
    if (code == VERB_OK && told->window && !value_duration(told->window, &window_s)) {
        code = options_wrong(verb, "window", told->window, "a time such as 60s, 10m or 7d");
    }
    if (told->window && m->entry_open_time) {
        t->close = t->open;
        t->close.seconds += window_s;
        m->entry_close_time = &t->close;
    }
    m->display_name = (char *)told->display_name;
    m->beacon = (char *)told->beacon;
    return code;
}

/* What the server would refuse by the name of a field, here by the option's. */
static int release_needs(const struct verb *verb, const struct release_told *told)
{
    const struct {
        const char *name, *text, *hint;
    } needed[] = {{"entry-open", told->open, "TIME"},
                  {"window", told->window ? told->window : told->close, "TIME"},
                  {"slots-from", told->from, "TIME"},
                  {"slots-to", told->to, "TIME"}};
    for (size_t i = 0; i < ARRAY_COUNT(needed); i++) {
        if (needed[i].text == NULL) {
            return options_wrong(verb, needed[i].name, needed[i].hint, "is needed");
        }
    }
    return told->window && told->close
               ? options_wrong(verb, "window", told->window, "or --entry-close, one of the two")
               : VERB_OK;
}

/* A public key out of a PEM file, as DER; told when it is none. */
static int release_trustee(const char *path, ProtobufCBinaryData *ret_key)
{
    FILE *file = fopen(path, "re");
    EVP_PKEY *key = file ? PEM_read_PUBKEY(file, NULL, NULL, NULL) : NULL;
    if (file) {
        fclose(file);
    }
    ret_key->data = NULL;
    int len = key ? i2d_PUBKEY(key, &ret_key->data) : -1;
    EVP_PKEY_free(key);
    if (len <= 0) {
        talk_error("%s: %s", path, file ? "no public key in PEM" : "cannot be read");
        talk_next("make one: openssl pkey -in KEY.pem -pubout -out FILE");
        return VERB_FAILED;
    }
    ret_key->len = (size_t)len;
    return VERB_OK;
}

static int release_trustees(const struct release_told *told, Fairslot__V1__Release *m,
                            ProtobufCBinaryData *keys)
{
    int code = VERB_OK;
    m->trustee_keys = keys;
    for (size_t i = 0; i < told->trustees.count && code == VERB_OK; i++) {
        code = release_trustee(told->trustees.at[i], &keys[i]);
        m->n_trustee_keys += code == VERB_OK;
    }
    return code;
}

static int release_create(const struct verb *verb, const struct options_call *call,
                          const struct release_told *told, const char *name)
{
    Fairslot__V1__Release release = FAIRSLOT__V1__RELEASE__INIT;
    Fairslot__Admin__V1__CreateReleaseRequest request =
        FAIRSLOT__ADMIN__V1__CREATE_RELEASE_REQUEST__INIT;
    ProtobufCBinaryData keys[OPTIONS_MANY_MAX];
    struct release_times times;
    char request_id[VALUE_UUID_MAX], parent[NAMES_MAX];
    int code = release_fill(verb, told, &times, &release);
    if (code == VERB_OK) {
        code = release_trustees(told, &release, keys);
    }
    session_request_id(request_id);
    names_parent(name, parent);
    request.parent = parent;
    request.release_id = (char *)render_last(name);
    request.release = &release;
    request.validate_only = told->dry_run;
    request.request_id = (char *)(told->request_id ? told->request_id : request_id);
    if (code == VERB_OK) {
        code = release_send(call, CMD_RELEASE_ADMIN "CreateRelease", &request.base);
    }
    for (size_t i = 0; i < release.n_trustee_keys; i++) {
        OPENSSL_free(keys[i].data);
    }
    return code;
}

int cmd_release_create(const struct verb *verb, int argc, char **argv)
{
    struct options_call call;
    struct options_words words;
    struct release_told told = {.serving = "preference", .display_name = "", .beacon = ""};
    char name[NAMES_MAX];
    const struct options_spec specs[] = {
        {"pool", 0, &told.pool, NULL}, {"display-name", 0, &told.display_name, NULL},
        {"serving", 0, &told.serving, NULL}, {"entry-open", 0, &told.open, NULL},
        {"entry-close", 0, &told.close, NULL}, {"window", 0, &told.window, NULL},
        {"grace", 0, &told.grace, NULL}, {"cohort", 0, &told.cohort, NULL},
        {"turn", 0, &told.turn, NULL}, {"accept", 0, &told.accept, NULL},
        {"close", 0, &told.end, NULL}, {"slots-from", 0, &told.from, NULL},
        {"slots-to", 0, &told.to, NULL}, {"beacon", 0, &told.beacon, NULL},
        {"parts-wait", 0, &told.wait, NULL}, {"request-id", 0, &told.request_id, NULL},
        {"dry-run", 0, NULL, &told.dry_run}, {"trustee", 0, NULL, NULL, &told.trustees},
        OPTIONS_CALL(&call), {NULL},
    };
    const struct options_rule rule = {specs, 1, 1, "a NAME"};
    options_call_init(&call);
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    r = options_call_check(verb, &call);
    r = r == VERB_OK ? cmd_release_name(words.at[0], told.pool, name) : r;
    r = r == VERB_OK ? release_needs(verb, &told) : r;
    if (told.wait == NULL && (told.trustees.count > 0 || told.beacon[0])) {
        told.wait = RELEASE_PARTS_WAIT; /* at once, every part would be missing */
    }
    return r == VERB_OK ? release_create(verb, &call, &told, name) : r;
}

/* -- change ------------------------------------------------------------------------------------ */

static int release_change(const struct verb *verb, int argc, char **argv, const char *path)
{
    struct options_call call;
    struct options_words words;
    const char *pool = NULL, *etag = "", *reason = "", *request_id = NULL;
    char name[NAMES_MAX], made[VALUE_UUID_MAX];
    const struct options_spec specs[] = {
        {"pool", 0, &pool, NULL}, {"etag", 0, &etag, NULL}, {"reason", 0, &reason, NULL},
        {"request-id", 0, &request_id, NULL}, OPTIONS_CALL(&call), {NULL},
    };
    const struct options_rule rule = {specs, 1, 1, "a NAME"};
    options_call_init(&call);
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    r = options_call_check(verb, &call);
    r = r == VERB_OK ? cmd_release_name(words.at[0], pool, name) : r;
    if (r != VERB_OK) {
        return r;
    }
    session_request_id(made);
    Fairslot__Admin__V1__OpenReleaseRequest request =
        FAIRSLOT__ADMIN__V1__OPEN_RELEASE_REQUEST__INIT;
    request.name = name;
    request.etag = (char *)etag;
    request.reason = (char *)reason;
    request.request_id = (char *)(request_id ? request_id : made);
    return release_send(&call, path, &request.base);
}

int cmd_release_open(const struct verb *verb, int argc, char **argv)
{
    return release_change(verb, argc, argv, CMD_RELEASE_ADMIN "OpenRelease");
}

int cmd_release_close(const struct verb *verb, int argc, char **argv)
{
    return release_change(verb, argc, argv, CMD_RELEASE_ADMIN "CloseRelease");
}

int cmd_release_cancel(const struct verb *verb, int argc, char **argv)
{
    return release_change(verb, argc, argv, CMD_RELEASE_ADMIN "CancelRelease");
}

int cmd_release_pause(const struct verb *verb, int argc, char **argv)
{
    return release_change(verb, argc, argv, CMD_RELEASE_ADMIN "PauseRelease");
}

int cmd_release_resume(const struct verb *verb, int argc, char **argv)
{
    return release_change(verb, argc, argv, CMD_RELEASE_ADMIN "ResumeRelease");
}

int cmd_release_drain(const struct verb *verb, int argc, char **argv)
{
    return release_change(verb, argc, argv, CMD_RELEASE_ADMIN "DrainRelease");
}

int cmd_release_beacon(const struct verb *verb, int argc, char **argv)
{
    struct options_call call;
    struct options_words words;
    const char *pool = NULL, *value = NULL, *request_id = NULL;
    char name[NAMES_MAX], made[VALUE_UUID_MAX];
    uint8_t part[RELEASE_PART_MAX];
    Fairslot__Admin__V1__AddReleasePartRequest request =
        FAIRSLOT__ADMIN__V1__ADD_RELEASE_PART_REQUEST__INIT;
    const struct options_spec specs[] = {
        {"pool", 0, &pool, NULL}, {"value", 0, &value, NULL},
        {"request-id", 0, &request_id, NULL}, OPTIONS_CALL(&call), {NULL},
    };
    const struct options_rule rule = {specs, 1, 1, "a NAME"};
    options_call_init(&call);
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    if (value == NULL) {
        return options_wrong(verb, "value", "HEX", "is needed");
    }
    if (OPENSSL_hexstr2buf_ex(part, sizeof part, &request.part.len, value, '\0') != 1 ||
        request.part.len == 0) {
        return options_wrong(verb, "value", value, "1 to 512 bytes in hex digits");
    }
    r = options_call_check(verb, &call);
    r = r == VERB_OK ? cmd_release_name(words.at[0], pool, name) : r;
    if (r != VERB_OK) {
        return r;
    }
    session_request_id(made);
    request.name = name;
    request.part.data = part;
    request.request_id = (char *)(request_id ? request_id : made);
    return release_send(&call, CMD_RELEASE_ADMIN "AddReleasePart", &request.base);
}

/* -- read -------------------------------------------------------------------------------------- */

int cmd_release_show(const struct verb *verb, int argc, char **argv)
{
    struct options_call call;
    struct options_words words;
    const char *pool = NULL;
    char name[NAMES_MAX];
    const struct options_spec specs[] = {{"pool", 0, &pool, NULL}, OPTIONS_CALL(&call), {NULL}};
    const struct options_rule rule = {specs, 1, 1, "a NAME"};
    options_call_init(&call);
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    r = options_call_check(verb, &call);
    r = r == VERB_OK ? cmd_release_name(words.at[0], pool, name) : r;
    if (r != VERB_OK) {
        return r;
    }
    Fairslot__V1__GetReleaseRequest request = FAIRSLOT__V1__GET_RELEASE_REQUEST__INIT;
    request.name = name;
    return release_send(&call, "/fairslot.v1.CatalogService/GetRelease", &request.base);
}

/* Every page; each release is shown as it comes. */
static int release_list(const struct options_call *call, const char *parent)
{
    Fairslot__V1__ListReleasesRequest request = FAIRSLOT__V1__LIST_RELEASES_REQUEST__INIT;
    char token[PAGE_TOKEN_MAX + 1] = "";
    struct session *session;
    int r = session_open(call, &session);
    if (r != VERB_OK) {
        return r;
    }
    json_t *all = json_array();
    request.parent = (char *)parent;
    request.page_token = token;
    while (r == VERB_OK) {
        Fairslot__V1__ListReleasesResponse *answer;
        const struct session_call c = {"/fairslot.v1.CatalogService/ListReleases", &request.base,
                                       &fairslot__v1__list_releases_response__descriptor};
        r = session_call(session, &c, &answer);
        if (r != VERB_OK) {
            break;
        }
        for (size_t i = 0; i < answer->n_releases && r == VERB_OK; i++) {
            if (options_json(call)) {
                json_array_append_new(all, render_json(&answer->releases[i]->base));
            } else {
                r = cmd_release_say(call, answer->releases[i]);
            }
        }
        snprintf(token, sizeof token, "%s", answer->next_page_token);
        session_free(answer);
        if (token[0] == '\0') {
            break;
        }
    }
    if (r == VERB_OK && options_json(call)) {
        r = render_print_json(json_pack("{s:O}", "releases", all));
    }
    json_decref(all);
    session_close(session);
    return r;
}

int cmd_release_list(const struct verb *verb, int argc, char **argv)
{
    struct options_call call;
    struct options_words words;
    const char *pool = NULL;
    char parent[NAMES_MAX];
    const struct options_spec specs[] = {{"pool", 0, &pool, NULL}, OPTIONS_CALL(&call), {NULL}};
    const struct options_rule rule = {specs, 0, 0, ""};
    options_call_init(&call);
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    r = options_call_check(verb, &call);
    if (r == VERB_OK && pool == NULL) {
        r = options_wrong(verb, "pool", "ID", "is needed");
    }
    if (r != VERB_OK) {
        return r;
    }
    names_pool(pool, parent);
    return release_list(&call, parent);
}

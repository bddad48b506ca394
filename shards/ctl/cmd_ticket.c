/* SPDX-License-Identifier: MIT */
/* fairslot ticket create|show|delete, and fairslot cosign: what a person's client and a
 * trustee's machine do.
 *   cosign: waits until the release is sealed -> signs manifest, root and count -> sends the part
 * A trustee keeps nothing secret for a release but its one key, and may run this unattended.
 * Owns one session and, for cosign, the private key while it runs.  Every failure was told. */
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/limits.h"
#include "ctl/cmd_release.h"
#include "ctl/talk.h"
#include "ctl/value.h"
#include "draw/manifest.h"

#define TICKET_PATH "/fairslot.v1.TicketService/"

/* What the verbs about one's ticket are told. */
struct ticket_told {
    struct options_call call;
    const char *pool;
    const char *count;
    const char *request_id;
    bool any;
    struct options_many wishes;      /* --slot and --between, in their order */
    char name[NAMES_MAX];            /* of the release */
    char ticket[NAMES_MAX + 16];     /* .../tickets/me */
    char made[VALUE_UUID_MAX];
};

static int ticket_parse(const struct verb *verb, int argc, char **argv, struct ticket_told *t)
{
    struct options_words words;
    *t = (struct ticket_told){.count = "1"};
    const struct options_spec specs[] = {
        {"pool", 0, &t->pool, NULL}, {"count", 0, &t->count, NULL},
        {"request-id", 0, &t->request_id, NULL}, {"any", 0, NULL, &t->any},
        {"slot", 0, NULL, NULL, &t->wishes}, {"between", 0, NULL, NULL, &t->wishes},
        OPTIONS_CALL(&t->call), {NULL}};
    const struct options_rule rule = {specs, 1, 1, "a RELEASE"};
    options_call_init(&t->call);
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return r;
    }
    if (options_call_check(verb, &t->call) != VERB_OK ||
        cmd_release_name(words.at[0], t->pool, t->name) != VERB_OK) {
        return OPTIONS_E_USAGE;
    }
    snprintf(t->ticket, sizeof t->ticket, "%s/tickets/me", t->name);
    session_request_id(t->made);
    t->request_id = t->request_id ? t->request_id : t->made;
    return 0;
}

/* One call; what comes back is shown as JSON: tickets are nested, and few look at them here. */
static int ticket_send(const struct ticket_told *t, const struct session_call *call)
{
    struct session *session;
    ProtobufCMessage *answer;
    int r = session_open(&t->call, &session);
    if (r != VERB_OK) {
        return r;
    }
    r = session_call(session, call, &answer);
    if (r == VERB_OK) {
        r = render_print_json(render_json(answer));
        session_free(answer);
    }
    session_close(session);
    return r;
}

/* A wish as the message has it, and where its pointers go. */
struct ticket_wish {
    Fairslot__V1__Preference preference;
    Fairslot__V1__Preference__SlotClass class;
    Google__Protobuf__Timestamp from, to;
    char slot[NAMES_MAX];
};

/* "2026-12-01T09:00:00+01:00/2026-12-01T12:00:00+01:00": as ISO 8601 writes an interval. */
static bool ticket_between(const char *text, struct ticket_wish *w)
{
    char from[VALUE_TIME_MAX];
    int64_t from_us, to_us;
    size_t len = strcspn(text, "/");
    if (len >= sizeof from || text[len] != '/') {
        return false;
    }
    snprintf(from, sizeof from, "%.*s", (int)len, text);
    if (!value_time(from, &from_us) || !value_time(text + len + 1, &to_us)) {
        return false;
    }
    fairslot__v1__preference__slot_class__init(&w->class);
    google__protobuf__timestamp__init(&w->from);
    google__protobuf__timestamp__init(&w->to);
    w->from.seconds = from_us / SECOND_US;
    w->to.seconds = to_us / SECOND_US;
    w->class.from_time = &w->from;
    w->class.to_time = &w->to;
    w->preference.want_case = FAIRSLOT__V1__PREFERENCE__WANT_SLOT_CLASS;
    w->preference.slot_class = &w->class;
    return true;
}

/* One --slot or --between; they share a list, so that their order is the order of the wishes. */
static bool ticket_wish(const struct ticket_told *t, const char *text, struct ticket_wish *w)
{
    char pool[NAMES_MAX];
    fairslot__v1__preference__init(&w->preference);
    if (strchr(text, '/') && strncmp(text, "pools/", strlen("pools/")) != 0) {
        return ticket_between(text, w);
    }
    if (!names_parent(t->name, pool) || !names_child(text, pool, "slots", w->slot)) {
        return false;
    }
    w->preference.want_case = FAIRSLOT__V1__PREFERENCE__WANT_SLOT;
    w->preference.slot = w->slot;
    return true;
}

int cmd_ticket_create(const struct verb *verb, int argc, char **argv)
{
    struct ticket_told t;
    Fairslot__V1__CreateTicketRequest request = FAIRSLOT__V1__CREATE_TICKET_REQUEST__INIT;
    Fairslot__V1__Preference any = FAIRSLOT__V1__PREFERENCE__INIT, *pointers[OPTIONS_MANY_MAX + 1];
    struct ticket_wish wishes[OPTIONS_MANY_MAX];
    long count;
    int r = ticket_parse(verb, argc, argv, &t);
    if (r != 0) {
        return options_exit(r);
    }
    if (!value_count(t.count, 1, SLOTS_PER_HOLD, &count)) {
        return options_wrong(verb, "count", t.count, "1 to 8 neighbouring slots");
    }
    for (size_t i = 0; i < t.wishes.count; i++) {
        if (!ticket_wish(&t, t.wishes.at[i], &wishes[i])) {
            return options_wrong(verb, "between", t.wishes.at[i],
                                 "FROM/TO, as 2026-12-01/2026-12-01T12:00:00+01:00");
        }
        pointers[i] = &wishes[i].preference;
    }
    any.want_case = FAIRSLOT__V1__PREFERENCE__WANT_ANY;
    any.any = true;
    pointers[t.wishes.count] = &any;
    request.parent = t.name;
    request.preferences = pointers;
    request.n_preferences = t.wishes.count + t.any;
    request.slot_count = (int32_t)count;
    request.request_id = (char *)t.request_id;
    return ticket_send(&t, &(struct session_call){TICKET_PATH "CreateTicket", &request.base,
                                                  &fairslot__v1__ticket__descriptor});
}

int cmd_ticket_show(const struct verb *verb, int argc, char **argv)
{
    struct ticket_told t;
    Fairslot__V1__GetTicketRequest request = FAIRSLOT__V1__GET_TICKET_REQUEST__INIT;
    int r = ticket_parse(verb, argc, argv, &t);
    if (r != 0) {
        return options_exit(r);
    }
    request.name = t.ticket;
    return ticket_send(&t, &(struct session_call){TICKET_PATH "GetTicket", &request.base,
                                                  &fairslot__v1__ticket__descriptor});
}

int cmd_ticket_delete(const struct verb *verb, int argc, char **argv)
{
    struct ticket_told t;
    Fairslot__V1__DeleteTicketRequest request = FAIRSLOT__V1__DELETE_TICKET_REQUEST__INIT;
    int r = ticket_parse(verb, argc, argv, &t);
    if (r != 0) {
        return options_exit(r);
    }
    request.name = t.ticket;
    request.request_id = (char *)t.request_id;
    return ticket_send(&t, &(struct session_call){TICKET_PATH "DeleteTicket", &request.base,
                                                  &google__protobuf__empty__descriptor});
}

/* -- cosign ------------------------------------------------------------------------------------ */

struct cosign {
    struct options_call call;
    const char *pool, *key_file, *trustee, *wait;
    char name[NAMES_MAX];
    EVP_PKEY *key;
    int32_t number; /* of the trustee, from 1 */
    struct session *session;
};

static int cosign_key(struct cosign *c)
{
    FILE *file = fopen(c->key_file, "re");
    c->key = file ? PEM_read_PrivateKey(file, NULL, NULL, NULL) : NULL;
    if (file) {
        fclose(file);
    }
    if (c->key && EVP_PKEY_get_base_id(c->key) == EVP_PKEY_RSA) {
        return VERB_OK;
    }
    talk_error("%s: %s", c->key_file, file ? "no RSA private key in PEM" : "cannot be read");
    talk_next("make one, once: openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072 -out "
              "FILE; chmod 600 FILE");
    return VERB_FAILED;
}

static int cosign_fetch(struct cosign *c, Fairslot__V1__Release **ret_release)
{
    Fairslot__V1__GetReleaseRequest request = FAIRSLOT__V1__GET_RELEASE_REQUEST__INIT;
    request.name = c->name;
    const struct session_call call = {"/fairslot.v1.CatalogService/GetRelease", &request.base,
                                      &fairslot__v1__release__descriptor};
    return session_call(c->session, &call, ret_release);
}

/* Waits until the root is public.  VERB_OK with the release, to be freed. */
static int cosign_wait(struct cosign *c, int64_t patience_s, Fairslot__V1__Release **ret_release)
{
    for (int64_t waited_s = 0;; waited_s++) {
        int r = cosign_fetch(c, ret_release);
        if (r != VERB_OK) {
            return r;
        }
        if ((*ret_release)->ticket_root.len == 32) {
            return VERB_OK;
        }
        session_free(*ret_release);
        *ret_release = NULL;
        if (waited_s >= patience_s) {
            talk_error("%s is not sealed yet", c->name);
            talk_next("wait longer: --wait 1h");
            return VERB_PRECONDITION;
        }
        nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
    }
}

static bool cosign_sign(struct cosign *c, const Fairslot__V1__Release *release,
                        uint8_t part[RELEASE_PART_MAX], size_t *ret_len)
{
    struct draw_hash manifest, root;
    uint8_t message[DRAW_PART_MESSAGE_MAX];
    memcpy(manifest.bytes, release->manifest_sha256.data, 32);
    memcpy(root.bytes, release->ticket_root.data, 32);
    size_t n = draw_part_message(&manifest, &root, (uint64_t)release->ticket_count, message);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    *ret_len = RELEASE_PART_MAX;
    bool ok = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, c->key) == 1 &&
              EVP_DigestSign(ctx, part, ret_len, message, n) == 1;
    EVP_MD_CTX_free(ctx);
    return ok;
}

static int cosign_run(struct cosign *c, int64_t patience_s)
{
    Fairslot__V1__Release *release = NULL, *answer = NULL;
    uint8_t part[RELEASE_PART_MAX];
    char request_id[VALUE_UUID_MAX];
    Fairslot__Admin__V1__AddReleasePartRequest request =
        FAIRSLOT__ADMIN__V1__ADD_RELEASE_PART_REQUEST__INIT;
    int r = session_open(&c->call, &c->session);
    r = r == VERB_OK ? cosign_wait(c, patience_s, &release) : r;
    if (r == VERB_OK && (release->manifest_sha256.len != 32 ||
                         !cosign_sign(c, release, part, &request.part.len))) {
        talk_error("%s cannot be signed with this key", c->name);
        r = VERB_FAILED;
    }
    session_request_id(request_id);
    request.name = c->name;
    request.trustee = c->number;
    request.part.data = part;
    request.request_id = request_id;
    if (r == VERB_OK) {
        const struct session_call call = {CMD_RELEASE_ADMIN "AddReleasePart", &request.base,
                                          &fairslot__v1__release__descriptor};
        r = session_call(c->session, &call, &answer);
    }
    if (r == VERB_OK) {
        r = cmd_release_say(&c->call, answer);
    }
    session_free(answer);
    session_free(release);
    session_close(c->session);
    return r;
}

int cmd_cosign(const struct verb *verb, int argc, char **argv)
{
    struct options_words words;
    struct cosign c = {.wait = "1s", .trustee = "1"};
    const struct options_spec specs[] = {
        {"pool", 0, &c.pool, NULL}, {"key-file", 0, &c.key_file, NULL},
        {"trustee", 0, &c.trustee, NULL}, {"wait", 0, &c.wait, NULL}, OPTIONS_CALL(&c.call),
        {NULL}};
    const struct options_rule rule = {specs, 1, 1, "a RELEASE"};
    long number;
    int64_t patience_s;
    options_call_init(&c.call);
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    if (!value_count(c.trustee, 1, RELEASE_TRUSTEES_MAX, &number)) {
        return options_wrong(verb, "trustee", c.trustee, "its number in the manifest, 1 to 5");
    }
    if (!value_duration(c.wait, &patience_s)) {
        return options_wrong(verb, "wait", c.wait, "a time such as 90s, 10m or 1h");
    }
    if (c.key_file == NULL) {
        return options_wrong(verb, "key-file", "FILE", "is needed");
    }
    c.number = (int32_t)number;
    r = options_call_check(verb, &c.call);
    r = r == VERB_OK ? cmd_release_name(words.at[0], c.pool, c.name) : r;
    r = r == VERB_OK ? cosign_key(&c) : r;
    r = r == VERB_OK ? cosign_run(&c, patience_s) : r;
    EVP_PKEY_free(c.key);
    return r;
}

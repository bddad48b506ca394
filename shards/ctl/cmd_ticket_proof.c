/* SPDX-License-Identifier: MIT */
/* fairslot ticket proof RELEASE: one person's page; fairslot ticket verify FILE: recomputes it.
 *   GetTicketProof -> JSON, or a page for people   |   FILE -> ctl/proof -> what holds, or not
 * Verifying is offline: no server, no trust in whoever wrote the file but the key that signed it.
 * The page names everything that somebody needs to make the sums by hand.
 * Owns the file's bytes while it runs.  Fails by telling. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/cmd_release.h"
#include "ctl/keyfile.h"
#include "ctl/proof.h"
#include "ctl/talk.h"
#include "ctl/value.h"

#define PROOF_FILE_MAX (64 * 1024)

/* -- the page ---------------------------------------------------------------------------------- */

static void proof_say_hex(const char *label, const void *bytes, size_t n)
{
    printf("%-10s", label);
    for (size_t i = 0; i < n; i++) {
        printf("%02x", ((const uint8_t *)bytes)[i]);
    }
    printf("\n");
}

static void proof_say_wish(const struct draw_want *want, unsigned number)
{
    char from[VALUE_TIME_MAX] = "", to[VALUE_TIME_MAX] = "";
    value_rfc3339(want->from_us / 1000000, 0, from);
    value_rfc3339(want->to_us / 1000000, 0, to);
    printf("  wish %u  ", number);
    if (want->kind == DRAW_WANT_SLOT) {
        printf("%s %.*s\n", from, (int)want->slug.len, (const char *)want->slug.ptr);
    } else if (want->kind == DRAW_WANT_CLASS) {
        printf("starting from %s, before %s\n", from, to);
    } else {
        printf("any\n");
    }
}

static void proof_say(const struct proof *p)
{
    const char *state = strncmp(p->state, "STATE_", 6) == 0 ? p->state + 6 : p->state;
    printf("%s\n%-10s%s%s%s\n", p->ticket, "state", state, p->outcome[0] ? ", " : "", p->outcome);
    if (p->is_ranked) {
        printf("%-10s%016" PRIx64 "\n%-10s%016" PRIx64 "  the last rank that got something%s\n",
               "rank", p->rank, "cut-off", p->cut_off,
               p->rank <= p->cut_off ? "" : ": this one came later");
    } else {
        printf("%-10snot drawn yet\n", "rank");
    }
    printf("tried, in this order, for %u neighbouring slots\n", p->preferences.slot_count);
    for (uint32_t i = 0; i < p->preferences.count; i++) {
        proof_say_wish(&p->preferences.wants[i], i + 1);
    }
    proof_say_hex("manifest", &p->receipt.is.manifest, 32);
    proof_say_hex("seed", &p->seed, p->is_ranked ? 32 : 0);
    proof_say_hex("nonce", p->nonce, sizeof p->nonce);
    printf("%-10s%" PRIu64 "\n", "version", p->receipt.is.version);
    proof_say_hex("leaf", &p->receipt.is.leaf, 32);
    printf("%-10s%" PRIu64 " of %" PRIu64 "\n", "place", p->index, p->count);
    for (unsigned i = 0; i < p->path_len; i++) {
        proof_say_hex(i ? "" : "path", &p->path[i], 32);
    }
    proof_say_hex("root", &p->root, 32);
    proof_say_hex("key", &p->key, p->has_root_signature ? 32 : 0);
    proof_say_hex("signed", &p->root_signature, p->has_root_signature ? 64 : 0);
}

static int proof_page(const ProtobufCMessage *answer)
{
    json_t *json = render_json(answer);
    char *text = json ? json_dumps(json, 0) : NULL;
    struct proof p;
    const char *what = "memory";
    json_decref(json);
    if (text == NULL || !proof_read((struct span){(uint8_t *)text, strlen(text)}, &p, &what)) {
        free(text);
        talk_error("the server's proof lacks %s", what);
        return VERB_FAILED;
    }
    proof_say(&p);
    free(text);
    return render_flush();
}

int cmd_ticket_proof(const struct verb *verb, int argc, char **argv)
{
    struct options_call call;
    struct options_words words;
    const char *pool = NULL;
    char release[NAMES_MAX], name[NAMES_MAX + 16];
    struct session *session;
    ProtobufCMessage *answer;
    const struct options_spec specs[] = {{"pool", 0, &pool, NULL}, OPTIONS_CALL(&call), {NULL}};
    const struct options_rule rule = {specs, 1, 1, "a RELEASE"};
    options_call_init(&call);
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    r = options_call_check(verb, &call);
    r = r == VERB_OK ? cmd_release_name(words.at[0], pool, release) : r;
    r = r == VERB_OK ? session_open(&call, &session) : r;
    if (r != VERB_OK) {
        return r;
    }
    Fairslot__V1__GetTicketProofRequest request = FAIRSLOT__V1__GET_TICKET_PROOF_REQUEST__INIT;
    snprintf(name, sizeof name, "%s/tickets/me", release);
    request.name = name;
    const struct session_call c = {"/fairslot.v1.TicketService/GetTicketProof", &request.base,
                                   &fairslot__v1__ticket_proof__descriptor};
    r = session_call(session, &c, &answer);
    if (r == VERB_OK) {
        r = options_json(&call) ? render_print_json(render_json(answer)) : proof_page(answer);
        session_free(answer);
    }
    session_close(session);
    return r;
}

/* -- verify ------------------------------------------------------------------------------------ */

static int proof_verdict(const struct proof *p, const struct draw_key *key, bool json)
{
    const char *wrong = proof_check(p, key);
    if (json) {
        printf("{\"valid\":%s,\"what\":\"%s\",\"rank\":\"%" PRIu64 "\",\"cutOff\":\"%" PRIu64
               "\",\"signed\":%s}\n",
               wrong ? "false" : "true", wrong ? wrong : "", p->rank, p->cut_off,
               p->has_root_signature ? "true" : "false");
    }
    if (wrong) {
        talk_error("%s", wrong);
        talk_next("ask for the proof again: fairslot ticket proof RELEASE -o json > FILE");
        return VERB_FAILED;
    }
    if (!json) {
        printf("everything holds: the ticket was in, and by this seed this is its rank\n");
        proof_say(p);
        if (!p->has_root_signature) {
            printf("nothing is signed: the root is to be compared with the published one\n");
        } else if (key == NULL) {
            printf("the key is the proof's own: compare it with what the office publishes\n");
        }
        if (p->is_ranked) { /* the operator signs the root, which stands before the draw */
            printf("seed, cut-off and state are the server's word: the bundle proves them "
                   "(fairslot release verify)\n");
        }
    }
    return render_flush();
}

int cmd_ticket_verify(const struct verb *verb, int argc, char **argv)
{
    struct options_words words;
    const char *output = "", *key_text = NULL, *what = "";
    struct draw_key key;
    struct proof p;
    const struct options_spec specs[] = {
        {"output", 'o', &output, NULL}, {"key", 0, &key_text, NULL}, {NULL}};
    const struct options_rule rule = {specs, 1, 1, "a FILE"};
    char *bytes;
    size_t len;
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    if (output[0] && strcmp(output, "json") != 0) {
        return options_wrong(verb, "output", output, "json, or leave it out");
    }
    if (key_text && !proof_key(key_text, &key)) {
        return options_wrong(verb, "key", key_text, "64 hex digits, or a PEM file");
    }
    r = keyfile_read(words.at[0], PROOF_FILE_MAX, &bytes, &len);
    if (r != 0) {
        talk_error("%s: %s", words.at[0],
                   r == KEYFILE_E_MISSING ? "no such file"
                   : r == KEYFILE_E_LARGE ? "too large for a proof" : "cannot be read");
        talk_next("a proof is what 'fairslot ticket proof RELEASE -o json' prints");
        return VERB_PRECONDITION;
    }
    bool is_proof = proof_read((struct span){(uint8_t *)bytes, len}, &p, &what);
    free(bytes);
    if (!is_proof) {
        talk_error("%s: %s is missing or wrong", words.at[0], what);
        talk_next("a proof is what 'fairslot ticket proof RELEASE -o json' prints");
        return VERB_FAILED;
    }
    return proof_verdict(&p, key_text ? &key : NULL, output[0] != '\0');
}

/* SPDX-License-Identifier: MIT */
/* fairslot token: signs tokens with the development issuer of a data directory.
 *   options -> issuer_init_dir (makes what is missing) -> one token a line on stdout
 * Owns the issuer while it runs.  Fails before the first line for anything that is wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/cmd.h"
#include "ctl/issuer.h"
#include "ctl/options.h"
#include "ctl/render.h"
#include "ctl/talk.h"
#include "ctl/tenant.h"
#include "ctl/value.h"

#define CMD_TOKEN_SUBJECT_MAX 200
#define CMD_TOKEN_COUNT_MAX   2000000

/* What was asked for, checked. */
struct cmd_token {
    const char *data;    /* data directory */
    const char *subject; /* name, or its stem with a count */
    struct issuer_claims claims;
    bool numbered;       /* --count was given */
    long count;
};

static int cmd_token_claims(const struct verb *verb, struct cmd_token *t, const char *ttl,
                            const char *count, const char *alg)
{
    const char *assurance = t->claims.assurance;
    if (strcmp(assurance, "low") != 0 && strcmp(assurance, "substantial") != 0 &&
        strcmp(assurance, "high") != 0) {
        return options_wrong(verb, "assurance", assurance, "low, substantial or high");
    }
    if (t->claims.role && strcmp(t->claims.role, "operator") != 0) {
        return options_wrong(verb, "role", t->claims.role, "operator is the only role");
    }
    if (!value_duration(ttl, &t->claims.ttl_s)) {
        return options_wrong(verb, "ttl", ttl, "a time such as 90s, 10m, 1h or 30d");
    }
    if (strcmp(alg, "ES256") != 0 && strcmp(alg, "RS256") != 0) {
        return options_wrong(verb, "alg", alg, "ES256 or RS256");
    }
    t->claims.rs256 = strcmp(alg, "RS256") == 0;
    t->numbered = count != NULL;
    t->count = 1;
    if (count && !value_count(count, 1, CMD_TOKEN_COUNT_MAX, &t->count)) {
        return options_wrong(verb, "count", count, "a whole number from 1 to 2000000");
    }
    if (strlen(t->subject) == 0 || strlen(t->subject) > CMD_TOKEN_SUBJECT_MAX) {
        return options_wrong(verb, "subject", t->subject, "1 to 200 bytes");
    }
    return VERB_OK;
}

static int cmd_token_print(struct issuer *i, const struct cmd_token *t)
{
    for (long n = 0; n < t->count; n++) {
        char subject[CMD_TOKEN_SUBJECT_MAX + 24];
        char *token;
        struct issuer_claims claims = t->claims;
        if (t->numbered) {
            snprintf(subject, sizeof(subject), "%s-%ld", t->subject, n);
        } else {
            snprintf(subject, sizeof(subject), "%s", t->subject);
        }
        claims.subject = subject;
        if (issuer_mint(i, &claims, &token) < 0) {
            talk_error("cannot sign a token");
            return VERB_FAILED;
        }
        puts(token);
        free(token);
    }
    return render_flush();
}

int cmd_token(const struct verb *verb, int argc, char **argv)
{
    struct cmd_token t = {.claims = {.assurance = "substantial"}};
    const char *ttl = "1h", *count = NULL, *alg = "ES256";
    struct options_words words;
    const struct options_spec specs[] = {
        {"data", 0, &t.data, NULL},
        {"subject", 0, &t.subject, NULL},
        {"assurance", 0, &t.claims.assurance, NULL},
        {"role", 0, &t.claims.role, NULL},
        {"ttl", 0, &ttl, NULL},
        {"count", 0, &count, NULL},
        {"alg", 0, &alg, NULL},
        {NULL},
    };
    const struct options_rule rule = {specs, 0, 0, ""};
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    if (!t.data) {
        return options_wrong(verb, "data", "DIR", "is needed");
    }
    if (!t.subject) {
        return options_wrong(verb, "subject", "NAME", "is needed");
    }
    r = cmd_token_claims(verb, &t, ttl, count, alg);
    if (r != VERB_OK) {
        return r;
    }
    char text[ISSUER_TEXT];
    struct issuer *i;
    r = issuer_init_dir(t.data, text);
    r = r == 0 ? issuer_open(t.data, &i, text) : r;
    if (r != 0) {
        talk_error("%s", text);
        return r == ISSUER_E_TENANT ? tenant_tell_next() : VERB_FAILED;
    }
    r = cmd_token_print(i, &t);
    issuer_close(i);
    return r;
}

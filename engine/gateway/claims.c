/* SPDX-License-Identifier: MIT */
/* The rules of RFC 8725 that are about words and numbers, one issuer's values in them.
 * Owns: nothing.
 *
 *   header: typ cty crit zip kid alg        claims: aud azp -> exp nbf iat -> subject -> grants
 *
 * Happy path: a dozen look-ups in two small objects.
 * Fails: with the first rule that does not hold; which one is not told to the sender.
 * Invariants: a claim of another type than the rule expects never counts as absent, but for roles,
 * where whatever is not understood grants nothing; an assurance that is not named grants the least,
 * or the token is refused (issuer.h); leeway is for an issuer's clock that is ahead, it never makes
 * a token live longer.
 * A claim's name is looked up as it stands, then as a path: realm_access.roles is the member roles
 * of the member realm_access. */
#include "gateway/claims.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "gateway/keyset.h"

#define INSTANT_MAX 253402300799.0 /* the year 9999 in seconds: beyond is nonsense */
#define NUMBER_SIZE 24             /* characters of an integer */

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

/* -- the header -------------------------------------------------------------------------------- */

/* A media type without its "application/" (RFC 7515 4.1.9), in any case of letters. */
static bool type_is(const char *type, const char *wanted)
{
    static const char prefix[] = "application/";
    if (strncasecmp(type, prefix, sizeof prefix - 1) == 0) {
        type += sizeof prefix - 1;
    }
    return strcasecmp(type, wanted) == 0;
}

/* RFC 8725 3.11: a token made for something else is none for us. */
static bool typ_valid(const struct issuer_rules *issuer, const json_t *header)
{
    const json_t *typ = json_object_get(header, "typ");
    if (typ == NULL) {
        return issuer->typ == ISSUER_TYP_ANY;
    }
    if (!json_is_string(typ)) {
        return false;
    }
    bool is_jwt = type_is(json_string_value(typ), "JWT");
    bool is_access = type_is(json_string_value(typ), "at+jwt");
    return (is_jwt && issuer->typ != ISSUER_TYP_ACCESS) ||
           (is_access && issuer->typ != ISSUER_TYP_JWT);
}

/* A token inside a token says so in cty (RFC 7519 5.2). */
static bool is_nested(const json_t *header)
{
    const json_t *cty = json_object_get(header, "cty");
    return cty && (!json_is_string(cty) || type_is(json_string_value(cty), "JWT"));
}

bool claims_header_valid(const struct issuer_rules *issuer, const json_t *header)
{
    const char *alg = text_of(header, "alg");
    return alg && (issuer_algorithm_of(alg) & issuer->algorithms) != 0 &&
           json_object_get(header, "crit") == NULL && json_object_get(header, "zip") == NULL &&
           json_object_get(header, "enc") == NULL && !is_nested(header) &&
           typ_valid(issuer, header) && keyset_kid_valid(text_of(header, "kid"));
}

/* -- claims ------------------------------------------------------------------------------------ */

/* By name, else by path.  NULL: there is none. */
static const json_t *claim_find(const json_t *claims, const char *name)
{
    const json_t *found = json_object_get(claims, name);
    char part[ISSUER_TEXT_MAX + 1];
    for (const json_t *at = claims; found == NULL && at; name++) {
        size_t n = strcspn(name, ".");
        snprintf(part, sizeof part, "%.*s", (int)n, name);
        at = json_object_get(at, part);
        name += n;
        if (*name == '\0') {
            return at;
        }
    }
    return found;
}

/* Is the claim one of the words, or a list with one of them? */
static bool claim_has_word(const json_t *claim, const struct issuer_words *words)
{
    if (json_is_string(claim)) {
        return issuer_word_find(words, json_string_value(claim)) != NULL;
    }
    for (size_t i = 0; i < json_array_size(claim); i++) {
        const char *text = json_string_value(json_array_get(claim, i));
        if (text && issuer_word_find(words, text)) {
            return true;
        }
    }
    return false;
}

/* A NumericDate (RFC 7519 2): seconds, also with a fraction.  `missing` stands in for an absent
 * claim; false for what is no sane number: strings are not understood by guessing. */
static bool instant_us(const json_t *claim, int64_t missing, int64_t *ret_us)
{
    if (claim == NULL) {
        *ret_us = missing;
        return true;
    }
    double seconds = json_number_value(claim);
    if (!json_is_number(claim) || !(seconds >= 0) || seconds > INSTANT_MAX) {
        return false;
    }
    *ret_us = json_is_integer(claim) ? json_integer_value(claim) * SECOND_US
                                     : (int64_t)(seconds * (double)SECOND_US);
    return true;
}

static int times_check(const struct issuer_rules *issuer, const json_t *claims, int64_t now_us,
                       int64_t *ret_exp_us)
{
    int64_t exp, nbf, iat;
    if (!instant_us(json_object_get(claims, "exp"), 0, &exp) || exp == 0 ||
        !instant_us(json_object_get(claims, "nbf"), 0, &nbf) ||
        !instant_us(json_object_get(claims, "iat"), 0, &iat)) {
        return REASON_TOKEN_INVALID;
    }
    if (exp <= now_us) {
        return REASON_TOKEN_EXPIRED;
    }
    if (nbf > now_us + issuer->leeway_us || iat > now_us + issuer->leeway_us) {
        return REASON_TOKEN_INVALID;
    }
    *ret_exp_us = exp;
    return 0;
}

static const json_t *party_of(const json_t *claims)
{
    const json_t *party = json_object_get(claims, "azp");
    return party ? party : json_object_get(claims, "client_id");
}

/* For whom the token was made, where the issuer says that this matters. */
static bool party_valid(const struct issuer_rules *issuer, const json_t *claims)
{
    const json_t *party = party_of(claims);
    return issuer->parties.count == 0 ||
           (json_is_string(party) &&
            issuer_word_find(&issuer->parties, json_string_value(party)) != NULL);
}

static enum assurance assurance_read(const struct issuer_rules *issuer, const json_t *claims)
{
    const json_t *claim = claim_find(claims, issuer->assurance_claim);
    char number[NUMBER_SIZE] = "";
    if (claim == NULL) {
        return ASSURANCE_LOW;
    }
    if (json_is_integer(claim)) { /* levels as plain numbers */
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(claim));
    }
    const char *text = json_is_string(claim) ? json_string_value(claim) : number;
    const struct issuer_word *word = issuer_word_find(&issuer->assurance, text);
    if (word) {
        return (enum assurance)word->means;
    }
    return issuer->assurance_strict ? ASSURANCE_NONE : ASSURANCE_LOW;
}

static uint32_t role_of(const struct issuer_rules *issuer, const json_t *value)
{
    const char *text = json_string_value(value);
    const struct issuer_word *word = text ? issuer_word_find(&issuer->roles, text) : NULL;
    return word ? word->means : 0;
}

static uint32_t roles_read(const struct issuer_rules *issuer, const json_t *claims)
{
    const json_t *claim = claim_find(claims, issuer->role_claim);
    uint32_t roles = role_of(issuer, claim);
    for (size_t i = 0; i < json_array_size(claim); i++) {
        roles |= role_of(issuer, json_array_get(claim, i));
    }
    return roles;
}

int claims_read(const struct issuer_rules *issuer, const json_t *claims, int64_t now_us,
                struct claims *ret_claims)
{
    struct claims out = {0};
    const json_t *subject = claim_find(claims, issuer->subject_claim);
    if (!claim_has_word(json_object_get(claims, "aud"), &issuer->audiences) ||
        !party_valid(issuer, claims)) {
        return REASON_TOKEN_INVALID;
    }
    int r = times_check(issuer, claims, now_us, &out.exp_us);
    if (r) {
        return r;
    }
    out.subject = (struct span){(const uint8_t *)json_string_value(subject),
                                json_string_length(subject)}; /* 0 for what is no string */
    const json_t *party = party_of(claims);
    out.party = (struct span){(const uint8_t *)json_string_value(party),
                              json_string_length(party)};
    out.assurance = assurance_read(issuer, claims);
    out.roles = roles_read(issuer, claims);
    if (out.subject.len == 0 || out.subject.len > CLAIMS_SUBJECT_MAX ||
        out.assurance == ASSURANCE_NONE) {
        return REASON_TOKEN_INVALID;
    }
    *ret_claims = out;
    return 0;
}

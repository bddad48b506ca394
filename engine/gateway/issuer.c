/* SPDX-License-Identifier: MIT */
/* One issuer, from the words of its section to what verify and keyring work with.
 * Owns: copies of every word.
 * Happy path: each option is checked once, here, so that a mistake stops the start and not a
 * person.  Lists are "A, B"; tables are "VALUE = MEANING, ...", cut at the last '=' of an item, so
 * that URLs with one may stand in them.
 * Fails: with one sentence that names the issuer, the key and what would be right.
 * Invariants: an issuer has at least one audience and one algorithm; keys come over the network
 * only by https, or from this very machine. */
#include "gateway/issuer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/check.h"
#include "base/err.h"
#include "proto/words.h"

#define TEXT_SIZE 256
#define NAME_MAX_BYTES 32
#define URL_MAX 1000

static const struct issuer_word algorithm_words[] = {
    {"ES256", ISSUER_ES256}, {"RS256", ISSUER_RS256}, {"PS256", ISSUER_PS256},
    {"ES384", ISSUER_ES384}, {0}};
static const struct issuer_word assurance_words[] = {
    {"low", ASSURANCE_LOW}, {"substantial", ASSURANCE_SUBSTANTIAL}, {"high", ASSURANCE_HIGH}, {0}};
static const struct issuer_word role_words[] = {{"operator", ROLE_OPERATOR}, {0}};
static const struct issuer_word typ_words[] = {
    {"any", ISSUER_TYP_ANY}, {"JWT", ISSUER_TYP_JWT}, {"at+jwt", ISSUER_TYP_ACCESS}, {0}};

static const struct issuer_word *vocabulary_find(const struct issuer_word *words, const char *text)
{
    for (; words->text; words++) {
        if (strcmp(words->text, text) == 0) {
            return words;
        }
    }
    return NULL;
}

uint32_t issuer_algorithm_of(const char *name)
{
    const struct issuer_word *word = vocabulary_find(algorithm_words, name);
    return word ? word->means : 0;
}

const struct issuer_word *issuer_word_find(const struct issuer_words *words, const char *text)
{
    for (size_t i = 0; i < words->count; i++) {
        if (strcmp(words->items[i].text, text) == 0) {
            return &words->items[i];
        }
    }
    return NULL;
}

/* -- where keys may come from ------------------------------------------------------------------ */

static bool host_is_loopback(const char *host, size_t len)
{
    char text[INET_ADDRSTRLEN];
    struct in_addr v4;
    if ((len == 9 && strncasecmp(host, "localhost", 9) == 0) ||
        (len == 5 && memcmp(host, "[::1]", 5) == 0)) {
        return true;
    }
    if (len >= sizeof text) {
        return false;
    }
    memcpy(text, host, len);
    text[len] = '\0';
    return inet_pton(AF_INET, text, &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127;
}

const char *issuer_url_wrong(const char *url)
{
    bool is_tls = strncmp(url, "https://", 8) == 0;
    if (!is_tls && strncmp(url, "http://", 7) != 0) {
        return "it must begin with https:// (http:// to this machine only)";
    }
    if (strlen(url) > URL_MAX) {
        return "it is too long";
    }
    for (const char *c = url; *c; c++) {
        if (*c <= ' ' || *c > '~' || *c == '\\' || *c == '#') {
            return "it has a character that no such URL has";
        }
    }
    const char *host = url + (is_tls ? 8 : 7);
    size_t authority = strcspn(host, "/?");
    if (authority == 0 || memchr(host, '@', authority)) {
        return "it needs a host, and neither user nor password";
    }
    const char *end = host[0] == '[' ? memchr(host, ']', authority) : NULL;
    const char *colon = memchr(end ? end : host, ':', authority - (size_t)(end ? end - host : 0));
    size_t len = colon ? (size_t)(colon - host) : authority;
    return is_tls || host_is_loopback(host, len) ? NULL
                                                 : "http:// is for this machine only: use https://";
}

/* -- words ------------------------------------------------------------------------------------- */

struct reading {
    const struct issuer_options *options;
    char *text; /* what is wrong, TEXT_SIZE bytes */
};

__attribute__((format(printf, 2, 3)))
static int wrong(const struct reading *r, const char *format, ...)
{
    char why[TEXT_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    snprintf(r->text, TEXT_SIZE, "issuer %.32s: %.200s",
             r->options->name ? r->options->name : "", why);
    return ISSUER_E_OPTIONS;
}

static char *trimmed(char *word)
{
    word += strspn(word, " \t");
    size_t n = strlen(word);
    while (n > 0 && (word[n - 1] == ' ' || word[n - 1] == '\t')) {
        word[--n] = '\0';
    }
    return word;
}

/* One item of a list: a name, or "VALUE = MEANING" of a vocabulary. */
static int word_read(const struct reading *r, const char *key, char *item,
                     const struct issuer_word *vocabulary, struct issuer_word *ret_word)
{
    char *equals = vocabulary ? strrchr(item, '=') : NULL;
    uint32_t means = 0;
    if (vocabulary) {
        if (equals == NULL) {
            return wrong(r, "%s: write VALUE = MEANING, not '%.80s'", key, item);
        }
        *equals = '\0';
        const char *meaning = trimmed(equals + 1);
        const struct issuer_word *found = vocabulary_find(vocabulary, meaning);
        if (found == NULL) {
            return wrong(r, "%s: '%.40s' means nothing here (%s)", key, meaning,
                         vocabulary == role_words ? "operator" : "low, substantial, high");
        }
        means = found->means;
    }
    *ret_word = (struct issuer_word){.text = trimmed(item), .means = means};
    size_t n = strlen(ret_word->text);
    return n > 0 && n <= ISSUER_TEXT_MAX ? 0 : wrong(r, "%s: an item needs 1 to %d bytes", key,
                                                     ISSUER_TEXT_MAX);
}

/* "A, B" or "A = x, B = y" into words. */
static int words_read(const struct reading *r, const char *key, const char *option,
                      const struct issuer_word *vocabulary, struct issuer_words *words)
{
    words->text = strdup(option);
    if (words->text == NULL) {
        return err_origin(-ENOMEM);
    }
    for (char *at = words->text, *next; at; at = next) {
        next = strchr(at, ',');
        if (next) {
            *next++ = '\0';
        }
        if (words->count == ISSUER_WORDS_MAX) {
            return wrong(r, "%s: more than %d items", key, ISSUER_WORDS_MAX);
        }
        struct issuer_word word;
        int verdict = word_read(r, key, at, vocabulary, &word);
        if (verdict) {
            return verdict;
        }
        if (issuer_word_find(words, word.text)) {
            return wrong(r, "%s: '%.80s' stands there twice", key, word.text);
        }
        words->items[words->count++] = word;
    }
    return 0;
}

static int algorithms_read(const struct reading *r, struct issuer_rules *i)
{
    struct issuer_words words = {0};
    const char *option = r->options->algorithms ? r->options->algorithms : "ES256, RS256";
    int verdict = words_read(r, "algorithms", option, NULL, &words);
    for (size_t n = 0; n < words.count && verdict == 0; n++) {
        uint32_t bit = issuer_algorithm_of(words.items[n].text);
        i->algorithms |= bit;
        verdict = bit ? 0 : wrong(r, "algorithms: '%.40s' is none of ES256, ES384, RS256, PS256",
                                  words.items[n].text);
    }
    free(words.text);
    return verdict;
}

/* -- the whole --------------------------------------------------------------------------------- */

static int copy_read(const struct reading *r, const char *key, const char *option, char **ret_copy)
{
    if (option[0] == '\0' || strlen(option) > ISSUER_TEXT_MAX) {
        return wrong(r, "%s needs 1 to %d bytes", key, ISSUER_TEXT_MAX);
    }
    *ret_copy = strdup(option);
    return *ret_copy ? 0 : err_origin(-ENOMEM);
}

static int source_read(const struct reading *r, struct issuer_rules *i)
{
    static const char known[] = "/.well-known/openid-configuration";
    const struct issuer_options *o = r->options;
    if ((o->jwks_file != NULL) + (o->jwks_url != NULL) + o->discovery != 1) {
        return wrong(r, "one of jwks_file, jwks_url and discovery is needed");
    }
    i->source = o->jwks_file ? ISSUER_FILE : o->jwks_url ? ISSUER_URL : ISSUER_DISCOVERY;
    const char *from = o->jwks_file ? o->jwks_file : o->jwks_url ? o->jwks_url : i->iss;
    const char *why = o->jwks_file ? NULL : issuer_url_wrong(from);
    if (why) {
        return wrong(r, "%s: %s", o->jwks_url ? "jwks_url" : "url, for discovery", why);
    }
    size_t len = strlen(from);
    i->jwks = calloc(1, len + sizeof known);
    if (i->jwks == NULL) {
        return err_origin(-ENOMEM);
    }
    memcpy(i->jwks, from, len);
    if (o->discovery) { /* OpenID Connect Discovery 4: one '/' at the end goes first */
        len -= len > 0 && i->jwks[len - 1] == '/';
        memcpy(i->jwks + len, known, sizeof known);
    }
    return 0;
}

static int meaning_read(const struct reading *r, struct issuer_rules *i)
{
    const struct issuer_options *o = r->options;
    static const char words[] = "low = low, substantial = substantial, high = high";
    i->assurance_strict = o->assurance == NULL;
    int verdict = words_read(r, "assurance", o->assurance ? o->assurance : words, assurance_words,
                             &i->assurance);
    if (verdict == 0) {
        verdict = words_read(r, "roles", o->roles ? o->roles : "operator = operator", role_words,
                             &i->roles);
    }
    const struct issuer_word *typ = vocabulary_find(typ_words, o->typ ? o->typ : "any");
    if (verdict == 0 && typ == NULL) {
        verdict = wrong(r, "typ must be any, JWT or at+jwt");
    }
    i->typ = typ ? (enum issuer_typ)typ->means : ISSUER_TYP_ANY;
    return verdict;
}

static int names_read(const struct reading *r, struct issuer_rules *i)
{
    const struct issuer_options *o = r->options;
    const char *name = o->name ? o->name : "";
    size_t len = strlen(name);
    if (len == 0 || len > NAME_MAX_BYTES ||
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != len) {
        return wrong(r, "its name needs 1 to %d of a-z, 0-9 and -", NAME_MAX_BYTES);
    }
    const struct {
        const char *key;
        const char *option;
        char **copy;
    } texts[] = {
        {"name", name, &i->name},
        {"issuer", o->issuer ? o->issuer : "", &i->iss},
        {"subject_claim", o->subject_claim ? o->subject_claim : "sub", &i->subject_claim},
        {"assurance_claim", o->assurance_claim ? o->assurance_claim : "assurance",
         &i->assurance_claim},
        {"role_claim", o->role_claim ? o->role_claim : "roles", &i->role_claim},
    };
    int verdict = 0;
    for (size_t n = 0; n < ARRAY_COUNT(texts) && verdict == 0; n++) {
        verdict = copy_read(r, texts[n].key, texts[n].option, texts[n].copy);
    }
    if (verdict == 0 && o->ca_file) {
        verdict = copy_read(r, "ca_file", o->ca_file, &i->ca_file);
    }
    return verdict;
}

static int times_read(const struct reading *r, struct issuer_rules *i)
{
    const struct issuer_options *o = r->options;
    const struct {
        const char *key;
        int64_t ms, usual_ms, least_ms, most_ms;
        int64_t *us;
    } times[] = {
        {"leeway", o->leeway_ms, 60000, 1000, 300000, &i->leeway_us},
        {"refresh", o->refresh_ms, 300000, 5000, 86400000, &i->refresh_us},
        {"refetch", o->refetch_ms, 30000, 1000, 3600000, &i->refetch_us},
        {"stale", o->stale_ms, 86400000, 1000, 2592000000, &i->stale_us},
    };
    for (size_t n = 0; n < ARRAY_COUNT(times); n++) {
        int64_t ms = times[n].ms ? times[n].ms : times[n].usual_ms;
        if (ms < times[n].least_ms || ms > times[n].most_ms) {
            return wrong(r, "%s must be %lld to %lld seconds", times[n].key,
                         (long long)times[n].least_ms / 1000, (long long)times[n].most_ms / 1000);
        }
        *times[n].us = ms * 1000;
    }
    return 0;
}

int issuer_new(const struct issuer_options *options, struct issuer_rules **ret_rules,
               char *ret_text)
{
    const struct reading r = {options, ret_text};
    struct issuer_rules *i = calloc(1, sizeof *i);
    if (i == NULL) {
        return err_origin(-ENOMEM);
    }
    int verdict = names_read(&r, i);
    if (verdict == 0 && (options->audience == NULL || options->audience[0] == '\0')) {
        verdict = wrong(&r, "audience is needed: what must stand in aud");
    }
    if (verdict == 0) {
        verdict = words_read(&r, "audience", options->audience, NULL, &i->audiences);
    }
    if (verdict == 0 && options->authorized_party) {
        verdict = words_read(&r, "authorized_party", options->authorized_party, NULL, &i->parties);
    }
    verdict = verdict ? verdict : algorithms_read(&r, i);
    verdict = verdict ? verdict : meaning_read(&r, i);
    verdict = verdict ? verdict : source_read(&r, i);
    verdict = verdict ? verdict : times_read(&r, i);
    if (verdict) {
        issuer_free(i);
        return err_trace(verdict);
    }
    *ret_rules = i;
    return 0;
}

void issuer_free(struct issuer_rules *i)
{
    if (i == NULL) {
        return;
    }
    char *const copies[] = {i->name, i->iss, i->jwks, i->ca_file, i->subject_claim,
                            i->assurance_claim, i->role_claim, i->audiences.text, i->parties.text,
                            i->assurance.text, i->roles.text};
    for (size_t n = 0; n < ARRAY_COUNT(copies); n++) {
        free(copies[n]);
    }
    free(i);
}

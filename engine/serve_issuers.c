/* SPDX-License-Identifier: MIT */
/* [issuer NAME] sections into struct issuer_options.
 * Owns: the joined lists, measured first and written once.
 * What the words mean, and whether they fit together, is gateway/issuer.c's to say; here an empty
 * one becomes none. */
#include "serve_issuers.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"

#define LISTS 5 /* of an issuer */

static size_t list_bytes(const struct config_list *list)
{
    size_t n = 1;
    for (size_t i = 0; i < list->count; i++) {
        n += strlen(list->at[i]) + 2;
    }
    return n;
}

/* "A, B" at *at, which moves behind it; NULL when there is nothing in the list. */
static const char *list_join(const struct config_list *list, char **at)
{
    const char *start = *at;
    for (size_t i = 0; i < list->count; i++) {
        *at = stpcpy(stpcpy(*at, i ? ", " : ""), list->at[i]);
    }
    (*at)++; /* its end, or one byte that nobody reads */
    return list->count ? start : NULL;
}

static const char *text_or_none(const char *text)
{
    return text[0] ? text : NULL;
}

static struct issuer_options issuer_of(const struct config_issuer *c, char **at)
{
    return (struct issuer_options){
        .name = c->name,
        .issuer = c->url,
        .audience = list_join(&c->audience, at),
        .jwks_file = text_or_none(c->jwks_file),
        .jwks_url = text_or_none(c->jwks_url),
        .discovery = c->discovery,
        .ca_file = text_or_none(c->ca_file),
        .algorithms = list_join(&c->algorithms, at),
        .typ = c->typ,
        .authorized_party = list_join(&c->authorized_party, at),
        .subject_claim = c->subject_claim,
        .assurance_claim = c->assurance_claim,
        .assurance = list_join(&c->assurance, at),
        .role_claim = c->role_claim,
        .roles = list_join(&c->roles, at),
        .leeway_ms = c->leeway,
        .refresh_ms = c->refresh,
        .refetch_ms = c->refetch,
        .stale_ms = c->stale,
    };
}

int serve_issuers_init(struct serve_issuers *issuers, const struct config *config)
{
    *issuers = (struct serve_issuers){0};
    CHECK(config->issuers_count <= ISSUERS_MAX);
    size_t bytes = 1;
    for (size_t i = 0; i < config->issuers_count; i++) {
        const struct config_issuer *c = &config->issuers[i];
        const struct config_list *const lists[LISTS] = {
            &c->audience, &c->algorithms, &c->authorized_party, &c->assurance, &c->roles};
        for (size_t n = 0; n < LISTS; n++) {
            bytes += list_bytes(lists[n]);
        }
    }
    issuers->lists = calloc(1, bytes);
    if (issuers->lists == NULL) {
        return err_origin(-ENOMEM);
    }
    char *at = issuers->lists;
    for (size_t i = 0; i < config->issuers_count; i++) {
        issuers->at[issuers->count++] = issuer_of(&config->issuers[i], &at);
    }
    CHECK((size_t)(at - issuers->lists) <= bytes);
    return 0;
}

void serve_issuers_again(struct serve_issuers *issuers, const struct serve_config *sc,
                         struct gateway_options *options)
{
    struct serve_issuers fresh;
    if (issuers->count == 0 || serve_issuers_init(&fresh, sc->now) < 0) {
        return;
    }
    serve_issuers_fini(issuers);
    *issuers = fresh;
    options->issuers = issuers->at;
    options->issuers_count = issuers->count;
    options->issuers_edition += sc->has_other_issuers;
}

void serve_issuers_fini(struct serve_issuers *issuers)
{
    free(issuers->lists);
    issuers->lists = NULL;
}

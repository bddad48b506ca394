/* SPDX-License-Identifier: MIT */
/* One issuer of identities, as its operator describes it: who may sign, for whom, and what its
 * claims mean here.  Immutable after issuer_new(), so any thread may read it. */
#ifndef FAIRSLOT_GATEWAY_ISSUER_H
#define FAIRSLOT_GATEWAY_ISSUER_H

#include "base/limits.h"
#include "base/types.h"

#define ISSUER_TEXT_MAX 255 /* bytes of an issuer, audience, claim name or claim value, each */

/* As written in the configuration; borrowed during issuer_new() only.  NULL or 0: the default. */
struct issuer_options {
    const char *name;             /* of the section: for logs and metrics; [a-z0-9-]{1,32} */
    const char *issuer;           /* exact `iss` */
    const char *audience;         /* "A, B": one of them must be in `aud` */
    const char *jwks_file;        /* one of these three: a file, */
    const char *jwks_url;         /* https://... or http:// to this machine, */
    bool discovery;               /* or what the issuer itself says (OpenID Connect Discovery) */
    const char *ca_file;          /* PEM: who may certify the issuer's server; NULL: the system's */
    const char *algorithms;       /* of ES256, ES384, RS256, PS256; "ES256, RS256" */
    const char *typ;              /* "any", "JWT" or "at+jwt" */
    const char *authorized_party; /* "A, B": one of them must be `azp` or `client_id`; NULL: any */
    const char *subject_claim;    /* "sub" */
    const char *assurance_claim;  /* "assurance" */
    const char *assurance;        /* "VALUE = low|substantial|high, ..."; values not named are low.
                                     NULL: the three words themselves, others are refused */
    const char *role_claim;       /* "roles" */
    const char *roles;            /* "VALUE = operator, ..."; "operator = operator" */
    int64_t leeway_ms;            /* how far its clock may be ahead (nbf, iat); 60 s */
    int64_t refresh_ms;           /* longest time between two looks at its keys; 300 s */
    int64_t refetch_ms;           /* shortest time between two looks for an unknown kid; 30 s */
    int64_t stale_ms;             /* how long keys are used that cannot be read again; 24 h */
};

/* Algorithms, as bits. */
enum issuer_algorithm {
    ISSUER_ES256 = 1 << 0,
    ISSUER_RS256 = 1 << 1,
    ISSUER_PS256 = 1 << 2,
    ISSUER_ES384 = 1 << 3,
};

enum issuer_typ {
    ISSUER_TYP_ANY,    /* none, JWT or at+jwt; never one of another purpose */
    ISSUER_TYP_JWT,    /* JWT */
    ISSUER_TYP_ACCESS, /* at+jwt (RFC 9068) */
};

enum issuer_source { ISSUER_FILE, ISSUER_URL, ISSUER_DISCOVERY };

/* A claim's value and what it means here. */
struct issuer_word {
    const char *text;
    uint32_t means; /* enum assurance, or enum role; 0 in lists of names */
};

struct issuer_words {
    char *text; /* owned: the option, cut into words */
    struct issuer_word items[ISSUER_WORDS_MAX];
    size_t count;
};

struct issuer_rules {
    char *name;
    char *iss;
    char *jwks; /* path or URL */
    char *ca_file;
    char *subject_claim;
    char *assurance_claim;
    char *role_claim;
    struct issuer_words audiences;
    struct issuer_words parties; /* none: not looked at */
    struct issuer_words assurance;
    struct issuer_words roles;
    bool assurance_strict; /* a value not named is refused instead of low */
    enum issuer_source source;
    enum issuer_typ typ;
    uint32_t algorithms;
    int64_t leeway_us;
    int64_t refresh_us;
    int64_t refetch_us;
    int64_t stale_us;
};

enum { ISSUER_E_OPTIONS = 1 };

/* 0, ISSUER_E_OPTIONS with what is wrong in `ret_text` (256 bytes), or < 0. */
int issuer_new(const struct issuer_options *options, struct issuer_rules **ret_rules,
               char *ret_text);
void issuer_free(struct issuer_rules *i);
/* The bit of an algorithm's name; 0: none of ours. */
uint32_t issuer_algorithm_of(const char *name);
/* Is the text one of the words?  NULL: no. */
const struct issuer_word *issuer_word_find(const struct issuer_words *words, const char *text);
/* NULL, or why nothing may be fetched from there: https, or http to this machine only; no user, no
 * fragment, printable. */
const char *issuer_url_wrong(const char *url);

#endif

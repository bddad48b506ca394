/* SPDX-License-Identifier: MIT */
/* The authorization header -> who calls.  A verified token is remembered by its SHA-256, so that a
 * signature is checked once in five minutes and not once a call.
 *
 *   r = auth_lookup(a, header, now, &verified);        a loop's thread, about 1 us
 *   if (r == AUTH_E_UNKNOWN) {
 *       auth_bearer(header, &token);  copy the token; on a worker: auth_verify(a, token, now, ...);
 *       back on the loop: wipe the copy after auth_remember(a, token, &verified, now);
 *   }
 *
 * Threads: auth_verify() on any; auth_lookup() and auth_remember() on the loop's thread, and on
 * several loops' with auth_options.is_shared.  Nothing calls back.
 * Time: the wall clock, because `exp` is; the caller brings it. */
#ifndef FAIRSLOT_GATEWAY_AUTH_H
#define FAIRSLOT_GATEWAY_AUTH_H

#include "gateway/verify.h"

struct auth;

/* Borrowed during auth_new() only. */
struct auth_options {
    const char *jwks_path;       /* file with the issuer's public keys */
    const char *issuer;          /* exact `iss` */
    const char *audience;        /* must be in `aud` */
    uint8_t tenant_key[VERIFY_TENANT_KEY];
    const char *assurance_claim; /* NULL: "assurance" */
    const char *role_claim;      /* NULL: "role" */
    bool is_shared;              /* several threads look up and remember: a lock around each */
};

enum {
    AUTH_E_KEYS = 1,       /* of auth_new() */
    AUTH_E_OPTIONS = 2,    /* of auth_new() */
    AUTH_E_UNKNOWN = 1000, /* of auth_lookup(); above every enum reason */
};

/* Reads the key set.  Returns 0, AUTH_E_KEYS or AUTH_E_OPTIONS with `ret_text` (256 bytes) saying
 * what is wrong, or < 0.  On success `ret_text` is "", or warns of a key that is not used. */
int auth_new(const struct auth_options *options, struct auth **ret_auth, char *ret_text);
void auth_free(struct auth *a);

/* The token in an authorization header (ptr NULL: there is none), borrowed from it.  0,
 * REASON_TOKEN_MISSING (also for other schemes than Bearer) or REASON_TOKEN_INVALID (too long). */
int auth_bearer(struct span header, struct span *ret_token);
/* 0 and *ret_verified when the token is remembered; AUTH_E_UNKNOWN: verify it; else a refusal, as
 * enum reason: TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED; or < 0.  Refusals are not kept. */
int auth_lookup(struct auth *a, struct span header, int64_t now_wall_us,
                struct verified *ret_verified);
/* verify_token(): 0, a refusal as enum reason, or < 0.  Any thread; 20 to 70 us. */
int auth_verify(const struct auth *a, struct span token, int64_t now_wall_us,
                struct verified *ret_verified);
/* Remembers a token that auth_verify() accepted, until its exp or for TOKEN_CACHE_S.  The oldest of
 * TOKEN_CACHE_MAX makes room.  0 or < 0. */
int auth_remember(struct auth *a, struct span token, const struct verified *verified,
                  int64_t now_wall_us);

#endif

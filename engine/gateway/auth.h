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

#include "gateway/refresh.h"
#include "gateway/verify.h"

struct auth;

/* Borrowed during auth_new() only. */
struct auth_options {
    const struct issuer_options *issuers;
    size_t issuers_count; /* 1 to ISSUERS_MAX */
    uint8_t tenant_key[KEYRING_TENANT_KEY];
    bool is_shared;       /* several threads look up and remember: a lock around each */
};

enum {
    AUTH_E_KEYS = 1,       /* of auth_new() */
    AUTH_E_OPTIONS = 2,    /* of auth_new() */
    AUTH_E_UNKNOWN = 1000, /* of auth_lookup(); above every enum reason */
    AUTH_E_BUSY = 1100,    /* of auth_verify(); the same */
};

/* Why a token could not be judged, and when that may be different. */
struct auth_trouble {
    size_t issuer;     /* of AUTH_E_BUSY */
    uint32_t retry_ms; /* of a refusal; 0: waiting does not help */
};

/* Reads the issuers' keys and starts to keep them fresh.  Returns 0, AUTH_E_KEYS or AUTH_E_OPTIONS
 * with `ret_text` (256 bytes) saying what is wrong, or < 0.  On success `ret_text` is "", or warns
 * of a key that is not used. */
int auth_new(const struct auth_options *options, struct auth **ret_auth, char *ret_text);
/* One more holder, who drops it when done; the last one frees it.  Any thread.  Drop takes NULL. */
struct auth *auth_hold(struct auth *a);
void auth_drop(struct auth *a);
/* Its issuers' names are those that metrics show from now on. */
void auth_show(const struct auth *a);
/* Reads every issuer's keys again, now.  Any thread. */
void auth_refresh(struct auth *a);
/* Are the issuer's keys being read at this moment?  Any thread. */
bool auth_is_busy(struct auth *a, size_t issuer);
size_t auth_issuers_count(const struct auth *a);
/* For metrics.  Any thread. */
void auth_issuer_state(struct auth *a, size_t issuer, struct refresh_state *ret_state);

/* The token in an authorization header (ptr NULL: there is none), borrowed from it.  0,
 * REASON_TOKEN_MISSING (also for other schemes than Bearer) or REASON_TOKEN_INVALID (too long). */
int auth_bearer(struct span header, struct span *ret_token);
/* 0 and *ret_verified when the token is remembered and its key still counts; AUTH_E_UNKNOWN:
 * verify it; else a refusal, as enum reason: TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED; or < 0.
 * Refusals are not kept. */
int auth_lookup(struct auth *a, struct span header, int64_t now_wall_us,
                struct verified *ret_verified);
/* 0, a refusal as enum reason with *ret_trouble, AUTH_E_BUSY (its issuer's keys are being read: try
 * again when auth_is_busy() ends), or < 0.  Any thread; 20 to 70 us. */
int auth_verify(struct auth *a, struct span token, int64_t now_wall_us,
                struct verified *ret_verified, struct auth_trouble *ret_trouble);
/* Remembers a token that auth_verify() accepted, until its exp or for TOKEN_CACHE_S.  The oldest of
 * TOKEN_CACHE_MAX makes room.  0 or < 0. */
int auth_remember(struct auth *a, struct span token, const struct verified *verified,
                  int64_t now_wall_us);

#endif

/* SPDX-License-Identifier: MIT */
/* What TLS needs and every loop shares: certificate, key, who may show one, ticket keys.  One
 * object a listener's face and process.  Any thread: a loop takes what stands at that moment. */
#ifndef FAIRSLOT_GATEWAY_TLS_H
#define FAIRSLOT_GATEWAY_TLS_H

#include "base/types.h"

#define TLS_TEXT 512 /* bytes of an error's text */

struct tls;
typedef struct ssl_st SSL;

/* Borrowed during tls_new() only.  "" is as good as NULL. */
struct tls_options {
    const char *certificate; /* PEM: the server's, then its chain */
    const char *key;         /* PEM, without a passphrase */
    const char *client_ca;   /* PEM: every client must show a certificate of it; NULL: none need */
    const char *ticket_keys; /* file, see ticket.h; NULL: made here */
    uint32_t ticket_period_s; /* of keys made here; 0: TICKET_PERIOD_S */
    bool allows_tls12;       /* else TLS 1.3 alone */
    bool has_tickets;        /* clients may resume */
};

enum { TLS_E_FILES = 1 };

/* 0; TLS_E_FILES with what is wrong and what to do in `ret_text` (TLS_TEXT bytes); or < 0.
 * Warnings (an expired certificate, a key that others can read) are logged. */
int tls_new(const struct tls_options *options, struct tls **ret_tls, char *ret_text);
/* No connection of it is left. */
void tls_free(struct tls *t);
/* Reads every file again.  As tls_new(); on failure what stood stays. */
int tls_reload(struct tls *t, char *ret_text);
/* A new server connection with the certificate that stands now; NULL: out of memory. */
SSL *tls_connection(struct tls *t);
/* When the certificate in use ends, in seconds since the epoch. */
int64_t tls_expires_s(struct tls *t);

#endif

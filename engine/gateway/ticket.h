/* SPDX-License-Identifier: MIT */
/* Keys of TLS session tickets: the server keeps nothing for a client that may come back, the client
 * keeps it, sealed with one of these.  One object a process, used by every loop; any thread. */
#ifndef FAIRSLOT_GATEWAY_TICKET_H
#define FAIRSLOT_GATEWAY_TICKET_H

#include "base/types.h"

#define TICKET_KEYS_MAX  3    /* the one that seals, and those that still open */
#define TICKET_KEY_BYTES 80   /* in a file: name 16, HMAC key 32, AES key 32 */
#define TICKET_PERIOD_S  3600 /* a key made here seals for so long, and opens twice as long more */

struct ticket_keys;
typedef struct ssl_ctx_st SSL_CTX;

enum { TICKET_E_FILE = 1 };

/* path: a file of one to TICKET_KEYS_MAX keys, shared by gateways of one name, the first seals;
 * NULL or "": keys are made here and change every `period_s` seconds.
 * 0; TICKET_E_FILE with `ret_text` (256 bytes); or < 0. */
int ticket_keys_new(const char *path, uint32_t period_s, struct ticket_keys **ret_keys,
                    char *ret_text);
void ticket_keys_free(struct ticket_keys *keys);
/* Reads the file again, if there is one.  As ticket_keys_new(); on failure the keys stay. */
int ticket_keys_reload(struct ticket_keys *keys, char *ret_text);
/* Tickets of this context are sealed and opened with these keys, which outlive it. */
int ticket_keys_use(struct ticket_keys *keys, SSL_CTX *context);

#endif

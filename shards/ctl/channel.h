/* SPDX-License-Identifier: MIT */
/* Bytes to a server and back: TCP, or TLS over it.  Blocking with a time limit.  One thread. */
#ifndef FAIRSLOT_CTL_CHANNEL_H
#define FAIRSLOT_CTL_CHANNEL_H

#include <sys/types.h>

#include "base/types.h"

#define CHANNEL_TEXT 256 /* bytes of a text that says why there is no connection */

struct channel;
struct channel_keys; /* what TLS needs, read once */

/* Borrowed during channel_keys_new() only. */
struct channel_files {
    const char *ca;          /* PEM: whom to trust; NULL: whom the system trusts */
    const char *certificate; /* PEM: who we are; NULL: nobody in particular */
    const char *key;         /* PEM: of the certificate */
};

/* Borrowed during channel_open_from() only. */
struct channel_ends {
    const char *host;
    int port;
    uint32_t source; /* IPv4 address of this machine (host order); 0: the system chooses */
};

enum { CHANNEL_E_FILES = 1, CHANNEL_E_REFUSED = 2 };

/* 0; CHANNEL_E_FILES with `ret_text` (CHANNEL_TEXT bytes); or < 0. */
int channel_keys_new(const struct channel_files *files, struct channel_keys **ret_keys,
                     char *ret_text);
/* Takes NULL. */
void channel_keys_free(struct channel_keys *keys);

/* keys NULL: plain TCP.  0; CHANNEL_E_REFUSED with `ret_text`; or < 0. */
int channel_open(const char *host, int port, struct channel_keys *keys,
                 struct channel **ret_channel, char *ret_text);
/* The same, to a server and from an address. */
int channel_open_from(const struct channel_ends *ends, struct channel_keys *keys,
                      struct channel **ret_channel, char *ret_text);
/* A socket's own address, as above, before it connects.  0 or -errno. */
int channel_bind(int fd, uint32_t source);
/* Says good-bye.  Takes NULL. */
void channel_close(struct channel *c);
/* All of it; false: the connection is lost, or the time is over. */
bool channel_send(struct channel *c, const void *bytes, size_t n, int64_t until_us);
/* What has come, at least one byte; 0: the connection ended; -ETIMEDOUT. */
ssize_t channel_receive(struct channel *c, void *buf, size_t cap, int64_t until_us);
/* For a loop of its own: the socket, and what can be done at once.  Sent or received; 0: not now;
 * < 0: the connection is over. */
int channel_socket(const struct channel *c);
ssize_t channel_send_some(struct channel *c, const void *bytes, size_t n);
ssize_t channel_receive_some(struct channel *c, void *buf, size_t cap);
/* Why the connection ended, where the server said so (a certificate it does not like); else "". */
const char *channel_trouble(const struct channel *c);

#endif

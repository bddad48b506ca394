/* SPDX-License-Identifier: MIT */
/* A small HTTP/1.1 server for pages without parameters: GET and HEAD, no bodies, one request at a
 * time.  For operations (metrics, probes), not for clients.  One connection is one object, used by
 * one thread; no sockets. */
#ifndef FAIRSLOT_WIRE_PAGE_H
#define FAIRSLOT_WIRE_PAGE_H

#include "base/types.h"

struct wire_page;

struct wire_page_ops {
    /* A request for `path` (without its query): answer it now, with wire_page_answer(). */
    void (*get)(void *user, struct wire_page *page, const char *path);
};

/* `ops` and `user` are borrowed for the connection's life.  NULL: out of memory. */
struct wire_page *wire_page_new(const struct wire_page_ops *ops, void *user);
/* Takes NULL. */
void wire_page_free(struct wire_page *page);
/* Feeds bytes.  What is no request, too long or has a body is answered with 4xx, and then
 * wire_page_done(). */
void wire_page_receive(struct wire_page *page, const uint8_t *bytes, size_t n);
/* Copies.  Called once for each get(). */
void wire_page_answer(struct wire_page *page, int status, const char *type, struct span body);
/* What waits to be sent; wire_page_sent() takes `n` of it off. */
struct span wire_page_output(const struct wire_page *page);
void wire_page_sent(struct wire_page *page, size_t n);
/* Close the socket once the output has left. */
bool wire_page_done(const struct wire_page *page);
/* ... because a request was too long. */
bool wire_page_is_long(const struct wire_page *page);

#endif

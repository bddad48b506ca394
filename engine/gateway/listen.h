/* SPDX-License-Identifier: MIT */
/* The door: one listening socket for each loop, all on one port.  Opened before the threads start;
 * from then on loop thread. */
#ifndef FAIRSLOT_GATEWAY_LISTEN_H
#define FAIRSLOT_GATEWAY_LISTEN_H

struct gateway;

/* 0, LISTEN_E_ADDRESS with `ret_text` (256 bytes), or < 0.  *port: the one to listen on (0: any),
 * then the one it got.  The first loop comes first. */
enum { LISTEN_E_ADDRESS = 1 };
int listen_open(struct gateway *g, char *ret_text, int *port);
/* The operators' listener, of the first loop.  As listen_open(). */
int listen_open_admin(struct gateway *g, char *ret_text, int *port);
/* No further connection.  Not open: nothing happens. */
void listen_close(struct gateway *g);

#endif

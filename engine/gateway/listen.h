/* SPDX-License-Identifier: MIT */
/* The door: one listening socket.  Loop thread. */
#ifndef FAIRSLOT_GATEWAY_LISTEN_H
#define FAIRSLOT_GATEWAY_LISTEN_H

struct gateway;

/* 0, LISTEN_E_ADDRESS with `ret_text` (256 bytes), or < 0.  *ret_port: the one it got. */
enum { LISTEN_E_ADDRESS = 1 };
int listen_open(struct gateway *g, char *ret_text, int *ret_port);
/* No further connection.  Not open: nothing happens. */
void listen_close(struct gateway *g);

#endif

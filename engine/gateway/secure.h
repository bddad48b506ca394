/* SPDX-License-Identifier: MIT */
/* TLS of one connection: between conn.c's bytes and cipher.c's.  Loop thread. */
#ifndef FAIRSLOT_GATEWAY_SECURE_H
#define FAIRSLOT_GATEWAY_SECURE_H

#include "base/types.h"

struct conn;
struct gateway;

/* Gives the connection what its listener demands: TLS, or nothing.  It is in g->handshakes until
 * its handshake is over.  0 or < 0. */
int secure_begin(struct conn *conn);
/* It ends.  A handshake that did not end is counted.  Without TLS: nothing happens. */
void secure_end(struct conn *conn);
/* Bytes of the socket, through to wire.  As wire_server_receive(). */
int secure_receive(struct conn *conn, struct span bytes);
/* Writes what secure_receive() left to say.  0 or < 0. */
int secure_flush(struct conn *conn);
/* Bytes of wire, sealed, behind what the handshake had to say: *ret_bytes is the loop's, until its
 * next use.  0 or < 0. */
int secure_seal(struct conn *conn, struct span bytes, struct span *ret_bytes);
/* Says good-bye in TLS, as far as the socket takes it at once. */
void secure_good_bye(struct conn *conn);
/* Operators who are connected have the roles of now, for their next call. */
void secure_judge_again(struct gateway *g);
/* Nothing of wire may leave yet. */
bool secure_is_shaking(const struct conn *conn);
/* It owes the rest of a handshake or of a record. */
bool secure_owes(const struct conn *conn);
/* Its first flight waits for the next turn of the loop: this one made as many keys as it may. */
bool secure_must_wait(const struct conn *conn);
/* More handshakes are under way than may: closes the oldest. */
void secure_make_room(struct gateway *g);

#endif

/* SPDX-License-Identifier: MIT */
/* How long a connection lives: pings into silence, and its age.  One deadline a connection, for
 * whichever comes first.  Loop thread. */
#ifndef FAIRSLOT_GATEWAY_KEEP_H
#define FAIRSLOT_GATEWAY_KEEP_H

struct conn;

enum keep_step {
    KEEP_YOUNG, /* serving */
    KEEP_TOLD,  /* GOAWAY notice is out: the client may connect anew for its next calls */
    KEEP_LAST,  /* final GOAWAY is out: what is under way has age_grace_ms */
    KEEP_ENDED, /* what still was under way is refused; the refusals leave */
};

/* It was accepted. */
void keep_begin(struct conn *conn);
/* Bytes of it came. */
void keep_heard(struct conn *conn);
/* Its deadline passed. */
void keep_due(struct conn *conn);

#endif

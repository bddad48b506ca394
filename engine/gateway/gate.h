/* SPDX-License-Identifier: MIT */
/* The gate: who may begin a connection, before a byte of it is read and before any key is used.
 * One object a process; any thread. */
#ifndef FAIRSLOT_GATEWAY_GATE_H
#define FAIRSLOT_GATEWAY_GATE_H

#include "gateway/toll.h"

struct gate;
struct gateway_options;
struct sockaddr;

enum { GATE_E_EXEMPT = 1 };

/* 0; GATE_E_EXEMPT: the list of exempt networks cannot be read, `ret_text` (256 bytes) says what of
 * it; or < 0. */
int gate_new(const struct gateway_options *options, struct gate **ret_gate, char *ret_text);
/* The options' numbers and exempt networks hold from now on; what was counted stays, and a list
 * that cannot be read changes nothing. */
void gate_set(struct gate *gate, const struct gateway_options *options);
/* Takes NULL. */
void gate_free(struct gate *gate);
/* 0, TOLL_E_RATE or TOLL_E_OPEN.  *ret_group: for gate_leave(), once; of an exempt peer it is
 * empty. */
int gate_enter(struct gate *gate, const struct sockaddr *peer, struct toll_group *ret_group);
void gate_leave(struct gate *gate, struct toll_group group);

#endif

/* SPDX-License-Identifier: MIT */
/* Who shows a client certificate: an identity and roles.  Pure but for OpenSSL. */
#ifndef FAIRSLOT_GATEWAY_PEER_H
#define FAIRSLOT_GATEWAY_PEER_H

#include "base/types.h"

struct gateway_options;
struct verified;
struct x509_st;

/* The certificate was verified by the handshake.  Its subject, keyed as a token's subject is, is
 * the identity (so a renewed certificate of one subject keeps its request ids); roles are those of
 * every name of it that the options list: "URI:...", "DNS:...", "email:...", "CN:...", or a bare
 * name, which may stand in any of the four.  0, or < 0. */
int peer_judge(struct x509_st *certificate, const struct gateway_options *options,
               struct verified *ret_verified);

#endif

/* SPDX-License-Identifier: MIT */
/* grpc.reflection v1 and v1alpha (the same messages): what can be called here.  A bidirectional
 * stream; each request is answered as it comes. */
#ifndef FAIRSLOT_GATEWAY_REFLECT_H
#define FAIRSLOT_GATEWAY_REFLECT_H

#include "base/arena.h"
#include "base/types.h"

struct call;
struct symbols;

/* Packed ServerReflectionResponse to a packed ServerReflectionRequest.  Pure.  0,
 * REFLECT_E_MALFORMED, or -ENOMEM. */
enum { REFLECT_E_MALFORMED = 1 };
int reflect_ask(const struct symbols *symbols, struct span request, struct arena *arena,
                struct span *ret_response);

/* Of the routes. */
void reflect_open(struct call *call);
void reflect_message(struct call *call, struct span message);
void reflect_half_closed(struct call *call);

#endif

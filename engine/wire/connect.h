/* SPDX-License-Identifier: MIT */
/* What the Connect protocol adds to HTTP (connectrpc.com/docs/protocol): names of codes, their HTTP
 * statuses, errors as JSON, calls by GET, timeouts.  Pure functions over borrowed bytes; hostile
 * input gets false. */
#ifndef FAIRSLOT_WIRE_CONNECT_H
#define FAIRSLOT_WIRE_CONNECT_H

#include "base/limits.h"
#include "base/types.h"

/* "not_found"; of 0, which is no error, "unknown". */
const char *wire_connect_code(int grpc_status);
/* 200 to 599. */
uint16_t wire_connect_http(int grpc_status);

/* Letters of a text become six at most; the details in base64, with their types and quotes. */
#define WIRE_CONNECT_ERROR_MAX (6 * WIRE_TEXT_MAX + 2 * WIRE_DETAILS_MAX + 128)

/* {"code":...,"message":...,"details":[...]} of a status that is not 0; `details` is a packed
 * google.rpc.Status or empty, and left out when it cannot be read.  Bytes that are no UTF-8 become
 * '?'.  `out` takes WIRE_CONNECT_ERROR_MAX bytes.  Returns the length. */
size_t wire_connect_error(int grpc_status, struct span text, struct span details, uint8_t *out);

/* 1 to 10 digits. */
bool wire_connect_timeout(struct span value, int64_t *ret_us);

/* The parameters of a call by GET, as they stand (borrowed, still percent-encoded). */
struct wire_query {
    struct span encoding;    /* json or proto */
    struct span message;
    struct span compression; /* empty: none */
    struct span connect;     /* empty or v1 */
    bool is_base64;
    bool has_message;
};

/* What follows the '?'.  Unknown parameters are passed over; of one that stands twice, the last
 * counts. */
void wire_connect_query(struct span query, struct wire_query *ret_query);
/* The message itself into `out`, which takes query->message.len bytes.  False: it is no base64. */
bool wire_connect_message(const struct wire_query *query, uint8_t *out, size_t *ret_len);

#endif

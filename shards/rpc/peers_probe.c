/* SPDX-License-Identifier: MIT */
/* Does a node's door stand at an address already?
 * Owns nothing: one connection, which ends when its greeting was read.
 * happy path: connect, TLS where the house has it, read the eight bytes that nng's PULL socket says
 * first.  A port forwarder without a node behind it connects, too, but says nothing.
 * Fails: whatever goes wrong, or takes longer than the wait, is a no: nobody is kept from starting
 * by a network that swallows packets. */
#include <nng/nng.h>
#include <string.h>

#include "rpc/inside.h"
#include "rpc/peers.h"

static const uint8_t greeting[8] = {0, 'S', 'P', 0, 0, 81, 0, 0}; /* PULL, version 0 */

static bool probe_ends_well(nng_aio *aio)
{
    nng_aio_wait(aio);
    return nng_aio_result(aio) == 0;
}

static bool probe_greets(nng_stream *stream, nng_aio *aio)
{
    uint8_t said[sizeof greeting];
    size_t len = 0;
    while (len < sizeof said) {
        nng_iov iov = {said + len, sizeof said - len};
        if (nng_aio_set_iov(aio, 1, &iov) != 0) {
            return false;
        }
        nng_stream_recv(stream, aio);
        if (!probe_ends_well(aio) || nng_aio_count(aio) == 0) {
            return false;
        }
        len += nng_aio_count(aio);
    }
    return memcmp(said, greeting, sizeof greeting) == 0;
}

bool peers_probe(const char *url, int wait_ms)
{
    nng_stream_dialer *dialer = NULL;
    nng_aio *aio = NULL;
    bool answers = false;
    if (rpc_transport_of(url) != RPC_TRANSPORT_TCP || rpc_stream_dialer_make(url, &dialer) != 0 ||
        nng_aio_alloc(&aio, NULL, NULL) != 0) {
        goto free_dialer;
    }
    nng_aio_set_timeout(aio, wait_ms);
    nng_stream_dialer_dial(dialer, aio);
    if (probe_ends_well(aio)) {
        nng_stream *stream = nng_aio_get_output(aio, 0);
        answers = probe_greets(stream, aio);
        nng_stream_close(stream);
        nng_stream_free(stream);
    }
    nng_aio_free(aio);
free_dialer:
    rpc_stream_dialer_free(dialer);
    return answers;
}

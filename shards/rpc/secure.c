/* SPDX-License-Identifier: MIT */
/* TLS inside the house, with certificates on both sides.
 * Owns: the two configurations of the process (one to dial, one to listen), until it ends.
 * happy path: read once at the start, before the first socket; from then on every tcp:// end of
 * this process is tls+tcp://.  Addresses stay as they are written: members' stand in the log.
 * Names: a certificate is for a name, and nodes are dialled by address.  So all of them carry one
 * name of the house (inside.name): who has a certificate of this authority with it belongs here.
 * Fails: files that cannot be read or used are a verdict with the file's name.
 * Before rpc_secure() nothing of this is in the way. */
#include <errno.h>
#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/err.h"
#include "rpc/inside.h"

#define PEM_MAX (256 * 1024)

static nng_tls_config *dials, *listens; /* NULL: plain */

/* Whole, with a closing 0; NULL: errno says why. */
static char *read_pem(const char *path)
{
    FILE *file = fopen(path, "re");
    char *text = file ? calloc(1, PEM_MAX + 1) : NULL;
    size_t len = text ? fread(text, 1, PEM_MAX, file) : 0;
    if (text && (ferror(file) || len == 0)) {
        free(text);
        text = NULL;
        errno = errno ? errno : EINVAL;
    }
    if (file) {
        fclose(file);
    }
    return text;
}

static void forget(char *text)
{
    if (text) {
        explicit_bzero(text, strlen(text));
        free(text);
    }
}

static int fill(nng_tls_config *c, const struct rpc_secure_files *files, char *const pem[3],
                char *ret_text)
{
    if (nng_tls_config_ca_chain(c, pem[0], NULL) != 0) {
        snprintf(ret_text, 256, "%s holds no certificate of an authority", files->authority);
        return RPC_E_CERTIFICATE;
    }
    if (nng_tls_config_own_cert(c, pem[1], pem[2], NULL) != 0) {
        snprintf(ret_text, 256, "%s and %s are no certificate with its private key",
                 files->certificate, files->key);
        return RPC_E_CERTIFICATE;
    }
    int r = rpc_error(nng_tls_config_auth_mode(c, NNG_TLS_AUTH_MODE_REQUIRED));
    return err_fold(r);
}

static int make(const struct rpc_secure_files *files, char *const pem[3], char *ret_text)
{
    int r = rpc_error(nng_tls_config_alloc(&dials, NNG_TLS_MODE_CLIENT));
    r = r ? err_fold(r) : fill(dials, files, pem, ret_text);
    r = r ? r : err_fold(rpc_error(nng_tls_config_server_name(dials, files->name)));
    r = r ? r : err_fold(rpc_error(nng_tls_config_alloc(&listens, NNG_TLS_MODE_SERVER)));
    return r ? r : fill(listens, files, pem, ret_text);
}

int rpc_secure(const struct rpc_secure_files *files, char *ret_text)
{
    CHECK(dials == NULL && listens == NULL);
    const char *const paths[3] = {files->authority, files->certificate, files->key};
    char *pem[3] = {0};
    int r = 0;
    for (size_t i = 0; i < 3 && r == 0; i++) {
        errno = 0;
        pem[i] = read_pem(paths[i]);
        if (pem[i] == NULL) {
            snprintf(ret_text, 256, "%s: %s", paths[i], strerror(errno));
            r = RPC_E_CERTIFICATE;
        }
    }
    r = r ? r : make(files, pem, ret_text);
    for (size_t i = 0; i < 3; i++) {
        forget(pem[i]);
    }
    return r;
}

/* The URL as nng is to have it. */
static const char *secured(const char *url, char out[RPC_URL_MAX])
{
    if (dials == NULL || rpc_transport_of(url) != RPC_TRANSPORT_TCP) {
        return url;
    }
    int n = snprintf(out, RPC_URL_MAX, "tls+%s", url);
    return n < RPC_URL_MAX ? out : url;
}

int rpc_dialer_make(nng_socket socket, const char *url, nng_dialer *ret_dialer)
{
    char text[RPC_URL_MAX];
    bool is_tcp = rpc_transport_of(url) == RPC_TRANSPORT_TCP;
    int r = rpc_error(nng_dialer_create(ret_dialer, socket, secured(url, text)));
    if (r || !is_tcp) {
        return err_trace(r);
    }
    if (dials) {
        return err_trace(rpc_error(nng_dialer_set_ptr(*ret_dialer, NNG_OPT_TLS_CONFIG, dials)));
    }
    r = rpc_error(nng_dialer_set_bool(*ret_dialer, NNG_OPT_TCP_NODELAY, true));
    r = r ? r : rpc_error(nng_dialer_set_bool(*ret_dialer, NNG_OPT_TCP_KEEPALIVE, true));
    return err_trace(r);
}

int rpc_stream_dialer_make(const char *url, nng_stream_dialer **ret_dialer)
{
    char text[RPC_URL_MAX];
    nng_stream_dialer *dialer;
    int r = rpc_error(nng_stream_dialer_alloc(&dialer, secured(url, text)));
    if (r == 0 && dials) {
        r = rpc_error(nng_stream_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, dials));
    }
    if (r == 0) {
        *ret_dialer = dialer;
    }
    return err_trace(r);
}

void rpc_stream_dialer_free(nng_stream_dialer *dialer)
{
    if (dialer) {
        nng_stream_dialer_close(dialer);
        nng_stream_dialer_free(dialer);
    }
}

int rpc_listener_start(nng_socket socket, const char *url, int *ret_port)
{
    char text[RPC_URL_MAX];
    nng_listener listener;
    bool is_tcp = rpc_transport_of(url) == RPC_TRANSPORT_TCP;
    int r = rpc_error(nng_listener_create(&listener, socket, secured(url, text)));
    if (r == 0 && is_tcp && listens) {
        r = rpc_error(nng_listener_set_ptr(listener, NNG_OPT_TLS_CONFIG, listens));
    } else if (r == 0 && is_tcp) {
        r = rpc_error(nng_listener_set_bool(listener, NNG_OPT_TCP_NODELAY, true));
        r = r ? r : rpc_error(nng_listener_set_bool(listener, NNG_OPT_TCP_KEEPALIVE, true));
    }
    r = r ? r : rpc_error(nng_listener_start(listener, 0));
    if (r == 0 && is_tcp) {
        r = rpc_error(nng_listener_get_int(listener, NNG_OPT_TCP_BOUND_PORT, ret_port));
    }
    return err_trace(r);
}

/* SPDX-License-Identifier: MIT */
/* Configuration of the gateway's listeners.
 *   [tls] [admin] [role NAME] [network] [connection] -> struct gateway_options
 * Owns nothing but the copies in struct serve_front.
 * Fails with the key's name, where its value came from, and what would be right.
 * Rule: operators have a listener of their own only with a client CA; without a certificate of its
 * own it shows the clients' one. */
#include "serve_front.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "ctl/talk.h"
#include "gateway/cidr.h"
#include "proto/words.h"

bool serve_front_has_tls(const struct config *c)
{
    return c->tls_certificate[0] != '\0';
}

static const char *front_file(const char *path)
{
    return path[0] ? path : NULL;
}

static uint32_t front_role(const char *name)
{
    static const struct {
        const char *name;
        enum role role;
    } rows[] = {{"operator", ROLE_OPERATOR},
                {"viewer", ROLE_VIEWER},
                {"clerk", ROLE_CLERK},
                {"auditor", ROLE_AUDITOR}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return (uint32_t)rows[i].role;
        }
    }
    return 0;
}

/* The table of names, from all [role NAME]. */
static int front_roles(struct serve_front *front, const struct serve_config *sc,
                       const struct verb *verb, size_t *ret_count)
{
    const struct config *c = sc->now;
    char name[96];
    size_t count = 0;
    for (size_t i = 0; i < c->roles_count; i++) {
        uint32_t role = front_role(c->roles[i].name);
        if (role == 0) {
            snprintf(name, sizeof(name), "role.%s.certificates", c->roles[i].name);
            return serve_config_wrong(sc, verb, name, c->roles[i].name,
                                      "the roles are operator, viewer, clerk and auditor");
        }
        for (size_t k = 0; k < c->roles[i].certificates.count; k++) {
            if (count == SERVE_FRONT_ROLES) {
                talk_error("more than %d certificates have roles", SERVE_FRONT_ROLES);
                talk_next("give operators of one kind a name in common (a URI, as subjectAltName)");
                return VERB_USAGE;
            }
            front->roles[count++] = (struct gateway_role){c->roles[i].certificates.at[k], role};
        }
    }
    *ret_count = count;
    return VERB_OK;
}

static int front_admin(struct serve_front *front, const struct serve_config *sc,
                       const struct verb *verb, struct gateway_options *o)
{
    unsigned char unused[sizeof(struct in6_addr)];
    const struct config *c = sc->now;
    if (!c->admin_listen[0]) {
        return VERB_OK;
    }
    if (!value_target(c->admin_listen, front->admin_host, &o->admin_port)) {
        return serve_config_wrong(sc, verb, "admin.listen", c->admin_listen,
                                  "write HOST:PORT (port 0: any free one)");
    }
    if (strcmp(front->admin_host, "localhost") == 0) {
        strcpy(front->admin_host, "127.0.0.1");
    }
    if (inet_pton(AF_INET, front->admin_host, unused) != 1 &&
        inet_pton(AF_INET6, front->admin_host, unused) != 1) {
        return serve_config_wrong(sc, verb, "admin.listen", c->admin_listen,
                                  "the host must be an IP address or localhost");
    }
    if (!c->admin_client_ca[0]) {
        return serve_config_wrong(sc, verb, "admin.listen", c->admin_listen,
                                  "needs admin.client_ca: whose certificates operators show");
    }
    o->admin_host = front->admin_host;
    o->admin_certificate = front_file(c->admin_certificate);
    o->admin_key = front_file(c->admin_key);
    if (!o->admin_certificate) {
        o->admin_certificate = front_file(c->tls_certificate);
        o->admin_key = front_file(c->tls_key);
    }
    if (!o->admin_certificate || !o->admin_key) {
        return serve_config_wrong(sc, verb, "admin.listen", c->admin_listen,
                                  "needs admin.certificate and admin.key, or those of [tls]");
    }
    o->admin_client_ca = c->admin_client_ca;
    o->admin_roles = front->roles;
    return front_roles(front, sc, verb, &o->admin_roles_count);
}

static int front_network(struct serve_front *front, const struct serve_config *sc,
                         const struct verb *verb, struct gateway_options *o)
{
    const struct config *c = sc->now;
    size_t len = 0;
    char bad[64] = "";
    struct cidr_list unused;
    for (size_t i = 0; i < c->network_exempt.count; i++) {
        int n = snprintf(front->exempt + len, sizeof(front->exempt) - len, "%s ",
                         c->network_exempt.at[i]);
        len += n > 0 ? (size_t)n : 0;
        len = len < sizeof(front->exempt) ? len : sizeof(front->exempt) - 1;
    }
    if (!cidr_parse(front->exempt, &unused, bad)) {
        return serve_config_wrong(sc, verb, "network.exempt", bad,
                                  "write networks, as 10.1.0.0/16 or 2001:db8::/32");
    }
    o->group_exempt = front->exempt;
    return VERB_OK;
}

void serve_front_limits(const struct config *c, struct gateway_options *o)
{
    o->group_rate = (int)c->network_rate;
    o->group_burst = (int)c->network_burst;
    o->group_connections = (int)c->network_connections;
    o->handshake_ms = (int)c->tls_handshake;
    o->handshakes_max = (int)c->tls_handshakes;
    o->keepalive_ms = (int)c->connection_keepalive;
    o->keepalive_timeout_ms = (int)c->connection_keepalive_timeout;
    o->age_ms = (int)c->connection_max_age;
    o->age_grace_ms = (int)c->connection_age_grace;
}

int serve_front_fill(struct serve_front *front, const struct serve_config *sc,
                     const struct verb *verb, struct gateway_options *o)
{
    const struct config *c = sc->now;
    *front = (struct serve_front){.exempt = ""};
    int pair = VERB_OK;
    if (!c->tls_certificate[0] != !c->tls_key[0]) {
        const char *is = c->tls_key[0] ? "tls.key" : "tls.certificate";
        pair = serve_config_wrong(sc, verb, is, c->tls_key[0] ? c->tls_key : c->tls_certificate,
                                  "tls.certificate and tls.key go together");
    }
    o->tls_certificate = front_file(c->tls_certificate);
    o->tls_key = front_file(c->tls_key);
    o->tls_ticket_keys = front_file(c->tls_ticket_keys);
    o->tls_allows_12 = c->tls_tls12;
    o->ping_ms = (int)c->connection_client_ping;
    serve_front_limits(c, o);
    /* All three, so that all that is wrong is told at once. */
    int network = front_network(front, sc, verb, o), admin = front_admin(front, sc, verb, o);
    return pair != VERB_OK ? pair : network != VERB_OK ? network : admin;
}

void serve_front_again(struct serve_front *front, const struct serve_config *sc,
                       const struct verb *verb, struct gateway_options *o)
{
    size_t count;
    front_network(front, sc, verb, o);
    if (o->admin_roles && front_roles(front, sc, verb, &count) == VERB_OK) {
        o->admin_roles_count = count;
    }
}

void serve_front_next(int verdict)
{
    if (verdict == GATEWAY_E_TLS) {
        talk_next("correct [tls] or [admin]: fairslot config explain tls.certificate");
    }
    if (verdict == GATEWAY_E_GATE) {
        talk_next("fairslot config explain network.exempt");
    }
}

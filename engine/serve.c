/* SPDX-License-Identifier: MIT */
/* The verbs that stay.
 *   serve    lock DIR -> node on inproc -> keys -> gateway on the main thread until SIGTERM
 *   gateway  keys -> gateway, the shard over nng tcp
 *   shard    lock DIR -> node on nng tcp -> wait for SIGTERM
 * One data directory for all three, so that one process may become two and back:
 *   DIR/lock  DIR/shard/ (node)  DIR/issuer/ DIR/tenant.key DIR/operator.token (ctl/issuer.h)
 *   DIR/tenant.check (ctl/tenant.h)
 * Owns the lock and the tenant key in memory; both end with the process.
 * stdout has one line, "ready ...", when calls are answered; whoever starts us waits for it.
 * Fails with a sentence and a next step: 1 failed, 2 usage, 3 the directory is in use.
 * Invariants: no secret in argv (files only) or in a core file; nothing but loopback is listened on
 * without --insecure, unless there is TLS: a token on the wire is a person's. */
#include "serve.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/check.h"
#include "base/err.h"
#include "base/log.h"
#include "ctl/issuer.h"
#include "ctl/keyfile.h"
#include "ctl/options.h"
#include "ctl/talk.h"
#include "ctl/tenant.h"
#include "ctl/value.h"
#include "gateway/gateway.h"
#include "node/node.h"
#include "serve_check.h"
#include "serve_config.h"
#include "serve_issuers.h"
#include "serve_front.h"
#include "serve_node.h"
#include "serve_ops.h"

#define SERVE_TEXT       512
#define SERVE_FRONTENDS  2048 /* bytes of the list: 32 networks */
#define SERVE_INPROC     "inproc://fairslot-shard"

#ifdef __has_feature
#define SERVE_LEAK_CHECKED __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define SERVE_LEAK_CHECKED 1
#else
#define SERVE_LEAK_CHECKED 0
#endif

/* One of the three verbs at work. */
struct serve {
    const struct verb *verb;
    struct serve_config sc;
    struct serve_front front;
    const struct config *config; /* what holds: sc.now */
    const char *data;       /* data directory, or NULL */
    struct serve_issuers issuers; /* configured ones */
    struct issuer_options own; /* the data directory's issuer, where none is configured */
    char host[VALUE_HOST_MAX + 1];
    int port;
    struct serve_ops ops;
    struct gateway_options options; /* of the running gateway; what may change is changed here */
    struct gateway_origins origins[2]; /* in turn: a loop may still be reading the other one */
    unsigned origins_turn;
    char path[KEYFILE_PATH_MAX]; /* of the key set, when it is the data directory's */
    uint8_t key[TENANT_KEY_BYTES];
};

/* No secret may end in a core file.  Leak checkers attach to us, so not in their builds. */
static void serve_harden(void)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
#if !SERVE_LEAK_CHECKED
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
    signal(SIGHUP, SIG_IGN); /* also while starting; whoever waits for signals says so then */
}

static int serve_address(struct serve *s, const char *name, const char *text, bool insecure)
{
    struct serve_address address = {.name = name, .text = text, .insecure = insecure};
    int r = serve_check_address(&s->sc, s->verb, &address);
    memcpy(s->host, address.host, sizeof(s->host));
    s->port = address.port;
    return r;
}

static int serve_gateway_address(struct serve *s)
{
    return serve_address(s, "gateway.listen", s->config->gateway_listen,
                         s->config->gateway_insecure || serve_front_has_tls(s->config));
}

/* The data directory is ours until the process ends.  An exit code. */
static int serve_lock(const struct serve *s)
{
    char path[KEYFILE_PATH_MAX], pid[16] = "";
    int r = keyfile_make_dir(s->data);
    if (r == 0 && !keyfile_path(path, s->data, "lock")) {
        r = err_origin(-ENAMETOOLONG);
    }
    int fd = r == 0 ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (fd < 0) {
        talk_error("cannot use the data directory %s: %s", s->data, strerror(r ? -r : errno));
        talk_next("choose another one with --data, or correct its owner and mode");
        return VERB_FAILED;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        ssize_t n = read(fd, pid, sizeof(pid) - 1);
        pid[n > 0 ? strcspn(pid, "\n") : 0] = '\0';
        close(fd);
        talk_error("the data directory %s is in use by another process%s%s", s->data,
                   pid[0] ? ", pid " : "", pid);
        talk_next("stop that one first, or choose another directory with --data");
        return VERB_PRECONDITION;
    }
    int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || write(fd, pid, (size_t)n) != n) {
        log_event(LOG_PID_NOT_WRITTEN, NULL, "cannot write the pid into %s", path);
    }
    return VERB_OK; /* the descriptor stays open: the lock goes with the process */
}

static int serve_tenant_key(struct serve *s, const char *path)
{
    char *bytes;
    size_t len;
    int r = keyfile_read(path, 4096, &bytes, &len);
    if (r != 0 || len != TENANT_KEY_BYTES) {
        talk_error("the tenant key %s: %s", path,
                   r < 0 ? strerror(-r) : r == KEYFILE_E_MISSING ? "no such file"
                                                                 : "must be 32 bytes");
        if (r == 0) {
            free(bytes);
        }
        if (!s->config->auth_tenant_key[0]) {
            return tenant_tell_next();
        }
        talk_next("make one, once: head -c 32 /dev/urandom > FILE; chmod 600 FILE");
        return VERB_FAILED;
    }
    memcpy(s->key, bytes, sizeof(s->key));
    explicit_bzero(bytes, len);
    free(bytes);
    serve_node_warn_mode(path);
    return VERB_OK;
}

/* The other secrets of a data directory. */
static void serve_warn_modes(const char *data)
{
    static const char *const names[] = {"issuer/es256.jwk", "issuer/rs256.jwk", "operator.token"};
    char path[KEYFILE_PATH_MAX];
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (keyfile_path(path, data, names[i])) {
            serve_node_warn_mode(path);
        }
    }
}

/* The data directory's own issuer: everything that is missing is made. */
static int serve_own_keys(struct serve *s)
{
    char text[ISSUER_TEXT], key[KEYFILE_PATH_MAX];
    struct issuer *issuer;
    int r = issuer_init_dir(s->data, text);
    bool lost = r == ISSUER_E_TENANT;
    if (r == 0) {
        r = issuer_open(s->data, &issuer, text);
    }
    if (r == 0) {
        r = issuer_refresh_operator_token(issuer, s->data, text);
        issuer_close(issuer);
    }
    if (r != 0) {
        talk_error("%s", text);
        return lost ? tenant_tell_next() : VERB_FAILED;
    }
    if (!keyfile_path(s->path, s->data, "issuer/jwks.json") ||
        !keyfile_path(key, s->data, "tenant.key")) {
        talk_error("the path %s is too long", s->data);
        return VERB_FAILED;
    }
    s->own = (struct issuer_options){.name = "dev", .issuer = ISSUER_NAME,
                                     .audience = ISSUER_AUDIENCE, .jwks_file = s->path};
    serve_warn_modes(s->data);
    return serve_tenant_key(s, key);
}

/* A data directory serves the tenant key that it was first used with. */
static int serve_keys(struct serve *s)
{
    char text[TENANT_TEXT];
    int code = s->config->issuers_count ? serve_tenant_key(s, s->config->auth_tenant_key)
                                        : serve_own_keys(s);
    if (code != VERB_OK || !s->data) {
        return code;
    }
    int r = tenant_check(s->data, s->key, text);
    if (r != 0) {
        talk_error("%s", text);
        return r == TENANT_E_REFUSED ? tenant_tell_next() : VERB_FAILED;
    }
    return VERB_OK;
}

/* Either a configured issuer with a tenant key, or the data directory's own of both. */
static int serve_keys_check(struct serve *s, bool own)
{
    const struct config *c = s->config;
    if (own && (c->issuers_count || c->auth_tenant_key[0])) {
        talk_error("the development issuer has keys of its own: %s is configured, too",
                   c->issuers_count ? "an [issuer NAME]" : "auth.tenant_key");
        talk_next("leave %s away, or the configured keys",
                  strcmp(s->verb->noun, "serve") == 0 ? "--dev" : "--data");
        return VERB_USAGE;
    }
    if (!own && (c->issuers_count == 0 || !c->auth_tenant_key[0])) {
        talk_error("%s is needed", c->issuers_count ? "--tenant-key" : "an issuer of tokens");
        talk_next("configure [issuer NAME] and auth.tenant_key, or give --jwks, --issuer, "
                  "--audience and --tenant-key, or use the development issuer: %s",
                  strcmp(s->verb->noun, "serve") == 0 ? "--dev" : "--data DIR");
        return VERB_USAGE;
    }
    return VERB_OK;
}

static void serve_ready(void *user, int port, int admin_port)
{
    const struct serve *s = user;
    bool is_v6 = strchr(s->host, ':') != NULL;
    printf("ready grpc=%s%s%s:%d", is_v6 ? "[" : "", s->host, is_v6 ? "]" : "", port);
    if (admin_port) {
        is_v6 = strchr(s->front.admin_host, ':') != NULL;
        printf(" admin=%s%s%s:%d", is_v6 ? "[" : "", s->front.admin_host, is_v6 ? "]" : "",
               admin_port);
    }
    puts(s->ops.ready);
    fflush(stdout);
}

/* As one text. */
static void serve_frontends(const struct config *config, char *ret_text)
{
    size_t len = 0;
    ret_text[0] = '\0';
    for (size_t i = 0; i < config->gateway_frontends.count && len < SERVE_FRONTENDS; i++) {
        len += (size_t)snprintf(ret_text + len, SERVE_FRONTENDS - len, "%s ",
                                config->gateway_frontends.at[i]);
    }
}

/* What a running gateway takes from a configuration; every store here is atomic. */
static void serve_apply(struct serve *s)
{
    const struct config *c = s->config;
    struct gateway_origins *origins = &s->origins[s->origins_turn++ % 2];
    *origins = (struct gateway_origins){c->cors_origins.at, c->cors_origins.count};
    atomic_store(&s->options.origins, origins);
    s->options.drain_ms = (int)c->gateway_drain;
    s->options.hello_ms = (int)c->gateway_hello;
    s->options.deadline_ms = (int)c->gateway_deadline;
    s->options.access_log = c->log_access;
    s->options.unread_ms = (int)c->gateway_unread;
    s->options.no_anonymous = !c->anonymous_catalogue;
    s->options.anonymous_rate = (int)c->anonymous_rate;
    serve_front_limits(c, &s->options);
}

/* SIGHUP, on the gateway's first loop. */
static void serve_hangup(void *user)
{
    struct serve *s = user;
    if (serve_config_reload(&s->sc)) {
        s->config = s->sc.now;
        serve_apply(s);
        serve_front_again(&s->front, &s->sc, s->verb, &s->options);
        serve_issuers_again(&s->issuers, &s->sc, &s->options);
    }
}

static int serve_gateway_run(struct serve *s, const char *shard_url)
{
    char text[SERVE_TEXT] = "", frontends[SERVE_FRONTENDS];
    serve_frontends(s->config, frontends);
    if (serve_issuers_init(&s->issuers, s->config) < 0) {
        talk_error("out of memory");
        return VERB_FAILED;
    }
    s->options = (struct gateway_options){
        .listen_host = s->host,
        .listen_port = s->port,
        .shard_url = shard_url,
        .issuers = s->issuers.count ? s->issuers.at : &s->own,
        .issuers_count = s->issuers.count ? s->issuers.count : 1,
        .tenant_key = s->key,
        .loops = (int)s->config->gateway_loops,
        .frontends = frontends,
        .connections_max = (size_t)s->config->gateway_connections,
        .memory_bytes = (size_t)s->config->gateway_memory,
        .state = &s->ops.state,
        .hangup = serve_hangup,
        .ready = serve_ready,
        .user = s,
    };
    int r = serve_front_fill(&s->front, &s->sc, s->verb, &s->options);
    if (r != VERB_OK) {
        serve_issuers_fini(&s->issuers);
        return r;
    }
    serve_apply(s);
    r = gateway_run(&s->options, text);
    signal(SIGTERM, SIG_IGN); /* it is ending: a second one may not end the shard's flush */
    signal(SIGINT, SIG_IGN);
    serve_issuers_fini(&s->issuers);
    if (r == 0) {
        return VERB_OK;
    }
    talk_error("%s", text[0] ? text : "the gateway failed");
    if (r == GATEWAY_E_LISTEN) {
        talk_next("choose another port with --listen %s:PORT (0: any free one)", s->host);
    }
    if (r == GATEWAY_E_OPTIONS) {
        talk_next("fairslot config explain gateway.frontends");
    }
    if (r == GATEWAY_E_KEYS) {
        talk_next("fairslot config explain issuer; a key set is JSON with public keys of the "
                  "issuer's algorithms");
    }
    serve_front_next(r);
    if (r < 0) {
        err_print(stderr);
    }
    return VERB_FAILED;
}

/* Words and configuration.  True; else *ret_exit is the exit code. */
static bool serve_open(struct serve *s, const struct verb *verb, int argc, char **argv,
                       int *ret_exit)
{
    *s = (struct serve){.verb = verb};
    if (!serve_config_open(&s->sc, verb, argc, argv, ret_exit)) {
        return false;
    }
    s->config = s->sc.now;
    s->data = s->config->data_folder[0] ? s->config->data_folder : NULL;
    return true;
}

static int serve_close(struct serve *s, int code)
{
    serve_ops_stop(&s->ops);
    serve_config_close(&s->sc);
    explicit_bzero(s->key, sizeof(s->key));
    return code;
}

static int serve_needs_data(const struct serve *s)
{
    return s->data ? VERB_OK : options_wrong(s->verb, "data", "DIR", "is needed");
}

static int serve_serve(const struct verb *verb, int argc, char **argv)
{
    struct serve s;
    struct node *node;
    int r;
    if (!serve_open(&s, verb, argc, argv, &r)) {
        return serve_close(&s, r);
    }
    r = serve_needs_data(&s);
    r = r == VERB_OK ? serve_gateway_address(&s) : r;
    r = r == VERB_OK ? serve_keys_check(&s, s.sc.words.dev) : r;
    if (r != VERB_OK) {
        return serve_close(&s, r);
    }
    serve_harden();
    r = serve_lock(&s);
    r = r == VERB_OK ? serve_keys(&s) : r;
    r = r == VERB_OK ? serve_ops_start(&s.ops, &s.sc, verb) : r;
    r = r == VERB_OK ? serve_node_start(&s.sc, verb, SERVE_INPROC, &node) : r;
    if (r == VERB_OK) {
        r = serve_gateway_run(&s, SERVE_INPROC);
        node_stop(node);
    }
    return serve_close(&s, r);
}

static int serve_gateway(const struct verb *verb, int argc, char **argv)
{
    struct serve s;
    int r;
    if (!serve_open(&s, verb, argc, argv, &r)) {
        return serve_close(&s, r);
    }
    const struct config *c = s.config;
    char shards[SERVE_CONFIG_LIST];
    r = serve_check_shards(&s.sc, verb, shards);
    if (r == VERB_OK && !shards[0]) {
        r = options_wrong(verb, "shard", "URL",
                          "needed: what the shard printed, as tcp://127.0.0.1:17701");
    }
    if (r != VERB_OK) {
        return serve_close(&s, r);
    }
    /* Without an issuer, the data directory's: one file may configure gateway and shard. */
    r = serve_gateway_address(&s);
    r = r == VERB_OK ? serve_keys_check(&s, s.data != NULL && c->issuers_count == 0) : r;
    if (r != VERB_OK) {
        return serve_close(&s, r);
    }
    serve_harden();
    r = serve_keys(&s);
    r = r == VERB_OK ? serve_ops_start(&s.ops, &s.sc, verb) : r;
    r = r == VERB_OK ? serve_node_secure(&s.sc, verb) : r;
    r = r == VERB_OK ? serve_gateway_run(&s, shards) : r;
    return serve_close(&s, r);
}

static int serve_shard(const struct verb *verb, int argc, char **argv)
{
    struct serve s;
    struct node *node;
    sigset_t ends;
    int r, signal_number;
    if (!serve_open(&s, verb, argc, argv, &r)) {
        return serve_close(&s, r);
    }
    const char *listen = s.config->shard_listen;
    r = serve_needs_data(&s);
    if (r == VERB_OK && strncmp(listen, "tcp://", 6) != 0) {
        r = serve_config_wrong(&s.sc, verb, "shard.listen", listen,
                               "write tcp://HOST:PORT (port 0: any free one)");
    }
    bool may = serve_node_may_listen(s.config);
    r = r == VERB_OK ? serve_address(&s, "shard.listen", listen, may) : r;
    if (r != VERB_OK) {
        return serve_close(&s, r);
    }
    serve_harden();
    sigemptyset(&ends); /* blocked in every thread that starts below, taken by sigwait() */
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    signal(SIGHUP, SIG_DFL); /* an ignored one would not reach sigwait() */
    r = serve_lock(&s);
    r = r == VERB_OK ? serve_ops_start(&s.ops, &s.sc, verb) : r;
    r = r == VERB_OK ? serve_node_secure(&s.sc, verb) : r;
    r = r == VERB_OK ? serve_node_start(&s.sc, verb, listen, &node) : r;
    if (r != VERB_OK) {
        return serve_close(&s, r);
    }
    printf("ready shard=tcp://%s:%d%s\n", s.host, node_port(node), s.ops.ready);
    fflush(stdout);
    atomic_store(&s.ops.state, OPS_READY);
    while (sigwait(&ends, &signal_number) == 0 && signal_number == SIGHUP) {
        serve_config_reload(&s.sc);
    }
    atomic_store(&s.ops.state, OPS_DRAINING);
    node_stop(node);
    return serve_close(&s, VERB_OK);
}

#define SERVE_CONFIG_HELP                                                                         \
    "  --config FILE       configuration (none); its drop-ins are FILE.d/*.conf\n"                \
    "  --set SECTION.KEY=VALUE  one key, over the files (fairslot config explain lists them)\n"

#define SERVE_MAP_HELP                                                                            \
    "  --state-map-mib N   most that slots, holds and people may take on disk (65536); when it\n" \
    "                      is nearly full, new holds are refused (STORAGE_FULL) until records\n"  \
    "                      end or a restart with a larger one\n"                                  \
    "  --log-map-mib N     most that the log may take (4096); what the state has goes from it\n"

#define SERVE_KEYS_HELP                                                                           \
    "  --jwks FILE         key set of your OIDC issuer (public ES256 and RS256 keys)\n"           \
    "  --issuer URL        exact 'iss' of its tokens\n"                                           \
    "  --audience NAME     must be in 'aud'\n"                                                    \
    "  --tenant-key FILE   32 bytes that key the pseudonyms; never change it\n"

static const char serve_serve_help[] =
    "usage: fairslot serve --dev --data DIR [options]\n"
    "Gateway and shard in one process, until SIGTERM or SIGINT.  Prints 'ready grpc=HOST:PORT'.\n"
    "  --dev               no configuration: makes an issuer and DIR/operator.token\n"
    "  --data DIR          where everything is kept (made when missing)\n"
    "  --listen HOST:PORT  for clients (127.0.0.1:17700; port 0: any free one)\n"
    "  --insecure          listen beyond loopback, without TLS\n"
    SERVE_MAP_HELP SERVE_CONFIG_HELP
    "without --dev, all of:\n" SERVE_KEYS_HELP
    "example:\n"
    "  fairslot serve --dev --data demo --listen 127.0.0.1:17700\n";

static const char serve_gateway_help[] =
    "usage: fairslot gateway --shard URL... (--data DIR | --jwks FILE ...) [options]\n"
    "The gateway alone.  Prints 'ready grpc=HOST:PORT'.\n"
    "  --shard URL         what the shard printed: tcp://HOST:PORT; once for each replica of a\n"
    "                      replicated one: the leader is found, also when it changes\n"
    "  --listen HOST:PORT  for clients (127.0.0.1:17700; port 0: any free one)\n"
    "  --data DIR          development: the issuer in DIR, made when missing\n"
    "  --insecure          listen beyond loopback, without TLS\n" SERVE_CONFIG_HELP
    "without --data, all of:\n" SERVE_KEYS_HELP
    "example:\n"
    "  fairslot gateway --data demo --shard tcp://127.0.0.1:17701 --listen 127.0.0.1:17700\n";

static const char serve_shard_help[] =
    "usage: fairslot shard --data DIR [options]\n"
    "The shard alone, until SIGTERM or SIGINT.  Prints 'ready shard=tcp://HOST:PORT'.\n"
    "  --data DIR          where everything is kept (made when missing)\n"
    "  --listen URL        for gateways (tcp://127.0.0.1:17701; port 0: any free one)\n"
    "  --insecure          listen beyond loopback, without TLS\n"
    SERVE_MAP_HELP SERVE_CONFIG_HELP
    "as one of several replicas:\n"
    "  --id N              which one; never used again for another disk\n"
    "  --peer ID=URL       each first member, our own too; the same on all of them\n"
    "  --join CLUSTER      instead, for a new node: the cluster's id (then: fairslot node add)\n"
    "  --peers-listen URL  where peers connect (what --peer has for our own id)\n"
    "example:\n"
    "  fairslot shard --data demo --listen tcp://127.0.0.1:17701\n";

const struct verb serve_verbs[] = {
    {"serve", NULL, "everything in one process", serve_serve_help, serve_serve},
    {"gateway", NULL, "the gateway alone", serve_gateway_help, serve_gateway},
    {"shard", NULL, "the shard alone", serve_shard_help, serve_shard},
    {"config", "check", "every mistake in a configuration file", serve_check_help, serve_check},
    {0},
};

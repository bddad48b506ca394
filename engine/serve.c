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
 * without --insecure, because there is no TLS yet and a token on the wire is a person's. */
#include "serve.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
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

#define SERVE_TEXT       512
#define SERVE_INPROC     "inproc://fairslot-shard"
#define SERVE_RESERVE    ((uint64_t)256 << 20) /* bytes of disk kept for confirm, drop, cancel */
#define SERVE_MAP_MIB_MIN 16         /* less has no room for one full round and its reserve */
#define SERVE_MAP_MIB_MAX (16 << 20) /* 16 TiB, of the 128 that a process can address */

#ifdef __has_feature
#define SERVE_LEAK_CHECKED __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define SERVE_LEAK_CHECKED 1
#else
#define SERVE_LEAK_CHECKED 0
#endif

/* What the three verbs are told; which of them apply differs. */
struct serve {
    const char *data;       /* data directory */
    const char *listen;     /* HOST:PORT, or a tcp:// URL for shard */
    const char *shard;      /* URL of the shard, for gateway */
    const char *jwks;       /* key set, or NULL: of the data directory's issuer */
    const char *issuer;     /* exact iss */
    const char *audience;   /* must be in aud */
    const char *tenant_key; /* file of 32 bytes */
    const char *state_map;  /* MiB, or NULL: the store's default; so is log_map */
    const char *log_map;
    size_t state_map_bytes; /* 0: the store's default; so is log_map_bytes */
    size_t log_map_bytes;
    bool dev;               /* make an issuer and an operator's token */
    bool insecure;          /* listen beyond loopback */
    char host[VALUE_HOST_MAX + 1];
    int port;
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

static int serve_address(const struct verb *verb, struct serve *s, const char *address)
{
    unsigned char unused[sizeof(struct in6_addr)];
    if (!value_target(address, s->host, &s->port)) {
        return options_wrong(verb, "listen", s->listen, "write HOST:PORT (port 0: any free one)");
    }
    if (strcmp(s->host, "localhost") == 0) {
        strcpy(s->host, "127.0.0.1");
    }
    if (inet_pton(AF_INET, s->host, unused) != 1 && inet_pton(AF_INET6, s->host, unused) != 1) {
        return options_wrong(verb, "listen", s->listen, "the host must be an IP address or "
                             "localhost");
    }
    if (!value_loopback(s->host) && !s->insecure) {
        return options_wrong(verb, "listen", s->listen,
                             "not a loopback address, and there is no TLS yet: tokens would travel "
                             "in the clear (--insecure allows it)");
    }
    return VERB_OK;
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
        log_warn("cannot write the pid into %s", path);
    }
    return VERB_OK; /* the descriptor stays open: the lock goes with the process */
}

static void serve_warn_mode(const char *path)
{
    struct stat st;
    if (stat(path, &st) == 0 && (st.st_mode & 077)) {
        log_warn("%s can be read by others: chmod 600", path);
    }
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
        if (!s->tenant_key) {
            return tenant_tell_next();
        }
        talk_next("make one, once: head -c 32 /dev/urandom > FILE; chmod 600 FILE");
        return VERB_FAILED;
    }
    memcpy(s->key, bytes, sizeof(s->key));
    explicit_bzero(bytes, len);
    free(bytes);
    serve_warn_mode(path);
    return VERB_OK;
}

/* The other secrets of a data directory. */
static void serve_warn_modes(const char *data)
{
    static const char *const names[] = {"issuer/es256.jwk", "issuer/rs256.jwk", "operator.token"};
    char path[KEYFILE_PATH_MAX];
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (keyfile_path(path, data, names[i])) {
            serve_warn_mode(path);
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
    s->jwks = s->path;
    s->issuer = ISSUER_NAME;
    s->audience = ISSUER_AUDIENCE;
    serve_warn_modes(s->data);
    return serve_tenant_key(s, key);
}

/* A data directory serves the tenant key that it was first used with. */
static int serve_keys(struct serve *s)
{
    char text[TENANT_TEXT];
    int code = s->jwks ? serve_tenant_key(s, s->tenant_key) : serve_own_keys(s);
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

/* Either all four of the issuer's options, or none and the data directory's issuer. */
static int serve_keys_check(const struct verb *verb, const struct serve *s, bool own)
{
    const char *const names[] = {"jwks", "issuer", "audience", "tenant-key"};
    const char *const values[] = {s->jwks, s->issuer, s->audience, s->tenant_key};
    for (int i = 0; i < 4; i++) {
        if (own && values[i]) {
            return options_wrong(verb, names[i], values[i],
                                 "not together with the development issuer");
        }
        if (!own && !values[i]) {
            talk_error("--%s is needed", names[i]);
            talk_next("name the issuer with --jwks, --issuer, --audience and --tenant-key, or use "
                      "the development issuer: %s",
                      strcmp(verb->noun, "serve") == 0 ? "--dev" : "--data DIR");
            return VERB_USAGE;
        }
    }
    return VERB_OK;
}

static void serve_ready(void *user, int port)
{
    const struct serve *s = user;
    bool is_v6 = strchr(s->host, ':') != NULL;
    printf("ready grpc=%s%s%s:%d\n", is_v6 ? "[" : "", s->host, is_v6 ? "]" : "", port);
    fflush(stdout);
}

static int serve_gateway_run(struct serve *s, const char *shard_url)
{
    char text[SERVE_TEXT] = "";
    const struct gateway_options options = {
        .listen_host = s->host,
        .listen_port = s->port,
        .shard_url = shard_url,
        .jwks_path = s->jwks,
        .issuer = s->issuer,
        .audience = s->audience,
        .tenant_key = s->key,
        .ready = serve_ready,
        .user = s,
    };
    int r = gateway_run(&options, text);
    if (r == 0) {
        return VERB_OK;
    }
    talk_error("%s", text[0] ? text : "the gateway failed");
    if (r == GATEWAY_E_LISTEN) {
        talk_next("choose another port with --listen %s:PORT (0: any free one)", s->host);
    }
    if (r == GATEWAY_E_KEYS) {
        talk_next("the key set must be JSON with public ES256 or RS256 keys: %s", s->jwks);
    }
    if (r < 0) {
        err_print(stderr);
    }
    return VERB_FAILED;
}

/* Little room is no reason not to start (reads, confirm and cancel work), but it must be said: the
 * first refusal would be a client's. */
static void serve_warn_room(const char *dir)
{
    struct statvfs disk;
    if (statvfs(dir, &disk) < 0) {
        return;
    }
    uint64_t free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (free_bytes < SERVE_RESERVE) {
        log_warn("only %llu MiB are free on the disk of %s and %llu MiB are kept in reserve: %s "
                 "refused (STORAGE_FULL) until there is room",
                 (unsigned long long)(free_bytes >> 20), dir,
                 (unsigned long long)(SERVE_RESERVE >> 20),
                 free_bytes < SERVE_RESERVE / 4 ? "everything that writes is"
                                                : "new pools, slots and holds are");
    }
}

static int serve_node_start(const struct serve *s, const char *url, struct node **ret_node)
{
    char text[SERVE_TEXT] = "", dir[KEYFILE_PATH_MAX];
    if (!keyfile_path(dir, s->data, "shard")) {
        talk_error("the path %s is too long", s->data);
        return VERB_FAILED;
    }
    const struct node_options options = {.data_dir = dir, .listen_url = url,
                                         .state_map_bytes = s->state_map_bytes,
                                         .log_map_bytes = s->log_map_bytes,
                                         .disk_reserve_bytes = SERVE_RESERVE};
    serve_warn_room(s->data);
    int r = node_start(&options, ret_node, text);
    if (r == 0) {
        return VERB_OK;
    }
    talk_error("%s", text[0] ? text : "the shard cannot start");
    if (r == NODE_E_ADDRESS) {
        talk_next("choose another port with --listen tcp://%s:PORT (0: any free one)", s->host);
    }
    if (r < 0) {
        err_print(stderr);
    }
    return r == NODE_E_STORE || r == NODE_E_VERSION ? VERB_PRECONDITION : VERB_FAILED;
}

static int serve_parse(const struct verb *verb, int argc, char **argv, struct serve *s)
{
    struct options_words words;
    bool is_serve = strcmp(verb->noun, "serve") == 0, is_shard = strcmp(verb->noun, "shard") == 0;
    const struct options_spec all[] = {
        {"data", 0, &s->data, NULL},         {"listen", 0, &s->listen, NULL},
        {"insecure", 0, NULL, &s->insecure}, {"jwks", 0, &s->jwks, NULL},
        {"issuer", 0, &s->issuer, NULL},     {"audience", 0, &s->audience, NULL},
        {"tenant-key", 0, &s->tenant_key, NULL},
        {"state-map-mib", 0, &s->state_map, NULL},
        {"log-map-mib", 0, &s->log_map, NULL},
        {"dev", 0, NULL, &s->dev},           {NULL},
    };
    const struct options_spec gateway[] = {
        all[0], all[1], all[2], all[3], all[4], all[5], all[6],
        {"shard", 0, &s->shard, NULL}, {NULL},
    };
    const struct options_spec shard[] = {all[0], all[1], all[2], all[7], all[8], {NULL}};
    const struct options_rule rule = {is_serve ? all : is_shard ? shard : gateway, 0, 0, ""};
    return options_parse(verb, &rule, argc, argv, &words);
}

/* `text` MiB, or NULL: *ret_bytes stays.  VERB_OK, or VERB_USAGE (told). */
static int serve_map(const struct verb *verb, const char *name, const char *text,
                     size_t *ret_bytes)
{
    long mib;
    if (text && !value_count(text, SERVE_MAP_MIB_MIN, SERVE_MAP_MIB_MAX, &mib)) {
        return options_wrong(verb, name, text, "write 16 to 16777216, in MiB");
    }
    *ret_bytes = text ? (size_t)mib << 20 : *ret_bytes;
    return VERB_OK;
}

/* What the verbs with a shard need.  VERB_OK, or VERB_USAGE (told). */
static int serve_shard_check(const struct verb *verb, struct serve *s)
{
    if (!s->data) {
        return options_wrong(verb, "data", "DIR", "is needed");
    }
    int r = serve_map(verb, "state-map-mib", s->state_map, &s->state_map_bytes);
    return r == VERB_OK ? serve_map(verb, "log-map-mib", s->log_map, &s->log_map_bytes) : r;
}

static int serve_serve(const struct verb *verb, int argc, char **argv)
{
    struct serve s = {.listen = "127.0.0.1:17700"};
    struct node *node;
    int r = serve_parse(verb, argc, argv, &s);
    if (r != 0) {
        return options_exit(r);
    }
    r = serve_shard_check(verb, &s);
    if (r != VERB_OK) {
        return r;
    }
    r = serve_address(verb, &s, s.listen);
    r = r == VERB_OK ? serve_keys_check(verb, &s, s.dev) : r;
    if (r != VERB_OK) {
        return r;
    }
    serve_harden();
    r = serve_lock(&s);
    r = r == VERB_OK ? serve_keys(&s) : r;
    r = r == VERB_OK ? serve_node_start(&s, SERVE_INPROC, &node) : r;
    if (r == VERB_OK) {
        r = serve_gateway_run(&s, SERVE_INPROC);
        node_stop(node);
    }
    explicit_bzero(s.key, sizeof(s.key));
    return r;
}

static int serve_gateway(const struct verb *verb, int argc, char **argv)
{
    struct serve s = {.listen = "127.0.0.1:17700"};
    int r = serve_parse(verb, argc, argv, &s);
    if (r != 0) {
        return options_exit(r);
    }
    if (!s.shard || (strncmp(s.shard, "tcp://", 6) != 0)) {
        return options_wrong(verb, "shard", s.shard ? s.shard : "URL",
                             "needed: what the shard printed, as tcp://127.0.0.1:17701");
    }
    r = serve_address(verb, &s, s.listen);
    r = r == VERB_OK ? serve_keys_check(verb, &s, s.data != NULL) : r;
    if (r != VERB_OK) {
        return r;
    }
    serve_harden();
    r = serve_keys(&s);
    r = r == VERB_OK ? serve_gateway_run(&s, s.shard) : r;
    explicit_bzero(s.key, sizeof(s.key));
    return r;
}

static int serve_shard(const struct verb *verb, int argc, char **argv)
{
    struct serve s = {.listen = "tcp://127.0.0.1:17701"};
    struct node *node;
    sigset_t ends;
    int signal_number;
    int r = serve_parse(verb, argc, argv, &s);
    if (r != 0) {
        return options_exit(r);
    }
    r = serve_shard_check(verb, &s);
    if (r != VERB_OK) {
        return r;
    }
    if (strncmp(s.listen, "tcp://", 6) != 0) {
        return options_wrong(verb, "listen", s.listen, "write tcp://HOST:PORT (port 0: any free "
                             "one)");
    }
    r = serve_address(verb, &s, s.listen + 6);
    if (r != VERB_OK) {
        return r;
    }
    serve_harden();
    sigemptyset(&ends); /* blocked in every thread that starts below, taken by sigwait() */
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &ends, NULL);
    signal(SIGHUP, SIG_DFL); /* an ignored one would not reach sigwait() */
    r = serve_lock(&s);
    r = r == VERB_OK ? serve_node_start(&s, s.listen, &node) : r;
    if (r != VERB_OK) {
        return r;
    }
    printf("ready shard=tcp://%s:%d\n", s.host, node_port(node));
    fflush(stdout);
    while (sigwait(&ends, &signal_number) == 0 && signal_number == SIGHUP) {
        log_info("shard: SIGHUP is ignored: restart to read options again");
    }
    node_stop(node);
    return VERB_OK;
}

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
    SERVE_MAP_HELP
    "without --dev, all of:\n" SERVE_KEYS_HELP
    "example:\n"
    "  fairslot serve --dev --data demo --listen 127.0.0.1:17700\n";

static const char serve_gateway_help[] =
    "usage: fairslot gateway --shard URL (--data DIR | --jwks FILE ...) [options]\n"
    "The gateway alone.  Prints 'ready grpc=HOST:PORT'.\n"
    "  --shard URL         what the shard printed: tcp://HOST:PORT\n"
    "  --listen HOST:PORT  for clients (127.0.0.1:17700; port 0: any free one)\n"
    "  --data DIR          development: the issuer in DIR, made when missing\n"
    "  --insecure          listen beyond loopback, without TLS\n"
    "without --data, all of:\n" SERVE_KEYS_HELP
    "example:\n"
    "  fairslot gateway --data demo --shard tcp://127.0.0.1:17701 --listen 127.0.0.1:17700\n";

static const char serve_shard_help[] =
    "usage: fairslot shard --data DIR [options]\n"
    "The shard alone, until SIGTERM or SIGINT.  Prints 'ready shard=tcp://HOST:PORT'.\n"
    "  --data DIR          where everything is kept (made when missing)\n"
    "  --listen URL        for gateways (tcp://127.0.0.1:17701; port 0: any free one)\n"
    "  --insecure          listen beyond loopback, without TLS\n"
    SERVE_MAP_HELP
    "example:\n"
    "  fairslot shard --data demo --listen tcp://127.0.0.1:17701\n";

const struct verb serve_verbs[] = {
    {"serve", NULL, "everything in one process", serve_serve_help, serve_serve},
    {"gateway", NULL, "the gateway alone", serve_gateway_help, serve_gateway},
    {"shard", NULL, "the shard alone", serve_shard_help, serve_shard},
    {0},
};

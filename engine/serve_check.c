/* SPDX-License-Identifier: MIT */
/* fairslot config check: everything that a start would refuse, without a start.
 *   FILE, drop-ins, --set -> config_load (grammar, ranges, files) -> addresses -> TLS, operators,
 *   networks (serve_front) -> issuers (gateway/issuer)
 * Owns what it loads, until it has told.
 * Fails with each mistake as FILE:LINE: what, on stderr, and exit code 2.
 * Not looked at: whether keys and certificates fit, ports are free or issuers answer: that changes
 * by the minute, and the start says it. */
#include "serve_check.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "ctl/render.h"
#include "ctl/talk.h"
#include "serve_front.h"
#include "serve_node.h"
#include "serve_issuers.h"

const char serve_check_help[] =
    "usage: fairslot config check FILE [--set SECTION.KEY=VALUE]...\n"
    "Reads FILE and its drop-ins (FILE.d/*.conf in name order) as a server would; tells every\n"
    "mistake as FILE:LINE: what, and exits 2 when there is one.  Run it before a reload.\n"
    "  --set SECTION.KEY=VALUE   over the files, as on the server's command line (none)\n"
    "example:\n"
    "  fairslot config check fairslot.conf\n";

int serve_check_address(const struct serve_config *sc, const struct verb *verb,
                        struct serve_address *a)
{
    unsigned char unused[sizeof(struct in6_addr)];
    const char *bare = strncmp(a->text, "tcp://", 6) == 0 ? a->text + 6 : a->text;
    if (!value_target(bare, a->host, &a->port)) {
        return serve_config_wrong(sc, verb, a->name, a->text,
                                  "write HOST:PORT (port 0: any free one)");
    }
    if (strcmp(a->host, "localhost") == 0) {
        strcpy(a->host, "127.0.0.1");
    }
    if (inet_pton(AF_INET, a->host, unused) != 1 && inet_pton(AF_INET6, a->host, unused) != 1) {
        return serve_config_wrong(sc, verb, a->name, a->text,
                                  "the host must be an IP address or localhost");
    }
    if (!value_loopback(a->host) && !a->insecure) {
        return serve_config_wrong(sc, verb, a->name, a->text,
                                  "not a loopback address, and there is no TLS: tokens would "
                                  "travel in the clear (set tls.certificate and tls.key; "
                                  "--insecure allows it as it is)");
    }
    return VERB_OK;
}

int serve_check_shards(const struct serve_config *sc, const struct verb *verb,
                       char ret_text[SERVE_CONFIG_LIST])
{
    const struct config_list *list = &sc->now->gateway_shard;
    size_t len = 0;
    ret_text[0] = '\0';
    for (size_t i = 0; i < list->count; i++) {
        if (strncmp(list->at[i], "tcp://", 6) != 0 || list->at[i][6] == '\0' ||
            strchr(list->at[i], ' ')) {
            return serve_config_wrong(sc, verb, "gateway.shard", list->at[i],
                                      "write what the shard printed, as tcp://127.0.0.1:17701");
        }
        len += (size_t)snprintf(ret_text + len, SERVE_CONFIG_LIST - len, "%s%s", i ? " " : "",
                                list->at[i]);
        if (len >= SERVE_CONFIG_LIST) {
            return serve_config_wrong(sc, verb, "gateway.shard", list->at[i],
                                      "the addresses are too long together");
        }
    }
    return VERB_OK;
}

static void serve_check_tell(void *user, const char *line)
{
    talk_say("%s", line);
}

/* How many issuers are not right. */
static size_t serve_check_issuers(const struct serve_config *sc)
{
    struct serve_issuers issuers;
    size_t wrong = 0;
    if (serve_issuers_init(&issuers, sc->now) < 0) {
        return 0;
    }
    for (size_t i = 0; i < issuers.count; i++) {
        char text[256] = "", name[96], origin[512], line[800];
        struct issuer_rules *rules;
        int r = issuer_new(&issuers.at[i], &rules, text);
        if (r == 0) {
            issuer_free(rules);
        } else if (r > 0) {
            snprintf(name, sizeof(name), "issuer.%s.url", sc->now->issuers[i].name);
            snprintf(line, sizeof(line), "%s: %s",
                     config_origin(sc->now, name, origin, sizeof(origin)), text);
            sc->tell(NULL, line);
            wrong++;
        }
    }
    serve_issuers_fini(&issuers);
    return wrong;
}

size_t serve_check_all(const struct serve_config *sc, const struct verb *verb)
{
    static struct serve_front front; /* large */
    struct gateway_options options = {0};
    const struct config *c = sc->now;
    size_t wrong = 0;
    struct serve_address addresses[] = {
        {.name = "gateway.listen", .text = c->gateway_listen,
         .insecure = c->gateway_insecure || serve_front_has_tls(c)},
        {.name = "shard.listen", .text = c->shard_listen,
         .insecure = serve_node_may_listen(c)},
        {.name = "ops.listen", .text = c->ops_listen, .insecure = true},
    };
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        wrong += addresses[i].text[0] && serve_check_address(sc, verb, &addresses[i]) != VERB_OK;
    }
    char shards[SERVE_CONFIG_LIST];
    wrong += serve_check_shards(sc, verb, shards) != VERB_OK;
    wrong += serve_front_fill(&front, sc, verb, &options) != VERB_OK;
    return wrong + serve_check_issuers(sc);
}

int serve_check(const struct verb *verb, int argc, char **argv)
{
    struct options_many sets = {0};
    struct options_words words;
    struct serve_config sc = {.tell = serve_check_tell};
    const struct options_spec specs[] = {{"set", 0, .many = &sets}, {NULL}};
    const struct options_rule rule = {specs, 1, 1, "FILE"};
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    struct config_report report = {.tell = serve_check_tell};
    sc.source = (struct config_source){.file = words.at[0], .sets = sets.at,
                                       .sets_count = sets.count, .who = CONFIG_ALL};
    r = config_load(&sc.source, &report, &sc.now);
    if (r < 0) {
        err_print(stderr);
        return VERB_FAILED;
    }
    sc.start = sc.now;
    size_t wrong = r == 0 ? serve_check_all(&sc, verb) : report.count;
    serve_config_close(&sc);
    if (wrong) {
        talk_error("%s is not right", words.at[0]);
        talk_next("correct each line above; fairslot config explain KEY says what a key takes");
        return VERB_USAGE;
    }
    printf("%s: right\n", words.at[0]);
    return render_flush();
}

/* SPDX-License-Identifier: MIT */
/* Configuration: every way to write it wrong has its line, every right one its value. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/config.h"
#include "tests/lib/tap.h"

static char folder[] = "/tmp/fairslot-config-XXXXXX";
static char path[256];
static char told[64 * 1024]; /* every line that was told */

static void tell(void *user, const char *line)
{
    /* Places are told by path: its folder is of no interest here. */
    size_t len = strlen(folder) + 1;
    if (strncmp(line, folder, len - 1) == 0) {
        line += len;
    }
    snprintf(told + strlen(told), sizeof(told) - strlen(told), "%s\n", line);
}

static void put(const char *name, const void *bytes, size_t len)
{
    char to[300];
    snprintf(to, sizeof(to), "%s/%s", folder, name);
    FILE *out = fopen(to, "w");
    OK(out && fwrite(bytes, 1, len, out) == len);
    if (out) {
        fclose(out);
    }
}

static struct config *load_with(struct config_source source, const char *text, size_t len)
{
    struct config *config = NULL;
    struct config_report report = {.tell = tell};
    if (text) {
        put("a.conf", text, len);
        source.file = path;
    }
    source.who = source.who ? source.who : CONFIG_ALL;
    told[0] = '\0';
    int r = config_load(&source, &report, &config);
    OK(r == 0 ? config != NULL : r == CONFIG_E_WRONG && report.count > 0);
    return config;
}

#define LOAD(text) load_with((struct config_source){0}, text, strlen(text))

/* The text is wrong, and this is what is said about it. */
#define WRONG_BYTES(text, len, said)                                  \
    do {                                                              \
        OK(load_with((struct config_source){0}, text, len) == NULL);  \
        EQS(told, said);                                              \
    } while (0)
#define WRONG(text, said) WRONG_BYTES(text, strlen(text), said)

static void test_defaults(void)
{
    struct config *c = load_with((struct config_source){0}, NULL, 0);
    EQS(c->gateway_listen, "127.0.0.1:17700");
    EQ(c->gateway_drain, 5000);
    EQ(c->shard_state_map, INT64_C(64) << 30);
    EQS(c->log_level, "info");
    EQ(c->log_access, false);
    EQ(c->issuers_count, 0);
    EQ(c->cors_origins.count, 0);
    config_free(c);
    c = LOAD("");
    OK(c);
    config_free(c);
    config_free(NULL);
}

static void test_values(void)
{
    struct config *c = LOAD("# words\n; more\n\n[gateway]\nlisten=[::1]:0 ; behind\n"
                            "drain = 500ms\n  # indented\nhello = 2m\n"
                            "[log]\naccess = on\nformat: json\n"
                            "[shard]\nstate_map = 16MiB\ndisk_reserve = 0\nlog_map = 1TiB\n"
                            "[cors]\norigins = https://a.example, https://b.example\n"
                            "   https://c.example,\n\thttps://d.example ; last\n"
                            "[issuer munich]\nurl = https://m.example/realms/x\n"
                            "[issuer berlin]\nurl = https://b.example\naudience = city\n"
                            "[gateway]\ndeadline =\n");
    OK(c);
    EQS(told, "");
    if (!c) {
        return;
    }
    EQS(c->gateway_listen, "[::1]:0");
    EQ(c->gateway_drain, 500);
    EQ(c->gateway_hello, 120000);
    EQ(c->gateway_deadline, 10000); /* empty: the default */
    OK(c->log_access);
    EQS(c->log_format, "json");
    EQ(c->shard_state_map, 16 << 20);
    EQ(c->shard_disk_reserve, 0);
    EQ(c->shard_log_map, INT64_C(1) << 40);
    EQ(c->cors_origins.count, 4);
    EQS(c->cors_origins.at[3], "https://d.example");
    EQ(c->issuers_count, 2);
    EQS(c->issuers[0].name, "munich");
    EQS(c->issuers[0].audience.at[0], "fairslot");
    EQS(c->issuers[1].audience.at[0], "city");
    config_free(c);
}

static void test_windows(void)
{
    struct config *c = LOAD("\xef\xbb\xbf[gateway]\r\ndrain = 1s\r\n");
    OK(c && c->gateway_drain == 1000);
    config_free(c);
    WRONG("\xef\xbb\xbf[gateway]\r\ndrain = 1s\r\nlisten = x\r\n",
          "a.conf:3: gateway.listen: 'x' is not right; write: IP:PORT, [IPv6]:PORT or "
          "localhost:PORT\n");
    WRONG_BYTES("\xff\xfe[\0l\0", 6, "a.conf:1: byte 1 is no UTF-8: save the file as UTF-8\n");
    WRONG("[log]\rlevel = info\n", "a.conf:1: byte 6 is a control character (0x0d)\n");
}

static void test_unknown(void)
{
    WRONG("[gatway]\nlisten = 127.0.0.1:1\n",
          "a.conf:1: unknown section [gatway]: did you mean [gateway]?\n");
    WRONG("\n[gateway]\nlisen = 127.0.0.1:1\n",
          "a.conf:3: unknown key 'lisen' in [gateway]: did you mean 'listen'?\n");
    WRONG("[gateway]\nstate_map = 1GiB\n",
          "a.conf:2: unknown key 'state_map' in [gateway]: it belongs to [shard]\n");
    WRONG("[gateway]\nwhatever_this_is = 1\n",
          "a.conf:2: unknown key 'whatever_this_is' in [gateway]: fairslot config explain "
          "gateway\n");
    WRONG("listen = 127.0.0.1:1\n", "a.conf:1: 'listen' stands above the first [section]\n");
    WRONG("[issuer]\n", "a.conf:1: [issuer] needs a name, as [issuer munich]\n");
    WRONG("[gateway one]\n", "a.conf:1: [gateway] takes no name: there is only one\n");
    WRONG("[issuer M\xc3\xbcnchen]\n", "a.conf:1: 'M\xc3\xbcnchen' is no name for [issuer NAME]: "
          "write up to 39 of a-z, 0-9 and -\n");
    WRONG("[issuer munich]\naudience = x\n", "a.conf:1: [issuer munich] needs url = ...\n");
}

static void test_twice(void)
{
    WRONG("[gateway]\ndrain = 1s\n[log]\n[gateway]\ndrain = 2s\n",
          "a.conf:5: gateway.drain stands here a second time: first in line 2\n");
    WRONG("[issuer a]\nurl = https://a\n[issuer a]\nurl = https://b\n",
          "a.conf:4: issuer.url stands here a second time: first in line 2\n");
}

static void test_grammar(void)
{
    WRONG("[gateway\n", "a.conf:1: a section is written [name]: the ] is missing\n");
    WRONG("[gateway] drain = 1s\n",
          "a.conf:1: nothing may stand behind [...]: give it its own line\n");
    WRONG("[gateway]\ndrain\nhello\n", "a.conf:2: neither [section] nor key = value\n"
          "a.conf:3: neither [section] nor key = value\n");
    WRONG("[gateway]\ndrain = 1s\n  2s\n", "a.conf:3: an indented line goes on with the value "
          "above, and drain is no list: take the blanks away\n");
    WRONG_BYTES("[log]\nlevel = in\0fo\n", 18,
                "a.conf:2: byte 11 is a control character (0x00)\n");
    WRONG("[gateway]\ndrain = 10\xc3\n", "a.conf:2: byte 11 is no UTF-8: save the file as UTF-8\n");
}

static void test_long(void)
{
    static char text[5 * 1024 * 1024];
    memset(text, 'x', sizeof(text));
    WRONG_BYTES(text, 1000000, "a.conf:1: the line has 1000000 bytes, at most 4096 are read\n");
    WRONG_BYTES(text, sizeof(text), "a.conf: has more than 4194304 bytes\n");
    /* The longest line is read to its end. */
    size_t head = (size_t)sprintf(text, "[issuer a]\nurl = https://a\njwks_file = ");
    text[head] = 'x';
    text[head + 4096 - 12] = '\n';
    OK(load_with((struct config_source){0}, text, head + 4096 - 11) == NULL);
    OK(strstr(told, "a.conf:3: issuer.jwks_file: "));
    /* So many mistakes are enough. */
    for (size_t i = 0; i + 2 < sizeof(text); i += 2) {
        memcpy(text + i, "y\n", 2);
    }
    OK(load_with((struct config_source){0}, text, 4 * 1024 * 1024) == NULL);
    OK(strstr(told, "\na.conf:100: neither [section] nor key = value\nso many mistakes"));
    OK(!strstr(told, "a.conf:101:"));
}

static void test_wrong_values(void)
{
    WRONG("[cors]\norigins=a,;b\n[issuer a]\nurl=u://x\naudience=;x\n",
          "a.conf:2: cors.origins: a word may not begin with ; or #: that would be a comment\n"
          "a.conf:5: issuer.audience: a word may not begin with ; or #: that would be a comment\n");
    WRONG("[gateway]\ndrain = 10\nhello = 10 s\ndeadline = 1h\n",
          "a.conf:2: gateway.drain: a time needs its unit, as 10s\n"
          "a.conf:3: gateway.hello: ' s' is no unit of a time: did you mean 10s?\n"
          "a.conf:4: gateway.deadline: '1h' is not right; write: time (ms, s, m, h, d), 100ms to "
          "1m\n");
    WRONG("[gateway]\ndrain = -5s\nhello = 99999999999999999999s\ndeadline = 5min\n",
          "a.conf:2: gateway.drain: '-5s' is not right; write: time (ms, s, m, h, d), 100ms to "
          "10m\n"
          "a.conf:3: gateway.hello: '99999999999999999999s' is not right; write: time (ms, s, m, "
          "h, d), 100ms to 10m\n"
          "a.conf:4: gateway.deadline: 'min' is no unit of a time: did you mean 5m?\n");
    WRONG("[shard]\nstate_map = 64GB\nlog_map = 64\ndisk_reserve = 99999999TiB\n",
          "a.conf:2: shard.state_map: 'GB' is no unit of a size: did you mean 64GiB?\n"
          "a.conf:3: shard.log_map: a size needs its unit, as 64KiB\n"
          "a.conf:4: shard.disk_reserve: '99999999TiB' is not right; write: size (B, KiB, MiB, "
          "GiB, TiB), 0B to 1TiB\n");
    WRONG("[log]\nlevel = loud\naccess = maybe\n",
          "a.conf:2: log.level: 'loud' is not right; write: one of error warn info debug\n"
          "a.conf:3: log.access: 'maybe' is not right; write: yes or no\n");
    WRONG("[gateway]\nlisten = 127.0.0.1:65536\n[shard]\nlisten = 127.0.0.1:1\n",
          "a.conf:2: gateway.listen: '127.0.0.1:65536' is not right; write: IP:PORT, [IPv6]:PORT "
          "or localhost:PORT\n"
          "a.conf:4: shard.listen: '127.0.0.1:1' is not right; write: URL, as "
          "https://host/path\n");
    WRONG("[gateway]\nlisten = ::1:80\n",
          "a.conf:2: gateway.listen: '::1:80' is not right; write: IP:PORT, [IPv6]:PORT or "
          "localhost:PORT\n");
}

static void test_files(void)
{
    char folder_d[300];
    put("key", "k", 1);
    struct config *c = LOAD("[auth]\ntenant_key = key\n"); /* beside the file */
    OK(c && strncmp(c->auth_tenant_key, folder, strlen(folder)) == 0);
    config_free(c);
    WRONG("[auth]\ntenant_key = 3d2c71ff0a\n", "a.conf:2: auth.tenant_key: no such file; write "
          "the path of a file, never the secret itself\n"); /* and it is not repeated */
    WRONG("[auth]\ntenant_key = %d/key\n", "a.conf:2: auth.tenant_key: %d is "
          "$CREDENTIALS_DIRECTORY, which is not set: the service needs LoadCredential=\n");
    setenv("CREDENTIALS_DIRECTORY", folder, 1);
    c = LOAD("[auth]\ntenant_key = %d/key\n");
    OK(c);
    config_free(c);
    unsetenv("CREDENTIALS_DIRECTORY");
    snprintf(folder_d, sizeof(folder_d), "[issuer a]\nurl = https://a\njwks_file = %s\n", folder);
    OK(LOAD(folder_d) == NULL);
    OK(strstr(told, "a.conf:3: issuer.jwks_file: ") && strstr(told, ": is a folder, not a file"));
    c = load_with((struct config_source){.who = CONFIG_SHARD}, "[auth]\ntenant_key = none\n", 25);
    OK(c); /* a shard does not read that one */
    config_free(c);
    struct config_source source = {.file = folder};
    OK(load_with(source, NULL, 0) == NULL);
    EQS(told, " is a folder, not a file\n");
    source.file = "/nonexistent/fairslot.conf";
    OK(load_with(source, NULL, 0) == NULL);
    EQS(told, "/nonexistent/fairslot.conf: cannot be read: No such file or directory\n");
    put("closed.conf", "", 0);
    snprintf(folder_d, sizeof(folder_d), "%s/closed.conf", folder);
    chmod(folder_d, 0);
    source.file = folder_d;
    c = load_with(source, NULL, 0);
    OK(geteuid() == 0 ? c != NULL : strstr(told, "cannot be read: Permission denied") != NULL);
    config_free(c);
}

static void test_order(void)
{
    char drop_ins[300], origin[300];
    const char *const sets[] = {"gateway.drain=7s", "issuer.munich.audience=set", "log.level=warn",
                                "log.level=debug"};
    const struct config_flag flags[] = {{"--drain", "gateway.drain", "8s"},
                                        {"--hello", "gateway.hello", NULL}};
    snprintf(drop_ins, sizeof(drop_ins), "%s/a.conf.d", folder);
    mkdir(drop_ins, 0700);
    put("a.conf.d/20-b.conf", "[gateway]\nhello = 4s\n", 21);
    put("a.conf.d/10-a.conf", "[gateway]\nhello = 3s\ndrain = 3s\n", 32);
    put("a.conf.d/30-off.conf.bak", "nonsense", 8);
    put("a.conf.d/.hidden.conf", "nonsense", 8);
    const char *text = "[gateway]\nhello = 2s\ndeadline = 2s\n[issuer munich]\nurl=https://m\n";
    struct config *c = load_with((struct config_source){.sets = sets, .sets_count = 4,
                                                        .flags = flags, .flags_count = 2},
                                 text, strlen(text));
    EQS(told, "");
    OK(c);
    if (c) {
        EQ(c->gateway_deadline, 2000);
        EQ(c->gateway_hello, 4000);
        EQ(c->gateway_drain, 8000);
        EQS(c->log_level, "debug");
        EQS(c->issuers[0].audience.at[0], "set");
        OK(strstr(config_origin(c, "gateway.hello", origin, sizeof(origin)),
                  "a.conf.d/20-b.conf:2"));
        EQS(config_origin(c, "gateway.drain", origin, sizeof(origin)), "--drain");
        EQS(config_origin(c, "log.level", origin, sizeof(origin)), "--set");
        EQS(config_origin(c, "log.format", origin, sizeof(origin)), "default");
        OK(strstr(config_origin(c, "issuer.munich.url", origin, sizeof(origin)), "a.conf:5"));
        EQS(config_origin(c, "no.key", origin, sizeof(origin)), "nowhere");
    }
    config_free(c);
    put("a.conf.d/20-b.conf", "[gateway]\nhello = 4\n", 20);
    WRONG(text, "a.conf.d/20-b.conf:2: gateway.hello: a time needs its unit, as 4s\n");
    snprintf(drop_ins, sizeof(drop_ins), "rm -r %s/a.conf.d", folder);
    OK(system(drop_ins) == 0);
}

static void test_sets(void)
{
    const char *const wrong[] = {"gateway.drain", "=x", "drain=1s", "gatway.drain=1s",
                                 "gateway.drian=1s", "issuer.url=x", "gateway.one.drain=1s",
                                 "gateway.drain=1"};
    OK(load_with((struct config_source){.sets = wrong, .sets_count = 8}, NULL, 0) == NULL);
    EQS(told, "--set: 'gateway.drain': write section.key=value\n"
              "--set: '=x': write section.key=value\n"
              "--set: 'drain' is no key: write section.key=value\n"
              "--set: unknown section [gatway]: did you mean [gateway]?\n"
              "--set: unknown key 'drian' in [gateway]: did you mean 'drain'?\n"
              "--set: 'issuer.url' needs a name: issuer.NAME.key=value\n"
              "--set: 'gateway.one.drain' has a name too many: gateway.key=value\n"
              "--set: gateway.drain: a time needs its unit, as 1s\n");
}

/* What is shown reads back as the same. */
static void test_show(void)
{
    char *text = NULL;
    size_t len = 0;
    struct config *c = LOAD("[gateway]\ndrain = 90s\n[cors]\norigins = a,b,c,d,e\n"
                            "[issuer munich]\nurl = https://m\n[shard]\nlog_map = 5GiB\n");
    OK(c);
    for (int origin = 0; c && origin < 2; origin++) {
        FILE *out = open_memstream(&text, &len);
        config_show(c, origin, out);
        fclose(out);
        struct config *again = LOAD(text);
        EQS(told, "");
        OK(again && again->gateway_drain == 90000 && again->cors_origins.count == 5 &&
           again->shard_log_map == INT64_C(5) << 30 && again->issuers_count == 1);
        OK((strstr(text, "a.conf:2\ndrain = 90s\n") != NULL) == (origin == 1));
        config_free(again);
        free(text);
    }
    config_free(c);
    FILE *out = open_memstream(&text, &len);
    config_default(out);
    fclose(out);
    c = LOAD(text);
    EQS(told, "");
    OK(c);
    config_free(c);
    free(text);
}

static void test_explain(void)
{
    char *text = NULL;
    size_t len = 0;
    const char *guess = NULL;
    FILE *out = open_memstream(&text, &len);
    OK(config_explain("gateway.drain", out, &guess));
    OK(config_explain("issuer", out, &guess));
    OK(config_explain("issuer.munich.url", out, &guess));
    OK(config_explain(NULL, out, &guess));
    OK(!config_explain("gateway.drian", out, &guess));
    EQS(guess, "gateway.drain");
    OK(!config_explain("drain", out, &guess));
    EQS(guess, "gateway.drain");
    OK(!config_explain("isuer", out, &guess));
    EQS(guess, "issuer");
    OK(!config_explain("qwertz", out, &guess));
    OK(guess == NULL);
    fclose(out);
    OK(strstr(text, "default: 5s\n"));
    free(text);
}

static char changes[1024];

static void changed(void *user, const char *name, bool reloads)
{
    snprintf(changes + strlen(changes), sizeof(changes) - strlen(changes), "%s%s ", name,
             reloads ? "" : "!");
}

static void test_compare(void)
{
    struct config *a = LOAD("[gateway]\ndrain = 1s\n[cors]\norigins=a,b\n[issuer a]\nurl=u://a\n");
    struct config *b = LOAD("[gateway]\ndrain = 2s\nlisten = 127.0.0.1:1\n[cors]\norigins=a,c\n"
                            "[issuer a]\nurl=u://b\n");
    struct config *c = LOAD("[issuer b]\nurl=u://a\n");
    config_compare(a, a, changed, NULL);
    EQS(changes, "");
    config_compare(a, b, changed, NULL);
    EQS(changes, "gateway.listen! gateway.drain cors.origins issuer.url ");
    changes[0] = '\0';
    config_compare(a, c, changed, NULL);
    OK(strstr(changes, "issuer.url "));
    config_free(a);
    config_free(b);
    config_free(c);
}

int main(void)
{
    if (!mkdtemp(folder)) {
        return EXIT_FAILURE;
    }
    snprintf(path, sizeof(path), "%s/a.conf", folder);
    TAP_RUN(test_defaults);
    TAP_RUN(test_values);
    TAP_RUN(test_windows);
    TAP_RUN(test_unknown);
    TAP_RUN(test_twice);
    TAP_RUN(test_grammar);
    TAP_RUN(test_long);
    TAP_RUN(test_wrong_values);
    TAP_RUN(test_files);
    TAP_RUN(test_order);
    TAP_RUN(test_sets);
    TAP_RUN(test_show);
    TAP_RUN(test_explain);
    TAP_RUN(test_compare);
    char clean[300];
    snprintf(clean, sizeof(clean), "rm -r %s", folder);
    return system(clean) == 0 ? tap_done() : EXIT_FAILURE;
}

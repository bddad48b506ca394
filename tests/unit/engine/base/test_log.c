/* SPDX-License-Identifier: MIT */
/* Log lines: three forms that nothing in a message can break, bursts, and the journal's socket. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/log_form.h"
#include "base/metrics.h"
#include "base/prng.h"
#include "base/utf8.h"
#include "tests/lib/tap.h"

static char out[LOG_FORM_BYTES + 1];

static const struct log_field *const fields = LOG_FIELDS(LOG_TEXT("path", "a \"b\"\\\nc\x01"),
                                                         LOG_NUMBER("free_bytes", -5));

static struct log_form form(const char *message)
{
    return (struct log_form){.level = "warn", .name = "DISK_LOW", .message = message,
                             .fields = fields, .time_us = INT64_C(1700000000123456), .number = 1102,
                             .priority = 4};
}

static void test_text(void)
{
    struct log_form f = form("two\nlines \xff \xc3\xbc");
    f.dropped = 3;
    out[log_form_text(&f, out)] = '\0';
    EQS(out, "2023-11-14T22:13:20.123Z warn FS-1102 two\\u000alines \xef\xbf\xbd \xc3\xbc "
             "path=a \"b\"\\\\u000ac\\u0001 free_bytes=-5 (and 3 such lines before it)\n");
}

static void test_json(void)
{
    struct log_form f = form("two\nlines \"x\"");
    out[log_form_json(&f, out)] = '\0';
    EQS(out, "{\"time\":\"2023-11-14T22:13:20.123Z\",\"level\":\"warn\",\"event\":\"FS-1102\","
             "\"name\":\"DISK_LOW\",\"message\":\"two\\u000alines \\\"x\\\"\","
             "\"path\":\"a \\\"b\\\"\\\\\\u000ac\\u0001\",\"free_bytes\":-5}\n");
    f.fields = NULL;
    f.dropped = 1;
    out[log_form_json(&f, out)] = '\0';
    OK(strstr(out, "\"two\\u000alines \\\"x\\\"\",\"dropped\":1}\n"));
}

static void test_journal(void)
{
    struct log_form f = form("two\nlines");
    size_t n = log_form_journal(&f, out);
    out[n] = '\0';
    OK(memcmp(out, "MESSAGE\n\x09\0\0\0\0\0\0\0two\nlines\nPRIORITY=4\n", 37) == 0);
    OK(memmem(out, n, "\nMESSAGE_ID=7d0c9bb2c4f14a5e9e3bf5a10000044e\n", 44));
    OK(memmem(out, n, "\nFAIRSLOT_EVENT=FS-1102\nFAIRSLOT_NAME=DISK_LOW\n", 47));
    OK(memmem(out, n, "\nFAIRSLOT_PATH\n\x09\0\0\0\0\0\0\0a \"b\"\\\nc\x01\n", 33));
    OK(memmem(out, n, "\nFAIRSLOT_FREE_BYTES=-5\n", 24));
}

/* One line, valid UTF-8, balanced quotes and no control character, whatever was said. */
static bool is_one_json_line(const char *line, size_t len)
{
    size_t quotes = 0;
    if (len < 3 || line[0] != '{' || line[len - 2] != '}' || line[len - 1] != '\n') {
        return false;
    }
    for (size_t i = 0; i < len - 1;) {
        size_t n = utf8_char((const uint8_t *)line + i, len - 1 - i);
        if (n == 0 || (unsigned char)line[i] < 0x20) {
            return false;
        }
        if (line[i] == '\\') {
            i++; /* never a plain multi-byte character behind it */
        } else if (line[i] == '"') {
            quotes++;
        }
        i += n;
    }
    return quotes % 2 == 0;
}

static void test_hostile(void)
{
    static char message[4096], many[12][512];
    struct log_field list[13] = {{0}};
    struct prng r;
    prng_init(&r, 7);
    for (int run = 0; run < 3000; run++) {
        size_t len = prng_below(&r, sizeof(message) - 1);
        for (size_t i = 0; i < len; i++) {
            message[i] = (char)(1 + prng_below(&r, 255));
        }
        message[len] = '\0';
        for (int k = 0; k < 12; k++) {
            size_t n = prng_below(&r, sizeof(many[k]) - 1);
            memset(many[k], run % 3 == 0 ? 1 : (int)(1 + prng_below(&r, 255)), n);
            many[k][n] = '\0';
            list[k] = (struct log_field)LOG_TEXT("key", many[k]);
        }
        struct log_form f = form(message);
        f.fields = list;
        f.dropped = INT64_MAX;
        size_t n = log_form_json(&f, out);
        OK(n <= LOG_FORM_BYTES && is_one_json_line(out, n));
        n = log_form_text(&f, out);
        OK(n <= LOG_FORM_BYTES && memchr(out, '\n', n) == out + n - 1);
        OK(log_form_journal(&f, out) <= LOG_FORM_BYTES);
        if (tap_broken) {
            return;
        }
    }
}

/* What log_event() writes to stderr, meanwhile a pipe. */
static int saved, pipes[2];

static void catch_begin(void)
{
    fflush(stderr);
    saved = dup(STDERR_FILENO);
    OK(pipe(pipes) == 0 && dup2(pipes[1], STDERR_FILENO) == STDERR_FILENO);
    fcntl(pipes[0], F_SETFL, O_NONBLOCK);
}

static const char *catch_end(void)
{
    static char text[60000];
    dup2(saved, STDERR_FILENO);
    ssize_t n = read(pipes[0], text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    close(saved);
    close(pipes[0]);
    close(pipes[1]);
    return text;
}

static size_t count_lines(const char *text)
{
    size_t n = 0;
    for (; (text = strchr(text, '\n')); text++) {
        n++;
    }
    return n;
}

static void test_level_and_form(void)
{
    catch_begin();
    log_event(LOG_SHARD_REPLAYED, NULL, "shard: %d", 1); /* AUTO, and stderr is a pipe: JSON */
    const char *text = catch_end();
    OK(strncmp(text, "{\"time\":\"", 9) == 0 && strstr(text, "\"message\":\"shard: 1\"}\n"));
    log_set_format(LOG_FORMAT_TEXT);
    log_set_level(LOG_LEVEL_WARN);
    catch_begin();
    log_info("not this");
    log_warn("but %s", "this");
    text = catch_end();
    EQ(count_lines(text), 1);
    OK(strstr(text, " warn FS-1001 but this\n"));
    log_set_level(LOG_LEVEL_INFO);
}

static void test_burst(void)
{
    catch_begin();
    for (int i = 0; i < 1000; i++) {
        log_event(LOG_SHARD_CONNECTED, NULL, "again");
    }
    size_t lines = count_lines(catch_end());
    OK(lines >= 5 && lines <= 10); /* the interval may end meanwhile */
    catch_begin();
    for (int i = 0; i < 300; i++) {
        log_event(LOG_ACCESS, NULL, "x");
    }
    EQ(count_lines(catch_end()), 300);
}

/* Nobody reads: nobody waits, and the next line says how many were lost. */
static void test_unread(void)
{
    static char junk[4096];
    catch_begin();
    fcntl(pipes[1], F_SETFL, O_NONBLOCK);
    while (write(pipes[1], junk, sizeof(junk)) > 0) {
    }
    fcntl(pipes[1], F_SETFL, 0); /* a write would wait now */
    for (int i = 0; i < 1000; i++) {
        log_event(LOG_ACCESS, NULL, "lost");
    }
    while (read(pipes[0], junk, sizeof(junk)) > 0) {
    }
    log_event(LOG_ACCESS, NULL, "kept");
    const char *text = catch_end();
    OK(strstr(text, " info FS-2900 kept (and 1000 such lines before it)\n"));
    EQ(count_lines(text), 1);
    EQ(metrics_sum(METRICS_AT_log_lines_dropped_total + LOG_LEVEL_INFO) > 999, 1);
}

static void test_socket(void)
{
    char folder[] = "/tmp/fairslot-log-XXXXXX", path[64];
    OK(mkdtemp(folder) != NULL);
    snprintf(path, sizeof(path), "%s/socket", folder);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    OK(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0);
    log_set_journal(path);
    log_set_format(LOG_FORMAT_JOURNAL);
    catch_begin();
    log_event(LOG_DISK_LOW, fields, "low");
    EQS(catch_end(), "");
    ssize_t n = recv(fd, out, sizeof(out) - 1, MSG_DONTWAIT);
    OK(n > 0 && memcmp(out, "MESSAGE=low\nPRIORITY=4\n", 23) == 0);
    close(fd);
    unlink(path);
    log_set_journal(path); /* it is gone: JSON on stderr, nothing is lost */
    catch_begin();
    log_warn("still");
    OK(strstr(catch_end(), "\"message\":\"still\"}\n"));
    log_set_format(LOG_FORMAT_TEXT);
    rmdir(folder);
}

/* A child whose stderr is the "journal": AUTO finds it. */
static void test_auto_journal(void)
{
    struct stat st;
    char stream[64];
    log_set_format(LOG_FORMAT_AUTO);
    log_set_journal("/nonexistent/socket");
    catch_begin();
    OK(fstat(STDERR_FILENO, &st) == 0);
    snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    log_warn("no socket");
    unsetenv("JOURNAL_STREAM");
    OK(strstr(catch_end(), "\"message\":\"no socket\"}\n"));
    log_set_format(LOG_FORMAT_TEXT);
}

int main(void)
{
    TAP_RUN(test_text);
    TAP_RUN(test_json);
    TAP_RUN(test_journal);
    TAP_RUN(test_hostile);
    TAP_RUN(test_level_and_form);
    TAP_RUN(test_burst);
    TAP_RUN(test_unread);
    TAP_RUN(test_socket);
    TAP_RUN(test_auto_journal);
    return tap_done();
}

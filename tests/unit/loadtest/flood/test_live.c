/* SPDX-License-Identifier: MIT */
/* Goal: the live view draws in place on a terminal, a line a population with bar, share and what is
 * left to go, and writes plain lines where there is none, or NO_COLOR is set. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/check.h"
#include "flood/run.h"
#include "tests/lib/tap.h"

static struct plan plan;
static struct result result;

static void begin(void)
{
    memset(&plan, 0, sizeof plan);
    result_init(&result);
    plan.scenario.populations_count = 2;
    plan.scenario.mode = CROWD_LIVE;
    plan.scenario.grace_us = 1000000;
    strcpy(plan.scenario.populations[0].name, "people");
    strcpy(plan.scenario.populations[1].name, "bots");
    plan.scenario.populations[0].identities = 200;
    plan.scenario.populations[1].identities = 50;
    plan.slots_count = 40;
    plan.window_us = 10000000;
    plan.end_us = 60000000;
    result.parties[0].decided = 100;
    result.parties[0].won = 10;
    result.parties[1].decided = 50;
    result.parties[1].won = 30;
}

/* What is drawn at these moments, to be freed. */
static char *drawn(bool is_terminal, const int64_t *moments_us, size_t count)
{
    char *text = NULL;
    size_t len;
    struct live l;
    FILE *out = open_memstream(&text, &len);
    OK(out != NULL);
    l = (struct live){.out = out, .is_terminal = is_terminal, .last_us = INT64_MIN / 2};
    for (size_t i = 0; i < count; i++) {
        live_show(&l, &plan, &result, moments_us[i], false);
    }
    fclose(out);
    return text;
}

static size_t count_of(const char *text, const char *word)
{
    size_t n = 0;
    for (const char *at = strstr(text, word); at; at = strstr(at + 1, word)) {
        n++;
    }
    return n;
}

static void test_on_a_terminal(void)
{
    static const int64_t moments[] = {2000000, 2250000, 2500000};
    begin();
    char *text = drawn(true, moments, 3);
    EQ(count_of(text, "\n"), 9);
    EQ(count_of(text, "\033[3A"), 2); /* the second and third are drawn over the first */
    EQ(count_of(text, "100 of 200     decided"), 3);
    EQ(count_of(text, "\u2588\u2588\u2588\u2588\u2588\u2588\u2591"), 3);
    EQ(count_of(text, "30 slots  75.0 %"), 3);
    EQ(count_of(text, "about 10 s to go"), 3); /* window, grace and a second, less 2 to 2.5 */
    free(text);
}

/* Columns of its longest line; escapes and the bytes behind a letter's first take none. */
static size_t widest(const char *text)
{
    size_t most = 0, now = 0;
    for (const char *at = text; *at; at++) {
        if (*at == '\033') {
            at += strcspn(at, "AK");
        } else if (*at == '\n') {
            now = 0;
        } else {
            now += ((uint8_t)*at & 0xc0) != 0x80;
        }
        most = now > most ? now : most;
    }
    return most;
}

static void test_no_line_wraps(void)
{
    static const int64_t moments[] = {-9000000};
    begin();
    strcpy(plan.scenario.populations[0].name, "a-name-of-thirty-letters-and-1");
    plan.scenario.populations[0].identities = 1234567;
    result.parties[0].decided = 1234567;
    result.parties[0].won = plan.slots_count = 123456;
    char *text = drawn(true, moments, 1);
    OK(widest(text) < 80);
    free(text);
}

static void test_plain_lines(void)
{
    static const int64_t moments[] = {-100000, 250000, 500000, 1899999, 2000000, 2250000, 4000000};
    begin();
    char *text = drawn(false, moments, ARRAY_COUNT(moments));
    EQ(count_of(text, "\n"), 3); /* one in two seconds */
    EQ(count_of(text, "\033"), 0);
    EQ(count_of(text, "live: opens in 0.1 s, "), 1);
    EQ(count_of(text, "live: 2.0 s, "), 1);
    EQ(count_of(text, "bots: 50 of 50 decided, 30 slots\n"), 3);
    free(text);
}

static void test_who_is_a_terminal(void)
{
    struct live l;
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    OK(master >= 0);
    OK(grantpt(master) == 0 && unlockpt(master) == 0);
    int end = open(ptsname(master), O_RDWR | O_NOCTTY); /* not this process's own terminal */
    FILE *screen = end < 0 ? NULL : fdopen(end, "r+");
    OK(screen != NULL);
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
    live_init(&l, screen);
    OK(l.is_terminal);
    struct winsize narrow = {.ws_row = 24, .ws_col = 79}, wide = {.ws_row = 24, .ws_col = 80};
    OK(ioctl(end, TIOCSWINSZ, &narrow) == 0);
    live_init(&l, screen);
    OK(!l.is_terminal); /* lines that wrap cannot be drawn over */
    OK(ioctl(end, TIOCSWINSZ, &wide) == 0);
    live_init(&l, screen);
    OK(l.is_terminal);
    setenv("NO_COLOR", "1", 1);
    live_init(&l, screen);
    OK(!l.is_terminal);
    unsetenv("NO_COLOR");
    setenv("TERM", "dumb", 1);
    live_init(&l, screen);
    OK(!l.is_terminal);
    fclose(screen);
    close(master);
}

int main(void)
{
    TAP_RUN(test_on_a_terminal);
    TAP_RUN(test_no_line_wraps);
    TAP_RUN(test_plain_lines);
    TAP_RUN(test_who_is_a_terminal);
    return tap_done();
}

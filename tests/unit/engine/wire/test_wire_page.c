/* SPDX-License-Identifier: MIT */
/* Pages: what is a request, what is not, and what each way of being wrong gets. */
#include "wire/page.h"

#include "base/limits.h"
#include "base/prng.h"
#include "tests/lib/tap.h"

static char asked[512];
static char got[70000];

static void get(void *user, struct wire_page *page, const char *path)
{
    snprintf(asked + strlen(asked), sizeof(asked) - strlen(asked), "%s;", path);
    wire_page_answer(page, strcmp(path, "/a") == 0 ? 200 : 404, "text/plain",
                     (struct span){(const uint8_t *)"body\n", 5});
}

static const struct wire_page_ops ops = {.get = get};

static const char *take(struct wire_page *page)
{
    size_t len = 0;
    struct span out;
    while ((out = wire_page_output(page)).len) {
        size_t n = out.len > 7 ? 7 : out.len; /* in pieces, as a socket takes it */
        memcpy(got + len, out.ptr, n);
        len += n;
        wire_page_sent(page, n);
    }
    got[len] = '\0';
    return got;
}

static void feed(struct wire_page *page, const char *text, size_t len, size_t step)
{
    for (size_t i = 0; i < len; i += step) {
        wire_page_receive(page, (const uint8_t *)text + i, len - i < step ? len - i : step);
    }
}

static void test_requests(void)
{
    static const char one[] = "GET /a?x=1 HTTP/1.1\r\nHost: h\r\n\r\n";
    for (size_t step = 1; step < sizeof(one); step++) {
        struct wire_page *page = wire_page_new(&ops, NULL);
        asked[0] = '\0';
        for (int i = 0; i < 3; i++) { /* the connection stays */
            feed(page, one, sizeof(one) - 1, step);
            EQS(take(page), "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n"
                            "Cache-Control: no-store\r\n\r\nbody\n");
            OK(!wire_page_done(page));
        }
        EQS(asked, "/a;/a;/a;");
        wire_page_free(page);
    }
}

static struct wire_page *ask(const char *text)
{
    struct wire_page *page = wire_page_new(&ops, NULL);
    asked[0] = '\0';
    feed(page, text, strlen(text), 1000);
    take(page);
    return page;
}

/* The answer begins so; `closes`: and it was the last. */
static void expect(const char *text, const char *begins, bool closes)
{
    struct wire_page *page = ask(text);
    OK(strncmp(got, begins, strlen(begins)) == 0);
    OK(wire_page_done(page) == closes);
    if (tap_broken) {
        printf("# %s -> %s\n", text, got);
    }
    wire_page_free(page);
}

static void test_kinds(void)
{
    expect("HEAD /a HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\n", false);
    OK(strstr(got, "Content-Length: 5\r\n") && !strstr(got, "body"));
    expect("GET /b HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 404 Not Found\r\n", false);
    expect("GET /a HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n", true);
    OK(strstr(got, "Connection: close\r\n"));
    expect("GET /a HTTP/1.1\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK\r\n", true);
    expect("DELETE /a HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 405 ", true);
    OK(strstr(got, "Allow: GET, HEAD\r\n"));
    expect("POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 413 ", true);
    expect("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.1 413 ",
           true);
    expect("GET /a HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", "HTTP/1.1 413 ", true);
    expect("hello\r\n\r\n", "HTTP/1.1 400 ", true);
    expect("\x16\x03\x01\x02\x01\x01\xfc\x03\x03", "HTTP/1.1 400 ", true); /* TLS */
    expect("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 ", true);
    expect("GET /a HTTP/1.1\r\nContent-Length: x\r\n\r\n", "HTTP/1.1 400 ", true);
    /* The first of two is answered. */
    expect("GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n", true);
    EQS(asked, "/a;");
    expect("GET /a", "", false);
}

static void test_long(void)
{
    static char text[PAGE_BYTES_MAX + 100];
    size_t head = (size_t)sprintf(text, "GET /a HTTP/1.1\r\nX: ");
    memset(text + head, 'x', sizeof(text) - head - 1);
    expect(text, "HTTP/1.1 431 ", true);
    EQS(asked, "");
    head = (size_t)sprintf(text, "GET /");
    memset(text + head, 'y', 4000);
    sprintf(text + head + 4000, " HTTP/1.1\r\n\r\n");
    expect(text, "HTTP/1.1 404 ", false);
    EQS(asked, ";"); /* nobody's page */
}

/* Does not wait for its answer. */
static void test_impatient(void)
{
    struct wire_page *page = wire_page_new(&ops, NULL);
    static const char one[] = "GET /a HTTP/1.1\r\n\r\n";
    feed(page, one, sizeof(one) - 1, 100);
    feed(page, one, sizeof(one) - 1, 100);
    OK(!wire_page_done(page)); /* the first answer still leaves */
    OK(strncmp(take(page), "HTTP/1.1 200", 12) == 0);
    OK(wire_page_done(page));
    wire_page_free(page);
}

static void test_noise(void)
{
    static const char seed[] = "GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n";
    struct prng r;
    prng_init(&r, 3);
    for (int run = 0; run < 20000; run++) {
        char text[sizeof(seed)];
        memcpy(text, seed, sizeof(seed));
        for (int i = 0; i < 3; i++) {
            text[prng_below(&r, sizeof(seed) - 1)] = (char)prng_below(&r, 256);
        }
        struct wire_page *page = wire_page_new(&ops, NULL);
        asked[0] = '\0';
        feed(page, text, sizeof(seed) - 1, 1 + prng_below(&r, 50));
        take(page);
        OK(got[0] == '\0' || strncmp(got, "HTTP/1.1 ", 9) == 0);
        wire_page_free(page);
    }
    wire_page_free(NULL);
}

int main(void)
{
    TAP_RUN(test_requests);
    TAP_RUN(test_kinds);
    TAP_RUN(test_long);
    TAP_RUN(test_impatient);
    TAP_RUN(test_noise);
    return tap_done();
}

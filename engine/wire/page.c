/* SPDX-License-Identifier: MIT */
/* Pages: GET and HEAD over HTTP/1.1.
 *   bytes -> llhttp -> whole request -> ops.get -> head and body in one piece -> out
 * Owns: the parser's state, the answer under way.
 * Happy path: one request, one answer, and the connection stays for the next.
 * Fails by an answer (400, 404 by the caller, 405, 413, 431) and the end of the connection; without
 * memory by the end alone.
 * Invariants: at most PAGE_BYTES_MAX bytes of a request are read; nobody's body is; bytes behind a
 * request are not kept (who pipes gets the first answer, and the end). */
#include "wire/page.h"

#include <llhttp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/limit.h"
#include "base/limits.h"

struct wire_page {
    const struct wire_page_ops *ops; /* borrowed */
    void *user;
    llhttp_t parser;
    size_t request_bytes; /* of the request that is coming */
    size_t path_len;
    uint8_t *out;         /* owned; the answer */
    size_t out_len;
    size_t out_sent;
    bool is_answered;     /* the request that is coming, or came last */
    bool is_over;         /* nothing more is read */
    bool is_long;         /* a request was longer than it may be */
    bool is_head;         /* HEAD: no body */
    char path[64];        /* of the request; longer ones are nobody's page */
};

static struct span page_text(const char *text)
{
    return (struct span){(const uint8_t *)text, strlen(text)};
}

static const char *page_status_text(int status)
{
    switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 413: return "Content Too Large";
    case 431: return "Request Header Fields Too Large";
    default: return "Service Unavailable";
    }
}

void wire_page_answer(struct wire_page *page, int status, const char *type, struct span body)
{
    char head[320];
    CHECK(!page->is_answered);
    CHECK(page->out == NULL);
    page->is_answered = true;
    int n = snprintf(head, sizeof(head),
                     "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                     "Cache-Control: no-store\r\n%s%s\r\n",
                     status, page_status_text(status), type, body.len,
                     status == 405 ? "Allow: GET, HEAD\r\n" : "",
                     page->is_over ? "Connection: close\r\n" : "");
    CHECK(n > 0 && (size_t)n < sizeof(head));
    size_t body_len = page->is_head ? 0 : body.len;
    page->out = malloc((size_t)n + body_len);
    if (page->out == NULL) {
        page->is_over = true;
        return;
    }
    memcpy(page->out, head, (size_t)n);
    if (body_len) {
        memcpy(page->out + n, body.ptr, body_len);
    }
    page->out_len = (size_t)n + body_len;
    page->out_sent = 0;
}

/* The last word. */
static void page_refuse(struct wire_page *page, int status, const char *text)
{
    page->is_over = true;
    if (!page->is_answered && page->out == NULL) {
        page->is_head = false;
        wire_page_answer(page, status, "text/plain; charset=utf-8", page_text(text));
    }
}

static int page_on_begin(llhttp_t *parser)
{
    struct wire_page *page = parser->data;
    page->path_len = 0;
    page->is_answered = false;
    page->is_head = false;
    return 0;
}

static int page_on_url(llhttp_t *parser, const char *at, size_t len)
{
    struct wire_page *page = parser->data;
    for (size_t i = 0; i < len && page->path_len < sizeof(page->path); i++) {
        page->path[page->path_len++] = at[i];
    }
    return 0;
}

static int page_on_headers(llhttp_t *parser)
{
    struct wire_page *page = parser->data;
    bool has_body = (parser->flags & F_CHUNKED) != 0 || parser->content_length > 0;
    if (has_body || parser->upgrade) {
        page_refuse(page, 413, "no body, please\n");
        return -1;
    }
    return 0;
}

static int page_on_complete(llhttp_t *parser)
{
    struct wire_page *page = parser->data;
    page->is_over = !llhttp_should_keep_alive(parser);
    page->is_head = parser->method == HTTP_HEAD;
    if (parser->method != HTTP_GET && parser->method != HTTP_HEAD) {
        page_refuse(page, 405, "GET or HEAD\n");
        return HPE_PAUSED;
    }
    bool fits = page->path_len < sizeof(page->path);
    page->path[fits ? page->path_len : 0] = '\0';
    page->path[strcspn(page->path, "?")] = '\0';
    page->ops->get(page->user, page, page->path);
    CHECK(page->is_answered);
    return HPE_PAUSED;
}

static const llhttp_settings_t page_settings = {
    .on_message_begin = page_on_begin,
    .on_url = page_on_url,
    .on_headers_complete = page_on_headers,
    .on_message_complete = page_on_complete,
};

struct wire_page *wire_page_new(const struct wire_page_ops *ops, void *user)
{
    struct wire_page *page = calloc(1, sizeof(*page));
    if (page) {
        page->ops = ops;
        page->user = user;
        llhttp_init(&page->parser, HTTP_REQUEST, &page_settings);
        page->parser.data = page;
    }
    return page;
}

void wire_page_free(struct wire_page *page)
{
    if (page) {
        free(page->out);
        free(page);
    }
}

void wire_page_receive(struct wire_page *page, const uint8_t *bytes, size_t n)
{
    if (page->is_over) {
        return;
    }
    if (page->out) {
        page->is_over = true; /* it does not wait for its answer */
        return;
    }
    page->request_bytes += n;
    size_t over = page->request_bytes > PAGE_BYTES_MAX && limit_is_on("ops_long")
                      ? page->request_bytes - PAGE_BYTES_MAX : 0;
    const char *from = (const char *)bytes;
    llhttp_errno_t error = llhttp_execute(&page->parser, from, n - (over < n ? over : n));
    if (error == HPE_PAUSED) {
        bool more = llhttp_get_error_pos(&page->parser) < from + n;
        page->is_over = page->is_over || more;
        llhttp_resume(&page->parser);
        page->request_bytes = 0;
    } else if (error != HPE_OK) {
        page_refuse(page, 400, "this is no HTTP/1.1 request\n");
    } else if (over) {
        page->is_long = true;
        page_refuse(page, 431, "the request is too long\n");
    }
}

bool wire_page_is_long(const struct wire_page *page)
{
    return page->is_long;
}

struct span wire_page_output(const struct wire_page *page)
{
    return (struct span){page->out ? page->out + page->out_sent : NULL,
                         page->out_len - page->out_sent};
}

void wire_page_sent(struct wire_page *page, size_t n)
{
    CHECK(n <= page->out_len - page->out_sent);
    page->out_sent += n;
    if (page->out && page->out_sent == page->out_len) {
        free(page->out);
        page->out = NULL;
        page->out_len = page->out_sent = 0;
    }
}

bool wire_page_done(const struct wire_page *page)
{
    return page->is_over && page->out == NULL;
}

/* SPDX-License-Identifier: MIT */
/* Reflection: tools ask, and get the files as protoc wrote them.
 * Owns: nothing; the index is symbols.c.  One walk finds the question, one answer is packed by
 * hand: sizes first, then bytes.  A file is answered alone, without what it imports: tools ask for
 * imports by name, and one answer stays small.
 * Fails: a question without an answer is an error_response on a stream that goes on; bytes that are
 * no request end it with status 3; a client that does not read, with 8 (answer.c).
 * A stream has DEADLINE_MS_MAX at most: it holds a call of the pool and needs no token. */
#include "gateway/reflect.h"

#include <errno.h>

#include "base/bytes.h"
#include "base/check.h"
#include "base/err.h"
#include "gateway/answer.h"
#include "gateway/call.h"
#include "gateway/inside.h"
#include "gateway/pb.h"
#include "gateway/symbols.h"

/* Fields of ServerReflectionRequest and ServerReflectionResponse. */
enum {
    ASK_FILE_BY_FILENAME = 3, ASK_FILE_CONTAINING_SYMBOL = 4, ASK_FILE_CONTAINING_EXTENSION = 5,
    ASK_EXTENSION_NUMBERS = 6, ASK_LIST_SERVICES = 7,
    SAY_ORIGINAL_REQUEST = 2, SAY_FILES = 4, SAY_SERVICES = 6, SAY_ERROR = 7,
    FILES_FILE = 1, SERVICES_SERVICE = 1, SERVICE_NAME = 1, ERROR_CODE = 1, ERROR_MESSAGE = 2,
};

enum { CODE_INVALID_ARGUMENT = 3, CODE_NOT_FOUND = 5, CODE_UNIMPLEMENTED = 12 };

/* A response under way: the echo of its request is written by begin. */
static int reflect_begin(struct arena *arena, struct span request, uint32_t field, size_t body_len,
                         struct scribe *ret_scribe)
{
    size_t len = pb_bytes_len(request.len) + pb_bytes_len(body_len);
    uint8_t *p = arena_alloc(arena, len);
    if (p == NULL) {
        return err_origin(-ENOMEM);
    }
    *ret_scribe = scribe_of(p, len);
    pb_put_bytes(ret_scribe, SAY_ORIGINAL_REQUEST, request);
    pb_put_head(ret_scribe, field, body_len);
    return 0;
}

static struct span reflect_end(const struct scribe *w)
{
    CHECK(!w->bad);
    CHECK(w->at == w->end);
    return (struct span){w->start, scribe_len(w)};
}

static int reflect_error(struct arena *arena, struct span request, unsigned code,
                         const char *text, struct span *ret_response)
{
    struct span message = span_of(text);
    struct scribe w;
    int r = reflect_begin(arena, request, SAY_ERROR, 2 + pb_bytes_len(message.len), &w);
    if (r) {
        return err_trace(r);
    }
    pb_put_uint(&w, ERROR_CODE, code);
    pb_put_bytes(&w, ERROR_MESSAGE, message);
    *ret_response = reflect_end(&w);
    return 0;
}

static int reflect_file(const struct symbols_file *file, struct span request, struct arena *arena,
                        struct span *ret_response)
{
    if (file == NULL) {
        return err_trace(reflect_error(arena, request, CODE_NOT_FOUND, "not found", ret_response));
    }
    struct scribe w;
    int r = reflect_begin(arena, request, SAY_FILES, pb_bytes_len(file->bytes.len), &w);
    if (r) {
        return err_trace(r);
    }
    pb_put_bytes(&w, FILES_FILE, file->bytes);
    *ret_response = reflect_end(&w);
    return 0;
}

static int reflect_services(const struct symbols *symbols, struct span request,
                            struct arena *arena, struct span *ret_response)
{
    size_t len = 0;
    for (size_t i = 0; i < symbols->services_count; i++) {
        len += pb_bytes_len(pb_bytes_len(symbols->services[i].len));
    }
    struct scribe w;
    int r = reflect_begin(arena, request, SAY_SERVICES, len, &w);
    if (r) {
        return err_trace(r);
    }
    for (size_t i = 0; i < symbols->services_count; i++) {
        pb_put_head(&w, SERVICES_SERVICE, pb_bytes_len(symbols->services[i].len));
        pb_put_bytes(&w, SERVICE_NAME, symbols->services[i]);
    }
    *ret_response = reflect_end(&w);
    return 0;
}

int reflect_ask(const struct symbols *symbols, struct span request, struct arena *arena,
                struct span *ret_response)
{
    struct pb_field f, question = {0};
    struct reader r = reader_of(request.ptr, request.len);
    while (pb_next(&r, &f)) {
        if (f.number >= ASK_FILE_BY_FILENAME && f.number <= ASK_LIST_SERVICES &&
            f.wire == PB_BYTES) {
            question = f; /* a oneof: the last one counts */
        }
    }
    if (r.bad) {
        return REFLECT_E_MALFORMED;
    }
    switch (question.number) {
    case ASK_FILE_BY_FILENAME:
        return err_trace(reflect_file(symbols_file_by_name(symbols, question.bytes), request, arena,
                                      ret_response));
    case ASK_FILE_CONTAINING_SYMBOL:
        return err_trace(reflect_file(symbols_file_of(symbols, question.bytes), request, arena,
                                      ret_response));
    case ASK_LIST_SERVICES:
        return err_trace(reflect_services(symbols, request, arena, ret_response));
    case ASK_FILE_CONTAINING_EXTENSION:
        return err_trace(reflect_error(arena, request, CODE_NOT_FOUND,
                                       "this API has no extensions", ret_response));
    case ASK_EXTENSION_NUMBERS:
        return err_trace(reflect_error(arena, request, CODE_UNIMPLEMENTED,
                                       "this API has no extensions", ret_response));
    default:
        return err_trace(reflect_error(arena, request, CODE_INVALID_ARGUMENT, "no question",
                                       ret_response));
    }
}

void reflect_open(struct call *call)
{
    struct gateway *g = call_gateway(call);
    if (g->phase != GATEWAY_OPEN) {
        answer_reason(call, REASON_SHUTTING_DOWN, NULL);
        return;
    }
    call_move(call, CALL_STREAM);
    list_push(&g->reflections, &call->link);
    if (!call->has_own_deadline) {
        deadline_arm(&g->deadlines, &call->deadline, uv_now(&g->loop) + DEADLINE_MS_MAX);
    }
}

void reflect_message(struct call *call, struct span message)
{
    struct gateway *g = call_gateway(call);
    struct span response;
    int verdict = reflect_ask(g->symbols, message, &g->scratch, &response);
    if (verdict == 0) {
        answer_part(call, response);
    } else if (verdict > 0) {
        answer_reason(call, REASON_MESSAGE_MALFORMED, NULL);
    } else {
        answer_reason(call, REASON_INTERNAL, NULL);
    }
    arena_reset(&g->scratch);
}

void reflect_half_closed(struct call *call)
{
    answer_end(call);
}

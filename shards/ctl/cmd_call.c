/* SPDX-License-Identifier: MIT */
/* fairslot call METHOD [JSON]: any method of the API, in JSON both ways.
 *   JSON (word, @FILE or -) -> packed request -> gRPC -> each message -> one line of JSON
 * For trying out, for scripts, and for what has no verb of its own.
 * Owns the request's text and an arena.  Fails by telling: wrong JSON is usage (2), a refusal has
 * the exit code of every other verb.  A stream is printed as it comes; --limit ends it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/limits.h"
#include "ctl/cmd.h"
#include "ctl/keyfile.h"
#include "ctl/method.h"
#include "ctl/options.h"
#include "ctl/render.h"
#include "ctl/session.h"
#include "ctl/talk.h"
#include "proto/codec_json.h"

#define CMD_CALL_JSON_MAX   (1024 * 1024) /* bytes of a request's text; packed it has MESSAGE_MAX */
#define CMD_CALL_ARENA_MAX  (64 * 1024 * 1024)
#define CMD_CALL_TIMEOUT_S  10
#define CMD_CALL_LIMIT_MAX  1000000000L

/* What the verb was told. */
struct cmd_call {
    struct options_call call;
    char path[METHOD_PATH_MAX];
    int64_t timeout_s;
    long limit;       /* answers; 0: all there are */
    long count;       /* answers so far */
    bool is_unprinted; /* an answer could not be decoded or written */
};

/* "-": all of stdin, with a 0 behind it, to be freed.  0, KEYFILE_E_LARGE or < 0. */
static int cmd_call_stdin(char **ret_text)
{
    char *text = malloc(CMD_CALL_JSON_MAX + 2);
    if (!text) {
        return err_origin(-ENOMEM);
    }
    size_t len = fread(text, 1, CMD_CALL_JSON_MAX + 1, stdin);
    int r = ferror(stdin) ? err_origin(-EIO) : len > CMD_CALL_JSON_MAX ? KEYFILE_E_LARGE : 0;
    if (r) {
        free(text);
        return r;
    }
    text[len] = '\0';
    *ret_text = text;
    return 0;
}

/* The request's text, to be freed.  VERB_OK, or told. */
static int cmd_call_text(const char *word, char **ret_text)
{
    int r = 0;
    if (strcmp(word, "-") == 0) {
        r = cmd_call_stdin(ret_text);
    } else if (word[0] == '@') {
        r = keyfile_read(word + 1, CMD_CALL_JSON_MAX, ret_text, NULL);
    } else {
        *ret_text = strdup(word);
        r = *ret_text ? 0 : err_origin(-ENOMEM);
    }
    if (r == 0) {
        return VERB_OK;
    }
    talk_error("cannot read the request%s%s: %s", word[0] == '@' ? " in " : "",
               word[0] == '@' ? word + 1 : "",
               r == KEYFILE_E_MISSING ? "no such file"
               : r == KEYFILE_E_LARGE ? "more than 1 MiB" : strerror(-r));
    talk_next("give JSON as a word, @FILE, or - for stdin");
    return VERB_FAILED;
}

/* Prints each answer as it comes. */
static bool cmd_call_hear(void *user, struct span message)
{
    struct cmd_call *c = user;
    struct arena arena;
    struct span json;
    arena_init(&arena, CMD_CALL_ARENA_MAX);
    int r = codec_json_answer(span_of(c->path), message, &arena, &json);
    if (r) {
        talk_error("the server's answer cannot be decoded");
    } else {
        fwrite(json.ptr, 1, json.len, stdout);
        putchar('\n');
        r = render_flush() == VERB_OK ? 0 : -EIO;
    }
    arena_fini(&arena);
    c->count++;
    c->is_unprinted = r != 0;
    return r == 0 && (c->limit == 0 || c->count < c->limit);
}

static int cmd_call_send(struct cmd_call *c, struct span request)
{
    struct session *session;
    int r = session_open(&c->call, &session);
    if (r != VERB_OK) {
        return r;
    }
    uint8_t *bytes = malloc(request.len + 64);
    if (!bytes) {
        talk_error("out of memory");
        session_close(session);
        return VERB_FAILED;
    }
    const struct session_stream stream = {
        .path = c->path,
        .request = {bytes, method_add_request_id(c->path, request, bytes)},
        .timeout_us = c->timeout_s * SECOND_US,
        .hear = cmd_call_hear,
        .user = c,
    };
    r = session_stream(session, &stream);
    free(bytes);
    session_close(session);
    return r == VERB_OK && c->is_unprinted ? VERB_FAILED : r;
}

static int cmd_call_do(struct cmd_call *c, const char *word)
{
    char *text;
    int r = cmd_call_text(word, &text);
    if (r != VERB_OK) {
        return r;
    }
    struct arena arena;
    struct span request;
    const char *detail = "it is too large";
    arena_init(&arena, CMD_CALL_ARENA_MAX);
    r = codec_json_request_strict(span_of(c->path), span_of(text), &arena, &request, &detail);
    if (r == 0) {
        r = cmd_call_send(c, request);
    } else {
        talk_error("the request is wrong: %s", detail);
        talk_next("fairslot call --describe %s", c->path + 1);
        r = VERB_USAGE;
    }
    arena_fini(&arena);
    free(text);
    return r;
}

/* Options that are numbers.  VERB_OK, or told. */
static int cmd_call_numbers(const struct verb *verb, struct cmd_call *c, const char *timeout,
                            const char *limit)
{
    c->timeout_s = CMD_CALL_TIMEOUT_S;
    if (timeout && !value_duration(timeout, &c->timeout_s)) {
        return options_wrong(verb, "timeout", timeout, "write 90s, 10m or 1h");
    }
    if (limit && !value_count(limit, 1, CMD_CALL_LIMIT_MAX, &c->limit)) {
        return options_wrong(verb, "limit", limit, "a number from 1 to 1000000000");
    }
    return options_call_check(verb, &c->call);
}

int cmd_call(const struct verb *verb, int argc, char **argv)
{
    struct cmd_call c = {.limit = 0};
    struct options_words words;
    const char *timeout = NULL, *limit = NULL, *describe = NULL;
    bool list = false;
    const struct options_spec specs[] = {
        {"list", 0, .flag = &list}, {"describe", 0, .text = &describe},
        {"timeout", 0, .text = &timeout}, {"limit", 0, .text = &limit},
        OPTIONS_SERVER(&c.call), {NULL},
    };
    const struct options_rule rule = {specs, 0, 2, "a METHOD"};
    options_call_init(&c.call);
    int r = options_parse(verb, &rule, argc, argv, &words);
    if (r != 0) {
        return options_exit(r);
    }
    if (list) {
        method_list();
        return render_flush();
    }
    const char *word = describe ? describe : words.count > 0 ? words.at[0] : NULL;
    if (!word) {
        talk_error("fairslot call needs a METHOD");
        talk_next("fairslot call --list");
        return VERB_USAGE;
    }
    if (method_find(word, c.path) != 0) {
        return VERB_USAGE;
    }
    if (describe) {
        method_describe(c.path);
        return render_flush();
    }
    r = cmd_call_numbers(verb, &c, timeout, limit);
    return r == VERB_OK ? cmd_call_do(&c, words.count > 1 ? words.at[1] : "{}") : r;
}

/* SPDX-License-Identifier: MIT */
/* fairslot release report NAME --bundle DIR: writes the bundle that anybody can verify.
 *   ExportRelease (a stream) -> each piece behind what came of its file -> DIR
 * What it writes is what the server says; whether that is true is for `release verify`, which this
 * verb does not call: a report that checked itself would prove nothing.
 * Owns one open file, and takes no name of one but those of docs/draw.md, "Bundle".  An export that
 * is broken off leaves files that verify finds incomplete.  Every failure was told. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/limits.h"
#include "ctl/cmd_release.h"
#include "ctl/keyfile.h"
#include "ctl/talk.h"

#define REPORT_TIMEOUT_S 3600 /* of a whole bundle */

static const char *const report_files[] = {"manifest", "slots", "signatures", "tickets",
                                           "late", "returns", "parts", "outcome"};

struct report {
    const struct options_call *call;
    const char *dir;
    char name[NAMES_MAX];
    bool is_withheld;
    FILE *file;    /* open: the one under way */
    size_t at;     /* its number; ARRAY_COUNT(report_files): none yet */
    unsigned seen; /* bit n: file n has come */
    size_t lines[ARRAY_COUNT(report_files)];
    int code;      /* of writing */
};

/* -- files ------------------------------------------------------------------------------------- */

static int report_wrong(struct report *r, const char *file)
{
    talk_error("%s/%s: %s", r->dir, file, strerror(errno));
    talk_next("choose a folder that can be written with --bundle");
    return VERB_FAILED;
}

/* Ends the file under way, if there is one. */
static int report_end(struct report *r)
{
    FILE *file = r->file;
    r->file = NULL;
    if (file == NULL) {
        return VERB_OK;
    }
    bool is_broken = ferror(file);
    return fclose(file) != 0 || is_broken ? report_wrong(r, report_files[r->at]) : VERB_OK;
}

/* The next piece is of this file: VERB_OK with it open, or told. */
static int report_turn(struct report *r, const char *name)
{
    char path[KEYFILE_PATH_MAX];
    size_t at = 0;
    while (at < ARRAY_COUNT(report_files) && strcmp(report_files[at], name) != 0) {
        at++;
    }
    if (r->file && at == r->at) {
        return VERB_OK;
    }
    if (at == ARRAY_COUNT(report_files) || r->seen >> at & 1) {
        talk_error("the server sends a file that is none of a bundle, or one of them twice");
        talk_next("is it of another version than this fairslot?");
        return VERB_FAILED;
    }
    int code = report_end(r);
    if (code != VERB_OK) {
        return code;
    }
    r->file = keyfile_path(path, r->dir, name) ? fopen(path, "we") : NULL;
    r->at = at;
    r->seen |= 1u << at;
    return r->file ? VERB_OK : report_wrong(r, name);
}

/* -- the stream -------------------------------------------------------------------------------- */

static int report_piece(struct report *r, const Fairslot__Admin__V1__ExportReleaseResponse *m)
{
    int code = report_turn(r, m->file);
    if (code != VERB_OK) {
        return code;
    }
    for (size_t i = 0; i < m->chunk.len; i++) {
        r->lines[r->at] += m->chunk.data[i] == '\n';
    }
    if (m->chunk.len > 0) { /* of an empty file there is nothing, not even a pointer */
        fwrite(m->chunk.data, 1, m->chunk.len, r->file);
    }
    if (ferror(r->file)) {
        return report_wrong(r, m->file);
    }
    talk_progress(false, "%s: %zu lines", m->file, r->lines[r->at]);
    return VERB_OK;
}

static bool report_hear(void *user, struct span message)
{
    struct report *r = user;
    Fairslot__Admin__V1__ExportReleaseResponse *m =
        fairslot__admin__v1__export_release_response__unpack(NULL, message.len, message.ptr);
    r->code = VERB_FAILED;
    if (m) {
        r->code = report_piece(r, m);
    } else {
        talk_error("the server's answer cannot be read");
    }
    session_free(m);
    return r->code == VERB_OK;
}

static int report_fetch(struct report *r)
{
    Fairslot__Admin__V1__ExportReleaseRequest request =
        FAIRSLOT__ADMIN__V1__EXPORT_RELEASE_REQUEST__INIT;
    struct session *session;
    uint8_t bytes[NAMES_MAX + 16];
    int code = session_open(r->call, &session);
    if (code != VERB_OK) {
        return code;
    }
    request.name = r->name;
    request.withhold_preferences = r->is_withheld;
    const struct session_stream stream = {
        .path = CMD_RELEASE_ADMIN "ExportRelease",
        .request = {bytes, fairslot__admin__v1__export_release_request__pack(&request, bytes)},
        .timeout_us = REPORT_TIMEOUT_S * SECOND_US,
        .hear = report_hear,
        .user = r,
    };
    code = session_stream(session, &stream);
    session_close(session);
    return code == VERB_OK ? r->code : code;
}

static int report_all(struct report *r)
{
    if (keyfile_make_dir(r->dir) != 0) {
        talk_error("cannot make the folder %s", r->dir);
        talk_next("choose a folder that can be written with --bundle");
        return VERB_FAILED;
    }
    int code = report_fetch(r);
    int ended = report_end(r);
    code = code == VERB_OK ? ended : code;
    unsigned may_lack = 1u << 5; /* returns: a server of before */
    if (code == VERB_OK && (r->seen | may_lack) != (1u << ARRAY_COUNT(report_files)) - 1) {
        talk_error("the server's bundle is not whole");
        talk_next("try again; is it of another version than this fairslot?");
        code = VERB_FAILED;
    }
    return code;
}

/* -- the verb ---------------------------------------------------------------------------------- */

int cmd_release_report(const struct verb *verb, int argc, char **argv)
{
    struct options_call call;
    struct options_words words;
    const char *pool = NULL, *dir = NULL, *out = NULL, *suspected = NULL;
    bool is_summary = false;
    struct report r = {.call = &call, .at = ARRAY_COUNT(report_files)};
    const struct options_spec specs[] = {
        {"pool", 0, &pool, NULL}, {"bundle", 0, &dir, NULL}, {"out", 0, &out, NULL},
        {"withhold", 0, NULL, &r.is_withheld}, {"summary", 0, NULL, &is_summary},
        {"suspected", 0, &suspected, NULL}, OPTIONS_CALL(&call), {NULL}};
    const struct options_rule rule = {specs, 1, 1, "a NAME"};
    options_call_init(&call);
    int code = options_parse(verb, &rule, argc, argv, &words);
    if (code != 0) {
        return options_exit(code);
    }
    dir = dir ? dir : out;
    code = options_call_check(verb, &call);
    code = code == VERB_OK ? cmd_release_name(words.at[0], pool, r.name) : code;
    if (code == VERB_OK && (dir == NULL || is_summary || suspected)) {
        code = cmd_release_summary(&call, r.name, suspected);
    }
    if (dir == NULL || code != VERB_OK) {
        return code;
    }
    r.dir = dir;
    code = report_all(&r);
    if (code == VERB_OK) {
        talk_progress(true, "%zu tickets", r.lines[3] + r.lines[4]);
        printf("%s: %zu tickets, %zu slots\n", dir, r.lines[3] + r.lines[4], r.lines[1]);
        talk_next("anybody can check it: fairslot release verify %s", dir);
        code = render_flush();
    }
    return code;
}

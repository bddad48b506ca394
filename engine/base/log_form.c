/* SPDX-License-Identifier: MIT */
/* A log line in its three forms.
 *   text      2026-11-25T20:15:00.123Z warn FS-2101 message key=value
 *   JSON      one object a line (RFC 8259)
 *   journal   KEY=value lines; a value with a line's end as KEY, its length in 8 bytes, the value
 *             (systemd: Native Journal Protocol)
 * Owns nothing.  Fails never: what does not fit is left out at a field's border, so that JSON stays
 * JSON.  Invariant: nothing in a message or field can begin a line, a field or a string. */
#include "base/log_form.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/utf8.h"

/* Bytes on their way out. */
struct form_out {
    char *bytes;
    size_t len;
    size_t room; /* may be used */
};

#define FORM_TAIL  64  /* kept for a line's end */
#define FORM_FIELD 160 /* a field's name, and some of it */

static void form_put(struct form_out *o, const char *text, size_t len)
{
    len = len < o->room - o->len ? len : o->room - o->len;
    memcpy(o->bytes + o->len, text, len);
    o->len += len;
}

static void form_words(struct form_out *o, const char *text)
{
    form_put(o, text, strlen(text));
}

static void form_time(struct form_out *o, int64_t time_us)
{
    char text[40];
    struct tm utc;
    time_t seconds = (time_t)(time_us / 1000000);
    gmtime_r(&seconds, &utc);
    size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + n, sizeof(text) - n, ".%03dZ", (int)(time_us / 1000 % 1000));
    form_words(o, text);
}

/* At most `max` bytes of text, cut at a character: control characters as \u00xx, and quotes and
 * backslashes escaped, as JSON wants it and people can read. */
static void form_escaped(struct form_out *o, const char *text, size_t max, bool json)
{
    size_t len = strnlen(text, max);
    for (size_t i = 0; i < len && o->len + 8 < o->room;) { /* one more, and a quote behind it */
        char code[8];
        unsigned char c = (unsigned char)text[i];
        size_t n = utf8_char((const uint8_t *)text + i, len - i);
        if (n == 0) {
            form_put(o, "\xef\xbf\xbd", 3);
            n = 1;
        } else if (c < 0x20 || c == 0x7f) {
            snprintf(code, sizeof(code), "\\u%04x", c);
            form_words(o, code);
        } else if (json && (c == '"' || c == '\\')) {
            form_put(o, "\\", 1);
            form_put(o, text + i, 1);
        } else {
            form_put(o, text + i, n);
        }
        i += n;
    }
}

static void form_number(struct form_out *o, int64_t number)
{
    char text[24];
    snprintf(text, sizeof(text), "%" PRId64, number);
    form_words(o, text);
}

/* Room for one more field, if only for its beginning? */
static bool form_fits(const struct form_out *o)
{
    return o->room - o->len > FORM_FIELD;
}

size_t log_form_text(const struct log_form *form, char *out)
{
    struct form_out o = {out, 0, LOG_FORM_BYTES - FORM_TAIL};
    char head[48];
    form_time(&o, form->time_us);
    snprintf(head, sizeof(head), " %s FS-%04d ", form->level, form->number);
    form_words(&o, head);
    form_escaped(&o, form->message, LOG_FORM_MESSAGE, false);
    for (const struct log_field *f = form->fields; f && f->key; f++) {
        const char *text = f->text ? f->text : "";
        if (!form_fits(&o)) {
            break;
        }
        form_words(&o, " ");
        form_words(&o, f->key);
        form_words(&o, "=");
        if (f->text) {
            form_escaped(&o, text, LOG_FORM_FIELD, false);
        } else {
            form_number(&o, f->number);
        }
    }
    o.room = LOG_FORM_BYTES;
    if (form->dropped) {
        form_words(&o, " (and ");
        form_number(&o, form->dropped);
        form_words(&o, " such lines before it)");
    }
    form_words(&o, "\n");
    return o.len;
}

static void form_json_text(struct form_out *o, const char *key, const char *text, size_t max)
{
    form_words(o, ",\"");
    form_words(o, key);
    form_words(o, "\":\"");
    form_escaped(o, text, max, true);
    form_words(o, "\"");
}

static void form_json_number(struct form_out *o, const char *key, int64_t number)
{
    form_words(o, ",\"");
    form_words(o, key);
    form_words(o, "\":");
    form_number(o, number);
}

size_t log_form_json(const struct log_form *form, char *out)
{
    struct form_out o = {out, 0, LOG_FORM_BYTES - FORM_TAIL};
    char event[16];
    snprintf(event, sizeof(event), "FS-%04d", form->number);
    form_words(&o, "{\"time\":\"");
    form_time(&o, form->time_us);
    form_words(&o, "\"");
    form_json_text(&o, "level", form->level, LOG_FORM_FIELD);
    form_json_text(&o, "event", event, LOG_FORM_FIELD);
    form_json_text(&o, "name", form->name, LOG_FORM_FIELD);
    form_json_text(&o, "message", form->message, LOG_FORM_MESSAGE);
    for (const struct log_field *f = form->fields; f && f->key; f++) {
        const char *text = f->text ? f->text : "";
        if (!form_fits(&o)) {
            break;
        }
        if (f->text) {
            form_json_text(&o, f->key, text, LOG_FORM_FIELD);
        } else {
            form_json_number(&o, f->key, f->number);
        }
    }
    o.room = LOG_FORM_BYTES; /* what was kept for the end */
    if (form->dropped) {
        form_json_number(&o, "dropped", form->dropped);
    }
    form_words(&o, "}\n");
    return o.len;
}

/* KEY=value, or with its length when the value has a line's end. */
static void form_journal(struct form_out *o, const char *key, const char *text, size_t max)
{
    size_t len = strnlen(text, max);
    if (o->room - o->len < strlen(key) + len + 16) {
        return; /* all of it or nothing: its length stands before it */
    }
    form_words(o, key);
    if (memchr(text, '\n', len) == NULL) {
        form_words(o, "=");
    } else {
        char size[8];
        for (int i = 0; i < 8; i++) {
            size[i] = (char)((uint64_t)len >> 8 * i);
        }
        form_words(o, "\n");
        form_put(o, size, 8);
    }
    form_put(o, text, len);
    form_words(o, "\n");
}

size_t log_form_journal(const struct log_form *form, char *out)
{
    struct form_out o = {out, 0, LOG_FORM_BYTES};
    char text[48];
    form_journal(&o, "MESSAGE", form->message, LOG_FORM_MESSAGE);
    snprintf(text, sizeof(text), "%d", form->priority);
    form_journal(&o, "PRIORITY", text, sizeof(text));
    form_words(&o, "SYSLOG_IDENTIFIER=fairslot\n");
    snprintf(text, sizeof(text), "7d0c9bb2c4f14a5e9e3bf5a1%08x", (unsigned)form->number);
    form_journal(&o, "MESSAGE_ID", text, sizeof(text));
    snprintf(text, sizeof(text), "FS-%04d", form->number);
    form_journal(&o, "FAIRSLOT_EVENT", text, sizeof(text));
    form_journal(&o, "FAIRSLOT_NAME", form->name, LOG_FORM_FIELD);
    if (form->dropped) {
        snprintf(text, sizeof(text), "%" PRId64, form->dropped);
        form_journal(&o, "FAIRSLOT_DROPPED", text, sizeof(text));
    }
    for (const struct log_field *f = form->fields; f && f->key; f++) {
        char key[48] = "FAIRSLOT_";
        size_t n = strlen(key);
        for (const char *at = f->key; *at && n < sizeof(key) - 1; at++) {
            key[n++] = *at >= 'a' && *at <= 'z' ? (char)(*at - 'a' + 'A') : *at;
        }
        key[n] = '\0';
        snprintf(text, sizeof(text), "%" PRId64, f->number);
        form_journal(&o, key, f->text ? f->text : text, LOG_FORM_FIELD);
    }
    return o.len;
}

/* SPDX-License-Identifier: MIT */
/* RFC 4180, and every way to break it. */
#include "ctl/csv.h"
#include "tests/lib/tap.h"

static uint8_t buffer[4096];
static struct csv csv;
static struct csv_record record;

static void feed(const char *bytes, size_t len)
{
    memcpy(buffer, bytes, len);
    csv_init(&csv, buffer, len);
}

#define FEED(literal) feed(literal, sizeof(literal) - 1)

static const char *field(size_t i)
{
    static char text[8][256];
    static int next;
    char *out = text[next++ % 8];
    if (i >= record.count) {
        return "(none)";
    }
    snprintf(out, 256, "%.*s", (int)record.fields[i].len, record.fields[i].ptr);
    return out;
}

static void test_plain(void)
{
    FEED("a,b,c\n1,,3\n,,\n");
    EQ(csv_next(&csv, &record), 0);
    EQ(record.count, 3);
    EQ(record.line, 1);
    EQS(field(2), "c");
    EQ(csv_next(&csv, &record), 0);
    EQ(record.line, 2);
    EQS(field(1), "");
    EQS(field(2), "3");
    EQ(csv_next(&csv, &record), 0);
    EQ(record.count, 3);
    EQ(csv_next(&csv, &record), CSV_E_END);
    EQ(csv_next(&csv, &record), CSV_E_END);
}

static void test_ends(void)
{
    FEED("\xef\xbb\xbfpool,x\r\n\r\n1,2\r\n\n3,4");
    EQ(csv_next(&csv, &record), 0);
    EQS(field(0), "pool"); /* the mark is gone */
    EQS(field(1), "x");
    EQ(csv_next(&csv, &record), 0);
    EQ(record.line, 3);
    EQ(csv_next(&csv, &record), 0);
    EQ(record.line, 5);
    EQS(field(1), "4"); /* no line end at the end */
    EQ(csv_next(&csv, &record), CSV_E_END);
    FEED("");
    EQ(csv_next(&csv, &record), CSV_E_END);
    FEED("\xef\xbb\xbf");
    EQ(csv_next(&csv, &record), CSV_E_END);
    FEED("a,");
    EQ(csv_next(&csv, &record), 0);
    EQ(record.count, 2);
    EQS(field(1), "");
    FEED("\r\n\r\n");
    EQ(csv_next(&csv, &record), CSV_E_END);
}

static void test_quotes(void)
{
    FEED("\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\",\"\"\nnext,1,2,3\n\"\"\"\"\n");
    EQ(csv_next(&csv, &record), 0);
    EQ(record.count, 4);
    EQS(field(0), "a,b");
    EQS(field(1), "say \"hi\"");
    EQS(field(2), "two\nlines");
    EQS(field(3), "");
    EQ(csv_next(&csv, &record), 0);
    EQ(record.line, 3); /* a line feed inside quotes counts */
    EQ(csv_next(&csv, &record), 0);
    EQS(field(0), "\"");
    EQ(csv_next(&csv, &record), CSV_E_END);
}

/* Each bad line is told with its number, and the next line is read as if nothing had been. */
static void bad(const char *line, size_t len, int verdict)
{
    char text[512];
    size_t n = (size_t)snprintf(text, sizeof(text), "head,er\n");
    memcpy(text + n, line, len);
    memcpy(text + n + len, "\ngood,1\n", 8);
    feed(text, n + len + 8);
    EQ(csv_next(&csv, &record), 0);
    EQ(csv_next(&csv, &record), verdict);
    EQ(record.line, 2);
    OK(strlen(csv_text(verdict)) > 5);
    if (verdict == CSV_E_OPEN) {
        EQ(csv_next(&csv, &record), CSV_E_END); /* it swallowed the rest */
        return;
    }
    EQ(csv_next(&csv, &record), 0);
    EQ(record.line, 3);
    EQS(field(0), "good");
    EQ(csv_next(&csv, &record), CSV_E_END);
}

#define BAD(literal, verdict) bad(literal, sizeof(literal) - 1, verdict)

static void test_bad(void)
{
    BAD("a\"b,1", CSV_E_QUOTE);
    BAD("\"a\"b,1", CSV_E_QUOTE);
    BAD("\"a\" ,1", CSV_E_QUOTE);
    BAD("1,\"open", CSV_E_OPEN);
    BAD("a\0b,1", CSV_E_BYTE);
    BAD("\"a\0b\",1", CSV_E_BYTE);
    BAD("a\rb,1", CSV_E_BYTE);
    BAD("\xff,1", CSV_E_BYTE);
    BAD("\xc0\x80,1", CSV_E_BYTE);             /* overlong */
    BAD("\xed\xa0\x80,1", CSV_E_BYTE);         /* surrogate */
    BAD("\xf5\x80\x80\x80,1", CSV_E_BYTE);     /* beyond Unicode */
    BAD("M\xfcnchen,1", CSV_E_BYTE);           /* Latin-1 */
    BAD("\xe2\x82", CSV_E_BYTE);               /* cut off */
    char many[2 * CSV_FIELDS_MAX + 2];
    memset(many, ',', sizeof(many));
    bad(many, CSV_FIELDS_MAX, CSV_E_FIELDS);   /* one too many */
    feed(many, CSV_FIELDS_MAX - 1);
    EQ(csv_next(&csv, &record), 0);
    EQ(record.count, CSV_FIELDS_MAX);
}

static void test_utf8(void)
{
    FEED("Bürgerbüro,\xe2\x82\xac,\xf0\x9f\x8f\x9b\n");
    EQ(csv_next(&csv, &record), 0);
    EQS(field(0), "Bürgerbüro");
    EQ(record.count, 3);
}

/* Any bytes at all: ends, counts lines up to the number of line feeds, stays inside. */
static void test_any_bytes(void)
{
    static const uint8_t alphabet[] = "a,\"\n\r\0\xc3\xbc";
    uint32_t x = 1;
    for (int round = 0; round < 20000; round++) {
        uint8_t bytes[24];
        size_t len = (x >> 3) % sizeof(bytes);
        unsigned feeds = 0;
        for (size_t i = 0; i < len; i++) {
            x = x * 1664525 + 1013904223;
            bytes[i] = alphabet[(x >> 16) % (sizeof(alphabet) - 1)];
            feeds += bytes[i] == '\n';
        }
        x = x * 1664525 + 1013904223;
        uint8_t *exact = malloc(len ? len : 1);
        memcpy(exact, bytes, len);
        csv_init(&csv, exact, len);
        size_t records = 0;
        while (csv_next(&csv, &record) != CSV_E_END && records <= len) {
            records++;
        }
        OK(records <= len);
        OK(csv.line <= feeds + 1);
        free(exact);
    }
}

int main(void)
{
    TAP_RUN(test_plain);
    TAP_RUN(test_ends);
    TAP_RUN(test_quotes);
    TAP_RUN(test_bad);
    TAP_RUN(test_utf8);
    TAP_RUN(test_any_bytes);
    return tap_done();
}

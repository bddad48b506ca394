/* SPDX-License-Identifier: MIT */
/* A CSV file of slots: every kind of bad line is found, with its number and a word that helps. */
#include "ctl/import.h"
#include "tests/lib/tap.h"

#define HEADER "pool,date,start,duration_minutes,desk,time_zone\n"
#define GOOD   "passports,2026-12-01,09:00,15,Desk 1,Europe/Berlin\n"

static struct import import;
static char buffer[1 << 16];

static void read_text(const char *text, const char *pool)
{
    import_fini(&import);
    strcpy(buffer, text);
    EQ(import_read(&import, (uint8_t *)buffer, strlen(buffer), pool), 0);
}

static void test_good(void)
{
    read_text("\xef\xbb\xbf" HEADER
              "b,2026-12-01,09:15,15,\"Desk \"\"A\"\"\",Europe/Berlin\r\n"
              "a,2026-07-01,09:00,20,Schalter 3,Europe/Berlin\r\n"
              "b,2026-12-01,9:00,15,D,Europe/Berlin\r\n"
              "b,2026-10-25,02:30+02:00,15,D,Europe/Berlin\r\n"
              "b,2026-10-25,02:30+01:00,15,D,Europe/Berlin\r\n"
              "c,2026-10-25,02:30+01:00,15,D,\r\n", NULL);
    EQ(import.errors_count, 0);
    EQ(import.count, 6);
    EQS(import.slots[0].pool, "a"); /* by pool, then time */
    EQ(import.slots[0].start_s, 1782889200);
    EQ(import.slots[0].duration_s, 1200);
    EQ(import.slots[0].line, 3);
    EQ(import.slots[2].start_s - import.slots[1].start_s, 3600); /* the doubled hour */
    EQ(import.slots[3].start_s, 1796112000);
    EQS(import.slots[4].desk, "Desk \"A\"");
    EQS(import.slots[5].pool, "c");
}

static void test_columns_by_name(void)
{
    read_text("Desk,START, time_zone ,duration_minutes,date\nD,09:00,Europe/Berlin,15,2026-12-01\n",
              "passports");
    EQ(import.errors_count, 0);
    EQ(import.count, 1);
    EQS(import.slots[0].pool, "passports");
    read_text(HEADER GOOD, "passports");
    EQ(import.errors_count, 0);
}

/* The file is refused at that line with a text that has the word. */
static void refused(const char *text, const char *pool, unsigned line, const char *word)
{
    read_text(text, pool);
    OK(import.errors_count >= 1);
    EQ(import.errors[0].line, line);
    if (!strstr(import.errors[0].text, word)) {
        printf("# \"%s\" lacks \"%s\"\n", import.errors[0].text, word);
        OK(false);
    }
}

static void test_bad_header(void)
{
    refused("", NULL, 1, "empty");
    refused("\n\n", NULL, 1, "empty");
    refused(HEADER, NULL, 1, "no slot");
    refused("pool,date,start,desk,time_zone\n" GOOD, NULL, 1, "duration_minutes");
    refused("date,start,duration_minutes,desk,time_zone\n", NULL, 1, "--pool");
    refused("pool,date,start,duration_minutes,desk,timezone\n" GOOD, NULL, 1, "'time_zone'");
    refused("pool,date,start,duration_minutes,desk,desk\n" GOOD, NULL, 1, "twice");
    refused("pool;date;start;duration_minutes;desk;time_zone\n", NULL, 1, "unknown column");
    refused("\"pool\n" GOOD, NULL, 1, "never ends");
}

static void test_bad_lines(void)
{
    static const struct { const char *line, *word; } bad[] = {
        {"passports,2026-12-01,09:00,15,D", "5 fields"},
        {"passports,2026-12-01,09:00,15,D,Europe/Berlin,more", "7 fields"},
        {",2026-12-01,09:00,15,D,Europe/Berlin", "pool is empty"},
        {"Passports,2026-12-01,09:00,15,D,Europe/Berlin", "a-z"},
        {"pass ports,2026-12-01,09:00,15,D,Europe/Berlin", "a-z"},
        {"passports,01.12.2026,09:00,15,D,Europe/Berlin", "YYYY-MM-DD"},
        {"passports,2026-02-30,09:00,15,D,Europe/Berlin", "YYYY-MM-DD"},
        {"passports,,09:00,15,D,Europe/Berlin", "YYYY-MM-DD"},
        {"passports,2026-12-01,9am,15,D,Europe/Berlin", "HH:MM"},
        {"passports,2026-12-01,24:00,15,D,Europe/Berlin", "HH:MM"},
        {"passports,2026-12-01,09:00,0,D,Europe/Berlin", "1 to 1440"},
        {"passports,2026-12-01,09:00,1441,D,Europe/Berlin", "1 to 1440"},
        {"passports,2026-12-01,09:00,-5,D,Europe/Berlin", "1 to 1440"},
        {"passports,2026-12-01,09:00,15.5,D,Europe/Berlin", "1 to 1440"},
        {"passports,2026-12-01,09:00,15,,Europe/Berlin", "desk is empty"},
        {"passports,2026-12-01,09:00,15,"
         "DDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDDD,Europe/Berlin", "64"},
        {"passports,2026-12-01,09:00,15,a\tb,Europe/Berlin", "control"},
        {"passports,2026-12-01,09:00,15,D,Europe/Munich", "IANA"},
        {"passports,2026-12-01,09:00,15,D,", "no time_zone"},
        {"passports,2027-03-28,02:30,15,D,Europe/Berlin", "does not exist"},
        {"passports,2026-10-25,02:30,15,D,Europe/Berlin", "02:30+02:00 or 02:30+01:00"},
        {"passports,2026-10-25,02:30+03:00,15,D,Europe/Berlin", "not at that offset"},
        {"passports,2026-12-01,09:00+01:00,15,D,Europe/Munich", "unknown time zone"},
        {"passports,2026-12-01,09:00,15,\"D\"x,Europe/Berlin", "quote"},
        {"passports,2026-12-01,09:00,15,\xff,Europe/Berlin", "UTF-8"},
        {"passports,2026-12-01,09:00,15,desk-1,Europe/Berlin", "same time as line 2"},
        {"passports,2026-12-01,09:14,15,Desk 1,Europe/Berlin", "before line 2 has ended"},
    };
    char text[1024];
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        snprintf(text, sizeof(text), HEADER GOOD "%s\n", bad[i].line);
        refused(text, NULL, 3, bad[i].word);
        EQ(import.errors_count, 1);
    }
    refused(HEADER GOOD, "licences", 2, "--pool");
}

/* One desk, one slot at a time; each pool has desks of its own. */
static void test_overlaps(void)
{
    read_text(HEADER GOOD "passports,2026-12-01,09:15,15,Desk 1,Europe/Berlin\n"
              "passports,2026-12-01,09:05,15,Desk 2,Europe/Berlin\n"
              "others,2026-12-01,09:05,15,Desk 1,Europe/Berlin\n"
              "passports,2026-12-01,08:45,15,Desk 1,Europe/Berlin\n", NULL);
    EQ(import.errors_count, 0);
    EQ(import_pool_end(&import, 0), 1);
    EQ(import_pool_end(&import, 1), 5);
    /* A long one in front, a short one inside it, and one behind the short one. */
    read_text(HEADER "p,2026-12-01,10:00,15,D,UTC\np,2026-12-01,09:00,120,D,UTC\n"
              "p,2026-12-01,10:30,15,d,UTC\np,2026-12-01,11:00,15,D,UTC\n", NULL);
    EQ(import.errors_count, 2);
    EQ(import.errors[0].line, 2);
    EQ(import.errors[1].line, 4);
    OK(strstr(import.errors[1].text, "line 3") != NULL);
}

static void test_all_errors_counted(void)
{
    char text[8192] = HEADER;
    for (int i = 0; i < 50; i++) {
        strcat(text, i % 2 ? GOOD : "x,y,z\n");
    }
    read_text(text, NULL);
    EQ(import.errors_count, 25 + 24); /* every good line but the first is a double */
    EQ(import.errors[0].line, 2);
    EQ(import.errors[IMPORT_ERRORS_SHOWN - 1].line, 40);
    read_text(HEADER "Bad Pool,1,2,3,,\n", NULL); /* each field of one line */
    EQ(import.errors_count, 3);
}

int main(void)
{
    TAP_RUN(test_good);
    TAP_RUN(test_columns_by_name);
    TAP_RUN(test_bad_header);
    TAP_RUN(test_bad_lines);
    TAP_RUN(test_overlaps);
    TAP_RUN(test_all_errors_counted);
    import_fini(&import);
    return tap_done();
}

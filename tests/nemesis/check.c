/* SPDX-License-Identifier: MIT */
/* The checker as a program: judges a history and its final state, then plants losses in them and
 * wants each of them found.
 * usage: check HISTORY FINAL [TIMES [OUT]] reads what people.c wrote
 *        check --story SEED LINES          judges a made-up story instead (for its own test)
 *        check --rules SEED LINES          takes the checker's rules away, one by one: each must be
 *                                          missed, or nothing shows that it works
 * TIMES: how the faults lie in time, "FROM_US TO_US NAME" a line; each long gap is told with those
 * that it touches.  OUT: all of it is written there as JSON, for the report of a run.
 * Each plant is judged alone, then the three losses all at once: the checker has to tell of each,
 * by its slot, and to find fewer mutations present than were acknowledged.
 * Owns: the files in memory (80 bytes a call, 16 a slot, 24 a thing), the second copy that a plant
 * spoils.  Exit 0: nothing wrong and every plant found; 1 otherwise; 2: unreadable. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "nemesis/plant.h"
#include "nemesis/tale.h"

#define CHECK_GAPS 8 /* that are told in words */

static void *check_read(const char *path, size_t *ret_size)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL || fseek(f, 0, SEEK_END) != 0) {
        fprintf(stderr, "check: %s: %s\n", path, strerror(errno));
        exit(2);
    }
    size_t size = (size_t)ftell(f);
    void *bytes = malloc(size + 1);
    rewind(f);
    if (bytes == NULL || fread(bytes, 1, size, f) != size) {
        fprintf(stderr, "check: %s cannot be read\n", path);
        exit(2);
    }
    fclose(f);
    *ret_size = size;
    return bytes;
}

static struct judge_case check_load(const char *history, const char *final)
{
    size_t size, final_size;
    struct story_line *lines = check_read(history, &size);
    struct story_head *head = check_read(final, &final_size);
    if (final_size < sizeof *head || head->magic != STORY_MAGIC || size % sizeof *lines != 0 ||
        final_size != sizeof *head + head->slots_count * sizeof(struct story_slot) +
                          head->things_count * sizeof(struct story_thing)) {
        fprintf(stderr, "check: %s or %s is cut or no story\n", history, final);
        exit(2);
    }
    struct story_slot *slots = (struct story_slot *)(head + 1);
    return (struct judge_case){.lines = lines, .lines_count = size / sizeof *lines, .head = head,
                               .slots = slots,
                               .things = (struct story_thing *)(slots + head->slots_count)};
}

static void *check_copy(const void *from, size_t size, size_t spare)
{
    void *to = malloc(size + spare);
    if (to == NULL) {
        fprintf(stderr, "check: no memory\n");
        exit(2);
    }
    memcpy(to, from, size);
    return to;
}

/* A copy of a case that plants may spoil. */
struct check_bed {
    struct judge_case c;
    struct story_line *lines;
    struct story_slot *slots;
    struct story_thing *things;
};

static void bed_make(struct check_bed *b, const struct judge_case *good)
{
    const struct story_head *head = good->head;
    b->c = *good;
    b->lines = check_copy(good->lines, good->lines_count * sizeof *b->lines,
                          PLANT_LINES * sizeof *b->lines);
    b->slots = check_copy(good->slots, head->slots_count * sizeof *b->slots, 1);
    b->things = check_copy(good->things, head->things_count * sizeof *b->things, 1);
    b->c.lines = b->lines;
    b->c.slots = b->slots;
    b->c.things = b->things;
}

static void bed_free(struct check_bed *b)
{
    free(b->lines);
    free(b->slots);
    free(b->things);
}

/* What was found of a plant. */
struct check_found {
    bool is_caught;
    char said[JUDGE_SAID];
};

/* Was it caught: more of its kind than in the story as it is?  A story without a place for it says
 * so, and nothing is proved. */
static void check_plant(const struct judge_case *good, const struct judge_verdict *before,
                        const struct plant *p, struct check_found *ret_found)
{
    static struct judge_verdict v;
    struct check_bed b;
    *ret_found = (struct check_found){0};
    bed_make(&b, good);
    if (p->put(&b.c, b.lines, b.slots, b.things) && judge_run(&b.c, false, &v) == 0) {
        ret_found->is_caught = v.wrong[p->law] > before->wrong[p->law];
        memcpy(ret_found->said, v.said[p->law], JUDGE_SAID);
        printf("planted: %-40s %s (%s)\n", p->name, ret_found->is_caught ? "caught" : "NOT CAUGHT",
               judge_law_name(p->law));
    } else {
        printf("planted: %-40s nothing in the story to plant it into\n", p->name);
    }
    bed_free(&b);
}

/* The three losses in one history. */
struct check_together {
    uint64_t told, missing;
};

static void check_together(const struct judge_case *good, const struct judge_verdict *before,
                           struct check_together *ret_found)
{
    static struct judge_verdict v;
    struct check_bed b;
    bed_make(&b, good);
    bool is_put = true;
    for (size_t i = 0; i < PLANT_LOSSES; i++) {
        is_put = is_put && plants[plant_losses[i]].put(&b.c, b.lines, b.slots, b.things);
    }
    *ret_found = (struct check_together){0};
    if (is_put && judge_run(&b.c, false, &v) == 0) {
        ret_found->told = v.lost_slots - before->lost_slots;
        ret_found->missing = v.acknowledged - v.present - (before->acknowledged - before->present);
    }
    printf("planted: the three losses at once: %" PRIu64 " slots told, %" PRIu64
           " acknowledged mutations not there\n", ret_found->told, ret_found->missing);
    bed_free(&b);
}

static void check_gaps(const struct judge_verdict *v, const char *times)
{
    for (size_t i = 0; i < CHECK_GAPS && v->gaps[i].to_us > v->gaps[i].from_us; i++) {
        const struct judge_gap *gap = &v->gaps[i];
        printf("write gap: %8.1f ms", (double)(gap->to_us - gap->from_us) / 1e3);
        FILE *f = times ? fopen(times, "r") : NULL;
        char line[256];
        while (f && fgets(line, sizeof line, f)) {
            int64_t from, to;
            char name[128];
            if (sscanf(line, "%" SCNd64 " %" SCNd64 " %127[^\n]", &from, &to, name) == 3 &&
                from < gap->to_us && to > gap->from_us) {
                printf("  %s", name);
            }
        }
        if (f) {
            fclose(f);
        }
        printf("\n");
    }
}

static double check_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Is there a plant that is not caught without it? */
static bool check_rule(const struct judge_case *good, enum judge_rule rule)
{
    static struct judge_verdict v;
    size_t missed = 0;
    for (size_t i = 0; i < PLANT_COUNT; i++) {
        struct check_bed b;
        bed_make(&b, good);
        b.c.is_lame = true;
        b.c.lame = rule;
        if (plants[i].put(&b.c, b.lines, b.slots, b.things) && judge_run(&b.c, false, &v) == 0) {
            missed += v.wrong[plants[i].law] == 0;
        }
        bed_free(&b);
    }
    printf("without \"%s\": %zu plants missed\n", judge_rule_name(rule), missed);
    return missed > 0;
}

static int check_rules(const struct judge_case *good)
{
    size_t needed = 0;
    for (size_t rule = 0; rule < JUDGE_RULE_COUNT; rule++) {
        needed += check_rule(good, (enum judge_rule)rule);
    }
    printf("rules %d, needed %zu\n", JUDGE_RULE_COUNT, needed);
    return needed == JUDGE_RULE_COUNT ? 0 : 1;
}

static void write_list(FILE *f, const struct judge_verdict *v, const struct check_found *found)
{
    fprintf(f, "\"wrong\":{");
    for (size_t i = 0; i < JUDGE_LAW_COUNT; i++) {
        fprintf(f, "%s\"%s\":%" PRIu64, i ? "," : "", judge_law_name((enum judge_law)i),
                v->wrong[i]);
    }
    fprintf(f, "},\"gaps\":[");
    for (size_t i = 0; i < JUDGE_GAPS && v->gaps[i].to_us > v->gaps[i].from_us; i++) {
        fprintf(f, "%s{\"from_us\":%" PRId64 ",\"to_us\":%" PRId64 "}", i ? "," : "",
                v->gaps[i].from_us, v->gaps[i].to_us);
    }
    fprintf(f, "],\"plants\":[");
    for (size_t i = 0; i < PLANT_COUNT; i++) {
        fprintf(f, "%s{\"name\":\"%s\",\"law\":\"%s\",\"caught\":%s,\"said\":\"%s\"}",
                i ? "," : "", plants[i].name, judge_law_name(plants[i].law),
                found[i].is_caught ? "true" : "false", found[i].said);
    }
    fprintf(f, "],\"pulse_us\":%" PRId64 ",\"pulse_step_us\":%d,\"pulse\":[", v->pulse_us,
            JUDGE_PULSE_US);
    for (size_t i = 0; i < v->pulse_count; i++) {
        fprintf(f, "%s%" PRIu32, i ? "," : "", v->pulse[i]);
    }
    fprintf(f, "]");
}

static void check_write(const char *path, const struct judge_verdict *v,
                        const struct check_found *found, const struct check_together *together)
{
    FILE *f = fopen(path, "w");
    if (f == NULL) {
        fprintf(stderr, "check: %s: %s\n", path, strerror(errno));
        exit(2);
    }
    fprintf(f, "{\"acknowledged\":%" PRIu64 ",\"present\":%" PRIu64 ",\"refused\":%" PRIu64
               ",\"unsettled\":%" PRIu64 ",\"reads\":%" PRIu64 ",\"wrong_total\":%" PRIu64
               ",\"together\":{\"told\":%" PRIu64 ",\"missing\":%" PRIu64 "},",
            v->acknowledged, v->present, v->refused, v->unsettled, v->reads, v->wrong_total,
            together->told, together->missing);
    write_list(f, v, found);
    fprintf(f, "}\n");
    if (fclose(f) != 0) {
        fprintf(stderr, "check: %s: %s\n", path, strerror(errno));
        exit(2);
    }
}

static void check_say(const struct judge_case *c, const struct judge_verdict *v, double seconds)
{
    printf("judged %zu calls of %" PRIu64 " slots in %.2f s\n", c->lines_count,
           c->head->slots_count, seconds);
    printf("acknowledged %" PRIu64 ", present %" PRIu64 ", refused %" PRIu64 ", unsettled %" PRIu64
           ", reads %" PRIu64 ", wrong %" PRIu64 "\n",
           v->acknowledged, v->present, v->refused, v->unsettled, v->reads, v->wrong_total);
}

int main(int argc, char **argv)
{
    static struct judge_case c; /* lives as long as the process */
    static struct judge_verdict v;
    static struct check_found found[PLANT_COUNT];
    struct check_together together;
    bool is_of_rules = argc == 4 && strcmp(argv[1], "--rules") == 0;
    if (is_of_rules || (argc == 4 && strcmp(argv[1], "--story") == 0)) {
        c = tale_make(strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
    } else if (argc >= 3 && argc <= 5) {
        c = check_load(argv[1], argv[2]);
    } else {
        fprintf(stderr, "usage: check HISTORY FINAL [TIMES [OUT]]\n"
                        "       check --story|--rules SEED LINES\n");
        return 2;
    }
    if (is_of_rules) {
        return check_rules(&c);
    }
    double began = check_seconds();
    int r = judge_run(&c, true, &v);
    if (r) {
        fprintf(stderr, "check: %s\n", r == -EINVAL ? "a line is about a slot that is not there"
                                                    : "no memory");
        return 2;
    }
    check_say(&c, &v, check_seconds() - began);
    check_gaps(&v, argc >= 4 && argv[1][0] != '-' ? argv[3] : NULL);
    size_t caught = 0;
    for (size_t i = 0; i < PLANT_COUNT; i++) {
        check_plant(&c, &v, &plants[i], &found[i]);
        caught += found[i].is_caught;
    }
    check_together(&c, &v, &together);
    printf("planted %d, caught %zu\n", PLANT_COUNT, caught);
    if (argc == 5) {
        check_write(argv[4], &v, found, &together);
    }
    return v.wrong_total == 0 && v.present == v.acknowledged && caught == PLANT_COUNT &&
                   together.told == PLANT_LOSSES && together.missing >= PLANT_LOSSES
               ? 0
               : 1;
}

/* SPDX-License-Identifier: MIT */
/* The checker as a program: judges a history and its final state, then plants losses in them and
 * wants each of them found.
 * usage: check HISTORY FINAL [TIMES]       reads what people.c wrote
 *        check --story SEED LINES          judges a made-up story instead (for its own test)
 * TIMES: how the faults lie in time, "FROM_US TO_US NAME" a line; each long gap is told with those
 * that it touches.
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

static void *check_read(const char *path, size_t *ret_size)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL || fseek(f, 0, SEEK_END) != 0) {
        fprintf(stderr, "check: %s: %s\n", path, strerror(errno));
        exit(2);
    }
    size_t size = (size_t)ftell(f);
    void *bytes = malloc(size + sizeof(struct story_line)); /* a plant may add a line */
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
    return (struct judge_case){lines, size / sizeof *lines, head, slots,
                               (struct story_thing *)(slots + head->slots_count)};
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

/* Was it caught?  A story without a place for it says so, and nothing is proved. */
static bool check_plant(const struct judge_case *good, const struct plant *p)
{
    struct judge_case c = *good;
    size_t size = c.lines_count * sizeof *c.lines;
    struct story_line *lines = check_copy(c.lines, size, sizeof *lines);
    struct story_slot *slots = check_copy(c.slots, c.head->slots_count * sizeof *slots, 0);
    struct story_thing *things = check_copy(c.things, c.head->things_count * sizeof *things, 1);
    c.lines = lines;
    c.slots = slots;
    c.things = things;
    bool is_put = p->put(&c, lines, slots, things), is_caught = false;
    struct judge_verdict v;
    if (is_put && judge_run(&c, false, &v) == 0) {
        is_caught = v.wrong[p->law] > 0;
        printf("planted: %-40s %s (%s)\n", p->name, is_caught ? "caught" : "NOT CAUGHT",
               judge_law_name(p->law));
    } else {
        printf("planted: %-40s nothing in the story to plant it into\n", p->name);
    }
    free(lines);
    free(slots);
    free(things);
    return is_caught;
}

static void check_gaps(const struct judge_verdict *v, const char *times)
{
    for (size_t i = 0; i < JUDGE_GAPS && v->gaps[i].to_us > v->gaps[i].from_us; i++) {
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

int main(int argc, char **argv)
{
    static struct judge_case c; /* lives as long as the process */
    if (argc == 4 && strcmp(argv[1], "--story") == 0) {
        c = tale_make(strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
    } else if (argc == 3 || argc == 4) {
        c = check_load(argv[1], argv[2]);
    } else {
        fprintf(stderr, "usage: check HISTORY FINAL [TIMES] | check --story SEED LINES\n");
        return 2;
    }
    struct judge_verdict v;
    double began = check_seconds();
    if (judge_run(&c, true, &v) != 0) {
        fprintf(stderr, "check: no memory\n");
        return 2;
    }
    printf("judged %zu calls of %" PRIu64 " slots in %.2f s\n", c.lines_count,
           c.head->slots_count, check_seconds() - began);
    check_gaps(&v, argc == 4 && argv[1][0] != '-' ? argv[3] : NULL);
    printf("acknowledged %" PRIu64 ", present %" PRIu64 ", refused %" PRIu64 ", unsettled %" PRIu64
           ", reads %" PRIu64 ", wrong %" PRIu64 "\n",
           v.acknowledged, v.present, v.refused, v.unsettled, v.reads, v.wrong_total);
    size_t caught = 0;
    for (size_t i = 0; i < PLANT_COUNT; i++) {
        caught += check_plant(&c, &plants[i]);
    }
    printf("planted %d, caught %zu\n", PLANT_COUNT, caught);
    return v.wrong_total == 0 && v.present == v.acknowledged && caught == PLANT_COUNT ? 0 : 1;
}

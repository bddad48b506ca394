/* SPDX-License-Identifier: MIT */
/* Losses planted into a good story: a checker that misses one is worth nothing.  See plant.c. */
#ifndef FAIRSLOT_NEMESIS_PLANT_H
#define FAIRSLOT_NEMESIS_PLANT_H

#include "nemesis/judge.h"

struct plant {
    const char *name;
    enum judge_law law; /* what must be found */
    /* Changes the case's own arrays; false: the story has nothing to plant it into. */
    bool (*put)(struct judge_case *c, struct story_line *lines, struct story_slot *slots,
                struct story_thing *things);
};

#define PLANT_COUNT  31
#define PLANT_LOSSES 3 /* plants that are losses of a hold, a confirm and a cancel */
#define PLANT_LINES  2 /* that one of them may add */
extern const struct plant plants[PLANT_COUNT];
/* Numbers of the losses among them. */
extern const size_t plant_losses[PLANT_LOSSES];

#endif

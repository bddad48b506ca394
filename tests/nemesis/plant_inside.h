/* SPDX-License-Identifier: MIT */
/* What plants are made with, and those of plant_rules.c.  Only plant*.c may see this. */
#ifndef FAIRSLOT_NEMESIS_PLANT_INSIDE_H
#define FAIRSLOT_NEMESIS_PLANT_INSIDE_H

#include "nemesis/plant.h"

/* The first line from the middle on that was done with `op` and left its slot in `state` for good;
 * state 0: any.  NULL: there is none. */
struct story_line *plant_find(struct judge_case *c, struct story_line *lines, uint8_t op,
                              uint32_t state);
/* What its holder finds of it in the end; NULL: nothing. */
struct story_thing *plant_thing(struct judge_case *c, struct story_thing *things,
                                const struct story_line *l);
/* One more call at the end of the history: a request and a thing of its own, else as `like`. */
struct story_line *plant_more(struct judge_case *c, struct story_line *lines,
                              const struct story_line *like);

bool plant_refused_twice(struct judge_case *c, struct story_line *lines, struct story_slot *slots,
                         struct story_thing *things);
bool plant_others_confirm(struct judge_case *c, struct story_line *lines, struct story_slot *slots,
                          struct story_thing *things);
bool plant_silent_change(struct judge_case *c, struct story_line *lines, struct story_slot *slots,
                         struct story_thing *things);
bool plant_order_in_slot(struct judge_case *c, struct story_line *lines, struct story_slot *slots,
                         struct story_thing *things);
bool plant_free_again(struct judge_case *c, struct story_line *lines, struct story_slot *slots,
                      struct story_thing *things);
bool plant_cancelled_lives(struct judge_case *c, struct story_line *lines, struct story_slot *slots,
                           struct story_thing *things);
bool plant_hold_on_list(struct judge_case *c, struct story_line *lines, struct story_slot *slots,
                        struct story_thing *things);
bool plant_stranger(struct judge_case *c, struct story_line *lines, struct story_slot *slots,
                    struct story_thing *things);
bool plant_early_read(struct judge_case *c, struct story_line *lines, struct story_slot *slots,
                      struct story_thing *things);
bool plant_not_found(struct judge_case *c, struct story_line *lines, struct story_slot *slots,
                     struct story_thing *things);

#endif

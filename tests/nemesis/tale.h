/* SPDX-License-Identifier: MIT */
/* Made-up good stories: what a faultless shard would have told.  See tale.c. */
#ifndef FAIRSLOT_NEMESIS_TALE_H
#define FAIRSLOT_NEMESIS_TALE_H

#include "nemesis/judge.h"

/* About `lines` calls.  Arrays are the caller's to free, or to keep until the process ends. */
struct judge_case tale_make(uint64_t seed, uint64_t lines);

#endif

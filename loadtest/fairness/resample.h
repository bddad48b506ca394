/* SPDX-License-Identifier: MIT */
/* Counts that a repeated experiment would give: inside this room. */
#ifndef FAIRSLOT_FAIRNESS_RESAMPLE_H
#define FAIRSLOT_FAIRNESS_RESAMPLE_H

#include "fairness/fairness.h"

/* Advantages of every group and of the attackers in FAIRNESS_RESAMPLES bootstraps, 95 %. */
void resample_advantages(struct fairness *f, uint32_t attack_mask, uint64_t seed);

#endif

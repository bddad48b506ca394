/* SPDX-License-Identifier: MIT */
/* Load over real gRPC and real nng: the figures of docs/status.md come from `fairslot bench`.
 * The crowd of people and bots moves in here with the release-day harness. */
#ifndef FAIRSLOT_FLOOD_FLOOD_H
#define FAIRSLOT_FLOOD_FLOOD_H

#include "verb.h"

int demo_run(const struct verb *verb, int argc, char **argv);
int flood_flood(const struct verb *verb, int argc, char **argv);
int flood_compare(const struct verb *verb, int argc, char **argv);
int flood_histogram(const struct verb *verb, int argc, char **argv);

/* demo, bench gateway|mutations|shard|idle|...  Ends with noun NULL. */
extern const struct verb flood_verbs[];

#endif

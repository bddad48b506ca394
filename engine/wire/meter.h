/* SPDX-License-Identifier: MIT */
/* What a peer's frames cost: a budget that bytes spend and work earns back.  Looks at the 9-byte
 * frame headers in the raw bytes, because nghttp2 passes over ignored frames without a word.
 * No clock of its own: see WIRE_FRAMES_BURST in base/limits.h for the numbers. */
#ifndef FAIRSLOT_WIRE_METER_H
#define FAIRSLOT_WIRE_METER_H

#include "base/types.h"

#define WIRE_METER_HEAD 9 /* bytes of a frame header */

struct wire_meter {
    uint32_t skip;                 /* bytes before the next frame header */
    int32_t left;                  /* budget; < 0: spent */
    uint8_t head[WIRE_METER_HEAD]; /* the next header so far */
    uint8_t head_have;             /* bytes of it */
};

/* A full budget; `skip` bytes stand before the first frame (the client's magic). */
void wire_meter_init(struct wire_meter *m, uint32_t skip);
/* Charges for the frames that begin in these bytes.  False: the budget is spent. */
bool wire_meter_pass(struct wire_meter *m, const uint8_t *bytes, size_t n);
/* False: the budget is spent. */
bool wire_meter_spend(struct wire_meter *m, int32_t cost);
/* Never over the full budget. */
void wire_meter_earn(struct wire_meter *m, int32_t gain);

#endif

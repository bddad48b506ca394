/* SPDX-License-Identifier: MIT */
/* The price of frames.  Owns: a budget and its place in the stream of frames.
 *
 *   | magic | length type flags stream | payload ......... | length type ...
 *     skip    the header is read          skipped, uncounted
 *
 * Each frame costs one, and one for each KiB of headers, settings or unknown payload, which cost
 * work to decode.  DATA of some size is free: the windows and the message limit bound it.  Calls,
 * messages and our own DATA earn: whoever uses the service gains, whoever only makes frames pays.
 * Fails never; a spent budget stays spent until work is done.
 * Invariant: left <= WIRE_FRAMES_BURST.  The stream may be cut anywhere. */
#include "wire/meter.h"

#include <string.h>

#include "base/check.h"
#include "base/limits.h"

#define TYPE_DATA 0 /* RFC 9113, 6.1 */

void wire_meter_init(struct wire_meter *m, uint32_t skip)
{
    *m = (struct wire_meter){.skip = skip, .left = WIRE_FRAMES_BURST};
}

bool wire_meter_spend(struct wire_meter *m, int32_t cost)
{
    CHECK(cost >= 0);
    if (m->left >= 0) {
        m->left -= cost;
    }
    return m->left >= 0;
}

void wire_meter_earn(struct wire_meter *m, int32_t gain)
{
    CHECK(gain >= 0);
    m->left += gain;
    if (m->left > WIRE_FRAMES_BURST) {
        m->left = WIRE_FRAMES_BURST;
    }
}

/* The header is whole: skips the payload, returns the price. */
static int32_t meter_frame(struct wire_meter *m, const uint8_t *head)
{
    uint32_t len = (uint32_t)head[0] << 16 | (uint32_t)head[1] << 8 | head[2];
    m->skip = len;
    m->head_have = 0;
    if (head[3] == TYPE_DATA) {
        return len < WIRE_FRAME_SMALL;
    }
    return 1 + (int32_t)(len / 1024);
}

bool wire_meter_pass(struct wire_meter *m, const uint8_t *bytes, size_t n)
{
    while (n > 0 && m->left >= 0) {
        size_t skip = m->skip < n ? m->skip : n;
        m->skip -= (uint32_t)skip;
        bytes += skip;
        n -= skip;
        if (m->head_have == 0 && n >= WIRE_METER_HEAD) {
            m->left -= meter_frame(m, bytes);
            bytes += WIRE_METER_HEAD;
            n -= WIRE_METER_HEAD;
            continue;
        }
        size_t missing = WIRE_METER_HEAD - m->head_have;
        size_t take = missing < n ? missing : n;
        memcpy(m->head + m->head_have, bytes, take);
        m->head_have = (uint8_t)(m->head_have + take);
        bytes += take;
        n -= take;
        if (m->head_have == WIRE_METER_HEAD) {
            m->left -= meter_frame(m, m->head);
        }
    }
    return m->left >= 0;
}

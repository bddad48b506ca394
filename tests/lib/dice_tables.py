#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Prints loadtest/crowd/dice_tables.h.  Once is enough: they are part of what a seed means."""
from statistics import NormalDist

LEVELS, STEPS = 26, 32


def rows(numbers, per_line):
    for i in range(0, len(numbers), per_line):
        print('    ' + ', '.join(str(n) for n in numbers[i:i + per_line]) + ',')


normal = NormalDist()
quantiles = [round(-normal.inv_cdf(2.0 ** -(k + 1) * (1 - j / (2 * STEPS))) * 65536)
             for k in range(LEVELS) for j in range(STEPS + 1)]
powers = [round(2 ** (n / 64) * 2 ** 30) for n in range(65)]
print(f'''/* SPDX-License-Identifier: MIT */
/* Tables of dice.c, made once by tests/lib/dice_tables.py: do not edit. */
#ifndef FAIRSLOT_CROWD_DICE_TABLES_H
#define FAIRSLOT_CROWD_DICE_TABLES_H

#include <stdint.h>

#define DICE_LEVELS {LEVELS} /* halvings of the tail */
#define DICE_STEPS  {STEPS} /* straight lines in each */

/* Level k, step j: minus the normal quantile of 2^-(k+1) * (1 - j / {2 * STEPS}), in 1/65536. */
static const int32_t dice_quantiles[DICE_LEVELS * (DICE_STEPS + 1)] = {{''')
rows(quantiles, 10)
print('};\n\n/* 2^(n/64), in 2^-30. */\nstatic const uint32_t dice_powers[65] = {')
rows(powers, 8)
print('};\n\n#endif')

/* SPDX-License-Identifier: MIT */
/* Seed, mode, nonsense?, hash over every event of test_crowd.c's scenario.  A change here means
 * that a seed no longer means what it did: say so in the CHANGELOG. */
/* clang-format off */
{1, CROWD_LIVE, false, UINT64_C(0x4e49cfc57af35c69)},
{1, CROWD_FCFS, false, UINT64_C(0xe1195b0374ba8087)},
{1, CROWD_DRAW, false, UINT64_C(0x92085dd9de907375)},
{2, CROWD_LIVE, true, UINT64_C(0xcc3b62bb93dca74e)},
{3, CROWD_FCFS, true, UINT64_C(0x76301f5167f7fc0c)},

/* SPDX-License-Identifier: MIT */
/* Goal: the cap holds, alignment holds, a reset keeps one block and forgets the rest. */
#include "base/arena.h"

#include "tests/lib/tap.h"

static void test_cap_is_a_verdict(void)
{
    struct arena a;
    arena_init(&a, 100);
    OK(arena_alloc(&a, 60) != NULL);
    OK(arena_alloc(&a, 41) == NULL);
    OK(arena_alloc(&a, 40) != NULL);
    OK(arena_alloc(&a, 1) == NULL);
    arena_reset(&a);
    OK(arena_alloc(&a, 100) != NULL);
    arena_fini(&a);
}

static void test_pieces_do_not_overlap(void)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    unsigned char *pieces[200];
    for (int i = 0; i < 200; i++) {
        pieces[i] = arena_alloc(&a, (size_t)i * 7);
        OK(pieces[i] != NULL);
        EQ((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], i, (size_t)i * 7);
    }
    for (int i = 0; i < 200; i++) {
        for (int j = 0; j < i * 7; j++) {
            if (pieces[i][j] != (unsigned char)i) {
                OK(!"a piece was overwritten");
                break;
            }
        }
    }
    arena_fini(&a);
}

static void test_huge_request_does_not_overflow(void)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    OK(arena_alloc(&a, SIZE_MAX) == NULL);
    OK(arena_alloc(&a, SIZE_MAX - 15) == NULL);
    arena_fini(&a);
}

int main(void)
{
    TAP_RUN(test_cap_is_a_verdict);
    TAP_RUN(test_pieces_do_not_overlap);
    TAP_RUN(test_huge_request_does_not_overflow);
    return tap_done();
}

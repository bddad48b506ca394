/* SPDX-License-Identifier: MIT */
/* Is each thing that is wrong with a cluster told, with the node and what to do, and nothing where
 * nothing is wrong? */
#include <string.h>

#include "base/bytes.h"
#include "node/cluster.h"
#include "tests/lib/tap.h"

static struct arena arena;
static struct cluster_node_view nodes[3];
static struct cluster_view view;

/* Three voters without a fault; node 1 leads and answers. */
static void healthy(void)
{
    arena_reset(&arena);
    view = (struct cluster_view){.self = 1, .leader = 1, .term = 3, .commit_index = 100,
                                 .nodes = nodes, .nodes_count = 3, .version = span_of("1.0"),
                                 .lag_max = CLUSTER_LAG_MAX};
    for (size_t i = 0; i < 3; i++) {
        nodes[i] = (struct cluster_node_view){
            .id = i + 1, .address = span_of("tcp://10.0.0.1:17703"), .is_voter = true,
            .is_self = i == 0, .state = NODE_UP, .match_index = 100, .applied_index = 100,
            .silent_us = i ? 1000 : -1, .has_clock = true, .version = span_of("1.0"),
            .disk_free_bytes = UINT64_C(1) << 40, .check = STATE_SAME};
    }
}

/* The problem of that kind about that node; NULL: not told. */
static const struct cluster_problem_view *told(enum cluster_problem_kind kind, uint64_t node)
{
    EQ(cluster_problems(&view, &arena), 0);
    for (size_t i = 0; i < view.problems_count; i++) {
        const struct cluster_problem_view *p = &view.problems[i];
        OK(p->text.len > 0 && p->next_step.len > 0);
        if (p->kind == kind && p->node == node) {
            return p;
        }
    }
    return NULL;
}

static bool says(const struct cluster_problem_view *p, const char *words)
{
    return p && memmem(p->text.ptr, p->text.len, words, strlen(words)) != NULL;
}

static void test_nothing(void)
{
    healthy();
    EQ(cluster_problems(&view, &arena), 0);
    EQ(view.problems_count, 0);
    nodes[1].clock_us = SECOND_US / 2; /* within what is bearable */
    nodes[2].behind = CLUSTER_LAG_MAX;
    EQ(cluster_problems(&view, &arena), 0);
    EQ(view.problems_count, 0);
}

static void test_quorum(void)
{
    healthy();
    nodes[1].state = NODE_DOWN;
    nodes[1].silent_us = 90 * SECOND_US;
    OK(says(told(PROBLEM_NODE_DOWN, 2), "90 s ago"));
    OK(told(PROBLEM_NO_QUORUM, 0) == NULL); /* two of three go on */
    nodes[2].state = NODE_DOWN;
    nodes[2].silent_us = -1;
    OK(says(told(PROBLEM_NO_QUORUM, 0), "1 of 3 voters"));
    EQ(view.problems[0].kind, PROBLEM_NO_QUORUM); /* the worst first */
    OK(says(told(PROBLEM_NODE_DOWN, 3), "not heard since"));
    healthy();
    view.leader = 0;
    OK(told(PROBLEM_NO_LEADER, 0));
    view.nodes_count = 2;
    OK(told(PROBLEM_TWO_VOTERS, 0));
    view.nodes_count = 0;
    OK(says(told(PROBLEM_NO_LEADER, 1), "joined no cluster"));
}

static void test_one_node(void)
{
    healthy();
    nodes[1].behind = CLUSTER_LAG_MAX + 1;
    OK(says(told(PROBLEM_NODE_LAGS, 2), "10001 entries behind"));
    view.lag_max = CLUSTER_LAG_MAX + 1; /* shard.lag_alarm */
    OK(told(PROBLEM_NODE_LAGS, 2) == NULL);
    healthy();
    nodes[2].clock_us = -3600 * SECOND_US;
    OK(says(told(PROBLEM_CLOCK, 3), "3600 s behind"));
    healthy();
    nodes[2].clock_us = 3600 * SECOND_US;
    OK(says(told(PROBLEM_CLOCK, 3), "3600 s ahead of"));
    OK(told(PROBLEM_CLOCK, 1) == NULL);
    healthy();
    nodes[1].clock_us = nodes[2].clock_us = -3600 * SECOND_US; /* as seen by the one that is off */
    OK(says(told(PROBLEM_CLOCK, 1), "node 1 is 3600 s ahead of most"));
    OK(told(PROBLEM_CLOCK, 2) == NULL && told(PROBLEM_CLOCK, 3) == NULL);
    nodes[2].has_clock = false; /* one of two: nobody knows which */
    OK(says(told(PROBLEM_CLOCK, 2), "3600 s behind that of node 1"));
    healthy();
    nodes[0].is_short_of_room = true;
    OK(says(told(PROBLEM_DISK, 1), "nearly full"));
    healthy();
    nodes[0].disk_free_bytes = 500 << 20;
    OK(says(told(PROBLEM_DISK, 1), "500 MiB"));
    healthy();
    nodes[1].version = span_of("1.1");
    OK(says(told(PROBLEM_VERSIONS, 2), "1.1"));
    healthy();
    nodes[1].signs = view.signs = 7;
    OK(told(PROBLEM_SIGNING_KEY, 2) == NULL);
    nodes[1].signs = 8;
    OK(says(told(PROBLEM_SIGNING_KEY, 2), "another key than node 1"));
    healthy();
    nodes[1].is_disk_foreign = true;
    OK(says(told(PROBLEM_TWO_DISKS, 2), "another disk"));
    healthy();
    nodes[1].is_twice = true;
    OK(says(told(PROBLEM_TWO_DISKS, 2), "was copied"));
    healthy();
    nodes[1].check = STATE_DIFFERS;
    OK(says(told(PROBLEM_STATE_DIFFERS, 2), "another state"));
    healthy();
    nodes[1].is_voter = false;
    nodes[1].behind = 12;
    OK(says(told(PROBLEM_CATCHING_UP, 2), "12 entries behind"));
    healthy();
    nodes[1].repairs = true;
    OK(says(told(PROBLEM_REPAIR, 2), "answers nothing"));
    nodes[1].state = NODE_DOWN; /* what it said last is old */
    OK(told(PROBLEM_REPAIR, 2) == NULL);
}

/* Which node's change comes before that of another one. */
static void test_learner(void)
{
    healthy();
    EQ(cluster_view_learner(&view, 4), 0);
    nodes[1].is_voter = false;
    EQ(cluster_view_learner(&view, 4), 2);
    EQ(cluster_view_learner(&view, 2), 0); /* its own: asked again, or given up */
    nodes[2].is_voter = false;
    EQ(cluster_view_learner(&view, 2), 3);
}

/* Sixteen nodes with everything wrong: none is left out, and nothing overflows. */
static void test_all_at_once(void)
{
    static struct cluster_node_view many[CLUSTER_NODES_MAX];
    healthy();
    for (size_t i = 0; i < CLUSTER_NODES_MAX; i++) {
        many[i] = (struct cluster_node_view){
            .id = i + 1, .is_voter = i % 2, .state = NODE_UP, .silent_us = 0, .behind = 1 << 20,
            .has_clock = true, .clock_us = 10 * SECOND_US, .version = span_of("2"),
            .is_short_of_room = true, .is_disk_foreign = true, .check = STATE_DIFFERS};
    }
    view.nodes = many;
    view.nodes_count = CLUSTER_NODES_MAX;
    view.leader = 0;
    OK(told(PROBLEM_VERSIONS, CLUSTER_NODES_MAX));
    OK(view.problems_count <= CLUSTER_PROBLEMS_MAX);
    struct arena small;
    arena_init(&small, 64);
    OK(cluster_problems(&view, &small) < 0);
    arena_fini(&small);
}

int main(void)
{
    arena_init(&arena, 1 << 20);
    TAP_RUN(test_nothing);
    TAP_RUN(test_quorum);
    TAP_RUN(test_one_node);
    TAP_RUN(test_learner);
    TAP_RUN(test_all_at_once);
    arena_fini(&arena);
    return tap_done();
}

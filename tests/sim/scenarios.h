/* SPDX-License-Identifier: MIT */
/* The scenarios of directed.c, one function each; what goes wrong without the guard stands above.
 * Bits of voters are 1 << id. */
#ifndef FAIRSLOT_TESTS_SIM_SCENARIOS_H
#define FAIRSLOT_TESTS_SIM_SCENARIOS_H

#define V(id) (1u << (id))

/* Figure 8 of the Raft paper: an entry of an old term on a majority is not committed by that. */
static void figure_8(void)
{
    begin(5, 5);
    settle();
    cut_all();
    uint64_t x = propose(1, REPLICA_MESSAGE_BYTES + 1); /* alone in its message */
    crash(1, true);
    elect(5, V(3) | V(4)); /* its barrier stands where X does */
    crash(5, true);
    start(1);
    limit_index = x; /* X comes through, the new term's barrier does not */
    elect(1, V(2) | V(3));
    join(1, 2);
    join(1, 3);
    flow(150);
    for (uint64_t id = 1; id <= 3; id++) {
        expect(NODE(id)->live.recs[x - 1].len > 16, "X is on no majority");
    }
    expect(w.truths_count < x, "X was committed by counting replicas");
    crash(1, true);
    limit_index = 0;
    start(5);
    elect(5, V(2) | V(3) | V(4));
    join_all();
    part(1);
    flow(300);
    expect(w.truths_count >= x, "the other entry was not committed");
    heal(5000);
}

/* G1.  An answer to a stale term carries whatever was on the stack as last index; the old leader,
 * elected again in that very term, takes it for an acknowledgement. */
static void stale_answer(void)
{
    begin(5, 5);
    settle();
    uint64_t term = replica_term(NODE(1)->replica);
    is_held[1][3] = is_held[3][1] = true;
    flow(60); /* some appends of the old term are on their way to 3 */
    cut_all();
    for (int i = 0; i < 3000 && replica_term(NODE(3)->replica) == term; i++) {
        open_to[2][3] = ASKS;
        open_to[3][2] = BIT(PRE_VOTE);
        open_to[2][4] = BIT(PRE_ASK);
        open_to[4][2] = BIT(PRE_VOTE);
        flow(1);
    }
    cut_all();
    open_to[3][1] = ALL;
    expect(letter(1, 3, APPEND) >= 0, "no append is on its way");
    is_held[1][3] = false;
    flow(2);
    expect(letter(3, 1, RESULT) >= 0, "nothing was answered");
    elect(1, V(4) | V(5));
    expect(replica_term(NODE(1)->replica) == replica_term(NODE(3)->replica), "not the same term");
    join(1, 4);
    uint64_t y = propose(1, 16);
    flow(20);
    is_held[3][1] = false;
    open_to[1][3] = 0;
    flow(20);
    expect(log_last(NODE(3)) < y && log_last(NODE(4)) >= y, "not on two of five");
    expect(w.truths_count < y, "committed on two of five");
    elect(2, V(3) | V(5));
    join(2, 3);
    join(2, 5);
    flow(200);
    heal(5000);
}

/* G2.  A voter alone leads without a new term: after a restart it would lead the same one again. */
static void alone(void)
{
    begin(1, 1);
    for (int i = 0; i < 5 && !w.violation; i++) {
        flow(50);
        propose(1, 16);
        crash(1, i % 2);
        start(1);
    }
    heal(1000);
    world_end();
    begin(2, 2);
    elect(1, V(2));
    join_all();
    flow(200);
    expect(replica_remove(NODE(1)->replica, 2) == REPLICA_E_MEMBER, "one voter of two was left");
    after(NODE(1));
    heal(5000);
}

/* G3.  Two leaders whose first entries are changes of members commit with majorities that do not
 * meet (Ongaro, 2015). */
static void first_change(void)
{
    begin(5, 4);
    settle();
    struct replica_member fifth = member_of(4);
    fifth.role = REPLICA_LEARNER;
    expect(replica_add(NODE(1)->replica, &fifth) == 0, "no learner was added");
    after(NODE(1));
    flow(300);
    cut_all();
    join(1, 5);
    expect(replica_promote(NODE(1)->replica, 5) == 0, "no learner was promoted");
    after(NODE(1));
    flow(40); /* the change is on 1 and 5 */
    elect(2, V(3) | V(4));
    join(2, 3);
    for (int i = 0; i < 100 && !w.violation && replica_is_leader(NODE(2)->replica); i++) {
        if (replica_remove(NODE(2)->replica, 1) == 0) {
            after(NODE(2));
        }
        flow(1);
    }
    elect(1, V(4) | V(5));
    join(1, 4);
    join(1, 5);
    flow(300);
    heal(10000);
    uint64_t id = leader_id(), other = id == 2 ? 3 : 2;
    expect(id && replica_remove(NODE(id)->replica, other) == 0, "no change after a barrier");
}

/* G4.  A change that is not the first entry of its message is noted under the index of the first:
 * truncated later, it is not rolled back. */
static void change_in_batch(void)
{
    begin(6, 5);
    settle();
    part(3);
    propose(1, 16);
    flow(60);
    cut_all();
    struct replica_member sixth = member_of(5);
    sixth.role = REPLICA_LEARNER;
    expect(replica_add(NODE(1)->replica, &sixth) == 0, "no learner was added");
    after(NODE(1));
    uint64_t change = log_last(NODE(1));
    join(1, 3);
    flow(80);
    expect(log_last(NODE(3)) == change, "3 has no change");
    elect(2, V(4) | V(5));
    join_all();
    part(1);
    flow(300);
    expect(members_same(2, 3), "a truncated change was not rolled back");
    heal(5000);
}

/* A vote that is not durable was not given; one that is, is given once. */
static void vote_forgotten(void)
{
    for (int keeps = 0; keeps < 2; keeps++) {
        if (keeps) {
            world_end();
        }
        begin(3, 3);
        uint64_t term = replica_term(NODE(1)->replica);
        for (uint64_t id = 1; id <= 2; id++) {
            cut_all();
            open_to[id][3] = ASKS;
            open_to[3][id] = VOTES;
            for (int i = 0; i < 3000 && letter(id, 3, ASK) < 0 && !w.violation; i++) {
                flow(1);
            }
            expect(letter(id, 3, ASK) >= 0, "nobody asked for a vote");
            expect(replica_term(NODE(id)->replica) == term + 1, "not the same term");
            if (w.violation || unmet) {
                return;
            }
            receive(take((size_t)letter(id, 3, ASK)));
            post(NODE(3)); /* nothing, before the round */
            if (keeps || id == 2) {
                after(NODE(3));
            }
            flow(2);
            if (id == 1) {
                expect(replica_is_leader(NODE(1)->replica) == (keeps == 1), "a vote too many");
                crash(3, false);
                start(3);
            }
        }
        expect(replica_is_leader(NODE(2)->replica) == (keeps == 0), "two votes in one term");
        flow(300);
        heal(5000);
    }
}

/* A leader that is none any more, with writes in flight: they come out as another's, or not. */
static void writes_in_flight(void)
{
    begin(3, 3);
    settle();
    cut_all();
    uint64_t term = replica_term(NODE(1)->replica), index = propose(1, 16);
    propose(1, 16);
    elect(2, V(3));
    join(2, 3);
    propose(2, 16);
    flow(200);
    expect(w.truths_count > index, "the new leader committed nothing");
    expect(NODE(1)->applied < index, "the old leader applied what it alone has");
    heal(5000);
    uint64_t found = 0;
    struct span entry;
    expect(replica_read(NODE(1)->replica, index, &found, &entry) == 0 && found != term,
           "an entry in flight has its old term");
    if (leader_id() != 1) {
        expect(replica_propose(NODE(1)->replica, (struct span){(const uint8_t *)"x", 1}, &index) ==
               REPLICA_E_NOT_LEADER, "who is no leader took an entry");
    }
}

/* A stand-by by snapshot, promoted, led by, and the old leader removed. */
static void standby(void)
{
    begin(4, 3);
    w.mix.trail = 2;
    settle();
    for (int i = 0; i < 60; i++) {
        propose(1, 16);
        NODE(1)->durable = NODE(1)->applied; /* flushed: the log forgets */
        NODE(1)->durable_term = NODE(1)->applied_term;
        NODE(1)->durable_state = NODE(1)->state;
        flow(5);
    }
    expect(NODE(1)->live.base > 10, "the log forgot nothing");
    struct replica_member fourth = member_of(3);
    fourth.role = REPLICA_LEARNER;
    expect(replica_add(NODE(1)->replica, &fourth) == 0, "no learner was added");
    after(NODE(1));
    flow(500);
    expect(NODE(4)->live.base > 10 && NODE(4)->applied == NODE(1)->applied, "4 has no state");
    expect(replica_promote(NODE(1)->replica, 4) == 0, "no learner was promoted");
    after(NODE(1));
    flow(200);
    expect(replica_transfer(NODE(1)->replica, 4) == 0, "no transfer");
    after(NODE(1));
    flow(300);
    expect(leader_id() == 4, "4 does not lead");
    expect(replica_remove(NODE(4)->replica, 1) == 0, "the old leader was not removed");
    after(NODE(4));
    flow(300);
    struct replica_member members[REPLICA_MEMBERS_MAX];
    expect(replica_members(NODE(2)->replica, members) == 3, "not three members");
    crash(1, true);
    uint64_t index = propose(4, 16);
    flow(100);
    expect(NODE(2)->applied >= index && NODE(3)->applied >= index, "three do not go on");
    expect(replica_promote(NODE(4)->replica, 1) == REPLICA_E_MEMBER, "who was removed is back");
}

/* G5.  Appends that begin before what a follower has compacted are refused, and the leader walks
 * back below what it knows to match. */
static void compacted(void)
{
    begin(3, 3);
    w.mix.trail = 1;
    settle();
    open_to[3][1] = 0; /* the answers are lost: it probes, with more each time */
    is_held[1][3] = true;
    for (int i = 0; i < 30; i++) {
        propose(1, 16);
        flow(20);
    }
    is_held[1][3] = false;
    for (int i = 0; i < 300 && NODE(3)->live.base < 10; i++) {
        flow(1);
        NODE(3)->durable = NODE(3)->applied; /* flushed: the log forgets */
        NODE(3)->durable_term = NODE(3)->applied_term;
        NODE(3)->durable_state = NODE(3)->state;
    }
    expect(NODE(3)->live.base > 10, "3 has compacted nothing");
    flow(300);
    join_all();
    open_to[1][3] &= ~BIT(INSTALL); /* it has all but the newest: no state is needed for that */
    flow(300);
    uint64_t index = propose(1, 16);
    flow(200);
    expect(NODE(3)->applied >= index, "who has compacted gets nothing more");
    heal(5000);
}

/* G6.  A denied pre-vote echoes the candidate's own term: with the longer log and the older term
 * it never learns, and it lets no other win. */
static void pre_vote_echo(void)
{
    begin(3, 3);
    settle();
    cut_all();
    propose(1, 16); /* the longer log */
    uint64_t term = replica_term(NODE(1)->replica);
    for (int i = 0; i < 5000 && replica_term(NODE(2)->replica) < term + 4; i++) {
        open_to[2][3] = BIT(PRE_ASK);
        open_to[3][2] = BIT(PRE_VOTE);
        flow(1);
    }
    expect(replica_term(NODE(2)->replica) == term + 4, "2 has no newer term");
    crash(3, true);
    crash(2, true);
    cut_all();
    start(2); /* no candidate any more: it asks for pre-votes again */
    join(1, 2);
    flow(5000);
    expect(leader_id() != 0, "two of three, and no leader for ever");
    heal(5000);
}

/* G7.  Who has no vote in its own newest configuration denies votes: after an interrupted change
 * the majority may stand with it. */
static void no_vote_of_its_own(void)
{
    begin(3, 2);
    settle();
    struct replica_member third = member_of(2);
    third.role = REPLICA_LEARNER;
    expect(replica_add(NODE(1)->replica, &third) == 0, "no learner was added");
    after(NODE(1));
    flow(300);
    part(3);
    expect(replica_promote(NODE(1)->replica, 3) == 0, "no learner was promoted");
    after(NODE(1));
    flow(20); /* on 1 and 2, not on 3 */
    crash(1, true);
    cut_all();
    join(2, 3);
    flow(5000);
    expect(leader_id() == 2, "two of three, and no leader for ever");
    heal(5000);
}

/* G8.  A late answer to a pre-vote reaches who is no candidate any more. */
static void late_answer(void)
{
    begin(3, 3);
    settle();
    uint64_t term = replica_term(NODE(1)->replica);
    part(2);
    is_held[3][2] = true;
    for (int i = 0; i < 2000 && letter(3, 2, PRE_VOTE) < 0; i++) {
        open_to[2][3] = BIT(PRE_ASK);
        open_to[3][2] = BIT(PRE_VOTE);
        flow(1);
    }
    expect(letter(3, 2, PRE_VOTE) >= 0, "nobody was asked");
    join(1, 2);
    flow(100); /* 2 follows 1 again */
    expect(replica_leader(NODE(2)->replica) == 1, "2 does not follow");
    is_held[3][2] = false;
    flow(100);
    expect(replica_term(NODE(2)->replica) == term && replica_is_leader(NODE(1)->replica),
           "a leader whom nobody doubted had to go");
    heal(5000);
}

/* Whose connection to the leader ended asks at once; the other one, who saw the same, agrees. */
static void doubted_rightly(void)
{
    begin(3, 3);
    settle();
    part(1);
    replica_doubt(NODE(2)->replica, w.now_ms, 0);
    replica_doubt(NODE(3)->replica, w.now_ms, 100);
    flow(50);
    expect(leader_id() == 2, "nobody leads where all knew that the leader is gone");
    heal(5000);
}

/* Only a connection ended: the leader speaks on; its next silence is believed as late as ever. */
static void doubted_wrongly(void)
{
    begin(3, 3);
    settle();
    uint64_t term = replica_term(NODE(1)->replica);
    replica_doubt(NODE(2)->replica, w.now_ms, 0);
    flow(400);
    expect(replica_term(NODE(2)->replica) == term, "a leader whom one other hears had to go");
    replica_doubt(NODE(2)->replica, w.now_ms, 60);
    flow(200);
    expect(replica_leader(NODE(2)->replica) == 1, "2 does not follow");
    part(1);
    flow(200);
    expect(replica_leader(NODE(2)->replica) == 1, "an old doubt makes a silence shorter");
    heal(5000);
}

/* A leader's entry leaves before its own disk has it, and outlives it. */
static void entry_early(void)
{
    begin(3, 3);
    settle();
    uint8_t bytes[16] = "early";
    uint64_t index = 0;
    expect(replica_propose(NODE(1)->replica, (struct span){bytes, 16}, &index) == 0, "no leader");
    replica_early(NODE(1)->replica);
    post(NODE(1));
    expect(letter(1, 2, APPEND) >= 0 && letter(1, 3, APPEND) >= 0, "the entry waited for a disk");
    crash(1, false);
    expect(log_last(NODE(1)) < index, "it was durable already");
    receive(take((size_t)letter(1, 2, APPEND)));
    after(NODE(2));
    expect(letter(2, 1, RESULT) >= 0, "nothing was answered");
    elect(2, V(3));
    join_all();
    part(1);
    flow(300);
    expect(w.truths_count >= index && log_last(NODE(2)) >= index, "the entry was lost");
    heal(5000);
    expect(NODE(1)->live.recs[index - 1].hash == NODE(2)->live.recs[index - 1].hash,
           "the old leader has another one");
}

static const struct scenario {
    const char *name;
    void (*run)(void);
} scenarios[] = {
    {"Figure 8: an old term's entry is not committed by counting", figure_8},
    {"D1: the answer to a stale term is no acknowledgement", stale_answer},
    {"D2: a voter alone leads no term twice, and two do not become one", alone},
    {"D3: no change of members before an entry of the own term", first_change},
    {"D4: a truncated change is rolled back, wherever it stood", change_in_batch},
    {"a vote that is not durable was not given, one that is, is given once", vote_forgotten},
    {"a leader steps down with writes in flight", writes_in_flight},
    {"a stand-by by snapshot, promoted, leads, the old leader removed", standby},
    {"D5: appends from before what was compacted are no end", compacted},
    {"D6: who lags in terms learns of them when a pre-vote is denied", pre_vote_echo},
    {"D7: who has no vote in its own configuration grants one", no_vote_of_its_own},
    {"a late answer to a pre-vote changes nothing for who is no candidate", late_answer},
    {"a leader that all know to be gone has a successor at once", doubted_rightly},
    {"a leader that is doubted wrongly stays, and the doubt ends", doubted_wrongly},
    {"an entry that left before its leader had it on disk outlives that leader", entry_early},
};

#endif

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Does looking oftener, or from more connections, tell anything about what is free in a scarce
pool?  One snapshot a second, the same for everybody, and a budget for each identity."""
import time

from house import Client, Refused, Server, admin, api, new_id, refused, resources
import tap

SERVER = Server(options=['--set', 'shard.scarce_reads=1', '--set', 'shard.scarce_burst=20',
                         '--set', 'ops.listen=127.0.0.1:0'])
OPERATOR = None


def before():
    global OPERATOR
    SERVER.start()
    OPERATOR = SERVER.operator()


def after():
    SERVER.close()


def look(who, pool):
    return who.ListSlots(api.ListSlotsRequest(parent=pool, page_size=10))


def scarce(name, slots=3):
    pool = OPERATOR.make_pool(name, scarce=True).name
    return pool, OPERATOR.make_slots(pool, slots)


def test_a_budget_for_each_identity_whatever_the_connection():
    pool, _ = scarce('budget')
    who, again = SERVER.person('often'), SERVER.person('often')  # two tokens, two connections
    answered, refusal = 0, None
    for i in range(60):
        try:
            look(who if i % 2 else again, pool)
            answered += 1
        except Refused as e:
            refusal = e
    assert 20 <= answered <= 30, answered
    assert (refusal.code, refusal.reason) == (8, 'READ_BUDGET'), refusal
    assert 0 < refusal.retry_s <= 2, refusal.retry_s
    look(SERVER.person('seldom'), pool)  # nobody else pays for it
    for _ in range(40):
        look(OPERATOR, pool)


def test_pools_without_scarcity_have_none():
    pool = OPERATOR.make_pool('plenty').name
    OPERATOR.make_slots(pool, 3)
    who = SERVER.person('browser')
    for _ in range(60):
        look(who, pool)


def test_nothing_of_it_for_anonymous_callers():
    pool, _ = scarce('hidden')
    refused(16, 'TOKEN_MISSING', look, Client(SERVER.target), pool)


def test_one_snapshot_a_second_the_same_for_everybody():
    pool, slots = scarce('snapshot', 6)
    crowd = [SERVER.person('reader%d' % i) for i in range(4)]
    seen, views = {}, set()
    for n in range(12):
        if n in (3, 6):
            OPERATOR.BlockSlots(admin.BlockSlotsRequest(parent=pool, slots=[slots[n // 3]],
                                                        request_id=new_id()))
        time.sleep(0.15)
        page = look(crowd[n % 4], pool)
        assert page.as_of_time.nanos == 0, page.as_of_time
        told = tuple(s.state for s in page.slots)
        assert seen.setdefault(page.as_of_time.seconds, told) == told, 'within one second: one view'
        views.add(told)
        assert all(s.version == 0 and s.state in (resources.Slot.STATE_FREE,
                                                  resources.Slot.STATE_TAKEN) for s in page.slots)
    assert len(seen) > 1 and len(views) > 1, 'what changed is told with the next second'


if __name__ == '__main__':
    tap.run(globals(), before, after)

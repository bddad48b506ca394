#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A gateway one of whose --shard addresses is another cluster's: a node that was started as a shard
alone, its --id and --peer forgotten.  It leads itself, so it would take every call; it is asked
nothing, whoever else leads or does not, and the gateway's log names it."""
import os

from house import Process, api, new_id
import tap
from trio import Trio, patient

TRIO = None
STATE = {}


def before():
    global TRIO
    TRIO = Trio().start()
    TRIO.leader()
    STATE['pool'] = patient(lambda: TRIO.operator().make_pool('doors', max_live=16)).name
    STATE['slots'] = TRIO.operator().make_slots(STATE['pool'], 16)
    STATE['taken'] = 0


def after():
    assert STATE['alone'].stop() == 0
    TRIO.close()


def book():
    who, hold_id, confirm_id = TRIO.person('ida'), new_id(), new_id()
    slot = STATE['slots'][STATE['taken']]
    hold = patient(lambda: who.hold(slot, request_id=hold_id))
    patient(lambda: who.confirm(hold.name, request_id=confirm_id))
    STATE['taken'] += 1
    who.close()


def listed():
    """The cluster's pool and nothing else."""
    pools = patient(lambda: TRIO.operator().ListPools(api.ListPoolsRequest())).pools
    assert [pool.name for pool in pools] == [STATE['pool']], pools


def check():
    """And all that was booked."""
    listed()
    who = TRIO.person('ida')
    mine = patient(lambda: who.ListReservations(
        api.ListReservationsRequest(parent='pools/-'))).reservations
    assert len(mine) == STATE['taken'], mine


def test_a_node_is_started_alone():
    gone = TRIO.followers()[0]
    book()
    assert TRIO.shards[gone].stop() == 0
    STATE['alone'] = Process('shard', '--data', os.path.join(TRIO.data, 'alone'), '--listen',
                             TRIO.doors[gone])
    STATE['alone'].wait_ready('shard')
    STATE['gone'] = gone
    book()
    check()


def test_the_leader_ends_beside_it():
    """Nobody leads then but the one alone; the other answers from a snapshot."""
    others = [i for i in TRIO.shards if i != STATE['gone']]
    for again in others + others:
        if TRIO.metric(again, 'shard_leader') != 1:
            continue
        TRIO.shards[again].kill()
        listed()
        TRIO.start_shard(again).wait_ready('shard')
        book()
        check()


def test_all_but_it_are_away():
    others = [i for i in TRIO.shards if i != STATE['gone']]
    for i in others:
        TRIO.shards[i].kill()
    assert not TRIO.person('ida').reaches()
    told = next(line for line in TRIO.process.talk if 'FS-2105' in line)
    assert TRIO.doors[STATE['gone']] in told, told
    for i in others:
        TRIO.start_shard(i)
    for i in others:
        TRIO.shards[i].wait_ready('shard')
    book()
    check()


if __name__ == '__main__':
    tap.run(globals(), before, after)

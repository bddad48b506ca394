#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: somebody with thousands of records is erased by steps that go on by themselves, whoever
asks or dies: kill -9 of the server in the middle, then of the leader among three replicas.

Where the kill falls is chance here; unit ledger_erase opens the state again behind every step.
"""
import base64
import hashlib
import hmac
import json
import os
import struct
import threading

import house
from house import Refused, api, eventually, new_id, resources
import tap
from trio import Trio, patient

State = resources.Slot
CLASSES, ASKED = 12, 1500


def pseudonym(data, token):
    """As engine/gateway/verify.c makes it: what an operator reads in his own books."""
    body = token.split('.')[1]
    claims = json.loads(base64.urlsafe_b64decode(body + '=' * (-len(body) % 4)))
    with open(os.path.join(data, 'tenant.key'), 'rb') as file:
        key = file.read()
    text = b''.join(struct.pack('>H', len(word)) + word
                    for word in (claims['iss'].encode(), claims['sub'].encode()))
    return hmac.new(key, text, hashlib.sha256).digest()[:16].hex()


def furnish(server, operator, person):
    """A reservation and a hold in each class, and remembered refusals; the pools."""
    pools = []
    for i in range(CLASSES):
        pool = patient(lambda i=i: operator.make_pool(f'c{i:02}', service_class=f'c{i:02}')).name
        names = operator.make_slots(pool, 3)
        person.confirm(person.hold(names[0]).name)
        held = person.hold(names[1]).name
        pools.append(pool)

    def ask(count):
        for _ in range(count):
            try:
                person.drop(held[:-4] + '0000')
            except Refused as refusal:
                assert refusal.reason == 'HOLD_UNKNOWN', refusal
    threads = [threading.Thread(target=ask, args=(ASKED // 8,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return pools


def erase(operator, identity, request_id):
    """The operation, or None while it is under way."""
    request = house.cluster.EraseIdentityRequest(identity=identity, request_id=request_id)
    try:
        return operator.EraseIdentity(request)
    except Refused as refusal:
        assert refusal.code == 14, refusal
        assert refusal.reason != 'ERASE_RUNNING' or refusal.retry_s > 0, refusal
        return None


def judge(operator, person, pools):
    for pool in pools:
        states = [slot.state for slot in patient(lambda pool=pool: operator.slots(pool))]
        assert states == [State.STATE_RETURNED] * 2 + [State.STATE_FREE], (pool, states)
    found = person.ListReservations(api.ListReservationsRequest(parent='pools/-'))
    assert not found.reservations, found


def scenario(server, strike):
    operator = server.operator()
    token = server.tokens('forget me')[0]
    person, other = house.Client(server.target, token), server.person('keep me')
    pools = furnish(server, operator, person)
    slots = operator.make_slots(operator.make_pool('kept').name, 1)
    kept = other.confirm(other.hold(slots[0]).name).name
    identity, wish, second = pseudonym(server.data, token), new_id(), new_id()
    assert erase(operator, identity, wish) is None, 'small enough for one command'
    strike()
    mine = patient(lambda: person.ListReservations(api.ListReservationsRequest(parent='pools/-')))
    assert len(mine.reservations) <= CLASSES
    done = eventually(lambda: erase(operator, identity, wish), seconds=60)
    assert done.done and done.name, done
    assert erase(operator, identity, wish) == done, 'the first answer'
    assert eventually(lambda: erase(operator, identity, second)).name != done.name
    judge(operator, person, pools)
    theirs = other.ListReservations(api.ListReservationsRequest(parent='pools/-')).reservations
    assert [one.name for one in theirs] == [kept]
    person.confirm(person.hold(operator.slots(pools[0])[2].name).name)  # and may come back
    for client in (operator, person, other):
        client.close()


def test_killed_in_the_middle():
    server = house.Server().start()
    try:
        def strike():
            server.kill()
            server.start()
        scenario(server, strike)
    finally:
        server.close()


def test_its_leader_is_killed():
    trio = Trio().start()
    try:
        def strike():
            leader = trio.leader()
            trio.shards[leader].kill()
            trio.leader(but=leader)
            trio.start_shard(leader).wait_ready('shard')
        trio.leader()
        scenario(trio, strike)
        trio.level()
    finally:
        trio.close()


if __name__ == '__main__':
    tap.run(globals())

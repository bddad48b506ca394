#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: WatchSlots tells everybody the same, once a second, and nothing that it must not tell.

Method: python3-grpcio for streams; Connect over HTTP/1.1 by hand; hyper-h2 for a reader who does
not read.  FAIRSLOT_SOAK=1 waits for the slow reader's end, too (35 s).
"""
import http.client
import json
import os
import struct
import threading
import time

import house
import rawh2
import tap
from house import admin, api, new_id, resources

SERVER = house.Server()
SLOT = resources.Slot
FIRST = 1924992000 + 8 * 3600  # 2031-01-01T08:00Z


def before():
    global OPERATOR, ANNA, BERT
    SERVER.start()
    OPERATOR = SERVER.operator()
    ANNA, BERT = SERVER.person('anna'), SERVER.person('bert')


def after():
    SERVER.close()


def pool_with_slots(pool_id, count, **fields):
    shape = {key: fields.pop(key) for key in ('first', 'desks', 'step_s') if key in fields}
    pool = OPERATOR.make_pool(pool_id, **fields)
    return pool.name, OPERATOR.make_slots(pool.name, count, **{'first': FIRST, **shape})


class Watch:
    """A stream being read; parts and how it ended."""

    def __init__(self, person, pool, timeout=60):
        self.parts, self.end = [], None
        self.stream = person.stubs[0].WatchSlots(
            api.WatchSlotsRequest(parent=pool), metadata=person.metadata(), timeout=timeout)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        try:
            for part in self.stream:
                self.parts.append(part)
        except Exception as error:  # a grpc.RpcError; cancelled ones too
            self.end = house.Refused(error)

    def state(self):
        """{slot: state} after everything that was told."""
        return {slot.name: slot.state for part in self.parts for slot in part.changed}

    def complete(self):
        return any(part.complete for part in self.parts)

    def close(self):
        self.stream.cancel()
        self.reader.join(10)


def watched(person, pool):
    watch = Watch(person, pool)
    house.eventually(watch.complete)
    return watch


# -- what is told ---------------------------------------------------------------------------------

def test_first_everything_then_changes():
    pool, names = pool_with_slots('plain', 5)
    watch = watched(ANNA, pool)
    assert [slot.name for part in watch.parts for slot in part.changed] == names
    assert set(watch.state().values()) == {SLOT.STATE_FREE}
    told = len(watch.parts)
    hold = BERT.hold(names[2])
    house.eventually(lambda: watch.state()[names[2]] == SLOT.STATE_HELD)
    news = [slot.name for part in watch.parts[told:] for slot in part.changed]
    assert news == [names[2]], news
    BERT.confirm(hold.name)
    house.eventually(lambda: watch.state()[names[2]] == SLOT.STATE_TAKEN)
    told = list(OPERATOR.slots(pool))
    assert {slot.name: slot.state for slot in told} == watch.state()
    times = [part.as_of_time.seconds + part.as_of_time.nanos / 1e9 for part in watch.parts]
    assert all(b - a > 0.9 for a, b in zip(times, times[1:])), times
    watch.close()


def test_the_same_for_everybody():
    """Twenty people, ten changes: all are told the same instants with the same slots."""
    pool, names = pool_with_slots('same', 40, max_live=16)
    people = [SERVER.person(f'watcher-{i}') for i in range(20)]
    watches = [watched(person, pool) for person in people]
    begun = time.time()
    for name in names[:10]:
        ANNA.hold(name)
        time.sleep(0.25)
    for watch in watches:
        house.eventually(lambda w=watch: all(w.state()[n] == SLOT.STATE_HELD for n in names[:10]))
    told = {}
    for watch in watches:
        for part in watch.parts:
            if part.changed and part.as_of_time.seconds > begun + 1:
                instant = (part.as_of_time.seconds, part.as_of_time.nanos)
                told.setdefault(instant, []).append(sorted(slot.name for slot in part.changed))
    assert told, 'something changed after the first instant'
    for instant, lists in told.items():
        assert len(lists) == len(watches) and all(one == lists[0] for one in lists), instant
    for watch in watches:
        watch.close()


def test_a_large_pool_comes_in_parts():
    pool, names = pool_with_slots('large', 2500, step_s=60, desks=25)
    watch = watched(ANNA, pool)
    first = [part for part in watch.parts if len(part.changed) > 0]
    assert [slot.name for part in first for slot in part.changed] == names
    assert [part.complete for part in first] == [False] * (len(first) - 1) + [True]
    assert max(len(part.changed) for part in first) <= 500
    assert len({(p.as_of_time.seconds, p.as_of_time.nanos) for p in first}) == 1
    watch.close()


def test_scarce_pools_do_not_move_on_a_cancel():
    pool, names = pool_with_slots('quiet', 3)
    taken = ANNA.confirm(ANNA.hold(names[0]).name)
    OPERATOR.UpdatePool(admin.UpdatePoolRequest(pool=resources.Pool(name=pool, scarce=True),
                                                update_paths=['scarce'], request_id=new_id()))
    watch = watched(BERT, pool)
    told = len(watch.parts)
    assert watch.state()[names[0]] == SLOT.STATE_TAKEN
    assert {slot.version for part in watch.parts for slot in part.changed} == {0}
    ANNA.cancel(taken.name)
    time.sleep(2.5)
    assert [part for part in watch.parts[told:] if part.changed] == []
    OPERATOR.RestockPool(admin.RestockPoolRequest(name=pool, request_id=new_id()))
    house.eventually(lambda: watch.state()[names[0]] == SLOT.STATE_FREE)
    watch.close()


def test_started_slots_are_not_told():
    pool, names = pool_with_slots('started', 4, first=int(time.time()) - 3600, step_s=2400)
    watch = watched(ANNA, pool)
    assert list(watch.state()) == names[2:], watch.state()
    watch.close()


# -- who may not, and how it ends -----------------------------------------------------------------

def ended(person, pool, code, reason):
    watch = Watch(person, pool)
    watch.reader.join(10)
    assert watch.end and (watch.end.code, watch.end.reason) == (code, reason), watch.end
    return watch.end


def test_refused():
    pool, _ = pool_with_slots('refused', 1)
    ended(house.Client(SERVER.target), pool, 16, 'TOKEN_MISSING')
    ended(ANNA, 'pools/nowhere', 5, 'POOL_UNKNOWN')
    for parent in ('', 'pools/', 'pools/A', pool + '/slots/x'):
        ended(ANNA, parent, 3, 'FIELD_INVALID')


def test_eight_streams_for_one_identity():
    pool, _ = pool_with_slots('eight', 1)
    watches = [watched(ANNA, pool) for _ in range(8)]
    assert ended(ANNA, pool, 8, 'RATE_LIMITED').retry_s > 0
    other = watched(BERT, pool)
    watches.pop().close()
    house.eventually(lambda: try_watch(watches, pool))
    for watch in watches + [other]:
        watch.close()


def try_watch(watches, pool):
    watch = Watch(ANNA, pool)
    house.eventually(lambda: watch.complete() or watch.end)
    if watch.end:
        return False
    watches.append(watch)
    return True


def test_its_clients_deadline_ends_it():
    pool, _ = pool_with_slots('deadline', 1)
    watch = Watch(ANNA, pool, timeout=2)
    watch.reader.join(10)
    assert watch.complete() and watch.end.code == 4, watch.end


def test_connect_over_http_1():
    """A browser's way: a Connect stream of JSON over HTTP/1.1."""
    pool, names = pool_with_slots('browser', 2)
    host, _, port = SERVER.target.rpartition(':')
    line = http.client.HTTPConnection(host, int(port), timeout=10)
    body = json.dumps({'parent': pool}).encode()
    line.request('POST', '/fairslot.v1.CatalogService/WatchSlots',
                 struct.pack('>BI', 0, len(body)) + body,
                 {'Content-Type': 'application/connect+json', 'Connect-Protocol-Version': '1',
                  'Authorization': 'Bearer ' + ANNA.token})
    answer = line.getresponse()
    assert answer.status == 200, answer.status
    flags, length = struct.unpack('>BI', answer.read(5))
    part = json.loads(answer.read(length))
    assert flags == 0 and [slot['name'] for slot in part['changed']] == names, part
    assert part['complete'] and part['changed'][0]['state'] == 'STATE_FREE'
    line.close()


def test_who_does_not_read_costs_little():
    """Window zero: what waits is bounded, others are served; after 30 s the stream ends."""
    pool, names = pool_with_slots('lazy', 3000, step_s=60, desks=30)
    lazy = rawh2.Connection(SERVER.port, patience=60)
    lazy.h2.update_settings({rawh2.h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0})
    stream = lazy.request(
        '/fairslot.v1.CatalogService/WatchSlots',
        rawh2.message(api.WatchSlotsRequest(parent=pool).SerializeToString()),
        headers=[('authorization', 'Bearer ' + ANNA.token)])
    watch = watched(BERT, pool)
    assert len(watch.state()) == 3000
    BERT.hold(names[0])
    house.eventually(lambda: watch.state()[names[0]] == SLOT.STATE_HELD)
    watch.close()
    if os.environ.get('FAIRSLOT_SOAK'):
        answer = house.eventually(lambda: read(lazy, stream), seconds=60)
        assert answer.reset is not None or answer.ended or lazy.closed
    lazy.close()
    assert SERVER.alive()


def read(line, stream):
    """The stream's answer once it has ended; the window stays shut."""
    line.read_once()
    answer = line.answers[stream]
    return answer if answer.ended or answer.reset is not None or line.closed else None


def test_a_shard_that_comes_back():
    """Two processes over TCP: a shard that is killed and started again costs some seconds, and no
    change; one that stays away ends the stream with NO_LEADER (soak)."""
    pair = house.Pair()
    pair.start()
    operator, person = pair.operator(), pair.person('anna')
    names = operator.make_slots(operator.make_pool('pair').name, 4, first=FIRST)
    watch = watched(person, 'pools/pair')
    pair.shard.kill()
    time.sleep(1.5)
    assert watch.end is None
    pair.start_shard()
    house.eventually(person.reaches, seconds=20)
    person.hold(names[1])
    house.eventually(lambda: watch.state()[names[1]] == SLOT.STATE_HELD, seconds=20)
    if os.environ.get('FAIRSLOT_SOAK'):
        pair.shard.kill()
        watch.reader.join(60)
        assert (watch.end.code, watch.end.reason) == (14, 'NO_LEADER'), watch.end
        assert watch.end.retry_s > 0
    watch.close()
    pair.close()


def test_stopping_ends_streams_with_a_retry():
    pool, _ = pool_with_slots('stop', 1)
    watch = watched(ANNA, pool)
    assert SERVER.stop() == 0, SERVER.process.talk
    watch.reader.join(10)
    assert watch.end and (watch.end.code, watch.end.reason) == (14, 'SHUTTING_DOWN'), watch.end
    assert watch.end.retry_s > 0
    SERVER.start()
    house.eventually(ANNA.reaches)
    watched(ANNA, pool).close()


if __name__ == '__main__':
    tap.run(globals(), before, after)

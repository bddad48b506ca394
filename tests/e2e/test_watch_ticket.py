#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: WatchTicket tells one's own ticket at once, again with each change, and ends when it ends.

Method: python3-grpcio against a real server; Connect over HTTP/1.1 by hand."""
import http.client
import json
import os
import struct
import subprocess
import threading
import time

import house
import tap
from house import api, cluster, eventually, new_id, resources
from release_kit import WINDOW_S

SERVER = house.Server()
Ticket = resources.Ticket
State = resources.Release.State


def before():
    global OPERATOR
    SERVER.start()
    OPERATOR = SERVER.operator()


def after():
    SERVER.close()


def make_release(operator, name, slots=1, serving=1, window_s=WINDOW_S, turn_s=0):
    """Its name; in ENTRY."""
    pool = operator.make_pool(name, scarce=True, max_live=1, hold_ttl_s=600)
    operator.make_slots(pool.name, slots, desks=2)
    now = time.time()
    release = resources.Release(serving=serving)
    release.entry_open_time.seconds = int(now)
    release.entry_close_time.FromMicroseconds(int((now + window_s) * 1e6))
    release.entry_grace.seconds = 1
    release.slots_start_time.seconds = int(now) + 7200
    release.slots_end_time.seconds = int(now) + 40 * 86400
    if turn_s:
        release.turn_length.seconds = turn_s
    made = operator.CreateRelease(cluster.CreateReleaseRequest(
        parent=pool.name, release_id='r', release=release, request_id=new_id())).name
    eventually(lambda: operator.GetRelease(api.GetReleaseRequest(name=made)).state ==
               State.STATE_ENTRY)
    return made


def people_of(server, prefix, release, count, serving=1):
    people = [server.person(f'{prefix}-{i}') for i in range(count)]
    for who in people:
        wishes = [resources.Preference(any=True)] if serving == 1 else []
        who.CreateTicket(api.CreateTicketRequest(parent=release, preferences=wishes, slot_count=1,
                                                 request_id=new_id()))
    return people


class Watch:
    """A stream being read; what it told, and how it ended (None: with OK, once is_over)."""

    def __init__(self, person, name, timeout=90):
        self.told, self.end, self.is_over = [], None, False
        self.stream = person.stubs[2].WatchTicket(
            api.WatchTicketRequest(name=name), metadata=person.metadata(), timeout=timeout)
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        try:
            for ticket in self.stream:
                self.told.append(ticket)
        except Exception as error:  # a grpc.RpcError; cancelled ones too
            self.end = house.Refused(error)
        self.is_over = True

    def states(self):
        return [ticket.state for ticket in self.told]

    def reaches(self, state, seconds=20):
        eventually(lambda: state in self.states(), seconds)

    def ends_ok(self, state):
        eventually(lambda: self.is_over, 20)
        assert self.end is None and self.states()[-1] == state, (self.end, self.states())

    def ends(self, code, *reasons):
        eventually(lambda: self.is_over, 30)
        assert self.end and self.end.code == code and self.end.reason in reasons, vars(self.end)
        return self.end

    def close(self):
        self.stream.cancel()
        self.reader.join(10)


def me(release):
    return release + '/tickets/me'


def test_offers_lapses_and_standby():
    release = make_release(OPERATOR, 'offers')
    people = people_of(SERVER, 'offers', release, 3)
    watches = [Watch(who, me(release)) for who in people]
    for watch in watches:
        watch.reaches(Ticket.STATE_ENTERED)
    eventually(lambda: sum(w.states()[-1] == Ticket.STATE_OFFERED for w in watches) == 1 and
               sum(w.states()[-1] == Ticket.STATE_STANDBY for w in watches) == 2, 30)
    ranked = sorted(zip(people, watches), key=lambda pair: pair[1].told[-1].rank)
    (first, one), (second, two), (_, three) = ranked
    first.drop(one.told[-1].hold)
    one.ends_ok(Ticket.STATE_LAPSED)
    assert one.told[-1].outcome_reason == 'HOLD_DROPPED'
    two.reaches(Ticket.STATE_OFFERED)
    second.confirm(two.told[-1].hold)
    two.ends_ok(Ticket.STATE_USED)
    OPERATOR.CloseRelease(cluster.OpenReleaseRequest(name=release, request_id=new_id()))
    three.ends_ok(Ticket.STATE_LOST)
    for _, watch in ranked:
        for a, b in zip(watch.told, watch.told[1:]):
            assert a != b, 'the same twice'
    late = Watch(first, me(release))  # an ended ticket is told once
    late.ends_ok(Ticket.STATE_LAPSED)
    assert len(late.told) == 1


def test_a_turn_comes_and_passes_on():
    release = make_release(OPERATOR, 'turns', serving=2, turn_s=3)
    people = people_of(SERVER, 'turns', release, 2, serving=2)
    watches = [Watch(who, me(release)) for who in people]
    for watch in watches:
        watch.reaches(Ticket.STATE_TURN, 40)
        watch.ends_ok(Ticket.STATE_LAPSED)
        assert watch.told[-1].outcome_reason == 'TURN_EXPIRED'


def test_a_turn_begins_anew_after_a_pause():
    release = make_release(OPERATOR, 'paused', serving=2, turn_s=20)
    who, = people_of(SERVER, 'paused', release, 1, serving=2)
    watch = Watch(who, release + '/tickets/me')
    eventually(lambda: watch.told and watch.told[-1].state == Ticket.STATE_TURN, seconds=30)
    first = watch.told[-1].act_by_time.ToMicroseconds()
    asked = cluster.OpenReleaseRequest(name=release, request_id=new_id())
    OPERATOR.PauseRelease(asked)
    time.sleep(1.5)
    began = time.time()
    asked.request_id = new_id()
    OPERATOR.ResumeRelease(asked)
    eventually(lambda: watch.told[-1].act_by_time.ToMicroseconds() > first, seconds=10)
    assert time.time() - began < 3, 'only when it looked by itself'
    assert abs(watch.told[-1].act_by_time.ToMicroseconds() / 1e6 - began - 20) < 2, watch.told
    watch.stream.cancel()


def test_refusals_deadline_and_many_streams():
    release = make_release(OPERATOR, 'bad', window_s=600)
    who, = people_of(SERVER, 'bad', release, 1)
    other = SERVER.person('bad-other')
    Watch(other, me(release)).ends(5, 'TICKET_UNKNOWN')
    own = Watch(who, me(release))
    own.reaches(Ticket.STATE_ENTERED)
    Watch(other, own.told[0].name).ends(5, 'TICKET_UNKNOWN')
    Watch(who, release[:-1] + 'x/tickets/me').ends(5, 'RELEASE_UNKNOWN')
    Watch(who, release).ends(3, 'FIELD_INVALID')
    Watch(house.Client(SERVER.target), me(release)).ends(16, 'TOKEN_MISSING')
    short = Watch(who, me(release), timeout=1.5)
    eventually(lambda: short.is_over)
    assert short.told and short.end.code == 4, short.end
    more = [Watch(who, me(release)) for _ in range(7)]
    for watch in more:
        watch.reaches(Ticket.STATE_ENTERED)
    who.DeleteTicket(api.DeleteTicketRequest(name=me(release), request_id=new_id()))
    for watch in [own, *more]:
        watch.ends_ok(Ticket.STATE_WITHDRAWN)


def told_behind_a_change(server, name):
    """What one who has asked for 20 answers in a row, one who has not, and an open stream are told
    when the release is cancelled; None when it took longer than an interval."""
    operator = server.operator()
    release = make_release(operator, name, window_s=600)
    hasty, calm = people_of(server, name, release, 2)
    get = api.GetTicketRequest(name=me(release))
    before_it = hasty.GetTicket(get)
    interval = before_it.min_poll_interval.seconds
    assert interval == 1, before_it
    stream = Watch(hasty, me(release))
    stream.reaches(Ticket.STATE_ENTERED)
    start = time.monotonic()
    answers = [hasty.GetTicket(get) for _ in range(20)]
    assert all(a.state == Ticket.STATE_ENTERED for a in answers), answers
    stream.close()  # what it tells is no longer hidden from GetTicket
    operator.CancelRelease(cluster.OpenReleaseRequest(name=release, request_id=new_id()))
    told = hasty.GetTicket(get).state, calm.GetTicket(get).state
    if time.monotonic() - start > 0.9 * interval:
        return None
    time.sleep(1.2 * interval)
    assert hasty.GetTicket(get).state == Ticket.STATE_LOST
    return told


def test_polling_faster_is_useless():
    for attempt in range(10):
        told = told_behind_a_change(SERVER, f'hasty-{attempt}')
        if told:
            break
    assert told == (Ticket.STATE_ENTERED, Ticket.STATE_LOST), told
    release = make_release(OPERATOR, 'own', window_s=600)
    who, = people_of(SERVER, 'own', release, 1)
    for _ in range(20):
        who.GetTicket(api.GetTicketRequest(name=me(release)))
    who.DeleteTicket(api.DeleteTicketRequest(name=me(release), request_id=new_id()))
    ticket = who.GetTicket(api.GetTicketRequest(name=me(release)))
    assert ticket.state == Ticket.STATE_WITHDRAWN, ticket  # one's own doing is never hidden


def test_without_the_limit_it_is_not():
    free = house.Server(options=['--set', 'shard.ticket_burst=0'])
    free.start()
    try:
        for attempt in range(10):
            told = told_behind_a_change(free, f'free-{attempt}')
            if told:
                break
        assert told == (Ticket.STATE_LOST, Ticket.STATE_LOST), told
    finally:
        free.close()


def test_connect_over_http_1():
    release = make_release(OPERATOR, 'web', window_s=600)
    who, = people_of(SERVER, 'web', release, 1)
    host, _, port = SERVER.target.rpartition(':')
    line = http.client.HTTPConnection(host, int(port), timeout=20)
    body = json.dumps({'name': me(release)}).encode()
    line.request('POST', '/fairslot.v1.TicketService/WatchTicket',
                 struct.pack('>BI', 0, len(body)) + body,
                 {'Content-Type': 'application/connect+json', 'Connect-Protocol-Version': '1',
                  'Authorization': 'Bearer ' + who.token})
    answer = line.getresponse()

    def part():
        flags, length = struct.unpack('>BI', answer.read(5))
        return flags, json.loads(answer.read(length))

    assert answer.status == 200
    flags, ticket = part()
    assert flags == 0 and ticket['state'] == 'STATE_ENTERED', ticket
    who.DeleteTicket(api.DeleteTicketRequest(name=me(release), request_id=new_id()))
    flags, ticket = part()
    assert flags == 0 and ticket['state'] == 'STATE_WITHDRAWN', ticket
    flags, end = part()
    assert flags == 2 and 'error' not in end, end
    line.close()


def test_news_come_before_the_clock():
    """Without news a follower looks every 15 s; a change is told long before."""
    release = make_release(OPERATOR, 'news', window_s=600)
    people = people_of(SERVER, 'news', release, 3)
    watches = [Watch(who, me(release)) for who in people]
    for watch in watches:
        watch.reaches(Ticket.STATE_ENTERED)
    for who, watch in zip(people, watches):
        who.DeleteTicket(api.DeleteTicketRequest(name=me(release), request_id=new_id()))
        eventually(lambda: watch.is_over, 12)
        watch.ends_ok(Ticket.STATE_WITHDRAWN)


def test_a_shard_that_was_killed():
    """Its news are gone with it; its followers are told what changed all the same."""
    house_of_two = house.Pair().start()
    try:
        operator = house_of_two.operator()
        release = make_release(operator, 'killed', window_s=600)
        who, other = people_of(house_of_two, 'killed', release, 2)
        watch = Watch(who, me(release))
        watch.reaches(Ticket.STATE_ENTERED)
        house_of_two.kill_shard()
        for _ in range(40):  # NO_LEADER ends a stream; a client comes again
            if watch.is_over:
                watch = Watch(who, me(release))
            if Ticket.STATE_ENTERED in watch.states():
                break
            time.sleep(0.5)
        leave = api.DeleteTicketRequest(name=me(release), request_id=new_id())
        for _ in range(40):  # NO_LEADER while the shard starts: the same request again
            try:
                who.DeleteTicket(leave)
                break
            except house.Refused as refused:
                assert refused.reason == 'NO_LEADER', vars(refused)
                time.sleep(0.5)
        if watch.is_over:
            watch = Watch(who, me(release))
        watch.ends_ok(Ticket.STATE_WITHDRAWN)
    finally:
        house_of_two.close()


@tap.alone
def test_two_thousand_streams():
    """All woken at once by the release, and their clocks at work: nobody asks twice at a time."""
    server = house.Server().start()
    try:
        count = 600 if house.SANITIZED else 2000
        tokens = os.path.join(server.data, 'tokens')
        with open(tokens, 'w') as f:
            f.writelines(t + '\n' for t in house.mint(server.data, 'many', count=count))
        release = make_release(server.operator(), 'many', slots=20, serving=2, window_s=14,
                               turn_s=3)
        for words in (['tickets', '--connections', '20'],
                      ['watch', '--connections', str(count // 50), '--streams', '50',
                       '--turn-ms', '3000', '--seconds', '16']):
            done = subprocess.run(
                [house.BINARY, 'bench', *words, '--target', server.target, '--tokens-file', tokens,
                 '--release', release], capture_output=True, text=True, timeout=200)
            assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told['failed'] == 0 and told['turns'] >= 20, told
    finally:
        server.close()


def test_drain_ends_it():
    server = house.Server().start()
    try:
        release = make_release(server.operator(), 'drain', window_s=600)
        who, = people_of(server, 'drain', release, 1)
        watch = Watch(who, me(release))
        watch.reaches(Ticket.STATE_ENTERED)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        assert watch.ends(14, 'SHUTTING_DOWN').retry_s > 0
        stopping.join(30)
    finally:
        server.close()


if __name__ == '__main__':
    tap.run(globals(), before, after, side_by_side=6)

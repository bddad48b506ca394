#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: kill -9 in every state of a release changes nothing of what comes of it.

A release is announced, its server ends well, and its data is copied: two servers with the same
release key, operator's seed and manifest.  One is left in peace, the other killed in every state,
and while things go on in it.  People do the same at both.  In the end the two bundles are the same,
byte for byte, and so is who has what.  (test_ledger_release.c kills behind every command.)"""
import os
import random
import shutil
import threading
import time

import house
from house import SANITIZED, Refused, Server, api, cluster, eventually, new_id, scratch_folder
from release_kit import Bundle, City, State, Ticket, make_release, wishes
import tap

PEOPLE, SLOTS = 40, 12
SLOW = 5 if SANITIZED else 2
CALM, TORN = None, None
RNG = random.Random(7)
KILLS = []


class Twin:
    """One of the two servers, with everybody as a client of it."""

    def __init__(self, data):
        self.server = Server(data).start()
        self.operator = self.server.operator()
        # A call that was under way may hear nothing of the kill: it is asked again soon.
        self.people = [house.Client(self.server.target, token, timeout=2)
                       for token in self.server.tokens('twin', count=PEOPLE)]

    def kill(self, state):
        KILLS.append(state)
        self.server.kill()
        self.server.start()
        eventually(self.operator.reaches, 20)

    def get(self):
        return again(self.operator.GetRelease, api.GetReleaseRequest(name=RELEASE))

    def wait(self, *states):
        eventually(lambda: self.get().state in states, seconds=60 * SLOW)

    def ticket(self, number):
        return again(self.people[number].GetTicket,
                     api.GetTicketRequest(name=RELEASE + '/tickets/me'))


RELEASE = 'pools/twin/releases/r'


def again(method, request):
    """By the same request id, until there is an answer: a server that was killed comes back."""
    until = time.monotonic() + 30
    while True:
        try:
            return method(request)
        except Refused as refusal:
            if refusal.code not in (4, 14) or time.monotonic() > until:
                raise
            time.sleep(0.05)


def before():
    global CALM, TORN
    first = Server(scratch_folder()).start()
    city = City(first)
    pool, _ = city.pool('twin', SLOTS, hold_ttl_s=600)
    release = make_release(open_s=3 * SLOW, window_s=12 * SLOW, grace_s=1, parts_wait_s=60,
                           beacon='waited for', close_s=28 * SLOW)
    made = city.operator.CreateRelease(cluster.CreateReleaseRequest(
        parent=pool, release_id='r', release=release, request_id=new_id()))
    assert made.name == RELEASE
    eventually(lambda: city.get(RELEASE).manifest)
    assert city.get(RELEASE).state == State.STATE_ANNOUNCED
    assert first.stop() == 0
    folders = [scratch_folder() for _ in range(2)]
    for folder in folders:
        shutil.copytree(first.data, folder, dirs_exist_ok=True)
    CALM, TORN = Twin(folders[0]), Twin(folders[1])


def after():
    for twin in CALM, TORN:
        if twin:
            twin.server.close()


def both(act):
    """The same at both; then both must say the same."""
    said = [act(twin) for twin in (CALM, TORN)]
    assert said[0] == said[1], said
    return said[0]


def kills(state, count, within_s):
    """Kills of the one at chance moments, beside whatever goes on."""
    for _ in range(count):
        time.sleep(RNG.uniform(0, within_s))
        TORN.kill(state)


def beside(state, count, within_s, act):
    """act() while the one is killed."""
    thread = threading.Thread(target=kills, args=(state, count, within_s))
    thread.start()
    try:
        return act()
    finally:
        thread.join()


def essence(ticket):
    """What must be the same; not the log's own numbers, nor times."""
    return (ticket.name, ticket.state, ticket.rank, ticket.leaf_version, ticket.receipt,
            ticket.outcome_reason, bool(ticket.hold))


def test_announced():
    TORN.kill('ANNOUNCED')
    both(lambda twin: (twin.get().manifest, twin.get().state))


def test_entry():
    for twin in CALM, TORN:
        twin.wait(State.STATE_ENTRY)
    slots = [s.name for s in CALM.operator.slots('pools/twin')]
    ids = [new_id() for _ in range(PEOPLE)]

    def fill(twin):
        for i, who in enumerate(twin.people):
            again(who.CreateTicket, api.CreateTicketRequest(
                parent=RELEASE, request_id=ids[i],
                preferences=wishes(slots[i % SLOTS], slots[i * 5 % SLOTS], *['any'][:i % 2])))
        for who in twin.people[:3]:
            again(who.DeleteTicket, api.DeleteTicketRequest(
                name=RELEASE + '/tickets/me', request_id=new_id()))
        return [essence(twin.ticket(i)) for i in range(PEOPLE)]

    calm = fill(CALM)
    torn = beside('ENTRY', 3, 0.2, lambda: fill(TORN))
    assert calm == torn
    assert TORN.get().state == State.STATE_ENTRY, 'too slow a machine for the window of this test'


def test_sealing_and_sealed():
    kills('ENTRY', 2, 0.2)
    while TORN.get().state == State.STATE_ENTRY:  # until it is over, and as it is over
        kills('SEALING', 1, 0.3)
    for twin in CALM, TORN:
        twin.wait(State.STATE_SEALED)
    kills('SEALED', 2, 0.1)
    root, count, _ = both(lambda twin: (twin.get().ticket_root, twin.get().ticket_count,
                                        twin.get().state))
    assert root and count == PEOPLE


def test_seed_ranking_serving():
    part = cluster.AddReleasePartRequest(name=RELEASE, trustee=0, part=b'the beacon said so',
                                         request_id=new_id())
    again(CALM.operator.AddReleasePart, part)
    beside('RANKING', 4, 0.05, lambda: again(TORN.operator.AddReleasePart, part))
    for twin in CALM, TORN:
        twin.wait(State.STATE_STANDBY)
    both(lambda twin: (twin.get().seed, twin.get().operator_seed, twin.get().served_count,
                       twin.get().rank_threshold))
    tickets = both(lambda twin: [essence(twin.ticket(i)) for i in range(PEOPLE)])
    assert sum(t[1] == Ticket.STATE_OFFERED for t in tickets) == SLOTS


def test_standby():
    order = sorted(range(3, PEOPLE), key=lambda i: CALM.ticket(i).rank)
    won = [i for i in order if CALM.ticket(i).hold]
    ids = [new_id() for _ in range(8)]

    def act(twin):
        for k, i in enumerate(won[:2]):
            again(twin.people[i].DropHold, api.DropHoldRequest(name=twin.ticket(i).hold,
                                                               request_id=ids[k]))
        for k, i in enumerate(won[2:6]):
            again(twin.people[i].ConfirmHold, api.ConfirmHoldRequest(
                name=twin.ticket(i).hold, request_id=ids[2 + k]))
        return True

    assert act(CALM)
    beside('STANDBY', 3, 0.1, lambda: act(TORN))
    for twin in CALM, TORN:
        eventually(lambda t=twin: sum(bool(t.ticket(i).hold) for i in order) >= SLOTS)
    for verb in ('PauseRelease', 'ResumeRelease'):
        request = cluster.OpenReleaseRequest(name=RELEASE, request_id=new_id())
        for twin in CALM, TORN:
            again(getattr(twin.operator, verb), request)
        TORN.kill('PAUSED')
    both(lambda twin: [essence(twin.ticket(i)) for i in range(PEOPLE)])


def test_closing_and_closed():
    while TORN.get().state != State.STATE_CLOSED:  # by its schedule
        kills('CLOSING', 1, 0.5)
    CALM.wait(State.STATE_CLOSED)
    TORN.kill('CLOSED')
    both(lambda twin: [essence(twin.ticket(i)) for i in range(PEOPLE)])
    both(lambda twin: [(s.name, s.state) for s in twin.operator.slots('pools/twin')])
    both(holders)
    print(f'# {len(KILLS)} kills: {", ".join(sorted(set(KILLS)))}')


def holders(twin):
    """{person: slots}: who has what."""
    found = {}
    for i, who in enumerate(twin.people):
        page = again(who.ListReservations, api.ListReservationsRequest(parent='pools/twin'))
        found[i] = [s.name for r in page.reservations for s in r.slots]
    return found


def test_bundles_byte_for_byte():
    with Bundle(CALM.server, RELEASE) as calm, Bundle(TORN.server, RELEASE) as torn:
        calm.both()
        torn.both()
        one, other = calm.files(), torn.files()
        assert one.keys() == other.keys() and len(one) >= 6, one.keys()
        for name, data in one.items():
            lines = zip(data.splitlines(), other[name].splitlines())
            assert data == other[name], (name, [pair for pair in lines if pair[0] != pair[1]])
        assert os.path.getsize(calm.path('tickets')) > 1000


if __name__ == '__main__':
    tap.run(globals(), before, after)

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: a whole release day: 1,000 slots from CSV, 5,000 people and 50 bots, by schedule, to
reservations and a bundle that both verifiers accept.

Nobody opens, seals, serves or closes anything: the schedule does.  The bots are there in the first
milliseconds; what they win is compared with a draw.  What one person who lost is told by one call
is computed again from the bundle alone."""
import csv
import datetime
import json
import math
import os
import tempfile
import time

from house import SANITIZED, Refused, Server, api, eventually, resources, run
from release_kit import (City, State, Ticket, answered, mine, path_root, proof_of, verify)
import tap

PEOPLE, BOTS, SLOTS = 5000, 50, 1000
SLOW = 3 if SANITIZED else 1  # the same day, with more time in it
WINDOW_S, ACCEPT_S, CLOSE_S = 14 * SLOW, 12 * SLOW, 28 * SLOW  # close: after the window
SERVER = Server()
CITY = City(SERVER)


def verb(*words):
    """An operator's verb; its JSON."""
    done = run(*words, '-o', 'json', env={
        'FAIRSLOT_TARGET': SERVER.target,
        'FAIRSLOT_TOKEN_FILE': os.path.join(SERVER.data, 'operator.token')})
    return json.loads(done.stdout) if done.stdout.strip() else {}


def rfc3339(at):
    return datetime.datetime.fromtimestamp(at, datetime.timezone.utc).strftime('%Y-%m-%dT%H:%M:%SZ')


def write_csv(path, count):
    """Ten days, four desks; the city's own clock."""
    day = datetime.date.today() + datetime.timedelta(days=3)
    with open(path, 'w', newline='', encoding='utf-8') as file:
        out = csv.writer(file)
        out.writerow(['pool', 'date', 'start', 'duration_minutes', 'desk', 'time_zone'])
        for i in range(count):
            minute = i % 100 // 4 * 15
            out.writerow(['day', day + datetime.timedelta(days=i // 100),
                          f'{9 + minute // 60:02}:{minute % 60:02}', 15, f'Desk {i % 4 + 1}',
                          'Europe/Berlin'])


def announce(name, opens, *more):
    """By the operator's verb; every instant of the day is said here, and nothing later."""
    return verb('release', 'create', f'pools/day/releases/{name}', '--entry-open', rfc3339(opens),
                '--window', f'{WINDOW_S}s', '--grace', '1s', '--slots-from', rfc3339(opens + 86400),
                '--slots-to', rfc3339(opens + 60 * 86400), '--close',
                rfc3339(opens + WINDOW_S + CLOSE_S), *more)


def wanted(slots):
    """What the number-th of the crowd wishes: some desk, some day, or anything at all."""
    def of(number):
        slot = slots[number * 37 % len(slots)]
        at = slot.start_time.seconds // 86400 * 86400
        if number % 3 == 0:
            return slot.name, (at, at + 86400)
        if number % 3 == 1:
            return slot.name, slots[(number * 53 + 7) % len(slots)].name, 'any'
        return ((at, at + 2 * 86400),)
    return of


def test_the_day_by_schedule():
    crowd = CITY.crowd('day', BOTS + PEOPLE, channels=8)
    verb('pool', 'create', 'day', '--scarce', '--max-live', '1', '--hold-ttl', '10m')
    with tempfile.TemporaryDirectory(prefix='fairslot csv ') as folder:
        path = os.path.join(folder, 'slots.csv')
        write_csv(path, SLOTS)
        verb('slot', 'import', path)
    slots = CITY.operator.slots('pools/day')
    assert len(slots) == SLOTS, len(slots)
    opens = math.ceil(time.time()) + 3
    announce('march', opens, '--accept', f'{ACCEPT_S}s')
    release = 'pools/day/releases/march'
    manifest = eventually(lambda: CITY.get(release).manifest, seconds=30)
    CITY.wait(release, State.STATE_ENTRY)
    assert time.time() >= opens - 0.1, 'nothing opens early'
    tickets = answered(crowd.enter(release, wanted(slots)))  # numbers 0 to 49 are the bots: first
    assert time.time() < opens + WINDOW_S, 'this machine is too slow for the window of this test'
    assert len({t.name for t in tickets.values()}) == BOTS + PEOPLE
    CITY.wait(release, State.STATE_STANDBY, seconds=2 * WINDOW_S)
    served = answered(crowd.tickets(release))
    offers = {i: t.hold for i, t in served.items() if t.state == Ticket.STATE_OFFERED}
    assert len(offers) == SLOTS == CITY.get(release).served_count, len(offers)
    check_bots(offers)
    idle = sorted(offers)[::100]  # ten let their offer go: five say so, five say nothing
    for i in idle[:5]:
        crowd[i].drop(offers.pop(i))
    for i in idle[5:]:
        offers.pop(i)
    booked = confirmed(crowd, offers)  # on a slow machine one may come too late: another's luck
    assert all(r.slots[0].state == resources.Slot.STATE_TAKEN for r in booked.values())
    inherit(crowd, release, served, booked)
    CITY.wait(release, State.STATE_CLOSED, seconds=2 * CLOSE_S)  # by itself
    check_reservations(crowd, booked)
    with CITY.bundle(release) as bundle:
        ours, theirs = bundle.both()
        assert f'{BOTS + PEOPLE} tickets' in ours and f'{BOTS + PEOPLE} in order' in theirs, ours
        assert bundle.read('manifest') == manifest, 'as it was published before entry'
        check_outcome(bundle, served)
        check_loser(crowd, release, served, bundle)


def check_bots(offers):
    """Fifty of 5,050, drawn, within 5 standard deviations.  First come would give 50."""
    share = SLOTS / (BOTS + PEOPLE)
    sigma = math.sqrt(BOTS * share * (1 - share))
    won = sum(i < BOTS for i in offers)
    print(f'# bots: {won} of {BOTS} won, expected {BOTS * share:.1f} +- {sigma:.1f}')
    assert won < BOTS * share + 5 * sigma, 'being first bought something'


def confirmed(crowd, holds):
    """{number: reservation} of those that had not lapsed yet."""
    said = crowd.confirm(holds)
    lapsed = {i for i, r in said.items() if isinstance(r, Refused) and r.reason == 'HOLD_EXPIRED'}
    return answered({i: r for i, r in said.items() if i not in lapsed})


def inherit(crowd, release, served, booked):
    """What lapsed goes to those who stand by, who confirm it as soon as they see it."""
    standing = [i for i, t in served.items() if t.state == Ticket.STATE_STANDBY]
    assert len(standing) == BOTS + PEOPLE - SLOTS, len(standing)
    missing = SLOTS - len(booked)
    assert missing >= 10, 'those who let go of theirs'
    first = sorted(standing, key=lambda i: served[i].rank)[:missing * 60]

    def look():
        found = answered(crowd.tickets(release, [i for i in first if i not in booked]))
        booked.update(confirmed(crowd, {i: t.hold for i, t in found.items()
                                        if t.state == Ticket.STATE_OFFERED}))
        return len(booked) == SLOTS

    eventually(look, seconds=ACCEPT_S + 10 * SLOW, every=0.5)


def check_reservations(crowd, booked):
    assert len(booked) == SLOTS, len(booked)
    slots = [s.name for r in booked.values() for s in r.slots]
    assert len(set(slots)) == SLOTS, 'no slot has two holders'
    states = [s.state for s in CITY.operator.slots('pools/day')]
    assert states.count(resources.Slot.STATE_TAKEN) == SLOTS, 'all of them are somebody\'s'
    sample = {i: booked[i] for i in list(booked)[::50]}
    for i, reservation in sample.items():
        assert crowd[i].GetReservation(
            api.GetReservationRequest(name=reservation.name)).name == reservation.name


def check_outcome(bundle, served):
    """Every person's own answer is the bundle's."""
    rows = {row[2]: row for row in bundle.outcome()}
    for ticket in served.values():
        _, rank, _, result, _, _ = rows[ticket.name.rpartition('/')[2]]
        assert ticket.rank == rank
        assert (ticket.state == Ticket.STATE_OFFERED) == (result == 'won'), ticket


def check_loser(crowd, release, served, bundle):
    """By one call: rank, cut-off, the preferences tried, and why; again, from the bundle."""
    lost = {i: t for i, t in served.items() if t.state == Ticket.STATE_STANDBY and i % 3 == 1}
    who = max(lost, key=lambda i: lost[i].rank)  # wished two slots, then any
    proof = proof_of(crowd[who], release)
    ticket_id = proof.ticket.name.rpartition('/')[2]
    assert proof.ticket.state == Ticket.STATE_LOST
    assert proof.ticket.outcome_reason == 'PREFERENCES_TAKEN', proof.ticket
    assert proof.rank == bundle.rank(ticket_id) == lost[who].rank
    outcome = bundle.outcome()
    winners = [row for row in outcome if row[3] == 'won']
    assert proof.cut_off == winners[-1][1], 'the rank of the last one who got something'
    assert proof.rank > proof.cut_off
    assert proof.ticket_root == path_root(proof)
    assert proof.ticket_root.hex() == bundle.parts()['root']
    line = next(x for x in bundle.read('tickets').decode().splitlines() if x.startswith(ticket_id))
    count, tried = verify.read_wishes(bytes.fromhex(line.split(' ')[4]), 'tickets', 0)
    assert count == 1 and len(tried) == len(proof.ticket.preferences) == 3
    slots = [(int(a), b) for _, a, _, b in (x.split(' ') for x in
                                            bundle.read('slots').decode().splitlines())]
    before = {int(n) for row in winners if row[1] < proof.rank for n in row[5].split(',')}
    for wish, told in zip(tried, proof.ticket.preferences):
        if wish[0] == 3:
            assert told.any and len(before) == SLOTS, 'nothing was left'
        else:
            number = slots.index((wish[1], wish[2]))
            assert number in before, 'somebody with an earlier rank has it'
            assert told.slot.startswith('pools/day/slots/')


def test_the_same_by_turn():
    """Smaller: 40 slots, 200 people; each takes a slot when it is their turn."""
    pool, slots = CITY.pool('turns', 40, hold_ttl_s=600)
    crowd = CITY.crowd('turns', 200, channels=4)
    release = CITY.release(pool, serving=2, open_s=1, window_s=5 * SLOW, turn_s=8 * SLOW,
                           wait=False)
    CITY.wait(release, State.STATE_ENTRY)
    answered(crowd.enter(release, lambda _: ()))
    CITY.wait(release, State.STATE_SERVING, State.STATE_STANDBY)
    booked = {}
    lazy = None

    def act():
        nonlocal lazy
        for i, ticket in answered(crowd.tickets(release)).items():
            if ticket.state != Ticket.STATE_TURN or i in booked or i == lazy:
                continue
            if lazy is None:
                lazy = i  # this one lets the turn pass
                continue
            slot = slots[len(booked)]
            hold = crowd[i].hold(slot, ticket=release + '/tickets/me')
            booked[i] = crowd[i].confirm(hold.name)
        return len(booked) == len(slots)

    eventually(act, seconds=60 * SLOW, every=0.5)
    passed = mine(crowd[lazy], release)
    assert (passed.state, passed.outcome_reason) == (Ticket.STATE_LAPSED, 'TURN_EXPIRED')
    still = CITY.get(release).etag
    time.sleep(0.5)
    assert CITY.get(release).etag == still, 'with nothing to do, nothing is done'
    CITY.change('CloseRelease', release)
    CITY.wait(release, State.STATE_CLOSED)
    with CITY.bundle(release) as bundle:
        bundle.both()
        order = [row[2] for row in bundle.outcome()]
    given = {mine(crowd[i], release).name.rpartition('/')[2] for i in [*booked, lazy]}
    assert given == set(order[:41]), 'the first 41 ranks had turns, and nobody else'


if __name__ == '__main__':
    tap.run(globals(), SERVER.start, SERVER.close)

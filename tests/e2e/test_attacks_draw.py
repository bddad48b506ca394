#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: nobody moves a draw, its instant or its stock, and nobody learns from it who has booked.

The second half of test_attacks.py: A15 to A28, and what people try behind the seal."""
import os
import random
import time

import house
from house import Client, Refused, admin, api, cluster, eventually, new_id, refused, resources
from release_kit import (BY_TURN, City, State, Ticket, TwoDoors, enter, leave, make_release, mine,
                         proof_of, ranked, verify)
import tap

DOORS = TwoDoors()
CITY = City(DOORS)
Slot = resources.Slot


@tap.named('A15: probing the clock before the opening')
def test_a15():
    pool, _ = CITY.pool('a15', 1)
    opens = time.time() + 4
    release = CITY.release(pool, open_s=4, window_s=10, wait=False)
    people = [DOORS.at(door, f'a15-{door}') for door in (0, 1)]
    said, entered = set(), []
    while len(entered) < 2:
        assert time.time() < opens + 20, 'it never opened'
        for who in [w for w in people if w.token not in [e[0] for e in entered]]:
            asked = time.time()
            try:
                enter(who, release, 'any')
                entered.append((who.token, time.time()))
            except Refused as refusal:
                assert asked < opens + 3, 'a gateway is behind'
                assert refusal.retry_s <= opens - asked + 1.5, refusal
                said.add((refusal.code, refusal.reason, refusal.text, frozenset(refusal.details)))
    assert all(at >= opens - 0.02 for _, at in entered), (opens, entered)
    assert len(said) == 1 and next(iter(said))[1] == 'RELEASE_NOT_OPEN', said
    for door in 0, 1:
        headers = {}
        DOORS.connect('127.0.0.1', 'CatalogService/ListPools', people[0].token, {}, door, headers)
        assert 'date' not in headers, headers
        _, call = Client(DOORS.doors[door]).stubs[0].ListPools.with_call(
            api.ListPoolsRequest(), metadata=people[0].metadata(), timeout=20)
        told = [k for k, _ in (*call.initial_metadata(), *call.trailing_metadata())]
        assert 'date' not in told, told
    CITY.standby(release)
    assert mine(people[0], release).rank != 0


@tap.named('A16: trying seeds until a friend wins')
def test_a16():
    pool, slots = CITY.pool('a16', 1)
    folder = house.scratch_folder()
    keys = [make_key(folder, i) for i in range(1)]
    release = CITY.release(pool, trustee_keys=[der for _, der in keys], parts_wait_s=60)
    people = [DOORS.at(i % 2, f'a16-{i}') for i in range(12)]
    for who in people:
        enter(who, release, 'any')
    friend = people[0]
    ticket = mine(friend, release).name
    leave(friend, release)
    assert enter(friend, release, slots[0]).name == ticket, 'nobody chooses a ticket id'
    CITY.wait(release, State.STATE_SEALED)
    assert mine(friend, release).rank == 0 and not CITY.get(release).operator_seed
    for part in os.urandom(256), b'\0' * 256:  # a value of one's choice is no signature
        refused(3, 'PART_INVALID', CITY.operator.AddReleasePart, cluster.AddReleasePartRequest(
            name=release, trustee=1, part=part, request_id=new_id()))
    token = os.path.join(folder, 'token')
    with open(token, 'w', encoding='utf-8') as file:
        file.write(friend.token)
    house.run('cosign', release, '--key-file', keys[0][0], '--trustee', '1', '--wait', '10s',
              '--target', DOORS.target, '--token-file', token)
    CITY.standby(release)
    with CITY.bundle(release) as bundle:
        bundle.both()
        grind(bundle, ticket.rpartition('/')[2], [mine(p, release).name for p in people])


def make_key(folder, number):
    path = os.path.join(folder, f'{number}.pem')
    for words in (['openssl', 'genpkey', '-quiet', '-algorithm', 'RSA', '-pkeyopt',
                   'rsa_keygen_bits:2048', '-out', path],):
        house.subprocess.run(words, check=True)
    return path, house.subprocess.run(['openssl', 'pkey', '-in', path, '-pubout', '-outform',
                                       'DER'], check=True, capture_output=True).stdout


def grind(bundle, friend, names):
    """The operator tries seeds until its friend is first; then it has to publish one that
    it did not commit to."""
    ids = [name.rpartition('/')[2] for name in names]
    parts = bundle.read('parts').decode().splitlines()
    trustee = next(line.split(': ')[1] for line in parts if line.startswith('trustee-part'))
    told = bundle.parts()
    for attempt in range(2000):
        seed = random.Random(attempt).randbytes(32)
        drawn = verify.h(*[verify.prefixed(x) for x in (
            b'fairslot/seed/v1', bytes.fromhex(told['manifest']), bytes.fromhex(told['root']),
            verify.u64(int(told['count'])), seed, verify.u64(1), bytes.fromhex(trustee), b'')])
        ranks = {i: verify.mac(drawn, bytes.fromhex(i))[:8] for i in ids}
        if min(ids, key=ranks.get) == friend:
            break
    assert min(ids, key=ranks.get) == friend, 'control: whoever may try finds one soon'
    text = bundle.read('parts').decode()
    bundle.write('parts', text.replace(told['operator-seed'], seed.hex()).replace(
        told['seed'], drawn.hex()).encode())
    bundle.both_reject('parts')


@tap.named('A17: an operator who picks the winners')
def test_a17():
    pool, slots = CITY.pool('a17', 2)
    release = CITY.release(pool)
    people = [DOORS.at(i % 2, f'a17-{i}') for i in range(5)]
    for who in people:
        enter(who, release, 'any')
    refused(9, 'NOT_YOUR_TURN', CITY.operator.hold, slots[0])
    refused(9, 'SLOT_OFFERED', CITY.operator.BlockSlots, admin.BlockSlotsRequest(
        parent=pool, slots=[slots[0]], request_id=new_id()))
    CITY.standby(release)
    refused(9, 'RELEASE_SEALED', enter, CITY.operator, release, 'any')
    refused(9, 'RELEASE_STATE', CITY.change, 'CancelRelease', release)
    order = ranked(people, release)
    refused(7, 'NOT_YOUR_RESERVATION', CITY.operator.drop, mine(order[0], release).hold)
    with CITY.bundle(release) as bundle:
        bundle.both()
        whole = bundle.files()
        rows = whole['outcome'].decode().splitlines()
        swapped = [rows[1], rows[0], *rows[2:]]
        bundle.write('outcome', ('\n'.join(swapped) + '\n').encode())
        assert 'outcome:1' in bundle.both_reject('outcome')[1]
        won, lost = rows[0].split(' '), rows[4].split(' ')
        given = [' '.join(won[:3] + lost[3:]), *rows[1:4], ' '.join(lost[:3] + won[3:])]
        bundle.write('outcome', ('\n'.join(given) + '\n').encode())
        bundle.both_reject('outcome')
        bundle.write('outcome', whole['outcome'])
        tickets = whole['tickets'].decode().splitlines()
        bundle.write('tickets', ('\n'.join(tickets[1:]) + '\n').encode())  # one is left out
        bundle.both_reject('tickets')


@tap.named('A18: hidden stock, and a manifest altered after its publication')
def test_a18():
    pool, slots = CITY.pool('a18', 2)
    release = CITY.release(pool)
    published = CITY.get(release)
    first = min(s.start_time.seconds for s in CITY.operator.slots(pool))
    CITY.operator.make_slots(pool, 3, first=first + 86400)  # behind everybody's back
    hidden = [s.name for s in CITY.operator.slots(pool) if s.name not in slots]
    assert len(hidden) == 3
    who = [DOORS.at(i % 2, f'a18-{i}') for i in range(6)]
    refused(5, 'SLOT_UNKNOWN', enter, who[0], release, hidden[0])
    refused(9, 'NOT_YOUR_TURN', who[0].hold, hidden[0])
    for person in who:
        enter(person, release, 'any')
    CITY.standby(release)
    now = CITY.get(release)
    assert now.manifest == published.manifest and now.slot_count == now.served_count == 2
    assert now.manifest_sha256 == published.manifest_sha256 == verify.h(now.manifest)
    with CITY.bundle(release) as bundle:
        bundle.both()
        whole = bundle.files()
        lines = whole['manifest'].decode().splitlines()
        for number, line in enumerate(lines):
            if line.startswith(('max-live', 'entry-close-us', 'slots-count', 'slots-hash')):
                altered = line[:-1] + ('1' if line[-1] != '1' else '2')
                text = '\n'.join([*lines[:number], altered, *lines[number + 1:]]) + '\n'
                bundle.write('manifest', text.encode())
                code, said = bundle.ours()
                assert code != 0 and ('parts' in said or 'manifest' in said), said
                assert second(bundle).file in ('parts', 'manifest', 'slots')
        bundle.write('manifest', whole['manifest'])
        count = whole['slots'].count(b'\n')
        more = whole['slots'].decode().splitlines()[-1].split(' ')
        more[0], more[1] = str(count), str(int(more[1]) + 900 * 10**6)
        bundle.write('slots', whole['slots'] + ' '.join(more).encode() + b'\n')
        bundle.both_reject('slots')


def second(bundle):
    """What the second verifier finds."""
    try:
        raise AssertionError(verify.verify(bundle.folder))
    except verify.Finding as finding:
        return finding


@tap.named('A21: ghosts in the queue')
def test_a21():
    pool, slots = CITY.pool('a21', 2)
    release = CITY.release(pool, serving=BY_TURN, turn_s=1)
    people = [DOORS.at(i % 2, f'a21-{i}') for i in range(6)]
    for who in people:
        enter(who, release)
    CITY.wait(release, State.STATE_SERVING, State.STATE_STANDBY)
    eventually(lambda: mine(people[0], release).rank)
    *ghosts, one, two = ranked(people, release)  # four ghosts are before the two who are there
    booked = {}

    def act():
        for who in {one, two} - set(booked):
            if mine(who, release).state == Ticket.STATE_TURN:
                hold = who.hold(slots[len(booked)], ticket=release + '/tickets/me')
                booked[who] = who.confirm(hold.name)
        return len(booked) == 2

    eventually(act, seconds=30)
    assert [mine(g, release).outcome_reason for g in ghosts] == ['TURN_EXPIRED'] * 4
    for ghost in ghosts:
        refused(9, 'NOT_YOUR_TURN', ghost.hold, slots[0], ticket=release + '/tickets/me')
        refused(9, 'RELEASE_SEALED', enter, ghost, release)


@tap.named('A23: swapping what one has')
def test_a23():
    pool, _ = CITY.pool('a23', 3)
    release = CITY.release(pool)
    one, two = DOORS.at(0, 'a23-one'), DOORS.at(1, 'a23-two')
    for who in one, two:
        enter(who, release, 'any')
    CITY.standby(release)
    has = {who: who.confirm(mine(who, release).hold) for who in (one, two)}

    def move(who, to, of=None):
        return who.RescheduleReservation(api.RescheduleReservationRequest(
            name=(of or has[who]).name, slot=to, request_id=new_id()))

    refused(9, 'NOT_YOUR_TURN', move, one, has[two].slots[0].name)
    free = next(s.name for s in CITY.operator.slots(pool) if s.state == Slot.STATE_FREE)
    refused(9, 'NOT_YOUR_TURN', move, one, free)  # nor to what the release has left
    refused(7, 'NOT_YOUR_RESERVATION', move, one, free, has[two])
    # Where nothing is scarce one may move one's own, as often as the pool allows; never swap.
    open_pool = CITY.operator.make_pool('a23-open', max_changes=2).name
    slots = CITY.operator.make_slots(open_pool, 5)
    has = {who: who.confirm(who.hold(slots[i]).name) for i, who in enumerate((one, two))}
    refused(10, 'SLOT_TAKEN', move, one, slots[1])
    has[one] = move(one, slots[2])
    refused(10, 'SLOT_TAKEN', move, two, slots[0])  # what one left is returned, not two's
    has[one] = move(one, slots[3])
    refused(9, 'CHANGES_USED_UP', move, one, slots[4])


@tap.named('A28: finding out who has booked')
def test_a28():
    pool, _ = CITY.pool('a28', 2)
    release = CITY.release(pool)
    victim, spy = DOORS.at(0, 'a28'), DOORS.at(1, 'a28-spy')
    ticket = enter(victim, release, 'any')
    other = release + '/tickets/' + os.urandom(16).hex()
    said = [refused(5, 'TICKET_UNKNOWN', spy.GetTicket, api.GetTicketRequest(name=name))
            for name in (ticket.name, other, release + '/tickets/me')]
    assert len({(r.text, tuple(sorted(r.meta)), frozenset(r.details)) for r in said}) == 1, said
    assert len({tuple(sorted(r.meta.items())) for r in said[:2]}) == 1
    CITY.standby(release)
    for method, request in (('GetTicketProof', api.GetTicketProofRequest),
                            ('GetTicket', api.GetTicketRequest)):
        for name in ticket.name, other:
            refused(5, 'TICKET_UNKNOWN', getattr(spy, method), request(name=name))
    refused(7, 'ROLE_MISSING', spy.ListReleaseTickets,
            cluster.ListReleaseTicketsRequest(parent=release))
    held = [s.SerializeToString() for s in spy.slots(pool)]
    victim.confirm(mine(victim, release).hold)
    assert [s.SerializeToString() for s in spy.slots(pool)] == held, 'held or taken: the same'
    assert not spy.ListReservations(api.ListReservationsRequest(parent='pools/-')).reservations
    again, _ = CITY.pool('a28-again', 2)
    second_release = CITY.release(again)
    unlike = enter(victim, second_release, 'any').name.rpartition('/')[2]
    assert unlike != ticket.name.rpartition('/')[2], 'two releases cannot be put together'


@tap.named('a ticket after sealing')
def test_after_sealing():
    pool, slots = CITY.pool('late', 1)
    release = CITY.release(pool, beacon='waits', parts_wait_s=3)
    who = DOORS.at(0, 'late')
    enter(who, release, slots[0])
    CITY.wait(release, State.STATE_SEALED)
    root = CITY.get(release).ticket_root
    for door in 0, 1:
        refused(9, 'RELEASE_SEALED', enter, DOORS.at(door, 'late-other'), release, 'any')
        refused(9, 'RELEASE_SEALED', enter, DOORS.at(door, 'late'), release, 'any')
        refused(9, 'RELEASE_SEALED', leave, DOORS.at(door, 'late'), release)
    CITY.standby(release)
    refused(9, 'RELEASE_SEALED', enter, DOORS.at(1, 'late-other'), release, 'any')
    now = CITY.get(release)
    assert now.ticket_root == root and now.ticket_count == 1
    assert proof_of(who, release).ticket_root == root


@tap.named('closed twice, cancelled behind it, opened again')
def test_close_twice():
    pool, _ = CITY.pool('twice', 2)
    release = CITY.release(pool)
    who = DOORS.at(0, 'twice')
    enter(who, release, 'any')
    CITY.standby(release)
    same = cluster.OpenReleaseRequest(name=release, request_id=new_id())
    first = CITY.operator.CloseRelease(same)
    CITY.wait(release, State.STATE_CLOSED)
    slots = [s.SerializeToString() for s in CITY.operator.slots(pool)]
    assert CITY.operator.CloseRelease(same) == first, 'the same request: the same answer'
    for verb in ('CloseRelease', 'CancelRelease', 'OpenRelease', 'PauseRelease', 'ResumeRelease',
                 'DrainRelease'):
        refused(9, 'RELEASE_ENDED', CITY.change, verb, release)
    refused(9, 'RELEASE_ENDED', enter, who, release, 'any')
    assert [s.SerializeToString() for s in CITY.operator.slots(pool)] == slots, 'nothing moved'
    refused(6, 'RELEASE_EXISTS', CITY.operator.CreateRelease, cluster.CreateReleaseRequest(
        parent=pool, release_id='r', release=make_release(), request_id=new_id()))


if __name__ == '__main__':
    tap.run(globals(), DOORS.start, DOORS.close, side_by_side=6)

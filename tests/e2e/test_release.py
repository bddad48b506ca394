#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Does a release keep its promise, from announcing to the bundle that others verify?

Real server, real clients; the draw is recomputed by `fairslot release verify` and by
tests/draw/verify.py."""
import os
import shutil
import subprocess
import sys
import tempfile
import time

from house import (BINARY, ROOT, Server, api, cluster, eventually, new_id, refused, resources, run,
                   scratch_folder)
import tap
from release_kit import enter, mine, path_root

sys.path.insert(0, os.path.join(ROOT, 'tests', 'draw'))
import verify  # noqa: E402

State = resources.Release.State
Ticket = resources.Ticket
SERVER = Server()
OPERATOR = None
PEOPLE = {}


def before():
    global OPERATOR
    SERVER.start()
    OPERATOR = SERVER.operator()


def after():
    SERVER.close()


def person(name, **claims):
    if name not in PEOPLE:
        PEOPLE[name] = SERVER.person(name, **claims)
    return PEOPLE[name]


def crowd(prefix, count):
    """Clients that share one channel: their tokens differ, as with a web front end."""
    first = SERVER.person(prefix)
    people = []
    for token in SERVER.tokens(prefix, count=count):
        other = object.__new__(type(first))
        other.__dict__.update(first.__dict__)
        other.token = token
        people.append(other)
    return people


def make_release(pool, name, serving=1, window_s=3, grace_s=1, **fields):
    now = time.time()
    release = resources.Release(serving=serving, **fields)
    release.entry_open_time.seconds = int(now)
    release.entry_close_time.FromMicroseconds(int((now + window_s) * 1e6))
    release.entry_grace.seconds = grace_s
    release.slots_start_time.seconds = int(now) + 7200
    release.slots_end_time.seconds = int(now) + 40 * 86400
    made = OPERATOR.CreateRelease(cluster.CreateReleaseRequest(
        parent=pool, release_id=name, release=release, request_id=new_id()))
    eventually(lambda: get(made.name).state == State.STATE_ENTRY)
    return made


def get(name):
    return OPERATOR.GetRelease(api.GetReleaseRequest(name=name))


def change(method, name):
    return getattr(OPERATOR, method)(cluster.OpenReleaseRequest(name=name, request_id=new_id()))


def wait_state(release, *states, seconds=20):
    eventually(lambda: get(release).state in states, seconds=seconds)


def pool_with_slots(name, slots, **fields):
    fields.setdefault('max_live', 1)
    pool = OPERATOR.make_pool(name, scarce=True, **fields)
    return pool.name, OPERATOR.make_slots(pool.name, slots, desks=2)


def both_verify(release):
    folder = tempfile.mkdtemp(prefix='fairslot bundle ')
    try:
        env = dict(os.environ, FAIRSLOT_TARGET=SERVER.target,
                   FAIRSLOT_TOKEN_FILE=os.path.join(SERVER.data, 'operator.token'))
        subprocess.run([BINARY, 'release', 'report', release, '--bundle', folder], check=True,
                       env=env, capture_output=True)
        ours = subprocess.run([BINARY, 'release', 'verify', folder], capture_output=True,
                              text=True)
        assert ours.returncode == 0, ours
        theirs = verify.verify(folder)
        return ours.stdout, theirs
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_a_draw_from_announcing_to_reservations():
    pool, slots = pool_with_slots('draw', 20)
    people = crowd('draw', 60)
    release = make_release(pool, 'march').name
    for i, who in enumerate(people):
        enter(who, release, slots[i % 20], slots[(i * 7) % 20], 'any')
    wait_state(release, State.STATE_STANDBY)
    now = get(release)
    assert now.ticket_count == 60 and now.served_count == 20, now
    tickets = [mine(who, release) for who in people]
    won = [t for t in tickets if t.state == Ticket.STATE_OFFERED]
    lost = [t for t in tickets if t.state == Ticket.STATE_STANDBY]
    assert len(won) == 20 and len(lost) == 40, [t.state for t in tickets]
    assert max(t.rank for t in won) < min(t.rank for t in lost), 'the first ranks win'
    for who, ticket in zip(people, tickets):
        if ticket.hold:
            reservation = who.confirm(ticket.hold)
            assert reservation.slots[0].state == resources.Slot.STATE_TAKEN
    ours, theirs = both_verify(release)
    assert '60 tickets' in ours and 'operator\'s word' in ours and '60 in order' in theirs
    assert mine(people[tickets.index(won[0])], release).state == Ticket.STATE_USED
    change('CloseRelease', release)
    wait_state(release, State.STATE_CLOSED)
    loser = people[tickets.index(lost[0])]
    after_all = mine(loser, release)
    assert after_all.state == Ticket.STATE_LOST and after_all.outcome_reason == 'PREFERENCES_TAKEN'
    proof = loser.GetTicketProof(api.GetTicketProofRequest(name=release + '/tickets/me'))
    assert proof.rank == lost[0].rank and proof.rank > 0 and len(proof.ticket.preferences) == 3
    assert path_root(proof) == proof.ticket_root == now.ticket_root


def test_one_place_whatever_is_sent():
    pool, slots = pool_with_slots('once', 4)
    release = make_release(pool, 'r', window_s=4).name
    who = person('once')
    first = enter(who, release, slots[0])
    again = SERVER.person('once')  # another connection, another token of the same person
    second = enter(again, release, slots[1], slots[2])
    assert second.name == first.name and len(second.preferences) == 2
    assert second.leaf_version == 2 and second.receipt != first.receipt
    assert mine(who, release).preferences == second.preferences
    same = new_id()
    assert enter(who, release, 'any', request_id=same) == enter(who, release, 'any',
                                                                request_id=same)
    wait_state(release, State.STATE_STANDBY)
    assert get(release).ticket_count == 1
    refused(9, 'RELEASE_SEALED', enter, who, release, slots[3])
    refused(9, 'RELEASE_SEALED', enter, person('late'), release, 'any')


def test_withdrawn_before_sealing():
    pool, _ = pool_with_slots('leave', 2)
    release = make_release(pool, 'r').name
    who = person('leaver')
    enter(who, release, 'any')
    who.DeleteTicket(api.DeleteTicketRequest(name=release + '/tickets/me', request_id=new_id()))
    assert mine(who, release).state == Ticket.STATE_WITHDRAWN
    back = enter(who, release, 'any')
    assert back.state == Ticket.STATE_ENTERED and back.leaf_version == 3
    who.DeleteTicket(api.DeleteTicketRequest(name=release + '/tickets/me', request_id=new_id()))
    wait_state(release, State.STATE_STANDBY)
    assert get(release).ticket_count == 1 and get(release).served_count == 0
    ours, _ = both_verify(release)
    assert '1 withdrawn' in ours, ours


def test_what_lapses_goes_to_the_next_rank():
    pool, slots = pool_with_slots('standby', 2, hold_ttl_s=600)
    people = crowd('standby', 6)
    release = make_release(pool, 'r').name
    for who in people:
        enter(who, release, 'any')
    wait_state(release, State.STATE_STANDBY)
    ranked = sorted(people, key=lambda p: mine(p, release).rank)
    assert [bool(mine(p, release).hold) for p in ranked] == [True] * 2 + [False] * 4
    ranked[0].drop(mine(ranked[0], release).hold)
    eventually(lambda: mine(ranked[2], release).state == Ticket.STATE_OFFERED)
    assert mine(ranked[0], release).state == Ticket.STATE_LAPSED
    reservation = ranked[1].confirm(mine(ranked[1], release).hold)
    ranked[1].cancel(reservation.name)
    eventually(lambda: mine(ranked[3], release).state == Ticket.STATE_OFFERED)
    refused(9, 'RELEASE_SEALED', enter, ranked[4], release, 'any')  # stands by, and stays so
    both_verify(release)
    change('CloseRelease', release)
    wait_state(release, State.STATE_CLOSED)
    ranked[2].drop(mine(ranked[2], release).hold)
    states = [s.state for s in OPERATOR.slots(pool)]
    assert states.count(resources.Slot.STATE_RETURNED) == 1, states


def test_by_turn():
    pool, slots = pool_with_slots('turns', 3, hold_ttl_s=600)
    people = crowd('turns', 6)
    release = make_release(pool, 'r', serving=2).name
    for who in people:
        enter(who, release)
    wait_state(release, State.STATE_SERVING, State.STATE_STANDBY)
    eventually(lambda: sum(mine(p, release).state == Ticket.STATE_TURN for p in people) == 3)
    ranked = sorted(people, key=lambda p: mine(p, release).rank)
    assert [mine(p, release).state for p in ranked[:3]] == [Ticket.STATE_TURN] * 3
    refused(9, 'NOT_YOUR_TURN', ranked[3].hold, slots[0], ticket=release + '/tickets/me')
    refused(9, 'NOT_YOUR_TURN', ranked[0].hold, slots[0])
    stolen = mine(ranked[0], release).name
    refused(5, 'TICKET_UNKNOWN', ranked[3].hold, slots[0], ticket=stolen)
    hold = ranked[0].hold(slots[0], ticket=release + '/tickets/me')
    assert mine(ranked[0], release).hold == hold.name
    refused(10, 'SLOT_TAKEN', ranked[1].hold, slots[0], ticket=release + '/tickets/me')
    ranked[1].hold(slots[1], ticket=release + '/tickets/me')
    ranked[0].drop(hold.name)
    eventually(lambda: mine(ranked[3], release).state == Ticket.STATE_TURN)
    ranked[2].DeleteTicket(api.DeleteTicketRequest(name=release + '/tickets/me',
                                                   request_id=new_id()))
    eventually(lambda: mine(ranked[4], release).state == Ticket.STATE_TURN)
    both_verify(release)


def test_a_turn_passes_on():
    pool, slots = pool_with_slots('lapse', 1)
    people = crowd('lapse', 2)
    fields = resources.Release()
    fields.turn_length.seconds = 1
    release = make_release(pool, 'r', serving=2, turn_length=fields.turn_length).name
    for who in people:
        enter(who, release)
    ranked = []
    eventually(lambda: any(mine(p, release).state == Ticket.STATE_TURN for p in people), 20)
    ranked = sorted(people, key=lambda p: mine(p, release).rank)
    eventually(lambda: mine(ranked[1], release).state == Ticket.STATE_TURN)
    lapsed = mine(ranked[0], release)
    assert (lapsed.state, lapsed.outcome_reason) == (Ticket.STATE_LAPSED, 'TURN_EXPIRED')


def test_trustees_and_beacon_make_the_seed():
    pool, _ = pool_with_slots('seed', 2)
    folder = scratch_folder()
    keys = []
    for i in range(2):
        path = os.path.join(folder, f'{i}.pem')
        subprocess.run(['openssl', 'genpkey', '-quiet', '-algorithm', 'RSA', '-pkeyopt',
                        'rsa_keygen_bits:2048', '-out', path], check=True)
        keys.append(path)
    der = [subprocess.run(['openssl', 'pkey', '-in', k, '-pubout', '-outform', 'DER'], check=True,
                          capture_output=True).stdout for k in keys]
    wait = resources.Release()
    wait.parts_wait.seconds = 3
    release = make_release(pool, 'r', window_s=2, trustee_keys=der, beacon='a public one',
                           parts_wait=wait.parts_wait).name
    who = person('seed')
    enter(who, release, 'any')
    refused(9, 'RELEASE_STATE', OPERATOR.AddReleasePart, cluster.AddReleasePartRequest(
        name=release, trustee=0, part=b'too early', request_id=new_id()))
    wait_state(release, State.STATE_SEALED)
    refused(3, 'PART_INVALID', OPERATOR.AddReleasePart, cluster.AddReleasePartRequest(
        name=release, trustee=2, part=b'x' * 256, request_id=new_id()))
    refused(7, 'ROLE_MISSING', who.AddReleasePart, cluster.AddReleasePartRequest(
        name=release, trustee=0, part=b'chosen', request_id=new_id()))
    assert mine(who, release).rank == 0, 'nobody knows a rank before the seed'
    token = os.path.join(folder, 'trustee.token')
    with open(token, 'w', encoding='utf-8') as file:
        file.write(SERVER.tokens('trustee')[0])
    run('cosign', release, '--key-file', keys[0], '--trustee', '1', '--wait', '10s', '--target',
        SERVER.target, '--token-file', token)
    OPERATOR.AddReleasePart(cluster.AddReleasePartRequest(
        name=release, trustee=0, part=b'beacon value', request_id=new_id()))
    wait_state(release, State.STATE_STANDBY)
    assert list(get(release).missing_parts) == ['trustee 2'], get(release)
    refused(9, 'PART_TOO_LATE', OPERATOR.AddReleasePart, cluster.AddReleasePartRequest(
        name=release, trustee=2, part=b'x' * 256, request_id=new_id()))
    ours, _ = both_verify(release)
    assert '1 of 2 trustees' in ours and 'missing  1 trustees' in ours, ours


def test_entitlement_counts_tickets():
    pool, slots = pool_with_slots('count', 2, service_class='counted')
    other, _ = pool_with_slots('count-2', 2, service_class='counted')
    release = make_release(pool, 'r').name
    second = make_release(other, 'r').name
    who = person('counted')
    enter(who, release, 'any')
    refused(8, 'IDENTITY_QUOTA', enter, who, second, 'any')
    who.DeleteTicket(api.DeleteTicketRequest(name=release + '/tickets/me', request_id=new_id()))
    enter(who, second, 'any')


def test_refusals():
    pool, slots = pool_with_slots('bad', 2, min_assurance=resources.ASSURANCE_SUBSTANTIAL)
    weak = person('weak', assurance='low')
    who = person('strong')
    release = make_release(pool, 'r', window_s=4).name
    refused(7, 'ASSURANCE_TOO_LOW', enter, weak, release, 'any')
    refused(5, 'RELEASE_UNKNOWN', enter, who, pool + '/releases/other', 'any')
    refused(5, 'POOL_UNKNOWN', enter, who, 'pools/none/releases/r', 'any')
    refused(5, 'SLOT_UNKNOWN', enter, who, release, slots[0][:-1] + 'x')
    refused(3, 'FIELD_INVALID', enter, who, release, slots[0], slot_count=9)
    refused(3, 'FIELD_INVALID', enter, who, release, *['any'] * 9)
    refused(3, 'FIELD_INVALID', enter, who, release + '/more', 'any')
    refused(5, 'TICKET_UNKNOWN', mine, who, release)
    refused(9, 'NOT_YOUR_TURN', who.hold, slots[0])
    refused(9, 'RELEASE_OVERLAPS', make_release, pool, 'second')
    refused(6, 'RELEASE_EXISTS', make_release, pool, 'r')
    refused(7, 'ROLE_MISSING', who.CreateRelease, cluster.CreateReleaseRequest(
        parent=pool, release_id='x', request_id=new_id()))
    refused(7, 'ROLE_MISSING', who.ListReleaseTickets,
            cluster.ListReleaseTicketsRequest(parent=release))
    refused(9, 'SLOT_OFFERED', OPERATOR.BlockSlots, block(pool, slots[0]))
    open_pool = OPERATOR.make_pool('not-scarce')
    refused(9, 'NOT_SCARCE', make_release, open_pool.name, 'r')
    refused(9, 'RELEASE_STATE', change, 'CloseRelease', release)
    change('CancelRelease', release)
    refused(9, 'RELEASE_ENDED', enter, who, release, 'any')
    refused(9, 'RELEASE_ENDED', change, 'CancelRelease', release)


def block(pool, slot):
    from house import admin
    return admin.BlockSlotsRequest(parent=pool, slots=[slot], request_id=new_id())


def test_neighbours():
    pool, slots = pool_with_slots('pairs', 4)
    release = make_release(pool, 'r').name
    people = crowd('pairs', 3)
    for who in people:
        enter(who, release, 'any', slot_count=2)
    wait_state(release, State.STATE_STANDBY)
    holds = [who.GetHold(api.GetHoldRequest(name=mine(who, release).hold)) for who in people
             if mine(who, release).hold]
    assert len(holds) == 2
    for hold in holds:
        assert len(hold.slots) == 2 and hold.slots[0].desk == hold.slots[1].desk
    both_verify(release)


if __name__ == '__main__':
    tap.run(globals(), before, after)

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Does a release keep its promise, from announcing to the bundle that others verify?

Real server, real clients; the draw is recomputed by `fairslot release verify` and by
tests/draw/verify.py."""
import os
import subprocess

from house import (Server, admin, api, cluster, eventually, new_id, refused, resources, run,
                   scratch_folder)
import tap
from release_kit import (BY_TURN, City, State, Ticket, answered, enter, leave, mine, path_root,
                         proof_of, ranked)

SERVER = Server()
CITY = City(SERVER)


def both_verify(release):
    with CITY.bundle(release) as bundle:
        return bundle.both()


def test_a_draw_from_announcing_to_reservations():
    pool, slots = CITY.pool('draw', 20)
    people = CITY.crowd('draw', 60)
    release = CITY.release(pool, 'march')
    answered(people.enter(release, lambda i: [slots[i % 20], slots[i * 7 % 20], 'any']))
    CITY.standby(release)
    now = CITY.get(release)
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
    CITY.change('CloseRelease', release)
    CITY.wait(release, State.STATE_CLOSED)
    loser = people[tickets.index(lost[0])]
    after_all = mine(loser, release)
    assert after_all.state == Ticket.STATE_LOST and after_all.outcome_reason == 'PREFERENCES_TAKEN'
    proof = proof_of(loser, release)
    assert proof.rank == lost[0].rank and proof.rank > 0 and len(proof.ticket.preferences) == 3
    assert path_root(proof) == proof.ticket_root == now.ticket_root


def test_one_place_whatever_is_sent():
    pool, slots = CITY.pool('once', 4)
    release = CITY.release(pool)
    who = SERVER.person('once')
    first = enter(who, release, slots[0])
    again = SERVER.person('once')  # another connection, another token of the same person
    second = enter(again, release, slots[1], slots[2])
    assert second.name == first.name and len(second.preferences) == 2
    assert second.leaf_version == 2 and second.receipt != first.receipt
    assert mine(who, release).preferences == second.preferences
    same = new_id()
    assert enter(who, release, 'any', request_id=same) == enter(who, release, 'any',
                                                                request_id=same)
    CITY.standby(release)
    assert CITY.get(release).ticket_count == 1
    refused(9, 'RELEASE_SEALED', enter, who, release, slots[3])
    refused(9, 'RELEASE_SEALED', enter, SERVER.person('late'), release, 'any')


def test_withdrawn_before_sealing():
    pool, _ = CITY.pool('leave', 2)
    release = CITY.release(pool)
    who = SERVER.person('leaver')
    enter(who, release, 'any')
    leave(who, release)
    assert mine(who, release).state == Ticket.STATE_WITHDRAWN
    back = enter(who, release, 'any')
    assert back.state == Ticket.STATE_ENTERED and back.leaf_version == 3
    leave(who, release)
    CITY.standby(release)
    assert CITY.get(release).ticket_count == 1 and CITY.get(release).served_count == 0
    ours, _ = both_verify(release)
    assert '1 withdrawn' in ours, ours


def test_what_lapses_goes_to_the_next_rank():
    pool, slots = CITY.pool('standby', 2, hold_ttl_s=600)
    people = CITY.crowd('standby', 6)
    release = CITY.release(pool)
    for who in people:
        enter(who, release, 'any')
    CITY.standby(release)
    order = ranked(people, release)
    assert [bool(mine(p, release).hold) for p in order] == [True] * 2 + [False] * 4
    order[0].drop(mine(order[0], release).hold)
    eventually(lambda: mine(order[2], release).state == Ticket.STATE_OFFERED)
    assert mine(order[0], release).state == Ticket.STATE_LAPSED
    reservation = order[1].confirm(mine(order[1], release).hold)
    order[1].cancel(reservation.name)
    eventually(lambda: mine(order[3], release).state == Ticket.STATE_OFFERED)
    refused(9, 'RELEASE_SEALED', enter, order[4], release, 'any')  # stands by, and stays so
    both_verify(release)
    CITY.change('CloseRelease', release)
    CITY.wait(release, State.STATE_CLOSED)
    order[2].drop(mine(order[2], release).hold)
    states = [s.state for s in CITY.operator.slots(pool)]
    assert states.count(resources.Slot.STATE_RETURNED) == 1, states


def test_late_tickets_know_nothing_of_the_entry_windows_crowd():
    """`ahead` is of the own cohort; and a call that is sent again is told what it was told."""
    release, _ = CITY.drawn('late', slots=4, people=60, cohort_s=2)
    late = [SERVER.person(f'after-{i}') for i in range(3)]
    asked = [api.CreateTicketRequest(parent=release, request_id=new_id()) for _ in late]
    told = [who.CreateTicket(request) for who, request in zip(late, asked)]
    assert all(t.cohort > 0 and t.rank > 0 and t.ahead == 1 for t in told), told
    for who in late:
        eventually(lambda: mine(who, release).state == Ticket.STATE_STANDBY)
        assert mine(who, release).ahead == 0
    again = [who.CreateTicket(request) for who, request in zip(late, asked)]
    assert again == told, (again, told)


def test_by_turn():
    pool, slots = CITY.pool('turns', 3, hold_ttl_s=600)
    people = CITY.crowd('turns', 6)
    release = CITY.release(pool, serving=BY_TURN)
    for who in people:
        enter(who, release)
    CITY.wait(release, State.STATE_SERVING, State.STATE_STANDBY)
    eventually(lambda: sum(mine(p, release).state == Ticket.STATE_TURN for p in people) == 3)
    order = ranked(people, release)
    assert [mine(p, release).state for p in order[:3]] == [Ticket.STATE_TURN] * 3
    refused(9, 'NOT_YOUR_TURN', order[3].hold, slots[0], ticket=release + '/tickets/me')
    refused(9, 'NOT_YOUR_TURN', order[0].hold, slots[0])
    stolen = mine(order[0], release).name
    refused(5, 'TICKET_UNKNOWN', order[3].hold, slots[0], ticket=stolen)
    hold = order[0].hold(slots[0], ticket=release + '/tickets/me')
    assert mine(order[0], release).hold == hold.name
    refused(10, 'SLOT_TAKEN', order[1].hold, slots[0], ticket=release + '/tickets/me')
    order[1].hold(slots[1], ticket=release + '/tickets/me')
    order[0].drop(hold.name)
    eventually(lambda: mine(order[3], release).state == Ticket.STATE_TURN)
    leave(order[2], release)
    eventually(lambda: mine(order[4], release).state == Ticket.STATE_TURN)
    both_verify(release)


def told(who, release, state):
    ticket = mine(who, release)
    return ticket if ticket.state == state else None


def test_a_turn_passes_on():
    pool, slots = CITY.pool('lapse', 1)
    people = CITY.crowd('lapse', 2)
    release = CITY.release(pool, serving=BY_TURN, turn_s=1)
    for who in people:
        enter(who, release)
    eventually(lambda: any(mine(p, release).rank for p in people))
    order = ranked(people, release)
    had = (Ticket.STATE_TURN, Ticket.STATE_LAPSED)  # a turn of a second may be over when it is seen
    eventually(lambda: mine(order[1], release).state in had)
    lapsed = eventually(lambda: told(order[0], release, Ticket.STATE_LAPSED), seconds=10)
    assert lapsed.outcome_reason == 'TURN_EXPIRED'


def test_trustees_and_beacon_make_the_seed():
    pool, _ = CITY.pool('seed', 2)
    folder = scratch_folder()
    keys = []
    for i in range(2):
        path = os.path.join(folder, f'{i}.pem')
        subprocess.run(['openssl', 'genpkey', '-quiet', '-algorithm', 'RSA', '-pkeyopt',
                        'rsa_keygen_bits:2048', '-out', path], check=True)
        keys.append(path)
    der = [subprocess.run(['openssl', 'pkey', '-in', k, '-pubout', '-outform', 'DER'], check=True,
                          capture_output=True).stdout for k in keys]
    release = CITY.release(pool, trustee_keys=der, beacon='a public one', parts_wait_s=6)
    who = SERVER.person('seed')
    enter(who, release, 'any')
    refused(9, 'RELEASE_STATE', CITY.operator.AddReleasePart, cluster.AddReleasePartRequest(
        name=release, trustee=0, part=b'too early', request_id=new_id()))
    CITY.wait(release, State.STATE_SEALED)
    refused(3, 'PART_INVALID', CITY.operator.AddReleasePart, cluster.AddReleasePartRequest(
        name=release, trustee=2, part=b'x' * 256, request_id=new_id()))
    refused(7, 'ROLE_MISSING', who.AddReleasePart, cluster.AddReleasePartRequest(
        name=release, trustee=0, part=b'chosen', request_id=new_id()))
    assert mine(who, release).rank == 0, 'nobody knows a rank before the seed'
    token = os.path.join(folder, 'trustee.token')
    with open(token, 'w', encoding='utf-8') as file:
        file.write(SERVER.tokens('trustee')[0])
    run('cosign', release, '--key-file', keys[0], '--trustee', '1', '--wait', '10s', '--target',
        SERVER.target, '--token-file', token)
    CITY.operator.AddReleasePart(cluster.AddReleasePartRequest(
        name=release, trustee=0, part=b'beacon value', request_id=new_id()))
    CITY.standby(release)
    assert list(CITY.get(release).missing_parts) == ['trustee 2'], CITY.get(release)
    refused(9, 'PART_TOO_LATE', CITY.operator.AddReleasePart, cluster.AddReleasePartRequest(
        name=release, trustee=2, part=b'x' * 256, request_id=new_id()))
    ours, _ = both_verify(release)
    assert '1 of 2 trustees' in ours and 'missing  1 trustees' in ours, ours


def test_entitlement_counts_tickets():
    pool, slots = CITY.pool('count', 2, service_class='counted')
    other, _ = CITY.pool('count-2', 2, service_class='counted')
    release = CITY.release(pool)
    second = CITY.release(other)
    who = SERVER.person('counted')
    enter(who, release, 'any')
    refused(8, 'IDENTITY_QUOTA', enter, who, second, 'any')
    leave(who, release)
    enter(who, second, 'any')


def test_refusals():
    pool, slots = CITY.pool('bad', 2, min_assurance=resources.ASSURANCE_SUBSTANTIAL)
    weak = SERVER.person('weak', assurance='low')
    who = SERVER.person('strong')
    release = CITY.release(pool)
    refused(7, 'ASSURANCE_TOO_LOW', enter, weak, release, 'any')
    refused(5, 'RELEASE_UNKNOWN', enter, who, pool + '/releases/other', 'any')
    refused(5, 'POOL_UNKNOWN', enter, who, 'pools/none/releases/r', 'any')
    refused(5, 'SLOT_UNKNOWN', enter, who, release, slots[0][:-1] + 'x')
    refused(3, 'FIELD_INVALID', enter, who, release, slots[0], slot_count=9)
    refused(3, 'FIELD_INVALID', enter, who, release, *['any'] * 9)
    refused(3, 'FIELD_INVALID', enter, who, release + '/more', 'any')
    refused(5, 'TICKET_UNKNOWN', mine, who, release)
    refused(9, 'NOT_YOUR_TURN', who.hold, slots[0])
    refused(9, 'RELEASE_OVERLAPS', CITY.release, pool, 'second')
    refused(6, 'RELEASE_EXISTS', CITY.release, pool)
    refused(7, 'ROLE_MISSING', who.CreateRelease, cluster.CreateReleaseRequest(
        parent=pool, release_id='x', request_id=new_id()))
    refused(7, 'ROLE_MISSING', who.ListReleaseTickets,
            cluster.ListReleaseTicketsRequest(parent=release))
    refused(9, 'SLOT_OFFERED', CITY.operator.BlockSlots, admin.BlockSlotsRequest(
        parent=pool, slots=[slots[0]], request_id=new_id()))
    open_pool = CITY.operator.make_pool('not-scarce')
    refused(9, 'NOT_SCARCE', CITY.release, open_pool.name)
    refused(9, 'RELEASE_STATE', CITY.change, 'CloseRelease', release)
    CITY.change('CancelRelease', release)
    refused(9, 'RELEASE_ENDED', enter, who, release, 'any')
    refused(9, 'RELEASE_ENDED', CITY.change, 'CancelRelease', release)


def test_neighbours():
    pool, slots = CITY.pool('pairs', 4)
    release = CITY.release(pool)
    people = CITY.crowd('pairs', 3)
    for who in people:
        enter(who, release, 'any', slot_count=2)
    CITY.standby(release)
    holds = [who.GetHold(api.GetHoldRequest(name=mine(who, release).hold)) for who in people
             if mine(who, release).hold]
    assert len(holds) == 2
    for hold in holds:
        assert len(hold.slots) == 2 and hold.slots[0].desk == hold.slots[1].desk
    both_verify(release)


if __name__ == '__main__':
    tap.run(globals(), SERVER.start, SERVER.close, side_by_side=6)

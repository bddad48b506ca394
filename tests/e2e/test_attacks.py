#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: what scalpers do elsewhere buys nothing here.  The catalogue is docs/attacks.md; each test
carries one attack out, as real clients of real processes, and where that can be shown, beside it
the control: the same attack where the defence is not in its way, and it works.

A1 to A13; the others stand in test_attacks_draw.py and test_expiry_race.py.  One shard behind two
gateways, so that "the other gateway" is part of whatever is tried."""
import base64
import concurrent.futures
import json
import time

import house
from house import Client, Refused, admin, api, eventually, new_id, refused, resources
from release_kit import (BY_TURN, FIRST_COME, City, State, Ticket, TwoDoors, answered, enter, mine,
                         ranked)
import tap

DOORS = TwoDoors()
CITY = City(DOORS)
Slot = resources.Slot


def together(*actions):
    """At the same time, each on a thread of its own; answers, with refusals among them."""
    def attempt(action):
        try:
            return action()
        except Refused as refusal:
            return refusal
    with concurrent.futures.ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(attempt, actions))


def entered(who, release, slot):
    """As a client does: the same request again while it is told UNAVAILABLE.  That is said, since
    nobody was away here."""
    request_id, until = new_id(), time.monotonic() + 30
    while True:
        try:
            return enter(who, release, slot, request_id=request_id)
        except Refused as refusal:
            print(f'# not at once: {refusal}', flush=True)
            if refusal.code != 14 or time.monotonic() > until:
                raise
            time.sleep(max(0.05, refusal.retry_s))


def wins(crowd, release):
    """Numbers of those who have an offer, by rank."""
    tickets = answered(crowd.tickets(release))
    return sorted((i for i, t in tickets.items() if t.state == Ticket.STATE_OFFERED),
                  key=lambda i: tickets[i].rank)


@tap.named('A1: a fast client at the opening')
def test_a1():
    # Control: first come, first served.  Thirty bots are a millisecond earlier, and take it all.
    pool, slots = CITY.pool('a1-control', 20)
    CITY.release(pool, serving=FIRST_COME, window_s=60)
    crowd = CITY.crowd('a1', 60)
    got = {}
    for first in 0, 30:
        got.update(crowd.all('CreateHold', (
            (i, api.CreateHoldRequest(parent=pool, slot=slots[i % 20], request_id=new_id()))
            for i in range(first, first + 30))))
    won = [i for i, a in got.items() if not isinstance(a, Refused)]
    assert len(won) == 20 and max(won) < 30, 'the bots have it all'
    # Drawn: they are as early, and have ranks like anybody.
    pool, _ = CITY.pool('a1', 20)
    release = CITY.release(pool)
    answered(crowd.enter(release, lambda _: ['any']))
    CITY.standby(release)
    winners = wins(crowd, release)
    with CITY.bundle(release) as bundle:
        bundle.both()
        order = sorted(range(60), key=lambda i: bundle.rank(
            mine(crowd[i], release).name.rpartition('/')[2]))
    assert winners == order[:20], 'the first ranks, and they follow from the seed alone'
    assert sum(i < 30 for i in winners) < 18, 'being first bought something'  # chance: 1 in 100,000


@tap.named('A2: many connections, two gateways, one person')
def test_a2():
    pool, slots = CITY.pool('a2', 2)
    release = CITY.release(pool, window_s=6)
    token = DOORS.tokens('a2')[0]
    many = [Client(DOORS.doors[i % 2], token) for i in range(16)]
    tickets = together(*[lambda w=w, i=i: entered(w, release, slots[i % 2])
                         for i, w in enumerate(many)])
    answered(dict(enumerate(tickets)))
    assert len({t.name for t in tickets}) == 1, 'one person, one place'
    assert sorted(t.leaf_version for t in tickets) == list(range(1, 17)), 'one after the other'
    others = [DOORS.at(i % 2, f'a2-{i}') for i in range(4)]  # control: others' calls do count
    assert len({enter(w, release, 'any').name for w in others}) == 4
    CITY.standby(release)
    assert CITY.get(release).ticket_count == 5
    offered = [mine(w, release) for w in many]
    assert len({t.SerializeToString() for t in offered}) == 1, 'the same through every gateway'
    assert sum(bool(mine(w, release).hold) for w in [many[0], *others]) == 2


@tap.named('A3: one person from many addresses')
def test_a3():
    pool, _ = CITY.pool('a3', 1)
    release = CITY.release(pool, window_s=6)
    token = DOORS.tokens('a3')[0]
    names = {DOORS.connect(f'127.0.{i}.9', 'TicketService/CreateTicket', token,
                       {'parent': release, 'preferences': [{'any': True}],
                        'requestId': new_id()})['name'] for i in range(1, 9)}
    assert len(names) == 1, 'an address is nothing'
    refusal = DOORS.connect('127.0.9.9', 'CatalogService/ListSlots', None, {'parent': pool})
    assert refusal['code'] == 'unauthenticated', 'of a scarce pool nothing without a token'
    CITY.standby(release)
    assert CITY.get(release).ticket_count == 1


@tap.named('A4: invented identities')
def test_a4():
    strong, _ = CITY.pool('a4', 1, min_assurance=resources.ASSURANCE_SUBSTANTIAL,
                          service_class='a4')
    second, _ = CITY.pool('a4-b', 1, service_class='a4',
                          min_assurance=resources.ASSURANCE_SUBSTANTIAL)
    weak, _ = CITY.pool('a4-control', 1)
    fakes = [DOORS.at(i % 2, f'a4-fake-{i}', assurance='low') for i in range(10)]
    release, control = CITY.release(strong), CITY.release(weak)
    for fake in fakes:
        refused(7, 'ASSURANCE_TOO_LOW', enter, fake, release, 'any')
        enter(fake, control, 'any')  # a pool that asks for nothing gets them
    who = DOORS.at(0, 'a4')
    enter(who, release, 'any')
    refused(8, 'IDENTITY_QUOTA', enter, DOORS.at(1, 'a4'), CITY.release(second), 'any')
    CITY.standby(release)
    CITY.standby(control)
    assert CITY.get(release).ticket_count == 1 and CITY.get(control).ticket_count == 10


@tap.named('A5: an agent with real clients')
def test_a5():
    """Nobody can tell them from people without one.  What they have is their ranks, and what one
    of them gives back goes to the next rank, not to another of them."""
    pool, _ = CITY.pool('a5', 4)
    release = CITY.release(pool)
    clients = CITY.crowd('a5-client', 6)
    others = CITY.crowd('a5', 6)
    answered(clients.enter(release, lambda _: ['any']))
    answered(others.enter(release, lambda _: ['any']))
    CITY.standby(release)
    order = ranked([*clients, *others], release)
    assert [bool(mine(p, release).hold) for p in order] == [True] * 4 + [False] * 8
    agents = {p.token for p in clients}
    giver = next((p for p in order[:4] if p.token in agents), order[0])
    giver.drop(mine(giver, release).hold)
    for client in clients:  # the agent tries at once, with all of them
        if client is not giver and not mine(client, release).hold:
            refused(9, 'RELEASE_SEALED', enter, client, release, 'any')
    eventually(lambda: mine(order[4], release).state == Ticket.STATE_OFFERED)
    assert not mine(order[5], release).hold


@tap.named('A6: cancel and rebook in another name')
def test_a6():
    pool, slots = CITY.pool('a6', 2, cancel_cool_down=house.seconds(3600))
    release = CITY.release(pool)
    agent = DOORS.at(0, 'a6-agent')
    friend, third = DOORS.at(1, 'a6-friend'), DOORS.at(0, 'a6-third')
    for who in agent, third:
        enter(who, release, 'any')
    CITY.standby(release)
    booked = agent.confirm(mine(agent, release).hold)
    slot = booked.slots[0].name
    agent.cancel(booked.name)
    refused(9, 'NOT_YOUR_TURN', friend.hold, slot)
    refused(9, 'RELEASE_SEALED', enter, friend, release, slot)
    CITY.change('CloseRelease', release)
    CITY.wait(release, State.STATE_CLOSED)
    refused(9, 'NOT_YOUR_TURN', friend.hold, slot)
    state = next(s.state for s in CITY.operator.slots(pool) if s.name == slot)
    assert state == Slot.STATE_RETURNED, 'into the return pool'
    later = CITY.release(pool, 'later')
    assert refused(8, 'COOL_DOWN', enter, agent, later, 'any').retry_s > 3000, 'not who freed it'
    enter(friend, later, 'any')
    # Control: without scarcity and with an operator who frees it at once, the friend has it.
    free = CITY.operator.make_pool('a6-control').name
    slot = CITY.operator.make_slots(free, 1)[0]
    agent.cancel(agent.confirm(agent.hold(slot).name).name)
    refused(10, 'SLOT_TAKEN', friend.hold, slot)
    CITY.operator.RestockPool(admin.RestockPoolRequest(name=free, request_id=new_id()))
    friend.hold(slot)


@tap.named('A7: another holder, put in late')
def test_a7():
    pool, slots = CITY.pool('a7', 1)
    release = CITY.release(pool)
    agent, buyer = DOORS.at(0, 'a7-agent'), DOORS.at(1, 'a7-buyer')
    ticket = enter(agent, release, 'any')
    get = api.GetTicketRequest(name=ticket.name)
    refused(5, 'TICKET_UNKNOWN', buyer.GetTicket, get)
    refused(5, 'TICKET_UNKNOWN', buyer.DeleteTicket,
            api.DeleteTicketRequest(name=ticket.name, request_id=new_id()))
    for extra in ({'holder': 'a7-buyer'}, {'identity': 'a7-buyer'}, {'onBehalfOf': 'a7-buyer'}):
        said = DOORS.connect('127.0.0.1', 'TicketService/CreateTicket', agent.token,
                         {'parent': release, 'requestId': new_id(), **extra})
        assert said['name'] == ticket.name, 'whoever calls it is, whatever else is sent'
    CITY.standby(release)
    hold = mine(agent, release).hold
    refused(7, 'NOT_YOUR_RESERVATION', buyer.confirm, hold)
    refused(7, 'NOT_YOUR_RESERVATION', CITY.operator.confirm, hold)
    booked = agent.confirm(hold)
    read = api.GetReservationRequest(name=booked.name)
    refused(7, 'NOT_YOUR_RESERVATION', buyer.GetReservation, read)
    refused(7, 'NOT_YOUR_RESERVATION', buyer.RescheduleReservation,
            api.RescheduleReservationRequest(name=booked.name, slot=slots[0], request_id=new_id()))
    assert agent.GetReservation(read).name == booked.name


@tap.named('A8: holds that nobody means to confirm')
def test_a8():
    pool, slots = CITY.pool('a8', 2, hold_ttl_s=600)
    release = CITY.release(pool, serving=BY_TURN, turn_s=60)
    who, other = DOORS.at(0, 'a8'), DOORS.at(1, 'a8-other')
    enter(who, release)
    enter(other, release)
    CITY.wait(release, State.STATE_SERVING, State.STATE_STANDBY)
    me = release + '/tickets/me'
    eventually(lambda: mine(who, release).state == Ticket.STATE_TURN)
    got = together(*[lambda i=i: DOORS.at(i % 2, 'a8').hold(slots[i % 2], ticket=me)
                     for i in range(6)])
    held = [h for h in got if not isinstance(h, Refused)]
    assert len(held) == 1, got
    who.drop(held[0].name)
    refused(9, 'NOT_YOUR_TURN', who.hold, slots[0], ticket=me)  # a turn is used once
    # A hold is short and cannot be made longer; where anybody may hold, each only as allowed.
    free = CITY.operator.make_pool('a8-free', hold_ttl_s=5, max_live=2).name
    slots = CITY.operator.make_slots(free, 6)
    hoarder = DOORS.at(0, 'a8-hoarder')
    held = [hoarder.hold(slot) for slot in slots[:2]]
    for slot in slots[2:]:
        assert refused(8, 'IDENTITY_QUOTA', hoarder.hold, slot).meta['max_active'] == '2'
    for hold in held:
        eventually(lambda h=hold: hoarder.GetHold(
            api.GetHoldRequest(name=h.name)).state == resources.Hold.STATE_EXPIRED, seconds=30)
    DOORS.at(1, 'a8-person').hold(slots[2])


@tap.named('A9: let it expire, so as not to have cancelled')
def test_a9():
    cool = house.seconds(3600)
    free = CITY.operator.make_pool('a9', hold_ttl_s=1, cancel_cool_down=cool).name
    slots = CITY.operator.make_slots(free, 3)
    ways = {'drop': DOORS.at(0, 'a9-drop'), 'expire': DOORS.at(1, 'a9-expire')}
    held = {way: who.hold(slots[i]) for i, (way, who) in enumerate(ways.items())}
    ways['drop'].drop(held['drop'].name)
    eventually(lambda: CITY.operator.slots(free)[1].state == Slot.STATE_RETURNED)
    assert CITY.operator.slots(free)[0].state == Slot.STATE_RETURNED, 'the same for every way'
    for who in ways.values():
        assert refused(8, 'COOL_DOWN', who.hold, slots[2]).retry_s > 3000
    warm = CITY.operator.make_pool('a9-control', hold_ttl_s=1).name  # control: no cool-down
    other = CITY.operator.make_slots(warm, 2)
    who = DOORS.at(0, 'a9-warm')
    lapsed = who.hold(other[0])
    eventually(lambda: who.GetHold(api.GetHoldRequest(name=lapsed.name)).state ==
               resources.Hold.STATE_EXPIRED)
    who.hold(other[1])
    pool, _ = CITY.pool('a9-drawn', 1)
    release = CITY.release(pool, accept_s=1)
    people = [DOORS.at(i % 2, f'a9-{i}') for i in range(2)]
    for who in people:
        enter(who, release, 'any')
    CITY.standby(release)
    first, second = ranked(people, release)
    eventually(lambda: mine(second, release).state in (Ticket.STATE_OFFERED, Ticket.STATE_LAPSED))
    lapsed = mine(first, release)
    assert (lapsed.state, lapsed.outcome_reason) == (Ticket.STATE_LAPSED, 'OFFER_EXPIRED')
    refused(9, 'RELEASE_SEALED', enter, first, release, 'any')  # lapse and rebook


@tap.named('A10: watching for what others give back')
def test_a10():
    pool, _ = CITY.pool('a10', 2)
    release = CITY.release(pool)
    winner, scout = DOORS.at(0, 'a10'), DOORS.at(1, 'a10-scout')
    enter(winner, release, 'any')
    CITY.standby(release)
    booked = winner.confirm(mine(winner, release).hold)
    time.sleep(2.5)  # what is told is a snapshot of up to a second ago
    seen = [s.SerializeToString() for s in scout.slots(pool)]
    winner.cancel(booked.name)
    for _ in range(5):
        assert [s.SerializeToString() for s in scout.slots(pool)] == seen, 'a cancel shows'
        time.sleep(0.5)
    nobody = Client(DOORS.doors[0])
    refused(16, 'TOKEN_MISSING', nobody.slots, pool)


@tap.named('A11: a token, shared or sold')
def test_a11():
    pool, slots = CITY.pool('a11', 2)
    release = CITY.release(pool, window_s=6)
    owner = DOORS.at(0, 'a11')
    buyer = Client(DOORS.doors[1], owner.token)  # the very same token, elsewhere
    assert enter(owner, release, slots[0]).name == enter(buyer, release, slots[1]).name
    brief = DOORS.at(0, 'a11-brief', ttl='1s')
    eventually(lambda: expired(brief), seconds=20, every=0.5)
    other = DOORS.tokens('a11-other')[0].split('.')
    head, body, signature = owner.token.split('.')
    for forged in (f'{head}.{other[1]}.{signature}', f'{head}.{body}.{other[2]}',
                   f'{head}.{claims(body, sub="a11-other")}.{signature}',
                   f'{head}.{claims(body, exp=int(time.time()) + 10**6)}.{signature}'):
        refused(16, 'TOKEN_INVALID', enter, Client(DOORS.doors[1], forged), release, 'any')
    stranger = f'{head}.{claims(body, iss="https://elsewhere.example")}.{signature}'
    refused(16, 'ISSUER_UNKNOWN', enter, Client(DOORS.doors[1], stranger), release, 'any')
    CITY.standby(release)
    assert CITY.get(release).ticket_count == 1


def expired(who):
    try:
        who.ListPools(api.ListPoolsRequest())
        return False
    except Refused as refusal:
        assert refusal.reason == 'TOKEN_EXPIRED', refusal
        return True


def claims(body, **other):
    """The payload of a token with other claims in it."""
    told = json.loads(base64.urlsafe_b64decode(body + '=='))
    return house.b64url(json.dumps({**told, **other}).encode())


@tap.named('A12: a request, recorded and sent again')
def test_a12():
    pool, slots = CITY.pool('a12', 1)
    release = CITY.release(pool, window_s=6)
    who, thief = DOORS.at(0, 'a12'), DOORS.at(1, 'a12-thief')
    request = api.CreateTicketRequest(parent=release, preferences=[resources.Preference(any=True)],
                                      request_id=new_id())
    first = who.CreateTicket(request)
    again = Client(DOORS.doors[1], who.token)
    for _ in range(3):
        assert again.CreateTicket(request) == first, 'the first answer, byte for byte'
    assert mine(who, release).leaf_version == 1, 'and nothing happened twice'
    other = api.CreateTicketRequest(parent=release, slot_count=1, request_id=request.request_id)
    refused(6, 'REQUEST_ID_REUSED', again.CreateTicket, other)
    assert thief.CreateTicket(request).name != first.name, 'in whose name the token says'
    free = CITY.operator.make_pool('a12-free').name
    slot = CITY.operator.make_slots(free, 1)[0]
    wanted = api.CreateHoldRequest(parent=free, slot=slot, request_id=new_id())
    hold = who.CreateHold(wanted)
    who.drop(hold.name)
    assert again.CreateHold(wanted) == hold, 'what was said'
    assert again.GetHold(api.GetHoldRequest(name=hold.name)).state == \
        resources.Hold.STATE_DROPPED, 'and no second hold'


@tap.named('A13: many at the last slot, and double clicks')
def test_a13():
    free = CITY.operator.make_pool('a13', max_live=1).name
    slots = CITY.operator.make_slots(free, 4)
    crowd = [DOORS.at(i % 2, f'a13-{i}') for i in range(24)]
    got = together(*[lambda w=w: w.hold(slots[0]) for w in crowd])
    assert sum(not isinstance(g, Refused) for g in got) == 1
    assert {g.reason for g in got if isinstance(g, Refused)} == {'SLOT_TAKEN'}
    token = DOORS.tokens('a13-twice')[0]
    double = [Client(DOORS.doors[i % 2], token) for i in range(12)]
    got = together(*[lambda i=i, w=w: w.hold(slots[1 + i % 3]) for i, w in enumerate(double)])
    assert sum(not isinstance(g, Refused) for g in got) == 1, 'one person, one hold'
    assert {g.reason for g in got if isinstance(g, Refused)} <= {'SLOT_TAKEN', 'IDENTITY_QUOTA'}


if __name__ == '__main__':
    tap.run(globals(), DOORS.start, DOORS.close, side_by_side=6)

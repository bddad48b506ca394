#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: times instead of desks, moves, reconfirming, and an operator's stock do what the API says.

Method: python3-grpcio against a real server; every refusal by its reason, and the slots counted
after it, so that nothing is lost by a refused wish.
"""
import threading
import time

import house
import tap
from house import admin, api, new_id, refused, resources

SERVER = house.Server()
HOLD, RESERVATION, SLOT = resources.Hold, resources.Reservation, resources.Slot
DAY = 86400
FIRST = 1924992000 + 8 * 3600  # 2031-01-01T08:00Z


def before():
    global OPERATOR, ANNA, BERT
    SERVER.start()
    OPERATOR = SERVER.operator()
    ANNA, BERT = SERVER.person('anna'), SERVER.person('bert')


def after():
    SERVER.close()


def pool_with_slots(pool_id, count, first=FIRST, desks=1, step_s=900, **policy):
    pool = OPERATOR.make_pool(pool_id, **policy)
    return pool.name, OPERATOR.make_slots(pool.name, count, first=first, desks=desks,
                                          step_s=step_s)


def selector(start, count=0):
    return api.CreateHoldRequest().selector.__class__(start_time=house.timestamp(start),
                                                      slot_count=count)


def hold_at(person, pool, start, count=0, request_id=None):
    return person.CreateHold(api.CreateHoldRequest(
        parent=pool, selector=selector(start, count), request_id=request_id or new_id()))


def reservation_at(person, pool, start, count=0):
    return person.confirm(hold_at(person, pool, start, count).name)


def move(person, reservation, start=None, count=0, slot=None, etag='', request_id=None):
    want = {'slot': slot} if slot else {'selector': selector(start, count)}
    return person.RescheduleReservation(api.RescheduleReservationRequest(
        name=reservation, etag=etag, request_id=request_id or new_id(), **want))


def reconfirm(person, reservation, etag='', request_id=None):
    return person.ReconfirmReservation(api.ReconfirmReservationRequest(
        name=reservation, etag=etag, request_id=request_id or new_id()))


def restock(pool, request_id=None, client=None):
    return (client or OPERATOR).RestockPool(admin.RestockPoolRequest(
        name=pool, reason='a test', request_id=request_id or new_id()))


def block(pool, slots, undo=False, request_id=None, client=None):
    method = 'UnblockSlots' if undo else 'BlockSlots'
    return getattr(client or OPERATOR, method)(admin.BlockSlotsRequest(
        parent=pool, slots=slots, reason='water in the cellar', request_id=request_id or new_id()))


def update(pool, paths, request_id=None, client=None, etag='', **fields):
    return (client or OPERATOR).UpdatePool(admin.UpdatePoolRequest(
        pool=resources.Pool(name=pool, etag=etag, **fields), update_paths=paths,
        request_id=request_id or new_id()))


def states(pool, client=None):
    """{state: count} of a pool's slots."""
    found = {}
    for slot in (client or OPERATOR).slots(pool):
        name = SLOT.State.Name(slot.state)[6:].lower()
        found[name] = found.get(name, 0) + 1
    return found


def starts(thing):
    return [slot.start_time.seconds for slot in thing.slots]


# -- a time, not a desk ---------------------------------------------------------------------------

def test_any_free_desk_then():
    pool, _ = pool_with_slots('any', 6, desks=3, max_live=8)
    held = [hold_at(person, pool, FIRST) for person in (ANNA, BERT, ANNA)]
    assert len({hold.slots[0].name for hold in held}) == 3
    assert all(starts(hold) == [FIRST] and len(hold.slots) == 1 for hold in held)
    refusal = refused(10, 'SLOT_TAKEN', hold_at, BERT, pool, FIRST)
    assert len(refusal.meta['next_free'].split(',')) == 1, refusal.meta  # one a time
    assert refusal.meta['next_free'].startswith('s20310101t0815-'), refusal.meta
    assert states(pool) == {'held': 3, 'free': 3}


def test_the_desk_does_not_depend_on_who_asks_first():
    """Two people who get different desks when alone get the same two together, in either order."""
    people = [SERVER.person(f'desk-{i}') for i in range(5)]
    alone = {}
    for number, person in enumerate(people):
        pool, _ = pool_with_slots(f'alone-{number}', 16, desks=16)
        alone[person] = hold_at(person, pool, FIRST).slots[0].desk
    first = people[0]
    second = next(person for person in people if alone[person] != alone[first])
    for number, order in enumerate(((first, second), (second, first))):
        pool, _ = pool_with_slots(f'order-{number}', 16, desks=16)
        for person in order:
            assert hold_at(person, pool, FIRST).slots[0].desk == alone[person]


def test_neighbours_all_or_nothing():
    pool, names = pool_with_slots('long', 8, desks=2)
    hold = hold_at(ANNA, pool, FIRST, 3)
    assert starts(hold) == [FIRST, FIRST + 900, FIRST + 1800], hold
    assert len({slot.desk for slot in hold.slots}) == 1
    assert [slot.state for slot in hold.slots] == [SLOT.STATE_HELD] * 3
    taken = ANNA.confirm(hold.name)
    assert starts(taken) == starts(hold)
    assert ANNA.GetReservation(api.GetReservationRequest(name=taken.name)) == taken
    # Of the other desk the second slot goes: no desk has two neighbours left at the start.
    other = [name for name in names if name.endswith(
        'desk-1' if taken.slots[0].desk == 'Desk 2' else 'desk-2')]
    BERT.hold(other[1])
    refusal = refused(10, 'SLOT_TAKEN', hold_at, BERT, pool, FIRST, 2)
    assert refusal.meta['next_free'] == other[2].split('/')[-1], refusal.meta
    assert starts(hold_at(BERT, pool, FIRST, 1)) == [FIRST]
    gone = ANNA.cancel(taken.name)
    assert [slot.state for slot in gone.slots] == [SLOT.STATE_RETURNED] * 3
    assert states(pool) == {'returned': 3, 'held': 2, 'free': 3}


def test_long_stretches_stay_whole():
    """Desk 1 has one slot then, desk 2 eight in a row: whoever needs one gets desk 1."""
    pool = OPERATOR.make_pool('stretch').name
    slots = [house.new_slot(FIRST, 'Desk 1')]
    slots += [house.new_slot(FIRST + 900 * i, 'Desk 2') for i in range(8)]
    OPERATOR.BatchCreateSlots(admin.BatchCreateSlotsRequest(parent=pool, slots=slots,
                                                            request_id=new_id()))
    for person in (ANNA, BERT):
        hold = hold_at(person, pool, FIRST)
        assert hold.slots[0].desk == ('Desk 1' if person is ANNA else 'Desk 2')
    assert len(hold_at(BERT, pool, FIRST + 900, 7).slots) == 7


def test_neighbours_do_not_cross_gaps_and_days():
    pool = OPERATOR.make_pool('gaps').name
    slots = [house.new_slot(FIRST + at, 'A') for at in (0, 900, 2700)]  # a gap at 1800
    night = 1924992000 + DAY - 1800
    slots += [house.new_slot(night + at, 'N') for at in (0, 900, 1800)]  # the third is tomorrow
    OPERATOR.BatchCreateSlots(admin.BatchCreateSlotsRequest(parent=pool, slots=slots,
                                                            request_id=new_id()))
    refused(10, 'SLOT_TAKEN', hold_at, ANNA, pool, FIRST, 3)
    refused(10, 'SLOT_TAKEN', hold_at, ANNA, pool, night, 3)
    assert states(pool) == {'free': 6}
    assert starts(hold_at(ANNA, pool, FIRST, 2)) == [FIRST, FIRST + 900]
    assert starts(hold_at(ANNA, pool, night, 2)) == [night, night + 900]


def test_selectors_are_checked():
    pool, _ = pool_with_slots('wrong', 4)
    for count in (-1, 9, 2**31 - 1):
        refusal = refused(3, 'FIELD_INVALID', hold_at, ANNA, pool, FIRST, count)
        assert refusal.field == 'selector.slot_count', refusal
    request = api.CreateHoldRequest(parent=pool, request_id=new_id())
    request.selector.slot_count = 1
    assert refused(3, 'FIELD_INVALID', ANNA.CreateHold, request).field == 'selector.start_time'
    request.selector.start_time.nanos = 1
    assert refused(3, 'FIELD_INVALID', ANNA.CreateHold, request).field == 'selector.start_time'
    refusal = refused(5, 'SLOT_UNKNOWN', hold_at, ANNA, pool, FIRST + 60)
    assert refusal.meta['next_free'].startswith('s20310101t0815-'), refusal.meta
    refused(5, 'SLOT_UNKNOWN', hold_at, ANNA, pool, FIRST + DAY)
    refused(5, 'POOL_UNKNOWN', hold_at, ANNA, 'pools/nowhere', FIRST)
    past, _ = pool_with_slots('wrong-past', 1, first=time.time() // 60 * 60 - DAY)
    refused(9, 'SLOT_PAST', hold_at, ANNA, past, time.time() // 60 * 60 - DAY)
    assert states(pool) == {'free': 4}


def test_a_pool_says_how_many():
    pool, _ = pool_with_slots('few', 4, max_slots_per_hold=2)
    refusal = refused(9, 'TOO_MANY_SLOTS', hold_at, ANNA, pool, FIRST, 3)
    assert refusal.meta['max_slots'] == '2' and 'PreconditionFailure' in refusal.details
    assert len(hold_at(ANNA, pool, FIRST, 2).slots) == 2


def test_several_slots_expire_drop_and_repeat_as_one():
    pool, _ = pool_with_slots('one-thing', 9, hold_ttl_s=2)
    wish = new_id()
    hold = hold_at(ANNA, pool, FIRST, 3, request_id=wish)
    assert hold_at(ANNA, pool, FIRST, 3, request_id=wish) == hold
    refused(6, 'REQUEST_ID_REUSED', hold_at, ANNA, pool, FIRST, 2, request_id=wish)
    dropped = hold_at(BERT, pool, FIRST + 2700, 3)
    assert [s.state for s in BERT.drop(dropped.name).slots] == [SLOT.STATE_RETURNED] * 3
    assert states(pool) == {'held': 3, 'returned': 3, 'free': 3}
    house.eventually(lambda: states(pool) == {'returned': 6, 'free': 3})
    ended = ANNA.GetHold(api.GetHoldRequest(name=hold.name))
    assert ended.state == HOLD.STATE_EXPIRED and starts(ended) == starts(hold)
    refused(9, 'HOLD_EXPIRED', ANNA.confirm, hold.name)


def test_one_time_many_people():
    """40 people, 10 desks, at once: ten get one each, nobody two of a desk."""
    pool, _ = pool_with_slots('crowd', 10, desks=10)
    people = [SERVER.person(f'crowd-{i}') for i in range(40)]
    got, lost = [], []

    def ask(person):
        try:
            got.append(hold_at(person, pool, FIRST).slots[0].name)
        except house.Refused as refusal:
            lost.append(refusal.reason)
    threads = [threading.Thread(target=ask, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == len(set(got)) == 10 and lost == ['SLOT_TAKEN'] * 30, (got, lost)


# -- rescheduling ---------------------------------------------------------------------------------

def test_reschedule_is_one_step():
    pool, names = pool_with_slots('move', 6)
    taken = ANNA.confirm(ANNA.hold(names[0]).name)
    assert taken.changes_left == 2
    wish = new_id()
    moved = move(ANNA, taken.name, slot=names[3], etag=taken.etag, request_id=wish)
    assert (moved.name, moved.display_code, moved.create_time) == (
        taken.name, taken.display_code, taken.create_time)
    assert moved.slots[0].name == names[3] and moved.changes_left == 1
    assert moved.etag != taken.etag and moved.state == RESERVATION.STATE_CONFIRMED
    now = {slot.name: slot for slot in OPERATOR.slots(pool)}
    assert now[names[0]].state == SLOT.STATE_RETURNED and now[names[0]].version == 4
    assert now[names[3]].state == SLOT.STATE_TAKEN and now[names[3]].version == 2
    assert moved.slots[0].version == 2
    assert move(ANNA, taken.name, slot=names[3], etag=taken.etag, request_id=wish) == moved
    refused(6, 'REQUEST_ID_REUSED', move, ANNA, taken.name, slot=names[4], request_id=wish)
    assert ANNA.GetReservation(api.GetReservationRequest(name=taken.name)) == moved
    again = move(ANNA, taken.name, start=FIRST + 4 * 900)
    assert again.changes_left == 0
    refusal = refused(9, 'CHANGES_USED_UP', move, ANNA, taken.name, slot=names[5])
    assert refusal.meta['max_changes'] == '2'
    assert states(pool) == {'returned': 2, 'taken': 1, 'free': 3}
    assert ANNA.cancel(taken.name).state == RESERVATION.STATE_CANCELLED
    refused(9, 'RESERVATION_ENDED', move, ANNA, taken.name, slot=names[5])


def test_reschedule_refused_changes_nothing():
    pool, names = pool_with_slots('stay', 6)
    taken = ANNA.confirm(ANNA.hold(names[0]).name)
    hold = ANNA.hold(names[5])
    BERT.hold(names[1])
    before_all = {slot.name: slot for slot in OPERATOR.slots(pool)}
    refused(10, 'SLOT_TAKEN', move, ANNA, taken.name, slot=names[0])  # its own
    refused(10, 'SLOT_TAKEN', move, ANNA, taken.name, start=FIRST)
    refused(10, 'SLOT_TAKEN', move, ANNA, taken.name, slot=names[1])
    refused(7, 'NOT_YOUR_RESERVATION', move, BERT, taken.name, slot=names[2])
    refused(10, 'ETAG_MISMATCH', move, ANNA, taken.name, slot=names[2], etag='"v99"')
    refused(5, 'SLOT_UNKNOWN', move, ANNA, taken.name, slot=pool + '/slots/s20310101t0801-desk-1')
    refused(5, 'SLOT_UNKNOWN', move, ANNA, taken.name, start=FIRST + 1)
    refused(3, 'FIELD_INVALID', move, ANNA, taken.name,
            slot='pools/other/slots/s20310101t0800-x')
    refused(3, 'FIELD_INVALID', move, ANNA, hold.name, slot=names[2])
    refused(5, 'RESERVATION_UNKNOWN', move, ANNA, taken.name + '0', slot=names[2])
    refused(5, 'RESERVATION_UNKNOWN', move, ANNA, hold.name.replace('/holds/h', '/reservations/r'),
            slot=names[2])
    refused(3, 'FIELD_INVALID', ANNA.RescheduleReservation, api.RescheduleReservationRequest(
        name=taken.name, request_id=new_id()))
    assert {slot.name: slot for slot in OPERATOR.slots(pool)} == before_all
    assert ANNA.GetReservation(api.GetReservationRequest(name=taken.name)) == taken


def test_reschedule_keeps_its_neighbours():
    pool, names = pool_with_slots('move-long', 12, max_slots_per_hold=3)
    taken = reservation_at(ANNA, pool, FIRST, 3)
    moved = move(ANNA, taken.name, start=FIRST + 6 * 900)
    assert starts(moved) == [FIRST + i * 900 for i in (6, 7, 8)]
    refused(9, 'TOO_MANY_SLOTS', move, ANNA, taken.name, start=FIRST + 3 * 900, count=4)
    refused(10, 'SLOT_TAKEN', move, ANNA, taken.name, slot=names[4])  # 4, 5, and its own 6
    moved = move(ANNA, taken.name, slot=names[9])
    assert starts(moved) == [FIRST + i * 900 for i in (9, 10, 11)]
    assert states(pool) == {'taken': 3, 'returned': 6, 'free': 3}


def test_reschedule_of_scarce_pools_waits_for_its_turn():
    pool, names = pool_with_slots('move-scarce', 3)
    taken = ANNA.confirm(ANNA.hold(names[0]).name)
    update(pool, ['scarce'], scarce=True)
    refused(9, 'NOT_YOUR_TURN', move, ANNA, taken.name, slot=names[1])
    assert ANNA.cancel(taken.name).state == RESERVATION.STATE_CANCELLED


def test_two_moves_to_one_slot():
    """Two reservations race for one slot: one has it, the other stays where it is."""
    pool, names = pool_with_slots('race', 3, max_changes=100)
    mine = {person: person.confirm(person.hold(name).name)
            for person, name in ((ANNA, names[0]), (BERT, names[1]))}
    verdicts = []

    def go(person):
        try:
            move(person, mine[person].name, slot=names[2])
            verdicts.append('OK')
        except house.Refused as refusal:
            verdicts.append(refusal.reason)
    threads = [threading.Thread(target=go, args=(person,)) for person in mine]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(verdicts) == ['OK', 'SLOT_TAKEN'], verdicts
    assert states(pool) == {'taken': 2, 'returned': 1}


def test_past_appointments_do_not_move():
    soon = int(time.time()) + 3
    pool, names = pool_with_slots('too-late', 3, first=soon)
    taken = ANNA.confirm(ANNA.hold(names[0]).name)
    time.sleep(max(0, soon + 1 - time.time()))
    refused(9, 'SLOT_PAST', move, ANNA, taken.name, slot=names[2])
    refused(9, 'SLOT_PAST', reconfirm, ANNA, taken.name)


# -- reconfirming ---------------------------------------------------------------------------------

def test_reconfirm():
    pool, names = pool_with_slots('sure', 3)
    taken = ANNA.confirm(ANNA.hold(names[0]).name)
    assert not taken.HasField('reconfirm_by_time')
    refused(7, 'NOT_YOUR_RESERVATION', reconfirm, BERT, taken.name)
    refused(10, 'ETAG_MISMATCH', reconfirm, ANNA, taken.name, etag='"v1"')
    wish = new_id()
    sure = reconfirm(ANNA, taken.name, etag=taken.etag, request_id=wish)
    assert sure.state == RESERVATION.STATE_RECONFIRMED and sure.etag != taken.etag
    assert sure.slots == taken.slots
    assert reconfirm(ANNA, taken.name, etag=taken.etag, request_id=wish) == sure
    assert reconfirm(ANNA, taken.name) == sure  # once more changes nothing
    moved = move(ANNA, taken.name, slot=names[1])
    assert moved.state == RESERVATION.STATE_CONFIRMED
    assert ANNA.cancel(reconfirm(ANNA, taken.name).name).state == RESERVATION.STATE_CANCELLED
    refused(9, 'RESERVATION_ENDED', reconfirm, ANNA, taken.name)


def test_reconfirm_window():
    pool, names = pool_with_slots('window', 1, reconfirm_open=house.seconds(3600),
                                  reconfirm_by=house.seconds(600))
    taken = ANNA.confirm(ANNA.hold(names[0]).name)
    assert taken.reconfirm_by_time.seconds == FIRST - 600, taken
    wish = new_id()
    refusal = refused(9, 'RECONFIRM_EARLY', reconfirm, ANNA, taken.name, request_id=wish)
    assert refusal.retry_s > 86400
    update(pool, ['reconfirm_open', 'reconfirm_by'])  # nobody has to any more: the window is open
    sure = reconfirm(ANNA, taken.name, request_id=wish)  # what waited is not remembered
    assert sure.state == RESERVATION.STATE_RECONFIRMED and not sure.HasField('reconfirm_by_time')


def test_unconfirmed_reservations_lapse():
    """Two reservations ten seconds before their time: the one that is not reconfirmed lapses."""
    soon = int(time.time()) + 9
    pool, names = pool_with_slots('lapse', 2, first=soon, desks=2, reconfirm_by=house.seconds(5))
    lost = ANNA.confirm(ANNA.hold(names[0]).name)
    kept = BERT.confirm(BERT.hold(names[1]).name)
    assert lost.reconfirm_by_time.seconds == soon - 5
    assert reconfirm(BERT, kept.name).state == RESERVATION.STATE_RECONFIRMED
    house.eventually(lambda: states(pool) == {'returned': 1, 'taken': 1}, seconds=20)
    lapsed = ANNA.GetReservation(api.GetReservationRequest(name=lost.name))
    assert lapsed.state == RESERVATION.STATE_LAPSED and not lapsed.HasField('reconfirm_by_time')
    for action in (reconfirm, lambda who, name: who.cancel(name)):
        refused(9, 'RESERVATION_ENDED', action, ANNA, lost.name)


# -- after giving back ----------------------------------------------------------------------------

def test_cool_down():
    pool, names = pool_with_slots('cool', 3, cancel_cool_down=house.seconds(3))
    hold = ANNA.hold(names[0])
    ANNA.drop(hold.name)
    wish = new_id()
    refusal = refused(8, 'COOL_DOWN', ANNA.hold, names[1], request_id=wish)
    assert 0 < refusal.retry_s <= 3.1, refusal.retry_s
    assert BERT.hold(names[2]).name  # it is one's own
    held = house.eventually(lambda: try_hold(ANNA, names[1], wish), seconds=20, every=0.3)
    assert held.slots[0].name == names[1]


def try_hold(person, name, wish):
    try:
        return person.hold(name, request_id=wish)
    except house.Refused as refusal:
        assert refusal.reason == 'COOL_DOWN', refusal
        return None


# -- an operator's stock --------------------------------------------------------------------------

def test_update_pool():
    pool, names = pool_with_slots('policy', 3)
    old = ANNA.GetPool(api.GetPoolRequest(name=pool))
    assert (old.max_slots_per_hold, old.max_changes) == (8, 2)
    wish = new_id()
    new = update(pool, ['office', 'max_changes'], etag=old.etag, request_id=wish,
                 office='Town Hall', max_changes=-1, service='ignored')
    assert (new.office, new.max_changes, new.service) == ('Town Hall', -1, old.service)
    assert new.etag != old.etag and new.display_name == old.display_name
    assert update(pool, ['office', 'max_changes'], etag=old.etag, request_id=wish,
                  office='Town Hall', max_changes=-1, service='ignored') == new
    assert ANNA.GetPool(api.GetPoolRequest(name=pool)) == new
    taken = ANNA.confirm(ANNA.hold(names[0]).name)
    assert taken.changes_left == 0
    refused(10, 'ETAG_MISMATCH', update, pool, ['office'], etag=old.etag, office='X')
    refused(7, 'ROLE_MISSING', update, pool, ['office'], client=ANNA, office='X')
    refused(5, 'POOL_UNKNOWN', update, 'pools/nowhere', ['office'], office='X')
    for paths in (['service_class'], ['name'], ['etag'], ['nothing'], []):
        refused(3, 'FIELD_INVALID', update, pool, paths)
    refused(3, 'FIELD_INVALID', update, pool, ['max_live_per_identity'], max_live_per_identity=17)
    update(pool, ['reconfirm_open'], reconfirm_open=house.seconds(60))
    refusal = refused(3, 'FIELD_INVALID', update, pool, ['reconfirm_by'],
                      reconfirm_by=house.seconds(60))
    assert refusal.field == 'pool.reconfirm_by'
    assert update(pool, [], office='By value').office == 'By value'


def test_block_and_unblock():
    pool, names = pool_with_slots('block', 6)
    ANNA.drop(ANNA.hold(names[0]).name)
    wish = new_id()
    answer = block(pool, names[:3], request_id=wish)
    assert answer.changed_count == 3 and answer.log_index > 0
    assert block(pool, list(reversed(names[:3])), request_id=wish) == answer
    assert states(pool) == {'blocked': 3, 'free': 3}
    assert block(pool, names[:4]).changed_count == 1
    refused(10, 'SLOT_TAKEN', ANNA.hold, names[1])
    assert block(pool, names[:4], undo=True).changed_count == 4
    assert states(pool) == {'returned': 1, 'free': 5}, 'unblocking is no restock'
    assert block(pool, names[:4], undo=True).changed_count == 0
    assert [slot.version for slot in OPERATOR.slots(pool)] == [5, 3, 3, 3, 1, 1]


def test_block_is_all_or_nothing():
    pool, names = pool_with_slots('in-use', 10, max_live=16)
    ANNA.hold(names[2])
    ANNA.confirm(ANNA.hold(names[4]).name)
    refusal = refused(10, 'SLOT_TAKEN', block, pool, names)
    assert refusal.meta == {'in_use': ','.join(n.split('/')[-1] for n in (names[2], names[4])),
                            'in_use_count': '2'}, refusal.meta
    unknown = pool + '/slots/s20310101t0801-x'
    refusal = refused(5, 'SLOT_UNKNOWN', block, pool, [names[0], unknown])
    assert refusal.meta['slot'] == 's20310101t0801-x'
    refused(5, 'SLOT_UNKNOWN', block, pool, [unknown], undo=True)
    assert states(pool) == {'held': 1, 'taken': 1, 'free': 8}
    for slots in ([], [names[0], names[0]], ['x'], ['pools/other/slots/s20310101t0800-x'],
                  names * 26):
        refused(3, 'FIELD_INVALID', block, pool, slots)
    refused(7, 'ROLE_MISSING', block, pool, names[:1], client=ANNA)
    refused(5, 'POOL_UNKNOWN', block, 'pools/nowhere', ['pools/nowhere/slots/s20310101t0800-x'])


def test_restock():
    pool, names = pool_with_slots('again', 5, max_live=16)
    for name in names[:3]:
        ANNA.drop(ANNA.hold(name).name)
    wish = new_id()
    answer = restock(pool, request_id=wish)
    assert answer.restocked_count == 3 and answer.log_index > 0
    assert states(pool) == {'free': 5}
    ANNA.drop(ANNA.hold(names[0]).name)
    assert restock(pool, request_id=wish) == answer, 'the first answer, and nothing done again'
    assert states(pool) == {'returned': 1, 'free': 4}
    assert restock(pool).restocked_count == 1
    assert restock(pool).restocked_count == 0
    refused(7, 'ROLE_MISSING', restock, pool, client=ANNA)
    refused(5, 'POOL_UNKNOWN', restock, 'pools/nowhere')
    assert ANNA.hold(names[0]).slots[0].version == 8


def test_a_large_restock_goes_on_by_itself():
    """Two operators at once want the same returned slots: each slot is freed once."""
    pool, names = pool_with_slots('large', 3000, step_s=60, desks=10, max_live=16,
                                  max_slots_per_hold=8)
    returned = give_back(pool, names)
    wish, other = new_id(), new_id()
    refusal = refused(14, 'RESTOCK_RUNNING', restock, pool, request_id=wish)
    assert refusal.retry_s > 0
    counts = {}

    def go(request_id):
        counts[request_id] = house.eventually(lambda: try_restock(pool, request_id), seconds=60)
    threads = [threading.Thread(target=go, args=(one,)) for one in (wish, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts[wish].restocked_count == returned, (counts, returned)
    assert counts[other].restocked_count == 0
    assert restock(pool, request_id=wish) == counts[wish]
    assert states(pool) == {'free': 3000}


def give_back(pool, names):
    """Every eighth slot and one more of each desk, held and dropped; how many are returned now."""
    people = [SERVER.person(f'giver-{i}') for i in range(8)]
    done = [0]
    lock = threading.Lock()
    runs = [(desk, at) for desk in range(10) for at in range(0, 300 - 7, 8)]

    def work(person, mine):
        for desk, at in mine:
            name = names[at * 10 + desk]
            held = person.CreateHold(api.CreateHoldRequest(parent=pool, slot=name,
                                                           request_id=new_id()))
            person.drop(held.name)
            with lock:
                done[0] += 1
    threads = [threading.Thread(target=work, args=(person, runs[i::8]))
               for i, person in enumerate(people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return done[0]


def try_restock(pool, request_id):
    try:
        return restock(pool, request_id=request_id)
    except house.Refused as refusal:
        assert refusal.reason == 'RESTOCK_RUNNING', refusal
        return None


# -- scarce pools, pages --------------------------------------------------------------------------

def test_nothing_moves_when_somebody_cancels_in_a_scarce_pool():
    pool, names = pool_with_slots('quiet', 4)
    taken = ANNA.confirm(ANNA.hold(names[0]).name)
    ANNA.hold(names[1])
    update(pool, ['scarce'], scarce=True)
    seen = ANNA.slots(pool)
    assert [slot.state for slot in seen] == [SLOT.STATE_TAKEN] * 2 + [SLOT.STATE_FREE] * 2
    assert {slot.version for slot in seen} == {0}
    ANNA.cancel(taken.name)
    assert BERT.slots(pool) == seen
    assert states(pool) == {'returned': 1, 'held': 1, 'free': 2}  # operators see it
    stranger = house.Client(SERVER.target)
    refused(16, 'TOKEN_MISSING', stranger.slots, pool)
    assert len(stranger.slots(pool_with_slots('plenty', 2)[0])) == 2


def test_page_tokens_are_opaque():
    pool, names = pool_with_slots('tokens', 3)
    page = ANNA.ListSlots(api.ListSlotsRequest(parent=pool, page_size=1))
    assert 's2031' not in page.next_page_token and 'desk' not in page.next_page_token
    token = page.next_page_token
    for wrong in (token[:-1], token + 'A', token.swapcase(), token[::-1]):
        refused(11, 'PAGE_TOKEN_INVALID', ANNA.ListSlots,
                api.ListSlotsRequest(parent=pool, page_size=1, page_token=wrong))
    refused(11, 'PAGE_TOKEN_INVALID', ANNA.ListSlots, api.ListSlotsRequest(
        parent=pool, page_size=1, page_token=token, free_only=True))
    refused(11, 'PAGE_TOKEN_INVALID', ANNA.ListSlots, api.ListSlotsRequest(
        parent=pool, page_size=1, page_token=token, start_time=house.timestamp(FIRST)))
    assert ANNA.ListSlots(api.ListSlotsRequest(
        parent=pool, page_size=5, page_token=token)).slots[0].name == names[1]


def test_restart_keeps_it_all():
    pool, names = pool_with_slots('kept', 9, desks=1, max_live=8, reconfirm_by=house.seconds(600))
    long = reservation_at(ANNA, pool, FIRST, 3)
    moved = move(ANNA, reservation_at(ANNA, pool, FIRST + 2700, 2).name, start=FIRST + 4500)
    sure = reconfirm(ANNA, moved.name)
    held = hold_at(ANNA, pool, FIRST + 6300, 2)
    whole = list(OPERATOR.slots(pool))
    SERVER.kill()
    SERVER.start()
    house.eventually(ANNA.reaches)
    assert list(OPERATOR.slots(pool)) == whole
    assert ANNA.GetReservation(api.GetReservationRequest(name=long.name)) == long
    assert ANNA.GetReservation(api.GetReservationRequest(name=sure.name)) == sure
    assert starts(ANNA.confirm(held.name)) == starts(held)


if __name__ == '__main__':
    tap.run(globals(), before, after)

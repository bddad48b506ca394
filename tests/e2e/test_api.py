#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: every RPC does what the API says, and every refusal names its reason.

Method: python3-grpcio, a client that others wrote, against a real server and a real disk.
"""
import re
import time

import house
import tap
from house import admin, api, new_id, new_slot, refused, resources

SERVER = house.Server()
HOLD, RESERVATION, SLOT = resources.Hold, resources.Reservation, resources.Slot


def before():
    global OPERATOR, ANNA, BERT
    SERVER.start()
    OPERATOR = SERVER.operator()
    ANNA, BERT = SERVER.person('anna'), SERVER.person('bert')


def after():
    SERVER.close()


def pool_with_slots(pool_id, count, first=None, desks=1, **policy):
    pool = OPERATOR.make_pool(pool_id, **policy)
    return pool, OPERATOR.make_slots(pool.name, count, first=first, desks=desks)


def slot_now(name):
    return next(slot for slot in ANNA.slots(name.split('/slots/')[0]) if slot.name == name)


# -- pools ----------------------------------------------------------------------------------------

def test_pool_is_made_and_read():
    made = OPERATOR.make_pool('office-a', hold_ttl_s=120, max_live=3, display_name='Office A',
                              office='City Hall', service='Passports', service_class='passports')
    assert made.name == 'pools/office-a' and made.etag, made
    read = ANNA.GetPool(api.GetPoolRequest(name='pools/office-a'))
    assert read == made, (read, made)
    assert (read.display_name, read.office, read.service) == ('Office A', 'City Hall', 'Passports')
    assert read.hold_ttl.seconds == 120 and read.max_live_per_identity == 3
    assert read.service_class == 'passports' and read.time_zone == 'Europe/Berlin'


def test_pool_twice():
    refused(6, 'POOL_EXISTS', OPERATOR.make_pool, 'office-a')


def test_pool_needs_the_role():
    refused(7, 'ROLE_MISSING', ANNA.make_pool, 'office-b')
    refused(5, 'POOL_UNKNOWN', ANNA.GetPool, api.GetPoolRequest(name='pools/office-b'))


def test_pool_fields_are_checked():
    def create(pool_id='office-c', request_id=None, **change):
        pool = resources.Pool(display_name='C', service_class='c', time_zone='Europe/Berlin',
                              max_live_per_identity=1)
        pool.hold_ttl.seconds = change.pop('ttl', 60)
        for field, value in change.items():
            setattr(pool, field, value)
        return OPERATOR.CreatePool(admin.CreatePoolRequest(
            pool_id=pool_id, pool=pool, request_id=new_id() if request_id is None else request_id))
    for wrong in ({'pool_id': ''}, {'pool_id': 'Office'}, {'pool_id': 'x' * 64}, {'ttl': -1},
                  {'ttl': 24 * 3600 + 1}, {'max_live_per_identity': 17},
                  {'max_live_per_identity': -1}, {'request_id': ''}, {'request_id': 'x' * 36},
                  {'display_name': 'x' * 201}, {'service_class': 'x' * 64}):
        refusal = refused(3, 'FIELD_INVALID', create, **wrong)
        assert refusal.field and 'BadRequest' in refusal.details, (wrong, refusal)
    refused(5, 'POOL_UNKNOWN', ANNA.GetPool, api.GetPoolRequest(name='pools/office-c'))


def test_pool_list_pages():
    for number in range(7):
        OPERATOR.make_pool(f'page-{number}')
    whole = [pool.name for pool in ANNA.ListPools(api.ListPoolsRequest(page_size=1000)).pools]
    assert whole == sorted(whole) and len(set(whole)) == len(whole), whole
    seen, token = [], ''
    for _ in range(100):
        page = ANNA.ListPools(api.ListPoolsRequest(page_size=3, page_token=token))
        assert len(page.pools) <= 3
        seen += [pool.name for pool in page.pools]
        token = page.next_page_token
        if not token:
            break
    assert seen == whole, (seen, whole)


def test_pool_names_are_checked():
    for name in ('', 'office-a', 'pools/', 'pools/A', 'pools/a/slots/b', 'pools/' + 'x' * 64):
        refused(3, 'FIELD_INVALID', ANNA.GetPool, api.GetPoolRequest(name=name))
    refused(5, 'POOL_UNKNOWN', ANNA.GetPool, api.GetPoolRequest(name='pools/nowhere'))


# -- slots ----------------------------------------------------------------------------------------

def test_slots_are_made_and_listed():
    pool, names = pool_with_slots('slots-a', 40, first=1924992000, desks=4)  # 2031-01-01
    assert len(names) == 40 and names == sorted(names)
    assert re.fullmatch(r'pools/slots-a/slots/s20310101t0000-desk-1', names[0]), names[0]
    slots = ANNA.slots(pool.name)
    assert all(slot.state == SLOT.STATE_FREE and slot.version >= 1 for slot in slots)
    assert slots[0].desk == 'Desk 1' and slots[0].duration.seconds == 900
    assert slots[0].start_time.seconds == 1924992000


def test_slots_interval_is_half_open():
    found = ANNA.slots('pools/slots-a', start_time=house.timestamp(1924992000 + 900),
                       end_time=house.timestamp(1924992000 + 2700))
    starts = sorted({slot.start_time.seconds - 1924992000 for slot in found})
    assert starts == [900, 1800] and len(found) == 8, starts
    behind = house.timestamp_pb2.Timestamp(seconds=1924992000 + 900, nanos=1)
    for bounds, first in (({'start_time': behind}, 1800), ({'end_time': behind}, 900)):
        found = ANNA.slots('pools/slots-a', **bounds)
        starts = {slot.start_time.seconds - 1924992000 for slot in found}
        assert first in starts and (900 in starts) == ('end_time' in bounds), (bounds, starts)


def test_slots_pages_meet_without_gap():
    whole = [slot.name for slot in ANNA.slots('pools/slots-a')]
    seen, token = [], ''
    while True:
        page = ANNA.ListSlots(api.ListSlotsRequest(parent='pools/slots-a', page_size=7,
                                                   page_token=token))
        assert len(page.slots) <= 7 and page.as_of_time.seconds > 1700000000
        seen += [slot.name for slot in page.slots]
        token = page.next_page_token
        if not token:
            break
    assert seen == whole
    assert len(ANNA.ListSlots(api.ListSlotsRequest(parent='pools/slots-a')).slots) == 40


def test_page_tokens_belong_to_their_list():
    page = ANNA.ListSlots(api.ListSlotsRequest(parent='pools/slots-a', page_size=1))
    token = page.next_page_token
    pool_with_slots('slots-b', 2)
    refused(11, 'PAGE_TOKEN_INVALID', ANNA.ListSlots,
            api.ListSlotsRequest(parent='pools/slots-b', page_token=token))
    for garbage in ('garbage', 'ä' * 40, '=' * 100):
        refused(11, 'PAGE_TOKEN_INVALID', ANNA.ListSlots,
                api.ListSlotsRequest(parent='pools/slots-a', page_token=garbage))
        refused(11, 'PAGE_TOKEN_INVALID', ANNA.ListPools, api.ListPoolsRequest(page_token=garbage))


def test_page_size_is_bounded():
    refused(3, 'FIELD_INVALID', ANNA.ListSlots,
            api.ListSlotsRequest(parent='pools/slots-a', page_size=-1))


def test_slots_all_or_nothing():
    before_count = len(ANNA.slots('pools/slots-a'))
    batch = [new_slot(1924992000 + 86400, 'Desk 1'), new_slot(1924992000, 'Desk 1')]
    refused(6, 'SLOT_EXISTS', OPERATOR.BatchCreateSlots, admin.BatchCreateSlotsRequest(
        parent='pools/slots-a', slots=batch, request_id=new_id()))
    assert len(ANNA.slots('pools/slots-a')) == before_count


def test_slots_validate_only():
    before_count = len(ANNA.slots('pools/slots-a'))
    answer = OPERATOR.BatchCreateSlots(admin.BatchCreateSlotsRequest(
        parent='pools/slots-a', slots=[new_slot(1924992000 + 86400, 'Desk 1')],
        request_id=new_id(), validate_only=True))
    assert len(ANNA.slots('pools/slots-a')) == before_count, answer


def test_slots_fields_are_checked():
    def create(slot, parent='pools/slots-a'):
        return OPERATOR.BatchCreateSlots(admin.BatchCreateSlotsRequest(
            parent=parent, slots=[slot] if slot else [], request_id=new_id()))
    for slot in (None, new_slot(1924992000 + 7200, 'x' * 300),
                 new_slot(1924992000 + 7200, 'Desk', duration_s=0),
                 new_slot(1924992000 + 7200, 'Desk', duration_s=86401)):
        refused(3, 'FIELD_INVALID', create, slot)
    refused(5, 'POOL_UNKNOWN', create, new_slot(1924992000, 'Desk'), parent='pools/nowhere')
    refused(7, 'ROLE_MISSING', ANNA.BatchCreateSlots, admin.BatchCreateSlotsRequest(
        parent='pools/slots-a', slots=[new_slot(1924992000 + 7200, 'Desk')], request_id=new_id()))


# -- holds and reservations -----------------------------------------------------------------------

def test_hold_confirm_cancel():
    pool, names = pool_with_slots('life', 3, hold_ttl_s=300)
    hold = ANNA.hold(names[0])
    assert hold.state == HOLD.STATE_LIVE and hold.etag and hold.log_index > 0, hold
    assert re.fullmatch(r'pools/life/holds/h[0-9a-f]{16}-[0-9a-f]+', hold.name), hold.name
    assert [slot.name for slot in hold.slots] == [names[0]]
    assert hold.slots[0].state == SLOT.STATE_HELD
    assert 295 < hold.expire_time.seconds - time.time() < 302
    assert ANNA.GetHold(api.GetHoldRequest(name=hold.name)) == hold
    taken = ANNA.confirm(hold.name, etag=hold.etag)
    assert taken.state == RESERVATION.STATE_CONFIRMED and taken.display_code, taken
    assert taken.name == hold.name.replace('/holds/h', '/reservations/r'), taken.name
    assert taken.log_index > hold.log_index
    assert taken.slots[0].state == SLOT.STATE_TAKEN
    assert abs(taken.create_time.seconds - time.time()) < 5
    ended = ANNA.GetHold(api.GetHoldRequest(name=hold.name))
    assert ended.state == HOLD.STATE_CONFIRMED and ended.reservation == taken.name, ended
    assert ANNA.GetReservation(api.GetReservationRequest(name=taken.name)) == taken
    cancelled = ANNA.cancel(taken.name, etag=taken.etag)
    assert cancelled.state == RESERVATION.STATE_CANCELLED and cancelled.log_index > taken.log_index
    assert slot_now(names[0]).state == SLOT.STATE_RETURNED


def test_slot_versions_grow_by_one_a_change():
    pool, names = pool_with_slots('versions', 1)
    first = slot_now(names[0]).version
    hold = ANNA.hold(names[0])
    taken = ANNA.confirm(hold.name)
    ANNA.cancel(taken.name)
    assert hold.slots[0].version == first + 1, hold
    assert taken.slots[0].version == first + 2, taken
    assert slot_now(names[0]).version == first + 3


def test_freed_slots_wait_in_the_return_pool():
    pool, names = pool_with_slots('returns', 2)
    ANNA.drop(ANNA.hold(names[0]).name)
    ANNA.cancel(ANNA.confirm(ANNA.hold(names[1]).name).name)
    assert [slot.state for slot in BERT.slots(pool.name)] == [SLOT.STATE_RETURNED] * 2
    assert BERT.slots(pool.name, free_only=True) == []
    for name in names:
        refused(10, 'SLOT_TAKEN', BERT.hold, name)


def test_free_only():
    pool, names = pool_with_slots('free', 3)
    ANNA.hold(names[1])
    assert [slot.name for slot in BERT.slots(pool.name, free_only=True)] == [names[0], names[2]]


def test_slot_taken():
    pool, names = pool_with_slots('taken', 1)
    hold = ANNA.hold(names[0])
    refused(10, 'SLOT_TAKEN', BERT.hold, names[0])
    ANNA.confirm(hold.name)
    refused(10, 'SLOT_TAKEN', BERT.hold, names[0])
    refused(10, 'SLOT_TAKEN', ANNA.hold, names[0])


def test_unknown_names():
    pool, names = pool_with_slots('unknown', 1)
    refused(5, 'SLOT_UNKNOWN', ANNA.hold, 'pools/unknown/slots/s20990101t0900-desk-1')
    refused(5, 'POOL_UNKNOWN', ANNA.hold, 'pools/nowhere/slots/s20990101t0900-desk-1')
    mine = ANNA.hold(names[0]).name
    missing = mine.rpartition('-')[0] + '-ffffff'
    for action in (ANNA.confirm, ANNA.drop):
        refused(5, 'HOLD_UNKNOWN', action, missing)
    refused(5, 'HOLD_UNKNOWN', ANNA.GetHold, api.GetHoldRequest(name=missing))
    missing = missing.replace('/holds/h', '/reservations/r')
    refused(5, 'RESERVATION_UNKNOWN', ANNA.cancel, missing)
    refused(5, 'RESERVATION_UNKNOWN', ANNA.GetReservation, api.GetReservationRequest(name=missing))


def test_hold_names_are_checked():
    for name in ('', 'pools/life', 'pools/life/holds/', 'pools/life/holds/x', 'h0123456789abcdef-1',
                 'pools/life/holds/h0123456789abcdeg-1', 'pools/life/holds/' + 'h' * 300):
        refused(3, 'FIELD_INVALID', ANNA.GetHold, api.GetHoldRequest(name=name))
        refused(3, 'FIELD_INVALID', ANNA.drop, name)


def test_what_is_anothers_stays_anothers():
    pool, names = pool_with_slots('mine', 2)
    hold = ANNA.hold(names[0])
    for action in (BERT.confirm, BERT.drop):
        refused(7, 'NOT_YOUR_RESERVATION', action, hold.name)
    refused(7, 'NOT_YOUR_RESERVATION', BERT.GetHold, api.GetHoldRequest(name=hold.name))
    taken = ANNA.confirm(hold.name)
    refused(7, 'NOT_YOUR_RESERVATION', BERT.cancel, taken.name)
    refused(7, 'NOT_YOUR_RESERVATION', BERT.GetReservation,
            api.GetReservationRequest(name=taken.name))
    assert ANNA.GetReservation(api.GetReservationRequest(name=taken.name)) == taken


def test_ended_holds():
    pool, names = pool_with_slots('ended', 2)
    dropped = ANNA.drop(ANNA.hold(names[0]).name)
    assert dropped.state == HOLD.STATE_DROPPED
    refused(9, 'HOLD_ENDED', ANNA.confirm, dropped.name)
    refused(9, 'HOLD_ENDED', ANNA.drop, dropped.name)
    confirmed = ANNA.hold(names[1])
    taken = ANNA.confirm(confirmed.name)
    refused(9, 'HOLD_ENDED', ANNA.drop, confirmed.name)
    ANNA.cancel(taken.name)
    refused(9, 'RESERVATION_ENDED', ANNA.cancel, taken.name)


def test_hold_expires():
    pool, names = pool_with_slots('expiry', 2, hold_ttl_s=1)
    hold, kept = ANNA.hold(names[0]), ANNA.hold(names[1])
    taken = ANNA.confirm(kept.name)
    house.eventually(lambda: ANNA.GetHold(
        api.GetHoldRequest(name=hold.name)).state == HOLD.STATE_EXPIRED, seconds=5)
    assert time.time() >= hold.expire_time.seconds + hold.expire_time.nanos / 1e9 - 0.1
    refused(9, 'HOLD_EXPIRED', ANNA.confirm, hold.name)
    assert slot_now(names[0]).state == SLOT.STATE_RETURNED
    assert slot_now(names[1]).state == SLOT.STATE_TAKEN, 'an expiry freed a confirmed slot'
    assert ANNA.GetReservation(api.GetReservationRequest(name=taken.name)) == taken


def test_etags():
    pool, names = pool_with_slots('etags', 1)
    hold = ANNA.hold(names[0])
    refused(10, 'ETAG_MISMATCH', ANNA.confirm, hold.name, etag='no-such')
    taken = ANNA.confirm(hold.name, etag=hold.etag)
    refused(10, 'ETAG_MISMATCH', ANNA.cancel, taken.name, etag=hold.etag)
    ANNA.cancel(taken.name, etag=taken.etag)


def test_quota():
    pool, names = pool_with_slots('quota', 4, max_live=2, service_class='quota')
    other, more = pool_with_slots('quota-too', 2, max_live=2, service_class='quota')
    elsewhere, free = pool_with_slots('quota-else', 1, max_live=2, service_class='else')
    first = ANNA.hold(names[0])
    taken = ANNA.confirm(ANNA.hold(more[0]).name)
    refusal = refused(8, 'IDENTITY_QUOTA', ANNA.hold, names[2])
    assert 'QuotaFailure' in refusal.details, refusal.details
    assert slot_now(names[2]).state == SLOT.STATE_FREE
    ANNA.hold(free[0])
    BERT.hold(names[2])
    ANNA.drop(first.name)
    ANNA.hold(names[1])
    refused(8, 'IDENTITY_QUOTA', ANNA.hold, names[3])
    ANNA.cancel(taken.name)
    ANNA.hold(names[3])


def test_assurance():
    pool, names = pool_with_slots('sure', 1, min_assurance=resources.ASSURANCE_HIGH)
    weak = SERVER.person('weak', assurance='low')
    refused(7, 'ASSURANCE_TOO_LOW', weak.hold, names[0])
    SERVER.person('strong', assurance='high').hold(names[0])


def test_past_slots():
    pool, names = pool_with_slots('past', 1, first=time.time() // 60 * 60 - 86400)
    refused(9, 'SLOT_PAST', ANNA.hold, names[0])


def test_scarce_pools_wait_for_their_release():
    pool, names = pool_with_slots('scarce', 1, scarce=True)
    refused(9, 'NOT_YOUR_TURN', ANNA.hold, names[0])


# -- once and only once ---------------------------------------------------------------------------

def test_same_request_same_answer():
    pool, names = pool_with_slots('again', 2)
    for_hold, for_confirm, for_cancel = new_id(), new_id(), new_id()
    hold = ANNA.hold(names[0], request_id=for_hold)
    assert ANNA.hold(names[0], request_id=for_hold) == hold
    taken = ANNA.confirm(hold.name, request_id=for_confirm)
    assert ANNA.confirm(hold.name, request_id=for_confirm) == taken
    assert ANNA.hold(names[0], request_id=for_hold) == hold, 'the first answer, not now\'s'
    gone = ANNA.cancel(taken.name, request_id=for_cancel)
    assert ANNA.cancel(taken.name, request_id=for_cancel) == gone
    assert ANNA.confirm(hold.name, request_id=for_confirm) == taken
    assert slot_now(names[0]).state == SLOT.STATE_RETURNED


def test_refusals_are_remembered():
    pool, names = pool_with_slots('refusals', 1)
    hold, request_id = ANNA.hold(names[0]), new_id()
    refused(10, 'SLOT_TAKEN', BERT.hold, names[0], request_id=request_id)
    ANNA.drop(hold.name)
    refused(10, 'SLOT_TAKEN', BERT.hold, names[0], request_id=request_id)


def test_request_id_with_another_body():
    pool, names = pool_with_slots('reuse', 2)
    request_id = new_id()
    ANNA.hold(names[0], request_id=request_id)
    refused(6, 'REQUEST_ID_REUSED', ANNA.hold, names[1], request_id=request_id)
    assert slot_now(names[1]).state == SLOT.STATE_FREE
    BERT.hold(names[1], request_id=request_id)  # another person's id is another id


def test_request_ids_are_checked():
    pool, names = pool_with_slots('ids', 1)
    for wrong in ('1', 'x' * 36, new_id() + '0', new_id().replace('-', '_')):
        refusal = refused(3, 'FIELD_INVALID', ANNA.hold, names[0], request_id=wrong)
        assert refusal.field == 'request_id', refusal.field
    refusal = refused(3, 'FIELD_INVALID', ANNA.CreateHold,
                      api.CreateHoldRequest(parent=pool.name, slot=names[0]))
    assert refusal.field == 'request_id', refusal.field


def test_pool_creation_is_idempotent():
    request = admin.CreatePoolRequest(pool_id='once', request_id=new_id(), pool=resources.Pool(
        display_name='Once', service_class='once', time_zone='UTC', max_live_per_identity=1))
    request.pool.hold_ttl.seconds = 60
    assert OPERATOR.CreatePool(request) == OPERATOR.CreatePool(request)
    request.pool.display_name = 'Twice'
    refused(6, 'REQUEST_ID_REUSED', OPERATOR.CreatePool, request)


# -- lists of one's own ---------------------------------------------------------------------------

def test_reservations_are_ones_own():
    carla = SERVER.person('carla')
    everything = api.ListReservationsRequest(parent='pools/-')
    assert list(carla.ListReservations(everything).reservations) == []
    one, first = pool_with_slots('own-a', 3)
    two, second = pool_with_slots('own-b', 2)
    mine = [carla.confirm(carla.hold(name).name) for name in first + second]
    BERT.confirm(BERT.hold(OPERATOR.make_slots(one.name, 1, first=1924992000)[-1]).name)
    listed = carla.ListReservations(everything).reservations
    assert sorted(r.name for r in listed) == sorted(r.name for r in mine)
    listed = carla.ListReservations(api.ListReservationsRequest(parent=one.name)).reservations
    assert sorted(r.name for r in listed) == sorted(r.name for r in mine[:3])
    seen, token = [], ''
    while True:
        page = carla.ListReservations(api.ListReservationsRequest(
            parent='pools/-', page_size=2, page_token=token))
        assert len(page.reservations) <= 2
        seen += [r.name for r in page.reservations]
        token = page.next_page_token
        if not token:
            break
    assert sorted(seen) == sorted(r.name for r in mine) and len(set(seen)) == 5


def test_planned_methods():
    refused(12, 'METHOD_PLANNED', ANNA.raw, '/fairslot.admin.v1.MaintenanceService/VerifyAuditLog')


# -- restarts -------------------------------------------------------------------------------------

def test_restart_keeps_everything():
    pool, names = pool_with_slots('restart', 3)
    request_id = new_id()
    hold = ANNA.hold(names[0], request_id=request_id)
    taken = ANNA.confirm(ANNA.hold(names[1]).name)
    whole = list(ANNA.slots(pool.name))
    assert SERVER.stop() == 0, SERVER.process.talk
    SERVER.start()
    house.eventually(ANNA.reaches)
    assert ANNA.GetPool(api.GetPoolRequest(name=pool.name)) == pool
    assert ANNA.slots(pool.name) == whole
    assert ANNA.GetHold(api.GetHoldRequest(name=hold.name)) == hold
    assert ANNA.GetReservation(api.GetReservationRequest(name=taken.name)) == taken
    assert ANNA.hold(names[0], request_id=request_id) == hold, 'request ids outlive a restart'
    later = ANNA.hold(names[2])
    assert later.log_index > hold.log_index and later.name != hold.name


def test_kill_keeps_everything():
    pool, names = pool_with_slots('killed', 2)
    hold = ANNA.hold(names[0])
    SERVER.kill()
    SERVER.start()
    house.eventually(ANNA.reaches)
    assert ANNA.GetPool(api.GetPoolRequest(name=pool.name)) == pool
    assert ANNA.GetHold(api.GetHoldRequest(name=hold.name)) == hold


if __name__ == '__main__':
    tap.run(globals(), before, after)

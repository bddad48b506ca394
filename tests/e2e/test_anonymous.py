# SPDX-License-Identifier: MIT
"""Goal: who has no token may read the catalogue and nothing else, on one budget with all others of
his kind, and cannot slow anybody who has one."""
import time

import house
import tap
from house import api, refused
from release_kit import City

SERVER = house.Server(options=('--set', 'anonymous.rate=20'))
CLOSED = house.Server(options=('--set', 'anonymous.catalogue=no'))


def before():
    global NOBODY
    SERVER.start()
    CLOSED.start()
    operator = SERVER.operator()
    operator.make_pool('open')
    operator.make_slots('pools/open', 2)
    operator.make_pool('scarce', scarce=True)
    operator.make_slots('pools/scarce', 2)
    NOBODY = house.Client(SERVER.target)


def after():
    SERVER.close()
    CLOSED.close()


def rested():
    """The budget is whole again."""
    time.sleep(1.1)


def test_reads_the_catalogue():
    pools = NOBODY.ListPools(api.ListPoolsRequest()).pools
    assert {pool.name for pool in pools} >= {'pools/open', 'pools/scarce'}, pools
    assert NOBODY.GetPool(api.GetPoolRequest(name='pools/open')).name == 'pools/open'
    assert len(NOBODY.ListSlots(api.ListSlotsRequest(parent='pools/open')).slots) == 2
    made = City(SERVER).release('pools/scarce', wait=False)
    listed = NOBODY.ListReleases(api.ListReleasesRequest(parent='pools/scarce')).releases
    assert [release.name for release in listed] == [made], listed
    assert NOBODY.GetRelease(api.GetReleaseRequest(name=made)).name == made


def test_scarce_slots_are_for_those_who_say_who_they_are():
    request = api.ListSlotsRequest(parent='pools/scarce')
    assert NOBODY.GetPool(api.GetPoolRequest(name='pools/scarce')).scarce
    refused(16, 'TOKEN_MISSING', NOBODY.ListSlots, request)
    assert len(SERVER.person().ListSlots(request).slots) == 2


def test_everything_else_wants_a_token():
    hold = api.CreateHoldRequest(parent='pools/open', slot='pools/open/slots/s20300101t0900-c1',
                                 request_id=house.new_id())
    refused(16, 'TOKEN_MISSING', NOBODY.CreateHold, hold)
    for path in ('ReservationService/GetHold', 'ReservationService/ConfirmHold',
                 'ReservationService/ListReservations', 'ReservationService/CancelReservation'):
        refused(16, 'TOKEN_MISSING', NOBODY.raw, '/fairslot.v1.' + path)
    refused(16, 'TOKEN_MISSING', NOBODY.raw, '/fairslot.admin.v1.PoolAdminService/CreatePool')


def test_a_bad_token_is_not_no_token():
    refused(16, 'TOKEN_INVALID', house.Client(SERVER.target, 'a.b.c').ListPools,
            api.ListPoolsRequest())


def test_one_budget_for_all():
    """Twenty a second, over whatever number of connections; who has a token does not notice."""
    rested()
    clients = [house.Client(SERVER.target) for _ in range(5)]
    anna = SERVER.person('anna')
    served, told, began = 0, [], time.monotonic()
    for number in range(100):
        try:
            clients[number % 5].ListPools(api.ListPoolsRequest())
            served += 1
        except house.Refused as refusal:
            assert (refusal.code, refusal.reason) == (8, 'RATE_LIMITED'), refusal
            told.append(refusal.retry_s)
        anna.ListPools(api.ListPoolsRequest())
    took = time.monotonic() - began
    assert 20 <= served <= 20 + 20 * took + 1, (served, took)
    assert told and all(0 < wait <= 1.1 for wait in told), told
    rested()
    clients[0].ListPools(api.ListPoolsRequest())
    for client in clients:
        client.close()


def test_it_can_be_closed():
    client = house.Client(CLOSED.target)
    refused(16, 'TOKEN_MISSING', client.ListPools, api.ListPoolsRequest())
    assert CLOSED.person().ListPools(api.ListPoolsRequest()) is not None
    client.close()


if __name__ == '__main__':
    tap.run(globals(), before, after)

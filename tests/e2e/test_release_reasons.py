#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: every refusal that the comments of TicketService and ReleaseAdminService promise comes,
typed, with the details that it needs; and none of them is missing here.

The comments are read: a reason that is written there and not provoked below fails the test, and so
does one that is provoked and not written."""
import os
import re

import grpc

import house
from house import ROOT, Refused, Server, api, cluster, new_id
from release_kit import (BY_TURN, FIRST_COME, City, State, enter, leave, make_release, mine,
                         proof_of)
import tap

SERVER = Server()
CITY = City(SERVER)
WAITS = {'RELEASE_NOT_OPEN', 'COOL_DOWN', 'RELEASES_FULL', 'RATE_LIMITED',  # RetryInfo is promised
         ('RevealSeed', 'RELEASE_STATE'), ('ExportRelease', 'RELEASE_STATE')}
DETAIL = {3: 'BadRequest', 5: 'ResourceInfo', 6: 'ResourceInfo', 9: 'PreconditionFailure'}
ELSEWHERE = {  # what takes a stream or a dead shard: test_watch_ticket.py
    ('WatchTicket', reason) for reason in ('SHUTTING_DOWN', 'NO_LEADER', 'RATE_LIMITED',
                                           'READER_TOO_SLOW')} | {
    ('ExportRelease', reason) for reason in ('RATE_LIMITED', 'READER_TOO_SLOW')}  # test_export.py
CHANGES = ('OpenRelease', 'PauseRelease', 'ResumeRelease', 'DrainRelease', 'CloseRelease',
           'CancelRelease')
SEEN = {}  # (method, reason): how often


def provoke(method, reason, code, action, *arguments, **fields):
    refusal = house.refused(code, reason, action, *arguments, **fields)
    assert 'ErrorInfo' in refusal.details, refusal.details
    assert code not in DETAIL or DETAIL[code] in refusal.details, (reason, refusal.details)
    assert refusal.text and refusal.text[0] != ' ', refusal
    waits = reason in WAITS or (method, reason) in WAITS
    assert waits == (refusal.retry_s > 0), (reason, refusal.retry_s)
    if code == 3 and reason == 'FIELD_INVALID':
        assert refusal.field, refusal
    SEEN[method, reason] = SEEN.get((method, reason), 0) + 1
    return refusal


def create(who, pool, name='r', **fields):
    return who.CreateRelease(cluster.CreateReleaseRequest(
        parent=pool, release_id=name, release=make_release(**fields), request_id=new_id()))


def change(who, verb, release, etag=''):
    return getattr(who, verb)(cluster.OpenReleaseRequest(name=release, etag=etag,
                                                         request_id=new_id()))


def streamed(who, release):
    try:
        list(who.ExportRelease(cluster.ExportReleaseRequest(name=release)))
    except grpc.RpcError as error:
        raise Refused(error) from None


def part(who, release, trustee, value=b'x' * 256):
    return who.AddReleasePart(cluster.AddReleasePartRequest(
        name=release, trustee=trustee, part=value, request_id=new_id()))


def test_create_ticket():
    who = SERVER.person('create')

    def no(reason, code, release, *wanted, by=who, **fields):
        provoke('CreateTicket', reason, code, enter, by, release, *wanted, **fields)

    pool, slots = CITY.pool('create', 3, service_class='create', max_slots_per_hold=2,
                            min_assurance=house.resources.ASSURANCE_SUBSTANTIAL)
    no('POOL_UNKNOWN', 5, 'pools/none/releases/r', 'any')
    no('RELEASE_UNKNOWN', 5, pool + '/releases/none', 'any')
    early = CITY.release(pool, 'early', open_s=600, wait=False)
    no('RELEASE_NOT_OPEN', 9, early, 'any')
    CITY.change('CancelRelease', early)
    no('RELEASE_ENDED', 9, early, 'any')
    release = CITY.release(pool, cohort_s=1)
    no('ASSURANCE_TOO_LOW', 7, release, 'any', by=SERVER.person('weak', assurance='low'))
    no('TOO_MANY_SLOTS', 9, release, 'any', slot_count=3)
    no('SLOT_UNKNOWN', 5, release, slots[0] + 'x')
    no('FIELD_INVALID', 3, release, 'any', slot_count=9)
    no('FIELD_INVALID', 3, release, *['any'] * 9)
    other, _ = CITY.pool('create-other', 1, service_class='create')
    second = CITY.release(other)
    enter(who, release, 'any')
    no('IDENTITY_QUOTA', 8, second, 'any')
    first, _ = CITY.pool('create-first', 1)
    no('RELEASE_STATE', 9, CITY.release(first, serving=FIRST_COME, window_s=60), 'any')
    CITY.standby(second)
    no('RELEASE_SEALED', 9, second, 'any', by=SERVER.person('late'))
    CITY.standby(release)
    no('TICKET_ENDED', 9, release, 'any')  # it has an offer
    cool, _ = CITY.pool('create-cool', 1, cancel_cool_down=house.seconds(600))
    release = CITY.release(cool)
    person = SERVER.person('cool')
    enter(person, release, 'any')
    CITY.standby(release)
    person.drop(mine(person, release).hold)
    CITY.change('CloseRelease', release)
    CITY.wait(release, State.STATE_CLOSED)
    no('COOL_DOWN', 8, CITY.release(cool, 'again'), 'any', by=person)


def test_read_and_leave():
    pool, _ = CITY.pool('read', 2)
    release = CITY.release(pool, beacon='waits', parts_wait_s=2)
    who, nobody = SERVER.person('reader'), SERVER.person('nobody')
    enter(who, release, 'any')
    gone = pool + '/releases/none'
    for method, act in (('GetTicket', mine), ('GetTicketProof', proof_of), ('DeleteTicket', leave)):
        provoke(method, 'RELEASE_UNKNOWN', 5, act, who, gone)
        provoke(method, 'TICKET_UNKNOWN', 5, act, nobody, release)
    for name, reason in ((gone, 'RELEASE_UNKNOWN'), (release, 'TICKET_UNKNOWN')):
        provoke('WatchTicket', reason, 5, watch, nobody, name)
    provoke('DeleteTicket', 'POOL_UNKNOWN', 5, leave, who, 'pools/none/releases/r')
    provoke('GetTicketProof', 'RELEASE_STATE', 9, proof_of, who, release)
    CITY.wait(release, State.STATE_SEALED)
    provoke('DeleteTicket', 'RELEASE_SEALED', 9, leave, who, release)
    CITY.standby(release)
    provoke('DeleteTicket', 'TICKET_ENDED', 9, leave, who, release)


def watch(who, release):
    """The first message of the stream, or its refusal."""
    call = who.stubs[2].WatchTicket(api.WatchTicketRequest(name=release + '/tickets/me'),
                                    metadata=who.metadata(), timeout=20)
    try:
        return next(iter(call))
    except house.grpc.RpcError as error:
        raise Refused(error) from None


def test_create_release():
    pool, _ = CITY.pool('make', 2)
    operator = CITY.operator

    def no(reason, code, *arguments, **fields):
        provoke('CreateRelease', reason, code, create, *arguments, **fields)

    no('ROLE_MISSING', 7, SERVER.person('no-operator'), pool)
    no('POOL_UNKNOWN', 5, operator, 'pools/none')
    open_pool = operator.make_pool('make-open').name
    no('NOT_SCARCE', 9, operator, open_pool)
    no('NOT_SCARCE', 9, operator, open_pool, serving=BY_TURN)
    no('FIELD_INVALID', 3, operator, pool, open_s=-600, window_s=300)  # it would be over
    no('FIELD_INVALID', 3, operator, pool, trustee_keys=[b'no key'])
    no('FIELD_INVALID', 3, operator, pool, serving=0)
    no('FIELD_INVALID', 3, operator, pool, name='A')
    same = cluster.CreateReleaseRequest(parent=pool, release_id='r', request_id=new_id(),
                                        release=make_release(trustee_keys=[b'no key']))
    fields = [house.refused(3, 'FIELD_INVALID', operator.CreateRelease, same).field for _ in '12']
    assert fields == ['release.trustee_keys'] * 2, 'the same request: the same answer'
    bare, _ = CITY.pool('make-bare', 0)
    no('RELEASE_EMPTY', 9, operator, bare)
    create(operator, pool, open_s=600)
    no('RELEASE_EXISTS', 6, operator, pool)
    no('RELEASE_OVERLAPS', 9, operator, pool, name='second')


def test_change_release():
    pool, _ = CITY.pool('change', 2)
    operator, nobody = CITY.operator, SERVER.person('no-changes')
    release = CITY.release(pool, open_s=600, wait=False)
    for verb in CHANGES:
        provoke(verb, 'ROLE_MISSING', 7, change, nobody, verb, release)
        provoke(verb, 'POOL_UNKNOWN', 5, change, operator, verb, 'pools/none/releases/r')
        provoke(verb, 'RELEASE_UNKNOWN', 5, change, operator, verb, pool + '/releases/none')
        provoke(verb, 'ETAG_MISMATCH', 10, change, operator, verb, release, '999999')
    for verb in ('CloseRelease', 'DrainRelease'):
        provoke(verb, 'RELEASE_STATE', 9, change, operator, verb, release)
    change(operator, 'OpenRelease', release)
    provoke('OpenRelease', 'RELEASE_STATE', 9, change, operator, 'OpenRelease', release)
    served = CITY.release(CITY.pool('change-served', 1)[0])
    CITY.standby(served)
    provoke('CancelRelease', 'RELEASE_STATE', 9, change, operator, 'CancelRelease', served)
    change(operator, 'CancelRelease', release)
    for verb in CHANGES:
        provoke(verb, 'RELEASE_ENDED', 9, change, operator, verb, release)


def test_parts_and_lists():
    pool, _ = CITY.pool('parts', 1)
    operator, nobody = CITY.operator, SERVER.person('no-parts')
    release = CITY.release(pool, beacon='waits', parts_wait_s=60)
    gone = pool + '/releases/none'

    def no(reason, code, *arguments):
        provoke('AddReleasePart', reason, code, part, *arguments)

    no('POOL_UNKNOWN', 5, operator, 'pools/none/releases/r', 0)
    no('RELEASE_UNKNOWN', 5, nobody, gone, 1)
    no('ROLE_MISSING', 7, nobody, release, 0)
    no('RELEASE_STATE', 9, operator, release, 0)
    seed = cluster.RevealSeedRequest(name=release, request_id=new_id())
    provoke('RevealSeed', 'RELEASE_STATE', 9, operator.RevealSeed, seed)
    seed.seed = b'x' * 32  # not the operator's
    provoke('RevealSeed', 'PART_INVALID', 3, operator.RevealSeed, seed)
    for who, name, reason, code in ((nobody, release, 'ROLE_MISSING', 7),
                                    (operator, gone, 'RELEASE_UNKNOWN', 5),
                                    (operator, release, 'RELEASE_STATE', 9)):
        provoke('ExportRelease', reason, code, streamed, who, name)
    CITY.wait(release, State.STATE_SEALED)
    no('PART_INVALID', 3, nobody, release, 1)  # it has no trustees
    part(operator, release, 0, b'value')
    no('PART_TOO_LATE', 9, operator, release, 0, b'another')
    slots, rows = cluster.ListReleaseSlotsRequest, cluster.ListReleaseTicketsRequest
    provoke('ListReleaseSlots', 'RELEASE_UNKNOWN', 5, nobody.ListReleaseSlots, slots(parent=gone))
    provoke('ListReleaseTickets', 'RELEASE_UNKNOWN', 5, operator.ListReleaseTickets,
            rows(parent=gone))
    provoke('ListReleaseTickets', 'ROLE_MISSING', 7, nobody.ListReleaseTickets,
            rows(parent=release))
    for method, request in (('ListReleaseSlots', slots), ('ListReleaseTickets', rows)):
        house.refused(11, 'PAGE_TOKEN_INVALID', getattr(operator, method),
                      request(parent=release, page_token='nonsense'))


@tap.alone
def test_as_many_releases_as_allowed():
    """256 that have not ended, each of one slot; then one more."""
    pool = CITY.operator.make_pool('many', scarce=True).name
    CITY.operator.make_slots(pool, 300)
    starts = sorted(s.start_time.seconds for s in CITY.operator.slots(pool))
    made = []
    for number, start in enumerate(starts):
        release = make_release(open_s=600)
        release.slots_start_time.seconds, release.slots_end_time.seconds = start, start + 1
        request = cluster.CreateReleaseRequest(parent=pool, release_id=f'r{number}',
                                               release=release, request_id=new_id())
        try:
            made.append(CITY.operator.CreateRelease(request).name)
        except Refused as refusal:
            assert refusal.reason == 'RELEASES_FULL', refusal
            provoke('CreateRelease', 'RELEASES_FULL', 8, CITY.operator.CreateRelease, request)
            break
    assert 200 < len(made) <= 256, len(made)
    for name in made:
        change(CITY.operator, 'CancelRelease', name)


def documented():
    """{(method, reason)} of the comments; a comment that says "as" another has its reasons too."""
    found = {}
    for file, service in (('v1/services.proto', 'TicketService'),
                          ('admin/v1/cluster.proto', 'ReleaseAdminService')):
        with open(os.path.join(ROOT, 'proto', 'fairslot', file), encoding='utf-8') as text:
            body = text.read().split(f'service {service} {{', 1)[1].split('\n}', 1)[0]
        comment = ''
        for line in body.splitlines():
            if line.strip().startswith('//'):
                comment += line.strip()[2:]
            elif (rpc := re.search(r'rpc (\w+)\(', line)):
                found[rpc[1]] = set(re.findall(r'/([A-Z]+_[A-Z_]+)', comment))
                for other in re.findall(r'efused as (\w+)', comment):
                    found[rpc[1]] |= found[other]
                comment = ''
    for verb in CHANGES[1:]:
        found[verb] |= found['OpenRelease']
    for verb in ('PauseRelease', 'ResumeRelease'):
        found[verb] -= {'RELEASE_STATE'}  # in any state before the end
    return {(method, reason) for method, reasons in found.items() for reason in reasons}


@tap.alone
@tap.named('every reason that is written was provoked, and every provoked one is written')
def test_whole():
    general = {'FIELD_INVALID', 'RATE_LIMITED'}  # of every method: the head of services.proto
    provoked = {(m, r) for m, r in SEEN if r not in general} | ELSEWHERE
    wanted = {(m, r) for m, r in documented() if r not in general} | \
        {(m, r) for m, r in ELSEWHERE}
    print(f'# {len(wanted)} reasons of methods')
    assert wanted - provoked == set(), f'written, not provoked: {sorted(wanted - provoked)}'
    assert provoked - wanted == set(), f'provoked, not written: {sorted(provoked - wanted)}'


if __name__ == '__main__':
    tap.run(globals(), SERVER.start, SERVER.close, side_by_side=6)

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: a front end is told what became of the tickets that it filed, each event once, whatever
breaks meanwhile.

Method: python3-grpcio against real processes, tokens of an issuer in Keycloak's shape (azp);
Connect JSON and the command line by hand."""
import collections
import json
import os
import struct
import threading
import time

import http.client

import house
import tap
from house import api, eventually, new_id, refused
from release_kit import BY_TURN, City, wishes

SERVER = house.Server()
ALL = 'pools/-'


def before():
    global CITY
    SERVER.start()
    CITY = City(SERVER)


def after():
    SERVER.close()


def file_tickets(server, prefix, release, count, wanted=('any',)):
    people = [server.person(f'{prefix}-{i}') for i in range(count)]
    for who in people:
        who.CreateTicket(api.CreateTicketRequest(parent=release, preferences=wishes(*wanted),
                                                 slot_count=1, request_id=new_id()))
    return people


def listed(client, parent, token='', size=0):
    """Every event to the end, and the token behind them."""
    found, pages = [], 0
    while True:
        page = client.ListEvents(api.ListEventsRequest(parent=parent, page_size=size,
                                                       page_token=token))
        assert page.resume_token and (size == 0 or len(page.events) <= size)
        found += page.events
        token, pages = page.resume_token, pages + 1
        assert page.next_page_token in ('', token) and pages < 1000
        if not page.next_page_token:
            return found, token


def kinds(events):
    return collections.Counter(event.kind for event in events)


class Listen:
    """A stream being read, from a token on; it comes again when it ends, unless told not to."""

    def __init__(self, client, parent, token='', again=True, timeout=60):
        self.client, self.parent, self.token = client, parent, token
        self.events, self.end, self.is_over, self.again = [], None, False, again
        self.timeout, self.stream, self.times = timeout, None, {}
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        while True:
            try:
                self.stream = self.client.stubs[3].WatchEvents(
                    api.ListEventsRequest(parent=self.parent, page_token=self.token),
                    metadata=self.client.metadata(), timeout=self.timeout)
                for page in self.stream:
                    for event in page.events:
                        self.times[event.name] = time.time()
                    self.events += page.events
                    assert page.resume_token == page.next_page_token
                    self.token = page.resume_token
            except Exception as error:  # a grpc.RpcError; cancelled ones too
                self.end = house.Refused(error)
            if not self.again:
                self.is_over = True
                return
            time.sleep(0.2)

    def reaches(self, kind, count=1, seconds=30):
        eventually(lambda: kinds(self.events)[kind] >= count, seconds)

    def close(self):
        self.again = False
        if self.stream:
            self.stream.cancel()
        self.reader.join(10)


def test_a_draw_is_told():
    pool, _ = CITY.pool('told', 4)
    live = Listen(CITY.operator, pool)
    release = CITY.release(pool, window_s=2)
    people = file_tickets(SERVER, 'told', release, 7)
    live.reaches('OFFER_MADE', 4)
    offers = [e for e in live.events if e.kind == 'OFFER_MADE']
    own = {}
    for who in people:
        own[who.GetTicket(api.GetTicketRequest(name=release + '/tickets/me')).name] = who
    for offer in offers:
        assert offer.ticket in own and offer.resource.startswith(pool + '/holds/'), offer
        assert offer.act_by_time.seconds > time.time() and offer.name.startswith(pool + '/events/')
    confirmed = own[offers[0].ticket].confirm(offers[0].resource)
    live.reaches('HOLD_CONFIRMED')
    assert [e.resource for e in live.events if e.kind == 'HOLD_CONFIRMED'] == [confirmed.name]
    own[offers[1].ticket].drop(offers[1].resource)
    live.reaches('STANDBY_OFFER_MADE')
    own[offers[0].ticket].cancel(confirmed.name)
    live.reaches('STANDBY_OFFER_MADE', 2)
    CITY.change('CloseRelease', release)
    live.reaches('TICKET_LOST', 1)
    live.close()
    events, token = listed(CITY.operator, release)
    assert [e.name for e in live.events] == [e.name for e in events]
    assert len({e.name for e in events}) == len(events)
    counted = kinds(events)
    assert counted['TICKET_LOST'] == 1 and counted['OFFER_MADE'] == 4, counted
    lost, = [e for e in events if e.kind == 'TICKET_LOST']
    assert lost.reason == 'PREFERENCES_TAKEN' and lost.resource == lost.ticket
    assert lost.ticket in own and listed(CITY.operator, release, token)[0] == []
    for size in (1, 3):
        assert [e.name for e in listed(CITY.operator, release, size=size)[0]] == \
            [e.name for e in events]
    indexes = [e.log_index for e in events]
    assert indexes == sorted(indexes)
    order = [e.kind for e in events if e.kind.startswith('RELEASE_')]
    assert order == ['RELEASE_' + k for k in ('ANNOUNCED', 'ENTRY', 'SEALED', 'RANKED', 'SERVING',
                                             'STANDBY', 'CLOSED')], order
    mine, _ = listed(own[lost.ticket], release)  # a person is told of his own alone
    assert {e.ticket for e in mine if e.ticket} == {lost.ticket}
    assert kinds(mine)['TICKET_LOST'] == 1


def test_turns_and_their_end():
    pool, _ = CITY.pool('turned', 1)
    release = CITY.release(pool, serving=BY_TURN, window_s=2, turn_s=2)
    file_tickets(SERVER, 'turned', release, 2, wanted=())
    live = Listen(CITY.operator, release)
    live.reaches('TURN_GIVEN', 2)
    live.reaches('TURN_EXPIRED', 2)
    order = [e.kind for e in live.events if e.kind.startswith('TURN')]
    assert order == ['TURN_GIVEN', 'TURN_EXPIRED'] * 2, order
    live.close()


def test_refusals():
    pool, _ = CITY.pool('refused', 1)
    other, _ = CITY.pool('refused-other', 1)
    who = SERVER.person('refused')
    ask = api.ListEventsRequest
    refused(16, 'TOKEN_MISSING', house.Client(SERVER.target).ListEvents, ask(parent=ALL))
    for parent in ('', 'pools/', 'pools/x/y', ALL + '/releases/r', pool + '/releases/'):
        assert refused(3, 'FIELD_INVALID', who.ListEvents, ask(parent=parent)).field == 'parent'
    refused(3, 'FIELD_INVALID', who.ListEvents, ask(parent=ALL, page_size=-1))
    refused(5, 'POOL_UNKNOWN', who.ListEvents, ask(parent='pools/nowhere'))
    refused(5, 'RELEASE_UNKNOWN', who.ListEvents, ask(parent=pool + '/releases/none'))
    token = who.ListEvents(ask(parent=pool)).resume_token
    for wrong in ('x', 'AAAA', token[:-1], token + 'A', 'A' * 200):
        refused(11, 'PAGE_TOKEN_INVALID', who.ListEvents, ask(parent=pool, page_token=wrong))
    refused(11, 'PAGE_TOKEN_INVALID', who.ListEvents, ask(parent=other, page_token=token))
    refused(11, 'PAGE_TOKEN_INVALID', SERVER.person('refused-2').ListEvents,
            ask(parent=pool, page_token=token))
    for parent, code, reason in (('pools/nowhere', 5, 'POOL_UNKNOWN'), ('x', 3, 'FIELD_INVALID')):
        wrong = Listen(who, parent, again=False)
        eventually(lambda: wrong.is_over)
        assert (wrong.end.code, wrong.end.reason) == (code, reason), vars(wrong.end)
    short = Listen(who, pool, again=False, timeout=1.5)
    eventually(lambda: short.is_over)
    assert short.end.code == 4 and short.token, short.end
    many = [Listen(who, pool, again=False) for _ in range(8)]
    eventually(lambda: all(one.token for one in many))
    ninth = Listen(who, pool, again=False)
    eventually(lambda: ninth.is_over)
    assert (ninth.end.code, ninth.end.reason) == (8, 'RATE_LIMITED'), vars(ninth.end)
    for one in many:
        one.close()


def test_connect_json():
    pool, _ = CITY.pool('web', 1)
    CITY.release(pool, window_s=600)
    host, _, port = SERVER.target.rpartition(':')
    line = http.client.HTTPConnection(host, int(port), timeout=20)
    headers = {'Content-Type': 'application/json', 'Connect-Protocol-Version': '1',
               'Authorization': 'Bearer ' + SERVER.tokens('web')[0]}
    line.request('POST', '/fairslot.v1.EventService/ListEvents', json.dumps({'parent': pool}),
                 headers)
    page = json.loads(line.getresponse().read())
    assert [e['kind'] for e in page['events']] == ['RELEASE_ANNOUNCED', 'RELEASE_ENTRY'], page
    assert page['events'][0]['resource'] == pool + '/releases/r' and 'nextPageToken' not in page
    body = json.dumps({'parent': pool, 'pageSize': 1}).encode()
    headers['Content-Type'] = 'application/connect+json'
    line.request('POST', '/fairslot.v1.EventService/WatchEvents',
                 struct.pack('>BI', 0, len(body)) + body, headers)
    answer, told = line.getresponse(), []
    while len(told) < 2:
        flags, length = struct.unpack('>BI', answer.read(5))
        part = json.loads(answer.read(length))
        assert flags == 0 and part['nextPageToken'] == part['resumeToken'], part
        told += [e['name'] for e in part.get('events', [])]
    assert told == [e['name'] for e in page['events']]
    line.close()


def test_the_command_line():
    pool, _ = CITY.pool('verb', 1)
    release = CITY.release(pool, window_s=600)
    where = ['--target', SERVER.target, '--token-file',
             os.path.join(SERVER.data, 'operator.token')]
    done = house.run('event', 'list', '--parent', pool, '-o', 'json', *where)
    events = [e for line in done.stdout.splitlines() for e in json.loads(line).get('events', [])]
    assert [e['kind'] for e in events] == ['RELEASE_ANNOUNCED', 'RELEASE_ENTRY'], done.stdout
    lines = house.run('event', 'list', '--parent', release, *where).stdout.splitlines()
    assert any('RELEASE_ENTRY' in line for line in lines), lines
    done = house.run('event', 'watch', '--parent', pool, '--limit', '2', *where)
    assert 'RELEASE_ENTRY' in done.stdout, done.stdout
    house.run('event', 'list', '--parent', 'pools/nowhere', *where, check=3)


def test_killed_in_the_middle():
    """Shard and gateway killed while events come: behind the last token each one comes once."""
    two = house.Pair().start()
    try:
        city = City(two)
        pool, _ = city.pool('killed', 6)
        release = city.release(pool, window_s=4)
        live = Listen(city.operator, pool)
        people = file_tickets(two, 'killed', release, 9)
        live.reaches('RELEASE_ENTRY')
        two.kill_shard()
        live.reaches('OFFER_MADE', 6, 60)
        two.kill_gateway()
        gone = 0
        for who in people:
            ticket = eventually_get(who, release)
            if ticket.hold:
                who.drop(ticket.hold)
                gone += 1
                if gone == 2:
                    two.kill_shard()
                    time.sleep(1)
        live.reaches('HOLD_DROPPED', gone, 60)
        eventually(lambda: again(lambda: city.change('CloseRelease', release)), 30)
        live.reaches('RELEASE_CLOSED', 1, 60)
        events, _ = listed(city.operator, pool)
        eventually(lambda: len(live.events) >= len(events), 30)
        live.close()
        assert [e.name for e in live.events] == [e.name for e in events]
        assert kinds(events)['OFFER_MADE'] == 6 and kinds(events)['HOLD_DROPPED'] == gone
    finally:
        two.close()


def again(action):
    """What it gave, or None while the processes come back."""
    try:
        return action() or True
    except house.Refused as error:
        assert error.code in (14, 4), vars(error)
        return None


def eventually_get(who, release):
    ask = api.GetTicketRequest(name=release + '/tickets/me')
    found = []
    eventually(lambda: again(lambda: found.append(who.GetTicket(ask))), 30)
    return found[-1]


if __name__ == '__main__':
    tap.run(globals(), before, after)

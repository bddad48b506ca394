#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: every face on one port against the real process: Connect, gRPC-Web and gRPC, over HTTP/1.1
and HTTP/2, with the same refusals; pages of other origins; and nothing that HTTP/1.1 may smuggle.

Clients: curl, and sockets that say exactly what a test wrote.  No client here has a timer of its
own that could end a call before the server does.
"""
import base64
import json
import socket
import subprocess
import time
import urllib.request

import house
import rawh1
import tap
from google.rpc import error_details_pb2, status_pb2
from grpc.health.v1 import health_pb2 as health
from grpc.reflection.v1 import reflection_pb2 as reflection
from house import api, resources
from rawh1 import envelope, envelopes

PAGE, OTHER_PAGE = 'https://book.example', 'https://evil.example'
SERVER = house.Server(options=('--set', f'cors.origins={PAGE},http://localhost:5173',
                               '--set', 'gateway.hello=1s'))
CATALOG = '/fairslot.v1.CatalogService/'
RESERVE = '/fairslot.v1.ReservationService/'
CHECK, WATCH = '/grpc.health.v1.Health/Check', '/grpc.health.v1.Health/Watch'
REFLECTION = '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo'
CONNECT, STREAM = 'application/json', 'application/connect+json'
WEB, TEXT = 'application/grpc-web+proto', 'application/grpc-web-text'


def before():
    global BEARER, POOL, SLOTS, ANNA
    SERVER.start()
    operator = SERVER.operator()
    POOL = operator.make_pool('faces').name
    SLOTS = operator.make_slots(POOL, 40)
    ANNA = SERVER.person('anna', assurance='high')
    BEARER = [('authorization', 'Bearer ' + ANNA.token)]


def after():
    others_are_served()
    SERVER.close()


def others_are_served():
    assert SERVER.alive(), SERVER.process.talk
    link = rawh1.Connection(SERVER.port, timeout=5)
    answer = link.post(CHECK, {})
    assert answer.status == 200 and answer.json() == {'status': 'SERVING'}, answer
    link.close()


def curl(path, *options, h2=False):
    """Status, headers (lower case) and body."""
    done = subprocess.run(
        ['curl', '-s', '-S', '-m', '20', '-i',
         '--http2-prior-knowledge' if h2 else '--http1.1', *options,
         f'http://{SERVER.target}{path}'], capture_output=True, timeout=30, check=True)
    head, _, body = done.stdout.partition(b'\r\n\r\n')
    lines = head.decode().split('\r\n')
    headers = dict(line.lower().split(': ', 1) for line in lines[1:])
    assert lines[0].startswith('HTTP/2' if h2 else 'HTTP/1.1'), lines
    return int(lines[0].split()[1]), headers, body


def reason_of(details):
    """(reason, metadata) of packed or Connect's details."""
    for detail in details:
        if isinstance(detail, dict):
            kind, value = detail['type'], base64.b64decode(detail['value'] + '===')
        else:
            kind, value = detail.type_url.rpartition('/')[2], detail.value
        if kind == 'google.rpc.ErrorInfo':
            info = error_details_pb2.ErrorInfo.FromString(value)
            return info.reason, dict(info.metadata)
    raise AssertionError(f'no ErrorInfo in {details}')


# -- what README shows ----------------------------------------------------------------------------

def test_curl_reads_the_catalogue():
    for h2 in (False, True):
        status, headers, body = curl(CATALOG + 'ListPools', '-d', '{}', '-H',
                                     'content-type: application/json', '-H',
                                     'authorization: Bearer ' + ANNA.token, h2=h2)
        assert status == 200 and headers['content-type'] == 'application/json', headers
        assert [pool['name'] for pool in json.loads(body)['pools']] == [POOL], body


def test_curl_gets_the_catalogue():
    for h2 in (False, True):
        status, headers, body = curl(
            CATALOG + 'ListSlots', '--get', '--data-urlencode', 'encoding=json',
            '--data-urlencode', 'message=' + json.dumps({'parent': POOL, 'pageSize': 2}), h2=h2)
        assert status == 200 and headers['cache-control'] == 'max-age=1, s-maxage=1', headers
        assert len(json.loads(body)['slots']) == 2


def test_a_shared_cache_keeps_what_is_the_same_for_all():
    link = rawh1.Connection(SERVER.port)  # of a scarce pool's slots an operator is told more
    for asked, kept in (('ListSlots?encoding=json&message={"parent":"%s"}', 'private, max-age=1'),
                        ('GetPool?encoding=json&message={"name":"%s"}', 'max-age=1, s-maxage=1')):
        answer = link.get(CATALOG + asked % POOL, BEARER)
        assert answer.status == 200 and answer.headers['cache-control'] == kept, answer
    link.close()


def test_binary_get():
    asked = api.GetPoolRequest(name=POOL).SerializeToString()
    link = rawh1.Connection(SERVER.port)
    answer = link.get(f'{CATALOG}GetPool?connect=v1&encoding=proto&base64=1&message='
                      + house.b64url(asked), BEARER)
    assert answer.status == 200 and answer.headers['content-type'] == 'application/proto', answer
    assert resources.Pool.FromString(answer.body).name == POOL
    link.close()


def test_get_is_for_reads():
    for h2 in (False, True):
        status, headers, body = curl(RESERVE + 'CreateHold?encoding=json&message={}', '-g', h2=h2)
        assert status == 405 and headers['allow'] == 'post, options', headers
        assert reason_of(json.loads(body)['details'])[0] == 'HTTP_METHOD_WRONG', body


# -- booking through each face --------------------------------------------------------------------

def test_booking_in_json_over_one_connection():
    link = rawh1.Connection(SERVER.port)
    mia = [('authorization', 'Bearer ' + SERVER.tokens('mia')[0])]
    hold = link.post(RESERVE + 'CreateHold', {'parent': POOL, 'slot': SLOTS[0],
                                              'requestId': house.new_id()}, headers=mia)
    assert hold.status == 200 and hold.json()['slots'][0]['name'] == SLOTS[0], hold
    confirmed = link.post(RESERVE + 'ConfirmHold', {'name': hold.json()['name'],
                                                    'requestId': house.new_id()}, headers=mia)
    assert confirmed.status == 200, confirmed
    listed = link.post(RESERVE + 'ListReservations', {'parent': 'pools/-'},
                       headers=mia)
    assert [one['name'] for one in listed.json()['reservations']] == [confirmed.json()['name']]
    link.close()


def test_booking_in_grpc_web():
    link = rawh1.Connection(SERVER.port)
    mia = [('authorization', 'Bearer ' + SERVER.tokens('ben')[0])]
    asked = api.CreateHoldRequest(parent=POOL, slot=SLOTS[1], request_id=house.new_id())
    answer = link.post(RESERVE + 'CreateHold', envelope(asked.SerializeToString()), WEB, mia)
    (flags, message), (end, trailers) = envelopes(answer.body)
    assert (flags, end, trailers) == (0, 0x80, b'grpc-status: 0\r\n'), answer
    assert resources.Hold.FromString(message).slots[0].name == SLOTS[1]
    text = base64.b64encode(envelope(api.GetHoldRequest(
        name=resources.Hold.FromString(message).name).SerializeToString()))
    answer = link.post(RESERVE + 'GetHold', text, TEXT, mia)
    (_, again), (_, trailers) = envelopes(b''.join(  # each frame has its own padding
        base64.b64decode(part) for part in split_base64(answer.body)))
    assert again == message and trailers == b'grpc-status: 0\r\n', answer
    link.close()


def split_base64(text):
    """Runs that end with their padding, if they have some."""
    parts, at = [], 0
    while at < len(text):
        end = text.find(b'=', at)
        end = len(text) if end < 0 else end + (2 if text[end:end + 2] == b'==' else 1)
        parts.append(text[at:end])
        at = end
    return parts


def test_a_refusal_is_the_same_in_every_face():
    """One call, refused: its details are the same bytes through gRPC, gRPC-Web and Connect."""
    ANNA.hold(SLOTS[2])
    carl = SERVER.person('carl')
    headers = [('authorization', 'Bearer ' + carl.token)]
    asked = {'parent': POOL, 'slot': SLOTS[2], 'requestId': house.new_id()}
    packed = api.CreateHoldRequest(parent=POOL, slot=SLOTS[2], request_id=asked['requestId'])
    refusal = house.refused(10, 'SLOT_TAKEN', carl.CreateHold, packed)
    link = rawh1.Connection(SERVER.port)

    web = link.post(RESERVE + 'CreateHold', envelope(packed.SerializeToString()), WEB, headers)
    assert web.status == 200 and web.headers['grpc-status'] == '10' and not web.body, web
    status = status_pb2.Status.FromString(
        base64.b64decode(web.headers['grpc-status-details-bin'] + '==='))
    assert reason_of(status.details) == ('SLOT_TAKEN', refusal.meta), status

    for content_type, body in ((CONNECT, asked), ('application/proto',
                                                  packed.SerializeToString())):
        answer = link.post(RESERVE + 'CreateHold', body, content_type, headers)
        assert answer.status == 409 and answer.headers['content-type'] == CONNECT, answer
        error = answer.json()
        assert (error['code'], error['message']) == ('aborted', status.message), error
        assert [base64.b64decode(detail['value'] + '===') for detail in error['details']] == \
            [detail.value for detail in status.details], error
    link.close()


def test_errors_and_their_statuses():
    link = rawh1.Connection(SERVER.port)
    for path, body, headers, status, code, reason in (
            (RESERVE + 'GetHold', {'name': POOL + '/holds/x'}, [], 401, 'unauthenticated',
             'TOKEN_MISSING'),
            (CATALOG + 'GetPool', {'name': 'pools/nowhere'}, BEARER, 404, 'not_found',
             'POOL_UNKNOWN'),
            (CATALOG + 'ListPools', {'pageSize': -1}, BEARER, 400, 'invalid_argument',
             'FIELD_INVALID'),
            (CATALOG + 'ListPools', b'{', BEARER, 400, 'invalid_argument', 'MESSAGE_MALFORMED'),
            (CATALOG + 'ListPools', b'', BEARER, 400, 'invalid_argument', 'MESSAGE_MALFORMED'),
            (CATALOG + 'ListPools', b'{}' + b' ' * 70000, BEARER, 413, 'resource_exhausted',
             'MESSAGE_TOO_LARGE'),
            ('/fairslot.admin.v1.PoolAdminService/CreatePool', {'poolId': 'x'}, BEARER, 403,
             'permission_denied', 'ROLE_MISSING'),
            ('/fairslot.admin.v1.MaintenanceService/ListBackups', {}, BEARER, 501, 'unimplemented',
             'METHOD_PLANNED'),
            (CATALOG + 'ListPool', {}, BEARER, 404, 'unimplemented', 'METHOD_UNKNOWN')):
        answer = link.post(path, body, headers=headers)
        error = answer.json()
        assert (answer.status, error['code']) == (status, code), (path, answer)
        assert reason_of(error['details'])[0] == reason, (path, error)
    link.close()


def test_types_that_nobody_speaks():
    link = rawh1.Connection(SERVER.port)
    for content_type in ('text/plain', 'application/grpc-web+json', 'application/xml',
                         'application/connect+json'):
        answer = link.post(CATALOG + 'ListPools', b'{}', content_type, BEARER)
        assert answer.status == 415 and 'application/json' in answer.headers['accept-post'], answer
        assert 'content-type must be' in answer.json()['message'], answer
        assert reason_of(answer.json()['details'])[0] == 'CONTENT_TYPE_UNSUPPORTED'
    answer = link.post(CATALOG + 'ListPools', envelope(b''), 'application/grpc', BEARER)
    assert answer.status == 505, answer
    for path in ('/', '/index.html', '/fairslot.v1.CatalogService'):
        answer = link.get(path)
        assert answer.status == 404 and 'ListPools' in answer.json()['message'], answer
    link.close()


# -- streams --------------------------------------------------------------------------------------

def test_stream_over_http1():
    """Answers come as they happen, each in a chunk; the server's deadline ends them."""
    link = rawh1.Connection(SERVER.port)
    began = time.monotonic()
    body = envelope(b'{}')
    link.send(rawh1.request('POST', WATCH, body, [('content-type', STREAM),
                                                  ('connect-timeout-ms', '700')]))
    status, headers = link.head()
    assert status == 200 and headers['transfer-encoding'] == 'chunked', headers
    assert headers['content-type'] == STREAM, headers
    assert envelopes(link.chunk()) == [(0, b'{"status":"SERVING"}')]
    assert time.monotonic() - began < 0.6
    (flags, end), = envelopes(link.chunk())
    took = time.monotonic() - began
    assert flags == 2 and json.loads(end)['error']['code'] == 'deadline_exceeded', end
    assert 0.7 <= took < 10, took
    assert link.chunk() == b''
    assert link.post(CHECK, {}).status == 200  # the connection goes on
    link.close()


def test_stream_in_grpc_web():
    link = rawh1.Connection(SERVER.port)
    for content_type, body in ((WEB, envelope(b'')), (TEXT, base64.b64encode(envelope(b'')))):
        answer = link.post(WATCH, body, content_type, [('grpc-timeout', '300m')])
        frames = b''.join(base64.b64decode(part) for part in split_base64(answer.body)) \
            if content_type == TEXT else answer.body
        (_, message), (flags, trailers) = envelopes(frames)
        assert health.HealthCheckResponse.FromString(message).status == 1
        assert flags == 0x80 and b'grpc-status: 4\r\n' in trailers, trailers
    link.close()


def test_slots_are_watched_in_json():
    """What a booking page does: it sees the slot go that somebody else takes."""
    link = rawh1.Connection(SERVER.port)
    body = envelope(json.dumps({'parent': POOL}).encode())
    link.send(rawh1.request('POST', CATALOG + 'WatchSlots', body,
                            [('content-type', STREAM), *BEARER]))
    assert link.head()[0] == 200
    seen = {}

    def watch_until(name, state):
        while seen.get(name) != state:
            for flags, message in envelopes(link.chunk()):
                assert flags == 0, message
                seen.update((slot['name'], slot['state'])
                            for slot in json.loads(message).get('changed', ()))

    watch_until(SLOTS[30], 'STATE_FREE')
    SERVER.person('dora').hold(SLOTS[30])
    watch_until(SLOTS[30], 'STATE_HELD')
    link.close()


def test_reflection_by_connect():
    """A bidirectional method, half-duplex: the client asks, then listens."""
    asked = envelope(reflection.ServerReflectionRequest(list_services='').SerializeToString())
    for h2 in (False, True):
        with open(SERVER.data + '/asked', 'wb') as file:
            file.write(asked)
        status, headers, body = curl(REFLECTION, '--data-binary', '@' + file.name, '-H',
                                     'content-type: application/connect+proto', h2=h2)
        (flags, message), (end, rest) = envelopes(body)
        assert (status, flags, end, rest) == (200, 0, 2, b'{}'), body
        names = reflection.ServerReflectionResponse.FromString(message).list_services_response
        assert 'fairslot.v1.CatalogService' in [service.name for service in names.service]


# -- deadlines ------------------------------------------------------------------------------------

def test_slow_body_meets_the_deadline():
    """The body never comes: the server's own clock ends the call, and the connection soon after."""
    link = rawh1.Connection(SERVER.port)
    began = time.monotonic()
    link.send(b'POST ' + CHECK.encode() + b' HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n'
              b'content-type: application/json\r\nconnect-timeout-ms: 300\r\n\r\n{"ser')
    answer = link.answer()
    took = time.monotonic() - began
    assert answer.status == 504 and answer.json()['code'] == 'deadline_exceeded', answer
    assert 0.3 <= took < 10, took
    assert link.ends()  # it still owes the rest: gateway.hello
    link.close()


def test_slow_heads_are_cut():
    for said in (b'', b'P', b'POST /x HTTP/1.1\r\n', b'POST /x HTTP/1.1\r\nhost: x\r\nx-y: '):
        link = rawh1.Connection(SERVER.port)
        if said:
            link.send(said)
        began = time.monotonic()
        assert link.ends(), said
        assert 0.5 < time.monotonic() - began < 15, said
        link.close()
    link = rawh1.Connection(SERVER.port)  # byte by byte is no excuse
    began = time.monotonic()
    try:
        for byte in b'POST /x HTTP/1.1\r\n' + b'x: y\r\n' * 1000:
            link.send(bytes([byte]))
            time.sleep(0.02)
        raise AssertionError('a head may dribble for ever')
    except ConnectionError:
        assert time.monotonic() - began < 15
    link.close()


def test_idle_connections_stay():
    link = rawh1.Connection(SERVER.port)
    assert link.post(CHECK, {}).status == 200
    time.sleep(2.5)  # longer than gateway.hello
    assert link.post(CHECK, {}).status == 200
    link.close()


# -- HTTP/1.1 that two readers could part in two ways ---------------------------------------------

def test_smuggling_is_refused():
    start = (f'POST {CHECK} HTTP/1.1\r\nhost: x\r\n'
             'content-type: application/json\r\n').encode()
    hidden = b'GET /hidden HTTP/1.1\r\nhost: x\r\n\r\n'
    for said in (
            start + b'content-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nG',
            start + b'transfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
            start + b'content-length: 2\r\ncontent-length: 40\r\n\r\n{}',
            start + b'transfer-encoding: xchunked\r\n\r\n0\r\n\r\n',
            start + b'transfer-encoding:\r\n chunked\r\n\r\n0\r\n\r\n',
            start + b'transfer-encoding : chunked\r\n\r\n0\r\n\r\n',
            start + b'transfer-encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n',
            start + b'transfer-encoding: chunked\r\n\r\n2\r\n{}\n0\r\n\r\n',
            start + b'transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n',
            start + b'x: y\n\ncontent-length: 0\r\n\r\n',
            start + b'x: y\r\n folded: z\r\ncontent-length: 0\r\n\r\n',
            start + b'x: \0y\r\ncontent-length: 0\r\n\r\n',
            start + b': y\r\ncontent-length: 0\r\n\r\n',
            start.replace(b'host: x\r\n', b'') + b'content-length: 2\r\n\r\n{}',
            start + b'host: y\r\ncontent-length: 2\r\n\r\n{}'):
        link = rawh1.Connection(SERVER.port)
        link.send(said + hidden)
        answer = link.answer()
        assert answer.status == 400, (said, answer)
        assert answer.headers['connection'] == 'close', (said, answer)
        assert reason_of(answer.json()['details'])[0] == 'HTTP_MALFORMED', answer
        assert link.ends() and link.rest == b'', (said, link.rest)
        link.close()
    others_are_served()


def test_pipelined_in_order():
    link = rawh1.Connection(SERVER.port)
    link.send(b''.join(rawh1.request('POST', CHECK, json.dumps({'service': f'none-{n}' if n % 2 else
                       ''}).encode(), [('content-type', CONNECT)]) for n in range(300)))
    statuses = [link.answer().status for _ in range(300)]
    assert statuses == [200, 404] * 150, statuses
    link.close()


def test_half_closed_gets_its_answers():
    """Who sends no more (curl does not, `nc -N` does) reads what he asked for, all of it, in order;
    who leaves in the middle of a request, or of a stream, has left."""
    def asked(count, body=b'{}'):
        return b''.join(rawh1.request('POST', CHECK, body, [('content-type', CONNECT)])
                        for _ in range(count))
    for count in 1, 2, 150:
        link = rawh1.Connection(SERVER.port).send(asked(count))
        link.sock.shutdown(socket.SHUT_WR)
        assert [link.answer().status for _ in range(count)] == [200] * count
        assert not link.more(), 'then the connection ends'
        link.close()
    # A call that goes through the queue to the shard and back: it is not answered at once.
    person = json.dumps({}).encode()
    for _ in range(20):
        link = rawh1.Connection(SERVER.port).send(rawh1.request(
            'POST', '/fairslot.v1.CatalogService/ListPools', person, [('content-type', CONNECT)]))
        link.sock.shutdown(socket.SHUT_WR)
        assert link.answer().status == 200 and not link.more()
        link.close()
    for part in asked(1)[:-1], asked(1)[:40]:
        link = rawh1.Connection(SERVER.port, timeout=5).send(part)
        link.sock.shutdown(socket.SHUT_WR)
        began = time.monotonic()
        while link.more():
            pass
        assert time.monotonic() - began < 5, 'half a request: ended at once, not by a clock'
        link.close()
    link = rawh1.Connection(SERVER.port, timeout=5).send(rawh1.request(
        'POST', WATCH, envelope(b'{}'), [('content-type', STREAM)]))
    assert link.head()[0] == 200 and link.chunk()
    link.sock.shutdown(socket.SHUT_WR)
    while link.more():
        pass
    link.close()


def test_pipe_without_an_end():
    """Somebody pipes behind a call that takes its time: what is too much is refused, in order."""
    link = rawh1.Connection(SERVER.port)
    link.send(rawh1.request('POST', WATCH, envelope(b'{}'), [('content-type', STREAM),
                                                             ('connect-timeout-ms', '1500')]))
    flood = rawh1.request('POST', CHECK, b'{}', [('content-type', CONNECT)]) * 4000
    try:
        link.send(flood)
    except OSError:
        pass
    assert link.answer().status == 200
    statuses = []
    try:
        while True:
            statuses.append(link.answer().status)
    except (EOFError, ConnectionError):
        pass
    assert 0 < statuses.count(200) < 4000 and set(statuses) <= {200, 429}, statuses[-5:]
    link.close()
    others_are_served()


def test_large_bodies():
    link = rawh1.Connection(SERVER.port)
    answer = link.post(CATALOG + 'ListPools', b' ' * 500000)  # read to its end, so it is readable
    assert answer.status == 413, answer
    assert link.post(CHECK, {}).status == 200
    link.send(b'POST ' + CHECK.encode() + b' HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n'
              b'content-type: application/json\r\n\r\n')
    assert link.answer().status == 413
    assert link.ends()
    link.close()
    with open(SERVER.data + '/large', 'wb') as file:
        file.write(b' ' * 3000000)
    status, _, _ = curl(CATALOG + 'ListPools', '--data-binary', '@' + file.name, '-H',
                        'content-type: application/json')  # curl asks first: Expect
    assert status == 413


def test_upgrade_and_http_1_0():
    """What curl offers by itself, and what old probes speak."""
    for option, closes in (('--http2', False), ('--http1.0', True)):
        done = subprocess.run(['curl', '-s', '-m', '20', '-i', option, '-d', '{}', '-H',
                               'content-type: application/json',
                               f'http://{SERVER.target}{CHECK}'], capture_output=True, check=True)
        assert done.stdout.startswith(b'HTTP/1.1 200 OK\r\n'), done.stdout
        assert (b'connection: close\r\n' in done.stdout) == closes, done.stdout


# -- counted --------------------------------------------------------------------------------------

def test_each_face_and_refusal_is_counted():
    server = house.Server(options=('--set', 'ops.listen=127.0.0.1:0')).start()

    def counted():
        url = f'http://{server.process.ready["ops"]}/metrics'
        lines = urllib.request.urlopen(url, timeout=20).read().decode().splitlines()
        return {line.rpartition(' ')[0]: float(line.rpartition(' ')[2]) for line in lines
                if line.startswith(('fairslot_refusals_total', 'fairslot_rpc_requests_total'))}

    link = rawh1.Connection(server.port)
    link.post(CHECK, {})
    link.post(CHECK, envelope(b''), WEB)
    link.post(CHECK, base64.b64encode(envelope(b'')), TEXT)
    link.post(WATCH, envelope(b'{}'), STREAM, [('connect-timeout-ms', '10')])
    link.post(CHECK, b'', 'text/plain')
    link.get('/nowhere')
    link.get(RESERVE + 'CreateHold')
    link.send(rawh1.request('OPTIONS', CHECK, None, [
        ('origin', OTHER_PAGE), ('access-control-request-method', 'POST')])).answer()
    link.send(b'nonsense\r\n\r\n').answer()
    link.close()
    counts = counted()
    for reason in ('CONTENT_TYPE_UNSUPPORTED', 'METHOD_UNKNOWN', 'HTTP_METHOD_WRONG',
                   'ORIGIN_NOT_ALLOWED', 'HTTP_MALFORMED', 'DEADLINE_EXCEEDED'):
        assert counts.get(f'fairslot_refusals_total{{reason="{reason}"}}') == 1, (reason, counts)
    for protocol, reason in (('connect', 'OK'), ('grpc-web', 'OK'), ('grpc-web-text', 'OK'),
                             ('connect-stream', 'DEADLINE_EXCEEDED')):
        asked = (f'fairslot_rpc_requests_total{{class="open",protocol="{protocol}",'
                 f'reason="{reason}"}}')
        assert counts.get(asked) == 1, (asked, counts)
    server.close()


# -- pages of other origins -----------------------------------------------------------------------

def test_pages_of_other_origins():
    for h2 in (False, True):
        ask = ('-X', 'OPTIONS', '-H', 'access-control-request-method: POST', '-H',
               'access-control-request-headers: authorization,content-type')
        status, headers, _ = curl(CATALOG + 'ListPools', *ask, '-H', 'origin: ' + PAGE, h2=h2)
        assert status == 204 and headers['access-control-allow-origin'] == PAGE, headers
        assert 'authorization' in headers['access-control-allow-headers'], headers
        assert headers['vary'] == 'origin' and headers['access-control-max-age'] == '7200', headers
        for other in (OTHER_PAGE, 'null', PAGE + '.evil.example', PAGE.upper()):
            status, headers, body = curl(CATALOG + 'ListPools', *ask, '-H', 'origin: ' + other,
                                         h2=h2)
            assert status == 403 and 'access-control-allow-origin' not in headers, headers
            assert reason_of(json.loads(body)['details'])[0] == 'ORIGIN_NOT_ALLOWED', body
        for origin, allowed in ((PAGE, True), (OTHER_PAGE, False)):
            status, headers, _ = curl(CHECK, '-d', '{}', '-H', 'content-type: application/json',
                                      '-H', 'origin: ' + origin, h2=h2)
            assert status == 200 and headers['vary'] == 'origin', headers
            assert headers.get('access-control-allow-origin') == (origin if allowed else None)
            assert ('grpc-status-details-bin' in
                    headers.get('access-control-expose-headers', '')) == allowed, headers


def test_everybody_only_if_said():
    server = house.Server(options=('--set', 'cors.origins=*')).start()
    link = rawh1.Connection(server.port)
    answer = link.post(CHECK, {}, headers=[('origin', OTHER_PAGE)])
    assert answer.headers['access-control-allow-origin'] == '*', answer
    link.close()
    server.close()
    server = house.Server().start()  # and by default nobody
    link = rawh1.Connection(server.port)
    answer = link.post(CHECK, {}, headers=[('origin', PAGE)])
    assert 'access-control-allow-origin' not in answer.headers, answer
    link.close()
    server.close()


# -- the end --------------------------------------------------------------------------------------

def test_drain_over_http1():
    """SIGTERM: whoever waits gets an answer and the end, idle ones are closed, exit code 0."""
    server = house.Server().start()
    idle, stream = rawh1.Connection(server.port), rawh1.Connection(server.port)
    assert idle.post(CHECK, {}).status == 200
    stream.send(rawh1.request('POST', WATCH, envelope(b'{}'), [('content-type', STREAM)]))
    assert stream.head()[0] == 200
    assert envelopes(stream.chunk()) == [(0, b'{"status":"SERVING"}')]
    silent = rawh1.Connection(server.port)
    code = server.stop()
    assert code == 0, code
    said = stream.chunk() + stream.chunk()
    (_, told), (flags, end) = envelopes(said)
    assert told == b'{"status":"NOT_SERVING"}' and flags == 2, said
    error = json.loads(end)['error']
    assert error['code'] == 'unavailable', error
    assert reason_of(error['details'])[0] == 'SHUTTING_DOWN', error
    assert 'google.rpc.RetryInfo' in [detail['type'] for detail in error['details']], error
    for link in (idle, stream, silent):
        assert link.ends()
        link.close()
    server.close()


def test_many_connections():
    links = [rawh1.Connection(SERVER.port) for _ in range(300)]
    for link in links:
        link.send(rawh1.request('POST', CATALOG + 'GetPool', json.dumps({'name': POOL}).encode(),
                                [('content-type', CONNECT), *BEARER]))
    for link in links:
        answer = link.answer()
        assert answer.status in (200, 429), answer  # an identity has 256 calls waiting at most
        link.close()


if __name__ == '__main__':
    tap.run(globals(), before, after)

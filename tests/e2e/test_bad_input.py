#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: no bytes from outside harm the server or its other clients; each gets its right refusal.

Method: after every test the process must live, the same process, and serve somebody else at once.
"""
import os
import random
import socket
import struct
import time

import house
import rawh1
import rawh2
import tap
from house import api, refused
from rawh2 import message

SERVER = house.Server()
CREATE_HOLD = '/fairslot.v1.ReservationService/CreateHold'
LIST_POOLS = '/fairslot.v1.CatalogService/ListPools'
HEALTH = '/grpc.health.v1.Health/Check'
PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
SETTINGS = struct.pack('>I', 0)[1:] + b'\x04\x00' + struct.pack('>I', 0)
RANDOM = random.Random(20310303)


def before():
    global ANNA, BEARER
    SERVER.start()
    SERVER.operator().make_pool('bad')
    ANNA = SERVER.person('anna')
    BEARER = [('authorization', 'Bearer ' + ANNA.token)]


def others_are_served():
    assert SERVER.alive(), SERVER.process.talk
    other = house.Client(SERVER.target, ANNA.token, timeout=2)
    assert other.GetPool(api.GetPoolRequest(name='pools/bad')).name == 'pools/bad'
    other.close()


def after():
    others_are_served()
    SERVER.close()


def raw_socket(data=b''):
    sock = socket.create_connection(('127.0.0.1', SERVER.port), timeout=10)
    if data:
        sock.sendall(data)
    return sock


def frame(kind, flags, stream, payload, length=None):
    length = len(payload) if length is None else length
    head = struct.pack('>I', length)[1:] + bytes([kind, flags]) + struct.pack('>I', stream)
    return head + payload


# -- messages -------------------------------------------------------------------------------------

def test_malformed_protobuf():
    for payload in (b'\xff', b'\x0a\xff\xff\xff\xff\x0f', b'\x0a\x05ab', b'\x08', b'\xff' * 1000,
                    b'\x0b' * 100, b'\x0a\x02\xff\xfe'):
        for path in (CREATE_HOLD, '/fairslot.v1.CatalogService/GetPool',
                     '/fairslot.v1.ReservationService/ConfirmHold'):
            refused(3, 'MESSAGE_MALFORMED', ANNA.raw, path, payload)
    others_are_served()


def test_random_bytes_as_protobuf():
    for _ in range(300):
        payload = RANDOM.randbytes(RANDOM.randrange(1, 200))
        try:
            ANNA.raw(CREATE_HOLD, payload)
            raise AssertionError(f'{payload} was taken')
        except house.Refused as refusal:
            assert refusal.code == 3, (payload, refusal)
    others_are_served()


def test_oversized_message():
    refused(8, 'MESSAGE_TOO_LARGE', ANNA.raw, CREATE_HOLD, b'\x0a' * (64 * 1024 + 1))
    refused(8, 'MESSAGE_TOO_LARGE', ANNA.raw, CREATE_HOLD, b'\x0a' * (4 << 20))
    refused(3, 'MESSAGE_MALFORMED', ANNA.raw, CREATE_HOLD, b'\xff' * (64 * 1024))
    others_are_served()


def test_length_that_lies():
    for length in (0xffffffff, 0x7fffffff, 64 * 1024 + 1):
        link = rawh2.Connection(SERVER.port)
        body = message(b'abc', length=length)
        answer = link.wait(link.request(CREATE_HOLD, body, BEARER, end=False))
        assert answer.grpc == 8, (length, answer.headers, answer.trailers, answer.reset)
        link.close()
    others_are_served()


def test_amplification_by_empty_items():
    # 32,000 empty slots in 64 KiB would unpack to megabytes.
    refusal = None
    try:
        SERVER.operator().raw('/fairslot.admin.v1.PoolAdminService/BatchCreateSlots',
                              b'\x12\x00' * 32000)
    except house.Refused as caught:
        refusal = caught
    assert refusal and refusal.code in (3, 8), refusal
    others_are_served()


def test_truncated_message():
    for body in (message(b'abc', length=100), b'\x00\x00', b'\x00\x00\x00\x00\x05ab'):
        link = rawh2.Connection(SERVER.port)
        answer = link.call(CREATE_HOLD, body, BEARER)
        assert answer.grpc in (3, 13), (body, answer.headers, answer.trailers, answer.reset)
        link.close()
    others_are_served()


def test_no_message_and_two_messages():
    link = rawh2.Connection(SERVER.port)
    assert link.call(LIST_POOLS, b'', BEARER).grpc not in (None, 0)
    assert link.call(LIST_POOLS, message(b'') + message(b''), BEARER).grpc not in (None, 0)
    assert link.call(LIST_POOLS, message(b''), BEARER).grpc == 0
    link.close()


def test_compressed_without_an_encoding():
    link = rawh2.Connection(SERVER.port)
    assert link.call(LIST_POOLS, message(b'abc', compressed=1), BEARER).grpc in (12, 13)
    answer = link.call(LIST_POOLS, message(b'abc', compressed=1),
                       BEARER + [('grpc-encoding', 'gzip')])
    assert answer.grpc == 12, answer.trailers
    assert link.call(LIST_POOLS, message(b''), BEARER).grpc == 0
    link.close()


def test_who_compresses_is_told_what_is_taken():
    link = rawh1.Connection(SERVER.port)
    for path, body, content_type, header, name in (
            (LIST_POOLS, b'{}', 'application/json', 'content-encoding', 'accept-encoding'),
            ('/fairslot.v1.CatalogService/WatchSlots', message(b'{}'), 'application/connect+json',
             'connect-content-encoding', 'connect-accept-encoding'),
            (LIST_POOLS, message(b'', compressed=1), 'application/grpc-web', 'grpc-encoding',
             'grpc-accept-encoding')):
        answer = link.post(path, body, content_type, [(header, 'gzip'), *BEARER])
        assert answer.headers.get(name) == 'identity', answer
    link.close()


# -- methods and headers --------------------------------------------------------------------------

def test_unknown_methods():
    for path in ('/fairslot.v1.CatalogService/Nothing', '/nobody.v1.Service/Method', '/', '/a',
                 '/fairslot.v1.CatalogService/', '/shard.v1.Shard/Apply', '/' + 'x' * 2000):
        refused(12, 'METHOD_UNKNOWN', ANNA.raw, path, b'')
    others_are_served()


def test_requests_that_are_no_grpc():
    link = rawh2.Connection(SERVER.port)
    answer = link.call('/', method='GET', plain=True)
    assert answer.http in ('404', '405', '415'), answer.headers
    answer = link.call(LIST_POOLS, b'{}', [('content-type', 'text/html')], plain=True)
    assert answer.http == '415', answer.headers
    assert link.call(LIST_POOLS, message(b''), BEARER).grpc == 0
    link.close()


def test_odd_deadlines():
    link = rawh2.Connection(SERVER.port)
    for text in ('', 'x', '100', '1x', '-1S', '999999999S', '1.5S', '0'):
        answer = link.call(LIST_POOLS, message(b''), BEARER + [('grpc-timeout', text)])
        assert answer.grpc is not None, (text, answer.headers)
    for _ in range(100):
        answer = link.call(LIST_POOLS, message(b''), BEARER + [('grpc-timeout', '0m')])
        assert answer.grpc == 4, answer.trailers
    assert link.call(LIST_POOLS, message(b''), BEARER + [('grpc-timeout', '99999999H')]).grpc == 0
    link.close()
    others_are_served()


def test_header_floods():
    link = rawh2.Connection(SERVER.port)
    answer = link.call(LIST_POOLS, message(b''), [(f'x-{n}', 'y' * 500) for n in range(100)])
    assert answer.grpc != 0 or answer.http != '200', answer.headers
    link.close()
    others_are_served()


# -- frames ---------------------------------------------------------------------------------------

def test_garbage_instead_of_http2():
    for data in (b'\x00' * 100, b'\xff' * 100, RANDOM.randbytes(4096), PREFACE[:-4] + b'XYZW\n',
                 b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + RANDOM.randbytes(500),
                 b'SSH-2.0-OpenSSH_9.2\r\n', b'\r\n\r\n\r\n\r\n' * 10):
        sock = raw_socket(data)
        assert rawh2.closes(sock), f'{data[:20]} is listened to for ever'
        sock.close()
    others_are_served()


def test_connections_that_end_anywhere():
    whole = PREFACE + SETTINGS + frame(1, 4, 1, b'\x82\x86\x84')
    for cut in range(len(whole)):
        raw_socket(whole[:cut]).close()
    for cut in range(1, len(whole), 7):  # the same with a reset instead of an end
        sock = raw_socket(whole[:cut])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        sock.close()
    others_are_served()


def test_broken_frames():
    broken = [
        frame(0, 0, 1, b'', length=0xffffff),               # a frame of 16 MiB
        frame(0, 0, 0, b'abc'),                             # DATA on stream 0
        frame(0, 1, 99, b'abc'),                            # DATA on an idle stream
        frame(1, 4, 2, b'\x82'),                            # HEADERS on an even stream
        frame(1, 4, 1, b'\xff\xff\xff\xff\xff\xff\xff'),    # HPACK that points nowhere
        frame(4, 0, 0, b'abc'),                             # SETTINGS of odd length
        frame(6, 0, 0, b'abc'),                             # PING of odd length
        frame(8, 0, 0, struct.pack('>I', 0)),               # WINDOW_UPDATE by nothing
        frame(9, 4, 1, b'abc'),                             # CONTINUATION of nothing
        frame(3, 0, 1, struct.pack('>I', 8)),               # RST_STREAM of an idle stream
    ]
    for data in broken:
        sock = raw_socket(PREFACE + SETTINGS + data)
        assert rawh2.closes(sock), f'{data[:20]} is tolerated'
        sock.close()
    others_are_served()


def test_random_frames():
    for _ in range(200):
        data = b''.join(frame(RANDOM.randrange(12), RANDOM.randrange(256), RANDOM.randrange(6),
                              RANDOM.randbytes(RANDOM.randrange(60))) for _ in range(8))
        sock = raw_socket(PREFACE + SETTINGS)
        try:
            sock.sendall(data)
        except OSError:
            pass
        sock.close()
    others_are_served()


def test_rapid_reset():
    link = rawh2.Connection(SERVER.port)
    for _ in range(5000):
        try:
            stream = link.request(LIST_POOLS, b'', BEARER, end=False)
            link.h2.reset_stream(stream, 8)
            link.flush()
        except Exception:  # GOAWAY ends the flood, which is the wanted answer
            break
        if link.closed:
            break
    link.close()
    others_are_served()


def test_a_client_that_never_reads():
    link = rawh2.Connection(SERVER.port)
    for _ in range(900):
        link.h2.send_headers(link.h2.get_next_available_stream_id(), [
            (':method', 'POST'), (':scheme', 'http'), (':authority', 'a'), (':path', LIST_POOLS),
            ('content-type', 'application/grpc'), ('te', 'trailers'), *BEARER])
        stream = link.h2.highest_outbound_stream_id
        link.h2.send_data(stream, message(b''), end_stream=True)
        link.flush()
    others_are_served()
    link.close()


def test_a_crowd_of_idle_connections():
    socks = [raw_socket(PREFACE + SETTINGS) for _ in range(500)]
    others_are_served()
    for sock in socks:
        sock.close()
    others_are_served()


def test_descriptors_do_not_leak():
    pid = SERVER.process.child.pid
    house.eventually(lambda: len(os.listdir(f'/proc/{pid}/fd')) < 100, seconds=20)


def test_http_1_gets_an_answer_or_an_end():
    sock = raw_socket(b'GET / HTTP/1.1\r\nHost: a\r\n\r\n')
    began = time.monotonic()
    assert sock.recv(10) is not None and time.monotonic() - began < 5
    sock.close()
    others_are_served()


if __name__ == '__main__':
    tap.run(globals(), before, after)

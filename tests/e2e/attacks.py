# SPDX-License-Identifier: MIT
"""Attacks on a gateway, byte by byte, each with the limit that must end it.

An attack is a function of a Scene.  It raises AssertionError when the gateway lets it go on, so
hostile_off.py can show that each fails once its limit is switched off.
"""
import os
import re
import socket
import struct
import time
import urllib.request

import hpack

from attacks_h1 import h1_many_headers, h1_pipe, h1_rest
from attacks_ops import ATTACKS_OPS, admin_options

PREFACE = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'
DATA, HEADERS, PRIORITY, RST, SETTINGS = range(5)
PING, GOAWAY, WINDOW, CONTINUATION = range(6, 10)
END_STREAM, END_HEADERS = 1, 4
PROTOCOL_ERROR, INTERNAL_ERROR, CALM = 1, 2, 11
LIST_POOLS = '/fairslot.v1.CatalogService/ListPools'
LIST_SLOTS = '/fairslot.v1.CatalogService/ListSlots'
HEALTH = '/grpc.health.v1.Health/Check'
ALL_SLOTS = b'\x0a\x0dpools/hostile\x10\xe8\x07'  # 1,000 of them: 70 KB
PATIENCE = 12  # seconds until an attack counts as tolerated
ENDLESS = 20000  # frames of a flood that must never all be taken: twice the limit's


def frame(kind, flags, stream, payload=b'', length=None):
    length = len(payload) if length is None else length
    return (struct.pack('>I', length)[1:] + bytes([kind, flags]) + struct.pack('>I', stream) +
            payload)


def message(payload, length=None):
    return b'\0' + struct.pack('>I', len(payload) if length is None else length) + payload


class Raw:
    """A connection that sends what it is told and notes what it is told."""

    def __init__(self, port, hello=PREFACE + frame(SETTINGS, 0, 0), room=None):
        self.socket = socket.socket()
        if room:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(('127.0.0.1', port))
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.ended, self.goaway, self.buffer = False, None, b''
        self.headers, self.resets, self.data, self.pongs = {}, {}, {}, 0
        self.window = 65535  # of the connection
        self.send(hello)

    def send(self, data):
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.sendall(data)
        except ConnectionError:
            self.ended = True

    def request(self, stream, path, headers=(), flags=END_HEADERS):
        return frame(HEADERS, flags, stream, self.encoder.encode([
            (':method', 'POST'), (':scheme', 'http'), (':path', path), (':authority', 'a'),
            ('content-type', 'application/grpc'), ('te', 'trailers'), *headers]))

    def read(self, seconds=0.0):
        """Takes what has come, or comes in time; False: nothing did, or it is over."""
        self.socket.settimeout(seconds or 0.000001)
        try:
            data = self.socket.recv(1 << 18)
        except (socket.timeout, BlockingIOError):
            return False
        except OSError:
            data = b''
        if not data:
            self.ended = True
            return False
        self.buffer += data
        while len(self.buffer) >= 9:
            length = int.from_bytes(self.buffer[:3], 'big')
            if len(self.buffer) < 9 + length:
                break
            kind, flags, stream = self.buffer[3], self.buffer[4], int.from_bytes(
                self.buffer[5:9], 'big')
            self.take(kind, flags, stream, self.buffer[9:9 + length])
            self.buffer = self.buffer[9 + length:]
        return True

    def take(self, kind, flags, stream, payload):
        if kind == HEADERS:
            self.headers.setdefault(stream, {}).update(self.decoder.decode(payload))
        elif kind == DATA:
            self.data[stream] = self.data.get(stream, 0) + len(payload)
        elif kind == RST:
            self.resets[stream] = int.from_bytes(payload, 'big')
        elif kind == GOAWAY:
            self.goaway = int.from_bytes(payload[4:8], 'big')
        elif kind == PING:
            self.pongs += 1
        elif kind == WINDOW and stream == 0:
            self.window += int.from_bytes(payload, 'big')

    def until(self, done, seconds=PATIENCE):
        """Reads until done(); what it is in the end."""
        until = time.monotonic() + seconds
        while not done() and not self.ended and time.monotonic() < until:
            self.read(0.2)
        return done()

    def status(self, stream):
        """grpc-status of a stream's end, or None."""
        value = self.headers.get(stream, {}).get('grpc-status')
        return None if value is None else int(value)

    def close(self):
        self.socket.close()


class Scene:
    """A server under attack, and what the attacks need to know of it."""

    def __init__(self, server, token):
        self.server, self.port = server, server.port
        self.ops = server.process.ready.get('ops')
        self.bearer = [('authorization', 'Bearer ' + token)]
        self.open = []

    def raw(self, *arguments, **more):
        self.open.append(Raw(self.port, *arguments, **more))
        return self.open[-1]

    def memory(self):
        """Resident bytes of the server."""
        with open(f'/proc/{self.server.process.pid}/status', encoding='ascii') as file:
            return int(re.search(r'VmRSS:\s+(\d+)', file.read()).group(1)) * 1024

    def counted(self, series):
        """What /metrics says of a series."""
        with urllib.request.urlopen(f'http://{self.ops}/metrics', timeout=10) as answer:
            text = answer.read().decode()
        found = re.search(rf'^fairslot_{re.escape(series)} (\d+)', text, re.M)
        return int(found.group(1)) if found else 0

    def close(self):
        for raw in self.open:
            raw.close()
        self.open = []


def flood(raw, chunk, count, step=500, code=CALM):
    """`count` frames, chunk(n) each, must not all be taken: GOAWAY with that code, and the end."""
    sent = 0
    while sent < count and not raw.ended and raw.goaway is None:
        raw.send(b''.join(chunk(n) for n in range(sent, sent + step)))
        sent += step
        while raw.read():
            pass
    raw.until(lambda: raw.goaway is not None, 3)
    raw.until(lambda: raw.ended, 3)
    assert raw.ended, f'{sent} frames were taken, and it is still listened to'
    # The GOAWAY may be lost behind what was still under way when the socket closed (a reset).
    assert raw.goaway in (code, None), f'GOAWAY {raw.goaway}'
    return sent


def opened(scene, **more):
    """A connection with stream 1 open and no message on it yet."""
    raw = scene.raw(**more)
    raw.send(raw.request(1, LIST_POOLS, scene.bearer))
    return raw


# -- frames ---------------------------------------------------------------------------------------

def priority_flood(scene):
    flood(opened(scene), lambda n: frame(PRIORITY, 0, 1, b'\0\0\0\3\20'), ENDLESS)


def unknown_flood(scene):
    flood(opened(scene), lambda n: frame(0xbe, 0, 0), ENDLESS)


def window_flood(scene):
    flood(opened(scene), lambda n: frame(WINDOW, 0, 0, b'\0\0\0\1'), ENDLESS)


def empty_data_flood(scene):
    flood(opened(scene), lambda n: frame(DATA, 0, 1), ENDLESS)


def crumbs_flood(scene):
    """A message of 60,000 bytes, one byte a frame."""
    head = message(b'', length=60000)
    flood(opened(scene), lambda n: frame(DATA, 0, 1, head[n:n + 1] or b'x'), ENDLESS)


def padded_flood(scene):
    """DATA that is all padding."""
    flood(opened(scene), lambda n: frame(DATA, 8, 1, b'\x0a' + b'\0' * 10), ENDLESS)


def ping_flood(scene):
    flood(opened(scene), lambda n: frame(PING, 0, 0, b'12345678'), ENDLESS)


def settings_flood(scene):
    flood(opened(scene), lambda n: frame(SETTINGS, 0, 0), ENDLESS)


def trailers_flood(scene):
    """HEADERS, again and again, on a stream that is gone."""
    raw = scene.raw()
    block = raw.encoder.encode([('x', 'y')])
    raw.send(raw.request(1, LIST_POOLS, scene.bearer) + frame(RST, 0, 1, struct.pack('>I', 8)))
    flood(raw, lambda n: frame(HEADERS, END_HEADERS, 1, block), ENDLESS)


def unread_acks(scene):
    raw = scene.raw()
    raw.send(frame(SETTINGS, 0, 0) * 3500)
    raw.until(lambda: raw.ended, 3)
    assert raw.ended, '3,500 acks were owed at once'


def rapid_reset(scene):
    raw = scene.raw()

    def pair(n):
        return (raw.request(2 * n + 1, LIST_POOLS, scene.bearer) +
                frame(RST, 0, 2 * n + 1, struct.pack('>I', 8)))
    flood(raw, pair, 4000, step=100, code=INTERNAL_ERROR)


def provoked_resets(scene):
    """MadeYouReset: windows that overflow."""
    raw = scene.raw()
    big = struct.pack('>I', 0x7fffffff)

    def pair(n):
        stream = 2 * n + 1
        return (raw.request(stream, LIST_POOLS, scene.bearer) +
                frame(WINDOW, 0, stream, big) * 2)
    flood(raw, pair, 2000, step=50)


def continuation_flood(scene):
    raw = scene.raw()
    raw.send(frame(HEADERS, 0, 1) + frame(CONTINUATION, 0, 1) * 200)
    raw.until(lambda: raw.ended, 3)
    assert raw.ended, '200 CONTINUATION frames are one header block'


def window_dribble(scene):
    """The answer is taken byte by byte, and each byte buys frames."""
    raw = scene.raw(PREFACE + frame(SETTINGS, 0, 0, b'\0\4\0\0\0\0'))
    raw.send(raw.request(1, LIST_SLOTS, scene.bearer + [('grpc-timeout', '59S')]) +
             frame(DATA, END_STREAM, 1, message(ALL_SLOTS)))
    until = time.monotonic() + 60
    while not raw.ended and raw.goaway is None and raw.data.get(1, 0) < 15000:
        assert time.monotonic() < until, 'too slow to be an attack'
        before = raw.data.get(1, 0)
        raw.send(frame(WINDOW, 0, 1, b'\0\0\0\1'))
        raw.until(lambda: raw.data.get(1, 0) > before or raw.goaway is not None, 5)
    raw.until(lambda: raw.ended, 3)
    assert raw.ended, f'{raw.data} bytes, each with a frame'
    assert raw.goaway in (CALM, None), raw.goaway


# -- sizes ----------------------------------------------------------------------------------------

def many_headers(scene):
    raw = scene.raw()
    raw.send(raw.request(1, LIST_POOLS, scene.bearer + [(f'x-{n}', 'y' * 480) for n in range(30)],
                         flags=0))
    block = raw.encoder.encode([(f'z-{n}', 'y' * 480) for n in range(30)])
    raw.send(frame(CONTINUATION, 0, 1, block) +
             frame(CONTINUATION, END_HEADERS, 1, raw.encoder.encode(
                 [(f'w-{n}', 'y' * 480) for n in range(30)])) +
             frame(DATA, END_STREAM, 1, message(b'')))
    assert raw.until(lambda: raw.status(1) is not None, 5), (raw.headers, raw.goaway)
    assert raw.status(1) == 8, raw.headers


def cookie_crumbs(scene):
    raw = scene.raw()
    raw.send(raw.request(1, LIST_POOLS, scene.bearer + [('cookie', f'a{n}=b')
                                                        for n in range(1500)]) +
             frame(DATA, END_STREAM, 1, message(b'')))
    assert raw.until(lambda: raw.status(1) is not None, 5), (raw.headers, raw.goaway)
    assert raw.status(1) == 8, raw.headers


def hpack_bomb(scene):
    """One header of 3.4 KB in the table, then 15,000 references to it, again and again."""
    raw = scene.raw()
    bomb = ('bomb', 'b' * 3400)
    raw.send(raw.request(1, LIST_POOLS, [bomb]) + frame(DATA, END_STREAM, 1))
    again = raw.encoder.encode([bomb])
    assert len(again) == 1, again

    def one(n):
        head = raw.request(2 * n + 3, LIST_POOLS)[9:]
        assert len(head) < 20, head
        return frame(HEADERS, END_HEADERS | END_STREAM, 2 * n + 3, head + again * 15000)
    flood(raw, one, 160, step=10)


def large_message(scene):
    raw = opened(scene)
    raw.send(frame(DATA, 0, 1, message(b'abc', length=1 << 20)))
    assert raw.until(lambda: raw.status(1) is not None, 3), 'a megabyte is waited for'
    assert raw.status(1) == 8, raw.headers


def half_message(scene, raw, stream):
    """A call with all but the last bytes of a message of 64 KiB, as fast as windows allow."""
    body = message(b'\x0a' * 65500, length=65536)
    raw.send(raw.request(stream, LIST_POOLS, scene.bearer + [('grpc-timeout', '59S')]))
    for at in range(0, len(body), 16000):
        part = body[at:at + 16000]
        raw.until(lambda: raw.window >= 16000, 5)
        raw.send(frame(DATA, 0, stream, part))
        raw.window -= len(part)


def half_messages(scene):
    """Many of them."""
    raw = scene.raw()
    for n in range(90):
        half_message(scene, raw, 2 * n + 1)
    raw.until(lambda: 8 in map(raw.status, list(raw.headers)), 2)
    assert 8 in map(raw.status, list(raw.headers)), f'90 messages of 64 KiB are kept: {raw.goaway}'


# -- slow clients ---------------------------------------------------------------------------------

def ends(scene, data, what):
    raw = scene.raw(data)
    raw.until(lambda: raw.ended, 5)
    assert raw.ended, f'{what} for ever'


def silent(scene):
    ends(scene, b'', 'no byte')


def half_preface(scene):
    ends(scene, PREFACE[:11], 'half a preface')


def no_settings(scene):
    ends(scene, PREFACE, 'no SETTINGS')


def half_headers(scene):
    raw = scene.raw()
    raw.send(raw.request(1, LIST_POOLS, flags=0))
    raw.until(lambda: raw.ended, 5)
    assert raw.ended, 'half a header block for ever'


def half_h1_head(scene):
    ends(scene, f'POST {LIST_POOLS} HTTP/1.1\r\nhost: a\r\nx'.encode(), 'half a head')


def no_message(scene):
    """A stream stays open, and its message never comes."""
    raw = opened(scene)
    assert raw.until(lambda: raw.status(1) is not None, 5), 'no message for ever'
    assert raw.status(1) == 4, raw.headers


def slow_message(scene):
    """A byte now and then."""
    raw = opened(scene)
    body = message(b'', length=1000)
    for n in range(25):
        raw.send(frame(DATA, 0, 1, body[n:n + 1] or b'x'))
        if raw.until(lambda: raw.status(1) is not None, 0.2):
            break
    assert raw.status(1) == 4, f'25 bytes in 5 s: {raw.headers}'


def mute_streams(scene):
    """More calls without their message than there is room for."""
    raws = []
    for _ in range(18):
        raw = scene.raw()
        block = raw.encoder.encode([
            (':method', 'POST'), (':scheme', 'http'), (':path', HEALTH), (':authority', 'a'),
            ('content-type', 'application/grpc'), ('grpc-timeout', '50S')])
        again = raw.encoder.encode([
            (':method', 'POST'), (':scheme', 'http'), (':path', HEALTH), (':authority', 'a'),
            ('content-type', 'application/grpc'), ('grpc-timeout', '50S')])
        raw.send(b''.join(frame(HEADERS, END_HEADERS, 2 * n + 1, again if n else block)
                          for n in range(1000)))
        raws.append(raw)
    until = time.monotonic() + 3
    while time.monotonic() < until:
        for raw in raws:
            raw.read(0.01)
            if 14 in map(raw.status, list(raw.headers)):
                return
    raise AssertionError('18,000 calls wait for their message')


def deaf(scene, stream_window=0, timeout='40S', path=LIST_POOLS, body=b''):
    """A call whose answer has no window to leave through."""
    raw = scene.raw(PREFACE + frame(SETTINGS, 0, 0, b'\0\4' + struct.pack('>I', stream_window)))
    ask(scene, raw, 1, path, body, timeout)
    return raw


def ask(scene, raw, stream, path, body=b'', timeout='40S'):
    raw.send(raw.request(stream, path, scene.bearer + [('grpc-timeout', timeout)]) +
             frame(DATA, END_STREAM, stream, message(body)))


def ask_much(scene, raw, count, enough=lambda: False):
    """Lists of 70 KB, as many at a time as the shard answers at once; until enough()."""
    for n in range(count):
        ask(scene, raw, 2 * n + 3, LIST_SLOTS, ALL_SLOTS)
        if n % 8 == 7:
            raw.until(lambda: len(raw.headers) >= n or enough(), 0.5)  # pylint: disable=W0640
        if enough() or raw.ended:
            return


def zero_window(scene):
    raw = deaf(scene)
    assert raw.until(lambda: 1 in raw.resets, PATIENCE), 'an answer is kept for ever'
    assert raw.resets[1] == CALM, raw.resets


def connection_window(scene):
    """The streams have windows, the connection has none left."""
    raw = deaf(scene, stream_window=1 << 30, path=LIST_SLOTS, body=ALL_SLOTS)
    ask(scene, raw, 3, LIST_SLOTS, ALL_SLOTS)
    ask(scene, raw, 5, LIST_SLOTS, ALL_SLOTS)
    raw.until(lambda: sum(raw.data.values()) == 65535, 5)
    assert sum(raw.data.values()) == 65535, raw.data
    assert raw.until(lambda: len(raw.resets) >= 2, PATIENCE), 'answers are kept for ever'
    assert set(raw.resets.values()) == {CALM}, raw.resets


def unread_watch(scene):
    """A stream without end that never reads: it is told once, and has nothing to lose yet."""
    raw = deaf(scene, path='/grpc.health.v1.Health/Watch', timeout='1S')
    assert raw.until(lambda: 1 in raw.resets, PATIENCE), 'a watch is kept beyond its deadline'


def unread_answers(scene):
    """More answers than a connection may hold."""
    raw = deaf(scene)

    def is_refused():
        return 8 in map(raw.status, list(raw.headers))
    ask_much(scene, raw, 180, is_refused)
    assert raw.until(is_refused, 1), f'{len(raw.headers)} answers of 70 KB wait'


def full_socket(scene):
    """Windows without end, and a socket that nobody reads."""
    raw = scene.raw(PREFACE + frame(SETTINGS, 0, 0, b'\0\4' + struct.pack('>I', 1 << 30)) +
                    frame(WINDOW, 0, 0, struct.pack('>I', 1 << 30)), room=4096)
    for n in range(160):
        ask(scene, raw, 2 * n + 1, LIST_SLOTS, ALL_SLOTS)
        if n % 8 == 7:
            time.sleep(0.02)
    time.sleep(3)
    raw.until(lambda: raw.ended, 4)
    assert raw.ended, f'{sum(raw.data.values())} bytes waited'


# -- all together ---------------------------------------------------------------------------------

def too_many_connections(scene):
    raws = [scene.raw() for _ in range(60)]
    until = time.monotonic() + 3
    while time.monotonic() < until:
        for raw in raws:
            raw.read(0.005)
            if raw.ended and raw.goaway == 0:
                return
    raise AssertionError('60 connections, where 50 are the most')


def hogs(scene):
    """Each within its own limits, together more than there is: the greediest goes."""
    raws = []

    def one_goes():
        for raw in raws:
            raw.read()
        return any(raw.goaway == CALM for raw in raws)
    for _ in range(4):
        raws.append(deaf(scene))
        ask_much(scene, raws[-1], 100, one_goes)
    assert one_goes(), f'nobody had to go: {scene.memory() >> 20} MiB'


def crowd_of_hogs(scene):
    """20 connections with 4 MB of half messages each: all the same memory has an end."""
    before = scene.memory()
    most = 0
    for _ in range(20):
        raw = scene.raw()
        for n in range(62):
            half_message(scene, raw, 2 * n + 1)
            if raw.ended or raw.goaway is not None:
                break
        most = max(most, scene.memory() - before)
    time.sleep(0.3)
    most = max(most, scene.memory() - before)
    # A sanitizer keeps what is freed, and some more.
    bound = 400 if os.environ.get('FAIRSLOT_SANITIZED') else 40
    assert most < bound << 20, f'{most >> 20} MiB more, where 24 are the most'


ENDED, REFUSED = 'connections_ended_total{end="%s"}', 'refusals_total{reason="%s"}'

# Attack, the limits that end it, on which server: quick (short times), patient or small (little
# memory), and where it is counted.
ATTACKS = [
    (priority_flood, 'frames', 'patient', ENDED % 'frames'),
    (unknown_flood, 'frames', 'patient', ENDED % 'frames'),
    (window_flood, 'frames', 'patient', ENDED % 'frames'),
    (empty_data_flood, 'frames', 'patient', ENDED % 'frames'),
    (crumbs_flood, 'frames', 'patient', ENDED % 'frames'),
    (padded_flood, 'frames', 'patient', ENDED % 'frames'),
    (ping_flood, 'frames,acks,pings', 'patient', ENDED % 'pings'),
    (settings_flood, 'frames,acks', 'patient', ENDED % 'frames'),
    (trailers_flood, 'frames', 'patient', ENDED % 'frames'),
    (hpack_bomb, 'frames,hello', 'patient', ENDED % 'frames'),
    (unread_acks, 'acks', 'patient', ENDED % 'acks'),
    (rapid_reset, 'cancels', 'patient', ENDED % 'cancels'),
    (provoked_resets, 'resets', 'patient', ENDED % 'resets'),
    (continuation_flood, 'continuations', 'patient', ENDED % 'continuations'),
    (window_dribble, 'dribble', 'patient', ENDED % 'frames'),
    (many_headers, 'headers', 'patient', REFUSED % 'HEADERS_TOO_LARGE'),
    (cookie_crumbs, 'headers', 'patient', REFUSED % 'HEADERS_TOO_LARGE'),
    (h1_many_headers, 'headers', 'patient', REFUSED % 'HEADERS_TOO_LARGE'),
    (h1_pipe, 'pipe', 'patient', REFUSED % 'RATE_LIMITED'),
    (h1_rest, 'rest', 'patient', ENDED % 'rest'),
    (large_message, 'message', 'patient', REFUSED % 'MESSAGE_TOO_LARGE'),
    (half_messages, 'assembly', 'patient', REFUSED % 'RATE_LIMITED'),
    (mute_streams, 'mutes', 'patient', REFUSED % 'GATEWAY_FULL'),
    (unread_answers, 'queued', 'patient', REFUSED % 'RATE_LIMITED'),
    (silent, 'hello', 'quick', ENDED % 'hello'),
    (half_preface, 'hello', 'quick', ENDED % 'hello'),
    (no_settings, 'hello', 'quick', ENDED % 'hello'),
    (half_headers, 'hello', 'quick', ENDED % 'hello'),
    (half_h1_head, 'hello', 'quick', ENDED % 'hello'),
    (no_message, 'deadline', 'quick', REFUSED % 'DEADLINE_EXCEEDED'),
    (slow_message, 'deadline', 'quick', REFUSED % 'DEADLINE_EXCEEDED'),
    (zero_window, 'unread', 'quick', 'calls_cut_total'),
    (connection_window, 'unread', 'quick', 'calls_cut_total'),
    (unread_watch, 'deadline,unread', 'quick', 'calls_cut_total'),
    (full_socket, 'stall,unread', 'quick', ENDED % 'stall'),
    (too_many_connections, 'connections', 'quick', 'connections_refused_total'),
    (hogs, 'hog', 'small', ENDED % 'hog'),
    (crowd_of_hogs, 'memory', 'small', ENDED % 'hog'),
    *ATTACKS_OPS,
]

# What makes a server quick to lose its patience, or small.
OPS = ['--set', 'ops.listen=127.0.0.1:0']
SERVERS = {
    'patient': OPS,
    'quick': OPS + ['--set', 'gateway.hello=500ms', '--set', 'gateway.deadline=1s', '--set',
              'gateway.unread=500ms', '--set', 'gateway.connections=50'],
    'small': OPS + ['--set', 'gateway.memory=24MiB'],
    'admin': OPS + admin_options(),
}


def scene_of(server):
    """A started server as a scene: a pool of 1,000 slots, whose list is an answer of some size."""
    if 'admin' not in server.process.ready:  # there, operators have a listener of their own
        operator = server.operator()
        operator.make_pool('hostile')
        operator.make_slots('pools/hostile', 1000)
        operator.close()
    return Scene(server, server.tokens('mallory')[0])

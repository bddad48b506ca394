#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: junk that must be checked by its signature does not keep newcomers waiting.

Method: connections that send nothing but well-made tokens with a random signature, hundreds under
way at a time, while people come one after the other, each on a new connection with a token that
nobody has seen.  What they wait is measured beside the same without junk.
FAIRSLOT_LIMITS_OFF=token_turns, in a program built for it, makes this fail.
"""
import os
import socket
import struct
import threading
import time

import forge
import house
import rawh2
import tap

NEWCOMERS = 40
LIST = '/fairslot.v1.CatalogService/ListPools'
SERVER = house.Server()


def before():
    SERVER.start()


def after():
    SERVER.close()


def literal(name, value):
    """A header that is not indexed (RFC 7541 6.2.2), without Huffman."""
    def text(data):
        size = len(data)
        if size < 127:
            return bytes([size]) + data
        size -= 127
        out = [127]
        while size >= 128:
            out.append(size % 128 + 128)
            size //= 128
        return bytes([*out, size]) + data
    return b'\0' + text(name.encode()) + text(value.encode())


class Flooder(threading.Thread):
    """Keeps so many junk tokens under way on one connection; counts the answers."""

    def __init__(self, token, under_way):
        super().__init__(daemon=True)
        self.parts, self.under_way = token.split('.')[:2], under_way
        self.size = len(forge.decode(token.split('.')[2]))
        self.head = b'\x83\x86' + b''.join(literal(name, value) for name, value in (
            (':path', LIST), (':authority', 'x'), ('content-type', 'application/grpc'),
            ('te', 'trailers')))
        self.stream, self.answers, self.ends = 1, 0, False
        self.closed = False

    def call(self):
        token = '.'.join((*self.parts, forge.encode(os.urandom(self.size))))
        block = self.head + literal('authorization', 'Bearer ' + token)
        frame = struct.pack('>I', len(block))[1:] + b'\x01\x04' + struct.pack('>I', self.stream)
        message = b'\0\0\x05\0\x01' + struct.pack('>I', self.stream) + b'\0\0\0\0\0'
        self.stream += 2
        return frame + block + message

    def run(self):
        sock = socket.create_connection(('127.0.0.1', SERVER.port))
        sock.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + b'\0\0\0\x04\0\0\0\0\0')
        sock.sendall(b''.join(self.call() for _ in range(self.under_way)))
        pending = b''
        while not self.ends:
            try:
                data = sock.recv(1 << 16)
            except OSError:
                data = b''
            if not data:
                self.closed = True
                return
            pending += data
            at, done = 0, 0
            while len(pending) - at >= 9:
                size = int.from_bytes(pending[at:at + 3], 'big')
                if len(pending) - at < 9 + size:
                    break
                done += pending[at + 3] == 1 and pending[at + 4] & 1
                at += 9 + size
            pending = pending[at:]
            self.answers += done
            if done:
                try:
                    sock.sendall(b''.join(self.call() for _ in range(done)))
                except OSError:
                    self.closed = True
                    return
        sock.close()


def newcomer(token):
    """Seconds from the first byte to the answer, connection and all."""
    began = time.monotonic()
    person = rawh2.Connection(SERVER.port, 30)
    person.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    stream = person.request(LIST, rawh2.message(b''), [('authorization', 'Bearer ' + token)])
    answer = person.wait(stream)
    assert answer.grpc == 0, (answer.headers, answer.trailers)
    person.socket.close()
    return time.monotonic() - began


def waits(prefix):
    tokens = [SERVER.tokens(f'{prefix}-{number}')[0] for number in range(NEWCOMERS)]
    times = []
    for token in tokens:
        times.append(newcomer(token))
        time.sleep(0.02)
    return sorted(times)


def shown(name, times):
    middle, last = times[len(times) // 2], times[int(len(times) * 0.95)]
    print(f'# {name}: median {middle * 1e3:.1f} ms, p95 {last * 1e3:.1f} ms', flush=True)
    return middle, last


class Flood:
    """So many connections with so much junk each, inside the block; rate: refusals a second."""

    def __init__(self, connections, under_way):
        good = SERVER.tokens('flood')[0]
        self.all = [Flooder(good, under_way) for _ in range(connections)]

    def __enter__(self):
        for flooder in self.all:
            flooder.start()
        house.eventually(lambda: all(f.answers > f.under_way for f in self.all), 60)
        self.began, self.count = time.monotonic(), sum(f.answers for f in self.all)
        return self

    def __exit__(self, *problem):
        self.rate = (sum(f.answers for f in self.all) - self.count) / (
            time.monotonic() - self.began)
        closed = [f for f in self.all if f.closed]
        for flooder in self.all:
            flooder.ends = True
        for flooder in self.all:
            flooder.join(timeout=10)
        print(f'# junk refused: {self.rate:.0f}/s', flush=True)
        assert not closed, 'the flood must be one'


def test_newcomers_get_through_junk():
    quiet = shown('quiet', waits('quiet'))
    with Flood(6, 400) as flood:
        busy = shown('flood', waits('busy'))
    line = 6 * 400 / flood.rate  # what somebody at the end of one line would wait
    print(f'# one line for all would be {line * 1e3:.0f} ms long', flush=True)
    assert line > 0.1, 'too little junk to tell'
    assert busy[0] < line / 3, f'newcomers wait behind junk ({quiet[0]:.4f} s without)'


def test_no_newcomer_is_refused_when_all_places_are_taken():
    with Flood(12, 800):  # more than VERIFY_PENDING_MAX
        middle, _ = shown('full', waits('full'))
    assert middle < 5


def test_afterwards_all_is_well():
    assert newcomer(SERVER.tokens('later')[0]) < 5
    assert SERVER.alive()


if __name__ == '__main__':
    tap.run(globals(), before, after)

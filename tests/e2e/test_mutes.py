# SPDX-License-Identifier: MIT
"""Goal: one client with many connections, each full of calls whose message never comes, keeps
nobody out; and it is its own calls that are refused."""
import socket
import struct
import time

import house
import tap
from house import api

SERVER = house.Server()
CONNECTIONS, STREAMS = 64, 1024  # as many calls as a gateway has


def before():
    SERVER.start()


def after():
    SERVER.close()


def number(value, bits):
    """HPACK's integer (RFC 7541 5.1), its flags 0."""
    top = (1 << bits) - 1
    if value < top:
        return bytes([value])
    out, value = [top], value - top
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes(out + [value])


def literal(name, value):
    return b'\0' + number(len(name), 7) + name + number(len(value), 7) + value


def frame(kind, flags, stream, payload=b''):
    return struct.pack('>IBI', len(payload) << 8 | kind, flags, stream)[:9] + payload


def headers(path, token=None):
    block = b'\x83\x86' + literal(b':path', path) + literal(b':authority', b'x')
    block += literal(b'content-type', b'application/grpc') + literal(b'te', b'trailers')
    return block + (literal(b'authorization', b'Bearer ' + token) if token else b'')


def ended(data):
    """Streams that the server ended, by their RST_STREAM."""
    count = 0
    while len(data) >= 9:
        count += data[3] == 3
        data = data[9 + int.from_bytes(data[:3], 'big'):]
    return count


class Debtor:
    """A connection that opens calls and says no more."""

    def __init__(self, port):
        self.socket = socket.create_connection(('127.0.0.1', port), timeout=20)
        self.socket.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n' + frame(4, 0, 0))
        self.stream = -1
        self.got = b''

    def open(self, block, count):
        data = b''
        for _ in range(count):
            self.stream += 2
            data += frame(1, 4, self.stream, block)
        self.socket.sendall(data)

    def read(self):
        self.socket.setblocking(False)
        try:
            while part := self.socket.recv(1 << 16):
                self.got += part
        except BlockingIOError:
            pass
        self.socket.settimeout(20)
        return self.got


def keeps_nobody_out(block):
    debtors = [Debtor(SERVER.port) for _ in range(CONNECTIONS)]
    anna = SERVER.person('anna')
    anna.reaches()
    for debtor in debtors:
        debtor.open(block, STREAMS)
    served, end = 0, time.monotonic() + 2
    while served < 50 or time.monotonic() < end:
        assert anna.ListPools(api.ListPoolsRequest()) is not None
        served += 1
        time.sleep(0.01)
    refused = sum(ended(debtor.read()) for debtor in debtors)
    assert refused >= CONNECTIONS * STREAMS // 2, refused
    for debtor in debtors:
        debtor.socket.close()
    assert SERVER.alive() and anna.reaches()
    anna.close()


def test_calls_of_one_identity():
    keeps_nobody_out(headers(b'/fairslot.v1.ReservationService/CreateHold',
                             SERVER.tokens('mallory')[0].encode()))


def test_calls_of_nobody():
    keeps_nobody_out(headers(b'/grpc.health.v1.Health/Check'))


if __name__ == '__main__':
    tap.run(globals(), before, after)

# SPDX-License-Identifier: MIT
"""The attacks of attacks.py that speak HTTP/1.1: each against a limit of a head, a pipe or a body.

They send and read at once, since a client that only sends would be stopped by its own socket.
"""
import rawh1

HEALTH = '/grpc.health.v1.Health/Check'
WATCH = '/grpc.health.v1.Health/Watch'
JSON = [('content-type', 'application/json')]
STREAM = [('content-type', 'application/connect+json'), ('connect-timeout-ms', '1000')]
PIPED = 4000  # requests behind one that takes its time
REST = 16 << 20  # bytes of a body after its refusal that must never all be taken


def statuses(link):
    """Of all answers until the connection ends or falls silent."""
    found = []
    try:
        while True:
            found.append(link.answer().status)
    except (EOFError, OSError):
        return found


def h1_many_headers(scene):
    link = rawh1.Connection(scene.port)
    link.send(rawh1.request('POST', HEALTH, b'{}', JSON + [(f'x-{n}', 'y') for n in range(200)]))
    status = link.answer().status
    link.close()
    assert status == 431, f'200 headers are answered with {status}'


def h1_pipe(scene):
    link = rawh1.Connection(scene.port, timeout=10)
    link.send(rawh1.request('POST', WATCH, rawh1.envelope(b'{}'), STREAM))
    try:
        link.send(rawh1.request('POST', HEALTH, b'{}', JSON) * PIPED)
    except OSError:
        pass
    found = statuses(link)
    link.close()
    assert found.count(200) < PIPED, 'all that was piped behind one call was kept'


def h1_rest(scene):
    link = rawh1.Connection(scene.port, timeout=10)
    link.send(f'POST {HEALTH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n'
              'transfer-encoding: chunked\r\n\r\n'.encode())
    chunk = b'10000\r\n' + b' ' * 0x10000 + b'\r\n'
    sent = 0
    try:
        while sent < REST:
            link.send(chunk)
            sent += len(chunk)
    except OSError:
        pass
    link.close()
    assert sent < REST, f'{sent >> 20} MiB of a refused body were taken'

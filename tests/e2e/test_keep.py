# SPDX-License-Identifier: MIT
"""How long a connection lives: pings both ways, age, and the end of the process; with a client that
was stopped (SIGSTOP) as the peer behind a network that went away."""
import atexit
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import house
import rawh2
import tap
from grpc.health.v1 import health_pb2, health_pb2_grpc
from house import api, grpc

HEALTH = '/grpc.health.v1.Health/Check'
WATCH = '/grpc.health.v1.Health/Watch'
GREETING = b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0'
CALM = 11   # ENHANCE_YOUR_CALM
UNAVAILABLE = 14


class Front:
    """A server with some keys set, for one test."""

    def __init__(self, *keys):
        words = [word for key in (*keys, 'ops.listen=127.0.0.1:0') for word in ('--set', key)]
        self.server = house.Server(options=words)

    def __enter__(self):
        return self.server.start()

    def __exit__(self, *_):
        self.server.close()


def count(server, series):
    return house.sample(house.fetch(f"http://{server.process.ready['ops']}/metrics"),
                        'fairslot_' + series)


def greeted(server):
    link = socket.create_connection(('127.0.0.1', server.port), timeout=10)
    link.sendall(GREETING)
    assert link.recv(1000)
    return link


def seconds_until_closed(link, most=30):
    began = time.monotonic()
    assert rawh2.closes(link, most), f'it is open after {most} s'
    return time.monotonic() - began


def read_for(connection, seconds):
    """Takes what comes, and acknowledges pings."""
    until = time.monotonic() + seconds
    while not connection.closed and (left := until - time.monotonic()) > 0:
        connection.socket.settimeout(left)
        try:
            data = connection.socket.recv(65536)
        except socket.timeout:
            break
        except ConnectionError:
            data = b''
        if not data:
            connection.closed = True
            return
        for event in connection.h2.receive_data(data):
            connection.take(event)
        connection.flush()
    connection.socket.settimeout(10)


def test_a_silent_peer_is_closed():
    with Front('connection.keepalive=300ms', 'connection.keepalive_timeout=2s') as server:
        assert 2 < seconds_until_closed(greeted(server), 30)
        assert count(server, 'connections_silent_total') == 1
        alive = rawh2.Connection(server.port)
        until = time.monotonic() + 30
        while alive.pings < 3 and not alive.closed and time.monotonic() < until:
            read_for(alive, 0.5)
        assert not alive.closed and alive.pings >= 3, (alive.closed, alive.pings)
        assert alive.call(HEALTH, rawh2.message(b'')).grpc == 0


def test_without_keepalive_silence_is_allowed():
    with Front('connection.keepalive=0') as server:
        assert not rawh2.closes(greeted(server), 1.5)


def test_an_idle_http1_connection_is_closed():
    with Front('connection.keepalive=300ms', 'connection.keepalive_timeout=300ms') as server:
        link = socket.create_connection(('127.0.0.1', server.port), timeout=10)
        link.sendall(b'POST /grpc.health.v1.Health/Check HTTP/1.1\r\nhost: x\r\n'
                     b'content-type: application/json\r\ncontent-length: 2\r\n\r\n{}')
        assert b'SERVING' in link.recv(4096)
        seconds_until_closed(link)


STOPPED = '''
import grpc, sys, time
channel = grpc.insecure_channel(sys.argv[1])
watch = channel.unary_stream('/grpc.health.v1.Health/Watch')(b'')
next(watch)
print('watching', flush=True)
time.sleep(100)
'''


def stoppable(server):
    """A client that watches, in a process of its own, which ends with the test whatever happens."""
    client = subprocess.Popen([sys.executable, '-c', STOPPED, server.target],
                              stdout=subprocess.PIPE, text=True)
    atexit.register(client.kill)
    assert client.stdout.readline() == 'watching\n'
    return client


def test_a_stopped_client_is_closed():
    """Its kernel still acknowledges, it does not: as a proxy before a network that went away."""
    with Front('connection.keepalive=300ms', 'connection.keepalive_timeout=2s') as server:
        client = stoppable(server)
        time.sleep(3)  # pings that it answers: one that it had not would have ended it
        assert count(server, 'connections_silent_total') == 0
        os.kill(client.pid, signal.SIGSTOP)
        house.eventually(lambda: count(server, 'connections_silent_total') == 1)
        house.eventually(lambda: count(server, 'connections') == 0)
        assert count(server, 'rpc_inflight') == 0, 'its stream went with it'
        client.kill()
        client.wait()


def ping(connection, times):
    for number in range(times):
        connection.h2.ping(number.to_bytes(8, 'big'))
        connection.flush()


def test_too_many_pings():
    with Front() as server:
        link = rawh2.Connection(server.port)
        ping(link, 3)  # one is free, two are forgiven
        assert link.call(HEALTH, rawh2.message(b'')).grpc == 0
        ping(link, 10)
        read_for(link, 5)
        assert link.closed and link.goaway == CALM and link.debug == b'too_many_pings', link.debug
    with Front('connection.client_ping=0') as server:
        link = rawh2.Connection(server.port)
        ping(link, 50)
        assert link.call(HEALTH, rawh2.message(b'')).grpc == 0


def test_pings_behind_data_are_free():
    """Clients measure their window with them: one for each answer."""
    with Front() as server:
        link = rawh2.Connection(server.port)
        for _ in range(30):
            assert link.call(HEALTH, rawh2.message(b'')).grpc == 0
            ping(link, 1)
        assert link.call(HEALTH, rawh2.message(b'')).grpc == 0
        assert link.goaway is None


def test_a_grpc_client_that_pings_too_much():
    """grpcio pings every five seconds at most, so this takes half a minute."""
    if not os.environ.get('FAIRSLOT_SOAK'):
        raise tap.Skip('half a minute: with --soak')
    with Front('connection.client_ping=1h') as server:
        channel = grpc.insecure_channel(server.target, options=[
            ('grpc.keepalive_time_ms', 100), ('grpc.keepalive_permit_without_calls', 1),
            ('grpc.http2.max_pings_without_data', 0), ('grpc.use_local_subchannel_pool', 1),
            ('grpc.http2.min_time_between_pings_ms', 100)])
        health = health_pb2_grpc.HealthStub(channel)
        health.Check(health_pb2.HealthCheckRequest(), timeout=10)
        house.eventually(lambda: count(server, 'connections_ended_total{end="pings"}') > 0, 60)
        answer = health.Check(health_pb2.HealthCheckRequest(), timeout=10, wait_for_ready=True)
        assert answer.status == 1, 'it comes again, and pings less'
        channel.close()


def goaways(link):
    """Every GOAWAY until the server closes: (last stream, error code); with a stream of Watch open,
    which python3-h2 would not hear any more after the first."""
    out, data = [], b''
    while part := link.recv(65536):
        data += part
        while len(data) >= 9 and len(data) >= 9 + int.from_bytes(data[:3], 'big'):
            length, kind = int.from_bytes(data[:3], 'big'), data[3]
            frame, data = data[9:9 + length], data[9 + length:]
            if kind == 7:
                out.append((int.from_bytes(frame[:4], 'big'), int.from_bytes(frame[4:8], 'big')))
    return out


def watching(server):
    channel = grpc.insecure_channel(server.target)
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
    assert next(watch).status == 1
    return channel, watch


def how_it_ends(watch):
    try:
        next(watch)
    except grpc.RpcError as error:
        return house.Refused(error)
    raise AssertionError('the stream goes on')


def test_old_connections_are_asked_to_come_again():
    with Front('connection.max_age=1s', 'connection.age_grace=1s') as server:
        link, began = greeted(server), time.monotonic()
        channel, watch = watching(server)
        (notice, code), (last, end) = goaways(link)
        assert time.monotonic() - began > 1.5
        assert (notice, code) == (2 ** 31 - 1, 0), 'first a notice'
        assert (last, end) == (0, 0), 'then the last stream that counts'
        refused = how_it_ends(watch)
        assert (refused.code, refused.reason) == (UNAVAILABLE, 'SHUTTING_DOWN'), refused
        assert refused.retry_s > 0 and time.monotonic() - began > 2.5, 'after the grace'
        assert count(server, 'connections_aged_total') == 2
        channel.close()


def test_ages_differ():
    with Front('connection.max_age=2s', 'connection.age_grace=100ms') as server:
        links, times = [rawh2.Connection(server.port) for _ in range(24)], []
        began = time.monotonic()

        def wait(link):
            while link.goaway is None and not link.closed:
                link.read_once()
            times.append(time.monotonic() - began)
        threads = [threading.Thread(target=wait, args=[link]) for link in links]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len(times) == 24 and min(times) > 1.7, times
        assert max(times) - min(times) > 0.1, 'not all at once'


def test_no_call_is_lost_by_age():
    with Front('connection.max_age=300ms', 'connection.age_grace=5s') as server:
        client = server.operator()
        client.make_pool('aged')
        until = time.monotonic() + 4
        while time.monotonic() < until:
            client.ListPools(api.ListPoolsRequest())
        client.close()
        assert count(server, 'connections_aged_total') >= 2
    with Front('connection.max_age=0') as server:
        link = rawh2.Connection(server.port)
        read_for(link, 1)
        assert link.goaway is None


def test_sigterm():
    """NOT_SERVING, the notice, streams end with a time to come back, exit within the limit."""
    server = house.Server()
    server.start()
    channel, watch = watching(server)
    link = greeted(server)
    began = time.monotonic()
    os.kill(server.process.pid, signal.SIGTERM)
    assert next(watch).status == 2, 'NOT_SERVING comes first'
    refused = how_it_ends(watch)
    assert (refused.code, refused.reason) == (UNAVAILABLE, 'SHUTTING_DOWN'), refused
    assert refused.retry_s > 0
    assert goaways(link) == [(2 ** 31 - 1, 0), (0, 0)]
    assert server.process.wait() == 0
    assert time.monotonic() - began < 10  # the drain's limit: it does not sit it out
    channel.close()


def test_sigterm_with_peers_that_do_not_read():
    server = house.Server(options=('--set', 'gateway.drain=2s'))
    server.start()
    stuck = [greeted(server) for _ in range(5)]
    client = stoppable(server)
    os.kill(client.pid, signal.SIGSTOP)
    began = time.monotonic()
    os.kill(server.process.pid, signal.SIGTERM)
    assert server.process.wait() == 0
    assert time.monotonic() - began < 12
    client.kill()
    client.wait()
    for link in stuck:
        link.close()


if __name__ == '__main__':
    tap.run(globals(), side_by_side=6)

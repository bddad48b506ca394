#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: gateway and shard as two processes are the same engine; a shard that is gone or stands
still is told to clients in time, and the gateway lives on.

Standing still is SIGSTOP on the shard: then only the gateway's own timers can end a call.
"""
import signal
import socket
import threading
import time

import house
import rawh2
import tap
from house import api, new_id, refused

PAIR = house.Pair()
GET_POOL = '/fairslot.v1.CatalogService/GetPool'
HEALTH = '/grpc.health.v1.Health/Check'


def before():
    global OPERATOR, ANNA, NAMES
    PAIR.start()
    OPERATOR, ANNA = PAIR.operator(), PAIR.person('anna')
    OPERATOR.make_pool('pair', max_live=16)
    NAMES = OPERATOR.make_slots('pools/pair', 20)


def after():
    PAIR.close()


def get_pool(client=None, **more):
    return (client or ANNA).GetPool(api.GetPoolRequest(name='pools/pair'), **more)


class Still:
    """The shard stands still inside the block."""

    def __enter__(self):
        PAIR.shard.child.send_signal(signal.SIGSTOP)

    def __exit__(self, *problem):
        PAIR.shard.child.send_signal(signal.SIGCONT)


def test_books_over_tcp():
    hold = ANNA.hold(NAMES[0])
    taken = ANNA.confirm(hold.name)
    assert taken.log_index > hold.log_index
    listed = ANNA.ListReservations(api.ListReservationsRequest(parent='pools/-')).reservations
    assert [r.name for r in listed] == [taken.name]
    bert = PAIR.person('bert')
    refused(10, 'SLOT_TAKEN', bert.hold, NAMES[0])
    refused(7, 'NOT_YOUR_RESERVATION', bert.cancel, taken.name)
    ANNA.cancel(taken.name)


def test_server_keeps_the_deadline():
    link = rawh2.Connection(PAIR.port)
    bearer = [('authorization', 'Bearer ' + ANNA.token)]
    body = rawh2.message(api.GetPoolRequest(name='pools/pair').SerializeToString())
    assert link.call(GET_POOL, body, bearer).grpc == 0  # the token is known from here on
    with Still():
        for text, seconds in (('100m', 0.1), ('1S', 1.0), ('250000u', 0.25)):
            answer = link.call(GET_POOL, body, bearer + [('grpc-timeout', text)])
            assert answer.grpc == 4, (text, answer.headers, answer.trailers)
            late = answer.seconds - seconds
            assert -0.02 < late < (1.0 if house.SANITIZED else 0.25), f'{text}: {answer.seconds} s'
    assert link.call(GET_POOL, body, bearer).grpc == 0
    link.close()


def test_a_client_that_gives_up_costs_nothing():
    with Still():
        calls = [ANNA.stubs[0].GetPool.future(api.GetPoolRequest(name='pools/pair'),
                                              metadata=ANNA.metadata()) for _ in range(10)]
        time.sleep(0.2)
        for call in calls:
            call.cancel()
        link = rawh2.Connection(PAIR.port)
        assert link.call(HEALTH, rawh2.message(b'')).grpc == 0, 'health does not wait for the shard'
        link.close()
    house.eventually(ANNA.reaches)


def test_one_identity_may_have_only_so_many_waiting():
    with Still():
        calls = [ANNA.stubs[0].GetPool.future(api.GetPoolRequest(name='pools/pair'), timeout=20,
                                              metadata=ANNA.metadata()) for _ in range(600)]
        # A few may have been answered before the shard stood still.
        house.eventually(lambda: any(call.done() and call.exception() for call in calls))
        refusals = [house.Refused(call.exception()) for call in calls
                    if call.done() and call.exception()]
        assert {(r.code, r.reason) for r in refusals} == {(8, 'QUEUE_FULL')}, refusals[:5]
        assert all(r.retry_s > 0 for r in refusals)
    answered = 0
    for call in calls:
        try:
            answered += call.result(timeout=20).name == 'pools/pair'
        except house.grpc.RpcError as error:
            assert house.Refused(error).reason == 'QUEUE_FULL', error
    assert answered >= 256, f'only {answered} of those that waited were answered'


def test_hangup_ends_nothing():
    for child in PAIR.process.child, PAIR.shard.child:
        child.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert PAIR.process.alive() and PAIR.shard.alive()
    assert ANNA.reaches()


def test_shard_gone():
    pid = PAIR.process.child.pid
    PAIR.shard.kill()

    def told():
        try:
            get_pool(timeout=5)
            return None
        except house.Refused as refusal:
            return refusal
    refusal = house.eventually(told)
    assert refusal.code == 14 and refusal.reason == 'NO_LEADER' and refusal.retry_s > 0, refusal
    began = time.monotonic()
    refused(14, 'NO_LEADER', ANNA.hold, NAMES[1])
    assert time.monotonic() - began < 3, 'a lost shard is told at once'
    assert PAIR.process.alive() and PAIR.process.child.pid == pid
    PAIR.start_shard()
    house.eventually(ANNA.reaches, seconds=5)
    assert PAIR.process.child.pid == pid


def test_shard_gone_under_load():
    """Calls that were at the shard when it died all end, and by the same id happen once."""
    requests = [(name, new_id()) for name in NAMES[2:12]]
    holds, stop = {}, threading.Event()

    def insist(name, request_id):
        client = house.Client(PAIR.target, ANNA.token)
        while not stop.is_set():
            try:
                holds[name] = client.hold(name, request_id=request_id).name
                break
            except house.Refused as refusal:
                assert refusal.code in (14, 4), refusal
                time.sleep(0.05)
        client.close()
    with Still():
        threads = [threading.Thread(target=insist, args=request) for request in requests]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        PAIR.shard.child.kill()
    PAIR.shard.wait()
    PAIR.start_shard()
    for thread in threads:
        thread.join(20)
    stop.set()
    assert len(holds) == 10, f'{len(holds)} of 10 were held'
    house.eventually(ANNA.reaches)
    for name, request_id in requests:
        assert ANNA.hold(name, request_id=request_id).name == holds[name]


class Sieve:
    """Between gateway and shard: swallows the next reply of the shard's with these bytes in it."""

    def __init__(self, url):
        self.to = ('127.0.0.1', int(url.rpartition(':')[2]))
        self.wanted, self.swallowed = None, 0
        self.door = socket.create_server(('127.0.0.1', house.quiet_port()))
        self.url = f'tcp://127.0.0.1:{self.door.getsockname()[1]}'
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            outer, _ = self.door.accept()
            inner = socket.create_connection(self.to)
            for pump, source, sink in ((self.through, outer, inner), (self.sift, inner, outer)):
                threading.Thread(target=pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def through(source, sink):
        with source, sink:
            while data := source.recv(65536):
                sink.sendall(data)

    def sift(self, source, sink):
        """A hello of eight bytes, then messages with eight bytes of length before each."""
        with source, sink, source.makefile('rb') as stream:
            sink.sendall(stream.read(8))
            while len(head := stream.read(8)) == 8:
                body = stream.read(int.from_bytes(head, 'big'))
                if self.wanted and self.wanted in body:
                    self.wanted, self.swallowed = None, self.swallowed + 1
                else:
                    sink.sendall(head + body)


def test_one_reply_is_lost():
    """While others come: it is asked for again by request id, and nothing happens twice.  The
    gateway's own default is a deadline of 10 s; this call would wait for a minute."""
    sieve, stop = Sieve(PAIR.shard_url), threading.Event()
    gateway = house.Process('gateway', '--data', PAIR.data, '--shard', sieve.url, '--listen',
                            '127.0.0.1:0')
    target = gateway.wait_ready('grpc')
    lina, other = (house.Client(target, PAIR.tokens(who)[0], timeout=40)
                   for who in ('lina', 'oskar'))

    def keep_asking():
        while not stop.wait(0.05):
            house.eventually(lambda: get_pool(other))
    thread = threading.Thread(target=keep_asking)
    house.eventually(lambda: get_pool(other))
    thread.start()
    try:
        request_id, sieve.wanted = new_id(), b'/holds/'
        hold = house.eventually(lambda: lina.hold(NAMES[15], request_id=request_id))
    finally:
        stop.set()
        thread.join(40)
    assert sieve.swallowed == 1
    assert hold == lina.GetHold(api.GetHoldRequest(name=hold.name))
    assert hold == lina.hold(NAMES[15], request_id=request_id)
    assert gateway.stop() == 0, gateway.talk[-10:]


def test_gateway_gone():
    hold = ANNA.hold(NAMES[13])
    PAIR.kill_gateway()
    house.eventually(ANNA.reaches)
    assert ANNA.GetHold(api.GetHoldRequest(name=hold.name)) == hold


def test_gateway_starts_before_its_shard():
    PAIR.shard.stop()
    PAIR.kill_gateway()
    refused(14, 'NO_LEADER', get_pool, house.Client(PAIR.target, ANNA.token))
    PAIR.start_shard()
    house.eventually(ANNA.reaches, seconds=5)


def test_one_directory_one_shard():
    second = house.run('shard', '--data', PAIR.data, '--listen', 'tcp://127.0.0.1:0', check=3)
    assert 'in use' in second.stderr, second.stderr
    second = house.run('serve', '--dev', '--data', PAIR.data, '--listen', '127.0.0.1:0', check=3)
    assert 'in use' in second.stderr, second.stderr


def test_one_process_takes_over_from_two():
    hold = ANNA.hold(NAMES[14])
    assert PAIR.process.stop() == 0 and PAIR.shard.stop() == 0
    server = house.Server(PAIR.data).start()
    client = house.Client(server.target, ANNA.token)
    assert client.GetHold(api.GetHoldRequest(name=hold.name)) == hold
    server.close()
    PAIR.start()


if __name__ == '__main__':
    tap.run(globals(), before, after)

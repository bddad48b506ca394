#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: the flood catches what it is there for.  Ten faults, one at a time: three in a build of the
engine that gets the order wrong, seven in a front that stands between the crowd and a sound engine
and does to the answers what a faulty one would.  Without a fault all thresholds are met.
"""
import concurrent.futures
import os
import shutil
import sys
import tempfile
import threading
import time

import flood_kit
import house
import grpc
import tap
from house import resources

sys.path.insert(0, os.path.join(house.ROOT, 'tests', 'durability'))
import plant  # noqa: E402

FOLDER = tempfile.mkdtemp(prefix='fairslot-plant-')
SERVER = house.Server()
DAY = flood_kit.DAY.replace('rate = 100', 'rate = 300').replace(
    f'run = {3 * flood_kit.SLOW} s', 'run = 20 s')
THRESHOLDS = ['double_booked==0', 'oversold==0', 'lost==0', 'unheard==0', 'timed_out==0',
              'latency_max<4s', 'extra_tickets==0', 'double_confirmed==0', 'order_wrong==0',
              'bot_advantage<3.5', 'arrival_chi2<33', 'unaccounted==0']


def before():
    if house.SANITIZED:
        raise tap.Skip('planted once, in the plain build')
    SERVER.start()


def after():
    SERVER.close()
    shutil.rmtree(FOLDER, ignore_errors=True)
    flood_kit.SCRATCH.cleanup()


class Front(grpc.GenericRpcHandler):
    """Hands every call on as it came; a subclass has the fault."""

    def __init__(self, server):
        self.data, self.lock = server.data, threading.Lock()
        self.engine = grpc.insecure_channel(
            server.target, options=[('grpc.max_receive_message_length', -1)])
        self.grpc = grpc.server(concurrent.futures.ThreadPoolExecutor(96), handlers=(self,),
                                options=[('grpc.max_concurrent_streams', 1000)])
        self.target = f'127.0.0.1:{self.grpc.add_insecure_port("127.0.0.1:0")}'
        self.grpc.start()

    def close(self):
        self.grpc.stop(0.2).wait()
        self.engine.close()

    def service(self, details):
        method = details.method.rpartition('/')[2]
        token = [(k, v) for k, v in details.invocation_metadata if k == 'authorization']

        def handle(request, context):
            try:
                return self.answer(method, request, context,
                                   lambda: self.ask(details.method, request, token))
            except grpc.RpcError as error:
                context.set_trailing_metadata([
                    (k, v) for k, v in error.trailing_metadata() or ()
                    if k == 'grpc-status-details-bin'])
                context.abort(error.code(), error.details())
        return grpc.unary_unary_rpc_method_handler(handle)

    def ask(self, path, request, token):
        return self.engine.unary_unary(path)(request, metadata=token, timeout=10)

    def answer(self, method, request, context, ask):
        return ask()

    @staticmethod
    def never(context):
        """No answer while the caller waits."""
        while context.is_active() and (context.time_remaining() or 0) > 0.01:
            time.sleep(0.05)
        context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, '')


class Oversells(Front):
    """Every second reservation is of the slot that the first one has."""
    slots = {}

    def answer(self, method, request, context, ask):
        answer = ask()
        if method not in ('ConfirmHold', 'GetReservation'):
            return answer
        reservation = resources.Reservation.FromString(answer)
        with self.lock:
            number = self.slots.setdefault(reservation.name, len(self.slots))
            first = self.slots.setdefault('', reservation.slots[0].name)
        if number % 2:
            reservation.slots[0].name = first
        return reservation.SerializeToString()


class LosesReplies(Front):
    count = 0

    def answer(self, method, request, context, ask):
        answer = ask()
        if method == 'ConfirmHold' and request[-1] % 3 == 0:
            self.never(context)
        return answer


class AnswersLate(Front):
    count = 0

    def answer(self, method, request, context, ask):
        self.count += method == 'GetTicket'
        if method == 'GetTicket' and self.count % 20 == 7:
            time.sleep(5)
        return ask()


class GivesTwoTickets(Front):
    """Whoever enters among the first has a second ticket in a name that nobody has."""
    spare = ()

    def answer(self, method, request, context, ask):
        answer = ask()  # once the release is open
        with self.lock:
            token = self.spare.pop() if method == 'CreateTicket' and self.spare else None
        if token:
            self.ask('/fairslot.v1.TicketService/CreateTicket', request,
                     [('authorization', 'Bearer ' + token)])
        return answer


class LosesRequests(Front):
    count = 0

    def answer(self, method, request, context, ask):
        self.count += method == 'CreateTicket'
        if method == 'CreateTicket' and self.count % 20 == 3:
            self.never(context)
        return ask()


class ConfirmsTwice(Front):
    told = None

    def answer(self, method, request, context, ask):
        try:
            answer = ask()
        except grpc.RpcError:
            if method != 'ConfirmHold' or self.told is None:
                raise
            return self.told
        self.told = answer if method == 'ConfirmHold' else self.told
        return answer


class ReadsStale(Front):
    """Lists of slots are what they were when they were first asked for."""
    lists = {}

    def answer(self, method, request, context, ask):
        if method != 'ListSlots':
            return ask()
        with self.lock:
            if request not in self.lists:
                self.lists[request] = ask()
            return self.lists[request]


def day(target, text=DAY):
    words = [word for t in THRESHOLDS for word in ('--threshold', t)]
    code, report, said = flood_kit.flood(target, *words, file=flood_kit.scenario(text))
    missed = [t for t in THRESHOLDS if f'\u2717 {t} ' in said]
    print(f'# exit {code}, missed: {", ".join(missed) or "nothing"}', flush=True)
    assert code in (0, 99) and report is not None and bool(missed) == (code == 99), said
    return missed


def caught(kind, *wanted, text=DAY):
    front = kind(SERVER)
    if kind is GivesTwoTickets:
        front.spare = SERVER.tokens('shadow', count=5)
    try:
        missed = day(front, text)
    finally:
        front.close()
    assert set(wanted) <= set(missed), (wanted, missed)


def planted(name, *wanted):
    server = house.Server(binary=plant.build(name, FOLDER)).start()
    try:
        missed = day(server)
    finally:
        server.kill()
        server.close()
    assert set(wanted) <= set(missed), (wanted, missed)


SHORT = DAY.replace('accept =', 'timeout = 1 s\naccept =')


def test_without_a_fault_nothing_is_missed():
    front = Front(SERVER)
    try:
        assert day(front) == []
    finally:
        front.close()


def test_oversell():
    caught(Oversells, 'double_booked==0')


def test_lost_reply():
    caught(LosesReplies, 'timed_out==0', 'unheard==0', text=SHORT)


def test_late_answer():
    caught(AnswersLate, 'latency_max<4s')


def test_double_ticket():
    caught(GivesTwoTickets, 'extra_tickets==0')


def test_arrival_order_kept():
    planted('PLANT_ARRIVAL_ORDER', 'arrival_chi2<33', 'bot_advantage<3.5')


def test_wrong_share():
    planted('PLANT_WRONG_SHARE', 'order_wrong==0')  # how big the share gets is chance


def test_lost_request():
    caught(LosesRequests, 'timed_out==0', text=SHORT)


def test_double_confirm():
    caught(ConfirmsTwice, 'double_confirmed==0')


def test_stale_read():
    caught(ReadsStale, 'lost==0')


def test_clock_dependent_rank():
    planted('PLANT_CLOCK_RANK', 'order_wrong==0')


if __name__ == '__main__':
    tap.run(globals(), before, after)

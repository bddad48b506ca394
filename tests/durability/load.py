# SPDX-License-Identifier: MIT
"""Many people at once who write down everything they are told.

One asyncio loop in a thread of its own; each person has one call in flight at a time, so N people
are N calls in flight.  A call without a definite answer is asked again with the same request id
until there is one: exactly what the API tells clients to do.
"""
import asyncio
import hashlib
import random
import threading
import time
import uuid

import house
from house import api, api_rpc, grpc

CHANNELS = 8
CALL_SECONDS = 8
# What the shard decided; everything else says nothing about what happened.
VERDICTS = {'SLOT_TAKEN', 'IDENTITY_QUOTA', 'HOLD_EXPIRED', 'HOLD_ENDED', 'HOLD_UNKNOWN',
            'RESERVATION_ENDED', 'RESERVATION_UNKNOWN', 'REQUEST_ID_REUSED', 'ETAG_MISMATCH',
            'POOL_UNKNOWN', 'SLOT_UNKNOWN', 'NOT_YOUR_RESERVATION'}  # the last: of a bad engine
WINDOW = 150  # slots that people fight for at a time


class Person:
    def __init__(self, load, number, token):
        self.load, self.identity = load, f'person-{number}'
        self.random = random.Random(f'{load.seed}-{number}')
        self.metadata = [('authorization', 'Bearer ' + token)]
        self.stub = load.stubs[number % CHANNELS]
        self.holds, self.reservations, self.asked = [], [], []

    async def attempt(self, op, body, request_id, method, request):
        """One call, written down; the answer, or None."""
        line = {'identity': self.identity, 'op': op, 'body': body, 'request_id': request_id,
                'invoke_ns': time.monotonic_ns(), 'outcome': 'unknown', 'reason': None,
                'answer': None, 'log_index': 0, 'name': None, 'slot': None, 'version': 0}
        self.load.in_flight += 1
        answer = None
        try:
            answer = await method(request, metadata=self.metadata, timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            refusal = house.Refused(error)
            line['reason'] = refusal.reason
            if refusal.reason in VERDICTS:
                line['outcome'] = 'refused'
        finally:
            self.load.in_flight -= 1
            line['return_ns'] = time.monotonic_ns()
        if answer is not None:
            bytes_told = answer.SerializeToString(deterministic=True)
            line.update(outcome='ok', name=answer.name, log_index=answer.log_index,
                        answer=hashlib.sha256(bytes_told).hexdigest()[:16],
                        slot=answer.slots[0].name, version=answer.slots[0].version,
                        state=type(answer).State.Name(answer.state).removeprefix('STATE_'))
        self.load.history.append(line)
        return line, answer

    async def settle(self, op, body, method, request):
        """Asks until there is a definite answer; None when it is a refusal."""
        self.asked = (self.asked + [(op, body, method, request)])[-5:]
        while True:
            line, answer = await self.attempt(op, body, request.request_id, method, request)
            if line['outcome'] != 'unknown' or self.load.given_up:
                return answer
            await asyncio.sleep(self.random.uniform(0.02, 0.2))

    async def hold(self):
        slot = self.load.pick(self.random)
        request = api.CreateHoldRequest(parent=slot.split('/slots/')[0], slot=slot,
                                        request_id=str(uuid.uuid4()))
        answer = await self.settle('hold', slot, self.stub.CreateHold, request)
        if answer is not None:
            self.holds.append(answer.name)

    async def confirm(self, name):
        request = api.ConfirmHoldRequest(name=name, request_id=str(uuid.uuid4()))
        answer = await self.settle('confirm', name, self.stub.ConfirmHold, request)
        if answer is not None:
            self.reservations.append(answer.name)

    async def drop(self, name):
        await self.settle('drop', name, self.stub.DropHold,
                          api.DropHoldRequest(name=name, request_id=str(uuid.uuid4())))

    async def cancel(self, name):
        await self.settle('cancel', name, self.stub.CancelReservation,
                          api.CancelReservationRequest(name=name, request_id=str(uuid.uuid4())))

    async def ask_again(self):
        """A request that was answered before: same answer, no second effect."""
        op, body, method, request = self.random.choice(self.asked)
        await self.attempt(op, body, request.request_id, method, request)

    async def read(self):
        if self.reservations:
            name = self.random.choice(self.reservations)
            await self.attempt('read_reservation', name, None, self.stub.GetReservation,
                               api.GetReservationRequest(name=name))
        elif self.holds:
            name = self.random.choice(self.holds)
            await self.attempt('read_hold', name, None, self.stub.GetHold,
                               api.GetHoldRequest(name=name))

    async def step(self):
        dice = self.random.random()
        if self.asked and dice < 0.08:
            await self.ask_again()
        elif dice < 0.14:
            await self.read()
        elif self.reservations and dice < 0.26:
            await self.cancel(self.reservations.pop(self.random.randrange(len(self.reservations))))
        elif self.holds and dice < 0.6:
            await self.confirm(self.holds.pop(0))
        elif self.holds and dice < 0.68:
            await self.drop(self.holds.pop())
        elif len(self.holds) + len(self.reservations) < self.load.max_live + 1:
            await self.hold()
        elif self.reservations:
            await self.cancel(self.reservations.pop(0))
        else:
            await self.confirm(self.holds.pop(0))

    async def live(self):
        while not self.load.ending:
            await self.step()


class Load:
    """start() -> people work in the background -> finish() -> history."""

    def __init__(self, target, tokens, slots, max_live, seed):
        self.target, self.tokens, self.slots = target, tokens, slots
        self.max_live, self.seed = max_live, seed
        self.history, self.in_flight, self.picked = [], 0, 0
        self.ending = self.given_up = False
        self.problem = None
        self.thread = threading.Thread(target=lambda: asyncio.run(self.main()), daemon=True)

    def pick(self, dice):
        """A slot near the front of those that nobody has tried: people meet there."""
        self.picked += 1
        front = min(self.picked * 2 // 3, max(0, len(self.slots) - WINDOW))
        return self.slots[front + dice.randrange(min(WINDOW, len(self.slots)))]

    async def main(self):
        options = [('grpc.initial_reconnect_backoff_ms', 50),
                   ('grpc.max_reconnect_backoff_ms', 100),
                   ('grpc.min_reconnect_backoff_ms', 50), ('grpc.use_local_subchannel_pool', 1)]
        channels = [grpc.aio.insecure_channel(self.target, options=options)
                    for _ in range(CHANNELS)]
        self.stubs = [api_rpc.ReservationServiceStub(channel) for channel in channels]
        self.people = [Person(self, n, token) for n, token in enumerate(self.tokens)]
        try:
            await asyncio.gather(*(person.live() for person in self.people))
        except Exception as problem:  # told to the test, which fails with it
            self.problem = problem
        for channel in channels:
            await channel.close()

    def start(self):
        self.thread.start()
        return self

    def finish(self, seconds=60):
        """Everybody ends the request they are at."""
        self.ending = True
        self.thread.join(seconds)
        self.given_up = True
        self.thread.join(20)
        assert not self.thread.is_alive(), f'{self.in_flight} calls hang'
        if self.problem:
            raise self.problem
        return self.history


def final_state(server, load, pools, short_pool):
    """What the engine says in the end, read over the API as each person."""
    operator = server.operator()
    slots, reservations, holds, missing = {}, {}, {}, []
    for pool in pools:
        try:
            listed = operator.slots(pool)
        except house.Refused as refusal:
            assert refusal.reason == 'POOL_UNKNOWN', refusal
            listed = []  # all is lost: the checker says so
        for slot in listed:
            slots[slot.name] = [type(slot).State.Name(slot.state).removeprefix('STATE_'),
                                slot.version]
    channel = grpc.insecure_channel(server.target)
    stub = api_rpc.ReservationServiceStub(channel)
    ended = {line['body'] for line in load.history
             if line['op'] in ('confirm', 'drop') and line['outcome'] == 'ok'}
    told = {}
    for line in load.history:
        if line['op'] == 'hold' and line['outcome'] == 'ok' and line['name'] not in ended:
            told.setdefault(line['identity'], set()).add(line['name'])
    for person in load.people:
        everything = api.ListReservationsRequest(parent='pools/-', page_size=1000)
        listed = stub.ListReservations(everything, metadata=person.metadata, timeout=10)
        assert not listed.next_page_token
        for found in listed.reservations:
            reservations[found.name] = [person.identity, type(found).State.Name(
                found.state).removeprefix('STATE_'), found.slots[0].name]
        for name in told.get(person.identity, ()):
            try:
                found = stub.GetHold(api.GetHoldRequest(name=name), metadata=person.metadata,
                                     timeout=10)
                holds[name] = [person.identity, type(found).State.Name(
                    found.state).removeprefix('STATE_'), found.slots[0].name]
            except grpc.RpcError as error:
                assert house.Refused(error).reason in ('HOLD_UNKNOWN', 'POOL_UNKNOWN'), error
                if not name.startswith(short_pool + '/'):
                    missing.append(name)
    channel.close()
    operator.close()
    return {'slots': slots, 'reservations': reservations, 'holds': holds, 'missing_holds': missing,
            'max_live': load.max_live}

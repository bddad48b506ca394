# SPDX-License-Identifier: MIT
"""What the tests of releases share: a city with scarce pools and releases, crowds that call many at
a time, and the bundle of a release, read and recomputed."""
import collections
import functools
import hashlib
import hmac
import http.client
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time

import grpc

from house import (BINARY, ROOT, SANITIZED, Client, Pair, Process, Refused, api, cluster,
                   eventually, new_id, resources)

sys.path.insert(0, os.path.join(ROOT, 'tests', 'draw'))
import verify  # noqa: E402

State = resources.Release.State
Ticket = resources.Ticket
ANY = resources.Preference(any=True)
BY_PREFERENCE, BY_TURN, FIRST_COME = 1, 2, 3
OVER = 256  # calls of a crowd under way
WINDOW_S = 8 if SANITIZED else 5  # room for a test's entries while others have the processor


def wishes(*wanted):
    """'any', a slot's name, or (from, to) in seconds."""
    found = []
    for want in wanted:
        if want == 'any':
            found.append(ANY)
        elif isinstance(want, str):
            found.append(resources.Preference(slot=want))
        else:
            preference = resources.Preference()
            preference.slot_class.from_time.seconds = int(want[0])
            preference.slot_class.to_time.seconds = int(want[1])
            found.append(preference)
    return found


class City:
    """Pools and releases of one server (house.Server or house.Pair), as its operator sees them."""

    def __init__(self, server):
        self.server = server  # started by the time that something is asked of it

    @functools.cached_property
    def operator(self):
        return self.server.operator()

    def pool(self, name, slots, **fields):
        """A scarce pool; its name and its slots' names."""
        fields.setdefault('max_live', 1)
        desks = fields.pop('desks', 2)
        pool = self.operator.make_pool(name, scarce=True, **fields)
        return pool.name, self.operator.make_slots(pool.name, slots, desks=desks)

    def release(self, pool, name='r', serving=BY_PREFERENCE, wait=True, **fields):
        """Its name; in ENTRY, unless that is not waited for."""
        request = cluster.CreateReleaseRequest(
            parent=pool, release_id=name, request_id=new_id(),
            release=make_release(serving=serving, **fields))
        made = self.operator.CreateRelease(request).name
        if wait:
            self.wait(made, State.STATE_SERVING if serving == FIRST_COME else State.STATE_ENTRY)
        return made

    def get(self, release):
        return self.operator.GetRelease(api.GetReleaseRequest(name=release))

    def change(self, verb, release):
        return getattr(self.operator, verb)(
            cluster.OpenReleaseRequest(name=release, request_id=new_id()))

    def wait(self, release, *states, seconds=60):
        return eventually(lambda: self.get(release).state in states, seconds=seconds)

    def standby(self, release):
        self.wait(release, State.STATE_STANDBY)

    def end(self, release):
        self.change('CloseRelease', release)
        self.wait(release, State.STATE_CLOSED)

    def drawn(self, pool_id, slots=4, people=10, wanted=('any',), **fields):
        """(release, crowd) in standby: everybody was served once.  A number k among the wanted:
        the i-th wishes slot i * k."""
        pool, made = self.pool(pool_id, slots)
        crowd = self.crowd(pool_id, people)
        release = self.release(pool, **fields)
        answered(crowd.enter(release, lambda i: [
            w if w == 'any' else made[i * w % slots] for w in wanted]))
        self.standby(release)
        return release, crowd

    def person(self, name, **claims):
        return self.server.person(name, **claims)

    def crowd(self, prefix, count, channels=1):
        return Crowd(self.server, prefix, count, channels)

    def bundle(self, release, *options):
        return Bundle(self.server, release, *options)


class TwoDoors(Pair):
    """One shard behind two gateways, all processes of their own."""

    def start(self):
        super().start()
        self.second = Process('gateway', '--data', self.data, '--shard', self.shard_url,
                              '--listen', '127.0.0.1:0')
        self.doors = [self.target, self.second.wait_ready('grpc')]
        return self

    def at(self, door, subject, **claims):
        """A person, through that gateway."""
        return Client(self.doors[door], self.tokens(subject, **claims)[0])

    def connect(self, address, method, token, body, door=0, headers_out=None):
        """Connect with JSON over HTTP/1.1, from a source address of one's choice; what it said."""
        host, port = self.doors[door].split(':')
        line = http.client.HTTPConnection(host, int(port), timeout=20, source_address=(address, 0))
        headers = {'Content-Type': 'application/json', 'Connect-Protocol-Version': '1'}
        if token:
            headers['Authorization'] = 'Bearer ' + token
        line.request('POST', '/fairslot.v1.' + method, json.dumps(body), headers)
        answer = line.getresponse()
        if headers_out is not None:
            headers_out.update({k.lower(): v for k, v in answer.getheaders()})
        said = json.loads(answer.read())
        line.close()
        return said

    def close(self):
        try:
            code = self.second.stop()
            assert code == 0, f'second gateway: exit code {code}: {self.second.talk[-20:]}'
        finally:
            super().close()


def make_release(serving=BY_PREFERENCE, open_s=0, window_s=WINDOW_S, grace_s=0, close_s=None,
                 **fields):
    """The message; times in seconds from now, lengths in seconds (turn_s, accept_s, cohort_s,
    parts_wait_s)."""
    now = time.time()
    release = resources.Release(serving=serving)
    for name in ('turn', 'accept', 'cohort', 'parts_wait'):
        length = fields.pop(name + '_s', None)
        if length is not None:
            getattr(release, name if name == 'parts_wait' else name + '_length').seconds = length
    release.MergeFrom(resources.Release(**fields))
    release.entry_open_time.FromMicroseconds(int((now + open_s) * 1e6))
    release.entry_close_time.FromMicroseconds(int((now + open_s + window_s) * 1e6))
    release.entry_grace.seconds = grace_s
    if close_s is not None:
        release.close_time.FromMicroseconds(int((now + close_s) * 1e6))
    release.slots_start_time.seconds = math.ceil(now) + 7200
    release.slots_end_time.seconds = int(now) + 40 * 86400
    return release


def enter(who, release, *wanted, slot_count=1, request_id=None):
    return who.CreateTicket(api.CreateTicketRequest(
        parent=release, preferences=wishes(*wanted), slot_count=slot_count,
        request_id=request_id or new_id()))


def mine(who, release):
    return who.GetTicket(api.GetTicketRequest(name=release + '/tickets/me'))


def ranked(people, release):
    """In the order of their ranks, which each of them has.  Whoever has asked often is told for
    min_poll_interval what was true before."""
    def order():
        ranks = {person: mine(person, release).rank for person in people}
        return all(ranks.values()) and sorted(people, key=ranks.get)
    return eventually(order, every=1.1)


def leave(who, release):
    return who.DeleteTicket(api.DeleteTicketRequest(name=release + '/tickets/me',
                                                    request_id=new_id()))


def proof_of(who, release):
    return who.GetTicketProof(api.GetTicketProofRequest(name=release + '/tickets/me'))


class Crowd:
    """Many people over few connections: their tokens differ, as behind a web front end."""

    def __init__(self, server, prefix, count, channels=1):
        self.tokens = server.tokens(prefix, count=count)
        self.lines = [Client(server.target) for _ in range(channels)]
        self.people = [self.member(i) for i in range(count)]

    def member(self, number):
        """One of them, to be used as a Client of its own."""
        line = self.lines[number % len(self.lines)]
        who = object.__new__(Client)
        who.__dict__.update(line.__dict__, token=self.tokens[number])
        return who

    def __iter__(self):
        return iter(self.people)

    def __len__(self):
        return len(self.people)

    def __getitem__(self, number):
        return self.people[number]

    def all(self, method, requests, timeout=60):
        """(number, request) pairs -> {number: answer or Refused}; many at a time."""
        answers, waiting = {}, collections.deque()

        def collect():
            number, future = waiting.popleft()
            try:
                answers[number] = future.result()
            except grpc.RpcError as error:
                answers[number] = Refused(error)

        for number, request in requests:
            stub = next(s for s in self.people[number].stubs if hasattr(s, method))
            waiting.append((number, getattr(stub, method).future(
                request, metadata=self.people[number].metadata(), timeout=timeout)))
            if len(waiting) == OVER:
                collect()
        while waiting:
            collect()
        return answers

    def enter(self, release, wanted):
        """wanted(number) -> wishes."""
        return self.all('CreateTicket', (
            (i, api.CreateTicketRequest(parent=release, preferences=wishes(*wanted(i)),
                                        slot_count=1, request_id=new_id()))
            for i in range(len(self))))

    def tickets(self, release, numbers=None):
        name = release + '/tickets/me'
        numbers = range(len(self)) if numbers is None else numbers
        return self.all('GetTicket', ((i, api.GetTicketRequest(name=name)) for i in numbers))

    def confirm(self, holds):
        """{number: hold} -> {number: reservation or Refused}"""
        return self.all('ConfirmHold', (
            (i, api.ConfirmHoldRequest(name=hold, request_id=new_id()))
            for i, hold in holds.items()))


def answered(answers):
    """All of them were; else the first refusal is raised."""
    for answer in answers.values():
        if isinstance(answer, Refused):
            raise answer
    return answers


class Bundle:
    """A release's bundle as `fairslot release report` wrote it; a folder that goes with it."""

    def __init__(self, server, release, *options):
        self.folder = tempfile.mkdtemp(prefix='fairslot bundle ')
        self.release = release
        env = dict(os.environ, FAIRSLOT_TARGET=server.target,
                   FAIRSLOT_TOKEN_FILE=os.path.join(server.data, 'operator.token'))
        done = subprocess.run([BINARY, 'release', 'report', release, '--bundle', self.folder,
                               *options], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def read(self, name):
        with open(self.path(name), 'rb') as file:
            return file.read()

    def write(self, name, data):
        with open(self.path(name), 'wb') as file:
            file.write(data)

    def files(self):
        """{name: bytes}: all of it."""
        return {name: self.read(name) for name in sorted(os.listdir(self.folder))}

    def parts(self):
        return dict(line.split(': ', 1) for line in self.read('parts').decode().splitlines())

    def outcome(self):
        """Rows of (cohort, rank, ticket id, result, wish, slots), in the order of serving."""
        rows = [line.split(' ') for line in self.read('outcome').decode().splitlines()]
        return [(int(r[0]), int(r[1], 16), r[2], r[3], r[4], r[5]) for r in rows]

    def rank(self, ticket_id):
        """As docs/draw.md has it; ticket_id in hex."""
        seed = bytes.fromhex(self.parts()['seed'])
        return int.from_bytes(
            hmac.new(seed, bytes.fromhex(ticket_id), hashlib.sha256).digest()[:8], 'big')

    def ours(self):
        """What `fairslot release verify` says: exit code and text."""
        done = subprocess.run([BINARY, 'release', 'verify', self.folder], capture_output=True,
                              text=True)
        return done.returncode, done.stdout + done.stderr

    def both(self):
        """Both verifiers must find that it holds; what they say."""
        code, ours = self.ours()
        assert code == 0, ours
        return ours, verify.verify(self.folder)

    def both_reject(self, file):
        """Both must find that it does not hold, and name this file; what they say."""
        code, ours = self.ours()
        assert code != 0 and file in ours, ours
        try:
            said = verify.verify(self.folder)
        except verify.Finding as finding:
            assert finding.file == file, finding
            return ours, str(finding)
        raise AssertionError(f'the second verifier found nothing: {said}')


def path_root(proof):
    """The root that a TicketProof leads to: RFC 9162 2.1.3.2."""
    node, fn, sn = proof.leaf, proof.leaf_index, proof.leaf_count - 1
    for sibling in proof.path:
        if fn & 1 or fn == sn:
            node = verify.h(b'\1', sibling, node)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            node = verify.h(b'\1', node, sibling)
        fn, sn = fn >> 1, sn >> 1
    assert sn == 0
    return node

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: no answer leaves before the fsync that covers it.

kill -9 cannot show a missing fsync, because the page cache survives; so strace watches which bytes
go where, and the order is proved for every mutation, one client alone and many at once.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'e2e'))

import house  # noqa: E402
import straced  # noqa: E402
import tap  # noqa: E402

ALONE, CROWD, EACH = 40, 20, 8


def can_trace():
    if house.SANITIZED:
        raise tap.Skip('leak checks and strace exclude each other')
    if not shutil.which('strace'):
        raise tap.Skip('strace is not installed')
    probe = subprocess.run(['strace', '-f', '-o', '/dev/null', 'true'], capture_output=True,
                           text=True)
    if probe.returncode != 0:
        raise tap.Skip('strace is not permitted here: ' + probe.stderr.strip().split('\n')[-1])


def book(client, slots, told):
    """Hold and confirm each; (request id, name in the answer) of every mutation."""
    for slot in slots:
        ids = [str(uuid.uuid4()) for _ in range(2)]
        hold = client.hold(slot, request_id=ids[0])
        taken = client.confirm(hold.name, request_id=ids[1])
        told += [(ids[0], hold.name), (ids[1], taken.name)]


def mutations_under_strace(folder, binary=house.BINARY):
    """A trace, and what was told meanwhile."""
    output = os.path.join(folder, 'trace')
    server = house.Server(os.path.join(folder, 'data'), wrapper=straced.command(output),
                          binary=binary).start()
    told = []
    try:
        operator = server.operator()
        operator.make_pool('sync', max_live=16)
        slots = operator.make_slots('pools/sync', ALONE + CROWD * EACH, desks=20)
        people = [house.Client(server.target, token, timeout=60)
                  for token in server.tokens('person', count=CROWD + ALONE // EACH)]
        for _ in range(ALONE // EACH):
            book(people.pop(), [slots.pop() for _ in range(EACH)], told)
        threads = [threading.Thread(target=book, args=(
            person, [slots.pop() for _ in range(EACH)], told)) for person in people]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        server.stop()
    return straced.Trace(output, '/shard/log/'), told


def early_answers(watched, told):
    """Mutations whose answer left before they were on disk, or that never were on disk."""
    early = []
    for request_id, name in told:
        durable = watched.durable(uuid.UUID(request_id).bytes)
        answered = watched.answered(name.encode())
        assert answered is not None, f'the answer {name} is not in the trace'
        if durable is None or answered < durable:
            early.append(f'{name}: answered at {answered}, durable at {durable}')
    return early


def test_answers_leave_after_their_fsync():
    can_trace()
    folder = tempfile.mkdtemp(prefix='fairslot-fsync-')
    try:
        watched, told = mutations_under_strace(folder)
        early = early_answers(watched, told)
        print(f'# {len(told)} mutations, {len(watched.tail_data)} writes of the tail, '
              f'{len(watched.log_syncs)} syncs of the tree, '
              f'{len(early)} answered early', flush=True)
        assert len(told) == 2 * (ALONE + CROWD * EACH), len(told)
        assert not early, '\n'.join(early[:10])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == '__main__':
    tap.run(globals())

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Replicas with a planted fault among them: what the checks between replicas are for is seen."""
import json
import os
import shutil
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'durability'))

from house import BINARY, SANITIZED, eventually, run  # noqa: E402
import plant  # noqa: E402
import tap  # noqa: E402
from trio import MEMBERS, Trio, patient  # noqa: E402

FOLDER = tempfile.mkdtemp(prefix='fairslot-plant-')


def before():
    if SANITIZED:
        raise tap.Skip('planted once, in the plain build')


def after():
    shutil.rmtree(FOLDER, ignore_errors=True)


def fill(trio, entries):
    """That many entries in the log, at least."""
    operator, leader = trio.operator(), trio.leader()
    until = trio.metric(leader, 'shard_log_index') + entries
    skip = 0
    while trio.metric(trio.leader(), 'shard_log_index') < until:
        run('bench', 'shard', '--target', trio.doors[trio.leader()], '--seconds', 1, '--rate', 2000,
            '--identities', 2000, '--slots', 20000, '--batch', 1, '--skip', skip, check=None)
        skip += 2000
    operator.close()


def test_another_state_stops_its_replica():
    program = plant.build('PLANT_REPLAY_LOSES', FOLDER)
    trio = Trio()
    trio.start()
    sick = trio.followers()[0]
    trio.shards[sick].kill()
    trio.binaries[sick] = program
    process = trio.start_shard(sick)
    process.wait_ready('shard')
    fill(trio, 2500)
    eventually(lambda: not process.alive(), seconds=60)
    eventually(lambda: {'STATE_DIFFERS', 'NODE_DOWN'} <= problems(trio, sick), seconds=30)
    said = '\n'.join(process.talk)
    assert process.child.returncode != 0 and 'another state' in said and 'remove' in said, said
    well = [i for i in MEMBERS if i != sick]
    assert all(trio.shards[i].alive() for i in well)
    patient(lambda: trio.operator().make_pool('after'))
    trio.level(well)
    trio.close()


def verb(trio, *words):
    env = {'FAIRSLOT_TARGET': trio.target,
           'FAIRSLOT_TOKEN_FILE': os.path.join(trio.data, 'operator.token')}
    return run(*words, check=None, env=env)


def problems(trio, node):
    """Kinds of that node's, as whoever leads sees it; nothing while nobody answers."""
    done = verb(trio, 'cluster', 'problems', '-o', 'json')
    found = json.loads(done.stdout)['problems'] if done.stdout else []
    assert all(p['text'] and p['nextStep'] for p in found), found
    return {p['kind'] for p in found if p['node'] == f'nodes/{node}'}


def cordon(trio, node):
    """What the verb says, and its exit code."""
    done = verb(trio, 'node', 'cordon', node)
    return done.returncode, done.stderr


def older(program):
    """Its version is one of before, in as many bytes."""
    version = run('--version').stdout.split()[1].encode()
    with open(program, 'r+b') as file:
        text = file.read().replace(version + b'\0', version[:-1] + b'x\0')
        file.seek(0)
        file.write(text)
    return program


def test_newer_rules_wait_for_all():
    """A program of before among newer ones: what it does not know is kept out of its log, until it
    is a newer one as well."""
    before_it = older(plant.build('LEDGER_VERSION=3', FOLDER, mark='LEDGER_VERSION'))
    trio = Trio(binaries={1: before_it})
    trio.start()
    patient(lambda: trio.operator().make_pool('mixed'))
    # Refused, or nobody leads at this moment of a busy machine.
    eventually(lambda: 'METHOD_PLANNED' in cordon(trio, 2)[1], seconds=30)
    leader = trio.leader()
    eventually(lambda: 'VERSIONS' in (problems(trio, 1) if leader != 1 else problems(trio, 2)),
               seconds=30)  # all have said what they are
    eventually(lambda: 'METHOD_PLANNED' in cordon(trio, 2)[1], seconds=30)
    trio.level()
    assert trio.shards[1].alive()
    assert trio.shards[1].stop() == 0, trio.shards[1].talk[-10:]
    eventually(lambda: 'METHOD_PLANNED' in cordon(trio, 2)[1], seconds=30)  # it may come back
    trio.binaries[1] = BINARY
    trio.start_shard(1).wait_ready('shard')
    eventually(lambda: cordon(trio, 2)[0] == 0, seconds=30)
    trio.level()
    trio.close()


def test_a_lost_disk_that_is_heard():
    """Without the check the blank replica goes on, and test_replicas would fail: so it can."""
    program = plant.build('PLANT_ANY_DISK', FOLDER)
    trio = Trio(binaries={i: program for i in MEMBERS})
    trio.start()
    away = trio.followers()[0]
    trio.shards[away].kill()
    shutil.rmtree(trio.folder(away))
    process = trio.start_shard(away)
    process.wait_ready('shard')
    time.sleep(3)
    assert process.alive()
    assert not any('FS-3022' in line for shard in trio.shards.values() for line in shard.talk)
    trio.close()


if __name__ == '__main__':
    tap.run(globals(), before, after)

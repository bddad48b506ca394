#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A replica that was away while all others were replaced: it knows none of those who are there now,
and still comes back; without its disk it is told so, and ends."""
import json
import os
import shutil

from house import Process, eventually, run
import tap
from trio import Trio, free_ports, patient

NEW = (4, 5)
TRIO = Trio()
ENV = {}


def before():
    """The gateway knows the doors of the new ones, too."""
    for i, (door, peers, ops) in zip(NEW, (free_ports(3) for _ in NEW)):
        TRIO.doors[i] = f'tcp://127.0.0.1:{door}'
        TRIO.peers[i] = f'tcp://127.0.0.1:{peers}'
        TRIO.ops[i] = f'127.0.0.1:{ops}'
    TRIO.start()
    TRIO.process.stop()
    doors = [word for door in TRIO.doors.values() for word in ('--shard', door)]
    TRIO.process = Process('gateway', '--data', TRIO.data, *doors,
                           '--listen', f'127.0.0.1:{TRIO.port}')
    TRIO.process.wait_ready('grpc')
    ENV.update(FAIRSLOT_TARGET=TRIO.target,
               FAIRSLOT_TOKEN_FILE=os.path.join(TRIO.data, 'operator.token'))
    patient(lambda: TRIO.operator().make_pool('strangers'))


def verb(*words):
    return run(*words, env=ENV).stdout


def nodes():
    """As the one that leads knows them; None while nobody does."""
    said = run('cluster', 'status', '-o', 'json', check=None, env=ENV).stdout
    view = json.loads(said) if said else {'shards': [{'leader': ''}]}
    return view['shards'][0]['leader'] and {node['name'] for node in view['nodes']}


def changed(words):
    """It was answered that it is so; asked again where an election was in the way."""
    done = run('node', *words, check=None, env=ENV)
    return done.returncode == 0 or 'NODE_UNKNOWN' in done.stderr


def test_what_was_answered_is_kept():
    """The leader is killed as soon as it has said that a node is added, or removed."""
    for words in (('add', '9', '--peer', f'tcp://127.0.0.1:{free_ports(1)[0]}'), ('remove', '9')):
        eventually(nodes)
        leader = TRIO.leader()
        eventually(lambda change=words: changed(change))
        TRIO.shards[leader].kill()
        assert ('nodes/9' in eventually(nodes)) == (words[0] == 'add')
        TRIO.start_shard(leader).wait_ready('shard')
        TRIO.level()


def test_the_others_are_replaced():
    name = json.loads(verb('cluster', 'status', '-o', 'json'))['name'].removeprefix('clusters/')
    TRIO.level()
    TRIO.shards[1].kill()
    for i in NEW:
        TRIO.shards[i] = Process(
            'shard', '--data', TRIO.folder(i), '--listen', TRIO.doors[i], '--id', str(i),
            '--join', name, '--peers-listen', TRIO.peers[i], '--set',
            f'shard.signing_key={TRIO.key}', '--set', f'ops.listen={TRIO.ops[i]}')
        TRIO.shards[i].wait_ready('shard')
        verb('node', 'add', str(i), '--peer', TRIO.peers[i], '--watch', '--timeout', '60s')

    def four_leads():  # a busy machine may let a hand-over time out: asked again
        run('shard', 'leader', '1', '--to', '4', check=None, env=ENV)
        return TRIO.metric(4, 'shard_leader') == 1
    eventually(four_leads, every=0.5)
    for i in (2, 3):
        verb('node', 'remove', str(i), '--watch', '--timeout', '60s')
        TRIO.shards[i].kill()


def test_it_comes_back():
    TRIO.start_shard(1).wait_ready('shard')
    patient(lambda: TRIO.operator().make_pool('since-then'))
    TRIO.level((1, *NEW))


def test_without_its_disk_it_is_told():
    TRIO.shards[1].kill()
    shutil.rmtree(TRIO.folder(1))
    shard = TRIO.start_shard(1)
    code = shard.wait(seconds=60)
    assert code != 0 and 'another disk' in ' '.join(shard.talk), (code, shard.talk[-20:])


if __name__ == '__main__':
    tap.run(globals(), before, TRIO.close)

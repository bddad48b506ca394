#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: a network that swallows packets, without a word to either side, holds nobody for long.

Three network namespaces of its own: gateway and people | router | shard, or a client that vanishes.
The router swallows by a blackhole route: no reset, no ICMP, nothing.  The test runs itself again
inside the first one, and takes all of them down at the end.
"""
import os
import subprocess
import sys
import time
import urllib.request

import house
import tap
from house import api

NAMES = {role: f'fairslot-{os.environ.get("FAIRSLOT_SWALLOW", os.getpid())}-{role}'
         for role in ('near', 'router', 'far')}
NEAR, FAR = '198.51.100.1', '198.51.100.5'  # documentation's addresses: nobody's (RFC 5737)
PAIR = house.Pair()
CLIENT = '''
import sys, grpc
channel = grpc.insecure_channel(sys.argv[1])
grpc.channel_ready_future(channel).result(20)
watch = channel.unary_stream('/grpc.health.v1.Health/Watch')(b'')
next(watch)
print('up', flush=True)
for _ in watch:
    pass
'''


def ip(*words):
    subprocess.run(['ip', *words], check=True, capture_output=True, timeout=20)


def build():
    for name in NAMES.values():
        ip('netns', 'add', name)
        ip('-n', name, 'link', 'set', 'lo', 'up')
    for role, own, other in ('near', NEAR, '198.51.100.2'), ('far', FAR, '198.51.100.6'):
        ip('link', 'add', 'out', 'netns', NAMES[role], 'type', 'veth', 'peer', 'name', role,
           'netns', NAMES['router'])
        for name, link, address in (NAMES[role], 'out', own), (NAMES['router'], role, other):
            ip('-n', name, 'addr', 'add', address + '/30', 'dev', link)
            ip('-n', name, 'link', 'set', link, 'up')
        ip('-n', NAMES[role], 'route', 'add', 'default', 'via', other)
    ip('netns', 'exec', NAMES['router'], 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward')


def outside():
    """Builds, runs the tests inside, takes down; the exit code."""
    try:
        build()
        words = ['ip', 'netns', 'exec', NAMES['near'], sys.executable, '-B', *sys.argv]
        env = {**os.environ, 'FAIRSLOT_SWALLOW': str(os.getpid())}
        return subprocess.run(words, env=env, check=False).returncode
    except (OSError, subprocess.CalledProcessError) as error:
        print(f'1..0 # SKIP no network namespaces here: {error}')
        return 0
    finally:
        for name in NAMES.values():
            subprocess.run(['ip', 'netns', 'del', name], check=False, capture_output=True)


class Swallowed:
    """Inside the block no packet gets to the far side, nor back."""

    def __enter__(self):
        for address in NEAR, FAR:
            ip('-n', NAMES['router'], 'route', 'add', 'blackhole', address + '/32')

    def __exit__(self, *problem):
        for address in NEAR, FAR:
            ip('-n', NAMES['router'], 'route', 'del', 'blackhole', address + '/32')


def far(*words):
    return ['ip', 'netns', 'exec', NAMES['far'], *words]


def before():
    global ANNA, SLOTS
    PAIR.shard = house.Process('shard', '--data', PAIR.data, '--insecure', '--listen',
                               f'tcp://{FAR}:17701', wrapper=far())
    PAIR.shard.wrapped = False  # ip becomes what it starts
    PAIR.shard_url = PAIR.shard.wait_ready('shard')
    PAIR.process = house.Process(
        'gateway', '--data', PAIR.data, '--shard', PAIR.shard_url, '--listen', '0.0.0.0:0',
        '--insecure', '--set', 'ops.listen=127.0.0.1:0', '--set', 'connection.keepalive=1s',
        '--set', 'connection.keepalive_timeout=1s')
    PAIR.port = int(PAIR.process.wait_ready('grpc').rpartition(':')[2])
    operator, ANNA = PAIR.operator(), PAIR.person('anna')
    operator.make_pool('far', max_live=16)
    SLOTS = operator.make_slots('pools/far', 5)
    operator.close()


def metric(series):
    with urllib.request.urlopen(f"http://{PAIR.process.ready['ops']}/metrics", timeout=10) as page:
        for line in page.read().decode().splitlines():
            if line.startswith(f'fairslot_{series} '):
                return float(line.rpartition(' ')[2])
    return 0


def test_a_client_that_vanishes_is_found_by_the_ping():
    there = metric('connections')
    client = subprocess.Popen(far(sys.executable, '-c', CLIENT, f'{NEAR}:{PAIR.port}'),
                              stdout=subprocess.PIPE, text=True)
    try:
        assert client.stdout.readline() == 'up\n'
        assert metric('connections') == there + 1
        time.sleep(5)
        assert metric('connections') == there + 1, 'it answers pings, so it stays'
        silent = metric('connections_silent_total')
        with Swallowed():
            began = time.monotonic()
            house.eventually(lambda: metric('connections') == there, 30, 0.1)
            print(f'# found after {time.monotonic() - began:.1f} s')
            assert metric('connections_silent_total') == silent + 1
    finally:
        client.kill()
        client.wait()


def test_a_shard_that_vanishes_is_told():
    taken = ANNA.hold(SLOTS[0])
    watch = ANNA.stubs[0].WatchSlots(api.WatchSlotsRequest(parent='pools/far'), timeout=120,
                                     metadata=ANNA.metadata())
    assert next(watch)
    with Swallowed():
        began = time.monotonic()
        for client_s in 10, 20:
            refusal = None
            asked = time.monotonic()
            try:
                ANNA.GetPool(api.GetPoolRequest(name='pools/far'), timeout=client_s)
            except house.Refused as error:
                refusal = error
            took = time.monotonic() - asked
            assert refusal and (refusal.code, refusal.reason) == (14, 'NO_LEADER'), refusal
            assert refusal.retry_s > 0 and took < 9, (refusal, took)
            print(f'# told after {took:.1f} s')
        try:
            for _ in watch:
                pass
            raise AssertionError('the stream ended well')
        except house.grpc.RpcError as error:
            refusal = house.Refused(error)
        took = time.monotonic() - began
        assert (refusal.code, refusal.reason) == (14, 'NO_LEADER') and took < 20, (refusal, took)
        print(f'# watchers were told after {took:.1f} s at most')
    began = time.monotonic()
    house.eventually(ANNA.reaches, 90, 0.2)
    print(f'# reached again after {time.monotonic() - began:.1f} s')
    assert ANNA.confirm(taken.name).name, 'what was held is held'


if __name__ == '__main__':
    if 'FAIRSLOT_SWALLOW' not in os.environ:
        sys.exit(outside())
    tap.run(globals(), before, PAIR.close)

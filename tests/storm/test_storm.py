#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: malformed frames, tokens, messages and headers, by the hundred thousand, over every
protocol, while honest people book: no crash, no memory that stays, nobody honest refused.

usage: test_storm.py STORM [COUNT]     COUNT: 200,000; 10,000,000 with --soak
The honest p99 beside the storm is printed with the quiet one; only a soak run asserts on it, as
it needs a machine with nobody else on it.
"""
import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'e2e'))

import house  # noqa: E402
import tap  # noqa: E402

STORM = sys.argv[1]
SOAK = bool(os.environ.get('FAIRSLOT_SOAK'))
COUNT = int(sys.argv[2]) if len(sys.argv) > 2 else (
    10000000 if SOAK else 20000 if house.SANITIZED else 200000)
SEED = os.environ.get('FAIRSLOT_SEED', '20310303')
SERVER = house.Pair()  # two processes: the gateway's memory is its own
TOKENS, QUIET = None, {}


def before():
    global TOKENS
    SERVER.start()
    SERVER.operator().make_pool('storm')
    TOKENS = os.path.join(SERVER.data, 'people.tokens')
    with open(TOKENS, 'w', encoding='utf-8') as file:
        file.write('\n'.join(house.mint(SERVER.data, 'person', count=20)) + '\n')
    with open(TOKENS + '.bad', 'w', encoding='utf-8') as file:
        file.write(SERVER.tokens('mallory')[0] + '\n')


def after():
    SERVER.close()


def storm(count, seed, rate=0):
    return subprocess.Popen([STORM, str(SERVER.port), TOKENS + '.bad', str(count), str(seed),
                             str(rate)],
                            stdout=subprocess.PIPE, text=True)


def honest(seconds):
    """What twenty people who ask all the time get."""
    done = house.run('bench', 'reads', '--target', SERVER.target, '--tokens-file', TOKENS,
                     '--connections', 20, '--streams', 1, '--seconds', round(seconds), check=None,
                     env={'ASAN_OPTIONS': 'detect_leaks=0'})  # the bench's own
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout)


def asked(seconds):
    """The same, of three turns the one with the middle p99 when it is to be compared."""
    turns = [honest(seconds / 3) for _ in range(3)] if SOAK else [honest(seconds)]
    whole = sorted(turns, key=lambda turn: turn['p99_us'])[len(turns) // 2]
    for what in ('rpcs', 'failed', 'refused'):
        whole[what] = sum(turn[what] for turn in turns)
    return whole


def memory():
    """Resident KiB of the gateway."""
    with open(f'/proc/{SERVER.process.pid}/status', encoding='ascii') as file:
        return next(int(line.split()[1]) for line in file if line.startswith('VmRSS'))


def test_quiet():
    QUIET.update(asked(30 if SOAK else 3))
    first = storm(min(COUNT // 4, 100000), int(SEED) + 1)  # pools, caches and tables fill once
    honest(1)
    assert first.wait(600) == 0
    time.sleep(3)
    QUIET['memory'] = memory()


def test_storm():
    pid = SERVER.process.pid
    # A soak run leaves the two cores room to measure in; else as fast as it goes.
    blow = storm(COUNT, SEED, rate=20000 if SOAK else 0)
    try:
        answers = asked(30 if SOAK else 3)
        out, _ = blow.communicate(timeout=3000)
    finally:
        blow.kill()
    assert blow.returncode == 0, 'the gateway cannot be reached any more'
    assert SERVER.alive() and SERVER.process.pid == pid, SERVER.process.talk[-20:]
    thrown = json.loads(out)
    print(f'# {out.strip()}')
    assert thrown['thrown'] >= COUNT
    assert min(thrown[kind] for kind in ('frames', 'tokens', 'messages', 'headers', 'http1')) > 0
    assert answers['failed'] == 0 and answers['refused'] == 0, answers
    print(f'# honest p99: {QUIET["p99_us"]} us quiet, {answers["p99_us"]} us beside the storm; '
          f'{QUIET["rpcs"]} and {answers["rpcs"]} calls')
    assert not SOAK or answers['p99_us'] <= 2 * QUIET['p99_us'], (QUIET, answers)


def test_memory_comes_back():
    def settled():
        return memory() <= QUIET['memory'] * 1.05 + 512  # KiB: what the allocator keeps
    try:
        if not house.SANITIZED:  # freed blocks wait in its quarantine
            house.eventually(settled, seconds=30, every=0.5)
    finally:
        print(f'# {QUIET["memory"]} KiB before, {memory()} KiB after', flush=True)


def test_everybody_is_served():
    somebody = SERVER.person('anna')
    assert somebody.reaches()
    somebody.close()
    sick = [line for line in SERVER.process.talk if 'CHECK' in line or 'INTERNAL' in line]
    assert not sick, sick[:10]


if __name__ == '__main__':
    tap.run(globals(), before, after)

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: `fairslot demo` shows what it claims, in numbers that it measured: the firm takes what it
can first come, first served, and its share in a window and in a draw; it leaves a page and nothing
else, also on ^C.
"""
import json
import math
import os
import signal
import subprocess
import tempfile
import time

import house
import page_kit
import tap

PEOPLE, FIRM, SLOTS = 300, 60, 40
SECONDS = '9' if house.SANITIZED else '5'
SCRATCH = tempfile.TemporaryDirectory(prefix='fairslot demo ')
MODES = ('fcfs', 'live', 'draw')


def start(*words):
    """With a TMPDIR of its own, so that what is left behind is seen."""
    return subprocess.Popen(
        [house.BINARY, 'demo', '--people', str(PEOPLE), '--firm', str(FIRM), '--slots', str(SLOTS),
         '--seconds', SECONDS, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        cwd=SCRATCH.name, env={**os.environ, 'TMPDIR': SCRATCH.name, 'NO_COLOR': '1'})


def left_behind():
    return [name for name in os.listdir(SCRATCH.name) if name.startswith('fairslot-demo.')
            and not name.endswith('.html')]


def sigma():
    """Of a fair draw without replacement."""
    n, part = PEOPLE + FIRM, FIRM / (PEOPLE + FIRM)
    return math.sqrt(SLOTS * part * (1 - part) * (n - SLOTS) / (n - 1))


def test_the_same_release_three_ways():
    page = os.path.join(SCRATCH.name, 'page.html')
    demo = start('--html', page, '--json')  # to stdout: then it is JSON alone
    out, said = demo.communicate(timeout=200)
    assert demo.returncode == 0, said
    told = json.loads(out)
    assert tuple(told['modes']) == MODES
    fair = FIRM * SLOTS / (PEOPLE + FIRM)
    for name in MODES:
        mode = told['modes'][name]
        check_accounts(mode)
        low, high = mode['fair_range']
        assert low <= fair <= high and high - low < 6 * sigma(), mode['fair_range']
        share = mode['bot_slots'] / SLOTS / (FIRM / (PEOPLE + FIRM))
        assert abs(mode['bot_advantage'] - share) < 0.001
        print(f'# {name}: {mode["bot_slots"]} of {SLOTS}, fair {low} to {high}')
    assert told['modes']['fcfs']['bot_slots'] >= 0.9 * SLOTS, 'the enemy is a real one'
    for name in ('live', 'draw'):
        assert abs(told['modes'][name]['bot_slots'] - fair) < 5 * sigma(), name
    for word in ('first come', 'live window', 'draw', 'fair share', page, 'Next:'):
        assert word in said, said
    with open(page, encoding='utf-8') as file:
        html = file.read()
    taken = told['modes']['fcfs']['bot_slots']
    assert f'<h1>First come, first served gave {taken} of {SLOTS} slots' in html
    assert 'http://' not in html and 'https://' not in html and '<script' not in html
    assert left_behind() == []


def test_its_page_on_wide_and_narrow_screens():
    page = os.path.join(SCRATCH.name, 'page.html')
    page_kit.need()
    if not os.path.exists(page):
        raise tap.Skip('there is none')
    for width, dark in zip(page_kit.WIDTHS, (False, True)):
        first = page_kit.check(page, width, dark)
        assert f'of {SLOTS} slots to the {FIRM} identities of the bots' in first, first


def check_accounts(mode):
    requests, audit = mode['requests'], mode['audit']
    assert requests['sent'] == sum(requests[k] for k in (
        'answered', 'refused', 'timed_out', 'cancelled')), requests
    assert requests['unaccounted'] == requests['garbled'] == 0
    assert audit['done'] and audit['taken'] == audit['reservations'] == SLOTS, (audit, requests)
    assert not any(audit[k] for k in ('oversold', 'double_booked', 'lost', 'unheard')), audit
    assert sum(p['slots'] for p in mode['populations']) == SLOTS
    assert sum(p['requests']['sent'] for p in mode['populations']) == requests['sent']


def test_interrupted_it_leaves_nothing():
    demo = start('--html', os.path.join(SCRATCH.name, 'no.html'))
    house.eventually(left_behind, seconds=30)
    time.sleep(1)
    demo.send_signal(signal.SIGINT)
    _, said = demo.communicate(timeout=60)
    assert demo.returncode == 130, (demo.returncode, said)
    assert 'stopped' in said, said
    assert left_behind() == [] and not os.path.exists(os.path.join(SCRATCH.name, 'no.html'))


def test_bad_words():
    for words, wrong in ((('--people', '-5'), 'people'), (('--seconds', '2'), 'seconds'),
                         (('--slot', '5'), 'slots'), (('--html', '/nowhere/x.html'), '/nowhere/')):
        demo = start(*words)
        _, said = demo.communicate(timeout=200)
        assert demo.returncode == 2 and wrong in said, (words, said)
    assert left_behind() == []


if __name__ == '__main__':
    tap.run(globals(), None, SCRATCH.cleanup)

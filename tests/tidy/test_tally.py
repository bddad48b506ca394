#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: a second try is given to tests that waited on a full machine, and hides no finding."""
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TALLY = os.path.join(os.path.dirname(HERE), 'tally.py')
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'e2e'))

import tap  # noqa: E402

LATE = 'ok 1 - a\n# it took 9 s\nnot ok 2 - b\n1..2\n'


def entry(name, result='OK', stdout='ok 1 - a\nok 2 - b\n1..2\n', returncode=0):
    return {'name': f'fairslot:{name}', 'result': result, 'stdout': stdout, 'stderr': '',
            'returncode': returncode, 'duration': 1.0}


def tally(*words, logs=()):
    with tempfile.TemporaryDirectory(prefix='fairslot-tally-') as folder:
        paths = []
        for number, log in enumerate(logs):
            paths.append(os.path.join(folder, str(number)))
            with open(paths[-1], 'w', encoding='utf-8') as file:
                file.writelines(json.dumps(line) + '\n' for line in log)
        return subprocess.run([sys.executable, '-B', TALLY, *words, *paths], check=True,
                              stdout=subprocess.PIPE, text=True).stdout


def again(*log):
    return tally('--again', logs=[log]).split()


def test_who_waits_may_be_tried_again():
    assert again(entry('e2e / e2e_x', 'ERROR', LATE, 1), entry('unit / y')) == ['e2e_x']
    assert again(entry('e2e+threads / e2e_x', 'TIMEOUT', '', -15)) == ['e2e_x']
    assert again(entry('durability / kill', 'TIMEOUT', '', -15)) == ['kill']


def test_a_finding_is_never_tried_again():
    assert again(entry('durability / kill', 'ERROR', LATE, 1)) == []
    assert again(entry('nemesis / run', 'ERROR', LATE, 1)) == []
    assert again(entry('unit / ledger', 'ERROR', LATE, 1)) == []
    assert again(entry('e2e / e2e_x', 'ERROR', '', -11)) == [], 'a crash'
    said = LATE + '==7==ERROR: AddressSanitizer: heap-use-after-free\n'
    assert again(entry('e2e / e2e_x', 'ERROR', said, 1)) == []
    assert again(entry('e2e / e2e_x', 'ERROR', LATE + 'a.c:1:2: runtime error: shift\n', 1)) == []


def test_many_failures_are_no_accident():
    assert again(*(entry(f'e2e / e2e_{n}', 'ERROR', LATE, 1) for n in range(4))) == []


def test_both_ends_are_told_and_the_second_counts():
    first = [entry('e2e / e2e_x', 'ERROR', LATE, 1), entry('e2e / e2e_z')]
    told = tally('e2e', logs=[first, [entry('e2e / e2e_x')]])
    assert 'again    fairslot:e2e / e2e_x: b' in told and '# it took 9 s' in told
    assert 'alone it ended OK' in told and told.split('\n')[-2] == '4 0 0', told
    told = tally('e2e', logs=[first, first[:1]])
    assert 'FAILED   fairslot:e2e / e2e_x: b' in told and told.split('\n')[-2] == '3 1 0', told
    assert tally('e2e', logs=[first]).split('\n')[-2] == '3 1 0'


if __name__ == '__main__':
    tap.run(globals())

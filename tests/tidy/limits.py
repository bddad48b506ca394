#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Holds docs/limits.md to the tree: each row names a test, a limit, a metric, a reason and a switch
that exist, and every attack and every switch has its row.

usage: limits.py SOURCE       prints TAP
"""
import glob
import os
import re
import sys


def read(root, *patterns):
    text = ''
    for pattern in patterns:
        for path in glob.glob(os.path.join(root, pattern), recursive=True):
            with open(path, encoding='utf-8') as file:
                text += file.read()
    return text


def rows(root):
    """(name of the attack, cells) of every row with a test."""
    for line in read(root, 'docs/limits.md').split('\n'):
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        if len(cells) == 7 and not cells[0].startswith(('attack', '---')):
            yield cells[0], cells


def ticked(cell):
    return re.findall(r'`([^`]+)`', cell)


def faults(root):
    tests = read(root, 'tests/e2e/*.py', 'tests/unit/engine/**/*.c')
    names = set(re.findall(r'^(?:def|static void) (\w+)\(', tests, re.M))
    names |= {os.path.basename(path).rpartition('.')[0]
              for path in glob.glob(os.path.join(root, 'tests/e2e/test_*.py')) +
              glob.glob(os.path.join(root, 'tests/unit/engine/*/test_*.c'))}
    limits = read(root, 'engine/base/limits.h', 'engine/wire/*.[ch]')
    keys = {'.'.join(pair) for pair in re.findall(r'X\((\w+), (\w+),',
                                                  read(root, 'engine/config/keys.h'))}
    metrics = set(re.findall(r'M\((\w+),', read(root, 'engine/base/metrics_table.h')))
    reasons = set(re.findall(r'X\((\w+), \d', read(root, 'proto/reason.h')))
    engine = read(root, 'engine/**/*.[ch]')
    switches = set(re.findall(r'limit_is_on\("(\w+)"\)', engine))
    switches |= set(re.findall(r'X\([A-Z]+, "(\w+)"\)', engine)) & {
        'frames', 'resets', 'pings', 'hog'}
    seen_tests, seen_marks = set(), set()
    for attack, (_, limit, _, ending, metric, mark, test) in rows(root):
        for name in ticked(test) or ['no test at all']:
            seen_tests.add(name)
            if name not in names:
                yield f'{attack}: no test is called {name}'
        for name in ticked(limit):
            if name not in keys and not re.search(rf'#define {re.escape(name)}\b', limits):
                yield f'{attack}: no limit and no key is called {name}'
        for name in ticked(metric):
            if name not in metrics:
                yield f'{attack}: no metric is called {name}'
        for name in re.findall(r'status \d+ ([A-Z_]+)', ending):
            if name not in reasons:
                yield f'{attack}: no reason is called {name}'
        if mark:
            seen_marks.add(mark)
            if mark not in switches:
                yield f'{attack}: no limit can be switched off as {mark}'
    attacks = re.findall(r"^    \((\w+), '", read(root, 'tests/e2e/attacks.py'), re.M)
    yield from (f'tests/e2e/attacks.py: {name} has no row' for name in attacks
                if name not in seen_tests)
    yield from (f'{name} can be switched off and has no row' for name in switches - seen_marks)


def main():
    found = list(faults(sys.argv[1]))
    count = len(list(rows(sys.argv[1])))
    print('1..1')
    print(''.join(f'# docs/limits.md: {fault}\n' for fault in found), end='')
    print(f'{"not " if found or count < 40 else ""}ok 1 - {count} limits have their test')
    sys.exit(1 if found else 0)


if __name__ == '__main__':
    main()

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Counts what Meson ran: reads a testlog.json, counts TAP's subtests, names failures and skips.

usage: tally.py LABEL TESTLOG [SECOND]   prints lines for people, then "passed failed skipped" last
       tally.py --again TESTLOG          names the tests that may be tried a second time
A program that crashed, timed out or broke its plan counts as one failure, whatever it had printed.
SECOND: the log of a second try; a test counts as it ended there, and both ends are told.

Who may be tried again: tests of suite e2e that wait for other processes, and of the others those
that ran out of time; never what a sanitizer said, a crash, or a finding of durability or nemesis.
More than AGAIN_MOST that fail at once are no accident: none of them is.
"""
import json
import re
import sys

LINE = re.compile(r'^(not )?ok\b[ \d]*-? ?(.*)$')
SKIP = re.compile(r'#\s*SKIP\b\s*(.*)$', re.I)
NOTES_SHOWN = 30
AGAIN_MOST = 3
SANITIZER = re.compile(r'(Address|Leak|Thread|UndefinedBehavior)Sanitizer|runtime error:')


def count(entry):
    """(passed, failed, skipped, lines to show) of one test program."""
    passed = failed = skipped = 0
    shown, notes = [], []
    for line in (entry.get('stdout') or '').split('\n'):
        match = LINE.match(line)
        if not match:
            if line.startswith('#'):
                notes.append(line)
            continue
        skip = SKIP.search(line)
        if skip:
            skipped += 1
            shown.append(f'  skipped  {entry["name"]}: {match.group(2)}')
        elif match.group(1):
            failed += 1
            shown.append(f'  FAILED   {entry["name"]}: {match.group(2)}')
            shown += ['           ' + note for note in notes[-NOTES_SHOWN:]]
        else:
            passed += 1
        notes = []
    good = is_good(entry)
    if not good and failed == 0:
        failed = 1
        shown.append(f'  FAILED   {entry["name"]}: {entry["result"]}')
        talk = (entry.get('stdout') or '') + (entry.get('stderr') or '')
        shown += ['           ' + line for line in talk.split('\n')[-NOTES_SHOWN:]]
    elif good and passed + skipped == 0:
        passed = 1
    return passed, failed, skipped, shown


def entries(log):
    with open(log, encoding='utf-8') as file:
        return [json.loads(line) for line in file]


def is_good(entry):
    return entry['result'] in ('OK', 'SKIP', 'EXPECTEDFAIL')


def may_try_again(entry):
    talk = (entry.get('stdout') or '') + (entry.get('stderr') or '')
    if entry.get('returncode', 0) < 0 and entry['result'] != 'TIMEOUT' or SANITIZER.search(talk):
        return False
    suites = entry['name'].partition(' / ')[0]
    return 'e2e' in suites or entry['result'] == 'TIMEOUT'


def again(log):
    """Names for `meson test`, none when so many fail that something is broken."""
    bad = [entry for entry in entries(log) if not is_good(entry)]
    if len(bad) > AGAIN_MOST:
        return []
    return [entry['name'].rpartition(' / ')[2] for entry in bad if may_try_again(entry)]


def main():
    if sys.argv[1] == '--again':
        print(*again(sys.argv[2]))
        return
    label, log = sys.argv[1:3]
    second = {entry['name']: entry for path in sys.argv[3:] for entry in entries(path)}
    total, seconds = [0, 0, 0], 0.0
    lines = []
    for entry in entries(log):
        seconds += entry.get('duration', 0.0)
        *counts, shown = count(entry)
        if entry['name'] in second:
            lines += [line.replace('  FAILED   ', '  again    ', 1) for line in shown]
            entry = second[entry['name']]
            seconds += entry.get('duration', 0.0)
            *counts, shown = count(entry)
            lines.append(f'  again    {entry["name"]}: alone it ended {entry["result"]}')
        total = [a + b for a, b in zip(total, counts)]
        lines += shown
    print('\n'.join(lines) + '\n' if lines else '', end='')
    tail = f', {total[2]} skipped' if total[2] else ''
    print(f'{label:<28} {total[0]} passed, {total[1]} failed{tail} ({seconds:.0f} s of tests)')
    print(*total)


if __name__ == '__main__':
    main()

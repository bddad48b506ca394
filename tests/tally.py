#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Counts what Meson ran: reads a testlog.json, counts TAP's subtests, names failures and skips.

usage: tally.py LABEL TESTLOG        prints lines for people, then "passed failed skipped" last
A program that crashed, timed out or broke its plan counts as one failure, whatever it had printed.
"""
import json
import re
import sys

LINE = re.compile(r'^(not )?ok\b[ \d]*-? ?(.*)$')
SKIP = re.compile(r'#\s*SKIP\b\s*(.*)$', re.I)
NOTES_SHOWN = 30


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
    good = entry['result'] in ('OK', 'SKIP', 'EXPECTEDFAIL')
    if not good and failed == 0:
        failed = 1
        shown.append(f'  FAILED   {entry["name"]}: {entry["result"]}')
        talk = (entry.get('stdout') or '') + (entry.get('stderr') or '')
        shown += ['           ' + line for line in talk.split('\n')[-NOTES_SHOWN:]]
    elif good and passed + skipped == 0:
        passed = 1
    return passed, failed, skipped, shown


def main():
    label, log = sys.argv[1:3]
    total, seconds = [0, 0, 0], 0.0
    lines = []
    with open(log, encoding='utf-8') as file:
        for line in file:
            entry = json.loads(line)
            *counts, shown = count(entry)
            total = [a + b for a, b in zip(total, counts)]
            seconds += entry.get('duration', 0.0)
            lines += shown
    print('\n'.join(lines) + '\n' if lines else '', end='')
    tail = f', {total[2]} skipped' if total[2] else ''
    print(f'{label:<28} {total[0]} passed, {total[1]} failed{tail} ({seconds:.0f} s of tests)')
    print(*total)


if __name__ == '__main__':
    main()

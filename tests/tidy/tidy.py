#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Suite tidy: does the tree keep its own laws?  Prints TAP, a test for each law.

usage: tidy.py --source ROOT [ROOM=ARCHIVE ...]
Without archives only the text is checked.  arrows.txt is the table of allowed arrows.
"""
import argparse
import os
import sys

import arrows
import shape

TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'arrows.txt')
FINDINGS_SHOWN = 40


def laws(root, rooms, archives):
    """(law, its findings) for every law."""
    files = shape.collect(root)
    yield 'includes follow the arrows', arrows.check_includes(files, rooms)
    yield 'no headers in a circle', arrows.check_cycles(files, rooms)
    if archives:
        yield ('symbols follow the arrows, pure rooms are pure',
               arrows.check_archives(archives, rooms))
        yield 'global symbols carry their file\'s prefix', arrows.check_prefixes(archives, rooms)
    yield 'pure rooms have no floats', shape.check_floats(files, rooms)
    yield 'pure rooms allocate only in new, init and grow', shape.check_allocation(files, rooms)
    yield 'functions are short', shape.check_functions(files)
    yield 'parameters are few', shape.check_parameters(files)
    yield 'files and lines are short', shape.check_lengths(files)
    yield 'files open with licence and design head', shape.check_heads(files, rooms)
    yield 'no open ends, machine paths, tabs', shape.check_words(files)
    yield 'tests/unit mirrors the tree, every .c is built', shape.check_mirror(files, root)


def findings(root, rooms, archives):
    return [(law, list(found)) for law, found in laws(root, rooms, archives)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--source', required=True)
    parser.add_argument('archives', nargs='*', metavar='ROOM=ARCHIVE')
    options = parser.parse_args()
    rooms = arrows.load(TABLE)
    archives = {}
    for pair in options.archives:
        name, _, path = pair.partition('=')
        if os.path.exists(path):
            archives[name] = arrows.Archive(path)
    failed = 0
    results = findings(options.source, rooms, archives)
    print(f'1..{len(results)}')
    for number, (law, found) in enumerate(results, 1):
        for finding in found[:FINDINGS_SHOWN]:
            print(f'# {finding}')
        if len(found) > FINDINGS_SHOWN:
            print(f'# and {len(found) - FINDINGS_SHOWN} more')
        print(f'{"not ok" if found else "ok"} {number} - {law}')
        failed += bool(found)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())

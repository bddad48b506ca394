#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Holds what the .proto files say of refusals to proto/reason.h: every reason is named in one of
them, and wherever STATUS/REASON stands, the reason has that status.

usage: reasons.py SOURCE       prints TAP
"""
import glob
import os
import re
import sys

STATUS = ('OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS '
          'PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE '
          'UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED').split()


def read(path):
    with open(path, encoding='utf-8') as file:
        return file.read()


def faults(root):
    reasons = {name: int(status) for name, status in re.findall(
        r'X\(([A-Z_]+), (\d+), \d+, "', read(os.path.join(root, 'proto/reason.h')))}
    if len(reasons) < 80:
        yield f'proto/reason.h: only {len(reasons)} reasons were found'
    told = ''
    for path in sorted(glob.glob(os.path.join(root, 'proto/fairslot/**/*.proto'), recursive=True)):
        text = read(path)
        told += text
        for status, reason in re.findall(rf'\b({"|".join(STATUS)})/([A-Z_]+)', text):
            if reason not in reasons:
                yield f'{path}: no reason is called {reason}'
            elif STATUS[reasons[reason]] != status:
                yield f'{path}: {reason} is {STATUS[reasons[reason]]}, not {status}'
    yield from (f'{name} is named in no .proto file' for name in reasons
                if not re.search(rf'\b{name}\b', told))


def main():
    found = list(faults(sys.argv[1]))
    print('1..1')
    print(''.join(f'# {fault}\n' for fault in found), end='')
    print(f'{"not " if found else ""}ok 1 - every reason stands in the API, with its status')


if __name__ == '__main__':
    main()

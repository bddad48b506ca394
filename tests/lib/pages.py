#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Are the pages that are made from the program's tables up to date?  Prints TAP.

usage: pages.py FAIRSLOT ROOT     (deploy/man/generate makes them anew)
"""
import os
import subprocess
import sys

PAGES = [('manual', 'deploy/man/fairslot.conf.5'), ('default', 'deploy/fairslot.conf'),
         ('metrics', 'docs/metrics.md'), ('events', 'docs/events.md')]


def main():
    fairslot, root = sys.argv[1:]
    failed = 0
    print(f'1..{len(PAGES)}')
    for number, (verb, page) in enumerate(PAGES, 1):
        made = subprocess.run([fairslot, 'config', verb], capture_output=True, text=True,
                              check=True).stdout
        with open(os.path.join(root, page), encoding='utf-8') as file:
            text = file.read()
        # The tables of docs/ stand below a few words of people's, at the end of the page.
        good = text.endswith(made) if page.endswith('.md') else text == made
        if not good:
            failed += 1
            print(f'# {page} is old: run deploy/man/generate, commit what it changed')
        print(f'{"ok" if good else "not ok"} {number} - {page}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())

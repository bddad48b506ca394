#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The checker of the checker: each law must see the fault it exists for.

Makes a small clean tree with real archives, plants one fault at a time, and wants exactly that law
to complain.  A law that sees nothing, or a clean tree that is complained about, fails.  TAP.

usage: planted.py [COMPILER WORD...]
"""
import os
import subprocess
import sys
import tempfile

import arrows
import tidy

SPDX = '/* SPDX-License-Identifier: MIT */\n'
HEAD = SPDX + '/* A small file of a made-up room.\n * Owns: nothing.\n * Fails: never. */\n'
CLEAN = {
    'meson.build': "files('fairq.c', 'ledger.c', 'clock.c', 'test_fairq.c')\n",
    'engine/base/clock.h': SPDX + 'long clock_mono_us(void);\n',
    'engine/base/clock.c': HEAD + '#include "base/clock.h"\n\n#include <time.h>\n\n'
                           'long clock_mono_us(void)\n{\n    return (long)time(0);\n}\n',
    'engine/fair/fairq.h': SPDX + 'int fairq_pull(int a);\n',
    'engine/fair/fairq.c': HEAD + '#include "fair/fairq.h"\n\n'
                           'int fairq_pull(int a)\n{\n    return a + 1;\n}\n',
    'shards/ledger/ledger.c': HEAD + 'int ledger_apply(void);\n\n'
                              'int ledger_apply(void)\n{\n    return 0;\n}\n',
    'tests/unit/engine/fair/test_fairq.c': SPDX + '/* Goal: none. */\nint main(void);\n',
}
ROOMS = {'base': ['engine/base/clock.c'], 'fair': ['engine/fair/fairq.c'],
         'ledger': ['shards/ledger/ledger.c']}
FAIRQ = 'engine/fair/fairq.c'
LEDGER = 'shards/ledger/ledger.c'


def after(path, text):
    """A plant: `text` at the end of a file."""
    return {path: CLEAN[path] + text}


def definition(body, name='fairq_more', arguments='void'):
    return f'\nint {name}({arguments});\n\nint {name}({arguments})\n{{\n{body}    return 0;\n}}\n'


# (what is planted, files that change, word of the law that must complain)
PLANTS = [
    ('ledger includes fair', after(LEDGER, '#include "fair/fairq.h"\n'), 'includes follow'),
    ('an include behind a comment', after(LEDGER, '/* x */ #include "fair/fairq.h"\n'),
     'includes follow'),
    ('fair includes the clock', after(FAIRQ, '#include "base/clock.h"\n'), 'includes follow'),
    ('fair includes <time.h>', after(FAIRQ, '#include <time.h>\n'), 'includes follow'),
    ('ledger names LMDB', after(LEDGER, '#include <lmdb.h>\n'), 'includes follow'),
    ('an include without its room', after(FAIRQ, '#include "fairq.h"\n'), 'includes follow'),
    ('two headers in a circle', {
        'engine/fair/fairq.h': CLEAN['engine/fair/fairq.h'] + '#include "fair/gate.h"\n',
        'engine/fair/gate.h': SPDX + '#include "fair/fairq.h"\n'}, 'circle'),
    ('ledger calls fair past its header', after(
        LEDGER, 'int fairq_pull(int);' + definition('    fairq_pull(1);\n', 'ledger_more')),
     'symbols follow'),
    ('fair calls the system\'s clock', after(
        FAIRQ, 'long time(long *);' + definition('    time(0);\n')), 'symbols follow'),
    ('fair calls the house\'s clock', after(
        FAIRQ, 'long clock_mono_us(void);' + definition('    clock_mono_us();\n')),
     'symbols follow'),
    ('fair asks the random device', after(
        FAIRQ, 'void randombytes_buf(void *, long);' + definition('    randombytes_buf(0, 0);\n')),
     'symbols follow'),
    ('a symbol without its file\'s prefix', after(FAIRQ, definition('', 'oops_now')), 'prefix'),
    ('a float in a pure room', after(FAIRQ, 'static inline double fairq_half(void);\n'), 'floats'),
    ('a pure room allocates at work', after(
        FAIRQ, 'void *malloc(unsigned long);' + definition('    if (malloc(1)) return 1;\n')),
     'allocate'),
    ('a function of 71 lines', after(FAIRQ, definition('    (void)0;\n' * 67)), 'functions'),
    ('a brace behind the signature', after(
        FAIRQ, '\nint fairq_more(void);\nint fairq_more(void) {\n    return 0;\n}\n'), 'functions'),
    ('six parameters', after(
        FAIRQ, definition('', arguments='int a, int b, int c, int d, int e, int f')), 'parameters'),
    ('a file of 601 lines', after(FAIRQ, '\n' * 601), 'files and lines'),
    ('a line of 101 columns', after(FAIRQ, '/* ' + 'x' * 95 + ' */\n'), 'files and lines'),
    ('no licence', {FAIRQ: CLEAN[FAIRQ].replace(SPDX, '')}, 'open with'),
    ('no design head', {FAIRQ: CLEAN[FAIRQ].replace(HEAD, SPDX + '/* Short. */\n' + '\n' * 60)},
     'open with'),
    ('no comment at all', {FAIRQ: CLEAN[FAIRQ].replace(HEAD, SPDX)}, 'open with'),
    ('an open end', after(FAIRQ, '/* TO' 'DO: later */\n'), 'open ends'),
    ('a path of one machine', after(FAIRQ, '/* see /ho' 'me/me/notes */\n'), 'open ends'),
    ('a tab', after(FAIRQ, '/* \t */\n'), 'open ends'),
    ('a test that mirrors nothing',
     {'tests/unit/engine/gone/test_fairq.c': SPDX + '/* Goal: none. */\nint main(void);\n'},
     'mirror'),
    ('a file that nobody builds', {'engine/fair/orphan.c': HEAD}, 'mirror'),
]


def write_tree(root, files):
    for path, text in files.items():
        full = os.path.join(root, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, 'w', encoding='utf-8') as file:
            file.write(text)


class Objects:
    """Compiles each text once; the archive of a room is made of its files' objects."""

    def __init__(self, compiler, scratch):
        self.compiler, self.scratch, self.known = compiler, scratch, {}

    def archive(self, root, room):
        objects = []
        for path in ROOMS[room]:
            with open(os.path.join(root, path), encoding='utf-8') as file:
                key = (path, file.read())
            if key not in self.known:
                folder = os.path.join(self.scratch, str(len(self.known)))
                os.mkdir(folder)
                target = os.path.join(folder, os.path.basename(path) + '.o')
                command = [*self.compiler, '-O0', '-w', '-I', os.path.join(root, 'engine'), '-c',
                           os.path.join(root, path), '-o', target]
                subprocess.run(command, check=True, capture_output=True)
                self.known[key] = target
            objects.append(self.known[key])
        target = os.path.join(root, f'lib{room}.a')
        subprocess.run(['ar', 'rcsT', target, *objects], check=True)  # thin, as Meson makes them
        return arrows.Archive(target)


def complaints(files, objects, needs_archives):
    """The laws that complain about a tree of these files."""
    with tempfile.TemporaryDirectory() as root:
        write_tree(root, files)
        archives = {}
        if needs_archives:
            archives = {room: objects.archive(root, room) for room in ROOMS}
        found = tidy.findings(root, arrows.load(tidy.TABLE), archives)
        return {law: what for law, what in found if what}


def main():
    compiler = sys.argv[1:] or ['cc']
    failed = 0
    print(f'1..{len(PLANTS) + 1}')
    with tempfile.TemporaryDirectory() as scratch:
        objects = Objects(compiler, scratch)
        seen = complaints(CLEAN, objects, True)
        print(f'{"not ok" if seen else "ok"} 1 - a clean tree has no complaint', seen or '')
        failed += bool(seen)
        for number, (what, changes, law) in enumerate(PLANTS, 2):
            linked = law in ('symbols follow', 'prefix')
            seen = complaints({**CLEAN, **changes}, objects, linked)
            good = len(seen) == 1 and law in next(iter(seen))
            print(f'{"ok" if good else "not ok"} {number} - caught: {what}')
            if not good:
                print(f'# wanted "{law}", saw {seen}')
            failed += not good
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())

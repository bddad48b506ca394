#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs the fuzz targets, some at a time, from the kept corpus on.  Prints TAP.

usage: run.py --build DIR [--seconds N] [--grow] [TARGET...]
  --seconds N   for each target; 600 when FAIRSLOT_SOAK is set, else 60
  --grow        put what is new and small into tests/fuzz/corpus, and strike what adds nothing
A crash fails its target; the input that did it is kept in the build directory and named.
"""
import argparse
import concurrent.futures
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

import seeds

HERE = os.path.dirname(os.path.abspath(__file__))
CORPUS = os.path.join(HERE, 'corpus')
AT_ONCE = 5             # on two cores: 60 seconds are 24 of a processor, all done in 3 minutes
KEPT_BYTES = 11 * 1024  # of one target
KEPT_INPUT = 2048       # bytes of one input
KEPT_COUNT = 100
ENV = {**os.environ, 'ASAN_OPTIONS': 'detect_leaks=1:allocator_may_return_null=1',
       'UBSAN_OPTIONS': 'halt_on_error=1:print_stacktrace=1'}


def libfuzzer(program, *words, seconds):
    """Exit code and what it said."""
    done = subprocess.run([program, '-timeout=20', '-rss_limit_mb=2048', '-print_final_stats=1',
                           *words], capture_output=True, text=True, errors='replace', env=ENV,
                          timeout=seconds + 300)
    return done.returncode, done.stderr


def stat(talk, name):
    found = re.search(rf'stat::{name}:\s+(\d+)', talk)
    return int(found.group(1)) if found else 0


class Target:
    def __init__(self, program, scratch):
        self.program = program
        self.name = os.path.basename(program)[len('fuzz_'):]
        self.kept = os.path.join(CORPUS, self.name)
        self.found = os.path.join(scratch, 'found', self.name)
        self.seeds = os.path.join(scratch, 'seeds', self.name)
        for folder in (self.found, self.seeds, self.kept):
            os.makedirs(folder, exist_ok=True)

    def run(self, seconds):
        """(went well, one line, what it said)"""
        crash = self.program + '.crash-'
        code, talk = libfuzzer(self.program, f'-max_total_time={seconds}', '-max_len=65536',
                               f'-artifact_prefix={crash}', self.found, self.seeds, self.kept,
                               seconds=seconds)
        executed = stat(talk, 'number_of_executed_units')
        line = (f'{self.name}: {executed:,} inputs, {stat(talk, "average_exec_per_sec"):,}/s, '
                f'{len(glob.glob(os.path.join(self.kept, "*")))} kept')
        return code == 0 and executed > 0, line, talk

    def grow(self):
        """The smallest inputs that together reach what all did, as far as there is room."""
        merged = self.found + '.merged'
        os.makedirs(merged)
        libfuzzer(self.program, '-merge=1', f'-max_len={KEPT_INPUT}', merged, self.kept,
                  self.seeds, self.found, seconds=300)
        room = KEPT_BYTES
        shutil.rmtree(self.kept)
        os.makedirs(self.kept)
        paths = sorted(glob.glob(os.path.join(merged, '*')), key=os.path.getsize)
        for path in paths[::max(1, len(paths) // KEPT_COUNT)]:
            room -= os.path.getsize(path)
            if room >= 0:
                shutil.copy(path, os.path.join(self.kept, os.path.basename(path)[:12]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--build', required=True)
    parser.add_argument('--seconds', type=int,
                        default=600 if os.environ.get('FAIRSLOT_SOAK') else 60)
    parser.add_argument('--grow', action='store_true')
    parser.add_argument('targets', nargs='*')
    options = parser.parse_args()
    scratch = tempfile.mkdtemp(prefix='fairslot-fuzz-')
    seeds.write(os.path.join(scratch, 'seeds'))
    programs = sorted(path for path in glob.glob(os.path.join(options.build, 'tests/fuzz/fuzz_*'))
                      if os.access(path, os.X_OK) and os.path.isfile(path) and '.' not in
                      os.path.basename(path))
    targets = [Target(path, scratch) for path in programs]
    targets = [t for t in targets if not options.targets or t.name in options.targets]
    print(f'1..{len(targets)}', flush=True)
    failed = 0 if targets else 1
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        results = pool.map(lambda target: target.run(options.seconds), targets)
        for n, (target, (good, line, talk)) in enumerate(zip(targets, results), 1):
            if not good:
                failed += 1
                print(''.join(f'# {said}\n' for said in talk.split('\n')[-60:]), end='')
            print(f'{"ok" if good else "not ok"} {n} - {line}', flush=True)
        if options.grow:
            list(pool.map(Target.grow, targets))
    shutil.rmtree(scratch, ignore_errors=True)
    sys.exit(1 if failed else 0)


if __name__ == '__main__':
    main()

# SPDX-License-Identifier: MIT
"""Is Raft safe as we drive it, on thousands of seeds?  test_planted.py: would we see it if not?

usage: test_sim.py SIM    FAIRSLOT_SOAK=1: twenty times the seeds
"""
import os
import re
import subprocess
import sys

SOAK = 20 if os.environ.get('FAIRSLOT_SOAK') else 1
SEEDS = 6000 * SOAK
# Sanitizers make each seed slower; they look for something else.
if os.environ.get('FAIRSLOT_SANITIZED'):
    SEEDS = 600
FAULTS_MIN = 10 * SEEDS  # a storm without faults would show nothing

number = 0
failed = 0


def say(good, name, note=''):
    global number, failed
    number += 1
    failed += not good
    print(f'{"ok" if good else "not ok"} {number} - {name}')
    for line in note.splitlines():
        print(f'# {line}')
    sys.stdout.flush()


def run(binary, *args):
    done = subprocess.run([binary, *map(str, args)], capture_output=True, text=True, timeout=280)
    return done.returncode, done.stdout + done.stderr


def main():
    sim = sys.argv[1]
    code, out = run(sim, '--seeds', 1, SEEDS)
    faults = re.search(r'faults (\d+)', out)
    say(code == 0 and faults is not None and int(faults.group(1)) >= FAULTS_MIN,
        f'{SEEDS} seeds: no violation', out)
    first, again = run(sim, '--seed', 7), run(sim, '--seed', 7)
    say(first == again and first[0] == 0 and ' trace ' in first[1],
        'the same seed gives the same trace', first[1])
    with open(os.path.join(os.path.dirname(__file__), 'traces.txt'), encoding='utf-8') as file:
        known = [line.strip() for line in file if not line.startswith('#')]
    got = [run(sim, '--seed', line.split()[1])[1].strip() for line in known]
    say(known == got and len(known) > 0, 'the traces of any build are these',
        '' if known == got else '\n'.join(got))
    print(f'1..{number}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())

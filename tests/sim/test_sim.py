# SPDX-License-Identifier: MIT
"""Is Raft safe as we drive it, on thousands of seeds; is the whole city right, on thousands more?
test_planted.py: would we see it if not?

usage: test_sim.py SIM CITY                     FAIRSLOT_SOAK=1: twenty times the seeds
       test_sim.py --traces SIM CITY CITY_O0    one seed, one trace, whatever the build
"""
import os
import re
import subprocess
import sys

SOAK = 20 if os.environ.get('FAIRSLOT_SOAK') else 1
# Sanitizers make each seed slower; they look for something else.
SANITIZED = bool(os.environ.get('FAIRSLOT_SANITIZED'))
SEEDS = {'sim': 600 if SANITIZED else 6000 * SOAK, 'city': 300 if SANITIZED else 2000 * SOAK}
FAULTS = {'sim': 10, 'city': 20}  # a seed, in the mean: a storm without them would show nothing
AGAIN = {'sim': 300, 'city': 40}   # seeds, twice in processes with other addresses

number = 0
failed = 0


def say(good, name, note='', skip=''):
    global number, failed
    number += 1
    failed += not good
    print(f'{"ok" if good else "not ok"} {number} - {name}' + (f' # SKIP {skip}' if skip else ''))
    for line in note.splitlines():
        print(f'# {line}')
    sys.stdout.flush()


def run(binary, *args, **env):
    env = {**os.environ, 'MALLOC_PERTURB_': '0', **env}  # each allocation filled: for AGAIN alone
    done = subprocess.run([binary, *map(str, args)], capture_output=True, text=True, timeout=1500,
                          env=env)
    return done.returncode, done.stdout + done.stderr


def summary(out):
    return re.sub(r', [0-9.]+ s of CPU', '', out)


def traces(sim, city, city_o0):
    with open(os.path.join(os.path.dirname(__file__), 'traces.txt'), encoding='utf-8') as file:
        known = [line.strip().partition(' ') for line in file if not line.startswith('#')]
    for name, binary in (('sim', sim), ('city', city), ('city', city_o0)):
        want = [line for which, _, line in known if which == name]
        got = [run(binary, '--seed', line.split()[1])[1].strip() for line in want]
        say(want == got and len(want) > 0,
            f'{os.path.basename(binary)}: the traces of any build are these',
            '' if want == got else '\n'.join(f'{name} {line}' for line in got))


def storm(name, binary):
    seeds = SEEDS[name]
    code, out = run(binary, '--seeds', 1, seeds)
    faults = re.search(r'faults (\d+)', out)
    say(code == 0 and faults is not None and int(faults.group(1)) >= FAULTS[name] * seeds,
        f'{name}: {seeds} seeds, no violation', out)
    if SANITIZED:
        say(True, f'{name}: the same seeds give the same trace',
            skip='a sanitizer replaces the malloc that fills memory: the plain build shows it')
        return
    first = run(binary, '--seeds', 1, AGAIN[name], MALLOC_PERTURB_='1')
    again = run(binary, '--seeds', 1, AGAIN[name], MALLOC_PERTURB_='170')
    say(summary(first[1]) == summary(again[1]) and first[0] == 0 and ' trace ' in first[1],
        f'{name}: the same seeds give the same trace', first[1] + again[1])


def main():
    if sys.argv[1] == '--traces':
        traces(*sys.argv[2:])
    else:
        storm('sim', sys.argv[1])
        storm('city', sys.argv[2])
    print(f'1..{number}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())

# SPDX-License-Identifier: MIT
"""Is every fault of docs/planted.md caught by the suite that the table names; is every fault that
the sources know in the table, and none of them in the program that is shipped?

usage: test_planted.py SOURCE BUILD PLANTED...    PLANTED: binaries SUITE_plant_FAULT
"""
import json
import os
import re
import subprocess
import sys

# Tests that plant for themselves; the others are binaries of this folder.
ELSEWHERE = {
    'durability': 'tests/durability/test_planted.py',
    'flood': 'tests/e2e/test_flood_planted.py',
    'hostile': 'tests/e2e/hostile_off.py',
    'replicas': 'tests/e2e/test_replicas_planted.py',
}
ENDS = {'NO_G5'}  # the core itself, which has no asserts, dies of it: that is what the guard is for
ARGUMENTS = {'sim': ['--seeds', '1', '6000'], 'city': ['--seeds', '1', '400'], 'directed': []}
ROW = re.compile(r'^\| `(\w+)` \| (.+?) \| (\w+) \| (.+?) \|$')
FEWEST = 30
SECONDS = 60  # for one fault, on a busy machine

number = 0
failed = 0


def say(good, name, note=''):
    global number, failed
    number += 1
    failed += not good
    print(f'{"ok" if good else "not ok"} {number} - {name}')
    for line in note.splitlines()[:6]:
        print(f'# {line}')
    sys.stdout.flush()


def read(*parts):
    with open(os.path.join(*parts), encoding='utf-8') as file:
        return file.read()


def known_to_sources(source):
    """Every PLANT_X that a .c or .h asks for."""
    found = set()
    for room in ('engine', 'shards', 'proto', 'loadtest', 'tests/sim'):
        for folder, _, names in os.walk(os.path.join(source, room)):
            for name in names:
                if name.endswith(('.c', '.h')):
                    found.update(re.findall(r'(?:ifdef|ifndef|defined\() ?PLANT_(\w+)',
                                            read(folder, name)))
    return found


def caught(suite, binary):
    """(seen, what it said): a violation of ours, or a CHECK of the code's; no silent end."""
    try:
        done = subprocess.run([binary, *ARGUMENTS[suite]], capture_output=True, text=True,
                              timeout=SECONDS, env={**os.environ, 'MALLOC_PERTURB_': '0'})
    except subprocess.TimeoutExpired:
        return False, 'not seen in time'
    out = done.stdout + done.stderr
    if suite == 'directed':
        line = next((x for x in out.splitlines() if x.startswith('not ok')), '')
        seen = done.returncode != 0 and line
    else:
        line = next((x for x in out.splitlines() if x.startswith('seed ') and 'trace' not in x), '')
        seen = done.returncode != 0 and 'replay:' in out
    if done.returncode < 0 and binary.rpartition('_plant_')[2] in ENDS:
        line, seen = f'the core ended by signal {-done.returncode}', True
    if done.returncode != 0 and 'CHECK' in out:
        line = line or next(x for x in out.splitlines() if 'CHECK' in x)
        seen = True
    return bool(seen), line or out[-300:]


def main():
    source, build, binaries = sys.argv[1], sys.argv[2], sys.argv[3:]
    rows = [match.groups() for match in map(ROW.match, read(source, 'docs/planted.md').split('\n'))
            if match]
    table = {(suite, fault) for fault, _, suite, _ in rows}
    faults = {fault for _, fault in table}
    say(len(faults) >= FEWEST, f'{len(faults)} faults in docs/planted.md')
    known = known_to_sources(source)
    say(known == faults, 'the table has every fault that the sources know, and no other',
        ' '.join(sorted(known ^ faults)))
    built = {}
    for path in binaries:
        suite, _, fault = os.path.basename(path).partition('_plant_')
        built[suite, fault] = path
    here = {row for row in table if row[0] not in ELSEWHERE}
    say(here == set(built), 'the table has every binary that is built here, and no other',
        ' '.join(map(str, sorted(here ^ set(built)))))
    with open(os.path.join(build, 'compile_commands.json'), encoding='utf-8') as file:
        planted = [entry['output'] for entry in json.load(file) if '-DPLANT_' in entry['command']]
    wrong = [path for path in planted if not path.startswith('tests/')]
    say(planted and not wrong, 'nothing that is shipped is compiled with a fault',
        '\n'.join(wrong))
    for suite, fault in sorted(table - here):
        say(f'PLANT_{fault}' in read(source, ELSEWHERE[suite]),
            f'{fault} is planted by {ELSEWHERE[suite]}')
    for suite, fault in sorted(built):
        seen, line = caught(suite, built[suite, fault])
        say(seen, f'{suite} sees {fault}', line)
    print(f'1..{number}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())

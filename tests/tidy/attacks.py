# SPDX-License-Identifier: MIT
"""Holds docs/attacks.md and docs/scenarios.md to the tree: every attack A1 to A28 has a row, each
row names tests, scenarios and planted faults that there are, and has a test or stands among those
that need none; every shipped scenario stands in the catalogue, with attacks whose rows name it.

usage: attacks.py SOURCE
"""
import glob
import os
import re
import sys

ATTACKS = {f'A{i}' for i in range(1, 29)}
WITHOUT_TEST = {'A22', 'A25'}  # what would be attacked is not there
WITHOUT_ATTACK = {'cohort-late', 'quiet-day', 'national-day'}


def read(root, path):
    with open(os.path.join(root, path), encoding='utf-8') as file:
        return file.read()


def rows(root, path, columns):
    """The cells of each row of tables that have so many columns, but for their heads."""
    found = [[cell.strip() for cell in line.strip('|').split('|')]
             for line in read(root, path).split('\n') if line.startswith('| ')]
    return [row for row in found if len(row) == columns]


def tests(root):
    """Names that a table may call a test by."""
    files = glob.glob(os.path.join(root, 'tests', '**', 'test_*.*'), recursive=True)
    names = {re.sub(r'^test_|\.(c|py)$', '', os.path.basename(file)) for file in files}
    names.update(re.findall(r"test\('(\w+)'", read(root, 'tests/meson.build')))
    return names | {os.path.basename(file) for file in glob.glob(os.path.join(root, 'tests', '*'))}


def names_in(cell):
    """Scenarios of a cell: a list, or none."""
    return [] if cell in ('', '-') else [name.strip() for name in cell.split(',')]


def check_row(row, known, faults, scenarios):
    attack, _, test, scenario, fails = row
    name = attack.split(' ')[0]
    for said in [] if test == '-' else test.split(';'):
        word = re.split(r'[ ,]', said.strip())[0]
        if word not in known:
            yield f'{name}: there is no test {word}'
    if test == '-' and name not in WITHOUT_TEST:
        yield f'{name}: no test'
    for word in names_in(scenario):
        if word not in scenarios:
            yield f'{name}: there is no scenario {word}'
    for fault in re.findall(r'`(\w+)`', fails):
        if fault not in faults:
            yield f'{name}: docs/planted.md has no {fault}'


def check_catalogue(root, table, scenarios):
    """Both tables say the same."""
    listed = {}
    for row in rows(root, 'docs/scenarios.md', 3):
        for name in names_in(row[0]):
            if name in scenarios:
                listed[name] = set(re.findall(r'A\d+', row[1]))
    for name in sorted(scenarios - set(listed)):
        yield f'docs/scenarios.md does not have {name}'
    said = {name: set() for name in scenarios}
    for row in table:
        for name in names_in(row[3]):
            said.get(name, set()).update(re.findall(r'^A\d+', row[0]))
    for name in sorted(set(listed) - WITHOUT_ATTACK):
        if listed[name] != said[name]:
            yield (f'{name}: docs/scenarios.md says {sorted(listed[name])}, docs/attacks.md '
                   f'{sorted(said[name])}')


def check(root):
    table = [row for row in rows(root, 'docs/attacks.md', 5) if row[0] != 'attack']
    scenarios = {os.path.basename(file)[:-4] for file in
                 glob.glob(os.path.join(root, 'loadtest', 'scenarios', '*.ini'))}
    faults = set(re.findall(r'^\| `(\w+)`', read(root, 'docs/planted.md'), re.M))
    known = tests(root)
    missing = ATTACKS - {row[0].split(' ')[0] for row in table}
    yield from (f'{name} has no row' for name in sorted(missing))
    for row in table:
        yield from check_row(row, known, faults, scenarios)
    yield from check_catalogue(root, table, scenarios)


def main():
    found = list(check(sys.argv[1]))
    print(''.join(f'# docs/attacks.md: {fault}\n' for fault in found), end='')
    print(f'{"not " if found else ""}ok 1 - the attacks and scenarios are what the docs say')
    print('1..1')
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())

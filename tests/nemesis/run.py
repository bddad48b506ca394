#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A flood, and a nemesis beside it: faults of eight kinds in real processes, then the checker.

usage: run.py [--nodes N] [--faults N] [--minutes M] [--acknowledged N] [--seed N] [--rate N]
              [--people N] [--kinds A,B] [--also A,B] [--log-keep N] [--patience S] [--secure]
              [--alone] [--keep [FOLDER]]
  --nodes 3          replicas
  --faults 200       how many have to bite; they begin at even steps over the minutes, each at its
                     time, while those before still recover
  --minutes 20       how long the people live at least
  --acknowledged N   mutations that there must be (1000000)
  --patience S       how long it goes on for them when the minutes are over (120)
  --seed N           repeats a schedule (its moments depend on the machine)
  --log-keep N       entries that a lagging node may miss before it needs a snapshot (1000)
  --also roll,swap   rolling restarts, and members replaced, among the faults
  --secure           gateways and nodes speak TLS, with certificates of one authority
  --alone            each fault waits until the one before has healed
  --keep [FOLDER]    keeps history, final state, the nodes' words, and a report: report.html
Prints each fault with what shows that it has bitten, what the checker says, then every count beside
what was wanted of it, and `nemesis: passed` or what fell short.  Exit 0 or 1.
A campaign is held to what it is for (demands.py): of 200 faults each of the eight kinds 10 times
and the leader hit 60 times (in proportion for others), all within the minutes, so many acknowledged
mutations, each of them there, no slot with two holders, and the three losses (hold, confirm,
cancel) that were planted in the history caught in the same run, one by one and all at once.
"""
import argparse
import datetime
import json
import os
import platform
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import campaign as hunt  # noqa: E402
import city as town  # noqa: E402
import demands  # noqa: E402
import faults  # noqa: E402
import house  # noqa: E402
import picture  # noqa: E402


def judge(people, tale, folder):
    """(what the checker says, what it wrote or None)."""
    times, out = os.path.join(folder, 'times'), os.path.join(folder, 'verdict.json')
    with open(times, 'w', encoding='utf-8') as file:
        file.writelines(f'{one["begin_us"]} {one["heal_us"] + 1000000} {one["name"]} at '
                        f'{"leader" if one["leader"] else "node"} {one["node"]}\n'
                        for one in tale['strikes'])
    done = subprocess.run([os.path.join(town.BUILD, 'check'), people.history, people.final, times,
                           out], capture_output=True, text=True, timeout=1800)
    said = f'{done.stdout}{done.stderr}checker: exit {done.returncode}'
    if done.returncode not in (0, 1) or not os.path.exists(out):
        return said, None
    with open(out, encoding='utf-8') as file:
        return said, json.load(file)


def leaders(city):
    """[[now_us, node, term or 0]], as each replica said when it began and ended to lead."""
    told = []
    for node in city.nodes:
        for at_us, line in node.events + (node.process.events if node.process else []):
            if '"FS-3020"' in line:
                told.append([at_us, node.number, json.loads(line)['term']])
            elif '"FS-3021"' in line:
                told.append([at_us, node.number, 0])
    return sorted(told)


def sick_words(city):
    sick = []
    for node in city.nodes:
        lines = [line for line in node.talk + (node.process.talk if node.process else [])
                 if any(word in line for word in (*house.SICK, 'STATE_DIFFERS'))]
        sick += [f'node {node.number}: {line}' for line in lines[:3]]
    return sick


def early_scrubs(city):
    """Whole readings of a store that its scrubber has made already: it has a day for each, so a
    node that made one does not sleep when it should, and the figures say nothing."""
    return sum(int(node.metrics().get('shard_scrubs_total', 0)) for node in city.nodes)


def tell(city, nemesis, options):
    """What happened, as the report reads it."""
    return {
        'seed': options.seed, 'nodes': options.nodes, 'gateways': options.gateways,
        'minutes': options.minutes, 'secure': options.secure, 'people': options.people,
        'rate': options.rate, 'date': datetime.datetime.utcnow().strftime('%Y-%m-%d %H:%M UTC'),
        'machine': f'{os.cpu_count()} cores, {platform.system()} {platform.release()}',
        'began_us': nemesis.began_us, 'ended_us': town.now_us(), 'in_time': nemesis.in_time,
        'strikes': [one.record() for one in nemesis.strikes], 'leaders': leaders(city),
        'without': nemesis.without, 'sick': sick_words(city), 'scrubs': early_scrubs(city),
    }


def beset(city, people, options, nemesis):
    kinds, nemesis.without = faults.known(city)
    if options.kinds:
        kinds = [kind for kind in kinds if kind in options.kinds.split(',')]
    kinds += [kind for kind in faults.ALSO if kind in options.also.split(',')]
    for kind, why in nemesis.without.items():
        print(f'# without {kind}: {why}')
    nemesis.run(kinds, options.faults, options.minutes, options.faults * 3 // 10)
    nemesis.patience(options.acknowledged, options.patience)
    nemesis.calm()


def campaign(options):
    """The whole of it: (what happened, what the checker wrote or None, its words)."""
    began = time.monotonic()
    city = town.City(nodes=options.nodes, gateways=options.gateways, mib=options.mib,
                     shard_options=['--set', f'shard.log_keep={options.log_keep}'],
                     secure=options.secure)
    people = nemesis = None
    try:
        city.start()
        people = town.People(city, count=options.people, slots=options.slots, rate=options.rate,
                             seed=options.seed)
        nemesis = hunt.Nemesis(city, people, options.seed, options.alone)
        beset(city, people, options, nemesis)
        lived = time.monotonic()
        tale = tell(city, nemesis, options)
        people.finish()
        read = time.monotonic()
        said, verdict = judge(people, tale, city.folder)
        print(f'# began after {nemesis.began - began:.0f} s, people lived '
              f'{lived - nemesis.began:.0f} s, the end took {read - lived:.0f} s, the checker '
              f'{time.monotonic() - read:.0f} s')
        short = demands.shortcomings(demands.all_of(options, tale, verdict))
        if options.keep is not None or short:
            keep(city, people, options, (tale, verdict))
        return tale, verdict, said
    except BaseException:
        if people:
            if nemesis:
                nemesis.give_up()
            keep(city, people, options, None)
        raise
    finally:
        if people:
            people.close()
        city.close()


def keep(city, people, options, told):
    folder = options.keep or tempfile.mkdtemp(prefix='fairslot-nemesis-kept-')
    os.makedirs(folder, exist_ok=True)
    for path in (people.history, people.final, os.path.join(city.folder, 'times'),
                 os.path.join(city.folder, 'verdict.json')):
        if os.path.exists(path):
            shutil.copy(path, folder)
    for node in city.nodes:
        with open(os.path.join(folder, f'n{node.number}.log'), 'w', encoding='utf-8') as file:
            file.write('\n'.join(node.talk + (node.process.talk if node.process else [])))
    for number, gateway in enumerate(city.gateways):
        with open(os.path.join(folder, f'gateway{number}.log'), 'w', encoding='utf-8') as file:
            file.write('\n'.join(gateway.talk))
    if told:
        tale, verdict = told
        made = demands.all_of(options, tale, verdict)
        tale['demands'] = [one._asdict() for one in made]
        with open(os.path.join(folder, 'tale.json'), 'w', encoding='utf-8') as file:
            json.dump(tale, file)
        if verdict:
            picture.write(folder)
            print(f'# the report: {folder}/report.html')
    print(f'# kept in {folder}')


def parse(words):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (('nodes', 3), ('gateways', 2), ('faults', 200),
                          ('acknowledged', 1000000), ('seed', random.randrange(1 << 32)),
                          ('rate', 2200), ('people', 600), ('slots', 1000000), ('mib', 3000),
                          ('log-keep', 1000), ('patience', 120)):
        parser.add_argument('--' + name, type=int, default=default)
    parser.add_argument('--minutes', type=float, default=20)
    parser.add_argument('--kinds', default='')
    parser.add_argument('--also', default='')
    parser.add_argument('--keep', nargs='?', const='')
    parser.add_argument('--secure', action='store_true')
    parser.add_argument('--alone', action='store_true')
    return parser.parse_args(words)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that everything is taken down
    options = parse(sys.argv[1:])
    if not os.path.exists(os.path.join(town.BUILD, 'people')):  # quickstart builds fairslot alone
        sys.exit(f'error: {town.BUILD} has no people\nnext: ./tests/run nemesis, which builds it')
    print(f'# seed {options.seed}')
    tale, verdict, said = campaign(options)
    print(said)
    made = demands.all_of(options, tale, verdict)
    print('\n'.join(['', *demands.table(made), *tale['sick'], '']))
    short = demands.shortcomings(made)
    print('nemesis: ' + ('; '.join(short) if short else 'passed'))
    return 1 if short else 0


if __name__ == '__main__':
    sys.exit(main())

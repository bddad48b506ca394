# SPDX-License-Identifier: MIT
"""What a campaign is held to, and how it is told: each count beside what was wanted of it."""
import collections

import faults

LOSSES = ('an acknowledged hold is lost', 'an acknowledged confirm vanished',
          'an acknowledged cancel vanished')
LATE_SECONDS = 15  # the last fault may end so long after the minutes

Demand = collections.namedtuple('Demand', 'what wanted got met')


def at_least(what, wanted, got):
    return Demand(what, f'>= {wanted:,}', f'{got:,}', got >= wanted)


def exactly(what, wanted, got, met=None):
    return Demand(what, f'{wanted:,}' if isinstance(wanted, int) else wanted,
                  f'{got:,}' if isinstance(got, int) else got,
                  wanted == got if met is None else met)


def of_faults(options, tale):
    """tale: what run.py writes down of a campaign."""
    bit = [strike for strike in tale['strikes'] if strike['bit']]
    kinds = collections.Counter(strike['kind'] for strike in bit)
    last = max((strike['heal_us'] for strike in bit), default=0)
    took = (last - tale['began_us']) / 60e6
    made = [at_least('faults that have bitten', options.faults, len(bit))]
    if options.minutes:
        made.append(Demand('... all of them within', f'<= {options.minutes:g} min',
                           f'{took:.1f} min',
                           bool(bit) and took * 60 <= options.minutes * 60 + LATE_SECONDS))
    made += [at_least(f'... {kind}', options.faults // 20, kinds[kind]) for kind in faults.KINDS]
    hits = sum(strike['leader'] for strike in bit)
    return made + [at_least('... that hit the leader', options.faults * 3 // 10, hits)]


def of_history(options, verdict):
    """verdict: what the checker wrote."""
    acknowledged = verdict['acknowledged']
    wrong = verdict['wrong']
    gaps = verdict['gaps']
    longest = f'{(gaps[0]["to_us"] - gaps[0]["from_us"]) / 1e6:.2f} s' if gaps else 'not told'
    made = [at_least('acknowledged mutations', options.acknowledged, acknowledged),
            exactly('... of them there in the end', acknowledged, verdict['present']),
            exactly('slots with two holders', 0, wrong['I1 two holders'])]
    made += [exactly(f'violations: {law}', 0, count) for law, count in wrong.items()
             if law != 'I1 two holders']
    made.append(Demand('longest write gap', 'told', longest, bool(gaps)))
    plants = {plant['name']: plant['caught'] for plant in verdict['plants']}
    made += [exactly(f'planted: {loss}', 'caught', 'caught' if plants.get(loss) else 'NOT CAUGHT')
             for loss in LOSSES]
    together = verdict['together']
    made.append(Demand('the three planted at once', '3 told', f'{together["told"]} told',
                       together['told'] == len(LOSSES) <= together['missing']))
    made.append(exactly('all that is planted, one by one', f'{len(plants)} caught',
                        f'{sum(plants.values())} caught'))
    return made


def all_of(options, tale, verdict):
    made = of_faults(options, tale)
    if verdict is None:
        return made + [Demand('the checker has judged', 'yes', 'no', False)]
    made += of_history(options, verdict)
    sick = len(tale['sick'])
    return made + [exactly('nodes: failed checks, states that differ', 0, sick),
                   exactly('nodes: scrubs before their day', 0, tale['scrubs'])]


def shortcomings(made):
    return [f'{one.what.removeprefix("... ")}: wanted {one.wanted}, got {one.got}'
            for one in made if not one.met]


def table(made):
    """Lines of text."""
    width = max(len(one.what) for one in made)
    lines = [f'{"":{width}}  {"wanted":>14}  {"got":>14}']
    return lines + [f'{one.what:{width}}  {one.wanted:>14}  {one.got:>14}'
                    + ('' if one.met else '   MISSED') for one in made]

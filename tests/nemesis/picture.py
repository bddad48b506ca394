#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A campaign as a page: what was hit when, who led, how many writes were acknowledged meanwhile,
and every count beside what was wanted of it.

usage: picture.py FOLDER      a folder that run.py --keep left: tale.json, verdict.json
Writes FOLDER/run.svg (the timeline) and FOLDER/report.html (the page, which carries it).
No library: text out of the run's own files.  Everything that a run said is escaped.
"""
import html
import json
import math
import os
import sys

ROW_SECONDS = 300      # of the timeline; a short run has one row
LEFT, RIGHT, WIDTH = 74, 18, 1200  # the room of names, of the last clock; all of it
PLOT, LANE, LANE_GAP = 92, 17, 4  # heights
ROW_GAP = 40
KINDS = {  # letter, colour
    'kill': ('K', '#d5480b'), 'stop': ('S', '#dd9a00'), 'cut': ('C', '#1668b3'),
    'slow': ('L', '#4aa8dd'), 'full': ('F', '#0b8f6a'), 'eio': ('E', '#c4639b'),
    'clock': ('T', '#7357c8'), 'blank': ('B', '#3d4350'),
    'roll': ('R', '#7d8a2e'), 'swap': ('M', '#9a6b3f'),
}
WORDS = {
    'kill': 'SIGKILL', 'stop': 'SIGSTOP', 'cut': 'partition', 'slow': 'delay and loss',
    'full': 'disk full', 'eio': 'every sync fails', 'clock': 'clock set wrong',
    'blank': 'disk lost', 'roll': 'rolling restart', 'swap': 'member replaced',
}
STYLE = '''
.page, svg { --ink:#1b2230; --soft:#697180; --line:#e3e6eb; --paper:#ffffff; --card:#f6f7f9;
  --flow:#2f6db5; --lead:#c9dcf2; --lane:#eceef2; --gap:#d33c3c; --good:#0b8f6a; }
@media (prefers-color-scheme: dark) { .page, svg { --ink:#e6e9ef; --soft:#98a1b0; --line:#2c323d;
  --paper:#14181f; --card:#1c222b; --flow:#6aa5e6; --lead:#2b4a6e; --lane:#242a34; --gap:#ff6b6b;
  --good:#3ecf9f; } }
svg text { font:11px system-ui,'Segoe UI',Roboto,'DejaVu Sans',sans-serif; fill:var(--soft); }
svg .name { fill:var(--ink); } svg .letter { fill:#fff; font-weight:700; font-size:10px; }
svg .grid { stroke:var(--line); stroke-width:1; } svg .flow { fill:var(--flow); opacity:.85; }
svg .gap { fill:var(--gap); opacity:.13; } svg .lane { fill:var(--lane); }
svg .lead { fill:var(--lead); } svg .heals { opacity:.35; }
'''
PAGE = '''
body { margin:0; } .page { background:var(--paper); color:var(--ink); padding:36px 0 60px;
  font:15px/1.5 system-ui,'Segoe UI',Roboto,'DejaVu Sans',sans-serif; min-height:100vh; }
main { max-width:1200px; margin:0 auto; padding:0 28px; } h1 { font-size:27px; margin:0; }
h2 { font-size:17px; margin:38px 0 10px; } p { color:var(--soft); margin:4px 0; }
.good { color:var(--good); } .bad { color:var(--gap); } svg { width:100%; height:auto; }
.tiles { display:grid; grid-template-columns:repeat(auto-fit,minmax(160px,1fr)); gap:12px;
  margin:24px 0 6px; } .tile { background:var(--card); border-radius:8px; padding:12px 16px; }
.tile b { display:block; font-size:23px; line-height:1.25; font-variant-numeric:tabular-nums; }
.tile span { color:var(--soft); font-size:13px; }
.key { display:flex; flex-wrap:wrap; gap:4px 18px; color:var(--soft); font-size:13px; }
.key i { display:inline-block; width:16px; height:13px; border-radius:3px; margin-right:6px;
  vertical-align:-2px; } table { border-collapse:collapse; width:100%; font-size:14px;
  font-variant-numeric:tabular-nums; } td, th { text-align:left; padding:4px 14px 4px 0;
  border-bottom:1px solid var(--line); vertical-align:top; } th { color:var(--soft);
  font-weight:500; } .number { text-align:right; white-space:nowrap; }
.two { display:grid; grid-template-columns:repeat(auto-fit,minmax(420px,1fr)); gap:0 56px; }
summary { cursor:pointer; font-size:17px; font-weight:700; margin:34px 0 10px; }
'''


def esc(value):
    return html.escape(str(value))


def box(name, x, y, wide, high, more=''):
    return (f'<rect class="{name}" x="{x:.1f}" y="{y:.1f}" width="{max(wide, 0.6):.1f}" '
            f'height="{high:.1f}" {more} ')


class Run:
    """What the files say, in seconds since the first fault was due."""

    def __init__(self, folder):
        with open(os.path.join(folder, 'tale.json'), encoding='utf-8') as file:
            self.tale = json.load(file)
        with open(os.path.join(folder, 'verdict.json'), encoding='utf-8') as file:
            self.verdict = json.load(file)
        self.seconds = self.at(self.tale['ended_us'])
        self.nodes = self.tale['nodes']
        self.strikes = sorted(self.tale['strikes'], key=lambda one: one['begin_us'])
        self.kinds = {one['kind'] for one in self.strikes}
        self.gaps = [(self.at(gap['from_us']), self.at(gap['to_us']))
                     for gap in self.verdict['gaps']]
        step = self.verdict['pulse_step_us'] / 1e6
        first = self.at(self.verdict['pulse_us'])
        self.flow = [(first + number * step, count / step)
                     for number, count in enumerate(self.verdict['pulse'])]
        self.flow_step = step

    def at(self, now_us):
        return (now_us - self.tale['began_us']) / 1e6

    def reigns(self):
        """(node, from, to, term): in the eyes of all, a later term ends an earlier one."""
        told = [(self.at(at_us), node, term) for at_us, node, term in self.tale['leaders']]
        made, latest = [], None
        for at, node, term in told:
            if term and (latest is None or term > latest[2]):
                if latest:
                    made.append((latest[1], latest[0], at, latest[2]))
                latest = (at, node, term)
            elif not term and latest and latest[1] == node:
                made.append((node, latest[0], at, latest[2]))
                latest = None
        if latest:
            made.append((latest[1], latest[0], self.seconds, latest[2]))
        ends = {}
        for strike in self.strikes:  # a process that was killed does not say that it leads no more
            if strike['kind'] in ('kill', 'eio', 'blank'):
                ends.setdefault(strike['node'], []).append(self.at(strike['begin_us']))
        return [(node, begin, min([end] + [hit for hit in ends.get(node, ())
                                           if begin < hit < end]), term)
                for node, begin, end, term in made]

    def gap_of(self, strike):
        """The longest time without an acknowledgement that touches a fault."""
        begin, end = self.at(strike['begin_us']), self.at(strike['heal_us']) + 1
        touching = [to - at for at, to in self.gaps if at < end and to > begin]
        return max(touching, default=None)


class Timeline:
    """Rows of five minutes: writes a second, and below, a lane for each node."""

    def __init__(self, run):
        self.run = run
        self.rows = max(1, math.ceil((run.seconds - 1) / ROW_SECONDS))
        self.span = ROW_SECONDS if self.rows > 1 else run.seconds
        self.scale = (WIDTH - LEFT - RIGHT) / self.span
        self.top = nice_top(max((rate for _, rate in run.flow), default=1))
        self.row_height = PLOT + 10 + run.nodes * (LANE + LANE_GAP) + ROW_GAP
        self.out = []

    def x(self, row, at):
        return LEFT + min(max(at - row * self.span, 0), self.span) * self.scale

    def inside(self, row, begin, end):
        return begin < (row + 1) * self.span and end > row * self.span

    def draw(self):
        for row in range(self.rows):
            y = 14 + row * self.row_height
            self.flow(row, y)
            self.lanes(row, y + PLOT + 10)
            self.clock(row, y)
        high = self.rows * self.row_height + 4
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {high}" role="img" '
                f'aria-label="acknowledged writes a second, faults and leaders over time">'
                f'<style>{STYLE}</style>{"".join(self.out)}</svg>')

    def flow(self, row, y):
        for part in (0, 0.5, 1):
            level = y + PLOT * (1 - part)
            self.out.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{level:.1f}" '
                            f'y2="{level:.1f}"/><text x="{LEFT - 8}" y="{level + 4:.1f}" '
                            f'text-anchor="end">{self.top * part:,.0f}</text>')
        for begin, end in self.run.gaps:
            if end - begin >= 0.4 and self.inside(row, begin, end):
                x = self.x(row, begin)
                self.out.append(box('gap', x, y, self.x(row, end) - x, PLOT)
                                + f'><title>nothing acknowledged for {end - begin:.2f} s'
                                  '</title></rect>')
        path = []
        for at, rate in self.run.flow:
            if self.inside(row, at, at + self.run.flow_step):
                path = path or [f'M{self.x(row, at):.1f},{y + PLOT}']
                level = y + PLOT * (1 - min(rate / self.top, 1))
                path.append(f'L{self.x(row, at):.1f},{level:.1f}'
                            f'L{self.x(row, at + self.run.flow_step):.1f},{level:.1f}')
        if path:
            self.out.append(f'<path class="flow" d="{"".join(path)}V{y + PLOT}Z"/>')

    def lanes(self, row, y):
        end_x = self.x(row, self.run.seconds)
        for node in range(1, self.run.nodes + 1):
            top = y + (node - 1) * (LANE + LANE_GAP)
            self.out.append(f'<text class="name" x="{LEFT - 8}" y="{top + 13}" text-anchor="end">'
                            f'node {node}</text>' + box('lane', LEFT, top, end_x - LEFT, LANE)
                            + 'rx="2"/>')
        for node, begin, end, term in self.run.reigns():
            if self.inside(row, begin, end):
                x, top = self.x(row, begin), y + (node - 1) * (LANE + LANE_GAP)
                self.out.append(box('lead', x, top, self.x(row, end) - x, LANE)
                                + f'><title>node {node} leads, term {term}</title></rect>')
        for strike in self.run.strikes:
            self.block(row, y, strike)

    def block(self, row, y, strike):
        run = self.run
        begin, heal, end = (run.at(strike[key]) for key in ('begin_us', 'heal_us', 'end_us'))
        top = y + (strike['node'] - 1) * (LANE + LANE_GAP)
        letter, colour = KINDS[strike['kind']]
        x, middle, last = (self.x(row, at) for at in (begin, heal, end))
        title = (f'<title>{begin:.1f} s: {esc(strike["name"])} at '
                 f'{"leader" if strike["leader"] else "node"} {strike["node"]}\n'
                 f'{esc(strike["proof"])}\nhealed in {end - heal:.1f} s</title>')
        if self.inside(row, heal, end):
            self.out.append(box('heals', middle, top + 4, last - middle, LANE - 8,
                                f'fill="{colour}"') + f'>{title}</rect>')
        if not self.inside(row, begin, heal):
            return
        fill = (f'fill="{colour}"' if strike['bit']
                else f'fill="none" stroke="{colour}" stroke-dasharray="2 2"')
        self.out.append(box('fault', x, top, max(middle - x, 2), LANE, fill) + f'rx="2">{title}'
                        '</rect>')
        if middle - x >= 10 and strike['bit']:
            self.out.append(f'<text class="letter" x="{(x + middle) / 2:.1f}" y="{top + 12.5}" '
                            f'text-anchor="middle" pointer-events="none">{letter}</text>')

    def clock(self, row, y):
        bottom = y + PLOT + 10 + self.run.nodes * (LANE + LANE_GAP) + 12
        step = next(one for one in (5, 10, 15, 30, 60) if self.span / one <= 14 or one == 60)
        at = row * self.span
        while at <= min((row + 1) * self.span, self.run.seconds + step / 3):
            words = f'{int(at) // 60}:{int(at) % 60:02d}'
            self.out.append(f'<text x="{self.x(row, at):.1f}" y="{bottom:.1f}" '
                            f'text-anchor="middle">{words}</text>')
            at += step


def nice_top(value):
    """A round number at or above it."""
    step = 10 ** math.floor(math.log10(max(value, 1)))
    return next(step * part for part in (1, 2, 2.5, 4, 5, 8, 10) if step * part >= value)


def strip(run):
    """One dot a fault: the longest write gap that touches it, by kind, on a log scale."""
    kinds = [kind for kind in KINDS if kind in run.kinds]
    high, left, right = 24 * len(kinds) + 40, 150, WIDTH - 20
    low_s, high_s = 0.05, max(10, 1.2 * max((to - at for at, to in run.gaps), default=1))

    def x(seconds):
        part = math.log(max(seconds, low_s) / low_s) / math.log(high_s / low_s)
        return left + (right - left) * part

    out = []
    for mark in (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 20):
        if mark <= high_s:
            out.append(f'<line class="grid" x1="{x(mark):.1f}" x2="{x(mark):.1f}" y1="6" '
                       f'y2="{high - 28}"/><text x="{x(mark):.1f}" y="{high - 12}" '
                       f'text-anchor="middle">{mark:g} s</text>')
    for row, kind in enumerate(kinds):
        y, colour = 20 + 24 * row, KINDS[kind][1]
        out.append(f'<text class="name" x="{left - 14}" y="{y + 4}" text-anchor="end">'
                   f'{WORDS[kind]}</text>')
        for number, strike in enumerate(one for one in run.strikes if one['kind'] == kind):
            gap = run.gap_of(strike)
            if gap is not None and strike['bit']:
                paint = (f'fill="{colour}"' if strike['leader']
                         else f'fill="var(--paper)" stroke="{colour}" stroke-width="1.6"')
                out.append(f'<circle cx="{x(gap):.1f}" cy="{y + (number % 5 - 2) * 3}" r="4" '
                           f'{paint} opacity=".85"><title>{gap:.2f} s: {esc(strike["name"])} at '
                           f'{"leader" if strike["leader"] else "node"} {strike["node"]}</title>'
                           '</circle>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {high}" role="img" '
            f'aria-label="write gaps by kind of fault"><style>{STYLE}</style>{"".join(out)}</svg>')


NUMBERS = ('wanted', 'got', 'at', 'lasted', 'healed in', 'write gap')


def rows(head, lines):
    cells = ''.join(f'<th class="{"number" if one in NUMBERS else ""}">{esc(one)}</th>'
                    for one in head)
    return (f'<table><tr>{cells}</tr>'
            + ''.join(f'<tr>{"".join(line)}</tr>' for line in lines) + '</table>')


def cell(value, name=''):
    return f'<td class="{name}">{esc(value)}</td>'


def tiles(run):
    bit = [one for one in run.strikes if one['bit']]
    verdict = run.verdict
    longest = max((to - at for at, to in run.gaps), default=0)
    shown = [(len(bit), 'faults that have bitten'),
             (sum(one['leader'] for one in bit), 'of them hit the leader'),
             (f'{verdict["acknowledged"]:,}', 'mutations acknowledged'),
             (f'{verdict["acknowledged"] - verdict["present"]:,}', 'of them not there in the end'),
             (verdict['wrong']['I1 two holders'], 'slots with two holders'),
             (f'{longest:.2f} s', 'longest write gap'),
             (f'{sum(one["caught"] for one in verdict["plants"])} of {len(verdict["plants"])}',
              'planted losses caught')]
    return '<div class="tiles">' + ''.join(
        f'<div class="tile"><b>{esc(value)}</b><span>{esc(what)}</span></div>'
        for value, what in shown) + '</div>'


def demand_table(run):
    made = run.tale['demands']
    half = (len(made) + 1) // 2
    parts = [rows(('what', 'wanted', 'got'), [
        (cell(one['what']), cell(one['wanted'], 'number'),
         cell(one['got'], 'number good' if one['met'] else 'number bad')) for one in part])
        for part in (made[:half], made[half:])]
    return f'<div class="two"><div>{parts[0]}</div><div>{parts[1]}</div></div>'


def fault_table(run):
    lines = []
    for one in run.strikes:
        begin, gap = run.at(one['begin_us']), run.gap_of(one)
        lines.append((cell(f'{int(begin) // 60}:{begin % 60:04.1f}', 'number'), cell(one['name']),
                      cell(f'{"leader" if one["leader"] else "node"} {one["node"]}'),
                      cell(f'{(one["heal_us"] - one["begin_us"]) / 1e6:.1f} s', 'number'),
                      cell(f'{(one["end_us"] - one["heal_us"]) / 1e6:.1f} s', 'number'),
                      cell(f'{gap:.2f} s' if gap is not None else 'short', 'number'),
                      cell(('' if one['bit'] else 'NO BITE: ') + one['proof'])))
    return rows(('at', 'fault', 'whom', 'lasted', 'healed in', 'write gap', 'what shows it'), lines)


def page(run):
    tale = run.tale
    passed = all(one['met'] for one in tale['demands'])
    key = ''.join(f'<span><i style="background:{colour}"></i>{letter} {WORDS[kind]}</span>'
                  for kind, (letter, colour) in KINDS.items() if kind in run.kinds)
    plants = rows(('planted in the history', 'caught as', 'what the checker said'), [
        (cell(one['name']), cell(one['law'] if one['caught'] else 'NOT CAUGHT'), cell(one['said']))
        for one in run.verdict['plants']])
    about = (f'{tale["nodes"]} nodes{" over TLS" if tale["secure"] else ""}, {tale["gateways"]} '
             f'gateways, {tale["people"]} people; {run.seconds / 60:.1f} minutes on '
             f'{tale["machine"]}; {tale["date"]}; seed {tale["seed"]}')
    return f'''<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>fairslot nemesis</title>
<style>{STYLE}{PAGE}</style><body><div class="page"><main>
<h1>Nemesis: <span class="{"good" if passed else "bad"}">{"passed" if passed else
    "fell short"}</span></h1><p>{esc(about)}</p>{tiles(run)}
<h2>Writes acknowledged a second, faults, leaders</h2>
<div class="key">{key}<span><i style="background:var(--lead)"></i>leads</span>
<span><i style="background:var(--gap);opacity:.3"></i>nothing acknowledged for 0.4 s or more</span>
<span>pale behind a fault: it recovers</span></div>{Timeline(run).draw()}
<h2>The longest write gap that touches each fault</h2>
<p>Full dots: the leader was hit. Rings: another node.</p>{strip(run)}
<h2>What it is held to</h2>{demand_table(run)}
<details><summary>{len(run.strikes)} faults, and what shows that each has bitten</summary>
{fault_table(run)}</details>
<details><summary>{len(run.verdict["plants"])} planted losses, one history each</summary>{plants}
</details></main></div></body></html>
'''


def write(folder):
    run = Run(folder)
    with open(os.path.join(folder, 'run.svg'), 'w', encoding='utf-8') as file:
        file.write(Timeline(run).draw())
    with open(os.path.join(folder, 'report.html'), 'w', encoding='utf-8') as file:
        file.write(page(run))


if __name__ == '__main__':
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    write(sys.argv[1])

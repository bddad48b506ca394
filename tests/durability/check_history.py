#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Holds what clients were told against what the engine says in the end.

A history is a list of attempts, one JSON object a line:
  identity, op, body, request_id, invoke_ns, return_ns, outcome (ok | refused | unknown), reason,
  answer (hash of the whole answer), log_index, name (of hold or reservation), slot, version
  op: hold confirm drop cancel (mutations), read_hold read_reservation (state instead of an answer)
The final state: slots {name: [state, version]}, reservations {name: [identity, state, slot]},
holds {name: [identity, state, slot]}, max_live.

Properties (numbers of the reliability study):
  I1 no double booking   I2 no lost acknowledgement, nothing that nobody asked for
  I3 real time is kept by the log's order   I4 nobody over the entitlement
  I5 no resurrection     I6 one request id, one answer, one effect
Freed slots go to the return pool and stay there, so a slot has at most one holder in its life.

usage: check_history.py HISTORY FINAL
"""
import collections
import json
import sys

MUTATIONS = ('hold', 'confirm', 'drop', 'cancel')
ENDS = {'drop': 'hold', 'cancel': 'reservation'}


class Request:
    """All attempts of one identity under one request id with one body: at most one effect."""

    def __init__(self, attempt):
        self.identity, self.op = attempt['identity'], attempt['op']
        self.body, self.request_id = attempt['body'], attempt['request_id']
        self.attempts = []

    def add(self, attempt):
        self.attempts.append(attempt)

    @property
    def ok(self):
        return next((a for a in self.attempts if a['outcome'] == 'ok'), None)

    @property
    def settled(self):
        """Told for sure, one way or the other."""
        return any(a['outcome'] != 'unknown' for a in self.attempts)

    @property
    def invoke_ns(self):
        return min(a['invoke_ns'] for a in self.attempts)

    @property
    def return_ns(self):
        """When somebody first knew the answer."""
        return min(a['return_ns'] for a in self.attempts if a['outcome'] == 'ok')


class Checker:
    def __init__(self, history, final):
        self.final, self.wrong = final, []
        self.reads = [a for a in history if a['op'] not in MUTATIONS]
        self.requests = {}
        for attempt in history:
            if attempt['op'] in MUTATIONS:
                key = (attempt['identity'], attempt['request_id'], attempt['op'], attempt['body'])
                self.requests.setdefault(key, Request(attempt)).add(attempt)
        self.done = [r for r in self.requests.values() if r.ok]
        self.maybe = [r for r in self.requests.values() if not r.settled]

    def complain(self, prop, text):
        self.wrong.append(f'{prop}: {text}')

    def check(self):
        self.check_once()
        self.check_double_booking()
        self.check_real_time()
        self.check_slots()
        self.check_reservations()
        self.check_holds()
        self.check_resurrection()
        self.check_entitlements()
        return self.wrong

    def check_once(self):
        """I6."""
        bodies = collections.defaultdict(set)
        for request in self.requests.values():
            answers = {a['answer'] for a in request.attempts if a['outcome'] == 'ok'}
            reasons = {a['reason'] for a in request.attempts if a['outcome'] == 'refused'}
            if len(answers) + len(reasons) > 1:
                self.complain('I6', f'{request.op} {request.request_id}: several answers to one '
                                    f'request: {len(answers)} done, refused {sorted(reasons)}')
            if request.ok:
                bodies[request.identity, request.request_id].add((request.op, request.body))
        for (_, request_id), seen in bodies.items():
            if len(seen) > 1:
                self.complain('I6', f'{request_id}: {len(seen)} bodies were done under one id')

    def check_double_booking(self):
        """I1: one hold a slot, one reservation a hold."""
        holds, versions = collections.defaultdict(set), collections.defaultdict(dict)
        for request in self.done:
            answer = request.ok
            if request.op == 'hold':
                holds[answer['slot']].add(answer['name'])
            other = versions[answer['slot']].setdefault(answer['version'], request)
            if other is not request:
                self.complain('I1', f'{answer["slot"]}: version {answer["version"]} made by both '
                                    f'{other.op} {other.request_id} and {request.op} '
                                    f'{request.request_id}')
        for slot, names in holds.items():
            if len(names) > 1:
                self.complain('I1', f'{slot} has {len(names)} holders: {sorted(names)}')

    def check_real_time(self):
        """I3: who returned before another was invoked stands before it in the log."""
        latest_invoke, before = 0, 0
        ordered = sorted(self.done, key=lambda r: r.ok['log_index'])
        at = 0
        while at < len(ordered):
            index, group = ordered[at].ok['log_index'], []
            while at < len(ordered) and ordered[at].ok['log_index'] == index:
                group.append(ordered[at])
                at += 1
            latest_invoke = max(latest_invoke, *(r.invoke_ns for r in group))
            for request in group:
                if request.return_ns < latest_invoke:
                    self.complain('I3', f'{request.op} {request.request_id} at log index {index} '
                                        f'had returned before something up to there was asked')
                    before += 1
                    if before > 10:
                        return

    def effects(self, op):
        return [r for r in self.done if r.op == op]

    def check_slots(self):
        """I2, the slots' side: each slot is as the acknowledged story says, or an unsettled one."""
        story = {}
        for op in ('hold', 'confirm', 'drop', 'cancel'):
            for request in self.effects(op):
                story[request.ok['slot']] = (op, request.ok['version'])
        loose = {r.body for r in self.maybe} | {
            r.ok['slot'] for r in self.done if r.op in ('hold', 'confirm')
            and any(m.body == r.ok['name'] for m in self.maybe)}
        allowed = {None: {('FREE', 0)}, 'hold': {('HELD', 0), ('RETURNED', 1)},
                   'confirm': {('TAKEN', 0)}, 'drop': {('RETURNED', 0)},
                   'cancel': {('RETURNED', 0)}}
        for slot, (state, version) in self.final['slots'].items():
            op, told = story.pop(slot, (None, self.final.get('first_version', 1)))
            if slot not in loose and (state, version - told) not in allowed[op]:
                self.complain('I2', f'{slot} is {state} in version {version}; the last that was '
                                    f'acknowledged is {op} in version {told}')
        for slot, (op, _) in story.items():
            self.complain('I2', f'{slot}: an acknowledged {op}, and the slot is gone')

    def check_reservations(self):
        """I2: acknowledged reservations are there, with their holder and slot; no others are."""
        confirmed = {r.ok['name']: r for r in self.effects('confirm')}
        cancelled = {r.body for r in self.effects('cancel')}
        maybe = {r.body for r in self.maybe}
        for name, request in confirmed.items():
            found = self.final['reservations'].get(name)
            if name in maybe or (found is None and name in cancelled):
                continue  # ended ones may leave the list
            wanted = [request.identity, 'CANCELLED' if name in cancelled else 'CONFIRMED',
                      request.ok['slot']]
            if found != wanted:
                self.complain('I2', f'{name} should be {wanted}, is {found}')
        for name, found in self.final['reservations'].items():
            if name not in confirmed and name.replace('/reservations/r', '/holds/h') not in maybe:
                self.complain('I2', f'{name} is {found}, and nobody was told so')

    def check_holds(self):
        """I2: acknowledged holds that nobody ended live, or ran out."""
        ended = {r.body for r in self.done if r.op in ('confirm', 'drop')} | {
            r.body for r in self.maybe}
        for request in self.effects('hold'):
            name = request.ok['name']
            found = self.final['holds'].get(name)
            if name in ended or found is None:
                continue  # the run asks only for those that nobody ended
            if found[0] != request.identity or found[1] not in ('LIVE', 'EXPIRED') \
                    or found[2] != request.ok['slot']:
                self.complain('I2', f'{name} should be live or expired, is {found}')
        missing = set(self.final.get('missing_holds', ())) - ended
        for name in sorted(missing):
            self.complain('I2', f'{name} was acknowledged and is gone')

    def check_resurrection(self):
        """I5: after an acknowledged end nobody sees it alive."""
        ended = {}
        for request in self.done:
            if request.op in ENDS:
                ended[request.body] = request.return_ns
        alive = [(r['name'], r['invoke_ns'], r['state']) for r in self.reads if r['outcome'] == 'ok'
                 and r['state'] in ('LIVE', 'CONFIRMED')]
        for name, at, state in alive:
            if name in ended and at > ended[name] and (state == 'LIVE' or '/reservations/' in name):
                self.complain('I5', f'{name} was ended and is seen {state} later')
        for request in self.effects('confirm'):
            if request.body in ended and request.invoke_ns > ended[request.body]:
                self.complain('I5', f'{request.body} was dropped and is confirmed later')
        for name, (_, state, _) in self.final['reservations'].items():
            if name in ended and state == 'CONFIRMED':
                self.complain('I5', f'{name} was cancelled and is confirmed in the end')

    def check_entitlements(self):
        """I4: what surely lives of an identity at an instant is within its limit."""
        until = {}
        for request in self.requests.values():
            if request.op in ENDS and (request.ok or not request.settled):
                until[request.body] = min(request.invoke_ns, until.get(request.body, 1 << 63))
        steps = collections.defaultdict(list)
        for request in self.effects('confirm'):
            end = until.get(request.ok['name'], 1 << 63)
            if end > request.return_ns:
                steps[request.identity] += [(request.return_ns, 1), (end, -1)]
        for identity, moves in steps.items():
            live = 0
            for _, step in sorted(moves):
                live += step
                if live > self.final['max_live']:
                    self.complain('I4', f'{identity} has {live} reservations, '
                                        f'{self.final["max_live"]} are allowed')
                    break


def check(history, final):
    """Every violation, as text; none when all is well."""
    return Checker(history, final).check()


def main():
    with open(sys.argv[1], encoding='utf-8') as file:
        history = [json.loads(line) for line in file]
    with open(sys.argv[2], encoding='utf-8') as file:
        final = json.load(file)
    wrong = check(history, final)
    print('\n'.join(wrong[:50]))
    print(f'{len(history)} attempts, {len(wrong)} violations')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())

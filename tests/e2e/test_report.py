#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Does the report of a closed release say whether being fast bought anything, and can everybody
compute an own outcome from the one result object?"""
import base64
import hmac
import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

from house import (BINARY, ROOT, Client, Server, api, eventually, refused, resources,
                   scratch_folder)
from release_kit import BY_TURN, City, State, enter, leave, mine
import tap

SERVER = Server()
CITY = City(SERVER)
FOLDER = scratch_folder()
Outcome = {'withdrawn': 1, 'lost': 2, 'turn': 3, 'waiting': 4, 'left': 5, 'won': 16}


def say(*words):
    env = dict(os.environ, FAIRSLOT_TARGET=SERVER.target,
               FAIRSLOT_TOKEN_FILE=os.path.join(SERVER.data, 'operator.token'))
    return subprocess.run([BINARY, *words], capture_output=True, text=True, env=env, timeout=60,
                          check=False)


def report(release, who=None):
    return (who or Client(SERVER.target)).GetReleaseReport(
        api.GetReleaseReportRequest(name=release + '/report'))


def result(release, who=None):
    """(first page, {ticket id: (outcome, first slot)})."""
    who, token, first, found = who or Client(SERVER.target), '', None, {}
    while True:
        page = who.GetReleaseResult(api.GetReleaseResultRequest(name=release, page_token=token))
        first, slots = first or page, list(page.first_slots)
        for i, outcome in enumerate(page.outcomes):
            found[page.ticket_ids[16 * i:16 * i + 16].hex()] = (
                outcome, slots.pop(0) if outcome > Outcome['won'] else None)
        assert not slots
        token = page.next_page_token
        if not token:
            return first, found


def test_the_report_counts_and_names_its_rules():
    release, crowd = CITY.drawn('counted', slots=20, people=60)
    for who in crowd:
        ticket = mine(who, release)
        if ticket.hold and ticket.rank % 2:
            who.confirm(ticket.hold)
    refused(9, 'RELEASE_STATE', report, release)
    CITY.end(release)
    said = report(release)
    assert said.name == release + '/report' and said.slots_offered == 20, said
    assert said.slots_given == 20 and said.identities == 60, said
    everybody = said.populations[0]
    assert (everybody.label, everybody.identities, everybody.slots) == ('everybody', 60, 20)
    assert abs(everybody.advantage - 1) < 1e-6 and abs(said.jain_index - 1 / 3) < 1e-5
    assert len(said.wins_by_arrival_decile) == 10
    assert list(said.entries_by_arrival_decile) == [6] * 10, said
    assert all(n == -1 or n >= 5 for n in said.wins_by_arrival_decile), 'small cells are hidden'
    assert 'suspected' in said.suspected_rule and '250 ms' in said.suspected_rule
    labels = [p.label for p in said.populations]
    assert any('assurance' in label for label in labels), labels
    assert said.wait_p95.ToMicroseconds() >= said.wait_p50.ToMicroseconds() > 0
    assert not said.alarm
    assert report(release, CITY.operator) == said, 'the same for everybody, and it does not change'


def test_small_counts_are_an_interval():
    release, _ = CITY.drawn('small', slots=2, people=3)
    CITY.end(release)
    said = report(release)
    assert said.identities == -1 and said.slots_given == -1, said
    assert set(said.wins_by_arrival_decile) == {-1}
    for population in said.populations:
        assert population.identities == -1 and population.advantage == 0, population
        assert population.advantage_high > population.advantage_low, population
    text = say('release', 'report', release, '--summary').stdout
    assert '< 5' in text and 'counts are small' in text or 'Nobody is suspected' in text, text


def test_planted_unfairness_raises_the_alarm():
    """Those on the list are the ones who got everything, or every third of all."""
    release, crowd = CITY.drawn('planted', slots=30, people=90)
    won = [mine(w, release).name for w in crowd if mine(w, release).hold]
    CITY.end(release)
    file = os.path.join(FOLDER, 'suspected')
    for names, alarm in ((won, True), ([mine(w, release).name for w in crowd[::3]], False)):
        with open(file, 'w', encoding='utf-8') as out:
            out.writelines(name + '\n' for name in names)
        p = say('release', 'report', release, '--suspected', file, '-o', 'json')
        assert p.returncode == 0, p
        said = json.loads(p.stdout)
        assert said.get('alarm', False) == alarm, said
        if alarm:
            assert abs(said['botAdvantage'] - 3) < 1e-6 and 'list' in said['suspectedRule'], said
            text = say('release', 'report', release, '--suspected', file).stdout
            assert 'ALARM' in text and 'Bot advantage 3.00' in text, text
    with open(file, 'w', encoding='utf-8') as out:
        out.write('not a ticket\n')
    p = say('release', 'report', release, '--suspected', file)
    assert p.returncode == 1 and ':1: is no ticket' in p.stderr and 'next:' in p.stderr, p


def test_no_report_where_nothing_was_drawn():
    pool, _ = CITY.pool('nothing', 2)
    release = CITY.release(pool)
    CITY.change('CancelRelease', release)
    CITY.wait(release, State.STATE_CANCELLED)
    refused(9, 'RELEASE_STATE', report, release)
    refused(9, 'RELEASE_STATE', result, release)
    refused(5, 'RELEASE_UNKNOWN', report, pool + '/releases/none')
    refused(5, 'RELEASE_UNKNOWN', result, pool + '/releases/none')
    refused(3, 'FIELD_INVALID', report, 'pools/x')
    p = say('release', 'report', release)
    assert p.returncode == 3 and 'RELEASE_STATE' in p.stderr, p


def test_everybody_computes_an_own_outcome():
    pool, slots = CITY.pool('result', 12)
    crowd = CITY.crowd('result', 40)
    release = CITY.release(pool)
    for i, who in enumerate(crowd):
        enter(who, release, slots[i % 12], slots[(5 * i) % 12], *(['any'] if i % 3 else []))
    leave(crowd[7], release)
    CITY.standby(release)
    page, found = result(release)
    now = CITY.get(release)
    assert (page.seed, page.ticket_root) == (now.seed, now.ticket_root)
    assert len(found) == page.ticket_count == now.ticket_count == 40
    for i, who in enumerate(crowd):
        own = mine(who, release)
        tid = own.name.rsplit('/', 1)[1]
        outcome, slot = found[tid]
        rank = int.from_bytes(hmac.digest(page.seed, bytes.fromhex(tid), 'sha256')[:8], 'big')
        if i == 7:
            assert outcome == Outcome['withdrawn'], outcome
            continue
        assert rank == own.rank
        assert (outcome > Outcome['won']) == (own.state == resources.Ticket.STATE_OFFERED), own
        if own.hold:
            hold = who.GetHold(api.GetHoldRequest(name=own.hold))
            assert hold.slots[0].name.endswith('/' + slot), (hold, slot)
        else:
            assert outcome == Outcome['lost'] and slot is None
    winners = [int(mine(w, release).rank) for w in crowd if mine(w, release).hold]
    assert page.cut_off == max(winners)


def get(name, headers=None, page_token=''):
    message = json.dumps({'name': name, 'pageToken': page_token})
    query = urllib.parse.urlencode({'connect': 'v1', 'encoding': 'json', 'message': message})
    request = urllib.request.Request(
        'http://%s/fairslot.v1.CatalogService/GetReleaseResult?%s' % (SERVER.target, query),
        headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def test_the_result_is_one_object_that_caches_keep():
    release, _ = CITY.drawn('cached', slots=2, people=5)
    status, headers, body = get(release)
    assert status == 200, (status, body)
    headers = {k.lower(): v for k, v in headers.items()}
    assert 'public' in headers['cache-control'] and 'max-age=' in headers['cache-control']
    tag = headers['etag']
    said = json.loads(body)
    assert len(base64.b64decode(said['ticketIds'])) == 16 * 5
    assert get(release)[2] == body, 'the same bytes for everybody'
    status, again, body = get(release, {'If-None-Match': tag})
    assert (status, body) == (304, b''), (status, body)
    assert {k.lower(): v for k, v in again.items()}['etag'] == tag
    assert get(release, {'If-None-Match': '"other"'})[0] == 200
    assert get(release, {'If-None-Match': '"other", ' + tag})[0] == 304
    status, headers, body = get(release, page_token='nonsense')
    assert status == 400 and b'PAGE_TOKEN_INVALID' in body, body
    assert 'no-store' in {k.lower(): v for k, v in headers.items()}['cache-control']


def examples():
    """The code of docs/result.md, as it stands there: {language: text}."""
    with open(os.path.join(ROOT, 'docs', 'result.md'), encoding='utf-8') as file:
        return dict(re.findall(r'```(js|python)\n(.*?)```', file.read(), re.S))


def test_the_examples_of_the_page_find_everybody():
    release, crowd = CITY.drawn('example', slots=4, people=9, wanted=(1, 'any'))
    base, found = 'http://' + SERVER.target, {}
    exec(examples()['python'], found)  # pylint: disable=exec-used
    names = [mine(w, release).name for w in crowd]
    script = examples()['js'] + '''
(async () => {
  const found = [];
  for (const name of %s) found.push(await outcome(%s, %s, name));
  console.log(JSON.stringify(found));
})();
''' % tuple(map(json.dumps, (names, base, release)))
    done = subprocess.run(['node', '-e', script], capture_output=True, text=True, timeout=60,
                          check=True)
    for who, name, js in zip(crowd, names, json.loads(done.stdout)):
        own, python = mine(who, release), found['outcome'](base, release, name)
        assert python['rank'] == own.rank and python['code'] == js['code'], (python, js)
        assert (js['won'] > 0) == bool(own.hold) and js['slot'] == python['slot'], (own, js)
        if own.hold:
            assert who.GetHold(api.GetHoldRequest(name=own.hold)).slots[0].name.endswith(js['slot'])
    assert found['outcome'](base, release, 'x' * 20 + '0' * 32) is None


def test_by_turn_the_result_stands_at_the_end():
    pool, _ = CITY.pool('turns', 3, hold_ttl_s=600)
    crowd = CITY.crowd('turns', 8)
    release = CITY.release(pool, serving=BY_TURN)
    for who in crowd:
        enter(who, release)
    CITY.wait(release, State.STATE_SERVING, State.STATE_STANDBY)
    eventually(lambda: sum(mine(p, release).state == resources.Ticket.STATE_TURN
                           for p in crowd) == 3)
    refused(9, 'RELEASE_STATE', result, release)
    CITY.end(release)
    _, found = result(release)
    assert sorted(o for o, _ in found.values()) == [3] * 3 + [4] * 5, found
    assert report(release).slots_offered == 3


def test_a_clock_that_stands_close_to_the_opening():
    """The rule about the first 250 ms: whoever waits longer is nobody's suspect."""
    pool, _ = CITY.pool('calm', 6)
    release = CITY.release(pool)
    crowd = CITY.crowd('calm', 12)
    time.sleep(1)
    for who in crowd:
        enter(who, release, 'any')
    CITY.standby(release)
    CITY.end(release)
    said = report(release)
    assert not [p for p in said.populations if p.label.startswith('suspected')], said
    assert said.bot_advantage_high == 0 and not said.alarm
    assert 'Nobody is suspected' in say('release', 'report', release).stdout


if __name__ == '__main__':
    tap.run(globals(), SERVER.start, SERVER.close, side_by_side=6)

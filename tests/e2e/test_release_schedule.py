#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: a release runs by its times with nobody there, catches up when its server was away, and an
operator can do by hand what the verbs say: `fairslot release ...`, as a person and as a script."""
import json
import os
import time

from house import Server, cluster, eventually, new_id, refused, resources, run
from release_kit import City, State, Ticket, enter, make_release, mine
import tap

SERVER = Server()
CITY = City(SERVER)
OK, FAILED, USAGE, PRECONDITION, UNREACHABLE, DENIED = range(6)


def seconds(stamp):
    return stamp.seconds + stamp.nanos / 1e9


def sleep_until(at):
    time.sleep(max(0.0, at - time.time()))


def away(until):
    """Killed, and back at that time."""
    SERVER.kill()
    sleep_until(until)
    SERVER.start()
    eventually(CITY.operator.reaches, 20)


def test_by_itself_with_a_grace():
    pool, _ = CITY.pool('alone', 2)
    release = CITY.release(pool, open_s=2, window_s=2, grace_s=3, close_s=12, wait=False)
    told = CITY.get(release)
    opens, closes = seconds(told.entry_open_time), seconds(told.entry_close_time)
    assert told.state == State.STATE_ANNOUNCED
    sleep_until(closes + 0.5)  # the announced end is over, the grace is not
    first, late = SERVER.person('alone'), SERVER.person('alone-late')
    assert CITY.get(release).state == State.STATE_ENTRY
    enter(first, release, 'any')  # as one that waited in a queue: it loses nothing
    sleep_until(closes + 3.2)
    refused(9, 'RELEASE_SEALED', enter, late, release, 'any')
    CITY.standby(release)
    now = CITY.get(release)
    assert now.ticket_count == 1 and seconds(now.seal_time) >= closes + 3 > opens
    assert mine(first, release).state == Ticket.STATE_OFFERED
    booked = first.confirm(mine(first, release).hold)
    CITY.wait(release, State.STATE_CLOSED)
    assert time.time() >= seconds(told.close_time) - 0.1
    states = sorted(s.state for s in CITY.operator.slots(pool))
    assert states == sorted([resources.Slot.STATE_TAKEN, resources.Slot.STATE_RETURNED])
    assert booked.name


def test_away_at_the_opening():
    pool, _ = CITY.pool('opening', 1)
    release = CITY.release(pool, open_s=2, window_s=6, wait=False)
    opens = seconds(CITY.get(release).entry_open_time)
    away(opens + 0.5)
    CITY.wait(release, State.STATE_ENTRY, seconds=5)
    enter(SERVER.person('opening'), release, 'any')
    CITY.change('CancelRelease', release)


def test_away_at_sealing_and_at_the_end():
    pool, _ = CITY.pool('sealing', 2)
    release = CITY.release(pool, window_s=3, grace_s=1, close_s=9)
    told = CITY.get(release)
    people = [SERVER.person(f'sealing-{i}') for i in range(5)]
    receipts = [enter(who, release, 'any').receipt for who in people]
    away(seconds(told.entry_close_time) + 1.5)
    CITY.standby(release)
    now = CITY.get(release)
    assert now.ticket_count == 5 and now.served_count == 2
    assert [mine(who, release).receipt for who in people] == receipts
    away(seconds(told.close_time) + 0.5)
    CITY.wait(release, State.STATE_CLOSED, seconds=5)
    lost = [t for t in (mine(who, release) for who in people) if t.state == Ticket.STATE_LOST]
    assert len(lost) == 3, 'whoever has an offer keeps it until its own end'


def test_away_over_all_of_it():
    """From before the opening until behind the end: nobody could enter, nobody gets anything, and
    nothing is lost."""
    pool, slots = CITY.pool('over', 2)
    release = CITY.release(pool, open_s=1, window_s=1, close_s=3, wait=False)
    away(time.time() + 4)
    CITY.wait(release, State.STATE_CLOSED, seconds=5)
    assert CITY.get(release).ticket_count == 0
    assert [s.state for s in CITY.operator.slots(pool)] == [resources.Slot.STATE_RETURNED] * 2
    CITY.release(pool, 'again')  # what came back can be offered again
    assert CITY.get(pool + '/releases/again').slot_count == len(slots)


def test_entry_long_before():
    """A draw: entry for four weeks, with the same place over restarts."""
    pool, _ = CITY.pool('weeks', 0)
    CITY.operator.make_slots(pool, 2, first=time.time() // 3600 * 3600 + 60 * 86400)
    release = make_release(window_s=28 * 86400)
    release.slots_start_time.seconds = int(time.time()) + 30 * 86400
    release.slots_end_time.seconds = int(time.time()) + 90 * 86400
    made = CITY.operator.CreateRelease(cluster.CreateReleaseRequest(
        parent=pool, release_id='r', release=release, request_id=new_id())).name
    CITY.wait(made, State.STATE_ENTRY)
    who = SERVER.person('weeks')
    ticket = enter(who, made, 'any')
    away(time.time())
    same = mine(who, made)
    assert (same.name, same.receipt) == (ticket.name, ticket.receipt)
    assert CITY.get(made).state == State.STATE_ENTRY
    CITY.change('CancelRelease', made)
    assert mine(who, made).outcome_reason == 'RELEASE_CANCELLED'


# -- the verbs ------------------------------------------------------------------------------------

def verb(*words, check=OK, person=None):
    env = {'FAIRSLOT_TARGET': SERVER.target,
           'FAIRSLOT_TOKEN_FILE': person or os.path.join(SERVER.data, 'operator.token')}
    return run('release', *words, check=check, env=env)


def as_json(*words):
    return json.loads(verb(*words, '-o', 'json').stdout)


def announce(name, *more, opens='2035-01-01', check=OK):
    return verb('create', name, '--entry-open', opens, '--window', '60s', '--slots-from',
                '2035-03-01', '--slots-to', '2035-04-01', *more, check=check)


def pool_of(name, count=4):
    pool = CITY.pool(name, 0)[0]
    CITY.operator.make_slots(pool, count, first=2056442400)  # 2035-03-02
    return pool


def test_verbs_from_announcing_to_the_end():
    pool = pool_of('verbs')
    name = pool + '/releases/march'
    announce(name, '--dry-run')
    assert as_json('list', '--pool', 'verbs') == {'releases': []}, 'a dry run leaves nothing'
    announce(name, '--display-name', 'March', '-o', 'json')
    announce('april', '--pool', 'verbs', '--slots-from', '2035-03-02', check=PRECONDITION)
    shown = eventually(lambda: (s := as_json('show', name)).get('manifest') and s)
    assert shown['state'] == 'STATE_ANNOUNCED' and shown['displayName'] == 'March', shown
    assert int(shown['slotCount']) == 4 and shown['serving'] == 'SERVING_BY_PREFERENCE'
    assert [r['name'] for r in as_json('list', '--pool', 'verbs')['releases']] == [name]
    table = verb('show', 'march', '--pool', 'verbs').stdout
    assert 'ANNOUNCED' in table and '2035-01-01T00:00:00Z' in table, table
    assert as_json('open', name, '--reason', 'the clerk is here')['state'] == 'STATE_ENTRY'
    verb('open', name, check=PRECONDITION)
    verb('close', name, check=PRECONDITION)
    verb('drain', name, check=PRECONDITION)
    assert as_json('pause', name)['state'] == 'STATE_PAUSED'
    assert as_json('resume', name)['state'] == 'STATE_ENTRY'
    etag = as_json('show', name)['etag']
    same = new_id()
    for _ in range(2):
        assert as_json('cancel', name, '--etag', etag, '--request-id', same)['state'] == \
            'STATE_CANCELLED'
    verb('cancel', name, check=PRECONDITION)
    said = verb('show', 'pools/verbs/releases/none', check=PRECONDITION).stderr
    assert 'RELEASE_UNKNOWN' in said and '\nnext: ' in said, said


def test_verbs_of_a_served_release():
    pool, _ = CITY.pool('served', 2)
    release = CITY.release(pool, cohort_s=1)
    enter(SERVER.person('served'), release, 'any')
    CITY.standby(release)
    assert as_json('pause', release)['state'] == 'STATE_PAUSED'
    later = SERVER.person('served-later')
    enter(later, release, 'any')
    time.sleep(1.5)
    assert mine(later, release).state in (Ticket.STATE_ENTERED, Ticket.STATE_WAITING), 'paused'
    verb('resume', release)
    eventually(lambda: mine(later, release).state == Ticket.STATE_OFFERED)
    verb('drain', release)
    refused(9, 'RELEASE_SEALED', enter, SERVER.person('served-last'), release, 'any')
    verb('cancel', release, check=PRECONDITION)
    verb('close', release)
    CITY.wait(release, State.STATE_CLOSED)
    verb('close', release, check=PRECONDITION)


def test_verbs_refuse_nonsense():
    pool = pool_of('nonsense')
    name = pool + '/releases/r'
    for wrong in (['--entry-open', 'tomorrow'], ['--window', 'soon'], ['--window', '-5s'],
                  ['--serving', 'auction'], ['--grace', '1 fortnight'], ['--nonsense'],
                  ['--entry-open', '2035-13-01'], ['--slots-from', 'x']):
        said = announce(name, *wrong, check=USAGE).stderr
        assert said.startswith('error: ') and '\nnext: ' in said, said
    for wrong in (['--window', '0s'], ['--turn', '2h'], ['--slots-to', '2034-01-01'],
                  ['--trustee', '/nonexistent'], ['--beacon', '-'],
                  ['--close', '2030-01-01']):
        done = announce(name, *wrong, check=None)
        assert done.returncode in (FAILED, USAGE, PRECONDITION), (wrong, done)
        assert done.stderr.startswith('error: ') and 'next: ' in done.stderr, (wrong, done.stderr)
    announce('no pool at all', check=USAGE)
    announce('pools/none/releases/r', check=PRECONDITION)
    for words in (['show'], ['show', 'a', 'b'], ['list'], ['open'], ['pause', 'r']):
        said = verb(*words, check=USAGE).stderr
        assert said.startswith('error: ') and 'next: ' in said, said
    token = os.path.join(SERVER.data, 'person.token')
    with open(token, 'w', encoding='utf-8') as file:
        file.write(SERVER.tokens('nobody')[0])
    announce(name)
    for change in 'open', 'close', 'cancel', 'pause', 'resume', 'drain':
        verb(change, name, check=DENIED, person=token)
    assert as_json('show', name)['state'] == 'STATE_ANNOUNCED'


def test_every_verb_has_help():
    listed = run('release', '--help').stdout
    for name in ('create', 'list', 'show', 'open', 'close', 'cancel', 'pause', 'resume', 'drain',
                 'report', 'verify'):
        assert f'release {name} ' in listed, name
        text = run('release', name, '--help').stdout
        assert text.startswith('usage: fairslot release ' + name) and '\nexample:\n' in text, text


if __name__ == '__main__':
    tap.run(globals(), SERVER.start, SERVER.close)

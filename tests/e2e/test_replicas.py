#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Three replicas: what was acknowledged survives the loss of any one of them, and who lost its
promises is not heard."""
import os
import shutil
import signal
import time

from house import Refused, api, eventually, new_id, resources, run
import tap
from trio import MEMBERS, Trio, patient

Slot = resources.Slot
TRIO = None
STATE = {}


def before():
    global TRIO
    TRIO = Trio(['--set', 'shard.log_keep=64']).start()
    operator = TRIO.operator()
    TRIO.leader()
    STATE['pool'] = patient(lambda: operator.make_pool('trio', max_live=16)).name
    STATE['slots'] = operator.make_slots(STATE['pool'], 240, desks=4)
    STATE['taken'] = {}  # slot: reservation, as acknowledged


def after():
    TRIO.close()


def book(count):
    """Holds and confirms that many more slots; each call again with its request id when told so."""
    for slot in STATE['slots'][len(STATE['taken']):][:count]:
        who = TRIO.person(f'p{len(STATE["taken"]) // 8}')
        hold_id, confirm_id = new_id(), new_id()
        hold = patient(lambda: who.hold(slot, request_id=hold_id))
        STATE['taken'][slot] = patient(lambda: who.confirm(hold.name, request_id=confirm_id)).name
        who.close()


def check():
    """All that was acknowledged is there, once."""
    states = {s.name: s.state for s in patient(lambda: TRIO.operator().slots(STATE['pool']))}
    for slot in STATE['slots']:
        wanted = Slot.STATE_TAKEN if slot in STATE['taken'] else Slot.STATE_FREE
        assert states[slot] == wanted, slot
    assert len(set(STATE['taken'].values())) == len(STATE['taken'])


def test_all_have_the_same():
    book(20)
    check()
    TRIO.level()
    assert TRIO.process.alive()


def test_a_bench_that_is_turned_away_says_so():
    """Its batches were counted as nothing: it ran on, and reported that none had failed."""
    words = ['bench', 'shard', '--target', TRIO.doors[TRIO.followers()[0]], '--skip', 1, '--slots',
             5000, '--seconds', 2]
    done = run(*words, check=1)
    assert 'turned away, another replica leads' in done.stderr, done.stderr
    done = run(*words, '--contexts', 33, check=2)
    assert '--contexts over 32' in done.stderr, done.stderr


def test_a_follower_is_killed_and_comes_back():
    away = TRIO.followers()[0]
    TRIO.shards[away].kill()
    book(10)
    check()
    TRIO.start_shard(away).wait_ready('shard')
    TRIO.level()
    check()


def restart_all(*more):
    """One after another; whoever leads hands over first."""
    for i in MEMBERS:
        assert TRIO.shards[i].stop() == 0, TRIO.shards[i].talk[-10:]
        TRIO.start_shard(i, *more).wait_ready('shard')
        TRIO.leader()
        TRIO.level()


def test_a_leader_that_ended_has_a_successor_at_once():
    """A process that ends closes its connections: nobody waits for its silence to be long enough,
    which would be 15 s here."""
    restart_all('--set', 'shard.election_timeout=15s')
    leader = TRIO.leader()
    began = time.monotonic()
    TRIO.shards[leader].kill()
    TRIO.leader(but=leader)
    assert time.monotonic() - began < 12, 'the leader was believed to be there'
    TRIO.start_shard(leader).wait_ready('shard')
    TRIO.level()
    restart_all()
    check()


def test_the_leader_is_killed():
    for _ in range(2):
        leader = TRIO.leader()
        TRIO.shards[leader].kill()
        book(10)
        check()
        assert TRIO.leader(but=leader) != leader
        TRIO.start_shard(leader).wait_ready('shard')
        TRIO.level()


def test_a_call_under_way_survives_its_leader():
    """One retry with the same request id; a slot is never booked twice."""
    leader = TRIO.leader()
    slots = STATE['slots'][len(STATE['taken']):][:8]
    who = TRIO.person('across')
    futures = []
    stub = who.stubs[1]
    for slot in slots:
        request = api.CreateHoldRequest(parent=STATE['pool'], slot=slot, request_id=new_id())
        futures.append((slot, request, stub.CreateHold.future(request, metadata=who.metadata(),
                                                              timeout=10)))
    TRIO.shards[leader].kill()
    for slot, request, future in futures:
        try:
            hold = future.result()
        except Exception:  # grpc's own: the client's one retry, by the same id
            hold = patient(lambda: who.CreateHold(request))
        STATE['taken'][slot] = patient(lambda: who.confirm(hold.name)).name
    check()
    TRIO.start_shard(leader).wait_ready('shard')
    TRIO.level()


def test_a_rolling_restart_hands_over():
    """SIGTERM to each in turn, the leader last: another one leads before it has stopped."""
    gaps = []
    for i in [*TRIO.followers(), TRIO.leader()]:
        was_leader = i == TRIO.leader()
        process = TRIO.shards[i]
        os.kill(process.pid, signal.SIGTERM)
        began = time.monotonic()
        book(2)
        gaps.append(time.monotonic() - began)
        assert process.wait() == 0, process.talk[-10:]
        assert not was_leader or any('FS-3021' in line for line in process.talk), process.talk
        TRIO.start_shard(i).wait_ready('shard')
        TRIO.level()
    print(f'# two bookings beside each: {", ".join(f"{gap:.3f}" for gap in gaps)} s')
    check()


def entries(count):
    """So many and more, the first of them in the durable state: the log may go up to them."""
    operator = TRIO.operator()
    for wait_s in 2.5, 0:
        for _ in range(count):
            operator.make_pool(f'filler-{new_id()[:13]}')
        time.sleep(wait_s)
    operator.close()


def test_too_far_behind_gets_the_state():
    away = TRIO.followers()[0]
    TRIO.shards[away].kill()
    entries(150)
    shard = TRIO.start_shard(away)
    shard.wait_ready('shard')
    eventually(lambda: any('FS-3026' in line for line in shard.talk), seconds=60)
    TRIO.level()
    # It is one of a majority now: the others' leader goes.
    leader = TRIO.leader()
    TRIO.shards[leader].kill()
    book(6)
    check()
    TRIO.start_shard(leader).wait_ready('shard')
    TRIO.level()


def stopped_while_fetching(away):
    """Starts it, and stops it (SIGSTOP) while a state comes in; None: it needed none, or was too
    quick."""
    shard = TRIO.start_shard(away)
    until = time.monotonic() + 5
    while time.monotonic() < until:
        if any('FS-3025' in line for line in shard.talk):
            time.sleep(0.02)  # the others have heard what it will need
            os.kill(shard.pid, signal.SIGSTOP)
            time.sleep(0.2)
            if not any('FS-3026' in line for line in shard.talk):
                return shard
            os.kill(shard.pid, signal.SIGCONT)
            break
        time.sleep(0.001)
    shard.wait_ready('shard')
    TRIO.level()
    return None


def test_a_slow_fetch_needs_no_second_one():
    """While a state travels the log grows by more than shard.log_keep: the others keep what it will
    need, though their leader changes."""
    operator = TRIO.operator()
    big = patient(lambda: operator.make_pool('big')).name
    operator.make_slots(big, 20000)
    time.sleep(2)  # all of it is in the durable state
    away = next(i for i in TRIO.followers()
                if not any('FS-3026' in line for line in TRIO.shards[i].talk))
    shard = None
    for _ in range(8):  # the state on disk may still be behind; whoever has fetched is waited for
        TRIO.shards[away].kill()
        entries(150)
        shard = stopped_while_fetching(away)
        if shard:
            break
    assert shard, 'never seen while it fetched'
    entries(150)
    leader = TRIO.leader(but=away)
    assert TRIO.shards[leader].stop() == 0
    TRIO.start_shard(leader).wait_ready('shard')
    entries(150)
    os.kill(shard.pid, signal.SIGCONT)
    shard.wait_ready('shard')
    TRIO.level()
    fetched = [line for line in shard.talk if 'FS-3025' in line]
    assert len(fetched) == 1, fetched
    check()


def test_a_full_disk_does_not_lead():
    """One of three has no room: another one leads, however the election went."""
    full, roomy = TRIO.followers()
    leader = TRIO.leader()
    assert TRIO.shards[full].stop() == 0
    TRIO.start_shard(full, '--set', 'shard.disk_reserve=1TiB').wait_ready('shard')
    TRIO.level()
    time.sleep(1.5)  # they tell each other of their room once a second
    TRIO.shards[leader].kill()
    eventually(lambda: TRIO.leader(but=leader) == roomy, seconds=60)
    book(4)
    check()
    TRIO.start_shard(leader).wait_ready('shard')
    assert TRIO.shards[full].stop() == 0
    TRIO.start_shard(full).wait_ready('shard')
    TRIO.level()


def test_without_a_majority_nothing_is_decided():
    first, second = TRIO.followers()
    TRIO.shards[first].kill()
    TRIO.shards[second].kill()
    who = TRIO.person('alone')
    slot = STATE['slots'][len(STATE['taken'])]
    began, request_id = time.monotonic(), new_id()
    try:
        who.hold(slot, request_id=request_id)
        raise AssertionError('one of three decided')
    except Refused as refusal:
        assert refusal.code in (4, 14), refusal
        assert refusal.code == 4 or refusal.retry_s > 0, refusal
    assert time.monotonic() - began < 30
    TRIO.start_shard(first).wait_ready('shard')
    TRIO.leader()
    # It may have been decided after all: its request id finds out.
    hold = patient(lambda: who.hold(slot, request_id=request_id))
    STATE['taken'][slot] = patient(lambda: who.confirm(hold.name)).name
    book(4)
    check()
    TRIO.start_shard(second).wait_ready('shard')
    TRIO.level()


def test_a_hold_outlives_an_outage():
    """It is due while nobody leads, so that its person cannot confirm it: the first seconds
    afterwards are still its own, and only then is it over."""
    pool = patient(lambda: TRIO.operator().make_pool('outage', hold_ttl_s=4)).name
    slots = TRIO.operator().make_slots(pool, 2)
    anna, berta = TRIO.person('anna'), TRIO.person('berta')
    kept, left = (patient(lambda: who.hold(slot)) for who, slot in ((anna, slots[0]),
                                                                    (berta, slots[1])))
    away = TRIO.followers()
    for i in away:
        TRIO.shards[i].kill()
    time.sleep(5)
    for i in away:
        TRIO.start_shard(i)
    patient(lambda: anna.confirm(kept.name))

    def states():
        return [s.state for s in patient(lambda: TRIO.operator().slots(pool))]

    assert states() == [Slot.STATE_TAKEN, Slot.STATE_HELD]
    eventually(lambda: states() == [Slot.STATE_TAKEN, Slot.STATE_RETURNED])
    try:
        berta.confirm(left.name)
        raise AssertionError('confirmed when it was over')
    except Refused as refusal:
        assert refusal.reason == 'HOLD_EXPIRED', refusal
    TRIO.level()
    check()


def test_a_lost_disk_is_not_heard():
    away = TRIO.followers()[0]
    TRIO.shards[away].kill()
    shutil.rmtree(TRIO.folder(away))
    book(3)
    shard = TRIO.start_shard(away)
    assert shard.wait(seconds=60) != 0
    said = '\n'.join(shard.talk)
    assert 'another disk' in said and 'remove it' in said, said
    book(3)
    check()


def test_all_stop_and_start():
    """Two of three are left; all of them together, too."""
    left = [i for i in MEMBERS if TRIO.shards[i].alive()]
    for i in left:
        assert TRIO.shards[i].stop() == 0, TRIO.shards[i].talk[-10:]
    began = time.monotonic()
    for i in left:
        TRIO.start_shard(i, '--set', 'shard.election_timeout=3s').wait_ready('shard')
    TRIO.leader()
    assert time.monotonic() - began > 3, 'nobody waited for a leader as long as told'
    book(4)
    check()
    TRIO.level(left)


def refused(*words):
    done = run('shard', *words, check=2)
    assert done.stderr.strip(), words
    return done.stderr


def test_words_that_do_not_fit():
    folder = os.path.join(TRIO.data, 'unused')
    base = ('--data', folder, '--listen', 'tcp://127.0.0.1:0')
    a, b = '1=tcp://127.0.0.1:21991', '2=tcp://127.0.0.1:21992'
    key = ('--set', f'shard.signing_key={TRIO.key}')
    assert 'shard.id' in refused(*base, '--peer', a, '--peer', b, *key)
    assert 'among them' in refused(*base, '--id', '3', '--peer', a, '--peer', b, *key)
    assert 'another peer' in refused(*base, '--id', '1', '--peer', a, '--peer', a, *key)
    assert 'two members' in refused(*base, '--id', '1', '--peer', a, *key)
    assert 'ID=URL' in refused(*base, '--id', '1', '--peer', 'here', '--peer', b, *key)
    assert 'tcp://' in refused(*base, '--id', '1', '--peer', '1=http://x:1', '--peer', b, *key)
    assert 'insecure' in refused(*base, '--id', '1', '--peer', '1=tcp://10.9.9.9:7', '--peer', b,
                                 *key)
    assert 'release key' in refused(*base, '--id', '1', '--peer', a, '--peer', b)
    assert '32 hex' in refused(*base, '--id', '4', '--join', 'x', '--peers-listen',
                               'tcp://127.0.0.1:0', *key)
    assert 'peers_listen' in refused(*base, '--id', '4', '--join', 'a' * 32, *key)
    assert 'either' in refused(*base, '--id', '4', '--join', 'a' * 32, '--peer', a, *key)
    assert not os.path.exists(os.path.join(folder, 'shard'))


def test_a_directory_keeps_its_id():
    some = next(i for i in MEMBERS if TRIO.shards[i].alive())
    TRIO.shards[some].stop()
    words = TRIO.words(some)
    other = words.copy()
    other[other.index('--id') + 1] = str(next(i for i in MEMBERS if i != some))
    done = run(*other, check=3)
    assert f'--id {some}' in done.stderr, done.stderr
    alone = run('shard', '--data', TRIO.folder(some), check=3)
    assert '--peer' in alone.stderr, alone.stderr


if __name__ == '__main__':
    tap.run(globals(), before, after)

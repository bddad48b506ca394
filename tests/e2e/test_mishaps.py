#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What happens to one of three: damaged files, files of somebody else, a number given twice, a full
disk, a clock that is off.  It mends itself or says what to do, serves nothing wrong, and the others
go on."""
import glob
import json
import os
import shutil
import time

from house import (Process, SANITIZED, Server, api, eventually, new_id, resources, run,
                   scratch_folder)
import tap
from trio import Trio, data_file, flip, free_ports, patient

SCRUB = ('--set', 'shard.scrub_interval=1s')
FAKETIME = glob.glob('/usr/lib/*/faketime/libfaketimeMT.so.1')
TRIO = None
STATE = {}


def before():
    global TRIO
    TRIO = Trio(SCRUB).start()
    TRIO.leader()
    operator = TRIO.operator()
    STATE['pool'] = patient(lambda: operator.make_pool('mishaps', max_live=16)).name
    STATE['slots'] = operator.make_slots(STATE['pool'], 16)
    STATE['taken'] = []


def after():
    TRIO.close()
    for process in STATE.get('more', ()):
        assert process.stop() == 0, process.talk[-10:]


def verb(*words, check=0):
    env = {'FAIRSLOT_TARGET': TRIO.target,
           'FAIRSLOT_TOKEN_FILE': os.path.join(TRIO.data, 'operator.token')}
    return run(*words, check=check, env=env)


def problems():
    """Of the cluster: (kind, node).  Nothing while nobody answers."""
    done = verb('cluster', 'problems', '-o', 'json', check=None)
    found = json.loads(done.stdout)['problems'] if done.stdout else []
    assert all(p['text'] and p['nextStep'] for p in found), found
    return {(p['kind'], p['node']) for p in found}


def book():
    """One more slot, confirmed."""
    slot = STATE['slots'][len(STATE['taken'])]
    who, hold_id, confirm_id = TRIO.person('mia'), new_id(), new_id()
    hold = patient(lambda: who.hold(slot, request_id=hold_id))
    patient(lambda: who.confirm(hold.name, request_id=confirm_id))
    STATE['taken'].append(slot)
    who.close()


def check():
    """All that was acknowledged is there, as whoever leads has it."""
    states = {s.name: s.state for s in patient(lambda: TRIO.operator().slots(STATE['pool']))}
    taken = {name for name, state in states.items() if state == resources.Slot.STATE_TAKEN}
    assert taken == set(STATE['taken']), taken


def lead(node):
    """That one leads from now on, and what it has is looked at."""
    def leads():
        verb('shard', 'leader', '1', '--to', str(node), check=None)
        return TRIO.metric(node, 'shard_leader') == 1
    eventually(leads, every=0.5)
    check()


def says(process, event):
    return any(event in line for line in process.talk)


def is_mended(process):
    """It said that its files are damaged, and that it got another one's state."""
    eventually(lambda: says(process, 'FS-3004'), seconds=60)
    eventually(lambda: says(process, 'FS-3026') or not process.alive(), seconds=60)
    assert process.alive(), process.talk[-10:]


def test_a_follower_is_damaged_while_it_runs():
    sick = TRIO.followers()[0]
    book()
    flip(TRIO.folder(sick), 'state', b'Passports')
    is_mended(TRIO.shards[sick])
    book()
    TRIO.level()
    lead(sick)


def test_a_leader_is_damaged_while_it_runs():
    sick = TRIO.leader()
    process = TRIO.shards[sick]
    del process.talk[:]
    flip(TRIO.folder(sick), 'state', b'Passports')
    is_mended(process)
    TRIO.leader(seconds=60)
    book()
    check()
    TRIO.level()
    lead(sick)


def test_damage_is_found_at_the_start():
    """What was closed well is damaged, and what was killed."""
    for end in (Process.stop, Process.kill):
        sick = TRIO.followers()[0]
        end(TRIO.shards[sick])
        flip(TRIO.folder(sick), 'state', b'Passports')
        process = TRIO.start_shard(sick)
        process.wait_ready('shard')
        is_mended(process)
        book()
        TRIO.level()
    lead(sick)


def refused(node, words, folder=None, more=()):
    """It does not start and says why; exit code 3."""
    words_of_it = [*TRIO.words(node), *more]
    if folder:
        words_of_it[words_of_it.index('--data') + 1] = folder
    done = run(*words_of_it, check=3)
    assert words in done.stderr, done.stderr
    return done.stderr


def test_another_version_and_another_cluster():
    away = TRIO.followers()[0]
    TRIO.shards[away].kill()
    good, bad = TRIO.folder(away), os.path.join(TRIO.data, 'spoilt')
    for which, magic, format_ in (('log', b'fslg', 4), ('state', b'fsst', 2)):
        shutil.copytree(good, bad)
        with open(data_file(bad, which), 'r+b') as file:
            text = file.read()
            file.seek(0)
            file.write(text.replace(magic + bytes((0, 0, 0, format_)), magic + b'\0\0\0\7'))
        refused(away, f'data format version 7, this program reads {format_}', bad)
        shutil.rmtree(bad)
    words, ports = TRIO.words(away), free_ports(3)
    words[words.index('--data') + 1] = bad
    for place, word in enumerate(words):
        if word == '--peer':
            node = int(words[place + 1][0])
            words[place + 1] = f'{node}=tcp://127.0.0.1:{ports[node - 1]}'
    other = Process(*words)
    other.wait_ready('shard')
    other.kill()
    both = os.path.join(TRIO.data, 'mixed')  # our badge, their data
    shutil.copytree(bad, both)
    badge, = glob.glob(f'{glob.escape(good)}/**/badge', recursive=True)
    shutil.copy(badge, badge.replace(good, both))
    refused(away, "another node's log", both)
    for more in ((), ('--peers-listen', TRIO.peers[away])):  # all of theirs
        told = refused(away, 'this directory belongs to cluster', bad, more)
        assert 'is at tcp://127.0.0.1:' in told and 'or another directory' in told, told
    TRIO.start_shard(away).wait_ready('shard')
    TRIO.level()


def test_a_full_disk():
    """Of one of three: it is told, and the others go on."""
    full = TRIO.followers()[0]
    assert TRIO.shards[full].stop() == 0
    TRIO.start_shard(full, '--set', 'shard.disk_reserve=1TiB').wait_ready('shard')
    eventually(lambda: ('DISK', f'nodes/{full}') in problems())
    book()
    check()
    assert TRIO.shards[full].stop() == 0
    TRIO.start_shard(full).wait_ready('shard')
    TRIO.level()


def test_two_nodes_with_one_number():
    """The one that comes later does not start; where it could not know, it is not heard and never
    leads, and the first one goes on."""
    one = TRIO.followers()[0]
    words, ports = TRIO.words(one), free_ports(3)
    for key, value in (('--data', os.path.join(TRIO.data, 'twin')),
                       ('--listen', f'tcp://127.0.0.1:{ports[0]}')):
        words[words.index(key) + 1] = value
    words[words.index(f'ops.listen={TRIO.ops[one]}')] = f'ops.listen=127.0.0.1:{ports[1]}'
    done = run(*words, check=None)  # the same address, too
    assert done.returncode != 0 and 'cannot listen there for peers' in done.stderr, done
    shutil.rmtree(os.path.join(TRIO.data, 'twin'))
    words += ['--peers-listen', f'tcp://127.0.0.1:{ports[2]}']
    done = run(*words, check=None)  # another one, and the first one is there
    assert done.returncode != 0 and f'two have number {one}' in done.stderr, done
    shutil.rmtree(os.path.join(TRIO.data, 'twin'))
    copy = words[:]  # a disk that was copied
    copy[copy.index('--data') + 1] = os.path.join(TRIO.data, 'copy')
    shutil.copytree(TRIO.folder(one), copy[copy.index('--data') + 1])
    assert f'two have number {one}' in run(*copy, check=None).stderr
    assert TRIO.shards[one].stop() == 0
    twin = Process(*words)
    twin.wait_ready('shard')
    TRIO.start_shard(one).wait_ready('shard')
    eventually(lambda: ('TWO_DISKS', f'nodes/{one}') in problems())
    assert TRIO.shards[one].alive() and not says(twin, 'FS-3020'), twin.talk
    book()
    check()
    twin.kill()
    TRIO.level()
    eventually(lambda: not problems())
    assert TRIO.shards[one].stop() == 0  # the same with the copy, which has the first one's disk
    twin = Process(*copy)
    twin.wait_ready('shard')
    TRIO.start_shard(one).wait_ready('shard')
    eventually(lambda: ('TWO_DISKS', f'nodes/{one}') in problems())
    book()
    check()
    twin.kill()
    TRIO.level()
    eventually(lambda: not problems())


def test_a_node_has_another_key():
    """What it signed while it leads would not be believed: it is told as soon as it is heard."""
    other, key = TRIO.followers()[0], os.path.join(TRIO.data, 'other.key')
    run('release', 'key', key)
    assert not problems()
    assert TRIO.shards[other].stop() == 0
    TRIO.start_shard(other, '--set', f'shard.signing_key={key}').wait_ready('shard')
    eventually(lambda: ('SIGNING_KEY', f'nodes/{other}') in problems())
    assert TRIO.shards[other].stop() == 0
    TRIO.start_shard(other).wait_ready('shard')
    eventually(lambda: not problems())


def test_a_clock_is_an_hour_off():
    if not FAKETIME or SANITIZED:
        raise tap.Skip('no libfaketime, or a build that does not go with it')
    off = TRIO.followers()[0]
    assert TRIO.shards[off].stop() == 0
    TRIO.shards[off] = Process(*TRIO.words(off), wrapper=(
        'env', f'LD_PRELOAD={FAKETIME[0]}', 'DONT_FAKE_MONOTONIC=1',
        'FAKETIME_FORCE_MONOTONIC_FIX=0', 'FAKETIME=+3600s'))
    TRIO.shards[off].wrapped = False  # env becomes what it starts
    TRIO.shards[off].wait_ready('shard')
    who = TRIO.person('noa')
    hold = patient(lambda: who.hold(STATE['slots'][-1]))
    eventually(lambda: ('CLOCK', f'nodes/{off}') in problems())
    TRIO.level()
    lead(off)  # the other clocks are the majority
    page = patient(lambda: who.ListSlots(api.ListSlotsRequest(parent=STATE['pool'])))
    assert abs(page.as_of_time.seconds - time.time()) < 600, page.as_of_time
    assert patient(lambda: who.GetHold(api.GetHoldRequest(name=hold.name))).name == hold.name
    patient(lambda: who.DropHold(api.DropHoldRequest(name=hold.name, request_id=new_id())))
    assert TRIO.shards[off].stop() == 0
    TRIO.start_shard(off).wait_ready('shard')
    TRIO.level()


def test_an_old_entry_of_a_log_is_damaged():
    """The state has it, so it was committed: the log is made anew without it, at the start; what
    the scrubber finds ends the process first."""
    # Not on the page that the newest are on, which the next commit writes anew, from memory; nor on
    # the one that term and vote are on.
    for number in range(76):
        name = 'Long written' if number == 40 else 'Another'
        patient(lambda: TRIO.operator().make_pool(f'more-{number}', display_name=name))
    TRIO.level()
    for finds in ('start', 'scrubber'):
        sick = TRIO.followers()[0]
        assert TRIO.shards[sick].stop() == 0  # with all of it in the state
        if finds == 'scrubber':
            process = TRIO.start_shard(sick)
            process.wait_ready('shard')
        flip(TRIO.folder(sick), 'log', b'Long written', records=True)
        if finds == 'scrubber':
            assert process.wait(seconds=60) != 0
            said = '\n'.join(process.talk)
            assert 'FS-3004' in said and 'start it again' in said, said
        process = TRIO.start_shard(sick)
        process.wait_ready('shard')
        assert says(process, 'FS-3005') and TRIO.metric(sick, 'shard_damage_found_total') == 1
        book()
        TRIO.level()
        lead(sick)  # others who want what it dropped fetch a state
    aside = f'{glob.escape(TRIO.folder(sick))}/**/log.damaged'  # kept until the next start
    assert TRIO.shards[sick].stop() == 0 and len(glob.glob(aside, recursive=True)) == 1
    TRIO.start_shard(sick).wait_ready('shard')
    assert not glob.glob(aside, recursive=True)
    TRIO.level()


def test_a_damaged_log():
    """What it has promised is damaged: it does not start, and another number comes."""
    sick = TRIO.followers()[0]
    TRIO.shards[sick].kill()
    flip(TRIO.folder(sick), 'log', b'fslg')  # term and vote
    told = refused(sick, 'log/ is damaged')
    assert 'remove this node' in told and 'add a new number' in told, told
    verb('node', 'remove', str(sick), '--watch', '--timeout', '30s')
    name = json.loads(verb('cluster', 'status', '-o', 'json').stdout)['name'][9:]
    door, peers = (f'tcp://127.0.0.1:{port}' for port in free_ports(2))
    new = Process('shard', '--data', os.path.join(TRIO.data, 'node 4'), '--listen', door, '--id',
                  '4', '--join', name, '--peers-listen', peers, '--set',
                  f'shard.signing_key={TRIO.key}')
    STATE['more'] = [new]
    new.wait_ready('shard')
    verb('node', 'add', '4', '--peer', peers, '--watch', '--timeout', '50s')
    book()
    check()


def test_a_node_alone_is_damaged():
    """There is nobody to mend it: it ends, and says what to do."""
    alone = Server(data=scratch_folder(), options=SCRUB).start()
    alone.operator().make_pool('alone', display_name='Only once')
    flip(alone.data, 'state', b'Only once')
    assert alone.process.wait(seconds=60) != 0
    said = '\n'.join(alone.process.talk)
    assert 'FS-3004' in said and 'restore a backup' in said, said
    words = ('serve', '--dev', '--data', alone.data, '--listen', '127.0.0.1:0')
    assert 'restore a backup' in run(*words, check=3).stderr
    shutil.rmtree(alone.data)


if __name__ == '__main__':
    tap.run(globals(), before, after)

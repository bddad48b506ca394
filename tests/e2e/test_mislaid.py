#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Files that are gone from the directory of one of three, or empty.  What it has promised cannot be
made anew: it does not start, and says what to do.  A state can: it starts, and fetches one."""
import glob
import json
import os
import shutil

from house import eventually, run
import tap
from trio import Trio, patient

TRIO = None
STATE = {}
ANEW = 'remove this node from its cluster, and add a new number with an empty directory'


def before():
    """One of them has stopped, with all in its state; `good` keeps its directory."""
    global TRIO
    TRIO = Trio().start()
    TRIO.leader()
    patient(lambda: TRIO.operator().make_pool('mislaid'))
    TRIO.level()
    STATE['away'] = TRIO.followers()[0]
    assert TRIO.shards[STATE['away']].stop() == 0
    STATE['good'] = os.path.join(TRIO.data, 'good')
    shutil.copytree(TRIO.folder(STATE['away']), STATE['good'])


def after():
    TRIO.close()


def anew(*names, empty=False):
    """Its directory as it was, without these; or with empty files in their place."""
    folder = TRIO.folder(STATE['away'])
    shutil.rmtree(folder)
    shutil.copytree(STATE['good'], folder)
    for name in names:
        path, = glob.glob(f'{glob.escape(folder)}/**/{name}', recursive=True)
        shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
        if empty:
            open(path, 'w', encoding='utf-8').close()


def refused(what):
    told = run(*TRIO.words(STATE['away']), check=3).stderr
    assert what in told and ANEW in told and ' at ../' not in told, told


def test_what_was_promised_is_gone():
    """Also where nothing but the badge is left: it is a member's, who has voted."""
    for names in (('log',), ('log', 'state'), ('log', 'state', 'members')):
        anew(*names)
        refused('log/ is missing')
    for name in ('log/data.mdb', 'log/tail'):
        for empty in (False, True):
            anew(name, empty=empty)
            refused('log/ is damaged')


def test_a_log_of_another_node():
    """Two that were off got each other's: what is in it is what the other one has promised."""
    other, = set(TRIO.followers()) - {STATE['away']}
    anew('log')
    theirs, = glob.glob(f'{glob.escape(TRIO.folder(other))}/**/log', recursive=True)
    shutil.copytree(theirs, theirs.replace(TRIO.folder(other), TRIO.folder(STATE['away'])))
    told = run(*TRIO.words(STATE['away']), check=3).stderr
    assert "another node's log; put its own back" in told and ' at ../' not in told, told


def test_a_badge_is_gone():
    """Whose directory it is, nobody knows: it is no new one's, and nobody's alone."""
    for empty, what in ((False, 'badge is missing'), (True, 'badge is damaged')):
        anew('badge', empty=empty)
        refused(what)
        told = run('shard', '--data', TRIO.folder(STATE['away']), '--listen',
                   TRIO.doors[STATE['away']], check=3).stderr
        assert what in told, told


def test_members_are_damaged():
    anew()
    path, = glob.glob(f'{glob.escape(TRIO.folder(STATE["away"]))}/**/members', recursive=True)
    with open(path, 'r+b') as file:
        file.truncate(50)
    refused('`members` is damaged')


def test_a_state_is_gone():
    for names in (('state*/data.mdb',), ('state*',)):
        anew(*names)
        process = TRIO.start_shard(STATE['away'])
        process.wait_ready('shard')
        eventually(lambda: any('FS-3026' in line for line in process.talk))
        told = next(json.loads(line)['message'] for line in process.talk if 'FS-3004' in line)
        assert "a peer's state is fetched" in told and 'backup' not in told, told
        TRIO.level()
        assert process.stop() == 0
        shutil.rmtree(STATE['good'])  # an older one would forget what it has acknowledged since
        shutil.copytree(TRIO.folder(STATE['away']), STATE['good'])


def test_a_file_where_a_directory_should_be():
    anew()
    place = os.path.join(TRIO.folder(STATE['away']), 'shard')
    shutil.rmtree(place)
    open(place, 'w', encoding='utf-8').close()
    told = run(*TRIO.words(STATE['away']), check=1).stderr
    assert f'cannot start in {place}: Not a directory' in told and 'next: ' in told, told
    anew()
    TRIO.start_shard(STATE['away']).wait_ready('shard')
    TRIO.level()


if __name__ == '__main__':
    tap.run(globals(), before, after)

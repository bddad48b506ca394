#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: SIGHUP changes who is believed without a restart, and without a call that suffers from it.

Two development issuers' key sets, one name: whose keys count is the configuration's word alone.
"""
import os
import signal
import threading
import time

import forge
import house
import issuers
import tap
from house import api

SETS, TOKENS = [], []


def before():
    global SERVER, ISS, BROKEN
    for person in 'ada', 'ben':
        data = house.scratch_folder()
        dev = house.Server(data=data).start()
        TOKENS.append(dev.tokens(person)[0])
        dev.stop()
        SETS.append(os.path.join(data, 'issuer', 'jwks.json'))
    ISS = forge.claims_of(TOKENS[0])['iss']
    BROKEN = os.path.join(house.scratch_folder(), 'jwks.json')
    SERVER = issuers.Server({'first': {'url': ISS, 'jwks_file': SETS[0]}}).start()


def reason(token):
    """Of a call with it; None: the issuer's word was taken (the pool need not be)."""
    client = SERVER.client(token)
    try:
        client.GetPool(api.GetPoolRequest(name='pools/city'), timeout=15)
    except house.Refused as refusal:
        return None if refusal.reason == 'POOL_UNKNOWN' else refusal.reason
    finally:
        client.close()
    return None


def hangup(event, issuer, **keys):
    SERVER.configure({issuer: {'url': ISS, **keys}})
    said = len(SERVER.process.talk)
    SERVER.process.child.send_signal(signal.SIGHUP)
    return house.eventually(
        lambda: [line for line in SERVER.process.talk[said:] if event in line], 20)


def test_another_issuer():
    assert [reason(t) for t in TOKENS] == [None, 'TOKEN_INVALID']
    hangup('ISSUERS_READ', 'second', jwks_file=SETS[1])
    assert [reason(t) for t in TOKENS] == ['TOKEN_INVALID', None], 'also of remembered tokens'
    house.eventually(lambda: SERVER.metric('issuer_keys{issuer="second"}') == 2)
    assert SERVER.metric('issuer_keys{issuer="first"}') is None
    assert not [line for line in SERVER.process.talk if 'NEEDS_RESTART' in line]


def test_another_rule():
    hangup('ISSUERS_READ', 'second', jwks_file=SETS[1], audience='elsewhere')
    assert [reason(t) for t in TOKENS] == ['TOKEN_INVALID'] * 2
    hangup('ISSUERS_READ', 'second', jwks_file=SETS[1], audience='elsewhere, fairslot')
    assert [reason(t) for t in TOKENS] == ['TOKEN_INVALID', None]


def test_a_mistake_changes_nothing():
    first = {'jwks_file': SETS[0]}
    for keys in ({}, {**first, 'algorithms': 'HS256'}, {**first, 'tpy': 'any'},
                 {**first, 'roles': 'x = emperor'}, {'jwks_file': '/nowhere'}):
        hangup('nothing was changed', 'second', **keys)
        assert [reason(t) for t in TOKENS] == ['TOKEN_INVALID', None], keys


def test_the_last_issuer_stays():
    with open(SERVER.config, encoding='utf-8') as file:
        text = file.read()
    with open(SERVER.config, 'w', encoding='utf-8') as file:
        file.write(text[:text.index('[issuer')])
    SERVER.process.child.send_signal(signal.SIGHUP)
    SERVER.says('the first [issuer NAME] came, or the last went')
    assert [reason(t) for t in TOKENS] == ['TOKEN_INVALID', None]


def test_keys_that_cannot_be_read_change_nothing_yet():
    for text in '{"keys": [', '', '{"keys": []}':
        with open(BROKEN, 'w', encoding='ascii') as file:
            file.write(text)
        said = hangup('ISSUERS_WRONG', 'third', jwks_file=BROKEN)
        assert 'stay as they were' in said[0], said
        assert [reason(t) for t in TOKENS] == ['TOKEN_INVALID', None]
    with open(SETS[0], encoding='utf-8') as good, open(BROKEN, 'w', encoding='utf-8') as file:
        file.write(good.read())
    hangup('ISSUERS_READ', 'third', jwks_file=BROKEN)  # the same words, tried again
    assert [reason(t) for t in TOKENS] == [None, 'TOKEN_INVALID']


def test_an_issuer_that_does_not_answer():
    """Its keys are waited for beside those believed; after that it counts, keys or none."""
    began = time.monotonic()
    dead = f'http://127.0.0.1:{house.quiet_port()}/jwks'
    hangup('ISSUERS_READ', 'fourth', jwks_url=dead)
    assert time.monotonic() - began < 15
    assert reason(TOKENS[0]) == 'KEYS_UNAVAILABLE'


def test_nobody_suffers():
    """Forty hang-ups, half of them while the one before is under way, under calls all the time."""
    hangup('ISSUERS_READ', 'fifth', jwks_file=SETS[0])
    trouble, ends = [], threading.Event()

    def call():
        client = SERVER.client(TOKENS[0])
        while not ends.is_set():
            try:
                client.GetPool(api.GetPoolRequest(name='pools/city'), timeout=15)
            except house.Refused as refusal:
                if refusal.reason != 'POOL_UNKNOWN':
                    trouble.append(refusal)
            time.sleep(0.002)
        client.close()
    people = [threading.Thread(target=call) for _ in range(4)]
    for person in people:
        person.start()
    for turn in range(20):
        SERVER.configure({f'turn-{turn}': {'url': ISS, 'jwks_file': SETS[0],
                                           'leeway': f'{30 + turn}s'}})
        SERVER.process.child.send_signal(signal.SIGHUP)
        SERVER.process.child.send_signal(signal.SIGHUP)
        time.sleep(0.02)
    hangup('ISSUERS_READ', 'last', jwks_file=SETS[0])
    ends.set()
    for person in people:
        person.join()
    assert not trouble, trouble[:3]
    assert [reason(t) for t in TOKENS] == [None, 'TOKEN_INVALID']
    house.eventually(lambda: SERVER.metric('issuer_keys{issuer="last"}') == 2)


if __name__ == '__main__':
    tap.run(globals(), before, lambda: SERVER.close())

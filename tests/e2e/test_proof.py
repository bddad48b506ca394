#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Can one person check, offline, what the office said about one ticket?

Signed manifest and receipts, the page-sized proof, and receipts held against the bundle: through
the command line as somebody would, and once more by tests/draw/ed25519.py, which shares no code."""
import hmac
import json
import os
import stat
import subprocess
import sys

from google.protobuf import json_format

from house import (BINARY, ROOT, Server, cluster, eventually, new_id, refused, resources, run,
                   scratch_folder)
from release_kit import City, State, enter, mine, proof_of
import tap

sys.path.insert(0, os.path.join(ROOT, 'tests', 'draw'))
import ed25519  # noqa: E402
import verify  # noqa: E402

SERVER = Server()
CITY = City(SERVER)
FOLDER = scratch_folder()


def path(name):
    return os.path.join(FOLDER, name)


def keep(name, message):
    with open(path(name), 'w', encoding='utf-8') as file:
        file.write(json_format.MessageToJson(message))
    return path(name)


def say(*words, token=None, **more):
    """The process of one verb, against the server."""
    env = dict(os.environ, FAIRSLOT_TARGET=SERVER.target)
    env['FAIRSLOT_TOKEN_FILE'] = token or os.path.join(SERVER.data, 'operator.token')
    return subprocess.run([BINARY, *words], capture_output=True, text=True, env=env, timeout=60,
                          check=False, **more)


def bundle_of(release):
    folder = path(release.replace('/', '-'))
    p = say('release', 'report', release, '--bundle', folder)
    assert p.returncode == 0, p
    return folder


def signed(tag, *fields):
    return b''.join(len(x).to_bytes(8, 'big') + x for x in (tag,) + fields)


def number(n):
    return n.to_bytes(8, 'big')


def test_the_manifest_is_signed_before_entry_and_the_root_after_it():
    pool, _ = CITY.pool('signed', 2)
    release = CITY.release(pool)
    open_now = CITY.get(release)
    assert open_now.state == State.STATE_ENTRY and len(open_now.operator_key) == 32
    key = open_now.operator_key
    message = signed(b'fairslot/manifest/v1', open_now.manifest_sha256)
    assert ed25519.verify(key, message, open_now.manifest_signature)
    assert open_now.root_signature == b''
    enter(SERVER.person('signed'), release, 'any')
    CITY.standby(release)
    sealed = CITY.get(release)
    assert (sealed.operator_key, sealed.manifest_signature) == (key, open_now.manifest_signature)
    message = signed(b'fairslot/root/v1', sealed.manifest_sha256, sealed.ticket_root, number(1))
    assert ed25519.verify(key, message, sealed.root_signature)
    listed = run('release', 'key', '--show', os.path.join(SERVER.data, 'release.key'))
    assert listed.stdout.strip() == key.hex()
    mode = stat.S_IMODE(os.stat(os.path.join(SERVER.data, 'release.key')).st_mode)
    assert mode == 0o600, oct(mode)


def test_a_receipt_names_its_version_and_is_signed():
    pool, slots = CITY.pool('receipt', 2)
    release = CITY.release(pool)
    who, key = SERVER.person('receipt'), CITY.get(release).operator_key
    same = new_id()
    first = enter(who, release, slots[0], request_id=same)
    assert first == enter(who, release, slots[0], request_id=same), 'byte for byte the same'
    second = enter(who, release, slots[1])
    assert (first.leaf_version, second.leaf_version) == (1, 2)
    for ticket in (first, second):
        assert ed25519.verify(key, signed(
            b'fairslot/receipt/v1', ticket.manifest_sha256, bytes.fromhex(ticket.name[-32:]),
            number(ticket.leaf_version), ticket.receipt), ticket.receipt_signature)
    CITY.standby(release)
    folder = bundle_of(release)
    for ticket, status in ((first, 'replaced'), (second, 'included')):
        file = keep(status, ticket)
        ours = say('release', 'verify', folder, '--receipt', file, '--key', key.hex(), '-o', 'json')
        assert ours.returncode == 0, ours
        assert json.loads(ours.stdout)['receipt']['status'] == status, ours.stdout
        assert 'receipt ' + status in verify.verify(folder, file, key)
    wrong = say('release', 'verify', folder, '--key', '00' * 32)
    assert wrong.returncode == 1 and 'signatures:1' in wrong.stderr, wrong


def test_a_ticket_that_the_bundle_leaves_out_is_proved_by_its_receipt():
    release, crowd = CITY.drawn('omitted', slots=2, people=5)
    kept = keep('omitted', proof_of(crowd[1], release).ticket)
    folder = bundle_of(release)
    said = json.loads(say('release', 'verify', folder, '--receipt', kept, '-o', 'json').stdout)
    assert said['receipt']['status'] == 'included', said
    other, _ = CITY.drawn('elsewhere', slots=2, people=3)
    p = say('release', 'verify', bundle_of(other), '--receipt', kept)
    assert p.returncode == 1 and 'receipt: is of another release' in p.stderr, p


def test_who_lost_gets_rank_cut_off_and_wishes_by_one_call():
    release, crowd = CITY.drawn('lost', slots=4, people=12, wanted=(1, 3, 'any'))
    folder = bundle_of(release)
    won = [mine(p, release).rank for p in crowd if mine(p, release).hold]
    for who in crowd:
        page = proof_of(who, release)
        assert page.cut_off == max(won) and len(page.ticket.preferences) == 3
        lost = page.ticket.state == resources.Ticket.STATE_STANDBY
        assert lost == (page.rank > page.cut_off), page
        file = keep('page', page)
        ours = say('ticket', 'verify', file, '-o', 'json')
        answer = json.loads(ours.stdout)
        assert answer['valid'] and answer['rank'] == str(page.rank), ours
        kept = json.loads(say('release', 'verify', folder, '--receipt', file, '-o', 'json').stdout)
        assert kept['cutOff'] == '%016x' % page.cut_off
        assert kept['receipt']['rank'] == str(page.rank) and kept['receipt']['lost'] == lost, kept


def test_the_page_fits_a_page_and_says_it_in_words():
    release, _ = CITY.drawn('page', slots=2, people=1)
    token = path('page.token')
    with open(token, 'w', encoding='utf-8') as file:
        file.write(SERVER.tokens('page', count=1)[0])
    p = say('ticket', 'proof', release, token=token)
    assert p.returncode == 0, p
    for word in ('rank ', 'cut-off ', 'wish 1  any', 'seed ', 'leaf ', 'root ', 'signed '):
        assert word in p.stdout, (word, p.stdout)
    assert len(p.stdout.splitlines()) < 60 and max(map(len, p.stdout.splitlines())) < 140
    whole = say('ticket', 'proof', release, '-o', 'json', token=token)
    with open(path('page.json'), 'w', encoding='utf-8') as file:
        file.write(whole.stdout)
    p = say('ticket', 'verify', path('page.json'))
    assert p.returncode == 0 and 'everything holds' in p.stdout and 'compare it' in p.stdout, p
    key = CITY.get(release).operator_key.hex()
    p = say('ticket', 'verify', path('page.json'), '--key', key)
    assert p.returncode == 0 and 'compare it' not in p.stdout, p
    forged = dict(json.loads(whole.stdout), cutOff='9', seed='A' * 43 + '=')
    ticket = bytes.fromhex(forged['ticket']['name'].rpartition('/')[2])
    rank = int.from_bytes(hmac.digest(bytes(32), ticket, 'sha256')[:8], 'big')
    forged['rank'] = forged['ticket']['rank'] = str(rank)
    with open(path('forged.json'), 'w', encoding='utf-8') as file:
        json.dump(forged, file)
    p = say('ticket', 'verify', path('forged.json'), '--key', key)
    assert p.returncode != 0 or "seed, cut-off and state are the server's word" in p.stdout, p


def test_a_proof_with_one_changed_field_is_refused_by_its_name():
    release, crowd = CITY.drawn('bent', slots=2, people=4)
    honest = json.loads(json_format.MessageToJson(proof_of(crowd[0], release)))
    bent = [('rank', '5'), ('leafCount', '9'), ('leafIndex', str(3 - int(
        honest.get('leafIndex', 0)))), ('cutOff', 'x'), ('path', []), ('seed', 'A' * 43 + '='),
        ('ticketRoot', 'A' * 43 + '='), ('operatorKey', 'A' * 43 + '='),
        ('rootSignature', 'A' * 86 + '==')]
    for name, text in bent:
        refuse(dict(honest, **{name: text}), name)
    for name, text in (('leafVersion', 7), ('nonce', 'A' * 22 + '=='), ('slotCount', 2),
                       ('receipt', 'A' * 43 + '='), ('receiptSignature', 'A' * 86 + '=='),
                       ('manifestSha256', 'A' * 43 + '='), ('preferences', [])):
        refuse(dict(honest, ticket=dict(honest['ticket'], **{name: text})), name)
    for garbage in ('', '{', '[1]', '{"ticket": 5}', '\0\0', '{}'):
        with open(path('garbage'), 'w', encoding='utf-8') as file:
            file.write(garbage)
        p = say('ticket', 'verify', path('garbage'))
        assert p.returncode == 1 and 'next:' in p.stderr, (garbage, p)
    p = say('ticket', 'verify', path('nowhere'))
    assert p.returncode == 3 and 'no such file' in p.stderr, p


def refuse(changed, name):
    with open(path('bent'), 'w', encoding='utf-8') as file:
        json.dump(changed, file)
    p = say('ticket', 'verify', path('bent'))
    assert p.returncode == 1 and 'next:' in p.stderr, (name, p)


def test_the_seed_reveals_itself_and_at_no_other_time():
    pool, _ = CITY.pool('reveal', 2)
    release = CITY.release(pool)
    ask = lambda seed=b'': CITY.operator.RevealSeed(  # noqa: E731
        cluster.RevealSeedRequest(name=release, seed=seed, request_id=new_id()))
    refused(9, 'RELEASE_STATE', ask)
    refused(3, 'PART_INVALID', ask, b'x' * 32)
    refused(3, 'FIELD_INVALID', ask, b'x')
    refused(7, 'ROLE_MISSING', SERVER.person('reveal').RevealSeed,
            cluster.RevealSeedRequest(name=release))
    CITY.standby(release)
    told = ask()
    assert len(told.seed) == 32 and told.seed == CITY.get(release).seed
    assert ask(told.operator_seed).seed == told.seed


def test_later_cohorts_stand_in_the_bundle_with_what_they_got():
    for serving in (1, 2):
        pool, _ = CITY.pool('late-%d' % serving, 6)
        fields = {'turn_s': 600} if serving == 2 else {}
        release = CITY.release(pool, serving=serving, cohort_s=1, **fields)
        crowd = CITY.crowd('late-%d' % serving, 10)
        for who in crowd[:4]:
            enter(who, release, 'any')
        CITY.standby(release)
        for who in crowd[4:]:
            enter(who, release, 'any')
        waits = (resources.Ticket.STATE_ENTERED, resources.Ticket.STATE_WAITING)
        eventually(lambda: sum(mine(w, release).state not in waits for w in crowd) >= 6, 20)
        eventually(lambda: CITY.get(release).state == State.STATE_STANDBY, 20)
        if serving == 1:
            eventually(lambda: all(mine(w, release).state not in waits for w in crowd), 20)
        folder = bundle_of(release)
        assert say('release', 'verify', folder).returncode == 0
        assert '10 in order' in verify.verify(folder)
        with open(os.path.join(folder, 'outcome'), encoding='utf-8') as file:
            late = [line.split(' ', 3)[3].strip() for line in file if not line.startswith('0 ')]
        assert len(late) == 6 and 'later - -' not in late, late
        got = [line for line in late if line.startswith(('won', 'turn'))]
        assert len(got) == 2, late
        with open(os.path.join(folder, 'outcome'), 'r+', encoding='utf-8') as file:
            text = file.read()
            file.seek(0)
            file.write(text.replace(late[-1], got[0]) if serving == 1 else
                       text.replace('waiting', 'turn   ', 1).replace('turn   ', 'turn'))
            file.truncate()
        assert say('release', 'verify', folder).returncode == (1 if serving == 1 else 0)


def test_what_came_back_is_computed_again():
    """Winners let go: standby gets two slots, the late cohort what is then left; exported while
    the release is open, and at its end."""
    pool, _ = CITY.pool('back', 5)
    release = CITY.release(pool, cohort_s=1)
    crowd = CITY.crowd('back', 9)
    for who in crowd[:7]:
        enter(who, release, 'any')
    CITY.standby(release)
    offered = resources.Ticket.STATE_OFFERED
    has = lambda who: mine(who, release).state == offered  # noqa: E731
    eventually(lambda: sum(map(has, crowd[:7])) == 5, 20)
    winners = [who for who in crowd[:7] if has(who)]
    waiting = [who for who in crowd[:7] if who not in winners]
    assert len(waiting) == 2, waiting
    for count in (1, 2):  # one after the other: two passes over standby
        winners[count].drop(mine(winners[count], release).hold)
        eventually(lambda: sum(map(has, waiting)) == count, 20)  # noqa: B023
    winners[0].drop(mine(winners[0], release).hold)  # nobody stands by any more
    for who in crowd[7:]:
        enter(who, release, 'any')
    decided = (offered, resources.Ticket.STATE_STANDBY)
    eventually(lambda: all(mine(w, release).state in decided for w in crowd[7:]), 20)
    for is_open in (True, False):
        if not is_open:
            CITY.end(release)
        folder = bundle_of(release)
        said = say('release', 'verify', folder)
        assert said.returncode == 0 and ('the release is open' in said.stdout) == is_open, said
        assert '3 slots came back, 2 tickets got some out of standby' in said.stdout, said
        assert '3 slots came back, 2 gains out of standby' in verify.verify(folder)
        with open(os.path.join(folder, 'returns'), encoding='utf-8') as file:
            words = [line.split(' ')[0] for line in file]
        assert words[0] == 'journal:' and words[-1].strip() == ('now' if is_open else 'end')
        assert words.count('back') == 3 and words.count('won') == 2, words
    with open(os.path.join(folder, 'outcome'), encoding='utf-8') as file:
        late = [line.split(' ')[3] for line in file if not line.startswith('0 ')]
    assert late == ['won', 'lost'], late


def test_making_a_key():
    file = path('made.key')
    made = run('release', 'key', file)
    assert len(made.stdout.strip()) == 64 and stat.S_IMODE(os.stat(file).st_mode) == 0o600
    assert run('release', 'key', file, '--show').stdout == made.stdout
    again = subprocess.run([BINARY, 'release', 'key', file], capture_output=True, text=True,
                           check=False)
    assert again.returncode == 3 and 'left as it is' in again.stderr, again
    pub = subprocess.run(['openssl', 'pkey', '-in', file, '-pubout', '-outform', 'DER'],
                         capture_output=True, check=True).stdout
    assert pub[-32:].hex() == made.stdout.strip(), 'openssl reads it alike'


if __name__ == '__main__':
    tap.run(globals(), SERVER.start, SERVER.close, side_by_side=6)

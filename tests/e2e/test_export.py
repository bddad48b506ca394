#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: ReleaseAdminService.ExportRelease gives a client of others the whole bundle of a release,
from anywhere, and neither a caller without the role nor one who does not read costs anything.

Method: python3-grpcio against a real server; the files that come are those that `fairslot release
report` writes, and both verifiers take them.  FAIRSLOT_SOAK=1 waits for the slow reader's end, too
(35 s)."""
import base64
import collections
import http.client
import json
import os
import struct
import subprocess
import time

import grpc

import house
import rawh2
import tap
from house import BINARY, Refused, Server, cluster, eventually, refused, scratch_folder
from release_kit import BY_TURN, City, State, enter, leave, ranked, verify

SERVER = Server()
CITY = City(SERVER)
FOLDER = scratch_folder()
FILES = ['manifest', 'slots', 'signatures', 'tickets', 'late', 'returns', 'parts', 'outcome']
PIECE = 64 * 1024


def clerk(name):
    """Who may export, and is nobody else: two exports at once are one identity's share."""
    return SERVER.person('clerk-' + name, role='operator')


def ask(who, release, timeout=60, **more):
    """The stream, not read."""
    stub = next(s for s in who.stubs if hasattr(s, 'ExportRelease'))
    return stub.ExportRelease(cluster.ExportReleaseRequest(name=release, **more),
                              metadata=who.metadata(), timeout=timeout)


def export(who, release, stream=None, **more):
    """{file: bytes}; each file comes in one go."""
    files, order, pieces = collections.defaultdict(bytes), [], 0
    try:
        for piece in stream or ask(who, release, **more):
            assert len(piece.chunk) <= PIECE
            if not order or order[-1] != piece.file:
                order.append(piece.file)
            files[piece.file] += piece.chunk
            pieces += 1
    except grpc.RpcError as error:
        raise Refused(error) from None
    assert order == FILES, order
    return dict(files), pieces


def report(release, *more, folder=None, token=None):
    folder = folder or os.path.join(FOLDER, release.replace('/', '-'))
    env = dict(os.environ, FAIRSLOT_TARGET=SERVER.target,
               FAIRSLOT_TOKEN_FILE=token or os.path.join(SERVER.data, 'operator.token'))
    p = subprocess.run([BINARY, 'release', 'report', release, '--bundle', folder, *more], env=env,
                       capture_output=True, text=True, timeout=60, check=False)
    return p, folder


def test_a_client_gets_the_bundle_that_report_writes():
    """By preference with a late cohort, by turn with one who left; three pieces of slots."""
    who = clerk('whole')
    release, crowd = CITY.drawn('whole', slots=600, people=30, wanted=(1, 'any'), cohort_s=2)
    late = SERVER.person('whole-late')
    enter(late, release, 'any')
    eventually(lambda: CITY.get(release).cohort >= 1)
    pool, _ = CITY.pool('turns', 4)
    turns = CITY.release(pool, serving=BY_TURN, window_s=3)
    queue = [SERVER.person(f'turn-{i}') for i in range(9)]
    for person in queue:
        enter(person, turns, 'any')
    CITY.wait(turns, State.STATE_SERVING, State.STATE_STANDBY)
    eventually(lambda: CITY.get(turns).served_count == 4)
    leave(ranked(queue, turns)[-1], turns)
    for name, tickets in ((release, len(crowd)), (turns, len(queue))):
        CITY.end(name)
        files, pieces = export(who, name)
        assert files['tickets'].count(b'\n') == tickets and files['manifest']
        assert pieces >= len(FILES) + 2 * (name == release), pieces
        p, folder = report(name)
        assert p.returncode == 0, p
        for file, data in files.items():
            with open(os.path.join(folder, file), 'rb') as written:
                assert written.read() == data, file
        ours = subprocess.run([BINARY, 'release', 'verify', folder], capture_output=True,
                              text=True, timeout=60, check=False)
        assert ours.returncode == 0, ours
        assert 'everything holds' in verify.verify(folder)
        assert export(who, name)[0] == files, 'the same again'
    assert files['outcome'].count(b'left - -') == 1
    assert files['outcome'].count(b'turn - -') == 4 == files['outcome'].count(b'waiting - -')


def test_preferences_are_withheld_on_demand():
    release, _ = CITY.drawn('withheld', slots=3, people=8)
    who = clerk('withheld')
    open_files = export(who, release)[0]
    files = export(who, release, withhold_preferences=True)[0]
    assert files['tickets'].count(b' withheld withheld\n') == 8
    assert b'withheld' not in open_files['tickets']
    assert {n for n in FILES if files[n] != open_files[n]} == {'tickets'}
    p, folder = report(release, '--withhold')
    assert p.returncode == 0, p
    assert 'everything holds' in verify.verify(folder)


def test_refusals():
    pool, _ = CITY.pool('refused', 2)
    release = CITY.release(pool, window_s=600)
    person = SERVER.person('refused-export')
    refused(16, 'TOKEN_MISSING', export, house.Client(SERVER.target), release)
    refused(7, 'ROLE_MISSING', export, person, release)
    refused(7, 'ROLE_MISSING', export, person, pool + '/releases/none')
    refused(5, 'RELEASE_UNKNOWN', export, CITY.operator, pool + '/releases/none')
    refused(5, 'RELEASE_UNKNOWN', export, CITY.operator, 'pools/nowhere/releases/none')
    for name in ('', pool, release + '/', 'pools//releases/r', '../' + release):
        assert refused(3, 'FIELD_INVALID', export, CITY.operator, name).field == 'name'
    early = refused(9, 'RELEASE_STATE', export, CITY.operator, release)
    assert early.retry_s and early.retry_s > 0, 'it is to be ranked yet'
    p, folder = report(release)
    assert p.returncode == 3 and 'RELEASE_STATE' in p.stderr and 'next:' in p.stderr, p
    CITY.change('CancelRelease', release)
    CITY.wait(release, State.STATE_CANCELLED)
    refused(9, 'RELEASE_STATE', export, CITY.operator, release)
    path = '/fairslot.admin.v1.ReleaseAdminService/ExportRelease'
    for junk in (b'\xff', b'\x0a\x7f', b'\x0a\x02\xff\xfe'):
        answer = CITY.operator.channel.unary_stream(path)(junk, metadata=CITY.operator.metadata(),
                                                          timeout=10)
        try:
            assert list(answer) == []
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
    assert CITY.get(release).state == State.STATE_CANCELLED, 'the process is alive'


def test_a_bundle_that_cannot_be_written_is_told():
    release, _ = CITY.drawn('unwritten', slots=2, people=3)
    file = os.path.join(FOLDER, 'a file')
    with open(file, 'w', encoding='utf-8') as out:
        out.write('mine')
    p, _ = report(release, folder=file)
    assert p.returncode == 1 and 'next:' in p.stderr, p
    folder = os.path.join(FOLDER, 'taken')
    os.makedirs(os.path.join(folder, 'slots'))  # a folder where a file is to be
    p, _ = report(release, folder=folder)
    assert p.returncode == 1 and 'slots' in p.stderr and 'next:' in p.stderr, p
    with open(file, encoding='utf-8') as kept:
        assert kept.read() == 'mine'


def big():
    """A release whose bundle does not fit into what a connection takes unread."""
    if not hasattr(big, 'name'):
        pool, _ = CITY.pool('big', 12000, desks=10)
        big.name = CITY.release(pool, window_s=1)
        CITY.standby(big.name)
    return big.name


def deaf(who):
    """An export whose client takes what a connection has in flight, and no more; (connection,
    stream).  It has begun: it counts as one of the identity's."""
    line = rawh2.Connection(SERVER.port, patience=60)
    ask_for = cluster.ExportReleaseRequest(name=big()).SerializeToString()
    stream = line.request('/fairslot.admin.v1.ReleaseAdminService/ExportRelease',
                          rawh2.message(ask_for), [('authorization', 'Bearer ' + who.token)])
    answer = line.answers[stream]
    while not answer.headers and not line.closed:
        line.read_once()
    assert answer.http == '200' and answer.grpc is None, answer.headers
    return line, stream


@tap.alone
def test_too_many_exports():
    """None of them reads, so each one stays."""
    who = clerk('many')
    lines = [deaf(who)[0] for _ in range(2)]
    third = told(who)
    assert (third.code, third.reason) == (8, 'RATE_LIMITED') and '2 releases' in str(third)
    assert third.retry_s > 0
    time.sleep(1)
    assert told(who), 'they stay'
    assert export(clerk('another'), big())[0]['slots'].count(b'\n') == 12000
    for line in lines:
        line.close()
    eventually(lambda: not told(who))


def told(who):
    """The refusal, or None and the bundle is whole."""
    try:
        export(who, big())
    except Refused as refusal:
        return refusal
    return None


@tap.alone
def test_an_export_waits_for_its_reader():
    who = clerk('slow')
    line, stream = deaf(who)
    time.sleep(2)
    slots = export(clerk('quick'), big())[0]['slots']
    held = line.wait(stream)
    assert held.grpc == 0 and len(held.data) > len(slots) > 4 * PIECE, 'nothing of it is lost'
    line.close()
    if os.environ.get('FAIRSLOT_SOAK'):
        line, stream = deaf(who)
        time.sleep(33)
        assert line.wait(stream).grpc == 14
        line.close()


def test_connect_json():
    """curl's way: each piece of the stream an envelope, the end one of its own."""
    release, _ = CITY.drawn('web', slots=2, people=3)
    host, port = SERVER.target.split(':')
    line = http.client.HTTPConnection(host, int(port), timeout=20)
    body = json.dumps({'name': release}).encode()
    line.request('POST', '/fairslot.admin.v1.ReleaseAdminService/ExportRelease',
                 struct.pack('>BI', 0, len(body)) + body,
                 {'Content-Type': 'application/connect+json', 'Connect-Protocol-Version': '1',
                  'Authorization': 'Bearer ' + CITY.operator.token})
    said, files, end = line.getresponse().read(), collections.defaultdict(bytes), None
    while said:
        flags, length = struct.unpack('>BI', said[:5])
        piece, said = json.loads(said[5:5 + length]), said[5 + length:]
        if flags & 2:
            end = piece
        else:
            assert 'nextPageToken' not in piece and set(piece) <= {'chunk', 'file'}, piece
            files[piece['file']] += base64.b64decode(piece.get('chunk', ''))
    assert end is not None and 'error' not in end and not said, end
    assert dict(files) == export(clerk('web'), release)[0]


if __name__ == '__main__':
    tap.run(globals(), SERVER.start, SERVER.close, side_by_side=6)

#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What an operator sees and does of three replicas: status, problems, adding and removing nodes,
handing leadership over; and what is still answered when most of them are gone."""
import json
import os
import subprocess
import time

from house import (BINARY, Process, Refused, Server, api, cluster, eventually, new_id, resources,
                   run)
from google.longrunning import operations_pb2 as operations  # behind house, which makes it
import tap
from release_kit import make_release
from trio import MEMBERS, Trio, free_ports, patient

TRIO = None
STATE = {}
COLUMNS = ('NODE', 'STATE', 'ROLE', 'BEHIND', 'CLOCK', 'CHECK')


def cordoned_early(operator):
    """Asks as soon as somebody leads, until it is done; why it was not before."""
    reasons = []
    request = cluster.CordonNodeRequest(name=f'nodes/{TRIO.followers()[0]}')
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            operator.CordonNode(request)
            operator.UncordonNode(cluster.UncordonNodeRequest(name=request.name))
            return reasons
        except Refused as refusal:
            reasons.append((refusal.code, refusal.reason, refusal.retry_s))
            time.sleep(0.02)
    raise AssertionError(reasons[-1])


def before():
    global TRIO
    TRIO = Trio().start()
    TRIO.leader()
    operator = TRIO.operator()
    STATE['early'] = cordoned_early(operator)
    STATE['pool'] = patient(lambda: operator.make_pool('watched', max_live=16)).name
    STATE['slots'] = operator.make_slots(STATE['pool'], 8)
    scarce = operator.make_pool('scarce', scarce=True).name
    operator.make_slots(scarce, 4)
    STATE['release'] = operator.CreateRelease(cluster.CreateReleaseRequest(
        parent=scarce, release_id='later', request_id=new_id(),
        release=make_release(open_s=3600))).name


def after():
    TRIO.close()
    if STATE.get('fourth'):
        assert STATE['fourth'].stop() == 0, STATE['fourth'].talk[-10:]


def verb(*words, check=0, token=None):
    env = {'FAIRSLOT_TARGET': TRIO.target,
           'FAIRSLOT_TOKEN_FILE': token or os.path.join(TRIO.data, 'operator.token')}
    return run(*words, check=check, env=env)


def answered(*words):
    """Asked again while an election goes on: a busy machine may have one at any time."""
    done = []

    def is_answered():
        done[:] = [verb(*words, '-o', 'json', check=None)]
        return done[0].returncode != 4
    eventually(is_answered, seconds=40)
    return done[0]


def status():
    return json.loads(answered('cluster', 'status').stdout)


def problems(*more):
    done = answered('cluster', 'problems', *more)
    assert done.stdout, done.stderr
    found = json.loads(done.stdout)['problems']
    assert done.returncode == (1 if found else 0), done
    assert all(p['text'] and p['nextStep'] for p in found), found
    return {(p['kind'], p['node']): p['text'] for p in found}


def leads():
    """The number of the node that leads, whichever it is."""
    eventually(lambda: status()['shards'][0]['leader'], seconds=40)
    return int(status()['shards'][0]['leader'].rpartition('/')[2] or 0)


def test_a_healthy_cluster():
    eventually(lambda: not problems())
    eventually(lambda: all(n['version'] for n in status()['nodes']))  # they tell once a second
    view = status()
    assert view['name'].startswith('clusters/') and len(view['name']) == 41
    assert [n['name'] for n in view['nodes']] == ['nodes/1', 'nodes/2', 'nodes/3']
    assert all(n['state'] == 'STATE_UP' and n['version'] for n in view['nodes']), view
    assert {n['peerAddress'] for n in view['nodes']} == set(TRIO.peers.values())
    assert {n['address'] for n in view['nodes']} == set(TRIO.doors.values())
    shard = view['shards'][0]
    assert shard['leader'] == f'nodes/{TRIO.leader()}' == view['answeredBy']
    assert all(m['voter'] for m in shard['members']) and int(shard['commitIndex']) > 2
    text = verb('cluster', 'status').stdout
    assert all(word in text for word in (*COLUMNS, shard['leader'], view['name'][9:])), text
    assert 'no problems' in verb('cluster', 'problems').stdout
    assert len(verb('node', 'list').stdout.splitlines()) == 4
    assert 'tcp://' in verb('node', 'show', '2').stdout
    assert json.loads(verb('node', 'show', 'nodes/3', '-o', 'json').stdout)['name'] == 'nodes/3'
    assert len(verb('node', 'list', '--watch', '--limit', '2', '-o', 'json').stdout
               .splitlines()) == 2


def test_a_node_is_cordoned_in_the_first_second():
    """Newer rules wait until every node has told its version: come back, no other program."""
    seen = {(code, reason) for code, reason, _ in STATE['early']}
    print(f'# refused before: {sorted(seen)}')
    assert all(code == 14 and retry > 0 for code, _, retry in STATE['early']), STATE['early']


def test_pages():
    stub = TRIO.operator()
    first = stub.ListNodes(cluster.ListNodesRequest(page_size=2))
    assert [n.name for n in first.nodes] == ['nodes/1', 'nodes/2'] and first.next_page_token
    rest = stub.ListNodes(cluster.ListNodesRequest(page_token=first.next_page_token))
    assert [n.name for n in rest.nodes] == ['nodes/3'] and not rest.next_page_token
    shards = stub.ListShards(cluster.ListShardsRequest()).shards
    assert [s.name for s in shards] == ['shards/1']
    for request in (cluster.ListNodesRequest(page_token='x'),
                    cluster.ListNodesRequest(page_token='9' * 40)):
        try:
            stub.ListNodes(request)
            raise AssertionError('taken')
        except Refused as refusal:
            assert refusal.reason == 'PAGE_TOKEN_INVALID', refusal


def refused(reason, *words, code=3):
    done = verb(*words, check=code)
    assert reason in done.stderr and 'next: ' in done.stderr, done.stderr
    return done.stderr


def test_what_is_refused():
    leader, (one, other) = TRIO.leader(), TRIO.followers()
    free = f'tcp://127.0.0.1:{free_ports(1)[0]}'
    before_it = status()['shards'][0]['commitIndex']
    assert 'nodes/1,nodes/2,nodes/3' in refused('NODE_UNKNOWN', 'node', 'remove', '7')
    refused('is no member', 'node', 'show', '7')
    refused('NODE_UNKNOWN', 'node', 'drain', '7')
    refused('NODE_UNKNOWN', 'shard', 'leader', '1', '--to', '7')
    refused('NODE_LEADS', 'node', 'remove', str(leader))
    refused('NODE_LEADS', 'node', 'remove', str(leader), '--dry-run')
    refused('NODE_EXISTS', 'node', 'add', str(one), '--peer', free)
    refused('NODE_EXISTS', 'node', 'add', '9', '--peer', TRIO.peers[other])
    refused('SHARD_UNKNOWN', 'shard', 'leader', '2', '--to', '1')
    for peer in ('here', 'tcp://here', 'tcp://:17703', 'http://127.0.0.1:17703'):
        refused('write tcp://HOST:PORT', 'node', 'add', '9', '--peer', peer, code=2)
    for peer in ('tcp://0.0.0.0:17703', 'tcp://[::]:17703'):
        refused('others reach it', 'node', 'add', '9', '--peer', peer, code=2)
    refused('is no node', 'node', 'show', 'x', code=2)
    refused('is no node', 'node', 'remove', '0', code=2)
    refused('--peer', 'node', 'add', '9', code=2)
    refused('--to', 'shard', 'leader', '1', code=2)
    for word in ('x', '0', 'shards/', 'nodes/1', '9' * 30):
        refused('is no shard', 'shard', 'leader', word, '--to', '1', code=2)
    refused('--timeout', 'node', 'drain', '1', '--watch', '--timeout', 'soon', code=2)
    refused('goes with --watch', 'node', 'drain', '1', '--timeout', '10s', code=2)
    refused('--limit', 'node', 'list', '--watch', '--limit', '-1', code=2)
    refused('goes with --watch', 'node', 'list', '--limit', '3', code=2)
    try:
        TRIO.operator().GetCluster(cluster.GetClusterRequest(name='clusters/' + '0' * 32))
        raise AssertionError('another cluster answered')
    except Refused as refusal:
        assert refusal.reason == 'CLUSTER_UNKNOWN', refusal
    for request in ('GetCluster', 'ListNodes', 'ListShards', 'AddNode', 'RemoveNode', 'DrainNode',
                    'TransferLeader'):
        fields = {'AddNode': {'node': 9, 'peer_address': free}, 'RemoveNode': {'name': 'nodes/1'},
                  'DrainNode': {'name': 'nodes/1'},
                  'TransferLeader': {'name': 'shards/1', 'to_node': 'nodes/1'}}
        message = getattr(cluster, request + 'Request')(**fields.get(request, {}))
        try:
            getattr(TRIO.person('nosy'), request)(message)
            raise AssertionError(f'anybody may {request}')
        except Refused as refusal:
            assert refusal.reason == 'ROLE_MISSING', refusal
    after_it = status()
    assert len(after_it['nodes']) == 3 and after_it['shards'][0]['leader'] == f'nodes/{leader}'
    assert int(after_it['shards'][0]['commitIndex']) >= int(before_it)


def operation(name):
    """As google.longrunning.Operations tells it, at the leader."""
    request = operations.GetOperationRequest(name=name).SerializeToString()
    answer = patient(lambda: TRIO.operator().raw('/google.longrunning.Operations/GetOperation',
                                                 request))
    found = operations.Operation.FromString(answer)
    assert found.name == name
    return found


def test_leadership_is_handed_over():
    leader, (one, _) = TRIO.leader(), TRIO.followers()
    assert 'would be done' in verb('shard', 'leader', '1', '--to', str(one), '--dry-run').stdout
    assert leads() == leader
    said = verb('shard', 'leader', '1', '--to', str(one), '--watch', '--timeout', '30s',
                '-o', 'json').stdout
    done = json.loads(said)
    assert said.count('\n') == 1, said  # with --watch an object a line, whichever the verb
    assert done['leader'] == f'nodes/{one}', done  # what is, when it is done
    assert TRIO.leader() == one
    verb('shard', 'leader', 'shards/1', '--to', f'nodes/{one}')  # it is so already
    began = time.monotonic()
    done = verb('node', 'drain', str(one), '--watch', '--timeout', '30s', '-o', 'json')
    assert json.loads(done.stdout)['done'] is True, done
    assert TRIO.leader() != one
    hold = patient(lambda: TRIO.person('ada').hold(STATE['slots'][0]))
    print(f'# drained, and a hold behind it, in {time.monotonic() - began:.2f} s')
    assert hold.name
    done = json.loads(verb('node', 'drain', str(one), '-o', 'json').stdout)
    assert done['done'] is True, done
    assert done['name'] == f'operations/drain-node-{one}' and operation(done['name']).done
    eventually(lambda: not operation(f'operations/drain-node-{TRIO.leader()}').done)


def test_a_cordoned_node_does_not_lead():
    leader, (one, other) = TRIO.leader(), TRIO.followers()
    assert 'would be done' in verb('node', 'cordon', str(one), '--dry-run').stdout
    refused('NODE_UNKNOWN', 'node', 'cordon', '7')
    refused('NODE_UNKNOWN', 'node', 'uncordon', '7')
    refused('NODE_UNKNOWN', 'node', 'cordon', '7', '--dry-run')
    done = json.loads(verb('node', 'cordon', str(one), '-o', 'json').stdout)
    assert done['name'] == f'nodes/{one}' and done['state'] == 'STATE_CORDONED', done
    refused('NODE_NOT_READY', 'shard', 'leader', '1', '--to', str(one))
    verb('node', 'drain', str(leader), '--watch', '--timeout', '30s')
    assert TRIO.leader() == other  # the only one that may
    verb('node', 'cordon', str(other), '--watch', '--timeout', '30s')  # it goes by itself
    assert TRIO.leader() == leader
    assert {n['state'] for n in status()['nodes']} == {'STATE_UP', 'STATE_CORDONED'}
    TRIO.shards[leader].kill()  # better a cordoned leader than none
    patient(lambda: TRIO.person('fay').hold(STATE['slots'][4]))
    TRIO.start_shard(leader).wait_ready('shard')
    eventually(lambda: TRIO.leader() == leader, seconds=30)  # and it goes again
    for node in (one, other):
        verb('node', 'uncordon', str(node), '--watch', '--timeout', '30s')
    assert {n['state'] for n in status()['nodes']} == {'STATE_UP'}


def test_a_node_is_added():
    name = status()['name'][9:]
    door, peers, _ = (f'tcp://127.0.0.1:{port}' for port in free_ports(3))
    STATE['fourth'] = Process(
        'shard', '--data', os.path.join(TRIO.data, 'node 4'), '--listen', door, '--id', '4',
        '--join', name, '--peers-listen', peers, '--set', f'shard.signing_key={TRIO.key}')
    STATE['fourth'].wait_ready('shard')
    asks_it = Process('gateway', '--data', TRIO.data, '--shard', door, '--listen', '127.0.0.1:0')
    alone = ('--target', asks_it.wait_ready('grpc'))
    eventually(lambda: ('NO_LEADER', 'nodes/4') in problems(*alone))
    assert 'joined no cluster' in problems(*alone)['NO_LEADER', 'nodes/4']
    refused('NO_LEADER', 'pool', 'list', *alone, code=4)  # rather than none: it has no state yet
    assert asks_it.stop() == 0
    assert 'would be done' in verb('node', 'add', '4', '--peer', peers, '--dry-run').stdout
    assert len(status()['nodes']) == 3
    name = json.loads(verb('node', 'add', '4', '--peer', peers, '-o', 'json').stdout)['name']
    eventually(lambda: operation(name).done, seconds=50)
    view = status()
    assert view['shards'][0]['members'][3]['voter'], view
    found = problems()
    assert ('TWO_VOTERS', '') in found, found  # four survive no more than three
    refused('NODE_EXISTS', 'node', 'add', '4', '--peer', peers)


def number_is_gone(node):
    """A number that was a member once is taken by nobody again."""
    address = f'tcp://127.0.0.1:{free_ports(1)[0]}'
    for more in ((), ('--dry-run',)):
        done = answered('node', 'add', str(node), '--peer', address, *more)
        assert done.returncode == 3 and 'NODE_REMOVED' in done.stderr, done
        assert 'next: take a new number' in done.stderr, done.stderr


def hands_over_to(node):
    """False: it has just started, and the others have not heard it yet."""
    try:
        TRIO.operator().TransferLeader(cluster.TransferLeaderRequest(
            name='shards/1', to_node=f'nodes/{node}'))
        return True
    except Refused as refusal:
        assert refusal.code in (4, 9, 14), refusal
        return False


def test_a_node_is_removed():
    gone = next(i for i in MEMBERS if i != leads())
    assert 'would be done' in verb('node', 'remove', str(gone), '--dry-run').stdout
    assert len(status()['nodes']) == 4
    verb('node', 'remove', str(gone), '--watch', '--timeout', '30s')
    assert operation(f'operations/remove-node-{gone}').done
    assert f'nodes/{gone}' not in [n['name'] for n in status()['nodes']]
    refused('NODE_UNKNOWN', 'node', 'remove', str(gone))
    refused('NODE_UNKNOWN', 'node', 'uncordon', str(gone))
    number_is_gone(gone)
    leader = leads()
    verb('node', 'drain', str(leader), '--watch', '--timeout', '30s')
    number_is_gone(gone)  # whoever leads knows
    if leader != 4:
        assert TRIO.shards[leader].stop() == 0, TRIO.shards[leader].talk[-10:]
        TRIO.start_shard(leader).wait_ready('shard')
        eventually(lambda: hands_over_to(leader), seconds=60)
        verb('shard', 'leader', '1', '--to', str(leader), '--watch', '--timeout', '30s')
        number_is_gone(gone)  # and after a restart
    TRIO.shards[gone].kill()
    words = TRIO.words(gone)  # it comes back, where no gateway looks for it
    words[words.index(TRIO.doors[gone])] = f'tcp://127.0.0.1:{free_ports(1)[0]}'
    STATE['gone'] = Process(*words)
    STATE['left'] = [i for i in MEMBERS if i != gone]
    eventually(lambda: not problems())
    patient(lambda: TRIO.person('bob').hold(STATE['slots'][1]))


def test_one_is_down():
    away = next(i for i in STATE['left'] if i != leads())
    TRIO.shards[away].kill()
    began = time.monotonic()
    eventually(lambda: ('NODE_DOWN', f'nodes/{away}') in problems(), seconds=30)
    print(f'# told as down {time.monotonic() - began:.1f} s after its end')
    found = problems()
    assert not any(kind == 'NO_QUORUM' for kind, _ in found), found
    assert 'last heard' in found['NODE_DOWN', f'nodes/{away}']
    assert any(f'fairslot node remove {away}' in p['nextStep'] for p in json.loads(
        answered('cluster', 'problems').stdout)['problems'])  # as it is typed
    assert 'down' in verb('node', 'list').stdout
    refused('NODE_NOT_READY', 'shard', 'leader', '1', '--to', str(away))
    patient(lambda: TRIO.person('carl').hold(STATE['slots'][2]))
    STATE['away'] = away


def ask(call):
    """A call while nobody leads: its answer, or its refusal."""
    try:
        return call(), None
    except Refused as refusal:
        return None, refusal


def test_without_a_quorum():
    """Writes are UNAVAILABLE with a time to come back; what anybody may see is still answered."""
    STATE.pop('fourth').kill()
    reader, writer = TRIO.person('dora'), TRIO.person('emil')
    request_id = new_id()
    refusals = []

    def is_told():
        _, refusal = ask(lambda: writer.hold(STATE['slots'][3], request_id=request_id))
        refusals.append(refusal)
        return refusal and refusal.reason == 'NO_LEADER' and refusal.retry_s > 0
    eventually(is_told, seconds=40)
    assert refusals[-1].code == 14, refusals[-1]
    page = patient(lambda: reader.ListSlots(api.ListSlotsRequest(parent=STATE['pool'])), 30)
    assert len(page.slots) == 8 and page.as_of_time.seconds > 0 and page.as_of_index > 0, page
    states = {slot.name: slot.state for slot in page.slots}
    assert states[STATE['slots'][2]] == resources.Slot.STATE_HELD
    pools = patient(lambda: reader.ListPools(api.ListPoolsRequest()), 30)
    assert pools.as_of_index > 0 and pools.as_of_time.seconds > 0
    pool = patient(lambda: reader.GetPool(api.GetPoolRequest(name=STATE['pool'])), 30)
    assert pool.as_of_index > 0 and pool.as_of_time.seconds > 0, pool
    release = patient(lambda: reader.GetRelease(api.GetReleaseRequest(name=STATE['release'])), 30)
    assert release.as_of_index > 0 and release.as_of_time.seconds > 0, release
    eventually(lambda: ('NO_QUORUM', '') in problems(), seconds=30)
    assert '1 of 3 voters' in problems()['NO_QUORUM', '']
    assert status()['shards'][0]['leader'] == ''
    refused('NO_LEADER', 'node', 'remove', str(STATE['away']), code=4)
    TRIO.start_shard(STATE['away']).wait_ready('shard')
    hold = patient(lambda: writer.hold(STATE['slots'][3], request_id=request_id), 40)
    pool = patient(lambda: reader.GetPool(api.GetPoolRequest(name=STATE['pool'])), 30)
    assert pool.as_of_index == 0 and not pool.HasField('as_of_time'), pool  # current again
    assert hold.name and leads()


def test_a_removed_node_says_so():
    """It is answered that it does not win, and by nobody as a member."""
    gone = STATE.pop('gone')
    eventually(lambda: any('FS-3029' in line for line in gone.talk), seconds=40)
    assert gone.alive()
    assert gone.stop() == 0, gone.talk[-10:]


def test_a_shard_alone():
    """One voter: the same verbs, and the truth."""
    alone = Server().start()
    env = {'FAIRSLOT_TARGET': alone.target,
           'FAIRSLOT_TOKEN_FILE': os.path.join(alone.data, 'operator.token')}
    try:
        view = json.loads(run('cluster', 'status', '-o', 'json', env=env).stdout)
        assert [n['name'] for n in view['nodes']] == ['nodes/1'] and not view['problems'], view
        assert view['shards'][0]['leader'] == 'nodes/1'
        for words, reason in ((('node', 'remove', '1'), 'VOTER_NEEDED'),
                              (('node', 'drain', '1'), 'VOTER_NEEDED'),
                              (('node', 'add', '2', '--peer', 'tcp://127.0.0.1:5'),
                               'CHANGE_REFUSED')):
            done = run(*words, check=3, env=env)
            assert reason in done.stderr and 'next: ' in done.stderr, done.stderr
        assert alone.alive()
    finally:
        alone.close()


def test_init():
    out = os.path.join(TRIO.data, 'new cluster')
    ports = free_ports(4)
    peers = [w for i in MEMBERS for w in ('--peer', f'{i}=tcp://127.0.0.1:{ports[i - 1]}')]
    plan = run('cluster', 'init', *peers, '--out', out, '--dry-run').stdout
    assert 'id = 2' in plan and not os.path.exists(out)
    mine = [line for line in plan.splitlines() if line.startswith(('listen', 'folder'))]
    assert len(set(mine)) == 6, mine  # of one machine: each its own port and folder
    taken = [line.rsplit(':', 1)[1] for line in mine if line.startswith('listen')]
    assert not set(taken) & {str(port) for port in ports[:3]}, mine
    run('cluster', 'init', *peers, '--out', out, '--data', os.path.join(out, 'd'), '--port',
        ports[3])
    assert sorted(os.listdir(out)) == ['node-1.conf', 'node-2.conf', 'node-3.conf', 'release.key']
    run('config', 'check', os.path.join(out, 'node-2.conf'))
    shard = Process('shard', '--config', os.path.join(out, 'node-1.conf'))
    shard.wait_ready('shard')
    assert shard.stop() == 0, shard.talk
    again = run('cluster', 'init', *peers, '--out', out, check=3)
    assert 'there already' in again.stderr
    for wrong in (['--peer', '1=tcp://h:1'], [*peers, '--peer', '1=tcp://h:1'],
                  [*peers, '--peer', f'9=tcp://127.0.0.1:{ports[0]}'], ['--peer', 'x'],
                  ['--peer', '0=tcp://h:1', '--peer', '2=tcp://h:2'], [*peers, '--port', '0'], [],
                  ['--peer', '1=tcp://0.0.0.0:1', '--peer', '2=tcp://h:2'],
                  [*peers, '--port', '65534'], [*peers, '--data', '/a; #x'],
                  [*peers, '--data', '/a\n[shard]']):
        done = run('cluster', 'init', *wrong, '--out', out + '2', check=2)
        assert done.stderr.startswith('error: '), done
    assert subprocess.run([BINARY, 'cluster', 'init', *peers], capture_output=True,
                          timeout=20).returncode == 2
    assert not os.path.exists(out + '2')


if __name__ == '__main__':
    tap.run(globals(), before, after)

# SPDX-License-Identifier: MIT
"""Goal: one identity on three hundred connections gets a share, not the house; with one loop and
with two.  And the bound can fail: the same flood as many identities takes what it likes."""
import json
import os
import subprocess
import threading

import house
import tap

PEOPLE, SECONDS = 20, 2
CONNECTIONS, STREAMS = 300, 6
SLOW = 'FAIRSLOT_SANITIZED' in os.environ  # people wait for the processor, not for their turn


def reads(server, file, connections, streams, seconds):
    return subprocess.Popen(
        [house.BINARY, 'bench', 'reads', '--target', server.target, '--tokens-file', file,
         '--connections', str(connections), '--streams', str(streams), '--seconds', str(seconds)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def tokens_file(server, name, count):
    path = os.path.join(server.data, name)
    with open(path, 'w', encoding='utf-8') as file:
        file.write('\n'.join(server.tokens(name, count=count)) + '\n')
    return path


def served_by(process, counts):
    for line in process.stderr:
        words = line.split()
        if words[0] == 'served':
            counts.append([int(word) for word in words[1:]])


def flooders_part(loops, identities):
    """Calls of the flood for one call of one of twenty people, and how many of its were refused."""
    server = house.Server(options=('--set', f'gateway.loops={loops}')).start()
    try:
        honest = tokens_file(server, 'honest', PEOPLE)
        flood = reads(server, tokens_file(server, 'flood', identities), CONNECTIONS, STREAMS, 60)
        counts = []
        listener = threading.Thread(target=served_by, args=(flood, counts))
        listener.start()
        while len(counts) < 8:  # it is in full swing
            listener.join(0.05)
            assert flood.poll() is None
        people = reads(server, honest, PEOPLE, 1, SECONDS)
        while 'measuring' not in people.stderr.readline():
            pass
        first = counts[-1]
        out, _ = people.communicate(timeout=60)
        last = counts[-1]
        flood.terminate()
        listener.join()
        flood.wait()
        mine = json.loads(out)
        assert mine['refused'] == mine['failed'] == 0, mine
        assert mine['rpcs_of_one_min'] > 0, mine
        rate = (last[1] - first[1]) / (last[0] - first[0]) * 1e6
        return rate / (mine['rpcs'] / PEOPLE / SECONDS), last[2]
    finally:
        server.close()


def least_part(loops):
    """Of up to three floods: a flood may take what people leave while their own client has no
    processor to ask with."""
    for _ in range(3):
        part, refused = flooders_part(loops, 1)
        if part <= PEOPLE:
            break
        print(f'# {part:.1f} times: once more')
    return part, refused


def test_one_identity_has_one_share():
    part, refused = least_part(1)
    print(f'# the flood of one identity: {part:.1f} times one of {PEOPLE} people')
    assert refused > 1000, 'it was a flood'
    assert part <= PEOPLE or SLOW, part


def test_one_identity_has_one_share_over_two_loops():
    part, refused = least_part(2)
    print(f'# two loops: {part:.1f} times')
    assert refused > 1000
    assert part <= PEOPLE or SLOW, part


def test_the_bound_can_fail():
    part, _ = flooders_part(1, 1000)
    print(f'# the flood of 1,000 identities: {part:.1f} times')
    assert part > PEOPLE or SLOW, part


if __name__ == '__main__':
    tap.run(globals(), None, None)

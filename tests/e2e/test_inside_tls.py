#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""TLS inside the house: replicas and gateways with certificates of one authority; others are not
heard, and a wrong file is told at the start."""
import os
import shutil
import socket
import ssl
import subprocess
import time

from house import Process, Refused, api, eventually, run, scratch_folder
import tap
from trio import Trio, patient

FOLDER = scratch_folder()
TRIO = None


def openssl(*words):
    subprocess.run(['openssl', *words], check=True, capture_output=True, cwd=FOLDER)


def authority(name):
    openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
            '-keyout', name + '.key', '-out', name + '.pem', '-subj', '/CN=' + name, '-days', '30')


def certificate(name, ca, dns):
    with open(os.path.join(FOLDER, 'ext'), 'w', encoding='ascii') as file:
        file.write(f'subjectAltName=DNS:{dns}\n')
    openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
            '-keyout', name + '.key', '-out', name + '.csr', '-subj', '/CN=' + dns)
    openssl('x509', '-req', '-in', name + '.csr', '-CA', ca + '.pem', '-CAkey', ca + '.key',
            '-CAcreateserial', '-out', name + '.pem', '-days', '30', '-extfile', 'ext')


def words(name, ca='house', key=None):
    path = lambda file: os.path.join(FOLDER, file)  # noqa: E731
    return ('--set', 'inside.authority=' + path(ca + '.pem'),
            '--set', 'inside.certificate=' + path(name + '.pem'),
            '--set', 'inside.key=' + path(key or name + '.key'))


class SecureTrio(Trio):
    def gateway(self, *more):
        doors = [word for door in self.doors.values() for word in ('--shard', door)]
        return Process('gateway', '--data', self.data, *doors, '--listen', f'127.0.0.1:{self.port}',
                       *more)

    def start_gateway(self):
        self.process = self.gateway(*words('node'))
        self.port = int(self.process.wait_ready('grpc').rpartition(':')[2])
        return self


def before():
    global TRIO
    authority('house')
    authority('stranger')
    certificate('node', 'house', 'fairslot')
    certificate('other-name', 'house', 'somebody')
    certificate('foreign', 'stranger', 'fairslot')
    TRIO = SecureTrio(words('node')).start()


def after():
    TRIO.close()
    shutil.rmtree(FOLDER, ignore_errors=True)


def test_replicas_and_gateway():
    operator = TRIO.operator()
    TRIO.leader()
    patient(lambda: operator.make_pool('secure'))
    TRIO.level()
    leader = TRIO.leader()
    TRIO.shards[leader].kill()
    # Without a leader a replica answers from what it has; then the new leader does.
    eventually(lambda: [pool.name for pool in patient(
        lambda: operator.ListPools(api.ListPoolsRequest())).pools] == ['pools/secure'])
    TRIO.start_shard(leader).wait_ready('shard')
    TRIO.level()


def test_nothing_is_said_in_the_clear():
    for address in (TRIO.doors[1], TRIO.peers[1]):
        host, port = address.removeprefix('tcp://').split(':')
        with socket.create_connection((host, int(port)), timeout=10) as line:
            line.sendall(b'\0SP\0\0\x30\0\0')  # nng's greeting
            line.settimeout(10)
            said = line.recv(64)
            assert not said.startswith(b'\0SP'), said
        context = ssl.create_default_context(cafile=os.path.join(FOLDER, 'house.pem'))
        with socket.create_connection((host, int(port)), timeout=10) as line:
            try:  # it is who it says, and wants our certificate too
                with context.wrap_socket(line, server_hostname='fairslot') as secure:
                    secure.settimeout(10)
                    secure.sendall(b'\0SP\0\0\x30\0\0')
                    assert not secure.recv(64).startswith(b'\0SP')
            except (ssl.SSLError, ConnectionError):
                pass


def no_service(process):
    """That gateway reaches no shard."""
    from house import Client
    client = Client(process.wait_ready('grpc'), TRIO.operator_token())
    time.sleep(1)
    try:
        client.ListPools(api.ListPoolsRequest(), timeout=5)
        raise AssertionError('it was served')
    except Refused as refusal:
        assert refusal.code in (4, 14), refusal
    client.close()
    assert process.stop() == 0


def test_a_stranger_is_not_served():
    port, TRIO.port = TRIO.port, 0
    for more in ((), words('foreign', ca='stranger')):
        no_service(TRIO.gateway(*more))
    TRIO.port = port


def test_a_replica_with_a_wrong_certificate():
    """Of another authority, or of ours and for another name: the others do not dial it, and it says
    that it is alone."""
    operator = TRIO.operator()
    for number, more in enumerate((words('foreign', ca='stranger'),
                                   (*words('other-name'), '--set', 'inside.name=somebody'))):
        away = TRIO.followers()[0]
        TRIO.shards[away].stop()
        shard = TRIO.start_shard(away, *more)
        shard.wait_ready('shard')
        time.sleep(1.5)
        patient(lambda: operator.make_pool(f'without-{number}'))
        eventually(lambda: TRIO.metric(away, 'shard_log_index') <
                   TRIO.metric(TRIO.leader(but=away), 'shard_log_index'))
        assert TRIO.metric(away, 'shard_leader') == 0
        if number == 0:
            eventually(lambda process=shard: 'none of 2 other nodes was heard' in
                       '\n'.join(process.talk))
        assert shard.stop() == 0
        TRIO.start_shard(away).wait_ready('shard')
        TRIO.level()


def test_wrong_files():
    base = ('shard', '--data', os.path.join(FOLDER, 'none'), '--listen', 'tcp://127.0.0.1:0')
    missing = run(*base, *words('nothing'), check=2)
    assert 'nothing.pem' in missing.stderr and 'next:' in missing.stderr, missing.stderr
    mixed = run(*base, *words('node', key='foreign.key'), check=1)
    assert 'no certificate with its private key' in mixed.stderr, mixed.stderr
    with open(os.path.join(FOLDER, 'empty.pem'), 'w', encoding='ascii') as file:
        file.write('nothing of that kind\n')
    empty = run(*base, *words('node', ca='empty'), check=1)
    assert 'empty.pem' in empty.stderr and 'next:' in empty.stderr, empty.stderr
    for wrong, said in ((words('foreign'), 'is not believed by whoever trusts'),
                        (words('other-name'), 'does not carry the DNS name fairslot')):
        told = run(*base, *wrong, check=1)
        assert said in told.stderr and 'next:' in told.stderr, told.stderr
        told = run('gateway', '--data', os.path.join(FOLDER, 'none'), '--listen', '127.0.0.1:0',
                   '--shard', 'tcp://127.0.0.1:1', *wrong, check=1)
        assert said in told.stderr and 'next:' in told.stderr, told.stderr
    alone = run(*base, '--set', 'inside.key=' + os.path.join(FOLDER, 'node.key'), check=2)
    assert 'together' in alone.stderr, alone.stderr


if __name__ == '__main__':
    tap.run(globals(), before, after)

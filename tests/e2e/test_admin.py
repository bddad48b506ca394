# SPDX-License-Identifier: MIT
"""Operators' own listener: who may come in, as what, and that nobody gets there by another door."""
import os
import resource
import signal
import socket
import subprocess

import house
import papers
import tap
from house import admin, api, grpc, new_id, resources

CA = papers.authority('operators')
papers.issue('server', 'operators', 'DNS:localhost,IP:127.0.0.1')
papers.issue('ada', 'operators', 'URI:urn:fairslot:operator')
papers.issue('bob', 'operators', 'URI:urn:fairslot:viewer')
papers.issue('carl', 'operators')                       # a name that no role has
papers.issue('dora', 'operators', subject='/CN=Dora Duty/O=City')  # by its CN
papers.issue('old', 'operators', 'URI:urn:fairslot:operator', days=-1)
papers.authority('elsewhere')
papers.issue('stranger', 'elsewhere', 'URI:urn:fairslot:operator')
papers.authority('alone')                               # self-signed
CONFIG = papers.path('fairslot.conf')
with open(CONFIG, 'w', encoding='ascii') as out:
    out.write(f'''[admin]
listen = 127.0.0.1:0
certificate = {papers.path('server.pem')}
key = {papers.path('server.key')}
client_ca = {CA}
[role operator]
certificates = urn:fairslot:operator, CN:Dora Duty
[role viewer]
certificates = URI:urn:fairslot:viewer
''')
SERVER = house.Server(options=('--config', CONFIG))
ADMIN = None


def before():
    global ADMIN
    SERVER.start()
    ADMIN = SERVER.process.ready['admin']


def read(name):
    with open(papers.path(name), 'rb') as file:
        return file.read()


def operator(name, token=None):
    """house.Client at the operators' listener with NAME's certificate; None: with none."""
    client = house.Client('127.0.0.1:1', token)
    client.channel.close()
    pair = (read(name + '.key'), read(name + '.pem')) if name else (None, None)
    client.channel = grpc.secure_channel(
        ADMIN, grpc.ssl_channel_credentials(read('operators.pem'), *pair),
        options=[('grpc.use_local_subchannel_pool', 1)])
    client.stubs = [stub(client.channel) for stub in (
        house.api_rpc.CatalogServiceStub, house.api_rpc.ReservationServiceStub,
        house.admin_rpc.PoolAdminServiceStub)]
    return client


def refusal(action, *words, **more):
    try:
        action(*words, **more)
    except house.Refused as refused:
        return refused
    raise AssertionError('it was done')


def test_a_certificate_gives_the_role():
    ada = operator('ada')
    pool = ada.make_pool('passports')
    assert pool.name == 'pools/passports'
    assert len(ada.make_slots('pools/passports', 3)) == 3
    assert [p.name for p in ada.ListPools(api.ListPoolsRequest()).pools] == ['pools/passports']
    ada.close()
    dora = operator('dora')
    assert dora.make_pool('by-cn').name == 'pools/by-cn'
    dora.close()


def test_request_ids_are_of_the_subject():
    request = admin.CreatePoolRequest(pool_id='again', request_id=new_id(), pool=resources.Pool(
        display_name='x', service_class='again', time_zone='Europe/Berlin',
        max_live_per_identity=1))
    request.pool.hold_ttl.seconds = 60
    ada = operator('ada')
    first = ada.CreatePool(request)
    ada.close()
    papers.issue('ada', 'operators', 'URI:urn:fairslot:operator')  # renewed: the same subject
    ada = operator('ada')
    assert ada.CreatePool(request) == first, 'the same request, the same answer'
    ada.close()
    dora = operator('dora')
    assert refusal(dora.CreatePool, request).reason == 'POOL_EXISTS', 'another subject, another id'
    dora.close()


def test_other_roles_may_look_only():
    for name in ('bob', 'carl'):
        client = operator(name)
        assert client.ListPools(api.ListPoolsRequest()).pools
        assert refusal(client.make_pool, 'mine').reason == 'ROLE_MISSING'
        client.close()


def test_a_token_is_not_asked_here():
    bob = operator('bob', token=SERVER.operator_token())  # a viewer with an operator's token
    assert refusal(bob.make_pool, 'mine').reason == 'ROLE_MISSING'
    bob.close()


def test_nobody_books_here():
    ada = operator('ada')
    refused = refusal(ada.CreateHold, api.CreateHoldRequest(parent='pools/passports'))
    assert (refused.code, refused.reason) == (12, 'LISTENER_WRONG'), refused
    ada.close()


def test_who_does_not_come_in():
    for name in (None, 'stranger', 'old', 'alone'):
        client = operator(name)
        refused = refusal(client.ListPools, api.ListPoolsRequest(), timeout=5)
        assert refused.code in (4, 14), (name, refused)
        client.close()
    plain = house.Client(ADMIN, SERVER.operator_token())
    assert refusal(plain.ListPools, api.ListPoolsRequest(), timeout=3).code in (4, 14)
    plain.close()


def test_a_session_is_not_resumed():
    ticket = papers.path('ticket')
    words = ['openssl', 's_client', '-connect', ADMIN, '-CAfile', CA, '-alpn', 'h2', '-cert',
             papers.path('ada.pem'), '-key', papers.path('ada.key')]
    done = subprocess.run([*words, '-sess_out', ticket], input=b'', capture_output=True, timeout=10)
    assert b'Verify return code: 0' in done.stdout, done
    assert not os.path.exists(ticket), 'a ticket came'


def test_the_public_listener_refuses_operators():
    client = SERVER.operator()  # with the operator's token, over the clients' listener
    refused = refusal(client.make_pool, 'mine')
    assert (refused.code, refused.reason) == (12, 'LISTENER_WRONG'), refused
    assert client.ListPools(api.ListPoolsRequest()).pools
    client.close()


def test_verbs_with_a_certificate():
    words = ('--target', 'https://' + ADMIN, '--ca', CA)
    mine = ('--cert', papers.path('ada.pem'), '--key', papers.path('ada.key'))
    house.run('pool', 'create', 'by-verb', *words, *mine)
    assert 'by-verb' in house.run('pool', 'list', *words, *mine).stdout
    assert 'ROLE_MISSING' in house.run('pool', 'create', 'no', *words, '--cert',
                                       papers.path('bob.pem'), '--key', papers.path('bob.key'),
                                       check=None).stderr
    assert 'certificate required' in house.run('pool', 'list', *words, check=None).stderr


def test_what_the_configuration_must_have():
    start = ('serve', '--dev', '--data', house.scratch_folder(), '--listen', '127.0.0.1:0', '--set',
             'admin.listen=127.0.0.1:0')
    ours = ('--set', 'admin.certificate=' + papers.path('server.pem'), '--set',
            'admin.key=' + papers.path('server.key'))
    assert 'admin.client_ca' in house.run(*start, *ours, check=2).stderr
    ca = ('--set', 'admin.client_ca=' + CA)
    assert 'admin.certificate' in house.run(*start, *ca, check=2).stderr
    wrong = papers.path('wrong.pem')
    with open(wrong, 'w', encoding='ascii') as file:
        file.write('no certificate\n')
    assert 'client CA' in house.run(*start, *ours, '--set', 'admin.client_ca=' + wrong,
                                    check=1).stderr


def test_an_operator_comes_in_when_clients_took_all():
    """Greeted, idle clients may have every descriptor but a few."""
    pid = SERVER.process.pid
    before_us = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    taken = max(int(fd) for fd in os.listdir(f'/proc/{pid}/fd'))
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (taken + 50, before_us[1]))
    links, inside = [], 0
    for _ in range(100):
        link = socket.create_connection(('127.0.0.1', SERVER.port), timeout=10)
        links.append(link)
        try:
            link.sendall(b'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0')
            goaway = b'\7\0\0\0\0\0' in link.recv(1000)
            inside += not goaway
        except ConnectionError:
            pass
    assert 20 <= inside <= 50, inside
    ada = operator('ada')
    assert ada.ListPools(api.ListPoolsRequest()).pools
    ada.close()
    for link in links:
        link.close()
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before_us)


def test_another_authority_after_a_reload():
    papers.authority('next')
    papers.issue('eva', 'next', 'URI:urn:fairslot:operator')
    eva = operator('eva')
    assert refusal(eva.ListPools, api.ListPoolsRequest(), timeout=3).code in (4, 14)
    eva.close()
    with open(CA, 'ab') as file:
        file.write(read('next.pem'))
    os.kill(SERVER.process.pid, signal.SIGHUP)
    house.eventually(lambda: any("the operators' listener" in line and 'read again' in line
                                 for line in SERVER.process.talk))
    eva = operator('eva')
    assert eva.ListPools(api.ListPoolsRequest()).pools
    eva.close()


def test_roles_follow_a_reload():
    """Also of who is connected: the next call has the roles of now."""
    with open(CONFIG, encoding='ascii') as file:
        before_text = file.read()
    ada, bob = operator('ada'), operator('bob')

    def hangup(text):
        with open(CONFIG, 'w', encoding='ascii') as file:
            file.write(text)
        said = len(SERVER.process.talk)
        os.kill(SERVER.process.pid, signal.SIGHUP)
        house.eventually(lambda: any("the operators' listener" in line and 'read again' in line
                                     for line in SERVER.process.talk[said:]))
        return '\n'.join(SERVER.process.talk[said:])
    ada.make_pool('while-operator')
    swapped = before_text.replace('urn:fairslot:operator,', 'URI:urn:fairslot:viewer,')
    swapped = swapped.replace('certificates = URI:urn:fairslot:viewer\n', 'certificates = CN:x\n')
    assert swapped != before_text
    assert 'FS-1202' not in hangup(swapped), 'nothing waits for a restart'
    bob.make_pool('promoted')
    assert refusal(ada.make_pool, 'demoted').reason == 'ROLE_MISSING'
    said = hangup(before_text + '[role boss]\ncertificates = CN:x\n')
    assert 'the roles are operator, viewer, clerk and auditor' in said, said
    bob.make_pool('still')
    hangup(before_text)
    ada.make_pool('again-operator')
    assert refusal(bob.make_pool, 'over').reason == 'ROLE_MISSING'
    ada.close()
    bob.close()


if __name__ == '__main__':
    tap.run(globals(), before, SERVER.close)

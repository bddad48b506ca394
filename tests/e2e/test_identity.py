#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: people of real issuers book; whatever an issuer does, those whose keys are known are
served, nobody else is, and the gateway never waits for it.

Issuers: npm's oidc-provider (authorization code flow, ES256 and RS256, keys that rotate), and one
in Keycloak's shape (realm, RS256, azp, roles in realm_access, the person in a claim of its own).
"""
import http.server
import json
import os
import re
import signal
import ssl
import subprocess
import tempfile
import threading
import time

import forge
import house
import issuers
import tap
from house import api, refused

QUICK = {'refresh': '5s', 'refetch': '1s'}


def before():
    global OIDC, KEYCLOAK, SERVER, KEEPER
    OIDC, KEYCLOAK = issuers.Provider(), issuers.Keycloak()
    SERVER = issuers.Server({
        'oidc': {'url': OIDC.url, 'discovery': 'yes', 'assurance_claim': 'acr', 'typ': 'at+jwt',
                 'assurance': 'gold = high, silver = substantial', **QUICK},
        'keycloak': {'url': KEYCLOAK.url, 'discovery': 'yes', 'algorithms': 'RS256', 'typ': 'JWT',
                     'authorized_party': 'booking', 'subject_claim': 'pid',
                     'assurance_claim': 'acr', 'assurance': '1 = low, 2 = substantial',
                     'role_claim': 'realm_access.roles', 'roles': 'slot-admin = operator', **QUICK},
    }).start()
    KEEPER = SERVER.client(KEYCLOAK.token('keeper', pid='keeper', roles=['slot-admin']))
    KEEPER.make_pool('city', max_live=16)
    KEEPER.make_pool('strong', max_live=16, min_assurance=2)
    KEEPER.make_pool('strongest', max_live=16, min_assurance=3)
    for name in 'city', 'strong', 'strongest':
        KEEPER.make_slots(f'pools/{name}', 30)


def after():
    SERVER.close()
    OIDC.stop()
    KEYCLOAK.stop()


def speak(token, server=None):
    client = (server or SERVER).client(token)
    try:
        return client.GetPool(api.GetPoolRequest(name='pools/city'), timeout=15)
    finally:
        client.close()


def known(token, server=None):
    """Is it accepted?  There need be no pool for that."""
    try:
        speak(token, server)
    except house.Refused as refusal:
        if refusal.reason in ('TOKEN_INVALID', 'TOKEN_EXPIRED', 'KEYS_UNAVAILABLE'):
            return False
        assert refusal.reason == 'POOL_UNKNOWN', refusal
    return True


def free(pool):
    return next(slot.name for slot in KEEPER.slots(f'pools/{pool}', free_only=True))


# -- people of real issuers -----------------------------------------------------------------------

def test_oidc_provider():
    for algorithm in 'ES256', 'RS256':
        token = OIDC.token('ein-' + algorithm, algorithm)
        assert forge.header_of(token)['alg'] == algorithm
        assert forge.header_of(token)['typ'] == 'at+jwt'
        person = SERVER.client(token)
        taken = person.confirm(person.hold(free('strongest')).name)  # acr gold is high
        assert [r.name for r in person.ListReservations(
            api.ListReservationsRequest(parent='pools/-')).reservations] == [taken.name]
    other = SERVER.client(OIDC.token('zwei'))  # acr tin is not named: low
    refused(7, 'ASSURANCE_TOO_LOW', other.hold, free('strong'))
    other.drop(other.hold(free('city')).name)
    refused(7, 'ROLE_MISSING', other.make_pool, 'mine')


def test_keycloak_shape():
    token = KEYCLOAK.token('sub-1', pid='person-1', acr='2')
    person = SERVER.client(token)
    hold = person.hold(free('strong'))
    refused(7, 'ASSURANCE_TOO_LOW', person.hold, free('strongest'))
    again = SERVER.client(KEYCLOAK.token('sub-2', pid='person-1'))  # another account of the same
    assert again.GetHold(api.GetHoldRequest(name=hold.name)).name == hold.name
    other = SERVER.client(KEYCLOAK.token('sub-1', pid='person-2', acr='2'))
    refused(7, 'NOT_YOUR_RESERVATION', other.drop, hold.name)
    refused(7, 'ROLE_MISSING', other.make_pool, 'mine')
    again.drop(hold.name)


def test_keycloak_tokens_that_are_not_for_us():
    good = {'pid': 'p'}
    assert speak(KEYCLOAK.token('s', **good))
    for change in ({'aud': 'account'}, {'aud': ['account', 'fairslot2']}, {'aud': None},
                   {'azp': 'other'}, {'azp': None}, {'azp': ['booking']}, {'pid': None},
                   {'pid': 17}, {'pid': ''}, {'pid': ['p']}, {'iss': None}, {'exp': None}):
        refused(16, 'TOKEN_INVALID', speak, KEYCLOAK.token('s', **good, more=change))
    for header in ({'typ': 'at+jwt'}, {'typ': 'ID'}, {'typ': None}, {'typ': 'logout+jwt'},
                   {'kid': 'enc-1'}, {'cty': 'JWT'}, {'zip': 'DEF'}):
        refused(16, 'TOKEN_INVALID', speak, KEYCLOAK.token('s', **good, header=header))
    refused(16, 'TOKEN_EXPIRED', speak, KEYCLOAK.token('s', **good, more={'exp': 1}))
    refused(16, 'ISSUER_UNKNOWN', speak,
            KEYCLOAK.token('s', **good, more={'iss': KEYCLOAK.url + '/'}))
    assert speak(KEYCLOAK.token('s', **good, more={'aud': 'fairslot'}))


def test_no_issuer_speaks_for_another():
    kid = forge.header_of(OIDC.token('drei', 'RS256'))['kid']
    token = KEYCLOAK.token('drei', pid='p', more={'iss': OIDC.url, 'client_id': 'booking'},
                           header={'kid': kid, 'typ': 'at+jwt'})
    refused(16, 'TOKEN_INVALID', speak, token)
    assert speak(KEYCLOAK.token('drei', pid='p'))
    assert speak(OIDC.token('drei', 'RS256'))


# -- keys come and go -----------------------------------------------------------------------------

def test_rotation_while_serving():
    old = OIDC.token('vier')
    assert speak(old)
    OIDC.ask('rotate', keep=True)
    time.sleep(1.1)  # refetch
    new = OIDC.token('vier')
    assert forge.header_of(new)['kid'] != forge.header_of(old)['kid']
    assert speak(new), 'the first token of a new key waits for the keys and is served'
    assert speak(old), 'its key is still published'
    OIDC.ask('rotate', keep=False)
    house.eventually(lambda: not known(old) and not known(new))  # remembered or not
    refused(16, 'TOKEN_INVALID', speak, old)
    assert speak(OIDC.token('vier'))


def test_many_with_a_new_key_at_once():
    OIDC.ask('rotate', keep=True)
    time.sleep(1.1)
    tokens = [OIDC.token(f'fuenf-{n}') for n in range(8)]
    before_them, answers = OIDC.fetches(), []
    threads = [threading.Thread(target=lambda t=t: answers.append(bool(speak(t)))) for t in tokens]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * len(tokens), answers
    assert OIDC.fetches() - before_them <= 2, 'one look for all of them (and one by schedule)'


def test_unknown_kids_cause_one_fetch():
    provider = issuers.Provider()  # whose keys nobody else asks for
    server = issuers.Server({'oidc': {'url': provider.url, 'discovery': 'yes'}}).start()
    try:
        good = provider.token('sechs')
        parts = good.split('.')
        before_them = provider.fetches()
        began = time.monotonic()
        client = server.client(None)
        waits = []
        for number in range(300):
            head = forge.encode(json.dumps({'alg': 'ES256', 'kid': f'x{number}'}).encode())
            client.token = '.'.join((head, *parts[1:]))
            waits.append(refused(16, 'TOKEN_INVALID', client.ListPools,
                                 api.ListPoolsRequest()).retry_s)
        client.close()
        assert time.monotonic() - began < 29
        assert provider.fetches() - before_them == 1, provider.fetches() - before_them
        assert 0 < waits[-1] <= 30, 'says when keys are read again'
        assert known(good, server)
    finally:
        server.close()
        provider.stop()


def test_keys_in_a_file():
    folder = house.scratch_folder()
    path = os.path.join(folder, 'jwks.json')
    data = house.scratch_folder()  # two development issuers: keys to change
    other = house.scratch_folder()
    tokens, sets = [], []
    for place in data, other:
        dev = house.Server(data=place).start()
        tokens.append(dev.tokens('sieben')[0])
        dev.stop()
        with open(os.path.join(place, 'issuer', 'jwks.json'), encoding='utf-8') as file:
            sets.append(file.read())

    def write(text):
        with open(path + '.new', 'w', encoding='utf-8') as file:
            file.write(text)
        os.replace(path + '.new', path)
    write(sets[0])
    server = issuers.Server({'file': {'url': forge.claims_of(tokens[0])['iss'],
                                      'jwks_file': path}}).start()
    try:
        assert known(tokens[0], server) and not known(tokens[1], server)
        for broken in '{"keys": [', '', '{"keys": []}', 'null':
            write(broken)
            time.sleep(1.3)
            assert known(tokens[0], server) and not known(tokens[1], server), broken
        server.says('its keys cannot be read')
        os.remove(path)
        server.process.child.send_signal(signal.SIGHUP)
        time.sleep(0.3)
        assert known(tokens[0], server)
        write(sets[1])
        house.eventually(lambda: known(tokens[1], server) and not known(tokens[0], server))
        server.says('can be read again')
        write(sets[0])
        server.process.child.send_signal(signal.SIGHUP)
        house.eventually(lambda: known(tokens[0], server) and not known(tokens[1], server))
    finally:
        server.close()


# -- an issuer that does not do its part ----------------------------------------------------------

def test_down_at_the_start():
    provider = issuers.Provider(house.quiet_port())
    token = provider.token('acht')
    provider.stop()
    began = time.monotonic()
    server = issuers.Server({'oidc': {'url': provider.url, 'discovery': 'yes'}}).start()
    try:
        assert time.monotonic() - began < 20, 'the start does not wait for it'
        refusal = refused(14, 'KEYS_UNAVAILABLE', speak, token, server)
        assert 0 < refusal.retry_s <= 30
        server.says('its tokens are refused until then')
        assert server.metric('issuer_keys_stale{issuer="oidc"}') == 1
        assert server.metric('issuer_keys{issuer="oidc"}') == 0
        back = issuers.Provider(provider.port)
        house.eventually(lambda: known(back.token('acht'), server), 40, 0.5)
        server.says('can be read again')
        house.eventually(lambda: server.metric('issuer_keys_stale{issuer="oidc"}') == 0)
        assert server.metric('issuer_keys{issuer="oidc"}') == 2
        back.stop()
    finally:
        server.close()


FAULTS = ('garbage', 'empty', 'nokeys', 'html', 'redirect', 'error', 'gone', 'cut', 'reset', 'huge',
          'claims_length')


def test_every_fault_keeps_the_old_keys():
    provider = issuers.Provider()
    server = issuers.Server({'oidc': {'url': provider.url, 'discovery': 'yes'}}).start()
    try:
        assert known(provider.token('neun'), server)
        for fault in FAULTS:
            fetches = provider.fault(fault)['keys']
            said = len(server.process.talk)
            server.process.child.send_signal(signal.SIGHUP)
            house.eventually(lambda n=fetches: provider.fetches() > n)
            time.sleep(0.2)
            assert known(provider.token('neun-' + fault), server), fault  # never seen before
            house.eventually(lambda: server.metric('issuer_keys_stale{issuer="oidc"}') == 1)
            provider.fault(None)
            server.process.child.send_signal(signal.SIGHUP)
            house.eventually(lambda n=said: [
                line for line in server.process.talk[n:] if 'can be read again' in line])
            lines = [line for line in server.process.talk[said:] if 'cannot be read' in line]
            assert lines, f'{fault} raises no alarm'
            print(f'# {fault}: {lines[0].rpartition(": ")[2]}')
        assert provider.ask('counts')['counts']['elsewhere'] == 0, 'a redirect was followed'
    finally:
        server.close()
        provider.stop()


def test_hanging_issuer_holds_nobody_up():
    provider = issuers.Provider()
    tokens = [provider.token(f'zehn-{n}') for n in range(5)]
    server = issuers.Server({'oidc': {'url': provider.url, 'discovery': 'yes'}}).start()
    try:
        assert known(tokens[0], server)
        fetches = provider.fault('hang')['keys']
        server.process.child.send_signal(signal.SIGHUP)
        house.eventually(lambda: provider.fetches() > fetches)
        began = time.monotonic()
        for token in tokens:
            assert known(token, server)
        assert time.monotonic() - began < 9  # a fetch hangs for 10 s
        assert server.stop() == 0, 'ends although a fetch is under way'
        provider.fault('drip')
        began = time.monotonic()
        server.start()
        assert time.monotonic() - began < 20
        refused(14, 'KEYS_UNAVAILABLE', speak, tokens[0], server)
    finally:
        server.close()
        provider.stop()


def test_stale_keys_are_given_up():
    provider = issuers.Provider(house.quiet_port())
    token = provider.token('elf')
    server = issuers.Server({'oidc': {'url': provider.url, 'discovery': 'yes', 'refresh': '5s',
                                      'stale': '7s'}}).start()
    try:
        assert known(token, server)
        provider.stop()
        server.says('those known before stay in use')
        assert known(token, server)
        server.says('given up', 20)
        refused(14, 'KEYS_UNAVAILABLE', speak, token, server)  # although it is remembered
    finally:
        server.close()


def test_discovery_of_another_issuer():
    server = issuers.Server({'oidc': {'url': f'{OIDC.base}/', 'discovery': 'yes'}}).start()
    try:
        server.says("the document is another issuer's")
    finally:
        server.close()


# -- TLS ------------------------------------------------------------------------------------------

def test_https_needs_a_known_authority():
    data = house.scratch_folder()
    dev = house.Server(data=data).start()
    token = dev.tokens('zwoelf')[0]
    dev.stop()
    with open(os.path.join(data, 'issuer', 'jwks.json'), 'rb') as file:
        jwks = file.read()

    class Keys(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header('content-type', 'application/jwk-set+json')
            self.end_headers()
            self.wfile.write(jwks)

        def log_message(self, *words):
            pass
    folder = tempfile.mkdtemp(dir=data)
    cert, key = os.path.join(folder, 'cert.pem'), os.path.join(folder, 'key.pem')
    subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt',
                    'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=keys',
                    '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert],
                   check=True, capture_output=True)
    keys = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Keys)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    keys.socket = context.wrap_socket(keys.socket, server_side=True)
    threading.Thread(target=keys.serve_forever, daemon=True).start()
    section = {'url': forge.claims_of(token)['iss']}
    port = keys.server_address[1]
    try:
        for host, extra, good in (('127.0.0.1', {'ca_file': cert}, True), ('127.0.0.1', {}, False),
                                  ('localhost', {'ca_file': cert}, False)):
            server = issuers.Server({'tls': {
                **section, 'jwks_url': f'https://{host}:{port}/keys', **extra}}).start()
            try:
                if good:
                    assert known(token, server)
                else:
                    refused(14, 'KEYS_UNAVAILABLE', speak, token, server)
            finally:
                server.close()
    finally:
        keys.shutdown()


# -- what operators read ------------------------------------------------------------------------

def test_examples_of_the_documentation():
    with open(os.path.join(house.ROOT, 'docs', 'identity.md'), encoding='utf-8') as file:
        examples = re.findall(r'^```ini\n(.*?)^```$', file.read(), re.M | re.S)
    assert len(examples) == 3
    server = issuers.Server({})
    for example in examples:  # asked at a closed port of this machine, not out there
        server.configure({})
        with open(server.config, 'a', encoding='utf-8') as file:
            file.write(re.sub(r'https://[a-z.]+', 'http://127.0.0.1:1', example))
        house.run('config', 'check', server.config)
        server.start()
        assert server.stop() == 0
    server.close()


# -- mistakes of the operator ---------------------------------------------------------------------

def test_wrong_sections_stop_the_start():
    good = {'url': 'https://a.example', 'discovery': 'yes'}
    for change, words in (
            ({'url': 'http://a.example'}, 'http:// is for this machine only'),
            ({'url': 'http://127.0.0.1@a.example'}, 'neither user nor password'),
            ({'jwks_url': 'https://a.example/k'}, 'one of jwks_file, jwks_url and discovery'),
            ({'discovery': 'no'}, 'one of jwks_file, jwks_url and discovery'),
            ({'assurance': 'gold'}, 'write VALUE = MEANING'),
            ({'assurance': 'gold = golden'}, 'means nothing here'),
            ({'roles': 'x = root'}, 'means nothing here')):
        server = issuers.Server({'one': {**good, **change}})
        done = house.run('serve', '--config', server.config, '--data', server.data, '--listen',
                         '127.0.0.1:0', check=None)
        assert done.returncode not in (0, None) and words in done.stderr, (change, done.stderr)
        server.close()
    server = issuers.Server({'one': good, 'two': good})
    done = house.run('serve', '--config', server.config, '--data', server.data, check=None)
    assert 'another issuer has its issuer' in done.stderr, done.stderr
    server.close()


if __name__ == '__main__':
    tap.run(globals(), before, after)

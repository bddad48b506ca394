#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: only a verified person speaks; every other token ends at UNAUTHENTICATED (RFC 8725's list).

Method: start from a token that works, break one thing at a time.
"""
import json
import os
import time

import forge
import house
import tap
from house import api, refused

SERVER = house.Server()


def before():
    global GOOD, KEY
    SERVER.start()
    SERVER.operator().make_pool('tokens')
    GOOD = SERVER.tokens('anna')[0]
    KEY = forge.Key(SERVER.data)


def after():
    SERVER.close()


def speak(token, metadata=None):
    client = house.Client(SERVER.target, token, timeout=5)
    try:
        request = api.GetPoolRequest(name='pools/tokens').SerializeToString()
        return client.raw('/fairslot.v1.CatalogService/GetPool', request, metadata=metadata)
    finally:
        client.close()


def refuse(reason, token, metadata=None):
    refused(16, reason, speak, token, metadata)
    assert SERVER.alive()
    assert speak(GOOD)


def signed(header=None, sign=None, **change):
    head = {'alg': 'RS256', 'kid': KEY.kid, **(header or {})}
    head = {key: value for key, value in head.items() if value is not None}
    return forge.make(head, forge.claims(GOOD, **change), sign or KEY.sign)


def test_good_tokens():
    assert speak(GOOD)
    assert speak(signed()), 'the hand-made token is as good as the issuer\'s'
    assert speak(signed(aud=['other', 'fairslot']))


def test_none():
    client = house.Client(SERVER.target)
    refused(16, 'TOKEN_MISSING', client.raw, '/fairslot.v1.ReservationService/GetHold')
    assert speak(None), 'the catalogue wants none'
    client.close()
    refuse('TOKEN_MISSING', None, [('authorization', 'Basic YTpi')])
    refuse('TOKEN_MISSING', None, [('authorization', 'Bearer ')])  # an empty variable in a script
    refuse('TOKEN_MISSING', None, [('authorization', ' ')])


def test_blanks_around_it():
    assert speak(None, [('authorization', f'Bearer {GOOD} ')])
    assert speak(None, [('authorization', f' Bearer {GOOD}'), ('x-note', 'hi ')])


def test_empty_and_garbage():
    for token in ('x', 'a.b', 'a.b.c', '..', 'a.b.c.d', 'e30.e30.e30', '=' * 100, '.' * 8000,
                  GOOD[:-10], GOOD + 'x', GOOD.replace('.', '..'), GOOD.split('.')[0] + '.' * 2):
        refuse('TOKEN_INVALID', token)
    refuse('TOKEN_INVALID', None, [('authorization', 'Bearer ' + GOOD[:-4] + '+/==')])


def test_changed_by_a_byte():
    head, body, signature = GOOD.split('.')
    claims = forge.claims_of(GOOD)
    forged = forge.encode(json.dumps({**claims, 'sub': 'bert'}).encode())
    refuse('TOKEN_INVALID', '.'.join((head, forged, signature)))
    other = 'A' if signature[10] != 'A' else 'B'
    refuse('TOKEN_INVALID', '.'.join((head, body, signature[:10] + other + signature[11:])))


def test_expired():
    refuse('TOKEN_EXPIRED', signed(exp=int(time.time()) - 3600))
    refuse('TOKEN_EXPIRED', signed(exp=1))


def test_expires_while_cached():
    token = signed(exp=int(time.time()) + 2)
    leeway = 60
    speak(token)
    short = signed(exp=int(time.time()) - leeway + 2)
    try:
        speak(short)
    except house.Refused as refusal:
        assert refusal.reason == 'TOKEN_EXPIRED', refusal
        time.sleep(2.5)  # no leeway here: the first token must have ended by now
        refuse('TOKEN_EXPIRED', token)
        return
    time.sleep(3.5)
    refuse('TOKEN_EXPIRED', short)


def test_not_yet_valid():
    refuse('TOKEN_INVALID', signed(nbf=int(time.time()) + 3600))


def test_wrong_audience():
    refuse('TOKEN_INVALID', signed(aud='other'))
    refuse('TOKEN_INVALID', signed(aud=['other', 'fairslot2']))
    refuse('TOKEN_INVALID', signed(aud=None))
    refuse('TOKEN_INVALID', signed(aud=17))


def test_unknown_issuer():
    refuse('ISSUER_UNKNOWN', signed(iss='https://evil.example'))


def test_claims_of_the_wrong_kind():
    for change in ({'sub': None}, {'sub': ''}, {'sub': 17}, {'exp': None}, {'exp': 'tomorrow'},
                   {'exp': -1}, {'nbf': 'x'}, {'iss': None}, {'iss': 7}):
        token = signed(**change)
        try:
            speak(token)
            raise AssertionError(f'{change} was accepted')
        except house.Refused as refusal:
            assert refusal.code == 16, (change, refusal)


def test_alg_none():
    for alg in ('none', 'None', 'NONE', '', None):
        refuse('TOKEN_INVALID', signed({'alg': alg}, sign=lambda data: b''))
    refuse('TOKEN_INVALID', signed({'alg': 'none'}))
    refuse('TOKEN_INVALID', signed({'alg': 'none', 'kid': None}, sign=lambda data: b''))


def test_hs256_with_the_public_key():
    modulus = KEY.n.to_bytes(KEY.size, 'big')
    for secret in (KEY.public_pem(), KEY.public_pem().strip(), KEY.public_der(), modulus,
                   forge.encode(modulus).encode()):
        refuse('TOKEN_INVALID', signed({'alg': 'HS256'}, sign=forge.hs256(secret)))


def test_the_algorithm_is_the_keys():
    for alg in ('RS384', 'RS512', 'PS256', 'ES256', 'HS512', 'EdDSA'):
        refuse('TOKEN_INVALID', signed({'alg': alg}))


def test_unknown_key():
    for kid in ('nobody', '', None, '../../etc/passwd', "' or 1=1 --", 'x' * 1000, 7):
        refuse('TOKEN_INVALID', signed({'kid': kid}))


def test_keys_inside_the_token_are_ignored():
    jwk = {'kty': 'RSA', 'n': forge.encode(b'\x01' * 256), 'e': 'AQAB'}
    for header in ({'jwk': jwk, 'kid': 'mine'}, {'jku': 'http://127.0.0.1:1/keys', 'kid': 'mine'},
                   {'x5u': 'http://127.0.0.1:1/x', 'kid': 'mine'}):
        refuse('TOKEN_INVALID', signed(header))


def test_critical_headers_are_not_understood():
    refuse('TOKEN_INVALID', signed({'crit': ['exp']}))
    refuse('TOKEN_INVALID', signed({'crit': ['x-new'], 'x-new': 1}))


def test_encrypted_tokens():
    refuse('TOKEN_INVALID', 'eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.a.b.c.d')


def test_over_8_kib():
    refuse('TOKEN_INVALID', signed(padding='x' * 8192))
    for size in (8193, 20000, 34000, 60000):
        refuse('TOKEN_INVALID', 'x' * size)
    assert speak(signed(padding='x' * 4000))


def test_duplicate_claims():
    body = json.dumps(forge.claims(GOOD))[:-1] + ', "sub": "bert"}'
    refuse('TOKEN_INVALID', forge.make({'alg': 'RS256', 'kid': KEY.kid}, body.encode(), KEY.sign))


def test_rules_and_their_twins():
    """Each change is refused, and its twin, which is nearly the same, is not."""
    now = int(time.time())
    padding = 'x' * 200
    for bad, good in (
            ({'typ': 'dpop+jwt'}, {'typ': 'at+jwt'}), ({'typ': 'ID'}, {'typ': 'JWT'}),
            ({'typ': 7}, {'typ': None}), ({'cty': 'JWT'}, {'cty': 'json'}),
            ({'zip': 'DEF'}, {'x': 'DEF'}), ({'crit': []}, {'x': []}),
            ({'b64': False, 'crit': ['b64']}, {'b64': True}), ({'enc': 'A128GCM'}, {'x': 'A'})):
        refuse('TOKEN_INVALID', signed(bad))
        assert speak(signed(good)), good
    for bad, good in (
            ({'exp': '2100000000'}, {'exp': now + 600.5}), ({'exp': 1e300}, {'exp': now + 1e3}),
            ({'nbf': now + 120}, {'nbf': now + 30}), ({'iat': now + 120}, {'iat': now + 30}),
            ({'nbf': [now]}, {'nbf': now - 0.5}), ({'sub': 'a\0b'}, {'sub': 'a\x01b'}),
            ({'sub': 'ä' * 128}, {'sub': 'ä' * 127}), ({'sub': ['anna']}, {'sub': '["anna"]'}),
            ({'aud': {'fairslot': 1}}, {'aud': ['x', 'fairslot']}), ({'aud': 'FAIRSLOT'}, {}),
            ({'assurance': 'HIGH'}, {'assurance': 'high'}), ({'assurance': 3}, {'x': padding})):
        refuse('TOKEN_INVALID', signed(**bad))
        assert speak(signed(**good)), good
    refuse('TOKEN_EXPIRED', signed(exp=now - 0.5))


def test_one_token_one_spelling():
    head, body, signature = GOOD.split('.')
    for token in (f'{head}.{body}.{signature}=', f'{head}=.{body}.{signature}',
                  f'{head}.{body}.{signature}A', f'{head}.{body}.{signature}.',
                  f'.{head}.{body}.{signature}', f'{head}.{body}', f'{head}.{body}.',
                  f'{head}..{signature}', f'.{body}.{signature}', f'{head} .{body}.{signature}',
                  f'{head}.{body}.{signature[:-1]}', f'{head}.{body}.{signature[1:]}'):
        refuse('TOKEN_INVALID', token)
    inner = forge.make({'alg': 'RS256', 'kid': KEY.kid}, GOOD.encode(), KEY.sign)
    refuse('TOKEN_INVALID', inner)  # a token in a token
    refuse('TOKEN_INVALID', forge.make({'alg': 'RS256', 'kid': KEY.kid}, b'[' * 3000, KEY.sign))


def test_two_authorization_headers():
    for second in 'x', GOOD:
        refuse('TOKEN_INVALID', None,
               [('authorization', 'Bearer ' + GOOD), ('authorization', 'Bearer ' + second)])


def test_a_role_must_be_signed():
    client = house.Client(SERVER.target, GOOD)
    refused(7, 'ROLE_MISSING', client.make_pool, 'role')
    client = house.Client(SERVER.target, signed(roles=['viewer', 'clerk']))
    refused(7, 'ROLE_MISSING', client.make_pool, 'role')


def test_nothing_of_a_subject_is_written_down():
    subject = 'canary-subject-4711'
    client = SERVER.person(subject)
    names = SERVER.operator().make_slots('pools/tokens', 1)
    client.confirm(client.hold(names[0]).name)
    SERVER.stop()
    SERVER.start()
    haystack = '\n'.join(SERVER.process.talk).encode()
    for folder, _, files in os.walk(SERVER.data):
        for name in files:
            if name != 'operator.token':
                with open(os.path.join(folder, name), 'rb') as file:
                    haystack += file.read()
    for word in (subject, client.token, client.token.split('.')[2]):
        assert word.encode() not in haystack, f'{word[:20]} stands on the disk or in the log'


if __name__ == '__main__':
    tap.run(globals(), before, after)

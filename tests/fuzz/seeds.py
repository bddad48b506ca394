#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Where fuzzing begins: inputs that are right, a few for each target, made anew each time.

usage: seeds.py FOLDER        writes FOLDER/TARGET/seed-N
What libFuzzer found on top of them, and is worth keeping, stands in corpus/.
"""
import json
import os
import random
import struct
import sys

import hpack

START_S = 1796115600  # 2026-12-01T09:00Z
START_US = START_S * 1000000
UUID = b'0190b5c2-7d3e-7a10-8b2f-6d1d6f0a9a01'


# -- protobuf by hand -----------------------------------------------------------------------------

def varint(n):
    out = b''
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def number(field, n):
    return varint(field << 3) + varint(n)


def text(field, value):
    return varint(field << 3 | 2) + varint(len(value)) + value


def fixed(field, n):
    return varint(field << 3 | 1) + struct.pack('<Q', n & (1 << 64) - 1)


def requests():
    slot = b'pools/city/slots/s20261201t0900-c3'
    hold = b'pools/city/holds/h00000000000000a1-2'
    reservation = b'pools/city/reservations/r00000000000000a1-2'
    made = text(3, number(1, START_S)) + text(4, number(1, 900)) + text(2, b'Desk 1')
    pool = (text(2, b'Passports') + text(3, b'city') + text(4, b'passport') + text(5, b'class') +
            text(6, b'Europe/Berlin') + number(7, 1) + text(8, number(1, 600)) + number(9, 2))
    bodies = [
        number(1, 10) + text(2, b'token'),                                       # ListPools
        text(1, b'pools/city'),                                                  # GetPool
        text(1, b'pools/city') + number(2, 9) + text(4, number(1, START_S)) + number(6, 1),
        text(1, b'pools/city'),                                                  # WatchSlots
        text(1, b'pools/city') + text(2, slot) + text(5, UUID),                  # CreateHold
        text(1, hold),                                                           # GetHold
        text(1, hold) + text(2, UUID),                                           # DropHold
        text(1, hold) + text(2, b'"v1"') + text(3, UUID),                        # ConfirmHold
        text(1, reservation),                                                    # GetReservation
        text(1, b'pools/-') + number(2, 5),                                      # ListReservations
        text(1, reservation) + text(2, b'"v1"') + text(3, UUID),                 # Cancel
        text(1, reservation) + text(2, slot) + text(4, b'"v1"') + text(5, UUID),
        text(1, reservation) + text(2, b'"v1"') + text(3, UUID),
        text(1, b'city') + text(2, pool) + text(3, UUID),                        # CreatePool
        text(1, b'pools/city') + text(2, made) * 3 + text(3, UUID),              # BatchCreateSlots
        text(1, b'pools/city') + text(2, slot) + text(3, UUID),                  # BlockSlots
        text(1, b'pools/city') + text(2, UUID),                                  # RestockPool
    ]
    return [bytes([which]) + body for which, body in enumerate(bodies)]


def commands():
    key = fixed(1, START_US) + text(2, b'c3')
    common = text(2, bytes(range(16))) + number(3, 3) + text(5, bytes(16)) + fixed(6, 77)
    made = fixed(1, START_US) + number(2, 900000000) + text(3, b'c3') + text(4, b'Desk')
    pool = (text(1, b'pools/city') + text(2, b'Passports') + text(5, b'class') + text(6, b'UTC') +
            number(7, 1) + text(8, number(1, 600)) + number(9, 2))
    return [
        number(1, 1) + common + number(4, 1) + text(7, b'city') + text(12, pool),
        number(1, 2) + common + number(4, 1) + text(7, b'city') + text(13, made) * 2,
        number(1, 3) + common + text(7, b'city') + text(10, key),
        number(1, 4) + common + text(7, b'city') + fixed(8, 161) + number(9, 2),
        number(1, 7) + text(7, b'city') + fixed(8, 161) + number(9, 2) + number(20, 1),
        number(1, 8),
        number(1, 102) + common + text(7, b'city') + number(18, 50) + fixed(16, START_US),
    ]


def batches():
    for command in commands():
        yield b'\3' + command
    items = b''.join(text(4, number(1, n) + number(2, 5000) + text(3, command))
                     for n, command in enumerate(commands()) if n not in (4, 5))
    yield b'\0' + number(1, 1) + fixed(2, 9) + number(3, 4) + items
    answer = (number(1, 3) + number(2, 8) + number(3, 500) + text(4, b'name') +
              text(5, text(1, b'limit') + text(2, b'4')))
    yield b'\1' + number(1, 1) + number(2, 256) + text(3, answer) + text(
        3, number(1, 4) + text(6, b'message'))
    yield b'\2' + fixed(1, START_US) + b''.join(text(2, command) for command in commands())


def ledgers():
    shuffle = random.Random(1)
    for size in (100, 1000, 3000):
        yield shuffle.randbytes(size)
    yield b''.join(b'\0' + bytes([len(c)]) + c + b'\1\1' for c in commands())


# -- tokens and keys ------------------------------------------------------------------------------

def tokens():
    header = json.dumps({'alg': 'ES256', 'kid': 'k1', 'typ': 'JWT'}).encode()
    claims = {'iss': 'https://issuer.test/realms/city', 'aud': ['fairslot', 'x'], 'sub': 'anna',
              'exp': 1800000600, 'iat': 1800000000, 'nbf': 1800000000, 'assurance': 'high',
              'role': ['operator']}
    for changed in ({}, {'aud': 'fairslot'}, {'exp': 1}, {'sub': ''}, {'assurance': 3},
                    {'role': 'operator', 'exp': 1.8e9 + 1}):
        yield b'\1' + header + b'\0' + json.dumps({**claims, **changed}).encode()
    yield b'\1{"alg":"none"}\0{}'
    yield b'\0eyJhbGciOiJFUzI1NiIsImtpZCI6ImsxIn0.e30.AAAA'


def key_sets():
    ec = {'kty': 'EC', 'crv': 'P-256', 'kid': 'k1', 'use': 'sig', 'alg': 'ES256',
          'x': 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
          'y': 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0'}
    rsa = {'kty': 'RSA', 'kid': 'r1', 'e': 'AQAB', 'alg': 'RS256',
           'n': 'u1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gunVTLw7onLRnrq0_IzW7yWR7QkrmBL7jTK'
                'En5u-qKhbwKfBstIs-bMY2Zkp18gnTxKLxoS2tFczGkPLPgizskuemMghRniWaoLcyehkd3qqGElvW_V'
                'DL5AaWTg0nLVkjRo9z-40RQzuVaE8AkAFmxZzow3x-VJYKdjykkJ0iT9wCS0DRTXu269V264Vf_3jvre'
                'dZW4sMC7-UHE_lH3gt1hIQZ7rmbA6cSYZ4wFDwUHZ2KdZl3SNI1-5kPzNDCBl6kVGiKbfTUtjM8Plcl8'
                'aWoOKVQfCsfXGS4uZ1Sxaw'}
    for keys in ([ec], [rsa], [ec, rsa], [{**ec, 'use': 'enc'}, rsa], [{**ec, 'd': 'AAAA'}], []):
        yield json.dumps({'keys': keys}).encode()


# -- JSON: the methods' numbers are their places in the .proto files ------------------------------

def objects():
    made = ('{"desk":"Desk 1","startTime":"2026-12-01T09:00:00+01:00","duration":"900s",'
            '"version":"1","state":"STATE_FREE"}')
    for which, body in (
            (0, '{"pageSize":10,"page_token":"t"}'),
            (3, '{"name":null,"x":[{},1e3,"\\ud83d\\ude00"]}'),
            (6, '{"parent":"pools/city","selector":{"slotCount":2.0}}'),
            (14, '{"preferences":[{"any":true},{"slotClass":{"fromTime":null}}],"slotCount":"1"}'),
            (21, '{"poolId":"city","pool":{"holdTtl":"1.5s","minAssurance":"ASSURANCE_LOW"}}'),
            (23, '{"slots":[' + made + ',' + made + '],"validateOnly":true}')):
        yield bytes([which]) + body.encode()
    for which in range(40):
        yield bytes([which]) + b'{"name":"a","seed":"-_8","pageSize":1}'
        yield bytes([128 + which]) + text(1, b'a') + number(2, 3) + text(3, number(1, 5))


# -- HTTP/2 ---------------------------------------------------------------------------------------

def frame(kind, flags, stream, payload):
    return struct.pack('>I', len(payload))[1:] + bytes([kind, flags]) + struct.pack(
        '>I', stream) + payload


def conversation(how, path):
    encoder = hpack.Encoder()
    out = bytes([how])
    for stream in (1, 3, 5):
        out += frame(1, 4, stream, encoder.encode([
            (':method', 'POST'), (':scheme', 'http'), (':path', path), (':authority', 'a'),
            ('content-type', 'application/grpc'), ('te', 'trailers'), ('grpc-timeout', '1S'),
            ('authorization', 'Bearer abc')]))
        out += frame(0, 0, stream, b'\0\0\0\0\3xyz\0\0') + frame(6, 0, 0, b'12345678')
        out += frame(2, 0, stream, b'\0\0\0\3\20') + frame(0, 1, stream, b'\0\0\1z')
        out += frame(8, 0, 0, b'\0\0\17\0')
    return out + frame(3, 0, 3, b'\0\0\0\10') + frame(7, 0, 0, bytes(8))


def answers():
    encoder = hpack.Encoder()
    hello = frame(4, 0, 0, b'\0\3\0\0\0\144')
    head = frame(1, 4, 1, encoder.encode([(':status', '200'),
                                          ('content-type', 'application/grpc')]))
    end = frame(1, 5, 1, encoder.encode([('grpc-status', '5'), ('grpc-message', 'no%20slot'),
                                         ('grpc-status-details-bin', 'CAUSAv8B')]))
    yield b'\0' + hello + head + frame(0, 0, 1, b'\0\0\0\0\3xyz') + end
    yield b'\1' + hello + frame(3, 0, 1, b'\0\0\0\7') + frame(7, 0, 0, bytes(8))
    yield b'\4' + hello + frame(1, 5, 1, encoder.encode([(':status', '503')]))


# -- HTTP/1.1 -------------------------------------------------------------------------------------

def said(path, kind, body, more=''):
    return (f'POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/{kind}\r\n'
            f'Content-Length: {len(body)}\r\n{more}\r\n').encode() + body


def talks():
    message = b'\0\0\0\0\2hi'
    chunked = (b'POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n'
               b'Transfer-Encoding: chunked\r\n\r\n3\r\n{"a\r\n4;x="y"\r\n":1}\r\n'
               b'0\r\nT: z\r\n\r\n')
    get = b'GET /echo?connect=v1&encoding=json&base64=1&message=e30 HTTP/1.1\r\nHost: x\r\n\r\n'
    yield b'\0' + said('/echo', 'json', b'{}', 'Connect-Timeout-Ms: 5\r\n') * 2
    yield b'\3' + chunked + get + chunked
    yield b'\6' + said('/early', 'proto', b'0123456789', 'Expect: 100-continue\r\n')
    yield b'\1' + said('/stream', 'connect+json', message) + said('/half', 'grpc-web', message)
    yield (b'\1' + said('/half', 'grpc-web-text', b'AA==AAAAAmhp') +
           said('/error', 'grpc-web', message))
    yield b'\2' + (b'OPTIONS /echo HTTP/1.1\r\nHost: x\r\nOrigin: https://good.example\r\n'
                   b'Access-Control-Request-Method: POST\r\n\r\n' +
                   said('/hang', 'json', b'') + get)
    yield b'\5POST http://x/echo HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n'
    yield b'\0' + text(3, text(1, b'x/google.rpc.X') + text(2, b'\xff')) + number(1, 5)


SEEDS = {
    'batch': batches,
    'config': lambda: [
        b'# all\n[gateway]\nlisten = [::1]:0 ; here\ndrain=500ms\n[shard]\nstate_map = 16MiB\n',
        b'\xef\xbb\xbf[cors]\r\norigins = https://a.example, https://b.example\r\n\tx://c\r\n',
        b'[issuer munich]\nurl = https://m.example/x\naudience: a, b\n[issuer b]\nurl=x://y\n'
        b'[role operator]\ncertificates = URI:spiffe://city/ops, DNS:ops.example\n',
        b'[gatway]\nx=1\n[gateway\n[log] level\nlevel = loud\n drain = 1\ndrain = 1h\n\0\n'],
    'csv': lambda: [
        b'pool,date,start,duration_minutes,desk,time_zone\ncity,2026-12-01,09:00,15,"Desk, 1",UTC\n'
        b'city,2026-12-01,09:15,15,Desk 1,Europe/Berlin\r\n',
        b'\xef\xbb\xbfdate,start,desk,duration_minutes\n2027-03-28,02:30,x,600\n,,,\n"a""b\n'],
    'json': objects,
    'jwks': key_sets,
    'ledger': ledgers,
    'names': lambda: [b's20261201t0900-c3', b's20261201t090001-desk-1', b'h00000000000000a1-2',
                      b'"v12"', b'Desk 1', b'Schalter \xc3\xbc',
                      b'/fairslot.v1.CatalogService/ListPools'],
    'request': requests,
    'token': tokens,
    'value': lambda: [b'100m', b'99999999H', b'CAUSAv8B', b'CAUSAv8BAQ==', b' a%20b%C3%BC ',
                      b'application/grpc+proto; charset=utf-8'],
    'wire_client': answers,
    'wire_h1': talks,
    'wire_server': lambda: [conversation(how, path) for how in (2, 3, 43)
                            for path in ('/echo', '/stream', '/early', '/error', '/half')],
}


def write(folder):
    for target, make in SEEDS.items():
        os.makedirs(os.path.join(folder, target), exist_ok=True)
        for n, seed in enumerate(make()):
            with open(os.path.join(folder, target, f'seed-{n}'), 'wb') as file:
                file.write(seed)


if __name__ == '__main__':
    write(sys.argv[1])

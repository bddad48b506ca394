# SPDX-License-Identifier: MIT
"""Tokens that no honest issuer makes, signed by hand with the development issuer's key.

RSA by the book (RFC 8017, PKCS #1 v1.5 with SHA-256) on plain integers: the attacks need control of
every byte, which JWT libraries rightly refuse.
"""
import base64
import hashlib
import hmac
import json
import os
import time

DIGEST_INFO = bytes.fromhex('3031300d060960864801650304020105000420')


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


def decode(text):
    return base64.urlsafe_b64decode(text + '=' * (-len(text) % 4))


def der(tag, body):
    length = len(body)
    head = bytes([length]) if length < 128 else b'\x82' + length.to_bytes(2, 'big')
    return bytes([tag]) + head + body


class Key:
    """The private RSA key of a data folder's issuer."""

    def __init__(self, data):
        with open(os.path.join(data, 'issuer', 'rs256.jwk'), encoding='utf-8') as file:
            jwk = json.load(file)
        self.kid = jwk['kid']
        self.n, self.e, self.d = (int.from_bytes(decode(jwk[part]), 'big') for part in 'ned')
        self.size = (self.n.bit_length() + 7) // 8

    def sign(self, data):
        digest = DIGEST_INFO + hashlib.sha256(data).digest()
        padded = b'\x00\x01' + b'\xff' * (self.size - len(digest) - 3) + b'\x00' + digest
        return pow(int.from_bytes(padded, 'big'), self.d, self.n).to_bytes(self.size, 'big')

    def public_der(self):
        """SubjectPublicKeyInfo."""
        def number(value):
            return der(2, value.to_bytes(value.bit_length() // 8 + 1, 'big'))
        key = der(0x30, number(self.n) + number(self.e))
        algorithm = bytes.fromhex('06092a864886f70d0101010500')  # rsaEncryption
        return der(0x30, der(0x30, algorithm) + der(3, b'\0' + key))

    def public_pem(self):
        text = base64.b64encode(self.public_der()).decode()
        lines = [text[at:at + 64] for at in range(0, len(text), 64)]
        lines = ['-----BEGIN PUBLIC KEY-----', *lines, '-----END PUBLIC KEY-----', '']
        return '\n'.join(lines).encode()


def claims_of(token):
    return json.loads(decode(token.split('.')[1]))


def header_of(token):
    return json.loads(decode(token.split('.')[0]))


def make(header, claims, sign):
    """A compact JWS; sign: bytes -> bytes."""
    parts = [encode(json.dumps(part).encode() if isinstance(part, dict) else part)
             for part in (header, claims)]
    return '.'.join([*parts, encode(sign('.'.join(parts).encode()))])


def claims(good, **change):
    """The claims of a good token, with changes; None takes one away."""
    now = int(time.time())
    changed = {**claims_of(good), 'iat': now, 'nbf': now - 5, 'exp': now + 600, **change}
    return {key: value for key, value in changed.items() if value is not None}


def hs256(secret):
    return lambda data: hmac.new(secret, data, hashlib.sha256).digest()

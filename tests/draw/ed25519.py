# SPDX-License-Identifier: MIT
"""Ed25519 by the formulas of RFC 8032, 5.1: slow, plain, no library.  For the verifiers' tests."""
import hashlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(a, b):
    """Points as (X, Y, Z, T) with x = X/Z, y = Y/Z, x*y = T/Z."""
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    c, d = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    x, y, z, t = f - e, f + e, d + c, d - c
    return x * t % P, y * z % P, t * z % P, x * y % P


def times(n, point):
    total = (0, 1, 1, 0)
    while n:
        if n & 1:
            total = add(total, point)
        point = add(point, point)
        n >>= 1
    return total


def x_of(y, odd):
    """The x of a point with this y; None: there is none."""
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if y >= P or (x * x - square) % P or (x == 0 and odd):
        return None
    return P - x if x % 2 != odd else x


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE = (x_of(BASE_Y, 0), BASE_Y, 1, x_of(BASE_Y, 0) * BASE_Y % P)


def pack(point):
    z = pow(point[2], P - 2, P)
    x, y = point[0] * z % P, point[1] * z % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def unpack(data):
    y = int.from_bytes(data, "little")
    odd, y = y >> 255, y & (1 << 255) - 1
    x = x_of(y, odd)
    return None if x is None else (x, y, 1, x * y % P)


def number(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little")


def secret(seed):
    digest = hashlib.sha512(seed).digest()
    a = int.from_bytes(digest[:32], "little") & (1 << 254) - 8 | 1 << 254
    return a, digest[32:]


def public(seed):
    return pack(times(secret(seed)[0], BASE))


def sign(seed, message):
    a, prefix = secret(seed)
    key = pack(times(a, BASE))
    r = number(prefix, message) % L
    point = pack(times(r, BASE))
    s = (r + number(point, key, message) * a) % L
    return point + s.to_bytes(32, "little")


def verify(key, message, signature):
    a, r = unpack(key), unpack(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if len(signature) != 64 or a is None or r is None or s >= L:
        return False
    k = number(signature[:32], key, message) % L
    return pack(times(s, BASE)) == pack(add(r, times(k, a)))

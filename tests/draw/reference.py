#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The draw in Python, written from docs/draw.md alone: makes tests/draw/vectors.json.

usage: reference.py        prints the vectors
       reference.py check  compares them with vectors.json beside it
"""
import hashlib
import hmac
import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import bundle  # noqa: E402
import ed25519  # noqa: E402


def h(data):
    return hashlib.sha256(data).digest()


def u64(n):
    return n.to_bytes(8, "big")


def prefixed(x):
    return u64(len(x)) + x


def mac(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def ticket_id(release_key, identity):
    return mac(release_key, b"fairslot/ticket/v1" + identity)[:16]


def preferences_hash(preferences, nonce):
    return h(prefixed(b"fairslot/preferences/v1") + prefixed(preferences) + prefixed(nonce))


def leaf(ticket, version, state, preferences):
    if state == 2:
        preferences = bytes(32)
    return h(b"\0fairslot/leaf/v1" + ticket + u64(version) + bytes([state]) + preferences)


def root(leaves):
    if not leaves:
        return h(b"")
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return h(b"\1" + root(leaves[:k]) + root(leaves[k:]))


def path(leaves, i):
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if i < k:
        return path(leaves[:k], i) + [root(leaves[k:])]
    return path(leaves[k:], i - k) + [root(leaves[:k])]


def shard_leaf(shard_root, count):
    return h(b"\0fairslot/shard/v1" + shard_root + u64(count))


def seed(manifest, tree_root, count, operator, trustees, last):
    parts = [b"fairslot/seed/v1", manifest, tree_root, u64(count), operator, u64(len(trustees))]
    return h(b"".join(prefixed(p) for p in parts + list(trustees) + [last]))


def rank(seed_bytes, ticket):
    return int.from_bytes(mac(seed_bytes, ticket)[:8], "big")


def journal():
    """A whole bundle in which slots came back, by "Returns": its files, and what is in them."""
    with tempfile.TemporaryDirectory() as folder:
        bundle.make(folder, 4, people=30, slots=9, trustees=0, beacon=False)
        files = {}
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), encoding="ascii") as file:
                files[name] = file.read()
    count = lambda word: sum(x.startswith(word) for x in files["returns"].split("\n"))  # noqa: E731
    return {"files": files, "returned": count("back "), "standby": count("won "),
            "left": count("left ")}


def vectors():
    key = h(b"release key")
    identities = [h(b"identity %d" % i)[:16] for i in range(13)]
    tickets = sorted(ticket_id(key, i) for i in identities)
    leaves = []
    for i, t in enumerate(tickets):
        prefs = preferences_hash(b"preference %d" % i, h(b"nonce %d" % i)[:16])
        leaves.append(leaf(t, i + 1, 2 if i == 5 else 1, prefs))
    roots = [root(leaves[:n]).hex() for n in range(len(leaves) + 1)]
    s = seed(h(b"manifest"), root(leaves), len(leaves), b"operator",
             [b"trustee one", b"", b"trustee three"], b"beacon")
    operator = bytes(range(100, 132))
    signed = {
        "manifest": prefixed(b"fairslot/manifest/v1") + prefixed(h(b"manifest")),
        "root": prefixed(b"fairslot/root/v1") + prefixed(h(b"manifest")) +
        prefixed(root(leaves)) + prefixed(u64(len(leaves))),
        "receipt": prefixed(b"fairslot/receipt/v1") + prefixed(h(b"manifest")) +
        prefixed(tickets[3]) + prefixed(u64(4)) + prefixed(leaves[3]),
    }
    return {
        "operator_key": ed25519.public(operator).hex(),
        "signed": {k: v.hex() for k, v in signed.items()},
        "signatures": {k: ed25519.sign(operator, v).hex() for k, v in signed.items()},
        "release_key": key.hex(),
        "identities": [i.hex() for i in identities],
        "ticket_ids": [ticket_id(key, i).hex() for i in identities],
        "sorted_ticket_ids": [t.hex() for t in tickets],
        "leaves": [x.hex() for x in leaves],
        "roots": roots,
        "paths": [[p.hex() for p in path(leaves, i)] for i in range(len(leaves))],
        "shard_leaf": shard_leaf(root(leaves), len(leaves)).hex(),
        "seed": s.hex(),
        "ranks": [str(rank(s, t)) for t in tickets],
        "journal": journal(),
    }


if __name__ == "__main__":
    text = json.dumps(vectors(), indent=1) + "\n"
    if sys.argv[1:] == ["check"]:
        here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "vectors.json")
        same = open(here).read() == text
        print("1..1\n%sok 1 - vectors.json is what docs/draw.md says" % ("" if same else "not "))
        sys.exit(not same)
    sys.stdout.write(text)

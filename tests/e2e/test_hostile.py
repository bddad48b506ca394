#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: no attack takes the gateway from its other clients; each meets the limit made for it.

Method: attacks.py on a raw socket.  After each of them the same process serves somebody else at
once.  hostile_off.py shows that every one of these fails with its limit switched off.
"""
import attacks
import house
import tap
from house import api

SERVERS = {name: house.Server(options=options) for name, options in attacks.SERVERS.items()}
SCENES = {}


def before():
    for name, server in SERVERS.items():
        server.start()
        SCENES[name] = attacks.scene_of(server)


def others_are_served(server):
    assert server.alive(), server.process.talk
    other = house.Client(server.target, server.tokens('anna')[0], timeout=10)
    house.eventually(lambda: served(other), seconds=10)
    other.close()


def served(other):
    """A busy gateway may ask to come back; it must be able to."""
    try:
        return other.ListPools(api.ListPoolsRequest()) is not None
    except house.Refused as refusal:
        assert refusal.code in (8, 14), refusal
        return False


def after():
    for server in SERVERS.values():
        others_are_served(server)
        server.close()


def attempt(attack, name, series):
    def test():
        scene = SCENES[name]
        before_it = scene.counted(series)
        try:
            attack(scene)
        finally:
            scene.close()
        house.eventually(lambda: scene.counted(series) > before_it, seconds=5)
        others_are_served(SERVERS[name])
    return test


for one, _, where, counter in attacks.ATTACKS:
    globals()['test_' + one.__name__] = attempt(one, where, counter)


if __name__ == '__main__':
    tap.run(globals(), before, after)

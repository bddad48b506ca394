#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Goal: kill -9 of serve, gateway and shard, 50 times at random moments with 500 calls in flight:
nothing that was acknowledged is lost, doubled or undone.

FAIRSLOT_SOAK=N multiplies the kills, FAIRSLOT_SEED=N repeats a run's moments.
"""
import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), 'e2e'))

import crash  # noqa: E402
import house  # noqa: E402
import tap  # noqa: E402

SOAK = int(os.environ.get('FAIRSLOT_SOAK', '1'))
SEED = int(os.environ.get('FAIRSLOT_SEED', random.SystemRandom().randrange(1 << 32)))
KILLS_SERVE, KILLS_GATEWAY, KILLS_SHARD = (4, 2, 2) if house.SANITIZED else (
    30 * SOAK, 10 * SOAK, 10 * SOAK)
PEOPLE = 600


def judge(server, victims):
    try:
        wrong, figures = crash.run(server, victims, SEED, people=PEOPLE,
                                   slots=24000 * (SOAK if SOAK < 10 else 10))
        print(f'# seed {SEED}: {figures}', flush=True)
        assert not wrong, '\n'.join(wrong[:30] + wrong[-1:])
        assert figures['in_flight_min'] >= 500, figures
        assert figures['ok'] > 20 * len(victims), f'too little happened: {figures}'
    finally:
        server.close()


def test_serve():
    server = house.Server().start()

    def victim():
        server.kill()
        server.start()
    judge(server, [victim] * KILLS_SERVE)


def test_gateway_and_shard():
    pair = house.Pair().start()
    victims = [pair.kill_gateway] * KILLS_GATEWAY + [pair.kill_shard] * KILLS_SHARD
    random.Random(SEED).shuffle(victims)
    judge(pair, victims)


if __name__ == '__main__':
    tap.run(globals())

# SPDX-License-Identifier: MIT
"""A release that was drawn, for tests that look at what comes after: proof, report, result.

    city = City()                                  a server with an operator
    release, people = city.drawn('pool', slots=4, people=10)
"""
import time

from house import Server, api, cluster, eventually, new_id, resources
from release_kit import enter, mine  # noqa: F401  (mine: for whoever imports this)

State = resources.Release.State


class City:
    def __init__(self):
        self.server = Server()
        self.server.start()
        self.operator = self.server.operator()

    def close(self):
        self.server.close()

    def crowd(self, prefix, count, **claims):
        """Clients that share one channel: their tokens differ, as with a web front end."""
        first = self.server.person(prefix)
        people = []
        for token in self.server.tokens(prefix, count=count, **claims):
            other = object.__new__(type(first))
            other.__dict__.update(first.__dict__)
            other.token = token
            people.append(other)
        return people

    def pool(self, name, slots, **fields):
        fields.setdefault('max_live', 1)
        pool = self.operator.make_pool(name, scarce=True, **fields)
        return pool.name, self.operator.make_slots(pool.name, slots, desks=2)

    def release(self, pool, name='r', serving=1, window_s=2, grace_s=1, **fields):
        now = time.time()
        release = resources.Release(serving=serving, **fields)
        release.entry_open_time.seconds = int(now)
        release.entry_close_time.FromMicroseconds(int((now + window_s) * 1e6))
        release.entry_grace.seconds = grace_s
        release.slots_start_time.seconds = int(now) + 7200
        release.slots_end_time.seconds = int(now) + 40 * 86400
        made = self.operator.CreateRelease(cluster.CreateReleaseRequest(
            parent=pool, release_id=name, release=release, request_id=new_id()))
        self.wait(made.name, State.STATE_ENTRY)
        return made.name

    def get(self, name):
        return self.operator.GetRelease(api.GetReleaseRequest(name=name))

    def wait(self, name, *states, seconds=30):
        eventually(lambda: self.get(name).state in states, seconds=seconds)

    def change(self, method, name):
        return getattr(self.operator, method)(cluster.OpenReleaseRequest(name=name,
                                                                         request_id=new_id()))

    def end(self, release):
        self.change('CloseRelease', release)
        self.wait(release, State.STATE_CLOSED)

    def drawn(self, pool_id, slots=4, people=10, wishes=('any',), **fields):
        """(release, people) in standby: everybody was served once."""
        pool, made = self.pool(pool_id, slots)
        crowd = self.crowd(pool_id, people)
        release = self.release(pool, **fields)
        for i, who in enumerate(crowd):
            enter(who, release, *[w if w == 'any' else made[(i * w) % slots] for w in wishes])
        self.wait(release, State.STATE_STANDBY)
        return release, crowd


def proof(who, release):
    return who.GetTicketProof(api.GetTicketProofRequest(name=release + '/tickets/me'))

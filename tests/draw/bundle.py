# SPDX-License-Identifier: MIT
"""Makes a bundle by docs/draw.md, for the verifiers' tests: a release that never was, drawn by an
independent program.  Trustees' keys are made with the openssl command.

    make(folder, seed, serving="by-preference", withheld=False, trustees=2, beacon=True, late=True,
         journal="kept")
"""
import base64
import hashlib
import hmac
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import ed25519  # noqa: E402


def h(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def mac(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def u64(n):
    return struct.pack(">Q", n)


def prefixed(x):
    return u64(len(x)) + x


def root_of(leaves):
    if not leaves:
        return h(b"")
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return h(b"\x01", root_of(leaves[:k]), root_of(leaves[k:]))


class Stock:
    """The slots that are free, asked as docs/draw.md words it: slowly and plainly."""

    def __init__(self, slots):
        self.slots = slots
        self.free = [True] * len(slots)
        desks = {}
        self.next = [None] * len(slots)
        for i, (start, _, slug) in enumerate(slots):
            before = desks.get(slug)
            if before is not None and slots[before][0] + slots[before][1] == start:
                self.next[before] = i
            desks[slug] = i

    def chain(self, first, count):
        found = []
        at = first
        while at is not None and self.free[at] and len(found) < count:
            found.append(at)
            at = self.next[at]
        return found if len(found) == count else None

    def interval(self, wish):
        if wish[0] == 3:
            return range(len(self.slots))
        if wish[0] == 1:
            return [i for i, s in enumerate(self.slots) if (s[0], s[2]) == (wish[1], wish[2])]
        return [i for i, s in enumerate(self.slots) if wish[1] <= s[0] < wish[2]]

    def serve(self, wishes, count):
        for number, wish in enumerate(wishes, 1):
            for first in self.interval(wish):
                chain = self.chain(first, count)
                if chain:
                    for i in chain:
                        self.free[i] = False
                    return number, chain
        return None


def preferences(wishes, count):
    out = bytes([count, len(wishes)])
    for wish in wishes:
        out += bytes([wish[0]])
        if wish[0] == 1:
            out += u64(wish[1]) + bytes([len(wish[2])]) + wish[2].encode()
        elif wish[0] == 2:
            out += u64(wish[1]) + u64(wish[2])
    return out


def make_wishes(rng, slots):
    wishes = []
    for _ in range(rng.randint(1, 8)):
        kind = rng.choice([1, 1, 2, 2, 2, 3])
        start, _, slug = rng.choice(slots)
        wishes.append((1, start, slug) if kind == 1 else
                      (2, start, start + rng.choice([900, 3600, 86400]) * 10**6) if kind == 2
                      else (3,))
    return wishes


def make_slots(rng, count):
    slots = []
    start = 1930100000 * 10**6
    while len(slots) < count:
        for desk in range(3):
            if rng.random() < 0.85 and len(slots) < count:
                slots.append((start, 900 * 10**6, "desk-%d" % desk))
        start += 900 * 10**6
    return slots


def rsa_key(folder, name):
    path = os.path.join(folder, name)
    subprocess.run(["openssl", "genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt",
                    "rsa_keygen_bits:2048", "-out", path], check=True, capture_output=True)
    der = subprocess.run(["openssl", "pkey", "-in", path, "-pubout", "-outform", "DER"], check=True,
                         capture_output=True).stdout
    return path, der


def rsa_sign(path, message):
    return subprocess.run(["openssl", "dgst", "-sha256", "-sign", path], input=message, check=True,
                          capture_output=True).stdout


class Ticket:
    def __init__(self, rng, release_key, slots):
        self.id = mac(release_key, b"fairslot/ticket/v1" + rng.randbytes(16))[:16]
        self.version = rng.randint(1, 3)
        self.entered = rng.random() < 0.95
        self.count = rng.choice([1, 1, 1, 1, 2, 3])
        self.wishes = make_wishes(rng, slots)
        self.preferences = preferences(self.wishes, self.count)
        self.nonce = mac(release_key, b"fairslot/nonce/v1" + self.id + u64(self.version))[:16]
        self.hash = h(prefixed(b"fairslot/preferences/v1"), prefixed(self.preferences),
                      prefixed(self.nonce))
        self.leaf = h(b"\x00", b"fairslot/leaf/v1", self.id, u64(self.version),
                      b"\x01" if self.entered else b"\x02",
                      self.hash if self.entered else bytes(32))

    def line(self, withheld):
        if not self.entered:
            return "%s %d withdrawn - - -" % (self.id.hex(), self.version)
        open_to_all = ("withheld", "withheld") if withheld else (self.preferences.hex(),
                                                                 self.nonce.hex())
        return "%s %d entered %s %s %s" % ((self.id.hex(), self.version, self.hash.hex()) +
                                           open_to_all)


def manifest(fields, slots, release_key, operator_seed, keys, beacon):
    slots_hash = bytes(32)
    for start, duration, slug in slots:
        slots_hash = h(slots_hash, u64(start), u64(duration), prefixed(slug.encode()))
    lines = ["fairslot-manifest: 1", "release: pools/passports/releases/march",
             "serving: " + fields["serving"], "entry-open-us: 1930000000000000",
             "entry-close-us: 1930000060000000", "entry-grace-us: 10000000", "close-us: 0",
             "cohort-us: 5000000", "turn-us: 90000000", "accept-us: 600000000",
             "parts-wait-us: 30000000", "slots-count: %d" % len(slots),
             "slots-hash: " + slots_hash.hex(), "max-live: 1", "min-assurance: 2",
             "release-key-commitment: " + h(prefixed(b"fairslot/release-key/v1"),
                                            prefixed(release_key)).hex(),
             "operator-commitment: " + h(prefixed(b"fairslot/operator-seed/v1"),
                                         prefixed(operator_seed)).hex()]
    lines += ["trustee: " + h(key).hex() for key in keys]
    lines.append("beacon: " + ("drand quicknet round 4711" if beacon else "-"))
    return "\n".join(lines) + "\n"


class Day:
    """A release by preference while it is open: two walks, slots that come back, people who leave,
    as docs/draw.md, "Returns", has them; what happens when is drawn by `rng`."""

    def __init__(self, rng, cohorts, seed, slots):
        self.rng, self.stock = rng, Stock(slots)
        self.order = [(n, rank, tid, t) for n, tickets in cohorts for rank, tid, t in
                      sorted((int.from_bytes(mac(seed, t.id)[:8], "big"), t.id, t)
                             for t in tickets if t.entered)]
        self.state, self.results = ["waiting"] * len(self.order), {}
        self.has, self.lines = {}, ["journal: kept"]
        self.first, self.scan, self.back, self.passed, self.closed = 0, None, False, False, 0

    def place(self, at):
        return "%d/%s" % (self.order[at][0], self.order[at][2].hex())

    def walks(self):
        return "%s %s" % (self.place(self.first - 1) if self.first else "-",
                          self.place(self.scan - 1) if self.scan is not None else "-")

    def limit(self):
        return sum(1 for n, _, _, _ in self.order if n <= self.closed)

    def serve(self, at, state):
        if self.state[at] != state:
            return None
        ticket = self.order[at][3]
        got = self.stock.serve(ticket.wishes, ticket.count)
        self.state[at] = "won" if got else "standby"
        if got:
            self.has[at] = got[1]
        return got and "%d %s" % (got[0], ",".join(map(str, got[1])))

    def step(self):
        """Some places further on: over standby, when something came back for it, else at first."""
        if self.passed and (self.back or self.scan is not None):
            if self.scan is None:
                self.lines.append("pass " + self.walks().split(" ")[0])
                self.back, self.scan = False, 0
            for _ in range(self.rng.randint(1, 40)):
                if self.scan == self.limit():
                    self.scan = None
                    return
                self.scan += 1
                got = self.serve(self.scan - 1, "standby")
                if got:
                    self.lines.append("won %s %s" % (self.place(self.scan - 1), got))
            return
        for _ in range(self.rng.randint(1, 30)):
            if self.first == self.limit():
                self.passed = True  # from now on what comes back is for standby first
                return
            at, self.first = self.first, self.first + 1
            if self.state[at] == "left":
                self.results[at] = "left - -"
            else:
                got = self.serve(at, "waiting")
                self.results[at] = "won " + got if got else "lost - -"

    def give_back(self):
        if self.has:
            for slot in self.has.pop(self.rng.choice(sorted(self.has))):
                self.lines.append("back %d %s" % (slot, self.walks()))
                self.stock.free[slot], self.back = True, True

    def leave(self):
        at = self.rng.randrange(len(self.order)) if self.order else 0
        if self.order and self.passed and self.state[at] in ("waiting", "standby"):
            self.lines.append("left %s %s" % (self.place(at), self.walks()))
            self.state[at] = "left"

    def run(self, end):
        last = max((n for n, _, _, _ in self.order), default=0)
        for _ in range(60 + self.rng.randint(0, 60)):
            what = self.rng.random()
            if what < 0.1:
                self.closed = min(self.closed + 1, last)
            elif what < 0.4:
                self.give_back()
            elif what < 0.5:
                self.leave()
            else:
                self.step()
        self.lines.append("%s %s" % (end, self.walks()))
        outcome_lines = []
        for at, (n, rank, tid, _) in enumerate(self.order):
            rest = "left - -" if self.state[at] == "left" else "later - -"
            outcome_lines.append("%d %016x %s %s" % (n, rank, tid.hex(),
                                                     self.results.get(at, rest)))
        return self.lines, outcome_lines


def outcome(cohorts, seed, slots, fields):
    stock = Stock(slots)
    lines = []
    turns = 20
    for number, tickets in cohorts:
        ranked = sorted((int.from_bytes(mac(seed, t.id)[:8], "big"), t.id, t)
                        for t in tickets if t.entered)
        for rank, tid, ticket in ranked:
            if fields["serving"] == "by-turn":
                result = "turn - -" if turns > 0 else "waiting - -"
                turns -= 1
            else:
                got = stock.serve(ticket.wishes, ticket.count)
                result = "won %d %s" % (got[0], ",".join(map(str, got[1]))) if got else "lost - -"
            lines.append("%d %016x %s %s" % (number, rank, tid.hex(), result))
    return lines


def signatures(key, manifest_hash, root, count):
    head = prefixed(manifest_hash)
    return "operator-key: %s\nmanifest: %s\nroot: %s\n" % (
        ed25519.public(key).hex(),
        ed25519.sign(key, prefixed(b"fairslot/manifest/v1") + head).hex(),
        ed25519.sign(key, prefixed(b"fairslot/root/v1") + head + prefixed(root) +
                     prefixed(u64(count))).hex())


def receipt(key, manifest_hash, ticket, version=None, leaf=None):
    """The answer of CreateTicket that its owner kept, as JSON."""
    version, leaf = version or ticket.version, leaf or ticket.leaf
    message = (prefixed(b"fairslot/receipt/v1") + prefixed(manifest_hash) + prefixed(ticket.id) +
               prefixed(u64(version)) + prefixed(leaf))
    text = lambda x: base64.b64encode(x).decode()  # noqa: E731
    return json.dumps({"name": "pools/passports/releases/march/tickets/" + ticket.id.hex(),
                       "leafVersion": version, "receipt": text(leaf),
                       "manifestSha256": text(manifest_hash),
                       "receiptSignature": text(ed25519.sign(key, message))})


def make(folder, seed, serving="by-preference", withheld=False, trustees=2, beacon=True, late=True,
         missing=False, people=120, slots=60, journal="kept", end="end"):
    """journal: "kept", "none", or None for a bundle of before."""
    rng = random.Random(seed)
    fields = {"serving": serving}
    os.makedirs(folder, exist_ok=True)
    release_key, operator_seed = rng.randbytes(32), rng.randbytes(32)
    operator_key = rng.randbytes(32)
    slots = make_slots(rng, slots)
    with tempfile.TemporaryDirectory() as secret:
        keys = [rsa_key(secret, "key%d" % i) for i in range(trustees)]
        text = manifest(fields, slots, release_key, operator_seed, [k[1] for k in keys], beacon)
        tickets = sorted((Ticket(rng, release_key, slots) for _ in range(people)),
                         key=lambda t: t.id)
        late_cohorts = [(n, [Ticket(rng, release_key, slots) for _ in range(7)])
                        for n in (1, 4)] if late else []
        for _, members in late_cohorts:
            for t in members:
                t.entered = True
        root = root_of([t.leaf for t in tickets])
        message = prefixed(b"fairslot/part/v1") + h(text.encode()) + root + u64(len(tickets))
        parts = [rsa_sign(path, message) for path, _ in keys]
    if missing and parts:
        parts[0] = b""
    value = rng.randbytes(32) if beacon else b""
    drawn = h(prefixed(b"fairslot/seed/v1"), prefixed(h(text.encode())), prefixed(root),
              prefixed(u64(len(tickets))), prefixed(operator_seed), prefixed(u64(len(parts))),
              *[prefixed(p) for p in parts], prefixed(value))
    lines = ["manifest: " + h(text.encode()).hex(), "operator-seed: " + operator_seed.hex()]
    for (_, key), part in zip(keys, parts):
        lines += ["trustee-key: " + key.hex(), "trustee-part: " + (part.hex() or "missing")]
    lines += ["beacon-value: " + (value.hex() or "-"), "root: " + root.hex(),
              "count: %d" % len(tickets)]
    for _, members in late_cohorts:
        members.sort(key=lambda t: (mac(drawn, t.id)[:8], t.id))
    late = "".join("%d %s\n" % (n, t.line(withheld)) for n, m in late_cohorts for t in m)
    cohorts = [(0, tickets)] + late_cohorts
    if serving == "by-preference" and journal == "kept":
        returns, results = Day(rng, cohorts, drawn, slots).run(end)
    else:
        returns, results = ["journal: none"], outcome(cohorts, drawn, slots, fields)
    returns = "".join(line + "\n" for line in returns)
    lines += ["late: " + h(late.encode()).hex()]
    lines += ["returns: " + h(returns.encode()).hex()] if journal else []
    lines += ["seed: " + drawn.hex()]
    files = {
        "manifest": text,
        "slots": "".join("%d %d %d %s\n" % (i, *s) for i, s in enumerate(slots)),
        "parts": "\n".join(lines) + "\n",
        "tickets": "".join(t.line(withheld) + "\n" for t in tickets),
        "late": late,
        "signatures": signatures(operator_key, h(text.encode()), root, len(tickets)),
        "returns": returns,
        "outcome": "".join(line + "\n" for line in results),
    }
    if journal is None:
        del files["returns"]
    for name, content in files.items():
        with open(os.path.join(folder, name), "w") as f:
            f.write(content)
    return operator_key, h(text.encode()), tickets

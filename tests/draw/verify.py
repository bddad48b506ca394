#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A second verifier of a release's bundle, written from docs/draw.md: it shares no code with the
engine.  Slow and plain on purpose.

usage: verify.py BUNDLE [--receipt FILE] [--key HEX]
prints what holds and ends with 0, or the place that does not and 1
"""
import argparse
import base64
import hashlib
import json
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import ed25519  # noqa: E402
from bundle import Stock, h, mac, prefixed, root_of, u64  # noqa: E402  the formulas of docs/draw.md

MANIFEST = ["fairslot-manifest", "release", "serving", "entry-open-us", "entry-close-us",
            "entry-grace-us", "close-us", "cohort-us", "turn-us", "accept-us", "parts-wait-us",
            "slots-count", "slots-hash", "max-live", "min-assurance", "release-key-commitment",
            "operator-commitment"]
HASH = re.compile(r"[0-9a-f]{64}")
NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


class Finding(Exception):
    def __init__(self, file, line, what):
        super().__init__("%s:%d: %s" % (file, line, what) if line else "%s: %s" % (file, what))
        self.file, self.line = file, line


def need(condition, file, line, what):
    if not condition:
        raise Finding(file, line, what)


def read(folder, name):
    with open(os.path.join(folder, name), "rb") as f:
        data = f.read()
    need(data == b"" or data.endswith(b"\n"), name, data.count(b"\n") + 1, "the line has no end")
    try:
        return data, data.decode("ascii").split("\n")[:-1]
    except UnicodeDecodeError as e:
        raise Finding(name, data[:e.start].count(b"\n") + 1, "is no ASCII") from None


def value(lines, at, key, file):
    need(at < len(lines) and lines[at].startswith(key + ": "), file, at + 1, "is no " + key)
    return lines[at][len(key) + 2:]


def read_manifest(folder):
    data, lines = read(folder, "manifest")
    m = {}
    for i, key in enumerate(MANIFEST):
        m[key] = value(lines, i, key, "manifest")
        if key.endswith("-us") or key in ("slots-count", "max-live", "min-assurance"):
            need(NUMBER.fullmatch(m[key]), "manifest", i + 1, "is no number")
        if key.endswith("hash") or key.endswith("commitment"):
            need(HASH.fullmatch(m[key]), "manifest", i + 1, "is no hash")
    need(m["fairslot-manifest"] == "1", "manifest", 1, "is another version")
    need(re.fullmatch(r"pools/[^/]+/releases/.+", m["release"]), "manifest", 2, "is no release")
    need(int(m["min-assurance"]) <= 3, "manifest", 15, "is no level")
    need(m["serving"] in ("by-preference", "by-turn"), "manifest", 3, "nothing was drawn")
    at = len(MANIFEST)
    m["trustees"] = []
    while at < len(lines) and lines[at].startswith("trustee: "):
        need(HASH.fullmatch(lines[at][9:]), "manifest", at + 1, "is no hash")
        m["trustees"].append(lines[at][9:])
        at += 1
    m["beacon"] = value(lines, at, "beacon", "manifest")
    need(len(lines) == at + 1 and len(m["trustees"]) <= 5, "manifest", at + 1, "is too much")
    return h(data), m


def read_slots(folder, m):
    _, lines = read(folder, "slots")
    slots, chain = [], bytes(32)
    for i, line in enumerate(lines):
        f = line.split(" ")
        need(len(f) == 4 and f[0] == str(i) and all(NUMBER.fullmatch(x) for x in f[1:3]) and f[3],
             "slots", i + 1, "is no slot")
        slot = (int(f[1]), int(f[2]), f[3])
        in_order = not slots or (slots[-1][0], slots[-1][2]) < (slot[0], slot[2])
        need(in_order, "slots", i + 1, "not in order")
        slots.append(slot)
        chain = h(chain, u64(slot[0]), u64(slot[1]), prefixed(slot[2].encode()))
    need(len(slots) == int(m["slots-count"]), "slots", len(slots), "another number of slots")
    need(chain.hex() == m["slots-hash"], "slots", 0, "not the list of the manifest")
    return slots


def der(data, at):
    """One element of DER: tag, content, where the next one begins."""
    n, at_content = data[at + 1], at + 2
    if n & 0x80:
        k = n & 0x7f
        n, at_content = int.from_bytes(data[at + 2:at + 2 + k], "big"), at + 2 + k
    return data[at], data[at_content:at_content + n], at_content + n


def rsa_ok(key, message, signature):
    """RFC 8017 8.2.2, with the key as SubjectPublicKeyInfo."""
    _, info, _ = der(key, 0)
    _, _, at = der(info, 0)
    _, bits, _ = der(info, at)
    _, pair, _ = der(bits[1:], 0)
    _, n, at = der(pair, 0)
    _, e, _ = der(pair, at)
    n, e = int.from_bytes(n, "big"), int.from_bytes(e, "big")
    size = (n.bit_length() + 7) // 8
    if e != 65537 or not 2048 <= n.bit_length() <= 4096 or len(signature) != size:
        return False
    want = SHA256_INFO + hashlib.sha256(message).digest()
    want = b"\0\1" + b"\xff" * (size - len(want) - 3) + b"\0" + want
    return pow(int.from_bytes(signature, "big"), e, n).to_bytes(size, "big") == want


def unhex(text, file, line):
    need(re.fullmatch(r"([0-9a-f]{2})+", text), file, line, "is no hex")
    return bytes.fromhex(text)


def read_parts(folder, m, manifest_hash):
    _, lines = read(folder, "parts")
    claimed = value(lines, 0, "manifest", "parts")
    need(HASH.fullmatch(claimed), "parts", 1, "is no hash")
    need(claimed == manifest_hash.hex(), "manifest", 0, "not the text whose hash parts has")
    p = {"operator": unhex(value(lines, 1, "operator-seed", "parts"), "parts", 2)}
    committed = h(prefixed(b"fairslot/operator-seed/v1"), prefixed(p["operator"])).hex()
    need(committed == m["operator-commitment"], "parts", 2, "not what was committed to")
    at, p["trustees"] = 2, []
    for want in m["trustees"]:
        key = unhex(value(lines, at, "trustee-key", "parts"), "parts", at + 1)
        need(h(key).hex() == want, "parts", at + 1, "not the trustee's key")
        part = value(lines, at + 1, "trustee-part", "parts")
        part = b"" if part == "missing" else unhex(part, "parts", at + 2)
        p["trustees"].append((key, part, at + 2))
        at += 2
    beacon = value(lines, at, "beacon-value", "parts")
    need((beacon == "-") == (m["beacon"] == "-"), "parts", at + 1, "not by the manifest")
    p["beacon"] = b"" if beacon in ("-", "missing") else unhex(beacon, "parts", at + 1)
    keys = ["root", "count", "late", "seed"]
    has_file = os.path.exists(os.path.join(folder, "returns"))
    if has_file or lines[at + 4:at + 5] and lines[at + 4].startswith("returns: "):
        keys.insert(3, "returns")
    for i, key in enumerate(keys, at + 1):
        p[key] = value(lines, i, key, "parts")
        need((NUMBER if key == "count" else HASH).fullmatch(p[key]), "parts", i + 1, "not valid")
    need(has_file or "returns" not in p, "returns", 0, "is missing, and parts has its hash")
    need(len(lines) == at + 1 + len(keys), "parts", at + 2 + len(keys), "is too much")
    p["line"], p["seed-line"] = at + 2, at + 1 + len(keys)
    return p


def read_wishes(data, file, line):
    need(len(data) >= 2 and 1 <= data[0] <= 8 and 1 <= data[1] <= 8, file, line, "no preferences")
    count, wishes, at = data[0], [], 2
    for _ in range(data[1]):
        kind = data[at] if at < len(data) else 0
        need(kind in (1, 2, 3), file, line, "no preferences")
        at += 1
        number = lambda i: int.from_bytes(data[at + 8 * i:at + 8 * i + 8], "big")  # noqa: E731
        if kind == 3:
            wishes.append((3,))
        elif kind == 2:
            wishes.append((2, number(0), number(1)))
            at += 16
        else:
            n = data[at + 8] if at + 8 < len(data) else 0
            wishes.append((1, number(0), data[at + 9:at + 9 + n].decode("ascii")))
            at += 9 + n
    need(at == len(data), file, line, "no preferences")
    return count, wishes


def read_ticket(fields, file, line):
    """(ticket id, leaf, wishes, version); wishes are (slot count, list), None: withheld, or False
    of a withdrawn one."""
    need(len(fields) == 6 and re.fullmatch(r"[0-9a-f]{32}", fields[0]) and
         re.fullmatch(r"[1-9][0-9]{0,18}", fields[1]), file, line, "is no ticket")
    tid, version = bytes.fromhex(fields[0]), int(fields[1])
    head = b"\0fairslot/leaf/v1" + tid + u64(version)
    if fields[2] == "withdrawn":
        need(fields[3:] == ["-", "-", "-"], file, line, "is no withdrawn ticket")
        return tid, h(head, b"\2", bytes(32)), False, version
    need(fields[2] == "entered" and HASH.fullmatch(fields[3]), file, line, "is no ticket")
    wishes = None
    if fields[4:] != ["withheld", "withheld"]:
        data, nonce = unhex(fields[4], file, line), unhex(fields[5], file, line)
        computed = h(prefixed(b"fairslot/preferences/v1"), prefixed(data), prefixed(nonce))
        need(computed.hex() == fields[3], file, line, "not the preferences of the leaf")
        wishes = read_wishes(data, file, line)
    return tid, h(head, b"\1", bytes.fromhex(fields[3])), wishes, version


def read_tickets(folder):
    _, lines = read(folder, "tickets")
    tickets = []
    for i, line in enumerate(lines, 1):
        ticket = read_ticket(line.split(" "), "tickets", i)
        need(not tickets or tickets[-1][0] < ticket[0], "tickets", i, "not in order")
        tickets.append(ticket)
    return tickets


def read_late(folder, p):
    data, lines = read(folder, "late")
    need(h(data).hex() == p["late"], "late", 0, "not the text whose hash parts has")
    cohorts, before = {}, 0
    for i, line in enumerate(lines, 1):
        fields = line.split(" ")
        need(re.fullmatch(r"[1-9][0-9]{0,9}", fields[0]), "late", i, "no later cohort")
        ticket = read_ticket(fields[1:], "late", i)
        need(before <= int(fields[0]), "late", i, "not in order")
        before = int(fields[0])
        cohorts.setdefault(before, []).append(ticket)
    return list(cohorts.items())


def check_late(late, seed):
    line = 0
    for _, tickets in late:
        before = (b"", b"")
        for ticket in tickets:
            line += 1
            place = (mac(seed, ticket[0])[:8], ticket[0])
            need(before < place, "late", line, "not in the order of serving")
            before = place


def check_seed(m, manifest_hash, p, tickets):
    root = root_of([t[1] for t in tickets])
    need(root.hex() == p["root"], "tickets", 0, "not the root of parts")
    need(str(len(tickets)) == p["count"], "parts", p["line"] + 1, "not the number of tickets")
    message = prefixed(b"fairslot/part/v1") + manifest_hash + root + u64(len(tickets))
    for key, part, line in p["trustees"]:
        need(part == b"" or rsa_ok(key, message, part), "parts", line, "not its signature")
    seed = h(prefixed(b"fairslot/seed/v1"), prefixed(manifest_hash), prefixed(root),
             prefixed(u64(len(tickets))), prefixed(p["operator"]),
             prefixed(u64(len(p["trustees"]))), *[prefixed(t[1]) for t in p["trustees"]],
             prefixed(p["beacon"]))
    need(seed.hex() == p["seed"], "parts", p["seed-line"], "not the seed of these parts")
    return seed


def check_signatures(folder, manifest_hash, p, tickets, key):
    _, lines = read(folder, "signatures")
    found = [unhex(value(lines, i, name, "signatures"), "signatures", i + 1)
             for i, name in enumerate(("operator-key", "manifest", "root"))]
    need([len(x) for x in found] == [32, 64, 64], "signatures", 3, "is no signature")
    need(len(lines) == 3, "signatures", 4, "is too much")
    need(key is None or key == found[0], "signatures", 1, "not the operator's key that was given")
    signed = prefixed(b"fairslot/manifest/v1") + prefixed(manifest_hash)
    need(ed25519.verify(found[0], signed, found[1]), "signatures", 2, "not its signature")
    signed = (prefixed(b"fairslot/root/v1") + prefixed(manifest_hash) +
              prefixed(bytes.fromhex(p["root"])) + prefixed(u64(len(tickets))))
    need(ed25519.verify(found[0], signed, found[2]), "signatures", 3, "not its signature")
    return found[0]


def check_receipt(file, manifest_hash, key, cohorts):
    """"included", or "replaced": the bundle has a later version of the same ticket."""
    with open(file, encoding="utf-8") as f:
        kept = json.load(f)
    kept = kept.get("ticket", kept)
    manifest, leaf, signature = (base64.b64decode(kept[k]) for k in
                                 ("manifestSha256", "receipt", "receiptSignature"))
    tid, version = bytes.fromhex(kept["name"][-32:]), int(kept["leafVersion"])
    need(manifest == manifest_hash, "receipt", 0, "of another release or manifest")
    signed = (prefixed(b"fairslot/receipt/v1") + prefixed(manifest) + prefixed(tid) +
              prefixed(u64(version)) + prefixed(leaf))
    need(ed25519.verify(key, signed, signature), "receipt", 0, "not signed by the bundle's key")
    found = [t for _, tickets in cohorts for t in tickets if t[0] == tid]
    need(found, "receipt", 0, "is signed, and its ticket is not in the bundle")
    need(found[0][3] >= version, "receipt", 0, "is signed, and the bundle has an older version")
    need(found[0][3] > version or found[0][1] == leaf, "receipt", 0, "has another leaf")
    return "included" if found[0][3] == version else "replaced by version %d" % found[0][3]


def serve(stock, wishes, taken, result):
    """Is the result what this ticket gets now?"""
    if wishes is None:  # withheld: only that nobody else has the slots
        if result == "lost - -":
            return True
        got = re.fullmatch(r"won [1-8] ((?:0|[1-9]\d*)(?:,(?:0|[1-9]\d*))*)", result)
        slots = [int(x) for x in got.group(1).split(",")] if got else []
        fresh = bool(slots) and all(s < len(stock.slots) and s not in taken for s in slots)
        taken.update(slots)
        return fresh
    got = stock.serve(wishes[1], wishes[0])
    return result == ("won %d %s" % (got[0], ",".join(map(str, got[1]))) if got else "lost - -")


def check_outcome(folder, m, seed, cohorts, slots):
    _, lines = read(folder, "outcome")
    stock, taken, at, waiting = Stock(slots), set(), 0, False
    for number, tickets in cohorts:
        ranked = sorted((mac(seed, t[0])[:8], t[0], t[2]) for t in tickets if t[2] is not False)
        for rank, tid, wishes in ranked:
            head = "%d %s %s " % (number, rank.hex(), tid.hex())
            need(at < len(lines) and lines[at].startswith(head), "outcome", at + 1, "not the order")
            result = lines[at][len(head):]
            if number > 0 and result == "later - -" or \
                    m["serving"] == "by-turn" and result == "left - -":
                pass
            elif m["serving"] == "by-turn":
                need(result in ("turn - -", "waiting - -"), "outcome", at + 1, "no result")
                need(not (waiting and result == "turn - -"), "outcome", at + 1, "out of turn")
                waiting = waiting or result == "waiting - -"
            else:
                need(serve(stock, wishes, taken, result), "outcome", at + 1, "not what it gets")
            at += 1
    need(at == len(lines), "outcome", at + 1, "nobody is left for this line")
    return at


def read_returns(folder, m, p):
    """The lines of the journal; None: none is kept."""
    if "returns" not in p:
        return None
    data, lines = read(folder, "returns")
    need(h(data).hex() == p["returns"], "returns", 0, "not the text whose hash parts has")
    kept = m["serving"] == "by-preference" and lines[:1] == ["journal: kept"]
    need(kept or lines == ["journal: none"], "returns", 1, "is no journal of this release")
    return lines if kept else None


class Replay:
    """docs/draw.md, "Returns": both walks from line to line."""

    def __init__(self, folder, lines, seed, cohorts, slots):
        _, self.outcome = read(folder, "outcome")
        self.lines, self.stock, self.number = lines, Stock(slots), 0
        self.order = [(n, rank, tid, wishes) for n, tickets in cohorts for rank, tid, wishes in
                      sorted((mac(seed, t[0])[:8], t[0], t[2]) for t in tickets
                             if t[2] is not False)]
        self.at = {"%d/%s" % (n, tid.hex()): i for i, (n, _, tid, _) in enumerate(self.order)}
        self.state = ["waiting"] * len(self.order)
        self.first, self.scan, self.back, self.passed = 0, None, False, False
        self.counts = {"back": 0, "won": 0}

    def need(self, condition, what):
        need(condition, "returns", self.number, what)

    def result(self, at, over):
        """The next line of the outcome must be this place's."""
        n, rank, tid, wishes = self.order[at]
        head = "%d %s %s " % (n, rank.hex(), tid.hex())
        need(at < len(self.outcome) and self.outcome[at].startswith(head), "outcome", at + 1,
             "not the order")
        said = self.outcome[at][len(head):]
        if self.state[at] == "left" or over:
            right = said == ("left - -" if self.state[at] == "left" else "later - -")
        elif wishes is None and said != "lost - -":
            right = said.startswith("won ") and self.take(said[4:])
        elif wishes is None:
            right = True
        else:
            got = self.stock.serve(wishes[1], wishes[0])
            right = said == ("won " + text_of(got) if got else "lost - -")
        need(right, "outcome", at + 1, "not what it gets")
        if self.state[at] != "left" and not over:
            self.state[at] = "won" if said.startswith("won") else "standby"

    def take(self, said):
        """Of withheld preferences: slots that are there and free."""
        got = re.fullmatch(r"[1-8] ((?:0|[1-9]\d*)(?:,(?:0|[1-9]\d*))*)", said)
        for slot in [int(x) for x in got.group(1).split(",")] if got else []:
            if slot >= len(self.stock.slots) or not self.stock.free[slot]:
                return False
            self.stock.free[slot] = False
        return bool(got)

    def pass_to(self, to):
        """Nobody up to there gets anything: of the free slots, and there are few, none will do."""
        free = [i for i, is_free in enumerate(self.stock.free) if is_free]
        while self.scan < to:
            wishes = self.order[self.scan][3]
            if free and self.state[self.scan] == "standby" and wishes is not None:
                self.need(not any(self.meets(first, wish) and self.stock.chain(first, wishes[0])
                                  for wish in wishes[1] for first in free),
                          "standby gets something")
            self.scan += 1

    def meets(self, number, wish):
        start, _, slug = self.stock.slots[number]
        return wish[0] == 3 or wish[0] == 1 and (start, slug) == (wish[1], wish[2]) or \
            wish[0] == 2 and wish[1] <= start < wish[2]

    def pass_ends(self):
        if self.scan is not None:
            self.pass_to(len(self.order))
            self.scan = None

    def first_to(self, to):
        self.need(to >= self.first, "the first pass does not go back")
        self.need(to == self.first or self.scan is None and not (self.passed and self.back),
                  "what came back is for standby first")
        while self.first < to:
            self.first += 1
            self.result(self.first - 1, False)

    def place(self, field):
        self.need(field in self.at, "is no place in the order")
        return self.at[field]

    def walk(self, fields, count):
        self.need(len(fields) == count, "is no event")
        return [0 if f == "-" else self.place(f) + 1 for f in fields]

    def walks(self, fields):
        first, scan = self.walk(fields, 2)
        if fields[1] == "-":
            self.pass_ends()
        else:
            self.need(self.scan is not None and scan >= self.scan, "no such pass over standby")
            self.pass_to(scan)
        self.first_to(first)

    def event(self, word, fields):
        if word == "back":
            self.need(fields and NUMBER.fullmatch(fields[0]), "is no slot")
            slot = int(fields[0])
            self.need(slot < len(self.stock.slots), "is no slot")
            self.walks(fields[1:])
            self.need(not self.stock.free[slot], "nobody had this slot")
            self.stock.free[slot], self.back = True, True
        elif word == "pass":
            first = self.walk(fields, 1)[0]
            self.pass_ends()
            self.first_to(first)
            self.need(self.back, "nothing has come back for this pass")
            self.scan, self.passed, self.back = 0, True, False
        elif word == "won":
            self.need(len(fields) == 3, "is no event")
            at = self.place(fields[0])
            self.need(self.scan is not None and at >= self.scan and self.state[at] == "standby",
                      "does not stand by for a pass under way")
            self.pass_to(at)
            self.scan, self.state[at], wishes = at + 1, "won", self.order[at][3]
            said = "%s %s" % (fields[1], fields[2])
            got = wishes and self.stock.serve(wishes[1], wishes[0])
            right = got and said == text_of(got) if wishes else self.take(said)
            self.need(right, "not what it gets")
        elif word == "left":
            at = self.place(fields[0] if fields else "")
            self.walks(fields[1:])
            self.need(self.state[at] in ("waiting", "standby"), "has left, or got something")
            self.state[at] = "left"
        else:
            self.need(word in ("end", "now"), "is no event")
            self.walks(fields)
            return True
        self.counts[word] = self.counts.get(word, 0) + 1
        return False

    def run(self):
        over = False
        for self.number, line in enumerate(self.lines[1:], 2):
            self.need(not over, "nothing comes behind the end")
            over = self.event(*[(f[0], f[1:]) for f in [line.split(" ")]][0])
        self.number += not over
        self.need(over, "the journal has no end")
        for at in range(self.first, len(self.order)):
            self.result(at, True)
        need(len(self.outcome) == len(self.order), "outcome", len(self.order) + 1,
             "nobody is left for this line")
        return len(self.order)


def text_of(got):
    return "%d %s" % (got[0], ",".join(map(str, got[1])))


def verify(folder, receipt=None, key=None):
    manifest_hash, m = read_manifest(folder)
    p = read_parts(folder, m, manifest_hash)
    slots = read_slots(folder, m)
    late = read_late(folder, p)
    returns = read_returns(folder, m, p)
    tickets = read_tickets(folder)
    seed = check_seed(m, manifest_hash, p, tickets)
    check_late(late, seed)
    signed_by = check_signatures(folder, manifest_hash, p, tickets, key)
    cohorts = [(0, tickets)] + late
    if returns:
        replay = Replay(folder, returns, seed, cohorts, slots)
        served = replay.run()
    else:
        served = check_outcome(folder, m, seed, cohorts, slots)
    says = "everything holds: %d in order, seed %s, signed by %s" % (served, seed.hex(),
                                                                    signed_by.hex())
    if returns:
        says += ", %(back)d slots came back, %(won)d gains out of standby" % replay.counts
    if receipt:
        says += ", receipt " + check_receipt(receipt, manifest_hash, signed_by,
                                             [(0, tickets)] + late)
    return says


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("bundle")
    words.add_argument("--receipt")
    words.add_argument("--key", type=bytes.fromhex)
    words = words.parse_args()
    try:
        print(verify(words.bundle, words.receipt, words.key))
    except Finding as finding:
        print("does not hold: %s" % finding)
        sys.exit(1)

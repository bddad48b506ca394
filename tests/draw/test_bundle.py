#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Do both verifiers take honest bundles, and refuse every copy with one byte changed, naming the
place?  `fairslot release verify` and verify.py share no code; a byte is changed in each field of
each file."""
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "e2e")]
import bundle  # noqa: E402
import tap  # noqa: E402
import verify  # noqa: E402

FAIRSLOT = os.environ.get("FAIRSLOT_BINARY", "build/fairslot")
FILES = ("manifest", "slots", "parts", "signatures", "tickets", "late", "returns", "outcome")
scratch = tempfile.TemporaryDirectory()


def path(name):
    return os.path.join(scratch.name, name)


def ours(folder):
    """None, or (file, line) that the engine's verifier names."""
    p = subprocess.run([FAIRSLOT, "release", "verify", folder, "-o", "json"], capture_output=True,
                       text=True, timeout=120)
    answer = json.loads(p.stdout)
    assert (p.returncode == 0) == answer["valid"] and p.returncode in (0, 1), p
    return None if answer["valid"] else (answer["file"], answer["line"])


def theirs(folder):
    try:
        verify.verify(folder)
        return None
    except verify.Finding as finding:
        return finding.file, finding.line


def both_take(name, seed, **how):
    bundle.make(path(name), seed, **how)
    assert theirs(path(name)) is None, theirs(path(name))
    assert ours(path(name)) is None, ours(path(name))
    return path(name)


def test_takes_a_draw_with_everything():
    for seed in range(5):
        both_take("whole", seed)
        shutil.rmtree(path("whole"))


def test_takes_a_draw_by_turn():
    both_take("turn", 11, serving="by-turn")


def test_takes_withheld_preferences_and_says_so():
    folder = both_take("withheld", 12, withheld=True)
    out = subprocess.run([FAIRSLOT, "release", "verify", folder], capture_output=True, text=True)
    assert "preferences are withheld" in out.stdout, out


def test_names_a_missing_part():
    folder = both_take("missing", 13, missing=True)
    out = subprocess.run([FAIRSLOT, "release", "verify", folder], capture_output=True, text=True)
    assert "missing  1 trustees'" in out.stdout and "1 of 2 trustees'" in out.stdout, out


def test_says_when_the_order_rests_on_the_operator():
    folder = both_take("word", 14, trustees=0, beacon=False, late=False)
    out = subprocess.run([FAIRSLOT, "release", "verify", folder], capture_output=True, text=True)
    assert "order rests on the operator's word" in out.stdout, out


def test_takes_empty_releases():
    both_take("nobody", 15, people=0, late=False)
    both_take("nothing", 16, slots=1)


def receipt_of(folder, *words):
    """What both verifiers say of the receipt: "included", "replaced", or None when refused."""
    file, made = path("receipt.json"), verify_words(words)
    p = subprocess.run([FAIRSLOT, "release", "verify", folder, "--receipt", file, "-o", "json",
                        *words], capture_output=True, text=True, timeout=120)
    answer = json.loads(p.stdout)
    try:
        theirs = verify.verify(folder, file, **made)
    except verify.Finding as finding:
        assert (finding.file, finding.line) == (answer.get("file"), answer.get("line")), answer
        return None
    assert answer["valid"] and answer["receipt"]["status"] in theirs, (answer, theirs)
    return answer["receipt"]


def verify_words(words):
    return {"key": bytes.fromhex(words[1])} if words else {}


def keep(text):
    with open(path("receipt.json"), "w", encoding="utf-8") as f:
        f.write(text)


def test_a_receipt_is_included_or_named_as_replaced():
    key, manifest, tickets = bundle.make(path("receipts"), 21, people=30)
    for ticket in tickets[:5]:
        keep(bundle.receipt(key, manifest, ticket))
        assert receipt_of(path("receipts"))["status"] == "included"
    changed = next(t for t in tickets if t.version > 1)
    keep(bundle.receipt(key, manifest, changed, version=changed.version - 1, leaf=bytes(32)))
    said = receipt_of(path("receipts"))
    assert said["status"] == "replaced" and said["version"] == changed.version, said


def test_a_receipt_speaks_against_the_bundle():
    key, manifest, tickets = bundle.make(path("against"), 22, people=30)
    folder, ticket = path("against"), tickets[3]
    keep(bundle.receipt(key, manifest, ticket, version=ticket.version + 1))
    assert receipt_of(folder) is None, "the bundle has an older version"
    keep(bundle.receipt(key, manifest, ticket, leaf=bytes(32)))
    assert receipt_of(folder) is None, "the bundle has another leaf"
    ticket.id = bytes(16)
    keep(bundle.receipt(key, manifest, ticket))
    assert receipt_of(folder) is None, "the ticket was left out"
    keep(bundle.receipt(bytes(32), manifest, tickets[4]))
    assert receipt_of(folder) is None, "signed with another key"
    keep(bundle.receipt(key, bytes(32), tickets[4]))
    assert receipt_of(folder) is None, "of another release"


def test_a_receipt_with_one_changed_byte():
    key, manifest, tickets = bundle.make(path("bytes"), 23, people=12, late=False)
    honest = bundle.receipt(key, manifest, tickets[2])
    rng = random.Random(5)
    for name in ("name", "leafVersion", "receipt", "manifestSha256", "receiptSignature"):
        kept = json.loads(honest)
        if name == "leafVersion":
            kept[name] += 1
        else:
            at = len(kept[name]) - rng.randint(5, 20)
            other = another(kept[name][at].encode()[0], rng)
            kept[name] = kept[name][:at] + chr(other) + kept[name][at + 1:]
        keep(json.dumps(kept))
        assert receipt_of(path("bytes")) is None, kept


def test_another_key_than_the_one_given():
    key, manifest, tickets = bundle.make(path("key"), 24, people=12, late=False)
    keep(bundle.receipt(key, manifest, tickets[0]))
    assert receipt_of(path("key"), "--key", bundle.ed25519.public(key).hex())
    assert receipt_of(path("key"), "--key", bundle.ed25519.public(bytes(32)).hex()) is None


def test_a_receipt_that_is_none():
    bundle.make(path("none"), 25, people=5, late=False)
    for text in ("", "{}", "[]", "null", '{"name": 5}', "{" * 3000, "\0" * 9):
        keep(text)
        p = subprocess.run([FAIRSLOT, "release", "verify", path("none"), "--receipt",
                            path("receipt.json")], capture_output=True, text=True, timeout=60)
        assert p.returncode == 1 and "missing or wrong" in p.stderr and "next:" in p.stderr, p


def another(byte, rng):
    """A byte of the same kind, so that the change is not found as mere bad spelling."""
    for kind in (b"0123456789", b"abcdef", b"ghijklmnopqrstuvwxyz"):
        if byte in kind:
            return rng.choice([c for c in kind if c != byte])
    return ord("x") if byte != ord("x") else ord("y")


def fields(data):
    """(line, field, first byte, last byte) of every field, one line of each shape."""
    seen, found, at = {}, [], 0
    for number, line in enumerate(data.split(b"\n")[:-1], 1):
        words = [w for w in re.finditer(rb"[^ ]+", line)]
        shape = (len(words), words[0].group() if line[:1].isalpha() else
                 words[min(3, len(words) - 1)].group()[:4])
        seen[shape] = seen.get(shape, 0) + 1
        if seen[shape] <= 2:
            found += [(number, i, at + w.start(), at + w.end() - 1) for i, w in enumerate(words)]
        at += len(line) + 1
    return found


def tampered(folder, seed):
    """Yields (file, line, field) with the copy changed in one byte of that field."""
    rng = random.Random(seed)
    for name in FILES:
        file = os.path.join(folder, name)
        with open(file, "rb") as f:
            honest = f.read()
        for line, field, first, last in fields(honest):
            at = rng.randint(first, last)
            with open(file, "wb") as f:
                f.write(honest[:at] + bytes([another(honest[at], rng)]) + honest[at + 1:])
            yield name, line, field
        with open(file, "wb") as f:
            f.write(honest)


def test_refuses_one_changed_byte_in_each_field_of_each_file():
    folder = both_take("tampered", 17, people=40, slots=20)
    tried = {}
    for name, line, field in tampered(folder, 1):
        mine, other = ours(folder), theirs(folder)
        where = (name, line, field)
        assert mine and other, ("taken", where, mine, other)
        # An altered claim about another file shows where the two no longer fit.
        assert mine[0] == name or name == "parts" and mine[0] in FILES, ("named", where, mine)
        assert mine == other, ("differ", where, mine, other)
        tried[name] = tried.get(name, 0) + 1
    print("#", tried)
    assert sum(tried.values()) >= 100 and set(tried) == set(FILES), tried
    assert ours(folder) is None


def test_refuses_lines_that_are_missing_twice_or_swapped():
    folder = both_take("lines", 18, people=40, slots=20)
    for name in FILES:
        file = os.path.join(folder, name)
        with open(file) as f:
            honest = f.readlines()
        middle = len(honest) // 2
        for change in (honest[:middle] + honest[middle + 1:], honest[:-1], honest + honest[-1:],
                       honest[:middle] + honest[middle - 1:],
                       honest[:middle - 1] + [honest[middle], honest[middle - 1]] +
                       honest[middle + 1:], honest[:-1] + [honest[-1].rstrip("\n")], []):
            with open(file, "w") as f:
                f.writelines(change)
            assert ours(folder) and theirs(folder), (name, change)
        with open(file, "w") as f:
            f.writelines(honest)
    assert ours(folder) is None


def repaired(folder, returns):
    """Writes the journal, and its hash into parts: a lie that the operator tells everywhere."""
    with open(os.path.join(folder, "returns"), "w", encoding="ascii") as f:
        f.write(returns)
    with open(os.path.join(folder, "parts"), encoding="ascii") as f:
        parts = f.read()
    with open(os.path.join(folder, "parts"), "w", encoding="ascii") as f:
        f.write(re.sub("returns: [0-9a-f]+", "returns: " +
                       bundle.h(returns.encode()).hex(), parts))


def lies(lines, slots, places, rng):
    """(line, kind of event, its field or what was done, the file): each field of each event turned
    into another value that could stand there, and each line left out, told twice or moved."""
    for i, line in enumerate(lines[1:], 1):
        words = line.split(" ")
        for k, word in enumerate(words[1:], 1):
            other = rng.choice([p for p in places + ["-"] if p != word]) \
                if "/" in word or word == "-" else \
                str(rng.choice([n for n in range(slots) if str(n) != word]))
            changed = " ".join(words[:k] + [other] + words[k + 1:])
            yield i + 1, words[0], k, lines[:i] + [changed] + lines[i + 1:]
        yield i + 1, words[0], "gone", lines[:i] + lines[i + 1:]
        yield i + 1, words[0], "twice", lines[:i] + [line, line] + lines[i + 1:]
        if i + 1 < len(lines):
            yield i + 1, words[0], "moved", lines[:i] + [lines[i + 1], line] + lines[i + 2:]


def test_both_find_a_lie_about_returns_at_the_same_place():
    """Hashes are right: the journal itself must not fit.  Only what changes nothing may pass: when
    somebody left or a slot came back that nobody could have had meanwhile."""
    refused, told, passed, rng = {}, {}, [], random.Random(1)
    for seed in (31, 32):
        folder = both_take("lies%d" % seed, seed, people=25, slots=10, trustees=0, beacon=False)
        with open(os.path.join(folder, "returns"), encoding="ascii") as f:
            lines = f.read().split("\n")[:-1]
        with open(os.path.join(folder, "outcome"), encoding="ascii") as f:
            places = ["%s/%s" % (w[0], w[2]) for w in (x.split(" ") for x in f)]
        for line, kind, what, lie in lies(lines, 10, places, random.Random(seed)):
            if kind in ("back", "pass", "won") and rng.random() < 0.8:
                continue  # a fifth of them is enough for one run
            repaired(folder, "".join(x + "\n" for x in lie))
            mine, other = ours(folder), theirs(folder)
            where = (seed, line, kind, what)
            assert mine == other, ("differ", where, mine, other)
            assert mine is None or mine[0] in ("returns", "outcome") and mine[1] > 0, (where, mine)
            told[kind, what] = told.get((kind, what), 0) + 1
            refused[kind, what] = refused.get((kind, what), 0) + (mine is not None)
            passed += [where] if mine is None else []
        repaired(folder, "".join(x + "\n" for x in lines))
        assert ours(folder) is None
    print("#", sum(refused.values()), "of", sum(told.values()), "lies refused;",
          {k: refused[k] for k in sorted(refused, key=str)})
    for always in (("won", 1), ("won", 2), ("won", 3), ("won", "gone"), ("won", "twice"),
                   ("back", "twice"), ("pass", "twice"), ("left", "twice"), ("end", "gone")):
        assert told.get(always) and refused[always] == told[always], (always, passed)
    assert {kind for kind, _ in told} == {"back", "pass", "won", "left", "end"}


def test_an_open_release_is_as_of_an_instant():
    folder = both_take("open", 33, end="now")
    out = subprocess.run([FAIRSLOT, "release", "verify", folder], capture_output=True, text=True)
    assert "the release is open" in out.stdout, out


def test_takes_bundles_without_a_journal_and_says_so():
    for journal in (None, "none"):
        folder = both_take("before", 34, journal=journal)
        out = subprocess.run([FAIRSLOT, "release", "verify", folder], capture_output=True,
                             text=True)
        assert "no journal" in out.stdout, out
        shutil.rmtree(folder)
    folder = both_take("lost", 35)
    os.remove(os.path.join(folder, "returns"))
    assert ours(folder) == theirs(folder) == ("returns", 0)
    folder = both_take("added", 36, journal=None)
    with open(os.path.join(folder, "returns"), "w", encoding="ascii") as f:
        f.write("journal: none\n")
    assert ours(folder) == theirs(folder) and ours(folder)[0] == "parts"


def test_takes_withheld_preferences_with_a_journal():
    for seed in range(40, 44):
        both_take("hidden%d" % seed, seed, withheld=True, trustees=0, beacon=False)


def test_says_which_file_is_missing():
    folder = both_take("gone", 19)
    os.remove(os.path.join(folder, "late"))
    p = subprocess.run([FAIRSLOT, "release", "verify", folder], capture_output=True, text=True)
    assert p.returncode == 3 and "late: No such file" in p.stderr and "next:" in p.stderr, p


def test_refuses_garbage():
    folder = both_take("garbage", 20, people=10)
    for name in FILES:
        file = os.path.join(folder, name)
        with open(file, "rb") as f:
            honest = f.read()
        for garbage in (b"\0" * 100, b"\xff\n" * 50, b"\n", b" " * 99 + b"\n", b"1" * 5000 + b"\n"):
            with open(file, "wb") as f:
                f.write(garbage)
            assert ours(folder), (name, garbage[:10])
        with open(file, "wb") as f:
            f.write(honest)


if __name__ == "__main__":
    tap.run(globals(), after=scratch.cleanup)

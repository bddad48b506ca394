# SPDX-License-Identifier: MIT
"""TLS: what a newcomer costs beside OpenSSL alone, what coming back saves, and what an idle
connection takes.

tls        Server CPU (the kernel's count) for each of N clients that connect, handshake (TLS 1.3,
           X25519, ECDSA P-256, AES-128-GCM, one ticket), make one health RPC and close; eight
           client threads on core 1, the server on core 0.  The control, measured in turns with it:
           OpenSSL alone (tests/bench/shake.c: epoll, accept, the same handshake, wait for the
           good-bye, close; no RPC).  "of OpenSSL alone" is the gateway's newcomers a second of
           core, RPC and all, in percent of the control's.  "resumed" is the same client with a
           ticket: by the client's clock (both ends' work), and by the server's CPU, where TLS 1.3
           saves little: the key exchange stays (forward secrecy), one signature of P-256 goes.
           The control comes back with tickets, too: what it saves is what OpenSSL saves
           (docs/decisions/0019).
tls-idle   Resident memory of the servers for each of 50,000 connections that made one RPC: four
           processes of 12,500 (a process may have 20,000 descriptors), h2c and TLS.
"""
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile

import kit

NAMES = ("tls", "tls-idle")
SHAKE = os.path.join(os.path.dirname(kit.FAIRSLOT), "tests", "shake")
COUNT = 1500 if kit.QUICK else 6000
TURNS = 5
PROCESSES, EACH = (1, 2000) if kit.QUICK else (4, 12500)


def papers(folder):
    """A self-signed certificate of P-256 and its key."""
    certificate, key = (os.path.join(folder, name) for name in ("server.pem", "server.key"))
    subprocess.run(["openssl", "req", "-x509", "-new", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", certificate,
                    "-subj", "/CN=localhost", "-days", "2"], check=True, capture_output=True)
    os.chmod(key, 0o600)
    return certificate, key


class Control(kit.Server):
    """OpenSSL alone, on core 0."""

    def __init__(self, certificate, key):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([SHAKE, "accept", certificate, key], stderr=self.log,
                                        stdout=subprocess.PIPE, preexec_fn=kit.pin(0))
        line = self.process.stdout.readline().decode()
        if not line.startswith("ready "):
            sys.exit("figures: the control did not start")
        self.address = line.split()[1].split("=", 1)[1]


def gateway(work, certificate, key, number=0):
    """Without TLS when there is no certificate."""
    words = ["--set", "tls.certificate=" + certificate, "--set", "tls.key=" + key]
    return kit.Server("serve", "--dev", "--data", os.path.join(work, "data%d" % number),
                      "--listen", "127.0.0.1:0", *(words if certificate else ()))


def shake(server, count, *how):
    """Server CPU for each newcomer, in microseconds."""
    before = server.cpu_seconds()
    out = subprocess.run([SHAKE, "call", server.address, str(count), *how], preexec_fn=kit.pin(1),
                         stdout=subprocess.PIPE)
    cpu = server.cpu_seconds() - before
    result = json.loads(out.stdout)
    if result["failed"]:
        sys.exit("figures: %d of %d newcomers failed" % (result["failed"], count))
    if "resume" in how and result["resumed"] < count - 64:
        sys.exit("figures: only %d of %d were resumed" % (result["resumed"], count))
    return cpu / count * 1e6, count / result["seconds"]


def newcomers(work):
    certificate, key = papers(work)
    control, server = Control(certificate, key), gateway(work, certificate, key)
    alone, alone_back, full, back, shaken = [], [], [], [], []  # (CPU of one, newcomers a second)
    shake(control, 200, "tls")  # warm
    shake(server, 200, "tls", "rpc")
    kinds = ((alone, control, "tls"), (alone_back, control, "tls", "resume"),
             (full, server, "tls", "rpc"), (back, server, "tls", "rpc", "resume"),
             (shaken, server, "tls"))
    for _ in range(kit.RUNS):
        parts = [[shake(who, COUNT // TURNS, *how) for _, who, *how in kinds]
                 for _ in range(TURNS)]  # in turns, so that a busy moment is everybody's
        for (values, *_), own in zip(kinds, zip(*parts)):
            values.append((statistics.mean(cpu for cpu, _ in own),
                           statistics.harmonic_mean([rate for _, rate in own])))
    server.stop()
    control.stop()
    limit = statistics.median(cpu for cpu, _ in alone) / 0.85
    kit.note("OpenSSL alone, a TLS 1.3 handshake and close, CPU", "us", [c for c, _ in alone],
             limit)
    kit.note("the gateway: the same, one RPC and close", "us", [c for c, _ in full], limit)
    kit.note("  without the RPC", "us", [c for c, _ in shaken], limit)
    kit.note("  newcomers a second of core, of OpenSSL alone", "%",
             [100 * a[0] / f[0] for a, f in zip(alone, full)], 85, True)
    kit.note("  resumed: newcomers a second of core, of OpenSSL alone's resumed", "%",
             [100 * a[0] / b[0] for a, b in zip(alone_back, back)], 85, True)
    print("  OpenSSL alone: resumed newcomers a second of its core, to its new ones: %.2f x" %
          statistics.median(a[0] / b[0] for a, b in zip(alone, alone_back)))
    kit.note("  resumed: newcomers a second, client on the other core", "x",
             [b[1] / f[1] for f, b in zip(full, back)], 1.4, True)
    kit.note("  resumed: newcomers a second of server core", "x",
             [f[0] / b[0] for f, b in zip(full, back)], 1.4, True)


def hold(server, *how):
    """Grown memory for each of EACH connections, in KiB."""
    before = server.rss_bytes()
    load = subprocess.Popen([SHAKE, "call", server.address, str(EACH), "rpc", "hold=3", *how],
                            stdout=subprocess.PIPE, preexec_fn=kit.pin(1))
    held = json.loads(load.stdout.readline())["held"]
    grown = server.rss_bytes() - before
    return load, held, grown


def idle(work):
    certificate, key = papers(work)
    for what, how, target in (("h2c", [], 20), ("TLS", ["tls"], 42)):
        values = []
        for _ in range(kit.RUNS):
            servers = [gateway(work, certificate if how else "", key, number)
                       for number in range(PROCESSES)]
            for server in servers:
                shake(server, 50, "rpc", *how)  # what the first ones take is no connection's
            parts = [hold(server, *how) for server in servers]
            held = sum(part[1] for part in parts)
            values.append(sum(part[2] for part in parts) / held / 1024)
            for part in parts:
                part[0].wait()
            for server in servers:
                server.stop(signal.SIGTERM)
        kit.note("idle connection after one RPC, %s, %d at once" % (what, held), "KiB", values,
                 target)


def run(name, _):
    with tempfile.TemporaryDirectory(prefix="fairslot-figures-") as work:
        newcomers(work) if name == "tls" else idle(work)

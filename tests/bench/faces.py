# SPDX-License-Identifier: MIT
"""What a call costs through the other faces: Connect JSON over HTTP/1.1 and HTTP/2, gRPC-Web; and
what an idle HTTP/1.1 connection costs.  The load is h2load's, one call under way on each of 100
connections, as browsers and scripts have it."""
import os
import re
import socket
import subprocess
import sys
import tempfile
import time

import kit

NAMES = ("faces", "faces.idle")
CALLS = 20000 if kit.QUICK else 100000
HEALTH = "/grpc.health.v1.Health/Check"
GET_POOL = "/fairslot.v1.CatalogService/GetPool"


def h2load(server, path, body, content_type, *options):
    """Server CPU of one call in microseconds."""
    load = ["h2load", "-n", str(CALLS), "-c", "100", "-m", "1", "-d", body, "-H",
            "content-type: " + content_type, *options, "http://" + server.address + path]
    cpu = server.cpu_seconds()
    said = subprocess.run(load, capture_output=True, text=True, preexec_fn=kit.pin(1))
    cpu = server.cpu_seconds() - cpu
    codes = re.search(r"status codes: (\d+) 2xx", said.stdout)
    if said.returncode or not codes or int(codes.group(1)) != CALLS:
        sys.exit("figures: faces: not every call was answered: " + said.stdout + said.stderr)
    return cpu / CALLS * 1e6


def figure_faces(work):
    server = kit.Server("serve", "--dev", "--data", work, "--listen", "127.0.0.1:0")
    subprocess.run([kit.FAIRSLOT, "pool", "create", "bench", "--target", server.address,
                    "--token-file", work + "/operator.token", "--display-name", "Bench",
                    "--service-class", "bench"], check=True, stdout=subprocess.DEVNULL)
    with open(kit.tokens(work, "faces", 1)) as file:
        token = "authorization: Bearer " + file.read().strip()
    bodies = {"empty": b"{}", "pool": b'{"name":"pools/bench"}', "frame": b"\0\0\0\0\0"}
    for name, body in bodies.items():
        with open(os.path.join(work, name), "wb") as file:
            file.write(body)

    def figure(what, target, path, body, kind, *options):
        h2load(server, path, os.path.join(work, body), kind, *options)
        kit.note(what, "us", [h2load(server, path, os.path.join(work, body), kind, *options)
                              for _ in range(kit.RUNS)], target)

    figure("Connect JSON over HTTP/1.1: health, server CPU", 20, HEALTH, "empty",
           "application/json", "--h1")
    figure("Connect JSON over HTTP/1.1: GetPool by token, queue and hop", 20, GET_POOL, "pool",
           "application/json", "--h1", "-H", token)
    figure("  the same over HTTP/2", 20, GET_POOL, "pool", "application/json", "-H", token)
    figure("gRPC-Web over HTTP/1.1: health", 20, HEALTH, "frame", "application/grpc-web", "--h1")
    server.stop()


def figure_idle(work):
    """Connections that asked once and stay."""
    count = 1000 if kit.QUICK else 4000
    ask = ("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
           "Content-Length: 2\r\n\r\n{}" % HEALTH).encode()
    values = []
    for _ in range(kit.RUNS):
        server = kit.Server("serve", "--dev", "--data", work, "--listen", "127.0.0.1:0")
        host, _, port = server.address.rpartition(":")
        links = []
        for i in range(count + 100):
            if i == 100:
                time.sleep(0.5)
                before = server.rss_bytes()
            link = socket.create_connection((host, int(port)))
            link.sendall(ask)
            if not link.recv(4096).startswith(b"HTTP/1.1 200"):
                sys.exit("figures: faces.idle: a connection was not served")
            links.append(link)
        time.sleep(1)
        values.append((server.rss_bytes() - before) / count / 1024)
        for link in links:
            link.close()
        server.stop()
    kit.note("idle HTTP/1.1 connection after one RPC, resident memory", "KiB", values, 20)


def run(name, _):
    with tempfile.TemporaryDirectory(prefix="fairslot-figures-") as work:
        (figure_idle if name == "faces.idle" else figure_faces)(work)

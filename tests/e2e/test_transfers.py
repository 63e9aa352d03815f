#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Connections over policies that change at full speed: none is reset, and none stalls for a moment."""

import json
import selectors
import socket
import struct
import threading

from netlab import Tap, wait_until
from test_traffic import HOST, pair

tap = Tap()


def tcp_counts(host):
    counts = {}
    for path in ("/proc/self/net/snmp", "/proc/self/net/netstat"):
        lines = host.run("cat", path).stdout.splitlines()
        for names, values in zip(lines[::2], lines[1::2]):
            counts.update(zip(names.split(), values.split()))
    return {name: int(value) for name, value in counts.items() if value.lstrip("-").isdigit()}


def segments(sender, receiver):
    """
    What was sent, also again, and what came, counted segment by segment whether or not the stack joins
    them. Only as long as nothing but TCP over IPv4 is sent.
    """
    def counts():
        ours, theirs = tcp_counts(sender), tcp_counts(receiver)
        return ours["OutSegs"] + ours["RetransSegs"], theirs["InNoECTPkts"]

    seen = [counts()]

    def at_rest():
        seen.append(counts())
        return seen[-1] == seen[-2]

    wait_until(at_rest, what="no segment is under way")
    return seen[-1]


def lost_by_link(sender):
    """What has found the ring of the other side full: lost before any hook."""
    link, = json.loads(sender.run("ip", "-json", "-s", "link", "show", "eth0").stdout)
    return link["stats64"]["tx"]["dropped"]


def echo_all(listener, stop):
    """Echoes every connection until told to stop: one thread for all."""
    selector = selectors.DefaultSelector()
    listener.setblocking(False)
    selector.register(listener, selectors.EVENT_READ)
    while not stop.is_set():
        for key, _ in selector.select(0.1):
            if key.fileobj is listener:
                conn, _ = listener.accept()
                conn.setblocking(True)
                selector.register(conn, selectors.EVENT_READ)
                continue
            data = key.fileobj.recv(65536)
            if data:
                key.fileobj.sendall(data)
            else:
                selector.unregister(key.fileobj)


def transferring(socks, stop, failed):
    """
    Each connection sends a block as soon as the last one has come back. A block is one frame, so that
    those of a hundred connections and what acknowledges them have room in the 256 of the link's ring.
    """
    selector = selectors.DefaultSelector()
    block = b"x" * 1024
    left = {}
    rounds = 0
    for sock in socks:
        sock.sendall(block)
        left[sock] = len(block)
        selector.register(sock, selectors.EVENT_READ)
    try:
        while not stop.is_set():
            for key, _ in selector.select(0.1):
                data = key.fileobj.recv(65536)
                if not data:
                    raise ConnectionError("closed by the other side")
                left[key.fileobj] -= len(data)
                if not left[key.fileobj]:
                    key.fileobj.sendall(block)
                    left[key.fileobj] = len(block)
                    rounds += 1
    except OSError as error:
        failed.append(error)
    failed.append(rounds)


def web(number):
    return f"""\
bulkhead: 1
group: transfers
rules:
  - {{name: web, priority: {100 + number % 900}, direction: inbound, access: allow,
     services: [tcp/80], source: any, destination: self}}
"""


def unacknowledged(sock):
    """struct tcp_info, tcpi_unacked."""
    return struct.unpack_from("I", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), 24)[0]


@tap
def a_hundred_transfers_and_a_thousand_idle_flows_are_held_over_a_hundred_applies(lab):
    """
    No reset, and no segment missed either: a segment that does not arrive is what stalls a
    connection for the 200 ms that TCP waits at least before it sends it again.
    """
    peer, host = pair(lab)
    host.apply(web(0))
    listener = host.listen(HOST[4], 80, backlog=2048)
    stop, results = threading.Event(), []
    threads = [threading.Thread(target=echo_all, args=(listener, stop), daemon=True)]
    threads[0].start()
    idle = [peer.connect(HOST[4], 80, 5) for _ in range(1000)]
    busy = [peer.connect(HOST[4], 80, 5) for _ in range(100)]
    assert all(idle) and all(busy), "could not connect"
    before = [(*segments(*ends), lost_by_link(ends[0])) for ends in ((peer, host), (host, peer))]
    threads.append(threading.Thread(target=transferring, args=(busy, stop, results), daemon=True))
    threads[1].start()
    for number in range(1, 101):
        host.apply(web(number))
    stop.set()
    for thread in threads:
        thread.join()
    assert len(results) == 1, f"a transfer ended: {results[0]}"
    print(f"# {results[0]} blocks echoed over 100 applies")
    assert results[0] > 1000, "hardly anything was transferred"
    for sock in idle:
        sock.sendall(b"still here")
    # The echo thread has ended; what counts is that the host's stack has acknowledged it.
    wait_until(lambda: not any(unacknowledged(sock) for sock in idle), what="idle flows answer")
    for (sent, came, lost), ends in zip(before, ((peer, host), (host, peer))):
        lost = lost_by_link(ends[0]) - lost
        now = segments(*ends)
        missed = (now[0] - sent) - (now[1] - came)
        assert lost * 10000 < now[0] - sent, f"the link of {ends[0].name} lost {lost} frames"
        assert 0 <= missed <= lost, \
            f"{missed} segments of {ends[0].name} missed, {lost} frames lost by the link"


if __name__ == "__main__":
    tap.main()

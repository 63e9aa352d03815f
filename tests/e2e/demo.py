#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
The demo: client, web and db as namespaces, a policy on web and one on db, real traffic, and
what became of it. Ends with a table (expected, seen, ok); status 0 only if every row is ok.
"""

import os
import sys

from netlab import Lab, LabError, wait_until
from traffic import (ARRIVES, DENIED, Server, Stream, ask, greeted, rules, segments, still_talks,
                     talk)

HERE = os.path.dirname(os.path.abspath(__file__))
COUNTED = 25  # packets of a kind whose counters are compared
CHANGES = 5
WAIT_S = 0.3  # for an answer that may not come; one that may is there within a millisecond
PORTS = (22, 53, 80, 123, 443, 5432)

ADDRESS = {
    "client": {4: "192.0.2.1", 6: "2001:db8:1::1"},
    "web": {4: "192.0.2.2", 6: "2001:db8:1::2"},
    "web-back": {4: "198.51.100.1", 6: "2001:db8:2::1"},
    "db": {4: "198.51.100.2", 6: "2001:db8:2::2"},
    "client-db": {4: "203.0.113.1", 6: "2001:db8:3::1"},
    "db-client": {4: "203.0.113.2", 6: "2001:db8:3::2"},
}


class Table:
    """The rows, printed as they come and once more at the end."""

    def __init__(self):
        self.rows = []

    def add(self, what, expected, seen):
        good = expected == seen
        self.rows.append((what, str(expected), str(seen), "ok" if good else "NOT OK"))
        print("  {:<58} {}".format(what, self.rows[-1][3]), flush=True)

    def print(self):
        head = ("what", "expected", "seen", "ok")
        widths = [max(len(row[i]) for row in [head, *self.rows]) for i in range(4)]
        for row in [head, *self.rows]:
            print("  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip())

    def all_ok(self):
        return all(row[3] == "ok" for row in self.rows)


def policy(name):
    with open(os.path.join(HERE, "demo", name), encoding="utf-8") as file:
        return file.read()


def build_hosts(lab):
    client, web, db = lab.host("client"), lab.host("web"), lab.host("db")

    def ends(one, two):
        return tuple([f"{ADDRESS[end][4]}/24", f"{ADDRESS[end][6]}/64"] for end in (one, two))

    lab.link(client, web, ("eth0", "eth0"), ends("client", "web"))
    lab.link(web, db, ("eth1", "eth0"), ends("web-back", "db"))
    lab.link(client, db, ("eth1", "eth1"), ends("client-db", "db-client"))
    return client, web, db


def open_servers(hosts):
    """A server behind every port of every address: a deny is the policy's and nobody else's."""
    names = {"client": ("client",), "web": ("web", "web-back"), "db": ("db", "db-client")}
    return {(address, port): Server(hosts[host], address, port)
            for host, ends in names.items()
            for end in ends for address in ADDRESS[end].values() for port in PORTS}


def show_reachability(table, servers, client, web, db):
    """What is allowed arrives and is answered; what is denied is not even seen by its server."""

    def row(what, expected, probe, host, address, port):
        server = servers[address, port]
        before = server.seen()
        outcome = probe(host, address, port, WAIT_S)
        if outcome == DENIED and server.seen() != before:
            outcome = "arrives, no reply"
        table.add(what, expected, outcome)

    for version in (4, 6):
        name = f"IPv{version}"
        to_web, to_db = ADDRESS["web"][version], ADDRESS["db"][version]
        around, back = ADDRESS["db-client"][version], ADDRESS["client"][version]
        icmp = "icmp" if version == 4 else "icmpv6"
        row(f"{name} tcp client > web:80, replies without a rule", ARRIVES, talk,
            client, to_web, 80)
        row(f"{name} tcp client > web:22", DENIED, talk, client, to_web, 22)
        row(f"{name} udp client > web:53, replies without a rule", ARRIVES, ask,
            client, to_web, 53)
        row(f"{name} udp client > web:123", DENIED, ask, client, to_web, 123)
        table.add(f"{name} {icmp} echo client > web", "2 of 2", f"{client.ping(to_web, 2)} of 2")
        row(f"{name} tcp web > db:5432", ARRIVES, talk, web, to_db, 5432)
        row(f"{name} tcp web > db:22", DENIED, talk, web, to_db, 22)
        row(f"{name} tcp client > db:5432 (lateral movement)", DENIED, talk,
            client, around, 5432)
        table.add(f"{name} {icmp} echo client > db", "0 of 2",
                  f"{client.ping(around, 2, WAIT_S)} of 2")
        row(f"{name} tcp web > client:80 (nothing lets it out)", DENIED, talk, web, back, 80)


def grown(host, before, rule, sent):
    """
    What sent() tells, [packets, replies], and what the rule's counters grew by. Waits until both
    are the same: a packet takes a moment to get there, and TCP acknowledges later.
    """
    def both():
        after = rules(host)[rule]
        return sent(), [after[column] - before[rule][column]
                        for column in ("packets", "reply_packets")]

    def equal():
        wanted, counted = both()
        return wanted == counted

    try:
        wait_until(equal, 2)
    except LabError:
        pass  # the row will say what was there
    return both()


def send_datagrams(client, version, port):
    with client.udp(ADDRESS["client"][version], 40000) as sock:
        for _ in range(COUNTED):
            sock.sendto(b"count me", (ADDRESS["web"][version], port))


def send_megabyte(sock):
    sock.sendall(b"z" * (1 << 20))
    left = 1 << 20
    while left:
        left -= len(sock.recv(left))


def show_counters(table, client, web):
    """What was sent, by the sender's own count, against the counters of the deciding rules."""
    for version in (4, 6):
        name, address = f"IPv{version}", ADDRESS["web"][version]
        before = rules(web)
        send_datagrams(client, version, 53)
        send_datagrams(client, version, 123)
        answered = client.ping(address, COUNTED)
        for rule, what, sent in (("allow-names", "datagrams", [COUNTED, COUNTED]),
                                 ("DenyAllInBound", "datagrams", [COUNTED, 0]),
                                 ("allow-ping", "echo requests", [COUNTED, answered])):
            table.add(f"{name} counter of {rule}: {what}, replies",
                      *grown(web, before, rule, lambda sent=sent: sent))
        before = rules(web)
        # Buffers that do not overflow the queue of a veth link, where a segment that is lost
        # would be one that the sender has counted and no program has seen.
        with client.connect(address, 443, buffers=1 << 16) as sock:
            greeted(sock)
            send_megabyte(sock)
            table.add(f"{name} counter of allow-web: segments of 1 MB, and of its echo",
                      *grown(web, before, "allow-web", lambda sock=sock: segments(sock)))


def show_explain(table, web):
    for packet, status, rule in (
            (f"in tcp {ADDRESS['client'][4]}:40000 {ADDRESS['web'][4]}:443", 0, "allow-web"),
            (f"in tcp {ADDRESS['client'][4]}:40000 {ADDRESS['web'][4]}:22", 9, "DenyAllInBound"),
            (f"out tcp [{ADDRESS['web-back'][6]}]:40000 [{ADDRESS['db'][6]}]:5432", 0,
             "web-to-db")):
        done = web.bulkhead("explain", packet, status=None)
        verdict = [line for line in done.stdout.splitlines() if line.startswith("verdict")]
        named = rule if any(rule in line for line in verdict) else "another rule"
        table.add(f"explain {packet}", f"{status} {rule}", f"{done.returncode} {named}")
    print("\n" + done.stdout)


def show_change(table, client, web):
    """Port 80 leaves the policy and comes back, again and again, while datagrams go on."""
    address = ADDRESS["web"][4]
    held = client.connect(address, 443)
    held = held if held and greeted(held) else None
    stream = Stream(client, address, 53)
    seen = {"closed": 0, "opened": 0}
    for _ in range(CHANGES):
        web.apply(policy("web.yaml").replace("tcp/80, ", ""))
        seen["closed"] += talk(client, address, 80, WAIT_S) == DENIED
        web.apply(policy("web.yaml"))
        seen["opened"] += talk(client, address, 80) == ARRIVES
    sent, answered = stream.end()
    table.add("port 80 after it left the policy", f"{CHANGES} of {CHANGES} denied",
              f"{seen['closed']} of {CHANGES} denied")
    table.add("port 80 after it came back", f"{CHANGES} of {CHANGES} arrive",
              f"{seen['opened']} of {CHANGES} arrive")
    table.add(f"datagrams lost over {2 * CHANGES} changes ({sent} sent)", 0, sent - answered)
    table.add("a connection held over them still talks", True,
              bool(held) and still_talks(held))


def main():
    table = Table()
    with Lab() as lab:
        print("hosts: client, web and db; policies: tests/e2e/demo/web.yaml, db.yaml", flush=True)
        client, web, db = build_hosts(lab)
        servers = open_servers(lab.hosts)
        table.add("before any policy: tcp client > db:5432", ARRIVES,
                  talk(client, ADDRESS["db-client"][4], 5432))
        for host, name in ((web, "web.yaml"), (db, "db.yaml")):
            print(f"\napply {name} on {host.name}", flush=True)
            print(host.apply(policy(name)).stdout)
        show_reachability(table, servers, client, web, db)
        show_counters(table, client, web)
        show_explain(table, web)
        show_change(table, client, web)
        print("\nbulkhead rules on web:\n" + web.bulkhead("rules").stdout)
        for host in (web, db):
            host.bulkhead("detach")
        table.add("after detach: tcp client > db:5432", ARRIVES,
                  talk(client, ADDRESS["db-client"][4], 5432))
    print("\n" + "=" * 78)
    table.print()
    sys.exit(0 if table.all_ok() else 1)


if __name__ == "__main__":
    main()

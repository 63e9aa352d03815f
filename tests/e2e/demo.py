#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
The demo: client, web and db as namespaces, a policy on web and one on db, real traffic, and
what became of it. Ends with a table (expected, seen, ok); status 0 only if every row is ok.
"""

import os
import sys

from netlab import Lab, receive
from traffic import ARRIVES, DENIED, Stream, ask, greeted, rules, serve, still_talks, talk

HERE = os.path.dirname(os.path.abspath(__file__))
COUNTED = 25  # datagrams whose counters are compared

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


def show_reachability(table, client, web, db):
    for version in (4, 6):
        name = f"IPv{version}"
        to_web, to_db = ADDRESS["web"][version], ADDRESS["db"][version]
        around = ADDRESS["db-client"][version]
        back = ADDRESS["client"][version]
        rows = (
            (f"{name} tcp client > web:80, reply without a rule", ARRIVES,
             lambda: talk(client, to_web, 80)),
            (f"{name} tcp client > web:22", DENIED, lambda: talk(client, to_web, 22)),
            (f"{name} udp client > web:53, reply without a rule", ARRIVES,
             lambda: ask(client, to_web, 53)),
            (f"{name} udp client > web:123", DENIED, lambda: ask(client, to_web, 123)),
            (f"{name} ping client > web", "2 of 2",
             lambda: f"{client.ping(to_web, 2)} of 2"),
            (f"{name} tcp web > db:5432", ARRIVES, lambda: talk(web, to_db, 5432)),
            (f"{name} tcp web > db:22", DENIED, lambda: talk(web, to_db, 22)),
            (f"{name} tcp client > db:5432 (lateral movement)", DENIED,
             lambda: talk(client, around, 5432)),
            (f"{name} ping client > db", "0 of 2",
             lambda: f"{client.ping(around, 2, 0.5)} of 2"),
            (f"{name} tcp web > client:80 (nothing allows it)", DENIED,
             lambda: talk(web, back, 80)),
        )
        for what, expected, probe in rows:
            table.add(what, expected, probe())


def show_counters(table, client, web):
    """Datagrams sent, one by one, against the counters of the rules that decided them."""
    before = rules(web)
    with client.udp(ADDRESS["client"][4], 40000) as sock:
        for port in (53, 123):
            for _ in range(COUNTED):
                sock.sendto(b"count me", (ADDRESS["web"][4], port))
        while receive(sock, 0.3):
            pass
    after = rules(web)
    for rule in ("allow-names", "DenyAllInBound"):
        table.add(f"counter of {rule} after {COUNTED} datagrams", COUNTED,
                  after[rule]["packets"] - before[rule]["packets"])


def show_explain(table, web):
    for packet, status, rule in (
            (f"in tcp {ADDRESS['client'][4]}:40000 {ADDRESS['web'][4]}:443", 0, "allow-web"),
            (f"in tcp {ADDRESS['client'][4]}:40000 {ADDRESS['web'][4]}:22", 9, "DenyAllInBound"),
            (f"out tcp [{ADDRESS['web-back'][6]}]:40000 [{ADDRESS['db'][6]}]:5432", 0,
             "web-to-db")):
        done = web.bulkhead("explain", packet, status=None)
        named = rule if rule in done.stdout else "another rule"
        table.add(f"explain {packet}", f"{status} {rule}", f"{done.returncode} {named}")
    print("\n" + done.stdout)


def show_change(table, client, web):
    """port 80 is taken out of the policy and 443 stays, while datagrams go on."""
    address = ADDRESS["web"][4]
    held = client.connect(address, 443)
    if held and not greeted(held):
        held = None
    stream = Stream(client, address, 53)
    for _ in range(5):
        web.apply(policy("web.yaml").replace("tcp/80, ", ""))
        closed = talk(client, address, 80)
        web.apply(policy("web.yaml"))
        opened = talk(client, address, 80)
    sent, answered = stream.end()
    table.add("port 80 after it left the policy", DENIED, closed)
    table.add("port 80 after it came back", ARRIVES, opened)
    table.add(f"datagrams lost over 10 changes ({sent} sent)", 0, sent - answered)
    table.add("a connection held over them still talks", True, held and still_talks(held))


def main():
    table = Table()
    with Lab() as lab:
        print("hosts: client, web and db")
        client, web, db = build_hosts(lab)
        for host, names in ((web, ("web", "web-back")), (db, ("db", "db-client")),
                            (client, ("client",))):
            for name in names:
                for address in ADDRESS[name].values():
                    for port in (22, 53, 80, 123, 443, 5432):
                        serve(host, address, port)
        table.add("before any policy: tcp client > db:5432", ARRIVES,
                  talk(client, ADDRESS["db-client"][4], 5432))
        for host, name in ((web, "web.yaml"), (db, "db.yaml")):
            print(f"\napply {name} on {host.name}")
            print(host.apply(policy(name)).stdout)
        show_reachability(table, client, web, db)
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

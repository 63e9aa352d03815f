#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
The demo: client, web and db as namespaces, a policy on web and one on db, real traffic, and
what became of it. Ends with a table (expected, seen, ok); status 0 only if every row is ok.
"""

import os
import socket
import sys
import threading
import time

from netlab import Lab, receive

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


def serve(host, address, port):
    """Greets every TCP connection, then echoes it; echoes every datagram; until the end."""
    listener = host.listen(address, port)
    echo = host.udp(address, port)

    def converse(conn):
        with conn:
            try:
                conn.sendall(b"hello\n")
                while data := conn.recv(2048):
                    conn.sendall(data)
            except OSError:
                return

    def tcp():
        while True:
            conn, _ = listener.accept()
            threading.Thread(target=converse, args=(conn,), daemon=True).start()

    def udp():
        while True:
            try:
                data, sender = echo.recvfrom(2048)
                echo.sendto(data, sender)
            except OSError:
                return

    for body in (tcp, udp):
        threading.Thread(target=body, daemon=True).start()


def talk(host, address, port):
    """arrives: connected and the line came back; else denied."""
    sock = host.connect(address, port, 0.7)
    if not sock:
        return "denied"
    with sock:
        got = receive(sock)
        return "arrives" if got and got[0] == b"hello\n" else "no reply"


def ask(host, address, port):
    """One datagram and its echo."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with host.udp(family=family) as sock:
        sock.sendto(b"ask", (address, port))
        return "arrives" if receive(sock, 0.7) else "denied"


def show_reachability(table, client, web, db):
    for version in (4, 6):
        name = f"IPv{version}"
        to_web, to_db = ADDRESS["web"][version], ADDRESS["db"][version]
        around = ADDRESS["db-client"][version]
        back = ADDRESS["client"][version]
        rows = (
            (f"{name} tcp client > web:80, reply without a rule", "arrives",
             lambda: talk(client, to_web, 80)),
            (f"{name} tcp client > web:22", "denied", lambda: talk(client, to_web, 22)),
            (f"{name} udp client > web:53, reply without a rule", "arrives",
             lambda: ask(client, to_web, 53)),
            (f"{name} udp client > web:123", "denied", lambda: ask(client, to_web, 123)),
            (f"{name} ping client > web", "2 of 2",
             lambda: f"{client.ping(to_web, 2)} of 2"),
            (f"{name} tcp web > db:5432", "arrives", lambda: talk(web, to_db, 5432)),
            (f"{name} tcp web > db:22", "denied", lambda: talk(web, to_db, 22)),
            (f"{name} tcp client > db:5432 (lateral movement)", "denied",
             lambda: talk(client, around, 5432)),
            (f"{name} ping client > db", "0 of 2",
             lambda: f"{client.ping(around, 2, 0.5)} of 2"),
            (f"{name} tcp web > client:80 (nothing allows it)", "denied",
             lambda: talk(web, back, 80)),
        )
        for what, expected, probe in rows:
            table.add(what, expected, probe())


def rule_counts(host):
    """{rule name: packets judged by it} of the policy in force."""
    return {rule["name"]: rule["packets"] for rule in host.bulkhead_json("rules")["rules"]}


def show_counters(table, client, web):
    """Datagrams sent, one by one, against the counters of the rules that decided them."""
    before = rule_counts(web)
    with client.udp(ADDRESS["client"][4], 40000) as sock:
        for port in (53, 123):
            for _ in range(COUNTED):
                sock.sendto(b"count me", (ADDRESS["web"][4], port))
        while receive(sock, 0.3):
            pass
    after = rule_counts(web)
    for rule in ("allow-names", "DenyAllInBound"):
        table.add(f"counter of {rule} after {COUNTED} datagrams", COUNTED,
                  after[rule] - before[rule])


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


class Stream:
    """Numbered datagrams from client to web's port 53, one a millisecond, echoes counted."""

    def __init__(self, client, address):
        self.sock = client.udp(family=socket.AF_INET)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.target = (address, 53)
        self.sent = 0
        self.going = True
        self.thread = threading.Thread(target=self._send)
        self.thread.start()

    def _send(self):
        while self.going:
            self.sock.sendto(b"%d" % self.sent, self.target)
            self.sent += 1
            time.sleep(0.001)

    def end(self):
        self.going = False
        self.thread.join()
        answered = 0
        while answered < self.sent and receive(self.sock, 0.5):
            answered += 1
        self.sock.close()
        return self.sent, answered


def still_talks(sock):
    """Whether a connection that was greeted long ago still echoes."""
    if not sock or not receive(sock):
        return "denied"
    with sock:
        sock.sendall(b"still here\n")
        got = receive(sock)
        return "arrives" if got and got[0] == b"still here\n" else "no reply"


def show_change(table, client, web):
    """port 80 is taken out of the policy and 443 stays, while datagrams go on."""
    address = ADDRESS["web"][4]
    held = client.connect(address, 443)
    stream = Stream(client, address)
    for _ in range(5):
        web.apply(policy("web.yaml").replace("tcp/80, ", ""))
        closed = talk(client, address, 80)
        web.apply(policy("web.yaml"))
        opened = talk(client, address, 80)
    sent, answered = stream.end()
    table.add("port 80 after it left the policy", "denied", closed)
    table.add("port 80 after it came back", "arrives", opened)
    table.add(f"datagrams lost over 10 changes ({sent} sent)", 0, sent - answered)
    table.add("a connection held over them still talks", "arrives", still_talks(held))


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
        table.add("before any policy: tcp client > db:5432", "arrives",
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
        table.add("after detach: tcp client > db:5432", "arrives",
                  talk(client, ADDRESS["db-client"][4], 5432))
    print("\n" + "=" * 78)
    table.print()
    sys.exit(0 if table.all_ok() else 1)


if __name__ == "__main__":
    main()

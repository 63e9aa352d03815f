#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""What a policy does to real sockets: directions, families, state, audit, counters."""

import socket
import threading

from netlab import LabError, Tap, drain, receive, wait_until
from traffic import (ARRIVES, DENIED, ask, greeted, reasons, rules, segments, serve, still_talks,
                     talk)

tap = Tap()

PEER = {4: "192.0.2.1", 6: "2001:db8::1"}
HOST = {4: "192.0.2.2", 6: "2001:db8::2"}

BASE = """\
bulkhead: 1
group: base
rules:
  - {name: web, priority: 100, direction: inbound, access: allow,
     services: [tcp/80, udp/53], source: any, destination: self}
  - {name: ping, priority: 110, direction: inbound, access: allow,
     services: [icmp/8, icmpv6/128], source: any, destination: self}
  - {name: db, priority: 100, direction: outbound, access: allow,
     services: [tcp/5432, udp/5353, icmp/8, icmpv6/128], source: self, destination: any}
"""


def pair(lab, mtu=1500):
    """A peer without bulkhead and a host that will get a policy, joined by one link."""
    peer, host = lab.host("peer"), lab.host("host")
    lab.link(peer, host, ("eth0", "eth0"),
             ([f"{PEER[4]}/24", f"{PEER[6]}/64"], [f"{HOST[4]}/24", f"{HOST[6]}/64"]), mtu)
    return peer, host


def expect(seen, wanted, what):
    assert seen == wanted, f"{what}: {seen}, expected {wanted}"


@tap
def both_families_and_directions_follow_the_policy(lab):
    peer, host = pair(lab)
    for version in (4, 6):
        for port in (22, 53, 80, 5353, 5432):
            serve(host, HOST[version], port)
            serve(peer, PEER[version], port)
    host.apply(BASE)
    for version in (4, 6):
        to, back = HOST[version], PEER[version]
        expect(talk(peer, to, 80), ARRIVES, f"in tcp 80 v{version}")
        expect(talk(peer, to, 22), DENIED, f"in tcp 22 v{version}")
        expect(ask(peer, to, 53), ARRIVES, f"in udp 53 v{version}")
        expect(ask(peer, to, 5353), DENIED, f"in udp 5353 v{version}")
        expect(talk(host, back, 5432), ARRIVES, f"out tcp 5432 v{version}")
        expect(talk(host, back, 80), DENIED, f"out tcp 80 v{version}")
        expect(ask(host, back, 5353), ARRIVES, f"out udp 5353 v{version}")
        expect(ask(host, back, 53), DENIED, f"out udp 53 v{version}")
        expect(peer.ping(to, 2), 2, f"ping in v{version}")
        expect(host.ping(back, 2), 2, f"ping out v{version}")


@tap
def a_refused_connection_and_a_closed_port_are_told_through_state(lab):
    """RST and ICMP port unreachable come back for what the policy let out."""
    peer, host = pair(lab)
    host.apply(BASE)
    for version in (4, 6):
        sock = host.open_socket(socket.AF_INET if version == 4 else socket.AF_INET6,
                                socket.SOCK_STREAM)
        sock.settimeout(1)
        try:
            sock.connect((PEER[version], 5432))
            raise AssertionError("nobody listens there")
        except ConnectionRefusedError:
            pass
        with host.udp(family=sock.family) as udp:
            udp.connect((PEER[version], 5353))
            udp.send(b"anybody")
            udp.settimeout(1)
            try:
                udp.recv(10)
                raise AssertionError("nobody listens there")
            except ConnectionRefusedError:
                pass
    seen = reasons(host)
    expect(seen[("icmp-errors", "inbound")], 2, "ICMP errors that passed")


@tap
def counters_equal_what_was_sent(lab):
    peer, host = pair(lab)
    sink = {port: host.udp(HOST[4], port) for port in (53, 123)}
    host.apply(BASE)
    before = rules(host)
    with peer.udp(PEER[4], 40000) as sock:
        for port, count in ((53, 31), (123, 17)):
            for _ in range(count):
                sock.sendto(b"x" * 100, (HOST[4], port))
        wait_until(lambda: rules(host)["web"]["packets"] - before["web"]["packets"] == 31,
                   what="31 datagrams counted")
    after = rules(host)
    expect(after["web"]["bytes"] - before["web"]["bytes"], 31 * (14 + 20 + 8 + 100), "bytes")
    expect(after["web"]["flows"] - before["web"]["flows"], 1, "flows")
    expect(after["DenyAllInBound"]["packets"] - before["DenyAllInBound"]["packets"], 17, "denied")
    expect(drain(sink[53]), 31, "received")
    expect(drain(sink[123]), 0, "received past a deny")


def frames(host, direction):
    """Packets of the link as its driver counts them."""
    link = host.run("cat", "/proc/net/dev").stdout
    for line in link.splitlines():
        name, _, numbers = line.partition(":")
        if name.strip() == "eth0":
            return int(numbers.split()[1 if direction == "in" else 9])
    raise AssertionError("no eth0")


def bulk(lab, hooks):
    """
    10 MB each way in both families over connections from outside and from inside: a rule's
    packets and replies are the counts of segments of the host's own TCP (what the link loses
    before the hook nobody here has seen), not of the stack's super-packets.
    """
    peer, host = pair(lab)
    listeners = {version: (host.listen(HOST[version], 80), peer.listen(PEER[version], 5432))
                 for version in (4, 6)}
    host.apply(BASE, host=host.host_yaml(f"hooks: {{{hooks}}}\n"))
    for version in (4, 6):
        for rule, opener, address, port, listener in (
                ("web", peer, HOST[version], 80, listeners[version][0]),
                ("db", host, PEER[version], 5432, listeners[version][1])):
            before = rules(host)[rule]
            with opener.connect(address, port) as near, listener.accept()[0] as far:
                for source, target in ((near, far), (far, near)):
                    transfer(source, target, 10 << 20)

                def both():
                    after = rules(host)[rule]
                    counted = [after[column] - before[column]
                               for column in ("packets", "reply_packets")]
                    if opener is host:
                        return counted, segments(near)
                    # An accepted socket has not counted the SYN-ACK that went before it.
                    out, into = segments(far)
                    return counted, [into, out + 1]

                try:
                    wait_until(lambda: len({tuple(counts) for counts in both()}) == 1)
                except LabError:
                    expect(*both(), f"segments of {rule} v{version} with {hooks}")
                assert sum(both()[1]) > 5000, f"{both()[1]} segments: no bulk"


def transfer(source, target, size):
    def read():
        left = size
        while left:
            left -= len(target.recv(min(left, 1 << 20)))

    source.settimeout(20)
    target.settimeout(20)
    reader = threading.Thread(target=read)
    reader.start()
    source.sendall(b"z" * size)
    reader.join(20)
    assert not reader.is_alive(), "the transfer does not end"


@tap
def tcp_bulk_is_counted_by_the_segment_at_native_xdp(lab):
    bulk(lab, "ingress: native, egress: tcx")


@tap
def tcp_bulk_is_counted_by_the_segment_at_tcx(lab):
    bulk(lab, "ingress: tcx, egress: tcx")


@tap
def tcp_bulk_is_counted_by_the_segment_at_clsact(lab):
    bulk(lab, "ingress: clsact, egress: clsact")


@tap
def every_frame_of_the_link_is_counted_once(lab):
    """Sum over rules, never-denied list and reasons = frames that crossed the hook."""
    peer, host = pair(lab)
    for version in (4, 6):
        serve(host, HOST[version], 80)
        serve(host, HOST[version], 53)
    host.apply(BASE)

    def totals():
        lines = {line["direction"]: line["packets"]
                 for line in host.bulkhead_json("stats")["stats"] if line["by"] == "total"}
        return lines["inbound"], lines["outbound"]

    def at_rest():
        """What both have counted, with no frame in between: stacks speak unasked."""
        link = frames(host, "in"), frames(host, "out")
        seen.append((totals(), link))
        return (frames(host, "in"), frames(host, "out")) == link

    seen = []
    wait_until(at_rest, what="no frame while the counters are read")
    start, (frames_in, frames_out) = seen[-1]
    for version in (4, 6):
        expect(talk(peer, HOST[version], 80), ARRIVES, "tcp")
        expect(ask(peer, HOST[version], 53), ARRIVES, "udp")
        expect(ask(peer, HOST[version], 54, 0.1), DENIED, "udp")
        peer.ping(HOST[version], 5)

    def settled():
        now = totals()
        return (now[0] - start[0] == frames(host, "in") - frames_in
                and now[1] - start[1] >= frames(host, "out") - frames_out)

    try:
        wait_until(settled, what="counters equal to the link's")
    except LabError as error:
        raise AssertionError(f"counted {start} to {totals()}, link {frames_in} {frames_out} to "
                             f"{frames(host, 'in')} {frames(host, 'out')}") from error


@tap
def a_denied_sender_learns_nothing_and_a_reply_out_of_the_blue_is_denied(lab):
    peer, host = pair(lab)
    host.apply(BASE)
    with host.udp(HOST[4], 5300) as target, peer.udp(PEER[4], 5353) as sock:
        sock.sendto(b"a reply that nobody asked for", (HOST[4], 5300))
        expect(receive(target, 0.3), None, "unasked reply")


@tap
def audit_lets_pass_and_counts_what_it_would_deny(lab):
    peer, host = pair(lab)
    serve(host, HOST[4], 22)
    host.apply(BASE.replace("group: base\n", "group: base\nmode: audit\n"))
    expect(talk(peer, HOST[4], 22), ARRIVES, "in audit")
    assert rules(host)["DenyAllInBound"]["would_denied"] >= 3
    host.apply(BASE)
    expect(talk(peer, HOST[4], 22), DENIED, "under enforce")


@tap
def an_audit_flow_is_worth_nothing_under_enforce(lab):
    peer, host = pair(lab)
    serve(host, HOST[4], 22)
    host.apply(BASE, host=host.host_yaml("mode: audit\n"))
    held = peer.connect(HOST[4], 22)
    assert greeted(held) and still_talks(held)
    host.apply(BASE)
    assert not still_talks(held, 0.7)


@tap
def host_audit_lets_even_undecided_packets_pass(lab):
    peer, host = pair(lab)
    serve(host, HOST[6], 22)
    host.apply(BASE, host=host.host_yaml("mode: audit\n"))
    expect(talk(peer, HOST[6], 22), ARRIVES, "tcp in audit of the host")
    expect(talk(host, PEER[4], 22, 0.3), DENIED, "nobody listens there, but it left")
    assert rules(host)["DenyAllOutBound"]["would_denied"] >= 1


if __name__ == "__main__":
    tap.main()

# SPDX-License-Identifier: GPL-2.0-only
"""
Twin hosts of one address: one under bulkhead, one under nftables with connection tracking. Both are
sent the same frames, and say which of them came through: inbound into a raw socket, outbound onto the
wire. A policy is a list of rules that is printed twice, once for each of them.
"""

import contextlib
import os
import socket
import struct

from generator import checksum, mac_of
from netlab import receive

HOST = {4: "10.0.0.1", 6: "2001:db8::1"}
PEERS = {4: [f"10.0.1.{n}" for n in range(1, 5)], 6: [f"2001:db8:1::{n}" for n in range(1, 5)]}
ROUTER = {4: "10.0.7.7", 6: "2001:db8:7::7"}  # sends ICMP errors
MARKER = "10.0.9.9"  # what it sends and gets is always allowed
MARKER_PORT = 9

TCP, UDP = 6, 17
ECHO = {4: 1, 6: 58}
FLAGS = {"SYN": 0x02, "SYN-ACK": 0x12, "ACK": 0x10, "data": 0x18, "FIN": 0x11, "RST": 0x04,
         "RST-ACK": 0x14}
OURS = 7  # the mark of what the test sends; the hosts' own stacks are silent

# Seconds. Far enough from each other and from the pauses that a busy machine changes nothing.
HALF_OPEN, ESTABLISHED, STREAM_AFTER = 5, 10, 2
HOST_YAML = ("timeouts: {{tcp_established: {1}, tcp_half_open: {0}, tcp_closing: {0}, udp: {0},"
             " udp_stream: {1}, icmp: {0}}}\n").format(HALF_OPEN, ESTABLISHED)
SYSCTLS = {
    "tcp_be_liberal": 1, "tcp_loose": 1, "udp_timeout": HALF_OPEN,
    "udp_timeout_stream": ESTABLISHED, "icmp_timeout": HALF_OPEN, "icmpv6_timeout": HALF_OPEN,
    **{f"tcp_timeout_{state}": HALF_OPEN for state in (
        "syn_sent", "syn_recv", "fin_wait", "close_wait", "last_ack", "time_wait", "close")},
    **{f"tcp_timeout_{state}": ESTABLISHED for state in (
        "established", "unacknowledged", "max_retrans")},
}


# ---- policies ----------------------------------------------------------------------------------

class Rule:
    """Allows or denies an opening: inbound from peers, or outbound to them."""

    def __init__(self, direction, allow, peers, protocol=None, ports=None):
        self.direction, self.allow, self.peers = direction, allow, peers
        self.protocol, self.ports = protocol, ports  # tcp, udp, icmp, None; (first, last), None

    def admits(self, flow):
        """Whether it speaks of a flow."""
        names = {TCP: "tcp", UDP: "udp"}
        return (self.direction == flow.direction and flow.peer in self.peers
                and self.protocol in (None, names.get(flow.protocol, "icmp"))
                and (not self.ports or self.ports[0] <= flow.port <= self.ports[1]))


def admits(rules, flow):
    """Whether the policy lets a flow open: the first rule that speaks of it decides."""
    return next((rule.allow for rule in rules if rule.admits(flow)), False)


def as_yaml(rules, existing_flows):
    out = [f"bulkhead: 1\ngroup: twin\nexisting_flows: {existing_flows}\nrules:"]
    for number, rule in enumerate(rules):
        inbound = rule.direction == "in"
        addresses = [PEERS[version][peer] for version in (4, 6) for peer in rule.peers]
        peers = "[" + ", ".join(f'"{address}"' for address in addresses) + "]"
        protocol = {"icmp": "[icmp, icmpv6]", None: "any"}.get(rule.protocol, rule.protocol)
        ports = f", destination_ports: {rule.ports[0]}-{rule.ports[1]}" if rule.ports else ""
        out.append(f"  - {{name: rule-{number}, priority: {100 + number},"
                   f" direction: {'inbound' if inbound else 'outbound'},"
                   f" access: {'allow' if rule.allow else 'deny'}, protocol: {protocol}{ports},"
                   f" source: {peers if inbound else 'any'},"
                   f" destination: {'any' if inbound else peers}}}")
    for number, (direction, own, other) in enumerate((("inbound", "destination", "source"),
                                                      ("outbound", "source", "destination"))):
        out.append(f"  - {{name: marker-{number}, priority: 4000, direction: {direction},"
                   f" access: allow, protocol: udp, destination_ports: {MARKER_PORT},"
                   f" {own}: any, {other}: {MARKER}}}")
    return "\n".join(out) + "\n"


def _nft_rules(rules, direction, opened):
    """Rules of one direction; opened: about the packet that opened the flow, not the one at hand."""
    for rule in rules:
        if rule.direction != direction:
            continue
        match = ""
        if rule.protocol == "icmp":
            match = "meta l4proto { 1, 58 }"
        elif rule.protocol:
            match = f"meta l4proto {rule.protocol}"
        if rule.ports:
            match += (f" {'ct original proto-dst' if opened else 'th dport'}"
                      f" {rule.ports[0]}-{rule.ports[1]}")
        end = "saddr" if direction == "in" else "daddr"
        verdict = "accept" if rule.allow else "return" if opened else "drop"
        for family, version in (("ip", 4), ("ip6", 6)):
            addresses = ", ".join(PEERS[version][peer] for peer in rule.peers)
            yield (f"{'ct original ' if opened else ''}{family} {end} {{ {addresses} }}"
                   f" {match} {verdict}")


def as_nft(rules, existing_flows):
    """
    A reply passes where its flow's opener would pass now (recheck), or once its flow exists (keep). An
    ICMP error passes for what is known in either case: nft cannot look at the ports that it quotes.
    """
    def chain(direction, hook):
        other = "out" if direction == "in" else "in"
        known = ("ct state established accept" if existing_flows == "keep" else
                 f"ct state established ct direction reply jump opened_{other}")
        marker = ("ip saddr" if direction == "in" else "ip daddr") + f" {MARKER} accept"
        return (f"chain {direction} {{ type filter hook {hook} priority 0; policy drop;\n"
                + "\n".join([known, "ct state related accept", marker, *_nft_rules(rules, direction, False)]) + "\n}")

    opened = [f"chain opened_{direction} {{\n" + "\n".join(_nft_rules(rules, direction, True))
              + "\n}" for direction in ("in", "out")]
    return "\n".join(["add table inet twin", "delete table inet twin", "table inet twin {",
                      *opened, chain("in", "input"), chain("out", "output"), "}"]) + "\n"


SILENT = """table inet silent {
chain output { type filter hook output priority -400; meta mark != %d drop; }
}
""" % OURS


# ---- packets -----------------------------------------------------------------------------------

def _packed(address):
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def ip(version, protocol, source, destination, payload):
    """A whole packet around an upper layer whose checksum stands where the protocol has it."""
    at = {TCP: 16, UDP: 6, 1: 2, 58: 2}[protocol]
    pseudo = b"" if protocol == 1 else _packed(source) + _packed(destination) + struct.pack(
        "!II", len(payload), protocol)
    payload = payload[:at] + struct.pack("!H", checksum(pseudo + payload)) + payload[at + 2:]
    if version == 6:
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + _packed(
            source) + _packed(destination) + payload
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0,
                       _packed(source), _packed(destination))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


class Flow:
    """Two ends, and who opens. Its packets carry numbers that both trackers find plausible."""

    def __init__(self, number, version, protocol, direction, peer, port):
        self.number, self.version, self.protocol = number, version, protocol
        self.direction, self.peer, self.port = direction, peer, port
        self.client_port = 20000 + number
        self.next = {True: 1000, False: 5000}  # by whether the opener speaks

    def turned(self):
        """The flow that its replies would open for themselves."""
        other = Flow(self.number, self.version, self.protocol,
                     "out" if self.direction == "in" else "in", self.peer, self.client_port)
        return other

    def key(self):
        """What its packets are known by, in either direction."""
        if self.protocol in (TCP, UDP):
            return (self.protocol, self.client_port)
        return (self.protocol, self.number)

    def _ends(self, opener):
        peer, host = PEERS[self.version][self.peer], HOST[self.version]
        return (peer, host) if (self.direction == "in") == opener else (host, peer)

    def _tcp(self, opener, kind):
        ports = (self.client_port, self.port) if opener else (self.port, self.client_port)
        flags = FLAGS[kind]
        data = b"x" if kind == "data" else b""
        head = struct.pack("!HHIIBBHHH", *ports, self.next[opener],
                           self.next[not opener] if flags & 0x10 else 0, 0x50, flags, 8000, 0, 0)
        self.next[opener] += len(data) + bool(flags & 0x03)
        return head + data

    def inbound(self, opener):
        return (self.direction == "in") == opener

    def packet(self, opener, kind):
        ports = (self.client_port, self.port) if opener else (self.port, self.client_port)
        if self.protocol == TCP:
            upper = self._tcp(opener, kind)
        elif self.protocol == UDP:
            upper = struct.pack("!HHHH", *ports, 8, 0)
        else:
            kinds = {4: (8, 0), 6: (128, 129)}[self.version]
            upper = struct.pack("!BBHHH", kinds[not opener], 0, 0, self.number, 1)
        return ip(self.version, self.protocol, *self._ends(opener), upper)

    def error(self, about_opener):
        """Host unreachable about what the host has sent, from a router on the way."""
        quoted = self.packet(about_opener, "ACK")[:28 if self.version == 4 else 48]
        head = struct.pack("!BBHI", *{4: (3, 1), 6: (1, 3)}[self.version], 0, 0)
        return ip(self.version, ECHO[self.version], ROUTER[self.version], HOST[self.version],
                  head + quoted)


def key_of(protocol, upper):
    """Of an upper layer that has arrived; that of the flow that an ICMP error is about."""
    if protocol == TCP or protocol == UDP:
        ports = struct.unpack("!HH", upper[:4])
        return (protocol, max(ports))
    if protocol == 1 and upper[0] == 3:
        return key_of(upper[17], upper[28:])
    if protocol == 58 and upper[0] == 1:
        return key_of(upper[14], upper[48:])
    return (protocol, struct.unpack("!H", upper[4:6])[0])


# ---- hosts -------------------------------------------------------------------------------------

class Twin:
    """One of the two, at the end of a link of its own."""

    def __init__(self, lab, peer, name):
        self.host, self.peer, self.link = lab.host(name), peer, f"to-{name}"
        # One queue: what is sent later is seen later.
        queues = ("numtxqueues", "1", "numrxqueues", "1")
        peer.run("ip", "link", "add", self.link, *queues, "type", "veth", "peer", "name", "eth0",
                 *queues, "netns", self.host.netns)
        lab.interfaces[name].append("eth0")
        peer.run("ip", "link", "set", self.link, "up")
        self.host.run("ip", "link", "set", "eth0", "up")
        self.host.run("ip", "address", "add", "10.0.0.1/16", "dev", "eth0")
        self.host.run("ip", "address", "add", "2001:db8::1/32", "dev", "eth0", "nodad")
        self.mac = mac_of(self.host, "eth0")
        for address in [*PEERS[4], *PEERS[6], *ROUTER.values(), MARKER]:
            self.host.run("ip", "neigh", "add", address, "lladdr", "02:00:00:00:ff:ff", "dev",
                          "eth0", "nud", "permanent")
        self.host.run("nft", "-f", lab.write(f"{name}.silent", SILENT))
        self._open_sockets()

    def _open_sockets(self):
        self.wire = self.peer.open_socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.wire.bind((self.link, 3))
        self.wire.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
        self.own, self.ears = {}, {}
        for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
            self.own[version] = self.host.open_socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
            self.own[version].setsockopt(socket.SOL_SOCKET, socket.SO_MARK, OURS)
            for protocol in (TCP, UDP, ECHO[version]):
                ear = self.host.open_socket(family, socket.SOCK_RAW, protocol)
                ear.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)
                self.ears[version, protocol] = ear

    def send(self, version, packet, inbound):
        if inbound:
            kind = {4: b"\x08\x00", 6: b"\x86\xdd"}[version]
            self.wire.send(self.mac + b"\x02\0\0\0\xff\xff" + kind + packet)
            return
        destination = socket.inet_ntop(*((socket.AF_INET, packet[16:20]) if version == 4 else
                                         (socket.AF_INET6, packet[24:40])))
        with contextlib.suppress(OSError):  # so the stack says that it was denied
            self.own[version].sendto(packet, (destination, 0))

    def arrived(self):
        """Keys of what came through since the last call; a marker of each direction ends it."""
        for inbound, ends in ((True, (MARKER, HOST[4])), (False, (HOST[4], MARKER))):
            self.send(4, ip(4, UDP, *ends, struct.pack("!HHHH", MARKER_PORT, MARKER_PORT, 8, 0)),
                      inbound)
        return self._heard() | self._seen_on_wire()

    def _heard(self):
        keys = set()
        marker = False
        # UDP over IPv4, where the marker is, last: the others' packets were sent before it.
        order = sorted(self.ears, key=lambda which: which == (4, UDP))
        while not marker:
            got = receive(self.ears[4, UDP], 10)
            assert got, f"{self.host.name}: the inbound marker does not arrive"
            upper = got[0][20:]
            marker = upper[:4] == struct.pack("!HH", MARKER_PORT, MARKER_PORT)
            if not marker:
                keys.add(key_of(UDP, upper))
        for version, protocol in order[:-1]:
            while got := receive(self.ears[version, protocol], 0):
                keys.add(key_of(protocol, got[0][20:] if version == 4 else got[0]))
        return keys

    def _seen_on_wire(self):
        keys = set()
        while True:
            got = receive(self.wire, 10)
            assert got, f"{self.host.name}: the outbound marker does not arrive"
            frame, sender = got
            if sender[2] == 4:  # PACKET_OUTGOING: what we have sent ourselves
                continue
            version = {b"\x08\x00": 4, b"\x86\xdd": 6}.get(frame[12:14])
            if not version:
                continue
            protocol = frame[23] if version == 4 else frame[20]
            upper = frame[34:] if version == 4 else frame[54:]
            if upper[:4] == struct.pack("!HH", MARKER_PORT, MARKER_PORT):
                return keys
            if protocol in (TCP, UDP, ECHO[version]):
                keys.add(key_of(protocol, upper))


def apply_both(lab, ours, theirs, rules, existing_flows):
    """A policy for a host under bulkhead, and for one under nftables."""
    ours.apply(as_yaml(rules, existing_flows), host=ours.host_yaml(HOST_YAML))
    theirs.run("nft", "-f", lab.write("theirs.nft", as_nft(rules, existing_flows)))


class Twins:
    """The two of them, and the clock that both live by."""

    def __init__(self, lab):
        self.lab = lab
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # what is sent later is seen later
        peer = lab.host("peer")
        self.ours, self.theirs = Twin(lab, peer, "ours"), Twin(lab, peer, "theirs")
        with self.theirs.host.enter():
            for key, value in SYSCTLS.items():
                self.theirs.host.sysctl(f"net/netfilter/nf_conntrack_{key}", value)

    def apply(self, rules, existing_flows):
        apply_both(self.lab, self.ours.host, self.theirs.host, rules, existing_flows)

    def step(self, packets):
        """Sends (flow, inbound, packet) to both; for each of them the keys that came through."""
        for twin in (self.ours, self.theirs):
            for flow, inbound, packet in packets:
                twin.send(flow.version, packet, inbound)
        return self.ours.arrived(), self.theirs.arrived()

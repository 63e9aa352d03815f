#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Policies that change a thousand times at full speed, and floods with the tables full."""

import ctypes
import errno
import selectors
import socket
import struct
import threading
import time

from generator import ACK, SOURCE, SYN, Generator, frame, mac_of, tcp4, udp4
from netlab import Tap
from test_traffic import HOST, PEER, expect, pair
from traffic import rules

tap = Tap()

N_APPLIES = 1000
N_FRAMES = 1000000
BURST = 2000
NOWHERE = "198.51.100.1"  # no address of anybody here: what passes ends in the host's routing


def received(host):
    """IPv4 packets that have come to the stack of a host."""
    lines = host.run("cat", "/proc/self/net/snmp").stdout.splitlines()
    names, values = (line.split() for line in lines if line.startswith("Ip: "))
    return int(values[names.index("InReceives")])


def few_are_lost(generator):
    """What the link's ring does not take is nobody's fault here, as long as it is hardly any."""
    assert generator.taken() >= generator.sent * 0.99, f"{generator.taken()} of {generator.sent}"


def sending(generator, until, burst=BURST, which=()):
    """
    A thread that sends bursts until told to end, and at least so many frames. which: as for
    Generator.send behind the count.
    """
    stop, failed = threading.Event(), []

    def body():
        try:
            while not stop.is_set() or generator.sent < until:
                generator.send(burst, *which)
        except (OSError, ValueError) as error:
            failed.append(error)

    thread = threading.Thread(target=body, daemon=True)
    thread.start()

    def end():
        stop.set()
        thread.join()
        assert not failed, f"the generator has ended: {failed[0]}"

    return end


def two_ports(number):
    """Allows 80, denies 81, and differs with the number."""
    return f"""\
bulkhead: 1
group: load
rules:
  - {{name: web, priority: {100 + number % 900}, direction: inbound, access: allow,
     services: [udp/80], source: any, destination: any}}
  - {{name: closed, priority: {1100 + number % 900}, direction: inbound, access: deny,
     services: [udp/81], source: any, destination: any}}
"""


@tap
def of_a_million_frames_none_is_lost_and_none_passes_over_a_thousand_applies(lab):
    peer, host = pair(lab)
    host.apply(two_ports(0))
    to = mac_of(host, "eth0")
    frames = [frame(to, udp4((PEER[4], 1024 + i), (NOWHERE, 80 + i % 2))) for i in range(1000)]
    generator = Generator(peer, "eth0", frames)
    before = received(host)
    end = sending(generator, 2 * N_FRAMES)
    for number in range(1, N_APPLIES + 1):
        host.apply(two_ports(number))
    end()
    print(f"# {generator.sent} frames, {generator.rate()} a second, {N_APPLIES} applies")
    after = rules(host)
    allowed, denied = (after[name]["packets"] for name in ("web", "closed"))
    expect(received(host) - before, allowed, "frames that came to the stack")
    expect(allowed + denied, generator.taken(), "frames that the link took")
    assert max(allowed, denied) <= generator.sent // 2, f"{allowed} allowed, {denied} denied"
    few_are_lost(generator)


N_BLOCKS = 400
PREFIXES_PER_BLOCK = 120


def blocks(turn):
    """
    A rule for each block of prefixes, and an image of several pages. With the turn, rules and
    so classes and outcomes stand in another order, but each packet is still its block's rule's.
    """
    lines = ["bulkhead: 1", "group: load", "sets:"]
    for block in range(N_BLOCKS):
        prefixes = ", ".join(f"10.{block % 200}.{(block // 200) * 128 + i}.0/25"
                             for i in range(PREFIXES_PER_BLOCK))
        lines.append(f"  s{block}: [{prefixes}]")
    lines.append("rules:")
    for place in range(N_BLOCKS):
        block = (place + turn * 77) % N_BLOCKS
        lines.append(f"  - {{name: r{block}, priority: {100 + place}, direction: inbound, "
                     f"access: {'allow' if block % 2 else 'deny'}, "
                     f"services: [udp/{1000 + block}], source: s{block}, destination: any}}")
    return "\n".join(lines) + "\n"


@tap
def no_packet_is_judged_by_halves_of_two_generations(lab):
    """Only blocks below 100 send: a packet that met pages of two images would count elsewhere."""
    peer, host = pair(lab)
    policies = [blocks(turn) for turn in range(3)]
    host.apply(policies[0])
    to = mac_of(host, "eth0")
    frames = [frame(to, udp4((f"10.{block}.{i}.9", 5000), (NOWHERE, 1000 + block)))
              for i in range(10) for block in range(100)]
    generator = Generator(peer, "eth0", frames)
    before = received(host)
    end = sending(generator, N_FRAMES)
    for number in range(1, 61):
        host.apply(policies[number % 3])
    end()
    print(f"# {generator.sent} frames, {generator.rate()} a second, 60 applies")
    after = rules(host)
    counts = [after[f"r{block}"]["packets"] for block in range(N_BLOCKS)]
    expect(sum(counts[:100]), generator.taken(), "frames that the link took")
    assert max(counts) <= generator.sent // 100, f"too many packets at a rule: {counts}"
    expect(sum(counts[100:]), 0, "packets at rules of blocks that do not send")
    expect(after["DenyAllInBound"]["packets"], 0, "packets that no rule decided")
    expect(received(host) - before, sum(counts[1:100:2]), "frames that came to the stack")
    few_are_lost(generator)


# ---- flows held through floods ----

FLOOD = """\
bulkhead: 1
group: flood
rules:
  - {name: web, priority: 100, direction: inbound, access: allow,
     services: [tcp/80, udp/53], source: any, destination: any}
  - {name: held, priority: 101, direction: inbound, access: allow,
     services: [tcp/443], source: any, destination: any}
"""
CLIENT = "192.0.2.77"  # its connections are made by hand, so that the peer's stack has no say
N_CONNECTIONS = 100
ROUND_TRIP = 0.05
FILL = 500000  # frames of the attack before anything else


class Wire:
    """Frames by hand between the peer and the host, through both stacks' drivers."""

    def __init__(self, peer, host):
        self.to_host, self.to_peer = mac_of(host, "eth0"), mac_of(peer, "eth0")
        self.peer_end, self.host_end = (self._open(end) for end in (peer, host))
        # Only what goes to CLIENT: ldw [30]; jeq CLIENT, accept, drop.
        address = struct.unpack("!I", socket.inet_aton(CLIENT))[0]
        code = b"".join(struct.pack("HBBI", *op) for op in (
            (0x20, 0, 0, 30), (0x15, 0, 1, address), (0x06, 0, 0, 0xffff), (0x06, 0, 0, 0)))
        buffer = ctypes.create_string_buffer(code)
        self.peer_end.setsockopt(socket.SOL_SOCKET, 26, struct.pack(  # SO_ATTACH_FILTER
            "HL", 4, ctypes.addressof(buffer)))

    @staticmethod
    def _open(host):
        sock = host.open_socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
        with host.enter():
            sock.bind(("eth0", 0x0800))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        return sock

    def from_peer(self, packet):
        """Lost, as on any link, when the ring of the link is full."""
        try:
            self.peer_end.send(self.to_host + self.to_peer + b"\x08\x00" + packet)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise

    def from_host(self, packet):
        """An error where our own egress denies it."""
        self.host_end.send(self.to_peer + self.to_host + b"\x08\x00" + packet)


def establish(wire, flows):
    """
    SYN and ACK from afar, SYN-ACK and ACK from here, for each (source, destination); not more at once
    than half-open ways take without one giving way.
    """
    for first in range(0, len(flows), 1000):
        some = flows[first:first + 1000]
        for flags, back in ((SYN, SYN | ACK), (ACK, ACK)):
            for source, destination in some:
                wire.from_peer(tcp4(source, destination, flags))
            for source, destination in some:
                wire.from_host(tcp4(destination, source, back))


class Client:
    """
    One connection from afar, sent again as TCP does: a SYN after a second, a request after 0.3 s and
    then twice as long each time. An answer takes half a round trip each way.
    """

    def __init__(self, wire, port):
        self.wire = wire
        self.ends = ((CLIENT, port), (HOST[4], 80))
        self.acknowledged = None
        self.again = 0.3
        self.due = time.monotonic()
        self.answered = False

    def act(self):
        now = time.monotonic()
        if self.answered or now < self.due:
            return
        if self.acknowledged is None:
            self.wire.from_peer(tcp4(*self.ends, SYN, 100))
            self.due = now + 1
            return
        self.wire.from_peer(tcp4(*self.ends, ACK, 101, self.acknowledged))
        self.wire.from_peer(tcp4(*self.ends, ACK, 101, self.acknowledged, b"hello?"))
        self.due = now + self.again
        self.again *= 2

    def hear(self, sequence, flags, packet):
        if flags & SYN and self.acknowledged is None:
            self.acknowledged = sequence + 1
            self.due = time.monotonic() + ROUND_TRIP
        elif b"hello!" in packet:
            self.answered = True


def connect_at_a_distance(wire):
    """How many of N_CONNECTIONS, each with a round trip of 50 ms, get an answer to a request."""
    clients = {}
    selector = selectors.DefaultSelector()
    selector.register(wire.peer_end, selectors.EVENT_READ)
    begin = time.monotonic()
    while time.monotonic() < begin + 8:
        if len(clients) < N_CONNECTIONS and time.monotonic() >= begin + len(clients) * 0.01:
            port = 20000 + len(clients)
            clients[port] = Client(wire, port)
        for client in clients.values():
            client.act()
        for _ in selector.select(0.002):
            packet = wire.peer_end.recv(2048)[14:]
            port, sequence = struct.unpack_from("!HI", packet, 22)
            if port in clients:
                clients[port].hear(sequence, packet[33], packet)
        answered = sum(client.answered for client in clients.values())
        if answered == N_CONNECTIONS:
            break
    return answered


def established(host):
    """The remote ends of the flows to port 443 that the host holds as established."""
    return {flow["remote"] for flow in host.bulkhead_json("flows")["flows"]
            if flow["state"] == "established" and flow["local"].endswith(":443")}


def seen(host):
    """How many packets the programs have met inbound."""
    return next(line["packets"] for line in host.bulkhead_json("stats")["stats"]
                if line["by"] == "total" and line["direction"] == "inbound")


def flooded(lab, n_flows, attack):
    """Flows that are established carry a tenth of the traffic, the attack the rest."""
    peer, host = pair(lab)
    host.run("ip", "route", "add", "default", "via", PEER[4])
    for address in (PEER[4], CLIENT):
        host.run("ip", "neigh", "replace", address, "lladdr",
                 mac_of(peer, "eth0").hex(":"), "dev", "eth0")
    host.apply(FLOOD)
    wire = Wire(peer, host)
    flows = [((f"203.0.{113 + i // 50000}.{1 + i % 250}", 1024 + i // 250 % 64000), (NOWHERE, 443))
             for i in range(n_flows)]
    for _ in range(3):  # a frame by hand may find a full ring of the link
        establish(wire, flows)
        held = established(host)
        if len(held) == n_flows:
            break
    # Of ten million one finds all eight ways of its key taken at this load, however often it tries.
    flows = [flow for flow in flows if f"{flow[0][0]}:{flow[0][1]}" in held]
    assert len(flows) == len(held) >= n_flows - 1, f"flows before: {len(held)}, expected {n_flows}"
    n_flows = len(flows)
    listener = host.listen(HOST[4], 80, backlog=1024)
    answerer = host.udp(HOST[4], 53)

    def serve():
        selector = selectors.DefaultSelector()
        selector.register(listener, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    selector.register(listener.accept()[0], selectors.EVENT_READ)
                elif key.fileobj.recv(100):
                    key.fileobj.sendall(b"hello!")

    def answer():
        while True:
            data, sender = answerer.recvfrom(100)
            answerer.sendto(data, sender)

    for body in (serve, answer):
        threading.Thread(target=body, daemon=True).start()
    frames = [attack(wire)] + [frame(wire.to_host, tcp4(*flow, ACK)) for flow in flows]
    generator = Generator(peer, "eth0", frames)
    generator.send(FILL, "eth0", 0, 1)
    before = rules(host)["held"]["packets"], seen(host)
    end = sending(generator, FILL + 2000000, 100000, ("eth0", 1, n_flows, 10, 0))
    answered = connect_at_a_distance(wire)
    end()
    print(f"# {n_flows} flows, {generator.sent} frames, at full rate {generator.rate()} a second: "
          f"{answered} of {N_CONNECTIONS} connections")
    expect(len(held - established(host)), 0, "flows lost")
    # What finds a full ring of the link is lost before any hook, of the flows as of the attack.
    carried, met = rules(host)["held"]["packets"] - before[0], seen(host) - before[1]
    assert carried > n_flows and 0.09 < carried / met < 0.11, \
        f"flows carried {carried} of {met} packets"
    assert answered >= N_CONNECTIONS - 1, f"only {answered} of {N_CONNECTIONS} could connect"


ATTACKS = {
    "syn": lambda wire: frame(wire.to_host, tcp4(("10.0.0.1", 1), (NOWHERE, 80), SYN), SOURCE),
    "ack": lambda wire: frame(wire.to_host, tcp4(("10.0.0.1", 1), (NOWHERE, 80), ACK), SOURCE),
    "udp": lambda wire: frame(wire.to_host, udp4(("10.0.0.1", 1), (HOST[4], 53)), SOURCE),
}


def add_flood(kind, n_flows):
    def test(lab):
        flooded(lab, n_flows, ATTACKS[kind])

    test.__name__ = f"of_{n_flows}_flows_none_is_lost_in_a_flood_of_{kind}"
    tap(test)


for n in (1000, 10000, 50000):
    for name in ATTACKS:
        add_flood(name, n)

if __name__ == "__main__":
    tap.main()

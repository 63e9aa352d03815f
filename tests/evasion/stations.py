# SPDX-License-Identifier: GPL-2.0-only
"""
Where frames are sent to and what is measured there. A station is a stack, a namespace with real sockets,
behind one hook of bulkhead or behind none:

    peer ── eth0 of a stack                        no bulkhead: what Linux itself makes of a frame
    peer ── bulkhead, eth0 of a stack              inbound: XDP native, XDP generic, tcx, clsact
    sender, eth0, bulkhead ── eth0 of a stack      outbound: tcx, clsact

All stacks have the same addresses, and are as willing as Linux can be made: they take source routes and
segment routes, loopback addresses from outside, UDP without a checksum. Each frame is followed by
markers, so nobody waits for time: what has not come before the marker does not come.
"""

import errno
import json
import os
import select
import socket
import struct
import subprocess

from cases import OPEN, SHUT
from generator import tcp4, udp4
from layers import CARRIER, HOST, HOST_MAC, PEER, PEER_MAC, QUOTED_PORT
from netlab import LabError, receive

MARKER = "10.1.9.9"
MARKER_PORT = 9  # closed: TCP to it is answered by RST
MARKER_MAC = "02000000eeee"
MTU = 9000
QUEUES = "numtxqueues 1 numrxqueues 1"  # what is sent later is seen later
RECEIVE_ALL = 3  # ETH_P_ALL

TCP, UDP, SCTP = 6, 17, 132
ICMP = {4: 1, 6: 58}
PORTS = (TCP, UDP, SCTP)
CARRIERS = (4, 41, 47, 50, 51)
PROTOCOLS = (1, 2, *PORTS, *CARRIERS, 33, 58, 59, 89, 103, 108, 115, 135, 136, 253)

CARRIED = "[" + ", ".join(f'"{address}"' for address in CARRIER.values()) + "]"
SERVICES = f"[tcp/{OPEN}, udp/{OPEN}, sctp/{OPEN}, icmp/8/0, icmpv6/128/0]"
TUNNELS = "[" + ", ".join(str(protocol) for protocol in CARRIERS) + ", udp/4789]"
POLICY = "bulkhead: 1\ngroup: evasion\nrules:\n" + "".join(
    f"  - {{name: {name}-{way}, priority: {priority}, direction: {way}bound, access: allow,"
    f" services: {services}, source: {source}, destination: any}}\n"
    for way in ("in", "out") for name, priority, services, source in (
        ("open", 100, SERVICES, "any"), ("tunnels", 110, TUNNELS, CARRIED)))
HOST_YAML = "hooks: {{ingress: {}, egress: {}}}\nlog_limit: 1000000\ntables: {{fragments: 65536}}\n"

WILLING = {
    "net/ipv4/conf/{}/accept_local": 1, "net/ipv4/conf/{}/route_localnet": 1,
    "net/ipv4/conf/{}/accept_source_route": 1, "net/ipv4/conf/{}/rp_filter": 0,
    "net/ipv6/conf/{}/accept_source_route": 1, "net/ipv6/conf/{}/seg6_enabled": 1,
    "net/ipv6/conf/{}/rpl_seg_enabled": 1, "net/ipv6/conf/{}/ioam6_enabled": 1,
    "net/ipv6/conf/{}/accept_ra": 0, "net/ipv6/conf/{}/accept_redirects": 0,
    "net/ipv4/conf/{}/accept_redirects": 0,
}

# A packet socket sees what XDP has let pass, and sees everything before tc. Behind tc, what has got past
# the hook is also sent into a link of its own.
COPY = """table netdev copy {
chain in { type filter hook ingress device eth0 priority 0; dup to "copy0"; }
}
"""
SILENT = """table inet silent {
chain out { type filter hook output priority 0; policy drop; }
}
"""
NOT_ITSELF = SILENT.replace("policy drop;", 'policy accept; oifname "lo" drop;')


def _set(host, key, value):
    """A sysctl that this kernel may lack; without it the stack is less willing."""
    try:
        host.sysctl(key, value)
    except FileNotFoundError:
        pass


class Ears:
    """Sockets of a stack: bound to both ports, and raw ones, which hear what reaches an upper layer."""

    def __init__(self, host):
        self.host = host
        self.poll = select.epoll()
        self.by_fd = {}  # descriptor → (socket, what reads it)
        for version, family in ((4, socket.AF_INET), (6, socket.AF_INET6)):
            for port in (OPEN, SHUT):
                self._bound(version, family, port)
                self._asking(version, family, port)
            for protocol in PROTOCOLS:
                self._add(host.open_socket(family, socket.SOCK_RAW, protocol), self._raw(version, protocol))
        self.heard = set()
        self.markers = set()

    def _add(self, sock, read):
        sock.setblocking(False)
        self.by_fd[sock.fileno()] = (sock, read)
        self.poll.register(sock, select.EPOLLIN)

    def _bound(self, version, family, port):
        udp = self.host.open_socket(family, socket.SOCK_DGRAM)
        tcp = self.host.open_socket(family, socket.SOCK_STREAM)
        for sock in (udp, tcp):
            if version == 6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(("::" if version == 6 else "0.0.0.0", port))
        udp.setsockopt(socket.IPPROTO_UDP, 102, 1)  # UDP_NO_CHECK6_RX
        tcp.listen(4096)
        self._add(udp, lambda sock: self._datagram(sock, port))
        self.by_fd[tcp.fileno()] = (tcp, None)  # its answers are seen on the wire

    def _asking(self, version, family, port):
        """A socket that has a peer, and hears ICMP errors about what it would have sent."""
        sock = self.host.open_socket(family, socket.SOCK_DGRAM)
        sock.setsockopt(*((socket.IPPROTO_IP, 11) if version == 4 else (socket.IPPROTO_IPV6, 25)), 1)
        sock.bind((HOST[version], QUOTED_PORT + (port == SHUT)))
        sock.connect((PEER[version], port))
        self._add(sock, lambda sock: self._error(sock, port))

    def _datagram(self, sock, port):
        _, sender = sock.recvfrom(65536)
        if sender[0] == MARKER:
            self.markers.add((port, sender[1]))
        else:
            self.heard.add(("socket", UDP, port))

    def _error(self, sock, port):
        """RECVERR keeps errors in a queue of their own."""
        sock.recvmsg(1, 1024, socket.MSG_ERRQUEUE)
        self.heard.add(("error", UDP, port))

    def _raw(self, version, protocol):
        def read(sock):
            data, sender = sock.recvfrom(65536)
            if sender[0] == MARKER:
                return
            upper = data[(data[0] & 15) * 4:] if version == 4 else data
            if protocol in PORTS and len(upper) >= 4:
                self.heard.add(("header", protocol, struct.unpack("!H", upper[2:4])[0]))
            elif protocol == ICMP[version] and len(upper) >= 2:
                self.heard.add(("icmp", protocol, (upper[0], upper[1])))
            else:
                self.heard.add(("protocol", protocol, None))
        return read

    def listen(self, marker, seconds=5):
        """What has been heard until the marker, the source port of a datagram to the open port."""
        while (OPEN, marker) not in self.markers:
            if not self._read(seconds):
                raise LabError(f"{self.host.name}: the marker does not arrive")
        while self._read(0):
            pass
        heard, self.heard = self.heard, set()
        if (SHUT, marker) in self.markers:
            heard.add(("socket", UDP, SHUT))
        self.markers.clear()
        return heard

    def _read(self, seconds):
        ready = self.poll.poll(seconds)
        for fd, _ in ready:
            sock, read = self.by_fd[fd]
            try:
                read(sock)
            except BlockingIOError:
                pass
            except OSError:  # the error itself, said once more
                pass
        return ready


class Station:
    """A stack, where its frames come from, and which hook they pass on their way."""

    def __init__(self, lab, name, way, hooks):
        """way: "in", "out" or None; hooks: ingress and egress of the host that bulkhead is on."""
        self.lab, self.name, self.way = lab, name, way
        self.stack = lab.host(name)
        self.source = lab.host(f"{name}-sender") if way == "out" else lab.hosts["peer"]
        self.is_behind_tc = way == "in" and hooks[0] in ("tcx", "clsact")
        self.is_in_stack = way == "in" and hooks[0] != "native"
        self.link = "eth0" if way == "out" else f"to-{name}"
        self._wire()
        self.ears = Ears(self.stack)
        self.guard = {"in": self.stack, "out": self.source}.get(way)
        self.watch = None
        self.expected_count = 0  # of frames that the hook has seen
        if self.guard:
            self._protect(hooks)

    def _wire(self):
        with self.source.enter():
            _set(self.source, "net/ipv6/conf/default/disable_ipv6", 1)
        self.source.run("ip", "-batch", self.lab.write("batch",
            f"link add {self.link} mtu {MTU} {QUEUES} type veth peer name eth0 address {mac(HOST_MAC)}"
            f" mtu {MTU} {QUEUES} netns {self.stack.netns}\nlink set {self.link} up\n"))
        self.stack.run("ip", "-batch", self.lab.write("batch",
            "link set eth0 up\n"
            f"address add {HOST[4]}/24 dev eth0\naddress add {HOST[6]}/64 dev eth0 nodad\n"
            f"neigh add 10.0.0.254 lladdr {mac(PEER_MAC)} dev eth0 nud permanent\n"
            f"neigh add 2001:db8::fe lladdr {mac(PEER_MAC)} dev eth0 nud permanent\n"
            "route add default via 10.0.0.254\nroute add ::/0 via 2001:db8::fe\n"
            f"link add vx0 address {mac(HOST_MAC)} type vxlan id 7 dstport 4789 local {HOST[4]}"
            f" remote {PEER[4]}\nlink set vx0 up\n"))
        with self.stack.enter():
            for key, value in WILLING.items():
                for name in ("all", "eth0", "vx0"):
                    _set(self.stack, key.format(name), value)
            _set(self.stack, "net/ipv4/tcp_syncookies", 2)  # a SYN leaves nothing behind
            _set(self.stack, "net/ipv4/icmp_echo_ignore_broadcasts", 0)
        self.stack.run("nft", "-f", self.lab.write("silent.nft", SILENT if self.way else NOT_ITSELF))
        self.sender = packet_socket(self.source, self.link)
        if self.is_behind_tc:
            self._copy()
        else:
            self.past = packet_socket(self.stack, "eth0")

    def _copy(self):
        copies = self.lab.hosts["copies"]
        self.stack.run("ip", "link", "add", "copy0", "mtu", str(MTU), *QUEUES.split(), "type", "veth",
                       "peer", "name", self.name, "mtu", str(MTU), *QUEUES.split(), "netns", copies.netns)
        with self.stack.enter():
            _set(self.stack, "net/ipv6/conf/copy0/disable_ipv6", 1)
        self.stack.run("ip", "link", "set", "copy0", "up")
        copies.run("ip", "link", "set", self.name, "up")
        self.stack.run("nft", "-f", self.lab.write("copy.nft", COPY))
        self.past = packet_socket(copies, self.name)

    def _protect(self, hooks):
        self.lab.interfaces[self.guard.name].append("eth0")
        self.guard.apply(POLICY, host=self.guard.host_yaml(HOST_YAML.format(*hooks)))
        link = self.guard.bulkhead_json("status", status=None)["links"][0]
        got = link["ingress"]["hook"], link["egress"]["hook"]
        assert all(wanted in (hook, "auto") for wanted, hook in zip(hooks, got)), (hooks, got)
        self.watch = self.guard.popen(*self.guard.bulkhead_args("watch", "--json"),
                                      stdout=subprocess.PIPE)
        self._lines = b""
        os.set_blocking(self.watch.stdout.fileno(), False)

    # ---- sending and measuring ----

    def send(self, frame, marker):
        """The frame, and behind it the markers that every measurement ends with."""
        self._out(frame)
        self._out(marked(UDP, marker, OPEN))
        self._out(marked(UDP, marker, SHUT) if self.guard else marked(TCP, marker, MARKER_PORT))

    def _out(self, frame):
        self.expected_count += 1
        try:
            self.sender.send(frame)
        except OSError as error:
            if error.errno != errno.ENOBUFS:  # so a deny at tc outbound is told to the sender
                raise

    def measure(self, marker):
        """What the stack heard, whether the frame came past the hook, and why not."""
        heard = self.ears.listen(marker)
        passed = self._passed(marker)
        if self.guard:
            return heard, passed, self._denied(marker)
        return heard | self._answers(marker), passed, []

    def _passed(self, marker):
        """Whether a frame came before the marker. What the stack unwraps passes every hook of its own again."""
        copies = 0
        while True:
            frame = self._next(self.past)
            ports = source_of_marker(frame)
            if ports is None:
                copies += 1
            elif ports == (marker, OPEN):
                self.expected_count += max(0, copies - 1) * self.is_in_stack
                return copies > 0

    def _answers(self, marker):
        """TCP and ARP that the stack has said, up to the reset that answers the marker."""
        said = set()
        while True:
            frame = self._next(self.sender)
            if frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\2":
                said.add(("arp", 0, None))
            at = {b"\x08\x00": 14 + (frame[14] & 15) * 4, b"\x86\xdd": 54}.get(frame[12:14])
            if not at or frame[20 if at == 54 and frame[14] >> 4 == 6 else 23] != TCP:
                continue
            port, to, flags = *struct.unpack("!HH", frame[at:at + 4]), frame[at + 13]
            if (port, to) == (MARKER_PORT, marker) and frame[30:34] == socket.inet_aton(MARKER):
                return said
            said.add(("socket" if flags & 0x12 == 0x12 else "reset", TCP, port))

    def _next(self, sock):
        while True:
            got = receive(sock, 5)
            if not got:
                raise LabError(f"{self.name}: a marker is lost")
            if got[1][2] != socket.PACKET_OUTGOING:
                return got[0]

    def _denied(self, marker):
        """Deciders of what was denied in this station's direction before the denied marker."""
        deciders = []
        mark = f"{MARKER}:{marker} {HOST[4]}:{SHUT}"
        while True:
            event = self._event()
            if event["direction"] != f"{self.way}bound" or event["verdict"] != "deny":
                continue
            if mark in event["packet"]:
                return deciders
            if MARKER not in event["packet"]:  # those from before that waited for the first event
                deciders.append(event["decider"])

    def _event(self, seconds=5):
        while b"\n" not in self._lines:
            if not select.select([self.watch.stdout], [], [], seconds)[0]:
                raise LabError(f"{self.name}: bulkhead watch does not tell of the denied marker")
            some = os.read(self.watch.stdout.fileno(), 65536)
            if not some:
                raise LabError(f"{self.name}: bulkhead watch has ended")
            self._lines += some
        line, _, self._lines = self._lines.partition(b"\n")
        return json.loads(line)["event"]

    def counted(self):
        """Packets that bulkhead has counted in this station's direction, under whatever rule or reason."""
        lines = self.guard.bulkhead_json("rules")
        return sum(line["packets"] + line["reply_packets"] for line in lines["rules"] + lines["reasons"]
                   if line["direction"] == f"{self.way}bound")

    def wait_for_watch(self, marker):
        """Until events are told: a denied marker is sent again and again."""
        for _ in range(200):
            self._out(marked(UDP, marker, SHUT))
            if self._lines or select.select([self.watch.stdout], [], [], 0.02)[0]:
                return
        raise LabError(f"{self.name}: bulkhead watch tells nothing")


def mac(digits):
    return ":".join(digits[at:at + 2] for at in range(0, 12, 2))


def packet_socket(host, link):
    sock = host.open_socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE
    sock.bind((link, RECEIVE_ALL))
    return sock


def marked(protocol, marker, port):
    """A frame of the marker's, whose source port is its number."""
    ends = (MARKER, marker), (HOST[4], port)
    packet = udp4(*ends, b"") if protocol == UDP else tcp4(*ends, 0x10)
    return bytes.fromhex(HOST_MAC + MARKER_MAC) + b"\x08\x00" + packet


def source_of_marker(frame):
    """(number, port) of a marker; None: it is no marker."""
    if frame[6:12] != bytes.fromhex(MARKER_MAC):
        return None
    return struct.unpack("!HH", frame[34:38])


# station → (way, hooks of the host with bulkhead)
STATIONS = {
    "plain": (None, None),
    "native": ("in", ("native", "auto")),
    "generic": ("in", ("generic", "auto")),
    "tcx-in": ("in", ("tcx", "auto")),
    "clsact-in": ("in", ("clsact", "clsact")),
    "tcx-out": ("out", ("auto", "tcx")),
    "clsact-out": ("out", ("clsact", "clsact")),
}

# SPDX-License-Identifier: GPL-2.0-only
"""
Backends with state side by side: each is a router with a filtered link outside (eth0), an unfiltered
one inside (eth1) from which answers come, and a sink that swallows what has passed. One namespace
sends live frames into all of them: what opens flows and floods comes in outside, answers inside, and
those that pass come back to the sender. So all filters see the same packets, and forward them.

ns per packet are CPU time of the sender and of its CPU's ksoftirqd: the whole way of a packet.
"""

import contextlib
import os

from result import Broken  # first: it says where the next two are
from generator import ACK, DESTINATION, SOURCE, SYN, Generator, frame, tcp4, tcp6
from netlab import BPFFS, TOP, Lab

BUILD = os.environ.get("BULKHEAD_BUILD", os.path.join(TOP, "build"))
MAC = "02:00:00:00:00:01"
GATEWAY_MAC = "02:00:00:00:00:fe"
BLOCK = 8192  # flows that are half-open at a time while they are made
SHOT = 40000

SERVICE = {4: "10.77.1.4", 6: "fd00:4d00::4"}
CLIENT = {4: "198.18.0.0", 6: "2001:db8:77::"}  # the last 16 bits by number
STRANGER = {4: "100.64.0.0", 6: "2001:db8:99::"}

POLICY = """\
bulkhead: 1
group: state
rules:
  - {name: web, priority: 100, direction: inbound, access: allow,
     services: [tcp/80, tcp/443], source: any, destination: any}
"""
# The same: what is forwarded to a service opens a flow, its answers pass, nothing else does.
NFT = """\
table inet bench {
chain forward { type filter hook forward priority filter; policy drop;
ct state established,related accept
iifname eth0 tcp dport { 80, 443 } ct state new accept
}
}
"""

# The frames that the generator holds, for each family in turn.
KINDS = ("syn", "syn-ack", "ack", "answer", "flood")


def _frames(family):
    tcp = {4: tcp4, 6: tcp6}[family]
    to = bytes.fromhex(MAC.replace(":", ""))
    service, client = (SERVICE[family], 443), (CLIENT[family], 1)
    flood = frame(to, tcp((STRANGER[family], 1), (SERVICE[family], 80), SYN, 100), SOURCE)
    return [frame(to, tcp(client, service, SYN, 100), SOURCE),
            frame(to, tcp(service, client, SYN | ACK, 200, 101), DESTINATION),
            frame(to, tcp(client, service, ACK, 101, 201), SOURCE),
            frame(to, tcp(service, client, ACK, 201, 101), DESTINATION), flood]


def _counted(host):
    """What the stack of a host has counted of IPv4 and of IPv6, by name."""
    with host.enter():
        with open("/proc/thread-self/net/snmp", encoding="ascii") as file:
            names, values = (line.split() for line in file if line.startswith("Ip: "))
        with open("/proc/thread-self/net/snmp6", encoding="ascii") as file:
            six = dict(line.split() for line in file)
    return ({name: int(value) for name, value in zip(names[1:], values[1:])},
            {name: int(value) for name, value in six.items()})


def received(host):
    """Packets, without what a router tells its neighbours of multicast groups when it likes."""
    four, six = _counted(host)
    return four["InReceives"] + six["Ip6InReceives"] - six["Ip6InMcastPkts"]


def forwarded(host):
    """Packets that were."""
    four, six = _counted(host)
    return four["ForwDatagrams"] + six["Ip6OutForwDatagrams"]


class Router:
    """One backend between its two links."""

    def __init__(self, routers, number):
        self.routers = routers
        self.outside, self.inside = f"out{number}", f"in{number}"
        self.host = routers.lab.host(f"r{number}")
        routers.lab.interfaces[self.host.name] = ["eth0"]
        for host in (self.host, routers.sender):
            with host.enter():  # nobody speaks unasked
                host.sysctl("net/ipv6/conf/default/addr_gen_mode", 1)
        for link, name in ((self.outside, "eth0"), (self.inside, "eth1")):
            routers.sender.run("ip", "link", "add", link, "type", "veth", "peer", "name", name,
                               "netns", self.host.netns)
            # Answers are addressed to it, so that its stack counts them.
            routers.sender.run("ip", "link", "set", link, "address", GATEWAY_MAC, "up")
        self.host.run("sh", "-ec", f"""
            for link in eth0 eth1; do
                ip link set $link address {MAC} up
                ethtool -K $link gro on
            done
            ip link add sink type bridge  # without ports, so that nothing comes out of it
            ip link set sink up
            ip address add 192.0.2.1/24 dev eth0
            ip address add 2001:db8:2::1/64 dev eth0 nodad
            ip neighbour add 192.0.2.254 lladdr {GATEWAY_MAC} dev eth0
            ip neighbour add 2001:db8:2::fe lladdr {GATEWAY_MAC} dev eth0
            ip route add default via 192.0.2.254
            ip -6 route add default via 2001:db8:2::fe
            ip route add 10.77.0.0/16 dev sink
            ip -6 route add fd00:4d00::/64 dev sink
            for address in {' '.join(SERVICE.values())}; do
                ip neighbour add $address lladdr {GATEWAY_MAC} dev sink
            done
            """)
        with self.host.enter():
            self.host.sysctl("net/ipv4/ip_forward", 1)
            self.host.sysctl("net/ipv6/conf/all/forwarding", 1)

    def _send(self, count, link, kind, family, *more):
        generator = self.routers.generator
        sent = generator.send(count, link, self.routers.place[kind, family], 1, *more)
        if sent != count:
            raise Broken(f"{self.host.name}: {sent} of {count} frames were sent")

    def establish(self, n, family=4):
        """Flows 0 to n - 1: SYN, SYN-ACK, ACK and an answer of each, in blocks."""
        for first in range(0, n, BLOCK):
            size = min(BLOCK, n - first)
            for kind, link in (("syn", self.outside), ("syn-ack", self.inside),
                               ("ack", self.outside), ("answer", self.inside)):
                self._send(size, link, kind, family, 1, 0, first, size)

    def answered(self, n, family=4):
        """For how many of the first n flows an answer passes."""
        before = received(self.routers.sender)
        self._send(n, self.inside, "answer", family, 1, 0, 0, n)
        return received(self.routers.sender) - before

    def shoot(self, kind, count, family=4, *more):  # pylint: disable=keyword-arg-before-vararg
        """Frames from outside; ns a packet, and how many passed. more: as the generator's."""
        before, cpu = forwarded(self.host), self.routers.generator.cpu
        self._send(count, self.outside, kind, family, *more)
        ns = (self.routers.generator.cpu - cpu) / count
        return ns, forwarded(self.host) - before

    def flood(self, count, n_flows):
        """One frame in ten is of a flow, in turn, the others are SYNs of strangers. See shoot."""
        return self.shoot("ack", count, 4, 10, self.routers.place["flood", 4], 0, n_flows)


class Routers:
    """The sender and its routers. Use as a context, inside that of a Lab of its own."""

    def __init__(self, lab):
        self.lab = lab
        self.sender = lab.host("sender")
        self.routers = {}
        self.generator = None
        self.place = {}

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def add(self, backend, load=None):
        """A router with one of the backends below, or with one that load makes."""
        router = Router(self, len(self.routers))
        (load or BACKENDS[backend])(router)
        self.routers[backend] = router
        return router

    def start(self):
        """When all are there."""
        frames = []
        for family in (4, 6):
            for kind, bytes_ in zip(KINDS, _frames(family)):
                self.place[kind, family] = len(frames)
                frames.append(bytes_)
        self.generator = Generator(self.sender, "out0", frames, max(os.sched_getaffinity(0)))


def bulkhead(extra="", policy=POLICY):
    """A backend: bulkhead on XDP, with more of host.yaml."""
    def load(router):
        router.host.apply(policy, host=router.host.host_yaml("hooks: {ingress: native}\n" + extra))
    return load


def nft(accounting=0):
    """A backend: nftables with connection tracking; accounting: nf_conntrack_acct."""
    def load(router):
        with router.host.enter():
            router.host.sysctl("net/netfilter/nf_conntrack_acct", accounting)
        router.host.run("nft", "-f", router.host.lab.write("state.nft", NFT))
    return load


@contextlib.contextmanager
def _pinned(path):
    """The LRU reference, loaded; where it is attached it stays."""
    try:
        done = os.path.join(BUILD, "tests", "bench", "lru.bpf.o")
        yield done
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _lru(router):
    path = f"{BPFFS}/{router.host.netns}-lru"
    with _pinned(path) as program:
        router.host.run("bpftool", "prog", "load", program, path, "type", "xdp")
        for link in ("eth0", "eth1"):
            router.host.run("ip", "link", "set", "dev", link, "xdpdrv", "pinned", path)


BACKENDS = {
    "none": lambda router: None,
    "bulkhead-xdp": bulkhead(),
    "lru-hash": _lru,
    "nft": nft(),
}

__all__ = ["BACKENDS", "Lab", "Routers", "SHOT", "bulkhead", "nft"]

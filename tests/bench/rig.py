# SPDX-License-Identifier: GPL-2.0-only
"""
Backends side by side: one namespace that sends live frames, one target namespace for each backend,
with the same addresses. What a target lets through dies in its routing, where it is counted.

ns per packet are CPU time of the sender and of its CPU's ksoftirqd, so the whole way of a packet:
made, redirected into a veth, filtered, dropped here or there.
"""

import json
import os
import sys

from result import Broken  # first: it says where the next two are
from generator import Generator
from netlab import TOP, Lab, LabError, run, wait_until
from shapes import SELF

BUILD = os.environ.get("BULKHEAD_BUILD", os.path.join(TOP, "build"))
MAC = "02:00:00:00:00:01"  # of frame_start() in tests/lib/frames.c
SHOT_NS = 30e6  # CPU time of one measurement


class Material:
    """One policy in all languages, and the frames that it denies and allows."""

    def __init__(self, lab, shape, n_rules, n_prefixes, family=4, n_packets=8192):
        self.name = f"{shape}-{n_rules}-{n_prefixes}-{family}"
        self.family = family
        self.prefix = os.path.join(lab.folder, self.name)
        self.folder = self.prefix
        # By another process: the memory of this one would be counted as that of whom it starts.
        run(sys.executable, "-B", os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                               "shapes.py"), lab.folder, self.name, shape,
            str(n_rules), str(n_prefixes), str(family))
        done = run(os.path.join(BUILD, "tests", "bench", "bench-make"), lab.folder, self.name,
                   str(family), str(n_packets), check=False)
        if done.returncode:
            raise Broken(f"{self.name}: {done.stderr}")
        counts = json.loads(done.stdout)
        # first frame and number of each trace
        self.traces = {"drop": (0, counts["denied"]), "pass": (counts["denied"], counts["allowed"])}

    def path(self, suffix):
        """A file for a peer; None where its language does not suffice."""
        path = f"{self.prefix}.{suffix}"
        return path if os.path.getsize(path) else None


class Target:
    """A namespace with one backend, at the end of a link of its own."""

    def __init__(self, rig, backend):
        self.rig, self.backend = rig, backend
        rig.n_links += 1
        self.link = f"t{rig.n_links}"
        self.host = rig.lab.host(self.link)
        rig.lab.interfaces[self.link] = ["eth0"]
        for host in (self.host, rig.sender):
            with host.enter():  # nobody speaks unasked
                host.sysctl("net/ipv6/conf/default/addr_gen_mode", 1)
        rig.sender.run("ip", "link", "add", self.link, "type", "veth", "peer",
                       "name", "eth0", "netns", self.host.netns)
        self.host.run("sh", "-ec", f"""
            ip link set eth0 address {MAC}
            ip link set eth0 up
            ethtool -K eth0 gro on
            for address in {' '.join(SELF[4])}; do
                ip address add $address/32 dev eth0
                # It stays the host's own, and no packet to it ends in a socket.
                ip route delete local $address dev eth0 table local
            done
            for address in {' '.join(SELF[6])}; do ip address add $address/128 dev eth0 nodad; done
            """)
        rig.sender.run("ip", "link", "set", self.link, "up")
        for address in SELF[6]:  # whose routes come when the link has its carrier
            for route in (["local", address, "table", "local"], [address]):
                wait_until(lambda route=route: self.host.run(
                    "ip", "-6", "route", "delete", *route, "dev", "eth0", check=False
                ).returncode == 0, what=f"route to {address}")
        self.ns = {}  # of a packet of each trace, as last measured
        self.undo = None  # a command for what outlives the namespace

    def passed(self):
        """Packets that have come through and died in the routing."""
        with self.host.enter():
            with open("/proc/thread-self/net/snmp", encoding="ascii") as file:
                lines = [line.split() for line in file if line.startswith("Ip: ")]
            with open("/proc/thread-self/net/snmp6", encoding="ascii") as file:
                six = dict(line.split() for line in file)
        return int(lines[1][lines[0].index("InAddrErrors")]) + int(six["Ip6InNoRoutes"])

    def shoot(self, trace, count):
        """Sends count frames of a trace; ns a packet, and how many passed."""
        generator = self.rig.generator
        before, cpu = self.passed(), generator.cpu
        sent = generator.send(count, self.link, *self.rig.material.traces[trace])
        if sent != count:
            raise Broken(f"{self.backend}: {sent} of {count} frames were sent")
        self.ns[trace] = (generator.cpu - cpu) / count
        return self.ns[trace], self.passed() - before

    def measure(self, trace, most):
        """One shot of about the usual time; whoever lets through another share is broken."""
        count = max(256, min(most, int(SHOT_NS / self.ns.get(trace, 1000)))) // 64 * 64
        ns, passed = self.shoot(trace, count)
        share = {"drop": 0, "pass": count}[trace] if self.backend != "xdp-drop" else 0
        if self.backend == "none":
            share = count
        if passed != share:
            raise Broken(f"{self.rig.material.name}, {self.backend}, {trace} trace: {passed} of"
                         f" {count} packets passed, expected {share}")
        return ns


class Rig:
    """The sender and its targets for one policy. Use as a context, inside that of a Lab of its own."""

    def __init__(self, lab, material=None):
        self.lab, self.material = lab, material
        self.cpu = max(os.sched_getaffinity(0))
        self.sender = lab.host("sender")
        self.targets = []
        self.n_links = 0
        self.generator = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for target in self.targets:
            if target.undo:
                target.host.run(*target.undo, check=False)

    def add(self, backend):
        """A target with one of the backends below. LabError: it cannot be had here."""
        target = Target(self, backend)
        self.targets.append(target)
        try:
            BACKENDS[backend](target, self.material)
        except LabError:
            self.targets.remove(target)
            raise
        return target

    def start(self):
        self.generator = Generator(self.sender, self.targets[0].link, f"{self.material.prefix}.frames",
                                   self.cpu)


def _bulkhead(hook):
    def load(target, material):
        host = target.host
        yaml = host.host_yaml(f"hooks: {{ingress: {hook}}}\n")
        host.bulkhead("apply", "--host", host.lab.write(f"{host.name}.host.yaml", yaml),
                      material.folder)
        have = host.bulkhead_json("status", status=None)
        if f'"{hook}"' not in json.dumps(have) and hook != "native":
            raise Broken(f"bulkhead is not at {hook}")
    return load


def attach_floor(host, program):
    """A program of floor.bpf.c at the host's link, native."""
    host.run("ip", "link", "set", "dev", "eth0", "xdpdrv", "object",
             os.path.join(BUILD, "tests", "bench", "floor.bpf.o"), "program", program)


def _floor(target, _):
    attach_floor(target.host, "floor_drop")


def _nft(suffix):
    def load(target, material):
        target.host.run("nft", "-f", material.path(suffix))
    return load


def _iptables(kind):
    def load(target, material):
        if material.path("ipset"):
            with open(material.path("ipset"), encoding="ascii") as sets:
                target.host.run("ipset", "restore", stdin=sets)
        with open(material.path("iptables"), encoding="ascii") as rules:
            target.host.run(f"ip{'6' * (material.family == 6)}tables-{kind}-restore", stdin=rules)
    return load


def _xdp_filter(target, material):
    target.host.run("xdp-filter", "load", "--policy", "allow", "--features", "ipv4", "eth0")
    target.undo = ("xdp-filter", "unload", "eth0")
    with open(material.path("hosts"), encoding="ascii") as hosts:
        for host in hosts:
            target.host.run("xdp-filter", "ip", "--mode", "src", host.strip())


BACKENDS = {
    "none": lambda target, material: None,
    "xdp-drop": _floor,
    "bulkhead-xdp": _bulkhead("native"),
    "bulkhead-tcx": _bulkhead("tcx"),
    "bulkhead-clsact": _bulkhead("clsact"),
    "nft": _nft("nft"),
    "nft-map": _nft("map"),
    "iptables-legacy": _iptables("legacy"),
    "iptables-nft": _iptables("nft"),
    "xdp-filter": _xdp_filter,
}
NEEDS = {"nft-map": "map", "xdp-filter": "hosts"}

__all__ = ["BACKENDS", "NEEDS", "Lab", "LabError", "Material", "Rig", "attach_floor"]

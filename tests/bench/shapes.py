# SPDX-License-Identifier: GPL-2.0-only
"""
Policies by seed, as files: like that of a cloud host (nsg), like a router's (acl, fw, ipc, with the
proportions of ClassBench's seeds), one list of prefixes (list) or of hosts (hosts), and rules that do
not overlap (disjoint). The first match decides in all of them. The same seed gives the same files.

usage: shapes.py FOLDER NAME SHAPE RULES PREFIXES 4|6      writes one; see Shape.write
"""

import ipaddress
import os
import random
import sys

SELF = {4: ["10.77.1.4", "10.77.1.5"], 6: ["fd00:4d00::4", "fd00:4d00::5"]}
PER_GROUP = 3900  # rules that one group has priorities for
PER_FILE = 100000  # prefixes that stay below 10 MB
PORTS = [22, 53, 80, 123, 443, 445, 1433, 3306, 3389, 5432, 6379, 8080, 8443, 9090, 9200, 10250]

# Lengths of prefixes in service tags with their weights, and what a router's lengths become in IPv6.
TAG_LENGTHS = {16: 10, 18: 10, 19: 20, 20: 35, 21: 35, 22: 90, 23: 75, 24: 418, 26: 40, 28: 60,
               29: 40, 30: 30, 31: 17, 32: 120}
AS_IPV6 = {0: 0, 8: 29, 16: 32, 20: 36, 24: 48, 26: 52, 28: 56, 30: 64, 32: 128}


def prefix(number, length, family):
    kind = {4: ipaddress.IPv4Network, 6: ipaddress.IPv6Network}[family]
    bits = {4: 32, 6: 128}[family]
    return str(kind((number >> (bits - length) << (bits - length), length)))


class Shape:
    """A policy in the making."""

    def __init__(self, name, n_rules, n_prefixes, family, seed=1):
        self.name, self.n_rules, self.n_prefixes, self.family = name, n_rules, n_prefixes, family
        self.random = random.Random(f"{name} {n_rules} {n_prefixes} {family} {seed}")
        self.sets = {}
        self.rules = []
        getattr(self, f"_make_{name}")()

    # ---- parts ----

    def _pick(self, weights):
        return self.random.choices(list(weights), list(weights.values()))[0]

    def _add(self, access, protocol, source, destination, ports="", source_ports=""):
        """Ports empty: any."""
        self.rules.append((access, protocol, source, destination, ports, source_ports))

    def _tag(self, name, count):
        """Prefixes that crowd in few blocks."""
        blocks = [self.random.getrandbits(32) for _ in range(count // 20 + 4)]
        items = []
        for _ in range(count):
            block = self.random.choice(blocks)
            if self.family == 4:
                number = (block % 223 + 1) << 24 | (block >> 8 & 0xff) << 16
                items.append(prefix(number | self.random.getrandbits(16),
                                    self._pick(TAG_LENGTHS), 4))
            else:
                length = 64 if self.random.random() < 0.2 else self.random.randint(40, 63)
                number = (0x26000000 | block >> 12) << 96 | self.random.getrandbits(64) << 32
                items.append(prefix(number, length, 6))
        self.sets[name] = items
        return name

    def _private(self, shortest, longest):
        length = self.random.randint(shortest, longest)
        if self.family == 4:
            return prefix(10 << 24 | self.random.getrandbits(24), length, 4)
        return prefix(0xfd << 120 | self.random.getrandbits(56) << 64, length * 2, 6)

    # ---- shapes ----

    def _make_nsg(self):
        share = sum(3.0 ** -i for i in range(6)) * 2
        tags = [self._tag(f"tag-{i}", max(3, int(self.n_prefixes / share / 3 ** (i % 6))))
                for i in range(12)]
        for number in range(self.n_rules):
            dice = self.random.random()
            source = (self.random.choice(tags) if dice < 0.2 else
                      [self._private(16, 28) for _ in range(self.random.randint(1, 3))]
                      if dice < 0.6 else
                      [self._private(32, 32) for _ in range(self.random.randint(1, 8))]
                      if dice < 0.92 else "any")
            subnet = {4: "10.77.0.0/16", 6: "fd00:4d00::/64"}[self.family]
            destination = self._pick({"any": 70, "self": 20, subnet: 10})
            ports = self._nsg_ports()
            protocol = self._pick({"tcp": 70, "udp": 22, "any": 8})
            if source == "any" and not ports:  # would hide every rule behind it
                protocol, ports = "tcp", str(3000 + number)
            self._add("deny" if self.random.random() < 0.3 else "allow", protocol, source,
                      destination, ports)

    def _nsg_ports(self):
        dice = self.random.random()
        if dice < 0.55:
            return str(self._port())
        if dice < 0.72:
            return ", ".join(str(port) for port in sorted(
                {self._port() for _ in range(self.random.randint(2, 5))}))
        if dice < 0.9:
            first = 1000 * self.random.randint(1, 40)
            return f"{first}-{first + self.random.choice((99, 99, 4999))}"
        return ""

    def _port(self):
        return self.random.choice(PORTS) if self.random.random() < 0.7 else self.random.randint(
            1024, 31023)

    def _port_range(self):
        first = self.random.randint(1, 60000)
        return f"{first}-{first + self.random.randint(1, 3000)}"

    def _router(self, lengths, source_ports, ports):
        """
        lengths: of sources and destinations, with their weights. The prefixes nest. Ports are of a
        few services however many rules there are: a seed of ClassBench lists some 40 single ports
        and 5 to 20 ranges, and every rule takes its own from there.
        """
        exact = PORTS + [self.random.randint(1024, 31023) for _ in range(24)]
        ranges = [[self._port_range() for _ in range(n)] for n in (6, 16)]
        sites = [self.random.getrandbits(16) for _ in range(self.n_rules // 40 + 4)]

        def side(weights):
            length = self._pick(weights)
            if not length:
                return "any"
            site = self.random.choice(sites)
            low = self.random.getrandbits(6) << 10 | self.random.getrandbits(6) << 4
            low |= self.random.getrandbits(4)
            if self.family == 4:
                return prefix(((site >> 8) % 223 + 1) << 24 | (site & 0xff) << 16 | low, length, 4)
            return prefix(0x2001 << 112 | site << 96 | low << 64 | low, AS_IPV6[length], 6)

        def port(weights, side):
            return {"any": "", "exact": str(self.random.choice(exact)), "high": "1024-65535",
                    "range": self.random.choice(ranges[side])}[self._pick(weights)]

        for number in range(self.n_rules):
            source, destination = side(lengths[0]), side(lengths[1])
            protocol = self._pick({"tcp": 65, "udp": 28, "any": 7})
            to, of = ("", "") if protocol == "any" else (port(ports, 1), port(source_ports, 0))
            if source == destination == "any" and protocol == "any":
                protocol, to = "tcp", str(1 + number % 65000)
            self._add("deny" if self.random.random() < 0.4 else "allow", protocol, source,
                      destination, to, of)

    def _make_acl(self):
        self._router(({0: 10, 16: 15, 24: 35, 28: 15, 32: 25},
                      {0: 2, 16: 8, 24: 20, 28: 20, 32: 50}),
                     {"any": 1}, {"exact": 75, "range": 15, "any": 10})

    def _make_fw(self):
        self._router(({0: 45, 8: 5, 16: 10, 24: 20, 32: 20}, {0: 20, 16: 20, 24: 30, 32: 30}),
                     {"any": 70, "high": 30}, {"exact": 50, "high": 25, "any": 25})

    def _make_ipc(self):
        self._router(({0: 15, 16: 10, 20: 10, 24: 25, 28: 10, 32: 30},
                      {0: 15, 16: 10, 20: 10, 24: 25, 28: 10, 32: 30}),
                     {"any": 60, "exact": 20, "range": 20},
                     {"any": 30, "exact": 50, "range": 20})

    def _make_list(self):
        self._add("deny", "any", self._tag("listed", self.n_prefixes), "any")
        self._add("allow", "any", "any", "any")

    def _make_hosts(self):
        self.sets["listed"] = sorted({self._private(32, 32) for _ in range(self.n_prefixes)})
        self._add("deny", "any", "listed", "any")
        self._add("allow", "any", "any", "any")

    def _make_disjoint(self):
        for number in range(self.n_rules):
            self._add("allow" if number % 2 else "deny", "tcp",
                      prefix(20 << 24 | number << 8, 24, 4), "any",
                      str(1000 + number * 7919 % 200))

    # ---- as files ----

    def write(self, folder, name):
        """The policy as files in folder/name, and its own addresses in folder/name.table."""
        path = os.path.join(folder, name)
        os.makedirs(path, mode=0o700)
        with open(f"{path}.table", "w", encoding="ascii") as out:
            out.write(f"self {' '.join(SELF[4] + SELF[6])}\n"
                      "in tcp 127.0.0.1:1 10.77.1.4:1 = deny martian-source\n")
        for set_name, items in self.sets.items():
            self._write_set(path, set_name, items)
        before = self.rules if len(self.rules) > PER_GROUP else []
        for number, first in enumerate(range(0, len(before), PER_GROUP)):
            rules = before[first:first + PER_GROUP]
            self._write_group(path, f"admin-{number}", f"tier: admin\norder: {number + 1}\n", rules,
                              "always-allow")
        self._write_group(path, "nic", "", self.rules if not before else [], "allow")

    @staticmethod
    def _write_set(path, name, items):
        parts = [items[i:i + PER_FILE] for i in range(0, len(items), PER_FILE)]
        names = [name if len(parts) == 1 else f"{name}-part-{i}" for i in range(len(parts))]
        for part_name, part in zip(names, parts):
            with open(os.path.join(path, f"set-{part_name}.yaml"), "w", encoding="ascii") as out:
                out.write(f"bulkhead: 1\nsets:\n  {part_name}: [\"")
                out.write("\", \"".join(part))
                out.write("\"]\n")
        if len(parts) > 1:
            with open(os.path.join(path, f"set-{name}.yaml"), "w", encoding="ascii") as out:
                out.write(f"bulkhead: 1\nsets:\n  {name}: [{', '.join(names)}]\n")

    def _write_group(self, path, name, head, rules, allow):
        def peers(side):
            if isinstance(side, list):
                return "[" + ", ".join(f'"{item}"' for item in side) + "]"
            return f'"{side}"' if "/" in side else side

        with open(os.path.join(path, f"{name}.yaml"), "w", encoding="ascii") as out:
            out.write(f"bulkhead: 1\ngroup: {name}\n{head}")
            if rules:
                out.write("rules:\n")
            for number, (access, protocol, source, destination, to, of) in enumerate(rules):
                ports = f", destination_ports: [{to}]" if to else ""
                ports += f", source_ports: [{of}]" if of else ""
                out.write(f"  - {{name: rule-{number}, priority: {100 + number}, direction: inbound,"
                          f" access: {allow if access == 'allow' else access},"
                          f" protocol: {protocol}, source: {peers(source)},"
                          f" destination: {peers(destination)}{ports}}}\n")


if __name__ == "__main__":
    os.umask(0o077)
    Shape(sys.argv[3], *map(int, sys.argv[4:7])).write(*sys.argv[1:3])

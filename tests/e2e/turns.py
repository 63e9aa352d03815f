# SPDX-License-Identifier: GPL-2.0-only
"""
A host under a prober, whose policies take turns: which of them decides, whether all of one does,
and whether a run that was let be has left everything as it should be.
"""

import os
import random

import calls
import kernel
from netlab import drain, receive
from prober import Prober
from test_traffic import HOST, PEER, expect, pair

# Allowed and denied by all policies below. By turns the even ones allow 2000 and the odd ones 2001;
# what is sent behind them to the third port, which is always allowed, arrives behind them.
PORTS = {"in": (53, 123), "out": (5353, 124)}
TURNS = (2000, 2001)
FENCE = 54
ASKED = 5354  # outbound, allowed, and not the prober's

POLICY = """\
bulkhead: 1
group: base
rules:
  - {{name: always, priority: 100, direction: inbound, access: allow,
     services: [udp/53, udp/54], source: any, destination: self}}
  - {{name: by-turns, priority: 110, direction: inbound, access: allow,
     services: [udp/{turn}], source: any, destination: self}}
  - {{name: out, priority: 100, direction: outbound, access: allow,
     services: [udp/5353, udp/5354], source: self, destination: any}}
  - {{name: number, priority: 200, direction: inbound, access: deny,
     services: [tcp/{number}], source: any, destination: self}}
"""


def policy(number):
    return POLICY.format(turn=TURNS[number % 2], number=number + 1)


class Bench:
    """A host under a prober, with policies that take turns."""

    def __init__(self, lab, seed):
        self.peer, self.host = pair(lab)
        self.sender = self.peer.udp()
        self.receivers = [self.host.udp(HOST[4], port) for port in (*TURNS, FENCE)]
        self.number = 0
        self.host_extra = ""
        self.tracer = calls.Tracer(self.host)
        self.ifindex = kernel.ifindex(self.host, "eth0")
        self.random = random.Random(seed)
        self.prober = Prober(self.peer, self.host, {"peer": PEER[4], "host": HOST[4]}, PORTS)

    def write(self):
        """The files of the policy of the present number; their paths as arguments of apply."""
        lab = self.host.lab
        return ("--host", lab.write("host.host.yaml", self.host.host_yaml(self.host_extra)),
                lab.write("host.yaml", policy(self.number)))

    def apply(self):
        return self.host.bulkhead("apply", *self.write())

    def next(self):
        self.number += 1

    def status(self):
        return self.host.bulkhead_json("status", status=None)

    def arriving(self):
        """Which of the ports that take turns are open, as [bool, bool]."""
        for port in (*TURNS, FENCE):
            self.sender.sendto(b"turn", (HOST[4], port))
        assert receive(self.receivers[2], 2), "what is always allowed does not arrive"
        return [drain(receiver) > 0 for receiver in self.receivers[:2]]

    def in_force(self):
        """Which of the policies that take turns decides packets now."""
        seen = self.arriving()
        assert seen.count(True) == 1, f"halves of two policies: {seen}"
        return seen.index(True)

    def programs(self):
        """{"in": ids, "out": ids}: what runs at the hooks of the link, as the kernel tells."""
        return {way: kernel.programs(self.host, self.ifindex, way) for way in ("in", "out")}

    def pins(self):
        return kernel.tree(self.host.pins)


def untold(host, generation, words):
    """
    A policy is in force of which the state tells nothing: status says which generation, where its programs are and
    why there is no more; the others have nothing to tell. The words.
    """
    done = host.bulkhead("status", status=9)
    expect(done.stderr, "", "words beside the answer")
    expect(done.stdout.splitlines()[0], "enforcing what cannot be told: the state is missing, cut or "
           f"another's (generation {generation})", "status")
    told = host.bulkhead_json("status", status=9)
    expect((told["enforcing"], told["enforced_by"], told["generation"]),
           (False, "these pins", generation), "head")
    expect({link["name"]: set(link) - {"name", "gone"} for link in told["links"]},
           {"eth0": {"ingress", "egress"}}, "links")
    assert told["memory"] > 0 and told["not_covered"] and "error" not in told, told
    expect((told["files"], told["tables"], len(told["problems"])), ([], [], 1), "the rest")
    said = told["problems"][0]["words"]
    assert words in said and said in done.stdout, (said, done.stdout)
    done = host.bulkhead("rules", status=1)
    expect((done.stdout, done.stderr), ("", said + "\n"), "rules")
    return said


def settled(bench, pins, where):
    """After a run that was let be: all is as after a first apply, and nothing is left over."""
    status = bench.status()
    expect(status["enforcing"], True, f"{where}: enforcing")
    expect(status["unused_pages"], 0, f"{where}: unused pages")
    expect({way: len(ids) for way, ids in bench.programs().items()}, {"in": 1, "out": 1},
           f"{where}: programs at the hooks")
    expect(bench.pins(), pins, f"{where}: pins")
    left = [name for _, _, names in os.walk(bench.host.state) for name in names
            if name.startswith(".new-")]
    expect(left, [], f"{where}: half-written files")
    expect(bench.in_force(), bench.number % 2, f"{where}: policy in force")
    return status


def may_enforce(bench, where):
    """
    The whole policy holds at both hooks of the link, which True says, or at both everything passes,
    whatever programs are there.
    """
    count = {way: len(ids) for way, ids in bench.programs().items()}
    in_force = bench.status()["enforcing"]
    assert max(count.values()) <= 1, f"{where}: programs at the hooks: {count}"
    assert all(count.values()) or not in_force, f"{where}: programs at the hooks: {count}"
    bench.prober.since()
    open_turns = bench.arriving()
    seen = bench.prober.wait(20)
    for way in count:
        arrived = seen[f"denied-{way}"][1]
        assert bool(arrived) != in_force, \
            f"{where}: enforcing {in_force}, {arrived} denied datagrams for {way} arrived"
        assert not seen[f"allowed-{way}"][2], f"{where}: allowed ones for {way} are lost"
    expect(open_turns, [not in_force or bench.number % 2 == turn for turn in (0, 1)],
           f"{where}: policy")
    done = bench.host.bulkhead("status", status=None)
    assert done.returncode == 9 or in_force, f"{where}: status {done.returncode}"
    if max(count.values()) and not in_force:
        assert "everything passes" in done.stdout, f"{where}: status says {done.stdout}"
    return in_force


def nothing_left(bench, where):
    """After a detach."""
    expect(bench.programs(), {"in": [], "out": []}, f"{where}: programs left")
    expect(kernel.tree(bench.host.pins), [], f"{where}: pins left")
    assert not os.path.exists(bench.host.pins), f"{where}: the folder of pins is left"

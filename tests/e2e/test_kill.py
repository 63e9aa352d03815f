#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
bulkhead killed at each of its system calls: enforcement stays, the old policy or the new one
whole, at every moment; and the next run puts everything right.
"""

import os
import random
import time

import calls
import kernel
from netlab import Tap, drain, receive
from prober import Prober
from test_traffic import HOST, PEER, expect, pair

tap = Tap()

# Allowed and denied by all policies below. By turns the even ones allow 2000 and the odd ones 2001;
# what is sent behind them to the third port, which is always allowed, arrives behind them.
PORTS = {"in": (53, 123), "out": (5353, 124)}
TURNS = (2000, 2001)
FENCE = 54

POLICY = """\
bulkhead: 1
group: base
rules:
  - {{name: always, priority: 100, direction: inbound, access: allow,
     services: [udp/53, udp/54], source: any, destination: self}}
  - {{name: by-turns, priority: 110, direction: inbound, access: allow,
     services: [udp/{turn}], source: any, destination: self}}
  - {{name: out, priority: 100, direction: outbound, access: allow,
     services: [udp/5353], source: self, destination: any}}
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


def report(name, seed, n, total, what, start):
    print(f"# {name}: killed at {n} of {total} calls, seed {seed}; {what};"
          f" {time.monotonic() - start:.0f} s", flush=True)


def drawn(bench, traces):
    """
    Calls to die at, each for the turn in whose trace it stands; None: let this turn pass. Turns
    that differ in nothing but how much they read take the moments by turns, too.
    """
    left = {turn: list(calls.draw(calls.moments(trace), bench.random)) for turn, trace in traces.items()}
    changes = [[call.head() for call in trace if call.changes] for trace in traces.values()]
    if changes[0] == changes[1] and not calls.LONG:
        left = {turn: left[turn][turn::2] for turn in left}
    while left[0] or left[1]:
        turn = (bench.number + 1) % 2
        yield left[turn].pop(0) if left[turn] else None


def kill_changes(lab, name, change):
    """Applies of a changed policy, each killed at another call, then done again."""
    seed, start = random.randrange(1 << 32), time.monotonic()
    bench = Bench(lab, seed)
    bench.apply()
    pins, unused, n = bench.pins(), 0, 0
    traces, memory = {}, {}
    for _ in range(3):  # the first one is not as those that come after it
        change(bench)
        traces[bench.number % 2] = bench.tracer.list("apply", *bench.write())
        memory[bench.number % 2] = settled(bench, pins, "traced")["memory"]
    bench.prober.since()  # before the first apply nothing was denied
    for call in drawn(bench, traces):
        change(bench)
        if not call:
            bench.apply()
            continue
        if not bench.tracer.kill(call, "apply", *bench.write()):
            continue
        n += 1
        where = f"{name} (seed {seed}) killed at {call}"
        status = bench.status()
        expect(status["enforcing"], True, f"{where}: enforcing")
        unused += status["unused_pages"] > 0
        bench.in_force()
        bench.prober.check(where)
        expect({way: len(ids) for way, ids in bench.programs().items()}, {"in": 1, "out": 1},
               f"{where}: programs at the hooks")
        bench.apply()
        expect(settled(bench, pins, where)["memory"], memory[bench.number % 2],
               f"{where}: memory")
        bench.prober.check(f"{where}, then applied")
    bench.prober.end()
    report(name, seed, n, sum(map(len, traces.values())),
           f"{unused} left an unused half", start)
    assert n > 20, f"only {n} kills"
    assert unused, "no kill left an unused half: did any come before the flip?"


@tap
def an_apply_of_a_changed_policy_may_die_anywhere(lab):
    kill_changes(lab, "change", Bench.next)


@tap
def an_apply_with_another_table_size_may_die_anywhere(lab):
    def change(bench):
        bench.next()
        size = 8192 if bench.number % 2 else 16384
        bench.host_extra = f"tables: {{flows: {size}, half_open: 4096, fragments: 1024}}\n"

    kill_changes(lab, "table size", change)


def may_enforce(bench, where):
    """
    Each hook of the link has no program, and then lets everything pass, or one, and then the whole
    policy holds there. True: both have one.
    """
    count = {way: len(ids) for way, ids in bench.programs().items()}
    assert max(count.values()) <= 1, f"{where}: programs at the hooks: {count}"
    bench.prober.since()
    open_turns = bench.arriving()
    seen = bench.prober.wait(20)
    for way, programs in count.items():
        arrived = seen[f"denied-{way}"][1]
        assert bool(arrived) != bool(programs), \
            f"{where}: {programs} programs for {way}, {arrived} denied datagrams arrived"
        assert not seen[f"allowed-{way}"][2], f"{where}: allowed ones for {way} are lost"
    if count["in"]:
        expect(open_turns, [bench.number % 2 == turn for turn in (0, 1)], f"{where}: policy")
    status = bench.host.bulkhead("status", status=None).returncode
    assert status in (0, 9), f"{where}: status {status}"
    return all(count.values())


def nothing_left(bench, where):
    """After a detach."""
    expect(bench.programs(), {"in": [], "out": []}, f"{where}: programs left")
    expect(kernel.tree(bench.host.pins), [], f"{where}: pins left")
    assert not os.path.exists(bench.host.pins), f"{where}: the folder of pins is left"


def kill_first(lab, name, part, hooks=""):
    """First applies, each killed in another moment of that part of them, then done again."""
    seed, start = random.randrange(1 << 32), time.monotonic()
    bench = Bench(lab, seed)
    bench.host_extra = hooks
    trace = bench.tracer.list("apply", *bench.write())
    pins, whole, n = bench.pins(), 0, 0
    bench.next()
    bench.apply()
    # With the counters of the generation before, which are kept until the next one.
    memory = settled(bench, pins, "traced")["memory"]
    bench.host.bulkhead("detach")
    for call in calls.draw(part(calls.moments(trace)), bench.random):
        bench.next()
        where = f"{name} (seed {seed}) killed at {call}"
        n += bench.tracer.kill(call, "apply", *bench.write())
        whole += may_enforce(bench, where)
        bench.apply()
        size = settled(bench, pins, where)["memory"]
        assert size <= memory, f"{where}: memory {size}, expected at most {memory}"
        bench.host.bulkhead("detach")
        nothing_left(bench, where)
    bench.prober.end()
    report(name, seed, n, len(trace), f"{whole} when all was attached", start)
    assert n > 5, f"only {n} kills"
    assert 0 < whole < n, f"{whole} of {n} kills came after the links were attached"


@tap
def a_first_apply_may_die_anywhere(lab):
    kill_first(lab, "first apply", lambda moments: moments)


@tap
def a_first_apply_to_clsact_may_die_anywhere(lab):
    """Filters have no bpf link that would go with the process: from the first of them on."""
    def from_netlink(moments):
        first = next(n for n, moment in enumerate(moments) if moment[-1].name == "sendto")
        return moments[first:]

    kill_first(lab, "first apply to clsact", from_netlink,
               "hooks: {ingress: clsact, egress: clsact}\n")


@tap
def a_detach_may_die_anywhere(lab):
    seed, start = random.randrange(1 << 32), time.monotonic()
    bench = Bench(lab, seed)
    bench.apply()
    pins, whole, n = bench.pins(), 0, 0
    trace = bench.tracer.list("detach")
    nothing_left(bench, "traced")
    bench.apply()
    for call in calls.draw(calls.moments(trace), bench.random):
        where = f"detach (seed {seed}) killed at {call}"
        n += bench.tracer.kill(call, "detach")
        whole += may_enforce(bench, where)
        if n % 2:
            bench.host.bulkhead("detach")
            nothing_left(bench, where)
        bench.next()
        bench.apply()
        settled(bench, pins, where)
    bench.prober.end()
    report("detach", seed, n, len(trace), f"{whole} when all was attached", start)
    assert n > 5, f"only {n} kills"
    assert 0 < whole < n, f"{whole} of {n} kills came before the links were taken off"


if __name__ == "__main__":
    tap.main()

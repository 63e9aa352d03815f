#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
bulkhead killed at each of its system calls: enforcement stays, the old policy or the new one
whole, at every moment; and the next run puts everything right.
"""

import random
import signal
import subprocess
import time

import calls
from netlab import Tap
from test_traffic import expect
from turns import Bench, may_enforce, nothing_left, settled

tap = Tap()


def report(name, seed, n, total, what, start):
    print(f"# {name}: killed at {n} of {total} calls, seed {seed}; {what};"
          f" {time.monotonic() - start:.0f} s", flush=True)


def drawn(bench, traces):
    """
    Calls to die at, each for the turn in whose trace it stands; None: let this turn pass. Turns
    that differ in nothing but how much they read take the moments by turns, too.
    """
    left = {turn: calls.draw(calls.moments(trace), bench.random)
            for turn, trace in traces.items()}
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


class Runs:
    """What is killed at random moments, each with how long it takes when it is let be."""

    def __init__(self, bench):
        self.bench = bench
        self.seconds = {}

    def args(self, kind):
        if kind == "apply":
            return self.bench.host.bulkhead_args("apply", *self.bench.write())
        return self.bench.host.bulkhead_args(*{"detach": ["detach"], "rules": ["rules", "--json"],
                                               "stats": ["stats", "--json"]}[kind])

    def measure(self, kind):
        start = time.monotonic()
        self.bench.host.run(*self.args(kind))
        self.seconds[kind] = time.monotonic() - start

    def kill(self, kind, first=False):
        """A run of that kind, killed at a moment of its usual time; True: it lived until then."""
        seconds = self.seconds["first" if first else kind]
        process = self.bench.host.popen(*self.args(kind), stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        try:
            process.wait(self.bench.random.uniform(0, seconds))
        except subprocess.TimeoutExpired:
            process.kill()
        return process.wait() == -signal.SIGKILL


@tap
def at_random_moments_death_does_no_harm(lab):
    """Applies, first applies, detaches and readings of counters, each on what the last has left."""
    seed, start = random.randrange(1 << 32), time.monotonic()
    bench = Bench(lab, seed)
    runs, moments = Runs(bench), 1000 if calls.LONG else 200
    runs.measure("apply")
    runs.seconds["first"] = runs.seconds["apply"]
    pins, killed = bench.pins(), 0
    bench.next()
    for kind in ("apply", "rules", "stats"):
        runs.measure(kind)
    before = bench.number % 2  # the turn of the policy in force
    bench.prober.since()
    for number in range(moments):
        kind = bench.random.choices(("apply", "rules", "stats", "detach"), (14, 2, 2, 1))[0]
        where = f"seed {seed}, moment {number}, {kind}"
        if kind == "detach":
            runs.seconds.setdefault("detach", runs.seconds["rules"] * 2)
            bench.number = before
            killed += runs.kill("detach")
            may_enforce(bench, where)
            bench.host.bulkhead("detach")
            nothing_left(bench, where)
            killed += runs.kill("apply", first=True)
            may_enforce(bench, f"{where}, then a first apply")
            bench.apply()
            settled(bench, pins, where)
            bench.prober.since()
            continue
        bench.number = before + (kind == "apply")
        killed += runs.kill(kind)
        before = bench.in_force()
        if kind != "apply":
            expect(before, bench.number % 2, f"{where}: policy in force")
        bench.prober.check(where)
        expect({way: len(ids) for way, ids in bench.programs().items()}, {"in": 1, "out": 1},
               f"{where}: programs at the hooks")
        if number % 20 == 19:
            bench.apply()
            settled(bench, pins, where)
            before = bench.number % 2
    bench.prober.end()
    print(f"# random moments: {killed} of {moments} killed, seed {seed};"
          f" {time.monotonic() - start:.0f} s", flush=True)
    assert killed > moments // 2, f"only {killed} of {moments} were killed"


if __name__ == "__main__":
    tap.main()

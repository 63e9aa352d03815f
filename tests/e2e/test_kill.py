#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
bulkhead killed at each of its system calls: enforcement stays, the old policy or the new one
whole, at every moment, where the old one of a first apply and the new one of a detach is none; and the
next run puts everything right.
"""

import random
import signal
import subprocess
import time

import calls
from netlab import Tap
from test_traffic import PEER, expect
from traffic import Questions
from turns import ASKED, Bench, may_enforce, nothing_left, settled

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
    """
    Applies of a changed policy, each killed at another call, then done again; while flows open and are
    answered, of which none may be lost.
    """
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
    questions = Questions(bench.host, bench.peer, PEER[4], ASKED)
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
    given, came = questions.end()
    expect(came, given, f"{name} (seed {seed}): answers that came")
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
    report(name, seed, n, len(trace), f"{whole} behind the flip", start)
    assert n > 5, f"only {n} kills"
    assert 0 < whole < n, f"{whole} of {n} kills came behind the flip"


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
        bench.next()
        if n % 2 == 0:
            bench.apply()
            settled(bench, pins, where)
        # What an apply takes over has more to let go than the traced run had.
        bench.host.bulkhead("detach")
        nothing_left(bench, where)
        bench.apply()
        settled(bench, pins, where)
    bench.prober.end()
    report("detach", seed, n, len(trace), f"{whole} before the flip", start)
    assert n > 5, f"only {n} kills"
    assert 0 < whole < n, f"{whole} of {n} kills came before the flip"


# ---- packets that began before the flip ----

def behind_flip(trace):
    """The calls behind the one write; the store stands between the first of them and the one before."""
    flip = next(n for n, call in enumerate(trace)
                if call.name == "mmap" and (call.is_in("flip_map") or call.is_in("flip_open")))
    return trace[flip + 1:]


def waits_first(trace, where):
    """
    What is put into maps comes behind the packets that may still read what was there: the first is
    the page that is put where it is already, for which the kernel waits.
    """
    puts = [call for call in trace if call.head() in ("bpf(BPF_MAP_UPDATE_ELEM",
                                                      "bpf(BPF_MAP_UPDATE_BATCH")
            and not call.is_in("load_skeleton_load")]  # constants of programs that are new
    assert len(puts) > 1, f"{where}: {puts}"
    assert puts[0].is_in("flip_wait"), f"{where}: {puts[0]}\n{puts[0].stack}"


@tap
def a_slot_is_touched_only_when_no_packet_is_left_in_it(lab):
    """Behind a flip, and behind runs that died right behind theirs."""
    bench = Bench(lab, 0)
    bench.apply()
    pins = bench.pins()

    def apply(number):
        bench.number = number
        return bench.tracer.list_with_stacks("apply", *bench.write())

    apply(1)
    trace = apply(2)
    waits_first(behind_flip(trace), "behind the flip")
    apply(3)
    bench.number = 4
    assert bench.tracer.kill(behind_flip(trace)[0], "apply", *bench.write())
    expect(bench.in_force(), 0, "policy of the killed run")
    waits_first(apply(5), "an apply behind one that died")
    settled(bench, pins, "an apply behind one that died")
    bench.number = 6
    assert bench.tracer.kill(behind_flip(trace)[0], "apply", *bench.write())
    waits = [call for call in apply(6) if call.is_in("flip_wait")]
    assert waits, "the same policy again, behind one that died"
    settled(bench, pins, "the same policy again")
    detach = bench.tracer.list_with_stacks("detach")
    apply(7)
    assert bench.tracer.kill(behind_flip(detach)[0], "detach")
    expect(all(bench.arriving()), True, "everything passes")
    waits_first(apply(8), "an apply behind a detach that died")
    settled(bench, pins, "an apply behind a detach that died")
    bench.prober.end()


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
        """
        A run of that kind, killed at a moment of its usual time; True: it lived until then. What it
        takes changes with what else the machine does: one that came to its end says so anew.
        """
        which, start = "first" if first else kind, time.monotonic()
        process = self.bench.host.popen(*self.args(kind), stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        try:
            process.wait(self.bench.random.uniform(0, self.seconds[which]))
            self.seconds[which] = (self.seconds[which] + time.monotonic() - start) / 2
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
    number = -1
    while killed < moments:
        number += 1
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
    print(f"# random moments: {killed} killed of {number + 1} runs, seed {seed};"
          f" {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    tap.main()

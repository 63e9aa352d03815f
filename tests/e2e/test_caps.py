#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
Capabilities: which ones apply and detach have at each step, as the kernel tells of the stopped process;
and all commands by a root who has no others than docs/security.md names.
"""

import re
import shutil

from netlab import Skip, Tap
from test_traffic import HOST, PEER, expect
from turns import Bench, nothing_left, settled

tap = Tap()

NUMBERS = {"net_admin": 12, "sys_admin": 21, "perfmon": 38, "bpf": 39}
WORKING = {"net_admin", "bpf"}
MAKING = WORKING | {"perfmon"}
# What a run has to begin with: for what only an id opens, and a namespace to try hooks in.
BEGINNING = MAKING | {"sys_admin"}


def traced(lab):
    if not shutil.which("strace"):
        raise Skip("strace is not installed")
    return Bench(lab, 0)


def mask(names):
    return sum(1 << NUMBERS[name] for name in names)


def fields(pid):
    """What /proc tells of the process's rights, sets as numbers."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        lines = dict(re.findall(r"(\w+):\s+(\S+)", file.read()))
    return {key: int(lines[key], 16) for key in ("CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd",
                                                 "NoNewPrivs")}


def has_just(names, where):
    def look(pid):
        expect(fields(pid), {"CapEff": mask(names), "CapPrm": mask(names), "CapInh": 0, "CapAmb": 0,
                             "CapBnd": 0, "NoNewPrivs": 1}, where)
    return look


def is_flip(call):
    return call.name == "mmap" and "PROT_WRITE, MAP_SHARED" in call.text


def behind(trace):
    """The calls that are made with fewer rights than those that the run began with."""
    first = next(i for i, call in enumerate(trace) if call.name == "capset")
    return trace[first + 1:]


def first_and_last(trace, fits):
    """The first and the last call that is of that kind, of those behind the first drop."""
    found = [call for call in behind(trace) if fits(call)]
    assert found, "the trace has no such call"
    return {call.number: call for call in (found[0], found[-1])}.values()


def is_bpf(*commands):
    return lambda call: call.text.startswith(tuple(f"bpf(BPF_{command}," for command in commands))


# What makes something, and what comes behind that until the end.
MAKES = is_bpf("PROG_LOAD", "MAP_CREATE", "MAP_FREEZE")
LATER = {
    "links": is_bpf("LINK_CREATE"),
    "flip": is_flip,
    "state": lambda call: call.name == "renameat",
}


def opens_by_id(call):
    return "_BY_ID," in call.text or "_GET_NEXT_ID," in call.text or call.name == "unshare"


def stop_at_each(bench, trace, kinds, again):
    """
    Runs of that kind, one for each call to be looked at. again() makes things as they were when the
    trace was taken, and returns what apply is called with.
    """
    looked = [(call, MAKING) for call in first_and_last(trace, MAKES)]
    for kind in kinds:
        looked += [(call, WORKING) for call in first_and_last(trace, LATER[kind])]
    for call, names in looked:
        bench.tracer.stop(call, has_just(names, f"at {call}"), "apply", *again())
    made = [call for call in trace if MAKES(call)]
    dropped = [call for call in trace if call.name == "capset"]
    expect(len(dropped), 2, "times that rights are given up")
    assert trace.index(made[-1]) < trace.index(dropped[1]), "something is made without CAP_PERFMON"
    late = [str(call) for call in behind(trace) if opens_by_id(call)]
    expect(late, [], "calls that take CAP_SYS_ADMIN, after it was given up")


@tap
def a_first_apply_makes_and_flips_with_what_it_needs_alone(lab):
    bench = traced(lab)
    bench.apply()

    def again():
        bench.host.bulkhead("detach")
        return bench.write()

    trace = bench.tracer.list("apply", *again())
    stop_at_each(bench, trace, LATER, again)
    expect(bench.in_force(), 0, "policy in force")
    bench.prober.end()


@tap
def a_later_apply_does_too(lab):
    bench = traced(lab)
    bench.apply()
    bench.next()
    bench.apply()
    bench.next()
    trace = bench.tracer.list("apply", *bench.write())

    def again():
        bench.next()
        bench.next()  # of the same turn: it differs in no length
        return bench.write()

    stop_at_each(bench, trace, [kind for kind in LATER if kind != "links"], again)
    expect(bench.in_force(), 0, "policy in force")
    bench.prober.end()


@tap
def tables_of_another_size_are_filled_with_what_was_opened_before(lab):
    bench = traced(lab)
    bench.host_extra = "tables: {flows: 16384, half_open: 4096, fragments: 1024}\n"
    bench.apply()
    pins = bench.pins()
    bench.prober.wait(20)
    for size in (8192, 32768):
        bench.next()
        bench.host_extra = "tables: {flows: %d, half_open: 4096, fragments: 1024}\n" % size
        trace = bench.tracer.list("apply", *bench.write())
        expect([str(call) for call in behind(trace) if opens_by_id(call)], [], f"{size} flows")
        settled(bench, pins, f"{size} flows")
    flows = bench.host.bulkhead_json("flows")["flows"]
    assert len(flows) > 1, f"flows carried over: {flows}"
    bench.prober.end()


@tap
def a_detach_takes_off_with_what_it_needs_alone(lab):
    bench = traced(lab)
    bench.apply()
    trace = bench.tracer.list("detach")
    expect([str(call) for call in behind(trace) if opens_by_id(call)], [], "calls by id, late")
    detaches = first_and_last(trace, is_bpf("LINK_DETACH"))
    renames = first_and_last(trace, LATER["state"])
    for call in [*detaches, *renames]:
        bench.apply()
        bench.tracer.stop(call, has_just(WORKING, f"at {call}"), "detach")
        nothing_left(bench, str(call))
    bench.prober.end()


# ---- a root who has no others ----

def limited(bench, names, command, *args, status=0):
    """bulkhead by root whose bounding set holds these alone."""
    words = ",".join(["-all", *(f"+cap_{NUMBERS[name]}" for name in sorted(names))])
    done = bench.host.run("setpriv", "--bounding-set", words,
                          *bench.host.bulkhead_args(command, *args), check=False)
    if status is not None:
        expect(done.returncode, status, f"status of {command}: {done.stderr}")
    return done


def refused(done):
    """One line says which capability is missing."""
    expect((done.returncode, done.stderr.count("\n")), (1, 1), f"status, lines of: {done.stderr}")
    assert "CAP_SYS_ADMIN" in done.stderr, done.stderr


@tap
def everything_works_for_a_root_without_other_capabilities(lab):
    bench = Bench(lab, 0)
    bench.host_extra = "tables: {flows: 16384, half_open: 4096, fragments: 1024}\n"
    limited(bench, BEGINNING, "apply", *bench.write())
    bench.prober.since()
    pins = bench.pins()
    for number in range(3):
        bench.next()
        if number == 2:
            bench.host_extra = ""
        limited(bench, BEGINNING, "apply", *bench.write())
        settled(bench, pins, f"apply {number}")
        done = limited(bench, BEGINNING, "apply", *bench.write())
        assert "nothing to change" in done.stdout, done.stdout
    bench.prober.check("limited")
    packet = f"in udp {PEER[4]}:4000 {HOST[4]}:53"
    for command in (["status"], ["rules"], ["stats"], ["flows"], ["explain", packet],
                    ["doctor", "--interface", "eth0"],
                    ["stats", "--watch", "--interval", "1", "--count", "1"]):
        done = limited(bench, BEGINNING, *command)
        expect(done.stderr, "", f"words of {command[0]}")
        assert done.stdout, command
    limited(bench, BEGINNING - {"perfmon"}, "detach")
    nothing_left(bench, "detached")
    bench.prober.end()


@tap
def cap_sys_admin_stands_for_those_that_were_parted_from_it(lab):
    """As in a container of before there were any."""
    bench = Bench(lab, 0)
    old = {"sys_admin", "net_admin"}
    for _ in range(2):
        limited(bench, old, "apply", *bench.write())
        bench.next()
    bench.number -= 1
    settled(bench, bench.pins(), "applied")
    limited(bench, old, "explain", f"in udp {PEER[4]}:4000 {HOST[4]}:53")
    limited(bench, old, "status")
    limited(bench, old, "detach")
    nothing_left(bench, "detached")
    bench.prober.end()


@tap
def without_what_an_apply_begins_with_it_says_so_and_attaches_nothing(lab):
    bench = Bench(lab, 0)
    for names in (MAKING, MAKING - {"bpf"}, MAKING - {"net_admin"}, set()):
        done = limited(bench, names, "apply", *bench.write(), status=None)
        if names == MAKING and done.returncode == 0:
            # Where there is tcx nothing is tried in a namespace, and a first apply opens nothing by id.
            settled(bench, bench.pins(), "first apply")
            limited(bench, MAKING, "detach")
            continue
        refused(done)
        nothing_left(bench, f"with {names}")
    bench.apply()
    bench.next()
    refused(limited(bench, MAKING, "apply", *bench.write(), status=None))
    bench.number -= 1
    expect(bench.in_force(), 0, "policy in force")
    for command in ("status", "flows", "rules"):
        done = limited(bench, MAKING, command, status=None)
        refused(done)
        assert "by its id (which takes CAP_SYS_ADMIN)" in done.stderr, done.stderr
    bench.prober.end()


if __name__ == "__main__":
    tap.main()

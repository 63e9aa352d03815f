#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
What an apply finds and takes over: links of an earlier run, of another build, of another version;
and what it must leave alone: another namespace, another run.
"""

import fcntl
import os
import shutil
import subprocess

import kernel
from netlab import Tap, run, wait_until
from test_traffic import expect
from turns import Bench, nothing_left, policy, settled

tap = Tap()


def started(lab):
    """A bench whose policy is in force, and the pins that it has then."""
    bench = Bench(lab, 0)
    bench.apply()
    bench.prober.since()  # before the first apply nothing was denied
    return bench, bench.pins()


def links(bench):
    """{name of the pin: id of the bpf link}"""
    folder = f"{bench.host.pins}/v3/links"
    return {name: kernel.link(f"{folder}/{name}") for name in kernel.tree(folder)}


@tap
def links_are_adopted_and_never_made_twice(lab):
    bench, pins = started(lab)
    before, programs = links(bench), bench.programs()
    bench.apply()
    expect(links(bench), before, "links after the same policy")
    bench.next()
    bench.apply()
    expect(links(bench), before, "links after another policy")
    expect(bench.programs(), programs, "programs")
    settled(bench, pins, "adopted")
    bench.prober.check("adopting")


@tap
def programs_of_another_build_are_replaced_in_their_place(lab):
    """The folder of programs is named after the build: under another name they are another's."""
    bench, pins = started(lab)
    before, programs = links(bench), bench.programs()
    folder = f"{bench.host.pins}/v3/programs"
    ours = os.listdir(folder)[0]
    os.rename(f"{folder}/{ours}", f"{folder}/0123456789abcdef")
    bench.apply()
    expect(links(bench), before, "links")
    assert not set(bench.programs()["in"]) & set(programs["in"]), "the old program still runs"
    settled(bench, pins, "another build")
    bench.prober.check("replacing programs")


def other_version(lab, hooks=""):
    """A bench whose pins are those of ABI version 0, as an earlier release would have left them."""
    bench = Bench(lab, 0)
    bench.host_extra = hooks
    bench.apply()
    pins = bench.pins()
    os.rename(f"{bench.host.pins}/v3", f"{bench.host.pins}/v0")
    bench.prober.since()
    return bench, pins


def taken_over(lab, hooks):
    bench, pins = other_version(lab, hooks)
    before = links_of(bench, "v0")
    expect(bench.in_force(), 0, "another version's policy in force")
    done = bench.host.bulkhead("status", status=None)
    assert "version 0" in done.stdout + done.stderr, f"status: {done.stdout}{done.stderr}"
    bench.next()
    bench.apply()
    expect(links_of(bench, "v3"), before, "links")
    settled(bench, pins, "taken over")
    bench.prober.check("taking over")
    bench.host.bulkhead("detach")
    nothing_left(bench, "taken over, then detached")


def links_of(bench, version):
    folder = f"{bench.host.pins}/{version}/links"
    return {name: kernel.link(f"{folder}/{name}") for name in kernel.tree(folder)}


@tap
def another_version_enforces_until_it_is_taken_over_in_place(lab):
    taken_over(lab, "")


@tap
def another_version_at_clsact_is_taken_over_in_place(lab):
    taken_over(lab, "hooks: {ingress: clsact, egress: clsact}\n")


@tap
def another_version_is_detached_whole(lab):
    bench, _ = other_version(lab)
    bench.host.bulkhead("detach")
    nothing_left(bench, "detached")


@tap
def another_version_at_clsact_is_detached_whole(lab):
    bench, _ = other_version(lab, "hooks: {ingress: clsact, egress: clsact}\n")
    bench.host.bulkhead("detach")
    nothing_left(bench, "detached")


@tap
def a_link_that_was_detached_behind_our_back_is_told_and_mended(lab):
    bench, pins = started(lab)
    for name in links(bench):
        run("bpftool", "link", "detach", "pinned", f"{bench.host.pins}/v3/links/{name}")
    expect(bench.programs(), {"in": [], "out": []}, "programs")
    done = bench.host.bulkhead("status", status=9)
    for way in ("ingress", "egress"):
        assert f"link eth0 has no program of ours at {way}" in done.stdout, done.stdout
    bench.apply()
    settled(bench, pins, "mended")


@tap
def a_lost_pin_is_told_and_mended(lab):
    bench, pins = started(lab)
    for name in links(bench):
        os.unlink(f"{bench.host.pins}/v3/links/{name}")
    bench.host.bulkhead("status", status=9)
    bench.apply()
    settled(bench, pins, "mended")


@tap
def a_pin_that_somebody_holds_open_is_adopted_and_not_doubled(lab):
    bench, pins = started(lab)
    before = links(bench)
    held = [kernel.open_pin(f"{bench.host.pins}/v3/links/{name}") for name in before]
    for name in before:
        os.unlink(f"{bench.host.pins}/v3/links/{name}")
    bench.apply()
    expect(links(bench), before, "links")
    settled(bench, pins, "adopted")
    bench.prober.check("adopting a link without its pin")
    for fd in held:
        os.close(fd)


@tap
def the_state_alone_is_what_a_reboot_leaves(lab):
    bench, pins = started(lab)
    generation = bench.status()["generation"]
    shutil.rmtree(bench.host.pins)
    expect(bench.host.bulkhead_json("status", status=9)["enforcing"], False, "enforcing")
    bench.apply()
    assert settled(bench, pins, "again")["generation"] > generation, "a number was used twice"


@tap
def the_pins_alone_are_what_a_lost_state_leaves(lab):
    bench, pins = started(lab)
    shutil.rmtree(bench.host.state)
    done = bench.host.bulkhead("status", status=1)
    expect(len(done.stderr.splitlines()), 1, f"lines of words: {done.stderr}")
    expect(bench.in_force(), 0, "policy in force")
    bench.apply()
    settled(bench, pins, "again")
    bench.prober.check("without a state")


@tap
def a_link_that_came_anew_under_its_old_name_is_covered_again(lab):
    bench, _ = started(lab)
    old = bench.ifindex
    bench.host.run("ip", "link", "delete", "eth0")
    done = bench.host.bulkhead("status", status=9)
    assert f"link eth0 (ifindex {old}) is gone" in done.stdout, done.stdout
    bench.host.run("ip", "link", "add", "eth0", "index", str(old + 100), "type", "veth", "peer",
                   "name", "eth9")
    bench.ifindex = kernel.ifindex(bench.host, "eth0")
    assert bench.ifindex != old
    bench.apply()
    expect({way: len(ids) for way, ids in bench.programs().items()}, {"in": 1, "out": 1},
           "programs")
    names = sorted(links(bench))
    expect(names, [f"native-in-{bench.ifindex}", f"tcx-out-{bench.ifindex}"], "pins of links")


# ---- what is not ours to take ----

@tap
def another_network_namespace_is_refused(lab):
    bench, pins = started(lab)
    args = bench.host.bulkhead_args("apply", *bench.write())
    before = bench.status()["generation"]
    bench.next()
    bench.write()
    done = bench.peer.run(*args, check=False)
    expect(done.returncode, 1, f"status {done.stderr}")
    assert "belongs to network namespace" in done.stderr, done.stderr
    expect(len(done.stderr.splitlines()), 1, f"lines of words: {done.stderr}")
    expect(bench.status()["generation"], before, "generation")
    bench.number -= 1
    settled(bench, pins, "refused")
    bench.prober.check("refused elsewhere")


@tap
def pins_of_another_namespace_are_refused_with_whatever_state(lab):
    bench, pins = started(lab)
    args = bench.peer.bulkhead_args("apply", *bench.write())
    args[args.index("--pins") + 1] = bench.host.pins
    done = bench.peer.run(*args, check=False)
    expect(done.returncode, 1, f"status {done.stderr}")
    assert "another network namespace" in done.stderr, done.stderr
    expect(len(done.stderr.splitlines()), 1, f"lines of words: {done.stderr}")
    settled(bench, pins, "refused")
    bench.prober.check("refused elsewhere")


def hold(bench):
    """The lock of the state directory, held by this process as an apply would hold it."""
    lock = open(os.path.join(bench.host.state, "lock"), "r+", encoding="ascii")
    fcntl.flock(lock, fcntl.LOCK_EX)
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


@tap
def a_second_apply_is_refused_with_the_process_that_holds_the_lock(lab):
    bench, pins = started(lab)
    with hold(bench):
        bench.next()
        for command in (("apply", *bench.write()), ("detach",)):
            done = bench.host.bulkhead(*command, status=1)
            assert f"(process {os.getpid()})" in done.stderr, done.stderr
            expect(len(done.stderr.splitlines()), 1, f"lines of words: {done.stderr}")
        expect(bench.in_force(), 0, "policy in force")
    bench.apply()
    settled(bench, pins, "when it is free")
    bench.prober.check("two at once")


@tap
def a_second_apply_waits_when_it_is_told_to(lab):
    bench, pins = started(lab)
    before = bench.status()["generation"]
    bench.next()
    with hold(bench):
        second = bench.host.popen(*bench.host.bulkhead_args("apply", "--wait", *bench.write()),
                                  stdout=subprocess.DEVNULL)
        wait_until(lambda: waits_for_a_lock(second.pid), what="the second apply at the lock")
        expect(bench.status()["generation"], before, "generation meanwhile")
    expect(second.wait(20), 0, "its status")
    expect(settled(bench, pins, "after it")["generation"], before + 1, "generation")
    bench.prober.check("two in a row")


def waits_for_a_lock(pid):
    with open("/proc/locks", encoding="ascii") as file:
        return any("->" in line and f" {pid} " in line for line in file)


@tap
def of_many_applies_at_once_each_is_done_whole_or_refused(lab):
    """Those that wait are done one behind the other; of the others at least one is done."""
    bench, pins = started(lab)
    before = bench.status()["generation"]
    done = {}
    _, host_file, _ = bench.write()
    for waits in (True, False):
        running = []
        for _ in range(4):
            bench.next()
            mine = lab.write(f"{bench.number}.yaml", policy(bench.number))
            args = ["--host", host_file, mine, *(["--wait"] if waits else [])]
            running.append(bench.host.popen(*bench.host.bulkhead_args("apply", *args),
                                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                            text=True))
        done[waits] = [(process.wait(60), process.stderr.read()) for process in running]
        for process in running:
            process.stderr.close()
    expect([status for status, _ in done[True]], [0] * 4, f"those that wait: {done}")
    assert 0 in [status for status, _ in done[False]], f"nobody came through: {done}"
    for status, words in done[False]:
        assert status == 0 or "another bulkhead " in words, f"{status}: {words}"
    count = sum(status == 0 for each in done.values() for status, _ in each)
    expect(bench.status()["generation"], before + count, "generation")
    bench.number = bench.in_force()
    settled(bench, pins, "after all")
    bench.prober.check("many at once")


if __name__ == "__main__":
    tap.main()

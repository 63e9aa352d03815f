#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
What an apply finds and takes over: links of an earlier run, of another build, of another version;
and what it must leave alone: another namespace, another run.
"""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys

import calls
import kernel
from netlab import CHILDREN, Skip, Tap, run, wait_until
from test_hooks import knows_tcx
from test_instances import second_instance
from test_traffic import expect
from turns import Bench, nothing_left, policy, settled, untold

tap = Tap()


def started(lab):
    """A bench whose policy is in force, and the pins that it has then."""
    bench = Bench(lab, 0)
    bench.apply()
    bench.prober.since()  # before the first apply nothing was denied
    return bench, bench.pins()


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def links(bench):
    """{name of the pin: id of the bpf link}"""
    folder = f"{bench.host.pins}/{kernel.VERSION}/links"
    return {name: kernel.link(f"{folder}/{name}") for name in kernel.tree(folder)}


def link_pins(bench):
    """The paths of the pins of the links."""
    return [f"{bench.host.pins}/{kernel.VERSION}/links/{name}" for name in links(bench)]


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
    folder = f"{bench.host.pins}/{kernel.VERSION}/programs"
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
    os.rename(f"{bench.host.pins}/{kernel.VERSION}", f"{bench.host.pins}/v0")
    bench.prober.since()
    return bench, pins


def taken_over(lab, hooks):
    bench, pins = other_version(lab, hooks)
    before = links_of(bench, "v0")
    expect(bench.in_force(), 0, "another version's policy in force")
    done = bench.host.bulkhead("status", status=None)
    assert "version 0" in done.stdout + done.stderr, f"status: {done.stdout}{done.stderr}"
    assert done.stdout.startswith("enforcing, but this version cannot read it\n"), done.stdout
    expect(bench.status()["enforced_by"], "another version", "enforced by")
    bench.next()
    bench.apply()
    expect(links_of(bench, kernel.VERSION), before, "links")
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
    for path in link_pins(bench):
        run("bpftool", "link", "detach", "pinned", path)
    expect(bench.programs(), {"in": [], "out": []}, "programs")
    done = bench.host.bulkhead("status", status=9)
    for way in ("ingress", "egress"):
        assert f"link eth0 has no program of ours at {way}" in done.stdout, done.stdout
    assert "another program" not in done.stdout, done.stdout
    bench.apply()
    settled(bench, pins, "mended")


def wait_for_none(bench):
    """A link whose last pin went leaves its hook later, which may take long on a busy machine."""
    wait_until(lambda: bench.programs() == {"in": [], "out": []}, 60, "programs of lost pins gone")


@tap
def a_lost_pin_is_told_and_mended(lab):
    bench, pins = started(lab)
    for path in link_pins(bench):
        os.unlink(path)
    wait_for_none(bench)
    bench.host.bulkhead("status", status=9)
    bench.apply()
    settled(bench, pins, "mended")


@tap
def a_pin_that_was_lost_just_now_is_mended_at_once(lab):
    bench, pins = started(lab)
    for number in range(8):
        for path in link_pins(bench):
            os.unlink(path)
        bench.apply()
        settled(bench, pins, f"mended for time {number}")


# Removes what it is told to, and keeps the processor, so that the work item that takes the programs off
# their hooks cannot run there.
HOG = """
import os, sys, time
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
for path in sys.argv[1:]:
    os.unlink(path)
print(flush=True)
end = time.monotonic() + 0.6
while time.monotonic() < end:
    pass
"""


@contextlib.contextmanager
def going(bench, pins):
    """Links that nothing holds any more, as they leave their hooks."""
    all_of_them = os.sched_getaffinity(0)
    if len(all_of_them) < 2:
        raise Skip("one processor: nothing runs beside the one that is kept busy")
    kept = max(all_of_them)
    ids = links(bench).values()
    os.sched_setaffinity(0, {kept})
    hog = CHILDREN.start([sys.executable, "-c", HOG, *pins], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL)
    os.sched_setaffinity(0, all_of_them - {kept})
    try:
        if not hog.stdout.readline():
            raise Skip("a processor cannot be kept busy: no real-time scheduling")
        wait_until(lambda: not any(kernel.has_link(number) for number in ids), what="links going")
        yield
    finally:
        hog.wait()
        hog.stdout.close()
        os.sched_setaffinity(0, all_of_them)


@tap
def links_that_leave_their_hooks_are_waited_for(lab):
    bench, pins = started(lab)
    for number in range(3):
        with going(bench, link_pins(bench)):
            bench.apply()
        settled(bench, pins, f"after they went for time {number}")


@tap
def links_of_an_instance_that_has_gone_are_waited_for(lab):
    bench, pins = started(lab)
    for number in range(3):
        with going(bench, [f"{bench.host.pins}/{name}" for name in bench.pins()]):
            bench.apply()
        settled(bench, pins, f"after they went for time {number}")


def without_a_link(bench):
    """Our XDP program where it was, but attached by hand, without a bpf link."""
    os.unlink(f"{bench.host.pins}/{kernel.VERSION}/links/native-in-{bench.ifindex}")
    wait_until(lambda: not bench.programs()["in"], 60, "no program at ingress")
    programs = f"{bench.host.pins}/{kernel.VERSION}/programs"
    name = next(name for name in kernel.tree(programs) if name.endswith("xdp"))
    bench.host.run("ip", "link", "set", "dev", "eth0", "xdpdrv", "pinned", f"{programs}/{name}")


@tap
def a_program_without_a_link_is_waited_for(lab):
    """The same on any machine, in steps: the run waits when the program goes."""
    bench, pins = started(lab)
    without_a_link(bench)
    bench.tracer.stop(
        calls.Call("clock_nanosleep", 1, "clock_nanosleep(CLOCK_MONOTONIC"),
        lambda _: bench.host.run("ip", "link", "set", "dev", "eth0", "xdpdrv", "off"),
        "apply", *bench.write())
    settled(bench, pins, "after it went")


@tap
def a_program_without_a_link_that_stays_is_refused(lab):
    bench, pins = started(lab)
    without_a_link(bench)
    programs = bench.programs()
    done = bench.host.bulkhead("apply", *bench.write(), status=4)
    assert "runs at ingress of link 'eth0'" in done.stderr, done.stderr
    expect(len(done.stderr.splitlines()), 1, f"lines of words: {done.stderr}")
    expect(bench.programs(), programs, "programs")
    bench.host.run("ip", "link", "set", "dev", "eth0", "xdpdrv", "off")
    bench.apply()
    settled(bench, pins, "after it was taken off")


@tap
def a_pin_that_is_removed_while_an_apply_runs_is_no_success(lab):
    """At the last write of files before the flip: all is attached and pinned by then."""
    bench, pins = started(lab)
    bench.next()
    trace = bench.tracer.list("apply", *bench.write())
    flip = [i for i, call in enumerate(trace)
            if call.name == "mmap" and "PROT_WRITE, MAP_SHARED" in call.text][-1]
    last = [call for call in trace[:flip] if call.name == "renameat"][-1]
    bench.next()
    bench.next()  # of the same turn: it differs in no length

    def remove(_):
        for path in link_pins(bench):
            os.unlink(path)

    words = bench.tracer.stop(last, remove, "apply", *bench.write(), status=4)
    assert "link 'eth0' has lost its program at ingress" in words, words
    bench.apply()
    settled(bench, pins, "applied again")


@tap
def a_pin_that_somebody_holds_open_is_adopted_and_not_doubled(lab):
    bench, pins = started(lab)
    before = links(bench)
    held = [kernel.open_pin(path) for path in link_pins(bench)]
    for path in link_pins(bench):
        os.unlink(path)
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
    wait_for_none(bench)
    expect(bench.host.bulkhead_json("status", status=9)["enforcing"], False, "enforcing")
    bench.apply()
    assert settled(bench, pins, "again")["generation"] > generation, "a number was used twice"


@tap
def the_pins_alone_are_what_a_lost_state_leaves(lab):
    bench, pins = started(lab)
    shutil.rmtree(bench.host.state)
    expect(untold(bench.host, 1, "is in force"), f"generation 1 is in force, and the state directory "
           f"'{bench.host.state}' that belongs to it is gone; see --state", "words")
    expect(bench.in_force(), 0, "policy in force")
    done = bench.apply()
    assert f"state '{bench.host.state}' knows nothing of generation 1" in done.stderr, done.stderr
    settled(bench, pins, "again")
    bench.prober.check("without a state")


@tap
def a_state_that_belongs_to_no_pins_is_told_by_apply_and_detach(lab):
    """The policy comes into force and goes all the same: a lost state must lock nobody out."""
    bench, pins = started(lab)
    right = bench.host.state
    expect(bench.apply().stderr, "", "words with the right one")
    bench.host.state = right + "-b"
    bench.next()
    done = bench.apply()
    words = f"warning: state '{right}-b' knows nothing of generation 1, which is in force by pins " \
            f"'{bench.host.pins}': "
    assert done.stderr.startswith(words), done.stderr
    assert "--state" in done.stderr.splitlines()[0], done.stderr
    settled(bench, pins, "with another state")
    expect(bench.apply().stderr, "", "words once it knows")
    bench.host.state = right + "-c"
    done = bench.host.bulkhead("detach")
    assert f"state '{right}-c' knows nothing of generation 2" in done.stderr, done.stderr
    expect(len(done.stderr.splitlines()), 1, f"lines of words: {done.stderr}")
    nothing_left(bench, "detached")
    expect(os.path.exists(bench.host.state), False, "the folder of a state that is none")


@tap
def a_detach_that_is_refused_leaves_no_folder_of_a_state(lab):
    bench, pins = started(lab)
    lost = os.path.join(bench.host.pins, kernel.VERSION, "maps", "bh_image")
    right = bench.host.state
    bench.host.state = f"{right}-b/below"
    os.rename(lost, lost + "-b")
    os.mkdir(lost)  # no pin can be opened there
    done = bench.host.bulkhead("detach", status=1)
    assert "cannot open pin" in done.stderr, done.stderr
    expect(os.path.exists(f"{right}-b"), False, "the folder")
    os.rmdir(lost)
    os.rename(lost + "-b", lost)
    bench.host.state = right
    settled(bench, pins, "refused")


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
def a_detached_state_is_free_for_another_namespace(lab):
    bench, _ = started(lab)
    args = bench.host.bulkhead_args("apply", *bench.write())
    bench.host.run(*bench.host.bulkhead_args("detach"))
    done = bench.peer.run(*args, check=False)
    expect(done.returncode, 0, f"status {done.stderr}")
    assert "is in force" in done.stdout, done.stdout
    again = bench.host.run(*args, check=False)
    expect(again.returncode, 1, f"status {again.stdout}")
    assert "belongs to network namespace" in again.stderr, again.stderr
    bench.peer.run(*bench.host.bulkhead_args("detach"))


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


def refused_beside(bench, program, hooks):
    """An apply of a second instance with these hooks, by that program of the first one."""
    bench.host_extra = hooks
    with second_instance(bench):
        done = bench.host.bulkhead("apply", *bench.write(), status=4)
        words = f"(program {program}), with other pins than '{bench.host.pins}'"
        assert words in done.stderr, done.stderr
        expect(len(done.stderr.splitlines()), 1, f"lines of words: {done.stderr}")
        assert not os.path.exists(bench.host.pins), "pins of a refused apply"


def another_instance(lab, hooks="", others=None):
    """A second instance's apply on the link of the first one, at the same hooks or at others."""
    bench = Bench(lab, 0)
    bench.host_extra = hooks
    bench.apply()
    bench.prober.since()
    pins = bench.pins()
    bench.next()
    refused_beside(bench, bench.programs()["in"][0], hooks if others is None else others)
    bench.host_extra = hooks
    bench.number -= 1
    settled(bench, pins, "refused")
    bench.prober.check("a second instance")
    bench.next()
    bench.apply()
    settled(bench, pins, "the first goes on")


@tap
def a_link_of_another_instance_is_refused(lab):
    another_instance(lab)


@tap
def a_link_of_another_instance_at_clsact_is_refused(lab):
    another_instance(lab, "hooks: {ingress: clsact, egress: clsact}\n")


@tap
def an_instance_at_xdp_refuses_one_at_clsact(lab):
    another_instance(lab, "hooks: {ingress: native}\n", "hooks: {ingress: clsact, egress: clsact}\n")


@tap
def an_instance_at_clsact_refuses_one_at_xdp(lab):
    another_instance(lab, "hooks: {ingress: clsact, egress: clsact}\n", "hooks: {ingress: native}\n")


def at_egress_alone(lab, hook, other):
    """What is left of an instance whose link at ingress was removed."""
    bench = Bench(lab, 0)
    if not knows_tcx(bench.host):
        raise Skip("this kernel has no tcx")
    bench.host_extra = f"hooks: {{ingress: native, egress: {hook}}}\n"
    bench.apply()
    os.unlink(f"{bench.host.pins}/{kernel.VERSION}/links/native-in-{bench.ifindex}")
    wait_until(lambda: not bench.programs()["in"], 60, "no program at ingress")
    programs = bench.programs()
    refused_beside(bench, programs["out"][0], f"hooks: {{ingress: native, egress: {other}}}\n")
    expect(bench.programs(), programs, "programs")


@tap
def an_instance_that_goes_out_by_clsact_refuses_one_by_tcx(lab):
    at_egress_alone(lab, "clsact", "tcx")


@tap
def an_instance_that_goes_out_by_tcx_refuses_one_by_clsact(lab):
    at_egress_alone(lab, "tcx", "clsact")


@tap
def the_state_of_another_instance_is_refused_before_anything_changes(lab):
    """By two instances that share no link, so that nothing but the state is in their way."""
    bench = Bench(lab, 0)
    lab.link(bench.peer, bench.host, ("eth1", "eth1"), (["198.51.100.1/24"], ["198.51.100.2/24"]))
    bench.host.bulkhead("apply", *bench.write(), "--interface", "eth0")
    bench.prober.since()
    pins, first, state = bench.pins(), bench.host.pins, bench.host.state
    other = first + "-b"
    record = kernel.tree(state), read(f"{state}/record.json")

    def refused(command, *args):
        bench.host.pins = other
        done = bench.host.bulkhead(command, *args, status=4)
        bench.host.pins = first
        expect(done.stderr, f"state '{state}' is that of another bulkhead, with pins '{first}' and "
               f"not '{other}'; name its --pins, or another --state, or detach it with both first\n",
               f"words of {command}")
        expect((kernel.tree(state), read(f"{state}/record.json")), record, f"state, {command}")
        settled(bench, pins, command)

    bench.next()
    files = bench.write()
    bench.number -= 1
    refused("apply", *files, "--interface", "eth1")
    assert not os.path.exists(other), "pins of a refused apply"
    # With a state of its own it lives, and is refused that of the first one all the same.
    bench.host.pins, bench.host.state = other, state + "-b"
    bench.host.bulkhead("apply", *files, "--interface", "eth1")
    bench.host.state = state
    for command in ("rules", "detach"):
        refused(command)
    bench.host.pins = other
    told = bench.host.bulkhead_json("status", status=9)
    bench.host.pins = first
    expect((told["enforced_by"], [link["name"] for link in told["links"]]), ("these pins", ["eth1"]),
           "status")
    assert told["problems"][0]["words"].startswith(f"state '{state}' is that of another"), told
    bench.prober.check("a second instance")
    # However its pins are named it is the same, and once it is gone its state is anybody's.
    bench.host.pins = f"{os.path.dirname(first)}/./{os.path.basename(first)}"
    bench.host.bulkhead("apply", *bench.write(), "--interface", "eth0")
    bench.host.bulkhead("detach")
    bench.host.pins = other
    bench.host.bulkhead("apply", *files, "--interface", "eth1")
    bench.host.bulkhead("detach")
    bench.host.pins = first


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
        # To a journal its words have a level, those that are said at once, too.
        words = os.pipe()
        at = os.fstat(words[1])
        second = bench.host.popen(*bench.host.bulkhead_args("apply", "--wait", *bench.write()),
                                  stdout=subprocess.DEVNULL, stderr=words[1],
                                  env={**os.environ, "JOURNAL_STREAM": f"{at.st_dev}:{at.st_ino}"})
        os.close(words[1])
        second.stderr = os.fdopen(words[0], encoding="utf-8")
        wait_until(lambda: waits_for_a_lock(second.pid), what="the second apply at the lock")
        expect(second.stderr.readline(), f"<5>note: another bulkhead (process {os.getpid()}) is "
               f"changing '{bench.host.state}'; waiting for it to end\n", "its words meanwhile")
        expect(bench.status()["generation"], before, "generation meanwhile")
    expect((second.wait(20), second.stderr.read()), (0, ""), "its status, and further words")
    second.stderr.close()
    expect(settled(bench, pins, "after it")["generation"], before + 1, "generation")
    bench.prober.check("two in a row")


@tap
def words_for_a_closed_stream_are_not_written_into_the_lock(lab):
    """The lock is open when a run says that it waits for it."""
    bench, pins = started(lab)
    lock = os.path.join(bench.host.state, "lock")
    bench.next()
    with hold(bench):
        before = read(lock)
        second = bench.host.popen("sh", "-c", 'exec "$@" >&- 2>&-', "sh",
                                  *bench.host.bulkhead_args("apply", "--wait", *bench.write()))
        wait_until(lambda: waits_for_a_lock(second.pid), what="the second apply at the lock")
        expect(read(lock), before, "the lock")
    expect(second.wait(20), 1, "status without an output")
    settled(bench, pins, "after it")


def waits_for_a_lock(pid):
    with open("/proc/locks", encoding="ascii") as file:
        return any("->" in line and f" {pid} " in line for line in file)


def taken_back_meanwhile(bench, where, way):
    """The folder on the way to one that is made goes again before that: of a refused run of another."""
    trace = bench.tracer.list("apply", *bench.write())
    bench.host.bulkhead("detach")
    shutil.rmtree(way, ignore_errors=True)
    made = next(call for call in trace if call.name == "mkdir" and f'"{way}"' in call.text)
    shutil.rmtree(bench.host.state, ignore_errors=True)
    expect(bench.tracer.stop(made, lambda _: os.rmdir(way), "apply", *bench.write()), "",
           f"words, {where}")
    expect(bench.in_force(), 0, f"policy in force, {where}")
    bench.host.bulkhead("detach")


@tap
def a_folder_that_another_run_takes_back_meanwhile_is_made_again(lab):
    bench = Bench(lab, 0)
    way = os.path.join(lab.folder, "way")
    bench.host.state = os.path.join(way, "state")
    taken_back_meanwhile(bench, "state", way)
    bench.host.state = os.path.join(lab.folder, "state")
    way = bench.host.pins
    lab.at_end.append(lambda: shutil.rmtree(way, ignore_errors=True))
    bench.host.pins = os.path.join(way, "pins")
    taken_back_meanwhile(bench, "pins", way)
    bench.prober.end()


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

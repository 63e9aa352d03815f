#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
A host in trouble: the state directory full, read-only or cut, memory short, the clock set, rights
that are too wide. The previous good state or a refusal, never an empty policy.
"""

import contextlib
import glob
import json
import os
import random
import shutil
import stat
import subprocess
import sys
import time

import kernel
from calls import LONG, moments
from netlab import Skip, Tap, bulkhead_program, run, wait_until
from test_traffic import HOST, PEER, expect
from turns import FENCE, Bench, nothing_left, settled, untold

tap = Tap()


@contextlib.contextmanager
def small_state(bench, size):
    """The state directory on a file system of its own."""
    os.mkdir(bench.host.state, 0o700)
    run("mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "bh-state", bench.host.state)
    try:
        yield
    finally:
        run("umount", "--lazy", bench.host.state)


def refused(done, word):
    """One line of words, status 1, and the word in it."""
    expect(done.returncode, 1, f"status: {done.stderr}")
    expect(len(done.stderr.splitlines()), 1, f"lines of words: {done.stderr}")
    assert word in done.stderr, done.stderr


def apply_refused(bench, word):
    bench.next()
    refused(bench.host.bulkhead("apply", *bench.write(), status=None), word)
    bench.number -= 1
    bench.write()


def files(path):
    return sorted(os.path.join(top, name) for top, _, names in os.walk(path) for name in names)


# ---- the state directory ----

@tap
def a_first_apply_into_a_full_state_directory_attaches_nothing(lab):
    bench = Bench(lab, 0)
    with small_state(bench, "64k"):
        refused(bench.host.bulkhead("apply", *bench.write(), status=None), "No space left")
        expect(bench.programs(), {"in": [], "out": []}, "programs")
        expect(bench.arriving(), [True, True], "open ports")
        bench.host.bulkhead("detach")
        nothing_left(bench, "detached")


@tap
def a_state_directory_that_fills_up_leaves_the_policy_in_force(lab):
    bench = Bench(lab, 0)
    with small_state(bench, "4m"):
        bench.apply()
        bench.prober.since()
        pins, before = bench.pins(), files(bench.host.state)
        filler = os.path.join(bench.host.state, "filler")
        with open(filler, "wb", buffering=0) as file:
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
        apply_refused(bench, "No space left")
        expect([name for name in files(bench.host.state) if name != filler], before, "files")
        expect(bench.in_force(), 0, "policy in force")
        bench.apply()  # the same input: nothing of it is to be written
        os.unlink(filler)
        bench.next()
        bench.apply()
        settled(bench, pins, "when there is room")
        bench.prober.check("full")


@tap
def a_policy_in_force_whose_record_cannot_be_written_is_a_failure_that_says_so(lab):
    bench = Bench(lab, 0)
    bench.apply()
    pins = bench.pins()
    for _ in range(2):  # the first one is not as those that come after it
        bench.next()
        trace = bench.tracer.list("apply", *bench.write())
    last = [call for call in trace if call.name == "renameat" and "record.json" in call.text][-1]
    for form in ([], ["--json"]):
        bench.next()
        done = bench.tracer.fail(last, "ENOSPC", "apply", *form, *bench.write())
        refused(done, "the policy is in force, but cannot")
        assert "record.json': No space left on device; 'apply' again" in done.stderr, done.stderr
        expect(bench.in_force(), bench.number % 2, "policy in force")
    error = json.loads(done.stdout)["error"]
    expect((error["status"], len(error["messages"])), (1, 1), f"error: {error}")
    bench.apply()
    settled(bench, pins, "applied again")


@tap
def a_link_is_not_covered_before_the_record_can_name_it(lab):
    """Or nobody would miss its program."""
    bench = Bench(lab, 0)
    lab.link(bench.peer, bench.host, ("eth1", "eth1"), (["198.51.100.1/24"], ["198.51.100.2/24"]))
    index = kernel.ifindex(bench.host, "eth1")
    one, both = ["--interface", "eth0"], ["--interface", "eth0", "--interface", "eth1"]
    with small_state(bench, "1m"):
        bench.host.bulkhead("apply", *one, *bench.write())
        filler = os.path.join(bench.host.state, "filler")
        with open(filler, "wb", buffering=0) as file:
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
        done = bench.host.bulkhead("apply", *both, *bench.write(), status=None)
        refused(done, "record.json")
        assert "in force" not in done.stderr, done.stderr
        for way in ("in", "out"):
            expect(kernel.programs(bench.host, index, way), [], f"programs, {way}")
        os.unlink(filler)
        bench.host.bulkhead("apply", *both, *bench.write())
        bench.host.bulkhead("apply", *one, *bench.write())
        # Covered again under the number that it has kept: the record says that it was let go. Run from
        # elsewhere, which the record tells at the end alone.
        with contextlib.chdir(lab.folder):
            trace = bench.tracer.list("apply", *both, *bench.write())
        bench.host.bulkhead("apply", *one, *bench.write())
        last = [call for call in trace if call.name == "renameat"][-1]
        with contextlib.chdir(lab.folder):
            done = bench.tracer.fail(last, "ENOSPC", "apply", *both, *bench.write())
        refused(done, "the policy is in force, but cannot")
        bench.host.bulkhead("status")
        os.unlink(f"{bench.host.pins}/{kernel.VERSION}/links/native-in-{index}")
        done = bench.host.bulkhead("status", status=9)
        assert "link eth1 has no program of ours at ingress" in done.stdout, done.stdout


@tap
def a_read_only_state_directory_can_be_read_and_left(lab):
    """No apply, but status, rules, and above all detach."""
    bench = Bench(lab, 0)
    with small_state(bench, "8m"):
        bench.apply()
        bench.prober.since()
        pins = bench.pins()
        run("mount", "-o", "remount,ro", bench.host.state)
        apply_refused(bench, "Read-only file system")
        settled(bench, pins, "read-only")
        bench.host.bulkhead("status")
        bench.host.bulkhead("rules")
        bench.prober.check("read-only")
        done = bench.host.bulkhead("detach")
        assert done.stderr.startswith("warning: "), done.stderr
        nothing_left(bench, "detached")


@tap
def a_detach_with_a_full_state_directory_takes_everything_off(lab):
    bench = Bench(lab, 0)
    with small_state(bench, "1m"):
        bench.apply()
        with open(os.path.join(bench.host.state, "filler"), "wb", buffering=0) as file:
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
        done = bench.host.bulkhead("detach")
        assert done.stderr.startswith("warning: "), done.stderr
        nothing_left(bench, "detached")


@tap
def a_record_cut_at_any_byte_is_refused_and_not_half_believed(lab):
    bench = Bench(lab, 0)
    bench.apply()
    bench.prober.since()
    pins, path = bench.pins(), os.path.join(bench.host.state, "record.json")
    with open(path, "rb") as file:
        whole = file.read()
    cuts = {0, 1, len(whole) - 1, *random.sample(range(len(whole)), 12)}
    for cut in sorted(cuts):
        with open(path, "wb") as file:
            file.write(whole[:cut])
        apply_refused(bench, "is cut or was altered")
        untold(bench.host, 1, f"file '{path}' is cut or was altered")
        expect(bench.in_force(), 0, f"policy in force, the record cut at {cut}")
    # As the words say: moved away, it is begun anew, and nothing else is lost.
    os.rename(path, path + ".away")
    untold(bench.host, 1, "does not know it")
    bench.next()
    bench.apply()
    settled(bench, pins, "begun anew")
    bench.prober.check("cut")


@tap
def cut_counters_and_images_are_mended_by_the_next_apply(lab):
    bench = Bench(lab, 0)
    bench.apply()
    bench.next()
    bench.apply()
    bench.prober.since()
    pins = bench.pins()
    for path in files(bench.host.state):
        if path.endswith(("counters.json", ".image")):
            os.truncate(path, os.path.getsize(path) // 2)
    expect(bench.in_force(), 1, "policy in force")
    untold(bench.host, 2, ".image")
    shutil.rmtree(os.path.join(bench.host.state, "images"))
    untold(bench.host, 2, "is not kept any more; 'apply' again")
    done = bench.apply()
    assert done.stderr.count("warning: "), done.stderr
    settled(bench, pins, "the same policy again")
    bench.host.bulkhead("status")
    bench.next()
    bench.apply()
    settled(bench, pins, "another policy")
    bench.prober.check("cut")


def denied_only(bench, where):
    """Since the last look nothing denied arrived."""
    for lane, (sent, arrived, _) in bench.prober.since().items():
        assert not lane.startswith("denied") or not arrived, \
            f"{where}: {arrived} of {sent} got past a deny ({lane})"


def lose(bench, name):
    """Removes the pin of a map, or of all; the others say so, and no word that nothing is enforced."""
    maps = os.path.join(bench.host.pins, kernel.VERSION, "maps")
    for one in [name] if name else os.listdir(maps):
        os.unlink(os.path.join(maps, one))
    done = bench.host.bulkhead("status", status=9)
    assert "are missing" in done.stdout, done.stdout
    done = bench.host.bulkhead("rules", status=None)
    assert "are missing" in done.stderr, done.stderr


def made_good(bench, pins, where):
    bench.apply()
    denied_only(bench, where)
    settled(bench, pins, where)
    bench.prober.since()
    bench.prober.wait(20)
    bench.prober.check(where)


@tap
def a_pin_that_was_removed_is_told_and_made_good_by_the_next_apply(lab):
    bench = Bench(lab, 0)
    bench.apply()
    pins = bench.pins()
    for name in sorted(os.listdir(os.path.join(bench.host.pins, kernel.VERSION, "maps"))):
        bench.prober.wait(20)
        lose(bench, name)
        made_good(bench, pins, f"{name}, the same policy")
    for name in ("bh_active", "bh_image", None):
        bench.prober.wait(20)
        lose(bench, name)
        bench.next()
        made_good(bench, pins, f"{name or 'all maps'}, another policy")
    lose(bench, "bh_links")
    done = bench.host.bulkhead("detach")
    assert "are missing" in done.stderr, done.stderr
    nothing_left(bench, "detached")


CLSACT = "hooks: {ingress: clsact, egress: clsact}\n"


def made_good_at_clsact(bench):
    """What is lost is made good by each next apply."""
    bench.host_extra = CLSACT
    bench.apply()
    pins = bench.pins()
    for name in ("bh_active", "bh_image", None):
        bench.prober.wait(20)
        lose(bench, name)
        made_good(bench, pins, f"{name or 'all maps'}, with clsact")


@tap
def pins_that_were_removed_are_made_good_with_clsact(lab):
    bench = Bench(lab, 0)
    made_good_at_clsact(bench)
    lose(bench, None)
    bench.host.bulkhead("detach")
    nothing_left(bench, "detached")


@tap
def pins_that_were_removed_are_made_good_with_a_clsact_of_others(lab):
    """No pin among the links tells that there are filters: the links are asked."""
    bench = Bench(lab, 0)
    bench.host.run("tc", "qdisc", "add", "dev", "eth0", "clsact")
    made_good_at_clsact(bench)
    bench.host.bulkhead("detach")
    expect(bench.programs(), {"in": [], "out": []}, "programs, detached")


@tap
def an_apply_over_lost_pins_that_is_killed_opens_nothing(lab):
    bench = Bench(lab, 1)
    bench.host_extra = CLSACT  # no pin tells whose they are
    bench.apply()
    pins = bench.pins()
    lose(bench, "bh_active")
    trace = moments(bench.tracer.list("apply", *bench.write()))
    killed = 0
    for moment in bench.random.sample(trace, len(trace) if LONG else 16):
        call = bench.random.choice(moment)
        lose(bench, "bh_active")
        bench.prober.wait(5)
        killed += bench.tracer.kill(call, "apply", *bench.write())
        links = os.path.join(bench.host.pins, kernel.VERSION, "maps", "bh_links")
        if killed % 2 and os.path.exists(links):  # and another one is lost behind it
            lose(bench, "bh_links")
        denied_only(bench, f"killed at {call}")
        said = bench.host.bulkhead("status", status=None).stdout
        assert "not enforcing" not in said or "are missing" in said, said
        bench.apply()
        denied_only(bench, f"after a kill at {call}")
        settled(bench, pins, f"after a kill at {call}")
    assert killed > 8, f"{killed} runs were killed"


@tap
def what_a_run_has_left_that_was_killed_early_is_not_taken_for_one_that_enforces(lab):
    bench = Bench(lab, 0)
    pins = bench.host.pins
    folders = {name: os.path.join(pins, name) for name in (kernel.VERSION, "v8")}
    for name, folder in folders.items():
        os.makedirs(folder)
        words = f"left-overs lie under '{folder}', and nothing filters by them; 'detach' or the next " \
            "'apply' clears them away"
        told = bench.host.bulkhead_json("status", status=9)
        expect((told["enforced_by"], [line["words"] for line in told["problems"]]),
               ("nobody", [words]), name)
        expect(bench.host.bulkhead("rules", status=1).stderr, words + "\n", name)
        done = bench.host.bulkhead("detach")
        expect(done.stdout, f"nothing was enforced here: left-overs under '{pins}' are removed\n", name)
        nothing_left(bench, name)
        os.makedirs(folder)
        done = bench.host.bulkhead_json("detach")
        expect({key: done[key] for key in ("was_enforcing", "hooks", "generation", "left_overs")},
               {"was_enforcing": False, "hooks": 0, "generation": 0, "left_overs": True}, name)
    # And apply does clear them away.
    for folder in folders.values():
        os.makedirs(folder)
    bench.apply()
    expect(os.listdir(pins), [kernel.VERSION], "folders")
    # Where programs are taken off, something was enforced.
    os.unlink(os.path.join(folders[kernel.VERSION], "maps", "bh_active"))
    expect(bench.host.bulkhead("detach").stdout, "no longer enforcing: 2 programs taken off\n",
           "detach of lost pins")


@tap
def folders_that_somebody_has_made_among_the_pins_are_in_nobody_s_way(lab):
    bench = Bench(lab, 0)
    for hooks in ("", CLSACT):
        bench.host_extra = hooks
        bench.apply()
        names = set(os.listdir(f"{bench.host.pins}/{kernel.VERSION}/links"))
        for name in ("links/foo", "links/foo-in-1", "links/tcx-in-4000000000", "links/native/inner",
                     "maps/foo", "programs/foo", "foo"):
            os.makedirs(f"{bench.host.pins}/{kernel.VERSION}/{name}")
        told = bench.host.bulkhead_json("status")
        expect([link["name"] for link in told["links"]], ["eth0"], "links")
        bench.next()
        expect(bench.apply().stderr, "", "words of apply")
        bench.host.bulkhead("status")
        assert names < set(os.listdir(f"{bench.host.pins}/{kernel.VERSION}/links")), "links"
        done = bench.host.bulkhead("detach")
        expect((done.stdout.split(",")[0], done.stderr),
               ("no longer enforcing: 2 programs taken off", ""), "detach")
        nothing_left(bench, hooks)


# ---- who looks while a run is at work ----

def waits(process):
    """Whether that run waits for another one to end."""
    with contextlib.suppress(OSError):
        return any("pidfd" in os.readlink(path) for path in glob.glob(f"/proc/{process}/fd/*"))


def asked_while_at_work(bench, moment, *command):
    """
    Of a run that is stopped there status and rules say that it is at work; a status that is asked before it ends
    waits for that. What that one said.
    """
    asked = []

    def look(process):
        words = f"an apply or detach (process {process}) is at work here; ask again when it has ended"
        told = bench.host.bulkhead_json("status", status=9)
        seen = [line["words"] for line in told["problems"] if not line["words"].startswith("file '")]
        expect(seen, [words], f"{moment}: problems")
        if not told["enforcing"]:
            refused(bench.host.bulkhead("rules", status=None), words)
        asked.append(bench.host.popen(*bench.host.bulkhead_args("status", "--json"), text=True,
                                      stdout=subprocess.PIPE))
        wait_until(lambda: waits(asked[0].pid), what="a status that waits")

    bench.tracer.stop(moment, look, *command)
    return json.loads(asked[0].communicate()[0])


@tap
def a_run_that_is_at_work_is_not_taken_for_one_that_has_died(lab):
    bench = Bench(lab, 0)
    first = bench.tracer.list("apply", *bench.write())
    trace = bench.tracer.list("detach")
    taken_off = [call for call in trace if "BPF_LINK_DETACH" in call.text]
    unpinned = next(call for call in trace if call.name.startswith("unlink") and "/maps/" in call.text)
    attached = [call for call in first if "BPF_LINK_CREATE" in call.text
                and "target_ifindex=2147483632" not in call.text]
    # Everything is open, and no program is on its hook, or one is not.
    for moment in attached[-2:]:
        told = asked_while_at_work(bench, moment, "apply", *bench.write())
        expect((told["enforcing"], told["problems"]), (True, []), f"{moment}: behind it")
        bench.host.bulkhead("detach")
    # And the other way round; the last has lost a pin of the maps.
    for moment in (*taken_off, unpinned):
        bench.apply()
        told = asked_while_at_work(bench, moment, "detach")
        expect((told["enforced_by"], told["problems"]), ("nobody", []), f"{moment}: behind it")
    nothing_left(bench, "detached")
    # One that has died has let go of its lock, whatever process has its number now.
    bench.apply()
    assert bench.tracer.kill(taken_off[-1], "detach")
    assert "has died" in bench.host.bulkhead("status", status=9).stdout
    bench.host.bulkhead("detach")


@tap
def whoever_looks_again_and_again_over_runs_hears_of_none_that_has_died(lab):
    """Nor keeps one of them from its lock."""
    bench = Bench(lab, 0)
    bench.apply()
    args = " ".join(bench.host.bulkhead_args("apply", *bench.write()))
    detach = " ".join(bench.host.bulkhead_args("detach"))
    with bench.host.popen("sh", "-c", f"for i in 1 2 3 4 5; do {detach} && {args} || exit; done",
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as runs:
        count = 0
        while runs.poll() is None or not count:
            told = bench.status()
            assert not [line for line in told["problems"] if "at work" not in line["words"]], told
            count += 1
        expect((runs.returncode, runs.stderr.read()), (0, ""), "the runs")


@tap
def a_file_that_grows_while_it_is_read_is_refused(lab):
    bench = Bench(lab, 0)
    *_, path = bench.write()
    command = [bulkhead_program(), "check", path]
    with open(path, "a", encoding="utf-8") as file, subprocess.Popen(
            ["strace", "-qq", "-o", "/dev/null", "-P", path, "-e", "trace=read",
             "-e", "inject=read:delay_enter=300000", *command],
            stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None:
            file.write("# more\n")
            file.flush()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.01)
        words = process.stderr.read()
    expect(process.returncode, 3, f"status: {words}")
    assert "was changed while it was read" in words, words


@tap
def a_link_that_changes_while_its_folder_is_read_gives_no_half_of_each(lab):
    bench = Bench(lab, 0)
    link = os.path.join(lab.folder, "now")

    def lead_to(number):
        os.symlink(f"turn-{number}", link + ".next")
        os.rename(link + ".next", link)

    for number in range(2):
        bench.number = number
        host, text = bench.write()[1:]
        os.mkdir(os.path.join(lab.folder, f"turn-{number}"))
        os.rename(text, os.path.join(lab.folder, f"turn-{number}", "10.yaml"))
        lab.write(f"turn-{number}/20.yaml", "bulkhead: 1\nsets: {of-all: 192.0.2.1}\n")
    lead_to(0)
    command = ("apply", "--host", host, link)
    second = next(call for call in bench.tracer.list(*command) if '/20.yaml"' in call.text)
    words = bench.tracer.stop(second, lambda _: lead_to(1), *command, status=3)
    assert f"'{link}' was changed while it was read" in words, words
    expect(bench.in_force(), 0, "in force")
    bench.host.bulkhead(*command)
    expect(bench.in_force(), 1, "in force, read anew")


@tap
def no_bpffs_is_mounted_over_files_or_where_it_does_not_last(lab):
    bench = Bench(lab, 0)
    pins = os.path.join(lab.folder, "no-bpffs")
    path = lab.write("no-bpffs-file", "mine")
    os.mkdir(pins, 0o700)
    os.rename(path, os.path.join(pins, "file"))
    apply = [bulkhead_program(), "apply", "--pins", pins, "--state", bench.host.state,
             *bench.write()]
    refused(bench.host.run(*apply, check=False), "would be hidden")
    expect(os.listdir(pins), ["file"], "files")
    os.unlink(os.path.join(pins, "file"))
    # Process 1 is the shell, and its mount namespace is another one.
    alone = ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", 'unshare --mount "$@"; exit $?',
             "sh"]
    refused(bench.host.run(*alone, *apply, check=False), "gone with this mount namespace")
    # That is told also where process 1 may not be traced: with the four capabilities alone.
    few = "+sys_admin,+bpf,+net_admin,+perfmon"
    untraced = [*alone, "setpriv", "--bounding-set", f"-all,{few}", "--inh-caps", f"-all,{few}"]
    expect(bench.host.run(*untraced, "readlink", "/proc/1/ns/mnt", check=False).returncode, 1,
           "process 1 may be traced")
    refused(bench.host.run(*untraced, *apply, check=False), "gone with this mount namespace")
    # Where nobody can say so it is no reason to go on.
    blind = [*alone, "sh", "-c", 'mount --bind /dev/null /proc/1/mountinfo && exec "$@"', "sh"]
    refused(bench.host.run(*blind, *apply, check=False), "cannot be told")
    expect(bench.programs(), {"in": [], "out": []}, "programs")


# ---- memory ----

@contextlib.contextmanager
def memory_group(limit):
    """A memory cgroup of that many bytes; yields the file into which a process writes itself."""
    v2 = next((path for path in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")
               if "memory" in read(f"{path}/cgroup.subtree_control").split()), None)
    top, limit_file = (v2, "memory.max") if v2 else ("/sys/fs/cgroup/memory",
                                                     "memory.limit_in_bytes")
    group = f"{top}/bh-test-{os.getpid():x}"
    try:
        os.mkdir(group)
        with open(f"{group}/{limit_file}", "w", encoding="ascii") as file:
            file.write(str(limit))
    except OSError as error:
        with contextlib.suppress(OSError):
            os.rmdir(group)
        raise Skip(f"no memory cgroup can be made: {error}") from error
    try:
        yield f"{group}/cgroup.procs"
    finally:
        wait_until(lambda: not read(f"{group}/cgroup.procs"), what="the cgroup is empty")
        os.rmdir(group)


def read(path):
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""


@tap
def an_apply_that_runs_out_of_memory_leaves_the_policy_in_force(lab):
    """Refused or killed by the kernel, at whatever point the limit strikes."""
    bench = Bench(lab, 0)
    bench.host_extra = "tables: {flows: 8192, half_open: 4096, fragments: 1024}\n"
    bench.apply()
    bench.prober.since()
    pins, seen = bench.pins(), []
    for megabytes in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32):
        bench.next()
        # Tables of another size each time, so that all the state is made anew.
        bench.host_extra = ("tables: {flows: %d, half_open: 4096, fragments: 1024}\n"
                            % (16384 if bench.number % 2 else 8192))
        with memory_group(megabytes << 20) as procs:
            script = 'echo $$ > "$1" && shift && exec "$@"'
            done = bench.host.run("sh", "-c", script, "sh", procs,
                                  *bench.host.bulkhead_args("apply", *bench.write()), check=False)
        where = f"{megabytes} MB: status {done.returncode}: {done.stderr.strip()}"
        assert done.returncode in (0, 1, -9, 137), where
        seen.append(done.returncode)
        if done.returncode:
            bench.number -= 1
            expect(bench.in_force(), bench.number % 2, f"policy in force after {where}")
        bench.prober.check(where)
        bench.next()
        bench.host_extra = ""
        bench.apply()
        settled(bench, pins, where)
        bench.prober.check(f"{where}, then applied")
    print(f"# status by limit: {seen}")
    assert seen[0] and not seen[-1], f"no limit struck, or all did: {seen}"


# ---- descriptors ----

@tap
def an_apply_with_too_few_descriptors_says_so_and_changes_nothing(lab):
    """From none to spare up to enough: never a word of an old kernel, never half a policy."""
    bench = Bench(lab, 0)
    bench.apply()
    bench.prober.since()
    pins, seen = bench.pins(), []
    for limit in range(5, 60):
        bench.next()
        done = bench.host.run("prlimit", f"--nofile={limit}",
                              *bench.host.bulkhead_args("apply", *bench.write()), check=False)
        seen.append(done.returncode)
        if done.returncode:
            refused(done, "Too many open files")
            bench.number -= 1
        expect(bench.in_force(), bench.number % 2, f"policy in force with {limit} descriptors")
    assert seen[0] == 1 and seen[-1] == 0, seen
    bench.apply()
    settled(bench, pins, "with enough descriptors")
    bench.prober.check("few descriptors")


@tap
def a_load_with_too_few_descriptors_says_so_and_nothing_else(lab):
    """No word of a verifier, which has refused nothing, or of an apply that there was not; nothing is left."""
    bench = Bench(lab, 0)
    packet = f"in udp {PEER[4]}:1 {HOST[4]}:{FENCE}"

    def limited(limit, *command):
        done = bench.host.run("prlimit", f"--nofile={limit}", *bench.host.bulkhead_args(*command),
                              check=False)
        refused(done, "descriptors may be too short" if "did not reach" in done.stderr else
                "Too many open files")
        assert "=" not in done.stderr, done.stderr  # as what the kernel says of types

    # The first of them are too few for the programs' types, to ask whether they may have constants, for maps.
    for limit in (8, 14, 21, 22, 24):
        limited(limit, "apply", *bench.write())
        nothing_left(bench, f"{limit} descriptors")
    bench.apply()
    for limit in (15, 17, 20, 26, 31, 34, 45):
        limited(limit, "explain", packet)
    bench.host.bulkhead("explain", packet)
    bench.prober.end()


# ---- the size of files ----

def with_small_files(bench, size, *command):
    """Under ulimit -f, but that the kernel's own unit is bytes."""
    return bench.host.run("prlimit", f"--fsize={size}", *bench.host.bulkhead_args(*command), check=False)


@tap
def a_limit_of_the_size_of_files_is_a_failure_that_says_so_and_ends_no_run(lab):
    """The signal that comes with it would: without a word, and in the middle of a detach."""
    bench = Bench(lab, 0)
    bench.apply()
    bench.prober.since()
    pins, before = bench.pins(), files(bench.host.state)
    for size in (0, 1, 100, 10000):  # the lock, with a part of its number; the image
        bench.next()
        refused(with_small_files(bench, size, "apply", *bench.write()), "File too large")
        bench.number -= 1
        expect(files(bench.host.state), before, f"files, at most {size} bytes")
        expect(bench.in_force(), 0, f"policy in force, at most {size} bytes")
    bench.next()
    bench.apply()
    settled(bench, pins, "without a limit")
    bench.prober.check("small files")
    done = with_small_files(bench, 0, "detach")
    expect(done.returncode, 0, f"detach: {done.stderr}")
    assert done.stderr.startswith("warning: ") and "File too large" in done.stderr, done.stderr
    nothing_left(bench, "detached")


# ---- the clock ----

def clock_set(bench, days):
    """Words before a command of bulkhead's that make its wall clock wrong by so many days."""
    library = next((path for path in ("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
                                      "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1")
                    if os.path.exists(path)), None)
    if not library:
        raise Skip("libfaketime is not installed")
    return ["env", f"LD_PRELOAD={library}", f"FAKETIME={days:+}d", "FAKETIME_DONT_FAKE_MONOTONIC=1",
            *bench.host.bulkhead_args("apply")[:1]]


@tap
def a_wall_clock_that_is_set_changes_no_age_and_no_policy(lab):
    """
    The clock of the machine stays as it is: the program alone is told another one. What the
    programs in the kernel know of time is jiffies, which nobody sets. The last clock stands before 1970.
    """
    bench = Bench(lab, 0)
    bench.apply()
    bench.prober.since()
    pins = bench.pins()
    bench.prober.wait(50)
    for days in (1, -1, 400, -int(time.time() / 86400) - 2):
        bench.next()
        command = clock_set(bench, days)
        told = int(run(*command[:-1], "date", "+%s").stdout)
        assert abs(told - time.time() - days * 86400) < 60, "the clock is not set"
        places = ["--pins", bench.host.pins, "--state", bench.host.state]
        bench.host.run(*command, "apply", *places, *bench.write())
        settled(bench, pins, f"applied {days} days off")
        bench.prober.check(f"applied {days} days off")
        for host_clock in ([], command[:-1]):
            done = bench.host.run(*host_clock, command[-1], "flows", "--json", *places)
            flow = flows_of(done.stdout)[0]
            assert 0 <= flow["idle"] <= 5, f"{days} days off: {flow}"
        bench.host.run(*command, "status", *places)
    bench.host.bulkhead("status")


def flows_of(text):
    found = [flow for flow in json.loads(text)["flows"] if flow["protocol"] == "udp"]
    assert found, text
    return found


# ---- who may do what ----

@tap
def pins_and_state_are_root_s_alone(lab):
    bench = Bench(lab, 0)
    mask = os.umask(0)
    try:
        bench.apply()
        bench.next()
        bench.apply()
    finally:
        os.umask(mask)
    for top in (bench.host.pins, bench.host.state):
        for folder, folders, names in os.walk(top):
            for path, wanted in ([(folder, 0o700)] +
                                 [(os.path.join(folder, name), 0o600) for name in names]):
                about = os.lstat(path)
                if stat.S_ISLNK(about.st_mode):
                    continue
                expect((stat.S_IMODE(about.st_mode), about.st_uid), (wanted, 0), path)


# Maps that programs write. All others they may not, but for the word of the generation, see
# bpf/maps.bpf.h; arrays of maps no program can.
WRITTEN = {"bh_counters", "bh_events", "bh_limits", "bh_notes", "bh_quoted", "bh_state",
           "bh_untracked"}
MAPPED = "bh_active"
READ_ONLY = 0x80  # BPF_F_RDONLY_PROG


def tool(*args):
    return json.loads(run("bpftool", "-j", *args).stdout)


def number_of(numerals):
    return int.from_bytes((int(byte, 16) for byte in numerals), sys.byteorder)


def maps_of_programs(host):
    """{name: what bpftool shows} of all maps that the programs use; and of pages, by name of the outer."""
    folder, = glob.glob(f"{host.pins}/v*/programs/*")
    ids = {map_id for name in os.listdir(folder)
           for map_id in tool("prog", "show", "pinned", f"{folder}/{name}")["map_ids"]}
    maps = {each["name"]: each for each in (tool("map", "show", "id", str(i)) for i in ids)}
    pages = {name: [tool("map", "show", "id", str(number_of(element["value"])))
                    for element in tool("map", "dump", "id", str(each["id"]))]
             for name, each in maps.items() if each["type"] == "array_of_maps"}
    return maps, pages


@tap
def maps_that_programs_do_not_write_are_read_only_to_them_or_frozen(lab):
    bench = Bench(lab, 0)
    bench.apply()
    bench.next()
    bench.apply()
    maps, pages = maps_of_programs(bench.host)
    assert WRITTEN | {MAPPED, "bh_links", "bh_watch"} <= set(maps), sorted(maps)
    for name, each in maps.items():
        if name not in WRITTEN | {MAPPED} and each["type"] != "array_of_maps":
            assert each["flags"] & READ_ONLY, each
    for name in ("bh_image", "bh_self"):
        assert pages[name], f"{name} has no page"
        for page in pages[name]:
            expect((page["flags"] & READ_ONLY, page["frozen"]), (READ_ONLY, 1), f"page of {name}")
    bench.prober.end()


@tap
def pins_that_others_may_write_are_refused(lab):
    bench = Bench(lab, 0)
    os.mkdir(bench.host.pins)
    os.chmod(bench.host.pins, 0o777)
    refused(bench.host.bulkhead("apply", *bench.write(), status=None), "may be written by others")
    expect(bench.programs(), {"in": [], "out": []}, "programs")


@tap
def a_policy_that_others_may_write_is_refused_unless_told_otherwise(lab):
    bench = Bench(lab, 0)
    *_, path = args = bench.write()
    os.chmod(path, 0o666)
    done = bench.host.bulkhead("apply", *args, status=3)
    assert "--allow-writable" in done.stderr, done.stderr
    os.chmod(path, 0o600)
    shutil.chown(path, 65534)
    bench.host.bulkhead("apply", *args, status=3)
    expect(bench.programs(), {"in": [], "out": []}, "programs")
    bench.host.bulkhead("apply", "--allow-writable", *args)
    expect(bench.in_force(), 0, "policy in force")


if __name__ == "__main__":
    tap.main()

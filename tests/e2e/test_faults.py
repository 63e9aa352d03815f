#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
Every system call of an apply made to fail in turn: the old policy stays in force, the exit status
is not 0, one line says what and where, and nothing is leaked. Or the fault does no harm: then
the new policy is in force, and what was left undone is a warning.
"""

import json
import os
import random
import re
import shutil
import time

import calls
import kernel
from netlab import Skip, Tap
from test_traffic import expect
from turns import Bench, may_enforce, nothing_left, settled

tap = Tap()

# What a call can fail with on a machine in trouble; EINTR where a signal can come in between.
ERRORS = {
    "access": "EACCES EIO", "bind": "ENOMEM", "bpf": "EPERM ENOMEM ENOSPC EBUSY EINTR",
    "capget": "EPERM", "capset": "EPERM", "clone": "EAGAIN ENOMEM", "dup3": "EMFILE",
    "faccessat2": "EIO", "fcntl": "EMFILE", "flock": "EINTR ENOLCK", "fsync": "EIO ENOSPC EINTR",
    "ftruncate": "EIO", "getcwd": "ENOENT ENOMEM", "getdents64": "EIO ENOMEM",
    "getrandom": "EINTR ENOSYS", "getsockname": "ENOBUFS", "ioctl": "EIO", "mkdir": "EACCES ENOSPC EROFS",
    "mkdirat": "EACCES ENOSPC EROFS", "mmap": "ENOMEM", "newfstatat": "EIO EACCES ENOMEM",
    "openat": "EMFILE ENFILE EACCES EIO", "prctl": "EPERM EINVAL", "pread64": "EIO",
    "prlimit64": "EPERM", "pwrite64": "ENOSPC EIO", "read": "EIO EINTR", "readlink": "EIO",
    "recvmsg": "ENOBUFS ENOMEM EINTR", "renameat": "ENOSPC EIO EROFS", "rmdir": "EIO",
    "sendto": "ENOBUFS EPERM ENOMEM EINTR", "setsockopt": "ENOMEM", "socket": "EMFILE ENOBUFS",
    "statfs": "EIO", "symlink": "ENOSPC EROFS", "sysinfo": "EFAULT", "unlink": "EIO EROFS",
    "unlinkat": "EIO EROFS", "wait4": "EINTR ECHILD", "write": "ENOSPC EIO EINTR EDQUOT",
}
# Those that cannot fail, or whose failure changes nothing, as that of a hint; and the C library's own, which dies of a
# heap that cannot grow from the first moment on and else takes other memory.
NEVER = set("brk close exit_group getegid geteuid getgid getpid gettid getuid madvise munmap uname "
            "rt_sigaction rt_sigprocmask clock_nanosleep lseek".split())


def faults(trace, generator):
    """(call, error) for each place where a call is made; with BULKHEAD_LONG every error of each."""
    for site in calls.sites(trace):
        name = site[0].name
        if name in NEVER:
            continue
        errors = ERRORS[name].split()
        for error in errors if calls.LONG else [generator.choice(errors)]:
            yield generator.choice(site), error


def words_of(done, where):
    """What a run said, as it must: nothing but warnings, or one line of what and where."""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]
    assert done.returncode in (0, 1, 2, 3, 4, 5, 6), f"{where}: status {done.returncode}"
    expect(len(lines), 1 if done.returncode else 0, f"{where}: lines of words\n{done.stderr}")
    return lines[0] if lines else ""


# Behind the flip nothing is taken back, and for these there is no status 0 all the same: the program
# has ended in the middle, its output has gone nowhere, or nothing is recorded.
LATE = re.compile("bulkhead: out of memory|generation [0-9]+ is in force, but cannot write the output"
                  "|no longer enforcing, but cannot write the output|the policy is in force, but cannot ")


@tap
def each_system_call_of_an_apply_may_fail(lab):
    seed, start = random.randrange(1 << 32), time.monotonic()
    bench = Bench(lab, seed)
    bench.apply()
    pins = bench.pins()
    traces = {}
    for _ in range(3):  # the first one is not as those that come after it
        bench.next()
        traces[bench.number % 2] = bench.tracer.list_with_stacks("apply", *bench.write())
    bench.prober.since()  # before the first apply nothing was denied
    count = {"failed": 0, "done": 0}
    chosen = list(faults(traces[0], bench.random))
    for number, (call, error) in enumerate(chosen):
        if bench.number % 2 == 0:
            bench.next()
            bench.apply()
            bench.prober.check(f"seed {seed}: applied after {count}")
        bench.next()
        where = f"seed {seed}: {error} from {call}"
        done = bench.tracer.fail(call, error, "apply", *bench.write())
        words = words_of(done, where)
        if bench.in_force() != bench.number % 2:
            assert done.returncode, f"{where}: status 0, and the old policy is in force"
            count["failed"] += 1
            bench.number -= 1
        else:
            assert not done.returncode or LATE.match(words), \
                f"{where}: status {done.returncode}, and the new policy is in force: {words}"
            count["done"] += 1
        bench.prober.check(where)
        expect({way: len(ids) for way, ids in bench.programs().items()}, {"in": 1, "out": 1},
               f"{where}: programs at the hooks")
        if number % 4 == 3 or not done.returncode:
            bench.next()
            bench.apply()
            settled(bench, pins, f"{where}, then applied")
    bench.prober.end()
    print(f"# apply: {len(chosen)} calls made to fail, seed {seed}: {count};"
          f" {time.monotonic() - start:.0f} s", flush=True)
    assert min(count.values()) > 10, count


@tap
def each_system_call_of_a_first_apply_may_fail(lab):
    """Those that no later apply makes: nothing is in force then, and nothing is attached."""
    seed, start = random.randrange(1 << 32), time.monotonic()
    bench = Bench(lab, seed)
    trace = bench.tracer.list_with_stacks("apply", *bench.write())
    bench.next()
    later = {(call.name, call.stack)
             for call in bench.tracer.list_with_stacks("apply", *bench.write())}
    bench.host.bulkhead("detach")
    count = {"failed": 0, "done": 0}
    for call, error in faults(trace, bench.random):
        if (call.name, call.stack) in later:
            continue
        bench.next()
        where = f"seed {seed}: {error} from {call}"
        done = bench.tracer.fail(call, error, "apply", *bench.write())
        words = words_of(done, where)
        programs = {way: len(ids) for way, ids in bench.programs().items()}
        if done.returncode and not LATE.match(words):
            expect(programs, {"in": 0, "out": 0}, f"{where}: programs at the hooks")
            expect(bench.arriving(), [True, True], f"{where}: open ports")
            count["failed"] += 1
            pins = [name for *_, names in os.walk(bench.host.pins) for name in names]
            assert not pins or "stays: " in words, f"{where}: pins left: {pins}: {words}"
        else:
            expect(programs, {"in": 1, "out": 1}, f"{where}: programs at the hooks")
            bench.in_force()
            count["done"] += 1
        bench.host.bulkhead("detach")
        nothing_left(bench, where)
    bench.prober.end()
    print(f"# first apply: seed {seed}: {count}; {time.monotonic() - start:.0f} s", flush=True)
    assert count["failed"] > 10, count


def refuse_memory(at, count=""):
    """Words before a command: of the pieces of memory that libbpf asks for, that one is refused."""
    library = os.environ.get("NO_MEMORY_LIBRARY")
    if not library:
        raise Skip("NO_MEMORY_LIBRARY names no library: meson does, but beside sanitizers")
    return ["env", f"LD_PRELOAD={library}", "NO_MEMORY_OF=/libbpf.so", f"NO_MEMORY_AT={at}",
            f"NO_MEMORY_COUNT={count}"]


def each_refused(host, steps, command, *args):
    """Runs with of that many pieces one refused each, from a drawn one on: (which, the completed process)."""
    command = host.bulkhead_args(command, *args)
    path = os.path.join(host.lab.folder, "count")
    done = host.run(*refuse_memory(0, path), *command, check=False)
    with open(path, encoding="ascii") as file:
        count = int(file.read())
    yield f"none of {count}", done
    first = random.randrange(count // steps)
    for at in range(1 + first, count + 1, count // steps):
        yield (f"{at} of {count}",
               host.run(*refuse_memory(at), *command, check=False, timeout=60))


@tap
def a_kernel_that_libbpf_has_no_memory_to_ask_is_told_from_one_that_lacks_something(lab):
    bench = Bench(lab, 0)

    def findings(done):
        return [each for each in json.loads(done.stdout)["findings"] if each["subject"] != "tables"]

    runs = each_refused(bench.host, 30, "doctor", "--json", "--interface", "eth0")
    whole, unknown = findings(next(runs)[1]), 0
    for where, done in runs:
        found = findings(done)
        if found == whole:
            continue  # what can be done without
        assert found[0]["level"] == "unknown", f"{where}: {found}"
        assert found[0]["words"].endswith("Cannot allocate memory"), f"{where}: {found[0]}"
        unknown += 1
    bench.prober.end()
    assert unknown > 5, unknown


@tap
def a_first_apply_whose_libbpf_has_no_memory_says_so_and_leaves_nothing(lab):
    """Or it does without, and all is as otherwise."""
    bench = Bench(lab, 0)
    runs = each_refused(bench.host, 20, "apply", *bench.write())
    expect(next(runs)[1].returncode, 0, "status")
    pins = bench.pins()
    bench.host.bulkhead("detach")
    failed = 0
    for where, done in runs:
        words = words_of(done, where)
        if not done.returncode:
            expect(bench.pins(), pins, f"{where}: pins")
            bench.host.bulkhead("detach")
            continue
        failed += 1
        expect(done.returncode, 1, f"{where}: status: {words}")
        assert re.search("Cannot allocate memory|memory or descriptors may be too short$", words), \
            f"{where}: {words}"
        assert "=" not in words, f"{where}: {words}"  # as what the kernel says of types
        nothing_left(bench, where)
    bench.prober.end()
    assert failed > 5, failed


def between(trace, first, last):
    """
    The calls that can fail behind those of the one function and before those of the other. Memory is not
    meant: without it the program ends where it is.
    """
    start = max(i for i, call in enumerate(trace) if call.is_in(first))
    end = min(i for i, call in enumerate(trace) if call.is_in(last))
    return [call for call in trace[start + 1:end] if call.name not in NEVER | {"mmap"}]


def record_write(trace):
    """The call by which the record that names the next generation comes to be."""
    return next(call for call in trace
                if call.name == "renameat" and "record.json" in call.text)


@tap
def a_first_apply_that_fails_once_it_has_loaded_leaves_no_pins_and_no_state(lab):
    """Before anything is prepared; and where the record cannot be written, though its image was."""
    bench = Bench(lab, 0)
    trace = bench.tracer.list_with_stacks("apply", *bench.write())
    bench.host.bulkhead("detach")
    chosen, count = [*between(trace, "load_make", "fill_image"), record_write(trace)], 0
    for call in chosen:
        shutil.rmtree(bench.host.state, ignore_errors=True)
        error = ERRORS[call.name].split()[0]
        where = f"{error} from {call}"
        done = bench.tracer.fail(call, error, "apply", *bench.write())
        words_of(done, where)
        count += done.returncode != 0
        if not done.returncode:
            bench.host.bulkhead("detach")
            continue
        nothing_left(bench, where)
        assert not os.path.exists(bench.host.state), \
            f"{where}: state left: {kernel.tree(bench.host.state)}"
    bench.prober.end()
    print(f"# {count} of {len(chosen)} calls made it fail", flush=True)
    assert count > 3, [str(call) for call in chosen]


@tap
def an_image_that_never_came_into_force_is_not_kept(lab):
    """Of an apply whose record cannot be written. One that a generation before uses stays."""
    bench = Bench(lab, 0)
    images = os.path.join(bench.host.state, "images")
    for _ in range(3):
        bench.apply()
        bench.next()
    for bench.number, failing in ((3, 4), (2, 3)):
        trace = bench.tracer.list("apply", *bench.write())
        before = kernel.tree(images)
        expect(len(before), 4, f"images: {before}")
        bench.number = failing
        done = bench.tracer.fail(record_write(trace), "ENOSPC", "apply", *bench.write())
        expect(done.returncode, 1, f"{failing}: status")
        assert "record.json" in words_of(done, str(failing)), done.stderr
        expect(kernel.tree(images), before, f"{failing}: images")
    bench.prober.end()


@tap
def each_system_call_of_a_detach_may_fail(lab):
    """
    Both hooks are left with the whole policy, or everything passes, and the next detach ends it. Every second
    place at a time; with BULKHEAD_LONG all.
    """
    seed, start = random.randrange(1 << 32), time.monotonic()
    bench = Bench(lab, seed)
    bench.apply()
    trace = bench.tracer.list_with_stacks("detach")
    nothing_left(bench, "traced")
    count = {"failed": 0, "done": 0}
    chosen = list(faults(trace, bench.random))
    for call, error in chosen if calls.LONG else chosen[bench.random.randrange(2)::2]:
        bench.apply()
        where = f"seed {seed}: {error} from {call}"
        done = bench.tracer.fail(call, error, "detach")
        words = words_of(done, where)
        if done.returncode:
            if not LATE.match(words):
                may_enforce(bench, where)
            bench.host.bulkhead("detach")
        count["failed" if done.returncode else "done"] += 1
        nothing_left(bench, where)
        assert all(bench.arriving()), f"{where}: a port is closed after detach"
    bench.prober.end()
    print(f"# detach: seed {seed}: {count}; {time.monotonic() - start:.0f} s", flush=True)
    assert min(count.values()) > 5, count


def page_writes(trace):
    """The calls that fill a page: it is frozen right behind them. Constants of programs are not meant."""
    bpf = [call for call in trace if call.name == "bpf" and not call.is_in("load_skeleton_load")]
    return [call for call, then in zip(bpf, bpf[1:])
            if "BPF_MAP_UPDATE_ELEM" in call.text and "BPF_MAP_FREEZE" in then.text]


@tap
def a_page_that_does_not_read_back_as_written_is_not_put_into_force(lab):
    """A kernel that says that it has written, and has not: of the image, and of own addresses."""
    bench = Bench(lab, 0)
    bench.apply()
    pins = bench.pins()
    bench.prober.since()

    def change():
        """Another policy, and another own address."""
        bench.next()
        bench.host.run("ip", "address", "add", f"203.0.113.{bench.number}/32", "dev", "eth0")

    for _ in range(2):  # the first one is not as those that come after it
        change()
        writes = page_writes(bench.tracer.list_with_stacks("apply", *bench.write()))
    expect(len(writes), 2, "pages written")
    for call, page in zip(writes, ("bh_image", "bh_self")):
        change()
        bench.apply()
        change()
        done = bench.tracer.skip(call, "apply", *bench.write())
        expect(done.returncode, 1, f"{call}: status")
        expect(words_of(done, str(call)), f"a page of map {page} does not read back as written",
               "words")
        bench.prober.check(str(call))
        expect(bench.in_force(), (bench.number - 1) % 2, f"{call}: policy in force")
        bench.apply()
        settled(bench, pins, f"{call}, then applied")
    bench.prober.end()


@tap
def a_folder_of_pins_that_cannot_be_read_is_no_empty_one(lab):
    """A detach that took it for one would say that nothing was there, and leave everything."""
    bench = Bench(lab, 0)
    bench.apply()
    trace = bench.tracer.list("detach")
    reads = [call for call in trace if call.name == "getdents64"]
    assert len(reads) > 5, reads
    for call in reads:
        bench.apply()
        done = bench.tracer.fail(call, "EIO", "detach")
        expect(done.returncode, 1, f"{call}: status")
        assert "cannot read folder" in words_of(done, str(call)), done.stderr
        bench.host.bulkhead("detach")
        nothing_left(bench, str(call))
    bench.prober.end()


if __name__ == "__main__":
    tap.main()

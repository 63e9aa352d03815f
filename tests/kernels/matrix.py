#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""
matrix: runs the tests that need a kernel under each of Debian's.

usage: tests/kernels/matrix.py [--out FILE] [--record] [--brief | --arch arm64 | KERNEL...]
                                                                                by default all

Each kernel runs what stands below: tests of the programs with the verdict tables, and real
traffic, each on a machine of its own that scripts/vmtest boots, as many at a time as there are
CPUs. 6.1 does part of it once more with hardened programs. A kernel that is too old has to refuse.
--brief: 6.1 alone, whether it takes the programs, and whether they decide at each of its hooks, in
about a minute. --arch arm64: 6.1 of that architecture, with what is built for it. --out gets a line
of JSON a test, for scripts/report-tests. --record writes what the verifier counted to
tests/kernels/instructions.
"""
import argparse
import collections
import contextlib
import json
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
VMTEST = os.path.join(TOP, "scripts", "vmtest")
RECORD = os.path.join(HERE, "instructions")
LONG = os.environ.get("BULKHEAD_LONG") == "1"

KERNELS = ("6.1", "6.12", "6.18", "newest", "5.10")
TOO_OLD = ("5.10",)
HARDENING = "6.1"   # runs part of it once more, with net.core.bpf_jit_harden=2
SECONDS = 7200 if LONG else 900  # of one machine; an idle host needs a fifth
APPEND = "rcupdate.rcu_expedited=1"  # else a test waits longer for idle CPUs than it runs
NOT_HERE = 77      # vmtest: the kernel cannot be had
SLOWDOWN = 8       # of a test's time limit: emulation, and as many machines as there are CPUs

# Names of tests out of meson, by machine. Those with the programs held run as many at a time as it
# has CPUs, each on programs of its own, traffic alone. Floods, full tables and races are not here:
# they take minutes each under emulation, and what they ask of is our own code, not the kernel's.
HELD = ("bpf-budget", "bpf-refusal", "bpf-skb", "bpf-flows", "bpf-icmp", "tables-judges")
TRAFFIC = ("e2e-hooks", "e2e-caps", "e2e-network")
HARDENED = ("bpf-budget", "bpf-skb", "tables-judges")
HARDENED_TRAFFIC = ("e2e-hooks",)
REFUSED = ("refused",)

# With BULKHEAD_LONG=1 these besides, and all points of those above.
LONG_HELD = ("bpf-count", "bpf-event", "bpf-flips", "bpf-fragment", "bpf-headers", "bpf-never",
             "bpf-parse", "bpf-reason", "bpf-states", "policies-judges", "random-judges-1")
WORDS = {"e2e-hooks": ["native_xdp_and", "clsact_alone", "generic_xdp_does"],
         "e2e-caps": ["a_later_apply", "everything_works"],
         "e2e-network": ["judged_at_clsact"]}

BRIEF = "6.1"  # the oldest that can be booted, and Debian 12's
BRIEF_HELD = ("bpf-budget", "bpf-refusal", "bpf-skb", "tables-judges")
BRIEF_TRAFFIC = ("e2e-hooks", "e2e-network")

ARM64 = "6.1"
ARM64_HELD = ("bpf-budget", "bpf-loaded", "bpf-refusal", "bpf-skb", "bpf-flows", "bpf-icmp",
              "bpf-states", "bpf-hammer", "tables-judges")

# What is built, how it is started under a kernel and within how many seconds; label stands before
# the names of tests.
Machines = collections.namedtuple("Machines", "build vmtest seconds label")
OWN = Machines(os.path.join(TOP, "build"), (VMTEST,), SECONDS, "")
FOREIGN = Machines(os.path.join(TOP, "build-arm64"), (VMTEST, "--arch", "arm64"), 4 * SECONDS,
                   "arm64 ")

# Other arguments than at home, where a test takes too long.
ARGUMENTS = {"random-judges-1": ["random", "1", "40", "200"]}


def known_tests(machines):
    """Every test of the build by its name."""
    with open(os.path.join(machines.build, "meson-info", "intro-tests.json"), encoding="utf-8") as file:
        return {test["name"]: test for test in json.load(file)}


def chosen(known, names):
    """The tests of these names; one that is not there is a mistake above."""
    for name in names:
        if name not in known:
            raise SystemExit(f"matrix: no test is called {name}")
        yield known[name]


def entry(title, test):
    command = list(test["cmd"])
    if os.path.basename(command[0]).startswith("python"):
        command[0] = "/usr/bin/python3"  # Debian's: this machine's own may not be in the guest
    if test["name"] in ARGUMENTS:
        command[1:] = ARGUMENTS[test["name"]]
    if not LONG:
        command += WORDS.get(test["name"], [])
    return {"name": f"{title} {test['name']}", "cmd": command,
            "timeout": test["timeout"] * SLOWDOWN}


def plan(machines, kernel, kind, names, hardened=False):
    """What guest.py does in one machine. kind: programs (which it holds), traffic or refusal."""
    known = known_tests(machines)
    title = machines.label + kernel + (" hardened" if hardened else "")
    held = kind == "programs"
    return {"kernel": kernel, "title": f"{title} {kind}",
            "tests": [entry(title, test) for test in chosen(known, names)],
            "held": held,
            "sysctl": {"net/core/bpf_jit_harden": "2"} if hardened else {}}


def plans_of(machines, kernel, brief=False):
    """The machines with a kernel."""
    if machines == FOREIGN:
        return [plan(machines, kernel, "programs", ARM64_HELD)]
    if brief:
        return [plan(machines, kernel, "programs", BRIEF_HELD),
                plan(machines, kernel, "traffic", BRIEF_TRAFFIC)]
    if kernel in TOO_OLD:
        return [plan(machines, kernel, "refusal", REFUSED)]
    plans = [plan(machines, kernel, "programs", HELD + LONG_HELD if LONG else HELD),
             plan(machines, kernel, "traffic", TRAFFIC)]
    if kernel == HARDENING:
        plans.append(plan(machines, kernel, "programs", HARDENED, hardened=True))
        plans.append(plan(machines, kernel, "traffic", HARDENED_TRAFFIC, hardened=True))
    return plans


def result_of(name, result, stdout, stderr="", status=0):
    return {"name": name, "stdout": stdout, "stderr": stderr, "result": result,
            "returncode": status, "duration": 0}


def lines_of(machines, one):
    """Boots a machine; yields what guest.py prints, then a result for each test without."""
    missing = [test["name"] for test in one["tests"]]
    console = os.path.join(machines.build, f"console-{one['title'].replace(' ', '-')}")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(console)
    with tempfile.NamedTemporaryFile("w", suffix=".json", dir=machines.build) as file:
        json.dump(one, file)
        file.flush()
        machine = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *machines.vmtest, "--seconds",
             str(machines.seconds), "--append", APPEND, "--console", console, one["kernel"], "sh",
             "-c", f"cd {machines.build} && exec /usr/bin/python3 {HERE}/guest.py {file.name}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            errors="replace", cwd=TOP)
        words = ""
        for text in machine.stdout:
            try:
                line = json.loads(text)
            except ValueError:
                words += text
                continue
            if not isinstance(line, dict):
                words += text
                continue
            if "name" in line:
                missing.remove(line["name"])
            yield line
        said = machine.stderr.read()
        sys.stderr.write(said)  # also that a machine did not come up at once
        words += said
        status = machine.wait()
    if missing or status:
        with contextlib.suppress(FileNotFoundError), open(console, encoding="utf-8",
                                                          errors="replace") as file:
            words += "".join(file.readlines()[-80:])  # with the stacks of a panic
    for name in missing or ([f"{one['title']} guest.py"] if status else []):
        yield result_of(name, "ERROR", f"Bail out! the machine ended with status {status}", words,
                        status)
        words = ""


def fetch(machines, kernel):
    """Has the kernel in the cache. Results, where it cannot be had."""
    fetched = subprocess.run([*machines.vmtest, "--fetch", kernel], stdin=subprocess.DEVNULL,
                             capture_output=True, text=True, check=False)
    name = machines.label + kernel
    if fetched.returncode == NOT_HERE:
        return [result_of(name, "SKIP", f"1..0 # SKIP {fetched.stderr.strip().splitlines()[-1]}")]
    if fetched.returncode:
        return [result_of(name, "ERROR", "Bail out! vmtest failed", fetched.stderr,
                          fetched.returncode)]
    return []


def work(machines, todo, lines):
    """Runs one machine after the other; what they say goes to lines, in the end None."""
    try:
        while True:
            one = todo.get_nowait()
            begin = time.monotonic()
            for line in lines_of(machines, one):
                lines.put(line)
            lines.put({"title": one["title"], "seconds": time.monotonic() - begin})
    except queue.Empty:
        pass
    finally:  # also behind an exception: run misses what the machine has to say at its end
        lines.put(None)


def run(machines, kernels, brief):
    """What all machines say, as it comes."""
    todo, lines, plans = queue.Queue(), queue.Queue(), []
    for kernel in kernels:
        failed = fetch(machines, kernel)
        yield from failed
        plans += [] if failed else plans_of(machines, kernel, brief)
    for one in sorted(plans, key=lambda one: one["held"]):  # traffic takes longest
        todo.put(one)
    titles = {one["title"] for one in plans}
    workers = [threading.Thread(target=work, args=(machines, todo, lines), daemon=True)
               for _ in range(os.cpu_count() or 1)]
    for worker in workers:
        worker.start()
    for _ in workers:
        for line in iter(lines.get, None):
            titles.discard(line.get("title"))
            yield line
    for title in titles:
        yield result_of(title, "ERROR", "Bail out! what ran its machine has failed")


# ---- what the verifier counted -------------------------------------------------------------------

def read_record():
    """The words above the table, and {kernel: {program: instructions}}."""
    with open(RECORD, encoding="utf-8") as file:
        lines = file.read().splitlines()
    words = [line for line in lines if line.startswith("#")]
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    return words, {row[0]: dict(zip(rows[0][1:], row[1:])) for row in rows[1:]}


def write_record(counted):
    """Replaces the rows of the kernels that were met; adds those that are new."""
    words, table = read_record()
    for kernel, program, n in counted:
        table.setdefault(kernel, {})[program] = n
    programs = list(dict.fromkeys(program for row in table.values() for program in row))
    rows = [["kernel", *programs]] + [
        [kernel, *(table[kernel].get(program, "-") for program in programs)]
        for kernel in sorted(table, key=lambda name: [int(n) for n in re.findall(r"\d+", name)])]
    with open(RECORD, "w", encoding="utf-8") as file:
        file.write("\n".join(words) + "\n")
        for row in rows:
            file.write("".join(f"{cell:<14}" for cell in row).rstrip() + "\n")


def main(args):
    parser = argparse.ArgumentParser(usage="tests/kernels/matrix.py [--out FILE] [--record] "
                                           "[--brief | --arch arm64 | KERNEL...]")
    parser.add_argument("--out")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--brief", action="store_true")
    parser.add_argument("--arch", choices=["arm64"])
    parser.add_argument("kernels", nargs="*", metavar="KERNEL")
    options = parser.parse_args(args)
    if (options.brief or options.arch) and options.kernels or options.brief and options.arch:
        parser.error("--brief and --arch are of one kernel")
    if options.record and options.arch:
        parser.error("--record is of this machine's own architecture")
    machines = FOREIGN if options.arch else OWN
    one = BRIEF if options.brief else ARM64 if options.arch else None
    kernels = list(dict.fromkeys(options.kernels)) or ([one] if one else KERNELS)
    if set(kernels) - set(KERNELS):
        parser.error(f"KERNEL is one of {' '.join(KERNELS)}")
    os.nice(10)
    failed, counted = False, []
    with open(options.out or os.devnull, "w", encoding="utf-8") as out:
        for line in run(machines, kernels, options.brief):
            if "seconds" in line:
                print(f"{line['title']:40} {'':8} {line['seconds']:.1f} s", flush=True)
                continue
            if "instructions" in line:
                counted += [row.split() for row in line["instructions"].splitlines()]
                continue
            out.write(json.dumps(line) + "\n")
            failed |= line["result"] not in ("OK", "SKIP")
            print(f"{line['name']:40} {line['result']:8} {line['duration']:.1f} s", flush=True)
            if not options.out and line["result"] != "OK":
                print(line["stdout"] + line.get("stderr", ""))
    if options.record:
        write_record(counted)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

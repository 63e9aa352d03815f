#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""
matrix: runs the tests that need a kernel under each of Debian's.

usage: tests/kernels/matrix.py [--out FILE] [--record] [--brief | KERNEL...]      by default all

Each kernel is booted once, by scripts/vmtest, and runs what stands below: tests of the programs, the
verdict tables, and real traffic. 6.1 does part of it once more with hardened programs. A kernel that
is too old has to refuse. --brief: 6.1 alone, whether it takes the programs, and whether they decide at
each of its hooks, in about a minute. --out gets a line of JSON a test, for scripts/report-tests. --record writes
what the verifier counted to tests/kernels/instructions.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.join(TOP, "build")
VMTEST = os.path.join(TOP, "scripts", "vmtest")
RECORD = os.path.join(HERE, "instructions")
LONG = bool(os.environ.get("BULKHEAD_LONG"))

KERNELS = ("6.1", "6.12", "6.18", "newest", "5.10")
TOO_OLD = ("5.10",)
HARDENING = "6.1"   # runs part of it once more, with net.core.bpf_jit_harden=2
SECONDS = 7200 if LONG else 900  # of one machine; an idle host needs a tenth
APPEND = "rcupdate.rcu_expedited=1"  # else a test waits longer for idle CPUs than it runs
NOT_HERE = 77      # vmtest: the kernel cannot be had
SLOWDOWN = 8       # of a test's time limit: emulation, and two tests at a time

# Names of tests out of meson, by stage. Those with the programs held run two at a time, each on
# programs of its own, traffic alone. Floods, full tables and races are not here: they take
# minutes each under emulation, and what they ask of is our own code, not the kernel's.
HELD = ("bpf-budget", "bpf-skb", "bpf-flows", "bpf-icmp", "tables-judges")
TRAFFIC = ("e2e-hooks",)
HARDENED = ("bpf-budget", "tables-judges")
REFUSED = ("refused",)

# With BULKHEAD_LONG=1 these besides, and all points of those above.
LONG_HELD = ("bpf-count", "bpf-event", "bpf-flips", "bpf-fragment", "bpf-headers", "bpf-never",
             "bpf-parse", "bpf-reason", "bpf-states", "policies-judges", "random-judges-1")
WORDS = {"e2e-hooks": ["native_xdp_and", "clsact_alone", "generic_xdp_does"]}

BRIEF = "6.1"  # the oldest that can be booted, and Debian 12's
BRIEF_HELD = ("bpf-budget", "bpf-skb", "tables-judges")

# Other arguments than at home, where a test takes too long.
ARGUMENTS = {"random-judges-1": ["random", "1", "40", "200"]}


def known_tests():
    """Every test of the build by its name."""
    with open(os.path.join(BUILD, "meson-info", "intro-tests.json"), encoding="utf-8") as file:
        return {test["name"]: test for test in json.load(file)}


def chosen(known, names):
    """The tests of these names; one that is not there is a mistake above."""
    for name in names:
        if name not in known:
            raise SystemExit(f"matrix: no test is called {name}")
        yield known[name]


def entry(kernel, test, word=""):
    command = list(test["cmd"])
    if os.path.basename(command[0]).startswith("python"):
        command[0] = "/usr/bin/python3"  # Debian's: this machine's own may not be in the guest
    if test["name"] in ARGUMENTS:
        command[1:] = ARGUMENTS[test["name"]]
    if not LONG:
        command += WORDS.get(test["name"], [])
    return {"name": f"{kernel}{word} {test['name']}", "cmd": command,
            "timeout": test["timeout"] * SLOWDOWN}


def stage(kernel, names, held=True, sysctl=None, word=""):
    known = known_tests()
    return {"tests": [entry(kernel, test, word) for test in chosen(known, names)],
            "held": held, "workers": 2 if held else 1, "sysctl": sysctl or {}}


def plan_of(kernel, brief=False):
    """What guest.py does under a kernel."""
    if brief:
        return [stage(kernel, BRIEF_HELD), stage(kernel, TRAFFIC, held=False)]
    if kernel in TOO_OLD:
        return [stage(kernel, REFUSED, held=False)]
    held = HELD + LONG_HELD if LONG else HELD
    stages = [stage(kernel, held), stage(kernel, TRAFFIC, held=False)]
    if kernel == HARDENING:
        harden = {"net/core/bpf_jit_harden": "2"}
        stages.append(stage(kernel, HARDENED, sysctl=harden, word=" hardened"))
        if LONG:
            stages.append(stage(kernel, TRAFFIC, held=False, word=" hardened"))
    return stages


def skipped(kernel, reason):
    return [{"name": kernel, "stdout": f"1..0 # SKIP {reason}", "result": "SKIP", "returncode": 0,
             "duration": 0}]


def lines_of(kernel, plan):
    """Boots the kernel; yields what guest.py prints, then a result for each test without."""
    missing = [test["name"] for one in plan for test in one["tests"]]
    with tempfile.NamedTemporaryFile("w", suffix=".json", dir=BUILD) as file:
        json.dump(plan, file)
        file.flush()
        machine = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", VMTEST, "--seconds", str(SECONDS), "--append", APPEND,
             "--console", os.path.join(BUILD, "console"), kernel,
             "sh", "-c", f"cd {BUILD} && exec /usr/bin/python3 {HERE}/guest.py {file.name}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            errors="replace", cwd=TOP)
        words = ""
        for text in machine.stdout:
            try:
                line = json.loads(text)
            except ValueError:
                words += text
                continue
            if "name" in line:
                missing.remove(line["name"])
            yield line
        words += machine.stderr.read()
        status = machine.wait()
    if missing or status:
        with open(os.path.join(BUILD, "console"), encoding="utf-8", errors="replace") as file:
            words += "".join(file.readlines()[-20:])
    for name in missing or ([f"{kernel} guest.py"] if status else []):
        yield {"name": name, "stdout": f"Bail out! the machine ended with status {status}",
               "stderr": words, "result": "ERROR", "returncode": status, "duration": 0}


def run(kernel, brief):
    """All results of a kernel."""
    fetched = subprocess.run([VMTEST, "--fetch", kernel], stdin=subprocess.DEVNULL,
                             capture_output=True, text=True, check=False)
    if fetched.returncode == NOT_HERE:
        yield from skipped(kernel, fetched.stderr.strip().splitlines()[-1])
    elif fetched.returncode:
        yield {"name": kernel, "stdout": "Bail out! vmtest failed", "stderr": fetched.stderr,
               "result": "ERROR", "returncode": fetched.returncode, "duration": 0}
    else:
        yield from lines_of(kernel, plan_of(kernel, brief))


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
    programs = list(next(iter(table.values())))
    rows = [["kernel", *programs]] + [
        [kernel, *(table[kernel].get(program, "-") for program in programs)]
        for kernel in sorted(table, key=lambda name: [int(part) for part in name.split(".")])]
    with open(RECORD, "w", encoding="utf-8") as file:
        file.write("\n".join(words) + "\n")
        for row in rows:
            file.write("".join(f"{cell:<14}" for cell in row).rstrip() + "\n")


def main(args):
    parser = argparse.ArgumentParser(usage="tests/kernels/matrix.py [--out FILE] [--record] "
                                           "[--brief | KERNEL...]")
    parser.add_argument("--out")
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--brief", action="store_true")
    parser.add_argument("kernels", nargs="*", metavar="KERNEL")
    options = parser.parse_args(args)
    if options.brief and options.kernels:
        parser.error("--brief is of one kernel")
    kernels = options.kernels or ([BRIEF] if options.brief else KERNELS)
    if set(kernels) - set(KERNELS):
        parser.error(f"KERNEL is one of {' '.join(KERNELS)}")
    os.nice(10)
    failed, counted = False, []
    with open(options.out or os.devnull, "w", encoding="utf-8") as out:
        for kernel in kernels:
            begin = time.monotonic()
            for line in run(kernel, options.brief):
                if "instructions" in line:
                    counted += [row.split() for row in line["instructions"].splitlines()]
                    continue
                out.write(json.dumps(line) + "\n")
                failed |= line["result"] not in ("OK", "SKIP")
                print(f"{line['name']:40} {line['result']:8} {line['duration']:.1f} s", flush=True)
                if not options.out and line["result"] != "OK":
                    print(line["stdout"] + line.get("stderr", ""))
            print(f"{kernel:40} {'':8} {time.monotonic() - begin:.1f} s", flush=True)
    if options.record:
        write_record(counted)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

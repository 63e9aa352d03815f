#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""
test_memory: of the pieces of memory that a command asks for one is refused, of many in turn, and whatever
then comes is what comes otherwise, or a failure in one line. Prints TAP.

usage: test_memory.py BULKHEAD [NO_MEMORY], the latter a library to be loaded before it
"""
import os
import sys
import tempfile

from taps import Skip, TOP, Tap, run

WEB = os.path.join(TOP, "policies", "web-server.yaml")
TABLE = os.path.join(TOP, "policies", "web-server.table")
PACKET = ["in", "tcp", "203.0.113.9:40000", "10.0.1.4:22"]
LIBRARY = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else None
# What ends the program, and what libyaml gives up.
HOST = os.path.join(TOP, "policies", "azure-defaults.host.yaml")
WORDS = ("bulkhead: out of memory", "cannot start the YAML reader: Cannot allocate memory",
         *(f"cannot read file '{path}': Cannot allocate memory" for path in (WEB, HOST)))

tap = Tap()


def limited(at, *args, count=""):
    return run(*args, env={"LD_PRELOAD": LIBRARY, "NO_MEMORY_AT": str(at),
                           "NO_MEMORY_COUNT": count})


def counted(*args):
    """What comes where nothing is refused, and how many pieces that took."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "count")
        done = limited(0, *args, count=path)
        with open(path, encoding="utf-8") as file:
            return done, int(file.read())


def each_refused(*args, steps=60):
    if not LIBRARY:
        raise Skip("no library is loaded before a program with sanitizers, or of another machine")
    whole, n = counted(*args)
    wanted = (whole.returncode, whole.stdout, whole.stderr)
    assert n > 100, f"{n} pieces of memory"
    failed = 0
    # Of steps pieces one each, from the first to the last, and of all where there are fewer.
    for at in sorted({1 + i * n // steps for i in range(steps)}):
        done = limited(at, *args)
        if (done.returncode, done.stdout, done.stderr) == wanted:
            continue  # what can be done without
        failed += 1
        line = done.stderr.rstrip("\n")
        assert done.returncode == 1 and line in WORDS, (
            f"{at} of {n}: status {done.returncode}, {done.stderr!r}, {done.stdout[-200:]!r}")
    assert failed > steps / 2, f"{failed} failures"


@tap
def check():
    each_refused("check", "--host", HOST, WEB)


@tap
def check_as_json():
    each_refused("check", "--json", WEB, steps=200)


@tap
def explain():
    each_refused("explain", "--policy", WEB, *PACKET)


@tap
def explain_as_json():
    each_refused("explain", "--json", "--policy", WEB, *PACKET)


@tap
def rules_as_json():
    each_refused("rules", "--json", "--policy", WEB)


@tap
def a_table_of_packets():
    each_refused("test", WEB, TABLE)


@tap
def prove_as_json():
    each_refused("prove", "--json", WEB)


if __name__ == "__main__":
    tap.main()

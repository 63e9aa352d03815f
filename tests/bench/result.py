# SPDX-License-Identifier: GPL-2.0-only
"""What a tier found, as JSON in the form of tests/bench/result.h: machine, figures, gates."""

import argparse
import json
import math
import os
import platform
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from netlab import LabError, bulkhead_program  # pylint: disable=wrong-import-position

STATUS_GATE, STATUS_BROKEN = 1, 2


class Broken(Exception):
    """The bench itself went wrong, or a backend let through what it must not: no figures then."""


def figures(samples):
    """Median, p10 and p90, as sample_figures() of sample.c has them."""
    ordered = sorted(samples)
    last = len(ordered) - 1
    return {"median": ordered[last // 2], "p10": ordered[last // 10],
            "p90": ordered[last - last // 10]}


def median(samples):
    return figures(samples)["median"]


def _first_match(pattern, path):
    try:
        with open(path, encoding="utf-8") as file:
            found = re.search(pattern, file.read(), re.M)
    except OSError:
        found = None
    return found.group(1) if found else "unknown"


def _version(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "not installed"
    found = re.search(r"v?(\d+\.\d+[\w.]*)", done.stdout + done.stderr)
    return found.group(1) if found else "unknown"


def _commit():
    """What was measured, with + where the tree differs from it."""
    done = subprocess.run(["git", "-c", "safe.directory=*", "describe", "--always", "--dirty=+"],
                          cwd=os.path.dirname(os.path.abspath(__file__)), capture_output=True,
                          text=True, check=False)
    return done.stdout.strip() or "unknown"


PEERS = {
    "nft": ("nft", "--version"),
    "iptables": ("iptables", "--version"),
    "ipset": ("ipset", "version"),
    "xdp-filter": ("dpkg-query", "--show", "--showformat", "${Version}", "xdp-tools"),
    "iperf3": ("iperf3", "--version"),
    "wrk": ("wrk", "-v"),
    "nginx": ("nginx", "-v"),
}


def machine():
    return {
        "cpu": _first_match(r"^model name\s*: (.*)$", "/proc/cpuinfo"),
        "cpus": os.cpu_count(),
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "spectre_v2": _first_match(r"^(.*)$", "/sys/devices/system/cpu/vulnerabilities/spectre_v2"),
        "commit": _commit(),
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "bulkhead": _version(bulkhead_program(), "version"),
        **{name: _version(*command) for name, command in PEERS.items()},
    }


class Result:
    """One tier's findings; prints gates as they come."""

    def __init__(self, tier):
        self.data = {"tier": tier, "machine": machine(), "results": [], "gates": [], "skipped": []}

    def add(self, samples, **what):
        """One line of results; samples of one figure, or what they are a list of."""
        self.data["results"].append({**what, **figures(samples)})

    def skip(self, what, why):
        print(f"skipped: {what}: {why}")
        self.data["skipped"].append({"what": what, "why": why})

    def gate(self, name, figure, words, limit):
        """words: at most or at least."""
        holds = figure <= limit if words == "at most" else figure >= limit
        print(f"{name:<68} {figure:7.2f}, {words} {limit:5.2f}:"
              f" {'holds' if holds else 'falls short'}", flush=True)
        self.data["gates"].append({"name": name,
                                   "figure": figure if math.isfinite(figure) else None, "kind": words, "limit": limit,
                                   "holds": holds})

    def end(self, path):
        """Writes the file, if there is one; the exit status of the tier."""
        if path:
            with open(path, "w", encoding="utf-8") as out:
                json.dump(self.data, out, indent=1)
                out.write("\n")
        return 0 if all(gate["holds"] for gate in self.data["gates"]) else STATUS_GATE


def run_tier(tier, rounds, measure):
    """
    The main program of a tier: measure(options, result) does the work. --tiny measures next to nothing,
    so that a test can see that everything works.
    """
    parser = argparse.ArgumentParser(prog=f"bench-{tier}", add_help=False)
    parser.add_argument("--json")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    if os.geteuid() != 0:
        print(f"bench-{tier}: needs root", file=sys.stderr)
        sys.exit(STATUS_BROKEN)
    os.umask(0o077)
    if options.tiny:
        options.rounds = 1
    result = Result(tier)
    try:
        measure(options, result)
    except (Broken, LabError, AssertionError) as error:
        print(f"bench-{tier}: {error}", file=sys.stderr)
        sys.exit(STATUS_BROKEN)
    sys.exit(result.end(options.json))

#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
bench-scale: what a policy costs to compile, and what a denied packet costs then, from 10 rules to
10,000 and from 100 prefixes to 1,000,000, IPv4 and IPv6, beside nftables where that can be waited for.
`bulkhead check` is what is measured: YAML in, image out, without the proof. Every policy is judged
right first: the image says of each packet drawn what the plain loop says, and the loaded programs let
through what it allows and nothing else.
"""

import json
import math
import os
import subprocess

from result import Broken, median, run_tier
from rig import Lab, Material, Rig
from netlab import bulkhead_program

ROUNDS = 5
MOST = 40000

# shape, rules, prefixes, family; nft beside it
FORMS = [("nsg", 10, 100, 4, True), ("nsg", 100, 6000, 4, True), ("nsg", 1000, 175000, 4, True),
         ("nsg", 10000, 175000, 4, True), ("nsg", 10000, 1000000, 4, False),
         ("nsg", 10, 100, 6, True), ("nsg", 100, 6000, 6, True), ("nsg", 1000, 175000, 6, True),
         ("nsg", 10000, 175000, 6, True), ("nsg", 10000, 1000000, 6, False),
         ("acl", 1000, 0, 4, True), ("fw", 1000, 0, 4, True), ("ipc", 1000, 0, 4, True),
         ("acl", 1000, 0, 6, False), ("fw", 1000, 0, 6, False), ("ipc", 1000, 0, 6, False),
         ("acl", 10000, 0, 4, False), ("fw", 10000, 0, 4, False), ("ipc", 10000, 0, 4, False),
         ("acl", 10000, 0, 6, False), ("fw", 10000, 0, 6, False), ("ipc", 10000, 0, 6, False)]
TINY = [("nsg", 10, 100, 4, True), ("nsg", 10, 100, 6, True), ("acl", 20, 0, 4, False)]
ROUTERS = ("acl", "fw", "ipc")


def compile_policy(folder):
    """What check prints, seconds of CPU time, and MB of memory at most. None for the first: refused."""
    with open(os.path.join(folder, "..", "check.json"), "w+", encoding="utf-8") as out:
        process = subprocess.Popen([bulkhead_program(), "check", "--json", folder], stdout=out,
                                   stderr=subprocess.PIPE, text=True)
        words = process.stderr.read()
        process.stderr.close()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        printed = json.load(out) if process.returncode == 0 else None
    return printed, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, words.strip()


def time_packets(options, lab, material, with_nft):
    """Samples by backend, of denied packets."""
    samples = {}
    with Rig(lab, material) as rig:
        for backend in ("none", "xdp-drop", "bulkhead-xdp", *(["nft"] if with_nft else [])):
            rig.add(backend)
        rig.start()
        for target in rig.targets:
            for trace in ("pass", "drop"):  # into the caches, and judged by what comes through
                target.measure(trace, 256 if options.tiny else 2048)
        for _ in range(options.rounds):
            for target in rig.targets:
                samples.setdefault(target.backend, []).append(
                    target.measure("drop", 256 if options.tiny else MOST))
    return samples


def measure_form(options, result, form):
    """Seconds, MB and ns of one form; None when it is refused."""
    shape, n_rules, n_prefixes, family, with_nft = form
    what = {"shape": shape, "rules": n_rules, "prefixes": n_prefixes, "family": family}
    with Lab() as lab:
        try:
            material = Material(lab, shape, n_rules, n_prefixes, family, 64 if options.tiny else 1024)
        except Broken as error:
            result.skip(f"{shape} {n_rules}/{n_prefixes} IPv{family}",
                        " ".join(str(error).split()))
            return None
        seconds, memory = [], []
        for _ in range(min(options.rounds, 3)):
            printed, second, megabytes, words = compile_policy(material.folder)
            if not printed:
                raise Broken(words)
            seconds.append(second)
            memory.append(megabytes)
        what["by"] = printed["inbound"]["by"]
        result.add(seconds, figure="compile", unit="s", **what)
        result.add(memory, figure="memory", unit="MB", **what)
        result.add([printed["memory"]], figure="image", unit="bytes", **what)
        samples = time_packets(options, lab, material, with_nft)
    for backend, values in samples.items():
        result.add(values, figure="denied", unit="ns", backend=backend, **what)
    ns = {backend: median(values) for backend, values in samples.items()}
    print(f"{shape:<5} {n_rules:>6} rules {n_prefixes:>8} prefixes IPv{family},"
          f" by {what['by']}:"
          f" {median(seconds):6.2f} s {median(memory):6.0f} MB, image"
          f" {printed['memory'] / 1e6:6.1f} MB, floor {ns['xdp-drop']:4.0f} ns, bulkhead"
          f" {ns['bulkhead-xdp']:5.0f} ns" + (f", nft {ns['nft']:7.0f} ns" if with_nft else ""),
          flush=True)
    return {"seconds": median(seconds), "memory": median(memory), "ns": ns["bulkhead-xdp"]}


def gates(result, found):
    """A policy that could not be had keeps none of its promises: no figure is a figure too large."""
    def figure(form, name):
        one = found.get(form, {})
        return one[name] if one else math.inf

    if not any(form[1] == 10000 for form in found):
        return
    for family, words in ((4, ""), (6, "IPv6, ")):
        result.gate(f"{words}10,000 rules over 10, denied, bulkhead on XDP",
                    figure(("nsg", 10000, 175000, family), "ns")
                    / figure(("nsg", 10, 100, family), "ns"), "at most", 1.5)
        largest = ("nsg", 10000, 1000000, family)
        result.gate(f"{words}10,000 rules over 1,000,000 prefixes, compile, s",
                    figure(largest, "seconds"), "at most", 3)
        result.gate(f"{words}10,000 rules over 1,000,000 prefixes, memory, MB",
                    figure(largest, "memory"), "at most", 600)
    for shape in ROUTERS:
        routers = [(shape, 10000, 0, family) for family in (4, 6)]
        for name, unit, limit in (("seconds", "compile, s", 10), ("memory", "memory, MB", 600)):
            result.gate(f"{shape} 10,000 rules, {unit}",
                        max(figure(router, name) for router in routers), "at most", limit)


def measure(options, result):
    found = {}
    for form in TINY if options.tiny else FORMS:
        found[form[:4]] = measure_form(options, result, form)
    print()
    gates(result, found)


if __name__ == "__main__":
    run_tier("scale", ROUNDS, measure)

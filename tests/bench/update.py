#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
bench-update: one changed rule under full traffic, by `bulkhead apply` and by `nft -f` of the same
policy: time from the command to its end, which is behind the flip, and packets that were lost or let
through meanwhile. The traffic is what both policies deny and what both allow, in turn.
"""

import os
import threading
import time

from result import median, run_tier
from rig import Lab, Material, Rig

ROUNDS = 5
BURST = 2048
SIZES = [("nsg", 10, 59), ("nsg", 1000, 6000), ("nsg", 1000, 175000), ("nsg", 10000, 175000)]
TINY = [("nsg", 10, 59)]
LARGE = 10000  # rules that take seconds at each turn
LARGEST = ("nsg", 10000, 1000000)


class Traffic:
    """Denied and allowed packets into one target, burst after burst, from a thread, until it ends."""

    def __init__(self, target):
        self.target = target
        self.sent = {"drop": 0, "pass": 0}
        self.passed = {"drop": 0, "pass": 0}
        self.failed = None
        self._stop = threading.Event()
        self._going = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)

    def _send(self):
        try:
            while not self._stop.is_set():
                for trace in ("drop", "pass"):
                    # At a rate that a slow filter stands, too.
                    count = max(64, min(BURST, int(30e6 / self.target.ns[trace]))) // 64 * 64
                    self.passed[trace] += self.target.shoot(trace, count)[1]
                    self.sent[trace] += count
                self._going.set()
        except Exception as error:  # pylint: disable=broad-except
            self.failed = error
            self._going.set()

    def __enter__(self):
        for trace in ("drop", "pass"):
            self.target.shoot(trace, 64)
        self._thread.start()
        self._going.wait()
        return self

    def __exit__(self, *exception):
        self._stop.set()
        self._thread.join()
        if self.failed:
            raise self.failed

    def misjudged(self):
        """Packets that were lost, and packets that were let through."""
        return self.sent["pass"] - self.passed["pass"], self.passed["drop"]


class Change:
    """
    A policy with one more rule, about nobody's traffic, whose port differs at each turn: the files of
    both languages are written before the time is taken.
    """

    def __init__(self, material):
        self.material = material
        self.number = 0
        with open(material.path("nft"), encoding="ascii") as file:
            self.nft_text = file.read()

    def next(self):
        self.number += 1
        source = "192.0.2.77"
        with open(os.path.join(self.material.folder, "changed.yaml"), "w", encoding="ascii") as out:
            out.write("bulkhead: 1\ngroup: changed\ntier: admin\norder: 100\nrules:\n"
                      f"  - {{name: changed, priority: 1, direction: inbound, access: deny,"
                      f" protocol: tcp, source: {source}, destination: any,"
                      f" destination_ports: {self.number}}}\n")
        rule = f"ip saddr {source} tcp dport {self.number} counter drop\n}}\n}}\n"
        nft = os.path.join(self.material.folder, "..", "changed.nft")
        with open(nft, "w", encoding="ascii") as out:
            out.write(self.nft_text.removesuffix("}\n}\n") + rule)
        return nft


def command_of(target, nft):
    host = target.host
    if target.backend == "nft":
        return lambda: host.run("nft", "-f", nft)
    return lambda: host.bulkhead("apply", "--host", os.path.join(
        host.lab.folder, f"{host.name}.host.yaml"), target.rig.material.folder)


def timed(command):
    begin = time.monotonic()
    command()
    return (time.monotonic() - begin) * 1e3


def measure_size(options, result, size):
    """Milliseconds of each backend for one changed rule, in a quiet and in a busy time."""
    shape, n_rules, n_prefixes = size
    what = {"shape": shape, "rules": n_rules, "prefixes": n_prefixes}
    samples = {}
    with Lab() as lab, Rig(lab) as rig:
        rig.material = Material(lab, *size, n_packets=64 if options.tiny else 1024)
        change = Change(rig.material)
        for backend in ("bulkhead-xdp", "nft"):
            rig.add(backend)
        rig.start()
        misjudged = {target.backend: [0, 0, 0] for target in rig.targets}
        for _ in range(options.rounds if n_rules < LARGE else min(options.rounds, 2)):
            nft = change.next()
            for target in rig.targets:
                with Traffic(target) as traffic:
                    samples.setdefault(target.backend, []).append(timed(command_of(target, nft)))
                for i, n in enumerate((sum(traffic.sent.values()), *traffic.misjudged())):
                    misjudged[target.backend][i] += n
    for backend, values in samples.items():
        sent, lost, let_through = misjudged[backend]
        result.add(values, figure="update", unit="ms", backend=backend, packets=sent, lost=lost,
                   let_through=let_through, **what)
        print(f"{shape} {n_rules:>6} rules {n_prefixes:>8} prefixes, {backend:<13}"
              f" {median(values):9.1f} ms; of {sent} packets {lost} lost, {let_through} let"
              " through", flush=True)
    return {"ms": median(samples["bulkhead-xdp"]), "misjudged": sum(misjudged["bulkhead-xdp"][1:])}


def measure_largest(result):
    """Seconds of an apply of the largest policy where nothing is in force yet."""
    with Lab() as lab, Rig(lab) as rig:
        rig.material = Material(lab, *LARGEST, n_packets=64)
        target = rig.add("none")
        host = target.host
        lab.write(f"{host.name}.host.yaml", host.host_yaml())
        target.backend = "bulkhead-xdp"
        seconds = timed(command_of(target, None)) / 1e3
    result.add([seconds], figure="first apply", unit="s", rules=LARGEST[1], prefixes=LARGEST[2])
    print(f"first apply of {LARGEST[1]} rules, {LARGEST[2]} prefixes: {seconds:.1f} s", flush=True)
    return seconds


def measure(options, result):
    found = {size: measure_size(options, result, size) for size in (TINY if options.tiny else SIZES)}
    largest = None if options.tiny else measure_largest(result)
    print()
    result.gate("bulkhead, packets lost or let through over all changes",
                sum(one["misjudged"] for one in found.values()), "at most", 0)
    if ("nsg", 1000, 6000) in found:
        result.gate("one changed rule of 1,000, from the command to its end, ms",
                    found["nsg", 1000, 6000]["ms"], "at most", 100)
    if largest:
        result.gate("10,000 rules over 1,000,000 prefixes, compiled and applied, s", largest,
                    "at most", 3)


if __name__ == "__main__":
    run_tier("update", ROUNDS, measure)

#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
bench-update: one changed rule under full traffic, by `bulkhead apply` without and with the proof and by
`nft -f` of the same policy: time from the command to its end, for bulkhead also to the flip, and packets
that were lost or let through meanwhile. The traffic is what both policies deny and what both allow, in
turn.
"""

import json
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


def apply_timed(target, proof):
    """Milliseconds of an apply: from the command to its end, and to the flip."""
    host, begin = target.host, time.monotonic()
    done = host.bulkhead("apply", "--json", "--prove" if proof else "--no-prove", "--host",
                         os.path.join(host.lab.folder, f"{host.name}.host.yaml"),
                         target.rig.material.folder)
    end = (time.monotonic() - begin) * 1e3
    said = json.loads(done.stdout)
    # The beginning of a process is before its own clock.
    return {"update": end, "flip": end - said["milliseconds"] + said["in_force_after"]}


def nft_timed(target, nft):
    begin = time.monotonic()
    target.host.run("nft", "-f", nft)
    return {"update": (time.monotonic() - begin) * 1e3}


def measure_way(target, change, proof):
    """Milliseconds by figure, and packets sent, lost and let through meanwhile."""
    nft = change.next()
    with Traffic(target) as traffic:
        took = nft_timed(target, nft) if target.backend == "nft" else apply_timed(target, proof)
    return took, (sum(traffic.sent.values()), *traffic.misjudged())


# Whose turn it is: a backend, and whether bulkhead proves its image.
WAYS = (("bulkhead-xdp", False), ("bulkhead-xdp", True), ("nft", False))


def report(result, what, way, samples, counts):
    """Prints and keeps what came of one way; its medians by figure."""
    sent, lost, let_through = counts
    backend, proof = way
    for figure, values in samples.items():
        result.add(values, figure=figure, unit="ms", backend=backend, proof=proof, packets=sent,
                   lost=lost, let_through=let_through, **what)
    times = ", ".join(f"{median(values):.1f} ms to {'the end' if figure == 'update' else 'the flip'}"
                      for figure, values in samples.items())
    print(f"{what['shape']} {what['rules']:>6} rules {what['prefixes']:>8} prefixes,"
          f" {backend}{' with the proof' if proof else ''}: {times}; of {sent} packets {lost} lost,"
          f" {let_through} let through", flush=True)
    return {figure: median(values) for figure, values in samples.items()}


def measure_size(options, result, size):
    """Medians of each way for one changed rule, by figure; and packets that bulkhead misjudged."""
    shape, n_rules, n_prefixes = size
    samples, counts = {way: {} for way in WAYS}, {way: [0, 0, 0] for way in WAYS}
    with Lab() as lab, Rig(lab) as rig:
        rig.material = Material(lab, *size, n_packets=64 if options.tiny else 1024)
        change = Change(rig.material)
        targets = {backend: rig.add(backend) for backend in dict(WAYS)}
        rig.start()
        for _ in range(options.rounds if n_rules < LARGE else min(options.rounds, 2)):
            for way in WAYS:
                took, seen = measure_way(targets[way[0]], change, way[1])
                for figure, ms in took.items():
                    samples[way].setdefault(figure, []).append(ms)
                counts[way] = [sum(pair) for pair in zip(counts[way], seen)]
    what = {"shape": shape, "rules": n_rules, "prefixes": n_prefixes}
    medians = {way: report(result, what, way, samples[way], counts[way]) for way in WAYS}
    return medians, sum(sum(counts[way][1:]) for way in WAYS if way[0] != "nft")


def measure_largest(result, proof):
    """Seconds of an apply of the largest policy where nothing is in force yet."""
    with Lab() as lab, Rig(lab) as rig:
        rig.material = Material(lab, *LARGEST, n_packets=64)
        target = rig.add("none")
        host = target.host
        lab.write(f"{host.name}.host.yaml", host.host_yaml())
        seconds = apply_timed(target, proof)["update"] / 1e3
    result.add([seconds], figure="first apply", unit="s", proof=proof, rules=LARGEST[1],
               prefixes=LARGEST[2])
    print(f"first apply of {LARGEST[1]} rules, {LARGEST[2]} prefixes,"
          f" {'with' if proof else 'without'} the proof: {seconds:.1f} s", flush=True)
    return seconds


def measure(options, result):
    found = {size: measure_size(options, result, size) for size in (TINY if options.tiny else SIZES)}
    largest = [] if options.tiny else [measure_largest(result, proof) for proof in (False, True)]
    print()
    result.gate("bulkhead, packets lost or let through over all changes",
                sum(misjudged for _, misjudged in found.values()), "at most", 0)
    if ("nsg", 1000, 6000) in found:
        medians = found["nsg", 1000, 6000][0]
        result.gate("one changed rule of 1,000, from the command to the flip, without the proof, ms",
                    medians["bulkhead-xdp", False]["flip"], "at most", 100)
    if largest:
        result.gate("10,000 rules over 1,000,000 prefixes, compiled and applied, without the proof, s",
                    largest[0], "at most", 3)


if __name__ == "__main__":
    run_tier("update", ROUNDS, measure)

#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
bench-flood: what a flood of SYNs costs and whom it hurts. Established flows carry a tenth of the
traffic, SYNs of strangers that the policy allows the rest, until every table is full: bulkhead's, an
LRU hash of the same memory, and the kernel's connection tracking at its limit. Afterwards an answer
of each flow must pass. The insert alone is bench-insert's.
"""

import json
import os

from result import Broken, median, run_tier
from netlab import run
from routers import BUILD, SHOT, Lab, Routers

ROUNDS = 9
BACKENDS = ("none", "bulkhead-xdp", "lru-hash", "nft")
FLOWS = (1000, 10000, 50000)
TINY = (100,)
FRAMES, BURST = 3000000, 100000
LARGEST_LIMIT = 1 << 20  # of conntrack, that a flood of so many frames fills


def number_in(host, name):
    with host.enter(), open(f"/proc/sys/net/netfilter/{name}", encoding="ascii") as file:
        return int(file.read())


def flood(router, n_flows, n_frames):
    """Frames a second, and the share of them that passed."""
    generator = router.routers.generator
    before = generator.nanoseconds
    passed = sum(router.flood(min(BURST, n_frames), n_flows)[1]
                 for _ in range(0, n_frames, BURST))
    return n_frames / (generator.nanoseconds - before) * 1e9, passed / n_frames


def survive(router, n_flows):
    """How many flows are lost by now."""
    return n_flows - router.answered(n_flows)


def insert(options, result):
    """bench-insert's findings are this tier's."""
    with Lab() as lab:
        path = os.path.join(lab.folder, "insert.json")
        done = run(os.path.join(BUILD, "tests", "bench", "bench-insert"), "--json", path, "--rounds",
                   str(options.rounds), *(["--tiny"] if options.tiny else []), check=False)
        print(done.stdout, end="", flush=True)
        if done.returncode > 1:
            raise Broken(done.stderr.strip())
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    for part in ("results", "gates"):
        result.data[part] += found[part]


def measure_flows(options, result, n_flows):
    n_frames = BURST if options.tiny else FRAMES
    samples, lost, rates = {}, {}, {}
    with Lab() as lab, Routers(lab) as routers:
        for backend in BACKENDS:
            routers.add(backend)
        routers.start()
        nft = routers.routers["nft"].host
        limit = number_in(nft, "nf_conntrack_max")
        if limit > LARGEST_LIMIT:
            result.skip("nft", f"nf_conntrack_max is {limit}, too many to fill")
            del routers.routers["nft"]
        for backend, router in routers.routers.items():
            router.establish(n_flows)
            if survive(router, n_flows):
                raise Broken(f"{backend}: of {n_flows} flows {survive(router, n_flows)} were not"
                             " established")
            rates[backend] = flood(router, n_flows, n_frames)
            lost[backend] = survive(router, n_flows)
        held = number_in(nft, "nf_conntrack_count")
        # A packet that finds it full throws one out before it takes a place: one may be free just now.
        if "nft" in lost and not options.tiny and held < limit * 0.99:
            raise Broken(f"conntrack holds {held} of {limit} flows: its table is not full")
        for _ in range(options.rounds):
            for backend, router in routers.routers.items():
                ns, _ = router.shoot("flood", 256 if options.tiny else SHOT)
                samples.setdefault(backend, []).append(ns)
    print(f"\n{n_flows} flows in a tenth of {n_frames} frames; conntrack holds {held} of {limit}\n"
          f"  {'':<14}{'ns per SYN':>11}{'frames/s':>11}{'passed':>9}{'flows lost':>12}")
    for backend, values in samples.items():
        rate, passed = rates[backend]
        result.add(values, figure="syn", unit="ns", backend=backend, flows=n_flows,
                   frames=n_frames, rate=round(rate), passed=passed, lost=lost[backend])
        print(f"  {backend:<14}{median(values):>11.0f}{rate:>11.0f}{passed:>9.3f}"
              f"{lost[backend]:>12}", flush=True)
    return lost["bulkhead-xdp"], rates["bulkhead-xdp"][0], lost["none"]


def measure(options, result):
    insert(options, result)
    found = [measure_flows(options, result, n) for n in (TINY if options.tiny else FLOWS)]
    if any(one[2] for one in found):
        raise Broken("answers are lost without a filter, too")
    print()
    result.gate("bulkhead, established flows lost to the floods", sum(one[0] for one in found),
                "at most", 0)
    result.gate("frames a second into bulkhead while it is flooded, thousands",
                min(one[1] for one in found) / 1e3, "at least", 500)


if __name__ == "__main__":
    run_tier("flood", ROUNDS, measure)

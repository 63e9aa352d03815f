#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
bench-path: ns per packet through a link and a filter, all filters on the same policies and the same
packets in one run, round by round. Before and while it measures, each of them must let through exactly
what the plain loop allows.
"""

from result import median, run_tier
from rig import BACKENDS, NEEDS, Lab, LabError, Material, Rig

ROUNDS = 9
MOST = 40000  # packets of one shot

# shape, rules, prefixes, family
POLICIES = [("nsg", 10, 59, 4), ("nsg", 100, 6000, 4), ("nsg", 1000, 175000, 4),
            ("list", 2, 10000, 4), ("hosts", 2, 500, 4), ("disjoint", 1000, 0, 4),
            ("acl", 1000, 0, 4), ("fw", 1000, 0, 4),
            ("nsg", 10, 59, 6), ("nsg", 100, 6000, 6), ("nsg", 1000, 175000, 6)]
TINY = [("nsg", 10, 59, 4), ("disjoint", 20, 0, 4), ("hosts", 2, 20, 4), ("nsg", 10, 59, 6)]

# What a machine may come without; a comparison with the others stands all the same.
MAY_LACK = ("iptables-legacy", "iptables-nft", "xdp-filter")

# nft over bulkhead on XDP, drop trace
NFT_GATES = {("nsg", 10): 6, ("nsg", 100): 40, ("nsg", 1000): 400}


def measure_policy(options, result, policy):
    """The samples of each backend and trace."""
    shape, n_rules, n_prefixes, family = policy
    samples = {}
    with Lab() as lab, Rig(lab) as rig:
        material = rig.material = Material(lab, shape, n_rules, n_prefixes, family,
                                           64 if options.tiny else 4096)
        for backend in BACKENDS:
            if backend in NEEDS and not material.path(NEEDS[backend]):
                continue
            try:
                rig.add(backend)
            except LabError as error:
                if backend not in MAY_LACK:
                    raise
                result.skip(f"{backend} on {material.name}", str(error).strip().splitlines()[-1])
        rig.start()
        for trace in ("drop", "pass"):
            for target in rig.targets:
                target.measure(trace, 256)  # into the caches
            for _ in range(options.rounds):
                for target in rig.targets:
                    samples.setdefault((target.backend, trace), []).append(
                        target.measure(trace, 256 if options.tiny else MOST))
    return samples


def show(policy, samples):
    print(f"\n{policy[0]}, {policy[1]} rules, {policy[2]} prefixes, IPv{policy[3]}: ns per packet"
          f"\n  {'':<18}{'denied':>10}{'allowed':>10}")
    for backend in BACKENDS:
        if (backend, "drop") in samples:
            print(f"  {backend:<18}{median(samples[backend, 'drop']):>10.0f}"
                  f"{median(samples[backend, 'pass']):>10.0f}", flush=True)


def gates(result, all_samples):
    """Of the policies over IPv4, where all others stand beside."""
    def ratio(policy, over, under, trace):
        samples = all_samples[policy]
        return median(samples[over, trace]) / median(samples[under, trace])

    policies = [policy for policy in all_samples if policy[3] == 4]
    for policy in policies:
        shape, n_rules = policy[:2]
        if (shape, n_rules) == ("nsg", 1000):
            result.gate("bulkhead on XDP over the XDP drop floor, nsg 1000",
                        ratio(policy, "bulkhead-xdp", "xdp-drop", "drop"), "at most", 1.45)
        if (shape, n_rules) in NFT_GATES:
            result.gate(f"nft over bulkhead on XDP, {shape} {n_rules}, denied",
                        ratio(policy, "nft", "bulkhead-xdp", "drop"), "at least",
                        NFT_GATES[shape, n_rules])
        if shape == "disjoint":
            result.gate("nft with a verdict map over bulkhead on XDP, denied",
                        ratio(policy, "nft-map", "bulkhead-xdp", "drop"), "at least", 3.5)
    passes = [ratio(policy, "bulkhead-xdp", "none", "pass") for policy in policies]
    result.gate("bulkhead on XDP over no filter, allowed, median over policies", median(passes),
                "at most", 1.15)


def measure(options, result):
    all_samples = {}
    for policy in TINY if options.tiny else POLICIES:
        samples = all_samples[policy] = measure_policy(options, result, policy)
        show(policy, samples)
        for (backend, trace), values in samples.items():
            result.add(values, shape=policy[0], rules=policy[1], prefixes=policy[2],
                       family=policy[3], backend=backend, trace=trace)
    print()
    gates(result, all_samples)


if __name__ == "__main__":
    run_tier("path", ROUNDS, measure)

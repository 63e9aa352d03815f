#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
bench-state: ns per packet of established flows, a thousand, a hundred thousand and a million of them,
over IPv4 and IPv6, beside nftables with `ct state established`, whose accounting is off and on. A rule
that logs must cost such packets nothing; what it costs the first packet of a flow is measured with
events left out, sampled by log_limit, and all told to somebody who watches.
"""

import contextlib
import os

from result import Broken, median, run_tier
from netlab import wait_until
from routers import POLICY, SHOT, Lab, Routers, bulkhead, nft

ROUNDS = 9
# flows, and ways of the table for them; the first two are the default
SIZES = ((1000, 1 << 17), (100000, 1 << 18), (1000000, 1 << 21))
TINY = ((100, 1 << 17),)
LOGGED = POLICY.replace("access: allow", "access: allow, log: true")
MANY = 1000000  # flows that take long to make, for those that differ alone
MEMORY = 4 << 30  # that so many flows of all filters stay well within
COLUMNS = ("none", "bulkhead-xdp", "bulkhead-log", "nft", "nft-acct")

CONNTRACK = "/proc/sys/net/netfilter/"


def read_number(path):
    with open(path, encoding="ascii") as file:
        return int(file.read())


@contextlib.contextmanager
def conntrack_for(n_flows):
    """The kernel's limit and its buckets are enough for so many; as they were afterwards."""
    before = {}
    try:
        for name in ("nf_conntrack_buckets", "nf_conntrack_max"):
            have = read_number(CONNTRACK + name)
            if have < n_flows * 5 // 4:
                with open(CONNTRACK + name, "w", encoding="ascii") as file:
                    before[name] = have
                    file.write(str(n_flows * 5 // 4))
        yield
    finally:
        for name, number in before.items():
            with open(CONNTRACK + name, "w", encoding="ascii") as file:
                file.write(str(number))


def memory_available():
    with open("/proc/meminfo", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))


def shoot(router, kind, count, family, *more):
    """As Router.shoot; none is lost."""
    ns, passed = router.shoot(kind, count, family, *more)
    if passed != count:
        raise Broken(f"of {count} packets {passed} passed")
    return ns


def establish(router, n_flows, family):
    """How many have found a way: of a table that is half full, one in a million may not."""
    router.establish(n_flows, family)
    have = router.answered(n_flows, family)
    if have < n_flows - n_flows // 100000:
        raise Broken(f"{router.host.name}: of {n_flows} flows {have} are established")
    return have


def measure_established(options, result, size, family):
    n_flows, ways = size
    tables = f"tables: {{flows: {ways}}}\n"
    backends = {"none": lambda router: None, "bulkhead-xdp": bulkhead(tables),
                "bulkhead-log": bulkhead(tables, LOGGED), "nft": nft(), "nft-acct": nft(1)}
    if n_flows >= MANY:
        del backends["bulkhead-log"]
    samples = {}
    with Lab() as lab, Routers(lab) as routers, conntrack_for(2 * n_flows):
        for backend, load in backends.items():
            routers.add(backend, load)
        routers.start()
        established = {backend: establish(routers.routers[backend], n_flows, family)
                       for backend in list(backends)[1:]}
        for _ in range(options.rounds):
            for backend, router in routers.routers.items():
                samples.setdefault(backend, []).append(
                    shoot(router, "ack", 256 if options.tiny else SHOT, family, 1, 0, 0, n_flows))
    for backend, values in samples.items():
        result.add(values, figure="established", unit="ns", backend=backend, family=family,
                   flows=n_flows, ways=ways, established=established.get(backend, 0))
    print(f"IPv{family}, {n_flows:>8} flows" + "".join(
        f"{median(samples[backend]):>14.0f}" if backend in samples else f"{'-':>14}"
        for backend in COLUMNS), flush=True)


def watch(router):
    """Somebody who reads every event, until the lab ends; returns when the first has come."""
    path = router.host.lab.write("events", "")
    with open(path, "w", encoding="ascii") as out:
        router.host.popen(*router.host.bulkhead_args("watch", "--json"), stdout=out)
    wait_until(lambda: router.shoot("flood", 64) and os.path.getsize(path), 30, "first event")


def measure_events(options, result):
    """ns per first packet of a flow."""
    backends = {"off": bulkhead(), "sampled": bulkhead("log_limit: 10\n", LOGGED),
                "all": bulkhead("log_limit: 1000000\n", LOGGED)}
    samples = {}
    with Lab() as lab, Routers(lab) as routers:
        for backend, load in backends.items():
            routers.add(backend, load)
        routers.start()
        watch(routers.routers["all"])
        for _ in range(options.rounds):
            for backend, router in routers.routers.items():
                samples.setdefault(backend, []).append(
                    shoot(router, "flood", 256 if options.tiny else SHOT, 4))
        told = {backend: notes(router.host) for backend, router in routers.routers.items()}
    print(f"\nfirst packets of flows, by events\n  {'':<10}{'ns':>8}{'limited':>10}{'lost':>10}")
    for backend, values in samples.items():
        limited, lost = told[backend]
        result.add(values, figure="first packet", unit="ns", events=backend, limited=limited,
                   lost=lost)
        print(f"  {backend:<10}{median(values):>8.0f}{limited:>10}{lost:>10}", flush=True)


def notes(host):
    """Events that log_limit left out, and that found the buffer full."""
    have = {line["name"]: line["packets"] for line in host.bulkhead_json("stats")["stats"]
            if line["by"] == "note"}
    return tuple(have.get(name, 0) for name in ("events-limited", "events-lost"))


def measure(options, result):
    print(f"{'ns per packet':<20}" + "".join(f"{backend:>14}" for backend in COLUMNS))
    for size in TINY if options.tiny else SIZES:
        if size[0] >= MANY and memory_available() < MEMORY:
            result.skip(f"{size[0]} flows", "too little memory is free")
            continue
        for family in (4, 6):
            measure_established(options, result, size, family)
    measure_events(options, result)


if __name__ == "__main__":
    run_tier("state", ROUNDS, measure)

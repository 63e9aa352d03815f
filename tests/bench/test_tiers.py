#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
Each tier of the benchmark, as small as it gets: it must come to its end with every backend letting
through the right share, whatever the figures are.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from netlab import Lab, Skip, Tap, wait_until  # pylint: disable=wrong-import-position
from routers import Routers, received  # pylint: disable=wrong-import-position

HERE = os.path.dirname(os.path.abspath(__file__))
tap = Tap()

# What path has on every policy.
EVERYWHERE = ("none", "xdp-drop", "bulkhead-xdp", "bulkhead-tcx", "bulkhead-clsact", "nft",
              "iptables-legacy", "iptables-nft")


def figures_of(tier, *needs):
    """The JSON of a tiny run."""
    for program in needs:
        if not shutil.which(program):
            raise Skip(f"{program} is not installed: scripts/install-deps bench")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "result.json")
        done = subprocess.run([sys.executable, "-B", os.path.join(HERE, f"{tier}.py"), "--tiny",
                               "--json", path], capture_output=True, text=True, check=False)
        # 1: a gate falls short, as it may where next to nothing was measured.
        assert done.returncode in (0, 1), done.stdout + done.stderr
        with open(path, encoding="utf-8") as file:
            result = json.load(file)
    assert result["tier"] == tier and result["machine"]["kernel"], result
    assert all(line["p10"] <= line["median"] <= line["p90"] for line in result["results"])
    return result


def read_text(path):
    with open(path, encoding="ascii") as file:
        return file.read()


@tap
def path_measures_every_backend_on_both_traces(_):
    result = figures_of("path", "nft", "iptables-legacy", "ipset")
    for family, backends in ((4, (*EVERYWHERE, "nft-map")), (6, EVERYWHERE)):
        seen = {(line["backend"], line["trace"]) for line in result["results"]
                if line["family"] == family}
        for backend in backends:
            left_out = any(skip["what"].startswith(backend) for skip in result["skipped"])
            assert left_out or {(backend, "drop"), (backend, "pass")} <= seen, (family, backend)
    assert len(result["gates"]) == 3, result["gates"]


@tap
def scale_compiles_judges_and_times_both_families(_):
    result = figures_of("scale", "nft")
    seen = {(line["figure"], line["family"]) for line in result["results"]}
    wanted = {(figure, family) for figure in ("compile", "memory", "image", "denied")
              for family in (4, 6)}
    assert wanted <= seen, wanted - seen
    assert not result["skipped"], result["skipped"]


@tap
def update_changes_a_rule_under_traffic_and_nothing_is_lost(_):
    result = figures_of("update", "nft")
    lines = result["results"]
    assert {(line["figure"], line["backend"], line["proof"]) for line in lines} == {
        ("update", "nft", False), *(("update", "bulkhead-xdp", proof) for proof in (False, True)),
        *(("flip", "bulkhead-xdp", proof) for proof in (False, True))}, lines
    for line in lines:
        assert line["packets"] and not line["lost"] and not line["let_through"], line


@tap
def state_meets_established_flows_of_both_families_and_tells_of_new_ones(_):
    limits = [f"/proc/sys/net/netfilter/nf_conntrack_{name}" for name in ("max", "buckets")]
    before = [read_text(path) for path in limits]
    result = figures_of("state", "nft")
    assert [read_text(path) for path in limits] == before, "conntrack's limits are others now"
    lines = [line for line in result["results"] if line["figure"] == "established"]
    seen = {(line["backend"], line["family"]) for line in lines if line["median"] > 0}
    wanted = {(backend, family) for family in (4, 6)
              for backend in ("none", "bulkhead-xdp", "bulkhead-log", "nft", "nft-acct")}
    assert wanted == seen, wanted ^ seen
    limited = {line["events"]: line["limited"] for line in result["results"]
               if line["figure"] == "first packet"}
    assert set(limited) == {"off", "sampled", "all"} and limited["sampled"], limited
    assert not limited["off"] and not limited["all"], limited


def came_in(host, link):
    """Packets, by the link's own count."""
    shown = json.loads(host.run("ip", "-j", "-s", "link", "show", link).stdout)
    return shown[0]["stats64"]["rx"]["packets"]


@tap
def what_a_router_says_unasked_is_no_answer(_):
    with Lab() as lab, Routers(lab) as routers:
        router = routers.add("none")
        wait_until(lambda: came_in(routers.sender, router.outside) >= 2, what="multicast reports")
        assert received(routers.sender) == 0, received(routers.sender)
        routers.start()
        router.establish(10)
        assert [router.answered(n) for n in (10, 7)] == [10, 7]


@tap
def flood_loses_no_flow_of_bulkhead_and_times_inserts(_):
    result = figures_of("flood", "nft", "bpftool")
    floods = {line["backend"]: line for line in result["results"] if line["figure"] == "syn"}
    assert set(floods) == {"none", "bulkhead-xdp", "lru-hash", "nft"}, floods
    assert all(line["median"] > 0 and line["rate"] > 0 for line in floods.values()), floods
    # In so small a flood nobody loses a flow, and what no policy denies passes.
    assert not any(line["lost"] for line in floods.values()), floods
    assert all(line["passed"] == 1 for line in floods.values()), floods
    inserts = {(line["program"], line["half_open"]) for line in result["results"]
               if line["figure"] == "insert"}
    assert {("new_entry", 1 << 16), ("lru_entry", 1 << 16), ("new_flow", 1 << 19)} <= inserts, inserts
    assert len(result["gates"]) == 4, result["gates"]


@tap
def stack_has_throughput_and_requests_of_each_filter(_):
    result = figures_of("stack", "nft", "nginx", "iperf3", "wrk")
    seen = {(line["backend"], line["figure"]) for line in result["results"] if line["median"] > 0}
    wanted = {(backend, figure) for backend in ("none", "xdp-pass", "bulkhead-xdp", "bulkhead-tcx", "nft")
              for figure in ("throughput", "requests", "p50", "p99")}
    assert wanted <= seen, wanted - seen


if __name__ == "__main__":
    tap.main()

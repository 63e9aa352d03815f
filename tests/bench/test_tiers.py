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

from netlab import Skip, Tap  # pylint: disable=wrong-import-position

HERE = os.path.dirname(os.path.abspath(__file__))
tap = Tap()


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


@tap
def path_measures_every_backend_on_both_traces(_):
    result = figures_of("path", "nft", "iptables-legacy", "ipset")
    seen = {(line["backend"], line["trace"]) for line in result["results"]}
    for backend in ("none", "xdp-drop", "bulkhead-xdp", "bulkhead-tcx", "bulkhead-clsact", "nft",
                    "nft-map", "iptables-legacy", "iptables-nft"):
        left_out = any(skip["what"].startswith(backend) for skip in result["skipped"])
        assert left_out or {(backend, "drop"), (backend, "pass")} <= seen, backend
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
    assert {line["backend"] for line in lines} == {"bulkhead-xdp", "nft"}, lines
    for line in lines:
        assert line["packets"] and not line["lost"] and not line["let_through"], line


@tap
def stack_has_throughput_and_requests_of_each_filter(_):
    result = figures_of("stack", "nft", "nginx", "iperf3", "wrk")
    seen = {(line["backend"], line["figure"]) for line in result["results"] if line["median"] > 0}
    wanted = {(backend, figure) for backend in ("none", "xdp-pass", "bulkhead-xdp", "bulkhead-tcx", "nft")
              for figure in ("throughput", "requests", "p50", "p99")}
    assert wanted <= seen, wanted - seen


if __name__ == "__main__":
    tap.main()

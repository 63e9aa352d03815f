#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
bench-stack: what an application sees. TCP throughput (iperf3), and requests a second with their
latency (wrk against nginx), between two namespaces: without a filter, under an XDP program that passes
all, under bulkhead on XDP and on tcx, and under nftables of the same policy with connection
tracking, in turn.
"""

import json
import os
import re
import signal

from result import Broken, median, run_tier
from rig import Lab, attach_floor
from netlab import wait_until

ROUNDS = 5
BACKENDS = ("none", "xdp-pass", "bulkhead-xdp", "bulkhead-tcx", "nft")
SERVER, CLIENT = "10.77.1.4", "10.77.1.9"

POLICY = """\
bulkhead: 1
group: stack
rules:
  - {name: web, priority: 100, direction: inbound, access: allow,
     services: [tcp/80, tcp/5201], source: 10.77.0.0/16, destination: self}
"""
# The same: replies by state, no new connection outbound, everything else denied.
NFT = """\
table inet bench {
chain in { type filter hook input priority filter; policy drop;
iifname lo accept
ct state established,related accept
meta l4proto { icmpv6 } accept
ip saddr 10.77.0.0/16 tcp dport { 80, 5201 } ct state new counter accept
}
chain out { type filter hook output priority filter; policy drop;
oifname lo accept
ct state established,related accept
meta l4proto { icmpv6 } accept
}
}
"""
NGINX = """\
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 512; }}
http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
keepalive_requests {keepalive};
server {{ listen {address}:80; location / {{ return 200 "here\\n"; }} }} }}
"""


def stop(process):
    process.send_signal(signal.SIGTERM)
    process.wait()


class Pair:
    """A client and a server under one backend, both with their programs running."""

    def __init__(self, lab, backend):
        self.backend = backend
        self.client, self.server = lab.host(f"c-{backend}"), lab.host(f"s-{backend}")
        lab.link(self.client, self.server, ("eth0", "eth0"),
                 ([f"{CLIENT}/16"], [f"{SERVER}/16"]))
        folder = os.path.join(lab.folder, backend)
        os.mkdir(folder, 0o700)
        config = lab.write(f"{backend}.nginx", "user root;\n" + NGINX.format(
            folder=folder, address=SERVER, keepalive=100))
        with open(os.path.join(folder, "words"), "w", encoding="utf-8") as words:
            self.server.popen("nginx", "-e", f"{folder}/error.log", "-c", config, stdout=words,
                              stderr=words)
            self.server.popen("iperf3", "--server", "--bind", SERVER, stdout=words, stderr=words)
        wait_until(lambda: self._listens(80) and self._listens(5201), what="servers of the bench")
        if backend.startswith("bulkhead"):
            hook = {"bulkhead-xdp": "native", "bulkhead-tcx": "tcx"}[backend]
            self.server.apply(POLICY, host=self.server.host_yaml(f"hooks: {{ingress: {hook}}}\n"))
        elif backend == "xdp-pass":
            attach_floor(self.server, "floor_pass")
        elif backend == "nft":
            self.server.run("nft", "-f", lab.write("stack.nft", NFT))

    def _listens(self, port):
        with self.server.enter(), open("/proc/thread-self/net/tcp", encoding="ascii") as file:
            return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A"
                       for line in file.readlines()[1:])

    def throughput(self, seconds):
        """Gbit/s."""
        done = self.client.run("iperf3", "--client", SERVER, "--time", str(seconds), "--json",
                               timeout=seconds + 30)
        return json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"] / 1e9

    def requests(self, seconds):
        """Requests a second, and their latency in ms at the median and at 99 %."""
        done = self.client.run("wrk", "--threads", "1", "--connections", "32", "--duration",
                               f"{seconds}s", "--latency", f"http://{SERVER}/", timeout=seconds + 30)
        if "Socket errors" in done.stdout or "Non-2xx" in done.stdout:
            raise Broken(f"{self.backend}: {done.stdout}")
        units = {"us": 1e-3, "ms": 1, "s": 1e3}
        latency = {share: float(value) * units[unit] for share, value, unit in re.findall(
            r"^\s+(50|99)%\s+([\d.]+)(us|ms|s)$", done.stdout, re.M)}
        rate = float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout).group(1))
        return rate, latency["50"], latency["99"]


def measure(options, result):
    seconds = 1 if options.tiny else 3
    samples = {}
    with Lab() as lab:
        pairs = [Pair(lab, backend) for backend in BACKENDS]
        for _ in range(options.rounds):
            for pair in pairs:
                found = (pair.throughput(seconds), *pair.requests(seconds))
                for figure, value in zip(("throughput", "requests", "p50", "p99"), found):
                    samples.setdefault((pair.backend, figure), []).append(value)
        # That the filters are there: a port that the policy does not speak of.
        for pair in pairs[2:]:
            with pair.server.listen(SERVER, 81):
                if pair.client.connect(SERVER, 81, 0.5):
                    raise Broken(f"{pair.backend} lets through what it must deny")
    units = {"throughput": "Gbit/s", "requests": "1/s", "p50": "ms", "p99": "ms"}
    for (backend, figure), values in samples.items():
        result.add(values, figure=figure, unit=units[figure], backend=backend)
    print(f"{'':<14}{'Gbit/s':>10}{'requests/s':>12}{'p50 ms':>10}{'p99 ms':>10}")
    for pair in pairs:
        figures = [median(samples[pair.backend, figure]) for figure in units]
        print(f"{pair.backend:<14}{figures[0]:>10.2f}{figures[1]:>12.0f}{figures[2]:>10.3f}"
              f"{figures[3]:>10.3f}", flush=True)


if __name__ == "__main__":
    run_tier("stack", ROUNDS, measure)

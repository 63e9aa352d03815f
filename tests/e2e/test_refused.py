#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""A kernel that is too old: refused before anything is touched. Runs under such a kernel alone."""

import os

from netlab import Tap, bulkhead_program
from test_traffic import BASE, HOST, expect, pair
from traffic import ARRIVES, serve, talk

tap = Tap()


@tap
def a_kernel_that_is_too_old_is_refused_in_one_sentence_with_nothing_attached(lab):
    peer, host = pair(lab)
    serve(host, HOST[4], 22)
    done = host.apply(BASE, status=6)
    words = done.stderr.strip()
    expect(words.count("\n"), 0, f"lines of: {words}")
    assert words.startswith(f"kernel {os.uname().release} lacks ") and "5.14" in words, words
    expect(done.stdout, "", "output")
    link = host.run("ip", "-d", "link", "show", "dev", "eth0").stdout
    assert "xdp" not in link and "qdisc clsact" not in link, link
    expect(host.run("tc", "qdisc", "show", "dev", "eth0").stdout.count("clsact"), 0, "qdiscs")
    for path in (host.pins, host.state):
        assert not os.path.exists(path), f"{path} was made"
    expect(talk(peer, HOST[4], 22), ARRIVES, "what the policy would deny")


@tap
def doctor_names_what_is_missing_and_check_needs_no_kernel(lab):
    _, host = pair(lab)
    shown = host.run(bulkhead_program(), "doctor", check=False)
    expect(shown.returncode, 9, "status of doctor")
    assert "missing, since Linux 5.12" in shown.stdout, shown.stdout
    path = lab.write("p.yaml", BASE)
    expect(host.run(bulkhead_program(), "check", path, check=False).returncode, 0, "check")


if __name__ == "__main__":
    tap.main()

#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
The worst inputs of 10 MB that were found: each is read, or refused, with at most 64 MB, and what is
read is resolved, or refused, with at most 128 MB. The time is told and not judged.

usage: worst.py READER_COST [WORD]    only inputs whose names hold the word
"""

import concurrent.futures
import os
import subprocess
import sys
import tempfile

SIZE = 10 * 1024 * 1024
ITEMS = 239900  # as many as a file may have, near enough
READ_KB, RESOLVE_KB = 64 * 1024, 128 * 1024

GROUP = "bulkhead: 1\ngroup: g\n"
SET = "bulkhead: 1\nsets:\n  a: ["
RULE = ("  - {{name: r{0}, priority: {1}, direction: inbound, access: allow, {2},"
        " destination: any}}\n")
ONE = GROUP + "rules:\n  - {name: r, priority: 100, direction: inbound, access: allow," \
    " destination: any, source: any, "


def address(i):
    return f"{1 + (i >> 24)}.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}"


def six(i):
    return f'"2001:db8:aaaa:bbbb:cc:{i >> 16:x}:{i & 65535:x}:1"'


def full(head, unit, tail=""):
    """The unit again and again until the file is full."""
    return head + unit * ((SIZE - len(head) - len(tail)) // len(unit)) + tail


def some(head, unit, n=ITEMS, tail="]\n", between=","):
    """n units by number, then a comment as long as there is room."""
    text = head + between.join(unit(i) for i in range(n)) + tail
    return text + "#" * (SIZE - len(text) - 1) + "\n"


def lines(head, unit, n):
    return some(head, unit, n, "", "")


def rules(n, traffic):
    return "".join(RULE.format(i, 100 + i, traffic(i)) for i in range(n))


def large_sets(n, size):
    return "sets:\n" + "".join(
        f"  s{s}: [" + ",".join(address((s * size + i) * 3) for i in range(size)) + "]\n"
        for s in range(n))


POLICIES = {
    "lists in lists": lambda: "[" * SIZE,
    "maps in maps": lambda: full("", "{a: "),
    "one plain text": lambda: full(GROUP + "x: ", "a"),
    "one text of many lines": lambda: full(GROUP + "x: |\n", "  a\n"),
    "one text of escapes": lambda: full(GROUP + 'x: "', "\\n", '"\n'),
    "one long anchor": lambda: full(GROUP + "x: &", "a", " 1\n"),
    "one long tag": lambda: full(GROUP + "x: !", "a", " 1\n"),
    "empty lines and a mistake": lambda: full(GROUP, "\n", "x: 1\n"),
    "tag directives": lambda: full("", "%TAG !a! tag:x\n"),
    "documents": lambda: full(GROUP, "---\n"),
    "aliases": lambda: full(GROUP + "y: &a 1\nx: [", "*a,", "1]\n"),
    "anchors": lambda: some(GROUP + "x: [", lambda i: f"&a{i} 1"),
    "more items than fit": lambda: full(SET, "1,", "1]\n"),
    "unknown keys": lambda: lines(GROUP, lambda i: f"a{i}: 1\n", ITEMS // 2),
    "one key on one line": lambda: some(GROUP + "x: {", lambda i: "a" * 70, ITEMS // 2, "}\n"),
    "lists of one": lambda: some(SET, lambda i: "[1]", ITEMS // 2),
    "maps of one": lambda: some(SET, lambda i: "{a: 1}", ITEMS // 3),
    "IPv6 addresses": lambda: some(SET, six),
    "IPv4 ranges": lambda: some(SET, lambda i: f"{address(i * 3)}-{address(i * 3 + 1)}"),
    "bad prefixes on one line": lambda: some(SET, lambda i: address(i) + "/33"),
    "bad prefixes": lambda: lines("bulkhead: 1\nsets:\n  a:\n",
                                  lambda i: f"  - {address(i)}/33\n", ITEMS),
    "unknown names": lambda: some(SET, lambda i: f"n{i}"),
    "sets of unknown names": lambda: lines(
        GROUP + "sets:\n", lambda i: f"  long-name-{i}: long-neme-{i}\n", ITEMS // 2),
    "sets": lambda: lines(GROUP + "sets:\n", lambda i: f"  s{i}: 10.0.0.1\n", ITEMS // 2),
    "a chain of sets": lambda: lines(
        GROUP + "sets:\n", lambda i: f"  s{i}: s{i + 1}\n", ITEMS // 2),
    "cycles of sets": lambda: some(
        GROUP + "sets:\n" + "".join(f"  {'n' * 76}{i:03}: {'n' * 76}{i + 1:03}\n"
                                    for i in range(60)) + f"  {'n' * 76}060: [",
        lambda i: f"{'n' * 76}{i % 50:03}", 100000),
    "empty rules": lambda: lines(GROUP + "rules:\n", lambda i: "  - {}\n", ITEMS),
    "rules of an unknown key": lambda: lines(
        GROUP + "rules:\n", lambda i: f"  - {{x{i}: 1}}\n", ITEMS // 3),
    "long descriptions": lambda: lines(
        GROUP + "rules:\n", lambda i: "  - {description: " + "x" * 500 + "}\n", 19000),
    "sources of a rule": lambda: some(
        ONE.replace("source: any", "protocol: tcp").rstrip() + " source: [", six, ITEMS - 30,
        "]}\n"),
    "ports of a rule": lambda: some(
        ONE + "protocol: tcp, destination_ports: [", lambda i: str(i % 65536), ITEMS - 30, "]}\n"),
    "protocols of a rule": lambda: some(
        ONE + "protocol: [", lambda i: str(i % 256), ITEMS - 30, "]}\n"),
    "types of a rule": lambda: some(
        ONE + "services: [", lambda i: f"icmp/{i >> 8 & 255}/{i & 255}", ITEMS - 30, "]}\n"),
    "source ports beside services": lambda: some(
        ONE + "source_ports: [" + ",".join(map(str, range(1, 60000, 2))) + "], services: [",
        lambda i: f"tcp/{i % 65536}", 200000, "]}\n"),
    "a large service, many times": lambda: some(
        GROUP + "services:\n  s: [" + ",".join(f"tcp/{i}" for i in range(1, 60000, 2)) + "]\n"
        + ONE[len(GROUP):] + "services: [", lambda i: "s", 200000, "]}\n"),
    "a large service in many rules": lambda: lines(
        GROUP + "services:\n  s: [" + ",".join(f"tcp/{i}" for i in range(1, 60000, 2))
        + "]\nrules:\n" + rules(3900, lambda i: "services: s, source: any"), lambda i: "", 1),
    "many types in many rules": lambda: lines(
        GROUP + "services:\n  s: [" + ",".join(f"icmp/{i >> 8}/{i & 255}" for i in range(1000))
        + "]\nrules:\n" + rules(3900, lambda i: "services: s, source: any"), lambda i: "", 1),
    "two large sets in many rules": lambda: lines(
        GROUP + large_sets(2, 70000) + "rules:\n"
        + rules(3900, lambda i: "protocol: tcp, source: [s0, s1]"), lambda i: "", 1),
    "large sets and an address in many rules": lambda: lines(
        GROUP + large_sets(2, 60000) + "rules:\n"
        + rules(3900, lambda i: f"protocol: tcp, source: [s0, s1, 10.0.0.{i & 255}]"),
        lambda i: "", 1),
}
HOSTS = {
    "links": lambda: some("bulkhead: 1\ninterfaces: [", lambda i: f"e{i}"),
    "networks": lambda: some("bulkhead: 1\nvirtual_network: [", six),
    "unknown settings": lambda: lines("bulkhead: 1\n", lambda i: f"a{i}: 1\n", ITEMS // 2),
}
TABLES = {
    "rows": lambda: full("", "in 6 1.1.1.1:1 2.2.2.2:2 = deny nd\n"),
    "no rows": lambda: full("", "x\n"),
    "one row of words": lambda: full("", "a "),
    "own addresses": lambda: full("self ", "10.0.0.1 ", "\n"),
    "own addresses again": lambda: full("", "self 10.0.0.1\n"),
}


def judge(program, kind, text):
    """What is over its limit, and what it took, in words."""
    assert SIZE * 0.9 < len(text) <= SIZE, f"the input has {len(text)} bytes"
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        done = subprocess.run([program, kind, file.name], capture_output=True, text=True,
                              timeout=60, check=True)
    steps = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert steps, "it said nothing"
    over = [kb for (kb, _, _), most in zip(steps, (READ_KB, RESOLVE_KB)) if kb > most]
    return over, ", ".join(f"{kb // 1024} MB {ms} ms" for kb, ms, _ in steps)


def main():
    program, words = sys.argv[1], sys.argv[2:]
    if "--unmeasured" in words:
        print("1..1\nok 1 - worst inputs # SKIP a sanitizer's or an emulator's own memory would be measured")
        return 0
    chosen = [(kind, name, make) for kind, inputs in
              (("policy", POLICIES), ("host", HOSTS), ("table", TABLES))
              for name, make in inputs.items() if not words or words[0] in name]

    def judged(one):
        kind, _, make = one
        try:
            return judge(program, kind, make())
        except (AssertionError, subprocess.SubprocessError) as error:
            return [0], str(error)

    failed = 0
    print(f"1..{len(chosen)}", flush=True)
    # Beside each other: what counts is the memory that a program itself takes.
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for number, ((kind, name, _), (over, took)) in enumerate(
                zip(chosen, pool.map(judged, chosen)), 1):
            failed += bool(over)
            print(f"{'not ok' if over else 'ok'} {number} - {kind}: {name} ({took})", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

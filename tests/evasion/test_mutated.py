#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
What nobody has thought of: frames of the cases with a few bytes changed, cut out or put in, and the IPv4
checksum set right again. No verdict is expected but what must hold for every packet: nothing that the policy
denies is heard behind bulkhead, and hooks of one direction decide alike.

BULKHEAD_LONG=1 sends 200,000 instead of 3,000; BULKHEAD_SEED=N begins with another one.
"""

import ipaddress
import os
import random
import struct
import sys

from cases import read_all
from generator import checksum
from layers import CARRIER
from netlab import Lab
from test_evasion import Suite, is_denied, point

SEED = int(os.environ.get("BULKHEAD_SEED", "1"))
FRAMES = 200000 if os.environ.get("BULKHEAD_LONG") == "1" else 3000
SHOWN = 10

LINK = 12  # the type; addresses before it stay, since they tell a marker
BYTES = (0, 1, 2, 4, 5, 6, 7, 8, 15, 17, 20, 22, 40, 41, 43, 44, 47, 50, 51, 58, 59, 60, 0x0f, 0x45, 0x46, 0x4f,
         0x60, 0x7f, 0x80, 0x81, 0x83, 0x88, 0x89, 0xbb, 0xc2, 0xc9, 0xff)
WORDS = (0, 1, 8, 20, 22, 443, 0x0800, 0x8100, 0x86dd, 0x88a8, 0x2000, 0x3fff, 0xffff)
MOST = 9000  # bytes of a frame


def changed(frame, rng):
    """A frame with one change."""
    at = rng.randrange(LINK, min(len(frame), 120))
    kind = rng.randrange(7)
    if kind == 0:
        return frame[:at] + bytes([frame[at] ^ 1 << rng.randrange(8)]) + frame[at + 1:]
    if kind == 1:
        return frame[:at] + bytes([rng.choice(BYTES)]) + frame[at + 1:]
    if kind == 2:
        return frame[:at] + struct.pack("!H", rng.choice(WORDS)) + frame[at + 2:]
    if kind == 3:
        return frame[:at] + bytes([(frame[at] + rng.choice((-8, -4, -1, 1, 4, 8))) & 0xff]) + frame[at + 1:]
    size = rng.choice((1, 2, 4, 8, 8, 16))
    if kind == 4:
        return frame[:at] + frame[at + size:]
    if kind == 5:
        return frame[:at] + bytes(rng.choice(BYTES) for _ in range(size)) + frame[at:]
    return frame[:at] + frame[at - size:at] + frame[at:]


def with_right_sum(frame):
    """IPv4 behind tags with the checksum that belongs to it, so that the stack goes on."""
    at = LINK
    while frame[at:at + 2] in (b"\x81\x00", b"\x88\xa8"):
        at += 4
    ip = at + 2
    if frame[at:at + 2] != b"\x08\x00" or len(frame) < ip + 20:
        return frame
    size = max(20, (frame[ip] & 15) * 4)
    right = checksum(frame[ip:ip + 10] + b"\0\0" + frame[ip + 12:ip + size])
    return frame[:ip + 10] + struct.pack("!H", right) + frame[ip + 12:]


def mutated(frames, rng):
    """A sequence of which one frame is changed, in one place to three."""
    frames = list(frames)
    which = rng.randrange(len(frames))
    for _ in range(rng.choice((1, 1, 2, 3))):
        frames[which] = changed(frames[which], rng)[:MOST].ljust(14, b"\0")
    frames[which] = with_right_sum(frames[which])
    return frames


def is_from_carrier(frames):
    """Whether an address whose tunnels the policy lets pass has come about."""
    return any(ipaddress.ip_address(address).packed in frame
               for address in CARRIER.values() for frame in frames)


def faults_of(suite, case, frames):
    """What is wrong with how a sequence fared, in words."""
    measured = suite.send(frames)
    first = {}
    for station in suite.stations[1:]:
        results = measured[station]
        decided = [(passed, deciders) if not station.is_behind_tc or arrived else "dropped before"
                   for (_, passed, deciders), (_, arrived, _) in zip(results, measured[suite.plain])]
        known = first.setdefault(station.way, (station.name, decided))
        for ours, theirs in zip(decided, known[1]):
            if ours != theirs and "dropped before" not in (ours, theirs):
                yield f"{station.name} decides {decided}, {known[0]} {known[1]}"
                break
        heard = set().union(*(each for each, _, _ in results))
        if len(frames) == 1 and results[0][1] and "frag" not in case.place:
            heard |= measured[suite.plain][0][0]
        for one in heard:
            if is_denied(station.way, *one):
                yield f"{station.name}: WALKED PAST: the policy denies {one}, and the stack has got it"


def run():
    rng = random.Random(SEED)
    cases, faults, sent = read_all(), [], 0
    with Lab() as lab:
        suite = Suite(lab, max)  # beside the cases themselves
        while sent < FRAMES and len(faults) < SHOWN:
            case = rng.choice(cases)
            frames = mutated(rng.choice(case.variants).frames, rng)
            if is_from_carrier(frames):
                continue
            sent += len(frames)
            for fault in faults_of(suite, case, frames):
                faults.append(f"{case.name()}\n#     {' ; '.join(frame.hex() for frame in frames)}\n#   {fault}")
    return faults


def main():
    print("1..1", flush=True)
    name = f"{FRAMES} changed frames of seed {SEED} are decided alike, and none walks past"
    if os.geteuid() != 0:
        point(1, name, [], "needs root")
        return 0
    return 1 if point(1, name, run()) else 0


if __name__ == "__main__":
    sys.exit(main())

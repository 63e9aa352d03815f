#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
The evasion suite: every case of the *.cases files is sent to a stack without bulkhead, and to one behind
each hook. README.md and docs/evasion.md tell the method. Words of the command line choose the cases whose
name holds one of them.
"""

import os
import sys
import traceback

from cases import CaseError, OPEN, read_all
from netlab import Lab, LabError
from stations import STATIONS, Station, UDP

NEVER_ICMP6 = {*range(130, 137), 143}  # neighbour discovery, multicast listeners
ERRORS = {1: {3, 11, 12}, 58: {1, 2, 3, 4}}
LEASES = {"in": {68, 546}, "out": {67, 547}}  # of DHCP clients, on the never-denied list


def words_of(heard, port):
    """What a stack has made of a case, in the words of the second column."""
    bound = {(protocol, at) for kind, protocol, at in heard if kind in ("socket", "reset")}
    told = {at for kind, _, at in heard if kind == "error"}
    words = set()
    for kind, protocol, at in heard:
        if kind == "header" and (protocol, at) in bound:
            continue
        if kind == "icmp" and told and at[0] in ERRORS[protocol]:
            continue
        if kind == "icmp":
            words.add(f"icmp {at[0]}/{at[1]}")
        elif kind == "protocol":
            words.add(f"protocol {protocol}")
        else:
            words.add(kind if at in (None, port) else f"{kind} {at}")
    return "+".join(sorted(words)) or "nothing"


def is_denied(way, kind, protocol, at):
    """Whether the policy denies what a stack has heard of frames that went this way. Errors are judged by
    what they quote."""
    if kind in ("socket", "reset", "header"):
        return at != OPEN and not (protocol == UDP and at in LEASES[way])
    if kind == "error":
        return at != OPEN
    if kind == "icmp":
        return at != {1: (8, 0), 58: (128, 0)}[protocol] and at[0] not in ERRORS[protocol] and not (
            protocol == 58 and at[0] in NEVER_ICMP6)
    return kind == "protocol" and protocol != 2  # IGMP is never denied


def judged(station, verdict):
    """What a verdict of a case means at a station: whether the frame passes, and what is told."""
    if verdict == "allow":
        return True, []
    reason = verdict.split()[1]
    if reason == "rule":
        reason = f"evasion/DenyAll{'In' if station.way == 'in' else 'Out'}Bound"
    return False, [reason]


def before(*version):
    """Whether the kernel is older."""
    return tuple(int(part) for part in os.uname().release.split(".")[:2]) < version


class Suite:
    """All stations, and the running number of the markers."""

    def __init__(self, lab, choose=min):
        """choose: of the processors that there are, the one to run on."""
        self.lab = lab
        self.marker = 1000
        self.stations = []
        self.missing = {}  # name of a station → why it is not there
        os.sched_setaffinity(0, {choose(os.sched_getaffinity(0))})  # what is sent later is seen later
        for name in ("peer", "copies"):
            with lab.host(name).enter():
                lab.hosts[name].sysctl("net/ipv6/conf/default/disable_ipv6", 1)
        for name, (way, hooks) in STATIONS.items():
            if "tcx" in name and before(6, 6):
                self.missing[name] = "this kernel has no tcx"
            else:
                self.stations.append(Station(lab, name, way, hooks))
        self.plain = self.stations[0]
        for station in self.stations[1:]:
            station.wait_for_watch(self._next_marker())

    def _next_marker(self):
        self.marker = self.marker + 1 if self.marker < 60000 else 1000
        return self.marker

    def send(self, frames):
        """{station: [what became of each frame]}: heard, passed, deciders."""
        out = {station: [] for station in self.stations}
        for frame in frames:
            marker = self._next_marker()
            for station in self.stations:
                station.send(frame, marker)
            for station in self.stations:
                out[station].append(station.measure(marker))
                if station.is_behind_tc and not out[self.plain][-1][1]:
                    station.expected_count -= 1  # the stack has dropped it before tc
        return out

    def count(self, name):
        """The fault of a station whose counters tell of more or fewer frames than it has judged."""
        return [f"{station.counted()} counted, {station.expected_count} sent"
                for station in self.stations
                if station.name == name and station.counted() != station.expected_count]

    def judge(self, case):
        """The faults of a case, in words."""
        faults = []
        for variant in case.variants:
            measured = self.send(variant.frames)
            heard = self._heard(measured[self.plain])
            got = words_of(heard, variant.port)
            if got not in case.stack.split(" or "):
                faults.append(f"port {variant.port}: the stack makes {got} of it, not {case.stack}")
            for station in self.stations[1:]:
                faults += self._compare(station, variant, measured[station], measured[self.plain])
                faults += self._walked_past(case, station, variant, measured[station], heard)
        return faults

    @staticmethod
    def _heard(results):
        return set().union(*(heard for heard, _, _ in results))

    @staticmethod
    def _compare(station, variant, results, plainly):
        """Expected verdicts, frame by frame. Behind tc comes nothing that the stack has dropped before."""
        for number, (verdict, (_, passed, deciders), (_, arrived, _)) in enumerate(
                zip(variant.expected[station.way], results, plainly), 1):
            expected = judged(station, verdict)
            if station.is_behind_tc and not arrived:
                expected = (False, [])
            if (passed, deciders) != expected:
                got = f"{'allow' if passed else 'deny'} {' '.join(deciders)}"
                yield f"{station.name}, port {variant.port}, frame {number}: {got}, not {verdict}"

    def _walked_past(self, case, station, variant, results, plainly):
        """The invariant, by what the stack behind bulkhead has heard, and by what the other one makes
        of frames that all passed."""
        heard = self._heard(results)
        if all(passed for _, passed, _ in results):
            heard |= plainly
            missed = {one for one in plainly if one[0] in ("socket", "header") and one[1] == UDP} - heard
            if missed:
                yield f"{station.name}: passed, but the stack behind did not hear {missed}"
        if case.is_carried():
            return
        for one in heard:
            if is_denied(station.way, *one):
                yield (f"{station.name}, port {variant.port}: WALKED PAST: the policy denies {one},"
                       " and the stack has got it")


def chosen_cases():
    words = sys.argv[1:]
    cases = [case for case in read_all()
             if not words or any(word in case.name() for word in words)]
    if not cases:
        sys.exit(f"test_evasion: no case has {' or '.join(words)} in its name")
    return cases


def point(number, name, faults, skip=""):
    """One of the Test Anything Protocol."""
    print(f"{'not ok' if faults else 'ok'} {number} - {name}" + (f" # SKIP {skip}" if skip else ""))
    for fault in faults:
        print(f"# {fault}")
    sys.stdout.flush()
    return bool(faults)


def run(cases):
    failed = 0
    with Lab() as lab:
        suite = Suite(lab)
        for number, case in enumerate(cases, 1):
            failed += point(number, case.name(), suite.judge(case))
        for number, name in enumerate(list(STATIONS)[1:], len(cases) + 1):
            failed += point(number, f"every frame is judged and counted once at {name}",
                            suite.count(name), suite.missing.get(name, ""))
    print(f"# {len(cases)} cases")
    return failed


def main():
    cases = chosen_cases()
    print(f"1..{len(cases) + len(STATIONS) - 1}", flush=True)
    if os.geteuid() != 0:
        for number in range(len(cases) + len(STATIONS) - 1):
            point(number + 1, "a case", [], "needs root")
        return 0
    return 1 if run(cases) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (CaseError, LabError):
        traceback.print_exc()
        sys.exit(1)

# SPDX-License-Identifier: GPL-2.0-only
"""
A prober: in a process of its own it sends, in both directions and each PACE, one datagram
that every policy of a test allows and one that every policy denies, and tells at any moment
which of them arrived. Nothing else in the test takes its time away, and no moment goes unseen.
"""

import contextlib
import multiprocessing
import os
import select
import time

from netlab import LabError, wait_until

# Seconds: a millisecond, but where an emulated machine would come to nothing else.
PACE = float(os.environ.get("BULKHEAD_PACE", "0.001"))
SETTLE = 0.5  # what has not arrived by then is lost


class _Lane:
    """Numbered datagrams from one socket to another."""

    def __init__(self, sender, receiver, target):
        self.sender, self.receiver, self.target = sender, receiver, target
        self.sent = self.arrived = self.expected = 0
        self.missing = set()
        receiver.setblocking(False)

    def send(self):
        try:
            self.sender.sendto(b"%d" % self.sent, self.target)
        except OSError:  # denied at our own egress, or there is no such link any more
            pass
        self.sent += 1

    def drain(self):
        while True:
            try:
                number = int(self.receiver.recv(64))
            except BlockingIOError:
                return
            self.arrived += 1
            # A sender that changes its CPU may overtake itself.
            self.missing.discard(number)
            self.missing.update(range(self.expected, number))
            self.expected = max(self.expected, number + 1)

    def lost(self, until):
        """How many of the first until datagrams have not arrived."""
        return max(until - self.expected, 0) + sum(number < until for number in self.missing)


def _run(lanes, pipe):
    """The body of the process; asked by a byte, it answers with [(arrived, lost)] of each lane."""
    asked = None
    due = time.monotonic()
    poller = select.epoll()
    poller.register(pipe.fileno(), select.EPOLLIN)
    for lane in lanes.values():
        poller.register(lane.receiver.fileno(), select.EPOLLIN)
    while True:
        for lane in lanes.values():
            lane.send()
        ready = {fd for fd, _ in poller.poll(0)}
        for lane in lanes.values():
            if lane.receiver.fileno() in ready:
                lane.drain()
        if asked is None and pipe.fileno() in ready:
            if pipe.recv() == "end":
                return
            asked = (time.monotonic(), {name: lane.sent for name, lane in lanes.items()})
        if asked:
            lost = {name: lane.lost(asked[1][name]) for name, lane in lanes.items()}
            allowed_lost = sum(count for name, count in lost.items() if name.startswith("allowed"))
            if not allowed_lost or time.monotonic() - asked[0] > SETTLE:
                pipe.send({name: (lane.sent, lane.arrived, lost[name])
                           for name, lane in lanes.items()})
                asked = None
        due += PACE
        now = time.monotonic()
        if due > now:
            select.select([], [], [], due - now)
        else:
            due = now


class Prober:
    """
    Four lanes between a peer and the host: allowed and denied, in and out. ports: for each
    direction the port that is allowed and the one that is denied.
    """

    def __init__(self, peer, host, addresses, ports):
        lanes = {}
        for way, (sender, receiver, address) in {"in": (peer, host, addresses["host"]),
                                                 "out": (host, peer, addresses["peer"])}.items():
            for kind, port in zip(("allowed", "denied"), ports[way]):
                lanes[f"{kind}-{way}"] = _Lane(sender.udp(), receiver.udp(address, port),
                                               (address, port))
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(lanes, theirs), daemon=True)
        self._process.start()
        host.lab.at_end.append(self.end)
        self._before = self._now = {name: (0, 0, 0) for name in lanes}

    def since(self):
        """{lane: (sent, arrived, lost)} since the last call, when all that was under way has come."""
        change = self._ask()
        self._before = self._now
        return change

    def wait(self, count):
        """since(), once every lane has sent so many datagrams after the last call."""
        seen = wait_until(lambda: self._enough(count), what="the prober's datagrams")
        self._before = self._now
        return seen

    def _enough(self, count):
        change = self._ask()
        return change if all(sent >= count for sent, _, _ in change.values()) else None

    def _ask(self):
        self._pipe.send("mark")
        if not self._pipe.poll(5):
            raise LabError("the prober does not answer")
        self._now = self._pipe.recv()
        return {name: tuple(new - old for new, old in zip(self._now[name], self._before[name]))
                for name in self._now}

    def check(self, where):
        """Since the last call: nothing denied arrived, nothing allowed was lost."""
        seen = self.since()
        for lane, (sent, arrived, lost) in seen.items():
            if lane.startswith("denied"):
                assert not arrived, f"{where}: {arrived} of {sent} got past a deny ({lane})"
            else:
                assert not lost, f"{where}: {lost} of {sent} lost ({lane})"
        return seen

    def end(self):
        """With the lab, if not before: it would go on sending as long as the script of tests runs."""
        if self._process.is_alive():
            with contextlib.suppress(OSError):
                self._pipe.send("end")
            self._process.join(5)
        if self._process.is_alive():
            self._process.kill()

#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
Connection state as real sockets see it: random conversations over TCP and UDP (open, data, close,
reset, silence past the time-out, replies first, reused ports, closed ports, another policy midway)
between pairs of hosts, one under bulkhead, one under nftables with connection tracking, one without
a filter. What the sockets see must be the same under both; what explained.json explains may differ,
and then ends the comparison of that conversation. Without a filter everything works, or the laboratory
is at fault.

BULKHEAD_LONG=1 runs 2,000 conversations instead of 50, makes what differs small and keeps it in
tests/e2e/sequences, which every run replays; BULKHEAD_SEED=N begins with another one.
"""

import collections
import random
import time

import sockets
from netlab import Skip, Tap, run
from sockets import CLOSED_PORT, CONNECTED, ENDED, NOTHING, PORTS, RECEIVED, REFUSED, RESET
from test_sequences import (BATCH, SEED, SEQUENCES, TALLY, Batch, Replay, Seen, Sequence, admits,
                            altered, changed, describe, in_doubt, keep_small, random_rules,
                            replay_kept, spread)
from twins import TCP, UDP, Flow

tap = Tap()

TEMPLATES = {
    TCP: ("open >data <data <data >data >FIN <data <FIN open >data <data",
          "open >data <data >RST open <data >data <data >data",
          "open <data <RST open >data <data >data <FIN >FIN",
          "open <data >data <data >data <data >data <FIN >data >FIN open >data",
          "open >data open >data <data open <data >data",
          "open >data <data <FIN >data >data >FIN open <data >data"),
    UDP: ("> < > > < < > < > <", "< > < < > > < < > <", "> > > < < > <", "< < > < < < >"),
}

# What a word is on the wire, as far as it got.
ON_THE_WIRE = {"open": (">SYN", "<SYN-ACK", ">ACK"), "data": ("data", "ACK"), "FIN": ("FIN", "ACK"),
               "RST": ("RST-ACK",), "": ("",)}
WORKS = {"open": CONNECTED, "data": RECEIVED, "FIN": ENDED, "RST": RESET, "": RECEIVED}


def kind(word):
    return word if word == "open" else word[1:]


def on_the_wire(word, works):
    """The packets of a word; of one that did not work the first."""
    if word == "open":
        packets = ON_THE_WIRE["open"]
    else:
        first, *answer = ON_THE_WIRE[word[1:]]
        packets = (word[0] + first, *(("<" if word[0] == ">" else ">") + one for one in answer))
    return packets if works else packets[:1]


class Conversations(Batch):
    """As a batch of sequences, with words for packets."""

    def run(self):
        super().run()
        for sequence in self.sequences:
            self.pair.forget(sequence.flow)
        return self

    def _step(self, step):
        moving = [sequence for sequence in self.sequences
                  if sequence.moves[step] and sequence.verdict is None]
        now = time.monotonic()
        seen = self.pair.step([(sequence.flow, sequence.moves[step]) for sequence in moving])
        for sequence, (ours, theirs, free) in zip(moving, seen):
            sequence.last_step = step
            self._judge(sequence, now, sequence.moves[step], (ours, theirs, free))
            if sequence.verdict is not None:
                self.pair.forget(sequence.flow)

    def _judge(self, sequence, now, word, seen):
        ours, theirs, free = seen
        closed = sequence.flow.port == CLOSED_PORT
        expected = REFUSED if closed and word in ("open", ">") else WORKS[kind(word)]
        if free is None:  # nothing to say it with, and then nowhere
            assert ours is None and theirs is None, (sequence.text(), word, seen)
            return
        assert free == expected, f"without a filter {word} is {free}: {sequence.text()}"
        sequence.outcomes.append((word, ours, theirs))
        for packet in on_the_wire(word, expected in (ours, theirs) and not closed):
            sequence.seen.append(Seen(now, packet, ours == expected, theirs == expected,
                                      self.is_changed))
        if in_doubt(sequence.seen):
            sequence.verdict = ""
        elif ours != theirs:
            # The packet on which they disagree is the first of the word.
            while sequence.seen[-1].word != on_the_wire(word, False)[0]:
                sequence.seen.pop()
            self._differs(sequence)
        elif ours == NOTHING and sequence.flow.protocol == TCP:
            self._vanish(sequence.flow)

    def _vanish(self, flow):
        """In the pair without a filter, too."""
        self.pair.free.ends[flow.number].vanish()


def random_conversation(number, rules, rng):
    protocol = rng.choice((TCP, TCP, UDP))
    words = altered(rng.choice(TEMPLATES[protocol]).split(), rng)
    for _ in range(rng.choice((1, 20, 20, 20))):
        flow = Flow(number, rng.choice((4, 6)), protocol, rng.choice(("in", "out")),
                    rng.randrange(4), rng.choice((*PORTS, *PORTS, CLOSED_PORT)))
        if admits(rules, flow):
            break
    return Sequence(flow, spread(words, rng))


def openness(rules):
    """How many conversations a policy lets open, of the protocol of which it lets fewer."""
    return min(sum(admits(rules, Flow(0, 4, protocol, direction, peer, port))
                   for direction in ("in", "out") for peer in range(4) for port in PORTS)
               for protocol in (TCP, UDP))


def run_batch(triplets, number, rng):
    rules = max((random_rules(rng) for _ in range(8)), key=openness)
    conversations = [random_conversation(number + i, rules, rng) for i in range(BATCH)]
    return Conversations(triplets, (rules, changed(rules, rng)),
                         ("recheck", "keep")[number // BATCH % 2], conversations).run()


@tap
def sockets_see_the_same_as_under_nftables_with_connection_tracking(lab):
    if run("nft", "--version", check=False).returncode:
        raise Skip("nft is not installed")
    rng = random.Random(SEED)
    triplets = sockets.Triplets(lab)
    tally, outcomes = collections.Counter(), collections.Counter()
    found = []
    for number in range(0, SEQUENCES, BATCH):
        batch = run_batch(triplets, number, rng)
        for one in batch.sequences:
            tally[TALLY.get(one.verdict, one.verdict)] += 1
            outcomes.update(ours for _, ours, _ in one.outcomes)
        found += [(batch, one) for one in batch.unexplained]
    for counter in (tally, outcomes):
        print("# " + ", ".join(f"{count} {name}" for name, count in counter.items()), flush=True)
    for outcome in (CONNECTED, RECEIVED, ENDED, RESET, REFUSED, NOTHING):
        assert outcomes[outcome], f"no socket has seen '{outcome}'"
    assert not found, (f"seed {SEED}, {len(found)} conversations differ:\n" + "\n\n".join(
        [*(f"{one.outcomes}\n{describe(batch, one)}" for batch, one in found[:5]),
         *keep_small(Replay(triplets, Conversations), "sockets", found)]))


@tap
def conversations_that_were_kept_do_not_differ(lab):
    if run("nft", "--version", check=False).returncode:
        raise Skip("nft is not installed")
    replay_kept(Replay(sockets.Triplets(lab), Conversations), "sockets")


if __name__ == "__main__":
    tap.main()

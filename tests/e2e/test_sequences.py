#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
Connection state against somebody else's: random sequences of packets (open, data, close, reset,
silence past the time-out, replies first, reused ports, another policy midway) before bulkhead and
before nftables with connection tracking. Both must let the same packets through; what is explained in
explained.json may differ, and then ends the comparison of that sequence.

BULKHEAD_LONG=1 runs 2,000 sequences instead of 50, makes what differs small and keeps it in
tests/e2e/sequences, which every run replays; BULKHEAD_SEED=N begins with another one.
"""

import collections
import json
import os
import random
import tempfile
import time

import shrinking
import twins
from netlab import TOP, Skip, Tap, run
from twins import ECHO, TCP, UDP, Flow, Rule, Twins, admits

tap = Tap()

HERE = os.path.dirname(os.path.abspath(__file__))
LONG = os.environ.get("BULKHEAD_LONG") == "1"
SEED = int(os.environ.get("BULKHEAD_SEED", "1"))
SEQUENCES, BATCH = (2000, 250) if LONG else (50, 25)

# How many packets of a sequence come before each event. A silence is longer than one time-out and
# shorter than the next.
PAUSE, SHORT, LONG_SILENCE = 2.5, 6.5, 12
EVENTS = ((8, PAUSE), (5, "change"), (5, SHORT), (4, LONG_SILENCE), (3, None))
# Seconds around a time-out, and around the age from which a stream is one, in which both are right.
DOUBT, STREAM_DOUBT = 0.7, 0.4

# > from the side that opens, < from the other; error: from a router, about what the host has sent.
TEMPLATES = {
    TCP: (">SYN <SYN-ACK >ACK >data <data <ACK >data <data >FIN <FIN >ACK >SYN <SYN-ACK >ACK <data",
          ">SYN <RST-ACK >SYN <SYN-ACK >ACK <data >data <FIN >data >FIN <ACK",
          ">data <data >data <data <FIN >ACK >FIN <ACK <data",
          "<SYN-ACK <data <RST >SYN <SYN-ACK >ACK <data >data <ACK",
          ">SYN <SYN-ACK >ACK <data >RST <data >SYN <SYN-ACK >ACK <data",
          ">SYN >SYN <ACK <data <SYN-ACK error >ACK <ACK error >data <data",
          ">SYN <SYN-ACK >ACK <ACK <SYN <data >SYN <ACK >FIN <RST <data"),
    UDP: ("> < > > < < > < > <", "< > < < > error < > <", "> > > < error > < <"),
    ECHO[4]: ("> < > < < >", "< > < error < >"),
}


# Of TCP: what acknowledges the packet, and what it acknowledges.
Seen = collections.namedtuple("Seen", "when word ours theirs changed expects acknowledges",
                              defaults=(0, 0))  # of real sockets these always fit


class Sequence:
    """A flow, and what is sent of it at each step: None, or a word of a template."""

    def __init__(self, flow, moves):
        self.flow, self.moves = flow, moves
        self.seen = []  # Seen
        self.last_step = None  # the last one that was done
        self.outcomes = []  # of sockets: (word, ours, theirs)
        self.verdict = None  # why it is no longer compared: "", or the name of an explanation

    def text(self):
        flow = self.flow
        return (f"{flow.direction} protocol {flow.protocol} over IPv{flow.version}, peer"
                f" {flow.peer}, port {flow.port}: {' '.join(word or '.' for word in self.moves)}")


def spread(words, rng):
    """The words over the steps between events, some steps idle."""
    steps = sum(count for count, _ in EVENTS)
    places = sorted(rng.sample(range(steps), min(len(words), steps)))
    moves = [None] * steps
    for place, word in zip(places, words):
        moves[place] = word
    return moves


def altered(words, rng):
    """A template with packets left out, sent twice, exchanged, or put in from nowhere."""
    pool = [word for word in words if word != "error"]
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
        place = rng.randrange(len(words))
        what = rng.randrange(4)
        if what == 0 and len(words) > 2:
            del words[place]
        elif what == 1:
            words.insert(place, words[place])
        elif what == 2:
            other = rng.randrange(len(words))
            words[place], words[other] = words[other], words[place]
        else:
            words.insert(place, rng.choice(pool))
    return words


def random_sequence(number, rules, rng):
    protocol = rng.choice((TCP, TCP, TCP, UDP, ECHO[4]))
    words = altered(rng.choice(TEMPLATES[protocol]).split(), rng)
    for _ in range(rng.choice((1, 20, 20, 20))):  # mostly one that the first policy lets open
        version = rng.choice((4, 6))
        flow = Flow(number, version, protocol if protocol in (TCP, UDP) else ECHO[version],
                    rng.choice(("in", "out")), rng.randrange(4),
                    rng.choice((80, 443, 8000, 8010)))
        if admits(rules, flow):
            break
    return Sequence(flow, spread(words, rng))


def random_rules(rng):
    """Few rules about few peers and ports, so that they overlap."""
    return [Rule(rng.choice(("in", "out")), rng.random() < 0.75,
                 rng.sample(range(4), rng.randrange(1, 4)),
                 rng.choice(("tcp", "udp", "icmp", None, None)), None)
            if rng.random() < 0.5 else
            Rule(rng.choice(("in", "out")), rng.random() < 0.75,
                 rng.sample(range(4), rng.randrange(1, 4)), rng.choice(("tcp", "udp")),
                 rng.choice(((80, 80), (80, 443), (8000, 8010), (443, 8000))))
            for _ in range(rng.randrange(3, 8))]


def changed(rules, rng):
    """Another policy: some rules gone, some turned around."""
    kept = [rule for rule in rules if rng.random() < 0.8]
    return [Rule(rule.direction, rule.allow != (rng.random() < 0.4), rule.peers, rule.protocol,
                 rule.ports) for rule in kept] + random_rules(rng)[:1]


# ---- running a batch ---------------------------------------------------------------------------

class Batch:
    """Sequences that run side by side, under one policy and then another."""

    def __init__(self, pair, rules, existing_flows, sequences):
        self.pair, self.rules, self.existing_flows = pair, rules, existing_flows
        self.sequences = sequences
        self.is_changed = False  # the second policy is in force
        self.unexplained = []

    def run(self):
        self.pair.apply(self.rules[0], self.existing_flows)
        step = 0
        for count, event in EVENTS:
            for _ in range(count):
                self._step(step)
                step += 1
            if not any(one.verdict is None and any(one.moves[step:]) for one in self.sequences):
                break  # nobody has anything more to say
            if event == "change":
                self.pair.apply(self.rules[1], self.existing_flows)
                self.is_changed = True
            elif event:
                time.sleep(event)  # silence is what is being tested
        return self

    def _packet(self, sequence, word):
        flow = sequence.flow
        if word == "error":
            return flow, True, flow.error(flow.direction == "out")
        opener = word[0] == ">"
        return flow, flow.inbound(opener), flow.packet(opener, word[1:])

    def _step(self, step):
        moving = [sequence for sequence in self.sequences
                  if sequence.moves[step] and sequence.verdict is None]
        now = time.monotonic()
        ours, theirs = self.pair.step([self._packet(sequence, sequence.moves[step])
                                       for sequence in moving])
        for sequence in moving:
            sequence.last_step = step
            key, numbers = sequence.flow.key(), sequence.flow.next
            opener = sequence.moves[step][0] == ">"
            sequence.seen.append(Seen(now, sequence.moves[step], key in ours, key in theirs,
                                      self.is_changed, numbers[opener], numbers[not opener]))
            if in_doubt(sequence.seen):
                sequence.verdict = ""
            elif (key in ours) != (key in theirs):
                self._differs(sequence)

    def _differs(self, sequence):
        sequence.verdict = explanation(self, sequence)
        if not sequence.verdict:
            sequence.verdict = "unexplained"
            self.unexplained.append(sequence)


def in_doubt(seen):
    """The last silence ended too near to a time-out for anyone to say who is right."""
    last, before = seen[-1], seen[:-1]
    silences = {last.when - past[-1].when for past in (
        before, [one for one in before if one.ours], [one for one in before if one.theirs]) if past}
    ages = {last.when - one.when for one in before}
    return (any(abs(silence - limit) < DOUBT for silence in silences
                for limit in (twins.HALF_OPEN, twins.ESTABLISHED))
            or any(abs(age - twins.STREAM_AFTER) < STREAM_DOUBT for age in ages))


# ---- what may differ, and why ------------------------------------------------------------------

FITS = {}


def fits(name):
    """Of an entry of explained.json: whether it explains the last packet of a sequence."""
    def add(function):
        FITS[name] = function
        return function
    return add


def explanation(batch, sequence):
    """The name of the first explanation that fits; None."""
    return next((name for name, function in FITS.items() if function(batch, sequence)), None)


def opener_is_denied(batch, sequence):
    """By the policy in force, whoever has spoken last."""
    return not admits(batch.rules[batch.is_changed], sequence.flow)


def tcp_is_established(before):
    """The opener has acknowledged its replier's last packet since the last SYN that began anew."""
    opener, answered, expected = None, False, None
    established, ended, closing = False, set(), False
    for seen in before:
        side, kind = seen.word[0], seen.word[1:]
        if opener is None or (kind == "SYN" and (closing or (side == opener and ended
                                                             and not established))):
            answered = opener is not None or kind != "SYN"
            opener, expected, established, ended, closing = side, None, False, set(), False
        if kind in ("RST", "RST-ACK", "FIN"):
            ended.add(side)
            closing = established
        elif side not in ended and established:
            closing = False
        if kind in ("SYN", "RST", "RST-ACK"):
            continue
        if side != opener and not established and (answered or kind == "SYN-ACK"):
            answered, expected = True, seen.expects
        elif side == opener and kind != "SYN-ACK" and seen.acknowledges == expected is not None:
            closing = closing or (not established and bool(ended))
            established = True
    return established


def is_established(sequence, before):
    """As docs/datapath.md says it, by packets that have passed before."""
    before = [seen for seen in before if seen.word != "error"]
    if sequence.flow.protocol == TCP:
        return tcp_is_established(before)
    replies = [seen.when for seen in before if seen.word != before[0].word]
    return any(seen.word == before[0].word and replies
               and seen.when > replies[0] + twins.STREAM_AFTER for seen in before)


def other(word):
    return "<" if word[0] == ">" else ">"


def since_last(sequence, word):
    """What came after a packet had last passed, but for the one at hand; None: it never has."""
    places = [place for place, seen in enumerate(sequence.seen[:-1])
              if seen.ours and seen.word == word]
    return sequence.seen[places[-1] + 1:-1] if places else None


def silence(sequence):
    """At some time nothing passed for longer than a half-open or closing flow lives."""
    times = [seen.when for seen in sequence.seen[:-1] if seen.ours and seen.word != "error"]
    times.append(sequence.seen[-1].when)
    return any(after - before > twins.HALF_OPEN for before, after in zip(times, times[1:]))


@fits("error-about-what-is-allowed")
def _error_about_what_is_allowed(batch, sequence):
    last, flow = sequence.seen[-1], sequence.flow
    quoted = flow if flow.direction == "out" else flow.turned()
    return (last.word == "error" and last.ours
            and admits(batch.rules[batch.is_changed], quoted))


@fits("error-about-an-ended-flow")
def _error_about_an_ended_flow(batch, sequence):
    last = sequence.seen[-1]
    return (last.word == "error" and last.theirs and last.changed
            and opener_is_denied(batch, sequence))


@fits("a-syn-is-no-reply")
def _a_syn_is_no_reply(_batch, sequence):
    last = sequence.seen[-1]
    return last.word[1:] == "SYN" and last.theirs


@fits("no-ack-before-syn-ack")
def _no_ack_before_syn_ack(_batch, sequence):
    last = sequence.seen[-1]
    since = since_last(sequence, other(last.word) + "SYN")
    return (since is not None and last.theirs and last.word[1:] in ("ACK", "data", "FIN")
            and not any(seen.ours and seen.word == last.word[0] + "SYN-ACK" for seen in since))


@fits("a-reset-forgets-nothing")
def _a_reset_forgets_nothing(_batch, sequence):
    before = [seen for seen in sequence.seen[:-1] if seen.ours]
    return any(seen.word[1:] in ("RST", "RST-ACK")
               and len({one.word[0] for one in before[:place]}) == 1
               for place, seen in enumerate(before))


@fits("a-syn-ack-may-come-late")
def _a_syn_ack_may_come_late(_batch, sequence):
    last = sequence.seen[-1]
    passed = [seen for seen in sequence.seen[:-1] if seen.ours]
    return last.ours and last.word[1:] == "SYN-ACK" and is_established(sequence, passed)


@fits("a-stream-is-older-than-its-first-reply")
def _a_stream_is_older_than_its_first_reply(_batch, sequence):
    passed = [seen for seen in sequence.seen[:-1] if seen.ours]
    return (sequence.flow.protocol == UDP and sequence.seen[-1].theirs and silence(sequence)
            and not is_established(sequence, passed))


@fits("an-end-that-does-not-come-is-lifted")
def _an_end_that_does_not_come_is_lifted(_batch, sequence):
    passed = [seen.word[1:] for seen in sequence.seen[:-1] if seen.ours]
    ends = [place for place, word in enumerate(passed) if word in ("RST", "RST-ACK", "FIN")]
    return (sequence.seen[-1].ours and silence(sequence) and ends
            and {"SYN-ACK", "ACK", "data"} & set(passed[ends[0]:]))


@fits("a-denied-syn-forgets-nothing")
def _a_denied_syn_forgets_nothing(_batch, sequence):
    before = sequence.seen[:-1]
    ends = [place for place, seen in enumerate(before)
            if seen.ours and seen.word[1:] in ("RST", "RST-ACK", "FIN")]
    return (sequence.seen[-1].ours and ends
            and any(seen.word[1:] == "SYN" and not seen.ours and not seen.theirs
                    for seen in before[ends[0]:]))


@fits("a-syn-on-a-live-flow-changes-nothing")
def _a_syn_on_a_live_flow_changes_nothing(_batch, sequence):
    passed = [seen for seen in sequence.seen[:-1] if seen.ours]
    syns = [place for place, seen in enumerate(passed)
            if seen.word[1:] == "SYN" and is_established(sequence, passed[:place])]
    return (sequence.seen[-1].ours and silence(sequence) and syns
            and any(seen.word == other(passed[syns[0]].word) + "SYN-ACK"
                    for seen in passed[syns[0]:]))


@fits("an-ended-flow-begins-anew")
def _an_ended_flow_begins_anew(batch, sequence):
    last = sequence.seen[-1]
    sides = [admits(batch.rules[1], flow) for flow in (sequence.flow, sequence.flow.turned())]
    return (batch.existing_flows == "recheck" and last.changed and last.ours
            and sorted(sides) == [False, True])


@fits("an-end-before-the-beginning-counts")
def _an_end_before_the_beginning_counts(_batch, sequence):
    passed = [seen for seen in sequence.seen[:-1] if seen.ours]
    ends = [place for place, seen in enumerate(passed)
            if seen.word[1:] in ("RST", "RST-ACK", "FIN")]
    return (sequence.seen[-1].theirs and silence(sequence) and ends
            and not is_established(sequence, passed[:ends[0]]))


@fits("established-is-what-the-opener-has-acknowledged")
def _established_is_what_the_opener_has_acknowledged(_batch, sequence):
    passed = [seen for seen in sequence.seen[:-1] if seen.ours]
    return (sequence.seen[-1].theirs and silence(sequence)
            and {seen.word[1:] for seen in passed} & {"ACK", "data", "FIN"}
            and not is_established(sequence, passed))


@fits("half-open-is-not-kept")
def _half_open_is_not_kept(batch, sequence):
    last = sequence.seen[-1]
    return (batch.existing_flows == "keep" and last.changed and last.theirs
            and not (admits(batch.rules[1], sequence.flow)
                     and admits(batch.rules[1], sequence.flow.turned()))
            and not is_established(sequence, [seen for seen in sequence.seen
                                              if seen.ours and not seen.changed]))


# ---- the tests ---------------------------------------------------------------------------------

TALLY = {None: "agree", "": "in doubt"}


def describe(batch, sequence):
    lines = [sequence.text(), f"existing_flows: {batch.existing_flows}"]
    for number, rules in enumerate(batch.rules):
        opens = "admitted" if admits(rules, sequence.flow) else "denied"
        lines.append(f"policy {number + 1}: opener {opens}")
        lines.append(twins.as_yaml(rules, batch.existing_flows))
    start = sequence.seen[0].when
    lines += [f"{seen.when - start:6.2f} s {seen.word:10} ours {'pass' if seen.ours else 'deny'},"
              f" nftables {'pass' if seen.theirs else 'deny'}, policy {1 + seen.changed}"
              for seen in sequence.seen]
    return "\n".join(lines)


def run_batch(pair, number, rng):
    rules = random_rules(rng)
    sequences = [random_sequence(number + i, rules, rng) for i in range(BATCH)]
    return Batch(pair, (rules, changed(rules, rng)), ("recheck", "keep")[number // BATCH % 2],
                 sequences).run()


class Replay:
    """Runs scripts, in ports that no sequence has had before."""

    def __init__(self, pair, batch_class):
        self.pair, self.batch_class = pair, batch_class
        self._number = 2 * SEQUENCES

    def run(self, scripts):
        """Of scripts that share their policies, side by side: the batch."""
        first, self._number = self._number, self._number + len(scripts)
        sequences = [Sequence(script.a_flow(first + i), script.moves)
                     for i, script in enumerate(scripts)]
        return self.batch_class(self.pair, scripts[0].rules, scripts[0].existing_flows,
                                sequences).run()

    def differ(self, scripts):
        return [sequence.verdict == "unexplained" for sequence in self.run(scripts).sequences]

    def judge(self, script):
        """The batch of a script whose silences were kept well enough for someone to be right."""
        for _ in range(3):
            batch = self.run([script])
            if batch.sequences[0].verdict != "":
                break
        return batch


def keep_small(replay, kind, found):
    """What to say of differences, [(batch, sequence)]; in a long run with the file of each."""
    if not LONG:
        return ["BULKHEAD_LONG=1 makes it small and keeps it"] if found else []
    lines = []
    for number, (batch, sequence) in enumerate(found[:shrinking.KEPT_AT_MOST]):
        path = shrinking.keep(shrinking.Script.of(kind, batch, sequence), replay.differ,
                              f"found-{kind}-{SEED}-{number}")
        lines.append(f"kept as {path}" if path else "it came once and did not come again")
    return lines


def replay_kept(replay, kind):
    """Every script of a kind that was kept: none may differ without an explanation."""
    scripts = shrinking.kept(kind)
    assert scripts, f"no sequence of {kind} is kept"
    for path, script in scripts:
        batch = replay.judge(script)
        verdict = batch.sequences[0].verdict
        print(f"# {os.path.basename(path)}: {TALLY.get(verdict, verdict)}", flush=True)
        assert verdict != "unexplained", f"{path}:\n{describe(batch, batch.sequences[0])}"
        assert verdict != "", f"{path}: no silence was kept well enough"


@tap
def every_explanation_is_in_the_list_and_on_the_page(_lab):
    with open(os.path.join(HERE, "explained.json"), encoding="utf-8") as file:
        explained = json.load(file)
    assert sorted(explained) == sorted(FITS), "explained.json and this file name others"
    with open(os.path.join(TOP, "docs", "testing.md"), encoding="utf-8") as file:
        page = file.read()
    for name, reason in explained.items():
        assert f"| {name} | {reason} |" in page, f"docs/testing.md does not say so of {name}"


def _fake_difference(script):
    """A syn, later data of the other side, and a rule about port 80 in the second policy."""
    words = [word for word in script.moves if word]
    return (">SYN" in words and "<data" in words[words.index(">SYN"):]
            and any(rule.ports == (80, 80) for rule in script.rules[1]))


@tap
def a_difference_is_made_small_and_kept(_lab):
    rng = random.Random(3)
    needed = Rule("in", False, [3], "udp", (80, 80))  # says nothing about the flow
    rules = (random_rules(rng), [*random_rules(rng), needed])
    moves = spread(TEMPLATES[TCP][0].split(), rng)
    script = shrinking.Script("packets", {"version": 6, "protocol": TCP, "direction": "in",
                                          "peer": 1, "port": 443}, "keep", rules, moves)
    ran = []

    def differ(scripts):
        assert len({id(one.rules) for one in scripts}) == 1, "side by side under several policies"
        ran.append(len(scripts))
        return [_fake_difference(one) for one in scripts]

    with tempfile.TemporaryDirectory() as folder:
        path = shrinking.keep(script, differ, "small", folder)
        small = shrinking.Script.read(path)
        assert shrinking.keep(small.under(([], [])), differ, "nothing", folder) is None
    words = [word for word in small.moves if word]
    assert words == [">SYN", "<data"], words
    assert [len(rules) for rules in small.rules] == [0, 1], small.rules
    assert (small.flow, small.existing_flows) == (script.flow, "keep")
    assert max(ran) < 300, "too many side by side"


@tap
def sequences_that_were_kept_do_not_differ(lab):
    if run("nft", "--version", check=False).returncode:
        raise Skip("nft is not installed")
    replay_kept(Replay(Twins(lab), Batch), "packets")


@tap
def sequences_of_packets_fare_as_under_nftables_with_connection_tracking(lab):
    if run("nft", "--version", check=False).returncode:
        raise Skip("nft is not installed")
    rng = random.Random(SEED)
    pair = Twins(lab)
    tally = collections.Counter()
    found = []
    for number in range(0, SEQUENCES, BATCH):
        batch = run_batch(pair, number, rng)
        tally.update(TALLY.get(sequence.verdict, sequence.verdict) for sequence in batch.sequences)
        found += [(batch, sequence) for sequence in batch.unexplained]
    print("# " + ", ".join(f"{count} {name}" for name, count in tally.items()), flush=True)
    assert not found, (f"seed {SEED}, {len(found)} sequences differ:\n" + "\n\n".join(
        [*(describe(batch, sequence) for batch, sequence in found[:5]),
         *keep_small(Replay(pair, Batch), "packets", found)]))


if __name__ == "__main__":
    tap.main()

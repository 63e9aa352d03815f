# SPDX-License-Identifier: GPL-2.0-only
"""
Differences between two trackers made small: a script (a flow, two policies, and what is sent at each
step) becomes fewer words under fewer rules over which they still differ. Scripts are kept in
tests/e2e/sequences, each a file that the tests of their kind replay.
"""

import itertools
import json
import os

from twins import Flow, Rule

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "sequences")
EVERY_SUBSET = 7  # words of which every subset is tried side by side
KEPT_AT_MOST = 3  # differences of a run that are made small: each takes minutes

FLOW = ("version", "protocol", "direction", "peer", "port")


class Script:
    """
    kind: "packets" or "sockets"; flow: the parameters of a Flow but its number; rules: of the policy
    before the change, and of the one behind it; moves: a word for each step, or None.
    """

    def __init__(self, kind, flow, existing_flows, rules, moves):
        self.kind, self.flow, self.existing_flows = kind, flow, existing_flows
        self.rules, self.moves = rules, moves

    @classmethod
    def of(cls, kind, batch, sequence):
        """What a sequence of a batch did, without what came behind the difference."""
        moves = list(sequence.moves)
        if sequence.last_step is not None:
            moves[sequence.last_step + 1:] = [None] * (len(moves) - sequence.last_step - 1)
        return cls(kind, {name: getattr(sequence.flow, name) for name in FLOW},
                   batch.existing_flows, batch.rules, moves)

    @classmethod
    def read(cls, path):
        with open(path, encoding="utf-8") as file:
            kept = json.load(file)
        kept["rules"] = tuple([Rule(**rule) for rule in rules] for rules in kept["rules"])
        return cls(**kept)

    def write(self, path):
        kept = {**vars(self), "rules": [[vars(rule) for rule in rules] for rules in self.rules]}
        with open(path, "w", encoding="utf-8") as file:
            json.dump(kept, file, indent=1)
            file.write("\n")

    def a_flow(self, number):
        return Flow(number, **self.flow)

    def places(self):
        """The steps at which something is sent."""
        return [step for step, word in enumerate(self.moves) if word]

    def only(self, places):
        """The same with the words at some steps alone."""
        moves = [word if step in places else None for step, word in enumerate(self.moves)]
        return Script(self.kind, self.flow, self.existing_flows, self.rules, moves)

    def under(self, rules):
        return Script(self.kind, self.flow, self.existing_flows, rules, self.moves)


def _fewer_words(script, differ):
    """The shortest of the scripts with words left out that still differs; None: none does."""
    places = script.places()
    sizes = (range(1, len(places)) if len(places) <= EVERY_SUBSET
             else range(len(places) - 2, len(places)))
    candidates = [script.only(some) for size in sizes
                  for some in itertools.combinations(places, size)]
    found = [candidate for candidate, differs in zip(candidates, differ(candidates)) if differs]
    return found[0] if found else None


def _speaks(script, rule):
    """Whether a rule has a word on the flow, from either side."""
    flow = script.a_flow(0)
    return rule.admits(flow) or rule.admits(flow.turned())


def _without_rules(script):
    """Scripts with fewer rules, the boldest first."""
    speaking = tuple([rule for rule in rules if _speaks(script, rule)] for rules in script.rules)
    if sum(map(len, speaking)) < sum(map(len, script.rules)):
        yield script.under(speaking)
    for policy, rules in enumerate(script.rules):
        for left_out in rules:
            both = list(script.rules)
            both[policy] = [rule for rule in rules if rule is not left_out]
            yield script.under(tuple(both))


def shrink(script, differ):
    """
    The smallest script that can be found. differ: of scripts that share their policies, for each
    of them whether the trackers differ over it; they run side by side.
    """
    while smaller := (_fewer_words(script, differ)
                      or next((one for one in _without_rules(script) if differ([one])[0]), None)):
        script = smaller
    return script


def keep(script, differ, name, folder=FOLDER):
    """Makes a script small and writes it; its path, or None where the difference does not come again."""
    if not differ([script])[0]:
        return None
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"{name}.json")
    shrink(script, differ).write(path)
    return path


def kept(kind):
    """[(path, script)] of a kind."""
    paths = sorted(os.path.join(FOLDER, name) for name in os.listdir(FOLDER)
                   if name.endswith(".json"))
    scripts = [(path, Script.read(path)) for path in paths]
    return [(path, script) for path, script in scripts if script.kind == kind]

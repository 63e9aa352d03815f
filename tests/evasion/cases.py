#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""
The files of cases → cases. README.md tells the form of a row. Run by itself it says how many there are;
with --show it prints each with its frames.
"""

import glob
import itertools
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import layers  # noqa: E402  pylint: disable=wrong-import-position

OPEN, SHUT = 443, 22
BRACES = re.compile(r"\{([^{}]*)\}")


class CaseError(Exception):
    """A row that nobody can read, with its place."""


class Variant:
    """A case to one port: what is sent, and what must become of each frame."""

    def __init__(self, port, frames, inbound, outbound):
        self.port, self.frames = port, frames
        self.expected = {"in": inbound, "out": outbound}


class Case:
    """One shape: one row, or one alternative of a row with braces."""

    def __init__(self, place, title, text, stack, verdicts):
        self.place, self.title, self.text, self.stack = place, title, text, stack
        self.verdicts = verdicts  # by "in", "out", "shut": one for each frame
        self.variants = []

    def name(self):
        return f"{self.place}: {self.title}: {self.text}"

    def is_carried(self):
        """From an address whose tunnels the policy lets pass: what they hold is not judged."""
        return "=carrier" in self.text

    def make(self, number):
        """Fills the variants; the numbers that are used from this one on."""
        frames = layers.frames_of(self.text, number, OPEN, False)
        self.variants = [Variant(OPEN, frames, *(self._expected(frames, way) for way in ("in", "out")))]
        if layers.frames_of(self.text, number, SHUT, True) == frames:
            return 1
        frames = layers.frames_of(self.text, number + 1, SHUT, True)
        self.variants.append(Variant(SHUT, frames, *(self._denied(frames, way) for way in ("in", "out"))))
        return 2

    def _expected(self, frames, way):
        said = self.verdicts.get(way, self.verdicts["in"])
        if len(said) not in (1, len(frames)):
            raise CaseError(f"{self.place}: {len(said)} verdicts for {len(frames)} frames")
        return said * len(frames) if len(said) == 1 else said

    def _denied(self, frames, way):
        """What becomes of the same to the denied port: what was allowed is denied by the policy, and a
        later fragment because its first one was."""
        if "shut" in self.verdicts:
            return self._expected(frames, "shut")
        later = "fragment" if is_in_fragments(self.text) else None
        out = []
        for index, verdict in enumerate(self._expected(frames, way)):
            if verdict != "allow":
                out.append(verdict)
            else:
                out.append("deny fragment-unknown" if later and not has_port(self.text, index)
                           else "deny rule")
        return out


def is_in_fragments(text):
    return "offset=" in text


def has_port(text, index):
    """Whether the frame of a sequence holds the port: it differs when that does."""
    one = text.split(";")[index]
    return layers.frame_of(one, 1, OPEN, False) != layers.frame_of(one, 1, SHUT, True)


def alternatives(inside):
    """Of a pair of braces: {a,b,c}, {0..15}, {0..64..8}."""
    series = re.fullmatch(r"(-?\d+)\.\.(-?\d+)(?:\.\.(\d+))?", inside)
    if series:
        first, last, step = (int(part) if part else 1 for part in series.groups())
        return [str(n) for n in range(first, last + 1, step)]
    return inside.split(",")


def expanded(text):
    """Every text that braces stand for."""
    parts = BRACES.split(text)
    choices = [[part] if place % 2 == 0 else alternatives(part) for place, part in enumerate(parts)]
    for chosen in itertools.product(*choices):
        yield " ".join("".join(chosen).split())


def verdicts_of(text):
    """allow | out deny martian-source | shut deny rule; several frames: divided by commas."""
    out = {}
    for part in text.split("|"):
        way, _, rest = part.strip().partition(" ")
        if way not in ("out", "shut"):
            way, rest = "in", part
        out[way] = [one.strip() for one in rest.split(",")]
        for one in out[way]:
            if not re.fullmatch(r"allow|deny [a-z0-9-]+", one):
                raise ValueError(f"no verdict: '{one}'")
    if "in" not in out:
        raise ValueError("no verdict")
    return out


def read_file(path):
    """A title stands at the start of a line, its rows are indented below it."""
    name, title = os.path.basename(path)[:-len(".cases")], None
    with open(path, encoding="utf-8") as file:
        lines = file.read().replace("\\\n", " ").split("\n")
    for number, line in enumerate(lines, 1):
        text = line.split("#")[0].rstrip()
        if not text:
            continue
        if not text[0].isspace():
            title = text
            continue
        columns = [column.strip() for column in text.split(" = ")]
        try:
            if title is None or len(columns) != 3:
                raise ValueError("expected a title above, and LAYERS = STACK = BULKHEAD")
            for shape in expanded(columns[0]):
                yield Case(name, title, shape, columns[1], verdicts_of(columns[2]))
        except ValueError as error:
            raise CaseError(f"{path}: {text.strip()}: {error}") from error


def read_all():
    """All cases, made. Two that send the same are one, and an error."""
    cases, seen, number = [], {}, 1
    for path in sorted(glob.glob(os.path.join(HERE, "*.cases"))):
        for case in read_file(path):
            try:
                number += case.make(number)
                same = tuple(layers.frames_of(case.text, 1, OPEN, False))
            except (ValueError, KeyError, OverflowError) as error:
                raise CaseError(f"{case.name()}: {error}") from error
            if same in seen:
                raise CaseError(f"{case.name()}: sends the same as {seen[same]}")
            seen[same] = case.name()
            cases.append(case)
    if number > 40000:
        raise CaseError("more packets than source ports")
    return cases


def main():
    cases = read_all()
    if "--show" in sys.argv[1:]:
        for case in cases:
            print(f"{case.name()} = {case.stack} = {case.verdicts}")
            for variant in case.variants:
                for frame in variant.frames:
                    print(f"    {variant.port}: {frame.hex()}")
    print(f"{len(cases)} cases")


if __name__ == "__main__":
    try:
        main()
    except CaseError as wrong:
        sys.exit(f"cases: {wrong}")

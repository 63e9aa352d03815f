# SPDX-License-Identifier: GPL-2.0-only
"""What the scripts of the golden tier share: the program under test, named first on the command
line, and test functions as points of the Test Anything Protocol."""
import os
import shlex
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CASES = os.path.join(TOP, "tests", "cases")
# With what runs a program of another machine, which meson names.
BULKHEAD = [*shlex.split(os.environ.get("MESON_EXE_WRAPPER", "")), os.path.abspath(sys.argv[1])]

# Of what meson sets, MALLOC_PERTURB_ would touch memory that the program leaves alone.
ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C",
       **{name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")}}


def run(*args, env=None):
    """The completed process of the program, in the folder of the cases."""
    return subprocess.run([*BULKHEAD, *args], cwd=CASES, capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, check=False, timeout=60,
                          env={**ENV, **(env or {})})


class Skip(Exception):
    """The test cannot run here; its words say why."""


class Tap:
    """Collects test functions and runs them."""

    def __init__(self):
        self.tests = []

    def __call__(self, function):
        self.tests.append(function)
        return function

    def main(self):
        failed = 0
        print(f"1..{len(self.tests)}")
        for number, test in enumerate(self.tests, 1):
            result, words, why = "ok", "", []
            try:
                test()
            except Skip as skip:
                words = f" # SKIP {skip}"
            except Exception as error:  # pylint: disable=broad-except
                failed += 1
                result = "not ok"
                why = f"{type(error).__name__}: {error}".splitlines()[:20]
            # What is said of a point stands behind it.
            print("\n# ".join([f"{result} {number} - {test.__name__}{words}", *why]), flush=True)
        sys.exit(1 if failed else 0)

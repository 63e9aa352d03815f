#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""The demo itself: every row holds, and nothing of it stays, wherever it is interrupted."""

import glob
import os
import signal
import subprocess
import sys

from netlab import BPFFS, Tap

tap = Tap()

DEMO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "demo.py")
ROWS = 30  # at least so many
SECONDS = 60
SCRIPT = os.path.join(os.path.dirname(DEMO), "..", "..", "scripts", "demo")


def start():
    # A session of its own, as a terminal's: an interrupt goes to all of its processes.
    return subprocess.Popen([sys.executable, DEMO], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            start_new_session=True)


def processes_of(suffix):
    """Command lines that name a namespace, pins or files of that run."""
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as file:
                words = file.read().decode(errors="replace").replace("\0", " ")
        except OSError:
            continue
        if f"bh-{suffix}-" in words or f"bh-lab-{suffix}-" in words:
            yield words


def left_of(process):
    suffix = f"{process.pid:x}"
    return [*glob.glob(f"/run/netns/bh-{suffix}-*"), *glob.glob(f"{BPFFS}/bh-{suffix}-*"),
            *glob.glob(f"/tmp/bh-lab-{suffix}-*"), *processes_of(suffix)]


def interrupted(line, number):
    """
    What is left of a demo that got a signal when it had printed the line, its status, and what it
    printed after that.
    """
    with start() as process:
        try:
            for text in process.stdout:
                if line in text:
                    break
            else:
                raise AssertionError(f"the demo ended without a line '{line}'")
            if number == signal.SIGINT:
                os.killpg(process.pid, number)
            else:
                process.send_signal(number)
            rest = process.stdout.read()
            process.wait(SECONDS)
        finally:
            process.kill()
    return left_of(process), process.returncode, rest


@tap
def a_demo_with_words_starts_nothing(_):
    done = subprocess.run([SCRIPT, "--help"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "usage: scripts/demo\n"), done


@tap
def every_row_of_the_demo_is_ok_and_nothing_stays(_):
    with start() as process:
        text = process.communicate(timeout=SECONDS)[0]
    table = text.rpartition("\n====")[2].splitlines()[2:]
    assert len(table) >= ROWS and all(row.endswith(" ok") for row in table), text
    assert process.returncode == 0, f"status {process.returncode}"
    assert left_of(process) == [], left_of(process)


@tap
def an_interrupted_demo_leaves_nothing(_):
    for line, number in (("hosts:", signal.SIGINT), ("before any policy", signal.SIGHUP),
                         ("apply web.yaml", signal.SIGINT), ("apply db.yaml", signal.SIGTERM),
                         ("IPv4 tcp client > web:22", signal.SIGTERM),
                         ("explain out", signal.SIGINT)):
        left, status, rest = interrupted(line, number)
        assert status == 128 + number, f"{number!r} at '{line}': status {status}\n{rest}"
        assert left == [], f"{number!r} at '{line}': {left}"


if __name__ == "__main__":
    tap.main()

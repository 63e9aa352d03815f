#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
guest: runs the tests of a plan inside the machine. The plan is JSON: {tests, held: whether
they find the programs loaded, sysctl: what to set before}. Prints one line of JSON a test, as
meson's log has it, and at the end one with what the verifier counted.

usage: guest.py PLAN
"""
import json
import os
import queue
import subprocess
import sys
import threading
import time

INSTRUCTIONS = "/run/instructions"
HOLD = ("tests/lib/enforcer-hold", "sh", "-c", 'echo "$ENFORCER_HELD"; exec cat')


class Holder:
    """Has the programs loaded while it is open, for one test at a time."""

    def __init__(self):
        self.process = subprocess.Popen(HOLD, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.environment = {**os.environ, "ENFORCER_HELD": self.process.stdout.readline().strip()}

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def run(test, environment):
    """One test: {name, cmd, timeout}. Its line for the log."""
    begin = time.monotonic()
    try:
        done = subprocess.run(test["cmd"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace", check=False, timeout=test["timeout"],
                              env=environment)
        result = "OK" if done.returncode == 0 else "FAIL"
        stdout, stderr, status = done.stdout, done.stderr, done.returncode
    except subprocess.TimeoutExpired as late:
        result, status = "TIMEOUT", -9
        stdout, stderr = ((text or b"").decode(errors="replace")
                          for text in (late.stdout, late.stderr))
    return {"name": test["name"], "stdout": stdout, "stderr": stderr, "result": result,
            "returncode": status, "duration": time.monotonic() - begin}


def work(tests, held):
    """Runs tests until there are no more."""
    holder = Holder() if held else None
    while True:
        try:
            test = tests.get_nowait()
        except queue.Empty:
            break
        line = json.dumps(run(test, holder.environment if holder else None))
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    if holder:
        holder.close()


def run_plan(plan):
    for key, value in plan["sysctl"].items():
        with open(f"/proc/sys/{key}", "w", encoding="ascii") as file:
            file.write(value)
    tests = queue.Queue()
    for test in plan["tests"]:
        tests.put(test)
    workers = [threading.Thread(target=work, args=(tests, plan["held"]))
               for _ in range(os.cpu_count() if plan["held"] else 1)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def main(path):
    with open(path, encoding="utf-8") as file:
        plan = json.load(file)
    os.environ["INSTRUCTIONS_OUT"] = INSTRUCTIONS
    os.environ["BULKHEAD_PACE"] = "0.01"  # of the prober
    run_plan(plan)
    if os.path.exists(INSTRUCTIONS):
        with open(INSTRUCTIONS, encoding="ascii") as file:
            print(json.dumps({"instructions": file.read()}))


if __name__ == "__main__":
    main(sys.argv[1])
